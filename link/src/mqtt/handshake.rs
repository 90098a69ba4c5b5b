//! From the bytes of a conversation to a link: the same TLS as in QUIC, then the same greeting.

use std::{fmt, io, sync::Arc};

use ed25519_dalek::VerifyingKey;
use rustls::{AlertDescription, CertificateError, ServerConfig, pki_types::ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    board::{Carried, Line},
    carrier::{Mailbox, tag_of_coordinator},
    talk::{End, Farewells},
};
use crate::{
    close::{Close, LinkError},
    hello,
    identity::{Identity, Trust, from_spki, key_text},
    link::Link,
    pipe::{Limits, Pipe},
    tls::{self, Protocol},
    way::Way,
};

/// The two halves of a link have one of these between them.
pub(crate) type Tunneled = TlsStream<Carried>;

/// What this device brings to a handshake.
pub(super) struct Party {
    identity: Identity,
    trust: Trust,
    tag: [u8; 16],
    limits: Limits,
    answers: TlsAcceptor,
    serves: bool,
}

/// Whom a conversation is opened with.
pub(super) struct Callee {
    pub(super) key: VerifyingKey,
    pub(super) at: Mailbox,
    pub(super) trust: Trust,
    pub(super) protocol: Protocol,
}

impl Party {
    /// One of those who know the tag, to whom the others of them may write.
    pub(super) fn new(identity: Identity, trust: Trust, tag: [u8; 16], limits: Limits) -> Self {
        let config: ServerConfig = tls::server_config(&identity, trust.clone(), &[Protocol::Fleet]);
        Self { identity, trust, tag, limits, answers: TlsAcceptor::from(Arc::new(config)), serves: false }
    }

    /// A coordinator, to whom those may write who know its key.
    pub(super) fn serving(identity: Identity, trust: Trust, limits: Limits) -> Self {
        let config: ServerConfig = tls::server_config(&identity, trust.clone(), Protocol::ALL);
        let tag = tag_of_coordinator(&identity.public());
        Self { identity, trust, tag, limits, answers: TlsAcceptor::from(Arc::new(config)), serves: true }
    }

    /// Another of those who know the tag.
    pub(super) fn other(&self, key: &VerifyingKey) -> Callee {
        let at = Mailbox::of(&self.tag, key);
        Callee { key: *key, at, trust: self.trust.clone(), protocol: Protocol::Fleet }
    }

    pub(super) const fn tag(&self) -> &[u8; 16] {
        &self.tag
    }

    /// Where others write to it.
    pub(super) fn mailbox(&self) -> Mailbox {
        Mailbox::of(&self.tag, &self.identity.public())
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// The opening side, which wants the holder of this very key.
    pub(super) async fn greet(&self, stream: Carried, callee: Callee) -> Result<Link, LinkError> {
        let (line, own) = (Arc::clone(&stream.0), self.identity.public());
        let Callee { key: peer, trust, protocol, .. } = callee;
        let only = Trust::by(move |key| *key == peer && trust.knows(key));
        let config = tls::client_config(&self.identity, only, protocol);
        // The name is never sent and never checked: the key is the name.
        let name = ServerName::try_from("hearth.invalid").expect("it is a name");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| explain(&line, Some(&own), LinkError::Transport(error)))?;
        let mut link = self.link(stream.into(), line, Some(own))?;
        link.greeted_by(hello::greet).await?;
        Ok(link)
    }

    /// The side that was written to.
    pub(super) async fn answer(&self, stream: Carried) -> Result<Link, LinkError> {
        let line = Arc::clone(&stream.0);
        let stream = self.answers.accept(stream).await;
        let stream = stream.map_err(|error| explain(&line, None, LinkError::Transport(error)))?;
        let from = line.peer;
        let mut link = self.link(stream.into(), line, None)?;
        // Whoever gives another's mailbox as its own would have us write there. By which tag it was made a coordinator learns later.
        if !self.serves && Mailbox::of(&self.tag, link.peer()) != from {
            link.close(Close::NotTrusted);
            return Err(LinkError::Stranger);
        }
        link.greeted_by(hello::answer).await?;
        Ok(link)
    }

    fn link(&self, stream: Tunneled, line: Arc<Line>, own: Option<VerifyingKey>) -> Result<Link, LinkError> {
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first).ok_or(LinkError::NoKey)?;
        let peer = from_spki(shown)?;
        let protocol = session.alpn_protocol().and_then(Protocol::of_name).ok_or(LinkError::OtherProtocol)?;
        let export = |label: &[u8], context: &[u8]| {
            let exported = match &stream {
                TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], label, Some(context)),
                TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], label, Some(context)),
            };
            exported.expect("an established connection has an exporter, and 32 bytes are a length that it can give")
        };
        let channel = export(b"EXPORTER-hearth-channel", b"");
        let [of_opener, of_answerer] =
            [&b"opener"[..], b"answerer"].map(|side| export(b"EXPORTER-hearth-farewell", side));
        line.prove(match own {
            Some(_) => Farewells { ours: of_opener, theirs: of_answerer },
            None => Farewells { ours: of_answerer, theirs: of_opener },
        });
        Ok(Link::new(Way::Mqtt(Via { line, channel, protocol }), Way::halves(stream), own, peer, self.limits))
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Party({:?})", self.identity)
    }
}

/// What remains known of a conversation beside its stream.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    pub(crate) line: Arc<Line>,
    pub(crate) channel: [u8; 32],
    pub(crate) protocol: Protocol,
}

impl Via {
    /// Where the other side is written to.
    pub(crate) fn mailbox(&self) -> Mailbox {
        self.line.peer
    }

    /// Finds out what is behind an error of the stream. `own` is the key that was shown, when this side opened the conversation.
    pub(crate) fn explain(&self, own: Option<&VerifyingKey>, error: LinkError) -> LinkError {
        explain(&self.line, own, error)
    }
}

fn explain(line: &Line, own: Option<&VerifyingKey>, error: LinkError) -> LinkError {
    let LinkError::Transport(cause) = error else {
        return match (error, line.end()) {
            (LinkError::Ended, Some(end)) => ended(end),
            (error, _) => error,
        };
    };
    if let Some(told) = cause.get_ref().and_then(|cause| cause.downcast_ref()).and_then(|tls| told(tls, own)) {
        return told;
    }
    match line.end() {
        Some(end) => ended(end),
        None if cause.kind() == io::ErrorKind::UnexpectedEof => LinkError::Ended,
        None => LinkError::Transport(cause),
    }
}

fn ended(end: End) -> LinkError {
    match end {
        End::Left | End::Gone => LinkError::Ended,
        End::Closed(reason) => LinkError::Closed(reason),
        End::Busy | End::Displaced => LinkError::Closed(Close::Busy),
        End::Silent => LinkError::Silent,
        End::Lost | End::Overrun => LinkError::Gap,
        End::Broker(error) => LinkError::Broker(error),
    }
}

/// Turns what TLS says into what it means; `None` when that is nothing in particular.
fn told(error: &rustls::Error, own: Option<&VerifyingKey>) -> Option<LinkError> {
    use rustls::Error;
    Some(match (error, own) {
        (Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure), _) => LinkError::Stranger,
        (Error::AlertReceived(AlertDescription::AccessDenied), Some(own)) => LinkError::Refused(key_text(own)),
        // The opening side was shown our key and turned away from it: to us it is just gone.
        (Error::AlertReceived(AlertDescription::AccessDenied), None) => LinkError::Stranger,
        (Error::InvalidCertificate(_) | Error::NoCertificatesPresented, _) => LinkError::NoKey,
        (
            Error::NoApplicationProtocol
            | Error::AlertReceived(
                AlertDescription::NoApplicationProtocol
                | AlertDescription::HandshakeFailure
                | AlertDescription::CertificateRequired,
            ),
            _,
        ) => LinkError::OtherProtocol,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::mpsc::Receiver,
        time::{Duration, Instant},
    };

    use super::{super::board::Board, *};

    const TAG: [u8; 16] = [9; 16];

    /// A device without a broker: its board is written to and read from by the test.
    struct Device {
        party: Party,
        board: Arc<Board>,
        knocks: Receiver<Carried>,
    }

    fn device(seed: u8, mailbox_of: u8, trusted: &[u8]) -> Device {
        let ample = Duration::from_secs(60);
        let limits = Limits { greeting: ample, frame: ample, idle: ample, ..Limits::default() };
        let trust = Trust::only(trusted.iter().map(|seed| key(*seed)));
        let (board, knocks) = Board::new(Mailbox::of(&TAG, &key(mailbox_of)), limits);
        Device { party: Party::new(Identity::from_seed(&[seed; 32]), trust, TAG, limits), board, knocks }
    }

    fn key(seed: u8) -> VerifyingKey {
        Identity::from_seed(&[seed; 32]).public()
    }

    /// Carries what each has to say to the other, through the hands of `broker`, which may change it.
    async fn carry(from: &Device, to: &Device, mut broker: impl FnMut(&mut Vec<u8>)) {
        loop {
            while let Some((topic, mut payload)) = from.board.next(Instant::now(), 1 << 16) {
                broker(&mut payload);
                to.board.hear(Instant::now(), topic.as_bytes(), &payload);
            }
            from.board.bell.notified().await;
        }
    }

    type Met = (Result<Link, LinkError>, Result<Link, LinkError>);

    /// `here` connects to the holder of the first key, and `there` answers.
    async fn meet(here: &Device, there: &mut Device, broker: impl FnMut(&mut Vec<u8>)) -> Met {
        let callee = here.party.other(&key(1));
        meet_as(callee, here, there, broker).await
    }

    async fn meet_as(callee: Callee, here: &Device, there: &mut Device, broker: impl FnMut(&mut Vec<u8>)) -> Met {
        let stream = here.board.open(callee.at, [7; 16], Instant::now()).expect("there is room");
        let Some((topic, open)) = here.board.next(Instant::now(), 1 << 16) else { panic!("it has something to say") };
        there.board.hear(Instant::now(), topic.as_bytes(), &open);
        let knock = there.knocks.try_recv().expect("it knocks");
        let there = &*there;
        tokio::select! {
            met = async { tokio::join!(here.party.greet(stream, callee), there.party.answer(knock)) } => met,
            () = carry(here, there, broker) => unreachable!("it goes on"),
            () = carry(there, here, |_| {}) => unreachable!("it goes on"),
        }
    }

    #[tokio::test]
    async fn two_who_trust_each_other_are_linked() {
        let (here, mut there) = (device(2, 2, &[1]), device(1, 1, &[2]));
        let (link, held) = meet(&here, &mut there, |_| {}).await;
        let (link, held) = (link.expect("welcome"), held.expect("trusted"));
        assert_eq!((*link.peer(), *held.peer()), (key(1), key(2)));
        assert_eq!(link.channel(), held.channel());
    }

    #[tokio::test]
    async fn who_gives_another_mailbox_than_its_own_is_refused() {
        // It is trusted and its key is its own, but we would write to somebody else.
        let (here, mut there) = (device(2, 3, &[1]), device(1, 1, &[2, 3]));
        let (link, held) = meet(&here, &mut there, |_| {}).await;
        assert!(matches!(held, Err(LinkError::Stranger)), "{held:?}");
        assert!(matches!(link, Err(LinkError::Closed(Close::NotTrusted))), "{link:?}");
    }

    fn coordinator(trusted: &[u8]) -> Device {
        let Device { party: Party { trust, limits, .. }, .. } = device(1, 1, trusted);
        let party = Party::serving(Identity::from_seed(&[1; 32]), trust, limits);
        let (board, knocks) = Board::new(party.mailbox(), limits);
        Device { party, board, knocks }
    }

    fn coordinator_as(protocol: Protocol) -> Callee {
        Callee { key: key(1), at: Mailbox::of_coordinator(&key(1)), trust: Trust::only([key(1)]), protocol }
    }

    #[tokio::test]
    async fn a_coordinator_is_reached_by_its_key_for_either_protocol_and_asks_for_the_mailbox_later() {
        for protocol in Protocol::ALL {
            // No device of the tag trusts it, and it knows no tag.
            let (here, mut there) = (device(2, 2, &[3]), coordinator(&[2]));
            let (link, held) = meet_as(coordinator_as(*protocol), &here, &mut there, |_| {}).await;
            let (link, held) = (link.expect("welcome"), held.expect("trusted"));
            assert_eq!((link.protocol(), held.protocol()), (Some(*protocol), Some(*protocol)));
            assert_eq!(held.mailbox(), Some(Mailbox::of(&TAG, &key(2))));
        }
        let (here, mut there) = (device(2, 3, &[]), coordinator(&[2, 3]));
        let (_link, held) = meet_as(coordinator_as(Protocol::Fleet), &here, &mut there, |_| {}).await;
        assert_eq!(
            held.expect("trusted").mailbox(),
            Some(Mailbox::of(&TAG, &key(3))),
            "it gives another's mailbox as its own"
        );
    }

    #[tokio::test]
    async fn a_coordinator_turns_strangers_away_and_devices_take_no_reports() {
        let (here, mut there) = (device(2, 2, &[]), coordinator(&[3]));
        let (link, held) = meet_as(coordinator_as(Protocol::Fleet), &here, &mut there, |_| {}).await;
        assert!(matches!(link, Err(LinkError::Refused(_))) && matches!(held, Err(LinkError::Stranger)));
        let (here, mut there) = (device(2, 2, &[1]), device(1, 1, &[2]));
        let report = Callee { protocol: Protocol::Report, ..here.party.other(&key(1)) };
        let (link, held) = meet_as(report, &here, &mut there, |_| {}).await;
        let is_other = |met: &Result<Link, LinkError>| matches!(met, Err(LinkError::OtherProtocol));
        assert!(is_other(&link) && is_other(&held), "{link:?}, {held:?}");
    }

    #[tokio::test]
    async fn who_answers_with_another_key_than_was_called_is_refused() {
        let (here, mut there) = (device(2, 2, &[1, 3]), device(3, 1, &[2]));
        let (link, held) = meet(&here, &mut there, |_| {}).await;
        assert!(matches!(link, Err(LinkError::Stranger)), "{link:?}");
        assert!(held.is_err());
    }

    #[tokio::test]
    async fn a_broker_that_changes_a_byte_anywhere_only_cuts() {
        // Of the first message with a body; further ones are sealed by the same TLS.
        for at in [26, 40, 90, 200] {
            let (here, mut there) = (device(2, 2, &[1]), device(1, 1, &[2]));
            let mut changed = false;
            let lie = |payload: &mut Vec<u8>| {
                if payload[1] == 1 && payload.len() > at && !changed {
                    payload[at] ^= 1;
                    changed = true;
                }
            };
            let (link, held) = meet(&here, &mut there, lie).await;
            assert!(link.is_err() && held.is_err(), "byte {at}: {link:?}, {held:?}");
        }
    }

    #[test]
    fn what_tls_says_is_told_as_what_it_means() {
        use rustls::Error;

        let own = key(2);
        let alert = Error::AlertReceived;
        for (error, side, means) in [
            (
                Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
                Some(&own),
                Some("showed a key that is not trusted here"),
            ),
            (Error::InvalidCertificate(CertificateError::BadEncoding), None, Some("showed no ed25519 key of its own")),
            (Error::NoCertificatesPresented, None, Some("showed no ed25519 key of its own")),
            (alert(AlertDescription::AccessDenied), Some(&own), Some("does not trust this device's key")),
            (alert(AlertDescription::AccessDenied), None, Some("showed a key that is not trusted here")),
            (alert(AlertDescription::NoApplicationProtocol), Some(&own), Some("what answers there is not hearth")),
            (alert(AlertDescription::HandshakeFailure), Some(&own), Some("what answers there is not hearth")),
            (Error::NoApplicationProtocol, None, Some("what answers there is not hearth")),
            (alert(AlertDescription::InternalError), None, None),
            (Error::DecryptError, None, None),
        ] {
            let told = told(&error, side).map(|told| told.to_string());
            let is_meant = match (&told, means) {
                (Some(told), Some(means)) => told.contains(means),
                (told, means) => told.is_none() && means.is_none(),
            };
            assert!(is_meant, "{error}: {told:?}");
        }
    }

    #[test]
    fn every_end_is_told_as_what_it_means() {
        for (end, means) in [
            (End::Left, "the other side is gone"),
            (End::Gone, "the other side is gone"),
            (End::Closed(Close::CannotKeep), "cannot write to its store"),
            (End::Busy, "the other side is busy"),
            (End::Displaced, "the other side is busy"),
            (End::Silent, "has fallen silent"),
            (End::Lost, "the broker lost or repeated a part"),
            (End::Overrun, "the broker lost or repeated a part"),
            (End::Broker(super::super::broker::BrokerError::Closed), "was closed here"),
        ] {
            let told = ended(end.clone()).to_string();
            assert!(told.contains(means), "{end:?}: {told}");
        }
    }
}
