//! The keyword index's files, sealed, under names it chooses.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use hearth_search::files::{Files, NewFile};

use crate::store::{BlockFile, BlockWriter};

/// Open files kept for reading; an index has a few dozen.
const OPEN_MAX: usize = 256;

/// Files in one folder, each sealed with a key of its own.
pub(crate) struct SealedFiles {
    dir: PathBuf,
    key: [u8; 32],
    open: Mutex<HashMap<String, Arc<BlockFile>>>,
}

impl std::fmt::Debug for SealedFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedFiles")
    }
}

impl SealedFiles {
    /// Files in `dir`, which must be there.
    pub(crate) fn new(dir: PathBuf, key: [u8; 32]) -> Self {
        Self { dir, key, open: Mutex::default() }
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = !name.is_empty() && name.len() < 200 && !name.starts_with("..") && !name.contains(['/', '\0']);
        if plain {
            Ok(self.dir.join(name))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name for an index file"))
        }
    }

    fn file(&self, name: &str) -> io::Result<Arc<BlockFile>> {
        if let Some(file) = self.open.lock().expect("no holder panics").get(name) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(BlockFile::open(&self.path(name)?, &self.key)?);
        let mut open = self.open.lock().expect("no holder panics");
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self, name: &str) {
        self.open.lock().expect("no holder panics").remove(name);
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
    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.len() as u64)
    }

    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        let index = |at: u64| usize::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof));
        self.file(name)?.read(index(range.start)?..index(range.end)?)
    }

    fn write_new(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        self.forget(name);
        Ok(Box::new(Growing(BlockWriter::create(&self.path(name)?, &self.key)?)))
    }

    fn atomic_read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.forget(name);
        let file = BlockFile::open(&self.path(name)?, &self.key)?;
        file.read(0..file.len())
    }

    fn atomic_write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.forget(name);
        write_sealed(&self.path(name)?, &self.key, content)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.forget(name);
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
