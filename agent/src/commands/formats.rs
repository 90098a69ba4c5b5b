//! `hearth formats`.

use clap::Args;

use super::table;
use crate::cli::{Ended, Outcome, Shell};

/// List the formats that are read
#[derive(Debug, Args)]
pub struct Formats {}

impl Formats {
    /// Shows them.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let formats = shell.agent.formats();
        if shell.json {
            shell.document(&formats)?;
            return Ok(Outcome::Done);
        }
        let rows: Vec<Vec<String>> = formats
            .into_iter()
            .map(|line| {
                let endings = if line.extensions.len() > 6 {
                    format!("{} …", line.extensions[..6].join(" "))
                } else {
                    line.extensions.join(" ")
                };
                vec![line.format, line.support, endings, line.notes]
            })
            .collect();
        table(shell, &["FORMAT", "READ", "ENDINGS", "NOTES"], &rows)?;
        Ok(Outcome::Done)
    }
}
