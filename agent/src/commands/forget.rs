//! `hearth forget`: says what would go, asks, and erases.

use clap::Args;
use hearth_core::SessionId;

use super::items;
use crate::{
    ask::{Ask, Forget as What, Forgotten},
    cli::{Ended, Outcome, Shell, Trouble, count, grouped, marks},
    config::Span,
};

/// Erase what was captured, for good
///
/// The keys of what is forgotten are destroyed, so that no copy of it can be read again. The files themselves stay.
#[derive(Debug, Args)]
#[command(override_usage = "hearth forget [OPTIONS] --last TIME|--item ID|--query WORDS|--session ID")]
pub struct Forget {
    #[command(flatten)]
    which: Which,
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// What was captured in this last time, such as 10m
    #[arg(long, value_name = "DURATION")]
    last: Option<Span>,
    /// One item: its id, the id it was imported under, or its path
    #[arg(long, value_name = "ID")]
    item: Option<String>,
    /// Every item in which all of these words occur
    #[arg(long, value_name = "WORDS")]
    query: Option<String>,
    /// Everything of a session, and the session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
}

impl Which {
    fn what(self) -> What {
        match (self.last, self.item, self.query, self.session) {
            (Some(last), ..) => What::Last { ms: last.millis() },
            (_, Some(id), ..) => What::Item { id },
            (_, _, Some(text), _) => What::Query { text },
            (.., session) => What::Session { session: session.expect("the group requires one of the four") },
        }
    }
}

impl Forget {
    /// Asks, and erases.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let what = self.which.what();
        if self.dry_run {
            let would: Forgotten = shell.ask(Ask::Forget { what, dry_run: true })?;
            return tell(shell, &would);
        }
        if !self.yes {
            if !shell.world.input_is_terminal || !shell.world.err_is_terminal {
                return Err(Trouble::usage(
                    "forgetting cannot be undone; say --yes, or --dry-run to see what would go",
                ));
            }
            let would: Forgotten = shell.ask(Ask::Forget { what: what.clone(), dry_run: true })?;
            if would.items == 0 && !matches!(what, What::Session { .. }) {
                return tell(shell, &would);
            }
            shell.remark(format!("{} would go for good:", items(would.items)));
            for line in titles(&would, shell.width()) {
                shell.remark(line);
            }
            if shell.confirm("Forget this?")? != Some(true) {
                shell.remark("nothing was forgotten");
                return Ok(Outcome::Done);
            }
        }
        let done: Forgotten = shell.ask(Ask::Forget { what, dry_run: false })?;
        if done.items > 0 && done.others > 0 && !shell.json {
            shell.remark(
                "what was shared is erased on the other devices too; `hearth fleet` says which have confirmed it",
            );
        }
        tell(shell, &done)
    }
}

fn titles(forgotten: &Forgotten, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = forgotten
        .titles
        .iter()
        .take(10)
        .map(|title| format!("  {}", marks::cut(&marks::plain(title), width - 2)))
        .collect();
    let more = forgotten.items.saturating_sub(lines.len() as u64);
    if more > 0 && !lines.is_empty() {
        lines.push(format!("  and {} more", grouped(more)));
    }
    lines
}

fn tell(shell: &mut Shell<'_>, forgotten: &Forgotten) -> Ended {
    if shell.json {
        shell.document(forgotten)?;
    } else {
        let versions = count(forgotten.documents, "version", "versions");
        let said = match (forgotten.items, forgotten.dry_run) {
            (0, _) => "nothing to forget".into(),
            (n, true) => format!("{}, {versions} would be forgotten", items(n)),
            (n, false) => format!("{}, {versions} forgotten", items(n)),
        };
        shell.line(said)?;
        if forgotten.dry_run {
            for line in titles(forgotten, shell.width()) {
                shell.line(line)?;
            }
        }
    }
    Ok(if forgotten.items == 0 { Outcome::Nothing } else { Outcome::Done })
}
