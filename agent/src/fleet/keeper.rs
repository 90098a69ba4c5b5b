//! This node as a session knows it: what [`Shared`] does when a session with another node or a relay asks.

use std::{sync::Arc, time::Duration};

use hearth_core::{
    DeviceId,
    fleet::chain::Fleet,
    sync::{Held, Input, Keeper, Log, News as Told, Proof, ToSend, ToStore},
};
use tracing::{info, warn};

use crate::node::{Shared, name_of};

/// A clock further off than this, in milliseconds, is worth a sentence.
const CLOCK_TOLD: u64 = 30_000;
/// What came without the keys that it needs is asked for again after so long.
const KEYS_RETRY: Duration = Duration::from_secs(2);
/// When the disk fails, the other side is asked to come again after so long.
const DISK_RETRY: Duration = Duration::from_secs(10);

impl Keeper for Shared {
    fn me(&self) -> DeviceId {
        self.identity.device
    }

    fn fleet(&self) -> Option<Arc<Fleet>> {
        self.membership().map(|membership| Arc::clone(&membership.fleet))
    }

    fn merge(&self, theirs: &Fleet) -> Result<(), String> {
        self.merge_chain(theirs).map_err(|error| error.to_string())
    }

    fn logs(&self) -> Result<(Vec<Held>, Vec<Proof>), String> {
        let logs = || Ok::<_, hearth_store::StoreError>((self.held()?, self.frozen()));
        logs().map_err(|error| error.to_string())
    }

    fn greeted(&self, peer: &DeviceId, has: &[(Log, u64)]) {
        if let Err(error) = self.compare_with_receipts(peer, has) {
            warn!(%error, "what a relay signed to have could not be compared with what it has");
        }
    }

    fn keep_keys(&self, records: &[Vec<u8>]) -> Option<Duration> {
        let lacks = Self::keep_keys(self, records).unwrap_or_else(|error| {
            warn!(%error, "document keys that came could not be kept; they come again with their segments");
            true
        });
        lacks.then_some(KEYS_RETRY)
    }

    fn store(&self, orders: Vec<ToStore>) -> Vec<Input> {
        let at: Vec<(Log, u64)> = orders.iter().map(|order| (order.at.log, order.number())).collect();
        self.receive(orders).unwrap_or_else(|error| {
            warn!(%error, "segments that came could not be stored; they are asked for again");
            self.notice(&format!("what other nodes send cannot be stored: {error}"));
            let again = |(log, number)| Input::NotStored { log, number, retry_after: DISK_RETRY };
            at.into_iter().map(again).collect()
        })
    }

    fn read(&self, log: &Log, from: u64, to: u64, budget: u64) -> ToSend {
        self.to_send(log, from, to, budget)
    }

    fn take_receipt(&self, peer: &DeviceId, bytes: &[u8]) {
        if let Err(error) = self.keep_receipt(peer, bytes) {
            warn!(%error, relay = %peer, "a relay's receipt is not kept");
        }
    }

    fn answer(&self, peer: &DeviceId, question: &[u8]) -> Vec<u8> {
        self.answer_live(peer, question)
    }

    fn waiting(&self) -> Vec<u8> {
        self.membership().map(|membership| membership.waiting_to_send()).unwrap_or_default()
    }

    fn take_waiting(&self, orders: &[u8]) {
        if let Err(error) = self.take_orders(orders) {
            warn!(%error, "what waits for more admins could not be kept; it comes again");
        }
    }

    fn settle(&self) {
        if let Err(error) = self.commit_received_words().and_then(|()| self.state_reached()) {
            warn!(%error, "what came is not yet findable by word; the next start catches up");
        }
    }

    fn rest(&self) {
        if let Err(error) = self.clean().and_then(|()| self.rest_words()) {
            warn!(%error, "what was erased is not out of all files yet; the next start catches up");
        }
    }

    fn tell(&self, peer: &DeviceId, told: Told) {
        tell(self, peer, told);
    }
}

/// Tells the owner what the machine found out.
fn tell(node: &Shared, peer: &DeviceId, told: Told) {
    let membership = node.membership();
    let name = |device: &DeviceId| name_of(membership.as_deref(), device);
    match told {
        Told::Equivocation(proof) => {
            if let Err(error) = node.freeze(&proof, &name(&proof.author())) {
                warn!(%error, "the proof against a device could not be kept");
            }
        }
        Told::Restored { log, .. } => node.was_restored(log.incarnation),
        Told::Clock(millis) if millis.unsigned_abs() >= CLOCK_TOLD => {
            let far = millis.unsigned_abs() / 1_000;
            let way = if millis > 0 { "ahead of" } else { "behind" };
            node.notice(&format!(
                "the clock of {} is about {far} s {way} this node's; set the wrong one, or times in search results mislead",
                name(peer)
            ));
        }
        Told::Clock(_) => {}
        Told::Revoked(log) => info!(author = %log.author, "a revoked device's later log is not taken"),
        Told::Unknown(log) => info!(author = %log.author, "a log of a device that is not known yet is left for later"),
        Told::Damaged { log, number } => node.notice(&format!(
            "segment {number} of {} cannot be read any more, so it is not passed on; `hearth doctor` checks the log",
            name(&log.author)
        )),
        Told::Newer { log, version } => node.notice(&format!(
            "{} writes format {version}, which this hearth does not know; update hearth on this node",
            name(&log.author)
        )),
        Told::TooLarge { log, number } => {
            warn!(author = %log.author, number, "a segment is larger than the other side will take");
        }
        Told::Misplaced { log, residency } => {
            warn!(author = %log.author, residency, "the other side sent what may not live here; it was not taken");
        }
        Told::Declined(_) => node.notice(&format!(
            "{} takes nothing more of a log of this node, so that waits here; its own notices say why",
            name(peer)
        )),
        Told::Broken(log) => node.notice(&format!(
            "the log of {} does not hang together as it comes from {}, so it is not taken from there",
            name(&log.author),
            name(peer)
        )),
    }
}
