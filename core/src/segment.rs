//! Segments: a device's log in signed pieces.
//!
//! A segment holds 1 to 1,024 changes. Its [`Head`] commits to the head before it and to the RFC 6962 root of its changes, and one
//! signature covers the head. A change can be pruned to its hash and everything still verifies. What was written is stored and
//! forwarded verbatim; nothing here reads a file.

use ed25519_dalek::{SigningKey, VerifyingKey};
use minicbor::{Decoder, Encoder};

use crate::{
    DocumentId, Moment,
    delta::{BODY_MAX, Delta, Kind, Logged, Shareable},
    id::{array, head_len},
    merkle::{Hash, leaf, root},
    signed::{Distrust, Signable, Signed, Verified},
};

/// The newest segment format that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most changes in a segment.
pub const CHANGES_MAX: usize = 1024;
/// The most bytes of an encoded segment: one change of the largest size must fit.
pub const BYTES_MAX: usize = BODY_MAX + (1 << 20);
/// The head before the first one.
pub const GENESIS: Hash = [0; 32];

/// What a segment's signature is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The fleet; of a node that joined none, derived from its own key.
    pub fleet: [u8; 16],
    /// The author's ed25519 public key.
    pub author: [u8; 32],
    /// Which life of the author's log; a restored backup begins another.
    pub incarnation: u64,
    /// Position of this segment in the incarnation, from 0.
    pub number: u64,
    /// Sequence number of its first change.
    pub first_seq: u64,
    /// How many changes it holds.
    pub count: u16,
    /// Digest of the head before it, [`GENESIS`] for the first.
    pub prev: Hash,
    /// RFC 6962 root over its changes.
    pub root: Hash,
    /// The fleet policy that was in force.
    pub policy_epoch: u32,
    /// Where it may live; 0 is anywhere in the fleet, from 2 on as [`policy`](crate::fleet::policy) says.
    pub residency: u16,
    /// The author's clock when it was closed.
    pub closed_at: Moment,
    /// The bytes as they were signed.
    bytes: Vec<u8>,
}

impl Signable for Head {
    const CONTEXT: &'static str = "hearth/seg/1";
    fn signed_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Head {
    fn encode(mut self) -> Self {
        let mut out = Vec::with_capacity(176);
        let mut e = Encoder::new(&mut out);
        e.array(12)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(&self.fleet))
            .and_then(|e| e.bytes(&self.author))
            .and_then(|e| e.u64(self.incarnation))
            .and_then(|e| e.u64(self.number))
            .and_then(|e| e.u64(self.first_seq))
            .and_then(|e| e.u16(self.count))
            .and_then(|e| e.bytes(&self.prev))
            .and_then(|e| e.bytes(&self.root))
            .and_then(|e| e.u32(self.policy_epoch))
            .and_then(|e| e.u16(self.residency))
            .and_then(|e| e.u64(self.closed_at.as_millis()))
            .expect("writing to memory does not fail");
        self.bytes = out;
        self
    }

    /// Reads a head and believes it only when the author it names signed these bytes; for whoever has the head and not the changes.
    ///
    /// # Errors
    /// When anything about it is not as it was signed. Whether the author may write is for the caller to ask.
    pub fn open(bytes: &[u8], signature: [u8; 64]) -> Result<Verified<Self>, BadSegment> {
        Self::decode(bytes)?.believe(signature)
    }

    fn believe(self, signature: [u8; 64]) -> Result<Verified<Self>, BadSegment> {
        let author = VerifyingKey::from_bytes(&self.author).map_err(|_| BadSegment::Malformed)?;
        Ok(Signed::from_parts(self, signature).verify(&author)?)
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadSegment> {
        let head = Self::read(bytes)?.ok_or(BadSegment::Malformed)?;
        // A log that is followed counts on from here; no honest one comes near the end of the numbers.
        let counts_on = head.first_seq.checked_add(u64::from(head.count) + 1).is_some() && head.number < u64::MAX;
        if !counts_on {
            return Err(BadSegment::Malformed);
        }
        let known = head.bytes.clone();
        // One head has one encoding: writing it again must give the same bytes.
        let head = head.encode();
        if head.bytes == known { Ok(head) } else { Err(BadSegment::Malformed) }
    }

    fn read(bytes: &[u8]) -> Result<Option<Self>, BadSegment> {
        let mut d = Decoder::new(bytes);
        let version = match (d.array(), d.u8()) {
            (Ok(Some(12)), Ok(version)) => version,
            (Ok(Some(_)), Ok(version)) if version > VERSION => return Err(BadSegment::Newer(version)),
            _ => return Ok(None),
        };
        if version > VERSION {
            return Err(BadSegment::Newer(version));
        }
        let mut body = || -> Result<Self, minicbor::decode::Error> {
            Ok(Self {
                fleet: array(&mut d)?,
                author: array(&mut d)?,
                incarnation: d.u64()?,
                number: d.u64()?,
                first_seq: d.u64()?,
                count: d.u16()?,
                prev: array(&mut d)?,
                root: array(&mut d)?,
                policy_epoch: d.u32()?,
                residency: d.u16()?,
                closed_at: Moment::from_millis(d.u64()?),
                bytes: bytes.to_vec(),
            })
        };
        Ok(body().ok().filter(|_| version == VERSION))
    }
}

/// Why bytes are not a segment to be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSegment {
    /// Not the encoding at all.
    #[error("a log segment is not in the form this version writes; it is damaged")]
    Malformed,
    /// Written by a newer hearth.
    #[error("a log segment has format {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
    /// The changes are not those that were signed.
    #[error("the changes in a log segment are not those its author signed; it is damaged or forged")]
    OtherRoot,
    /// The signature is not by the author it names.
    #[error("a log segment is not signed by the author it names")]
    Signature(#[from] Distrust),
    /// It does not follow the segment before it.
    #[error(
        "a log segment does not continue the log before it; segments are missing, or the log was restored from a backup"
    )]
    Gap,
}

/// One change in a segment, or what is left of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leaf {
    /// The encoded change.
    Kept(Vec<u8>),
    /// Its hash: the change was erased, the proof stays.
    Pruned(Hash),
}

impl Leaf {
    fn hash(&self) -> Hash {
        match self {
            Self::Kept(bytes) => leaf(bytes),
            Self::Pruned(hash) => *hash,
        }
    }
}

/// A signed head with its changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    head: Verified<Head>,
    leaves: Vec<Leaf>,
}

impl Segment {
    /// What was signed.
    pub const fn head(&self) -> &Head {
        self.head.get()
    }

    /// What was signed, with the proof that it was.
    pub const fn verified_head(&self) -> &Verified<Head> {
        &self.head
    }

    /// The digest that the next head names.
    pub fn digest(&self) -> Hash {
        self.head().digest()
    }

    /// The changes in order with their sequence numbers; pruned ones are `None`.
    pub fn changes(&self) -> impl Iterator<Item = (u64, Option<Logged<'_>>)> {
        (self.head().first_seq..).zip(self.leaves.iter().map(|leaf| match leaf {
            Leaf::Kept(bytes) => Some(Logged::decode(bytes).expect("decoded once when the segment was opened")),
            Leaf::Pruned(_) => None,
        }))
    }

    /// Replaces the changes that `gone` picks by their hashes; says whether there were any.
    pub fn prune(&mut self, gone: impl Fn(&Logged<'_>) -> bool) -> bool {
        let mut any = false;
        for leaf in &mut self.leaves {
            let pick = match leaf {
                Leaf::Kept(bytes) => Logged::decode(bytes).is_ok_and(|logged| gone(&logged)),
                Leaf::Pruned(_) => false,
            };
            if pick {
                *leaf = Leaf::Pruned(leaf.hash());
                any = true;
            }
        }
        any
    }

    /// The bytes to store: `[head, signature, [change or [hash], …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        let signature = self.head.clone().into_signed().signature();
        e.array(3)
            .and_then(|e| e.bytes(self.head().signed_bytes()))
            .and_then(|e| e.bytes(&signature))
            .and_then(|e| e.array(self.leaves.len() as u64))
            .expect("writing to memory does not fail");
        for leaf in &self.leaves {
            match leaf {
                Leaf::Kept(bytes) => e.bytes(bytes),
                Leaf::Pruned(hash) => e.array(1).and_then(|e| e.bytes(hash)),
            }
            .expect("writing to memory does not fail");
        }
        out
    }

    /// Reads a segment and believes it only when the author it names signed exactly these changes.
    ///
    /// # Errors
    /// When anything about it is not as it was signed. Whether the author may write, and whether it continues the log, is for
    /// the caller to ask: [`Chain::follow`].
    pub fn open(bytes: &[u8]) -> Result<Self, BadSegment> {
        if bytes.len() > BYTES_MAX {
            return Err(BadSegment::Malformed);
        }
        let (head, signature, leaves) = Self::read(bytes).ok_or(BadSegment::Malformed)?;
        let head = Head::decode(head)?;
        if usize::from(head.count) != leaves.len() || leaves.is_empty() || leaves.len() > CHANGES_MAX {
            return Err(BadSegment::Malformed);
        }
        let hashes: Vec<Hash> = leaves.iter().map(Leaf::hash).collect();
        if root(&hashes) != head.root {
            return Err(BadSegment::OtherRoot);
        }
        for (seq, leaf) in (head.first_seq..).zip(&leaves) {
            if let Leaf::Kept(bytes) = leaf {
                let logged = Logged::decode(bytes).map_err(|why| match why {
                    crate::delta::BadDelta::Newer(version) => BadSegment::Newer(version),
                    crate::delta::BadDelta::Malformed => BadSegment::Malformed,
                })?;
                if logged.seq != seq {
                    return Err(BadSegment::Malformed);
                }
            }
        }
        Ok(Self { head: head.believe(signature)?, leaves })
    }

    fn read(bytes: &[u8]) -> Option<(&[u8], [u8; 64], Vec<Leaf>)> {
        let mut d = Decoder::new(bytes);
        if d.array().ok()? != Some(3) {
            return None;
        }
        let head = d.bytes().ok()?;
        let signature = array(&mut d).ok()?;
        let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= CHANGES_MAX)?;
        let mut leaves = Vec::with_capacity(count);
        // One segment has one form, and its length tells: every length in it is written as short as can be.
        let mut shortest = 1 + head_len(head.len() as u64) + head.len() + 2 + 64 + head_len(count as u64);
        for _ in 0..count {
            leaves.push(if d.datatype().ok()? == minicbor::data::Type::Bytes {
                let bytes = d.bytes().ok()?;
                shortest += head_len(bytes.len() as u64) + bytes.len();
                Leaf::Kept(bytes.to_vec())
            } else if d.array().ok()? == Some(1) {
                shortest += 1 + 2 + 32;
                Leaf::Pruned(array(&mut d).ok()?)
            } else {
                return None;
            });
        }
        (d.position() == bytes.len() && bytes.len() == shortest).then_some((head, signature, leaves))
    }
}

/// What a segment says of itself, read without checking a signature or a hash.
///
/// For whoever verified the segment before it wrote it down and guards what it wrote by a checksum. It is not to be obeyed and proves
/// nothing; what comes from anywhere else is read by [`Segment::open`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outline {
    head: Head,
    changes: Vec<Option<(Kind, DocumentId)>>,
}

impl Outline {
    /// Reads the outline of a segment.
    ///
    /// # Errors
    /// When the bytes are no segment that this program can read. That they are one does not say who wrote them.
    pub fn read(bytes: &[u8]) -> Result<Self, BadSegment> {
        let (head, _, leaves) = Segment::read(bytes).ok_or(BadSegment::Malformed)?;
        let head = Head::decode(head)?;
        let mut changes = Vec::with_capacity(leaves.len());
        for leaf in &leaves {
            changes.push(match leaf {
                Leaf::Kept(bytes) => {
                    let logged = Logged::decode(bytes).map_err(|_| BadSegment::Malformed)?;
                    Some((logged.kind, logged.document))
                }
                Leaf::Pruned(_) => None,
            });
        }
        Ok(Self { head, changes })
    }

    /// What is said to be signed.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Kind and document of each change in order; pruned ones are `None`.
    pub fn changes(&self) -> &[Option<(Kind, DocumentId)>] {
        &self.changes
    }

    /// Where the log stands right after it.
    pub fn chain(&self) -> Chain {
        Chain::right_after_head(&self.head)
    }
}

/// Where an author's log has got to; what the next segment must continue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The author's public key.
    pub author: [u8; 32],
    /// Which life of the log.
    pub incarnation: u64,
    /// The next segment's number.
    pub number: u64,
    /// The next change's sequence number.
    pub seq: u64,
    /// Digest of the last head.
    pub head: Hash,
}

impl Chain {
    /// A log with nothing in it.
    pub const fn begin(author: [u8; 32], incarnation: u64) -> Self {
        Self { author, incarnation, number: 0, seq: 0, head: GENESIS }
    }

    /// Where a log stands right after this segment, whatever came before it.
    pub fn right_after(segment: &Segment) -> Self {
        Self::right_after_head(segment.head())
    }

    fn right_after_head(head: &Head) -> Self {
        Self {
            author: head.author,
            incarnation: head.incarnation,
            number: head.number + 1,
            seq: head.first_seq + u64::from(head.count),
            head: head.digest(),
        }
    }

    /// Steps over a segment that continues this log.
    ///
    /// # Errors
    /// [`BadSegment::Gap`] when it does not.
    pub fn follow(&mut self, segment: &Segment) -> Result<(), BadSegment> {
        let head = segment.head();
        let continues = head.author == self.author
            && head.incarnation == self.incarnation
            && head.number == self.number
            && head.first_seq == self.seq
            && head.prev == self.head;
        if !continues {
            return Err(BadSegment::Gap);
        }
        *self = Self::right_after(segment);
        Ok(())
    }
}

/// A segment that is still being filled.
#[derive(Debug)]
pub struct Draft {
    chain: Chain,
    leaves: Vec<Leaf>,
    bytes: usize,
    policy_epoch: u32,
    residency: u16,
}

impl Draft {
    /// Begins the segment after `chain`.
    pub const fn after(chain: Chain) -> Self {
        Self { chain, leaves: Vec::new(), bytes: 0, policy_epoch: 0, residency: 0 }
    }

    /// Says under which policy it is written, and where it may live; without, before any policy and anywhere.
    #[must_use]
    pub fn under(self, policy_epoch: u32, residency: u16) -> Self {
        Self { policy_epoch, residency, ..self }
    }

    /// Which life of its author's log it goes on with.
    pub const fn incarnation(&self) -> u64 {
        self.chain.incarnation
    }

    /// The sequence number that the next change will take.
    pub const fn next_seq(&self) -> u64 {
        self.chain.seq + self.leaves.len() as u64
    }

    /// Whether another change of `bytes` must wait for the next segment.
    pub const fn is_full(&self, bytes: usize) -> bool {
        self.leaves.len() >= CHANGES_MAX || (!self.leaves.is_empty() && self.bytes + bytes > 512 << 10)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Adds a change; returns its sequence number.
    pub fn push<T: Shareable>(&mut self, change: T) -> u64 {
        let seq = self.next_seq();
        let bytes = Delta::of(seq, change).encode();
        self.bytes += bytes.len();
        self.leaves.push(Leaf::Kept(bytes));
        seq
    }

    /// Signs what was gathered.
    ///
    /// # Panics
    /// When nothing was: an empty segment says nothing.
    pub fn close(self, key: &SigningKey, fleet: [u8; 16], now: Moment) -> Segment {
        assert!(!self.leaves.is_empty(), "a segment holds at least one change");
        let hashes: Vec<Hash> = self.leaves.iter().map(Leaf::hash).collect();
        let head = Head {
            fleet,
            author: self.chain.author,
            incarnation: self.chain.incarnation,
            number: self.chain.number,
            first_seq: self.chain.seq,
            count: u16::try_from(self.leaves.len()).expect("at most 1,024 changes"),
            prev: self.chain.head,
            root: root(&hashes),
            policy_epoch: self.policy_epoch,
            residency: self.residency,
            closed_at: now,
            bytes: Vec::new(),
        };
        let head = Signed::by(key, head.encode())
            .verify(&key.verifying_key())
            .expect("a signature just made with this key verifies");
        Segment { head, leaves: self.leaves }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        DocumentId,
        delta::{Kind, SealedChange, Tombstone},
        seal::Sealed,
    };

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn segment(chain: &Chain, changes: u8) -> Segment {
        let mut draft = Draft::after(chain.clone());
        for n in 0..changes {
            draft.push(SealedChange {
                kind: Kind::Document,
                document: DocumentId::from_bytes([n; 16]),
                epoch: 0,
                body: Sealed::from_bytes(vec![n; 40]),
            });
        }
        draft.close(&key(), [0; 16], Moment::from_millis(5))
    }

    fn start() -> Chain {
        Chain::begin(key().verifying_key().to_bytes(), 1)
    }

    fn gone(seq: u64) -> Vec<u8> {
        Delta::of(seq, Tombstone { document: DocumentId::from_bytes([1; 16]) }).encode()
    }

    /// A segment of whatever is in it, signed as a hostile author would, without the care that a draft takes.
    fn signed(head: Head, changes: &[Vec<u8>]) -> Vec<u8> {
        let hashes: Vec<Hash> = changes.iter().map(|change| leaf(change)).collect();
        let head = Head { root: root(&hashes), ..head }.encode();
        let signature = Signed::by(&key(), head.clone()).signature();
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        e.array(3)
            .and_then(|e| e.bytes(head.signed_bytes()))
            .and_then(|e| e.bytes(&signature))
            .and_then(|e| e.array(changes.len() as u64))
            .expect("writing to memory does not fail");
        for change in changes {
            Encoder::new(&mut out).bytes(change).expect("writing to memory does not fail");
        }
        out
    }

    #[test]
    fn a_log_is_followed_only_in_order() {
        let mut chain = start();
        let first = segment(&chain, 3);
        chain.follow(&first).expect("the first follows nothing");
        let second = segment(&chain, 2);
        assert_eq!(start().follow(&second), Err(BadSegment::Gap), "the first is missing");
        chain.follow(&second).expect("the second follows the first");
        assert_eq!((chain.number, chain.seq), (2, 5));
        assert_eq!(chain.follow(&second), Err(BadSegment::Gap), "the same again");
    }

    #[test]
    fn numbers_that_leave_no_room_for_the_next_are_refused_and_make_nothing_fail() {
        for (case, number, seq, refused) in [
            ("far, with room", u64::MAX - 1, u64::MAX - 4, false),
            ("no next segment", u64::MAX, 0, true),
            ("no next change", 0, u64::MAX - 3, true),
            ("beyond every change", 0, u64::MAX, true),
        ] {
            let mut head = segment(&start(), 3).head().clone();
            (head.number, head.first_seq) = (number, seq);
            let changes = (0..3_u64).map(|n| gone(seq.wrapping_add(n)));
            let opened = Segment::open(&signed(head, &changes.collect::<Vec<_>>()));
            assert_eq!(opened.is_err(), refused, "{case}: {opened:?}");
            if let Ok(segment) = opened {
                let head = segment.head();
                let mut chain = Chain { number, seq, head: head.prev, ..start() };
                chain.follow(&segment).expect("it continues");
                assert_eq!(segment.changes().count(), 3);
            }
        }
    }

    #[test]
    fn a_pruned_change_is_gone_and_the_segment_still_verifies() {
        let mut segment = segment(&start(), 3);
        assert!(segment.prune(|change| change.document == DocumentId::from_bytes([1; 16])));
        let stored = segment.encode();
        assert!(!stored.windows(40).any(|window| window == [1; 40]), "the body is not in the bytes");
        let read = Segment::open(&stored).expect("still as signed");
        let kept: Vec<bool> = read.changes().map(|(_, change)| change.is_some()).collect();
        assert_eq!(kept, [true, false, true]);
        assert_eq!(read.digest(), segment.digest());
    }

    #[test]
    fn one_segment_has_one_form() {
        let mut segment = segment(&start(), 3);
        segment.prune(|change| change.document == DocumentId::from_bytes([1; 16]));
        let good = segment.encode();
        let long = |at: usize, header: &[u8]| [&good[..at], header, &good[at + 1..]].concat();
        let head = 2 + usize::from(good[2]);
        assert_eq!((good[1], good[head + 1], good[head + 67]), (0x58, 0x58, 0x83), "where the lengths stand");
        for (case, bytes) in [
            ("the array", long(0, &[0x98, 3])),
            ("the head", long(1, &[0x59, 0])),
            ("the signature", long(head + 1, &[0x59, 0])),
            ("the changes", long(head + 67, &[0x98, 3])),
            ("a change", long(head + 68, &[0x59, 0])),
            ("a pruned change", long(good.len() - 36 - usize::from(good[head + 69]) - 1, &[0x98, 1])),
            ("an array without an end", [&[0x9f], &good[1..], &[0xff]].concat()),
        ] {
            assert_eq!(Segment::open(&bytes), Err(BadSegment::Malformed), "{case}, in a longer form");
        }
    }

    #[test]
    fn an_empty_tombstone_is_a_change_of_its_own() {
        let mut draft = Draft::after(start());
        draft.push(Tombstone { document: DocumentId::from_bytes([9; 16]) });
        let read = Segment::open(&draft.close(&key(), [0; 16], Moment::START).encode()).expect("as signed");
        let kinds: Vec<_> = read.changes().filter_map(|(_, change)| change.map(|c| c.kind)).collect();
        assert_eq!(kinds, [Kind::Tombstone]);
    }

    #[test]
    fn a_segment_whose_author_signed_what_may_not_be_is_refused() {
        let counting = |count: u16| Head { count, ..segment(&start(), 1).head().clone() };
        let newer = |mut change: Vec<u8>| {
            change[1] = crate::delta::VERSION + 1;
            change
        };
        let other = SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes();
        let no_point = |key: &[u8; 32]| VerifyingKey::from_bytes(key).is_err();
        let no_key = (0..=255).map(|byte| [byte; 32]).find(no_point).expect("every other number is on no curve");
        for (case, head, changes, refused) in [
            ("as it may be", counting(2), vec![gone(0), gone(1)], None),
            ("fewer than it says", counting(3), vec![gone(0), gone(1)], Some(BadSegment::Malformed)),
            ("more than it says", counting(1), vec![gone(0), gone(1)], Some(BadSegment::Malformed)),
            ("none", counting(0), vec![], Some(BadSegment::Malformed)),
            ("numbers out of order", counting(2), vec![gone(1), gone(0)], Some(BadSegment::Malformed)),
            ("what is no change", counting(1), vec![b"milk".to_vec()], Some(BadSegment::Malformed)),
            ("a newer change", counting(1), vec![newer(gone(0))], Some(BadSegment::Newer(2))),
            (
                "another's name",
                Head { author: other, ..counting(1) },
                vec![gone(0)],
                Some(BadSegment::Signature(Distrust::BadSignature)),
            ),
            ("no key", Head { author: no_key, ..counting(1) }, vec![gone(0)], Some(BadSegment::Malformed)),
        ] {
            assert_eq!(Segment::open(&signed(head, &changes)).err(), refused, "{case}");
        }
        let most = u16::try_from(CHANGES_MAX).expect("small");
        let many = |count: u16| signed(counting(count), &(0..u64::from(count)).map(gone).collect::<Vec<_>>());
        assert!(Segment::open(&many(most)).is_ok());
        assert_eq!(Segment::open(&many(most + 1)), Err(BadSegment::Malformed), "one more than may be");
        assert_eq!(Segment::open(&vec![0; BYTES_MAX + 1]), Err(BadSegment::Malformed), "more bytes than may be");
    }

    #[test]
    fn a_head_alone_is_believed_as_it_was_signed() {
        let segment = segment(&start(), 3);
        let (head, signature) = (segment.head(), segment.verified_head().signature());
        assert_eq!(Head::open(head.signed_bytes(), signature).as_ref().map(Verified::get), Ok(head));
        let with = |at: usize, byte: u8| {
            let mut bytes = head.signed_bytes().to_vec();
            bytes[at] = byte;
            bytes
        };
        for (case, bytes, refused) in [
            ("a newer format", with(1, 2), BadSegment::Newer(2)),
            ("a newer format with more fields", [&[0x8d, 2], &head.signed_bytes()[2..]].concat(), BadSegment::Newer(2)),
            ("a format that never was", with(1, 0), BadSegment::Malformed),
            ("fewer fields", with(0, 0x8b), BadSegment::Malformed),
            ("nothing", vec![], BadSegment::Malformed),
            ("a byte behind it", [head.signed_bytes(), &[0]].concat(), BadSegment::Malformed),
            ("another fleet", with(4, 1), BadSegment::Signature(Distrust::BadSignature)),
        ] {
            assert_eq!(Head::open(&bytes, signature).err(), Some(refused), "{case}");
        }
        let other = Head::open(head.signed_bytes(), [0; 64]).err();
        assert_eq!(other, Some(BadSegment::Signature(Distrust::BadSignature)));
    }

    #[test]
    fn a_draft_is_full_by_number_and_by_size_and_one_change_always_fits() {
        let mut draft = Draft::after(Chain { seq: 7, ..start() });
        assert!(draft.is_empty() && !draft.is_full(BODY_MAX), "the largest change fits alone");
        for n in 0..CHANGES_MAX as u64 {
            assert!(!draft.is_full(0), "{n}");
            assert_eq!(
                (draft.next_seq(), draft.push(Tombstone { document: DocumentId::from_bytes([1; 16]) })),
                (7 + n, 7 + n)
            );
        }
        assert!(draft.is_full(0) && !draft.is_empty());

        let mut draft = Draft::after(start());
        let body = Sealed::from_bytes(vec![1; 300 << 10]);
        draft.push(SealedChange { kind: Kind::Document, document: DocumentId::from_bytes([1; 16]), epoch: 0, body });
        assert!(!draft.is_full(200 << 10) && draft.is_full(300 << 10));
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at in 0_usize..10_000, to: u8) {
            let bytes = segment(&start(), 4).encode();
            let at = at % bytes.len();
            let mut changed = bytes.clone();
            changed[at] = to;
            prop_assert_eq!(Segment::open(&changed).is_ok(), changed == bytes);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Segment::open(&bytes).is_err());
        }

        #[test]
        fn an_outline_says_what_the_segment_says_pruned_or_not(changes in 1_u8..20, gone in 0_u8..20) {
            let mut segment = segment(&start(), changes);
            segment.prune(|change| change.document == DocumentId::from_bytes([gone; 16]));
            let outline = Outline::read(&segment.encode()).expect("what we wrote");
            prop_assert_eq!(outline.head(), segment.head());
            prop_assert_eq!(outline.chain(), Chain::right_after(&segment));
            let said: Vec<_> =
                segment.changes().map(|(_, change)| change.map(|change| (change.kind, change.document))).collect();
            prop_assert_eq!(outline.changes(), &said[..]);
        }

        #[test]
        fn no_cut_is_believed(cut in 0_usize..10_000) {
            let bytes = segment(&start(), 4).encode();
            prop_assert!(Segment::open(&bytes[..cut % bytes.len()]).is_err());
        }
    }
}
