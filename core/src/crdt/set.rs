//! Names put on things: an addition wins over a removal that had not seen it.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decoder, Encoder};

use super::{BadState, Coded, Dot, Seen, TooLong, Written, list, read_dot, read_seen, write_dot, write_seen};

/// The longest element, in bytes.
pub const ELEMENT_MAX: usize = 4096;

/// An observed-remove set. An addition is named by the place of its change; a removal names the additions that it saw.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Set {
    added: BTreeMap<Dot, Vec<u8>>,
    removed: BTreeSet<Dot>,
    /// Every addition below it has been taken in, so that one which is not in `added` was removed.
    seen: Seen,
}

impl Set {
    /// Whether an element is there.
    pub fn contains(&self, element: &[u8]) -> bool {
        self.added.values().any(|added| added == element)
    }

    /// What is there, in order.
    pub fn elements(&self) -> BTreeSet<&[u8]> {
        self.added.values().map(Vec::as_slice).collect()
    }

    /// Adds an element by the change at `dot`; returns the change to log. It takes the place of the additions it sees.
    ///
    /// # Errors
    /// When the element is longer than [`ELEMENT_MAX`].
    pub fn add(&mut self, dot: Dot, element: &[u8]) -> Result<Self, TooLong> {
        if element.len() > ELEMENT_MAX {
            return Err(TooLong);
        }
        let mut change = self.removal(element);
        change.added.insert(dot, element.to_vec());
        self.merge(&change);
        Ok(change)
    }

    /// Removes the additions of an element that are known here; returns the change to log, `None` when there are none.
    pub fn remove(&mut self, element: &[u8]) -> Option<Self> {
        let change = self.removal(element);
        self.merge(&change);
        (!change.removed.is_empty()).then_some(change)
    }

    fn removal(&self, element: &[u8]) -> Self {
        let removed = self.added.iter().filter(|(_, added)| *added == element).map(|(dot, _)| *dot).collect();
        Self { removed, ..Self::default() }
    }

    /// Takes in a change, or everything another set holds.
    pub fn merge(&mut self, other: &Self) {
        let gone = |set: &Self, dot: &Dot| set.removed.contains(dot) || set.seen.covers(dot);
        self.added.retain(|dot, _| other.added.contains_key(dot) || !gone(other, dot));
        for (dot, element) in &other.added {
            if let Some(ours) = self.added.get_mut(dot) {
                // One place adds one element; a liar's second one is settled the same way everywhere.
                if element > ours {
                    ours.clone_from(element);
                }
            } else if !gone(self, dot) {
                self.added.insert(*dot, element.clone());
            }
        }
        self.removed.extend(&other.removed);
        self.settle(&other.seen);
    }

    /// Forgets removals below `seen`: every change to this set below it was taken in, and what was removed stays so.
    pub fn settle(&mut self, seen: &Seen) {
        self.seen.join(seen);
        self.removed.retain(|dot| !self.seen.covers(dot));
    }

    /// The bytes to seal: `[version, seen, [[author, incarnation, seq, element], …], [[author, incarnation, seq], …]]`, each in order.
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

impl Coded for Set {
    const FIELDS: u64 = 3;

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Written {
        write_seen(e, &self.seen)?;
        e.array(self.added.len() as u64)?;
        for (dot, element) in &self.added {
            e.array(4)?;
            write_dot(e, dot)?;
            e.bytes(element)?;
        }
        e.array(self.removed.len() as u64)?;
        for dot in &self.removed {
            e.array(3)?;
            write_dot(e, dot)?;
        }
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let seen = read_seen(d)?;
        let added = list(d, |d| {
            let dot = (d.array().ok()? == Some(4)).then(|| read_dot(d)).flatten()?;
            Some((dot, d.bytes().ok().filter(|element| element.len() <= ELEMENT_MAX)?.to_vec()))
        })?;
        let removed = list(d, |d| (d.array().ok()? == Some(3)).then(|| read_dot(d)).flatten())?;
        let set = Self { added: added.into_iter().collect(), removed: removed.into_iter().collect(), seen };
        // A removal says so in one way only: listed, or below what was seen; and what is removed is not there.
        let clean = set.removed.iter().all(|dot| !set.seen.covers(dot) && !set.added.contains_key(dot));
        clean.then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::DeviceId;

    fn dot(author: u8, seq: u64) -> Dot {
        Dot { author: DeviceId::from_bytes([author; 16]), incarnation: 1, seq }
    }

    /// Three devices that add, remove, exchange changes or whole states, and settle what they truly have.
    #[derive(Clone, Default)]
    struct World {
        sets: [Set; 3],
        /// What each device wrote, in order; `None` where its log holds something else.
        logs: [Vec<Set>; 3],
        /// How far each has read each.
        read: [[usize; 3]; 3],
        old: Vec<Set>,
    }

    type Step = (u8, usize, usize, u8);

    impl World {
        fn step(&mut self, (what, at, other, element): Step) {
            match what {
                0 => {
                    let change = self.sets[at].add(dot(at.to_le_bytes()[0], self.logs[at].len() as u64), &[element]);
                    self.wrote(at, change.expect("short"));
                }
                1 => {
                    if let Some(change) = self.sets[at].remove(&[element]) {
                        self.wrote(at, change);
                    }
                }
                2 if self.read[at][other] < self.logs[other].len() => {
                    let change = self.logs[other][self.read[at][other]].clone();
                    self.sets[at].merge(&change);
                    self.read[at][other] += 1;
                }
                3 => {
                    let state = self.sets[other].clone();
                    self.sets[at].merge(&state);
                    for log in 0..3 {
                        self.read[at][log] = self.read[at][log].max(self.read[other][log]);
                    }
                }
                4 => self.old.push(self.sets[at].clone()),
                5 => {
                    // Old news, whole or of one change, never counted as read.
                    if let Some(state) = self.old.get(usize::from(element) % self.old.len().max(1)).cloned() {
                        self.sets[at].merge(&state);
                    }
                    if let Some(change) = self.logs[other].get(usize::from(element)).cloned() {
                        self.sets[at].merge(&change);
                    }
                }
                6 => {
                    let mut seen = Seen::nothing();
                    for (log, next) in self.read[at].iter().enumerate() {
                        seen.advance(DeviceId::from_bytes([log.to_le_bytes()[0]; 16]), 1, *next as u64);
                    }
                    self.sets[at].settle(&seen);
                }
                _ => {}
            }
        }

        fn wrote(&mut self, at: usize, change: Set) {
            self.logs[at].push(change);
            self.read[at][at] = self.logs[at].len();
        }

        /// What any order of all changes gives, without ever settling.
        fn expected(&self) -> Set {
            let mut set = Set::default();
            self.logs.iter().flatten().rev().for_each(|change| set.merge(change));
            set
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec((0_u8..7, 0_usize..3, 0_usize..3, 0_u8..4), 0..80)
    }

    #[test]
    fn an_addition_wins_over_a_removal_that_had_not_seen_it() {
        let mut ours = Set::default();
        let added = ours.add(dot(1, 0), b"tax").expect("short");
        let mut theirs = added.clone();
        let again = ours.add(dot(1, 1), b"tax").expect("short");
        let removed = theirs.remove(b"tax").expect("it was there");
        theirs.merge(&again);
        ours.merge(&removed);
        assert!(ours.contains(b"tax") && theirs.contains(b"tax"));
        assert_eq!(ours, theirs);
        ours.remove(b"tax").expect("it is there");
        ours.merge(&added);
        assert!(ours.elements().is_empty(), "an addition that was removed does not come back");
        assert_eq!(ours.remove(b"tax"), None, "nothing to remove");
        assert_eq!(ours.add(dot(1, 2), &[0; ELEMENT_MAX + 1]), Err(TooLong));
    }

    #[test]
    fn settled_removals_are_forgotten_and_hold() {
        let mut set = Set::default();
        let added = set.add(dot(1, 0), b"tax").expect("short");
        set.remove(b"tax").expect("it is there");
        let mut seen = Seen::nothing();
        seen.advance(dot(1, 0).author, 1, 2);
        set.settle(&seen);
        assert!(set.removed.is_empty());
        set.merge(&added);
        assert!(!set.contains(b"tax"), "old news");
        let mut behind = added;
        behind.merge(&set);
        assert!(!behind.contains(b"tax"), "who had it hears that it is gone");
    }

    #[test]
    fn a_place_that_a_liar_used_twice_holds_the_greater_element_everywhere() {
        let (mut ours, mut theirs) = (Set::default(), Set::default());
        let one = ours.add(dot(1, 0), b"tax").expect("short");
        let two = theirs.add(dot(1, 0), b"vat").expect("short");
        ours.merge(&two);
        theirs.merge(&one);
        assert_eq!(ours, theirs);
        assert_eq!(ours.elements().into_iter().collect::<Vec<_>>(), [b"vat"]);
    }

    proptest! {
        #[test]
        fn whatever_happens_all_come_out_the_same_and_nothing_removed_comes_back(steps in steps()) {
            let mut world = World::default();
            for step in steps {
                world.step(step);
            }
            let expected = world.expected();
            let states = world.sets.clone();
            for (at, set) in world.sets.iter_mut().enumerate() {
                states.iter().cycle().skip(at).take(6).for_each(|state| set.merge(state));
                prop_assert_eq!(&set.added, &expected.added);
            }
            prop_assert_eq!(&world.sets[0], &world.sets[1]);
            prop_assert_eq!(&world.sets[1], &world.sets[2]);
        }

        #[test]
        fn order_repetition_and_grouping_make_no_difference(steps in steps()) {
            let mut world = World::default();
            for step in steps {
                world.step(step);
            }
            let [a, b, c] = &world.sets;
            let merged = |list: &[&Set]| list.iter().fold(Set::default(), |mut set, other| { set.merge(other); set });
            let grouped = merged(&[&merged(&[c, b]), a, &merged(&[b, a])]);
            prop_assert_eq!(merged(&[a, b, c]), grouped);
        }

        #[test]
        fn a_set_reads_back_as_written_and_no_cut_does(steps in steps(), cut: usize, at: usize) {
            let mut world = World::default();
            for step in steps {
                world.step(step);
            }
            let mut bytes = world.sets[0].encode();
            prop_assert_eq!(Set::decode(&bytes), Ok(world.sets[0].clone()));
            prop_assert!(Set::decode(&bytes[..cut % bytes.len()]).is_err());
            let at = at % bytes.len();
            bytes[at] ^= 1 << (at % 8);
            prop_assert!(Set::decode(&bytes).map_or(true, |set| set.encode() == bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Set::decode(&bytes).map_or(true, |set| set.encode() == bytes));
        }
    }
}
