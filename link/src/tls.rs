//! TLS 1.3 with bare ed25519 keys on both sides (RFC 7250): no certificates, no names, no clock.
//!
//! Sessions are never resumed, because a resumed one would not ask again whether the peer's key is still trusted.

use std::{fmt, sync::Arc};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use crate::identity::{Identity, Trust, from_spki, to_spki};

/// What is spoken over a link. It is named inside TLS (ALPN, RFC 7301), so that nothing else is talked to by mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Reports to the coordinator.
    Report,
    /// What nodes and relays of a fleet say to each other.
    Fleet,
}

impl Protocol {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Report, Self::Fleet];

    /// The name by which it is negotiated.
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Report => b"hearth/1",
            Self::Fleet => b"hearth-fleet/1",
        }
    }

    pub(crate) fn of_name(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|protocol| protocol.name() == name)
    }
}

/// What the listening side brings to a handshake.
pub(crate) fn server(identity: &Identity, trust: Trust, protocols: &[Protocol]) -> QuicServerConfig {
    QuicServerConfig::try_from(server_config(identity, trust, protocols))
        .expect("the provider has QUIC's first cipher suite")
}

/// The same, for a stream of bytes.
pub(crate) fn server_config(identity: &Identity, trust: Trust, protocols: &[Protocol]) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(Verifier::new(trust, &provider)))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(identity))));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.name().to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

/// What the connecting side brings to a handshake.
pub(crate) fn client(identity: &Identity, trust: Trust, protocol: Protocol) -> QuicClientConfig {
    QuicClientConfig::try_from(client_config(identity, trust, protocol))
        .expect("the provider has QUIC's first cipher suite")
}

/// The same, for a stream of bytes.
pub(crate) fn client_config(identity: &Identity, trust: Trust, protocol: Protocol) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let mut config = client_builder(&provider, trust)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(identity))));
    settle(&mut config, protocol);
    config
}

/// A client that has no key to show, which every server must refuse.
#[cfg(test)]
pub(crate) fn client_without_key(trust: Trust) -> QuicClientConfig {
    let mut config = client_builder(&Arc::new(ring::default_provider()), trust).with_no_client_auth();
    settle(&mut config, Protocol::Report);
    QuicClientConfig::try_from(config).expect("the provider has QUIC's first cipher suite")
}

/// A client that shows a key of which it does not hold the private half, which every server must refuse.
#[cfg(test)]
pub(crate) fn client_with_stolen_key(
    own: &Identity,
    shown: &ed25519_dalek::VerifyingKey,
    trust: Trust,
) -> QuicClientConfig {
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&own.to_pkcs8()[..])).expect("a key");
    #[derive(Debug)]
    struct Mask(Arc<dyn rustls::sign::SigningKey>);
    impl rustls::sign::SigningKey for Mask {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
            self.0.choose_scheme(offered)
        }
        fn algorithm(&self) -> rustls::SignatureAlgorithm {
            self.0.algorithm()
        }
    }
    let certified = CertifiedKey::new(vec![CertificateDer::from(to_spki(shown))], Arc::new(Mask(signer)));
    let mut config = client_builder(&Arc::new(ring::default_provider()), trust)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(certified))));
    settle(&mut config, Protocol::Report);
    QuicClientConfig::try_from(config).expect("the provider has QUIC's first cipher suite")
}

fn client_builder(
    provider: &Arc<CryptoProvider>,
    trust: Trust,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(trust, provider)))
}

fn settle(config: &mut ClientConfig, protocol: Protocol) {
    config.alpn_protocols = vec![protocol.name().to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&identity.to_pkcs8()[..]))
        .expect("every 32 bytes are an ed25519 private key");
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(to_spki(&identity.public()))], key))
}

/// Lets in the peers whose key is trusted and who prove that it is theirs.
struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(trust: Trust, provider: &CryptoProvider) -> Self {
        Self { trust, algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, presented: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let key = from_spki(presented).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match others.is_empty() && self.trust.knows(&key) {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(presented.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(presented, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, presented, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(presented, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, presented, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
