//! `test`: what is expected of a graph with values for its parameters. Leaves out whether it holds.

use crate::diag::{Code, Span};
use crate::lang::ast::{Expr, Name};
use crate::lang::{Spanned, ty::Ty};

/// Values for parameters of a graph.
pub(crate) type Values = Vec<(Name, Vec<Expr>)>;

/// `test`.
#[derive(Clone, Debug)]
pub(crate) struct TestDecl {
    /// The name.
    pub(crate) name: Name,
    /// The graph.
    pub(crate) graph: Name,
    /// Values for its parameters.
    pub(crate) values: Values,
    /// What is expected, in order.
    pub(crate) expects: Vec<ExpectDecl>,
}

/// `expect` or `expect-plan`.
#[derive(Clone, Debug)]
pub(crate) struct ExpectDecl {
    /// What.
    pub(crate) what: Expected,
    /// The node without its block.
    pub(crate) span: Span,
}

/// What is expected.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// So many nodes at a pattern.
    Nodes { pattern: Name, count: Option<Spanned<i128>>, min: Option<Spanned<i128>>, max: Option<Spanned<i128>> },
    /// A way, or none, by which one depends on another.
    Path { from: Name, to: Name, exists: bool },
    /// An output of a type.
    Type { output: Name, ty: Spanned<Ty> },
    /// A diagnostic, with these values besides.
    Diagnostic { code: Spanned<Code>, values: Values },
    /// The plan as it was kept.
    Plan { file: Name },
}
