//! Text leaves a device, and rests on its disk, only sealed.
//!
//! [`Sealed`] has one maker, [`DocumentKey::seal`], and it takes only what is [`Plain`]: redacted text or a record made of it.
//! Keys wrap keys: a space key wraps one key per document, and erasing a document is destroying its key. Entropy comes from outside.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{DeviceId, DocumentId, SpaceId, delta::Kind, id::NamingKey};

/// What may be sealed: text that redaction has let pass, or a record built from it. Raw text does not implement it.
pub trait Plain {
    /// The bytes to seal.
    fn plain(&self) -> &[u8];
}

/// Why sealed bytes did not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "sealed bytes do not open with this key; they are damaged, or belong to another document or another node's data folder"
)]
pub struct DoesNotOpen;

/// Where in the fleet's history a sealed body stands. No two bodies share a place, so no (key, nonce) pair repeats, also not
/// after a restored backup, which begins a new incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// Who wrote it.
    pub author: DeviceId,
    /// Which life of the author's log.
    pub incarnation: u64,
    /// The author's sequence number.
    pub seq: u64,
    /// Which of several bodies at that number.
    pub part: u32,
}

impl Place {
    /// The 24-byte nonce of this place (XChaCha20, draft-irtf-cfrg-xchacha §2).
    fn nonce(&self) -> XNonce {
        let digest = Sha256::new()
            .chain_update(b"hearth/nonce/1")
            .chain_update(self.author.as_bytes())
            .chain_update(self.incarnation.to_be_bytes())
            .chain_update(self.seq.to_be_bytes())
            .chain_update(self.part.to_be_bytes())
            .finalize();
        let mut nonce = [0; 24];
        nonce.copy_from_slice(&digest[..24]);
        nonce.into()
    }
}

/// What a body is bound to: opened as anything else, it does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// Whose it is.
    pub space: SpaceId,
    /// Which document's.
    pub document: DocumentId,
    /// What kind of change.
    pub kind: Kind,
}

impl Label {
    fn bytes(&self) -> [u8; 33] {
        let mut out = [0; 33];
        out[..16].copy_from_slice(self.space.as_bytes());
        out[16..32].copy_from_slice(self.document.as_bytes());
        out[32] = self.kind as u8;
        out
    }
}

/// Encrypted and authenticated bytes; safe to store and to hand to a relay.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The ciphertext with its 16-byte tag.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes ciphertext that was read back; opening it is what checks it.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// The key of one document. Destroying every copy of it erases the document everywhere.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct DocumentKey([u8; 32]);

impl DocumentKey {
    /// Takes 32 bytes of fresh entropy.
    pub const fn from_entropy(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Seals `plain` with XChaCha20-Poly1305, bound to `label`, under the nonce of `place`.
    pub fn seal(&self, place: Place, label: Label, plain: &impl Plain) -> Sealed {
        let payload = Payload { msg: plain.plain(), aad: &label.bytes() };
        let cipher = XChaCha20Poly1305::new(&self.0.into());
        Sealed(cipher.encrypt(&place.nonce(), payload).expect("a body is far below the cipher's limit of 256 GiB"))
    }

    /// Opens what [`seal`](Self::seal) made with the same key, place and label.
    ///
    /// # Errors
    /// When anything differs or a byte was changed.
    pub fn open(&self, place: Place, label: Label, sealed: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
        let payload = Payload { msg: sealed, aad: &label.bytes() };
        XChaCha20Poly1305::new(&self.0.into()).decrypt(&place.nonce(), payload).map_err(|_| DoesNotOpen)
    }
}

impl fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentKey(secret)")
    }
}

/// The root secret of one space on this node; every other key at rest comes from it by HKDF-SHA256 (RFC 5869) or is wrapped by it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SpaceKey([u8; 32]);

impl SpaceKey {
    /// Takes the 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for one purpose, of no use for any other.
    pub fn derive(&self, space: SpaceId, purpose: &str) -> [u8; 32] {
        let mut out = [0; 32];
        Hkdf::<Sha256>::new(Some(space.as_bytes()), &self.0)
            .expand(purpose.as_bytes(), &mut out)
            .expect("32 bytes is a length that HKDF-SHA256 can give");
        out
    }

    /// The key that turns names and content of the space into ids.
    pub fn naming(&self, space: SpaceId) -> NamingKey {
        NamingKey::from_bytes(self.derive(space, "hearth/naming/1"))
    }

    /// Wraps a document's key for storage: a 24-byte nonce from `entropy`, then ciphertext and tag (72 bytes in all).
    pub fn wrap(&self, space: SpaceId, document: DocumentId, key: &DocumentKey, entropy: [u8; 24]) -> Vec<u8> {
        let cipher = XChaCha20Poly1305::new(&self.derive(space, "hearth/wrap/1").into());
        let payload = Payload { msg: &key.0, aad: document.as_bytes() };
        let mut wrapped = entropy.to_vec();
        wrapped.extend(cipher.encrypt(&entropy.into(), payload).expect("32 bytes is below the cipher's limit"));
        wrapped
    }

    /// Unwraps what [`wrap`](Self::wrap) made.
    ///
    /// # Errors
    /// When it belongs to another space, document or node, or is damaged.
    pub fn unwrap(&self, space: SpaceId, document: DocumentId, wrapped: &[u8]) -> Result<DocumentKey, DoesNotOpen> {
        let (nonce, sealed) = wrapped.split_first_chunk::<24>().ok_or(DoesNotOpen)?;
        let cipher = XChaCha20Poly1305::new(&self.derive(space, "hearth/wrap/1").into());
        let payload = Payload { msg: sealed, aad: document.as_bytes() };
        let mut bytes = cipher.decrypt(&(*nonce).into(), payload).map_err(|_| DoesNotOpen)?;
        let key = <[u8; 32]>::try_from(&bytes[..]).map(DocumentKey).map_err(|_| DoesNotOpen);
        bytes.zeroize();
        key
    }
}

impl fmt::Debug for SpaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpaceKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    struct Words(&'static str);
    impl Plain for Words {
        fn plain(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    const SPACE: SpaceId = SpaceId::from_bytes([1; 16]);
    const DOC: DocumentId = DocumentId::from_bytes([2; 16]);
    const PLACE: Place = Place { author: DeviceId::from_bytes([3; 16]), incarnation: 4, seq: 5, part: 0 };
    const LABEL: Label = Label { space: SPACE, document: DOC, kind: Kind::Document };

    #[test]
    fn a_body_opens_only_where_and_as_what_it_was_sealed() {
        let key = DocumentKey::from_entropy([9; 32]);
        let sealed = key.seal(PLACE, LABEL, &Words("buy milk"));
        assert_eq!(key.open(PLACE, LABEL, sealed.as_bytes()).as_deref(), Ok(&b"buy milk"[..]));
        for (case, place, label) in [
            ("another number", Place { seq: 6, ..PLACE }, LABEL),
            ("another incarnation", Place { incarnation: 5, ..PLACE }, LABEL),
            ("another space", PLACE, Label { space: SpaceId::from_bytes([8; 16]), ..LABEL }),
            ("another document", PLACE, Label { document: DocumentId::from_bytes([8; 16]), ..LABEL }),
            ("another kind", PLACE, Label { kind: Kind::Embedding, ..LABEL }),
        ] {
            assert_eq!(key.open(place, label, sealed.as_bytes()), Err(DoesNotOpen), "{case}");
        }
    }

    #[test]
    fn a_wrapped_key_opens_only_for_its_document_and_space() {
        let root = SpaceKey::from_bytes([7; 32]);
        let key = DocumentKey::from_entropy([9; 32]);
        let wrapped = root.wrap(SPACE, DOC, &key, [5; 24]);
        assert_eq!(root.unwrap(SPACE, DOC, &wrapped), Ok(key));
        assert_eq!(root.unwrap(SPACE, DocumentId::from_bytes([0; 16]), &wrapped), Err(DoesNotOpen));
        assert_eq!(root.unwrap(SpaceId::from_bytes([0; 16]), DOC, &wrapped), Err(DoesNotOpen));
        assert_eq!(SpaceKey::from_bytes([6; 32]).unwrap(SPACE, DOC, &wrapped), Err(DoesNotOpen));
        for cut in 0..wrapped.len() {
            assert_eq!(root.unwrap(SPACE, DOC, &wrapped[..cut]), Err(DoesNotOpen), "cut at {cut}");
        }
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let shown = format!("{:?} {:?}", SpaceKey::from_bytes([171; 32]), DocumentKey::from_entropy([171; 32]));
        assert!(!shown.contains("171") && !shown.contains("ab"), "{shown}");
    }

    #[test]
    fn sealed_bytes_show_how_many_they_are() {
        let sealed = DocumentKey::from_entropy([9; 32]).seal(PLACE, LABEL, &Words("buy milk"));
        assert_eq!(format!("{sealed:?}"), "Sealed(24 bytes)", "eight and a tag of sixteen");
    }

    proptest! {
        #[test]
        fn no_two_places_share_a_nonce(places in prop::collection::hash_set((0_u8..3, 0_u64..4, 0_u64..50, 0_u32..3), 1..200)) {
            let nonces: HashSet<_> = places.iter().map(|&(author, incarnation, seq, part)| {
                Place { author: DeviceId::from_bytes([author; 16]), incarnation, seq, part }.nonce()
            }).collect();
            prop_assert_eq!(nonces.len(), places.len());
        }
    }
}
