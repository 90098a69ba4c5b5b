//! What the index says of one fleet: a fold over the fleet's files, in order.
//!
//! [`Ledger::admit`] is given each segment once, in the order in which they lie in the files, by whoever appends and by whoever reads
//! the files again; so both come to the same. Changes are gathered and written at once.
//!
//! Keys begin with a letter and the fleet: `C` how far all is, `F` a file, `L` where a log ends, `S` where a segment lies, `W` a segment
//! that waits for one before it, `E` an erased document, `K` a file that holds a document's key.

use std::collections::BTreeMap;

use hearth_core::{
    DeviceId, DocumentId,
    fleet::FleetId,
    merkle::{Hash, Peaks, leaf},
    receipt::Claim,
    segment::{Chain, GENESIS, Outline},
    sync::{Held, Log},
};
use minicbor::{Decode, Encode};

use super::{
    Stop,
    index::{Changes, Index},
    shelf::Found,
};
use crate::relay::engine::{Failed, Stamp};

/// How far all is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub(super) struct Tally {
    /// Leaves in the fleet's tree.
    #[n(0)]
    size: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    peaks: Vec<u8>,
    /// Documents with a key record.
    #[n(2)]
    pub(super) keys: u64,
    /// Erased documents.
    #[n(3)]
    pub(super) erased: u64,
    /// Erased since the files were last tidied.
    #[n(4)]
    pub(super) untidied: u64,
    /// Key records in whose place came others since then.
    #[n(5)]
    pub(super) stale: u64,
    /// Logs.
    #[n(6)]
    logs: u64,
}

/// Where a log ends, and where that stands in the tree.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct End {
    #[cbor(n(0), with = "minicbor::bytes")]
    author: [u8; 32],
    #[n(1)]
    next: u64,
    #[n(2)]
    seq: u64,
    #[cbor(n(3), with = "minicbor::bytes")]
    head: Hash,
    #[n(4)]
    residency: u16,
    #[n(5)]
    index: u64,
    #[cbor(n(6), with = "minicbor::bytes")]
    root: Hash,
    #[cbor(n(7), with = "minicbor::bytes")]
    path: Vec<u8>,
}

/// A segment that reads while one before it does not.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Stray {
    #[cbor(n(0), with = "minicbor::bytes")]
    prev: Hash,
    #[n(1)]
    first_seq: u64,
    #[n(2)]
    end: End,
}

/// Where a segment lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) len: u32,
}

impl Spot {
    fn to_bytes(self) -> Vec<u8> {
        [&self.file.to_be_bytes()[..], &self.offset.to_be_bytes(), &self.len.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (file, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(Self {
            file: u32::from_be_bytes(*file),
            offset: u64::from_be_bytes(*offset),
            len: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// Which files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rows {
    Log,
    Keys,
}

impl Rows {
    const fn letter(self) -> u8 {
        match self {
            Self::Log => b'l',
            Self::Keys => b'k',
        }
    }
}

const KINDS: &[u8] = b"CFLSWEK";

fn key(kind: u8, fleet: &FleetId, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(kind);
    key.extend(fleet.as_bytes());
    parts.iter().for_each(|part| key.extend(*part));
    key
}

fn log_key(kind: u8, fleet: &FleetId, log: &Log, number: Option<u64>) -> Vec<u8> {
    let mut key = key(kind, fleet, &[log.author.as_bytes(), &log.incarnation.to_be_bytes()]);
    key.extend(number.into_iter().flat_map(u64::to_be_bytes));
    key
}

fn value<T: Encode<()>>(of: &T) -> Option<Vec<u8>> {
    Some(minicbor::to_vec(of).expect("a vector takes whatever is written to it"))
}

/// An entry that does not read means that the index is damaged.
fn read<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, Stop> {
    minicbor::decode(bytes).map_err(|_| Stop::Doubt(None))
}

/// Every fleet that the index knows.
pub(super) fn fleets(index: &Index) -> Result<Vec<FleetId>, Failed> {
    let mut fleets = Vec::new();
    index.scan(b"C", |key, _| {
        fleets.extend(key[1..].try_into().ok().map(FleetId::from_bytes));
    })?;
    Ok(fleets)
}

/// Forgets all that the index says of a fleet.
pub(super) fn clear(index: &Index, fleet: &FleetId) -> Result<(), Failed> {
    // How far all is goes first: without it, nothing else is believed.
    KINDS.iter().try_for_each(|kind| index.clear(&key(*kind, fleet, &[])))
}

/// Where a segment lies that the log has, and how many the log has; for those who only read.
pub(super) fn spot_of(index: &Index, fleet: &FleetId, log: &Log, number: u64) -> Result<Option<Spot>, Stop> {
    let bytes = index.get(&log_key(b'S', fleet, log, Some(number)))?;
    bytes.map(|bytes| Spot::from_bytes(&bytes).ok_or(Stop::Doubt(None))).transpose()
}

/// The number after a log's last segment.
pub(super) fn next_of(index: &Index, fleet: &FleetId, log: &Log) -> Result<u64, Stop> {
    let end = index.get(&log_key(b'L', fleet, log, None))?;
    end.map_or(Ok(0), |bytes| read::<End>(&bytes).map(|end| end.next))
}

/// What the index says of one fleet, with changes that are not written yet.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    index: &'a Index,
    fleet: FleetId,
    staged: Changes,
    pub(super) tally: Tally,
    peaks: Peaks,
}

impl<'a> Ledger<'a> {
    /// Reads how far all is; [`Stop::Doubt`] when the index does not say.
    pub(super) fn read(index: &'a Index, fleet: FleetId) -> Result<Self, Stop> {
        let tally = index.get(&key(b'C', &fleet, &[]))?.ok_or(Stop::Doubt(None))?;
        Self::go_on(index, fleet, read(&tally)?)
    }

    /// Goes on from there.
    pub(super) fn go_on(index: &'a Index, fleet: FleetId, tally: Tally) -> Result<Self, Stop> {
        let hashes = tally.peaks.chunks_exact(32).map(|hash| hash.try_into().expect("32 bytes")).collect();
        let peaks = Peaks::from_parts(tally.size, hashes).ok_or(Stop::Doubt(None))?;
        Ok(Self { index, fleet, staged: Changes::new(), tally, peaks })
    }

    /// Writes what was gathered, at once.
    pub(super) fn commit(&mut self) -> Result<(), Failed> {
        self.tally.size = self.peaks.size();
        self.tally.peaks = self.peaks.hashes().concat();
        self.staged.insert(key(b'C', &self.fleet, &[]), value(&self.tally));
        self.index.apply(&self.staged)?;
        self.staged.clear();
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        match self.staged.get(key) {
            Some(staged) => Ok(staged.clone()),
            None => self.index.get(key),
        }
    }

    fn scan(&self, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Failed> {
        let mut found = BTreeMap::new();
        self.index.scan(prefix, |key, value| {
            found.insert(key.to_vec(), value.to_vec());
        })?;
        for (key, value) in self.staged.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => found.insert(key.clone(), value.clone()),
                None => found.remove(key),
            };
        }
        Ok(found)
    }

    /// Counts again what was counted, so that damage to the index is not answered as the truth.
    pub(super) fn check(&self) -> Result<(), Stop> {
        let count = |kind: u8, distinct: usize| -> Result<u64, Failed> {
            let (mut count, mut last) = (0, Vec::new());
            self.index.scan(&key(kind, &self.fleet, &[]), |key, _| {
                let cut = &key[..key.len().min(distinct)];
                if cut != last {
                    count += 1;
                    last = cut.to_vec();
                }
            })?;
            Ok(count)
        };
        let counted = (count(b'L', 64)?, count(b'E', 64)?, count(b'K', 33)?);
        if counted != (self.tally.logs, self.tally.erased, self.tally.keys) {
            return Err(Stop::Doubt(None));
        }
        for held in self.held()? {
            let (log, next) = (held.log, held.chain.number);
            let waits = self.get(&log_key(b'W', &self.fleet, &log, Some(next)))?.is_some();
            // The log ends with a segment that has a place, and before one that has none.
            if self.spot(&log, next - 1)?.is_none() || self.spot(&log, next)?.is_some() != waits {
                return Err(Stop::Doubt(None));
            }
        }
        Ok(())
    }

    /// The files of which something is here, in order.
    pub(super) fn files(&self, rows: Rows) -> Result<Vec<Found>, Stop> {
        let mut files = Vec::new();
        for (key, value) in self.scan(&key(b'F', &self.fleet, &[&[rows.letter()]]))? {
            let number = key.last_chunk().ok_or(Stop::Doubt(None))?;
            let (len, inode) = read(&value)?;
            files.push(Found { number: u32::from_be_bytes(*number), len, inode });
        }
        Ok(files)
    }

    /// All of this file is here now.
    pub(super) fn has_file(&mut self, rows: Rows, found: Found) {
        let key = key(b'F', &self.fleet, &[&[rows.letter()], &found.number.to_be_bytes()]);
        self.staged.insert(key, value(&(found.len, found.inode)));
    }

    fn end(&self, log: &Log) -> Result<Option<End>, Stop> {
        self.get(&log_key(b'L', &self.fleet, log, None))?.map(|bytes| read(&bytes)).transpose()
    }

    /// What the next segment of a log must continue: number, first sequence number, and the head before it.
    pub(super) fn awaits(&self, log: &Log) -> Result<(u64, u64, Hash), Stop> {
        Ok(self.end(log)?.map_or((0, 0, GENESIS), |end| (end.next, end.seq, end.head)))
    }

    /// Where a segment lies.
    pub(super) fn spot(&self, log: &Log, number: u64) -> Result<Option<Spot>, Stop> {
        let bytes = self.get(&log_key(b'S', &self.fleet, log, Some(number)))?;
        bytes.map(|bytes| Spot::from_bytes(&bytes).ok_or(Stop::Doubt(None))).transpose()
    }

    /// Takes in a segment; says whether it was not here. One that is ahead of its log waits.
    pub(super) fn admit(&mut self, outline: &Outline, spot: Spot) -> Result<bool, Stop> {
        let (head, chain) = (outline.head(), outline.chain());
        let log = Log { author: DeviceId::of_key_bytes(&head.author), incarnation: head.incarnation };
        let (next, seq, last) = self.awaits(&log)?;
        let continues = (head.number, head.first_seq, head.prev) == (next, seq, last);
        let waiting = log_key(b'W', &self.fleet, &log, Some(head.number));
        if !continues && (head.number <= next || self.get(&waiting)?.is_some()) {
            return Ok(false);
        }
        let path = self.peaks.push(leaf(&chain.head));
        let end = End {
            author: head.author,
            next: chain.number,
            seq: chain.seq,
            head: chain.head,
            residency: head.residency,
            index: self.peaks.size() - 1,
            root: self.peaks.root(),
            path: path.concat(),
        };
        self.staged.insert(log_key(b'S', &self.fleet, &log, Some(head.number)), Some(spot.to_bytes()));
        if continues {
            self.tally.logs += u64::from(next == 0);
            self.staged.insert(waiting, None);
            self.promote(&log, end)?;
        } else {
            self.staged.insert(waiting, value(&Stray { prev: head.prev, first_seq: head.first_seq, end }));
        }
        Ok(true)
    }

    /// The log ends here, or where those end that waited for this.
    fn promote(&mut self, log: &Log, mut end: End) -> Result<(), Stop> {
        loop {
            let waiting = log_key(b'W', &self.fleet, log, Some(end.next));
            let Some(bytes) = self.get(&waiting)? else { break };
            let stray: Stray = read(&bytes)?;
            if (stray.prev, stray.first_seq) != (end.head, end.seq) {
                break;
            }
            self.staged.insert(waiting, None);
            end = stray.end;
        }
        self.staged.insert(log_key(b'L', &self.fleet, log, None), value(&end));
        Ok(())
    }

    /// A segment lies elsewhere now, if it lay there.
    pub(super) fn moved(&mut self, outline: &Outline, from: Spot, to: Spot) -> Result<(), Stop> {
        let head = outline.head();
        let log = Log { author: DeviceId::of_key_bytes(&head.author), incarnation: head.incarnation };
        let key = log_key(b'S', &self.fleet, &log, Some(head.number));
        if self.get(&key)?.as_deref() == Some(&from.to_bytes()) {
            self.staged.insert(key, Some(to.to_bytes()));
        }
        Ok(())
    }

    /// Where every log ends.
    pub(super) fn held(&self) -> Result<Vec<Held>, Stop> {
        let mut held = Vec::new();
        for (key, bytes) in self.scan(&key(b'L', &self.fleet, &[]))? {
            let author = key.get(17..33).and_then(|id| id.try_into().ok()).ok_or(Stop::Doubt(None))?;
            let incarnation = u64::from_be_bytes(*key.last_chunk().ok_or(Stop::Doubt(None))?);
            let end: End = read(&bytes)?;
            held.push(Held {
                log: Log { author: DeviceId::from_bytes(author), incarnation },
                chain: Chain { author: end.author, incarnation, number: end.next, seq: end.seq, head: end.head },
                residency: end.residency,
            });
        }
        Ok(held)
    }

    /// Where the log's newest segment stands in the tree.
    pub(super) fn claim(&self, log: &Log, stamp: Stamp) -> Result<Option<Claim>, Stop> {
        Ok(self.end(log)?.map(|end| Claim {
            store: stamp.store,
            fleet: *self.fleet.as_bytes(),
            author: end.author,
            incarnation: log.incarnation,
            number: end.next - 1,
            head: end.head,
            size: end.index + 1,
            root: end.root,
            index: end.index,
            path: end.path.chunks_exact(32).map(|hash| hash.try_into().expect("32 bytes")).collect(),
            at: stamp.at,
        }))
    }

    /// Segments in the fleet's tree.
    pub(super) const fn segments(&self) -> u64 {
        self.peaks.size()
    }

    pub(super) fn is_erased(&self, document: &DocumentId) -> Result<bool, Failed> {
        Ok(self.get(&key(b'E', &self.fleet, &[document.as_bytes()]))?.is_some())
    }

    /// Notes that a document is erased.
    pub(super) fn erase(&mut self, document: &DocumentId) -> Result<(), Failed> {
        if !self.is_erased(document)? {
            self.staged.insert(key(b'E', &self.fleet, &[document.as_bytes()]), Some(Vec::new()));
            self.tally.erased += 1;
            self.tally.untidied += 1;
        }
        Ok(())
    }

    /// The files that hold a document's key, the newest last.
    pub(super) fn key_files(&self, document: &DocumentId) -> Result<Vec<u32>, Stop> {
        let found = self.scan(&key(b'K', &self.fleet, &[document.as_bytes()]))?;
        let number =
            |(key, _): (Vec<u8>, _)| key.last_chunk().copied().map(u32::from_be_bytes).ok_or(Stop::Doubt(None));
        found.into_iter().map(number).collect()
    }

    /// A file holds a document's key.
    pub(super) fn has_key(&mut self, document: &DocumentId, file: u32) -> Result<(), Stop> {
        match self.key_files(document)?.is_empty() {
            true => self.tally.keys += 1,
            false => self.tally.stale += 1,
        }
        self.staged.insert(key(b'K', &self.fleet, &[document.as_bytes(), &file.to_be_bytes()]), Some(Vec::new()));
        Ok(())
    }

    /// A file no longer does.
    pub(super) fn lacks_key(&mut self, document: &DocumentId, file: u32) -> Result<(), Stop> {
        self.staged.insert(key(b'K', &self.fleet, &[document.as_bytes(), &file.to_be_bytes()]), None);
        if self.key_files(document)?.is_empty() {
            self.tally.keys = self.tally.keys.saturating_sub(1);
        }
        Ok(())
    }
}
