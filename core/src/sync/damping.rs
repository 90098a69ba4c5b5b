//! What keeps clocks and sync rates from swinging.
//!
//! [`Offset`] estimates how far a peer's clock is from ours; it is only ever told, never used to order anything. [`Rate`] says how
//! often to sync: more while much waits, less when it is calm, and never back and forth.

use std::time::Duration;

use crate::Moment;

/// The difference of clocks that the user is told about.
pub const ALARM: Duration = Duration::from_secs(30);

/// How far a peer's clock is ahead of ours, as a moving average.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offset {
    /// In 1/8 milliseconds, so that small steps are not lost.
    eighths: Option<i64>,
    alarmed: bool,
}

impl Offset {
    /// Takes one reading: what the peer's clock said when ours said `now`, after a trip of half of `round_trip`. Returns the offset
    /// in milliseconds when it has just grown beyond [`ALARM`].
    pub fn sample(&mut self, now: Moment, theirs: Moment, round_trip: Duration) -> Option<i64> {
        let trip = i64::try_from(round_trip.as_millis() / 2).unwrap_or(0);
        let signed = |moment: Moment| i64::try_from(moment.as_millis().min(1 << 50)).expect("below 2^63");
        let reading = signed(theirs) + trip - signed(now);
        let average = match self.eighths {
            None => reading * 8,
            Some(eighths) => eighths + reading - eighths / 8,
        };
        self.eighths = Some(average);
        let far = average.unsigned_abs() / 8;
        let limit = u64::try_from(ALARM.as_millis()).unwrap_or(u64::MAX);
        // It must come well back before it can alarm again.
        let was = self.alarmed;
        self.alarmed = far > limit || (was && far > limit / 2);
        (self.alarmed && !was).then_some(average / 8)
    }

    /// The estimate in milliseconds; positive when the peer's clock is ahead.
    pub fn millis(&self) -> Option<i64> {
        self.eighths.map(|eighths| eighths / 8)
    }
}

/// How often to sync.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    /// Little waits.
    Calm,
    /// Much waits.
    Busy,
}

impl Mode {
    /// The time from one sync to the next, before jitter.
    pub const fn interval(self) -> Duration {
        match self {
            Self::Calm => Duration::from_secs(300),
            Self::Busy => Duration::from_secs(10),
        }
    }
}

/// From how many waiting segments on it is busy.
pub const BUSY_FROM: u64 = 64;
/// Down to how many it stays busy.
pub const CALM_BELOW: u64 = 8;
/// How long a mode lasts at least.
pub const DWELL: Duration = Duration::from_secs(600);

/// Decides how often to sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    mode: Mode,
    changed: Option<Moment>,
}

impl Default for Rate {
    fn default() -> Self {
        Self { mode: Mode::Calm, changed: None }
    }
}

impl Rate {
    /// How it is now.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Says when to sync next, given how many segments wait. `entropy` spreads it by a fifth either way.
    pub fn next(&mut self, now: Moment, waiting: u64, entropy: u64) -> Moment {
        let wanted = match self.mode {
            Mode::Calm if waiting >= BUSY_FROM => Mode::Busy,
            Mode::Busy if waiting < CALM_BELOW => Mode::Calm,
            mode => mode,
        };
        // A clock that was set back begins a new stay; a mode never lasts for ever because of it.
        if self.changed.is_some_and(|changed| changed > now) {
            self.changed = Some(now);
        }
        let settled = self.changed.is_none_or(|changed| now.since(changed) >= DWELL);
        if wanted != self.mode && settled {
            self.mode = wanted;
            self.changed = Some(now);
        }
        let interval = self.mode.interval();
        let fifth = u64::try_from(interval.as_millis() / 5).expect("minutes");
        now + (interval.saturating_sub(Duration::from_millis(fifth)) + Duration::from_millis(entropy % (2 * fifth + 1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_clock_that_is_a_minute_off_alarms_once_and_again_only_after_it_was_right() {
        let mut offset = Offset::default();
        let mut alarms = Vec::new();
        // Right, a minute ahead, right again, a year behind.
        for (second, ahead) in (0..20)
            .map(|s| (s, 0_i64))
            .chain((20..60).map(|s| (s, 60)))
            .chain((60..120).map(|s| (s, 0)))
            .chain([(120, -31_536_000)])
        {
            let theirs = at(second).as_millis().saturating_add_signed(ahead * 1000);
            if let Some(millis) = offset.sample(at(second), Moment::from_millis(theirs), Duration::ZERO) {
                alarms.push((second, millis > 0));
            }
        }
        assert_eq!(alarms.len(), 2, "{alarms:?}");
        assert!(alarms[0].1 && alarms[0].0 > 20, "one bad reading is no alarm: {alarms:?}");
        assert!(!alarms[1].1 && alarms[1].0 == 120);
    }

    #[test]
    fn the_offset_is_found_through_a_slow_line() {
        let mut offset = Offset::default();
        for second in 0..50 {
            offset.sample(at(second), at(second + 3) - Duration::from_millis(200), Duration::from_millis(400));
        }
        assert_eq!(offset.millis(), Some(3000));
    }

    #[test]
    fn a_swinging_load_changes_the_mode_at_most_once_in_ten_minutes() {
        for period in [20, 60, 300, 599] {
            let mut rate = Rate::default();
            let mut changes: Vec<u64> = Vec::new();
            for second in 0..7200 {
                let before = rate.mode();
                rate.next(at(second), if (second / period) % 2 == 0 { 1000 } else { 0 }, second);
                if rate.mode() != before {
                    changes.push(second);
                }
            }
            assert!(changes.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{period}: {changes:?}");
            assert!(changes.len() > 2, "it still follows: {changes:?}");
        }
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let mut rate = Rate::default();
        for second in 0..5000 {
            rate.next(at(second), BUSY_FROM - 1, 0);
        }
        assert_eq!(rate.mode(), Mode::Calm);
        rate.next(at(5000), BUSY_FROM, 0);
        for second in 5000..10_000 {
            rate.next(at(second), CALM_BELOW, 0);
        }
        assert_eq!(rate.mode(), Mode::Busy);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_a_mode_for_a_year() {
        let mut rate = Rate::default();
        rate.next(at(100_000_000), BUSY_FROM, 0);
        for second in 0..=600 {
            rate.next(at(second), 0, 0);
        }
        assert_eq!(rate.mode(), Mode::Calm);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(entropy: u64, waiting in 0_u64..200) {
            let mut rate = Rate::default();
            let wait = rate.next(at(0), waiting, entropy).since(at(0));
            let interval = rate.mode().interval();
            prop_assert!(wait >= interval * 4 / 5 && wait <= interval * 6 / 5);
        }
    }
}
