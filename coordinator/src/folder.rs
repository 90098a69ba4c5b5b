//! The data folder: one coordinator at a time, and its key.
//!
//! ```text
//! <data>/lock         held while a coordinator runs
//! <data>/identity     the coordinator's secret key, 32 bytes, readable by its owner alone
//! <data>/state/       what devices said last; rebuilt by their next reports
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hearth_link::Identity;
use zeroize::Zeroizing;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoFolder {
    /// The system refused.
    #[error("cannot use the data folder at {path}; check that it exists, is writable and belongs to this user")]
    Io {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another coordinator is at work in it.
    #[error("another coordinator is running on the data folder {0}; stop it first, or name another folder with --data")]
    InUse(PathBuf),
    /// The key file is not what this program writes.
    #[error(
        "the key file {0} does not hold 32 bytes; restore it from a backup, or move it away to start with a new key"
    )]
    BadKey(PathBuf),
    /// Others can read the secret key.
    #[error(
        "the key file {path} can be read by others (mode {mode:o}); if nobody else has seen it, run `chmod 600` on it"
    )]
    OpenKey {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The system has no entropy to give.
    #[error("the system gave no entropy for a new key: {0}")]
    NoEntropy(getrandom::Error),
}

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process, and makes it first if there is none.
    pub fn take(path: &Path) -> Result<Self, NoFolder> {
        make(path)?;
        let lock_path = path.join("lock");
        let io = |source| NoFolder::Io { path: lock_path.clone(), source };
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock_path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(NoFolder::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The coordinator's own key, made on the first call. A running coordinator does not mind.
pub fn identity(data: &Path) -> Result<Identity, NoFolder> {
    make(data)?;
    let path = data.join("identity");
    match read_seed(&path) {
        Err(NoFolder::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(&mut seed[..]).map_err(NoFolder::NoEntropy)?;
            write_seed(data, &path, &seed).map_err(|source| NoFolder::Io { path: path.clone(), source })?;
            // Read back: of two that begin at once, both use the one that was written first.
            read_seed(&path).map(|seed| Identity::from_seed(&seed))
        }
        seed => seed.map(|seed| Identity::from_seed(&seed)),
    }
}

fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, NoFolder> {
    let io = |source| NoFolder::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(NoFolder::OpenKey { path: path.to_owned(), mode });
    }
    let mut seed = Zeroizing::new([0; 32]);
    let whole = file.read_exact(&mut seed[..]).is_ok() && matches!(file.read(&mut [0]), Ok(0));
    if whole { Ok(seed) } else { Err(NoFolder::BadKey(path.to_owned())) }
}

/// After a power cut there is the whole key or none. An existing key is never replaced.
fn write_seed(folder: &Path, path: &Path, seed: &[u8; 32]) -> io::Result<()> {
    let draft = folder.join(format!("identity.{}.new", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(seed)?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Some file systems have no hard links; there, the one instant in which two could begin is accepted.
            Err(_) if !path.exists() => fs::rename(&draft, path),
            linked => linked,
        }
    })();
    let _ = fs::remove_file(&draft);
    written?;
    File::open(folder)?.sync_all()
}

fn make(path: &Path) -> Result<(), NoFolder> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| NoFolder::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use hearth_link::key_text;

    use super::*;

    #[test]
    fn the_key_is_made_once_kept_and_readable_by_its_owner_alone() {
        let data = tempfile::tempdir().expect("a folder");
        let inner = data.path().join("new");
        let first = identity(&inner).expect("a key");
        let again = identity(&inner).expect("the same");
        assert_eq!(key_text(&first.public()), key_text(&again.public()));
        let mode = fs::metadata(inner.join("identity")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> =
            fs::read_dir(&inner).expect("a folder").map(|entry| entry.expect("read").file_name()).collect();
        assert_eq!(names, ["identity"], "no draft is left behind");
    }

    #[test]
    fn a_key_that_is_damaged_or_open_to_others_is_refused_and_kept() {
        for (case, content, mode, expected) in [
            ("short", vec![1; 31], 0o600, "does not hold 32 bytes"),
            ("long", vec![1; 33], 0o600, "does not hold 32 bytes"),
            ("empty", vec![], 0o600, "does not hold 32 bytes"),
            ("open to the group", vec![1; 32], 0o640, "mode 640"),
        ] {
            let data = tempfile::tempdir().expect("a folder");
            let path = data.path().join("identity");
            fs::write(&path, &content).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let refused = identity(data.path()).expect_err(case).to_string();
            assert!(refused.contains(expected), "{case}: {refused}");
            assert_eq!(fs::read(&path).expect("still there"), content, "{case}");
        }
    }

    #[test]
    fn a_second_coordinator_on_the_same_folder_is_refused_until_the_first_ends() {
        let data = tempfile::tempdir().expect("a folder");
        let first = Folder::take(data.path()).expect("free");
        let refused = Folder::take(data.path()).expect_err("taken").to_string();
        assert!(refused.starts_with("another coordinator is running on the data folder"), "{refused}");
        drop(first);
        Folder::take(data.path()).expect("free again");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_sentence() {
        let data = tempfile::tempdir().expect("a folder");
        let file = data.path().join("file");
        fs::write(&file, b"").expect("written");
        let refused = Folder::take(&file.join("below")).expect_err("below a file").to_string();
        assert!(refused.contains("check that it exists, is writable"), "{refused}");
    }
}
