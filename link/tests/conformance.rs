//! What every way of a link has to do, over QUIC, over MQTT 3.1.1 and 5, and in memory as far as it applies there.
//!
//! A rule is a function; each way runs all of them. What only a broker can do wrong is in `conformance/broker.rs`.
#![forbid(unsafe_code)]

#[path = "conformance/broker.rs"]
mod broker;
#[path = "conformance/mosquitto.rs"]
mod mosquitto;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hearth_link::{
    Close, Connector, FRAME_MAX, Identity, Limits, Link, LinkError, Listener, Mqtt, Pipe, Protocol, Trust,
    VerifyingKey, key_text, memory,
    mqtt::{State, Version},
};
use mosquitto::Mosquitto;

/// How two devices can be linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Quic,
    Mqtt(Version),
}

macro_rules! every_way {
    ($($rule:ident),* $(,)?) => {
        mod over_quic {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Way::Quic).await; })*
        }
        mod over_mqtt_3 {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Way::Mqtt(super::Version::V3)).await; })*
        }
        mod over_mqtt_5 {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Way::Mqtt(super::Version::V5)).await; })*
        }
    };
}

every_way![
    frames_go_both_ways_up_to_the_longest,
    frames_arrive_in_their_order,
    a_reason_reaches_the_other_side_and_nothing_is_sent_after_it,
    each_side_knows_the_other,
    both_ends_know_one_channel_and_no_other_link_has_it,
    long_messages_go_both_ways_at_once,
    what_was_sent_before_the_end_arrives,
    a_message_that_was_given_up_half_way_is_never_delivered,
    a_closer_ends_a_link_while_its_halves_wait,
    a_device_that_is_not_trusted_is_refused_on_both_sides_with_a_sentence,
    a_peer_that_is_not_trusted_here_is_refused,
    a_key_that_is_trusted_no_more_is_refused_at_its_next_handshake,
    a_peer_that_vanishes_is_noticed,
    a_peer_that_takes_nothing_is_given_up,
];

mod in_memory {
    use super::*;

    #[tokio::test]
    async fn frames_go_both_ways_up_to_the_longest() {
        let (here, there) = memory::pair(ample()).await.expect("both greet");
        frames_of_every_length(here, there).await;
    }

    #[tokio::test]
    async fn frames_arrive_in_their_order() {
        let (here, there) = memory::pair(ample()).await.expect("both greet");
        frames_in_order(here, there).await;
    }

    #[tokio::test]
    async fn a_reason_reaches_the_other_side_and_nothing_is_sent_after_it() {
        let (here, there) = memory::pair(ample()).await.expect("both greet");
        a_reason(here, there).await;
    }
}

async fn frames_go_both_ways_up_to_the_longest(way: Way) {
    let (_world, here, there) = linked(way).await;
    frames_of_every_length(here, there).await;
}

async fn frames_of_every_length(mut here: impl Pipe, mut there: impl Pipe) {
    for length in [1, 1025, FRAME_MAX] {
        let (forth, back) = (vec![7; length], vec![8; length]);
        let (sent, sent_back) = tokio::join!(here.send(&forth), there.send(&back));
        sent.and(sent_back).expect("both are there");
        let (received, received_there) = tokio::join!(here.receive(), there.receive());
        assert_eq!((received.expect("sent"), received_there.expect("sent")), (back, forth), "{length}");
    }
}

async fn frames_arrive_in_their_order(way: Way) {
    let (_world, here, there) = linked(way).await;
    frames_in_order(here, there).await;
}

async fn frames_in_order(mut here: impl Pipe, mut there: impl Pipe) {
    const FRAMES: u32 = 1000;
    let sending = async {
        for number in 0..FRAMES {
            here.send(&number.to_be_bytes()).await.expect("taken");
        }
    };
    let receiving = async {
        for number in 0..FRAMES {
            assert_eq!(there.receive().await.expect("sent"), number.to_be_bytes());
        }
    };
    tokio::join!(sending, receiving);
}

async fn a_reason_reaches_the_other_side_and_nothing_is_sent_after_it(way: Way) {
    let (_world, here, there) = linked(way).await;
    a_reason(here, there).await;
}

async fn a_reason(mut here: impl Pipe, mut there: impl Pipe) {
    here.close(Close::Replaced);
    let told = there.receive().await;
    assert!(matches!(told, Err(LinkError::Closed(Close::Replaced))), "{told:?}");
    let refused = there.send(b"more").await;
    assert!(matches!(refused, Err(LinkError::Closed(Close::Replaced) | LinkError::Ended)), "{refused:?}");
    assert!(matches!(here.send(b"more").await, Err(LinkError::Ended)));
    assert!(matches!(here.receive().await, Err(LinkError::Ended)));
}

async fn each_side_knows_the_other(way: Way) {
    let (_world, here, there) = linked(way).await;
    assert_eq!((*here.peer(), *there.peer()), (identity(1).public(), identity(2).public()));
    assert_eq!((here.device(), there.device()), (identity(1).device(), identity(2).device()));
    assert_eq!((here.version(), there.version()), (1, 1));
    assert_eq!(here.remote_address().is_some(), way == Way::Quic, "a broker does not say where a peer is");
}

async fn both_ends_know_one_channel_and_no_other_link_has_it(way: Way) {
    let world = World::new(way, ample()).await;
    let (one, one_there) = world.link().await;
    let (two, two_there) = world.link().await;
    assert_eq!(one.channel(), one_there.channel());
    assert_eq!(two.channel(), two_there.channel());
    assert_ne!(one.channel(), two.channel());
}

async fn long_messages_go_both_ways_at_once(way: Way) {
    let most = 5 << 20;
    let (_world, here, there) = linked(way).await;
    let ((mut send, mut receive), (mut send_back, mut receive_there)) =
        (here.split(most, ample().frame), there.split(most, ample().frame));
    let (forth, back) = (counted(most, 1), counted(most, 2));
    let (sent, sent_back, received, received_there) =
        tokio::join!(send.send(&forth), send_back.send(&back), receive.receive(), receive_there.receive());
    sent.and(sent_back).expect("both read");
    assert!(received.expect("sent") == back && received_there.expect("sent") == forth);
}

async fn what_was_sent_before_the_end_arrives(way: Way) {
    let (_world, here, there) = linked(way).await;
    let ((mut send, _back), (_, mut receive)) =
        (here.split(3 << 20, ample().frame), there.split(3 << 20, ample().frame));
    let message = counted(3 << 20, 3);
    let sending = async {
        send.send(&message).await.expect("taken");
        send.finish().await;
        send.close(Close::Done);
    };
    let (received, ()) = tokio::join!(receive.receive(), sending);
    assert!(received.expect("all of it") == message);
    let end = receive.receive().await;
    assert!(matches!(end, Err(LinkError::Ended | LinkError::Closed(Close::Done))), "{end:?}");
}

async fn a_message_that_was_given_up_half_way_is_never_delivered(way: Way) {
    let (_world, here, there) = linked(way).await;
    let ((mut send, _back), (_, mut receive)) =
        (here.split(8 << 20, ample().frame), there.split(8 << 20, ample().frame));
    let message = vec![7; 8 << 20];
    tokio::select! {
        biased;
        sent = send.send(&message) => panic!("nobody reads, and it was sent: {sent:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert!(matches!(send.send(b"more").await, Err(LinkError::Torn)));
    let (received, ()) = tokio::join!(receive.receive(), async {
        send.finish().await;
        send.close(Close::Done);
    });
    assert!(matches!(received, Err(LinkError::Ended | LinkError::Closed(Close::Done))), "{received:?}");
}

async fn a_closer_ends_a_link_while_its_halves_wait(way: Way) {
    let (_world, here, there) = linked(way).await;
    let ((send, mut receive), (_send_there, mut receive_there)) =
        (here.split(9, ample().frame), there.split(9, ample().frame));
    let closer = send.closer();
    let (end, end_there, ()) =
        tokio::join!(receive.receive(), receive_there.receive(), async { closer.close(Close::ShuttingDown) });
    assert!(matches!(end, Err(LinkError::Ended)), "{end:?}");
    assert!(matches!(end_there, Err(LinkError::Closed(Close::ShuttingDown))), "{end_there:?}");
}

async fn a_device_that_is_not_trusted_is_refused_on_both_sides_with_a_sentence(way: Way) {
    let world = World::trusting(way, ample(), Trust::only([]), Trust::only([identity(1).public()])).await;
    let (refused, there) = world.try_link().await;
    let sentence = format!(
        "the other side does not trust this device's key {}; add it to the trusted keys there",
        key_text(&identity(2).public())
    );
    assert_eq!(refused.expect_err("refused").to_string(), sentence);
    assert!(matches!(there, Err(LinkError::Stranger)), "{there:?}");
}

async fn a_peer_that_is_not_trusted_here_is_refused(way: Way) {
    let world = World::trusting(way, ample(), Trust::only([identity(2).public()]), Trust::only([])).await;
    let (refused, there) = world.try_link().await;
    assert!(matches!(refused, Err(LinkError::Stranger)), "{refused:?}");
    assert!(matches!(there, Err(LinkError::Stranger)), "{there:?}");
}

async fn a_key_that_is_trusted_no_more_is_refused_at_its_next_handshake(way: Way) {
    let trusted = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&trusted);
    let trust = Trust::by(move |_| asked.load(Ordering::SeqCst));
    let world = World::trusting(way, ample(), trust, Trust::only([identity(1).public()])).await;
    let (link, _there) = world.link().await;
    link.finish(Close::Done).await;
    trusted.store(false, Ordering::SeqCst);
    let (refused, _) = world.try_link().await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
}

async fn a_peer_that_vanishes_is_noticed(way: Way) {
    let limits = Limits { idle: Duration::from_secs(4), keep_alive: Duration::from_secs(1), ..ample() };
    // What runs in a runtime of its own can be ended without a farewell.
    let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let elsewhere = elsewhere.expect("a runtime");
    let stage = Stage::new(way);
    let there = stage.there(limits, Trust::only([identity(2).public()]));
    let there = elsewhere.spawn(there).await.expect("no panic");
    let address = there.address();
    let here = stage.here(limits, Trust::only([identity(1).public()])).await;
    elsewhere.spawn(async move {
        let _link = there.accept().await.expect("trusted");
        std::future::pending::<()>().await;
    });
    let mut link = here.connect(address).await.expect("welcome");
    elsewhere.shutdown_background();
    let end = link.receive().await;
    let is_noticed = matches!(end, Err(LinkError::Silent | LinkError::NoAnswer(_) | LinkError::Closed(_)));
    assert!(is_noticed, "{end:?}");
}

async fn a_peer_that_takes_nothing_is_given_up(way: Way) {
    let (_world, here, there) = linked(way).await;
    let (mut send, _receive) = here.split(8 << 20, Duration::from_millis(300));
    assert!(matches!(send.send(&vec![0; 8 << 20]).await, Err(LinkError::Slow)));
    send.close(Close::Slow);
    let (_, mut receive) = there.split(8 << 20, ample().frame);
    let end = receive.receive().await;
    assert!(matches!(end, Err(LinkError::Closed(Close::Slow))), "{end:?}");
}

/// Where two devices can meet.
struct Stage {
    way: Way,
    broker: Option<Arc<Mosquitto>>,
}

impl Stage {
    fn new(way: Way) -> Self {
        let broker = matches!(way, Way::Mqtt(_)).then(|| Arc::new(Mosquitto::start()));
        Self { way, broker }
    }

    /// The device that is called, with the seed 1.
    fn there(&self, limits: Limits, trust: Trust) -> impl Future<Output = Called> + Send + 'static {
        let (way, broker) = (self.way, self.broker.clone());
        async move {
            match (way, broker) {
                (Way::Mqtt(version), Some(broker)) => {
                    Called::Mqtt(at_broker(broker.sealed(version), identity(1), trust, limits).await)
                }
                _ => {
                    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    Called::Quic(
                        Listener::bind(any, &identity(1), trust, Protocol::ALL, limits).expect("loopback has ports"),
                    )
                }
            }
        }
    }

    /// The device that calls, with the seed 2.
    async fn here(&self, limits: Limits, trust: Trust) -> Caller {
        match (self.way, &self.broker) {
            (Way::Mqtt(version), Some(broker)) => {
                Caller::Mqtt(at_broker(broker.sealed(version), identity(2), trust, limits).await)
            }
            _ => Caller::Quic(Connector::among(identity(2), trust, limits).into()),
        }
    }
}

enum Called {
    Quic(Listener),
    Mqtt(Mqtt),
}

impl Called {
    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Quic(listener) => Some(listener.local_address().expect("bound")),
            Self::Mqtt(_) => None,
        }
    }

    async fn accept(&self) -> Result<Link, LinkError> {
        match self {
            Self::Quic(listener) => listener.accept().await.expect("open").welcome().await,
            Self::Mqtt(mqtt) => mqtt.accept().await.expect("open").welcome().await,
        }
    }
}

enum Caller {
    Quic(Box<Connector>),
    Mqtt(Mqtt),
}

impl Caller {
    async fn connect(&self, address: Option<SocketAddr>) -> Result<Link, LinkError> {
        match self {
            Self::Quic(connector) => connector.connect(address.expect("one listens")).await,
            Self::Mqtt(mqtt) => mqtt.connect(&identity(1).public()).await,
        }
    }
}

/// Two devices that can meet.
struct World {
    there: Called,
    here: Caller,
    _stage: Stage,
}

impl World {
    async fn new(way: Way, limits: Limits) -> Self {
        let [one, two] = [1, 2].map(|seed| Trust::only([identity(seed).public()]));
        Self::trusting(way, limits, two, one).await
    }

    async fn trusting(way: Way, limits: Limits, there_trusts: Trust, here_trusts: Trust) -> Self {
        let stage = Stage::new(way);
        let (there, here) = tokio::join!(stage.there(limits, there_trusts), stage.here(limits, here_trusts));
        Self { there, here, _stage: stage }
    }

    async fn try_link(&self) -> (Result<Link, LinkError>, Result<Link, LinkError>) {
        tokio::join!(self.here.connect(self.there.address()), self.there.accept())
    }

    async fn link(&self) -> (Link, Link) {
        let (here, there) = self.try_link().await;
        (here.expect("welcome"), there.expect("trusted"))
    }
}

async fn linked(way: Way) -> (World, Link, Link) {
    let world = World::new(way, ample()).await;
    let (here, there) = world.link().await;
    (world, here, there)
}

/// A device that is connected to its broker.
async fn at_broker(broker: hearth_link::Broker, identity: Identity, trust: Trust, limits: Limits) -> Mqtt {
    let mqtt = Mqtt::open(broker, identity, trust, TAG, limits);
    mqtt.wait_for(|state| matches!(state, State::Connected)).await;
    mqtt
}

/// What the devices of these tests know of each other.
const TAG: [u8; 16] = *b"a fleet of tests";

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn key(seed: u8) -> VerifyingKey {
    identity(seed).public()
}

/// So ample that no limit passes on a slow machine; a test that waits for one to pass sets that one.
fn ample() -> Limits {
    let ample = Duration::from_secs(60);
    Limits { greeting: ample, frame: ample, idle: ample, ..Limits::default() }
}

/// Bytes in which a piece that is missing or doubled shows.
fn counted(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251).to_le_bytes()[at % 2] ^ salt).collect()
}
