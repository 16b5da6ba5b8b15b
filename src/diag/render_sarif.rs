//! SARIF 2.1.0: one log with one run, its rules from the registry. Leaves out everything that the
//! code-scanning services ignore.
//!
//! Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.

use serde_json::{Value, json};

use crate::diag::render::{Batch, Place};
use crate::diag::{Applicability, Code, Diagnostic, Severity, SourceMap, Span};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

/// One log with all that is shown.
pub(super) fn render(batch: &Batch<'_>) -> String {
    let mut rules: Vec<Code> = batch.shown.iter().map(|item| item.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<_> = batch.shown.iter().map(|item| result(item, &rules, batch.sources)).collect();
    let notes: Vec<_> =
        batch.hidden_note().into_iter().map(|note| json!({ "level": "note", "message": { "text": note } })).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "partita",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            } },
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notes }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut out = serde_json::to_string_pretty(&log).expect("invariant: strings and numbers only");
    out.push('\n');
    out
}

fn level(severity: Severity) -> &'static str {
    // The words of SARIF happen to be ours.
    severity.word()
}

fn rule(code: Code) -> Value {
    let info = code.info();
    json!({
        "id": code.as_str(),
        "shortDescription": { "text": info.title },
        "help": { "text": format!("partita explain {code}"), "markdown": info.page },
        "defaultConfiguration": { "level": level(info.severity) },
    })
}

/// A path as a relative URI.
fn uri(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn region(place: &Place<'_>) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}

fn location(span: Span, sources: &SourceMap) -> Value {
    let place = Place::of(span, sources);
    json!({ "artifactLocation": { "uri": uri(&place.file) }, "region": region(&place) })
}

fn result(item: &Diagnostic, rules: &[Code], sources: &SourceMap) -> Value {
    let mut text = item.message.clone();
    for help in &item.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    let related = item.secondary.iter().enumerate().map(|(id, label)| {
        let message = if label.text.is_empty() { "see also" } else { &label.text };
        json!({ "id": id, "message": { "text": message }, "physicalLocation": location(label.span, sources) })
    });
    let fixes = item.fixes.iter().map(|fix| {
        let description = match fix.applicability {
            Applicability::MachineApplicable => "surely what was meant",
            Applicability::MaybeIncorrect => "perhaps what was meant",
        };
        let mut changes: Vec<Value> = Vec::new();
        let mut files: Vec<_> = fix.edits.iter().map(|edit| edit.span.source).collect();
        files.sort_unstable();
        files.dedup();
        for file in files {
            let edits = fix.edits.iter().filter(|edit| edit.span.source == file).map(|edit| {
                json!({
                    "deletedRegion": region(&Place::of(edit.span, sources)),
                    "insertedContent": { "text": edit.text },
                })
            });
            changes.push(json!({
                "artifactLocation": { "uri": uri(&sources.shown(file)) },
                "replacements": edits.collect::<Vec<_>>(),
            }));
        }
        json!({ "description": { "text": description }, "artifactChanges": changes })
    });
    json!({
        "ruleId": item.code.as_str(),
        "ruleIndex": rules.binary_search(&item.code).unwrap_or_default(),
        "level": level(item.severity),
        "message": { "text": text },
        "locations": [{ "physicalLocation": location(item.primary.span, sources) }],
        "relatedLocations": related.collect::<Vec<_>>(),
        "fixes": fixes.collect::<Vec<_>>(),
    })
}
