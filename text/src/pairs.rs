//! Secrets under a name: `name=value` in every dress that configuration, programs, headers, links and people give it.
//!
//! A name counts by its parts (`db_password`, not `passed`; `api-key`, not `monkey`), and how much it says decides how much
//! the value must prove. Reading is bounded: a name of 96 bytes, the first 512 of a value.

use crate::class::Class;
use crate::values::{Dress, Look, Strength, is_random, is_secret, is_stand_in};

mod names;

pub(crate) use names::HINTS;
use names::{Name, name_at};

/// So much of a value is judged; one that is longer is hidden to its end.
const VALUE_MAX: usize = 512;
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
            b'\\' if matches!(next, b'n' | b'r' | b't' | b'"' | b'\'' | b'\n') => break,
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
fn to_end(text: &[u8], end: usize) -> usize {
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
    let word = text[open..open + n].to_ascii_lowercase();
    if n > 0 && SCHEMES.contains(&word.as_slice()) && matches!(text.get(open + n), Some(b' ' | b'=' | b':' | b'+')) {
        return blanks(text, open + n + 1);
    }
    at
}

/// Hides the value under the name that holds the hint at `at`; tells how far it read, so that a name is read once.
pub(crate) fn find(text: &[u8], at: usize, hint_len: usize, hide: &mut dyn FnMut(usize, usize, Class)) -> usize {
    let spaced_hint = text[at..at + hint_len].eq_ignore_ascii_case(b"identified by");
    let name = if spaced_hint {
        Name { start: at, end: at + hint_len, strength: Strength::Strong, class: Class::Password }
    } else {
        match name_at(text, at, hint_len) {
            Some(name) => name,
            None => return at + hint_len,
        }
    };
    let mut check = |start: usize, end: usize, strength: Strength, dress: Dress| -> bool {
        if start < end && is_secret(&text[start..end], strength, dress) {
            let rest = if end - start + 8 >= VALUE_MAX { to_end(text, end) } else { 0 };
            hide(start, end + rest, name.class);
            return true;
        }
        false
    };
    let read = name.end;
    if name.class == Class::AuthHeader {
        // `Bearer x` and `Authorization: Basic x`: any value that is not a word.
        let mut from = name.end;
        while matches!(text.get(from), Some(b'"' | b'\'' | b'\\' | b':' | b'=' | b' ' | b'\t' | b',' | b'+'))
            && from < name.end + 12
        {
            from += 1;
        }
        let from = past_scheme(text, from);
        if let Some((start, end, _)) = value_at(text, from) {
            let value = &text[start..end];
            let look = Look::of(value);
            if look.len >= 8
                && !is_stand_in(value)
                && (look.digits > 0 || (look.upper > 1 && look.lower > 1) || look.len >= 24 && look.other == 0)
            {
                let rest = if end - start + 8 >= VALUE_MAX { to_end(text, end) } else { 0 };
                hide(start, end + rest, Class::AuthHeader);
            }
        }
        return read;
    }

    // A line of cookies is read by `cookies`, pair by pair.
    if name.class == Class::SessionCookie && text[name.start..name.end].to_ascii_lowercase().ends_with(b"cookie") {
        return read;
    }

    let mut pos = name.end;
    // What closes the name: quotes, a bracket, an escaped quote.
    while pos < name.end + 6
        && matches!(text.get(pos), Some(b'"' | b'\'' | b'`' | b'\\' | b']' | b')' | b'*' | b'?' | b'!'))
    {
        if text[pos] == b'\\' && matches!(text.get(pos + 1), Some(b'n' | b'r' | b't')) {
            break;
        }
        pos += 1;
    }
    let closed = pos > name.end;
    let after_blank = blanks(text, pos);
    let spaced = after_blank > pos;
    let rest = &text[after_blank..];
    let sign = [&b":="[..], b"=>", b"===", b"==", b"!==", b"!=", b"||=", b"?=", b"+=", b"<-", b"->", b"=", b":"]
        .into_iter()
        .find(|sign| rest.starts_with(sign));

    if let Some(sign) = sign {
        if sign == b"=" && name.strength == Strength::Weak && rest.starts_with(b"=\"\"") {
            return read;
        }
        let mut from = after_blank + sign.len();
        // `name: Type = value`
        if sign == b":" {
            let word = blanks(text, from);
            let n = text[word..]
                .iter()
                .take(32)
                .take_while(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'&' | b'_' | b'<' | b'>' | b'\'' | b' ' | b'?')
                })
                .count();
            if text.get(word + n) == Some(&b'=') && text.get(word + n + 1) != Some(&b'=') && n > 0 {
                from = word + n + 1;
            }
        }
        let gap_after = text.get(from).is_some_and(|b| matches!(b, b' ' | b'\t'));
        from = to_value(text, blanks_and_break(text, from));
        if from >= text.len() {
            return read;
        }
        let broke = memchr::memchr(b'\n', &text[after_blank..from]).is_some();
        let from = past_scheme(text, from);
        let Some((start, end, quoted)) = value_at(text, from) else { return read };
        let line_start = text[..name.start]
            .iter()
            .rev()
            .take(64)
            .take_while(|b| **b != b'\n')
            .all(|b| matches!(b, b' ' | b'\t' | b'-' | b'"' | b'\'' | b'#' | b'>' | b'+'));
        let to_end = text[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b',' | b';' | b'\r')).count();
        let at_line_end = text.get(end + to_end).is_none_or(|b| matches!(b, b'\n' | b'#' | b'}' | b'\\'));
        let dress = if quoted {
            Dress::Quoted
        } else if broke {
            Dress::Loose
        } else if (!spaced && !gap_after && sign != b":")
            || (sign.ends_with(b":") && at_line_end && (line_start || closed))
            || (sign == b":" && !gap_after && !spaced)
        {
            Dress::Plain
        } else {
            Dress::Loose
        };
        let mut end = end;
        // A password on a line of its own may hold spaces only between quotes, so the rest of the line is not read.
        if !quoted && name.strength != Strength::Strong {
            // Tokens have no brackets or quotes in them.
            end = start
                + text[start..end]
                    .iter()
                    .take_while(|b| !matches!(b, b'(' | b')' | b'{' | b'}' | b'[' | b']' | b'<' | b'>' | b'"'))
                    .count();
            if text.get(end).is_some_and(|b| matches!(b, b'(' | b'[')) {
                return read;
            }
        }
        let strength = if sign.starts_with(b"!") || sign == b"==" || sign == b"===" {
            name.strength.min(Strength::Medium)
        } else {
            name.strength
        };
        let strength = if strength == Strength::Medium && name.strength == Strength::Strong {
            if quoted { Strength::Strong } else { Strength::Medium }
        } else {
            strength
        };
        if !check(start, end, strength, dress) && name.strength != Strength::Strong {
            attached(text, end, &mut check);
        }
        return read;
    }
    // `<password>value</password>`
    if text.get(pos) == Some(&b'>') && name.start > 0 && matches!(text[name.start - 1], b'<' | b':') {
        let start = pos + 1;
        let end = start + text[start..].iter().take(VALUE_MAX).take_while(|b| !matches!(b, b'<' | b'\n')).count();
        check(start, end, name.strength.max(Strength::Medium), Dress::Quoted);
        return read;
    }
    // `key="password" value="x"`, `"password", "value": "x"`, `set("password", "x")`
    if closed || matches!(text.get(pos), Some(b',')) {
        let mut from = after_blank;
        let comma = text.get(from) == Some(&b',');
        if comma {
            from = blanks_and_break(text, from + 1);
        }
        let label = from + quote(text, from).map_or(0, <[u8]>::len);
        let mut labelled = false;
        for word in [&b"value"[..], b"content", b"Value", b"default", b"val"] {
            if text[label..].starts_with(word) {
                let mut next = label + word.len();
                while matches!(text.get(next), Some(b'"' | b'\'' | b' ' | b':' | b'=' | b'\\'))
                    && next < label + word.len() + 6
                {
                    if matches!(text[next], b'"' | b'\'') && matches!(text[next - 1], b' ' | b':' | b'=') {
                        break;
                    }
                    next += 1;
                }
                from = next;
                labelled = true;
                break;
            }
        }
        if (comma || labelled) && quote(text, from).is_some() {
            if let Some((start, end, true)) = value_at(text, from) {
                let strength = if labelled { name.strength } else { name.strength.min(Strength::Medium) };
                check(start, end, strength, Dress::Quoted);
            }
            return read;
        }
    }
    // `setPassword("x")`
    if text.get(name.end) == Some(&b'(') {
        let from = blanks(text, name.end + 1);
        if quote(text, from).is_some()
            && let Some((start, end, true)) = value_at(text, from)
        {
            check(start, end, name.strength.max(Strength::Medium).min(Strength::Medium), Dress::Quoted);
        }
        return read;
    }
    if spaced && !closed {
        let flag = name.start >= 2
            && text[name.start - 1] == b'-'
            && matches!(text[name.start - 2], b'-' | b' ' | b'\t' | b'\n' | b'"' | b'\'');
        let line = text[..name.start]
            .iter()
            .rev()
            .take(200)
            .position(|b| *b == b'\n')
            .map_or(name.start.saturating_sub(200), |i| name.start - i);
        let lead = &text[line..name.start];
        let netrc = name.strength == Strength::Strong
            && (memchr::memmem::find(lead, b"login ").is_some() || memchr::memmem::find(lead, b"machine ").is_some());
        let from = past_scheme(text, after_blank);
        let followed = text.get(after_blank).is_some_and(|b| *b != b'-');
        if let Some((start, end, quoted)) = value_at(text, from)
            && followed
        {
            let dress = if quoted && text[start - 1] != b'`' {
                Dress::Quoted
            } else if flag || netrc || spaced_hint {
                Dress::Plain
            } else {
                Dress::Loose
            };
            let strength = match (dress, name.strength) {
                (Dress::Loose, Strength::Weak) => Strength::Weak,
                (Dress::Loose, _) => Strength::Medium,
                (_, strength) if flag => strength.max(Strength::Medium),
                (_, strength) => strength,
            };
            let end = if dress == Dress::Loose {
                end - usize::from(matches!(text[end - 1], b'.' | b'?' | b'!' | b':'))
            } else {
                end
            };
            if check(start, end, strength, dress) {
                return read;
            }
        }
        // Prose: a few words, then `is`, a colon or an equals sign, then the value.
        let window = &text[after_blank..text.len().min(after_blank + 72)];
        let line = &window[..memchr::memchr(b'\n', window).unwrap_or(window.len())];
        let mut from = 0;
        for (i, _) in line.iter().enumerate() {
            let here = &line[i..];
            let n = if here.starts_with(b"is ") && (i == 0 || line[i - 1] == b' ') {
                3
            } else if here.starts_with(b"are ") || here.starts_with(b"was ") {
                4
            } else if here.starts_with(b": ") || here.starts_with(b"= ") {
                2
            } else if here.starts_with(b"key=") || here.starts_with(b"key:") {
                4
            } else {
                if !here[0].is_ascii_alphabetic()
                    && !matches!(here[0], b' ' | b'\'' | b'"' | b'/' | b'-' | b'(' | b')' | b'_' | b'.' | b'@')
                    && !here[0].is_ascii_digit()
                {
                    break;
                }
                continue;
            };
            from = after_blank + i + n;
            break;
        }
        // `the following password:` and the value on a line below.
        if from == 0 && line.ends_with(b":") && line.len() < 60 {
            from = after_blank + line.len();
            while from < text.len()
                && from < after_blank + line.len() + 8
                && (text[from].is_ascii_whitespace() || text[from] == b':')
            {
                from += 1;
            }
            if let Some((start, end, _)) = value_at(text, from)
                && is_random(&text[start..end], 20)
            {
                check(start, end, Strength::Medium, Dress::Loose);
            }
            return read;
        }
        if from > 0 {
            let from = blanks(text, from);
            if let Some((start, end, quoted)) = value_at(text, from) {
                let end = end - usize::from(end > start && matches!(text[end - 1], b'.' | b':'));
                check(start, end, name.strength, if quoted { Dress::Quoted } else { Dress::Loose });
                return read;
            }
        } else if name.strength != Strength::Weak || !flag {
            // A random token a few words on: `vendor SECRET key 3f…`.
            let words = &line[..line.len().min(40)];
            let mut at = 0;
            for word in words.split(|b| *b == b' ') {
                let whole = text[after_blank + at..]
                    .iter()
                    .take(VALUE_MAX)
                    .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b',' | b';'))
                    .count();
                let (start, end) = (after_blank + at, after_blank + at + whole);
                if whole >= 16 && is_random(&text[start..end], 16) && Look::of(&text[start..end]).digits > 1 {
                    check(start, end, Strength::Medium, Dress::Loose);
                    break;
                }
                at += word.len() + 1;
            }
        }
        return read;
    }
    attached(text, name.end, &mut check);
    read
}

/// A value that is joined to its name by a dash, a dot or nothing that a name would not hold.
fn attached(text: &[u8], name_end: usize, check: &mut dyn FnMut(usize, usize, Strength, Dress) -> bool) {
    let seps = text[name_end..]
        .iter()
        .take(4)
        .take_while(|b| matches!(b, b'-' | b'_' | b'.' | b':' | b'=' | b' ' | b'/' | b'#'))
        .count();
    let start = name_end + seps;
    let n = text[start..]
        .iter()
        .take(VALUE_MAX)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/' | b'=' | b'.'))
        .count();
    if seps > 0 && n >= 16 && is_random(&text[start..start + n], 16) && Look::of(&text[start..start + n]).digits > 1 {
        check(start, start + n, Strength::Weak, Dress::Loose);
    }
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
        if text.get(name_end) != Some(&b'=') {
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
