//! Published examples, replayed: how much is found, and how little that is no secret is hit; and texts made to break readers.
//!
//! The rows are a committed sample with its notices; figures over the larger corpus are in `docs/redaction.md`.

use std::path::PathBuf;

use hearth_text::{Class, Policy, Raw, Rules, jsonl};
use serde_json::Value;

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/redaction")
}

fn family(class: &str) -> &str {
    match Class::named(class) {
        Some(class) if class.is_secret() => "secret",
        _ if class == "identifier" => "secret",
        _ => class,
    }
}

fn number(value: &Value, key: &str) -> usize {
    value[key].as_u64().and_then(|n| usize::try_from(n).ok()).expect("offsets are numbers")
}

#[test]
fn published_examples_are_found_and_their_negatives_left_alone() {
    let rules = Rules::with_policy(Policy::ALL);
    let known = ["secret", "iban", "credit_card", "email", "phone", "ip", "mac", "us_ssn", "crypto_wallet"];
    let (mut spans, mut found, mut right, mut wrong, mut clean, mut struck) = (0u32, 0u32, 0u32, 0u32, 0u32, 0u32);
    for line in std::fs::read_to_string(data().join("replay.jsonl")).expect("the sample is committed").lines() {
        let row: Value = serde_json::from_str(line).expect("every line is a row");
        let answer = jsonl::redact_line(&rules, line).expect("a row holds a text");
        let answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
        let hits = answer["spans"].as_array().expect("an answer has spans");
        let wanted = row["spans"].as_array().expect("a row has spans");
        for span in wanted {
            let class = family(span["class"].as_str().expect("a class is a word"));
            if span["class"] == "identifier" || !known.contains(&class) {
                continue;
            }
            let (start, end) = (number(span, "start"), number(span, "end"));
            let covered = (start..end)
                .filter(|at| hits.iter().any(|hit| (number(hit, "start")..number(hit, "end")).contains(at)))
                .count();
            spans += 1;
            found += u32::from(covered * 10 >= (end - start) * 8);
        }
        if row["rule_only"] == Value::Bool(true) {
            continue;
        }
        let judged: Vec<&str> = row["eval"]
            .as_array()
            .expect("a row says what it judges")
            .iter()
            .filter_map(Value::as_str)
            .map(family)
            .collect();
        let mut false_hit = false;
        for hit in hits.iter().filter(|hit| judged.contains(&family(hit["class"].as_str().unwrap_or("")))) {
            let near = wanted
                .iter()
                .any(|span| number(hit, "start") < number(span, "end") && number(span, "start") < number(hit, "end"));
            if near {
                right += 1;
            } else {
                wrong += 1;
                false_hit = true;
            }
        }
        if judged.contains(&"secret") && wanted.is_empty() {
            clean += 1;
            struck += u32::from(false_hit);
        }
    }
    // Measured when the sample was drawn; a change that falls below has lost something.
    let report =
        format!("{found} of {spans} found, {wrong} wrong beside {right} right, {struck} of {clean} clean rows hit");
    assert!(found * 100 >= spans * 84, "{report}");
    assert!(wrong * 100 <= (right + wrong) * 16, "{report}");
    assert!(struck * 100 <= clean * 30, "{report}");
}

#[test]
fn texts_made_to_break_readers_do_not() {
    let rules = Rules::with_policy(Policy::ALL);
    let mut seeds = 0;
    for entry in std::fs::read_dir(data().join("fuzz/text")).expect("the seeds are committed") {
        let bytes = std::fs::read(entry.expect("the folder can be read").path()).expect("a seed can be read");
        seeds += 1;
        // Every beginning and every ending is a text of its own.
        for cut in 0..=bytes.len().min(1_500) {
            for part in [&bytes[..cut], &bytes[bytes.len() - cut..]] {
                let text = String::from_utf8_lossy(part).into_owned();
                let length = text.len();
                let (_, spans) = rules.redact_with_spans(Raw::new(text));
                assert!(spans.iter().all(|span| span.start < span.end && span.end <= length));
            }
        }
    }
    assert!(seeds >= 10, "only {seeds} seeds");
}
