//! Links over QUIC: who listens, who connects, and what both hold afterwards.
//!
//! [`Knock::welcome`] and [`Connector::connect`] return only after both keys were proven and the greeting was answered. Whether to try
//! again, and when, is left to the caller.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ed25519_dalek::VerifyingKey;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, TransportErrorCode, VarInt,
};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use crate::{
    close::{Close, LinkError},
    hello,
    identity::{Identity, NotAKey, Trust, from_spki, key_text},
    link::Link,
    offload,
    pipe::Limits,
    reset,
    tls::{self, Protocol},
    way::{Inward, Outward, Way},
};

/// A UDP socket at which trusted devices may connect.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    limits: Limits,
    /// For links that go without bundles.
    plain: Arc<ServerConfig>,
}

impl Listener {
    /// Listens on `address` for those who speak one of `protocols`; only keys that `trust` knows get further than a handshake.
    pub fn bind(
        address: SocketAddr,
        identity: &Identity,
        trust: Trust,
        protocols: &[Protocol],
        limits: Limits,
    ) -> Result<Self, LinkError> {
        let mut config = ServerConfig::with_crypto(Arc::new(tls::server(identity, trust, protocols)));
        config.transport_config(Arc::new(transport(limits, None, limits.bundles)));
        config.max_incoming(limits.links.min(256));
        config.incoming_buffer_size(256 << 10).incoming_buffer_size_total(8 << 20);
        let mut plain = config.clone();
        plain.transport_config(Arc::new(transport(limits, None, false)));
        let endpoint = open(address, Some((reset::answering(identity), config)))?;
        Ok(Self { endpoint, limits, plain: Arc::new(plain) })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Waits for the next peer; `None` once [`Listener::shut`] was called. The handshake is the caller's to run, in a task of its own.
    ///
    /// While many are connected, a peer has to show first that its address is real; when there are as many as there may be, it is
    /// turned away.
    pub async fn accept(&self) -> Option<Knock> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let open = self.endpoint.open_connections();
            if open >= self.limits.links {
                incoming.refuse();
            } else if open >= self.limits.links / 4 && !incoming.remote_address_validated() && incoming.may_retry() {
                // An error means that it may not be asked again, which was just checked.
                let _ = incoming.retry();
            } else {
                // quinn keeps room for a bundle, 14 KiB, with each link that ever sent: too much where there are many.
                let is_plain = open >= self.limits.links / 64 || offload::is_spared(incoming.remote_address());
                let plain = is_plain.then(|| Arc::clone(&self.plain));
                return Some(Knock { incoming, limits: self.limits, plain });
            }
        }
    }

    /// Closes every link for this reason, takes no new ones, and waits a moment until the peers know.
    pub async fn shut(&self, reason: Close) {
        self.endpoint.close(VarInt::from_u32(reason.code()), reason.to_string().as_bytes());
        let _ = timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }
}

/// A peer that wants to connect and has proven nothing yet.
#[derive(Debug)]
pub struct Knock {
    incoming: Incoming,
    limits: Limits,
    plain: Option<Arc<ServerConfig>>,
}

impl Knock {
    /// Where it comes from.
    pub fn remote_address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Runs the handshake and the greeting, within [`Limits::greeting`].
    pub async fn welcome(self) -> Result<Link, LinkError> {
        let Self { incoming, limits, plain } = self;
        let remote = incoming.remote_address();
        let accepted = match plain {
            Some(plain) => incoming.accept_with(plain),
            None => incoming.accept(),
        };
        let connecting = accepted.map_err(|error| told(error, None, remote))?;
        let welcoming = async {
            let connection = connecting.await.map_err(|error| told(error, None, remote))?;
            let (send, receive) = connection.accept_bi().await.map_err(|error| told(error, None, remote))?;
            let mut link = link(connection, (send, receive), None, None, limits)?;
            link.greeted_by(hello::answer).await?;
            Ok(link)
        };
        // Given up, the connection is dropped, and that closes it.
        timeout(limits.greeting, welcoming).await.unwrap_or(Err(LinkError::Slow))
    }
}

/// Opens links to peers whose keys are trusted beforehand.
#[derive(Debug)]
pub struct Connector {
    identity: Identity,
    trust: Trust,
    protocol: Protocol,
    limits: Limits,
}

impl Connector {
    /// Will connect as `identity` to report, and only to the holder of the key `peer`.
    pub fn new(identity: Identity, peer: VerifyingKey, limits: Limits) -> Self {
        Self { identity, trust: Trust::only([peer]), protocol: Protocol::Report, limits }
    }

    /// Will connect as `identity` to speak as nodes of a fleet do, to whoever holds a key that `trust` knows.
    pub fn among(identity: Identity, trust: Trust, limits: Limits) -> Self {
        Self { identity, trust, protocol: Protocol::Fleet, limits }
    }

    /// The key that it shows.
    pub fn public(&self) -> VerifyingKey {
        self.identity.public()
    }

    /// Opens a link from a fresh socket, within [`Limits::greeting`].
    pub async fn connect(&self, address: SocketAddr) -> Result<Link, LinkError> {
        self.connect_from(open(source_for(address), None)?, address).await
    }

    async fn connect_from(&self, endpoint: Endpoint, address: SocketAddr) -> Result<Link, LinkError> {
        let crypto = tls::client(&self.identity, self.trust.clone(), self.protocol);
        let mut config = ClientConfig::new(Arc::new(crypto));
        let bundles = self.limits.bundles && !offload::is_spared(address);
        config.transport_config(Arc::new(transport(self.limits, Some(self.limits.keep_alive), bundles)));
        let own = self.public();
        timeout(self.limits.greeting, connect(endpoint, config, Some(own), address, self.limits))
            .await
            .unwrap_or(Err(LinkError::NoAnswer(address)))
    }
}

/// How long a farewell may take.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// Streams that a peer may have open at once: the one that everything goes over. Memory is set aside for each that may be.
const STREAMS: u32 = 1;

/// Alerts of TLS 1.3 (RFC 8446 §6) by which a handshake fails over keys or protocols.
mod alert {
    pub(super) const HANDSHAKE_FAILURE: u8 = 40;
    pub(super) const BAD_CERTIFICATE: u8 = 42;
    pub(super) const UNSUPPORTED_CERTIFICATE: u8 = 43;
    pub(super) const ACCESS_DENIED: u8 = 49;
    pub(super) const DECRYPT_ERROR: u8 = 51;
    pub(super) const CERTIFICATE_REQUIRED: u8 = 116;
    pub(super) const NO_APPLICATION_PROTOCOL: u8 = 120;
}

async fn connect(
    endpoint: Endpoint,
    config: ClientConfig,
    own: Option<VerifyingKey>,
    address: SocketAddr,
    limits: Limits,
) -> Result<Link, LinkError> {
    // The name is never sent and never checked: the key is the name.
    let connecting = endpoint
        .connect_with(config, address, "hearth.invalid")
        .map_err(|error| LinkError::Transport(io::Error::other(error)))?;
    let failed = |error| told(error, own.as_ref(), address);
    let connection = connecting.await.map_err(failed)?;
    let streams = connection.open_bi().await.map_err(failed)?;
    let mut link = link(connection, streams, Some(endpoint), own, limits)?;
    link.greeted_by(hello::greet).await?;
    Ok(link)
}

/// `endpoint` is the socket behind a link that was opened from here; one that was accepted shares its listener's.
fn link(
    connection: Connection,
    (send, receive): (SendStream, RecvStream),
    endpoint: Option<Endpoint>,
    own: Option<VerifyingKey>,
    limits: Limits,
) -> Result<Link, LinkError> {
    let peer = peer_key(&connection)?;
    let halves = (Outward::Quic(send), Inward::Quic(receive));
    Ok(Link::new(Way::Quic { connection, endpoint }, halves, own, peer, limits))
}

/// `listening` is how a socket answers at which others may connect.
fn open(address: SocketAddr, listening: Option<(EndpointConfig, ServerConfig)>) -> Result<Endpoint, LinkError> {
    let (endpoint, server) = listening.map_or_else(Default::default, |(endpoint, server)| (endpoint, Some(server)));
    let refused = |source| LinkError::Bind { address, source };
    let socket = std::net::UdpSocket::bind(address).map_err(refused)?;
    Endpoint::new(endpoint, server, socket, Arc::new(TokioRuntime)).map_err(refused)
}

/// Any port, and on this machine alone when the peer is here too.
fn source_for(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) if peer.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) if peer.ip().is_loopback() => (Ipv6Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn transport(limits: Limits, keep_alive: Option<Duration>, bundles: bool) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits.window / 2))
        .receive_window(VarInt::from_u32(limits.window))
        .send_window(u64::from(limits.window))
        .datagram_receive_buffer_size(None)
        .enable_segmentation_offload(bundles)
        .max_idle_timeout(Some(IdleTimeout::try_from(limits.idle).unwrap_or_else(|_| VarInt::MAX.into())))
        .keep_alive_interval(keep_alive);
    config
}

fn peer_key(connection: &Connection) -> Result<VerifyingKey, LinkError> {
    let shown = connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    match shown.as_deref().map(Vec::as_slice) {
        Some([key]) => Ok(from_spki(key)?),
        _ => Err(LinkError::Key(NotAKey::Kind)),
    }
}

/// Turns what QUIC says into what it means. `own` is the key that was shown, when this side connected.
pub(crate) fn told(error: ConnectionError, own: Option<&VerifyingKey>, remote: SocketAddr) -> LinkError {
    let alert = |code: TransportErrorCode| {
        let code = u64::from(code);
        (0x100..0x200).contains(&code).then(|| u8::try_from(code - 0x100).expect("it is below 256"))
    };
    match &error {
        ConnectionError::TransportError(ours) => match alert(ours.code) {
            Some(alert::ACCESS_DENIED) => LinkError::Stranger,
            Some(
                alert::HANDSHAKE_FAILURE
                | alert::BAD_CERTIFICATE
                | alert::UNSUPPORTED_CERTIFICATE
                | alert::DECRYPT_ERROR
                | alert::CERTIFICATE_REQUIRED,
            ) => LinkError::NoKey,
            Some(alert::NO_APPLICATION_PROTOCOL) => LinkError::OtherProtocol,
            _ => LinkError::Transport(error.into()),
        },
        ConnectionError::ConnectionClosed(theirs) => match (alert(theirs.error_code), own) {
            (Some(alert::ACCESS_DENIED), Some(own)) => LinkError::Refused(key_text(own)),
            // The connecting side was shown our key and turned away from it: to us it is just gone.
            (Some(alert::ACCESS_DENIED), None) => LinkError::Stranger,
            (Some(alert::HANDSHAKE_FAILURE | alert::CERTIFICATE_REQUIRED | alert::NO_APPLICATION_PROTOCOL), _) => {
                LinkError::OtherProtocol
            }
            _ if theirs.error_code == TransportErrorCode::CONNECTION_REFUSED => LinkError::Closed(Close::Busy),
            _ => LinkError::Transport(error.into()),
        },
        ConnectionError::ApplicationClosed(theirs) => {
            LinkError::Closed(Close::from_code(theirs.error_code.into_inner()))
        }
        ConnectionError::TimedOut if own.is_none() => LinkError::Silent,
        ConnectionError::TimedOut => LinkError::NoAnswer(remote),
        ConnectionError::VersionMismatch => LinkError::OtherProtocol,
        ConnectionError::LocallyClosed | ConnectionError::Reset => LinkError::Ended,
        ConnectionError::CidsExhausted => LinkError::Transport(error.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll},
    };

    use quinn::{AsyncUdpSocket, Runtime, UdpPoller};
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::{frame::FRAME_MAX, pipe::Pipe};

    #[tokio::test]
    async fn each_side_knows_the_other_and_frames_go_both_ways() {
        let (coordinator, device) = (identity(1), identity(2));
        let (coordinator_key, device_id) = (coordinator.public(), device.device());
        let listener = listening(&coordinator, [device.public()], ample());
        let at = address(&listener);
        let serving = tokio::spawn(async move {
            let mut link = listener.accept().await.expect("open").welcome().await.expect("trusted");
            let frame = link.receive().await.expect("a frame");
            link.send(&frame).await.expect("sent back");
            let end = link.receive().await;
            (link.device(), link.version(), end)
        });
        let mut link = Connector::new(device, coordinator_key, ample()).connect(at).await.expect("welcome");
        let frame = vec![9; FRAME_MAX];
        link.send(&frame).await.expect("sent");
        assert_eq!(link.receive().await.expect("echoed"), frame);
        assert_eq!(*link.peer(), coordinator_key);
        link.finish(Close::Done).await;
        let (device, version, end) = serving.await.expect("no panic");
        assert_eq!((device, version), (device_id, hello::VERSION));
        assert!(matches!(end, Err(LinkError::Closed(Close::Done))), "{end:?}");
    }

    #[tokio::test]
    async fn a_device_that_is_not_trusted_is_refused_on_both_sides_with_a_sentence() {
        let coordinator = identity(1);
        let listener = listening(&coordinator, [identity(2).public()], ample());
        let at = address(&listener);
        let serving = tokio::spawn(async move { listener.accept().await.expect("open").welcome().await });
        let refused =
            Connector::new(identity(3), coordinator.public(), ample()).connect(at).await.expect_err("refused");
        assert_eq!(
            refused.to_string(),
            format!(
                "the other side does not trust this device's key {}; add it to the trusted keys there",
                key_text(&identity(3).public())
            )
        );
        assert!(matches!(serving.await.expect("no panic"), Err(LinkError::Stranger)));
    }

    #[tokio::test]
    async fn a_coordinator_with_another_key_than_the_pinned_one_is_refused() {
        let listener = listening(&identity(9), [identity(2).public()], ample());
        let at = address(&listener);
        let serving = tokio::spawn(async move { listener.accept().await.expect("open").welcome().await });
        let refused =
            Connector::new(identity(2), identity(1).public(), ample()).connect(at).await.expect_err("refused");
        assert!(matches!(refused, LinkError::Stranger), "{refused:?}");
        assert!(serving.await.expect("no panic").is_err());
    }

    #[tokio::test]
    async fn a_peer_without_a_key_or_with_a_key_that_is_not_its_own_is_refused() {
        let (coordinator, device, thief) = (identity(1), identity(2), identity(3));
        let trust = || Trust::only([coordinator.public()]);
        for (case, crypto, here) in [
            ("no key", tls::client_without_key(trust()), "showed no ed25519 key"),
            ("another's key", tls::client_with_stolen_key(&thief, &device.public(), trust()), "showed no ed25519 key"),
        ] {
            let listener = listening(&coordinator, [device.public()], ample());
            let at = address(&listener);
            let serving = tokio::spawn(async move { listener.accept().await.expect("open").welcome().await });
            let endpoint = open(source_for(at), None).expect("loopback has ports");
            let refused = connect(endpoint, ClientConfig::new(Arc::new(crypto)), None, at, ample()).await;
            assert!(refused.is_err(), "{case}");
            let reason = serving.await.expect("no panic").expect_err(case).to_string();
            assert!(reason.contains(here), "{case}: {reason}");
        }
    }

    #[tokio::test]
    async fn a_key_that_is_trusted_no_more_is_refused_at_its_next_handshake() {
        let (coordinator, device) = (identity(1), identity(2));
        let trusted = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let asked = Arc::clone(&trusted);
        let trust = Trust::by(move |_| asked.load(std::sync::atomic::Ordering::SeqCst));
        let listener =
            Listener::bind(loopback(), &coordinator, trust, Protocol::ALL, ample()).expect("loopback has ports");
        let at = address(&listener);
        let serving = tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for _ in 0..2 {
                outcomes.push(listener.accept().await.expect("open").welcome().await);
            }
            outcomes.iter().map(Result::is_ok).collect::<Vec<_>>()
        });
        let connector = Connector::new(device, coordinator.public(), ample());
        connector.connect(at).await.expect("welcome").finish(Close::Done).await;
        trusted.store(false, std::sync::atomic::Ordering::SeqCst);
        assert!(matches!(connector.connect(at).await, Err(LinkError::Refused(_))));
        assert_eq!(serving.await.expect("no panic"), [true, false]);
    }

    #[tokio::test]
    async fn a_trusted_peer_that_breaks_the_rules_is_told_which() {
        for (case, bytes, told) in [
            ("longer than agreed", &[0x7F, 0xFF, 0xFF, 0xFF][..], Close::Oversized),
            ("an empty frame", &[0; 4], Close::Garbage),
            ("half a frame and then nothing", &[0, 0, 0, 9, 1, 2], Close::Slow),
        ] {
            let limits = Limits { frame: Duration::from_millis(300), ..ample() };
            let (mut sender, receiver) = connected(limits).await;
            let receiving = tokio::spawn(async move {
                let mut receiver = receiver;
                receiver.receive().await
            });
            sender.writer_mut().write_all(bytes).await.expect("sent");
            let answer = sender.receive().await;
            assert!(matches!(answer, Err(LinkError::Closed(reason)) if reason == told), "{case}: {answer:?}");
            let refused = receiving.await.expect("no panic").expect_err(case);
            assert_eq!(refused.to_close(), Some(told), "{case}");
        }
    }

    #[tokio::test]
    async fn a_trusted_peer_that_never_greets_is_let_go() {
        let (coordinator, device) = (identity(1), identity(2));
        let limits = Limits { greeting: Duration::from_millis(300), ..ample() };
        let listener = listening(&coordinator, [device.public()], limits);
        let at = address(&listener);
        let endpoint = open(source_for(at), None).expect("loopback has ports");
        let crypto = tls::client(&device, Trust::only([coordinator.public()]), Protocol::Report);
        let connecting =
            endpoint.connect_with(ClientConfig::new(Arc::new(crypto)), at, "hearth.invalid").expect("valid");
        let (welcomed, connection) =
            tokio::join!(async { listener.accept().await.expect("open").welcome().await }, async {
                connecting.await.expect("the handshake itself is in order")
            });
        assert!(matches!(welcomed, Err(LinkError::Slow)), "{welcomed:?}");
        connection.closed().await;
    }

    #[tokio::test]
    async fn nobody_there_is_a_sentence_and_not_a_wait_for_ever() {
        // A socket that nobody reads from: packets go in and nothing comes back.
        let silent = std::net::UdpSocket::bind(loopback()).expect("loopback has ports");
        let at = silent.local_addr().expect("bound");
        let limits = Limits { greeting: Duration::from_millis(300), ..ample() };
        let refused = Connector::new(identity(2), identity(1).public(), limits).connect(at).await.expect_err("nobody");
        assert!(refused.to_string().starts_with(&format!("nothing answers at {at}")), "{refused}");
    }

    #[tokio::test]
    async fn noise_on_the_port_harms_nobody() {
        let (coordinator, device) = (identity(1), identity(2));
        let listener = listening(&coordinator, [device.public()], ample());
        let at = address(&listener);
        let noisy = std::net::UdpSocket::bind(loopback()).expect("loopback has ports");
        for length in [0, 1, 20, 1200, 1400] {
            noisy.send_to(&vec![0xC3; length], at).expect("sent");
        }
        let connector = Connector::new(device, coordinator.public(), ample());
        let (link, held) =
            tokio::join!(connector.connect(at), async { listener.accept().await.expect("open").welcome().await });
        let (link, _held) = (link.expect("welcome"), held.expect("trusted"));
        link.finish(Close::Done).await;
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_next_is_asked_to_come_later() {
        let (coordinator, device) = (identity(1), identity(2));
        let limits = Limits { links: 1, ..ample() };
        let listener = Arc::new(listening(&coordinator, [device.public()], limits));
        let at = address(&listener);
        let connector = Connector::new(device, coordinator.public(), ample());
        let (first, held) =
            tokio::join!(connector.connect(at), async { listener.accept().await.expect("open").welcome().await });
        let (_first, _held) = (first.expect("welcome"), held.expect("trusted"));
        let accepting = tokio::spawn({
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.is_none() }
        });
        let refused = connector.connect(at).await.expect_err("no place");
        assert!(matches!(refused, LinkError::Closed(Close::Busy)), "{refused:?}");
        listener.shut(Close::ShuttingDown).await;
        assert!(accepting.await.expect("no panic"));
    }

    #[tokio::test]
    async fn a_listener_that_shuts_tells_its_links() {
        let (coordinator, device) = (identity(1), identity(2));
        let listener = listening(&coordinator, [device.public()], ample());
        let at = address(&listener);
        let connector = Connector::new(device, coordinator.public(), ample());
        let (link, held) =
            tokio::join!(connector.connect(at), async { listener.accept().await.expect("open").welcome().await });
        let _held = held.expect("trusted");
        let mut link = link.expect("welcome");
        let (end, ()) = tokio::join!(link.receive(), listener.shut(Close::ShuttingDown));
        assert!(matches!(end, Err(LinkError::Closed(Close::ShuttingDown))), "{end:?}");
        assert!(listener.accept().await.is_none());
    }

    #[tokio::test]
    async fn an_address_in_use_is_a_sentence() {
        let listener = listening(&identity(1), [], ample());
        let at = address(&listener);
        let refused = Listener::bind(at, &identity(1), Trust::only([]), Protocol::ALL, ample()).expect_err("taken");
        assert_eq!(refused.to_string(), format!("cannot open a UDP socket on {at}; is another program using it?"));
    }

    #[tokio::test]
    async fn each_side_sees_where_the_other_is_and_nothing_is_sent_after_the_end() {
        let (coordinator, device) = (identity(1), identity(2));
        let listener = listening(&coordinator, [device.public()], ample());
        let at = address(&listener);
        let connector = Connector::new(device, coordinator.public(), ample());
        let (link, (knocked, held)) = tokio::join!(connector.connect(at), async {
            let knock = listener.accept().await.expect("open");
            (knock.remote_address(), knock.welcome().await)
        });
        let (mut link, held) = (link.expect("welcome"), held.expect("trusted"));
        assert_eq!(link.remote_address(), Some(at));
        assert_eq!(held.remote_address(), Some(knocked));
        assert!(knocked.ip().is_loopback() && knocked != at);
        link.close(Close::Done);
        assert!(matches!(link.send(b"more").await, Err(LinkError::Ended)));
        assert!(matches!(link.receive().await, Err(LinkError::Ended)));
    }

    #[test]
    fn what_quic_says_is_told_as_what_it_means() {
        let (own, remote) = (identity(2).public(), SocketAddr::from(([192, 0, 2, 7], 9)));
        let ours = |code: u8| ConnectionError::TransportError(TransportErrorCode::crypto(code).into());
        let theirs = |error_code| {
            ConnectionError::ConnectionClosed(quinn::ConnectionClose {
                error_code,
                frame_type: None,
                reason: Default::default(),
            })
        };
        let alert = |code: u8| theirs(TransportErrorCode::crypto(code));
        let application = |code: u32| {
            ConnectionError::ApplicationClosed(quinn::ApplicationClose {
                error_code: VarInt::from_u32(code),
                reason: Default::default(),
            })
        };
        let (connecting, accepting) = (Some(&own), None);
        for (error, side, means) in [
            (ours(alert::ACCESS_DENIED), connecting, "showed a key that is not trusted here"),
            (ours(alert::HANDSHAKE_FAILURE), accepting, "showed no ed25519 key of its own"),
            (ours(alert::BAD_CERTIFICATE), accepting, "showed no ed25519 key of its own"),
            (ours(alert::UNSUPPORTED_CERTIFICATE), accepting, "showed no ed25519 key of its own"),
            (ours(alert::DECRYPT_ERROR), accepting, "showed no ed25519 key of its own"),
            (ours(alert::CERTIFICATE_REQUIRED), accepting, "showed no ed25519 key of its own"),
            (ours(alert::NO_APPLICATION_PROTOCOL), accepting, "what answers there is not hearth"),
            (ours(80), accepting, "the connection failed"),
            (
                ConnectionError::TransportError(TransportErrorCode::INTERNAL_ERROR.into()),
                accepting,
                "the connection failed",
            ),
            (alert(alert::ACCESS_DENIED), connecting, "does not trust this device's key"),
            (alert(alert::ACCESS_DENIED), accepting, "showed a key that is not trusted here"),
            (alert(alert::HANDSHAKE_FAILURE), connecting, "what answers there is not hearth"),
            (alert(alert::CERTIFICATE_REQUIRED), connecting, "what answers there is not hearth"),
            (alert(alert::NO_APPLICATION_PROTOCOL), connecting, "what answers there is not hearth"),
            (theirs(TransportErrorCode::CONNECTION_REFUSED), connecting, "the other side is busy"),
            (theirs(TransportErrorCode::INTERNAL_ERROR), connecting, "the connection failed"),
            (application(Close::CannotKeep.code()), connecting, "the other side cannot write to its store"),
            (application(77), connecting, "for reason 77"),
            (ConnectionError::TimedOut, connecting, "nothing answers at 192.0.2.7:9"),
            (ConnectionError::TimedOut, accepting, "the other side has fallen silent"),
            (ConnectionError::VersionMismatch, connecting, "what answers there is not hearth"),
            (ConnectionError::LocallyClosed, connecting, "the other side is gone"),
            (ConnectionError::Reset, accepting, "the other side is gone"),
            (ConnectionError::CidsExhausted, accepting, "the connection failed"),
        ] {
            let (said, told) = (error.to_string(), told(error, side, remote).to_string());
            assert!(told.contains(means), "{said}: {told}");
        }
    }

    #[test]
    fn a_peer_on_this_machine_is_called_from_this_machine_alone() {
        for (peer, from) in [
            ("127.0.0.1:9", "127.0.0.1:0"),
            ("192.0.2.7:9", "0.0.0.0:0"),
            ("[::1]:9", "[::1]:0"),
            ("[2001:db8::7]:9", "[::]:0"),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(source_for(address(peer)), address(from), "{peer}");
        }
    }

    #[tokio::test]
    async fn both_ends_of_a_link_know_one_channel_and_no_other_link_has_it() {
        let (one, two) = (connected(ample()).await, connected(ample()).await);
        assert_eq!(one.0.channel(), one.1.channel());
        assert_eq!(two.0.channel(), two.1.channel());
        assert_ne!(one.0.channel(), two.0.channel());
    }

    /// A socket that takes bundles and loses them, as some drivers and tunnels do.
    #[derive(Debug)]
    struct Loses {
        bundles: AtomicUsize,
        socket: Arc<dyn AsyncUdpSocket>,
    }

    impl AsyncUdpSocket for Loses {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Arc::clone(&self.socket).create_io_poller()
        }
        fn try_send(&self, sent: &quinn::udp::Transmit<'_>) -> io::Result<()> {
            if sent.segment_size.is_some_and(|size| size < sent.contents.len()) {
                self.bundles.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            self.socket.try_send(sent)
        }
        fn poll_recv(
            &self,
            context: &mut Context<'_>,
            buffers: &mut [io::IoSliceMut<'_>],
            came: &mut [quinn::udp::RecvMeta],
        ) -> Poll<io::Result<usize>> {
            self.socket.poll_recv(context, buffers, came)
        }
        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.socket.local_addr()
        }
        fn max_transmit_segments(&self) -> usize {
            10
        }
        fn max_receive_segments(&self) -> usize {
            self.socket.max_receive_segments()
        }
    }

    #[tokio::test]
    async fn a_link_goes_without_bundles_where_there_are_many_links_or_it_is_to() {
        let (coordinator, device) = (identity(1), identity(2));
        let limits = Limits { links: 64, ..ample() };
        let listener = listening(&coordinator, [device.public()], limits);
        let at = address(&listener);
        let connector = Connector::new(device, coordinator.public(), ample());
        let mut held = Vec::new();
        for (case, plain) in [("the first", false), ("one of many", true)] {
            let (link, there) = tokio::join!(connector.connect(at), async {
                let knock = listener.accept().await.expect("open");
                assert_eq!(knock.plain.is_some(), plain, "{case}");
                knock.welcome().await
            });
            held.push((link.expect("welcome"), there.expect("trusted")));
        }
        let never = Limits { bundles: false, ..ample() };
        let Listener { plain, .. } = listening(&coordinator, [], never);
        for (case, config) in [
            ("of many", format!("{:?}", plain.transport)),
            ("none at all", format!("{:?}", transport(never, None, never.bundles))),
        ] {
            assert!(config.contains("enable_segmentation_offload: false"), "{case}: {config}");
        }
    }

    #[tokio::test]
    async fn where_bundles_are_lost_the_next_link_goes_without() {
        let (coordinator, device) = (identity(1), identity(2));
        // An address that no other test of this process speaks with.
        let here = SocketAddr::from(([127, 0, 9, 1], 0));
        let listener = Listener::bind(here, &coordinator, Trust::only([device.public()]), Protocol::ALL, ample());
        let listener = listener.expect("loopback has ports");
        let at = address(&listener);
        let connector = Connector::new(device, coordinator.public(), ample());
        let message = vec![7; 1 << 20];
        for (attempt, time, arrives) in [("first", Duration::from_secs(2), false), ("next", ample().frame, true)] {
            let socket = std::net::UdpSocket::bind(loopback()).expect("loopback has ports");
            let socket = TokioRuntime.wrap_udp_socket(socket).expect("a socket");
            let socket = Arc::new(Loses { bundles: AtomicUsize::new(0), socket });
            let abstracted = Arc::clone(&socket) as Arc<dyn AsyncUdpSocket>;
            let runtime = Arc::new(TokioRuntime);
            let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, abstracted, runtime);
            let endpoint = endpoint.expect("an endpoint");
            let (link, held) = tokio::join!(connector.connect_from(endpoint, at), async {
                listener.accept().await.expect("open").welcome().await
            });
            let (link, held) = (link.expect("welcome"), held.expect("trusted"));
            let ((mut send, _back), (_forth, mut receive)) =
                (link.split(message.len(), time), held.split(message.len(), ample().frame));
            let receiving = tokio::spawn(async move { receive.receive().await });
            let sent = send.send(&message).await;
            assert_eq!(sent.is_ok(), arrives, "{attempt}: {sent:?}");
            assert_eq!(socket.bundles.load(Ordering::SeqCst) == 0, arrives, "{attempt}");
            if arrives {
                assert_eq!(receiving.await.expect("no panic").expect("sent"), message);
            }
            send.close(Close::Done);
        }
    }

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    /// So ample that no limit passes on a slow machine; a test that waits for one to pass sets that one.
    pub(crate) fn ample() -> Limits {
        let ample = Duration::from_secs(60);
        Limits { greeting: ample, frame: ample, idle: ample, ..Limits::default() }
    }

    fn loopback() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn listening<const N: usize>(identity: &Identity, trusted: [VerifyingKey; N], limits: Limits) -> Listener {
        Listener::bind(loopback(), identity, Trust::only(trusted), Protocol::ALL, limits).expect("loopback has ports")
    }

    fn address(listener: &Listener) -> SocketAddr {
        listener.local_address().expect("bound")
    }

    pub(crate) async fn connected(limits: Limits) -> (Link, Link) {
        let (coordinator, device) = (identity(1), identity(2));
        let listener = listening(&coordinator, [device.public()], limits);
        let at = address(&listener);
        let connector = Connector::new(device, coordinator.public(), limits);
        let (link, held) =
            tokio::join!(connector.connect(at), async { listener.accept().await.expect("open").welcome().await });
        (link.expect("welcome"), held.expect("trusted"))
    }
}
