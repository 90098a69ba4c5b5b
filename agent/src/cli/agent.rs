//! What the command needs of the rest of the agent.
//!
//! The command line decides nothing about capture, storage or search; it asks for them here, so that its tests need none of them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    ask::{Answers, Failure},
    commands::bench::Bench,
    config::Config,
};

/// The rest of the agent.
pub trait Agent: Send + Sync {
    /// Opens a data folder here, without a daemon; makes it when there is none.
    ///
    /// # Errors
    /// [`FailureKind::Busy`](crate::ask::FailureKind::Busy) when another process has it; otherwise what is wrong with it.
    fn open(&self, data: &Path, config: &Config) -> Result<Box<dyn Answers>, Failure>;

    /// Begins the daemon's work. Called within a tokio runtime that lives until [`Running::finish`] has returned.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn start(&self, daemon: Daemon) -> Result<Box<dyn Running>, Failure>;

    /// Who this node is, whether or not a daemon has the folder; with `make`, makes the folder and its keys when there are none.
    ///
    /// # Errors
    /// When the key cannot be read or made; [`FailureKind::NotFound`](crate::ask::FailureKind::NotFound) when there is none.
    fn identity(&self, data: &Path, make: bool) -> Result<Identity, Failure>;

    /// Folders worth capturing below a home folder; it may take a second.
    fn propose(&self, home: &Path) -> Vec<Proposed>;

    /// What capturing these folders would take and hide, judged by some of their files. Nothing is stored.
    fn sample(&self, folders: &[PathBuf], config: &Config) -> Sample;

    /// The formats that are read.
    fn formats(&self) -> Vec<FormatLine>;

    /// What this build and this machine can do.
    fn features(&self, config: &Config) -> Vec<Feature>;

    /// Measures a part of the product.
    ///
    /// # Errors
    /// When the input cannot be read, or the part is not there.
    fn bench(&self, what: &Bench, config: &Config) -> Result<serde_json::Value, Failure>;

    /// Opens a file in the program that its owner chose for it.
    ///
    /// # Errors
    /// When there is no way to.
    fn open_file(&self, path: &Path) -> io::Result<()> {
        use std::process::{Command, Stdio};
        let status = Command::new("xdg-open")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("xdg-open did not find a program for it")) }
    }
}

/// What a daemon is told when it begins.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its data folder.
    pub data: PathBuf,
    /// Its settings.
    pub config: Config,
    /// Cancelled when the daemon is to stop; the daemon cancels it when it is ordered to ([`Ask::Stop`](crate::ask::Ask::Stop)).
    pub stop: CancellationToken,
}

/// A daemon at work.
pub trait Running: Send {
    /// Who answers for it.
    fn answers(&self) -> Arc<dyn Answers>;

    /// Its public key, in hexadecimal.
    fn device_key(&self) -> String;

    /// Brings the work to an end in good order, once `stop` is cancelled; blocks until done.
    ///
    /// # Errors
    /// When something could not be written down.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Who a node is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub node: hearth_core::DeviceId,
    /// Its public key, in hexadecimal.
    pub device_key: String,
}

/// A folder that may be worth capturing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposed {
    /// Where.
    pub path: PathBuf,
    /// Why, in a few words.
    pub why: String,
    /// About how many files would be captured.
    pub files: u64,
    /// About how many bytes they have.
    pub bytes: u64,
}

/// What capturing would take and hide.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// How many files were looked into.
    pub files: u64,
    /// Spans that would be hidden, by class, heaviest first.
    pub hidden: Vec<(String, u64)>,
    /// A few files that would be captured.
    pub captured: Vec<String>,
    /// A few that would be left alone, each with the reason.
    pub left_alone: Vec<(String, String)>,
}

/// One format that is read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FormatLine {
    /// Its name, as filters take it.
    pub format: String,
    /// Its usual endings.
    pub extensions: Vec<String>,
    /// How well it is read.
    pub support: String,
    /// What to know about it.
    pub notes: String,
}

/// Something that this build or machine can or cannot do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub on: bool,
    /// Why, or why not and what to do.
    pub why: String,
}
