//! State that comes out the same in whatever order changes arrive.
//!
//! [`Map`] holds facts (the later write shows), [`Set`] names (an addition wins over a removal that did not see it), [`Documents`] what is
//! there and what is gone (a tombstone wins over everything beside it). Each merges with another of its kind; order, repetition and grouping
//! make no difference. Each change is such a state too, with one thing in it, so that what travels and what is kept merge alike.
//!
//! A change is named by its [`Dot`], its place in its author's log. [`Seen`] says how far logs are known; [`Stability`] decides from what
//! the other devices have seen when memory of removed things may go. No clock is read here and nothing is kept on disk.

use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder};

use crate::{DeviceId, id::array};

mod documents;
mod map;
mod set;
mod stability;

pub use documents::Documents;
pub use map::{KEY_MAX, Map, TooLong, VALUE_MAX, Write};
pub use set::{ELEMENT_MAX, Set};
pub use stability::{SILENCE_MAX, Settled, Stability};

/// The newest version of the encodings that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most bytes of an encoded state.
pub const BYTES_MAX: usize = 8 << 20;

/// Why bytes are not a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadState {
    /// Not the encoding at all, or not the one form of it.
    #[error(
        "shared state is not in the form this version writes; ask the node that sent it to update or to send it again"
    )]
    Malformed,
    /// Written by a newer hearth.
    #[error("shared state has format {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
}

/// A place in an author's log: the name of the change that stands there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dot {
    /// Who wrote it.
    pub author: DeviceId,
    /// In which life of the log.
    pub incarnation: u64,
    /// Its number there.
    pub seq: u64,
}

/// How far each log is known: everything below a number, and nothing is said about the rest.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen(BTreeMap<(DeviceId, u64), u64>);

impl Seen {
    /// Nothing is known.
    pub const fn nothing() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether the change at this place is among what is known.
    pub fn covers(&self, dot: &Dot) -> bool {
        dot.seq < self.next(dot.author, dot.incarnation)
    }

    /// The first number of a log that is not known.
    pub fn next(&self, author: DeviceId, incarnation: u64) -> u64 {
        self.0.get(&(author, incarnation)).copied().unwrap_or(0)
    }

    /// Everything in a log below `next` is known as well.
    pub fn advance(&mut self, author: DeviceId, incarnation: u64, next: u64) {
        if next > self.next(author, incarnation) {
            self.0.insert((author, incarnation), next);
        }
    }

    /// What either knows.
    pub fn join(&mut self, other: &Self) {
        for (&(author, incarnation), &next) in &other.0 {
            self.advance(author, incarnation, next);
        }
    }

    /// What both know.
    pub fn meet(&mut self, other: &Self) {
        self.0.retain(|(author, incarnation), next| {
            *next = other.next(*author, *incarnation).min(*next);
            *next > 0
        });
    }

    /// Whether everything that `other` knows is known here.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|((author, incarnation), next)| self.next(*author, *incarnation) >= *next)
    }
}

/// What has one deterministic encoding: `[version, …]`.
trait Coded: Sized {
    /// How many fields stand behind the version.
    const FIELDS: u64;

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Written;
    fn read(d: &mut Decoder<'_>) -> Option<Self>;

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        e.array(1 + Self::FIELDS).and_then(|e| e.u8(VERSION)).expect("writing to memory does not fail");
        self.write(&mut e).expect("writing to memory does not fail");
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        if bytes.len() > BYTES_MAX {
            return Err(BadState::Malformed);
        }
        let mut d = Decoder::new(bytes);
        let (Ok(Some(fields)), Ok(version)) = (d.array(), d.u8()) else { return Err(BadState::Malformed) };
        if version > VERSION {
            return Err(BadState::Newer(version));
        }
        let state = Self::read(&mut d).filter(|_| fields == 1 + Self::FIELDS).ok_or(BadState::Malformed)?;
        // One state has one encoding: sorted, nothing twice, every number as short as can be.
        if state.to_bytes() == bytes { Ok(state) } else { Err(BadState::Malformed) }
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// Reads a list whose items take at least a byte each, so that its length promises no more memory than there are bytes.
fn list<T>(d: &mut Decoder<'_>, mut item: impl FnMut(&mut Decoder<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = d.array().ok()??;
    let left = d.input().len().saturating_sub(d.position());
    (0..usize::try_from(count).ok().filter(|count| *count <= left)?).map(|_| item(d)).collect()
}

fn write_dot(e: &mut Encoder<&mut Vec<u8>>, dot: &Dot) -> Written {
    e.bytes(dot.author.as_bytes())?.u64(dot.incarnation)?.u64(dot.seq)?.ok()
}

fn read_dot(d: &mut Decoder<'_>) -> Option<Dot> {
    let author = DeviceId::from_bytes(array(d).ok()?);
    Some(Dot { author, incarnation: d.u64().ok()?, seq: d.u64().ok()? })
}

fn write_seen(e: &mut Encoder<&mut Vec<u8>>, seen: &Seen) -> Written {
    e.array(seen.0.len() as u64)?;
    for (&(author, incarnation), &seq) in &seen.0 {
        e.array(3)?;
        write_dot(e, &Dot { author, incarnation, seq })?;
    }
    Ok(())
}

fn read_seen(d: &mut Decoder<'_>) -> Option<Seen> {
    let mut seen = Seen::nothing();
    for dot in list(d, |d| (d.array().ok()? == Some(3)).then(|| read_dot(d)).flatten())? {
        seen.advance(dot.author, dot.incarnation, dot.seq);
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> impl Strategy<Value = Seen> {
        prop::collection::btree_map((0_u8..3, 0_u64..2), 1_u64..9, 0..5).prop_map(|logs| {
            Seen(
                logs.into_iter()
                    .map(|((author, life), next)| ((DeviceId::from_bytes([author; 16]), life), next))
                    .collect(),
            )
        })
    }

    #[test]
    fn what_is_longer_than_any_state_or_newer_is_not_read() {
        assert_eq!(Set::decode(&vec![0; BYTES_MAX + 1]), Err(BadState::Malformed));
        let empty = Map::default().encode();
        let mut newer = empty.clone();
        newer[1] = VERSION + 1;
        let refused = Map::decode(&newer).expect_err("it is newer");
        assert_eq!(refused, BadState::Newer(2));
        assert!(refused.to_string().ends_with("update hearth on this node"), "{refused}");
        assert_eq!(Set::decode(&empty), Err(BadState::Malformed), "a state of another kind");
    }

    proptest! {
        #[test]
        fn what_both_know_is_known_to_each_and_what_either_knows_includes_each(a in seen(), b in seen()) {
            let (mut both, mut either) = (a.clone(), a.clone());
            both.meet(&b);
            either.join(&b);
            prop_assert!(a.includes(&both) && b.includes(&both) && either.includes(&a) && either.includes(&b));
            for ((author, incarnation), next) in &either.0 {
                for seq in 0..*next {
                    let dot = Dot { author: *author, incarnation: *incarnation, seq };
                    prop_assert_eq!(both.covers(&dot), a.covers(&dot) && b.covers(&dot));
                    prop_assert!(a.covers(&dot) || b.covers(&dot));
                }
            }
        }
    }
}
