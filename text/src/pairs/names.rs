//! Names of secrets, by their parts.
//!
//! Which words say password, token or key, which say something else, and how much a name says. It never looks at a value.

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
    "basic ",
    "otp",
    "seed",
    "mnemonic",
    "recovery",
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
    "api",
    "client",
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

/// Splits a name into parts at separators, at digits and where its case turns; gives each part's end too.
fn parts(name: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    let kind = |b: u8| {
        if b.is_ascii_lowercase() || b >= 0x80 {
            1
        } else if b.is_ascii_uppercase() {
            2
        } else if b.is_ascii_digit() {
            3
        } else {
            0
        }
    };
    for at in 0..=name.len() {
        let now = name.get(at).map_or(0, |b| kind(*b));
        let before = if at == 0 { 0 } else { kind(name[at - 1]) };
        let next = name.get(at + 1).map_or(0, |b| kind(*b));
        // `APIKey` is `API` and `Key`: a capital begins a part if a small letter is on either side of it.
        let turns = match (before, now) {
            (1, 2) => true,
            (2, 2) => next == 1 && at >= 1,
            (3, 1 | 2) | (1 | 2, 3) => true,
            _ => false,
        };
        if let Some(from) = start
            && (now == 0 || turns)
        {
            found.push((from, at));
            start = None;
        }
        if now != 0 && start.is_none() {
            start = Some(at);
        }
    }
    found
}

fn listed(words: &[&str], part: &str) -> bool {
    words.contains(&part)
}

/// What one part says, alone or by how it ends.
fn part_strength(part: &str) -> Option<Strength> {
    if listed(PASSWORDS, part) {
        return Some(Strength::Strong);
    }
    if listed(TOKEN_NAMES, part) {
        return Some(Strength::Medium);
    }
    if listed(WEAK_NAMES, part) {
        return Some(Strength::Weak);
    }
    if part.len() > 6 {
        if ["password", "passwd", "passphrase", "passwort"].iter().any(|end| part.ends_with(end)) {
            return Some(Strength::Strong);
        }
        if ["secret", "token", "apikey", "accesskey", "secretkey", "privatekey", "authkey"]
            .iter()
            .any(|end| part.ends_with(end))
        {
            return Some(Strength::Medium);
        }
        let word = [
            "monkey", "turkey", "donkey", "hockey", "whiskey", "jockey", "hotkey", "passkey", "lackey", "flunkey",
            "mickey",
        ];
        if part.ends_with("key") && !word.iter().any(|w| part.ends_with(w)) {
            return Some(Strength::Weak);
        }
    }
    None
}

fn class_of(part: &str, before: &str) -> Class {
    match part {
        "secret" | "secrets" | "clientsecret" | "seed" | "salt"
            if !matches!(before, "totp" | "otp" | "mfa" | "twofactor") =>
        {
            Class::GenericSecret
        }
        "totp" | "otp" => Class::TotpSeed,
        "secret" | "seed" => Class::TotpSeed,
        "authorization" | "bearer" => Class::AuthHeader,
        "sessionid" | "sessid" | "phpsessid" | "jsessionid" | "aspsessionid" | "sid" | "session" | "sess" | "xsrf"
        | "cookie" => Class::SessionCookie,
        _ if part_strength(part) == Some(Strength::Strong) => Class::Password,
        _ => Class::ApiKey,
    }
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
    let name = &text[start..end];
    let parts = parts(name);
    let words: Vec<String> = parts.iter().map(|(a, b)| String::from_utf8_lossy(&name[*a..*b]).to_lowercase()).collect();
    let last = (0..words.len()).rev().find(|i| part_strength(&words[*i]).is_some())?;
    let word = words[last].as_str();
    let before = if last > 0 { words[last - 1].as_str() } else { "" };
    let mut strength = part_strength(word)?;
    let tail = &words[last + 1..];
    if tail.iter().any(|part| listed(ABOUT, part)) && !(listed(TAILS, tail.last().map_or("", String::as_str))) {
        // `token_url`, `key_id`. But the name may hide the value in itself: see `attached`.
        return Some(Name { start, end: start + parts[last].1, strength: Strength::Weak, class: Class::ApiKey })
            .filter(|_| tail.len() > 3);
    }
    if last > 0 && listed(ASKING, before) && strength == Strength::Strong {
        return None;
    }
    if matches!(word, "key" | "keys") {
        if listed(KEY_INNOCENTS, before) {
            return None;
        }
        if listed(KEY_QUALIFIERS, before) || words.iter().any(|w| w == "secret" || w == "api" || w == "token") {
            strength = Strength::Medium;
        }
    }
    // Of two keys the public one is no secret, also when prose says so.
    if matches!(word, "key" | "keys") && last == 0 {
        let lead = text[start.saturating_sub(10)..start].to_ascii_lowercase();
        if ["public ", "primary ", "foreign ", "host ", "arrow "].iter().any(|said| lead.ends_with(said.as_bytes())) {
            return None;
        }
    }
    let known_tail = tail.iter().all(|part| {
        listed(TAILS, part) || (tail.len() <= 2 && (part.len() <= 3 || part.bytes().all(|b| b.is_ascii_digit())))
    });
    if !tail.is_empty() && !known_tail {
        strength = Strength::Weak;
    }
    // Another part may say more than the last: `secret_key`, `password_salt`.
    if strength == Strength::Weak
        && known_tail
        && words[..last].iter().any(|w| matches!(part_strength(w), Some(Strength::Medium | Strength::Strong)))
    {
        strength = Strength::Medium;
    }
    let any_password = words.iter().any(|w| part_strength(w) == Some(Strength::Strong)) && strength != Strength::Weak;
    let class = if any_password && strength == Strength::Strong { Class::Password } else { class_of(word, before) };
    // A tail that is no part of the name may be the value itself, joined by a dash.
    let end = if known_tail { end } else { start + parts[last].1 };
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
