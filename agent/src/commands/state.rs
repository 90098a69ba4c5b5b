//! `hearth state`.

use clap::{Args, Subcommand};

use crate::{
    ask::{Ask, Rebuilt},
    cli::{Ended, Outcome, Shell, count},
};

/// Care for what is derived from the log
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct StateCommand {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Throw away what is derived and make it anew from the log
    ///
    /// Nothing captured is lost: the log is the truth.
    Rebuild,
}

impl StateCommand {
    /// Orders it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let Order::Rebuild = self.order;
        let busy = shell.busy("rebuilding");
        let rebuilt: Rebuilt = shell.ask(Ask::Rebuild)?;
        drop(busy);
        if shell.json {
            shell.document(&rebuilt)?;
        } else {
            let said = (count(rebuilt.documents, "document", "documents"), count(rebuilt.vectors, "vector", "vectors"));
            shell.line(format!("{} and {} read back in {:.1} s", said.0, said.1, rebuilt.seconds))?;
        }
        Ok(Outcome::Done)
    }
}
