use ed25519_dalek::SigningKey;
use hearth_core::{
    Moment,
    fleet::link::{self, Action, Device, Link, SignedLink},
    signed::Signable as _,
};

use super::*;
use crate::relay::{conformance::Author, embedded::Embedded};

const NOW: Moment = Moment::from_millis(1_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn device(seed: u8) -> Device {
    let (key, name) = (key(seed).verifying_key().to_bytes(), format!("device {seed}"));
    Device { key, wrap_key: [seed; 32], name, admin: seed == 1, expires: None }
}

/// A fleet that device 1 founded, after these changes.
fn fleet(actions: &[Action]) -> Fleet {
    let mut link = Link::first(NOW, "home", device(1), 1).expect("a link");
    let mut fleet = Fleet::begin(SignedLink::by(&key(1), link.clone())).expect("a fleet");
    for action in actions {
        link = link.then(NOW, action.clone()).expect("a link");
        fleet.handle(SignedLink::by(&key(1), link.clone())).expect("it holds");
    }
    fleet
}

/// A relay and a fleet of the devices 1 and 2 that it serves.
fn served(data: &std::path::Path) -> (Arc<Relay>, Arc<Hosted>) {
    let identity = Identity::from_seed(&[9; 32]);
    let place =
        link::Relay { key: identity.public().to_bytes(), address: "relay.example:7843".into(), region: String::new() };
    let trust = Arc::new(TrustList::new(vec![key(1).verifying_key()], None).expect("a list"));
    let engine = Arc::new(Embedded::open(data).expect("it opens"));
    let relay = Relay::open(engine, identity, trust, || NOW, Allowance::default()).expect("it opens");
    let fleet = fleet(&[Action::AddDevice(device(2)), Action::AddRelay(place)]);
    let hosted = relay.introduce(fleet, &key(1).verifying_key()).expect("the operator named it");
    (relay, hosted)
}

#[test]
fn a_fleet_is_known_by_its_recovery_sheet_and_the_sheet_is_no_device_of_it() {
    let data = tempfile::tempdir().expect("a folder");
    let engine = Arc::new(Embedded::open(data.path()).expect("it opens"));
    let identity = Identity::from_seed(&[9; 32]);
    let (key_of_relay, address) = (identity.public().to_bytes(), "relay.example:7843".to_owned());
    let place = link::Relay { key: key_of_relay, address, region: String::new() };
    let trust = Arc::new(TrustList::new(vec![key(1).verifying_key()], None).expect("a list"));
    let relay = Relay::open(engine, identity, Arc::clone(&trust), || NOW, Allowance::default()).expect("it opens");
    let sheet = link::Sheet { key: device(5).key, wrap_key: [5; 32], wraps: vec![] };
    let id = sheet.id();
    let mut actions = vec![Action::AddRelay(place), Action::AddSheet(sheet)];
    let hosted = relay.introduce(fleet(&actions), &key(1).verifying_key()).expect("the operator named it");
    assert_eq!(relay.fleet_of_sheet(&id), Some(hosted.id()));
    assert!(relay.fleets_of(&id).is_empty() && !trust.knows(&id), "it neither syncs nor reports");
    let refused = relay.introduce(fleet(&actions), &key(5).verifying_key());
    assert!(matches!(refused, Err(NotServed::NotAMember)));
    actions.push(Action::RevokeDevice { device: id, ends: Vec::new() });
    hosted.take_in(&fleet(&actions)).expect("kept");
    assert_eq!(relay.fleet_of_sheet(&id), None);
}

#[test]
fn a_revocation_counts_at_once_and_is_kept_when_the_disk_takes_it_again() {
    let data = tempfile::tempdir().expect("a folder");
    let engine = || Arc::new(Embedded::open(data.path()).expect("it opens"));
    let identity = Identity::from_seed(&[9; 32]);
    let place =
        link::Relay { key: identity.public().to_bytes(), address: "relay.example:7843".into(), region: String::new() };
    let trust = Arc::new(TrustList::new(vec![key(1).verifying_key()], None).expect("a list"));
    let mut actions = vec![Action::AddDevice(device(2)), Action::AddRelay(place)];
    let before = fleet(&actions);
    let id = before.id();
    let relay = Relay::open(engine(), identity, Arc::clone(&trust), || NOW, Allowance::default()).expect("it opens");
    let stranger = relay.introduce(before.clone(), &key(2).verifying_key());
    assert!(matches!(stranger, Err(NotServed::NotTrusted)), "the operator named another one");
    let hosted = relay.introduce(before.clone(), &key(1).verifying_key()).expect("the operator named it");
    let second = DeviceId::of_key(&key(2).verifying_key());
    assert!(trust.knows(&second) && relay.fleets_of(&second) == [id]);

    actions.push(Action::RevokeDevice { device: second, ends: Vec::new() });
    let after = fleet(&actions);
    let mut news = hosted.listen();
    let folder = std::fs::read_dir(data.path().join("relay")).expect("listed").flatten();
    let folder = folder.map(|entry| entry.path()).find(|path| path.join("chain").exists()).expect("the fleet's");
    let in_the_way = folder.join("chain.new");
    std::fs::create_dir(&in_the_way).expect("made");
    hosted.take_in(&after).expect_err("the disk does not take it");
    assert!(matches!(news.try_recv(), Ok(Grown::Chain)), "its sessions are told all the same");
    assert!(!trust.knows(&second) && relay.fleets_of(&second).is_empty());
    std::fs::remove_dir(&in_the_way).expect("removed");
    relay.tidy();
    drop((hosted, relay));

    let relay = Relay::open(engine(), Identity::from_seed(&[9; 32]), trust, || NOW, Allowance::default());
    let relay = relay.expect("it opens");
    assert_eq!(relay.fleets_of(&second), [], "it is on the disk");
    // Who slept through it and shows what it knew brings nobody back.
    let shown = relay.introduce(before, &key(2).verifying_key());
    assert!(matches!(shown, Err(NotServed::NotAMember)));
}

/// A fleet that device 3 founded and that names this relay, and who came of it.
fn guest(place: &link::Relay) -> (Fleet, VerifyingKey) {
    let own = Device { admin: true, ..device(3) };
    let first = Link::first(NOW, "bob", own, 1).expect("a link");
    let mut fleet = Fleet::begin(SignedLink::by(&key(3), first.clone())).expect("a fleet");
    let link = first.then(NOW, Action::AddRelay(place.clone())).expect("a link");
    fleet.handle(SignedLink::by(&key(3), link)).expect("it holds");
    (fleet, key(3).verifying_key())
}

#[test]
fn a_guest_is_served_for_as_long_as_a_fleet_names_it_that_the_operator_vouches_for() {
    let data = tempfile::tempdir().expect("a folder");
    let (relay, host) = served(data.path());
    let place = host.chain().relays().next().expect("one").clone();
    let (bobs, bob) = guest(&place);
    let (id, of_bob) = (bobs.id(), DeviceId::of_key(&bob));
    let mut actions = vec![Action::AddDevice(device(2)), Action::AddRelay(place.clone())];
    assert!(!relay.may_introduce(&id, &bob));
    assert!(matches!(relay.introduce(bobs.clone(), &bob), Err(NotServed::NotTrusted)), "nobody named it");

    actions.push(Action::AddGuest(link::Guest { fleet: id, name: "bob".into() }));
    host.take_in(&fleet(&actions)).expect("kept");
    assert!(relay.may_introduce(&id, &bob));
    let hosted = relay.introduce(bobs.clone(), &bob).expect("a guest");
    assert_eq!((relay.fleets_of(&of_bob), hosted.fleet().map(|it| it.id())), (vec![id], Some(id)));
    let body = Author::new(id, 3).body(DocumentId::from_bytes([1; 16]), b"body");
    assert!(matches!(hosted.store(vec![body])[..], [Input::Stored(_)]));
    // A guest brings no guests.
    let (first, other) = (bobs.head().clone(), FleetId::from_bytes([7; 16]));
    let invites = first.then(NOW, Action::AddGuest(link::Guest { fleet: other, name: "carol".into() }));
    let mut inviting = bobs.clone();
    inviting.handle(SignedLink::by(&key(3), invites.expect("a link"))).expect("it holds");
    hosted.take_in(&inviting).expect("kept");
    assert!(!relay.may_introduce(&other, &key(4).verifying_key()));

    // It is known as a guest after a restart, and what it has is kept.
    drop((relay, host, hosted));
    let open = || {
        let trust = TrustList::new(vec![key(1).verifying_key()], None).expect("a list");
        let engine = Arc::new(Embedded::open(data.path()).expect("it opens"));
        let identity = Identity::from_seed(&[9; 32]);
        Relay::open(engine, identity, Arc::new(trust), || NOW, Allowance::default()).expect("it opens")
    };
    let relay = open();
    relay.tidy();
    let hosted = relay.host(id).expect("it is here");
    assert_eq!((relay.fleets_of(&of_bob), hosted.logs().expect("read").0.len()), (vec![id], 1));

    actions.push(Action::RemoveGuest(id));
    let mut news = hosted.listen();
    relay.host(fleet(&[]).id()).expect("it is here").take_in(&fleet(&actions)).expect("kept");
    assert!(matches!(news.try_recv(), Ok(Grown::Chain)), "its sessions are told");
    assert!(hosted.fleet().is_none() && relay.fleets_of(&of_bob).is_empty(), "and find that it is not served");
    assert!(matches!(relay.introduce(inviting, &bob), Err(NotServed::NotTrusted)));
    drop(hosted);
    relay.tidy();
    assert!(relay.host(id).is_err(), "what it had is gone");
    drop(relay);
    assert_eq!(open().served().expect("read").len(), 1);
}

#[test]
fn a_guest_whose_host_cannot_be_read_is_not_dropped_and_one_that_the_operator_trusts_needs_none() {
    let data = tempfile::tempdir().expect("a folder");
    let (relay, host) = served(data.path());
    let place = host.chain().relays().next().expect("one").clone();
    let (bobs, bob) = guest(&place);
    let (id, host_id) = (bobs.id(), host.id());
    let named = Action::AddGuest(link::Guest { fleet: id, name: "bob".into() });
    host.take_in(&fleet(&[Action::AddDevice(device(2)), Action::AddRelay(place), named])).expect("kept");
    relay.introduce(bobs, &bob).expect("a guest");
    drop((relay, host));
    let open = |trusted: &[u8]| {
        let keys = trusted.iter().map(|seed| key(*seed).verifying_key()).collect();
        let trust = TrustList::new(keys, None).expect("a list");
        let engine = Arc::new(Embedded::open(data.path()).expect("it opens"));
        let identity = Identity::from_seed(&[9; 32]);
        Relay::open(engine, identity, Arc::new(trust), || NOW, Allowance::default()).expect("it opens")
    };
    let chain = data.path().join("relay").join(&host_id.to_string()[4..]).join("chain");
    let good = std::fs::read(&chain).expect("there");
    std::fs::write(&chain, b"damaged").expect("written");
    let relay = open(&[1]);
    relay.tidy();
    assert!(relay.host(id).is_ok(), "it is kept");
    drop(relay);
    // That the chain lists a device whom the operator trusts says nothing; that such a device shows the chain as its own does.
    std::fs::write(&chain, good).expect("written");
    let relay = open(&[1, 3]);
    relay.tidy();
    let hosted = relay.host(id).expect("it is here");
    assert!(relay.is_to_vouch(&hosted, &bob) && !relay.is_to_vouch(&hosted, &key(1).verifying_key()));
    relay.vouch(&hosted, &bob);
    assert!(!relay.is_to_vouch(&hosted, &bob));
    drop((relay, hosted));
    std::fs::remove_dir_all(chain.parent().expect("a folder")).expect("removed");
    let relay = open(&[]);
    relay.tidy();
    assert_eq!(relay.fleets_of(&DeviceId::of_key(&bob)), [id], "it needs nobody's name any more");
}

#[test]
fn a_fork_drops_nobody_and_a_fleet_that_was_dropped_does_not_come_back_by_a_session() {
    let data = tempfile::tempdir().expect("a folder");
    let (relay, host) = served(data.path());
    let place = host.chain().relays().next().expect("one").clone();
    let (bobs, bob) = guest(&place);
    let id = bobs.id();
    let named = Action::AddGuest(link::Guest { fleet: id, name: "bob".into() });
    let before = [Action::AddDevice(device(2)), Action::AddRelay(place)];
    let with = |last: Action| fleet(&[&before[..], &[last]].concat());
    host.take_in(&with(named)).expect("kept");
    let hosted = relay.introduce(bobs.clone(), &bob).expect("a guest");
    // Beside it another admin's device did something else: nobody knows who is named until that is resolved.
    host.take_in(&with(Action::AddDevice(device(4)))).expect("kept");
    assert!(host.chain().fork().is_some() && hosted.fleet().is_none());
    relay.tidy();
    assert!(relay.engine.chain(&id).expect("read").is_some(), "what it has is kept");
    let resolve = host.chain().resolve(&with(Action::AddDevice(device(4))).head().digest(), NOW).expect("a side");
    let mut resolved = Fleet::clone(&host.chain());
    resolved.handle(SignedLink::by(&key(1), resolve)).expect("it holds");
    host.take_in(&resolved).expect("kept");
    relay.tidy();
    assert!(relay.engine.chain(&id).expect("read").is_none(), "now it is known that nobody names it");
    assert!(!relay.read().is_unsettled());
    let mut grown = bobs.clone();
    let more = bobs.head().then(NOW, Action::AddDevice(device(5))).expect("a link");
    grown.handle(SignedLink::by(&key(3), more)).expect("it holds");
    hosted.take_in(&grown).expect("nothing is kept");
    assert!(relay.engine.chain(&id).expect("read").is_none() && relay.fleets_of(&DeviceId::of_key(&bob)).is_empty());
}

#[test]
fn a_guest_that_forks_its_own_chain_is_dropped_all_the_same_and_holds_up_nobody() {
    let data = tempfile::tempdir().expect("a folder");
    let (relay, host) = served(data.path());
    let place = host.chain().relays().next().expect("one").clone();
    let (bobs, bob) = guest(&place);
    let id = bobs.id();
    let mut actions = vec![Action::AddDevice(device(2)), Action::AddRelay(place)];
    actions.push(Action::AddGuest(link::Guest { fleet: id, name: "bob".into() }));
    host.take_in(&fleet(&actions)).expect("kept");
    let hosted = relay.introduce(bobs.clone(), &bob).expect("a guest");
    let mut torn = bobs.clone();
    for seed in [4, 5] {
        let side = bobs.head().then(NOW, Action::AddDevice(device(seed))).expect("a link");
        torn.handle(SignedLink::by(&key(3), side)).expect("it holds");
    }
    hosted.take_in(&torn).expect("kept");
    assert!(hosted.chain().fork().is_some() && hosted.fleet().is_some(), "it is served, as it is named");
    assert!(!relay.read().is_unsettled());
    let damaged = data.path().join("relay").join(&id.to_string()[4..]).join("chain");
    let both = [host.id(), id];
    assert_eq!(relay.hosts(&both).expect("both can be read").len(), 2);
    drop(hosted);
    let good = std::fs::read(&damaged).expect("there");
    std::fs::write(&damaged, b"damaged").expect("written");
    assert_eq!(relay.hosts(&both).expect("one can be read").len(), 1);
    assert!(relay.hosts(&[id]).is_err());
    std::fs::write(&damaged, good).expect("written");
    actions.push(Action::RemoveGuest(id));
    host.take_in(&fleet(&actions)).expect("kept");
    relay.tidy();
    assert!(relay.engine.chain(&id).expect("read").is_none(), "nobody names it");
}

#[test]
fn a_device_that_begins_too_many_logs_is_declined_the_next_and_nothing_else() {
    let data = tempfile::tempdir().expect("a folder");
    let (relay, hosted) = served(data.path());
    let first = |seed: u8, incarnation: u64| {
        let mut author = Author::new(hosted.id(), seed);
        author.chain.incarnation = incarnation;
        author.body(DocumentId::from_bytes([1; 16]), b"body")
    };
    let most = LOGS_OF_ONE as u64;
    let began = hosted.store((0..most).map(|life| first(2, life)).collect());
    assert!(began.iter().all(|input| matches!(input, Input::Stored(_))), "{began:?}");
    assert!(relay.notices().is_empty());

    let (one_more, old) = (first(2, most), first(2, 7));
    let log = one_more.at.log;
    let answers = hosted.store(vec![one_more, old.clone(), first(1, 1)]);
    let stored = answers.iter().filter(|input| matches!(input, Input::Stored(_))).count();
    assert!(answers.contains(&Input::Declined { log, number: 0 }) && stored == 2, "{answers:?}");
    let (held, _) = hosted.logs().expect("read");
    assert_eq!(held.len(), LOGS_OF_ONE + 1);
    let notices = relay.notices();
    assert!(notices.len() == 1 && notices[0].contains(&log.author.to_string()), "{notices:?}");
    relay.tidy();
    assert_eq!(relay.notices(), notices, "it is told until the fleet leaves or the program starts again");
}
