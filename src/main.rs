//! The `partita` binary: hands its arguments to the command line and exits with its status.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The sandbox is made by this program, started again.
    if let Some(status) = partita::exec::sandbox_entry(std::env::args_os()) {
        return ExitCode::from(status);
    }
    ExitCode::from(partita::cli::main(std::env::args_os()))
}
