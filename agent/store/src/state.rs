//! What the log says, ready to be asked: a sled tree that can be thrown away.
//!
//! Keys are a space, a tree and a keyed hash or id; values are sealed. One [`Batch`] is one transaction, and it is flushed before
//! anything relies on it. sled can panic while it opens a damaged file, so it is opened under guard and set aside when it fails.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use hearth_core::{Moment, SpaceId, id::NamingKey, seal::SpaceKey};

use crate::{StoreError, entropy, is_disk_full};

/// The format of the records; another one is thrown away and made anew from the log.
const SCHEMA: u32 = 2;
/// Opening a store of ordinary size takes well under a second.
const OPEN_MAX: Duration = Duration::from_secs(30);
const CACHE_BYTES: u64 = 8 << 20;
const SCHEMA_KEY: &[u8] = b"schema";

/// What kind of thing a record is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Tree {
    /// Single values of the node.
    Meta = 0,
    /// Items by id.
    Item = 1,
    /// Documents by id.
    Document = 2,
    /// Passages by id.
    Chunk = 3,
    /// Items by the name their source knows them by.
    Name = 4,
    /// Jobs by the document they are about.
    Job = 5,
    /// Items by the id they were imported under.
    External = 6,
    /// Keyed hashes of what was forgotten: name and content.
    Forgotten = 7,
    /// Places in the log that hold something which belongs to no document any more.
    Dead = 8,
    /// Where each segment lies that the fleet shares, by author, incarnation and number.
    Segment = 9,
    /// How far each log is here that the fleet shares, by author and incarnation.
    End = 10,
    /// Keys that came ahead of their documents.
    Ahead = 11,
    /// Documents that the fleet erased: they do not come again, and each device is to say that it has done so.
    Gone = 12,
    /// Documents of others that wait for their author's vectors, since when.
    Awaited = 13,
    // 14 was in use once.
    /// How far each device of the fleet has said to have come.
    Reached = 15,
    /// What relays signed to have of this device's log.
    Receipt = 16,
    /// When each device of the fleet was last met. A rebuild forgets it.
    Met = 17,
}

impl Tree {
    /// Whether its keys are words of a person; they are then replaced by keyed hashes.
    const fn is_named(self) -> bool {
        matches!(self, Self::Name | Self::External)
    }
}

/// Changes that happen together or not at all.
#[derive(Default, Debug)]
pub struct Batch(Vec<(Tree, Vec<u8>, Option<Vec<u8>>)>);

impl Batch {
    /// Sets a record.
    pub fn put(&mut self, tree: Tree, key: &[u8], value: &impl minicbor::Encode<()>) {
        let bytes = minicbor::to_vec(value).expect("writing to memory does not fail");
        self.0.push((tree, key.to_vec(), Some(bytes)));
    }

    /// Removes a record.
    pub fn remove(&mut self, tree: Tree, key: &[u8]) {
        self.0.push((tree, key.to_vec(), None));
    }

    /// Sets a record that is encoded already, or removes it.
    pub fn put_raw(&mut self, tree: Tree, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.0.push((tree, key, value));
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The state of one space.
pub struct State {
    db: sled::Db,
    space: SpaceId,
    cipher: XChaCha20Poly1305,
    naming: NamingKey,
    notices: Vec<String>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({} records)", self.db.len())
    }
}

impl State {
    /// Opens the state, or an empty one in its place when it is damaged, of another format, or sealed with another key.
    ///
    /// # Errors
    /// When not even an empty one can be made, or a newer program wrote it.
    pub fn open(dir: &Path, space: SpaceId, root: &SpaceKey, now: Moment) -> Result<Self, StoreError> {
        let cipher = XChaCha20Poly1305::new(&root.derive(space, "hearth/state/1").into());
        let naming = root.naming(space);
        let mut notices = Vec::new();
        for _ in 0..2 {
            match open_guarded(dir) {
                Ok(db) => {
                    let found =
                        db.get(SCHEMA_KEY).ok().flatten().and_then(|bytes| <[u8; 4]>::try_from(&bytes[..]).ok());
                    match found.map(u32::from_le_bytes) {
                        Some(SCHEMA) => return Ok(Self { db, space, cipher, naming, notices }),
                        None if db.is_empty() => {
                            db.insert(SCHEMA_KEY, &SCHEMA.to_le_bytes()).and_then(|_| db.flush()).map_err(from_sled)?;
                            return Ok(Self { db, space, cipher, naming, notices });
                        }
                        Some(found) if found > SCHEMA => {
                            return Err(StoreError::Newer { folder: dir.into(), found });
                        }
                        _ => {
                            notices.push("the state had an older format and was made anew from the log".into());
                            drop(db);
                            fs::remove_dir_all(dir).map_err(StoreError::io("removing a state of an older format"))?;
                        }
                    }
                }
                Err(_) if is_disk_full(dir.parent().expect("a part of the data folder")) => {
                    return Err(StoreError::Full { what: "opening the state" });
                }
                Err(why) => {
                    let aside = set_aside(dir, now)?;
                    notices.push(format!(
                        "the state could not be opened ({why}); it was set aside as {} and made anew from the log",
                        aside.file_name().unwrap_or_default().to_string_lossy()
                    ));
                }
            }
        }
        Err(StoreError::Damaged("the state folder"))
    }

    /// Removes what was set aside: it tells of things that are forgotten since.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn remove_asides(dir: &Path) -> Result<(), StoreError> {
        for aside in asides(dir)? {
            fs::remove_dir_all(&aside).map_err(StoreError::io("removing a state that was set aside"))?;
        }
        Ok(())
    }

    /// What a person should know about how the state was found, as sentences.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// One record.
    ///
    /// # Errors
    /// When it cannot be read or is not what was written.
    pub fn get<T: for<'b> minicbor::Decode<'b, ()>>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, StoreError> {
        let key = self.key(tree, key);
        let Some(sealed) = self.db.get(&key).map_err(from_sled)? else { return Ok(None) };
        self.open_value(&key, &sealed).map(Some)
    }

    /// Every record of a tree, in the order of their keys.
    pub fn iter<T: for<'b> minicbor::Decode<'b, ()>>(
        &self,
        tree: Tree,
    ) -> impl Iterator<Item = Result<(Vec<u8>, T), StoreError>> + '_ {
        let prefix = self.key(tree, &[]);
        let skip = prefix.len();
        self.db.scan_prefix(prefix).map(move |entry| {
            let (key, sealed) = entry.map_err(from_sled)?;
            Ok((key[skip..].to_vec(), self.open_value(&key, &sealed)?))
        })
    }

    /// How many records a tree has; counts them.
    pub fn count(&self, tree: Tree) -> u64 {
        self.db.scan_prefix(self.key(tree, &[])).keys().count() as u64
    }

    /// Applies a batch as one transaction and waits until a crash cannot take it back.
    ///
    /// # Errors
    /// When it cannot be written; nothing of it was then applied, or it is applied whole at the next opening.
    pub fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut writes = sled::Batch::default();
        for (tree, key, value) in batch.0 {
            let key = self.key(tree, &key);
            match value {
                Some(value) => {
                    let nonce: [u8; 24] = entropy();
                    let payload = Payload { msg: &value, aad: &key };
                    let mut sealed = nonce.to_vec();
                    sealed.extend(
                        self.cipher.encrypt(&nonce.into(), payload).expect("a record is far below the cipher's limit"),
                    );
                    writes.insert(key, sealed);
                }
                None => writes.remove(key),
            }
        }
        self.db.apply_batch(writes).map_err(from_sled)?;
        self.db.flush().map_err(from_sled)?;
        Ok(())
    }

    /// Forgets everything but its format.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.db.clear().map_err(from_sled)?;
        self.db.insert(SCHEMA_KEY, &SCHEMA.to_le_bytes()).and_then(|_| self.db.flush()).map_err(from_sled)?;
        Ok(())
    }

    fn key(&self, tree: Tree, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(17 + key.len());
        out.extend(self.space.as_bytes());
        out.push(tree as u8);
        if tree.is_named() && !key.is_empty() {
            out.extend(self.naming.tag("state", &[key]));
        } else {
            out.extend(key);
        }
        out
    }

    fn open_value<T: for<'b> minicbor::Decode<'b, ()>>(&self, key: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
        const WHAT: StoreError = StoreError::Damaged("a record of the state");
        let (nonce, sealed) = sealed.split_first_chunk::<24>().ok_or(WHAT)?;
        let plain = self.cipher.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: key }).map_err(|_| WHAT)?;
        minicbor::decode(&plain).map_err(|_| WHAT)
    }
}

/// Opens sled on a thread of its own: it may panic (one flipped bit) or hang.
fn open_guarded(dir: &Path) -> Result<sled::Db, String> {
    let (tell, told) = mpsc::sync_channel(1);
    let dir = dir.to_path_buf();
    let opener = move || {
        let open = || sled::Config::new().path(&dir).cache_capacity(CACHE_BYTES).flush_every_ms(None).open();
        let result = match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it panicked".into()),
        };
        // The receiver may have given up; then there is nobody to tell.
        let _ = tell.send(result);
    };
    thread::Builder::new().name("open-state".into()).spawn(opener).map_err(|error| error.to_string())?;
    told.recv_timeout(OPEN_MAX).unwrap_or_else(|_| Err("it took too long".into()))
}

/// Moves a damaged state folder out of the way, beside itself; the newest few are kept.
fn set_aside(dir: &Path, now: Moment) -> Result<PathBuf, StoreError> {
    let aside = dir.with_extension(format!("corrupt-{}", now.as_millis()));
    let _ = fs::remove_dir_all(&aside);
    fs::rename(dir, &aside).map_err(StoreError::io("setting a damaged state aside"))?;
    asides(dir)?.iter().rev().skip(2).for_each(|path| drop(fs::remove_dir_all(path)));
    Ok(aside)
}

/// States that were set aside, oldest first.
fn asides(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir.parent().expect("a part of the data folder"))
        .map_err(StoreError::io("reading the data folder"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_stem() == dir.file_stem() && path.extension().is_some())
        .collect();
    all.sort();
    Ok(all)
}

fn from_sled(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::io("writing the state")(error),
        _ => StoreError::Damaged("the state"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId::from_bytes([1; 16]);
    const NOW: Moment = Moment::from_millis(7);

    fn open(dir: &Path) -> State {
        State::open(dir, SPACE, &SpaceKey::from_bytes([2; 32]), NOW).expect("opened")
    }

    fn filled(dir: &Path) -> State {
        let state = open(dir);
        let mut batch = Batch::default();
        batch.put(Tree::Item, b"a", &"a heron stood in the reeds");
        batch.put(Tree::Item, b"b", &"second");
        batch.put(Tree::Chunk, b"a", &"other");
        state.apply(batch).expect("applied");
        state
    }

    #[test]
    fn a_batch_is_there_and_readable_to_nobody_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        drop(filled(&path));
        let state = open(&path);
        assert_eq!(state.get::<String>(Tree::Item, b"a").expect("read").as_deref(), Some("a heron stood in the reeds"));
        assert_eq!(state.iter::<String>(Tree::Item).count(), 2, "of this tree only");
        drop(state);
        for entry in fs::read_dir(&path).expect("listed").flatten().filter(|entry| entry.path().is_file()) {
            let bytes = fs::read(entry.path()).expect("read");
            assert!(!bytes.windows(5).any(|window| window == b"heron"), "{:?}", entry.path());
        }
        let other = SpaceId::from_bytes([9; 16]);
        let theirs = State::open(&path, other, &SpaceKey::from_bytes([2; 32]), NOW).expect("opened");
        assert_eq!(theirs.get::<String>(Tree::Item, b"a").expect("read"), None, "another space sees nothing");
    }

    #[test]
    fn a_state_that_cannot_be_opened_is_set_aside_and_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        drop(filled(&path));
        fs::remove_file(path.join("db")).and_then(|()| fs::create_dir(path.join("db"))).expect("damaged");
        let state = open(&path);
        assert!(state.notices()[0].contains("made anew"), "{:?}", state.notices());
        assert_eq!(state.get::<String>(Tree::Item, b"a").expect("read"), None);
        assert!(path.with_extension("corrupt-7").exists());
        State::remove_asides(&path).expect("removed");
        assert!(!path.with_extension("corrupt-7").exists() && path.exists());
    }

    #[test]
    fn an_older_format_is_made_anew_and_a_newer_one_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        let set = |format: u32| {
            let state = open(&path);
            state.db.insert(SCHEMA_KEY, &format.to_le_bytes()).and_then(|_| state.db.flush()).expect("written");
        };
        drop(filled(&path));
        set(0);
        let state = open(&path);
        assert!(state.notices()[0].contains("older"));
        assert_eq!(state.get::<String>(Tree::Item, b"a").expect("read"), None);
        drop(state);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing of it stays");
        set(SCHEMA + 1);
        let refused = State::open(&path, SPACE, &SpaceKey::from_bytes([2; 32]), NOW);
        assert!(matches!(refused, Err(StoreError::Newer { found, .. }) if found == SCHEMA + 1));
    }

    #[test]
    fn a_batch_removes_and_replaces_and_names_are_kept_as_hashes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        let state = filled(&path);
        assert_eq!([Tree::Item, Tree::Chunk, Tree::Job].map(|tree| state.count(tree)), [2, 1, 0]);
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.remove(Tree::Item, b"a");
        batch.put_raw(Tree::Item, b"b".to_vec(), Some(minicbor::to_vec("replaced").expect("memory")));
        batch.put_raw(Tree::Chunk, b"a".to_vec(), None);
        for tree in [Tree::Name, Tree::External] {
            batch.put(tree, b"/home/heron", &"named");
        }
        assert!(!batch.is_empty());
        state.apply(batch).expect("applied");
        let items: Vec<(Vec<u8>, String)> = state.iter(Tree::Item).map(|entry| entry.expect("read")).collect();
        assert_eq!(items, [(b"b".to_vec(), "replaced".to_owned())]);
        assert_eq!(state.count(Tree::Chunk), 0);
        for tree in [Tree::Name, Tree::External] {
            assert_eq!(state.get::<String>(tree, b"/home/heron").expect("read").as_deref(), Some("named"));
            assert_eq!(state.get::<String>(tree, b"/home/hero").expect("read"), None);
            assert_eq!(state.count(tree), 1);
        }
        let keys: Vec<_> = state.db.iter().keys().map(|key| key.expect("read")).collect();
        assert!(!keys.iter().any(|key| key.windows(5).any(|window| window == b"heron")), "{keys:?}");
        assert_eq!(format!("{state:?}"), format!("State({} records)", keys.len()));
    }

    #[test]
    fn a_cleared_state_is_empty_and_of_this_format() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        let state = filled(&path);
        state.clear().expect("cleared");
        assert_eq!([Tree::Item, Tree::Chunk].map(|tree| state.count(tree)), [0, 0]);
        drop(state);
        let state = open(&path);
        assert_eq!((state.notices(), state.count(Tree::Item)), (&[][..], 0), "opened as it is");
    }

    #[test]
    fn a_record_that_is_not_what_was_written_under_this_key_is_damaged() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = filled(&dir.path().join("state"));
        let (a, b) = (state.key(Tree::Item, b"a"), state.key(Tree::Item, b"b"));
        let good = state.db.get(&a).expect("read").expect("there");
        let mut flipped = good.to_vec();
        flipped[30] ^= 1;
        for (case, sealed) in [
            ("a flipped bit", flipped),
            ("cut short", good[..23].to_vec()),
            ("another's", state.db.get(&b).expect("read").expect("there").to_vec()),
        ] {
            state.db.insert(&a, sealed).expect("written");
            let refused = state.get::<String>(Tree::Item, b"a").expect_err(case);
            assert!(matches!(refused, StoreError::Damaged("a record of the state")), "{case}: {refused}");
            assert!(state.iter::<String>(Tree::Item).any(|entry| entry.is_err()), "{case}, among all");
        }
        state.db.insert(&a, good).expect("put back");
        assert!(state.get::<u64>(Tree::Item, b"a").is_err(), "read as another kind of thing");
        assert!(state.get::<String>(Tree::Item, b"a").is_ok(), "and as it was written");
    }

    #[test]
    fn only_the_newest_states_that_were_set_aside_are_kept() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        for at in 1..=4 {
            fs::create_dir(&path).and_then(|()| fs::write(path.join("db"), [at; 9])).expect("made");
            set_aside(&path, Moment::from_millis(u64::from(at))).expect("set aside");
            assert!(!path.exists());
        }
        let kept: Vec<PathBuf> = asides(&path).expect("listed");
        assert_eq!(kept, [3, 4].map(|at| path.with_extension(format!("corrupt-{at}"))));
        let refused = set_aside(&path, NOW).expect_err("there is none");
        assert!(matches!(refused, StoreError::Io { what: "setting a damaged state aside", .. }), "{refused}");
    }

    #[test]
    fn what_sled_says_is_told_as_no_room_or_as_damage() {
        let full = from_sled(sled::Error::Io(std::io::ErrorKind::StorageFull.into()));
        assert_eq!((full.is_full(), full.to_string().contains("for writing the state")), (true, true), "{full}");
        let other = from_sled(sled::Error::Io(std::io::ErrorKind::BrokenPipe.into()));
        assert!(matches!(other, StoreError::Io { what: "writing the state", .. }), "{other}");
        let damaged = from_sled(sled::Error::Corruption { at: None, bt: () });
        assert!(matches!(damaged, StoreError::Damaged("the state")), "{damaged}");
    }

    #[test]
    fn whatever_byte_is_flipped_a_state_opens_and_says_nothing_that_was_not_written() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let (whole, path) = (home.path().join("whole"), home.path().join("state"));
        drop(filled(&whole));
        for name in ["db", "conf"] {
            let good = fs::read(whole.join(name)).expect("read");
            for at in (0..good.len()).step_by(11) {
                let _ = fs::remove_dir_all(&path);
                fs::create_dir(&path).expect("made");
                for file in ["db", "conf"] {
                    fs::copy(whole.join(file), path.join(file)).expect("copied");
                }
                let mut bytes = good.clone();
                bytes[at] ^= 1;
                fs::write(path.join(name), bytes).expect("damaged");
                let state = open(&path);
                let first = state.get::<String>(Tree::Item, b"a");
                let true_or_gone = match &first {
                    Ok(Some(text)) => text == "a heron stood in the reeds",
                    Ok(None) | Err(StoreError::Damaged(_)) => true,
                    Err(_) => false,
                };
                assert!(true_or_gone, "{name} at {at}: {first:?}");
            }
        }
    }
}
