//! When a file that keeps changing is quiet enough to be read.
//!
//! Tell it what changed and when, and ask what is due: [`Settle::touch`], [`Settle::poll`], [`Settle::poll_timeout`]. It never
//! sleeps and reads no clock; a clock that is set back makes nothing wait longer than it would have.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use hearth_core::Moment;

/// Paths that changed and are not quiet yet.
#[derive(Debug)]
pub struct Settle {
    calm: Duration,
    calm_big: Duration,
    big: u64,
    patience: Duration,
    most: usize,
    waiting: HashMap<PathBuf, Waiting>,
    due: BTreeSet<(Moment, PathBuf)>,
    latest: Moment,
}

#[derive(Debug)]
struct Waiting {
    due: Moment,
    since: Moment,
}

/// More paths wait than may; some are not remembered, so everything must be looked at again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many files changed at once to remember each; scan the folders again")]
pub struct TooMany;

impl Settle {
    /// Waits until a path was quiet for `calm`, or `calm_big` from `big` bytes on, but never longer than `patience` after its
    /// first change: what never rests, as a log, is read now and then. At most `most` paths wait.
    pub fn new(calm: Duration, calm_big: Duration, big: u64, patience: Duration, most: usize) -> Self {
        Self {
            calm,
            calm_big,
            big,
            patience,
            most,
            waiting: HashMap::new(),
            due: BTreeSet::new(),
            latest: Moment::START,
        }
    }

    /// A path changed and now has this many bytes.
    pub fn touch(&mut self, now: Moment, path: &Path, bytes: u64) -> Result<(), TooMany> {
        self.mind_the_clock(now);
        let calm = if bytes >= self.big { self.calm_big.max(self.calm) } else { self.calm };
        let since = match self.waiting.get(path) {
            Some(waiting) => {
                self.due.remove(&(waiting.due, path.to_owned()));
                waiting.since
            }
            None if self.waiting.len() >= self.most => return Err(TooMany),
            None => now,
        };
        let due = (now + calm).min(since + self.patience.max(calm));
        self.waiting.insert(path.to_owned(), Waiting { due, since });
        self.due.insert((due, path.to_owned()));
        Ok(())
    }

    /// Takes out one path that is quiet by now.
    pub fn poll(&mut self, now: Moment) -> Option<PathBuf> {
        self.mind_the_clock(now);
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        let (_, path) = self.due.pop_first()?;
        self.waiting.remove(&path);
        Some(path)
    }

    /// Returns when to ask again, or `None` when nothing waits.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Forgets a path and all below it; returns those that waited.
    pub fn forget(&mut self, path: &Path) -> Vec<PathBuf> {
        let gone: Vec<PathBuf> = match self.waiting.contains_key(path) {
            true => vec![path.to_owned()],
            false => self.waiting.keys().filter(|waiting| waiting.starts_with(path)).cloned().collect(),
        };
        for path in &gone {
            if let Some(waiting) = self.waiting.remove(path) {
                self.due.remove(&(waiting.due, path.clone()));
            }
        }
        gone
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.due.clear();
    }

    /// Returns how many paths wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the clock was set back, moves everything back with it, so that what was due in two seconds still is.
    fn mind_the_clock(&mut self, now: Moment) {
        if now < self.latest {
            let back = self.latest.since(now);
            self.due = self
                .waiting
                .iter_mut()
                .map(|(path, waiting)| {
                    *waiting = Waiting { due: waiting.due - back, since: waiting.since - back };
                    (waiting.due, path.clone())
                })
                .collect();
        }
        self.latest = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settle() -> Settle {
        Settle::new(2 * SECOND, 30 * SECOND, 1000, 60 * SECOND, 3)
    }

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn a_path_is_due_once_it_was_quiet_and_only_once() {
        let mut settle = settle();
        let (a, b) = (Path::new("/a"), Path::new("/b"));
        settle.touch(at(0), a, 10).expect("there is room");
        settle.touch(at(1), a, 10).expect("there is room");
        settle.touch(at(1), b, 1000).expect("there is room");
        assert_eq!(settle.poll_timeout(), Some(at(3)));
        assert_eq!(settle.poll(at(2)), None);
        assert_eq!(settle.poll(at(3)).as_deref(), Some(a));
        assert_eq!(settle.poll(at(3)), None, "the big one waits longer");
        assert_eq!(settle.poll(at(31)).as_deref(), Some(b));
        assert!(settle.is_empty() && settle.poll_timeout().is_none());
    }

    #[test]
    fn what_never_rests_is_read_now_and_then() {
        let mut settle = settle();
        let read = (0..600).filter(|second| {
            settle.touch(at(*second), Path::new("/log"), 10).expect("there is room");
            settle.poll(at(*second)).is_some()
        });
        assert_eq!(read.count(), 9, "about once a minute in ten minutes");
    }

    #[test]
    fn more_than_may_wait_is_refused_and_nothing_else_is_lost() {
        let mut settle = settle();
        for path in ["/a", "/b", "/c"] {
            settle.touch(at(0), Path::new(path), 1).expect("there is room");
        }
        assert_eq!(settle.touch(at(0), Path::new("/d"), 1), Err(TooMany));
        assert_eq!(settle.touch(at(1), Path::new("/a"), 1), Ok(()));
        assert_eq!(settle.len(), 3);
    }

    #[test]
    fn a_clock_set_back_delays_nothing() {
        let mut settle = settle();
        settle.touch(at(900), Path::new("/a"), 1).expect("there is room");
        assert_eq!(settle.poll(at(0)), None);
        assert_eq!(settle.poll(at(2)).as_deref(), Some(Path::new("/a")));
    }

    #[test]
    fn a_folder_takes_what_waits_in_it_along() {
        let mut settle = settle();
        for path in ["/d/a", "/d/b", "/da"] {
            settle.touch(at(0), Path::new(path), 1).expect("there is room");
        }
        let mut gone = settle.forget(Path::new("/d"));
        gone.sort();
        assert_eq!(gone, [PathBuf::from("/d/a"), PathBuf::from("/d/b")]);
        assert_eq!(settle.poll(at(9)).as_deref(), Some(Path::new("/da")));
        assert_eq!(settle.poll(at(9)), None);
    }

    proptest! {
        #[test]
        fn every_path_that_was_touched_comes_out_within_patience(
            touches in prop::collection::vec((0u8..20, 0u64..100, 0u64..3000), 0..100)
        ) {
            let mut settle = Settle::new(2 * SECOND, 30 * SECOND, 1000, 60 * SECOND, 100);
            let (mut now, mut open) = (at(0), HashMap::new());
            for (path, wait, bytes) in touches {
                now = now + Duration::from_secs(wait);
                while let Some(path) = settle.poll(now) {
                    prop_assert!(open.remove(&path).is_some(), "it came out once for all its changes");
                }
                for since in open.values() {
                    prop_assert!(now.since(*since) < 60 * SECOND);
                }
                let path = PathBuf::from(format!("/{path}"));
                settle.touch(now, &path, bytes).expect("there is room for a hundred");
                open.entry(path).or_insert(now);
            }
            while let Some(path) = settle.poll(now + 60 * SECOND) {
                prop_assert!(open.remove(&path).is_some());
            }
            prop_assert!(open.is_empty());
        }
    }
}
