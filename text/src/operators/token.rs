//! Pseudonyms: `<email:…>`, thirteen characters that stand for the value and five that prove who wrote them.
//!
//! The thirteen are an HMAC-SHA256 of the value's normal spelling under a key of its class and epoch: without the key nobody can try
//! telephone numbers one after the other, and tokens of two classes or two devices say nothing of each other. The five are an HMAC
//! over the rest of the token, so that one which this device did not write is told apart, and is no token.

use std::fmt;

use data_encoding::{Encoding, Specification};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::LazyLock;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Personal, normal::normal};
use crate::class::Class;

/// Characters that stand for the value: 65 bits.
const NAME: usize = 13;
/// Characters that prove the token: 25 bits.
const PROOF: usize = 5;
const BODY: usize = NAME + PROOF;
/// The longest token: a class has at most 24 characters.
const TOKEN_MAX: usize = 24 + 3 + BODY;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut form = Specification::new();
    form.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    form.encoding().expect("32 different symbols are an alphabet")
});

/// A token in a text. What it stands for cannot be computed from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    class: Class,
    body: [u8; BODY],
}

impl Token {
    /// Of what class the value is.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Reads what has the form of a token at the beginning of `text`, and says how long it is. Whether it is one, the key says.
    pub(crate) fn parse(text: &str) -> Option<(Self, usize)> {
        let rest = text.strip_prefix('<')?;
        let colon = rest.bytes().take(TOKEN_MAX).position(|b| b == b':')?;
        let class = Class::named(&rest[..colon])?;
        let body = rest.as_bytes().get(colon + 1..colon + 1 + BODY)?;
        let fits = body.iter().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        let ends = rest.as_bytes().get(colon + 1 + BODY) == Some(&b'>');
        (fits && ends).then_some(())?;
        Some((Self { class, body: body.try_into().ok()? }, colon + BODY + 3))
    }

    /// Reads a token that stands alone.
    pub fn named(text: &str) -> Option<Self> {
        Self::parse(text).filter(|(_, length)| *length == text.len()).map(|(token, _)| token)
    }

    fn name(&self) -> &[u8] {
        &self.body[..NAME]
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}:{}>", self.class, std::str::from_utf8(&self.body).unwrap_or_default())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret from which tokens and other numbers of the same form are made; one a device, or one a fleet.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Takes the 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for one purpose, class and epoch, of no use for any other.
    pub(super) fn derive(&self, purpose: &str, class: Class, epoch: u32) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(purpose.as_bytes()), &self.0)
            .expand_multi_info(&[class.as_str().as_bytes(), &[0], &epoch.to_be_bytes()], out.as_mut())
            .expect("32 bytes is a length that HKDF-SHA256 can give");
        out
    }

    /// The token of a value in an epoch.
    pub(super) fn token(&self, epoch: u32, value: Personal<'_>, home: Option<&str>) -> Token {
        let class = value.class();
        let key = self.derive("hearth/pseudonym/1", class, epoch);
        let code = mac(key.as_ref(), &[normal(class, value.text(), home).as_bytes()]);
        let mut token = Token { class, body: [0; BODY] };
        token.body[..NAME].copy_from_slice(&base32(&code)[..NAME]);
        let proof = self.proof(&token);
        token.body[NAME..].copy_from_slice(&proof);
        token
    }

    /// Tells whether this key wrote the token, in whatever epoch. A stranger guesses one in 33 million.
    pub fn wrote(&self, token: &Token) -> bool {
        self.proof(token)[..].ct_eq(&token.body[NAME..]).into()
    }

    fn proof(&self, token: &Token) -> [u8; PROOF] {
        let key = self.derive("hearth/token/1", token.class, 0);
        let mut out = [0; PROOF];
        out.copy_from_slice(&base32(&mac(key.as_ref(), &[token.name()]))[..PROOF]);
        out
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(secret)")
    }
}

/// HMAC-SHA256 over parts.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        code.update(part);
    }
    code.finalize().into_bytes().into()
}

fn base32(bytes: &[u8; 32]) -> Vec<u8> {
    // 15 bytes are 24 characters without padding.
    BASE32.encode(&bytes[..15]).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: u8, epoch: u32, class: Class, text: &str) -> Token {
        let value = Personal::new(class, text).expect("no credential");
        TokenKey::from_bytes([key; 32]).token(epoch, value, None)
    }

    #[test]
    fn a_token_is_the_same_for_the_same_value_and_for_no_other() {
        let one = token(1, 0, Class::Email, "alice@example.org");
        assert_eq!(one, token(1, 0, Class::Email, "Alice@Example.ORG"), "another spelling");
        for (case, other) in [
            ("another value", token(1, 0, Class::Email, "bob@example.org")),
            ("another class", token(1, 0, Class::Domain, "alice@example.org")),
            ("another epoch", token(1, 1, Class::Email, "alice@example.org")),
            ("another device", token(2, 0, Class::Email, "alice@example.org")),
        ] {
            assert_ne!(one.name(), other.name(), "{case}");
        }
    }

    #[test]
    fn a_token_reads_back_and_only_its_writer_knows_it() {
        let one = token(1, 7, Class::UkVehicleRegistration, "AB12 CDE");
        let shown = one.to_string();
        assert!(shown.len() <= TOKEN_MAX && shown.starts_with("<uk_vehicle_registration:"), "{shown}");
        assert_eq!(Token::named(&shown), Some(one));
        assert!(TokenKey::from_bytes([1; 32]).wrote(&one), "in every epoch");
        assert!(!TokenKey::from_bytes([2; 32]).wrote(&one));
        let forged = Token::named(&shown.replace("uk_vehicle_registration", "phone")).expect("it has the form");
        assert!(!TokenKey::from_bytes([1; 32]).wrote(&forged), "the class is proved too");
        for not_one in ["", "<email:>", "<email:aaaaaaaaaaaaaaaaa1>", "<somebody:aaaaaaaaaaaaaaaaaa>", &shown[1..]] {
            assert_eq!(Token::named(not_one), None, "{not_one}");
        }
    }

    #[test]
    fn every_class_fits_the_longest_token() {
        assert!(Class::ALL.iter().all(|class| class.as_str().len() + 3 + BODY <= TOKEN_MAX));
    }
}
