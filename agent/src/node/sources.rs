//! Sources at work: full scans and watches, each on a thread of its own, handing what they read to the intake.
//!
//! A scan asks only for what changed since the last one. What may not be captured now is asked for again when that changes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, SyncSender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hearth_core::{Moment, session::State};

use super::{
    NodeError, Shared,
    intake::{Read, Ticket, Work, skip},
    lock, now,
};
use crate::capture::{Candidate, Change, Files, Found, History, Known, Options, Reconcile, Source};

/// The ids of all sources.
pub(crate) const IDS: [&str; 3] = ["files", "shell-history", "import"];

/// How long a watcher waits for a change before it looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The watching threads.
#[derive(Debug)]
pub(crate) struct Sources {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    progress: Arc<Progress>,
}

/// How the sources stand.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    scanning: AtomicU64,
    scanned_at: Mutex<BTreeMap<&'static str, Moment>>,
    generation: AtomicU64,
}

impl Sources {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, threads: Mutex::default(), progress: Arc::default() }
    }

    /// Begins to scan and to watch, until the node is closed.
    pub(crate) fn start(&self, queue: &SyncSender<Work>) {
        let mut threads = lock(&self.threads);
        for id in ["files", "shell-history"] {
            let (shared, progress, queue) = (Arc::clone(&self.shared), Arc::clone(&self.progress), queue.clone());
            let run = move || Watcher { shared, progress, queue, id }.run();
            threads.push(
                std::thread::Builder::new().name(id.into()).spawn(run).expect("the system gives a thread at start"),
            );
        }
    }

    /// What may be captured changed: look at everything again.
    pub(crate) fn look_again(&self) {
        self.progress.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether a scan is running.
    pub(crate) fn is_scanning(&self) -> bool {
        self.progress.scanning.load(Ordering::SeqCst) > 0
    }

    /// When the last full scan of a source ended.
    pub(crate) fn scanned_at(&self, id: &str) -> Option<Moment> {
        lock(&self.progress.scanned_at).get(id).copied()
    }

    /// Captures these files and folders now, on the caller's thread.
    pub(crate) fn index(
        &self,
        paths: &[PathBuf],
        again: bool,
        queue: &SyncSender<Work>,
    ) -> Result<Arc<Ticket>, NodeError> {
        let source = self.shared.files(paths);
        let ticket = Arc::new(Ticket::default());
        let scan = Scan { shared: &self.shared, queue, source: &source, ticket: Some(&ticket) };
        scan.named(again);
        Ok(ticket)
    }

    pub(crate) fn stop(&mut self) {
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The source of files in these folders.
    pub(crate) fn files(&self, roots: &[PathBuf]) -> Files {
        Files::new(roots, &Options { own: vec![self.folder.root().into()], ..Options::default() })
    }

    /// The folders that open sessions name.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let gate = self.gate();
        let live =
            gate.sessions().filter(|session| !matches!(session.state, State::Closed { .. } | State::Expired { .. }));
        let files = live.filter(|session| session.scope.takes("files", true));
        let mut folders: Vec<PathBuf> = files
            .flat_map(|session| &session.scope.include)
            .filter(|name| name.0.starts_with(b"/"))
            .map(|name| PathBuf::from(std::ffi::OsString::from_vec(name.0.clone())))
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// Whether some live session takes from this source.
    pub(crate) fn is_on(&self, id: &str) -> bool {
        self.gate().sessions().any(|session| {
            !matches!(session.state, State::Closed { .. } | State::Expired { .. })
                && session.scope.takes(id, id == "files")
        })
    }
}

struct Watcher {
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    queue: SyncSender<Work>,
    id: &'static str,
}

impl Watcher {
    fn run(&self) {
        while !self.shared.is_stopping() {
            let generation = self.progress.generation.load(Ordering::SeqCst);
            let source: Option<Box<dyn Source>> = match self.id {
                "files" => {
                    let folders = self.shared.folders();
                    (!folders.is_empty()).then(|| Box::new(self.shared.files(&folders)) as Box<dyn Source>)
                }
                _ => self.shared.settings.home.as_ref().filter(|_| self.shared.is_on(self.id)).map(|home| {
                    let shared = Arc::clone(&self.shared);
                    let history = History::of_home(home).leaving_out(move |at| shared.was_private(at));
                    Box::new(history) as Box<dyn Source>
                }),
            };
            match source {
                Some(source) => self.follow(&*source, generation),
                None => self.wait_for_change(generation),
            }
        }
    }

    fn changed(&self, generation: u64) -> bool {
        self.shared.is_stopping() || self.progress.generation.load(Ordering::SeqCst) != generation
    }

    fn wait_for_change(&self, generation: u64) {
        while !self.changed(generation) {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Watches first, so that nothing falls between, then scans, then follows what changes.
    fn follow(&self, source: &dyn Source, generation: u64) {
        let watch = source.watch(&self.shared.settings.watching);
        if let Err(error) = &watch {
            lock(&self.shared.notices).push(error.to_string());
        }
        self.scan(source);
        let scanned = Instant::now();
        let Ok(watch) = watch else {
            let begun = Instant::now();
            while !self.changed(generation) && begun.elapsed() < self.shared.settings.watching.rescan_every {
                std::thread::sleep(LOOK_EVERY);
            }
            return;
        };
        while !self.changed(generation) && scanned.elapsed() < self.shared.settings.watching.rescan_every {
            match watch.recv_timeout(LOOK_EVERY) {
                Ok(Change::Rescan { .. }) => self.scan(source),
                Ok(change) => {
                    let scan = Scan { shared: &self.shared, queue: &self.queue, source, ticket: None };
                    scan.change(change);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn scan(&self, source: &dyn Source) {
        self.progress.scanning.fetch_add(1, Ordering::SeqCst);
        let scan = Scan { shared: &self.shared, queue: &self.queue, source, ticket: None };
        let whole = scan.everything();
        self.progress.scanning.fetch_sub(1, Ordering::SeqCst);
        match whole {
            Ok(true) => {
                lock(&self.progress.scanned_at).insert(self.id, now());
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(source = self.id, error = %error, "a scan could not be finished; it is tried again");
            }
        }
    }
}

/// One pass over a source.
struct Scan<'s> {
    shared: &'s Shared,
    queue: &'s SyncSender<Work>,
    source: &'s dyn Source,
    ticket: Option<&'s Arc<Ticket>>,
}

impl Scan<'_> {
    /// Everything there is, against everything that is known. `false` when the node is stopping.
    fn everything(&self) -> Result<bool, NodeError> {
        let known = self.shared.known_of(self.source.id())?;
        let mut reconcile = Reconcile::new(known, None);
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        for found in self.source.scan(None) {
            if self.shared.is_stopping() {
                return Ok(false);
            }
            if let Found::Skipped(skip) = &found {
                *skipped.entry(skip.reason.code().into()).or_default() += 1;
            }
            if let Some(change) = reconcile.step(found)
                && let Some(code) = self.change(change)
            {
                *skipped.entry(code.into()).or_default() += 1;
            }
        }
        for change in reconcile.finish() {
            if let Some(code) = self.change(change) {
                *skipped.entry(code.into()).or_default() += 1;
            }
        }
        lock(&self.shared.skipped).insert(self.source.id().into(), skipped);
        Ok(true)
    }

    /// Everything in a source that was named for one order. What is known elsewhere is none of its business.
    fn named(&self, again: bool) {
        let begun = Instant::now();
        let known: BTreeMap<Vec<u8>, Known> = if again {
            BTreeMap::new()
        } else {
            let known = self.shared.known_of(self.source.id()).unwrap_or_default();
            known.into_iter().map(|known| (known.name.clone(), known)).collect()
        };
        for found in self.source.scan(None) {
            if self.shared.is_stopping() {
                break;
            }
            match found {
                Found::Seen(candidate)
                    if known.get(&candidate.name).is_some_and(|known| known.fingerprint == candidate.fingerprint) =>
                {
                    self.unchanged(candidate);
                }
                Found::Seen(candidate) => drop(self.read(candidate)),
                Found::Skipped(found) => {
                    if let Some(ticket) = self.ticket {
                        skip(ticket, self.shared, &found.name, &found.reason.to_string());
                    }
                }
            }
        }
        if let Some(ticket) = self.ticket {
            ticket.took("read", begun.elapsed());
        }
    }

    /// Counts something that is stored as it is.
    fn unchanged(&self, candidate: Candidate) {
        let item =
            std::str::from_utf8(&candidate.name).ok().and_then(|name| self.shared.item_called(name).ok().flatten());
        match (item, self.ticket) {
            (Some(item), Some(ticket)) => ticket.add(|indexed| {
                indexed.items += 1;
                indexed.chunks += u64::from(item.passages);
                for (class, count) in &item.meta.redactions {
                    *indexed.redactions.entry(class.clone()).or_default() += u64::from(*count);
                }
            }),
            _ => drop(self.read(candidate)),
        }
    }

    /// Hands one change on; says the reason's code when the thing is passed over.
    fn change(&self, change: Change) -> Option<&'static str> {
        let source = self.source.id();
        match change {
            Change::Seen(candidate) => self.read(candidate),
            Change::Renamed { from, to } => self.send(Work::Renamed { source, from, to }),
            Change::Gone { name, folder } => self.send(Work::Gone { source, name, folder }),
            // What was captured once and may not be any more goes.
            Change::Skipped(skip) if !skip.reason.is_passing() => {
                let code = skip.reason.code();
                self.send(Work::Gone { source, name: skip.name, folder: skip.folder });
                Some(code)
            }
            Change::Skipped(skip) => Some(skip.reason.code()),
            Change::Rescan { .. } => None,
        }
    }

    fn read(&self, candidate: Candidate) -> Option<&'static str> {
        // Nothing is read that could not be stored: the gate is asked again when it is.
        if let Err(refusal) = self.shared.gate().admit(now(), self.source.id(), &candidate.name, candidate.modified) {
            *lock(&self.shared.denied).entry(refusal.to_string()).or_default() += 1;
            if let Some(ticket) = self.ticket {
                skip(ticket, self.shared, &candidate.name, &refusal.to_string());
            }
            return Some("not-permitted");
        }
        match self.source.read(&candidate, &self.shared.settings.limits) {
            Ok(captured) => {
                let bytes = candidate.bytes;
                let read = Read {
                    source: self.source.id(),
                    name: candidate.name,
                    captured,
                    bytes,
                    external: None,
                    ticket: self.ticket.map(Arc::clone),
                };
                self.send(Work::Captured(Box::new(read)))
            }
            Err(why) => {
                if let Some(ticket) = self.ticket {
                    skip(ticket, self.shared, &candidate.name, &why.reason.to_string());
                }
                let code = why.reason.code();
                // It may have been captured before it became what it is now.
                if !why.reason.is_passing() {
                    self.send(Work::Gone { source: self.source.id(), name: candidate.name, folder: false });
                }
                Some(code)
            }
        }
    }

    fn send(&self, work: Work) -> Option<&'static str> {
        // The intake ends only after the sources; then the next start brings this again.
        let _ = self.queue.send(work);
        None
    }
}
