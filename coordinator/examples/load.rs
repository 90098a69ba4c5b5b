//! How much a relay takes: `cargo run --release -p hearth-coordinator --example load -- idle 10000` or `… -- overload 600`.
//!
//! It starts the real program in a folder of its own and plays the devices: real keys, chains, links and sessions. `idle` links so many
//! devices in fleets of sixteen and says what memory the program has then. `overload` lets eight fleets send ten times as fast as they may for
//! so many seconds, and says how its memory went, how often it asked to wait, and whether it has all that it acknowledged after being killed.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it measured")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use hearth_coordinator::relay::{Engine, embedded::Embedded};
use hearth_core::{
    DeviceId, DocumentId, Moment,
    delta::{Kind, SealedChange},
    fleet::{
        chain::Fleet,
        link::{Action, Device, Link, Relay, SignedLink},
    },
    seal::{DocumentKey, Label, Place, Plain},
    segment::{Chain, Draft, Segment},
    sync::{Grown, Held, Input, Keeper, Log, News, Proof, ToSend, ToStore},
};
use hearth_link::{
    Connector, Identity, Limits, Trust, VerifyingKey, key_from_text, key_text,
    session::{self, Progress, Session, letters},
};
use tokio::{
    sync::{Semaphore, broadcast},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Devices of a fleet.
const FLEET: u32 = 16;
/// Bytes of each segment's one body.
const BODY: usize = 64 << 10;
/// Bytes that a fleet may send in a second while it is overloaded.
const RATE: u64 = 256 << 10;
/// Fleets that send too much.
const SENDERS: u32 = 8;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |default: u32| arguments.get(1).map_or(default, |n| n.parse().expect("a number"));
    match arguments.first().map(String::as_str) {
        Some("idle") => idle(number(10_000)).await,
        Some("overload") => overload(Duration::from_secs(number(600).into())).await,
        _ => eprintln!("say `idle DEVICES` or `overload SECONDS`"),
    }
}

/// The program at work.
struct Program {
    child: Child,
    at: SocketAddr,
    key: VerifyingKey,
}

impl Program {
    fn start(data: &Path, extra: &[&str]) -> Self {
        let own = std::env::current_exe().expect("it runs");
        let program = own.parent().and_then(Path::parent).expect("the build's folder").join("hearth-coordinator");
        let mut child = Command::new(program)
            .args(["serve", "--quic", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(extra)
            .env("HEARTH_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("`cargo build --release -p hearth-coordinator` makes it");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says that it is ready");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let text = |key: &str| ready[key].as_str().expect("text").to_owned();
        Self { child, at: text("quic").parse().expect("an address"), key: key_from_text(&text("key")).expect("a key") }
    }

    /// Resident memory now and at its most, in MiB.
    fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
            line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number") / 1_024
        };
        (field("VmRSS"), field("VmHWM"))
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

fn key(n: u32) -> SigningKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

/// A fleet of devices `from..from + count` that uses this relay.
fn fleet(from: u32, count: u32, relay: &VerifyingKey) -> Arc<Fleet> {
    let now = hearth_coordinator::serve::now();
    let device = |n: u32| Device {
        key: key(n).verifying_key().to_bytes(),
        wrap_key: [9; 32],
        name: format!("device {n}"),
        admin: n == from,
        expires: None,
    };
    let sign = |link: &Link| SignedLink::by(&key(from), link.clone());
    let mut link = Link::first(now, "load", device(from), 1).expect("a link");
    let mut fleet = Fleet::begin(sign(&link)).expect("a fleet");
    let place = Relay { key: relay.to_bytes(), address: "127.0.0.1:7843".into(), region: String::new() };
    let actions = (from + 1..from + count).map(|n| Action::AddDevice(device(n)));
    for action in actions.chain([Action::AddRelay(place)]) {
        link = link.then(now, action).expect("a link");
        fleet.handle(sign(&link)).expect("it holds");
    }
    Arc::new(fleet)
}

/// A device that holds nothing but what it makes up.
struct Player {
    key: SigningKey,
    fleet: Arc<Fleet>,
    /// Where its log is right before each of its segments, and its end.
    log: Mutex<Vec<Chain>>,
    news: broadcast::Sender<Grown>,
    secret: DocumentKey,
}

struct Noise(Vec<u8>);

impl Plain for Noise {
    fn plain(&self) -> &[u8] {
        &self.0
    }
}

impl Player {
    fn new(n: u32, fleet: Arc<Fleet>) -> Self {
        let key = key(n);
        let log = Mutex::new(vec![Chain::begin(key.verifying_key().to_bytes(), 1)]);
        Self { key, fleet, log, news: broadcast::channel(4).0, secret: DocumentKey::from_entropy([1; 32]) }
    }

    fn log(&self) -> Log {
        Log { author: DeviceId::of_key(&self.key.verifying_key()), incarnation: 1 }
    }

    /// How many segments it has written.
    fn written(&self) -> u64 {
        self.log.lock().expect("whole").len() as u64 - 1
    }

    /// The segment that follows `chain`; the same each time.
    fn segment(&self, chain: &Chain) -> Segment {
        let document = DocumentId::from_bytes([5; 16]);
        let mut draft = Draft::after(chain.clone());
        let place = Place { author: self.log().author, incarnation: 1, seq: draft.next_seq(), part: 0 };
        let label = Label { space: self.fleet.id().space(), document, kind: Kind::Embedding };
        let body = self.secret.seal(place, label, &Noise(vec![3; BODY]));
        draft.push(SealedChange { kind: Kind::Embedding, document, epoch: 1, body });
        draft.close(&self.key, *self.fleet.id().as_bytes(), Moment::from_millis(1))
    }

    fn write(&self) {
        let mut log = self.log.lock().expect("whole");
        let segment = self.segment(log.last().expect("it begins with one"));
        let chain = Chain::right_after(&segment);
        log.push(chain.clone());
        // Nobody listens before it is linked.
        let _ = self.news.send(Grown::Log(Held { log: self.log(), chain, residency: 0 }));
    }
}

impl Keeper for Player {
    fn me(&self) -> DeviceId {
        self.log().author
    }
    fn fleet(&self) -> Option<Arc<Fleet>> {
        Some(Arc::clone(&self.fleet))
    }
    fn merge(&self, _: &Fleet) -> Result<(), String> {
        Ok(())
    }
    fn logs(&self) -> Result<(Vec<Held>, Vec<Proof>), String> {
        let end = self.log.lock().expect("whole").last().cloned().filter(|chain| chain.number > 0);
        Ok((end.map(|chain| Held { log: self.log(), chain, residency: 0 }).into_iter().collect(), Vec::new()))
    }
    fn greeted(&self, _: &DeviceId, _: &[(Log, u64)]) {}
    fn keep_keys(&self, _: &[Vec<u8>]) -> Option<Duration> {
        None
    }
    fn store(&self, orders: Vec<ToStore>) -> Vec<Input> {
        orders.into_iter().map(|order| Input::Stored(order.at)).collect()
    }
    fn read(&self, _: &Log, from: u64, to: u64, budget: u64) -> ToSend {
        let small = |n: u64| usize::try_from(n).expect("a small number");
        let chains: Vec<Chain> = {
            let log = self.log.lock().expect("whole");
            log[small(from)..small(to).min(log.len() - 1)].to_vec()
        };
        let most = (small(budget) / (BODY + 1_024)).max(1);
        let segments = chains.iter().take(most).map(|chain| self.segment(chain).encode().into()).collect();
        ToSend { keys: Vec::new(), segments }
    }
    fn take_receipt(&self, _: &DeviceId, _: &[u8]) {}
    fn tell(&self, _: &DeviceId, _: News) {}
}

/// Links a device to the relay; the answer is why the link ended.
async fn play(player: Arc<Player>, to: (SocketAddr, VerifyingKey), progress: Arc<Progress>) -> String {
    let (at, relay) = to;
    let identity = Identity::from_seed(&player.key.to_bytes());
    let link = match Connector::among(identity, Trust::only([relay]), Limits::default()).connect(at).await {
        Ok(link) => link,
        Err(error) => return error.to_string(),
    };
    let news = player.news.subscribe();
    let session = Session {
        keeper: player,
        peer: link.device(),
        peer_key: relay.to_bytes(),
        port: 0,
        stop: CancellationToken::new(),
        progress,
        budget: None,
        questions: None,
    };
    session::run(session, letters(link), news, Vec::new(), |_| {}).await.to_string()
}

/// A file of the keys of these devices.
fn trusted(data: &Path, devices: impl Iterator<Item = u32>) -> String {
    let mut list = String::new();
    for n in devices {
        writeln!(list, "{}", key_text(&key(n).verifying_key())).expect("memory takes it");
    }
    let path = data.join("trusted");
    std::fs::write(&path, list).expect("written");
    path.to_str().expect("text").to_owned()
}

fn is_open(progress: &Progress) -> bool {
    progress.waiting.load(Ordering::SeqCst) != u64::MAX
}

async fn idle(devices: u32) {
    let data = tempfile::tempdir().expect("a folder");
    let list = trusted(data.path(), (0..devices).step_by(FLEET as usize));
    let program = Program::start(data.path(), &["--trust-file", &list]);
    let (before, _) = program.memory();
    let few = Arc::new(Semaphore::new(16));
    let (mut players, mut all) = (JoinSet::new(), Vec::new());
    let begun = Instant::now();
    for from in (0..devices).step_by(FLEET as usize) {
        let count = FLEET.min(devices - from);
        let fleet = fleet(from, count, &program.key);
        for n in from..from + count {
            let progress = Arc::<Progress>::default();
            all.push(Arc::clone(&progress));
            let permit = Arc::clone(&few).acquire_owned().await.expect("open");
            let player = Arc::new(Player::new(n, Arc::clone(&fleet)));
            let playing = players.spawn(play(player, (program.at, program.key), Arc::clone(&progress)));
            let linking = async move {
                while !is_open(&progress) && !playing.is_finished() {
                    sleep(Duration::from_millis(2)).await;
                }
                drop(permit);
            };
            // The first one introduces the fleet.
            if n == from { linking.await } else { drop(tokio::spawn(linking)) }
        }
    }
    while !all.iter().all(|progress| is_open(progress)) && players.len() == all.len() {
        sleep(Duration::from_millis(100)).await;
        if let Some(ended) = players.try_join_next() {
            eprintln!("a device is not linked: {}", ended.expect("no panic"));
        }
    }
    let linked = begun.elapsed();
    let mut over_time = Vec::new();
    for _ in 0..7 {
        over_time.push(program.memory().0);
        sleep(Duration::from_secs(10)).await;
    }
    while players.try_join_next().is_some() {}
    let (now, most) = program.memory();
    println!(
        "{} devices linked after {:.0} s and idle for 70 s: resident {now} MiB (most {most}, before them {before}), {:.1} KiB a device; every \
         10 s {over_time:?}",
        players.len(),
        linked.as_secs_f64(),
        (now - before) as f64 * 1_024.0 / f64::from(devices),
    );
    program.kill();
}

async fn overload(span: Duration) {
    let data = tempfile::tempdir().expect("a folder");
    let list = trusted(data.path(), 0..SENDERS);
    let program = Program::start(data.path(), &["--trust-file", &list, "--relay-rate", "256KiB"]);
    let (mut sessions, mut senders) = (JoinSet::new(), Vec::new());
    for n in 0..SENDERS {
        let player = Arc::new(Player::new(n, fleet(n, 1, &program.key)));
        let progress = Arc::<Progress>::default();
        senders.push((Arc::clone(&player), Arc::clone(&progress)));
        sessions.spawn(play(player, (program.at, program.key), progress));
    }
    let (begun, mut over_time) = (Instant::now(), Vec::new());
    let mut next = Duration::ZERO;
    while begun.elapsed() < span {
        // Ten times the rate, in steps of a tenth of a second.
        for (player, _) in &senders {
            for _ in 0..RATE / BODY as u64 {
                player.write();
            }
        }
        if begun.elapsed() >= next {
            over_time.push(program.memory().0);
            next += (span / 20).max(Duration::from_secs(1));
        }
        sleep(Duration::from_millis(100)).await;
    }
    let ended = SENDERS as usize - sessions.len();
    let mut acknowledged = BTreeMap::new();
    for (player, progress) in &senders {
        let waiting = progress.waiting.load(Ordering::SeqCst).min(player.written());
        acknowledged.insert(player.log(), player.written() - waiting);
    }
    let asked: u64 = senders.iter().map(|(_, progress)| progress.put_off.load(Ordering::Relaxed)).sum();
    let offered: u64 = senders.iter().map(|(player, _)| player.written()).sum();
    let (_, most) = program.memory();
    program.kill();
    let engine = Embedded::open(data.path()).expect("it opens");
    let mut lost = 0;
    for (player, _) in &senders {
        let held = engine.held(&player.fleet.id()).expect("read");
        let there = held.iter().find(|held| held.log == player.log()).map_or(0, |held| held.chain.number);
        lost += acknowledged[&player.log()].saturating_sub(there);
    }
    let total: u64 = acknowledged.values().sum();
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "{} s of {SENDERS} fleets at ten times their rate: {offered} segments of 64 KiB offered, {total} acknowledged ({:.2} MiB/s, {:.2} \
         allowed and a burst of eight times), asked to wait {asked} times, {ended} sessions ended, {lost} acknowledged and lost after a kill; \
         resident {over_time:?} MiB, most {most}",
        span.as_secs(),
        mebibytes(total as f64 * BODY as f64) / span.as_secs_f64(),
        mebibytes((RATE * u64::from(SENDERS)) as f64),
    );
}
