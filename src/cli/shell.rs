//! `partita shell`: says what is opened, opens it, and ends as what was started there ended. Leaves out
//! the sandbox.

use std::io::Write as _;
use std::sync::Arc;

use crate::cli::args::{Cli, IsolationArg, RunOptions as RunArgs};
use crate::cli::commands::{Status8, with_workspace};
use crate::cli::output::Output;
use crate::cli::progress::{JsonProgress, PlainProgress};
use crate::cli::running::{context, options, params};
use crate::event::Event;
use crate::ops::{self, Locations, ShellReply, Visit};

pub(super) fn shell(
    cli: &Cli,
    locations: &Locations,
    addr: &str,
    command: &[String],
    isolation: Option<IsolationArg>,
    output: &Output,
) -> Status8 {
    let args = RunArgs { isolation, ..RunArgs::default() };
    let options = options(cli, locations, &args, false)?;
    // A view that moves would write into the terminal that is handed over.
    let mut context = context(cli, locations, output)?;
    if !output.events {
        context.sink = Arc::new(PlainProgress::new(output.color));
    }
    let params = params(cli)?;
    let (is_shell, events) = (command.is_empty(), output.events);
    let announce = move |visit: &Visit| {
        if is_shell && events {
            JsonProgress::tell(Event::Notice { text: opened(visit) });
        } else if is_shell {
            let _ = writeln!(std::io::stderr().lock(), "{}", opened(visit));
        }
    };
    with_workspace(locations, output, |workspace| {
        match ops::shell(workspace, addr, command, &params, &options, &context, Arc::new(announce))? {
            ShellReply::Ended(status) => Ok(u8::try_from(status).unwrap_or(u8::MAX)),
            ShellReply::Failed(reply) => {
                for failed in &reply.failures {
                    output.failure(failed, false);
                }
                Ok(reply.error().map_or(1, |error| error.kind().exit_status()))
            }
        }
    })
}

/// What somebody who is let in should know.
fn opened(visit: &Visit) -> String {
    let words: Vec<String> = visit.command.iter().map(|word| shown(word)).collect();
    format!(
        "in the sandbox of {} (isolation {}), in {}; what is done here is kept nowhere\nits command: {}",
        visit.addr,
        visit.isolation.word(),
        visit.cwd.display(),
        words.join(" ")
    )
}

/// A word as a shell takes it.
pub(super) fn shown(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shown("a/b-1.txt"), "a/b-1.txt");
        assert_eq!(shown("it's $x"), "'it'\\''s $x'");
        assert_eq!(shown(""), "''");
    }
}
