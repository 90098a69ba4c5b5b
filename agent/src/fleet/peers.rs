//! The other nodes of the fleet: who is linked, who is tried again, who asks to come in.
//!
//! [`run`] listens once the node is in a fleet, links to every member whose address is known, and keeps one [`session`] with each. A
//! stranger gets a word in only while a join code is open, and then only the request that proves it knows the code.

mod at_broker;

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use hearth_core::{
    DeviceId, Moment,
    fleet::{SpiffeId, letter::Letter},
    sync::Grown,
};
use hearth_link::{
    Broker, Close, Connector, Identity, Limits, Link, LinkError, Listener, Mqtt, Protocol, Receiving, Sending, Trust,
    VerifyingKey,
    session::{self, Ended, Progress, Question, Session, letters},
};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    address_of, backoff,
    beacon::Beacon,
    broker::{DIRECT_AGAIN, direct_first},
    entropy,
    joining::{Invited, JOINING},
};
use crate::node::{Shared, lock, name_of, now};

/// Two nodes that dial each other at once agree within this time on which of the two links stays.
const CROSSING: Duration = Duration::from_secs(3);
/// A port that is taken is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(30);
/// At least so often is looked at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long good-byes may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// Who said something and sent no segment for so long had none left to send: two of its signs of life are this far apart.
const QUIET_MILLIS: u64 = 15_000;
/// Questions that wait for a link to take them.
const QUESTIONS: usize = 4;
/// Strangers that may speak at once while a join code is open, and what they may say.
const STRANGERS_MAX: usize = 8;
const REQUEST_MAX: usize = 1_024;
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// Calls of nodes that were heard on the local network, at once.
const CALLS_MAX: usize = 2;

/// Asks the egress gate for permission to call a member; the error is a sentence. The addresses are those heard on the local network under
/// the fleet's tag; beside them, where members were last reached is permitted.
pub(crate) type Permit = Box<dyn Fn(&str, u16, &[SocketAddr]) -> Result<(), String> + Send + Sync>;

/// How to meet the others.
pub(crate) struct Meeting {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Whether to find and be found on the local network.
    pub(crate) lan: bool,
    /// A broker through which members meet that cannot reach each other otherwise.
    pub(crate) broker: Option<Broker>,
    /// Asked before each call.
    pub(crate) permit: Permit,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// The other nodes, as this one knows them.
pub(crate) struct Peers {
    pub(super) node: Arc<Shared>,
    pub(super) invite: Mutex<Option<Invited>>,
    known: Mutex<BTreeMap<DeviceId, Known>>,
    port: AtomicU16,
    changed: Notify,
    /// Links are counted, so that one that ends late takes nobody else's place.
    links: AtomicU64,
    /// The broker that is used, if any, and what it is called.
    broker: Mutex<Option<(String, Arc<Mqtt>)>>,
    /// Strangers that may speak at once.
    strangers: Arc<Semaphore>,
    /// Calls of what was heard that may be under way at once.
    calls: Arc<Semaphore>,
    /// Members that are being woken.
    waking: Mutex<HashSet<DeviceId>>,
}

/// How it stands with one other node.
#[derive(Default)]
struct Known {
    linked: Option<Linked>,
    /// Being tried right now.
    dialing: bool,
    failures: u32,
    /// Why there is no link, and when it is tried again.
    waiting: Option<(String, Moment)>,
}

struct Linked {
    since: Moment,
    /// Whether the node with the lesser id opened it.
    by_lesser: bool,
    /// Whether a broker stands between: then a direct link takes its place.
    by_broker: bool,
    /// When a direct link is tried again, if a broker stands between.
    direct_at: Moment,
    stop: CancellationToken,
    number: u64,
    progress: Arc<Progress>,
    /// Questions of this node's people go there.
    questions: mpsc::Sender<Question>,
}

/// Whom to call.
struct Callee {
    device: DeviceId,
    key: VerifyingKey,
    /// As `host:port`, if it is known.
    address: Option<String>,
    /// Whether the broker may be tried, too.
    through_broker: bool,
    is_relay: bool,
}

/// How it stands with another node, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It is linked.
    Linked {
        /// Since then.
        since: Moment,
        /// How many segments it is not known to have, once it has greeted.
        behind: Option<u64>,
        /// Whether a broker stands between.
        by_broker: bool,
    },
    /// Not linked, and why; tried again then.
    Waiting(String, Moment),
    /// Nothing is known of where it is.
    Unheard,
}

/// How a link came to be.
#[derive(Clone, Copy, Debug)]
struct Opened {
    /// Whether this node opened it.
    dialed: bool,
    /// Whether it was opened because the other was heard on the local network: then it takes nobody's place.
    found: bool,
    /// Whether a broker stands between.
    by_broker: bool,
}

/// A link that has just come to be, in halves.
pub(super) struct Met {
    device: DeviceId,
    pub(super) key: [u8; 32],
    /// Where the other one is; `None` when a broker stands between.
    remote: Option<SocketAddr>,
    pub(super) halves: (Sending, Receiving),
    /// What came over it already.
    first: Option<Letter>,
    opened: Opened,
}

impl Met {
    fn new(link: Link, dialed: bool, found: bool) -> Self {
        let (device, key, remote) = (link.device(), link.peer().to_bytes(), link.remote_address());
        let opened = Opened { dialed, found, by_broker: remote.is_none() };
        Self { device, key, remote, halves: letters(link), first: None, opened }
    }
}

impl Peers {
    pub(crate) fn new(node: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            node,
            invite: Mutex::default(),
            known: Mutex::default(),
            port: AtomicU16::new(0),
            changed: Notify::new(),
            links: AtomicU64::new(0),
            broker: Mutex::default(),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            waking: Mutex::default(),
        })
    }

    /// At which port this node listens for others; `None` when it does not.
    pub(crate) fn port(&self) -> Option<u16> {
        Some(self.port.load(Ordering::SeqCst)).filter(|port| *port != 0)
    }

    /// How it stands with a member.
    pub(crate) fn standing(&self, device: &DeviceId) -> Standing {
        match lock(&self.known).get(device) {
            Some(Known { linked: Some(linked), .. }) => {
                let waiting = linked.progress.waiting.load(Ordering::Relaxed);
                let behind = (waiting != u64::MAX).then_some(waiting);
                Standing::Linked { since: linked.since, behind, by_broker: linked.by_broker }
            }
            Some(Known { waiting: Some((reason, at)), .. }) => Standing::Waiting(reason.clone(), *at),
            _ => Standing::Unheard,
        }
    }

    fn is_member(&self, key: &VerifyingKey) -> bool {
        self.node.membership().is_some_and(|membership| membership.fleet.is_member(&key.to_bytes(), now()))
    }

    fn is_relay(&self, device: &DeviceId) -> bool {
        self.node.membership().is_some_and(|membership| membership.fleet.relay(device).is_some())
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::from_seed(&self.node.identity.signing.to_bytes())
    }

    /// What a device is called in the log: `spiffe://FLEET/node/ID`, or its bare id when this node is in no fleet; a relay by its address.
    fn spiffe(&self, device: DeviceId) -> String {
        match self.node.membership() {
            Some(membership) if membership.fleet.relay(&device).is_none() => {
                SpiffeId { fleet: membership.id(), device }.to_string()
            }
            membership => name_of(membership.as_deref(), &device),
        }
    }

    fn me(&self) -> DeviceId {
        self.node.identity.device
    }

    /// Members and relays that are not linked and whose time to be tried has come, with their keys and addresses; and when the next one's
    /// comes.
    fn due(&self) -> (Vec<Callee>, Option<Moment>) {
        let Some(membership) = self.node.membership() else { return (Vec::new(), None) };
        let (at, mut due, mut next) = (now(), Vec::new(), None::<Moment>);
        let mut known = lock(&self.known);
        let members = membership.fleet.members(at).filter(|(device, _)| *device != self.me());
        let members = members.map(|(device, member)| (member.key, membership.addresses.get(&device), false));
        let relays = membership.fleet.relays().map(|relay| (relay.key, Some(&relay.address), true));
        let has_broker = lock(&self.broker).is_some();
        for (key, address, is_relay) in members.chain(relays) {
            if address.is_none() && !has_broker {
                continue;
            }
            let Ok(key) = VerifyingKey::from_bytes(&key) else { continue };
            let device = DeviceId::of_key(&key);
            let known = known.entry(device).or_default();
            if let Some(linked) = known.linked.as_mut().filter(|linked| linked.by_broker && address.is_some()) {
                if linked.direct_at <= at && !known.dialing {
                    linked.direct_at = at + DIRECT_AGAIN;
                    known.dialing = true;
                    due.push(Callee { device, key, address: address.cloned(), through_broker: false, is_relay });
                }
                next = Some(next.map_or(linked.direct_at, |next: Moment| next.min(linked.direct_at)));
                continue;
            }
            if known.linked.is_some() || known.dialing {
                continue;
            }
            match &known.waiting {
                Some((_, again)) if *again > at => next = Some(next.map_or(*again, |next| next.min(*again))),
                _ => {
                    known.dialing = true;
                    due.push(Callee { device, key, address: address.cloned(), through_broker: true, is_relay });
                }
            }
        }
        (due, next)
    }

    /// Whether some member is not linked directly.
    fn lacks_any(&self) -> bool {
        let Some(membership) = self.node.membership() else { return false };
        let known = lock(&self.known);
        let is_direct = |linked: &Linked| !linked.by_broker;
        let linked =
            |device: &DeviceId| known.get(device).is_some_and(|known| known.linked.as_ref().is_some_and(is_direct));
        membership.fleet.members(now()).any(|(device, _)| device != self.me() && !linked(&device))
    }

    /// Enters a link; `None` when another one to the same node is to stay.
    fn enter(
        &self,
        device: DeviceId,
        Opened { dialed, found, by_broker }: Opened,
        stop: &CancellationToken,
        questions: mpsc::Sender<Question>,
    ) -> Option<(CancellationToken, u64, Arc<Progress>)> {
        let mut known = lock(&self.known);
        let known = known.entry(device).or_default();
        let by_lesser = dialed == (self.me() < device);
        if let Some(other) = &known.linked {
            let crossing = other.by_lesser && !by_lesser && now().since(other.since) < CROSSING;
            let (better, worse) = (other.by_broker && !by_broker, by_broker && !other.by_broker);
            if (crossing || found || worse) && !better {
                return None;
            }
            other.stop.cancel();
        }
        let (stop, number) = (stop.child_token(), self.links.fetch_add(1, Ordering::SeqCst));
        let progress = Arc::<Progress>::default();
        known.linked = Some(Linked {
            since: now(),
            by_lesser,
            by_broker,
            direct_at: now() + DIRECT_AGAIN,
            stop: stop.clone(),
            number,
            progress: Arc::clone(&progress),
            questions,
        });
        Some((stop, number, progress))
    }

    /// A link or an attempt at one is over.
    fn leave(&self, device: DeviceId, number: Option<u64>, reason: String) {
        let mut known = lock(&self.known);
        let known = known.entry(device).or_default();
        match number {
            // Another one took its place.
            Some(number) if known.linked.as_ref().is_none_or(|linked| linked.number != number) => return,
            Some(_) => known.linked = None,
            None if known.linked.is_some() => return,
            None => {}
        }
        let wait = backoff(known.failures, entropy());
        known.failures = known.failures.saturating_add(1);
        known.waiting = Some((reason, now() + wait));
        self.changed.notify_one();
    }

    /// The other side is a member and said at which port it listens.
    fn learned(&self, device: DeviceId, remote: Option<SocketAddr>, port: u16) {
        if let Some(known) = lock(&self.known).get_mut(&device) {
            known.failures = 0;
            known.waiting = None;
        }
        let Some(remote) = remote.filter(|_| port != 0) else { return };
        let address = SocketAddr::new(remote.ip(), port).to_string();
        let noted = self.node.change_addresses(device, address);
        if let Err(error) = noted {
            debug!(%error, "where a member listens could not be noted");
        }
    }

    /// Speaks with a member until the link ends.
    async fn talk(self: Arc<Self>, met: Met, daemon: CancellationToken) {
        let Met { device, key, remote, halves, first, opened } = met;
        let peer = self.spiffe(device);
        let (line, questions) = mpsc::channel(QUESTIONS);
        let Some((stop, number, progress)) = self.enter(device, opened, &daemon, line) else {
            return halves.0.close(Close::Replaced);
        };
        info!(peer, "linked to another node");
        self.get_to_know(device);
        let session = Session {
            keeper: Arc::clone(&self.node),
            peer: device,
            peer_key: key,
            port: self.port.load(Ordering::SeqCst),
            stop,
            progress: Arc::clone(&progress),
            budget: None,
            questions: Some(questions),
        };
        let news = self.node.listen();
        let peers = Arc::clone(&self);
        let learned = move |port| {
            // It writes to the disk.
            tokio::task::spawn_blocking(move || peers.learned(device, remote, port));
        };
        let ended = session::run(session, halves, news, first.into_iter().collect(), learned).await;
        let reason = match ended {
            Ended::Stopped if !daemon.is_cancelled() => "a newer link to the same node took its place".to_owned(),
            Ended::Link(LinkError::Closed(Close::NotTrusted)) if self.is_relay(&device) => NOT_TAKEN.to_owned(),
            ended => why(&ended),
        };
        info!(peer, reason, "the link to another node ended");
        self.note_met(device, &progress).await;
        self.leave(device, Some(number), reason);
    }

    /// Notes until when everything that a member wrote is here, when nothing was on its way as the link ended.
    async fn note_met(&self, device: DeviceId, progress: &Progress) {
        let (heard, idle) = (progress.heard.load(Ordering::SeqCst), progress.idle.load(Ordering::SeqCst));
        // It sends what it has without a pause: after one, that was all.
        let came = progress.came.load(Ordering::SeqCst);
        let has_all = came > 0 && heard.saturating_sub(came) >= QUIET_MILLIS;
        if !has_all || !idle || self.is_relay(&device) {
            return;
        }
        let node = Arc::clone(&self.node);
        let noted = tokio::task::spawn_blocking(move || node.note_met(&device, Moment::from_millis(heard))).await;
        if let Ok(Err(error)) = noted {
            debug!(%error, "when a member was last met could not be noted");
        }
    }

    /// Whether nobody is at waking it yet.
    pub(super) fn begins_to_wake(&self, device: DeviceId) -> bool {
        lock(&self.waking).insert(device)
    }

    pub(super) fn wakes_no_more(&self, device: DeviceId) {
        lock(&self.waking).remove(&device);
    }

    /// Calls a member that is not linked without waiting longer.
    pub(super) fn call_soon(&self, device: DeviceId) {
        if let Some(known) = lock(&self.known).get_mut(&device) {
            known.waiting = None;
        }
        self.changed.notify_one();
    }

    pub(super) fn node(&self) -> &Arc<Shared> {
        &self.node
    }

    /// Who is linked, relays among them.
    pub(super) fn linked(&self) -> HashSet<DeviceId> {
        let known = lock(&self.known);
        known.iter().filter(|(_, known)| known.linked.is_some()).map(|(device, _)| *device).collect()
    }

    /// Where questions to members go that are linked.
    pub(super) fn lines(&self) -> BTreeMap<DeviceId, mpsc::Sender<Question>> {
        let known = lock(&self.known);
        let linked =
            known.iter().filter_map(|(device, known)| Some((*device, known.linked.as_ref()?.questions.clone())));
        let linked: BTreeMap<_, _> = linked.collect();
        drop(known);
        linked.into_iter().filter(|(device, _)| !self.is_relay(device)).collect()
    }

    async fn dial(self: Arc<Self>, callee: Callee, permit: Arc<Permit>, stop: CancellationToken) {
        let device = callee.device;
        let connected = async {
            let direct = async {
                match &callee.address {
                    Some(address) => self.dial_at(address, callee.key, permit).await,
                    None => Err("its address is not known".into()),
                }
            };
            match self.through_broker(&callee) {
                Some(through) => direct_first(direct, through).await.map_err(|ways| ways.to_string()),
                None => direct.await,
            }
        };
        let connected: Result<Link, String> = tokio::select! {
            () = stop.cancelled() => return,
            connected = connected => connected,
        };
        if let Some(known) = lock(&self.known).get_mut(&device) {
            known.dialing = false;
        }
        match connected {
            Ok(link) => Arc::clone(&self).talk(Met::new(link, true, false), stop).await,
            Err(reason) => self.leave(device, None, reason),
        }
    }

    async fn dial_at(&self, address: &str, key: VerifyingKey, permit: Arc<Permit>) -> Result<Link, String> {
        let (host, port) = address.rsplit_once(':').ok_or("its address is not `host:port`")?;
        let port = port.parse().map_err(|_| "its address is not `host:port`")?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let permitted = tokio::task::spawn_blocking(move || permit(&host, port, &[])).await;
        permitted.map_err(|_| "the egress gate failed")??;
        let at = address_of(address).await.ok_or("its address cannot be looked up")?;
        let connector = Connector::among(self.identity(), Trust::only([key]), Limits::default());
        connector.connect(at).await.map_err(|error| why(&Ended::Link(error)))
    }

    /// Calls whoever showed the fleet's tag on the local network, at the first of its addresses that answers. Anybody there can repeat a
    /// tag: so only this network is called, a few at a time, and only a member that is not linked gets past the handshake.
    async fn call(self: Arc<Self>, addresses: Vec<SocketAddr>, permit: Arc<Permit>, stop: CancellationToken) {
        let Ok(_one_of_few) = Arc::clone(&self.calls).try_acquire_owned() else { return };
        let trust = {
            let peers = Arc::clone(&self);
            Trust::by(move |key| {
                let device = DeviceId::of_key(key);
                let known = lock(&peers.known);
                let is_linked = known
                    .get(&device)
                    .is_some_and(|known| known.linked.as_ref().is_some_and(|linked| !linked.by_broker));
                drop(known);
                peers.is_member(key) && device != peers.me() && !is_linked
            })
        };
        let connector = Connector::among(self.identity(), trust, Limits::default());
        for address in addresses.iter().copied().filter(|address| is_near(address.ip())) {
            let asked = Arc::clone(&permit);
            let permitted = move || asked(&address.ip().to_string(), address.port(), &[address]);
            match tokio::task::spawn_blocking(permitted).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => return debug!(reason, "a node that was heard is not called"),
                Err(_) => return,
            }
            let connected = tokio::select! {
                () = stop.cancelled() => return,
                connected = connector.connect(address) => connected,
            };
            match connected {
                Ok(link) => return self.talk(Met::new(link, true, true), stop).await,
                Err(error) => debug!(%error, "a node that was heard does not answer at one of its addresses"),
            }
        }
    }

    /// Runs the greeting of one who knocked; a member is talked with, a stranger may ask to join.
    async fn welcome(self: Arc<Self>, knock: hearth_link::Knock, stop: CancellationToken) {
        let from = knock.remote_address();
        let link = match knock.welcome().await {
            Ok(link) => link,
            Err(error) => return debug!(%from, %error, "somebody knocked and was not let in"),
        };
        let is_member = self.is_member(link.peer());
        let one_of_few = match Arc::clone(&self.strangers).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if is_member => None,
            Err(_) => return link.finish(Close::Busy).await,
        };
        let (channel, is_sheet) = (link.channel(), self.is_sheet(link.peer()));
        let mut met = Met::new(link, false, false);
        if !is_member {
            met.halves.1.limit(REQUEST_MAX, REQUEST_TIME);
        }
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = tokio::time::timeout(JOINING, met.halves.1.receive()) => first,
        };
        let Ok(Ok(first)) = first else { return debug!(%from, "a device connected and said nothing") };
        match Letter::decode(&first) {
            // A member may ask, too: the answer to its first request may have been lost.
            Ok(Letter::Join(request)) => match self.answer_join(met, request, channel).await {
                Ok(()) => info!(%from, "a device joined the fleet"),
                Err(reason) => warn!(%from, reason, "a device asked to join and was not let in"),
            },
            Ok(letter) if is_member => {
                drop(one_of_few);
                met.first = Some(letter);
                self.talk(met, stop).await;
            }
            Ok(Letter::Known { .. }) if is_sheet => tokio::select! {
                () = stop.cancelled() => {}
                () = self.answer_sheet(&met.key, met.halves) => {}
            },
            _ => met.halves.0.close(Close::NotTrusted),
        }
    }
}

/// Why a relay closed the link.
const NOT_TAKEN: &str = "the relay does not take this device: it is not in the fleet any more, or the relay's operator trusts no device of \
     this fleet yet (`hearth identity` shows this one's key), or the fleet whose guest this one was has ended that";

/// Why there is no link to a member, as a person reads it.
fn why(ended: &Ended) -> String {
    match ended {
        Ended::Link(LinkError::Closed(Close::NotTrusted) | LinkError::Refused(_)) => {
            "that device says that this one is not in the fleet any more; ask who looks after the fleet. `hearth fleet leave` erases here \
             what others shared, and then this device may come into another fleet"
                .into()
        }
        Ended::Link(LinkError::Stranger) => {
            "what answers there is another device; it may have a new address, and is found when it calls".into()
        }
        other => other.to_string(),
    }
}

/// Listens and links for as long as the daemon runs and the node is in a fleet. Where it cannot listen, it calls all the same.
pub(crate) async fn run(peers: Arc<Peers>, meeting: Meeting) {
    let Meeting { listen, lan, broker, permit, stop } = meeting;
    let permit = Arc::new(permit);
    let mut news = peers.node.listen();
    while peers.node.membership().is_none() {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = news.recv() => {}
        }
    }
    let mut tasks = JoinSet::new();
    if let Some(mqtt) = broker.and_then(|broker| peers.begin_at(broker)) {
        tasks.spawn(Arc::clone(&peers).meet_at(mqtt, stop.clone()));
    }
    let (mut door, mut beacon) = (None, Beacon::new(None));
    let mut bind_at = Some(Instant::now());
    loop {
        if door.is_none() && bind_at.is_some_and(|at| at <= Instant::now()) {
            door = open_door(&peers, listen);
            bind_at = door.is_none().then(|| Instant::now() + BIND_AGAIN);
            // Who listens on this machine alone is not to be found by others.
            let port = peers.port().filter(|_| lan && !listen.ip().is_loopback());
            beacon = Beacon::new(port);
        }
        let membership = peers.node.membership();
        match &membership {
            Some(membership) => beacon.show(membership),
            // It has left; it shows itself again in its next fleet.
            None => beacon.hide(),
        }
        let (due, next) = peers.due();
        for member in due {
            tasks.spawn(Arc::clone(&peers).dial(member, Arc::clone(&permit), stop.clone()));
        }
        let wait = next.map_or(LOOK_EVERY, |next| next.since(now()).max(Duration::from_millis(50))).min(LOOK_EVERY);
        let wait = bind_at.map_or(wait, |at| wait.min(at.saturating_duration_since(Instant::now())));
        tokio::select! {
            () = stop.cancelled() => break,
            knock = knocks(door.as_ref()) => match knock {
                Some(knock) => drop(tasks.spawn(Arc::clone(&peers).welcome(knock, stop.clone()))),
                None => break,
            },
            addresses = beacon.hears(membership.as_deref()) => if peers.lacks_any() {
                tasks.spawn(Arc::clone(&peers).call(addresses, Arc::clone(&permit), stop.clone()));
            },
            () = peers.changed.notified() => {}
            told = news.recv() => if let Ok(Grown::Log(_) | Grown::Proof(_)) = told { continue },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = sleep(wait) => {}
        }
    }
    peers.port.store(0, Ordering::SeqCst);
    beacon.end().await;
    // Sessions end by themselves now, and say good-bye.
    let farewell = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    tasks.shutdown().await;
    // It holds the egress gate, and with it the node.
    lock(&peers.broker).take();
    if let Some(door) = door {
        door.shut(Close::ShuttingDown).await;
    }
}

fn open_door(peers: &Arc<Peers>, listen: SocketAddr) -> Option<Listener> {
    let trust = {
        let peers = Arc::clone(peers);
        Trust::by(move |key| peers.is_member(key) || peers.is_inviting() || peers.is_sheet(key))
    };
    match Listener::bind(listen, &peers.identity(), trust, &[Protocol::Fleet], Limits::default()) {
        Ok(door) => {
            let port = door.local_address().map_or(0, |address| address.port());
            peers.port.store(port, Ordering::SeqCst);
            Some(door)
        }
        Err(error) => {
            peers.node.notice(&format!("other nodes cannot reach this one, it can only call them: {error}"));
            None
        }
    }
}

async fn knocks(door: Option<&Listener>) -> Option<hearth_link::Knock> {
    match door {
        Some(door) => door.accept().await,
        None => std::future::pending().await,
    }
}

/// Whether an address is one of networks at home.
const fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
