//! Two segments of one log with one number: proof that their author forked it.
//!
//! Both heads are signed, so anyone can check it and nobody but the author can make it. The changes are pruned to their hashes first:
//! a proof goes to everybody, whatever the segments' residency.

use std::sync::Arc;

use super::Log;
use crate::{
    DeviceId,
    segment::{BadSegment, Segment},
};

/// The most bytes of one half: a head, a signature, and a hash for each change.
pub const HALF_MAX: usize = 64 << 10;

/// Why two segments prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoProof {
    /// One of them is not a segment.
    #[error("one half of what was sent as proof against a device is no segment; it is ignored")]
    Segment(#[from] BadSegment),
    /// They are of two logs, have two numbers, or are the same.
    #[error("what was sent as proof against a device are not two segments with one number; it is ignored")]
    NoFork,
    /// A half is longer than it can be, or still holds changes.
    #[error("what was sent as proof against a device holds more than heads and hashes; it is ignored")]
    NotPruned,
}

/// A checked proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    log: Log,
    number: u64,
    halves: [Arc<[u8]>; 2],
}

impl Proof {
    /// Puts two segments side by side.
    ///
    /// # Errors
    /// When they do not exclude each other.
    pub fn of(mut one: Segment, mut other: Segment) -> Result<Self, NoProof> {
        let log = log_of(&one);
        let number = one.head().number;
        if log != log_of(&other) || number != other.head().number || one.digest() == other.digest() {
            return Err(NoProof::NoFork);
        }
        if other.digest() < one.digest() {
            std::mem::swap(&mut one, &mut other);
        }
        let halves = [one, other].map(|mut half| {
            half.prune(|_| true);
            half.encode().into()
        });
        Ok(Self { log, number, halves })
    }

    /// Checks what was sent as a proof.
    ///
    /// # Errors
    /// When it is none, or not in its one form.
    pub fn open(one: &[u8], other: &[u8]) -> Result<Self, NoProof> {
        if one.len() > HALF_MAX || other.len() > HALF_MAX {
            return Err(NoProof::NotPruned);
        }
        let proof = Self::of(Segment::open(one)?, Segment::open(other)?)?;
        if proof.halves() == [one, other] { Ok(proof) } else { Err(NoProof::NotPruned) }
    }

    /// Who forked.
    pub const fn author(&self) -> DeviceId {
        self.log.author
    }

    /// Which log.
    pub const fn log(&self) -> Log {
        self.log
    }

    /// Which number both have.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The two segments, to be kept and passed on.
    pub fn halves(&self) -> [&[u8]; 2] {
        [&self.halves[0], &self.halves[1]]
    }

    /// The two segments, shared.
    pub fn shared(&self) -> [Arc<[u8]>; 2] {
        self.halves.clone()
    }
}

/// The log that a verified segment is of.
pub fn log_of(segment: &Segment) -> Log {
    let head = segment.head();
    let key = ed25519_dalek::VerifyingKey::from_bytes(&head.author).expect("its signature was checked with this key");
    Log { author: DeviceId::of_key(&key), incarnation: head.incarnation }
}

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::{
        DocumentId, Moment,
        delta::{Kind, SealedChange},
        seal::Sealed,
        segment::{Chain, Draft},
    };

    pub(crate) fn key(author: u8) -> SigningKey {
        SigningKey::from_bytes(&[author; 32])
    }

    pub(crate) fn start(author: u8) -> Chain {
        Chain::begin(key(author).verifying_key().to_bytes(), 1)
    }

    /// The segment after `chain`, which then stands behind it.
    pub(crate) fn next(chain: &mut Chain, author: u8, body: &[u8]) -> Segment {
        let mut draft = Draft::after(chain.clone());
        draft.push(SealedChange {
            kind: Kind::Document,
            document: DocumentId::from_bytes([1; 16]),
            epoch: 0,
            body: Sealed::from_bytes(body.to_vec()),
        });
        let segment = draft.close(&key(author), [0; 16], Moment::START);
        chain.follow(&segment).expect("written after it");
        segment
    }

    #[test]
    fn two_segments_with_one_number_are_a_proof_without_their_content() {
        let one = next(&mut start(1), 1, b"canary one");
        let other = next(&mut start(1), 1, b"canary two");
        let proof = Proof::of(one.clone(), other.clone()).expect("a fork");
        assert_eq!(Proof::of(other, one), Ok(proof.clone()), "whichever comes first");
        let [first, second] = proof.halves();
        assert!(![first, second].iter().any(|half| half.windows(6).any(|window| window == b"canary")));
        assert_eq!(Proof::open(first, second), Ok(proof.clone()));
        assert_eq!(Proof::open(second, first), Err(NoProof::NotPruned), "one form");
        assert_eq!((proof.author(), proof.number()), (DeviceId::of_key(&key(1).verifying_key()), 0));
    }

    #[test]
    fn what_does_not_exclude_itself_proves_nothing() {
        let mut chain = start(1);
        let (first, second) = (next(&mut chain, 1, b"a"), next(&mut chain, 1, b"b"));
        let stranger = next(&mut start(2), 2, b"c");
        for (case, one, other) in [
            ("the same segment", &first, &first),
            ("one after the other", &first, &second),
            ("another author", &first, &stranger),
        ] {
            assert_eq!(Proof::of(one.clone(), other.clone()), Err(NoProof::NoFork), "{case}");
        }
        let fork = next(&mut start(1), 1, b"d");
        assert_eq!(Proof::open(&first.encode(), &fork.encode()), Err(NoProof::NotPruned), "content is not taken");
        let mut forged = Proof::of(first, fork).expect("a fork").halves()[0].to_vec();
        forged[60] ^= 1;
        assert!(matches!(Proof::open(&forged, &forged), Err(NoProof::Segment(_))));
    }
}
