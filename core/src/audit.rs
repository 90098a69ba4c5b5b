//! What the audit log says, and how its entries hold on to one another.
//!
//! Each entry carries the digest of the one before it, so that none can be changed, taken out or put in unseen. Entries hold ids,
//! counts and reasons; never text, names or paths. Writing them down is the shell's business.

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Moment, SessionId, SpaceId, merkle::Hash};

/// The digest before the first entry.
pub const GENESIS: Hash = [0; 32];

/// Something worth answering for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, Encode, Decode)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The agent began to run.
    #[n(0)]
    Started {
        /// Its version.
        #[n(0)]
        version: String,
    },
    /// The agent ended in good order.
    #[n(1)]
    Stopped,
    /// A session was opened.
    #[n(2)]
    SessionOpened {
        /// Which.
        #[n(0)]
        session: SessionId,
    },
    /// A session changed its state.
    #[n(3)]
    SessionState {
        /// Which.
        #[n(0)]
        session: SessionId,
        /// To which state.
        #[n(1)]
        state: String,
    },
    /// The hold on the whole node changed.
    #[n(4)]
    Hold {
        /// To which state.
        #[n(0)]
        state: String,
        /// When it ends by itself.
        #[n(1)]
        until: Option<Moment>,
    },
    /// Things were forgotten.
    #[n(5)]
    Forgot {
        /// How they were chosen: `last`, `item`, `query`, `session`, `retention`.
        #[n(0)]
        by: String,
        /// How many items.
        #[n(1)]
        items: u64,
        /// How many document versions whose keys were destroyed.
        #[n(2)]
        documents: u64,
    },
    /// The write gate refused things.
    #[n(6)]
    Denied {
        /// Why.
        #[n(0)]
        reason: String,
        /// How many since the last such entry.
        #[n(1)]
        count: u64,
    },
    /// A connection outward was asked for.
    #[n(7)]
    Egress {
        /// For what part of the program.
        #[n(0)]
        purpose: String,
        /// Whether it was allowed.
        #[n(1)]
        allowed: bool,
        /// The port asked for; the host is not written down.
        #[n(2)]
        port: u16,
    },
    /// Derived state was thrown away and made anew from the log.
    #[n(8)]
    Rebuilt {
        /// Why.
        #[n(0)]
        reason: String,
        /// How many documents came back.
        #[n(1)]
        documents: u64,
    },
    /// Things were written out for their owner.
    #[n(9)]
    Exported {
        /// How many items.
        #[n(0)]
        items: u64,
    },
}

/// One line of the audit log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, Encode, Decode)]
pub struct Entry {
    /// Its position, from 0.
    #[n(0)]
    pub seq: u64,
    /// When, by the node's clock.
    #[n(1)]
    pub at: Moment,
    /// Whose business it was.
    #[n(2)]
    pub space: SpaceId,
    /// What happened.
    #[n(3)]
    pub event: Event,
    /// Digest of the entry before it, [`GENESIS`] for the first.
    #[n(4)]
    #[serde(with = "hex")]
    #[schemars(with = "String")]
    #[cbor(with = "minicbor::bytes")]
    pub prev: Hash,
}

mod hex {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 32], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&HEXLOWER.encode(hash))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}

impl Entry {
    /// The bytes that are hashed and stored.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// The digest that the next entry carries.
    pub fn digest(&self) -> Hash {
        Sha256::new().chain_update(b"hearth/audit/1").chain_update(self.encode()).finalize().into()
    }
}

/// Which entry of an audit log does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "audit entry {seq} does not follow from the one before it; it, or the one before it, was changed, taken out or put in"
)]
pub struct Broken {
    /// The position in the log.
    pub seq: u64,
}

/// The end of an audit log: what the next entry must hold on to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tip {
    /// The next entry's position.
    pub seq: u64,
    /// The digest it must carry.
    pub head: Hash,
}

impl Default for Tip {
    fn default() -> Self {
        Self { seq: 0, head: GENESIS }
    }
}

impl Tip {
    /// Makes the next entry and steps over it.
    pub fn append(&mut self, at: Moment, space: SpaceId, event: Event) -> Entry {
        let entry = Entry { seq: self.seq, at, space, event, prev: self.head };
        self.seq += 1;
        self.head = entry.digest();
        entry
    }

    /// Steps over an entry that was read back.
    ///
    /// # Errors
    /// Names the entry when it does not follow.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), Broken> {
        if entry.seq != self.seq || entry.prev != self.head {
            return Err(Broken { seq: self.seq });
        }
        self.seq += 1;
        self.head = entry.digest();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<Entry> {
        let mut tip = Tip::default();
        let space = SpaceId::from_bytes([0; 16]);
        (0..6).map(|n| tip.append(Moment::from_millis(n), space, Event::Exported { items: n })).collect()
    }

    fn verify(entries: &[Entry]) -> Result<Tip, Broken> {
        let mut tip = Tip::default();
        entries.iter().try_for_each(|entry| tip.follow(entry))?;
        Ok(tip)
    }

    #[test]
    fn a_change_anywhere_is_named() {
        let good = log();
        assert_eq!(verify(&good).map(|tip| tip.seq), Ok(6));
        let change = |edit: fn(&mut Vec<Entry>)| {
            let mut entries = log();
            edit(&mut entries);
            verify(&entries).map(|tip| tip.seq)
        };
        assert_eq!(change(|e| e[2].event = Event::Stopped), Err(Broken { seq: 3 }), "changed");
        assert_eq!(change(|e| drop(e.remove(2))), Err(Broken { seq: 2 }), "taken out");
        assert_eq!(change(|e| e.insert(2, e[1].clone())), Err(Broken { seq: 2 }), "put in");
        assert_eq!(change(|e| e.swap(3, 4)), Err(Broken { seq: 3 }), "swapped");
    }

    #[test]
    fn an_entry_reads_back_as_written() {
        for entry in log() {
            assert_eq!(minicbor::decode::<Entry>(&entry.encode()).expect("what we wrote"), entry);
            let json = serde_json::to_string(&entry).expect("plain data");
            assert_eq!(serde_json::from_str::<Entry>(&json).expect("what we wrote"), entry);
        }
    }
}
