//! The grammar of tokens: which rows of `rules/*.toml` there are, and how one is held against a text.
//!
//! The build script holds every row against its own examples with the very code below, so it names nothing beyond [`values`](crate::values)
//! and [`class`](crate::class).

use crate::class::Class;
use crate::values::{Look, is_random, is_stand_in, is_wordy};

/// Which characters a token is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Alphabet {
    /// `0-9`
    Digits,
    /// `0-9 a-f A-F`
    Hex,
    /// `0-9 a-z`
    Lower,
    /// `0-9 A-Z`
    Upper,
    /// `0-9 a-z A-Z`
    Alnum,
    /// those and `_`
    Word,
    /// those and `-`
    Url,
    /// those and `.`
    Dotted,
    /// `0-9 a-z A-Z + / = _ -`
    Base64,
    /// those and `. ~ %`
    Wide,
}

impl Alphabet {
    const COUNT: usize = Self::Wide as usize + 1;

    pub(crate) const fn has(self, byte: u8) -> bool {
        match self {
            Self::Digits => byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'),
            Self::Wide => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=' | b'~' | b'+' | b'/' | b'%')
            }
        }
    }

    /// How many of its characters follow each other from `from` on, at most `most`.
    pub(crate) fn run(self, text: &[u8], from: usize, most: usize) -> usize {
        text[from..].iter().take(most).take_while(|byte| self.has(**byte)).count()
    }

    /// How many of its characters stand before `to`, at most `most`.
    fn run_back(self, text: &[u8], to: usize, most: usize) -> usize {
        text[..to].iter().rev().take(most).take_while(|byte| self.has(**byte)).count()
    }
}

/// Where runs of characters end that were read before: a long one is read once, however many beginnings stand in it.
#[derive(Default)]
pub(crate) struct Runs {
    ends: [(usize, usize); Alphabet::COUNT],
    /// The run that was judged last, by its end, and how often.
    judged: (usize, u32),
}

impl Runs {
    /// As [`Alphabet::run`], in one text from left to right.
    pub(crate) fn run(&mut self, alphabet: Alphabet, text: &[u8], from: usize, most: usize) -> usize {
        let (begin, end) = &mut self.ends[alphabet as usize];
        if from < *begin || from >= *end {
            (*begin, *end) = (from, from + alphabet.run(text, from, usize::MAX));
        }
        (*end - from).min(most)
    }

    /// How much of the next token may be judged in the run of this alphabet: less, once many have begun in it.
    fn judge(&mut self, alphabet: Alphabet) -> usize {
        let (_, end) = self.ends[alphabet as usize];
        self.judged = if self.judged.0 == end { (end, self.judged.1 + 1) } else { (end, 0) };
        if self.judged.1 < CROWD { JUDGED } else { JUDGED_IN_CROWD }
    }
}

/// A beginning, what follows it, and how much of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) start: &'static str,
    pub(crate) alphabet: Alphabet,
    /// At least and at most so many characters follow.
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// There must be a digit; short or wordlike beginnings need it.
    pub(crate) digit: bool,
    pub(crate) class: Class,
}

/// A shape whose mark is in the middle or at the end, and what stands on its sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Infix {
    pub(crate) mark: &'static str,
    pub(crate) left: Alphabet,
    pub(crate) least_left: usize,
    pub(crate) most_left: usize,
    pub(crate) right: Alphabet,
    pub(crate) least_right: usize,
    pub(crate) most_right: usize,
    pub(crate) class: Class,
}

/// No token is longer; what is longer is cut by the caller's blob rule.
pub(crate) const LONGEST: usize = 4096;
/// So much of a token is judged.
const JUDGED: usize = 256;
/// So many tokens of one run are judged by that much; the others by less.
const CROWD: u32 = 6;
const JUDGED_IN_CROWD: usize = 48;
/// So many dots and dashes behind a token are told apart from it.
const TRAILING: usize = 64;

/// Tells whether a token may begin here: not inside another word, though an escape such as `\n` may stand before it.
pub(crate) fn begins_here(text: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|i| text[i]) else { return true };
    if !before.is_ascii_alphanumeric() && before != b'_' {
        return true;
    }
    at >= 2 && text[at - 2] == b'\\' && matches!(before, b'n' | b'r' | b't')
        || at >= 3 && text[at - 3] == b'%' && text[at - 2].is_ascii_hexdigit() && before.is_ascii_hexdigit()
}

/// Tells whether a token's body is the one of a manual: letters repeated, the word `EXAMPLE`, or words where the shape is open.
fn is_sample(body: &[u8], look: &Look, open: bool) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(body, needle).is_some();
    look.run >= 8 && look.run * 3 > look.len
        || has(b"EXAMPLE")
        || has(b"XXXXX")
        || has(b"xxxxx")
        || has(b"your_")
        || open && is_wordy(body)
        || (look.len < 24 && is_stand_in(body))
}

impl Token {
    /// Matches the token whose beginning stands at `at`, and returns where it ends.
    #[allow(dead_code, reason = "the build script holds the rows against their examples with it")]
    pub(crate) fn find(&self, text: &[u8], at: usize) -> Option<usize> {
        self.find_with(text, at, &mut Runs::default())
    }

    /// As [`find`](Self::find), with the runs that were read before.
    pub(crate) fn find_with(&self, text: &[u8], at: usize, runs: &mut Runs) -> Option<usize> {
        let body = at + self.start.len();
        if text.get(at..body)? != self.start.as_bytes() || !begins_here(text, at) {
            return None;
        }
        let mut n = runs.run(self.alphabet, text, body, LONGEST);
        if n < self.least || n > self.most.saturating_add(TRAILING) {
            return None;
        }
        while n > self.least && matches!(text[body + n - 1], b'.' | b'-') {
            n -= 1;
        }
        if n < self.least || n > self.most {
            return None;
        }
        let found = &text[body..body + n.min(runs.judge(self.alphabet))];
        if self.digit && !found.iter().any(u8::is_ascii_digit) {
            return None;
        }
        let look = Look::of(found);
        // Where the issuer fixes the length or the letters are capitals, chance may well look like words; in few letters it may always.
        let open = self.most >= LONGEST && self.alphabet != Alphabet::Upper && n >= 16;
        let short = self.start.len() <= 3;
        let least_digits = usize::from(self.digit) + usize::from(self.digit && short);
        if look.digits < least_digits || look.distinct < 5.min(self.least) || is_sample(found, &look, open) {
            return None;
        }
        // A short beginning is only a beginning if chance, not a word or a longer number, follows it.
        let wordlike = short
            || (self.start.len() == 4 || self.start.starts_with("AAAA"))
                && self.start.bytes().all(|b| b.is_ascii_alphabetic());
        // Packed data has every beginning somewhere behind its own signs.
        let packed = at > 1 && matches!(text[at - 1], b'/' | b'+') && Alphabet::Base64.has(text[at - 2]);
        let number = self.alphabet != Alphabet::Hex && found.iter().all(u8::is_ascii_hexdigit);
        if self.digit && (wordlike && !is_random(found, self.least.min(20)) || short && number || wordlike && packed) {
            return None;
        }
        Some(body + n)
    }
}

impl Infix {
    /// Matches the shape whose mark stands at `at`: where it begins and ends.
    #[allow(dead_code, reason = "the build script holds the rows against their examples with it")]
    pub(crate) fn find(&self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        self.find_with(text, at, &mut Runs::default())
    }

    /// As [`find`](Self::find), with the runs that were read before.
    pub(crate) fn find_with(&self, text: &[u8], at: usize, runs: &mut Runs) -> Option<(usize, usize)> {
        let after = at + self.mark.len();
        if text.get(at..after)? != self.mark.as_bytes() {
            return None;
        }
        let left = self.left.run_back(text, at, self.most_left);
        let right = runs.run(self.right, text, after, self.most_right.min(LONGEST));
        let (start, end) = (at - left, after + right);
        if left < self.least_left || right < self.least_right {
            return None;
        }
        let look = Look::of(&text[start..end.min(start + runs.judge(self.right) + self.mark.len())]);
        let ends = !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
        (begins_here(text, start) && ends && look.digits >= 1 && look.distinct > 8).then_some((start, end))
    }
}
