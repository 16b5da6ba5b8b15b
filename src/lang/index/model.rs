//! What the index is made of: symbols, scopes, and the places where names stand. Leaves out how they
//! are found.

use std::collections::BTreeMap;

use crate::diag::{SourceId, Span};
use crate::lang::{FileId, Node};

/// Which symbol of an index.
pub type SymbolId = usize;

/// Which scope.
pub(super) type ScopeId = usize;

/// Something with a name.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// The name of the node that declares it: `recipe`, `param`, `import`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The name's place, without quotes.
    pub span: Span,
    /// The same with its quotes.
    pub(super) quoted: Span,
    /// The place of the whole declaration.
    pub whole: Span,
    /// Where its head ends: what is before its block.
    pub head_end: u32,
    /// What it is declared in.
    pub container: Option<SymbolId>,
    /// Its type as written.
    pub ty: Option<String>,
    /// Its value or default as written, if it has one.
    pub value: Option<String>,
    /// The values it may have, if they are a closed set.
    pub words: Vec<String>,
    /// The comment above it.
    pub doc: Option<String>,
    /// Whether the name's place holds exactly the name: no escapes.
    pub(super) exact: bool,
    /// The file.
    pub(super) file: FileId,
    /// Where it can be seen.
    pub(super) scope: ScopeId,
    /// The scope inside it.
    pub(super) inner: Option<ScopeId>,
    /// What it applies: kinds and name.
    pub(super) callees: Vec<Callee>,
    /// What is declared directly in it.
    pub(super) members: Vec<SymbolId>,
}

impl Symbol {
    /// The file it is declared in.
    pub fn file(&self) -> FileId {
        self.file
    }
}

/// A name of something that is given arguments.
#[derive(Clone, Debug)]
pub(super) struct Callee {
    pub(super) kinds: Vec<&'static str>,
    pub(super) name: String,
    /// Where it is named.
    pub(super) span: Span,
}

/// Where names can be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) parent: Option<ScopeId>,
    pub(super) file: usize,
    /// Symbols by namespace and name; of two of one name the first counts.
    pub(super) names: BTreeMap<(&'static str, String), SymbolId>,
}

/// A place where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The place.
    pub span: Span,
    /// What it names.
    pub symbol: SymbolId,
    /// Whether it is where the name is given.
    pub definition: bool,
    /// Whether the place holds exactly the name.
    pub(super) exact: bool,
    /// The scope it is looked up in; `None` where it is looked up in what is applied.
    pub(super) scope: Option<ScopeId>,
}

/// What a site asks for.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// One of these kinds.
    Named(Vec<&'static str>),
    /// A variable.
    Variable,
    /// Nodes, by address or pattern.
    Address,
    /// An output, as `node.output`.
    Reference,
    /// An output of the nodes at an address.
    Output(String),
    /// A parameter of what is applied.
    Parameter(Vec<Callee>),
    /// A result of the declaration around it.
    Result(SymbolId),
    /// Types.
    Type,
}

/// A place that names something, before it is known what.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) file: usize,
    pub(super) scope: ScopeId,
    /// The declaration around it.
    pub(super) owner: Option<SymbolId>,
    pub(super) want: Want,
    pub(super) text: String,
    pub(super) span: Span,
    pub(super) exact: bool,
}

/// A file with what stands in it.
#[derive(Clone, Debug)]
pub(super) struct IndexedFile {
    pub(super) source: SourceId,
    /// The path as the program knows it.
    pub(super) path: String,
    /// The package it is of.
    pub(super) package: Option<usize>,
    /// The scope of its declarations.
    pub(super) root: ScopeId,
    pub(super) tree: Vec<Node>,
    /// The scopes inside nodes, by where the nodes begin; an outer one before those in it.
    pub(super) scopes: Vec<(Span, ScopeId, Option<SymbolId>)>,
    /// Names in order.
    pub(super) occurrences: Vec<Occurrence>,
    /// Paths of imports and files: the place and the path as written.
    pub(super) paths: Vec<(Span, String, bool)>,
    pub(super) aliases: BTreeMap<String, FileId>,
}
