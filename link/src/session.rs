//! One session with another node of the fleet, or with a relay, from the exchange of chains to good-bye.
//!
//! [`run`] drives a [`Peer`] over a link: it carries out what the machine asks for and tells it what happened. Disk work goes to a
//! [`Keeper`] through one queue, in order, on a thread where blocking is fine. It ends when the link does, when the other is a member no
//! more, or at `stop`.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use hearth_core::{
    DeviceId, Moment,
    fleet::{
        chain::Fleet,
        letter::{LETTER_MAX, Letter},
        trust::At,
    },
    sync::{
        Config, Effect, Frame, Grown, Input, Keeper, Log, News as Told, Peer, ToSend, ToStore,
        frame::{MESSAGE_MAX, Reason},
    },
};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{
        broadcast,
        broadcast::error::{RecvError, TryRecvError},
        mpsc,
    },
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use crate::budget::Budget;
use crate::{
    Close, Closer, Link, LinkError, Receiving, Sending,
    budget::{Permit, READ_SHARED},
};

mod asking;
mod progress;

use asking::Asking;
pub use asking::Question;
pub use progress::Progress;

/// Bytes of the other's segments that may be in memory.
const CREDIT: u64 = 16 << 20;
/// How long one message may take.
pub const MESSAGE_TIME: Duration = Duration::from_secs(60);
/// Nothing more is read to be sent while so many bytes wait for that.
const UNSENT_MAX: usize = 4 << 20;
/// Nothing more is received while so many letters wait to be sent: more than anybody gives cause for who reads what is sent. Bytes are no
/// measure for it, or two that have much for each other would wait for each other.
const LETTERS_MAX: usize = 1_024;
/// Who does not greet in this time has nothing to say.
const GREET_WITHIN: Duration = Duration::from_secs(60);
/// Nothing more is received while so much waits for the disk.
const WORK_MAX: usize = 32;
/// What came is findable by word so long after; what comes meanwhile is made so with it.
const WORDS_AFTER: Duration = Duration::from_secs(1);
/// After so long without anything new, memory is given back.
const REST_AFTER: Duration = Duration::from_secs(20);
/// How long saying the last may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a session ended, as a person reads it.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// This program stops.
    #[error("this node is stopping")]
    Stopped,
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The protocol.
    #[error("{0}")]
    Protocol(Reason),
    /// What came is no letter, or none that belongs here.
    #[error("the other side does not keep to the protocol; if this repeats, update hearth on both")]
    OutOfPlace,
    /// It is not in the fleet any more.
    #[error("the other side is not in the fleet any more")]
    NotAMember,
    /// It is a relay that is used no more.
    #[error("the relay is used no more")]
    Removed,
    /// This node is in no fleet any more.
    #[error("this node is in no fleet")]
    NoFleet,
}

/// What a session is about.
#[derive(Debug)]
pub struct Session<K> {
    /// Whoever has the disk.
    pub keeper: Arc<K>,
    /// The other side.
    pub peer: DeviceId,
    /// The other side's key.
    pub peer_key: [u8; 32],
    /// At which UDP port this node listens; 0 when it does not.
    pub port: u16,
    /// Ends it.
    pub stop: CancellationToken,
    /// Told how far it is.
    pub progress: Arc<Progress>,
    /// What it shares with others, if memory is short.
    pub budget: Option<Budget>,
    /// What is asked of the other side; absent where nobody asks.
    pub questions: Option<mpsc::Receiver<Question>>,
}

/// What a chain is, in short: the first half of the SHA-256 of its encoding.
pub fn digest_of(fleet: &Fleet) -> [u8; 16] {
    *Sha256::digest(fleet.encode()).first_chunk().expect("a digest is longer")
}

/// Takes a link apart into halves that carry letters.
pub fn letters(link: Link) -> (Sending, Receiving) {
    link.split(LETTER_MAX, MESSAGE_TIME)
}

/// Speaks with one other side until that ends. `news` was subscribed to before this is called; `first` are letters that came already;
/// `learned` is told the port at which the other listens.
pub fn run<K: Keeper + 'static>(
    session: Session<K>,
    halves: (Sending, Receiving),
    news: broadcast::Receiver<Grown>,
    first: Vec<Letter>,
    learned: impl FnOnce(u16) + Send,
) -> impl Future<Output = Ended> + Send {
    // Begun here, so that what it is made of has no place in what lasts.
    let beginning = Box::pin(begin(session, halves));
    async move {
        let (mut talk, mut line) = match beginning.await {
            Ok(begun) => begun,
            Err(ended) => return ended,
        };
        let ended = talk.run(&mut line, news, first, learned).await;
        Box::pin(end(*talk, *line, &ended)).await;
        ended
    }
}

/// Makes the machine out of what is on disk. Everything that lasts has a place of its own: ten thousand sessions wait, and a future is as large
/// as all that was ever in it.
async fn begin<K: Keeper + 'static>(
    mut session: Session<K>,
    (sending, receiving): (Sending, Receiving),
) -> Result<(Box<Talk<K>>, Box<Line>), Ended> {
    let Some(fleet) = session.keeper.fleet() else { return Err(Ended::NoFleet) };
    let config = Config {
        me: session.keeper.me(),
        peer: session.peer,
        tag: fleet.id().tag(),
        credit: CREDIT,
        max_message: u32::try_from(MESSAGE_MAX).expect("a message is below 4 GiB"),
    };
    let is_relay = fleet.relay(&session.peer).is_some();
    drop(fleet);
    let keeper = Arc::clone(&session.keeper);
    let Ok(Ok((held, frozen))) = tokio::task::spawn_blocking(move || keeper.logs()).await else {
        return Err(Ended::Protocol(Reason::Stalled));
    };
    let closer = sending.closer();
    let reading = Some(reading(receiving, session.budget.clone()));
    let line = Box::new(Line { reading, sending: Some(sending), writing: None, closer });
    let talk = Box::new(Talk {
        peer: Peer::new(config, held, frozen),
        // A relay has no people to ask.
        asking: Asking::new(session.questions.take().filter(|_| !is_relay)),
        session,
        letters: VecDeque::new(),
        work: VecDeque::new(),
        running: None,
        merging: false,
        is_merging_now: false,
        greeted: false,
        is_relay,
        opened: false,
        words_due: None,
        rest_due: None,
        unsigned: BTreeSet::new(),
        put_off: None,
        queued: 0,
        done: 0,
        permits: VecDeque::new(),
        read_permit: None,
        is_full: false,
        said_chain: None,
        said_waiting: Vec::new(),
    });
    Ok((talk, line))
}

/// Says good-bye.
async fn end<K: Keeper + 'static>(talk: Talk<K>, line: Line, ended: &Ended) {
    let close = match ended {
        Ended::NotAMember | Ended::Removed | Ended::NoFleet => Close::NotTrusted,
        Ended::OutOfPlace => Close::Garbage,
        Ended::Stopped => Close::ShuttingDown,
        Ended::Link(_) | Ended::Protocol(_) => Close::Done,
    };
    if matches!(ended, Ended::NotAMember | Ended::NoFleet | Ended::OutOfPlace) {
        // Nothing that is on its way goes out any more.
        line.closer.close(close);
    }
    // What came last may not be settled yet. A failure is caught up with by the next start.
    let keeper = Arc::clone(&talk.session.keeper);
    let _ = tokio::task::spawn_blocking(move || keeper.settle()).await;
    if let Some(mut sending) = line.sending {
        sending.finish().await;
    }
    line.closer.close(close);
}

/// The link in use: a letter that is being read, and one that is being sent.
struct Line {
    reading: Option<Reading>,
    /// Absent while a letter is being sent, or when that failed.
    sending: Option<Sending>,
    writing: Option<Writing>,
    closer: Closer,
}

/// A letter that came, and its part of the budget.
type Came = (Vec<u8>, Option<Permit>);
type Reading = Pin<Box<dyn Future<Output = (Receiving, Result<Came, LinkError>)> + Send>>;
type Writing = Pin<Box<dyn Future<Output = (Sending, Result<(), LinkError>)> + Send>>;

fn reading(mut receiving: Receiving, budget: Option<Budget>) -> Reading {
    Box::pin(async move {
        let came = async {
            let length = receiving.announced().await?;
            let permit = match budget {
                Some(budget) => Box::pin(budget.letter(length)).await,
                None => None,
            };
            Ok((receiving.rest().await?, permit))
        };
        let came = came.await;
        (receiving, came)
    })
}

impl Line {
    /// Begins to send a letter, unless one is on its way.
    fn send(&mut self, letter: impl FnOnce() -> Option<Vec<u8>>, progress: &Progress) {
        if self.writing.is_none()
            && let Some(letter) = letter()
            && let Some(mut sending) = self.sending.take()
        {
            progress.sent.fetch_add(letter_size(&letter), Ordering::Relaxed);
            self.writing = Some(Box::pin(async move {
                let sent = sending.send(&letter).await;
                (sending, sent)
            }));
        }
    }

    /// Waits until the letter that is on its way was sent.
    async fn sent(&mut self) -> Result<(), LinkError> {
        let (sending, sent) = next(&mut self.writing).await;
        self.sending = sent.is_ok().then_some(sending);
        sent
    }
}

/// Work for the disk, in the order in which it was asked for.
enum Work {
    /// Takes in a chain as it came.
    Merge(Vec<u8>),
    Greeted(Vec<(Log, u64)>),
    /// Signs for the logs that wait for it.
    Sign(Vec<Log>),
    Receipt(Vec<u8>),
    Waiting(Vec<u8>),
    Keys(Vec<Vec<u8>>),
    Store(Vec<ToStore>),
    Read {
        log: Log,
        from: u64,
        to: u64,
        budget: u64,
    },
    Tell(Told),
    Settle,
    Rest,
}

/// What came of it.
#[derive(Default)]
struct Done {
    inputs: Vec<Input>,
    receipts: Vec<Vec<u8>>,
    /// Whether what the other knows of the fleet was taken in.
    merged: Option<Result<(), Ended>>,
    permit: Option<Permit>,
}

struct Talk<K> {
    peer: Peer,
    session: Session<K>,
    /// What their people and ours ask each other.
    asking: Asking,
    /// On their way out.
    letters: VecDeque<Vec<u8>>,
    work: VecDeque<Work>,
    running: Option<JoinHandle<Done>>,
    /// What the other knows of the fleet is being taken in, or is in line for it; nothing is read meanwhile.
    merging: bool,
    is_merging_now: bool,
    /// The other's chain came, and the protocol began.
    greeted: bool,
    /// The other side is a relay, or was when this began.
    is_relay: bool,
    /// Both have greeted.
    opened: bool,
    /// When what came is to be settled.
    words_due: Option<Instant>,
    /// When the memory for that is to be given back.
    rest_due: Option<Instant>,
    /// Logs of the other side's that grew here, for which it is to have a receipt.
    unsigned: BTreeSet<Log>,
    /// Until when the other side last asked to wait.
    put_off: Option<Moment>,
    /// Pieces of work that were put in line, and that were done.
    queued: u64,
    done: u64,
    /// Parts of the budget, each until the work is done that its letter gave.
    permits: VecDeque<(u64, Permit)>,
    /// That of what was read last, until it was sent.
    read_permit: Option<Permit>,
    /// More is on its way out than the other side takes: nothing more is read for it.
    is_full: bool,
    /// The chain as it was last said.
    said_chain: Option<[u8; 16]>,
    said_waiting: Vec<u8>,
}

impl<K: Keeper + 'static> Talk<K> {
    async fn run(
        &mut self,
        line: &mut Line,
        mut news: broadcast::Receiver<Grown>,
        first: Vec<Letter>,
        learned: impl FnOnce(u16) + Send,
    ) -> Ended {
        let (mut learned, begun) = (Some(learned), Instant::now());
        if let Err(ended) = self.say_known() {
            return ended;
        }
        for letter in first {
            if let Err(ended) = self.read(letter, &mut learned) {
                return ended;
            }
        }
        let stop = self.session.stop.clone();
        loop {
            if let Err(ended) = self.carry_out() {
                self.say_the_rest(line).await;
                return ended;
            }
            self.note_progress();
            line.send(|| self.asking.take().or_else(|| self.letters.pop_front()), &self.session.progress);
            while self.permits.front().is_some_and(|(until, _)| *until <= self.done) {
                self.permits.pop_front();
            }
            if self.letters.is_empty() && line.writing.is_none() {
                self.read_permit = None;
                self.letters = VecDeque::new();
            }
            let (letters, unsent) = self.asking.unsaid();
            self.is_full = unsent + self.letters.iter().map(Vec::len).sum::<usize>() > UNSENT_MAX;
            if !self.is_full {
                self.asking.start(&self.session.keeper, self.session.peer);
            }
            let has_room = letters + self.letters.len() < LETTERS_MAX;
            let may_read = self.work.len() < WORK_MAX && !self.merging && has_room;
            if !self.greeted && begun.elapsed() >= GREET_WITHIN {
                return Ended::Protocol(Reason::Silent);
            }
            let due = self.peer.poll_timeout().map(|due| due.since(now()));
            let due = if self.greeted { due } else { Some(GREET_WITHIN.saturating_sub(begun.elapsed())) };
            let chores = self.words_due.into_iter().chain(self.rest_due).min();
            let input = tokio::select! {
                () = stop.cancelled() => {
                    self.say_the_rest(line).await;
                    return Ended::Stopped;
                }
                (came, sent) = either(line, self.session.budget.as_ref(), may_read) => {
                    if let Some(Err(error)) = sent {
                        debug!(%error, "a letter could not be sent");
                        return LinkError::Ended.into();
                    }
                    match came {
                        Some(Ok((bytes, permit))) => {
                            self.session.progress.received.fetch_add(letter_size(&bytes), Ordering::Relaxed);
                            self.session.progress.heard.store(now().as_millis(), Ordering::Relaxed);
                            let Ok(letter) = Letter::decode(&bytes) else { return Ended::OutOfPlace };
                            if let Err(ended) = self.read(letter, &mut learned) {
                                return ended;
                            }
                            // What it gave is put in line before the next one is looked at.
                            if let Err(ended) = self.carry_out() {
                                self.say_the_rest(line).await;
                                return ended;
                            }
                            self.permits.extend(permit.map(|permit| (self.queued, permit)));
                        }
                        Some(Err(error)) => return error.into(),
                        None => {}
                    }
                    continue;
                }
                done = join(&mut self.running), if self.running.is_some() => {
                    self.running = None;
                    // What is sent may be sealed under a key of which the other is to hear first.
                    loop {
                        let told = match news.try_recv() {
                            Ok(told) => Ok(told),
                            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                        };
                        if let Err(ended) = self.hear(told).await {
                            return self.part(ended, line).await;
                        }
                    }
                    if let Err(ended) = self.take_up(done) {
                        return ended;
                    }
                    continue;
                }
                told = news.recv() => {
                    if let Err(ended) = self.hear(told).await {
                        return self.part(ended, line).await;
                    }
                    continue;
                }
                letter = self.asking.next(self.opened) => {
                    self.asking.say(&letter);
                    continue;
                }
                () = at(chores) => {
                    self.do_chores();
                    continue;
                }
                () = sleep(due.unwrap_or(Duration::from_secs(3600))) => Input::Tick,
            };
            self.tell_all(vec![input]);
        }
    }

    /// A relay that is used no more is told so, for it hears it from nobody else.
    async fn part(&mut self, ended: Ended, line: &mut Line) -> Ended {
        if !self.is_relay || !matches!(ended, Ended::NotAMember) {
            return ended;
        }
        // Nothing else is said to it any more.
        self.letters.clear();
        if self.say_chain().is_err() {
            return ended;
        }
        self.say_the_rest(line).await;
        Ended::Removed
    }

    /// What is to be said before the end is said, unless the other does not listen.
    async fn say_the_rest(&mut self, line: &mut Line) {
        let saying = async {
            loop {
                line.send(|| self.letters.pop_front(), &self.session.progress);
                if line.writing.is_none() || line.sent().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, saying).await;
    }

    fn do_chores(&mut self) {
        let now = Instant::now();
        if self.words_due.is_some_and(|due| due <= now) {
            self.words_due = None;
            self.rest_due = Some(now + REST_AFTER);
            self.queue(Work::Settle);
        }
        if self.rest_due.is_some_and(|due| due <= now) {
            self.rest_due = None;
            self.queue(Work::Rest);
        }
    }

    fn note_progress(&mut self) {
        let put_off = self.peer.put_off_until();
        if put_off.is_some() && put_off != std::mem::replace(&mut self.put_off, put_off) {
            self.session.progress.put_off.fetch_add(1, Ordering::Relaxed);
        }
        if self.peer.is_open() {
            if !std::mem::replace(&mut self.opened, true) {
                self.session.progress.came.store(now().as_millis(), Ordering::Relaxed);
                if let Some(claims) = self.peer.take_claims() {
                    self.queue(Work::Greeted(claims));
                }
                let theirs = self.peer.logs().filter(|log| log.author == self.session.peer);
                self.unsigned.extend(theirs);
                self.start_work();
            }
            let idle = self.running.is_none()
                && self.work.is_empty()
                && self.letters.is_empty()
                && self.asking.unsaid().0 == 0;
            if let Some(fleet) = self.session.keeper.fleet() {
                let waiting = self.peer.waiting(&At { fleet: &fleet, now: now() });
                self.session.progress.waiting.store(waiting, Ordering::SeqCst);
            }
            self.session.progress.idle.store(idle, Ordering::SeqCst);
        }
    }

    fn say_known(&mut self) -> Result<(), Ended> {
        let digest = self.digest()?;
        self.letters.push_back(Letter::Known { port: self.session.port, digest }.encode());
        Ok(())
    }

    /// Says the chain, unless it was said as it is.
    fn say_news_of_chain(&mut self) -> Result<(), Ended> {
        if self.said_chain == Some(self.digest()?) { Ok(()) } else { self.say_chain() }
    }

    fn say_chain(&mut self) -> Result<(), Ended> {
        self.said_chain = Some(self.digest()?);
        let fleet = self.fleet()?;
        self.letters.push_back(Letter::Chain(fleet.encode()).encode());
        Ok(())
    }

    fn fleet(&self) -> Result<Arc<Fleet>, Ended> {
        self.session.keeper.fleet().ok_or(Ended::NoFleet)
    }

    /// What the chain is as this node knows it, in short.
    fn digest(&self) -> Result<[u8; 16], Ended> {
        Ok(digest_of(&*self.fleet()?))
    }

    fn read(&mut self, letter: Letter, learned: &mut Option<impl FnOnce(u16)>) -> Result<(), Ended> {
        match letter {
            Letter::Known { port, digest } => {
                // It is in the fleet, or the link would not be.
                if let Some(learned) = learned.take() {
                    learned(port);
                }
                if digest == self.digest()? { self.greet() } else { self.say_news_of_chain() }
            }
            Letter::Chain(chain) => self.meet(chain),
            Letter::Frame(frame) => {
                // The other began because it knows what we knew a moment ago.
                self.greet()?;
                self.tell_all(vec![Input::Frame(frame)]);
                Ok(())
            }
            Letter::Receipt(receipt) => {
                self.queue(Work::Receipt(receipt));
                Ok(())
            }
            Letter::Ask { number, question } if self.greeted && !self.is_relay => {
                self.asking.asked(number, question);
                Ok(())
            }
            Letter::Answer { number, answer } => {
                self.asking.answered(number, answer);
                Ok(())
            }
            Letter::Waiting(orders) => {
                self.queue(Work::Waiting(orders));
                Ok(())
            }
            Letter::Ask { .. } | Letter::Join(_) | Letter::Welcome(_) | Letter::Hosting(_) | Letter::Refused(_) => {
                Err(Ended::OutOfPlace)
            }
        }
    }

    /// Begins the protocol, once both know the same of the fleet.
    fn greet(&mut self) -> Result<(), Ended> {
        if !std::mem::replace(&mut self.greeted, true) {
            self.check_membership()?;
            self.tell_all(vec![Input::Connected]);
            self.say_waiting();
        }
        Ok(())
    }

    /// Says what waits for more admins, unless that was said; a relay has no part in it.
    fn say_waiting(&mut self) {
        let waiting = self.session.keeper.waiting();
        if self.greeted && !self.is_relay && !waiting.is_empty() && self.said_waiting != waiting {
            self.letters.push_back(Letter::Waiting(waiting.clone()).encode());
            self.said_waiting = waiting;
        }
    }

    /// Takes in what the other knows of the fleet; then it must still be in it, and the protocol begins.
    fn meet(&mut self, chain: Vec<u8>) -> Result<(), Ended> {
        if self.fleet()?.encode() == chain {
            return self.greet();
        }
        self.merging = true;
        self.queue(Work::Merge(chain));
        Ok(())
    }

    fn queue(&mut self, work: Work) {
        self.queued += 1;
        self.work.push_back(work);
    }

    fn check_membership(&self) -> Result<(), Ended> {
        let fleet = self.fleet()?;
        if fleet.speaks_with(&self.session.peer_key, now()) { Ok(()) } else { Err(Ended::NotAMember) }
    }

    /// The disk is done with something.
    fn take_up(&mut self, done: Done) -> Result<(), Ended> {
        self.done += 1;
        if done.permit.is_some() {
            self.read_permit = done.permit;
        }
        self.tell_all(done.inputs);
        self.letters.extend(done.receipts.into_iter().map(|receipt| Letter::Receipt(receipt).encode()));
        if std::mem::take(&mut self.is_merging_now) {
            self.merging = false;
            // A panic there is logged by its thread.
            done.merged.unwrap_or(Err(Ended::OutOfPlace))?;
            self.check_membership()?;
            self.greet()?;
        }
        Ok(())
    }

    async fn hear(&mut self, told: Result<Grown, RecvError>) -> Result<(), Ended> {
        match told {
            Ok(Grown::Log(held)) => {
                self.unsigned.extend((held.log.author == self.session.peer).then_some(held.log));
                self.tell_all(vec![Input::Appended(held)]);
            }
            Ok(Grown::Proof(proof)) => self.tell_all(vec![Input::Frozen(proof)]),
            Ok(Grown::Chain) => {
                self.check_membership()?;
                self.say_news_of_chain()?;
                self.say_waiting();
                self.tell_all(vec![Input::TrustChanged]);
            }
            Err(RecvError::Lagged(_)) => {
                let keeper = Arc::clone(&self.session.keeper);
                if let Ok(Ok((held, frozen))) = tokio::task::spawn_blocking(move || keeper.logs()).await {
                    let theirs = held.iter().map(|held| held.log).filter(|log| log.author == self.session.peer);
                    self.unsigned.extend(theirs);
                    self.tell_all(held.into_iter().map(Input::Appended).collect());
                    self.tell_all(frozen.into_iter().map(Input::Frozen).collect());
                }
                self.check_membership()?;
                self.say_news_of_chain()?;
                self.tell_all(vec![Input::TrustChanged]);
            }
            Err(RecvError::Closed) => return Err(Ended::Stopped),
        }
        Ok(())
    }

    fn tell_all(&mut self, inputs: Vec<Input>) {
        let Some(fleet) = self.session.keeper.fleet() else { return };
        for input in inputs {
            self.peer.handle(now(), input, &At { fleet: &fleet, now: now() });
        }
    }

    /// Carries out what the machine asks for: letters and work for the disk are put in line.
    fn carry_out(&mut self) -> Result<(), Ended> {
        while let Some(effect) = self.peer.poll(now()) {
            match effect {
                Effect::Send(frame) => {
                    if matches!(frame, Frame::Want { .. }) {
                        self.session.progress.asked.fetch_add(1, Ordering::Relaxed);
                    }
                    self.letters.push_back(Letter::Frame(frame.encode()).encode());
                }
                Effect::KeepKeys(records) => self.queue(Work::Keys(records)),
                Effect::Store { bytes, at, after } => {
                    self.session.progress.came.store(now().as_millis(), Ordering::Relaxed);
                    self.words_due.get_or_insert_with(|| Instant::now() + WORDS_AFTER);
                    let order = ToStore { bytes, at, after };
                    match self.work.back_mut() {
                        Some(Work::Store(orders)) => orders.push(order),
                        _ => self.queue(Work::Store(vec![order])),
                    }
                }
                Effect::Read { log, from, to, budget } => self.queue(Work::Read { log, from, to, budget }),
                Effect::Tell(told) => self.queue(Work::Tell(told)),
                Effect::Close(reason) => return Err(Ended::Protocol(reason)),
            }
        }
        self.start_work();
        Ok(())
    }

    fn start_work(&mut self) {
        if self.running.is_some() {
            return;
        }
        // One receipt for all that was stored meanwhile, once nothing else is to be done; nobody is waited for it.
        if self.work.is_empty() && self.opened && !self.unsigned.is_empty() {
            let logs = std::mem::take(&mut self.unsigned).into_iter().collect();
            self.queue(Work::Sign(logs));
        }
        // What is to be stored does not wait for what is to be sent, or two that have much for each other would wait for each other.
        let may_start = |work: &Work| !self.is_full || !matches!(work, Work::Read { .. });
        let next = self.work.iter().position(may_start);
        if let Some(work) = next.and_then(|at| self.work.remove(at)) {
            self.is_merging_now = matches!(work, Work::Merge(_));
            let (keeper, peer) = (Arc::clone(&self.session.keeper), self.session.peer);
            let progress = Arc::clone(&self.session.progress);
            let budget = self.session.budget.clone();
            self.running = Some(tokio::spawn(async move {
                let (work, permit) = match (work, budget) {
                    (Work::Read { log, from, to, budget }, Some(shared)) => {
                        let permit = shared.read().await;
                        (Work::Read { log, from, to, budget: budget.min(READ_SHARED) }, permit)
                    }
                    (work, _) => (work, None),
                };
                let done = tokio::task::spawn_blocking(move || do_work(&*keeper, &peer, &progress, work)).await;
                // A panic there is logged by its thread; the machine finds out by its timeouts.
                Done { permit, ..done.unwrap_or_default() }
            }));
        }
    }
}

/// Waits for a letter, or until the one on its way was sent.
async fn either(
    line: &mut Line,
    budget: Option<&Budget>,
    may_read: bool,
) -> (Option<Result<Came, LinkError>>, Option<Result<(), LinkError>>) {
    let Line { reading: coming, sending, writing, .. } = line;
    let mut nothing = None;
    tokio::select! {
        (receiving, came) = next(if may_read { &mut *coming } else { &mut nothing }) => {
            *coming = came.is_ok().then(|| reading(receiving, budget.cloned()));
            (Some(came), None)
        }
        (back, sent) = next(writing) => {
            *sending = sent.is_ok().then_some(back);
            (None, Some(sent))
        }
    }
}

/// What comes of this, which is gone then; it never comes where there is nothing.
async fn next<T>(of: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    let Some(future) = of else { return std::future::pending().await };
    let done = future.await;
    *of = None;
    done
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What a letter takes on the stream.
fn letter_size(letter: &[u8]) -> u64 {
    letter.len() as u64 + crate::frame::HEADER as u64
}

/// The time by this machine's clock; before 1970 it counts as 1970.
fn now() -> Moment {
    Moment::START + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

async fn join(running: &mut Option<JoinHandle<Done>>) -> Done {
    match running {
        Some(running) => running.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

fn merge(keeper: &impl Keeper, chain: &[u8]) -> Result<(), Ended> {
    let theirs = Fleet::decode(chain).map_err(|_| Ended::OutOfPlace)?;
    if keeper.fleet().ok_or(Ended::NoFleet)?.id() != theirs.id() {
        return Err(Ended::Protocol(Reason::Fleet));
    }
    if let Err(error) = keeper.merge(&theirs) {
        warn!(error, "what another node knows of the fleet could not be kept");
    }
    Ok(())
}

/// Does one piece of work for the disk; says what the machine is to know of it.
fn do_work(keeper: &impl Keeper, peer: &DeviceId, progress: &Progress, work: Work) -> Done {
    let inputs = |inputs| Done { inputs, ..Done::default() };
    match work {
        Work::Merge(chain) => Done { merged: Some(merge(keeper, &chain)), ..Done::default() },
        Work::Greeted(has) => {
            keeper.greeted(peer, &has);
            Done::default()
        }
        Work::Sign(logs) => Done { receipts: keeper.receipts(&logs), ..Done::default() },
        Work::Receipt(bytes) => {
            keeper.take_receipt(peer, &bytes);
            Done::default()
        }
        Work::Waiting(orders) => {
            keeper.take_waiting(&orders);
            Done::default()
        }
        Work::Keys(records) => {
            let wait = keeper.keep_keys(&records).map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            progress.lacks_keys.fetch_max(wait, Ordering::SeqCst);
            Done::default()
        }
        // Without their keys they would be stored closed, and nobody would send the keys again.
        Work::Store(orders) => match progress.lacks_keys.swap(0, Ordering::SeqCst) {
            0 => inputs(keeper.store(orders)),
            wait => {
                let retry_after = Duration::from_millis(wait);
                let again = |order: ToStore| {
                    let number = order.number();
                    Input::NotStored { log: order.at.log, number, retry_after }
                };
                inputs(orders.into_iter().map(again).collect())
            }
        },
        Work::Read { log, from, to, budget } => {
            let ToSend { keys, segments } = keeper.read(&log, from, to, budget);
            inputs(vec![Input::Segments { log, first: from, segments, keys }])
        }
        Work::Tell(told) => {
            keeper.tell(peer, told);
            Done::default()
        }
        Work::Settle => {
            keeper.settle();
            Done::default()
        }
        Work::Rest => {
            keeper.rest();
            Done::default()
        }
    }
}
