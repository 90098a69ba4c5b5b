//! Another number of the same form, for fields whose reader insists on one.
//!
//! FF1 (NIST SP 800-38G) over the digits, and a mark in the number itself: a card that begins with 0, a length of card that is no
//! telephone number's, an account whose check digits nobody is given, and sums that do not come out. So it is never found again.

use aes::Aes256;
use fpe::ff1::{FF1, FlexibleNumeralString};

use super::{Personal, TokenKey};
use crate::{Policy, Raw, Rules, checks, class::Class};

/// How many numbers are tried until one is found that nothing takes for a finding.
const TRIES: u8 = 16;
/// Telephone numbers have at most 15 digits, so a number of so many is taken for none.
const CARD_MIN: usize = 16;

/// Returns another number in the dress of `value`, or `None` when there is none that would stay unseen behind `before`.
pub(super) fn reshape(key: &TokenKey, epoch: u32, value: Personal<'_>, before: &str) -> Option<String> {
    let class = value.class();
    let characters: Vec<u8> = value.text().bytes().filter(u8::is_ascii_alphanumeric).collect();
    let secret = key.derive("hearth/fpe/1", class, epoch);
    let cipher = FF1::<Aes256>::new(secret.as_ref(), 10).ok()?;
    (0..TRIES).find_map(|tweak| {
        let number = match class {
            Class::CreditCard => card(&cipher, tweak, &characters)?,
            Class::Iban => account(&cipher, tweak, &characters)?,
            _ => return None,
        };
        let dressed = dress(value.text(), &number);
        unseen(before, &dressed).then_some(dressed)
    })
}

/// A leading zero, which no issuer has, and the digits but the check digit, encrypted.
fn card(cipher: &FF1<Aes256>, tweak: u8, digits: &[u8]) -> Option<Vec<u8>> {
    if digits.len() < CARD_MIN || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut number = vec![b'0'];
    number.extend(encrypt(cipher, tweak, &digits[..digits.len() - 1])?);
    Some(number).filter(|number| !checks::luhn(number))
}

/// The country and the letters of the bank, check digits that cannot be, and the other digits encrypted.
fn account(cipher: &FF1<Aes256>, tweak: u8, characters: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = characters.split_at_checked(4)?;
    let digits: Vec<u8> = rest.iter().copied().filter(u8::is_ascii_digit).collect();
    let mut new = encrypt(cipher, tweak, &digits)?.into_iter();
    let rest = rest.iter().map(|b| if b.is_ascii_digit() { new.next().unwrap_or(b'0') } else { *b });
    let mut number = vec![head[0], head[1], b'0', b'0'];
    number.extend(rest);
    // Check digits go from 02 to 98. The sum of 00 comes out where 97 stood, so one of these two never does.
    [b'0', b'1'].into_iter().find_map(|last| {
        number[3] = last;
        (!checks::iban(&number)).then(|| number.clone())
    })
}

fn encrypt(cipher: &FF1<Aes256>, tweak: u8, digits: &[u8]) -> Option<Vec<u8>> {
    // FF1 is not safe below a million values.
    if digits.len() < 6 {
        return None;
    }
    let numerals: Vec<u16> = digits.iter().map(|d| u16::from(d - b'0')).collect();
    let sealed = cipher.encrypt(&[tweak], &FlexibleNumeralString::from(numerals)).ok()?;
    let numerals = Vec::<u16>::from(sealed);
    Some(numerals.into_iter().filter_map(|n| u8::try_from(n).ok()).map(|n| n + b'0').collect())
}

/// Puts the characters where those of the old text stood, with its spaces and dashes.
fn dress(old: &str, number: &[u8]) -> String {
    let mut number = number.iter();
    old.chars()
        .map(|c| if c.is_ascii_alphanumeric() { number.next().map_or(c, |b| char::from(*b)) } else { c })
        .collect()
}

/// Words before a number can make it what it is not alone: a telephone's, an account's.
fn unseen(before: &str, number: &str) -> bool {
    let rules = Rules::with_policy(Policy::ALL);
    let spans = rules.redact_with_spans(Raw::new(format!("{before}{number}"))).1;
    spans.iter().all(|span| span.end <= before.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TokenKey = TokenKey::from_bytes([5; 32]);

    fn shaped(class: Class, text: &str) -> Option<String> {
        reshape(&KEY, 0, Personal::new(class, text).expect("no credential"), "")
    }

    #[test]
    fn the_form_stays_and_the_number_does_not() {
        let card = shaped(Class::CreditCard, "4111 1111-1111 1111").expect("sixteen digits");
        assert_eq!((card.len(), &card[..1], &card[4..5], &card[9..10]), (19, "0", " ", "-"), "{card}");
        let account = shaped(Class::Iban, "GB29 NWBK 6016 1331 9268 19").expect("fourteen digits");
        assert!(account.starts_with("GB0") && account[4..].starts_with(" NWBK ") && account.len() == 27, "{account}");
        assert_ne!(&account[10..], "6016 1331 9268 19");
    }

    #[test]
    fn it_is_the_same_each_time_and_another_for_another() {
        let one = shaped(Class::CreditCard, "4111111111111111");
        assert_eq!(one, shaped(Class::CreditCard, "4111111111111111"));
        assert_ne!(one, shaped(Class::CreditCard, "4012888888881881"));
        let other = TokenKey::from_bytes([6; 32]);
        let value = Personal::new(Class::CreditCard, "4111111111111111").expect("no credential");
        assert_ne!(one, reshape(&other, 0, value, ""));
        assert_ne!(one, reshape(&KEY, 1, value, ""), "another epoch");
    }

    #[test]
    fn what_could_be_taken_for_something_else_gets_no_form() {
        assert_eq!(shaped(Class::CreditCard, "378282246310005"), None, "fifteen digits may be a telephone number");
        assert_eq!(shaped(Class::Phone, "+49 30 1234567"), None);
        let value = Personal::new(Class::CreditCard, "4000 0000 0000 0002").expect("no credential");
        assert_eq!(reshape(&KEY, 0, value, "call "), None, "behind this word four groups are a telephone number");
    }
}
