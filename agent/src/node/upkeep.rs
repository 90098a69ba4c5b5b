//! What time brings: holds that end, sessions that expire, things kept long enough, memory not used for a while.

use std::time::Duration;

use hearth_core::{Moment, audit, session};

use super::{Node, NodeError, lock, now};

/// Retention is looked at this often.
const RETENTION_EVERY: Duration = Duration::from_secs(3600);
/// Upkeep runs at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What upkeep remembers between two looks.
#[derive(Debug, Default)]
pub struct Upkeep {
    retention_at: Option<Moment>,
}

impl Node {
    /// Does what is due; says how long it may rest.
    ///
    /// # Errors
    /// When the data folder cannot be written; it is tried again next time.
    pub fn upkeep(&self, upkeep: &mut Upkeep) -> Result<Duration, NodeError> {
        let at = now();
        let before = self.shared.gate().hold();
        self.shared.change_gate(|gate| gate.handle(at, session::Event::Tick))?;
        let after = self.shared.gate().hold();
        if before != after {
            self.shared.audit(audit::Event::Hold { state: after.name().into(), until: None })?;
            self.sources.look_again();
        }
        self.shared.embed_awaited(at)?;
        self.shared.state_reached()?;
        self.shared.clean()?;
        let denied = std::mem::take(&mut *lock(&self.shared.denied));
        for (reason, count) in denied {
            self.shared.audit(audit::Event::Denied { reason, count })?;
        }
        // A clock that was set back must not stop retention for good.
        let due = upkeep.retention_at.is_none_or(|last| last > at || at.since(last) >= RETENTION_EVERY);
        if due {
            self.shared.forget_expired(at)?;
            self.shared.settle_homes(&self.shared.within_residencies())?;
            self.shared.erase_older()?;
            self.shared.sweep_keys()?;
            self.shared.sweep(at)?;
            self.shared.folder.keep_reserve();
            upkeep.retention_at = Some(at);
        }
        if self.shared.totals()?.pending == 0 {
            self.shared.save_vectors(&self.shared.writer())?;
        }
        if self.shared.finder.rest(self.shared.settings.rest_after) {
            lock(&self.shared.vectors).unload();
            self.shared.rest_memory();
        }
        let wait = self.shared.gate().poll_timeout().map_or(LOOK_EVERY, |end| end.since(at).min(LOOK_EVERY));
        Ok(wait.max(Duration::from_millis(50)))
    }
}
