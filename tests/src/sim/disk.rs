//! A disk that loses what was not synced, tears it, rots and fills up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use hearth_core::{
    segment::{Chain, Segment},
    sync::{Held, Log, Proof},
};

use super::dice::Dice;

/// What one node has stored.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    synced: BTreeMap<Log, Vec<Arc<[u8]>>>,
    cached: VecDeque<(u64, Log, Arc<[u8]>)>,
    /// Proofs, written by replacing a file: whole or not at all.
    pub(crate) proofs: Vec<Proof>,
    /// How far our own logs were synced, kept in another file.
    pub(crate) anchors: BTreeMap<Log, u64>,
    /// The incarnation in use for each residency.
    pub(crate) lanes: BTreeMap<u16, u64>,
    pub(crate) full: bool,
    /// Logs of which a byte has changed by itself.
    pub(crate) rotten: BTreeSet<Log>,
}

impl Disk {
    /// Writes behind the log's end; lost in a crash until it is synced.
    pub(crate) fn append(&mut self, ticket: u64, log: Log, bytes: Arc<[u8]>) {
        self.cached.push_back((ticket, log, bytes));
    }

    /// Everything up to this ticket is safe now.
    pub(crate) fn sync(&mut self, ticket: u64) {
        while let Some((_, log, bytes)) = self.cached.pop_front_if(|(at, ..)| *at <= ticket) {
            self.synced.entry(log).or_default().push(bytes);
        }
    }

    /// The power went: what was not synced is there, torn, or lost, each by itself.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        for (_, log, bytes) in std::mem::take(&mut self.cached) {
            let kept = match dice.index(3) {
                0 => bytes.len(),
                1 => 0,
                _ => dice.index(bytes.len()),
            };
            self.synced.entry(log).or_default().push(bytes[..kept].into());
        }
    }

    /// Another disk with what is synced on this one.
    pub(crate) fn copy(&self) -> Self {
        Self { synced: self.synced.clone(), anchors: self.anchors.clone(), ..Self::default() }
    }

    /// One byte changes by itself.
    pub(crate) fn rot(&mut self, dice: &mut Dice) {
        let logs: Vec<Log> =
            self.synced.iter().filter(|(_, records)| !records.is_empty()).map(|(log, _)| *log).collect();
        if logs.is_empty() {
            return;
        }
        let log = logs[dice.index(logs.len())];
        let records = self.synced.get_mut(&log).expect("just listed");
        let record = dice.index(records.len());
        let mut bytes = records[record].to_vec();
        if bytes.is_empty() {
            return;
        }
        let at = dice.index(bytes.len());
        bytes[at] ^= 1 << dice.index(8);
        records[record] = bytes.into();
        self.rotten.insert(log);
    }

    /// A stored segment.
    pub(crate) fn get(&self, log: &Log, number: u64) -> Option<&Arc<[u8]>> {
        self.synced.get(log)?.get(usize::try_from(number).ok()?)
    }

    /// Every stored byte string.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.synced.values().flatten().map(AsRef::as_ref)
    }

    /// Reads all logs, cuts each before the first record that does not verify, and says where each stands after every segment.
    pub(crate) fn recover(&mut self) -> BTreeMap<Log, Vec<Held>> {
        let mut logs = BTreeMap::new();
        for (log, records) in &mut self.synced {
            let mut chain: Option<Chain> = None;
            let mut places = Vec::new();
            for bytes in records.iter() {
                let Ok(segment) = Segment::open(bytes) else { break };
                let head = segment.head();
                let mut next = chain.clone().unwrap_or_else(|| Chain::begin(head.author, head.incarnation));
                if Log::of(&segment) != *log || next.follow(&segment).is_err() {
                    break;
                }
                places.push(Held { log: *log, chain: next.clone(), residency: head.residency });
                chain = Some(next);
            }
            records.truncate(places.len());
            logs.insert(*log, places);
        }
        logs
    }
}
