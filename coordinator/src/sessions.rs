//! The coordinator's side of each link: take a report, write it down, say so. What a fleet shares goes to the [`relay`](crate::relay).
//!
//! A device is who its key says; nothing in a report can change that. One device has one link, and the newest counts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hearth_core::{
    DeviceId, Moment,
    status::{Letter, NotALetter, Receipt},
};
use hearth_link::{Close, Knock, Link, LinkError, Listener, Mqtt, Pipe, Protocol, VerifyingKey, mqtt, mqtt::Mailbox};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::{
    fleet::{CannotKeep, Fleet, Node},
    relay::sessions::{Doors, talk},
    trust::TrustList,
};

/// Tells the time; a test makes it up.
pub type Clock = fn() -> Moment;

/// Reports of one device are taken no faster than this; the rest waits in the network.
const REPORT_GAP: Duration = Duration::from_millis(250);

/// Within this time a device finds out by which of two ways it is linked: until then one through a broker does not take a direct one's place.
const CROSSING: Duration = Duration::from_secs(3);

/// How long sessions may take to end when the program does.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The link did.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What came is not a letter.
    #[error(transparent)]
    Letter(#[from] NotALetter),
    /// It is a letter that only a coordinator writes.
    #[error("the device sent what only a coordinator sends; is it the agent of the same release?")]
    Misplaced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] CannotKeep),
    /// The key is not on the list any more.
    #[error("the device is not trusted any more")]
    NotTrusted,
}

impl Ended {
    fn to_close(&self) -> Close {
        match self {
            Self::Link(_) => Close::Done,
            Self::Letter(_) | Self::Misplaced => Close::Garbage,
            Self::Store(_) => Close::CannotKeep,
            Self::NotTrusted => Close::NotTrusted,
        }
    }
}

/// The ways by which devices come.
#[derive(Debug)]
pub struct Ways {
    /// Directly.
    pub listener: Listener,
    /// Through a broker. While that cannot be used, nobody comes by it.
    pub broker: Option<Arc<Mqtt>>,
}

/// A device that came by one of them.
enum Came {
    Directly(Box<Knock>),
    ByBroker(mqtt::Knock),
}

impl Ways {
    /// Waits for the next device; `None` at the end.
    async fn accept(&self) -> Option<Came> {
        let by_broker = async {
            match &self.broker {
                Some(broker) => broker.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            knock = self.listener.accept() => knock.map(|knock| Came::Directly(Box::new(knock))),
            knock = by_broker => knock.map(Came::ByBroker),
        }
    }

    /// Tells everybody by either way that this is the end.
    async fn shut(&self) {
        let by_broker = async {
            if let Some(broker) = &self.broker {
                broker.shut(Close::ShuttingDown).await;
            }
        };
        tokio::join!(self.listener.shut(Close::ShuttingDown), by_broker);
    }
}

impl Came {
    async fn welcome(self) -> Result<Link, LinkError> {
        match self {
            Self::Directly(knock) => knock.welcome().await,
            Self::ByBroker(knock) => knock.welcome().await,
        }
    }
}

/// Serves every device that comes, until `shutdown`; then tells all of them.
pub async fn serve(
    ways: Ways,
    fleet: Arc<dyn Fleet>,
    trust: Arc<TrustList>,
    doors: Arc<Doors>,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let (links, relayed) = (Arc::new(Links::default()), Arc::new(Links::default()));
    let mut sessions = JoinSet::new();
    loop {
        let came = tokio::select! {
            () = shutdown.cancelled() => break,
            came = ways.accept() => came,
            // Reaping what has ended keeps the set as large as the number of live links.
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
        };
        let Some(came) = came else { break };
        let (fleet, trust, links) = (Arc::clone(&fleet), Arc::clone(&trust), Arc::clone(&links));
        let (doors, relayed, stop) = (Arc::clone(&doors), Arc::clone(&relayed), shutdown.clone());
        // Each part is boxed, and so is what goes from one to the next: ten thousand of them wait, and a task is as large as its largest part.
        let welcoming = Box::pin(async move { came.welcome().await.map(Box::new) });
        let tag = ways.broker.as_ref().map(|broker| *broker.tag());
        let own = move |key: &VerifyingKey| tag.map(|tag| Mailbox::of(&tag, key));
        sessions.spawn(async move {
            match welcoming.await {
                Ok(link) if link.protocol() == Some(Protocol::Fleet) => {
                    Box::pin(relay(link, &doors, &relayed, &stop)).await;
                }
                // Whoever gives another's mailbox as its own would have us write there.
                Ok(link) if link.mailbox().is_some_and(|mailbox| Some(mailbox) != own(link.peer())) => {
                    warn!(device = %link.device(), "a device wrote from a mailbox that is not its own");
                    Box::pin(link.finish(Close::NotTrusted)).await;
                }
                Ok(link) => Box::pin(one(*link, &fleet, &trust, &links, clock)).await,
                Err(error) => info!(reason = %error, "a peer was not let in"),
            }
        });
    }
    // Sessions of the relay say good-bye by themselves.
    let _ = timeout(DRAIN_MAX, async { while relayed.any() && sessions.join_next().await.is_some() {} }).await;
    ways.shut().await;
    let _ = timeout(DRAIN_MAX, async { while sessions.join_next().await.is_some() {} }).await;
}

async fn relay(link: Box<Link>, doors: &Doors, links: &Links, stop: &CancellationToken) {
    let device = link.device();
    let span = info_span!("relay_for_device", %device);
    // A newer link of the same device ends this one.
    let Some(place) = links.take(device, link.is_by_broker(), stop.child_token()) else {
        return Box::pin(link.finish(Close::Replaced)).await;
    };
    let entered = Box::pin(doors.enter(*link, place.token.clone())).instrument(span.clone()).await;
    if let Some(entered) = entered {
        talk(entered).instrument(span).await;
    }
    links.leave(&place);
}

async fn one(mut link: Link, fleet: &Arc<dyn Fleet>, trust: &TrustList, links: &Links, clock: Clock) {
    let device = link.device();
    let span = info_span!("attend_device", %device);
    async {
        info!(version = link.version(), "a device is linked");
        let Some(place) = links.take(device, link.is_by_broker(), CancellationToken::new()) else {
            return Box::pin(link.finish(Close::Replaced)).await;
        };
        let ended = tokio::select! {
            ended = attend(&mut link, device, fleet, trust, clock) => ended,
            () = place.token.cancelled() => {
                warn!("another link with the same key took the place of this one");
                return Box::pin(link.finish(Close::Replaced)).await;
            }
        };
        match &ended {
            Ended::Link(reason) => debug!(%reason, "the link has ended"),
            reason => warn!(%reason, "the link was closed"),
        }
        link.finish(ended.to_close()).await;
        links.leave(&place);
    }
    .instrument(span)
    .await;
}

/// Takes reports over one pipe until it ends.
pub async fn attend(
    pipe: &mut impl Pipe,
    device: DeviceId,
    fleet: &Arc<dyn Fleet>,
    trust: &TrustList,
    clock: Clock,
) -> Ended {
    let mut changes = trust.changes();
    let mut next = Instant::now();
    loop {
        if !trust.knows(&device) {
            return Ended::NotTrusted;
        }
        let bytes = tokio::select! {
            received = async { sleep_until(next).await; pipe.receive().await } => match received {
                Ok(bytes) => bytes,
                Err(error) => return error.into(),
            },
            Ok(()) = changes.changed() => continue,
        };
        next = Instant::now() + REPORT_GAP;
        match take(pipe, device, &bytes, fleet, clock).await {
            Ok(()) => {}
            Err(ended) => return ended,
        }
    }
}

async fn take(
    pipe: &mut impl Pipe,
    device: DeviceId,
    bytes: &[u8],
    fleet: &Arc<dyn Fleet>,
    clock: Clock,
) -> Result<(), Ended> {
    let Letter::Report(report) = Letter::from_bytes(bytes)? else { return Err(Ended::Misplaced) };
    let (sent_at, kept_at) = (report.sent_at, clock());
    let node = Node { device, report: *report, kept_at };
    let keeping = Arc::clone(fleet);
    let kept = spawn_blocking(move || keeping.keep(node)).await;
    kept.unwrap_or_else(|_| Err(CannotKeep("the store panicked".into())))?;
    let receipt = Letter::Receipt(Receipt { sent_at, kept_at });
    Ok(pipe.send(&receipt.to_bytes()).await?)
}

/// Which link of each device is the newest.
#[derive(Debug, Default)]
struct Links(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    given: u64,
    newest: HashMap<DeviceId, Newest>,
}

#[derive(Debug)]
struct Newest {
    number: u64,
    by_broker: bool,
    since: Instant,
    token: CancellationToken,
}

/// A device's place while its link lives.
struct Place {
    device: DeviceId,
    number: u64,
    token: CancellationToken,
}

impl Links {
    /// Gives the place to a new link; an older one is told to go. `None` when the device has just come directly, and by a broker besides: it
    /// tries both, and keeps the direct link.
    fn take(&self, device: DeviceId, by_broker: bool, token: CancellationToken) -> Option<Place> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = Instant::now();
        let is_better = |older: &Newest| by_broker && !older.by_broker && since - older.since < CROSSING;
        if links.newest.get(&device).is_some_and(is_better) {
            return None;
        }
        links.given += 1;
        let number = links.given;
        if let Some(older) = links.newest.insert(device, Newest { number, by_broker, since, token: token.clone() }) {
            older.token.cancel();
        }
        Some(Place { device, number, token })
    }

    /// Whether there is any.
    fn any(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).newest.is_empty()
    }

    /// Frees the place, unless a newer link has it.
    fn leave(&self, place: &Place) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if links.newest.get(&place.device).is_some_and(|newest| newest.number == place.number) {
            links.newest.remove(&place.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_link::{Identity, Limits, memory};

    use super::*;
    use crate::health::tests::{at, node};

    #[tokio::test(start_paused = true)]
    async fn a_report_is_written_down_under_the_key_of_its_link_and_then_confirmed() {
        let bench = Bench::new();
        let (mut peer, mut here) = memory::pair(Limits::default()).await.expect("both greet");
        let talking = async {
            let report = node(9, at(5)).report;
            peer.send(&Letter::Report(Box::new(report)).to_bytes()).await.expect("sent");
            let receipt = Letter::from_bytes(&peer.receive().await.expect("an answer")).expect("a letter");
            assert_eq!(receipt, Letter::Receipt(Receipt { sent_at: at(5), kept_at: at(1000) }));
            assert_eq!(bench.fleet.nodes().len(), 1, "it is kept before it is confirmed");
            peer.close(Close::Done);
        };
        let (ended, ()) = tokio::join!(attend(&mut here, bench.device, &bench.fleet, &bench.trust, clock), talking);
        assert!(matches!(ended, Ended::Link(LinkError::Closed(Close::Done))), "{ended:?}");
        let kept = &bench.fleet.nodes()[0];
        assert_eq!((kept.device, kept.kept_at), (bench.device, at(1000)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_report_ends_the_session_with_its_reason() {
        let receipt = Letter::Receipt(Receipt { sent_at: at(1), kept_at: at(1) }).to_bytes();
        for (case, sent, expected) in
            [("noise", vec![0xFF, 1], "not a letter of hearth"), ("a receipt", receipt, "only a coordinator sends")]
        {
            let bench = Bench::new();
            let (mut peer, mut here) = memory::pair(Limits::default()).await.expect("both greet");
            peer.send(&sent).await.expect("sent");
            let ended = attend(&mut here, bench.device, &bench.fleet, &bench.trust, clock).await;
            assert!(ended.to_string().contains(expected), "{case}: {ended}");
            assert_eq!(ended.to_close(), Close::Garbage, "{case}");
            assert!(bench.fleet.nodes().is_empty(), "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_is_trusted_no_more_loses_its_live_link() {
        let bench = Bench::new();
        let (_peer, mut here) = memory::pair(Limits::default()).await.expect("both greet");
        let revoking = async {
            tokio::task::yield_now().await;
            std::fs::write(&bench.file, "").expect("written");
            bench.trust.reload().expect("an empty list is a list");
        };
        let (ended, ()) = tokio::join!(attend(&mut here, bench.device, &bench.fleet, &bench.trust, clock), revoking);
        assert_eq!(ended.to_close(), Close::NotTrusted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_not_confirmed() {
        struct Full;
        impl Fleet for Full {
            fn keep(&self, _: Node) -> Result<(), CannotKeep> {
                Err(CannotKeep("no space left".into()))
            }
            fn nodes(&self) -> Vec<Node> {
                Vec::new()
            }
            fn notices(&self) -> Vec<String> {
                Vec::new()
            }
            fn is_failing(&self) -> bool {
                true
            }
        }
        let bench = Bench::new();
        let full: Arc<dyn Fleet> = Arc::new(Full);
        let (mut peer, mut here) = memory::pair(Limits::default()).await.expect("both greet");
        peer.send(&Letter::Report(Box::new(node(9, at(5)).report)).to_bytes()).await.expect("sent");
        let ended = attend(&mut here, bench.device, &full, &bench.trust, clock).await;
        assert_eq!(ended.to_close(), Close::CannotKeep);
        here.close(ended.to_close());
        assert!(matches!(peer.receive().await, Err(LinkError::Closed(Close::CannotKeep))));
    }

    #[tokio::test(start_paused = true)]
    async fn reports_are_taken_no_faster_than_agreed() {
        let bench = Bench::new();
        let (mut peer, mut here) = memory::pair(Limits::default()).await.expect("both greet");
        let began = Instant::now();
        let talking = async {
            for _ in 0..9 {
                peer.send(&Letter::Report(Box::new(node(9, at(5)).report)).to_bytes()).await.expect("sent");
                peer.receive().await.expect("confirmed");
            }
            peer.close(Close::Done);
        };
        tokio::join!(attend(&mut here, bench.device, &bench.fleet, &bench.trust, clock), talking);
        assert!(began.elapsed() >= REPORT_GAP * 8, "{:?}", began.elapsed());
    }

    #[test]
    fn the_newest_link_of_a_device_has_its_place() {
        let links = Links::default();
        let device = DeviceId::from_bytes([1; 16]);
        let first = links.take(device, false, CancellationToken::new()).expect("the first");
        let second = links.take(device, false, CancellationToken::new()).expect("the newest");
        assert!(first.token.is_cancelled() && !second.token.is_cancelled());
        links.leave(&first);
        assert_eq!(links.0.lock().expect("whole").newest.len(), 1, "an old link does not free the place of a new one");
        links.leave(&second);
        assert!(links.0.lock().expect("whole").newest.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_through_a_broker_takes_no_place_of_a_direct_one_that_came_just_now() {
        let links = Links::default();
        let device = DeviceId::from_bytes([1; 16]);
        let take = |by_broker| links.take(device, by_broker, CancellationToken::new());
        let by_broker = take(true).expect("the first");
        let direct = take(false).expect("it is better");
        assert!(by_broker.token.is_cancelled());
        assert!(take(true).is_none() && !direct.token.is_cancelled());
        tokio::time::advance(CROSSING).await;
        assert!(take(true).is_some() && direct.token.is_cancelled(), "by now the device knows what it wants");
    }

    struct Bench {
        _data: tempfile::TempDir,
        file: std::path::PathBuf,
        device: DeviceId,
        fleet: Arc<dyn Fleet>,
        trust: TrustList,
    }

    impl Bench {
        fn new() -> Self {
            let data = tempfile::tempdir().expect("a folder");
            let identity = Identity::from_seed(&[2; 32]);
            let file = data.path().join("trusted");
            std::fs::write(&file, hearth_link::key_text(&identity.public())).expect("written");
            let trust = TrustList::new(vec![], Some(file.clone())).expect("well formed");
            let fleet: Arc<dyn Fleet> = Arc::new(crate::store::Store::open(data.path(), at(1)).expect("a new store"));
            Self { _data: data, file, device: identity.device(), fleet, trust }
        }
    }

    fn clock() -> Moment {
        at(1000)
    }
}
