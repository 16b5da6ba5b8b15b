//! Source texts and places in them. Leaves out reading files.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Which source a span lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u32);

/// A place in a source: bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of a source.
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self { source, start: start as u32, end: end.max(start) as u32 }
    }

    /// The smallest span over both; `self` if they lie in different sources.
    pub fn to(self, other: Span) -> Span {
        if self.source == other.source {
            Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
        } else {
            self
        }
    }

    /// Whether another lies within.
    pub fn covers(self, other: Span) -> bool {
        self.source == other.source && self.start <= other.start && other.end <= self.end
    }

    /// The byte range.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One source text with the name it is shown under.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as people know it: relative to the workspace, or `<std>/posix.kdl`.
    pub name: String,
    /// The text.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// Line and column, both from 1; the column counts characters.
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start as usize <= at);
        let start = self.line_starts[line - 1] as usize;
        // A character that `at` lies inside of counts.
        let column = self.text.as_bytes()[start..at].iter().filter(|b| !(0x80..0xC0).contains(*b)).count();
        (line, column + 1)
    }

    /// The bytes of a line, counted from 1, with its end; empty past the last.
    pub fn line_range(&self, line: usize) -> std::ops::Range<usize> {
        let at = |line: usize| self.line_starts.get(line).map_or(self.text.len(), |start| *start as usize);
        at(line.saturating_sub(1))..at(line)
    }

    /// How many lines there are; a line end at the end of the text begins one more.
    pub fn lines(&self) -> usize {
        self.line_starts.len()
    }

    /// The text of a line, counted from 1, without its end; empty past the last.
    pub fn line(&self, line: usize) -> &str {
        let Some(start) = self.line_starts.get(line.wrapping_sub(1)) else { return "" };
        let end = self.line_starts.get(line).map_or(self.text.len(), |end| *end as usize);
        self.text[*start as usize..end].trim_end_matches(['\n', '\r'])
    }
}

/// All sources of one compilation.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
    base: String,
}

impl SourceMap {
    /// What is put before names in messages, so that they lead from where the reader is to the file: empty,
    /// or a path that ends in `/`.
    pub fn set_base(&mut self, base: impl Into<String>) {
        self.base = base.into();
    }

    /// The name of a source as messages show it. What is not a file, such as `<std>/posix.kdl`, is the same
    /// from everywhere.
    pub fn shown(&self, id: SourceId) -> Cow<'_, str> {
        let name = &self.file(id).name;
        if self.base.is_empty() || name.starts_with('<') {
            return Cow::Borrowed(name);
        }
        Cow::Owned(format!("{}{name}", self.base))
    }

    /// Adds a source.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let text: Arc<str> = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at as u32 + 1));
        self.files.push(SourceFile { name: name.into(), text, line_starts });
        SourceId(self.files.len() as u32 - 1)
    }

    /// The source of an id.
    pub fn file(&self, id: SourceId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All sources with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, file)| (SourceId(i as u32), file))
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.source).text.get(span.range()).unwrap_or("")
    }

    /// `name:line` of the start of a span, as messages show it.
    pub fn place(&self, span: Span) -> String {
        let line = self.file(span.source).line_column(span.start as usize).0;
        format!("{}:{line}", self.shown(span.source))
    }

    /// `name:line` of the start of a span, the same wherever the reader is.
    pub fn fixed_place(&self, span: Span) -> String {
        let file = self.file(span.source);
        format!("{}:{}", file.name, file.line_column(span.start as usize).0)
    }
}
