//! Document keys, wrapped, in 256 small pages that can be rewritten: erasing a document is destroying its key here.
//!
//! They are never in the log, or shredding would be void. A page is a row of fixed slots; an erased slot is zeros in a page that was
//! written anew and put in the old one's place. What lies under a file system or in a flash drive's spare blocks is beyond this.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
};

use hearth_core::{
    DocumentId, SpaceId,
    seal::{DocumentKey, SpaceKey},
};

use crate::{StoreError, entropy, write_atomic};

/// `[document 16][space 16][wrapped 72][CRC-32C 4]`
const SLOT: usize = 108;
const PAGES: usize = 256;
/// A page takes this many keys before the next is begun; when all are full, twice as many.
const PAGE_KEYS: usize = 4096;

/// Where a key lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, minicbor::Encode, minicbor::Decode)]
pub struct Slot {
    #[n(0)]
    page: u8,
    #[n(1)]
    index: u32,
}

/// The document keys of a node for those who only read them.
#[derive(Clone, Debug)]
pub struct KeyReader {
    dir: PathBuf,
    root: SpaceKey,
}

/// The document keys of a node.
#[derive(Debug)]
pub struct Keys {
    reader: KeyReader,
    counts: Vec<usize>,
    fresh: BTreeMap<u8, Vec<u8>>,
}

impl Keys {
    /// Opens the pages; a slot that a crash cut short is overwritten by the next key.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(dir: PathBuf, root: SpaceKey) -> Result<Self, StoreError> {
        let mut keys = Self { reader: KeyReader { dir, root }, counts: vec![0; PAGES], fresh: BTreeMap::new() };
        for page in 0..PAGES {
            let path = keys.reader.path(page);
            if let Ok(meta) = fs::metadata(path) {
                keys.counts[page] = usize::try_from(meta.len()).unwrap_or(usize::MAX) / SLOT;
            }
        }
        Ok(keys)
    }

    /// Makes a key. It is not there after a crash until [`sync`](Self::sync) has returned.
    pub fn create(&mut self, space: SpaceId, document: DocumentId) -> (DocumentKey, Slot) {
        let key = DocumentKey::from_entropy(entropy());
        let slot = self.insert(space, document, &key);
        (key, slot)
    }

    /// Keeps a key that came from elsewhere. It is not there after a crash until [`sync`](Self::sync) has returned.
    pub fn insert(&mut self, space: SpaceId, document: DocumentId, key: &DocumentKey) -> Slot {
        let limit = (0..).map(|doubling| PAGE_KEYS << doubling).find(|limit| self.counts.iter().any(|n| n < limit));
        let limit = limit.expect("limits grow without end");
        let page = self.counts.iter().position(|count| *count < limit).expect("one is below the limit");
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend(document.as_bytes());
        slot.extend(space.as_bytes());
        slot.extend(self.reader.root.wrap(space, document, key, entropy()));
        slot.extend(crc32c::crc32c(&slot).to_le_bytes());
        let index = u32::try_from(self.counts[page]).expect("a page stays far below 4 billion keys");
        self.counts[page] += 1;
        let page = u8::try_from(page).expect("256 pages");
        self.fresh.entry(page).or_default().extend(slot);
        Slot { page, index }
    }

    /// Writes the keys made since the last call and waits until the disk has them.
    ///
    /// # Errors
    /// When it cannot; the keys stay unwritten and may be written by a later call.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        for (page, slots) in &self.fresh {
            let path = self.reader.path(usize::from(*page));
            let begin = (self.counts[usize::from(*page)] * SLOT - slots.len()) as u64;
            let what = "writing document keys";
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(StoreError::io(what))?;
            file.write_all_at(slots, begin).map_err(StoreError::io(what))?;
            file.sync_data().map_err(StoreError::io(what))?;
            if begin == 0 {
                fs::File::open(&self.reader.dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io(what))?;
            }
        }
        self.fresh.clear();
        Ok(())
    }

    /// For those who only read.
    pub fn reader(&self) -> KeyReader {
        self.reader.clone()
    }

    /// Destroys keys: each page that holds one is written anew without it.
    ///
    /// # Errors
    /// When a page cannot be written; the keys in it are then still there.
    pub fn erase(&mut self, slots: impl IntoIterator<Item = Slot>) -> Result<(), StoreError> {
        self.sync()?;
        let mut pages: HashMap<u8, Vec<u32>> = HashMap::new();
        slots.into_iter().for_each(|slot| pages.entry(slot.page).or_default().push(slot.index));
        for (page, indexes) in pages {
            let path = self.reader.path(usize::from(page));
            let mut bytes = fs::read(&path).map_err(StoreError::io("reading document keys"))?;
            for index in indexes {
                let at = index as usize * SLOT;
                if let Some(slot) = bytes.get_mut(at..at + SLOT) {
                    slot.fill(0);
                }
            }
            // The old page is overwritten too, as far as the file system lets us, once the new one has its name.
            let old = OpenOptions::new().write(true).open(&path).map_err(StoreError::io("erasing document keys"))?;
            write_atomic(&path, &bytes)?;
            old.write_all_at(&vec![0; bytes.len()], 0)
                .and_then(|()| old.sync_data())
                .map_err(StoreError::io("erasing document keys"))?;
        }
        Ok(())
    }
}

impl KeyReader {
    /// The key of a document; `None` when it was erased.
    ///
    /// # Errors
    /// When the page cannot be read or the slot is damaged.
    pub fn get(&self, slot: Slot, space: SpaceId, document: DocumentId) -> Result<Option<DocumentKey>, StoreError> {
        let mut bytes = [0; SLOT];
        let file =
            fs::File::open(self.path(usize::from(slot.page))).map_err(StoreError::io("reading document keys"))?;
        let at = u64::from(slot.index) * SLOT as u64;
        file.read_exact_at(&mut bytes, at).map_err(StoreError::io("reading document keys"))?;
        match parse(&bytes) {
            Some((found, found_space)) if found == document && found_space == space => {
                Ok(Some(self.root.unwrap(space, document, &bytes[32..104])?))
            }
            Some(_) => Err(StoreError::Damaged("a page of document keys")),
            None if bytes == [0; SLOT] => Ok(None),
            None => Err(StoreError::Damaged("a page of document keys")),
        }
    }

    /// Every key's document, space and place; for making the state anew. After a crash one key may be there twice.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn all(&self) -> Result<Vec<(DocumentId, SpaceId, Slot)>, StoreError> {
        let mut all = Vec::new();
        for page in 0..PAGES {
            let path = self.path(page);
            if !path.exists() {
                continue;
            }
            let bytes = fs::read(path).map_err(StoreError::io("reading document keys"))?;
            for (index, slot) in (0_u32..).zip(bytes.chunks_exact(SLOT)) {
                if let Some((document, space)) = parse(slot) {
                    all.push((document, space, Slot { page: u8::try_from(page).expect("256 pages"), index }));
                }
            }
        }
        Ok(all)
    }

    fn path(&self, page: usize) -> PathBuf {
        self.dir.join(format!("{page:02x}"))
    }
}

fn parse(slot: &[u8]) -> Option<(DocumentId, SpaceId)> {
    let (body, crc) = slot.split_at_checked(SLOT - 4)?;
    (crc32c::crc32c(body).to_le_bytes() == crc && body != [0; SLOT - 4]).then(|| {
        let id = |at: usize| body[at..at + 16].try_into().expect("16 bytes");
        (DocumentId::from_bytes(id(0)), SpaceId::from_bytes(id(16)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId::from_bytes([1; 16]);

    fn document(n: u8) -> DocumentId {
        DocumentId::from_bytes([n; 16])
    }

    #[test]
    fn a_key_is_there_after_a_sync_and_gone_after_an_erase() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = SpaceKey::from_bytes([7; 32]);
        let mut keys = Keys::open(dir.path().into(), root.clone()).expect("opened");
        let made: Vec<_> = (0..5).map(|n| keys.create(SPACE, document(n))).collect();
        keys.sync().expect("written");

        let mut keys = Keys::open(dir.path().into(), root.clone()).expect("opened again");
        for (n, (key, slot)) in (0..5).zip(&made) {
            assert_eq!(keys.reader().get(*slot, SPACE, document(n)).expect("read").as_ref(), Some(key), "{n}");
        }
        let page = fs::read(dir.path().join("00")).expect("a page");
        keys.erase([made[2].1]).expect("erased");
        assert_eq!(keys.reader().get(made[2].1, SPACE, document(2)).expect("read"), None);
        assert!(keys.reader().get(made[3].1, SPACE, document(3)).expect("read").is_some(), "its neighbour stays");
        assert_eq!(keys.reader().all().expect("read").len(), 4);
        let after = fs::read(dir.path().join("00")).expect("a page");
        assert!(
            !after.windows(72).any(|window| window == &page[2 * SLOT + 32..2 * SLOT + 104]),
            "no trace in the page"
        );
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "and no copy beside it");
        let (_, next) = keys.create(SPACE, document(9));
        assert_eq!(next, Slot { page: 0, index: 5 });
    }

    #[test]
    fn a_slot_cut_short_is_taken_by_the_next_key_and_a_damaged_one_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = SpaceKey::from_bytes([7; 32]);
        let mut keys = Keys::open(dir.path().into(), root.clone()).expect("opened");
        let (_, first) = keys.create(SPACE, document(1));
        keys.sync().expect("written");
        let path = dir.path().join("00");
        let mut bytes = fs::read(&path).expect("a page");
        bytes.extend([9; 50]);
        fs::write(&path, &bytes).expect("cut short");

        let mut keys = Keys::open(dir.path().into(), root.clone()).expect("opened");
        let (key, second) = keys.create(SPACE, document(2));
        keys.sync().expect("written");
        assert_eq!(keys.reader().get(second, SPACE, document(2)).expect("read"), Some(key));

        let mut bytes = fs::read(&path).expect("a page");
        bytes[40] ^= 1;
        fs::write(&path, &bytes).expect("damaged");
        assert!(matches!(keys.reader().get(first, SPACE, document(1)), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_key_is_given_for_its_own_document_and_space_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = SpaceKey::from_bytes([7; 32]);
        let mut keys = Keys::open(dir.path().into(), root).expect("opened");
        let (_, slot) = keys.create(SPACE, document(1));
        keys.sync().expect("written");
        let reader = keys.reader();
        let other = reader.get(slot, SPACE, document(2)).expect_err("another document");
        assert!(matches!(other, StoreError::Damaged("a page of document keys")), "{other}");
        let other = reader.get(slot, SpaceId::from_bytes([2; 16]), document(1)).expect_err("another space");
        assert!(matches!(other, StoreError::Damaged("a page of document keys")), "{other}");
        let theirs = KeyReader { root: SpaceKey::from_bytes([8; 32]), ..reader.clone() };
        assert!(matches!(theirs.get(slot, SPACE, document(1)), Err(StoreError::Sealed(_))), "another node");
        let beyond = reader.get(Slot { index: 1, ..slot }, SPACE, document(1)).expect_err("nothing is there");
        assert!(matches!(beyond, StoreError::Io { what: "reading document keys", .. }), "{beyond}");
        let no_page = reader.get(Slot { page: 9, index: 0 }, SPACE, document(1)).expect_err("no such page");
        assert!(matches!(no_page, StoreError::Io { what: "reading document keys", .. }), "{no_page}");
    }

    #[test]
    fn a_full_page_is_followed_by_the_next_and_no_key_shows_itself() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = SpaceKey::from_bytes([171; 32]);
        let mut keys = Keys::open(dir.path().into(), root).expect("opened");
        keys.counts[0] = PAGE_KEYS;
        let (_, slot) = keys.create(SPACE, document(1));
        assert_eq!(slot, Slot { page: 1, index: 0 });
        keys.counts.fill(PAGE_KEYS);
        let (_, slot) = keys.create(SPACE, document(2));
        assert_eq!(slot, Slot { page: 0, index: 4096 }, "when all are full, each takes twice as many");
        assert!(!format!("{:?}", keys.reader()).contains("171"));
    }

    #[test]
    fn what_is_beyond_a_page_is_erased_already() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut keys = Keys::open(dir.path().into(), SpaceKey::from_bytes([7; 32])).expect("opened");
        let (key, slot) = keys.create(SPACE, document(1));
        keys.erase([Slot { index: 5, ..slot }]).expect("there is nothing to do");
        assert_eq!(keys.reader().get(slot, SPACE, document(1)).expect("read"), Some(key), "its neighbour stays");
        let refused = keys.erase([Slot { page: 9, index: 0 }]).expect_err("no such page");
        assert!(matches!(refused, StoreError::Io { what: "reading document keys", .. }), "{refused}");
    }
}
