//! What this device has to do with others: it tells the coordinator that it is well, and shares with the other nodes of its fleet (`peers`).
//!
//! [`run`] holds one link, sends a [`StatusReport`] each interval, and connects again by itself for as long as the daemon lives. It sends
//! health and counts and nothing else; it never holds up the daemon, and the daemon works the same without it.

mod asking;
mod beacon;
pub(crate) mod broker;
pub(crate) mod joining;
mod keeper;
pub(crate) mod peers;
pub(crate) mod recovering;
pub mod sampler;
pub(crate) mod waking;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use hearth_core::{
    Moment,
    status::{Capture, Counters, Letter, NotALetter, StatusReport},
};
use hearth_link::{
    Broker, Close, Connector, Identity, Limits, Link, LinkError, Mqtt, Pipe, Protocol, Trust, VerifyingKey,
    mqtt::tag_of_coordinator,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::node::lock;
use broker::{Neither, direct_first, until_direct};
pub use sampler::Sampler;

/// What the daemon is busy with, as far as the fleet may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doing {
    /// How much it holds and how much waits.
    pub counters: Counters,
    /// Whether it captures.
    pub capture: Capture,
}

/// Asks the egress gate for permission to call the coordinator; the error is the sentence that people are shown.
pub type PermitEgress = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What [`run`] needs to know.
pub struct FleetConfig {
    /// Where the coordinator listens, as `host:port`; a name is looked up anew at each attempt.
    pub coordinator: String,
    /// The broker through which the coordinator is reached that cannot be reached directly.
    pub broker: Option<Broker>,
    /// The coordinator's public key, pinned.
    pub coordinator_key: VerifyingKey,
    /// This device's own key.
    pub identity: Identity,
    /// How often to report; at least [`EVERY_MIN`].
    pub every: Duration,
    /// Asked before each attempt to connect, before the coordinator's name is looked up.
    pub permit_egress: PermitEgress,
    /// Asked for each report; it must answer at once.
    pub doing: Box<dyn Fn() -> Doing + Send + Sync>,
    /// Told how things stand, for `hearth status`.
    pub standing: watch::Sender<Standing>,
    /// Ends [`run`].
    pub shutdown: CancellationToken,
}

impl FleetConfig {
    fn own(&self) -> Identity {
        Identity::from_seed(&self.identity.signing_key().to_bytes())
    }
}

/// Reports are never sent more often than this.
pub const EVERY_MIN: Duration = Duration::from_secs(1);

/// How often a device reports unless it is told otherwise.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(30);

/// How this device and the coordinator stand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// No attempt has ended yet.
    #[default]
    Connecting,
    /// The coordinator has written down a report.
    Linked {
        /// When the last one was kept, by this device's clock.
        kept_at: Moment,
        /// Whether an MQTT broker stands between.
        by_broker: bool,
    },
    /// There is no link.
    Waiting {
        /// Why, as a sentence.
        reason: String,
        /// When it will be tried again.
        retry_at: Moment,
    },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting to the coordinator"),
            Self::Linked { by_broker: false, .. } => f.write_str("linked to the coordinator"),
            Self::Linked { by_broker: true, .. } => f.write_str("linked to the coordinator through the broker"),
            Self::Waiting { reason, .. } => f.write_str(reason),
        }
    }
}

/// Why a conversation with the coordinator ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum Parting {
    /// The egress gate said no.
    #[error("reaching the coordinator is not permitted: {0}")]
    NotPermitted(String),
    /// The name has no address.
    #[error("cannot find an address for the coordinator `{0}`; write it as `host:port` and check the name")]
    NoAddress(String),
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What came over the link is not a letter.
    #[error(transparent)]
    Letter(#[from] NotALetter),
    /// A letter came that nobody had asked for.
    #[error("the coordinator sent something that was not asked for; are both programs of the same release?")]
    Unasked,
    /// Neither way to it could be gone.
    #[error(transparent)]
    Neither(Box<Neither<Self>>),
    /// A report was not confirmed.
    #[error("the coordinator did not confirm a report in time; is its disk full or its machine overloaded?")]
    NoReceipt,
}

/// Reports to the coordinator until `shutdown` is cancelled. Every failure is a reason in `standing`, a line in the log, and another try.
pub async fn run(config: FleetConfig) {
    let FleetConfig { every, doing, standing, shutdown, .. } = &config;
    let every = (*every).max(EVERY_MIN);
    let ways = Ways::new(&config);
    let mut sampler = Sampler::new();
    let mut failures = 0;
    loop {
        let mut speaker = Speaker { every, doing: &**doing, standing, failures: &mut failures, by_broker: false };
        let attempt = attempt(&ways, &mut sampler, &mut speaker, shutdown);
        let Some(parting) = attempt.instrument(info_span!("report_status")).await else { return };
        let wait = backoff(failures, entropy());
        failures = failures.saturating_add(1);
        let reason = parting.to_string();
        if failures == 1 {
            warn!(reason, retry_seconds = wait.as_secs(), "no link to the coordinator");
        } else {
            debug!(reason, failures, retry_seconds = wait.as_secs(), "still no link to the coordinator");
        }
        standing.send_replace(Standing::Waiting { reason, retry_at: now() + wait });
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// The longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// How long to wait after this many failures: doubling from two seconds, and somewhere in the upper half of that, so that a fleet whose
/// coordinator comes back does not return in one instant.
fn backoff(failures: u32, entropy: u32) -> Duration {
    let whole = Duration::from_secs(2).saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX);
    let half = whole / 2;
    half + half.mul_f64(f64::from(entropy) / f64::from(u32::MAX))
}

/// How long the coordinator may take to write a report down.
const RECEIPT_MAX: Duration = Duration::from_secs(30);

/// What one conversation takes along.
struct Speaker<'a> {
    every: Duration,
    doing: &'a (dyn Fn() -> Doing + Send + Sync),
    standing: &'a watch::Sender<Standing>,
    failures: &'a mut u32,
    /// Whether a broker stands between.
    by_broker: bool,
}

/// The ways to the coordinator.
struct Ways<'a> {
    config: &'a FleetConfig,
    connector: Connector,
    /// What is used of the broker while there is no direct link.
    mqtt: Mutex<Option<Arc<Mqtt>>>,
}

impl<'a> Ways<'a> {
    fn new(config: &'a FleetConfig) -> Self {
        let connector = Connector::new(config.own(), config.coordinator_key, Limits::default());
        Self { config, connector, mqtt: Mutex::default() }
    }

    async fn directly(&self) -> Result<Link, Parting> {
        let address = &self.config.coordinator;
        (self.config.permit_egress)().map_err(Parting::NotPermitted)?;
        let at = address_of(address).await.ok_or_else(|| Parting::NoAddress(address.clone()))?;
        Ok(self.connector.connect(at).await?)
    }

    async fn through(&self, broker: &Broker) -> Result<Link, Parting> {
        let key = self.config.coordinator_key;
        let open = || {
            let tag = tag_of_coordinator(&key);
            Arc::new(Mqtt::open(broker.clone(), self.config.own(), Trust::only([]), tag, Limits::default()))
        };
        let mqtt = Arc::clone(lock(&self.mqtt).get_or_insert_with(open));
        Ok(mqtt.call(&key, Protocol::Report).await?)
    }

    /// Opens a link, a direct one if that can be had.
    async fn open(&self) -> Result<Link, Parting> {
        let Some(broker) = &self.config.broker else { return self.directly().await };
        let opened = direct_first(self.directly(), self.through(broker)).await;
        let link = opened.map_err(|ways| Parting::Neither(Box::new(ways)))?;
        if !link.is_by_broker() {
            lock(&self.mqtt).take();
        }
        Ok(link)
    }
}

/// Opens a link and uses it, and a better one in its place, until that ends; `None` when that was at our own wish.
async fn attempt(
    ways: &Ways<'_>,
    sampler: &mut Sampler,
    speaker: &mut Speaker<'_>,
    shutdown: &CancellationToken,
) -> Option<Parting> {
    let opened = tokio::select! {
        () = shutdown.cancelled() => return None,
        opened = ways.open() => opened,
    };
    let mut link = match opened {
        Ok(link) => link,
        Err(parting) => return Some(parting),
    };
    let parting = loop {
        speaker.by_broker = link.is_by_broker();
        info!(version = link.version(), by_broker = speaker.by_broker, "linked to the coordinator");
        let better = tokio::select! {
            () = shutdown.cancelled() => break None,
            parting = converse(&mut link, sampler, speaker) => break Some(parting),
            better = until_direct(|| ways.directly()), if link.is_by_broker() => better,
        };
        std::mem::replace(&mut link, better).finish(Close::Done).await;
        lock(&ways.mqtt).take();
    };
    let reason = match parting {
        Some(Parting::Letter(_) | Parting::Unasked) => Close::Garbage,
        Some(Parting::NoReceipt) => Close::Slow,
        _ => Close::Done,
    };
    link.finish(reason).await;
    parting
}

async fn address_of(coordinator: &str) -> Option<SocketAddr> {
    match coordinator.parse() {
        Ok(address) => Some(address),
        Err(_) => tokio::net::lookup_host(coordinator).await.ok()?.next(),
    }
}

/// Sends a report, has it confirmed, waits, and so on; returns when that is no longer possible.
async fn converse(pipe: &mut impl Pipe, sampler: &mut Sampler, speaker: &mut Speaker<'_>) -> Parting {
    loop {
        let next = Instant::now() + speaker.every;
        let report = sampler.sample((speaker.doing)(), speaker.every, now()).await;
        match timeout(RECEIPT_MAX, deliver(pipe, report)).await {
            Ok(Ok(())) => {}
            Ok(Err(parting)) => return parting,
            Err(_) => return Parting::NoReceipt,
        }
        *speaker.failures = 0;
        speaker.standing.send_replace(Standing::Linked { kept_at: now(), by_broker: speaker.by_broker });
        // Listening meanwhile is how a link that ends is noticed before the next report is due.
        tokio::select! {
            () = sleep_until(next) => {}
            received = pipe.receive() => return match received {
                Ok(_) => Parting::Unasked,
                Err(error) => error.into(),
            },
        }
    }
}

async fn deliver(pipe: &mut impl Pipe, report: StatusReport) -> Result<(), Parting> {
    let sent_at = report.sent_at;
    pipe.send(&Letter::Report(Box::new(report)).to_bytes()).await?;
    match Letter::from_bytes(&pipe.receive().await?)? {
        Letter::Receipt(receipt) if receipt.sent_at == sent_at => Ok(()),
        _ => Err(Parting::Unasked),
    }
}

fn now() -> Moment {
    // A clock before 1970 counts as 1970: the coordinator goes by its own.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment::START + since
}

/// Anything will do: it only spreads the attempts of a fleet.
fn entropy() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, UdpSocket},
        sync::atomic::{AtomicU32, Ordering},
    };

    use hearth_core::status::Receipt;
    use hearth_link::{Listener, memory};
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_go_out_each_interval_and_say_what_the_daemon_says() {
        let (mut device, mut coordinator) = memory::pair(Limits::default()).await.expect("both greet");
        let (standing, seen) = watch::channel(Standing::Connecting);
        let (mut sampler, mut failures) = (Sampler::new(), 7);
        let mut speaker = Speaker {
            every: EVERY_DEFAULT,
            doing: &doing,
            standing: &standing,
            failures: &mut failures,
            by_broker: false,
        };
        let (mut reports, mut times) = (Vec::new(), Vec::new());
        let reading = async {
            for _ in 0..3 {
                let report = report(&mut coordinator).await;
                times.push(Instant::now());
                confirm(&mut coordinator, report.sent_at).await;
                reports.push(report);
            }
            coordinator.close(Close::ShuttingDown);
        };
        let (parting, ()) = tokio::join!(converse(&mut device, &mut sampler, &mut speaker), reading);
        assert!(matches!(parting, Parting::Link(LinkError::Closed(Close::ShuttingDown))), "{parting:?}");
        assert!(matches!(*seen.borrow(), Standing::Linked { .. }));
        assert_eq!(failures, 0);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= EVERY_DEFAULT), "{times:?}");
        for report in &reports {
            assert_eq!((report.counters, report.capture), (doing().counters, doing().capture));
            assert_eq!(report.report_every_seconds, 30);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_does_not_keep_its_part_is_left() {
        let wrong = Letter::Receipt(Receipt { sent_at: Moment::START, kept_at: Moment::START }).to_bytes();
        for (case, answer, expected) in [
            ("silence", None, "did not confirm"),
            ("a receipt for something else", Some(wrong), "not asked for"),
            ("noise", Some(vec![0xFF; 3]), "not a letter of hearth"),
        ] {
            let (mut device, mut coordinator) = memory::pair(Limits::default()).await.expect("both greet");
            let (standing, _seen) = watch::channel(Standing::Connecting);
            let (mut sampler, mut failures) = (Sampler::new(), 0);
            let mut speaker = Speaker {
                every: EVERY_DEFAULT,
                doing: &doing,
                standing: &standing,
                failures: &mut failures,
                by_broker: false,
            };
            let answering = async {
                report(&mut coordinator).await;
                if let Some(answer) = &answer {
                    coordinator.send(answer).await.expect("sent");
                }
            };
            let (parting, ()) = tokio::join!(converse(&mut device, &mut sampler, &mut speaker), answering);
            assert!(parting.to_string().contains(expected), "{case}: {parting}");
        }
    }

    #[tokio::test]
    async fn nothing_leaves_when_the_gate_says_no() {
        let listening = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let mut fleet = Fleet::new(listening.local_addr().expect("bound"), identity(1).public());
        fleet.config.permit_egress = Box::new(|| Err("egress to the fleet is switched off".into()));
        let reason = fleet.until(|standing| matches!(standing, Standing::Waiting { .. })).await.to_string();
        assert!(reason.contains("is not permitted: egress to the fleet is switched off"), "{reason}");
        listening.set_nonblocking(true).expect("a socket");
        assert!(listening.recv(&mut [0; 2000]).is_err(), "a packet was sent");
    }

    #[tokio::test]
    async fn a_device_links_again_after_the_coordinator_was_away() {
        let listener = listening((Ipv4Addr::LOCALHOST, 0).into());
        let at = listener.local_address().expect("bound");
        let mut fleet = Fleet::new(at, identity(1).public());
        let permitted = Arc::new(AtomicU32::new(0));
        let asked = Arc::clone(&permitted);
        fleet.config.permit_egress = Box::new(move || {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let mut running = fleet.start();
        let mut link = listener.accept().await.expect("open").welcome().await.expect("trusted");
        let first = report(&mut link).await;
        confirm(&mut link, first.sent_at).await;
        running.until(|standing| matches!(standing, Standing::Linked { .. })).await;
        listener.shut(Close::ShuttingDown).await;
        let reason = running.until(|standing| matches!(standing, Standing::Waiting { .. })).await.to_string();
        assert_eq!(reason, Close::ShuttingDown.to_string());
        drop((link, listener));

        // The old socket is let go by a task of its own.
        let listener = loop {
            match Listener::bind(
                at,
                &identity(1),
                Trust::only([identity(2).public()]),
                Protocol::ALL,
                Limits::default(),
            ) {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut link = listener.accept().await.expect("open").welcome().await.expect("trusted");
        let again = report(&mut link).await;
        confirm(&mut link, again.sent_at).await;
        running.until(|standing| matches!(standing, Standing::Linked { .. })).await;
        assert!(again.sent_at >= first.sent_at && permitted.load(Ordering::SeqCst) >= 2);

        running.shutdown.cancel();
        assert!(matches!(link.receive().await, Err(LinkError::Closed(Close::Done))), "it says good-bye");
        running.task.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_wrong_pin_and_a_wrong_name_are_sentences() {
        let listener = listening((Ipv4Addr::LOCALHOST, 0).into());
        let at = listener.local_address().expect("bound");
        tokio::spawn(async move {
            while let Some(knock) = listener.accept().await {
                drop(knock.welcome().await);
            }
        });
        let wrong_pin = Fleet::new(at, identity(8).public());
        let reason = wrong_pin.until(|standing| matches!(standing, Standing::Waiting { .. })).await.to_string();
        assert!(reason.contains("a key that is not trusted here"), "{reason}");
        let mut wrong_name = Fleet::new(at, identity(1).public());
        wrong_name.config.coordinator = "no port".into();
        let reason = wrong_name.until(|standing| matches!(standing, Standing::Waiting { .. })).await.to_string();
        assert!(reason.contains("write it as `host:port`"), "{reason}");
    }

    #[tokio::test]
    async fn an_end_is_an_end_even_while_nobody_answers() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let running = Fleet::new(silent.local_addr().expect("bound"), identity(1).public()).start();
        running.shutdown.cancel();
        running.task.await.expect("no panic");
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        for (failures, entropy, seconds) in [
            (0, 0, 1),
            (0, u32::MAX, 2),
            (1, u32::MAX, 4),
            (4, 0, 16),
            (9, 0, 150),
            (9, u32::MAX, 300),
            (u32::MAX, u32::MAX, 300),
        ] {
            assert_eq!(backoff(failures, entropy), Duration::from_secs(seconds), "{failures} failures");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_zero_and_never_beyond_its_bound(failures: u32, entropy: u32) {
            prop_assert!((Duration::from_secs(1)..=BACKOFF_MAX).contains(&backoff(failures, entropy)));
        }
    }

    struct Fleet {
        config: FleetConfig,
        seen: watch::Receiver<Standing>,
    }

    struct Running {
        seen: watch::Receiver<Standing>,
        shutdown: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Fleet {
        fn new(coordinator: SocketAddr, coordinator_key: VerifyingKey) -> Self {
            let (standing, seen) = watch::channel(Standing::Connecting);
            let config = FleetConfig {
                coordinator: coordinator.to_string(),
                coordinator_key,
                identity: identity(2),
                every: Duration::from_secs(600),
                permit_egress: Box::new(|| Ok(())),
                broker: None,
                doing: Box::new(doing),
                standing,
                shutdown: CancellationToken::new(),
            };
            Self { config, seen }
        }

        fn start(self) -> Running {
            let shutdown = self.config.shutdown.clone();
            Running { seen: self.seen, shutdown, task: tokio::spawn(run(self.config)) }
        }

        /// Runs until things stand like this, and says how they stand.
        async fn until(self, like: impl FnMut(&Standing) -> bool) -> Standing {
            let mut running = self.start();
            let standing = running.until(like).await;
            running.shutdown.cancel();
            running.task.await.expect("no panic");
            standing
        }
    }

    impl Running {
        async fn until(&mut self, like: impl FnMut(&Standing) -> bool) -> Standing {
            self.seen.wait_for(like).await.expect("it runs").clone()
        }
    }

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    fn doing() -> Doing {
        Doing { counters: Counters { items: 3, chunks: 7, jobs_pending: 1 }, capture: Capture::Paused }
    }

    fn listening(at: SocketAddr) -> Listener {
        let trust = Trust::only([identity(2).public()]);
        Listener::bind(at, &identity(1), trust, Protocol::ALL, Limits::default()).expect("loopback has ports")
    }

    async fn report(pipe: &mut impl Pipe) -> StatusReport {
        match Letter::from_bytes(&pipe.receive().await.expect("a report")).expect("a letter") {
            Letter::Report(report) => *report,
            other => panic!("{other:?} is not a report"),
        }
    }

    async fn confirm(pipe: &mut impl Pipe, sent_at: Moment) {
        let receipt = Letter::Receipt(Receipt { sent_at, kept_at: now() });
        pipe.send(&receipt.to_bytes()).await.expect("sent");
    }
}
