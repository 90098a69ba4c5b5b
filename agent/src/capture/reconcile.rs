//! What a scan means for what was known before: new, changed, renamed, gone, or nothing at all.
//!
//! Feed it what is known, then each step of a scan; it holds back what may be a rename until the scan ends. It touches no
//! file and stores nothing, and it takes nothing for gone that the scan could not look at.

use std::collections::{BTreeMap, HashMap};

use super::{Candidate, Change, Cursor, Fingerprint, Found, Skip, lies_in, name_order};

/// Something that was captured before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its name.
    pub name: Vec<u8>,
    /// The version that was captured.
    pub fingerprint: Fingerprint,
}

/// A comparison in progress.
#[derive(Debug)]
pub struct Reconcile {
    known: BTreeMap<Vec<u8>, Entry>,
    /// By place on the disk, who is known there; the place of a thing does not change when it is renamed.
    places: HashMap<(u64, u64), Vec<u8>>,
    after: Option<Vec<u8>>,
    held: Vec<Candidate>,
    unseen_folders: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    seen: bool,
}

impl Reconcile {
    /// Begins with all that is known of the source, and with the cursor from which the scan goes on, if it does.
    pub fn new(known: impl IntoIterator<Item = Known>, after: Option<&Cursor>) -> Self {
        let mut places = HashMap::new();
        let known = known
            .into_iter()
            .map(|known| {
                places.insert((known.fingerprint.dev, known.fingerprint.inode), known.name.clone());
                (known.name, Entry { fingerprint: known.fingerprint, seen: false })
            })
            .collect();
        Self {
            known,
            places,
            after: after.map(|cursor| cursor.name().to_vec()),
            held: Vec::new(),
            unseen_folders: Vec::new(),
        }
    }

    /// Takes one step of the scan. `None` when nothing changed, or when it is not certain yet what did.
    pub fn step(&mut self, found: Found) -> Option<Change> {
        match found {
            Found::Seen(candidate) => self.seen(candidate),
            Found::Skipped(skip) => {
                self.skipped(skip);
                None
            }
        }
    }

    fn seen(&mut self, candidate: Candidate) -> Option<Change> {
        if let Some(entry) = self.known.get_mut(&candidate.name) {
            entry.seen = true;
            return (entry.fingerprint != candidate.fingerprint).then_some(Change::Seen(candidate));
        }
        if self.moved_from(&candidate).is_some() {
            self.held.push(candidate);
            return None;
        }
        Some(Change::Seen(candidate))
    }

    /// What is left alone for a passing reason stays known; for a lasting one, it is gone at the end.
    fn skipped(&mut self, skip: Skip) {
        if !skip.reason.is_passing() {
            return;
        }
        if let Some(known) = self.known.get_mut(&skip.name) {
            known.seen = true;
        }
        if skip.folder {
            self.unseen_folders.push(skip.name);
        }
    }

    fn moved_from(&self, candidate: &Candidate) -> Option<&Vec<u8>> {
        let from = self.places.get(&(candidate.fingerprint.dev, candidate.fingerprint.inode))?;
        let known = self.known.get(from)?;
        (!known.seen && known.fingerprint.same_content(&candidate.fingerprint)).then_some(from)
    }

    /// Ends the scan: what was held back, and what is gone.
    pub fn finish(mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for candidate in std::mem::take(&mut self.held) {
            match self.moved_from(&candidate).cloned() {
                Some(from) if !self.is_out_of_sight(&from) => {
                    self.known.remove(&from);
                    changes.push(Change::Renamed { from, to: candidate });
                }
                _ => changes.push(Change::Seen(candidate)),
            }
        }
        let gone = self.known.iter().filter(|(name, entry)| !entry.seen && !self.is_out_of_sight(name));
        changes.extend(gone.map(|(name, _)| Change::Gone { name: name.clone(), folder: false }));
        changes
    }

    /// Tells whether the scan could not have met this name, there or not.
    fn is_out_of_sight(&self, name: &[u8]) -> bool {
        self.after.as_ref().is_some_and(|after| name_order(name, after).is_le())
            || self.unseen_folders.iter().any(|folder| name == folder || lies_in(name, folder))
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::Moment;

    use super::{super::SkipReason, *};

    fn version(inode: u64, mtime_ns: i64) -> Fingerprint {
        Fingerprint { dev: 1, inode, size: 5, mtime_ns, ctime_ns: mtime_ns }
    }

    fn known(name: &str, fingerprint: Fingerprint) -> Known {
        Known { name: name.into(), fingerprint }
    }

    fn candidate(name: &str, fingerprint: Fingerprint) -> Candidate {
        Candidate { name: name.into(), path: None, modified: Moment::START, bytes: 5, fingerprint }
    }

    fn seen(name: &str, fingerprint: Fingerprint) -> Found {
        Found::Seen(candidate(name, fingerprint))
    }

    fn skipped(name: &str, reason: SkipReason, folder: bool) -> Found {
        Found::Skipped(Skip { name: name.into(), reason, folder })
    }

    fn gone(name: &str) -> Change {
        Change::Gone { name: name.into(), folder: false }
    }

    #[test]
    fn a_scan_tells_what_is_new_changed_renamed_and_gone() {
        let unreadable = || SkipReason::Unreadable { error: "no".into() };
        let renamed = Fingerprint { ctime_ns: 99, ..version(1, 1) };
        for (case, before, scan, after) in [
            ("nothing changed", vec![known("/a", version(1, 1))], vec![seen("/a", version(1, 1))], vec![]),
            ("new", vec![], vec![seen("/a", version(1, 1))], vec![Change::Seen(candidate("/a", version(1, 1)))]),
            (
                "changed",
                vec![known("/a", version(1, 1))],
                vec![seen("/a", version(1, 2))],
                vec![Change::Seen(candidate("/a", version(1, 2)))],
            ),
            ("gone", vec![known("/a", version(1, 1))], vec![], vec![gone("/a")]),
            (
                "renamed",
                vec![known("/a", version(1, 1))],
                vec![seen("/b", renamed)],
                vec![Change::Renamed { from: b"/a".to_vec(), to: candidate("/b", renamed) }],
            ),
            (
                "a second name of the same file is new",
                vec![known("/b", version(1, 1))],
                vec![seen("/a", renamed), seen("/b", version(1, 1))],
                vec![Change::Seen(candidate("/a", renamed))],
            ),
            (
                "renamed and changed is new and gone",
                vec![known("/a", version(1, 1))],
                vec![seen("/b", version(1, 2))],
                vec![Change::Seen(candidate("/b", version(1, 2))), gone("/a")],
            ),
            (
                "two cannot both be the one that was renamed",
                vec![known("/a", version(1, 1))],
                vec![seen("/b", renamed), seen("/c", renamed)],
                vec![
                    Change::Renamed { from: b"/a".to_vec(), to: candidate("/b", renamed) },
                    Change::Seen(candidate("/c", renamed)),
                ],
            ),
            (
                "ignored from now on",
                vec![known("/a", version(1, 1))],
                vec![skipped("/a", SkipReason::Hidden, false)],
                vec![gone("/a")],
            ),
            ("unreadable today", vec![known("/a", version(1, 1))], vec![skipped("/a", unreadable(), false)], vec![]),
            (
                "in a folder that is unreadable today",
                vec![known("/d/a", version(1, 1))],
                vec![skipped("/d", unreadable(), true)],
                vec![],
            ),
            (
                "on a disk that is not there",
                vec![known("/d/a", version(1, 1))],
                vec![skipped("/d", SkipReason::Vanished, true)],
                vec![],
            ),
            (
                "in a folder that is ignored now",
                vec![known("/d/a", version(1, 1))],
                vec![skipped("/d", SkipReason::Hidden, true)],
                vec![gone("/d/a")],
            ),
        ] {
            let mut reconcile = Reconcile::new(before, None);
            let mut changes: Vec<Change> = scan.into_iter().filter_map(|found| reconcile.step(found)).collect();
            changes.extend(reconcile.finish());
            assert_eq!(changes, after, "{case}");
        }
    }

    #[test]
    fn a_scan_that_was_taken_up_again_says_nothing_of_what_came_before() {
        let cursor = Cursor::after(&seen("/b/x", version(9, 9)));
        let reconcile = Reconcile::new([known("/a", version(1, 1)), known("/b-c", version(2, 2))], Some(&cursor));
        assert_eq!(reconcile.finish(), [gone("/b-c")]);
    }
}
