//! Names of secrets, by their parts.
//!
//! Which words say password, token or key, which say something else, and how much a name says. It never looks at a value.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{class::Class, values::Strength};

/// Letters by which the scan finds names worth reading; each is part of a name below.
pub(crate) const HINTS: &[&str] = &[
    "pass",
    "pwd",
    "psk",
    "secret",
    "token",
    "key",
    "auth",
    "cred",
    "private",
    "cookie",
    "sess",
    "bearer",
    "otp",
    "seed",
    "signature",
    "sig=",
    "identified by",
    "access",
    "_pw",
    "pw=",
    "kennwort",
    "jwt",
    "login",
    "sid=",
    "salt",
    "contrase",
    "community",
];

const NAME_MAX: usize = 96;

/// Parts that name a password by themselves.
const PASSWORDS: &[&str] = &[
    "pass",
    "passwd",
    "password",
    "passwords",
    "passwort",
    "kennwort",
    "pwd",
    "passphrase",
    "passcode",
    "psk",
    "pw",
    "pword",
    "passw",
    "dbpass",
    "userpass",
    "rootpass",
    "adminpass",
    "storepass",
    "keypass",
    "smtppass",
    "mysqlpass",
    "ftppass",
    "contraseña",
    "contrasena",
    "passin",
    "passout",
    "pswd",
    "pwrd",
    "sshpass",
    "ldappass",
    "mailpass",
    "emailpass",
    "authpass",
    "sqlpass",
    "wifipass",
    "becomepass",
];
/// Parts that name a token or a key by themselves.
const TOKEN_NAMES: &[&str] = &[
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "apikeys",
    "appkey",
    "authtoken",
    "credential",
    "credentials",
    "creds",
    "jwt",
    "bearer",
    "authorization",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "masterkey",
    "signingkey",
    "encryptionkey",
    "consumerkey",
    "accountkey",
    "sharedkey",
    "oauth",
    "clientsecret",
    "totp",
    "otp",
    "seed",
    "sessionid",
    "sessid",
    "phpsessid",
    "jsessionid",
    "aspsessionid",
    "sid",
    "session",
    "sess",
    "xsrf",
    "cookie",
    "authkeys",
];
/// Parts that say little.
const WEAK_NAMES: &[&str] =
    &["key", "keys", "auth", "private", "access", "signature", "sig", "salt", "login", "pin", "apisecret", "community"];
/// What stands before `key` when the key opens something.
const KEY_QUALIFIERS: &[&str] = &[
    "api",
    "secret",
    "access",
    "private",
    "auth",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "master",
    "account",
    "shared",
    "consumer",
    "client",
    "service",
    "app",
    "application",
    "license",
    "subscription",
    "deploy",
    "webhook",
    "admin",
    "live",
    "server",
    "hmac",
    "aes",
    "jwt",
    "stream",
    "write",
    "ingest",
    "storage",
    "project",
    "integration",
    "rest",
    "user",
    "session",
    "cookie",
    "sdk",
    "merchant",
    "provision",
    "device",
    "crypt",
    "decryption",
    "security",
    "function",
    "host",
];
/// What stands before `key` when it opens nothing.
const KEY_INNOCENTS: &[&str] = &[
    "public",
    "pub",
    "primary",
    "foreign",
    "partition",
    "sort",
    "cache",
    "hot",
    "short",
    "registry",
    "translation",
    "row",
    "unique",
    "composite",
    "route",
    "message",
    "lookup",
    "group",
    "object",
    "idempotency",
    "index",
    "map",
    "i18n",
    "press",
    "function",
    "arrow",
    "enter",
    "shift",
    "cursor",
    "known",
    "recv",
    "trusted",
    "hash",
    "range",
];
/// What stands after a name when the value is about the secret and not the secret.
const ABOUT: &[&str] = &[
    "id",
    "ids",
    "name",
    "names",
    "path",
    "paths",
    "file",
    "files",
    "filename",
    "dir",
    "type",
    "types",
    "size",
    "length",
    "len",
    "min",
    "max",
    "count",
    "policy",
    "url",
    "uri",
    "endpoint",
    "expiry",
    "expires",
    "expiration",
    "expire",
    "ttl",
    "timeout",
    "version",
    "algorithm",
    "algo",
    "alg",
    "field",
    "fields",
    "label",
    "placeholder",
    "prompt",
    "hint",
    "reset",
    "strength",
    "required",
    "enabled",
    "disabled",
    "rotation",
    "format",
    "prefix",
    "suffix",
    "header",
    "input",
    "form",
    "page",
    "link",
    "error",
    "message",
    "validator",
    "store",
    "manager",
    "provider",
    "ref",
    "selector",
    "generator",
    "arn",
    "fingerprint",
    "status",
    "state",
    "age",
    "date",
    "time",
    "changed",
    "column",
    "index",
    "class",
    "count",
    "limit",
    "usage",
    "vault",
    "hash",
    "alias",
    "scope",
    "scopes",
    "kind",
    "source",
    "domain",
    "method",
    "mode",
    "board",
    "word",
    "words",
    "map",
    "maps",
    "code",
    "codes",
    "event",
    "events",
    "handler",
    "test",
    "valid",
    "exists",
    "location",
    "bits",
    "pair",
    "ring",
    "chain",
    "server",
    "service",
    "host",
    "port",
    "issuer",
    "audience",
    "lifetime",
    "window",
    "group",
    "pattern",
    "regex",
    "manager",
    "mapping",
    "list",
];
/// What stands before a name when the value is yes, no or a number.
const ASKING: &[&str] = &[
    "is", "has", "no", "num", "min", "max", "show", "hide", "forgot", "require", "requires", "needs", "without", "max",
    "count", "use", "with", "total", "n",
];
/// What may stand after a name without changing what it names.
const TAILS: &[&str] = &[
    "value",
    "plain",
    "plaintext",
    "base64",
    "b64",
    "raw",
    "string",
    "str",
    "production",
    "prod",
    "dev",
    "development",
    "staging",
    "live",
    "default",
    "old",
    "new",
    "current",
    "primary",
    "secondary",
    "data",
    "text",
    "key",
    "param",
    "env",
];

/// What a part of a name says: a bit for each list it is in.
mod says {
    pub(super) const PASSWORD: u16 = 1;
    pub(super) const TOKEN: u16 = 2;
    pub(super) const WEAK: u16 = 4;
    pub(super) const QUALIFIER: u16 = 8;
    pub(super) const INNOCENT: u16 = 16;
    pub(super) const ABOUT: u16 = 32;
    pub(super) const ASKING: u16 = 64;
    pub(super) const TAIL: u16 = 128;
}

/// The lists above, asked at once: words, what is said of them, and their hashes.
struct Lexicon {
    words: Vec<(&'static [u8], u16, usize)>,
    /// For each hash one more than the place of its first word; words of one hash follow each other.
    slots: Vec<u16>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let lists = [
        (PASSWORDS, says::PASSWORD),
        (TOKEN_NAMES, says::TOKEN),
        (WEAK_NAMES, says::WEAK),
        (KEY_QUALIFIERS, says::QUALIFIER),
        (KEY_INNOCENTS, says::INNOCENT),
        (ABOUT, says::ABOUT),
        (ASKING, says::ASKING),
        (TAILS, says::TAIL),
    ];
    let mut said: BTreeMap<&'static [u8], u16> = BTreeMap::new();
    for (list, bit) in lists {
        for word in list {
            *said.entry(word.as_bytes()).or_default() |= bit;
        }
    }
    let mut words: Vec<_> = said.into_iter().map(|(word, says)| (word, says, Lexicon::slot(word))).collect();
    words.sort_by_key(|(_, _, slot)| *slot);
    let mut slots = vec![0; Lexicon::SLOTS];
    for (n, (_, _, slot)) in words.iter().enumerate().rev() {
        slots[*slot] = u16::try_from(n + 1).expect("a few hundred words");
    }
    Lexicon { words, slots }
});

impl Lexicon {
    const SLOTS: usize = 2048;

    fn slot(word: &[u8]) -> usize {
        let hash = word.iter().fold(word.len(), |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
        (hash ^ hash >> 11) % Self::SLOTS
    }

    fn says(&self, part: &[u8]) -> u16 {
        let slot = Self::slot(part);
        let Some(first) = usize::from(self.slots[slot]).checked_sub(1) else { return 0 };
        let list = self.words[first..].iter().take_while(|(_, _, other)| *other == slot);
        list.filter(|(word, ..)| *word == part).map(|(_, says, _)| *says).next().unwrap_or(0)
    }
}

/// A name that says something, and where it ends.
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) strength: Strength,
    pub(super) class: Class,
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$') || byte >= 0x80
}

/// A name has no more parts; what has is no name.
const PARTS_MAX: usize = 48;

/// A name in lower case, and where its parts begin and end.
struct Parts {
    lower: [u8; 2 * NAME_MAX],
    ends: [(u8, u8); PARTS_MAX],
    count: usize,
}

impl Parts {
    /// Splits a name at separators, at digits and where its case turns. `None` if it has more parts than names have.
    #[inline(always)]
    fn of(name: &[u8]) -> Option<Self> {
        const {
            assert!(2 * NAME_MAX < 256, "places fit a byte");
        }
        let mut found = Self { lower: [0; 2 * NAME_MAX], ends: [(0, 0); PARTS_MAX], count: 0 };
        for (lower, byte) in found.lower.iter_mut().zip(name) {
            *lower = byte.to_ascii_lowercase();
        }
        let kind = |b: u8| match b {
            b'a'..=b'z' | 0x80.. => 1,
            b'A'..=b'Z' => 2,
            b'0'..=b'9' => 3,
            _ => 0,
        };
        let mut start = None;
        let mut before = 0;
        let mut now = name.first().map_or(0, |b| kind(*b));
        for at in 0..=name.len() {
            let next = name.get(at + 1).map_or(0, |b| kind(*b));
            // `APIKey` is `API` and `Key`: a capital begins a part if a small letter is on either side of it.
            let turns = match (before, now) {
                (1, 2) | (3, 1 | 2) | (1 | 2, 3) => true,
                (2, 2) => next == 1,
                _ => false,
            };
            if let Some(from) = start
                && (now == 0 || turns)
            {
                *found.ends.get_mut(found.count)? = (from, u8::try_from(at).ok()?);
                found.count += 1;
                start = None;
            }
            if now != 0 && start.is_none() {
                start = Some(u8::try_from(at).ok()?);
            }
            (before, now) = (now, next);
        }
        Some(found)
    }

    fn part(&self, n: usize) -> &[u8] {
        let (start, end) = self.ends[n];
        &self.lower[usize::from(start)..usize::from(end)]
    }

    fn end(&self, n: usize) -> usize {
        usize::from(self.ends[n].1)
    }
}

/// What one part says, alone or by how it ends; `says` is what the lists say of it.
fn part_strength(part: &[u8], says: u16) -> Option<Strength> {
    if says & says::PASSWORD != 0 {
        return Some(Strength::Strong);
    }
    if says & says::TOKEN != 0 {
        return Some(Strength::Medium);
    }
    if says & says::WEAK != 0 {
        return Some(Strength::Weak);
    }
    // What each of the endings below ends with.
    if part.len() > 6 && matches!(part.last(), Some(b'd' | b'e' | b't' | b'n' | b'y')) {
        let ends = |words: &[&str]| words.iter().any(|end| part.ends_with(end.as_bytes()));
        if ends(&["password", "passwd", "passphrase", "passwort"]) {
            return Some(Strength::Strong);
        }
        if ends(&["secret", "token", "apikey", "accesskey", "secretkey", "privatekey", "authkey"]) {
            return Some(Strength::Medium);
        }
        let words = [
            "monkey", "turkey", "donkey", "hockey", "whiskey", "jockey", "hotkey", "passkey", "lackey", "flunkey",
            "mickey",
        ];
        if ends(&["key"]) && !ends(&words) {
            return Some(Strength::Weak);
        }
    }
    None
}

fn class_of(part: &[u8], strength: Strength, before: &[u8]) -> Class {
    match part {
        b"secret" | b"secrets" | b"clientsecret" | b"seed" | b"salt"
            if !matches!(before, b"totp" | b"otp" | b"mfa" | b"twofactor") =>
        {
            Class::GenericSecret
        }
        b"totp" | b"otp" => Class::TotpSeed,
        b"secret" | b"seed" => Class::TotpSeed,
        b"authorization" | b"bearer" => Class::AuthHeader,
        b"sessionid" | b"sessid" | b"phpsessid" | b"jsessionid" | b"aspsessionid" | b"sid" | b"session" | b"sess"
        | b"xsrf" | b"cookie" => Class::SessionCookie,
        _ if strength == Strength::Strong => Class::Password,
        _ => Class::ApiKey,
    }
}

/// Where a name ends that says nothing, however many hints follow in it.
pub(super) fn nameless_to(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(NAME_MAX).take_while(|b| in_name(**b)).count()
}

/// Reads the name around a hint at `at`. `None` if none of its parts says anything.
pub(super) fn name_at(text: &[u8], at: usize, hint_len: usize) -> Option<Name> {
    let start = at - text[..at].iter().rev().take(NAME_MAX).take_while(|b| in_name(**b)).count();
    let start = start + text[start..at].iter().take_while(|b| matches!(b, b'-' | b'.' | b'$')).count();
    // An escape before the name (`\nTOKEN`, `\tkey`) is not part of it.
    let start = if start > 0
        && text[start - 1] == b'\\'
        && matches!(text[start], b'n' | b't' | b'r')
        && text.get(start + 1).is_some_and(u8::is_ascii_uppercase)
    {
        start + 1
    } else {
        start
    };
    let end = at + text[at..].iter().take(NAME_MAX.max(hint_len)).take_while(|b| in_name(**b)).count();
    if end <= at || start >= end {
        return None;
    }
    let parts = Parts::of(&text[start..end])?;
    let lexicon = &*LEXICON;
    let mut says = [0; PARTS_MAX];
    let mut strengths = [None; PARTS_MAX];
    for n in 0..parts.count {
        says[n] = lexicon.says(parts.part(n));
        strengths[n] = part_strength(parts.part(n), says[n]);
    }
    let last = (0..parts.count).rev().find(|n| strengths[*n].is_some())?;
    let word = parts.part(last);
    let (before, says_before) = if last > 0 { (parts.part(last - 1), says[last - 1]) } else { (&b""[..], 0) };
    let mut strength = strengths[last]?;
    let tail = last + 1..parts.count;
    let ends_known = says[..parts.count][tail.clone()].last().is_some_and(|says| says & says::TAIL != 0);
    if tail.clone().any(|n| says[n] & says::ABOUT != 0) && !ends_known {
        // `token_url`, `key_id`. But the name may hide the value in itself: see `attached`.
        return Some(Name { start, end: start + parts.end(last), strength: Strength::Weak, class: Class::ApiKey })
            .filter(|_| tail.len() > 3);
    }
    if last > 0 && says_before & says::ASKING != 0 && strength == Strength::Strong {
        return None;
    }
    let is_key = matches!(word, b"key" | b"keys");
    if is_key {
        if says_before & says::INNOCENT != 0 {
            return None;
        }
        if says_before & says::QUALIFIER != 0
            || (0..parts.count).any(|n| matches!(parts.part(n), b"secret" | b"api" | b"token"))
        {
            strength = Strength::Medium;
        }
    }
    // Of two keys the public one is no secret, also when prose says so.
    if is_key && last == 0 {
        let lead = &text[start.saturating_sub(10)..start];
        let said = |word: &str| {
            lead.len() >= word.len() && lead[lead.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
        };
        if ["public ", "primary ", "foreign ", "host ", "arrow "].into_iter().any(said) {
            return None;
        }
    }
    let known_tail = tail.clone().all(|n| {
        let part = parts.part(n);
        says[n] & says::TAIL != 0 || (tail.len() <= 2 && (part.len() <= 3 || part.iter().all(u8::is_ascii_digit)))
    });
    if !tail.is_empty() && !known_tail {
        strength = Strength::Weak;
    }
    // Another part may say more than the last: `secret_key`, `password_salt`.
    if strength == Strength::Weak
        && known_tail
        && strengths[..last].iter().any(|said| matches!(said, Some(Strength::Medium | Strength::Strong)))
    {
        strength = Strength::Medium;
    }
    let any_password = strengths[..parts.count].contains(&Some(Strength::Strong)) && strength == Strength::Strong;
    let class = if any_password { Class::Password } else { class_of(word, strengths[last]?, before) };
    // A tail that is no part of the name may be the value itself, joined by a dash.
    let end = if known_tail { end } else { start + parts.end(last) };
    Some(Name { start, end, strength, class })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_their_parts() {
        for (name, expected) in [
            ("db_password", Some(Strength::Strong)),
            ("dbPassword", Some(Strength::Strong)),
            ("PGPASSWORD", Some(Strength::Strong)),
            ("apiKey", Some(Strength::Medium)),
            ("APIKey", Some(Strength::Medium)),
            ("x-auth-token", Some(Strength::Medium)),
            ("vendorKey", Some(Strength::Weak)),
            ("monkey", None),
            ("passed", None),
            ("keyboard", None),
            ("compass", None),
            ("primary_key", None),
            ("author", None),
        ] {
            let hint = HINTS.iter().find_map(|hint| Some((name.to_lowercase().find(hint)?, hint.len())));
            let read = hint.and_then(|(at, len)| name_at(name.as_bytes(), at, len)).map(|name| name.strength);
            assert_eq!(read, expected, "{name}");
        }
    }
}
