//! The data folder: created private, held by one process, its format known before anything in it is touched.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::FlockOperation;

use crate::StoreError;

/// The format of data folders that this program writes.
pub const SCHEMA: u32 = 1;
/// A killed process holds its lock until it is reaped.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Room that is set aside, so that searching and forgetting work on a full disk.
const RESERVE_BYTES: u64 = 4 << 20;
/// With less room than this a disk counts as full.
const FULL_BYTES: u64 = 64 << 10;

/// A data folder that this process holds.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, creating it when it is absent.
    ///
    /// # Errors
    /// When another process has it, a newer program wrote it, it holds something else, or it cannot be written.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let fresh = match fs::read_dir(root) {
            Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "lock")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(cause) => return Err(StoreError::ReadOnly { path: root.into(), cause }),
        };
        let schema = root.join("schema");
        if !fresh && !schema.exists() {
            return Err(StoreError::NotOurs(root.into()));
        }
        let read_only = |cause| StoreError::ReadOnly { path: root.into(), cause };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(read_only)?;
        let lock = lock(root)?;
        if schema.exists() {
            let found = fs::read_to_string(&schema).map_err(StoreError::io("reading the data folder's format"))?;
            let found = found.strip_prefix("hearth-data ").and_then(|rest| rest.trim().parse().ok());
            match found.ok_or(StoreError::Damaged("the data folder's `schema` file"))? {
                SCHEMA => {}
                found if found > SCHEMA => return Err(StoreError::Newer { folder: root.into(), found }),
                _ => return Err(StoreError::Damaged("the data folder's `schema` file")),
            }
        }
        for part in ["identity", "log", "keys", "index", "audit"] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(part)).map_err(read_only)?;
        }
        if !schema.exists() {
            write_atomic(&schema, format!("hearth-data {SCHEMA}\n").as_bytes())?;
        }
        let folder = Self { root: root.into(), _lock: lock };
        folder.keep_reserve();
        Ok(folder)
    }

    /// Sets some room aside unless that was done, or there is little of it.
    pub fn keep_reserve(&self) {
        let path = self.reserve();
        if fs::metadata(&path).is_ok_and(|meta| meta.len() == RESERVE_BYTES)
            || free_bytes(&self.root).is_none_or(|free| free < 8 * RESERVE_BYTES)
        {
            return;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let set_aside = file.is_ok_and(|file| {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES).is_ok()
        });
        if !set_aside {
            // Only a convenience: a file system that sets nothing aside is used without.
            let _ = fs::remove_file(&path);
        }
    }

    /// Gives the room that was set aside back; says whether there was any.
    pub fn release_reserve(&self) -> bool {
        fs::remove_file(self.reserve()).is_ok()
    }

    fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A part of the folder.
    pub fn part(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(root.join("lock"))
        .map_err(|cause| StoreError::ReadOnly { path: root.into(), cause })?;
    let begun = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::InUse(root.into())),
            Err(error) => return Err(StoreError::io("locking the data folder")(error.into())),
        }
    }
}

/// Writes a small file whole or not at all: a temporary beside it, synced, renamed over it, the folder synced. Mode 0600.
///
/// # Errors
/// When any step fails; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let parent = path.parent().expect("a file in the data folder has a parent");
    let mut name = path.file_name().expect("a file has a name").to_owned();
    name.push(".new");
    let temporary = parent.join(name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(|error| {
        // What is left of the attempt is of no use; the error that matters is the first.
        let _ = fs::remove_file(&temporary);
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::ReadOnly { path: path.into(), cause: error }
            }
            _ => StoreError::io("writing a file of the data folder")(error),
        }
    })
}

/// Whether next to no room is left on the disk that holds `path`.
pub fn is_disk_full(path: &Path) -> bool {
    free_bytes(path).is_some_and(|free| free < FULL_BYTES)
}

fn free_bytes(path: &Path) -> Option<u64> {
    rustix::fs::statvfs(path).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Bytes that a folder takes on disk, everything below included; 0 when it is absent.
pub fn disk_usage(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|entry| disk_usage(&entry.path())).sum())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn one_process_at_a_time_and_only_folders_of_ours() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let data = home.path().join("data");
        let first = Folder::open(&data).expect("created");
        assert!(matches!(Folder::open(&data), Err(StoreError::InUse(_))), "a second process");
        drop(first);
        Folder::open(&data).expect("free again");

        fs::write(data.join("schema"), "hearth-data 99\n").expect("written");
        assert!(matches!(Folder::open(&data), Err(StoreError::Newer { found: 99, .. })), "a newer format");
        fs::write(data.join("schema"), "something").expect("written");
        assert!(matches!(Folder::open(&data), Err(StoreError::Damaged(_))), "not a format");

        fs::write(home.path().join("letter.txt"), "dear").expect("written");
        assert!(matches!(Folder::open(home.path()), Err(StoreError::NotOurs(_))), "somebody's folder");
        assert!(!home.path().join("schema").exists(), "and it is left alone");
    }

    #[test]
    fn room_is_set_aside_once_and_can_be_given_back() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(&home.path().join("data")).expect("created");
        if !folder.reserve().exists() {
            eprintln!("skipped: this file system sets no room aside");
            return;
        }
        assert_eq!(fs::metadata(folder.reserve()).expect("there").blocks() * 512, RESERVE_BYTES, "really allocated");
        assert!(folder.release_reserve() && !folder.release_reserve(), "there is nothing to give back twice");
        folder.keep_reserve();
        assert!(folder.release_reserve());
        assert!(!is_disk_full(home.path()));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said_so() {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::write(home.path().join("file"), "x").expect("written");
        let error = Folder::open(&home.path().join("file/data")).expect_err("a file is no folder");
        assert!(error.to_string().contains("cannot be written"), "{error}");
    }

    #[test]
    fn a_format_that_never_was_is_damage() {
        let home = tempfile::tempdir().expect("a temporary folder");
        drop(Folder::open(home.path()).expect("an empty folder becomes ours"));
        for format in ["hearth-data 0\n", "hearth-data -1\n", "hearth-data \n", ""] {
            fs::write(home.path().join("schema"), format).expect("written");
            assert!(matches!(Folder::open(home.path()), Err(StoreError::Damaged(_))), "{format:?}");
        }
        fs::write(home.path().join("schema"), "hearth-data 1\n").expect("written");
        assert_eq!(Folder::open(home.path()).expect("ours").root(), home.path());
    }

    #[test]
    fn a_folder_where_no_room_can_be_set_aside_is_used_without() {
        let home = tempfile::tempdir().expect("a temporary folder");
        drop(Folder::open(home.path()).expect("created"));
        let reserve = home.path().join("reserve");
        let _ = fs::remove_file(&reserve);
        fs::create_dir(&reserve).expect("in the way");
        let folder = Folder::open(home.path()).expect("used all the same");
        assert!(!folder.release_reserve() && reserve.is_dir());
    }

    #[test]
    fn a_file_is_written_whole_or_stays_as_it_was() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let (path, temporary) = (home.path().join("file"), home.path().join("file.new"));
        write_atomic(&path, b"old").expect("written");
        std::os::unix::fs::symlink("/dev/full", &temporary).expect("linked");
        let full = write_atomic(&path, b"new").expect_err("there is no room");
        assert!(full.is_full(), "{full}");
        assert_eq!((fs::read(&path).expect("read"), temporary.exists()), (b"old".to_vec(), false), "nothing is left");
        write_atomic(&path, b"new").expect("there is room");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);

        let folder = home.path().join("folder");
        fs::create_dir(&folder).expect("made");
        let refused = write_atomic(&folder, b"new").expect_err("a folder stands there");
        assert!(matches!(refused, StoreError::Io { what: "writing a file of the data folder", .. }), "{refused}");
        assert!(folder.is_dir() && !home.path().join("folder.new").exists(), "nothing is left");
    }

    #[test]
    fn a_folder_that_must_not_be_written_is_said_so() {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).expect("closed");
        if File::create(home.path().join("file")).is_ok() {
            eprintln!("skipped: this user may write anywhere");
            return;
        }
        let refused = write_atomic(&home.path().join("file"), b"x").expect_err("it must not");
        assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
        assert!(Folder::open(home.path()).is_err_and(|why| why.to_string().contains("make the folder writable")));
    }

    #[test]
    fn the_room_a_folder_takes_is_that_of_all_files_below_it() {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(home.path().join("a/b")).expect("made");
        for (name, bytes) in [("one", 10), ("a/two", 200), ("a/b/three", 3_000)] {
            fs::write(home.path().join(name), vec![0; bytes]).expect("written");
        }
        std::os::unix::fs::symlink(home.path(), home.path().join("a/round")).expect("linked");
        let link = fs::symlink_metadata(home.path().join("a/round")).expect("there").len();
        assert_eq!(disk_usage(home.path()), 3_210 + link, "and a link is not followed");
        assert_eq!(disk_usage(&home.path().join("a/two")), 200, "a file");
        assert_eq!(disk_usage(&home.path().join("absent")), 0);
    }

    #[test]
    fn a_disk_that_cannot_be_asked_is_not_called_full() {
        assert!(!is_disk_full(Path::new("/nowhere/at/all")));
    }
}
