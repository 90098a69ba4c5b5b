//! What passing means: format, words, lints, arrows, dependencies, documentation.
//!
//! The quick gates also open every test run; the slow ones (lints, documentation) run here only, for they compile everything
//! once more.

use crate::tally::Tally;
use crate::tree::{Tree, has_cargo_command};
use crate::{coverage, tee, words};
use clap::Args;
use std::process::ExitCode;

/// Check format, words, lints, arrows, dependencies and documentation
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Also measure which lines the tests reach, against the floors in docs/ci.md
    #[arg(long)]
    coverage: bool,
}

impl Check {
    /// Runs every gate, also after one has failed, and closes with the counts.
    pub(crate) fn run(&self, tree: &Tree) -> Result<ExitCode, String> {
        let mut tally = quick(tree)?;
        tally += tee::gate(
            tree.cargo()
                .args(["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--"])
                .args(["-D", "warnings"]),
        )?;
        tally += tee::run(tree.cargo().args(["test", "--release", "-p", "hearth-tests", "--test", "arrows"]))?;
        tally += tee::gate(
            tree.cargo()
                .args(["doc", "--release", "--workspace", "--no-deps", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )?;
        if self.coverage {
            tally += coverage::measure(tree)?;
        }
        println!("{tally}");
        Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The gates that need no compiler: format, words, dependencies.
pub(crate) fn quick(tree: &Tree) -> Result<Tally, String> {
    let mut tally = Tally::default();
    tally += if has_cargo_command("fmt") {
        tee::gate(tree.cargo().args(["fmt", "--all", "--check", "--", "-l"]))?
    } else {
        left_out("the format check", "rustfmt is not installed; get it with `rustup component add rustfmt`")
    };
    tally += words::check(tree)?;
    tally += if has_cargo_command("deny") {
        let quiet = ["--log-level", "error"];
        tee::gate(tree.cargo().arg("deny").args(quiet).args(["check", "bans", "licenses", "sources"]))?
    } else {
        left_out(
            "the check of dependencies (bans, licences, sources)",
            "cargo-deny is not installed; get it with `cargo install cargo-deny --locked`",
        )
    };
    Ok(tally)
}

/// Says that something was left out and why, and counts it.
pub(crate) fn left_out(what: &str, why: &str) -> Tally {
    println!("skipped {what}: {why}");
    Tally::skip()
}
