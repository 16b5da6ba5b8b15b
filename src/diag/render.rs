//! Renderings of diagnostics. Leaves out where they are written to.

use crate::diag::{Diagnostics, SourceMap};

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MessageFormat {
    /// Pictures of the source, for a terminal.
    #[default]
    Human,
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

/// Writes all diagnostics, at most 50 and a count of the rest.
pub fn render_all(_diagnostics: &Diagnostics, _sources: &SourceMap, _options: RenderOptions) -> String {
    String::new()
}
