//! What a link over QUIC survives on its way: an address that changes under it, and a path that takes short datagrams only.
//!
//! Between client and server stands a relay of datagrams that does either. What is lost by that is sent again by QUIC, so whoever is above
//! sees nothing of it.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, DocumentId, Moment,
    delta::{Kind, SealedChange},
    fleet::{
        chain::Fleet,
        link::{Action, Device, Link as ChainLink, SignedLink},
    },
    seal::Sealed,
    segment::{Chain, Draft},
    sync::{Grown, Held, Input, Keeper, Log, News, Proof, ToSend, ToStore},
};
use hearth_link::{
    Connector, Identity, Limits, Link, Listener, Pipe, Protocol, Trust,
    session::{self, Session, letters},
};
use tokio::{
    net::UdpSocket,
    sync::{broadcast, mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

/// The least that every path takes (RFC 9000 §14), and a little.
const NARROW: usize = 1_280;

/// A way to a server that can change.
struct Path {
    at: SocketAddr,
    /// Longer datagrams are lost.
    most: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    moves: mpsc::Sender<oneshot::Sender<()>>,
}

impl Path {
    async fn to(server: SocketAddr, most: usize) -> Self {
        let front = UdpSocket::bind(loopback()).await.expect("loopback has ports");
        let at = front.local_addr().expect("bound");
        let (moves, mut moving) = mpsc::channel::<oneshot::Sender<()>>(1);
        let (most, lost) = (Arc::new(AtomicUsize::new(most)), Arc::new(AtomicUsize::new(0)));
        let (limit, dropped) = (Arc::clone(&most), Arc::clone(&lost));
        tokio::spawn(async move {
            let mut back = socket_to(server).await;
            let (mut client, mut up, mut down) = (None, vec![0; 65_536], vec![0; 65_536]);
            let passes = |length: usize| {
                let passes = length <= limit.load(Ordering::SeqCst);
                dropped.fetch_add(usize::from(!passes), Ordering::SeqCst);
                passes
            };
            loop {
                tokio::select! {
                    moved = moving.recv() => match moved {
                        Some(moved) => {
                            back = socket_to(server).await;
                            let _ = moved.send(());
                        }
                        None => return,
                    },
                    Ok((length, from)) = front.recv_from(&mut up) => {
                        client = Some(from);
                        if passes(length) {
                            let _ = back.send(&up[..length]).await;
                        }
                    }
                    Ok(length) = back.recv(&mut down) => if let Some(client) = client.filter(|_| passes(length)) {
                        let _ = front.send_to(&down[..length], client).await;
                    },
                }
            }
        });
        Self { at, most, lost, moves }
    }

    /// From now on the client seems to be elsewhere; what was on its way back is lost.
    async fn moves(&self) {
        let (moved, done) = oneshot::channel();
        self.moves.send(moved).await.expect("it runs");
        done.await.expect("it runs");
    }
}

async fn socket_to(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).await.expect("loopback has ports");
    socket.connect(server).await.expect("loopback has a way");
    socket
}

#[tokio::test]
async fn a_link_whose_client_gets_another_address_goes_on_where_it_was() {
    let (path, mut here, mut there) = linked(usize::MAX).await;
    let before = there.remote_address();
    let (frames, wide) = (300_u32, 8 << 10);
    let sending = async {
        for number in 0..frames {
            if number % 100 == 50 {
                path.moves().await;
            }
            here.send(&number.to_be_bytes().repeat(wide / 4)).await.expect("taken");
        }
        here.receive().await.expect("an answer finds the way back")
    };
    let receiving = async {
        for number in 0..frames {
            let frame = there.receive().await.expect("sent");
            assert_eq!(frame, number.to_be_bytes().repeat(wide / 4), "in order, once, whole");
        }
        there.send(b"all").await.expect("taken");
    };
    let (answer, ()) = tokio::join!(sending, receiving);
    assert_eq!(answer, b"all");
    assert_ne!(there.remote_address(), before, "it was seen to move");
}

#[tokio::test]
async fn a_session_whose_device_gets_another_address_brings_everything_once() {
    let (path, here, there) = linked(usize::MAX).await;
    let [writer, reader] = Node::pair();
    writer.write(40);
    let (mut stored, count) = (reader.stored.subscribe(), 80);
    let stop = CancellationToken::new();
    let sessions = [run(&writer, here, &stop), run(&reader, there, &stop)];
    stored.wait_for(|stored| *stored >= 10).await.expect("its node is there");
    path.moves().await;
    stored.wait_for(|stored| *stored >= 25).await.expect("its node is there");
    path.moves().await;
    stored.wait_for(|stored| *stored == 40).await.expect("its node is there");
    writer.write(40);
    stored.wait_for(|stored| *stored == count).await.expect("what is written later comes, too");
    stop.cancel();
    for session in sessions {
        session.await.expect("no panic");
    }
    assert_eq!((reader.copy(), *reader.stored.borrow()), (writer.copy(), count));
}

#[tokio::test]
async fn a_session_comes_to_its_end_where_only_short_datagrams_pass_from_the_start_or_from_some_time_on() {
    for (case, most) in [("from the start", NARROW), ("from some time on", usize::MAX)] {
        let (path, here, there) = linked(most).await;
        let [writer, reader] = Node::pair();
        writer.write(10);
        let mut stored = reader.stored.subscribe();
        let stop = CancellationToken::new();
        let sessions = [run(&writer, here, &stop), run(&reader, there, &stop)];
        stored.wait_for(|stored| *stored == 10).await.expect("its node is there");
        path.most.store(NARROW, Ordering::SeqCst);
        writer.write(30);
        stored.wait_for(|stored| *stored == 40).await.expect("its node is there");
        stop.cancel();
        for session in sessions {
            session.await.expect("no panic");
        }
        assert_eq!(reader.copy(), writer.copy(), "{case}");
        assert!(path.lost.load(Ordering::SeqCst) > 0, "{case}: longer ones were tried");
    }
}

/// A link over a path that takes datagrams of so many bytes.
async fn linked(most: usize) -> (Path, Link, Link) {
    let (server, client) = (identity(1), identity(2));
    let trust = Trust::only([client.public()]);
    let listener = Listener::bind(loopback(), &server, trust, Protocol::ALL, ample()).expect("loopback has ports");
    let path = Path::to(listener.local_address().expect("bound"), most).await;
    let connector = Connector::among(client, Trust::only([server.public()]), ample());
    let accepting = tokio::spawn(async move { listener.accept().await.expect("open").welcome().await });
    let link = connector.connect(path.at).await.expect("welcome");
    (path, link, accepting.await.expect("no panic").expect("trusted"))
}

fn run(node: &Arc<Node>, link: Link, stop: &CancellationToken) -> tokio::task::JoinHandle<session::Ended> {
    let (news, peer, peer_key) = (node.news.subscribe(), link.device(), link.peer().to_bytes());
    let session = Session {
        keeper: Arc::clone(node),
        peer,
        peer_key,
        port: 0,
        stop: stop.clone(),
        progress: Arc::default(),
        budget: None,
        questions: None,
    };
    tokio::spawn(session::run(session, letters(link), news, Vec::new(), |_| {}))
}

/// A segment, and its log right after it.
type Stored = (Held, Arc<[u8]>);

/// A node whose disk is memory.
struct Node {
    key: SigningKey,
    fleet: Arc<Fleet>,
    logs: Mutex<BTreeMap<Log, Vec<Stored>>>,
    news: broadcast::Sender<Grown>,
    /// How many segments it was given to store, those that it had included.
    stored: watch::Sender<usize>,
}

impl Node {
    /// Two nodes of one fleet, with the keys of the two ends of a link.
    fn pair() -> [Arc<Self>; 2] {
        let now = Moment::from_millis(1);
        let device = |seed: u8| Device {
            key: key(seed).verifying_key().to_bytes(),
            wrap_key: [seed; 32],
            name: format!("device {seed}"),
            admin: seed == 2,
            expires: None,
        };
        let first = ChainLink::first(now, "home", device(2), 1).expect("a link");
        let mut fleet = Fleet::begin(SignedLink::by(&key(2), first.clone())).expect("a fleet");
        let second = first.then(now, Action::AddDevice(device(1))).expect("a link");
        fleet.handle(SignedLink::by(&key(2), second)).expect("it holds");
        let fleet = Arc::new(fleet);
        [2, 1].map(|seed| {
            Arc::new(Self {
                key: key(seed),
                fleet: Arc::clone(&fleet),
                logs: Mutex::default(),
                news: broadcast::channel(100).0,
                stored: watch::channel(0).0,
            })
        })
    }

    /// Appends so many segments of 64 KiB to its own log.
    fn write(&self, count: usize) {
        let log = Log { author: self.me(), incarnation: 1 };
        for _ in 0..count {
            let mut logs = self.logs.lock().expect("whole");
            let own = logs.entry(log).or_default();
            let begin = || Chain::begin(self.key.verifying_key().to_bytes(), 1);
            let mut chain = own.last().map_or_else(begin, |(held, _)| held.chain.clone());
            let body = vec![u8::try_from(own.len() % 251).expect("small"); 64 << 10];
            let mut draft = Draft::after(chain.clone());
            let (kind, document) = (Kind::Embedding, DocumentId::from_bytes([5; 16]));
            draft.push(SealedChange { kind, document, epoch: 1, body: Sealed::from_bytes(body) });
            let segment = draft.close(&self.key, *self.fleet.id().as_bytes(), Moment::from_millis(1));
            chain.follow(&segment).expect("it continues");
            let held = Held { log, chain, residency: 0 };
            own.push((held.clone(), segment.encode().into()));
            // Nobody listens before it is linked.
            let _ = self.news.send(Grown::Log(held));
        }
    }

    /// All that it has.
    fn copy(&self) -> Vec<Arc<[u8]>> {
        self.logs.lock().expect("whole").values().flatten().map(|(_, bytes)| Arc::clone(bytes)).collect()
    }
}

impl Keeper for Node {
    fn me(&self) -> DeviceId {
        DeviceId::of_key(&self.key.verifying_key())
    }
    fn fleet(&self) -> Option<Arc<Fleet>> {
        Some(Arc::clone(&self.fleet))
    }
    fn merge(&self, _: &Fleet) -> Result<(), String> {
        Ok(())
    }
    fn logs(&self) -> Result<(Vec<Held>, Vec<Proof>), String> {
        let logs = self.logs.lock().expect("whole");
        Ok((logs.values().filter_map(|log| Some(log.last()?.0.clone())).collect(), Vec::new()))
    }
    fn greeted(&self, _: &DeviceId, _: &[(Log, u64)]) {}
    fn keep_keys(&self, _: &[Vec<u8>]) -> Option<Duration> {
        None
    }
    fn store(&self, orders: Vec<ToStore>) -> Vec<Input> {
        let mut logs = self.logs.lock().expect("whole");
        for order in &orders {
            logs.entry(order.at.log).or_default().push((order.at.clone(), Arc::clone(&order.bytes)));
        }
        self.stored.send_modify(|stored| *stored += orders.len());
        orders.into_iter().map(|order| Input::Stored(order.at)).collect()
    }
    fn read(&self, log: &Log, from: u64, to: u64, _: u64) -> ToSend {
        let (from, count) = (usize::try_from(from).expect("small"), usize::try_from(to - from).expect("small"));
        let logs = self.logs.lock().expect("whole");
        let segments = logs.get(log).into_iter().flatten().skip(from).take(count.min(8));
        ToSend { keys: Vec::new(), segments: segments.map(|(_, bytes)| Arc::clone(bytes)).collect() }
    }
    fn take_receipt(&self, _: &DeviceId, _: &[u8]) {}
    fn tell(&self, _: &DeviceId, told: News) {
        assert!(matches!(told, News::Clock(_)), "{told:?}");
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// So ample that no limit passes on a slow machine.
fn ample() -> Limits {
    let ample = Duration::from_secs(60);
    Limits { greeting: ample, frame: ample, idle: ample, ..Limits::default() }
}
