//! `hearth stop`.

use std::time::{Duration, Instant};

use clap::Args;

use crate::{
    ask::{Ask, Failure, FailureKind, Stopping},
    cli::{Ended, Outcome, Shell},
    client::Client,
};

/// How long a daemon may take to end.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Stop the daemon, and wait until it has ended
#[derive(Debug, Args)]
pub struct Stop {}

impl Stop {
    /// Orders it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let Some(stopping) = shell.ask_daemon::<Stopping>(Ask::Stop)? else {
            return Err(Failure::new(FailureKind::NotFound, "no daemon runs on this data folder").into());
        };
        let begun = Instant::now();
        let data = shell.data()?;
        while Client::connect(&data)?.is_some() {
            if begun.elapsed() > STOP_MAX {
                return Err(
                    Failure::new(FailureKind::Busy, "the daemon is still ending; look again in a moment").into()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if shell.json {
            shell.document(&stopping)?;
        } else {
            shell.line("stopped")?;
        }
        Ok(Outcome::Done)
    }
}
