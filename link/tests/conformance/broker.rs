//! What a broker can do wrong, and what it learns.

use std::time::Duration;

use hearth_link::{
    BrokerError, Close, FRAME_MAX, Limits, Link, LinkError, Mqtt, Pipe, Protocol, Trust, key_text,
    mqtt::{Mailbox, Secret, State, Tls, Version},
};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::sync::watch;

use super::{
    TAG, Way, World, ample, at_broker, identity, key,
    mosquitto::{Mosquitto, USER, another_authority},
};

const BOTH: [Version; 2] = [Version::V3, Version::V5];

#[tokio::test]
async fn a_wrong_password_is_a_sentence() {
    let mosquitto = Mosquitto::start();
    for version in BOTH {
        let mut broker = mosquitto.sealed(version);
        broker.user = Some((USER.0.into(), Secret::new("guessed")));
        let limits = Limits { greeting: Duration::from_millis(300), ..ample() };
        let mqtt = Mqtt::open(broker, identity(1), Trust::only([key(2)]), TAG, limits);
        let state = mqtt.wait_for(|state| matches!(state, State::Waiting(BrokerError::Password(_)))).await;
        assert!(
            state.to_string().ends_with("does not accept this user and password; set those that its owner has given")
        );
        let refused = mqtt.connect(&key(2)).await.expect_err("not connected");
        assert!(matches!(refused, LinkError::Broker(_)), "{version:?}: {refused}");
    }
}

#[tokio::test]
async fn a_broker_with_a_certificate_of_an_unknown_authority_is_not_spoken_to() {
    let mosquitto = Mosquitto::start();
    let mut broker = mosquitto.sealed(Version::V3);
    broker.tls = Tls::Ca(another_authority());
    let mqtt = Mqtt::open(broker, identity(1), Trust::only([key(2)]), TAG, ample());
    let state = mqtt.wait_for(|state| matches!(state, State::Waiting(BrokerError::Untrusted { .. }))).await;
    assert!(state.to_string().contains("shows no certificate that is trusted here"), "{state}");
}

#[tokio::test]
async fn a_broker_that_does_not_let_a_user_read_and_write_is_a_sentence() {
    let (read, write) = ("user ember\ntopic read hearth/#\n", "user ember\ntopic write hearth/#\n");
    for (case, access, version, says) in [
        // mosquitto grants the subscription, and then delivers nothing.
        ("not read, 3.1.1", write, Version::V3, "does not deliver what is sent"),
        ("not read, 5", write, Version::V5, "does not deliver what is sent"),
        ("not write, 3.1.1", read, Version::V3, "does not deliver what is sent"),
        ("not write, 5", read, Version::V5, "does not let this user read and write hearth/1/#"),
    ] {
        let mosquitto = Mosquitto::start_with(access);
        let mut broker = mosquitto.sealed(version);
        broker.patience = Duration::from_secs(2);
        let mqtt = Mqtt::open(broker, identity(1), Trust::only([key(2)]), TAG, ample());
        let told = |state: &State| state.to_string().contains(says) && state.to_string().contains("access list");
        assert!(matches!(mqtt.wait_for(told).await, State::Waiting(_)), "{case}");
    }
}

#[tokio::test]
async fn a_broker_that_stands_still_is_left_and_found_again() {
    let mut mosquitto = Mosquitto::start();
    for version in BOTH {
        let mut broker = mosquitto.sealed(version);
        broker.patience = Duration::from_secs(2);
        let there = at_broker(broker.clone(), identity(1), Trust::only([key(2)]), ample()).await;
        let here = at_broker(broker, identity(2), Trust::only([key(1)]), ample()).await;
        let (mut link, _held) = met(&here, &there).await;
        mosquitto.freeze();
        link.send(b"is anybody there").await.expect("it is taken, and goes nowhere");
        let end = link.receive().await;
        // rumqttc would notice by itself much later, when its own ping stays away; that has another cause.
        let is_ours = matches!(&end, Err(LinkError::Broker(BrokerError::Lost { source, .. }))
            if source.kind() == std::io::ErrorKind::TimedOut);
        assert!(is_ours, "{version:?}: {end:?}");
        mosquitto.thaw();
        met(&here, &there).await;
    }
}

#[tokio::test]
async fn a_device_that_does_not_listen_is_a_sentence_and_not_a_wait_for_ever() {
    let mosquitto = Mosquitto::start();
    let limits = Limits { greeting: Duration::from_secs(2), ..ample() };
    let here = at_broker(mosquitto.sealed(Version::V3), identity(2), Trust::only([key(1)]), limits).await;
    let refused = here.connect(&key(1)).await.expect_err("nobody is there");
    assert!(matches!(refused, LinkError::NotListening), "{refused}");
    assert!(refused.to_string().starts_with("the device does not answer through the broker"));
}

#[tokio::test]
async fn a_device_of_another_fleet_is_not_found() {
    let mosquitto = Mosquitto::start();
    let limits = Limits { greeting: Duration::from_secs(2), ..ample() };
    let _there = at_broker(mosquitto.sealed(Version::V3), identity(1), Trust::only([key(2)]), limits).await;
    let here = Mqtt::open(mosquitto.sealed(Version::V3), identity(2), Trust::only([key(1)]), [0; 16], limits);
    let refused = here.connect(&key(1)).await.expect_err("its mailbox is another");
    assert!(matches!(refused, LinkError::NotListening), "{refused}");
}

#[tokio::test]
async fn a_coordinator_is_reached_by_devices_of_several_fleets_for_either_protocol() {
    let mosquitto = Mosquitto::start();
    for (version, protocol) in BOTH.into_iter().zip([Protocol::Report, Protocol::Fleet]) {
        let trust = Trust::only([key(2), key(3)]);
        let there = Mqtt::serve(mosquitto.sealed(version), identity(1), trust, ample());
        there.wait_for(|state| matches!(state, State::Connected)).await;
        for (seed, tag) in [(2, [2; 16]), (3, [3; 16])] {
            let here = Mqtt::open(mosquitto.sealed(version), identity(seed), Trust::only([]), tag, ample());
            let accepting = async { there.accept().await.expect("open").welcome().await };
            let key_of_there = key(1);
            let (link, held) = tokio::join!(here.call(&key_of_there, protocol), accepting);
            let (mut link, mut held) = (link.expect("welcome"), held.expect("trusted"));
            assert_eq!((held.protocol(), *held.peer()), (Some(protocol), key(seed)));
            assert_eq!(held.mailbox(), Some(Mailbox::of(&tag, &key(seed))));
            let (sent, came) = tokio::join!(link.send(b"sealed"), held.receive());
            assert_eq!((sent.expect("taken"), came.expect("sent")), ((), b"sealed".to_vec()));
        }
    }
}

#[tokio::test]
async fn a_device_that_shuts_tells_its_links_and_can_come_back() {
    let mosquitto = Mosquitto::start();
    let here = at_broker(mosquitto.sealed(Version::V5), identity(2), Trust::only([key(1)]), ample()).await;
    for _ in 0..2 {
        let there = at_broker(mosquitto.sealed(Version::V3), identity(1), Trust::only([key(2)]), ample()).await;
        let (mut link, _held) = met(&here, &there).await;
        let (end, ()) = tokio::join!(link.receive(), there.shut(Close::ShuttingDown));
        assert!(matches!(end, Err(LinkError::Closed(Close::ShuttingDown))), "{end:?}");
        assert!(there.accept().await.is_none());
        assert!(matches!(there.connect(&key(2)).await, Err(LinkError::Broker(BrokerError::Closed))));
    }
}

#[tokio::test]
async fn when_all_places_are_taken_the_next_is_asked_to_come_later() {
    let mosquitto = Mosquitto::start();
    let few = Limits { links: 1, ..ample() };
    let there = at_broker(mosquitto.sealed(Version::V3), identity(1), Trust::only([key(2)]), few).await;
    let here = at_broker(mosquitto.sealed(Version::V3), identity(2), Trust::only([key(1)]), ample()).await;
    let (_link, _held) = met(&here, &there).await;
    let refused = here.connect(&key(1)).await.expect_err("no place");
    assert!(matches!(refused, LinkError::Closed(Close::Busy)), "{refused:?}");
}

#[tokio::test]
async fn a_killed_broker_loses_nothing_and_doubles_nothing() {
    for version in BOTH {
        survives(version, 3).await;
    }
}

#[tokio::test]
#[ignore = "soak: kills the broker twenty times under traffic, for a minute or two"]
async fn a_broker_killed_twenty_times_loses_nothing_and_doubles_nothing() {
    for version in BOTH {
        survives(version, 20).await;
    }
}

/// How many messages go between two deaths of the broker.
const BETWEEN: u64 = 300;

/// One side counts and the other checks; after each broken link they go on where the checking side was.
async fn survives(version: Version, kills: u64) {
    let mut mosquitto = Mosquitto::start();
    let limits = Limits { greeting: Duration::from_secs(20), ..ample() };
    let there = at_broker(mosquitto.sealed(version), identity(1), Trust::only([key(2)]), limits).await;
    let here = at_broker(mosquitto.sealed(version), identity(2), Trust::only([key(1)]), limits).await;
    let wanted = BETWEEN * (kills + 1);
    let (progress, mut seen) = watch::channel(0u64);

    let counting = tokio::spawn(async move {
        let mut links = 0u64;
        loop {
            let Ok(mut link) = here.connect(&key(1)).await else { continue };
            links += 1;
            let Ok(from) = link.receive().await else { continue };
            let mut number = u64::from_be_bytes(from.try_into().expect("a number"));
            while number < wanted && link.send(&numbered(number)).await.is_ok() {
                number += 1;
            }
            // The other side says when it has everything; an error means that it has to be asked again.
            if number == wanted && matches!(link.receive().await, Err(LinkError::Closed(Close::Done))) {
                return links;
            }
        }
    });
    let checking = tokio::spawn(async move {
        let mut next = 0u64;
        while next < wanted {
            let Ok(mut link) = there.accept().await.expect("open").welcome().await else { continue };
            if link.send(&next.to_be_bytes()).await.is_err() {
                continue;
            }
            while next < wanted
                && let Ok(message) = link.receive().await
            {
                assert!(message == numbered(next), "message {next} is missing or comes twice");
                next += 1;
                progress.send_replace(next);
            }
            if next == wanted {
                link.finish(Close::Done).await;
            }
        }
        // Whoever did not hear the farewell asks again.
        while let Some(knock) = there.accept().await {
            if let Ok(mut link) = knock.welcome().await {
                let _ = link.send(&next.to_be_bytes()).await;
                link.finish(Close::Done).await;
            }
        }
    });
    for kill in 1..=kills {
        seen.wait_for(|next| *next >= BETWEEN * kill - BETWEEN / 2).await.expect("the other side checks");
        mosquitto.kill();
        mosquitto.start_again();
    }
    let links = counting.await.expect("no panic");
    assert!(links > kills, "{links} links and {kills} deaths");
    assert_eq!(*seen.borrow(), wanted);
    checking.abort();
    assert!(checking.await.is_err_and(|error| error.is_cancelled()), "nothing was missing or doubled");
}

fn numbered(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 7919 % 30_000).expect("small");
    [&number.to_be_bytes()[..], &vec![number.to_le_bytes()[0]; length]].concat()
}

#[tokio::test]
async fn the_broker_learns_neither_what_is_said_nor_who_says_it() {
    const CANARY: &str = "the canary sings at dawn in the coal mine";
    let mosquitto = Mosquitto::start();
    let mut spy = Spy::at(&mosquitto).await;
    for version in BOTH {
        let there = at_broker(mosquitto.sealed(version), identity(1), Trust::only([key(2)]), ample()).await;
        let here = at_broker(mosquitto.sealed(version), identity(2), Trust::only([key(1)]), ample()).await;
        let (mut link, mut held) = met(&here, &there).await;
        link.send(CANARY.as_bytes()).await.expect("taken");
        assert_eq!(held.receive().await.expect("sent"), CANARY.as_bytes());
        held.send(CANARY.as_bytes()).await.expect("taken");
        assert_eq!(link.receive().await.expect("sent"), CANARY.as_bytes());
        here.shut(Close::Done).await;
        there.shut(Close::Done).await;
    }
    let heard = spy.all_until(b"that is all").await;
    assert!(heard.len() > 20, "the spy heard {} messages", heard.len());
    let mailboxes = [1, 2].map(|seed| hearth_link::mqtt::carrier::Mailbox::of(&TAG, &key(seed)).to_string());
    for (topic, payload) in &heard {
        let known = topic.strip_prefix("hearth/1/").and_then(|rest| rest.split_once('/'));
        let known = known.is_some_and(|(to, from)| [to, from].iter().all(|it| mailboxes.iter().any(|ours| ours == it)));
        assert!(known, "{topic} names somebody");
        for (case, secret) in [
            ("what was said", CANARY.as_bytes().to_vec()),
            ("half of it", CANARY.as_bytes()[..16].to_vec()),
            ("a key", key(1).to_bytes()[..12].to_vec()),
            ("the other key", key(2).to_bytes()[..12].to_vec()),
            ("a key in letters", key_text(&key(1)).into_bytes()[..24].to_vec()),
            ("the other key in letters", key_text(&key(2)).into_bytes()[..24].to_vec()),
            ("a device", identity(1).device().to_string().into_bytes()),
            ("the tag", TAG.to_vec()),
        ] {
            let told = [topic.as_bytes(), payload].iter().any(|it| it.windows(secret.len()).any(|part| part == secret));
            assert!(!told, "the broker learnt {case}");
        }
    }
}

/// A link between the devices with the seeds 2 and 1.
async fn met(here: &Mqtt, there: &Mqtt) -> (Link, Link) {
    let called = key(1);
    let (link, held) =
        tokio::join!(here.connect(&called), async { there.accept().await.expect("open").welcome().await });
    (link.expect("welcome"), held.expect("trusted"))
}

/// Somebody who hears everything at the broker.
struct Spy {
    client: AsyncClient,
    events: rumqttc::EventLoop,
}

impl Spy {
    async fn at(mosquitto: &Mosquitto) -> Self {
        let broker = mosquitto.plain(Version::V3);
        let mut options = MqttOptions::new("spy", "127.0.0.1", broker.port);
        options.set_credentials(USER.0, USER.1).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 10);
        client.subscribe("#", QoS::AtMostOnce).await.expect("there is room");
        while !matches!(events.poll().await.expect("the broker is there"), Event::Incoming(Packet::SubAck(_))) {}
        Self { client, events }
    }

    /// All that it heard before this, which it says itself.
    async fn all_until(&mut self, last: &[u8]) -> Vec<(String, Vec<u8>)> {
        self.client.publish("spy", QoS::AtLeastOnce, false, last).await.expect("there is room");
        let mut heard = Vec::new();
        loop {
            if let Event::Incoming(Packet::Publish(message)) = self.events.poll().await.expect("the broker is there") {
                if message.topic == "spy" {
                    return heard;
                }
                heard.push((message.topic, message.payload.to_vec()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: measures how fast a link through mosquitto is"]
async fn messages_of_64_kib_go_through_a_broker() {
    let mosquitto = Mosquitto::start();
    for (case, broker) in [
        ("MQTT 3.1.1 in the open", mosquitto.plain(Version::V3)),
        ("MQTT 3.1.1 in TLS", mosquitto.sealed(Version::V3)),
        ("MQTT 5 in TLS", mosquitto.sealed(Version::V5)),
    ] {
        let there = at_broker(broker.clone(), identity(1), Trust::only([key(2)]), ample()).await;
        let here = at_broker(broker, identity(2), Trust::only([key(1)]), ample()).await;
        let (link, held) = met(&here, &there).await;
        println!("{case}: {}", measure(link, held).await);
    }
    let world = World::new(Way::Quic, ample()).await;
    let (link, held) = world.link().await;
    println!("QUIC: {}", measure(link, held).await);
}

async fn measure(link: Link, held: Link) -> String {
    const MESSAGES: u32 = 2000;
    let (mut send, _back) = link.split(FRAME_MAX, ample().frame);
    let (_, mut receive) = held.split(FRAME_MAX, ample().frame);
    let begun = std::time::Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            send.send(&[7; FRAME_MAX]).await.expect("taken");
        }
        send
    });
    for _ in 0..MESSAGES {
        assert_eq!(receive.receive().await.expect("sent").len(), FRAME_MAX);
    }
    let _send = sending.await.expect("no panic");
    let rate = f64::from(MESSAGES) / begun.elapsed().as_secs_f64();
    format!("{rate:.0} messages of 64 KiB a second, {:.0} MB/s", rate * 65_536.0 / 1e6)
}
