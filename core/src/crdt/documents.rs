//! What is there and what is gone: a tombstone wins over everything written beside it.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decoder, Encoder};

use super::{BadState, Coded, Dot, Seen, Settled, Written, list, read_dot, read_seen, write_dot, write_seen};
use crate::{DocumentId, id::array};

/// The documents of a space, by the changes that brought them, and the tombstones of those that are gone.
///
/// Of a document that is gone only its tombstone is kept, until [`settle`](Self::settle) says that nobody can bring it back: then nothing is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Documents {
    born: BTreeMap<Dot, DocumentId>,
    graves: BTreeMap<Dot, DocumentId>,
    /// Every document born below it was taken in: one that is not in `born` is gone.
    known: Seen,
    /// Every tombstone below it was taken in: one that is not in `graves` is settled.
    settled: Seen,
}

impl Documents {
    /// Whether a document is there.
    pub fn contains(&self, document: DocumentId) -> bool {
        self.born.values().any(|born| *born == document)
    }

    /// All that are there.
    pub fn iter(&self) -> impl Iterator<Item = DocumentId> {
        self.born.values().copied().collect::<BTreeSet<_>>().into_iter()
    }

    /// How many tombstones are kept.
    pub fn tombstones(&self) -> usize {
        self.graves.len()
    }

    /// The change at `dot` brings a document; returns the change to merge elsewhere.
    pub fn bear(&mut self, dot: Dot, document: DocumentId) -> Self {
        self.took(Self { born: BTreeMap::from([(dot, document)]), ..Self::default() })
    }

    /// The change at `dot` is a document's tombstone; returns the change to merge elsewhere.
    pub fn bury(&mut self, dot: Dot, document: DocumentId) -> Self {
        self.took(Self { graves: BTreeMap::from([(dot, document)]), ..Self::default() })
    }

    fn took(&mut self, change: Self) -> Self {
        self.merge(&change);
        change
    }

    /// Takes in a change, or everything another state holds.
    pub fn merge(&mut self, other: &Self) {
        unite(&mut self.graves, &self.settled, &other.graves, &other.settled);
        unite(&mut self.born, &self.known, &other.born, &other.known);
        self.settled.join(&other.settled);
        self.known.join(&other.known);
        let gone: BTreeSet<DocumentId> = self.graves.values().copied().collect();
        self.born.retain(|_, document| !gone.contains(document));
    }

    /// Forgets the tombstones that every device has seen.
    pub fn settle(&mut self, settled: &Settled) {
        self.settled.join(&settled.gone);
        self.known.join(&settled.known);
        self.graves.retain(|dot, _| !self.settled.covers(dot));
    }

    /// For a device that returns after it was silent for too long: what it has in `mine` and is gone according to this snapshot, by whatever
    /// change it has it. It drops them, and writes what else it has that nobody saw into a new incarnation of its log.
    pub fn gone_from(&self, mine: &Self) -> BTreeSet<DocumentId> {
        let graves = self.graves.values().copied();
        let forgotten = mine.born.iter().filter(|(dot, _)| self.known.covers(dot) && !self.born.contains_key(dot));
        let gone: BTreeSet<DocumentId> = graves.chain(forgotten.map(|(_, document)| *document)).collect();
        mine.iter().filter(|document| gone.contains(document) && !self.contains(*document)).collect()
    }

    /// The bytes to seal: `[version, known, settled, born, graves]`, the last two lists of `[author, incarnation, seq, document]`, in order.
    pub fn encode(&self) -> Vec<u8> {
        self.to_bytes()
    }

    /// Reads what [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadState> {
        Self::from_bytes(bytes)
    }
}

/// What both have, and what one has and the other never had. At one place stands one thing; of a liar's two the greater.
fn unite(ours: &mut BTreeMap<Dot, DocumentId>, our_past: &Seen, theirs: &BTreeMap<Dot, DocumentId>, their_past: &Seen) {
    ours.retain(|dot, _| theirs.contains_key(dot) || !their_past.covers(dot));
    for (dot, document) in theirs {
        match ours.get_mut(dot) {
            Some(our) => *our = (*our).max(*document),
            None if our_past.covers(dot) => {}
            None => {
                ours.insert(*dot, *document);
            }
        }
    }
}

impl Coded for Documents {
    const FIELDS: u64 = 4;

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Written {
        write_seen(e, &self.known)?;
        write_seen(e, &self.settled)?;
        for places in [&self.born, &self.graves] {
            e.array(places.len() as u64)?;
            for (dot, document) in places {
                e.array(4)?;
                write_dot(e, dot)?;
                e.bytes(document.as_bytes())?;
            }
        }
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let (known, settled) = (read_seen(d)?, read_seen(d)?);
        let places = |d: &mut Decoder<'_>| {
            let one = |d: &mut Decoder<'_>| {
                let dot = (d.array().ok()? == Some(4)).then(|| read_dot(d)).flatten()?;
                Some((dot, DocumentId::from_bytes(array(d).ok()?)))
            };
            Some(list(d, one)?.into_iter().collect::<BTreeMap<_, _>>())
        };
        let (born, graves) = (places(d)?, places(d)?);
        // What is gone is not there, and what is settled is not kept.
        let gone: BTreeSet<&DocumentId> = graves.values().collect();
        let clean =
            born.values().all(|document| !gone.contains(document)) && graves.keys().all(|dot| !settled.covers(dot));
        clean.then_some(Self { born, graves, known, settled })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        DeviceId, Moment,
        crdt::{SILENCE_MAX, Stability},
    };

    const DEVICES: usize = 4;

    fn device(n: usize) -> DeviceId {
        DeviceId::from_bytes([n.to_le_bytes()[0] + 1; 16])
    }

    fn dot(author: usize, seq: usize) -> Dot {
        Dot { author: device(author), incarnation: 1, seq: seq as u64 }
    }

    fn document(n: u8) -> DocumentId {
        DocumentId::from_bytes([n; 16])
    }

    #[derive(Clone, Debug)]
    struct Node {
        state: Documents,
        stability: Stability,
        /// How far it has read each log.
        read: [usize; DEVICES],
        /// What it knows to be gone, for ever: the oracle.
        dead: BTreeSet<DocumentId>,
    }

    impl Node {
        fn seen(&self) -> Seen {
            let mut seen = Seen::nothing();
            for (author, next) in self.read.iter().enumerate() {
                seen.advance(device(author), 1, *next as u64);
            }
            seen
        }
    }

    /// Devices that write, read each other's logs in order, take whole states, report, and forget; the last may be revoked.
    #[derive(Clone, Debug)]
    struct World {
        nodes: Vec<Node>,
        logs: Vec<Vec<Documents>>,
        old: Vec<Documents>,
        reports: Vec<(usize, Seen)>,
        revoked: bool,
        collapsed: usize,
    }

    type Step = (u8, usize, usize, u8);

    impl World {
        fn new() -> Self {
            let node = |n: usize| {
                let mut stability = Stability::default();
                (0..DEVICES).filter(|other| *other != n).for_each(|other| stability.join(Moment::START, device(other)));
                Node { state: Documents::default(), stability, read: [0; DEVICES], dead: BTreeSet::new() }
            };
            Self {
                nodes: (0..DEVICES).map(node).collect(),
                logs: vec![Vec::new(); DEVICES],
                old: Vec::new(),
                reports: Vec::new(),
                revoked: false,
                collapsed: 0,
            }
        }

        fn step(&mut self, (what, at, other, n): Step) {
            let silent = self.revoked && (at == DEVICES - 1 || other == DEVICES - 1);
            match what {
                // A document's id is its version's own: two devices may bring it (a copy), but nobody who knows it to be gone.
                0 | 1 if !silent && !self.nodes[at].dead.contains(&document(n)) => {
                    let change = self.nodes[at].state.bear(dot(at, self.logs[at].len()), document(n));
                    self.wrote(at, change);
                }
                2 if !silent && self.nodes[at].state.contains(document(n)) => {
                    let change = self.nodes[at].state.bury(dot(at, self.logs[at].len()), document(n));
                    self.nodes[at].dead.insert(document(n));
                    self.wrote(at, change);
                }
                3 | 4 if !(self.revoked && at == DEVICES - 1) => self.read(at, other, usize::from(n) + 1),
                5 if !silent => {
                    let other = self.nodes[other].clone();
                    let node = &mut self.nodes[at];
                    node.state.merge(&other.state);
                    node.dead.extend(other.dead);
                    for (ours, theirs) in node.read.iter_mut().zip(other.read) {
                        *ours = (*ours).max(theirs);
                    }
                }
                6 => self.old.push(self.nodes[at].state.clone()),
                7 if !self.old.is_empty() => {
                    // Old news, never counted as read.
                    let old = self.old[usize::from(n) % self.old.len()].clone();
                    self.nodes[at].state.merge(&old);
                    if let Some(change) =
                        self.logs[other].get(usize::from(n)).filter(|_| usize::from(n) < self.nodes[at].read[other])
                    {
                        self.nodes[at].state.merge(change);
                    }
                }
                8 => self.reports.push((at, self.nodes[at].seen())),
                9 | 10 => self.report(at, other),
                11 => self.settle(at),
                12 if !self.reports.is_empty() => {
                    // A report that was long on its way.
                    let (from, seen) = self.reports[usize::from(n) % self.reports.len()].clone();
                    self.nodes[at].stability.hear(Moment::START, device(from), seen);
                }
                13 => {
                    // All read all and report to one, which forgets; the others still remember.
                    let present = if self.revoked { DEVICES - 1 } else { DEVICES };
                    for from in 0..present {
                        (0..DEVICES).for_each(|log| self.read(from, log, usize::MAX));
                        self.report(from, at);
                    }
                    (0..2).for_each(|_| self.settle(at));
                }
                14 if n == 0 && !self.revoked => {
                    self.revoked = true;
                    self.nodes.iter_mut().for_each(|node| node.stability.revoke(device(DEVICES - 1)));
                }
                _ => {}
            }
            self.check();
        }

        fn wrote(&mut self, at: usize, change: Documents) {
            self.logs[at].push(change);
            self.nodes[at].read[at] = self.logs[at].len();
        }

        fn read(&mut self, at: usize, log: usize, count: usize) {
            let from = self.nodes[at].read[log];
            for change in self.logs[log].iter().skip(from).take(count) {
                let node = &mut self.nodes[at];
                node.dead.extend(change.graves.values());
                node.state.merge(change);
                node.read[log] += 1;
            }
        }

        fn report(&mut self, from: usize, to: usize) {
            let seen = self.nodes[from].seen();
            self.nodes[to].stability.hear(Moment::START, device(from), seen);
        }

        fn settle(&mut self, at: usize) {
            let node = &mut self.nodes[at];
            if let Some(settled) = node.stability.poll(Moment::START, &node.seen()) {
                let before = node.state.tombstones();
                node.state.settle(&settled);
                self.collapsed += before - node.state.tombstones();
            }
        }

        fn check(&self) {
            for node in &self.nodes {
                for gone in &node.dead {
                    assert!(!node.state.contains(*gone), "{gone} came back");
                }
            }
        }

        /// Everybody reads everything, reports, and settles, until nothing changes.
        fn heal(&mut self) {
            let present = if self.revoked { DEVICES - 1 } else { DEVICES };
            for _ in 0..4 {
                for at in 0..present {
                    (0..DEVICES).for_each(|log| self.read(at, log, usize::MAX));
                    self.check();
                }
                for from in 0..present {
                    (0..present).filter(|to| *to != from).for_each(|to| self.report(from, to));
                }
                (0..present).for_each(|at| self.settle(at));
                self.check();
            }
            self.nodes.truncate(present);
        }
    }

    fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec((0_u8..15, 0..DEVICES, 0..DEVICES, 0_u8..5), 0..count)
    }

    #[test]
    fn a_tombstone_wins_over_what_was_written_beside_it() {
        let (mut ours, mut theirs) = (Documents::default(), Documents::default());
        let born = ours.bear(dot(0, 0), document(1));
        theirs.merge(&born);
        let gone = ours.bury(dot(0, 1), document(1));
        let again = theirs.bear(dot(1, 0), document(1));
        theirs.merge(&gone);
        ours.merge(&again);
        assert!(!ours.contains(document(1)) && !theirs.contains(document(1)));
        assert_eq!(ours, theirs);
    }

    /// The hardest case: the copy that C wrote beside the tombstone is known to B alone when all have seen the tombstone.
    #[test]
    fn a_copy_that_is_still_on_its_way_keeps_the_tombstone() {
        let mut world = World::new();
        world.nodes.truncate(3);
        for n in 0..3 {
            world.nodes[n].stability.revoke(device(3));
        }
        for step in [
            (0, 0, 0, 1), // A brings it,
            (3, 2, 0, 9), // C reads of it
            (0, 2, 2, 1), // and brings a copy,
            (2, 0, 0, 1), // while A buries it.
            (3, 1, 0, 9), // All read A's log,
            (3, 2, 0, 9), // B not yet C's.
            (9, 2, 0, 0),
            (9, 1, 0, 0),
            (11, 0, 0, 0),
            (11, 0, 0, 0),
            (3, 0, 2, 9), // A has read the copy; B lacks it still.
            (9, 2, 0, 0),
            (11, 0, 0, 0),
            (11, 0, 0, 0),
        ] {
            world.step(step);
        }
        assert_eq!((world.collapsed, world.nodes[0].state.tombstones()), (0, 1));
        for step in [(3, 1, 2, 9), (9, 1, 0, 0), (11, 0, 0, 0), (11, 0, 0, 0)] {
            world.step(step);
        }
        assert_eq!((world.collapsed, world.nodes[0].state.tombstones()), (1, 0));
    }

    #[test]
    fn what_was_forgotten_does_not_come_back_by_old_news() {
        let (mut ours, mut theirs) = (Documents::default(), Documents::default());
        let born = ours.bear(dot(0, 0), document(1));
        theirs.merge(&born);
        let gone = ours.bury(dot(0, 1), document(1));
        let remembering = ours.clone();
        let mut seen = Seen::nothing();
        seen.advance(device(0), 1, 2);
        let mut stability = Stability::default();
        assert_eq!(stability.poll(Moment::START, &seen), None, "the first round");
        ours.settle(&stability.poll(Moment::START, &seen).expect("nobody else is asked"));
        assert_eq!(ours.tombstones(), 0);

        let forgotten = ours.clone();
        for (case, news) in [
            ("its birth", &born),
            ("its tombstone", &gone),
            ("a state with both", &remembering),
            ("a state before", &theirs),
        ] {
            ours.merge(news);
            assert_eq!(ours, forgotten, "{case}");
        }
        theirs.merge(&forgotten);
        assert_eq!(theirs, forgotten, "who lacked the tombstone");
        let mut remembering = remembering;
        remembering.merge(&forgotten);
        assert_eq!(remembering, forgotten, "who had it still");
    }

    #[test]
    fn who_returns_after_too_long_drops_what_is_gone_and_keeps_what_is_its_own() {
        let late = Moment::START + SILENCE_MAX + Duration::from_secs(1);
        let (mut ours, mut theirs) = (Documents::default(), Documents::default());
        let born = ours.bear(dot(0, 0), document(1));
        theirs.merge(&born);
        theirs.bear(dot(1, 0), document(1));
        theirs.bear(dot(1, 1), document(2));
        ours.bury(dot(0, 1), document(1));
        let mut stability = Stability::default();
        stability.join(Moment::START, device(1));
        let mut seen = Seen::nothing();
        seen.advance(device(0), 1, 2);
        assert_eq!(stability.poll(late, &seen), None);
        ours.settle(&stability.poll(late, &seen).expect("the other is silent for too long"));
        assert_eq!(ours.tombstones(), 0);
        assert_eq!(ours.gone_from(&theirs), BTreeSet::from([document(1)]), "the second is its own and nobody saw it");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn whatever_happens_nothing_buried_comes_back_and_all_come_out_the_same(steps in steps(120)) {
            let mut world = World::new();
            for step in steps {
                world.step(step);
            }
            world.heal();
            for node in &world.nodes {
                prop_assert_eq!(&node.state, &world.nodes[0].state);
                prop_assert_eq!(node.state.tombstones(), 0, "all have seen all");
            }
        }

        #[test]
        fn order_repetition_and_grouping_make_no_difference(steps in steps(80)) {
            let mut world = World::new();
            for step in steps {
                world.step(step);
            }
            let states: Vec<_> = world.nodes.iter().map(|node| &node.state).collect();
            let merged = |list: &[&Documents]| list.iter().fold(Documents::default(), |mut all, other| { all.merge(other); all });
            let [a, b, c, d] = states[..] else { unreachable!("four nodes") };
            let grouped = merged(&[&merged(&[d, c]), a, &merged(&[b, a]), d]);
            prop_assert_eq!(merged(&[a, b, c, d]), grouped);
        }

        #[test]
        fn a_state_reads_back_as_written_and_no_cut_does(steps in steps(80), cut: usize, at: usize) {
            let mut world = World::new();
            for step in steps {
                world.step(step);
            }
            let mut bytes = world.nodes[0].state.encode();
            prop_assert_eq!(Documents::decode(&bytes), Ok(world.nodes[0].state.clone()));
            prop_assert!(Documents::decode(&bytes[..cut % bytes.len()]).is_err());
            let at = at % bytes.len();
            bytes[at] ^= 1 << (at % 8);
            prop_assert!(Documents::decode(&bytes).map_or(true, |state| state.encode() == bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Documents::decode(&bytes).map_or(true, |state| state.encode() == bytes));
        }
    }
}
