//! The shapes that others read: item, chunk, job and event, with their JSON Schemas.
//!
//! A session's shape is [`crate::session::Session`]. Every string in these is redacted text; JSON keys are stable.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChunkId, DeviceId, DocumentId, ItemId, JobId, Moment, SessionId, SpaceId, job, session::Session};

/// One captured thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// The id it was imported under, kept verbatim.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Whose it is.
    pub space: SpaceId,
    /// The node that captured it.
    pub node: DeviceId,
    /// The session that let it in.
    pub session: SessionId,
    /// The source it came from, such as `files`.
    pub source: String,
    /// Its path, redacted; absent when it has none.
    pub path: Option<String>,
    /// Its title, redacted.
    pub title: String,
    /// What it is, such as `markdown`.
    pub format: String,
    /// The version of its body that is current.
    pub document: DocumentId,
    /// When its source says it last changed.
    pub modified_at: Moment,
    /// When it was captured.
    pub captured_at: Moment,
    /// Size at its source, in bytes.
    pub bytes: u64,
    /// How many passages it has.
    pub chunks: u32,
    /// How many spans redaction hid, by class.
    pub redactions: BTreeMap<String, u32>,
}

/// One passage of an item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Its id: the same text in the same space has the same id.
    pub id: ChunkId,
    /// The item it belongs to.
    pub item: ItemId,
    /// The version of the item's body.
    pub document: DocumentId,
    /// Headings above it, outermost first, joined by ` › `.
    pub heading: String,
    /// Where it begins in the redacted body, in bytes.
    pub start: u64,
    /// Where it ends, exclusive.
    pub end: u64,
    /// The redacted text.
    pub text: String,
}

/// One piece of durable work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What is to be done.
    pub kind: JobKind,
    /// Where it stands.
    pub state: job::State,
}

/// What a job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum JobKind {
    /// Make the vectors of a document's passages.
    Embed {
        /// Which.
        document: DocumentId,
    },
}

/// Something that happened on a node, for those who watch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// An item was captured or captured anew; it can be found by word.
    Captured {
        /// When.
        at: Moment,
        /// Which.
        item: ItemId,
        /// Its passages.
        chunks: u32,
    },
    /// An item's passages can be found by meaning.
    Embedded {
        /// When.
        at: Moment,
        /// Which.
        item: ItemId,
    },
    /// An item was forgotten.
    Forgotten {
        /// When.
        at: Moment,
        /// Which.
        item: ItemId,
    },
    /// A session was opened or changed.
    Session {
        /// When.
        at: Moment,
        /// The session as it is now.
        session: Session,
    },
}

/// The published JSON Schemas by name.
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("item", schemars::schema_for!(Item)),
        ("chunk", schemars::schema_for!(Chunk)),
        ("session", schemars::schema_for!(Session)),
        ("job", schemars::schema_for!(Job)),
        ("event", schemars::schema_for!(Event)),
    ]
}
