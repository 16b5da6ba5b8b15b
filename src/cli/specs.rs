//! The commands that work on specs as texts: make, check, format, mend. Leaves out plans and runs.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::{ErrorKind, Limits};
use crate::cli::args::FixArgs;
use crate::cli::commands::Status8;
use crate::cli::output::Output;
use crate::diag::Severity;
use crate::ops::{self, Error, FixRequest, Locations};

pub(super) fn init(locations: &Locations, dir: &Path, output: &Output) -> Status8 {
    let file = ops::init(locations, dir)?;
    output.note(&format!("made {}", file.display()));
    output.note("it says at its top what to try next");
    output.text_or("", || json!({"made": file}));
    Ok(0)
}

pub(super) fn check(locations: &Locations, files: &[PathBuf], output: &Output) -> Status8 {
    let compiled = ops::check(locations, files)?;
    output.diagnostics(&compiled.diagnostics, &compiled.program.sources);
    output.text_or("", || {
        let count = |severity| compiled.diagnostics.count(severity);
        json!({"errors": count(Severity::Error), "warnings": count(Severity::Warning)})
    });
    Ok(if compiled.diagnostics.has_errors() { ErrorKind::Spec.exit_status() } else { 0 })
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
        output.note(&format!("{word} {}: {} by {}", file.path, count(file.codes.len()), codes.join(", ")));
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

fn count(fixes: usize) -> String {
    if fixes == 1 { "1 fix".to_owned() } else { format!("{fixes} fixes") }
}
