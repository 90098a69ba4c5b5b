//! What goes out: looked up on disk as the line takes it, sent in order, kept in mind until the peer's disk has it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Effect, News, Peer};
use crate::{
    Moment,
    segment::Segment,
    sync::{
        Frame, Frontier, Log, Trust,
        flow::{Granted, Window},
        frame::{Ask, KEY_MAX, KEYS_MAX, MESSAGE_MAX, Reason, SEGMENTS_MAX},
        frontier::{Place, place},
    },
};

/// How many waits in vain end a session.
const IN_VAIN_MAX: u32 = 5;
/// The most single segments that a peer may have asked for.
const ANSWERS_MAX: usize = 64;
/// What a message of segments needs beside them.
const ENVELOPE: usize = 64;
/// What each byte string in it needs beside its bytes.
const ITEM: usize = 5;

/// What one session knows of what goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) max_message: usize,
    pub(super) granted: Granted,
    pub(super) window: Window,
    cursors: BTreeMap<Log, Cursor>,
    /// Logs of which something may be to send.
    due: BTreeSet<Log>,
    last: Option<Log>,
    flight: VecDeque<Flight>,
    loaded: VecDeque<Load>,
    /// Before what was loaded, and of the same logs.
    keys: VecDeque<(Log, Vec<u8>)>,
    reading: Option<Reading>,
    answers: VecDeque<(Log, u64)>,
    in_vain: u32,
    progress: Moment,
    resume: Option<Moment>,
}

/// How far the peer is with one log.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// On its disk.
    acked: u64,
    /// Sent or about to be.
    sent: u64,
    /// Sent before at least once: what is below says nothing about the line.
    fresh: u64,
    /// The peer takes nothing of it.
    stopped: bool,
    /// We cannot or may not send what comes next.
    stuck: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    log: Log,
    number: u64,
    at: Moment,
}

#[derive(Clone, Debug)]
struct Load {
    log: Log,
    number: u64,
    bytes: Arc<[u8]>,
    /// Asked for by itself; not part of the stream.
    answer: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reading {
    log: Log,
    from: u64,
    purpose: Purpose,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Stream,
    Answer,
    Compare,
}

impl Outgoing {
    pub(super) fn begin(now: Moment) -> Self {
        Self {
            max_message: 0,
            granted: Granted::default(),
            window: Window::default(),
            cursors: BTreeMap::new(),
            due: BTreeSet::new(),
            last: None,
            flight: VecDeque::new(),
            loaded: VecDeque::new(),
            keys: VecDeque::new(),
            reading: None,
            answers: VecDeque::new(),
            in_vain: 0,
            progress: now,
            resume: None,
        }
    }

    /// When something is to be done if nothing happens.
    pub(super) fn timeout(&self) -> Option<Moment> {
        let answer = (!self.flight.is_empty()).then(|| self.progress + self.window.timeout(self.in_vain));
        answer.into_iter().chain(self.resume).min()
    }

    /// Until when the peer asked to be sent nothing.
    pub(super) const fn put_off_until(&self) -> Option<Moment> {
        self.resume
    }

    /// Time has passed; says whether it was in vain too often.
    pub(super) fn tick(&mut self, now: Moment) -> bool {
        if self.resume.is_some_and(|resume| resume <= now) {
            self.resume = None;
        }
        if self.flight.is_empty() || self.progress + self.window.timeout(self.in_vain) > now {
            return false;
        }
        self.in_vain += 1;
        self.progress = now;
        self.window.choked(now);
        self.go_back();
        self.in_vain >= IN_VAIN_MAX
    }

    /// The peer has this log up to `next`; what we hold beyond may be to send.
    pub(super) fn has(&mut self, log: Log, next: u64) {
        let cursor = self.cursors.entry(log).or_default();
        cursor.acked = cursor.acked.max(next);
        cursor.sent = cursor.sent.max(next);
        self.due.insert(log);
    }

    /// Something may be to send of these logs.
    pub(super) fn consider(&mut self, logs: impl IntoIterator<Item = Log>) {
        for log in logs {
            if let Some(cursor) = self.cursors.get_mut(&log) {
                cursor.stuck = false;
            }
            self.due.insert(log);
        }
    }

    /// What the peer has on disk of a log.
    pub(super) fn acknowledged(&self, log: &Log) -> u64 {
        self.cursors.get(log).map_or(0, |cursor| cursor.acked)
    }

    /// Drops whatever was to be sent of these logs.
    pub(super) fn forget(&mut self, gone: impl Fn(&Log) -> bool) {
        self.flight.retain(|flight| !gone(&flight.log));
        self.loaded.retain(|load| !gone(&load.log));
        self.keys.retain(|(log, _)| !gone(log));
        self.answers.retain(|(log, _)| !gone(log));
        self.due.retain(|log| !gone(log));
    }

    /// Sends again what was not acknowledged.
    fn go_back(&mut self) {
        let loaded = self.loaded.iter().filter(|load| !load.answer).map(|load| (load.log, load.number));
        let unsure: Vec<(Log, u64)> =
            self.flight.iter().map(|flight| (flight.log, flight.number)).chain(loaded).collect();
        for (log, number) in unsure {
            let cursor = self.cursors.entry(log).or_default();
            cursor.fresh = cursor.fresh.max(cursor.sent);
            cursor.sent = cursor.sent.min(number).max(cursor.acked);
            self.due.insert(log);
        }
        self.flight.clear();
        self.loaded.retain(|load| load.answer);
    }

    fn may_go(&self, size: usize) -> bool {
        size + ITEM + ENVELOPE <= self.max_message && self.granted.ever(size as u64)
    }
}

impl Peer {
    pub(super) fn take_acks(&mut self, frontier: &Frontier) {
        for (log, theirs) in frontier.iter() {
            let Some(ours) = self.held.get(&log) else { continue };
            let forked = matches!(place(ours.mark(), Some(theirs)), Place::Forked(_));
            self.compare(log, Some(theirs));
            let Some(session) = &mut self.session else { return };
            if forked {
                continue;
            }
            let (now, out) = (self.pulse.now, &mut session.outgoing);
            let fresh = out.cursors.get(&log).map_or(0, |cursor| cursor.fresh);
            let mut arrived = Vec::new();
            out.flight.retain(|flight| {
                let there = flight.log == log && flight.number < theirs.next;
                if there {
                    arrived.push((flight.number >= fresh).then(|| now.since(flight.at)));
                }
                !there
            });
            if !arrived.is_empty() {
                out.in_vain = 0;
                out.progress = now;
            }
            for round_trip in arrived {
                out.window.acknowledged(now, round_trip);
            }
        }
    }

    pub(super) fn wanted(&mut self, log: Log, from: u64, ask: Ask, trust: &impl Trust) {
        let Some(held) = self.held.get(&log) else { return };
        let may_have = trust.may_have(&self.config.peer, held.residency);
        let Some(session) = &mut self.session else { return };
        let out = &mut session.outgoing;
        match ask {
            Ask::One if from >= held.chain.number || !may_have => {}
            Ask::One if out.answers.len() >= ANSWERS_MAX => self.close(Reason::OutOfPlace),
            Ask::One => out.answers.push_back((log, from)),
            Ask::Nothing | Ask::Rest => {
                out.forget(|gone| *gone == log);
                let cursor = out.cursors.entry(log).or_default();
                let is_new = !cursor.stopped;
                cursor.stopped = ask == Ask::Nothing;
                cursor.fresh = cursor.fresh.max(cursor.sent);
                cursor.sent = from;
                cursor.acked = cursor.acked.min(from);
                out.due.insert(log);
                if ask == Ask::Nothing && is_new && log.author == self.config.me {
                    self.tell(News::Declined(log));
                }
            }
        }
    }

    pub(super) fn wait(&mut self, span: Duration) {
        let now = self.pulse.now;
        let Some(session) = &mut self.session else { return };
        session.outgoing.window.choked(now);
        session.outgoing.go_back();
        session.outgoing.resume = Some(now + span);
    }

    /// Drops what was to be sent and what the peer may not have any more, with its keys.
    pub(super) fn take_back(&mut self, trust: &impl Trust) {
        let Some(session) = &mut self.session else { return };
        let gone: BTreeSet<Log> = self
            .held
            .values()
            .filter(|held| !trust.may_have(&self.config.peer, held.residency))
            .map(|held| held.log)
            .collect();
        session.outgoing.forget(|log| gone.contains(log));
        for log in gone {
            if let Some(cursor) = session.outgoing.cursors.get_mut(&log) {
                cursor.fresh = cursor.fresh.max(cursor.sent);
                cursor.sent = cursor.acked;
            }
        }
    }

    /// Sends what was looked up, as far as window and credit go.
    pub(super) fn ship(&mut self) {
        let now = self.pulse.now;
        let Some(session) = &mut self.session else { return };
        let out = &mut session.outgoing;
        let mut frames = Vec::new();
        while out.resume.is_none()
            && let Some(records) = next_keys(out)
        {
            frames.push(Frame::Keys { records });
        }
        while out.resume.is_none()
            && out.keys.is_empty()
            && let Some(frame) = next_segments(out, now)
        {
            frames.push(frame);
        }
        for frame in frames {
            self.send(frame);
        }
    }

    /// Asks the disk for what comes next; one question at a time.
    pub(super) fn look_up(&mut self, trust: &impl Trust) {
        let compare = self.to_compare();
        let Some(session) = &mut self.session else { return };
        let out = &mut session.outgoing;
        if out.reading.is_some() {
            return;
        }
        let mut read = |out: &mut Outgoing, log, number, purpose| {
            out.reading = Some(Reading { log, from: number, purpose });
            self.effects.push_back(Effect::Read { log, from: number, to: number + 1, budget: 1 });
        };
        if let Some((log, number)) = compare {
            return read(out, log, number, Purpose::Compare);
        }
        if out.resume.is_some() {
            return;
        }
        while let Some((log, number)) = out.answers.pop_front() {
            if self.held.get(&log).is_some_and(|held| trust.may_have(&self.config.peer, held.residency)) {
                return read(out, log, number, Purpose::Answer);
            }
        }
        let room = out.window.segments().saturating_sub(out.flight.len()) as u64;
        if !out.loaded.is_empty() || room == 0 || out.granted.left() == 0 {
            return;
        }
        // In turn, so that a long log does not keep the others waiting.
        loop {
            let after = out.last.and_then(|last| {
                let above = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
                out.due.range(above).next().copied()
            });
            let Some(log) = after.or_else(|| out.due.first().copied()) else { return };
            out.last = Some(log);
            let cursor = out.cursors.entry(log).or_default();
            let Some(held) = self.held.get(&log) else {
                out.due.remove(&log);
                continue;
            };
            let open = !cursor.stopped
                && !cursor.stuck
                && cursor.sent < held.chain.number
                && !self.frozen.contains_key(&log.author)
                && trust.author(&log).admits(cursor.sent)
                && trust.may_have(&self.config.peer, held.residency);
            if !open {
                out.due.remove(&log);
                continue;
            }
            let (from, to) = (cursor.sent, held.chain.number.min(cursor.sent + room));
            let budget = out.granted.left().min(out.max_message as u64).min(MESSAGE_MAX as u64);
            out.reading = Some(Reading { log, from, purpose: Purpose::Stream });
            self.effects.push_back(Effect::Read { log, from, to, budget });
            return;
        }
    }

    /// The disk answered.
    pub(super) fn loaded(
        &mut self,
        log: Log,
        first: u64,
        segments: Vec<Arc<[u8]>>,
        keys: Vec<Vec<u8>>,
        trust: &impl Trust,
    ) {
        let Some(session) = &mut self.session else { return };
        let Some(reading) = session.outgoing.reading.filter(|reading| reading.log == log && reading.from == first)
        else {
            return;
        };
        session.outgoing.reading = None;
        if reading.purpose == Purpose::Compare {
            return self.judge(log, first, segments.first());
        }
        let answer = reading.purpose == Purpose::Answer;
        let cursor = session.outgoing.cursors.get(&log).copied().unwrap_or_default();
        // Meanwhile the stream may have gone back, or the peer got it from elsewhere.
        if self.frozen.contains_key(&log.author) || (!answer && (cursor.sent != first || cursor.stopped)) {
            return;
        }
        if segments.is_empty() {
            session.outgoing.cursors.entry(log).or_default().stuck = true;
            return self.tell(News::Damaged { log, number: first });
        }
        let refused = (first..).zip(&segments).find_map(|(number, bytes)| {
            let refused = self.refusal(log, number, bytes, trust)?;
            Some((number, refused))
        });
        let end = refused.as_ref().map_or(first + segments.len() as u64, |(number, _)| *number);
        let Some(session) = &mut self.session else { return };
        let out = &mut session.outgoing;
        if let Some((_, told)) = refused {
            out.cursors.entry(log).or_default().stuck = true;
            self.effects.extend(told.map(Effect::Tell));
            if end == first {
                return;
            }
            if !keys.is_empty() {
                // Some of them may be of what is refused.
                out.reading = Some(Reading { log, from: first, purpose: reading.purpose });
                let budget = segments.iter().map(|bytes| bytes.len() as u64).sum();
                return self.effects.push_back(Effect::Read { log, from: first, to: end, budget });
            }
        }
        let fit = keys.into_iter().filter(|record| record.len() <= KEY_MAX && out.may_go(record.len()));
        let fit: Vec<_> = fit.map(|record| (log, record)).collect();
        out.keys.extend(fit);
        out.loaded.extend((first..end).zip(segments).map(|(number, bytes)| Load { log, number, bytes, answer }));
        if !answer {
            out.cursors.entry(log).or_default().sent = end;
        }
        self.ship();
    }

    /// Why a segment that was read is not sent, if it is not: what is to be told of that.
    fn refusal(&self, log: Log, number: u64, bytes: &[u8], trust: &impl Trust) -> Option<Option<News>> {
        let opened = Segment::open(bytes).ok();
        let good = opened.filter(|segment| Log::of(segment) == log && segment.head().number == number);
        let Some(segment) = good else { return Some(Some(News::Damaged { log, number })) };
        let residency = segment.head().residency;
        if !trust.may_have(&self.config.peer, residency) || !trust.author(&log).admits(number) {
            return Some(None);
        }
        let may_go = self.session.as_ref().is_some_and(|session| session.outgoing.may_go(bytes.len()));
        (!may_go).then_some(Some(News::TooLarge { log, number }))
    }
}

/// As many key records as one message and the credit take.
fn next_keys(out: &mut Outgoing) -> Option<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    let mut size = ENVELOPE;
    while let Some((_, record)) = out.keys.front() {
        let fits = size + record.len() + ITEM <= out.max_message && records.len() < KEYS_MAX;
        if !fits || !out.granted.spend(record.len() as u64) {
            break;
        }
        size += record.len() + ITEM;
        records.extend(out.keys.pop_front().map(|(_, record)| record));
    }
    (!records.is_empty()).then_some(records)
}

/// As many consecutive segments as one message, the window and the credit take.
fn next_segments(out: &mut Outgoing, now: Moment) -> Option<Frame> {
    let (log, first, answer) = out.loaded.front().map(|load| (load.log, load.number, load.answer))?;
    let mut segments = Vec::new();
    let mut size = ENVELOPE;
    while let Some(load) = out.loaded.front() {
        let follows = load.log == log && load.number == first + segments.len() as u64 && load.answer == answer;
        let fits = size + load.bytes.len() + ITEM <= out.max_message && segments.len() < SEGMENTS_MAX;
        let window = answer || out.flight.len() < out.window.segments();
        if !follows || !fits || !window || !out.granted.spend(load.bytes.len() as u64) {
            break;
        }
        if !answer {
            if out.flight.is_empty() {
                out.progress = now;
            }
            out.flight.push_back(Flight { log, number: load.number, at: now });
        }
        size += load.bytes.len() + ITEM;
        segments.extend(out.loaded.pop_front().map(|load| load.bytes));
        if answer {
            break;
        }
    }
    (!segments.is_empty()).then_some(Frame::Segments { log, first, segments })
}
