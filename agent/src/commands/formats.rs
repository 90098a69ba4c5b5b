//! `hearth formats`.

use clap::Args;

use super::table;
use crate::cli::{Ended, FormatLine, Outcome, Shell, marks};

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
        let (read, known): (Vec<FormatLine>, Vec<FormatLine>) =
            formats.into_iter().partition(|line| line.support != "not-read");
        let rows: Vec<Vec<String>> = read.into_iter().map(row).collect();
        table(shell, &["FORMAT", "READ", "ENDINGS, NAMES AND NOTES"], &rows)?;
        if !known.is_empty() {
            let names: Vec<String> = known.into_iter().map(|line| line.format).collect();
            shell.line("")?;
            for line in marks::lines(&format!("Known and left alone: {}", names.join(", ")), shell.width(), 40) {
                shell.line(line)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn row(line: FormatLine) -> Vec<String> {
    let endings = line.extensions.join(" ");
    // What is read as it stands needs no word more.
    let notes = if line.notes == "as it stands" { String::new() } else { format!(": {}", line.notes) };
    vec![line.format, line.support, endings + &notes]
}
