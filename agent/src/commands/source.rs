//! `hearth source`.

use clap::Args;

use super::{items, table};
use crate::{
    ask::{Ask, Sources},
    cli::{Ended, Outcome, Shell, marks, when},
};

/// List the sources and how far they have got
#[derive(Debug, Args)]
pub struct SourceCommand {}

impl SourceCommand {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let sources: Sources = shell.ask(Ask::Sources)?;
        if shell.json {
            shell.document(&sources)?;
            return Ok(Outcome::Done);
        }
        let (now, zone) = (shell.world.now, shell.world.zone.clone());
        let rows: Vec<Vec<String>> = sources
            .sources
            .iter()
            .map(|source| {
                let scanned = source.scanned_at.map_or_else(|| "never".into(), |at| when::ago(at, now, &zone));
                let on = if source.on { "on" } else { "off" };
                vec![marks::plain(&source.id), on.into(), items(source.items), scanned, marks::plain(&source.about)]
            })
            .collect();
        table(shell, &["SOURCE", "", "HOLDS", "SCANNED", "WHAT IT IS"], &rows)?;
        Ok(Outcome::Done)
    }
}
