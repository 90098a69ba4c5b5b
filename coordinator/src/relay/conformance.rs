//! What every engine must do, as rules that it can be held to: [`check`].
//!
//! An engine is made on an empty folder, and again on the same one to open what was kept. Nothing here knows what it is made of.

use std::{path::Path, sync::Arc};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, DocumentId, Moment,
    delta::{Kind, SealedChange, Tombstone},
    fleet::FleetId,
    merkle::{Hash, Peaks, includes, leaf},
    receipt::Claim,
    seal::Sealed,
    segment::{Chain, Draft, GENESIS, Segment},
    sync::{Held, Log, Proof, frame::KEY_MAX},
};

use super::engine::{Appended, Engine, Failed, Stamp, ToStore};

/// One change of a test's segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// A sealed body of a document.
    Body(DocumentId, Vec<u8>),
    /// The document is gone.
    Gone(DocumentId),
}

/// Somebody who writes a log.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    key: SigningKey,
    fleet: FleetId,
    pub(crate) chain: Chain,
}

impl Author {
    pub(crate) fn new(fleet: FleetId, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let chain = Chain::begin(key.verifying_key().to_bytes(), 1 << 56 | u64::from(seed));
        Self { key, fleet, chain }
    }

    pub(crate) fn log(&self) -> Log {
        Log { author: DeviceId::of_key(&self.key.verifying_key()), incarnation: self.chain.incarnation }
    }

    /// The next segment of the log.
    pub(crate) fn segment(&mut self, changes: &[Change]) -> Segment {
        let mut draft = Draft::after(self.chain.clone());
        for change in changes {
            match change {
                Change::Body(document, body) => draft.push(SealedChange {
                    kind: Kind::Document,
                    document: *document,
                    epoch: 0,
                    body: Sealed::from_bytes(body.clone()),
                }),
                Change::Gone(document) => draft.push(Tombstone { document: *document }),
            };
        }
        let segment = draft.close(&self.key, *self.fleet.as_bytes(), Moment::from_millis(5));
        self.chain.follow(&segment).expect("it continues");
        segment
    }

    pub(crate) fn next(&mut self, changes: &[Change]) -> ToStore {
        order(&self.segment(changes))
    }

    /// The next segment, of one body.
    pub(crate) fn body(&mut self, document: DocumentId, body: &[u8]) -> ToStore {
        self.next(&[Change::Body(document, body.to_vec())])
    }
}

/// As whoever signs receipts.
pub(crate) const STAMP: Stamp = Stamp { store: [8; 32], at: Moment::from_millis(9) };

/// The order to append a segment.
pub(crate) fn order(segment: &Segment) -> ToStore {
    let log = Log::of(segment);
    let at = Held { log, chain: Chain::right_after(segment), residency: segment.head().residency };
    ToStore { bytes: segment.encode().into(), at, after: segment.head().prev }
}

pub(crate) fn fleet(n: u8) -> FleetId {
    FleetId::from_bytes([n; 16])
}

pub(crate) fn document(n: u8) -> DocumentId {
    let mut id = [n; 16];
    id[0] = n.wrapping_mul(37);
    DocumentId::from_bytes(id)
}

const FLEET: FleetId = FleetId::from_bytes([1; 16]);

/// An engine that can be closed and opened again.
struct Bench<'a> {
    make: &'a dyn Fn(&Path) -> Box<dyn Engine>,
    dir: tempfile::TempDir,
    engine: Box<dyn Engine>,
}

impl<'a> Bench<'a> {
    fn new(make: &'a dyn Fn(&Path) -> Box<dyn Engine>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let engine = make(dir.path());
        engine.keep_chain(&FLEET, b"chain").expect("kept");
        Self { make, dir, engine }
    }

    fn reopen(self) -> Self {
        let Self { make, dir, engine } = self;
        drop(engine);
        let engine = make(dir.path());
        Self { make, dir, engine }
    }

    fn append(&self, orders: &[ToStore]) -> Vec<Appended> {
        self.engine.append(&FLEET, orders).expect("appended")
    }

    fn take(&self, orders: &[ToStore]) {
        assert_eq!(self.append(orders), vec![Appended::Taken; orders.len()]);
    }

    fn read(&self, log: &Log) -> Vec<Arc<[u8]>> {
        self.engine.read(&FLEET, log, 0, u64::MAX, u64::MAX).expect("read")
    }

    fn claim(&self, log: &Log) -> Claim {
        self.engine.claim(&FLEET, log, STAMP).expect("read").expect("there is such a log")
    }

    fn keys(&self, documents: &[u8]) -> Vec<Vec<u8>> {
        let documents: Vec<_> = documents.iter().map(|n| document(*n)).collect();
        self.engine.keys(&FLEET, &documents).expect("read")
    }

    fn keep(&self, keys: &[(u8, &[u8])]) {
        let records: Vec<_> = keys.iter().map(|(n, record)| (document(*n), record.to_vec())).collect();
        self.engine.keep_keys(&FLEET, &records).expect("kept");
    }
}

type Rule = fn(Bench<'_>);

const RULES: [(&str, Rule); 15] = [
    ("a fleet is there from its first chain until it is forgotten", a_fleet_is_there),
    ("the last chain is the one that is kept", the_last_chain),
    ("segments come back as they came, by number and budget", segments_come_back),
    ("only what continues a log is taken", only_what_continues),
    ("what is not what it is said to be is refused before anything is written", mistakes_are_refused),
    ("every log ends where it was left", logs_end),
    ("every segment has its place in one tree", places),
    ("the newest key of a document is kept", keys),
    ("the keys of an erased document are gone and stay away", erased_keys),
    ("what was erased is pruned, at once or when tidied, and still verifies", pruning),
    ("fleets do not touch each other", fleets_apart),
    ("what is kept is counted", usage),
    ("one proof against an author is kept", proofs),
    ("a fleet that was forgotten begins anew", forgotten),
    ("many append and read at once", at_once),
];

/// Holds an engine to every rule.
pub(crate) fn check(make: impl Fn(&Path) -> Box<dyn Engine>) {
    for (name, rule) in RULES {
        println!("{name}");
        rule(Bench::new(&make));
    }
}

fn a_fleet_is_there(bench: Bench<'_>) {
    let other = fleet(9);
    assert_eq!(bench.engine.fleets().expect("listed"), [FLEET]);
    assert_eq!(bench.engine.chain(&other).expect("read"), None);
    let log = Author::new(other, 1).log();
    let refused = [
        bench.engine.held(&other).map(drop),
        bench.engine.proofs(&other).map(drop),
        bench.engine.append(&other, &[]).map(drop),
        bench.engine.claim(&other, &log, STAMP).map(drop),
        bench.engine.read(&other, &log, 0, 1, 1).map(drop),
        bench.engine.keep_keys(&other, &[]),
        bench.engine.keys(&other, &[]).map(drop),
        bench.engine.usage(&other).map(drop),
        bench.engine.tidy(&other).map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Failed::NoFleet(id)) if id == other), "{refused:?}");
    }
    bench.engine.forget(&other).expect("there is nothing to forget");
    bench.engine.keep_chain(&other, b"other").expect("kept");
    let bench = bench.reopen();
    assert_eq!(bench.engine.fleets().expect("listed"), [FLEET, other]);
    bench.engine.forget(&FLEET).expect("forgotten");
    assert_eq!(bench.engine.fleets().expect("listed"), [other]);
    let bench = bench.reopen();
    assert_eq!(bench.engine.fleets().expect("listed"), [other]);
    assert_eq!(bench.engine.notices(), [""; 0]);
}

fn the_last_chain(bench: Bench<'_>) {
    bench.engine.keep_chain(&FLEET, &[7; 100_000]).expect("kept");
    bench.engine.keep_chain(&FLEET, b"shorter").expect("kept");
    assert_eq!(bench.engine.chain(&FLEET).expect("read").as_deref(), Some(&b"shorter"[..]));
    assert_eq!(bench.reopen().engine.chain(&FLEET).expect("read").as_deref(), Some(&b"shorter"[..]));
}

fn segments_come_back(bench: Bench<'_>) {
    let mut author = Author::new(FLEET, 1);
    let orders: Vec<_> = (0..10_u8).map(|n| author.body(document(n), &vec![n; 1000])).collect();
    bench.take(&orders[..3]);
    bench.take(&orders[3..]);
    let all: Vec<_> = orders.iter().map(|order| Arc::clone(&order.bytes)).collect();
    let size = all[0].len() as u64;
    let read = |bench: &Bench<'_>| {
        for (case, from, to, budget, expected) in [
            ("all", 0, 10, u64::MAX, &all[..]),
            ("beyond the end", 8, 99, u64::MAX, &all[8..]),
            ("a part", 2, 5, u64::MAX, &all[2..5]),
            ("three fit", 2, 9, 3 * size + 50, &all[2..5]),
            ("one at least", 4, 9, 1, &all[4..5]),
            ("nothing behind the end", 10, 12, u64::MAX, &[]),
            ("nothing", 3, 3, u64::MAX, &[]),
            ("backwards", 5, 3, u64::MAX, &[]),
        ] {
            assert_eq!(bench.engine.read(&FLEET, &author.log(), from, to, budget).expect(case), expected, "{case}");
        }
    };
    read(&bench);
    read(&bench.reopen());
}

fn only_what_continues(bench: Bench<'_>) {
    let mut author = Author::new(FLEET, 1);
    let first = author.body(document(1), b"one");
    let mut forked = author.clone();
    let second = author.body(document(2), b"two");
    let third = author.body(document(3), b"three");
    let fork = forked.body(document(4), b"other");
    let on_fork = forked.body(document(5), b"behind it");
    assert_eq!(bench.append(std::slice::from_ref(&second)), [Appended::Gap], "the first is not there");
    assert_eq!(bench.read(&author.log()).len(), 0);
    assert_eq!(
        bench.append(&[first.clone(), first.clone(), third.clone(), second.clone(), second.clone()]),
        [
            Appended::Taken,
            Appended::Had(first.at.clone()),
            Appended::Gap,
            Appended::Taken,
            Appended::Had(second.at.clone())
        ],
        "within one batch"
    );
    let bench = bench.reopen();
    for (case, order, expected) in [
        ("again", &first, Appended::Had(first.at.clone())),
        ("again, the newest", &second, Appended::Had(second.at.clone())),
        ("a fork", &fork, Appended::Had(second.at.clone())),
        ("what continues the fork", &on_fork, Appended::Gap),
        ("what continues", &third, Appended::Taken),
    ] {
        assert_eq!(bench.append(std::slice::from_ref(order)), [expected], "{case}");
    }
    assert_eq!(bench.append(&[]), []);
    assert_eq!(bench.read(&author.log()), [first.bytes, second.bytes, third.bytes]);
}

fn mistakes_are_refused(bench: Bench<'_>) {
    let mut author = Author::new(FLEET, 1);
    let good = author.body(document(1), b"one");
    let next = author.body(document(2), b"two");
    let alone = Author::new(fleet(9), 1).body(document(1), b"stays on its node");
    let mut cut = good.bytes.to_vec();
    cut.pop();
    for (case, wrong) in [
        ("of another fleet", alone),
        ("another segment", ToStore { bytes: Arc::clone(&next.bytes), ..good.clone() }),
        ("another end", ToStore { at: next.at.clone(), ..good.clone() }),
        ("another head before it", ToStore { after: [1; 32], ..good.clone() }),
        ("another residency", ToStore { at: Held { residency: 3, ..good.at.clone() }, ..good.clone() }),
        ("no segment", ToStore { bytes: cut.into(), ..good.clone() }),
    ] {
        let refused = bench.engine.append(&FLEET, &[good.clone(), wrong]).expect_err(case);
        assert!(matches!(refused, Failed::Mistaken | Failed::Segment(_)), "{case}: {refused}");
        assert_eq!(bench.engine.held(&FLEET).expect("read"), [], "{case}");
    }
    bench.take(&[good.clone(), next]);
    assert_eq!(bench.reopen().read(&good.at.log).len(), 2);
}

fn logs_end(bench: Bench<'_>) {
    let mut authors: Vec<_> = (1..=5).map(|seed| Author::new(FLEET, seed)).collect();
    let mut ends = Vec::new();
    for (n, author) in (1_u8..).zip(&mut authors) {
        let orders: Vec<_> = (0..n).map(|n| author.body(document(n), &[n, 1])).collect();
        bench.take(&orders);
        ends.push(orders.last().expect("one at least").at.clone());
    }
    ends.sort_by_key(|held| held.log);
    let held = |bench: &Bench<'_>| {
        let mut held = bench.engine.held(&FLEET).expect("read");
        held.sort_by_key(|held| held.log);
        held
    };
    assert_eq!(held(&bench), ends);
    assert_eq!(held(&bench.reopen()), ends);
}

fn places(bench: Bench<'_>) {
    let mut authors = [Author::new(FLEET, 1), Author::new(FLEET, 2), Author::new(FLEET, 3)];
    let mut tree = Peaks::default();
    let mut expected = Vec::new();
    assert_eq!(bench.engine.claim(&FLEET, &authors[0].log(), STAMP).expect("read"), None);
    for turn in 0..20_u8 {
        let author = &mut authors[usize::from(turn) % 3];
        let order = author.body(document(turn), &[turn, 2]);
        let path = tree.push(leaf(&order.at.chain.head));
        bench.take(std::slice::from_ref(&order));
        let claim = Claim {
            store: STAMP.store,
            fleet: *FLEET.as_bytes(),
            author: author.chain.author,
            incarnation: author.chain.incarnation,
            number: order.at.chain.number - 1,
            head: order.at.chain.head,
            size: tree.size(),
            root: tree.root(),
            index: tree.size() - 1,
            path,
            at: STAMP.at,
        };
        assert_eq!(bench.claim(&author.log()), claim, "{turn}");
        assert!(includes(&claim.root, claim.size, claim.index, &leaf(&claim.head), &claim.path));
        expected.push((author.log(), claim));
    }
    let bench = bench.reopen();
    for (log, claim) in &expected[17..] {
        assert_eq!(bench.claim(log), *claim);
    }
}

fn keys(bench: Bench<'_>) {
    bench.keep(&[(1, b"one"), (2, b"two"), (3, b"three")]);
    bench.keep(&[(2, b"two again"), (4, b"four"), (4, b"four again")]);
    bench.keep(&[]);
    let bench = bench.reopen();
    assert_eq!(bench.keys(&[4, 9, 2, 1]), [&b"four again"[..], b"two again", b"one"]);
    bench.keep(&[(2, b"two again"), (1, b"")]);
    assert_eq!(bench.keys(&[2, 1]), [&b"two again"[..], b""]);
    assert_eq!(bench.keys(&[]), [b""; 0]);
    let long = vec![(document(5), b"short".to_vec()), (document(6), vec![0; KEY_MAX + 1])];
    let refused = bench.engine.keep_keys(&FLEET, &long).expect_err("too long");
    assert!(matches!(refused, Failed::KeyTooLong(1025)), "{refused}");
    bench.keep(&[(7, &[7; KEY_MAX])]);
    bench.engine.tidy(&FLEET).expect("tidied");
    let bench = bench.reopen();
    assert_eq!(bench.keys(&[4, 3, 7, 5]), [b"four again".to_vec(), b"three".to_vec(), vec![7; KEY_MAX]]);
}

fn erased_keys(bench: Bench<'_>) {
    let mut author = Author::new(FLEET, 1);
    bench.keep(&[(1, b"one"), (2, b"two"), (3, b"three")]);
    bench.keep(&[(1, b"one again")]);
    bench.take(&[author.next(&[Change::Gone(document(1)), Change::Gone(document(8))])]);
    assert_eq!(bench.keys(&[1, 2, 3]), [&b"two"[..], b"three"]);
    bench.keep(&[(1, b"back"), (8, b"late"), (2, b"two again")]);
    assert_eq!(bench.keys(&[1, 8, 2, 3]), [&b"two again"[..], b"three"]);
    let bench = bench.reopen();
    bench.keep(&[(1, b"back")]);
    assert_eq!(bench.keys(&[1, 8, 2, 3]), [&b"two again"[..], b"three"]);
    bench.engine.tidy(&FLEET).expect("tidied");
    bench.keep(&[(1, b"back")]);
    assert_eq!(bench.keys(&[1, 8, 2, 3]), [&b"two again"[..], b"three"]);
}

fn pruning(bench: Bench<'_>) {
    let body = |n: u8| Change::Body(document(n), vec![n; 300]);
    let mut author = Author::new(FLEET, 1);
    let mut other = Author::new(FLEET, 2);
    let early = author.segment(&[body(1), body(2), body(1)]);
    let burial = other.segment(&[Change::Gone(document(1)), body(1), body(3)]);
    let late = author.segment(&[body(2), body(1), Change::Gone(document(1))]);
    bench.take(&[order(&early)]);
    bench.take(&[order(&burial), order(&late)]);
    let gone = |segment: &Segment| {
        let mut segment = segment.clone();
        segment.prune(|change| change.document == document(1) && change.kind != Kind::Tombstone);
        Arc::<[u8]>::from(segment.encode())
    };
    assert_eq!(bench.read(&other.log()), [gone(&burial)], "what buries stays");
    assert_eq!(bench.read(&author.log()), [early.encode().into(), gone(&late)], "what came before waits");
    let claim = bench.claim(&author.log());
    assert!(bench.engine.tidy(&FLEET).expect("tidied") > 500);
    assert_eq!(bench.engine.tidy(&FLEET).expect("tidied"), 0, "there is nothing left to do");
    let bench = bench.reopen();
    assert_eq!(bench.read(&author.log()), [gone(&early), gone(&late)]);
    assert_eq!(bench.claim(&author.log()), claim, "the tree is of heads");
    for segment in bench.read(&author.log()) {
        Segment::open(&segment).expect("it still verifies");
    }
    assert_eq!(bench.append(&[order(&early)]), [Appended::Had(order(&early).at)]);
    bench.take(&[author.body(document(5), b"it goes on")]);
    assert_eq!(bench.reopen().read(&author.log()).len(), 3);
}

fn fleets_apart(bench: Bench<'_>) {
    let other = fleet(2);
    bench.engine.keep_chain(&other, b"other").expect("kept");
    let (mut ours, mut theirs) = (Author::new(FLEET, 1), Author::new(other, 1));
    bench.keep(&[(1, b"ours")]);
    bench.engine.keep_keys(&other, &[(document(1), b"theirs".to_vec())]).expect("kept");
    bench.take(&[ours.body(document(1), b"ours")]);
    let first = theirs.body(document(1), b"theirs");
    let last = theirs.next(&[Change::Gone(document(1))]);
    assert_eq!(bench.engine.append(&other, &[first, last]).expect("appended"), [Appended::Taken, Appended::Taken]);
    bench.engine.tidy(&other).expect("tidied");
    bench.engine.tidy(&FLEET).expect("tidied");
    assert_eq!(bench.keys(&[1]), [b"ours"]);
    assert_eq!(bench.read(&ours.log()).len(), 1);
    assert_eq!(bench.claim(&ours.log()).size, 1);
    bench.engine.forget(&other).expect("forgotten");
    let bench = bench.reopen();
    assert_eq!(bench.keys(&[1]), [b"ours"]);
    assert_eq!(bench.engine.usage(&FLEET).expect("counted").erased, 0);
}

fn usage(bench: Bench<'_>) {
    let mut author = Author::new(FLEET, 1);
    let empty = bench.engine.usage(&FLEET).expect("counted");
    bench.keep(&[(1, b"one"), (2, b"two")]);
    bench.keep(&[(1, b"one again")]);
    bench.take(&[author.body(document(1), &[1; 5000]), author.body(document(2), &[2; 5000])]);
    let usage = bench.engine.usage(&FLEET).expect("counted");
    assert_eq!((usage.segments, usage.keys, usage.erased), (2, 2, 0));
    assert!((10_000..20_000).contains(&(usage.bytes - empty.bytes)), "{usage:?}");
    bench.take(&[author.next(&[Change::Gone(document(1)), Change::Gone(document(1)), Change::Gone(document(3))])]);
    bench.engine.tidy(&FLEET).expect("tidied");
    let usage = bench.engine.usage(&FLEET).expect("counted");
    assert_eq!((usage.segments, usage.keys, usage.erased), (3, 1, 2));
    assert!(usage.bytes - empty.bytes < 7000, "{usage:?}");
    assert_eq!(bench.reopen().engine.usage(&FLEET).expect("counted"), usage);
}

fn proofs(bench: Bench<'_>) {
    let proof = |seed: u8, last: &[u8]| {
        let (mut one, mut other) = (Author::new(FLEET, seed), Author::new(FLEET, seed));
        let body = |body: &[u8]| [Change::Body(document(1), body.to_vec())];
        Proof::between(&one.segment(&body(b"one")), &other.segment(&body(last))).expect("they exclude each other")
    };
    assert_eq!(bench.engine.proofs(&FLEET).expect("read"), []);
    let (first, second) = (proof(1, b"other"), proof(2, b"other"));
    for proof in [&first, &second, &first, &proof(1, b"a third")] {
        bench.engine.keep_proof(&FLEET, proof).expect("kept");
    }
    let mut expected = [first, second];
    expected.sort_by_key(Proof::log);
    assert_eq!(bench.engine.proofs(&FLEET).expect("read"), expected);
    assert_eq!(bench.reopen().engine.proofs(&FLEET).expect("read"), expected);
}

fn forgotten(bench: Bench<'_>) {
    let mut author = Author::new(FLEET, 1);
    let first = author.body(document(1), b"one");
    bench.keep(&[(1, b"one"), (2, b"two")]);
    bench.take(&[first.clone(), author.next(&[Change::Gone(document(2))])]);
    bench.engine.forget(&FLEET).expect("forgotten");
    assert!(matches!(bench.engine.held(&FLEET), Err(Failed::NoFleet(_))));
    bench.engine.keep_chain(&FLEET, b"anew").expect("kept");
    assert_eq!(bench.engine.held(&FLEET).expect("read"), []);
    assert_eq!(bench.keys(&[1]), [b""; 0]);
    bench.keep(&[(2, b"not erased here")]);
    bench.take(&[first]);
    let bench = bench.reopen();
    assert_eq!(bench.claim(&author.log()).size, 1);
    assert_eq!(bench.keys(&[2]), [b"not erased here"]);
    let usage = bench.engine.usage(&FLEET).expect("counted");
    assert_eq!((usage.segments, usage.keys, usage.erased), (1, 1, 0));
}

fn at_once(bench: Bench<'_>) {
    const EACH: u8 = 20;
    let other = fleet(2);
    bench.engine.keep_chain(&other, b"other").expect("kept");
    let logs: Vec<_> = (1..=4_u8)
        .map(|seed| (if seed % 2 == 0 { FLEET } else { other }, seed))
        .map(|(fleet, seed)| (fleet, Author::new(fleet, seed)))
        .collect();
    let engine = &*bench.engine;
    std::thread::scope(|scope| {
        for (fleet, author) in &logs {
            scope.spawn(move || {
                let mut author = author.clone();
                for n in 0..EACH {
                    let order = author.body(document(n), &[n, 3]);
                    let taken = engine.append(fleet, std::slice::from_ref(&order)).expect("appended");
                    assert_eq!(taken, [Appended::Taken]);
                    if n % 5 == 0 {
                        engine.tidy(fleet).expect("tidied");
                    }
                    let read = engine.read(fleet, &author.log(), u64::from(n), u64::MAX, u64::MAX).expect("read");
                    assert_eq!(read.len(), 1, "what was taken is there");
                    engine.keep_keys(fleet, &[(document(n), vec![n; 40])]).expect("kept");
                }
            });
        }
    });
    let bench = bench.reopen();
    for (fleet, author) in &logs {
        let read = bench.engine.read(fleet, &author.log(), 0, u64::MAX, u64::MAX).expect("read");
        assert_eq!(read.len(), usize::from(EACH));
    }
    for fleet in [FLEET, other] {
        let usage = bench.engine.usage(&fleet).expect("counted");
        assert_eq!((usage.segments, usage.keys), (2 * u64::from(EACH), u64::from(EACH)));
    }
    let heads: Vec<Hash> = bench.engine.held(&FLEET).expect("read").iter().map(|held| held.chain.head).collect();
    assert!(!heads.contains(&GENESIS));
}
