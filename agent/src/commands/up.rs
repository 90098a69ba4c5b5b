//! `hearth up`: the first run's questions, then the daemon, in the foreground.
//!
//! Before a yes nothing is written, and nothing is captured without a session.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use hearth_core::session::{Session, State};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::session;
use crate::{
    ask::{Answers, Ask, Failure, FailureKind, NewSession, Sessions},
    cli::{self, Daemon, Ended, Outcome, Proposed, Running, Sample, Shell, Trouble, bytes, count, grouped, marks},
    client::Client,
    config::{Config, Flag, Hex32, HostPort, Loopback},
    serve::Doors,
};

/// How long to wait for another command to let go of the folder.
const FOLDER_MAX: Duration = Duration::from_secs(5);

/// Start the daemon: capture what you named, answer the command and the search page
///
/// It runs in the foreground until Ctrl-C or `hearth stop`. The first time it proposes folders, shows what it would capture and
/// hide, and asks; it starts nothing before a yes. When ready it writes one JSON line to a program that reads it.
#[derive(Debug, Args)]
pub struct Up {
    /// Do not ask; capture the folders named with --folder, else those it would propose
    #[arg(long, short)]
    yes: bool,
    /// A folder to capture, with all below it; may be repeated
    #[arg(long = "folder", value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Why these are captured, in your words; shown with every hit
    #[arg(long, default_value = "my files")]
    purpose: String,
    /// Where the search page listens; an address of this machine alone [default: 127.0.0.1:7842]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<Loopback>,
    /// The coordinator to report to
    #[arg(long, value_name = "HOST:PORT", requires = "coordinator_key")]
    coordinator: Option<HostPort>,
    /// The coordinator's public key
    #[arg(long, value_name = "HEX")]
    coordinator_key: Option<Hex32>,
}

/// What a session of folders does not take, and how to add it.
const WITHOUT_HISTORY: &str =
    "shell history is not captured; to add it: hearth session open --source shell-history --purpose \"my shells\"";

/// What is written when the daemon is ready.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    page: String,
    token_url: String,
    device_key: String,
}

impl Up {
    /// Asks, starts and serves.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let data = shell.data()?;
        let folders: Vec<PathBuf> = self.folders.iter().map(|folder| shell.absolute(folder)).collect();
        session::there(&folders)?;
        let config = shell.config_with(self.flags())?.clone();
        if Client::connect(&data)?.is_some() {
            let said = "a daemon runs on this data folder already; `hearth status` shows it, `hearth stop` ends it";
            return Err(Failure::new(FailureKind::Failed, said).into());
        }
        // A folder without an identity was never used, so there is no session in it: ask before anything is written.
        let unused = !data.join("identity").exists();
        let mut chosen = None;
        if unused {
            match self.choose(shell, &config, &folders)? {
                Some(folders) => chosen = Some(Some(folders)),
                None => return Ok(Outcome::Done),
            }
        }

        cli::begin_log(&config.log, shell.world.err_is_terminal);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("hearth")
            .build()
            .map_err(|error| Trouble::failed(format!("cannot start: {error}")))?;
        let _within = runtime.enter();
        let stop = CancellationToken::new();
        let running = self.start(shell, &Daemon { data: data.clone(), config: config.clone(), stop: stop.clone() })?;
        let answers = running.answers();

        if chosen.is_none() {
            let sessions = sessions(answers.as_ref())?;
            let known = sessions
                .sessions
                .iter()
                .any(|session| session.state.name() != "closed" && session.state.name() != "expired");
            if !folders.is_empty() || !known {
                match self.choose_again(shell, &config, &folders, &sessions) {
                    Ok(folders) => chosen = folders,
                    Err(trouble) => {
                        stop.cancel();
                        running.finish()?;
                        return Err(trouble);
                    }
                }
            }
        }
        let told = !folders.is_empty() || chosen.is_some();
        match chosen {
            Some(None) => {
                stop.cancel();
                running.finish()?;
                return Ok(Outcome::Done);
            }
            Some(Some(folders)) => {
                answers.answer(Ask::OpenSession(self.session(folders)))?;
            }
            None => {}
        }
        if told && !sessions(answers.as_ref())?.sessions.iter().any(takes_history) {
            shell.remark(WITHOUT_HISTORY);
        }

        let served = runtime.block_on(async {
            let doors = Doors::open(&data, config.page.listen).await?;
            let ready = Ready {
                ready: true,
                page: doors.page_url(),
                token_url: doors.token_url(),
                device_key: running.device_key(),
            };
            announce(shell, &ready)?;
            notify("READY=1");
            tokio::spawn(signals(stop.clone()));
            doors.serve(answers, stop.clone()).await;
            notify("STOPPING=1");
            Ok::<(), Trouble>(())
        });
        stop.cancel();
        let finished = running.finish();
        served?;
        finished?;
        shell.remark("stopped");
        Ok(Outcome::Done)
    }

    fn flags(&self) -> Vec<Flag> {
        let flag = |flag, setting, value: Option<String>| value.map(|value| Flag { flag, setting, value });
        [
            flag("--listen", "page.listen", self.listen.map(|listen| listen.to_string())),
            flag("--coordinator", "coordinator.address", self.coordinator.as_ref().map(ToString::to_string)),
            flag("--coordinator-key", "coordinator.key", self.coordinator_key.map(|key| key.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn session(&self, folders: Vec<PathBuf>) -> NewSession {
        NewSession {
            purpose: self.purpose.clone(),
            folders,
            exclude: Vec::new(),
            sources: Vec::new(),
            class: hearth_core::session::Class::Private,
            keep_days: None,
            for_ms: None,
            here_only: false,
        }
    }

    /// Starts the work; another command may have the folder for a moment.
    fn start(&self, shell: &Shell<'_>, daemon: &Daemon) -> Result<Box<dyn Running>, Trouble> {
        let begun = Instant::now();
        loop {
            match shell.agent.start(daemon.clone()) {
                Err(failure) if failure.kind == FailureKind::Busy && begun.elapsed() < FOLDER_MAX => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                other => return Ok(other?),
            }
        }
    }

    /// What to capture in a folder that was used before: nothing new when sessions cover it all already.
    fn choose_again(
        &self,
        shell: &mut Shell<'_>,
        config: &Config,
        folders: &[PathBuf],
        sessions: &Sessions,
    ) -> Result<Option<Option<Vec<PathBuf>>>, Trouble> {
        use std::os::unix::ffi::OsStrExt;
        let covered = |folder: &PathBuf| {
            sessions.sessions.iter().any(|session| {
                !matches!(session.state.name(), "closed" | "expired")
                    && session.scope.include.iter().any(|name| name.covers(folder.as_os_str().as_bytes()))
            })
        };
        let new: Vec<PathBuf> = folders.iter().filter(|folder| !covered(folder)).cloned().collect();
        if !folders.is_empty() && new.is_empty() {
            return Ok(None);
        }
        self.choose(shell, config, &new).map(Some)
    }

    /// What to capture: the folders named, else those proposed and agreed to; `None` after a no.
    fn choose(
        &self,
        shell: &mut Shell<'_>,
        config: &Config,
        named: &[PathBuf],
    ) -> Result<Option<Vec<PathBuf>>, Trouble> {
        let asks = shell.world.input_is_terminal && shell.world.err_is_terminal;
        if !self.yes && !asks {
            return Err(Trouble::usage(
                "nothing is captured before a yes, and there is nobody to ask; say --yes, and --folder for each folder",
            ));
        }
        let proposed = if named.is_empty() { self.propose(shell)? } else { Vec::new() };
        let folders: Vec<PathBuf> =
            if named.is_empty() { proposed.iter().map(|folder| folder.path.clone()).collect() } else { named.to_vec() };
        if folders.is_empty() {
            return Err(Trouble::usage("found no folder worth capturing; name one with --folder"));
        }
        if self.yes {
            return Ok(Some(folders));
        }
        let busy = shell.busy("looking at a sample");
        let sample = shell.agent.sample(&folders, config);
        drop(busy);
        for line in screen(shell, &folders, &proposed, &sample) {
            shell.remark(line);
        }
        if shell.confirm("Capture these from now on?")? == Some(true) {
            return Ok(Some(folders));
        }
        shell.remark("nothing was started; name other folders with `hearth up --folder DIR`");
        Ok(None)
    }

    fn propose(&self, shell: &mut Shell<'_>) -> Result<Vec<Proposed>, Trouble> {
        let home = shell
            .world
            .home()
            .ok_or_else(|| Trouble::usage("there is no home folder to look into; name folders with --folder"))?;
        let busy = shell.busy("looking for folders");
        let proposed = shell.agent.propose(&home);
        drop(busy);
        Ok(proposed)
    }
}

fn sessions(answers: &dyn Answers) -> Result<Sessions, Trouble> {
    serde_json::from_value(answers.answer(Ask::Sessions)?)
        .map_err(|_| Trouble::failed("the data folder's sessions could not be read; run `hearth doctor`"))
}

/// Whether what is typed in shells goes into this session. It lies in no folder, so a session that names folders has none of it.
fn takes_history(session: &Session) -> bool {
    !matches!(session.state, State::Closed { .. } | State::Expired { .. })
        && session.scope.takes("shell-history", false)
}

/// What is shown before the question.
fn screen(shell: &Shell<'_>, folders: &[PathBuf], proposed: &[Proposed], sample: &Sample) -> Vec<String> {
    let (paint, width) = (shell.paint_err(), shell.width());
    let mut lines = vec![paint.bold("hearth would capture, on this machine, for you alone:"), String::new()];
    for folder in folders {
        let shown = marks::plain(&folder.display().to_string());
        let about = proposed.iter().find(|proposal| proposal.path == *folder).map(|proposal| {
            let files = count(proposal.files, "file", "files");
            format!("{}, about {files}, {}", marks::plain(&proposal.why), bytes(proposal.bytes))
        });
        lines.push(format!("  {shown}"));
        lines.extend(about.map(|about| format!("    {}", paint.dim(&about))));
    }
    lines.push(String::new());
    if sample.files > 0 {
        lines.push(format!("Of {} looked into as a sample:", count(sample.files, "file", "files")));
        for name in sample.captured.iter().take(4) {
            lines.push(format!("  {} {}", paint.good("+"), marks::cut(&marks::plain(name), width - 4)));
        }
        for (name, why) in sample.left_alone.iter().take(4) {
            lines.push(format!(
                "  {} {}",
                paint.dim("-"),
                marks::cut(&format!("{}: {}", marks::plain(name), marks::plain(why)), width - 4)
            ));
        }
        let hidden: Vec<String> = sample
            .hidden
            .iter()
            .map(|(class, n)| format!("{} {}", grouped(*n), class.replace(['_', '-'], " ")))
            .collect();
        let hidden = if hidden.is_empty() {
            "nothing was found that must be hidden".into()
        } else {
            format!("would be hidden: {}", hidden.join(", "))
        };
        for line in marks::lines(&hidden, width - 2, 4) {
            lines.push(format!("  {line}"));
        }
        lines.push(String::new());
    }
    lines.push(paint.dim("Key stores, password databases, browser profiles and caches are never captured."));
    lines.push(paint.dim("`hearth pause`, `hearth private` and `hearth forget` are always at hand."));
    lines.push(String::new());
    lines
}

/// Says that it is ready: a line of JSON to a program, a few words to a person.
fn announce(shell: &mut Shell<'_>, ready: &Ready) -> Result<(), Trouble> {
    if shell.json || !shell.world.out_is_terminal {
        let line = serde_json::to_string(ready).expect("strings and a truth value can be written");
        writeln!(shell.out, "{line}")?;
    } else {
        let paint = shell.paint();
        for line in [
            format!("{} hearth is ready", paint.good("●")),
            format!("  {} {}", paint.dim("search page "), ready.token_url),
            format!("  {} hearth search WORDS", paint.dim("or type     ")),
            format!("  {} Ctrl-C, or hearth stop", paint.dim("to end      ")),
        ] {
            shell.line(line)?;
        }
    }
    Ok(shell.out.flush()?)
}

/// Cancels at the first signal to end; at the second the process ends at once.
async fn signals(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("cannot listen for signals; `hearth stop` still works");
        return;
    };
    for again in [false, true] {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if again {
            std::process::exit(130);
        }
        stop.cancel();
    }
}

/// Tells systemd, when it started us and asked to be told.
fn notify(message: &str) {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let name = name.as_encoded_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::new(&*String::from_utf8_lossy(name))),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(kind = ?error.kind(), "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::session::Name;

    use super::*;
    use crate::cli::fake;

    #[test]
    fn only_a_session_without_folders_takes_what_is_typed_in_shells() {
        let sources = |sources: &[&str]| sources.iter().map(|&source| source.to_owned()).collect::<Vec<_>>();
        let folder = || vec![Name(b"/home/ada".to_vec())];
        for (case, sources, include, state, takes) in [
            ("folders", sources(&[]), folder(), State::Open, false),
            ("everything", sources(&[]), vec![], State::Open, true),
            ("named", sources(&["shell-history"]), vec![], State::Open, true),
            ("named, with a folder, where none lies", sources(&["shell-history"]), folder(), State::Open, false),
            ("only files", sources(&["files"]), vec![], State::Open, false),
            ("closed", sources(&["shell-history"]), vec![], State::Closed { at: fake::NOW }, false),
        ] {
            let scope = hearth_core::session::Scope { sources, include, exclude: vec![] };
            assert_eq!(takes_history(&Session { scope, state, ..fake::session() }), takes, "{case}");
        }
    }
}
