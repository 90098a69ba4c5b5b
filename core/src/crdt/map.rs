//! Facts: of two writes to one key the later shows, by its [`Stamp`].

use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder, data::Type};

use super::{BadState, Coded, Written, list};
use crate::{DeviceId, hlc::Stamp, id::array};

/// The longest key, in bytes.
pub const KEY_MAX: usize = 256;
/// The longest value, in bytes.
pub const VALUE_MAX: usize = 64 << 10;

/// Why a fact was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a shared fact is too long: its name may have {KEY_MAX} bytes and its value {VALUE_MAX}; shorten it")]
pub struct TooLong;

/// One write: what it says and when it was said. Without a value it takes the fact away.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Write {
    // In this order, so that of two writes to a key the greater shows, also where a liar used a stamp twice.
    key: Vec<u8>,
    stamp: Stamp,
    value: Option<Vec<u8>>,
}

impl Write {
    /// A write at this time.
    ///
    /// # Errors
    /// When key or value are longer than may be.
    pub fn new(key: &[u8], stamp: Stamp, value: Option<&[u8]>) -> Result<Self, TooLong> {
        if key.len() > KEY_MAX || value.is_some_and(|value| value.len() > VALUE_MAX) {
            return Err(TooLong);
        }
        Ok(Self { key: key.to_vec(), stamp, value: value.map(<[u8]>::to_vec) })
    }

    /// When it was written.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// Facts by their keys. What was taken away keeps its key and its stamp, so that an earlier write does not bring it back; a map goes as a
/// whole, with the document it is about.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Map {
    facts: BTreeMap<Vec<u8>, (Stamp, Option<Vec<u8>>)>,
}

impl Map {
    /// What a key says.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.facts.get(key)?.1.as_deref()
    }

    /// Everything that is said, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.facts.iter().filter_map(|(key, (_, value))| Some((&key[..], value.as_deref()?)))
    }

    /// Takes in one write.
    pub fn apply(&mut self, write: Write) {
        let fact = (write.stamp, write.value);
        match self.facts.entry(write.key) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(fact);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => {
                if *place.get() < fact {
                    place.insert(fact);
                }
            }
        }
    }

    /// Takes in everything another map holds.
    pub fn merge(&mut self, other: &Self) {
        for (key, (stamp, value)) in &other.facts {
            self.apply(Write { key: key.clone(), stamp: *stamp, value: value.clone() });
        }
    }

    /// The bytes to seal: `[version, [[key, time, node] or [key, time, node, value], …]]`, by key.
    pub fn encode(&self) -> Vec<u8> {
        self.to_bytes()
    }

    /// Reads what [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadState> {
        Self::from_bytes(bytes)
    }
}

impl Coded for Map {
    const FIELDS: u64 = 1;

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Written {
        e.array(self.facts.len() as u64)?;
        for (key, (stamp, value)) in &self.facts {
            e.array(if value.is_some() { 4 } else { 3 })?
                .bytes(key)?
                .u64(stamp.time())?
                .bytes(stamp.node().as_bytes())?;
            if let Some(value) = value {
                e.bytes(value)?;
            }
        }
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let facts = list(d, |d| {
            let fields = d.array().ok()??;
            let key = d.bytes().ok()?;
            let stamp = Stamp::from_parts(d.u64().ok()?, DeviceId::from_bytes(array(d).ok()?));
            let value = match fields {
                3 => None,
                4 if d.datatype().ok()? == Type::Bytes => Some(d.bytes().ok()?),
                _ => return None,
            };
            Write::new(key, stamp, value).ok()
        })?;
        let mut map = Self::default();
        facts.into_iter().for_each(|write| map.apply(write));
        Some(map)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Moment,
        hlc::{Ahead, Clock, Standing},
    };

    fn stamp(time: u64, node: u8) -> Stamp {
        Stamp::from_parts(time, DeviceId::from_bytes([node; 16]))
    }

    fn write(key: &[u8], stamp: Stamp, value: Option<&[u8]>) -> Write {
        Write::new(key, stamp, value).expect("short")
    }

    fn writes() -> impl Strategy<Value = Vec<Write>> {
        let one = (0_u8..3, 0_u64..6, 0_u8..3, prop::option::of(0_u8..3));
        prop::collection::vec(
            one.prop_map(|(key, time, node, value)| {
                write(&[key], stamp(time, node), value.as_ref().map(std::slice::from_ref))
            }),
            0..12,
        )
    }

    fn all(writes: impl IntoIterator<Item = Write>) -> Map {
        let mut map = Map::default();
        writes.into_iter().for_each(|write| map.apply(write));
        map
    }

    #[test]
    fn the_later_write_shows_and_a_tie_goes_to_the_greater_node() {
        let mut map = all([write(b"title", stamp(5, 1), Some(b"old")), write(b"title", stamp(5, 2), Some(b"new"))]);
        assert_eq!(map.get(b"title"), Some(&b"new"[..]));
        map.apply(write(b"title", stamp(6, 1), None));
        assert_eq!((map.get(b"title"), map.iter().count()), (None, 0));
        map.apply(write(b"title", stamp(5, 9), Some(b"late")));
        assert_eq!(map.get(b"title"), None, "what was taken away is not brought back by an earlier write");
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let (long, stamp) = (vec![0; VALUE_MAX + 1], stamp(1, 1));
        assert_eq!(Write::new(&[0; KEY_MAX + 1], stamp, None), Err(TooLong));
        assert_eq!(Write::new(b"k", stamp, Some(&long)), Err(TooLong));
        assert!(Write::new(&[0; KEY_MAX], stamp, Some(&long[1..])).is_ok());
    }

    /// Three nodes, one right, one a year ahead, one without a clock: whoever looks, in the end all see the same.
    #[test]
    fn wrong_clocks_delay_facts_and_lose_none() {
        const YEAR: Duration = Duration::from_hours(365 * 24);
        let right = Moment::from_millis(1_780_000_000_000);
        let walls = [right, right + YEAR, Moment::START];
        let mut clocks = [1, 2, 3].map(|node| Clock::begin(DeviceId::from_bytes([node; 16])));
        let written: Vec<Write> =
            [0, 1, 2].map(|n| write(b"title", clocks[n].tick(walls[n]), Some(&[n.to_le_bytes()[0]]))).to_vec();

        let mut nodes: Vec<(Map, Ahead<Write>)> = (0..3).map(|_| (Map::default(), Ahead::default())).collect();
        for ((clock, wall), (map, ahead)) in clocks.iter_mut().zip(walls).zip(&mut nodes) {
            for write in written.clone() {
                match clock.observe(wall, write.stamp()) {
                    Standing::Present => map.apply(write),
                    Standing::Future(_) => ahead.keep(write.stamp(), write),
                }
            }
        }
        let shown: Vec<_> = nodes.iter().map(|(map, _)| map.get(b"title").map(|value| value[0])).collect();
        assert_eq!(shown, [Some(0), Some(1), Some(2)], "each shows the latest that is not future to it");

        for later in [right + AHEAD_PAST, right + YEAR * 2] {
            for (map, ahead) in &mut nodes {
                while let Some((_, write)) = ahead.poll(later) {
                    map.apply(write);
                }
            }
            // The node without a clock has been given one; the year ahead has not come for the right one at first.
            assert_eq!(nodes[2].0, nodes[0].0);
        }
        assert!(nodes.iter().all(|(map, _)| *map == nodes[1].0 && map.get(b"title") == Some(&[1][..])));
    }

    const AHEAD_PAST: Duration = Duration::from_mins(6);

    proptest! {
        #[test]
        fn order_repetition_and_grouping_make_no_difference(a in writes(), b in writes(), c in writes(), seed: u64) {
            let (a_map, b_map, c_map) = (all(a.clone()), all(b.clone()), all(c.clone()));
            let mut left = a_map.clone();
            left.merge(&b_map);
            left.merge(&c_map);
            let mut right = c_map.clone();
            right.merge(&b_map);
            let mut grouped = a_map.clone();
            grouped.merge(&right);
            grouped.merge(&right);
            let mut everything = [a.clone(), b, c, a].concat();
            let turn = usize::try_from(seed % 36).expect("small").min(everything.len());
            everything.rotate_left(turn);
            prop_assert_eq!(&left, &grouped);
            prop_assert_eq!(&left, &all(everything));
        }

        #[test]
        fn a_map_reads_back_as_written_and_no_cut_does(writes in writes(), cut in 0_usize..500) {
            let map = all(writes);
            let bytes = map.encode();
            prop_assert_eq!(Map::decode(&bytes), Ok(map));
            prop_assert!(Map::decode(&bytes[..cut % bytes.len()]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), good in writes(), at: usize) {
            prop_assert!(Map::decode(&bytes).is_ok_and(|map| map.encode() == bytes) || Map::decode(&bytes).is_err());
            let mut bytes = all(good).encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << (at % 8);
            prop_assert!(Map::decode(&bytes).map_or(true, |map| map.encode() == bytes));
        }
    }
}
