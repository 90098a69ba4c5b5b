//! `hearth identity`.

use clap::Args;

use crate::cli::{Ended, Outcome, Shell};

/// Show who this node is: its id and its public key
#[derive(Debug, Args)]
pub struct IdentityCommand {}

impl IdentityCommand {
    /// Shows it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let identity = shell.agent.identity(&shell.data()?)?;
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
