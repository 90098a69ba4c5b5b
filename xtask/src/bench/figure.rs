//! Figures, and the table and document they make.

use serde_json::{Value, json};

/// One thing that was measured.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// What, with how much of it.
    pub(super) what: String,
    /// The largest measurement that meets the goal, where there is one; the smallest, if more is better.
    pub(super) goal: Option<f64>,
    pub(super) more_is_better: bool,
    pub(super) measured: f64,
    pub(super) unit: &'static str,
    /// What else is worth knowing, in a few words.
    pub(super) note: String,
}

impl Figure {
    /// A figure without a goal.
    pub(super) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), goal: None, more_is_better: false, measured, unit, note: String::new() }
    }

    /// The same with the largest measurement that is good enough.
    pub(super) fn at_most(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// The same with the smallest measurement that is good enough.
    pub(super) fn at_least(self, goal: f64) -> Self {
        Self { goal: Some(goal), more_is_better: true, ..self }
    }

    pub(super) fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    fn met(&self) -> Option<bool> {
        self.goal.map(|goal| if self.more_is_better { self.measured >= goal } else { self.measured <= goal })
    }

    fn row(&self, bench: &str) -> [String; 5] {
        let goal = self.goal.map_or_else(|| "-".into(), |goal| format!("{goal}{}", suffix(self.unit)));
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        let met = match self.met() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "-",
        };
        let measured = format!("{}{}{note}", three_digits(self.measured), suffix(self.unit));
        [bench.to_owned(), self.what.clone(), goal, met.to_owned(), measured]
    }

    fn document(&self, bench: &str) -> Value {
        json!({
            "bench": bench, "what": self.what, "goal": self.goal, "measured": self.measured, "unit": self.unit,
            "met": self.met(), "note": self.note,
        })
    }
}

/// The figures of each bench as lines of a table.
pub(super) fn table(benches: &[(&str, Vec<Figure>)]) -> Vec<String> {
    let mut rows = vec![["bench", "what", "goal", "met", "measured"].map(String::from)];
    rows.extend(benches.iter().flat_map(|(bench, figures)| figures.iter().map(|figure| figure.row(bench))));
    let columns = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [columns(0), columns(1), columns(2), columns(3), 0];
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The same for programs.
pub(super) fn document(benches: &[(&str, Vec<Figure>)], machine: &str, absent: &[(&str, String)]) -> Value {
    let figures: Vec<Value> =
        benches.iter().flat_map(|(bench, figures)| figures.iter().map(|figure| figure.document(bench))).collect();
    let absent: Vec<Value> = absent.iter().map(|(bench, why)| json!({"bench": bench, "why": why})).collect();
    json!({"machine": machine, "figures": figures, "not_measured": absent})
}

fn suffix(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

/// A measurement is not truer than three digits.
fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    // Below one, three digits are three decimals.
    let decimals = if value.abs() < 0.9995 { 3 } else { decimals };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_met() {
        let figures = vec![
            Figure::new("notes found by word", 1.061, "s").at_most(5.0),
            Figure::new("ready", 301.2, "ms").at_most(300.0).noting("worst of 5"),
            Figure::new("nDCG@10", 0.4071, ""),
        ];
        let expected = [
            "bench  what                 goal    met      measured",
            "notes  notes found by word  5 s     met      1.06 s",
            "notes  ready                300 ms  not met  301 ms (worst of 5)",
            "notes  nDCG@10              -       -        0.407",
        ];
        assert_eq!(table(&[("notes", figures.clone())]), expected);
        let document = document(&[("notes", figures)], "two cores", &[("quality", "no data".into())]);
        assert_eq!(document["figures"][1]["met"], false);
        assert_eq!(document["figures"][2]["met"], Value::Null);
        assert_eq!(document["not_measured"][0]["bench"], "quality");
    }

    #[test]
    fn a_measurement_has_three_digits() {
        for (value, expected) in
            [(0.4071, "0.407"), (0.9999, "1.00"), (1.061, "1.06"), (9.999, "10.0"), (79.66, "79.7"), (99.96, "100")]
        {
            assert_eq!(three_digits(value), expected);
        }
    }
}
