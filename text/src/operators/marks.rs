//! What operators write in the place of a value, and reading it back.
//!
//! `[class]` says nothing more. `[class:part]` shows the little that may stay: forging one shows no more than that. `<class:…>` is a
//! token, and only the key tells whether it is ours. Without spaces inside, each is one word to whoever reads the text.

use super::{Action, Personal, Token, TokenKey};
use crate::class::Class;

/// The longest domain that stays of an address.
const DOMAIN_MAX: usize = 64;
/// The longest class, brackets, a colon and the longest part.
const MARK_MAX: usize = 24 + 3 + DOMAIN_MAX;

/// Something in a text that has the form of what an operator writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Token(Token),
    Part(Class),
}

impl Mark {
    pub(super) fn class(&self) -> Class {
        match self.kind {
            Kind::Token(token) => token.class(),
            Kind::Part(class) => class,
        }
    }

    /// Tells whether this device wrote it, or whether it makes no difference who did.
    pub(super) fn is_ours(&self, key: Option<&TokenKey>) -> bool {
        match &self.kind {
            Kind::Token(token) => key.is_some_and(|key| key.wrote(token)),
            Kind::Part(_) => true,
        }
    }

    /// The strictest action under which it may stand.
    pub(super) const fn loosest(&self) -> Action {
        match self.kind {
            Kind::Token(_) => Action::Vault,
            Kind::Part(_) => Action::Partial,
        }
    }
}

/// Everything that has the form of a mark that says more than its class, in order. None contains another.
pub(super) fn read(text: &str) -> Vec<Mark> {
    memchr::memchr2_iter(b'<', b'[', text.as_bytes())
        .filter_map(|start| {
            let (kind, length) = match text.as_bytes()[start] {
                b'<' => Token::parse(&text[start..]).map(|(token, length)| (Kind::Token(token), length))?,
                _ => parse_part(&text[start..]).map(|(class, length)| (Kind::Part(class), length))?,
            };
            Some(Mark { kind, start, end: start + length })
        })
        .collect()
}

/// Where a mark may have begun that the text has not ended.
pub(super) fn begun(text: &str) -> Option<usize> {
    let at = memchr::memrchr2(b'<', b'[', text.as_bytes())?;
    let goes_on = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.' | b'-');
    (text.len() - at < MARK_MAX && text.as_bytes()[at + 1..].iter().all(goes_on)).then_some(at)
}

/// Writes the class alone.
pub(super) fn plain(class: Class, out: &mut String) {
    out.push('[');
    out.push_str(class.as_str());
    out.push(']');
}

/// Writes the class and the little that may stay, when what does not stay is enough. Says whether it did.
pub(super) fn part(value: Personal<'_>, out: &mut String) -> bool {
    let text = value.text();
    let part: String = match value.class() {
        Class::Email => match text.rsplit_once('@') {
            Some((_, domain)) => domain.trim_matches(['<', '>', '"']).to_ascii_lowercase(),
            None => return false,
        },
        _ => {
            let characters: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
            if characters.len() < 8 {
                return false;
            }
            characters[characters.len() - 4..].iter().collect()
        }
    };
    let written = format!("[{}:{part}]", value.class());
    let reads_back = parse_part(&written).is_some_and(|(_, length)| length == written.len());
    if reads_back {
        out.push_str(&written);
    }
    reads_back
}

fn parse_part(text: &str) -> Option<(Class, usize)> {
    let inner = text.strip_prefix('[')?;
    let end = inner.bytes().take(MARK_MAX).position(|b| b == b']')?;
    let (class, part) = inner[..end].split_once(':')?;
    let class = Class::named(class).filter(|class| Action::Partial.suits(*class))?;
    let fits = match class {
        Class::Email => {
            part.len() <= DOMAIN_MAX
                && part.split('.').count() > 1
                && part
                    .split('.')
                    .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        }
        _ => part.len() == 4 && part.bytes().all(|b| b.is_ascii_alphanumeric()),
    };
    fits.then_some((class, end + 2))
}
