use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::{
    fleet::link::{GENESIS, Guest, Last},
    signed::Signable,
};

const NOW: Moment = Moment::from_millis(1_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn device(seed: u8, admin: bool) -> Device {
    let name = format!("device {seed}");
    Device { key: key(seed).verifying_key().to_bytes(), wrap_key: [seed; 32], name, admin, expires: None }
}

fn id(seed: u8) -> DeviceId {
    device(seed, false).id().expect("a key")
}

fn revoke(seed: u8) -> Action {
    Action::RevokeDevice { device: id(seed), ends: Vec::new() }
}

fn add(seed: u8) -> Action {
    Action::AddDevice(device(seed, false))
}

fn signed(link: Link, signers: &[u8]) -> SignedLink {
    let first = SignedLink::by(&key(signers[0]), link);
    signers[1..].iter().fold(first, |signed, seed| signed.and(&key(*seed)).expect("room"))
}

fn after(link: &Link, action: Action, signers: &[u8]) -> SignedLink {
    signed(link.then(NOW, action).expect("within limits"), signers)
}

fn begin(threshold: u8) -> Fleet {
    let first = Link::first(NOW, "home", device(1, true), threshold).expect("a link");
    Fleet::begin(signed(first, &[1])).expect("the first link")
}

impl Fleet {
    fn go(&mut self, action: Action, signers: &[u8]) -> Result<Applied, Refused> {
        self.handle(after(&self.head().clone(), action, signers))
    }

    fn must(mut self, action: Action, signers: &[u8]) -> Self {
        assert_eq!(self.go(action, signers), Ok(Applied::On));
        self
    }

    fn seeds(&self) -> Vec<u8> {
        (1..=20).filter(|seed| self.is_member(&device(*seed, false).key, NOW)).collect()
    }
}

/// Admins 1, 2 and 3, of which two must agree; members 4 and 5; a relay, a policy and an epoch.
fn home() -> Fleet {
    begin(2)
        .must(Action::AddDevice(device(2, true)), &[1])
        .must(Action::AddDevice(device(3, true)), &[1, 2])
        .must(add(4), &[2])
        .must(add(5), &[3])
        .must(Action::AddRelay(relay(9)), &[1])
        .must(Action::AddGuest(guest(9)), &[1])
        .must(Action::Policy { epoch: 1, bytes: vec![1] }, &[1])
        .must(rotate(1, &[1, 2, 3, 4]), &[1, 2])
}

fn relay(seed: u8) -> Relay {
    Relay { key: device(seed, false).key, address: "relay.example:443".into(), region: "eu".into() }
}

fn guest(seed: u8) -> Guest {
    Guest { fleet: FleetId::from_bytes([seed; 16]), name: format!("guest {seed}") }
}

fn rotate(epoch: u32, seeds: &[u8]) -> Action {
    let mut wraps: Vec<_> = seeds.iter().map(|seed| (id(*seed), [*seed; WRAPPED_BYTES])).collect();
    wraps.sort();
    Action::Rotate { epoch, wraps }
}

fn sheet(seed: u8) -> Sheet {
    Sheet { key: device(seed, false).key, wrap_key: [seed; 32], wraps: vec![(1, [seed; WRAPPED_BYTES])] }
}

#[test]
fn the_recovery_sheet_signs_alone_is_given_keys_and_is_no_member() {
    let with = || home().must(Action::AddSheet(sheet(7)), &[1, 2]);
    let fleet = with();
    assert_eq!(fleet.sheet().map(|(sheet, at)| (sheet.id(), at)), Some((id(7), NOW)));
    assert!(fleet.is_sheet(&sheet(7).key) && !fleet.is_sheet(&sheet(8).key));
    assert!(!fleet.is_member(&sheet(7).key, NOW) && !fleet.is_admin(&id(7)) && fleet.seeds() == [1, 2, 3, 4, 5]);
    assert!(!fleet.speaks_with(&sheet(7).key, NOW) && fleet.standing(&id(7), NOW).is_none());
    assert_eq!((fleet.devices().count(), fleet.threshold()), (5, 2), "it counts for nothing");
    // What two admins must agree on, it decides; also beside one of them.
    for action in [Action::AddDevice(device(10, true)), Action::AddAdmin(id(4)), revoke(1), Action::SetThreshold(1)] {
        assert_eq!(with().go(action.clone(), &[7]), Ok(Applied::On), "{action:?}");
        assert_eq!(with().go(action.clone(), &[1, 7]), Ok(Applied::On), "{action:?}");
        assert_eq!(with().go(action.clone(), &[1]), Err(Refused::TooFew { has: 1, needs: 2 }), "{action:?}");
    }
    assert_eq!(home().go(Action::AddAdmin(id(4)), &[7]), Err(Refused::NotAnAdmin(id(7))), "not the fleet's");

    // The epochs before it, and those after.
    let fleet = with().must(rotate(2, &[1, 4, 7]), &[1, 2]);
    assert_eq!([1, 2].map(|epoch| fleet.wrapped(epoch, &id(7))), [Some(&[7; WRAPPED_BYTES]); 2]);
    assert_eq!(fleet.wrapped(1, &id(8)), None);

    let known = |id| Err(Refused::KnownDevice(id));
    assert_eq!(with().go(Action::AddSheet(sheet(8)), &[1, 2]), Err(Refused::Sheet));
    assert_eq!(with().go(add(7), &[1]), known(id(7)), "a device of its key");
    assert_eq!(home().go(Action::AddSheet(sheet(4)), &[1, 2]), known(id(4)), "of a device's key");
    let ahead = Sheet { wraps: vec![(2, [0; WRAPPED_BYTES])], ..sheet(7) };
    assert_eq!(home().go(Action::AddSheet(ahead), &[1, 2]), Err(Refused::Epoch { given: 2, wanted: 1 }));

    let mut fleet = with().must(revoke(7), &[1, 2]);
    assert!(fleet.sheet().is_none() && !fleet.is_sheet(&sheet(7).key));
    assert_eq!(fleet.go(Action::AddAdmin(id(4)), &[7]), Err(Refused::NotAnAdmin(id(7))));
    assert_eq!(fleet.go(rotate(2, &[1, 7]), &[1, 2]), Err(Refused::UnknownDevice(id(7))), "no key for it");
    assert_eq!(fleet.go(Action::AddSheet(sheet(7)), &[1, 2]), known(id(7)), "it stays revoked");
    assert_eq!(fleet.go(add(7), &[1]), known(id(7)));
    let fleet = fleet.must(Action::AddSheet(sheet(8)), &[1, 2]);
    assert!(fleet.is_sheet(&sheet(8).key));
    assert_eq!(fleet.wrapped(1, &id(7)), None, "the keys of the one before are nobody's business");
}

#[test]
fn a_sheet_that_a_rival_revoked_signs_nothing_more() {
    let fleet = home().must(Action::AddSheet(sheet(7)), &[1, 2]);
    let at = fleet.head().clone();
    let mut torn = fleet.must(Action::AddAdmin(id(4)), &[7]);
    assert_eq!(torn.handle(after(&at, revoke(7), &[1, 2])), Ok(Applied::Aside));
    assert!(torn.fork().is_some() && torn.sheet().is_none() && !torn.is_admin(&id(4)));
    // Its word does not settle what it is about.
    let ours = torn.sides().find(|side| matches!(side.action(), Action::AddAdmin(_))).expect("a side").clone();
    let resolve = torn.resolve(&ours.digest(), NOW).expect("a side of the fork");
    let _ = torn.handle(signed(resolve, &[7]));
    assert!(torn.fork().is_some(), "a revoked sheet cannot speak for itself");
}

#[test]
fn each_action_needs_its_signers() {
    // What, and how many of the three admins it needs.
    let table = [
        (add(10), 1),
        (Action::AddDevice(device(10, true)), 2),
        (revoke(4), 2),
        (revoke(3), 2),
        (rotate(2, &[1, 2]), 2),
        (Action::Policy { epoch: 2, bytes: vec![2] }, 1),
        (Action::AddRelay(relay(8)), 1),
        (Action::RemoveRelay(relay(9).key), 1),
        (Action::AddGuest(guest(8)), 1),
        (Action::RemoveGuest(guest(9).fleet), 1),
        (Action::AddAdmin(id(4)), 2),
        (Action::RemoveAdmin(id(3)), 2),
        (Action::SetThreshold(1), 2),
        (Action::AddSheet(sheet(7)), 2),
        (Action::Resolve { keeps: home().head().digest() }, 2),
    ];
    for (action, needs) in table {
        for (signers, admins) in [(&[1][..], 1), (&[2], 1), (&[1, 2], 2), (&[2, 3], 2), (&[1, 2, 3], 3)] {
            let wanted = if admins < needs { Err(Refused::TooFew { has: admins, needs }) } else { Ok(Applied::On) };
            assert_eq!(home().go(action.clone(), signers), wanted, "{action:?} by {signers:?}");
        }
        for (signers, who) in [(&[4][..], 4), (&[10], 10), (&[1, 2, 4], 4), (&[1, 2, 11], 11)] {
            let mut fleet = home();
            let before = fleet.encode();
            assert_eq!(
                fleet.go(action.clone(), signers),
                Err(Refused::NotAnAdmin(id(who))),
                "{action:?} by {signers:?}"
            );
            assert_eq!(fleet.encode(), before, "a refused link changes nothing");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let expiring = Device { expires: Some(NOW), ..device(10, false) };
    for (case, action, why) in [
        ("a member again", add(4), Refused::KnownDevice(id(4))),
        ("revoking a stranger", revoke(10), Refused::UnknownDevice(id(10))),
        ("an epoch twice", rotate(1, &[1]), Refused::Epoch { given: 1, wanted: 2 }),
        ("an epoch too far", rotate(3, &[1]), Refused::Epoch { given: 3, wanted: 2 }),
        ("a key for a stranger", rotate(2, &[1, 10]), Refused::UnknownDevice(id(10))),
        ("a policy too far", Action::Policy { epoch: 3, bytes: vec![] }, Refused::Epoch { given: 3, wanted: 2 }),
        ("a relay twice", Action::AddRelay(relay(9)), Refused::Relay),
        ("no relay", Action::RemoveRelay([0; 32]), Refused::Relay),
        ("a guest twice", Action::AddGuest(guest(9)), Refused::Guest),
        ("no guest", Action::RemoveGuest(guest(8).fleet), Refused::Guest),
        ("a stranger as admin", Action::AddAdmin(id(10)), Refused::UnknownDevice(id(10))),
        ("no admin", Action::RemoveAdmin(id(4)), Refused::NotAnAdmin(id(4))),
        ("keeping what is not there", Action::Resolve { keeps: [1; 32] }, Refused::KeepsElsewhere),
    ] {
        assert_eq!(home().go(action, &[1, 2]), Err(why), "{case}");
    }
    let mut fleet = home().must(Action::AddDevice(expiring), &[1]).must(revoke(4), &[1, 2]);
    assert_eq!(fleet.go(Action::AddAdmin(id(10)), &[1, 2]), Err(Refused::CannotBeAdmin(id(10))));
    assert_eq!(fleet.go(add(4), &[1]), Err(Refused::KnownDevice(id(4))), "a revoked key stays revoked");
    assert_eq!(
        fleet.go(rotate(2, &[1, 4]), &[1, 2]),
        Err(Refused::UnknownDevice(id(4))),
        "no key for a revoked device"
    );
    assert_eq!(fleet.go(revoke(4), &[1, 2]), Err(Refused::UnknownDevice(id(4))), "revoked already");
    assert_eq!(begin(1).go(revoke(1), &[1]), Err(Refused::LastAdmin(id(1))));
    assert_eq!(begin(1).go(Action::RemoveAdmin(id(1)), &[1]), Err(Refused::LastAdmin(id(1))));
}

#[test]
fn a_link_holds_only_where_it_stands() {
    let fleet = home();
    let head = fleet.head().clone();
    let try_it = |link: Link| fleet.clone().handle(signed(link, &[1, 2]));
    let other = FleetId::from_bytes([1; 16]);
    let (number, prev) = (head.number() + 1, head.digest());
    assert_eq!(try_it(Link::new(other, number, prev, NOW, add(10)).expect("a link")), Err(Refused::OtherFleet));
    assert_eq!(try_it(Link::new(fleet.id(), number + 1, prev, NOW, add(10)).expect("a link")), Err(Refused::Number));
    assert_eq!(
        try_it(Link::new(fleet.id(), number, [3; 32], NOW, add(10)).expect("a link")),
        Err(Refused::Gap { have: number })
    );
    let create = Action::Create { name: "home".into(), device: device(1, true), threshold: 1 };
    assert_eq!(try_it(Link::new(fleet.id(), number, prev, NOW, create).expect("a link")), Err(Refused::NotTheFirst));
    let again = after(&head, add(10), &[1]);
    let mut fleet = fleet.clone();
    assert_eq!(fleet.handle(again.clone()), Ok(Applied::On));
    assert_eq!(fleet.handle(again), Ok(Applied::Known));
    assert_eq!(fleet.seeds(), [1, 2, 3, 4, 5, 10]);
}

#[test]
fn a_fleet_begins_with_the_device_that_signs_itself_in() {
    let first = |admin: u8| Link::first(NOW, "home", device(admin, true), 1).expect("a link");
    assert!(Fleet::begin(signed(first(1), &[1])).is_ok());
    assert_eq!(Fleet::begin(signed(first(1), &[2])).err(), Some(Refused::NotTheFirst), "signed by another");
    assert_eq!(Fleet::begin(signed(first(1), &[1, 2])).err(), Some(Refused::NotTheFirst), "signed by another too");
    let elsewhere =
        Link::new(FleetId::from_bytes([1; 16]), 0, GENESIS, NOW, first(1).action().clone()).expect("a link");
    assert_eq!(Fleet::begin(signed(elsewhere, &[1])).err(), Some(Refused::NotTheFirst), "naming a fleet");
    let later = Link::new(FleetId::NONE, 1, GENESIS, NOW, first(1).action().clone()).expect("a link");
    assert_eq!(Fleet::begin(signed(later, &[1])).err(), Some(Refused::NotTheFirst), "with a number");
}

#[test]
fn a_member_is_one_until_it_is_revoked_or_its_time_is_over() {
    let until = Moment::from_millis(2_000);
    let guest = Device { expires: Some(until), ..device(10, false) };
    let fleet = home().must(Action::AddDevice(guest.clone()), &[1]);
    assert!(fleet.is_member(&guest.key, Moment::from_millis(1_999)));
    assert!(!fleet.is_member(&guest.key, until));
    assert_eq!(fleet.standing(&id(10), until), Some(Standing::Expired(until)));
    assert_eq!(fleet.members(until).count() + 1, fleet.members(NOW).count());
    let fleet = fleet.must(revoke(10), &[1, 2]);
    assert!(!fleet.is_member(&guest.key, NOW));
    assert_eq!(fleet.standing(&id(10), NOW), Some(Standing::Revoked));
    assert_eq!(fleet.standing(&id(11), NOW), None);
}

#[test]
fn a_revoked_devices_log_counts_up_to_its_last_segment() {
    let end = |incarnation, number| Last { incarnation, number, head: [1; 32] };
    let fleet = home()
        .must(Action::RevokeDevice { device: id(4), ends: vec![end(7, 3), end(9, 0)] }, &[1, 2])
        .must(Action::RevokeDevice { device: id(5), ends: Vec::new() }, &[1, 2]);
    for (case, seed, incarnation, number, counts) in [
        ("a member's", 3, 9, 9, true),
        ("before the last", 4, 7, 2, true),
        ("the last", 4, 7, 3, true),
        ("after the last", 4, 7, 4, false),
        ("the only one of another log", 4, 9, 0, true),
        ("after that", 4, 9, 1, false),
        ("an earlier log", 4, 6, 0, false),
        ("a log in between", 4, 8, 0, false),
        ("a later log", 4, 10, 0, false),
        ("nothing of it counts", 5, 0, 0, false),
        ("a stranger's", 10, 0, 0, false),
    ] {
        assert_eq!(fleet.accepts(&device(seed, false).key, incarnation, number), counts, "{case}");
    }
}

#[test]
fn an_epochs_key_is_found_by_epoch_and_device() {
    let fleet = home().must(rotate(2, &[1, 2]), &[1, 3]);
    assert_eq!(fleet.epoch(), 2);
    assert_eq!(fleet.wrapped(1, &id(4)), Some(&[4; WRAPPED_BYTES]));
    assert_eq!(fleet.wrapped(2, &id(4)), None);
    assert_eq!(fleet.wrapped(2, &id(2)), Some(&[2; WRAPPED_BYTES]));
    assert_eq!(fleet.wrapped(3, &id(2)), None);
}

#[test]
fn fewer_admins_than_the_threshold_must_all_agree() {
    let mut fleet = begin(3).must(Action::AddDevice(device(2, true)), &[1]);
    assert_eq!(fleet.go(Action::AddAdmin(id(2)), &[1]), Err(Refused::TooFew { has: 1, needs: 2 }));
    assert_eq!(fleet.go(Action::SetThreshold(1), &[1]), Err(Refused::TooFew { has: 1, needs: 2 }));
    assert_eq!(fleet.threshold(), 2);
}

#[test]
fn a_fork_stands_still_and_both_sides_revocations_count_at_once() {
    let mut fleet = home();
    let at = fleet.head().clone();
    let left = after(&at, add(10), &[1]);
    let left_2 = after(left.link(), revoke(4), &[1, 2]);
    let right = after(&at, revoke(5), &[2, 3]);
    let right_2 = after(right.link(), add(11), &[3]);
    for link in [&left, &left_2] {
        assert_eq!(fleet.handle(link.clone()), Ok(Applied::On));
    }
    assert_eq!(fleet.seeds(), [1, 2, 3, 5, 10]);
    for link in [&right, &right_2] {
        assert_eq!(fleet.handle(link.clone()), Ok(Applied::Aside));
        assert_eq!(fleet.fork(), Some(at.number() + 1));
        assert_eq!(fleet.seeds(), [1, 2, 3], "added by neither, revoked by both");
    }
    let more = after(left_2.link(), add(12), &[1]);
    assert_eq!(fleet.handle(more.clone()), Ok(Applied::Aside), "nothing else is added");
    assert_eq!(fleet.seeds(), [1, 2, 3]);

    let torn_apart = Action::Resolve { keeps: right.digest() };
    assert_eq!(fleet.handle(after(more.link(), torn_apart, &[1, 2])), Err(Refused::KeepsElsewhere));
    // One is too few, and two who keep different sides decide nothing.
    let keep_left = fleet.resolve(&more.digest(), NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keep_left.clone(), &[1])), Err(Refused::TooFew { has: 1, needs: 2 }));
    let mut torn = fleet.clone();
    let keep_right = fleet.resolve(&right_2.digest(), NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keep_left, &[1, 2])), Ok(Applied::On));
    assert_eq!(
        (fleet.fork(), fleet.seeds()),
        (None, vec![1, 2, 3, 10, 12]),
        "what the other side revoked stays revoked"
    );
    assert_eq!(torn.handle(signed(keep_right.clone(), &[1, 3])), Ok(Applied::On));
    assert_eq!(torn.seeds(), [1, 2, 3, 11]);
    assert_eq!(fleet.handle(signed(keep_right, &[1, 3])), Ok(Applied::Aside));
    assert_eq!(fleet.seeds(), [1, 2, 3], "undecided again");
}

#[test]
fn what_was_settled_is_not_forked_again_but_late_revocations_count() {
    let fleet = home();
    let at = fleet.head().clone();
    let mut fleet = fleet.must(add(10), &[1]);
    assert_eq!(fleet.handle(after(&at, add(11), &[2])), Ok(Applied::Aside));
    let tip = fleet.sides().find(|link| link.action() == &add(10)).expect("a side").digest();
    let resolve = fleet.resolve(&tip, NOW).expect("a side");
    assert_eq!(fleet.handle(signed(resolve, &[2, 3])), Ok(Applied::On));
    let mut fleet = fleet.must(add(12), &[1]);
    assert_eq!(fleet.handle(after(&at, add(13), &[3])), Ok(Applied::Aside));
    assert_eq!((fleet.fork(), fleet.seeds()), (None, vec![1, 2, 3, 4, 5, 10, 12]));
    assert_eq!(fleet.handle(after(&at, revoke(4), &[1, 3])), Ok(Applied::Aside));
    assert_eq!((fleet.fork(), fleet.seeds()), (None, vec![1, 2, 3, 5, 10, 12]));
}

#[test]
fn whom_a_rival_revoked_signs_nothing_more() {
    let mut fleet = home();
    let at = fleet.head().clone();
    assert_eq!(fleet.go(add(10), &[3]), Ok(Applied::On));
    let side = fleet.head().clone();
    assert_eq!(fleet.handle(after(&at, revoke(3), &[1, 2])), Ok(Applied::Aside));
    assert!(!fleet.is_admin(&id(3)));
    let keeps = fleet.resolve(&side.digest(), NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keeps.clone(), &[2, 3])), Ok(Applied::Aside), "3 may not speak for its own side");
    assert_eq!(fleet.fork(), Some(at.number() + 1));
    assert_eq!(fleet.handle(signed(keeps, &[1, 2])), Ok(Applied::Known), "with other names under it, it counts");
    assert_eq!((fleet.fork(), fleet.seeds()), (None, vec![1, 2, 4, 5, 10]));
    assert_eq!(fleet.handle(after(&fleet.head().clone(), add(11), &[3])), Ok(Applied::Aside));
    assert_eq!(fleet.seeds(), [1, 2, 4, 5, 10], "what 3 signs afterwards adds nobody");
}

#[test]
fn it_does_not_matter_which_copy_of_a_link_came_first() {
    let fleet = home();
    let link = |signers: &[u8]| after(fleet.head(), revoke(4), signers);
    let (few, enough) = (link(&[3]), link(&[1, 2]));
    let mut one = fleet.clone();
    assert_eq!(one.handle(few.clone()), Err(Refused::TooFew { has: 1, needs: 2 }));
    assert_eq!(one.handle(enough.clone()), Ok(Applied::On));
    let mut two = fleet.clone();
    assert_eq!(two.handle(enough), Ok(Applied::On));
    assert_eq!(two.handle(few), Err(Refused::TooFew { has: 1, needs: 2 }));
    assert_eq!(two.handle(link(&[1, 2, 10])), Err(Refused::NotAnAdmin(id(10))));
    assert_eq!(one.encode(), two.encode());
    assert_eq!(two.handle(link(&[2, 3])), Ok(Applied::Known));
    assert_eq!(two.links().last().map(|link| link.signers().map(|signers| signers.len())), Some(Ok(3)));
}

#[test]
fn a_fleet_has_limits() {
    let numbered = |n: u16| {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        SigningKey::from_bytes(&seed).verifying_key().to_bytes()
    };
    let joins = |n: u16| Action::AddDevice(Device { key: numbered(n), ..device(10, false) });
    let mut fleet = home();
    for n in 5..1024 {
        assert_eq!(fleet.go(joins(n), &[1]), Ok(Applied::On));
    }
    assert_eq!(fleet.go(joins(1024), &[1]), Err(Refused::TooManyDevices));
    assert_eq!(fleet.go(revoke(5), &[1, 2]), Ok(Applied::On));
    assert_eq!(fleet.go(joins(1024), &[1]), Ok(Applied::On), "a revoked device makes room");

    let mut fleet = home();
    for n in 1..64 {
        assert_eq!(fleet.go(Action::AddRelay(Relay { key: numbered(n), ..relay(9) }), &[1]), Ok(Applied::On));
    }
    assert_eq!(fleet.go(Action::AddRelay(Relay { key: numbered(64), ..relay(9) }), &[1]), Err(Refused::TooManyRelays));
    for seed in (0..16).filter(|seed| *seed != 9) {
        fleet = fleet.must(Action::AddGuest(guest(seed)), &[1]);
    }
    assert_eq!(fleet.go(Action::AddGuest(guest(16)), &[1]), Err(Refused::TooManyGuests));
    fleet = fleet.must(Action::RemoveGuest(guest(9).fleet), &[2]).must(Action::AddGuest(guest(16)), &[1]);
    assert_eq!(fleet.guests().last(), Some((guest(16).fleet, "guest 16")));

    let mut fleet = home();
    let some = fleet.nodes[1].clone();
    fleet.nodes.resize(usize::try_from(LINKS_MAX - 1).expect("65,535"), some);
    assert_eq!(fleet.go(add(10), &[1]), Ok(Applied::On));
    assert_eq!(fleet.go(add(11), &[1]), Err(Refused::Full));

    let fleet = home();
    let at = fleet.head().clone();
    let mut fleet = fleet.must(add(10), &[1]);
    for n in 0..256 {
        assert_eq!(fleet.handle(after(&at, joins(n), &[1])), Ok(Applied::Aside));
    }
    assert_eq!(fleet.handle(after(&at, joins(256), &[1])), Err(Refused::Crowded));
    assert_eq!(fleet.handle(after(&at, revoke(1), &[2, 3])), Ok(Applied::Aside), "what revokes always has room");
    let tip = fleet.sides().find(|link| link.action() == &add(10)).expect("a side").digest();
    let keeps = fleet.resolve(&tip, NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keeps, &[2, 3])), Ok(Applied::On), "so does what resolves");
}

#[test]
fn an_admin_whom_the_other_side_removed_is_made_one_again_by_saying_so() {
    let fleet = home();
    let at = fleet.head().clone();
    let mut fleet = fleet.must(add(10), &[1]);
    let side = fleet.head().digest();
    assert_eq!(fleet.handle(after(&at, Action::RemoveAdmin(id(3)), &[1, 2])), Ok(Applied::Aside));
    assert!(!fleet.is_admin(&id(3)));
    let keeps = fleet.resolve(&side, NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keeps, &[1, 2])), Ok(Applied::On));
    let mut shut = fleet.clone();
    assert_eq!(shut.go(add(11), &[3]), Ok(Applied::Aside), "3 is no admin yet");
    assert!(!shut.seeds().contains(&11));
    let mut fleet = fleet.must(Action::AddAdmin(id(3)), &[1, 2]);
    assert!(fleet.is_admin(&id(3)));
    assert_eq!(fleet.go(add(11), &[3]), Ok(Applied::On));

    // Another fork is resolved with 3's voice, which counts again.
    let at = fleet.head().clone();
    assert_eq!(fleet.go(add(12), &[1]), Ok(Applied::On));
    let side = fleet.head().digest();
    assert_eq!(fleet.handle(after(&at, add(13), &[2])), Ok(Applied::Aside));
    let keeps = fleet.resolve(&side, NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keeps, &[1, 3])), Ok(Applied::On));
}

#[test]
fn a_device_revoked_by_both_sides_keeps_the_shorter_log() {
    let fleet = home();
    let at = fleet.head().clone();
    let ends = |ends| Action::RevokeDevice { device: id(4), ends };
    let end = |incarnation, number| Last { incarnation, number, head: [1; 32] };
    let last = |number| vec![end(1, number), end(2 + number, 9)];
    for (one, other, counts) in [(last(9), last(5), 5), (last(5), last(9), 5)] {
        let mut fleet = fleet.clone();
        assert_eq!(fleet.handle(after(&at, ends(one), &[1, 2])), Ok(Applied::On));
        assert_eq!(fleet.handle(after(&at, ends(other), &[2, 3])), Ok(Applied::Aside));
        assert!(fleet.accepts(&device(4, false).key, 1, counts));
        assert!(!fleet.accepts(&device(4, false).key, 1, counts + 1));
        assert!(!fleet.accepts(&device(4, false).key, 11, 0), "a log that only one side names");
    }
    let mut fleet = fleet;
    assert_eq!(fleet.handle(after(&at, ends(last(9)), &[1, 2])), Ok(Applied::On));
    assert_eq!(fleet.handle(after(&at, ends(Vec::new()), &[2, 3])), Ok(Applied::Aside));
    assert!(!fleet.accepts(&device(4, false).key, 1, 0));
}

#[test]
fn a_resolve_speaks_only_from_the_link_it_keeps_on() {
    let fleet = home();
    let early = fleet.head().clone();
    let mut fleet = fleet.must(add(10), &[1]);
    let at = fleet.head().clone();
    assert_eq!(fleet.go(add(11), &[1]), Ok(Applied::On));
    let side = fleet.head().digest();
    assert_eq!(fleet.handle(after(&at, add(12), &[2])), Ok(Applied::Aside));
    let keeps = fleet.resolve(&side, NOW).expect("a side");
    assert_eq!(fleet.handle(signed(keeps, &[1, 2])), Ok(Applied::On));
    assert_eq!(fleet.fork(), None);
    assert_eq!(fleet.handle(after(&early, add(13), &[3])), Ok(Applied::Aside));
    assert_eq!(fleet.fork(), Some(early.number() + 1), "a fork before what was settled is another one");
}

#[test]
fn a_snapshot_reads_back_as_the_same_fleet_and_no_cut_of_it_reads() {
    let mut fleet = home();
    let at = fleet.head().clone();
    assert!(fleet.go(add(10), &[1]).is_ok());
    assert!(fleet.handle(after(&at, revoke(5), &[1, 2])).is_ok());
    let bytes = fleet.encode();
    let back = Fleet::decode(&bytes).expect("what was written");
    assert_eq!((back.seeds(), back.fork(), back.id()), (fleet.seeds(), fleet.fork(), fleet.id()));
    assert_eq!(back.encode(), bytes);
    for cut in (0..bytes.len()).step_by(7) {
        assert!(Fleet::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut newer = bytes.clone();
    newer[1] = VERSION + 1;
    assert_eq!(Fleet::decode(&newer).err(), Some(BadSnapshot::Newer(VERSION + 1)));
    let mut forged = bytes.clone();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert!(matches!(Fleet::decode(&forged), Err(BadSnapshot::Refused(Refused::Signature(_)))));
}

/// What somebody tries: after which of the links so far, what, signed by whom.
#[derive(Clone, Debug)]
struct Try {
    after: prop::sample::Index,
    tip: bool,
    what: u8,
    whom: u8,
    signers: u16,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = (any::<prop::sample::Index>(), prop::bool::weighted(0.8), 0_u8..16, 1_u8..10, 1_u16..512)
        .prop_map(|(after, tip, what, whom, signers)| Try { after, tip, what, whom, signers });
    prop::collection::vec(one, 1..30)
}

impl Try {
    /// Admins 1 to 3 to begin with; 4 and 5 members; 6 to 9 strangers.
    fn link(&self, fleet: &Fleet) -> SignedLink {
        let links: Vec<&SignedLink> = fleet.links().collect();
        let sides: Vec<&Link> = fleet.sides().collect();
        let parent =
            if self.tip { sides[self.after.index(sides.len())] } else { links[self.after.index(links.len())].link() };
        let action = match self.what {
            0..=2 => add(self.whom),
            3 => Action::AddDevice(device(self.whom, true)),
            4..=6 => revoke(self.whom),
            7 => rotate(fleet.epoch() + 1, &[]),
            8 => Action::AddAdmin(id(self.whom)),
            9 => Action::RemoveAdmin(id(self.whom)),
            10 => Action::SetThreshold(self.whom % 3 + 1),
            11 | 12 => Action::AddSheet(sheet(self.whom)),
            _ => match fleet.resolve(&parent.digest(), NOW) {
                Some(link) => link.action().clone(),
                None => Action::Resolve { keeps: parent.digest() },
            },
        };
        // Mostly by admins, so that something happens.
        let mask = if self.signers.is_multiple_of(4) { self.signers } else { self.signers % 7 + 1 };
        let signers: Vec<u8> = (0..9).filter(|bit| mask & (1 << bit) != 0).map(|bit| bit + 1).collect();
        after(parent, action, if signers.is_empty() { &[9] } else { &signers })
    }
}

fn view(fleet: &Fleet) -> impl PartialEq + std::fmt::Debug + use<> {
    let admins: Vec<u8> = (1..=9).filter(|seed| fleet.is_admin(&id(*seed))).collect();
    let mut links: Vec<Hash> = fleet.links().map(SignedLink::digest).collect();
    links.sort();
    let sheet = fleet.sheet().map(|(sheet, _)| sheet.id());
    (fleet.seeds(), admins, sheet, fleet.fork(), fleet.head().digest(), fleet.epoch(), fleet.threshold(), links)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 64 } else { 512 }))]

    #[test]
    fn honest_and_hostile_links_in_any_order_keep_the_promises(tries in tries(), seed in any::<u64>()) {
        let mut fleet = home();
        let first: Vec<SignedLink> = fleet.links().cloned().collect();
        let mut sent = Vec::new();
        let mut revoked = BTreeSet::new();
        let mut admins: BTreeSet<DeviceId> = (1..=3).map(id).collect();
        for one in &tries {
            let link = one.link(&fleet);
            sent.push(link.clone());
            if fleet.handle(link.clone()).is_ok() {
                match link.link().action() {
                    Action::RevokeDevice { device, .. } => { revoked.insert(*device); }
                    Action::AddAdmin(device) => { admins.insert(*device); }
                    Action::AddSheet(sheet) => { admins.insert(sheet.id()); }
                    Action::AddDevice(device) if device.admin => { admins.insert(device.id().expect("a key")); }
                    _ => {}
                }
            }
            for seed in 1..=9 {
                if revoked.contains(&id(seed)) {
                    prop_assert!(!fleet.is_member(&device(seed, false).key, NOW), "a revocation of {} was lost", seed);
                    prop_assert!(!fleet.is_admin(&id(seed)));
                    prop_assert!(!fleet.is_sheet(&device(seed, false).key));
                }
            }
        }
        for (member, _) in fleet.members(NOW) {
            let by_admin = |link: &SignedLink| match link.link().action() {
                Action::AddDevice(device) => device.id() == Some(member)
                    && link.signers().is_ok_and(|signers| signers.iter().all(|it| admins.contains(it))),
                Action::Create { device, .. } => device.id() == Some(member),
                _ => false,
            };
            prop_assert!(fleet.links().any(by_admin), "{} was added by no admin", member);
        }

        // Another node hears the same in another order, again and again until nothing is new.
        let mut other = Fleet::begin(first[0].clone()).expect("the first link");
        let mut heard: Vec<SignedLink> = first[1..].iter().chain(&sent).cloned().collect();
        let mut state = seed | 1;
        for at in (1..heard.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            heard.swap(at, usize::try_from(state >> 33).expect("31 bits") % (at + 1));
        }
        loop {
            let before = other.links().count();
            heard.retain(|link| other.handle(link.clone()).is_err());
            if other.links().count() == before { break; }
        }
        prop_assert_eq!(view(&other), view(&fleet));
        prop_assert_eq!(view(&Fleet::decode(&fleet.encode()).expect("what was written")), view(&fleet));
    }

    #[test]
    fn any_bytes_are_no_fleet(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Fleet::decode(&bytes).is_err());
    }
}
