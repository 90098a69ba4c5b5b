//! What relays signed to have of this node's log.
//!
//! A receipt is kept when its store is a relay of the fleet and its head is one that this node wrote. A relay that later has less than it
//! signed was set back, or it withholds: the owner is told, and everything goes there again by itself.

use std::collections::BTreeMap;

use hearth_core::{
    DeviceId, Moment,
    fleet::trust::{ANYWHERE, At},
    receipt::{BadReceipt, Receipt},
    signed::Verified,
    sync::{Log, Trust as _},
};
use hearth_store::{Batch, Position, StoreError, Tree};
use minicbor::bytes::ByteVec;

use super::{
    Shared, name_of, now,
    record::EndRecord,
    view::{end_key, segment_key},
};

/// Why a receipt is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    #[error(transparent)]
    Bad(#[from] BadReceipt),
    #[error("it is not signed by the relay that sent it, for this fleet and this node's log")]
    Elsewhere,
    #[error("it is about a segment that this node did not write")]
    Unknown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far a relay signed to have one of our logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signed {
    /// How many of its segments.
    pub(crate) next: u64,
    /// When, by the relay's clock.
    pub(crate) at: Moment,
}

fn key_of(relay: &DeviceId, log: &Log) -> Vec<u8> {
    [relay.as_bytes(), &end_key(log)[..]].concat()
}

impl Shared {
    /// Keeps a relay's receipt, unless a newer one is here.
    pub(crate) fn keep_receipt(&self, relay: &DeviceId, bytes: &[u8]) -> Result<(), NotKept> {
        let receipt = Receipt::open(bytes)?;
        let claim = receipt.get().claim();
        let membership = self.membership().ok_or(NotKept::Elsewhere)?;
        let author = DeviceId::of_key_bytes(&claim.author);
        let is_ours = author == self.identity.device && claim.fleet == *membership.id().as_bytes();
        if !is_ours || DeviceId::of_key_bytes(&claim.store) != *relay || membership.fleet.relay(relay).is_none() {
            return Err(NotKept::Elsewhere);
        }
        let log = Log { author, incarnation: claim.incarnation };
        if !self.wrote(&log, &receipt)? {
            return Err(NotKept::Unknown);
        }
        let before = self.receipt(relay, &log)?;
        if before.is_none_or(|before| before.get().claim().number <= claim.number) {
            let mut batch = Batch::default();
            batch.put(Tree::Receipt, &key_of(relay, &log), &ByteVec::from(bytes.to_vec()));
            self.state.apply(batch)?;
        }
        Ok(())
    }

    /// Whether a receipt is about a segment of ours.
    fn wrote(&self, log: &Log, receipt: &Verified<Receipt>) -> Result<bool, StoreError> {
        let claim = receipt.get().claim();
        let end: Option<EndRecord> = self.state.get(Tree::End, &end_key(log))?;
        if let Some(end) = end.filter(|end| end.number == claim.number + 1) {
            return Ok(end.head == claim.head);
        }
        let position: Option<Position> = self.state.get(Tree::Segment, &segment_key(log, claim.number))?;
        let Some(position) = position else { return Ok(false) };
        Ok(receipt.get().confirms(self.log.read(position)?.head()))
    }

    fn receipt(&self, relay: &DeviceId, log: &Log) -> Result<Option<Verified<Receipt>>, StoreError> {
        let bytes: Option<ByteVec> = self.state.get(Tree::Receipt, &key_of(relay, log))?;
        Ok(bytes.and_then(|bytes| Receipt::open(&bytes).ok()))
    }

    /// How far a relay signed to have the logs of this node.
    pub(crate) fn signed_by(&self, relay: &DeviceId) -> Result<BTreeMap<Log, Signed>, StoreError> {
        let mut signed = BTreeMap::new();
        for held in self.held()?.into_iter().filter(|held| held.log.author == self.identity.device) {
            if let Some(receipt) = self.receipt(relay, &held.log)? {
                let claim = receipt.get().claim();
                signed.insert(held.log, Signed { next: claim.number + 1, at: claim.at });
            }
        }
        Ok(signed)
    }

    /// A relay said how far it has our logs: it should be at least what it signed.
    pub(crate) fn compare_with_receipts(&self, relay: &DeviceId, has: &[(Log, u64)]) -> Result<(), StoreError> {
        let membership = self.membership();
        if membership.as_ref().is_none_or(|membership| membership.fleet.relay(relay).is_none()) {
            return Ok(());
        }
        let has: BTreeMap<Log, u64> = has.iter().copied().collect();
        let (mut batch, mut lacks) = (Batch::default(), false);
        let residencies: BTreeMap<Log, u16> = self.held()?.into_iter().map(|held| (held.log, held.residency)).collect();
        let named_since = membership.as_ref().map_or(Moment::START, |membership| membership.names_relay_since(relay));
        let may_both_have = |residency: Option<&u16>| {
            let residency = residency.copied().unwrap_or(ANYWHERE);
            membership.as_ref().is_some_and(|membership| {
                let trust = At { fleet: &membership.fleet, now: now() };
                trust.may_have(relay, residency) && trust.may_have(&self.identity.device, residency)
            })
        };
        for (log, signed) in self.signed_by(relay)? {
            // What it signed before it was removed and named again it was to drop.
            if signed.at < named_since {
                batch.remove(Tree::Receipt, &key_of(relay, &log));
            } else if !may_both_have(residencies.get(&log)) {
                // It speaks of no log that one of the two may not have.
            } else if has.get(&log).copied().unwrap_or_default() < signed.next {
                // Said once: what it signs from now on counts.
                batch.remove(Tree::Receipt, &key_of(relay, &log));
                lacks = true;
            }
        }
        if !batch.is_empty() {
            self.state.apply(batch)?;
        }
        if lacks {
            self.notice(&format!(
                "{} signed that it had what this node sent, and does not have it any more: it was put back from a backup, did not serve this fleet \
                 for a while, or does not keep its word; everything is sent there again",
                name_of(membership.as_deref(), relay)
            ));
        }
        Ok(())
    }
}
