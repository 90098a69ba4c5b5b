//! `hearth session`: what may be captured, for how long, for what.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hearth_core::{
    Moment, SessionId,
    session::{self, Name, Scope, Session, State},
};

use crate::{
    ask::{Ask, Failure, FailureKind, NewSession, Sessions, Share as With},
    cli::{Ended, Outcome, Shell, count, marks, when},
    config::Span,
};

/// List, open and close capture sessions
///
/// Nothing is captured outside an open session.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct SessionCommand {
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// List all sessions
    List,
    Open(Open),
    Close(Close),
    Share(Share),
    /// Keep what a session captures on this node, and erase what it captured from the other devices
    Unshare(Which),
}

/// Open a session
#[derive(Debug, Args)]
struct Open {
    /// Why, in your words; shown with every hit
    #[arg(long)]
    purpose: String,
    /// A folder to capture, with all below it; may be repeated; not needed for a source that has no folders
    #[arg(long = "folder", value_name = "DIR", required_unless_present = "sources")]
    folders: Vec<PathBuf>,
    /// A folder to leave out; may be repeated
    #[arg(long, value_name = "DIR")]
    exclude: Vec<PathBuf>,
    /// Only from this source, such as files; may be repeated
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// How carefully to treat what is captured
    #[arg(long, value_enum, default_value_t = Class::Private)]
    class: Class,
    /// Forget things after so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    keep_days: Option<u32>,
    /// End by itself after this time, such as 2h
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<Span>,
    /// Keep what it captures on this node, also when the node is in a fleet
    #[arg(long)]
    here_only: bool,
}

/// End a session; what it captured stays
#[derive(Debug, Args)]
struct Close {
    /// Which
    #[arg(value_name = "ID")]
    session: SessionId,
}

/// Give what a session captures, and has captured, to the fleet
///
/// Every device then has it, and finds it while this one sleeps. With --live it stays here, and is erased from devices that have it: they
/// find it only while this one is awake and linked, and keep nothing.
#[derive(Debug, Args)]
struct Share {
    #[command(flatten)]
    which: Which,
    /// Give it to the homes of this residency alone; `hearth fleet residency` makes one
    #[arg(long = "in", value_name = "RESIDENCY", conflicts_with = "live")]
    within: Option<String>,
    /// Keep it on this node, and let other devices find it while this one is awake
    #[arg(long)]
    live: bool,
    /// Only this device, by its name or id; may be repeated
    #[arg(long = "with", value_name = "DEVICE", requires = "live")]
    devices: Vec<String>,
}

/// Which sessions.
#[derive(Debug, Args)]
struct Which {
    /// Which
    #[arg(value_name = "ID", required_unless_present = "all")]
    session: Option<SessionId>,
    /// All sessions that are not secret
    #[arg(long, conflicts_with = "session")]
    all: bool,
}

/// How carefully to treat what is captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Class {
    /// Could be published
    Public,
    /// For the people of the space
    Internal,
    /// For its owner
    Private,
    /// For its owner, on this node only
    Secret,
}

impl From<Class> for session::Class {
    fn from(class: Class) -> Self {
        match class {
            Class::Public => Self::Public,
            Class::Internal => Self::Internal,
            Class::Private => Self::Private,
            Class::Secret => Self::Secret,
        }
    }
}

impl SessionCommand {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let ask = match self.order.unwrap_or(Order::List) {
            Order::List => Ask::Sessions,
            Order::Open(open) => Ask::OpenSession(open.session(shell)?),
            Order::Close(close) => Ask::CloseSession { session: close.session },
            Order::Share(Share { which, within: Some(residency), .. }) => {
                Ask::Share { session: which.session, how: With::Within { residency } }
            }
            Order::Share(Share { which, live: false, .. }) => {
                Ask::Share { session: which.session, how: With::Everything }
            }
            Order::Share(Share { which, devices, .. }) => {
                Ask::Share { session: which.session, how: With::Live { devices } }
            }
            Order::Unshare(which) => Ask::Share { session: which.session, how: With::Nothing },
        };
        let changes = matches!(ask, Ask::Share { .. });
        let sessions: Sessions = shell.ask_watched("sharing", ask)?;
        if shell.json {
            shell.document(&sessions)?;
            return Ok(Outcome::Done);
        }
        if sessions.sessions.is_empty() && changes {
            shell.remark("nothing to change: it is so already");
            return Ok(Outcome::Nothing);
        }
        if sessions.sessions.is_empty() {
            shell.remark("no session yet, so nothing is captured; `hearth up` proposes one");
            return Ok(Outcome::Nothing);
        }
        for (nth, session) in sessions.sessions.iter().enumerate() {
            if nth > 0 {
                shell.line("")?;
            }
            show(shell, session)?;
        }
        Ok(Outcome::Done)
    }
}

impl Open {
    fn session(self, shell: &Shell<'_>) -> Result<NewSession, Failure> {
        let folders: Vec<PathBuf> = self.folders.iter().map(|path| shell.absolute(path)).collect();
        there(&folders)?;
        Ok(NewSession {
            purpose: self.purpose,
            folders,
            exclude: self.exclude.iter().map(|path| shell.absolute(path)).collect(),
            sources: self.sources,
            class: self.class.into(),
            keep_days: self.keep_days,
            for_ms: self.duration.map(Span::millis),
            here_only: self.here_only,
        })
    }
}

/// Checks that folders to capture are there.
pub(super) fn there(folders: &[PathBuf]) -> Result<(), Failure> {
    match folders.iter().find(|folder| folder.symlink_metadata().is_err()) {
        Some(missing) => {
            let place = marks::plain(&missing.display().to_string());
            Err(Failure::new(FailureKind::NotFound, format!("there is no {place}; name a folder that is there")))
        }
        None => Ok(()),
    }
}

/// The purpose and the state; then the id, what is taken, and for how long.
fn show(shell: &mut Shell<'_>, session: &Session) -> std::io::Result<()> {
    let (paint, width) = (shell.paint(), shell.width());
    let until = |until: Option<Moment>| {
        until
            .map(|until| format!(" until {}", when::clock(until, shell.world.now, &shell.world.zone)))
            .unwrap_or_default()
    };
    let state = match session.state {
        State::Open => paint.good("open"),
        State::Paused { until: end } => paint.notice(&format!("paused{}", until(end))),
        State::Private { until: end, .. } => paint.notice(&format!("private{}", until(end))),
        State::Closed { .. } | State::Expired { .. } => paint.dim(session.state.name()),
    };
    shell.line(format!("{}  {state}", paint.bold(&marks::plain(&session.purpose))))?;
    shell.line(format!("  {}", session.id))?;
    for line in scope(&session.scope) {
        for (n, line) in marks::lines(&line, width - 4, 20).into_iter().enumerate() {
            shell.line(format!("  {}{line}", if n == 0 { "" } else { "  " }))?;
        }
    }
    for line in marks::lines(&terms(shell, session), width - 2, 4) {
        shell.line(format!("  {}", paint.dim(&line)))?;
    }
    Ok(())
}

/// What a session takes, and what it leaves out.
fn scope(scope: &Scope) -> Vec<String> {
    let names = |names: &[Name]| -> Vec<String> {
        names.iter().map(|name| marks::plain(&String::from_utf8_lossy(&name.0))).collect()
    };
    let mut lines = names(&scope.include);
    lines.extend(names(&scope.exclude).into_iter().map(|name| format!("not {name}")));
    match (scope.sources.as_slice(), scope.include.is_empty()) {
        ([], true) => lines.insert(0, "from every source".into()),
        // Only files lie in folders.
        ([], false) => {}
        (sources, _) => lines.insert(0, format!("from {}", marks::plain(&sources.join(", ")))),
    }
    lines
}

/// `private · opened 2026-03-23 · until closed · kept for 365 days`.
fn terms(shell: &Shell<'_>, session: &Session) -> String {
    let (now, zone) = (shell.world.now, &shell.world.zone);
    let ends =
        session.expires_at.map_or_else(|| "until closed".into(), |at| format!("until {}", when::clock(at, now, zone)));
    let kept = session.keep_days.map_or_else(
        || "kept until forgotten".into(),
        |days| format!("kept for {}", count(days.into(), "day", "days")),
    );
    let class = match session.class {
        session::Class::Public => "public",
        session::Class::Internal => "internal",
        session::Class::Private => "private",
        session::Class::Secret => "secret",
    };
    let home = match (&session.visibility, &session.answers) {
        (session::Visibility::Fleet, _) => " · for the whole fleet".into(),
        (session::Visibility::Nodes(_) | session::Visibility::Within(_), _) => {
            " · for a part of the fleet (`hearth fleet` names it)".into()
        }
        (_, session::Visibility::ThisNode | session::Visibility::Within(_)) => String::new(),
        (_, session::Visibility::Fleet) => " · found by the fleet while this device is awake".into(),
        (_, session::Visibility::Nodes(devices)) => {
            format!(" · found by {} while this one is awake", count(devices.len() as u64, "device", "devices"))
        }
    };
    format!("{class}{home} · opened {} · {ends} · {kept}", when::date(session.opened_at, zone))
}
