//! One change, in the only forms in which it may be logged and travel.
//!
//! [`Shareable`] is closed: this file lists what may travel, and it is either sealed or says nothing about content. The encoding is
//! deterministic CBOR (RFC 8949 §4.2.1) as an array, `[version, seq, kind, document, epoch, body]`; a body's nonce is not carried,
//! it follows from the place in the log.

use minicbor::{Decoder, Encoder};

use crate::{
    DocumentId,
    id::{array, head_len},
    seal::Sealed,
};

/// The newest version of the encoding that this program writes and reads.
pub const VERSION: u8 = 1;

/// The largest body that is accepted, in bytes; a captured file is cut into documents below it.
pub const BODY_MAX: usize = 8 << 20;

/// What kind of change it is: all that a relay learns about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A document's sealed record and passages.
    Document = 1,
    /// Sealed int8 vectors of a document's passages, with the model that made them.
    Embedding = 2,
    /// The document is gone.
    Tombstone = 3,
    /// The hash of a wrapped key; wraps themselves are state and never logged.
    Key = 4,
    /// A rule of the fleet.
    Policy = 5,
    /// A name or tag put on something.
    Label = 6,
    /// A measurement.
    Metric = 7,
    /// A capture session's terms or state.
    Session = 8,
    /// The same document under another name.
    Rename = 9,
}

impl Kind {
    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Document,
            2 => Self::Embedding,
            3 => Self::Tombstone,
            4 => Self::Key,
            5 => Self::Policy,
            6 => Self::Label,
            7 => Self::Metric,
            8 => Self::Session,
            9 => Self::Rename,
            _ => return None,
        })
    }
}

mod closed {
    pub trait Travels {}
    impl Travels for super::SealedChange {}
    impl Travels for super::Tombstone {}
}

/// What may be logged and sent. Only this module can add to it.
pub trait Shareable: closed::Travels {
    /// What kind of change it is.
    fn kind(&self) -> Kind;
    /// Which document it is about.
    fn document(&self) -> DocumentId;
    /// Which epoch of the fleet key wraps the document's key.
    fn epoch(&self) -> u32;
    /// The sealed body; empty when there is none.
    fn body(&self) -> &[u8];
}

/// A change whose content is sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedChange {
    /// What kind of change it is.
    pub kind: Kind,
    /// Which document it is about.
    pub document: DocumentId,
    /// Which epoch of the fleet key wraps the document's key.
    pub epoch: u32,
    /// The content.
    pub body: Sealed,
}

impl Shareable for SealedChange {
    fn kind(&self) -> Kind {
        self.kind
    }
    fn document(&self) -> DocumentId {
        self.document
    }
    fn epoch(&self) -> u32 {
        self.epoch
    }
    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

/// The document is gone and must be erased wherever it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// Which document.
    pub document: DocumentId,
}

impl Shareable for Tombstone {
    fn kind(&self) -> Kind {
        Kind::Tombstone
    }
    fn document(&self) -> DocumentId {
        self.document
    }
    fn epoch(&self) -> u32 {
        0
    }
    fn body(&self) -> &[u8] {
        &[]
    }
}

/// One change with its author's sequence number.
///
/// ```
/// use hearth_core::{DocumentId, delta::{Delta, Tombstone}};
/// let gone = Delta::of(1, Tombstone { document: DocumentId::from_bytes([0; 16]) });
/// assert!(!gone.encode().is_empty());
/// ```
/// Words do not travel:
/// ```compile_fail
/// use hearth_core::delta::Delta;
/// let words = Delta::of(1, String::from("buy milk"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta<T: Shareable> {
    seq: u64,
    change: T,
}

impl<T: Shareable> Delta<T> {
    /// The change that takes this number in its author's log.
    pub const fn of(seq: u64, change: T) -> Self {
        Self { seq, change }
    }

    /// The bytes that are hashed, stored and forwarded verbatim.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.change.body().len() + 48);
        let mut e = Encoder::new(&mut out);
        let change = &self.change;
        e.array(6)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.u64(self.seq))
            .and_then(|e| e.u8(change.kind() as u8))
            .and_then(|e| e.bytes(change.document().as_bytes()))
            .and_then(|e| e.u32(change.epoch()))
            .and_then(|e| e.bytes(change.body()))
            .expect("writing to memory does not fail");
        out
    }
}

/// Why bytes are not a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadDelta {
    /// Not the encoding at all, or not the one shortest form of it.
    #[error("a logged change is not in the form this version writes; the log is damaged there")]
    Malformed,
    /// Written by a newer hearth.
    #[error("a logged change has format {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
}

/// A logged change as it was read back, its body still sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Logged<'b> {
    /// The author's sequence number.
    pub seq: u64,
    /// What kind of change it is.
    pub kind: Kind,
    /// Which document it is about.
    pub document: DocumentId,
    /// Which epoch of the fleet key wraps the document's key.
    pub epoch: u32,
    /// The sealed body; empty when there is none.
    pub body: &'b [u8],
}

impl<'b> Logged<'b> {
    /// Reads a change and checks that it is in its one canonical form.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, BadDelta> {
        let (version, logged) = Self::read(bytes).ok_or(BadDelta::Malformed)?;
        if version > VERSION {
            return Err(BadDelta::Newer(version));
        }
        let canonical = logged.canonical_len() == bytes.len() && logged.body.len() <= BODY_MAX;
        // A tombstone is sealed under nothing: it has neither a body nor an epoch, and everything else has a body.
        let gone = logged.kind == Kind::Tombstone;
        let shape = gone == logged.body.is_empty() && !(gone && logged.epoch != 0);
        if version == VERSION && canonical && shape { Ok(logged) } else { Err(BadDelta::Malformed) }
    }

    fn read(bytes: &'b [u8]) -> Option<(u8, Self)> {
        let mut d = Decoder::new(bytes);
        if d.array().ok()? != Some(6) {
            return None;
        }
        let version = d.u8().ok()?;
        let seq = d.u64().ok()?;
        let kind = Kind::from_code(d.u8().ok()?)?;
        let document = DocumentId::from_bytes(array(&mut d).ok()?);
        let epoch = d.u32().ok()?;
        let body = d.bytes().ok()?;
        (d.position() == bytes.len()).then_some((version, Self { seq, kind, document, epoch, body }))
    }

    /// How long the shortest encoding is: only that one is accepted, so that one change has one hash.
    fn canonical_len(&self) -> usize {
        let numbers = head_len(self.seq) + head_len(u64::from(self.epoch));
        1 + 1 + numbers + 1 + 17 + head_len(self.body.len() as u64) + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(seq: u64, kind: Kind, epoch: u32, body: Vec<u8>) -> Vec<u8> {
        let document = DocumentId::from_bytes([5; 16]);
        Delta::of(seq, SealedChange { kind, document, epoch, body: Sealed::from_bytes(body) }).encode()
    }

    #[test]
    fn only_the_canonical_form_of_a_known_version_is_read() {
        let good = sealed(7, Kind::Document, 0, vec![1, 2, 3]);
        assert_eq!(Logged::decode(&good).map(|logged| (logged.seq, logged.body)), Ok((7, &[1, 2, 3][..])));

        let mut newer = good.clone();
        newer[1] = VERSION + 1;
        assert_eq!(Logged::decode(&newer), Err(BadDelta::Newer(VERSION + 1)));

        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(Logged::decode(&trailing), Err(BadDelta::Malformed), "a byte too many");

        let mut long = good[..2].to_vec();
        long.extend([0x18, 7]);
        long.extend(&good[3..]);
        assert_eq!(Logged::decode(&long), Err(BadDelta::Malformed), "a number written longer than need be");

        let mut unknown = good;
        unknown[3] = 23;
        assert_eq!(Logged::decode(&unknown), Err(BadDelta::Malformed), "an unknown kind");
    }

    proptest! {
        #[test]
        fn a_change_reads_back_as_written(seq: u64, epoch: u32, body in prop::collection::vec(any::<u8>(), 1..600)) {
            let bytes = sealed(seq, Kind::Embedding, epoch, body.clone());
            let logged = Logged::decode(&bytes).expect("what we wrote");
            prop_assert_eq!((logged.seq, logged.epoch, logged.body), (seq, epoch, &body[..]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(logged) = Logged::decode(&bytes) {
                prop_assert!(logged.body.len() < bytes.len());
            }
        }
    }
}
