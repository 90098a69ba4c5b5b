//! Where the owner's names come from: address books, authors, accounts, hosts, plain lists.
//!
//! Each reader is handed the text of its source, takes what it understands and counts what it does not. Nothing is opened here.

use super::Entry;
use crate::class::Class;

/// No source is longer.
pub const SOURCE_MAX: usize = 16 << 20;

/// What a source held.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The names.
    pub entries: Vec<Entry>,
    /// How many lines or cards could not be read.
    pub skipped: usize,
}

/// Why a source was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSource {
    /// It is not what its name says, or far more than anybody's.
    #[error(
        "{bytes} bytes are more than the {SOURCE_MAX} that a list of names may have; split the file, or name the part that matters"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// No card begins in it.
    #[error("no line says BEGIN:VCARD; export the address book as vCard (.vcf)")]
    NoCard,
}

fn checked(text: &str) -> Result<(), BadSource> {
    if text.len() > SOURCE_MAX { Err(BadSource::TooLong { bytes: text.len() }) } else { Ok(()) }
}

/// A vCard address book, versions 2.1 to 4: names, nicknames, addresses and organisations of each card.
///
/// # Errors
///
/// When the text is too long or holds no card.
pub fn address_book(text: &str) -> Result<Gathered, BadSource> {
    checked(text)?;
    let mut gathered = Gathered::default();
    let mut cards = 0;
    let (mut family, mut named) = (None, Vec::new());
    for line in unfolded(text) {
        let Some((name, value)) = line.split_once(':') else {
            gathered.skipped += usize::from(!line.trim().is_empty());
            continue;
        };
        let mut parameters = name.split(';');
        // `item1.ADR`: groups say which label belongs to what.
        let name = parameters.next().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default().to_ascii_uppercase();
        let quoted = parameters
            .any(|p| p.eq_ignore_ascii_case("QUOTED-PRINTABLE") || p.eq_ignore_ascii_case("ENCODING=QUOTED-PRINTABLE"));
        let value = if quoted { unquoted(value) } else { value.to_owned() };
        match name.as_str() {
            "BEGIN" if value.trim().eq_ignore_ascii_case("VCARD") => {
                cards += 1;
                (family, named) = (None, Vec::new());
            }
            "FN" => named.push(said(&value)),
            "N" => {
                let parts = fields(&value, ';');
                let part = |i: usize| parts.get(i).map_or("", String::as_str);
                let given = format!("{} {}", part(1), part(2));
                if !part(0).is_empty() {
                    family = Some(part(0).to_owned());
                    gathered.entries.push(Entry::person(&given, part(0)));
                } else {
                    gathered.entries.push(Entry::new(Class::Person, given.trim()));
                }
            }
            "NICKNAME" => {
                gathered.entries.extend(fields(&value, ',').iter().map(|name| Entry::new(Class::Person, name)));
            }
            "ORG" => {
                // What follows are departments.
                let company = fields(&value, ';').into_iter().next().unwrap_or_default();
                gathered.entries.push(Entry::new(Class::Organization, &company));
            }
            "ADR" => {
                let parts = fields(&value, ';');
                let part = |i: usize| parts.get(i).map_or("", String::as_str);
                gathered.entries.extend(part(2).lines().map(|street| Entry::new(Class::Address, street)));
                gathered.entries.push(Entry::new(Class::Address, part(0)));
                if !part(3).is_empty() && !part(5).is_empty() {
                    gathered.entries.push(Entry::new(Class::Address, &format!("{} {}", part(5), part(3))));
                    gathered.entries.push(Entry::new(Class::Address, &format!("{} {}", part(3), part(5))));
                }
            }
            "END" => {
                for name in named.drain(..) {
                    let given = family.as_deref().and_then(|family| name.trim().strip_suffix(family));
                    gathered.entries.push(match given {
                        Some(given) => Entry::person(given, family.as_deref().unwrap_or_default()),
                        None => Entry::new(Class::Person, &name),
                    });
                }
            }
            _ => {}
        }
    }
    if cards == 0 { Err(BadSource::NoCard) } else { Ok(kept(gathered)) }
}

/// Lines with those that go on with them joined: by a blank at the next line's start, or by `=` at the end of a quoted-printable one.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut() {
            Some(before) if line.starts_with([' ', '\t']) => before.push_str(&line[1..]),
            Some(before)
                if before.ends_with('=')
                    && before
                        .split(':')
                        .next()
                        .is_some_and(|n| n.to_ascii_uppercase().contains("QUOTED-PRINTABLE")) =>
            {
                before.pop();
                before.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// `=C3=BC` as what it stands for.
fn unquoted(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'=', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    // Old exports of Latin-1 keep their letters at the same numbers.
    String::from_utf8(plain).unwrap_or_else(|wrong| wrong.as_bytes().iter().map(|b| char::from(*b)).collect())
}

/// The fields of a value, unescaped.
fn fields(value: &str, separator: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut escaped = false;
    for c in value.chars() {
        let last = fields.last_mut().expect("it begins with one");
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            'n' | 'N' if escaped => last.push('\n'),
            c if c == separator && !escaped => fields.push(String::new()),
            // Several values of one field: all of them are names.
            ',' if !escaped => last.push(' '),
            c => last.push(c),
        }
        escaped = false;
    }
    fields.into_iter().map(|field| field.trim().to_owned()).collect()
}

fn said(value: &str) -> String {
    fields(value, '\u{0}').into_iter().next().unwrap_or_default()
}

/// Authors: lines of `git log --format=%an%x09%ae`, or of a `.mailmap`.
///
/// # Errors
///
/// When the text is too long.
pub fn authors(text: &str) -> Result<Gathered, BadSource> {
    checked(text)?;
    let mut gathered = Gathered::default();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        // What stands before each address is a name, or nothing.
        let names = line.split('>').map(|part| part.split(['<', '\t']).next().unwrap_or_default().trim());
        for name in names.filter(|name| !name.is_empty()) {
            let machine = name.ends_with("[bot]") || name.contains('@') || !name.contains(char::is_alphabetic);
            if machine {
                gathered.skipped += 1;
            } else {
                gathered.entries.push(Entry::new(Class::Person, name));
            }
        }
    }
    Ok(kept(gathered))
}

/// Accounts: lines of passwd(5). Those of people, by their number, with the full name.
///
/// # Errors
///
/// When the text is too long.
pub fn accounts(text: &str) -> Result<Gathered, BadSource> {
    const PEOPLE: std::ops::Range<u32> = 500..60_000;
    checked(text)?;
    let mut gathered = Gathered::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '+', '-'])) {
        let fields: Vec<&str> = line.split(':').collect();
        let [login, _, number, _, full, home, ..] = fields[..] else {
            gathered.skipped += 1;
            continue;
        };
        let Ok(number) = number.parse::<u32>() else {
            gathered.skipped += 1;
            continue;
        };
        let folder = home.rsplit(['/', '\\']).next().unwrap_or_default();
        let lives = ["/home/", "/Users/", "/var/home/"].iter().any(|root| home.starts_with(root));
        if number == 0
            || !(PEOPLE.contains(&number) && !home.starts_with("/var/lib") || lives)
            || login.starts_with('_')
        {
            continue;
        }
        gathered.entries.push(Entry::account(login));
        if lives && folder != login {
            gathered.entries.push(Entry::account(folder));
        }
        let full = full.split(',').next().unwrap_or_default().replace('&', login);
        if full.contains(char::is_whitespace) {
            gathered.entries.push(Entry::new(Class::Person, &full));
        }
    }
    Ok(kept(gathered))
}

/// Hosts: lines of hosts(5), but for this machine as every machine calls itself and for lists of what is blocked.
///
/// # Errors
///
/// When the text is too long.
pub fn hosts(text: &str) -> Result<Gathered, BadSource> {
    checked(text)?;
    let mut gathered = Gathered::default();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next() else { continue };
        let Ok(address) = address.split('%').next().unwrap_or_default().parse::<std::net::IpAddr>() else {
            gathered.skipped += 1;
            continue;
        };
        if address.is_unspecified() {
            continue;
        }
        let common =
            |name: &&str| name.starts_with("localhost") || name.starts_with("ip6-") || **name == *"broadcasthost";
        gathered.entries.extend(words.filter(|name| !common(name)).map(|name| Entry::new(Class::Domain, name)));
    }
    Ok(kept(gathered))
}

/// A list of the owner's own: one thing of the class a line, `#` before what is not.
///
/// # Errors
///
/// When the text is too long.
pub fn lines(class: Class, text: &str) -> Result<Gathered, BadSource> {
    checked(text)?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(kept(Gathered { entries: entries.map(|line| Entry::new(class, line)).collect(), skipped: 0 }))
}

/// Without what is empty.
fn kept(mut gathered: Gathered) -> Gathered {
    gathered.entries.retain(|entry| entry.text.contains(char::is_alphanumeric));
    gathered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(gathered: &Gathered) -> Vec<String> {
        gathered.entries.iter().map(|entry| format!("{} {}", entry.class, entry.text)).collect()
    }

    #[test]
    fn a_card_gives_names_addresses_and_companies() {
        for (case, card, expected) in [
            ("a full name", "FN:Eve Sommer", &["person Eve Sommer"][..]),
            ("parts of a name", "N:Sommer;Eve;Maria;Dr.;", &["person Eve Maria Sommer"]),
            ("both", "N:von Arx;Ida;;;\nFN:Ida von Arx", &["person Ida von Arx", "person Ida von Arx"]),
            ("a folded line", "FN:Eve Som\n mer", &["person Eve Sommer"]),
            ("quoted", "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=BCrg =\nWolf", &["person Jürg Wolf"]),
            ("nicknames", "NICKNAME:Evi,Sunny", &["person Evi Sunny"]),
            ("a company", "ORG:Lake\\, Fern & Co;Sales", &["organization Lake, Fern & Co"]),
            (
                "an address in a group",
                "item1.ADR;TYPE=HOME:;;Lindenstr. 12;Bern;;3011;Schweiz",
                &["address Lindenstr. 12", "address 3011 Bern", "address Bern 3011"],
            ),
            ("nothing that is known", "TEL:+49 30 901820", &[]),
        ] {
            let text = format!("BEGIN:VCARD\r\nVERSION:3.0\n{card}\nEND:VCARD\n");
            let read = names(&address_book(&text).expect("a card"));
            if case == "nicknames" {
                assert_eq!(read, ["person Evi", "person Sunny"], "{case}");
            } else {
                assert_eq!(read, expected, "{case}");
            }
        }
        assert_eq!(address_book("Eve Sommer").expect_err("no card"), BadSource::NoCard);
        assert_eq!(BadSource::NoCard.to_string(), "no line says BEGIN:VCARD; export the address book as vCard (.vcf)");
    }

    #[test]
    fn authors_are_read_from_logs_and_mailmaps() {
        for (case, line, expected, skipped) in [
            ("a log", "Eve Sommer\teve@web.test", &["person Eve Sommer"][..], 0),
            (
                "a mailmap",
                "Eve Sommer <e@a.test> esommer <e@b.test> # old",
                &["person Eve Sommer", "person esommer"],
                0,
            ),
            ("addresses alone", "<e@a.test> <e@b.test>", &[], 0),
            ("a robot", "renovate[bot]\tbot@a.test", &[], 1),
            ("nobody", "e@a.test\te@a.test", &[], 1),
        ] {
            let read = authors(line).expect("it is short");
            assert_eq!(read.skipped, skipped, "{case}");
            assert_eq!(names(&read), expected, "{case}");
        }
    }

    #[test]
    fn accounts_are_those_of_people() {
        for (case, line, expected) in [
            (
                "a person",
                "esommer:x:1000:1000:Eve Sommer,,,:/home/esommer:/bin/sh",
                &["person esommer", "person Eve Sommer"][..],
            ),
            ("another home", "eve:x:1001:1001::/home/sommer:/bin/sh", &["person eve", "person sommer"]),
            ("a service", "sshd:x:74:74:Privilege separated SSH:/usr/share/empty:/sbin/nologin", &[]),
            ("a service of macOS", "_www:*:70:70:World Wide Web Server:/Library/WebServer:/usr/bin/false", &[]),
            ("nobody", "nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin", &[]),
            ("no line of it", "eve", &[]),
        ] {
            assert_eq!(names(&accounts(line).expect("it is short")), expected, "{case}");
        }
    }

    #[test]
    fn hosts_are_those_of_the_home() {
        for (case, line, expected) in [
            (
                "two names",
                "192.168.4.7\tnas.lake.home attic-nas # the old one",
                &["domain nas.lake.home", "domain attic-nas"][..],
            ),
            ("this machine", "127.0.0.1 localhost localhost.localdomain", &[]),
            ("by its own name", "127.0.1.1 attic-pc", &["domain attic-pc"]),
            ("blocked", "0.0.0.0 ads.lake.test", &[]),
            ("not a line of it", "attic-nas", &[]),
        ] {
            assert_eq!(names(&hosts(line).expect("it is short")), expected, "{case}");
        }
    }

    #[test]
    fn plain_lines_are_what_they_are_said_to_be() {
        let read = lines(Class::Address, "\u{feff}# home\nLindenstr. 12\n\n---\n").expect("it is short");
        assert_eq!(names(&read), ["address Lindenstr. 12"]);
        let long = "x".repeat(SOURCE_MAX + 1);
        assert_eq!(lines(Class::Person, &long).expect_err("long"), BadSource::TooLong { bytes: SOURCE_MAX + 1 });
    }

    proptest! {
        #[test]
        fn readers_take_any_text(text in "(\\PC|[\n\r\t:;,=\\\\<>#/. ]|BEGIN:VCARD\n|\nN:|\nADR;ENCODING=QUOTED-PRINTABLE:|=C3|é|END:VCARD\n|x:1000:){0,60}") {
            for read in [address_book(&text), authors(&text), accounts(&text), hosts(&text), lines(Class::Person, &text)].into_iter().flatten() {
                let mut book = super::super::Dictionary::builder();
                prop_assert!(book.add("any", read.entries).is_ok());
                book.build();
            }
        }

        #[test]
        fn readers_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let text = format!("BEGIN:VCARD\nFN;QUOTED-PRINTABLE:{}", String::from_utf8_lossy(&bytes));
            for read in [address_book(&text), authors(&text), accounts(&text), hosts(&text)] {
                prop_assert!(read.is_ok());
            }
        }
    }
}
