//! `test`: what is expected of a graph with values for its parameters. Leaves out whether it holds.

use serde::{Deserialize, Serialize};

use crate::diag::{Code, Span};
use crate::lang::ast::{Expr, Name, Op};
use crate::lang::{Spanned, ty::Ty};

/// Values for parameters of a graph.
pub(crate) type Values = Vec<(Name, Vec<Expr>)>;

/// `test`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TestDecl {
    /// The name.
    pub(crate) name: Name,
    /// The graph.
    pub(crate) graph: Name,
    /// Values for its parameters.
    pub(crate) values: Values,
    /// What stands in when the graph is run.
    pub(crate) mocks: Vec<MockDecl>,
    /// What is expected, in order.
    pub(crate) expects: Vec<ExpectDecl>,
}

/// `expect` or `expect-plan`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExpectDecl {
    /// What.
    pub(crate) what: Expected,
    /// The node without its block.
    pub(crate) span: Span,
}

/// What is expected.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// The most a run costs, in micro-dollars.
    Cost { op: Op, usd: Spanned<u64> },
    /// How a run with mocks ends.
    Status { status: Spanned<i128> },
    /// What a run with mocks leaves.
    Output { output: Name, op: Op, value: Name },
}

impl Expected {
    /// Whether it takes a run to tell.
    pub(crate) fn of_run(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Output { .. })
    }
}

/// `mock`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MockDecl {
    /// Whether an agent is meant, and not a tool.
    pub(crate) agent: bool,
    /// The tool or agent.
    pub(crate) name: Name,
    /// Where; `None`: everywhere.
    pub(crate) at: Option<Name>,
    /// The status it ends with.
    pub(crate) status: u8,
    /// What it leaves: a text, or a file.
    pub(crate) outputs: Vec<(Name, MockContent)>,
}

/// What is left under a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MockContent {
    /// A text.
    Text(String),
    /// The content of a file beside the spec.
    File(Name),
}
