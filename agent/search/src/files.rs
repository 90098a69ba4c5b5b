//! Where the keyword index keeps its files: a contract for the caller, and a twin in memory.
//!
//! The index writes a file once, from beginning to end, seals it, and then reads ranges of it; one small file is replaced
//! as a whole. Whoever implements [`Files`] decides where the bytes lie and encrypts them. Locks are kept in this process:
//! that only one process opens the folder is the caller's promise.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    io::{self, BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tantivy::{
    Directory,
    directory::{
        AntiCallToken, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite, WatchCallback, WatchHandle,
        WritePtr,
        error::{DeleteError, LockError, OpenReadError, OpenWriteError},
    },
};

/// A folder of sealed files, by name. Names are ASCII letters, digits, `.`, `-` and `_`.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// Opens a file; [`io::ErrorKind::NotFound`] when there is none. What is open can be read to the end, also after it was deleted:
    /// a search goes on in the files it began with.
    fn open(&self, name: &str) -> io::Result<Arc<dyn OpenFile>>;

    /// Begins a file; [`io::ErrorKind::AlreadyExists`] when there is one of that name.
    fn write_new(&self, name: &str) -> io::Result<Box<dyn NewFile>>;

    /// The whole of a file that is replaced as a whole; [`io::ErrorKind::NotFound`] when there is none.
    fn atomic_read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Replaces a file: whatever happens, the old or the new content is there afterwards, and what was sealed before it too.
    fn atomic_write(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Removes a file; [`io::ErrorKind::NotFound`] when there is none.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Is there a file of that name?
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes sure that files made, replaced and removed so far stay so when the power fails.
    fn sync(&self) -> io::Result<()>;
}

/// A sealed file that is open.
pub trait OpenFile: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    fn len(&self) -> usize;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it; an error when it ends before the range does.
    fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>>;
}

/// A file in the making. It may be read once it is sealed; one that is dropped before need not be kept.
pub trait NewFile: Write + Send + Sync {
    /// Ends the file, and makes its bytes safe.
    fn seal(self: Box<Self>) -> io::Result<()>;
}

/// Files in memory, for tests and for an index that need not outlive the process.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Arc<Vec<u8>>>>>);

impl Memory {
    fn get(&self, name: &str) -> io::Result<Arc<Vec<u8>>> {
        self.lock().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Vec<u8>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} files)", self.lock().len())
    }
}

impl Files for Memory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(OpenInMemory(self.get(name)?)))
    }

    fn write_new(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        if self.exists(name)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Box::new(NewInMemory { files: self.clone(), name: name.into(), content: Vec::new() }))
    }

    fn atomic_read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.get(name)?.to_vec())
    }

    fn atomic_write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.lock().insert(name.into(), Arc::new(content.into()));
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.lock().contains_key(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct OpenInMemory(Arc<Vec<u8>>);

impl OpenFile for OpenInMemory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        Ok(self.0.get(range).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
    }
}

struct NewInMemory {
    files: Memory,
    name: String,
    content: Vec<u8>,
}

impl Write for NewInMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for NewInMemory {
    fn seal(self: Box<Self>) -> io::Result<()> {
        self.files.lock().insert(self.name, Arc::new(self.content));
        Ok(())
    }
}

/// [`Files`] as the index engine wants to see them.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    files: Arc<dyn Files>,
    locks: Arc<Locks>,
}

/// The locks that are held, and a bell for when one is freed.
type Locks = (Mutex<HashSet<PathBuf>>, Condvar);

/// How long to wait for a lock. The engine holds them for moments; longer means that a thread of it hangs.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(20);

impl Folder {
    pub(crate) fn new(files: Arc<dyn Files>) -> Self {
        Self { files, locks: Arc::default() }
    }
}

/// The engine's paths are names without folders.
fn name(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn cannot_read(path: &Path, error: io::Error) -> OpenReadError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path.into()),
        _ => OpenReadError::wrap_io_error(error, path.into()),
    }
}

fn cannot_write(path: &Path, error: io::Error) -> OpenWriteError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.into()),
        _ => OpenWriteError::wrap_io_error(error, path.into()),
    }
}

impl Directory for Folder {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        match name(path).and_then(|name| self.files.open(name)) {
            Ok(file) => Ok(Arc::new(Sealed(file))),
            Err(error) => Err(cannot_read(path, error)),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        name(path).and_then(|name| self.files.delete(name)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.into()),
            _ => DeleteError::IoError { io_error: Arc::new(error), filepath: path.into() },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        name(path).and_then(|name| self.files.exists(name)).map_err(|error| cannot_read(path, error))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = name(path).and_then(|name| self.files.write_new(name)).map_err(|error| cannot_write(path, error))?;
        Ok(BufWriter::new(Box::new(Making(Some(file)))))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        name(path).and_then(|name| self.files.atomic_read(name)).map_err(|error| cannot_read(path, error))
    }

    fn atomic_write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.files.atomic_write(name(path)?, content)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        let (held, freed) = &*self.locks;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + LOCK_WAIT_MAX;
        while held.contains(&lock.filepath) {
            let left = until.saturating_duration_since(Instant::now());
            if !lock.is_blocking || left.is_zero() {
                return Err(LockError::LockBusy);
            }
            held = freed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        held.insert(lock.filepath.clone());
        Ok(DirectoryLock::from(Box::new(Held { path: lock.filepath.clone(), locks: Arc::clone(&self.locks) })))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty()) // readers are told of every commit by the one who makes it
    }
}

/// A lock that this process holds until it is dropped.
struct Held {
    path: PathBuf,
    locks: Arc<Locks>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (held, freed) = &*self.locks;
        held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
        freed.notify_all();
    }
}

/// A sealed file, read by ranges.
#[derive(Debug)]
struct Sealed(Arc<dyn OpenFile>);

impl tantivy::HasLen for Sealed {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FileHandle for Sealed {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.is_empty() {
            return Ok(OwnedBytes::empty());
        }
        let wanted = range.len();
        let bytes = self.0.read(range)?;
        if bytes.len() != wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(OwnedBytes::new(bytes))
    }
}

/// A file in the making, which the engine ends by a call of its own.
struct Making(Option<Box<dyn NewFile>>);

impl Making {
    fn file(&mut self) -> io::Result<&mut Box<dyn NewFile>> {
        self.0.as_mut().ok_or_else(|| io::Error::other("the file is sealed already"))
    }
}

impl Write for Making {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

impl TerminatingWrite for Making {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.take().ok_or_else(|| io::Error::other("the file is sealed already"))?.seal()
    }
}
