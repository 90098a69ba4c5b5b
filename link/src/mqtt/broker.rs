//! Which broker, how it is reached, and what can be wrong with it, as sentences.
//!
//! The TLS to the broker is our own: rumqttc's would bring along crates that are advised against. It protects the owner's password and
//! nothing else; what devices say to each other is sealed before it gets here.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// The port of a broker that speaks TLS, when none is named.
const PORT: u16 = 8883;

/// How long a broker may take for anything, when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker that passes on messages, and is trusted with nothing else.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub tls: Tls,
    /// The name and the password that it asks for.
    pub user: Option<(String, Secret)>,
    /// Which version of MQTT is spoken; 3.1.1 is enough for everything.
    pub version: Version,
    /// How long it may take for anything: to be reached, to acknowledge, to deliver. Then everything is built anew.
    pub patience: Duration,
    /// Is asked for leave before each connection.
    pub permit: Permit,
}

impl Broker {
    /// The broker at `HOST` or `HOST:PORT`, without a user and in MQTT 3.1.1.
    pub fn at(address: &str, tls: Tls) -> Result<Self, NotABroker> {
        let (host, port) = match address.rsplit_once(':') {
            // An address of IPv6 has colons of its own and stands in brackets when a port follows.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (address, PORT),
            Some((_, tail)) if tail.ends_with(']') => (address, PORT),
            Some((host, port)) => (host, port.parse().map_err(|_| NotABroker(address.to_owned()))?),
            None => (address, PORT),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "/@[]".contains(letter);
        if host.is_empty() || host.contains(odd) || port == 0 {
            return Err(NotABroker(address.to_owned()));
        }
        let permit = Permit::by(|_, _| Ok(()));
        Ok(Self { host: host.to_owned(), port, tls, user: None, version: Version::V3, patience: PATIENCE, permit })
    }

    /// How people call it.
    pub(super) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Why a text does not name a broker.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` does not name a broker; write its name or address and its port, such as mqtt.example.org:8883")]
pub struct NotABroker(String);

/// How the way to a broker is protected.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Not at all: whoever is on the way sees the password. For a broker on this machine or in a network of one's own.
    Plain,
    /// By TLS, as the authorities say whose certificates the system has.
    Roots,
    /// By TLS, as the authorities say whose certificates are in this file (PEM).
    CaFile(PathBuf),
    /// By TLS, as the authorities say whose certificates these are (PEM).
    Ca(Vec<u8>),
}

/// Which version of MQTT is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// 3.1.1, which every broker speaks.
    #[default]
    V3,
    /// 5, whose brokers say why they refuse something.
    V5,
}

/// A password. It shows itself to nobody.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps this password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What gives leave to connect to a host and a port, or says in a sentence why not.
#[derive(Clone)]
pub struct Permit(Arc<Gate>);

type Gate = dyn Fn(&str, u16) -> Result<(), String> + Send + Sync;

impl Permit {
    /// Asks `gate`, which must answer at once.
    pub fn by(gate: impl Fn(&str, u16) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(gate))
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// Why there is no connection to the broker.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BrokerError {
    /// It was not tried yet.
    #[error("the broker {0} has not answered yet")]
    NotYet(String),
    /// The gate of this device does not let it.
    #[error("this device may not connect to the broker {address}: {why}")]
    Forbidden {
        /// Which broker.
        address: String,
        /// What the gate said.
        why: String,
    },
    /// Nobody answered.
    #[error("the broker {address} cannot be reached; is it running, and are its address and port right?")]
    Unreachable {
        /// Which broker.
        address: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// It does not prove who it is, or does not speak TLS.
    #[error(
        "the broker {address} shows no certificate that is trusted here; name the file of the authority that made it, and reach the broker by the name in it"
    )]
    Untrusted {
        /// Which broker.
        address: String,
        /// What TLS said.
        source: Arc<io::Error>,
    },
    /// The authorities that it should be checked by cannot be had.
    #[error(
        "the authorities for the broker's certificate cannot be read from {place}; it must hold certificates in the form of PEM"
    )]
    NoAuthorities {
        /// Where they should be.
        place: String,
        /// What is wrong there.
        source: Arc<io::Error>,
    },
    /// It wants another name or password.
    #[error("the broker {0} does not accept this user and password; set those that its owner has given")]
    Password(String),
    /// It refuses for a reason of its own.
    #[error("the broker {address} refuses the connection ({why}); its log may say more")]
    Refused {
        /// Which broker.
        address: String,
        /// What it said.
        why: String,
    },
    /// It does not let this user speak or listen.
    #[error("the broker {0} does not let this user read and write hearth/1/#; allow both in its access list")]
    NotAllowed(String),
    /// It takes messages and nothing comes of it.
    #[error(
        "the broker {0} does not deliver what is sent; if it stays so, look whether its access list lets this user read and write hearth/1/#"
    )]
    Stuck(String),
    /// It was there and is gone.
    #[error("the connection to the broker {address} was lost; it is opened again by itself")]
    Lost {
        /// Which broker.
        address: String,
        /// What broke it.
        source: Arc<io::Error>,
    },
    /// This program does not use it any more.
    #[error("the connection to the broker was closed here")]
    Closed,
}

/// A connection to the broker, before MQTT is spoken on it.
pub(super) trait Way: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Way for T {}

/// Connects to the broker, and has it prove who it is where that was asked for.
pub(super) async fn dial(broker: &Broker) -> Result<Box<dyn Way>, BrokerError> {
    let address = broker.address();
    // Both look at the disk.
    let (asked, host, port, tls) = (broker.permit.clone(), broker.host.clone(), broker.port, broker.tls.clone());
    let called = address.clone();
    let asking = tokio::task::spawn_blocking(move || {
        (asked.0)(&host, port).map_err(|why| BrokerError::Forbidden { address: called, why })?;
        authorities(&tls)
    });
    let config = asking.await.map_err(|_| BrokerError::Closed)??;
    let unreachable = |source| BrokerError::Unreachable { address: address.clone(), source: Arc::new(source) };
    let stream = TcpStream::connect((broker.host.as_str(), broker.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(config) = config else { return Ok(Box::new(stream)) };
    let untrusted = |source| BrokerError::Untrusted { address: address.clone(), source: Arc::new(source) };
    let name = ServerName::try_from(broker.host.clone()).map_err(|error| untrusted(io::Error::other(error)))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(untrusted)?;
    Ok(Box::new(stream))
}

fn authorities(tls: &Tls) -> Result<Option<ClientConfig>, BrokerError> {
    let missing =
        |place: &str, why: io::Error| BrokerError::NoAuthorities { place: place.into(), source: Arc::new(why) };
    let (place, found) = match tls {
        Tls::Plain => return Ok(None),
        Tls::Roots => ("the system".to_owned(), Ok(rustls_native_certs::load_native_certs().certs)),
        Tls::CaFile(path) => (path.display().to_string(), std::fs::read(path).and_then(|pem| certificates(&pem))),
        Tls::Ca(pem) => ("the settings".to_owned(), certificates(pem)),
    };
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.map_err(|why| missing(&place, why))?);
    if usable == 0 {
        return Err(missing(&place, io::Error::new(io::ErrorKind::InvalidData, "there is no usable certificate")));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(config))
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_its_host_and_maybe_its_port() {
        for (text, host, port) in [
            ("mqtt.example.org", "mqtt.example.org", 8883),
            ("mqtt.example.org:1883", "mqtt.example.org", 1883),
            ("192.0.2.7:99", "192.0.2.7", 99),
            ("[2001:db8::7]:99", "2001:db8::7", 99),
            ("[2001:db8::7]", "2001:db8::7", 8883),
            ("2001:db8::7", "2001:db8::7", 8883),
        ] {
            let broker = Broker::at(text, Tls::Roots).expect(text);
            assert_eq!((broker.host.as_str(), broker.port), (host, port), "{text}");
            assert_eq!(Broker::at(&broker.address(), Tls::Roots).expect(text).host, host, "{text}");
        }
        for text in ["", ":1883", "host:0", "host:65536", "mqtt://host", "a b", "user@host:1"] {
            let refused = Broker::at(text, Tls::Roots).expect_err(text).to_string();
            assert!(refused.starts_with(&format!("`{text}` does not name a broker")), "{refused}");
        }
    }

    #[test]
    fn a_password_is_shown_to_nobody() {
        let mut broker = Broker::at("host", Tls::Plain).expect("a host");
        broker.user = Some(("ember".into(), Secret::new("correct horse")));
        let shown = format!("{broker:?}");
        assert!(shown.contains("ember") && !shown.contains("horse"), "{shown}");
    }

    #[tokio::test]
    async fn a_broker_that_may_not_be_reached_is_not_reached() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        listener.set_nonblocking(true).expect("a socket");
        let at = listener.local_addr().expect("bound");
        let mut broker = Broker::at(&at.to_string(), Tls::Plain).expect("an address");
        broker.permit = Permit::by(|host, port| Err(format!("{host} and {port} are not on the list")));
        let refused = dial(&broker).await.err().expect("refused").to_string();
        assert!(refused.ends_with(&format!("127.0.0.1 and {} are not on the list", at.port())), "{refused}");
        assert_eq!(listener.accept().expect_err("nobody came").kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_broker_that_cannot_be_asked_is_a_sentence() {
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("loopback has ports");
        for (case, tls, says) in [
            ("nobody there", Tls::Plain, "cannot be reached"),
            ("a file that is not there", Tls::CaFile("/nowhere/ca.pem".into()), "cannot be read from /nowhere/ca.pem"),
            ("no certificates", Tls::Ca(b"hello".to_vec()), "must hold certificates"),
        ] {
            let broker = Broker::at(&free.to_string(), tls).expect("an address");
            let refused = dial(&broker).await.err().expect(case).to_string();
            assert!(refused.contains(says), "{case}: {refused}");
        }
    }
}
