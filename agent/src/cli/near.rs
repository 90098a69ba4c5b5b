//! What was probably meant by a word that is none of ours.
//!
//! The parser suggests whatever shares letters; a person is helped only by a word that is a slip away.

use clap::error::{ContextKind, ContextValue};

/// Leaves of the parser's suggestions those that are near to what was typed.
pub(super) fn only(mut refused: clap::Error) -> clap::Error {
    for (typed, suggested) in [
        (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
        (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        (ContextKind::InvalidValue, ContextKind::SuggestedValue),
    ] {
        let Some(ContextValue::String(typed)) = refused.get(typed) else { continue };
        let typed = typed.clone();
        match refused.remove(suggested) {
            Some(ContextValue::Strings(words)) => {
                let mut words: Vec<String> = words.into_iter().filter(|word| is_near(&typed, word)).collect();
                words.sort_by_key(|word| distance(&typed, word));
                if !words.is_empty() {
                    refused.insert(suggested, ContextValue::Strings(words));
                }
            }
            Some(ContextValue::String(word)) if is_near(&typed, &word) => {
                refused.insert(suggested, ContextValue::String(word));
            }
            _ => {}
        }
    }
    // An empty list of tips is written as an empty line.
    if matches!(refused.get(ContextKind::Suggested), Some(ContextValue::StyledStrs(tips)) if tips.is_empty()) {
        refused.remove(ContextKind::Suggested);
    }
    refused
}

/// Whether one word may be a slip for another: one letter in three is wrong at most, or it only broke off early.
fn is_near(typed: &str, word: &str) -> bool {
    let (typed, word) = (typed.trim_start_matches('-').to_lowercase(), word.trim_start_matches('-'));
    let length = typed.chars().count();
    distance(&typed, word) <= (length / 3).max(1) || (length >= 3 && word.starts_with(&typed))
}

/// How many letters must be put in, left out, changed, or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *b && right[j - 1] == *a {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slip_is_taken_for_another_word() {
        for (typed, word, near) in [
            ("serch", "search", true),
            ("serch", "source", false),
            ("serch", "bench", false),
            ("stauts", "status", true),
            ("Status", "status", true),
            ("sesion", "session", true),
            ("conf", "config", true),
            ("frobnicate", "private", false),
            ("up!", "up", true),
            ("x", "up", false),
            ("--jsn", "--json", true),
            ("--frob", "--folder", false),
        ] {
            assert_eq!(is_near(typed, word), near, "{typed} and {word}");
        }
    }
}
