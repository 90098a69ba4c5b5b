//! What two nodes say to each other.
//!
//! Each message is one CBOR array that begins with its number; it has one form, and every length in it has a limit that is checked
//! before anything is kept. Segments travel as they are stored, byte for byte.

use std::sync::Arc;

use minicbor::{Decoder, Encoder, data::Type};

use super::{Frontier, Log};
use crate::{DeviceId, Moment, equivocation, id::array, segment::BYTES_MAX};

/// The version of this language.
pub const PROTOCOL: u16 = 1;
/// The most segments in one message.
pub const SEGMENTS_MAX: usize = 1024;
/// The most key records in one message.
pub const KEYS_MAX: usize = 4096;
/// The most bytes of one key record.
pub const KEY_MAX: usize = 1024;
/// The most frozen authors in a greeting.
pub const FROZEN_MAX: usize = 1024;
/// The most bytes of a message: one segment of the largest size must fit.
pub const MESSAGE_MAX: usize = BYTES_MAX + (64 << 10);
/// The longest that a node may ask another to wait.
pub const RETRY_MAX_MS: u32 = 600_000;

/// Why a message was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadFrame {
    /// Longer than was agreed.
    #[error("a message of {0} bytes came, longer than was agreed; the other side is not hearth or does not keep to it")]
    TooLong(usize),
    /// Not a message in its one form.
    #[error("what came is no message of this protocol; it was damaged on the way, or the other side is not hearth")]
    Malformed,
}

/// What a node says first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The version it speaks.
    pub protocol: u16,
    /// Which fleet it is of, blinded.
    pub tag: [u8; 16],
    /// The longest message it takes.
    pub max_message: u32,
    /// How many bytes of segments and keys it takes before it grants more.
    pub credit: u64,
    /// What its clock says.
    pub clock: Moment,
    /// Authors against whom it has a proof.
    pub frozen: Vec<DeviceId>,
    /// Where its logs end; `None` when that is where those end of which it has just been told.
    pub frontier: Option<Frontier>,
}

/// Which segments of a log are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Ask {
    /// None; they would not be taken.
    Nothing = 0,
    /// The one with this number, whatever was sent before.
    One = 1,
    /// All from this number on.
    Rest = 2,
}

/// Why a session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[repr(u8)]
pub enum Reason {
    /// Nothing is wrong.
    #[error("the session is over")]
    Done = 0,
    /// Another version of the protocol.
    #[error("the other side speaks another version; update the older of the two")]
    Protocol = 1,
    /// Another fleet.
    #[error("the other side belongs to another fleet; join the same one")]
    Fleet = 2,
    /// A message that is none.
    #[error("the other side sent what is no message; if this repeats, update hearth on both")]
    Malformed = 3,
    /// More than was granted.
    #[error("the other side sent more than it was granted; if this repeats, remove that device or relay")]
    Overrun = 4,
    /// A segment that is not what its author signed.
    #[error("the other side sent a segment that is damaged or forged; if this repeats, run `hearth doctor` there")]
    BadSegment = 5,
    /// A proof that proves nothing.
    #[error("the other side accused a device without proof; if this repeats, remove that device or relay")]
    BadProof = 6,
    /// Nothing came for too long.
    #[error("the other side fell silent; it is tried again")]
    Silent = 7,
    /// What was sent is not acknowledged.
    #[error("the other side acknowledges nothing; it is tried again")]
    Stalled = 8,
    /// A message out of place.
    #[error("the other side does not keep to the protocol; if this repeats, update hearth on both")]
    OutOfPlace = 9,
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::Done,
        Self::Protocol,
        Self::Fleet,
        Self::Malformed,
        Self::Overrun,
        Self::BadSegment,
        Self::BadProof,
        Self::Silent,
        Self::Stalled,
        Self::OutOfPlace,
    ];
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The first one, each way.
    Hello(Hello),
    /// Consecutive segments of one log, verbatim.
    Segments {
        /// Which log.
        log: Log,
        /// The number of the first.
        first: u64,
        /// The segments.
        segments: Vec<Arc<[u8]>>,
    },
    /// These logs are on disk up to here. Empty, it says that the sender is alive.
    Ack {
        /// The logs that moved.
        frontier: Frontier,
        /// What the sender's clock says.
        clock: Moment,
    },
    /// So many bytes may be sent, counted from the beginning of the session.
    Credit {
        /// In bytes.
        total: u64,
    },
    /// Wrapped keys as the key store knows them.
    Keys {
        /// The records.
        records: Vec<Vec<u8>>,
    },
    /// Asks for segments, or for none.
    Want {
        /// Of which log.
        log: Log,
        /// From which number.
        from: u64,
        /// How many.
        ask: Ask,
    },
    /// Two heads with one number, as [`Proof`](super::Proof) writes them.
    Proof {
        /// At most [`equivocation::BYTES_MAX`].
        proof: Vec<u8>,
    },
    /// Nothing can be taken for a while; what was not acknowledged is to be sent again then.
    Busy {
        /// In milliseconds.
        retry_after_ms: u32,
    },
    /// The last one.
    Bye {
        /// Why.
        reason: Reason,
    },
}

impl Frame {
    /// How many bytes of credit it costs.
    pub fn cost(&self) -> u64 {
        match self {
            Self::Segments { segments, .. } => segments.iter().map(|segment| segment.len() as u64).sum(),
            Self::Keys { records } => records.iter().map(|record| record.len() as u64).sum(),
            _ => 0,
        }
    }

    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + usize::try_from(self.cost()).unwrap_or(0));
        self.write(&mut Encoder::new(&mut out)).expect("writing to memory does not fail");
        out
    }

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        match self {
            Self::Hello(hello) => {
                e.array(8)?.u8(0)?.u16(hello.protocol)?.bytes(&hello.tag)?.u32(hello.max_message)?.u64(hello.credit)?;
                e.u64(hello.clock.as_millis())?.array(hello.frozen.len() as u64)?;
                for author in &hello.frozen {
                    e.bytes(author.as_bytes())?;
                }
                match &hello.frontier {
                    Some(frontier) => frontier.write(e)?,
                    None => drop(e.null()?),
                }
            }
            Self::Segments { log, first, segments } => {
                e.array(5)?.u8(1)?.bytes(log.author.as_bytes())?.u64(log.incarnation)?.u64(*first)?;
                e.array(segments.len() as u64)?;
                for segment in segments {
                    e.bytes(segment)?;
                }
            }
            Self::Ack { frontier, clock } => {
                e.array(3)?.u8(2)?.u64(clock.as_millis())?;
                frontier.write(e)?;
            }
            Self::Credit { total } => {
                e.array(2)?.u8(3)?.u64(*total)?;
            }
            Self::Keys { records } => {
                e.array(2)?.u8(4)?.array(records.len() as u64)?;
                for record in records {
                    e.bytes(record)?;
                }
            }
            Self::Want { log, from, ask } => {
                e.array(5)?.u8(5)?.bytes(log.author.as_bytes())?.u64(log.incarnation)?.u64(*from)?.u8(*ask as u8)?;
            }
            Self::Proof { proof } => {
                e.array(2)?.u8(6)?.bytes(proof)?;
            }
            Self::Busy { retry_after_ms } => {
                e.array(2)?.u8(7)?.u32(*retry_after_ms)?;
            }
            Self::Bye { reason } => {
                e.array(2)?.u8(8)?.u8(*reason as u8)?;
            }
        }
        Ok(())
    }

    /// Reads a message of at most `max` bytes.
    ///
    /// # Errors
    /// When it is longer, or anything but the one form of a message.
    pub fn decode(bytes: &[u8], max: usize) -> Result<Self, BadFrame> {
        if bytes.len() > max.min(MESSAGE_MAX) {
            return Err(BadFrame::TooLong(bytes.len()));
        }
        // One message has one form: writing it again must give the same bytes.
        Self::read(bytes).filter(|frame| frame.encode() == bytes).ok_or(BadFrame::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        let d = &mut d;
        let fields = d.array().ok()??;
        let frame = match (d.u8().ok()?, fields) {
            (0, 8) => Self::Hello(Hello {
                protocol: d.u16().ok()?,
                tag: array(d).ok()?,
                max_message: d.u32().ok()?,
                credit: d.u64().ok()?,
                clock: Moment::from_millis(d.u64().ok()?),
                frozen: list(d, FROZEN_MAX, |d| array(d).ok().map(DeviceId::from_bytes))?,
                frontier: match d.datatype().ok()? {
                    Type::Null => d.null().ok().map(|()| None)?,
                    _ => Some(Frontier::read(d)?),
                },
            }),
            (1, 5) => Self::Segments {
                log: log(d)?,
                first: d.u64().ok()?,
                segments: list(d, SEGMENTS_MAX, |d| bytes_up_to(d, BYTES_MAX).map(Arc::from))
                    .filter(|segments| !segments.is_empty())?,
            },
            (2, 3) => {
                let clock = Moment::from_millis(d.u64().ok()?);
                Self::Ack { frontier: Frontier::read(d)?, clock }
            }
            (3, 2) => Self::Credit { total: d.u64().ok()? },
            (4, 2) => Self::Keys { records: list(d, KEYS_MAX, |d| bytes_up_to(d, KEY_MAX).map(<[u8]>::to_vec))? },
            (5, 5) => Self::Want {
                log: log(d)?,
                from: d.u64().ok()?,
                ask: match d.u8().ok()? {
                    0 => Ask::Nothing,
                    1 => Ask::One,
                    2 => Ask::Rest,
                    _ => return None,
                },
            },
            (6, 2) => Self::Proof { proof: bytes_up_to(d, equivocation::BYTES_MAX)?.to_vec() },
            (7, 2) => Self::Busy { retry_after_ms: d.u32().ok().filter(|wait| *wait <= RETRY_MAX_MS)? },
            (8, 2) => Self::Bye { reason: *Reason::ALL.get(usize::from(d.u8().ok()?))? },
            _ => return None,
        };
        (d.position() == bytes.len()).then_some(frame)
    }
}

fn log(d: &mut Decoder<'_>) -> Option<Log> {
    Some(Log { author: DeviceId::from_bytes(array(d).ok()?), incarnation: d.u64().ok()? })
}

fn bytes_up_to<'b>(d: &mut Decoder<'b>, max: usize) -> Option<&'b [u8]> {
    d.bytes().ok().filter(|bytes| bytes.len() <= max)
}

/// Reads a list; its claimed length reserves nothing.
fn list<'b, T>(d: &mut Decoder<'b>, max: usize, item: impl Fn(&mut Decoder<'b>) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= max)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(d)?);
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sync::frontier::{HEAD, Mark, tests::frontiers};

    fn logs() -> impl Strategy<Value = Log> {
        (any::<[u8; 16]>(), any::<u64>())
            .prop_map(|(author, incarnation)| Log { author: DeviceId::from_bytes(author), incarnation })
    }

    fn bytes() -> impl Strategy<Value = Arc<[u8]>> {
        prop::collection::vec(any::<u8>(), 0..60).prop_map(Arc::from)
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let hello = (
            any::<(u16, [u8; 16], u32, u64, u64)>(),
            prop::collection::vec(any::<[u8; 16]>(), 0..4),
            prop::option::of(frontiers()),
        )
            .prop_map(|((protocol, tag, max_message, credit, clock), frozen, frontier)| {
                let frozen = frozen.into_iter().map(DeviceId::from_bytes).collect();
                let clock = Moment::from_millis(clock);
                Frame::Hello(Hello { protocol, tag, max_message, credit, clock, frozen, frontier })
            });
        let ask = prop::sample::select(vec![Ask::Nothing, Ask::One, Ask::Rest]);
        prop_oneof![
            hello,
            (logs(), any::<u64>(), prop::collection::vec(bytes(), 1..5))
                .prop_map(|(log, first, segments)| Frame::Segments { log, first, segments }),
            (frontiers(), any::<u64>())
                .prop_map(|(frontier, clock)| Frame::Ack { frontier, clock: Moment::from_millis(clock) }),
            any::<u64>().prop_map(|total| Frame::Credit { total }),
            prop::collection::vec(bytes().prop_map(|record| record.to_vec()), 0..5)
                .prop_map(|records| Frame::Keys { records }),
            (logs(), any::<u64>(), ask).prop_map(|(log, from, ask)| Frame::Want { log, from, ask }),
            bytes().prop_map(|proof| Frame::Proof { proof: proof.to_vec() }),
            (0..=RETRY_MAX_MS).prop_map(|retry_after_ms| Frame::Busy { retry_after_ms }),
            prop::sample::select(Reason::ALL.to_vec()).prop_map(|reason| Frame::Bye { reason }),
        ]
    }

    #[test]
    fn who_speaks_first_says_at_most_48_bytes_an_author_and_200_and_who_has_the_same_70() {
        for authors in [0_u8, 1, 32, 255] {
            let log = |author| Log { author: DeviceId::from_bytes([author; 16]), incarnation: u64::MAX };
            let first = Hello {
                protocol: PROTOCOL,
                tag: [1; 16],
                max_message: u32::MAX,
                credit: u64::MAX,
                clock: Moment::from_millis(1_800_000_000_000),
                frozen: Vec::new(),
                frontier: Some(
                    (0..authors).map(|author| (log(author), Mark { next: 1 << 31, head: [9; HEAD] })).collect(),
                ),
            };
            let same = Frame::Hello(Hello { frontier: None, ..first.clone() }).encode().len();
            let first = Frame::Hello(first).encode().len();
            assert!(first <= 48 * usize::from(authors) + 200 && same <= 70, "{first}, {same} bytes for {authors}");
        }
    }

    #[test]
    fn every_length_has_a_limit() {
        let log = Log { author: DeviceId::from_bytes([1; 16]), incarnation: 1 };
        let hello = |frozen: usize, logs: usize| {
            let mark = Mark { next: 1, head: [0; HEAD] };
            Frame::Hello(Hello {
                protocol: 1,
                tag: [0; 16],
                max_message: 0,
                credit: 0,
                clock: Moment::START,
                frozen: vec![DeviceId::from_bytes([0; 16]); frozen],
                frontier: Some((0..logs as u64).map(|incarnation| (Log { incarnation, ..log }, mark)).collect()),
            })
        };
        let segments = |count: usize, bytes: usize| Frame::Segments {
            log,
            first: 0,
            segments: vec![vec![0; bytes].into(); count],
        };
        let keys = |count: usize, bytes: usize| Frame::Keys { records: vec![vec![0; bytes]; count] };
        let proof = |bytes: usize| Frame::Proof { proof: vec![0; bytes] };
        for (case, good, bad) in [
            ("frozen", hello(FROZEN_MAX, 0), hello(FROZEN_MAX + 1, 0)),
            ("logs", hello(0, crate::sync::frontier::LOGS_MAX), hello(0, crate::sync::frontier::LOGS_MAX + 1)),
            ("segments", segments(SEGMENTS_MAX, 1), segments(SEGMENTS_MAX + 1, 1)),
            ("none", segments(1, 1), segments(0, 1)),
            ("a segment", segments(1, BYTES_MAX), segments(1, BYTES_MAX + 1)),
            ("keys", keys(KEYS_MAX, 1), keys(KEYS_MAX + 1, 1)),
            ("a key", keys(1, KEY_MAX), keys(1, KEY_MAX + 1)),
            ("a proof", proof(equivocation::BYTES_MAX), proof(equivocation::BYTES_MAX + 1)),
            ("a wait", Frame::Busy { retry_after_ms: RETRY_MAX_MS }, Frame::Busy { retry_after_ms: RETRY_MAX_MS + 1 }),
        ] {
            let bytes = good.encode();
            assert!(Frame::decode(&bytes, MESSAGE_MAX) == Ok(good), "{case}");
            assert_eq!(Frame::decode(&bytes, bytes.len() - 1), Err(BadFrame::TooLong(bytes.len())), "{case}");
            assert_eq!(Frame::decode(&bad.encode(), MESSAGE_MAX), Err(BadFrame::Malformed), "{case}");
        }
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        // A list that says it holds 2^63 segments, and an endless one.
        for bytes in
            [&[0x82, 4, 0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0x82, 4, 0x9f, 0xff], &[0x82, 4, 0x19, 0x10, 0]]
        {
            assert_eq!(Frame::decode(bytes, MESSAGE_MAX), Err(BadFrame::Malformed));
        }
    }

    proptest! {
        #[test]
        fn a_message_reads_back_as_written(frame in frames()) {
            let bytes = frame.encode();
            prop_assert_eq!(Frame::decode(&bytes, MESSAGE_MAX), Ok(frame));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Frame::decode(&bytes[..cut], MESSAGE_MAX), Err(BadFrame::Malformed));
            }
        }

        #[test]
        fn any_bytes_are_read_in_their_one_form_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 2..200), kind in 0_u8..9) {
            bytes[0] = 0x80 | [8, 5, 3, 2, 2, 5, 3, 2, 2][usize::from(kind)];
            bytes[1] = kind;
            if let Ok(frame) = Frame::decode(&bytes, MESSAGE_MAX) {
                prop_assert_eq!(frame.encode(), bytes);
            }
        }

        #[test]
        fn a_changed_byte_is_another_message_or_none(frame in frames(), at: prop::sample::Index, to: u8) {
            let mut bytes = frame.encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(read) = Frame::decode(&bytes, MESSAGE_MAX) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
