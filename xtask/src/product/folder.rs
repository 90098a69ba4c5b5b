//! The temporary folder of one chore.
//!
//! Removed when dropped, unless it is to be kept.

use std::path::{Path, PathBuf};

/// A folder of our own.
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes a folder that only this user can read.
    pub(crate) fn temporary(chore: &str, keep: bool) -> Result<Self, String> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("hearth-{chore}-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self { path, keep })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_gone_afterwards() {
        let folder = Folder::temporary("test", false).expect("the temporary folder can be written");
        let path = folder.path().to_owned();
        std::fs::write(path.join("note"), "text").expect("the folder is ours");
        drop(folder);
        assert!(!path.exists());
    }
}
