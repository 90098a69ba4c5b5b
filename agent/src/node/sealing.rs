//! How a change is sealed on its way into the log, and opened on its way out.
//!
//! Each body has a place of its own in its author's history, which its nonce follows from. What it means is not known here.

use std::collections::HashMap;

use hearth_core::{
    DeviceId, DocumentId, SpaceId,
    delta::{Kind, SealedChange, Tombstone},
    seal::{DocumentKey, Label, Place},
    segment::{Draft, Segment},
    sync::Frontier,
};
use hearth_store::{Slot, StoreError};

use super::{
    Entry, Membership, NodeError, Shared, Writer, document_id, now,
    record::{self, Body, ForgottenTags, Renamed, Vectors},
    view::Change,
};

impl Shared {
    /// Seals one change into a draft.
    pub(super) fn enter(
        &self,
        writer: &mut Writer,
        draft: &mut Draft,
        home: Option<&Membership>,
        entry: Entry,
    ) -> Result<Change, NodeError> {
        let seq = draft.next_seq();
        let place = Place { author: self.identity.device, incarnation: draft.incarnation(), seq, part: 0 };
        let space = home.map_or(self.identity.space, Membership::space);
        let epoch = home.and_then(Membership::epoch).map_or(0, |(epoch, _)| epoch);
        let label = |document, kind| Label { space, document, kind };
        Ok(match entry {
            Entry::Document { body, encoded } => {
                let document = document_id(now());
                let (key, slot) = writer.keys.create(space, document);
                let kind = Kind::Document;
                let encoded = match home {
                    Some(_) => {
                        let name = self.own_name(place, label(document, kind), &body.meta.name);
                        body.encode_named(name).ok_or(StoreError::Damaged("a document"))?
                    }
                    None => encoded,
                };
                draft.push(SealedChange {
                    kind,
                    document,
                    epoch,
                    body: key.seal(place, label(document, kind), &encoded),
                });
                Change::Document { document, seq, slot, body }
            }
            Entry::Embedding { document, vectors } => {
                let (key, kind) = (self.document_key(document)?, Kind::Embedding);
                let body = key.seal(place, label(document, kind), &vectors.encode());
                draft.push(SealedChange { kind, document, epoch, body });
                Change::Embedding { document, vectors }
            }
            Entry::Rename { document, renamed } => {
                let (key, kind) = (self.document_key(document)?, Kind::Rename);
                let encoded = match home {
                    Some(_) => {
                        let name = self.own_name(place, label(document, kind), &renamed.meta.name);
                        Renamed { meta: record::Meta { name, ..renamed.meta.clone() } }.encode()
                    }
                    None => renamed.encode(),
                };
                let body = key.seal(place, label(document, kind), &encoded);
                draft.push(SealedChange { kind, document, epoch, body });
                Change::Rename { document, renamed }
            }
            Entry::Tombstone { document } => {
                draft.push(Tombstone { document });
                Change::Tombstone { document }
            }
            Entry::Reached(frontier) => {
                let (document, kind) = (REACHED_DOCUMENT, Kind::Metric);
                let key = home.and_then(Membership::epoch).map(|(_, key)| key.statements());
                let key = key.ok_or(StoreError::Damaged("what is known of the fleet"))?;
                let body = key.seal(place, label(document, kind), &record::encode_reached(&frontier));
                draft.push(SealedChange { kind, document, epoch, body });
                Change::Reached(frontier)
            }
            Entry::Gate(gate) => {
                let (document, kind) = (GATE_DOCUMENT, Kind::Session);
                let body = self.gate_key().seal(place, label(document, kind), &record::encode_gate(&gate));
                draft.push(SealedChange { kind, document, epoch: 0, body });
                Change::Gate(gate)
            }
            Entry::Forgotten(tags) => {
                let (document, kind) = (GATE_DOCUMENT, Kind::Label);
                let body = self.gate_key().seal(place, label(document, kind), &tags.encode());
                draft.push(SealedChange { kind, document, epoch: 0, body });
                Change::Forgotten(tags)
            }
        })
    }

    /// A name sealed for this node alone: others of the fleet have no use for the names of our files.
    fn own_name(&self, place: Place, label: Label, name: &[u8]) -> Vec<u8> {
        self.names_key().seal(Place { part: NAME_PART, ..place }, label, &record::OwnName(name)).as_bytes().to_vec()
    }

    /// Opens a name that this node sealed; what another one sealed stays as it is.
    pub(super) fn open_name(&self, place: Place, label: Label, meta: &mut record::Meta) {
        if let Ok(name) = self.names_key().open(Place { part: NAME_PART, ..place }, label, &meta.name) {
            meta.name = name;
        }
    }

    fn names_key(&self) -> DocumentKey {
        DocumentKey::from_entropy(self.identity.root.derive(self.identity.space, "hearth/names/1"))
    }

    fn gate_key(&self) -> DocumentKey {
        DocumentKey::from_entropy(self.identity.root.derive(self.identity.space, "hearth/gate/1"))
    }

    /// Opens what a segment holds; what was erased, or is damaged, or of another model, is left out.
    pub(crate) fn open_changes(
        &self,
        segment: &Segment,
        slot_of: impl Fn(DocumentId) -> Option<(SpaceId, Slot)>,
    ) -> Vec<Change> {
        let (space, membership) = (self.space_of(segment), self.membership());
        let mut changes = Vec::new();
        // Each is read once, however many changes of its document there are.
        let mut keys: HashMap<Slot, Option<DocumentKey>> = HashMap::new();
        let named = segment.head().fleet != self.identity.fleet()
            && DeviceId::of_key_bytes(&segment.head().author) == self.identity.device;
        // A segment of ours is far from it; one that was made to fill the memory is read as far as this goes.
        let mut room = record::PLAIN_MAX;
        for (seq, change) in segment.changes() {
            let Some(change) = change else { continue };
            let (document, kind) = (change.document, change.kind);
            let place = place_in(segment, seq);
            let label = Label { space, document, kind };
            let slot = slot_of(document).filter(|(owner, _)| *owner == space).map(|(_, slot)| slot);
            let mut open = |slot: Slot| -> Option<Vec<u8>> {
                let key = keys.entry(slot).or_insert_with(|| self.keys.get(slot, space, document).ok().flatten());
                key.as_ref()?.open(place, label, change.body).ok()
            };
            let of_document = matches!(kind, Kind::Document | Kind::Embedding | Kind::Rename);
            changes.extend(match kind {
                _ if of_document && slot.is_none() && place.author == self.identity.device => Some(Change::Dead),
                Kind::Document => slot.and_then(|slot| {
                    let mut body = Box::new(Body::decode_within(&open(slot)?, &mut room).ok()?);
                    if named {
                        self.open_name(place, label, &mut body.meta);
                    }
                    Some(Change::Document { document, seq, slot, body })
                }),
                Kind::Embedding => slot
                    .and_then(|slot| Vectors::decode(&open(slot)?).ok())
                    .filter(|vectors| vectors.model == self.model.id())
                    .map(|vectors| Change::Embedding { document, vectors }),
                Kind::Rename => slot.and_then(|slot| {
                    let mut renamed = Box::new(Renamed::decode(&open(slot)?).ok()?);
                    if named {
                        self.open_name(place, label, &mut renamed.meta);
                    }
                    Some(Change::Rename { document, renamed })
                }),
                Kind::Tombstone => Some(Change::Tombstone { document }),
                Kind::Session => {
                    let body = self.gate_key().open(place, label, change.body).ok();
                    body.and_then(|body| record::decode_gate(&body).ok()).map(|gate| Change::Gate(Box::new(gate)))
                }
                Kind::Label => {
                    let body = self.gate_key().open(place, label, change.body).ok();
                    body.and_then(|body| ForgottenTags::decode(&body).ok()).map(Change::Forgotten)
                }
                Kind::Metric if document == REACHED_DOCUMENT => {
                    let key = membership.as_ref().and_then(|membership| membership.key(change.epoch));
                    let body = key.and_then(|key| key.statements().open(place, label, change.body).ok());
                    body.and_then(|body| Frontier::decode(&body)).map(Change::Reached)
                }
                Kind::Key | Kind::Policy | Kind::Metric => None,
            });
        }
        changes
    }
}

/// Where a change of a segment stands in the history of its author.
pub(super) fn place_in(segment: &Segment, seq: u64) -> Place {
    let head = segment.head();
    Place { author: DeviceId::of_key_bytes(&head.author), incarnation: head.incarnation, seq, part: 0 }
}

/// Under which the sessions and the hold are logged.
const GATE_DOCUMENT: DocumentId = DocumentId::from_bytes(*b"hearth-gate-of-a");
/// The part of a change that is a name; its body is part 0.
const NAME_PART: u32 = 1;
/// Under which a node states how far it has come.
const REACHED_DOCUMENT: DocumentId = DocumentId::from_bytes(*b"hearth-reached-1");
