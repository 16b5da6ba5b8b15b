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
    /// What is said of its values: the word and what stands behind it, as `min` and `1`.
    pub(super) constraints: Vec<(&'static str, String)>,
    /// Of a loop variable: the list or map it goes over, and whether it is the value of an entry.
    pub(super) over: Option<(String, bool)>,
    /// Tools that it starts by itself.
    pub(super) starts: Vec<String>,
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

/// What may be given something that holds other values.
#[derive(Clone, Debug)]
pub(super) enum Base {
    /// The parameters of what is applied; the first step names one.
    Parameters(Vec<Callee>),
    /// Something of a type, as written.
    Type(String),
}

/// A place in a value: what it is in, and the steps to it: parameters, fields, entries, and `-` for elements.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) base: Base,
    pub(super) path: Vec<String>,
}

impl Given {
    /// What is one step further in.
    pub(super) fn step(&self, name: &str) -> Self {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        Self { base: self.base.clone(), path }
    }
}

/// What is taken at a place that is made for each instance of it.
#[derive(Clone, Debug)]
pub(super) enum Taken {
    /// An output, as `node.output`.
    Reference(String),
    /// What a parameter is given.
    Variable(String),
    /// Nodes.
    Nodes(String),
}

/// A reference or a variable that a parameter is given.
#[derive(Clone, Debug)]
pub(super) struct Gift {
    pub(super) scope: ScopeId,
    pub(super) owner: Option<SymbolId>,
    pub(super) callees: Vec<Callee>,
    pub(super) name: String,
    pub(super) taken: Taken,
}

/// An address or pattern that is written somewhere: where it begins, and whether also in what is around that.
#[derive(Clone, Debug)]
pub(super) struct AddressSite {
    pub(super) starts: Vec<ScopeId>,
    pub(super) outwards: bool,
    pub(super) text: String,
    pub(super) span: Span,
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
    /// A loop variable of what is taken, written `node.NAME`.
    Key(Taken),
    /// A field or an entry of what is given.
    Member(Given),
    /// A name that is given: of a tool, of a node, by the type of what it is given to.
    Value(Given),
    /// A path of a gate: a parameter, and what is in it.
    Metric,
    /// Nodes of the graph of a test; `true`: with an output behind them.
    Tested(Vec<Callee>, bool),
    /// An output of what a mock stands in for: the graph, the tool or agent, and where.
    Mocked(Vec<Callee>, String, Option<String>),
    /// What a capability returns.
    Served(Vec<Callee>),
    /// A parameter of what is served, or else a variable.
    Offered(Vec<Callee>),
    /// A field of the elements of a list.
    Element(String),
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
