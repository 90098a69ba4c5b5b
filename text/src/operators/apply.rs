//! Does to each span what its class's action says, and leaves alone what an operator wrote earlier.
//!
//! A token that this device wrote passes, so that redacting twice changes nothing. One that it did not write is no token: it is
//! ordinary text, and a `?` after its bracket says so (`<?email:…>`), so that nobody can plant one. Text may come in pieces.

use std::{fmt::Write as _, mem};

use zeroize::Zeroize;

use super::{
    Action, Operators, Personal, Row, Tally,
    marks::{self, Mark},
    shape,
};
use crate::{
    class::{Class, Counts, Span},
    rules::Rules,
    words::{Raw, Redacted},
};

/// What became of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a record that was dropped must not be kept"]
pub enum Outcome {
    /// This may be kept.
    Said(Redacted),
    /// It held something of this class, for which nothing of the record may be kept, also not what was given of it before.
    Dropped(Class),
}

impl Rules {
    /// As [`redact`](Self::redact), but each span gets the action of its class; also says how many got which.
    pub fn redact_under(&self, raw: Raw, row: &Row, operators: &mut Operators) -> (Outcome, Tally) {
        // Finding consumes the text; the copy is raw too and is wiped.
        let spans = self.redact_with_spans(Raw::new(raw.text())).1;
        let mut pen = Pen::new(row.clone(), operators);
        let mut at = 0;
        for span in spans {
            pen.plain(&raw.text()[at..span.start]);
            pen.hide(&raw.text()[span.start..span.end], span.class);
            at = span.end;
        }
        pen.plain(&raw.text()[at..]);
        drop(raw);
        let outcome = pen.finish();
        (outcome, mem::take(&mut pen.tally))
    }
}

/// Writes a text whose spans are known. Fed with pieces, it gives what it gives for the whole.
pub(crate) struct Pen<'o> {
    row: Row,
    operators: &'o mut Operators,
    /// What is not decided yet: the last span, which may go on, or what may be the beginning of a token.
    pending: String,
    spans: Vec<Span>,
    /// The end of what was given last: words before a number say what it may be.
    before: String,
    dropped: Option<Class>,
    tally: Tally,
}

/// How far the words before a number reach.
const BEFORE: usize = 96;

/// A stretch of the pending text that is not copied as it is.
enum Stretch {
    Hide(Span),
    Ours(Mark),
    Forged(usize),
}

impl Stretch {
    fn start(&self) -> usize {
        match self {
            Self::Hide(span) => span.start,
            Self::Ours(mark) => mark.start,
            Self::Forged(start) => *start,
        }
    }
}

impl<'o> Pen<'o> {
    pub(crate) fn new(row: Row, operators: &'o mut Operators) -> Self {
        Self {
            row,
            operators,
            pending: String::new(),
            spans: Vec::new(),
            before: String::new(),
            dropped: None,
            tally: Tally::default(),
        }
    }

    /// Text in which nothing was found.
    pub(crate) fn plain(&mut self, text: &str) {
        self.grow(text);
    }

    /// A span.
    pub(crate) fn hide(&mut self, text: &str, class: Class) {
        let start = self.pending.len();
        self.grow(text);
        self.spans.push(Span { start, end: self.pending.len(), class });
    }

    /// More of the span before, for one that did not end where the text read so far did.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the stream of `Rules`, whose reader can leave a span open"))]
    pub(crate) fn goes_on(&mut self, text: &str) {
        let end = self.pending.len();
        if self.spans.last().is_some_and(|span| span.end == end) {
            self.grow(text);
            let end = self.pending.len();
            if let Some(span) = self.spans.last_mut() {
                span.end = end;
            }
        }
    }

    /// Gives what may be said already.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the stream of `Rules`"))]
    pub(crate) fn take(&mut self) -> Outcome {
        self.settle(false)
    }

    /// Gives the rest.
    pub(crate) fn finish(&mut self) -> Outcome {
        self.settle(true)
    }

    /// Growing the buffer in place would leave its old copy unwiped.
    fn grow(&mut self, text: &str) {
        if self.pending.len() + text.len() > self.pending.capacity() {
            let mut grown = String::with_capacity((self.pending.len() + text.len()) * 2);
            grown.push_str(&self.pending);
            self.pending.zeroize();
            self.pending = grown;
        }
        self.pending.push_str(text);
    }

    fn settle(&mut self, ended: bool) -> Outcome {
        let pending = mem::take(&mut self.pending);
        let spans = mem::take(&mut self.spans);
        let marks = marks::read(&pending);
        let limit = if ended { pending.len() } else { limit(&pending, &spans, &marks) };
        let (now, later): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(|span| span.start < limit);

        let mut out = mem::take(&mut self.before);
        let given = out.len();
        let mut counts = Counts::default();
        let mut at = 0;
        for stretch in self.stretches(&pending, now, &marks[..marks.partition_point(|mark| mark.start < limit)]) {
            out.push_str(&pending[at..stretch.start()]);
            at = match stretch {
                Stretch::Hide(span) => {
                    self.operate(span.class, &pending[span.start..span.end], &mut out);
                    counts.add(span.class, 1);
                    span.end
                }
                // What was written under a looser row is tightened; what was written stricter is not there any more.
                Stretch::Ours(mark) => {
                    let class = mark.class();
                    match self.row.action(class) {
                        Action::Drop => self.dropped = self.dropped.or(Some(class)),
                        action if action > mark.loosest() => marks::plain(class, &mut out),
                        _ => out.push_str(&pending[mark.start..mark.end]),
                    }
                    mark.end
                }
                Stretch::Forged(start) => {
                    out.push_str("<?");
                    start + 1
                }
            };
        }
        out.push_str(&pending[at..limit]);
        end(&out, BEFORE).clone_into(&mut self.before);
        out.drain(..given);

        let rest = pending[limit..].to_owned();
        let mut pending = pending;
        pending.zeroize();
        self.pending = rest;
        self.spans =
            later.into_iter().map(|s| Span { start: s.start - limit, end: s.end - limit, class: s.class }).collect();
        match self.dropped {
            Some(class) => {
                out.zeroize();
                Outcome::Dropped(class)
            }
            None => Outcome::Said(Redacted::new(out, counts)),
        }
    }

    /// Sorts out who owns which bytes: marks of ours before spans, spans before forged tokens, kept spans nothing.
    fn stretches(&mut self, text: &str, spans: Vec<Span>, marks: &[Mark]) -> Vec<Stretch> {
        let key = self.operators.key.as_ref();
        let (ours, forged): (Vec<Mark>, Vec<Mark>) = marks.iter().copied().partition(|mark| mark.is_ours(key));
        let mut out: Vec<Stretch> = Vec::new();
        for span in spans {
            if self.row.action(span.class) == Action::Keep {
                self.tally.add(span.class, Action::Keep);
                continue;
            }
            // What is left of a span beside marks of ours is still hidden, unless it is their punctuation.
            let mut hide = |start: usize, end: usize| {
                let whole = (start, end) == (span.start, span.end);
                if whole || text[start..end].chars().any(char::is_alphanumeric) {
                    out.push(Stretch::Hide(Span { start, end, class: span.class }));
                }
            };
            let mut start = span.start;
            let first = ours.partition_point(|mark| mark.end <= span.start);
            for mark in ours[first..].iter().take_while(|mark| mark.start < span.end) {
                if start < mark.start {
                    hide(start, mark.start);
                }
                start = mark.end;
            }
            if start < span.end {
                hide(start, span.end);
            }
        }
        let hidden = |at: usize| match out[..out.partition_point(|stretch| stretch.start() <= at)].last() {
            Some(Stretch::Hide(span)) => at < span.end,
            _ => false,
        };
        let forged: Vec<Stretch> =
            forged.iter().filter(|mark| !hidden(mark.start)).map(|mark| Stretch::Forged(mark.start)).collect();
        out.extend(forged);
        out.extend(ours.into_iter().map(Stretch::Ours));
        out.sort_by_key(Stretch::start);
        out
    }

    /// Writes what stands in the place of a span.
    fn operate(&mut self, class: Class, text: &str, out: &mut String) {
        let done = self.try_operate(class, text, out);
        if done == Action::Mask {
            marks::plain(class, out);
        }
        if done == Action::Drop {
            self.dropped = self.dropped.or(Some(class));
        }
        self.tally.add(class, done);
    }

    /// Does what leaves something of the value, if it can be done, and says what is to be done or was.
    fn try_operate(&mut self, class: Class, text: &str, out: &mut String) -> Action {
        let asked = self.row.action(class);
        // A row holds nothing else for credentials; here it also cannot be otherwise.
        let (Some(value), true) = (Personal::new(class, text), asked < Action::Mask) else {
            return asked.stricter(Action::Mask);
        };
        if asked == Action::Partial {
            return if marks::part(value, out) { Action::Partial } else { Action::Mask };
        }
        let (Some(key), Some(token)) = (&self.operators.key, self.operators.token(value)) else { return Action::Mask };
        if asked == Action::Fpe
            && let Some(shaped) = shape::reshape(key, self.operators.epoch, value, end(out, BEFORE))
        {
            out.push_str(&shaped);
            return Action::Fpe;
        }
        let asked = asked.max(Action::Pseudonym);
        if asked == Action::Vault && self.operators.vault.as_mut().is_none_or(|vault| vault.keep(token, value).is_err())
        {
            return Action::Mask;
        }
        write!(out, "{token}").expect("writing to memory does not fail");
        asked
    }
}

impl Drop for Pen<'_> {
    fn drop(&mut self) {
        self.pending.zeroize();
    }
}

/// The last `bytes` of a text, or a little fewer.
fn end(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Up to where everything is decided: before a span that may go on and before what may become a mark.
fn limit(text: &str, spans: &[Span], marks: &[Mark]) -> usize {
    let mut limit = marks::begun(text).unwrap_or(text.len());
    // Whole spans and whole marks only; one may reach into the other.
    loop {
        let span = spans.iter().find(|span| span.start < limit && (span.end > limit || span.end == text.len()));
        let mark = marks.iter().find(|mark| mark.start < limit && mark.end > limit);
        limit = match (span, mark) {
            (Some(span), _) => span.start,
            (None, Some(mark)) => mark.start,
            (None, None) => return limit,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operators::{MemoryShelf, Token, TokenKey, Vault, VaultKey};

    fn operators() -> Operators {
        let vault = Vault::new(0, VaultKey::from_entropy([2; 32]), Box::<MemoryShelf>::default());
        Operators::with_key(TokenKey::from_bytes([1; 32]), 0).at_home_in("+49").with_vault(vault)
    }

    /// What happened to a text: plain, a span, or more of that span.
    #[derive(Clone, Debug)]
    enum Event {
        Plain(String),
        Hide(String, Class),
    }

    /// Feeds each event in pieces of `size` characters and takes what there is after each.
    fn written(row: &Row, events: &[Event], size: Option<usize>) -> (Option<String>, Tally) {
        let mut operators = operators();
        let mut pen = Pen::new(row.clone(), &mut operators);
        let mut said = String::new();
        let mut dropped = false;
        let mut add = |outcome: Outcome| match outcome {
            Outcome::Said(text) => said.push_str(text.as_str()),
            Outcome::Dropped(_) => dropped = true,
        };
        for event in events {
            let (text, class) = match event {
                Event::Plain(text) => (text, None),
                Event::Hide(text, class) => (text, Some(*class)),
            };
            let characters: Vec<char> = text.chars().collect();
            for (n, piece) in characters.chunks(size.unwrap_or(characters.len().max(1))).enumerate() {
                let piece: String = piece.iter().collect();
                match (class, n) {
                    (None, _) => pen.plain(&piece),
                    (Some(class), 0) => pen.hide(&piece, class),
                    (Some(_), _) => pen.goes_on(&piece),
                }
                if size.is_some() {
                    add(pen.take());
                }
            }
        }
        add(pen.finish());
        let tally = mem::take(&mut pen.tally);
        ((!dropped).then_some(said), tally)
    }

    fn once(action: Action, class: Class, text: &str) -> String {
        let events = [Event::Plain("(".into()), Event::Hide(text.into(), class), Event::Plain(")".into())];
        written(&Row::of(action), &events, None).0.expect("nothing is dropped")
    }

    #[test]
    fn each_action_leaves_what_it_may() {
        for (action, class, text, left) in [
            (Action::Keep, Class::Email, "alice@example.org", "(alice@example.org)"),
            (Action::Keep, Class::Password, "hunter2", "([password])"),
            (Action::Partial, Class::Email, "alice@Example.org", "([email:example.org])"),
            (Action::Partial, Class::CreditCard, "4111 1111 1111 1111", "([credit_card:1111])"),
            (Action::Partial, Class::Phone, "12345", "([phone])"),
            (Action::Partial, Class::ApiKey, "ghp_0123456789", "([api_key])"),
            (Action::Mask, Class::Email, "alice@example.org", "([email])"),
        ] {
            assert_eq!(once(action, class, text), left, "{action} {class}");
        }
        let pseudonym = once(Action::Pseudonym, Class::Phone, "030 1234567");
        assert_eq!(pseudonym, once(Action::Pseudonym, Class::Phone, "+49 (0)30 123 45 67"), "the same telephone");
        assert!(pseudonym.starts_with("(<phone:") && pseudonym.len() == 28, "{pseudonym}");
        assert_eq!(
            pseudonym,
            once(Action::Vault, Class::Phone, "030 1234567"),
            "the vault keeps it under its pseudonym"
        );
        assert_eq!(pseudonym, once(Action::Fpe, Class::Phone, "030 1234567"), "what has no form gets a pseudonym");
        assert_eq!(once(Action::Fpe, Class::CreditCard, "4111 1111 1111 1111").len(), 21);
    }

    #[test]
    fn a_record_with_something_to_drop_is_gone_whole() {
        let events =
            [Event::Plain("at ".into()), Event::Hide("192.0.2.1".into(), Class::Ip), Event::Plain(" now".into())];
        for size in [None, Some(1), Some(3)] {
            let (said, tally) = written(&Row::DROP, &events, size);
            assert_eq!((said, tally.of(Class::Ip, Action::Drop)), (None, 1));
        }
    }

    #[test]
    fn without_a_key_or_a_vault_what_asks_for_one_is_masked() {
        let value = "alice@example.org";
        let keyed = || Operators::with_key(TokenKey::from_bytes([1; 32]), 0);
        for (mut operators, action, masked) in [
            (Operators::default(), Action::Pseudonym, true),
            (Operators::default(), Action::Fpe, true),
            (keyed(), Action::Vault, true),
            (keyed(), Action::Pseudonym, false),
        ] {
            let mut pen = Pen::new(Row::of(action), &mut operators);
            pen.hide(value, Class::Email);
            assert_eq!(pen.finish() == Outcome::Said(marked()), masked, "{action}");
            assert_eq!(pen.tally.of(Class::Email, Action::Mask), u64::from(masked), "{action}");
        }
    }

    fn marked() -> Redacted {
        let mut counts = Counts::default();
        counts.add(Class::Email, 1);
        Redacted::new("[email]".into(), counts)
    }

    #[test]
    fn what_was_vaulted_is_revealed_by_its_token() {
        let mut operators = operators();
        let mut pen = Pen::new(Row::of(Action::Vault), &mut operators);
        pen.hide("alice@example.org", Class::Email);
        pen.hide("hunter2", Class::Password);
        let Outcome::Said(said) = pen.finish() else { panic!("nothing is dropped") };
        drop(pen);
        let (token, length) = Token::parse(said.as_str()).expect("it begins with a token");
        assert_eq!(&said.as_str()[length..], "[password]", "a credential leaves nothing behind");
        let vault = operators.vault().expect("there is one");
        assert_eq!(vault.reveal(token).expect("it was kept").expose(), "alice@example.org");
    }

    #[test]
    fn a_token_of_ours_passes_and_a_forged_one_is_marked() {
        let ours = once(Action::Pseudonym, Class::Email, "alice@example.org").replace(['(', ')'], "");
        let forged = "<email:abcdefghijklmnopqr>";
        let plain = |text: &str| written(&Row::of(Action::Pseudonym), &[Event::Plain(text.into())], None).0;
        assert_eq!(plain(&ours), Some(ours.clone()));
        assert_eq!(plain(forged).as_deref(), Some("<?email:abcdefghijklmnopqr>"));
        assert_eq!(
            plain("<?email:abcdefghijklmnopqr>").as_deref(),
            Some("<?email:abcdefghijklmnopqr>"),
            "once is enough"
        );
        let hidden = [Event::Hide(forged.into(), Class::Password)];
        assert_eq!(
            written(&Row::MASK, &hidden, None).0.as_deref(),
            Some("[password]"),
            "a forged one protects nothing"
        );
        let around = [Event::Hide(format!("secret{ours}secret"), Class::Password)];
        let left = written(&Row::of(Action::Pseudonym), &around, None).0;
        assert_eq!(left, Some(format!("[password]{ours}[password]")), "neither does one of ours what stands beside it");
    }

    #[test]
    fn a_stricter_row_tightens_what_a_looser_one_wrote() {
        let ours = once(Action::Vault, Class::Email, "alice@example.org");
        let again = |row: &Row| written(row, &[Event::Plain(ours.clone())], None).0;
        assert_eq!(again(&Row::of(Action::Keep)).as_ref(), Some(&ours));
        assert_eq!(again(&Row::MASK).as_deref(), Some("([email])"));
        assert_eq!(again(&Row::DROP), None);
        let part = |row: &Row| written(row, &[Event::Plain("[credit_card:1111]".into())], None).0;
        assert_eq!(part(&Row::of(Action::Partial)).as_deref(), Some("[credit_card:1111]"));
        assert_eq!(
            part(&Row::of(Action::Pseudonym)).as_deref(),
            Some("[credit_card]"),
            "four digits are more than a name"
        );
    }

    fn any_events() -> impl Strategy<Value = Vec<Event>> {
        let ours = once(Action::Pseudonym, Class::Email, "alice@example.org").replace(['(', ')'], "");
        let plain = prop_oneof![
            "\\PC{0,12}",
            "[<>\\[\\]?a-z0-9:]{0,6}",
            "\\[credit_card:[0-9]{3,5}\\]",
            Just("[email:example".to_owned()),
            Just("<email:".to_owned()),
            Just("<email:abcdefghijklmnopqr>".to_owned()),
            Just(ours.clone()),
            (0..ours.len()).prop_map(move |at| ours[at..].to_owned()),
        ];
        let class = prop::sample::select(vec![Class::Email, Class::Password, Class::CreditCard, Class::Ip]);
        let event = prop_oneof![
            plain.clone().prop_map(Event::Plain),
            (prop_oneof![plain, Just("4111 1111 1111 1111".to_owned())], class)
                .prop_filter("a span holds something", |(text, _)| !text.is_empty())
                .prop_map(|(text, class)| Event::Hide(text, class)),
        ];
        prop::collection::vec(event, 0..8)
    }

    proptest! {
        #[test]
        fn pieces_say_what_the_whole_says(
            events in any_events(), size in 1_usize..6, action in prop::sample::select(Action::ALL.to_vec()),
        ) {
            let row = Row::of(action);
            prop_assert_eq!(written(&row, &events, Some(size)), written(&row, &events, None));
        }

        #[test]
        fn no_token_comes_out_that_is_not_ours(events in any_events(), action in prop::sample::select(Action::ALL.to_vec())) {
            let key = TokenKey::from_bytes([1; 32]);
            let said = written(&Row::of(action), &events, None).0.unwrap_or_default();
            for mark in marks::read(&said) {
                prop_assert!(mark.is_ours(Some(&key)), "{}", said);
            }
        }
    }
}
