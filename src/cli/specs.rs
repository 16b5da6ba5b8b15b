//! The commands that work on specs as texts: make, check, format, mend. Leaves out plans and runs.

use std::io::Read;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::{ErrorKind, Limits};
use crate::cli::args::FixArgs;
use crate::cli::commands::Status8;
use crate::cli::output::Output;
use crate::diag::Severity;
use crate::ops::{self, Error, FixRequest, Locations, RunContext, TestRequest};

pub(super) fn init(locations: &Locations, dir: &Path, output: &Output) -> Status8 {
    let file = ops::init(locations, dir)?;
    output.note(&format!("made {}", file.display()));
    output.note("it says at its top what to try next");
    output.text_or("", || json!({"made": file}));
    Ok(0)
}

pub(super) fn check(locations: &Locations, files: &[PathBuf], output: &Output) -> Status8 {
    // As for a workspace: the process ends after this.
    let compiled = ManuallyDrop::new(ops::check(locations, files)?);
    output.diagnostics(&compiled.diagnostics, &compiled.program.sources);
    output.text_or("", || {
        let count = |severity| compiled.diagnostics.count(severity);
        json!({"errors": count(Severity::Error), "warnings": count(Severity::Warning)})
    });
    if output.terminal && compiled.diagnostics.is_empty() {
        let own = compiled.program.files.iter().filter(|file| !file.path.starts_with('<')).count();
        let graphs = compiled.program.root_graphs().len();
        output.note(&format!("ok: {}, {}", counted(own, "file"), counted(graphs, "graph")));
    }
    Ok(if compiled.diagnostics.has_errors() { ErrorKind::Spec.exit_status() } else { 0 })
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let end = if what.ends_with('x') { "es" } else { "s" };
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}{end}") }
}

pub(super) fn fmt(locations: &Locations, files: &[PathBuf], check: bool, diff: bool, output: &Output) -> Status8 {
    if let [only] = files
        && only == Path::new("-")
    {
        let mut text = String::new();
        let limit = Limits::SPEC_BYTES as u64 + 1;
        std::io::stdin().take(limit).read_to_string(&mut text).map_err(Error::io("read", "standard input"))?;
        if text.len() > Limits::SPEC_BYTES {
            return Err(Error::usage("standard input is larger than 4 MiB"));
        }
        return match ops::format_text("<stdin>", &text) {
            Ok(formatted) => {
                if diff {
                    output.data(&ops::unified("<stdin>", &text, &formatted));
                } else if !check {
                    output.data(&formatted);
                }
                Ok(if check && formatted != text { ErrorKind::CheckFailed.exit_status() } else { 0 })
            }
            Err((diagnostics, sources)) => {
                output.diagnostics(&diagnostics, &sources);
                Err(Error::Spec)
            }
        };
    }
    let write = !check && !diff;
    let formatted = ops::format_files(locations, files, write)?;
    for file in &formatted.changed {
        output.note(&format!("{} {}", if write { "formatted" } else { "not formatted:" }, file.display()));
    }
    let text = if diff { formatted.diff.as_str() } else { "" };
    output.text_or(text, || json!({"changed": formatted.changed, "written": write}));
    if formatted.diagnostics.has_errors() {
        output.diagnostics(&formatted.diagnostics, &formatted.sources);
        return Err(Error::Spec);
    }
    Ok(if check && !formatted.changed.is_empty() { ErrorKind::CheckFailed.exit_status() } else { 0 })
}

pub(super) fn fix(locations: &Locations, args: &FixArgs, output: &Output) -> Status8 {
    let write = !args.check && !args.diff;
    let reply = ops::fix_files(locations, &FixRequest { files: args.files.clone(), kdl1: args.kdl1, write })?;
    for file in &reply.files {
        let mut codes: Vec<&str> = file.codes.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        let word = if write { "mended" } else { "can be mended:" };
        output.note(&format!("{word} {}: {} by {}", file.path, counted(file.codes.len(), "fix"), codes.join(", ")));
    }
    let diff: String = reply.files.iter().map(|file| file.diff.as_str()).collect();
    output.text_or(if args.diff { &diff } else { "" }, || {
        let files = reply.files.iter().map(|file| {
            let codes: Vec<&str> = file.codes.iter().map(|code| code.as_str()).collect();
            json!({"file": file.path, "codes": codes, "diff": file.diff})
        });
        json!({"fixed": files.collect::<Vec<_>>(), "written": write})
    });
    if reply.files.is_empty() {
        output.note("nothing can be mended safely");
    }
    let left = &reply.compiled;
    if left.diagnostics.has_errors() {
        output.diagnostics(&left.diagnostics, &left.program.sources);
        return Ok(ErrorKind::Spec.exit_status());
    }
    Ok(if args.check && !reply.files.is_empty() { ErrorKind::CheckFailed.exit_status() } else { 0 })
}

/// The status when plans were written and nothing failed: someone has to look at them.
const WRITTEN: u8 = 10;

pub(super) fn test(
    locations: &Locations,
    filter: &str,
    update: bool,
    junit: Option<&Path>,
    context: &RunContext,
    output: &Output,
) -> Status8 {
    let reply = ops::test(locations, &TestRequest { filter: filter.to_owned(), update }, context)?;
    let sources = &reply.compiled.program.sources;
    output.diagnostics(&reply.diagnostics, sources);
    if let Some(file) = junit {
        // Who reads it must not find the report of an earlier run.
        let path = locations.current.join(file);
        std::fs::write(&path, ops::junit(&reply)).map_err(Error::io("write", &path))?;
    }
    if reply.compiled.diagnostics.has_errors() {
        return Err(Error::Spec);
    }
    for path in &reply.written {
        output.note(&format!("written: {path}"));
    }
    let failed = reply.failed();
    output.text_or("", || {
        let tests = reply.tests.iter().map(|test| {
            let failures = test.failures.iter().map(|failure| {
                json!({"code": failure.code.as_str(), "message": failure.message, "place": sources.place(failure.primary.span)})
            });
            json!({
                "name": test.name, "file": test.file, "passed": test.failures.is_empty(),
                "expectations": test.expectations, "failures": failures.collect::<Vec<_>>(),
            })
        });
        json!({
            "passed": reply.tests.len() - failed, "failed": failed, "written": reply.written,
            "tests": tests.collect::<Vec<_>>(),
        })
    });
    let word = if reply.tests.len() == 1 { "test" } else { "tests" };
    output.note(&format!("{} {word}: {} passed, {failed} failed", reply.tests.len(), reply.tests.len() - failed));
    Ok(match (failed, reply.written.is_empty()) {
        (0, true) => 0,
        (0, false) => WRITTEN,
        _ => ErrorKind::CheckFailed.exit_status(),
    })
}
