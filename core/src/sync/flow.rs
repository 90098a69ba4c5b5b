//! How much may be under way.
//!
//! [`Window`] bounds segments in flight by how the line behaves (one more each round trip, half when it chokes); [`Granted`] and
//! [`Taken`] bound bytes by what the receiver gave. Neither knows what is sent.

use std::time::Duration;

use crate::Moment;

/// The most segments in flight.
pub const WINDOW_MAX: u32 = 1024;
const ONE: u32 = 1000;
const START: u32 = 4 * ONE;
/// Round trips closer to the shortest than this say nothing about the line.
const SLACK: Duration = Duration::from_millis(10);
const TIMEOUT_FIRST: Duration = Duration::from_secs(3);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// How many segments may be in flight: additive increase, multiplicative decrease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// In thousandths of a segment.
    size: u32,
    shortest: Option<Duration>,
    smooth: Option<Duration>,
    cut: Option<Moment>,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: START, shortest: None, smooth: None, cut: None }
    }
}

impl Window {
    /// How many segments may be in flight.
    pub const fn segments(&self) -> usize {
        (self.size / ONE) as usize
    }

    /// A segment was acknowledged; its round trip, when it was sent only once.
    pub fn acknowledged(&mut self, now: Moment, round_trip: Option<Duration>) {
        self.size = (self.size + ONE * ONE / self.size).min(WINDOW_MAX * ONE);
        let Some(round_trip) = round_trip else { return };
        let shortest = self.shortest.map_or(round_trip, |shortest| shortest.min(round_trip));
        self.shortest = Some(shortest);
        self.smooth = Some(self.smooth.map_or(round_trip, |smooth| (smooth * 7 + round_trip) / 8));
        if round_trip > shortest * 2 + SLACK {
            self.choked(now);
        }
    }

    /// The line or the other side cannot keep up; counts once a round trip.
    pub fn choked(&mut self, now: Moment) {
        let pause = self.smooth.unwrap_or(TIMEOUT_MIN);
        if self.cut.is_some_and(|cut| now.since(cut) < pause) {
            return;
        }
        self.cut = Some(now);
        self.size = (self.size / 2).max(ONE);
    }

    /// How long to wait for an acknowledgement, after so many waits in vain.
    pub fn timeout(&self, in_vain: u32) -> Duration {
        let base = self.smooth.map_or(TIMEOUT_FIRST, |smooth| (smooth * 4).max(TIMEOUT_MIN));
        base.saturating_mul(1 << in_vain.min(8)).min(TIMEOUT_MAX)
    }

    /// The usual round trip.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.smooth
    }
}

/// What the other side lets us send, in bytes since the session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Granted {
    total: u64,
    first: u64,
    spent: u64,
}

impl Granted {
    /// Begins with what the greeting grants.
    pub const fn begin(first: u64) -> Self {
        Self { total: first, first, spent: 0 }
    }

    /// More was granted; it never shrinks.
    pub fn raise(&mut self, total: u64) {
        self.total = self.total.max(total);
    }

    /// What is left.
    pub const fn left(&self) -> u64 {
        self.total.saturating_sub(self.spent)
    }

    /// Whether so much can ever be sent at once.
    pub const fn ever(&self, bytes: u64) -> bool {
        bytes <= self.first
    }

    /// Takes from what is left, if there is so much.
    pub const fn spend(&mut self, bytes: u64) -> bool {
        let enough = bytes <= self.left();
        if enough {
            self.spent += bytes;
        }
        enough
    }
}

/// What we let the other side send, and how much of it is still here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    limit: u64,
    granted: u64,
    received: u64,
    done: u64,
}

impl Taken {
    /// Grants `limit` bytes at once.
    pub const fn begin(limit: u64) -> Self {
        Self { limit, granted: limit, received: 0, done: 0 }
    }

    /// Bytes came; `false` when they were more than was granted.
    #[must_use]
    pub const fn receive(&mut self, bytes: u64) -> bool {
        self.received = self.received.saturating_add(bytes);
        self.received <= self.granted
    }

    /// Bytes were stored or thrown away.
    pub const fn finish(&mut self, bytes: u64) {
        self.done += bytes;
    }

    /// Bytes that came and are still in memory.
    pub const fn held(&self) -> u64 {
        self.received.saturating_sub(self.done)
    }

    /// The new total to grant, when it is time to say so.
    pub const fn grant(&mut self) -> Option<u64> {
        let total = self.done + self.limit;
        let more = total - self.granted;
        // Nothing held means that the other side may be waiting for exactly this.
        if more > 0 && (more >= self.limit / 4 || self.held() == 0) {
            self.granted = total;
            return Some(total);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_window_grows_by_one_each_round_trip_and_halves_when_it_chokes() {
        let mut window = Window::default();
        let mut now = Moment::START;
        for expected in [5, 6, 7, 8] {
            for _ in 0..window.segments() {
                window.acknowledged(now, Some(MS * 40));
            }
            // A part of a segment may be lost to rounding.
            assert!((expected - 1..=expected).contains(&window.segments()), "{window:?}");
            now = now + MS * 40;
        }
        let before = window.segments();
        window.acknowledged(now, Some(MS * 100));
        assert_eq!(window.segments(), before / 2, "a slow round trip");
        window.choked(now);
        assert_eq!(window.segments(), before / 2, "once a round trip");
        for later in 1..20 {
            window.choked(now + MS * 1000 * later);
        }
        assert_eq!(window.segments(), 1, "never below one");
        let mut fast = Window::default();
        fast.acknowledged(now, Some(Duration::ZERO));
        fast.acknowledged(now, Some(MS));
        assert_eq!(fast.segments(), 4, "a millisecond is not twice nothing");
    }

    #[test]
    fn each_wait_in_vain_doubles_the_next_up_to_a_limit() {
        let mut window = Window::default();
        assert_eq!(window.timeout(0), TIMEOUT_FIRST);
        window.acknowledged(Moment::START, Some(MS * 600));
        let waits: Vec<u64> = (0..6).map(|times| window.timeout(times).as_secs()).collect();
        assert_eq!(waits, [2, 4, 9, 19, 30, 30]);
    }

    proptest! {
        /// Whatever is sent and finished in whatever order, an honest sender never overruns, memory never exceeds the limit, and the
        /// sender is never left waiting while nothing is held.
        #[test]
        fn credit_bounds_memory_and_never_locks_up(limit in 100_u64..5000, steps in prop::collection::vec((1_u64..=100, any::<bool>()), 1..300)) {
            let (mut ours, mut theirs) = (Taken::begin(limit), Granted::begin(limit));
            let mut held = std::collections::VecDeque::new();
            for (bytes, send) in steps {
                if send {
                    if theirs.spend(bytes) {
                        prop_assert!(ours.receive(bytes));
                        held.push_back(bytes);
                    }
                } else if let Some(bytes) = held.pop_front() {
                    ours.finish(bytes);
                    if let Some(total) = ours.grant() {
                        theirs.raise(total);
                    }
                }
                prop_assert!(ours.held() <= limit);
                prop_assert!(!held.is_empty() || theirs.left() == limit);
            }
        }

        #[test]
        fn what_is_beyond_the_grant_is_noticed(limit in 1_u64..1000, over in 1_u64..1000) {
            prop_assert!(!Taken::begin(limit).receive(limit + over));
        }
    }
}
