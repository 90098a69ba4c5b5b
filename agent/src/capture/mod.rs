//! What lies on this device, found and read: files and shell history, each behind the same [`Source`] contract.
//!
//! A source says what there is ([`Source::scan`]), hands one thing on at a time ([`Source::read`]) and tells what changed
//! ([`Source::watch`]); whatever it leaves alone, it leaves with a [`SkipReason`]. Text leaves as [`Raw`] and in no other
//! form. Nothing here redacts, stores, embeds, asks a session or opens a socket: that is for the caller.
#![forbid(unsafe_code)]

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use hearth_core::Moment;
use hearth_text::Raw;
use serde::{Deserialize, Serialize};

pub mod conformance;
#[cfg(test)]
mod docs;
pub mod files;
pub mod format;
pub mod history;
mod html;
mod markdown;
pub mod never;
pub mod propose;
pub mod reconcile;
mod scope;
pub mod settle;
pub mod watch;

pub use files::{Explanation, Files, Options};
pub use format::{Format, FormatRow, formats};
pub use history::{History, Shell};
pub use propose::{ProposedFolder, propose};
pub use reconcile::{Known, Reconcile};
pub use settle::Settle;
pub use watch::{RescanReason, Watch, WatchError, Watching};

/// Something whose text can be captured. Every source must pass [`conformance::check`].///
/// A scan is pulled, one thing at a time, and a watch is a channel with a capacity: a slow consumer slows the source down.
pub trait Source: Send + Sync {
    /// The name under which items of this source are filed, such as `files`. It never changes.
    fn id(&self) -> &'static str;

    /// Everything there is now, in the order of [`name_order`]; with a cursor, only what comes after it.
    ///
    /// The iterator owns what it needs and may be moved to another thread. Its end is the end of the scan.
    fn scan(&self, after: Option<&Cursor>) -> Box<dyn Iterator<Item = Found> + Send>;

    /// Reads one thing. The fingerprint it returns belongs to the very bytes that were read.
    fn read(&self, what: &Candidate, limits: &Limits) -> Result<Captured, Skip>;

    /// Starts telling what changes from here on. It tells nothing of what was there before: scan after this returns.
    fn watch(&self, how: &Watching) -> Result<Watch, WatchError>;
}

/// Something that can be captured, as its source knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its stable name: the bytes of an absolute path, or the id of a history batch. Not always UTF-8.
    pub name: Vec<u8>,
    /// The file that it is or lies in.
    pub path: Option<PathBuf>,
    /// When it last changed.
    pub modified: Moment,
    /// How large it is, before it is read.
    pub bytes: u64,
    /// What tells this version of it from another without reading it.
    pub fingerprint: Fingerprint,
}

/// What tells one version of a thing from another without reading it.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, minicbor::Encode, minicbor::Decode,
)]
pub struct Fingerprint {
    /// The file system it lies on.
    #[n(0)]
    pub dev: u64,
    /// Its number there; for what is not a file, a digest of its content.
    #[n(1)]
    pub inode: u64,
    /// Its size in bytes.
    #[n(2)]
    pub size: u64,
    /// When its content last changed, in nanoseconds since the Unix epoch.
    #[n(3)]
    pub mtime_ns: i64,
    /// When anything about it last changed, its name included, in nanoseconds since the Unix epoch.
    #[n(4)]
    pub ctime_ns: i64,
}

impl Fingerprint {
    /// Tells whether both are the same content of the same thing, even if it was renamed between them.
    pub fn same_content(&self, other: &Self) -> bool {
        Self { ctime_ns: 0, ..*self } == Self { ctime_ns: 0, ..*other }
    }
}

/// One step of a scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Something that may be read.
    Seen(Candidate),
    /// Something that is left alone, and why.
    Skipped(Skip),
}

impl Found {
    /// The name of what was found.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Seen(candidate) => &candidate.name,
            Self::Skipped(skip) => &skip.name,
        }
    }
}

/// Where a scan got to: it may be taken up after this name, by this or a later process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, minicbor::Encode, minicbor::Decode)]
pub struct Cursor(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);

impl Cursor {
    /// The place right after what was found.
    pub fn after(found: &Found) -> Self {
        Self(found.name().to_vec())
    }

    /// The last name before this place.
    pub fn name(&self) -> &[u8] {
        &self.0
    }
}

/// Compares names the way scans go through them: folder by folder, bytes within.
pub fn name_order(a: &[u8], b: &[u8]) -> Ordering {
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Tells whether `name` lies in the folder `folder`, at any depth.
pub fn lies_in(name: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    name.len() > folder.len() && name.starts_with(folder) && name[folder.len()] == b'/'
}

/// A name as a person may read it on one line: what is not UTF-8 becomes `�`, a control character its escape.
pub fn display_name(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for c in String::from_utf8_lossy(name).chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What is new since the last look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is new, or its content changed; it has settled and may be read.
    Seen(Candidate),
    /// It is no longer there. Told a little later than other changes, so that what was only moved is told at its new place
    /// first, and what is known of its content still serves.
    Gone {
        /// What it was called.
        name: Vec<u8>,
        /// It was a folder: everything in it is gone too (see [`lies_in`]).
        folder: bool,
    },
    /// It has another name now. If `from` is unknown, or was known with other content than
    /// [`Fingerprint::same_content`] allows, this is a [`Change::Seen`] of `to` and a [`Change::Gone`] of `from`.
    Renamed {
        /// What it was called.
        from: Vec<u8>,
        /// What it is now; it takes the place of whatever had that name.
        to: Candidate,
    },
    /// It was new or changed, and is left alone.
    Skipped(Skip),
    /// Changes may have been missed: scan again.
    Rescan {
        /// What happened.
        why: RescanReason,
    },
}

/// How much is read of one thing at most, and how long that may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest size that is read.
    pub bytes: u64,
    /// The longest that reading one thing may take. It is looked at between two pieces of 256 KiB.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 50 << 20, time: Duration::from_secs(60) }
    }
}

/// One thing, read. There is text in it only as [`Raw`].
#[derive(Debug)]
pub struct Captured {
    /// What it is.
    pub format: Format,
    /// What it is called, if it says so or its name does.
    pub title: Option<Raw>,
    /// Its text: UTF-8, line feeds, no control characters but tabs. If [`Format::has_headings`], `#` lines are headings.
    pub text: Raw,
    /// When it last changed.
    pub modified: Moment,
    /// The SHA-256 of the bytes as they were read.
    pub content_hash: [u8; 32],
    /// The version that these bytes are.
    pub fingerprint: Fingerprint,
}

/// Something that is left alone, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// Its name.
    pub name: Vec<u8>,
    /// Why.
    pub reason: SkipReason,
    /// It is a folder: whatever lies in it was not looked at.
    pub folder: bool,
}

impl Skip {
    fn new(name: &[u8], reason: SkipReason) -> Self {
        Self { name: name.to_vec(), reason, folder: false }
    }

    fn of_folder(name: &[u8], reason: SkipReason) -> Self {
        Self { name: name.to_vec(), reason, folder: true }
    }
}

/// Why something is left alone. `Display` is a sentence for people, [`SkipReason::code`] a word for programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum SkipReason {
    /// No named folder holds it.
    #[error("it lies in no folder that is captured; name its folder to capture it")]
    OutOfScope,
    /// An ignore file names it.
    #[error("it is ignored by {by}; remove that line, or re-include it with a `!` line in a .hearthignore")]
    Ignored {
        /// The pattern and its file.
        by: String,
    },
    /// The built-in list of what is never captured names it.
    #[error("it is never captured: {}", never::sentence(.rule))]
    NeverList {
        /// The rule's name, see [`never::rules`].
        rule: Cow<'static, str>,
    },
    /// Its name begins with a dot.
    #[error(
        "it is hidden (its name begins with a dot); name it as a folder of its own, or re-include it with a `!` line in a .hearthignore"
    )]
    Hidden,
    /// It is larger than the limit.
    #[error("it has {bytes} bytes, more than the limit of {limit}; raise the limit to capture it")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It holds no text, or none that can be read yet.
    #[error("it is {what}, which holds no text that hearth reads; `hearth formats` lists what it reads")]
    Binary {
        /// What it looks like.
        what: Cow<'static, str>,
    },
    /// It may be text, but in no encoding that could be told.
    #[error("its encoding could not be told; save it as UTF-8 to capture it")]
    UnknownEncoding,
    /// The system did not let it be read.
    #[error("the system refused to read it ({error}); let the user that runs hearth read it")]
    Unreadable {
        /// What the system said.
        error: String,
    },
    /// It went away between finding and reading.
    #[error("it was gone before it could be read; if it comes back, it is captured then")]
    Vanished,
    /// It is no regular file.
    #[error("it is {kind}, not a regular file, and is never opened")]
    NotARegularFile {
        /// What it is instead.
        kind: Cow<'static, str>,
    },
    /// It is a symbolic link.
    #[error("it is a symbolic link, and links are not followed; name its target to capture that")]
    Symlink,
    /// It is a folder that lies within itself.
    #[error("the folder lies within itself, so it was already looked at")]
    Loop,
    /// Reading took too long.
    #[error("reading it took longer than {limit_ms} ms; it is tried again later")]
    TimedOut {
        /// The limit.
        limit_ms: u64,
    },
    /// It changed while it was read.
    #[error("it changed while it was read; it is tried again once it is quiet")]
    Changing,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

impl SkipReason {
    /// One word for programs, which does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfScope => "out-of-scope",
            Self::Ignored { .. } => "ignored",
            Self::NeverList { .. } => "never-list",
            Self::Hidden => "hidden",
            Self::TooLarge { .. } => "too-large",
            Self::Binary { .. } => "binary",
            Self::UnknownEncoding => "unknown-encoding",
            Self::Unreadable { .. } => "unreadable",
            Self::Vanished => "vanished",
            Self::NotARegularFile { .. } => "not-a-regular-file",
            Self::Symlink => "symlink",
            Self::Loop => "loop",
            Self::TimedOut { .. } => "timed-out",
            Self::Changing => "changing",
            Self::Empty => "empty",
        }
    }

    /// Tells whether trying again later may help without anybody doing anything.
    ///
    /// What is left alone for a passing reason keeps what was captured of it before; for a lasting one, it does not.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Vanished | Self::TimedOut { .. } | Self::Changing)
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", display_name(&self.name), self.reason)
    }
}

/// The bytes of a path, which are its name.
pub(crate) fn path_name(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

/// The path whose bytes are this name.
pub(crate) fn name_path(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}
