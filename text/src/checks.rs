//! Check digits and other arithmetic by which a number proves what it is.
//!
//! Every function takes the characters that matter, already stripped of spaces and dashes. None of them looks at context.

use sha2::{Digest, Sha256};

/// The value of one digit; what is not a digit counts as 0, so callers check first.
fn digit(byte: u8) -> u32 {
    u32::from(byte.wrapping_sub(b'0').min(9))
}

/// Luhn's sum over digits.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let d = digit(*d);
            if i % 2 == 0 { d } else { d * 2 / 10 + d * 2 % 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Any number of the length of a payment card with Luhn's sum, and not one digit over and over. That it is one must be said.
pub(crate) fn like_card(digits: &[u8]) -> bool {
    (12..=19).contains(&digits.len()) && digits.iter().any(|d| *d != digits[0]) && luhn(digits)
}

/// A payment card: a length and a first part that an issuer uses, and Luhn's sum.
pub(crate) fn card(digits: &[u8]) -> bool {
    if !like_card(digits) {
        return false;
    }
    let first = |n: usize| digits[..n].iter().fold(0u32, |sum, d| sum * 10 + digit(*d));
    let n = digits.len();
    let (two, three, four, six) = (first(2), first(3), first(4), first(6));
    match digits[0] {
        b'4' => matches!(n, 13 | 16 | 19),
        b'5' => (n == 16 && (51..=55).contains(&two)) || (n >= 12 && matches!(two, 50 | 56..=58)),
        b'2' => {
            n == 16 && ((2221..=2720).contains(&four) || (2200..=2204).contains(&four))
                || n == 15 && matches!(four, 2014 | 2131 | 2149)
        }
        b'3' => match n {
            15 => matches!(two, 34 | 37),
            14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three) || three == 309,
            // JCB was given 3528 to 3589, and published grammars take all of 35.
            16 => matches!(two, 35 | 36 | 38 | 39) || (300..=305).contains(&three),
            17..=19 => (3528..=3589).contains(&four) || matches!(two, 36 | 38 | 39) || (300..=305).contains(&three),
            _ => false,
        },
        b'6' => {
            (n >= 16
                && (four == 6011 || (644..=649).contains(&three) || two == 65 || two == 62 || two == 60 || two == 64))
                || (two == 63 || two == 67 || two == 69 || six == 600_000)
        }
        b'8' => n >= 16 && matches!(two, 81 | 82),
        b'9' => n == 16 && four == 9792,
        b'1' => n == 15 && four == 1800,
        _ => false,
    }
}

/// The remainder by 97 of letters (A = 10 … Z = 35) and digits read as one number; `None` for other characters.
fn mod97(mut text: impl Iterator<Item = u8>) -> Option<u32> {
    text.try_fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => Some((rest * 10 + digit(byte)) % 97),
        b'A'..=b'Z' => Some((rest * 100 + u32::from(byte - b'A') + 10) % 97),
        b'a'..=b'z' => Some((rest * 100 + u32::from(byte - b'a') + 10) % 97),
        _ => None,
    })
}

/// How long an IBAN of each country is (SWIFT's registry).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// How long the IBAN is that begins with these letters.
pub(crate) fn iban_length(country: &[u8]) -> Option<usize> {
    let country = [country.first()?.to_ascii_uppercase(), country.get(1)?.to_ascii_uppercase()];
    IBAN_LENGTHS.iter().find(|(code, _)| **code == country).map(|(_, n)| *n)
}

/// An IBAN: the country's length and the remainder 1 by 97.
pub(crate) fn iban(text: &[u8]) -> bool {
    iban_length(text) == Some(text.len()) && mod97(text[4..].iter().chain(&text[..4]).copied()) == Some(1)
}

/// An American social security number by its areas: no 000, 666 or 9xx, no group 00, no serial 0000, no known sample.
pub(crate) fn ssn(digits: &[u8]) -> bool {
    let area = &digits[..3];
    digits.len() == 9
        && area != b"000"
        && area != b"666"
        && area[0] != b'9'
        && &digits[3..5] != b"00"
        && &digits[5..] != b"0000"
        && !matches!(digits, b"078051120" | b"123456789" | b"219099999")
        && !digits.iter().all(|d| *d == digits[0])
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// A base58 string whose last four bytes are the check sum of the rest.
pub(crate) fn base58check(text: &[u8]) -> bool {
    if text.len() > 120 {
        return false;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(90);
    for letter in text {
        let Some(value) = BASE58.iter().position(|known| known == letter) else { return false };
        let mut carry = value;
        for byte in &mut bytes {
            carry += usize::from(*byte) * 58;
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
            carry >>= 8;
        }
    }
    bytes.extend(text.iter().take_while(|letter| **letter == b'1').map(|_| 0));
    bytes.reverse();
    if bytes.len() < 21 {
        return false;
    }
    let (body, sum) = bytes.split_at(bytes.len() - 4);
    Sha256::digest(Sha256::digest(body))[..4] == *sum
}

/// A bech32 or bech32m address of a wallet.
pub(crate) fn bech32(text: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let lower = text.to_ascii_lowercase();
    let Some(one) = lower.iter().rposition(|byte| *byte == b'1') else { return false };
    if one == 0 || lower.len() - one < 7 || lower.len() > 90 {
        return false;
    }
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let mut sum = (sum & 0x01ff_ffff) << 5 ^ value;
        for (i, term) in [0x3b6a_57b2u32, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3].into_iter().enumerate() {
            if top >> i & 1 == 1 {
                sum ^= term;
            }
        }
        sum
    };
    let mut sum = 1;
    sum = lower[..one].iter().fold(sum, |sum, byte| step(sum, u32::from(byte >> 5)));
    sum = step(sum, 0);
    sum = lower[..one].iter().fold(sum, |sum, byte| step(sum, u32::from(byte & 31)));
    for byte in &lower[one + 1..] {
        let Some(value) = (0u32..).zip(ALPHABET).find(|(_, known)| *known == byte) else { return false };
        sum = step(sum, value.0);
    }
    sum == 1 || sum == 0x2bc8_30a3
}

/// Verhoeff's sum, by which Aadhaar numbers are checked.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const TURN: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: usize, b: usize| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let mut sum = 0;
    for (i, d) in digits.iter().rev().enumerate() {
        let mut d = digit(*d) as usize;
        for _ in 0..i % 8 {
            d = TURN[d];
        }
        sum = product(sum, d);
    }
    sum == 0
}

/// The sum of digits times weights.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(d, weight)| digit(*d) * weight).sum()
}

/// The number that these digits spell.
pub(crate) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, d| sum.wrapping_mul(10).wrapping_add(u64::from(digit(*d))))
}

/// ISO 7064 mod 11, 10, by which German and Croatian tax numbers are checked.
pub(crate) fn mod11_10(digits: &[u8]) -> bool {
    let Some((last, body)) = digits.split_last() else { return false };
    let mut product = 10;
    for d in body {
        let mut sum = (digit(*d) + product) % 10;
        if sum == 0 {
            sum = 10;
        }
        product = sum * 2 % 11;
    }
    (11 - product) % 10 == digit(*last)
}

/// The remainder 1 by 97 of body and check digits together, or 97 less the remainder, as in Belgium and France.
pub(crate) fn rest97(body: u64, check: u64) -> bool {
    97 - body % 97 == check
}

/// A day and a month that exist.
pub(crate) fn day_month(day: u64, month: u64) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_hold_for_published_samples_and_fail_one_digit_off() {
        for (case, good, bad, check) in [
            ("visa", &b"4111111111111111"[..], &b"4111111111111112"[..], card as fn(&[u8]) -> bool),
            ("amex", b"378282246310005", b"378282246310015", card),
            ("iban", b"DE89370400440532013000", b"DE89370400440532013001", iban),
            ("iban of another length", b"GB82WEST12345698765432", b"GB82WEST1234569876543", iban),
            ("bitcoin", b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", base58check),
            (
                "segwit",
                b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
                bech32,
            ),
            ("verhoeff", b"2363", b"2364", verhoeff),
            ("ssn", b"536904399", b"666904399", ssn),
            ("mod 11,10", b"86095742719", b"86095742718", mod11_10),
        ] {
            assert!(check(good), "{case}");
            assert!(!check(bad), "{case}, spoilt");
        }
    }

    #[test]
    fn what_has_other_characters_or_another_length_proves_nothing() {
        assert_eq!(mod97(b"DE 9".iter().copied()), None, "a space");
        assert_eq!(mod97(b"de9".iter().copied()), mod97(b"DE9".iter().copied()), "small letters count as capitals");
        assert!(iban(b"de89370400440532013000"), "an IBAN in small letters");
        for (case, text) in [
            ("a letter that base58 does not use", &b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVO2"[..]),
            ("too short", b"1BvBMSEYst"),
            ("too long", &[b'1'; 121]),
        ] {
            assert!(!base58check(text), "{case}");
        }
        for (case, text) in [
            ("no sign in between", &b"bcqw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"[..]),
            ("nothing before the sign", b"1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
            ("too little behind the sign", b"bc1qw508"),
            ("a letter that bech32 does not use", b"bc1bw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ] {
            assert!(!bech32(text), "{case}");
        }
        assert!(!mod11_10(b""), "no digits");
    }

    #[test]
    fn cards_have_the_lengths_and_beginnings_of_their_issuers() {
        // Luhn's last digit is put behind each.
        let luhn_of = |body: &str| {
            let with = |last: u8| [body.as_bytes(), &[last]].concat();
            (b'0'..=b'9').map(with).find(|digits| luhn(digits)).expect("one of ten digits fits")
        };
        for (issuer, body, good) in [
            ("Visa of 13", "411111111111", true),
            ("Visa of 14", "4111111111111", false),
            ("Visa of 19", "411111111111111111", true),
            ("Mastercard", "510510510510510", true),
            ("Mastercard of the 2 series", "222300004841001", true),
            ("before the 2 series", "222000004841001", false),
            ("Mir", "220000000000000", true),
            ("enRoute", "20140000000000", true),
            ("Maestro", "50180000000", true),
            ("Diners of 14", "3056930902590", true),
            ("Diners of 16", "365693090259012", true),
            ("JCB", "353011133330000", true),
            ("JCB of 15", "18000000000001", true),
            ("JCB of 15 and 2131", "21310000000000", true),
            ("JCB of 35 at large", "351983325766585", true),
            ("3 of 13", "300000000000", false),
            ("Discover", "601111111111111", true),
            ("UnionPay", "620000000000000", true),
            ("Maestro of 6", "63040000000", true),
            ("RuPay", "817200000000000", true),
            ("Troy", "979200000000000", true),
            ("no issuer", "711111111111111", false),
            ("too short", "4111111111", false),
            ("too long", "4111111111111111111", false),
        ] {
            assert_eq!(card(&luhn_of(body)), good, "{issuer}");
        }
        assert!(!card(b"4444444444444444"), "one digit over and over");
        assert!(like_card(&luhn_of("711111111111111")), "no issuer, but the sum of one");
        assert!(!like_card(b"0000000000000000"), "one digit over and over");
    }
}
