//! `hearth identity`.

use clap::Args;

use crate::cli::{Ended, Outcome, Shell};

/// Show who this node is: its id and its public key
///
/// Ends with 3 when there is no data folder yet.
#[derive(Debug, Args)]
pub struct IdentityCommand {
    /// Make the data folder and its keys when there are none, to have a coordinator trust the node before it first runs
    #[arg(long)]
    make: bool,
}

impl IdentityCommand {
    /// Shows it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let identity = shell.agent.identity(&shell.data()?, self.make)?;
        if shell.json {
            shell.document(&identity)?;
        } else {
            let paint = shell.paint();
            shell.line(format!("{}{}", paint.dim("node  "), identity.node))?;
            shell.line(format!("{}{}", paint.dim("key   "), identity.device_key))?;
        }
        Ok(Outcome::Done)
    }
}
