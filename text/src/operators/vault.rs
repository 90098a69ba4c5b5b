//! Values that can be brought back: sealed one by one, kept apart, and gone for good once their key is destroyed.
//!
//! Personal data only; a credential cannot be handed in, for [`Personal`] is not made of one. The vault reads no disk: a [`Shelf`]
//! keeps what is sealed, and whoever has the keys says where they rest.

use std::{collections::BTreeMap, fmt};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Personal, Token, token::mac};
use crate::class::Class;

/// Lengths of values are rounded up to this, so that a sealed one does not say how long a name is.
const PAD: usize = 32;

/// The key of one epoch of the vault. Destroying every copy of it erases what was sealed in that epoch.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VaultKey([u8; 32]);

impl VaultKey {
    /// Takes 32 bytes of fresh entropy. It is derived from nothing, or it could be derived again.
    pub const fn from_entropy(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey(secret)")
    }
}

/// One sealed value, the epoch of its key included.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// Which key opens it.
    pub epoch: u32,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedValue(epoch {}, {} bytes)", self.epoch, self.bytes.len())
    }
}

/// Why a sealed value was not kept; the span is masked then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the vault's shelf keeps nothing more; see whether its disk is full")]
pub struct NotKept;

/// Where sealed values are kept, by token.
pub trait Shelf: fmt::Debug + Send {
    /// Keeps a value in the place of one of an earlier epoch; one of the same epoch stays.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn put(&mut self, token: Token, sealed: SealedValue) -> Result<(), NotKept>;
    /// Returns what is kept under a token.
    fn get(&self, token: Token) -> Option<SealedValue>;
    /// Drops what is kept under a token.
    fn forget(&mut self, token: Token);
}

/// A shelf in memory.
#[derive(Default, Debug)]
pub struct MemoryShelf(BTreeMap<Token, SealedValue>);

impl Shelf for MemoryShelf {
    fn put(&mut self, token: Token, sealed: SealedValue) -> Result<(), NotKept> {
        let held = self.0.entry(token).or_insert_with(|| sealed.clone());
        if held.epoch < sealed.epoch {
            *held = sealed;
        }
        Ok(())
    }
    fn get(&self, token: Token) -> Option<SealedValue> {
        self.0.get(&token).cloned()
    }
    fn forget(&mut self, token: Token) {
        self.0.remove(&token);
    }
}

/// A value that was brought back. It is wiped when it is dropped, and shows itself to whoever asks by name only.
pub struct Revealed(Zeroizing<String>);

impl Revealed {
    /// The value.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revealed(…)")
    }
}

/// Why a value is not brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotRevealed {
    /// The shelf has nothing of it.
    #[error("the vault holds nothing for this token; it may be a plain pseudonym, or was made on another device")]
    Unknown,
    /// Its key is gone.
    #[error(
        "the key of epoch {epoch} was destroyed, and with it everything that was sealed under it; nothing brings it back"
    )]
    Shredded {
        /// Of which epoch.
        epoch: u32,
    },
    /// It was changed, or belongs to another token.
    #[error("the sealed value does not open; it is damaged, or was put under another token")]
    Damaged,
}

/// The vault: keys by epoch, and a shelf.
#[derive(Debug)]
pub struct Vault {
    keys: BTreeMap<u32, VaultKey>,
    epoch: u32,
    shelf: Box<dyn Shelf>,
}

impl Vault {
    /// A vault that seals under this key from now on.
    pub fn new(epoch: u32, key: VaultKey, shelf: Box<dyn Shelf>) -> Self {
        Self { keys: BTreeMap::from([(epoch, key)]), epoch, shelf }
    }

    /// Adds the key of another epoch; the latest one seals.
    pub fn add(&mut self, epoch: u32, key: VaultKey) {
        self.keys.insert(epoch, key);
        self.epoch = self.epoch.max(epoch);
    }

    /// Destroys the key of an epoch, and with it every value that was sealed under it. Copies elsewhere are the caller's to destroy.
    pub fn shred(&mut self, epoch: u32) {
        self.keys.remove(&epoch);
    }

    /// Drops one value.
    pub fn forget(&mut self, token: Token) {
        self.shelf.forget(token);
    }

    /// Seals a value under its token.
    pub(super) fn keep(&mut self, token: Token, value: Personal<'_>) -> Result<(), NotKept> {
        let key = self.keys.get(&self.epoch).ok_or(NotKept)?;
        let sealed = seal(key, self.epoch, token, value.text());
        self.shelf.put(token, sealed)
    }

    /// Brings a value back. Whether it may be, the caller has asked first.
    ///
    /// # Errors
    /// When there is none, its key was destroyed, or it is damaged.
    pub fn reveal(&self, token: Token) -> Result<Revealed, NotRevealed> {
        let sealed = self.shelf.get(token).ok_or(NotRevealed::Unknown)?;
        let key = self.keys.get(&sealed.epoch).ok_or(NotRevealed::Shredded { epoch: sealed.epoch })?;
        open(key, token, &sealed).ok_or(NotRevealed::Damaged)
    }
}

/// What a value is bound to: `class|token|epoch`.
fn bound(token: Token, epoch: u32) -> Vec<u8> {
    let class: Class = token.class();
    format!("{class}|{token}|{epoch}").into_bytes()
}

fn seal(key: &VaultKey, epoch: u32, token: Token, text: &str) -> SealedValue {
    let mut padded = Zeroizing::new(Vec::with_capacity((text.len() / PAD + 1) * PAD));
    padded.extend_from_slice(text.as_bytes());
    padded.push(0x80);
    let whole = padded.len().next_multiple_of(PAD);
    padded.resize(whole, 0);
    // The nonce is made of all that is sealed: it repeats only for what is the same anyway, and two spellings of one value, which
    // share a token, do not share a nonce.
    let bound = bound(token, epoch);
    let nonce_key = Zeroizing::new(mac(&key.0, &[b"hearth/vault/nonce/1"]));
    let code = mac(nonce_key.as_ref(), &[&(bound.len() as u64).to_be_bytes(), &bound, &padded]);
    let mut nonce = XNonce::default();
    nonce.copy_from_slice(&code[..24]);
    let payload = Payload { msg: &padded, aad: &bound };
    let sealed = cipher(key).encrypt(&nonce, payload).expect("a value is far below the cipher's limit of 256 GiB");
    SealedValue { epoch, bytes: [&nonce[..], &sealed].concat() }
}

fn open(key: &VaultKey, token: Token, sealed: &SealedValue) -> Option<Revealed> {
    let (nonce, body) = sealed.bytes.split_first_chunk::<24>()?;
    let payload = Payload { msg: body, aad: &bound(token, sealed.epoch) };
    let mut padded = Zeroizing::new(cipher(key).decrypt(&(*nonce).into(), payload).ok()?);
    let end = padded.iter().rposition(|b| *b == 0x80)?;
    padded.truncate(end);
    std::str::from_utf8(&padded).ok().map(|text| Revealed(Zeroizing::new(text.to_owned())))
}

fn cipher(key: &VaultKey) -> XChaCha20Poly1305 {
    let key = Zeroizing::new(mac(&key.0, &[b"hearth/vault/seal/1"]));
    XChaCha20Poly1305::new(&(*key).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operators::TokenKey;

    fn token(text: &str) -> Token {
        TokenKey::from_bytes([1; 32]).token(0, Personal::new(Class::Email, text).expect("no credential"), None)
    }
    fn vault() -> Vault {
        Vault::new(1, VaultKey::from_entropy([9; 32]), Box::<MemoryShelf>::default())
    }
    fn keep(vault: &mut Vault, text: &str) {
        let value = Personal::new(Class::Email, text).expect("no credential");
        vault.keep(token(text), value).expect("memory keeps it");
    }

    #[test]
    fn a_value_comes_back_until_its_key_is_destroyed() {
        let mut vault = vault();
        keep(&mut vault, "alice@example.org");
        vault.add(2, VaultKey::from_entropy([8; 32]));
        keep(&mut vault, "bob@example.org");
        let back = |vault: &Vault, text| vault.reveal(token(text)).map(|value| value.expose().to_owned());
        assert_eq!(back(&vault, "alice@example.org").as_deref(), Ok("alice@example.org"));
        assert_eq!(back(&vault, "carol@example.org"), Err(NotRevealed::Unknown));

        vault.shred(1);

        assert_eq!(back(&vault, "alice@example.org"), Err(NotRevealed::Shredded { epoch: 1 }));
        assert_eq!(back(&vault, "bob@example.org").as_deref(), Ok("bob@example.org"), "another epoch");
        keep(&mut vault, "alice@example.org");
        assert_eq!(
            back(&vault, "alice@example.org").as_deref(),
            Ok("alice@example.org"),
            "seen again, it is sealed anew"
        );
        vault.forget(token("bob@example.org"));
        assert_eq!(back(&vault, "bob@example.org"), Err(NotRevealed::Unknown));
    }

    #[test]
    fn a_vault_without_its_latest_key_keeps_nothing() {
        let mut vault = vault();
        vault.shred(1);
        let value = Personal::new(Class::Email, "alice@example.org").expect("no credential");
        assert_eq!(vault.keep(token("alice@example.org"), value), Err(NotKept));
    }

    #[test]
    fn a_sealed_value_opens_as_nothing_else() {
        let key = VaultKey::from_entropy([9; 32]);
        let (alice, bob) = (token("alice@example.org"), token("bob@example.org"));
        let sealed = seal(&key, 1, alice, "alice@example.org");
        assert!(open(&key, alice, &sealed).is_some());
        assert!(open(&key, bob, &sealed).is_none(), "another token");
        assert!(open(&key, alice, &SealedValue { epoch: 2, ..sealed.clone() }).is_none(), "another epoch");
        assert!(open(&VaultKey::from_entropy([7; 32]), alice, &sealed).is_none(), "another key");
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert!(open(&key, alice, &changed).is_none(), "byte {at}");
        }
        let spelt = seal(&key, 1, alice, "Alice@Example.org");
        assert_ne!(spelt.bytes[..24], sealed.bytes[..24], "two spellings, two nonces");
        assert_eq!(spelt.bytes.len(), seal(&key, 1, alice, "al@example.org").bytes.len(), "lengths are rounded up");
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_comes_back(text in "\\PC{0,80}") {
            let key = VaultKey::from_entropy([3; 32]);
            let token = token("alice@example.org");
            let back = open(&key, token, &seal(&key, 4, token, &text)).map(|value| value.expose().to_owned());
            prop_assert_eq!(back, Some(text));
        }
    }
}
