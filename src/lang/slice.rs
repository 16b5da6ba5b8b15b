//! What the guard hands on: the text cut at its top-level nodes, and where its comment lines are.
//! Leaves out how they are found.

use std::ops::Range;

use crate::lang::lex::{newline_len, space_len};

/// The parts of a text that are safe to parse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slices {
    /// Byte ranges of the top-level nodes, in order, each with the comments before it and its line
    /// end. Those in which the guard found a mistake are left out.
    pub(super) ranges: Vec<Range<usize>>,
    /// Byte ranges of the `//` comments that stand alone on their line, in order.
    pub(super) comment_lines: Vec<Range<usize>>,
}

impl Slices {
    /// The documentation of what begins at an offset: the comment lines directly above it, without
    /// their slashes.
    pub(super) fn doc(&self, text: &str, start: usize) -> Option<String> {
        let mut below = self.comment_lines.partition_point(|comment| comment.end <= start);
        let mut at = start;
        let mut lines = Vec::new();
        while let Some(comment) = below.checked_sub(1).map(|i| &self.comment_lines[i]) {
            if !is_next_line(text, comment.end, at) {
                break;
            }
            let line = text[comment.clone()].trim_start_matches('/');
            lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end());
            at = comment.start;
            below -= 1;
        }
        lines.reverse();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Whether one line end and then only white space lie between two offsets.
fn is_next_line(text: &str, from: usize, to: usize) -> bool {
    let mut at = from + newline_len(text, from);
    if at == from {
        return false;
    }
    while at < to {
        match space_len(text, at) {
            0 => return false,
            length => at += length,
        }
    }
    at == to
}
