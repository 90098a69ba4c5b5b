//! Bytes as words that can be read out over a telephone: 11 bits a word, of 2,048 that differ in their first four letters.
//!
//! The list is BIP-39's English one (MIT, see `words.NOTICE`). Reading forgives case, what stands between words, and what follows
//! a word's first four letters being left out; it names the word that is wrong and says which was perhaps meant.

use std::sync::LazyLock;

use zeroize::Zeroizing;

/// In alphabetical order.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("words.txt").lines().collect());

/// The bits of a word.
const BITS: u32 = 11;

/// Why a text is not the words that were asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongWords {
    /// Too few or too many.
    #[error("there are {given} words and there should be {wanted}; look for one that was left out or written twice")]
    Count {
        /// How many there are.
        given: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// One is not in the list.
    #[error("word {position}, `{given}`, is not in the list; perhaps it is `{perhaps}`")]
    Unknown {
        /// Which one, from 1.
        position: usize,
        /// As it was written.
        given: String,
        /// The word that is most like it.
        perhaps: &'static str,
    },
    /// All are words, and not these.
    #[error("all of these are words of the list, but one is not the right one or two are swapped; compare them again")]
    Checksum,
}

/// The words for these bytes, of which there must be a multiple of 11.
pub(super) fn write(bytes: &[u8], between: char) -> Zeroizing<String> {
    assert!(bytes.len().is_multiple_of(BITS as usize), "words hold a multiple of 11 bytes");
    // With room for all, so that no part of it is left behind by growing: a word has at most eight letters.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 8 / BITS as usize * 9));
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        if bits >= BITS {
            bits -= BITS;
            if !text.is_empty() {
                text.push(between);
            }
            text.push_str(WORDS[(held >> bits) as usize]);
            held &= (1 << bits) - 1;
        }
    }
    text
}

/// Reads exactly `N` bytes, a multiple of 11.
pub(super) fn read<const N: usize>(text: &str) -> Result<[u8; N], WrongWords> {
    let wanted = N * 8 / BITS as usize;
    let given: Vec<&str> =
        text.split(|c: char| !c.is_alphabetic()).filter(|it| !it.is_empty()).take(wanted + 100).collect();
    let mut out = [0; N];
    let (mut held, mut bits, mut at) = (0_u32, 0, 0);
    let mut indices = Vec::with_capacity(wanted);
    for (before, word) in given.iter().enumerate() {
        indices.push(find(word).map_err(|perhaps| WrongWords::Unknown {
            position: before + 1,
            given: word.chars().take(20).collect(),
            perhaps,
        })?);
    }
    if given.len() != wanted {
        return Err(WrongWords::Count { given: given.len(), wanted });
    }
    for index in indices {
        held = held << BITS | index;
        bits += BITS;
        while bits >= 8 {
            bits -= 8;
            out[at] = u8::try_from(held >> bits & 0xff).expect("8 bits were cut out");
            at += 1;
        }
        held &= (1 << bits) - 1;
    }
    Ok(out)
}

/// The word's number, or the word that is most like it.
fn find(given: &str) -> Result<u32, &'static str> {
    let given = given.to_lowercase();
    let at = WORDS.partition_point(|word| *word < given.as_str());
    let whole = WORDS.get(at).is_some_and(|word| *word == given);
    let begun = given.len() >= 4 && WORDS.get(at).is_some_and(|word| word.starts_with(&given));
    if whole || begun {
        return Ok(u32::try_from(at).expect("there are 2,048"));
    }
    let given: Vec<char> = given.chars().take(20).collect();
    Err(WORDS.iter().min_by_key(|word| distance(&given, word)).expect("there are 2,048"))
}

/// How many letters must be changed, put in, left out or swapped with the next to come from one to the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_list_is_the_one_everybody_has_and_four_letters_tell_its_words_apart() {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(include_str!("words.txt")));
        assert_eq!(digest, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda");
        assert_eq!(WORDS.len(), 2048);
        assert!(WORDS.is_sorted_by(|a, b| a.get(..4).unwrap_or(a) < b.get(..4).unwrap_or(b)));
    }

    #[test]
    fn reading_forgives_what_does_not_matter_and_names_what_does() {
        let bytes = *b"eleven byte";
        let plain = write(&bytes, ' ').to_string();
        let words: Vec<&str> = plain.split(' ').collect();
        let short: Vec<String> = words.iter().map(|word| word.chars().take(4).collect()).collect();
        for (case, text) in [
            ("as written", plain.clone()),
            ("capitals", plain.to_uppercase()),
            ("dashes", words.join("-")),
            ("numbered lines", words.iter().enumerate().map(|(at, word)| format!("{}. {word}\n", at + 1)).collect()),
            ("four letters", short.join("  ")),
        ] {
            assert_eq!(read::<11>(&text), Ok(bytes), "{case}: {text}");
        }
        let with = |word: &str| [&words[..2], &[word], &words[3..]].concat().join(" ");
        for (case, given, perhaps) in [
            ("a wrong letter", "abandom", "abandon"),
            ("swapped letters", "abnadon", "abandon"),
            ("a letter more", "zooo", "zoo"),
            ("a letter less", "hunred", "hundred"),
        ] {
            let perhaps = WrongWords::Unknown { position: 3, given: given.into(), perhaps };
            assert_eq!(read::<11>(&with(given)), Err(perhaps), "{case}");
        }
        for (case, given, shown) in [
            ("three letters", "aba", "aba"),
            ("a long word", "zooooooooooooooooooooooooooo", "zooooooooooooooooooo"),
            ("other letters", "größe", "größe"),
        ] {
            let refused = read::<11>(&with(given));
            let named = matches!(&refused, Err(WrongWords::Unknown { position: 3, given, .. }) if given == shown);
            assert!(named, "{case}: {refused:?}");
        }
        assert_eq!(read::<11>(&words[1..].join(" ")), Err(WrongWords::Count { given: 7, wanted: 8 }));
        assert_eq!(read::<11>(&format!("{plain} zoo")), Err(WrongWords::Count { given: 9, wanted: 8 }));
        assert_eq!(read::<11>(""), Err(WrongWords::Count { given: 0, wanted: 8 }));
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: [u8; 22]) {
            prop_assert_eq!(read::<22>(&write(&bytes, ' ')), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = read::<11>(&text);
        }
    }
}
