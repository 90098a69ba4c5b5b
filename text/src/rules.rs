//! The engine's front: text in, text without secrets out, whole or piece by piece.
//!
//! Text is read in windows whose borders depend on the text alone, so that a stream and a whole text give the same
//! output. It reads nothing but what it is handed, keeps nothing, and logs nothing.

use std::{fmt, sync::Arc};

use zeroize::Zeroize;

use crate::blocks;
use crate::class::{Class, Counts, Span};
use crate::dictionary::Dictionary;
use crate::packs::Packs;
use crate::scan::Scanner;
use crate::words::{Raw, Redacted};

/// Which optional classes are hidden. Credentials always are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Hide e-mail addresses, phone numbers, cards, bank accounts, social security numbers and wallets.
    pub personal: bool,
    /// Hide public network addresses; private, loopback and documentation addresses stay readable.
    pub public_ip: bool,
    /// Hide every network address, and hardware addresses too.
    pub every_ip: bool,
    /// Hide national identity, tax, health and vehicle numbers of these countries; dates, coordinates and links.
    pub packs: Packs,
    /// Hide names of people after greetings and in headers and home folders, and postal addresses; words near them say what they are, no model.
    pub names: bool,
}

impl Policy {
    /// What a home or a small team wants when it has said nothing.
    pub const STANDARD: Self =
        Self { personal: true, public_ip: true, every_ip: false, packs: Packs::NONE, names: false };
    /// Everything the engine knows.
    pub const ALL: Self = Self { personal: true, public_ip: true, every_ip: true, packs: Packs::ALL, names: true };
    /// Credentials only.
    pub const SECRETS: Self =
        Self { personal: false, public_ip: false, every_ip: false, packs: Packs::NONE, names: false };
}

impl Default for Policy {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// How much is decided at a time.
const WINDOW: usize = 16 << 10;
/// How much is read beyond a window, so that what begins in it is seen whole.
const AHEAD: usize = 16 << 10;
/// How much is read before a window: the name of a value, the words around a number.
const BEHIND: usize = 1 << 10;
/// A sign may stand this far behind the beginning of what it is the sign of.
const REACH: usize = 512;

/// The rules by which text is redacted; the only exit of [`Raw`].
#[derive(Clone, Debug)]
pub struct Rules {
    policy: Policy,
    plain: bool,
    dictionary: Option<Arc<Dictionary>>,
}

impl Rules {
    /// The standard policy.
    pub fn standard() -> Self {
        Self::with_policy(Policy::STANDARD)
    }

    /// Rules under a policy of the owner's.
    pub fn with_policy(policy: Policy) -> Self {
        Self { policy, plain: false, dictionary: None }
    }

    /// The same rules without vector instructions, as on a processor that has none: they find the same, only slower.
    #[doc(hidden)]
    #[must_use]
    pub fn plainly(self) -> Self {
        Self { plain: true, ..self }
    }

    /// What reads a text from its beginning.
    fn reader(&self) -> Reader {
        Reader { scanner: Scanner::new(self.plain), ..Reader::default() }
    }

    /// Hides the owner's names too, whatever the policy.
    #[must_use]
    pub fn with_dictionary(mut self, dictionary: Arc<Dictionary>) -> Self {
        self.dictionary = Some(dictionary).filter(|dictionary| !dictionary.is_empty());
        self
    }

    /// Returns the policy in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Consumes the raw text, so that no unredacted copy outlives the call.
    pub fn redact(&self, raw: Raw) -> Redacted {
        self.redact_with_spans(raw).0
    }

    /// As [`redact`](Self::redact), and tells where in the input something was hidden, in order, without overlap.
    pub fn redact_with_spans(&self, raw: Raw) -> (Redacted, Vec<Span>) {
        let mut reader = self.reader();
        let mut spans = Vec::new();
        while reader.read(self, raw.text(), true, &mut spans) {}
        if spans.is_empty() {
            return (Redacted::new(raw.into_clean(), Counts::default()), spans);
        }
        let mut out = Writer::default();
        out.write(raw.text(), 0, raw.len(), &spans);
        (Redacted::new(out.text, out.counts), spans)
    }

    /// Starts a text that comes in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream { rules: self, held: String::new(), reader: self.reader(), said: 0 }
    }
}

/// A text that comes in pieces. Joined, what it gives is what [`Rules::redact`] gives for the joined pieces.
///
/// It holds back at most 33 KiB: the window that is not decided yet and the little before it that names what follows.
pub struct Stream<'r> {
    rules: &'r Rules,
    held: String,
    reader: Reader,
    /// How much of `held` was given already.
    said: usize,
}

impl Stream<'_> {
    /// Takes the next piece and returns what may be said already.
    pub fn push(&mut self, piece: Raw) -> Redacted {
        // Growing the buffer in place would leave its old copy unwiped.
        let mut grown = String::with_capacity(self.held.len() + piece.len());
        grown.push_str(&self.held);
        grown.push_str(piece.text());
        self.held.zeroize();
        self.held = grown;
        drop(piece);
        self.advance(false)
    }

    /// Ends the text and returns the rest of it.
    pub fn finish(mut self) -> Redacted {
        self.advance(true)
    }

    fn advance(&mut self, ended: bool) -> Redacted {
        let mut out = Writer::default();
        let mut spans = Vec::new();
        while self.reader.read(self.rules, &self.held, ended, &mut spans) {}
        out.write(&self.held, self.said.max(self.reader.closed), self.reader.at, &spans);
        self.said = self.reader.at;
        // Keep what the next window may look back on.
        let mut keep = self.reader.at.saturating_sub(BEHIND);
        while !self.held.is_char_boundary(keep) {
            keep -= 1;
        }
        if keep > 0 {
            let rest = self.held[keep..].to_owned();
            self.held.zeroize();
            self.held = rest;
            self.reader.at -= keep;
            self.reader.closed = self.reader.closed.saturating_sub(keep);
            self.said -= keep;
        }
        Redacted::new(out.text, out.counts)
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.held.zeroize();
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} bytes held)", self.held.len())
    }
}

/// Reads a text window by window. Where windows end depends on the text alone, never on how it arrived.
#[derive(Default)]
struct Reader {
    /// Everything before this is decided.
    at: usize,
    /// What was hidden last goes on beyond what was read.
    open: Option<Class>,
    /// Up to here lies the rest of what an earlier piece's mark stands for: nothing of it is said.
    closed: usize,
    scanner: Scanner,
}

impl Reader {
    /// Decides one more window, if there is enough text to decide it. Returns whether it did.
    fn read(&mut self, rules: &Rules, text: &str, ended: bool, spans: &mut Vec<Span>) -> bool {
        let left = text.len() - self.at;
        if left == 0 || (!ended && left < WINDOW + AHEAD) {
            return false;
        }
        let last = left < WINDOW + AHEAD;
        if let Some(class) = self.open {
            return self.close(class, text, last, spans);
        }
        let bytes = text.as_bytes();
        let cut = if last { text.len() } else { cut(text, self.at) };
        let from = floor(text, self.at.saturating_sub(BEHIND));
        let to = if last { text.len() } else { floor(text, self.at + WINDOW + AHEAD) };
        let view = &bytes[from..to];
        let mut found = Vec::new();
        let (start, end) = (self.at - from - (self.at - from).min(REACH), (cut - from + REACH).min(view.len()));
        self.scanner.find(view, start, end, &rules.policy, &mut found);
        if let Some(dictionary) = &rules.dictionary {
            dictionary.find(&text[from..to], start, end, &mut found);
        }
        found.retain(|span| span.end + from > self.at);
        found.sort_by_key(|span| (span.start, usize::MAX - span.end));
        let mut next = cut;
        let mut first = true;
        for span in found {
            let start = floor(text, (span.start + from).max(self.at));
            let end = ceil(text, span.end + from);
            if start >= cut {
                break;
            }
            match spans.last_mut().filter(|before| !first && start < before.end) {
                Some(before) => {
                    before.end = before.end.max(end);
                    before.class = before.class.min(span.class);
                }
                None => spans.push(Span { start, end, class: span.class }),
            }
            first = false;
            next = next.max(end);
            let unfinished =
                !last && end >= to || span.class == Class::PrivateKey && span.end - span.start >= blocks::KEY_MAX - 256;
            if unfinished {
                self.open = Some(span.class);
            }
        }
        self.at = next;
        true
    }

    /// Goes on hiding what had no end in sight: to white space, or to where lines of a key stop.
    fn close(&mut self, class: Class, text: &str, last: bool, spans: &mut [Span]) -> bool {
        let reach = if last { text.len() } else { floor(text, self.at + WINDOW) };
        let bytes = &text.as_bytes()[self.at..reach];
        let is_key = class == Class::PrivateKey;
        let goes_on = |b: &u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'.' | b'\\')
                || *b >= 0x80
                || (is_key && b.is_ascii_whitespace())
        };
        let n = bytes.iter().take_while(|b| goes_on(b)).count();
        self.at = floor(text, self.at + n);
        if n < bytes.len() || last {
            self.open = None;
        }
        match spans.last_mut() {
            Some(span) => span.end = span.end.max(self.at),
            // Its mark was given with an earlier piece.
            None => self.closed = self.at,
        }
        true
    }
}

/// Where the window that begins at `at` ends: after its last line break, or at its last space, or where it must.
fn cut(text: &str, at: usize) -> usize {
    let end = floor(text, at + WINDOW);
    let half = at + WINDOW / 2;
    let tail = &text.as_bytes()[half..end];
    memchr::memrchr(b'\n', tail).or_else(|| memchr::memrchr(b' ', tail)).map_or(end, |i| half + i + 1)
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Puts marks in the place of what is hidden.
#[derive(Default)]
struct Writer {
    text: String,
    counts: Counts,
}

impl Writer {
    fn write(&mut self, text: &str, from: usize, to: usize, spans: &[Span]) {
        let mut at = from;
        for span in spans {
            if span.start > at || at == from {
                self.text.push_str(&text[at.min(span.start)..span.start]);
            }
            self.text.push('[');
            self.text.push_str(span.class.as_str());
            self.text.push(']');
            self.counts.add(span.class, 1);
            at = span.end;
        }
        if at < to {
            self.text.push_str(&text[at..to]);
        }
    }
}
