//! The `hearth` command and daemon.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hearth_agent::os::keep_little_memory();
    hearth_agent::cli::main(&hearth_agent::machine::Machine)
}
