//! What can be asked of a node, and what it answers.
//!
//! The command, the socket and the page all speak these: a daemon answers them over its socket, and without one the command opens
//! the data folder and answers them itself. Every string in an answer is redacted text.

pub mod fleet;
mod wire_path;

use std::{collections::BTreeMap, path::PathBuf};

use hearth_core::{
    DeviceId, Moment, SessionId,
    schema::{Chunk, Item},
    session::{Class, Session, State},
};
use serde::{Deserialize, Serialize};

/// A question or an order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// How is the node? Answer: [`Status`].
    Status,
    /// Find. Answer: [`Found`].
    Search(Query),
    /// Find for many queries, one document a row. Answer: [`BatchFound`].
    SearchBatch {
        /// The queries.
        queries: Vec<BatchQuery>,
        /// How many documents each.
        limit: usize,
        /// By what.
        mode: Mode,
    },
    /// One item with its text. `id` is an item id, an imported id, or a path. Answer: [`Shown`].
    Show {
        /// Which.
        id: String,
    },
    /// Capture all of these now; answer when searchable by meaning. Answer: [`Indexed`].
    Index {
        /// Files and folders, absolute.
        #[serde(with = "wire_path::many")]
        paths: Vec<PathBuf>,
        /// Capture files again that did not change.
        again: bool,
    },
    /// Take documents in. Answer: [`Indexed`].
    Import {
        /// The file's absolute path; `FILE.jsonl` with one document a line.
        #[serde(with = "wire_path")]
        file: PathBuf,
    },
    /// Every item, as JSON lines. Answer: [`Exported`].
    Export {
        /// Where to write, absolute; must not exist.
        #[serde(with = "wire_path")]
        file: PathBuf,
    },
    /// Why is or isn't this path captured? Answer: [`Why`].
    Why {
        /// Absolute.
        #[serde(with = "wire_path")]
        path: PathBuf,
    },
    /// Put the node, or one session, on hold. Answer: [`Held`].
    Hold {
        /// What kind.
        how: Hold,
        /// For how long, in milliseconds; until resumed, when absent.
        for_ms: Option<u64>,
        /// Only this session.
        session: Option<SessionId>,
    },
    /// Erase. Answer: [`Forgotten`].
    Forget {
        /// What.
        what: Forget,
        /// Only say what would go.
        dry_run: bool,
    },
    /// All sessions. Answer: [`Sessions`].
    Sessions,
    /// Open a session. Answer: [`Sessions`] with just that one.
    OpenSession(NewSession),
    /// End a session. Answer: [`Sessions`] with just that one.
    CloseSession {
        /// Which.
        session: SessionId,
    },
    /// Say what other devices have of a session's things, captured already or yet to come. Answer: [`Sessions`] with those that changed.
    Share {
        /// Which; all that are not secret, when absent.
        session: Option<SessionId>,
        /// How.
        how: Share,
    },
    /// About the fleet. Answer: what each order says.
    Fleet(fleet::Order),
    /// The sources and how far they have got. Answer: [`Sources`].
    Sources,
    /// Throw derived state away and make it anew from the log. Answer: [`Rebuilt`].
    Rebuild,
    /// The audit log, newest last. Answer: [`Audited`].
    Audit {
        /// The newest so many.
        last: usize,
    },
    /// Check every part of the data folder. Answer: [`Checked`].
    Doctor,
    /// Stop the daemon. Answer: [`Stopping`].
    Stop,
}

/// By what to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By meaning and by word.
    #[default]
    Hybrid,
    /// By meaning.
    Vector,
    /// By word.
    Keyword,
}

/// A search.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Query {
    /// What to look for.
    pub text: String,
    /// How many items.
    pub limit: usize,
    /// By what.
    pub mode: Mode,
    /// Only these.
    #[serde(default)]
    pub filter: Filter,
    /// Only on this node: no other device of the fleet is asked.
    #[serde(default)]
    pub here: bool,
}

/// What a hit must be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Filter {
    /// From this source.
    pub source: Option<String>,
    /// At or below this path.
    #[serde(with = "wire_path::optional", default)]
    pub path: Option<PathBuf>,
    /// Of this format, such as `markdown`.
    pub format: Option<String>,
    /// In this session.
    pub session: Option<SessionId>,
    /// Changed at or after.
    pub after: Option<Moment>,
    /// Changed before.
    pub before: Option<Moment>,
}

/// One query of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchQuery {
    /// Its id, verbatim.
    #[serde(alias = "_id")]
    pub id: String,
    /// What to look for.
    pub text: String,
}

/// What kind of hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Delay capture.
    Pause,
    /// Omit what happens now.
    Private,
    /// Go on.
    Resume,
}

/// What to erase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Forget {
    /// What was captured in the last so many milliseconds.
    Last {
        /// How long.
        ms: u64,
    },
    /// One item: an item id, an imported id, or a path.
    Item {
        /// Which.
        id: String,
    },
    /// Every item in which all of these words occur.
    Query {
        /// The words.
        text: String,
    },
    /// Everything of a session, and the session.
    Session {
        /// Which.
        session: SessionId,
    },
}

/// What other devices of the fleet have of a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "with", rename_all = "kebab-case")]
pub enum Share {
    /// All of it, always.
    Everything,
    /// All of it, always, but only the homes of this residency.
    Within {
        /// Its name.
        residency: String,
    },
    /// They find what is in it while this node is awake, and keep nothing.
    Live {
        /// Which, by id or name; all, when there are none.
        devices: Vec<String>,
    },
    /// Nothing.
    Nothing,
}

/// A session to open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewSession {
    /// Why.
    pub purpose: String,
    /// Folders, absolute.
    #[serde(with = "wire_path::many")]
    pub folders: Vec<PathBuf>,
    /// Folders to leave out, absolute.
    #[serde(with = "wire_path::many")]
    pub exclude: Vec<PathBuf>,
    /// Sources, such as `files`; all when empty.
    pub sources: Vec<String>,
    /// How carefully to treat what is captured.
    pub class: Class,
    /// Forget things after so many days.
    pub keep_days: Option<u32>,
    /// End by itself after so many milliseconds.
    pub for_ms: Option<u64>,
    /// Keep what it captures on this node, also when the node is in a fleet.
    #[serde(default)]
    pub here_only: bool,
}

/// How the node is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The node.
    pub node: DeviceId,
    /// The program's version.
    pub version: String,
    /// Whether a daemon answered.
    pub daemon: bool,
    /// When the daemon started.
    pub started_at: Option<Moment>,
    /// Whether capture is on: the hold on the node.
    pub hold: State,
    /// What is going on, in one word: `idle`, `scanning`, `capturing`, `embedding`.
    pub activity: String,
    /// Items.
    pub items: u64,
    /// Of them, those that other nodes of the fleet captured.
    #[serde(default)]
    pub from_fleet: u64,
    /// Distinct passages.
    pub chunks: u64,
    /// Distinct passages with a vector.
    pub embedded: u64,
    /// Documents whose passages wait for a vector.
    pub pending: u64,
    /// Jobs that were tried too often.
    pub dead: u64,
    /// Spans hidden in what is stored, by class.
    pub redactions: BTreeMap<String, u64>,
    /// Files passed over, by reason code.
    pub skipped: BTreeMap<String, u64>,
    /// Bytes on disk, by part of the data folder.
    pub disk: BTreeMap<String, u64>,
    /// What a person should look at, as sentences.
    pub notices: Vec<String>,
}

/// What a search found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// What could not be asked, as sentences: another node that is asleep, passages that have no vector yet.
    pub missing: Vec<String>,
}

/// One item that was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hit {
    /// Item id; of an imported item the id it came with.
    pub id: String,
    /// The node that captured it.
    pub node: DeviceId,
    /// The session that let it in.
    pub session: SessionId,
    /// Its source.
    pub source: String,
    /// Its path, redacted.
    pub path: Option<String>,
    /// Its title, redacted.
    pub title: String,
    /// The best place in it; lines of code and rows of tables keep their line breaks.
    pub snippet: String,
    /// Byte ranges of `snippet` to highlight.
    pub highlights: Vec<(usize, usize)>,
    /// Higher is better; comparable within one answer only.
    pub score: f32,
    /// What the score is made of.
    pub parts: Parts,
    /// Where it comes from and what was done to it.
    pub lineage: Lineage,
}

/// What a score is made of.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// BM25, when found by word.
    pub keyword: Option<f32>,
    /// Cosine, when found by meaning.
    pub vector: Option<f32>,
}

/// Where a hit comes from: source → session → redactions → model → node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lineage {
    /// The source.
    pub source: String,
    /// The purpose of the session, in its owner's words (redacted).
    pub purpose: String,
    /// When its source says it last changed.
    pub modified_at: Moment,
    /// When it was captured.
    pub captured_at: Moment,
    /// Headings above the passage.
    pub heading: String,
    /// Spans hidden in the item, by class.
    pub redactions: BTreeMap<String, u32>,
    /// The model whose vector found it; absent when found by word only.
    pub model: Option<String>,
    /// What people call the device that captured it; absent when it was this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Results of a batch, in the order of the queries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BatchFound {
    /// One entry a query: its id, then (document id, score) best first.
    pub runs: Vec<(String, Vec<(String, f32)>)>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// One item with its text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The item.
    pub item: Item,
    /// The redacted text.
    pub text: String,
    /// Its passages.
    pub chunks: Vec<Chunk>,
    /// The true path to open it with, when it is on this node. Never logged.
    #[serde(with = "wire_path::optional", default)]
    pub open: Option<PathBuf>,
}

/// What indexing did.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Indexed {
    /// Items captured, unchanged ones included.
    pub items: u64,
    /// Their passages.
    pub chunks: u64,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// Spans hidden, by class.
    pub redactions: BTreeMap<String, u64>,
    /// Seconds by stage: `read`, `redact`, `chunk`, `store`, `keyword`, `embed`, `total`.
    pub seconds: BTreeMap<String, f64>,
}

/// One thing that was passed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Where, redacted.
    pub path: String,
    /// Why, as a sentence.
    pub reason: String,
}

/// What an export wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exported {
    /// How many items.
    pub items: u64,
}

/// Why a path is or isn't captured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Why {
    /// The path, redacted.
    pub path: String,
    /// `captured`, `skipped` or `waiting`.
    pub verdict: String,
    /// Each rule that was asked, as sentences; the last one decided.
    pub because: Vec<String>,
    /// The item, when it is captured.
    pub item: Option<Item>,
}

/// The hold after an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The hold on the node.
    pub hold: State,
}

/// What was erased, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Forgotten {
    /// Items.
    pub items: u64,
    /// Versions of them whose keys were destroyed.
    pub documents: u64,
    /// Titles of the first few, redacted.
    pub titles: Vec<String>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// How many other devices are to erase what of it they have.
    #[serde(default)]
    pub others: u64,
}

/// Sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sessions {
    /// Newest last.
    pub sessions: Vec<Session>,
}

/// Sources.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    /// One entry a source.
    pub sources: Vec<SourceState>,
}

/// How far a source has got.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceState {
    /// Its id.
    pub id: String,
    /// What it captures, in words.
    pub about: String,
    /// Items from it.
    pub items: u64,
    /// Whether some open session takes from it.
    pub on: bool,
    /// When its last full scan ended.
    pub scanned_at: Option<Moment>,
}

/// What a rebuild did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Documents read from the log.
    pub documents: u64,
    /// Vectors read from the log.
    pub vectors: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Entries of the audit log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Audited {
    /// Oldest first.
    pub entries: Vec<hearth_core::audit::Entry>,
    /// Whether the whole log holds together; else the sentence that says where it breaks.
    pub broken: Option<String>,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checked {
    /// One line a check.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is in order.
    pub ok: bool,
    /// What was seen, and what to do when it is not in order.
    pub says: String,
}

/// The daemon is stopping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stopping {}

/// Why an order was not carried out. Its message is a sentence that says what to do and holds no captured text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind, for exit codes.
    pub kind: FailureKind,
    /// The sentence.
    pub message: String,
}

/// Kinds of failure, with the exit codes that the command gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// It went wrong: 1.
    Failed,
    /// It was asked wrongly: 2.
    Usage,
    /// There is no such thing: 3.
    NotFound,
    /// It is not allowed: 4.
    Denied,
    /// Someone could not be reached: 5.
    Unreachable,
    /// Try again later: 75.
    Busy,
}

impl FailureKind {
    /// The exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Unreachable => 5,
            Self::Busy => 75,
        }
    }
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Who answers: a node on its own folder, or a client of a daemon. Answers are the JSON of the type each [`Ask`] names.
pub trait Answers: Send + Sync {
    /// Answers, blocking until done.
    ///
    /// # Errors
    /// A sentence, and an exit code.
    fn answer(&self, ask: Ask) -> Result<serde_json::Value, Failure>;
}
