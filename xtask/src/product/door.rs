//! The way to a running agent: one order at a time over the socket in its data folder.
//!
//! The command does the same; this spares a measurement the start of a process.

use super::{Status, http};
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// The socket of one agent.
pub(crate) struct Door {
    socket: PathBuf,
}

impl Door {
    pub(super) fn of(data: &Path) -> Self {
        Self { socket: data.join("hearth.sock") }
    }

    /// What the agent answers to an order.
    pub(crate) fn ask(&self, order: &Value) -> Result<Value, String> {
        let name = order["ask"].as_str().unwrap_or_default();
        let broken = |error: std::io::Error| format!("cannot ask the agent for `{name}`: {error}");
        let stream = UnixStream::connect(&self.socket).map_err(broken)?;
        stream.set_read_timeout(Some(ANSWER_MAX)).map_err(broken)?;
        let answer = http::exchange(stream, &http::post("/v1/ask", "localhost", &order.to_string())).map_err(broken)?;
        let value: Value = serde_json::from_str(&answer.body)
            .map_err(|error| format!("the agent does not answer `{name}` in JSON: {error}"))?;
        if answer.status == 200 {
            return Ok(value);
        }
        Err(format!("the agent refused `{name}`: {}", value["message"].as_str().unwrap_or("without a reason")))
    }

    pub(crate) fn status(&self) -> Result<Status, String> {
        Status::read(&self.ask(&json!({"ask": "status"}))?)
    }

    /// The answer to a search for ten items, as it comes.
    pub(crate) fn search(&self, question: &str, mode: &str) -> Result<Value, String> {
        self.ask(&json!({"ask": "search", "text": question, "limit": 10, "mode": mode}))
    }

    /// The passages of the item at a path, as they are embedded: headings, then text. Empty when it was not captured.
    pub(crate) fn passages(&self, path: &Path) -> Vec<String> {
        let shown = self.ask(&json!({"ask": "show", "id": path.display().to_string()})).unwrap_or_default();
        let chunks = shown["chunks"].as_array().into_iter().flatten();
        let part = |chunk: &Value, key: &str| chunk[key].as_str().unwrap_or_default().to_owned();
        chunks
            .map(|chunk| match (part(chunk, "heading"), part(chunk, "text")) {
                (heading, text) if heading.is_empty() => text,
                (heading, text) => format!("{heading}\n{text}"),
            })
            .collect()
    }
}
