//! `hearth doctor`.

use clap::Args;

use crate::{
    ask::{Ask, Checked},
    cli::{Ended, Outcome, Shell, marks},
};

/// Check every part of the data folder
///
/// Ends with 1 when something is not in order, and says what to do.
#[derive(Debug, Args)]
pub struct Doctor {}

impl Doctor {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let busy = shell.busy("checking");
        let checked: Checked = shell.ask(Ask::Doctor)?;
        drop(busy);
        if shell.json {
            shell.document(&checked)?;
        } else {
            let (paint, width) = (shell.paint(), shell.width());
            for check in &checked.checks {
                let sign = if check.ok { paint.good("✓") } else { paint.bad("✗") };
                shell.line(format!("{sign} {}", paint.bold(&marks::plain(&check.name))))?;
                for line in marks::lines(&check.says, width - 2, 12) {
                    shell.line(format!("  {}", if check.ok { paint.dim(&line) } else { line }))?;
                }
            }
        }
        Ok(if checked.checks.iter().all(|check| check.ok) { Outcome::Done } else { Outcome::Amiss })
    }
}
