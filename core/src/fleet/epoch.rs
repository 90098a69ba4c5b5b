//! The keys that members share: one per epoch, wrapped to each device, and what is derived from it.
//!
//! Wrapping is HPKE (RFC 9180, base mode, X25519, HKDF-SHA-256, ChaCha20-Poly1305) by the `hpke` crate: it is pure, has two licences
//! that fit, stands on the same generation of ciphers and curves as the rest, and without its default features brings only the
//! *trait* of a generator along; `Once` below is all the generator it gets, so entropy stays an argument. Composing it here from its
//! parts would be as many lines of cryptography of our own, for one dependency less.
//!
//! A document's key travels in a [`KeyRecord`] beside the log, never in it: erasing is destroying every such record.

use std::{convert::Infallible, fmt};

use hkdf::Hkdf;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    rand_core::{TryCryptoRng, TryRng},
};
use minicbor::{Decoder, Encoder};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{FleetId, link::WRAPPED_BYTES};
use crate::{
    DeviceId, DocumentId, SpaceId,
    id::{NamingKey, array},
    seal::{DocumentKey, DoesNotOpen, SpaceKey},
};

/// The newest form of a key record that this program writes and reads.
pub const VERSION: u8 = 1;

/// Why a key was not wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the device's X25519 key is not one that a key can be wrapped to; revoke the device and add it with a new key")]
pub struct CannotWrap;

/// 32 bytes of entropy where a generator is asked for.
struct Once(Option<[u8; 32]>);

impl TryRng for Once {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("HPKE asks for the seed of its ephemeral key only")
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("HPKE asks for the seed of its ephemeral key only")
    }
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        let mut seed = self.0.take().expect("HPKE asks for the seed of its ephemeral key once");
        into.copy_from_slice(&seed);
        seed.zeroize();
        Ok(())
    }
}

impl TryCryptoRng for Once {}

/// Encapsulated key, ciphertext and tag.
fn hpke_seal(to: &[u8; 32], info: &[u8], aad: &[u8], plain: &[u8], entropy: [u8; 32]) -> Option<Vec<u8>> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to).ok()?;
    let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &to,
        info,
        plain,
        aad,
        &mut Once(Some(entropy)),
    )
    .ok()?;
    Some([&encapsulated.to_bytes()[..], &sealed].concat())
}

fn hpke_open(by: &[u8; 32], info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let by = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(by).ok()?;
    let (encapsulated, sealed) = sealed.split_at_checked(32)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &by,
        &encapsulated,
        info,
        sealed,
        aad,
    )
    .ok()
}

/// The device's X25519 secret, by which it opens what was wrapped to it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WrapSecret([u8; 32]);

impl WrapSecret {
    /// Derives it from the 32-byte seed of the device's ed25519 key, so that a device keeps one secret.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        let mut material = [0; 32];
        Hkdf::<Sha256>::new(None, seed)
            .expand(b"hearth/x25519/1", &mut material)
            .expect("32 bytes is a length that HKDF-SHA256 can give");
        let (secret, _) = X25519HkdfSha256::derive_keypair(&material);
        material.zeroize();
        Self(secret.to_bytes().into())
    }

    /// The public half, as it stands in the fleet's chain.
    pub fn public(&self) -> [u8; 32] {
        let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&self.0).expect("32 bytes are an X25519 secret");
        X25519HkdfSha256::sk_to_pk(&secret).to_bytes().into()
    }
}

impl fmt::Debug for WrapSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrapSecret(secret)")
    }
}

/// Which epoch of which fleet a key is of, and for whom it is wrapped: opened as anything else, it does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct For {
    /// The fleet.
    pub fleet: FleetId,
    /// The epoch.
    pub epoch: u32,
    /// Who is to open it.
    pub device: DeviceId,
}

impl For {
    fn info(&self) -> Vec<u8> {
        [&b"hearth/epoch-wrap/1"[..], self.fleet.as_bytes(), &self.epoch.to_be_bytes(), self.device.as_bytes()].concat()
    }
}

/// What all members of an epoch know, and nobody else.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct EpochKey([u8; 32]);

impl EpochKey {
    /// Takes 32 bytes of fresh entropy.
    pub const fn from_entropy(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Wraps the key to a device's X25519 key. The entropy is for this one wrap.
    ///
    /// # Errors
    /// When the public key is none.
    pub fn wrap(&self, to: &[u8; 32], whom: For, entropy: [u8; 32]) -> Result<[u8; WRAPPED_BYTES], CannotWrap> {
        hpke_seal(to, &whom.info(), &[], &self.0, entropy).and_then(|bytes| bytes.try_into().ok()).ok_or(CannotWrap)
    }

    /// Unwraps what [`wrap`](Self::wrap) made.
    ///
    /// # Errors
    /// When it was wrapped for another device, epoch or fleet, or is damaged.
    pub fn unwrap(by: &WrapSecret, whom: For, wrapped: &[u8; WRAPPED_BYTES]) -> Result<Self, DoesNotOpen> {
        let mut bytes = hpke_open(&by.0, &whom.info(), &[], wrapped).ok_or(DoesNotOpen)?;
        let key = <[u8; 32]>::try_from(&bytes[..]).map(Self).map_err(|_| DoesNotOpen);
        bytes.zeroize();
        key
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut out = [0; 32];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(purpose.as_bytes(), &mut out)
            .expect("32 bytes is a length that HKDF-SHA256 can give");
        out
    }

    /// The key under which document keys of this epoch are wrapped.
    pub fn wrapping(&self) -> SpaceKey {
        SpaceKey::from_bytes(self.derive("hearth/epoch/document-keys/1"))
    }

    /// What a member shows on a local network, so that other members know it: HMAC-SHA-256 under a key of the epoch, cut to 16 bytes.
    ///
    /// `day` is whole days since 1970 by the clock of whoever shows it. Clocks differ, so a listener compares with the tags of
    /// yesterday, today and tomorrow. An onlooker learns which devices of one day are of one fleet; the tag names neither the fleet
    /// nor a device, and nothing in the tags links two days or two epochs. Anybody can repeat a tag that it heard: it says whom
    /// to ask and proves nothing.
    pub fn lan_tag(&self, day: u64) -> [u8; 16] {
        NamingKey::from_bytes(self.derive("hearth/epoch/lan/1")).tag("day", &[&day.to_be_bytes()])
    }

    /// The key under which members state how far they have come. Each statement has a place of its own in its author's log.
    pub fn statements(&self) -> DocumentKey {
        DocumentKey::from_entropy(self.derive("hearth/epoch/statements/1"))
    }

    /// Wraps a document's key for those who know this one. The entropy is for this one record.
    pub fn record(&self, epoch: u32, document: Document<'_>, entropy: [u8; 24]) -> KeyRecord {
        let Document { space, id, key } = document;
        let wrapped = self.wrapping().wrap(space, id, key, entropy).try_into().expect("as a wrap is");
        KeyRecord { document: id, epoch, wrapped }
    }

    /// Opens a record of a document of this space.
    ///
    /// # Errors
    /// When it is of another epoch or space, or a byte was changed.
    pub fn open(&self, space: SpaceId, record: &KeyRecord) -> Result<DocumentKey, DoesNotOpen> {
        self.wrapping().unwrap(space, record.document, &record.wrapped)
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochKey(secret)")
    }
}

/// A document with its key.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Whose it is.
    pub space: SpaceId,
    /// Which one.
    pub id: DocumentId,
    /// Its key.
    pub key: &'a DocumentKey,
}

/// A document's key, wrapped under an epoch's, as it lies and travels beside the log.
///
/// It names the document as the log does, by its random id, so that whoever keeps records can destroy those of a document that was erased.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// Whose key it is.
    pub document: DocumentId,
    /// Under which epoch's key it is wrapped.
    pub epoch: u32,
    wrapped: [u8; 72],
}

impl KeyRecord {
    /// The bytes of an encoded record, at most.
    pub const BYTES_MAX: usize = 98;

    /// The bytes to store and pass on: `[version, document, epoch, wrapped]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES_MAX);
        Encoder::new(&mut out)
            .array(4)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(self.document.as_bytes()))
            .and_then(|e| e.u32(self.epoch))
            .and_then(|e| e.bytes(&self.wrapped))
            .expect("writing to memory does not fail");
        out
    }

    /// Reads a record; opening it is what checks it.
    ///
    /// # Errors
    /// When the bytes are not exactly those that [`encode`](Self::encode) writes for what they say.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let mut d = Decoder::new(bytes);
        let fields = d.array().ok().flatten().ok_or(BadRecord::Malformed)?;
        match d.u8() {
            Ok(version) if version > VERSION => return Err(BadRecord::Newer(version)),
            Ok(VERSION) if fields == 4 => {}
            _ => return Err(BadRecord::Malformed),
        }
        let mut read = || -> Result<Self, minicbor::decode::Error> {
            let document = DocumentId::from_bytes(array(&mut d)?);
            Ok(Self { document, epoch: d.u32()?, wrapped: array(&mut d)? })
        };
        read().ok().filter(|record| record.encode() == bytes).ok_or(BadRecord::Malformed)
    }
}

/// Why bytes are not a key record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRecord {
    /// Not the encoding at all.
    #[error(
        "a document's key record is not in the form this version writes; it is damaged, fetch it from another device"
    )]
    Malformed,
    /// Written by a newer hearth.
    #[error("a document's key record has form {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    const WHOM: For = For { fleet: FleetId::from_bytes([1; 16]), epoch: 2, device: DeviceId::from_bytes([3; 16]) };
    const SPACE: SpaceId = SpaceId::from_bytes([4; 16]);
    const DOC: DocumentId = DocumentId::from_bytes([5; 16]);

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        HEXLOWER.decode(text.as_bytes()).expect("hex").try_into().expect("the length")
    }

    /// RFC 9180, appendix A.2.1: base mode, `DHKEM(X25519, HKDF-SHA256)`, HKDF-SHA256, `ChaCha20Poly1305`, sequence number 0.
    #[test]
    fn hpke_gives_what_the_standard_says() {
        let info: [u8; 20] = hex("4f6465206f6e2061204772656369616e2055726e");
        let seed = hex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
        let encapsulated = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
        let recipient_seed: [u8; 32] = hex("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df");
        let public = hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let secret = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let plain: [u8; 29] = *b"Beauty is truth, truth beauty";
        let sealed = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";

        let (_, derived) = X25519HkdfSha256::derive_keypair(&recipient_seed);
        assert_eq!(derived.to_bytes()[..], public);
        assert_eq!(WrapSecret(secret).public(), public);
        let made = hpke_seal(&public, &info, b"Count-0", &plain, seed).expect("a public key");
        assert_eq!(HEXLOWER.encode(&made), format!("{encapsulated}{sealed}"));
        assert_eq!(hpke_open(&secret, &info, b"Count-0", &made).as_deref(), Some(&plain[..]));
        assert_eq!(hpke_open(&secret, &info, b"Count-1", &made), None);
    }

    #[test]
    fn an_epochs_key_opens_only_for_whom_it_was_wrapped() {
        let (ours, theirs) = (WrapSecret::of_seed(&[7; 32]), WrapSecret::of_seed(&[8; 32]));
        let key = EpochKey::from_entropy([9; 32]);
        let wrapped = key.wrap(&ours.public(), WHOM, [6; 32]).expect("a public key");
        assert_eq!(EpochKey::unwrap(&ours, WHOM, &wrapped), Ok(key.clone()));
        assert_eq!(EpochKey::unwrap(&theirs, WHOM, &wrapped), Err(DoesNotOpen), "another device's secret");
        for (case, whom) in [
            ("another fleet", For { fleet: FleetId::NONE, ..WHOM }),
            ("another epoch", For { epoch: 3, ..WHOM }),
            ("another device", For { device: DeviceId::from_bytes([0; 16]), ..WHOM }),
        ] {
            assert_eq!(EpochKey::unwrap(&ours, whom, &wrapped), Err(DoesNotOpen), "{case}");
        }
        for at in 0..WRAPPED_BYTES {
            let mut changed = wrapped;
            changed[at] ^= 1;
            assert_eq!(EpochKey::unwrap(&ours, WHOM, &changed), Err(DoesNotOpen), "byte {at}");
        }
        assert_ne!(key.wrap(&ours.public(), WHOM, [5; 32]), Ok(wrapped), "other entropy");
        assert_eq!(key.wrap(&[0; 32], WHOM, [6; 32]), Err(CannotWrap), "a key with which everybody could open it");
    }

    #[test]
    fn a_device_has_one_wrap_key_and_it_is_not_its_signing_key() {
        let seed = [7; 32];
        assert_eq!(WrapSecret::of_seed(&seed).public(), WrapSecret::of_seed(&seed).public());
        assert_ne!(WrapSecret::of_seed(&seed).0, seed);
        let signing = ed25519_dalek::SigningKey::from_bytes(&seed);
        assert_ne!(WrapSecret::of_seed(&seed).0, signing.to_scalar_bytes());
    }

    #[test]
    fn a_lan_tag_depends_on_the_epoch_and_the_day() {
        let (one, two) = (EpochKey::from_entropy([1; 32]), EpochKey::from_entropy([2; 32]));
        assert_eq!(one.lan_tag(20_000), one.lan_tag(20_000));
        let mut tags: Vec<_> = [0, 1, 19_999, 20_000, 20_001, u64::MAX].map(|day| one.lan_tag(day)).into();
        tags.push(two.lan_tag(20_000));
        let all = tags.len();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), all, "two of them are the same");
        // Devices of one fleet may run different releases: the bytes are fixed.
        assert_eq!(HEXLOWER.encode(&one.lan_tag(20_000)), "cc95751554ad10db0079d07ba954db0e");
    }

    #[test]
    fn a_key_record_opens_only_as_it_was_made() {
        let (epoch, other) = (EpochKey::from_entropy([1; 32]), EpochKey::from_entropy([2; 32]));
        let key = DocumentKey::from_entropy([9; 32]);
        let document = Document { space: SPACE, id: DOC, key: &key };
        let record = epoch.record(7, document, [3; 24]);
        assert_eq!(epoch.open(SPACE, &record), Ok(key.clone()));
        assert_eq!(other.open(SPACE, &record), Err(DoesNotOpen), "another epoch's key");
        assert_eq!(epoch.open(SpaceId::from_bytes([0; 16]), &record), Err(DoesNotOpen), "another space");
        let renamed = KeyRecord { document: DocumentId::from_bytes([0; 16]), ..record.clone() };
        assert_eq!(epoch.open(SPACE, &renamed), Err(DoesNotOpen), "another document");
        let later = other.record(8, document, [5; 24]);
        assert_eq!((later.document, other.open(SPACE, &later)), (DOC, Ok(key)), "wrapped anew in a later epoch");

        let bytes = record.encode();
        assert!(bytes.len() <= KeyRecord::BYTES_MAX);
        assert_eq!(KeyRecord::decode(&bytes), Ok(record));
        for cut in 0..bytes.len() {
            assert_eq!(KeyRecord::decode(&bytes[..cut]), Err(BadRecord::Malformed), "cut at {cut}");
        }
        assert_eq!(bytes[19], 7, "the epoch");
        let longer = [&bytes[..19], &[0x18, 7], &bytes[20..]].concat();
        assert_eq!(KeyRecord::decode(&longer), Err(BadRecord::Malformed), "a number in more bytes than it needs");
        for secret in [&SPACE.as_bytes()[..], &[9; 16]] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a record shows {secret:?}");
        }
        let mut newer = bytes;
        newer[1] = VERSION + 1;
        assert_eq!(KeyRecord::decode(&newer), Err(BadRecord::Newer(VERSION + 1)));
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let shown = format!("{:?} {:?}", EpochKey::from_entropy([171; 32]), WrapSecret([171; 32]));
        assert!(!shown.contains("171") && !shown.contains("ab"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_are_the_one_way_to_write_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(record) = KeyRecord::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }

        #[test]
        fn a_changed_byte_of_a_record_does_not_open_unless_it_says_another_epoch(at in any::<prop::sample::Index>(), with in 1_u8..) {
            let epoch = EpochKey::from_entropy([1; 32]);
            let key = DocumentKey::from_entropy([9; 32]);
            let mut bytes = epoch.record(7, Document { space: SPACE, id: DOC, key: &key }, [3; 24]).encode();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            let opened = KeyRecord::decode(&bytes).ok().filter(|record| epoch.open(SPACE, record).is_ok());
            prop_assert!(opened.is_none_or(|record| record.epoch != 7));
        }
    }
}
