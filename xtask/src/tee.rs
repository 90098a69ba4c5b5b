//! Runs a command, shows its output as it comes, and counts the tests in it.
//!
//! Output is passed on line by line and unchanged; it is not kept.

use crate::tally::Tally;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

/// Runs a test runner to its end and returns what it counted.
///
/// A runner that fails without naming a failed test (it did not compile, or a signal ended it) counts as one failure.
pub(crate) fn run(command: &mut Command) -> Result<Tally, String> {
    let (status, mut tally) = watch(command)?;
    if !status.success() && tally.is_clean() {
        println!("{} ended with {status} and named no failed test; this counts as one failure", describe(command));
        tally += Tally::fail();
    }
    Ok(tally)
}

/// Runs a command that either holds or does not, such as a linter.
pub(crate) fn gate(command: &mut Command) -> Result<Tally, String> {
    println!("$ {}", describe(command));
    let status = command.status().map_err(|error| format!("cannot run {}: {error}", describe(command)))?;
    Ok(if status.success() { Tally::pass() } else { Tally::fail() })
}

fn watch(command: &mut Command) -> Result<(ExitStatus, Tally), String> {
    println!("$ {}", describe(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", describe(command)))?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let stderr = child.stderr.take().expect("stderr was asked to be a pipe");
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        scope.spawn(|| pass_on(stdout, std::io::stdout(), &tally));
        scope.spawn(|| pass_on(stderr, std::io::stderr(), &tally));
    });
    let status = child.wait().map_err(|error| format!("cannot wait for {}: {error}", describe(command)))?;
    Ok((status, tally.into_inner().expect("no reader panicked while it counted")))
}

fn pass_on(from: impl Read, mut to: impl Write, tally: &Mutex<Tally>) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        // A closed terminal must not end the run before it has counted.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        tally.lock().expect("no reader panicked while it counted").read(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

fn describe(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    command.get_args().fold(program, |line, word| format!("{line} {}", word.to_string_lossy()))
}
