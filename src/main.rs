//! The `partita` binary: hands its arguments to the command line and exits with its status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(partita::cli::main(std::env::args_os()))
}
