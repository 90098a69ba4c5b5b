//! `hearth bench`: measures parts of the product on this machine.
//!
//! It only reads what is asked; the measuring is behind [`Agent::bench`](crate::cli::Agent::bench).

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::{Ended, Outcome, Shell};

/// Measure parts of hearth on this machine
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct BenchCommand {
    #[command(subcommand)]
    what: Bench,
}

/// What is measured.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Bench {
    /// The vector index on vectors of your own, with one thread
    Vectors {
        /// The vectors to search in
        #[arg(value_name = "BASE.fvecs")]
        base: PathBuf,
        /// The vectors to search for
        #[arg(value_name = "QUERY.fvecs")]
        query: PathBuf,
        /// The true neighbours
        #[arg(value_name = "TRUTH.ivecs")]
        truth: PathBuf,
        /// How many neighbours
        #[arg(short = 'k', default_value_t = 10, value_name = "COUNT")]
        k: usize,
    },
    /// Embedding, for each backend present, with one thread
    Embed {
        /// Texts, one {"text"} a line
        #[arg(value_name = "FILE.jsonl")]
        file: PathBuf,
    },
    /// Two devices of a fleet that bring each other up to date, as two processes on this machine
    Federation {
        /// How many changes of 1,024 bytes there are
        #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
        items: u64,
        /// How many of them each device lacks
        #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
        missing: u64,
        /// How many devices wrote them
        #[arg(long, default_value_t = 32, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=512))]
        authors: u16,
    },
    /// One of the two devices
    #[command(hide = true)]
    FederationEnd {
        /// Its data folder
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// How many segments there are in all
        #[arg(long, value_name = "N")]
        segments: u64,
        /// Where the other listens; it listens itself when absent
        #[arg(long)]
        to: Option<std::net::SocketAddr>,
    },
}

impl BenchCommand {
    /// Measures, and shows.
    pub fn run(mut self, shell: &mut Shell<'_>) -> Ended {
        match &mut self.what {
            Bench::Vectors { base, query, truth, .. } => {
                for path in [base, query, truth] {
                    *path = shell.absolute(path);
                }
            }
            Bench::Embed { file } => *file = shell.absolute(file),
            Bench::Federation { .. } | Bench::FederationEnd { .. } => {}
        }
        let config = shell.config()?.clone();
        let busy = shell.busy("measuring");
        let measured = shell.agent.bench(&self.what, &config)?;
        drop(busy);
        shell.document(&measured)?;
        Ok(Outcome::Done)
    }
}
