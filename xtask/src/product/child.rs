//! A program that a chore started, and that never outlives it.
//!
//! Ended when dropped; where `setpriv` is there, also when the chore is killed outright. Its standard error goes to a pipe whose
//! last lines are shown when it dies.

use crate::tree::succeeds;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How many of the last lines of standard error are kept.
const TAIL_LINES: usize = 20;
/// How long a program may take to end after it was asked to.
const END_MAX: Duration = Duration::from_secs(10);
/// How often a waiting loop looks up.
const GLANCE: Duration = Duration::from_millis(50);

/// Ctrl-C and requests to end, noticed once and for all.
pub(crate) struct Interrupts {
    signals: Receiver<()>,
    came: AtomicBool,
}

impl Interrupts {
    /// From now on SIGINT, SIGTERM and SIGHUP are noticed here and no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, String> {
        let (send, signals) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        thread::spawn(move || {
            let outcome = listen_forever(&send, &ready);
            // Only a failure comes back here; the listener itself lives as long as the process.
            let _ = ready.send(outcome);
        });
        started.recv().map_err(|_| "the signal listener ended early")??;
        Ok(Self { signals, came: AtomicBool::new(false) })
    }

    /// Waits for `time` or until a signal comes; returns whether one has come by now.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        if !self.came() && self.signals.recv_timeout(time) != Err(RecvTimeoutError::Timeout) {
            self.came.store(true, Ordering::Relaxed);
        }
        self.came()
    }

    /// Whether a signal was seen by [`Interrupts::wait`].
    pub(crate) fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

fn listen_forever(send: &mpsc::Sender<()>, ready: &mpsc::Sender<Result<(), String>>) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let broken = |error: std::io::Error| format!("cannot listen for Ctrl-C: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(broken)?;
        // The other side may be gone when the process ends; then nobody needs to know.
        let _ = ready.send(Ok(()));
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if send.send(()).is_err() {
                return Ok(());
            }
        }
    })
}

/// A running program of ours.
pub(crate) struct Child {
    name: &'static str,
    process: std::process::Child,
    started: Instant,
    lines: Receiver<String>,
    tail: Arc<Mutex<VecDeque<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Child {
    /// Starts a program.
    pub(crate) fn start(name: &'static str, command: Command) -> Result<Self, String> {
        let mut command = tethered(command);
        let started = Instant::now();
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdout = process.stdout.take().expect("stdout was asked to be a pipe");
        let stderr = process.stderr.take().expect("stderr was asked to be a pipe");
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&tail);
        let reader = thread::spawn(move || keep_tail(BufReader::new(stderr), &kept));
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            // Read to the end, so that the program never blocks on a full pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Ok(Self { name, process, started, lines, tail, reader: Some(reader) })
    }

    /// Starts a program and waits for its first line on standard output, one JSON object.
    pub(crate) fn start_until_ready(
        name: &'static str,
        command: Command,
        limit: Duration,
        interrupts: &Interrupts,
    ) -> Result<(Self, Value), String> {
        let mut child = Self::start(name, command)?;
        loop {
            match child.lines.recv_timeout(GLANCE) {
                Ok(line) => {
                    let value: Value = serde_json::from_str(&line)
                        .map_err(|error| format!("{name} said `{line}` where one JSON line was expected: {error}"))?;
                    return Ok((child, value));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(child.epitaph()),
                Err(RecvTimeoutError::Timeout) => child.check()?,
            }
            if child.age() >= limit {
                let seconds = limit.as_secs();
                return Err(format!(
                    "{name} was not ready within {seconds} s; its last words:\n{}",
                    child.last_words()
                ));
            }
            if interrupts.wait(Duration::ZERO) {
                return Err("interrupted".into());
            }
        }
    }

    /// Waits until the program ends with success and returns what it wrote; calls `look` now and then while it works.
    pub(crate) fn finish(mut self, interrupts: &Interrupts, mut look: impl FnMut(&Self)) -> Result<String, String> {
        let mut written = String::new();
        loop {
            match self.lines.recv_timeout(GLANCE) {
                Ok(line) => {
                    written.push_str(&line);
                    written.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => look(&self),
            }
            if interrupts.wait(Duration::ZERO) {
                return Err("interrupted".into());
            }
        }
        match self.process.wait() {
            Ok(status) if status.success() => Ok(written),
            Ok(_) => Err(self.epitaph()),
            Err(error) => Err(format!("cannot wait for {}: {error}", self.name)),
        }
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What the system calls it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Fails with the program's last words when it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(self.epitaph()),
            Err(error) => Err(format!("cannot look after {}: {error}", self.name)),
        }
    }

    /// Asks the program to end, waits, and kills it when it does not.
    pub(crate) fn end(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        let asked = succeeds(Command::new("kill").args(["-TERM", &self.process.id().to_string()]));
        let start = Instant::now();
        while asked && start.elapsed() < END_MAX {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(GLANCE);
        }
        // Both fail only when it has ended meanwhile.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn epitaph(&mut self) -> String {
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        if let Some(reader) = self.reader.take() {
            // The pipe is closed with the program, so its reader ends.
            let _ = reader.join();
        }
        format!("{} ended with {status}; its last words:\n{}", self.name, self.last_words())
    }

    fn last_words(&self) -> String {
        let tail = self.tail.lock().expect("the reader does not panic while it holds the lines");
        tail.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn keep_tail(from: impl BufRead, tail: &Mutex<VecDeque<String>>) {
    for line in from.lines().map_while(Result::ok) {
        let mut tail = tail.lock().expect("no reader panics while it holds the lines");
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// The same command, started so that the kernel ends it when this process is killed; plain where `setpriv` is missing.
fn tethered(command: Command) -> Command {
    if !succeeds(Command::new("setpriv").args(["--pdeathsig", "TERM", "true"])) {
        return command;
    }
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--pdeathsig", "TERM"]);
    wrapped(setpriv, &command)
}

/// A command that starts another one, which is named after its own arguments, with the other one's environment.
pub(crate) fn wrapped(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn calm() -> (mpsc::Sender<()>, Interrupts) {
        let (send, signals) = mpsc::channel();
        (send, Interrupts { signals, came: AtomicBool::new(false) })
    }

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_program_that_says_it_is_ready_runs_until_it_is_ended() {
        let (_send, interrupts) = calm();
        let mut command = shell("echo \"{\\\"page\\\":\\\"$PLACE\\\"}\"; exec sleep 600");
        command.env("PLACE", "here");
        let (mut child, ready) =
            Child::start_until_ready("the sleeper", command, LIMIT, &interrupts).expect("it says ready");
        assert_eq!(ready["page"], "here");
        child.check().expect("it sleeps");
        child.end();
        assert!(child.check().is_err(), "it has ended");
    }

    #[test]
    fn a_program_that_dies_first_is_reported_with_its_last_words() {
        let (_send, interrupts) = calm();
        let outcome =
            Child::start_until_ready("the coordinator", shell("echo no room >&2; exit 3"), LIMIT, &interrupts);
        let sentence = outcome.err().expect("it died");
        assert!(sentence.contains("the coordinator ended with exit status: 3"), "{sentence}");
        assert!(sentence.contains("no room"), "{sentence}");
    }

    #[test]
    fn a_program_that_says_something_else_is_refused() {
        let (_send, interrupts) = calm();
        let outcome = Child::start_until_ready("the agent", shell("echo hello; exec sleep 600"), LIMIT, &interrupts);
        let sentence = outcome.err().expect("hello is not JSON");
        assert!(sentence.contains("`hello`"), "{sentence}");
    }

    #[test]
    fn what_a_program_wrote_is_known_when_it_has_ended() {
        let (_send, interrupts) = calm();
        let finish = |script| Child::start("the writer", shell(script))?.finish(&interrupts, |_| ());
        assert_eq!(finish("echo one; echo two").as_deref(), Ok("one\ntwo\n"));
        let sentence = finish("echo one; echo no room >&2; exit 3").expect_err("it failed");
        assert!(sentence.contains("exit status: 3") && sentence.contains("no room"), "{sentence}");
    }

    #[test]
    fn a_signal_ends_the_wait_for_a_silent_program() {
        let (send, interrupts) = calm();
        send.send(()).expect("the receiver is held");
        let outcome = Child::start_until_ready("the agent", shell("exec sleep 600"), LIMIT, &interrupts);
        assert_eq!(outcome.err().as_deref(), Some("interrupted"));
        assert!(interrupts.came());
    }
}
