//! Forgetting: keys destroyed, changes pruned from the log, words and vectors gone from the index files.
//!
//! The tombstone is logged first, so that a crash in between is finished by the next order or the next start; then the keys go,
//! which is what makes it final. The state keeps which places of the log are to be pruned, until they are. Backups that were made
//! outside are out of reach, and the answer does not pretend otherwise.

use std::{sync::atomic::Ordering, time::Duration};

use hearth_core::{DocumentId, Moment, audit::Event, delta::Kind, session};

use super::{
    Entry, NodeError, Shared, Writer, lock, now,
    record::{ChunkRecord, ForgottenTags, GoneRecord, ItemRecord},
    view::UNPURGED,
};
use crate::ask::{Failure, FailureKind, Forget, Forgotten, Mode};
use hearth_store::{Batch, Position, State, StoreError, Tree, is_disk_full};

const TITLES: usize = 10;
/// What is gone from its source leaves the index files after so long; writing them anew for each file would never end.
const PURGE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A query can mean this many items at most; more is a slip.
const QUERY_ITEMS_MAX: usize = 1_000;

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgetError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{0}")]
    Refused(Failure),
}

impl Shared {
    /// Forgets what was named, or says what that would be.
    pub(crate) fn forget(&self, what: &Forget, dry_run: bool) -> Result<Forgotten, ForgetError> {
        let items = self.meant(what)?;
        let others =
            self.membership().map_or(0, |membership| membership.fleet.members(now()).count().saturating_sub(1));
        let (items_count, others) = (items.len() as u64, others as u64);
        let mut forgotten = Forgotten { items: items_count, documents: 0, titles: Vec::new(), dry_run, others };
        forgotten.titles = items.iter().take(TITLES).map(|item| item.meta.title.clone()).collect();
        forgotten.documents = items.iter().map(|item| 1 + item.older.len() as u64).sum();
        if dry_run {
            return Ok(forgotten);
        }
        match self.forget_these(what, &items, &forgotten) {
            // Room was set aside for just this. What the first attempt left half done, the sweep finishes.
            Err(error) if error.is_full() && self.folder.release_reserve() => {
                self.forget_these(what, &items, &forgotten)?;
                self.sweep_keys()?;
            }
            other => other?,
        }
        Ok(forgotten)
    }

    fn forget_these(&self, what: &Forget, items: &[ItemRecord], forgotten: &Forgotten) -> Result<(), NodeError> {
        let by = match what {
            Forget::Last { .. } => "last",
            Forget::Item { .. } => "item",
            Forget::Query { .. } => "query",
            Forget::Session { session } => {
                self.change_gate(|gate| gate.handle_session(now(), *session, session::Event::Close))?;
                "session"
            }
        };
        self.erase(items)?;
        if let Forget::Session { session } = what {
            self.change_gate(|gate| gate.remove(*session))?;
        }
        self.audit(Event::Forgot { by: by.into(), items: forgotten.items, documents: forgotten.documents })
    }

    /// Forgets what its session no longer keeps; says how many items that were.
    pub(crate) fn forget_expired(&self, at: Moment) -> Result<u64, NodeError> {
        let gate = self.gate();
        let day = Duration::from_secs(24 * 3600);
        let mut items = Vec::new();
        self.each_item(|item| {
            let keep = gate.session(item.meta.session).and_then(|session| session.keep_days);
            if keep.is_some_and(|days| item.meta.captured_at + day * days <= at) {
                items.push(item);
            }
            Ok(())
        })?;
        if !items.is_empty() {
            let documents = items.iter().map(|item| 1 + item.older.len() as u64).sum();
            self.erase(&items)?;
            self.audit(Event::Forgot { by: "retention".into(), items: items.len() as u64, documents })?;
        }
        Ok(items.len() as u64)
    }

    fn meant(&self, what: &Forget) -> Result<Vec<ItemRecord>, ForgetError> {
        let mut items = Vec::new();
        match what {
            Forget::Last { ms } => {
                let since = now() - Duration::from_millis(*ms);
                self.each_item(|item| {
                    // A clock that was set back leaves captures in the future; those are recent, too. What others captured is not
                    // what was done here just now.
                    if item.node.is_none() && item.meta.captured_at >= since {
                        items.push(item);
                    }
                    Ok(())
                })?;
            }
            Forget::Item { id } => {
                let item = self.item_called(id).map_err(NodeError::from)?;
                items.push(item.ok_or_else(|| {
                    let message = "no item has this id or path; `hearth search` shows ids";
                    ForgetError::Refused(Failure::new(FailureKind::NotFound, message))
                })?);
            }
            Forget::Query { text } => {
                let every: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
                if every.is_empty() {
                    let message = "name the words; `--query` forgets every item in which all of them occur";
                    return Err(ForgetError::Refused(Failure::new(FailureKind::Usage, message)));
                }
                let query = crate::ask::Query {
                    text: text.clone(),
                    limit: QUERY_ITEMS_MAX,
                    mode: Mode::Keyword,
                    ..Default::default()
                };
                for hit in self.find(&query)?.hits {
                    let Some(item) = self.item_called(&hit.id).map_err(NodeError::from)? else { continue };
                    let Some(record) = self.document(item.document).map_err(NodeError::from)? else { continue };
                    let body = self.body(item.document, &record).map_err(NodeError::from)?;
                    let text = format!("{}\n{}", item.meta.title, body.text()).to_lowercase();
                    if every.iter().all(|word| text.contains(word.as_str())) {
                        items.push(item);
                    }
                }
            }
            Forget::Session { session } => {
                if self.gate().session(*session).is_none() {
                    let message = "no session has this id; `hearth session list` shows them";
                    return Err(ForgetError::Refused(Failure::new(FailureKind::NotFound, message)));
                }
                self.each_item(|item| {
                    if item.meta.session == *session {
                        items.push(item);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(items)
    }

    /// Erases items with all their versions: tombstones, keys, log, words, vectors.
    pub(crate) fn erase(&self, items: &[ItemRecord]) -> Result<(), NodeError> {
        self.erase_items(&mut self.writer(), items)
    }

    /// The same, for who writes already.
    pub(super) fn erase_items(&self, writer: &mut Writer, items: &[ItemRecord]) -> Result<(), NodeError> {
        // A newer version may have come since they were looked up.
        let mut newest = Vec::with_capacity(items.len());
        for item in items {
            let now: Option<ItemRecord> = self.state.get(Tree::Item, item.meta.item.as_bytes())?;
            newest.push(now.unwrap_or_else(|| item.clone()));
        }
        // First of all, so that a scan does not bring them back: their files may still be there.
        let tag = |item: &ItemRecord| self.forgotten_tag(&item.meta.source, &item.meta.name, &item.meta.content);
        let tags: Vec<_> = newest.iter().filter(|item| item.node.is_none()).map(tag).collect();
        for tags in tags.chunks(1_000) {
            self.commit(writer, vec![Entry::Forgotten(ForgottenTags(tags.to_vec()))])?;
        }
        // Older ones first: the current one takes the item with it.
        let documents = newest.into_iter().flat_map(|item| item.older.into_iter().chain([item.document])).collect();
        self.erase_documents(writer, documents, true)
    }

    /// Erases versions that newer ones took the place of; the indexes know nothing of them any more.
    pub(crate) fn erase_older(&self) -> Result<(), NodeError> {
        let mut older = Vec::new();
        // Those of other nodes are theirs to tidy up: an order about one is an order to forget.
        self.each_item(|item| {
            if item.node.is_none() {
                older.extend(item.older);
            }
            Ok(())
        })?;
        self.erase_documents(&mut self.writer(), older, false)
    }

    /// Erases keys that belong to no document: a crash came between a tombstone and its key, or between a key and its document, or
    /// while a key came in that was there already.
    pub(crate) fn sweep_keys(&self) -> Result<(), NodeError> {
        let mut writer = self.writer();
        if writer.behind {
            return Ok(());
        }
        let mut stray = Vec::new();
        for (document, _, slot) in self.keys.all()? {
            let owner = match self.document(document)? {
                Some(record) => Some(record.slot),
                None => self.state.get(Tree::Ahead, document.as_bytes())?,
            };
            if owner != Some(slot) {
                stray.push(slot);
            }
        }
        if stray.is_empty() { Ok(()) } else { Ok(writer.keys.erase(stray)?) }
    }

    /// Erases what is no longer at its source. Its bytes leave the log and the index files with the next [`sweep`](Self::sweep).
    pub(crate) fn drop_items(&self, items: &[ItemRecord]) -> Result<(), NodeError> {
        let documents = items.iter().flat_map(|item| item.older.iter().copied().chain([item.document])).collect();
        let mut writer = self.writer();
        self.bury(&mut writer, documents)
    }

    fn erase_documents(
        &self,
        writer: &mut Writer,
        documents: Vec<DocumentId>,
        from_indexes: bool,
    ) -> Result<(), NodeError> {
        if documents.is_empty() {
            return Ok(());
        }
        self.bury(writer, documents)?;
        // With its key a document is gone for good; on a full disk its bytes follow when there is room to write the rest anew.
        let pruned = self.prune(writer).and_then(|()| if from_indexes { self.purge(writer) } else { Ok(()) });
        match pruned {
            Err(_) if is_disk_full(self.folder.root()) => {
                self.notice(
                    "something was forgotten on a full disk: its keys are destroyed, its sealed bytes are removed once there is room",
                );
                Ok(())
            }
            other => other,
        }
    }

    /// Removes what others had erased from the files of log and indexes, if there is any: its keys are gone already.
    pub(crate) fn clean(&self) -> Result<(), NodeError> {
        let mut writer = self.writer();
        if writer.behind || !self.unclean.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let cleaned = self.prune(&mut writer).and_then(|()| self.purge(&mut writer));
        self.unclean.store(cleaned.is_err(), Ordering::SeqCst);
        cleaned
    }

    /// Removes what is left of documents that are gone, now.
    pub(crate) fn scrub(&self) -> Result<(), NodeError> {
        let mut writer = self.writer();
        self.prune(&mut writer)?;
        self.purge(&mut writer)
    }

    /// Removes what is left of documents that are gone: from the log at once, from the index files once they have waited long enough.
    pub(crate) fn sweep(&self, at: Moment) -> Result<(), NodeError> {
        let mut writer = self.writer();
        if writer.behind {
            return Ok(());
        }
        self.prune(&mut writer)?;
        let unpurged: Option<Moment> = self.state.get(Tree::Meta, UNPURGED)?;
        // A clock that was set back must not stop it for good.
        match unpurged {
            Some(since) if since > at || at.since(since) >= PURGE_AFTER => self.purge(&mut writer),
            _ => Ok(()),
        }
    }

    /// Replaces what belongs to no document any more by its hashes, in the log.
    fn prune(&self, writer: &mut Writer) -> Result<(), NodeError> {
        let mut positions = Vec::new();
        for dead in self.state.iter::<()>(Tree::Dead) {
            let (key, ()) = dead?;
            let number = <[u8; 8]>::try_from(&key[..]).map_err(|_| StoreError::Damaged("a record of the state"))?;
            positions.push(Position::from_u64(u64::from_be_bytes(number)));
        }
        if positions.is_empty() {
            return Ok(());
        }
        let fleet = self.membership().map(|membership| *membership.id().as_bytes());
        // What stays here, and what is left of a fleet that was left.
        let is_nobodys = |of: &[u8; 16]| Some(of) != fleet.as_ref();
        let left = writer.log.prune(&positions, |head, change| {
            let of_document = matches!(change.kind, Kind::Document | Kind::Embedding | Kind::Rename);
            // What others shared and is merely not open here yet is not gone.
            let erased = || {
                let gone = self.state.get::<GoneRecord>(Tree::Gone, change.document.as_bytes());
                is_nobodys(&head.fleet) || matches!(gone, Ok(Some(_)))
            };
            of_document && matches!(self.document(change.document), Ok(None)) && erased()
        })?;
        let mut batch = Batch::default();
        for position in positions.iter().filter(|position| !left.contains(position)) {
            batch.remove(Tree::Dead, &position.as_u64().to_be_bytes());
        }
        if !left.is_empty() {
            self.notice(
                "something that was forgotten lies in a log file that is damaged: its keys are destroyed, its sealed bytes stay there; `hearth doctor` names the file",
            );
        }
        Ok(self.state.apply(batch)?)
    }

    /// Writes the index files anew without what is gone.
    fn purge(&self, writer: &mut Writer) -> Result<(), NodeError> {
        self.commit_words(writer)?;
        writer.keyword.purge()?;
        let end = writer.log.end();
        let keep = |chunk: hearth_core::ChunkId| {
            self.state.get::<ChunkRecord>(Tree::Chunk, chunk.as_bytes()).ok().flatten().is_some()
        };
        lock(&self.vectors).purge(end, keep)?;
        State::remove_asides(&self.folder.part("state"))?;
        let mut batch = Batch::default();
        batch.remove(Tree::Meta, UNPURGED);
        Ok(self.state.apply(batch)?)
    }

    /// Logs that documents are gone and destroys their keys, which is what makes it final.
    fn bury(&self, writer: &mut Writer, documents: Vec<DocumentId>) -> Result<(), NodeError> {
        let (mut slots, mut entries) = (Vec::new(), Vec::new());
        for document in documents {
            slots.extend(self.document(document)?.map(|record| record.slot));
            entries.push(Entry::Tombstone { document });
        }
        self.commit(writer, entries)?;
        Ok(writer.keys.erase(slots)?)
    }
}
