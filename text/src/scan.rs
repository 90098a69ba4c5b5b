//! One pass over a stretch of text: the vector stage says where it pays to look, and only there is anything read.
//!
//! Each block of 64 bytes comes as masks. A candidate is a bit that survives what can be asked of masks alone: where a long run of a token's
//! characters begins, where a word of [`signs`](crate::signs) may stand, where seven digits stand together. Every reading is bounded, so
//! that no text makes the pass slower than linear.

use hearth_simd::{
    as_this_processor_can,
    classes::{BLOCK, Classes, DEPTH, classes},
    plain,
};

use crate::class::{Class, Span};
use crate::grammar::{Alphabet, Runs, begins_here};
use crate::rules::Policy;
use crate::signs::{BEGINNINGS, Beginnings, INFIXES, Mark, RUN, Start, WORDS, WORDS_AND_CARRIERS, Words};
use crate::{blocks, carriers, checks, commands, links, numbers, packs, pairs, tokens, values};

/// A token with a mark in its middle is at least this long.
const LONG: usize = 32;
/// So many commands are read whole of which one stands in the words of another, and so much of each that follows.
const COMMANDS_MAX: u32 = 6;
const COMMAND_NEAR: usize = 64;
/// So many digits of a key stand before the dash and the name of a data centre.
const CENTRE: usize = 32;

/// The masks of a stretch; kept between stretches for its room.
#[derive(Default)]
pub(crate) struct Scanner {
    masks: Vec<Classes>,
    /// Whether the plain twin of the vector stage is used.
    plain: bool,
}

impl Scanner {
    pub(crate) fn new(plain: bool) -> Self {
        Self { masks: Vec::new(), plain }
    }

    /// Finds what the policy hides. Signs are looked for in `text[from..to]`; what they begin may be read beyond.
    pub(crate) fn find(&mut self, text: &[u8], from: usize, to: usize, policy: &Policy, found: &mut Vec<Span>) {
        // The block before the first one says what stands before it; where there is none, more is looked at.
        let lead = if from < BLOCK { 0 } else { BLOCK };
        let start = from.saturating_sub(BLOCK);
        let signs: &'static Words = if policy.names { &WORDS_AND_CARRIERS } else { &WORDS };
        let stage = if self.plain { plain::classes } else { classes };
        stage(&text[start..text.len().min(to + BLOCK)], &signs.signs, &mut self.masks);
        let mut scan = Scan {
            text,
            policy,
            signs,
            beginnings: &BEGINNINGS,
            found,
            names_to: start,
            nameless_to: start,
            crowd: Crowd::default(),
            cookies_to: start,
            colons_to: start,
            runs: Runs::default(),
            hashes: blocks::Hashes::default(),
            link: (0, 0),
            links_to: start,
            keys_to: start,
            command: (usize::MAX, start),
            commands: (0, start),
            phrase: Phrase { from: start, words: 0 },
        };
        as_this_processor_can(|| {
            let mut before = if lead == 0 { Classes::default() } else { self.masks[0] };
            let mut base = start + lead;
            while base < to {
                let n = (base - start) / BLOCK;
                let here = self.masks[n];
                let next = self.masks.get(n + 1).copied().unwrap_or_default();
                let inside = if to - base < BLOCK { (1 << (to - base)) - 1 } else { u64::MAX };
                scan.block(base, inside, &before, &here, &next);
                before = here;
                base += BLOCK;
            }
            scan.phrase(to);
        });
    }
}

/// A row of words that could be a seed phrase: where it began, and how many words of three letters and more it has.
struct Phrase {
    from: usize,
    words: u32,
}

/// The places of the bits of a mask.
#[inline(always)]
fn places(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let place = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            place
        })
    })
}

/// The bits of two blocks from `place` on.
#[inline(always)]
fn ahead(here: u64, next: u64, place: usize) -> u64 {
    let both = u128::from(here) | u128::from(next) << BLOCK;
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    let bits = (both >> place) as u64;
    bits
}

/// The bits of two blocks, moved up by `n`: what stood so far before each place.
#[inline(always)]
fn behind(before: u64, here: u64, n: u32) -> u64 {
    here << n | before >> (u64::BITS - n)
}

/// Tells whether a word goes on at `at`, as that of a command would not: `https:`, `openssl_`.
fn goes_on(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':' | b'/' | b'=' | b','))
}

/// Where at least [`RUN`] bits follow each other, by their first.
#[inline(always)]
fn runs(here: u64, next: u64) -> u64 {
    const { assert!(RUN == 12, "eight and four") };
    let one = u128::from(here) | u128::from(next) << BLOCK;
    let two = one & one >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    let runs = (eight & four >> 8) as u64;
    runs
}

/// Where one of twelve bits is set, from each place on.
#[inline(always)]
fn near(here: u64, next: u64) -> u64 {
    const { assert!(packs::NEAR == 12, "eight and four") };
    let one = u128::from(here) | u128::from(next) << BLOCK;
    let two = one | one >> 1;
    let four = two | two >> 2;
    let eight = four | four >> 4;
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    let near = (eight | four >> 8) as u64;
    near
}

/// Where at least seven bits follow each other, by their first: the shortest telephone number, `1.1.1.1`.
#[inline(always)]
fn sevens(here: u64, next: u64) -> u64 {
    let two = here & ahead(here, next, 1);
    let four = two & ahead(two, next & next >> 1, 2);
    let three = two & ahead(here, next, 2);
    four & ahead(three, next & next >> 1 & next >> 2, 4)
}

struct Scan<'a> {
    text: &'a [u8],
    policy: &'a Policy,
    signs: &'static Words,
    beginnings: &'static Beginnings,
    found: &'a mut Vec<Span>,
    /// A name is read once, however many signs it holds; so is a line of cookies and an address with colons.
    names_to: usize,
    nameless_to: usize,
    crowd: Crowd,
    cookies_to: usize,
    colons_to: usize,
    /// So are runs of a token's characters, stored passwords and private keys.
    runs: Runs,
    hashes: blocks::Hashes,
    link: (usize, usize),
    links_to: usize,
    keys_to: usize,
    /// The command that was read last, and how far: its later flags were met then.
    command: (usize, usize),
    /// How many commands were read of which one stands in what another read, and how far they read.
    commands: (u32, usize),
    phrase: Phrase,
}

impl Scan<'_> {
    fn hide(&mut self, start: usize, end: usize, class: Class) {
        if start < end {
            self.found.push(Span { start, end, class });
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(b' ')
    }

    #[inline(always)]
    fn block(&mut self, base: usize, inside: u64, before: &Classes, here: &Classes, next: &Classes) {
        let starts = here.word & !behind(before.word, here.word, 1) & inside;
        for place in places(starts & runs(here.wide, next.wide)) {
            self.run(base + place);
        }
        if self.policy.every_ip {
            for place in places(starts) {
                self.hardware(base + place);
            }
        }
        for place in places(here.marks[0] & inside) {
            self.said(base + place);
        }
        for place in places(here.marks[1] & starts) {
            self.done(base + place);
        }
        if !self.policy.packs.is_empty() {
            for place in places(starts & near(here.digit, next.digit)) {
                self.found.extend(packs::find(self.text, base + place, self.policy.packs));
            }
        }
        let long = here.wide & !behind(before.wide, here.wide, 1) & inside;
        for place in places(long & runs(here.wide, next.wide)) {
            let wide = ahead(here.wide, next.wide, place);
            let length = wide.trailing_ones() as usize;
            let run = if length == BLOCK { u64::MAX } else { (1 << length) - 1 };
            let upper = (here.letter & !here.lower, next.letter & !next.lower);
            if length == BLOCK
                || length >= LONG
                    && ahead(here.digit, next.digit, place) & run != 0
                    && ahead(upper.0, upper.1, place) & run != 0
            {
                self.long(base + place);
            }
        }
        let numbers = here.digit & !behind(before.digit, here.digit, 1) & inside;
        let many = sevens(here.number, next.number);
        // Two letters and two digits begin a bank account's number.
        let account = ahead(here.digit, next.digit, 1)
            & behind(before.letter, here.letter, 1)
            & behind(before.letter, here.letter, 2);
        for place in places(numbers & (many | account)) {
            let number = Number {
                at: base + place,
                digits: ahead(here.digit, next.digit, place),
                groups: ahead(here.number, next.number, place),
            };
            self.number(&number);
        }
        if self.policy.personal {
            for place in places(here.at & inside) {
                self.address(base + place);
            }
        }
        for place in places(here.colon & inside) {
            self.colon(base + place);
        }
        for place in places(here.dollar & inside) {
            self.dollar(base + place);
        }
        self.words(base, before, here, next);
    }

    /// A word that begins a long run of a token's characters.
    fn run(&mut self, at: usize) {
        self.begins(at);
        match (at.checked_sub(1).map(|i| self.text[i]), self.text[at]) {
            // `\nTOKEN`, `%3DTOKEN`: the escape is no part of it.
            (Some(b'\\'), b'n' | b't' | b'r') => self.begins(at + 1),
            (Some(b'%'), first) if first.is_ascii_hexdigit() => self.begins(at + 2),
            _ => {}
        }
    }

    /// A run long enough for a token whose mark is in its middle.
    fn long(&mut self, at: usize) {
        let text = self.text;
        let is_wide = |byte: &u8| Alphabet::Wide.has(*byte) || matches!(byte, b'$' | b':');
        let n = text[at..].iter().take_while(|byte| is_wide(byte)).count();
        for mark in INFIXES.find_overlapping_iter(&text[at..at + n]) {
            let infix = &tokens::INFIXES[mark.pattern().as_usize()];
            if let Some((start, end)) = infix.find_with(text, at + mark.start(), &mut self.runs) {
                self.hide(start, end, infix.class);
            }
        }
    }

    fn begins(&mut self, at: usize) {
        let text = self.text;
        if matches!(self.byte(at), b'M' | b'N' | b'O')
            && (23..=28).any(|n| self.byte(at + n) == b'.')
            && let Some(end) = tokens::find_dotted(text, at)
        {
            self.hide(at, end, Class::ApiKey);
        }
        if self.policy.personal
            && matches!(self.byte(at), b'1' | b'3')
            && let Some(end) = numbers::find_wallet(text, at)
        {
            self.hide(at, end, Class::CryptoWallet);
        }
        if self.byte(at + CENTRE) == b'-'
            && let Some((start, end)) = tokens::find_with_centre(text, at + CENTRE)
        {
            self.hide(start, end, Class::ApiKey);
        }
        for start in self.beginnings.at(text, at) {
            match start {
                Start::Token(i) => {
                    if let Some(end) = tokens::TOKENS[i].find_with(text, at, &mut self.runs) {
                        self.hide(at, end, tokens::TOKENS[i].class);
                    }
                }
                Start::Hook(i) => {
                    if let Some((start, end)) = tokens::find_hook(text, at, i) {
                        self.hide(start, end, Class::ApiKey);
                    }
                }
                Start::Putty if at >= self.keys_to && text[at..].starts_with(b"PuTTY-User-Key-File-") => {
                    self.keys_to = blocks::find_putty(text, at);
                    self.hide(at, self.keys_to, Class::PrivateKey);
                }
                Start::Putty => {}
                Start::Jwt => {
                    if let Some(end) = tokens::find_jwt(text, at, &mut self.runs) {
                        self.hide(at, end, Class::Jwt);
                    }
                }
                Start::Age => {
                    let begins = text[at..].starts_with(b"AGE-SECRET-KEY-") || text[at..].starts_with(b"AGE-PLUGIN-");
                    let n = self.runs.run(Alphabet::Url, text, at, 256);
                    if begins && n >= 40 {
                        self.hide(at, at + n, Class::PrivateKey);
                    }
                }
                Start::Ether if self.policy.personal => {
                    let n = text[at + 2..].iter().take(65).take_while(|b| b.is_ascii_hexdigit()).count();
                    if n == 40
                        && begins_here(text, at)
                        && !self.byte(at + 42).is_ascii_alphanumeric()
                        && values::is_random(&text[at + 2..at + 42], 40)
                    {
                        self.hide(at, at + 42, Class::CryptoWallet);
                    }
                }
                Start::Segwit if self.policy.personal => {
                    let n = text[at..].iter().take(91).take_while(|b| b.is_ascii_alphanumeric()).count();
                    if (26..=90).contains(&n) && begins_here(text, at) && checks::bech32(&text[at..at + n]) {
                        self.hide(at, at + n, Class::CryptoWallet);
                    }
                }
                Start::Ether | Start::Segwit => {}
            }
        }
    }

    /// A place where a word of the first set may stand.
    fn said(&mut self, at: usize) {
        let text = self.text;
        for word in self.signs.at(text, at) {
            let end = at + word.bytes.len();
            if word.mark == Mark::Name {
                if at >= self.names_to {
                    self.names_to = self.name(at, word.bytes.len());
                }
                continue;
            }
            let found = &mut *self.found;
            let mut hide = |start: usize, end: usize, class: Class| {
                if start < end {
                    found.push(Span { start, end, class });
                }
            };
            match word.mark {
                Mark::Phrase => {
                    if let Some((start, end)) = blocks::words_after(text, end) {
                        hide(start, end, Class::SeedPhrase);
                    }
                }
                Mark::Login => commands::find_login(text, at, &mut hide),
                Mark::Stored => {
                    if let Some((start, end)) = blocks::find_named_hash(text, at) {
                        hide(start, end, Class::PasswordHash);
                    }
                }
                Mark::Carrier(carrier) => carriers::find(text, at, end, carrier, &mut hide),
                Mark::Cookie if at >= self.cookies_to => self.cookies_to = pairs::cookies(text, end, &mut hide),
                _ => {}
            }
        }
    }

    /// Part of the name of a secret: returns how far it was read. Where names crowd, no more is read than leaves the pass linear: a value
    /// that is cut short is judged by its beginning, and hidden whole.
    fn name(&mut self, at: usize, hint: usize) -> usize {
        let text = self.text;
        let reach = self.crowd.reach(text, at);
        let crowded = reach == Some(VALUE_NEAR);
        let name =
            || text[at..].iter().take(96).take_while(|b| b.is_ascii_alphanumeric() || b"_-.$".contains(b)).count();
        let reach = reach.map_or(text.len(), |n| text.len().min(at + hint.max(name()) + n));
        let (found, mut hidden_to) = (&mut *self.found, 0);
        let mut hide = |start: usize, end: usize, class: Class| {
            let end = if end == reach { end + pairs::to_end(text, end) } else { end };
            if start < end {
                found.push(Span { start, end, class });
            }
            if end - start >= pairs::VALUE_MAX {
                hidden_to = end;
            }
        };
        pairs::find(&text[..reach], at, hint, crowded, &mut self.nameless_to, &mut hide).max(hidden_to)
    }

    /// A place where a word of the second set may stand.
    fn done(&mut self, at: usize) {
        let text = self.text;
        for word in self.signs.at(text, at) {
            let found = &mut *self.found;
            let mut hide = |start: usize, end: usize, class: Class| {
                if start < end {
                    found.push(Span { start, end, class });
                }
            };
            match word.mark {
                Mark::Command(i) if self.command.0 == i && at < self.command.1 => {}
                Mark::Command(_) if word.bytes.len() > DEPTH && goes_on(text, at + word.bytes.len()) => {}
                Mark::Command(i) => {
                    // No line of a shell has so many; where it seems so, each is read less far.
                    let crowded = at < self.commands.1 && self.commands.0 >= COMMANDS_MAX;
                    let reach = if crowded { text.len().min(at + COMMAND_NEAR) } else { text.len() };
                    let read = commands::find(&text[..reach], at, i, &mut hide);
                    self.commands.0 = if at < self.commands.1 { self.commands.0 + 1 } else { 1 };
                    self.commands.1 = self.commands.1.max(read);
                    self.command = (i, read);
                }
                Mark::Sudo => commands::find_piped(text, at, &mut hide),
                Mark::Armour if at >= self.keys_to => {
                    // `-----BEGIN`, and `---- BEGIN` of SSH2.
                    let dash = [1, 2].into_iter().filter_map(|n| at.checked_sub(n)).find(|dash| text[*dash] == b'-');
                    if let Some(armour) = dash.and_then(|dash| blocks::find_armour(text, dash)) {
                        self.keys_to = armour.end;
                        if armour.holds_key {
                            hide(armour.start, armour.end, Class::PrivateKey);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// An `@` that may stand in an e-mail address.
    fn address(&mut self, at: usize) {
        let text = self.text;
        let Some((start, end)) = links::find_email(text, at) else { return };
        // In `scheme://user:secret@host` the sign belongs to the link.
        let lead = &text[start.saturating_sub(128)..start];
        let word = lead.iter().rposition(u8::is_ascii_whitespace).map_or(0, |i| i + 1);
        let in_link = memchr::memmem::rfind(&lead[word..], b"://").is_some_and(|i| {
            let rest = &lead[word + i + 3..];
            !rest.iter().any(|b| matches!(b, b'/' | b'?' | b'"'))
        });
        if !in_link {
            self.hide(start, end, Class::Email);
        }
    }

    fn colon(&mut self, at: usize) {
        let text = self.text;
        let next = self.byte(at + 1);
        if at > 0 && text[at - 1].is_ascii_digit() && !next.is_ascii_whitespace() {
            self.numbered(at);
        }
        if next == b'/' && self.byte(at + 2) == b'/' {
            self.link(at);
        } else if at >= self.colons_to
            && (next == b':' && self.goes_on(at + 2) || next.is_ascii_hexdigit())
            && (self.policy.public_ip || self.policy.every_ip || !self.policy.packs.is_empty())
            && let Some((start, end, address)) = links::find_colons(text, at)
        {
            self.colons_to = end;
            match address {
                Some(address) if self.policy.every_ip || self.policy.public_ip && links::is_public(address.into()) => {
                    self.hide(start, end, Class::Ip);
                }
                None if self.policy.every_ip => self.hide(start, end, Class::Mac),
                _ => {}
            }
        }
    }

    /// A colon after a number: that of a bot before its token, or a port before the name of a database.
    fn numbered(&mut self, at: usize) {
        const DIGITS_MAX: usize = 17;
        let text = self.text;
        let n = text[..at].iter().rev().take(DIGITS_MAX).take_while(|b| b.is_ascii_digit()).count();
        // Times: `12:34:56`.
        if n <= 2 && self.byte(at + 1).is_ascii_digit() {
            return;
        }
        if let Some(end) = tokens::find_bot(text, at - n, n) {
            self.hide(at - n, end, Class::ApiKey);
        }
        let found = &mut *self.found;
        numbers::find_pgpass(text, at - n, n, &mut |start, end, class| {
            if start < end {
                found.push(Span { start, end, class });
            }
        });
    }

    /// After two colons: what an address would go on with, not the name that a path goes on with.
    fn goes_on(&self, at: usize) -> bool {
        let byte = self.byte(at);
        byte.is_ascii_hexdigit() || !byte.is_ascii_alphanumeric() && byte != b'_'
    }

    fn link(&mut self, at: usize) {
        let text = self.text;
        let found = &mut *self.found;
        let mut hide = |start: usize, end: usize, class: Class| {
            if start < end {
                found.push(Span { start, end, class });
            }
        };
        links::find_userinfo(text, at, &mut self.link, &mut hide);
        if text[..at].ends_with(b"otpauth") {
            blocks::find_otp(text, at, &mut hide);
        }
        if self.policy.packs.have(Class::Url)
            && at >= self.links_to
            && let Some((start, end)) = packs::find_link(text, at)
        {
            self.links_to = end;
            hide(start, end, Class::Url);
        }
    }

    /// A word that may begin a hardware address with dashes or dots; those with colons are met there.
    fn hardware(&mut self, at: usize) {
        if (self.byte(at + 2) == b'-' || self.byte(at + 4) == b'.')
            && let Some(end) = links::find_mac(self.text, at)
        {
            self.hide(at, end, Class::Mac);
        }
    }

    /// A `$` or `{` that may begin a password's hash.
    fn dollar(&mut self, at: usize) {
        const SCHEME_MAX: usize = 18;
        let text = self.text;
        let name = text[at + 1..].iter().take(SCHEME_MAX);
        let n = name.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        let close = self.byte(at + 1 + n);
        let begins = if text[at] == b'{' {
            close == b'}'
                && matches!(self.byte(at + 1) | 0x20, b's' | b'm' | b'c' | b'p' | b'a' | b'b')
                && matches!(self.byte(at + 2 + n), b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'$' | b'/' | b'+' | b'.')
        } else {
            n > 0 && matches!(close, b'$' | b',' | b'*')
        };
        if begins
            && at >= self.hashes.to
            && let Some(end) = blocks::find_hash(text, at, n, &mut self.hashes)
        {
            self.hashes.to = end;
            self.hide(at, end, Class::PasswordHash);
        }
    }

    /// Counts words of three letters and more that follow each other; as many as a seed phrase has are read.
    #[inline(always)]
    fn words(&mut self, base: usize, before: &Classes, here: &Classes, next: &Classes) {
        let starts = here.letter & !behind(before.letter, here.letter, 1);
        let second = ahead(here.letter, next.letter, 1);
        let third = ahead(here.letter, next.letter, 2);
        let short = starts & !(second & third);
        // What no such row has in it. Longer words are left to the reading.
        let other = here.wide & !here.number | here.letter & !here.lower | here.at | here.dollar;
        let broken = short | other & !here.lower;
        if broken == 0 {
            self.phrase.words += starts.count_ones();
            return;
        }
        let first = broken.trailing_zeros();
        self.phrase.words += (starts & ((1 << first) - 1)).count_ones();
        if (starts & !broken).count_ones() >= blocks::SEED_MIN {
            // Words enough between two that are not: the block is read whole.
            self.phrase.words += blocks::SEED_MIN;
        }
        self.phrase(base + BLOCK);
        let last = 63 - broken.leading_zeros();
        let rest = if last == 63 { 0 } else { starts & u64::MAX << (last + 1) };
        self.phrase = Phrase { from: base, words: rest.count_ones() };
    }

    /// Reads the row of words that ends before `to`, if it is long enough.
    fn phrase(&mut self, to: usize) {
        if self.phrase.words >= blocks::SEED_MIN {
            let from = self.phrase.from;
            let found = &mut *self.found;
            blocks::find_seeds(&self.text[from..to.min(self.text.len())], &mut |start, end| {
                found.push(Span { start: from + start, end: from + end, class: Class::SeedPhrase });
            });
        }
    }

    #[inline(always)]
    fn number(&mut self, number: &Number) {
        let text = self.text;
        let at = number.at;
        let n = number.run(text);
        let next = self.byte(at + n);
        let before = at.checked_sub(1).map_or(b' ', |i| text[i]);
        let many = number.digits_in_groups();
        if self.policy.personal {
            if many >= 12
                && (4..=19).contains(&n)
                && let Some(end) = numbers::find_card(text, at)
            {
                self.hide(at, end, Class::CreditCard);
                return;
            }
            if before.is_ascii_alphabetic()
                && n >= 2
                && let Some((start, end)) = numbers::find_iban(text, at)
            {
                self.hide(start, end, Class::Iban);
                return;
            }
            if many >= 9
                && matches!(n, 3 | 9)
                && let Some(end) = numbers::find_ssn(text, at)
            {
                self.hide(at, end, Class::UsSsn);
                return;
            }
        }
        if (self.policy.public_ip || self.policy.every_ip)
            && next == b'.'
            && n <= 3
            && many >= 4
            && let Some((end, address)) = links::find_v4(text, at)
        {
            if self.policy.every_ip || links::is_public(address.into()) {
                self.hide(at, end, Class::Ip);
            }
            return;
        }
        // A phone number is read from its first digits only.
        if self.policy.personal
            && many >= 7
            && n <= 15
            && (n >= 7 || matches!(next, b' ' | b'-' | b'.' | b')' | b'/' | b'('))
            && let Some((start, end)) = numbers::find_phone(text, at)
        {
            self.hide(start, end, Class::Phone);
        }
    }
}

/// So much of a value is judged where names crowd.
const VALUE_NEAR: usize = 32;

/// How many names stand close together.
#[derive(Default)]
struct Crowd {
    /// Where the stretch began, and how many stand in it.
    stretch: (usize, u32),
    /// The last name, and how many stand before it with no white space between them.
    word: (usize, u32),
}

impl Crowd {
    const STRETCH: usize = 512;

    /// Takes the next name, and says how much may be read from it on if that is not all.
    fn reach(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if at >= self.stretch.0 + Self::STRETCH {
            self.stretch = (at, 0);
        }
        self.stretch.1 += 1;
        let (before, n) = self.word;
        let joined =
            at > before && at - before < Self::STRETCH && !text[before..at].iter().any(u8::is_ascii_whitespace);
        self.word = (at, if joined { n + 1 } else { 0 });
        match (self.stretch.1, self.word.1) {
            (48.., _) | (_, 8..) => Some(VALUE_NEAR),
            (16.., _) | (_, 3..) => Some(5 * VALUE_NEAR),
            _ => None,
        }
    }
}

/// A run of digits, and the masks of what follows its first.
struct Number {
    at: usize,
    digits: u64,
    groups: u64,
}

impl Number {
    /// How many digits stand in one piece.
    #[inline(always)]
    fn run(&self, text: &[u8]) -> usize {
        match self.digits.trailing_ones() as usize {
            BLOCK => text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count(),
            n => n,
        }
    }

    /// How many digits follow each other with nothing between them but what stands between groups: all that a card or a telephone number could
    /// have.
    #[inline(always)]
    fn digits_in_groups(&self) -> u32 {
        let mask = match self.groups.trailing_ones() {
            64 => u64::MAX,
            n => (1 << n) - 1,
        };
        (self.digits & mask).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind that the masks lead to.
    const SHAPES: &[(&str, Class)] = &[
        ("ghp_aZ3kQ9xT7bN2mW5cV8rL4pY6sD1fG0hJ2kE8", Class::ApiKey),
        ("xoxb-7f3a9c2e5b81", Class::ApiKey),
        ("MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs", Class::ApiKey),
        ("iK1An2fASvu0iI3CASxJT3BlbkFJOSx0Wbzn1Hkir0gsNEhy", Class::ApiKey),
        ("lZ58Q~snST3IpYkLzjliA4RGufhGD1Zreosfhypn", Class::ApiKey),
        ("7c4e0b1f9a2d5836e1f0a9b8c7d6e5f4-us14", Class::ApiKey),
        ("7201948365:AAH5kP0vJ2mQ8rT4xW9bZ1cD6fG3hL7nS0y", Class::ApiKey),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhYmMifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWF", Class::Jwt),
        ("$2b$12$R9h7cIPz0giURNNX3kh2OPST9PgBkqquzi7Ss7KIUgO2t0jWMUW2K", Class::PasswordHash),
        ("{SSHA}3Q2mVnKpL0xYt7uJ9cR5wB1zD4fG6hNa", Class::PasswordHash),
        ("password=hunter2z", Class::Password),
        ("DbPassword: \"k3lmq9\"", Class::Password),
        ("curl -u eve:Sommer77x https://a.de", Class::AuthHeader),
        ("postgres://eve:Sommer77x@db.home/a", Class::ConnectionString),
        ("4012888888881881", Class::CreditCard),
        ("DE89 3704 0044 0532 0130 00", Class::Iban),
        ("412-68-9173", Class::UsSsn),
        ("eve.sommer@web.de", Class::Email),
        ("+49 30 901820", Class::Phone),
        ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", Class::CryptoWallet),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", Class::CryptoWallet),
        ("93.184.215.14", Class::Ip),
        ("2a00:1450:4001:82b::200e", Class::Ip),
        ("00-1b-63-84-45-e6", Class::Mac),
        ("a4:5e:60:c2:9f:11", Class::Mac),
        ("zoo wrap olive mango tiger unique zebra lemon canyon dwarf inmate tackle", Class::SeedPhrase),
    ];

    #[test]
    fn whatever_stands_at_any_place_of_a_block_is_found_there() {
        let mut scanner = Scanner::default();
        for (shape, class) in SHAPES {
            for lead in 0..2 * BLOCK + 2 {
                let text = format!("{}\n{shape}\n{}", "- ".repeat(lead / 2) + &"\n"[..lead % 2], ". ".repeat(40));
                let at = text.find(shape).expect("it was put there");
                let mut found = vec![];
                scanner.find(text.as_bytes(), 0, text.len(), &Policy::ALL, &mut found);
                let met = found.iter().any(|span| {
                    span.class == *class
                        && span.start >= at
                        && span.end <= at + shape.len()
                        && span.end - span.start >= 4
                });
                assert!(met, "{shape} behind {lead} bytes: {found:?}");
            }
        }
    }

    #[test]
    fn runs_are_twelve_bits_and_cross_the_border() {
        let bits = |from: u32, n: u32| ((1_u128 << n) - 1) << from;
        let lower = |mask: u128| u64::try_from(mask & u128::from(u64::MAX)).expect("the lower half");
        for from in 0..64 {
            for n in 0..40 {
                let mask = bits(from, n);
                let (here, next) = (lower(mask), lower(mask >> 64));
                let expected = n >= 12 && from < 64;
                assert_eq!(runs(here, next) >> from & 1 == 1, expected, "{n} from {from}");
                assert_eq!(ahead(here, next, from as usize), lower(mask >> from));
            }
        }
    }
}
