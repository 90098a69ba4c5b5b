//! A hybrid logical clock: which of two concurrent edits of one fact is shown.
//!
//! A [`Stamp`] is 48 bits of milliseconds, 16 bits of counter, and the node, which breaks ties. Stamps of one node always rise, whatever its
//! wall clock does, and rise above every stamp it has taken in. One that is more than [`AHEAD_MAX`] ahead of the wall clock is never refused:
//! it is *future*, moves no clock, and what it stamps waits in [`Ahead`] until time has come so far. Nothing but facts is ordered by
//! it: segments follow their author's sequence, and what is gone is gone at any time.

use std::{collections::BTreeSet, time::Duration};

use crate::{DeviceId, Moment};

/// How far ahead of the wall clock a stamp may be and still count at once.
pub const AHEAD_MAX: Duration = Duration::from_mins(5);
/// How many things wait for their time; the furthest fall out and are read from the log again.
pub const WAITING_MAX: usize = 1 << 16;

const MILLIS_MAX: u64 = (1 << 48) - 1;

/// When something was written, by its author's clock. The greater is the later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp {
    time: u64,
    node: DeviceId,
}

impl Stamp {
    /// Puts together what was read back: milliseconds in the upper 48 bits, the counter in the lower 16.
    pub const fn from_parts(time: u64, node: DeviceId) -> Self {
        Self { time, node }
    }

    /// Milliseconds in the upper 48 bits, the counter in the lower 16.
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Whose clock it was.
    pub const fn node(&self) -> DeviceId {
        self.node
    }

    /// The wall clock's part.
    pub const fn moment(&self) -> Moment {
        Moment::from_millis(self.time >> 16)
    }

    /// When it is no longer future.
    pub fn due(&self) -> Moment {
        self.moment() - AHEAD_MAX
    }
}

/// Whether a stamp counts now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It does.
    Present,
    /// It will from this moment on.
    Future(Moment),
}

/// One node's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clock {
    last: u64,
    node: DeviceId,
}

impl Clock {
    /// A clock that has given and taken no stamp.
    pub const fn begin(node: DeviceId) -> Self {
        Self { last: 0, node }
    }

    /// A clock that goes on after a stamp it gave or took before it was stopped.
    pub const fn resume(last: Stamp, node: DeviceId) -> Self {
        Self { last: last.time, node }
    }

    /// The stamp of something written now, greater than every one before it. A full counter runs over into the milliseconds; at the end of
    /// the 48 bits, in the year 10889, stamps stop rising.
    pub fn tick(&mut self, now: Moment) -> Stamp {
        let wall = now.as_millis().min(MILLIS_MAX) << 16;
        self.last = self.last.saturating_add(1).max(wall);
        Stamp { time: self.last, node: self.node }
    }

    /// Takes in a stamp from elsewhere: what is written from now on is later, unless that stamp is future, which moves nothing.
    pub fn observe(&mut self, now: Moment, remote: Stamp) -> Standing {
        let due = remote.due();
        if now < due {
            return Standing::Future(due);
        }
        self.last = self.last.max(remote.time);
        Standing::Present
    }

    /// How far this clock is ahead of the wall clock. More than [`AHEAD_MAX`] says that the wall clock was wrong, or was set back: others will
    /// let what is written here wait, so a person should be told.
    pub const fn lead(&self, now: Moment) -> Duration {
        Moment::from_millis(self.last >> 16).since(now)
    }
}

/// What is future, until it is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ahead<T> {
    waiting: BTreeSet<(Stamp, T)>,
    room: usize,
    fell_out: Option<Moment>,
}

impl<T: Ord> Default for Ahead<T> {
    fn default() -> Self {
        Self::with_room(WAITING_MAX)
    }
}

impl<T: Ord> Ahead<T> {
    /// Room for so many things.
    pub const fn with_room(room: usize) -> Self {
        Self { waiting: BTreeSet::new(), room, fell_out: None }
    }

    /// Keeps something until its stamp counts; the same thing twice is kept once. When there is no room, what is furthest off falls out.
    pub fn keep(&mut self, stamp: Stamp, thing: T) {
        self.waiting.insert((stamp, thing));
        if self.waiting.len() > self.room
            && let Some((stamp, _)) = self.waiting.pop_last()
        {
            self.fell_out = Some(self.fell_out.map_or(stamp.due(), |earlier| earlier.min(stamp.due())));
        }
    }

    /// The next thing whose time has come, in the order of the stamps.
    pub fn poll(&mut self, now: Moment) -> Option<(Stamp, T)> {
        let (first, _) = self.waiting.first()?;
        if now < first.due() { None } else { self.waiting.pop_first() }
    }

    /// Whether something that fell out has come due, so that the log must be read again; says so once.
    pub fn poll_reread(&mut self, now: Moment) -> bool {
        self.fell_out.take_if(|due| *due <= now).is_some()
    }

    /// When to ask again, or `None` when nothing waits.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let first = self.waiting.first().map(|(stamp, _)| stamp.due());
        first.into_iter().chain(self.fell_out).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: DeviceId = DeviceId::from_bytes([1; 16]);
    const B: DeviceId = DeviceId::from_bytes([2; 16]);
    const NOW: Moment = Moment::from_millis(1_780_000_000_000);
    const YEAR: Duration = Duration::from_hours(365 * 24);

    #[test]
    fn stamps_follow_the_wall_clock_and_count_where_it_stands_still() {
        let mut clock = Clock::begin(A);
        let stamps = [NOW, NOW, NOW - YEAR, NOW + Duration::from_millis(1)].map(|now| clock.tick(now));
        let parts = stamps.map(|stamp| (stamp.moment().as_millis() - NOW.as_millis(), stamp.time() & 0xffff));
        assert_eq!(parts, [(0, 0), (0, 1), (0, 2), (1, 0)]);
    }

    #[test]
    fn a_full_counter_runs_over_into_the_milliseconds() {
        let mut clock = Clock::resume(Stamp::from_parts(NOW.as_millis() << 16 | 0xffff, A), A);
        let stamp = clock.tick(NOW);
        assert_eq!((stamp.moment(), stamp.time() & 0xffff), (NOW + Duration::from_millis(1), 0));
    }

    #[test]
    fn what_is_written_after_reading_is_later_than_what_was_read() {
        let (mut ours, mut theirs) = (Clock::begin(A), Clock::begin(B));
        let theirs = theirs.tick(NOW + Duration::from_mins(4));
        assert_eq!(ours.observe(NOW, theirs), Standing::Present);
        assert!(ours.tick(NOW) > theirs);
    }

    #[test]
    fn five_minutes_ahead_is_present_and_a_moment_more_is_future() {
        for (case, ahead, expected) in [
            ("behind by a year", None, Standing::Present),
            ("now", Some(Duration::ZERO), Standing::Present),
            ("at the bound", Some(AHEAD_MAX), Standing::Present),
            ("beyond it", Some(AHEAD_MAX + Duration::from_millis(1)), Standing::Future(NOW + Duration::from_millis(1))),
            ("a year ahead", Some(YEAR), Standing::Future(NOW + (YEAR - AHEAD_MAX))),
        ] {
            let at = ahead.map_or(NOW - YEAR, |ahead| NOW + ahead);
            let mut clock = Clock::begin(A);
            assert_eq!(clock.observe(NOW, Clock::begin(B).tick(at)), expected, "{case}");
            let moved = clock.last != 0;
            assert_eq!(moved, expected == Standing::Present, "{case}: a future stamp moves no clock");
        }
    }

    #[test]
    fn ties_go_to_the_greater_node() {
        assert!(Clock::begin(A).tick(NOW) < Clock::begin(B).tick(NOW));
        assert!(Clock::begin(A).tick(NOW + Duration::from_millis(1)) > Clock::begin(B).tick(NOW));
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_says_so_when_it_is_set_right() {
        let mut clock = Clock::begin(A);
        let wrong = clock.tick(NOW + YEAR);
        assert_eq!(clock.lead(NOW + YEAR), Duration::ZERO);
        assert_eq!(clock.lead(NOW), YEAR);
        let right = clock.tick(NOW);
        assert!(right > wrong, "its stamps rise all the same");
        assert!(matches!(Clock::begin(B).observe(NOW, right), Standing::Future(_)), "others let them wait");
    }

    #[test]
    fn what_is_ahead_comes_in_its_order_when_its_time_has_come() {
        let mut ahead = Ahead::default();
        let (one, two) = (Clock::begin(A).tick(NOW + YEAR), Clock::begin(B).tick(NOW + YEAR * 2));
        ahead.keep(two, 'b');
        ahead.keep(one, 'a');
        ahead.keep(one, 'a');
        assert_eq!((ahead.poll(NOW), ahead.poll_timeout()), (None, Some(one.due())));
        assert_eq!(ahead.poll(one.due()), Some((one, 'a')));
        assert_eq!(ahead.poll(one.due()), None, "kept once");
        assert_eq!(ahead.poll(two.due() + YEAR), Some((two, 'b')));
        assert_eq!(ahead.poll_timeout(), None);
    }

    #[test]
    fn what_has_no_room_is_asked_for_again() {
        let mut ahead = Ahead::with_room(2);
        let stamps = [3, 1, 2].map(|years| Clock::begin(A).tick(NOW + YEAR * years));
        for stamp in stamps {
            ahead.keep(stamp, ());
        }
        assert_eq!(ahead.poll(NOW + YEAR * 9).map(|(stamp, ())| stamp), Some(stamps[1]));
        assert_eq!(ahead.poll(NOW + YEAR * 9).map(|(stamp, ())| stamp), Some(stamps[2]));
        assert_eq!((ahead.poll(NOW + YEAR * 9), ahead.poll_timeout()), (None, Some(stamps[0].due())));
        assert!(!ahead.poll_reread(NOW), "not yet");
        assert!(ahead.poll_reread(stamps[0].due()));
        assert!(!ahead.poll_reread(stamps[0].due()), "once");
    }

    proptest! {
        #[test]
        fn stamps_of_one_node_rise_whatever_the_wall_clock_does(walls in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..60)) {
            let mut clock = Clock::begin(A);
            let mut last = None;
            for (wall, remote, take) in walls {
                // Up to the year 10000; within a year of now, half of the time.
                let now = if take { Moment::from_millis(NOW.as_millis() + wall % 63_072_000_000 - 31_536_000_000) } else { Moment::from_millis(wall % (1 << 47)) };
                if take && clock.observe(now, Stamp::from_parts(remote, B)) == Standing::Present {
                    prop_assert!(clock.last >= remote);
                }
                let stamp = clock.tick(now);
                prop_assert!(Some(stamp) > last);
                prop_assert!(stamp.moment() >= now);
                last = Some(stamp);
            }
        }

        #[test]
        fn a_liars_stamp_moves_nobody_by_more_than_the_bound(remote: u64, wall in 0_u64..(1 << 47)) {
            let (mut clock, now) = (Clock::begin(A), Moment::from_millis(wall));
            clock.observe(now, Stamp::from_parts(remote, B));
            prop_assert!(clock.lead(now) <= AHEAD_MAX);
        }
    }
}
