//! The vectors of a node: sealed files on disk, in memory only while somebody searches.
//!
//! Files are written once; the manifest names those that count and how far along the log they go. What came after is in the log
//! and is read again at the next opening.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hearth_core::ChunkId;
use hearth_search::Vectors;
use minicbor::{Decode, Encode};

use super::sealed_files::write_sealed;
use hearth_store::{BlockFile, Position, StoreError};

/// More files than this are merged into one.
const FILES_MAX: usize = 8;
/// So many vectors not yet in a file make one.
const FRESH_MAX: usize = 8192;

#[derive(Clone, Default, Debug, Encode, Decode)]
struct Manifest {
    #[n(0)]
    model: String,
    #[n(1)]
    next: u64,
    #[n(2)]
    files: Vec<u64>,
    #[n(3)]
    cursor: Position,
}

/// The vector index.
#[derive(Debug)]
pub(crate) struct VectorIndex {
    dir: PathBuf,
    key: [u8; 32],
    manifest: Manifest,
    fresh: Vectors,
    loaded: Option<Vectors>,
}

impl VectorIndex {
    /// Opens the index of this model. Of another model, or damaged, it is empty and begins at the log's beginning.
    pub(crate) fn open(dir: PathBuf, key: [u8; 32], model: &str) -> Result<Self, StoreError> {
        fs::create_dir_all(&dir).map_err(StoreError::io("creating the vector index"))?;
        let read = || -> io::Result<Vec<u8>> {
            let file = BlockFile::open(&dir.join("manifest"), &key)?;
            file.read(0..file.len())
        };
        let manifest = read().ok().and_then(|bytes| minicbor::decode::<Manifest>(&bytes).ok());
        let manifest = manifest.filter(|manifest| manifest.model == model);
        let manifest = manifest.unwrap_or_else(|| Manifest { model: model.to_owned(), ..Manifest::default() });
        let mut index = Self { dir, key, manifest, fresh: Vectors::new(model), loaded: None };
        index.sweep();
        Ok(index)
    }

    /// How far along the log the files go.
    pub(crate) fn cursor(&self) -> Position {
        self.manifest.cursor
    }

    /// Takes a vector.
    pub(crate) fn insert(&mut self, chunk: ChunkId, vector: &hearth_search::Vector) {
        self.fresh.insert(chunk, vector);
        if let Some(loaded) = &mut self.loaded {
            loaded.insert(chunk, vector);
        }
    }

    /// Drops a vector from memory; from disk with the next [`purge`](Self::purge) or merge.
    pub(crate) fn remove(&mut self, chunk: ChunkId) {
        self.fresh.remove(chunk);
        if let Some(loaded) = &mut self.loaded {
            loaded.remove(chunk);
        }
    }

    /// Whether enough came together to be written down.
    pub(crate) fn is_due(&self) -> bool {
        self.fresh.len() >= FRESH_MAX
    }

    /// Writes down what is only in memory; everything before `cursor` is then in files.
    pub(crate) fn save(&mut self, cursor: Position, keep: impl Fn(ChunkId) -> bool) -> Result<(), StoreError> {
        if !self.fresh.is_empty() {
            if self.manifest.files.len() >= FILES_MAX {
                return self.purge(cursor, keep);
            }
            let number = self.write(&self.fresh)?;
            self.manifest.files.push(number);
            self.manifest.next = number + 1;
        } else if self.manifest.cursor == cursor {
            return Ok(());
        }
        self.manifest.cursor = cursor;
        self.note()?;
        self.fresh = Vectors::new(&self.manifest.model);
        Ok(())
    }

    /// Writes everything anew into one file, without what `keep` refuses; the old files are removed.
    pub(crate) fn purge(&mut self, cursor: Position, keep: impl Fn(ChunkId) -> bool) -> Result<(), StoreError> {
        let was_loaded = self.loaded.is_some();
        self.load()?;
        let mut all = self.loaded.take().expect("just loaded");
        let gone: Vec<ChunkId> = all.chunks().filter(|chunk| !keep(*chunk)).collect();
        for chunk in gone {
            all.remove(chunk);
        }
        let number = self.write(&all)?;
        self.manifest.files = vec![number];
        self.manifest.next = number + 1;
        self.manifest.cursor = cursor;
        self.note()?;
        self.fresh = Vectors::new(&self.manifest.model);
        self.loaded = was_loaded.then_some(all);
        self.sweep();
        Ok(())
    }

    /// Brings all vectors into memory.
    pub(crate) fn load(&mut self) -> Result<&Vectors, StoreError> {
        if self.loaded.is_none() {
            let mut all = Vectors::new(&self.manifest.model);
            for number in &self.manifest.files {
                let file = BlockFile::open(&self.path(*number), &self.key)
                    .map_err(StoreError::io("reading the vector index"))?;
                let bytes = file.read(0..file.len()).map_err(StoreError::io("reading the vector index"))?;
                all.read_segment(&bytes).map_err(|_| StoreError::Damaged("a file of the vector index"))?;
            }
            let mut fresh = Vec::new();
            self.fresh.write_segment(&mut fresh).expect("writing to memory does not fail");
            all.read_segment(&fresh).expect("just written");
            self.loaded = Some(all);
        }
        Ok(self.loaded.as_ref().expect("loaded above"))
    }

    /// The vectors, when they are in memory.
    pub(crate) fn loaded(&self) -> Option<&Vectors> {
        self.loaded.as_ref()
    }

    /// Lets go of the memory.
    pub(crate) fn unload(&mut self) {
        self.loaded = None;
    }

    /// Forgets every file; the log has it all.
    pub(crate) fn reset(&mut self) -> Result<(), StoreError> {
        self.manifest =
            Manifest { model: self.manifest.model.clone(), next: self.manifest.next, ..Manifest::default() };
        self.fresh = Vectors::new(&self.manifest.model);
        self.loaded = None;
        self.note()?;
        self.sweep();
        Ok(())
    }

    fn write(&self, vectors: &Vectors) -> Result<u64, StoreError> {
        let number = self.manifest.next;
        let mut bytes = Vec::new();
        vectors.write_segment(&mut bytes).expect("writing to memory does not fail");
        write_sealed(&self.path(number), &self.key, &bytes).map_err(StoreError::io("writing the vector index"))?;
        Ok(number)
    }

    fn note(&self) -> Result<(), StoreError> {
        let bytes = minicbor::to_vec(&self.manifest).expect("writing to memory does not fail");
        write_sealed(&self.dir.join("manifest"), &self.key, &bytes).map_err(StoreError::io("writing the vector index"))
    }

    /// Removes files that the manifest does not name: a crash left them, or a merge.
    fn sweep(&mut self) {
        let named: Vec<PathBuf> = self.manifest.files.iter().map(|number| self.path(*number)).collect();
        let is_stray = |path: &Path| path.extension().is_some() && !named.iter().any(|name| name == path);
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if is_stray(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:06}.vec"))
    }
}

#[cfg(test)]
mod tests {
    use hearth_search::Embedding;

    use super::*;

    const KEY: [u8; 32] = [1; 32];

    fn chunk(n: u8) -> ChunkId {
        ChunkId::from_bytes([n; 16])
    }

    fn vector(n: u8) -> hearth_search::Vector {
        let numbers: Vec<f32> = (0..384).map(|i| if i == usize::from(n) { 1.0 } else { 0.01 }).collect();
        Embedding::new(&numbers).expect("an embedding").quantize()
    }

    fn chunks(index: &mut VectorIndex) -> Vec<u8> {
        let mut all: Vec<u8> = index.load().expect("loaded").chunks().map(|chunk| chunk.as_bytes()[0]).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_was_saved_is_there_again_and_what_was_purged_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open = |model| VectorIndex::open(dir.path().join("v"), KEY, model).expect("opened");
        let mut index = open("m");
        for n in 0..12 {
            index.insert(chunk(n), &vector(n));
            index.save(Position::from_u64(u64::from(n) + 1), |_| true).expect("saved");
        }
        index.insert(chunk(50), &vector(50));
        drop(index);

        let mut index = open("m");
        assert_eq!(index.cursor(), Position::from_u64(12), "what was not saved is for the log to tell again");
        assert_eq!(chunks(&mut index), (0..12).collect::<Vec<u8>>());
        index.purge(Position::from_u64(13), |id| id != chunk(3)).expect("purged");
        drop(index);
        let mut index = open("m");
        assert!(!chunks(&mut index).contains(&3));
        assert_eq!(fs::read_dir(dir.path().join("v")).expect("listed").count(), 2, "one file and the manifest");
        drop(index);
        assert_eq!(open("other").cursor(), Position::BEGIN, "another model begins anew");
    }
}
