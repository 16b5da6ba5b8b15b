//! The collector: keeps diagnostics, drops duplicates, sorts them. Leaves out rendering; the cap on
//! how many are shown is the renderer's.

use crate::diag::{Code, Diagnostic, Severity, Span};

/// Diagnostics of one compilation.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one. A second one with the same code and place is the same mistake and is dropped.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |old: &Diagnostic| old.code == diagnostic.code && old.primary.span == diagnostic.primary.span;
        if !self.items.iter().any(same) {
            self.items.push(diagnostic);
        }
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Diagnostics) {
        other.items.into_iter().for_each(|item| self.push(item));
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// Whether an error was reported inside a span: what lies there is poisoned.
    pub fn has_error_within(&self, span: Span) -> bool {
        let within = |at: Span| at.source == span.source && span.start <= at.start && at.end <= span.end;
        self.items.iter().any(|item| item.severity == Severity::Error && within(item.primary.span))
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|item| item.severity == severity).count()
    }

    /// Drops those the predicate refuses.
    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(keep);
    }

    /// Changes the severity of a code.
    pub fn set_severity(&mut self, code: Code, severity: Severity) {
        self.items.iter_mut().filter(|item| item.code == code).for_each(|item| item.severity = severity);
    }

    /// All, in the stable order: source, offset, code.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<_> = self.items.iter().collect();
        sorted
            .sort_by_key(|item| (item.primary.span.source, item.primary.span.start, item.code, item.primary.span.end));
        sorted
    }
}
