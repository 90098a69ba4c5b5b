//! A store of sled, opened and asked so that what sled does over damage harms nobody.
//!
//! It panics over much damage, might turn in circles, takes other damage for an empty store, and holds its lock a moment longer than its
//! process lives. What lies in a drawer, and what becomes of one that cannot be read, is for its owner to say.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

/// What is the same each time that a drawer is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawer {
    /// Bytes of its cache: sled would take a gigabyte of memory otherwise.
    pub(crate) cache: u64,
    /// The version that is written, and the newest that is read.
    pub(crate) schema: u32,
}

/// Why a drawer was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    Newer(u32),
    Busy(String),
    Io(io::Error),
    Broken(String),
}

/// Opening takes a second for a gigabyte, and these hold far less.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// A process that was just killed may hold its lock for a moment longer.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(200);
const SCHEMA_KEY: &[u8] = b"schema";

impl Drawer {
    /// Opens it, or begins it. Whoever calls does so within [`patiently`].
    pub(crate) fn open(self, path: &Path) -> Result<sled::Db, Unread> {
        if !path.exists() {
            self.begin(path)?;
        }
        let db = self.raw(path)?;
        match db.get(SCHEMA_KEY).map_err(unread)? {
            // Much damage looks to sled like an empty store. Ours is never empty: `begin` saw to that.
            None => Err(Unread::Broken("it does not say its version".into())),
            Some(bytes) => match <[u8; 4]>::try_from(&bytes[..]).map(u32::from_be_bytes) {
                Ok(found) if found > self.schema => Err(Unread::Newer(found)),
                Ok(found) if found == self.schema => Ok(db),
                _ => Err(Unread::Broken("its version is not one that ever was".into())),
            },
        }
    }

    /// Makes one beside its place and then moves it there, so that whatever stands in its place is complete.
    fn begin(self, path: &Path) -> Result<(), Unread> {
        let draft = path.with_extension("begun");
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Unread::Io(error)),
            _ => {}
        }
        self.write_schema(&draft)?;
        fs::rename(draft, path).map_err(Unread::Io)
    }

    pub(crate) fn write_schema(self, path: &Path) -> Result<(), Unread> {
        let db = self.raw(path)?;
        db.insert(SCHEMA_KEY, &self.schema.to_be_bytes()).map_err(unread)?;
        db.flush().map_err(unread)?;
        Ok(())
    }

    /// As sled opens it.
    pub(crate) fn raw(self, path: &Path) -> Result<sled::Db, Unread> {
        sled::Config::new().path(path).cache_capacity(self.cache).open().map_err(unread)
    }
}

impl Unread {
    /// What it says, for a sentence.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Newer(version) => format!("it is of version {version}"),
            Self::Busy(reason) | Self::Broken(reason) => reason,
            Self::Io(error) => error.to_string(),
        }
    }
}

/// Opens a drawer in a thread of its own with a time limit, and tries again for a while when another process holds it.
pub(crate) fn patiently<T: Send + 'static>(
    open: impl Fn() -> Result<T, Unread> + Send + Clone + 'static,
) -> Result<T, Unread> {
    for _ in 1..BUSY_TRIES {
        match in_time(open.clone()) {
            Err(Unread::Busy(_)) => thread::sleep(BUSY_PAUSE),
            read => return read,
        }
    }
    in_time(open)
}

fn in_time<T: Send + 'static>(open: impl FnOnce() -> Result<T, Unread> + Send + 'static) -> Result<T, Unread> {
    let (tell, told) = mpsc::sync_channel(1);
    let reading = thread::Builder::new().name("open-store".into()).spawn(move || {
        let read = catch_unwind(AssertUnwindSafe(open));
        // Nobody listens any more after the time limit.
        let _ = tell.send(read.unwrap_or_else(|cause| Err(Unread::Broken(panic_text(&*cause)))));
    });
    reading.map_err(Unread::Io)?;
    match told.recv_timeout(OPEN_MAX) {
        Ok(read) => read,
        Err(_) => Err(Unread::Broken(format!("it did not open within {} seconds", OPEN_MAX.as_secs()))),
    }
}

/// Asks sled for something; a panic of it, over a full disk or damage that it meets late, is damage.
pub(crate) fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Unread> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(unread),
        Err(cause) => Err(Unread::Broken(panic_text(&*cause))),
    }
}

/// Tells damage from what the system refuses.
pub(crate) fn unread(error: sled::Error) -> Unread {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            Unread::Busy(error.to_string())
        }
        // Half a file is damage; anything else that the system refuses would refuse the next store as well.
        sled::Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            ) =>
        {
            Unread::Broken(error.to_string())
        }
        sled::Error::Io(error) => Unread::Io(error),
        damage => Unread::Broken(damage.to_string()),
    }
}

/// What a panic said, cut short.
pub(crate) fn panic_text(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_store_is_an_error_like_any_other() {
        let said = |done: Result<(), Unread>| done.map_err(Unread::reason);
        assert_eq!(said(guarded(|| panic!("tried to serialize"))), Err("tried to serialize".into()));
        let refused = said(guarded(|| Err(sled::Error::Unsupported("that".into()))));
        assert_eq!(refused.map_err(|text| text.contains("that")), Err(true));
    }
}
