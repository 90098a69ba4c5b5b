//! What must hold for every text: streams, marks, offsets, and secrets whatever surrounds them.
//!
//! Splits are exhaustive for short rows and random for long ones; nothing depends on time or on the machine.

use hearth_text::{Counts, Policy, Raw, Rules, Span, jsonl};
use proptest::prelude::*;

/// Rows of every shape, with the part that must not survive.
const PLANTED: &[(&str, &str)] = &[
    ("DB_PASSWORD=cobalt7Fern\nnext", "cobalt7Fern"),
    ("{\"password\":\"fern-lake-22\"}", "fern-lake-22"),
    ("ghp_k3J9fhTq0Lx8vRz3Wm5Yc7Bn2Pd6Gs4Ha1Ee", "k3J9fhTq0Lx8vRz3Wm5Yc7Bn2Pd6Gs4Ha1Ee"),
    ("postgres://app:fern22lake@db.lake.test/shop", "fern22lake"),
    ("Authorization: Bearer k3J9fhTq0Lx8vRz3Wm5Yc7", "k3J9fhTq0Lx8vRz3Wm5Yc7"),
    (
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    ),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"),
    ("card 4111 1111 1111 1111 ok", "4111 1111 1111 1111"),
    ("to DE89370400440532013000 ok", "DE89370400440532013000"),
    ("mail alice@example.org now", "alice@example.org"),
    ("größe ☕ password: fernlake22 ☕", "fernlake22"),
    ("call +49 30 901820 today", "+49 30 901820"),
    ("legal winner thank year wave sausage worth useful legal winner thank yellow", "sausage worth useful"),
    ("curl -u bob:fern22lake https://nas.lake.test", "fern22lake"),
];

fn whole(rules: &Rules, text: &str) -> (String, Counts) {
    rules.redact(Raw::new(text)).into_parts()
}

fn streamed(rules: &Rules, pieces: impl IntoIterator<Item = impl Into<String>>) -> (String, Counts) {
    let mut stream = rules.stream();
    let (mut text, mut counts) = (String::new(), Counts::default());
    for piece in pieces {
        let said = stream.push(Raw::new(piece));
        text.push_str(said.as_str());
        counts.merge(said.counts());
    }
    let said = stream.finish();
    text.push_str(said.as_str());
    counts.merge(said.counts());
    (text, counts)
}

#[test]
fn a_processor_without_vectors_hides_the_same() {
    for policy in [Policy::STANDARD, Policy::ALL, Policy::SECRETS] {
        let (fast, plain) = (Rules::with_policy(policy), Rules::with_policy(policy).plainly());
        let rows: String = PLANTED.iter().map(|(row, _)| format!("{row}\n")).collect();
        for text in [rows.as_str(), include_str!("../../docs/redaction.md"), include_str!("../rules/tokens.toml")] {
            assert_eq!(fast.redact_with_spans(Raw::new(text)).1, plain.redact_with_spans(Raw::new(text)).1);
        }
    }
}

#[test]
fn a_stream_says_what_the_whole_says_at_every_split() {
    let rules = Rules::with_policy(Policy::ALL);
    for (row, _) in PLANTED {
        let expected = whole(&rules, row);
        for at in (0..=row.len()).filter(|at| row.is_char_boundary(*at)) {
            assert_eq!(streamed(&rules, [&row[..at], &row[at..]]), expected, "{row:?} split at {at}");
        }
        assert_eq!(streamed(&rules, row.chars().map(String::from)), expected, "{row:?} one character at a time");
    }
}

#[test]
fn a_secret_longer_than_what_is_read_ahead_is_hidden_however_it_comes() {
    let rules = Rules::standard();
    let (word, line) = ("QUJDREVGR0hJSktM".repeat(6000), format!("{}\n", "QUJDREVGR0hJSktM".repeat(4)).repeat(2000));
    for head in ["-----BEGIN PRIVATE KEY-----\n", "password=", "Authorization: Bearer "] {
        for body in [&word, &line].into_iter().take(if head.starts_with('-') { 2 } else { 1 }) {
            let text = format!("hello\n{head}{body}\nend of it, and milk\n");
            let expected = whole(&rules, &text);
            for size in [1_000, 4_096, 16_384, 40_000] {
                let pieces = text.as_bytes().chunks(size).map(|piece| String::from_utf8_lossy(piece).into_owned());
                let said = streamed(&rules, pieces);
                assert!(!said.0.contains("QUJDREVG"), "{head:?} in pieces of {size} lets something through");
                assert_eq!(said, expected, "{head:?} in pieces of {size}");
            }
        }
    }
}

/// Filler that holds nothing to hide, of about `n` bytes.
fn filler(n: usize, line: usize) -> String {
    let mut text = String::new();
    while text.len() < n {
        let next = if text.len() / line != (text.len() + 12) / line { "lake fern ☕\n" } else { "lake fern ☕ " };
        text.push_str(next);
    }
    text
}

#[test]
fn a_secret_across_the_border_of_windows_is_hidden_wherever_the_border_falls() {
    let rules = Rules::standard();
    for (row, secret) in PLANTED {
        for lead in [8_100, 16_340, 16_370, 16_384, 16_390, 32_700, 32_760] {
            for line in [usize::MAX / 2, 80] {
                let text = format!("{}\n{row}\n{}", filler(lead, line), filler(40_000, line));
                let (said, counts) = whole(&rules, &text);
                assert!(!said.contains(secret), "{row:?} after {lead} bytes");
                assert_eq!(counts.total(), 1, "{row:?} after {lead} bytes: {counts:?}");
                let pieces = text
                    .as_bytes()
                    .chunks(7_001)
                    .map(|piece| String::from_utf8_lossy(piece).into_owned())
                    .collect::<Vec<_>>();
                if pieces.concat() == text {
                    assert_eq!(streamed(&rules, pieces).0, said, "{row:?} after {lead} bytes, streamed");
                }
            }
        }
    }
}

#[test]
fn a_private_key_without_an_end_stays_closed_however_long_it_is() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n".repeat(2_000);
    let (said, _) = whole(&Rules::standard(), &format!("before\n-----BEGIN PRIVATE KEY-----\n{body}"));
    assert!(!said.contains("MIIEvQ"), "{} bytes survive", said.len());
}

#[test]
fn hostile_text_is_read_in_bounded_steps() {
    let rules = Rules::with_policy(Policy::ALL);
    for (case, unit) in [
        ("names without values", "password="),
        ("open quotes", "password=\"\\\""),
        ("nested quotes", "{\"key\":\"{\\\"token\\\":\\\""),
        ("armour that never ends", "-----BEGIN PRIVATE KEY-----"),
        ("digits", "4111 1111 "),
        ("colons", "a:b:c::"),
        ("at signs", "a@b@"),
        ("dots", "M.N.O."),
        ("links", "http://a:b"),
        ("one token", "k3J9fhTq0Lx8vRz3"),
        ("seed words", "legal winner thank year wave "),
        ("brackets", "secret=(((((("),
        ("lines of Windows behind commands", "curl -x y\r\n"),
        ("pages behind commands", "mysql \u{c}"),
        ("pipes before sudo", "|\nsudo -S "),
    ] {
        let text = unit.repeat(300_000 / unit.len());
        let said = whole(&rules, &text).0;
        assert!(said.len() <= text.len() + 400_000, "{case}");
    }
}

fn points_hide(text: &str, spans: &[Span]) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut said = String::new();
    let mut at = 0;
    for place in jsonl::places(text, spans) {
        said.extend(&chars[at..place.start]);
        said.push_str(&format!("[{}]", place.class));
        at = place.end;
    }
    said.extend(&chars[at..]);
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_planted_secret_survives_whatever_surrounds_it(
        before in "(\\PC{0,30}[ \\n\"'(;])?", which in 0..PLANTED.len(), after in "([ \\n\"');]\\PC{0,30})?",
    ) {
        // A quote or a sign right before a name may turn what follows into something else, so rows stand on a line of their own.
        let (row, secret) = PLANTED[which];
        let text = format!("{before}\n{row}\n{after}");
        let (said, _) = whole(&Rules::standard(), &text);
        prop_assert!(!said.contains(secret), "{said:?}");
    }

    #[test]
    fn any_text_streams_as_it_is_whole(text in "(\\PC|[\\n\"'=:@ ]|password|token|ghp_|-----BEGIN PRIVATE KEY-----){0,60}", split in 0usize..400) {
        let rules = Rules::with_policy(Policy::ALL);
        let mut at = split.min(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        prop_assert_eq!(streamed(&rules, [&text[..at], &text[at..]]), whole(&rules, &text));
    }

    #[test]
    fn offsets_in_code_points_give_the_redacted_text(before in "\\PC{0,20}", which in 0..PLANTED.len(), after in "\\PC{0,20}") {
        let text = format!("{before}\n{}\n{after}", PLANTED[which].0);
        let (said, spans) = Rules::with_policy(Policy::ALL).redact_with_spans(Raw::new(text.as_str()));
        prop_assert_eq!(points_hide(&text, &spans), said.as_str());
        prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    #[test]
    fn redacting_what_is_redacted_changes_nothing(before in "[ -~]{0,30}", which in 0..PLANTED.len(), after in "[ -~]{0,30}") {
        let rules = Rules::standard();
        let once = whole(&rules, &format!("{before}\n{}\n{after}", PLANTED[which].0)).0;
        prop_assert_eq!(whole(&rules, &once).0, once);
    }
}
