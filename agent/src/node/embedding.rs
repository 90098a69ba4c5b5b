//! Vectors for passages that have none: durable jobs, leased in small batches, on threads that load the model when there is work.
//!
//! A job is one document, with a checkpoint now and then in a long one. What a worker took and did not finish is taken again: after a failure later, after a crash at once.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hearth_core::{DocumentId, job};
use hearth_search::Embedder;

use super::{
    Entry, NodeError, Shared, lock, now,
    record::{ChunkRecord, JobRecord, VectorRow, Vectors},
};
use hearth_store::{Batch, StoreError, Tree};

/// A worker takes documents of about so many passages at once: a few seconds of work.
const TAKE_PASSAGES: usize = 48;
/// So many vectors are made before they are stored: what a crash costs of a long document, and far less work than a lease lasts.
const CHECKPOINT: usize = 64;
/// How often an idle worker looks for jobs whose time has come.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// An idle worker lets go of the model after this.
const REST_AFTER: Duration = Duration::from_secs(60);

/// Tells workers that there is work, and others that it is done.
#[derive(Debug, Default)]
pub(crate) struct Work {
    signal: Mutex<u64>,
    changed: Condvar,
    pub(crate) active: AtomicUsize,
    /// Why what a worker made could not be stored, until something can be again.
    trouble: Mutex<Option<StoreError>>,
}

impl Work {
    /// There is more to do, or less.
    pub(crate) fn more(&self) {
        *lock(&self.signal) += 1;
        self.changed.notify_all();
    }

    fn wait(&self, seen: u64, span: Duration) -> u64 {
        let signal = lock(&self.signal);
        let waited = self.changed.wait_timeout_while(signal, span, |signal| *signal == seen);
        *waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }
}

/// The workers.
#[derive(Debug)]
pub struct Embedding {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Embedding {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, threads: Mutex::default() }
    }

    /// Lets the workers begin, if they have not. A command that only asks something leaves the work to the daemon.
    pub(crate) fn start(&self) {
        let mut threads = lock(&self.threads);
        if !threads.is_empty() {
            return;
        }
        for number in 0..self.shared.settings.embed_threads.max(1) {
            let shared = Arc::clone(&self.shared);
            let run = move || Worker { shared, engine: None, rested: Instant::now() }.run();
            let thread = std::thread::Builder::new().name(format!("embed-{number}")).spawn(run);
            threads.push(thread.expect("the system gives a thread at start"));
        }
    }

    /// Waits until no passage waits for a vector, but for those that failed too often. `false` when the node is stopping; an error
    /// when vectors cannot be stored.
    pub(crate) fn settle(&self) -> Result<bool, StoreError> {
        lock(&self.shared.work.trouble).take();
        self.start();
        let mut seen = 0;
        loop {
            if self.shared.is_stopping() {
                return Ok(false);
            }
            // The jobs stay and are tried again, but a full disk may stay so for ever.
            if let Some(error) = lock(&self.shared.work.trouble).take() {
                return Err(error);
            }
            let waits = self
                .shared
                .state
                .iter::<JobRecord>(Tree::Job)
                .any(|job| job.is_ok_and(|(_, job)| !matches!(job.state, job::State::Dead { .. })));
            if !waits {
                return Ok(true);
            }
            seen = self.shared.work.wait(seen, Duration::from_millis(500));
        }
    }

    pub(crate) fn stop(&self) {
        self.shared.work.more();
        let threads: Vec<_> = lock(&self.threads).drain(..).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    engine: Option<Box<dyn Embedder>>,
    rested: Instant,
}

impl Worker {
    fn run(&mut self) {
        // Searching and the owner's own work come first.
        let _ = rustix::process::nice(10);
        let mut seen = 0;
        while !self.shared.is_stopping() {
            match self.step() {
                Ok(true) => {
                    self.rested = Instant::now();
                    lock(&self.shared.work.trouble).take();
                }
                Ok(false) => {
                    if self.rested.elapsed() > REST_AFTER && self.engine.take().is_some() {
                        self.shared.rest_memory();
                    }
                    let span = if self.engine.is_some() { REST_AFTER } else { LOOK_EVERY };
                    seen = self.shared.work.wait(seen, span);
                }
                Err(error) => {
                    tracing::error!(error = %error, "passages could not be embedded; they are tried again");
                    if let NodeError::Store(error) = error {
                        *lock(&self.shared.work.trouble) = Some(error);
                        self.shared.work.more();
                    }
                    seen = self.shared.work.wait(seen, Duration::from_secs(2));
                }
            }
        }
    }

    /// Takes some jobs and does them; `false` when there are none.
    fn step(&mut self) -> Result<bool, NodeError> {
        let taken = self.shared.take_jobs()?;
        if taken.is_empty() {
            return Ok(false);
        }
        self.shared.work.active.fetch_add(1, Ordering::SeqCst);
        let result = self.embed(&taken);
        self.shared.work.active.fetch_sub(1, Ordering::SeqCst);
        if result.is_err() {
            self.shared.fail_jobs(&taken)?;
        }
        self.shared.work.more();
        result.map(|()| true)
    }

    /// Makes the vectors of documents and stores them, a checkpoint at a time.
    fn embed(&mut self, documents: &[DocumentId]) -> Result<(), NodeError> {
        let mut entries = Vec::new();
        let mut fresh = 0;
        for document in documents {
            let Some(record) = self.shared.document(*document)? else { continue };
            let body = self.shared.body(*document, &record)?;
            let mut rows: Vec<VectorRow> = Vec::new();
            let model = self.shared.model.id().to_owned();
            let entry = |rows, more| Entry::Embedding {
                document: *document,
                vectors: Vectors { model: model.clone(), rows, more },
            };
            for passage in &body.passages {
                if self.shared.is_stopping() {
                    // The rest is still a job.
                    entries.extend((!rows.is_empty()).then(|| entry(rows, true)));
                    return self.shared.commit(&mut self.shared.writer(), entries);
                }
                let known: Option<ChunkRecord> = self.shared.state.get(Tree::Chunk, passage.id.as_bytes())?;
                if known.is_none_or(|chunk| chunk.embedded) || rows.iter().any(|row| row.chunk == passage.id) {
                    continue;
                }
                let chunk = hearth_search::Chunk {
                    range: passage.start as usize..passage.end as usize,
                    heading: passage.heading.clone(),
                    text: body.passage(passage).to_owned(),
                };
                let vector = self.engine()?.embed(&chunk.embedded())?.quantize();
                rows.push(VectorRow { chunk: passage.id, vector: vector.to_bytes().to_vec() });
                fresh += 1;
                if fresh >= CHECKPOINT {
                    entries.push(entry(std::mem::take(&mut rows), true));
                    self.shared.commit(&mut self.shared.writer(), std::mem::take(&mut entries))?;
                    fresh = 0;
                }
            }
            entries.push(entry(rows, false));
        }
        self.shared.commit(&mut self.shared.writer(), entries)
    }

    fn engine(&mut self) -> Result<&mut Box<dyn Embedder>, NodeError> {
        if self.engine.is_none() {
            self.engine = Some(self.shared.load_engine()?);
        }
        Ok(self.engine.as_mut().expect("loaded above"))
    }
}

impl Shared {
    /// Loads the model into the best engine there is; says once when a named library could not be used.
    pub(crate) fn load_engine(&self) -> Result<Box<dyn Embedder>, NodeError> {
        let (engine, why_not) = self.model.embedder(self.settings.onnxruntime.as_deref())?;
        if let Some(why) = why_not {
            let notice = format!("the ONNX Runtime that the configuration names is not used: {why}");
            let mut notices = lock(&self.notices);
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
        Ok(engine)
    }

    /// Leases jobs for one worker.
    fn take_jobs(&self) -> Result<Vec<DocumentId>, NodeError> {
        let _one_at_a_time = self.writer();
        let at = now();
        let (mut taken, mut passages, mut batch) = (Vec::new(), 0, Batch::default());
        for job in self.state.iter::<JobRecord>(Tree::Job) {
            let (key, record) = job?;
            let Ok(id) = <[u8; 16]>::try_from(key.as_slice()) else { continue };
            let state = record.state.next(at, job::Event::Tick);
            let leased = state.next(at, job::Event::Taken);
            if leased == state {
                continue;
            }
            let document = DocumentId::from_bytes(id);
            passages += self.document(document)?.map_or(0, |record| record.chunks.len());
            batch.put(Tree::Job, &id, &JobRecord { state: leased });
            taken.push(document);
            if passages >= TAKE_PASSAGES {
                break;
            }
        }
        if !batch.is_empty() {
            self.state.apply(batch)?;
        }
        Ok(taken)
    }

    fn fail_jobs(&self, documents: &[DocumentId]) -> Result<(), NodeError> {
        self.change_jobs(documents, |state| state.next(now(), job::Event::Failed))
    }

    fn change_jobs(
        &self,
        documents: &[DocumentId],
        change: impl Fn(job::State) -> job::State,
    ) -> Result<(), NodeError> {
        let _one_at_a_time = self.writer();
        let mut batch = Batch::default();
        for document in documents {
            if let Some(record) = self.state.get::<JobRecord>(Tree::Job, document.as_bytes())? {
                batch.put(Tree::Job, document.as_bytes(), &JobRecord { state: change(record.state) });
            }
        }
        Ok(self.state.apply(batch)?)
    }

    /// Whoever had leased a job is gone: this process has just begun.
    pub(crate) fn recover_jobs(&self) -> Result<(), NodeError> {
        let mut batch = Batch::default();
        for job in self.state.iter::<JobRecord>(Tree::Job) {
            let (key, record) = job?;
            let state = record.state.recovered(now());
            if state != record.state {
                batch.put(Tree::Job, &key, &JobRecord { state });
            }
        }
        if !batch.is_empty() {
            self.state.apply(batch)?;
        }
        Ok(())
    }
}
