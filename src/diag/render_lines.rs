//! The renderings of one line each: short, JSON and GitHub annotations. Leaves out pictures.

use std::borrow::Cow;

use serde::Serialize;

use crate::diag::render::{Batch, Place, clean};
use crate::diag::{Applicability, Diagnostic, Severity, SourceMap};

/// `file:line:column: error[P0101]: message`.
pub(super) fn short(batch: &Batch<'_>) -> String {
    let mut out = String::new();
    for item in batch.shown {
        let place = Place::of(item.primary.span, batch.sources);
        let message = item.message.replace('\n', " ");
        let line = format!(
            "{}:{}:{}: {}[{}]: {message}",
            place.file,
            place.line,
            place.column,
            item.severity.word(),
            item.code
        );
        out.push_str(&clean(&line));
        out.push('\n');
    }
    if let Some(note) = batch.hidden_note() {
        out.push_str(&note);
        out.push('\n');
    }
    out
}

/// A diagnostic in JSON; the fields and their order are part of the interface.
#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    code: &'a str,
    severity: &'a str,
    message: &'a str,
    file: Cow<'a, str>,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    help: Option<String>,
    related: Vec<JsonRelated<'a>>,
    fixes: Vec<JsonFix<'a>>,
}

#[derive(Serialize)]
struct JsonRelated<'a> {
    message: &'a str,
    file: Cow<'a, str>,
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct JsonFix<'a> {
    applicability: &'a str,
    edits: Vec<JsonEdit<'a>>,
}

#[derive(Serialize)]
struct JsonEdit<'a> {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    text: &'a str,
}

impl<'a> JsonDiagnostic<'a> {
    fn new(item: &'a Diagnostic, sources: &'a SourceMap) -> Self {
        let place = Place::of(item.primary.span, sources);
        let related = item.secondary.iter().map(|label| {
            let place = Place::of(label.span, sources);
            JsonRelated { message: &label.text, file: place.file, line: place.line, column: place.column }
        });
        // Edits have no file of their own: they are of the file of the diagnostic.
        let here = |fix: &&crate::diag::Fix| fix.edits.iter().all(|edit| edit.span.source == item.primary.span.source);
        let fixes = item.fixes.iter().filter(here).map(|fix| JsonFix {
            applicability: match fix.applicability {
                Applicability::MachineApplicable => "machine-applicable",
                Applicability::MaybeIncorrect => "maybe-incorrect",
            },
            edits: fix
                .edits
                .iter()
                .map(|edit| {
                    let Place { line, column, end_line, end_column, .. } = Place::of(edit.span, sources);
                    JsonEdit { line, column, end_line, end_column, text: &edit.text }
                })
                .collect(),
        });
        Self {
            code: item.code.as_str(),
            severity: item.severity.word(),
            message: &item.message,
            file: place.file,
            line: place.line,
            column: place.column,
            end_line: place.end_line,
            end_column: place.end_column,
            help: (!item.help.is_empty()).then(|| item.help.join("\n")),
            related: related.collect(),
            fixes: fixes.collect(),
        }
    }
}

/// One object a line. What is beyond the cap is told by a last note at the first place not shown.
pub(super) fn json(batch: &Batch<'_>) -> String {
    let mut out = String::new();
    let mut line = |item: &JsonDiagnostic<'_>| {
        out.push_str(&serde_json::to_string(item).expect("invariant: strings and numbers only"));
        out.push('\n');
    };
    for item in batch.shown {
        line(&JsonDiagnostic::new(item, batch.sources));
    }
    if let (Some(note), Some(first)) = (batch.hidden_note(), batch.hidden.first()) {
        let object = JsonDiagnostic::new(first, batch.sources);
        let (help, related, fixes) = (None, Vec::new(), Vec::new());
        line(&JsonDiagnostic { severity: Severity::Note.word(), message: &note, help, related, fixes, ..object });
    }
    out
}

/// Escapes the text of a workflow command.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// `::error file=…,line=…,col=…,endLine=…,endColumn=…,title=…::message`.
pub(super) fn github(batch: &Batch<'_>) -> String {
    let mut out = String::new();
    for item in batch.shown {
        let place = Place::of(item.primary.span, batch.sources);
        let command = match item.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut message = item.message.clone();
        for help in &item.help {
            message.push_str("\nhelp: ");
            message.push_str(help);
        }
        // GitHub takes columns only when the annotation stays on one line.
        let columns = if place.line == place.end_line {
            format!(",col={},endColumn={}", place.column, place.end_column.saturating_sub(1).max(place.column))
        } else {
            String::new()
        };
        out.push_str(&format!(
            "::{command} file={},line={},endLine={}{columns},title={}::{}\n",
            escape_property(&clean(&place.file)),
            place.line,
            place.end_line,
            escape_property(&format!("{} {}", item.code, item.code.info().title)),
            escape_data(&clean(&message)),
        ));
    }
    if let Some(note) = batch.hidden_note() {
        out.push_str(&format!("::notice::{}\n", escape_data(&note)));
    }
    out
}
