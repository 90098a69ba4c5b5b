//! The `hearth` command: what may be typed, and how it ends.
//!
//! Results go to standard output and nothing else does. The thinking is behind [`Agent`] and [`Answers`](crate::ask::Answers).

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};

mod agent;
#[cfg(test)]
pub(crate) mod fake;
mod log;
pub mod marks;
mod near;
mod progress;
mod shell;
pub mod when;

pub use agent::{Agent, Daemon, Feature, FormatLine, Identity, Proposed, Running, Sample};
pub use shell::{Busy, Ended, Outcome, Paint, Shell, Trouble, World, bytes, count, grouped};

pub(crate) use log::begin as begin_log;

use crate::commands::{
    audit::Audit, bench::BenchCommand, config::ConfigCommand, doctor::Doctor, features::Features, fleet,
    forget::Forget, formats::Formats, hold, identity::IdentityCommand, index::Index, manual, policy::PolicyCommand,
    redact::Redact, schema::SchemaCommand, search::Search, session::SessionCommand, show, source::SourceCommand,
    state::StateCommand, status::Status, stop::Stop, transfer, up::Up, why::Why,
};

/// Find what you wrote, read and ran, by meaning and by word
///
/// hearth captures what you name on this machine, hides secrets before anything is stored, and finds it again,
/// offline. Without a daemon, commands work on the data folder directly; with one (`hearth up`), they ask it.
#[derive(Debug, Parser)]
#[command(
    name = "hearth",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The data folder [default: `$HEARTH_DATA`, else hearth in the user's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the result as one JSON document
    #[arg(long, global = true)]
    json: bool,
    /// Write nothing but the result
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(Up),
    Status(Status),
    Search(Search),
    Open(show::Open),
    Show(show::Show),
    Index(Index),
    Import(transfer::Import),
    Export(transfer::Export),
    Why(Why),
    Pause(hold::Pause),
    Private(hold::Private),
    Resume(hold::Resume),
    Forget(Forget),
    Session(SessionCommand),
    Fleet(fleet::FleetCommand),
    Join(fleet::Join),
    Source(SourceCommand),
    Formats(Formats),
    Features(Features),
    Doctor(Doctor),
    Audit(Audit),
    Config(ConfigCommand),
    State(StateCommand),
    Identity(IdentityCommand),
    Stop(Stop),
    Redact(Redact),
    Policy(PolicyCommand),
    Schema(SchemaCommand),
    Bench(BenchCommand),
    Completions(manual::Completions),
    Man(manual::Man),
}

impl Command {
    fn run(self, shell: &mut Shell<'_>) -> Ended {
        match self {
            Self::Up(command) => command.run(shell),
            Self::Status(command) => command.run(shell),
            Self::Search(command) => command.run(shell),
            Self::Open(command) => command.run(shell),
            Self::Show(command) => command.run(shell),
            Self::Index(command) => command.run(shell),
            Self::Import(command) => command.run(shell),
            Self::Export(command) => command.run(shell),
            Self::Why(command) => command.run(shell),
            Self::Pause(command) => command.run(shell),
            Self::Private(command) => command.run(shell),
            Self::Resume(command) => command.run(shell),
            Self::Forget(command) => command.run(shell),
            Self::Session(command) => command.run(shell),
            Self::Fleet(command) => command.run(shell),
            Self::Join(command) => command.run(shell),
            Self::Source(command) => command.run(shell),
            Self::Formats(command) => command.run(shell),
            Self::Features(command) => command.run(shell),
            Self::Doctor(command) => command.run(shell),
            Self::Audit(command) => command.run(shell),
            Self::Config(command) => command.run(shell),
            Self::State(command) => command.run(shell),
            Self::Identity(command) => command.run(shell),
            Self::Stop(command) => command.run(shell),
            Self::Redact(command) => command.run(shell),
            Self::Policy(command) => command.run(shell),
            Self::Schema(command) => command.run(shell),
            Self::Bench(command) => command.run(shell),
            Self::Completions(command) => command.run(shell),
            Self::Man(command) => command.run(shell),
        }
    }
}

/// The whole command as clap knows it, for completions and manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command of this process.
pub fn main(agent: &dyn Agent) -> ExitCode {
    let input = Box::new(io::stdin().lock());
    let mut shell = Shell::new(agent, World::here(), Box::new(io::stdout()), Box::new(io::stderr()), input);
    ExitCode::from(run(std::env::args_os(), &mut shell))
}

/// Runs one command and returns its exit code.
pub fn run(line: impl IntoIterator<Item = OsString>, shell: &mut Shell<'_>) -> u8 {
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(refused) => return refuse(&near::only(refused), shell),
    };
    shell.data = cli.global.data;
    shell.json = cli.global.json;
    shell.quiet = cli.global.quiet;
    let ended = cli.command.run(shell).and_then(|outcome| {
        shell.out.flush()?;
        Ok(outcome)
    });
    match ended {
        Ok(outcome) => outcome.exit_code(),
        // Whoever read the result has had enough, as in `hearth search … | head -1`.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(trouble) => {
            tell(&trouble, shell);
            trouble.exit_code()
        }
    }
}

/// Help and versions are results; the rest is a slip.
fn refuse(refused: &clap::Error, shell: &mut Shell<'_>) -> u8 {
    let text = refused.render();
    let coloured = if refused.use_stderr() { shell.paint_err() } else { shell.paint() };
    let text = if coloured.bold("x") == "x" { text.to_string() } else { text.ansi().to_string() };
    let text = format!("{}\n", text.trim_end());
    let stream = if refused.use_stderr() { &mut shell.err } else { &mut shell.out };
    // There is nobody left to tell when even this cannot be written.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    u8::try_from(refused.exit_code()).unwrap_or(2)
}

fn tell(trouble: &Trouble, shell: &mut Shell<'_>) {
    let paint = shell.paint_err();
    let text = match trouble {
        Trouble::Config(mistakes) => mistakes.render(paint.bold("x") != "x", shell.width()),
        other => format!("{} {}\n", paint.bad("error:"), marks::plain_lines(&other.to_string())),
    };
    let _ = shell.err.write_all(text.as_bytes());
}

#[cfg(test)]
mod tests;
