//! The `partita` binary: hands its arguments to the command line and exits with its status.

use std::process::ExitCode;

// A compilation makes many small things: with the C library's allocator a third of its time goes into them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The sandbox is made by this program, started again.
    if let Some(status) = partita::exec::sandbox_entry(std::env::args_os()) {
        return ExitCode::from(status);
    }
    ExitCode::from(partita::cli::main(std::env::args_os()))
}
