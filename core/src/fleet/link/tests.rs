use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn device(seed: u8, admin: bool) -> Device {
    Device {
        key: key(seed).verifying_key().to_bytes(),
        wrap_key: [seed; 32],
        name: format!("device {seed}"),
        admin,
        expires: None,
    }
}

fn id(seed: u8) -> DeviceId {
    device(seed, false).id().expect("a key")
}

/// One of each.
fn actions() -> Vec<Action> {
    let mut wraps = vec![(id(1), [1; WRAPPED_BYTES]), (id(2), [2; WRAPPED_BYTES])];
    wraps.sort();
    vec![
        Action::Create { name: "home".into(), device: device(1, true), threshold: 2 },
        Action::AddDevice(device(2, false)),
        Action::AddDevice(Device { expires: Some(Moment::from_millis(1 << 40)), ..device(3, false) }),
        Action::RevokeDevice { device: id(2), ends: Vec::new() },
        Action::RevokeDevice {
            device: id(2),
            ends: vec![
                Last { incarnation: 1 << 40, number: 7, head: [9; 32] },
                Last { incarnation: 1 << 50, number: 0, head: [8; 32] },
            ],
        },
        Action::Rotate { epoch: 1, wraps },
        Action::Rotate { epoch: 2, wraps: vec![] },
        Action::Policy { epoch: 3, bytes: vec![1, 2, 3] },
        Action::AddRelay(Relay { key: device(4, false).key, address: "relay.example:443".into(), region: "eu".into() }),
        Action::RemoveRelay([4; 32]),
        Action::AddAdmin(id(2)),
        Action::RemoveAdmin(id(2)),
        Action::SetThreshold(3),
        Action::Resolve { keeps: [5; 32] },
        Action::AddSheet(sheet(6, vec![(1, [3; WRAPPED_BYTES]), (2, [4; WRAPPED_BYTES])])),
        Action::AddSheet(sheet(7, vec![])),
        Action::AddGuest(Guest { fleet: FleetId::from_bytes([9; 16]), name: "the neighbours".into() }),
        Action::RemoveGuest(FleetId::from_bytes([9; 16])),
    ]
}

fn sheet(seed: u8, wraps: Vec<(u32, [u8; WRAPPED_BYTES])>) -> Sheet {
    Sheet { key: device(seed, false).key, wrap_key: [seed; 32], wraps }
}

fn link(action: Action) -> Result<Link, BadLink> {
    Link::new(FleetId::from_bytes([8; 16]), 3, [7; 32], Moment::from_millis(9), action)
}

#[test]
fn each_action_reads_back_as_itself_and_no_cut_of_it_reads() {
    for action in actions() {
        let link = link(action.clone()).expect("within limits");
        assert_eq!(Link::decode(link.signed_bytes()).as_ref(), Ok(&link));
        let signed = SignedLink::by(&key(1), link).and(&key(2)).expect("room");
        let bytes = signed.encode();
        assert_eq!(SignedLink::decode(&bytes).as_ref(), Ok(&signed), "{action:?}");
        for cut in 0..bytes.len() {
            assert!(SignedLink::decode(&bytes[..cut]).is_err(), "{action:?} cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(SignedLink::decode(&longer).is_err(), "{action:?} with a byte more");
    }
}

#[test]
fn what_is_over_a_limit_is_not_written() {
    let long = "n".repeat(NAME_MAX + 1);
    let named = |name: &str| Action::AddDevice(Device { name: name.into(), ..device(2, false) });
    let relay = |address: &str, region: &str| {
        Action::AddRelay(Relay { key: device(4, false).key, address: address.into(), region: region.into() })
    };
    let wraps = |count: u64| {
        let one = |n: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            (DeviceId::from_bytes(id), [0; WRAPPED_BYTES])
        };
        (0..count).map(one).collect::<Vec<_>>()
    };
    let epochs = |count: usize| (u32::MAX - 1_100..).take(count).map(|epoch| (epoch, [0; WRAPPED_BYTES])).collect();
    let mut turned = wraps(2);
    turned.reverse();
    let twice = vec![turned[0], turned[0]];
    let ends = |incarnations: &[u64]| {
        let end = |incarnation: &u64| Last { incarnation: *incarnation, number: 1, head: [1; 32] };
        Action::RevokeDevice { device: id(2), ends: incarnations.iter().map(end).collect() }
    };
    // A point of small order: every message has a signature under it.
    let mut weak = [0; 32];
    weak[0] = 1;
    let guest = |fleet, name: &str| Action::AddGuest(Guest { fleet: FleetId::from_bytes(fleet), name: name.into() });
    for (case, action, why) in [
        ("no name", named(""), BadLink::Name),
        ("a long name", named(&long), BadLink::Name),
        ("a name with an escape", named("a\u{1b}[2J"), BadLink::Name),
        ("a weak key", Action::AddDevice(Device { key: weak, ..device(2, false) }), BadLink::Key),
        ("no point", Action::AddDevice(Device { key: [2; 32], ..device(2, false) }), BadLink::Key),
        (
            "an admin that expires",
            Action::AddDevice(Device { expires: Some(Moment::START), ..device(2, true) }),
            BadLink::ExpiringAdmin,
        ),
        (
            "a fleet without an admin",
            Action::Create { name: "home".into(), device: device(1, false), threshold: 1 },
            BadLink::Malformed,
        ),
        (
            "a fleet without a threshold",
            Action::Create { name: "home".into(), device: device(1, true), threshold: 0 },
            BadLink::Threshold,
        ),
        ("threshold 0", Action::SetThreshold(0), BadLink::Threshold),
        ("threshold 17", Action::SetThreshold(17), BadLink::Threshold),
        ("much policy", Action::Policy { epoch: 1, bytes: vec![0; POLICY_MAX + 1] }, BadLink::TooLarge),
        ("many wraps", Action::Rotate { epoch: 1, wraps: wraps(WRAPS_MAX as u64 + 1) }, BadLink::TooLarge),
        ("a sheet with a weak key", Action::AddSheet(Sheet { key: weak, ..sheet(6, vec![]) }), BadLink::Key),
        ("a sheet with many wraps", Action::AddSheet(sheet(6, epochs(WRAPS_MAX + 1))), BadLink::TooLarge),
        (
            "a sheet with a wrap twice",
            Action::AddSheet(sheet(6, vec![(2, [0; WRAPPED_BYTES]), (2, [1; WRAPPED_BYTES])])),
            BadLink::Malformed,
        ),
        ("ends out of order", ends(&[9, 7]), BadLink::Malformed),
        ("an end twice", ends(&[7, 7]), BadLink::Malformed),
        ("more ends than count", ends(&(0..=ENDS_MAX as u64).collect::<Vec<_>>()), BadLink::TooLarge),
        ("wraps out of order", Action::Rotate { epoch: 1, wraps: turned }, BadLink::Malformed),
        ("a wrap twice", Action::Rotate { epoch: 1, wraps: twice }, BadLink::Malformed),
        ("a relay without address", relay("", "eu"), BadLink::Place),
        ("a guest without name", guest([9; 16], ""), BadLink::Name),
        ("itself as a guest", guest([8; 16], "us"), BadLink::Malformed),
        ("a relay with a long address", relay(&"a".repeat(ADDRESS_MAX + 1), "eu"), BadLink::Place),
        ("a relay with a long region", relay("a", &"r".repeat(REGION_MAX + 1)), BadLink::Place),
    ] {
        assert_eq!(link(action), Err(why), "{case}");
    }
    for (case, action) in [
        ("the longest name", named(&"n".repeat(NAME_MAX))),
        ("most policy", Action::Policy { epoch: 1, bytes: vec![0; POLICY_MAX] }),
        ("most wraps", Action::Rotate { epoch: 1, wraps: wraps(WRAPS_MAX as u64) }),
        ("a sheet with most wraps", Action::AddSheet(sheet(6, epochs(WRAPS_MAX)))),
        ("the highest threshold", Action::SetThreshold(16)),
    ] {
        assert!(link(action).is_ok(), "{case}");
    }
}

#[test]
fn another_way_to_write_the_same_is_refused() {
    let link = link(Action::SetThreshold(1)).expect("a link");
    let bytes = link.signed_bytes();
    assert_eq!(bytes[19], 3, "the number");
    let longer = [&bytes[..19], &[0x18, 3], &bytes[20..]].concat();
    assert_eq!(Link::decode(&longer), Err(BadLink::Malformed), "a number in more bytes than it needs");
    let open = [&[0x9f], &bytes[1..], &[0xff]].concat();
    assert_eq!(Link::decode(&open), Err(BadLink::Malformed), "an array of no given length");
    let trailing = [bytes, &[0]].concat();
    assert_eq!(Link::decode(&trailing), Err(BadLink::Malformed), "a byte after the end");
}

#[test]
fn a_newer_form_says_so() {
    let mut bytes = link(Action::SetThreshold(1)).expect("a link").signed_bytes().to_vec();
    bytes[1] = VERSION + 1;
    assert_eq!(Link::decode(&bytes), Err(BadLink::Newer(VERSION + 1)));
}

#[test]
fn only_keys_that_signed_these_bytes_are_signers() {
    let signed = SignedLink::by(&key(1), link(Action::SetThreshold(1)).expect("a link")).and(&key(2)).expect("room");
    let mut ids = signed.signers().expect("both signed");
    ids.sort();
    let mut wanted = [id(1), id(2)];
    wanted.sort();
    assert_eq!(ids, wanted);

    let other = link(Action::SetThreshold(2)).expect("a link");
    let moved = SignedLink { link: other, signatures: signed.signatures.clone() };
    assert_eq!(moved.signers(), Err(Distrust::BadSignature), "over other bytes");

    let mut swapped = signed.clone();
    let first = swapped.signatures[0].1;
    swapped.signatures[0].1 = swapped.signatures[1].1;
    swapped.signatures[1].1 = first;
    assert_eq!(swapped.signers(), Err(Distrust::BadSignature), "by other keys");

    let half = SignedLink { signatures: vec![signed.signatures[0], (signed.signatures[1].0, [0; 64])], ..signed };
    assert_eq!(half.signers(), Err(Distrust::BadSignature), "one of two is not a signature");
}

#[test]
fn signatures_have_one_order_and_a_limit() {
    let mut signed = SignedLink::by(&key(1), link(Action::SetThreshold(1)).expect("a link"));
    for seed in 2..=16 {
        signed = signed.and(&key(seed)).expect("room");
    }
    assert_eq!(signed.clone().and(&key(17)), Err(BadLink::Signatures));
    assert_eq!(signed.clone().and(&key(16)).as_ref(), Ok(&signed), "signing twice changes nothing");
    let mut turned = signed.clone();
    turned.signatures.reverse();
    assert_eq!(SignedLink::decode(&turned.encode()), Err(BadLink::Signatures));
    let none = SignedLink { signatures: vec![], ..signed };
    assert_eq!(SignedLink::decode(&none.encode()), Err(BadLink::Signatures));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_the_one_way_to_write_what_they_say(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(signed) = SignedLink::decode(&bytes) {
            prop_assert_eq!(signed.encode(), bytes.clone());
        }
        if let Ok(link) = Link::decode(&bytes) {
            prop_assert_eq!(link.signed_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_says_something_else(which in 0_usize..14, at in any::<prop::sample::Index>(), with in 1_u8..) {
        let signed = SignedLink::by(&key(1), link(actions().swap_remove(which)).expect("a link"));
        let mut bytes = signed.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        if let Ok(other) = SignedLink::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
            prop_assert_eq!(other.signers(), Err(Distrust::BadSignature));
        }
    }
}
