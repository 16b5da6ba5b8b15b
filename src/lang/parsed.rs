//! Slices that were parsed before: the port by which a front keeps them, and their encoding. A slice is
//! known by the digest of its text alone, so that one edit parses one slice anew, wherever the slice
//! stands. Leaves out where they are kept.

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};
use crate::diag::{SourceId, Span};
use crate::lang::{Kind, Node, Property, Spanned, TypeNote, Value};

/// What a change of the parser, of the tree or of the encoding changes: slices of another number are
/// not found.
const VERSION: &[u8] = b"partita parsed slice 2\n";

/// Where parsed slices are kept. What it gives is trusted to be what it was given: who keeps it
/// checks that.
pub trait ParsedSlices: Sync {
    /// The encoded tree of a slice.
    fn get(&self, slice: Digest) -> Option<&[u8]>;
    /// Keeps one.
    fn put(&self, slice: Digest, encoded: Vec<u8>);
}

/// What a slice is known by.
pub(super) fn slice_digest(text: &str) -> Digest {
    Hasher::of_blob().update(VERSION).update(text.as_bytes()).finish()
}

/// A place within the slice.
type At = (u32, u32);

#[derive(Serialize, Deserialize)]
enum FlatKind {
    Text(String),
    Int(i128),
    Decimal(String),
    Bool(bool),
    Null,
}

#[derive(Serialize, Deserialize)]
struct FlatName(String, At);

#[derive(Serialize, Deserialize)]
struct FlatValue {
    note: Option<FlatName>,
    kind: FlatKind,
    at: At,
    verbatim: bool,
    text_start: u32,
    places: Vec<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
struct FlatNode {
    name: FlatName,
    note: Option<FlatName>,
    args: Vec<FlatValue>,
    props: Vec<(FlatName, FlatValue)>,
    children: Option<Vec<FlatNode>>,
    at: At,
    doc: Option<String>,
}

/// Where a slice stands: what its places are relative to.
#[derive(Clone, Copy)]
pub(super) struct Base {
    pub(super) source: SourceId,
    pub(super) offset: u32,
}

/// The encoding of a slice's node, `None` for one that a `/-` hides.
pub(super) fn encode(node: Option<&Node>, base: Base) -> Option<Vec<u8>> {
    postcard::to_allocvec(&node.map(|node| base.flat_node(node))).ok()
}

/// What does not decode counts as not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// The node of an encoded slice; none if a `/-` hides it.
pub(super) fn decode(bytes: &[u8], base: Base) -> Result<Option<Node>, Damaged> {
    match postcard::take_from_bytes::<Option<FlatNode>>(bytes) {
        Ok((flat, [])) => Ok(flat.map(|flat| base.node(flat))),
        Ok(_) | Err(_) => Err(Damaged),
    }
}

impl Base {
    fn at(self, span: Span) -> At {
        (span.start - self.offset, span.end - self.offset)
    }

    fn span(self, at: At) -> Span {
        let moved = |offset: u32| offset.saturating_add(self.offset) as usize;
        Span::new(self.source, moved(at.0), moved(at.1))
    }

    fn flat_name(self, name: &TypeNote) -> FlatName {
        FlatName(name.value.clone(), self.at(name.span))
    }

    fn name(self, flat: FlatName) -> TypeNote {
        Spanned { value: flat.0, span: self.span(flat.1) }
    }

    fn flat_value(self, value: &Value) -> FlatValue {
        FlatValue {
            note: value.note.as_ref().map(|note| self.flat_name(note)),
            kind: match &value.kind {
                Kind::Text(text) => FlatKind::Text(text.clone()),
                Kind::Int(number) => FlatKind::Int(*number),
                Kind::Decimal(text) => FlatKind::Decimal(text.clone()),
                Kind::Bool(truth) => FlatKind::Bool(*truth),
                Kind::Null => FlatKind::Null,
            },
            at: self.at(value.span),
            verbatim: value.verbatim,
            text_start: value.text_start - self.offset,
            places: value.places.clone(),
        }
    }

    fn value(self, flat: FlatValue) -> Value {
        Value {
            note: flat.note.map(|note| self.name(note)),
            kind: match flat.kind {
                FlatKind::Text(text) => Kind::Text(text),
                FlatKind::Int(number) => Kind::Int(number),
                FlatKind::Decimal(text) => Kind::Decimal(text),
                FlatKind::Bool(truth) => Kind::Bool(truth),
                FlatKind::Null => Kind::Null,
            },
            span: self.span(flat.at),
            verbatim: flat.verbatim,
            text_start: flat.text_start.saturating_add(self.offset),
            places: flat.places,
        }
    }

    fn flat_node(self, node: &Node) -> FlatNode {
        FlatNode {
            name: self.flat_name(&node.name),
            note: node.note.as_ref().map(|note| self.flat_name(note)),
            args: node.args.iter().map(|value| self.flat_value(value)).collect(),
            props: node.props.iter().map(|it| (self.flat_name(&it.name), self.flat_value(&it.value))).collect(),
            children: node.children.as_ref().map(|nodes| nodes.iter().map(|node| self.flat_node(node)).collect()),
            at: self.at(node.span),
            doc: node.doc.clone(),
        }
    }

    fn node(self, flat: FlatNode) -> Node {
        Node {
            name: self.name(flat.name),
            note: flat.note.map(|note| self.name(note)),
            args: flat.args.into_iter().map(|value| self.value(value)).collect(),
            props: flat
                .props
                .into_iter()
                .map(|(name, value)| Property { name: self.name(name), value: self.value(value) })
                .collect(),
            children: flat.children.map(|nodes| nodes.into_iter().map(|node| self.node(node)).collect()),
            span: self.span(flat.at),
            doc: flat.doc,
        }
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
