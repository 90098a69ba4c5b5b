//! Who belongs to what, of all fleets that a relay serves, and who vouches for whom.
//!
//! The operator vouches for a fleet by trusting one of its devices. A fleet that is vouched for so may name [guests](Action::AddGuest): fleets
//! of others that are served for as long as it names them. Guests of guests are nobody's.
//!
//! [`Action::AddGuest`]: hearth_core::fleet::link::Action::AddGuest

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hearth_core::{
    DeviceId,
    fleet::{
        FleetId,
        chain::{BadSnapshot, Fleet},
    },
    status::Label,
};

/// What is kept of a fleet's chain, and whether only another fleet vouched for it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) chain: Fleet,
    pub(super) as_guest: bool,
}

/// What stands before the chain of a guest. No chain begins so: it is an array.
const AS_GUEST: u8 = 0;

impl Kept {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mark: &[u8] = if self.as_guest { &[AS_GUEST] } else { &[] };
        [mark, &self.chain.encode()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let (chain, as_guest) = match bytes.strip_prefix(&[AS_GUEST]) {
            Some(chain) => (chain, true),
            None => (bytes, false),
        };
        Ok(Self { chain: Fleet::decode(chain)?, as_guest })
    }
}

/// Who belongs to what.
#[derive(Default, Debug)]
pub(super) struct Known {
    pub(super) fleets: BTreeMap<FleetId, BTreeMap<DeviceId, Option<Label>>>,
    /// Most have one.
    devices: HashMap<DeviceId, Vec<FleetId>>,
    /// Anybody can name anybody's key as a sheet.
    sheets: HashMap<DeviceId, Vec<FleetId>>,
    /// Whom each fleet names.
    guests: BTreeMap<FleetId, BTreeSet<FleetId>>,
    /// Those that are served as long as another one names them.
    as_guest: BTreeSet<FleetId>,
    /// Those whose chain was continued twice, and which say nothing of guests until that is resolved.
    forked: BTreeSet<FleetId>,
}

/// What a chain says of who belongs to a fleet; nothing when it is not served.
#[derive(Default, Debug)]
pub(super) struct Said {
    pub(super) members: BTreeMap<DeviceId, Option<Label>>,
    pub(super) sheet: Option<DeviceId>,
    pub(super) guests: BTreeSet<FleetId>,
}

/// So many fleets of one device are looked at.
const FLEETS_MAX: usize = 4;

impl Known {
    /// Takes up what a fleet's chain says; an empty one is served no more. Returns those that were served as its guests until now.
    pub(super) fn set(&mut self, fleet: FleetId, said: Said) -> Vec<FleetId> {
        let Said { members, sheet, guests } = said;
        self.forget(&fleet);
        for device in members.keys() {
            self.devices.entry(*device).or_insert_with(|| Vec::with_capacity(1)).push(fleet);
        }
        if let Some(sheet) = sheet {
            self.sheets.entry(sheet).or_default().push(fleet);
        }
        if !members.is_empty() {
            self.fleets.insert(fleet, members);
        }
        if !guests.is_empty() {
            self.guests.insert(fleet, guests);
        }
        let gone: Vec<FleetId> = self.fleets.keys().filter(|fleet| !self.vouches(fleet)).copied().collect();
        gone.iter().for_each(|fleet| self.forget(fleet));
        gone
    }

    fn forget(&mut self, fleet: &FleetId) {
        self.guests.remove(fleet);
        drop_from(&mut self.sheets, fleet);
        if self.fleets.remove(fleet).is_some() {
            drop_from(&mut self.devices, fleet);
        }
    }

    /// The fleets of which this is a device, those that the operator vouches for first.
    pub(super) fn fleets_of(&self, device: &DeviceId) -> Vec<FleetId> {
        self.vouched_first(self.devices.get(device))
    }

    /// The fleet that can be recovered with this sheet.
    pub(super) fn fleet_of_sheet(&self, sheet: &DeviceId) -> Option<FleetId> {
        self.vouched_first(self.sheets.get(sheet)).first().copied()
    }

    fn vouched_first(&self, fleets: Option<&Vec<FleetId>>) -> Vec<FleetId> {
        let mut fleets = fleets.cloned().unwrap_or_default();
        fleets.sort_by_key(|fleet| self.is_guest(fleet));
        fleets.truncate(FLEETS_MAX);
        fleets
    }

    /// Says whether a fleet's chain was continued twice and not resolved.
    pub(super) fn mark_forked(&mut self, fleet: FleetId, is_forked: bool) {
        if is_forked {
            self.forked.insert(fleet);
        } else {
            self.forked.remove(&fleet);
        }
    }

    /// Whether it may not be known now whom all fleets name. Guests name nobody, so theirs do not count.
    pub(super) fn is_unsettled(&self) -> bool {
        self.forked.iter().any(|fleet| !self.is_guest(fleet))
    }

    /// Says whether only another fleet vouches for this one.
    pub(super) fn mark(&mut self, fleet: FleetId, as_guest: bool) {
        if as_guest {
            self.as_guest.insert(fleet);
        } else {
            self.as_guest.remove(&fleet);
        }
    }

    /// Whether only another fleet vouches for this one.
    pub(super) fn is_guest(&self, fleet: &FleetId) -> bool {
        self.as_guest.contains(fleet)
    }

    /// Whether a fleet that the operator vouches for names this one.
    pub(super) fn hosts(&self, fleet: &FleetId) -> bool {
        self.guests.iter().any(|(host, guests)| !self.is_guest(host) && guests.contains(fleet))
    }

    /// Whether anybody vouches for this one.
    pub(super) fn vouches(&self, fleet: &FleetId) -> bool {
        !self.is_guest(fleet) || self.hosts(fleet)
    }
}

fn drop_from(of: &mut HashMap<DeviceId, Vec<FleetId>>, fleet: &FleetId) {
    of.retain(|_, fleets| {
        fleets.retain(|known| known != fleet);
        !fleets.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(n: u8) -> FleetId {
        FleetId::from_bytes([n; 16])
    }

    fn device(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 16])
    }

    fn said(members: &[u8], sheet: Option<u8>, guests: &[u8]) -> Said {
        Said {
            members: members.iter().map(|member| (device(*member), None)).collect(),
            sheet: sheet.map(device),
            guests: guests.iter().map(|guest| fleet(*guest)).collect(),
        }
    }

    #[test]
    fn what_a_guest_says_of_keys_of_others_comes_behind_what_their_own_fleets_say() {
        let mut known = Known::default();
        known.mark(fleet(1), true);
        assert!(known.set(fleet(9), said(&[1, 2], Some(7), &[1])).is_empty());
        // The guest has the lesser id, lists a device of its host, and names the host's sheet and that device as its own sheet.
        known.set(fleet(1), said(&[5, 2], Some(7), &[]));
        assert_eq!(
            (known.fleets_of(&device(2)), known.fleet_of_sheet(&device(7))),
            (vec![fleet(9), fleet(1)], Some(fleet(9)))
        );
        known.set(fleet(1), said(&[5, 2], Some(2), &[]));
        assert_eq!(known.fleet_of_sheet(&device(7)), Some(fleet(9)), "the host's sheet is the host's still");
        // When it goes, nothing of it is left, and nothing of the host's goes along.
        assert_eq!(known.set(fleet(9), said(&[1, 2], Some(7), &[])), [fleet(1)]);
        assert_eq!((known.fleets_of(&device(2)), known.fleets_of(&device(5))), (vec![fleet(9)], vec![]));
        assert_eq!((known.fleet_of_sheet(&device(7)), known.fleet_of_sheet(&device(2))), (Some(fleet(9)), None));
    }

    #[test]
    fn few_fleets_of_a_device_are_looked_at_and_its_own_is_among_them() {
        let mut known = Known::default();
        let guests: Vec<u8> = (1..=9).collect();
        for guest in &guests {
            known.mark(fleet(*guest), true);
        }
        known.set(fleet(20), said(&[1], None, &guests));
        guests.iter().for_each(|guest| drop(known.set(fleet(*guest), said(&[*guest + 40, 1], None, &[]))));
        let found = known.fleets_of(&device(1));
        assert_eq!((found.len(), found[0]), (FLEETS_MAX, fleet(20)));
    }
}
