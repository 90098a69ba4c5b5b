//! Who is at the ends of a link: an ed25519 key each, and the keys that it trusts.
//!
//! Making and keeping a key is the program's work: it brings 32 bytes of entropy. Nothing here is random and nothing touches a disk.

use std::{collections::BTreeSet, fmt, sync::Arc};

use data_encoding::HEXLOWER_PERMISSIVE;
use ed25519_dalek::{SigningKey, VerifyingKey};
use hearth_core::DeviceId;
use zeroize::Zeroizing;

/// Why something is not a public key that can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAKey {
    /// It is not 64 hexadecimal digits.
    #[error(
        "a public key is written as 64 hexadecimal digits; `hearth-coordinator key` and `hearth identity` show them"
    )]
    Text,
    /// It is no ed25519 key, or one for which anybody could sign.
    #[error("these bytes are not a usable ed25519 public key; copy the key again")]
    Point,
    /// It is not an ed25519 key in the form of RFC 8410.
    #[error("the other side's key is not an ed25519 key; only programs of a hearth fleet can connect here")]
    Kind,
}

/// The public key as 64 hexadecimal digits, which is how people copy it.
pub fn key_text(key: &VerifyingKey) -> String {
    data_encoding::HEXLOWER.encode(key.as_bytes())
}

/// Reads what [`key_text`] writes; white space around it and capitals are forgiven.
pub fn key_from_text(text: &str) -> Result<VerifyingKey, NotAKey> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map_err(|_| NotAKey::Text)?;
    key_from_bytes(&bytes.try_into().map_err(|_| NotAKey::Text)?)
}

/// One end's own key.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// The identity that these 32 secret bytes stand for.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// The half that others know it by.
    pub fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// The id that follows from the public key.
    pub fn device(&self) -> DeviceId {
        DeviceId::of_key(&self.public())
    }

    /// The key that signs, for whoever vouches under the name by which it is linked.
    pub const fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The private key in the form of PKCS #8 version 1 (RFC 5208, RFC 8410 §7).
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&PKCS8_PREFIX[..], self.key.as_bytes()].concat())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.device())
    }
}

/// Which keys the other end may have. Asked anew at every handshake.
#[derive(Clone)]
pub struct Trust(Arc<dyn Fn(&VerifyingKey) -> bool + Send + Sync>);

impl Trust {
    /// Trusts the keys for which `knows` says yes; it must answer at once.
    pub fn by(knows: impl Fn(&VerifyingKey) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(knows))
    }

    /// Trusts these keys and no others.
    pub fn only(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let keys: BTreeSet<[u8; 32]> = keys.into_iter().map(|key| key.to_bytes()).collect();
        Self::by(move |key| keys.contains(key.as_bytes()))
    }

    /// Whether this key is trusted now.
    pub fn knows(&self, key: &VerifyingKey) -> bool {
        (self.0)(key)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// What precedes the 32 bytes of an ed25519 public key in a `SubjectPublicKeyInfo` (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What precedes the 32 secret bytes in a PKCS #8 version 1 key.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The key as TLS carries it when there is no certificate around it (RFC 7250).
pub(crate) fn to_spki(key: &VerifyingKey) -> Vec<u8> {
    [&SPKI_PREFIX[..], key.as_bytes()].concat()
}

/// Reads what a peer presents; there is exactly one way to write each key.
pub(crate) fn from_spki(bytes: &[u8]) -> Result<VerifyingKey, NotAKey> {
    let key = bytes.strip_prefix(&SPKI_PREFIX[..]).ok_or(NotAKey::Kind)?;
    key_from_bytes(key.try_into().map_err(|_| NotAKey::Kind)?)
}

fn key_from_bytes(bytes: &[u8; 32]) -> Result<VerifyingKey, NotAKey> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| NotAKey::Point)?;
    if key.is_weak() { Err(NotAKey::Point) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written_and_nothing_else_is() {
        let key = Identity::from_seed(&[7; 32]).public();
        let text = key_text(&key);
        for (case, given, expected) in [
            ("as written", text.clone(), Ok(key)),
            ("in capitals, with a line end", format!(" {}\n", text.to_uppercase()), Ok(key)),
            ("cut short", text[..62].to_owned(), Err(NotAKey::Text)),
            ("not hexadecimal", text.replace(|c: char| c.is_ascii_digit(), "g"), Err(NotAKey::Text)),
            ("a point of small order", "00".repeat(32), Err(NotAKey::Point)),
            ("the neutral point", format!("01{}", "00".repeat(31)), Err(NotAKey::Point)),
            ("nothing", String::new(), Err(NotAKey::Text)),
        ] {
            assert_eq!(key_from_text(&given), expected, "{case}");
        }
    }

    #[test]
    fn a_presented_key_has_one_spelling() {
        let key = Identity::from_seed(&[7; 32]).public();
        let spki = to_spki(&key);
        assert_eq!(from_spki(&spki), Ok(key));
        assert_eq!(from_spki(&spki[..43]), Err(NotAKey::Kind));
        assert_eq!(from_spki(&[&spki[..], &[0]].concat()), Err(NotAKey::Kind));
        assert_eq!(from_spki(key.as_bytes()), Err(NotAKey::Kind));
    }

    #[test]
    fn trust_is_exactly_the_keys_named() {
        let [ours, theirs] = [[1; 32], [2; 32]].map(|seed| Identity::from_seed(&seed).public());
        assert!(Trust::only([ours]).knows(&ours));
        assert!(!Trust::only([ours]).knows(&theirs));
        assert!(!Trust::only([]).knows(&ours));
    }

    #[test]
    fn an_identity_does_not_print_its_secret() {
        let identity = Identity::from_seed(&[0x5A; 32]);
        assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.device()));
    }

    #[test]
    fn trust_shows_no_key() {
        assert_eq!(format!("{:?}", Trust::only([Identity::from_seed(&[7; 32]).public()])), "Trust");
    }

    proptest! {
        #[test]
        fn whatever_a_peer_presents_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = from_spki(&bytes);
            let _ = from_spki(&[&SPKI_PREFIX[..], &bytes].concat());
        }
    }
}
