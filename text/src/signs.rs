//! What a reading begins with: which words and which beginnings of tokens are signs, and of what.
//!
//! Two tables, for two ways of being found. Words stand anywhere in any case, those of the second set where
//! a word begins, and the vector stage knows their first four bytes. Beginnings
//! stand where a long run of a token's characters begins, and are told apart by their first two bytes.

use std::{collections::BTreeSet, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use hearth_simd::classes::{DEPTH, Signs};

use crate::carriers::{self, Carrier};
use crate::{blocks, commands, pairs, tokens};

/// What a word is the sign of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// Part of the name of a secret.
    Name,
    /// A name that may announce a row of words.
    Phrase,
    /// The header or the attribute of cookies.
    Cookie,
    /// A flag beside that of a user.
    Login,
    /// The way in which a stored password was hashed.
    Stored,
    /// What carries a name or an address.
    Carrier(Carrier),
    /// A command that takes a password, and the blank behind it.
    Command(usize),
    Sudo,
    /// The `BEGIN` of armour.
    Armour,
}

/// What the beginning of a long run is the sign of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    Token(usize),
    Hook(usize),
    Putty,
    Jwt,
    Age,
    Ether,
    Segwit,
}

/// A run that begins a token is at least this long.
pub(crate) const RUN: usize = 12;

/// A word, its first four bytes folded into a number, and what it is the sign of.
pub(crate) struct Word {
    bits: u32,
    mask: u32,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) mark: Mark,
}

/// The words of both sets.
pub(crate) struct Words {
    /// For the vector stage: names of secrets, and all else.
    pub(crate) signs: Signs,
    /// By the hash of their first three bytes, folded.
    slots: Slots<Word>,
}

/// Lists side by side: that of `slot` ends where the next begins.
struct Slots<T> {
    rows: Vec<T>,
    from: Vec<u16>,
}

impl<T> Slots<T> {
    fn new(slots: usize, mut rows: Vec<(usize, T)>) -> Self {
        rows.sort_by_key(|(slot, _)| *slot);
        let mut from = vec![0; slots + 1];
        for (slot, _) in &rows {
            from[slot + 1] += 1;
        }
        for slot in 0..slots {
            from[slot + 1] += from[slot];
        }
        Self { rows: rows.into_iter().map(|(_, row)| row).collect(), from }
    }

    fn of(&self, slot: usize) -> &[T] {
        &self.rows[usize::from(self.from[slot])..usize::from(self.from[slot + 1])]
    }
}

/// The first four bytes as a number, case folded if `fold`, and which of them `bytes` has.
fn first_four(bytes: &[u8], fold: bool) -> (u32, u32) {
    let (mut bits, mut mask) = ([0; 4], [0; 4]);
    for ((byte, bit), mask) in bytes.iter().zip(&mut bits).zip(&mut mask) {
        (*bit, *mask) = (if fold { byte | 0x20 } else { *byte }, 0xff);
    }
    (u32::from_le_bytes(bits), u32::from_le_bytes(mask))
}

/// The four bytes at `at`, zeros beyond the end.
fn four_at(text: &[u8], at: usize) -> u32 {
    match text.get(at..at + 4) {
        Some(bytes) => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        None => first_four(&text[at..], false).0,
    }
}

const FOLD: u32 = 0x2020_2020;
const SLOT_BITS: u32 = 11;

fn slot(four: u32) -> usize {
    ((four & 0xff_ffff).wrapping_mul(0x9e37_79b1) >> (32 - SLOT_BITS)) as usize
}

impl Words {
    /// The words that stand at `at`.
    pub(crate) fn at<'t>(&'static self, text: &'t [u8], at: usize) -> impl Iterator<Item = &'static Word> + use<'t> {
        let four = four_at(text, at) | FOLD;
        self.slots.of(slot(four)).iter().filter(move |word| {
            four & word.mask == word.bits
                && text.get(at..at + word.bytes.len()).is_some_and(|found| found.eq_ignore_ascii_case(&word.bytes))
        })
    }
}

const PHRASES: [&str; 8] = [
    "seed phrase",
    "seed words",
    "mnemonic",
    "recovery phrase",
    "recovery words",
    "wallet words",
    "backup phrase",
    "secret phrase",
];
const COOKIES: [&str; 6] = ["cookie:", "cookie=", "cookie\":", "cookie':", "cookie\\\":", "cookie "];

fn bytes_of(words: &[(String, Mark)]) -> Vec<&[u8]> {
    words.iter().map(|(word, _)| word.as_bytes()).collect()
}

/// The words whose signs the vector stage looks for.
pub(crate) static WORDS: LazyLock<Words> = LazyLock::new(|| words(false));

/// The same, and what carries names: more to look for, and more places to look at.
pub(crate) static WORDS_AND_CARRIERS: LazyLock<Words> = LazyLock::new(|| words(true));

fn words(carriers: bool) -> Words {
    let names = pairs::HINTS.iter().map(|word| (*word, Mark::Name));
    let phrases = PHRASES.into_iter().map(|word| (word, Mark::Phrase));
    let cookies = COOKIES.into_iter().map(|word| (word, Mark::Cookie));
    let stored = blocks::STORED.into_iter().map(|word| (word, Mark::Stored));
    let carried =
        carriers::SIGNS.iter().flat_map(|(carrier, words)| words.iter().map(|word| (*word, Mark::Carrier(*carrier))));
    let said: Vec<(String, Mark)> = names
        .chain(phrases)
        .chain(cookies)
        .chain(stored)
        .chain([(" -p ", Mark::Login)])
        .chain(carried.filter(|_| carriers))
        .map(|(word, mark)| (word.to_owned(), mark))
        .collect();

    // Short names are many other words, too; what ends them is looked for with them.
    let ends = |word: &str| if word.len() < DEPTH { &[" ", "\n"][..] } else { &[""] };
    let commands = commands::names().enumerate();
    let commands =
        commands.flat_map(|(i, word)| ends(word).iter().map(move |end| (format!("{word}{end}"), Mark::Command(i))));
    let others = [("sudo".to_owned(), Mark::Sudo), ("BEGIN".to_owned(), Mark::Armour)];
    let done: Vec<(String, Mark)> = commands.chain(others).collect();

    let signs = Signs::new([&bytes_of(&said), &bytes_of(&done)]);
    let mut rows = Vec::new();
    for (word, mark) in said.into_iter().chain(done) {
        let (bits, mask) = first_four(word.as_bytes(), true);
        let row = || Word { bits, mask, bytes: word.as_bytes().into(), mark };
        if word.len() > 2 {
            rows.push((slot(bits), row()));
        } else {
            // The slots that its third byte may lead to.
            let slots: BTreeSet<usize> =
                (0..=u8::MAX).map(|third| slot(bits | u32::from(third | 0x20) << 16)).collect();
            rows.extend(slots.into_iter().map(|slot| (slot, row())));
        }
    }
    Words { signs, slots: Slots::new(1 << SLOT_BITS, rows) }
}

/// One beginning: its first four bytes as a number and which of them count.
struct Beginning {
    bits: u32,
    mask: u32,
    start: Start,
}

/// The beginnings, by their first two bytes.
pub(crate) struct Beginnings(Slots<Beginning>);

/// Six bits that tell letters, digits and a few signs apart well enough.
fn six(byte: u8) -> usize {
    match byte {
        b'0'..=b'9' => usize::from(byte - b'0'),
        b'A'..=b'Z' => usize::from(byte - b'A') + 10,
        b'a'..=b'z' => usize::from(byte - b'a') + 36,
        b'_' | b'-' => 62,
        _ => 63,
    }
}

fn pair(a: u8, b: u8) -> usize {
    six(a) << 6 | six(b)
}

impl Beginnings {
    /// What may begin at `at`: every beginning that does, by its first four bytes.
    pub(crate) fn at(&'static self, text: &[u8], at: usize) -> impl Iterator<Item = Start> {
        let four = four_at(text, at);
        let [a, b, ..] = four.to_le_bytes();
        let list = self.0.of(pair(a, b)).iter();
        list.filter(move |beginning| four & beginning.mask == beginning.bits).map(|beginning| beginning.start)
    }
}

/// What stands in the middle of tokens, in the order of [`tokens::INFIXES`].
pub(crate) static INFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(tokens::INFIXES.iter().map(|infix| infix.mark))
        .expect("a few short words make a small automaton")
});

/// The beginnings of tokens and of what else is one long run.
pub(crate) static BEGINNINGS: LazyLock<Beginnings> = LazyLock::new(|| {
    let tokens = tokens::TOKENS.iter().enumerate().map(|(i, token)| (token.start, Start::Token(i)));
    let hooks = tokens::HOOKS.iter().enumerate().map(|(i, host)| (*host, Start::Hook(i)));
    let others = [
        ("PuTTY-User-Key-File-", Start::Putty),
        ("eyJ", Start::Jwt),
        ("AGE-SECRET-KEY-", Start::Age),
        ("AGE-PLUGIN-", Start::Age),
        ("0x", Start::Ether),
        ("0X", Start::Ether),
        ("bc1", Start::Segwit),
        ("tb1", Start::Segwit),
        ("ltc1", Start::Segwit),
        ("BC1", Start::Segwit),
        ("TB1", Start::Segwit),
        ("LTC1", Start::Segwit),
    ];
    let rows = tokens.chain(hooks).chain(others).map(|(word, start)| {
        let (bits, mask) = first_four(word.as_bytes(), false);
        (pair(word.as_bytes()[0], word.as_bytes()[1]), Beginning { bits, mask, start })
    });
    Beginnings(Slots::new(1 << 12, rows.collect()))
});
