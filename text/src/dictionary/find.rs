//! Where the names of a dictionary stand in a text.
//!
//! The automaton and the words with accents say where the anchor of a name stands; the words around it are read only there, a few to
//! either side.

use aho_corasick::Input;

use super::fold::{Folded, Gap, Token, WORD_MAX, floor, in_word, word_after, word_before};
use super::{Alone, Dictionary, Shape, is_particle, parts, short_street, twins};
use crate::class::Span;

/// So many words are read to either side of an anchor.
const WORDS_MAX: usize = 12;
/// Given names stand this near to the name of the family.
const NEAR: usize = 5;
/// Text is asked for accents in pieces of so many bytes.
const PIECE: usize = 64;

impl Dictionary {
    /// Finds names whose anchors stand in `text[from..to]`.
    pub(crate) fn find(&self, text: &str, from: usize, to: usize, found: &mut Vec<Span>) {
        if let Some(automaton) = &self.automaton {
            for anchor in automaton.find_iter(Input::new(text).range(from..to)) {
                let (start, end) = (anchor.start(), anchor.end());
                let (bytes, at) = (text.as_bytes(), self.by_pattern[anchor.pattern().as_usize()]);
                // Most hits are parts of longer words.
                let inside = start > 0
                    && bytes[start - 1].is_ascii_alphanumeric()
                    && bytes[start].is_ascii()
                    && !bytes[..start].ends_with(b"%20")
                    || bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) && bytes[end - 1].is_ascii();
                if !inside && stands_alone(text, start, end) {
                    self.around(text, start, end, at, found);
                }
            }
        }
        self.accented(text, from, to, found);
    }

    /// Looks up the words that have letters beyond ASCII.
    fn accented(&self, text: &str, from: usize, to: usize, found: &mut Vec<Span>) {
        let bytes = text.as_bytes();
        let mut at = from;
        while at < to {
            let piece = &bytes[at..to.min(at + PIECE)];
            if piece.is_ascii() {
                at += PIECE;
                continue;
            }
            at += piece.iter().position(|b| !b.is_ascii()).unwrap_or(0);
            let here = floor(text, at);
            let Some(c) = text[here..].chars().next() else { break };
            if !in_word(c) || !self.beyond_ascii && !is_latin(c) {
                at = here + c.len_utf8();
                continue;
            }
            let lead = &text[floor(text, here.saturating_sub(WORD_MAX))..here];
            let start = here - lead.len()
                + lead.rfind(|c| !in_word(c)).map_or(0, |i| i + lead[i..].chars().next().map_or(0, char::len_utf8));
            let rest = &text[here..floor(text, here + 2 * WORD_MAX)];
            let n = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            let end = here + n;
            if n > 0 && end - start <= WORD_MAX {
                for spelling in Folded::of(&text[start..end]).each() {
                    if let Some(anchor) = self.anchors.get(spelling) {
                        self.around(text, start, end, *anchor, found);
                    }
                }
            }
            at = end.max(at + 1);
        }
    }

    /// Compares what stands around an anchor with the names that have it.
    fn around(&self, text: &str, start: usize, end: usize, anchor: u32, found: &mut Vec<Span>) {
        let near = &self.near[anchor as usize];
        let place = Place { text, anchor: Token::new(text, start, end, Gap::Other), before: vec![], after: vec![] };
        let mut hide = |name: u32, (start, end)| {
            found.push(Span { start, end, class: self.names[name as usize].class });
        };
        for name in near.get("").into_iter().flatten() {
            if let Shape::Alone(alone) = &self.names[*name as usize].shape
                && place.alone(alone)
            {
                hide(*name, (start, end));
            }
        }
        if near.len() == 1 && near.contains_key("") {
            return;
        }
        let place = place.with_words();
        let keys = place.before.iter().take(NEAR).chain(place.after.iter().take(NEAR));
        for key in keys {
            for spelling in key.word.each() {
                for name in near.get(spelling).into_iter().flatten() {
                    let span = match &self.names[*name as usize].shape {
                        Shape::Alone(_) => None,
                        Shape::Person { given, family, common } => place.person(given, family, *common),
                        Shape::Words { words, anchor, common } => place.words(words, *anchor, *common),
                    };
                    if let Some(span) = span {
                        hide(*name, span);
                    }
                }
            }
        }
    }
}

/// Tells whether a letter may be one of ASCII with something added: in Latin words, and the marks that are put on letters.
fn is_latin(c: char) -> bool {
    c <= '\u{36f}' || ('\u{1e00}'..='\u{1eff}').contains(&c)
}

/// Tells whether no word goes on before `start` or behind `end`.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    text.is_char_boundary(start)
        && text.is_char_boundary(end)
        && (text[..start].ends_with("%20") || parts(text[..start].chars().next_back(), text[start..].chars().next()))
        && parts(text[..end].chars().next_back(), text[end..].chars().next())
}

/// An anchor and the words around it, the nearest first.
struct Place<'t> {
    text: &'t str,
    anchor: Token,
    before: Vec<Token>,
    after: Vec<Token>,
}

impl Place<'_> {
    fn with_words(mut self) -> Self {
        let mut at = self.anchor.start;
        while let Some(token) = word_before(self.text, at).filter(|_| self.before.len() < WORDS_MAX) {
            at = token.start;
            self.before.push(token);
        }
        let mut at = self.anchor.end;
        while let Some(token) = word_after(self.text, at).filter(|_| self.after.len() < WORDS_MAX) {
            at = token.end;
            self.after.push(token);
        }
        self
    }

    fn alone(&self, alone: &Alone) -> bool {
        let (start, end) = (self.anchor.start, self.anchor.end);
        let word = &self.text[start..end];
        match alone {
            Alone::AnyCase => true,
            Alone::Spelled(spelling) => {
                let capitals = !word.chars().any(char::is_lowercase);
                (**spelling == *word || capitals) && self.is_prose()
            }
            Alone::AccountOnly => self.is_account(),
        }
    }

    /// Tells whether no name of a program goes on around it.
    fn is_prose(&self) -> bool {
        let (start, end) = (self.anchor.start, self.anchor.end);
        !self.text[..start].ends_with(['_', '.', ':', '$', '-']) && !self.text[end..].starts_with(['_', '(', ':', '-'])
            || self.text[end..].starts_with(": ")
    }

    /// Tells whether an account stands here: a folder of homes, `~eve`, `eve@nas`, `@eve`.
    fn is_account(&self) -> bool {
        let (before, after) = (&self.text[..self.anchor.start], &self.text[self.anchor.end..]);
        let homes = ["/home/", "/Users/", "\\Users\\", "\\\\Users\\\\"];
        let begins = |sign: char| {
            before.strip_suffix(sign).is_some_and(|lead| lead.chars().next_back().is_none_or(|c| !in_word(c)))
        };
        let goes_on = after.starts_with(['.', '-', '_']) && after[1..].starts_with(|c: char| c.is_alphanumeric());
        if goes_on {
            return false;
        }
        homes.iter().any(|home| before.ends_with(home))
            || begins('~')
            || begins('@')
            || after.strip_prefix('@').is_some_and(|host| host.starts_with(|c: char| c.is_alphanumeric()))
                && !before.ends_with(['.', '-', '_', '+'])
    }

    /// `Eve Sommer`, `E. Sommer`, `Sommer, Eve`, `eve.sommer`.
    fn person(&self, given: &[Folded], family: &[Folded], common: bool) -> Option<(usize, usize)> {
        let mut ahead = &family[..family.len() - 1];
        let mut gap = Gap::Other;
        let mut start = self.anchor.start;
        let mut capitals = self.anchor.capital;
        let stand =
            |(word, token): (&Folded, &Token)| token.word.is(word) && matches!(token.gap, Gap::Space | Gap::Joint);
        if self.before.len() >= ahead.len() && ahead.iter().rev().zip(&self.before).all(stand) {
            start = ahead.len().checked_sub(1).map_or(start, |last| self.before[last].start);
        } else if ahead.iter().all(is_particle) {
            // People leave out the `von` of others.
            ahead = &[];
        } else {
            return None;
        }
        let family_start = start;
        let (mut left, mut whole, mut stranger) = (given.len(), false, None);
        let mut begun = false;
        for token in &self.before[ahead.len()..] {
            let initial = token.is_letter() && token.capital && token.gap != Gap::Comma;
            // A letter without a stop is an article as often.
            let stopped = matches!(token.gap, Gap::Stop | Gap::Joint);
            let matched = (0..left).rev().find(|i| {
                let full = token.word.is(&given[*i]) && matches!(token.gap, Gap::Space | Gap::Joint);
                full || initial
                    && (stopped || whole || *i > 0)
                    && self.anchor.capital
                    && token.word.initial() == given[*i].initial()
                    && matches!(token.gap, Gap::Space | Gap::Stop | Gap::Joint)
            });
            match matched {
                Some(i) => {
                    left = i;
                    let full = token.word.is(&given[i]) && !token.is_letter();
                    whole |= full;
                    begun |= i == 0;
                    // What is between must hold with it.
                    stranger = None;
                    start = token.start;
                    capitals &= token.capital;
                    gap = if gap == Gap::Joint { gap } else { token.gap };
                }
                None if initial && stranger.is_none() && matches!(token.gap, Gap::Stop | Gap::Space) => {
                    stranger = Some(token.start);
                }
                None => break,
            }
            if left == 0 {
                break;
            }
        }
        let held = (whole || begun) && start < family_start;
        if held && (!common || capitals && gap != Gap::Joint) {
            return Some((start, self.anchor.end));
        }
        self.turned(given, family_start, common)
    }

    /// The name of the family first: `Sommer, Eve`, `SOMMER Eve`, `Sommer, E.`, `sommer.eve`.
    fn turned(&self, given: &[Folded], start: usize, common: bool) -> Option<(usize, usize)> {
        let first = self.after.first()?;
        let second = given.first()?;
        let full = first.word.is(second) && matches!(first.gap, Gap::Space | Gap::Comma | Gap::Joint);
        let dotted = |token: &Token| self.text[token.end..].starts_with('.');
        let initial = first.is_letter()
            && first.capital
            && self.anchor.capital
            && first.gap == Gap::Comma
            && dotted(first)
            && first.word.initial() == second.initial();
        if !(full || initial) || common && !(self.anchor.capital && first.capital && first.gap != Gap::Joint) {
            return None;
        }
        // A list of people: `Adam Sommer, Eve Winter`.
        let before = self.before.iter().find(|token| token.end <= start);
        let alone = |token: &Token| token.gap != Gap::Space || !token.capital;
        if first.gap == Gap::Comma && before.is_some_and(|t| !alone(t)) && self.after.get(1).is_some_and(|t| !alone(t))
        {
            return None;
        }
        let mut end = first.end + usize::from(initial);
        for (token, word) in self.after[1..].iter().zip(&given[1..]) {
            let full = token.word.is(word);
            let letter = token.is_letter() && token.capital && dotted(token) && token.word.initial() == word.initial();
            if !(full || letter) || !matches!(token.gap, Gap::Space | Gap::Stop | Gap::Joint) {
                break;
            }
            end = token.end + usize::from(letter && !full);
        }
        Some((start, end))
    }

    /// The words of an address or a company, in order.
    fn words(&self, words: &[(Folded, Gap, Box<str>)], anchor: usize, common: bool) -> Option<(usize, usize)> {
        let same = |token: &Token, word: &Folded| {
            token.word.is(word)
                || short_street(word).is_some_and(|short| token.word.is(&short))
                || short_street(&token.word).is_some_and(|short| word.is(&short))
                || twins(&word.plain).any(|twin| twin == &*token.word.plain)
        };
        // What stands between the words that end at `end` and begin at `start`.
        let joined = |end: usize, start: usize, gap: Gap, wanted: &(Folded, Gap, Box<str>)| match (wanted.1, gap) {
            (Gap::Other | Gap::Joint, _) => self.text[end..start].trim() == &*wanted.2,
            (_, Gap::Space | Gap::Comma | Gap::Stop) => true,
            _ => false,
        };
        if !same(&self.anchor, &words[anchor].0)
            || self.before.len() < anchor
            || self.after.len() < words.len() - anchor - 1
        {
            return None;
        }
        let (mut start, mut end) = (self.anchor.start, self.anchor.end);
        let mut capitals = self.anchor.capital;
        for i in (0..anchor).rev() {
            let token = &self.before[anchor - 1 - i];
            if !same(token, &words[i].0) || !joined(token.end, start, token.gap, &words[i + 1]) {
                return None;
            }
            start = token.start;
            capitals &= token.capital;
        }
        for (wanted, token) in words[anchor + 1..].iter().zip(&self.after) {
            if !same(token, &wanted.0) || !joined(end, token.start, token.gap, wanted) {
                return None;
            }
            end = token.end;
            capitals &= token.capital;
        }
        (!common || capitals).then_some((start, end))
    }
}
