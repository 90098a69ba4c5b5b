//! Redaction: any text, any text far into a longer one, any line of another program.

use std::sync::LazyLock;

use hearth_text::{
    Class, Counts, Policy, Raw, Rules, Span,
    jsonl::{self, places},
    operators::{Action, Operators, Outcome, Row, Token, TokenKey},
    policy::{Diff, Table},
};

/// Rules that know everything, and those of who has said nothing.
static RULES: LazyLock<[Rules; 2]> = LazyLock::new(|| [Rules::with_policy(Policy::ALL), Rules::standard()]);

fn streamed<'a>(rules: &Rules, pieces: impl IntoIterator<Item = &'a str>) -> (String, Counts) {
    let mut stream = rules.stream();
    let (mut text, mut counts) = (String::new(), Counts::default());
    let mut say = |said: hearth_text::Redacted| {
        text.push_str(said.as_str());
        counts.merge(said.counts());
    };
    for piece in pieces {
        say(stream.push(Raw::new(piece)));
    }
    say(stream.finish());
    (text, counts)
}

/// What stays when these spans are taken out.
fn kept(text: &str, spans: &[Span]) -> String {
    let (mut said, mut at) = (String::new(), 0);
    for span in spans {
        said.push_str(&text[at..span.start]);
        said.push_str(&format!("[{}]", span.class));
        at = span.end;
    }
    said.push_str(&text[at..]);
    said
}

fn checked(text: &str, split: usize) {
    for rules in RULES.iter() {
        let (redacted, spans) = rules.redact_with_spans(Raw::new(text));
        assert!(spans.iter().all(|span| span.start < span.end && span.end <= text.len()));
        assert!(spans.is_sorted_by(|one, next| one.end <= next.start), "spans are in order and apart");
        assert_eq!(redacted.as_str(), kept(text, &spans), "what is no secret stays");
        assert_eq!(usize::try_from(redacted.counts().total()), Ok(spans.len()));
        let points = places(text, &spans);
        let length = text.chars().count();
        assert!(points.iter().all(|place| place.start < place.end && place.end <= length));
        let at = (0..=split.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let said = redacted.into_parts();
        assert_eq!(streamed(rules, [&text[..at], &text[at..]]), said, "it does not matter how it comes: {at}");
    }
}

/// Any text; bytes that are none are read as the capture reads them. It is streamed in two pieces, of which the bytes say where they part.
pub fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let split = bytes.iter().fold(0_usize, |sum, byte| sum + usize::from(*byte)) % (text.len() + 1);
    checked(&text, split);
}

/// A text where windows end: the first two bytes say how much stands before it.
pub fn window(bytes: &[u8]) {
    let Some((lead, rest)) = bytes.split_first_chunk::<2>() else { return };
    let lead = usize::from(u16::from_be_bytes(*lead)) % 34_000;
    let filler = if lead.is_multiple_of(2) { "lake fern ☕ " } else { "lake fern ☕\n" };
    let before = filler.repeat(lead / filler.len());
    let text = format!("{before}\n{}\n{}", String::from_utf8_lossy(rest), filler.repeat(18_000 / filler.len()));
    checked(&text, lead + rest.len() / 2);
}

/// A line that another program hands over.
pub fn line(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    match jsonl::redact_line(&RULES[0], line) {
        Ok(answer) => {
            assert!(!answer.contains('\n'), "an answer is one line");
            let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
            // What stands beside the text is passed over, also a number that is out of range.
            let Ok(given) = serde_json::from_str::<serde_json::Value>(line) else { return };
            let text = given["text"].as_str().expect("it was read as a text");
            let length = text.chars().count() as u64;
            for span in answer["spans"].as_array().expect("spans") {
                let (start, end) = (span["start"].as_u64(), span["end"].as_u64());
                assert!(start < end && end <= Some(length));
            }
        }
        Err(why) => assert!(why.to_string().len() < 200, "a refusal quotes nothing"),
    }
}

/// A text of which the first byte says what happens to what is found. No token comes out that was not made, and nothing is loosened.
pub fn treated(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let action = Action::ALL[usize::from(*first) % Action::ALL.len()];
    let key = TokenKey::from_bytes([7; 32]);
    let mut operators = Operators::with_key(key.clone(), 0);
    let text = String::from_utf8_lossy(rest);
    let (outcome, tally) = RULES[0].redact_under(Raw::new(text.as_ref()), &Row::of(action), &mut operators);
    assert!(tally.iter().all(|(class, done, _)| done >= action.raised(class) || action == Action::Fpe));
    assert!(tally.iter().all(|(class, done, _)| !class.is_secret() || done >= Action::Mask));
    let Outcome::Said(said) = outcome else {
        assert!(action == Action::Drop, "nothing else drops");
        return;
    };
    for (at, _) in said.as_str().match_indices('<') {
        let end = said.as_str()[at..].find('>').map_or(said.as_str().len(), |end| at + end + 1);
        assert!(Token::named(&said.as_str()[at..end]).is_none_or(|token| key.wrote(&token)), "a planted token");
    }
}

/// A policy that somebody wrote. What is read is total, and differs in nothing from itself.
pub fn table(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Table::parse(text) {
        Ok(table) => {
            assert!(Diff::between(&table, &table).is_empty());
            for source in table.sources().chain(["telepathy"]) {
                let route = table.route(source, "here");
                assert!(Class::ALL.iter().all(|class| table.action(route, *class).suits(*class)));
            }
            let loosened = Diff::between(&Table::standard(), &table);
            assert_eq!(loosened.looser() + loosened.tighter(), loosened.changes().len());
        }
        Err(bad) => assert!(!bad.mistakes.is_empty() && bad.mistakes.iter().all(|mistake| mistake.line > 0)),
    }
}
