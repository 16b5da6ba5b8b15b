//! One diagnostic: what is wrong, where, what it conflicts with, and the mend. Leaves out rendering.

use crate::diag::{Code, Span};

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is compiled.
    Error,
    /// Compiled, but look here.
    Warning,
    /// Information.
    Note,
}

impl Severity {
    /// The lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place with a word on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
}

/// Whether a fix may be applied without a person looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// Surely what was meant: `partita fix` applies it.
    MachineApplicable,
    /// Probably: shown only.
    MaybeIncorrect,
}

/// Replaces the text of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// The new text.
    pub text: String,
}

/// A proposed mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Whether it is safe.
    pub applicability: Applicability,
    /// Its edits, not overlapping.
    pub edits: Vec<Edit>,
}

/// A diagnostic. Built with `Diagnostic::new` and the `with_*` methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// How grave.
    pub severity: Severity,
    /// The fact, lower-case start, no final stop, names in backticks.
    pub message: String,
    /// The place.
    pub primary: Label,
    /// Places it conflicts with or was declared at, in any file.
    pub secondary: Vec<Label>,
    /// What to do.
    pub help: Vec<String>,
    /// Mends.
    pub fixes: Vec<Fix>,
}

impl Diagnostic {
    /// A diagnostic of a code's own severity.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.info().severity,
            message: message.into(),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            help: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// The word at the primary place.
    pub fn with_label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// A further place.
    pub fn with_secondary(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// What to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// A mend that replaces one span.
    pub fn with_fix(mut self, applicability: Applicability, span: Span, text: impl Into<String>) -> Self {
        self.fixes.push(Fix { applicability, edits: vec![Edit { span, text: text.into() }] });
        self
    }

    /// Mends, none or several.
    pub fn with_fixes(mut self, fixes: Vec<Fix>) -> Self {
        self.fixes.extend(fixes);
        self
    }

    /// A mend that puts quotes around what stands at a place.
    pub fn with_quotes(mut self, applicability: Applicability, span: Span) -> Self {
        let quote = |at: u32| Edit { span: Span { start: at, end: at, ..span }, text: "\"".to_owned() };
        self.fixes.push(Fix { applicability, edits: vec![quote(span.start), quote(span.end)] });
        self
    }

    /// A did-you-mean: help and a fix that is not applied by itself.
    pub fn with_suggestion(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => {
                let span = self.primary.span;
                self.with_help(format!("did you mean `{name}`?")).with_fix(Applicability::MaybeIncorrect, span, name)
            }
            None => self,
        }
    }
}
