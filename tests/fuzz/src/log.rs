//! The log: changes, segments, receipts, and both kinds of proof against an author.

use ed25519_dalek::{Signer, SigningKey};
use hearth_core::{
    delta::{Delta, Kind, Logged, SealedChange, Tombstone},
    equivocation,
    merkle::{Hash, leaf, root},
    receipt::{self, Receipt},
    seal::Sealed,
    segment::{BYTES_MAX, Chain, Outline, Segment},
    signed::Signable as _,
};
use minicbor::{Decoder, Encoder, data::Type};
use sha2::{Digest, Sha256};

use crate::forms::{no_bit_turns, one_form};

/// The key of the author whose log the vectors hold.
pub fn author() -> SigningKey {
    SigningKey::from_bytes(&[0xa1; 32])
}

/// A change.
pub fn delta(bytes: &[u8]) {
    one_form(bytes, |bytes| {
        let logged = Logged::decode(bytes).ok()?;
        let (document, body) = (logged.document, Sealed::from_bytes(logged.body.to_vec()));
        Some(match logged.kind {
            Kind::Tombstone => Delta::of(logged.seq, Tombstone { document }).encode(),
            kind => Delta::of(logged.seq, SealedChange { kind, document, epoch: logged.epoch, body }).encode(),
        })
    });
}

fn opened(bytes: &[u8]) -> Option<Vec<u8>> {
    Segment::open(bytes).ok().map(|segment| segment.encode())
}

/// A segment, as it came and with the root and the signature that its content would have.
pub fn segment(bytes: &[u8]) {
    believed(bytes);
    if let Some(signed) = made_whole(bytes) {
        believed(&signed);
    }
}

fn believed(bytes: &[u8]) {
    if !one_form(bytes, opened) {
        return;
    }
    no_bit_turns(bytes, opened);
    assert!(bytes.len() <= BYTES_MAX);
    let mut segment = Segment::open(bytes).expect("just read");
    let outline = Outline::read(bytes).expect("what is believed has an outline");
    assert_eq!(outline.head(), segment.head());
    let said: Vec<_> = segment.changes().map(|(_, change)| change.map(|it| (it.kind, it.document))).collect();
    assert_eq!(outline.changes(), said);
    assert_eq!(said.len(), usize::from(segment.head().count));
    let head = segment.head().clone();
    assert_eq!(segment.digest(), head.digest());
    let mut chain = Chain::begin(head.author, head.incarnation);
    let is_first = chain.follow(&segment).is_ok();
    assert!(!is_first || (head.number, head.first_seq) == (0, 0));
    assert!(!is_first || chain.follow(&segment).is_err(), "it does not follow itself");
    segment.prune(|_| true);
    let pruned = Segment::open(&segment.encode()).expect("pruned, it is as it was signed");
    assert_eq!(pruned.digest(), head.digest());
}

/// The same segment by the author of the vectors, with the right root and signature; everything else is left in the form it has.
fn made_whole(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut d = Decoder::new(bytes);
    d.array().ok().flatten().filter(|fields| *fields == 3)?;
    let head = d.bytes().ok()?;
    d.skip().ok()?;
    let count = d.array().ok()??;
    let from = d.position();
    let mut leaves = Vec::new();
    for _ in 0..count.min(64) {
        leaves.push(match d.datatype().ok()? {
            Type::Bytes => leaf(d.bytes().ok()?),
            _ => {
                d.array().ok()?;
                Hash::try_from(d.bytes().ok()?).ok()?
            }
        });
    }
    let changes = bytes.get(from..)?;
    let head = replaced(head, &[(2, author().verifying_key().as_bytes()), (8, &root(&leaves))])?;
    let mut out = vec![0x83];
    let digest: Hash = Sha256::new().chain_update(b"hearth/seg/1\0").chain_update(&head).finalize().into();
    let signature = author().sign(&digest).to_bytes();
    let mut e = Encoder::new(&mut out);
    e.bytes(&head).and_then(|e| e.bytes(&signature)).and_then(|e| e.array(count)).expect("memory");
    out.extend(changes);
    Some(out)
}

/// An array whose fields of these places are byte strings with other content.
fn replaced(array: &[u8], fields: &[(u64, &[u8])]) -> Option<Vec<u8>> {
    let mut d = Decoder::new(array);
    let count = d.array().ok()??;
    let mut out = array[..d.position()].to_vec();
    for at in 0..count.min(64) {
        let from = d.position();
        let is_bytes = d.datatype().ok()? == Type::Bytes;
        d.skip().ok()?;
        match fields.iter().find(|(place, _)| *place == at && is_bytes) {
            Some((_, content)) => {
                Encoder::new(&mut out).bytes(content).expect("memory");
            }
            None => out.extend(&array[from..d.position()]),
        }
    }
    out.extend(&array[d.position()..]);
    Some(out)
}

fn receipted(bytes: &[u8]) -> Option<Vec<u8>> {
    Receipt::open(bytes).ok().map(|receipt| receipt::encode(&receipt))
}

/// A receipt.
pub fn receipt(bytes: &[u8]) {
    if one_form(bytes, receipted) {
        assert!(bytes.len() <= receipt::BYTES_MAX);
        no_bit_turns(bytes, receipted);
    }
}

fn proven(bytes: &[u8]) -> Option<Vec<u8>> {
    equivocation::Proof::open(bytes).ok().map(|proof| proof.encode())
}

/// A proof of equivocation.
pub fn proof(bytes: &[u8]) {
    if one_form(bytes, proven) {
        assert!(bytes.len() <= equivocation::BYTES_MAX);
        no_bit_turns(bytes, proven);
        let proof = equivocation::Proof::open(bytes).expect("just read");
        let [one, other] = proof.heads().each_ref().map(|head| head.get().digest());
        assert!(one < other);
    }
}
