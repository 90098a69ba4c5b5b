//! The chores of this repository, run as `cargo xtask …`.
//!
//! Each chore drives the ordinary tools (cargo, git, pip, node) and says in a sentence what is missing and how to get it.
//! Nothing of the product lives here, and nothing of the product leans on it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person at the terminal")]

mod bench;
mod coverage;
mod demo;
mod fuzz;
mod gates;
mod lanes;
mod ort;
mod packages;
mod product;
mod reader;
mod tally;
mod tee;
mod tree;
mod words;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tree::Tree;

/// The chores of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Chores {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    Check(gates::Check),
    Test(lanes::Test),
    Soak(lanes::Soak),
    Fuzz(fuzz::Fuzz),
    Demo(demo::Demo),
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let chores = Chores::parse();
    let outcome = Tree::find().and_then(|tree| match chores.chore {
        Chore::Check(check) => check.run(&tree),
        Chore::Test(test) => test.run(&tree),
        Chore::Soak(soak) => soak.run(&tree),
        Chore::Fuzz(fuzz) => fuzz.run(&tree),
        Chore::Demo(demo) => demo.run(&tree),
        Chore::Bench(bench) => bench.run(&tree),
    });
    match outcome {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}
