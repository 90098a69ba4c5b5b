//! Names that say nothing of a secret though their parts do: files, resources, types, places in a list.
//!
//! It looks at the name and the word it stands in, never at a value.

use super::names::Name;
use crate::class::Class;
use crate::values::Strength;

/// What stands before `token` when it is a place in a list, a sign of a form or a word of a grammar, and opens nothing.
const TOKENS: &[&str] = &[
    "next",
    "page",
    "paging",
    "pagination",
    "continuation",
    "continue",
    "idempotency",
    "request",
    "lock",
    "cancel",
    "cancellation",
    "csrf",
    "xsrf",
    "authenticity",
    "antiforgery",
    "public",
    "pub",
    "sync",
    "resume",
    "change",
    "starting",
    "punctuation",
];
/// What stands before `seed` when a secret grows from it; programs draw numbers from all other seeds.
const SEEDS: &[&str] = &["totp", "otp", "mfa", "twofactor", "wallet", "master", "secret", "recovery", "backup"];
/// Endings of files that hold programs and prose: `secrets.py` is no name of a secret.
const FILES: &[&str] = &[
    "py", "rs", "js", "ts", "jsx", "tsx", "c", "h", "cc", "cpp", "hpp", "java", "go", "rb", "php", "pl", "pm", "sh",
    "md", "rst", "txt", "html", "htm", "css", "patch", "diff", "yml", "yaml", "json", "xml", "conf", "asm", "s",
];
/// Short words after `pass` that make a verb of it: `pass_by_value`.
const JOINERS: &[&str] = &["by", "as", "to", "of", "in", "on", "or", "and", "for", "the", "at", "from", "op"];

/// The parts of a name: what separators, digits and capitals divide.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.chunk_by(|a, b| {
        let letters = a.is_ascii_alphabetic() && b.is_ascii_alphabetic();
        letters && !(a.is_ascii_lowercase() && b.is_ascii_uppercase())
    })
    .filter(|part| part[0].is_ascii_alphabetic())
}

fn listed(words: &[&str], part: &[u8]) -> bool {
    words.iter().any(|word| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// Returns what the name says after all, or `None` if it says nothing.
pub(super) fn weigh(text: &[u8], mut name: Name) -> Option<Name> {
    let in_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'-' | b'.');
    let rest = text[name.end..].iter().take(64).take_while(in_name).count();
    let word = &text[name.start..name.end + rest];
    let has = |words: &[&str]| parts(word).any(|part| listed(words, part));
    let said = Said::of(word);
    let silent = said.silent
        || is_file(word)
        || is_resource(text, name.start)
        || name.strength != Strength::Strong && is_type_path(text, name.start)
        || said.token && has(TOKENS)
        || said.signature && !has(&["key", "secret", "token", "password"]) && !in_query(text, name.start);
    if silent {
        return None;
    }
    if name.class == Class::GenericSecret && said.seed && !has(SEEDS) {
        name.strength = Strength::Weak;
    }
    Some(name)
}

/// What the parts of a name say, read once.
#[derive(Default)]
struct Said {
    token: bool,
    signature: bool,
    seed: bool,
    /// A public key, or a verb.
    silent: bool,
}

impl Said {
    fn of(word: &[u8]) -> Self {
        let mut said = Self::default();
        let mut passes = false;
        for part in parts(word) {
            said.silent |= passes && listed(JOINERS, part);
            passes = false;
            match part[0] | 0x20 {
                b't' => said.token |= listed(&["token", "tokens"], part),
                b's' => {
                    said.signature |= listed(&["signature", "sig"], part);
                    said.seed |= listed(&["seed"], part);
                }
                b'p' => {
                    passes = listed(&["pass"], part);
                    said.silent |= listed(&["pubkey", "pinnedpubkey", "publickey"], part);
                }
                _ => {}
            }
        }
        said
    }
}

/// `secrets.py`: the name of a file.
fn is_file(word: &[u8]) -> bool {
    memchr::memrchr(b'.', word).is_some_and(|dot| dot > 0 && listed(FILES, &word[dot + 1..]))
}

/// `arn:aws:kms:region:account:key/id`: a name within the name of a resource.
fn is_resource(text: &[u8], start: usize) -> bool {
    let lead = &text[start.saturating_sub(128)..start];
    if memchr::memchr(b':', lead).is_none() {
        return false;
    }
    let inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'-' | b'_' | b'.');
    let word = lead.iter().rposition(|b| !inside(b)).map_or(0, |i| i + 1);
    lead[word..].starts_with(b"arn:") || lead[word..].starts_with(b"urn:")
}

/// `AWS::KMS::Key`: a type within a module.
fn is_type_path(text: &[u8], start: usize) -> bool {
    start >= 3 && &text[start - 2..start] == b"::" && text[start].is_ascii_uppercase()
}

/// A signature proves something once; only in the query of a link does it open anything.
fn in_query(text: &[u8], start: usize) -> bool {
    start > 0 && matches!(text[start - 1], b'?' | b'&' | b';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::names::name_at;

    #[test]
    fn names_of_files_resources_types_and_places_say_nothing() {
        let said = |text: &str, hint: &str| {
            let at = text.to_lowercase().find(hint).expect("each has one");
            name_at(text.as_bytes(), at, hint.len()).and_then(|name| weigh(text.as_bytes(), name)).map(|n| n.strength)
        };
        for (case, text, hint, expected) in [
            ("a password", "db_password=", "pass", Some(Strength::Strong)),
            ("a token", "access_token:", "token", Some(Strength::Medium)),
            ("a place in a list", "nextToken:", "token", None),
            ("a sign of a form", "csrf-token=", "token", None),
            ("a file", "Lib/secrets.py ", "secret", None),
            ("a setting with dots", "app.secret=", "secret", Some(Strength::Medium)),
            ("a resource", "arn:lake:kms:eu:12:key/", "key", None),
            ("a type", "Lake::IAM::AccessKey:", "access", None),
            ("a signature", "X-Signature: ", "signature", None),
            ("a signature in a link", "?a=1&Signature=", "signature", Some(Strength::Weak)),
            ("a way to pass", "pass_by_value=", "pass", None),
            ("a password for somebody", "password_for_bob=", "pass", Some(Strength::Strong)),
            ("a public key", "pinnedpubkey ", "key", None),
            ("a seed of numbers", "hasher_seed=", "seed", Some(Strength::Weak)),
            ("a seed of a wallet", "wallet_seed=", "seed", Some(Strength::Medium)),
        ] {
            assert_eq!(said(text, hint), expected, "{case}: {text}");
        }
    }
}
