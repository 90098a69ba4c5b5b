//! What the coordinator knows of its fleet, whatever keeps it.

use hearth_core::{DeviceId, Moment, status::StatusReport};

/// The last word of one device.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Whose word it is, as its link proved.
    pub device: DeviceId,
    /// What it said.
    pub report: StatusReport,
    /// When that was written down, by the coordinator's clock.
    pub kept_at: Moment,
}

/// Why a report was not written down. The device keeps it and asks again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a report cannot be written to the store: {0}; is the disk full or read-only?")]
pub struct CannotKeep(pub String);

/// Keeps the last word of each device.
pub trait Fleet: Send + Sync {
    /// Writes a word down in place of the one before it; when this returns, a crash does not lose it. It blocks.
    fn keep(&self, node: Node) -> Result<(), CannotKeep>;

    /// Every device that ever spoke, in the order of their ids.
    fn nodes(&self) -> Vec<Node>;

    /// What the owner should know about the keeping itself, as sentences; empty when all is well.
    fn notices(&self) -> Vec<String>;

    /// Whether the last attempt to write failed.
    fn is_failing(&self) -> bool;
}
