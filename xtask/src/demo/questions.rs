//! What the demo asks: about hearth when it captured hearth's own docs, otherwise the headings of what it captured.
//!
//! Headings are read from a bounded number of files and never leave this process but as arguments of our own command.

use std::io::Read;
use std::path::{Path, PathBuf};

/// Asked of the default folders; none of them quotes its answer.
pub(super) const ABOUT_HEARTH: [&str; 3] = [
    "which checks run before a change is accepted",
    "how are passwords kept out of what is stored",
    "licence that lets me use the program commercially",
];

/// Asked when a folder has no headings.
const ANY_FOLDER: [&str; 3] = ["how do I install this", "what changed in the last version", "who wrote this"];

/// How many files are looked at.
const FILES_MAX: usize = 400;
/// How much of each file is looked at.
const HEAD_BYTES: u64 = 4096;

/// Three questions that the folders should be able to answer.
pub(super) fn from_folders(folders: &[PathBuf]) -> Vec<String> {
    let mut files = Vec::new();
    for folder in folders {
        collect(folder, &mut files);
    }
    files.sort();
    let mut headings: Vec<String> = files.iter().filter_map(|file| heading(&head(file)?)).collect();
    headings.dedup();
    if headings.len() < 3 {
        return ANY_FOLDER.map(String::from).to_vec();
    }
    let step = headings.len() / 3;
    headings.into_iter().step_by(step).take(3).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() >= FILES_MAX {
            return;
        }
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && !hidden {
            collect(&path, files);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "md" || extension == "txt") {
            files.push(path);
        }
    }
}

fn head(file: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(file).ok()?.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first Markdown heading, or the first line, when it has two to twelve words.
fn heading(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let first = lines.peek().copied();
    let line = lines.find_map(|line| line.strip_prefix("# ")).or(first)?;
    let words: Vec<&str> = line.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).collect();
    (2..=12).contains(&words.len()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_of_a_few_words_becomes_a_question() {
        for (case, text, expected) in [
            ("a Markdown heading", "# Wake on LAN\n\ntext", Some("Wake on LAN")),
            ("a heading below something else", "---\nx: 1\n---\n# Two words", Some("Two words")),
            ("a plain first line", "Changes in this version\n\n- one", Some("Changes in this version")),
            ("one word says too little", "# Notes\n", None),
            ("a paragraph says too much", "a b c d e f g h i j k l m n", None),
            ("nothing", "", None),
        ] {
            assert_eq!(heading(text).as_deref(), expected, "{case}");
        }
    }
}
