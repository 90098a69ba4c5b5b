//! Text to the words by which it is found.
//!
//! One analyser serves texts, titles, paths and questions, so that what was written is found as it is asked for. Words of
//! scripts with spaces are folded: lower case, no accents. Scripts without spaces become overlapping pairs of characters.
//! Identifiers are found whole and by their parts. Nothing here knows an index.

use std::ops::Range;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::char::decompose_compatible;

use crate::unicode::{is_dropped, is_ideograph, is_mark};

/// Longer words are cut here: nobody types them, and they would only fill the index.
const WORD_CHARS_MAX: usize = 64;

/// One word of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// The word as it is compared: folded, perhaps a part of what was written.
    pub text: String,
    /// Which word of the text it is. An identifier and its first part are at the same place.
    pub place: usize,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// What it is part of.
    pub kind: WordKind,
}

/// How a word came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WordKind {
    /// A word as it was written, or a part of an identifier.
    Plain,
    /// An identifier of several parts, as a whole.
    Whole,
    /// Two neighbours in a script without spaces.
    Pair,
    /// The last character of a run in a script without spaces, so that a question for one character finds it too.
    Single,
}

/// The words of a text, in order.
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut place = 0;
    let mut rest = text.char_indices().peekable();
    while let Some(&(start, c)) = rest.peek() {
        if is_unspaced(c) {
            let run = take_while(&mut rest, text, |c, _| is_unspaced(c));
            pairs(text, run, &mut place, &mut words);
        } else if is_part(c) {
            let run = take_while(&mut rest, text, |c, next| {
                is_part(c) || is_dropped(c) || is_joint(c) && next.is_some_and(is_part)
            });
            identifier(text, run, &mut place, &mut words);
        } else {
            rest.next();
            debug_assert!(start < text.len());
        }
    }
    words
}

/// Folds a word for comparison: compatible forms unified, accents gone, lower case.
pub fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    let mut chars = 0;
    for c in word.chars() {
        if chars >= WORD_CHARS_MAX {
            break;
        }
        if c.is_ascii() {
            if !is_dropped(c) {
                folded.push(c.to_ascii_lowercase());
                chars += 1;
            }
        } else if !is_dropped(c) {
            decompose_compatible(c, |c| {
                if !is_mark(c) {
                    for c in c.to_lowercase() {
                        chars += 1;
                        match c {
                            'ß' => folded.push_str("ss"),
                            'ø' => folded.push('o'),
                            'ł' => folded.push('l'),
                            'đ' => folded.push('d'),
                            'ı' => folded.push('i'),
                            'æ' => folded.push_str("ae"),
                            'œ' => folded.push_str("oe"),
                            'ς' => folded.push('σ'),
                            c if is_mark(c) => {}
                            c => folded.push(c),
                        }
                    }
                }
            });
        }
    }
    folded
}

/// The stem of a folded English word. Words of other scripts stay as they are.
pub fn stem(word: &str) -> String {
    if word.is_ascii() && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'\'') {
        Stemmer::create(Algorithm::English).stem(word).into_owned()
    } else {
        word.into()
    }
}

/// Is this a word that almost every English text has, and that tells nothing about what is looked for?
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// English function words, in order.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing", "each", "for",
    "from", "further", "had", "has", "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "if",
    "in", "into", "is", "it", "its", "just", "me", "more", "most", "my", "no", "nor", "not", "of", "on", "once",
    "only", "or", "other", "our", "out", "over", "own", "s", "same", "she", "should", "so", "some", "such", "t",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to", "too",
    "under", "until", "up", "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom",
    "why", "will", "with", "would", "you", "your",
];

type Chars<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

/// The stretch of characters of one sort, told of each character and the one after it.
fn take_while(rest: &mut Chars<'_>, text: &str, sort: impl Fn(char, Option<char>) -> bool) -> Range<usize> {
    let start = rest.peek().map_or(text.len(), |(start, _)| *start);
    let mut end = start;
    while let Some(&(at, c)) = rest.peek() {
        let after = at + c.len_utf8();
        let next = text[after..].chars().next();
        if !sort(c, next) {
            break;
        }
        end = after;
        rest.next();
    }
    start..end
}

/// Every two neighbours of a run, and its last character alone.
fn pairs(text: &str, run: Range<usize>, place: &mut usize, words: &mut Vec<Word>) {
    let starts: Vec<usize> = text[run.clone()].char_indices().map(|(at, _)| run.start + at).collect();
    for (nth, &start) in starts.iter().enumerate() {
        let end = starts.get(nth + 2).copied().unwrap_or(run.end);
        let kind = if nth + 1 < starts.len() { WordKind::Pair } else { WordKind::Single };
        let folded = fold_width(&text[start..end]);
        words.push(Word { text: folded, place: *place, range: start..end, kind });
        *place += 1;
    }
}

/// The parts of an identifier, and the whole where it has more than one.
fn identifier(text: &str, run: Range<usize>, place: &mut usize, words: &mut Vec<Word>) {
    let parts = parts(text, run.clone());
    let first = *place;
    if parts.len() > 1 && run.len() <= 4 * WORD_CHARS_MAX {
        let whole = fold(&text[run.clone()]);
        words.push(Word { text: whole, place: first, range: run, kind: WordKind::Whole });
    }
    for part in parts {
        let folded = fold(&text[part.clone()]);
        if !folded.is_empty() {
            words.push(Word { text: folded, place: *place, range: part, kind: WordKind::Plain });
            *place += 1;
        }
    }
    *place = (*place).max(first + 1);
}

/// Where an identifier comes apart: at its joints, and where small letters turn into capitals.
fn parts(text: &str, run: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = run.start;
    let mut before: Option<char> = None;
    let mut rest = text[run.clone()].char_indices().map(|(at, c)| (run.start + at, c)).peekable();
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map(|(_, next)| *next);
        if is_joint(c) {
            // An apostrophe belongs to the word before it: `don't` is found as `don't`, `it's` as `it`.
            if start < at {
                parts.push(start..at);
            }
            start = at + c.len_utf8();
            before = None;
            continue;
        }
        let turns = c.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || before.is_some_and(char::is_uppercase) && next.is_some_and(char::is_lowercase));
        if turns && start < at {
            parts.push(start..at);
            start = at;
        }
        before = Some(c);
    }
    if start < run.end {
        parts.push(start..run.end);
    }
    parts
}

/// Wide and narrow forms of one character are one character.
fn fold_width(pair: &str) -> String {
    let mut folded = String::with_capacity(pair.len());
    for c in pair.chars() {
        match c {
            // Half-width kana and letters; others would fall apart into what they are made of.
            '\u{ff00}'..='\u{ffef}' => decompose_compatible(c, |c| folded.push(c)),
            c => folded.push(c),
        }
    }
    folded
}

/// A letter, digit or mark of a script that puts spaces between words.
fn is_part(c: char) -> bool {
    (c.is_alphanumeric() || is_mark(c)) && !is_unspaced(c)
}

/// What holds the parts of an identifier together.
fn is_joint(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | '/' | ':' | '\'' | '’' | '@')
}

/// Is this of a script that puts no spaces between words, or, as Korean, not where a search would need them?
pub(crate) fn is_unspaced(c: char) -> bool {
    c >= '\u{e00}'
        && (is_ideograph(c)
            || matches!(c,
                '\u{e00}'..='\u{eff}' // Thai, Lao
                | '\u{1000}'..='\u{109f}' // Burmese
                | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7ff}' // Hangul
                | '\u{1780}'..='\u{17ff}' // Khmer
                | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // kana
                | '\u{ff66}'..='\u{ff9f}' // half-width kana
                | '\u{2a6e0}'..='\u{2ffff}' | '\u{30000}'..='\u{3ffff}')) // later ideographs
            && c.is_alphanumeric()
        || c >= '\u{e00}' && matches!(c, '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_folded_split_and_paired() {
        for (case, text, expected) in [
            ("nothing", " .,!", &[][..]),
            ("words", "Buy milk, now!", &["buy", "milk", "now"]),
            ("accents", "Crème BRÛLÉE Łódź", &["creme", "brulee", "lodz"]),
            ("accents written apart", "cafe\u{301}", &["cafe"]),
            ("sharp s", "Straße", &["strasse"]),
            ("Greek", "ΣΊΣΥΦΟΣ Σίσυφος", &["σισυφοσ", "σισυφοσ"]),
            ("Cyrillic", "Йога ещё", &["иога", "еще"]),
            ("snake case", "read_file", &["read_file", "read", "file"]),
            ("camel case", "getUserName", &["getusername", "get", "user", "name"]),
            ("an abbreviation first", "HTTPServer", &["httpserver", "http", "server"]),
            ("capitals", "README", &["readme"]),
            ("a path", "/usr/share/doc", &["usr/share/doc", "usr", "share", "doc"]),
            ("a version", "v1.2.3", &["v1.2.3", "v1", "2", "3"]),
            ("an end of sentence", "done. Next", &["done", "next"]),
            ("a lone joint", "a - b", &["a", "b"]),
            ("an apostrophe", "it's", &["it's", "it", "s"]),
            ("Chinese", "中文分词", &["中文", "文分", "分词", "词"]),
            ("one ideograph", "猫", &["猫"]),
            ("Japanese", "今日はGPU", &["今日", "日は", "は", "gpu"]),
            ("half-width kana", "ｶﾅ", &["カナ", "ナ"]),
            ("Korean", "한글", &["한글", "글"]),
            ("Thai", "ภาษา", &["ภา", "าษ", "ษา", "า"]),
            ("full width letters", "ＡＢＣ", &["abc"]),
            ("soft hyphen", "hy\u{ad}phen", &["hyphen"]),
        ] {
            assert_eq!(plain(text), expected, "{case}");
        }
    }

    #[test]
    fn an_identifier_and_its_first_part_share_a_place() {
        let places: Vec<_> = words("call read_file now").into_iter().map(|word| (word.text, word.place)).collect();
        let expected = [("call", 0), ("read_file", 1), ("read", 1), ("file", 2), ("now", 3)];
        assert_eq!(places, expected.map(|(text, place)| (text.to_owned(), place)));
    }

    #[test]
    fn stems_unite_the_forms_of_a_word() {
        for (word, expected) in [("running", "run"), ("libraries", "librari"), ("v1", "v1"), ("straße", "straße")] {
            assert_eq!(stem(word), expected);
        }
    }

    #[test]
    fn stop_words_are_in_order() {
        assert!(STOP_WORDS.is_sorted());
        assert!(is_stop_word("the") && !is_stop_word("milk"));
    }

    #[test]
    fn a_megabyte_without_a_space_is_one_short_word() {
        assert_eq!(plain(&"x".repeat(1 << 20)), ["x".repeat(WORD_CHARS_MAX)]);
        assert_eq!(plain(&"a_".repeat(1 << 19)).len(), 1 << 19);
    }

    proptest! {
        #[test]
        fn words_stand_where_they_say_and_in_order(text in any::<String>()) {
            let words = words(&text);
            prop_assert!(words.is_sorted_by_key(|word| word.place));
            for word in words {
                prop_assert!(text.get(word.range).is_some());
            }
        }
    }
}
