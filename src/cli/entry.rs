//! The entry: parses arguments, dispatches, and turns every end into an exit status. Leaves out
//! commands.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use clap::Parser;

use crate::base::{Environment, ErrorKind};
use crate::cli::args::{Cli, Global};
use crate::cli::commands;
use crate::cli::output::Output;
use crate::cli::progress::{JsonProgress, LogLines};
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
    if events {
        std::panic::set_hook(Box::new(|info| JsonProgress::aside(defect(info))));
    }
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
    let output = Output::new(&cli.global, &environment);
    if let Some(filter) = environment.get(Environment::LOG).and_then(|value| value.to_str()) {
        log(filter, &output);
    }
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

/// Starts the developer's log.
fn log(filter: &str, output: &Output) {
    let filter = match tracing_subscriber::EnvFilter::builder().parse(filter) {
        Ok(filter) => filter,
        Err(error) => return output.note(&format!("note: `{}` is no filter: {error}", Environment::LOG.name)),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    if output.events {
        log.without_time().with_ansi(false).with_writer(|| LogLines).init();
    } else {
        log.with_writer(std::io::stderr).init();
    }
}

/// What a panic says, as an event.
fn defect(info: &PanicHookInfo<'_>) -> Event {
    let why = info.payload_as_str().unwrap_or("it says no more");
    let place = info.location().map_or(String::new(), |place| format!(", at {place}"));
    Event::Reported {
        severity: Severity::Error,
        code: Error::Internal(String::new()).code(),
        text: format!("a defect of Partita: {why}{place}"),
        addr: None,
        place: None,
        help: None,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_is_an_event_where_events_are_asked_for() {
        let told: Arc<Mutex<Vec<Event>>> = Arc::default();
        let sink = Arc::clone(&told);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| sink.lock().unwrap().push(defect(info))));
        let caught = catch_unwind(|| panic!("seven is {}", 8));
        std::panic::set_hook(before);
        assert!(caught.is_err());
        let told = told.lock().unwrap();
        // Other tests of this process may panic on purpose meanwhile.
        let is_ours = |event: &&Event| matches!(event, Event::Reported { text, .. } if text.contains("seven is 8"));
        let Some(Event::Reported { code, text, .. }) = told.iter().find(is_ours) else { panic!("{told:?}") };
        assert_eq!(code, "internal");
        assert!(text.contains("entry.rs:"), "{text}");
    }
}
