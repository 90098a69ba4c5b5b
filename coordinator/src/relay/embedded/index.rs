//! The index: where everything lies, in sled, made from the files and thrown away when it is in doubt.
//!
//! One tree for all fleets, so that whatever belongs together is written at once or not at all. It is never ahead of what the disk has
//! of the files; after a crash it may be behind. sled panics over damage, so nobody else calls it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use tracing::error;

use crate::{
    drawer::{Drawer, Unread, guarded, patiently, unread},
    relay::engine::Failed,
};

/// The version of the index that this program writes, and the newest that it reads.
pub(super) const SCHEMA: u32 = 1;

const DRAWER: Drawer = Drawer { cache: 8 << 20, schema: SCHEMA };
const TREE: &[u8] = b"relay";
/// So many entries are removed at once.
const REMOVED_AT_ONCE: usize = 1000;

/// What is to be written at once: a value, or `None` to remove it.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The index, open.
#[derive(Debug)]
pub(super) struct Index {
    tree: sled::Tree,
    _db: sled::Db,
    /// Stands on the disk once the index is in doubt: the next opening does without it.
    doubt: PathBuf,
    #[cfg(test)]
    is_broken: std::sync::atomic::AtomicBool,
}

impl Index {
    /// Opens the index or begins it. One that cannot be read is moved to `index.broken`; says whether it was.
    pub(super) fn open(relay: &Path) -> Result<(Self, bool), Failed> {
        let (path, doubt) = (relay.join("index"), relay.join("index.doubt"));
        let mut set_aside = false;
        if doubt.exists() {
            move_aside(relay, &path, &doubt)?;
            set_aside = true;
        }
        let at = path.clone();
        let opened = match patiently(move || read(&at)) {
            Err(Unread::Broken(reason)) => {
                error!(reason, "the relay's index could not be read; it was set aside and is made again");
                move_aside(relay, &path, &doubt)?;
                set_aside = true;
                patiently(move || read(&path))
            }
            opened => opened,
        };
        let (db, tree) = opened.map_err(|unread| match unread {
            Unread::Newer(found) => Failed::Newer { found, known: SCHEMA },
            Unread::Busy(reason) => Failed::Busy { reason },
            Unread::Io(source) => Failed::io("opening the relay's index")(source),
            Unread::Broken(reason) => Failed::Index { reason },
        })?;
        let index = Self {
            tree,
            _db: db,
            doubt,
            #[cfg(test)]
            is_broken: false.into(),
        };
        Ok((index, set_aside))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        self.guarded(|| Ok(self.tree.get(key)?.map(|value| value.to_vec())))
    }

    /// Calls `each` with the entries whose keys begin with `prefix`, in order.
    pub(super) fn scan(&self, prefix: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        self.guarded(|| {
            for entry in self.tree.scan_prefix(prefix) {
                let (key, value) = entry?;
                each(&key, &value);
            }
            Ok(())
        })
    }

    /// Writes all of it or, when the process dies, none. A crash of the system may lose it; never what stands in it and not what before it.
    pub(super) fn apply(&self, changes: &Changes) -> Result<(), Failed> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        self.guarded(|| self.tree.apply_batch(batch))
    }

    /// Removes all entries whose keys begin with `prefix`.
    pub(super) fn clear(&self, prefix: &[u8]) -> Result<(), Failed> {
        loop {
            let mut changes = Changes::new();
            self.guarded(|| {
                for key in self.tree.scan_prefix(prefix).keys().take(REMOVED_AT_ONCE) {
                    changes.insert(key?.to_vec(), None);
                }
                Ok(())
            })?;
            if changes.is_empty() {
                return Ok(());
            }
            self.apply(&changes)?;
        }
    }

    /// The next opening does without this index.
    pub(super) fn is_in_doubt(&self) {
        let _ = fs::File::create(&self.doubt);
    }

    #[cfg(test)]
    pub(super) fn break_it(&self) {
        self.is_broken.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn guarded<T>(&self, work: impl FnOnce() -> sled::Result<T>) -> Result<T, Failed> {
        #[cfg(test)]
        let work = || {
            assert!(
                !self.is_broken.load(std::sync::atomic::Ordering::SeqCst),
                "as a page of sled's that cannot be read"
            );
            work()
        };
        guarded(work).map_err(|unread| {
            if !matches!(unread, Unread::Io(_)) {
                self.is_in_doubt();
            }
            Failed::Index { reason: unread.reason() }
        })
    }
}

/// Only one broken index is left lying: nothing in it is lost.
fn move_aside(relay: &Path, path: &Path, doubt: &Path) -> Result<(), Failed> {
    let what = "setting the relay's index aside";
    let aside = relay.join("index.broken");
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failed::io(what)(error)),
        _ => Ok(()),
    };
    gone(fs::remove_dir_all(&aside))?;
    gone(fs::rename(path, &aside))?;
    gone(fs::remove_file(doubt))
}

fn read(path: &Path) -> Result<(sled::Db, sled::Tree), Unread> {
    let db = DRAWER.open(path)?;
    let tree = db.open_tree(TREE).map_err(unread)?;
    Ok((db, tree))
}

#[cfg(test)]
pub(super) fn write_version(relay: &Path, version: u32) {
    let path = relay.join("index");
    // Whoever closed it may not have let go of it yet.
    patiently(move || Drawer { schema: version, ..DRAWER }.write_schema(&path)).expect("it is sound");
}
