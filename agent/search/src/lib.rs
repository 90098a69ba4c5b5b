//! How notes are found: text to meaning, and a question to the passages that answer it.
//!
//! Chunking, the tokenizer, the encoder, the vector and keyword indexes, their fusion and the snippets. Everything computes
//! on bytes and values it is handed: where they lie, and that they are sealed there, is the caller's business. No file and
//! no socket is opened here; only the loader of the ONNX Runtime opens the library that the owner named.
#![forbid(unsafe_code)]

pub mod chunk;
pub mod files;
pub mod fuse;
pub mod keyword;
pub mod model;
mod question;
pub mod snippet;
pub mod tokenizer;
mod unicode;
pub mod vector;
pub mod vectors;
pub mod weights;
pub mod words;

pub use chunk::{Chunk, Format, chunk, normalise};
pub use files::{Files, NewFile, OpenFile};
pub use fuse::{Fused, Mode, Parts, Ranked, fuse};
pub use keyword::{ChunkDoc, Filter, Hit, Keyword, Reader};
pub use model::{Embedder, Feature, Model, features};
pub use snippet::{Snippet, snippet};
pub use tokenizer::Tokenizer;
pub use vector::{Embedding, Vector};
pub use vectors::{Near, Vectors};
pub use weights::Weights;
