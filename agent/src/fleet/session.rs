//! One link to another node of the fleet, from the exchange of chains to good-bye.
//!
//! [`run`] drives a [`Peer`] over a link: it carries out what the machine asks for and tells it what happened. Disk work goes through one
//! queue, in order, on a thread where blocking is fine. It ends when the link does, when the other is a member no more, or at `stop`.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hearth_core::{
    DeviceId,
    fleet::{chain::Fleet, trust::At},
    sync::{
        Config, Effect, Frame, Input, Log, Peer,
        frame::{MESSAGE_MAX, Reason},
        peer::News as Told,
    },
};
use hearth_link::{Close, Link, LinkError, Receiving, Sending};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::wire::{LETTER_MAX, Letter};
use crate::node::{Membership, News, NodeError, Shared, ToStore, name_of, now};

/// Bytes of the other's segments that may be in memory.
const CREDIT: u64 = 16 << 20;
/// How long one message may take.
const MESSAGE_TIME: Duration = Duration::from_secs(60);
/// Nothing more is received while so much waits for the disk.
const WORK_MAX: usize = 32;
/// Letters that came and were not looked at; letters on their way out.
const QUEUE: usize = 4;
/// A clock further off than this is worth a sentence.
const CLOCK_TOLD: u64 = 30_000;
/// What came is findable by word so long after; what comes meanwhile is made so with it.
const WORDS_AFTER: Duration = Duration::from_secs(1);
/// After so long without anything new, memory is given back.
const REST_AFTER: Duration = Duration::from_secs(20);
/// What came without the keys that it needs is asked for again after so long.
const KEYS_RETRY: Duration = Duration::from_secs(2);
/// How long saying the last may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// When the disk fails, the other side is asked to come again after so long.
const DISK_RETRY: Duration = Duration::from_secs(10);

/// Why a session ended, as a person reads it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// This daemon stops.
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
    /// This node is in no fleet any more.
    #[error("this node is in no fleet")]
    NoFleet,
}

/// How far a session is, for those who look at it from outside.
#[derive(Debug)]
pub(crate) struct Progress {
    /// How many of our segments the other is not known to have on its disk.
    pub(crate) waiting: AtomicU64,
    /// Whether keys that came could not be kept or opened; what comes behind them is asked for again.
    lacks_keys: AtomicBool,
    /// Whether nothing waits for the disk or to be sent.
    pub(crate) idle: AtomicBool,
    /// Bytes of letters that went out, their headers included.
    pub(crate) sent: AtomicU64,
    /// Bytes of letters that came in.
    pub(crate) received: AtomicU64,
    /// How often something had to be asked for, after the greeting.
    pub(crate) asked: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        // Before the greeting nothing is known.
        let (waiting, idle, lacks_keys) = (AtomicU64::new(u64::MAX), AtomicBool::new(false), AtomicBool::new(false));
        Self { waiting, lacks_keys, idle, sent: zero(), received: zero(), asked: zero() }
    }
}

/// What a session is about.
pub(crate) struct Session {
    pub(crate) node: Arc<Shared>,
    pub(crate) peer: DeviceId,
    pub(crate) peer_key: [u8; 32],
    /// At which port this node listens; 0 when it does not.
    pub(crate) port: u16,
    pub(crate) stop: CancellationToken,
    pub(crate) progress: Arc<Progress>,
}

/// What the fleet is called on the wire: the sides must be of one, and who listens learns no id.
pub(crate) fn fleet_tag(membership: &Membership) -> [u8; 16] {
    let digest = Sha256::new().chain_update(b"hearth/fleet-tag/1").chain_update(membership.id().as_bytes()).finalize();
    *digest.first_chunk().expect("a digest is longer")
}

/// Takes a link apart into halves that carry letters.
pub(crate) fn letters(link: Link) -> (Sending, Receiving) {
    link.split(LETTER_MAX, MESSAGE_TIME)
}

/// Speaks with one other node until that ends. `first` is the letter that came already, if any; `learned` is told the port at which the
/// other listens.
pub(crate) async fn run(
    session: Session,
    (sending, receiving): (Sending, Receiving),
    first: Option<Letter>,
    learned: impl FnOnce(u16) + Send,
) -> Ended {
    let Some(membership) = session.node.membership() else { return Ended::NoFleet };
    let config = Config {
        me: DeviceId::of_key_bytes(&session.node.identity.signing.verifying_key().to_bytes()),
        peer: session.peer,
        tag: fleet_tag(&membership),
        credit: CREDIT,
        max_message: u32::try_from(MESSAGE_MAX).expect("a message is below 4 GiB"),
    };
    // Before the logs are read: what grows meanwhile is told, perhaps twice, never not.
    let news = session.node.listen();
    let read = {
        let node = Arc::clone(&session.node);
        tokio::task::spawn_blocking(move || Ok::<_, NodeError>((node.held()?, node.frozen()?))).await
    };
    let Ok(Ok((held, frozen))) = read else { return Ended::Protocol(Reason::Stalled) };
    let (inbox, from_peer) = mpsc::channel(QUEUE);
    let (to_peer, outbox) = mpsc::channel(QUEUE);
    let reader = tokio::spawn(read_letters(receiving, inbox));
    let closer = sending.closer();
    let writer = tokio::spawn(write_letters(sending, outbox));
    let talk = Talk {
        peer: Peer::new(config, held, frozen),
        session,
        letters: VecDeque::new(),
        work: VecDeque::new(),
        running: None,
        greeted: false,
        words_due: None,
        rest_due: None,
    };
    let node = Arc::clone(&talk.session.node);
    let ended = talk.run(from_peer, to_peer, news, first, learned).await;
    reader.abort();
    if matches!(ended, Ended::NotAMember | Ended::NoFleet | Ended::OutOfPlace) {
        // Nothing that is on its way goes out any more.
        closer.close(if matches!(ended, Ended::OutOfPlace) { Close::Garbage } else { Close::NotTrusted });
    }
    // What came last may not be findable by word yet. A failure is caught up with by the next start.
    let _ = tokio::task::spawn_blocking(move || node.commit_received_words()).await;
    // It sends what is left, closes and ends, for its queue has no sender any more.
    let close = match &ended {
        Ended::NotAMember | Ended::NoFleet => Close::NotTrusted,
        Ended::OutOfPlace => Close::Garbage,
        Ended::Stopped => Close::ShuttingDown,
        Ended::Link(_) | Ended::Protocol(_) => Close::Done,
    };
    if let Ok(Some(mut sending)) = writer.await {
        sending.finish().await;
        sending.close(close);
    }
    ended
}

async fn read_letters(mut receiving: Receiving, inbox: mpsc::Sender<Result<Vec<u8>, LinkError>>) {
    loop {
        let letter = receiving.receive().await;
        let last = letter.is_err();
        if inbox.send(letter).await.is_err() || last {
            return;
        }
    }
}

async fn write_letters(mut sending: Sending, mut outbox: mpsc::Receiver<Vec<u8>>) -> Option<Sending> {
    while let Some(letter) = outbox.recv().await {
        if let Err(error) = sending.send(&letter).await {
            debug!(%error, "a letter could not be sent");
            return None;
        }
    }
    Some(sending)
}

/// Work for the disk, in the order in which it was asked for.
enum Work {
    Keys(Vec<Vec<u8>>),
    Store(Vec<ToStore>),
    Read {
        log: Log,
        from: u64,
        to: u64,
        budget: u64,
    },
    Tell(Told),
    /// Makes what came findable by word.
    Words,
    /// Lets go of what making it findable needs.
    Rest,
}

struct Talk {
    peer: Peer,
    session: Session,
    /// On their way out.
    letters: VecDeque<Vec<u8>>,
    work: VecDeque<Work>,
    running: Option<JoinHandle<Vec<Input>>>,
    /// The other's chain came, and the protocol began.
    greeted: bool,
    /// When what came is to be made findable by word.
    words_due: Option<Instant>,
    /// When the memory for that is to be given back.
    rest_due: Option<Instant>,
}

impl Talk {
    async fn run(
        mut self,
        mut from_peer: mpsc::Receiver<Result<Vec<u8>, LinkError>>,
        to_peer: mpsc::Sender<Vec<u8>>,
        mut news: tokio::sync::broadcast::Receiver<News>,
        first: Option<Letter>,
        learned: impl FnOnce(u16) + Send,
    ) -> Ended {
        let mut learned = Some(learned);
        if let Err(ended) = self.say_known() {
            return ended;
        }
        if let Some(letter) = first
            && let Err(ended) = self.read(letter, &mut learned)
        {
            return ended;
        }
        let stop = self.session.stop.clone();
        loop {
            if let Err(ended) = self.carry_out() {
                self.say_the_rest(&to_peer).await;
                return ended;
            }
            self.note_progress();
            let due = self.peer.poll_timeout().map(|due| due.since(now()));
            let chores = self.words_due.into_iter().chain(self.rest_due).min();
            let input = tokio::select! {
                () = stop.cancelled() => {
                    self.say_the_rest(&to_peer).await;
                    return Ended::Stopped;
                }
                letter = from_peer.recv(), if self.work.len() < WORK_MAX => match letter {
                    Some(Ok(bytes)) => {
                        self.session.progress.received.fetch_add(letter_size(&bytes), Ordering::Relaxed);
                        let Ok(letter) = Letter::decode(&bytes) else { return Ended::OutOfPlace };
                        if let Err(ended) = self.read(letter, &mut learned) {
                            return ended;
                        }
                        continue;
                    }
                    Some(Err(error)) => return error.into(),
                    None => return LinkError::Ended.into(),
                },
                permit = to_peer.reserve(), if !self.letters.is_empty() => match permit {
                    Ok(permit) => {
                        let letter = self.letters.pop_front().expect("checked by the branch");
                        self.session.progress.sent.fetch_add(letter_size(&letter), Ordering::Relaxed);
                        permit.send(letter);
                        continue;
                    }
                    Err(_) => return LinkError::Ended.into(),
                },
                done = join(&mut self.running), if self.running.is_some() => {
                    self.running = None;
                    // What is sent may be sealed under a key of which the other is to hear first.
                    while let Ok(told) = news.try_recv() {
                        if let Err(ended) = self.hear(Ok(told)).await {
                            return ended;
                        }
                    }
                    self.tell_all(done);
                    continue;
                }
                told = news.recv() => {
                    if let Err(ended) = self.hear(told).await {
                        return ended;
                    }
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

    /// What is to be said before the end is said, unless the other does not listen.
    async fn say_the_rest(&mut self, to_peer: &mpsc::Sender<Vec<u8>>) {
        let saying = async {
            for letter in std::mem::take(&mut self.letters) {
                self.session.progress.sent.fetch_add(letter_size(&letter), Ordering::Relaxed);
                if to_peer.send(letter).await.is_err() {
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
            self.work.push_back(Work::Words);
        }
        if self.rest_due.is_some_and(|due| due <= now) {
            self.rest_due = None;
            self.work.push_back(Work::Rest);
        }
    }

    fn note_progress(&self) {
        if self.peer.is_open() {
            let idle = self.running.is_none() && self.work.is_empty() && self.letters.is_empty();
            self.session.progress.waiting.store(self.peer.waiting(), Ordering::SeqCst);
            self.session.progress.idle.store(idle, Ordering::SeqCst);
        }
    }

    fn say_known(&mut self) -> Result<(), Ended> {
        let digest = self.digest()?;
        self.letters.push_back(Letter::Known { port: self.session.port, digest }.encode());
        Ok(())
    }

    fn say_chain(&mut self) -> Result<(), Ended> {
        let membership = self.session.node.membership().ok_or(Ended::NoFleet)?;
        self.letters.push_back(Letter::Chain(membership.fleet.encode()).encode());
        Ok(())
    }

    /// What the chain is as this node knows it, in short.
    fn digest(&self) -> Result<[u8; 32], Ended> {
        let membership = self.session.node.membership().ok_or(Ended::NoFleet)?;
        Ok(Sha256::digest(membership.fleet.encode()).into())
    }

    fn read(&mut self, letter: Letter, learned: &mut Option<impl FnOnce(u16)>) -> Result<(), Ended> {
        match letter {
            Letter::Known { port, digest } => {
                // It is in the fleet, or the link would not be.
                if let Some(learned) = learned.take() {
                    learned(port);
                }
                if digest == self.digest()? { self.greet() } else { self.say_chain() }
            }
            Letter::Chain(chain) => {
                let theirs = Fleet::decode(&chain).map_err(|_| Ended::OutOfPlace)?;
                self.meet(&theirs)?;
                self.greet()
            }
            Letter::Frame(frame) => {
                // The other began because it knows what we knew a moment ago.
                self.greet()?;
                self.tell_all(vec![Input::Frame(frame)]);
                Ok(())
            }
            _ => Err(Ended::OutOfPlace),
        }
    }

    /// Begins the protocol, once both know the same of the fleet.
    fn greet(&mut self) -> Result<(), Ended> {
        if !std::mem::replace(&mut self.greeted, true) {
            self.check_membership()?;
            self.tell_all(vec![Input::Connected]);
        }
        Ok(())
    }

    /// Takes in what the other knows of the fleet; then it must still be in it.
    fn meet(&self, theirs: &Fleet) -> Result<(), Ended> {
        let node = &self.session.node;
        let known = node.membership().ok_or(Ended::NoFleet)?;
        if theirs.id() != known.id() {
            return Err(Ended::Protocol(Reason::Fleet));
        }
        let news = theirs.links().count() != known.fleet.links().count() || theirs.head() != known.fleet.head();
        if news && let Err(error) = node.merge_chain(theirs) {
            warn!(%error, "what another node knows of the fleet could not be kept");
        }
        self.check_membership()
    }

    fn check_membership(&self) -> Result<(), Ended> {
        let membership = self.session.node.membership().ok_or(Ended::NoFleet)?;
        if membership.fleet.is_member(&self.session.peer_key, now()) { Ok(()) } else { Err(Ended::NotAMember) }
    }

    async fn hear(&mut self, told: Result<News, RecvError>) -> Result<(), Ended> {
        match told {
            Ok(News::Grown(held)) => self.tell_all(vec![Input::Appended(held)]),
            Ok(News::Frozen(proof)) => self.tell_all(vec![Input::Frozen(proof)]),
            Ok(News::Chain) => {
                self.check_membership()?;
                self.say_chain()?;
                self.tell_all(vec![Input::TrustChanged]);
            }
            Err(RecvError::Lagged(_)) => {
                let node = Arc::clone(&self.session.node);
                let read = move || Ok::<_, NodeError>((node.held()?, node.frozen()?));
                if let Ok(Ok((held, frozen))) = tokio::task::spawn_blocking(read).await {
                    self.tell_all(held.into_iter().map(Input::Appended).collect());
                    self.tell_all(frozen.into_iter().map(Input::Frozen).collect());
                }
                self.check_membership()?;
                self.say_chain()?;
                self.tell_all(vec![Input::TrustChanged]);
            }
            Err(RecvError::Closed) => return Err(Ended::Stopped),
        }
        Ok(())
    }

    fn tell_all(&mut self, inputs: Vec<Input>) {
        let Some(membership) = self.session.node.membership() else { return };
        for input in inputs {
            self.peer.handle(now(), input, &At { fleet: &membership.fleet, now: now() });
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
                Effect::KeepKeys(records) => self.work.push_back(Work::Keys(records)),
                Effect::Store { bytes, at, after } => {
                    self.words_due.get_or_insert_with(|| Instant::now() + WORDS_AFTER);
                    let order = ToStore { bytes, at, after };
                    match self.work.back_mut() {
                        Some(Work::Store(orders)) => orders.push(order),
                        _ => self.work.push_back(Work::Store(vec![order])),
                    }
                }
                Effect::Read { log, from, to, budget } => self.work.push_back(Work::Read { log, from, to, budget }),
                Effect::Tell(told) => self.work.push_back(Work::Tell(told)),
                Effect::Close(reason) => return Err(Ended::Protocol(reason)),
            }
        }
        if self.running.is_none()
            && let Some(work) = self.work.pop_front()
        {
            let (node, peer) = (Arc::clone(&self.session.node), self.session.peer);
            let progress = Arc::clone(&self.session.progress);
            self.running = Some(tokio::task::spawn_blocking(move || do_work(&node, &peer, &progress, work)));
        }
        Ok(())
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What a letter takes on the stream.
fn letter_size(letter: &[u8]) -> u64 {
    letter.len() as u64 + hearth_link::frame::HEADER as u64
}

async fn join(running: &mut Option<JoinHandle<Vec<Input>>>) -> Vec<Input> {
    match running {
        // A panic there is logged by its thread; the machine finds out by its timeouts.
        Some(running) => running.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Does one piece of work for the disk; says what the machine is to know of it.
fn do_work(node: &Shared, peer: &DeviceId, progress: &Progress, work: Work) -> Vec<Input> {
    match work {
        Work::Keys(records) => {
            let lacks = node.keep_keys(&records).unwrap_or_else(|error| {
                warn!(%error, "document keys that came could not be kept; they come again with their segments");
                true
            });
            progress.lacks_keys.fetch_or(lacks, Ordering::SeqCst);
            Vec::new()
        }
        // Without their keys they would be stored closed, and nobody would send the keys again.
        Work::Store(orders) if progress.lacks_keys.swap(false, Ordering::SeqCst) => {
            let again = |order: ToStore| {
                let (log, number) = (order.at.log, order.at.chain.number - 1);
                Input::NotStored { log, number, retry_after: KEYS_RETRY }
            };
            orders.into_iter().map(again).collect()
        }
        Work::Store(orders) => {
            let at: Vec<(Log, u64)> = orders.iter().map(|order| (order.at.log, order.at.chain.number - 1)).collect();
            node.receive(orders).unwrap_or_else(|error| {
                warn!(%error, "segments that came could not be stored; they are asked for again");
                node.notice(&format!("what other nodes send cannot be stored: {error}"));
                let again = |(log, number)| Input::NotStored { log, number, retry_after: DISK_RETRY };
                at.into_iter().map(again).collect()
            })
        }
        Work::Read { log, from, to, budget } => {
            let send = node.to_send(&log, from, to, budget);
            vec![Input::Keys(send.keys), Input::Segments { log, first: from, segments: send.segments }]
        }
        Work::Tell(told) => {
            tell(node, peer, told);
            Vec::new()
        }
        Work::Words | Work::Rest => {
            let done = match work {
                Work::Words => node.commit_received_words().and_then(|()| node.state_reached()),
                _ => node.clean().and_then(|()| node.rest_words()),
            };
            if let Err(error) = done {
                warn!(%error, "what came is not yet findable by word; the next start catches up");
            }
            Vec::new()
        }
    }
}

/// Tells the owner what the machine found out.
fn tell(node: &Shared, peer: &DeviceId, told: Told) {
    let membership = node.membership();
    let name = |device: &DeviceId| name_of(membership.as_deref(), device);
    match told {
        Told::Equivocation(proof) => {
            if let Err(error) = node.freeze(&proof, &name(&proof.author())) {
                warn!(%error, "the proof against a device could not be kept");
            }
        }
        Told::Restored { log, .. } => node.was_restored(log.incarnation),
        Told::Clock(millis) if millis.unsigned_abs() >= CLOCK_TOLD => {
            let far = millis.unsigned_abs() / 1_000;
            let way = if millis > 0 { "ahead of" } else { "behind" };
            node.notice(&format!(
                "the clock of {} is about {far} s {way} this node's; set the wrong one, or times in search results mislead",
                name(peer)
            ));
        }
        Told::Clock(_) => {}
        Told::Revoked(log) => info!(author = %log.author, "a revoked device's later log is not taken"),
        Told::Unknown(log) => info!(author = %log.author, "a log of a device that is not known yet is left for later"),
        Told::Damaged { log, number } => node.notice(&format!(
            "segment {number} of {} cannot be read any more, so it is not passed on; `hearth doctor` checks the log",
            name(&log.author)
        )),
        Told::Newer { log, version } => node.notice(&format!(
            "{} writes format {version}, which this hearth does not know; update hearth on this node",
            name(&log.author)
        )),
        Told::TooLarge { log, number } => {
            warn!(author = %log.author, number, "a segment is larger than the other side will take");
        }
        Told::Misplaced { log, residency } => {
            warn!(author = %log.author, residency, "the other side sent what may not live here; it was not taken");
        }
        Told::Broken(log) => node.notice(&format!(
            "the log of {} does not hang together as it comes from {}, so it is not taken from there",
            name(&log.author),
            name(peer)
        )),
    }
}
