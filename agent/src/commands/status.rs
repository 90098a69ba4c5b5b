//! `hearth status`.

use clap::Args;
use hearth_core::session::State;

use super::{by_class, items, passages};
use crate::{
    ask::{Ask, Status as Answer},
    cli::{Ended, Outcome, Shell, bytes, marks, when},
    serve,
};

/// Show how this node is
///
/// With a daemon it also prints the address of the search page; whoever has that address can search.
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let status: Answer = shell.ask(Ask::Status)?;
        if shell.json {
            shell.document(&status)?;
            return Ok(Outcome::Done);
        }
        let paint = shell.paint();
        let (now, zone) = (shell.world.now, shell.world.zone.clone());
        let daemon = match (status.daemon, status.started_at) {
            (true, Some(at)) => format!("running since {}", when::clock(at, now, &zone)),
            (true, None) => "running".into(),
            (false, _) => "not running; start it with `hearth up`".into(),
        };
        let waiting = if status.pending == 0 {
            String::new()
        } else {
            format!(", {} waiting for vectors", items(status.pending))
        };
        let from_fleet = match status.from_fleet {
            0 => String::new(),
            n => format!(" ({} of other devices)", crate::cli::grouped(n)),
        };
        let page = if status.daemon { serve::page_of(&shell.data()?) } else { None };
        let mut rows = vec![
            ("node", format!("{}  {}", status.node, paint.dim(&format!("hearth {}", marks::plain(&status.version))))),
            ("daemon", daemon),
            ("capture", hold(status.hold, now, &zone)),
            ("now", marks::plain(&status.activity)),
            ("holds", format!("{}{from_fleet}, {}{waiting}", items(status.items), passages(status.chunks))),
        ];
        if !status.redactions.is_empty() {
            rows.push(("hidden", by_class(&status.redactions)));
        }
        if !status.skipped.is_empty() {
            rows.push(("left alone", by_class(&status.skipped)));
        }
        if status.dead > 0 {
            rows.push(("given up", format!("{} (`hearth doctor` says why)", items(status.dead))));
        }
        if !status.disk.is_empty() {
            rows.push(("on disk", bytes(status.disk.values().sum())));
        }
        if let Some(page) = page {
            rows.push(("page", page));
        }
        for (name, text) in rows {
            let name = paint.dim(&format!("{name:<11}"));
            shell.line(format!("{name}{text}"))?;
        }
        for sentence in &status.notices {
            shell.notice(sentence);
        }
        Ok(Outcome::Done)
    }
}

/// The hold on the node in words.
pub(crate) fn hold(state: State, now: hearth_core::Moment, zone: &jiff::tz::TimeZone) -> String {
    let until = |until: Option<hearth_core::Moment>| {
        until.map_or_else(
            || " until `hearth resume`".to_owned(),
            |until| format!(" until {}", when::clock(until, now, zone)),
        )
    };
    match state {
        State::Open => "on".into(),
        State::Paused { until: end } => format!("paused{}", until(end)),
        State::Private { until: end, .. } => format!("private{}; nothing from this time is ever captured", until(end)),
        State::Closed { .. } => "closed".into(),
        State::Expired { .. } => "expired".into(),
    }
}
