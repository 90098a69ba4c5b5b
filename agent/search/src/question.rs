//! What somebody types into the search box, taken apart.
//!
//! `"words in quotes"` must stand together, `-word` and `-"words"` must not be there, everything else is words of which
//! more are better. There is no other syntax and no mistake to make in it: an open quote ends with the question.

use crate::words::{Word, words};

/// Longer questions are cut: they are pasted texts, and their beginning says what they are about.
const QUESTION_CHARS_MAX: usize = 2_000;
/// So many words of a question count.
const WORDS_MAX: usize = 64;

/// A question, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    /// What is looked for, in order.
    pub(crate) asked: Vec<Asked>,
    /// What must not be there: words that stand together.
    pub(crate) without: Vec<Vec<Word>>,
}

/// A part of a question.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// These words together.
    Phrase(Vec<Word>),
    /// Any of these words.
    Words(Vec<Word>),
}

impl Question {
    pub(crate) fn parse(text: &str) -> Self {
        let end = text.char_indices().nth(QUESTION_CHARS_MAX).map_or(text.len(), |(end, _)| end);
        let mut question = Self::default();
        let mut left = WORDS_MAX;
        let mut rest = &text[..end];
        let mut fresh = true; // at the beginning of a word
        let mut loose = String::new();
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            let minus = fresh && c == '-' && after.starts_with(|c: char| is_quote(c) || c.is_alphanumeric());
            let told = if minus { after } else { rest };
            if told.starts_with(is_quote) && (fresh || minus) {
                let inside = &told[told.chars().next().map_or(0, char::len_utf8)..];
                let (phrase, beyond) = inside.split_once(is_quote).unwrap_or((inside, ""));
                question.take(&mut loose, &mut left);
                question.keep(phrase, minus, &mut left);
                (rest, fresh) = (beyond, true);
            } else if minus {
                let end = told.find(char::is_whitespace).unwrap_or(told.len());
                question.keep(&told[..end], true, &mut left);
                rest = &told[end..];
            } else {
                loose.push(c);
                fresh = c.is_whitespace() || c == '(' || c == ',';
                rest = after;
            }
        }
        question.take(&mut loose, &mut left);
        question
    }

    /// Does it look for nothing?
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// All words that are looked for.
    pub(crate) fn words(&self) -> impl Iterator<Item = &Word> {
        self.asked.iter().flat_map(|asked| match asked {
            Asked::Phrase(words) | Asked::Words(words) => words,
        })
    }

    fn take(&mut self, loose: &mut String, left: &mut usize) {
        let found = cut(words(loose), left);
        if !found.is_empty() {
            self.asked.push(Asked::Words(found));
        }
        loose.clear();
    }

    fn keep(&mut self, phrase: &str, minus: bool, left: &mut usize) {
        let found = cut(words(phrase), left);
        match (found.is_empty(), minus) {
            (true, _) => {}
            (false, true) => self.without.push(found),
            (false, false) => self.asked.push(Asked::Phrase(found)),
        }
    }
}

fn cut(mut words: Vec<Word>, left: &mut usize) -> Vec<Word> {
    words.truncate(*left);
    *left -= words.len();
    words
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A question in short: phrases in brackets, what must not be there after a minus.
    fn read(text: &str) -> String {
        let spell = |words: &[Word]| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let question = Question::parse(text);
        let asked = question.asked.iter().map(|asked| match asked {
            Asked::Phrase(words) => format!("[{}]", spell(words)),
            Asked::Words(words) => spell(words),
        });
        asked.chain(question.without.iter().map(|words| format!("-[{}]", spell(words)))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn questions_come_apart() {
        for (case, text, expected) in [
            ("nothing", "", ""),
            ("punctuation only", "?! - \"\" -", ""),
            ("words", "Where is my Passport?", "where is my passport"),
            ("a phrase", "find \"due date\" rent", "find [due date] rent"),
            ("curly quotes", "“due date”", "[due date]"),
            ("an open quote", "\"due date", "[due date]"),
            ("a word to leave out", "milk -oat", "milk -[oat]"),
            ("a phrase to leave out", "milk -\"oat milk\"", "milk -[oat milk]"),
            ("a hyphen inside", "e-mail", "e-mail e mail"),
            ("a dash between", "milk - oat", "milk oat"),
            ("an inch sign", "27\" screen", "27 screen"),
            ("query languages mean nothing", "title:a* AND (b OR c)^2 ~3", "title:a title a and b or c 2 3"),
            ("a path", "-/etc/passwd", "etc/passwd etc passwd"),
        ] {
            assert_eq!(read(text), expected, "{case}");
        }
    }

    #[test]
    fn a_pasted_text_is_cut() {
        let question = Question::parse(&"many words ".repeat(100_000));
        assert_eq!(question.words().count(), WORDS_MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_a_question(text in any::<String>()) {
            Question::parse(&text);
        }
    }
}
