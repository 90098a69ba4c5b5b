//! Words that do not belong in committed files: notes to self, misspellings, and paths of the machine it was written on.
//!
//! Looks at text we wrote. Data under `tests/data/`, lock files and the model's files are other people's words,
//! and this file must name what it looks for.

use crate::tally::Tally;
use crate::tree::Tree;
use std::path::Path;

/// Notes to self.
const NOTES: [&str; 2] = ["TODO", "FIXME"];

/// Common slips; the right spelling is for the message.
const SLIPS: [(&str, &str); 23] = [
    ("recieve", "receive"),
    ("seperate", "separate"),
    ("occured", "occurred"),
    ("occurence", "occurrence"),
    ("definately", "definitely"),
    ("succesful", "successful"),
    ("accomodate", "accommodate"),
    ("untill", "until"),
    ("begining", "beginning"),
    ("existance", "existence"),
    ("neccessary", "necessary"),
    ("transfered", "transferred"),
    ("dependancy", "dependency"),
    ("paralell", "parallel"),
    ("persistant", "persistent"),
    ("priviledge", "privilege"),
    ("threshhold", "threshold"),
    ("lenght", "length"),
    ("widht", "width"),
    ("enviroment", "environment"),
    ("compatability", "compatibility"),
    ("teh", "the"),
    ("arbitary", "arbitrary"),
];

/// Longer files are data, not prose or code.
const BYTES_MAX: u64 = 1 << 20;

/// Reads every file of ours and reports each offending line.
pub(crate) fn check(tree: &Tree) -> Result<Tally, String> {
    let places = machine_places(tree.root());
    let mut found = 0;
    let mut read = 0;
    for file in tree.files()?.iter().filter(|file| is_ours(file)) {
        let path = tree.root().join(file);
        let short = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= BYTES_MAX);
        let Some(text) = short.then(|| std::fs::read(&path).ok()).flatten().and_then(|it| String::from_utf8(it).ok())
        else {
            continue;
        };
        read += 1;
        for (number, line) in text.lines().enumerate() {
            for complaint in complaints(line, &places) {
                println!("{}:{}: {complaint}", file.display(), number + 1);
                found += 1;
            }
        }
    }
    println!("words: {read} files read, {found} complaints");
    Ok(if found == 0 { Tally::pass() } else { Tally::fail() })
}

fn complaints(line: &str, places: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
        // In quotes it is a value that the code looks for, not a note.
        let quoted = line.contains(&format!("\"{word}\""));
        if NOTES.contains(&word) && !quoted {
            complaints.push(format!("`{word}` is a note to self; do it, or say in a sentence what is absent"));
        }
        let lower = word.to_lowercase();
        if let Some((_, right)) = SLIPS.iter().find(|(slip, _)| *slip == lower) {
            complaints.push(format!("`{word}` is spelled `{right}`"));
        }
    }
    for place in places {
        let named = line.match_indices(place.as_str()).any(|(at, _)| {
            let next = line[at + place.len()..].chars().next();
            !next.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_' || c == '.')
        });
        if named {
            complaints.push(format!("`{place}` is a path of this machine; use a path relative to the repository"));
        }
    }
    complaints
}

/// Absolute paths that exist only here: the checkout and the folders beside it.
///
/// A checkout right below `/` or directly in a home folder would turn ordinary words into paths; then only the checkout counts.
fn machine_places(root: &Path) -> Vec<String> {
    let mut places = Vec::new();
    if root.components().count() > 2 {
        places.push(root.display().to_string());
    }
    let parent = root.parent().filter(|parent| parent.components().count() > 1 && !is_common(parent));
    let siblings = parent.and_then(|parent| std::fs::read_dir(parent).ok());
    for sibling in siblings.into_iter().flatten().flatten() {
        places.push(sibling.path().display().to_string());
    }
    places.sort();
    places.dedup();
    places
}

fn is_common(parent: &Path) -> bool {
    let below_home = parent.parent().is_some_and(|above| above == Path::new("/home") || above == Path::new("/Users"));
    let shared = ["/home", "/root", "/tmp", "/opt", "/srv", "/usr", "/var", "/mnt", "/data", "/src", "/Users"];
    below_home || shared.iter().any(|common| parent == Path::new(common))
}

fn is_ours(file: &Path) -> bool {
    let name = file.to_string_lossy();
    let lock = name.ends_with("Cargo.lock") || name.ends_with("package-lock.json");
    !lock && name != "xtask/src/words.rs" && !name.starts_with("tests/data/") && !name.contains("/model/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_word_is_caught_and_its_neighbours_are_not() {
        let places = [String::from("/somewhere/checkout")];
        for (case, line, expected) in [
            ("a note to self", concat!("// TO", "DO: later"), 1),
            ("a value the code looks for", "[\"TODO\", \"changeme\"]", 0),
            ("the same letters inside a word", concat!("let TO", "DO_LIST = 1;"), 0),
            ("lower case is a word of the language", "a todo list is text like any other", 0),
            ("a slip", concat!("we rec", "ieve frames"), 1),
            ("a slip at the start of a sentence", "Untill then", 1),
            ("the right spelling", "we receive frames until then", 0),
            ("the checkout", "see /somewhere/checkout/docs", 1),
            ("the checkout at the end of a line", "cd /somewhere/checkout", 1),
            ("a longer name", "see /somewhere/checkout-two and /somewhere/checkouts", 0),
        ] {
            assert_eq!(complaints(line, &places).len(), expected, "{case}: {line}");
        }
    }

    #[test]
    fn other_peoples_words_are_left_alone() {
        for (file, expected) in [
            ("core/src/lib.rs", true),
            ("README.md", true),
            ("xtask/src/words.rs", false),
            ("Cargo.lock", false),
            ("tests/pages/package-lock.json", false),
            ("tests/data/redaction/corpus.jsonl", false),
            ("agent/search/model/PROVENANCE.md", false),
        ] {
            assert_eq!(is_ours(Path::new(file)), expected, "{file}");
        }
    }

    #[test]
    fn an_ordinary_parent_names_no_siblings() {
        for parent in ["/home", "/home/alice", "/Users/alice", "/tmp", "/root"] {
            assert!(is_common(Path::new(parent)), "{parent}");
        }
        assert!(!is_common(Path::new("/build/pipeline")));
    }
}
