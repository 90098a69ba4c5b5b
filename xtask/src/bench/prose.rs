//! Notes that nobody wrote: sentences that go from word to word as this repository's own prose does.
//!
//! The same seed and the same prose give the same notes. No note has a passage of another.

use super::dice::Dice;
use crate::tree::Tree;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// How a note's length in bytes is drawn: from the first to about the sum of both.
const LENGTH: (usize, usize) = (700, 2600);
/// A sentence that has not ended by then is ended.
const SENTENCE_WORDS: usize = 40;

/// Prose, and what follows what in it.
pub(super) struct Prose {
    words: Vec<String>,
    /// Where each word stands, but for the last of all.
    places: HashMap<String, Vec<usize>>,
    starts: Vec<usize>,
    said: HashSet<String>,
    dice: Dice,
}

impl Prose {
    /// The prose of this repository: its documents and the comments that document its code.
    pub(super) fn of(tree: &Tree, seed: u64) -> Result<Self, String> {
        let mut text = String::new();
        for file in tree.files()? {
            let documents = match file.extension().and_then(|extension| extension.to_str()) {
                Some("md") => document as fn(&str) -> String,
                Some("rs") => comments,
                _ => continue,
            };
            let path = tree.root().join(file);
            let code = std::fs::read_to_string(&path).map_err(|error| cannot_read(&path, &error))?;
            text.push_str(&documents(&code));
        }
        Ok(Self::from_text(&text, seed))
    }

    fn from_text(text: &str, seed: u64) -> Self {
        let words: Vec<String> = text.split_whitespace().map(String::from).collect();
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, word) in words.iter().enumerate().take(words.len().saturating_sub(1)) {
            places.entry(word.clone()).or_default().push(place);
        }
        let starts = (1..words.len()).filter(|place| ends(&words[place - 1])).collect();
        Self { words, places, starts, said: HashSet::new(), dice: Dice::new(seed) }
    }

    /// A note with headings and paragraphs, and [`mark`] of its number in the last one.
    pub(super) fn note(&mut self, number: usize) -> String {
        let length = LENGTH.0 + self.dice.below(LENGTH.1);
        let mut note = format!("# {}\n", self.title());
        let mut paragraphs = 0;
        while note.len() < length {
            if paragraphs > 0 && paragraphs % 3 == 0 {
                note.push_str(&format!("\n## {}\n", self.title()));
            }
            let sentences = 2 + self.dice.below(4);
            let paragraph: Vec<String> = (0..sentences).map(|_| self.sentence()).collect();
            note.push_str(&format!("\n{}\n", paragraph.join(" ")));
            paragraphs += 1;
        }
        note.push_str(&format!("\nFiled under {}.\n", mark(number)));
        note
    }

    /// A sentence that was not said before.
    fn sentence(&mut self) -> String {
        let mut limit = SENTENCE_WORDS;
        loop {
            let sentence = self.walk(limit);
            if self.said.insert(sentence.clone()) {
                return sentence;
            }
            // Little prose has few sentences; longer ones are always new.
            limit += 1;
        }
    }

    fn title(&mut self) -> String {
        let words = 2 + self.dice.below(4);
        let sentence = self.sentence();
        let title: Vec<&str> = sentence.split(' ').take(words).collect();
        title.join(" ").trim_end_matches(['.', ',', ':', ';', '?', '!']).to_owned()
    }

    fn walk(&mut self, limit: usize) -> String {
        let mut place = *self.dice.pick(&self.starts);
        let mut sentence = self.words[place].clone();
        for _ in 1..limit {
            let word = &self.words[place];
            let short = limit <= SENTENCE_WORDS;
            let Some(places) = self.places.get(word).filter(|_| !(short && ends(word))) else { break };
            place = self.dice.pick(places) + 1;
            sentence.push(' ');
            sentence.push_str(&self.words[place]);
        }
        if !ends(&sentence) {
            sentence.push('.');
        }
        sentence
    }
}

/// A word that only the note of this number has.
pub(super) fn mark(number: usize) -> String {
    format!("quill{number:05}")
}

fn ends(word: &str) -> bool {
    word.ends_with(['.', '?', '!'])
}

fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// The paragraphs and lists of a Markdown file, without tables and code.
fn document(text: &str) -> String {
    let mut code = false;
    let mut prose = String::new();
    for line in text.lines().map(str::trim) {
        let fence = line.starts_with("```");
        code ^= fence;
        if !code && !fence && !line.starts_with(['|', '#', '<']) {
            keep(line.trim_start_matches(['-', ' ']), &mut prose);
        }
    }
    prose
}

/// The comments of a Rust file that document it.
fn comments(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let said: Vec<&str> = lines.filter_map(|line| line.strip_prefix("//!").or(line.strip_prefix("///"))).collect();
    document(&said.join("\n"))
}

/// Keeps the words of a line that are words, not markup.
fn keep(line: &str, prose: &mut String) {
    for word in line.split_whitespace().filter(|word| !word.contains(['`', '[', ']', '|', '*', '<', '>', '@', '='])) {
        prose.push_str(word);
        prose.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str = "A heron stands in the reeds. The reeds bend in the wind. The wind turns at night. A night in the \
        reeds is long. In the morning the heron is gone. Who saw the heron in the night?";

    #[test]
    fn the_same_seed_writes_the_same_notes_and_another_seed_does_not() {
        let written = |seed| Prose::from_text(PROSE, seed).note(1);
        assert_eq!(written(7), written(7));
        assert_ne!(written(7), written(8));
    }

    #[test]
    fn a_note_has_its_length_its_mark_and_no_sentence_of_another() {
        let mut prose = Prose::from_text(PROSE, 7);
        let notes: Vec<String> = (0..50).map(|number| prose.note(number)).collect();
        let mut sentences = HashSet::new();
        for (number, note) in notes.iter().enumerate() {
            assert!(note.starts_with("# ") && note.contains(&mark(number)), "{note}");
            assert!((LENGTH.0..LENGTH.0 + LENGTH.1 + 4000).contains(&note.len()), "{} bytes", note.len());
            for paragraph in note.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                assert!(sentences.insert(paragraph.to_owned()), "said twice: {paragraph}");
            }
        }
    }

    #[test]
    fn prose_is_what_is_neither_table_nor_code() {
        let text = "# Head\n\nA line of `code` here.\n\n| a | b |\n\n```sh\nrm x\n```\n- one point\n";
        assert_eq!(document(text), "A line of here. one point ");
        assert_eq!(comments("//! Opens.\nlet x = 1;\n    /// Says [`this`] more.\n"), "Opens. Says more. ");
    }
}
