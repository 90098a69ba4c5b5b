//! What a node keeps, and how it survives anything: the segment log is the truth, all else is made from it.
//!
//! One folder, owned by one process at a time. Everything in it that came from a person is sealed; sled and the index hold nothing
//! that the log and the keys could not bring back.
#![forbid(unsafe_code)]

mod audit;
mod blocks;
mod folder;
mod identity;
mod keys;
mod log;
mod state;

pub use audit::AuditLog;
pub use blocks::{BlockFile, BlockWriter};
pub use folder::{Folder, SCHEMA, disk_usage, is_disk_full, write_atomic};
pub use identity::{Identity, entropy};
pub use keys::{KeyReader, Keys, Slot};
pub use log::{Log, LogReader, Position};
pub use state::{Batch, State, Tree};

use std::{io, path::PathBuf};

/// Why the data folder cannot be used, or a thing in it not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("another hearth is using {0}; ask it instead (`hearth status`), or stop it first (`hearth stop`)")]
    InUse(PathBuf),
    /// Written by a newer hearth.
    #[error(
        "{folder} was written by a newer hearth (format {found}, this one knows {SCHEMA}); update hearth on this node"
    )]
    Newer {
        /// The data folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not a data folder.
    #[error("{0} is not empty and not a hearth data folder; name another with `--data`")]
    NotOurs(PathBuf),
    /// No room.
    #[error("no space is left for {what}; free some disk space, nothing that was stored is lost")]
    Full {
        /// What was being written.
        what: &'static str,
    },
    /// Not allowed to write.
    #[error("{path} cannot be written ({cause}); make the folder writable for the user that runs hearth")]
    ReadOnly {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Reading or writing failed.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{0} is damaged; run `hearth doctor`, which says what can be made anew")]
    Damaged(&'static str),
    /// The key of this folder is missing while sealed data is there.
    #[error("the keys of {0} are gone, so what is sealed in it cannot be read; put `identity/` back from your backup")]
    NoKeys(PathBuf),
    /// A segment is not to be believed.
    #[error(transparent)]
    Segment(#[from] hearth_core::segment::BadSegment),
    /// Sealed bytes do not open.
    #[error(transparent)]
    Sealed(#[from] hearth_core::seal::DoesNotOpen),
}

impl StoreError {
    /// Whether it failed only because the disk is full.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Says what was being done when the operating system refused.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { what },
            _ => Self::Io { what, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_to_do() {
        let folder = || PathBuf::from("/data");
        for (error, says) in [
            (StoreError::InUse(folder()), "another hearth is using /data; ask it instead"),
            (
                StoreError::Newer { folder: folder(), found: 9 },
                "(format 9, this one knows 1); update hearth on this node",
            ),
            (StoreError::NotOurs(folder()), "name another with `--data`"),
            (StoreError::Full { what: "the log" }, "no space is left for the log; free some disk space"),
            (
                StoreError::ReadOnly { path: folder(), cause: io::ErrorKind::PermissionDenied.into() },
                "/data cannot be written (permission denied); make the folder writable",
            ),
            (StoreError::Damaged("the state"), "the state is damaged; run `hearth doctor`"),
            (StoreError::NoKeys(folder()), "put `identity/` back from your backup"),
            (hearth_core::segment::BadSegment::OtherRoot.into(), "damaged or forged"),
            (hearth_core::seal::DoesNotOpen.into(), "do not open with this key"),
        ] {
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_refusal_of_the_system_is_a_full_disk_or_is_named_with_its_cause() {
        for (kind, full) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::NotFound, false),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            let error = StoreError::io("writing a letter")(kind.into());
            assert_eq!(error.is_full(), full, "{kind}");
            if !full {
                assert_eq!(error.to_string(), "writing a letter failed");
                let cause = std::error::Error::source(&error).expect("a cause");
                assert_eq!(cause.to_string(), io::Error::from(kind).to_string());
            }
        }
    }
}
