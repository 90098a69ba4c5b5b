//! `hearth import` and `hearth export`: documents in and out as JSON lines.

use std::path::PathBuf;

use clap::Args;

use super::{index, items};
use crate::{
    ask::{Ask, Exported, Failure, FailureKind, Indexed},
    cli::{Ended, Outcome, Shell, Trouble, count, marks},
};

/// Take documents in from JSON lines
///
/// One {"id","title","text"} a line, the title optional. An id is kept as it is and comes back in hits; of lines with one
/// id the last counts. A line that cannot be taken is named, the others are taken, and it ends with 1.
#[derive(Debug, Args)]
pub struct Import {
    /// The file
    #[arg(value_name = "FILE.jsonl")]
    file: PathBuf,
}

impl Import {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let file = shell.absolute(&self.file);
        if let Err(error) = std::fs::File::open(&file) {
            let said = format!("cannot import {}: {error}", marks::plain(&file.display().to_string()));
            return Err(Failure::new(FailureKind::NotFound, said).into());
        }
        let indexed: Indexed = shell.ask_watched("importing", Ask::Import { file })?;
        index::tell(shell, &indexed, "not imported", "line", "lines")?;
        if indexed.skipped.is_empty() {
            return Ok(Outcome::Done);
        }
        let lines = count(indexed.skipped.len() as u64, "line was", "lines were");
        shell.notice(&format!(
            "{lines} not imported; mend the file and import it again, what is in already stays as it is"
        ));
        Ok(Outcome::Amiss)
    }
}

/// Write every item out as JSON lines
///
/// The file is readable text: whoever gets it can read what was captured. What was hidden stays hidden.
#[derive(Debug, Args)]
pub struct Export {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE.jsonl")]
    file: PathBuf,
}

impl Export {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let file = shell.absolute(&self.file);
        if file.symlink_metadata().is_ok() {
            return Err(Trouble::usage(format!(
                "{} is there already; name a file that is not",
                marks::plain(&file.display().to_string())
            )));
        }
        let busy = shell.busy("exporting");
        let exported: Exported = shell.ask(Ask::Export { file })?;
        drop(busy);
        if shell.json {
            shell.document(&exported)?;
        } else {
            shell.line(format!("{} written", items(exported.items)))?;
        }
        Ok(Outcome::Done)
    }
}
