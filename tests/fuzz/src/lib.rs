//! What may come from elsewhere, and what must hold whatever comes: one target for each reader of foreign bytes.
//!
//! A target is a function of bytes that panics when something does not hold. `cargo xtask fuzz` hands it to libFuzzer; the test of this
//! crate hands it the committed seeds. A target asks for more than that nothing panics: what is read is written as the same bytes, limits
//! hold, what is refused stays refused and changes nothing. What only hearth itself writes and seals is not here.
#![forbid(unsafe_code)]

pub mod disk;
pub mod fleet;
pub mod forms;
pub mod frames;
pub mod log;
pub mod session;
pub mod state;
pub mod story;
pub mod text;
pub mod words;

use std::path::PathBuf;

/// One reader of foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called; its seeds lie in a folder of this name.
    pub name: &'static str,
    /// Which part of `tests/data/` they belong to.
    pub part: &'static str,
    /// The longest input that is worth trying, in bytes.
    pub most: usize,
    /// Tries an input.
    pub run: fn(&[u8]),
}

impl Target {
    /// Where its seeds lie.
    pub fn seeds(&self) -> PathBuf {
        data().join(self.part).join("fuzz").join(self.name)
    }
}

/// The folder of committed inputs.
pub fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data")
}

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

const fn target(part: &'static str, name: &'static str, most: usize, run: fn(&[u8])) -> Target {
    Target { name, part, most, run }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("federation", "delta", 1 << 10, log::delta),
    target("federation", "segment", 4 << 10, log::segment),
    target("federation", "receipt", 4 << 10, log::receipt),
    target("federation", "proof", 2 << 10, log::proof),
    target("federation", "map", 1 << 10, state::map),
    target("federation", "set", 1 << 10, state::set),
    target("federation", "documents", 1 << 10, state::documents),
    target("federation", "frame", 4 << 10, frames::frame),
    target("federation", "frontier", 1 << 10, frames::frontier),
    target("federation", "letter", 2 << 10, frames::letter),
    target("federation", "session", 4 << 10, session::session),
    target("federation", "link", 2 << 10, fleet::link),
    target("federation", "chain", 8 << 10, fleet::chain),
    target("federation", "story", 256, story::story),
    target("federation", "policy", 1 << 10, fleet::policy),
    target("federation", "orders", 4 << 10, fleet::orders),
    target("federation", "request", 512, fleet::request),
    target("federation", "welcome", 4 << 10, fleet::welcome),
    target("federation", "hosting", 1 << 10, fleet::hosting),
    target("federation", "key", 256, fleet::key),
    target("federation", "code", 256, words::code),
    target("federation", "sheet", 2 << 10, words::sheet),
    target("federation", "name", 256, words::name),
    target("status", "report", 4 << 10, state::report),
    target("link", "carrier", 512, frames::carrier),
    target("link", "topic", 256, frames::topic),
    target("link", "stream", 1 << 10, frames::stream),
    target("link", "address", 128, words::address),
    target("redaction", "text", 4 << 10, text::text),
    target("redaction", "window", 4 << 10, text::window),
    target("redaction", "line", 4 << 10, text::line),
    target("redaction", "treated", 4 << 10, text::treated),
    target("redaction", "table", 2 << 10, text::table),
    target("store", "log", 4 << 10, disk::log),
    target("store", "audit", 2 << 10, disk::audit),
    target("store", "blocks", 10 << 10, disk::blocks),
    target("store", "keys", 1 << 10, disk::keys),
];
