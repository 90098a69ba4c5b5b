//! What a session with one other side asks of whoever keeps the logs: a node, or a relay's copy of one fleet.
//!
//! The machine is [`Peer`](super::Peer), the pipe is somebody else's, and what both share with the disk is said here.

use std::{sync::Arc, time::Duration};

use super::{Held, Input, Log, News, Proof};
use crate::{DeviceId, fleet::chain::Fleet, merkle::Hash};

/// One order of [`Effect::Store`](super::Effect::Store).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToStore {
    /// The segment, verified, as it is to be stored.
    pub bytes: Arc<[u8]>,
    /// The log once it is.
    pub at: Held,
    /// Digest of the head that the log must end with before.
    pub after: Hash,
}

impl ToStore {
    /// The segment's number.
    pub const fn number(&self) -> u64 {
        self.at.chain.number - 1
    }
}

/// What is read to be sent.
#[derive(Default, Debug)]
pub struct ToSend {
    /// Key records of documents that are in them.
    pub keys: Vec<Vec<u8>>,
    /// Consecutive segments.
    pub segments: Vec<Arc<[u8]>>,
}

/// What sessions must know that did not come through them.
#[derive(Clone, Debug)]
pub enum Grown {
    /// A log that the fleet shares.
    Log(Held),
    /// The fleet's chain.
    Chain,
    /// What is known against an author.
    Proof(Proof),
}

/// Whoever keeps the logs. Everything may block but [`me`](Keeper::me) and [`fleet`](Keeper::fleet); errors are sentences.
pub trait Keeper: Send + Sync {
    /// Who this is.
    fn me(&self) -> DeviceId;

    /// The fleet as it is known now; `None` when this is in none any more.
    fn fleet(&self) -> Option<Arc<Fleet>>;

    /// Takes in links of the chain that the other side knows.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn merge(&self, theirs: &Fleet) -> Result<(), String>;

    /// Where every log ends, and what is known against authors.
    ///
    /// # Errors
    /// When it cannot be read.
    fn logs(&self) -> Result<(Vec<Held>, Vec<Proof>), String>;

    /// Both have greeted: how many segments the other side has of each of our own logs.
    fn greeted(&self, peer: &DeviceId, has: &[(Log, u64)]);

    /// Signed receipts for logs of the other side's, which are here as far as they are; a node gives none.
    fn receipts(&self, _logs: &[Log]) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Keeps key records; when what they open must not be stored yet, says after how long it is to come again, with them.
    fn keep_keys(&self, records: &[Vec<u8>]) -> Option<Duration>;

    /// Stores segments, and answers for each with [`Input::Stored`], which then survives a crash, or [`Input::NotStored`].
    fn store(&self, orders: Vec<ToStore>) -> Vec<Input>;

    /// Reads segments `from..to` of a log, up to `budget` bytes but at least one, with the keys of what is in them.
    fn read(&self, log: &Log, from: u64, to: u64, budget: u64) -> ToSend;

    /// Looks at a receipt that the other side sent.
    fn take_receipt(&self, peer: &DeviceId, bytes: &[u8]);

    /// Answers a question of the other side's people; empty when there is no answer. A relay has none.
    fn answer(&self, _peer: &DeviceId, _question: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    /// Tells the owner what the machine found out.
    fn tell(&self, peer: &DeviceId, news: News);

    /// Orders that wait for more admins, as they are sent; empty when none does, and of a relay.
    fn waiting(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes in orders that wait as the other side knows them.
    fn take_waiting(&self, _orders: &[u8]) {}

    /// Something was stored a moment ago: what was put off for many at once is done now.
    fn settle(&self) {}

    /// Nothing came for a while: memory is given back.
    fn rest(&self) {}
}
