//! Slices that were parsed before: the port by which a front keeps them, and their encoding. A slice is
//! known by the digest of its text alone, so that one edit parses one slice anew, wherever the slice
//! stands. Leaves out where they are kept.

use crate::base::{Digest, Hasher};
use crate::diag::{SourceId, Span};
use crate::lang::{Node, Value};

/// What a change of the parser, of the tree or of the encoding changes: slices of another number are
/// not found.
const VERSION: &[u8] = b"partita parsed slice 3\n";

/// Where parsed slices are kept. What it gives is trusted to be what it was given: who keeps it
/// checks that.
pub trait ParsedSlices: Sync {
    /// The encoded tree of a slice.
    fn get(&self, slice: Digest) -> Option<&[u8]>;
    /// Keeps one.
    fn put(&self, slice: Digest, encoded: Vec<u8>);
    /// What identifies the program that decodes, if whole files are kept as it decoded them, as slices are.
    fn decoder(&self) -> Option<Digest> {
        None
    }
}

/// What a slice is known by.
pub(super) fn slice_digest(text: &str) -> Digest {
    Hasher::of_blob().update(VERSION).update(text.as_bytes()).finish()
}

/// Where a slice stands: what its places are relative to.
#[derive(Clone, Copy)]
pub(super) struct Base {
    pub(super) source: SourceId,
    pub(super) offset: u32,
}

/// The encoding of a slice's node, `None` for one that a `/-` hides.
pub(super) fn encode(node: Option<&Node>, base: Base) -> Option<Vec<u8>> {
    let mut node = node.cloned();
    if let Some(node) = &mut node {
        Move { source: SourceId(0), place: &|offset| offset.saturating_sub(base.offset) }.node(node);
    }
    postcard::to_allocvec(&node).ok()
}

/// What does not decode counts as not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// The node of an encoded slice; none if a `/-` hides it.
pub(super) fn decode(bytes: &[u8], base: Base) -> Result<Option<Node>, Damaged> {
    let Ok((mut node, [])) = postcard::take_from_bytes::<Option<Node>>(bytes) else { return Err(Damaged) };
    if let Some(node) = &mut node {
        Move { source: base.source, place: &|offset| offset.saturating_add(base.offset) }.node(node);
    }
    Ok(node)
}

/// Moves all places of a tree.
struct Move<'a> {
    source: SourceId,
    place: &'a dyn Fn(u32) -> u32,
}

impl Move<'_> {
    fn span(&self, span: &mut Span) {
        *span = Span { source: self.source, start: (self.place)(span.start), end: (self.place)(span.end) };
    }

    fn value(&self, value: &mut Value) {
        if let Some(note) = &mut value.note {
            self.span(&mut note.span);
        }
        self.span(&mut value.span);
        value.text_start = (self.place)(value.text_start);
    }

    fn node(&self, node: &mut Node) {
        self.span(&mut node.name.span);
        if let Some(note) = &mut node.note {
            self.span(&mut note.span);
        }
        node.args.iter_mut().for_each(|value| self.value(value));
        for property in &mut node.props {
            self.span(&mut property.name.span);
            self.value(&mut property.value);
        }
        node.children.iter_mut().flatten().for_each(|child| self.node(child));
        self.span(&mut node.span);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::{Base, Damaged, ParsedSlices, decode, encode};
    use crate::base::Digest;
    use crate::diag::{Diagnostics, SourceId};
    use crate::lang::parse::parse_with;

    /// Slices in memory, with a count of those that were put.
    #[derive(Default)]
    struct Kept {
        known: BTreeMap<Digest, Vec<u8>>,
        put: Mutex<BTreeMap<Digest, Vec<u8>>>,
    }

    impl ParsedSlices for Kept {
        fn get(&self, slice: Digest) -> Option<&[u8]> {
            self.known.get(&slice).map(Vec::as_slice)
        }

        fn put(&self, slice: Digest, encoded: Vec<u8>) {
            self.put.lock().expect("no panic while held").insert(slice, encoded);
        }
    }

    const TEXT: &str =
        "// über a\na 1 -2.5 x=(var)y #true #null { b \"c\\n{{ d }}\" {} }\n\n/- hidden 1\nz \"\"\"\n  x\n  \"\"\"\n";

    #[test]
    fn what_is_kept_gives_the_tree_that_parsing_gives() {
        let mut diagnostics = Diagnostics::default();
        let plain = parse_with(SourceId(3), TEXT, None, &mut diagnostics);
        let first = Kept::default();
        assert_eq!(parse_with(SourceId(3), TEXT, Some(&first), &mut diagnostics), plain);
        let known = first.put.into_inner().expect("no panic while held");
        assert_eq!(known.len(), 3);
        let second = Kept { known, put: Mutex::default() };
        assert_eq!(parse_with(SourceId(3), TEXT, Some(&second), &mut diagnostics), plain);
        // Only the slice that is new is parsed, and places move with what stands before.
        let moved = format!("new 1\n{TEXT}");
        let nodes = parse_with(SourceId(3), &moved, Some(&second), &mut diagnostics);
        assert_eq!(nodes, parse_with(SourceId(3), &moved, None, &mut diagnostics));
        assert_eq!(second.put.lock().expect("no panic while held").len(), 1);
        assert!(diagnostics.sorted().is_empty());
    }

    #[test]
    fn a_slice_with_a_mistake_is_not_kept() {
        let kept = Kept::default();
        let mut diagnostics = Diagnostics::default();
        parse_with(SourceId(0), "a = 1\n", Some(&kept), &mut diagnostics);
        assert!(diagnostics.has_errors());
        assert!(kept.put.into_inner().expect("no panic while held").is_empty());
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let mut diagnostics = Diagnostics::default();
        let nodes = parse_with(SourceId(0), TEXT, None, &mut diagnostics);
        let base = Base { source: SourceId(0), offset: 0 };
        let bytes = encode(nodes.first(), base).expect("it encodes");
        assert_eq!(decode(&bytes, base), Ok(nodes.first().cloned()));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], base), Err(Damaged), "cut at {cut}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(decode(&longer, base), Err(Damaged));
    }
}
