//! When to stop trying to reach a peer, and when to try again.
//!
//! ```text
//!   closed ── 5 failures in a row ──▶ open ── its time is over ──▶ half-open (one try)
//!     ▲                                 ▲                             │  │
//!     └──────────── it worked ──────────┼─────────────────────────────┘  │
//!                                       └───────── it failed ────────────┘  twice as long, at most 10 minutes
//! ```

use std::time::Duration;

use crate::Moment;

/// How many failures in a row open it.
pub const FAILURES: u32 = 5;
/// How long it stays open the first time, give or take a quarter.
pub const FIRST: Duration = Duration::from_secs(5);
/// The longest it stays open.
pub const LONGEST: Duration = Duration::from_secs(600);
/// How long a try may take; one of which nobody said how it went is forgotten then.
pub const TRY: Duration = Duration::from_secs(60);

/// Whether a peer is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breaker {
    /// It is tried whenever there is reason to.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// It is left alone.
    Open {
        /// Until then.
        until: Moment,
        /// How often it opened in a row.
        times: u32,
    },
    /// One try is under way.
    HalfOpen {
        /// Since then.
        since: Moment,
        /// How often it opened in a row.
        times: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Asks to try the peer now; a yes from an open breaker is good for one try.
    pub fn try_now(&mut self, now: Moment) -> bool {
        match *self {
            Self::Closed { .. } => true,
            // A clock that was set back must not keep a peer away for longer than ever agreed.
            Self::Open { until, times } if until <= now || until.since(now) > LONGEST => {
                *self = Self::HalfOpen { since: now, times };
                true
            }
            Self::HalfOpen { since, times } if now.since(since) >= TRY || since > now => {
                *self = Self::HalfOpen { since: now, times };
                true
            }
            Self::Open { .. } | Self::HalfOpen { .. } => false,
        }
    }

    /// The try worked.
    pub fn worked(&mut self) {
        *self = Self::default();
    }

    /// The try failed. `entropy` spreads the next one, so that a fleet does not come back as one.
    pub fn failed(&mut self, now: Moment, entropy: u64) {
        *self = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES => Self::Closed { failures: failures + 1 },
            Self::Closed { .. } => Self::Open { until: now + wait(0, entropy), times: 1 },
            Self::HalfOpen { times, .. } => {
                Self::Open { until: now + wait(times, entropy), times: times.saturating_add(1) }
            }
            open @ Self::Open { .. } => open,
        };
    }

    /// When asking again can change the answer.
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self {
            Self::Open { until, .. } => Some(*until),
            Self::HalfOpen { since, .. } => Some(*since + TRY),
            Self::Closed { .. } => None,
        }
    }
}

/// From 75 % to 125 % of the doubled wait, never above the longest.
fn wait(doublings: u32, entropy: u64) -> Duration {
    let base = FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST);
    let quarter = u64::try_from(base.as_millis() / 4).unwrap_or(u64::MAX);
    let jitter = Duration::from_millis(entropy % (2 * quarter + 1));
    (base.saturating_sub(Duration::from_millis(quarter)) + jitter).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_failures_open_it_one_try_closes_it() {
        let now = Moment::START;
        let mut breaker = Breaker::default();
        for failure in 1..FAILURES {
            breaker.failed(now, 0);
            assert!(breaker.try_now(now), "after {failure}");
        }
        breaker.failed(now, 0);
        assert!(!breaker.try_now(now), "open");
        let later = breaker.poll_timeout().expect("open");
        assert!(breaker.try_now(later), "half-open");
        assert!(!breaker.try_now(later), "one try only");
        let forgotten = breaker.poll_timeout().expect("a try ends");
        assert!(breaker.try_now(forgotten), "nobody said how the try went");
        breaker.worked();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_success_between_failures_begins_the_count_anew() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            for _ in 1..FAILURES {
                breaker.failed(Moment::START, 7);
            }
            breaker.worked();
        }
        assert!(breaker.try_now(Moment::START));
    }

    #[test]
    fn a_clock_set_back_a_year_keeps_nobody_away() {
        let year = Duration::from_secs(365 * 86_400);
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed(Moment::START + year, 3);
        }
        assert!(breaker.try_now(Moment::START));
    }

    proptest! {
        #[test]
        fn it_waits_longer_and_longer_but_never_beyond_ten_minutes(entropy in prop::collection::vec(any::<u64>(), 40)) {
            let mut now = Moment::START;
            let mut breaker = Breaker::default();
            let mut opened = 0;
            for entropy in entropy {
                breaker.failed(now, entropy);
                if let Breaker::Open { until, .. } = breaker {
                    let wait = until.since(now);
                    let base = FIRST.saturating_mul(1 << opened.min(16)).min(LONGEST);
                    prop_assert!(wait <= LONGEST && wait >= base * 3 / 4 && wait <= base * 5 / 4);
                    opened += 1;
                    now = until;
                    prop_assert!(breaker.try_now(now));
                }
            }
        }
    }
}
