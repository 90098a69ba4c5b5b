//! One node at work on its data folder: it captures, stores, embeds, finds and forgets.
//!
//! The log is the truth; the state and the indexes follow it, each knowing how far. [`Node::open`] brings them up to its end,
//! whatever happened before. Everything that writes goes through one `Writer`; those who read never wait for it.

mod answer;
mod embedding;
mod federation;
pub(crate) mod find;
pub(crate) mod fleet;
mod forget;
mod intake;
mod leaving;
pub(crate) mod live;
mod membership;
mod receipts;
mod record;
mod recovering;
mod sealed_files;
mod sealing;
mod sources;
mod upkeep;
mod vectors;
mod view;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hearth_core::{
    DocumentId, Moment,
    audit::Event,
    delta::Kind,
    fleet::trust::ANYWHERE,
    seal::{DocumentKey, Label},
    segment::Draft,
    session::Gate,
    sync::Frontier,
};
use hearth_search::{ChunkDoc, Keyword, Model};
use hearth_text::{Policy, Rules};

pub(crate) use answer::with_causes;
pub use embedding::Embedding;
pub(crate) use federation::{FleetError, name_of};
pub use find::Finder;
pub(crate) use membership::{Membership, wrap_secret};
pub use upkeep::Upkeep;

use self::{
    record::{Body, DocumentRecord, Encoded, ForgottenTags, ItemRecord, Renamed, Totals, Vectors},
    sealed_files::SealedFiles,
    sealing::place_in,
    vectors::VectorIndex,
    view::{Arrival, Change, Effects, Origin},
};
use crate::capture::{Limits, Watching};
use hearth_store::{
    AuditLog, Folder, Identity, KeyReader, Keys, Log, LogReader, Position, State, StoreError, Tree, entropy,
    is_disk_full,
};

/// How a node is to work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much is read of one thing.
    pub limits: Limits,
    /// How sources are watched.
    pub watching: Watching,
    /// What is hidden besides credentials.
    pub policy: Policy,
    /// An ONNX Runtime library, by its absolute path.
    pub onnxruntime: Option<PathBuf>,
    /// Threads that embed.
    pub embed_threads: usize,
    /// A model other than the one in the program.
    pub model: Option<Model>,
    /// Where the shell history lies; none is captured when absent.
    pub home: Option<PathBuf>,
    /// Models and vectors leave the memory after so long without a search.
    pub rest_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits { bytes: 20 << 20, ..Limits::default() },
            watching: Watching::default(),
            policy: Policy::STANDARD,
            onnxruntime: None,
            embed_threads: std::thread::available_parallelism().map_or(1, usize::from).min(4),
            model: None,
            home: None,
            rest_after: Duration::from_secs(600),
        }
    }
}

/// Why a node cannot work.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keyword index.
    #[error(transparent)]
    Keyword(#[from] hearth_search::keyword::KeywordError),
    /// The model.
    #[error(transparent)]
    Model(#[from] hearth_search::model::ModelError),
    /// A text could not be embedded.
    #[error(transparent)]
    Embed(#[from] hearth_search::model::EmbedError),
}

impl NodeError {
    /// Whether it failed only because the disk is full.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_full())
    }
}

/// A node on its folder.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    intake: intake::Intake,
    embedding: Embedding,
    sources: sources::Sources,
}

/// What every part of a node works with.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) folder: Folder,
    pub(crate) identity: Identity,
    pub(crate) rules: Rules,
    pub(crate) model: Model,
    pub(crate) state: State,
    pub(crate) log: Arc<LogReader>,
    pub(crate) keys: KeyReader,
    pub(crate) gate: RwLock<Gate>,
    pub(crate) keyword: hearth_search::Reader,
    pub(crate) vectors: Mutex<VectorIndex>,
    pub(crate) finder: Finder,
    pub(crate) work: embedding::Work,
    pub(crate) stopping: AtomicBool,
    pub(crate) notices: Mutex<Vec<String>>,
    pub(crate) skipped: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
    pub(crate) denied: Mutex<HashMap<String, u64>>,
    membership: RwLock<Option<Arc<Membership>>>,
    news: tokio::sync::broadcast::Sender<hearth_core::sync::Grown>,
    /// Whether others erased something here and are to hear that it is done.
    owes_statement: AtomicBool,
    /// Whether something that others erased is still in the files of log and indexes.
    unclean: AtomicBool,
    stated: Mutex<Option<Instant>>,
    writer: Mutex<Writer>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.identity.device)
    }
}

/// What only one at a time may do.
#[derive(Debug)]
pub(crate) struct Writer {
    log: Log,
    keys: Keys,
    keyword: Keyword,
    audit: AuditLog,
    /// Where the state ends, when it fell behind the log because a write failed.
    behind: bool,
    /// Since when the keyword index has changes nobody can find yet, and how many.
    uncommitted: Option<(Instant, usize)>,
}

/// A change to be made: it becomes sealed, signed and lasting, or it does not happen.
pub(crate) enum Entry {
    /// A version of an item.
    Document { body: Box<Body>, encoded: Encoded },
    /// Vectors of a document.
    Embedding { document: DocumentId, vectors: Vectors },
    /// New facts about an item.
    Rename { document: DocumentId, renamed: Box<Renamed> },
    /// A document goes.
    Tombstone { document: DocumentId },
    /// The sessions and the hold.
    Gate(Box<Gate>),
    /// Things that were forgotten and stay out.
    Forgotten(ForgottenTags),
    /// How far this node has come with everybody's logs.
    Reached(Frontier),
}

/// Keyword changes are made findable this soon, or once so many have come together.
const COMMIT_AFTER: Duration = Duration::from_millis(1_000);
const COMMIT_COUNT: usize = 4_096;

/// The time, as told by the system.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A lock whose holder may have panicked: what it guards is checked before use, not assumed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Opens the folder, creating it when absent, and brings the state and the indexes up to the end of the log.
    ///
    /// # Errors
    /// When the folder cannot be used; what is merely derived is made anew instead.
    pub fn open(root: &Path, settings: Settings) -> Result<Self, NodeError> {
        let shared = Arc::new(Shared::open(root, settings)?);
        shared.catch_up()?;
        shared.finish_leaving()?;
        shared.recover_jobs()?;
        let embedding = Embedding::new(Arc::clone(&shared));
        let intake = intake::Intake::new(Arc::clone(&shared));
        let sources = sources::Sources::new(Arc::clone(&shared));
        Ok(Self { shared, intake, embedding, sources })
    }

    /// What its parts work with; for those that run beside it and end before it does.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// This node's identity.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Writes to the audit log.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn audit(&self, event: Event) -> Result<(), NodeError> {
        self.shared.audit(event)
    }

    /// Tells all work to end soon; whoever waits for it is told so.
    pub fn stop_soon(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.work.more();
    }

    /// Ends all work in good order: what was begun is finished or left for the next time, everything is on disk.
    pub fn close(mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.sources.stop();
        self.intake.stop();
        self.embedding.stop();
        self.shared.settle();
    }
}

/// Where a change lives that does not stay on this node.
#[derive(Clone, Copy)]
struct Home<'m> {
    membership: &'m Membership,
    residency: u16,
}

impl PartialEq for Home<'_> {
    fn eq(&self, other: &Self) -> bool {
        // There is one membership at a time.
        self.residency == other.residency
    }
}

impl Shared {
    fn open(root: &Path, settings: Settings) -> Result<Self, NodeError> {
        let folder = Folder::open(root)?;
        let identity = Identity::open(&folder)?;
        let (space, at) = (identity.space, now());
        let membership = Membership::read(&federation::membership_path(&folder), &identity.signing)?;
        let log = Log::open(&folder.part("log"), identity.signing.clone(), identity.fleet(), at)?;
        let keys = Keys::open(folder.part("keys"), identity.root.clone())?;
        let audit = AuditLog::open(&folder.part("audit"), space, &identity.root)?;
        let open_state = || State::open(&folder.part("state"), space, &identity.root, at);
        // Opening it takes some room, which was set aside; what is there can then be found, and forgotten.
        let state = match open_state() {
            Err(error) if error.is_full() && folder.release_reserve() => open_state()?,
            other => other?,
        };
        let model = settings.model.clone().unwrap_or_else(Model::bundled);
        let index_key = identity.root.derive(space, "hearth/index/1");
        let mut notices: Vec<String> = log.notices().iter().chain(state.notices()).cloned().collect();
        let keyword = open_keyword(&folder.part("index").join("keyword"), index_key, &mut notices)?;
        let vectors = VectorIndex::open(folder.part("index").join("vectors"), index_key, model.id())?;
        let gate = state.get(Tree::Meta, view::GATE)?.unwrap_or_default();
        Ok(Self {
            rules: Rules::with_policy(settings.policy),
            finder: Finder::new(settings.onnxruntime.clone()),
            settings,
            folder,
            identity,
            model,
            log: log.reader(),
            keys: keys.reader(),
            gate: RwLock::new(gate),
            keyword: keyword.reader(),
            vectors: Mutex::new(vectors),
            work: embedding::Work::default(),
            stopping: AtomicBool::new(false),
            notices: Mutex::new(notices),
            skipped: Mutex::default(),
            denied: Mutex::default(),
            membership: RwLock::new(membership.map(Arc::new)),
            news: tokio::sync::broadcast::channel(federation::NEWS_MAX).0,
            // It may have died in between.
            owes_statement: AtomicBool::new(true),
            unclean: AtomicBool::new(false),
            stated: Mutex::default(),
            writer: Mutex::new(Writer { log, keys, keyword, audit, behind: false, uncommitted: None }),
            state,
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The sessions and the hold as they are now.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells a person, once.
    pub(crate) fn notice(&self, sentence: &str) {
        let mut notices = lock(&self.notices);
        if !notices.iter().any(|notice| notice == sentence) {
            notices.push(sentence.to_owned());
        }
    }

    /// Whether what happened at this moment stays out for good.
    pub(crate) fn was_private(&self, moment: Moment) -> bool {
        self.gate.read().unwrap_or_else(PoisonError::into_inner).was_private(moment)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }

    pub(crate) fn audit(&self, event: Event) -> Result<(), NodeError> {
        Ok(self.writer().audit.append(now(), event).map(drop)?)
    }

    pub(crate) fn read_audit(&self) -> Result<(Vec<hearth_core::audit::Entry>, Option<String>), StoreError> {
        self.writer().audit.read()
    }

    pub(crate) fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.state.get(Tree::Meta, view::TOTALS)?.unwrap_or_default())
    }

    /// Changes the sessions or the hold, lastingly.
    pub(crate) fn change_gate<T>(&self, change: impl FnOnce(&mut Gate) -> T) -> Result<T, NodeError> {
        let mut writer = self.writer();
        let mut gate = self.gate();
        let before = gate.clone();
        let result = change(&mut gate);
        if gate != before {
            self.commit(&mut writer, vec![Entry::Gate(Box::new(gate))])?;
        }
        Ok(result)
    }

    /// Makes changes: sealed, signed, on disk, and then in the state and the indexes.
    ///
    /// # Errors
    /// When the log could not be written: then nothing happened. When what follows it could not be: then it is caught up with
    /// before the next change.
    pub(crate) fn commit(&self, writer: &mut Writer, entries: Vec<Entry>) -> Result<(), NodeError> {
        if writer.behind {
            self.catch_up_with(writer)?;
        }
        let at = now();
        let membership = self.membership();
        let mut entries = entries.into_iter().peekable();
        while let Some(first) = entries.peek() {
            let home = self.home(first, membership.as_deref())?;
            let mut draft = self.draft_for(writer, first, home, at)?;
            let mut changes = Vec::new();
            while let Some(entry) = entries.peek() {
                // The draft was begun for the first.
                let fits = changes.is_empty()
                    || self.home(entry, membership.as_deref())? == home
                        && (home.is_none() || self.comes_before(entry, &draft)?.is_none());
                if !fits || draft.is_full(entry.len()) {
                    break;
                }
                let entry = entries.next().expect("just peeked");
                changes.push(self.enter(writer, &mut draft, home.map(|home| home.membership), entry)?);
            }
            writer.keys.sync()?;
            let (position, segment) = writer.log.append(draft, at)?;
            let origin = self.origin_of(&segment);
            let grown = origin.clone();
            let arrival = Arrival { position, now: at, origin, received: false };
            let applied = view::apply(&self.state, arrival, changes);
            let carried = applied.map_err(NodeError::from).and_then(|effects| self.carry_out(writer, effects));
            if let Err(error) = carried {
                writer.behind = true;
                return Err(error);
            }
            if let Some(origin) = grown {
                self.tell_peers(hearth_core::sync::Grown::Log(origin.held()));
            }
        }
        Ok(())
    }

    /// Begins the segment into which a change goes.
    fn draft_for(
        &self,
        writer: &mut Writer,
        entry: &Entry,
        home: Option<Home<'_>>,
        at: Moment,
    ) -> Result<Draft, StoreError> {
        let Some(Home { membership, residency }) = home else { return writer.log.draft(at) };
        let fleet = *membership.id().as_bytes();
        let mut draft = writer.log.draft_shared(fleet, residency, at)?;
        if let Some(before) = self.comes_before(entry, &draft)? {
            writer.log.renew_shared(residency, before)?;
            draft = writer.log.draft_shared(fleet, residency, at)?;
        }
        Ok(draft.under(membership.fleet.policy().0, residency))
    }

    /// The log of the version before this document, when it was begun after this one: others would take the document for older then.
    fn comes_before(&self, entry: &Entry, draft: &Draft) -> Result<Option<u64>, StoreError> {
        let Entry::Document { body, .. } = entry else { return Ok(None) };
        let before: Option<ItemRecord> = self.state.get(Tree::Item, body.meta.item.as_bytes())?;
        let Some(before) = before else { return Ok(None) };
        let before = self.document(before.document)?.filter(|before| before.shared.is_some());
        Ok(before.map(|before| before.incarnation).filter(|before| *before > draft.incarnation()))
    }

    /// Where a change belongs that does not stay on this node.
    fn home<'m>(&self, entry: &Entry, membership: Option<&'m Membership>) -> Result<Option<Home<'m>>, StoreError> {
        // Without a key of an epoch nothing can be sealed for others.
        let Some(membership) = membership.filter(|membership| membership.epoch().is_some()) else { return Ok(None) };
        let residency = match entry {
            Entry::Document { body, .. } => self.residency_of(body.meta.session),
            Entry::Embedding { document, .. } | Entry::Rename { document, .. } | Entry::Tombstone { document } => {
                let record: Option<DocumentRecord> = self.state.get(Tree::Document, document.as_bytes())?;
                let shared = record.filter(|record| record.shared == Some(membership.space()));
                // An order to erase is for everybody: who is no home any more may have been one.
                let is_order = matches!(entry, Entry::Tombstone { .. });
                shared.map(|record| if is_order { ANYWHERE } else { record.residency })
            }
            Entry::Reached(_) => Some(ANYWHERE),
            Entry::Gate(_) | Entry::Forgotten(_) => None,
        };
        Ok(residency.map(|residency| Home { membership, residency }))
    }

    /// Does to the indexes what a step asks for.
    fn carry_out(&self, writer: &mut Writer, effects: Effects) -> Result<(), NodeError> {
        let mut touched = effects.unindex.len() + effects.reindex.len();
        for item in effects.unindex {
            writer.keyword.delete_item(item)?;
        }
        for body in effects.index {
            touched += body.passages.len();
            // Of two versions in one step the later one counts.
            let item: Option<ItemRecord> = self.state.get(Tree::Item, body.meta.item.as_bytes())?;
            if let Some(item) = item {
                writer.keyword.delete_item(body.meta.item)?;
                add_words(&mut writer.keyword, &body, &item)?;
            }
        }
        for document in effects.reindex {
            let Some(record) = self.state.get::<DocumentRecord>(Tree::Document, document.as_bytes())? else { continue };
            let Some(item) = self.state.get::<ItemRecord>(Tree::Item, record.item.as_bytes())? else { continue };
            if item.document == document {
                let body = self.body(document, &record)?;
                writer.keyword.delete_item(record.item)?;
                add_words(&mut writer.keyword, &body, &item)?;
            }
        }
        if touched > 0 {
            let (since, count) = writer.uncommitted.unwrap_or((Instant::now(), 0));
            writer.uncommitted = Some((since, count + touched));
        }
        {
            let mut vectors = lock(&self.vectors);
            for rows in effects.vectors.iter().flat_map(|vectors| &vectors.rows) {
                if let Some(vector) = rows.vector() {
                    vectors.insert(rows.chunk, &vector);
                }
            }
            effects.unused.iter().for_each(|chunk| vectors.remove(*chunk));
        }
        if let Some(gate) = effects.gate {
            *self.gate.write().unwrap_or_else(PoisonError::into_inner) = *gate;
        }
        if !effects.pending.is_empty() {
            self.work.more();
        }
        if writer.uncommitted.is_some_and(|(_, count)| count >= COMMIT_COUNT) {
            self.commit_words(writer)?;
        }
        if lock(&self.vectors).is_due() {
            self.save_vectors(writer)?;
        }
        Ok(())
    }

    /// Makes the keyword index's changes findable when they have waited long enough; says how long they may still wait.
    pub(crate) fn commit_words_if_due(&self, writer: &mut Writer) -> Result<Option<Duration>, NodeError> {
        let Some((since, _)) = writer.uncommitted else { return Ok(None) };
        let waited = since.elapsed();
        if waited < COMMIT_AFTER {
            return Ok(Some(COMMIT_AFTER - waited));
        }
        self.commit_words(writer)?;
        Ok(None)
    }

    /// Makes the keyword index's changes findable.
    pub(crate) fn commit_words(&self, writer: &mut Writer) -> Result<(), NodeError> {
        writer.keyword.commit(writer.log.end().as_u64())?;
        writer.uncommitted = None;
        Ok(())
    }

    /// Gives back what nobody uses now.
    pub(crate) fn rest_memory(&self) {
        if let Some(constant) = self.model.constant() {
            crate::os::release_pages(constant);
        }
        crate::os::return_memory();
    }

    /// Lets go of the keyword index's writer, which holds memory while it exists.
    pub(crate) fn rest_words(&self) -> Result<(), NodeError> {
        let mut writer = self.writer();
        if writer.uncommitted.is_none() && !writer.behind {
            writer.keyword.rest()?;
            drop(writer);
            self.rest_memory();
        }
        Ok(())
    }

    /// Writes the vectors that are only in memory.
    pub(crate) fn save_vectors(&self, writer: &Writer) -> Result<(), NodeError> {
        let keep = |chunk: hearth_core::ChunkId| {
            self.state.get::<record::ChunkRecord>(Tree::Chunk, chunk.as_bytes()).ok().flatten().is_some()
        };
        Ok(lock(&self.vectors).save(writer.log.end(), keep)?)
    }

    /// Puts everything to disk.
    fn settle(&self) {
        let mut writer = self.writer();
        if writer.behind {
            return; // The next opening catches up.
        }
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            tracing::warn!(what, error = %error, "not everything could be put to rest; the next start catches up");
        };
        if writer.uncommitted.is_some()
            && let Err(error) = self.commit_words(&mut writer)
        {
            failed("keyword index", &error);
        }
        if let Err(error) = self.save_vectors(&writer) {
            failed("vector index", &error);
        }
        if let Err(error) = writer.log.note_tip() {
            failed("log", &error);
        }
        if let Err(error) = writer.keyword.rest() {
            failed("keyword index", &error);
        }
    }

    /// What stands for a thing of this name and content among those that were forgotten.
    pub(crate) fn forgotten_tag(&self, source: &str, name: &[u8], content: &[u8; 16]) -> hearth_core::ItemId {
        let naming = self.identity.root.naming(self.identity.space);
        hearth_core::ItemId::from_bytes(naming.tag("forgotten", &[source.as_bytes(), name, content]))
    }

    /// The key of a document.
    pub(crate) fn document_key(&self, document: DocumentId) -> Result<DocumentKey, StoreError> {
        let record: Option<DocumentRecord> = self.state.get(Tree::Document, document.as_bytes())?;
        let record = record.ok_or(StoreError::Damaged("the state: a document is not in it"))?;
        self.key_of(document, &record)
    }

    fn key_of(&self, document: DocumentId, record: &DocumentRecord) -> Result<DocumentKey, StoreError> {
        let key = self.keys.get(record.slot, record.shared.unwrap_or(self.identity.space), document)?;
        key.ok_or(StoreError::Damaged("a page of document keys"))
    }

    /// A document with its text, from the log.
    pub(crate) fn body(&self, document: DocumentId, record: &DocumentRecord) -> Result<Body, StoreError> {
        let segment = self.log.read(record.position)?;
        let found = segment.changes().find(|(seq, _)| *seq == record.seq).and_then(|(_, change)| change);
        let found = found.filter(|change| change.document == document && change.kind == Kind::Document);
        let change = found.ok_or(StoreError::Damaged("a document's place in the log"))?;
        let key = self.key_of(document, record)?;
        let place = place_in(&segment, record.seq);
        let space = record.shared.unwrap_or(self.identity.space);
        let label = Label { space, document, kind: Kind::Document };
        let mut body = Body::decode(&key.open(place, label, change.body)?)?;
        if record.shared.is_some() && place.author == self.identity.device {
            self.open_name(place, label, &mut body.meta);
        }
        Ok(body)
    }

    /// Brings the state and the indexes up to the end of the log.
    fn catch_up(&self) -> Result<(), NodeError> {
        let mut writer = self.writer();
        self.catch_up_with(&mut writer)
    }

    fn catch_up_with(&self, writer: &mut Writer) -> Result<(), NodeError> {
        let known_model: Option<String> = self.state.get(Tree::Meta, MODEL)?;
        if known_model.as_deref().is_some_and(|known| known != self.model.id()) {
            lock(&self.notices).push("the model changed, so every passage is embedded anew".into());
            self.state.clear()?;
        }
        let of_state: Position = self.state.get(Tree::Meta, view::CURSOR)?.unwrap_or_default();
        let of_words = writer.keyword.cursor().map_or(Position::BEGIN, Position::from_u64);
        let of_vectors = lock(&self.vectors).cursor();
        let end = writer.log.end();
        // An index that is ahead of the log belongs to another log.
        let (of_words, of_vectors) = (of_words.min(end), of_vectors.min(end));
        let from = of_state.min(of_words).min(of_vectors);
        if from < end {
            let slots = self.slots()?;
            let notices = self.log.replay(from, |position, segment| {
                let changes = self.open_changes(&segment, |document| slots.get(&document).copied());
                let step = Step { position, of_state, of_words, of_vectors, origin: self.origin_of(&segment) };
                self.replay(writer, step, changes).map_err(|error| match error {
                    NodeError::Store(error) => error,
                    other => StoreError::io("making the index anew")(std::io::Error::other(other)),
                })
            })?;
            lock(&self.notices).extend(notices);
            if writer.uncommitted.is_some() || of_words < end {
                match self.commit_words(writer) {
                    // Only the next opening has more to do, when nothing changed.
                    Err(_) if writer.uncommitted.is_none() && is_disk_full(self.folder.root()) => {}
                    other => other?,
                }
            }
        }
        if known_model.as_deref() != Some(self.model.id()) {
            let mut batch = hearth_store::Batch::default();
            batch.put(Tree::Meta, MODEL, &self.model.id());
            self.state.apply(batch)?;
        }
        writer.behind = false;
        Ok(())
    }

    /// Applies one segment of the log to whatever has not seen it.
    fn replay(&self, writer: &mut Writer, step: Step, changes: Vec<Change>) -> Result<(), NodeError> {
        let position = step.position;
        if position >= step.of_state {
            let arrival = Arrival { position, now: now(), origin: step.origin, received: false };
            let mut effects = view::apply(&self.state, arrival, changes)?;
            // What another node had erased when the process died.
            writer.keys.erase(std::mem::take(&mut effects.erased))?;
            if position < step.of_words {
                effects.unindex.clear();
                effects.index.clear();
                effects.reindex.clear();
            }
            return self.carry_out(writer, effects);
        }
        let mut effects = Effects::default();
        for change in changes {
            match change {
                Change::Document { document, mut body, .. } if position >= step.of_words => {
                    let record: Option<DocumentRecord> = self.state.get(Tree::Document, document.as_bytes())?;
                    body.meta.item = record.map_or(body.meta.item, |record| record.item);
                    let item: Option<ItemRecord> = self.state.get(Tree::Item, body.meta.item.as_bytes())?;
                    match item {
                        Some(item) if item.document == document => effects.index.push(*body),
                        Some(_) => {}
                        None => effects.unindex.push(body.meta.item),
                    }
                }
                Change::Tombstone { document } if position >= step.of_words => {
                    writer.keyword.delete_document(document)?;
                }
                Change::Rename { document, .. } if position >= step.of_words => effects.reindex.push(document),
                Change::Embedding { vectors, .. } if position >= step.of_vectors => {
                    let Vectors { model, rows, more } = vectors;
                    let mut kept = Vectors { model, rows: Vec::new(), more };
                    for row in rows {
                        if self.state.get::<record::ChunkRecord>(Tree::Chunk, row.chunk.as_bytes())?.is_some() {
                            kept.rows.push(row);
                        }
                    }
                    effects.vectors.push(kept);
                }
                _ => {}
            }
        }
        self.carry_out(writer, effects)
    }
}

/// A fresh id: six bytes of time, so that jobs come in the order of capture and neighbours in time lie together, and ten of chance
/// (the layout of RFC 9562's version 7, without its marks).
fn document_id(at: Moment) -> DocumentId {
    let mut bytes: [u8; 16] = entropy();
    bytes[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
    DocumentId::from_bytes(bytes)
}

const MODEL: &[u8] = b"model";
/// Where a replayed segment stands against what has seen it.
struct Step {
    position: Position,
    of_state: Position,
    of_words: Position,
    of_vectors: Position,
    origin: Option<Origin>,
}

impl Entry {
    fn len(&self) -> usize {
        match self {
            Self::Document { encoded, .. } => encoded.len() + 128,
            Self::Embedding { vectors, .. } => vectors.rows.len() * 420 + 256,
            Self::Rename { .. } | Self::Tombstone { .. } => 1024,
            Self::Forgotten(tags) => tags.0.len() * 20 + 256,
            Self::Reached(frontier) => frontier.len() * 50 + 256,
            Self::Gate(gate) => gate.sessions().count() * 512 + 131_072,
        }
    }
}

fn add_words(keyword: &mut Keyword, body: &Body, item: &ItemRecord) -> Result<(), NodeError> {
    for passage in &body.passages {
        let title = match passage.heading.as_str() {
            "" => item.meta.title.clone(),
            heading => format!("{}\n{heading}", item.meta.title),
        };
        keyword.add(&ChunkDoc {
            chunk: passage.id,
            item: item.meta.item,
            document: item.document,
            session: item.meta.session,
            text: body.passage(passage),
            title: &title,
            path: item.meta.path.as_deref().unwrap_or_default(),
            source: &item.meta.source,
            kind: &item.meta.format,
            modified: item.meta.modified_at,
        })?;
    }
    Ok(())
}

/// Opens the keyword index, or an empty one in its place when it is damaged: the log fills it again.
fn open_keyword(dir: &Path, key: [u8; 32], notices: &mut Vec<String>) -> Result<Keyword, NodeError> {
    let make = || -> Result<Keyword, NodeError> {
        std::fs::create_dir_all(dir).map_err(StoreError::io("creating the keyword index"))?;
        Ok(Keyword::open(Arc::new(SealedFiles::new(dir.into(), key)))?)
    };
    make().or_else(|error| {
        notices.push(format!("the keyword index was made anew from the log ({error})"));
        std::fs::remove_dir_all(dir).map_err(StoreError::io("removing a damaged keyword index"))?;
        make()
    })
}
