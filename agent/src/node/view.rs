//! What a change in the log means for the state: one change list, one transaction.
//!
//! The same code runs when a change is made and when the log is replayed, so a state made anew is the state there was. It decides
//! nothing about indexes; it says in [`Effects`] what they must do.

use std::collections::BTreeMap;

use hearth_core::{
    ChunkId, DeviceId, DocumentId, ItemId, Moment, SpaceId, job,
    segment::{Chain, Segment},
    session::Gate,
    sync,
};
use minicbor::{Decode, Encode};

use super::record::{
    Body, ChunkRecord, DocumentRecord, EndRecord, ForgottenTags, GoneRecord, ItemRecord, JobRecord, Meta, Renamed,
    Totals, Vectors,
};
use hearth_store::{Batch, Log, Position, Slot, State, StoreError, Tree};

pub(crate) const CURSOR: &[u8] = b"cursor";
pub(crate) const GATE: &[u8] = b"gate";
pub(crate) const TOTALS: &[u8] = b"totals";
/// Since when the index files hold something of what is gone.
pub(crate) const UNPURGED: &[u8] = b"unpurged";

/// A change with its body open.
#[derive(Debug)]
pub(crate) enum Change {
    /// A version of an item.
    Document { document: DocumentId, seq: u64, slot: Slot, body: Box<Body> },
    /// Vectors of a document's passages.
    Embedding { document: DocumentId, vectors: Vectors },
    /// New facts about an item.
    Rename { document: DocumentId, renamed: Box<Renamed> },
    /// A document is gone.
    Tombstone { document: DocumentId },
    /// The sessions and the hold.
    Gate(Box<Gate>),
    /// What was forgotten.
    Forgotten(ForgottenTags),
    /// How far its author has come.
    Reached(sync::Frontier),
    /// Something whose key was destroyed.
    Dead,
}

/// What the indexes must do after a step.
#[derive(Default, Debug)]
pub(crate) struct Effects {
    /// Items whose entries in the keyword index are out of date.
    pub(crate) unindex: Vec<ItemId>,
    /// Versions to put into the keyword index.
    pub(crate) index: Vec<Body>,
    /// Passages that are in no document any more.
    pub(crate) unused: Vec<ChunkId>,
    /// Vectors to put into the vector index.
    pub(crate) vectors: Vec<Vectors>,
    /// Documents that wait for vectors now.
    pub(crate) pending: Vec<DocumentId>,
    /// Versions whose entries in the keyword index need new facts.
    pub(crate) reindex: Vec<DocumentId>,
    /// The sessions and the hold, when they changed.
    pub(crate) gate: Option<Box<Gate>>,
    /// Keys of documents that another node erased.
    pub(crate) erased: Vec<Slot>,
    /// Own things that went by an order that came from another node.
    pub(crate) forgotten: Vec<Meta>,
}

/// Where one segment stands.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Its place in the log.
    pub(crate) position: Position,
    pub(crate) now: Moment,
    /// What is known of it when the fleet shares it.
    pub(crate) origin: Option<Origin>,
    /// Whether it came from another node just now; then the keys of what it erases go too.
    pub(crate) received: bool,
}

/// Whose segment it is, and what log it continues.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) log: sync::Log,
    /// The log right after it.
    pub(crate) chain: Chain,
    pub(crate) residency: u16,
    /// The fleet's space.
    pub(crate) space: SpaceId,
    /// Its author, when that is another node.
    pub(crate) node: Option<DeviceId>,
}

impl Origin {
    /// Of a segment that names another fleet than a node that is in none.
    pub(crate) fn of(segment: &Segment, own: DeviceId, space: SpaceId) -> Self {
        let head = segment.head();
        let author = DeviceId::of_key_bytes(&head.author);
        Self {
            log: sync::Log { author, incarnation: head.incarnation },
            chain: Chain::right_after(segment),
            residency: head.residency,
            space,
            node: (author != own).then_some(author),
        }
    }
}

/// The key of a log's end.
pub(crate) fn end_key(log: &sync::Log) -> Vec<u8> {
    [&log.author.as_bytes()[..], &log.incarnation.to_be_bytes()].concat()
}

/// The key of a segment's place.
pub(crate) fn segment_key(log: &sync::Log, number: u64) -> Vec<u8> {
    [&end_key(log)[..], &number.to_be_bytes()].concat()
}

/// Applies what one segment says and moves the cursor behind it, in one transaction.
pub(crate) fn apply(state: &State, arrival: Arrival, changes: Vec<Change>) -> Result<Effects, StoreError> {
    let Arrival { position, now, origin, received } = arrival;
    let mut step = Step {
        state,
        now,
        position,
        origin,
        received,
        writes: BTreeMap::new(),
        effects: Effects::default(),
        totals: Totals::default(),
    };
    step.totals = step.get(Tree::Meta, TOTALS)?.unwrap_or_default();
    step.arrive()?;
    for change in changes {
        step.change(change)?;
    }
    let totals = std::mem::take(&mut step.totals);
    step.put(Tree::Meta, TOTALS, &totals);
    step.put(Tree::Meta, CURSOR, &Log::after(position));
    let mut batch = Batch::default();
    for ((tree, key), value) in step.writes {
        batch.put_raw(tree, key, value);
    }
    let effects = step.effects;
    state.apply(batch)?;
    Ok(effects)
}

type Key = (Tree, Vec<u8>);

/// A transaction in the making: it sees what it wrote.
struct Step<'s> {
    state: &'s State,
    now: Moment,
    position: Position,
    origin: Option<Origin>,
    received: bool,
    writes: BTreeMap<Key, Option<Vec<u8>>>,
    effects: Effects,
    totals: Totals,
}

impl Step<'_> {
    fn get<T: for<'b> Decode<'b, ()>>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, StoreError> {
        match self.writes.get(&(tree, key.to_vec())) {
            Some(Some(bytes)) => {
                minicbor::decode(bytes).map(Some).map_err(|_| StoreError::Damaged("a record of the state"))
            }
            Some(None) => Ok(None),
            None => self.state.get(tree, key),
        }
    }

    fn put(&mut self, tree: Tree, key: &[u8], value: &impl Encode<()>) {
        let bytes = minicbor::to_vec(value).expect("writing to memory does not fail");
        self.writes.insert((tree, key.to_vec()), Some(bytes));
    }

    fn remove(&mut self, tree: Tree, key: &[u8]) {
        self.writes.insert((tree, key.to_vec()), None);
    }

    /// Notes where the segment lies and how far its log is here now.
    fn arrive(&mut self) -> Result<(), StoreError> {
        let Some(Origin { log, chain, residency, .. }) = self.origin.clone() else { return Ok(()) };
        let number = chain.number.checked_sub(1).ok_or(StoreError::Damaged("a segment of the log"))?;
        self.put(Tree::Segment, &segment_key(&log, number), &self.position.clone());
        let known: Option<EndRecord> = self.get(Tree::End, &end_key(&log))?;
        if known.is_none_or(|known| known.number < chain.number) {
            let Chain { author, number, seq, head, .. } = chain;
            self.put(Tree::End, &end_key(&log), &EndRecord { author, number, seq, head, residency });
        }
        Ok(())
    }

    /// The node that says so, when it is another one.
    fn node(&self) -> Option<DeviceId> {
        self.origin.as_ref().and_then(|origin| origin.node)
    }

    fn space(&self) -> Option<SpaceId> {
        self.origin.as_ref().map(|origin| origin.space)
    }

    fn change(&mut self, change: Change) -> Result<(), StoreError> {
        match change {
            Change::Document { document, seq, slot, body } => self.document(document, seq, slot, body),
            Change::Embedding { document, vectors } => self.embedding(document, vectors),
            Change::Rename { document, renamed } => self.rename(document, *renamed),
            Change::Tombstone { document } => self.tombstone(document),
            Change::Gate(gate) => {
                self.put(Tree::Meta, GATE, &*gate);
                self.effects.gate = Some(gate);
                Ok(())
            }
            Change::Forgotten(ForgottenTags(tags)) => {
                for tag in tags {
                    self.put(Tree::Forgotten, tag.as_bytes(), &self.now.clone());
                }
                Ok(())
            }
            Change::Reached(frontier) => {
                if let Some(origin) = &self.origin {
                    let device = *origin.log.author.as_bytes();
                    self.put(Tree::Reached, &device, &minicbor::bytes::ByteVec::from(frontier.encode()));
                }
                Ok(())
            }
            Change::Dead => {
                self.dead(self.position);
                Ok(())
            }
        }
    }

    fn document(&mut self, document: DocumentId, seq: u64, slot: Slot, mut body: Box<Body>) -> Result<(), StoreError> {
        if self.get::<DocumentRecord>(Tree::Document, document.as_bytes())?.is_some() {
            return Ok(()); // Replayed: it is there.
        }
        self.remove(Tree::Ahead, document.as_bytes());
        if self.get::<GoneRecord>(Tree::Gone, document.as_bytes())?.is_some() {
            self.effects.erased.push(slot);
            self.dead(self.position);
            return Ok(());
        }
        let node = self.node();
        let mut item = body.meta.item;
        let mut before = self.get::<ItemRecord>(Tree::Item, item.as_bytes())?;
        // Nobody writes over what another node captured.
        if before.as_ref().is_some_and(|before| before.node != node) {
            return Ok(());
        }
        if before.is_none() && node.is_none() {
            // After a backup one thing may have been captured twice: it stays one item.
            let name = name_key(&body.meta.source, &body.meta.name);
            if let Some(twin) = self.get::<ItemId>(Tree::Name, &name)? {
                before = self.get::<ItemRecord>(Tree::Item, twin.as_bytes())?.filter(|twin| twin.node.is_none());
                item = before.as_ref().map_or(item, |before| before.meta.item);
                body.meta.item = item;
            }
        }
        let (incarnation, residency) =
            self.origin.as_ref().map_or((0, 0), |origin| (origin.log.incarnation, origin.residency));
        if let Some(mut before) = before.clone()
            && self.comes_late(&before, incarnation, seq, body.meta.captured_at)?
        {
            let (position, shared) = (self.position, self.space());
            let (chunks, also) = (Vec::new(), Vec::new());
            let record = DocumentRecord { item, position, seq, slot, chunks, also, shared, incarnation, residency };
            self.put(Tree::Document, document.as_bytes(), &record);
            before.older.push(document);
            self.put(Tree::Item, item.as_bytes(), &before);
            return Ok(());
        }
        let mut waits = false;
        for passage in &body.passages {
            let mut chunk: ChunkRecord = self.get(Tree::Chunk, passage.id.as_bytes())?.unwrap_or_default();
            if chunk.documents.is_empty() {
                self.totals.chunks += 1;
                self.totals.embedded += u64::from(chunk.embedded);
            }
            if !chunk.documents.contains(&document) {
                chunk.documents.push(document);
            }
            waits |= !chunk.embedded;
            self.put(Tree::Chunk, passage.id.as_bytes(), &chunk);
        }
        // After the new version holds its passages, so that those that stay keep their vectors.
        let mut older = Vec::new();
        if let Some(before) = before {
            older = before.older.clone();
            older.push(before.document);
            self.release(&before)?;
            self.unname(&before)?;
            self.uncount(&before);
        }
        if waits && node.is_some() {
            // Its author is at it already.
            self.put(Tree::Awaited, document.as_bytes(), &self.now.clone());
        } else if waits {
            self.put(Tree::Job, document.as_bytes(), &JobRecord { state: job::State::new(self.now) });
            self.totals.pending += 1;
            self.effects.pending.push(document);
        }
        let chunks = body.passages.iter().map(|passage| passage.id).collect();
        let (position, shared) = (self.position, self.space());
        let also = Vec::new();
        let record = DocumentRecord { item, position, seq, slot, chunks, also, shared, incarnation, residency };
        self.put(Tree::Document, document.as_bytes(), &record);
        let passages = u32::try_from(body.passages.len()).unwrap_or(u32::MAX);
        let record = ItemRecord { meta: body.meta.clone(), document, passages, older, node };
        self.name(&record);
        self.count(&record);
        self.put(Tree::Item, item.as_bytes(), &record);
        self.effects.unindex.push(item);
        self.effects.index.push(*body);
        Ok(())
    }

    /// Whether a version comes after one that is newer: after a backup, an author's logs arrive in any order.
    fn comes_late(
        &self,
        before: &ItemRecord,
        incarnation: u64,
        seq: u64,
        captured_at: Moment,
    ) -> Result<bool, StoreError> {
        let Some(origin) = &self.origin else { return Ok(false) };
        let Some(current) = self.get::<DocumentRecord>(Tree::Document, before.document.as_bytes())? else {
            return Ok(false);
        };
        Ok(if current.shared == Some(origin.space) {
            (incarnation, seq) < (current.incarnation, current.seq)
        } else {
            captured_at < before.meta.captured_at
        })
    }

    fn embedding(&mut self, document: DocumentId, vectors: Vectors) -> Result<(), StoreError> {
        let Some(mut record) = self.get::<DocumentRecord>(Tree::Document, document.as_bytes())? else { return Ok(()) };
        if record.also.last() != Some(&self.position) {
            record.also.push(self.position);
            self.put(Tree::Document, document.as_bytes(), &record);
        }
        let Vectors { model, rows, more } = vectors;
        let mut kept = Vectors { model, rows: Vec::new(), more };
        for row in rows {
            let Some(mut chunk) = self.get::<ChunkRecord>(Tree::Chunk, row.chunk.as_bytes())? else { continue };
            if !chunk.embedded {
                chunk.embedded = true;
                self.totals.embedded += 1;
                self.put(Tree::Chunk, row.chunk.as_bytes(), &chunk);
            }
            kept.rows.push(row);
        }
        if kept.more {
            self.renew_job(document)?;
        } else {
            self.finish_job(document)?;
            self.have_vectors(document, &record.chunks)?;
        }
        self.effects.vectors.push(kept);
        Ok(())
    }

    fn rename(&mut self, document: DocumentId, renamed: Renamed) -> Result<(), StoreError> {
        let meta = renamed.meta;
        let Some(mut item) = self.get::<ItemRecord>(Tree::Item, meta.item.as_bytes())? else { return Ok(()) };
        if item.node != self.node() {
            return Ok(());
        }
        if let Some(mut record) = self.get::<DocumentRecord>(Tree::Document, document.as_bytes())?
            && record.also.last() != Some(&self.position)
        {
            record.also.push(self.position);
            self.put(Tree::Document, document.as_bytes(), &record);
        }
        self.unname(&item)?;
        self.uncount(&item);
        item.meta = meta;
        self.name(&item);
        self.count(&item);
        self.put(Tree::Item, item.meta.item.as_bytes(), &item);
        self.effects.reindex.push(item.document);
        Ok(())
    }

    fn tombstone(&mut self, document: DocumentId) -> Result<(), StoreError> {
        let Some(record) = self.get::<DocumentRecord>(Tree::Document, document.as_bytes())? else {
            // It may still be on its way, by another author's log than the order to erase it.
            return self.gone(document, None, false);
        };
        // What stays on this node is nobody else's to erase.
        if self.node().is_some() && record.shared != self.space() {
            return Ok(());
        }
        if self.received || self.node().is_some() {
            self.effects.erased.push(record.slot);
        }
        let mut whole = false;
        if let Some(mut item) = self.get::<ItemRecord>(Tree::Item, record.item.as_bytes())? {
            if item.document == document {
                whole = true;
                if self.received && item.node.is_none() {
                    self.effects.forgotten.push(item.meta.clone());
                }
                self.release(&item)?;
                self.unname(&item)?;
                self.uncount(&item);
                self.remove(Tree::Item, record.item.as_bytes());
                self.effects.unindex.push(record.item);
                if self.get::<Moment>(Tree::Meta, UNPURGED)?.is_none() {
                    self.put(Tree::Meta, UNPURGED, &self.now.clone());
                }
            } else {
                item.older.retain(|older| *older != document);
                self.put(Tree::Item, record.item.as_bytes(), &item);
            }
        }
        self.finish_job(document)?;
        self.remove(Tree::Awaited, document.as_bytes());
        self.remove(Tree::Document, document.as_bytes());
        record.also.iter().chain([&record.position]).for_each(|position| self.dead(*position));
        if record.shared.is_some() { self.gone(document, Some(record.item), whole) } else { Ok(()) }
    }

    /// The fleet erased this document; the first order counts.
    fn gone(&mut self, document: DocumentId, item: Option<ItemId>, whole: bool) -> Result<(), StoreError> {
        let Some(Origin { log, chain, .. }) = self.origin.clone() else { return Ok(()) };
        let key = document.as_bytes();
        if self.get::<GoneRecord>(Tree::Gone, key)?.is_none() {
            let (since, number) = (self.now, chain.number.saturating_sub(1));
            let (author, incarnation) = (log.author, log.incarnation);
            self.put(Tree::Gone, key, &GoneRecord { since, author, incarnation, number, whole, item });
        }
        Ok(())
    }

    /// Something at this place of the log belongs to no document any more.
    fn dead(&mut self, position: Position) {
        self.put(Tree::Dead, &position.as_u64().to_be_bytes(), &());
    }

    /// An item's current version no longer holds its passages.
    fn release(&mut self, item: &ItemRecord) -> Result<(), StoreError> {
        self.finish_job(item.document)?;
        self.remove(Tree::Awaited, item.document.as_bytes());
        let Some(record) = self.get::<DocumentRecord>(Tree::Document, item.document.as_bytes())? else { return Ok(()) };
        for id in record.chunks {
            let Some(mut chunk) = self.get::<ChunkRecord>(Tree::Chunk, id.as_bytes())? else { continue };
            chunk.documents.retain(|document| *document != item.document);
            if chunk.documents.is_empty() {
                self.totals.chunks -= 1;
                self.totals.embedded -= u64::from(chunk.embedded);
                self.remove(Tree::Chunk, id.as_bytes());
                self.effects.unused.push(id);
            } else {
                self.put(Tree::Chunk, id.as_bytes(), &chunk);
            }
        }
        Ok(())
    }

    fn finish_job(&mut self, document: DocumentId) -> Result<(), StoreError> {
        if self.get::<JobRecord>(Tree::Job, document.as_bytes())?.is_some() {
            self.totals.pending -= 1;
            self.remove(Tree::Job, document.as_bytes());
        }
        Ok(())
    }

    /// A document of another node is awaited no more once each of its passages has a vector.
    fn have_vectors(&mut self, document: DocumentId, chunks: &[ChunkId]) -> Result<(), StoreError> {
        for chunk in chunks {
            let chunk: Option<ChunkRecord> = self.get(Tree::Chunk, chunk.as_bytes())?;
            if chunk.is_some_and(|chunk| !chunk.embedded) {
                return Ok(());
            }
        }
        self.remove(Tree::Awaited, document.as_bytes());
        Ok(())
    }

    /// Whoever does it is alive.
    fn renew_job(&mut self, document: DocumentId) -> Result<(), StoreError> {
        if let Some(job) = self.get::<JobRecord>(Tree::Job, document.as_bytes())? {
            let state = job.state.next(self.now, job::Event::Progressed);
            self.put(Tree::Job, document.as_bytes(), &JobRecord { state });
        }
        Ok(())
    }

    /// The names of things on other nodes are theirs: here, another thing may lie in that place.
    fn name(&mut self, item: &ItemRecord) {
        if item.node.is_some() {
            return;
        }
        self.put(Tree::Name, &name_key(&item.meta.source, &item.meta.name), &item.meta.item);
        if let Some(external) = &item.meta.external {
            self.put(Tree::External, external.as_bytes(), &item.meta.item);
        }
    }

    fn unname(&mut self, item: &ItemRecord) -> Result<(), StoreError> {
        if item.node.is_some() {
            return Ok(());
        }
        let key = name_key(&item.meta.source, &item.meta.name);
        // Somebody else may have taken the name meanwhile.
        if self.get::<ItemId>(Tree::Name, &key)? == Some(item.meta.item) {
            self.remove(Tree::Name, &key);
        }
        if let Some(external) = &item.meta.external {
            self.remove(Tree::External, external.as_bytes());
        }
        Ok(())
    }

    fn count(&mut self, item: &ItemRecord) {
        self.totals.items += 1;
        if item.node.is_some() {
            self.totals.foreign += 1;
        } else {
            *self.totals.by_source.entry(item.meta.source.clone()).or_default() += 1;
        }
        for (class, count) in &item.meta.redactions {
            *self.totals.redactions.entry(class.clone()).or_default() += u64::from(*count);
        }
    }

    fn uncount(&mut self, item: &ItemRecord) {
        self.totals.items -= 1;
        if item.node.is_some() {
            self.totals.foreign -= 1;
        } else {
            take(&mut self.totals.by_source, &item.meta.source, 1);
        }
        for (class, count) in &item.meta.redactions {
            take(&mut self.totals.redactions, class, u64::from(*count));
        }
    }
}

fn take(sums: &mut BTreeMap<String, u64>, key: &str, count: u64) {
    if let Some(sum) = sums.get_mut(key) {
        *sum -= count;
        if *sum == 0 {
            sums.remove(key);
        }
    }
}

/// The key of a name: the state replaces it by a keyed hash.
pub(crate) fn name_key(source: &str, name: &[u8]) -> Vec<u8> {
    let mut key = source.as_bytes().to_vec();
    key.push(0);
    key.extend(name);
    key
}
