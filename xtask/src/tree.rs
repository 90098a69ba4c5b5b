//! Where the repository and its build outputs are, and which files belong to it.
//!
//! It only looks; it changes nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// This checkout.
pub(crate) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Asks cargo where the workspace and its target folder are.
    pub(crate) fn find() -> Result<Self, String> {
        let output = Command::new(cargo_program())
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run cargo: {error}; install Rust from https://rustup.rs"))?;
        if !output.status.success() {
            return Err("cargo could not read the workspace; its message is above".into());
        }
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
        let folder = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).ok_or_else(|| format!("cargo metadata does not name {key}"))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    /// The top folder of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of build outputs.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// One of our programs, as `cargo build --release` leaves it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A cargo command that runs at the top of the repository.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(cargo_program());
        command.current_dir(&self.root);
        command
    }

    /// Every file that is committed or about to be: tracked ones and untracked ones that git does not ignore.
    ///
    /// Without git (an unpacked archive) the folders are walked, less build outputs and installed packages.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, String> {
        let listed = Command::new("git")
            .current_dir(&self.root)
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .stderr(Stdio::null())
            .output();
        let mut files = match listed {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
                .split('\0')
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
                .filter(|name| self.root.join(name).is_file())
                .collect(),
            _ => {
                let mut found = Vec::new();
                self.walk(Path::new(""), &mut found)?;
                found
            }
        };
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn walk(&self, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
        let place = self.root.join(folder);
        let entries = std::fs::read_dir(&place).map_err(|error| format!("cannot list {}: {error}", place.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| format!("cannot list {}: {error}", place.display()))?;
            let name = entry.file_name();
            let path = folder.join(&name);
            let kind = entry.file_type().map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
            if kind.is_dir() && name != ".git" && name != "node_modules" && entry.path() != self.target {
                self.walk(&path, found)?;
            } else if kind.is_file() {
                found.push(path);
            }
        }
        Ok(())
    }
}

/// Whether `cargo NAME` can be run here.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    succeeds(Command::new(cargo_program()).args([name, "--version"]))
}

/// Whether a command can be started and exits with success; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}
