//! Pictures of the source for a terminal, and the same in words, made by `miette`. Leaves out colours
//! of anything but diagnostics, and all other formats.
//!
//! `miette` knows one source for each diagnostic: places in other files become related diagnostics
//! with their own source.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode};
use miette::{NarratableReportHandler, SourceSpan, SpanContents};

use crate::diag::render::{Batch, RenderOptions, clean, is_unsafe};
use crate::diag::{Diagnostic, Label, MessageFormat, Severity, SourceFile, SourceId, SourceMap, Span};

/// A label over more lines than this is drawn on its first line only.
const LABEL_LINES: usize = 6;

/// Of a longer line only the part around the label is drawn.
const LINE_BYTES: usize = 400;

/// Bytes drawn on each side of a label in a long line.
const AROUND_BYTES: usize = 60;

/// Draws all, then the count of those not drawn and the summary.
pub(super) fn render(batch: &Batch<'_>, options: RenderOptions, summary: &str) -> String {
    if batch.shown.is_empty() {
        return String::new();
    }
    let theme = if options.color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(options.width.clamp(40, 400))
        .with_links(false)
        .without_syntax_highlighting();
    let canvas = Canvas::new(batch);
    let mut out = String::new();
    for item in batch.shown {
        let picture = Picture::new(item, &canvas);
        let footer = format!("for more: partita explain {}", item.code);
        let mut drawn = String::new();
        let done = if options.format == MessageFormat::Narrated {
            NarratableReportHandler::new().with_footer(footer).render_report(&mut drawn, &picture)
        } else {
            handler.clone().with_footer(footer).render_report(&mut drawn, &picture)
        };
        if done.is_err() {
            // Writing to a string does not fail; a picture that cannot be drawn is said in words.
            let place = batch.sources.place(item.primary.span);
            drawn = clean(&format!("{}[{}] {place}: {}", item.severity.word(), item.code, item.message)).into_owned();
        }
        for line in drawn.trim_end().lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out.push('\n');
    }
    if let Some(note) = batch.hidden_note() {
        out.push_str(&note);
        out.push('\n');
    }
    out.push_str(summary);
    out.push('\n');
    out
}

/// The sources of a batch with every character that a terminal might obey replaced by one of the same
/// length, so that places hold.
struct Canvas<'a> {
    sources: &'a SourceMap,
    texts: BTreeMap<SourceId, Cow<'a, str>>,
}

impl<'a> Canvas<'a> {
    fn new(batch: &Batch<'a>) -> Self {
        let labels = |item: &&'a Diagnostic| std::iter::once(&item.primary).chain(&item.secondary);
        let ids = batch.shown.iter().flat_map(labels).map(|label| label.span.source);
        let mut texts = BTreeMap::new();
        for id in ids {
            texts.entry(id).or_insert_with(|| masked(&batch.sources.file(id).text));
        }
        Self { sources: batch.sources, texts }
    }
}

fn masked(text: &str) -> Cow<'_, str> {
    let ends_line = |at: usize| text.as_bytes()[at] == b'\r' && text.as_bytes().get(at + 1) == Some(&b'\n');
    if !text.char_indices().any(|(at, c)| is_unsafe(c) && !ends_line(at)) {
        return Cow::Borrowed(text);
    }
    let replaced = text.char_indices().map(|(at, c)| match c.len_utf8() {
        _ if !is_unsafe(c) || ends_line(at) => c,
        1 => '?',
        2 => '\u{BF}',
        _ => '\u{FFFD}',
    });
    Cow::Owned(replaced.collect())
}

/// A diagnostic as `miette` wants it.
#[derive(Debug)]
struct Picture<'a> {
    /// Its heading, empty for a place in another file.
    code: String,
    severity: Severity,
    message: String,
    help: Option<String>,
    source: Excerpt<'a>,
    labels: Vec<LabeledSpan>,
    related: Vec<Picture<'a>>,
}

impl<'a> Picture<'a> {
    fn new(item: &Diagnostic, canvas: &'a Canvas<'a>) -> Self {
        let here = |label: &&Label| label.span.source == item.primary.span.source;
        let mut labels = vec![(&item.primary, true)];
        labels.extend(item.secondary.iter().filter(here).map(|label| (label, false)));
        let (source, labels) = excerpt(&labels, canvas);
        let elsewhere = item.secondary.iter().filter(|label| !here(label));
        Self {
            code: format!("{}[{}]", item.severity.word(), item.code),
            severity: item.severity,
            message: clean(&item.message).into_owned(),
            help: (!item.help.is_empty()).then(|| clean(&item.help.join("\n")).into_owned()),
            source,
            labels,
            related: elsewhere.map(|label| Self::elsewhere(label, canvas)).collect(),
        }
    }

    /// A place in another file.
    fn elsewhere(label: &Label, canvas: &'a Canvas<'a>) -> Self {
        let (source, labels) = excerpt(&[(label, true)], canvas);
        let message = format!("see {}", clean(&canvas.sources.place(label.span)));
        Self { code: String::new(), severity: Severity::Note, message, help: None, source, labels, related: Vec::new() }
    }
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Picture<'_> {}

impl miette::Diagnostic for Picture<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.code.is_empty()).then(|| Box::new(&self.code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        (!self.related.is_empty()).then(|| {
            Box::new(self.related.iter().map(|item| item as &dyn miette::Diagnostic)) as Box<dyn Iterator<Item = _>>
        })
    }
}

/// The text that a picture is drawn from: the file, or a part of one of its lines.
#[derive(Debug)]
struct Excerpt<'a> {
    file: &'a SourceFile,
    name: Cow<'a, str>,
    text: &'a str,
    /// If it is a part: line and column, from 0, of its first byte.
    part: Option<(usize, usize)>,
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let name = clean(&self.name).into_owned();
        let data = |range: std::ops::Range<usize>, line: usize, column: usize, lines: usize| {
            let bytes = self.text.as_bytes().get(range.clone()).ok_or(MietteError::OutOfBounds)?;
            let at = SourceSpan::from((range.start, range.len()));
            let contents = MietteSpanContents::new_named(name.clone(), bytes, at, line, column, lines);
            Ok(Box::new(contents) as Box<dyn SpanContents<'a> + 'a>)
        };
        // With no line before asked for, the column is that of the span, else that of the line.
        if let Some((line, column)) = self.part {
            let inside = self.text.get(..span.offset()).map_or(0, |text| text.chars().count());
            return data(0..self.text.len(), line, if before == 0 { column + inside } else { 0 }, 1);
        }
        let (line, column) = self.file.line_column(span.offset());
        let last_byte = (span.offset() + span.len()).saturating_sub(1).max(span.offset());
        let first = line.saturating_sub(before).max(1);
        let last = (self.file.line_column(last_byte).0 + after).min(self.file.lines());
        let range = self.file.line_range(first).start..self.file.line_range(last).end;
        data(range, first - 1, if before == 0 { column - 1 } else { 0 }, last + 1 - first)
    }
}

/// The text and the labels in it, of which the first is the primary one.
fn excerpt<'a>(labels: &[(&Label, bool)], canvas: &'a Canvas<'a>) -> (Excerpt<'a>, Vec<LabeledSpan>) {
    let id = labels[0].0.span.source;
    let file = canvas.sources.file(id);
    let name = canvas.sources.shown(id);
    let text = canvas.texts.get(&id).map_or("", |text| text);
    let long = |at: usize| {
        let line = file.line_column(at).0;
        // One line before and after is drawn too.
        (line.saturating_sub(1).max(1)..=line + 1).any(|line| file.line_range(line).len() > LINE_BYTES)
    };
    let spans = || labels.iter().map(|(label, primary)| (*label, clip(label.span, file), *primary));
    if spans().any(|(_, (start, end), _)| long(start) || long(end)) {
        return window(labels[0].0, file, text, name);
    }
    let drawn = spans().map(|(label, (start, end), primary)| labelled(&label.text, start, end, primary)).collect();
    (Excerpt { file, name, text, part: None }, drawn)
}

fn labelled(text: &str, start: usize, end: usize, primary: bool) -> LabeledSpan {
    let text = (!text.is_empty()).then(|| clean(text).into_owned());
    let span = SourceSpan::from((start, end - start));
    if primary { LabeledSpan::new_primary_with_span(text, span) } else { LabeledSpan::new_with_span(text, span) }
}

/// The part of a span that is drawn.
fn clip(span: Span, file: &SourceFile) -> (usize, usize) {
    let length = file.text.len();
    let (start, end) = ((span.start as usize).min(length), (span.end as usize).min(length));
    let (first, last) = (file.line_column(start).0, file.line_column(end).0);
    if last - first < LABEL_LINES {
        return (start, end);
    }
    let line = file.line_range(first);
    (start, start + file.text[start..line.end].trim_end().len())
}

/// The part of a long line around a label.
fn window<'a>(
    label: &Label,
    file: &'a SourceFile,
    text: &'a str,
    name: Cow<'a, str>,
) -> (Excerpt<'a>, Vec<LabeledSpan>) {
    let start = text.floor_char_boundary((label.span.start as usize).min(text.len()));
    let (line, _) = file.line_column(start);
    let range = file.line_range(line);
    let from = text.floor_char_boundary(start.saturating_sub(AROUND_BYTES).max(range.start));
    let end = text.floor_char_boundary((label.span.end as usize).clamp(start, range.end).min(start + AROUND_BYTES));
    let to = text.ceil_char_boundary((end + AROUND_BYTES).min(range.end));
    let part = text[from..to].trim_end_matches(['\n', '\r']);
    let inside = |at: usize| (at - from).min(part.len());
    let drawn = vec![labelled(&label.text, inside(start), inside(end), true)];
    (Excerpt { file, name, text: part, part: Some((line - 1, file.line_column(from).1 - 1)) }, drawn)
}
