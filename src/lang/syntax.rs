//! The syntax tree of a spec: nodes, arguments and properties with their places. Made from the
//! `kdl` crate's tree slice by slice, which is then dropped. Leaves out what a node means.

use serde::{Deserialize, Serialize};

use crate::diag::Span;

/// Something with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spanned<T> {
    /// The thing.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A type annotation, `(var)`: its name and place without the parentheses.
pub type TypeNote = Spanned<String>;

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A string, bare or quoted (quoting carries no meaning).
    Text(String),
    /// An integer.
    Int(i128),
    /// A number with a point or an exponent, as written; also `#inf`, `#-inf` and `#nan`.
    Decimal(String),
    /// `#true` or `#false`.
    Bool(bool),
    /// `#null`.
    Null,
}

/// A value with its annotation and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The annotation, if any.
    pub note: Option<TypeNote>,
    /// The value.
    pub kind: Kind,
    /// The place of the value itself, without annotation.
    pub span: Span,
    /// Whether the bytes between the quotes are exactly the text (no escapes, no dedent), so that
    /// offsets inside the text are offsets in the source. The first byte of the text is then at
    /// `text_start`.
    pub verbatim: bool,
    /// Byte offset in the source where the text begins: after the opening quote, in a string of several
    /// lines after its first line end. For what is not text, where the value begins.
    pub text_start: u32,
    /// Of a text with holes that is not verbatim: where stretches of it stand, each an offset in the text
    /// and one in the source, the latter from the start of the value.
    pub places: Vec<(u32, u32)>,
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// The name.
    pub name: Spanned<String>,
    /// The value.
    pub value: Value,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name.
    pub name: Spanned<String>,
    /// The annotation before the name, if any.
    pub note: Option<TypeNote>,
    /// Arguments in order.
    pub args: Vec<Value>,
    /// Properties in order, duplicates included.
    pub props: Vec<Property>,
    /// Children; `None` without a block.
    pub children: Option<Vec<Node>>,
    /// From the name (or annotation) to the end of the last entry or the closing brace.
    pub span: Span,
    /// The `//` comment lines directly above the node, without the slashes: its documentation.
    pub doc: Option<String>,
}
