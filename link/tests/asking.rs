//! What a session does for whoever asks much and reads nothing, and that a relay neither asks nor is asked.
#![forbid(unsafe_code)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, Moment,
    fleet::{
        chain::Fleet,
        letter::{ANSWER_MAX, Letter},
        link::{Action, Device, Link as ChainLink, Relay, SignedLink},
    },
    sync::{Held, Input, Keeper, Log, News, Proof, ToSend, ToStore},
};
use hearth_link::{
    Connector, Identity, Limits, Link, Listener, Protocol, Receiving, Sending, Trust,
    frame::HEADER,
    session::{self, Ended, Progress, Question, Session, digest_of, letters},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const ASKED: u32 = 60;
/// A wait that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn one_answer_is_in_memory_for_who_asks_and_does_not_read_and_the_others_come_once_it_does() {
    let node = Node::with(|key| Action::AddDevice(device(key)));
    let (mut sending, mut receiving, session) = begin(&node, None).await;
    let mut said = known(&node).len() + HEADER;
    for number in 0..ASKED {
        let ask = Letter::Ask { number, question: b"what do you have?".to_vec() }.encode();
        said += ask.len() + HEADER;
        sending.send(&ask).await.expect("it reads on");
    }
    // Nothing is received here until it has read all that was asked, and begun to answer.
    let made = || node.answers.load(Ordering::SeqCst);
    let has_read = || node.progress.received.load(Ordering::SeqCst) >= said as u64;
    tokio::time::timeout(PATIENCE, async {
        while !has_read() || made() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it reads and answers");
    assert!((1..=2).contains(&made()), "{} answers of {ANSWER_MAX} bytes were made for nobody", made());

    let (mut came, mut full) = (0, 0);
    while came < ASKED {
        if let Letter::Answer { answer, .. } = next(&mut receiving).await {
            came += 1;
            full += usize::from(answer.len() == ANSWER_MAX);
            // One on its way, one being made, and the end of the one that just came may still be unacknowledged there.
            assert!(made() <= full + 3, "{} answers were made, and {full} were read", made());
        }
    }
    assert!((8..=12).contains(&full), "{full}: those that waited, and no more");
    assert_eq!(node.answers.load(Ordering::SeqCst), full);
    drop((sending, receiving));
    session.await.expect("no panic");
}

#[tokio::test]
async fn a_relay_is_asked_nothing() {
    let (asks, questions) = mpsc::channel(1);
    let (_sending, _receiving, _session) = begin(&Node::beside_a_relay(), Some(questions)).await;
    let (answer, answered) = oneshot::channel();
    let _ = asks.send(Question { bytes: b"what do you have?".to_vec(), answer }).await;
    // Before the session ends, because nobody greets it.
    tokio::time::timeout(Duration::from_secs(5), answered).await.expect("told at once").expect_err("nobody answers");
}

#[tokio::test]
async fn a_relay_that_asks_is_out_of_place() {
    let node = Node::beside_a_relay();
    let (mut sending, _receiving, session) = begin(&node, None).await;
    let ask = Letter::Ask { number: 1, question: b"what do you have?".to_vec() };
    sending.send(&ask.encode()).await.expect("it reads");
    let ended = tokio::time::timeout(Duration::from_secs(5), session).await.expect("at once").expect("no panic");
    assert!(matches!(ended, Ended::OutOfPlace), "{ended}");
    assert_eq!(node.answers.load(Ordering::SeqCst), 0);
}

async fn next(receiving: &mut Receiving) -> Letter {
    Letter::decode(&receiving.receive().await.expect("it goes on")).expect("a letter")
}

/// A session with whoever holds the halves, which has greeted.
async fn begin(
    node: &Arc<Node>,
    questions: Option<mpsc::Receiver<Question>>,
) -> (Sending, Receiving, JoinHandle<Ended>) {
    let (theirs, ours) = linked().await;
    let (news, peer, peer_key) = (node.news.subscribe(), ours.device(), ours.peer().to_bytes());
    let session = Session {
        keeper: Arc::clone(node),
        peer,
        peer_key,
        port: 0,
        stop: CancellationToken::new(),
        progress: Arc::clone(&node.progress),
        budget: None,
        questions,
    };
    let session = tokio::spawn(session::run(session, letters(ours), news, Vec::new(), |_| {}));
    let (mut sending, receiving) = letters(theirs);
    sending.send(&known(node)).await.expect("it reads");
    (sending, receiving, session)
}

/// The first letter.
fn known(node: &Node) -> Vec<u8> {
    Letter::Known { port: 0, digest: digest_of(&node.fleet) }.encode()
}

async fn linked() -> (Link, Link) {
    let (server, client) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let trust = Trust::only([client.public()]);
    let loopback: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let ample = || {
        let ample = Duration::from_secs(60);
        Limits { greeting: ample, frame: ample, idle: ample, ..Limits::default() }
    };
    let listener = Listener::bind(loopback, &server, trust, Protocol::ALL, ample()).expect("loopback has ports");
    let address = listener.local_address().expect("bound");
    let connector = Connector::among(client, Trust::only([server.public()]), ample());
    let accepting = tokio::spawn(async move { listener.accept().await.expect("open").welcome().await });
    let link = connector.connect(address).await.expect("welcome");
    (link, accepting.await.expect("no panic").expect("trusted"))
}

/// A node without logs that answers at length.
struct Node {
    fleet: Arc<Fleet>,
    news: broadcast::Sender<hearth_core::sync::Grown>,
    answers: AtomicUsize,
    /// Of the session with it.
    progress: Arc<Progress>,
}

impl Node {
    fn beside_a_relay() -> Arc<Self> {
        let relay = |key| Relay { key, address: "relay.example:7843".into(), region: String::new() };
        Self::with(|key| Action::AddRelay(relay(key)))
    }

    /// The founder of a fleet in which the other end of the link is what `other` makes of its key.
    fn with(other: impl FnOnce([u8; 32]) -> Action) -> Arc<Self> {
        let now = Moment::from_millis(1);
        let first = ChainLink::first(now, "home", device(key(1).verifying_key().to_bytes()), 1).expect("a link");
        let mut fleet = Fleet::begin(SignedLink::by(&key(1), first.clone())).expect("a fleet");
        let second = first.then(now, other(key(2).verifying_key().to_bytes())).expect("a link");
        fleet.handle(SignedLink::by(&key(1), second)).expect("it holds");
        let (news, answers) = (broadcast::channel(10).0, AtomicUsize::new(0));
        Arc::new(Self { fleet: Arc::new(fleet), news, answers, progress: Arc::default() })
    }
}

impl Keeper for Node {
    fn me(&self) -> DeviceId {
        DeviceId::of_key(&key(1).verifying_key())
    }
    fn fleet(&self) -> Option<Arc<Fleet>> {
        Some(Arc::clone(&self.fleet))
    }
    fn merge(&self, _: &Fleet) -> Result<(), String> {
        Ok(())
    }
    fn logs(&self) -> Result<(Vec<Held>, Vec<Proof>), String> {
        Ok((Vec::new(), Vec::new()))
    }
    fn greeted(&self, _: &DeviceId, _: &[(Log, u64)]) {}
    fn keep_keys(&self, _: &[Vec<u8>]) -> Option<Duration> {
        None
    }
    fn store(&self, _: Vec<ToStore>) -> Vec<Input> {
        Vec::new()
    }
    fn read(&self, _: &Log, _: u64, _: u64, _: u64) -> ToSend {
        ToSend::default()
    }
    fn take_receipt(&self, _: &DeviceId, _: &[u8]) {}
    fn answer(&self, _: &DeviceId, _: &[u8]) -> Vec<u8> {
        self.answers.fetch_add(1, Ordering::SeqCst);
        vec![7; ANSWER_MAX]
    }
    fn tell(&self, _: &DeviceId, _: News) {}
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn device(key: [u8; 32]) -> Device {
    let wrap_key = [9; 32];
    Device { key, wrap_key, name: "a device".into(), admin: true, expires: None }
}
