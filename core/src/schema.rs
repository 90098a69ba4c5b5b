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
        session: Box<Session>,
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(7);

    fn item() -> Item {
        Item {
            id: ItemId::from_bytes([1; 16]),
            external_id: None,
            space: SpaceId::from_bytes([2; 16]),
            node: DeviceId::from_bytes([3; 16]),
            session: SessionId::from_bytes([4; 16]),
            source: "files".into(),
            path: None,
            title: "Herons".into(),
            format: "markdown".into(),
            document: DocumentId::from_bytes([5; 16]),
            modified_at: NOW,
            captured_at: NOW,
            bytes: 9,
            chunks: 1,
            redactions: BTreeMap::from([("email".into(), 2)]),
        }
    }

    #[test]
    fn every_shape_has_its_schema_under_its_name() {
        let schemas = schemas();
        let names: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["item", "chunk", "session", "job", "event"]);
        for (name, schema) in &schemas {
            let schema = serde_json::to_value(schema).expect("plain data");
            assert_eq!(schema["title"].as_str().map(str::to_lowercase).as_deref(), Some(*name));
            assert!(schema["properties"].is_object() || schema["oneOf"].is_array(), "{name}: {schema}");
        }
    }

    #[test]
    fn an_item_has_exactly_the_fields_that_its_schema_names() {
        let whole = Item { external_id: Some("x-1".into()), path: Some("/notes/a.md".into()), ..item() };
        let written = serde_json::to_value(&whole).expect("plain data");
        let schema = serde_json::to_value(schemars::schema_for!(Item)).expect("plain data");
        let fields = |value: &serde_json::Value| -> Vec<String> {
            let mut fields: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
            fields.sort();
            fields
        };
        assert_eq!(fields(&written), fields(&schema["properties"]));
        assert_eq!(serde_json::from_value::<Item>(written).expect("its own JSON"), whole);
        let bare = serde_json::to_value(item()).expect("plain data");
        assert!(bare.get("external_id").is_none(), "an item that was not imported has no such field");
        assert_eq!(serde_json::from_value::<Item>(bare).expect("its own JSON"), item());
    }

    #[test]
    fn an_event_says_what_it_is_and_takes_no_field_that_it_has_not() {
        let item = item().id;
        for (event, name) in [
            (Event::Captured { at: NOW, item, chunks: 3 }, "captured"),
            (Event::Embedded { at: NOW, item }, "embedded"),
            (Event::Forgotten { at: NOW, item }, "forgotten"),
        ] {
            let mut written = serde_json::to_value(&event).expect("plain data");
            assert_eq!(written["event"], name);
            assert_eq!(serde_json::from_value::<Event>(written.clone()).expect("its own JSON"), event);
            written["text"] = "buy milk".into();
            assert!(serde_json::from_value::<Event>(written).is_err(), "{name}");
        }
    }

    #[test]
    fn a_job_says_what_it_does_and_where_it_stands() {
        let kind = JobKind::Embed { document: DocumentId::from_bytes([5; 16]) };
        let job = Job { id: JobId::from_bytes([6; 16]), kind, state: job::State::new(NOW) };
        let written = serde_json::to_value(&job).expect("plain data");
        assert_eq!((&written["kind"]["kind"], &written["state"]["state"]), (&"embed".into(), &"ready".into()));
        assert_eq!(serde_json::from_value::<Job>(written).expect("its own JSON"), job);
    }
}
