//! Whatever is asked in whatever order, the engine answers as a few maps in memory do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use hearth_core::{
    delta::Kind,
    merkle::{Peaks, leaf},
    receipt::Claim,
    segment::Segment,
};
use proptest::prelude::*;

use super::*;
use crate::relay::conformance::{Author, Change, STAMP, document, order};

const FLEET: FleetId = FleetId::from_bytes([1; 16]);
const AUTHORS: u8 = 3;
const DOCUMENTS: u8 = 6;

/// What somebody sends.
#[derive(Clone, Debug)]
enum Sent {
    /// What comes next in the log.
    Next(Vec<Change>),
    /// A segment that is there, or the first.
    Again(u8),
    /// One beyond what comes next.
    Beyond,
    /// Another one with the number of the newest.
    Fork,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, Sent)>),
    Keep(Vec<(u8, Vec<u8>)>),
    Tidy,
    Reopen,
    /// Opens with no index at all.
    Rebuild,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..DOCUMENTS, prop::option::weighted(0.8, 1_usize..400)).prop_map(|(n, size)| match size {
        Some(size) => Change::Body(document(n), vec![n; size]),
        None => Change::Gone(document(n)),
    });
    let sent = prop_oneof![
        8 => prop::collection::vec(change, 1..4).prop_map(Sent::Next),
        1 => any::<u8>().prop_map(Sent::Again),
        1 => Just(Sent::Beyond),
        1 => Just(Sent::Fork),
    ];
    let keys = prop::collection::vec((0..DOCUMENTS, prop::collection::vec(any::<u8>(), 0..60)), 0..4);
    let step = prop_oneof![
        8 => prop::collection::vec((0..AUTHORS, sent), 0..6).prop_map(Step::Append),
        4 => keys.prop_map(Step::Keep),
        2 => Just(Step::Tidy),
        2 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
    ];
    prop::collection::vec(step, 1..20)
}

struct Model {
    authors: Vec<Author>,
    logs: Vec<Vec<Segment>>,
    claims: BTreeMap<Log, Claim>,
    tree: Peaks,
    erased: BTreeSet<DocumentId>,
    keys: BTreeMap<DocumentId, Vec<u8>>,
}

impl Model {
    fn new() -> Self {
        let authors: Vec<_> = (0..AUTHORS).map(|seed| Author::new(FLEET, seed + 1)).collect();
        Self {
            logs: vec![Vec::new(); authors.len()],
            authors,
            claims: BTreeMap::new(),
            tree: Peaks::default(),
            erased: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }

    /// The order, and what is to be answered.
    fn send(&mut self, author: u8, sent: &Sent) -> (ToStore, Appended) {
        let number = usize::from(author);
        let body = |n: u8| [Change::Body(document(n), vec![99; 50])];
        let log = &self.logs[number];
        match sent {
            Sent::Next(changes) => {
                let segment = self.authors[number].segment(changes);
                let taken = order(&segment);
                self.take(number, segment);
                (taken, Appended::Taken)
            }
            Sent::Again(which) if !log.is_empty() => {
                let again = order(&log[usize::from(*which) % log.len()]);
                (again.clone(), Appended::Had(again.at))
            }
            Sent::Fork if !log.is_empty() => {
                let mut fork = Author::new(FLEET, author + 1);
                log[..log.len() - 1].iter().for_each(|segment| fork.chain = order(segment).at.chain);
                (fork.next(&body(1)), Appended::Had(order(&log[log.len() - 1]).at))
            }
            Sent::Again(_) | Sent::Fork | Sent::Beyond => {
                let mut ahead = self.authors[number].clone();
                ahead.next(&body(2));
                (ahead.next(&body(3)), Appended::Gap)
            }
        }
    }

    fn take(&mut self, author: usize, mut segment: Segment) {
        let buried = segment.changes().filter_map(|(_, change)| change.filter(|it| it.kind == Kind::Tombstone));
        self.erased.extend(buried.map(|change| change.document));
        self.keys.retain(|document, _| !self.erased.contains(document));
        prune(&mut segment, &self.erased);
        let path = self.tree.push(leaf(&segment.digest()));
        let claim = Claim {
            store: STAMP.store,
            fleet: segment.head().fleet,
            author: segment.head().author,
            incarnation: segment.head().incarnation,
            number: segment.head().number,
            head: segment.digest(),
            size: self.tree.size(),
            root: self.tree.root(),
            index: self.tree.size() - 1,
            path,
            at: STAMP.at,
        };
        self.claims.insert(self.authors[author].log(), claim);
        self.logs[author].push(segment);
    }

    fn assert_is(&self, engine: &Embedded) {
        let documents: Vec<_> = (0..DOCUMENTS).map(document).collect();
        let keys: Vec<_> = documents.iter().filter_map(|document| self.keys.get(document).cloned()).collect();
        assert_eq!(engine.keys(&FLEET, &documents).expect("read"), keys);
        let mut held = engine.held(&FLEET).expect("read");
        held.sort_by_key(|held| held.log);
        let mut expected: Vec<_> =
            self.logs.iter().filter_map(|log| log.last()).map(|segment| order(segment).at).collect();
        expected.sort_by_key(|held| held.log);
        assert_eq!(held, expected);
        for (author, log) in self.authors.iter().zip(&self.logs) {
            let read = engine.read(&FLEET, &author.log(), 0, u64::MAX, u64::MAX).expect("read");
            let expected: Vec<Arc<[u8]>> = log.iter().map(|segment| segment.encode().into()).collect();
            assert_eq!(read, expected);
            assert_eq!(
                engine.claim(&FLEET, &author.log(), STAMP).expect("read").as_ref(),
                self.claims.get(&author.log())
            );
        }
        let usage = engine.usage(&FLEET).expect("counted");
        assert_eq!(
            (usage.segments, usage.keys, usage.erased),
            (self.tree.size(), self.keys.len() as u64, self.erased.len() as u64)
        );
        assert_eq!(engine.notices(), [""; 0]);
    }
}

fn prune(segment: &mut Segment, erased: &BTreeSet<DocumentId>) {
    segment.prune(|change| change.kind != Kind::Tombstone && erased.contains(&change.document));
}

fn run(steps: &[Step]) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut engine = open(data.path());
    engine.keep_chain(&FLEET, b"chain").expect("kept");
    let mut model = Model::new();
    model.assert_is(&engine);
    engine.shared.rebuilt.store(0, Ordering::Relaxed);
    for step in steps {
        match step {
            Step::Append(sent) => {
                let (orders, expected): (Vec<_>, Vec<_>) =
                    sent.iter().map(|(author, sent)| model.send(*author, sent)).unzip();
                assert_eq!(engine.append(&FLEET, &orders).expect("appended"), expected);
            }
            Step::Keep(records) => {
                let records: Vec<_> = records.iter().map(|(n, record)| (document(*n), record.clone())).collect();
                engine.keep_keys(&FLEET, &records).expect("kept");
                let records = records.into_iter().filter(|(document, _)| !model.erased.contains(document));
                model.keys.extend(records);
            }
            Step::Tidy => {
                engine.tidy(&FLEET).expect("tidied");
                model.logs.iter_mut().flatten().for_each(|segment| prune(segment, &model.erased));
            }
            Step::Reopen => {
                drop(engine);
                engine = open(data.path());
            }
            Step::Rebuild => {
                drop(engine);
                fs::remove_dir_all(data.path().join("relay/index")).expect("removed");
                engine = open(data.path());
            }
        }
        model.assert_is(&engine);
        let rebuilt = engine.shared.rebuilt.swap(0, Ordering::Relaxed);
        assert_eq!(rebuilt > 0, matches!(step, Step::Rebuild), "an index that is in order is not made anew");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_is_asked_it_answers_as_maps_in_memory_do(steps in steps()) {
        run(&steps);
    }
}
