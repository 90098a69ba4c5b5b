//! Words as names are compared: without case, without accents, and with the letters that stand for an accent.
//!
//! It cuts text into words and says what stands between two of them. It knows nothing of names.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// A word without case and accents: `Müller` is `muller`, and `mueller` where an accent may be written as a letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Folded {
    pub(super) plain: Box<str>,
    pub(super) wide: Option<Box<str>>,
}

impl Folded {
    pub(super) fn of(word: &str) -> Self {
        if word.is_ascii() {
            return Self { plain: word.to_ascii_lowercase().into(), wide: None };
        }
        let (mut plain, mut wide) = (String::new(), String::new());
        for c in word.nfc() {
            let (short, long) = match c {
                'ä' | 'Ä' => ("a", "ae"),
                'ö' | 'Ö' => ("o", "oe"),
                'ü' | 'Ü' => ("u", "ue"),
                'å' | 'Å' => ("a", "aa"),
                'ø' | 'Ø' => ("o", "oe"),
                'æ' | 'Æ' => ("ae", "ae"),
                'œ' | 'Œ' => ("oe", "oe"),
                'ß' | 'ẞ' => ("ss", "ss"),
                'ł' | 'Ł' => ("l", "l"),
                'đ' | 'Đ' | 'ð' | 'Ð' => ("d", "d"),
                'þ' | 'Þ' => ("th", "th"),
                'ı' | 'İ' => ("i", "i"),
                _ => {
                    // Marks of Latin, Greek and Cyrillic letters only: elsewhere they are the vowels.
                    let bare = c.to_lowercase().nfd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).nfc();
                    let from = plain.len();
                    plain.extend(bare);
                    wide.push_str(&plain[from..]);
                    continue;
                }
            };
            plain.push_str(short);
            wide.push_str(long);
        }
        let wide = (wide != plain).then(|| wide.into());
        Self { plain: plain.into(), wide }
    }

    /// Its one or two spellings.
    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.plain).chain(self.wide.as_deref())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.each().any(|mine| other.each().any(|theirs| mine == theirs))
    }

    /// The first letter, as initials have it.
    pub(super) fn initial(&self) -> Option<char> {
        self.plain.chars().next()
    }
}

/// Tells whether a character is part of a word, in any script.
pub(super) fn in_word(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() && (is_combining_mark(c) || matches!(c, '\u{200c}' | '\u{200d}'))
}

/// Tells whether words of its script stand together without a gap: Chinese, Japanese, Korean with its particles, Thai and its neighbours.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// What stands between two words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gap {
    /// White space, with at most one line break.
    Space,
    /// A comma, or a line break in an address.
    Comma,
    /// A full stop, and perhaps white space.
    Stop,
    /// One sign that joins: `eve.sommer`, `eve_sommer`, `Anna-Maria`, `O'Brien`.
    Joint,
    /// Anything else.
    Other,
}

/// So much may stand between two words of one name: the indentation of the next line.
const GAP_MAX: usize = 48;
/// No word of a name is longer.
pub(super) const WORD_MAX: usize = 64;

impl Gap {
    fn of(between: &str) -> Self {
        let bare = between.trim();
        if bare.is_empty() {
            return if between.is_empty() || between.matches('\n').count() > 1 { Self::Other } else { Self::Space };
        }
        let joined = between.len() == bare.len();
        match bare {
            "," => Self::Comma,
            "." if joined => Self::Joint,
            "." if between.starts_with('.') => Self::Stop,
            "-" | "_" | "+" | "'" | "’" | "‐" | "‑" | "%20" if joined => Self::Joint,
            _ => Self::Other,
        }
    }
}

/// A word of a text: where it stands, folded, and the gap between it and the word it was reached from.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) word: Folded,
    pub(super) gap: Gap,
    /// Its first letter is a capital.
    pub(super) capital: bool,
}

impl Token {
    pub(super) fn new(text: &str, start: usize, end: usize, gap: Gap) -> Self {
        let word = &text[start..end];
        Self { start, end, word: Folded::of(word), gap, capital: is_capital(word) }
    }

    /// Tells whether it is one letter, as initials are.
    pub(super) fn is_letter(&self) -> bool {
        self.word.plain.chars().nth(1).is_none()
    }
}

/// Tells whether a word begins with a capital. Scripts without case have none to miss.
pub(super) fn is_capital(word: &str) -> bool {
    word.chars().next().is_some_and(|c| !c.is_lowercase())
}

/// The word that ends before `at`, if little stands between.
pub(super) fn word_before(text: &str, at: usize) -> Option<Token> {
    let lead = &text[floor(text, at.saturating_sub(GAP_MAX + WORD_MAX))..at];
    let end = lead.char_indices().rev().find(|(_, c)| in_word(*c)).map(|(i, c)| i + c.len_utf8())?;
    let start = lead[..end].char_indices().rev().take_while(|(_, c)| in_word(*c)).last().map(|(i, _)| i)?;
    let base = at - lead.len();
    // `eve%20sommer`
    let (start, end) = if lead[start..end] == *"20" && lead[..start].ends_with('%') {
        let end = start - 1;
        let start = lead[..end].char_indices().rev().take_while(|(_, c)| in_word(*c)).last().map(|(i, _)| i)?;
        (start, end)
    } else {
        (start, end)
    };
    (end - start <= WORD_MAX && lead.len() - end <= GAP_MAX)
        .then(|| Token::new(text, base + start, base + end, Gap::of(&lead[end..])))
}

/// The word that begins behind `at`, if little stands between.
pub(super) fn word_after(text: &str, at: usize) -> Option<Token> {
    let rest = &text[at..floor(text, at + GAP_MAX + WORD_MAX)];
    let from = if rest.starts_with("%20") { 3 } else { 0 };
    let start = from + rest[from..].find(in_word)?;
    let n = rest[start..].find(|c| !in_word(c)).unwrap_or(rest.len() - start);
    (n <= WORD_MAX && start <= GAP_MAX).then(|| Token::new(text, at + start, at + start + n, Gap::of(&rest[..start])))
}

/// The words of a short text, with what stands before each.
pub(super) fn words(text: &str) -> Vec<Token> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(token) = word_after(text, at) {
        at = token.end;
        words.push(token);
    }
    words
}

pub(super) fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_word_are_one() {
        for (one, other, same) in [
            ("Müller", "MULLER", true),
            ("Müller", "mueller", true),
            ("Mueller", "Mu\u{308}ller", true),
            ("Mueller", "Muller", false),
            ("José", "Jose\u{301}", true),
            ("Jose", "JOSÉ", true),
            ("Groß", "GROSS", true),
            ("Sørensen", "Soerensen", true),
            ("Иван", "иван", true),
            ("राम", "रम", false),
        ] {
            assert_eq!(Folded::of(one).is(&Folded::of(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn what_stands_between_words_has_a_kind() {
        for (between, gap) in [
            (" ", Gap::Space),
            ("\n    ", Gap::Space),
            ("\n\n", Gap::Other),
            (", ", Gap::Comma),
            (".", Gap::Joint),
            (". ", Gap::Stop),
            ("-", Gap::Joint),
            (" - ", Gap::Other),
            ("; ", Gap::Other),
        ] {
            assert_eq!(Gap::of(between), gap, "{between:?}");
        }
    }
}
