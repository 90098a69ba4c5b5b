//! The model run by tract: pure Rust, part of the program, the engine that is always there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tract_onnx::prelude::*;

use super::{EmbedError, Embedder, Model, ModelError, ids};
use crate::{tokenizer::Tokenizer, vector::Embedding};

const BACKEND: &str = "tract";

static LOADED: AtomicUsize = AtomicUsize::new(0);

/// Is the model in tract's memory now?
pub fn is_loaded() -> bool {
    LOADED.load(Relaxed) > 0
}

/// The model in tract. Dropping it gives its memory back.
pub struct Tract {
    plan: Arc<TypedRunnableModel>,
    tokenizer: Arc<Tokenizer>,
}

impl Tract {
    /// Builds the plan once, for texts of every length.
    pub fn load(model: &Model) -> Result<Self, ModelError> {
        let plan =
            plan(&model.onnx).map_err(|error| ModelError::Load { backend: BACKEND, reason: format!("{error:#}") })?;
        LOADED.fetch_add(1, Relaxed);
        Ok(Self { plan, tokenizer: Arc::clone(&model.tokenizer) })
    }

    fn run(&self, ids: &[i64]) -> TractResult<Vec<f32>> {
        let length = ids.len();
        let mask = tensor1(&vec![1_i64; length]).into_shape(&[1, length])?;
        let ids = tensor1(ids).into_shape(&[1, length])?;
        let outputs = self.plan.run(tvec!(ids.into(), mask.into()))?;
        let embedding = outputs[0].to_plain_array_view::<f32>()?;
        Ok(embedding.iter().copied().collect())
    }
}

impl Drop for Tract {
    fn drop(&mut self) {
        LOADED.fetch_sub(1, Relaxed);
    }
}

impl Embedder for Tract {
    fn embed(&mut self, text: &str) -> Result<Embedding, EmbedError> {
        let ids = ids(&self.tokenizer, text);
        let tokens = ids.len();
        let numbers = self.run(&ids).map_err(|error| EmbedError::Engine {
            backend: BACKEND,
            tokens,
            reason: format!("{error:#}"),
        })?;
        Embedding::new(&numbers).map_err(|source| EmbedError::Result { backend: BACKEND, source })
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

fn plan(onnx: &[u8]) -> TractResult<Arc<TypedRunnableModel>> {
    let mut model = tract_onnx::onnx().model_for_read(&mut &*onnx)?;
    let length = model.symbols.sym("length");
    for input in 0..2 {
        model.set_input_fact(input, i64::fact([1.to_dim(), length.to_dim()]).into())?;
    }
    model.into_typed()?.into_optimized()?.into_runnable()
}
