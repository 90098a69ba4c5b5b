//! How two nodes come to hold the same logs.
//!
//! Each says where its copy of every log ends ([`frontier`]), sends what the other lacks, verbatim, and hears when it is on the
//! other's disk ([`frame`], [`peer`]). Whom to believe and who may have what is asked of [`trust`]; two segments with one number are
//! a [`Proof`] against their author. [`breaker`], [`bucket`] and [`damping`] say when, how often and how much. [`keeper`] is what a session asks of
//! whoever has the disk. Nothing here sends, stores or waits.

pub mod breaker;
pub mod bucket;
pub mod damping;
pub mod flow;
pub mod frame;
pub mod frontier;
pub mod keeper;
pub mod peer;
pub mod trust;

pub use frame::Frame;
pub use frontier::{Frontier, Log, Mark};
pub use keeper::{Grown, Keeper, ToSend, ToStore};
pub use peer::{Config, Effect, Held, Input, News, Peer};
pub use trust::{Standing, Trust};

pub use crate::equivocation::Proof;

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::SigningKey;

    use crate::{
        DocumentId, Moment,
        delta::{Kind, SealedChange},
        seal::Sealed,
        segment::{Chain, Draft, Segment},
    };

    pub(crate) fn key(author: u8) -> SigningKey {
        SigningKey::from_bytes(&[author; 32])
    }

    pub(crate) fn start(author: u8) -> Chain {
        Chain::begin(key(author).verifying_key().to_bytes(), 1)
    }

    /// The segment after `chain`, which then stands behind it.
    pub(crate) fn next(chain: &mut Chain, author: u8, body: &[u8]) -> Segment {
        let mut draft = Draft::after(chain.clone());
        draft.push(SealedChange {
            kind: Kind::Document,
            document: DocumentId::from_bytes([1; 16]),
            epoch: 0,
            body: Sealed::from_bytes(body.to_vec()),
        });
        let segment = draft.close(&key(author), [0; 16], Moment::START);
        chain.follow(&segment).expect("written after it");
        segment
    }
}
