//! From what was read to what is stored: gate, redact, chunk, seal, log; in batches, on one thread, behind a short queue.
//!
//! The queue is what slows a source down. Nothing here reads a file or embeds.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hearth_core::{ItemId, session::Refusal};
use hearth_search::chunk;
use hearth_text::Raw;
use sha2::{Digest, Sha256};

use super::{
    Entry, NodeError, Shared, lock, now,
    record::{Body, DocumentRecord, ItemRecord, Meta, Passage, Renamed},
    view::name_key,
};
use crate::{
    ask::{Indexed, Skipped},
    capture::{Candidate, Captured, Format, display_name, lies_in},
};
use hearth_store::{StoreError, Tree, entropy};

/// Things that wait to be stored; each is one file's text.
const QUEUE: usize = 32;
const BATCH_COUNT: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// After so long without work the keyword index's writer is let go.
const WRITER_REST: Duration = Duration::from_secs(20);
const BATCH_AFTER: Duration = Duration::from_millis(200);

/// Something to be stored, or to be done to what is.
#[derive(Debug)]
pub(crate) enum Work {
    /// Something was read.
    Captured(Box<Read>),
    /// Something has another name.
    Renamed { source: &'static str, from: Vec<u8>, to: Candidate },
    /// Something is no longer there.
    Gone { source: &'static str, name: Vec<u8>, folder: bool },
    /// Everything before this is to be stored and findable by word; then the other end is dropped.
    Settle(SyncSender<()>),
}

/// Something that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) source: &'static str,
    pub(crate) name: Vec<u8>,
    pub(crate) captured: Captured,
    pub(crate) bytes: u64,
    pub(crate) external: Option<String>,
    pub(crate) ticket: Option<Arc<Ticket>>,
}

/// What became of the things of one order, counted as they pass.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    sum: Mutex<Indexed>,
    /// What was counted under each name, by the name's digest: of a name that comes again, the later thing counts.
    parts: Mutex<HashMap<[u8; 16], Part>>,
}

/// What one thing adds to the sum.
type Part = (u64, BTreeMap<String, u32>);

impl Ticket {
    pub(crate) fn add(&self, change: impl FnOnce(&mut Indexed)) {
        change(&mut lock(&self.sum));
    }

    /// Counts a thing that is stored now, or was already.
    fn count(&self, name: &[u8], chunks: u64, redactions: &BTreeMap<String, u32>) {
        let name = Sha256::digest(name)[..16].try_into().expect("a digest has more than 16 bytes");
        let before = lock(&self.parts).insert(name, (chunks, redactions.clone()));
        self.add(|sum| {
            if let Some((chunks, redactions)) = before {
                sum.items -= 1;
                sum.chunks -= chunks;
                for (class, count) in redactions {
                    let left = sum.redactions.entry(class).or_default();
                    *left = left.saturating_sub(u64::from(count));
                }
            }
            sum.items += 1;
            sum.chunks += chunks;
            for (class, count) in redactions {
                *sum.redactions.entry(class.clone()).or_default() += u64::from(*count);
            }
            sum.redactions.retain(|_, count| *count > 0);
        });
    }

    pub(crate) fn took(&self, stage: &str, span: Duration) {
        self.add(|indexed| *indexed.seconds.entry(stage.into()).or_default() += span.as_secs_f64());
    }

    pub(crate) fn counted(&self) -> Indexed {
        lock(&self.sum).clone()
    }
}

/// The queue and the thread behind it.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
    busy: Arc<AtomicBool>,
}

impl Intake {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (queue, works) = sync_channel(QUEUE);
        let busy = Arc::new(AtomicBool::new(false));
        let mut line = Line { shared, batch: Batch::default(), busy: Arc::clone(&busy), rested: true };
        let thread = std::thread::Builder::new().name("intake".into()).spawn(move || line.run(&works));
        Self { queue: Some(queue), thread: Some(thread.expect("the system gives a thread at start")), busy }
    }

    /// The queue's entrance.
    pub(crate) fn queue(&self) -> SyncSender<Work> {
        self.queue.clone().expect("open until the node is closed")
    }

    /// Whether something is being stored right now.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst)
    }

    /// Waits until everything queued so far is stored and findable by word.
    pub(crate) fn settle(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue().send(Work::Settle(done)).is_ok() {
            let _ = wait.recv(); // An error is the other end being dropped, which is what we wait for.
        }
    }

    /// Lets the thread store what is queued, and end.
    pub(crate) fn stop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
    names: HashSet<Vec<u8>>,
    since: Option<Instant>,
    tickets: Vec<Arc<Ticket>>,
}

struct Line {
    shared: Arc<Shared>,
    batch: Batch,
    busy: Arc<AtomicBool>,
    rested: bool,
}

impl Line {
    fn run(&mut self, works: &Receiver<Work>) {
        let mut wait = Duration::from_secs(3600);
        loop {
            match works.recv_timeout(wait) {
                Ok(work) => {
                    self.busy.store(true, Ordering::SeqCst);
                    self.rested = false;
                    if let Err(error) = self.take(work) {
                        self.complain(&error);
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.rested => {
                    if let Err(error) = self.shared.rest_words() {
                        self.complain(&error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            wait = self.keep_up();
        }
        self.flush();
    }

    /// Stores a batch that has waited long enough, makes words findable in time; says how long it may rest.
    fn keep_up(&mut self) -> Duration {
        if let Some(since) = self.batch.since {
            let due = self.batch.entries.len() >= BATCH_COUNT
                || self.batch.bytes >= BATCH_BYTES
                || since.elapsed() >= BATCH_AFTER;
            if !due {
                return BATCH_AFTER.saturating_sub(since.elapsed());
            }
            self.flush();
        }
        let mut writer = self.shared.writer();
        match self.shared.commit_words_if_due(&mut writer) {
            Ok(Some(wait)) => wait,
            Ok(None) => {
                self.busy.store(false, Ordering::SeqCst);
                if self.rested {
                    return Duration::from_secs(3600);
                }
                // Nothing came for a while: the index writer's buffers go back.
                self.rested = true;
                WRITER_REST
            }
            Err(error) => {
                drop(writer);
                self.complain(&error);
                Duration::from_secs(5)
            }
        }
    }

    fn complain(&self, error: &NodeError) {
        tracing::error!(error = %error, "something could not be stored");
        let mut notices = lock(&self.shared.notices);
        let notice = error.to_string();
        if !notices.contains(&notice) && notices.len() < 100 {
            notices.push(notice);
        }
    }

    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.entries.is_empty() {
            return;
        }
        let begun = Instant::now();
        let stored = self.shared.commit(&mut self.shared.writer(), batch.entries);
        if let Some(ticket) = batch.tickets.first() {
            ticket.took("store", begun.elapsed());
        }
        if let Err(error) = stored {
            // Nothing was acknowledged: the source still has it, and the next scan brings it again.
            for ticket in batch.tickets {
                ticket.add(|indexed| {
                    indexed.skipped.push(Skipped { path: String::new(), reason: error.to_string() });
                });
            }
            self.complain(&error);
        }
    }

    fn take(&mut self, work: Work) -> Result<(), NodeError> {
        match work {
            Work::Captured(read) => self.captured(*read),
            Work::Renamed { source, from, to } => self.renamed(source, &from, &to),
            Work::Gone { source, name, folder } => self.gone(source, &name, folder),
            Work::Settle(done) => {
                self.flush();
                let result = self.shared.commit_words(&mut self.shared.writer());
                drop(done);
                result
            }
        }
    }

    fn item_named(&self, source: &str, name: &[u8]) -> Result<Option<ItemRecord>, StoreError> {
        let state = &self.shared.state;
        match state.get::<ItemId>(Tree::Name, &name_key(source, name))? {
            Some(id) => state.get(Tree::Item, id.as_bytes()),
            None => Ok(None),
        }
    }

    fn captured(&mut self, read: Read) -> Result<(), NodeError> {
        let Read { source, name, captured, bytes, external, ticket } = read;
        // Facts about an item must be on disk before they are asked for again.
        if self.batch.names.contains(&name) {
            self.flush();
        }
        let at = now();
        let shared = Arc::clone(&self.shared);
        let permit = match shared.gate().admit(at, source, &name, captured.modified) {
            Ok(permit) => permit,
            Err(refusal) => {
                self.refuse(&refusal, &name, ticket.as_deref());
                return Ok(());
            }
        };
        let content = shared.identity.root.naming(permit.space()).tag("content", &[&captured.content_hash]);
        let known = self.item_named(source, &name)?;
        // An order that names it brings it back; a scan does not.
        let tag = shared.forgotten_tag(source, &name, &content);
        if ticket.is_none() && shared.state.get::<hearth_core::Moment>(Tree::Forgotten, tag.as_bytes())?.is_some() {
            return Ok(());
        }
        let format = captured.format.to_string();
        if let Some(known) = &known
            && known.meta.content == content
            && known.meta.format == format
            && shared.is_at_home(known, permit.session())?
        {
            if let Some(ticket) = &ticket {
                ticket.count(&name, u64::from(known.passages), &known.meta.redactions);
            }
            if known.meta.fingerprint == captured.fingerprint && known.meta.session == permit.session() {
                return Ok(());
            }
            let meta = Meta {
                fingerprint: captured.fingerprint,
                modified_at: captured.modified,
                session: permit.session(),
                ..known.meta.clone()
            };
            self.enter(
                name,
                Entry::Rename { document: known.document, renamed: Box::new(Renamed { meta }) },
                512,
                None,
            );
            return Ok(());
        }
        let begun = Instant::now();
        let shown = display_name(&name);
        let path = (external.is_none()).then(|| shared.rules.redact(Raw::new(shown.as_str())));
        let title = shared.rules.redact(captured.title.unwrap_or_else(|| Raw::new(file_stem(&shown))));
        let text = shared.rules.redact(captured.text);
        let redacted = begun.elapsed();
        let chunks = chunk::chunk(&text, layout(captured.format), shared.model.tokenizer());
        let naming = shared.identity.root.naming(permit.space());
        let passages: Vec<Passage> = chunks
            .into_iter()
            .map(|chunk| Passage {
                id: naming.chunk(&chunk.normalised()),
                start: u32::try_from(chunk.range.start).unwrap_or(u32::MAX),
                end: u32::try_from(chunk.range.end).unwrap_or(u32::MAX),
                heading: chunk.heading,
            })
            .collect();
        let meta = Meta {
            item: known.map_or_else(|| ItemId::from_bytes(entropy()), |known| known.meta.item),
            source: source.to_owned(),
            name: name.clone(),
            session: permit.session(),
            title: String::new(),
            path: None,
            format,
            modified_at: captured.modified,
            captured_at: at,
            fingerprint: captured.fingerprint,
            content,
            bytes,
            redactions: BTreeMap::new(),
            external,
        };
        let body = Body::new(permit, meta, title, path, text, passages);
        let Some(encoded) = body.encode() else {
            if let Some(ticket) = &ticket {
                skip(ticket, &shared, &name, "its text is too large to keep, even compressed; split it");
            }
            return Ok(());
        };
        if let Some(ticket) = &ticket {
            ticket.count(&name, body.passages.len() as u64, &body.meta.redactions);
            ticket.took("redact", redacted);
            ticket.took("chunk", begun.elapsed() - redacted);
        }
        let size = encoded.len() + body.text().len();
        self.enter(name, Entry::Document { body: Box::new(body), encoded }, size, ticket);
        Ok(())
    }

    fn enter(&mut self, name: Vec<u8>, entry: Entry, bytes: usize, ticket: Option<Arc<Ticket>>) {
        self.batch.names.insert(name);
        self.batch.entries.push(entry);
        self.batch.bytes += bytes;
        self.batch.since.get_or_insert_with(Instant::now);
        if let Some(ticket) = ticket
            && !self.batch.tickets.iter().any(|known| Arc::ptr_eq(known, &ticket))
        {
            self.batch.tickets.push(ticket);
        }
    }

    fn refuse(&self, refusal: &Refusal, name: &[u8], ticket: Option<&Ticket>) {
        *lock(&self.shared.denied).entry(refusal.to_string()).or_default() += 1;
        if let Some(ticket) = ticket {
            skip(ticket, &self.shared, name, &refusal.to_string());
        }
    }

    fn renamed(&mut self, source: &str, from: &[u8], to: &Candidate) -> Result<(), NodeError> {
        self.flush();
        let at = now();
        let Some(known) = self.item_named(source, from)? else { return Ok(()) };
        let permit = match self.shared.gate().admit(at, source, &to.name, to.modified) {
            Ok(permit) => permit,
            Err(refusal) => {
                // Its old name is gone, and it may not have the new one.
                self.refuse(&refusal, &to.name, None);
                return self.gone(source, from, false);
            }
        };
        if let Some(other) = self.item_named(source, &to.name)?.filter(|other| other.meta.item != known.meta.item) {
            self.shared.drop_items(&[other])?;
        }
        let shown = display_name(&to.name);
        let was_named_after_file =
            known.meta.title == self.shared.rules.redact(Raw::new(file_stem(&display_name(from)))).as_str();
        let redact = |text: &str| self.shared.rules.redact(Raw::new(text)).as_str().to_owned();
        let meta = Meta {
            title: if was_named_after_file { redact(&file_stem(&shown)) } else { known.meta.title.clone() },
            path: Some(redact(&shown)),
            name: to.name.clone(),
            fingerprint: to.fingerprint,
            modified_at: to.modified,
            session: permit.session(),
            ..known.meta.clone()
        };
        let stays = self.shared.is_at_home(&known, permit.session())?;
        let entry = if stays {
            Entry::Rename { document: known.document, renamed: Box::new(Renamed { meta }) }
        } else {
            self.shared.moved(&known, meta)?
        };
        self.enter(to.name.clone(), entry, 512, None);
        Ok(())
    }

    /// What is gone from its source is gone from the index; its older versions and keys go with it.
    fn gone(&mut self, source: &str, name: &[u8], folder: bool) -> Result<(), NodeError> {
        self.flush();
        let mut items = Vec::new();
        items.extend(self.item_named(source, name)?);
        if folder {
            for item in self.shared.state.iter::<ItemRecord>(Tree::Item) {
                let (_, item) = item?;
                if item.node.is_none() && item.meta.source == source && lies_in(&item.meta.name, name) {
                    items.push(item);
                }
            }
        }
        if !items.is_empty() {
            self.shared.drop_items(&items)?;
        }
        Ok(())
    }
}

impl Shared {
    /// Every name that is known of a source, with the version that was captured.
    pub(crate) fn known_of(&self, source: &str) -> Result<Vec<crate::capture::Known>, StoreError> {
        let mut known = Vec::new();
        for item in self.state.iter::<ItemRecord>(Tree::Item) {
            let (_, item) = item?;
            if item.node.is_none() && item.meta.source == source {
                known.push(crate::capture::Known { name: item.meta.name, fingerprint: item.meta.fingerprint });
            }
        }
        Ok(known)
    }

    /// A document's record.
    pub(crate) fn document(&self, id: hearth_core::DocumentId) -> Result<Option<DocumentRecord>, StoreError> {
        self.state.get(Tree::Document, id.as_bytes())
    }
}

/// Counts a thing that was passed over.
pub(crate) fn skip(ticket: &Ticket, shared: &Shared, name: &[u8], reason: &str) {
    let redact = |text: &str| shared.rules.redact(Raw::new(text)).as_str().to_owned();
    let skipped = Skipped { path: redact(&display_name(name)), reason: redact(reason) };
    ticket.add(|indexed| indexed.skipped.push(skipped));
}

fn file_stem(shown: &str) -> String {
    let name = shown.rsplit('/').find(|part| !part.is_empty()).unwrap_or(shown);
    name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem }).to_owned()
}

const fn layout(format: Format) -> hearth_search::Format {
    match format {
        Format::Markdown | Format::Html => hearth_search::Format::Markdown,
        Format::Code(_) | Format::History(_) => hearth_search::Format::Code,
        Format::Text => hearth_search::Format::Plain,
    }
}
