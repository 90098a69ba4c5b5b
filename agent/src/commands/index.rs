//! `hearth index`.

use std::path::PathBuf;

use clap::Args;

use super::{by_class, items, passages};
use crate::{
    ask::{Ask, Failure, FailureKind, Indexed},
    cli::{Ended, Outcome, Shell, Trouble, count, grouped, marks},
};

/// Capture files and folders now, and wait until they can be found by meaning
///
/// They are captured once, in a session named for this call; to keep watching folders use `hearth up`.
#[derive(Debug, Args)]
pub struct Index {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Capture files again that did not change
    #[arg(long)]
    again: bool,
}

impl Index {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let paths: Vec<PathBuf> = self.paths.iter().map(|path| shell.absolute(path)).collect();
        for path in &paths {
            if let Err(error) = path.symlink_metadata() {
                let said = format!("cannot index {}: {error}", marks::plain(&path.display().to_string()));
                return Err(Failure::new(FailureKind::NotFound, said).into());
            }
        }
        let busy = shell.busy("capturing");
        let indexed: Indexed = shell.ask(Ask::Index { paths, again: self.again })?;
        drop(busy);
        tell(shell, &indexed)
    }
}

/// Shows what was taken in.
pub(super) fn tell(shell: &mut Shell<'_>, indexed: &Indexed) -> Result<Outcome, Trouble> {
    if shell.json {
        shell.document(indexed)?;
        return Ok(Outcome::Done);
    }
    let total = indexed.seconds.get("total").copied();
    let took = total.map(|s| format!(" in {s:.1} s")).unwrap_or_default();
    shell.line(format!("{}, {}{took}", items(indexed.items), passages(indexed.chunks)))?;
    let hidden: u64 = indexed.redactions.values().sum();
    if hidden > 0 {
        shell.line(format!("hidden: {}", by_class(&indexed.redactions)))?;
    }
    if !indexed.skipped.is_empty() {
        shell.line(format!("left alone: {}", count(indexed.skipped.len() as u64, "path", "paths")))?;
        let (paint, width) = (shell.paint(), shell.width());
        for skipped in indexed.skipped.iter().take(10) {
            let path = marks::cut(&marks::plain(&skipped.path), width - 2);
            shell.line(format!("  {path}"))?;
            for line in marks::wrap(&[(false, &skipped.reason)], width - 4, 3) {
                let line: String = line.into_iter().map(|(_, part)| part).collect();
                shell.line(format!("    {}", paint.dim(&line)))?;
            }
        }
        if indexed.skipped.len() > 10 {
            let more = grouped(indexed.skipped.len() as u64 - 10);
            shell.line(
                paint.dim(&format!("  and {more} more; --json lists them all, `hearth why PATH` explains one")),
            )?;
        }
    }
    Ok(Outcome::Done)
}
