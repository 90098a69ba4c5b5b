//! What keeps the sealed segments of many fleets, whatever it is made of.
//!
//! Calls block; whoever is async uses a thread for them. What an engine says it has taken is there after a crash, and what it says it has
//! erased is not. It believes nothing and decides nothing: what it is given was verified, and who may have it is asked elsewhere.

use std::{io, sync::Arc};

use hearth_core::{
    DocumentId, Moment,
    fleet::FleetId,
    receipt::Claim,
    segment::BadSegment,
    sync::{Held, Log, Proof},
};

pub use hearth_core::sync::ToStore;

/// What became of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It is there now, and a crash does not lose it.
    Taken,
    /// A segment of this number was there before: the log as it was right after that one. Another digest than the order's means that
    /// the author forked its log.
    Had(Held),
    /// The log does not end where the segment begins; nothing was written.
    Gap,
}

/// Who signs a receipt, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The public key.
    pub store: [u8; 32],
    /// The time.
    pub at: Moment,
}

/// What a fleet takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes on the disk, of everything that is kept of the fleet.
    pub bytes: u64,
    /// Segments in its tree.
    pub segments: u64,
    /// Documents with a key record.
    pub keys: u64,
    /// Documents that were erased.
    pub erased: u64,
}

/// Why an engine could not do what it was asked. Nothing is acknowledged then; it may be asked again.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The fleet is not kept here.
    #[error("{0} is not kept by this relay; a member must introduce the fleet to it first")]
    NoFleet(FleetId),
    /// What was to be appended is not what the order says. Such an order is a mistake of the caller.
    #[error("a segment is not the one that it is said to be, and was not kept; ask its author to send it again")]
    Mistaken,
    /// What was to be appended is no segment.
    #[error("a segment cannot be kept")]
    Segment(#[from] BadSegment),
    /// A key record is longer than any that travels.
    #[error("a key record of {0} bytes is longer than a key record can be; ask whoever sent it to update hearth")]
    KeyTooLong(usize),
    /// No room.
    #[error("no space is left for {what}; free some disk space or move the data folder, nothing that was kept is lost")]
    Full {
        /// What was being written.
        what: &'static str,
    },
    /// The system refused.
    #[error("{what} failed; check the disk and the permissions of the coordinator's data folder")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what was written, and nothing else can take its place.
    #[error("{what} is damaged; put it back from a backup, or let the fleet's members introduce the fleet again")]
    Damaged {
        /// What it is.
        what: &'static str,
    },
    /// The index does not answer.
    #[error(
        "the relay's index does not answer ({reason}); it is opened again, and made anew from the files where it must be"
    )]
    Index {
        /// What it said.
        reason: String,
    },
    /// Another process has it open.
    #[error("the relay's store is held by another process ({reason}); stop it and start again")]
    Busy {
        /// What the store said.
        reason: String,
    },
    /// A later version of the program wrote it.
    #[error(
        "the relay's store is of version {found}, and this program reads up to version {known}; run the newer hearth-coordinator"
    )]
    Newer {
        /// Its version.
        found: u32,
        /// The newest that is read.
        known: u32,
    },
}

impl Failed {
    /// Whether there was no room, so that a peer is told to wait.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            // The index says it in words only.
            Self::Index { reason } => reason.contains("No space left") || reason.contains("StorageFull"),
            _ => false,
        }
    }

    /// Says what was being done when the system refused.
    pub fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { what },
            _ => Self::Io { what, source },
        }
    }
}

/// Keeps what the relay keeps. Every call blocks. Unless it says otherwise, asking about a fleet that is not kept is [`Failed::NoFleet`].
///
/// One fleet's slow disk does not make another fleet wait, as far as the disk lets it.
pub trait Engine: Send + Sync {
    /// Every fleet that is kept, in the order of their ids.
    ///
    /// # Errors
    /// When it cannot be read.
    fn fleets(&self) -> Result<Vec<FleetId>, Failed>;

    /// The fleet's chain as it was last kept; `None` when there is no such fleet.
    ///
    /// # Errors
    /// When it cannot be read.
    fn chain(&self, fleet: &FleetId) -> Result<Option<Vec<u8>>, Failed>;

    /// Keeps the chain in place of the one before, durably; begins the fleet if it is not there.
    ///
    /// # Errors
    /// When it cannot be written; the one before is then still there.
    fn keep_chain(&self, fleet: &FleetId, chain: &[u8]) -> Result<(), Failed>;

    /// Where every log of the fleet ends, each only as far as it is there from its start.
    ///
    /// # Errors
    /// When it cannot be read.
    fn held(&self, fleet: &FleetId) -> Result<Vec<Held>, Failed>;

    /// The proofs against the fleet's authors, one an author.
    ///
    /// # Errors
    /// When they cannot be read.
    fn proofs(&self, fleet: &FleetId) -> Result<Vec<Proof>, Failed>;

    /// Keeps a proof, durably. One is enough: of a second against the same author nothing is kept.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep_proof(&self, fleet: &FleetId, proof: &Proof) -> Result<(), Failed>;

    /// Appends segments in the order given, each only where it continues its log, and answers one for one. When this returns, a crash
    /// loses none of those that were taken, and the keys of the documents that they bury are destroyed.
    ///
    /// # Errors
    /// [`Failed::Mistaken`] and [`Failed::Segment`] before anything is written, when an order is not what it says, or of another fleet.
    /// Otherwise, when it cannot be written: some may be there all the same, and are had when they come again.
    fn append(&self, fleet: &FleetId, orders: &[ToStore]) -> Result<Vec<Appended>, Failed>;

    /// Where the log's newest segment stands in the fleet's tree, as it was right after that came, for the receipt that is stamped so; `None`
    /// when there is no such log.
    ///
    /// # Errors
    /// When it cannot be read.
    fn claim(&self, fleet: &FleetId, log: &Log, stamp: Stamp) -> Result<Option<Claim>, Failed>;

    /// Segments `from..to` of a log: up to `budget` bytes, but at least one when there is one. It stops at what cannot be read.
    /// They are as they came, but for changes of erased documents, of which the hash is left.
    ///
    /// # Errors
    /// When the disk does not answer at all.
    fn read(&self, fleet: &FleetId, log: &Log, from: u64, to: u64, budget: u64) -> Result<Vec<Arc<[u8]>>, Failed>;

    /// Keeps wrapped document keys, durably: the newest in place of an older one of the same document, and none of an erased document.
    ///
    /// # Errors
    /// [`Failed::KeyTooLong`] before anything is written, or when it cannot be written: some may be there all the same.
    fn keep_keys(&self, fleet: &FleetId, records: &[(DocumentId, Vec<u8>)]) -> Result<(), Failed>;

    /// The key records of those of these documents that have one, in the order asked.
    ///
    /// # Errors
    /// When they cannot be read.
    fn keys(&self, fleet: &FleetId, documents: &[DocumentId]) -> Result<Vec<Vec<u8>>, Failed>;

    /// What the fleet takes.
    ///
    /// # Errors
    /// When it cannot be read.
    fn usage(&self, fleet: &FleetId) -> Result<Usage, Failed>;

    /// Takes out of the disk's files what was erased, and returns how many bytes that gave back. Interrupted, each file is as if it had
    /// not begun or is done. Appends wait for one file at the most.
    ///
    /// # Errors
    /// When it cannot be written; what could be done is done.
    fn tidy(&self, fleet: &FleetId) -> Result<u64, Failed>;

    /// Drops a fleet and all that is kept of it; of a fleet that is not kept, nothing.
    ///
    /// # Errors
    /// When it cannot be removed; the fleet may be gone all the same, and what is left of it is removed when the engine opens.
    fn forget(&self, fleet: &FleetId) -> Result<(), Failed>;

    /// What the owner should know about the keeping itself, as sentences; empty when all is well.
    fn notices(&self) -> Vec<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_and_every_error_says_what_to_do() {
        let io = |kind: io::ErrorKind| Failed::io("appending segments")(kind.into());
        for (case, failed, full, says) in [
            ("full", io(io::ErrorKind::StorageFull), true, "free some disk space"),
            ("over quota", io(io::ErrorKind::QuotaExceeded), true, "free some disk space"),
            ("refused", io(io::ErrorKind::PermissionDenied), false, "check the disk and the permissions"),
            (
                "full for the index",
                Failed::Index { reason: "IO error: No space left on device (os error 28)".into() },
                true,
                "made anew from the files",
            ),
            ("a silent index", Failed::Index { reason: "it panicked".into() }, false, "it is opened again"),
            ("no fleet", Failed::NoFleet(FleetId::NONE), false, "must introduce the fleet"),
            ("newer", Failed::Newer { found: 9, known: 1 }, false, "run the newer hearth-coordinator"),
        ] {
            assert_eq!(failed.is_full(), full, "{case}");
            assert!(failed.to_string().contains(says), "{case}: {failed}");
        }
    }
}
