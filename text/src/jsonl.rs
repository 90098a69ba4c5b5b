//! Redaction line by line for other programs: `{"text"}` in, `{"text","spans"}` out.
//!
//! Offsets are Unicode code points of the input, end exclusive. It reads no file; the command hands it lines.

use serde::{Deserialize, Serialize};

use crate::{
    Class, Counts, Raw, Rules, Span,
    operators::{Operators, Outcome, Row, Tally},
};

/// Why a line was not redacted. It never quotes the line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The line is no JSON object with a `text`.
    #[error("a line is not a JSON object with a string `text`, at column {column}; write one {{\"text\": …}} a line")]
    NotARecord {
        /// Where reading stopped.
        column: usize,
    },
}

#[derive(Deserialize)]
struct Record {
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    text: Option<&'a str>,
    spans: Vec<Place>,
    /// For what nothing of the record is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Class>,
}

/// Where something was hidden, in code points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Place {
    /// The first code point that was hidden.
    pub start: usize,
    /// The first one after it.
    pub end: usize,
    /// What was hidden.
    pub class: Class,
}

/// Turns byte offsets of `text` into code points. `spans` are in order, as [`Rules::redact_with_spans`] gives them.
pub fn places(text: &str, spans: &[Span]) -> Vec<Place> {
    let (mut byte, mut point) = (0, 0);
    let mut to_point = |at: usize| {
        point += text.as_bytes()[byte..at].iter().filter(|b| **b & 0xc0 != 0x80).count();
        byte = at;
        point
    };
    spans.iter().map(|span| Place { start: to_point(span.start), end: to_point(span.end), class: span.class }).collect()
}

/// Redacts one line and returns its answer, without a line break.
///
/// # Errors
/// If the line is not a record.
pub fn redact_line(rules: &Rules, line: &str) -> Result<String, Error> {
    Ok(redact_and_count(rules, line)?.0)
}

/// As [`redact_line`], and says how much of each class was hidden.
///
/// # Errors
/// If the line is not a record.
pub fn redact_and_count(rules: &Rules, line: &str) -> Result<(String, Counts), Error> {
    let text = record(line)?;
    // Offsets are counted on a copy, since redaction consumes the text; the copy is raw too and is wiped.
    let copy = Raw::new(text.as_str());
    let (redacted, spans) = rules.redact_with_spans(Raw::new(text));
    let answer = answer(Some(redacted.as_str()), places(copy.text(), &spans), None);
    Ok((answer, redacted.into_parts().1))
}

/// As [`redact_line`], with each finding treated as `row` says. Of a record that is dropped, `text` is null and `dropped` says why.
///
/// # Errors
/// If the line is not a record.
pub fn redact_line_under(
    rules: &Rules,
    row: &Row,
    operators: &mut Operators,
    line: &str,
) -> Result<(String, Tally), Error> {
    let text = record(line)?;
    let copy = Raw::new(text.as_str());
    let spans = rules.redact_with_spans(Raw::new(text.as_str())).1;
    let places = places(copy.text(), &spans);
    let (outcome, tally) = rules.redact_under(Raw::new(text), row, operators);
    let answer = match &outcome {
        Outcome::Said(text) => answer(Some(text.as_str()), places, None),
        Outcome::Dropped(class) => answer(None, places, Some(*class)),
    };
    Ok((answer, tally))
}

fn record(line: &str) -> Result<String, Error> {
    // A record's fields could be given as a list, too.
    if !line.trim_start().starts_with('{') {
        return Err(Error::NotARecord { column: 1 });
    }
    let record: Record = serde_json::from_str(line).map_err(|error| Error::NotARecord { column: error.column() })?;
    Ok(record.text)
}

fn answer(text: Option<&str>, spans: Vec<Place>, dropped: Option<Class>) -> String {
    serde_json::to_string(&Answer { text, spans, dropped }).expect("strings and numbers can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_code_points_of_the_input() {
        let rules = Rules::standard();
        let answer =
            redact_line(&rules, r#"{"text":"größe ☕ alice@example.org ☕","extra":1}"#).expect("the line is a record");
        assert_eq!(answer, r#"{"text":"größe ☕ [email] ☕","spans":[{"start":8,"end":25,"class":"email"}]}"#);
    }

    #[test]
    fn a_row_says_what_becomes_of_a_record() {
        let rules = Rules::standard();
        let under = |row: &Row| {
            let line = r#"{"text":"mail alice@firma.de"}"#;
            redact_line_under(&rules, row, &mut Operators::default(), line).expect("the line is a record").0
        };
        let spans = r#""spans":[{"start":5,"end":19,"class":"email"}]"#;
        assert_eq!(under(&Row::MASK), format!(r#"{{"text":"mail [email]",{spans}}}"#));
        assert_eq!(under(&Row::DROP), format!(r#"{{"text":null,{spans},"dropped":"email"}}"#));
    }

    #[test]
    fn a_line_that_is_no_record_is_refused_without_quoting_it() {
        for line in [r#"{"txt":"hunter2"}"#, r#"["hunter2"]"#, "\"hunter2\"", "hunter2", ""] {
            let error = redact_line(&Rules::standard(), line).expect_err("there is no text");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
