//! One connection to a broker: rumqttc in either version, behind a tunnel of our own.
//!
//! rumqttc makes its own sockets and has no hook for another one, but it can speak through a Unix socket: it gets one without a name in
//! any folder, at whose other end this process passes everything on. Nothing is kept from one connection to the next: rumqttc would lose
//! what is unacknowledged without a word, or hang on it, so after any error both its halves are dropped.

use std::{io, os::linux::net::SocketAddrExt, sync::Arc, time::Duration};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use rumqttc::v5;
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{UnixListener, UnixStream},
};

use super::{
    broker::{self, Broker, BrokerError, Version},
    carrier::{BODY_MAX, HEADER},
};

/// Requests that wait in rumqttc's channel at most.
const REQUESTS: usize = 10;

/// Messages under way to the broker at most. More would only wait longer: the broker acknowledges each after the other.
const UNDER_WAY: u16 = 32;

/// A topic of ours and what MQTT puts around a message, amply.
const AROUND: usize = 1024;

/// How long a step of rumqttc may take, in seconds.
const STEP: u64 = 30;

/// How often rumqttc asks whether the broker is there.
const PING: Duration = Duration::from_secs(20);

/// What happened on a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// The broker takes messages, with bodies of up to this many bytes.
    Up(usize),
    /// The broker will deliver what comes to the mailbox.
    Subscribed,
    /// The broker does not let this user do that.
    Denied,
    /// A message came.
    Message { topic: Bytes, payload: Bytes },
    /// A message went out under this number.
    Published(u16),
    /// The broker has the message of this number.
    Acknowledged(u16),
    /// Something that needs nothing.
    Other,
}

/// The half of a connection to which requests are made.
#[derive(Clone)]
pub(super) enum Client {
    V3(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// The half of a connection that has to be asked again and again; never stop waiting for it half-way but to drop it.
pub(super) enum Events {
    V3(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// Whatever has to run while a connection is used; it returns when the connection is gone.
pub(super) type Tunnel = std::pin::Pin<Box<dyn Future<Output = io::Error> + Send>>;

/// Connects to a broker, under a random name.
pub(super) async fn connect(broker: &Broker) -> Result<(Client, Events, Tunnel), BrokerError> {
    let far = broker::dial(broker).await?;
    let lost = |source| BrokerError::Lost { address: broker.address(), source: Arc::new(source) };
    // MQTT 3.1.1 promises 23 letters and digits to every client.
    let id = format!("h{}", HEXLOWER.encode(&random::<11>().map_err(lost)?));
    let place = format!("hearth-{}", HEXLOWER.encode(&random::<16>().map_err(lost)?));
    let near = listen(&place).map_err(lost)?;
    let (client, events) = match broker.version {
        Version::V3 => v3(broker, id, &place),
        Version::V5 => v5(broker, id, &place),
    };
    Ok((client, events, Box::pin(tunnel(near, far))))
}

/// A socket that exists in no folder: nothing is left behind by a process that is killed, and no folder has to be writable.
fn listen(place: &str) -> io::Result<UnixListener> {
    let address = std::os::unix::net::SocketAddr::from_abstract_name(place)?;
    let socket = std::os::unix::net::UnixListener::bind_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

async fn tunnel(near: UnixListener, mut far: Box<dyn broker::Way>) -> io::Error {
    let mut stream = match ours(near).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    match copy_bidirectional_with_sizes(&mut stream, &mut far, BODY_MAX, BODY_MAX).await {
        Ok(_) => io::ErrorKind::ConnectionAborted.into(),
        Err(error) => error,
    }
}

/// Waits for rumqttc. Others on this machine can find the socket, and are not let in.
async fn ours(near: UnixListener) -> io::Result<UnixStream> {
    let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    loop {
        let (stream, _) = near.accept().await?;
        if stream.peer_cred()?.pid() == Some(own) {
            return Ok(stream);
        }
    }
}

fn v3(broker: &Broker, id: String, place: &str) -> (Client, Events) {
    let mut options = rumqttc::MqttOptions::new(id, format!("\0{place}"), broker.port);
    options
        .set_transport(rumqttc::Transport::unix())
        .set_clean_session(true)
        .set_keep_alive(PING)
        .set_inflight(UNDER_WAY)
        .set_max_packet_size(BODY_MAX + AROUND, BODY_MAX + AROUND);
    if let Some((user, password)) = &broker.user {
        options.set_credentials(user, password.as_str());
    }
    let (client, mut events) = rumqttc::AsyncClient::new(options, REQUESTS);
    events.network_options.set_connection_timeout(STEP);
    (Client::V3(client), Events::V3(Box::new(events)))
}

fn v5(broker: &Broker, id: String, place: &str) -> (Client, Events) {
    let mut options = v5::MqttOptions::new(id, format!("\0{place}"), broker.port);
    let most = u32::try_from(BODY_MAX + AROUND).expect("it is less than 4 GiB");
    options
        .set_transport(rumqttc::Transport::unix())
        .set_clean_start(true)
        .set_keep_alive(PING)
        .set_connection_timeout(STEP)
        .set_outgoing_inflight_upper_limit(UNDER_WAY)
        .set_max_packet_size(Some(most));
    if let Some((user, password)) = &broker.user {
        options.set_credentials(user, password.as_str());
    }
    let (client, events) = v5::AsyncClient::new(options, REQUESTS);
    (Client::V5(client), Events::V5(Box::new(events)))
}

impl Client {
    /// Asks for what comes to a mailbox.
    pub(super) async fn subscribe(&self, filter: String) -> Result<(), io::Error> {
        match self {
            Self::V3(client) => client.subscribe(filter, rumqttc::QoS::AtLeastOnce).await.map_err(io::Error::other),
            Self::V5(client) => {
                client.subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).await.map_err(io::Error::other)
            }
        }
    }

    /// Hands a message over; waits while too many are under way.
    pub(super) async fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), io::Error> {
        match self {
            Self::V3(client) => {
                client.publish(topic, rumqttc::QoS::AtLeastOnce, false, payload).await.map_err(io::Error::other)
            }
            Self::V5(client) => {
                client.publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload).await.map_err(io::Error::other)
            }
        }
    }

    /// Says farewell to the broker.
    pub(super) async fn disconnect(&self) -> Result<(), io::Error> {
        match self {
            Self::V3(client) => client.disconnect().await.map_err(io::Error::other),
            Self::V5(client) => client.disconnect().await.map_err(io::Error::other),
        }
    }
}

impl Events {
    /// Waits for what happens next.
    pub(super) async fn next(&mut self, address: &str) -> Result<Event, BrokerError> {
        match self {
            Self::V3(events) => events.poll().await.map(of_v3).map_err(|error| v3_says(error, address)),
            Self::V5(events) => events.poll().await.map(of_v5).map_err(|error| v5_says(error, address)),
        }
    }
}

fn of_v3(event: rumqttc::Event) -> Event {
    use rumqttc::{Outgoing, Packet, SubscribeReasonCode};
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Event::Up(BODY_MAX),
        rumqttc::Event::Incoming(Packet::SubAck(ack)) => {
            let is_refused = ack.return_codes.iter().any(|code| matches!(code, SubscribeReasonCode::Failure));
            if is_refused { Event::Denied } else { Event::Subscribed }
        }
        rumqttc::Event::Incoming(Packet::Publish(publish)) => {
            Event::Message { topic: publish.topic.into(), payload: publish.payload }
        }
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => Event::Acknowledged(ack.pkid),
        rumqttc::Event::Outgoing(Outgoing::Publish(number)) => Event::Published(number),
        _ => Event::Other,
    }
}

fn of_v5(event: v5::Event) -> Event {
    use rumqttc::Outgoing;
    use v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};
    match event {
        v5::Event::Incoming(Packet::ConnAck(ack)) => {
            let most = ack.properties.and_then(|properties| properties.max_packet_size);
            let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            Event::Up(most.saturating_sub(AROUND + HEADER).clamp(1, BODY_MAX))
        }
        v5::Event::Incoming(Packet::SubAck(ack)) => {
            let is_granted = ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)));
            if is_granted { Event::Subscribed } else { Event::Denied }
        }
        // None is allowed, and each would be kept.
        v5::Event::Incoming(Packet::Publish(publish))
            if publish.properties.as_ref().is_some_and(|properties| properties.topic_alias.is_some()) =>
        {
            Event::Denied
        }
        v5::Event::Incoming(Packet::Publish(publish)) => {
            Event::Message { topic: publish.topic, payload: publish.payload }
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Event::Acknowledged(ack.pkid),
            // The message is gone, and the conversation would have a gap.
            _ => Event::Denied,
        },
        v5::Event::Outgoing(Outgoing::Publish(number)) => Event::Published(number),
        _ => Event::Other,
    }
}

fn v3_says(error: rumqttc::ConnectionError, address: &str) -> BrokerError {
    use rumqttc::{ConnectReturnCode, ConnectionError};
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => BrokerError::Password(address.into()),
        ConnectionError::ConnectionRefused(code) => {
            BrokerError::Refused { address: address.into(), why: format!("{code:?}") }
        }
        other => BrokerError::Lost { address: address.into(), source: Arc::new(io::Error::other(other)) },
    }
}

fn v5_says(error: v5::ConnectionError, address: &str) -> BrokerError {
    use v5::{ConnectionError, StateError, mqttbytes::v5::ConnectReturnCode};
    match error {
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                BrokerError::Password(address.into())
            }
            ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
                BrokerError::Refused { address: address.into(), why: "it does not speak MQTT 5; ask for 3.1.1".into() }
            }
            code => BrokerError::Refused { address: address.into(), why: format!("{code:?}") },
        },
        other => BrokerError::Lost { address: address.into(), source: Arc::new(io::Error::other(other)) },
    }
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
