//! From the `kdl` crate's tree of one slice to ours: places in the whole file, numbers with a point
//! as they were written, documentation. Leaves out mistakes: the slice has none.

use kdl::{KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use crate::diag::{SourceId, Span};
use crate::lang::lex::{is_space, newline_len};
use crate::lang::slice::Slices;
use crate::lang::{Kind, Node, Property, Spanned, TypeNote, Value};

/// What lowering needs to know of a slice.
#[derive(Clone, Copy)]
pub(super) struct Lower<'a> {
    pub(super) source: SourceId,
    /// The whole file.
    pub(super) text: &'a str,
    /// What the `kdl` crate was given.
    pub(super) plain: &'a str,
    /// Offset of the slice in the file.
    pub(super) base: usize,
    pub(super) slices: &'a Slices,
}

impl Lower<'_> {
    /// The one node of a slice; none if a `/-` hides it.
    pub(super) fn document(self, document: &KdlDocument) -> Option<Node> {
        document.nodes().first().map(|node| self.node(node))
    }

    fn span(self, start: usize, end: usize) -> Span {
        Span::new(self.source, self.base + start, self.base + end)
    }

    fn node(self, node: &KdlNode) -> Node {
        let start = node.span().offset();
        // The parser counts white space after the node as part of it.
        let inner = &self.plain[start..start + node.span().len()];
        let span = self.span(start, start + inner.trim_end_matches(is_space).len());
        let mut args = Vec::new();
        let mut props = Vec::new();
        for entry in node.entries() {
            let value = self.value(entry);
            match entry.name() {
                Some(name) => props.push(Property { name: self.name(name), value }),
                None => args.push(value),
            }
        }
        let children = node.children().map(|block| block.nodes().iter().map(|child| self.node(child)).collect());
        Node {
            name: self.name(node.name()),
            note: node.ty().map(|note| self.name(note)),
            args,
            props,
            children,
            span,
            doc: self.slices.doc(self.text, span.start as usize),
        }
    }

    fn name(self, name: &KdlIdentifier) -> TypeNote {
        let start = name.span().offset();
        Spanned { value: name.value().to_owned(), span: self.span(start, start + name.span().len()) }
    }

    fn value(self, entry: &KdlEntry) -> Value {
        let end = entry.span().offset() + entry.span().len();
        // An entry's place has no place of its value in it, but ends with the value as written.
        let length = entry.format().map_or(0, |format| format.value_repr.len());
        let written = &self.plain[end - length..end];
        let span = self.span(end - length, end);
        let kind = match entry.value() {
            KdlValue::String(text) => Kind::Text(text.clone()),
            KdlValue::Integer(number) => Kind::Int(*number),
            KdlValue::Float(_) => Kind::Decimal(written.to_owned()),
            KdlValue::Bool(truth) => Kind::Bool(*truth),
            KdlValue::Null => Kind::Null,
        };
        let (verbatim, skipped) = match &kind {
            Kind::Text(text) => verbatim(written, text),
            _ => (true, 0),
        };
        let places = match &kind {
            Kind::Text(text) if !verbatim => places(written, text),
            _ => Vec::new(),
        };
        Value {
            note: entry.ty().map(|note| self.name(note)),
            kind,
            span,
            verbatim,
            text_start: span.start + skipped as u32,
            places,
        }
    }
}

/// Whether a string stands in the source as it is, and how many bytes of quotes come before it.
pub(super) fn verbatim(written: &str, text: &str) -> (bool, usize) {
    let hashes = written.bytes().take_while(|b| *b == b'#').count();
    let open = &written[hashes..];
    if !open.starts_with('"') {
        return (true, 0);
    }
    let lines = open.starts_with("\"\"\"") && newline_len(open, 3) > 0;
    let skipped = hashes + if lines { 3 + newline_len(open, 3) } else { 1 };
    let Some(rest) = written[skipped..].strip_prefix(text) else { return (false, skipped) };
    // What is left must be nothing but the closing line or quote.
    let rest = if lines { rest[newline_len(rest, 0)..].trim_start_matches(is_space) } else { rest };
    let quotes = rest.trim_end_matches('#');
    (rest.len() - quotes.len() == hashes && quotes == if lines { "\"\"\"" } else { "\"" }, skipped)
}

/// Where the stretches of a text with holes stand in the string as written: escapes and the indentation of
/// several lines are in one and not in the other. Empty if there is no hole, or it cannot be told.
pub(super) fn places(written: &str, text: &str) -> Vec<(u32, u32)> {
    if !text.contains("{{") {
        return Vec::new();
    }
    let hashes = written.bytes().take_while(|b| *b == b'#').count();
    let open = written[hashes..].starts_with("\"\"\"");
    let quotes = if open { 3 } else { 1 };
    let (mut at, mut end) = (hashes + quotes, written.len().saturating_sub(hashes + quotes));
    let lines = open && newline_len(written, at) > 0;
    let mut prefix = "";
    if lines {
        at += newline_len(written, at);
        // The last line holds the indentation and the closing quotes.
        let body = written[..end].trim_end_matches(is_space);
        prefix = &written[body.len()..end];
        end = body.len();
    }
    let mut found = String::with_capacity(text.len());
    let mut places: Vec<(u32, u32)> = Vec::new();
    let mut begins = lines;
    while at < end {
        let rest = &written[at..end];
        if std::mem::take(&mut begins) {
            let blank = rest.len() - rest.trim_start_matches(is_space).len();
            let empty = newline_len(written, at + blank) > 0;
            at += if empty { blank } else { prefix.len().min(blank) };
            continue;
        }
        let newline = newline_len(written, at);
        if newline > 0 {
            at += newline;
            begins = lines;
            // The last line end is no part of the text.
            if !(lines && at >= end) {
                found.push('\n');
            }
            continue;
        }
        if hashes == 0 && rest.starts_with('\\') {
            let after = &rest[1..];
            let gap = after.len() - after.trim_start_matches(|c: char| c.is_whitespace()).len();
            if gap > 0 {
                at += 1 + gap;
                continue;
            }
            let length = if after.starts_with('u') { after.find('}').map_or(1, |close| close + 1) } else { 1 };
            let Some(c) = text[found.len()..].chars().next() else { return Vec::new() };
            found.push(c);
            at += 1 + length;
            continue;
        }
        let (to, from) = (found.len() as u32, at as u32);
        if places.last().is_none_or(|(text, source)| source - text != from - to) {
            places.push((to, from));
        }
        let Some(c) = rest.chars().next() else { break };
        found.push(c);
        at += c.len_utf8();
    }
    // Whatever this does not know of strings only costs the exact place.
    if found == text { places } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::{places, verbatim};

    #[test]
    fn places_are_told_through_escapes_and_indentation() {
        let at = |written: &str, text: &str, offset: usize| {
            let places = places(written, text);
            let of = places.iter().rev().find(|(text, _)| *text as usize <= offset).copied().expect("it is known");
            written[of.1 as usize + offset - of.0 as usize..].chars().next()
        };
        assert_eq!(at(r#""a\n{{ x }}""#, "a\n{{ x }}", 5), Some('x'));
        assert_eq!(at(r#""\u{e9}{{ x }}""#, "é{{ x }}", 5), Some('x'));
        let lines = "\"\"\"\n    echo\n\n      {{ x }} \\\"y\\\"\n    \"\"\"";
        assert_eq!(at(lines, "echo\n\n  {{ x }} \"y\"", 11), Some('x'));
        assert_eq!(at(lines, "echo\n\n  {{ x }} \"y\"", 17), Some('y'));
        assert_eq!(places("\"a\\n\"", "a\n"), []);
        assert_eq!(places("\"{{ a \\n\"", "{{ other"), []);
    }

    #[test]
    fn knows_when_offsets_hold() {
        assert_eq!(verbatim("bare", "bare"), (true, 0));
        assert_eq!(verbatim("\"a b\"", "a b"), (true, 1));
        assert_eq!(verbatim("\"\"", ""), (true, 1));
        assert_eq!(verbatim(r#""a\n""#, "a\n"), (false, 1));
        assert_eq!(verbatim(r#""a\\""#, "a\\"), (false, 1));
        assert_eq!(verbatim("\"a\\\n   b\"", "ab"), (false, 1));
        assert_eq!(verbatim(r###"##"a\"# b"##"###, "a\\\"# b"), (true, 3));
        assert_eq!(verbatim("\"\"\"\na\nb\n\"\"\"", "a\nb"), (true, 4));
        assert_eq!(verbatim("\"\"\"\n  a\n  \"\"\"", "a"), (false, 4));
        assert_eq!(verbatim("#\"\"\"\r\na\\\r\n\"\"\"#", "a\\"), (true, 6));
        assert_eq!(verbatim("\"\"\"\r\na\r\nb\r\n\"\"\"", "a\nb"), (false, 5));
        assert_eq!(verbatim("\"\"\"\n\"\"\"", ""), (true, 4));
    }
}
