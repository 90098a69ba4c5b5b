//! Chunks found by their words: an inverted index with BM25, that stores no text but what words there are.
//!
//! One writer adds and deletes, and makes it all visible in commits, each of which carries the caller's position in its
//! log, so that whatever is missing after a crash can be replayed. Readers see the last commit and never wait for the
//! writer. A question is never given to a query language: apart from `"phrases"` and `-exclusions`, it is only words.

use std::{
    collections::HashMap,
    fmt,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use hearth_core::{ChunkId, DocumentId, ItemId, Moment, SessionId};
use tantivy::{
    DocId, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Score, Searcher, SegmentReader,
    TantivyDocument, TantivyError, Term,
    indexer::{IndexWriterOptions, LogMergePolicy, NoMergePolicy},
    query::{
        AllQuery, Bm25StatisticsProvider, BooleanQuery, BoostQuery, EnableScoring, FuzzyTermQuery, Occur, PhraseQuery,
        Query, RangeQuery, TermQuery, TermSetQuery,
    },
    schema::{BytesOptions, FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions},
    store::Compressor,
    tokenizer::{PreTokenizedString, Token},
};

use crate::{
    files::{Files, Folder},
    question::{Asked, Question},
    weights::{Among, Weights, terms_of},
    words::{Word, WordKind, is_stop_word, stem, words},
};

/// The writer's memory. The engine asks for 15 MB at least, and 20 leave a margin.
const WRITER_BYTES: usize = 20_000_000;
/// The version of what is indexed and how. An index of another version is rebuilt.
const LAYOUT: u32 = 1;
/// Fewer hits than this, and words are also taken for misspelt ones.
const ENOUGH: usize = 5;
/// From these lengths on a word may be wrong in one place, or two.
const ONE_TYPO_CHARS: usize = 5;
const TWO_TYPOS_CHARS: usize = 9;
/// What a match is worth beside one of the stem in the text, which is worth 1.
const TITLE_BOOST: Score = 0.8;
const PATH_BOOST: Score = 0.3;
const TYPO_BOOST: Score = 0.5;

/// Why the keyword index cannot do what it was asked. It can always be rebuilt from the log.
#[derive(Debug, thiserror::Error)]
pub enum KeywordError {
    /// The files are damaged, or those of another version.
    #[error("the keyword index cannot be opened; run `hearth state rebuild` to make it anew from the log")]
    Damaged(#[source] TantivyError),
    /// It was made by a version that indexed otherwise.
    #[error("the keyword index has layout {found}, and this version uses {LAYOUT}; run `hearth state rebuild`")]
    OtherLayout {
        /// The layout of the files.
        found: u32,
    },
    /// Writing failed; nothing since the last commit is kept.
    #[error("cannot write to the keyword index; is the disk full or read-only?")]
    Write(#[source] TantivyError),
    /// Reading failed.
    #[error("cannot search the keyword index; run `hearth doctor` to check the data folder")]
    Search(#[source] TantivyError),
}

/// What is indexed of one chunk. Nothing of it can be read back but the chunk's id.
#[derive(Clone, Debug)]
pub struct ChunkDoc<'a> {
    /// The chunk.
    pub chunk: ChunkId,
    /// The item it is part of.
    pub item: ItemId,
    /// The version of the item's body it is part of.
    pub document: DocumentId,
    /// The session it was captured in.
    pub session: SessionId,
    /// The redacted text.
    pub text: &'a str,
    /// The item's title and the headings over the chunk.
    pub title: &'a str,
    /// Where the item lies.
    pub path: &'a str,
    /// The name of the source it came from.
    pub source: &'a str,
    /// What kind of thing it is.
    pub kind: &'a str,
    /// When the item was last changed.
    pub modified: Moment,
}

/// Which chunks may be found. Empty lists and absent limits allow all.
#[derive(Clone, Default)]
pub struct Filter<'a> {
    /// Only from these sources.
    pub sources: Vec<String>,
    /// Only of these kinds.
    pub kinds: Vec<String>,
    /// Only from these sessions.
    pub sessions: Vec<SessionId>,
    /// Only of these items.
    pub items: Vec<ItemId>,
    /// Not changed before this.
    pub since: Option<Moment>,
    /// Not changed after this.
    pub until: Option<Moment>,
    /// Anything else; asked only about chunks that would be in the answer.
    pub allow: Option<&'a dyn Fn(ChunkId) -> bool>,
}

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter(…)") // what is looked for is nobody's business
    }
}

/// A chunk that was found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hit {
    /// The chunk.
    pub chunk: ChunkId,
    /// How well its words fit; comparable within one answer only.
    pub score: f32,
}

/// The keyword index and its only writer.
pub struct Keyword {
    index: Index,
    engine: IndexReader,
    fields: Fields,
    writer: Option<IndexWriter>,
    cursor: Option<u64>,
    reader: Reader,
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyword({} chunks, cursor {:?})", self.reader.len(), self.cursor)
    }
}

impl Keyword {
    /// Opens the index in these files, or begins one. No writer is made yet, so an idle index takes little memory.
    pub fn open(files: Arc<dyn Files>) -> Result<Self, KeywordError> {
        let (schema, fields) = schema();
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = Index::builder()
            .schema(schema)
            .settings(settings)
            .open_or_create(Folder::new(files))
            .map_err(KeywordError::Damaged)?;
        let payload = index.load_metas().map_err(KeywordError::Damaged)?.payload;
        let cursor = payload.as_deref().map(read_payload).transpose()?;
        let engine =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(KeywordError::Damaged)?;
        let snapshot = Snapshot::of(&engine, None).map_err(KeywordError::Damaged)?;
        let reader = Reader { fields, snapshot: Arc::new(RwLock::new(Arc::new(snapshot))) };
        Ok(Self { index, engine, fields, writer: None, cursor, reader })
    }

    /// The caller's position in its log at the last commit; `None` when there was none yet.
    pub fn cursor(&self) -> Option<u64> {
        self.cursor
    }

    /// A handle to search with, from any thread. It sees every commit as soon as it is made.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Adds a chunk; it is found after the next commit.
    pub fn add(&mut self, doc: &ChunkDoc<'_>) -> Result<(), KeywordError> {
        let document = self.fields.document(doc);
        self.writer()?.add_document(document).map(drop).map_err(KeywordError::Write)
    }

    /// Deletes every entry of a chunk, at the next commit.
    pub fn delete_chunk(&mut self, chunk: ChunkId) -> Result<(), KeywordError> {
        self.delete(Term::from_field_bytes(self.fields.chunk, chunk.as_bytes()))
    }

    /// Deletes all chunks of a document, at the next commit.
    pub fn delete_document(&mut self, document: DocumentId) -> Result<(), KeywordError> {
        self.delete(Term::from_field_bytes(self.fields.document, document.as_bytes()))
    }

    /// Deletes all chunks of an item, at the next commit.
    pub fn delete_item(&mut self, item: ItemId) -> Result<(), KeywordError> {
        self.delete(Term::from_field_bytes(self.fields.item, item.as_bytes()))
    }

    /// Makes all changes so far visible and lasting, together with the caller's position in its log.
    pub fn commit(&mut self, cursor: u64) -> Result<(), KeywordError> {
        let commit = |writer: &mut IndexWriter| {
            let mut prepared = writer.prepare_commit()?;
            prepared.set_payload(&format!("{LAYOUT} {cursor}"));
            prepared.commit()
        };
        if let Err(error) = commit(self.writer()?) {
            self.writer = None; // the next one begins at the last commit
            return Err(KeywordError::Write(error));
        }
        self.cursor = Some(cursor);
        self.show()
    }

    /// Removes from the files whatever was deleted: until then, deleted words lie in segments that have others too.
    ///
    /// Call it after the commit of a `forget`, since what is not committed is dropped. When it returns, no file holds a word of a deleted chunk, unless a search
    /// is still running on the state before; call it again then.
    pub fn purge(&mut self) -> Result<(), KeywordError> {
        self.rest()?;
        let writer = self.writer()?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let purged = self.rewrite();
        if let Some(writer) = &self.writer {
            writer.set_merge_policy(Box::new(LogMergePolicy::default()));
        }
        purged.map_err(KeywordError::Write)
    }

    /// Gives the writer's memory back once its work is done. What was not committed is dropped; the next change makes a
    /// new writer.
    pub fn rest(&mut self) -> Result<(), KeywordError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.wait_merging_threads().map_err(KeywordError::Write)?;
        self.show()
    }

    /// Rewrites every segment that has deleted chunks, then lets go of the files that are no longer needed.
    fn rewrite(&mut self) -> tantivy::Result<()> {
        for segment in self.index.searchable_segment_metas()? {
            if segment.has_deletes()
                && let Some(writer) = &mut self.writer
            {
                writer.merge(&[segment.id()]).wait()?;
            }
        }
        let snapshot = Snapshot::of(&self.engine, None)?;
        self.reader.set(snapshot);
        if let Some(writer) = &self.writer {
            writer.garbage_collect_files().wait()?;
        }
        Ok(())
    }

    fn delete(&mut self, term: Term) -> Result<(), KeywordError> {
        self.writer()?.delete_term(term);
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut IndexWriter, KeywordError> {
        if self.writer.is_none() {
            let options = IndexWriterOptions::builder()
                .memory_budget_per_thread(WRITER_BYTES)
                .num_worker_threads(1)
                .num_merge_threads(1)
                .build();
            self.writer = Some(self.index.writer_with_options(options).map_err(KeywordError::Write)?);
        }
        Ok(self.writer.as_mut().expect("it was made just now"))
    }

    /// Lets readers see the last commit.
    fn show(&self) -> Result<(), KeywordError> {
        let snapshot = Snapshot::of(&self.engine, Some(&self.reader.snapshot())).map_err(KeywordError::Search)?;
        self.reader.set(snapshot);
        Ok(())
    }
}

/// Searches the last commit.
#[derive(Clone)]
pub struct Reader {
    fields: Fields,
    snapshot: Arc<RwLock<Arc<Snapshot>>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} chunks)", self.len())
    }
}

impl Reader {
    /// How many entries there are; a chunk that is part of two items has two.
    pub fn len(&self) -> usize {
        usize::try_from(self.snapshot().searcher.num_docs()).unwrap_or(usize::MAX)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `count` chunks whose words fit the question best, best first; of equals, the one with the smaller id first.
    ///
    /// When few fit, or the index does not know a word, words that differ in a letter or two count too.
    pub fn search(&self, question: &str, count: usize, filter: &Filter<'_>) -> Result<Vec<Hit>, KeywordError> {
        let question = Question::parse(question);
        if question.is_empty() || count == 0 {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot();
        let search = || {
            let exact = self.query(&question, filter, false)?;
            let hits = snapshot.best(exact.as_ref(), count.max(ENOUGH), filter, None)?;
            let frequency = |term: &Term| snapshot.searcher.doc_freq(term);
            if hits.len() >= ENOUGH && !self.has_unknown(&question, frequency)? {
                return Ok(hits);
            }
            let loose = self.query(&question, filter, true)?;
            snapshot.best(loose.as_ref(), count, filter, None)
        };
        let mut hits = search().map_err(KeywordError::Search)?;
        hits.truncate(count);
        Ok(hits)
    }

    /// What this collection knows of a question's words: all of it, or only what is from these sessions.
    ///
    /// How many words the passages of some sessions have is reckoned from the average of all.
    pub fn weigh(&self, question: &str, sessions: Option<&[SessionId]>) -> Result<Weights, KeywordError> {
        let question = Question::parse(question);
        let Snapshot { searcher, .. } = &*self.snapshot();
        let weigh = || {
            let mut weights = Weights::default();
            let all = searcher.num_docs();
            // No session at all is not the same as any.
            if question.is_empty() || sessions.is_some_and(<[_]>::is_empty) {
                return Ok(weights);
            }
            let among = Filter { sessions: sessions.map(<[_]>::to_vec).unwrap_or_default(), ..Filter::default() };
            let count = |query: Box<dyn Query>| -> tantivy::Result<u64> {
                let mut clauses = vec![(Occur::Must, query)];
                self.filters(&among, &mut clauses);
                Ok(BooleanQuery::new(clauses).count(searcher)? as u64)
            };
            weights.passages = if sessions.is_some() { count(Box::new(AllQuery))? } else { all };
            weights.fitting = self.query(&question, &among, false)?.count(searcher)? as u64;
            let Fields { stem, title, path, text, title_text, .. } = self.fields;
            for field in [stem, title, path, text, title_text] {
                let words = searcher.total_num_tokens(field)?;
                let part = u128::from(words) * u128::from(weights.passages) / u128::from(all.max(1));
                weights.words.insert(field.field_id(), u64::try_from(part).unwrap_or(words));
            }
            let plain = self.query(&question, &Filter::default(), false)?;
            let mut terms = terms_of(plain.as_ref());
            terms.extend(question.words().flat_map(|word| self.forms(word)));
            terms.sort();
            terms.dedup();
            for term in terms {
                let passages = match sessions {
                    Some(_) => count(Box::new(TermQuery::new(term.clone(), IndexRecordOption::Basic)))?,
                    None => searcher.doc_freq(&term)?,
                };
                weights.note(&term, passages);
            }
            Ok(weights)
        };
        weigh().map_err(KeywordError::Search)
    }

    /// [`search`](Self::search), but with words weighed as several collections together know them: the scores of all of them can be
    /// compared then, and each decides alike whether words that differ in a letter or two count.
    pub fn search_among(
        &self,
        question: &str,
        count: usize,
        filter: &Filter<'_>,
        weights: &Weights,
    ) -> Result<Vec<Hit>, KeywordError> {
        let question = Question::parse(question);
        if question.is_empty() || count == 0 {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot();
        let search = || {
            let frequency = |term: &Term| Ok(weights.of(term).unwrap_or_default());
            let loose = weights.fitting < ENOUGH as u64 || self.has_unknown(&question, frequency)?;
            let query = self.query(&question, filter, loose)?;
            snapshot.best(query.as_ref(), count, filter, Some(weights))
        };
        search().map_err(KeywordError::Search)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    /// Does the question have a word, long enough for a typo, that no chunk has?
    fn has_unknown(
        &self,
        question: &Question,
        frequency: impl Fn(&Term) -> tantivy::Result<u64>,
    ) -> tantivy::Result<bool> {
        for word in question.words().filter(|word| typos(word) > 0) {
            let mut passages = 0;
            for term in self.forms(word) {
                passages = frequency(&term)?.saturating_add(passages);
            }
            if passages == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a word is in the text, in titles and in paths.
    fn forms(&self, word: &Word) -> [Term; 3] {
        let Fields { stem, title, path, .. } = self.fields;
        [
            Term::from_field_text(stem, &stemmed(word)),
            Term::from_field_text(title, &stemmed(word)),
            Term::from_field_text(path, &word.text),
        ]
    }

    fn query(&self, question: &Question, filter: &Filter<'_>, loose: bool) -> tantivy::Result<Box<dyn Query>> {
        let mut wanted: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        let telling = question.words().any(|word| !is_stop_word(&word.text));
        for asked in &question.asked {
            match asked {
                Asked::Phrase(words) => {
                    if let Some(phrase) = self.phrase(words) {
                        wanted.push((Occur::Must, phrase));
                    }
                }
                Asked::Words(words) => {
                    for word in words.iter().filter(|word| !telling || !is_stop_word(&word.text)) {
                        let typos = if loose { typos(word) } else { 0 };
                        self.word(word, typos, &mut wanted);
                    }
                }
            }
        }
        // A question with phrases asks for those; its other words only rank. Without, one of its words must be there.
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = if wanted.iter().any(|(occur, _)| *occur == Occur::Must) {
            wanted
        } else {
            vec![(Occur::Must, Box::new(BooleanQuery::new(wanted)))]
        };
        for words in &question.without {
            if let Some(excluded) = self.excluded(words) {
                clauses.push((Occur::MustNot, excluded));
            }
        }
        self.filters(filter, &mut clauses);
        if clauses.len() == 1 {
            return Ok(clauses.remove(0).1);
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    /// Everything a word of the question may match, each worth its part.
    fn word(&self, word: &Word, typos: u8, wanted: &mut Vec<(Occur, Box<dyn Query>)>) {
        let fields = self.fields;
        let mut want = |query: Box<dyn Query>, boost: Score| {
            wanted.push((Occur::Should, if boost == 1.0 { query } else { Box::new(BoostQuery::new(query, boost)) }));
        };
        let term = |field, text: &str| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::WithFreqs))
        };
        let stemmed = stemmed(word);
        want(term(fields.stem, &stemmed), 1.0);
        want(term(fields.title, &stemmed), TITLE_BOOST);
        want(term(fields.path, &word.text), PATH_BOOST);
        if word.kind == WordKind::Single {
            let begins = FuzzyTermQuery::new_prefix(Term::from_field_text(fields.stem, &word.text), 0, true);
            want(Box::new(begins), 1.0);
        }
        if typos > 0 {
            let near = FuzzyTermQuery::new(Term::from_field_text(fields.text, &word.text), typos, true);
            want(Box::new(near), TYPO_BOOST);
        }
    }

    /// What must not be there: any form of one word, or several words next to one another.
    fn excluded(&self, words: &[Word]) -> Option<Box<dyn Query>> {
        let [word] = words else { return self.phrase(words) };
        let stemmed = stemmed(word);
        let either = [self.fields.stem, self.fields.title].map(|field| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(field, &stemmed), IndexRecordOption::Basic))
        });
        Some(Box::new(BooleanQuery::union(either.into())))
    }

    /// These words next to one another, in the text or in the title.
    fn phrase(&self, words: &[Word]) -> Option<Box<dyn Query>> {
        let first = words.first()?.place;
        let mut parts: Vec<&Word> = words.iter().filter(|word| word.kind != WordKind::Whole).collect();
        // The last character of a run is in the pair before it already, and inside a longer run it does not stand alone.
        if parts.len() > 1 && parts.last().is_some_and(|last| last.kind == WordKind::Single) {
            parts.pop();
        }
        if parts.is_empty() {
            return None;
        }
        let within = |field| -> Box<dyn Query> {
            let term = |word: &Word| Term::from_field_text(field, &word.text);
            match parts.as_slice() {
                [word] if word.kind == WordKind::Single => Box::new(FuzzyTermQuery::new_prefix(term(word), 0, true)),
                [word] => Box::new(TermQuery::new(term(word), IndexRecordOption::WithFreqs)),
                _ => Box::new(PhraseQuery::new_with_offset(
                    parts.iter().map(|word| (word.place - first, term(word))).collect(),
                )),
            }
        };
        let either = vec![within(self.fields.text), within(self.fields.title_text)];
        Some(Box::new(BooleanQuery::union(either)))
    }

    fn filters(&self, filter: &Filter<'_>, clauses: &mut Vec<(Occur, Box<dyn Query>)>) {
        let fields = self.fields;
        let mut among = |terms: Vec<Term>| {
            if !terms.is_empty() {
                let set: Box<dyn Query> = Box::new(TermSetQuery::new(terms));
                clauses.push((Occur::Must, Box::new(BoostQuery::new(set, 0.0))));
            }
        };
        among(filter.sources.iter().map(|source| Term::from_field_text(fields.source, source)).collect());
        among(filter.kinds.iter().map(|kind| Term::from_field_text(fields.kind, kind)).collect());
        among(filter.sessions.iter().map(|id| Term::from_field_bytes(fields.session, id.as_bytes())).collect());
        among(filter.items.iter().map(|id| Term::from_field_bytes(fields.item, id.as_bytes())).collect());
        if filter.since.is_some() || filter.until.is_some() {
            let bound = |moment: Option<Moment>| match moment {
                Some(moment) => Bound::Included(Term::from_field_u64(fields.modified, moment.as_millis())),
                None => Bound::Unbounded,
            };
            let range: Box<dyn Query> = Box::new(RangeQuery::new(bound(filter.since), bound(filter.until)));
            clauses.push((Occur::Must, Box::new(BoostQuery::new(range, 0.0))));
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
    }
}

/// How many letters of a word may be wrong.
fn typos(word: &Word) -> u8 {
    match word.text.chars().count() {
        _ if word.kind != WordKind::Plain || word.text.chars().any(char::is_numeric) => 0,
        TWO_TYPOS_CHARS.. => 2,
        ONE_TYPO_CHARS.. => 1,
        _ => 0,
    }
}

/// What a word is in the field of stems.
fn stemmed(word: &Word) -> String {
    if word.kind == WordKind::Plain { stem(&word.text) } else { word.text.clone() }
}

/// What a commit says of itself: the layout, and the caller's position.
fn read_payload(payload: &str) -> Result<u64, KeywordError> {
    let damaged = || KeywordError::Damaged(TantivyError::SystemError("the commit says nothing of its position".into()));
    let (layout, cursor) = payload.split_once(' ').ok_or_else(damaged)?;
    match layout.parse() {
        Ok(LAYOUT) => cursor.parse().map_err(|_| damaged()),
        Ok(found) => Err(KeywordError::OtherLayout { found }),
        Err(_) => Err(damaged()),
    }
}

/// The state of one commit, and which chunk each of its entries is.
struct Snapshot {
    searcher: Searcher,
    chunks: Vec<Arc<Vec<ChunkId>>>,
}

impl Snapshot {
    /// The last commit. What the one before knew of segments that are still there is taken over.
    fn of(engine: &IndexReader, before: Option<&Self>) -> tantivy::Result<Self> {
        engine.reload()?;
        let searcher = engine.searcher();
        let known: HashMap<_, _> = before
            .map(|before| before.searcher.segment_readers().iter().map(SegmentReader::segment_id).zip(&before.chunks))
            .into_iter()
            .flatten()
            .collect();
        let chunks = searcher
            .segment_readers()
            .iter()
            .map(|segment| match known.get(&segment.segment_id()) {
                Some(chunks) => Ok(Arc::clone(chunks)),
                None => chunks_of(segment).map(Arc::new),
            })
            .collect::<tantivy::Result<_>>()?;
        Ok(Self { searcher, chunks })
    }

    /// The best hits of a query, each chunk once; words are weighed by this index, or by several.
    fn best(
        &self,
        query: &dyn Query,
        count: usize,
        filter: &Filter<'_>,
        weights: Option<&Weights>,
    ) -> tantivy::Result<Vec<Hit>> {
        let among = weights.map(Among);
        let weight = query.weight(match &among {
            Some(among) => EnableScoring::enabled_from_statistics_provider(among, &self.searcher),
            None => EnableScoring::enabled_from_searcher(&self.searcher),
        })?;
        let mut best = Best { hits: Vec::new(), count };
        for (segment, chunks) in self.searcher.segment_readers().iter().zip(&self.chunks) {
            let alive = segment.alive_bitset();
            weight.for_each_pruning(best.threshold(), segment, &mut |entry: DocId, score: Score| {
                let chunk = chunks[entry as usize];
                if alive.is_none_or(|alive| alive.is_alive(entry)) {
                    best.offer(Hit { chunk, score }, filter);
                }
                best.threshold()
            })?;
        }
        Ok(best.hits)
    }
}

/// The best hits so far, best first.
struct Best {
    hits: Vec<Hit>,
    count: usize,
}

impl Best {
    /// Only scores above this matter. Equals of the last one do, as the smaller id wins.
    fn threshold(&self) -> Score {
        match self.hits.last() {
            Some(last) if self.hits.len() == self.count => last.score.next_down(),
            _ => Score::MIN,
        }
    }

    fn offer(&mut self, hit: Hit, filter: &Filter<'_>) {
        let before = |a: &Hit, b: &Hit| a.score > b.score || a.score == b.score && a.chunk < b.chunk;
        if self.hits.len() == self.count && self.hits.last().is_some_and(|last| !before(&hit, last)) {
            return;
        }
        if filter.allow.is_some_and(|allow| !allow(hit.chunk)) {
            return;
        }
        if let Some(same) = self.hits.iter().position(|other| other.chunk == hit.chunk) {
            if !before(&hit, &self.hits[same]) {
                return;
            }
            self.hits.remove(same);
        }
        let place = self.hits.partition_point(|other| before(other, &hit));
        self.hits.insert(place, hit);
        self.hits.truncate(self.count);
    }
}

/// Which chunk each entry of a segment is.
fn chunks_of(segment: &SegmentReader) -> tantivy::Result<Vec<ChunkId>> {
    let high = segment.fast_fields().u64(CHUNK_HIGH)?;
    let low = segment.fast_fields().u64(CHUNK_LOW)?;
    let missing = || TantivyError::InternalError("an entry of the keyword index has no chunk".into());
    (0..segment.max_doc())
        .map(|entry| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&high.first(entry).ok_or_else(missing)?.to_be_bytes());
            id[8..].copy_from_slice(&low.first(entry).ok_or_else(missing)?.to_be_bytes());
            Ok(ChunkId::from_bytes(id))
        })
        .collect()
}

const CHUNK_HIGH: &str = "chunk_high";
const CHUNK_LOW: &str = "chunk_low";

/// What is indexed of a chunk.
#[derive(Clone, Copy)]
struct Fields {
    chunk: Field,
    chunk_high: Field,
    chunk_low: Field,
    item: Field,
    document: Field,
    session: Field,
    text: Field,
    stem: Field,
    title: Field,
    title_text: Field,
    path: Field,
    source: Field,
    kind: Field,
    modified: Field,
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let id = || BytesOptions::default().set_indexed();
    let words = |record| {
        TextOptions::default()
            .set_indexing_options(TextFieldIndexing::default().set_tokenizer("raw").set_index_option(record))
    };
    let fields = Fields {
        chunk: schema.add_bytes_field("chunk", id()),
        chunk_high: schema.add_u64_field(CHUNK_HIGH, FAST),
        chunk_low: schema.add_u64_field(CHUNK_LOW, FAST),
        item: schema.add_bytes_field("item", id()),
        document: schema.add_bytes_field("document", id()),
        session: schema.add_bytes_field("session", id()),
        text: schema.add_text_field("text", words(IndexRecordOption::WithFreqsAndPositions)),
        stem: schema.add_text_field("stem", words(IndexRecordOption::WithFreqs)),
        title: schema.add_text_field("title", words(IndexRecordOption::WithFreqs)),
        title_text: schema.add_text_field("title_text", words(IndexRecordOption::WithFreqsAndPositions)),
        path: schema.add_text_field("path", words(IndexRecordOption::WithFreqs)),
        source: schema.add_text_field("source", STRING),
        kind: schema.add_text_field("kind", STRING),
        modified: schema.add_u64_field("modified", FAST | INDEXED),
    };
    (schema.build(), fields)
}

impl Fields {
    fn document(&self, doc: &ChunkDoc<'_>) -> TantivyDocument {
        let (high, low) = doc.chunk.as_bytes().split_first_chunk::<8>().expect("an id has 16 bytes");
        let low = low.first_chunk::<8>().expect("an id has 16 bytes");
        let (text, title) = (words(doc.text), words(doc.title));
        let mut document = TantivyDocument::default();
        document.add_bytes(self.chunk, doc.chunk.as_bytes());
        document.add_u64(self.chunk_high, u64::from_be_bytes(*high));
        document.add_u64(self.chunk_low, u64::from_be_bytes(*low));
        document.add_bytes(self.item, doc.item.as_bytes());
        document.add_bytes(self.document, doc.document.as_bytes());
        document.add_bytes(self.session, doc.session.as_bytes());
        document.add_pre_tokenized_text(self.stem, tokens(&text, stemmed));
        document.add_pre_tokenized_text(self.text, tokens(&text, |word| word.text.clone()));
        document.add_pre_tokenized_text(self.title, tokens(&title, stemmed));
        document.add_pre_tokenized_text(self.title_text, tokens(&title, |word| word.text.clone()));
        document.add_pre_tokenized_text(self.path, tokens(&words(doc.path), |word| word.text.clone()));
        document.add_text(self.source, doc.source);
        document.add_text(self.kind, doc.kind);
        document.add_u64(self.modified, doc.modified.as_millis());
        document
    }
}

fn tokens(words: &[Word], text: impl Fn(&Word) -> String) -> PreTokenizedString {
    let token = |word: &Word| Token { position: word.place, text: text(word), position_length: 1, ..Token::default() };
    PreTokenizedString { text: String::new(), tokens: words.iter().map(token).collect() }
}
