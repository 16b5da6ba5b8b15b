//! The one entry from KDL text to the syntax tree: guard, then each slice on its own through the
//! `kdl` crate on a thread with a large stack. Leaves out what nodes mean.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::base::Limits;
use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::Node;
use crate::lang::guard::guard;
use crate::lang::parse_check::plain;
use crate::lang::parse_lower::Lower;
use crate::lang::parsed::{Base, ParsedSlices, decode, encode, slice_digest};
use crate::lang::slice::Slices;

/// Below this many bytes one thread is faster than several.
const PARALLEL_BYTES: usize = 64 * 1024;

/// Syntax errors kept of one file; more say nothing more.
const KEPT: usize = 1_000;

/// Parses a text from anyone. Top-level nodes with a mistake are reported, one mistake each, and left
/// out; all others are returned in order.
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Vec<Node> {
    parse_with(source, text, None, diagnostics)
}

/// As [`parse`]; slices that were parsed before are not parsed again.
pub(crate) fn parse_with(
    source: SourceId,
    text: &str,
    kept: Option<&dyn ParsedSlices>,
    diagnostics: &mut Diagnostics,
) -> Vec<Node> {
    parse_on(Stack::Any, source, text, kept, diagnostics)
}

/// What is known of the stack of the thread that asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Nothing.
    Any,
    /// It has `Limits::PARSER_STACK_BYTES`.
    Large,
}

/// As [`parse_with`]; where one thread is enough and the stack is large, on the thread that asks.
pub(crate) fn parse_on(
    stack: Stack,
    source: SourceId,
    text: &str,
    kept: Option<&dyn ParsedSlices>,
    diagnostics: &mut Diagnostics,
) -> Vec<Node> {
    let slices = guard(source, text, diagnostics);
    if slices.ranges.is_empty() {
        return Vec::new();
    }
    let workers = if text.len() > PARALLEL_BYTES {
        thread::available_parallelism().map_or(1, usize::from).min(slices.ranges.len())
    } else {
        1
    };
    let mut nodes = Vec::new();
    let mut errors = Vec::new();
    let groups = share(&slices.ranges, workers);
    for result in parse_groups(stack, source, text, &slices, kept, &groups) {
        match result {
            Ok(node) => nodes.extend(node),
            Err(error) => errors.push(*error),
        }
    }
    report(errors, diagnostics);
    nodes
}

/// One parsed slice; no node if a `/-` hides it.
type Parsed = Result<Option<Node>, Box<Diagnostic>>;

/// Cuts the slices into one run for each worker, of about as many bytes.
fn share(ranges: &[Range<usize>], workers: usize) -> Vec<&[Range<usize>]> {
    let total = ranges.iter().map(Range::len).sum::<usize>();
    let fair = total.div_ceil(workers.max(1)).max(1);
    let mut groups = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (index, range) in ranges.iter().enumerate() {
        bytes += range.len();
        if bytes >= fair {
            groups.push(&ranges[from..=index]);
            (from, bytes) = (index + 1, 0);
        }
    }
    if from < ranges.len() {
        groups.push(&ranges[from..]);
    }
    groups
}

fn parse_groups(
    stack: Stack,
    source: SourceId,
    text: &str,
    slices: &Slices,
    kept: Option<&dyn ParsedSlices>,
    groups: &[&[Range<usize>]],
) -> Vec<Parsed> {
    let one = |range: &Range<usize>| match kept {
        Some(kept) => known_slice(source, text, slices, kept, range.clone()),
        None => parse_slice(source, text, slices, range.clone()),
    };
    let work = |group: &[Range<usize>]| -> Vec<Parsed> { group.iter().map(one).collect() };
    if let (Stack::Large, [group]) = (stack, groups) {
        return work(group);
    }
    thread::scope(|scope| {
        let mut started = Vec::new();
        for group in groups {
            let builder =
                thread::Builder::new().name("partita-parse".to_owned()).stack_size(Limits::PARSER_STACK_BYTES);
            started.push((*group, builder.spawn_scoped(scope, || work(group))));
        }
        let mut parsed = Vec::new();
        for (group, thread) in started {
            match thread.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(results)) => parsed.extend(results),
                // No thread to be had: after the guard, the depth is safe for any stack.
                Ok(Err(_)) | Err(_) => parsed.extend(work(group)),
            }
        }
        parsed
    })
}

/// A slice as it was parsed before, or parsed now and kept.
fn known_slice(source: SourceId, text: &str, slices: &Slices, kept: &dyn ParsedSlices, range: Range<usize>) -> Parsed {
    let digest = slice_digest(&text[range.clone()]);
    let base = Base { source, offset: range.start as u32 };
    if let Some(Ok(node)) = kept.get(digest).map(|bytes| decode(bytes, base)) {
        return Ok(node);
    }
    let parsed = parse_slice(source, text, slices, range)?;
    if let Some(encoded) = encode(parsed.as_ref(), base) {
        kept.put(digest, encoded);
    }
    Ok(parsed)
}

fn parse_slice(source: SourceId, text: &str, slices: &Slices, range: Range<usize>) -> Parsed {
    let plain = plain(source, text, range.clone())?;
    // The parser is not ours: should it panic on something, that is one bad slice.
    let parsed = catch_unwind(AssertUnwindSafe(|| kdl::KdlDocument::parse_v2(&plain)));
    let lower = Lower { source, text, plain: &plain, base: range.start, slices };
    match parsed {
        Ok(Ok(document)) => Ok(lower.document(&document)),
        Ok(Err(error)) => Err(Box::new(refused(source, &range, &plain, &error))),
        Err(_) => {
            let start = range.start + (plain.len() - plain.trim_start().len());
            let span = Span::new(source, start.min(range.end), range.end);
            Err(Box::new(
                Diagnostic::new(Code::P0013, span, "this cannot be read as KDL")
                    .with_help("the parser fails on it; write it in another way"),
            ))
        }
    }
}

/// What the parser says of a slice that the check found nothing wrong with.
fn refused(source: SourceId, range: &Range<usize>, plain: &str, error: &kdl::KdlError) -> Diagnostic {
    let first = error.diagnostics.iter().min_by_key(|found| found.span.offset());
    let (offset, length) = first.map_or((0, plain.len()), |found| (found.span.offset(), found.span.len()));
    let start = (range.start + offset).min(range.end);
    let span = Span::new(source, start, (start + length).min(range.end));
    let why = first.and_then(|found| found.message.as_deref()).unwrap_or("not understood");
    let mut diagnostic = Diagnostic::new(Code::P0013, span, "this is not KDL").with_label(why.to_lowercase());
    diagnostic = diagnostic.with_help(match first.and_then(|found| found.help.as_deref()) {
        Some(help) => help.to_owned(),
        None => "compare it with the examples of KDL 2".to_owned(),
    });
    diagnostic
}

/// Reports what the slices gave. A file in KDL 1 is one mistake, not one for each `true`.
fn report(errors: Vec<Diagnostic>, diagnostics: &mut Diagnostics) {
    let old = errors.iter().position(|error| error.code == Code::P0011);
    let mut kept = 0;
    for (index, error) in errors.into_iter().enumerate() {
        let follows = old.is_some_and(|old| index != old && matches!(error.code, Code::P0005 | Code::P0011));
        if !follows && kept < KEPT {
            kept += 1;
            diagnostics.push(error);
        }
    }
}

#[cfg(test)]
mod tests;
