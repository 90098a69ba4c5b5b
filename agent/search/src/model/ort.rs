//! The model run by an ONNX Runtime library that the owner named.
//!
//! The library is loaded at run time from an absolute path and from nowhere else: a library planted in a search path would
//! be foreign code in the daemon. `init_from` comes first, because every other call of the binding panics while no library
//! is loaded. One process holds one runtime for as long as it lives.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ::ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use super::{EmbedError, Embedder, Model, ModelError, ids};
use crate::{tokenizer::Tokenizer, vector::Embedding};

const BACKEND: &str = "ort";

static LOADED: AtomicUsize = AtomicUsize::new(0);
/// The runtime of this process and the library it came from.
static RUNTIME: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Is the model in the runtime's memory now?
pub fn is_loaded() -> bool {
    LOADED.load(Relaxed) > 0
}

/// Loads the library and says whether it can be used.
pub fn probe(library: &Path) -> Result<(), ModelError> {
    runtime(library).map(drop)
}

/// The model in the ONNX Runtime. Dropping it gives the model's memory back; the library stays.
pub struct Ort {
    session: Session,
    tokenizer: Arc<Tokenizer>,
}

impl Ort {
    /// Loads the library, unless it is there already, and the model into it.
    pub fn load(model: &Model, library: &Path) -> Result<Self, ModelError> {
        let environment = runtime(library)?;
        let session =
            session(&environment, &model.onnx).map_err(|reason| ModelError::Load { backend: BACKEND, reason })?;
        LOADED.fetch_add(1, Relaxed);
        Ok(Self { session, tokenizer: Arc::clone(&model.tokenizer) })
    }

    fn run(&mut self, ids: &[i64]) -> ::ort::Result<Vec<f32>> {
        let mask = vec![1_i64; ids.len()];
        let outputs = self.session.run(::ort::inputs![
            "input_ids" => TensorRef::from_array_view(([1, ids.len()], ids))?,
            "attention_mask" => TensorRef::from_array_view(([1, mask.len()], mask.as_slice()))?,
        ])?;
        let (_, numbers) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(numbers.to_vec())
    }
}

impl Drop for Ort {
    fn drop(&mut self) {
        LOADED.fetch_sub(1, Relaxed);
    }
}

impl Embedder for Ort {
    fn embed(&mut self, text: &str) -> Result<Embedding, EmbedError> {
        let ids = ids(&self.tokenizer, text);
        let numbers = self.run(&ids).map_err(|error| EmbedError::Engine {
            backend: BACKEND,
            tokens: ids.len(),
            reason: error.to_string(),
        })?;
        Embedding::new(&numbers).map_err(|source| EmbedError::Result { backend: BACKEND, source })
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

/// The runtime of this process, from this library.
fn runtime(library: &Path) -> Result<Environment, ModelError> {
    let refused = |reason: String| ModelError::Library { path: library.display().to_string(), reason };
    if !library.is_absolute() {
        return Err(refused("the path must be absolute, so that it is clear whose code is run".into()));
    }
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match &*runtime {
        Some((path, environment)) if path == library => return Ok(environment.clone()),
        Some((path, _)) => {
            return Err(refused(format!("`{}` is loaded already; restart hearth to change it", path.display())));
        }
        None => {}
    }
    // The binding has assertions of its own about what a library says of itself; they must not end the daemon.
    let environment = catch_unwind(AssertUnwindSafe(|| {
        let builder = ::ort::init_from(library).map_err(|error| error.to_string())?;
        builder.with_name("hearth").with_telemetry(false).build().map_err(|error| error.to_string())
    }))
    .unwrap_or_else(|_| Err("it is not an ONNX Runtime library".into()))
    .map_err(|reason| refused(format!("{reason}; name libonnxruntime.so of ONNX Runtime 1.17 or newer")))?;
    *runtime = Some((library.into(), environment.clone()));
    Ok(environment)
}

fn session(environment: &Environment, onnx: &[u8]) -> Result<Session, String> {
    Session::builder(environment)
        .map_err(|error| error.to_string())?
        .with_optimization_level(GraphOptimizationLevel::Level3)
        .map_err(|error| error.to_string())?
        .with_intra_threads(1)
        .map_err(|error| error.to_string())?
        .with_inter_threads(1)
        .map_err(|error| error.to_string())?
        .commit_from_memory(onnx)
        .map_err(|error| error.to_string())
}
