//! The seeds that are made: one of each thing, whole, so that a fuzzer need not find out what that looks like.
//!
//! They follow from keys that are nobody's. `HEARTH_WRITE_VECTORS=1` writes them; otherwise what is committed must be what the code gives.
//! Seeds beside them were found, or are written by the tests of `core` and `link`.
#![forbid(unsafe_code)]

use std::{fs, sync::Arc};

use hearth_core::{
    DeviceId, DocumentId, Moment,
    fleet::{
        FleetId, SpiffeId,
        chain::Fleet,
        epoch::Document,
        hosting::Hosting,
        invite::{Invite, JoinCode, Welcome, Who},
        letter::Letter,
        link::{Action, Guest, Last, Link, Relay, Sheet, SignedLink, WRAPPED_BYTES},
        policy::Policy,
        recovery::Seed,
        waiting::{Order, Waiting},
    },
    seal::DocumentKey,
    segment::Chain,
    status::{self, StatusReport},
    sync::{
        Frame, Frontier, Log, Mark, Proof,
        frame::{Ask, Hello, PROTOCOL, Reason},
    },
};
use hearth_fuzz::{
    forms::joined,
    log::author,
    named,
    session::{self, happens},
    story::{self, NOW, SPACE},
};
use serde_json::json;

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn id(seed: u8) -> DeviceId {
    story::device(seed, false).id().expect("a key")
}

/// One link of each action. A new action belongs here.
fn actions() -> Vec<(&'static str, Action)> {
    let mut wraps = vec![(id(1), [1; WRAPPED_BYTES]), (id(2), [2; WRAPPED_BYTES])];
    wraps.sort();
    let last = |incarnation| Last { incarnation, number: 7, head: [9; 32] };
    let relay = Relay { key: story::device(6, false).key, address: "relay.example:443".into(), region: "eu".into() };
    let sheet = |wraps| Sheet { key: story::device(7, false).key, wrap_key: [7; 32], wraps };
    let device = |expires| hearth_core::fleet::link::Device { expires, ..story::device(2, false) };
    vec![
        ("create", Action::Create { name: "home".into(), device: story::device(1, true), threshold: 2 }),
        ("add-device", Action::AddDevice(device(None))),
        ("add-device-for-a-while", Action::AddDevice(device(Some(NOW)))),
        ("revoke-device", Action::RevokeDevice { device: id(2), ends: vec![last(1), last(1 << 56)] }),
        ("rotate", Action::Rotate { epoch: 1, wraps }),
        ("policy", Action::Policy { epoch: 1, bytes: Policy::default().encode() }),
        ("add-relay", Action::AddRelay(relay)),
        ("remove-relay", Action::RemoveRelay([4; 32])),
        ("add-admin", Action::AddAdmin(id(2))),
        ("remove-admin", Action::RemoveAdmin(id(2))),
        ("set-threshold", Action::SetThreshold(3)),
        ("resolve", Action::Resolve { keeps: [5; 32] }),
        ("add-sheet", Action::AddSheet(sheet(vec![(1, [3; WRAPPED_BYTES]), (2, [4; WRAPPED_BYTES])]))),
        ("add-guest", Action::AddGuest(Guest { fleet: FleetId::from_bytes([4; 16]), name: "anna".into() })),
        ("remove-guest", Action::RemoveGuest(FleetId::from_bytes([4; 16]))),
    ]
}

fn links() -> Seeds {
    let link = |action| Link::new(FleetId::from_bytes([8; 16]), 3, [7; 32], NOW, action).expect("within limits");
    let signed = |action| SignedLink::by(&story::key(1), link(action)).and(&story::key(2)).expect("room");
    actions().into_iter().map(|(name, action)| (name, signed(action).encode())).collect()
}

fn grown(actions: &[(Action, &[u8])]) -> Fleet {
    let mut fleet = story::fleet();
    for (action, signers) in actions {
        let link = fleet.head().then(NOW, action.clone()).expect("a link");
        let signed = SignedLink::by(&story::key(signers[0]), link);
        let signed = signers[1..].iter().fold(signed, |signed, by| signed.and(&story::key(*by)).expect("room"));
        fleet.handle(signed).expect("it holds");
    }
    fleet
}

fn chains() -> Seeds {
    let revoked = grown(&[
        (Action::RevokeDevice { device: id(4), ends: Vec::new() }, &[1, 2]),
        (Action::Rotate { epoch: 1, wraps: vec![(id(1), [1; WRAPPED_BYTES])] }, &[1, 2]),
        (Action::Policy { epoch: 1, bytes: vec![9] }, &[3]),
    ]);
    let mut forked = story::fleet();
    for action in [Action::RemoveAdmin(id(2)), Action::RemoveAdmin(id(3))] {
        let link = story::fleet().head().then(NOW, action).expect("a link");
        let by = SignedLink::by(&story::key(1), link).and(&story::key(2)).expect("room");
        forked.handle(by).expect("it holds");
    }
    vec![("of-five", story::fleet().encode()), ("one-was-revoked", revoked.encode()), ("forked", forked.encode())]
}

/// A link of a story: what, behind which, signed by whom, about whom.
fn told(links: &[[u8; 4]]) -> Vec<u8> {
    links.concat()
}

fn stories() -> Seeds {
    let add = |whom: u8| [1, 255, 1, whom | 8];
    vec![
        (
            "everything-once",
            told(&[
                add(2),
                [1, 255, 1, 3],
                [2, 255, 1, 4],
                [10, 255, 1, 1],
                [4, 255, 3, 9],
                [5, 255, 2, 3],
                [6, 255, 1, 5],
                [7, 255, 1, 5],
                [8, 255, 3, 3],
                [9, 255, 3, 3],
                [12, 255, 3, 1],
                [3, 255, 3, 0x43],
                [10, 255, 3, 0],
            ]),
        ),
        (
            "a-fork-that-is-resolved",
            told(&[add(2), add(3), [3, 2, 1, 3], [3, 2, 2, 4], [11, 3, 4, 210], [11, 255, 1, 3]]),
        ),
        ("two-resolves", told(&[add(2), add(3), add(4), [9, 3, 1, 2], [9, 3, 2, 1], [11, 4, 8, 4], [11, 5, 8, 5]])),
        ("the-sheet-saves-it", told(&[add(2), [10, 255, 1, 1], [12, 255, 3, 0], [3, 255, 64, 1], [1, 255, 64, 12]])),
        ("more-signatures", told(&[add(2), add(3), [8, 255, 1, 2], [8, 2, 2, 2], [8, 2, 3, 2], [9, 2, 5, 2]])),
    ]
}

fn policies() -> Seeds {
    let mut policy = Policy::default();
    let homes = |seeds: &[u8]| seeds.iter().map(|seed| id(*seed)).collect();
    policy.set("study", homes(&[1, 2]), [0, 0]).expect("sound");
    policy.set("cellar", homes(&[3]), [255, 255]).expect("sound");
    let two = policy.encode();
    policy.remove("cellar").expect("it is there");
    vec![("no-rules", Policy::default().encode()), ("two", two), ("one-was-taken-away", policy.encode())]
}

fn orders() -> Seeds {
    let fleet = story::fleet();
    let order = |whom: u8, by: u8| {
        let out = fleet.head().then(NOW, Action::RevokeDevice { device: id(whom), ends: Vec::new() }).expect("a link");
        let then = out.then(NOW, Action::Rotate { epoch: 1, wraps: vec![] }).expect("a link");
        Order::new([out, then].map(|link| SignedLink::by(&story::key(by), link)).into())
    };
    let written = |orders: Vec<Order>| {
        let mut waiting = Waiting::default();
        for order in orders {
            waiting.take(order, &fleet).expect("it waits");
        }
        waiting.encode()
    };
    vec![
        ("none", written(Vec::new())),
        ("one", written(vec![order(4, 1)])),
        ("two", written(vec![order(4, 1), order(5, 2)])),
        ("one-that-is-ready", written(vec![order(4, 1), order(4, 2)])),
    ]
}

fn joining() -> (Seeds, Seeds) {
    let (answers, asks) = (author().verifying_key().to_bytes(), story::device(2, false).key);
    let invite = Invite::issue(answers, *b"fuzzy", NOW);
    let ask = |code: &JoinCode, name, fleet| {
        let who = Who { key: asks, wrap_key: [9; 32], name, fleet };
        code.request(&answers, who, b"channel").expect("the right key").encode()
    };
    let requests = vec![
        ("with-the-right-code", ask(invite.code(), "laptop", None)),
        ("with-another", ask(&JoinCode::new(&answers, *b"wrong"), "l\u{e4}ptop", None)),
        ("as-a-guest", ask(invite.code(), "anna", Some(FleetId::from_bytes([4; 16])))),
    ];
    let welcome = |keys: Vec<(u32, [u8; WRAPPED_BYTES])>| Welcome { chain: story::fleet().encode(), keys }.encode();
    let no_chain = Welcome { chain: vec![1], keys: vec![(1, [1; WRAPPED_BYTES])] }.encode();
    (
        requests,
        vec![("to-one", welcome(vec![(1, [1; WRAPPED_BYTES]), (70_000, [2; WRAPPED_BYTES])])), ("no-chain", no_chain)],
    )
}

fn hostings() -> Seeds {
    let relay = Relay { key: story::device(6, false).key, address: "relay.example:443".into(), region: "eu".into() };
    let hosting = |relays| Hosting { fleet: story::fleet().id(), name: "home".into(), relays }.encode();
    vec![("one-relay", hosting(vec![relay])), ("none", hosting(Vec::new()))]
}

fn keys() -> Seeds {
    let key = DocumentKey::from_entropy([9; 32]);
    let record = |epoch| {
        let document = Document { space: SPACE, id: DocumentId::from_bytes([5; 16]), key: &key };
        story::epoch_key().record(epoch, document, [3; 24]).encode()
    };
    vec![("of-epoch-7", record(7)), ("of-the-last-epoch", record(u32::MAX))]
}

fn hello() -> Hello {
    let log = |author: u8| Log { author: DeviceId::from_bytes([author; 16]), incarnation: 1 << 40 };
    Hello {
        protocol: PROTOCOL,
        tag: session::TAG,
        max_message: 1 << 20,
        credit: 4_000,
        clock: NOW,
        frozen: vec![DeviceId::from_bytes([8; 16])],
        frontier: Some(
            [(log(1), Mark { next: 5, head: [1; 8] }), (log(2), Mark { next: 1 << 33, head: [2; 8] })]
                .into_iter()
                .collect(),
        ),
    }
}

/// Segments of one log, and another story of its second place.
fn segments() -> (Vec<hearth_core::segment::Segment>, hearth_core::segment::Segment) {
    let mut chain = Chain::begin(author().verifying_key().to_bytes(), 7);
    let mut row = Vec::new();
    let mut other = None;
    for document in 0..3 {
        if document == 1 {
            other = Some(session::segment(0, &chain, 99, 0));
        }
        let segment = session::segment(0, &chain, document, 0);
        chain.follow(&segment).expect("the next one");
        row.push(segment);
    }
    (row, other.expect("made at the second"))
}

fn frames() -> Vec<(&'static str, Frame)> {
    let (row, other) = segments();
    let log = Log::of(&row[0]);
    let shared = |at: usize| -> Arc<[u8]> { row[at].encode().into() };
    let proof = Proof::between(&row[1], &other).expect("they contradict");
    let mark = Mark { next: 3, head: *row[2].digest().first_chunk().expect("longer") };
    vec![
        ("hello", Frame::Hello(hello())),
        ("segments", Frame::Segments { log, first: 0, segments: vec![shared(0), shared(1)] }),
        ("ack", Frame::Ack { frontier: [(log, mark)].into_iter().collect(), clock: NOW }),
        ("alive", Frame::Ack { frontier: Frontier::default(), clock: NOW }),
        ("credit", Frame::Credit { total: 1 << 20 }),
        ("keys", Frame::Keys { records: vec![keys()[0].1.clone(), Vec::new()] }),
        ("want-nothing", Frame::Want { log, from: 1, ask: Ask::Nothing }),
        ("want-one", Frame::Want { log, from: 1, ask: Ask::One }),
        ("want-the-rest", Frame::Want { log, from: 0, ask: Ask::Rest }),
        ("proof", Frame::Proof { proof: proof.encode() }),
        ("hello-the-same", Frame::Hello(Hello { frontier: None, ..hello() })),
        ("busy", Frame::Busy { retry_after_ms: 600_000 }),
        ("bye", Frame::Bye { reason: Reason::OutOfPlace }),
    ]
}

fn sessions() -> Seeds {
    let (row, other) = segments();
    let log = Log::of(&row[0]);
    let came = |frame: &Frame| [&[happens::FRAME][..], &frame.encode()].concat();
    let step = |what: u8, with: u8| vec![what, with];
    let greeting = |marks: Vec<(Log, Mark)>| {
        came(&Frame::Hello(Hello { frozen: Vec::new(), frontier: Some(marks.into_iter().collect()), ..hello() }))
    };
    let sent = |first: u64, segments: &[&hearth_core::segment::Segment]| {
        let segments = segments.iter().map(|segment| Arc::from(segment.encode())).collect();
        came(&Frame::Segments { log, first, segments })
    };
    let mark = |at: usize| Mark { next: at as u64 + 1, head: *row[at].digest().first_chunk().expect("longer") };
    let ours = session::segment(1, &Chain::begin(session::key(1).verifying_key().to_bytes(), 1), 1, 0);
    let own = Log::of(&ours);
    let known = Mark { next: 1, head: *ours.digest().first_chunk().expect("longer") };
    vec![
        (
            "a-log-comes",
            joined(&[greeting(vec![(log, mark(2))]), sent(0, &[&row[0], &row[1], &row[2]]), step(happens::TIME, 16)]),
        ),
        (
            "a-log-comes-in-bits",
            joined(&[
                greeting(vec![(log, mark(2))]),
                sent(0, &[&row[0]]),
                step(happens::BREAK, 0),
                greeting(vec![(log, mark(2))]),
                sent(1, &[&row[1]]),
                sent(2, &[&row[2]]),
            ]),
        ),
        (
            "a-fork-comes",
            joined(&[
                greeting(vec![(log, mark(2))]),
                sent(0, &[&row[0], &row[1]]),
                sent(1, &[&other]),
                came(&frames()[9].1),
            ]),
        ),
        (
            "a-stranger-becomes-a-member",
            joined(&[
                step(happens::TRUST, 0),
                greeting(vec![(log, mark(0))]),
                step(happens::TRUST, 7),
                sent(0, &[&row[0]]),
                step(happens::TRUST, 0x10),
            ]),
        ),
        (
            "the-disk-is-full",
            joined(&[
                step(happens::DISK, 1),
                greeting(vec![(log, mark(0))]),
                sent(0, &[&row[0]]),
                step(happens::DISK, 0),
                step(happens::TIME, 2),
                sent(0, &[&row[0]]),
            ]),
        ),
        (
            "ours-are-sent",
            joined(&[
                step(happens::WRITE, 1),
                greeting(Vec::new()),
                step(happens::WRITE, 2),
                came(&Frame::Ack { frontier: [(own, known)].into_iter().collect(), clock: NOW }),
                came(&Frame::Want { log: own, from: 0, ask: Ask::Rest }),
                came(&Frame::Credit { total: 9_000 }),
                step(happens::TIME, 40),
                came(&Frame::Busy { retry_after_ms: 1_000 }),
            ]),
        ),
        (
            "ours-come-back",
            joined(&[
                greeting(vec![(own, Mark { next: 9, head: [9; 8] })]),
                came(&Frame::Bye { reason: Reason::Done }),
            ]),
        ),
        ("too-late", joined(&[step(happens::TIME, 11)])),
    ]
}

fn letters() -> Seeds {
    let (request, welcome) = joining();
    [
        ("known", Letter::Known { port: 7_844, digest: [7; 16] }),
        ("chain", Letter::Chain(chains()[0].1.clone())),
        ("frame", Letter::Frame(frames()[4].1.encode())),
        ("join", Letter::Join(request[0].1.clone())),
        ("welcome", Letter::Welcome(welcome[1].1.clone())),
        ("refused", Letter::Refused("not today".into())),
        ("receipt", Letter::Receipt(vec![6])),
        ("ask", Letter::Ask { number: 7, question: vec![1] }),
        ("answer", Letter::Answer { number: u32::MAX, answer: Vec::new() }),
        ("waiting", Letter::Waiting(orders()[0].1.clone())),
    ]
    .map(|(name, letter)| (name, letter.encode()))
    .into()
}

fn report() -> Seeds {
    let report = json!({
        "name": "study", "os": "Debian 13", "kernel": "6.12", "agent_version": "0.1.0", "uptime_seconds": 70_000,
        "boot": "0123456789abcdef0123456789abcdef", "load_average": [0.5, 1.0, 1.5],
        "cpu": { "cores": 4, "used_percent": 12.5 }, "memory": { "total_bytes": 8_u64 << 30, "used_bytes": 1_u64 << 30 },
        "disks": [{ "kind": "ssd", "removable": false, "total_bytes": 1_u64 << 40, "free_bytes": 1_u64 << 39 }],
        "temperatures": [{ "label": "package", "celsius": 48.5 }],
        "counters": { "items": 1_000, "chunks": 9_000, "jobs_pending": 3 }, "capture": "open",
        "sent_at": NOW, "report_every_seconds": 60,
    });
    let report: StatusReport = serde_json::from_value(report).expect("a report");
    let receipt = status::Receipt { sent_at: NOW, kept_at: Moment::from_millis(2_000) };
    [("report", status::Letter::Report(Box::new(report))), ("receipt", status::Letter::Receipt(receipt))]
        .map(|(name, letter)| (name, letter.to_bytes()))
        .into()
}

fn typed() -> [(&'static str, Seeds); 4] {
    let invite = Invite::issue(author().verifying_key().to_bytes(), *b"fuzzy", NOW);
    let code = invite.code().to_string();
    let seed = Seed::from_bytes([5; 32]);
    let fleet = FleetId::from_bytes([7; 16]);
    let shares = seed.split(fleet, 3, &[[8; 32]]).expect("sound numbers");
    let lines: Vec<String> = shares.iter().map(|share| share.words().to_string()).collect();
    let text = |text: &str| text.as_bytes().to_vec();
    let name = SpiffeId { fleet, device: id(1) };
    let key = hearth_link::key_text(&author().verifying_key());
    [
        (
            "code",
            vec![
                ("as-shown", text(&code)),
                ("as-read-out", text(&code.to_uppercase().replace('-', "  "))),
                ("a-word-that-is-none", text(&code.replacen(code.split('-').next().expect("a word"), "hearth", 1))),
            ],
        ),
        (
            "sheet",
            vec![
                ("whole", text(&seed.words())),
                ("two-shares", text(&lines[..2].join("\n"))),
                ("three-shares", text(&lines.join("\n\n"))),
                ("one-share", text(&lines[2])),
            ],
        ),
        (
            "name",
            vec![
                ("device", text(&id(1).to_string())),
                ("fleet", text(&fleet.to_string())),
                ("spiffe", text(&name.to_string())),
                ("key", text(&format!(" {}\n", key.to_uppercase()))),
            ],
        ),
        (
            "address",
            vec![
                ("a-name", text("mqtt.example.org")),
                ("with-a-port", text("mqtt.example.org:8883")),
                ("six", text("2001:db8::1")),
                ("six-with-a-port", text("[2001:db8::1]:1883")),
            ],
        ),
    ]
}

fn carried() -> [(&'static str, Seeds); 2] {
    let topic = |tail: &str| tail.as_bytes().to_vec();
    let frames = |frames: &[&[u8]]| {
        frames.iter().flat_map(|frame| hearth_link::frame::encode(frame).expect("short")).collect::<Vec<u8>>()
    };
    [
        (
            "topic",
            vec![
                ("a-writer", topic("000102030405060708090a0b0c0d0e0f")),
                ("whole", topic("hearth/1/000102030405060708090a0b0c0d0e0f/000102030405060708090a0b0c0d0e0f")),
            ],
        ),
        (
            "stream",
            vec![
                ("two-frames", [&[3, 200][..], &frames(&[b"ab", b"cde"])].concat()),
                ("a-torn-one", [&[1, 9][..], &frames(&[b"a"]), &[0, 0, 0, 5, 1]].concat()),
                ("too-long", [&[7, 3][..], &frames(&[b"ab"]), &[0, 0, 0, 4]].concat()),
                ("nothing-announced", vec![2, 9, 0, 0, 0, 0]),
            ],
        ),
    ]
}

fn redacted() -> [(&'static str, Seeds); 2] {
    let at = |lead: u16, text: &str| [&lead.to_be_bytes()[..], text.as_bytes()].concat();
    let line = |text: &str| json!({ "text": text, "id": 7 }).to_string().into_bytes();
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    [
        (
            "window",
            vec![
                ("at-the-start", at(0, "password=fern22lake")),
                ("at-the-first-border", at(16_370, "password=fern22lake")),
                ("at-the-border-of-lines", at(16_383, "token: fern22lake")),
                ("a-key-without-an-end", at(32_000, key)),
                ("a-card", at(8_191, "card 4111 1111 1111 1111")),
            ],
        ),
        (
            "line",
            vec![
                ("an-address", line("gr\u{f6}\u{df}e \u{2615} alice@example.org \u{2615}")),
                ("nothing-to-hide", line("buy milk")),
                ("no-text", br#"{"txt":"hunter2"}"#.to_vec()),
                ("a-text-twice", br#"{"text":"a","text":"b@example.org"}"#.to_vec()),
            ],
        ),
    ]
}

fn stored() -> [(&'static str, Seeds); 4] {
    let mut chain = Chain::begin(hearth_fuzz::disk::author().verifying_key().to_bytes(), 1_000);
    let mut own = |document: u8| {
        let mut draft = hearth_core::segment::Draft::after(chain.clone());
        draft.push(hearth_core::delta::Tombstone { document: DocumentId::from_bytes([document; 16]) });
        let segment = draft.close(&hearth_fuzz::disk::author(), [0; 16], NOW);
        chain.follow(&segment).expect("the next one");
        segment.encode()
    };
    let (one, two, three) = (own(1), own(2), own(3));
    let foreign = segments().0[0].encode();
    let framed = hearth_fuzz::disk::framed;
    let mut damaged = [framed(&one), framed(&two), framed(&three)].concat();
    damaged[framed(&one).len() + 40] ^= 1;
    let script = |parts: &[&[u8]]| [&[1][..], &joined(parts)].concat();
    let file = |bytes: &[u8]| [&[0][..], bytes].concat();
    [
        (
            "log",
            vec![
                ("three-segments", script(&[&one, &two, &three, &[]])),
                ("others-between", script(&[&one, &foreign, &two, &[]])),
                ("a-torn-tail", script(&[&one, &two, &framed(&three)[..90]])),
                ("one-twice", script(&[&one, &one, &[]])),
                ("the-middle-is-damaged", file(&damaged)),
                ("no-segment", script(&[&one, b"no segment", &[]])),
                ("of-zeros", file(&[0; 64])),
            ],
        ),
        (
            "audit",
            vec![
                ("sound", vec![1]),
                ("a-byte-turned", vec![1, 0, 40, 1]),
                ("a-length-turned", vec![1, 0, 0, 3]),
                ("no-entry", file(&[[24, 0, 0, 0].as_slice(), &[7; 24]].concat())),
            ],
        ),
        (
            "blocks",
            vec![
                ("small", vec![1]),
                ("of-two-blocks", vec![110]),
                ("of-one-full-block", vec![102]),
                ("a-byte-turned", vec![110, 0, 90, 1]),
                ("cut", vec![110, 16, 40, 0]),
                ("another-file", file(b"hearth\x02\x01 and no more")),
            ],
        ),
        ("keys", vec![("empty", Vec::new()), ("one-erased", vec![0; 108]), ("a-torn-slot", vec![7; 150])]),
    ]
}

fn made() -> Vec<(&'static str, Seeds)> {
    let (request, welcome) = joining();
    let mut made = vec![
        ("link", links()),
        ("chain", chains()),
        ("story", stories()),
        ("policy", policies()),
        ("orders", orders()),
        ("request", request),
        ("welcome", welcome),
        ("hosting", hostings()),
        ("key", keys()),
        ("frame", frames().into_iter().map(|(name, frame)| (name, frame.encode())).collect()),
        (
            "frontier",
            vec![("none", Frontier::default().encode()), ("two", hello().frontier.unwrap_or_default().encode())],
        ),
        ("session", sessions()),
        ("letter", letters()),
        ("report", report()),
    ];
    made.extend(typed());
    made.extend(carried());
    made.extend(redacted());
    made.extend(stored());
    made
}

#[test]
fn the_seeds_that_are_made_are_committed_as_the_code_makes_them() {
    let writing = std::env::var_os("HEARTH_WRITE_VECTORS").is_some();
    for (name, seeds) in made() {
        let folder = named(name).expect("a target of the table").seeds();
        for (seed, bytes) in seeds {
            let path = folder.join(seed);
            if writing {
                fs::create_dir_all(&folder).expect("the folder can be made");
                fs::write(&path, &bytes).expect("the seed can be written");
            }
            let committed = fs::read(&path).is_ok_and(|committed| committed == bytes);
            assert!(committed, "{} is another; write it with HEARTH_WRITE_VECTORS=1", path.display());
        }
    }
}
