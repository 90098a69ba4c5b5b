//! `hearth features`.

use clap::Args;

use crate::cli::{Ended, Outcome, Shell, marks};

/// Say what this build and this machine can do, and why not the rest
#[derive(Debug, Args)]
pub struct Features {}

impl Features {
    /// Shows them.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let config = shell.config()?.clone();
        let features = shell.agent.features(&config);
        if shell.json {
            shell.document(&features)?;
            return Ok(Outcome::Done);
        }
        let (paint, width) = (shell.paint(), shell.width());
        for feature in &features {
            let sign = if feature.on { paint.good("on ") } else { paint.dim("off") };
            shell.line(format!("{sign}  {}", paint.bold(&marks::plain(&feature.name))))?;
            for line in marks::lines(&feature.why, width - 5, 8) {
                shell.line(format!("     {}", paint.dim(&line)))?;
            }
        }
        Ok(Outcome::Done)
    }
}
