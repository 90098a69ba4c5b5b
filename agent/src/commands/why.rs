//! `hearth why`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    ask::{Ask, Why as Answer},
    cli::{Ended, Outcome, Shell, marks},
};

/// Explain why a path is captured or left alone
#[derive(Debug, Args)]
pub struct Why {
    /// A file or a folder
    path: PathBuf,
}

impl Why {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let path = shell.absolute(&self.path);
        let why: Answer = shell.ask(Ask::Why { path })?;
        if shell.json {
            shell.document(&why)?;
            return Ok(Outcome::Done);
        }
        let (paint, width) = (shell.paint(), shell.width());
        let verdict = match why.verdict.as_str() {
            "captured" => paint.good("captured"),
            "skipped" => paint.notice("left alone"),
            other => marks::plain(other),
        };
        shell.line(format!("{}  {verdict}", paint.bold(&marks::plain(&why.path))))?;
        for sentence in &why.because {
            for (n, line) in marks::lines(sentence, width - 4, 8).into_iter().enumerate() {
                shell.line(format!("  {} {line}", if n == 0 { "-" } else { " " }))?;
            }
        }
        if let Some(item) = &why.item {
            shell.line(format!("  {}", paint.dim(&format!("{}, {}", item.id, super::passages(item.chunks.into())))))?;
        }
        Ok(Outcome::Done)
    }
}
