//! What our chores take for granted about our two programs: their arguments and the JSON they print.
//!
//! All of it is here, so that a change of the command line is a change of this folder.

pub(crate) mod child;
pub(crate) mod door;
pub(crate) mod folder;
mod http;

use crate::tree::Tree;
use child::{Child, Interrupts};
use door::Door;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a program may take to say that it is ready.
const READY_MAX: Duration = Duration::from_secs(30);

/// Both programs, and the folders they work in.
pub(crate) struct Product {
    hearth: PathBuf,
    coordinator: PathBuf,
    /// What the agent takes for its owner's home: nothing of theirs is in it.
    home: PathBuf,
    settings: Vec<(&'static str, String)>,
    agent_data: PathBuf,
    coordinator_data: PathBuf,
}

/// A running coordinator.
pub(crate) struct Coordinator {
    /// Where agents connect.
    quic: String,
    /// The fleet page.
    pub(crate) page: String,
    public_key: String,
}

/// A running agent.
pub(crate) struct Agent {
    /// The search page, with the token that opens it.
    pub(crate) page: String,
}

/// How far the agent is.
pub(crate) struct Status {
    pub(crate) items: u64,
    pub(crate) chunks: u64,
    /// How many of the chunks have a vector.
    pub(crate) embedded: u64,
    pub(crate) pending: u64,
    /// Whether it has looked at everything: nothing is scanned, captured or embedded.
    pub(crate) idle: bool,
    pub(crate) redactions: BTreeMap<String, u64>,
}

impl Status {
    fn read(status: &Value) -> Result<Self, String> {
        let redactions = status["redactions"].as_object().into_iter().flatten();
        Ok(Self {
            items: number(status, "items")?,
            chunks: number(status, "chunks")?,
            embedded: number(status, "embedded")?,
            pending: number(status, "pending")?,
            idle: text(status, "activity")? == "idle",
            redactions: redactions.map(|(class, count)| (class.clone(), count.as_u64().unwrap_or_default())).collect(),
        })
    }
}

/// What one search found.
pub(crate) struct Answer {
    pub(crate) hits: Vec<Hit>,
    pub(crate) took_ms: f64,
}

/// One note that was found.
pub(crate) struct Hit {
    pub(crate) title: String,
    pub(crate) snippet: String,
    pub(crate) score: f64,
}

impl Product {
    pub(crate) fn new(tree: &Tree, place: &Path) -> Self {
        Self {
            hearth: tree.program("hearth"),
            coordinator: tree.program("hearth-coordinator"),
            home: place.to_owned(),
            settings: Vec::new(),
            agent_data: place.join("agent"),
            coordinator_data: place.join("coordinator"),
        }
    }

    /// The same, with another build of the `hearth` command.
    pub(crate) fn with_hearth(self, hearth: PathBuf) -> Self {
        Self { hearth, ..self }
    }

    /// The same, with a setting of the agent, by the name of its environment variable.
    pub(crate) fn with_setting(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    /// The agent's public key, which is made when it is first asked for.
    pub(crate) fn identity(&self) -> Result<String, String> {
        text(&self.ask(&["identity", "--make", "--json"])?, "device_key")
    }

    pub(crate) fn start_coordinator(
        &self,
        trusted: &str,
        interrupts: &Interrupts,
    ) -> Result<(Child, Coordinator), String> {
        let mut command = Command::new(&self.coordinator);
        command.arg("serve").arg("--data").arg(&self.coordinator_data);
        command.args(["--quic", "127.0.0.1:0", "--http", "127.0.0.1:0", "--trust", trusted]);
        let (child, ready) = Child::start_until_ready("the coordinator", command, READY_MAX, interrupts)?;
        let coordinator =
            Coordinator { quic: text(&ready, "quic")?, page: text(&ready, "http")?, public_key: text(&ready, "key")? };
        Ok((child, coordinator))
    }

    pub(crate) fn start_agent(
        &self,
        folders: &[PathBuf],
        coordinator: Option<&Coordinator>,
        interrupts: &Interrupts,
    ) -> Result<(Child, Agent), String> {
        let mut command = self.hearth();
        command.args(["up", "--yes", "--listen", "127.0.0.1:0"]);
        if let Some(coordinator) = coordinator {
            command.args(["--coordinator", &coordinator.quic, "--coordinator-key", &coordinator.public_key]);
        }
        for folder in folders {
            command.arg("--folder").arg(folder);
        }
        let (child, ready) = Child::start_until_ready("the agent", command, READY_MAX, interrupts)?;
        let page = text(&ready, "token_url").or_else(|_| text(&ready, "page"))?;
        Ok((child, Agent { page }))
    }

    /// Captures another folder from now on.
    pub(crate) fn capture(&self, folder: &Path) -> Result<(), String> {
        let folder =
            folder.to_str().ok_or_else(|| format!("{} is not UTF-8; name another folder", folder.display()))?;
        self.ask(&["session", "open", "--purpose", "the demo", "--folder", folder, "--json"]).map(drop)
    }

    pub(crate) fn status(&self) -> Result<Status, String> {
        Status::read(&self.ask(&["status", "--json"])?)
    }

    /// The way to the running agent without a process a question.
    pub(crate) fn door(&self) -> Door {
        Door::of(&self.agent_data)
    }

    pub(crate) fn search(&self, question: &str) -> Result<Answer, String> {
        let answer = self.ask(&["search", "--json", "-n", "5", "--", question])?;
        let hits = answer["hits"].as_array().ok_or("the search's answer has no `hits`")?;
        Ok(Answer {
            took_ms: answer["took_ms"].as_f64().ok_or("the search's answer has no `took_ms`")?,
            hits: hits
                .iter()
                .map(|hit| Hit {
                    title: one_line(&harmless(&hit["title"])),
                    snippet: one_line(&highlighted(hit)),
                    score: hit["score"].as_f64().unwrap_or_default(),
                })
                .collect(),
        })
    }

    /// How many nodes the coordinator has heard from.
    #[expect(clippy::unused_self, reason = "what we know of the coordinator's answers stays with the rest")]
    pub(crate) fn nodes(&self, coordinator: &Coordinator) -> Result<usize, String> {
        let body = get(&coordinator.page, "/v1/nodes")?;
        let nodes: Value =
            serde_json::from_str(&body).map_err(|error| format!("/v1/nodes does not answer in JSON: {error}"))?;
        let nodes = nodes["nodes"].as_array().ok_or("/v1/nodes does not list `nodes`")?;
        // One that is trusted and has not reported yet is listed too.
        Ok(nodes.iter().filter(|node| node["state"] == "fresh").count())
    }

    /// The `hearth` command on this product's data, away from the person's own settings and home.
    pub(crate) fn hearth(&self) -> Command {
        let mut command = Command::new(&self.hearth);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"HEARTH_") {
                command.env_remove(name);
            }
        }
        command.env("XDG_CONFIG_HOME", &self.agent_data).env("HOME", &self.home);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.arg("--data").arg(&self.agent_data);
        command
    }

    /// What a command of `hearth` answers, which must be JSON.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let asked = format!("`hearth {}`", arguments.join(" "));
        let output = self.hearth().args(arguments).output().map_err(|error| format!("cannot run {asked}: {error}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{asked} ended with {}:\n{}", output.status, why.trim()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{asked} does not answer in JSON: {error}"))
    }
}

/// A GET over a plain socket: the address is our own child's on loopback.
fn get(base: &str, path: &str) -> Result<String, String> {
    let address = base.trim_start_matches("http://").trim_end_matches('/');
    let broken = |error: std::io::Error| format!("cannot ask {base}{path}: {error}");
    let stream = TcpStream::connect(address).map_err(broken)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(broken)?;
    let answer = http::exchange(stream, &http::get(path, address)).map_err(broken)?;
    if answer.status == 200 { Ok(answer.body) } else { Err(format!("{base}{path}: status {}", answer.status)) }
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    value[key].as_str().map(String::from).ok_or_else(|| format!("`{key}` is missing in {value}"))
}

fn number(value: &Value, key: &str) -> Result<u64, String> {
    value[key].as_u64().ok_or_else(|| format!("`{key}` is missing in {value}"))
}

/// Text without control characters, which a captured file could use to write over the terminal. Every byte keeps its place.
fn harmless(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.chars()
        .map(|c| match c {
            c if !c.is_control() => c,
            c if c.is_ascii() => ' ',
            _ => '\u{a0}',
        })
        .collect()
}

/// The snippet, with the words that were found in bold when a person reads it on a terminal.
fn highlighted(hit: &Value) -> String {
    let mut snippet = harmless(&hit["snippet"]);
    if !std::io::stdout().is_terminal() {
        return snippet;
    }
    let range = |pair: &Value| {
        let end = |at: usize| usize::try_from(pair[at].as_u64()?).ok();
        Some((end(0)?, end(1)?))
    };
    // From the last to the first, so that the places of the others stay true.
    for (start, end) in hit["highlights"].as_array().into_iter().flatten().rev().filter_map(range) {
        if start <= end && snippet.is_char_boundary(start) && snippet.is_char_boundary(end) {
            snippet.insert_str(end, "\x1b[22m");
            snippet.insert_str(start, "\x1b[1m");
        }
    }
    snippet
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_text_cannot_steer_the_terminal_and_keeps_its_length() {
        for (case, text, expected) in [
            ("an escape sequence", "a\u{1b}[2Jb", "a [2Jb"),
            ("a control character of two bytes", "a\u{9b}2Jb", "a\u{a0}2Jb"),
            ("other letters", "größer ▮", "größer ▮"),
        ] {
            let shown = harmless(&Value::from(text));
            assert_eq!((shown.as_str(), shown.len()), (expected, text.len()), "{case}");
        }
    }
}
