//! Strings with `{{ path | filter }}` holes: parsing only. Each free name keeps its place inside the
//! string. Leaves out the values of names: see `eval`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::Name;
use crate::lang::{Kind, Value};

/// A total function applied to the value of a hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// The form of an address segment.
    Slug,
    /// The elements of a list with this between them.
    Join(String),
    /// This if the value is empty.
    Default(String),
}

/// What may be done with a value in a hole.
pub(crate) const FILTERS: &[&str] = &["lower", "upper", "slug", "join", "default"];

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Text as it is.
    Literal(String),
    /// A hole.
    Hole {
        /// The dotted path: a variable, or `node.VARIABLE`.
        path: Vec<String>,
        /// Filters in order.
        filters: Vec<Filter>,
        /// The place of the path.
        span: Span,
    },
    /// A hole with a mistake, which has been reported.
    Broken,
}

/// A parsed string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Its parts in order.
    pub parts: Vec<Part>,
    /// The place of the whole value.
    pub span: Span,
}

impl Text {
    /// A string without holes.
    pub fn literal(text: impl Into<String>, span: Span) -> Self {
        Self { parts: vec![Part::Literal(text.into())], span }
    }

    /// The text, if there is no hole.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The variable this is, if it was written `(var)x` and not as a string.
    pub(crate) fn as_variable(&self) -> Option<Name> {
        match self.parts.as_slice() {
            [Part::Hole { path, filters, span }] if filters.is_empty() && *span == self.span => {
                Some(Name { value: path.join("."), span: *span })
            }
            _ => None,
        }
    }

    /// Whether a mistake in it has been reported.
    pub(crate) fn is_broken(&self) -> bool {
        self.parts.contains(&Part::Broken)
    }

    /// In the place of a value that has been reported.
    pub(crate) fn broken(span: Span) -> Self {
        Self { parts: vec![Part::Broken], span }
    }

    /// The holes' paths with their places.
    pub fn holes(&self) -> impl Iterator<Item = (&[String], &[Filter], Span)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole { path, filters, span } => Some((path.as_slice(), filters.as_slice(), *span)),
            Part::Literal(_) | Part::Broken => None,
        })
    }

    /// Parses the text of a value; `(var)x` is one hole. Mistakes inside a hole are reported.
    pub fn parse(value: &Value, diagnostics: &mut Diagnostics) -> Self {
        let text = match &value.kind {
            Kind::Text(text) => text.as_str(),
            _ => return Self { parts: Vec::new(), span: value.span },
        };
        if value.note.as_ref().is_some_and(|note| note.value == "var") {
            let path = text.split('.').map(str::to_owned).collect();
            return Self { parts: vec![Part::Hole { path, filters: Vec::new(), span: value.span }], span: value.span };
        }
        if text == "{{" {
            // How the braces themselves are written: there is nothing else that this could be.
            return Self { parts: vec![Part::Literal(text.to_owned())], span: value.span };
        }
        if !text.contains("{{") {
            return Self { parts: vec![Part::Literal(text.to_owned())], span: value.span };
        }
        let mut parts: Vec<Part> = Vec::new();
        let mut at = 0;
        let mut told = false;
        while let Some(open) = text[at..].find("{{").map(|i| i + at) {
            push_literal(&mut parts, &text[at..open]);
            let place = |from: usize, to: usize| {
                let base = value.text_start as usize;
                let within = |at: usize| {
                    let before = value.places.partition_point(|(text, _)| *text as usize <= at);
                    let (text, source) = value.places[before.checked_sub(1)?];
                    Some(value.span.start as usize + source as usize + at - text as usize)
                };
                match (value.verbatim, within(from), within(to.saturating_sub(1).max(from))) {
                    (true, ..) => Span::new(value.span.source, base + from, base + to),
                    (false, Some(start), Some(last)) => Span::new(value.span.source, start, last + 1),
                    (false, ..) => value.span,
                }
            };
            let close = text[open + 2..].find("}}").map(|i| i + open + 2);
            let Some(close) = close.filter(|close| plain_hole(&text[open + 2..*close])) else {
                // One that was forgotten is one mistake, however many follow.
                if !std::mem::replace(&mut told, true) {
                    diagnostics.push(never_closed(place(open, open + 2)));
                }
                parts.push(Part::Broken);
                at = open + 2;
                continue;
            };
            let inside = &text[open + 2..close];
            match parse_hole(inside, &|from, to| place(open + 2 + from, open + 2 + to), diagnostics) {
                Some(Part::Literal(more)) => push_literal(&mut parts, &more),
                Some(part) => parts.push(part),
                None => parts.push(Part::Broken),
            }
            at = close + 2;
        }
        push_literal(&mut parts, &text[at..]);
        if parts.is_empty() {
            parts.push(Part::Literal(String::new()));
        }
        Self { parts, span: value.span }
    }
}

/// Whether what stands between braces may be a hole: it opens none itself, unless as a text.
fn plain_hole(inside: &str) -> bool {
    let inside = inside.trim();
    let quoted = |quote: char| inside.len() > 1 && inside.starts_with(quote) && inside.ends_with(quote);
    !inside.contains("{{") || quoted('"') || quoted('\'')
}

/// Adds text, to the text before it if there is some: braces written as a text are text like what is
/// around them.
fn push_literal(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        _ if more.is_empty() => {}
        Some(Part::Literal(before)) => before.push_str(more),
        _ => parts.push(Part::Literal(more.to_owned())),
    }
}

/// The diagnostic for braces that open a hole which nothing closes.
fn never_closed(span: Span) -> Diagnostic {
    Diagnostic::new(Code::P0308, span, "this `{{` is never closed")
        .with_label("a hole begins here")
        .with_help("close it: `{{ name }}`")
        .with_help(BRACES)
}

/// Parses what stands between the braces. `place` gives the span of a range of it.
fn parse_hole(inside: &str, place: &dyn Fn(usize, usize) -> Span, diagnostics: &mut Diagnostics) -> Option<Part> {
    let mut pieces = split_pipes(inside).into_iter().map(|(at, piece)| {
        let lead = piece.len() - piece.trim_start().len();
        let piece = piece.trim();
        (piece, place(at + lead, at + lead + piece.len()))
    });
    let (path_text, span) = pieces.next()?;
    let quoted = |quote: char| path_text.len() > 1 && path_text.starts_with(quote) && path_text.ends_with(quote);
    if (quoted('"') || quoted('\'')) && pieces.len() == 0 {
        return Some(Part::Literal(path_text[1..path_text.len() - 1].to_owned()));
    }
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let path: Vec<String> = path_text.split('.').map(str::to_owned).collect();
    if !path.iter().all(|part| is_name(part)) {
        diagnostics.push(
            Diagnostic::new(Code::P0308, span, format!("`{path_text}` is not a variable"))
                .with_label("a dotted name is needed here")
                .with_help("holes hold a name and filters, not expressions: `{{ name | slug }}`")
                .with_help(BRACES),
        );
        return None;
    }
    let mut filters = Vec::new();
    for (piece, span) in pieces {
        let (name, argument) =
            piece.split_once(char::is_whitespace).map_or((piece, None), |(n, a)| (n, Some(a.trim())));
        let argument = argument.map(|a| a.trim_matches(['"', '\'']).to_owned());
        let filter = match (name, argument) {
            ("lower", None) => Filter::Lower,
            ("upper", None) => Filter::Upper,
            ("slug", None) => Filter::Slug,
            ("join", Some(separator)) => Filter::Join(separator),
            ("join", None) => Filter::Join(String::new()),
            ("default", Some(value)) => Filter::Default(value),
            ("default", None) => {
                diagnostics.push(
                    Diagnostic::new(Code::P0310, span, "`default` needs a value")
                        .with_help(format!("write `{{{{ {path_text} | default 'none' }}}}`")),
                );
                return None;
            }
            _ if FILTERS.iter().any(|filter| name.strip_prefix(filter).is_some_and(|rest| rest.starts_with('('))) => {
                diagnostics.push(
                    Diagnostic::new(Code::P0310, span, "filters take their argument after a space")
                        .with_label("without parentheses")
                        .with_help("write `join ','`, `default 'none'`"),
                );
                return None;
            }
            _ => {
                diagnostics.push(
                    Diagnostic::new(Code::P0310, span, format!("filter `{piece}` is not allowed in specs"))
                        .with_suggestion_in(piece, 0..name.len(), did_you_mean(name, FILTERS.iter().copied()))
                        .with_help(format!("allowed: {}; full templates go in `render` files", FILTERS.join(", "))),
                );
                return None;
            }
        };
        filters.push(filter);
    }
    Some(Part::Hole { path, filters, span })
}

/// How to write braces that are not a hole.
pub(crate) const BRACES: &str = "to write `{{` itself, insert it as a text: `{{ '{{' }}`";

/// Splits at `|` outside quotes; each piece with where it begins.
fn split_pipes(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut quote = None;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('|', None) => {
                pieces.push((start, &text[start..at]));
                start = at + 1;
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            _ => {}
        }
    }
    pieces.push((start, &text[start..]));
    pieces
}

impl Diagnostic {
    /// A did-you-mean for a part of the text at this place. With a fix, if the place is as long as the
    /// text, bare or in quotes, so that it is known where the part stands.
    pub(crate) fn with_suggestion_in(self, text: &str, part: Range<usize>, suggestion: Option<&str>) -> Self {
        let Some(near) = suggestion else { return self };
        let span = self.primary.span;
        let (start, length) = (span.start as usize, (span.end - span.start) as usize);
        let quote = usize::from(length == text.len() + 2);
        let this = self.with_suggestion_text(suggestion);
        if length != text.len() + 2 * quote {
            return this;
        }
        let span = Span::new(span.source, start + quote + part.start, start + quote + part.end);
        this.with_fix(Applicability::MaybeIncorrect, span, near)
    }

    /// A did-you-mean without a fix, for a place that is wider than the name.
    pub(crate) fn with_suggestion_text(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.with_help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}
