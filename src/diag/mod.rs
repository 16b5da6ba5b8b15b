//! What we say to the author of a spec: sources and spans, the registry of codes, diagnostics, the
//! collector and the renderings. Leaves out KDL and files.

mod code;
mod diagnostic;
mod level;
mod render;
mod render_human;
mod render_lines;
mod render_sarif;
mod sink;
mod source;
mod suggest;

pub use code::{Code, CodeInfo, Example};
pub use diagnostic::{Applicability, Diagnostic, Edit, Fix, Label, Severity};
pub use level::{Level, LevelError, Levels, warning_named};
pub use render::{MessageFormat, RenderOptions, render_all};
pub use sink::Diagnostics;
pub use source::{SourceFile, SourceId, SourceMap, Span};
pub use suggest::did_you_mean;
