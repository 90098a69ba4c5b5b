//! Files in named folders: found by walking, read once, explained on demand.
//!
//! Links are not followed and nothing but a regular file is ever opened, however names are swapped meanwhile: each step of a
//! path is opened from the one before. A walk goes in the order of [`name_order`] and holds the names of
//! the folders it is in, no more.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use hearth_core::Moment;
use hearth_text::Raw;
use rustix::fs::{CWD, Mode, OFlags};
use sha2::{Digest, Sha256};

use super::{
    Candidate, Captured, Cursor, Fingerprint, Format, Found, Limits, Skip, SkipReason, Source, Watch, WatchError,
    Watching, display_name, format, lies_in, name_order, name_path, never, path_name,
    scope::{Folder, Scope},
    watch,
};

/// The source of files in named folders.
#[derive(Clone, Debug)]
pub struct Files {
    scope: Arc<Scope>,
}

/// What holds for all folders of a [`Files`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Capture hidden files and folders as others are. The never-list holds all the same.
    pub hidden: bool,
    /// Folders that belong to hearth, which is never captured: its data folder.
    pub own: Vec<PathBuf>,
}

/// Why a path is captured or not, from its folder down.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Explanation {
    /// The path that was asked about, readable.
    pub path: String,
    /// The named folder that holds it, readable.
    pub folder: Option<String>,
    /// The part of the path that was decided about: itself, or a folder above it.
    pub decided_at: String,
    /// What it would be captured as.
    pub format: Option<Format>,
    /// Why it is not captured; `None` when it is.
    pub reason: Option<SkipReason>,
    /// All of it in one sentence.
    pub sentence: String,
}

impl Files {
    /// Takes the folders (or single files) to capture. A link that is named stands for its target.
    ///
    /// A folder that is not there is no error: it may be on a disk that comes back, and its scan says so.
    pub fn new(roots: &[PathBuf], options: &Options) -> Self {
        Self { scope: Arc::new(Scope::new(roots, options.hidden, &options.own)) }
    }

    /// The folders that are captured, resolved.
    pub fn roots(&self) -> &[PathBuf] {
        &self.scope.roots
    }

    /// Says why a path is captured or not. It reads the file, as capturing it would.
    pub fn why(&self, path: &Path, limits: &Limits) -> Explanation {
        // The folder is resolved, the last name is not: a link is asked about as the link it is.
        let path = match (
            path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }),
            path.file_name(),
        ) {
            (Some(parent), Some(name)) if !self.scope.is_root(path) => {
                fs::canonicalize(parent).map_or_else(|_| path.to_owned(), |parent| parent.join(name))
            }
            _ => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        };
        let folder = self.scope.root_of(&path).map(|root| display_name(&path_name(root)));
        let (decided_at, outcome) = match self.decide(&path) {
            Err((at, reason)) => (at, Err(reason)),
            Ok(Entry::Folder) => (path.clone(), Ok(None)),
            Ok(Entry::File(candidate)) => match self.read(&candidate, limits) {
                Ok(captured) => (path.clone(), Ok(Some(captured.format))),
                Err(skip) => (path.clone(), Err(skip.reason)),
            },
        };
        let shown = display_name(&path_name(&path));
        let at = display_name(&path_name(&decided_at));
        let sentence = match &outcome {
            Ok(Some(format)) => format!("{shown} is captured as {}", format.name()),
            Ok(None) => format!("{shown} is a folder; what lies in it is captured unless it is left alone by itself"),
            Err(reason) if decided_at == path => format!("{shown} is not captured: {reason}"),
            Err(reason) => format!("{shown} is not captured because of {at}: {reason}"),
        };
        Explanation {
            path: shown,
            folder,
            decided_at: at,
            format: outcome.as_ref().ok().copied().flatten(),
            reason: outcome.err(),
            sentence,
        }
    }

    /// Decides about one path, from its named folder down, and says at which step.
    pub(crate) fn decide(&self, path: &Path) -> Result<Entry, (PathBuf, SkipReason)> {
        let entry = inspect(path);
        self.standing(path, matches!(entry, Ok(Entry::Folder)))?;
        entry.map_err(|reason| (path.to_owned(), reason))
    }

    /// Decides by name and kind alone, so that it can be asked of what is no longer there.
    pub(crate) fn standing(&self, path: &Path, is_dir: bool) -> Result<(), (PathBuf, SkipReason)> {
        let Some(root) = self.scope.root_of(path) else {
            let never = never::secret_above(path, is_dir);
            let reason = never.map_or(SkipReason::OutOfScope, |rule| SkipReason::NeverList { rule: rule.name.into() });
            return Err((path.to_owned(), reason));
        };
        if let Some(reason) = self.scope.refuses_root(root) {
            return Err((root.to_owned(), reason));
        }
        let mut here = root.to_owned();
        let mut folder: Option<Arc<Folder>> = None;
        for step in path.strip_prefix(root).expect("root_of returns a folder that holds the path").components() {
            // What was decided about so far is a folder on the way.
            if let Err(reason) =
                inspect(&here).and_then(|entry| if entry == Entry::Folder { Ok(()) } else { Err(SkipReason::Vanished) })
            {
                return Err((here, reason));
            }
            let above = folder.map_or_else(|| Folder::root(&here), |folder| folder.enter(&here));
            here.push(step);
            let is_dir = is_dir || here != path;
            if let Some(reason) = above.verdict(&self.scope, &here, is_dir) {
                return Err((here, reason));
            }
            folder = Some(above);
        }
        Ok(())
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Walks one folder of the scope (or one file), as a scan would.
    pub(crate) fn walk_below(&self, path: &Path) -> Walk {
        let mut walk = Walk {
            scope: Arc::clone(&self.scope),
            starts: Vec::new().into_iter(),
            stack: Vec::new(),
            after: None,
            pending: None,
            folders: Vec::new(),
            collect: true,
        };
        match self.decide(path) {
            Ok(Entry::Folder) => {
                let root = self.scope.root_of(path).expect("decide refuses what no folder holds");
                let mut folder = Folder::root(root);
                let mut here = root.to_owned();
                for step in path.strip_prefix(root).expect("root_of holds the path").components() {
                    here.push(step);
                    folder = folder.enter(&here);
                }
                walk.push(folder, false);
            }
            Ok(Entry::File(candidate)) => walk.pending = Some(Found::Seen(candidate)),
            Err(_) => {}
        }
        walk
    }
}

impl Source for Files {
    fn id(&self) -> &'static str {
        "files"
    }

    fn scan(&self, after: Option<&Cursor>) -> Box<dyn Iterator<Item = Found> + Send> {
        let scope = Arc::clone(&self.scope);
        let starts: Vec<PathBuf> = scope
            .roots
            .iter()
            .filter(|root| !scope.roots.iter().any(|other| other != *root && root.starts_with(other)))
            .cloned()
            .collect();
        Box::new(Walk {
            scope,
            starts: starts.into_iter(),
            stack: Vec::new(),
            after: after.map(|cursor| cursor.name().to_vec()),
            pending: None,
            folders: Vec::new(),
            collect: false,
        })
    }

    fn read(&self, what: &Candidate, limits: &Limits) -> Result<Captured, Skip> {
        self.read_then(what, limits, || {})
    }

    fn watch(&self, how: &Watching) -> Result<Watch, WatchError> {
        watch::files(self.clone(), how)
    }
}

impl Files {
    /// Reads, and calls `between` before it looks whether the file changed meanwhile.
    fn read_then(&self, what: &Candidate, limits: &Limits, mut between: impl FnMut()) -> Result<Captured, Skip> {
        let skip = |reason| Skip::new(&what.name, reason);
        let path = name_path(&what.name);
        let goes_up = path.components().any(|step| step == Component::ParentDir);
        let Some(root) = self.scope.root_of(&path).filter(|_| !goes_up) else {
            return Err(skip(SkipReason::OutOfScope));
        };
        if let Some(rule) = never::secret_above(&path, false) {
            return Err(skip(SkipReason::NeverList { rule: rule.name.into() }));
        }
        let (bytes, version) = (0..READ_TRIES)
            .find_map(|_| {
                let read = open_beneath(root, &path).and_then(|(file, before)| {
                    let bytes = read_limited(&file, before.size, limits)?;
                    between();
                    let after = file.metadata().map_err(|error| unreadable(&error))?;
                    if fingerprint(&after) == before { Ok((bytes, before)) } else { Err(SkipReason::Changing) }
                });
                (!matches!(read, Err(SkipReason::Changing))).then_some(read)
            })
            .unwrap_or(Err(SkipReason::Changing))
            .map_err(skip)?;
        let content_hash = Sha256::digest(&bytes).into();
        if never::holds_private_key(&bytes) {
            return Err(skip(SkipReason::NeverList { rule: never::PRIVATE_KEY.into() }));
        }
        let told = format::extract(&path, bytes).map_err(skip)?;
        Ok(Captured {
            format: told.format,
            title: told.title.map(Raw::new),
            text: Raw::new(told.text),
            modified: moment(version.mtime_ns),
            content_hash,
            fingerprint: version,
        })
    }
}

/// How often a file that changes under the reading is read anew before it is put off: a log is seldom written to every time.
const READ_TRIES: usize = 3;

/// What a path is, if it is something that may be captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Folder,
    File(Candidate),
}

/// Looks at a path without opening it.
pub(crate) fn inspect(path: &Path) -> Result<Entry, SkipReason> {
    let meta = fs::symlink_metadata(path).map_err(|error| unreadable(&error))?;
    if meta.is_dir() {
        return Ok(Entry::Folder);
    }
    kind_of(meta.file_type())?;
    Ok(Entry::File(Candidate {
        name: path_name(path),
        path: Some(path.to_owned()),
        modified: moment(fingerprint(&meta).mtime_ns),
        bytes: meta.len(),
        fingerprint: fingerprint(&meta),
    }))
}

fn kind_of(kind: fs::FileType) -> Result<(), SkipReason> {
    let kind = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_symlink() => return Err(SkipReason::Symlink),
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () if kind.is_dir() => "a folder",
        () => "something else",
    };
    Err(SkipReason::NotARegularFile { kind: kind.into() })
}

fn fingerprint(meta: &fs::Metadata) -> Fingerprint {
    let ns = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Fingerprint {
        dev: meta.dev(),
        inode: meta.ino(),
        size: meta.len(),
        mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
    }
}

fn moment(ns: i64) -> Moment {
    Moment::from_millis(u64::try_from(ns / 1_000_000).unwrap_or(0)) // before 1970 is as old as can be said
}

fn unreadable(error: &io::Error) -> SkipReason {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SkipReason::Vanished,
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => SkipReason::Symlink,
        _ => SkipReason::Unreadable { error: error.to_string() },
    }
}

/// Opens a regular file by its path, following no link in its last step and waiting for nobody.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Fingerprint), SkipReason> {
    kind_of(fs::symlink_metadata(path).map_err(|error| unreadable(&error))?.file_type())?;
    open_at(CWD, path)
}

/// Opens a regular file below a folder; each step is opened from the one before, and none may be a link.
fn open_beneath(root: &Path, path: &Path) -> Result<(File, Fingerprint), SkipReason> {
    let below = path.strip_prefix(root).map_err(|_| SkipReason::OutOfScope)?;
    let Some(name) = below.file_name() else { return open_regular(path) };
    let step = |at: &rustix::fd::OwnedFd, name: &Path| {
        rustix::fs::openat(
            at,
            name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    let mut at = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| unreadable(&error.into()))?;
    let mut here = root.to_owned();
    for part in below.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else { return Err(SkipReason::OutOfScope) };
        here.push(part);
        at = step(&at, Path::new(part))
            .map_err(|error| inspect(&here).err().unwrap_or_else(|| unreadable(&error.into())))?;
    }
    // Opening a device may do something, so its kind is asked first; that it is still the same is asked again after.
    let stat = rustix::fs::statat(&at, Path::new(name), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| unreadable(&error.into()))?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => open_at(at, Path::new(name)),
        _ => Err(inspect(path).err().unwrap_or(SkipReason::Vanished)),
    }
}

fn open_at(at: impl rustix::fd::AsFd, name: &Path) -> Result<(File, Fingerprint), SkipReason> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file: File =
        rustix::fs::openat(at, name, flags, Mode::empty()).map_err(|error| unreadable(&error.into()))?.into();
    let meta = file.metadata().map_err(|error| unreadable(&error))?;
    kind_of(meta.file_type())?;
    Ok((file, fingerprint(&meta)))
}

/// Reads a file to its end, but no more than the limit, and not on from a beginning that is no text.
pub(crate) fn read_limited(file: &File, size: u64, limits: &Limits) -> Result<Vec<u8>, SkipReason> {
    const PIECE: u64 = 256 << 10;
    if size > limits.bytes {
        return Err(SkipReason::TooLarge { bytes: size, limit: limits.bytes });
    }
    let started = Instant::now();
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    loop {
        let read = file.take(PIECE).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > limits.bytes {
            return Err(SkipReason::TooLarge { bytes: bytes.len() as u64, limit: limits.bytes });
        }
        if read == 0 {
            break;
        }
        if started.elapsed() >= limits.time {
            return Err(SkipReason::TimedOut { limit_ms: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX) });
        }
        if let Some(what) = format::binary(&bytes) {
            return Err(SkipReason::Binary { what: what.into() });
        }
    }
    if bytes.is_empty() { Err(SkipReason::Empty) } else { Ok(bytes) }
}

/// A walk in progress: one frame for each folder it is in.
pub(crate) struct Walk {
    scope: Arc<Scope>,
    starts: std::vec::IntoIter<PathBuf>,
    stack: Vec<Frame>,
    after: Option<Vec<u8>>,
    pending: Option<Found>,
    /// Collects the folders that were entered, for those who watch them.
    pub(crate) folders: Vec<PathBuf>,
    collect: bool,
}

struct Frame {
    folder: Arc<Folder>,
    id: (u64, u64),
    /// Nothing here is captured; it is on the way to a named folder.
    through: bool,
    entries: std::vec::IntoIter<OsString>,
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.pending.take() {
                if self.is_new(found.name()) {
                    return Some(found);
                }
                continue;
            }
            let Some(frame) = self.stack.last_mut() else {
                let root = self.starts.next()?;
                self.pending = self.start(&root);
                continue;
            };
            let Some(name) = frame.entries.next() else {
                self.stack.pop();
                continue;
            };
            let (folder, through) = (Arc::clone(&frame.folder), frame.through);
            let path = folder.path.join(name);
            if self.is_done(&path) {
                continue;
            }
            self.pending = self.visit(&folder, &path, through);
        }
    }
}

impl Walk {
    fn start(&mut self, root: &Path) -> Option<Found> {
        if let Some(reason) = self.scope.refuses_root(root) {
            return Some(Found::Skipped(Skip::of_folder(&path_name(root), reason)));
        }
        match inspect(root) {
            Ok(Entry::File(candidate)) => Some(Found::Seen(candidate)),
            Ok(Entry::Folder) => self.push(Folder::root(root), false),
            Err(reason) => Some(Found::Skipped(Skip::of_folder(&path_name(root), reason))),
        }
    }

    fn visit(&mut self, folder: &Arc<Folder>, path: &Path, through: bool) -> Option<Found> {
        if self.scope.is_root(path) {
            return self.start(path);
        }
        let name = path_name(path);
        let entry = inspect(path);
        let is_dir = matches!(entry, Ok(Entry::Folder));
        let reason = if through { Some(SkipReason::OutOfScope) } else { folder.verdict(&self.scope, path, is_dir) };
        match (reason, entry) {
            (Some(_), Ok(Entry::Folder)) if self.scope.leads_to_root(path) => self.push(folder.enter(path), true),
            (Some(SkipReason::OutOfScope), _) => None,
            (Some(reason), entry) => {
                Some(Found::Skipped(Skip { name, reason, folder: matches!(entry, Ok(Entry::Folder)) }))
            }
            (None, Ok(Entry::Folder)) => self.push(folder.enter(path), false),
            (None, Ok(Entry::File(candidate))) => Some(Found::Seen(candidate)),
            (None, Err(reason)) => Some(Found::Skipped(Skip::new(&name, reason))),
        }
    }

    /// Goes into a folder, unless it cannot be read or the walk is in it already.
    fn push(&mut self, folder: Arc<Folder>, through: bool) -> Option<Found> {
        let name = path_name(&folder.path);
        let skip = |reason| Some(Found::Skipped(Skip::of_folder(&name, reason)));
        let listed = fs::metadata(&folder.path).and_then(|meta| {
            let names: io::Result<Vec<OsString>> =
                fs::read_dir(&folder.path)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
            Ok(((meta.dev(), meta.ino()), names?))
        });
        let (id, mut names) = match listed {
            Ok(listed) => listed,
            Err(error) => return skip(unreadable(&error)),
        };
        if self.stack.iter().any(|frame| frame.id == id) {
            return skip(SkipReason::Loop);
        }
        names.sort_unstable();
        if self.collect && !through {
            self.folders.push(folder.path.clone());
        }
        self.stack.push(Frame { folder, id, through, entries: names.into_iter() });
        None
    }

    /// Tells whether a path and all below it came before the place where the walk takes up.
    fn is_done(&self, path: &Path) -> bool {
        let name = path_name(path);
        !self.is_new(&name) && !self.after.as_ref().is_some_and(|after| lies_in(after, &name) || *after == name)
            || self.after.as_ref().is_some_and(|after| *after == name) && !path.is_dir()
    }

    fn is_new(&self, name: &[u8]) -> bool {
        self.after.as_ref().is_none_or(|after| name_order(name, after).is_gt())
    }
}

#[cfg(test)]
mod tests;
