//! What comes in: checked, counted, put in line for the disk, acknowledged when the disk has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Effect, Held, News, Peer};
use crate::{
    merkle::Hash,
    segment::{BadSegment, Chain, Segment},
    sync::{
        Frame, Log, Standing, Trust,
        flow::Taken,
        frame::{Ask, RETRY_MAX_MS, Reason},
        frontier::LOGS_MAX,
    },
};

/// What one session knows of what comes in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) taken: Taken,
    /// Where each log ends once that is stored.
    tips: BTreeMap<Log, Held>,
    /// Logs that moved, or whose end the peer seems not to know.
    pub(super) acks: BTreeSet<Log>,
    /// Logs of which nothing is taken.
    refused: BTreeSet<Log>,
    /// Logs of ours of which the peer has more.
    restored: BTreeSet<Log>,
    /// Logs that were asked for from where they end, once.
    asked: BTreeSet<Log>,
    /// Numbers of which two segments may exist: what the peer has, once it sent it.
    pub(super) probes: BTreeMap<(Log, u64), Option<Segment>>,
}

/// A segment that the disk has not answered for.
#[derive(Debug)]
pub(super) struct Storing {
    bytes: Arc<[u8]>,
    digest: Hash,
    /// In which session it came.
    session: u64,
}

impl Storing {
    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Incoming {
    pub(super) fn begin(credit: u64) -> Self {
        Self {
            taken: Taken::begin(credit),
            tips: BTreeMap::new(),
            acks: BTreeSet::new(),
            refused: BTreeSet::new(),
            restored: BTreeSet::new(),
            asked: BTreeSet::new(),
            probes: BTreeMap::new(),
        }
    }

    /// Forgets what is only asked about these logs; what is on its way to the disk stays.
    pub(super) fn forget(&mut self, gone: impl Fn(&Log) -> bool) {
        self.acks.retain(|log| !gone(log));
        self.asked.retain(|log| !gone(log));
        self.probes.retain(|(log, _), _| !gone(log));
    }

    pub(super) fn is_refused(&self, log: &Log) -> bool {
        self.refused.contains(log)
    }

    /// Whether the peer spoke of more logs than it can have: its greeting would not have held them.
    fn is_crowded(&self) -> bool {
        self.refused.len() + self.asked.len() > LOGS_MAX
    }

    fn is_disputed(&self, log: Log) -> bool {
        self.probes.range((log, 0)..=(log, u64::MAX)).next().is_some()
    }
}

impl Peer {
    pub(super) fn take_segments(&mut self, log: Log, first: u64, segments: Vec<Arc<[u8]>>, trust: &impl Trust) {
        let Some(session) = &mut self.session else { return };
        let cost = segments.iter().map(|segment| segment.len() as u64).sum();
        if !session.incoming.taken.receive(cost) {
            return self.close(Reason::Overrun);
        }
        // Counting steps once beyond the last.
        if first.checked_add(segments.len() as u64 + 1).is_none() {
            return self.close(Reason::Malformed);
        }
        for (number, bytes) in (first..).zip(segments) {
            let size = bytes.len() as u64;
            let kept = self.take(log, number, bytes, trust);
            let Some(session) = &mut self.session else { return };
            if !kept {
                session.incoming.taken.finish(size);
            }
        }
        if self.session.as_ref().is_some_and(|session| session.incoming.is_crowded()) {
            self.close(Reason::OutOfPlace);
        }
    }

    /// Looks at one segment; says whether it is kept until the disk has it.
    fn take(&mut self, log: Log, number: u64, bytes: Arc<[u8]>, trust: &impl Trust) -> bool {
        let Some(session) = &mut self.session else { return false };
        if session.incoming.refused.contains(&log) || self.frozen.contains_key(&log.author) {
            return false;
        }
        let mut segment = match Segment::open(&bytes) {
            Ok(segment) => segment,
            Err(BadSegment::Newer(version)) => {
                self.refuse(log, News::Newer { log, version });
                return false;
            }
            Err(_) => {
                self.close(Reason::BadSegment);
                return false;
            }
        };
        let head = segment.head();
        let residency = head.residency;
        if Log::of(&segment) != log || head.number != number || head.fleet != trust.fleet() {
            self.close(Reason::BadSegment);
            return false;
        }
        let standing = trust.author(&log);
        if !standing.admits(number) {
            let news = if standing == Standing::Unknown { News::Unknown(log) } else { News::Revoked(log) };
            self.refuse(log, news);
            return false;
        }
        if !trust.may_have(&self.config.me, residency) {
            self.refuse(log, News::Misplaced { log, residency });
            return false;
        }
        // A claim may be a lie; what we signed and do not have is not.
        let end = self.held.get(&log).map_or(0, |held| held.chain.number);
        if log.author == self.config.me && number >= end && session.incoming.restored.insert(log) {
            self.effects.push_back(Effect::Tell(News::Restored { log, next: number + 1 }));
        }
        if let Some(theirs) = session.incoming.probes.get_mut(&(log, number)) {
            segment.prune(|_| true);
            *theirs = Some(segment);
            return false;
        }
        if session.incoming.is_disputed(log) {
            return false;
        }
        let tip = session.incoming.tips.get(&log).or_else(|| self.held.get(&log));
        let mut chain = tip.map_or_else(|| Chain::begin(head.author, head.incarnation), |tip| tip.chain.clone());
        if number < chain.number {
            if number + 1 == chain.number && segment.digest() != chain.head {
                segment.prune(|_| true);
                self.probe(log, number, Some(segment));
            } else {
                session.incoming.acks.insert(log);
            }
            return false;
        }
        if number > chain.number {
            let from = chain.number;
            if session.incoming.asked.insert(log) {
                self.send(Frame::Want { log, from, ask: Ask::Rest });
            }
            return false;
        }
        let after = chain.head;
        let forks = number > 0 && head.prev != after;
        if chain.follow(&segment).is_err() {
            if forks {
                self.probe(log, number - 1, None);
            } else {
                self.refuse(log, News::Broken(log));
            }
            return false;
        }
        session.incoming.asked.remove(&log);
        let digest = chain.head;
        let at = Held { log, chain, residency };
        session.incoming.tips.insert(log, at.clone());
        session.outgoing.has(log, number + 1);
        let storing = Storing { bytes: Arc::clone(&bytes), digest, session: self.sessions };
        if let Some(before) = self.storing.insert((log, number), storing) {
            self.finish(&before);
        }
        self.effects.push_back(Effect::Store { bytes, at, after });
        true
    }

    /// Takes nothing more of a log, says so, and says why.
    pub(super) fn refuse(&mut self, log: Log, news: News) {
        if self.decline(log) {
            self.tell(news);
        }
    }

    /// Takes nothing more of a log and says so; says whether that is new.
    fn decline(&mut self, log: Log) -> bool {
        let Some(session) = &mut self.session else { return false };
        session.incoming.forget(|gone| *gone == log);
        let is_new = session.incoming.refused.insert(log);
        if is_new {
            let from = self.held.get(&log).map_or(0, |held| held.chain.number);
            self.send(Frame::Want { log, from, ask: Ask::Nothing });
        }
        is_new
    }

    pub(super) fn trust_changed(&mut self, trust: &impl Trust) {
        self.take_back(trust);
        let Some(session) = &mut self.session else { return };
        let refused = std::mem::take(&mut session.incoming.refused);
        session.outgoing.consider(self.held.keys().copied());
        for log in refused {
            let from = self.held.get(&log).map_or(0, |held| held.chain.number);
            self.send(Frame::Want { log, from, ask: Ask::Rest });
        }
    }

    pub(super) fn take_keys(&mut self, records: Vec<Vec<u8>>) {
        let Some(session) = &mut self.session else { return };
        let cost = records.iter().map(|record| record.len() as u64).sum();
        if !session.incoming.taken.receive(cost) {
            return self.close(Reason::Overrun);
        }
        // The shell has them when it polls, which it does before the next message.
        session.incoming.taken.finish(cost);
        self.effects.push_back(Effect::KeepKeys(records));
    }

    /// The disk has what we asked it to store, or something else with that number.
    pub(super) fn stored(&mut self, at: Held) {
        let (log, number) = (at.log, at.chain.number.saturating_sub(1));
        let head = at.chain.head;
        self.note(at);
        let Some(storing) = self.storing.remove(&(log, number)) else { return };
        self.finish(&storing);
        let Some(session) = &mut self.session else { return };
        if storing.digest != head {
            session.incoming.tips.remove(&log);
            let mut theirs = Segment::open(&storing.bytes).expect("verified before it was to be stored");
            theirs.prune(|_| true);
            return self.probe(log, number, Some(theirs));
        }
        session.incoming.acks.insert(log);
    }

    pub(super) fn not_stored(&mut self, log: Log, number: u64, retry_after: Duration) {
        if !self.let_go(log, number) {
            return;
        }
        let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(RETRY_MAX_MS).min(RETRY_MAX_MS);
        self.send(Frame::Busy { retry_after_ms });
        let from = self.held.get(&log).map_or(0, |held| held.chain.number);
        self.send(Frame::Want { log, from, ask: Ask::Rest });
    }

    pub(super) fn declined(&mut self, log: Log, number: u64) {
        if self.let_go(log, number) {
            self.decline(log);
        }
    }

    /// Drops what the disk has not answered for of a log from this number on; says whether there was any.
    fn let_go(&mut self, log: Log, number: u64) -> bool {
        let lost: Vec<u64> = self.storing.range((log, number)..=(log, u64::MAX)).map(|((_, lost), _)| *lost).collect();
        for number in &lost {
            let storing = self.storing.remove(&(log, *number)).expect("just listed");
            self.finish(&storing);
        }
        if let Some(session) = &mut self.session {
            session.incoming.tips.remove(&log);
        }
        !lost.is_empty()
    }

    /// A segment is out of memory; that counts for the session in which it came.
    fn finish(&mut self, storing: &Storing) {
        let current = storing.session == self.sessions;
        if let Some(session) = self.session.as_mut().filter(|_| current) {
            session.incoming.taken.finish(storing.size());
        }
    }

    /// A log is this long on disk now.
    pub(super) fn note(&mut self, at: Held) {
        let log = at.log;
        if self.held.get(&log).is_some_and(|held| held.chain.number >= at.chain.number) {
            return;
        }
        if let Some(session) = &mut self.session {
            if session.incoming.tips.get(&log).is_some_and(|tip| tip.chain.number <= at.chain.number) {
                session.incoming.tips.remove(&log);
            }
            session.outgoing.consider([log]);
        }
        self.held.insert(log, at);
    }

    pub(super) fn grew(&mut self, held: Held) {
        self.note(held);
    }
}
