//! The second reader of the log's format: a Python program that shares no code with `hearth-core` and judges the same vectors.
//!
//! What it takes from the package index is pinned by version and hash in `tests/format/requirements.txt` and installed into the target
//! folder, once; nothing is installed on the machine.

use crate::packages;
use crate::tally::Tally;
use crate::tee;
use crate::tree::{Tree, succeeds};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the reader over the committed vectors and counts what it judged.
pub(crate) fn run(tree: &Tree) -> Result<Tally, String> {
    let library = library(tree)?;
    tee::run(python(&library).arg("-B").arg(tree.root().join("tests/format/verify.py")))
}

fn library(tree: &Tree) -> Result<PathBuf, String> {
    let folder = tree.target().join("second-reader");
    let pins = tree.root().join("tests/format/requirements.txt");
    let wanted = std::fs::read(&pins).map_err(|error| format!("cannot read {}: {error}", pins.display()))?;
    let stamp = folder.join("installed.txt");
    let there = std::fs::read(&stamp).is_ok_and(|installed| installed == wanted);
    if there && succeeds(python(&folder).args(["-c", "import cryptography.hazmat.primitives.ciphers.aead"])) {
        return Ok(folder);
    }
    packages::ensure(&[&packages::PIP], "the second reader of the log's format")?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("cannot clear {}: {error}", folder.display()))?;
    }
    let installed = tee::gate(
        Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(&pins)
            .arg("--target")
            .arg(&folder),
    )?;
    if !installed.is_clean() {
        return Err("pip did not install what tests/format/requirements.txt pins; its message is above".to_owned());
    }
    // Written last, so that a run which was broken off begins anew.
    std::fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(folder)
}

fn python(library: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", library);
    command
}
