//! Tokens that say who issued them, from the services' public documentation, and those of which no row of a table can say all.
//!
//! The tables are `rules/*.toml`; a new service is one more row with its examples, which the build holds it against. Tokens without a beginning of
//! their own are found by their name instead.

use crate::class::Class;
use crate::grammar::Alphabet::{self, Base64, Digits, Hex, Url};
use crate::grammar::{Infix, LONGEST, Runs, Token, begins_here};

include!(concat!(env!("OUT_DIR"), "/tokens.rs"));

/// What the text at an address of a web hook must hold.
pub(crate) const HOOKS: &[&str] = &[
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "hooks.slack.com/triggers/",
    "webhook.office.com/webhook",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "hooks.zapier.com/hooks/catch/",
    "api.telegram.org/bot",
    "chat.googleapis.com/v1/spaces/",
    "maker.ifttt.com/trigger/",
    "outlook.office.com/webhook/",
];

/// Matches a web hook's address at its host, and returns the whole link.
pub(crate) fn find_hook(text: &[u8], at: usize, which: usize) -> Option<(usize, usize)> {
    let host = HOOKS[which];
    if !text[at..].starts_with(host.as_bytes()) {
        return None;
    }
    let path = at + host.len();
    let n = text[path..]
        .iter()
        .take(512)
        .take_while(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'/' | b'_' | b'-' | b'@' | b':' | b'%' | b'?' | b'=' | b'&' | b'.')
        })
        .count();
    let before = text[..at]
        .iter()
        .rev()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'.' | b'-'))
        .count();
    (n >= 16 && text[path..path + n].iter().any(u8::is_ascii_digit)).then_some((at - before, path + n))
}

/// A bot's token: digits, a colon, and 35 characters that begin with A.
pub(crate) fn find_bot(text: &[u8], digits_at: usize, digits: usize) -> Option<usize> {
    let colon = digits_at + digits;
    if !(5..=16).contains(&digits) || text.get(colon) != Some(&b':') || text.get(colon + 1) != Some(&b'A') {
        return None;
    }
    let n = Url.run(text, colon + 1, 64);
    (34..=36).contains(&n).then_some(colon + 1 + n)
}

/// A chat bot's token: a number in base64, a time and a signature, between dots.
pub(crate) fn find_dotted(text: &[u8], at: usize) -> Option<usize> {
    let first = Url.run(text, at, 40);
    let second_at = at + first + 1;
    if !(23..=28).contains(&first) || !begins_here(text, at) || text.get(second_at - 1) != Some(&b'.') {
        return None;
    }
    let second = Url.run(text, second_at, 12);
    let third_at = second_at + second + 1;
    if !(6..=7).contains(&second) || text.get(third_at - 1) != Some(&b'.') {
        return None;
    }
    let third = Url.run(text, third_at, 64);
    (27..=40).contains(&third).then_some(third_at + third)
}

/// A key of a mailing service: 32 hexadecimal digits and the name of a data centre.
pub(crate) fn find_with_centre(text: &[u8], dash: usize) -> Option<(usize, usize)> {
    let hex = text[..dash].iter().rev().take(40).take_while(|b| Hex.has(**b)).count();
    let digits = if text[dash..].starts_with(b"-us") { Digits.run(text, dash + 3, 3) } else { 0 };
    (hex == 32 && (1..=2).contains(&digits)).then(|| (dash - 32, dash + 3 + digits))
}

/// A JSON web token at its first part, and where it ends: two or four dots, the signature perhaps missing.
pub(crate) fn find_jwt(text: &[u8], at: usize, runs: &mut Runs) -> Option<usize> {
    if !begins_here(text, at) || !text[at..].starts_with(b"ey") {
        return None;
    }
    let header = runs.run(Url, text, at, LONGEST);
    if header < 16 || text.get(at + header) != Some(&b'.') {
        return None;
    }
    let mut end = at + header;
    let mut parts = 1;
    while parts < 5 && text.get(end) == Some(&b'.') {
        let n = runs.run(Base64, text, end + 1, 1 << 16);
        if parts == 1 && (n < 10) {
            return None;
        }
        end += 1 + n;
        parts += 1;
    }
    // The dot of a sentence is not the token's.
    while text[end - 1] == b'.' && parts > 2 && text.get(end).is_some_and(u8::is_ascii_whitespace) {
        end -= 1;
    }
    (parts >= 2 && end - at >= 36).then_some(end)
}
