//! Why a link ends, or never came to be, as sentences.
//!
//! [`Close`] is what one side tells the other in a number; [`LinkError`] is what this side makes of everything that went wrong.

use std::{io, net::SocketAddr};

use crate::{frame::NotAFrame, identity::NotAKey, mqtt::BrokerError};

/// Why one side closed a link. The numbers are part of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Close {
    /// Nothing is left to say.
    #[error("the other side had nothing more to say")]
    Done,
    /// The program ends; another one may follow it.
    #[error("the other side is shutting down; it may be back soon")]
    ShuttingDown,
    /// The key is no longer trusted.
    #[error(
        "the other side does not trust this device's key any more; if it should, add the key to its trusted keys again"
    )]
    NotTrusted,
    /// A frame was longer than agreed.
    #[error("the other side was sent a frame longer than it takes")]
    Oversized,
    /// What came was no frame or no message.
    #[error("the other side could not read what it was sent; are both programs of the same release?")]
    Garbage,
    /// The rest of a frame, or of the greeting, did not come in time.
    #[error("the other side waited too long for the rest of a message; is the network overloaded?")]
    Slow,
    /// No version of the protocol is known to both.
    #[error("the other side speaks no version of the protocol that this program speaks; update the older one")]
    Version,
    /// There are as many links as there may be.
    #[error("the other side is busy; it can be asked again later")]
    Busy,
    /// The message was understood and could not be written down.
    #[error("the other side cannot write to its store; look at its log")]
    CannotKeep,
    /// A newer link of the same device took the place of this one.
    #[error(
        "another link with the same key took its place; if this device was copied from another one, give it a key of its own"
    )]
    Replaced,
    /// A later version of hearth knows what this means.
    #[error("the other side closed the link for reason {0}, which this version does not know")]
    Other(u32),
}

const CODES: [(Close, u32); 10] = [
    (Close::Done, 0),
    (Close::ShuttingDown, 1),
    (Close::NotTrusted, 2),
    (Close::Oversized, 3),
    (Close::Garbage, 4),
    (Close::Slow, 5),
    (Close::Version, 6),
    (Close::Busy, 7),
    (Close::CannotKeep, 8),
    (Close::Replaced, 9),
];

impl Close {
    /// The number that stands for this reason on the wire.
    pub fn code(self) -> u32 {
        match self {
            Self::Other(code) => code,
            known => CODES.iter().find(|(close, _)| *close == known).expect("every named reason has a code").1,
        }
    }

    /// The reason that a peer's number stands for.
    pub fn from_code(code: u64) -> Self {
        let code = u32::try_from(code).unwrap_or(u32::MAX);
        CODES.iter().find(|(_, known)| *known == code).map_or(Self::Other(code), |(close, _)| *close)
    }
}

/// Why there is no link, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be had.
    #[error("cannot open a UDP socket on {address}; is another program using it?")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answered.
    #[error("nothing answers at {0}; is the other side running there, and does the network let UDP through?")]
    NoAnswer(SocketAddr),
    /// Nobody answered through the broker.
    #[error(
        "the device does not answer through the broker; is hearth running there, connected to the same broker, and in this fleet?"
    )]
    NotListening,
    /// There is no connection to the broker, or no longer one.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A message is missing, and the broker is to blame.
    #[error("the broker lost or repeated a part of what was said; the link must be opened again")]
    Gap,
    /// The peer's key is not one that is trusted here.
    #[error(
        "the other side showed a key that is not trusted here; if it is the right machine, its key must be trusted first"
    )]
    Stranger,
    /// The peer showed no key, or one of another kind.
    #[error("the other side showed no ed25519 key of its own; only programs of a hearth fleet can connect here")]
    NoKey,
    /// The peer does not trust our key.
    #[error("the other side does not trust this device's key {0}; add it to the trusted keys there")]
    Refused(String),
    /// The peer speaks QUIC, but not our protocol.
    #[error("what answers there is not hearth, or is of a release that shares no protocol with this one")]
    OtherProtocol,
    /// The peer's key is not one that can be used.
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// The bytes that came are no frames.
    #[error(transparent)]
    Frame(#[from] NotAFrame),
    /// The first frame was no greeting.
    #[error("the other side did not open with a greeting of hearth: {0}")]
    Greeting(String),
    /// The greeting shares no version with us.
    #[error(
        "the other side speaks versions {least} to {newest} of the protocol, and this program {ours}; update the older one"
    )]
    Version {
        /// The oldest version that the peer speaks.
        least: u16,
        /// The newest version that the peer speaks.
        newest: u16,
        /// What this program speaks.
        ours: u16,
    },
    /// The rest of a frame, or of the greeting, did not come in time.
    #[error("the other side did not finish a message in time")]
    Slow,
    /// Nothing came for so long that the peer must be gone.
    #[error("the other side has fallen silent")]
    Silent,
    /// The peer left without a word.
    #[error("the other side is gone")]
    Ended,
    /// The peer gave a reason.
    #[error(transparent)]
    Closed(Close),
    /// An earlier frame was given up half written, so that nothing after it could be understood.
    #[error("an earlier message was not sent to its end; the link must be opened again")]
    Torn,
    /// The transport failed in another way.
    #[error("the connection failed")]
    Transport(#[source] io::Error),
}

impl LinkError {
    /// What to tell the peer about an error that it made; `None` when there is nobody left to tell, or nothing to blame on it.
    pub fn to_close(&self) -> Option<Close> {
        match self {
            Self::Frame(NotAFrame::TooLong { .. }) => Some(Close::Oversized),
            Self::Frame(NotAFrame::Empty) | Self::Greeting(_) | Self::Key(_) => Some(Close::Garbage),
            Self::Version { .. } => Some(Close::Version),
            Self::Slow => Some(Close::Slow),
            Self::Torn => Some(Close::Done),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire_and_an_unknown_one_stays_readable() {
        for (close, code) in CODES {
            assert_eq!((close.code(), Close::from_code(u64::from(code))), (code, close));
        }
        assert_eq!(Close::from_code(77), Close::Other(77));
        assert_eq!(Close::from_code(u64::MAX).code(), u32::MAX);
        assert!(Close::Other(77).to_string().contains("77"));
    }

    #[test]
    fn a_peer_is_told_of_its_own_errors_and_of_no_others() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let system = || io::Error::from(io::ErrorKind::Other);
        for (error, told) in [
            (NotAFrame::TooLong { declared: 9, most: 1 }.into(), Some(Close::Oversized)),
            (NotAFrame::Empty.into(), Some(Close::Garbage)),
            (LinkError::Greeting("noise".into()), Some(Close::Garbage)),
            (NotAKey::Kind.into(), Some(Close::Garbage)),
            (LinkError::Version { least: 2, newest: 3, ours: 1 }, Some(Close::Version)),
            (LinkError::Slow, Some(Close::Slow)),
            (LinkError::Torn, Some(Close::Done)),
            (LinkError::Bind { address, source: system() }, None),
            (LinkError::NoAnswer(address), None),
            (LinkError::NotListening, None),
            (BrokerError::Closed.into(), None),
            (LinkError::Gap, None),
            (LinkError::Stranger, None),
            (LinkError::NoKey, None),
            (LinkError::Refused("07".into()), None),
            (LinkError::OtherProtocol, None),
            (LinkError::Silent, None),
            (LinkError::Ended, None),
            (LinkError::Closed(Close::Busy), None),
            (LinkError::Transport(system()), None),
        ] {
            assert_eq!(error.to_close(), told, "{error}");
        }
    }
}
