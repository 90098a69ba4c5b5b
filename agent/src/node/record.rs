//! The records a node keeps: what is sealed into the log, and what the state makes of it.
//!
//! A [`Body`] can only be built from redacted text, and only what comes out of [`Body::encode`] and its siblings can be sealed.
//! All are CBOR arrays with fixed indexes; a field that is added later is optional.

use std::collections::BTreeMap;

use hearth_core::{
    ChunkId, DeviceId, DocumentId, ItemId, Moment, SessionId, SpaceId,
    delta::BODY_MAX,
    job,
    seal::Plain,
    session::{Gate, Permit},
    sync::Frontier,
};
use hearth_text::Redacted;
use minicbor::{Decode, Encode};

use crate::capture::Fingerprint;
use hearth_store::{Position, Slot, StoreError};

/// What is known of a captured thing besides its text. Every word in it is redacted, but for the names its source knows it by,
/// which are sealed wherever they rest and shown to nobody but its owner.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct Meta {
    /// The item.
    #[n(0)]
    pub(crate) item: ItemId,
    /// Its source's id.
    #[n(1)]
    pub(crate) source: String,
    /// The name its source knows it by.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) name: Vec<u8>,
    /// The session that let it in.
    #[n(3)]
    pub(crate) session: SessionId,
    /// Redacted.
    #[n(4)]
    pub(crate) title: String,
    /// Redacted; absent when it has no path.
    #[n(5)]
    pub(crate) path: Option<String>,
    /// Such as `markdown`.
    #[n(6)]
    pub(crate) format: String,
    /// When its source says it last changed.
    #[n(7)]
    pub(crate) modified_at: Moment,
    /// When it was captured.
    #[n(8)]
    pub(crate) captured_at: Moment,
    /// What tells this version from another without reading it.
    #[n(9)]
    pub(crate) fingerprint: Fingerprint,
    /// Keyed hash of its content.
    #[cbor(n(10), with = "minicbor::bytes")]
    pub(crate) content: [u8; 16],
    /// Size at its source.
    #[n(11)]
    pub(crate) bytes: u64,
    /// Spans hidden, by class.
    #[n(12)]
    pub(crate) redactions: BTreeMap<String, u32>,
    /// The id it was imported under.
    #[n(13)]
    pub(crate) external: Option<String>,
}

/// One passage's place in a body.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Passage {
    #[n(0)]
    pub(crate) id: ChunkId,
    /// Where it begins in the text, in bytes.
    #[n(1)]
    pub(crate) start: u32,
    /// Where it ends.
    #[n(2)]
    pub(crate) end: u32,
    /// Headings above it.
    #[n(3)]
    pub(crate) heading: String,
}

/// One version of an item, text and all: what a document change carries, sealed.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct Body {
    #[n(0)]
    pub(crate) meta: Meta,
    #[n(1)]
    text: String,
    #[n(2)]
    pub(crate) passages: Vec<Passage>,
}

/// The vectors of a document's passages: what an embedding change carries, sealed.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct Vectors {
    /// The model that made them.
    #[n(0)]
    pub(crate) model: String,
    /// One a passage.
    #[n(1)]
    pub(crate) rows: Vec<VectorRow>,
    /// Whether more of the document's vectors follow: this is a checkpoint.
    #[cbor(n(2), default)]
    pub(crate) more: bool,
}

/// One passage's vector.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct VectorRow {
    #[n(0)]
    pub(crate) chunk: ChunkId,
    /// As [`hearth_search::Vector::to_bytes`] gives it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) vector: Vec<u8>,
}

impl VectorRow {
    /// The vector; `None` when it is none.
    pub(crate) fn vector(&self) -> Option<hearth_search::Vector> {
        self.vector.as_slice().try_into().ok().and_then(hearth_search::Vector::from_bytes)
    }
}

/// A record in the form in which it may be sealed. Made here only.
pub(crate) struct Encoded(Vec<u8>);

impl Plain for Encoded {
    fn plain(&self) -> &[u8] {
        &self.0
    }
}

/// The name that a thing's own node knows it by, to be sealed for that node alone.
pub(crate) struct OwnName<'n>(pub(crate) &'n [u8]);

impl Plain for OwnName<'_> {
    fn plain(&self) -> &[u8] {
        self.0
    }
}

impl Encoded {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Marks a compressed record; nothing else begins with it, since CBOR arrays of our sizes do not.
const COMPRESSED: u8 = 0x5a;
/// What a compressed record may grow to: far above what is captured, far below what hurts.
pub(crate) const PLAIN_MAX: usize = 96 << 20;

impl Body {
    /// A version of an item, built from redacted text alone and with the gate's permit, which it uses up.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is used up")]
    pub(crate) fn new(
        permit: Permit,
        mut meta: Meta,
        title: Redacted,
        path: Option<Redacted>,
        text: Redacted,
        passages: Vec<Passage>,
    ) -> Self {
        meta.session = permit.session();
        let (title, in_title) = title.into_parts();
        let (text, in_text) = text.into_parts();
        let mut counts = in_text;
        counts.merge(&in_title);
        if let Some(path) = path {
            let (path, in_path) = path.into_parts();
            counts.merge(&in_path);
            meta.path = Some(path);
        }
        meta.title = title;
        meta.redactions = counts.iter().map(|(class, count)| (class.as_str().to_owned(), count)).collect();
        Self { meta, text, passages }
    }

    /// The same text under other facts: nothing was read anew.
    pub(crate) fn with_meta(self, meta: Meta) -> Self {
        Self { meta, ..self }
    }

    /// The record as the fleet gets it: with a name that only its own node can open; without one where that makes it too large.
    pub(crate) fn encode_named(&self, name: Vec<u8>) -> Option<Encoded> {
        let named = |name| self.clone().with_meta(Meta { name, ..self.meta.clone() }).encode();
        named(name).or_else(|| named(Vec::new()))
    }

    /// The redacted text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text of one passage.
    pub(crate) fn passage(&self, passage: &Passage) -> &str {
        self.text.get(passage.start as usize..passage.end as usize).unwrap_or_default()
    }

    /// The record as it is sealed; `None` when it is too large to log.
    pub(crate) fn encode(&self) -> Option<Encoded> {
        let plain = encode(self);
        let packed = zstd::bulk::compress(&plain, 3).expect("memory does not fail");
        let mut out = Vec::with_capacity(packed.len() + 1);
        out.push(COMPRESSED);
        out.extend(packed);
        (out.len() + 64 < BODY_MAX).then_some(Encoded(out))
    }

    /// Reads back what was sealed.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode_within(bytes, &mut { PLAIN_MAX })
    }

    /// Reads back what was sealed, as long as it takes no more than `room` bytes, which become fewer by what it takes.
    pub(crate) fn decode_within(bytes: &[u8], room: &mut usize) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged("a document");
        let packed = bytes.strip_prefix(&[COMPRESSED]).ok_or_else(damaged)?;
        let size = zstd::bulk::Decompressor::upper_bound(packed).unwrap_or(*room).min(*room);
        let plain = zstd::bulk::decompress(packed, size).map_err(|_| damaged())?;
        *room -= plain.len();
        minicbor::decode(&plain).map_err(|_| damaged())
    }
}

impl Vectors {
    pub(crate) fn encode(&self) -> Encoded {
        Encoded(encode(self))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        minicbor::decode(bytes).map_err(|_| StoreError::Damaged("the vectors of a document"))
    }
}

/// New facts about an item whose text stays as it is.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct Renamed {
    #[n(0)]
    pub(crate) meta: Meta,
}

impl Renamed {
    pub(crate) fn encode(&self) -> Encoded {
        Encoded(encode(self))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        minicbor::decode(bytes).map_err(|_| StoreError::Damaged("a renaming"))
    }
}

/// Things that were forgotten, by the keyed hash of name and content; they stay out until they change.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct ForgottenTags(#[n(0)] pub(crate) Vec<ItemId>);

impl ForgottenTags {
    pub(crate) fn encode(&self) -> Encoded {
        Encoded(encode(self))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        minicbor::decode(bytes).map_err(|_| StoreError::Damaged("the list of what was forgotten"))
    }
}

/// The write gate as it is logged.
pub(crate) fn encode_gate(gate: &Gate) -> Encoded {
    Encoded(encode(gate))
}

pub(crate) fn decode_gate(bytes: &[u8]) -> Result<Gate, StoreError> {
    minicbor::decode(bytes).map_err(|_| StoreError::Damaged("the sessions"))
}

/// How far this node has come with everybody's logs, as it is logged.
pub(crate) fn encode_reached(frontier: &Frontier) -> Encoded {
    Encoded(frontier.encode())
}

fn encode(record: &impl Encode<()>) -> Vec<u8> {
    minicbor::to_vec(record).expect("writing to memory does not fail")
}

/// The state's record of an item.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct ItemRecord {
    #[n(0)]
    pub(crate) meta: Meta,
    /// Its current version.
    #[n(1)]
    pub(crate) document: DocumentId,
    /// How many passages that has.
    #[n(2)]
    pub(crate) passages: u32,
    /// Versions before it; forgotten with the item.
    #[n(3)]
    pub(crate) older: Vec<DocumentId>,
    /// The node that captured it; absent when it was this one.
    #[n(4)]
    pub(crate) node: Option<DeviceId>,
}

/// The state's record of one version.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct DocumentRecord {
    #[n(0)]
    pub(crate) item: ItemId,
    /// Where its body lies in the log.
    #[n(1)]
    pub(crate) position: Position,
    /// The number of its change.
    #[n(2)]
    pub(crate) seq: u64,
    /// Where its key lies.
    #[n(3)]
    pub(crate) slot: Slot,
    /// Its passages, in order.
    #[n(4)]
    pub(crate) chunks: Vec<ChunkId>,
    /// Other segments with changes that belong to it: vectors, renamings.
    #[n(5)]
    pub(crate) also: Vec<Position>,
    /// The fleet's space, when it is in a log that the fleet shares; absent when it stays on this node.
    #[n(6)]
    pub(crate) shared: Option<SpaceId>,
    /// Where it may live, when the fleet shares it.
    #[cbor(n(8), default)]
    pub(crate) residency: u16,
    /// Which of its author's logs that is.
    #[cbor(n(7), default)]
    pub(crate) incarnation: u64,
}

/// The state's record of a document that the fleet erased.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct GoneRecord {
    /// When that was known here.
    #[n(0)]
    pub(crate) since: Moment,
    /// In whose log the order stands, ...
    #[n(1)]
    pub(crate) author: DeviceId,
    #[n(2)]
    pub(crate) incarnation: u64,
    /// ... and in which segment.
    #[n(3)]
    pub(crate) number: u64,
    /// Whether an item went with it, not just an older version.
    #[n(4)]
    pub(crate) whole: bool,
    /// The item of which it was a version, when that was known.
    #[n(5)]
    pub(crate) item: Option<ItemId>,
}

/// The state's record of how far a log is here that the fleet shares.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub(crate) struct EndRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) author: [u8; 32],
    /// The next segment's number.
    #[n(1)]
    pub(crate) number: u64,
    /// The next change's number.
    #[n(2)]
    pub(crate) seq: u64,
    /// Digest of the last head.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) head: [u8; 32],
    /// Where its newest segment may live.
    #[n(4)]
    pub(crate) residency: u16,
}

/// The state's record of a passage.
#[derive(Clone, PartialEq, Debug, Default, Encode, Decode)]
pub(crate) struct ChunkRecord {
    /// Current versions that hold it.
    #[n(0)]
    pub(crate) documents: Vec<DocumentId>,
    /// Whether it has a vector.
    #[n(1)]
    pub(crate) embedded: bool,
}

/// The state's record of a job. Its id is that of the document it is about.
#[derive(Clone, Copy, PartialEq, Debug, Encode, Decode)]
pub(crate) struct JobRecord {
    #[n(0)]
    pub(crate) state: job::State,
}

/// Sums over the state, kept up as it changes.
#[derive(Clone, PartialEq, Debug, Default, Encode, Decode)]
pub(crate) struct Totals {
    #[n(0)]
    pub(crate) items: u64,
    #[n(1)]
    pub(crate) chunks: u64,
    #[n(2)]
    pub(crate) embedded: u64,
    #[n(3)]
    pub(crate) pending: u64,
    #[n(4)]
    pub(crate) redactions: BTreeMap<String, u64>,
    #[n(5)]
    pub(crate) by_source: BTreeMap<String, u64>,
    /// Of the items, those that other nodes captured.
    #[cbor(n(6), default)]
    pub(crate) foreign: u64,
}

#[cfg(test)]
mod tests {
    use hearth_text::{Raw, Rules};
    use proptest::prelude::*;

    use super::*;

    fn meta() -> Meta {
        Meta {
            item: ItemId::from_bytes([1; 16]),
            source: "files".into(),
            name: b"/a/\xff".to_vec(),
            session: SessionId::from_bytes([2; 16]),
            title: String::new(),
            path: None,
            format: "markdown".into(),
            modified_at: Moment::START,
            captured_at: Moment::START,
            fingerprint: Fingerprint::default(),
            content: [3; 16],
            bytes: 9,
            redactions: BTreeMap::new(),
            external: None,
        }
    }

    fn permit() -> Permit {
        let mut gate = Gate::default();
        let json = r#"{"id":"ses-02020202020202020202020202020202","space":"spc-01010101010101010101010101010101","purpose":"",
            "scope":{"sources":[],"include":[],"exclude":[]},"class":"private","keep_days":null,"visibility":"this-node",
            "opened_at":0,"expires_at":null,"state":{"state":"open"}}"#;
        gate.put(serde_json::from_str(json).expect("a session"));
        gate.admit(Moment::START, "files", b"/a", Moment::START).expect("an open session")
    }

    #[test]
    fn a_body_reads_back_and_no_cut_of_it_does() {
        let rules = Rules::standard();
        let redact = |text: &str| rules.redact(Raw::new(text));
        let passages = vec![Passage { id: ChunkId::from_bytes([4; 16]), start: 0, end: 4, heading: "Top".into() }];
        let body = Body::new(permit(), meta(), redact("A title"), Some(redact("/a/b")), redact("some text"), passages);
        let encoded = body.encode().expect("small");
        assert_eq!(Body::decode(encoded.plain()).expect("what we wrote"), body);
        assert_eq!(body.passage(&body.passages[0]), "some");
        for cut in 0..encoded.len() {
            assert!(Body::decode(&encoded.plain()[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), packed: bool) {
            if packed { bytes.insert(0, COMPRESSED); }
            prop_assert!(Body::decode(&bytes).is_err());
            let _ = (Vectors::decode(&bytes), Renamed::decode(&bytes), decode_gate(&bytes));
        }
    }
}
