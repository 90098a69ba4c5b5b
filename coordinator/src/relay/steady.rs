//! An engine that is opened again when its index does not answer.
//!
//! Whoever meets [`Failed::Index`] closes the engine and opens it as a start of the program does, by which the index is made anew from the files
//! where it must be; what was asked is then asked once more. Meanwhile, and while it cannot be opened, everybody is told to come again, and
//! nobody waits. Each try is followed by a pause that grows until it held for long.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, RwLock, TryLockError},
    time::{Duration, Instant},
};

use hearth_core::{
    DocumentId,
    fleet::FleetId,
    receipt::Claim,
    sync::{Held, Log, Proof},
};
use tracing::{error, info};

use super::engine::{Appended, Engine, Failed, Stamp, ToStore, Usage};
use crate::drawer::panic_text;

/// The first pause between two tries; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest; an engine that answered for so long begins with the first again.
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

type Open<E> = Box<dyn Fn() -> Result<E, Failed> + Send + Sync>;

/// An engine, and how it is opened.
pub struct Steady<E> {
    open: Open<E>,
    /// The engine, and how often it was opened; none while it cannot be.
    at_work: RwLock<(Option<E>, u64)>,
    tries: Mutex<Tries>,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Tries {
    first: Duration,
    pause: Duration,
    last: Option<Instant>,
}

/// What the owner is to know.
#[derive(Default, Debug)]
struct Told {
    /// How often the index failed, and what it said last.
    failed: u64,
    reason: String,
    /// Why it cannot be opened.
    closed: Option<String>,
    /// What earlier engines told.
    before: Vec<String>,
}

impl<E> std::fmt::Debug for Steady<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Steady({:?})", self.tries)
    }
}

impl<E: Engine> Steady<E> {
    /// Opens it for the first time. It blocks.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open(open: impl Fn() -> Result<E, Failed> + Send + Sync + 'static) -> Result<Self, Failed> {
        Self::with_pause(PAUSE, open)
    }

    fn with_pause(
        first: Duration,
        open: impl Fn() -> Result<E, Failed> + Send + Sync + 'static,
    ) -> Result<Self, Failed> {
        let engine = open()?;
        Ok(Self {
            open: Box::new(open),
            at_work: RwLock::new((Some(engine), 0)),
            tries: Mutex::new(Tries { first, pause: first, last: None }),
            told: Mutex::default(),
        })
    }

    /// Asks the engine, and once more when it had to be opened again.
    fn ask<T>(&self, work: impl Fn(&E) -> Result<T, Failed>) -> Result<T, Failed> {
        let (asked, opened) = self.try_ask(&work);
        match (asked, opened) {
            (Err(Failed::Index { reason }), Some(opened)) if self.open_again(opened, &reason) => self.try_ask(&work).0,
            (asked, _) => asked,
        }
    }

    /// Asks the engine; says how often it was opened before, unless it is being opened.
    fn try_ask<T>(&self, work: impl Fn(&E) -> Result<T, Failed>) -> (Result<T, Failed>, Option<u64>) {
        let at_work = match self.at_work.try_read() {
            Ok(at_work) => at_work,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return (Err(Failed::Index { reason: "it is being opened again".into() }), None);
            }
        };
        match &*at_work {
            (Some(engine), opened) => (work(engine), Some(*opened)),
            (None, opened) => {
                let reason = self.told().closed.clone().unwrap_or_default();
                (Err(Failed::Index { reason }), Some(*opened))
            }
        }
    }

    /// Opens it again, if it is still the one that failed and it is time; says whether another one is at work now.
    fn open_again(&self, failed: u64, reason: &str) -> bool {
        let Ok(mut tries) = self.tries.try_lock() else { return false };
        if self.at_work.read().unwrap_or_else(PoisonError::into_inner).1 != failed {
            return true;
        }
        let since = tries.last.map(|last| last.elapsed());
        if since.is_some_and(|since| since < tries.pause) {
            return false;
        }
        tries.pause = match since {
            Some(since) if since < tries.pause + PAUSE_MAX => (tries.pause * 2).min(PAUSE_MAX),
            _ => tries.first,
        };
        // Whoever is at work comes to an end first.
        let mut at_work = self.at_work.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = at_work.0.take() {
            error!(reason, "the relay's index does not answer; it is opened again");
            let mut told = self.told();
            told.failed += 1;
            reason.clone_into(&mut told.reason);
            let new: Vec<_> = engine.notices().into_iter().filter(|notice| !told.before.contains(notice)).collect();
            told.before.extend(new);
            // Nothing in it is needed any more, however it ends.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
        }
        let opened = catch_unwind(AssertUnwindSafe(&self.open))
            .unwrap_or_else(|cause| Err(Failed::Index { reason: panic_text(&*cause) }));
        tries.last = Some(Instant::now());
        match opened {
            Ok(engine) => {
                info!("the relay's index answers again");
                self.told().closed = None;
                *at_work = (Some(engine), failed + 1);
                true
            }
            Err(failed) => {
                let reason = failed.to_string();
                if self.told().closed.replace(reason.clone()).as_ref() != Some(&reason) {
                    error!(reason, "what the relay keeps cannot be opened; it is tried again");
                }
                false
            }
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine> Engine for Steady<E> {
    fn fleets(&self) -> Result<Vec<FleetId>, Failed> {
        self.ask(E::fleets)
    }

    fn chain(&self, fleet: &FleetId) -> Result<Option<Vec<u8>>, Failed> {
        self.ask(|engine| engine.chain(fleet))
    }

    fn keep_chain(&self, fleet: &FleetId, chain: &[u8]) -> Result<(), Failed> {
        self.ask(|engine| engine.keep_chain(fleet, chain))
    }

    fn held(&self, fleet: &FleetId) -> Result<Vec<Held>, Failed> {
        self.ask(|engine| engine.held(fleet))
    }

    fn proofs(&self, fleet: &FleetId) -> Result<Vec<Proof>, Failed> {
        self.ask(|engine| engine.proofs(fleet))
    }

    fn keep_proof(&self, fleet: &FleetId, proof: &Proof) -> Result<(), Failed> {
        self.ask(|engine| engine.keep_proof(fleet, proof))
    }

    fn append(&self, fleet: &FleetId, orders: &[ToStore]) -> Result<Vec<Appended>, Failed> {
        self.ask(|engine| engine.append(fleet, orders))
    }

    fn claim(&self, fleet: &FleetId, log: &Log, stamp: Stamp) -> Result<Option<Claim>, Failed> {
        self.ask(|engine| engine.claim(fleet, log, stamp))
    }

    fn read(&self, fleet: &FleetId, log: &Log, from: u64, to: u64, budget: u64) -> Result<Vec<Arc<[u8]>>, Failed> {
        self.ask(|engine| engine.read(fleet, log, from, to, budget))
    }

    fn keep_keys(&self, fleet: &FleetId, records: &[(DocumentId, Vec<u8>)]) -> Result<(), Failed> {
        self.ask(|engine| engine.keep_keys(fleet, records))
    }

    fn keys(&self, fleet: &FleetId, documents: &[DocumentId]) -> Result<Vec<Vec<u8>>, Failed> {
        self.ask(|engine| engine.keys(fleet, documents))
    }

    fn usage(&self, fleet: &FleetId) -> Result<Usage, Failed> {
        self.ask(|engine| engine.usage(fleet))
    }

    fn tidy(&self, fleet: &FleetId) -> Result<u64, Failed> {
        self.ask(|engine| engine.tidy(fleet))
    }

    fn forget(&self, fleet: &FleetId) -> Result<(), Failed> {
        self.ask(|engine| engine.forget(fleet))
    }

    fn notices(&self) -> Vec<String> {
        let now = self.at_work.try_read().ok().and_then(|at_work| Some(at_work.0.as_ref()?.notices()));
        let told = self.told();
        let mut notices = told.before.clone();
        notices.extend(now.into_iter().flatten().filter(|notice| !told.before.contains(notice)));
        if let Some(reason) = &told.closed {
            notices.push(format!(
                "what the relay keeps cannot be opened ({reason}), so devices of its fleets keep what is new; it is tried again at least every \
                 {} minutes",
                PAUSE_MAX.as_secs() / 60
            ));
        } else if told.failed > 0 {
            notices.push(format!(
                "the relay's index failed ({}; {} since the start) and was opened again, and what it lacked was read from the files; look at \
                 the disk if it happens again",
                told.reason,
                if told.failed == 1 { "once".to_owned() } else { format!("{} times", told.failed) }
            ));
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::relay::{
        conformance::{self, Author, document, fleet},
        embedded::Embedded,
    };

    const LONG: Duration = Duration::from_secs(3600);

    /// An engine of which the index can be broken, and how often it was opened; it opens while `opens` says so.
    fn steady(data: &std::path::Path, pause: Duration) -> (Steady<Embedded>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (tried, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (tries, breaks, data) = (Arc::clone(&tried), Arc::clone(&broken), data.to_owned());
        let steady = Steady::with_pause(pause, move || {
            tries.fetch_add(1, Ordering::SeqCst);
            match breaks.load(Ordering::SeqCst) {
                0 => Embedded::open(&data),
                _ => Err(Failed::Index { reason: "not yet".into() }),
            }
        });
        (steady.expect("a new engine"), tried, broken)
    }

    fn break_it(steady: &Steady<Embedded>) {
        steady.at_work.read().expect("whole").0.as_ref().expect("open").break_index();
    }

    #[test]
    fn it_does_what_every_engine_must_do() {
        conformance::check(|data| {
            let data = data.to_owned();
            Box::new(Steady::open(move || Embedded::open(&data)).expect("opened"))
        });
    }

    #[test]
    fn an_index_that_fails_at_run_time_is_made_anew_and_nobody_is_turned_away() {
        let data = tempfile::tempdir().expect("a folder");
        let (steady, tried, _) = steady(data.path(), Duration::ZERO);
        let mut author = Author::new(fleet(1), 1);
        steady.keep_chain(&fleet(1), b"chain").expect("kept");
        let orders = [author.body(document(1), b"one"), author.body(document(2), b"two")];
        steady.append(&fleet(1), &orders).expect("taken");
        for times in 1..=3 {
            break_it(&steady);
            let held = steady.held(&fleet(1)).expect("asked again");
            assert_eq!((held.len(), held[0].chain.number), (1, 1 + times));
            let next = author.body(document(3), b"more");
            assert_eq!(steady.append(&fleet(1), &[next]).expect("taken"), [Appended::Taken]);
            assert_eq!(tried.load(Ordering::SeqCst), 1 + times);
        }
        let read = steady.read(&fleet(1), &author.log(), 0, 5, u64::MAX).expect("read");
        assert_eq!(read.len(), 5);
        let notices = steady.notices();
        assert!(notices.len() == 1 && notices[0].contains("3 times"), "{notices:?}");
    }

    #[test]
    fn one_that_cannot_be_opened_is_tried_again_after_a_pause_and_not_before() {
        let data = tempfile::tempdir().expect("a folder");
        for (pause, tries) in [(LONG, 1), (Duration::ZERO, 100)] {
            let (steady, tried, broken) = steady(data.path(), pause);
            steady.keep_chain(&fleet(1), b"chain").expect("kept");
            break_it(&steady);
            broken.store(1, Ordering::SeqCst);
            for _ in 0..100 {
                let failed = steady.held(&fleet(1)).expect_err("it cannot be opened");
                assert!(matches!(failed, Failed::Index { .. }), "{failed}");
            }
            assert_eq!(tried.load(Ordering::SeqCst), 1 + tries, "after {pause:?}");
            let notices = steady.notices();
            assert!(notices.len() == 1 && notices[0].contains("cannot be opened"), "{notices:?}");
            broken.store(0, Ordering::SeqCst);
            assert_eq!(steady.held(&fleet(1)).is_ok(), pause.is_zero());
        }
    }
}
