//! What one MQTT message carries: a small header, and up to 64 KiB of a conversation between two mailboxes.
//!
//! [`Message::read`] takes whatever a broker hands over and allocates nothing by it. Nothing here is secret and nothing is proven: what
//! the broker could change is only where the TLS inside is cut.

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

/// How many bytes of a conversation go into one message at most.
pub const BODY_MAX: usize = 64 * 1024;

/// How many bytes precede them.
pub const HEADER: usize = 26;

/// The version of this header, the only one there is.
const VERSION: u8 = 1;

/// What every topic begins with.
const ROOM: &str = "hearth/1/";

/// Set in the kind of what the side says that did not open the conversation.
const ANSWERS: u8 = 0x80;

/// Where a device is reached: what the broker knows it by. It says nothing about the key to whoever does not know the tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mailbox([u8; 16]);

impl Mailbox {
    /// The mailbox of the holder of this key, among those who know the tag.
    pub fn of(tag: &[u8; 16], key: &VerifyingKey) -> Self {
        let digest = Sha256::new().chain_update(b"hearth/mailbox/1").chain_update(tag).chain_update(key.as_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        Self(*digest.first_chunk().expect("32 bytes begin with 16"))
    }

    /// The mailbox of a coordinator, which everybody may know who knows its key.
    pub fn of_coordinator(key: &VerifyingKey) -> Self {
        Self::of(&tag_of_coordinator(key), key)
    }

    /// What to subscribe to, to hear everybody who writes here.
    pub fn filter(&self) -> String {
        format!("{ROOM}{self}/+")
    }

    /// Where `from` writes to this mailbox.
    pub fn topic(&self, from: &Self) -> String {
        format!("{ROOM}{self}/{from}")
    }

    /// Who wrote here, by the topic; `None` when the topic is not one of this mailbox.
    pub fn writer(&self, topic: &[u8]) -> Option<Self> {
        let (to, from) = topic.strip_prefix(ROOM.as_bytes())?.split_at_checked(33)?;
        let ours = to == format!("{self}/").as_bytes();
        let from = HEXLOWER.decode(from).ok().filter(|_| ours)?;
        Some(Self(from.try_into().ok()?))
    }
}

/// The tag that everybody has in common who writes to the coordinator with this key: it serves many fleets, whose own tags it learns later.
pub fn tag_of_coordinator(key: &VerifyingKey) -> [u8; 16] {
    let digest = Sha256::new().chain_update(b"hearth/coordinator-tag/1").chain_update(key.as_bytes()).finalize();
    *digest.first_chunk().expect("32 bytes begin with 16")
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({self})")
    }
}

/// The name of one conversation: random bytes that its opener chose.
pub type Name = [u8; 16];

/// Which side of a conversation speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The side that began.
    Opener,
    /// The side that was written to.
    Answerer,
}

impl Side {
    /// The one opposite.
    pub const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Answerer,
            Self::Answerer => Self::Opener,
        }
    }
}

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'a> {
    /// A conversation begins.
    Open,
    /// Bytes of it, at least one.
    Data(&'a [u8]),
    /// No more data comes from this side.
    End,
    /// What the other side may count on.
    Receipt {
        /// The number of the message that is waited for: all before it is here.
        heard: u64,
        /// How much data may have been sent, counted from the beginning.
        allowed: u64,
    },
    /// The side is still there.
    Beat,
    /// The side has left.
    Close {
        /// Why, as a number of [`crate::Close`].
        code: u32,
        /// Shows that it was the peer who said so, once both keys are proven.
        proof: [u8; 32],
    },
    /// There is no such conversation here, or none any more. It stands outside of the numbering.
    Unknown,
    /// There is no room for another conversation. It stands outside of the numbering.
    Busy,
    /// What a device sends to itself, to see whether the broker delivers.
    Echo,
}

/// One message between two mailboxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// The conversation that it belongs to.
    pub name: Name,
    /// Who says it.
    pub side: Side,
    /// Counts what this side has said in this conversation, from 0.
    pub seq: u64,
    /// What it says.
    pub kind: Kind<'a>,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAMessage {
    /// It ends within the header.
    #[error("it is shorter than a header")]
    Short,
    /// The header is of a later version.
    #[error("its header has version {0}, and this program knows {VERSION}; update the older one")]
    Version(u8),
    /// The kind is not known.
    #[error("it is of kind {0}, which this program does not know")]
    Kind(u8),
    /// What follows the header is too long or too short for its kind.
    #[error("{0} bytes follow its header, which is not what its kind has")]
    Body(usize),
}

impl<'a> Message<'a> {
    /// The bytes that are published.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + 36);
        let side = if self.side == Side::Answerer { ANSWERS } else { 0 };
        bytes.extend_from_slice(&[VERSION, self.kind.number() | side]);
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        match self.kind {
            Kind::Data(body) => bytes.extend_from_slice(body),
            Kind::Receipt { heard, allowed } => {
                bytes.extend_from_slice(&heard.to_be_bytes());
                bytes.extend_from_slice(&allowed.to_be_bytes());
            }
            Kind::Close { code, proof } => {
                bytes.extend_from_slice(&code.to_be_bytes());
                bytes.extend_from_slice(&proof);
            }
            Kind::Open | Kind::End | Kind::Beat | Kind::Unknown | Kind::Busy | Kind::Echo => {}
        }
        bytes
    }

    /// Reads what [`Message::write`] writes and nothing else; there is one way to write each message.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NotAMessage> {
        let (header, body) = bytes.split_first_chunk::<HEADER>().ok_or(NotAMessage::Short)?;
        let [version, kind, rest @ ..] = header;
        if *version != VERSION {
            return Err(NotAMessage::Version(*version));
        }
        let (name, seq) = rest.split_first_chunk().expect("16 bytes of 24");
        let seq = u64::from_be_bytes(seq.try_into().expect("the other 8"));
        let side = if kind & ANSWERS == 0 { Side::Opener } else { Side::Answerer };
        let kind = Kind::read(kind & !ANSWERS, body)?;
        Ok(Self { name: *name, side, seq, kind })
    }
}

impl<'a> Kind<'a> {
    const fn number(self) -> u8 {
        match self {
            Kind::Open => 0,
            Kind::Data(_) => 1,
            Kind::End => 2,
            Kind::Receipt { .. } => 3,
            Kind::Beat => 4,
            Kind::Close { .. } => 5,
            Kind::Unknown => 6,
            Kind::Busy => 7,
            Kind::Echo => 8,
        }
    }

    fn read(number: u8, body: &'a [u8]) -> Result<Self, NotAMessage> {
        let bare = |kind| if body.is_empty() { Ok(kind) } else { Err(NotAMessage::Body(body.len())) };
        let wrong = NotAMessage::Body(body.len());
        match number {
            0 => bare(Kind::Open),
            1 if (1..=BODY_MAX).contains(&body.len()) => Ok(Kind::Data(body)),
            1 => Err(wrong),
            2 => bare(Kind::End),
            3 => {
                let (heard, allowed) = body.split_first_chunk().ok_or(wrong)?;
                let allowed = allowed.try_into().map_err(|_| wrong)?;
                Ok(Kind::Receipt { heard: u64::from_be_bytes(*heard), allowed: u64::from_be_bytes(allowed) })
            }
            4 => bare(Kind::Beat),
            5 => {
                let (code, proof) = body.split_first_chunk().ok_or(wrong)?;
                let proof = proof.try_into().map_err(|_| wrong)?;
                Ok(Kind::Close { code: u32::from_be_bytes(*code), proof })
            }
            6 => bare(Kind::Unknown),
            7 => bare(Kind::Busy),
            8 => bare(Kind::Echo),
            unknown => Err(NotAMessage::Kind(unknown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Identity;

    fn mailbox(seed: u8) -> Mailbox {
        Mailbox::of(&[9; 16], &Identity::from_seed(&[seed; 32]).public())
    }

    #[test]
    fn a_mailbox_follows_from_the_tag_and_the_key_and_shows_neither() {
        let key = Identity::from_seed(&[1; 32]).public();
        assert_eq!(mailbox(1), mailbox(1));
        assert_ne!(mailbox(1), mailbox(2));
        assert_ne!(mailbox(1), Mailbox::of(&[8; 16], &key));
        assert_eq!(mailbox(1).to_string(), "de7d8b5a9e4e19b4b493bbfa0841c2af");
        assert!(!mailbox(1).to_string().contains(&crate::key_text(&key)[..8]));
    }

    #[test]
    fn a_coordinator_is_found_by_its_key_alone_and_no_fleets_tag_leads_there() {
        let key = Identity::from_seed(&[1; 32]).public();
        let found = Mailbox::of_coordinator(&key);
        assert_eq!(found, Mailbox::of(&tag_of_coordinator(&key), &key));
        assert_eq!(found.to_string(), "ea5b47040cc059a435819902226d9842");
        assert_ne!(found, Mailbox::of_coordinator(&Identity::from_seed(&[2; 32]).public()));
        assert_ne!(found, mailbox(1));
    }

    #[test]
    fn a_topic_says_to_whom_and_from_whom_and_a_strange_one_says_nothing() {
        let (to, from) = (mailbox(1), mailbox(2));
        let topic = to.topic(&from);
        assert_eq!(topic, format!("hearth/1/{to}/{from}"));
        assert_eq!(to.filter(), format!("hearth/1/{to}/+"));
        for (case, topic, writer) in [
            ("as written", topic.clone(), Some(from)),
            ("to another", from.topic(&to), None),
            ("of another version", topic.replace("/1/", "/2/"), None),
            ("without a writer", format!("hearth/1/{to}/"), None),
            ("a writer cut short", topic[..topic.len() - 2].to_owned(), None),
            ("something after it", format!("{topic}/x"), None),
            ("capitals", format!("hearth/1/{to}/{}", from.to_string().to_uppercase()), None),
            ("nothing", String::new(), None),
            ("letters of several bytes", "hearth/1/äöüäöüäöüäöüäöüäöüäöü".into(), None),
        ] {
            assert_eq!(to.writer(topic.as_bytes()), writer, "{case}");
        }
    }

    #[test]
    fn what_is_not_a_message_is_refused_by_its_first_wrong_part() {
        let written = |kind| Message { name: [7; 16], side: Side::Opener, seq: 3, kind }.write();
        for (case, bytes, refused) in [
            ("nothing", vec![], NotAMessage::Short),
            ("half a header", written(Kind::Open)[..HEADER - 1].to_vec(), NotAMessage::Short),
            ("a later version", [&[2], &written(Kind::Open)[1..]].concat(), NotAMessage::Version(2)),
            ("an unknown kind", [&[1, 9], &written(Kind::Open)[2..]].concat(), NotAMessage::Kind(9)),
            ("a beat that says more", [&written(Kind::Beat)[..], &[0]].concat(), NotAMessage::Body(1)),
            ("data without data", written(Kind::Data(&[])), NotAMessage::Body(0)),
            ("too much data", written(Kind::Data(&[0; BODY_MAX + 1])), NotAMessage::Body(BODY_MAX + 1)),
            (
                "half a receipt",
                written(Kind::Receipt { heard: 1, allowed: 2 })[..HEADER + 9].to_vec(),
                NotAMessage::Body(9),
            ),
            (
                "a short proof",
                written(Kind::Close { code: 1, proof: [2; 32] })[..HEADER + 35].to_vec(),
                NotAMessage::Body(35),
            ),
        ] {
            assert_eq!(Message::read(&bytes), Err(refused), "{case}");
        }
        assert!(Message::read(&written(Kind::Data(&[0; BODY_MAX]))).is_ok());
    }

    #[test]
    fn the_seeds_for_fuzzers_are_read_as_their_names_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/link/fuzz/carrier");
        let mut seen = 0;
        for seed in std::fs::read_dir(&folder).expect("the seeds are committed").flatten() {
            let (name, bytes) = (seed.file_name(), std::fs::read(seed.path()).expect("a seed is a file"));
            let name = name.to_string_lossy().into_owned();
            let read = Message::read(&bytes);
            // What a fuzzer found says nothing of itself.
            let is_named = !name.starts_with("found-");
            assert!(!is_named || read.is_ok() == name.starts_with("good-"), "{name}: {read:?}");
            assert!(read.is_err() || read.map(|message| message.write()) == Ok(bytes), "{name}");
            seen += 1;
        }
        assert!(seen >= 12, "{seen} seeds");
    }

    fn kinds() -> impl Strategy<Value = (u8, Vec<u8>, u64, u64, u32)> {
        (0u8..9, prop::collection::vec(any::<u8>(), 1..300), any::<u64>(), any::<u64>(), any::<u32>())
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            name in any::<[u8; 16]>(), answers in any::<bool>(), seq in any::<u64>(), (number, body, heard, allowed, code) in kinds(),
        ) {
            let kind = match number {
                0 => Kind::Open,
                1 => Kind::Data(&body),
                2 => Kind::End,
                3 => Kind::Receipt { heard, allowed },
                4 => Kind::Beat,
                5 => Kind::Close { code, proof: [body[0]; 32] },
                6 => Kind::Unknown,
                7 => Kind::Busy,
                _ => Kind::Echo,
            };
            let side = if answers { Side::Answerer } else { Side::Opener };
            let message = Message { name, side, seq, kind };
            let written = message.write();
            prop_assert_eq!(Message::read(&written), Ok(message));
        }

        #[test]
        fn any_bytes_are_one_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..120), from in 0usize..3) {
            // Most random bytes fail at the version; a likely beginning gets further.
            let bytes = [[[].as_slice(), &[1], &[1, 5]][from], &bytes[..]].concat();
            if let Ok(message) = Message::read(&bytes) {
                prop_assert_eq!(message.write(), bytes);
            }
        }

        #[test]
        fn any_topic_names_one_writer_or_none(topic in prop::collection::vec(any::<u8>(), 0..90)) {
            let here = mailbox(1);
            prop_assert_eq!(here.writer(&topic), None);
            let close = [ROOM.as_bytes(), here.to_string().as_bytes(), b"/", &topic].concat();
            if let Some(writer) = here.writer(&close) {
                prop_assert_eq!(here.topic(&writer).into_bytes(), close);
            }
        }
    }
}
