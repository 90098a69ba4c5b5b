//! Text as it is shown: safe to print, with what was found marked, broken into lines.
//!
//! What was captured is foreign text: it may hold control characters and turn writing around, and its marks may point anywhere.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Takes out what could steer a terminal or hide what is really there: control characters and marks that turn writing around.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !steers(*c)).collect()
}

/// As [`plain`], and keeps line breaks and tabs.
pub fn plain_lines(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !steers(*c)).collect()
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Cuts a text at its marks: pieces in order, each with whether it is marked. Joined, they are the text.
///
/// Ranges that overlap are joined; those that lie outside or within a character are moved to where they fit.
pub fn pieces<'t>(text: &'t str, marks: &[(usize, usize)]) -> Vec<(bool, &'t str)> {
    let fit = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut marks: Vec<_> = marks.iter().map(|(start, end)| (fit(*start), fit(*end))).filter(|(a, b)| a < b).collect();
    marks.sort_unstable();
    let mut out = Vec::new();
    let mut at = 0;
    for (start, end) in marks {
        let start = start.max(at);
        if start >= end {
            continue;
        }
        if start > at {
            out.push((false, &text[at..start]));
        }
        out.push((true, &text[start..end]));
        at = end;
    }
    if at < text.len() {
        out.push((false, &text[at..]));
    }
    out
}

/// Breaks pieces into lines of at most `width` columns and at most `lines_max` lines; what does not fit ends in `…`.
///
/// Each line is a list of pieces again. White space of any kind counts as one space.
pub fn wrap(pieces: &[(bool, &str)], width: usize, lines_max: usize) -> Vec<Vec<(bool, String)>> {
    let width = width.max(8);
    let mut lines: Vec<Vec<(bool, String)>> = vec![Vec::new()];
    let mut column = 0;
    for word in words(pieces, width) {
        let wide: usize = word.iter().map(|(_, part)| part.width()).sum();
        let gap = usize::from(column > 0);
        if column + gap + wide > width {
            if lines.len() == lines_max {
                shorten(lines.last_mut().expect("there is a first line"), width);
                return lines;
            }
            lines.push(Vec::new());
            column = 0;
        }
        let line = lines.last_mut().expect("there is a first line");
        if column > 0 {
            // The space between two marked words is marked too, if both come from one mark.
            let inside = line.last().is_some_and(|last| last.0) && word.first().is_some_and(|first| first.0);
            push(line, inside, " ");
            column += 1;
        }
        for (marked, part) in &word {
            push(line, *marked, part);
        }
        column += wide;
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// As [`wrap`] line by line, each with its indentation: at most `prose_max` lines of one line of the text, and `lines_max` of all.
pub fn wrap_lines(
    pieces: &[(bool, &str)],
    width: usize,
    prose_max: usize,
    lines_max: usize,
) -> Vec<Vec<(bool, String)>> {
    let mut lines: Vec<Vec<(bool, &str)>> = vec![Vec::new()];
    for (marked, text) in pieces {
        for (nth, part) in text.split('\n').enumerate() {
            if nth > 0 {
                lines.push(Vec::new());
            }
            lines.last_mut().expect("there is a first line").push((*marked, part));
        }
    }
    let mut out = Vec::new();
    for line in lines {
        let room = prose_max.min(lines_max - out.len());
        if room == 0 {
            break;
        }
        let spaces = line.iter().flat_map(|(_, part)| part.chars()).take_while(|c| *c == ' ').count().min(width / 2);
        for mut wrapped in wrap(&line, width - spaces, room) {
            if spaces > 0 {
                wrapped.insert(0, (false, " ".repeat(spaces)));
            }
            out.push(wrapped);
        }
    }
    out
}

/// A text broken into lines of at most `width` columns, and at most so many.
pub fn lines(text: &str, width: usize, lines_max: usize) -> Vec<String> {
    let lines = wrap(&[(false, text)], width, lines_max);
    lines.into_iter().map(|line| line.into_iter().map(|(_, part)| part).collect()).collect()
}

/// A text cut to `width` columns, with `…` where it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut line = vec![(false, text.to_owned())];
    shorten(&mut line, width);
    line.into_iter().map(|(_, part)| part).collect()
}

/// How many columns a text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

fn push(line: &mut Vec<(bool, String)>, marked: bool, text: &str) {
    match line.last_mut() {
        Some((last, part)) if *last == marked => part.push_str(text),
        _ => line.push((marked, text.to_owned())),
    }
}

/// Words, each a list of pieces; a word wider than a line is cut into several.
fn words(pieces: &[(bool, &str)], width: usize) -> Vec<Vec<(bool, String)>> {
    let mut out: Vec<Vec<(bool, String)>> = Vec::new();
    let (mut word, mut wide) = (Vec::new(), 0);
    for (marked, text) in pieces {
        for c in text.chars() {
            if c.is_whitespace() {
                if wide > 0 {
                    out.push(std::mem::take(&mut word));
                    wide = 0;
                }
                continue;
            }
            if steers(c) {
                continue;
            }
            let w = match c {
                // What comes before one of these may be shown twice as wide with it.
                '\u{fe01}' | '\u{fe0f}' => 1,
                c => c.width().unwrap_or(0),
            };
            if wide + w > width {
                out.push(std::mem::take(&mut word));
                wide = 0;
            }
            push(&mut word, *marked, c.encode_utf8(&mut [0; 4]));
            wide += w.max(usize::from(wide == 0));
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// Makes room for `…` at the end of a line and puts it there.
fn shorten(line: &mut Vec<(bool, String)>, width: usize) {
    let wide = |line: &Vec<(bool, String)>| line.iter().map(|(_, part)| part.width()).sum::<usize>();
    while wide(line) + 1 > width || line.last().is_some_and(|(_, part)| part.is_empty() || part.ends_with(' ')) {
        let Some((_, part)) = line.last_mut() else { break };
        if part.pop().is_none() {
            line.pop();
        }
    }
    line.push((false, "…".into()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_that_point_anywhere_still_give_pieces_of_the_text() {
        let text = "héllo world";
        for (case, marks, expected) in [
            ("none", vec![], vec![(false, "héllo world")]),
            ("a word", vec![(7, 12)], vec![(false, "héllo "), (true, "world")]),
            ("within a character", vec![(2, 6)], vec![(false, "h"), (true, "éllo"), (false, " world")]),
            ("overlapping, out of order", vec![(3, 6), (0, 4)], vec![(true, "hél"), (true, "lo"), (false, " world")]),
            ("backwards", vec![(6, 2)], vec![(false, "héllo world")]),
            ("far outside", vec![(7, 900), (900, 901)], vec![(false, "héllo "), (true, "world")]),
        ] {
            let got = pieces(text, &marks);
            assert_eq!(got.iter().map(|(_, part)| *part).collect::<String>(), text, "{case}");
            if case != "overlapping, out of order" {
                assert_eq!(got, expected, "{case}");
            }
        }
    }

    #[test]
    fn nothing_that_was_captured_can_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mred\u{7}\u{202e}b\nc"), "a[31mredb c");
        assert_eq!(plain_lines("a\u{1b}]0;x\u{7}\n\tb"), "a]0;x\n\tb");
    }

    #[test]
    fn lines_keep_to_themselves_with_their_indentation() {
        let shown = |text: &str, prose_max, lines_max| -> Vec<String> {
            let lines = wrap_lines(&[(false, text)], 14, prose_max, lines_max);
            lines.into_iter().map(|line| line.into_iter().map(|(_, part)| part).collect()).collect()
        };
        let code = "if milk {\n    pour(milk, oats);\n\n}";
        assert_eq!(shown(code, 4, 8), ["if milk {", "    pour(milk,", "    oats);", "}"]);
        assert_eq!(shown(code, 1, 8), ["if milk {", "    pour(milk…", "}"]);
        assert_eq!(shown(code, 4, 2), ["if milk {", "    pour(milk…"]);
        assert_eq!(shown("one two three four", 4, 8), ["one two three", "four"]);
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        let lines = wrap(&[(false, "one two three "), (true, "four"), (false, " five six")], 9, 2);
        let shown: Vec<String> =
            lines.iter().map(|line| line.iter().map(|(_, part)| part.as_str()).collect()).collect();
        assert_eq!(shown, ["one two", "three…"]);
        assert_eq!(cut("日本語のテキスト", 7), "日本語…");
    }

    #[test]
    fn a_sign_that_another_one_widens_is_counted_as_wide_as_it_is_shown() {
        for line in lines("🕯\u{fe0f}0🃑🂱!🌀A🕯\u{fe0f}🕯\u{fe0f}🕯\u{fe0f}🕯\u{fe0f}🕯\u{fe0f}", 8, 9)
        {
            assert!(columns(&line) <= 8, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_asked(text in "\\PC{0,200}", marks in prop::collection::vec((0_usize..300, 0_usize..300), 0..6), width in 8_usize..60, most in 1_usize..5) {
            let cut = pieces(&text, &marks);
            prop_assert_eq!(cut.iter().map(|(_, part)| *part).collect::<String>(), text.clone());
            let lines = wrap(&cut, width, most);
            prop_assert!(lines.len() <= most);
            for line in lines {
                let wide: usize = line.iter().map(|(_, part)| columns(part)).sum();
                prop_assert!(wide <= width, "{} > {}: {:?}", wide, width, line);
            }
        }
    }
}
