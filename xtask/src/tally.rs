//! How many tests passed, failed and were skipped, read from what the runners print.
//!
//! Knows the closing lines of `cargo test`, `cargo nextest` and node's TAP reporter, and nothing about what was tested.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

/// Counts of one lane, or of all of them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Tests and gates that held.
    pub(crate) passed: u64,
    /// Tests and gates that did not, and runners that broke off.
    pub(crate) failed: u64,
    /// Tests that were left out, each with a reason in the output.
    pub(crate) skipped: u64,
    names: BTreeSet<String>,
}

impl Tally {
    /// One thing that held.
    pub(crate) fn pass() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One thing that did not hold.
    pub(crate) fn fail() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    /// One thing that was left out.
    pub(crate) fn skip() -> Self {
        Self { skipped: 1, ..Self::default() }
    }

    /// Takes one line of a runner's output.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("test result: ") {
            let counts = rest.split_once(". ").map_or(rest, |(_, counts)| counts);
            self.add_counts(counts.split("; "));
        } else if line.starts_with("Summary [") {
            if let Some((_, counts)) = line.split_once("run: ") {
                self.add_counts(counts.split(", "));
            }
        } else if let Some(comment) = line.strip_prefix("# ") {
            self.read_tap(comment);
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok")) {
            self.names.insert(name.to_owned());
        } else if let Some((_, name)) = line.strip_prefix("PASS [").and_then(|rest| rest.split_once("] ")) {
            self.names.insert(name.to_owned());
        }
    }

    /// Whether a test was seen to pass whose own name, without its modules, has all of `words`.
    pub(crate) fn saw(&self, words: &[&str]) -> bool {
        self.names.iter().any(|name| {
            let own = name.rsplit([':', ' ']).next().unwrap_or_default();
            words.iter().all(|word| own.split('_').any(|part| part == *word))
        })
    }

    /// Whether nothing failed.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed == 0
    }

    fn add_counts<'a>(&mut self, counts: impl Iterator<Item = &'a str>) {
        for count in counts {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" | "timed" | "exec" => self.failed += number,
                "ignored" | "skipped" => self.skipped += number,
                _ => {}
            }
        }
    }

    fn read_tap(&mut self, comment: &str) {
        let Some((what, number)) = comment.split_once(' ') else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match what {
            "pass" => self.passed += number,
            "fail" | "cancelled" => self.failed += number,
            "skipped" | "todo" => self.skipped += number,
            _ => {}
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.names.extend(other.names);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runners_closing_line_is_understood() {
        for (case, line, expected) in [
            (
                "cargo test, all well",
                "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.10s",
                "12 passed, 0 failed, 3 skipped",
            ),
            (
                "cargo test, one failed",
                "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s",
                "4 passed, 1 failed, 0 skipped",
            ),
            (
                "nextest",
                "     Summary [   0.104s] 12 tests run: 9 passed (1 slow), 1 failed, 2 timed out, 5 skipped",
                "9 passed, 3 failed, 5 skipped",
            ),
            ("node, passed", "# pass 6", "6 passed, 0 failed, 0 skipped"),
            ("node, failed", "# fail 2", "0 passed, 2 failed, 0 skipped"),
            ("node, cancelled counts as failed", "# cancelled 1", "0 passed, 1 failed, 0 skipped"),
            ("node, skipped", "# skipped 3", "0 passed, 0 failed, 3 skipped"),
            ("node, another comment", "# duration_ms 103.2", "0 passed, 0 failed, 0 skipped"),
            ("one test is not a count", "test moment::tests::adds ... ok", "0 passed, 0 failed, 0 skipped"),
            ("prose", "the result: 3 passed; 4 failed", "0 passed, 0 failed, 0 skipped"),
        ] {
            let mut tally = Tally::default();
            tally.read(line);
            assert_eq!(tally.to_string(), expected, "{case}");
        }
    }

    #[test]
    fn a_test_that_passed_is_remembered_by_name_and_one_that_did_not_is_not() {
        let mut tally = Tally::default();
        for line in [
            "test model::tests::ort_agrees_with_tract ... ok",
            "test model::tests::broken_for_tract ... FAILED",
            "        PASS [   0.016s] ( 1/16) hearth-core moment::tests::sorts_by_time",
        ] {
            tally.read(line);
        }
        for (case, words, expected) in [
            ("both words", ["ort", "tract"], true),
            ("in any order", ["tract", "ort"], true),
            ("by the other runner", ["sorts", "time"], true),
            ("one of two", ["ort", "time"], false),
            ("a module is not the test", ["model", "tract"], false),
            ("a test that failed", ["broken", "tract"], false),
        ] {
            assert_eq!(tally.saw(&words), expected, "{case}");
        }
        let mut other = Tally::default();
        other.read("test search::tests::sorts_by_tract ... ok");
        assert!(!other.saw(&["ort", "tract"]), "`sorts` is not `ort`");
    }

    #[test]
    fn lanes_add_up() {
        let mut all = Tally::pass();
        all += Tally::fail();
        all += Tally::skip();
        assert_eq!(all.to_string(), "1 passed, 1 failed, 1 skipped");
        assert!(!all.is_clean());
    }
}
