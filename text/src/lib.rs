//! What may be said: raw text goes in, redacted text comes out, and the types keep the two apart.
//!
//! Pure: no IO, no clock, no network, no model. What was hidden is gone, but for what an owner's policy puts into a vault of theirs:
//! personal data, sealed, and gone with its key ([`operators`]).
//!
//! # What does not compile
//!
//! Raw text is not redacted text, so that a store that asks for the one cannot be handed the other:
//! ```
//! # use hearth_text::{Raw, Redacted, Rules};
//! fn store(note: &Redacted) {}
//! store(&Rules::standard().redact(Raw::new("card 4111 1111 1111 1111")));
//! ```
//! ```compile_fail,E0308
//! # use hearth_text::{Raw, Redacted};
//! fn store(note: &Redacted) {}
//! store(&Raw::new("card 4111 1111 1111 1111")); // a Raw is not a Redacted
//! ```
//! It cannot be copied, where redacted text can:
//! ```
//! # use hearth_text::{Raw, Redacted, Rules};
//! let copy: Redacted = Rules::standard().redact(Raw::new("milk")).clone();
//! ```
//! ```compile_fail,E0599
//! # use hearth_text::Raw;
//! let copy: Raw = Raw::new("milk").clone();
//! ```
//! It cannot be shown, and what shows redacted text says so:
//! ```
//! # use hearth_text::{Raw, Rules};
//! let shown = format!("{}", Rules::standard().redact(Raw::new("milk")).as_str());
//! ```
//! ```compile_fail,E0277
//! # use hearth_text::Raw;
//! let shown = format!("{}", Raw::new("milk"));
//! ```
//! It cannot be serialized, where what was counted can:
//! ```
//! # use hearth_text::{Raw, Rules};
//! let written = serde_json::to_string(Rules::standard().redact(Raw::new("milk")).counts());
//! ```
//! ```compile_fail,E0277
//! # use hearth_text::Raw;
//! let written = serde_json::to_string(&Raw::new("milk"));
//! ```
//! It cannot be sealed, where redacted text can:
//! ```
//! # use hearth_text::{Raw, Rules};
//! fn seal(text: &impl hearth_core::seal::Plain) {}
//! seal(&Rules::standard().redact(Raw::new("milk")));
//! ```
//! ```compile_fail,E0277
//! # use hearth_text::Raw;
//! fn seal(text: &impl hearth_core::seal::Plain) {}
//! seal(&Raw::new("milk"));
//! ```
//! And it is gone once it was redacted:
//! ```compile_fail,E0382
//! # use hearth_text::{Raw, Rules};
//! let raw = Raw::new("milk");
//! let redacted = Rules::standard().redact(raw);
//! let again = Rules::standard().redact(raw);
//! ```
#![forbid(unsafe_code)]

mod blocks;
mod carriers;
mod checks;
mod class;
mod commands;
pub mod dictionary;
mod grammar;
pub mod jsonl;
mod links;
mod numbers;
pub mod operators;
mod packs;
mod pairs;
pub mod policy;
mod rules;
mod scan;
mod signs;
mod tokens;
mod values;
mod words;

pub use class::{Class, Counts, Span};
pub use packs::{NoPack, Packs};
pub use rules::{Policy, Rules, Stream};
pub use words::{Raw, Redacted};
