//! The guard: text from strangers is scanned once, without recursion, before any of it reaches the
//! `kdl` crate, which overflows its stack or takes exponential time on small inputs. Finds what is
//! too large, too deep or never closed, and cuts the rest at its top-level nodes, so that one bad
//! node does not hide the others. Leaves out the grammar within a node (`parse_check`).
//!
//! A brace too few or too many is only noticed at the end of the text; indentation tells where it
//! belongs. The scan then goes on from there as if it had been mended, at most `RESTARTS` times, so
//! it stays linear.

use std::ops::Range;

use crate::base::Limits;
use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::lex::{Fault, Lexer, Token, TokenKind, char_at, is_forbidden, newline_len, space_len};
use crate::lang::slice::Slices;

/// How often one text is scanned again from a brace that was mended in thought.
const RESTARTS: usize = 8;

/// Diagnostics kept of one text: enough to fill a screen, few enough for a bomb.
const KEPT: usize = 2 * Limits::DIAGNOSTICS;

/// Bytes within which two lone quotes are taken for the two ends of one string.
const NEAR: usize = 2_000;

/// Checks a text and cuts it at its top-level nodes.
pub(super) fn guard(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Slices {
    if text.len() > Limits::SPEC_BYTES {
        diagnostics.push(too_large(source, text.len()));
        return Slices::default();
    }
    if let Some(marker) = old_version_marker(text) {
        let span = Span::new(source, marker.start, marker.end);
        diagnostics.push(
            Diagnostic::new(Code::P0011, span, "this file is KDL 1")
                .with_label("says so itself")
                .with_help("make it KDL 2: `partita fix --kdl1`"),
        );
        return Slices::default();
    }
    let mut scan = Scan::new(source, text);
    scan.find_forbidden();
    scan.run();
    for diagnostic in scan.found {
        diagnostics.push(diagnostic);
    }
    scan.slices
}

fn too_large(source: SourceId, bytes: usize) -> Diagnostic {
    let limit = Limits::SPEC_BYTES / (1024 * 1024);
    // Rounded up, so that it is never said to be as large as the limit.
    let tenths = (bytes * 10).div_ceil(1024 * 1024);
    let message = format!("file is {}.{} MiB; the limit is {limit} MiB", tenths / 10, tenths % 10);
    Diagnostic::new(Code::P0001, Span::new(source, 0, 0), message)
        .with_help("split it, or move data to a file that a node takes as `input`")
}

/// The word without quotes in which a `/*` stands, such as `src/*.c`; `None` if it begins or follows nothing.
pub(super) fn path_with_comment(text: &str, at: usize) -> Option<Range<usize>> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '(' | ')' | '{' | '}' | '=' | ';' | '\\');
    let start = text[..at].char_indices().rev().find(|(_, c)| ends(*c)).map_or(0, |(i, c)| i + c.len_utf8());
    let end = text[at..].find(ends).map_or(text.len(), |length| at + length);
    (start < at).then_some(start..end)
}

/// The diagnostic for a pattern without quotes, in which `/*` opens a comment.
pub(super) fn glob(source: SourceId, text: &str, word: Range<usize>) -> Diagnostic {
    let (span, word) = (Span::new(source, word.start, word.end), &text[word]);
    Diagnostic::new(Code::P0007, span, format!("`{word}` must be quoted: its `/*` opens a comment"))
        .with_label("a comment begins within this")
        .with_help(format!("quote it: `\"{word}\"`"))
        .with_fix(Applicability::MachineApplicable, span, format!("\"{word}\""))
}

/// The range of `/- kdl-version 1` at the start of a text.
fn old_version_marker(text: &str) -> Option<Range<usize>> {
    let start = if text.starts_with('\u{FEFF}') { 3 } else { 0 };
    let skip = |mut at: usize| {
        while space_len(text, at) > 0 {
            at += space_len(text, at);
        }
        at
    };
    let rest = |at: usize, word: &str| text[at..].starts_with(word).then_some(at + word.len());
    let word = rest(skip(rest(start, "/-")?), "kdl-version")?;
    let end = rest(skip(word), "1").filter(|_| skip(word) > word)?;
    let line_end = skip(end);
    (line_end == text.len() || newline_len(text, line_end) > 0).then_some(start..end)
}

/// An open block.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Offset of its `{`.
    open: usize,
    /// Indentation of the line its `{` stands on.
    indent: usize,
    /// Offset of the start of that line.
    line: usize,
    /// Whether a `/-` hides it.
    hidden: bool,
    /// Whether a `/-` hides the node whose block it is inside of.
    outer_hidden: bool,
}

/// A place where the indentation contradicts the braces, with all that is needed to go on from there
/// as if the brace had been mended.
#[derive(Clone, Debug)]
struct Suspect {
    /// The brace to blame.
    brace: usize,
    /// Indentation of the line of the block it opens or closes.
    margin: usize,
    /// Whether that brace is a `}` too many; else it is a `{` that lacks its own.
    too_many: bool,
    /// End of the last token before the place.
    after: usize,
    /// The block closed last before the place.
    closed: Option<usize>,
    /// Where the scan goes on.
    resume: usize,
    line: usize,
    indent: usize,
    frames: Vec<Frame>,
    slice_start: usize,
    slices: usize,
    comments: usize,
    found: usize,
}

struct Scan<'a> {
    source: SourceId,
    text: &'a str,
    lexer: Lexer<'a>,
    found: Vec<Diagnostic>,
    slices: Slices,
    /// Offsets of forbidden characters: no slice with one is handed on.
    forbidden: Vec<usize>,
    frames: Vec<Frame>,
    /// Blocks open beyond the limit, not kept.
    excess: usize,
    /// The first brace beyond the limit and the greatest depth since.
    too_deep: Option<(usize, usize)>,
    slice_start: usize,
    /// Whether the slice has a token that matters.
    started: bool,
    /// Whether a mistake was found in the slice.
    poisoned: bool,
    /// Whether a node may begin here.
    node_start: bool,
    /// Whether a `/-` waits for what it hides.
    slash: bool,
    /// Whether a `/-` hides the current node.
    hidden: bool,
    /// Start and indentation of the line, and whether a token has been seen on it.
    line: usize,
    indent: usize,
    line_empty: bool,
    /// The last token that matters: its end and kind, and whether it is a `}` that closes nothing.
    last_end: usize,
    last: Option<TokenKind>,
    stray_before: bool,
    /// Whether it is a `{` without a name before it.
    nameless_before: bool,
    last_closed: Option<usize>,
    /// The last string without its closing quote, and how many slices came before it.
    half_string: Option<(usize, usize)>,
    never_closed: Option<Suspect>,
    closed_early: Option<Suspect>,
    restarts: usize,
}

impl<'a> Scan<'a> {
    fn new(source: SourceId, text: &'a str) -> Self {
        Self {
            source,
            text,
            lexer: Lexer::new(text),
            found: Vec::new(),
            slices: Slices::default(),
            forbidden: Vec::new(),
            frames: Vec::new(),
            excess: 0,
            too_deep: None,
            slice_start: 0,
            started: false,
            poisoned: false,
            node_start: true,
            slash: false,
            hidden: false,
            line: 0,
            indent: 0,
            line_empty: true,
            last_end: 0,
            last: None,
            stray_before: false,
            nameless_before: false,
            last_closed: None,
            half_string: None,
            never_closed: None,
            closed_early: None,
            restarts: 0,
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.poisoned = true;
        if self.found.len() < KEPT {
            self.found.push(diagnostic);
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    /// The number of the line an offset lies on, from 1.
    fn line_of(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    /// Characters that KDL allows nowhere, be it in a string or a comment.
    fn find_forbidden(&mut self) {
        let bytes = self.text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let suspicious = match byte {
                0..=0x1F => !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0B | 0x0C),
                0x7F | 0xE2 | 0xEF => true,
                _ => false,
            };
            if !suspicious {
                continue;
            }
            let Some(c) = char_at(self.text, at).filter(|c| is_forbidden(*c)) else { continue };
            if c == '\u{FEFF}' && at == 0 {
                continue;
            }
            self.forbidden.push(at);
            let span = self.span(at, at + c.len_utf8());
            let number = u32::from(c);
            let what = match c {
                '\u{FEFF}' => "byte order mark inside the text",
                '\u{200E}'.. => "invisible direction-control character",
                _ => "invisible control character",
            };
            self.report(
                Diagnostic::new(Code::P0010, span, format!("{what} U+{number:04X}"))
                    .with_label("here, though it cannot be seen")
                    .with_help(format!("delete it; write `\\u{{{number:x}}}` in a quoted string if it is meant"))
                    .with_fix(Applicability::MaybeIncorrect, span, ""),
            );
        }
        self.poisoned = false;
    }

    fn run(&mut self) {
        loop {
            while let Some(token) = self.lexer.next() {
                if !self.token(token) {
                    return;
                }
            }
            if !self.finish() {
                return;
            }
        }
    }

    /// Takes one token. `false` if what follows cannot be understood.
    fn token(&mut self, token: Token) -> bool {
        match token.kind {
            TokenKind::Newline => {
                self.end_of_line(token);
                return true;
            }
            TokenKind::EscapedNewline | TokenKind::Space | TokenKind::Bom => return true,
            TokenKind::LineComment => {
                if self.line_empty {
                    self.slices.comment_lines.push(token.start..token.end);
                }
                return true;
            }
            TokenKind::Backslash | TokenKind::BlockComment => {
                // A `\` alone may be wrong, which only the check of a slice tells.
                self.started |= token.kind == TokenKind::Backslash;
                if self.line_empty {
                    self.indent = indentation(&self.text[self.line..token.start]);
                    self.line_empty = false;
                }
                return self.comment(token);
            }
            _ => {}
        }
        self.started = true;
        if self.line_empty {
            self.line_empty = false;
            self.indent = indentation(&self.text[self.line..token.start]);
            if self.looks_unclosed(token) {
                self.suspect_unclosed(token);
            }
            if self.frames.is_empty() && self.closed_early.as_ref().is_some_and(|_| self.indent == 0) {
                // A node that begins at the margin is surely a top-level one.
                self.closed_early = (token.kind == TokenKind::Close).then(|| self.closed_early.take()).flatten();
            }
        }
        let going_on = match token.kind {
            TokenKind::Open => {
                self.open(token);
                true
            }
            TokenKind::Close => {
                self.close(token);
                return true;
            }
            TokenKind::SlashDash => {
                self.slash = true;
                true
            }
            TokenKind::Semicolon => {
                self.slash = false;
                self.end_of_node(token.end);
                true
            }
            TokenKind::Quoted | TokenKind::Raw => {
                self.datum();
                self.string(token)
            }
            _ => {
                self.datum();
                true
            }
        };
        // A faulty string may have been left before its end.
        self.last_end = token.end.min(self.lexer.offset());
        self.last = Some(token.kind);
        self.stray_before = false;
        self.nameless_before &= token.kind == TokenKind::Open;
        going_on
    }

    fn datum(&mut self) {
        if self.node_start {
            self.hidden = self.slash;
        }
        self.slash = false;
        self.node_start = false;
    }

    fn end_of_line(&mut self, token: Token) {
        self.line = token.end;
        self.line_empty = true;
        if !self.slash {
            self.end_of_node(token.end);
        }
    }

    fn end_of_node(&mut self, end: usize) {
        self.node_start = true;
        self.hidden = false;
        if self.frames.is_empty() && self.excess == 0 && self.started {
            self.end_of_slice(end);
        }
    }

    fn end_of_slice(&mut self, end: usize) {
        let first = self.forbidden.partition_point(|at| *at < self.slice_start);
        let clean = self.forbidden.get(first).is_none_or(|at| *at >= end);
        if clean && !self.poisoned {
            self.slices.ranges.push(self.slice_start..end);
        }
        self.slice_start = end;
        self.started = false;
        self.poisoned = false;
        self.never_closed = None;
    }

    fn comment(&mut self, token: Token) -> bool {
        let (message, label) = match token.fault {
            Some(Fault::UnclosedToEnd) => ("this block comment is never closed".to_owned(), "opened here"),
            Some(Fault::CommentDepth(depth)) => {
                (format!("block comments are nested {depth} deep; the limit is {}", Limits::COMMENT_DEPTH), "outermost")
            }
            Some(Fault::CommentStars(count)) => (
                format!("this block comment holds {count} `*` and `/`; the limit is {}", Limits::COMMENT_STARS),
                "this comment",
            ),
            _ => return true,
        };
        let span = self.span(token.start, token.start + 2);
        if token.fault == Some(Fault::UnclosedToEnd)
            && let Some(word) = path_with_comment(self.text, token.start)
        {
            self.report(glob(self.source, self.text, word));
            return false;
        }
        self.report(
            Diagnostic::new(Code::P0007, span, message).with_label(label).with_help("use `//` on each line instead"),
        );
        token.fault != Some(Fault::UnclosedToEnd)
    }

    fn string(&mut self, token: Token) -> bool {
        let marks = token.text(self.text).bytes().take_while(|b| matches!(b, b'#' | b'"')).count();
        let lines = token.text(self.text)[..marks].contains("\"\"\"");
        match token.fault {
            Some(Fault::Unclosed) if self.is_other_half(token) => true,
            Some(Fault::Unclosed) => {
                self.half_string = Some((token.start, self.slices.ranges.len()));
                let span = self.span(token.start, token.end);
                let closing = "#".repeat(self.hashes(token));
                let resume = self.resume_in_line(token);
                let mended = token.start + self.text[token.start..resume].trim_end().len();
                // One that was forgotten earlier in the line turns the rest of it inside out.
                let first = self.text[self.line..token.start].find('"').map(|at| self.line + at);
                let mut diagnostic = Diagnostic::new(Code::P0006, span, "this string is never closed");
                if let Some(first) = first {
                    diagnostic = diagnostic.with_secondary(
                        self.span(first, first + 1),
                        "or a `\"` is missing after here: the quotes of the line are not in pairs",
                    );
                }
                self.report(
                    diagnostic
                        .with_label("opened here")
                        .with_help(format!("add `\"{closing}`; for several lines use `\"\"\"` on its own line"))
                        .with_fix(Applicability::MaybeIncorrect, self.span(mended, mended), format!("\"{closing}")),
                );
                self.lexer.seek(resume);
                true
            }
            Some(Fault::UnclosedToEnd) => {
                let span = self.span(token.start, token.start + marks);
                let help = match (lines, "#".repeat(self.hashes(token))) {
                    (true, closing) => format!("add `\"\"\"{closing}` on its own line after the text"),
                    (false, closing) => format!("add `\"{closing}`"),
                };
                self.report(
                    Diagnostic::new(Code::P0006, span, "this string is never closed")
                        .with_label("opened here")
                        .with_help(help),
                );
                false
            }
            _ => true,
        }
    }

    /// Whether this quote closes the string whose opening quote stands alone on an earlier line: that
    /// is one mistake, and what lies between is text.
    fn is_other_half(&mut self, token: Token) -> bool {
        let touches = |c: char| !c.is_whitespace() && !matches!(c, '=' | '(' | ')' | '{' | '}' | ';');
        let Some((start, slices)) = self.half_string else { return false };
        if token.start - start > NEAR || !self.text[..token.start].chars().next_back().is_some_and(touches) {
            return false;
        }
        self.half_string = None;
        self.slices.ranges.truncate(slices);
        self.poisoned = true;
        // What follows it is not text.
        let marks = token.text(self.text).bytes().take_while(|b| matches!(b, b'"' | b'#')).count();
        self.lexer.seek(token.start + marks);
        true
    }

    fn hashes(&self, token: Token) -> usize {
        token.text(self.text).bytes().take_while(|b| *b == b'#').count()
    }

    /// Where to go on after a string without its closing quote: a brace at the end of its line was
    /// surely meant as one.
    fn resume_in_line(&self, token: Token) -> usize {
        let swallowed = token.text(self.text).trim_end();
        let opened_here = self.frames.last().is_some_and(|frame| frame.line == self.line);
        if swallowed.ends_with('{') || swallowed.ends_with('}') && opened_here {
            token.start + swallowed.len() - 1
        } else {
            token.end
        }
    }

    fn open(&mut self, token: Token) {
        let nameless = self.node_start && self.excess == 0;
        // A run of them is one mistake.
        if nameless && !std::mem::replace(&mut self.nameless_before, nameless) {
            self.nameless(token);
        }
        let hidden = self.slash || self.hidden;
        let outer_hidden = std::mem::take(&mut self.hidden);
        self.slash = false;
        self.node_start = true;
        if self.frames.len() < Limits::BLOCK_DEPTH && self.excess == 0 {
            let frame = Frame { open: token.start, indent: self.indent, line: self.line, hidden, outer_hidden };
            self.frames.push(frame);
            let depth = self.frames.iter().filter(|frame| frame.hidden).count();
            if hidden && depth == Limits::SLASHDASH_DEPTH + 1 {
                let limit = Limits::SLASHDASH_DEPTH;
                let span = self.span(token.start, token.end);
                self.report(
                    Diagnostic::new(
                        Code::P0002,
                        span,
                        format!("blocks hidden by `/-` are nested {depth} deep; the limit is {limit}"),
                    )
                    .with_label("one too deep")
                    .with_help("one `/-` hides all that is inside; remove the inner ones"),
                );
            }
            return;
        }
        self.excess += 1;
        let depth = Limits::BLOCK_DEPTH + self.excess;
        let (first, deepest) = self.too_deep.unwrap_or((token.start, depth));
        self.too_deep = Some((first, deepest.max(depth)));
    }

    fn nameless(&mut self, token: Token) {
        let span = self.span(token.start, token.end);
        let mut diagnostic = Diagnostic::new(Code::P0009, span, "block without a node name")
            .with_label("no name before this `{`")
            .with_help("put the name before `{` on the same line");
        let between = &self.text[self.last_end..token.start];
        let after_datum =
            matches!(self.last, Some(TokenKind::Word | TokenKind::Keyword | TokenKind::Quoted | TokenKind::Raw));
        if after_datum && between.trim().is_empty() {
            // `name`, line end, `{`: the name is there, only on another line.
            let gap = self.span(self.last_end, token.start);
            diagnostic = diagnostic.with_fix(Applicability::MaybeIncorrect, gap, " ");
            // That node is not whole without its block.
            if self.frames.is_empty() && self.slices.ranges.last().is_some_and(|last| last.end >= self.last_end) {
                self.slices.ranges.pop();
            }
        }
        self.report(diagnostic);
    }

    fn close(&mut self, token: Token) {
        self.slash = false;
        let last_end = std::mem::replace(&mut self.last_end, token.end);
        if self.excess > 0 {
            self.excess -= 1;
            self.node_start = false;
            if self.excess == 0 {
                self.report_depth();
            }
            return;
        }
        let Some(frame) = self.frames.last().copied() else {
            self.stray(token);
            return;
        };
        let own_line = frame.line != self.line && self.text[self.line..token.start].trim().is_empty();
        // The second in a row may be one too many as well, where it ends a block of a line before.
        let in_a_row = frame.line != self.line && self.last == Some(TokenKind::Close);
        if (own_line || in_a_row) && self.indent > frame.indent && self.closed_early.is_none() {
            // As if this brace were not there, the block goes on.
            self.closed_early = Some(self.suspect(token.start..token.end, last_end, self.frames.clone()));
        }
        self.frames.pop();
        self.hidden = frame.outer_hidden;
        self.node_start = false;
        self.last = Some(token.kind);
        self.stray_before = false;
        self.last_closed = Some(frame.open);
    }

    fn report_depth(&mut self) {
        if let Some((first, deepest)) = self.too_deep.take() {
            let span = self.span(first, first + 1);
            let limit = Limits::BLOCK_DEPTH;
            self.report(
                Diagnostic::new(Code::P0002, span, format!("blocks are nested {deepest} deep; the limit is {limit}"))
                    .with_label("one too deep")
                    .with_help("move the inner part to a `template` or `recipe`"),
            );
        }
    }

    fn suspect(&self, brace: Range<usize>, after: usize, frames: Vec<Frame>) -> Suspect {
        let too_many = self.text[brace.clone()].starts_with('}');
        let (brace, resume) = (brace.start, if too_many { brace.end } else { self.line });
        Suspect {
            brace,
            margin: self.frames.last().map_or(0, |frame| frame.indent),
            too_many,
            after,
            closed: self.last_closed,
            resume,
            line: self.line,
            indent: self.indent,
            frames,
            slice_start: self.slice_start,
            slices: self.slices.ranges.len(),
            comments: self.slices.comment_lines.len(),
            found: self.found.len(),
        }
    }

    /// Whether the innermost block should have ended before this token, the first of its line.
    fn looks_unclosed(&self, token: Token) -> bool {
        let Some(frame) = self.frames.last() else { return false };
        let may_begin = self.node_start && !self.slash && self.excess == 0 && self.never_closed.is_none();
        may_begin
            && frame.line != self.line
            && if token.kind == TokenKind::Close { self.indent < frame.indent } else { self.indent <= frame.indent }
    }

    fn suspect_unclosed(&mut self, token: Token) {
        let Some(brace) = self.frames.last().map(|frame| frame.open) else { return };
        let closes = token.kind == TokenKind::Close;
        let mut frames = self.frames.clone();
        while frames.last().is_some_and(|f| if closes { f.indent > self.indent } else { f.indent >= self.indent }) {
            frames.pop();
        }
        self.never_closed = Some(self.suspect(brace..brace + 1, self.last_end, frames));
    }

    fn stray(&mut self, token: Token) {
        // A run of them is one mistake.
        let repeated = std::mem::replace(&mut self.stray_before, true);
        self.last = Some(token.kind);
        let suspect = self.closed_early.take().filter(|_| self.restarts < RESTARTS);
        if repeated && suspect.is_none() || self.found.len() >= KEPT {
            self.poisoned = true;
            self.node_start = false;
            return;
        }
        let (brace, closed) = suspect.as_ref().map_or((token.start, self.last_closed), |s| (s.brace, s.closed));
        let span = self.span(brace, brace + 1);
        let mut diagnostic = Diagnostic::new(Code::P0004, span, "`}` closes nothing")
            .with_label(if suspect.is_some() { "one too many" } else { "no block is open here" })
            .with_fix(Applicability::MaybeIncorrect, span, "");
        diagnostic = match closed {
            Some(open) => diagnostic
                .with_secondary(self.span(open, open + 1), "this block has its `}` already")
                .with_help(format!("remove it; the block starting on line {} already ended", self.line_of(open))),
            None => diagnostic.with_help("remove it; no block was opened before"),
        };
        match suspect {
            Some(suspect) => self.restart(suspect, diagnostic),
            None => {
                self.report(diagnostic);
                self.node_start = false;
            }
        }
    }

    /// Goes on from a mended brace.
    fn restart(&mut self, suspect: Suspect, diagnostic: Diagnostic) {
        self.restarts += 1;
        self.slices.ranges.truncate(suspect.slices);
        self.slices.comment_lines.truncate(suspect.comments);
        self.found.truncate(suspect.found);
        self.slice_start = suspect.slice_start;
        self.started = true;
        self.report(diagnostic);
        self.frames = suspect.frames;
        self.excess = 0;
        self.too_deep = None;
        self.node_start = true;
        self.slash = false;
        self.hidden = false;
        self.last = None;
        self.last_end = suspect.after;
        self.line = suspect.line;
        self.indent = suspect.indent;
        self.line_empty = !suspect.too_many;
        if !suspect.too_many {
            self.end_of_node(suspect.resume);
        }
        self.half_string = None;
        self.never_closed = None;
        self.closed_early = None;
        self.lexer.seek(suspect.resume);
    }

    /// Ends the text. `true` if the scan goes on from a mended brace.
    fn finish(&mut self) -> bool {
        self.report_depth();
        let deep = self.excess > 0;
        if self.frames.is_empty() || deep {
            if self.started && self.frames.is_empty() {
                self.end_of_slice(self.text.len());
            }
            return false;
        }
        if let Some(suspect) = self.never_closed.take().filter(|_| self.restarts < RESTARTS) {
            let line = self.line_of(suspect.after);
            let margin = suspect.margin;
            let edit = self.span(suspect.after, suspect.after);
            let diagnostic = self
                .unclosed(suspect.brace)
                .with_help(format!("indentation suggests the `}}` belongs after line {line}"))
                .with_fix(Applicability::MaybeIncorrect, edit, format!("\n{}}}", " ".repeat(margin)));
            self.restart(suspect, diagnostic);
            return true;
        }
        let mut open = self.frames.iter().rev().map(|frame| frame.open);
        if let Some(innermost) = open.next() {
            let mut diagnostic = self.unclosed(innermost).with_help("add a `}` where the block ends");
            for outer in open.take(3) {
                diagnostic = diagnostic.with_secondary(self.span(outer, outer + 1), "nor is this one");
            }
            // What is wrong besides may come from the missing brace.
            if !self.poisoned {
                self.report(diagnostic);
            }
        }
        false
    }

    fn unclosed(&self, brace: usize) -> Diagnostic {
        Diagnostic::new(Code::P0003, self.span(brace, brace + 1), "this `{` is never closed").with_label("opened here")
    }
}

/// Columns of white space; a tab counts as four.
fn indentation(space: &str) -> usize {
    space.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum()
}
