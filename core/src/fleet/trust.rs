//! What a fleet's chain says to a session about others.

use sha2::{Digest, Sha256};

use super::{
    FleetId,
    chain::{Fleet, Standing as InFleet},
};
use crate::{
    DeviceId, Moment, SpaceId,
    sync::{Log, Standing, Trust},
};

/// May live on every device of the fleet; [`crate::segment::Head::residency`].
pub const ANYWHERE: u16 = 0;

impl FleetId {
    /// The space of what the fleet's devices share: the first half of SHA-256 over `hearth/fleet-space/1` and the id.
    pub fn space(&self) -> SpaceId {
        let digest = Sha256::new().chain_update(b"hearth/fleet-space/1").chain_update(self.as_bytes()).finalize();
        SpaceId::from_bytes(*digest.first_chunk().expect("a digest is longer"))
    }
}

/// A fleet at a moment, which is what a device's own expiry is read against.
#[derive(Clone, Copy, Debug)]
pub struct At<'f> {
    /// The fleet.
    pub fleet: &'f Fleet,
    /// The time by the local clock.
    pub now: Moment,
}

impl Trust for At<'_> {
    fn fleet(&self) -> [u8; 16] {
        *self.fleet.id().as_bytes()
    }

    fn author(&self, log: &Log) -> Standing {
        match self.fleet.standing(&log.author, self.now) {
            None => Standing::Unknown,
            // What it wrote while it was a member stays good; that it writes on is for its link to be refused.
            Some(InFleet::Active | InFleet::Expired(_)) => Standing::Member,
            Some(InFleet::Revoked) => {
                let last = self.fleet.end_of(&log.author, log.incarnation);
                Standing::RevokedAfter(last.map_or(0, |last| last.saturating_add(1)))
            }
        }
    }

    fn may_have(&self, who: &DeviceId, residency: u16) -> bool {
        // A relay is given nothing that it could read.
        let belongs = self.fleet.standing(who, self.now) == Some(InFleet::Active) || self.fleet.relay(who).is_some();
        let is_home = || self.fleet.policy().1.residency(residency).is_some_and(|it| it.homes.contains(who));
        belongs && (residency == ANYWHERE || is_home())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::fleet::{
        link::{Action, Device, Last, Link, Relay, SignedLink},
        policy::Policy,
    };

    const NOW: Moment = Moment::from_millis(1_000);
    const LATER: Moment = Moment::from_millis(5_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn device(seed: u8, expires: Option<Moment>) -> Device {
        let admin = seed == 1;
        Device { key: key(seed).verifying_key().to_bytes(), wrap_key: [seed; 32], name: "d".into(), admin, expires }
    }

    fn relay(seed: u8) -> Relay {
        Relay { key: key(seed).verifying_key().to_bytes(), address: "relay.example:7843".into(), region: String::new() }
    }

    fn id(seed: u8) -> DeviceId {
        DeviceId::of_key(&key(seed).verifying_key())
    }

    /// Device 1 founded it, 2 is a member, 3 was revoked at (7, 4) and (9, 0), 4 was revoked whole, 5 expires at `LATER`, 6 is a relay, 7 was one.
    fn fleet() -> Fleet {
        let mut link = Link::first(NOW, "home", device(1, None), 1).expect("a link");
        let mut fleet = Fleet::begin(SignedLink::by(&key(1), link.clone())).expect("a fleet");
        let ends = [(7, 4), (9, 0)].map(|(incarnation, number)| Last { incarnation, number, head: [0; 32] });
        for action in [
            Action::AddDevice(device(2, None)),
            Action::AddDevice(device(3, None)),
            Action::AddDevice(device(4, None)),
            Action::AddDevice(device(5, Some(LATER))),
            Action::RevokeDevice { device: id(3), ends: ends.into() },
            Action::RevokeDevice { device: id(4), ends: Vec::new() },
            Action::AddRelay(relay(6)),
            Action::AddRelay(relay(7)),
            Action::RemoveRelay(relay(7).key),
        ] {
            link = link.then(NOW, action).expect("a link");
            fleet.handle(SignedLink::by(&key(1), link.clone())).expect("it holds");
        }
        fleet
    }

    #[test]
    fn an_authors_segments_are_good_as_far_as_the_chain_says() {
        let fleet = fleet();
        for (case, author, incarnation, expected) in [
            ("a member", 2, 1, Standing::Member),
            ("a log that is named", 3, 7, Standing::RevokedAfter(5)),
            ("another that is named", 3, 9, Standing::RevokedAfter(1)),
            ("one before them", 3, 6, Standing::RevokedAfter(0)),
            ("one between them", 3, 8, Standing::RevokedAfter(0)),
            ("one after them", 3, 10, Standing::RevokedAfter(0)),
            ("revoked whole", 4, 1, Standing::RevokedAfter(0)),
            ("a stranger", 9, 1, Standing::Unknown),
            ("one whose time is over", 5, 1, Standing::Member),
        ] {
            let at = At { fleet: &fleet, now: LATER };
            assert_eq!(at.author(&Log { author: id(author), incarnation }), expected, "{case}");
            for number in [0, 4, 5, 1_000] {
                let chain = fleet.accepts(&key(author).verifying_key().to_bytes(), incarnation, number);
                assert_eq!(expected.admits(number), chain, "{case}: as the chain says of number {number}");
            }
        }
    }

    #[test]
    fn only_members_and_relays_may_have_what_may_live_anywhere_and_nobody_what_may_not() {
        let fleet = fleet();
        let may = |who, residency, now| At { fleet: &fleet, now }.may_have(&id(who), residency);
        assert!(may(2, ANYWHERE, LATER) && may(5, ANYWHERE, NOW));
        assert!(!may(5, ANYWHERE, LATER), "its time is over");
        assert!(may(6, ANYWHERE, LATER), "a relay");
        for who in [3, 4, 7, 9] {
            assert!(!may(who, ANYWHERE, NOW), "{who}");
            assert!(!fleet.speaks_with(&key(who).verifying_key().to_bytes(), NOW), "{who}");
        }
        assert!([1, 2, 5, 6].iter().all(|who| fleet.speaks_with(&key(*who).verifying_key().to_bytes(), NOW)));
        assert_eq!(standing(&fleet, 6), Standing::Unknown, "a relay writes nothing");
        assert!(!may(2, 1, NOW), "a residency that this version does not know");
    }

    #[test]
    fn what_lives_in_a_residency_is_for_its_homes_that_belong() {
        let mut fleet = fleet();
        let mut policy = Policy::default();
        let homes = [2, 3, 5, 6, 9].map(id).into_iter().collect();
        let number = policy.set("study", homes, [0, 0]).expect("sound");
        let mut set = |policy: &Policy| {
            let (epoch, _) = fleet.policy();
            let action = Action::Policy { epoch: epoch + 1, bytes: policy.encode() };
            let link = fleet.head().then(NOW, action).expect("a link");
            fleet.handle(SignedLink::by(&key(1), link)).expect("it holds");
            let at = |now| At { fleet: &fleet, now };
            [1, 2, 3, 5, 6, 9].map(|who| (at(NOW).may_have(&id(who), number), at(LATER).may_have(&id(who), number)))
        };
        let no = (false, false);
        let now = set(&policy);
        assert_eq!(
            now,
            [no, (true, true), no, (true, false), (true, true), no],
            "an admin that is no home, revoked, expired, a relay, a stranger"
        );
        policy.remove("study").expect("it is there");
        assert_eq!(set(&policy), [no; 6]);
    }

    fn standing(fleet: &Fleet, author: u8) -> Standing {
        At { fleet, now: NOW }.author(&Log { author: id(author), incarnation: 1 })
    }

    #[test]
    fn each_fleet_has_a_space_of_its_own() {
        let spaces = [[1; 16], [2; 16]].map(|id| FleetId::from_bytes(id).space());
        assert_ne!(spaces[0], spaces[1]);
        assert_eq!(FleetId::from_bytes([1; 16]).space(), spaces[0]);
    }
}
