//! The model that turns text into embeddings, and the engines that can run it.
//!
//! One model serves the whole fleet, so a vector made on any node serves on every node. It is part of the program;
//! another one can be handed over as bytes, and bytes that are not what they should be are refused. Nothing here reads
//! files: only the loader of the ONNX Runtime opens the library that the owner named.

use std::{borrow::Cow, path::Path, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    tokenizer::{Tokenizer, TokenizerError},
    vector::{Embedding, NotAnEmbedding},
};

#[cfg(feature = "ort")]
pub mod ort;
#[cfg(feature = "tract")]
pub mod tract;

/// A text is read up to here; the model was trained on texts of 128 tokens and knows no more than 512.
pub const TOKENS_MAX: usize = 256;
/// An engine that agrees less than this with the reference vectors does not run this model as it should.
const AGREEMENT_MIN: f32 = 0.985;
/// How many reference texts an engine is tried on before it is trusted.
#[cfg(feature = "bundled-model")]
const TRIALS: usize = 4;

#[cfg(feature = "bundled-model")]
const BUNDLED_ONNX: &[u8] = include_bytes!("../model/model_int8.onnx");
#[cfg(feature = "bundled-model")]
const BUNDLED_TOKENIZER: &[u8] = include_bytes!("../model/tokenizer.json");
#[cfg(feature = "bundled-model")]
const REFERENCE: &str = include_str!("../model/reference_vectors.json");

/// What the two files of a model must hash to (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digests {
    /// Of the ONNX graph with its weights.
    pub onnx: [u8; 32],
    /// Of `tokenizer.json`.
    pub tokenizer: [u8; 32],
}

impl Digests {
    /// Of the model that hearth ships.
    pub const SHIPPED: Self = Self {
        onnx: [
            0xf0, 0xfb, 0x5d, 0x4f, 0x35, 0x37, 0xab, 0xbd, 0xdc, 0x8c, 0xb1, 0x9f, 0x4e, 0xbb, 0x1a, 0x84, 0xa8, 0x80,
            0x57, 0xff, 0xbe, 0x98, 0x73, 0x21, 0x45, 0x80, 0xbe, 0xb3, 0xe8, 0x8b, 0xf6, 0x08,
        ],
        tokenizer: [
            0x5f, 0xd1, 0xc8, 0x82, 0xab, 0xbd, 0x30, 0x51, 0x7d, 0xce, 0xd4, 0x55, 0xa2, 0xc9, 0x76, 0x89, 0x45, 0xec,
            0x72, 0x6b, 0x96, 0x72, 0x79, 0x27, 0xe4, 0x95, 0x93, 0x48, 0xd9, 0xde, 0x55, 0x0b,
        ],
    };

    /// Hashes two files.
    pub fn of(onnx: &[u8], tokenizer: &[u8]) -> Self {
        Self { onnx: Sha256::digest(onnx).into(), tokenizer: Sha256::digest(tokenizer).into() }
    }

    /// The name under which vectors of this model are kept: 32 hexadecimal digits after `mdl-`.
    fn id(&self) -> String {
        let digest = Sha256::new().chain_update(b"hearth/model/1").chain_update(self.onnx).chain_update(self.tokenizer);
        let mut id = String::from("mdl-");
        for byte in &digest.finalize()[..16] {
            id.push_str(&format!("{byte:02x}"));
        }
        id
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file is not the one that was promised.
    #[error(
        "the model's {file} is altered or cut short: its SHA-256 is not the expected one; fetch the model again or install hearth anew"
    )]
    Altered {
        /// Which of the two files.
        file: &'static str,
    },
    /// The tokenizer cannot be read.
    #[error("cannot use the model's tokenizer")]
    Tokenizer(#[from] TokenizerError),
    /// The engine does not take the graph.
    #[error("{backend} cannot load the model: {reason}")]
    Load {
        /// The engine.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
    /// The named library is not there, or is not an ONNX Runtime that can be used.
    #[error("cannot use the ONNX Runtime library `{path}`: {reason}")]
    Library {
        /// What the owner named.
        path: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The engine computes something else.
    #[error(
        "{backend} does not compute this model as it should on this processor (agreement {agreement:.3}, needed {AGREEMENT_MIN}); another engine must be used"
    )]
    Disagrees {
        /// The engine.
        backend: &'static str,
        /// The least cosine to a reference vector.
        agreement: f32,
    },
    /// This program was built without the engine.
    #[error("this hearth was built without {0}; build it with that feature, or leave the setting out")]
    NotBuilt(&'static str),
}

/// Why one text could not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The engine failed.
    #[error("{backend} failed on a text of {tokens} tokens: {reason}")]
    Engine {
        /// The engine.
        backend: &'static str,
        /// How long the text was.
        tokens: usize,
        /// What the engine said.
        reason: String,
    },
    /// The engine gave something that is no embedding.
    #[error("{backend} gave no embedding")]
    Result {
        /// The engine.
        backend: &'static str,
        /// What was wrong with it.
        #[source]
        source: NotAnEmbedding,
    },
}

/// Turns texts into embeddings, one at a time.
///
/// Activations are quantized over the whole input, so a text is never padded nor put beside another: either would change
/// its vector.
pub trait Embedder: Send {
    /// The meaning of a text, of which the first [`TOKENS_MAX`] tokens count.
    fn embed(&mut self, text: &str) -> Result<Embedding, EmbedError>;

    /// The engine's name.
    fn backend(&self) -> &'static str;
}

/// A model's files, checked, and its tokenizer, ready.
#[derive(Clone)]
pub struct Model {
    onnx: Cow<'static, [u8]>,
    tokenizer: Arc<Tokenizer>,
    id: String,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({})", self.id)
    }
}

impl Model {
    /// The model that is part of the program.
    #[cfg(feature = "bundled-model")]
    pub fn bundled() -> Self {
        let tokenizer = Tokenizer::from_bytes(BUNDLED_TOKENIZER).expect("a test reads this very file");
        Self { onnx: Cow::Borrowed(BUNDLED_ONNX), tokenizer: Arc::new(tokenizer), id: Digests::SHIPPED.id() }
    }

    /// A model from elsewhere; refused when it is not the expected one.
    pub fn from_bytes(
        onnx: impl Into<Cow<'static, [u8]>>,
        tokenizer: &[u8],
        expected: Option<Digests>,
    ) -> Result<Self, ModelError> {
        let onnx = onnx.into();
        let found = Digests::of(&onnx, tokenizer);
        if let Some(expected) = expected {
            for (file, same) in [
                ("model_int8.onnx", found.onnx == expected.onnx),
                ("tokenizer.json", found.tokenizer == expected.tokenizer),
            ] {
                if !same {
                    return Err(ModelError::Altered { file });
                }
            }
        }
        Ok(Self { onnx, tokenizer: Arc::new(Tokenizer::from_bytes(tokenizer)?), id: found.id() })
    }

    /// The graph's bytes in the program, which need not stay in memory once an engine has read them; `None` of a model from elsewhere.
    pub fn constant(&self) -> Option<&'static [u8]> {
        match self.onnx {
            Cow::Borrowed(bytes) => Some(bytes),
            Cow::Owned(_) => None,
        }
    }

    /// What vectors of this model are filed under. Another model, or another tokenizer, has another id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it; `None` of a model that is not known.
    pub fn name(&self) -> Option<&'static str> {
        (self.id == Digests::SHIPPED.id()).then_some("all-MiniLM-L6-v2")
    }

    /// Its name and its id, or its id alone.
    pub fn label(&self) -> String {
        self.name().map_or_else(|| self.id.clone(), |name| format!("{name} ({})", self.id))
    }

    /// The tokenizer, for chunking.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Loads the model into the best engine there is.
    ///
    /// That is the ONNX Runtime when its library is named by an absolute path and computes what it should, and tract
    /// otherwise. The reason why a named library was not used comes back beside the engine, to be told to the owner.
    pub fn embedder(&self, library: Option<&Path>) -> Result<(Box<dyn Embedder>, Option<ModelError>), ModelError> {
        let Some(library) = library else { return Ok((self.with_tract()?, None)) };
        match self.with_ort(library) {
            Ok(embedder) => Ok((embedder, None)),
            Err(why) => Ok((self.with_tract()?, Some(why))),
        }
    }

    /// Loads the model into tract, the engine that is part of the program.
    #[cfg(feature = "tract")]
    pub fn with_tract(&self) -> Result<Box<dyn Embedder>, ModelError> {
        Ok(Box::new(tract::Tract::load(self)?))
    }

    /// Loads the model into tract, the engine that is part of the program.
    #[cfg(not(feature = "tract"))]
    pub fn with_tract(&self) -> Result<Box<dyn Embedder>, ModelError> {
        Err(ModelError::NotBuilt("tract"))
    }

    /// Loads the model into the ONNX Runtime library at this absolute path, and tries it before it is trusted.
    #[cfg(feature = "ort")]
    pub fn with_ort(&self, library: &Path) -> Result<Box<dyn Embedder>, ModelError> {
        let mut embedder = ort::Ort::load(self, library)?;
        self.try_out(&mut embedder)?;
        Ok(Box::new(embedder))
    }

    /// Loads the model into the ONNX Runtime library at this absolute path, and tries it before it is trusted.
    #[cfg(not(feature = "ort"))]
    pub fn with_ort(&self, _library: &Path) -> Result<Box<dyn Embedder>, ModelError> {
        Err(ModelError::NotBuilt("ort"))
    }

    /// Compares an engine with the reference vectors of the shipped model: some processors without VNNI instructions
    /// saturate where they should not, and would fill the index with wrong vectors in silence.
    #[cfg(all(feature = "ort", feature = "bundled-model"))]
    fn try_out(&self, embedder: &mut dyn Embedder) -> Result<(), ModelError> {
        if self.id != Digests::SHIPPED.id() {
            return Ok(());
        }
        let backend = embedder.backend();
        for Reference { text, embedding } in references().into_iter().take(TRIALS) {
            let embedded =
                embedder.embed(&text).map_err(|error| ModelError::Load { backend, reason: error.to_string() })?;
            let agreement = embedded.cosine(&embedding);
            if agreement < AGREEMENT_MIN {
                return Err(ModelError::Disagrees { backend, agreement });
            }
        }
        Ok(())
    }

    #[cfg(all(feature = "ort", not(feature = "bundled-model")))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the twin above needs both")]
    fn try_out(&self, _embedder: &mut dyn Embedder) -> Result<(), ModelError> {
        Ok(())
    }
}

/// The token ids that the engines read.
#[cfg(any(feature = "tract", feature = "ort"))]
fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<i64> {
    tokenizer.encode(text, TOKENS_MAX).into_iter().map(i64::from).collect()
}

/// A text, and what the unquantized model makes of it.
#[cfg(feature = "bundled-model")]
#[derive(Clone, Debug)]
pub struct Reference {
    /// The text.
    pub text: String,
    /// Its embedding.
    pub embedding: Embedding,
}

/// The texts that every engine is held to.
#[cfg(feature = "bundled-model")]
pub fn references() -> Vec<Reference> {
    #[derive(serde::Deserialize)]
    struct Row {
        text: String,
        fp32: Vec<f32>,
    }
    let rows: Vec<Row> = serde_json::from_str(REFERENCE).expect("a test reads this very file");
    let row =
        |Row { text, fp32 }| Reference { text, embedding: Embedding::new(&fp32).expect("a test reads these rows") };
    rows.into_iter().map(row).collect()
}

/// One engine or part that a search may use, for `hearth features`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Could it be used here?
    pub available: bool,
    /// Is it in memory now?
    pub loaded: bool,
    /// Why, or why not, as a sentence for the owner.
    pub why: String,
}

/// What there is to search with on this machine, given the ONNX Runtime library that the owner named, if any.
///
/// Asking loads the library, because nothing else tells whether it can be used.
pub fn features(library: Option<&Path>) -> Vec<Feature> {
    let feature = |name, available, loaded, why: &str| Feature { name, available, loaded, why: why.into() };
    let bundled = cfg!(feature = "bundled-model");
    #[cfg(feature = "tract")]
    let tract = feature("tract", true, tract::is_loaded(), "part of this program; used when no ONNX Runtime is");
    #[cfg(not(feature = "tract"))]
    let tract = feature("tract", false, false, "this program was built without it");
    #[cfg(feature = "ort")]
    let ort = match library.map(ort::probe) {
        None => feature("ort", false, false, "no ONNX Runtime library is named in the configuration"),
        Some(Err(why)) => feature("ort", false, false, &why.to_string()),
        Some(Ok(())) => feature("ort", true, ort::is_loaded(), "the named ONNX Runtime library can be used"),
    };
    #[cfg(not(feature = "ort"))]
    let ort = {
        let _ = library;
        feature("ort", false, false, "this program was built without it")
    };
    let model =
        if bundled { "part of this program" } else { "this program was built without it; it must be handed over" };
    vec![
        feature("model", bundled, bundled, model),
        tract,
        ort,
        feature(
            "kernels",
            true,
            true,
            &format!("vectors are compared with {} instructions", hearth_simd::instructions()),
        ),
    ]
}
