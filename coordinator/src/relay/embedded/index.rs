//! The index: where everything lies, in sled, made from the files and thrown away when it is in doubt.
//!
//! One tree for all fleets, so that whatever belongs together is written at once or not at all. It is never ahead of what the disk has
//! of the files; after a crash it may be behind. sled panics over damage, so nobody else calls it.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use tracing::error;

use crate::{
    relay::engine::Failed,
    store::{Unread, panic_text, patiently, unread},
};

/// The version of the index that this program writes, and the newest that it reads.
pub(super) const SCHEMA: u32 = 1;

/// sled would take a gigabyte of memory otherwise.
const CACHE_BYTES: u64 = 8 << 20;
const SCHEMA_KEY: &[u8] = b"schema";
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
        Ok((Self { tree, _db: db, doubt }, set_aside))
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

    fn guarded<T>(&self, work: impl FnOnce() -> sled::Result<T>) -> Result<T, Failed> {
        let reason = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => match unread(error) {
                Unread::Io(error) => return Err(Failed::Index { reason: error.to_string() }),
                Unread::Busy(reason) | Unread::Broken(reason) => reason,
                Unread::Newer(_) => "it is newer".into(),
            },
            Err(cause) => panic_text(&*cause),
        };
        self.is_in_doubt();
        Err(Failed::Index { reason })
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
    if !path.exists() {
        begin(path)?;
    }
    let db = sled_at(path)?;
    match db.get(SCHEMA_KEY).map_err(unread)?.as_deref().map(<[u8; 4]>::try_from) {
        Some(Ok(version)) => match u32::from_be_bytes(version) {
            found if found > SCHEMA => return Err(Unread::Newer(found)),
            SCHEMA => {}
            _ => return Err(Unread::Broken("its version is not one that ever was".into())),
        },
        // Much damage looks to sled like an empty store. Ours is never empty: `begin` saw to that.
        Some(Err(_)) | None => return Err(Unread::Broken("it does not say its version".into())),
    }
    let tree = db.open_tree(TREE).map_err(unread)?;
    Ok((db, tree))
}

/// Makes an index beside its place and then moves it there, so that whatever stands in its place is complete.
fn begin(path: &Path) -> Result<(), Unread> {
    let draft = path.with_extension("begun");
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Unread::Io(error)),
        _ => {}
    }
    let db = sled_at(&draft)?;
    db.insert(SCHEMA_KEY, &SCHEMA.to_be_bytes()).map_err(unread)?;
    db.flush().map_err(unread)?;
    drop(db);
    fs::rename(&draft, path).map_err(Unread::Io)
}

fn sled_at(path: &Path) -> Result<sled::Db, Unread> {
    sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open().map_err(unread)
}

#[cfg(test)]
pub(super) fn write_version(relay: &Path, version: u32) {
    let path = relay.join("index");
    // Whoever closed it may not have let go of it yet.
    let db = patiently(move || sled_at(&path)).expect("it is sound");
    db.insert(SCHEMA_KEY, &version.to_be_bytes()).expect("written");
    db.flush().expect("flushed");
}
