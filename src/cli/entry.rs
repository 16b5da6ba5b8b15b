//! The entry: parses arguments, dispatches, and turns every end into an exit status. Leaves out
//! commands.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::Parser;

use crate::base::{Environment, ErrorKind};
use crate::cli::args::{Cli, Global};
use crate::cli::commands;
use crate::cli::output::Output;
use crate::cli::progress::JsonProgress;
use crate::diag::{Level, Levels};
use crate::event::{Event, Severity};
use crate::ops::{Error, Locations};

/// Runs a command line to its exit status. A panic is a defect of ours and ends with 70.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    catch_unwind(AssertUnwindSafe(|| dispatch(args))).unwrap_or_else(|_| ErrorKind::Internal.exit_status())
}

fn dispatch(args: Vec<OsString>) -> u8 {
    let events = asks_for_events(&args);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are answers, everything else is a usage error.
            let status = if error.use_stderr() { ErrorKind::Usage.exit_status() } else { 0 };
            if error.use_stderr() && events {
                JsonProgress::tell(Event::Reported {
                    severity: Severity::Error,
                    code: Error::usage("").code(),
                    text: error.render().to_string().trim().to_owned(),
                    addr: None,
                    place: None,
                    help: None,
                });
            } else {
                let _ = error.print();
            }
            return status;
        }
    };
    let environment = Environment::of_process();
    if let Some(filter) = environment.get(Environment::LOG).and_then(|value| value.to_str()) {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let output = Output::new(&cli.global, &environment);
    let is_ci = environment.get(Environment::CI).is_some();
    let result = current_dir().and_then(|current| {
        let locations = Locations {
            levels: levels(&cli.global)?,
            workspace: cli.global.workspace.clone(),
            store: cli.global.store.clone(),
            state: cli.global.state.clone(),
            out: None,
            tenant: cli.global.tenant.clone(),
            current,
            locked: cli.global.locked.unwrap_or(is_ci),
            offline: cli.global.offline.unwrap_or(is_ci),
            environment,
        };
        commands::run(&cli, locations, &output)
    });
    let status = match result {
        Ok(status) => status,
        Err(error) => {
            // Specs that are wrong have been reported as diagnostics, which say it better.
            if !matches!(error, Error::Spec) || output.json {
                output.error(&error);
            }
            error.kind().exit_status()
        }
    };
    output.finish(status)
}

/// Whether arguments that may be none ask for events: their reader finds nothing else in the stream.
fn asks_for_events(args: &[OsString]) -> bool {
    let own = args.split(|arg| arg == "--").next().unwrap_or_default();
    own.windows(2).any(|pair| pair[0] == "--progress" && pair[1] == "json")
        || own.iter().any(|arg| arg == "--progress=json")
}

/// The levels of warnings that were asked for.
fn levels(global: &Global) -> Result<Levels, Error> {
    let mut levels = Levels::default();
    for (names, level) in [(&global.allow, Level::Allow), (&global.warn, Level::Warn), (&global.deny, Level::Deny)] {
        for name in names {
            levels.set(name, level).map_err(|error| Error::usage_help(error.to_string(), error.help()))?;
        }
    }
    Ok(levels)
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks where the process was started")]
fn current_dir() -> Result<std::path::PathBuf, Error> {
    std::env::current_dir().map_err(Error::io("find the current directory", "."))
}
