//! Searching: by word and by meaning over what is committed, fused, and shown with where it comes from.
//!
//! Runs on the caller's thread against snapshots; it never waits for the pipeline. Query text is used and forgotten.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use hearth_core::{ChunkId, DocumentId, ItemId, SessionId};
use hearth_search::{Embedder, Embedding, Ranked, Weights, fuse, fuse::DEPTH, snippet};
use hearth_text::Raw;

use super::{
    NodeError, Shared,
    answer::path_of,
    lock,
    record::{Body, ChunkRecord, ItemRecord, Passage},
};
use crate::{
    ask::{BatchFound, BatchQuery, Filter, Found, Hit, Lineage, Mode, Parts, Query, Shown},
    capture::path_name,
};
use hearth_store::{StoreError, Tree};

/// Queries longer than this are cut: the model reads no more.
const QUERY_CHARS: usize = 2_000;
const SNIPPET_CHARS: usize = 240;
const LIMIT_MAX: usize = 1_000;
/// A search looks at no more passages of each side than this.
const DEPTH_MAX: usize = 16_384;

/// What turns queries into vectors, loaded at the first search and let go after a rest.
pub struct Finder {
    engine: Mutex<Option<Box<dyn Embedder>>>,
    used: Mutex<Option<Instant>>,
    library: Option<PathBuf>,
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finder")
    }
}

impl Finder {
    pub(crate) fn new(library: Option<PathBuf>) -> Self {
        Self { engine: Mutex::default(), used: Mutex::default(), library }
    }

    /// The library it would use.
    pub fn library(&self) -> Option<&std::path::Path> {
        self.library.as_deref()
    }

    pub(crate) fn is_loaded(&self) -> bool {
        lock(&self.engine).is_some()
    }

    /// Lets go of the model when nobody has searched for so long; says whether it did.
    pub(crate) fn rest(&self, after: Duration) -> bool {
        let rested = lock(&self.used).is_some_and(|used| used.elapsed() >= after);
        if rested {
            *lock(&self.used) = None;
            *lock(&self.engine) = None;
        }
        rested
    }
}

impl From<Mode> for fuse::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Hybrid => Self::Hybrid,
            Mode::Vector => Self::Vector,
            Mode::Keyword => Self::Keyword,
        }
    }
}

/// An item that was found, by its best passage.
pub(super) struct Best {
    pub(super) item: ItemRecord,
    pub(super) chunk: ChunkId,
    pub(super) score: f32,
    pub(super) parts: Parts,
}

/// A query made ready: not longer than is read, and with its vector when meaning is asked for.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) text: String,
    pub(crate) limit: usize,
    pub(crate) mode: Mode,
    pub(crate) filter: Filter,
    pub(crate) meaning: Option<Embedding>,
}

/// Where is looked: in everything that is here, or in less.
#[derive(Clone, Copy)]
pub(crate) struct Within<'a> {
    pub(crate) filter: &'a Filter,
    /// Only in what these sessions let in on this node; in everything when absent.
    pub(crate) sessions: Option<&'a [SessionId]>,
}

impl Within<'_> {
    fn is_everything(&self) -> bool {
        *self.filter == Filter::default() && self.sessions.is_none()
    }

    pub(crate) fn has(&self, item: &ItemRecord) -> bool {
        let is_of = |sessions: &[SessionId]| item.node.is_none() && sessions.contains(&item.meta.session);
        self.sessions.is_none_or(is_of) && matches(item, self.filter)
    }
}

/// Passages by word, and passages by meaning; each best first.
pub(crate) type Legs = (Vec<Ranked<ChunkId>>, Vec<Ranked<ChunkId>>);

impl Shared {
    /// Finds items among what is here.
    pub(crate) fn find(&self, query: &Query) -> Result<Found, NodeError> {
        let begun = Instant::now();
        self.find_ready(&self.ready(query)?, begun)
    }

    pub(crate) fn ready(&self, query: &Query) -> Result<Ready, NodeError> {
        let text = clip(&query.text).to_owned();
        let meant = query.mode != Mode::Keyword && !text.trim().is_empty();
        let meaning = if meant { Some(self.question(&text)?) } else { None };
        let (limit, filter) = (query.limit.clamp(1, LIMIT_MAX), query.filter.clone());
        Ok(Ready { text, limit, mode: query.mode, filter, meaning })
    }

    pub(crate) fn find_ready(&self, ready: &Ready, begun: Instant) -> Result<Found, NodeError> {
        let mut hits = Vec::with_capacity(ready.limit);
        let gate = self.gate();
        for best in self.best(ready)? {
            if let Some(hit) = self.hit(best, &ready.text, &gate)? {
                hits.push(hit);
            }
        }
        let missing = if ready.mode == Mode::Keyword { Vec::new() } else { self.missing()? };
        Ok(Found { hits, took_ms: begun.elapsed().as_secs_f64() * 1e3, missing })
    }

    /// Finds items for many queries; only ids and scores.
    pub(crate) fn find_batch(&self, queries: &[BatchQuery], limit: usize, mode: Mode) -> Result<BatchFound, NodeError> {
        let begun = Instant::now();
        let mut runs = Vec::with_capacity(queries.len());
        for BatchQuery { id, text } in queries {
            let query = Query { text: text.clone(), limit, mode, ..Query::default() };
            let found = self.best(&self.ready(&query)?)?;
            let run = found.into_iter().map(|best| (public_id(&best.item), best.score)).collect();
            runs.push((id.clone(), run));
        }
        Ok(BatchFound { runs, took_ms: begun.elapsed().as_secs_f64() * 1e3 })
    }

    /// What a search by meaning cannot see yet.
    pub(crate) fn missing(&self) -> Result<Vec<String>, StoreError> {
        let totals = self.totals()?;
        let without = totals.chunks - totals.embedded;
        Ok(match without {
            0 => Vec::new(),
            1 => vec!["1 passage has no vector yet and is found by word only".into()],
            n => vec![format!("{n} passages have no vector yet and are found by word only")],
        })
    }

    fn best(&self, ready: &Ready) -> Result<Vec<Best>, NodeError> {
        let Ready { limit, mode, filter, .. } = ready;
        let (limit, within) = (*limit, Within { filter, sessions: None });
        let mut depth = DEPTH.max(limit);
        loop {
            let (words, meanings) = self.legs(ready, depth, within, None)?;
            let is_all = words.len() < depth && meanings.len() < depth;
            let best = self.grouped(fuse(&words, &meanings, (*mode).into()), limit, filter)?;
            // Several passages of one item are one hit: a long list may need more of them.
            if best.len() >= limit || is_all || depth >= DEPTH_MAX {
                return Ok(best);
            }
            depth *= 4;
        }
    }

    /// The passages that fit best, up to `depth` by word and as many by meaning; words weighed by what is here, or as several nodes do.
    pub(crate) fn legs(
        &self,
        ready: &Ready,
        depth: usize,
        within: Within<'_>,
        weights: Option<&Weights>,
    ) -> Result<Legs, NodeError> {
        if ready.text.trim().is_empty() {
            return Ok(Legs::default());
        }
        let words =
            if ready.mode == Mode::Vector { Vec::new() } else { self.by_word(&ready.text, depth, within, weights)? };
        let meanings = match &ready.meaning {
            Some(meaning) => self.by_meaning(meaning, depth, within)?,
            None => Vec::new(),
        };
        Ok((words, meanings))
    }

    fn by_word(
        &self,
        text: &str,
        depth: usize,
        within: Within<'_>,
        weights: Option<&Weights>,
    ) -> Result<Vec<Ranked<ChunkId>>, NodeError> {
        let passes = |chunk| self.passes(chunk, within);
        let filter = hearth_search::Filter {
            sessions: within.sessions.map(<[_]>::to_vec).unwrap_or_default(),
            allow: (!within.is_everything()).then_some(&passes as &dyn Fn(ChunkId) -> bool),
            ..hearth_search::Filter::default()
        };
        let hits = match weights {
            Some(weights) => self.keyword.search_among(text, depth, &filter, weights)?,
            None => self.keyword.search(text, depth, &filter)?,
        };
        Ok(hits.into_iter().map(|hit| Ranked { key: hit.chunk, score: Some(hit.score) }).collect())
    }

    fn by_meaning(
        &self,
        meaning: &Embedding,
        depth: usize,
        within: Within<'_>,
    ) -> Result<Vec<Ranked<ChunkId>>, NodeError> {
        let mut vectors = lock(&self.vectors);
        self.load_vectors(&mut vectors)?;
        let all = vectors.loaded().expect("loaded in the line above");
        let near = if within.is_everything() {
            all.nearest(meaning, depth)
        } else {
            all.nearest_of(meaning, depth, |chunk| self.passes(chunk, within))
        };
        Ok(near.into_iter().map(|near| Ranked { key: near.chunk, score: Some(near.score) }).collect())
    }

    /// The items of passages, each by its best one.
    fn grouped(
        &self,
        passages: Vec<fuse::Fused<ChunkId>>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Best>, NodeError> {
        let mut best: Vec<Best> = Vec::new();
        let mut seen: HashSet<ItemId> = HashSet::new();
        for fused in passages {
            let parts = Parts { keyword: fused.parts.keyword, vector: fused.parts.vector };
            for item in self.items_of(fused.key)? {
                if matches(&item, filter) && seen.insert(item.meta.item) {
                    best.push(Best { item, chunk: fused.key, score: fused.parts.fused, parts });
                }
            }
            if best.len() >= limit {
                break;
            }
        }
        best.truncate(limit);
        Ok(best)
    }

    fn question(&self, text: &str) -> Result<Embedding, NodeError> {
        *lock(&self.finder.used) = Some(Instant::now());
        let mut engine = lock(&self.finder.engine);
        if engine.is_none() {
            *engine = Some(self.load_engine()?);
        }
        Ok(engine.as_mut().expect("loaded above").embed(text)?)
    }

    /// Brings the vectors into memory; a damaged index is made anew from the log.
    fn load_vectors(&self, vectors: &mut super::vectors::VectorIndex) -> Result<(), NodeError> {
        if vectors.loaded().is_some() || vectors.load().is_ok() {
            return Ok(());
        }
        lock(&self.notices).push("the vector index was damaged and was made anew from the log".into());
        vectors.reset()?;
        let slots = self.slots()?;
        self.log.replay(hearth_store::Position::BEGIN, |_, segment| {
            for change in self.open_changes(&segment, |document| slots.get(&document).copied()) {
                if let super::Change::Embedding { vectors: rows, .. } = change {
                    for row in rows.rows {
                        let known = self.state.get::<ChunkRecord>(Tree::Chunk, row.chunk.as_bytes())?.is_some();
                        if let Some(vector) = row.vector().filter(|_| known) {
                            vectors.insert(row.chunk, &vector);
                        }
                    }
                }
            }
            Ok(())
        })?;
        vectors.load().map(|_| ())?;
        Ok(())
    }

    /// The items in whose current version a passage is.
    pub(crate) fn items_of(&self, chunk: ChunkId) -> Result<Vec<ItemRecord>, StoreError> {
        let record: ChunkRecord = self.state.get(Tree::Chunk, chunk.as_bytes())?.unwrap_or_default();
        let mut items = Vec::new();
        for id in record.documents {
            let Some(document) = self.document(id)? else { continue };
            if let Some(item) = self.state.get::<ItemRecord>(Tree::Item, document.item.as_bytes())?
                && item.document == id
            {
                items.push(item);
            }
        }
        Ok(items)
    }

    /// Whether some item with this passage is where is looked.
    fn passes(&self, chunk: ChunkId, within: Within<'_>) -> bool {
        self.items_of(chunk).is_ok_and(|items| items.iter().any(|item| within.has(item)))
    }

    /// A hit as it is shown; `None` when it was forgotten meanwhile.
    pub(super) fn hit(
        &self,
        best: Best,
        text: &str,
        gate: &hearth_core::session::Gate,
    ) -> Result<Option<Hit>, NodeError> {
        let Best { item, chunk, score, parts } = best;
        let Some(record) = self.document(item.document)? else { return Ok(None) };
        let body = match self.body(item.document, &record) {
            Ok(body) => body,
            // A forget can come between the index and the log; anything else is worth knowing.
            Err(_) if self.document(item.document)?.is_none() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let passage = body.passages.iter().find(|passage| passage.id == chunk);
        let passage_text = passage.map_or("", |passage| body.passage(passage));
        let layout = match item.meta.format.split('/').next() {
            Some("code" | "history") => hearth_search::Format::Code,
            _ => hearth_search::Format::Markdown,
        };
        let shown = snippet(passage_text, layout, text, SNIPPET_CHARS);
        let purpose = gate.session(item.meta.session).map(|session| session.purpose.clone()).unwrap_or_default();
        let heading = passage.map(|passage| passage.heading.clone()).unwrap_or_default();
        Ok(Some(Hit {
            id: public_id(&item),
            node: item.node.unwrap_or(self.identity.device),
            session: item.meta.session,
            source: item.meta.source.clone(),
            path: item.meta.path.clone(),
            title: item.meta.title.clone(),
            snippet: shown.text,
            highlights: shown.highlights,
            score,
            parts,
            lineage: Lineage {
                source: item.meta.source,
                purpose: self.rules.redact(Raw::new(purpose)).as_str().to_owned(),
                modified_at: item.meta.modified_at,
                captured_at: item.meta.captured_at,
                heading,
                redactions: item.meta.redactions,
                model: parts.vector.map(|_| self.model.label()),
                device: item.node.map(|node| super::name_of(self.membership().as_deref(), &node)),
            },
        }))
    }

    /// An item as it is shown, with its text; `None` when it was forgotten meanwhile.
    pub(crate) fn shown(&self, item: &ItemRecord) -> Result<Option<Shown>, NodeError> {
        let Some(record) = self.document(item.document)? else { return Ok(None) };
        let body = self.body(item.document, &record)?;
        let is_here = item.meta.source == "files" && item.node.is_none();
        Ok(Some(Shown {
            text: body.text().to_owned(),
            chunks: body.passages.iter().map(|passage| public_chunk(self, item, &body, passage)).collect(),
            item: public_item(self, item),
            open: is_here.then(|| path_of(&item.meta.name)),
        }))
    }

    /// The item that a person means by an item id, an imported id, or a path.
    pub(crate) fn item_called(&self, called: &str) -> Result<Option<ItemRecord>, StoreError> {
        let by_id = |id: ItemId| self.state.get::<ItemRecord>(Tree::Item, id.as_bytes());
        if let Ok(id) = called.parse::<ItemId>()
            && let Some(item) = by_id(id)?
        {
            return Ok(Some(item));
        }
        if let Some(id) = self.state.get::<ItemId>(Tree::External, called.as_bytes())? {
            return by_id(id);
        }
        let path = std::path::absolute(called).unwrap_or_else(|_| called.into());
        let resolved =
            path.parent().and_then(|parent| Some(std::fs::canonicalize(parent).ok()?.join(path.file_name()?)));
        let resolved = resolved.map(|path| path_name(&path));
        for name in [Some(path_name(&path)), resolved, Some(called.as_bytes().to_vec())].into_iter().flatten() {
            for source in super::sources::IDS {
                if let Some(id) = self.state.get::<ItemId>(Tree::Name, &super::view::name_key(source, &name))? {
                    return by_id(id);
                }
            }
        }
        Ok(None)
    }

    /// Every item, with its text when asked for.
    pub(crate) fn each_item(&self, mut each: impl FnMut(ItemRecord) -> Result<(), NodeError>) -> Result<(), NodeError> {
        for item in self.state.iter::<ItemRecord>(Tree::Item) {
            each(item?.1)?;
        }
        Ok(())
    }
}

/// A version as others know it: the log's own name for it is seen by relays and shown nowhere else.
fn public_document(shared: &Shared, document: DocumentId) -> DocumentId {
    let naming = shared.identity.root.naming(shared.identity.space);
    DocumentId::from_bytes(naming.tag("shown document", &[document.as_bytes()]))
}

/// An item as others read it.
pub(crate) fn public_item(shared: &Shared, item: &ItemRecord) -> hearth_core::schema::Item {
    hearth_core::schema::Item {
        id: item.meta.item,
        external_id: item.meta.external.clone(),
        space: shared.identity.space,
        node: item.node.unwrap_or(shared.identity.device),
        session: item.meta.session,
        source: item.meta.source.clone(),
        path: item.meta.path.clone(),
        title: item.meta.title.clone(),
        format: item.meta.format.clone(),
        document: public_document(shared, item.document),
        modified_at: item.meta.modified_at,
        captured_at: item.meta.captured_at,
        bytes: item.meta.bytes,
        chunks: item.passages,
        redactions: item.meta.redactions.clone(),
    }
}

/// A passage as others read it.
pub(crate) fn public_chunk(
    shared: &Shared,
    item: &ItemRecord,
    body: &Body,
    passage: &Passage,
) -> hearth_core::schema::Chunk {
    hearth_core::schema::Chunk {
        id: passage.id,
        item: item.meta.item,
        document: public_document(shared, item.document),
        heading: passage.heading.clone(),
        start: u64::from(passage.start),
        end: u64::from(passage.end),
        text: body.passage(passage).to_owned(),
    }
}

fn public_id(item: &ItemRecord) -> String {
    item.meta.external.clone().unwrap_or_else(|| item.meta.item.to_string())
}

pub(crate) fn clip(text: &str) -> &str {
    text.char_indices().nth(QUERY_CHARS).map_or(text, |(end, _)| &text[..end])
}

fn matches(item: &ItemRecord, filter: &Filter) -> bool {
    let meta = &item.meta;
    filter.source.as_ref().is_none_or(|source| *source == meta.source)
        && filter.format.as_ref().is_none_or(|format| {
            meta.format == *format
                || meta.format.strip_prefix(format.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
        && filter.session.is_none_or(|session| session == meta.session)
        && filter.after.is_none_or(|after| meta.modified_at >= after)
        && filter.before.is_none_or(|before| meta.modified_at < before)
        && filter.path.as_ref().is_none_or(|path| hearth_core::session::Name(path_name(path)).covers(&meta.name))
}
