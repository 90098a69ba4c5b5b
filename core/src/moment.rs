//! A point in time that can be made up, saved and compared after sleep.
//!
//! Milliseconds since the Unix epoch, told by the shell. It is deliberately not [`std::time::Instant`], which can be neither
//! stored nor invented, and it never asks the system what time it is.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Moment(#[n(0)] u64);

impl Moment {
    /// The Unix epoch; where tests and a node without a clock begin.
    pub const START: Self = Self(0);

    /// Makes a moment out of milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it (clocks are set back).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_never_makes_a_negative_span() {
        let later = Moment::START + Duration::from_secs(5);
        assert_eq!(Moment::START.since(later), Duration::ZERO);
        assert_eq!(later.since(Moment::START), Duration::from_secs(5));
        assert_eq!(Moment::START - Duration::from_secs(1), Moment::START);
    }

    #[test]
    fn a_moment_beyond_all_numbers_is_the_last_one() {
        let last = Moment::from_millis(u64::MAX);
        assert_eq!(last + Duration::from_millis(1), last);
        assert_eq!((Moment::START + Duration::MAX, last - Duration::MAX), (last, Moment::START));
        assert_eq!(Moment::from_millis(1_500).to_string(), "1500ms");
    }
}
