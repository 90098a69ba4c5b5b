//! What a session asks about others: who may write, and who may have what.
//!
//! The fleet's chain answers; a session only asks, each time anew, so that an answer may change under way.

use super::Log;
use crate::DeviceId;

/// What the fleet says of a log's author.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A device of the fleet; what it signs is taken.
    Member,
    /// A device that was revoked: of this log, segments below this number stay good.
    RevokedAfter(u64),
    /// No device of the fleet as far as is known here.
    Unknown,
}

impl Standing {
    /// Whether a segment with this number is good.
    pub const fn admits(self, number: u64) -> bool {
        match self {
            Self::Member => true,
            Self::RevokedAfter(end) => number < end,
            Self::Unknown => false,
        }
    }
}

/// What is known of the fleet.
pub trait Trust {
    /// The fleet's id, which every head names.
    fn fleet(&self) -> [u8; 16];
    /// What the author of this log is.
    fn author(&self, log: &Log) -> Standing;
    /// Whether this device or relay may have what lives there; [`crate::segment::Head::residency`].
    fn may_have(&self, who: &DeviceId, residency: u16) -> bool;
}

impl<T: Trust + ?Sized> Trust for &T {
    fn fleet(&self) -> [u8; 16] {
        (**self).fleet()
    }
    fn author(&self, log: &Log) -> Standing {
        (**self).author(log)
    }
    fn may_have(&self, who: &DeviceId, residency: u16) -> bool {
        (**self).may_have(who, residency)
    }
}
