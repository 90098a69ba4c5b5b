//! `hearth pause`, `private` and `resume`: the hold on the node, or on one session.

use clap::Args;
use hearth_core::SessionId;

use super::status;
use crate::{
    ask::{Ask, Held, Hold},
    cli::{Ended, Outcome, Shell},
    config::Span,
};

/// Delay capture; what changes meanwhile is captured afterwards
#[derive(Debug, Args)]
pub struct Pause {
    /// For how long, such as 30m; until `hearth resume` when absent
    duration: Option<Span>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
}

impl Pause {
    /// Orders it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        order(shell, Hold::Pause, self.duration, self.session)
    }
}

/// Capture nothing from this time, ever
///
/// What changes while it lasts stays out until it changes again afterwards.
#[derive(Debug, Args)]
pub struct Private {
    /// For how long, such as 2h; until `hearth resume` when absent
    duration: Option<Span>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
}

impl Private {
    /// Orders it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        order(shell, Hold::Private, self.duration, self.session)
    }
}

/// Go on capturing
#[derive(Debug, Args)]
pub struct Resume {
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
}

impl Resume {
    /// Orders it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        order(shell, Hold::Resume, None, self.session)
    }
}

fn order(shell: &mut Shell<'_>, how: Hold, duration: Option<Span>, session: Option<SessionId>) -> Ended {
    let held: Held = shell.ask(Ask::Hold { how, for_ms: duration.map(Span::millis), session })?;
    if shell.json {
        shell.document(&held)?;
        return Ok(Outcome::Done);
    }
    let done = match (session, how) {
        (None, _) => format!("capture is {}", status::hold(held.hold, shell.world.now, &shell.world.zone)),
        (Some(session), Hold::Pause) => format!("{session} is paused"),
        (Some(session), Hold::Private) => format!("{session} is private"),
        (Some(session), Hold::Resume) => format!("{session} goes on"),
    };
    shell.line(done)?;
    Ok(Outcome::Done)
}
