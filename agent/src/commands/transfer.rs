//! `hearth import` and `hearth export`: documents in and out as JSON lines.

use std::path::PathBuf;

use clap::Args;

use super::{index, items};
use crate::{
    ask::{Ask, Exported, Failure, FailureKind, Indexed},
    cli::{Ended, Outcome, Shell, Trouble, marks},
};

/// Take documents in from JSON lines
///
/// One {"id","title","text"} a line, the title optional. An id is kept as it is and comes back in hits.
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
        let busy = shell.busy("importing");
        let indexed: Indexed = shell.ask(Ask::Import { file })?;
        drop(busy);
        index::tell(shell, &indexed)
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
