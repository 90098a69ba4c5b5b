//! The other nodes of the fleet: who is linked, who is tried again, who asks to come in.
//!
//! [`run`] listens once the node is in a fleet, links to every member whose address is known, and keeps one [`session`] with each. A
//! stranger gets a word in only while a join code is open, and then only the request that proves it knows the code.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use hearth_core::{
    DeviceId, Moment,
    fleet::{
        SpiffeId,
        invite::{Invite, JoinCode, JoinRequest, Welcome},
    },
};
use hearth_link::{Close, Connector, Identity, Lan, Limits, Link, LinkError, Listener, Trust, VerifyingKey};
use tokio::{sync::Notify, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    address_of, backoff, entropy,
    session::{self, Ended, Progress, Session, letters},
    wire::Letter,
};
use crate::node::{Membership, News, Shared, lock, now, wrap_secret};

/// Two nodes that dial each other at once agree within this time on which of the two links stays.
const CROSSING: Duration = Duration::from_secs(3);
/// A port that is taken is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(30);
/// At least so often is looked at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long good-byes may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long who joins may take to send its request, and who answers to answer.
const JOINING: Duration = Duration::from_secs(20);

/// Asks the egress gate for permission to call a member; the error is a sentence. The addresses are those heard on the local network under
/// the fleet's tag; beside them, where members were last reached is permitted.
pub(crate) type Permit = Box<dyn Fn(&str, u16, &[SocketAddr]) -> Result<(), String> + Send + Sync>;

/// How to meet the others.
pub(crate) struct Meeting {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Whether to find and be found on the local network.
    pub(crate) lan: bool,
    /// Asked before each call.
    pub(crate) permit: Permit,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// The other nodes, as this one knows them.
pub(crate) struct Peers {
    node: Arc<Shared>,
    invite: Mutex<Option<Invite>>,
    known: Mutex<BTreeMap<DeviceId, Known>>,
    port: AtomicU16,
    changed: Notify,
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
    stop: CancellationToken,
    number: u64,
    progress: Arc<Progress>,
}

/// How it stands with another node, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Linked since then; how many segments it is not known to have, once it has greeted.
    Linked(Moment, Option<u64>),
    /// Not linked, and why; tried again then.
    Waiting(String, Moment),
    /// Nothing is known of where it is.
    Unheard,
}

impl From<LinkError> for NotJoined {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Refused(_) => Self::Closed,
            other => Self::Link(other),
        }
    }
}

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotJoined {
    #[error("there is no address for `{0}`; write it as `host:port`, as `hearth fleet invite` shows it")]
    NoAddress(String),
    #[error(transparent)]
    Link(LinkError),
    #[error(
        "no join code is open there any more: it was used, its ten minutes are over, or hearth was started anew since; make a new one with \
         `hearth fleet invite`"
    )]
    Closed,
    #[error(transparent)]
    Code(#[from] hearth_core::fleet::invite::WrongKey),
    #[error("the device that answered said no: {0}")]
    Refused(String),
    #[error("the device that answered did not answer in time; try again while it is awake")]
    Silent,
    #[error("what the device answered is not an answer to a request to join; update hearth on both")]
    OutOfPlace,
    #[error(transparent)]
    Answer(#[from] hearth_core::fleet::invite::BadJoin),
}

impl Peers {
    pub(crate) fn new(node: Arc<Shared>) -> Arc<Self> {
        let (invite, known, port) = (Mutex::default(), Mutex::default(), AtomicU16::new(0));
        Arc::new(Self { node, invite, known, port, changed: Notify::new() })
    }

    /// Makes a join code, in place of the one before.
    pub(crate) fn invite(&self) -> (JoinCode, Moment) {
        let answers = self.node.identity.signing.verifying_key().to_bytes();
        let invite = Invite::issue(answers, hearth_store::entropy(), now());
        let (code, until) = (invite.code().clone(), invite.poll_timeout().unwrap_or_else(now));
        *lock(&self.invite) = Some(invite);
        (code, until)
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
                Standing::Linked(linked.since, (waiting != u64::MAX).then_some(waiting))
            }
            Some(Known { waiting: Some((reason, at)), .. }) => Standing::Waiting(reason.clone(), *at),
            _ => Standing::Unheard,
        }
    }

    fn is_inviting(&self) -> bool {
        lock(&self.invite).as_ref().is_some_and(|invite| invite.poll_timeout().is_some_and(|until| now() < until))
    }

    fn is_member(&self, key: &VerifyingKey) -> bool {
        self.node.membership().is_some_and(|membership| membership.fleet.is_member(&key.to_bytes(), now()))
    }

    fn identity(&self) -> Identity {
        Identity::from_seed(&self.node.identity.signing.to_bytes())
    }

    /// What a device is called in the log: `spiffe://FLEET/node/ID`, or its bare id when this node is in no fleet.
    fn spiffe(&self, device: DeviceId) -> String {
        let membership = self.node.membership();
        membership
            .map_or_else(|| device.to_string(), |membership| SpiffeId { fleet: membership.id(), device }.to_string())
    }

    fn me(&self) -> DeviceId {
        self.node.identity.device
    }

    /// Members that are not linked and whose time to be tried has come, with their keys and addresses; and when the next one's comes.
    fn due(&self) -> (Vec<(DeviceId, VerifyingKey, String)>, Option<Moment>) {
        let Some(membership) = self.node.membership() else { return (Vec::new(), None) };
        let (at, mut due, mut next) = (now(), Vec::new(), None::<Moment>);
        let mut known = lock(&self.known);
        for (device, member) in membership.fleet.members(at).filter(|(device, _)| *device != self.me()) {
            let Some(address) = membership.addresses.get(&device) else { continue };
            let Ok(key) = VerifyingKey::from_bytes(&member.key) else { continue };
            let known = known.entry(device).or_default();
            if known.linked.is_some() || known.dialing {
                continue;
            }
            match &known.waiting {
                Some((_, again)) if *again > at => next = Some(next.map_or(*again, |next| next.min(*again))),
                _ => {
                    known.dialing = true;
                    due.push((device, key, address.clone()));
                }
            }
        }
        (due, next)
    }

    /// Whether some member is not linked.
    fn lacks_any(&self) -> bool {
        let Some(membership) = self.node.membership() else { return false };
        let known = lock(&self.known);
        let linked = |device: &DeviceId| known.get(device).is_some_and(|known| known.linked.is_some());
        membership.fleet.members(now()).any(|(device, _)| device != self.me() && !linked(&device))
    }

    /// Enters a link; `None` when another one to the same node is to stay.
    fn enter(
        &self,
        device: DeviceId,
        dialed: bool,
        found: bool,
        stop: &CancellationToken,
    ) -> Option<(CancellationToken, u64, Arc<Progress>)> {
        let mut known = lock(&self.known);
        let known = known.entry(device).or_default();
        let by_lesser = dialed == (self.me() < device);
        if let Some(other) = &known.linked {
            let crossing = other.by_lesser && !by_lesser && now().since(other.since) < CROSSING;
            if crossing || found {
                return None;
            }
            other.stop.cancel();
        }
        let (stop, number) = (stop.child_token(), known.linked.as_ref().map_or(1, |linked| linked.number + 1));
        let progress = Arc::<Progress>::default();
        known.linked =
            Some(Linked { since: now(), by_lesser, stop: stop.clone(), number, progress: Arc::clone(&progress) });
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
    fn learned(&self, device: DeviceId, remote: SocketAddr, port: u16) {
        if let Some(known) = lock(&self.known).get_mut(&device) {
            known.failures = 0;
            known.waiting = None;
        }
        if port == 0 {
            return;
        }
        let address = SocketAddr::new(remote.ip(), port).to_string();
        let noted = self.node.change_addresses(device, address);
        if let Err(error) = noted {
            debug!(%error, "where a member listens could not be noted");
        }
    }

    /// Speaks with a member until the link ends.
    async fn talk(self: Arc<Self>, link: Link, dialed: bool, found: bool, daemon: CancellationToken) {
        let (device, key, remote) = (link.device(), link.peer().to_bytes(), link.remote_address());
        let peer = self.spiffe(device);
        let Some((stop, number, progress)) = self.enter(device, dialed, found, &daemon) else {
            link.finish(Close::Replaced).await;
            return;
        };
        info!(peer, "linked to another node");
        let session = Session {
            node: Arc::clone(&self.node),
            peer: device,
            peer_key: key,
            port: self.port.load(Ordering::SeqCst),
            stop,
            progress,
        };
        let peers = Arc::clone(&self);
        let ended = session::run(session, letters(link), None, move |port| peers.learned(device, remote, port)).await;
        let reason = match ended {
            Ended::Stopped if !daemon.is_cancelled() => "a newer link to the same node took its place".to_owned(),
            ended => why(&ended),
        };
        info!(peer, reason, "the link to another node ended");
        self.leave(device, Some(number), reason);
    }

    async fn dial(
        self: Arc<Self>,
        (device, key, address): (DeviceId, VerifyingKey, String),
        permit: Arc<Permit>,
        stop: CancellationToken,
    ) {
        let connected = async {
            let (host, port) = address.rsplit_once(':').ok_or("its address is not `host:port`")?;
            let port = port.parse().map_err(|_| "its address is not `host:port`")?;
            permit(host.trim_matches(['[', ']']), port, &[])?;
            let at = address_of(&address).await.ok_or("its address cannot be looked up")?;
            let connector = Connector::among(self.identity(), Trust::only([key]), Limits::default());
            connector.connect(at).await.map_err(|error| why(&Ended::Link(error)))
        };
        let connected: Result<Link, String> = tokio::select! {
            () = stop.cancelled() => return,
            connected = connected => connected,
        };
        if let Some(known) = lock(&self.known).get_mut(&device) {
            known.dialing = false;
        }
        match connected {
            Ok(link) => Arc::clone(&self).talk(link, true, false, stop).await,
            Err(reason) => self.leave(device, None, reason),
        }
    }

    /// Calls whoever showed the fleet's tag on the local network, at the first of its addresses that answers.
    async fn call(self: Arc<Self>, addresses: Vec<SocketAddr>, permit: Arc<Permit>, stop: CancellationToken) {
        let trust = {
            let peers = Arc::clone(&self);
            Trust::by(move |key| peers.is_member(key) && DeviceId::of_key(key) != peers.me())
        };
        let connector = Connector::among(self.identity(), trust, Limits::default());
        for address in &addresses {
            if let Err(reason) = permit(&address.ip().to_string(), address.port(), &addresses) {
                return debug!(reason, "a node that was heard is not called");
            }
            let connected = tokio::select! {
                () = stop.cancelled() => return,
                connected = connector.connect(*address) => connected,
            };
            match connected {
                Ok(link) => return self.talk(link, true, true, stop).await,
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
        if self.is_member(link.peer()) {
            return self.talk(link, false, false, stop).await;
        }
        let answered = tokio::select! {
            () = stop.cancelled() => return,
            answered = tokio::time::timeout(JOINING, self.answer_join(link)) => answered,
        };
        match answered {
            Ok(Ok(name)) => info!(%from, name, "a device joined the fleet"),
            Ok(Err(reason)) => warn!(%from, reason, "a device asked to join and was not let in"),
            Err(_) => debug!(%from, "a device connected and did not ask to join"),
        }
    }

    /// Answers one who may know a join code.
    async fn answer_join(&self, link: Link) -> Result<String, String> {
        let (channel, key, remote) = (link.channel(), link.peer().to_bytes(), link.remote_address());
        let (mut sending, mut receiving) = letters(link);
        let bytes = receiving.receive().await.map_err(|error| error.to_string())?;
        let verdict = match Letter::decode(&bytes) {
            Ok(Letter::Join(bytes)) => self.admit(&bytes, &channel, &key),
            _ => Err("only a device that joins may speak here".into()),
        };
        let letter = match &verdict {
            Ok((welcome, _)) => Letter::Welcome(welcome.encode()),
            Err(reason) => Letter::Refused(reason.clone()),
        };
        sending.send(&letter.encode()).await.map_err(|error| error.to_string())?;
        // It closes once it has read the answer.
        let _ = receiving.receive().await;
        sending.close(Close::Done);
        debug!(%remote, "answered a request to join");
        verdict.map(|(_, name)| name)
    }

    /// Decides about a request, and adds the device to the fleet.
    fn admit(&self, request: &[u8], channel: &[u8], key: &[u8; 32]) -> Result<(Welcome, String), String> {
        let request = JoinRequest::decode(request).map_err(|error| error.to_string())?;
        let device = {
            let mut invite = lock(&self.invite);
            let invite = invite.as_mut().ok_or("no join code is open here; make one with `hearth fleet invite`")?;
            invite.handle(now(), &request, channel).map_err(|error| error.to_string())?
        };
        if device.key != *key {
            return Err("the request names another key than the link; update hearth on the device that joins".into());
        }
        let name = device.name.clone();
        let welcome = self.node.add_device(device).map_err(|error| error.to_string())?;
        self.node.notice(&format!("{name} joined the fleet; if that was not you, `hearth fleet revoke {name}`"));
        Ok((welcome, name))
    }

    /// Asks the device at `at` to be taken into its fleet; takes up what it answers.
    pub(crate) async fn join(&self, code: &JoinCode, at: &str, name: &str) -> Result<(), NotJoined> {
        let address = address_of(at).await.ok_or_else(|| NotJoined::NoAddress(at.to_owned()))?;
        // Whoever answers must hold the key that the code is of; it is told nothing before that is checked.
        let connector = Connector::among(self.identity(), Trust::by(|_| true), Limits::default());
        let link = connector.connect(address).await?;
        let (channel, answers, device) = (link.channel(), link.peer().to_bytes(), link.device());
        let signing = &self.node.identity.signing;
        let own = signing.verifying_key().to_bytes();
        let request = match code.request(&answers, own, wrap_secret(signing).public(), name, &channel) {
            Ok(request) => request,
            Err(wrong) => {
                link.finish(Close::Done).await;
                return Err(wrong.into());
            }
        };
        let (mut sending, mut receiving) = letters(link);
        sending.send(&Letter::Join(request.encode()).encode()).await?;
        let answer = tokio::time::timeout(JOINING, receiving.receive()).await.map_err(|_| NotJoined::Silent)??;
        sending.close(Close::Done);
        let welcome = match Letter::decode(&answer) {
            Ok(Letter::Welcome(bytes)) => Welcome::decode(&bytes)?,
            Ok(Letter::Refused(why)) => return Err(NotJoined::Refused(why)),
            _ => return Err(NotJoined::OutOfPlace),
        };
        let fleet = welcome.open(&own, &answers, now())?;
        let mut membership = Membership::take_up(signing, fleet, &welcome);
        membership.addresses.insert(device, address.to_string());
        self.node.take_up(membership).map_err(|_| NotJoined::OutOfPlace)?;
        Ok(())
    }
}

/// Why there is no link to a member, as a person reads it.
fn why(ended: &Ended) -> String {
    match ended {
        Ended::Link(LinkError::Closed(Close::NotTrusted) | LinkError::Refused(_)) => {
            "that device says that this one is not in the fleet any more; ask who looks after the fleet".into()
        }
        Ended::Link(LinkError::Stranger) => {
            "what answers there is another device; it may have a new address, and is found when it calls".into()
        }
        other => other.to_string(),
    }
}

/// Listens and links for as long as the daemon runs and the node is in a fleet.
pub(crate) async fn run(peers: Arc<Peers>, meeting: Meeting) {
    let Meeting { listen, lan, permit, stop } = meeting;
    let permit = Arc::new(permit);
    let mut news = peers.node.listen();
    while !stop.is_cancelled() {
        if peers.node.membership().is_none() {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = news.recv() => continue,
            }
        }
        let trust = {
            let peers = Arc::clone(&peers);
            Trust::by(move |key| peers.is_member(key) || peers.is_inviting())
        };
        match Listener::bind(listen, &peers.identity(), trust, Limits::default()) {
            Ok(listener) => {
                let port = listener.local_address().map_or(0, |address| address.port());
                peers.port.store(port, Ordering::SeqCst);
                // Who listens on this machine alone is not to be found by others.
                let beacon = Beacon::new(lan && !listen.ip().is_loopback(), port);
                serve(&peers, &listener, beacon, &permit, &stop).await;
                peers.port.store(0, Ordering::SeqCst);
            }
            Err(error) => {
                peers.node.notice(&format!("other nodes cannot reach this one: {error}"));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(BIND_AGAIN) => {}
                }
            }
        }
    }
}

async fn serve(
    peers: &Arc<Peers>,
    listener: &Listener,
    mut beacon: Beacon,
    permit: &Arc<Permit>,
    stop: &CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let mut news = peers.node.listen();
    loop {
        let membership = peers.node.membership();
        if let Some(membership) = &membership {
            beacon.show(membership);
        }
        let (due, next) = peers.due();
        for member in due {
            tasks.spawn(Arc::clone(peers).dial(member, Arc::clone(permit), stop.clone()));
        }
        let wait = next.map_or(LOOK_EVERY, |next| next.since(now()).max(Duration::from_millis(50)));
        tokio::select! {
            () = stop.cancelled() => break,
            knock = listener.accept() => match knock {
                Some(knock) => drop(tasks.spawn(Arc::clone(peers).welcome(knock, stop.clone()))),
                None => break,
            },
            addresses = beacon.hears(membership.as_deref()) => if peers.lacks_any() {
                tasks.spawn(Arc::clone(peers).call(addresses, Arc::clone(permit), stop.clone()));
            },
            () = peers.changed.notified() => {}
            told = news.recv() => if let Ok(News::Grown(_) | News::Frozen(_)) = told { continue },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = sleep(wait.min(LOOK_EVERY)) => {}
        }
    }
    beacon.end().await;
    // Sessions end by themselves now, and say good-bye.
    let farewell = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    listener.shut(Close::ShuttingDown).await;
}

/// This node on the local network: it shows the fleet's tag of the day under a name of the moment, and hears others that do.
struct Beacon {
    lan: Option<Lan>,
    port: u16,
    /// What is shown.
    shown: Option<[u8; 16]>,
}

impl Beacon {
    fn new(on: bool, port: u16) -> Self {
        let lan = on.then(Lan::open).and_then(|lan| {
            lan.map_err(|error| warn!(%error, "nodes on the local network are not found; those whose addresses are known are called")).ok()
        });
        Self { lan, port, shown: None }
    }

    /// Shows what is to be shown today.
    fn show(&mut self, membership: &Membership) {
        let tag = membership.lan_tag(day());
        let Some(lan) = self.lan.as_mut().filter(|_| tag != self.shown) else { return };
        if let Some(tag) = tag
            && let Err(error) = lan.announce(hearth_store::entropy(), tag, self.port)
        {
            warn!(%error, "this node cannot be found on the local network");
        }
        self.shown = tag;
    }

    /// Waits for another node of the fleet.
    async fn hears(&mut self, membership: Option<&Membership>) -> Vec<SocketAddr> {
        loop {
            let Some(lan) = &mut self.lan else { return std::future::pending().await };
            match lan.heard().await {
                Some(heard) if membership.is_some_and(|known| known.knows_lan_tag(&heard.tag, day())) => {
                    return heard.addresses;
                }
                Some(_) => {}
                None => self.lan = None,
            }
        }
    }

    async fn end(self) {
        if let Some(lan) = self.lan {
            lan.close().await;
        }
    }
}

/// Whole days since 1970 by this node's clock.
fn day() -> u64 {
    now().as_millis() / 86_400_000
}
