//! What may be said: raw text goes in, redacted text comes out, and the types keep the two apart.
//!
//! Pure: no IO, no clock, no network, no model. What was hidden is gone; nothing here can bring it back.
#![forbid(unsafe_code)]

mod blocks;
mod checks;
mod class;
mod commands;
mod find;
pub mod jsonl;
mod links;
mod numbers;
mod packs;
mod pairs;
mod rules;
mod tokens;
mod values;
mod words;

pub use class::{Class, Counts, Span};
pub use rules::{Policy, Rules, Stream};
pub use words::{Raw, Redacted};
