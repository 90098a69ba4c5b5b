//! Names and addresses behind what carries them: headers, greetings, titles, folders of homes, `lives at`, the names of streets.
//!
//! A carrier is a sign of the first set, looked for only where the policy hides names. What follows it must look like a name or an address:
//! words with capitals, a number beside a street. Every reading is bounded. It knows no names.

use crate::class::Class;

/// What carries a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// `From:`, at the beginning of a line.
    Header,
    /// `Signed-off-by:`.
    Trailer,
    /// `"author": "`.
    Member,
    /// `Dear`.
    Greeting,
    /// `Dr.`
    Title,
    /// `my name is`.
    Called,
    /// `written by`: two words at least.
    Doer,
    /// `Best regards,` and a line below.
    Farewell,
    /// `/home/`.
    Home,
    /// `lives at`.
    Lives,
    /// `Street` behind its number and name.
    Behind,
    /// `straße` between its name and number.
    Between,
    /// `rue` before its name, the number on either side.
    Before,
    /// `Apt.` behind a street of whatever name.
    Flat,
}

/// The words that carry, small.
pub(crate) const SIGNS: &[(Carrier, &[&str])] = &[
    (Carrier::Header, &["from:", "to:", "cc:", "bcc:", "sender:", "author:", "@author "]),
    (Carrier::Trailer, &["-by:"]),
    (Carrier::Member, &["author\": \"", "author\":\""]),
    (
        Carrier::Greeting,
        &[
            "dear ",
            "hi ",
            "hello ",
            "hey ",
            "liebe ",
            "lieber ",
            "hallo ",
            "sehr geehrte ",
            "sehr geehrter ",
            "cher ",
            "chère ",
            "bonjour ",
            "querido ",
            "querida ",
            "estimado ",
            "estimada ",
            "hola ",
            "caro ",
            "cara ",
            "gentile ",
            "ciao ",
            "beste ",
            "geachte ",
            "kære ",
            "kära ",
            "hej ",
        ],
    ),
    (
        Carrier::Title,
        &[
            "mr. ",
            "mrs. ",
            "ms. ",
            "dr. ",
            "prof. ",
            "mr ",
            "mrs ",
            "herr ",
            "frau ",
            "mme ",
            "monsieur ",
            "madame ",
            "señor ",
            "señora ",
            "dott. ",
            "sig. ",
        ],
    ),
    (Carrier::Called, &["name is ", "heiße ", "m'appelle ", "me llamo ", "mi chiamo ", "jag heter ", "ik heet "]),
    (
        Carrier::Doer,
        &[
            "written by ",
            "opened by ",
            "reported by ",
            "signed by ",
            "sent by ",
            "directed by ",
            "assigned to ",
            "meeting with ",
            "met with ",
            "spoke with ",
            "spoke to ",
            "talked to ",
            "call from ",
            "message from ",
        ],
    ),
    (
        Carrier::Farewell,
        &[
            "regards,",
            "sincerely,",
            "cheers,",
            "wishes,",
            "yours,",
            "grüße",
            "grüßen",
            "cordialement,",
            "saludos,",
            "saluti,",
        ],
    ),
    (Carrier::Home, &["/home/", "/users/", "\\users\\"]),
    (
        Carrier::Lives,
        &[
            "lives at ",
            "live at ",
            "living at ",
            "resides at ",
            "address is ",
            "address: ",
            "ship to ",
            "shipped to ",
            "deliver to ",
            "delivered to ",
            "located at ",
            "wohnt in ",
            "wohne in ",
            "wohnhaft ",
            "adresse: ",
            "anschrift: ",
            "adresse ist ",
            "habite ",
            "habite au ",
            "vive en ",
            "vivo en ",
            "dirección: ",
            "abita in ",
            "indirizzo: ",
            "woont op ",
            "adres: ",
            "bor på ",
        ],
    ),
    (
        Carrier::Behind,
        &[
            " street",
            " st.",
            " road",
            " rd.",
            " avenue",
            " ave",
            " lane",
            " drive",
            " boulevard",
            " blvd",
            " terrace",
            " crescent",
        ],
    ),
    (
        Carrier::Between,
        &[
            "strasse ", "straße ", "str. ", "gasse ", "platz ", "allee ", "weg ", "gata ", "gade ", "katu ", "plein ",
            "gracht ", "gatan ", "vägen ", "veien ", "vej ", "straat ", "laan ", "utca ",
        ],
    ),
    (Carrier::Flat, &["apt. ", "suite "]),
    (
        Carrier::Before,
        &[
            "rue ",
            "calle ",
            "avenida ",
            "rua ",
            "piazza ",
            "via ",
            "viale ",
            "chemin ",
            "ulica ",
            "ul. ",
            "avenue ",
            "boulevard ",
            "plaza ",
        ],
    ),
];

/// So much is read behind a carrier.
const REST_MAX: usize = 200;
/// So much is read before one.
const LEAD_MAX: usize = 80;
/// No name has more words.
const NAME_WORDS: usize = 4;

/// Words with capitals that greetings and titles are followed by, and are nobody.
const NOBODY: &[&str] = &[
    "World",
    "There",
    "All",
    "Everyone",
    "Everybody",
    "Team",
    "Sir",
    "Madam",
    "Customer",
    "Customers",
    "Friend",
    "Friends",
    "User",
    "Users",
    "Folks",
    "Name",
    "God",
    "Leute",
    "Kunde",
    "Damen",
    "Welt",
    "Mundo",
    "Monde",
    "Hiring",
    "Colleagues",
    "Kollegen",
    "Linux",
    "Rust",
    "I",
    "The",
    "This",
    "It",
    "We",
    "You",
];

/// Folders of homes that are nobody's.
const NOBODYS: &[&str] = &[
    "user",
    "username",
    "users",
    "you",
    "your",
    "me",
    "name",
    "runner",
    "ubuntu",
    "debian",
    "vagrant",
    "pi",
    "git",
    "linuxbrew",
    "shared",
    "public",
    "default",
    "all",
    "app",
    "node",
    "circleci",
    "travis",
    "jenkins",
    "admin",
    "root",
    "www",
    "test",
    "foo",
    "bar",
    "example",
    "build",
    "builder",
    "guest",
    "nobody",
    "lost",
    "myuser",
    "youruser",
    "yourname",
    "your-username",
    "your_username",
    "runneradmin",
    "someone",
    "somebody",
    "someuser",
    "alice",
    "bob",
    "joe",
    "jdoe",
    "johndoe",
    "john",
    "jane",
    "index",
    "page",
    "xxx",
    "data",
    "administrator",
    "vscode",
    "coder",
    "work",
    "dev",
    "developer",
    "ec2-user",
    "opam",
    "nix",
    "ftp",
    "http",
    "mysql",
    "postgres",
    "web",
    "homebrew",
    "gitpod",
    "codespace",
];

type Hide<'h> = &'h mut dyn FnMut(usize, usize, Class);

/// Hides what the carrier in `text[at..end]` carries.
pub(crate) fn find(text: &[u8], at: usize, end: usize, carrier: Carrier, hide: Hide<'_>) {
    let (lead, rest) = (lead(text, at), rest(text, end));
    let sign = &text[at..end];
    let starts = !lead.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let name = |least: usize| Some(name(rest)).filter(|name| name.words >= least);
    match carrier {
        Carrier::Header if sign[0] == b'@' || begins_line(lead) || lead.ends_with("Reply-") => {
            people(rest, end, 2, hide);
        }
        Carrier::Trailer => {
            let line = &lead[lead.rfind('\n').map_or(0, |i| i + 1)..];
            if line.ends_with(|c: char| c.is_ascii_lowercase())
                && line.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b' ')
            {
                people(rest, end, 2, hide);
            }
        }
        Carrier::Member => people(rest, end, 2, hide),
        Carrier::Greeting if starts && sign[0].is_ascii_uppercase() && sentence(lead) => {
            if let Some(name) = name(1)
                && !NOBODY.contains(&name.first)
                && closes(&rest[name.end..])
            {
                hide(end + name.start, end + name.end, Class::Person);
            }
        }
        Carrier::Title if starts && sign[0].is_ascii_uppercase() => {
            if let Some(name) = name(1)
                && !NOBODY.contains(&name.first)
                && name.first.len() > 2
            {
                hide(at, end + name.end, Class::Person);
            }
        }
        Carrier::Called => {
            let own = ["my ", "his ", "her ", "their ", "maiden ", "last ", "first ", "full ", "s ", "family "];
            let named = !sign.starts_with(b"name") || own.iter().any(|word| ends_with(lead, word));
            if let Some(name) = name(1).filter(|name| named && starts && !NOBODY.contains(&name.first)) {
                hide(end + name.start, end + name.end, Class::Person);
            }
        }
        Carrier::Doer if starts => {
            if let Some(name) = name(2).filter(|name| !NOBODY.contains(&name.first)) {
                hide(end + name.start, end + name.end, Class::Person);
            }
        }
        Carrier::Farewell if starts => {
            let gap = rest.len() - rest.trim_start_matches([',', '\r', '\n', ' ']).len();
            let named = self::name(&rest[gap..]);
            let below = rest[..gap].contains('\n') && named.start == 0 && (1..=3).contains(&named.words);
            let after = &rest[gap + named.end..];
            if below && (after.is_empty() || after.starts_with(['\n', '\r'])) && !NOBODY.contains(&named.first) {
                hide(end + gap, end + gap + named.end, Class::Person);
            }
        }
        Carrier::Home
            if !lead.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '}')) || sign[0] == b'\\' =>
        {
            let written = matches!(sign, b"/home/" | b"/Users/" | b"\\Users\\");
            let n = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(rest.len());
            let user = rest[..n].trim_end_matches('.');
            let small = user.to_ascii_lowercase();
            let known = NOBODYS.contains(&small.as_str()) || small.contains("user");
            let letters = user.starts_with(|c: char| c.is_alphabetic()) && user.len() >= 2;
            let file = user.contains('.') && !rest[n..].starts_with(['/', '\\']);
            if written && letters && !known && !file {
                hide(end, end + user.len(), Class::Person);
            }
        }
        Carrier::Lives if starts => {
            if let Some(n) = address(rest) {
                hide(end, end + n, Class::Address);
            }
        }
        Carrier::Flat if sign[0].is_ascii_uppercase() && starts && rest.starts_with(|c: char| c.is_ascii_digit()) => {
            if let Some(n) = back(lead) {
                hide(at - n, at + pieces(self::rest(text, at), false).0, Class::Address);
            }
        }
        Carrier::Behind | Carrier::Between | Carrier::Before => street(text, at, end, carrier, hide),
        _ => {}
    }
}

/// Up to [`REST_MAX`] bytes from `from` on.
fn rest(text: &[u8], from: usize) -> &str {
    valid(&text[from..text.len().min(from + REST_MAX)])
}

/// Up to [`LEAD_MAX`] bytes before `to`.
fn lead(text: &[u8], to: usize) -> &str {
    let mut from = to.saturating_sub(LEAD_MAX);
    while from < to && text[from] & 0xc0 == 0x80 {
        from += 1;
    }
    valid(&text[from..to])
}

/// What of the bytes is whole characters.
fn valid(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(wrong) => std::str::from_utf8(&bytes[..wrong.valid_up_to()]).unwrap_or_default(),
    }
}

fn ends_with(lead: &str, word: &str) -> bool {
    lead.len() >= word.len() && lead.as_bytes()[lead.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
}

/// Tells whether only signs of quotes and comments stand before it on its line.
fn begins_line(lead: &str) -> bool {
    let line = &lead[lead.rfind('\n').map_or(0, |i| i + 1)..];
    line.len() < LEAD_MAX
        && line.bytes().all(|b| matches!(b, b' ' | b'\t' | b'>' | b'*' | b'#' | b'/' | b';' | b'-' | b'"'))
}

/// Tells whether a sentence may begin behind `lead`.
fn sentence(lead: &str) -> bool {
    let line = lead.trim_end_matches([' ', '\t']);
    line.is_empty()
        || line.ends_with(['\n', '.', '!', '?', '"', '\'', '>', ':', '“', '„', '*', ','])
        || ends_with(line, "sehr")
        || ends_with(lead, "Sehr ")
}

/// Tells whether a greeting ends here.
fn closes(after: &str) -> bool {
    after.is_empty()
        || after.starts_with([',', '!', '\n', '\r', ':'])
        || after.starts_with(" -")
        || after.starts_with(" –")
}

/// The words of a name at the beginning of a text.
struct Name<'t> {
    start: usize,
    end: usize,
    words: usize,
    first: &'t str,
}

/// Small words inside names.
const INSIDE: &[&str] = &[
    "von", "van", "der", "den", "de", "la", "le", "du", "di", "da", "dos", "del", "della", "zu", "bin", "al", "el",
    "und", "y",
];

/// Reads words that begin with a capital, small ones between them, initials and titles.
fn name(rest: &str) -> Name<'_> {
    let mut found = Name { start: 0, end: 0, words: 0, first: "" };
    let mut at = 0;
    let mut small = 0;
    while found.words < NAME_WORDS && small < 3 {
        let word = word_at(&rest[at..]);
        let last = word.trim_end_matches(['-', '\'', '’']);
        let initial = last.chars().count() == 1 && rest[at + last.len()..].starts_with('.');
        if is_name_word(last) || initial && last.chars().all(char::is_uppercase) {
            let stop = usize::from(
                initial
                    || ["Dr", "Prof", "Mr", "Mrs", "Ms", "St"].contains(&last)
                        && rest[at + last.len()..].starts_with('.'),
            );
            if found.words == 0 {
                (found.start, found.first) = (at, last);
            }
            found.words += 1;
            found.end = at + last.len() + stop;
            at = found.end;
            small = 0;
        } else if INSIDE.contains(&last) && !last.is_empty() {
            at += last.len();
            small += 1;
        } else {
            break;
        }
        match rest[at..].strip_prefix(' ') {
            Some(_) => at += 1,
            None => break,
        }
    }
    found
}

/// The letters, hyphens and apostrophes at the beginning of a text.
fn word_at(text: &str) -> &str {
    let n = text.find(|c: char| !(c.is_alphabetic() || matches!(c, '-' | '\'' | '’'))).unwrap_or(text.len());
    &text[..n]
}

/// Tells whether a word is written as names are: a capital, then small letters, or a few pieces of that.
fn is_name_word(word: &str) -> bool {
    let mut chars = word.chars();
    let first = chars.next().is_some_and(|c| c.is_uppercase() || c.is_alphabetic() && !c.is_lowercase());
    let small = chars.clone().filter(|c| c.is_lowercase()).count();
    let second = chars.next().is_some_and(|c| c.is_lowercase() || matches!(c, '\'' | '’') || !c.is_uppercase());
    first
        && (second && small > 0
            || word.starts_with(|c: char| c.is_alphabetic() && !c.is_lowercase() && !c.is_uppercase()))
}

/// The people that a header lists, by their names: `Eve Sommer <eve@lake.test>, Adam Winter`.
fn people(rest: &str, base: usize, least: usize, hide: Hide<'_>) {
    let line = &rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())];
    let mut at = 0;
    while at < line.len() {
        at += line[at..].len() - line[at..].trim_start_matches([' ', '\t', '"', '\'', ',', ';']).len();
        // All that stands before an address.
        let open = line[at..].find('<').map(|i| at + i);
        if let Some(open) = open {
            let said = line[at..open].trim_end_matches([' ', '"', '\'']);
            let plain = |c: char| {
                c.is_alphanumeric() || matches!(c, ' ' | ',' | '.' | '-' | '\'' | '’' | '"' | '(' | ')' | '_')
            };
            if said.len() > 1
                && said.len() <= 64
                && said.chars().all(plain)
                && said.contains(char::is_alphabetic)
                && !said.contains(". ,")
            {
                hide(base + at, base + at + said.len(), Class::Person);
            }
            match line[open..].find('>') {
                Some(close) => at = open + close + 1,
                None => return,
            }
            continue;
        }
        let name = name(&line[at..]);
        let end = at + name.end;
        let after = line[end..].trim_start_matches(['"', '\'']);
        let ends = after.is_empty()
            || line[end..].starts_with('"')
            || after.starts_with([',', ';', '(', '"'])
            || after.starts_with(" (")
            || after.starts_with(" [");
        if name.words < least || !ends || NOBODY.contains(&name.first) || end == at {
            return;
        }
        hide(base + at + name.start, base + end, Class::Person);
        at = end + (line[end..].len() - after.len());
        if !line[at..].starts_with([',', ';']) {
            return;
        }
    }
}

/// How much at the end of a text is the street before a flat: a few words with capitals and the numbers around them.
fn back(lead: &str) -> Option<usize> {
    let line = lead.trim_end_matches([' ', ',', '\n', '\r']);
    if lead.len() - line.len() > 6 || lead[line.len()..].matches('\n').count() > 1 {
        return None;
    }
    let (mut start, mut numbers, mut words) = (line.len(), 0, 0);
    let mut from = line.len();
    for _ in 0..7 {
        let left = line[..from].trim_end_matches(' ');
        let begin = left.rfind([' ', '\n', ',', '>']).map_or(0, |i| i + 1);
        match piece(&left[begin..]).filter(|(_, n)| *n == left.len() - begin) {
            Some((Piece::Number, _)) => (start, numbers) = (begin, numbers + 1),
            Some((Piece::Word, _)) => words += 1,
            Some((Piece::Small, _)) if words > 0 => {}
            _ => break,
        }
        from = begin;
        if begin == 0 || !left[..begin].ends_with(' ') {
            break;
        }
    }
    // A street begins with its number, or with its name where the number stands behind.
    let first = line[start..].split(' ').count();
    let start = if first == 1 { from } else { start };
    (numbers > 0 && words > 0 && words < 6).then_some(lead.len() - start)
}

/// One piece of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// A number: of a house, a flat, a post office.
    Number,
    /// A word with a capital.
    Word,
    /// A small word between others.
    Small,
}

/// The piece of an address at the beginning of a text, and its length.
fn piece(text: &str) -> Option<(Piece, usize)> {
    let n = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '\'' | '’' | '/'))).unwrap_or(text.len());
    let word = &text[..n];
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let stop = usize::from(text[n..].starts_with('.') && (1..=5).contains(&n) && !text[n + 1..].starts_with('\n'));
    if digits > 0 {
        let bound = digits <= 10 && n <= 14 && (digits * 2 >= n || n <= 4 || word.contains('-'));
        return bound.then_some((Piece::Number, n));
    }
    if let Some(inside) = text.strip_prefix('(') {
        let close = inside.find(')').filter(|n| (1..=4).contains(n))?;
        return inside[..close].bytes().all(|b| b.is_ascii_uppercase()).then_some((Piece::Word, close + 2));
    }
    if word.starts_with(|c: char| c.is_alphabetic() && !c.is_lowercase()) {
        return Some((Piece::Word, n + stop));
    }
    let small = INSIDE.contains(&word)
        || ["rue", "boulevard", "avenue", "chemin", "calle", "via", "am", "an", "im", "of", "bis"].contains(&word);
    (small && n > 0).then_some((Piece::Small, n))
}

/// How much of the beginning of a text is an address that has a number and a word.
fn address(rest: &str) -> Option<usize> {
    let (n, numbers, words) = pieces(rest, true);
    (numbers > 0 && words > 0 && n >= 6).then_some(n)
}

/// Reads pieces as far as they belong together. `free`: words with capitals may follow each other after blanks.
fn pieces(text: &str, free: bool) -> (usize, usize, usize) {
    let (mut at, mut end, mut numbers, mut words) = (0, 0, 0, 0);
    let mut before = Piece::Number;
    let mut free = free;
    let mut block = false;
    for _ in 0..24 {
        let Some((kind, n)) = piece(&text[at..]) else { break };
        let bare = &text[at..at + n];
        let flat = ["Apt", "Suite", "Unit", "Flat", "Floor", "Box", "Top", "Haus", "Piso", "PO"]
            .contains(&bare.trim_end_matches('.'));
        // Behind the street a word stands after a comma, after a number or after another word of the town.
        if kind == Piece::Word && !(free || flat || before == Piece::Number && numbers > 0) {
            break;
        }
        block |= flat;
        match kind {
            Piece::Number => numbers += 1,
            Piece::Word => {
                words += 1;
                free = true;
            }
            Piece::Small => {}
        }
        if kind != Piece::Small {
            end = at + n;
        }
        before = kind;
        at += n;
        let gap = &text[at..];
        let blank = gap.len() - gap.trim_start_matches([' ', '\t', ',', '\n', '\r']).len();
        let between = &gap[..blank];
        let lines = between.matches('\n').count();
        if blank == 0 || blank > 12 || lines > 1 || between.matches(',').count() > 1 {
            break;
        }
        at += blank;
        if lines == 1 {
            // A line below belongs to it if nothing but pieces stands on it, and a number.
            let below = text[at..].lines().next().unwrap_or_default();
            // Below a line with a number stand the town and the country.
            let numbered = below.contains(|c: char| c.is_ascii_digit());
            let good = below.len() <= 48
                && (numbered || block && below.split_whitespace().count() <= 3)
                && below
                    .split([' ', ','])
                    .all(|word| word.is_empty() || piece(word).is_some_and(|(_, n)| n == word.len()));
            if !good {
                break;
            }
            block = true;
            free = true;
        } else if between.contains(',') {
            free = true;
        }
    }
    (end, numbers, words)
}

/// A street with its number, and what of an address follows it.
fn street(text: &[u8], at: usize, end: usize, carrier: Carrier, hide: Hide<'_>) {
    let (lead, after) = (lead(text, at), rest(text, end));
    let sign = valid(&text[at..end]);
    let number_before = |lead: &str| -> Option<usize> {
        let lead = lead.trim_end_matches([' ', ',']);
        let start = lead
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-')))
            .map_or(0, |i| i + lead[i..].chars().next().map_or(1, char::len_utf8));
        let word = &lead[start..];
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        (word.starts_with(|c: char| c.is_ascii_digit()) && digits <= 5 && word.len() - digits <= 2).then_some(start)
    };
    let number_after = |text: &str| -> Option<usize> {
        let bare = text.trim_start_matches([' ', ',']);
        let n = bare.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '/'))).unwrap_or(bare.len());
        let digits = bare[..n].bytes().filter(u8::is_ascii_digit).count();
        let small = bare.starts_with(|c: char| c.is_ascii_digit()) && digits <= 4 && n - digits <= 2;
        small.then(|| text.len() - bare.len() + n)
    };
    let tail = |from: usize| -> usize {
        let rest = rest(text, from);
        let gap = rest.len() - rest.trim_start_matches([',', ' ', '\n', '\r']).len();
        let between = &rest[..gap];
        if gap == 0 || gap > 8 || between.matches('\n').count() > 1 {
            return from;
        }
        let below = rest[gap..].lines().next().unwrap_or_default();
        if between.contains('\n') && !below.contains(|c: char| c.is_ascii_digit()) {
            return from;
        }
        match pieces(&rest[gap..], between.contains([',', '\n'])).0 {
            0 => from,
            n => from + gap + n,
        }
    };
    let capital = |word: &str| word.starts_with(char::is_uppercase);
    match carrier {
        Carrier::Behind => {
            if !capital(&sign[1..]) || after.starts_with(|c: char| c.is_alphanumeric()) {
                return;
            }
            // Back over the words of its name to the number.
            let mut left = lead;
            for words in 0..5 {
                let trimmed = left.trim_end_matches(' ');
                let from = trimmed.rfind(' ').map_or(0, |i| i + 1);
                let word = &trimmed[from..];
                if words > 0
                    && let Some(start) = number_before(left)
                {
                    if trimmed.len() - start == word.len() || start >= from {
                        hide(
                            at - (lead.len() - start),
                            tail(end + usize::from(after.starts_with('.') && !sign.ends_with('.'))),
                            Class::Address,
                        );
                    }
                    return;
                }
                let ordinal = word.len() <= 5
                    && word.starts_with(|c: char| c.is_ascii_digit())
                    && word.ends_with(char::is_alphabetic);
                if word.contains('\n')
                    || !(capital(word) && word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '.'))
                        || ordinal)
                {
                    return;
                }
                left = &trimmed[..from];
            }
        }
        Carrier::Between => {
            let from = lead
                .rfind(|c: char| !(c.is_alphabetic() || matches!(c, '-' | '.')))
                .map_or(0, |i| i + lead[i..].chars().next().map_or(1, char::len_utf8));
            let word = &lead[from..];
            let mut start = from;
            if word.is_empty() {
                // `Passauer Strasse 33`
                let trimmed = lead.trim_end_matches(' ');
                start = trimmed.rfind([' ', '\n']).map_or(0, |i| i + 1);
                if !capital(sign) || !capital(&trimmed[start..]) {
                    return;
                }
            } else if !capital(word) || word.chars().count() < 2 {
                return;
            }
            let Some(n) = number_after(after) else { return };
            let start = number_before(&lead[..start]).filter(|_| lead[..start].ends_with(' ')).unwrap_or(start);
            hide(at - (lead.len() - start), tail(end + n), Class::Address);
        }
        _ => {
            if lead.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/')) {
                return;
            }
            let (n, words) = named(after);
            if words == 0 {
                return;
            }
            if let Some(start) = number_before(lead).filter(|_| !sign.eq_ignore_ascii_case("via ")) {
                hide(at - (lead.len() - start), tail(end + n), Class::Address);
            } else if let Some(number) = number_after(&after[n..]).filter(|_| capital(sign)) {
                let whole = tail(end + n + number);
                // `Via` is also a way in English.
                if !sign.eq_ignore_ascii_case("via ")
                    || rest(text, end + n + number)[..whole - (end + n + number)]
                        .bytes()
                        .filter(u8::is_ascii_digit)
                        .count()
                        >= 4
                {
                    hide(at, whole, Class::Address);
                }
            }
        }
    }
}

/// The name of a street behind its kind: small words and at least one with a capital. How long it is, and how many capitals.
fn named(after: &str) -> (usize, usize) {
    let (mut at, mut end, mut words) = (0, 0, 0);
    for _ in 0..5 {
        match piece(&after[at..]) {
            Some((Piece::Word, n)) => {
                words += 1;
                at += n;
                end = at;
            }
            Some((Piece::Small, n)) => at += n,
            _ => break,
        }
        if !after[at..].starts_with(' ') {
            break;
        }
        at += 1;
    }
    (end, words)
}
