//! Where a node's copy of every log ends.
//!
//! Per author and incarnation the next segment's number and the first bytes of the last head's digest: enough to see who is ahead, and
//! whether two copies of one length are the same. Equal nodes exchange at most 42 bytes a log and nothing else. The digest is cut, so it
//! finds differences and proves nothing; a [`super::Proof`] does. An author that spends 2^32 work on two heads that look equal hides its fork
//! until it goes on with either: the next segment names the head before it in full.

use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder, encode::Write};

use crate::{
    DeviceId,
    id::array,
    segment::{Chain, Head, Segment},
};

/// How many bytes of a head's digest a mark carries.
pub const HEAD: usize = 8;
/// The most logs in a frontier.
pub const LOGS_MAX: usize = 16_384;

/// One life of one author's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Log {
    /// Whose it is.
    pub author: DeviceId,
    /// Which life of it.
    pub incarnation: u64,
}

impl Log {
    /// That of a verified segment.
    pub fn of(segment: &Segment) -> Self {
        Self::of_head(segment.head())
    }

    /// That of a head.
    pub(crate) fn of_head(head: &Head) -> Self {
        Self { author: DeviceId::of_key_bytes(&head.author), incarnation: head.incarnation }
    }
}

/// Where one copy of a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The number of the first segment that is not there; at least 1.
    pub next: u64,
    /// The first bytes of the digest of the last head.
    pub head: [u8; HEAD],
}

impl Mark {
    /// The end of this log; `None` when nothing is in it.
    pub fn of(chain: &Chain) -> Option<Self> {
        let head = *chain.head.first_chunk().expect("a digest is longer");
        (chain.number > 0).then_some(Self { next: chain.number, head })
    }
}

/// How one copy of a log stands to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Ours goes on where theirs ends, from this number.
    Ahead(u64),
    /// Theirs goes on where ours ends, from this number.
    Behind(u64),
    /// The same.
    Equal,
    /// Both end with this number, differently.
    Forked(u64),
}

/// The ends of all logs that a node holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier(BTreeMap<Log, Mark>);

impl Frontier {
    /// Where this log ends here; `None` when nothing of it is here.
    pub fn get(&self, log: &Log) -> Option<Mark> {
        self.0.get(log).copied()
    }

    /// Notes where a log ends; a mark at nothing is left out.
    pub fn set(&mut self, log: Log, mark: Mark) {
        if mark.next > 0 {
            self.0.insert(log, mark);
        }
    }

    /// The logs in order.
    pub fn iter(&self) -> impl Iterator<Item = (Log, Mark)> {
        self.0.iter().map(|(log, mark)| (*log, *mark))
    }

    /// How many logs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How ours stands to theirs, for every log that either has.
    pub fn compare(&self, theirs: &Self) -> BTreeMap<Log, Place> {
        let logs = self.0.keys().chain(theirs.0.keys());
        logs.map(|log| (*log, place(self.get(log), theirs.get(log)))).collect()
    }

    /// Writes it as `[[author, incarnation, next, head, incarnation, next, head, …], …]`.
    pub(crate) fn write<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        let mut authors: BTreeMap<DeviceId, Vec<(u64, &Mark)>> = BTreeMap::new();
        for (log, mark) in &self.0 {
            authors.entry(log.author).or_default().push((log.incarnation, mark));
        }
        e.array(authors.len() as u64)?;
        for (author, logs) in authors {
            e.array(1 + 3 * logs.len() as u64)?.bytes(author.as_bytes())?;
            for (incarnation, mark) in logs {
                e.u64(incarnation)?.u64(mark.next)?.bytes(&mark.head)?;
            }
        }
        Ok(())
    }

    /// Reads it; whether it was in its one form is for the reader of the whole to check.
    pub(crate) fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let mut marks = BTreeMap::new();
        for _ in 0..d.array().ok()?? {
            let fields = d.array().ok()??;
            let author = DeviceId::from_bytes(array(d).ok()?);
            if fields < 4 || fields % 3 != 1 {
                return None;
            }
            for _ in 0..fields / 3 {
                let log = Log { author, incarnation: d.u64().ok()? };
                let mark = Mark { next: d.u64().ok()?, head: array(d).ok()? };
                if mark.next == 0 || marks.len() >= LOGS_MAX || marks.insert(log, mark).is_some() {
                    return None;
                }
            }
        }
        Some(Self(marks))
    }

    /// The deterministic CBOR of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(42 * self.len() + 8);
        self.write(&mut Encoder::new(&mut out)).expect("writing to memory does not fail");
        out
    }

    /// Reads what [`Frontier::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Self::read(&mut Decoder::new(bytes)).filter(|frontier| frontier.encode() == bytes)
    }
}

impl FromIterator<(Log, Mark)> for Frontier {
    fn from_iter<I: IntoIterator<Item = (Log, Mark)>>(marks: I) -> Self {
        let mut frontier = Self::default();
        for (log, mark) in marks {
            frontier.set(log, mark);
        }
        frontier
    }
}

/// How one mark stands to another.
pub fn place(ours: Option<Mark>, theirs: Option<Mark>) -> Place {
    let (our_next, their_next) = (ours.map_or(0, |mark| mark.next), theirs.map_or(0, |mark| mark.next));
    match our_next.cmp(&their_next) {
        std::cmp::Ordering::Greater => Place::Ahead(their_next),
        std::cmp::Ordering::Less => Place::Behind(our_next),
        std::cmp::Ordering::Equal if ours == theirs => Place::Equal,
        std::cmp::Ordering::Equal => Place::Forked(our_next - 1),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn frontiers() -> impl Strategy<Value = Frontier> {
        let log = (any::<[u8; 2]>(), any::<u64>()).prop_map(|(short, incarnation)| {
            let mut author = [7; 16];
            author[..2].copy_from_slice(&short);
            Log { author: DeviceId::from_bytes(author), incarnation }
        });
        let mark = (1_u64.., any::<[u8; HEAD]>()).prop_map(|(next, head)| Mark { next, head });
        prop::collection::vec((log, mark), 0..20).prop_map(|marks| marks.into_iter().collect())
    }

    fn log(author: u8) -> Log {
        Log { author: DeviceId::from_bytes([author; 16]), incarnation: 1 }
    }

    #[test]
    fn each_log_is_ahead_behind_equal_or_forked() {
        let mark = |next, head| Mark { next, head: [head; HEAD] };
        let ours: Frontier = [(log(1), mark(5, 1)), (log(2), mark(5, 1)), (log(3), mark(5, 1)), (log(4), mark(2, 1))]
            .into_iter()
            .collect();
        let theirs: Frontier = [(log(1), mark(3, 9)), (log(2), mark(5, 1)), (log(3), mark(5, 2)), (log(5), mark(1, 1))]
            .into_iter()
            .collect();
        let expected = [
            (log(1), Place::Ahead(3)),
            (log(2), Place::Equal),
            (log(3), Place::Forked(4)),
            (log(4), Place::Ahead(0)),
            (log(5), Place::Behind(0)),
        ];
        assert_eq!(ours.compare(&theirs).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_frontier_costs_at_most_42_bytes_an_author() {
        for authors in [0_u64, 1, 32, 1000] {
            let frontier: Frontier = (0..authors)
                .map(|author| {
                    let mut id = [255; 16];
                    id[..8].copy_from_slice(&author.to_be_bytes());
                    let log = Log { author: DeviceId::from_bytes(id), incarnation: u64::MAX };
                    (log, Mark { next: u64::from(u32::MAX), head: [9; HEAD] })
                })
                .collect();
            let bytes = frontier.encode().len() as u64;
            assert!(bytes <= 42 * authors + 8, "{bytes} bytes for {authors} authors");
        }
    }

    #[test]
    fn only_the_one_form_is_read() {
        let one: Frontier = [(log(1), Mark { next: 5, head: [1; HEAD] })].into_iter().collect();
        let good = one.encode();
        assert_eq!(Frontier::decode(&good), Some(one));
        let at = good.iter().position(|byte| *byte == 5).expect("the number");
        let mut long = good.clone();
        long.splice(at..=at, [0x18, 5]);
        let mut nothing = good.clone();
        nothing[at] = 0;
        let mut twice = vec![0x82];
        twice.extend([&good[1..], &good[1..]].concat());
        for (case, bytes) in
            [("a number longer than need be", long), ("a mark at nothing", nothing), ("one author twice", twice)]
        {
            assert_eq!(Frontier::decode(&bytes), None, "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_frontier_reads_back_as_written(frontier in frontiers()) {
            let bytes = frontier.encode();
            prop_assert_eq!(Frontier::decode(&bytes), Some(frontier));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Frontier::decode(&bytes[..cut]), None);
            }
        }

        #[test]
        fn any_bytes_are_read_in_their_one_form_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(frontier) = Frontier::decode(&bytes) {
                prop_assert_eq!(frontier.encode(), bytes);
            }
        }

        #[test]
        fn two_see_the_same_from_both_sides(ours in frontiers(), theirs in frontiers()) {
            for ((log, here), (_, there)) in ours.compare(&theirs).into_iter().zip(theirs.compare(&ours)) {
                let mirrored = match here {
                    Place::Ahead(from) => Place::Behind(from),
                    Place::Behind(from) => Place::Ahead(from),
                    same => same,
                };
                prop_assert_eq!(mirrored, there, "{:?}", log);
            }
        }
    }
}
