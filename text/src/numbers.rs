//! What hides in digits: cards, bank accounts, social security and telephone numbers, wallets.
//!
//! A run of digits is read once, with the separators people put between groups, and offered to each shape in turn.

use std::cell::OnceCell;

use crate::checks;
use crate::class::Class;
use crate::values::Look;

/// Digits in groups, as they stand in the text.
pub(crate) struct Groups {
    /// Where each group begins and ends.
    pub(crate) spans: Vec<(usize, usize)>,
    /// All digits, separators left out.
    pub(crate) digits: Vec<u8>,
}

/// Reads digits from `at`: groups with one separator of `separators` between them, at most `most` digits.
pub(crate) fn groups(text: &[u8], at: usize, separators: &[u8], most: usize) -> Groups {
    let mut spans = Vec::new();
    let mut digits = Vec::new();
    let mut from = at;
    while digits.len() < most {
        let n = text[from..].iter().take(most + 1).take_while(|b| b.is_ascii_digit()).count();
        if n == 0 {
            break;
        }
        digits.extend_from_slice(&text[from..from + n]);
        spans.push((from, from + n));
        let Some(sign) = text.get(from + n) else { break };
        if !separators.contains(sign) || !text.get(from + n + 1).is_some_and(u8::is_ascii_digit) {
            break;
        }
        from += n + 1;
    }
    Groups { spans, digits }
}

fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(b' ', |i| text[i])
}

fn after(text: &[u8], end: usize) -> u8 {
    text.get(end).copied().unwrap_or(b' ')
}

/// Tells whether a number may begin at `at`: not inside a word, a decimal or a longer number.
fn free_before(text: &[u8], at: usize) -> bool {
    let b = before(text, at);
    if b.is_ascii_alphanumeric() {
        // An escape such as `\n` is no word.
        return at >= 2 && text[at - 2] == b'\\' && matches!(b, b'n' | b't' | b'r');
    }
    b != b'_' && !(matches!(b, b'.' | b',') && at >= 2 && text[at - 2].is_ascii_digit())
}

fn free_after(text: &[u8], end: usize) -> bool {
    let b = after(text, end);
    !(b.is_ascii_alphanumeric() || b == b'_' || b == b'.' && after(text, end + 1).is_ascii_digit())
}

/// Words that say that a card's number follows. Names of programs run them together.
const CARD_WORDS: &[&str] = &[
    "card",
    "cards",
    "creditcard",
    "debitcard",
    "paymentcard",
    "cardnumber",
    "cardno",
    "ccnumber",
    "ccnum",
    "cc",
    "ccn",
    "credit",
    "debit",
    "visa",
    "mastercard",
    "maestro",
    "amex",
    "american express",
    "diners",
    "discover",
    "jcb",
    "unionpay",
    "pan",
    "kreditkarte",
    "karte",
    "kartennummer",
    "carte",
    "tarjeta",
    "carta",
    "cartão",
    "kaart",
    "kort",
    "karta",
];

/// A payment card that begins at `at`.
pub(crate) fn find_card(text: &[u8], at: usize) -> Option<usize> {
    if !free_before(text, at) || matches!(before(text, at), b'-' if at >= 2 && text[at - 2].is_ascii_hexdigit()) {
        return None;
    }
    let separator = [b' ', b'-', b'.'].into_iter().find(|s| text[at..].iter().take(7).any(|b| b == s));
    let found = groups(text, at, &separator.map_or(vec![], |s| vec![s]), 19);
    let first = found.spans.first().map_or(0, |(start, end)| end - start);
    let mut n = 0;
    for (i, (start, end)) in found.spans.iter().enumerate() {
        n += end - start;
        let grouped = i > 0;
        let sane = !grouped || (first == 4 && (2..=7).contains(&(end - start)));
        // Three groups of four are also an Aadhaar number; a card of twelve digits stands in one piece.
        let lengthy = (12..=19).contains(&n) && !(grouped && n < 14);
        let dash = after(text, *end) == b'-' && after(text, *end + 1).is_ascii_alphanumeric();
        if sane && lengthy && !dash && free_after(text, *end) && is_card(text, at, *end, &found.digits[..n], grouped) {
            return Some(*end);
        }
    }
    None
}

/// Lengths that most issuers use prove themselves; the others, and numbers that no known issuer gives, need a word before
/// them or a line of their own.
fn is_card(text: &[u8], start: usize, end: usize, digits: &[u8], grouped: bool) -> bool {
    if !checks::like_card(digits) {
        return false;
    }
    let issued = checks::card(digits);
    let common = grouped || digits.len() == 16 || matches!(digits.len(), 14 | 15) && !matches!(digits[0], b'5' | b'6');
    issued && (common || alone(text, start, end)) || (issued || !grouped) && context(text, start, CARD_WORDS)
}

/// Tells whether the number is all that its line holds, and no column of numbers goes on above or below it.
pub(crate) fn alone(text: &[u8], start: usize, end: usize) -> bool {
    let left = &text[start.saturating_sub(40)..start];
    let right = &text[end..text.len().min(end + 40)];
    let (above, lead) = match memchr::memrchr(b'\n', left) {
        Some(i) => (&left[..i], &left[i + 1..]),
        None => (&b""[..], left),
    };
    let (rest, below) = match memchr::memchr(b'\n', right) {
        Some(i) => (&right[..i], &right[i + 1..]),
        None => (right, &b""[..]),
    };
    let above = &above[memchr::memrchr(b'\n', above).map_or(0, |i| i + 1)..];
    let below = &below[..memchr::memchr(b'\n', below).unwrap_or(below.len())];
    let blank = |line: &[u8]| line.len() < 40 && line.iter().all(u8::is_ascii_whitespace);
    let number = |line: &[u8]| {
        line.iter().any(u8::is_ascii_digit) && !line.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80)
    };
    blank(lead) && blank(rest) && !number(above) && !number(below)
}

/// An IBAN whose check digits stand at `at`: gives its beginning and end.
pub(crate) fn find_iban(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(2)?;
    if !text[start..at].iter().all(u8::is_ascii_alphabetic)
        || before(text, start).is_ascii_alphanumeric() && !(start >= 2 && text[start - 2] == b'\\')
    {
        return None;
    }
    let length = checks::iban_length(&text[start..at])?;
    let mut letters = Vec::with_capacity(34);
    let mut end = start;
    while letters.len() < length {
        let b = *text.get(end)?;
        if b.is_ascii_alphanumeric() {
            letters.push(b.to_ascii_uppercase());
        } else if !(matches!(b, b' ' | b'-' | b'.') && end > start + 1 && text[end - 1].is_ascii_alphanumeric()) {
            return None;
        }
        end += 1;
    }
    (!after(text, end).is_ascii_alphanumeric() && checks::iban(&letters)).then_some((start, end))
}

/// A word that announces a number stands at most so far before it.
const LEAD: usize = 48;

/// Tells whether one of these words, in lower case, stands shortly before `at`, as a word of its own.
pub(crate) fn context(text: &[u8], at: usize, words: &[&str]) -> bool {
    Lead::of(text, at).says(words)
}

/// What stands shortly before a number, in lower case.
pub(crate) struct Lead {
    bytes: [u8; LEAD],
    len: usize,
    /// Where a word may begin, and the letters that stand there.
    starts: u64,
    firsts: u64,
}

impl Lead {
    pub(crate) fn of(text: &[u8], at: usize) -> Self {
        let mut bytes = [0; LEAD];
        let from = at.saturating_sub(LEAD);
        let len = at - from;
        bytes[..len].copy_from_slice(&text[from..at]);
        bytes.make_ascii_lowercase();
        let (mut letters, mut others) = (0_u64, 0_u64);
        for (i, byte) in bytes.iter().enumerate() {
            letters |= u64::from(byte.is_ascii_lowercase()) << i;
            others |= u64::from(*byte >= 0x80) << i;
        }
        let starts = (letters | others) & !(letters << 1) & ((1 << len) - 1);
        let (mut rest, mut firsts) = (starts, 0);
        while rest != 0 {
            firsts |= Self::bit(bytes[rest.trailing_zeros() as usize]);
            rest &= rest - 1;
        }
        Self { bytes, len, starts, firsts }
    }

    fn bit(byte: u8) -> u64 {
        1 << (byte & 63)
    }

    /// Tells whether one of these words, in lower case, stands there as a word of its own.
    pub(crate) fn says(&self, words: &[&str]) -> bool {
        let lead = &self.bytes[..self.len];
        let firsts = words.iter().fold(0, |firsts, word| firsts | Self::bit(word.as_bytes()[0]));
        let mut starts = if firsts & self.firsts == 0 { 0 } else { self.starts };
        while starts != 0 {
            let rest = &lead[starts.trailing_zeros() as usize..];
            starts &= starts - 1;
            let begins = |word: &&str| {
                word.as_bytes()[0] == rest[0]
                    && rest.starts_with(word.as_bytes())
                    && !rest.get(word.len()).is_some_and(|b| b.is_ascii_lowercase() && *b != b's')
            };
            if firsts & Self::bit(rest[0]) != 0 && words.iter().any(begins) {
                return true;
            }
        }
        false
    }
}

const SSN_WORDS: &[&str] =
    &["ssn", "ssns", "social security", "social security number", "social security no", "socialsecuritynumber"];

/// A social security number at `at`: in the usual groups, or nine digits that a word announces or that are the whole text.
pub(crate) fn find_ssn(text: &[u8], at: usize) -> Option<usize> {
    if !free_before(text, at) || (before(text, at) == b'-' && at >= 2 && text[at - 2].is_ascii_alphanumeric()) {
        return None;
    }
    for separator in [b'-', b' ', b'.'] {
        let found = groups(text, at, &[separator], 9);
        if let [(a, b), (c, d), (e, f)] = found.spans[..]
            && b - a == 3
            && d - c == 2
            && f - e == 4
        {
            let more = after(text, f) == separator && after(text, f + 1).is_ascii_digit();
            return (free_after(text, f) && !more && checks::ssn(&found.digits)).then_some(f);
        }
    }
    let n = text[at..].iter().take(10).take_while(|b| b.is_ascii_digit()).count();
    (n == 9
        && free_after(text, at + 9)
        && checks::ssn(&text[at..at + 9])
        && (context(text, at, SSN_WORDS) || (at < 4 && text.len() < at + 13 && alone(text, at, at + 9))))
    .then_some(at + 9)
}

const PHONE_WORDS: &[&str] = &[
    "phone",
    "tel",
    "telephone",
    "mobile",
    "cell",
    "call",
    "fax",
    "contact",
    "telefon",
    "handy",
    "mobil",
    "sms",
    "whatsapp",
    "dial",
    "text me",
    "reach",
    "hotline",
    "landline",
    "number is",
    "ring",
    "phone_number",
    "rufnummer",
    "numéro",
    "teléfono",
];

/// A telephone number whose first digit stands at `at`: gives its beginning and end.
pub(crate) fn find_phone(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut start = at;
    let open = before(text, at) == b'(';
    if open {
        start -= 1;
    }
    let mut plus = false;
    if before(text, start) == b'+' {
        start -= 1;
        plus = true;
    }
    if !plus && open && start >= 2 && text[start - 1] == b' ' && text[start - 2].is_ascii_digit() {
        return None;
    }
    let lead = before(text, start);
    if lead.is_ascii_alphanumeric() && !(start >= 2 && text[start - 2] == b'\\')
        || matches!(lead, b'_' | b'.' | b'/' | b'#' | b'$' | b'%' | b'=' | b'-' | b':' | b'@' | b'+')
            && !plus
            && start >= 2
            && !matches!(lead, b'=' | b':')
    {
        return None;
    }
    // The end of a time: `16:40:03 2021 -0400`.
    if lead == b':' && start >= 2 && text[start - 2].is_ascii_digit() || plus && lead == b'+' {
        return None;
    }
    // Read digits with the signs people write between groups: at most two in a row, as in `) `.
    let mut end = at;
    let mut digits = [0_u8; 16];
    let mut n = 0;
    let mut signs = 0;
    let mut gap = 0;
    let mut depth = i32::from(open);
    let mut groups = [0_usize; 16];
    let mut last = 0;
    let mut dots = 0;
    let mut slashes = 0;
    // Signs count once a digit follows them.
    let mut waiting = (0, 0, 0);
    let mut at_read = at;
    while let Some(b) = text.get(at_read) {
        match b {
            b'0'..=b'9' => {
                if gap > 0 && n < digits.len() {
                    last += 1;
                    gap = 0;
                    signs += waiting.0;
                    dots += waiting.1;
                    slashes += waiting.2;
                    waiting = (0, 0, 0);
                }
                if n == digits.len() {
                    return None;
                }
                digits[n] = *b;
                n += 1;
                groups[last] += 1;
                at_read += 1;
                end = at_read;
                continue;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            b' ' | b'-' => {}
            b'.' => waiting.1 += 1,
            b'/' => waiting.2 += 1,
            _ => break,
        }
        gap += 1;
        waiting.0 += 1;
        if gap > 3 || !(0..=1).contains(&depth) {
            break;
        }
        at_read += 1;
    }
    let (digits, groups) = (&digits[..n], &groups[..=last]);
    if !(7..=15).contains(&n) || !free_after(text, end) && !matches!(after(text, end), b'x') {
        return None;
    }
    // An extension belongs to it.
    let rest = &text[end..text.len().min(end + 12)];
    for mark in [&b" x"[..], b"x", b" ext. ", b" ext ", b" ext.", b" Ext. ", b" #", b" extension "] {
        if rest.starts_with(mark) {
            let m = text[end + mark.len()..].iter().take(6).take_while(|b| b.is_ascii_digit()).count();
            if m > 0 && m < 6 {
                end += mark.len() + m;
                break;
            }
        }
    }
    if after(text, end) == b'-' && after(text, end + 1).is_ascii_alphanumeric()
        || after(text, end) == b'/' && after(text, end + 1).is_ascii_digit()
        || after(text, end) == b':' && after(text, end + 1).is_ascii_digit()
    {
        return None;
    }
    let announced = OnceCell::new();
    let spoken = || *announced.get_or_init(|| context(text, start, PHONE_WORDS));
    // A post code, a span of years, a row of numbers.
    let years = groups == [4, 4] && matches!(&digits[..2], b"19" | b"20") && matches!(&digits[4..6], b"19" | b"20");
    let row = before(text, start) == b' ' && start >= 2 && text[start - 2].is_ascii_digit() && !plus && !open;
    if !plus && (groups == [5, 4] || years || row && !spoken()) || (dots > 0 && !plus && !open && signs != dots) {
        return None;
    }
    // A decimal below one.
    if digits[0] == b'0' && groups[0] == 1 && dots == 1 && groups.len() == 2 {
        return None;
    }
    if digits.iter().all(|d| *d == digits[0]) || (digits[0] == digits[n - 1] && Look::of(digits).distinct < 2) {
        return None;
    }
    if plus {
        return (n >= 8 && digits[0] != b'0' && groups.iter().all(|g| *g <= 12)).then_some((start, end));
    }
    if digits.starts_with(b"00") && n >= 11 && (signs > 0 || spoken()) && digits[2] != b'0' {
        return Some((start, end));
    }
    let north = |d: &[u8]| d.len() == 10 && d[0] >= b'2' && d[3] >= b'2' && !(d[1] == b'1' && d[2] == b'1');
    let body = if n == 11 && digits[0] == b'1' { &digits[1..] } else { digits };
    if north(body) {
        let shape: &[usize] = if body.len() < n && groups[0] == 1 { &groups[1..] } else { groups };
        if shape == [3, 3, 4] && slashes == 0 {
            return Some((start, end));
        }
        if (signs == 0 || shape == [3, 7] || shape == [10]) && spoken() {
            return Some((start, end));
        }
    }
    if body.len() == 10
        && n == 10
        && groups == [3, 3, 4]
        && (open || dots == 2 || before(text, start) == b' ' || start == 0 || spoken())
        && digits[0] != b'0'
        && slashes == 0
        && (signs > 2 || dots == 2 || body[0] >= b'2' || spoken())
    {
        return Some((start, end));
    }
    // National forms begin with a zero and stand in groups.
    if digits[0] == b'0'
        && digits[1] != b'0'
        && (9..=12).contains(&n)
        && (2..=6).contains(&groups.len())
        && groups[0] >= 2
        && dots == 0
        && groups.iter().all(|g| *g >= 2 && *g <= 8)
        && slashes <= 1
    {
        let dated = groups.len() == 3 && groups[0] == 2 && groups[1] == 2;
        return (!dated || spoken()).then_some((start, end));
    }
    if (7..=13).contains(&n)
        && (signs > 0 || n >= 9)
        && groups.iter().all(|g| *g >= 2)
        && groups.len() <= 6
        && dots <= 4
        && spoken()
    {
        let dated = groups.len() == 3
            && (groups[0] == 4 && groups[1] == 2 && groups[2] == 2 || groups[0] == 2 && groups[1] == 2);
        return (!dated).then_some((start, end));
    }
    None
}

/// A wallet at `at`: base58 with its check sum.
pub(crate) fn find_wallet(text: &[u8], at: usize) -> Option<usize> {
    if !crate::grammar::begins_here(text, at) {
        return None;
    }
    let n = text[at..].iter().take(40).take_while(|b| b.is_ascii_alphanumeric()).count();
    ((25..=36).contains(&n)
        && Look::of(&text[at..at + n]).lower + Look::of(&text[at..at + n]).upper > 4
        && checks::base58check(&text[at..at + n]))
    .then_some(at + n)
}

/// A password file's line, at a port between colons: `host:port:database:user:password`; or one of hashed passwords.
pub(crate) fn find_pgpass(text: &[u8], port: usize, digits: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    if let Some((start, end)) = crate::blocks::find_account_hash(text, port, digits) {
        return hide(start, end, Class::PasswordHash);
    }
    if before(text, port) != b':' || after(text, port + digits) != b':' || !(2..=5).contains(&digits) {
        return;
    }
    let from =
        text[..port].iter().rev().take(128).position(|b| *b == b'\n').map_or(port.saturating_sub(128), |i| port - i);
    let reach = text.len().min(port + 512);
    let line = memchr::memchr(b'\n', &text[port..reach]).map_or(reach, |i| port + i);
    let host = &text[from..port - 1];
    let rest = &text[port + digits + 1..line];
    let mut fields = rest.splitn(3, |b| *b == b':');
    let (Some(database), Some(user), Some(secret)) = (fields.next(), fields.next(), fields.next()) else { return };
    let name = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'*'))
    };
    let secret = secret.trim_ascii_end();
    if name(host)
        && name(database)
        && name(user)
        && secret.len() >= 4
        && !secret.contains(&b' ')
        && !database.iter().all(u8::is_ascii_digit)
        && !crate::values::is_stand_in(secret)
    {
        hide(
            line - (rest.len() - memchr::memmem::rfind(rest, secret).unwrap_or(0)),
            line - (text[..line].len() - text[..line].trim_ascii_end().len()),
            Class::Password,
        );
    }
}
