//! Secrets of many lines or words: private keys, seed phrases, password hashes.
//!
//! A private key whose end is missing is hidden as far as it could reach: unfinished means closed.

use std::sync::LazyLock;

use crate::class::Class;
use crate::values::Look;

/// No private key is longer.
pub(crate) const KEY_MAX: usize = 24 << 10;

/// Lines of armour: where they begin and end, and whether a key stands between them.
pub(crate) struct Armour {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) holds_key: bool,
}

/// A private key in armour, at its `BEGIN`: from the dashes to the end line, or to where its lines stop.
pub(crate) fn find_armour(text: &[u8], begin: usize) -> Option<Armour> {
    let label = &text[begin..text.len().min(begin + 80)];
    let close = memchr::memmem::find(&label[5..], b"-----")
        .or_else(|| memchr::memmem::find(&label[5..], b" ----"))
        .map(|i| i + 5);
    let line_end = memchr::memchr2(b'\n', b'\\', label).unwrap_or(label.len());
    let head = &label[..close.unwrap_or(line_end).min(label.len())];
    if memchr::memmem::find(head, b"PRIVATE").is_none() && memchr::memmem::find(head, b"ENCRYPTED").is_none() {
        return None;
    }
    let start = begin - text[..begin].iter().rev().take(6).take_while(|b| matches!(b, b'-' | b' ')).count();
    let body = begin + head.len();
    let reach = text.len().min(begin + KEY_MAX);
    if let Some(end) = memchr::memmem::find(&text[body..reach], b"-----END")
        .or_else(|| memchr::memmem::find(&text[body..reach], b"---- END"))
    {
        let after = body + end + 8;
        let close =
            memchr::memmem::find(&text[after..text.len().min(after + 80)], b"----").map_or(after, |i| after + i);
        let end = close + text[close..].iter().take(5).take_while(|b| **b == b'-').count();
        // Programs name the first line and the last with no key between them.
        return Some(Armour { start, end, holds_key: holds_key(&text[body..after - 8]) });
    }
    Some(Armour { start, end: loose_end(text, body, reach), holds_key: true })
}

/// Tells whether there is a stretch of base64 in a key's body.
fn holds_key(body: &[u8]) -> bool {
    body.split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))).any(|run| run.len() >= KEY_RUN)
}

/// The least stretch of base64 that is part of a key.
const KEY_RUN: usize = 20;

/// Where the lines of base64 stop, when nothing says that they do.
fn loose_end(text: &[u8], from: usize, reach: usize) -> usize {
    let mut end = from;
    let mut at = from;
    while at < reach {
        let stop = memchr::memchr(b'\n', &text[at..reach]).map_or(reach, |i| at + i);
        let line = text[at..stop].trim_ascii();
        // The first line may hold the rest of the label; header lines name an algorithm; the rest is base64, perhaps escaped.
        let plain = line.iter().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'+' | b'/' | b'=' | b'-' | b'\\' | b',' | b'"' | b'\'' | b'>' | b'|' | b'.' | b'_')
        });
        let header = line.starts_with(b"Proc-Type:")
            || line.starts_with(b"DEK-Info:")
            || line.starts_with(b"Version:")
            || line.starts_with(b"Comment:");
        let long_gap = line.is_empty()
            && end > from + 100
            && text[stop..reach].trim_ascii_start().iter().take(40).filter(|b| b.is_ascii_alphanumeric()).count() < 30;
        if at != from && (!(plain || header) || long_gap) {
            break;
        }
        end = if line.is_empty() { end } else { stop };
        at = stop + 1;
    }
    end.max(from)
}

/// A key file of PuTTY, at its first words, through its last line.
pub(crate) fn find_putty(text: &[u8], at: usize) -> usize {
    let reach = text.len().min(at + KEY_MAX);
    let Some(mac) = memchr::memmem::find(&text[at..reach], b"Private-MAC:") else { return reach };
    memchr::memchr(b'\n', &text[at + mac..reach]).map_or(reach, |i| at + mac + i)
}

/// What was read of stored passwords, so that a run of their characters is read once.
#[derive(Default)]
pub(crate) struct Hashes {
    /// Where the last one that was found ends.
    pub(crate) to: usize,
    /// The run that was read last.
    run: (usize, usize),
    /// No part that begins in this stretch is as long as a sum.
    short: (usize, usize),
}

impl Hashes {
    /// Where the run ends that goes on at `at`.
    fn run(&mut self, text: &[u8], at: usize) -> usize {
        if at < self.run.0 || at >= self.run.1 {
            let inside = |b: &&u8| b.is_ascii_alphanumeric() || b"$./+=,-_*@{}:#".contains(b);
            self.run = (at, at + text[at..].iter().take_while(inside).count());
        }
        self.run.1.min(at + 4096)
    }

    /// Tells whether one of the parts of `text[from..to]` is as long as a sum.
    fn holds_sum(&mut self, text: &[u8], from: usize, to: usize) -> bool {
        let begin = if (self.short.0..self.short.1).contains(&from) { self.short.1.min(to) } else { from };
        let mut at = begin;
        while at < to {
            let n = text[at..to].iter().take(SUM_MIN).take_while(|b| !matches!(b, b'$' | b'#')).count();
            if n == SUM_MIN {
                return true;
            }
            // What the end of the stretch cut off may be longer than was seen.
            if at + n == to {
                break;
            }
            at += n + 1;
        }
        self.short = (if begin == from { from } else { self.short.0 }, at);
        false
    }
}

/// A stored password's sum is at least this long.
const SUM_MIN: usize = 20;

/// A password hash as `crypt` and its heirs write it, at its dollar or brace, and where it ends; its way has a name of `n` characters.
pub(crate) fn find_hash(text: &[u8], at: usize, n: usize, hashes: &mut Hashes) -> Option<usize> {
    if text[at] == b'$' && !is_way(&text[at + 1..at + 1 + n]) {
        return None;
    }
    let mut found = &text[at..hashes.run(text, at)];
    if found.starts_with(b"$") {
        // `/etc/shadow` goes on after a colon; a ticket of Kerberos does not end there.
        if !found.starts_with(b"$krb5")
            && let Some(colon) = memchr::memchr(b':', found)
        {
            found = &found[..colon];
        }
        let name_end = memchr::memchr(b'$', &found[1..])? + 1;
        let name = &found[1..name_end];
        let body = &found[name_end + 1..];
        // Juniper's hidden passwords are as short as passwords are.
        if name == b"9" && body.len() <= 512 && body.len() >= 10 && memchr::memchr2(b'$', b'#', body).is_none() {
            return Some(at + found.len());
        }
        let from = at + name_end + 1;
        let long = hashes.holds_sum(text, from, from + body.len().min(512));
        return (is_way(name) && long).then_some(at + found.len());
    }
    let close = memchr::memchr(b'}', found)?;
    let body = &found[close + 1..];
    let known = found[1..close].len() <= 16
        && matches!(
            found[1..close].to_ascii_uppercase().split(|b| *b == b'-').next().unwrap_or_default(),
            b"SSHA"
                | b"SHA"
                | b"SMD5"
                | b"MD5"
                | b"CRYPT"
                | b"SSHA256"
                | b"SSHA512"
                | b"SHA256"
                | b"SHA512"
                | b"PBKDF2"
                | b"BCRYPT"
                | b"SCRYPT"
                | b"ARGON2"
        );
    (known && body.len() >= 12).then_some(at + found.len())
}

/// Tells whether it is the name of a way to store passwords, between dollars.
fn is_way(name: &[u8]) -> bool {
    matches!(
        name,
        b"1" | b"2"
            | b"2a"
            | b"2b"
            | b"2x"
            | b"2y"
            | b"3"
            | b"5"
            | b"6"
            | b"7"
            | b"8"
            | b"9"
            | b"y"
            | b"gy"
            | b"md5"
            | b"sha1"
            | b"apr1"
            | b"P"
            | b"H"
            | b"S"
    ) || [&b"argon2"[..], b"pbkdf2", b"scrypt", b"bcrypt", b"krb5", b"NETNTLM"].iter().any(|way| name.starts_with(way))
        || matches!(name, b"DCC2" | b"ml" | b"s0")
}

/// What such a name begins with, and the empty half of a sum of Windows.
pub(crate) const STORED: [&str; 10] =
    ["pbkdf2", "scrypt", "argon2$", "bcrypt", "scram-sha-", "sha1$", "sha256$", "sha512$", "md5", "aad3b435b51404ee"];

/// A stored password that begins with the name of its way: `pbkdf2_sha256$260000$salt$sum` (Django),
/// `scrypt:32768:8:1$salt$sum` (Werkzeug), `SCRAM-SHA-256$4096:salt$keys` and `md5` with its sum (PostgreSQL), `grub.pbkdf2.…`,
/// and the empty half of a sum of Windows; `at` is where the name begins.
pub(crate) fn find_named_hash(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let joined = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'$' | b'{' | b'_' | b'-' | b'/');
    let grub = text[..at].ends_with(b"grub.");
    let start = if grub { at - 5 } else { at };
    if text[..start].last().is_some_and(joined) {
        return None;
    }
    let inside = |b: &&u8| b.is_ascii_alphanumeric() || b"$./+=:,_-".contains(b);
    let n = text[at..].iter().take(1024).take_while(inside).count();
    let found = &text[at..at + n];
    let hex = |part: &[u8], len: usize| part.len() == len && part.iter().all(u8::is_ascii_hexdigit);
    if found.len() == 35 && hex(&found[3..], 32) {
        return found[..3].eq_ignore_ascii_case(b"md5").then_some((start, at + n));
    }
    if found.len() >= 65 && hex(&found[..32], 32) && found[32] == b':' && hex(&found[33..65], 32) {
        return Some((start, at + 65));
    }
    let sum = found.rsplit(|b| matches!(b, b'$' | b':' | b'.')).next().unwrap_or_default();
    let sign = if grub { b'.' } else { b'$' };
    let parts = memchr::memchr_iter(sign, found).count();
    let way = &found[..memchr::memchr2(b'$', b':', found).unwrap_or(n)];
    let scram = way.len() > 9 && way[..6].eq_ignore_ascii_case(b"scram-");
    let enough = if scram { parts == 2 } else { parts >= 2 || parts == 1 && found.contains(&b':') };
    // A name of two ways (`pbkdf2:sha256`) has at most these signs; salts and sums are not part of it.
    let plain = way.len() <= 24 && !way.is_empty();
    (enough && (plain || grub) && sum.len() >= 20 && Look::of(sum).digits > 0).then_some((start, at + n))
}

/// `500:sum:sum:::` of Windows and `user:sum:17736:0:` of old Unix, at a number between colons: where the sums are.
pub(crate) fn find_account_hash(text: &[u8], at: usize, digits: usize) -> Option<(usize, usize)> {
    if at < 2 || text[at - 1] != b':' || text.get(at + digits) != Some(&b':') {
        return None;
    }
    // Two sums follow a user's number; where the first is missing, its place is filled up.
    let from = at + digits + 1;
    let field = |from: usize| text[from..].iter().take(40).take_while(|b| !matches!(b, b':' | b'\n')).count();
    let hex = |start: usize, n: usize| n == 32 && text[start..start + n].iter().all(u8::is_ascii_hexdigit);
    let n = field(from);
    let second = from + n + 1;
    if n == 32 && second < text.len() && text[second - 1] == b':' {
        let m = field(second);
        let none = text[from..].starts_with(b"NO PASSWORD***");
        if hex(second, m) && (none || hex(from, n)) && text[second + m..].starts_with(b":::") {
            return Some((if none { second } else { from }, second + m));
        }
    }
    // Thirteen signs of the old function, before the day of the last change or the user's number.
    let lead = &text[at.saturating_sub(24)..at - 1];
    let sum = &lead[memchr::memrchr(b':', lead)? + 1..];
    let old = sum.len() == 13 || sum.len() == 20 && sum.starts_with(b"_");
    let sign = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'_');
    let look = Look::of(sum);
    let drawn = look.upper > 1 && look.lower > 1 && (look.digits > 0 || look.other > 0 || look.changes > 4);
    let goes_on = text.get(from).is_some_and(u8::is_ascii_digit) && (2..=6).contains(&digits);
    (old && sum.iter().all(sign) && drawn && goes_on).then_some((at - 1 - sum.len(), at - 1))
}

/// The words of BIP-39, in order.
static SEED_WORDS: LazyLock<Vec<&'static [u8]>> =
    LazyLock::new(|| include_str!("bip39-english.txt").lines().map(|word| word.trim().as_bytes()).collect());

/// Which beginnings of four letters (shorter words end in a blank) the words have, by a hash: no two words have one in common.
static SEED_STARTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bits = vec![0; SEED_START_BITS / 64];
    for word in SEED_WORDS.iter() {
        let at = seed_start(word);
        bits[at / 64] |= 1 << (at % 64);
    }
    bits
});

const SEED_START_BITS: usize = 1 << 15;

fn seed_start(word: &[u8]) -> usize {
    let letter = |i: usize| u32::from(word.get(i).copied().unwrap_or(b' '));
    let four = letter(0) | letter(1) << 8 | letter(2) << 16 | letter(3) << 24;
    (four.wrapping_mul(0x9e37_79b1) >> 17) as usize
}

fn is_seed_word(word: &[u8]) -> bool {
    let start = seed_start(word);
    (3..=8).contains(&word.len())
        && SEED_STARTS[start / 64] >> (start % 64) & 1 == 1
        && SEED_WORDS.binary_search(&word).is_ok()
}

/// Runs of a wallet's words: at least this many in a row, nothing but space, commas or numbers between them.
pub(crate) const SEED_MIN: u32 = 11;

fn word_at(text: &[u8], at: usize) -> &[u8] {
    let n = text[at..].iter().take(9).take_while(|b| b.is_ascii_lowercase()).count();
    &text[at..at + n]
}

fn gap(text: &[u8], at: usize) -> usize {
    text[at..]
        .iter()
        .take(8)
        .take_while(|b| b.is_ascii_whitespace() || b.is_ascii_digit() || b",.)\"'".contains(b))
        .count()
}

/// Such a run is at least this long, so that looking once in each such stretch meets it.
const SEED_STRIDE: usize = 24;

/// Finds runs of seed words. One word a stride is looked up, and a run that holds it is then read both ways.
pub(crate) fn find_seeds(text: &[u8], found: &mut dyn FnMut(usize, usize)) {
    let mut at = 0;
    let mut done = 0;
    while at < text.len() {
        // The first word that begins at or after the place, if it is near.
        let inside = at > 0 && text[at - 1].is_ascii_lowercase();
        let skip = if inside { text[at..].iter().take(9).take_while(|b| b.is_ascii_lowercase()).count() } else { 0 };
        let space = text[(at + skip).min(text.len())..].iter().take(4).take_while(|b| !b.is_ascii_lowercase()).count();
        let start = at + skip + space;
        let word = if start < text.len() { word_at(text, start) } else { b"" };
        if !is_seed_word(word) {
            at += SEED_STRIDE;
            continue;
        }
        at = start + word.len();
        let mut words = 1;
        let mut first = start;
        while first > done {
            let Some(end) = text[done..first].iter().rposition(u8::is_ascii_lowercase).map(|i| done + i + 1) else {
                break;
            };
            if first - end == 0 || gap(text, end) != first - end {
                break;
            }
            let n = text[done..end].iter().rev().take(9).take_while(|b| b.is_ascii_lowercase()).count();
            if !is_seed_word(&text[end - n..end]) {
                break;
            }
            first = end - n;
            words += 1;
        }
        let mut last = at;
        loop {
            let space = gap(text, last);
            let word = word_at(text, last + space);
            if space == 0 || word.is_empty() || !is_seed_word(word) {
                break;
            }
            last += space + word.len();
            words += 1;
        }
        if words >= SEED_MIN {
            found(first, last);
        }
        done = last;
        at = last.max(at + SEED_STRIDE / 2);
    }
}

/// Words after a name that announces them (`seed phrase:`): at least ten, in lower case.
pub(crate) fn words_after(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let skip = text[from..].iter().take(24).take_while(|b| !b.is_ascii_lowercase()).count();
    let start = from + skip;
    let mut end = start;
    let mut words = 0;
    loop {
        let n = text[end.min(text.len())..].iter().take(10).take_while(|b| b.is_ascii_lowercase()).count();
        if !(3..=9).contains(&n) {
            break;
        }
        end += n;
        words += 1;
        let space = gap(text, end);
        if space == 0 || words == 25 || !text.get(end + space).is_some_and(u8::is_ascii_lowercase) {
            break;
        }
        end += space;
    }
    let end = start + text[start..end].trim_ascii_end().len();
    (words >= 10).then_some((start, end))
}

/// The seed in the link of a one-time password.
pub(crate) fn find_otp(text: &[u8], at: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let n = text[at..]
        .iter()
        .take(1024)
        .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'<'))
        .count();
    if let Some(i) = memchr::memmem::find(&text[at..at + n], b"secret=") {
        let start = at + i + 7;
        let end = start + text[start..at + n].iter().take_while(|b| **b != b'&').count();
        hide(start, end, Class::TotpSeed);
    }
}
