//! Renderings of diagnostics: what is common to all formats. Leaves out where they are written to.

use std::borrow::Cow;

use crate::base::Limits;
use crate::diag::{Diagnostic, Diagnostics, Severity, SourceMap, Span, render_human, render_lines, render_sarif};

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MessageFormat {
    /// Pictures of the source, for a terminal.
    #[default]
    Human,
    /// The same in words, for those who cannot see pictures.
    Narrated,
    /// One line each: `file:line:column: error[P0101]: message`.
    Short,
    /// One JSON object a line.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// GitHub workflow annotations.
    Github,
}

/// How to render.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// The format.
    pub format: MessageFormat,
    /// Whether to colour.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
}

/// Writes all diagnostics, at most 50 and a count of the rest. Empty if there are none, except for
/// SARIF, where a log without results says that all is well.
pub fn render_all(diagnostics: &Diagnostics, sources: &SourceMap, options: RenderOptions) -> String {
    let all = diagnostics.sorted();
    let cut = all.len().min(Limits::DIAGNOSTICS);
    let batch = Batch { shown: &all[..cut], hidden: &all[cut..], sources };
    match options.format {
        MessageFormat::Human | MessageFormat::Narrated => render_human::render(&batch, options, &summary(diagnostics)),
        MessageFormat::Short => render_lines::short(&batch),
        MessageFormat::Json => render_lines::json(&batch),
        MessageFormat::Sarif => render_sarif::render(&batch),
        MessageFormat::Github => render_lines::github(&batch),
    }
}

/// What is rendered.
pub(super) struct Batch<'a> {
    /// Those within the cap, in the stable order.
    pub(super) shown: &'a [&'a Diagnostic],
    /// Those beyond it.
    pub(super) hidden: &'a [&'a Diagnostic],
    pub(super) sources: &'a SourceMap,
}

impl Batch<'_> {
    /// What is said of those beyond the cap.
    pub(super) fn hidden_note(&self) -> Option<String> {
        match self.hidden.len() {
            0 => None,
            1 => Some("1 more diagnostic is not shown".to_owned()),
            n => Some(format!("{n} more diagnostics are not shown")),
        }
    }
}

/// A span as people count: lines and columns from 1, columns in characters, the end exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) file: Cow<'a, str>,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end_line: usize,
    pub(super) end_column: usize,
}

impl<'a> Place<'a> {
    pub(super) fn of(span: Span, sources: &'a SourceMap) -> Self {
        let file = sources.file(span.source);
        let (line, column) = file.line_column(span.start as usize);
        let (end_line, end_column) = file.line_column(span.end as usize);
        Self { file: sources.shown(span.source), line, column, end_line, end_column }
    }
}

/// `2 errors, 1 warning`.
fn summary(diagnostics: &Diagnostics) -> String {
    let mut parts = Vec::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        match diagnostics.count(severity) {
            0 => {}
            1 => parts.push(format!("1 {}", severity.word())),
            n => parts.push(format!("{n} {}s", severity.word())),
        }
    }
    parts.join(", ")
}

/// Whether a character can change how a terminal shows what comes after it.
pub(super) fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Text for a terminal: a message may quote what a stranger wrote.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_unsafe(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

#[cfg(test)]
mod tests;
