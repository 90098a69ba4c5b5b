//! The word of whoever stores a segment that it has it.
//!
//! A storing peer or relay keeps the digests of heads in one RFC 6962 tree for each fleet; the leaf is the 32 bytes of a digest. Its
//! [`Receipt`] names the head, the tree and the path between them, and is signed: with it, an author can show later that a segment is
//! withheld, and two receipts show whether the store's tree only grew. Whether a store is one of ours is for the caller to ask.

use ed25519_dalek::{SigningKey, VerifyingKey};
use minicbor::{Decoder, Encoder};

use crate::{
    Moment,
    id::{array, head_len},
    merkle::{Hash, PROOF_MAX, extends, includes, leaf},
    segment::Head,
    signed::{Distrust, Signable, Signed, Verified},
};

/// The newest version of the encoding that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most bytes of an encoded receipt; the longest path takes 2,476.
pub const BYTES_MAX: usize = 3072;

/// What a store says, before it is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The store's ed25519 public key.
    pub store: [u8; 32],
    /// The fleet whose tree it is.
    pub fleet: [u8; 16],
    /// Author of the segment.
    pub author: [u8; 32],
    /// Which life of the author's log.
    pub incarnation: u64,
    /// Number of the segment.
    pub number: u64,
    /// Digest of the segment's head.
    pub head: Hash,
    /// How many leaves the tree had.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Which leaf the head's digest is, from 0.
    pub index: u64,
    /// Its RFC 6962 audit path.
    pub path: Vec<Hash>,
    /// The store's clock when it was signed, after the segment was on its disk.
    pub at: Moment,
}

/// Why bytes are not a receipt to be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadReceipt {
    /// Not the encoding at all, or not the one shortest form of it.
    #[error("a receipt is not in the form this version writes; send the segment again to get another")]
    Malformed,
    /// Written by a newer hearth.
    #[error("a receipt has format {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
    /// The path does not lead from the head to the root.
    #[error(
        "a receipt's path does not lead to the root that it names; the store's tree is damaged or it lies, keep the segment"
    )]
    NotInTree,
    /// The store did not sign it.
    #[error("a receipt is not signed by the store it names; keep the segment and send it again")]
    Signature(#[from] Distrust),
}

/// A claim in its encoded form, whose path leads to its root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    claim: Claim,
    bytes: Vec<u8>,
}

impl Signable for Receipt {
    const CONTEXT: &'static str = "hearth/receipt/1";
    fn signed_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Receipt {
    /// Signs a claim with the key of the store.
    ///
    /// # Errors
    /// When the claim is not one that a reader would believe: another key, or a path that does not lead to the root.
    pub fn sign(key: &SigningKey, claim: Claim) -> Result<Verified<Self>, BadReceipt> {
        let bytes = claim.encode();
        Self::proved(claim, bytes)?.believe(|receipt| Signed::by(key, receipt))
    }

    /// What the store says.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether it is about this head.
    pub fn confirms(&self, head: &Head) -> bool {
        let claim = &self.claim;
        claim.head == head.digest()
            && (claim.fleet, claim.author) == (head.fleet, head.author)
            && (claim.incarnation, claim.number) == (head.incarnation, head.number)
    }

    /// Whether `path` proves that the tree of `later`, by the same store for the same fleet, only added to the tree of this one.
    /// When it is refused and the store has no better path, the two receipts show that it drops or rewrites.
    pub fn grew_into(&self, later: &Self, path: &[Hash]) -> bool {
        let (old, new) = (&self.claim, &later.claim);
        (old.store, old.fleet) == (new.store, new.fleet)
            && path.len() <= PROOF_MAX
            && extends(old.size, &old.root, new.size, &new.root, path)
    }

    /// Reads what [`encode`] made and believes it only when its path leads to its root and the store that it names signed it.
    ///
    /// # Errors
    /// When anything is otherwise: the segment is then to be treated as if nobody else had it.
    pub fn open(bytes: &[u8]) -> Result<Verified<Self>, BadReceipt> {
        if bytes.len() > BYTES_MAX {
            return Err(BadReceipt::Malformed);
        }
        let (inner, signature) = split(bytes).ok_or(BadReceipt::Malformed)?;
        let claim = Claim::decode(inner)?;
        Self::proved(claim, inner.to_vec())?.believe(|receipt| Signed::from_parts(receipt, signature))
    }

    fn proved(claim: Claim, bytes: Vec<u8>) -> Result<Self, BadReceipt> {
        let fits = claim.path.len() <= PROOF_MAX;
        if fits && includes(&claim.root, claim.size, claim.index, &leaf(&claim.head), &claim.path) {
            Ok(Self { claim, bytes })
        } else {
            Err(BadReceipt::NotInTree)
        }
    }

    fn believe(self, signed: impl FnOnce(Self) -> Signed<Self>) -> Result<Verified<Self>, BadReceipt> {
        let store = VerifyingKey::from_bytes(&self.claim.store).map_err(|_| BadReceipt::Malformed)?;
        Ok(signed(self).verify(&store)?)
    }
}

/// The bytes to store and to send: `[receipt, signature]`, both byte strings.
pub fn encode(receipt: &Verified<Receipt>) -> Vec<u8> {
    let bytes = receipt.get().signed_bytes();
    let mut out = Vec::with_capacity(bytes.len() + 72);
    let mut e = Encoder::new(&mut out);
    e.array(2)
        .and_then(|e| e.bytes(bytes))
        .and_then(|e| e.bytes(&receipt.signature()))
        .expect("writing to memory does not fail");
    out
}

fn split(bytes: &[u8]) -> Option<(&[u8], [u8; 64])> {
    let mut d = Decoder::new(bytes);
    if d.array().ok()? != Some(2) {
        return None;
    }
    let (inner, signature) = (d.bytes().ok()?, array(&mut d).ok()?);
    // The length says whether it is the shortest form: the array's byte, the receipt, and the signature behind two bytes.
    let shortest = 1 + head_len(inner.len() as u64) + inner.len() + 2 + signature.len();
    (d.position() == bytes.len() && bytes.len() == shortest).then_some((inner, signature))
}

impl Claim {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.path.len() * 34);
        let mut e = Encoder::new(&mut out);
        e.array(12)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(&self.store))
            .and_then(|e| e.bytes(&self.fleet))
            .and_then(|e| e.bytes(&self.author))
            .and_then(|e| e.u64(self.incarnation))
            .and_then(|e| e.u64(self.number))
            .and_then(|e| e.bytes(&self.head))
            .and_then(|e| e.u64(self.size))
            .and_then(|e| e.bytes(&self.root))
            .and_then(|e| e.u64(self.index))
            .and_then(|e| e.array(self.path.len() as u64))
            .expect("writing to memory does not fail");
        for hash in &self.path {
            e.bytes(hash).expect("writing to memory does not fail");
        }
        e.u64(self.at.as_millis()).expect("writing to memory does not fail");
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadReceipt> {
        let mut d = Decoder::new(bytes);
        let (Ok(Some(fields)), Ok(version)) = (d.array(), d.u8()) else { return Err(BadReceipt::Malformed) };
        if version > VERSION {
            return Err(BadReceipt::Newer(version));
        }
        let claim = Self::read(&mut d).ok_or(BadReceipt::Malformed)?;
        // One receipt has one encoding: writing it again must give the same bytes.
        if fields == 12 && claim.encode() == bytes { Ok(claim) } else { Err(BadReceipt::Malformed) }
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            store: array(d).ok()?,
            fleet: array(d).ok()?,
            author: array(d).ok()?,
            incarnation: d.u64().ok()?,
            number: d.u64().ok()?,
            head: array(d).ok()?,
            size: d.u64().ok()?,
            root: array(d).ok()?,
            index: d.u64().ok()?,
            path: {
                let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= PROOF_MAX)?;
                (0..count).map(|_| array(d).ok()).collect::<Option<_>>()?
            },
            at: Moment::from_millis(d.u64().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        DocumentId,
        delta::Tombstone,
        merkle::{consistency, inclusion, root},
        segment::{Chain, Draft, Segment},
    };

    fn store() -> SigningKey {
        SigningKey::from_bytes(&[8; 32])
    }

    fn segment(document: u8) -> Segment {
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut draft = Draft::after(Chain::begin(key.verifying_key().to_bytes(), 5));
        draft.push(Tombstone { document: DocumentId::from_bytes([document; 16]) });
        draft.close(&key, [7; 16], Moment::from_millis(9))
    }

    fn tree(size: u8) -> Vec<Hash> {
        (0..size).map(|document| leaf(&segment(document).digest())).collect()
    }

    fn claim(index: u8, size: u8) -> Claim {
        let (segment, leaves) = (segment(index), tree(size));
        let head = segment.head();
        Claim {
            store: store().verifying_key().to_bytes(),
            fleet: head.fleet,
            author: head.author,
            incarnation: head.incarnation,
            number: head.number,
            head: head.digest(),
            size: u64::from(size),
            root: root(&leaves),
            index: u64::from(index),
            path: inclusion(&leaves, usize::from(index)).expect("it is there"),
            at: Moment::from_millis(77),
        }
    }

    fn receipt() -> Verified<Receipt> {
        Receipt::sign(&store(), claim(3, 11)).expect("it is in the tree")
    }

    #[test]
    fn a_receipt_reads_back_and_confirms_its_head_and_no_other() {
        let read = Receipt::open(&encode(&receipt())).expect("as signed");
        assert_eq!(read, receipt());
        assert!(read.get().confirms(segment(3).head()));
        assert!(!read.get().confirms(segment(4).head()));
        for (case, change) in [
            ("another fleet", (|claim| claim.fleet[0] ^= 1) as fn(&mut Claim)),
            ("another author", |claim| claim.author[0] ^= 1),
            ("another incarnation", |claim| claim.incarnation ^= 1),
            ("another number", |claim| claim.number ^= 1),
        ] {
            let mut other = claim(3, 11);
            change(&mut other);
            let other = Receipt::sign(&store(), other).expect("its head is in the tree");
            assert!(!other.get().confirms(segment(3).head()), "{case}");
        }
    }

    #[test]
    fn a_store_cannot_sign_what_its_tree_does_not_hold() {
        for (case, change) in [
            ("another head", (|claim| claim.head[0] ^= 1) as fn(&mut Claim)),
            ("another root", |claim| claim.root[0] ^= 1),
            ("another place", |claim| claim.index = 4),
            ("a place beyond the tree", |claim| claim.index = 11),
            ("another size", |claim| claim.size = 3),
            ("a shorter path", |claim| claim.path.truncate(1)),
            ("a path without end", |claim| claim.path = vec![[0; 32]; 65]),
        ] {
            let mut other = claim(3, 11);
            change(&mut other);
            assert_eq!(Receipt::sign(&store(), other.clone()), Err(BadReceipt::NotInTree), "{case}");
            // Signed all the same, by a store that lies.
            let bytes = other.encode();
            let lie =
                Signed::by(&store(), Receipt { claim: other, bytes }).verify(&store().verifying_key()).expect("signed");
            let opened = Receipt::open(&encode(&lie));
            assert!(matches!(opened, Err(BadReceipt::NotInTree | BadReceipt::Malformed)), "{case}: {opened:?}");
        }
        let other = SigningKey::from_bytes(&[9; 32]);
        let signed = Receipt::sign(&other, claim(3, 11));
        assert_eq!(signed, Err(BadReceipt::Signature(Distrust::BadSignature)), "another key than it names");
    }

    #[test]
    fn two_receipts_show_whether_the_tree_only_grew() {
        let sign = |claim| Receipt::sign(&store(), claim).expect("it is in the tree");
        let (early, late) = (sign(claim(3, 5)), sign(claim(3, 11)));
        let path = consistency(&tree(11), 5).expect("shorter");
        assert!(early.get().grew_into(late.get(), &path));
        assert!(!late.get().grew_into(early.get(), &path), "backwards");
        assert!(!early.get().grew_into(late.get(), &path[1..]), "another path");

        let mut elsewhere = claim(3, 11);
        elsewhere.fleet = [1; 16];
        assert!(!early.get().grew_into(sign(elsewhere).get(), &path), "another fleet");

        let mut rewritten = tree(11);
        rewritten[0] = [0; 32];
        let mut fork = claim(3, 11);
        fork.root = root(&rewritten);
        fork.path = inclusion(&rewritten, 3).expect("it is there");
        let path = consistency(&rewritten, 5).expect("shorter");
        assert!(!early.get().grew_into(sign(fork).get(), &path), "a rewritten tree");
    }

    #[test]
    fn only_the_shortest_form_of_a_known_version_is_read() {
        let good = encode(&receipt());
        let (inner, signature) = split(&good).expect("as written");
        let wrap = |inner: &[u8]| {
            let receipt = Receipt { claim: claim(3, 11), bytes: inner.to_vec() };
            encode(&Signed::by(&store(), receipt).verify(&store().verifying_key()).expect("signed"))
        };
        assert_eq!(wrap(inner), good);
        let mut newer = inner.to_vec();
        newer[1] = VERSION + 1;
        assert_eq!(Receipt::open(&wrap(&newer)), Err(BadReceipt::Newer(VERSION + 1)));
        let mut long = inner[..1].to_vec();
        long.extend([0x18, 1]);
        long.extend(&inner[2..]);
        assert_eq!(Receipt::open(&wrap(&long)), Err(BadReceipt::Malformed), "a number longer than need be");
        let mut open_ended = vec![0x9f];
        open_ended.extend(&good[1..]);
        open_ended.push(0xff);
        assert_eq!(Receipt::open(&open_ended), Err(BadReceipt::Malformed), "an array without a length");
        let mut outer = vec![0x98, 2];
        outer.extend(&good[1..]);
        assert_eq!(Receipt::open(&outer), Err(BadReceipt::Malformed), "a length longer than need be");
        assert_eq!(split(&good).map(|(_, again)| again), Some(signature));
    }

    #[test]
    fn what_is_longer_than_any_receipt_is_not_read() {
        assert_eq!(Receipt::open(&vec![0; BYTES_MAX + 1]), Err(BadReceipt::Malformed));
        let believed = receipt();
        assert_eq!(*believed.get().claim(), claim(3, 11));
        let longest = Claim {
            path: vec![[7; 32]; PROOF_MAX],
            incarnation: u64::MAX,
            number: u64::MAX,
            size: u64::MAX,
            index: u64::MAX - 1,
            at: Moment::from_millis(u64::MAX),
            ..claim(3, 11)
        };
        let bytes = longest.encode();
        let signed = Signed::by(&store(), Receipt { claim: longest, bytes });
        let longest = encode(&signed.verify(&store().verifying_key()).expect("signed"));
        assert!(longest.len() <= BYTES_MAX, "{}", longest.len());
        assert_eq!(Receipt::open(&longest), Err(BadReceipt::NotInTree), "it is read, and its path leads nowhere");
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at in 0_usize..10_000, to: u8) {
            let bytes = encode(&receipt());
            let mut changed = bytes.clone();
            changed[at % bytes.len()] = to;
            prop_assert_eq!(Receipt::open(&changed).is_ok(), changed == bytes);
        }

        #[test]
        fn no_cut_and_no_addition_is_believed(cut in 0_usize..10_000, more: u8) {
            let mut bytes = encode(&receipt());
            prop_assert!(Receipt::open(&bytes[..cut % bytes.len()]).is_err());
            bytes.push(more);
            prop_assert!(Receipt::open(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Receipt::open(&bytes).is_err());
        }
    }
}
