//! One session with one peer, from greeting to goodbye, and again.
//!
//! Tell it what happened ([`Peer::handle`]), then carry out what it asks for until it asks for nothing ([`Peer::poll`]), and come back
//! at [`Peer::poll_timeout`]. It sends what the peer lacks and may have, in order, and believes only what it verified. A cursor moves
//! when the peer says that a segment is on its disk, and we say so only after ours has it. Everything may be repeated or cut short;
//! the next greeting finds what is missing. It speaks over any pipe that keeps order; it keeps nothing on disk and reads no clock.
//!
//! ```text
//!            Connected              Hello                  Bye, Disconnected, or silence
//!   apart ─────────────▶ greeting ─────────▶ open ───────────────────────────────────────▶ apart
//! ```
//!
//! What lives under a residency that the peer may not have is neither offered nor sent, and as a log is followed without gaps, nothing
//! after it is: an author keeps a log (an incarnation) for each residency, so that a stop stops nothing else.

mod fork;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    Frame, Frontier, Log, Mark, Proof, Trust,
    damping::Offset,
    flow::Granted,
    frame::{Hello, MESSAGE_MAX, PROTOCOL, Reason},
};
use crate::{DeviceId, Moment, merkle::Hash, segment::Chain};
use receive::{Incoming, Storing};
use send::Outgoing;

/// How long a greeting may take.
pub const GREETING: Duration = Duration::from_secs(10);
/// How long a session is quiet before it says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the other side may be silent.
pub const SILENCE: Duration = Duration::from_secs(45);

/// What does not change during a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This device.
    pub me: DeviceId,
    /// The other one; the link has checked that it is.
    pub peer: DeviceId,
    /// The fleet, blinded.
    pub tag: [u8; 16],
    /// How many bytes of the peer's segments and keys may be in memory. A segment larger than this never comes.
    pub credit: u64,
    /// The longest message that is taken.
    pub max_message: u32,
}

/// A log as it is on disk, up to some segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Which log.
    pub log: Log,
    /// What the next segment must continue.
    pub chain: Chain,
    /// Where its newest segment may live.
    pub residency: u16,
}

impl Held {
    fn mark(&self) -> Option<Mark> {
        Mark::of(&self.chain)
    }
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// There is a pipe to the peer.
    Connected,
    /// A message came.
    Frame(Vec<u8>),
    /// The disk has a segment of [`Effect::Store`] (synced) or had it before: `at` is the log right after that number, with the
    /// digest that is on disk.
    Stored(Held),
    /// The disk could not take a segment of [`Effect::Store`], or lacks the one before it.
    NotStored {
        /// Which log.
        log: Log,
        /// Which number.
        number: u64,
        /// When to try again.
        retry_after: Duration,
    },
    /// Whoever has the disk takes nothing of the log of this segment of [`Effect::Store`], for it has as many logs as it may have.
    Declined {
        /// Which log.
        log: Log,
        /// Which number.
        number: u64,
    },
    /// A log grew on disk otherwise: our own, or through another session.
    Appended(Held),
    /// The answer to [`Effect::Read`]: consecutive segments, at least one when there is one; empty when the disk cannot read them.
    Segments {
        /// Which log.
        log: Log,
        /// The number of the first.
        first: u64,
        /// As they are stored.
        segments: Vec<Arc<[u8]>>,
        /// Key records of what is in them, each at most [`super::frame::KEY_MAX`] bytes. They are sent before the segments, and only
        /// when those are.
        keys: Vec<Vec<u8>>,
    },
    /// Another session found or was shown a proof.
    Frozen(Proof),
    /// The fleet's chain grew: what was refused may be welcome now.
    TrustChanged,
    /// The pipe is gone.
    Disconnected,
    /// Time has passed.
    Tick,
}

/// What the user or the shell is to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// An author forked its log. Keep the proof and hand it to every other session; the author is frozen.
    Equivocation(Proof),
    /// The peer has segments that we signed and do not have: our disk was set back. Write into a new incarnation from now on.
    Restored {
        /// Which log of ours.
        log: Log,
        /// Where it ends at the earliest.
        next: u64,
    },
    /// The peer offers a log whose author is not known; it is taken once [`Input::TrustChanged`] says so.
    Unknown(Log),
    /// The peer offers what a device wrote after it was revoked.
    Revoked(Log),
    /// The peer sent what may not live here.
    Misplaced {
        /// Of which log.
        log: Log,
        /// Where it may live.
        residency: u16,
    },
    /// The peer's clock is far from ours, by so many milliseconds.
    Clock(i64),
    /// A segment is larger than the peer will ever take.
    TooLarge {
        /// Of which log.
        log: Log,
        /// Which one.
        number: u64,
    },
    /// Our copy cannot be read or is not what was stored.
    Damaged {
        /// Of which log.
        log: Log,
        /// Which one.
        number: u64,
    },
    /// A log is written by a newer hearth.
    Newer {
        /// Which log.
        log: Log,
        /// In which format.
        version: u8,
    },
    /// A log's segments do not follow each other, and no fork explains it.
    Broken(Log),
    /// The peer takes nothing more of a log of ours, until it is connected again or the fleet's chain grew.
    Declined(Log),
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send this.
    Send(Frame),
    /// Append this to the log that it continues, sync, and answer [`Input::Stored`]. What is there already is not written again.
    Store {
        /// As it is to be stored.
        bytes: Arc<[u8]>,
        /// The log once it is.
        at: Held,
        /// Digest of the head that the log must end with before; when it ends otherwise, answer [`Input::NotStored`].
        after: Hash,
    },
    /// Read segments `from..to` of a log, stop at `budget` bytes but not before the first, and answer [`Input::Segments`].
    Read {
        /// Which log.
        log: Log,
        /// The first number.
        from: u64,
        /// The number after the last.
        to: u64,
        /// In bytes.
        budget: u64,
    },
    /// Merge these key records into the key store.
    KeepKeys(Vec<Vec<u8>>),
    /// Tell the user.
    Tell(News),
    /// Close the pipe.
    Close(Reason),
}

/// One peer.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    pulse: Pulse,
    offset: Offset,
    held: BTreeMap<Log, Held>,
    frozen: BTreeMap<DeviceId, Proof>,
    effects: VecDeque<Effect>,
    /// Verified, given to the disk, not answered yet; of whatever session.
    storing: BTreeMap<(Log, u64), Storing>,
    /// How many sessions there were.
    sessions: u64,
    session: Option<Session>,
}

/// What lasts from greeting to goodbye.
#[derive(Debug)]
struct Session {
    /// We said hello.
    introduced: bool,
    /// The peer said hello, and we did.
    greeted: bool,
    /// What the peer said before we could.
    early: Option<Hello>,
    /// Where our logs ended when we said so, until the peer has answered.
    told: Option<Frontier>,
    began: Moment,
    heard: Moment,
    said: Moment,
    /// What the peer said to have of our own logs, until somebody asks for it.
    claims: Option<Vec<(Log, u64)>>,
    /// Authors of whose fork the peer knows.
    knows: BTreeSet<DeviceId>,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// Time that never goes back, made of a clock that may.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    told: Option<Moment>,
    now: Moment,
}

impl Pulse {
    fn advance(&mut self, told: Moment) {
        self.now = self.now + told.since(self.told.unwrap_or(told));
        self.told = Some(told);
    }

    /// What the clock will say at `due`.
    fn told_at(&self, due: Moment) -> Moment {
        self.told.unwrap_or_default() + due.since(self.now)
    }
}

impl Peer {
    /// A peer that is not connected, the logs on disk, and the proofs that are known.
    pub fn new(config: Config, held: impl IntoIterator<Item = Held>, frozen: impl IntoIterator<Item = Proof>) -> Self {
        Self {
            config,
            pulse: Pulse::default(),
            offset: Offset::default(),
            held: held.into_iter().map(|held| (held.log, held)).collect(),
            frozen: frozen.into_iter().map(|proof| (proof.author(), proof)).collect(),
            effects: VecDeque::new(),
            storing: BTreeMap::new(),
            sessions: 0,
            session: None,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Moment, input: Input, trust: &impl Trust) {
        self.pulse.advance(now);
        match input {
            Input::Connected => self.begin(),
            Input::Disconnected => self.part(),
            Input::Frame(bytes) => self.read_frame(&bytes, trust),
            Input::Stored(at) => self.stored(at),
            Input::NotStored { log, number, retry_after } => self.not_stored(log, number, retry_after),
            Input::Declined { log, number } => self.declined(log, number),
            Input::Appended(held) => self.grew(held),
            Input::Segments { log, first, segments, keys } => self.loaded(log, first, segments, keys, trust),
            Input::Frozen(proof) => self.freeze(proof, false),
            Input::TrustChanged => self.trust_changed(trust),
            Input::Tick => {}
        }
        self.tick();
        self.pump(trust);
    }

    /// The next thing to do. Ask until there is none after each input.
    pub fn poll(&mut self, _now: Moment) -> Option<Effect> {
        let next = self.effects.pop_front();
        if next.is_none() {
            // Ten thousand of them wait in a relay.
            self.effects = VecDeque::new();
        }
        next
    }

    /// When to say [`Input::Tick`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let session = self.session.as_ref()?;
        let limit = if session.greeted { session.heard + SILENCE } else { session.began + GREETING };
        let beat = session.greeted.then_some(session.said + HEARTBEAT);
        let due = [Some(limit), beat, session.outgoing.timeout()].into_iter().flatten().min()?;
        Some(self.pulse.told_at(due))
    }

    /// Whether both sides have greeted.
    pub fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.greeted)
    }

    /// Bytes that the peer sent and that are not on disk yet; never more than [`Config::credit`].
    pub fn taken(&self) -> u64 {
        self.storing.values().map(Storing::size).sum()
    }

    /// How many of our segments the peer has not said to have, of those that it may have.
    pub fn waiting(&self, trust: &impl Trust) -> u64 {
        let Some(session) = &self.session else { return 0 };
        let lacks = |held: &Held| held.chain.number.saturating_sub(session.outgoing.acknowledged(&held.log));
        let may_go = |held: &Held| {
            !self.frozen.contains_key(&held.log.author) && trust.may_have(&self.config.peer, held.residency)
        };
        // Most logs are nowhere behind, and nobody is asked about those.
        self.held
            .values()
            .map(|held| (held, lacks(held)))
            .filter(|(held, lacks)| *lacks > 0 && may_go(held))
            .map(|(_, lacks)| lacks)
            .sum()
    }

    /// The logs that are here.
    pub fn logs(&self) -> impl Iterator<Item = Log> {
        self.held.keys().copied()
    }

    /// How many segments of each of our own logs the peer said to have when it greeted; once a session, and not of a log that forked.
    pub fn take_claims(&mut self) -> Option<Vec<(Log, u64)>> {
        self.session.as_mut()?.claims.take()
    }

    /// Until when the peer asked to be sent nothing, if it did.
    pub fn put_off_until(&self) -> Option<Moment> {
        self.session.as_ref()?.outgoing.put_off_until()
    }

    /// How far the peer's clock is ahead of ours, in milliseconds.
    pub fn clock_offset(&self) -> Option<i64> {
        self.offset.millis()
    }

    /// What we hold and the peer may know of.
    fn frontier(&self, trust: &impl Trust) -> Frontier {
        let offered = self.held.values().filter(|held| {
            !self.frozen.contains_key(&held.log.author) && trust.may_have(&self.config.peer, held.residency)
        });
        offered.filter_map(|held| Some((held.log, held.mark()?))).collect()
    }

    fn begin(&mut self) {
        self.part();
        let now = self.pulse.now;
        self.sessions += 1;
        self.session = Some(Session {
            introduced: false,
            greeted: false,
            early: None,
            told: None,
            began: now,
            heard: now,
            said: now,
            claims: None,
            knows: BTreeSet::new(),
            incoming: Incoming::begin(self.config.credit),
            outgoing: Outgoing::begin(now),
        });
    }

    /// Says hello once the disk has answered for everything of the session before: memory is bounded across sessions, too. The one with the
    /// greater id waits for the other's, so that it need not repeat what is the same.
    fn introduce(&mut self, trust: &impl Trust) {
        let speaks_first = self.config.me < self.config.peer;
        let Some(session) = &mut self.session else { return };
        if session.introduced || !self.storing.is_empty() || !(speaks_first || session.early.is_some()) {
            return;
        }
        session.introduced = true;
        let early = session.early.take();
        let frontier = self.frontier(trust);
        let is_same = early.as_ref().is_some_and(|early| early.frontier.as_ref() == Some(&frontier));
        let frontier = (!is_same).then_some(frontier);
        if let Some(session) = self.session.as_mut().filter(|_| early.is_none()) {
            session.told.clone_from(&frontier);
        }
        let hello = Hello {
            protocol: PROTOCOL,
            tag: self.config.tag,
            max_message: self.config.max_message,
            credit: self.config.credit,
            clock: self.pulse.told.unwrap_or_default(),
            frozen: self.frozen.keys().copied().take(super::frame::FROZEN_MAX).collect(),
            frontier,
        };
        self.send(Frame::Hello(hello));
        if let Some(early) = early {
            self.meet(&early, trust);
        }
    }

    /// What was not sent or read is of no use to the next session; what was verified is.
    fn part(&mut self) {
        self.session = None;
        self.effects.retain(|effect| !matches!(effect, Effect::Send(_) | Effect::Read { .. } | Effect::Close(_)));
    }

    fn close(&mut self, reason: Reason) {
        self.send(Frame::Bye { reason });
        self.session = None;
        self.effects.push_back(Effect::Close(reason));
    }

    fn send(&mut self, frame: Frame) {
        if let Some(session) = self.session.as_mut().filter(|session| session.introduced) {
            session.said = self.pulse.now;
            self.effects.push_back(Effect::Send(frame));
        }
    }

    fn tell(&mut self, news: News) {
        self.effects.push_back(Effect::Tell(news));
    }

    fn read_frame(&mut self, bytes: &[u8], trust: &impl Trust) {
        let Some(session) = &mut self.session else { return };
        session.heard = self.pulse.now;
        let max = usize::try_from(self.config.max_message).unwrap_or(MESSAGE_MAX);
        let Ok(frame) = Frame::decode(bytes, max) else { return self.close(Reason::Malformed) };
        match frame {
            Frame::Bye { reason } => {
                self.part();
                self.effects.push_back(Effect::Close(reason));
            }
            Frame::Hello(hello) if !session.introduced && session.early.is_none() => session.early = Some(hello),
            Frame::Hello(hello) if session.introduced && !session.greeted => self.meet(&hello, trust),
            Frame::Hello(_) => self.close(Reason::OutOfPlace),
            _ if !session.greeted => self.close(Reason::OutOfPlace),
            Frame::Segments { log, first, segments } => self.take_segments(log, first, segments, trust),
            Frame::Ack { frontier, clock } => {
                self.read_clock(clock);
                self.take_acks(&frontier);
            }
            Frame::Credit { total } => session.outgoing.granted.raise(total),
            Frame::Keys { records } => self.take_keys(records),
            Frame::Want { log, from, ask } => self.wanted(log, from, ask, trust),
            Frame::Proof { proof } => self.accused(&proof, trust),
            Frame::Busy { retry_after_ms } => self.wait(Duration::from_millis(u64::from(retry_after_ms))),
        }
    }

    fn meet(&mut self, hello: &Hello, trust: &impl Trust) {
        if hello.protocol != PROTOCOL {
            return self.close(Reason::Protocol);
        }
        if hello.tag != self.config.tag {
            return self.close(Reason::Fleet);
        }
        let Some(session) = &mut self.session else { return };
        let told = session.told.take();
        let Some(theirs) = hello.frontier.as_ref().or(told.as_ref()) else { return self.close(Reason::OutOfPlace) };
        session.greeted = true;
        session.knows = hello.frozen.iter().copied().collect();
        // Of an author that one of the two froze, nothing is said.
        let me = self.config.me;
        let is_frozen = self.frozen.contains_key(&me) || session.knows.contains(&me);
        let ours = theirs.iter().filter(|(log, _)| log.author == me);
        session.claims = (!is_frozen).then(|| ours.map(|(log, mark)| (log, mark.next)).collect());
        session.outgoing.max_message = usize::try_from(hello.max_message).unwrap_or(MESSAGE_MAX).min(MESSAGE_MAX);
        session.outgoing.granted = Granted::begin(hello.credit);
        self.read_clock(hello.clock);
        let ours = self.frontier(trust);
        for log in ours.compare(theirs).into_keys() {
            self.compare(log, theirs.get(&log));
        }
        let unknown_to_them: Vec<Proof> =
            self.frozen.values().filter(|proof| !hello.frozen.contains(&proof.author())).cloned().collect();
        for proof in unknown_to_them {
            self.accuse(&proof);
        }
    }

    fn read_clock(&mut self, theirs: Moment) {
        let round_trip = self.session.as_ref().and_then(|session| session.outgoing.window.round_trip());
        let ours = self.pulse.told.unwrap_or_default();
        if let Some(millis) = self.offset.sample(ours, theirs, round_trip.unwrap_or_default()) {
            self.tell(News::Clock(millis));
        }
    }

    fn tick(&mut self) {
        let now = self.pulse.now;
        let Some(session) = &mut self.session else { return };
        let silent = if session.greeted { session.heard + SILENCE } else { session.began + GREETING };
        if silent <= now {
            return self.close(Reason::Silent);
        }
        if session.outgoing.tick(now) {
            return self.close(Reason::Stalled);
        }
        if session.greeted && session.said + HEARTBEAT <= now {
            let clock = self.pulse.told.unwrap_or_default();
            self.send(Frame::Ack { frontier: Frontier::default(), clock });
        }
    }

    /// Says and asks for whatever is due.
    fn pump(&mut self, trust: &impl Trust) {
        self.introduce(trust);
        let Some(session) = self.session.as_mut().filter(|session| session.greeted) else { return };
        let moved = std::mem::take(&mut session.incoming.acks);
        let total = session.incoming.taken.grant();
        let frontier: Frontier = moved.iter().filter_map(|log| Some((*log, self.held.get(log)?.mark()?))).collect();
        if !frontier.is_empty() {
            let clock = self.pulse.told.unwrap_or_default();
            self.send(Frame::Ack { frontier, clock });
        }
        if let Some(total) = total {
            self.send(Frame::Credit { total });
        }
        self.ship();
        self.look_up(trust);
    }
}
