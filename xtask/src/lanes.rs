//! The test lanes: what runs, in which order, with which time budget, and the closing line that sums it up.
//!
//! A lane that cannot run says why. Budgets warn and never fail a run, because a slow machine is not a wrong program.

use crate::fuzz::Fuzz;
use crate::gates::{self, left_out};
use crate::tally::Tally;
use crate::tree::{Tree, has_cargo_command};
use crate::{ort, packages, reader, tee};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Words in the name of the test that compares ONNX Runtime with tract.
const EQUALITY_TEST: [&str; 2] = ["ort", "tract"];

/// Run the tests, after installing what they need
///
/// The last line is `N passed, N failed, N skipped`, summed over all lanes.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// How much to run
    #[arg(long, value_enum, default_value_t = Lane::Test)]
    lane: Lane,
}

/// Run the long tests only: those marked `#[ignore = "soak: …"]`, and each fuzz target for a minute
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Run only tests and targets whose name contains this
    name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Lane {
    /// Quick gates and the tests inside the crates; under two minutes once built
    Fast,
    /// Everything but the long tests
    Test,
}

impl Test {
    /// Runs the lane and prints the closing line.
    pub(crate) fn run(&self, tree: &Tree) -> Result<ExitCode, String> {
        let mut report = Report::default();
        report.stage("gates", None, || gates::quick(tree));
        match self.lane {
            Lane::Fast => fast(tree, &mut report),
            Lane::Test => full(tree, &mut report),
        }
        Ok(report.close())
    }
}

impl Soak {
    /// Runs the ignored tests and prints the closing line.
    pub(crate) fn run(&self, tree: &Tree) -> Result<ExitCode, String> {
        let mut report = Report::default();
        report.stage("build", minutes(20), || build_programs(tree));
        report.stage("soak", None, || {
            a_broker();
            let mut command = tree.cargo();
            if has_cargo_command("nextest") {
                command.args(["nextest", "run", "--release", "--workspace", "--no-fail-fast", "--run-ignored", "only"]);
                command.args(&self.name);
            } else {
                // Documentation tests are left out: there an ignored block is an illustration, not a long test.
                command.args(["test", "--release", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
                command.args(["--", "--ignored"]).args(&self.name);
            }
            command.env("HEARTH_SOAK", "1").env("HEARTH_BIN_DIR", tree.program(""));
            if let Ok(library) = ort::library(tree) {
                command.env(ort::LIBRARY_VARIABLE, library);
            }
            let mut tally = tee::run(&mut command)?;
            // What was not asked for is not a test left out, though nextest counts it so.
            tally.skipped = 0;
            Ok(tally)
        });
        report.stage("fuzz", None, || Fuzz::soak(self.name.clone()).tally(tree));
        Ok(report.close())
    }
}

fn fast(tree: &Tree, report: &mut Report) {
    report.stage("tests inside the crates", minutes(2), || {
        tee::run(tree.cargo().args(["test", "--release", "--workspace", "--no-fail-fast", "--lib", "--bins"]))
    });
    report.stage("arrows", minutes(1), || {
        tee::run(tree.cargo().args(["test", "--release", "-p", "hearth-tests", "--test", "arrows"]))
    });
}

fn full(tree: &Tree, report: &mut Report) {
    let mut library = None;
    report.stage("ONNX Runtime", None, || {
        library = Some(ort::library(tree)?);
        Ok(Tally::default())
    });
    let built = report.stage("build", minutes(20), || {
        let mut tally = build_programs(tree)?;
        tally += tee::gate(tree.cargo().args(["test", "--release", "--workspace", "--no-run", "--quiet"]))?;
        Ok(tally)
    });
    if !built {
        report.stage("tests", None, || Ok(left_out("the tests and the page tests", "the build failed")));
        return;
    }
    report.stage("tests", minutes(12), || workspace_tests(tree, library.as_ref()));
    report.stage("schemas", minutes(3), || {
        let apart = ["test", "--release", "--manifest-path", "tests/schemas/Cargo.toml", "--target-dir"];
        tee::run(tree.cargo().args(apart).arg(tree.target()))
    });
    report.stage("second reader", minutes(2), || reader::run(tree));
    report.stage("pages", minutes(10), || page_tests(tree));
}

/// Builds the programs, so that tests which start real processes find them.
fn build_programs(tree: &Tree) -> Result<Tally, String> {
    tee::gate(tree.cargo().args(["build", "--release", "--workspace", "--bins"]))
}

fn workspace_tests(tree: &Tree, library: Option<&PathBuf>) -> Result<Tally, String> {
    let dressed = |arguments: &[&str]| {
        let mut command = tree.cargo();
        command.args(arguments).env(ort::REQUIRE_VARIABLE, "1").env("HEARTH_BIN_DIR", tree.program(""));
        if let Some(library) = library {
            command.env(ort::LIBRARY_VARIABLE, library);
        }
        command
    };
    a_broker();
    let mut tally = Tally::default();
    if has_cargo_command("nextest") {
        tally += tee::run(&mut dressed(&["nextest", "run", "--release", "--workspace", "--no-fail-fast"]))?;
        // nextest leaves documentation tests out, and the promises that must not compile are documentation tests.
        tally += tee::run(&mut dressed(&["test", "--doc", "--release", "--workspace", "--no-fail-fast"]))?;
    } else {
        tally += tee::run(&mut dressed(&["test", "--release", "--workspace", "--no-fail-fast"]))?;
    }
    if !tally.saw(&EQUALITY_TEST) {
        let words = EQUALITY_TEST.join(" and ");
        println!("no test named with the words {words} passed: ONNX Runtime was not compared with tract; one failure");
        tally += Tally::fail();
    }
    Ok(tally)
}

/// Sees to it that there is an MQTT broker. Without one the tests that need it fail, and the others are still worth running.
fn a_broker() {
    if let Err(sentence) = packages::ensure(&[&packages::MOSQUITTO], "the tests of links through a broker") {
        println!("{sentence}");
    }
}

fn page_tests(tree: &Tree) -> Result<Tally, String> {
    let folder = tree.root().join("tests/pages");
    let mut tests: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    tests.sort();
    if tests.is_empty() {
        println!("tests/pages holds no *.test.mjs yet");
        return Ok(Tally::default());
    }
    if let Err(sentence) = packages::ensure(&[&packages::NODE, &packages::CHROMIUM], "the page lane") {
        return Ok(left_out("the page lane", &sentence));
    }
    let installed = tee::gate(
        Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder),
    )?;
    if !installed.is_clean() {
        return Ok(installed);
    }
    tee::run(
        Command::new("node")
            .args(["--test", "--test-reporter=tap"])
            .args(&tests)
            .current_dir(&folder)
            .env("HEARTH_BIN_DIR", tree.program("")),
    )
}

fn minutes(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count * 60))
}

/// What each stage counted and how long it took.
#[derive(Default)]
struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    tally: Tally,
    took: Duration,
    budget: Option<Duration>,
}

impl Report {
    /// Runs one stage; a stage that breaks off with a sentence counts as one failure. Returns whether it was clean.
    fn stage(
        &mut self,
        name: &'static str,
        budget: Option<Duration>,
        work: impl FnOnce() -> Result<Tally, String>,
    ) -> bool {
        println!("\n== {name} ==");
        let start = Instant::now();
        let tally = work().unwrap_or_else(|sentence| {
            println!("{name}: {sentence}");
            Tally::fail()
        });
        let clean = tally.is_clean();
        self.rows.push(Row { name, tally, took: start.elapsed(), budget });
        clean
    }

    /// Prints a line per stage and, last and alone on its line, the sum.
    fn close(self) -> ExitCode {
        println!("\n== summary ==");
        let mut all = Tally::default();
        for row in self.rows {
            println!("{:<24} {:>8.1} s  {}", row.name, row.took.as_secs_f64(), row.tally);
            if let Some(budget) = row.budget.filter(|budget| row.took > *budget) {
                println!("{:<24} over its budget of {} min", "", budget.as_secs() / 60);
            }
            all += row.tally;
        }
        println!("{all}");
        if all.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
