//! Whether a value is made of words, as names in programs are, or of letters that chance put together.
//!
//! Two signs decide together: which letters stand side by side, and how long the pieces are between capitals, digits and
//! separators. It knows no dictionary.

/// For each letter, the letters that often follow it; together they make up 95 % of all pairs in English prose and in the
/// names that programs give.
const FOLLOWERS: [&[u8]; 26] = [
    b"bcdfgiklmnprstuvy",
    b"aceilorsuy",
    b"acehiklorstu",
    b"adeilorsu",
    b"abcdefgilmnpqrstvwxy",
    b"aefilorstuy",
    b"aeghilnorsu",
    b"aeiortu",
    b"abcdefglmnoprstvxz",
    b"",
    b"aeis",
    b"adeilostuy",
    b"abeimopsu",
    b"acdefgiklnostuv",
    b"abcdfgiklmnoprstuvw",
    b"acehiloprstuy",
    b"u",
    b"acdefgiklmnoprstuvy",
    b"acehiklmopstuy",
    b"acdehilmoprstuy",
    b"abcdefgilmnprst",
    b"aeio",
    b"aehinors",
    b"ceipt",
    b"emnopst",
    b"e",
];

/// [`FOLLOWERS`] as bits.
const PAIRS: [u32; 26] = {
    let mut pairs = [0; 26];
    let mut i = 0;
    while i < 26 {
        let mut j = 0;
        while j < FOLLOWERS[i].len() {
            pairs[i] |= 1 << (FOLLOWERS[i][j] - b'a');
            j += 1;
        }
        i += 1;
    }
    pairs
};

fn follows(before: u8, after: u8) -> bool {
    let (before, after) = (before.to_ascii_lowercase(), after.to_ascii_lowercase());
    PAIRS[usize::from(before - b'a')] >> (after - b'a') & 1 == 1
}

/// What a value's letters say, counted once.
struct Letters {
    count: usize,
    pieces: usize,
    pairs: usize,
    usual: usize,
    /// Pairs that are not usual, those across a capital left out.
    odd_inside: usize,
}

impl Letters {
    fn of(value: &[u8]) -> Self {
        let mut letters = Self { count: 0, pieces: 0, pairs: 0, usual: 0, odd_inside: 0 };
        let mut before = 0u8;
        for (at, byte) in value.iter().enumerate() {
            if byte.is_ascii_alphabetic() {
                letters.count += 1;
                let joined = before.is_ascii_alphabetic();
                // A capital begins a piece after a small letter, or before one: `APIKey` is `API` and `Key`.
                let hump = byte.is_ascii_uppercase()
                    && (before.is_ascii_lowercase() || value.get(at + 1).is_some_and(u8::is_ascii_lowercase));
                letters.pieces += usize::from(!joined || hump);
                if joined {
                    letters.pairs += 1;
                    letters.usual += usize::from(follows(before, *byte));
                    letters.odd_inside += usize::from(!hump && !follows(before, *byte));
                }
            }
            before = *byte;
        }
        letters
    }

    /// Tells whether words would look like this.
    fn are_words(&self, digits: usize) -> bool {
        self.pairs >= 4
            && self.usual * 4 >= self.pairs * 3
            // Where every pair of a piece is usual, shorter words will do: `ApiKeyId`.
            && self.count * 4 >= self.pieces * if self.odd_inside == 0 { 10 } else { 13 }
            && digits * 3 <= self.count
    }
}

fn digits(value: &[u8]) -> usize {
    value.iter().filter(|b| b.is_ascii_digit()).count()
}

/// Tells whether the value is made of words: names of programs, types, files and patches, words of prose.
pub(crate) fn is_wordy(value: &[u8]) -> bool {
    Letters::of(value).are_words(digits(value))
}

/// Tells whether the value is made of several words: `NextToken`, `set_key_2`, `download.lake.example`.
pub(crate) fn is_compound(value: &[u8]) -> bool {
    let letters = Letters::of(value);
    letters.pieces > 1 && letters.are_words(digits(value))
}

/// Tells whether the letters stand side by side as they do in no language: chance put them together.
pub(crate) fn is_unusual(value: &[u8]) -> bool {
    let letters = Letters::of(value);
    letters.pairs >= 10 && letters.usual * 20 < letters.pairs * 11
}

/// Tells whether the letters hardly make words, which a few letters can say less surely than many.
pub(crate) fn is_odd(value: &[u8]) -> bool {
    let letters = Letters::of(value);
    letters.pairs >= 6 && letters.usual * 5 < letters.pairs * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_words_and_tokens_are_not() {
        for (case, value, expected) in [
            ("a type", "NextToken", true),
            ("a function", "nettle_aes128_set_encrypt_key", true),
            ("a constant", "D3D12_ROOT_SIGNATURE_DESC", true),
            ("a member", "callOnInvalidRanges", true),
            ("a patch", "0001-Add-check-of-performance-of-ipv6-check", true),
            ("a host", "download.lake.example", true),
            ("a word", "allow", true),
            ("too short to tell", "abc", false),
            ("base62", "k3J9fhTq0Lx8vRz3Wm5Y", false),
            ("letters of both cases", "kQzJtfhTqLxvRzWmYcBn", false),
            ("small letters", "qzjtfhtqlxvrzwmycbnd", false),
            ("hexadecimal digits", "4f9a0c3be17d52806f1e", false),
            ("a UUID", "4abe883d-4be3-40ed-ae89-8a3d4cccc0cb", false),
            ("digits with a word", "20240131-rc", false),
        ] {
            assert_eq!(is_wordy(value.as_bytes()), expected, "{case}: {value}");
        }
    }

    #[test]
    fn letters_drawn_at_random_stand_as_in_no_language() {
        for (case, value, expected) in [
            ("small letters", "qzjtfhtqlxvrzwmycbnd", true),
            ("letters of both cases", "kQzJtfhTqLxvRzWm", true),
            ("words", "copperlakefernandmaple", false),
            ("words of another language", "kupferseefarnundahorn", false),
            ("too short to tell", "qzjtfhtq", false),
        ] {
            assert_eq!(is_unusual(value.as_bytes()), expected, "{case}: {value}");
        }
    }
}
