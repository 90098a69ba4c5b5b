//! A fleet's chain as a story: bytes say what is signed, by whom, and behind which link. All of it is signed as it should be, which no
//! fuzzer finds by itself.
//!
//! Each four bytes are a link: what it does, which link it follows (from 200 on, the newest that counts), which of seven people sign it (a bit
//! each; the seventh is the recovery sheet), and about whom it is.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, Moment, SpaceId,
    fleet::{
        FleetId,
        chain::{Applied, Fleet, Refused},
        epoch::EpochKey,
        link::{Action, Device, Guest, Last, Link, Relay, Sheet, SignedLink, WRAPPED_BYTES},
        policy::{FIRST, Policy},
    },
};

/// Any time will do: no clock is asked whether a link holds.
pub const NOW: Moment = Moment::from_millis(1_000);
/// Whose documents the keys of the seeds are of.
pub const SPACE: SpaceId = SpaceId::from_bytes([4; 16]);

/// So many links make a story; more say nothing new.
const LINKS_MAX: usize = 40;
/// From here on a link follows the newest that counts.
const HEAD: u8 = 200;

/// The key of one of the people in these stories, from 1 to 7.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The key of an epoch of theirs.
pub fn epoch_key() -> EpochKey {
    EpochKey::from_entropy([5; 32])
}

/// The public keys, by seed from 0.
static PUBLIC: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| (0..16).map(|n| key(n).verifying_key().to_bytes()).collect());

fn public(seed: u8) -> [u8; 32] {
    PUBLIC[usize::from(seed)]
}

fn id(seed: u8) -> DeviceId {
    DeviceId::of_key_bytes(&public(seed))
}

/// The device of one of them.
pub fn device(seed: u8, admin: bool) -> Device {
    Device { key: public(seed), wrap_key: [seed; 32], name: format!("device {seed}"), admin, expires: None }
}

fn begun() -> Fleet {
    let first = Link::first(NOW, "home", device(1, true), 1).expect("a link");
    Fleet::begin(SignedLink::by(&key(1), first)).expect("a fleet")
}

/// Admins 1, 2 and 3, of which two must agree; 4 and 5 are members.
pub fn fleet() -> Fleet {
    static FLEET: LazyLock<Fleet> = LazyLock::new(|| {
        let mut fleet = begun();
        let added = [(2, true), (3, true), (4, false), (5, false)].map(|(seed, admin)| device(seed, admin));
        for action in added.map(Action::AddDevice).into_iter().chain([Action::SetThreshold(2)]) {
            let link = fleet.head().then(NOW, action).expect("a link");
            fleet.handle(SignedLink::by(&key(1), link)).expect("it holds");
        }
        fleet
    });
    FLEET.clone()
}

/// What a link does, about the one of this number. A new action belongs here.
fn action(kind: u8, about: u8, fleet: &Fleet, behind: &Link) -> Action {
    let whom = about % 8;
    let wraps = |least: u8| -> Vec<_> {
        let mut wraps: Vec<_> = (least..8).map(|seed| (id(seed), [seed; WRAPPED_BYTES])).collect();
        wraps.sort();
        wraps
    };
    match kind % 15 {
        0 => Action::Create { name: "another".into(), device: device(whom, true), threshold: 1 },
        1 => Action::AddDevice(device(whom, about & 8 != 0)),
        2 => Action::AddDevice(Device { expires: Some(NOW), ..device(whom, false) }),
        3 => Action::RevokeDevice {
            device: id(whom),
            ends: (0..u64::from(about >> 6))
                .map(|n| Last { incarnation: n, number: u64::from(about >> 3 & 7), head: [about; 32] })
                .collect(),
        },
        4 => Action::Rotate {
            epoch: fleet.epoch() + u32::from(about < 250),
            wraps: if about & 8 == 0 { Vec::new() } else { wraps(whom) },
        },
        5 => Action::Policy {
            epoch: fleet.policy().0 + 1,
            bytes: {
                let mut policy = fleet.policy().1.clone();
                let set = policy.set("study", [id(whom)].into(), [0, about]).is_ok();
                if set && about < 250 { policy.encode() } else { vec![about] }
            },
        },
        6 => Action::AddRelay(Relay { key: public(whom), address: "relay:443".into(), region: String::new() }),
        7 => Action::RemoveRelay(public(whom)),
        8 => Action::AddAdmin(id(whom)),
        9 => Action::RemoveAdmin(id(whom)),
        10 => Action::SetThreshold(1 + about % 3),
        11 => {
            let links: Vec<_> = fleet.links().collect();
            let kept = links[usize::from(about) % links.len()].digest();
            let settles =
                fleet.sides().any(|side| side == behind).then(|| fleet.resolve(&digest(behind), NOW)).flatten();
            match settles {
                Some(link) if about >= HEAD => link.action().clone(),
                _ => Action::Resolve { keeps: kept },
            }
        }
        12 => Action::AddGuest(Guest { fleet: guest(whom), name: "anna".into() }),
        13 => Action::RemoveGuest(guest(whom)),
        _ => Action::AddSheet(Sheet {
            key: public(7),
            wrap_key: [7; 32],
            wraps: (1..=fleet.epoch()).take(usize::from(about % 4)).map(|epoch| (epoch, [7; WRAPPED_BYTES])).collect(),
        }),
    }
}

fn guest(whom: u8) -> FleetId {
    FleetId::from_bytes([whom; 16])
}

fn digest(link: &Link) -> hearth_core::merkle::Hash {
    hearth_core::signed::Signable::digest(link)
}

/// What the chain says, in what everything else asks it.
fn said(fleet: &Fleet) -> impl PartialEq + std::fmt::Debug + use<> {
    let devices: Vec<_> = (0..8)
        .map(|seed| {
            let id = id(seed);
            let ends: Vec<_> = (0..4).map(|incarnation| fleet.end_of(&id, incarnation)).collect();
            (fleet.standing(&id, NOW), fleet.is_admin(&id), ends, fleet.wrapped(fleet.epoch(), &id).copied())
        })
        .collect();
    let (policy_epoch, policy) = fleet.policy();
    let sides: std::collections::BTreeSet<_> = fleet.sides().map(digest).collect();
    let relays: Vec<_> = fleet.relays().cloned().collect();
    let sheet = fleet.sheet().map(|(sheet, _)| sheet.clone());
    let stands = (digest(fleet.head()), fleet.fork(), fleet.epoch(), fleet.threshold(), sides);
    (stands, devices, policy_epoch, policy.clone(), fleet.knows_policy(), relays, sheet)
}

/// Takes a story in, and asks that a refused link changed nothing, that a known one is known, and that another who hears it in another
/// order or from a snapshot believes the same.
pub fn story(bytes: &[u8]) {
    let mut fleet = begun();
    for step in bytes.chunks_exact(4).take(LINKS_MAX) {
        let [kind, behind, signers, about] = step else { unreachable!("four bytes") };
        let behind = match behind {
            HEAD.. => fleet.head().clone(),
            _ => {
                let links: Vec<_> = fleet.links().collect();
                links[usize::from(*behind) % links.len()].link().clone()
            }
        };
        let action = action(*kind, *about, &fleet, &behind);
        let Ok(link) = behind.then(NOW, action) else { continue };
        let mut signers = (0..7).filter(|bit| signers >> bit & 1 == 1).map(|bit| key(bit + 1));
        let first = signers.next().unwrap_or_else(|| key(1));
        let signed =
            signers.fold(SignedLink::by(&first, link), |signed, key| signed.and(&key).expect("room for seven"));
        hear(&mut fleet, signed);
    }
    check(&fleet);
}

fn hear(fleet: &mut Fleet, signed: SignedLink) {
    let before = fleet.encode();
    match fleet.handle(signed.clone()) {
        Ok(_) => {
            let after = fleet.encode();
            assert_eq!(fleet.handle(signed), Ok(Applied::Known), "a link that is known is known");
            assert!(fleet.encode() == after, "and brings nothing new");
        }
        Err(why) => {
            assert!(!matches!(why, Refused::Signature(_) | Refused::Gap { .. } | Refused::Number), "{why}");
            assert!(fleet.encode() == before, "what is refused changes nothing: {why}");
        }
    }
}

fn check(fleet: &Fleet) {
    assert!(fleet.threshold() >= 1, "somebody can always sign");
    let expected = said(fleet);
    let read = Fleet::decode(&fleet.encode()).expect("what was written");
    assert_eq!(said(&read), expected, "a snapshot says the same");

    // Parents first, and otherwise the last first.
    let mut left: Vec<&SignedLink> = fleet.links().skip(1).collect();
    let mut turned = Fleet::begin(fleet.links().next().expect("a first link").clone()).expect("it began the fleet");
    while let Some(at) = left.iter().rposition(|link| turned.links().any(|known| known.digest() == *link.link().prev()))
    {
        let link = left.remove(at);
        turned.handle(link.clone()).expect("it holds in any order that puts parents first");
    }
    assert!(left.is_empty());
    assert_eq!(said(&turned), expected, "in another order it says the same");

    let policy: Policy = fleet.policy().1.clone();
    assert!(policy.residencies().all(|(number, _)| number >= FIRST));
}
