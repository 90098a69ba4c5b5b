//! Changes as they happen: what the system notifies, settled, judged and handed on through a channel with a capacity.
//!
//! Notifications gather in an inbox that holds each path once; when it is full, or the system dropped some, the answer is one
//! [`Change::Rescan`] instead of memory. It reads no content, and what it cannot watch it says.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use hearth_core::Moment;
use notify::{
    ErrorKind, Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use serde::{Deserialize, Serialize};

use super::{
    Candidate, Change, Files, Found, Settle, Skip, SkipReason,
    files::{Entry, inspect},
    path_name,
};

/// How a source is watched.
#[derive(Clone, Debug)]
pub struct Watching {
    /// How long a file must be quiet before it is read.
    pub calm: Duration,
    /// The same for a big file.
    pub calm_big: Duration,
    /// From how many bytes on a file is big.
    pub big: u64,
    /// How long a file that never rests waits at most.
    pub patience: Duration,
    /// How many changes wait for the consumer before the source waits for it.
    pub capacity: usize,
    /// How many paths are remembered between two looks; more make a rescan.
    pub most: usize,
    /// How many folders are watched at most. The system has a limit of its own (`fs.inotify.max_user_watches`).
    pub most_folders: usize,
    /// How often everything is scanned when not every folder can be watched.
    pub rescan_every: Duration,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            calm: Duration::from_secs(2),
            calm_big: Duration::from_secs(30),
            big: 8 << 20,
            patience: Duration::from_secs(120),
            capacity: 256,
            most: 65_536,
            most_folders: usize::MAX,
            rescan_every: Duration::from_secs(600),
        }
    }
}

/// Why everything should be scanned again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum RescanReason {
    /// More happened than was remembered.
    #[error("more files changed at once than could be told one by one")]
    Overflow,
    /// Not every folder can be watched, and it is time to look again.
    #[error(
        "only {watched} folders can be watched, so all are scanned every {every_s} s; raise fs.inotify.max_user_watches to have changes found at once"
    )]
    Unwatched {
        /// How many folders are watched.
        watched: usize,
        /// How often a scan is asked for.
        every_s: u64,
    },
    /// A folder went away and another of the same name came.
    #[error("{folder} was replaced by another folder")]
    Replaced {
        /// The folder, readable.
        folder: String,
    },
    /// An ignore file changed, and with it what is captured.
    #[error("{file} changed, and with it what is captured")]
    Rules {
        /// The file, readable.
        file: String,
    },
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The system gave no watcher.
    #[error(
        "the system cannot watch files now; is fs.inotify.max_user_instances used up by other programs? Scans find changes all the same"
    )]
    Unavailable(#[source] notify::Error),
    /// The system gave no thread.
    #[error("no thread could be started to watch files; close some programs")]
    Thread(#[source] std::io::Error),
}

/// A watch that runs until it is dropped.
#[derive(Debug)]
pub struct Watch {
    changes: Option<Receiver<Change>>,
    inbox: Arc<Inbox>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    /// Waits for the next change. `Disconnected` when the watch broke down: scan, and watch again.
    pub fn recv_timeout(&self, wait: Duration) -> Result<Change, RecvTimeoutError> {
        self.changes().recv_timeout(wait)
    }

    /// Takes the next change if there is one.
    pub fn try_recv(&self) -> Option<Change> {
        self.changes().try_recv().ok()
    }

    /// Watches all folders anew, as after a disk was mounted. It tells nothing by itself: scan after it.
    pub fn refresh(&self) {
        self.inbox.refresh();
    }

    fn changes(&self) -> &Receiver<Change> {
        self.changes.as_ref().expect("the receiver is taken only when the watch is dropped")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.changes.take()); // whoever waits to send stops waiting
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // if it panicked, that was told where it happened
        }
    }
}

/// What is watched, and how its changes are judged.
pub(crate) trait Ward: Send + 'static {
    /// The folders to watch from the beginning.
    fn folders(&self) -> Vec<PathBuf>;
    /// Tells whether a path would be captured, by name and kind alone.
    fn admits(&self, path: &Path, is_dir: bool) -> bool;
    /// Tells whether a file says what is captured.
    fn is_rule(&self, path: &Path) -> bool;
    /// Calls `each` for what lies below a folder until it says no; returns the folders to watch.
    fn below(&self, folder: &Path, each: &mut dyn FnMut(Candidate) -> bool) -> Vec<PathBuf>;
    /// Says what became of a path that is quiet now.
    fn settled(&mut self, path: &Path) -> Vec<Change>;
}

/// Watches files in folders.
pub(crate) fn files(files: Files, how: &Watching) -> Result<Watch, WatchError> {
    start(files, how)
}

/// Starts the thread that watches.
pub(crate) fn start(ward: impl Ward, how: &Watching) -> Result<Watch, WatchError> {
    let inbox = Arc::new(Inbox::new(how.most));
    let ear = Arc::clone(&inbox);
    let config = notify::Config::default().with_follow_symlinks(false);
    let watcher =
        notify::RecommendedWatcher::new(move |event| ear.hear(event), config).map_err(WatchError::Unavailable)?;
    let (tell, changes) = sync_channel(how.capacity);
    let settle = Settle::new(how.calm, how.calm_big, how.big, how.patience, how.most);
    let mut keeper = Keeper {
        ward,
        watcher,
        settle,
        tell,
        inbox: Arc::clone(&inbox),
        watched: BTreeSet::new(),
        gone: BTreeMap::new(),
        unread: None,
        limited: None,
        started: Instant::now(),
        how: how.clone(),
    };
    keeper.watch_all(); // before this returns, so that a scan after it misses nothing
    let thread = thread::Builder::new()
        .name("hearth-watch".into())
        .spawn(move || drop(keeper.run()))
        .map_err(WatchError::Thread)?;
    Ok(Watch { changes: Some(changes), inbox, thread: Some(thread) })
}

/// What was notified and not yet looked at: each path once, at most so many.
#[derive(Debug)]
struct Inbox {
    most: usize,
    state: Mutex<Letters>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Letters {
    notes: Vec<Note>,
    touched: HashSet<PathBuf>,
    /// The last thing that left its name; if it turns up elsewhere, both names come together in another event.
    left: Option<usize>,
    overflow: bool,
    refresh: bool,
    closed: bool,
}

#[derive(Debug)]
enum Note {
    Touched(PathBuf),
    /// It has another name now, perhaps out of sight.
    Left(PathBuf),
    Renamed(PathBuf, PathBuf),
}

impl Inbox {
    fn new(most: usize) -> Self {
        Self { most, state: Mutex::default(), arrived: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, Letters> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Takes in what the system notifies. It never waits, or notifications would be lost elsewhere.
    fn hear(&self, event: notify::Result<Event>) {
        let mut state = self.state();
        let Ok(event) = event else {
            state.overflow = true;
            self.arrived.notify_one();
            return;
        };
        let notes: Vec<Note> = match event.kind {
            _ if event.need_rescan() => {
                state.overflow = true;
                Vec::new()
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                event.paths.into_iter().map(Note::Touched).collect()
            }
            EventKind::Access(_) => return, // our own reading is heard too
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                state.left = event.tracker();
                event.paths.into_iter().map(Note::Left).collect()
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To))
                if event.tracker().is_some() && event.tracker() == state.left =>
            {
                return;
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
                let mut paths = event.paths.into_iter();
                match (paths.next(), paths.next()) {
                    (Some(from), Some(to)) => vec![Note::Renamed(from, to)],
                    _ => Vec::new(),
                }
            }
            _ => event.paths.into_iter().map(Note::Touched).collect(),
        };
        for note in notes {
            match &note {
                Note::Touched(path) if !state.touched.insert(path.clone()) => continue,
                Note::Touched(_) => {}
                Note::Left(path) => drop(state.touched.remove(path)),
                // What happens to these names from here on is about other files.
                Note::Renamed(from, to) => {
                    state.touched.remove(from);
                    state.touched.remove(to);
                }
            }
            state.notes.push(note);
        }
        if state.notes.len() > self.most {
            state.notes = Vec::new();
            state.touched = HashSet::new();
            state.overflow = true;
        }
        self.arrived.notify_one();
    }

    fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
    }

    fn refresh(&self) {
        self.state().refresh = true;
        self.arrived.notify_one();
    }

    /// Waits for something, but no longer than this. `None` when the watch ends.
    fn take(&self, wait: Duration) -> Option<Letters> {
        let state = self.state();
        let quiet = |state: &mut Letters| state.notes.is_empty() && !state.overflow && !state.refresh && !state.closed;
        let (mut state, _) =
            self.arrived.wait_timeout_while(state, wait, quiet).expect("nothing panics while it holds this lock");
        let left = state.left;
        (!state.closed).then(|| std::mem::replace(&mut *state, Letters { left, ..Letters::default() }))
    }
}

/// The thread's state.
struct Keeper<W> {
    ward: W,
    watcher: notify::RecommendedWatcher,
    settle: Settle,
    tell: SyncSender<Change>,
    inbox: Arc<Inbox>,
    watched: BTreeSet<PathBuf>,
    /// What went away and is told later, so that where it went, if it was only moved, is told first.
    gone: BTreeMap<Vec<u8>, (Moment, bool)>,
    /// What left its name last, if it had changed and was not read under that name.
    unread: Option<PathBuf>,
    /// Not every folder is watched; the next scan is due then.
    limited: Option<Moment>,
    started: Instant,
    how: Watching,
}

/// Nobody listens any more.
struct Unheard;

/// How long it takes at least until something is told to be gone. A file that is moved into a new folder shows up there first.
const GONE_AFTER: Duration = Duration::from_secs(1);

impl<W: Ward> Keeper<W> {
    fn run(mut self) -> Result<(), Unheard> {
        loop {
            let now = self.now();
            if self.limited.is_some_and(|due| due <= now) {
                self.limited = Some(now + self.how.rescan_every);
                self.watch_all();
                self.tell(Change::Rescan {
                    why: RescanReason::Unwatched {
                        watched: self.watched.len(),
                        every_s: self.how.rescan_every.as_secs(),
                    },
                })?;
            }
            while let Some(path) = self.settle.poll(now) {
                for change in self.ward.settled(&path) {
                    self.tell(change)?;
                }
            }
            let due: Vec<Vec<u8>> =
                self.gone.iter().filter(|(_, (due, _))| *due <= now).map(|(name, _)| name.clone()).collect();
            for name in due {
                let folder = self.gone.remove(&name).is_some_and(|(_, folder)| folder);
                match (inspect(&super::name_path(&name)), folder) {
                    // Something else has its name by now; of a folder, nobody can say what of it is new.
                    (Ok(_), true) => self
                        .send(Change::Rescan { why: RescanReason::Replaced { folder: super::display_name(&name) } })?,
                    (Ok(_), false) => {}
                    (Err(_), _) => self.send(Change::Gone { name, folder })?,
                }
            }
            let wake = [self.settle.poll_timeout(), self.gone.values().map(|(due, _)| *due).min(), self.limited]
                .into_iter()
                .flatten()
                .min();
            let wait = wake.map_or(Duration::from_secs(3600), |wake| wake.since(self.now()));
            let Some(letters) = self.inbox.take(wait) else { return Ok(()) };
            for note in letters.notes {
                match note {
                    Note::Touched(path) => self.touched(&path)?,
                    Note::Left(path) => self.left(&path)?,
                    Note::Renamed(from, to) => self.renamed(&from, &to)?,
                }
            }
            if letters.refresh {
                self.watched.clear();
                self.watch_all();
            }
            if letters.overflow {
                self.overflow()?;
            }
        }
    }

    /// Tells a change, but holds back for a while that something is gone.
    fn tell(&mut self, change: Change) -> Result<(), Unheard> {
        match change {
            Change::Gone { name, folder } => {
                let folder = folder || self.gone.get(&name).is_some_and(|(_, folder)| *folder);
                self.gone.insert(name, (self.now() + self.how.calm.max(GONE_AFTER), folder));
                if self.gone.len() > self.how.most { self.overflow() } else { Ok(()) }
            }
            Change::Seen(ref candidate) | Change::Renamed { to: ref candidate, .. } => {
                self.gone.remove(&candidate.name);
                self.send(change)
            }
            Change::Skipped(_) | Change::Rescan { .. } => self.send(change),
        }
    }

    fn send(&self, change: Change) -> Result<(), Unheard> {
        self.tell.send(change).map_err(|_| Unheard)
    }

    /// The time since the watch began, which nobody sets back.
    fn now(&self) -> Moment {
        Moment::START + self.started.elapsed()
    }

    fn overflow(&mut self) -> Result<(), Unheard> {
        self.settle.clear();
        self.gone.clear();
        self.watch_all();
        self.send(Change::Rescan { why: RescanReason::Overflow })
    }

    fn touched(&mut self, path: &Path) -> Result<(), Unheard> {
        if self.ward.is_rule(path) {
            self.watch_all();
            return self
                .tell(Change::Rescan { why: RescanReason::Rules { file: super::display_name(&path_name(path)) } });
        }
        match inspect(path) {
            Ok(Entry::Folder) if self.watched.contains(path) => Ok(()),
            Ok(Entry::Folder) if self.ward.admits(path, true) => self.take_in(path),
            Ok(Entry::Folder) => Ok(()),
            Ok(Entry::File(candidate)) => self.touch(path, candidate.bytes),
            Err(_) if self.watched.contains(path) => self.left(path),
            Err(_) => self.touch(path, 0),
        }
    }

    /// Something lost its name, for another one or for good.
    fn left(&mut self, path: &Path) -> Result<(), Unheard> {
        let folder = self.watched.contains(path);
        if self.ward.is_rule(path) {
            return self.touched(path);
        }
        if folder {
            self.unwatch(path);
        }
        let waited = !self.settle.forget(path).is_empty();
        let known = folder || self.ward.admits(path, false);
        // What was not read under this name yet is not what is known under it: it will be new wherever it went.
        self.unread = (waited && !folder).then(|| path.to_owned());
        if known { self.tell(Change::Gone { name: path_name(path), folder }) } else { Ok(()) }
    }

    fn touch(&mut self, path: &Path, bytes: u64) -> Result<(), Unheard> {
        let now = self.now();
        match self.settle.touch(now, path, bytes) {
            Ok(()) => Ok(()),
            Err(_) => self.overflow(),
        }
    }

    /// A folder appeared: watch it, and look at what came with it.
    fn take_in(&mut self, folder: &Path) -> Result<(), Unheard> {
        // The folders are watched first, so that no file slips in between; what is in them by then is walked after.
        let folders = self.ward.below(folder, &mut |_| true);
        self.watch(folders);
        let now = self.now();
        let mut full = false;
        let settle = &mut self.settle;
        let folders = self.ward.below(folder, &mut |candidate| {
            full = candidate.path.is_some_and(|path| settle.touch(now, &path, candidate.bytes).is_err());
            !full
        });
        self.watch(folders);
        if full { self.overflow() } else { Ok(()) }
    }

    fn renamed(&mut self, from: &Path, to: &Path) -> Result<(), Unheard> {
        if self.ward.is_rule(from) || self.ward.is_rule(to) {
            return self.touched(to);
        }
        let held = self.gone.remove(&path_name(from));
        let was_folder = held.is_some_and(|(_, folder)| folder);
        let unread = self.unread.take().is_some_and(|unread| unread == from);
        let entry = inspect(to);
        let is_folder = matches!(entry, Ok(Entry::Folder));
        let (was_in, is_in) = (was_folder || self.ward.admits(from, is_folder), self.ward.admits(to, is_folder));
        match entry {
            Ok(Entry::File(candidate)) if was_in && is_in && !unread => {
                self.settle.forget(to);
                self.tell(Change::Renamed { from: path_name(from), to: candidate })
            }
            Ok(Entry::Folder) if was_in && is_in => {
                let folders = self.ward.below(to, &mut |_| true);
                self.watch(folders);
                let (tell, mut unheard) = (&self.tell, false);
                let folders = self.ward.below(to, &mut |candidate| {
                    let Some(rest) = candidate.path.as_deref().and_then(|path| path.strip_prefix(to).ok()) else {
                        return true;
                    };
                    unheard = tell.send(Change::Renamed { from: path_name(&from.join(rest)), to: candidate }).is_err();
                    !unheard
                });
                self.watch(folders);
                if unheard { Err(Unheard) } else { self.tell(Change::Gone { name: path_name(from), folder: true }) }
            }
            _ => {
                if was_in || was_folder {
                    self.tell(Change::Gone { name: path_name(from), folder: was_folder || is_folder })?;
                }
                if is_in { self.touched(to) } else { Ok(()) }
            }
        }
    }

    fn watch_all(&mut self) {
        let folders = self.ward.folders();
        self.watch(folders);
    }

    fn watch(&mut self, folders: Vec<PathBuf>) {
        for folder in folders {
            if self.watched.contains(&folder) {
                continue;
            }
            let full = self.watched.len() >= self.how.most_folders
                || match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                    Ok(()) => {
                        self.watched.insert(folder);
                        false
                    }
                    // It went away meanwhile; what was in it is told by the folder above.
                    Err(error) => matches!(error.kind, ErrorKind::MaxFilesWatch),
                };
            if full {
                let now = self.now();
                self.limited.get_or_insert(now); // say so at once
                return;
            }
        }
    }

    fn unwatch(&mut self, folder: &Path) {
        let gone: Vec<PathBuf> = self.watched.iter().filter(|watched| watched.starts_with(folder)).cloned().collect();
        for folder in gone {
            self.watched.remove(&folder);
            drop(self.watcher.unwatch(&folder)); // fails when the system did it already
        }
    }
}

impl Ward for Files {
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for root in self.roots() {
            match inspect(root) {
                Ok(Entry::Folder) => folders.extend(self.below(root, &mut |_| true)),
                // A single file is watched through its folder: programs save by putting another file in its place.
                _ => folders.extend(root.parent().map(Path::to_owned)),
            }
        }
        folders
    }

    fn admits(&self, path: &Path, is_dir: bool) -> bool {
        self.standing(path, is_dir).is_ok()
    }

    fn is_rule(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == ".hearthignore" || name == ".ignore" || name == ".gitignore")
            && path.parent().is_some_and(|folder| self.scope().root_of(folder).is_some())
    }

    fn below(&self, folder: &Path, each: &mut dyn FnMut(Candidate) -> bool) -> Vec<PathBuf> {
        let mut walk = self.walk_below(folder);
        for found in walk.by_ref() {
            if let Found::Seen(candidate) = found
                && !each(candidate)
            {
                break;
            }
        }
        walk.folders
    }

    fn settled(&mut self, path: &Path) -> Vec<Change> {
        match self.decide(path) {
            Ok(Entry::File(candidate)) => vec![Change::Seen(candidate)],
            Ok(Entry::Folder) => Vec::new(),
            Err((at, SkipReason::Vanished)) if self.admits(path, false) => {
                vec![Change::Gone { name: path_name(&at), folder: at != path }]
            }
            // What is ignored is not worth a word each time it changes.
            Err((
                _,
                SkipReason::Ignored { .. }
                | SkipReason::Hidden
                | SkipReason::NeverList { .. }
                | SkipReason::OutOfScope
                | SkipReason::Vanished,
            )) => Vec::new(),
            Err((_, reason)) => vec![Change::Skipped(Skip::new(&path_name(path), reason))],
        }
    }
}

#[cfg(test)]
mod tests;
