//! `hearth index`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::{by_class, items, passages};
use crate::{
    ask::{Ask, Failure, FailureKind, Indexed, Skipped},
    cli::{Ended, Outcome, Shell, Trouble, count, grouped, marks},
};

/// So much is shown of what was passed over: lines of an import; reasons, and paths of each.
const LINES_MAX: usize = 20;
const REASONS_MAX: usize = 6;
const PATHS_MAX: usize = 3;

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
        let indexed: Indexed = shell.ask_watched("capturing", Ask::Index { paths, again: self.again })?;
        tell(shell, &indexed, "left alone", "path", "paths")?;
        Ok(Outcome::Done)
    }
}

/// Shows what was taken in, and what was passed over as what.
pub(super) fn tell(
    shell: &mut Shell<'_>,
    indexed: &Indexed,
    passed: &str,
    one: &str,
    many: &str,
) -> Result<(), Trouble> {
    if shell.json {
        return Ok(shell.document(indexed)?);
    }
    let total = indexed.seconds.get("total").copied();
    let took = total.map(|s| format!(" in {s:.1} s")).unwrap_or_default();
    shell.line(format!("{}, {}{took}", items(indexed.items), passages(indexed.chunks)))?;
    let hidden: u64 = indexed.redactions.values().sum();
    if hidden > 0 {
        shell.line(format!("hidden: {}", by_class(&indexed.redactions)))?;
    }
    if indexed.skipped.is_empty() {
        return Ok(());
    }
    shell.line(format!("{passed}: {}", count(indexed.skipped.len() as u64, one, many)))?;
    let (paint, width) = (shell.paint(), shell.width());
    let mut left = indexed.skipped.len();
    if one == "line" {
        for skipped in indexed.skipped.iter().take(LINES_MAX) {
            for line in marks::lines(&format!("{}: {}", skipped.path, skipped.reason), width - 2, 3) {
                shell.line(format!("  {line}"))?;
            }
            left -= 1;
        }
    }
    for (reason, paths) in by_reason(&indexed.skipped).into_iter().take(if one == "line" { 0 } else { REASONS_MAX }) {
        for line in marks::lines(reason, width - 2, 3) {
            shell.line(format!("  {}", paint.dim(&line)))?;
        }
        for path in paths.iter().take(PATHS_MAX) {
            shell.line(format!("    {}", marks::cut(&marks::plain(path), width - 4)))?;
            left -= 1;
        }
        if paths.len() > PATHS_MAX {
            let more = (paths.len() - PATHS_MAX) as u64;
            shell.line(format!("    {}", paint.dim(&format!("and {} more", grouped(more)))))?;
        }
    }
    if left > 0 {
        let explained = if one == "path" { "; `hearth why PATH` explains one" } else { "" };
        shell.line(paint.dim(&format!("  --json lists all {}{explained}", grouped(indexed.skipped.len() as u64))))?;
    }
    Ok(())
}

/// Reasons with what each kept out, the most frequent first.
fn by_reason(skipped: &[Skipped]) -> Vec<(&str, Vec<&str>)> {
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Skipped { path, reason } in skipped {
        paths.entry(reason).or_default().push(path);
    }
    let mut reasons: Vec<_> = paths.into_iter().collect();
    reasons.sort_by_key(|(_, paths)| std::cmp::Reverse(paths.len()));
    reasons
}
