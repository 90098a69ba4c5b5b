//! Who writes: keys, and segments with a residency.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, DocumentId, Moment,
    delta::{Kind, SealedChange},
    seal::Sealed,
    segment::{Chain, Draft, Head, Segment},
    signed::{Signable, Signed},
    sync::{Held, Log},
};
use minicbor::{Decoder, Encoder};

use super::dice::Dice;

/// The fleet of every simulated world.
pub(crate) const FLEET: [u8; 16] = [0xfe; 16];

/// The key of the author with this number.
pub(crate) fn key(author: usize) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(author + 1).expect("a handful of authors"); 32])
}

/// The device of the author with this number.
pub(crate) fn device(author: usize) -> DeviceId {
    DeviceId::of_key(&key(author).verifying_key())
}

/// What every body of a residency holds, to be looked for where it must not be. No bit that a disk flips makes another one's of it.
pub(crate) fn canary(residency: u16) -> [u8; 8] {
    let [high, low] = residency.to_be_bytes();
    [0xc5, 0xa7, high, low, !high, !low, 0xa7, 0xc5]
}

/// Writes the segment after `chain`.
pub(crate) fn write(author: usize, chain: &Chain, residency: u16, now: Moment, dice: &mut Dice) -> (Arc<[u8]>, Held) {
    let key = key(author);
    let mut draft = Draft::after(chain.clone());
    for _ in 0..dice.from(1, 3) {
        let mut body = canary(residency).to_vec();
        for _ in 0..dice.from(2, 20) {
            body.extend(dice.roll().to_le_bytes());
        }
        let document = DocumentId::from_bytes([7; 16]);
        draft.push(SealedChange { kind: Kind::Document, document, epoch: 0, body: Sealed::from_bytes(body) });
    }
    let bytes = live_in(residency, &key, &draft.close(&key, FLEET, now).encode());
    let segment = Segment::open(&bytes).expect("just signed");
    let mut chain = chain.clone();
    chain.follow(&segment).expect("just written after it");
    let log = Log::of(&segment);
    (bytes.into(), Held { log, chain, residency })
}

struct Bytes(Vec<u8>);
impl Signable for Bytes {
    const CONTEXT: &'static str = Head::CONTEXT;
    fn signed_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The same segment under another residency, which is the last but one field of its head.
fn live_in(residency: u16, key: &SigningKey, segment: &[u8]) -> Vec<u8> {
    let mut outer = Decoder::new(segment);
    outer.array().expect("a segment");
    let head = outer.bytes().expect("its head");
    outer.skip().expect("its signature");
    let rest = &segment[outer.position()..];

    let mut d = Decoder::new(head);
    let fields = d.array().expect("a head").expect("of known length");
    for _ in 0..fields - 2 {
        d.skip().expect("a field");
    }
    let before = d.position();
    d.skip().expect("the residency");
    let mut changed = head[..before].to_vec();
    Encoder::new(&mut changed).u16(residency).expect("memory");
    changed.extend(&head[d.position()..]);

    let signed = Signed::by(key, Bytes(changed));
    let mut out = Vec::new();
    let mut e = Encoder::new(&mut out);
    e.array(3).and_then(|e| e.bytes(&signed.claim().0)).and_then(|e| e.bytes(&signed.signature())).expect("memory");
    out.extend(rest);
    out
}
