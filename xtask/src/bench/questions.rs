//! Questions out of what was captured: headings, beginnings of sentences, and a few rare words.
//!
//! Each is taken from a passage that the agent holds, so that there is something to find.

use crate::product::door::Door;
use std::collections::HashSet;
use std::path::PathBuf;

/// Up to so many different questions, from passages spread over the files.
pub(super) fn from_files(door: &Door, files: &[PathBuf], count: usize) -> Vec<String> {
    let (mut questions, mut seen) = (Vec::new(), HashSet::new());
    // A stride that meets every file once before it repeats would be a prime's; a few files more do as well.
    let step = (files.len() / (count * 2)).max(1);
    for file in files.iter().step_by(step) {
        if questions.len() == count {
            break;
        }
        let passages = door.passages(file);
        let number = questions.len();
        let Some(passage) = passages.get(passages.len() / 2) else { continue };
        if let Some(question) = question(passage, number).filter(|question| seen.insert(question.clone())) {
            questions.push(question);
        }
    }
    questions
}

/// What somebody might ask who remembers a passage; `number` says in which of three ways.
fn question(passage: &str, number: usize) -> Option<String> {
    let words: Vec<&str> =
        passage.split_whitespace().map(bare).filter(|word| word.chars().any(char::is_alphabetic)).collect();
    let asked = match number % 3 {
        0 => words.iter().take(5).copied().collect::<Vec<_>>(),
        1 => words.iter().skip(words.len() / 2).take(10).copied().collect(),
        _ => {
            let mut long: Vec<&str> = words.iter().filter(|word| word.chars().count() >= 6).copied().collect();
            long.dedup();
            long.truncate(3);
            long
        }
    };
    (asked.len() >= 2).then(|| asked.join(" "))
}

/// A word without what would be read as an operator or is no part of it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_asked_for_in_three_ways() {
        let passage = "Boiler\nThe -boiler- is \"serviced\" every September by 2 fitters of the company.";
        for (case, passage, number, expected) in [
            ("its first words", passage, 0, Some("Boiler The boiler is serviced")),
            ("a stretch of it", passage, 1, Some("September by fitters of the company")),
            ("its long words", passage, 2, Some("Boiler boiler serviced")),
            ("one word is no question", "Boiler", 0, None),
            ("numbers are no question", "1 2 3 4 5", 1, None),
        ] {
            assert_eq!(question(passage, number).as_deref(), expected, "{case}");
        }
    }
}
