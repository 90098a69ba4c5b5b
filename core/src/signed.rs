//! Nothing unsigned is obeyed.
//!
//! [`Verified`] has one maker, [`Signed::verify`], and what acts on foreign words asks for it. Each type signs under a context of
//! its own, so that a signature over one thing is never one over another.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::merkle::Hash;

/// Why a signed message was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Distrust {
    /// The signature is not one by this key over these bytes.
    #[error(
        "the signature does not belong to these bytes and this key; the message was damaged or forged, ask its author again"
    )]
    BadSignature,
}

/// What can be signed.
pub trait Signable {
    /// Names the type and version in what is signed, such as `hearth/seg/1`.
    const CONTEXT: &'static str;

    /// The bytes that are signed, verbatim as stored and forwarded.
    fn signed_bytes(&self) -> &[u8];

    /// `SHA-256(context ‖ 0x00 ‖ bytes)`: what the signature is over, and the name of the thing in chains.
    fn digest(&self) -> Hash {
        Sha256::new().chain_update(Self::CONTEXT).chain_update([0]).chain_update(self.signed_bytes()).finalize().into()
    }
}

/// Something with a signature that nobody has checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed<T> {
    claim: T,
    signature: Signature,
}

impl<T: Signable> Signed<T> {
    /// Signs with ed25519 (RFC 8032).
    pub fn by(key: &SigningKey, claim: T) -> Self {
        let signature = key.sign(&claim.digest());
        Self { claim, signature }
    }

    /// Puts together what was read back.
    pub fn from_parts(claim: T, signature: [u8; 64]) -> Self {
        Self { claim, signature: Signature::from_bytes(&signature) }
    }

    /// What is claimed; not to be acted on.
    pub const fn claim(&self) -> &T {
        &self.claim
    }

    /// The 64 bytes of the signature.
    pub fn signature(&self) -> [u8; 64] {
        self.signature.to_bytes()
    }

    /// Checks the signature strictly (no small-order keys, no malleable encodings).
    ///
    /// # Errors
    /// When this key did not make it over these bytes.
    pub fn verify(self, key: &VerifyingKey) -> Result<Verified<T>, Distrust> {
        key.verify_strict(&self.claim.digest(), &self.signature).map_err(|_| Distrust::BadSignature)?;
        Ok(Verified { claim: self.claim, signature: self.signature })
    }
}

/// Something whose signature was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified<T> {
    claim: T,
    signature: Signature,
}

impl<T> Verified<T> {
    /// What was signed.
    pub const fn get(&self) -> &T {
        &self.claim
    }

    /// The 64 bytes of the signature.
    pub fn signature(&self) -> [u8; 64] {
        self.signature.to_bytes()
    }

    /// Gives up the proof, for instance to forward the thing.
    pub fn into_signed(self) -> Signed<T> {
        Signed { claim: self.claim, signature: self.signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Eq, Debug)]
    struct Order(Vec<u8>);
    impl Signable for Order {
        const CONTEXT: &'static str = "test/order";
        fn signed_bytes(&self) -> &[u8] {
            &self.0
        }
    }
    #[derive(Clone, PartialEq, Eq, Debug)]
    struct Letter(Vec<u8>);
    impl Signable for Letter {
        const CONTEXT: &'static str = "test/letter";
        fn signed_bytes(&self) -> &[u8] {
            &self.0
        }
    }

    #[test]
    fn only_the_signer_the_bytes_and_the_type_that_were_signed_are_believed() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let order = Signed::by(&key, Order(b"wake".to_vec()));
        assert!(order.clone().verify(&key.verifying_key()).is_ok());

        let other = SigningKey::from_bytes(&[2; 32]).verifying_key();
        assert_eq!(order.clone().verify(&other), Err(Distrust::BadSignature), "another key");

        let changed = Signed::from_parts(Order(b"wipe".to_vec()), order.signature());
        assert_eq!(changed.verify(&key.verifying_key()), Err(Distrust::BadSignature), "other bytes");

        let posing = Signed::from_parts(Letter(b"wake".to_vec()), order.signature());
        assert_eq!(posing.verify(&key.verifying_key()), Err(Distrust::BadSignature), "another type");
    }

    #[test]
    fn what_was_believed_is_what_was_claimed_and_goes_on_as_it_came() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let order = Signed::by(&key, Order(b"wake".to_vec()));
        assert_eq!(*order.claim(), Order(b"wake".to_vec()));
        let believed = order.clone().verify(&key.verifying_key()).expect("as signed");
        assert_eq!((believed.get(), believed.signature()), (order.claim(), order.signature()));
        assert_eq!(believed.into_signed(), order);
        assert_eq!(Signed::from_parts(Order(b"wake".to_vec()), order.signature()), order);
    }
}
