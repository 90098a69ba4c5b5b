//! Keeps the fleet's last words in sled.
//!
//! Everything here can be rebuilt: devices report again. So a store that cannot be read is set aside and a new one begun, and the owner is
//! told. All of it is in memory too; sled is asked only when something is written and when the program starts.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use hearth_core::{DeviceId, Moment, status::Letter};
use minicbor::{Decode, Encode, bytes::ByteVec};
use tracing::{error, warn};

use crate::{
    drawer::{Drawer, Unread, guarded, patiently, unread},
    fleet::{CannotKeep, Fleet, Node},
};

/// The version of the store that this program writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum NoStore {
    /// A later version of the program wrote it.
    #[error(
        "the store in {path} is of version {found}, and this program reads up to version {SCHEMA}; run the newer hearth-coordinator"
    )]
    Newer {
        /// The store's folder.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Another process has it open.
    #[error("the store in {path} is held by another process ({reason}); stop it and start again")]
    Busy {
        /// The store's folder.
        path: PathBuf,
        /// What the store said.
        reason: String,
    },
    /// The system refused.
    #[error("cannot open the store in {path}; check the permissions and the free space there")]
    Io {
        /// The store's folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be read, and not be set aside either.
    #[error("the store in {path} cannot be read and cannot be set aside; move it away by hand")]
    Stuck {
        /// The store's folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The fleet in sled.
#[derive(Debug)]
pub struct Store {
    nodes_tree: sled::Tree,
    db: sled::Db,
    nodes: RwLock<BTreeMap<DeviceId, Node>>,
    set_aside: Vec<PathBuf>,
    failing: AtomicBool,
}

impl Store {
    /// Opens `<data>/state`, or begins it. One that cannot be read is renamed to `state.corrupt-<milliseconds>` first. It blocks.
    pub fn open(data: &Path, now: Moment) -> Result<Self, NoStore> {
        let path = data.join("state");
        let opened = match read_patiently(&path) {
            Err(Unread::Broken(reason)) => {
                let aside =
                    set_aside(data, &path, now).map_err(|source| NoStore::Stuck { path: path.clone(), source })?;
                error!(reason, aside = %aside.display(), "the store could not be read; it was set aside and a new one begun");
                read_patiently(&path)
            }
            opened => opened,
        };
        let (db, nodes_tree, nodes) = opened.map_err(|unread| match unread {
            Unread::Newer(found) => NoStore::Newer { path: path.clone(), found },
            Unread::Busy(reason) => NoStore::Busy { path: path.clone(), reason },
            Unread::Io(source) => NoStore::Io { path: path.clone(), source },
            Unread::Broken(reason) => NoStore::Stuck { path: path.clone(), source: io::Error::other(reason) },
        })?;
        let set_aside = corrupt_folders(data);
        Ok(Self { nodes_tree, db, nodes: RwLock::new(nodes), set_aside, failing: AtomicBool::new(false) })
    }

    /// Hands everything to the system. It blocks.
    pub fn flush(&self) -> Result<(), CannotKeep> {
        guarded(|| self.db.flush().map(|_| ())).map_err(|unread| CannotKeep(unread.reason()))
    }
}

impl Fleet for Store {
    fn keep(&self, node: Node) -> Result<(), CannotKeep> {
        let record =
            Record { kept_at: node.kept_at, letter: Letter::Report(Box::new(node.report.clone())).to_bytes().into() };
        let value = minicbor::to_vec(record).expect("a vector takes whatever is written to it");
        let written = guarded(|| {
            self.nodes_tree.insert(node.device.as_bytes(), value)?;
            self.db.flush().map(|_| ())
        });
        self.failing.store(written.is_err(), Ordering::Relaxed);
        written.map_err(|unread| CannotKeep(unread.reason()))?;
        self.nodes.write().unwrap_or_else(PoisonError::into_inner).insert(node.device, node);
        Ok(())
    }

    fn nodes(&self) -> Vec<Node> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.is_failing() {
            notices.push("the coordinator cannot write to its store; is its disk full or read-only?".to_owned());
        }
        if let Some(latest) = self.set_aside.last() {
            let name = latest.file_name().unwrap_or_default().to_string_lossy();
            notices.push(format!(
                "the coordinator's store could not be read and was set aside as {name}; nodes reappear as they report, \
                 and the folder can be deleted"
            ));
        }
        notices
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

/// One device's word as it lies in sled, under the 16 bytes of its id.
#[derive(Encode, Decode)]
struct Record {
    #[n(0)]
    kept_at: Moment,
    /// The report as the device sent it, so that there is one format of it.
    #[n(1)]
    letter: ByteVec,
}

type Read = (sled::Db, sled::Tree, BTreeMap<DeviceId, Node>);

/// A few megabytes at most.
const DRAWER: Drawer = Drawer { cache: 4 << 20, schema: SCHEMA };

fn read_patiently(path: &Path) -> Result<Read, Unread> {
    let path = path.to_owned();
    patiently(move || read(&path))
}

fn read(path: &Path) -> Result<Read, Unread> {
    let db = DRAWER.open(path)?;
    let tree = db.open_tree(NODES_TREE).map_err(unread)?;
    let mut nodes = BTreeMap::new();
    for entry in &tree {
        let (key, value) = entry.map_err(unread)?;
        let node = node(&key, &value).ok_or_else(|| Unread::Broken("an entry is not a node".into()))?;
        nodes.insert(node.device, node);
    }
    Ok((db, tree, nodes))
}

const NODES_TREE: &[u8] = b"nodes";

fn node(key: &[u8], value: &[u8]) -> Option<Node> {
    let device = DeviceId::from_bytes(key.try_into().ok()?);
    let record: Record = minicbor::decode(value).ok()?;
    match Letter::from_bytes(&record.letter).ok()? {
        Letter::Report(report) => Some(Node { device, report: *report, kept_at: record.kept_at }),
        Letter::Receipt(_) => None,
    }
}

/// Only so many damaged stores are left lying.
const CORRUPT_KEPT: usize = 3;

fn set_aside(data: &Path, path: &Path, now: Moment) -> io::Result<PathBuf> {
    let name = |extra: u64| data.join(format!("{CORRUPT_PREFIX}{}", now.as_millis().saturating_add(extra)));
    let aside = (0..1000).map(name).find(|aside| !aside.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &aside)?;
    fs::File::open(data)?.sync_all()?;
    let all = corrupt_folders(data);
    for old in all.iter().take(all.len().saturating_sub(CORRUPT_KEPT)) {
        if let Err(error) = fs::remove_dir_all(old) {
            warn!(%error, "a store that was set aside earlier cannot be removed");
        }
    }
    Ok(aside)
}

const CORRUPT_PREFIX: &str = "state.corrupt-";

/// The stores that were set aside, the oldest first.
fn corrupt_folders(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data) else { return Vec::new() };
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let millis = path.file_name()?.to_str()?.strip_prefix(CORRUPT_PREFIX)?.parse().ok()?;
            Some((millis, path))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::tests::{at, device, node};

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_a_later_word_replaces_an_earlier_one() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path(), at(1)).expect("a new store");
        for word in [node(1, at(10)), node(2, at(11)), node(1, at(12))] {
            store.keep(word).expect("kept");
        }
        drop(store);
        let store = Store::open(data.path(), at(2)).expect("the same store");
        assert_eq!(store.nodes(), [node(1, at(12)), node(2, at(11))]);
        assert!(store.notices().is_empty() && !store.is_failing());
    }

    #[test]
    fn a_store_that_cannot_be_read_is_set_aside_and_the_owner_is_told() {
        type Damage = fn(&Path);
        let rows: [(&str, Damage); 4] = [
            ("the file is noise", |path| fs::write(path.join("db"), [0xA5; 9000]).expect("written")),
            ("the settings are noise", |path| fs::write(path.join("conf"), [0xA5; 90]).expect("written")),
            ("an entry is noise", |path| {
                let db = DRAWER.raw(path).expect("it is sound");
                let tree = db.open_tree(NODES_TREE).expect("a tree");
                tree.insert(device(9).as_bytes(), b"noise").expect("written");
                db.flush().expect("flushed");
            }),
            ("the version is missing", |path| {
                let db = DRAWER.raw(path).expect("it is sound");
                db.remove(b"schema").expect("removed");
                db.insert(b"other", b"thing").expect("written");
                db.flush().expect("flushed");
            }),
        ];
        for (case, damage) in rows {
            let data = tempfile::tempdir().expect("a folder");
            let store = Store::open(data.path(), at(1)).expect("a new store");
            store.keep(node(1, at(10))).expect("kept");
            drop(store);
            damage(&data.path().join("state"));

            let store = Store::open(data.path(), Moment::from_millis(77)).expect(case);
            assert!(store.nodes().is_empty(), "{case}");
            assert!(data.path().join("state.corrupt-77").is_dir(), "{case}");
            assert!(!data.path().join("state.begun").exists(), "{case}");
            assert!(store.notices()[0].contains("set aside as state.corrupt-77"), "{case}: {:?}", store.notices());
            store.keep(node(2, at(20))).expect("the new one works");
            drop(store);
            let store = Store::open(data.path(), at(99)).expect(case);
            assert_eq!(store.nodes(), [node(2, at(20))], "{case}");
            assert_eq!(store.notices().len(), 1, "{case}: told until the folder is gone");
        }
    }

    #[test]
    fn only_the_newest_damaged_stores_are_left_lying() {
        let data = tempfile::tempdir().expect("a folder");
        for millis in [9, 10, 100, 1000] {
            fs::create_dir(data.path().join("state")).expect("made");
            set_aside(data.path(), &data.path().join("state"), Moment::from_millis(millis)).expect("set aside");
        }
        let left: Vec<_> = corrupt_folders(data.path());
        assert_eq!(left, [10, 100, 1000].map(|millis| data.path().join(format!("state.corrupt-{millis}"))));
    }

    #[test]
    fn a_store_of_a_later_version_is_refused_and_left_alone() {
        let data = tempfile::tempdir().expect("a folder");
        drop(Store::open(data.path(), at(1)).expect("a new store"));
        let newer = Drawer { schema: SCHEMA + 1, ..DRAWER };
        newer.write_schema(&data.path().join("state")).expect("it is sound");
        let refused = Store::open(data.path(), at(2)).expect_err("newer").to_string();
        assert!(refused.contains("is of version 2, and this program reads up to version 1"), "{refused}");
        assert!(corrupt_folders(data.path()).is_empty());
    }

    #[test]
    fn a_store_that_another_process_holds_is_not_mistaken_for_damage() {
        let data = tempfile::tempdir().expect("a folder");
        let _held = Store::open(data.path(), at(1)).expect("a new store");
        let refused = Store::open(data.path(), at(2)).expect_err("held").to_string();
        assert!(refused.contains("held by another process"), "{refused}");
        assert!(corrupt_folders(data.path()).is_empty());
    }
}
