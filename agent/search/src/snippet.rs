//! The part of a text that shows why it was found.
//!
//! Where words of the question stand closest together, with these words marked. They are compared as the index compares
//! them, so another form of a word, or one without its accents, is marked too. A text that was found by meaning alone shows
//! its beginning. Prose is set on one line; lines of code and rows of a table keep theirs, without what draws the table.

use std::{collections::HashSet, ops::Range};

use crate::{
    chunk::Format,
    question::Question,
    words::{Word, WordKind, is_stop_word, stem, words},
};

/// Only so much of a text is looked at.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// What stands for text that was left out.
const LEFT_OUT: char = '…';

/// A part of a text. A line break in it stands between lines of code and rows of tables, and nowhere else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snippet {
    /// The part.
    pub text: String,
    /// Which bytes of it are words of the question: from, to; in order and apart.
    pub highlights: Vec<(usize, usize)>,
}

/// The part of a text, of at most `max_chars` characters, that shows best what it has to do with a question.
pub fn snippet(text: &str, format: Format, question: &str, max_chars: usize) -> Snippet {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX.min(text.len()))];
    let lines = lines(text, format);
    let mut matches = matches(text, question);
    let drawn = |at: usize| lines.iter().any(|line| line.kind == Kind::Drawing && line.range.contains(&at));
    matches.retain(|(word, _)| !drawn(word.start));
    let whole = text.chars().count() <= max_chars;
    let window = if whole { 0..text.len() } else { window(text, &matches, max_chars) };
    render(text, &lines, window, &matches, max_chars)
}

/// One line of a text, its break included.
#[derive(Debug)]
struct Line {
    range: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Runs on into the next line.
    Prose,
    /// Stands by itself, with its indentation.
    Code,
    /// A row of a table.
    Row,
    /// A fence around code, a line of a table that holds nothing.
    Drawing,
}

/// The lines of a text and what they are.
fn lines(text: &str, format: Format) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut at = 0;
    let mut fence: Option<&str> = None;
    let mut in_table = false;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let line = line.trim();
        let edge = ["```", "~~~"].into_iter().find(|edge| line.starts_with(edge));
        let kind = if format == Format::Code {
            Kind::Code
        } else if let Some(open) = fence {
            let closes = line.starts_with(open) && line.trim_start_matches(&open[..1]).is_empty();
            fence = fence.filter(|_| !closes);
            if closes { Kind::Drawing } else { Kind::Code }
        } else if let Some(open) = edge {
            fence = Some(open);
            Kind::Drawing
        } else if is_ruler(line) {
            // The row above it may have no bars at its ends.
            if let Some(head) = lines.last_mut().filter(|head| text[head.range.clone()].contains('|')) {
                head.kind = Kind::Row;
            }
            in_table = true;
            Kind::Drawing
        } else {
            let barred = line.len() > 2 && line.starts_with('|') && line.ends_with('|');
            in_table = (in_table && line.contains('|')) || barred;
            if in_table { Kind::Row } else { Kind::Prose }
        };
        lines.push(Line { range, kind });
    }
    lines
}

/// Whether a line only draws a table: `|---|:--:|` or `+----+----+`.
fn is_ruler(line: &str) -> bool {
    line.contains(['|', '+'])
        && line.contains(['-', '='])
        && line.chars().all(|c| matches!(c, '|' | '+' | '-' | '=' | ':' | ' '))
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

/// What comes between two visible characters; of several the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Gap {
    None,
    Space,
    Cell,
    /// A new line, indented.
    Line(usize),
}

/// A snippet as it is written.
struct Page {
    text: String,
    chars: usize,
    gap: Gap,
    /// Of each character that was copied: where it was, where it is, how long it is.
    places: Vec<(usize, usize, usize)>,
}

impl Page {
    /// Copies a visible character, after what comes before it; `None` when there is no room for both.
    fn copy(&mut self, at: usize, c: char, max_chars: usize) -> Option<()> {
        let gap = match self.gap {
            Gap::Line(indent) if self.places.is_empty() => " ".repeat(indent),
            _ if self.places.is_empty() => String::new(),
            Gap::None => String::new(),
            Gap::Space => " ".into(),
            Gap::Cell => " · ".into(),
            Gap::Line(indent) => format!("\n{}", " ".repeat(indent)),
        };
        self.chars += gap.chars().count() + 1;
        if self.chars > max_chars {
            return None;
        }
        self.text += &gap;
        self.gap = Gap::None;
        self.places.push((at, self.text.len(), c.len_utf8()));
        self.text.push(c);
        Some(())
    }

    /// Copies the part of a line that lies in the window.
    fn copy_line(&mut self, text: &str, line: &Line, window: &Range<usize>, max_chars: usize) -> Option<()> {
        let mut escaped = false;
        let part = line.range.start.max(window.start)..line.range.end.min(window.end);
        for (offset, c) in text[part.clone()].char_indices() {
            let at = part.start + offset;
            let row = line.kind == Kind::Row;
            if c.is_whitespace() || c.is_control() {
                self.gap = self.gap.max(Gap::Space);
            } else if row && c == '|' && !escaped {
                self.gap = self.gap.max(Gap::Cell);
            } else if !(row && c == '\\' && text[at + 1..].starts_with('|')) {
                self.copy(at, c, max_chars)?;
            }
            escaped = row && c == '\\';
        }
        Some(())
    }
}

/// Writes a stretch with marks of what was left out, and moves the highlights along.
fn render(
    text: &str,
    lines: &[Line],
    window: Range<usize>,
    matches: &[(Range<usize>, usize)],
    max_chars: usize,
) -> Snippet {
    let shows = |part: Range<usize>| {
        let overlap = |line: &Line| part.start.max(line.range.start)..part.end.min(line.range.end);
        let mut visible = lines.iter().filter(|line| line.kind != Kind::Drawing).map(overlap);
        visible.any(|part| text.get(part).is_some_and(|text| text.contains(|c: char| !c.is_whitespace() && c != '|')))
    };
    let cut_before = shows(0..window.start);
    let mut end = window.end;
    let mut cut_after = shows(end..text.len());
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
    let window = window.start..end;
    let shown: Vec<&Line> = lines
        .iter()
        .filter(|line| line.kind != Kind::Drawing && line.range.start < window.end && line.range.end > window.start)
        .filter(|line| !text[line.range.clone()].trim().is_empty())
        .collect();
    let indentation = |line: &Line| text[line.range.clone()].chars().take_while(|c| matches!(c, ' ' | '\t')).count();
    let margin = shown.iter().filter(|line| line.kind == Kind::Code).map(|line| indentation(line)).min().unwrap_or(0);
    let mut page = Page { text: String::new(), chars: 0, gap: Gap::None, places: Vec::new() };
    if cut_before {
        page.text.push(LEFT_OUT);
    }
    let mut above = Kind::Prose;
    for line in shown {
        let first = page.places.is_empty();
        page.gap = match (above, line.kind) {
            // The mark of what was left out takes the place of one space.
            (_, Kind::Code) if first && window.start > line.range.start + indentation(line) => Gap::None,
            (_, Kind::Code) if first && cut_before => Gap::Line((indentation(line) - margin).saturating_sub(1)),
            (_, Kind::Code) => Gap::Line(indentation(line) - margin),
            (_, Kind::Row) | (Kind::Code | Kind::Row, _) if !first => Gap::Line(0),
            _ => page.gap.max(Gap::Space),
        };
        above = line.kind;
        if page.copy_line(text, line, &window, max_chars).is_none() {
            cut_after = true;
            break;
        }
    }
    let mut snippet = Snippet { text: page.text, highlights: Vec::new() };
    for (word, _) in matches.iter().filter(|(word, _)| word.start >= window.start && word.end <= window.end) {
        let inside = |(at, ..): &&(usize, usize, usize)| word.contains(at);
        let first = page.places.iter().find(inside);
        let last = page.places.iter().rev().find(inside);
        if let (Some((_, from, _)), Some((_, to, length))) = (first, last) {
            snippet.highlights.push((*from, to + length));
        }
    }
    if cut_after && max_chars > 0 {
        snippet.text.push(LEFT_OUT);
    }
    snippet
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A snippet with its highlights in brackets.
    fn shown(text: &str, question: &str, max_chars: usize) -> String {
        shown_as(text, Format::Markdown, question, max_chars)
    }

    fn shown_as(text: &str, format: Format, question: &str, max_chars: usize) -> String {
        let Snippet { text, highlights } = snippet(text, format, question, max_chars);
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

    #[test]
    fn tables_lose_their_drawing_and_code_keeps_its_lines() {
        let table = "Prices:\n\n| what | price |\n|:-----|------:|\n| milk | 2 |\n|oat \\| rice||\n\nAll in euro.";
        let code = "fn main() {\n    let milk = 2;\n\n    pour(milk);\n}\n";
        let fenced = "Pour it:\n\n```sh\npour milk |\n  cup\n```\n\nThen drink.";
        for (case, format, text, question, max, expected) in [
            (
                "a table",
                Format::Markdown,
                table,
                "milk",
                200,
                "Prices:\nwhat · price\n[milk] · 2\noat | rice\nAll in euro.",
            ),
            (
                "a table without bars at its ends",
                Format::Markdown,
                "a | b\n--|--\nmilk | 2",
                "milk",
                80,
                "a · b\n[milk] · 2",
            ),
            (
                "a grid",
                Format::Plain,
                "+---+---+\n| a | b |\n+===+===+\n| c | milk |\n+---+---+",
                "milk",
                80,
                "a · b\nc · [milk]",
            ),
            ("bars in prose", Format::Markdown, "either | or\nmilk", "milk", 80, "either | or [milk]"),
            ("code", Format::Code, code, "milk", 200, "fn main() {\n    let [milk] = 2;\n    pour([milk]);\n}"),
            ("a part of code", Format::Code, code, "pour", 14, "…[pour](milk);…"),
            ("a bar in code", Format::Code, "cat x |\n  milk |\n", "milk", 80, "cat x |\n  [milk] |"),
            ("code in prose", Format::Markdown, fenced, "milk", 200, "Pour it:\npour [milk] |\n  cup\nThen drink."),
            (
                "the name of its language is not shown",
                Format::Markdown,
                fenced,
                "sh",
                80,
                "Pour it:\npour milk |\n  cup\nThen drink.",
            ),
            ("a fence that nobody closed", Format::Markdown, "~~~\na\nmilk", "milk", 80, "a\n[milk]"),
        ] {
            assert_eq!(shown_as(text, format, question, max), expected, "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_snippet_is_short_and_its_highlights_lie_in_it(text in "([a-f]{1,4}[ .|\n]|\\||```|\n  |\\|-){0,60}|\\PC{0,80}", question in "([a-f]{1,4} ){1,4}", code: bool, max in 0_usize..90) {
            let format = if code { Format::Code } else { Format::Markdown };
            let Snippet { text, highlights } = snippet(&text, format, &question, max);
            prop_assert!(text.chars().count() <= max + 2, "{text:?}");
            prop_assert!(highlights.is_sorted_by(|a, b| a.1 <= b.0));
            for (from, to) in highlights {
                prop_assert!(from < to && text.get(from..to).is_some());
            }
        }
    }
}
