//! The golden vectors of a fleet's chain, in `tests/data/federation/vectors-fleet.json`, which a second reader in another language also
//! verifies.
//!
//! They follow from the keys below. `HEARTH_WRITE_VECTORS=1` writes them; otherwise what is committed must be what the code gives, and
//! must be judged as it says. `docs/federation-format.md` says what the bytes mean. A new action belongs into `story` and `link_cases`.
#![forbid(unsafe_code)]

use std::{collections::BTreeMap, convert::Infallible, path::PathBuf};

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use hearth_core::{
    DeviceId, Moment,
    fleet::{
        FleetId,
        chain::{Fleet, Refused},
        epoch::{EpochKey, For, WrapSecret},
        link::{Action, BadLink, Device, Guest, Last, Link, Relay, Sheet, SignedLink, WRAPPED_BYTES},
        policy::Policy,
    },
    merkle::Hash,
    signed::Signable as _,
};
use minicbor::Encoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BEGUN: u64 = 1_780_000_000_000;

/// Who is in the story: the first two devices are admins, the third becomes one, the fourth is there for a while, the fifth is a stranger.
const NAMES: [&str; 7] = ["study", "laptop", "phone", "guest", "stranger", "relay", "sheet"];
const STUDY: u8 = 1;
const LAPTOP: u8 = 2;
const PHONE: u8 = 3;
const GUEST: u8 = 4;
const STRANGER: u8 = 5;
const RELAY: u8 = 6;
const SHEET: u8 = 7;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/federation")
}

fn seed(who: u8) -> [u8; 32] {
    [0xc0 | who; 32]
}

fn key(who: u8) -> SigningKey {
    SigningKey::from_bytes(&seed(who))
}

fn public(who: u8) -> [u8; 32] {
    key(who).verifying_key().to_bytes()
}

fn wrap_key(who: u8) -> [u8; 32] {
    WrapSecret::of_seed(&seed(who)).public()
}

fn id(who: u8) -> DeviceId {
    DeviceId::of_key_bytes(&public(who))
}

fn device(who: u8, admin: bool) -> Device {
    let name = NAMES[usize::from(who) - 1].to_owned();
    Device { key: public(who), wrap_key: wrap_key(who), name, admin, expires: None }
}

fn epoch_key(epoch: u32) -> [u8; 32] {
    [0xe0 | u8::try_from(epoch).expect("few"); 32]
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().expect("a text").as_bytes()).expect("hexadecimal digits")
}

fn written(write: impl Fn(&mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Infallible>>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out)).expect("memory");
    out
}

/// A chain that grows, and who signed what.
struct Row {
    fleet: Fleet,
    links: Vec<Vec<u8>>,
}

impl Row {
    fn begun() -> Self {
        let first = Link::first(Moment::from_millis(BEGUN), "home", device(STUDY, true), 2).expect("a link");
        let signed = SignedLink::by(&key(STUDY), first);
        Self { links: vec![signed.encode()], fleet: Fleet::begin(signed).expect("a fleet") }
    }

    fn link(&self, action: Action) -> Link {
        let at = Moment::from_millis(BEGUN + 1_000 * self.links.len() as u64);
        self.fleet.head().then(at, action).expect("a link")
    }

    fn go(&mut self, by: &[u8], action: Action) {
        let signed = signed_by(by, self.link(action));
        self.links.push(signed.encode());
        self.fleet.handle(signed).expect("it holds");
    }

    /// The row with a link more, whether it holds or not.
    fn and(&self, by: &[u8], action: Action) -> Value {
        self.and_bytes(&signed_by(by, self.link(action)).encode())
    }

    fn and_bytes(&self, link: &[u8]) -> Value {
        self.links.iter().map(Vec::as_slice).chain([link]).map(hex).collect()
    }

    fn wraps(&self, epoch: u32, whom: &[u8]) -> Vec<(DeviceId, [u8; WRAPPED_BYTES])> {
        let mut wraps: Vec<_> = whom.iter().map(|who| (id(*who), self.wrap(epoch, *who))).collect();
        wraps.sort();
        wraps
    }

    fn wrap(&self, epoch: u32, who: u8) -> [u8; WRAPPED_BYTES] {
        let whom = For { fleet: self.fleet.id(), epoch, device: id(who) };
        let entropy = Sha256::digest([b"entropy".as_slice(), &[who], &epoch.to_be_bytes()].concat()).into();
        EpochKey::from_entropy(epoch_key(epoch)).wrap(&wrap_key(who), whom, entropy).expect("a public key")
    }
}

fn signed_by(by: &[u8], link: Link) -> SignedLink {
    by[1..].iter().fold(SignedLink::by(&key(by[0]), link), |signed, who| signed.and(&key(*who)).expect("room"))
}

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.set("cellar", [id(PHONE)].into(), [0, 7]).expect("sound");
    policy.set("the st\u{fc}dy", [id(STUDY), id(LAPTOP), id(RELAY)].into(), [1, 0]).expect("sound");
    policy.remove("cellar").expect("it is there");
    policy
}

fn relay() -> Relay {
    Relay { key: public(RELAY), address: "relay.example:8443".into(), region: "eu".into() }
}

fn guest(fleet: [u8; 16]) -> Guest {
    Guest { fleet: FleetId::from_bytes(fleet), name: "ann\u{e9}".into() }
}

fn sheet(row: &Row, epochs: &[u32]) -> Action {
    let wraps = epochs.iter().map(|epoch| (*epoch, row.wrap(*epoch, SHEET))).collect();
    Action::AddSheet(Sheet { key: public(SHEET), wrap_key: wrap_key(SHEET), wraps })
}

fn out(who: u8, ends: &[(u64, u64)]) -> Action {
    let last = |(incarnation, number): &(u64, u64)| Last { incarnation: *incarnation, number: *number, head: [9; 32] };
    Action::RevokeDevice { device: id(who), ends: ends.iter().map(last).collect() }
}

/// A fleet that does everything once.
fn story() -> Row {
    let mut row = Row::begun();
    row.go(&[STUDY], Action::AddDevice(device(LAPTOP, true)));
    row.go(&[STUDY], Action::AddDevice(device(PHONE, false)));
    let expires = Some(Moment::from_millis(BEGUN + (1 << 33)));
    row.go(&[LAPTOP], Action::AddDevice(Device { expires, ..device(GUEST, false) }));
    let wraps = row.wraps(1, &[STUDY, LAPTOP, PHONE, GUEST]);
    row.go(&[STUDY, LAPTOP], Action::Rotate { epoch: 1, wraps });
    row.go(&[LAPTOP], Action::Policy { epoch: 1, bytes: policy().encode() });
    row.go(&[STUDY], Action::AddRelay(relay()));
    let sheet = sheet(&row, &[1]);
    row.go(&[STUDY, LAPTOP], sheet);
    row.go(&[STUDY, LAPTOP], out(GUEST, &[(0x0001_a1fb_0b31_48ff, 23), (1 << 56 | 0x0001_a1fb_0b31_4900, 0)]));
    let wraps = row.wraps(2, &[STUDY, LAPTOP, PHONE, SHEET]);
    row.go(&[LAPTOP, STUDY], Action::Rotate { epoch: 2, wraps });
    row.go(&[STUDY, LAPTOP], Action::AddAdmin(id(PHONE)));
    row.go(&[PHONE, STUDY], Action::RemoveAdmin(id(LAPTOP)));
    row.go(&[STUDY, PHONE], Action::SetThreshold(3));
    row.go(&[PHONE], Action::RemoveRelay(public(RELAY)));
    row.go(&[PHONE], Action::AddGuest(guest([0x21; 16])));
    row.go(&[PHONE], Action::AddGuest(guest([0x20; 16])));
    row.go(&[STUDY], Action::RemoveGuest(guest([0x21; 16]).fleet));
    row.go(&[SHEET], out(STUDY, &[]));
    let keeps = row.fleet.head().digest();
    row.go(&[PHONE], Action::Resolve { keeps });
    row
}

/// What a chain says, for whoever reads it to compare.
fn says(fleet: &Fleet) -> Value {
    let now = Moment::from_millis(BEGUN + 60_000);
    let people = 1..=7;
    let ends: BTreeMap<String, Value> = people
        .clone()
        .filter(|who| fleet.standing(&id(*who), now) == Some(hearth_core::fleet::chain::Standing::Revoked))
        .map(|who| {
            let known = [0x0001_a1fb_0b31_48ff, 1 << 56 | 0x0001_a1fb_0b31_4900];
            let ends = known.into_iter().filter_map(|life| Some(json!([life, fleet.end_of(&id(who), life)?])));
            (hex(id(who).as_bytes()), ends.collect())
        })
        .collect();
    json!({
        "name": fleet.name(),
        "members": fleet.members(now).map(|(id, _)| hex(id.as_bytes())).collect::<Vec<_>>(),
        "admins": people.filter(|who| fleet.is_admin(&id(*who))).map(|who| hex(id(who).as_bytes())).collect::<std::collections::BTreeSet<_>>(),
        "needs": fleet.threshold(),
        "epoch": fleet.epoch(),
        "policy": fleet.policy().0,
        "residencies": fleet.policy().1.residencies().map(|(number, it)| {
            json!([number, it.name, it.homes.iter().map(|home| hex(home.as_bytes())).collect::<Vec<_>>()])
        }).collect::<Vec<_>>(),
        "relays": fleet.relays().map(|relay| hex(&relay.key)).collect::<Vec<_>>(),
        "guests": fleet.guests().map(|(fleet, name)| json!([hex(fleet.as_bytes()), name])).collect::<Vec<_>>(),
        "sheet": fleet.sheet().map(|(sheet, _)| hex(sheet.id().as_bytes())),
        "ends": ends,
    })
}

fn link_reason(why: BadLink) -> &'static str {
    match why {
        BadLink::Malformed => "malformed",
        BadLink::Newer(_) => "newer",
        BadLink::Name => "name",
        BadLink::Place => "place",
        BadLink::Key => "key",
        BadLink::ExpiringAdmin => "expiring-admin",
        BadLink::Threshold => "threshold",
        BadLink::TooLarge => "too-large",
        BadLink::Signatures => "signatures",
    }
}

fn chain_reason(why: Refused) -> &'static str {
    match why {
        Refused::OtherFleet => "other-fleet",
        Refused::NotTheFirst => "not-the-first",
        Refused::Signature(_) => "signature",
        Refused::Gap { .. } => "gap",
        Refused::Number => "number",
        Refused::Full | Refused::Crowded => "full",
        Refused::NotAnAdmin(_) => "not-an-admin",
        Refused::TooFew { .. } => "too-few",
        Refused::KnownDevice(_) => "known-device",
        Refused::UnknownDevice(_) => "unknown-device",
        Refused::TooManyDevices | Refused::TooManyRelays | Refused::TooManyGuests => "too-many",
        Refused::CannotBeAdmin(_) => "cannot-be-admin",
        Refused::LastAdmin(_) => "last-admin",
        Refused::Epoch { .. } => "epoch",
        Refused::Relay => "relay",
        Refused::Guest => "guest",
        Refused::Sheet => "sheet",
        Refused::KeepsElsewhere => "keeps-elsewhere",
    }
}

fn verdict_of_link(bytes: &[u8]) -> &'static str {
    match SignedLink::decode(bytes) {
        Ok(signed) if signed.signers().is_ok() => "good",
        Ok(_) => "signature",
        Err(why) => link_reason(why),
    }
}

fn verdict_of_chain(links: &Value) -> &'static str {
    let mut fleet: Option<Fleet> = None;
    for link in links.as_array().expect("a list") {
        let signed = match SignedLink::decode(&bytes(link)) {
            Ok(signed) => signed,
            Err(why) => return link_reason(why),
        };
        let taken = match &mut fleet {
            None => Fleet::begin(signed).map(|begun| fleet = Some(begun)),
            Some(fleet) => fleet.handle(signed).map(drop),
        };
        if let Err(why) = taken {
            return chain_reason(why);
        }
    }
    "good"
}

fn verdict(case: &Value) -> &'static str {
    let given = &case["bytes"];
    match case["as"].as_str().expect("a text") {
        "link" => verdict_of_link(&bytes(given)),
        "chain" => verdict_of_chain(given),
        "policy" => {
            if Policy::decode(&bytes(given)).is_some() {
                "good"
            } else {
                "unknown"
            }
        }
        other => panic!("nothing reads `{other}`"),
    }
}

fn case(name: &str, read_as: &str, given: impl Into<Value>, expected: &str) -> Value {
    let given: Value = given.into();
    let case = json!({ "name": name, "as": read_as, "bytes": given, "verdict": expected });
    assert_eq!(verdict(&case), expected, "{read_as}: {name}");
    case
}

/// A link as no program of ours would write it: its fields up to the action, and the action's bytes.
fn link_of(action: &[u8]) -> Vec<u8> {
    let fields = written(|e| {
        e.array(6)?.u8(1)?.bytes(&[8; 16])?.u64(3)?.bytes(&[7; 32])?.u64(BEGUN)?;
        Ok(())
    });
    [&fields, action].concat()
}

fn signed_as(context: &str, by: &[u8], link: &[u8]) -> Vec<u8> {
    let digest: Hash = Sha256::new().chain_update(context).chain_update([0]).chain_update(link).finalize().into();
    let signatures: BTreeMap<_, _> = by.iter().map(|who| (public(*who), key(*who).sign(&digest).to_bytes())).collect();
    put_together(link, &signatures.into_iter().collect::<Vec<_>>())
}

fn put_together(link: &[u8], signatures: &[([u8; 32], [u8; 64])]) -> Vec<u8> {
    written(|e| {
        e.array(2)?.bytes(link)?.array(signatures.len() as u64)?;
        for (key, signature) in signatures {
            e.array(2)?.bytes(key)?.bytes(signature)?;
        }
        Ok(())
    })
}

fn signed(link: &[u8]) -> String {
    hex(&signed_as(Link::CONTEXT, &[STUDY], link))
}

fn spliced(bytes: &[u8], at: usize, take: usize, put: &[u8]) -> Vec<u8> {
    [&bytes[..at], put, &bytes[at + take..]].concat()
}

/// An added device, with the name, the bytes of its last two fields, and its key as given.
fn added(key: &[u8; 32], name: &str, admin_and_expiry: &[u8]) -> Vec<u8> {
    let device = written(|e| {
        e.array(2)?.u8(2)?.array(5)?.bytes(key)?.bytes(&wrap_key(PHONE))?.str(name)?;
        Ok(())
    });
    link_of(&[&device, admin_and_expiry].concat())
}

fn link_cases(good: &Row) -> Vec<Value> {
    const FALSE: u8 = 0xf4;
    const TRUE: u8 = 0xf5;
    const NULL: u8 = 0xf6;
    let plain = link_of(&written(|e| e.array(2)?.u8(10)?.u8(3)?.ok()));
    let relay = |address: &str, region: &str| {
        link_of(&written(|e| e.array(4)?.u8(6)?.bytes(&public(RELAY))?.str(address)?.str(region)?.ok()))
    };
    let ends = |lives: &[u64]| {
        link_of(&written(|e| {
            e.array(3)?.u8(3)?.bytes(id(GUEST).as_bytes())?.array(lives.len() as u64)?;
            for life in lives {
                e.array(3)?.u64(*life)?.u64(5)?.bytes(&[9; 32])?;
            }
            Ok(())
        }))
    };
    let wraps = |ids: &[u8], length: usize| {
        link_of(&written(|e| {
            e.array(3)?.u8(4)?.u32(1)?.array(ids.len() as u64)?;
            for id in ids {
                e.array(2)?.bytes(&[*id; 16])?.bytes(&vec![6; length])?;
            }
            Ok(())
        }))
    };
    let sheet = |epochs: &[u32]| {
        link_of(&written(|e| {
            e.array(4)?.u8(12)?.bytes(&public(SHEET))?.bytes(&wrap_key(SHEET))?.array(epochs.len() as u64)?;
            for epoch in epochs {
                e.array(2)?.u32(*epoch)?.bytes(&[6; 80])?;
            }
            Ok(())
        }))
    };
    let guest_link =
        |fleet: &[u8], name: &str| link_of(&written(|e| e.array(3)?.u8(13)?.bytes(fleet)?.str(name)?.ok()));
    let threshold = |k: u8| link_of(&written(|e| e.array(2)?.u8(10)?.u8(k)?.ok()));
    let unknown = link_of(&written(|e| e.array(2)?.u8(99)?.u8(1)?.ok()));
    let create = link_of(&written(|e| {
        e.array(4)?.u8(1)?.str("home")?.array(5)?.bytes(&public(STUDY))?.bytes(&wrap_key(STUDY))?;
        e.str("study")?.bool(false)?.null()?.u8(1)?.ok()
    }));
    let mut weak = [0; 32];
    weak[0] = 1;
    let both = signed_as(Link::CONTEXT, &[STUDY, LAPTOP], &plain);
    let one = {
        let digest: Hash =
            Sha256::new().chain_update(Link::CONTEXT).chain_update([0]).chain_update(&plain).finalize().into();
        move |who: u8| (public(who), key(who).sign(&digest).to_bytes())
    };
    let mut pair = [one(STUDY), one(LAPTOP)];
    pair.sort();
    let turned = [pair[1], pair[0]];
    let crossed = [(pair[0].0, pair[1].1), (pair[1].0, pair[0].1)];

    let mut cases: Vec<Value> = (1_u8..)
        .zip(&good.links)
        .map(|(n, link)| case(&format!("link {n} of the story"), "link", hex(link), "good"))
        .collect();
    cases.extend([
        case("by two", "link", hex(&both), "good"),
        case("three ends", "link", signed(&ends(&[0, 7, 1 << 56])), "good"),
        case("no end", "link", signed(&ends(&[])), "good"),
        case(
            "a policy that nobody can read",
            "link",
            signed(&link_of(&written(|e| e.array(3)?.u8(5)?.u32(9)?.bytes(b"?")?.ok()))),
            "good",
        ),
        case("a sheet without wraps", "link", signed(&sheet(&[])), "good"),
        case("nothing", "link", "", "malformed"),
        case("a byte behind it", "link", hex(&[&both[..], &[0]].concat()), "malformed"),
        case("a byte behind the link", "link", signed(&[&plain[..], &[0]].concat()), "malformed"),
        case("a newer link", "link", signed(&spliced(&plain, 1, 1, &[2])), "newer"),
        case("version 0", "link", signed(&spliced(&plain, 1, 1, &[0])), "malformed"),
        case("a number in a longer form", "link", signed(&spliced(&plain, 19, 1, &[0x18, 3])), "malformed"),
        case("an array without an end", "link", signed(&[&[0x9f], &plain[1..], &[0xff]].concat()), "malformed"),
        case("an unknown action", "link", signed(&unknown), "malformed"),
        case("an action with a field too many", "link", signed(&link_of(&[0x83, 10, 3, 0])), "malformed"),
        case("a guest", "link", signed(&guest_link(&[4; 16], "anna")), "good"),
        case("a guest without a name", "link", signed(&guest_link(&[4; 16], "")), "name"),
        case("itself as a guest", "link", signed(&guest_link(&[8; 16], "us")), "malformed"),
        case("a fleet of 15 bytes", "link", signed(&spliced(&plain, 2, 2, &[0x4f])), "malformed"),
        case("a name of 64 bytes", "link", signed(&added(&public(PHONE), &"n".repeat(64), &[FALSE, NULL])), "good"),
        case(
            "a name of 65 bytes",
            "link",
            signed(&added(&public(PHONE), &"n".repeat(65), &[FALSE, NULL])),
            "malformed",
        ),
        case("no name", "link", signed(&added(&public(PHONE), "", &[FALSE, NULL])), "name"),
        case("a name with an escape", "link", signed(&added(&public(PHONE), "a\u{1b}[2J", &[FALSE, NULL])), "name"),
        case(
            "a name with a control character of two bytes",
            "link",
            signed(&added(&public(PHONE), "a\u{85}", &[FALSE, NULL])),
            "name",
        ),
        case(
            "a name that is no text",
            "link",
            signed(&{
                let bytes = added(&public(PHONE), "phone", &[FALSE, NULL]);
                let at = bytes.len() - 7;
                spliced(&bytes, at, 1, &[0xff])
            }),
            "malformed",
        ),
        case("an expiry", "link", signed(&added(&public(PHONE), "phone", &[FALSE, 0x19, 1, 0])), "good"),
        case(
            "an expiry in a longer form",
            "link",
            signed(&added(&public(PHONE), "phone", &[FALSE, 0x19, 0, 1])),
            "malformed",
        ),
        case("an admin by number", "link", signed(&added(&public(PHONE), "phone", &[1, NULL])), "malformed"),
        case(
            "an expiry that is undefined",
            "link",
            signed(&added(&public(PHONE), "phone", &[FALSE, 0xf7])),
            "malformed",
        ),
        case("an admin that expires", "link", signed(&added(&public(PHONE), "phone", &[TRUE, 1])), "expiring-admin"),
        case("a key of small order", "link", signed(&added(&weak, "phone", &[FALSE, NULL])), "key"),
        case("a key that is none", "link", signed(&added(&[2; 32], "phone", &[FALSE, NULL])), "key"),
        case("a fleet without an admin", "link", signed(&create), "malformed"),
        case("threshold 16", "link", signed(&threshold(16)), "good"),
        case("threshold 0", "link", signed(&threshold(0)), "threshold"),
        case("threshold 17", "link", signed(&threshold(17)), "threshold"),
        case("ends out of order", "link", signed(&ends(&[9, 7])), "malformed"),
        case("an end twice", "link", signed(&ends(&[7, 7])), "malformed"),
        case("wraps out of order", "link", signed(&wraps(&[2, 1], 80)), "malformed"),
        case("a wrap twice", "link", signed(&wraps(&[2, 2], 80)), "malformed"),
        case("a wrap of 79 bytes", "link", signed(&wraps(&[1], 79)), "malformed"),
        case("a sheet whose wraps are out of order", "link", signed(&sheet(&[2, 1])), "malformed"),
        case("a relay without a region", "link", signed(&relay("relay:1", "")), "good"),
        case("a relay without an address", "link", signed(&relay("", "eu")), "place"),
        case("a relay in a region with a line in it", "link", signed(&relay("relay:1", "e\nu")), "place"),
        case("no signature", "link", hex(&put_together(&plain, &[])), "signatures"),
        case("signatures out of order", "link", hex(&put_together(&plain, &turned)), "signatures"),
        case("a signature twice", "link", hex(&put_together(&plain, &[pair[0], pair[0]])), "signatures"),
        case("signatures of each other's keys", "link", hex(&put_together(&plain, &crossed)), "signature"),
        case("one of two is forged", "link", hex(&put_together(&plain, &[pair[0], (pair[1].0, [0; 64])])), "signature"),
        case("signed under another context", "link", hex(&signed_as("hearth/seg/1", &[STUDY], &plain)), "signature"),
        case(
            "signed by a key of small order",
            "link",
            hex(&put_together(&plain, &[(weak, spliced(&[0; 64], 0, 1, &[1]).try_into().expect("64"))])),
            "signature",
        ),
    ]);
    cases
}

fn first_cases(good: &Row) -> Vec<Value> {
    let first = |fleet: FleetId, number, prev, who| {
        let action = Action::Create { name: "home".into(), device: device(who, true), threshold: 1 };
        Link::new(fleet, number, prev, Moment::from_millis(BEGUN), action).expect("a link")
    };
    let alone = |by: &[u8], link: Link| Value::from(vec![hex(&signed_by(by, link).encode())]);
    let list = |of: &[usize]| of.iter().map(|n| hex(&good.links[*n])).collect::<Value>();
    vec![
        case("a fleet of one", "chain", alone(&[STUDY], first(FleetId::NONE, 0, [0; 32], STUDY)), "good"),
        case(
            "signed by another than it names",
            "chain",
            alone(&[LAPTOP], first(FleetId::NONE, 0, [0; 32], STUDY)),
            "not-the-first",
        ),
        case(
            "signed by another too",
            "chain",
            alone(&[STUDY, LAPTOP], first(FleetId::NONE, 0, [0; 32], STUDY)),
            "not-the-first",
        ),
        case(
            "a first link that names a fleet",
            "chain",
            alone(&[STUDY], first(FleetId::from_bytes([1; 16]), 0, [0; 32], STUDY)),
            "not-the-first",
        ),
        case(
            "a first link with number 1",
            "chain",
            alone(&[STUDY], first(FleetId::NONE, 1, [0; 32], STUDY)),
            "not-the-first",
        ),
        case(
            "a first link behind another",
            "chain",
            alone(&[STUDY], first(FleetId::NONE, 0, [1; 32], STUDY)),
            "not-the-first",
        ),
        case("the first is missing", "chain", list(&[1, 2]), "not-the-first"),
        case("one between is missing", "chain", list(&[0, 1, 3]), "gap"),
        case("two turned about", "chain", list(&[0, 2, 1]), "gap"),
    ]
}

fn chain_cases(good: &Row) -> Vec<Value> {
    let all: Value = good.links.iter().map(|link| hex(link)).collect();
    let mut two = Row::begun();
    two.go(&[STUDY], Action::AddDevice(device(LAPTOP, true)));
    two.go(&[STUDY], Action::AddDevice(device(PHONE, false)));
    two.go(&[STUDY], Action::AddRelay(relay()));
    let mut one = Row::begun();
    one.go(&[STUDY], Action::AddDevice(device(PHONE, false)));
    let mut hosts = Row::begun();
    hosts.go(&[STUDY], Action::AddGuest(guest([4; 16])));
    let mut gone = Row::begun();
    gone.go(&[STUDY], Action::AddDevice(device(LAPTOP, true)));
    gone.go(&[STUDY, LAPTOP], out(LAPTOP, &[]));
    let mut shown = Row::begun();
    let first_sheet = sheet(&shown, &[]);
    shown.go(&[STUDY], first_sheet);
    let mut torn = Row::begun();
    let lost = sheet(&torn, &[]);
    torn.go(&[STUDY], lost);
    torn.go(&[STUDY], out(SHEET, &[]));
    let elsewhere = |fleet: FleetId, number: u64, prev: Hash| {
        let link = Link::new(fleet, number, prev, Moment::from_millis(BEGUN), Action::SetThreshold(1)).expect("a link");
        two.and_bytes(&signed_by(&[STUDY, LAPTOP], link).encode())
    };
    let (home, next, prev) = (two.fleet.id(), two.links.len() as u64, two.fleet.head().digest());
    let forged = {
        let mut bytes = signed_by(&[STUDY], two.link(Action::RemoveRelay(public(RELAY)))).encode();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        two.and_bytes(&bytes)
    };
    let again = Action::Create { name: "home".into(), device: device(STUDY, true), threshold: 2 };
    let for_a_while = Action::AddDevice(Device { expires: Some(Moment::START), ..device(GUEST, false) });
    let mut brief = Row::begun();
    brief.go(&[STUDY], for_a_while);
    let rotate = |row: &Row, epoch, whom: &[u8]| Action::Rotate { epoch, wraps: row.wraps(epoch, whom) };
    let kept = |row: &Row, link: usize| Action::Resolve {
        keeps: SignedLink::decode(&row.links[link]).expect("a link").digest(),
    };
    let mut cases = vec![
        case("everything once", "chain", all, "good"),
        case("another fleet's link", "chain", elsewhere(FleetId::from_bytes([1; 16]), next, prev), "other-fleet"),
        case("behind a link that is not there", "chain", elsewhere(home, next, [1; 32]), "gap"),
        case("a number left out", "chain", elsewhere(home, next + 1, prev), "number"),
        case("a second beginning", "chain", two.and(&[STUDY], again), "not-the-first"),
        case("a forged signature", "chain", forged, "signature"),
        case("by a member", "chain", two.and(&[PHONE], Action::RemoveRelay(public(RELAY))), "not-an-admin"),
        case("by an admin and a member", "chain", two.and(&[STUDY, PHONE], Action::SetThreshold(1)), "not-an-admin"),
        case("by a stranger", "chain", two.and(&[STRANGER], Action::RemoveRelay(public(RELAY))), "not-an-admin"),
        case("by an admin who was revoked", "chain", gone.and(&[LAPTOP], Action::SetThreshold(1)), "not-an-admin"),
        case("by a sheet that was revoked", "chain", torn.and(&[SHEET], Action::SetThreshold(1)), "not-an-admin"),
        case("by the sheet alone", "chain", shown.and(&[SHEET], Action::SetThreshold(9)), "good"),
        case("another sheet after one was revoked", "chain", torn.and(&[STUDY], sheet(&torn, &[])), "known-device"),
        case("one alone takes a device out", "chain", two.and(&[STUDY], out(PHONE, &[])), "too-few"),
        case("two take a device out", "chain", two.and(&[STUDY, LAPTOP], out(PHONE, &[(3, 4)])), "good"),
        case("one alone adds an admin", "chain", two.and(&[LAPTOP], Action::AddDevice(device(GUEST, true))), "too-few"),
        case("one alone makes an admin", "chain", two.and(&[LAPTOP], Action::AddAdmin(id(PHONE))), "too-few"),
        case("one alone changes the key", "chain", two.and(&[STUDY], rotate(&two, 1, &[])), "too-few"),
        case("one alone is the whole of a threshold of 2", "chain", one.and(&[STUDY], Action::SetThreshold(2)), "good"),
        case(
            "a device that is there",
            "chain",
            two.and(&[STUDY], Action::AddDevice(device(PHONE, false))),
            "known-device",
        ),
        case(
            "a device that was revoked",
            "chain",
            gone.and(&[STUDY], Action::AddDevice(device(LAPTOP, false))),
            "known-device",
        ),
        case(
            "a device that nobody knows is taken out",
            "chain",
            two.and(&[STUDY, LAPTOP], out(STRANGER, &[])),
            "unknown-device",
        ),
        case("a device is taken out twice", "chain", gone.and(&[STUDY], out(LAPTOP, &[])), "unknown-device"),
        case("the only admin is taken out", "chain", one.and(&[STUDY], out(STUDY, &[])), "last-admin"),
        case("the only admin steps down", "chain", one.and(&[STUDY], Action::RemoveAdmin(id(STUDY))), "last-admin"),
        case("who is no admin steps down", "chain", one.and(&[STUDY], Action::RemoveAdmin(id(PHONE))), "not-an-admin"),
        case(
            "who expires becomes an admin",
            "chain",
            brief.and(&[STUDY], Action::AddAdmin(id(GUEST))),
            "cannot-be-admin",
        ),
        case(
            "who expires may be gone and is still wrapped to",
            "chain",
            brief.and(&[STUDY], rotate(&brief, 1, &[GUEST])),
            "good",
        ),
        case(
            "a stranger becomes an admin",
            "chain",
            one.and(&[STUDY], Action::AddAdmin(id(STRANGER))),
            "unknown-device",
        ),
        case("an epoch is left out", "chain", one.and(&[STUDY], rotate(&one, 2, &[])), "epoch"),
        case("a key for a stranger", "chain", one.and(&[STUDY], rotate(&one, 1, &[STRANGER])), "unknown-device"),
        case("a policy is left out", "chain", one.and(&[STUDY], Action::Policy { epoch: 2, bytes: vec![] }), "epoch"),
        case("a relay twice", "chain", two.and(&[STUDY], Action::AddRelay(relay())), "relay"),
        case("a guest twice", "chain", hosts.and(&[STUDY], Action::AddGuest(guest([4; 16]))), "guest"),
        case("a guest goes", "chain", hosts.and(&[STUDY], Action::RemoveGuest(FleetId::from_bytes([4; 16]))), "good"),
        case("a guest goes that is not there", "chain", one.and(&[STUDY], Action::RemoveGuest(FleetId::NONE)), "guest"),
        case("a relay goes that is not there", "chain", one.and(&[STUDY], Action::RemoveRelay(public(RELAY))), "relay"),
        case("a second sheet", "chain", shown.and(&[STUDY], sheet(&shown, &[])), "sheet"),
        case("a sheet with a key that is to come", "chain", one.and(&[STUDY], sheet(&one, &[1])), "epoch"),
        case("what is settled stands elsewhere", "chain", one.and(&[STUDY], kept(&two, 1)), "keeps-elsewhere"),
        case("what is settled stands before", "chain", one.and(&[STUDY], kept(&one, 1)), "good"),
    ];
    cases.extend(first_cases(good));
    cases
}

fn policy_cases() -> Vec<Value> {
    let good = policy().encode();
    let mut changed = good.clone();
    changed[1] = 2;
    let of = |rows: &[(u16, &str, &[u8])]| {
        Value::from(hex(&written(|e| {
            e.array(2)?.u8(1)?.array(rows.len() as u64)?;
            for (number, name, homes) in rows {
                e.array(3)?.u16(*number)?.str(name)?.array(homes.len() as u64)?;
                for home in *homes {
                    e.bytes(&[*home; 16])?;
                }
            }
            Ok(())
        })))
    };
    let long = "n".repeat(65);
    let many: Vec<_> = (2..67).map(|number| (number, "r", &[1_u8][..])).collect();
    vec![
        case("one that holds and one that was taken away", "policy", hex(&good), "good"),
        case("no residency", "policy", of(&[]), "good"),
        case("64 residencies", "policy", of(&many[..64]), "good"),
        case("65 residencies", "policy", of(&many), "unknown"),
        case("the highest number", "policy", of(&[(65_535, "a", &[1])]), "good"),
        case("a newer policy", "policy", hex(&changed), "unknown"),
        case("nothing", "policy", "", "unknown"),
        case("a byte behind it", "policy", hex(&[&good[..], &[0]].concat()), "unknown"),
        case("a cut policy", "policy", hex(&good[..good.len() - 1]), "unknown"),
        case("number 1", "policy", of(&[(1, "a", &[1])]), "unknown"),
        case("numbers out of order", "policy", of(&[(3, "a", &[1]), (2, "b", &[1])]), "unknown"),
        case("a number twice", "policy", of(&[(2, "a", &[1]), (2, "b", &[1])]), "unknown"),
        case("homes out of order", "policy", of(&[(2, "a", &[2, 1])]), "unknown"),
        case("a home twice", "policy", of(&[(2, "a", &[1, 1])]), "unknown"),
        case("a name without homes", "policy", of(&[(2, "a", &[])]), "unknown"),
        case("homes without a name", "policy", of(&[(2, "", &[1])]), "unknown"),
        case("a name of 65 bytes", "policy", of(&[(2, &long, &[1])]), "unknown"),
        case("a name with a line in it", "policy", of(&[(2, "a\nb", &[1])]), "unknown"),
        case("a number in a longer form", "policy", hex(&[0x82, 1, 0x81, 0x83, 0x18, 2, 0x60, 0x80]), "unknown"),
    ]
}

/// Every key of an epoch that the story wraps, and whose it is.
fn wraps(row: &Row) -> Vec<Value> {
    let people = [STUDY, LAPTOP, PHONE, GUEST];
    let devices = [1, 2].into_iter().flat_map(|epoch| people.map(|who| (epoch, who)));
    devices
        .filter_map(|(epoch, who)| Some((epoch, who, *row.fleet.wrapped(epoch, &id(who))?)))
        .chain([1, 2].map(|epoch| (epoch, SHEET, row.wrap(epoch, SHEET))))
        .map(|(epoch, who, wrapped)| {
            json!({ "epoch": epoch, "seed": hex(&seed(who)), "wrapped": hex(&wrapped), "key": hex(&epoch_key(epoch)) })
        })
        .collect()
}

fn vectors() -> Value {
    let row = story();
    let id = row.fleet.id();
    let digests: Vec<String> =
        row.links.iter().map(|link| hex(&SignedLink::decode(link).expect("a link").digest())).collect();
    let people: Vec<Value> = (1_u8..)
        .zip(NAMES)
        .map(|(who, name)| {
            json!({
                "name": name, "seed": hex(&seed(who)), "public": hex(&public(who)), "wrap": hex(&wrap_key(who)),
                "id": hex(self::id(who).as_bytes()),
            })
        })
        .collect();
    let cases = [link_cases(&row), chain_cases(&row), policy_cases()].concat();
    let life = 0x0001_a1fb_0b31_48ff_u64;
    let counted = [
        (GUEST, life, 0),
        (GUEST, life, 23),
        (GUEST, life, 24),
        (GUEST, life + 1, 0),
        (STUDY, life, 0),
        (PHONE, life, u64::MAX),
        (STRANGER, life, 0),
        (SHEET, life, 0),
    ]
    .map(|(who, life, number)| json!([hex(&public(who)), life, number, row.fleet.accepts(&public(who), life, number)]));
    json!({
        "about": "Golden vectors of a fleet's chain, docs/federation-format.md, written by core/tests/fleet_vectors.rs. The keys are nobody's.",
        "people": people,
        "fleet": hex(id.as_bytes()),
        "space": hex(id.space().as_bytes()),
        "tag": hex(&id.tag()),
        "links": digests,
        "says": says(&row.fleet),
        "counts": counted,
        "wraps": wraps(&row),
        "cases": cases,
    })
}

#[test]
fn the_committed_vectors_of_a_fleet_are_what_the_code_gives() {
    let path = folder().join("vectors-fleet.json");
    let given = vectors();
    if std::env::var_os("HEARTH_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&given).expect("it is JSON") + "\n";
        std::fs::write(&path, text).expect("the folder of the vectors can be written");
    }
    let text =
        std::fs::read_to_string(&path).expect("the vectors are committed; write them with HEARTH_WRITE_VECTORS=1");
    let committed: Value = serde_json::from_str(&text).expect("it is JSON");
    for (key, value) in given.as_object().expect("an object") {
        assert_eq!(&committed[key], value, "`{key}`; a changed format needs a new version and a decision in docs/adr/");
    }
    for case in committed["cases"].as_array().expect("a list") {
        assert_eq!(case["verdict"], verdict(case), "{}: {}", case["as"], case["name"]);
    }
}

/// Seeds for fuzzers, one file a case that is no link of the story: `fuzz/READER/CASE`; and the story itself, as it is stored.
#[test]
fn every_seed_of_a_fleets_chain_is_committed() {
    let given = vectors();
    let cases = given["cases"].as_array().expect("a list").iter().filter(|case| case["bytes"].is_string());
    let named = cases.map(|case| (case["as"].as_str().expect("a text"), case["name"].as_str().expect("a text"), case));
    let apart = named.filter(|(_, name, _)| !name.ends_with("of the story"));
    let mut seeds: Vec<_> =
        apart.map(|(reader, name, case)| (reader, name.replace([' ', '\''], "-"), bytes(&case["bytes"]))).collect();
    seeds.push(("chain", "everything-once".to_owned(), story().fleet.encode()));
    for (reader, name, seed) in seeds {
        let path = folder().join("fuzz").join(reader).join(name);
        if std::env::var_os("HEARTH_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder can be made");
            std::fs::write(&path, &seed).expect("the seed can be written");
        }
        assert!(std::fs::read(&path).is_ok_and(|committed| committed == seed), "{} is another", path.display());
    }
}

#[test]
fn the_story_does_everything_that_a_link_can_do() {
    let done: std::collections::BTreeSet<_> = story()
        .fleet
        .links()
        .map(|link| match link.link().action() {
            Action::Create { .. } => 1,
            Action::AddDevice(_) => 2,
            Action::RevokeDevice { .. } => 3,
            Action::Rotate { .. } => 4,
            Action::Policy { .. } => 5,
            Action::AddRelay(_) => 6,
            Action::RemoveRelay(_) => 7,
            Action::AddAdmin(_) => 8,
            Action::RemoveAdmin(_) => 9,
            Action::SetThreshold(_) => 10,
            Action::Resolve { .. } => 11,
            Action::AddSheet(_) => 12,
            Action::AddGuest(_) => 13,
            Action::RemoveGuest(_) => 14,
        })
        .collect();
    // As many as there are arms: whoever adds an action adds one, and is told here.
    assert_eq!(done, (1..=14).collect());
}
