//! The rooms that are open: as many as are used at once, and a few more.
//!
//! Each has a lock of its own, so that a fleet whose disk is slow makes no other wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use hearth_core::fleet::FleetId;

use super::room::Room;

/// So many stay open when nobody uses them; each has two files open.
const OPEN: usize = 64;

/// A place where a fleet's room is while it is open.
pub(super) type Seat = Arc<Mutex<Option<Room>>>;

#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    /// Counts who sat down.
    clock: u64,
    of: HashMap<FleetId, Used>,
}

#[derive(Debug, Default)]
struct Used {
    last: u64,
    seat: Seat,
}

impl Desk {
    /// The fleet's seat. Whoever holds one keeps it from being given to another.
    pub(super) fn seat(&self, fleet: &FleetId) -> Seat {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.clock += 1;
        let last = seats.clock;
        let used = seats.of.entry(*fleet).or_default();
        used.last = last;
        let seat = Arc::clone(&used.seat);
        while seats.of.len() > OPEN {
            let idle = seats.of.iter().filter(|(_, used)| Arc::strong_count(&used.seat) == 1);
            let Some(oldest) = idle.min_by_key(|(_, used)| used.last).map(|(fleet, _)| *fleet) else { break };
            seats.of.remove(&oldest);
        }
        seat
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of.len()
    }
}
