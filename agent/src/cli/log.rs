//! The daemon's log, on standard error.
//!
//! Spans and events hold counts, ids and durations by habit of the whole code; nothing is filtered here.

use std::io;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::config::{Level, Log, LogFormat};

/// Begins to log. A second call in one process changes nothing.
pub(crate) fn begin(log: &Log, terminal: bool) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Libraries may log what they work on; ours do not. They are heard only when something is wrong.
    let others = level.min(LevelFilter::WARN);
    let ours = ["agent", "core", "link", "search", "text", "simd"].map(|name| format!("hearth_{name}={level}"));
    let filter = EnvFilter::builder().parse_lossy(format!("{others},hearth={level},{}", ours.join(",")));
    let builder = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    let begun = match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Auto if !terminal => builder.json().try_init(),
        LogFormat::Auto | LogFormat::Text => builder.with_ansi(terminal).with_target(false).try_init(),
    };
    drop(begun);
}
