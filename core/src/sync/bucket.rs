//! How much may pass in a while: a token bucket.
//!
//! It fills at a steady rate up to its burst. Whoever finds too little in it is told when there will be enough; one who asks for more than
//! the burst is let through once it is full, and leaves it in debt.

use std::time::Duration;

use crate::Moment;

/// A token bucket. Tokens are whatever the caller counts, bytes for example.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_second: u64,
    burst: u64,
    /// In thousandths of a token, so that a rate below one a millisecond loses nothing; below zero while it is in debt.
    level: i128,
    filled: Moment,
}

/// Thousandths.
const PARTS: i128 = 1_000;

impl Bucket {
    /// A full bucket: `per_second` tokens come in each second, and at most `burst` are in it. Both are at least 1.
    pub fn full(per_second: u64, burst: u64, now: Moment) -> Self {
        let (per_second, burst) = (per_second.max(1), burst.max(1));
        Self { per_second, burst, level: i128::from(burst) * PARTS, filled: now }
    }

    /// Takes so many tokens out.
    ///
    /// # Errors
    /// When there are too few: how long to wait, counted from `now`. Nothing is taken then.
    pub fn take(&mut self, now: Moment, tokens: u64) -> Result<(), Duration> {
        let (rate, burst) = (i128::from(self.per_second), i128::from(self.burst) * PARTS);
        // A thousandth of a token comes in each millisecond for each token a second. A clock that was set back brings nothing.
        let came = i128::try_from(now.since(self.filled).as_millis()).unwrap_or(i128::MAX).saturating_mul(rate);
        self.level = self.level.saturating_add(came).min(burst);
        self.filled = now;
        let wanted = i128::from(tokens) * PARTS;
        let needed = wanted.min(burst);
        if self.level < needed {
            let lacking = needed - self.level;
            let millis = u64::try_from((lacking + rate - 1) / rate).unwrap_or(u64::MAX);
            return Err(Duration::from_millis(millis));
        }
        self.level -= wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn what_is_over_waits_until_enough_came_in() {
        let mut bucket = Bucket::full(100, 200, at(0));
        for (case, now, tokens, expected) in [
            ("the burst", 0, 200, Ok(())),
            ("empty", 0, 1, Err(10)),
            ("half a token is none", 5, 1, Err(5)),
            ("one came in", 10, 1, Ok(())),
            ("no more than the burst is saved", 100_000, 201, Ok(())),
            ("and that is a debt", 100_000, 1, Err(20)),
            ("a clock set back brings nothing", 50_000, 1, Err(20)),
            ("and goes on from there", 50_020, 1, Ok(())),
        ] {
            let taken = bucket.take(at(now), tokens);
            assert_eq!(taken, expected.map_err(Duration::from_millis), "{case}");
        }
    }

    proptest! {
        #[test]
        fn over_any_span_no_more_passes_than_burst_and_rate_and_whoever_waits_gets_it(
            steps in prop::collection::vec((0_u64..500, 1_u64..50), 1..200),
        ) {
            let mut bucket = Bucket::full(100, 50, at(0));
            let (mut now, mut passed) = (0, 0);
            for (wait, tokens) in steps {
                now += wait;
                if let Err(patience) = bucket.take(at(now), tokens) {
                    now += u64::try_from(patience.as_millis()).expect("short");
                    prop_assert_eq!(bucket.take(at(now), tokens), Ok(()), "after the wait it was told");
                }
                passed += tokens;
                prop_assert!(passed <= 50 + now / 10, "{} after {} ms", passed, now);
            }
        }
    }
}
