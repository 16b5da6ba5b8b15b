//! The collector: keeps diagnostics, drops duplicates, sorts them. Leaves out rendering; the cap on
//! how many are shown is the renderer's.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Severity, SourceId, Span};

/// What makes two diagnostics the same mistake, in the order in which they are shown.
type Key = (SourceId, u32, Code, u32);

fn key(diagnostic: &Diagnostic) -> Key {
    let span = diagnostic.primary.span;
    (span.source, span.start, diagnostic.code, span.end)
}

/// Diagnostics of one compilation.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    items: BTreeMap<Key, Diagnostic>,
}

impl Diagnostics {
    /// Adds one. A second one with the same code and place is the same mistake and is dropped.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.entry(key(&diagnostic)).or_insert(diagnostic);
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Diagnostics) {
        other.items.into_values().for_each(|item| self.push(item));
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        self.items.values().any(|item| item.severity == Severity::Error)
    }

    /// Whether an error was reported inside a span: what lies there is poisoned.
    pub fn has_error_within(&self, span: Span) -> bool {
        let first = (span.source, span.start, Code::ALL[0], 0);
        let last = (span.source, span.end, Code::ALL[Code::ALL.len() - 1], span.end);
        let mut starting_within = self.items.range(first..=last);
        starting_within.any(|(_, item)| item.severity == Severity::Error && item.primary.span.end <= span.end)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.items.values().filter(|item| item.severity == severity).count()
    }

    /// Drops those the predicate refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(|_, item| keep(item));
    }

    /// Changes each. What makes it the mistake it is, its code and place, must stay.
    pub(crate) fn change(&mut self, change: impl FnMut(&mut Diagnostic)) {
        self.items.values_mut().for_each(change);
    }

    /// All, in the stable order: source, offset, code.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        self.items.values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Diagnostics;
    use crate::diag::{Code, Diagnostic, Severity, SourceId, Span};

    fn at(code: Code, start: usize, end: usize) -> Diagnostic {
        Diagnostic::new(code, Span::new(SourceId(0), start, end), "m")
    }

    #[test]
    fn keeps_one_of_each_mistake_in_a_stable_order() {
        let mut all = Diagnostics::default();
        for item in [at(Code::P0101, 5, 9), at(Code::P1001, 2, 3), at(Code::P0005, 5, 6), at(Code::P0101, 5, 9)] {
            all.push(item);
        }
        let codes: Vec<_> = all.sorted().iter().map(|item| item.code).collect();
        assert_eq!(codes, [Code::P1001, Code::P0005, Code::P0101]);
        assert_eq!((all.count(Severity::Error), all.count(Severity::Warning)), (2, 1));
    }

    #[test]
    fn knows_where_errors_are() {
        let mut all = Diagnostics::default();
        all.push(at(Code::P0101, 5, 9));
        all.push(at(Code::P1001, 20, 21));
        let within = |start, end| all.has_error_within(Span::new(SourceId(0), start, end));
        assert!(within(5, 9) && within(0, 30));
        assert!(!within(6, 30) && !within(0, 8) && !within(10, 30));
        assert!(!all.has_error_within(Span::new(SourceId(1), 0, 30)));
    }

    #[test]
    fn many_are_cheap() {
        let mut all = Diagnostics::default();
        for i in 0..100_000 {
            all.push(at(Code::P0101, i, i + 1));
        }
        assert_eq!(all.sorted().len(), 100_000);
    }
}
