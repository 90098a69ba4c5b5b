//! Secrets under a name: `name=value` in every dress that configuration, programs, headers, links and people give it.
//!
//! A name counts by its parts (`db_password`, not `passed`; `api-key`, not `monkey`), and how much it says decides how much
//! the value must prove. Reading is bounded: a name of 96 bytes, the first 512 of a value.

use crate::class::Class;
use crate::values::{
    Dress, Look, Strength, is_compound, is_expression, is_fingerprint, is_random, is_secret, is_stand_in,
};

mod innocents;
mod names;

pub(crate) use names::HINTS;
use names::{Name, name_at, nameless_to};

/// So much of a value is judged; one that is longer is hidden to its end.
pub(crate) const VALUE_MAX: usize = 512;
const COOKIES_MAX: usize = 4096;

/// Skips blanks that stay on the line.
fn blanks(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(64).take_while(|b| matches!(b, b' ' | b'\t')).count()
}

/// Skips blanks, and one line break with its indentation.
fn blanks_and_break(text: &[u8], at: usize) -> usize {
    let mut at = blanks(text, at);
    if text.get(at) == Some(&b'\\') && matches!(text.get(at + 1), Some(b'\n')) {
        at += 1;
    }
    if text[at..].starts_with(b"\r\n") {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at = blanks(text, at + 1);
    }
    at
}

/// The quote that opens at `at`, as written: `"`, `'`, a back tick, or escaped ones.
fn quote(text: &[u8], at: usize) -> Option<&'static [u8]> {
    const QUOTES: [&[u8]; 9] = [b"\\\\\\\"", b"\\\"", b"\\'", b"&quot;", b"\"\"\"", b"\"", b"'", b"`", b"\\u0022"];
    if !matches!(text.get(at), Some(b'\\' | b'&' | b'"' | b'\'' | b'`')) {
        return None;
    }
    QUOTES.into_iter().find(|q| text[at..].starts_with(q))
}

/// Reads a value that begins at `at`: its extent and whether quotes held it.
fn value_at(text: &[u8], at: usize) -> Option<(usize, usize, bool)> {
    let reach = text.len().min(at + VALUE_MAX);
    if let Some(mark) = quote(text, at) {
        let start = at + mark.len();
        let line = memchr::memchr(b'\n', &text[start..reach]).map_or(reach, |i| start + i);
        let mut from = start;
        while let Some(i) = memchr::memmem::find(&text[from..line], mark) {
            let close = from + i;
            // `\"` inside a string is part of it.
            if mark.len() == 1
                && close > start
                && text[close - 1] == b'\\'
                && !(close > start + 1 && text[close - 2] == b'\\')
            {
                from = close + 1;
                continue;
            }
            return Some((start, close, true)).filter(|_| close > start);
        }
        return bare(text, start, line).map(|(a, b)| (a, b, false));
    }
    bare(text, at, reach).map(|(a, b)| (a, b, false))
}

/// Tells whether another `name=` begins here, so that what stands before it ends a value.
fn next_field(text: &[u8], at: usize) -> bool {
    let n = text[at..]
        .iter()
        .take(48)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' ' | b'%' | b'[' | b']'))
        .count();
    text.get(at + n) == Some(&b'=') && n > 0
}

/// Reads a value without quotes: to white space, or to what ends a field.
fn bare(text: &[u8], start: usize, reach: usize) -> Option<(usize, usize)> {
    let mut end = start;
    while end < reach {
        let next = text.get(end + 1).copied().unwrap_or(b'\n');
        match text[end] {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'`' => break,
            // Escapes of strings and of manual pages.
            b'\\' if matches!(next, b'n' | b'r' | b't' | b'"' | b'\'' | b'\n' | b'&' | b'f') => break,
            b'\'' if !next.is_ascii_alphanumeric() => break,
            b'<' if next == b'/' || next == b'b' => break,
            b'&' | b';' | b','
                if next.is_ascii_whitespace() || matches!(next, b'"' | b'\'' | b')') || next_field(text, end + 1) =>
            {
                break;
            }
            b'&' if text[end..].starts_with(b"&quot;") => break,
            _ => end += 1,
        }
    }
    while end > start && matches!(text[end - 1], b',' | b';') {
        end -= 1;
    }
    // Brackets that close what was opened outside.
    let surplus = |open: u8, close: u8| {
        let count = |sign: u8| memchr::memchr_iter(sign, &text[start..end]).count();
        count(close).saturating_sub(count(open))
    };
    if end > start && matches!(text[end - 1], b')' | b']' | b'}' | b'>') {
        let mut left = [surplus(b'(', b')'), surplus(b'[', b']'), surplus(b'{', b'}'), surplus(b'<', b'>')];
        while end > start {
            let kind = match text[end - 1] {
                b')' => 0,
                b']' => 1,
                b'}' => 2,
                b'>' => 3,
                _ => break,
            };
            if left[kind] == 0 {
                break;
            }
            left[kind] -= 1;
            end -= 1;
        }
    }
    (end > start).then_some((start, end))
}

/// How much of a long value follows what was judged.
pub(crate) fn to_end(text: &[u8], end: usize) -> usize {
    text[end..].iter().take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'`' | b'<')).count()
}

/// Skips what may stand between the sign and the value: a string's prefix, a YAML tag, the name of a scheme.
fn to_value(text: &[u8], at: usize) -> usize {
    let mut at = at;
    if let Some(b'b' | b'r' | b'f' | b'u' | b'L' | b'@' | b'B' | b'R') = text.get(at)
        && matches!(text.get(at + 1), Some(b'"' | b'\''))
    {
        at += 1;
    }
    if matches!(text.get(at), Some(b'|' | b'>')) && matches!(text.get(at + 1), Some(b'\n' | b'-' | b'+' | b' ' | b'\r'))
    {
        let line = memchr::memchr(b'\n', &text[at..text.len().min(at + 8)]).map(|i| at + i);
        if let Some(line) = line {
            at = blanks(text, line + 1);
        }
    }
    at
}

const SCHEMES: &[&[u8]] = &[
    b"bearer",
    b"basic",
    b"token",
    b"ssws",
    b"apikey",
    b"api-key",
    b"bot",
    b"oauth",
    b"key",
    b"negotiate",
    b"jwt",
    b"digest",
    b"splunk",
    b"genie",
    b"genericapikey",
    b"discogs",
    b"client",
];

/// Skips `Bearer ` and its kin.
fn past_scheme(text: &[u8], at: usize) -> usize {
    let open = at + quote(text, at).map_or(0, <[u8]>::len);
    let n = text[open..].iter().take(16).take_while(|b| b.is_ascii_alphabetic() || **b == b'-').count();
    let word = &text[open..open + n];
    if n > 0
        && matches!(text.get(open + n), Some(b' ' | b'=' | b':' | b'+'))
        && SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
    {
        return blanks(text, open + n + 1);
    }
    at
}

/// Hides the value under the name that holds the hint at `at`; tells how far it read, so that a name is read once.
/// Up to `nameless` it is known that no part of a name says anything; where names crowd, nothing is read as prose.
pub(crate) fn find(
    text: &[u8],
    at: usize,
    hint_len: usize,
    crowded: bool,
    nameless: &mut usize,
    hide: &mut dyn FnMut(usize, usize, Class),
) -> usize {
    let hint = &text[at..at + hint_len];
    if is_sql(hint) {
        sql(text, at, at + hint_len, hide);
        return at + hint_len;
    }
    let name = if at < *nameless { None } else { name_at(text, at, hint_len) };
    let Some(name) = name else {
        if at >= *nameless {
            *nameless = nameless_to(text, at);
        }
        // The names of stored passwords begin so, and `authentication_string`.
        if matches!(hint[0], b'p' | b'P' | b'_' | b'a' | b'A') {
            hashed(text, at, hide);
        }
        return at + hint_len;
    };
    // What says something may stand before the hint; the hints behind it lead to the same name.
    let read = if name.end > at { name.end } else { nameless_to(text, at) };
    let Some(name) = innocents::weigh(text, name) else { return read };
    // A line of cookies is read by `cookies`, pair by pair.
    if name.class == Class::SessionCookie && text[name.start..name.end].to_ascii_lowercase().ends_with(b"cookie") {
        return read;
    }
    let mut pair = Pair { text, name, crowded, hide };
    if pair.name.class == Class::AuthHeader {
        pair.header();
        return read;
    }
    let closed = pair.closing();
    let after = blanks(text, closed);
    if let Some(sign) = sign_at(text, after) {
        pair.assigned(closed, after, sign);
    } else if pair.is_tag(closed) {
        pair.tagged(closed);
    } else if pair.listed(closed, after) || pair.called() {
        // Whatever it was, it is read.
    } else if after > closed && closed == pair.name.end {
        pair.spaced(after);
    } else if after > closed {
        pair.stated(after);
    } else {
        pair.attached(pair.name.end);
    }
    read
}

/// `password_hash: x`: a stored password under a name that says so.
fn hashed(text: &[u8], at: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let in_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'-');
    let start = at - text[..at].iter().rev().take(32).take_while(in_name).count();
    let end = at + text[at..].iter().take(48).take_while(in_name).count();
    let close = end + quote(text, end).map_or(0, <[u8]>::len);
    let sign = blanks(text, close);
    let Some(sign_len) = sign_at(text, sign).map(<[u8]>::len) else { return };
    let name = text[start..end].to_ascii_lowercase();
    let has = |words: &[&[u8]]| words.iter().any(|word| memchr::memmem::find(&name, word).is_some());
    if !(has(&[b"pass", b"pwd", b"pw"]) && has(&[b"hash", b"digest"]) || name == b"authentication_string") {
        return;
    }
    let Some((start, end, _)) = value_at(text, blanks(text, sign + sign_len)) else { return };
    let value = &text[start..end];
    let sum = value.strip_prefix(b"*").unwrap_or(value);
    let hex = sum.len() >= 32 && sum.iter().all(u8::is_ascii_hexdigit);
    let base64 = sum.len() >= 24 && sum.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b));
    if hex || base64 && is_random(sum, 24) {
        hide(start, end, Class::PasswordHash);
    }
}

/// The signs between a name and its value, longer ones first.
const SIGNS: [&[u8]; 13] = [b":=", b"=>", b"===", b"==", b"!==", b"!=", b"||=", b"?=", b"+=", b"<-", b"->", b"=", b":"];

fn sign_at(text: &[u8], at: usize) -> Option<&'static [u8]> {
    if !matches!(text.get(at), Some(b':' | b'=' | b'!' | b'|' | b'?' | b'+' | b'<' | b'-')) {
        return None;
    }
    SIGNS.into_iter().find(|sign| text[at..].starts_with(sign))
}

fn is_sql(hint: &[u8]) -> bool {
    hint.eq_ignore_ascii_case(b"identified by")
}

/// `CREATE USER bob IDENTIFIED BY 'x'`: only in a statement about a user, since prose identifies by many things.
fn sql(text: &[u8], at: usize, end: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let lead = text[at.saturating_sub(128)..at].to_ascii_lowercase();
    let about_user =
        [&b"user "[..], b"grant ", b"role ", b" to "].iter().any(|word| memchr::memmem::find(&lead, word).is_some());
    let mut from = blanks(text, end);
    for word in [&b"password "[..], b"values "] {
        if text[from..text.len().min(from + word.len())].eq_ignore_ascii_case(word) {
            from += word.len();
        }
    }
    let Some((start, end, quoted)) = value_at(text, from) else { return };
    let shouted = text[at..at + 3].iter().all(u8::is_ascii_uppercase);
    let stated = about_user && (quoted || shouted || matches!(text.get(end), Some(b';')));
    if stated && is_secret(&text[start..end], Strength::Strong, if quoted { Dress::Quoted } else { Dress::Plain }) {
        hide(start, end, Class::Password);
    }
}

/// A name that was read, and what is done with the value that may follow it.
struct Pair<'t, 'h> {
    text: &'t [u8],
    name: Name,
    crowded: bool,
    hide: &'h mut dyn FnMut(usize, usize, Class),
}

impl Pair<'_, '_> {
    /// Hides `text[start..end]` if it is a secret.
    fn check(&mut self, start: usize, end: usize, strength: Strength, dress: Dress) -> bool {
        let secret = start < end && is_secret(&self.text[start..end], strength, dress);
        if secret {
            self.hide_whole(start, end, self.name.class);
        }
        secret
    }

    fn hide_whole(&mut self, start: usize, end: usize, class: Class) {
        let rest = if end - start + 8 >= VALUE_MAX { to_end(self.text, end) } else { 0 };
        (self.hide)(start, end + rest, class);
    }

    /// Where what closes the name ends: quotes, a bracket, an escaped quote.
    fn closing(&self) -> usize {
        let (text, from) = (self.text, self.name.end);
        let mut pos = from;
        while pos < from + 6
            && matches!(text.get(pos), Some(b'"' | b'\'' | b'`' | b'\\' | b']' | b')' | b'*' | b'?' | b'!'))
        {
            if text[pos] == b'\\' && matches!(text.get(pos + 1), Some(b'n' | b'r' | b't')) {
                break;
            }
            pos += 1;
        }
        pos
    }

    /// `Bearer x` and `Authorization: Basic x`: any value that is not made of words.
    fn header(&mut self) {
        let text = self.text;
        let mut from = self.name.end;
        let mut signs = false;
        while let Some(sign) = text.get(from).filter(|_| from < self.name.end + 12) {
            match sign {
                b'\\' if !matches!(text.get(from + 1), Some(b'"' | b'\'' | b'\\')) => break,
                b':' | b'=' => signs = true,
                b'"' | b'\'' | b'\\' | b' ' | b'\t' | b',' | b'+' => {}
                _ => break,
            }
            from += 1;
        }
        let start = past_scheme(text, from);
        let spoken = text[self.name.start..self.name.end].eq_ignore_ascii_case(b"bearer");
        if from == self.name.end || !(signs || spoken || start > from) {
            return;
        }
        let Some((start, end, _)) = value_at(text, start) else { return };
        let value = &text[start..end];
        let look = Look::of(value);
        if look.len >= 8
            && !is_stand_in(value)
            && !is_compound(value)
            && !is_expression(value)
            && (look.digits > 0 || (look.upper > 1 && look.lower > 1) || look.len >= 24 && look.other == 0)
        {
            self.hide_whole(start, end, Class::AuthHeader);
        }
    }

    /// `name=value`, `name: value` and their kin, at the sign.
    fn assigned(&mut self, closed: usize, at: usize, sign: &[u8]) {
        let text = self.text;
        let rest = &text[at..];
        let spaced = at > closed;
        if sign == b"=" && self.name.strength == Strength::Weak && rest.starts_with(b"=\"\"") {
            return;
        }
        if rest.starts_with(b"::") || sign == b"->" && !spaced && rest.get(2).is_some_and(u8::is_ascii_alphabetic) {
            return; // A part of a module, a member of a structure.
        }
        // The verdict of a test.
        if sign == b":" && self.is_verdict() {
            return;
        }
        let sign_end = at + sign.len();
        if sign == b":" && matches!(text.get(sign_end), Some(b'-')) && self.is_expansion() {
            return self.substituted(sign_end + 1);
        }
        let from = if sign == b":" { past_type(text, sign_end) } else { sign_end };
        let gap_after = text.get(from).is_some_and(|b| matches!(b, b' ' | b'\t'));
        let from = to_value(text, blanks_and_break(text, from));
        if from >= text.len() {
            return;
        }
        let broke = memchr::memchr(b'\n', &text[at..from]).is_some();
        let Some((start, end, quoted)) = value_at(text, past_scheme(text, from)) else { return };
        // A name in round brackets is spoken of, not set: `(get_passphrase): Likewise.`
        let wrapped = closed > self.name.end;
        let begun = (wrapped || self.begins_line()) && !text[self.name.end..closed].contains(&b')');
        let dress = if quoted {
            Dress::Quoted
        } else if broke {
            Dress::Loose
        } else if (!spaced && !gap_after && sign != b":")
            || (sign.ends_with(b":") && ends_line(text, end) && begun)
            || (sign == b":" && !gap_after && !spaced)
        {
            Dress::Plain
        } else {
            Dress::Loose
        };
        // `password: LPWSTR,`: a bare word before a comma is a type or a variable.
        if sign == b":" && !quoted && text.get(end) == Some(&b',') && is_word(&text[start..end]) {
            return;
        }
        let Some(end) = self.token_end(start, end, quoted) else { return };
        // What a password is compared with is a variable more often than a password.
        let compared = sign.starts_with(b"!") || sign == b"==" || sign == b"===";
        let strength = if compared && !quoted { self.name.strength.min(Strength::Medium) } else { self.name.strength };
        if !self.check(start, end, strength, dress) && self.name.strength != Strength::Strong {
            self.attached(end);
        }
    }

    /// `${NAME:-value}`: the value that a shell takes when the variable has none.
    fn substituted(&mut self, start: usize) {
        let reach = self.text.len().min(start + VALUE_MAX);
        let n = memchr::memchr2(b'}', b'\n', &self.text[start..reach]).unwrap_or(reach - start);
        if !self.text[start..start + n].contains(&b'$') {
            self.check(start, start + n, self.name.strength, Dress::Plain);
        }
    }

    fn word(&self) -> &[u8] {
        &self.text[self.name.start..self.name.end]
    }

    /// `PASS: lake/fern.exp: opens`: what a test says of itself.
    fn is_verdict(&self) -> bool {
        self.word() == b"PASS" && self.begins_line()
    }

    fn is_expansion(&self) -> bool {
        self.name.start >= 2 && &self.text[self.name.start - 2..self.name.start] == b"${"
    }

    /// Tells whether nothing but signs of lists and comments stands before the name on its line.
    fn begins_line(&self) -> bool {
        self.text[..self.name.start]
            .iter()
            .rev()
            .take(64)
            .take_while(|b| **b != b'\n')
            .all(|b| matches!(b, b' ' | b'\t' | b'-' | b'"' | b'\'' | b'#' | b'>' | b'+'))
    }

    /// Where a bare token ends, since tokens have no brackets or quotes in them; `None` if it is a call.
    fn token_end(&self, start: usize, end: usize, quoted: bool) -> Option<usize> {
        // A password on a line of its own may hold spaces only between quotes, so the rest of the line is not read.
        if quoted || self.name.strength == Strength::Strong {
            return Some(end);
        }
        let bracket = |b: &u8| matches!(b, b'(' | b')' | b'{' | b'}' | b'[' | b']' | b'<' | b'>' | b'"');
        let end = start + self.text[start..end].iter().take_while(|b| !bracket(b)).count();
        Some(end).filter(|end| !self.text.get(*end).is_some_and(|b| matches!(b, b'(' | b'[')))
    }

    /// Tells whether the name is that of an element, and not of a group in a pattern (`(?<name>`, `(?P<name>`) or of what a
    /// type takes (`forward<Name>`).
    fn is_tag(&self, closed: usize) -> bool {
        let lead = &self.text[..self.name.start];
        let opened = match lead.split_last() {
            Some((b'<', before)) => !before.last().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'?')),
            Some((sign, _)) => *sign == b':',
            None => false,
        };
        opened && self.text.get(closed) == Some(&b'>')
    }

    /// `<password>value</password>`
    fn tagged(&mut self, closed: usize) {
        let start = closed + 1;
        let inside = |b: &&u8| !matches!(**b, b'<' | b'\n');
        if self.text[start..].starts_with(b"\\") {
            return; // A manual's escape.
        }
        let end = start + self.text[start..].iter().take(VALUE_MAX).take_while(inside).count();
        self.check(start, end, self.name.strength, Dress::Quoted);
    }

    /// `key="password" value="x"`, `"password", "value": "x"`, `set("password", "x")`. Tells whether it was one of them.
    fn listed(&mut self, closed: usize, after: usize) -> bool {
        let text = self.text;
        if closed == self.name.end && text.get(closed) != Some(&b',') {
            return false;
        }
        // The end of a path in a list: `"/etc/passwd", "x"`.
        if self.name.start > 0 && text[self.name.start - 1] == b'/' {
            return true;
        }
        let comma = text.get(after) == Some(&b',');
        let from = if comma { blanks_and_break(text, after + 1) } else { after };
        let label = past_label(text, from);
        let from = label.unwrap_or(from);
        if !(comma || label.is_some()) || quote(text, from).is_none() {
            return false;
        }
        if let Some((start, end, true)) = value_at(text, from) {
            let strength = self.name.strength;
            self.check(
                start,
                end,
                if label.is_some() { strength } else { strength.min(Strength::Medium) },
                Dress::Quoted,
            );
        }
        true
    }

    /// `setPassword("x")`. Tells whether it was a call.
    fn called(&mut self) -> bool {
        let text = self.text;
        if text.get(self.name.end) != Some(&b'(') {
            return false;
        }
        let from = blanks(text, self.name.end + 1);
        if quote(text, from).is_some()
            && let Some((start, end, true)) = value_at(text, from)
        {
            let mixed = Look::of(&text[start..end]).digits > 0;
            let strength = if mixed { self.name.strength.max(Strength::Medium) } else { Strength::Medium };
            self.check(start, end, strength, Dress::Quoted);
        }
        true
    }

    /// `--token x`, `login bob password x`, and what prose says after a name.
    fn spaced(&mut self, after: usize) {
        // To pass is also what programs do.
        if self.word().eq_ignore_ascii_case(b"pass") && !self.is_flag() && !self.is_netrc() {
            return;
        }
        if !(self.kind(after) || self.stated(after) || self.next_word(after) || self.crowded) {
            self.spoken(after);
        }
    }

    /// `password 7 0822455D0A16`: what a router keeps, behind the number of the way it is kept.
    fn kind(&mut self, after: usize) -> bool {
        let text = self.text;
        let (Some(kind @ b'0'..=b'9'), Some(b' ')) = (text.get(after), text.get(after + 1)) else { return false };
        let word = self.word();
        let named = [&b"password"[..], b"secret", b"key"].iter().any(|name| word.eq_ignore_ascii_case(name));
        let Some((start, end)) = bare(text, after + 2, text.len().min(after + VALUE_MAX)).filter(|_| named) else {
            return false;
        };
        let value = &text[start..end];
        let kept = match kind {
            // Two digits say where the key begins; the rest are pairs of hexadecimal digits.
            b'7' => {
                value.len() >= 6
                    && value.len().is_multiple_of(2)
                    && value[..2].iter().all(u8::is_ascii_digit)
                    && value.iter().all(u8::is_ascii_hexdigit)
            }
            b'0' => value.len() >= 4 && is_secret(value, Strength::Strong, Dress::Plain),
            b'4' | b'5' | b'6' | b'8' | b'9' => value.len() >= 20 && Look::of(value).digits > 0,
            _ => false,
        };
        if kept {
            (self.hide)(start, end, if *kind == b'0' { Class::Password } else { Class::PasswordHash });
        }
        kept
    }

    /// `IDENTIFIED WITH mysql_native_password BY 'x'`, `SET PASSWORD FOR bob = 'x'`, `enable password x`.
    fn stated(&mut self, after: usize) -> bool {
        let text = self.text;
        let begins = |at: usize, word: &&[u8]| text[at..text.len().min(at + word.len())].eq_ignore_ascii_case(word);
        let joined = [&b"by "[..], b"as ", b"using "].into_iter().find(|word| begins(after, word));
        let lead = &text[self.name.start.saturating_sub(24)..self.name.start];
        let router = lead.ends_with(b"enable ") || lead.ends_with(b"setx ");
        // `FOR 'bob'@'%' = 'x'`
        if begins(after, &&b"for "[..])
            && let Some(sign) = memchr::memmem::find(&text[after..text.len().min(after + 96)], b" = '")
            && let Some((start, end, true)) = value_at(text, after + sign + 3)
        {
            return self.check(start, end, Strength::Strong, Dress::Quoted);
        }
        if joined.is_none() && !router {
            return false;
        }
        let Some((start, end, quoted)) = value_at(text, after + joined.map_or(0, <[u8]>::len)) else { return false };
        let said = joined.is_none() || quoted;
        said && self.check(start, end, self.name.strength, if quoted { Dress::Quoted } else { Dress::Plain })
    }

    fn is_flag(&self) -> bool {
        let start = self.name.start;
        start >= 2
            && self.text[start - 1] == b'-'
            && matches!(self.text[start - 2], b'-' | b' ' | b'\t' | b'\n' | b'"' | b'\'')
    }

    /// `machine host login bob password x`: the word before the last says what the last is.
    fn is_netrc(&self) -> bool {
        let lead = &self.text[self.name.start.saturating_sub(200)..self.name.start];
        let mut words = lead.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
        self.name.strength == Strength::Strong && matches!(words.next(), Some(b"login" | b"account"))
    }

    /// Tells whether prose speaks of the flag: `the --user and --password options`.
    fn is_spoken_of(&self) -> bool {
        let lead = &self.text[self.name.start.saturating_sub(40)..self.name.start];
        let mut words = lead.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
        words.next().is_some_and(|word| {
            [&b"and"[..], b"or", b"the", b"with", b"to", b"of", b"via", b"use", b"using", b"by", b"both", b"new", b"a"]
                .contains(&word)
        })
    }

    /// Hides the word after the name if it is a secret.
    fn next_word(&mut self, after: usize) -> bool {
        let text = self.text;
        if text.get(after).is_none_or(|b| *b == b'-') {
            return false;
        }
        let Some((start, end, quoted)) = value_at(text, past_scheme(text, after)) else { return false };
        let flag = self.is_flag();
        let dress = if quoted && text[start - 1] != b'`' {
            Dress::Quoted
        } else if flag || self.is_netrc() {
            Dress::Plain
        } else {
            Dress::Loose
        };
        let strength = match (dress, self.name.strength) {
            (Dress::Loose, Strength::Weak) => Strength::Weak,
            (Dress::Loose, _) => Strength::Medium,
            (_, strength) if flag => strength.max(Strength::Medium),
            (_, strength) => strength,
        };
        if flag && is_word(&text[start..end]) && self.is_spoken_of() {
            return false;
        }
        let stop = !quoted && matches!(text[end - 1], b'.' | b'?' | b'!' | b':');
        self.check(start, end - usize::from(stop), strength, dress)
    }

    /// Prose: a few words, then `is`, a colon or an equals sign, then the value; or a random token a few words on.
    fn spoken(&mut self, after: usize) {
        let text = self.text;
        let window = &text[after..text.len().min(after + 72)];
        let line = &window[..memchr::memchr(b'\n', window).unwrap_or(window.len())];
        // `Key ID: x` says what the key is called.
        if line.len() > 2 && line[..2].eq_ignore_ascii_case(b"id") && !line[2].is_ascii_alphanumeric() {
            return;
        }
        if let Some(said) = said_at(line) {
            let from = blanks(text, after + said);
            let Some((start, end, quoted)) = value_at(text, from) else { return };
            let end = end - usize::from(end > start && matches!(text[end - 1], b'.' | b':'));
            self.check(start, end, self.name.strength, if quoted { Dress::Quoted } else { Dress::Loose });
        } else if line.ends_with(b":") && line.len() < 60 {
            self.below(after + line.len());
        } else if self.name.strength != Strength::Weak || !self.is_flag() {
            self.words_on(after, &line[..line.len().min(40)]);
        }
    }

    /// `the following password:` and the value on a line below.
    fn below(&mut self, from: usize) {
        let gap = |b: &&u8| b.is_ascii_whitespace() || **b == b':';
        let start = from + self.text[from..].iter().take(8).take_while(gap).count();
        if let Some((start, end, _)) = value_at(self.text, start)
            && is_random(&self.text[start..end], 20)
        {
            self.check(start, end, Strength::Medium, Dress::Loose);
        }
    }

    /// A random token a few words on: `vendor SECRET key 3f…`.
    fn words_on(&mut self, after: usize, line: &[u8]) {
        let mut at = 0;
        for word in line.split(|b| *b == b' ') {
            let start = after + at;
            let inside = |b: &&u8| !b.is_ascii_whitespace() && !matches!(**b, b'"' | b'\'' | b',' | b';');
            let n = self.text[start..].iter().take(VALUE_MAX).take_while(inside).count();
            let value = &self.text[start..start + n];
            if n >= 16 && is_random(value, 16) && Look::of(value).digits > 1 {
                // People name public keys by their fingerprints.
                if !is_fingerprint(value) {
                    self.check(start, start + n, Strength::Medium, Dress::Loose);
                }
                return;
            }
            // Another sentence speaks of something else.
            if word.ends_with(b".") {
                return;
            }
            at += word.len() + 1;
        }
    }

    /// A value that is joined to its name by a dash, a dot or nothing that a name would not hold.
    fn attached(&mut self, name_end: usize) {
        let separator = |b: &&u8| matches!(**b, b'-' | b'_' | b'.' | b':' | b'=' | b' ' | b'/' | b'#');
        let seps = self.text[name_end..].iter().take(4).take_while(separator).count();
        let start = name_end + seps;
        let inside = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'-' | b'_' | b'+' | b'/' | b'=' | b'.');
        let n = self.text[start..].iter().take(VALUE_MAX).take_while(inside).count();
        let value = &self.text[start..start + n];
        if seps > 0 && n >= 16 && is_random(value, 16) && Look::of(value).digits > 1 {
            self.check(start, start + n, Strength::Weak, Dress::Loose);
        }
    }
}

/// Skips a type: `name: Type = value`.
fn past_type(text: &[u8], at: usize) -> usize {
    let word = blanks(text, at);
    let in_type = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'&' | b'_' | b'<' | b'>' | b'\'' | b' ' | b'?');
    let n = text[word..].iter().take(32).take_while(in_type).count();
    let equals = n > 0 && text.get(word + n) == Some(&b'=') && text.get(word + n + 1) != Some(&b'=');
    if equals { word + n + 1 } else { at }
}

/// Tells whether nothing but a separator or a comment follows on the line.
fn ends_line(text: &[u8], end: usize) -> bool {
    let gap = text[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b',' | b';' | b'\r')).count();
    text.get(end + gap).is_none_or(|b| matches!(b, b'\n' | b'#' | b'}' | b'\\'))
}

/// Skips `value=`, `"value": ` and the like, to the quote of what they announce.
fn past_label(text: &[u8], from: usize) -> Option<usize> {
    let label = from + quote(text, from).map_or(0, <[u8]>::len);
    let word =
        [&b"value"[..], b"content", b"Value", b"default", b"val"].into_iter().find(|w| text[label..].starts_with(w))?;
    let end = label + word.len();
    let mut next = end;
    while matches!(text.get(next), Some(b'"' | b'\'' | b' ' | b':' | b'=' | b'\\')) && next < end + 6 {
        if matches!(text[next], b'"' | b'\'') && matches!(text[next - 1], b' ' | b':' | b'=') {
            break;
        }
        next += 1;
    }
    Some(next)
}

/// Tells whether the value is one word of letters.
fn is_word(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b'*'))
}

/// Where prose says what the value is: after `is`, `are`, `was`, a colon or an equals sign, if only words come before.
fn said_at(line: &[u8]) -> Option<usize> {
    const SAYINGS: [&[u8]; 6] = [b"are ", b"was ", b": ", b"= ", b"key=", b"key:"];
    for (i, byte) in line.iter().enumerate() {
        let here = &line[i..];
        if here.starts_with(b"is ") && (i == 0 || line[i - 1] == b' ') {
            return Some(i + 3);
        }
        if matches!(byte, b'a' | b'w' | b':' | b'=' | b'k')
            && let Some(saying) = SAYINGS.into_iter().find(|saying| here.starts_with(saying))
        {
            return Some(i + saying.len());
        }
        if !byte.is_ascii_alphanumeric() && !b" '\"/-()_.@".contains(byte) || here.starts_with(b". ") {
            return None;
        }
    }
    None
}

/// Hides the values of a cookie line that stand for a login, and returns where the line ends.
pub(crate) fn cookies(text: &[u8], from: usize, hide: &mut dyn FnMut(usize, usize, Class)) -> usize {
    let reach = text.len().min(from + COOKIES_MAX);
    let line = memchr::memchr(b'\n', &text[from..reach]).map_or(reach, |i| from + i);
    let mut at = from;
    while at < line {
        at += text[at..line].iter().take_while(|b| matches!(b, b' ' | b';' | b':' | b'"' | b'\'' | b'=')).count();
        let name_end =
            at + text[at..line].iter().take_while(|b| !matches!(b, b'=' | b';' | b' ' | b'"' | b'\'')).count();
        if name_end == line || text[name_end] != b'=' {
            at = memchr::memchr2(b';', b' ', &text[name_end..line]).map_or(line, |i| name_end + i + 1);
            continue;
        }
        let start = name_end + 1;
        let end = start
            + text[start..line].iter().take_while(|b| !matches!(b, b';' | b' ' | b'"' | b'\'' | b'\r' | b',')).count();
        let name = text[at..name_end].to_ascii_lowercase();
        let login = [
            &b"sess"[..],
            b"sid",
            b"auth",
            b"token",
            b"jwt",
            b"login",
            b"remember",
            b"csrf",
            b"xsrf",
            b"identity",
            b"sso",
        ]
        .iter()
        .any(|part| memchr::memmem::find(&name, part).is_some());
        let value = &text[start..end];
        if !is_stand_in(value)
            && ((login && value.len() >= 8 && Look::of(value).digits + Look::of(value).upper > 0)
                || is_random(value, 20))
        {
            hide(start, end, Class::SessionCookie);
        }
        at = end + 1;
    }
    at
}
