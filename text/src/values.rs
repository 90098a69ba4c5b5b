//! Whether a value is a secret or only stands where one could stand.
//!
//! Structure decides: variables, calls, paths, type names and sample words are not secrets. Entropy only breaks ties.

// The build script reads this module, too, and looks for its parts from here.
#[path = "values/wording.rs"]
mod wording;

use wording::is_odd;
pub(crate) use wording::{is_compound, is_unusual, is_wordy};

/// How much the name before a value says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Strength {
    /// Nearly anything bears such a name (`key`, `auth`): the value must look random.
    Weak,
    /// A name of tokens (`token`, `api_key`, `secret`): the value must look made by a machine.
    Medium,
    /// A name of passwords: people choose the value.
    Strong,
}

/// How the value stands in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dress {
    /// Between quotes.
    Quoted,
    /// Bare, right after `=` or on a line of `name: value`, as in configuration.
    Plain,
    /// Bare, where a programming language would put an expression, or in prose.
    Loose,
}

/// What a value looks like, counted once.
pub(crate) struct Look {
    pub(crate) len: usize,
    pub(crate) digits: usize,
    pub(crate) lower: usize,
    pub(crate) upper: usize,
    pub(crate) other: usize,
    /// How often the kind of character changes.
    pub(crate) changes: usize,
    pub(crate) distinct: usize,
    /// The longest run of one character.
    pub(crate) run: usize,
}

impl Look {
    pub(crate) fn of(value: &[u8]) -> Self {
        let mut seen = [0_u64; 4];
        let (mut digits, mut lower, mut upper, mut other, mut changes, mut run, mut longest) = (0, 0, 0, 0, 0, 0, 0);
        let (mut kind_before, mut before) = (9, 0);
        for byte in value {
            seen[usize::from(*byte >> 6)] |= 1 << (byte & 63);
            let kind = match byte {
                b'0'..=b'9' => {
                    digits += 1;
                    0
                }
                b'a'..=b'z' => {
                    lower += 1;
                    1
                }
                b'A'..=b'Z' => {
                    upper += 1;
                    2
                }
                _ => {
                    other += 1;
                    3
                }
            };
            changes += usize::from(kind != kind_before && kind_before != 9);
            run = if *byte == before { run + 1 } else { 1 };
            longest = longest.max(run);
            (kind_before, before) = (kind, *byte);
        }
        let distinct = seen.iter().map(|seen| seen.count_ones() as usize).sum();
        Self { len: value.len(), digits, lower, upper, other, changes, distinct, run: longest }
    }

    fn letters(&self) -> usize {
        self.lower + self.upper
    }
}

/// How often each byte stands in a value.
fn histogram(value: &[u8]) -> [u16; 256] {
    let mut seen = [0_u16; 256];
    for byte in value {
        let slot = &mut seen[usize::from(*byte)];
        *slot = slot.saturating_add(1);
    }
    seen
}

/// How often the byte stands in a value that stands there most.
fn most(value: &[u8]) -> usize {
    histogram(value).into_iter().max().map_or(0, usize::from)
}

/// Shannon's bits a character, as a share of what that many characters could carry at most.
fn evenness(value: &[u8]) -> f32 {
    let len = value.len().max(2) as f32;
    let bits = |n: u16| {
        let share = f32::from(n) / len;
        -share * share.log2()
    };
    histogram(value).into_iter().filter(|n| *n > 0).map(bits).sum::<f32>() / len.log2().min(6.0)
}

/// Words that fill the place of a value: they end a sentence, name a type, or say "put yours here".
const FILLERS: &[&str] = &[
    "none",
    "null",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "str",
    "text",
    "bool",
    "boolean",
    "int",
    "integer",
    "char",
    "bytes",
    "object",
    "array",
    "any",
    "void",
    "default",
    "required",
    "optional",
    "empty",
    "unset",
    "unknown",
    "disabled",
    "enabled",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
    "key",
    "keys",
    "apikey",
    "credentials",
    "username",
    "user",
    "value",
    "name",
    "field",
    "label",
    "hidden",
    "input",
    "prompt",
    "redacted",
    "masked",
    "removed",
    "omitted",
    "encrypted",
    "hashed",
    "plain",
    "plaintext",
    "generated",
    "invalid",
    "incorrect",
    "missing",
    "changed",
    "stored",
    "reset",
    "wrong",
    "correct",
    "expired",
    "authentication",
    "authorization",
    "bearer",
    "basic",
    "digest",
    "oauth",
    "example",
    "sample",
    "placeholder",
    "dummy",
    "foobar",
    "foo",
    "bar",
    "baz",
    "todo",
    "tbd",
    "yes",
    "no",
    "on",
    "off",
    "ask",
    "public",
    "private",
    "const",
    "static",
    "final",
    "new",
    "self",
    "this",
    "return",
    "function",
    "include",
    "import",
    "export",
    "option",
    "option<string>",
    "something",
    "anything",
    "whatever",
    "insert",
    "here",
    "not-set",
    "notset",
    "n/a",
    "na",
];

/// Parts that only a sample has.
const SAMPLES: &[&[u8]] = &[
    b"example",
    b"placeholder",
    b"your_",
    b"your-",
    b"yourkey",
    b"yourtoken",
    b"yoursecret",
    b"_here",
    b"-here",
    b"changeme",
    b"change_me",
    b"change-me",
    b"replace_me",
    b"replace-me",
    b"replaceme",
    b"insert_",
    b"insert-",
    b"enter_",
    b"xxxx",
    b"****",
    b"....",
    b"####",
    b"????",
    b"____",
    b"<your",
    b"redacted",
    b"abcdefghijklmnop",
    b"randomstring",
    b"not-set",
    b"todo",
    b"dummy",
    b"fake-",
    b"fake_",
    b"fakekey",
    b"fakepass",
    b"fakesecret",
    b"faketoken",
    b"afake",
    b"notarealkey",
    b"insert your",
    b"my-secret-",
    b"real_key",
];

/// Tells whether the value is a sample, a mask, a reference to where the secret is, or a mark of ours.
pub(crate) fn is_stand_in(value: &[u8]) -> bool {
    let Some((&first, rest)) = value.split_first() else { return true };
    let last = *value.last().unwrap_or(&first);
    if value.iter().all(|byte| *byte == first)
        || value.iter().all(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii())
    {
        return true;
    }
    match first {
        // A shell variable, a template, a substitution.
        b'$' => {
            let name = rest.strip_prefix(b"{").or_else(|| rest.strip_prefix(b"(")).unwrap_or(rest);
            if rest.first().is_some_and(|byte| matches!(byte, b'{' | b'('))
                || (name.len() == rest.len() && rest.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_'))
                || (name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_'))
            {
                return true;
            }
        }
        b'%' if last == b'%' || matches!(rest.first(), Some(b's' | b'(' | b'{' | b'v')) && rest.len() < 24 => {
            return true;
        }
        b'<' if (last == b'>'
            || rest.iter().take(20).all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b' '))) =>
        {
            return true;
        }
        b'{' if rest.first() == Some(&b'{')
            || (last == b'}' && rest.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'}'))) =>
        {
            return true;
        }
        b'[' if last == b']' => return true,
        b'#' | b'@' if rest.first() == Some(&b'{') => return true,
        b'`' | b'\'' if last == first || rest.first() == Some(&b'`') => return true,
        b'*' if rest.first() == Some(&b'*') => return true,
        b'-' if rest.first() == Some(&b'-') => return true,
        _ => {}
    }
    let closing = value.iter().rev().take_while(|b| b"):;,.!?&\\]".contains(b)).count();
    let bare = &value[..value.len() - closing];
    if bare.len() <= 24 && FILLERS.iter().any(|word| bare.eq_ignore_ascii_case(word.as_bytes())) {
        return true;
    }
    let lower: Vec<u8> = value.iter().take(200).map(u8::to_ascii_lowercase).collect();
    let has = |needle: &[u8]| memchr::memmem::find(&lower, needle).is_some();
    has_sample(&lower)
        || has_variable(&lower)
        || has(b"process.env")
        || has(b"os.environ")
        || has(b"getenv")
        || lower.starts_with(b"enc[")
        || lower.starts_with(b"vault:")
        || lower.starts_with(b"!secret")
        || lower.starts_with(b"arn:")
        || lower.starts_with(b"env:")
        || lower.starts_with(b"secrets.")
}

/// Which pairs of letters [`SAMPLES`] begin with, by a hash.
const SAMPLE_STARTS: [u64; 16] = {
    let mut starts = [0; 16];
    let mut i = 0;
    while i < SAMPLES.len() {
        let at = sample_start(SAMPLES[i][0], SAMPLES[i][1]);
        starts[at / 64] |= 1 << (at % 64);
        i += 1;
    }
    starts
};

const fn sample_start(a: u8, b: u8) -> usize {
    (a as usize & 31) << 5 | b as usize & 31
}

/// Tells whether one of [`SAMPLES`] stands in the value, which is in lower case.
fn has_sample(lower: &[u8]) -> bool {
    lower.windows(2).enumerate().any(|(i, pair)| {
        let at = sample_start(pair[0], pair[1]);
        SAMPLE_STARTS[at / 64] >> (at % 64) & 1 == 1 && SAMPLES.iter().any(|part| lower[i..].starts_with(part))
    })
}

/// `${name}` or `{{ name }}` somewhere inside: the value is filled in later. Loose braces are just characters.
fn has_variable(value: &[u8]) -> bool {
    [(&b"${"[..], &b"}"[..]), (b"{{", b"}}"), (b"#{", b"}")].iter().any(|(open, close)| {
        memchr::memmem::find(value, open).is_some_and(|i| {
            let rest = &value[i + open.len()..];
            memchr::memmem::find(rest, close).is_some_and(|n| {
                rest[..n].iter().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b' ' | b'-' | b':' | b'|' | b'$' | b'?')
                })
            })
        })
    })
}

/// Tells whether the value has signs that tokens have not. Between quotes only brackets that close count, as those of an
/// object, a call or a pattern do; a password drawn at random leaves some open.
fn has_brackets(value: &[u8], quoted: bool) -> bool {
    if !quoted {
        // An application's number and its secret stand on either side of a bar.
        let bar = memchr::memchr(b'|', value)
            .is_some_and(|at| at >= 10 && at + 16 < value.len() && value[..at].iter().all(u8::is_ascii_digit));
        return value.iter().any(|b| b"(){}[]<>*\\".contains(b) || *b == b'|' && !bar);
    }
    let count = |sign: u8| memchr::memchr_iter(sign, value).count();
    let pairs = [(b'(', b')'), (b'{', b'}'), (b'[', b']'), (b'<', b'>')];
    pairs.iter().any(|(open, _)| value.contains(open))
        && pairs.iter().all(|(open, close)| count(*open) == count(*close))
}

/// 40 hexadecimal digits in capitals: the fingerprint by which people name a public key.
pub(crate) fn is_fingerprint(value: &[u8]) -> bool {
    value.len() == 40 && value.iter().all(|b| b.is_ascii_digit() || matches!(b, b'A'..=b'F'))
}

/// The 8-4-4-4-12 of a UUID.
fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value
            .iter()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// `fern22Lake` between quotes: short words with digits and nothing between them, as people make up secrets.
fn is_chosen(value: &[u8], dress: Dress) -> bool {
    dress == Dress::Quoted
        && value.len() <= 14
        && value.iter().all(u8::is_ascii_alphanumeric)
        && value.iter().filter(|b| b.is_ascii_digit()).count() >= 2
}

/// Digits and letters one after the other, as nobody draws them: `1234567890abcdef`, `abcdefgh`, perhaps over and over.
fn is_sequence(value: &[u8]) -> bool {
    let next =
        |pair: &[u8]| pair[1] == pair[0].wrapping_add(1) || matches!(pair, b"90" | b"0a" | b"9a" | b"0A" | b"9A");
    let steps = value.windows(2).filter(|pair| next(pair)).count();
    value.len() >= 8 && steps * 3 >= value.len() * 2
}

fn is_word_path(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> =
        value.split(|b| matches!(b, b'.' | b':' | b'/' | b'-' | b'_')).filter(|part| !part.is_empty()).collect();
    parts.len() > 1 && parts.iter().all(|part| part.iter().all(u8::is_ascii_alphabetic))
}

/// Tells whether an unquoted value reads as an expression of a program: a call, a member, an index, an operator.
pub(crate) fn is_expression(value: &[u8]) -> bool {
    let call = memchr::memchr(b'(', value)
        .is_some_and(|at| at > 0 && value[..at].iter().all(|b| b.is_ascii_alphanumeric() || b"_.:$!*&".contains(b)));
    let index = memchr::memchr(b'[', value)
        .is_some_and(|at| at > 0 && value[..at].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')));
    let pointer = value.starts_with(b"*const") || value.starts_with(b"*mut");
    let member =
        pointer || memchr::memmem::find(value, b"->").is_some() || memchr::memmem::find(value, b"::").is_some();
    call || index || member || is_type(value) || matches!(value[0], b'(' | b'&' | b'|') || value.ends_with(b"(")
}

/// `Option<&str>`, `Vec<u8>`: a type that takes another.
fn is_type(value: &[u8]) -> bool {
    let named = value.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.')).count();
    named > 1 && value[0].is_ascii_alphabetic() && value.get(named) == Some(&b'<') && value.ends_with(b">")
}

/// `709u32`, `0x1f`, `1_000`: a number as programs write it.
fn is_literal(value: &[u8]) -> bool {
    if let Some(hex) = value.strip_prefix(b"0x").or_else(|| value.strip_prefix(b"0X")) {
        let digit = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'_' | b'u' | b'U' | b'l' | b'L');
        return value.len() <= 21 && hex.iter().all(digit);
    }
    let digits = value.iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    if digits == 0 || value.len() > digits + 5 {
        return false;
    }
    let suffix = value[digits..].to_ascii_lowercase();
    let sized = suffix.split_first().is_some_and(|(kind, size)| {
        matches!(kind, b'u' | b'i' | b'f') && matches!(size, b"8" | b"16" | b"32" | b"64" | b"128" | b"size")
    });
    sized || matches!(suffix.as_slice(), b"u" | b"l" | b"ul" | b"ll" | b"ull" | b"lu")
}

/// `D3D11_STENCIL_OP`: a constant, as programs name them.
fn is_constant(value: &[u8]) -> bool {
    value.contains(&b'_')
        && value.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        && is_compound(value)
}

fn is_path_or_link(value: &[u8]) -> bool {
    if memchr::memmem::find(value, b"://").is_some() {
        return true;
    }
    let rooted = value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"../")
        || value.starts_with(b"~/")
        || (value.len() > 3 && value[1..].starts_with(b":\\"));
    let look = Look::of(value);
    (rooted
        && look.digits * 6 < look.len
        && look.other * 24 > look.len
        && value.iter().all(|b| !matches!(b, b'+' | b'=')))
        || (memchr::memchr_iter(b'/', value).count() >= 2 && look.digits == 0 && look.upper * 4 < look.len)
}

/// `lake/fern-2.asm`: a path that ends as files do.
fn is_file_path(value: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', value) else { return false };
    let ending = &value[dot + 1..];
    (1..=4).contains(&ending.len()) && ending.iter().all(u8::is_ascii_lowercase)
}

/// Tells whether the value looks drawn at random by a machine.
pub(crate) fn is_random(value: &[u8], least: usize) -> bool {
    let look = Look::of(value);
    // What a program packs as base64 has one letter, that of zeros, again and again.
    let packed = || look.len >= 40 && most(value) * 6 > look.len && !value.iter().all(u8::is_ascii_hexdigit);
    if look.len < least
        || look.distinct < 6
        || look.run * 4 > look.len
        || packed()
        || is_wordy(value)
        || is_sequence(value)
        || is_slug(value, &look)
    {
        return false;
    }
    if is_uuid(value) {
        return look.distinct >= 8;
    }
    let hex = value.iter().all(u8::is_ascii_hexdigit);
    if hex && look.len >= 16 {
        return look.digits >= 2 && look.letters() >= 1;
    }
    // Without digits cases must mix as no word does, or it must be long and even.
    let mixed = look.len >= 16 && look.upper >= 3 && look.lower >= 3 && look.changes * 3 > look.len;
    if look.digits == 0 {
        let one_case = look.other == 0 && (look.upper == 0 || look.lower == 0);
        let solid = look.len >= 20 && one_case && (evenness(value) > 0.82 || is_unusual(value));
        return mixed || solid;
    }
    if look.letters() == 0 {
        return look.len >= 16 && look.other == 0;
    }
    (look.digits >= 2 || mixed)
        && evenness(value) > 0.72
        && (look.changes >= 3 || look.len >= 24)
        && look.other * 4 <= look.len
}

/// Tells whether `value` under a name of that strength is a secret.
pub(crate) fn is_secret(value: &[u8], strength: Strength, dress: Dress) -> bool {
    // What costs most is asked last.
    value.len() >= 3 && could_be(value, strength, dress) && !is_stand_in(value)
}

fn could_be(value: &[u8], strength: Strength, dress: Dress) -> bool {
    let look = Look::of(value);
    // What is asked below in any case, and costs least.
    let hopeless = match strength {
        Strength::Strong => look.len < 4,
        Strength::Medium => look.len < 8,
        Strength::Weak => look.len < 12 || look.distinct < 6 || look.run * 4 > look.len || is_wordy(value),
    };
    if hopeless {
        return false;
    }
    if dress != Dress::Quoted && (is_expression(value) || is_literal(value) || is_constant(value)) {
        return false;
    }
    // Tokens have no brackets and are not made of words, and prose has no use for a path's slashes.
    if strength != Strength::Strong
        && (has_brackets(value, dress == Dress::Quoted)
            || (is_compound(value) && !is_chosen(value, dress))
            || is_sequence(value)
            || memchr::memmem::find(value, b"\\u").is_some())
    {
        return false;
    }
    if dress == Dress::Loose && value.contains(&b'/') && (!is_random(value, 16) || is_file_path(value)) {
        return false;
    }
    if is_path_or_link(value) && strength != Strength::Strong {
        return false;
    }
    match strength {
        Strength::Strong => is_password(value, &look, dress),
        Strength::Medium => is_token(value, &look, dress),
        Strength::Weak => {
            let named = is_version_or_date(value) || is_slug(value, &look);
            let quoted_by_people = dress == Dress::Loose && is_fingerprint(value);
            !(named || quoted_by_people || value.contains(&b' '))
                && is_random(value, if dress == Dress::Loose { 20 } else { 12 })
        }
    }
}

/// Tells whether people could have chosen the value as a password.
fn is_password(value: &[u8], look: &Look, dress: Dress) -> bool {
    let link = memchr::memmem::find(value, b"://").is_some();
    if value.len() < 4 || (is_path_or_link(value) && (look.digits < 2 || link)) {
        return false;
    }
    let spaces = memchr::memchr_iter(b' ', value).count();
    if spaces > 0 {
        // A sentence is not a password; a passphrase of several words cannot be told from one, so only mixed ones count.
        return spaces <= 2 && look.digits > 0 && look.len < 40;
    }
    let mixed = look.digits > 0 || value.iter().any(|b| b"!#$%&*?@^~+".contains(b));
    match dress {
        Dress::Quoted => look.digits > 0 || ((mixed || look.len >= 5) && !is_label(value, look)),
        Dress::Plain => mixed || (look.len >= 6 && !is_reference(value, look)),
        Dress::Loose => {
            let chosen = mixed && look.len >= 6 && look.letters() > 0 && !is_slug(value, look);
            let dashes = memchr::memchr_iter(b'-', value).count();
            (chosen && !is_word_path(value)) || (look.len >= 12 && dashes >= 2 && is_word_path(value))
        }
    }
}

/// What stands bare behind the name of a password in a program and is none: a member, a variable, a type, a form.
fn is_reference(value: &[u8], look: &Look) -> bool {
    let letters_only = look.digits == 0 && look.other == 0;
    (letters_only && is_camel(value))
        || is_member(value)
        || names_itself(value)
        || (value.contains(&b':') && is_word_path(value))
}

/// Tells whether a machine could have made the value as a token or a key.
fn is_token(value: &[u8], look: &Look, dress: Dress) -> bool {
    if value.contains(&b' ') || look.len < 8 || is_version_or_date(value) {
        return false;
    }
    let random = is_random(value, 16);
    let mixed = look.letters() > 0 && !is_slug(value, look);
    if dress == Dress::Loose {
        return (random && (look.digits > 0 || is_unusual(value))) || (look.digits >= 3 && look.len >= 12 && mixed);
    }
    let letters_only = look.digits == 0 && look.other == 0;
    let drawn = look.len >= 12 && look.upper >= 3 && look.lower >= 3 && is_unusual(value);
    let cased =
        letters_only && (drawn || dress == Dress::Quoted && look.changes >= 2 && look.upper >= 2 && !is_camel(value));
    let signed = look.len >= 12
        && look.letters() > 6
        && look.other >= 2
        && value[0] != b'#'
        && value.iter().any(|b| b"!#%^&$@~".contains(b));
    random || (look.digits > 0 && mixed) || (look.digits >= 12 && look.len >= 16 && look.other == 0) || cased || signed
}

/// `Password:`, `#add-password`, `userPasswordField`: what a page or a program calls a password.
fn is_label(value: &[u8], look: &Look) -> bool {
    let lower = value.to_ascii_lowercase();
    let named = [&b"password"[..], b"passwd", b"secret", b"token", b"passphrase", b"username", b"login"]
        .iter()
        .any(|word| memchr::memmem::find(&lower, word).is_some() && look.digits == 0);
    named
        || matches!(value.last(), Some(b':'))
        || (look.digits == 0 && matches!(value[0], b'#' | b'.'))
        || (look.other > 2 && look.letters() < 3)
}

/// `SecretStr`, `password_grant`: a variable or a type that is named after what it holds.
fn names_itself(value: &[u8]) -> bool {
    if !value.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-' | b'\\')) {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    let joined = value.iter().any(|b| matches!(b, b'_' | b'-'))
        || value.windows(2).any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
    joined
        && [&b"pass"[..], b"secret", b"token", b"cred"].iter().any(|word| memchr::memmem::find(&lower, word).is_some())
}

/// `passwordField`: words joined by capitals, as programs name things.
fn is_camel(value: &[u8]) -> bool {
    let look = Look::of(value);
    value[0].is_ascii_alphabetic()
        && look.upper > 0
        && look.lower > look.upper
        && look.digits == 0
        && look.changes * 3 < look.len * 2
        && memchr::memmem::find(&value.to_ascii_lowercase(), b"pass").is_some()
        || (look.upper > 0 && look.lower >= look.upper * 3 && look.digits == 0 && value[0].is_ascii_lowercase())
}

/// `config.password`, `self.secret`: a member of something.
fn is_member(value: &[u8]) -> bool {
    memchr::memchr(b'.', value).is_some()
        && value.split(|b| *b == b'.').all(|part| {
            !part.is_empty() && !part[0].is_ascii_digit() && part.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_')
        })
}

/// Words with numbers between dashes or underscores, as things are named: `utf8_general_ci`, `my-cluster-01`.
fn is_slug(value: &[u8], look: &Look) -> bool {
    if look.other == 0 || look.other * 3 > look.len * 2 || is_odd(value) {
        return false;
    }
    let mut parts = 0;
    let mut words = 0;
    for part in value.split(|b| matches!(b, b'-' | b'_' | b'.' | b'/' | b':' | b'@')) {
        let letters = part.iter().filter(|b| b.is_ascii_alphabetic()).count();
        let digits = part.iter().filter(|b| b.is_ascii_digit()).count();
        if part.is_empty() {
            continue;
        }
        if letters + digits != part.len() {
            return false;
        }
        parts += 1;
        // `sha256`, `chacha20`: a word and its number.
        let numbered =
            letters >= 3 && digits <= 4 && part.iter().skip_while(|b| b.is_ascii_alphabetic()).all(u8::is_ascii_digit);
        let short = letters > digits && digits <= 2 && part.len() <= 8;
        words += usize::from(digits == 0 || (letters == 0 && digits <= 4) || numbered || short);
    }
    parts > 1 && words == parts && !(look.len >= 30 && look.upper > 3 && look.lower > 3)
}

fn is_version_or_date(value: &[u8]) -> bool {
    let look = Look::of(value);
    look.letters() <= 1 && look.other >= 1 && look.digits + look.other + look.letters() == look.len && look.len < 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_judged_by_its_name_and_its_dress() {
        use Dress::{Loose, Plain, Quoted};
        use Strength::{Medium, Strong, Weak};
        for (case, value, strength, dress, expected) in [
            ("a chosen password", "hunter2", Strong, Plain, true),
            ("a word in a .env file", "copperfield", Strong, Plain, true),
            ("a password of words", "copper-tunnel-rocket-tunnel", Strong, Quoted, true),
            ("a variable", "${DB_PASSWORD}", Strong, Plain, false),
            ("a shell variable", "$DB_PASSWORD", Strong, Quoted, false),
            ("a template", "{{ vault.password }}", Strong, Quoted, false),
            ("an environment look-up", "process.env.PASSWORD", Strong, Plain, false),
            ("a call", "getPassword()", Strong, Plain, false),
            ("a member", "config.password", Strong, Plain, false),
            ("a mask", "********", Strong, Quoted, false),
            ("a type", "String", Strong, Plain, false),
            ("our own mark", "[password]", Strong, Plain, false),
            ("a selector", "#add-password", Strong, Quoted, false),
            ("a sentence", "Enter your password", Strong, Quoted, false),
            ("a word of prose", "stored", Strong, Loose, false),
            ("a token", "a78e2ee9bf6d2d3b4d67777a0c8910d9", Medium, Plain, true),
            ("a placeholder", "YOUR_API_KEY_HERE", Medium, Plain, false),
            ("a name", "my-cluster-01", Medium, Plain, false),
            ("a path", "/etc/ssl/private/server", Medium, Plain, false),
            ("a random key", "i7hjzbiod12z9ermwgajd5zqm6zdkze0", Weak, Quoted, true),
            ("a collation", "utf8_general_ci", Weak, Quoted, false),
            ("a word", "value", Weak, Quoted, false),
            ("a version", "12.2.1977.1", Medium, Plain, false),
        ] {
            assert_eq!(is_secret(value.as_bytes(), strength, dress), expected, "{case}: {value}");
        }
    }
}
