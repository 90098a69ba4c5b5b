//! Proof that an author told two stories.
//!
//! An author signs one head for each place of its log. Two heads that it signed for one place and that differ prove that its key is used
//! by two, or lied with; [`Proof`] holds both, so that whoever has it needs nothing else to be convinced. What follows (the author is
//! frozen wherever the proof goes) is decided elsewhere.

use minicbor::{Decoder, Encoder};

use crate::{
    DeviceId,
    id::array,
    segment::{BadSegment, Head, Segment},
    signed::{Distrust, Signable, Verified},
    sync::Log,
};

/// The newest version of the encoding that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most bytes of an encoded proof; two heads of the greatest numbers take 566.
pub const BYTES_MAX: usize = 1024;

/// Why two heads, or bytes, prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoProof {
    /// Not the encoding at all, or not the one form of it.
    #[error(
        "a proof of equivocation is not in the form this version writes; ask the node that sent it to update or to send it again"
    )]
    Malformed,
    /// Written by a newer hearth.
    #[error(
        "a proof of equivocation has format {0}, and this hearth knows up to {VERSION}; update hearth on this node"
    )]
    Newer(u8),
    /// A head has another format than this program knows.
    #[error("a proof of equivocation holds a head that this hearth cannot read; update hearth on this node")]
    NewerHead,
    /// The author did not sign one of the heads.
    #[error("a proof of equivocation holds a head that its author did not sign; drop it and do not blame the author")]
    Signature(#[from] Distrust),
    /// The heads stand at different places, or are one.
    #[error(
        "the two heads of a proof of equivocation do not contradict each other; drop it and do not blame the author"
    )]
    NoContradiction,
}

/// Two heads that one author signed for one place in its log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    // By digest, so that one contradiction has one encoding whoever saw which head first.
    heads: Box<[Verified<Head>; 2]>,
}

impl Proof {
    /// Puts the heads together.
    ///
    /// # Errors
    /// [`NoProof::NoContradiction`] when the author, the incarnation or the number differ, or the heads are one.
    pub fn of(one: Verified<Head>, other: Verified<Head>) -> Result<Self, NoProof> {
        let place = |head: &Verified<Head>| (head.get().author, head.get().incarnation, head.get().number);
        let (a, b) = (one.get().digest(), other.get().digest());
        if place(&one) != place(&other) || a == b {
            return Err(NoProof::NoContradiction);
        }
        Ok(Self { heads: Box::new(if a < b { [one, other] } else { [other, one] }) })
    }

    /// Puts the heads of two segments together.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn between(one: &Segment, other: &Segment) -> Result<Self, NoProof> {
        Self::of(one.verified_head().clone(), other.verified_head().clone())
    }

    /// Whose stories these are.
    pub fn author(&self) -> DeviceId {
        self.log().author
    }

    /// Of which log.
    pub fn log(&self) -> Log {
        Log::of_head(self.heads[0].get())
    }

    /// Of which segment.
    pub fn number(&self) -> u64 {
        self.heads[0].get().number
    }

    /// The two heads, by their digests.
    pub const fn heads(&self) -> &[Verified<Head>; 2] {
        &self.heads
    }

    /// The bytes to store and to send: `[version, head, signature, head, signature]`, the lesser digest first.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut e = Encoder::new(&mut out);
        e.array(5).and_then(|e| e.u8(VERSION)).expect("writing to memory does not fail");
        for head in self.heads() {
            e.bytes(head.get().signed_bytes())
                .and_then(|e| e.bytes(&head.signature()))
                .expect("writing to memory does not fail");
        }
        out
    }

    /// Reads a proof and believes it only when both heads were signed by the author they name and contradict each other.
    ///
    /// # Errors
    /// When anything is otherwise: the author is not to be blamed for it.
    pub fn open(bytes: &[u8]) -> Result<Self, NoProof> {
        if bytes.len() > BYTES_MAX {
            return Err(NoProof::Malformed);
        }
        let (version, heads) = Self::read(bytes).ok_or(NoProof::Malformed)?;
        if version > VERSION {
            return Err(NoProof::Newer(version));
        }
        let [one, other] = heads.ok_or(NoProof::Malformed)?.map(|(head, signature)| Head::open(head, signature));
        let proof = Self::of(one.map_err(unread)?, other.map_err(unread)?)?;
        if proof.encode() == bytes { Ok(proof) } else { Err(NoProof::Malformed) }
    }

    /// The version, and the heads when it is one that we know.
    #[expect(clippy::type_complexity, reason = "what is read, for the one function that asks")]
    fn read(bytes: &[u8]) -> Option<(u8, Option<[(&[u8], [u8; 64]); 2]>)> {
        let mut d = Decoder::new(bytes);
        let fields = d.array().ok()??;
        let version = d.u8().ok()?;
        if version > VERSION {
            return Some((version, None));
        }
        let mut head = || Some((d.bytes().ok()?, array(&mut d).ok()?));
        let heads = [head()?, head()?];
        (fields == 5 && d.position() == bytes.len()).then_some((version, Some(heads)))
    }
}

const fn unread(why: BadSegment) -> NoProof {
    match why {
        BadSegment::Newer(_) => NoProof::NewerHead,
        BadSegment::Signature(distrust) => NoProof::Signature(distrust),
        BadSegment::Malformed | BadSegment::OtherRoot | BadSegment::Gap => NoProof::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        DocumentId, Moment,
        delta::Tombstone,
        segment::{Chain, Draft},
    };

    fn head(key: u8, incarnation: u64, number: u64, document: u8) -> Verified<Head> {
        let key = SigningKey::from_bytes(&[key; 32]);
        let chain = Chain { number, ..Chain::begin(key.verifying_key().to_bytes(), incarnation) };
        let mut draft = Draft::after(chain);
        draft.push(Tombstone { document: DocumentId::from_bytes([document; 16]) });
        draft.close(&key, [7; 16], Moment::from_millis(9)).verified_head().clone()
    }

    fn proof() -> Proof {
        Proof::of(head(1, 2, 3, 4), head(1, 2, 3, 5)).expect("they contradict each other")
    }

    #[test]
    fn only_two_heads_of_one_place_contradict_each_other() {
        let one = head(1, 2, 3, 4);
        for (case, other, contradicts) in [
            ("another content", head(1, 2, 3, 5), true),
            ("the same head", head(1, 2, 3, 4), false),
            ("another author", head(9, 2, 3, 5), false),
            ("another incarnation", head(1, 9, 3, 5), false),
            ("another number", head(1, 2, 9, 5), false),
        ] {
            assert_eq!(Proof::of(one.clone(), other).is_ok(), contradicts, "{case}");
        }
    }

    #[test]
    fn one_contradiction_has_one_encoding() {
        let (a, b) = (head(1, 2, 3, 4), head(1, 2, 3, 5));
        let (one, other) = (Proof::of(a.clone(), b.clone()), Proof::of(b.clone(), a.clone()));
        assert_eq!(one, other);
        let proof = one.expect("they contradict each other");
        assert_eq!(Proof::open(&proof.encode()), Ok(proof.clone()));
        assert_eq!((proof.log().incarnation, proof.number()), (2, 3));

        let [lesser, greater] = *proof.heads;
        let turned = Proof { heads: Box::new([greater, lesser]) };
        assert_eq!(Proof::open(&turned.encode()), Err(NoProof::Malformed), "the greater first");
        let twice = Proof { heads: Box::new([a.clone(), a]) };
        assert_eq!(Proof::open(&twice.encode()), Err(NoProof::NoContradiction), "one head twice");
    }

    #[test]
    fn nobody_is_blamed_for_a_head_that_was_not_signed() {
        let mut bytes = proof().encode();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(Proof::open(&bytes), Err(NoProof::Signature(Distrust::BadSignature)));
    }

    #[test]
    fn a_newer_proof_is_named_as_such() {
        assert_eq!(Proof::open(&[0x81, 2]), Err(NoProof::Newer(2)));
        assert_eq!(Proof::open(&[0x81, 1]), Err(NoProof::Malformed));
        let greatest =
            Proof::of(head(1, u64::MAX, u64::MAX, 4), head(1, u64::MAX, u64::MAX, 5)).expect("they contradict");
        assert!(greatest.encode().len() < BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at in 0_usize..10_000, to: u8) {
            let bytes = proof().encode();
            let mut changed = bytes.clone();
            changed[at % bytes.len()] = to;
            prop_assert_eq!(Proof::open(&changed).is_ok(), changed == bytes);
        }

        #[test]
        fn no_cut_and_no_addition_is_believed(cut in 0_usize..10_000, more: u8) {
            let mut bytes = proof().encode();
            prop_assert!(Proof::open(&bytes[..cut % bytes.len()]).is_err());
            bytes.push(more);
            prop_assert!(Proof::open(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Proof::open(&bytes).is_err());
        }
    }
}
