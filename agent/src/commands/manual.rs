//! `hearth completions` and `hearth man`: what packages ship beside the program.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{self, Ended, Outcome, Shell, Trouble};

/// Print completions for a shell
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints them.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let mut out = Vec::new();
        clap_complete::generate(self.shell, &mut cli::command(), "hearth", &mut out);
        shell.out.write_all(&out)?;
        Ok(Outcome::Done)
    }
}

/// Print the manual page, or write the pages of all commands
#[derive(Debug, Args)]
pub struct Man {
    /// Write hearth.1, hearth-search.1, … into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    /// Prints or writes it.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let mut command = cli::command();
        command.build();
        match self.out {
            None => clap_mangen::Man::new(command).render(&mut shell.out)?,
            Some(folder) => {
                let folder = shell.absolute(&folder);
                write_all(&command, "hearth", &folder).map_err(|error| {
                    Trouble::failed(format!("cannot write the pages into {}: {error}", folder.display()))
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// A page for the command and one for each below it.
fn write_all(command: &clap::Command, name: &str, folder: &Path) -> std::io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_all(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}
