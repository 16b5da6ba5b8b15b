//! How an attempt is judged by the way its process ended, and what a failure says: what happened, the end of
//! what was printed, and what to declare. Leaves out running it, and its outputs.

use std::path::Path;

use rustix::process::Signal;
use walkdir::WalkDir;

use crate::base::format_bytes;
use crate::exec::bounds::{Bounds, Breach};
use crate::exec::capture::{tail_of, tails_of};
use crate::exec::due::Bound;
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::ports::{End, Ended};
use crate::exec::process::is_for_want_of_resources;
use crate::exec::undeclared::{self, Seen};

/// Whether a process ended well.
/// `bound`: the time it was given.
pub(super) fn judge(
    ended: &Ended,
    argv0: &str,
    program: &Path,
    bound: Option<&Bound>,
    bounds: Bounds,
    root: &Path,
) -> Result<(), Trouble> {
    let fail = |class, what: String| {
        let tail = tails_of(&ended.stdout, &ended.stderr);
        let text = if tail.is_empty() { what } else { format!("{what}\n{tail}") };
        Err(Failure::new(class, text).into())
    };
    if ended.survivors > 0 {
        let count = ended.survivors;
        return fail(FailureClass::Unkillable, format!("`{argv0}` left {count} processes that cannot be killed"));
    }
    match &ended.end {
        End::Exited(0) => Ok(()),
        End::Exited(code) if bounds.file_bytes.is_some_and(|most| was_cut(root, most)) => {
            let most = format_bytes(bounds.file_bytes.unwrap_or_default());
            fail(
                FailureClass::Limit,
                format!("`{argv0}` wrote a file of more than {most}, was refused, and exited with {code}"),
            )
        }
        End::Exited(code) => {
            fail(FailureClass::Exit(*code), format!("`{argv0}` exited with status {code}")).map_err(|trouble| {
                match trouble {
                    Trouble::Fail(failure) if *code == NOT_FOUND => {
                        let help = not_found(&ended.stderr);
                        Trouble::Fail(Failure { text: format!("{}\nhelp: {help}", failure.text), ..failure })
                    }
                    other => other,
                }
            })
        }
        End::Signalled(signal) if *signal == Signal::XFSZ.as_raw() => {
            let most = bounds.file_bytes.map_or_else(|| "what one may have".to_owned(), format_bytes);
            fail(FailureClass::Limit, format!("`{argv0}` wrote a file of more than {most} and was killed"))
        }
        End::Exceeded(Breach::Memory) => {
            let most = format_bytes(bounds.memory.unwrap_or_default());
            fail(FailureClass::Limit, format!("`{argv0}` used more memory than its limit of {most} and was killed"))
        }
        End::Exceeded(Breach::Processes) => {
            let most = bounds.processes.unwrap_or_default();
            let what = format!("`{argv0}` had more processes and threads than its limit of {most} and was killed");
            fail(FailureClass::Limit, what)
        }
        End::Exceeded(breach @ (Breach::Bytes(_) | Breach::Files(_))) => {
            fail(FailureClass::Limit, held_too_much(argv0, *breach, bounds, ["had", ", and was killed"]))
        }
        End::Signalled(signal) => {
            fail(FailureClass::Signal(*signal), format!("`{argv0}` was ended by signal {signal}"))
        }
        End::TimedOut => {
            let told = bound.map_or_else(|| format!("`{argv0}` took too long"), |bound| bound.struck(argv0));
            fail(FailureClass::Timeout, told)
        }
        End::WantsTerminal => {
            let what = format!(
                "`{argv0}` asked the terminal for input and was killed: actions have no terminal; give what it asks \
                 for in a file or a variable"
            );
            fail(FailureClass::Terminal, what)
        }
        End::Cancelled => Err(Trouble::Cancelled),
        End::NotStarted(error) => {
            let resources = is_for_want_of_resources(error);
            let what = format!("cannot start `{}`: {error}", program.display());
            fail(FailureClass::Start { resources }, what)
        }
        End::Unknown(error) => {
            fail(FailureClass::Unknown, format!("`{argv0}` was started, and how it ended is not known: {error}"))
        }
    }
}

/// What is said of a program whose folders hold too much; `done`: what it did with that, and what became of it.
pub(super) fn held_too_much(argv0: &str, breach: Breach, bounds: Bounds, [had, end]: [&str; 2]) -> String {
    let folders = bounds.folders.unwrap_or_default();
    let (held, most, limit) = match breach {
        Breach::Bytes(held) => (format_bytes(held), folders.bytes.map(format_bytes), "output"),
        Breach::Files(held) => (format!("{held} files"), folders.files.map(|most| most.to_string()), "files"),
        Breach::Processes | Breach::Memory => return format!("`{argv0}` used too much{end}"),
    };
    format!(
        "`{argv0}` {had} {held} in its folders, more than its limit of {}{end}\nhelp: `limits {limit}=` bounds all that it \
         holds beyond its inputs: outputs, `TMPDIR`, `HOME`, and files that are deleted but still open",
        most.unwrap_or_default()
    )
}

/// Whether below a folder lies a file that was refused more than a bound: it has one byte more than that, where the
/// kernel stopped it.
fn was_cut(root: &Path, most: u64) -> bool {
    let mut files = WalkDir::new(root).sort_by_file_name().into_iter().filter_map(Result::ok);
    files.any(|entry| {
        entry.file_type().is_file() && entry.metadata().is_ok_and(|meta| meta.len() == most.saturating_add(1))
    })
}

/// Whether a failure says already to name the tool that a line is about.
fn is_told(text: &str, line: &str) -> bool {
    let name = line.split("as `tools ").nth(1).and_then(|rest| rest.split('`').next());
    name.is_some_and(|name| text.contains(&format!("`tools {name}`")))
}

/// Adds what the process missed for want of a declaration, as far as it said so.
pub(super) fn with_help(trouble: Trouble, addr: &str, stderr: &[u8], seen: &Seen<'_>) -> Trouble {
    let Trouble::Fail(mut failure) = trouble else { return trouble };
    if matches!(failure.class, FailureClass::Exit(_) | FailureClass::Signal(_)) {
        add_help(&mut failure, undeclared::help(addr, stderr, seen));
    }
    Trouble::Fail(failure)
}

/// Adds lines of help that do not repeat what is said already.
pub(super) fn add_help(failure: &mut Failure, lines: Vec<String>) {
    for line in lines {
        if !is_told(&failure.text, &line) {
            failure.text.push('\n');
            failure.text.push_str(&line);
        }
    }
}

/// The status by which shells and `env` say that there is no such command.
const NOT_FOUND: i32 = 127;

/// What to write where a command was not found. Shells end the line with the name and `not found`.
fn not_found(stderr: &[u8]) -> String {
    let said = tail_of(stderr);
    let named = said.lines().rev().find_map(|line| {
        let before = line.strip_suffix("not found")?.trim_end().trim_end_matches("command").trim_end();
        let name = before.strip_suffix(':')?.rsplit(": ").next()?.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
    });
    let only = "`PATH` holds the tools that the action names, with those they use, and no others";
    match named {
        Some(name) => format!("{only}: write `tools {name}` in it, and declare `tool {name} {{ exec {name} }}`"),
        None => format!("{only}: name what is missing by `tools`, and declare it by `tool`"),
    }
}

/// Adds the end of what it printed to a failure about outputs: it often tells why.
pub(super) fn with_tail(trouble: Trouble, ended: &Ended) -> Trouble {
    let tail = tails_of(&ended.stdout, &ended.stderr);
    match trouble {
        Trouble::Fail(failure) if !tail.is_empty() => {
            Trouble::Fail(Failure { text: format!("{}\n{tail}", failure.text), ..failure })
        }
        other => other,
    }
}
