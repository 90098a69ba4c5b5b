//! The owner's own names: people, addresses, companies and hosts that are hidden exactly where they stand.
//!
//! A [`Dictionary`] is made once from what the [`sources`] hold, and found by one automaton over the words by which names are known.
//! It learns nothing from the text, guesses no name, and shows none: it only counts.
//!
//! What is hidden of one word alone:
//!
//! - a word of fewer than four letters, or a common word written small (`backup`, `will`): only where an account stands, as in
//!   `/home/eve`, `~eve`, `eve@nas` and `@eve`; it never hides prose;
//! - a common word written with a capital (`Sommer`): only in that spelling or in capitals;
//! - any other word: in any case.
//!
//! Of two words and more, each form of the name in any case (`Eve Sommer`, `Sommer, Eve`, `E. Sommer`, `eve.sommer`), unless every word of
//! it is common (`Mark May`): then with capitals only. Accents count neither in the name nor in the text, and `ue` is `ü`.

mod find;
mod fold;
pub mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::LazyLock,
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::class::Class;
use fold::{Folded, Gap, Token, WORD_MAX, in_word, is_capital, is_unspaced, words};

/// No dictionary has more entries.
pub const ENTRIES_MAX: usize = 100_000;
/// The texts of all entries together are no longer.
pub const BYTES_MAX: usize = 4 << 20;
/// No entry is longer; longer ones are left out and counted.
pub const ENTRY_MAX: usize = 200;
/// An automaton of words with more bytes than these is built for room, not for speed.
const FAST_MAX: usize = 64 << 10;
/// An anchor this short is a part of too many words.
const ANCHOR_MIN: usize = 2;
/// One word of fewer letters hides nothing in prose.
const ALONE_MIN: usize = 4;

/// One thing that is hidden wherever it stands.
pub struct Entry {
    class: Class,
    text: String,
    /// How much at the end of `text` is the name of the family, where the source says so.
    family: usize,
    account: bool,
}

impl Entry {
    /// What a source calls by one text: the last word of a person's is the name of the family, or what stands before a comma.
    pub fn new(class: Class, text: &str) -> Self {
        Self { class, text: text.to_owned(), family: 0, account: false }
    }

    /// A person whose parts the source knows.
    pub fn person(given: &str, family: &str) -> Self {
        let text = format!("{} {}", given.trim(), family.trim()).trim().to_owned();
        Self { class: Class::Person, text, family: family.trim().len(), account: false }
    }

    /// A person's account: one word, whatever signs are in it.
    pub fn account(name: &str) -> Self {
        Self { class: Class::Person, text: name.to_owned(), family: 0, account: true }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.class, self.text.len())
    }
}

/// Why a dictionary takes no more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Full {
    /// Too many.
    #[error("{origin} brings the dictionary to more than {ENTRIES_MAX} entries; leave out what is not the owner's")]
    Entries {
        /// Where the entry too many comes from.
        origin: String,
    },
    /// Too long.
    #[error("{origin} brings the dictionary to more than {BYTES_MAX} bytes; leave out what is not the owner's")]
    Bytes {
        /// Where the entry too many comes from.
        origin: String,
    },
}

/// How a name is written.
enum Shape {
    /// One word: how its letters must be.
    Alone(Alone),
    /// Given names and the name of a family, whose last word is the anchor.
    Person { given: Box<[Folded]>, family: Box<[Folded]>, common: bool },
    /// Words in this order, and which of them is the anchor; behind each but the first what stands before it, and the sign if it is neither a
    /// blank nor a comma.
    Words { words: Box<[(Folded, Gap, Box<str>)]>, anchor: usize, common: bool },
}

enum Alone {
    AccountOnly,
    Spelled(Box<str>),
    AnyCase,
}

struct Name {
    class: Class,
    shape: Shape,
}

/// Names that share an anchor, by a word that must stand near it; those of one word by none.
type Near = BTreeMap<Box<str>, Vec<u32>>;

/// The names that the owner wants hidden.
pub struct Dictionary {
    names: Vec<Name>,
    anchors: BTreeMap<Box<str>, u32>,
    near: Vec<Near>,
    /// The anchors without accents, and those of scripts without gaps; by pattern, the anchor.
    automaton: Option<AhoCorasick>,
    by_pattern: Vec<u32>,
    /// Some anchor has letters that no accent makes of ASCII.
    beyond_ascii: bool,
    origins: BTreeMap<String, usize>,
    left_out: usize,
}

/// Takes entries until the dictionary is built.
#[derive(Default)]
pub struct Builder {
    entries: Vec<Entry>,
    bytes: usize,
    origins: BTreeMap<String, usize>,
    left_out: usize,
}

impl Builder {
    /// Adds what one source held.
    ///
    /// # Errors
    ///
    /// When the dictionary would have too many entries; those before stay.
    pub fn add(&mut self, origin: &str, entries: impl IntoIterator<Item = Entry>) -> Result<&mut Self, Full> {
        for entry in entries {
            if entry.text.len() > ENTRY_MAX {
                self.left_out += 1;
                continue;
            }
            if self.entries.len() == ENTRIES_MAX {
                return Err(Full::Entries { origin: origin.to_owned() });
            }
            if self.bytes + entry.text.len() > BYTES_MAX {
                return Err(Full::Bytes { origin: origin.to_owned() });
            }
            self.bytes += entry.text.len();
            self.entries.push(entry);
            *self.origins.entry(origin.to_owned()).or_default() += 1;
        }
        Ok(self)
    }

    /// Builds the automaton. Entries without a word are left out and counted.
    pub fn build(&mut self) -> Dictionary {
        let mut dictionary = Dictionary {
            names: Vec::new(),
            anchors: BTreeMap::new(),
            near: Vec::new(),
            automaton: None,
            by_pattern: Vec::new(),
            beyond_ascii: false,
            origins: std::mem::take(&mut self.origins),
            left_out: self.left_out,
        };
        let mut seen = BTreeSet::new();
        for entry in std::mem::take(&mut self.entries) {
            if !seen.insert((entry.class, entry.text.clone(), entry.family, entry.account)) {
                continue;
            }
            dictionary.left_out += usize::from(!dictionary.take(&entry));
        }
        dictionary.finish();
        dictionary
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({} entries)", self.entries.len())
    }
}

impl Dictionary {
    /// Starts a dictionary.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Tells whether there is no name in it.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns how many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns how many entries each source gave.
    pub fn origins(&self) -> impl Iterator<Item = (&str, usize)> {
        self.origins.iter().map(|(origin, n)| (origin.as_str(), *n))
    }

    /// Returns how many entries had no word or were too long.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    fn take(&mut self, entry: &Entry) -> bool {
        let text = entry.text.trim();
        let tokens = words(text);
        let class = entry.class;
        if tokens.is_empty() || tokens.iter().any(|token| token.end - token.start > WORD_MAX) {
            return false;
        }
        if let [token] = &tokens[..] {
            return self.alone(class, &text[token.start..token.end], &token.word);
        }
        if class != Class::Person || entry.account {
            return self.literal(class, text, tokens);
        }
        self.person(text, tokens, entry.family)
    }

    fn alone(&mut self, class: Class, word: &str, folded: &Folded) -> bool {
        let letters = word.chars().count();
        let unspaced = word.chars().any(is_unspaced);
        if letters < ANCHOR_MIN || word.chars().all(char::is_numeric) {
            return false;
        }
        let shape = if letters < ALONE_MIN && !unspaced || is_common(folded) && !is_capital(word) {
            Alone::AccountOnly
        } else if is_common(folded) {
            Alone::Spelled(word.into())
        } else {
            Alone::AnyCase
        };
        let name = self.name(class, Shape::Alone(shape));
        self.index(folded, &[""], name);
        true
    }

    fn person(&mut self, text: &str, tokens: Vec<Token>, family: usize) -> bool {
        let joined = |text: &str| text.chars().any(is_unspaced);
        let comma = tokens.iter().position(|token| token.gap == Gap::Comma);
        let (mut given, mut family): (Vec<Token>, Vec<Token>) = if family > 0 {
            let from = text.len() - family.min(text.len());
            tokens.into_iter().partition(|token| token.end <= from)
        } else if let Some(comma) = comma {
            let mut family = tokens;
            let given = family.split_off(comma);
            (given, family)
        } else {
            // What is joined to the last word, and `von` before it, is of the family.
            let mut last = tokens.len() - 1;
            while last > 1 && (tokens[last].gap == Gap::Joint || is_particle(&tokens[last - 1].word)) {
                last -= 1;
            }
            let mut given = tokens;
            let family = given.split_off(last);
            (given, family)
        };
        given.retain(|token| !TITLES.contains(&&*token.word.plain));
        if given.is_empty() && family.len() > 1 {
            // `Dr. Sommer`
            family.retain(|token| !TITLES.contains(&&*token.word.plain));
        }
        if let ([], [token]) | ([token], []) = (&given[..], &family[..]) {
            return self.alone(Class::Person, &text[token.start..token.end], &token.word);
        }
        let Some(anchor) = family.last() else { return false };
        if anchor.word.plain.chars().count() < ANCHOR_MIN && !joined(text) {
            return false;
        }
        // `田中太郎`
        if joined(text) {
            let whole: String = family.iter().chain(&given).map(|token| &*token.word.plain).collect();
            let turned: String = given.iter().chain(&family).map(|token| &*token.word.plain).collect();
            for whole in [whole, turned] {
                self.alone(Class::Person, &whole, &Folded::of(&whole));
            }
        }
        if given.is_empty() {
            return self.literal(Class::Person, text, family);
        }
        let common = given.iter().chain(&family).all(|token| is_common(&token.word) || token.is_letter());
        let anchor = anchor.word.clone();
        let given: Box<[Folded]> = given.into_iter().map(|token| token.word).collect();
        let family = family.into_iter().map(|token| token.word).collect();
        let keys: BTreeSet<String> = given
            .iter()
            .flat_map(|word| {
                let initial = word.initial().map(String::from);
                word.each().map(str::to_owned).chain(initial).collect::<Vec<_>>()
            })
            .collect();
        let name = self.name(Class::Person, Shape::Person { given, family, common });
        self.index(&anchor, &keys.iter().map(String::as_str).collect::<Vec<_>>(), name);
        true
    }

    fn literal(&mut self, class: Class, text: &str, tokens: Vec<Token>) -> bool {
        // The longest word of letters is the rarest.
        let worth = |token: &Token| {
            let n = token.word.plain.chars().count();
            let spelled = token.word.plain.chars().any(char::is_numeric) || twins(&token.word.plain).next().is_some();
            if spelled { n.min(3) } else { n + 3 }
        };
        let Some(anchor) = (0..tokens.len()).max_by_key(|i| worth(&tokens[*i])) else { return false };
        if tokens[anchor].word.plain.chars().count() < ANCHOR_MIN {
            return false;
        }
        let prose = matches!(class, Class::Person | Class::Organization);
        let common = prose && tokens.iter().all(|token| is_common(&token.word) || token.is_letter());
        let near = tokens[if anchor > 0 { anchor - 1 } else { anchor + 1 }.min(tokens.len() - 1)].word.clone();
        let mut before = tokens[0].start;
        let words: Box<[(Folded, Gap, Box<str>)]> = tokens
            .into_iter()
            .map(|token| {
                let sign = text[before..token.start].trim().into();
                before = token.end;
                (token.word, token.gap, sign)
            })
            .collect();
        let anchors = [Some(words[anchor].0.clone()), short_street(&words[anchor].0)];
        let short = short_street(&near);
        let mut keys: BTreeSet<String> = twins(&near.plain).map(str::to_owned).collect();
        keys.extend(near.each().chain(short.iter().flat_map(Folded::each)).map(str::to_owned));
        let name = self.name(class, Shape::Words { words, anchor, common });
        for anchor in anchors.into_iter().flatten() {
            self.index(&anchor, &keys.iter().map(String::as_str).collect::<Vec<_>>(), name);
        }
        true
    }

    fn name(&mut self, class: Class, shape: Shape) -> u32 {
        self.names.push(Name { class, shape });
        u32::try_from(self.names.len() - 1).expect("entries are limited")
    }

    fn index(&mut self, anchor: &Folded, keys: &[&str], name: u32) {
        for spelling in anchor.each() {
            let next = u32::try_from(self.near.len()).expect("entries are limited");
            let at = *self.anchors.entry(spelling.into()).or_insert(next);
            if at == next {
                self.near.push(Near::new());
            }
            let near = &mut self.near[at as usize];
            for key in keys {
                near.entry((*key).into()).or_default().push(name);
            }
        }
    }

    fn finish(&mut self) {
        self.beyond_ascii = self.anchors.keys().any(|word| !word.is_ascii());
        let found_raw = |word: &str| word.is_ascii() || word.chars().any(is_unspaced);
        let patterns: Vec<(&str, u32)> =
            self.anchors.iter().filter(|(word, _)| found_raw(word)).map(|(word, at)| (&**word, *at)).collect();
        if patterns.is_empty() {
            return;
        }
        let bytes: usize = patterns.iter().map(|(word, _)| word.len()).sum();
        let kind = if bytes <= FAST_MAX { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        self.automaton = AhoCorasick::builder()
            .kind(Some(kind))
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(patterns.iter().map(|(word, _)| word))
            .ok();
        self.by_pattern = patterns.into_iter().map(|(_, at)| at).collect();
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dictionary({} names)", self.names.len())
    }
}

/// What stands before or behind names and is none.
const TITLES: [&str; 24] = [
    "dr",
    "prof",
    "professor",
    "mr",
    "mrs",
    "ms",
    "mx",
    "miss",
    "sir",
    "dame",
    "herr",
    "frau",
    "mme",
    "mlle",
    "dipl",
    "ing",
    "phd",
    "md",
    "msc",
    "bsc",
    "jr",
    "sr",
    "ii",
    "iii",
];

/// Words before the name of a family that belong to it.
const PARTICLES: [&str; 28] = [
    "von", "van", "vom", "zu", "zum", "zur", "der", "den", "dem", "de", "het", "ten", "ter", "la", "le", "du", "des",
    "di", "da", "do", "dos", "das", "del", "della", "bin", "ibn", "al", "el",
];

fn is_particle(word: &Folded) -> bool {
    PARTICLES.contains(&&*word.plain)
}

/// `lindenstrasse` as it is shortened: `lindenstr`.
fn short_street(word: &Folded) -> Option<Folded> {
    let stem = word.plain.strip_suffix("asse").filter(|stem| stem.ends_with("str"))?;
    Some(Folded { plain: stem.into(), wide: word.wide.as_deref().and_then(|w| w.strip_suffix("asse")).map(Into::into) })
}

/// Words of addresses that are written in two ways.
const SHORT: [[&str; 2]; 10] = [
    ["street", "st"],
    ["avenue", "ave"],
    ["road", "rd"],
    ["boulevard", "blvd"],
    ["drive", "dr"],
    ["lane", "ln"],
    ["square", "sq"],
    ["place", "pl"],
    ["apartment", "apt"],
    ["saint", "st"],
];

/// How else a word of addresses is written.
fn twins(word: &str) -> impl Iterator<Item = &'static str> {
    SHORT.iter().filter(move |pair| pair.contains(&word)).flatten().copied().filter(move |twin| *twin != word)
}

/// Words that prose, programs and systems use and people are called by.
static COMMON: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("common.txt").lines().chain(include_str!("../bip39-english.txt").lines());
    lines.map(str::trim).collect()
});

fn is_common(word: &Folded) -> bool {
    COMMON.contains(&*word.plain)
}

/// Tells whether a word may end or begin between two characters.
fn parts(left: Option<char>, right: Option<char>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => !(in_word(left) && in_word(right)) || is_unspaced(left) && is_unspaced(right),
        _ => true,
    }
}
