//! One pass over a stretch of text: cheap signs first, and only where one stands is anything read.
//!
//! Literals (beginnings of tokens, names, commands) are found by one automaton; `@`, `:` and digits by plain scans. Every
//! reading is bounded, so that no text makes the pass slower than linear.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::class::{Class, Span};
use crate::rules::Policy;
use crate::{blocks, checks, commands, links, numbers, packs, pairs, tokens};

/// What a literal is the sign of.
#[derive(Clone, Copy, Debug)]
enum Sign {
    Token(usize),
    Infix(usize),
    Hook(usize),
    Name,
    Command(usize),
    Sudo,
    Armour,
    Putty,
    Hash,
    Scheme,
    Jwt,
    Seed,
    Otp,
    Age,
    Cookie,
    Ether,
    Segwit,
    Centre,
}

struct Signs {
    automaton: AhoCorasick,
    meanings: Vec<Sign>,
    lengths: Vec<usize>,
}

static SIGNS: LazyLock<Signs> = LazyLock::new(|| {
    let mut words: Vec<(&str, Sign)> = Vec::new();
    words.extend(tokens::TOKENS.iter().enumerate().map(|(i, token)| (token.start, Sign::Token(i))));
    words.extend(tokens::INFIXES.iter().enumerate().map(|(i, infix)| (infix.0, Sign::Infix(i))));
    words.extend(tokens::HOOKS.iter().enumerate().map(|(i, host)| (*host, Sign::Hook(i))));
    words.extend(pairs::HINTS.iter().map(|hint| (*hint, Sign::Name)));
    words.extend(commands::names().enumerate().map(|(i, name)| (name, Sign::Command(i))));
    words.extend([
        ("sudo", Sign::Sudo),
        ("-BEGIN", Sign::Armour),
        ("- BEGIN", Sign::Armour),
        ("PuTTY-User-Key-File-", Sign::Putty),
    ]);
    words.extend(
        [
            "$1$", "$2$", "$2a$", "$2b$", "$2x$", "$2y$", "$3$", "$5$", "$6$", "$7$", "$8$", "$9$", "$y$", "$gy$",
            "$md5", "$sha1$", "$apr1$", "$P$", "$H$", "$S$", "$argon2", "$pbkdf2", "$scrypt", "$bcrypt", "$krb5",
            "$NETNTLM", "$DCC2", "{SSHA", "{SHA", "{SMD5}", "{MD5}", "{CRYPT}", "{PBKDF2", "{ARGON2}",
        ]
        .map(|start| (start, Sign::Hash)),
    );
    words.extend([
        ("://", Sign::Scheme),
        ("eyJ", Sign::Jwt),
        ("otpauth://", Sign::Otp),
        ("AGE-SECRET-KEY-", Sign::Age),
        ("AGE-PLUGIN-", Sign::Age),
        ("0x", Sign::Ether),
    ]);
    words.extend(
        [
            "seed phrase",
            "seed words",
            "mnemonic",
            "recovery phrase",
            "recovery words",
            "wallet words",
            "backup phrase",
            "secret phrase",
        ]
        .map(|word| (word, Sign::Seed)),
    );
    words.extend(
        ["cookie:", "cookie=", "cookie\":", "cookie':", "cookie\\\":", "cookie "].map(|word| (word, Sign::Cookie)),
    );
    words.extend(["bc1", "tb1", "ltc1"].map(|word| (word, Sign::Segwit)));
    words.push(("-us", Sign::Centre));
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words.iter().map(|(word, _)| word))
        .expect("a few hundred short words make a small automaton");
    Signs {
        automaton,
        lengths: words.iter().map(|(word, _)| word.len()).collect(),
        meanings: words.into_iter().map(|(_, sign)| sign).collect(),
    }
});

/// Finds what the policy hides. Signs are looked for in `text[from..to]`; what they begin may be read beyond.
pub(crate) fn find(text: &[u8], from: usize, to: usize, policy: &Policy, found: &mut Vec<Span>) {
    literals(text, from, to, policy, found);
    dots(text, from, to, found);
    if policy.personal {
        addresses(text, from, to, found);
    }
    digits(text, from, to, policy, found);
    if policy.public_ip || policy.every_ip || policy.packs {
        colons(text, from, to, policy, found);
    }
    blocks::find_seeds(&text[from..to], &mut |start, end| {
        found.push(Span { start: from + start, end: from + end, class: Class::SeedPhrase });
    });
    if policy.packs {
        packs::find(text, from, to, found);
    }
}

fn literals(text: &[u8], from: usize, to: usize, policy: &Policy, found: &mut Vec<Span>) {
    let mut read_to = from;
    let mut cookies_to = from;
    // The command that was read last, and how far: its later flags were met then.
    let mut command = (usize::MAX, from);
    for hit in SIGNS.automaton.find_overlapping_iter(&text[from..to]) {
        let at = from + hit.start();
        let which = hit.pattern().as_usize();
        let mut hide = |start: usize, end: usize, class: Class| {
            if start < end {
                found.push(Span { start, end, class });
            }
        };
        match SIGNS.meanings[which] {
            Sign::Token(i) => {
                if let Some(end) = tokens::TOKENS[i].find(text, at) {
                    hide(at, end, tokens::TOKENS[i].class());
                }
            }
            Sign::Infix(i) => {
                if let Some((start, end)) = tokens::find_infix(text, at, i) {
                    hide(start, end, Class::ApiKey);
                }
            }
            Sign::Hook(i) => {
                if let Some((start, end)) = tokens::find_hook(text, at, i) {
                    hide(start, end, Class::ApiKey);
                }
            }
            Sign::Name if at >= read_to => {
                read_to = pairs::find(text, at, SIGNS.lengths[which], &mut hide);
            }
            Sign::Name => {}
            Sign::Command(i) if command.0 == i && at < command.1 => {}
            Sign::Command(i) => command = (i, commands::find(text, at, i, &mut hide)),
            Sign::Sudo => commands::find_piped(text, at, &mut hide),
            Sign::Armour => {
                if let Some((start, end)) = blocks::find_armour(text, at) {
                    hide(start, end, Class::PrivateKey);
                }
            }
            Sign::Putty => hide(at, blocks::find_putty(text, at), Class::PrivateKey),
            Sign::Hash => {
                if let Some(end) = blocks::find_hash(text, at) {
                    hide(at, end, Class::PasswordHash);
                }
            }
            Sign::Scheme => {
                links::find_userinfo(text, at, &mut hide);
                if policy.packs
                    && let Some((start, end)) = packs::find_link(text, at)
                {
                    hide(start, end, Class::Url);
                }
            }
            Sign::Jwt => {
                if let Some(end) = tokens::find_jwt(text, at) {
                    hide(at, end, Class::Jwt);
                }
            }
            Sign::Seed => {
                if let Some((start, end)) = blocks::words_after(text, at + SIGNS.lengths[which]) {
                    hide(start, end, Class::SeedPhrase);
                }
            }
            Sign::Otp => otp(text, at, &mut hide),
            Sign::Age => {
                let n = text[at..].iter().take(256).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
                if n >= 40 {
                    hide(at, at + n, Class::PrivateKey);
                }
            }
            Sign::Cookie if at < cookies_to => {}
            Sign::Cookie => cookies_to = pairs::cookies(text, at + SIGNS.lengths[which], &mut hide),
            Sign::Ether if policy.personal => {
                let n = text[at + 2..].iter().take(65).take_while(|b| b.is_ascii_hexdigit()).count();
                if n == 40
                    && tokens::begins_here(text, at)
                    && !text.get(at + 42).is_some_and(u8::is_ascii_alphanumeric)
                    && crate::values::is_random(&text[at + 2..at + 42], 40)
                {
                    hide(at, at + 42, Class::CryptoWallet);
                }
            }
            Sign::Segwit if policy.personal => {
                let n = text[at..].iter().take(91).take_while(|b| b.is_ascii_alphanumeric()).count();
                if (26..=90).contains(&n) && tokens::begins_here(text, at) && checks::bech32(&text[at..at + n]) {
                    hide(at, at + n, Class::CryptoWallet);
                }
            }
            Sign::Ether | Sign::Segwit => {}
            Sign::Centre => {
                if let Some((start, end)) = tokens::find_with_centre(text, at) {
                    hide(start, end, Class::ApiKey);
                }
            }
        }
    }
}

/// The seed in the link of a one-time password.
fn otp(text: &[u8], at: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
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

/// Tokens in three parts between dots.
fn dots(text: &[u8], from: usize, to: usize, found: &mut Vec<Span>) {
    for dot in memchr::memchr_iter(b'.', &text[from..to]).map(|i| from + i) {
        let second = text.get(dot + 7) == Some(&b'.') || text.get(dot + 8) == Some(&b'.');
        if !second {
            continue;
        }
        let first = text[..dot]
            .iter()
            .rev()
            .take(40)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            .count();
        let start = dot - first;
        if matches!(text.get(start), Some(b'M' | b'N' | b'O'))
            && let Some(end) = tokens::find_dotted(text, start)
        {
            found.push(Span { start, end, class: Class::ApiKey });
        }
    }
}

fn addresses(text: &[u8], from: usize, to: usize, found: &mut Vec<Span>) {
    for at in memchr::memchr_iter(b'@', &text[from..to]).map(|i| from + i) {
        let Some((start, end)) = links::find_email(text, at) else { continue };
        // In `scheme://user:secret@host` the sign belongs to the link.
        let lead = &text[start.saturating_sub(128)..start];
        let word = lead.iter().rposition(u8::is_ascii_whitespace).map_or(0, |i| i + 1);
        let in_link = memchr::memmem::rfind(&lead[word..], b"://").is_some_and(|i| {
            let rest = &lead[word + i + 3..];
            !rest.iter().any(|b| matches!(b, b'/' | b'?' | b'"'))
        });
        if !in_link {
            found.push(Span { start, end, class: Class::Email });
        }
    }
}

fn digits(text: &[u8], from: usize, to: usize, policy: &Policy, found: &mut Vec<Span>) {
    let mut at = from;
    while at < to {
        let Some(skip) = text[at..to].iter().position(u8::is_ascii_digit) else { return };
        at += skip;
        let n = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        number(text, at, n, policy, found);
        at += n;
    }
}

fn number(text: &[u8], at: usize, n: usize, policy: &Policy, found: &mut Vec<Span>) {
    let mut hide = |start: usize, end: usize, class: Class| found.push(Span { start, end, class });
    let next = text.get(at + n).copied().unwrap_or(b' ');
    let before = at.checked_sub(1).map_or(b' ', |i| text[i]);
    if next == b':' {
        if let Some(end) = tokens::find_bot(text, at, n) {
            hide(at, end, Class::ApiKey);
        }
        numbers::find_pgpass(text, at, n, &mut hide);
    }
    if policy.personal {
        if (4..=19).contains(&n)
            && let Some(end) = numbers::find_card(text, at)
        {
            hide(at, end, Class::CreditCard);
            return;
        }
        if before.is_ascii_alphabetic()
            && n >= 2
            && let Some((start, end)) = numbers::find_iban(text, at)
        {
            hide(start, end, Class::Iban);
            return;
        }
        if matches!(n, 3 | 9)
            && let Some(end) = numbers::find_ssn(text, at)
        {
            hide(at, end, Class::UsSsn);
            return;
        }
        if matches!(text[at], b'1' | b'3')
            && (next.is_ascii_alphabetic() || n > 20)
            && let Some(end) = numbers::find_wallet(text, at)
        {
            hide(at, end, Class::CryptoWallet);
        }
    }
    if (policy.public_ip || policy.every_ip)
        && next == b'.'
        && n <= 3
        && let Some((end, address)) = links::find_v4(text, at)
    {
        if policy.every_ip || links::is_public(address.into()) {
            hide(at, end, Class::Ip);
        }
        return;
    }
    if policy.every_ip
        && (n <= 4)
        && let Some(end) = links::find_mac(text, at)
    {
        hide(at, end, Class::Mac);
        return;
    }
    // A phone number is read from its first digits only.
    if policy.personal
        && n <= 15
        && (n >= 7 || matches!(next, b' ' | b'-' | b'.' | b')' | b'/' | b'('))
        && let Some((start, end)) = numbers::find_phone(text, at)
    {
        hide(start, end, Class::Phone);
    }
}

fn colons(text: &[u8], from: usize, to: usize, policy: &Policy, found: &mut Vec<Span>) {
    let mut done = from;
    for at in memchr::memchr_iter(b':', &text[from..to]).map(|i| from + i) {
        let next = text.get(at + 1).copied().unwrap_or(b' ');
        if at < done || !(next == b':' || next.is_ascii_hexdigit()) {
            continue;
        }
        if let Some((start, end, address)) = links::find_colons(text, at) {
            done = end;
            match address {
                Some(address) if policy.every_ip || (policy.public_ip && links::is_public(address.into())) => {
                    found.push(Span { start, end, class: Class::Ip });
                }
                None if policy.every_ip => found.push(Span { start, end, class: Class::Mac }),
                _ => {}
            }
        }
    }
    if policy.every_ip {
        // Hardware addresses with dashes or dots that begin with a letter; those with a digit are met among the numbers.
        for at in memchr::memchr2_iter(b'-', b'.', &text[from..to]).map(|i| from + i) {
            let lead = if text[at] == b'-' { 2 } else { 4 };
            if at >= lead
                && text[at - lead].is_ascii_alphabetic()
                && let Some(end) = links::find_mac(text, at - lead)
            {
                found.push(Span { start: at - lead, end, class: Class::Mac });
            }
        }
    }
}
