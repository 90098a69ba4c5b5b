//! One piece of durable work: leased, retried, given up, never lost and never done twice at once.
//!
//! The state is saved before its effect is carried out; a lease that runs out (the worker died) makes the job ready again.
//!
//! ```text
//!   ready ── taken ──▶ leased ── finished ──▶ done
//!     ▲                  │ failed, or the lease ran out
//!     └──── delay ───────┴─ tries used up ──▶ dead
//! ```

use std::time::Duration;

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Moment;

/// How often a job is tried before it is put aside for a person to see.
pub const TRIES_MAX: u32 = 5;
/// How long a worker may be silent before its job is given to another.
pub const LEASE: Duration = Duration::from_secs(120);
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, Encode, Decode)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Waits for a worker, from `after` on.
    #[n(0)]
    Ready {
        /// Not before this.
        #[n(0)]
        after: Moment,
        /// How often it was tried.
        #[n(1)]
        tries: u32,
    },
    /// A worker has it.
    #[n(1)]
    Leased {
        /// When it is taken for dead.
        #[n(0)]
        until: Moment,
        /// How often it was tried, this time included.
        #[n(1)]
        tries: u32,
    },
    /// Its effect is stored.
    #[n(2)]
    Done,
    /// Tried too often; kept until a person retries or drops it.
    #[n(3)]
    Dead {
        /// How often it was tried.
        #[n(0)]
        tries: u32,
    },
}

/// What can happen to a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A worker takes it.
    Taken,
    /// The worker is alive and has saved a checkpoint.
    Progressed,
    /// Its effect is stored.
    Finished,
    /// It did not work this time.
    Failed,
    /// Time has passed.
    Tick,
    /// A person wants it tried anew.
    Revived,
}

impl State {
    /// A job nobody has tried.
    pub const fn new(now: Moment) -> Self {
        Self::Ready { after: now, tries: 0 }
    }

    /// The state after `event`; an event out of place changes nothing.
    #[must_use]
    pub fn next(self, now: Moment, event: Event) -> Self {
        match (self, event) {
            (Self::Ready { after, tries }, Event::Taken) if after <= now => {
                Self::Leased { until: now + LEASE, tries: tries + 1 }
            }
            (Self::Leased { tries, .. }, Event::Progressed) => Self::Leased { until: now + LEASE, tries },
            (Self::Leased { .. }, Event::Finished) => Self::Done,
            (Self::Leased { tries, .. }, Event::Failed) => Self::again(now, tries),
            (Self::Leased { until, tries }, Event::Tick) if until <= now => Self::again(now, tries),
            (Self::Dead { .. }, Event::Revived) => Self::new(now),
            (state, _) => state,
        }
    }

    fn again(now: Moment, tries: u32) -> Self {
        if tries >= TRIES_MAX {
            return Self::Dead { tries };
        }
        let delay = RETRY_FIRST.saturating_mul(1 << tries.min(10)).min(RETRY_MAX);
        Self::Ready { after: now + delay, tries }
    }

    /// What a fresh process makes of a job that another left: whoever leased it is gone.
    #[must_use]
    pub fn recovered(self, now: Moment) -> Self {
        match self {
            Self::Leased { tries, .. } => Self::Ready { after: now, tries: tries.saturating_sub(1) },
            state => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_000_000);

    #[test]
    fn a_job_that_keeps_failing_waits_longer_each_time_and_is_then_put_aside() {
        let (mut job, mut now, mut waits) = (State::new(NOW), NOW, Vec::new());
        while !matches!(job, State::Dead { .. }) {
            job = job.next(now, Event::Taken).next(now, Event::Failed);
            if let State::Ready { after, .. } = job {
                waits.push(after.since(now).as_secs());
                assert_eq!(job.next(now, Event::Taken), job, "not before its time");
                now = after;
            }
        }
        assert_eq!(waits, [4, 8, 16, 32]);
        assert_eq!(job.next(now, Event::Revived), State::new(now));
    }

    #[test]
    fn a_lease_that_runs_out_makes_the_job_ready_and_progress_keeps_it() {
        let leased = State::new(NOW).next(NOW, Event::Taken);
        assert_eq!(leased.next(NOW + LEASE / 2, Event::Tick), leased);
        assert!(matches!(leased.next(NOW + LEASE, Event::Tick), State::Ready { tries: 1, .. }));
        let alive = leased.next(NOW + LEASE / 2, Event::Progressed);
        assert_eq!(alive.next(NOW + LEASE, Event::Tick), alive);
        assert_eq!(leased.next(NOW, Event::Taken), leased, "nobody else gets it");
    }

    #[test]
    fn what_is_done_stays_done_and_a_crash_costs_no_try() {
        let leased = State::new(NOW).next(NOW, Event::Taken);
        let done = leased.next(NOW, Event::Finished);
        for event in [Event::Taken, Event::Failed, Event::Tick, Event::Revived, Event::Progressed] {
            assert_eq!(done.next(NOW + LEASE * 9, event), State::Done);
        }
        assert_eq!(leased.recovered(NOW), State::new(NOW));
        assert_eq!(done.recovered(NOW), State::Done);
    }
}
