//! One session with a peer that says whatever it likes.
//!
//! The input is a row of [`parts`], each one a byte that says what happens and what it happens with: a frame that comes, time that passes,
//! a disk that takes nothing, a pipe that breaks, a chain that grows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, DocumentId, Moment,
    delta::Tombstone,
    segment::{Chain, Draft, Segment},
    sync::{
        Config, Effect, Frame, Held, Input, Log, Peer, Standing, Trust,
        frame::{KEY_MAX, MESSAGE_MAX},
    },
};

use crate::forms::parts;

/// How many bytes of the peer's may be in memory.
const CREDIT: u64 = 4_000;
/// The longest message that is taken.
const MESSAGE: u32 = 1 << 20;
/// The fleet, blinded.
pub const TAG: [u8; 16] = [3; 16];
/// What one input asks for is far less.
const EFFECTS_MAX: usize = 10_000;

/// What happens, as the first byte of a part says it.
pub mod happens {
    /// A frame comes: the rest of the part.
    pub const FRAME: u8 = 0;
    /// So many seconds pass.
    pub const TIME: u8 = 1;
    /// The pipe breaks, and there is another.
    pub const BREAK: u8 = 2;
    /// The chain grows: whose bit is set is a member.
    pub const TRUST: u8 = 3;
    /// The disk takes something (0), nothing (1), or as few logs as it may have (2), from now on.
    pub const DISK: u8 = 4;
    /// We write something ourselves.
    pub const WRITE: u8 = 5;
}

/// A fleet of four authors, some of them strangers.
struct Fleet {
    members: u8,
}

impl Trust for Fleet {
    fn fleet(&self) -> [u8; 16] {
        [0xf1; 16]
    }
    fn author(&self, log: &Log) -> Standing {
        match (0..4).find(|n| device(*n) == log.author) {
            Some(n) if self.members >> n & 1 == 1 => Standing::Member,
            Some(n) if self.members >> (n + 4) & 1 == 1 => Standing::RevokedAfter(1),
            _ => Standing::Unknown,
        }
    }
    fn may_have(&self, who: &DeviceId, residency: u16) -> bool {
        residency == 0 || *who == device(1)
    }
}

/// The key of one of the four; the second is we, the third the peer.
pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[0xa1 + n; 32])
}

fn device(n: u8) -> DeviceId {
    DeviceId::of_key(&key(n).verifying_key())
}

/// The next segment of a log of one of the four.
pub fn segment(n: u8, chain: &Chain, document: u8, residency: u16) -> Segment {
    let mut draft = Draft::after(chain.clone()).under(0, residency);
    draft.push(Tombstone { document: DocumentId::from_bytes([document; 16]) });
    draft.close(&key(n), [0xf1; 16], Moment::from_millis(9))
}

/// A log on disk: where it ends, and its segments.
type Kept = (Chain, Vec<Arc<[u8]>>);

/// We, with a disk.
struct Side {
    peer: Peer,
    trust: Fleet,
    now: Moment,
    disk: BTreeMap<Log, Kept>,
    takes: u8,
    closed: bool,
}

impl Side {
    fn new() -> Self {
        let config = Config { me: device(1), peer: device(2), tag: TAG, credit: CREDIT, max_message: MESSAGE };
        Self {
            peer: Peer::new(config, [], []),
            trust: Fleet { members: 0b111 },
            now: Moment::from_millis(1_000),
            disk: BTreeMap::new(),
            takes: 0,
            closed: false,
        }
    }

    fn keep(&mut self, segment: &Segment) -> Option<Held> {
        let (log, head) = (Log::of(segment), segment.head());
        let (chain, kept) =
            self.disk.entry(log).or_insert_with(|| (Chain::begin(head.author, head.incarnation), Vec::new()));
        chain.follow(segment).ok()?;
        kept.push(segment.encode().into());
        Some(Held { log, chain: chain.clone(), residency: head.residency })
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        let mut effects = 0;
        while let Some(input) = inputs.pop() {
            self.peer.handle(self.now, input, &self.trust);
            while let Some(effect) = self.peer.poll(self.now) {
                effects += 1;
                assert!(effects < EFFECTS_MAX, "it never asks for nothing");
                inputs.extend(self.carry_out(effect));
            }
            assert!(self.peer.taken() <= CREDIT, "more is in memory than was granted");
        }
        if let Some(due) = self.peer.poll_timeout() {
            assert!(due >= self.now || self.peer.is_open() || !self.closed, "it is never late for nothing");
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Send(frame) => {
                let bytes = frame.encode();
                assert_eq!(Frame::decode(&bytes, MESSAGE_MAX), Ok(frame), "what is sent can be read");
                None
            }
            Effect::Store { bytes, at, after } => {
                let segment = Segment::open(&bytes).expect("what is to be stored was verified");
                let (log, number) = (at.log, segment.head().number);
                assert!(self.trust.author(&log).admits(number), "whose segments are stored may write");
                assert_eq!(*segment.head().prev.as_slice(), after[..], "it names what the log must end with");
                match self.takes {
                    1 => return Some(Input::NotStored { log, number, retry_after: Duration::from_secs(1) }),
                    2 => return Some(Input::Declined { log, number }),
                    _ => {}
                }
                Some(match self.keep(&segment) {
                    Some(held) => {
                        assert_eq!(held, at, "the log is as was said");
                        Input::Stored(held)
                    }
                    None => Input::NotStored { log, number, retry_after: Duration::from_secs(1) },
                })
            }
            Effect::Read { log, from, to, budget } => {
                assert!(from < to && budget > 0);
                let mut left = budget;
                let mut segments = Vec::new();
                let kept = self.disk.get(&log).map(|(_, kept)| &kept[..]).unwrap_or_default();
                for number in from..to {
                    let Some(segment) = usize::try_from(number).ok().and_then(|at| kept.get(at)) else { break };
                    if !segments.is_empty() && segment.len() as u64 > left {
                        break;
                    }
                    left = left.saturating_sub(segment.len() as u64);
                    segments.push(Arc::clone(segment));
                }
                Some(Input::Segments { log, first: from, segments, keys: vec![vec![7; 20]] })
            }
            Effect::KeepKeys(records) => {
                assert!(records.iter().all(|record| record.len() <= KEY_MAX));
                None
            }
            Effect::Tell(_) => None,
            Effect::Close(_) => {
                self.closed = true;
                None
            }
        }
    }
}

/// A session.
pub fn session(bytes: &[u8]) {
    let mut side = Side::new();
    let mut chain = Chain::begin(key(1).verifying_key().to_bytes(), 1);
    side.tell(Input::Connected);
    for part in parts(bytes) {
        let Some((what, with)) = part.split_first() else { continue };
        let number = with.first().copied().unwrap_or_default();
        match *what {
            happens::FRAME if !side.closed => side.tell(Input::Frame(with.to_vec())),
            happens::TIME => {
                side.now = side.now + Duration::from_secs(u64::from(number));
                side.tell(Input::Tick);
            }
            happens::BREAK => {
                side.closed = false;
                side.tell(Input::Disconnected);
                assert!(!side.peer.is_open());
                side.tell(Input::Connected);
            }
            happens::TRUST => {
                side.trust.members = number;
                side.tell(Input::TrustChanged);
            }
            happens::DISK => side.takes = number,
            happens::WRITE => {
                let written = segment(1, &chain, number, 0);
                chain.follow(&written).expect("the next one");
                if let Some(held) = side.keep(&written) {
                    side.tell(Input::Appended(held));
                }
            }
            _ => {}
        }
    }
    assert!(!side.closed || !side.peer.is_open(), "a session that was closed is over");
}
