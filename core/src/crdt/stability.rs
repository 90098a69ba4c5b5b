//! When the memory of removed things may go.
//!
//! A tombstone may be forgotten when nobody can bring back what it removed: every device has seen it, and everything that a device
//! wrote before it saw it has come here and to everyone else. The first is a [`Settled::gone`], the second a [`Settled::known`], and the
//! second takes another round of reports. Revoked devices are not asked, nor is one that was silent for [`SILENCE_MAX`]; when that one
//! returns, it starts from a snapshot.

use std::{collections::BTreeMap, time::Duration};

use super::Seen;
use crate::{DeviceId, Moment};

/// How long a device may be silent and still hold memory back.
pub const SILENCE_MAX: Duration = Duration::from_hours(400 * 24);

/// What every device has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// Tombstones below it have been seen by all, and whatever they removed is below `known`.
    pub(super) gone: Seen,
    /// Everything below it has been seen by all.
    pub(super) known: Seen,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Member {
    heard_at: Moment,
    /// The newest report, as long as it has something that we lack.
    told: Option<Seen>,
    /// The newest report of which we have everything ourselves.
    met: Option<Seen>,
}

/// What the other devices of the fleet have reported.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stability {
    members: BTreeMap<DeviceId, Member>,
    /// What all had seen in an earlier round, and what we had then.
    before: Option<(Seen, Seen)>,
}

impl Stability {
    /// A device joined; it holds memory back from now on. A joining device starts from a snapshot, and the rounds start anew.
    pub fn join(&mut self, now: Moment, device: DeviceId) {
        let member = Member { heard_at: now, told: None, met: None };
        if self.members.insert(device, member).is_none() {
            self.before = None;
        }
    }

    /// A device was revoked and is not asked any more.
    pub fn revoke(&mut self, device: DeviceId) {
        self.members.remove(&device);
    }

    /// A device reported what it has seen, its own logs included. Reports of strangers are nothing to us.
    pub fn hear(&mut self, now: Moment, device: DeviceId, seen: Seen) {
        if let Some(member) = self.members.get_mut(&device) {
            member.heard_at = member.heard_at.max(now);
            member.told = Some(seen);
        }
    }

    /// Decides from the reports and from what we have ourselves; ask again after each.
    pub fn poll(&mut self, now: Moment, ours: &Seen) -> Option<Settled> {
        let mut known = ours.clone();
        for member in self.members.values_mut() {
            if now.since(member.heard_at) > SILENCE_MAX {
                continue;
            }
            if let Some(told) = member.told.take_if(|told| ours.includes(told)) {
                member.met = Some(told);
            }
            known.meet(member.met.as_ref()?);
        }
        let settled = match self.before.take() {
            Some((gone, then)) if known.includes(&then) => Some(Settled { gone, known: known.clone() }),
            Some(before) => {
                self.before = Some(before);
                return None;
            }
            None => None,
        };
        self.before = Some((known, ours.clone()));
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Dot;

    const US: DeviceId = DeviceId::from_bytes([1; 16]);
    const NAS: DeviceId = DeviceId::from_bytes([2; 16]);
    const DAY: Duration = Duration::from_hours(24);

    fn seen(ours: u64, theirs: u64) -> Seen {
        let mut seen = Seen::nothing();
        seen.advance(US, 1, ours);
        seen.advance(NAS, 1, theirs);
        seen
    }

    fn gone(settled: Option<Settled>) -> Option<u64> {
        settled.map(|settled| settled.gone.next(US, 1))
    }

    #[test]
    fn it_takes_two_rounds_in_which_we_have_all_that_the_others_have() {
        let mut stability = Stability::default();
        stability.join(Moment::START, NAS);
        assert_eq!(stability.poll(Moment::START, &seen(5, 0)), None, "it has reported nothing");
        stability.hear(Moment::START, NAS, seen(5, 3));
        assert_eq!(stability.poll(Moment::START, &seen(5, 2)), None, "we lack what it has");
        assert_eq!(stability.poll(Moment::START, &seen(5, 3)), None, "the first round");
        assert_eq!(
            stability.poll(Moment::START, &seen(6, 3)).map(|it| it.known),
            Some(seen(5, 3)),
            "nothing new is needed"
        );
        stability.hear(Moment::START, NAS, seen(5, 4));
        assert_eq!(
            stability.poll(Moment::START, &seen(6, 4)),
            None,
            "it has not seen our sixth, which we had in the first round"
        );
        stability.hear(Moment::START, NAS, seen(6, 4));
        assert_eq!(gone(stability.poll(Moment::START, &seen(6, 4))), Some(5));
        assert_eq!(gone(stability.poll(Moment::START, &seen(6, 4))), Some(6));
    }

    #[test]
    fn a_device_that_joins_between_two_rounds_begins_them_anew() {
        let mut stability = Stability::default();
        stability.join(Moment::START, NAS);
        stability.hear(Moment::START, NAS, seen(5, 3));
        assert_eq!(stability.poll(Moment::START, &seen(5, 3)), None, "the first round");
        let laptop = DeviceId::from_bytes([3; 16]);
        stability.join(Moment::START, laptop);
        stability.hear(Moment::START, laptop, seen(5, 3));
        assert_eq!(
            stability.poll(Moment::START, &seen(5, 3)),
            None,
            "what it wrote before it saw the fifth may be on its way"
        );
        assert_eq!(gone(stability.poll(Moment::START, &seen(5, 3))), Some(5));
    }

    #[test]
    fn who_is_revoked_or_silent_for_long_holds_nothing_back_and_who_joins_does() {
        let mut stability = Stability::default();
        stability.join(Moment::START, NAS);
        let at = Moment::START + SILENCE_MAX;
        assert_eq!(
            (stability.poll(at, &seen(5, 0)), stability.poll(at, &seen(5, 0))),
            (None, None),
            "not yet too long"
        );
        let late = at + DAY;
        assert_eq!((gone(stability.poll(late, &seen(5, 0))), gone(stability.poll(late, &seen(5, 0)))), (None, Some(5)));
        stability.hear(late, NAS, seen(1, 9));
        assert_eq!(stability.poll(late, &seen(5, 0)), None, "back again");
        stability.revoke(NAS);
        assert_eq!(gone(stability.poll(late, &seen(5, 0))), Some(5));
        stability.join(late, NAS);
        assert_eq!((stability.poll(late, &seen(5, 0)), stability.poll(late, &seen(5, 0))), (None, None));
        stability.hear(late, US, seen(9, 9));
        assert!(!stability.members.contains_key(&US), "a stranger");
        assert!(seen(5, 0).covers(&Dot { author: US, incarnation: 1, seq: 4 }));
    }
}
