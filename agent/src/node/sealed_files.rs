//! The keyword index's files, sealed, under names it chooses.

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use hearth_search::files::{Files, NewFile, OpenFile};

use hearth_store::{BlockFile, BlockWriter};

/// Files in one folder, each sealed with a key of its own.
pub(crate) struct SealedFiles {
    dir: PathBuf,
    key: [u8; 32],
}

impl std::fmt::Debug for SealedFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedFiles")
    }
}

impl SealedFiles {
    /// Files in `dir`, which must be there.
    pub(crate) fn new(dir: PathBuf, key: [u8; 32]) -> Self {
        Self { dir, key }
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = !name.is_empty() && name.len() < 200 && !name.starts_with("..") && !name.contains(['/', '\0']);
        if plain {
            Ok(self.dir.join(name))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name for an index file"))
        }
    }
}

/// A sealed file that is read.
#[derive(Debug)]
struct Sealed(BlockFile);

impl OpenFile for Sealed {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        self.0.read(range)
    }
}

/// A sealed file in the making.
struct Growing(BlockWriter);

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl NewFile for Growing {
    fn seal(self: Box<Self>) -> io::Result<()> {
        self.0.finish()
    }
}

impl Files for SealedFiles {
    fn open(&self, name: &str) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(Sealed(BlockFile::open(&self.path(name)?, &self.key)?)))
    }

    fn write_new(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(Growing(BlockWriter::create(&self.path(name)?, &self.key)?)))
    }

    fn atomic_read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = BlockFile::open(&self.path(name)?, &self.key)?;
        file.read(0..file.len())
    }

    fn atomic_write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        write_sealed(&self.path(name)?, &self.key, content)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name)?)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name)?.try_exists()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.dir)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.collect())
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }
}

/// Writes a sealed file whole or not at all.
pub(crate) fn write_sealed(path: &Path, key: &[u8; 32], content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut writer = BlockWriter::create(&temporary, key)?;
    writer.write_all(content)?;
    writer.finish()?;
    fs::rename(&temporary, path)?;
    fs::File::open(path.parent().expect("a file in the data folder has a parent"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_can_be_read_after_it_was_replaced_and_after_it_was_deleted() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let files = SealedFiles::new(dir.path().into(), [1; 32]);
        let write = |content: &[u8]| {
            let mut file = files.write_new("a.idx")?;
            file.write_all(content)?;
            file.seal()
        };
        write(b"one").expect("written");
        let open = files.open("a.idx").expect("it is there");
        files.delete("a.idx").expect("removed");
        assert_eq!(open.read(0..open.len()).expect("still open"), b"one");
        assert!(files.open("a.idx").is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        write(b"other").expect("written");
        assert_eq!(open.read(0..3).expect("still open"), b"one");
        assert_eq!(files.open("a.idx").expect("it is there").read(0..5).expect("read"), b"other");
    }
}
