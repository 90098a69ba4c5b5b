//! Real text of this machine: the documentation it came with, or the folders that were named.
//!
//! The same machine gives the same files in the same order. They are only read.

use crate::tree::Tree;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Shorter ones say nothing, longer ones are lists and logs more often than text.
const BYTES: std::ops::RangeInclusive<u64> = 400..=300_000;

/// Files that may hold text, mixed so that a part of them is of many kinds.
pub(super) fn list(tree: &Tree, named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let folders = if named.is_empty() { shipped(tree) } else { named.to_vec() };
    let mut all = Vec::new();
    for folder in folders {
        let full = folder.canonicalize().map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        let mut files = Vec::new();
        walk(&full, &mut files);
        files.sort_by_cached_key(|file| scatter(file.strip_prefix(&full).unwrap_or(file)));
        all.extend(files);
    }
    Ok(all)
}

/// The text of a file, when it is one of ours to take.
pub(super) fn text(file: &Path) -> Option<String> {
    let length = std::fs::metadata(file).ok()?.len();
    if !BYTES.contains(&length) {
        return None;
    }
    let text = String::from_utf8(std::fs::read(file).ok()?).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// Documentation in the order in which it is taken.
fn shipped(tree: &Tree) -> Vec<PathBuf> {
    let mut folders = vec![tree.root().join("docs"), "/usr/share/doc".into()];
    let compiler = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = compiler.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    folders.extend(sysroot.map(|sysroot| Path::new(sysroot.trim()).join("share/doc/rust/html")));
    folders.retain(|folder| folder.is_dir());
    folders
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&path, files);
        } else if kind.is_file() && is_text(&path) {
            files.push(path);
        }
    }
}

fn is_text(path: &Path) -> bool {
    let Some(extension) = path.extension() else { return true };
    ["md", "txt", "rst", "html", "htm"].iter().any(|text| extension == *text)
}

/// A place in the order that has nothing to do with the name (FNV-1a), the same wherever the folder lies.
fn scatter(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_by_its_name() {
        for (name, expected) in [
            ("guide.md", true),
            ("README", true),
            ("index.html", true),
            ("changelog.gz", false),
            ("logo.svg", false),
            ("libx.so", false),
        ] {
            assert_eq!(is_text(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn neighbours_are_taken_apart() {
        let mut names: Vec<PathBuf> = (0..9).map(|number| PathBuf::from(format!("package/file{number}"))).collect();
        let sorted = names.clone();
        names.sort_by_cached_key(|name| scatter(name));
        assert_ne!(names, sorted);
    }
}
