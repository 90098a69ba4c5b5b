//! Text to the word pieces that the model reads.
//!
//! WordPiece over the uncased BERT normaliser, as the model's `tokenizer.json` describes it, checked against token ids that
//! the reference tokenizer gave. One thing differs on purpose: the names of special tokens mean nothing inside a text, so
//! that a note which says `[SEP]` cannot steer the encoder. No padding and no batches.

use std::{collections::HashMap, ops::Range};

use serde::Deserialize;
use unicode_normalization::char::decompose_canonical;

use crate::unicode::{is_dropped, is_ideograph, is_mark, is_punctuation, is_space};

/// The largest `tokenizer.json` that is read.
const FILE_MAX: usize = 16 << 20;
/// The largest vocabulary that is taken.
const VOCABULARY_MAX: usize = 250_000;
/// Longer words are one unknown piece, whatever the file says.
const WORD_CHARS_MAX: usize = 100;

/// Why a `tokenizer.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is far larger than any tokenizer of this kind.
    #[error(
        "the tokenizer file has {0} bytes, more than the {FILE_MAX} that are read; is it the model's tokenizer.json?"
    )]
    TooLarge(usize),
    /// The file is not JSON, or lacks something every tokenizer has.
    #[error("the tokenizer file is damaged or of another kind; put the model's own tokenizer.json in its place")]
    Unreadable(#[source] serde_json::Error),
    /// The file describes another kind of tokenizer.
    #[error(
        "the tokenizer file asks for {0}, which this version cannot do; use the tokenizer.json that came with the model"
    )]
    Unsupported(&'static str),
    /// The vocabulary lacks a token that the model needs.
    #[error("the tokenizer's vocabulary has no {0} token; put the model's own tokenizer.json in its place")]
    Missing(&'static str),
}

/// Turns text into the token ids of one vocabulary.
pub struct Tokenizer {
    whole: HashMap<Box<str>, u32>,
    continued: HashMap<Box<str>, u32>,
    longest: usize,
    word_chars_max: usize,
    first: u32,
    last: u32,
    unknown: u32,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} pieces)", self.whole.len() + self.continued.len())
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn from_bytes(file: &[u8]) -> Result<Self, TokenizerError> {
        if file.len() > FILE_MAX {
            return Err(TokenizerError::TooLarge(file.len()));
        }
        let File { normalizer, pre_tokenizer, model } =
            serde_json::from_slice(file).map_err(TokenizerError::Unreadable)?;
        let uncased = normalizer.clean_text
            && normalizer.handle_chinese_chars
            && normalizer.lowercase
            && normalizer.strip_accents.unwrap_or(true);
        if normalizer.kind != "BertNormalizer" || !uncased || pre_tokenizer.kind != "BertPreTokenizer" {
            return Err(TokenizerError::Unsupported("a normaliser other than uncased BERT's"));
        }
        if model.kind != "WordPiece" || model.continuing_subword_prefix.is_empty() {
            return Err(TokenizerError::Unsupported("pieces other than WordPiece's"));
        }
        if model.vocab.len() > VOCABULARY_MAX {
            return Err(TokenizerError::Unsupported("a vocabulary of more than 250,000 pieces"));
        }
        let id = |token: &'static str| model.vocab.get(token).copied().ok_or(TokenizerError::Missing(token));
        let (first, last, unknown) = (id("[CLS]")?, id("[SEP]")?, id("[UNK]")?);
        let longest = model.vocab.keys().map(String::len).max().unwrap_or(0);
        let (mut whole, mut continued) = (HashMap::new(), HashMap::new());
        for (piece, id) in model.vocab {
            match piece.strip_prefix(&model.continuing_subword_prefix) {
                // A lone prefix is an ordinary word that happens to be spelled so.
                Some(rest) if !rest.is_empty() => continued.insert(rest.into(), id),
                _ => whole.insert(piece.into_boxed_str(), id),
            };
        }
        let word_chars_max = model.max_input_chars_per_word.min(WORD_CHARS_MAX);
        Ok(Self { whole, continued, longest, word_chars_max, first, last, unknown })
    }

    /// The token ids of a text between the marks for its beginning and end, at most `max` of them (never fewer than two).
    ///
    /// Reads no further than it must, so a very long text costs no more than its beginning.
    pub fn encode(&self, text: &str, max: usize) -> Vec<u32> {
        let room = max.max(2) - 1; // the last place is for the end mark
        let mut ids = Vec::with_capacity(room.min(text.len() / 3 + 2) + 1);
        ids.push(self.first);
        let mut words = self.words(text);
        while ids.len() < room && words.next_into(&mut ids).is_some() {}
        ids.truncate(room);
        ids.push(self.last);
        ids
    }

    /// How many pieces a text has, without the marks for beginning and end.
    pub fn count(&self, text: &str) -> usize {
        let (mut words, mut ids, mut count) = (self.words(text), Vec::new(), 0);
        while words.next_into(&mut ids).is_some() {
            count += ids.len();
            ids.clear();
        }
        count
    }

    /// The words of a text in order: where each stands, and how many pieces it has.
    pub(crate) fn word_sizes<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Range<usize>, usize)> + 'a {
        let (mut words, mut ids) = (self.words(text), Vec::new());
        std::iter::from_fn(move || {
            ids.clear();
            words.next_into(&mut ids).map(|range| (range, ids.len()))
        })
    }

    fn words<'a>(&'a self, text: &'a str) -> Words<'a> {
        Words { tokenizer: self, text, at: 0, waiting: None, word: String::new() }
    }

    /// Appends the pieces of one normalised word: always the longest that fits, or one unknown piece for all of it.
    fn pieces(&self, word: &str, ids: &mut Vec<u32>) {
        let before = ids.len();
        let mut start = 0;
        while start < word.len() {
            let pieces = if start == 0 { &self.whole } else { &self.continued };
            let rest = &word[start..];
            let mut end = rest.floor_char_boundary(self.longest.min(rest.len()));
            loop {
                if end == 0 {
                    ids.truncate(before);
                    ids.push(self.unknown);
                    return;
                }
                if let Some(id) = pieces.get(&rest[..end]) {
                    ids.push(*id);
                    break;
                }
                end = rest.floor_char_boundary(end - 1);
            }
            start += end;
        }
    }
}

/// Walks a text once, normalising as it goes.
struct Words<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    at: usize,
    /// A character that is a word by itself and ended the word before it.
    waiting: Option<(Range<usize>, char)>,
    word: String,
}

impl Words<'_> {
    /// Appends the pieces of the next word and says where it stands, or `None` at the end of the text.
    fn next_into(&mut self, ids: &mut Vec<u32>) -> Option<Range<usize>> {
        if let Some((range, c)) = self.waiting.take() {
            self.tokenizer.pieces(c.encode_utf8(&mut [0; 4]), ids);
            return Some(range);
        }
        self.word.clear();
        let (mut begun, mut chars) = (None::<Range<usize>>, 0);
        while let Some(c) = self.text[self.at..].chars().next() {
            let range = self.at..self.at + c.len_utf8();
            self.at = range.end;
            if is_dropped(c) {
                continue;
            }
            if is_space(c) {
                if begun.is_some() {
                    break;
                }
                continue;
            }
            let alone = is_ideograph(c);
            let mut single = None;
            let limit = self.tokenizer.word_chars_max;
            let word = &mut self.word;
            let mut push = |c: char| {
                if alone || is_punctuation(c) {
                    single = Some(c);
                } else {
                    chars += 1;
                    if chars <= limit {
                        word.push(c);
                    }
                }
            };
            if c.is_ascii() {
                push(c.to_ascii_lowercase());
            } else {
                decompose_canonical(c, |c| {
                    if !is_mark(c) {
                        c.to_lowercase().for_each(&mut push);
                    }
                });
            }
            if let Some(single) = single {
                if begun.is_none() {
                    self.tokenizer.pieces(single.encode_utf8(&mut [0; 4]), ids);
                    return Some(range);
                }
                self.waiting = Some((range, single));
                break;
            }
            if chars > 0 {
                begun = Some(begun.map_or(range.start, |word| word.start)..range.end);
            }
        }
        let range = begun?;
        if chars > self.tokenizer.word_chars_max {
            ids.push(self.tokenizer.unknown);
        } else {
            self.tokenizer.pieces(&self.word, ids);
        }
        Some(range)
    }
}

#[derive(Deserialize)]
struct File {
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    model: Pieces,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
struct PreTokenizer {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Pieces {
    #[serde(rename = "type")]
    kind: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}
