//! The part of a text that shows why it was found.
//!
//! Where words of the question stand closest together, with these words marked. They are compared as the index compares
//! them, so another form of a word, or one without its accents, is marked too. A text that was found by meaning alone shows
//! its beginning.

use std::{collections::HashSet, ops::Range};

use crate::{
    question::Question,
    words::{Word, WordKind, is_stop_word, stem, words},
};

/// Only so much of a text is looked at.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// What stands for text that was left out.
const GAP: char = '…';

/// A part of a text, on one line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snippet {
    /// The part.
    pub text: String,
    /// Which bytes of it are words of the question: from, to; in order and apart.
    pub highlights: Vec<(usize, usize)>,
}

/// The part of a text, of at most `max_chars` characters, that shows best what it has to do with a question.
pub fn snippet(text: &str, question: &str, max_chars: usize) -> Snippet {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX.min(text.len()))];
    let matches = matches(text, question);
    let window = window(text, &matches, max_chars);
    render(text, window, &matches, max_chars)
}

/// Where words of the question stand, and which of them.
fn matches(text: &str, question: &str) -> Vec<(Range<usize>, usize)> {
    let question = Question::parse(question);
    let telling = question.words().any(|word| !is_stop_word(&word.text));
    let asked: Vec<String> =
        question.words().filter(|word| !telling || !is_stop_word(&word.text)).map(compared).collect();
    let mut found: Vec<(Range<usize>, usize)> = Vec::new();
    for word in words(text) {
        // A single character of a run is compared as one only where one was asked for.
        let compared = compared(&word);
        if let Some(which) = asked.iter().position(|asked| *asked == compared) {
            match found.last_mut() {
                // Pairs overlap, and so do an identifier and its parts.
                Some((last, _)) if word.range.start < last.end => last.end = last.end.max(word.range.end),
                _ => found.push((word.range, which)),
            }
        }
    }
    found
}

fn compared(word: &Word) -> String {
    if word.kind == WordKind::Plain { stem(&word.text) } else { word.text.clone() }
}

/// The stretch that has the most different words of the question, and of those the most words.
fn window(text: &str, matches: &[(Range<usize>, usize)], max_chars: usize) -> Range<usize> {
    let mut best = (0, 0, 0..0);
    for (nth, (first, _)) in matches.iter().enumerate() {
        let mut different = HashSet::new();
        let mut end = first.start;
        let mut chars = 0;
        let mut count = 0;
        for (word, which) in &matches[nth..] {
            chars += text[end..word.end].chars().count();
            if chars > max_chars {
                break;
            }
            end = word.end;
            different.insert(which);
            count += 1;
        }
        if (different.len(), count) > (best.0, best.1) {
            best = (different.len(), count, first.start..end);
        }
    }
    let core = best.2;
    let spare = max_chars.saturating_sub(text[core.clone()].chars().count());
    let start = beginning(text, core.start, spare);
    let left = max_chars.saturating_sub(text[start..core.end].chars().count());
    let end = text[core.end..].char_indices().nth(left).map_or(text.len(), |(at, _)| core.end + at);
    start..end
}

/// Where to begin, at most `spare` characters before the first match: with its sentence, or else with a word a little before.
fn beginning(text: &str, at: usize, spare: usize) -> usize {
    let before: Vec<(usize, char)> = text[..at].char_indices().rev().take(spare).collect();
    let mut after = None;
    for (place, c) in &before {
        if matches!(c, '.' | '!' | '?' | '\n' | '。' | '！' | '？')
            && let Some(start) = after
        {
            return start;
        }
        after = if c.is_whitespace() { after } else { Some(*place) };
    }
    if before.len() < spare || before.last().is_some_and(|(place, _)| *place == 0) {
        return after.unwrap_or(at); // the text begins here
    }
    let context = &before[..spare / 3];
    let gap = context.iter().rposition(|(_, c)| c.is_whitespace());
    gap.map_or(at, |gap| context[gap].0 + context[gap].1.len_utf8())
}

/// Writes a stretch on one line, with marks of what was left out, and moves the highlights along.
fn render(text: &str, window: Range<usize>, matches: &[(Range<usize>, usize)], max_chars: usize) -> Snippet {
    let mut snippet = Snippet::default();
    let cut_before = !text[..window.start].trim().is_empty();
    let mut end = window.end;
    let cut_after = !text[end..].trim().is_empty();
    if cut_after {
        // The last word is probably half a word.
        let part = &text[window.clone()];
        let last = matches.iter().rev().find(|(word, _)| word.end <= end).map_or(window.start, |(word, _)| word.end);
        if let Some((space, _)) = part.char_indices().rev().find(|(_, c)| c.is_whitespace())
            && window.start + space >= last
            && space > 0
        {
            end = window.start + space;
        }
    }
    if cut_before {
        snippet.text.push(GAP);
    }
    let mut places = Vec::new();
    let mut spaced = true;
    for (at, c) in text[window.start..end].char_indices() {
        if !c.is_whitespace() && !c.is_control() {
            places.push((window.start + at, snippet.text.len(), c.len_utf8()));
            snippet.text.push(c);
            spaced = false;
        } else if !spaced {
            snippet.text.push(' ');
            spaced = true;
        }
    }
    for (word, _) in matches.iter().filter(|(word, _)| word.start >= window.start && word.end <= end) {
        let inside = |(at, ..): &&(usize, usize, usize)| word.contains(at);
        let first = places.iter().find(inside);
        let last = places.iter().rev().find(inside);
        if let (Some((_, from, _)), Some((_, to, length))) = (first, last) {
            snippet.highlights.push((*from, to + length));
        }
    }
    snippet.text.truncate(snippet.text.trim_end().len());
    if cut_after && max_chars > 0 {
        snippet.text.push(GAP);
    }
    snippet
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A snippet with its highlights in brackets.
    fn shown(text: &str, question: &str, max_chars: usize) -> String {
        let Snippet { text, highlights } = snippet(text, question, max_chars);
        let mut out = String::new();
        let mut at = 0;
        for (from, to) in highlights {
            out += &format!("{}[{}]", &text[at..from], &text[from..to]);
            at = to;
        }
        out + &text[at..]
    }

    #[test]
    fn the_best_part_is_shown_with_its_words_marked() {
        let long = "Nothing here at all. Still nothing of interest. The passport renewal form needs two photographs. \
                    More words that nobody asked about follow here.";
        for (case, text, question, max, expected) in [
            ("all fits", "Buy milk and bread.", "milk", 80, "Buy [milk] and bread."),
            ("another form of the word", "He was running late.", "run", 80, "He was [running] late."),
            ("accents", "A crème brûlée, please.", "creme brulee", 80, "A [crème] [brûlée], please."),
            (
                "its sentence first",
                long,
                "passport photographs",
                60,
                "…The [passport] renewal form needs two [photographs]. More words…",
            ),
            ("no word of it", long, "dental", 30, "Nothing here at all. Still…"),
            ("stop words are not marked", "The state of the art.", "the art of", 80, "The state of the [art]."),
            ("only stop words", "To be or not.", "to be", 80, "[To] [be] or not."),
            ("lines become one", "one\n\n  two\tthree", "two", 80, "one [two] three"),
            ("Chinese", "我们今天讨论中文分词的问题", "中文分词", 80, "我们今天讨论[中文分词]的问题"),
            ("an identifier", "call read_file(path)", "read_file", 80, "call [read_file](path)"),
            ("a part of one", "call read_file(path)", "file", 80, "call read_[file](path)"),
            ("what must not be there", "milk and oats", "milk -oats", 80, "[milk] and oats"),
            ("empty", "", "milk", 80, ""),
        ] {
            assert_eq!(shown(text, question, max), expected, "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_snippet_is_short_and_its_highlights_lie_in_it(text in "([a-f]{1,4}[ .\n]){0,60}|\\PC{0,80}", question in "([a-f]{1,4} ){1,4}", max in 0_usize..90) {
            let Snippet { text, highlights } = snippet(&text, &question, max);
            prop_assert!(text.chars().count() <= max + 2, "{text:?}");
            prop_assert!(highlights.is_sorted_by(|a, b| a.1 <= b.0));
            for (from, to) in highlights {
                prop_assert!(from < to && text.get(from..to).is_some());
            }
        }
    }
}
