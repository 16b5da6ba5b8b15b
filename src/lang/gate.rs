//! Gates, groups of people and guards as written; and the table of what a predicate may ask of each
//! kind of artifact. Leaves out whether any of it makes sense: see `check`.

use serde::{Deserialize, Serialize};

use crate::diag::Span;
use crate::lang::Spanned;
use crate::lang::ast::{Cond, Expr, Name, Param, Work};
use crate::lang::text::Text;
use crate::lang::ty::ArtifactKind;

/// The kinds of gate, by their words.
pub(crate) const KINDS: &[&str] = &["file", "content", "artifact", "check", "metric", "command", "agent", "approval"];

/// `gate`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateDecl {
    /// The name.
    pub name: Name,
    /// The kind as written; one of the known words.
    pub kind: Name,
    /// Parameters.
    pub params: Vec<Param>,
    /// Whether all its parameters were understood.
    pub params_known: bool,
    /// What must hold.
    pub require: Vec<RequireDecl>,
    /// Headings that must be there.
    pub sections: Vec<Name>,
    /// What is said when the gate says no and a requirement has no words of its own.
    pub message: Option<String>,
    /// The command, for a gate that is one.
    pub work: Work,
    /// The verdict of the agent, for a gate that asks one: what its requirements are about besides its parameters.
    pub verdict: Option<Param>,
    /// Who must approve.
    pub approvers: Option<ApproversDecl>,
    /// How long an approval is good for, in milliseconds.
    pub expires_ms: Option<u64>,
    /// The whole declaration.
    pub span: Span,
}

/// `require`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequireDecl {
    /// What must hold.
    pub condition: Cond,
    /// What is said if it does not.
    pub message: Option<String>,
    /// The node's name.
    pub span: Span,
}

/// `approvers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApproversDecl {
    /// The group.
    pub group: Name,
    /// How many of it.
    pub min: Spanned<u64>,
    /// Whether the author does not count.
    pub distinct: bool,
}

/// `group`: people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeopleDecl {
    /// The name.
    pub name: Name,
    /// Who is in it.
    pub members: Vec<MemberDecl>,
}

/// `member`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberDecl {
    /// Who.
    pub name: Name,
    /// The id of their key.
    pub key: Option<Name>,
    /// What they sign commits with.
    pub email: Option<String>,
}

/// `guard`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuardDecl {
    /// The gate.
    pub gate: Name,
    /// Its arguments.
    pub with: Vec<(Name, Expr)>,
}

/// What sort of value stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A whole number from 0.
    Count,
    /// Bytes.
    Size,
    /// Milliseconds.
    Duration,
    /// `#true` or `#false`.
    Flag,
    /// A text.
    Text,
    /// Texts, of which one is looked for by `contains`.
    Texts,
    /// A number, which may be negative.
    Number,
    /// A list of anything, of which one is looked for by `contains`.
    List,
    /// Named values, which are no value themselves.
    Whole,
    /// Known only at run time.
    Open,
}

const FILE: &[(&str, Fact)] = &[
    ("size", Fact::Size),
    ("empty", Fact::Flag),
    ("text", Fact::Text),
    ("lines", Fact::Count),
    ("sections", Fact::Texts),
];
const DIFF: &[(&str, Fact)] = &[
    ("size", Fact::Size),
    ("empty", Fact::Flag),
    ("text", Fact::Text),
    ("lines", Fact::Count),
    ("files", Fact::Texts),
    ("added", Fact::Count),
    ("removed", Fact::Count),
];
const DIR: &[(&str, Fact)] =
    &[("count", Fact::Count), ("size", Fact::Size), ("empty", Fact::Flag), ("paths", Fact::Texts)];
const JUNIT: &[(&str, Fact)] = &[
    ("tests", Fact::Count),
    ("passed", Fact::Count),
    ("failed", Fact::Count),
    ("failures", Fact::Count),
    ("errors", Fact::Count),
    ("skipped", Fact::Count),
    ("suites", Fact::Count),
    ("duration", Fact::Duration),
];

/// What may be asked of an artifact; `None`: anything, as its schema is not known here.
pub(crate) fn facts(kind: &ArtifactKind) -> Option<&'static [(&'static str, Fact)]> {
    match kind {
        ArtifactKind::File | ArtifactKind::Text | ArtifactKind::Image => Some(FILE),
        ArtifactKind::Diff => Some(DIFF),
        ArtifactKind::Dir => Some(DIR),
        ArtifactKind::Junit => Some(JUNIT),
        ArtifactKind::Json | ArtifactKind::Fitting(_) | ArtifactKind::Unread(_) | ArtifactKind::Sbom => None,
    }
}

/// How an artifact is read, as a word of the plan.
pub(crate) fn reads(kind: &ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::File | ArtifactKind::Text | ArtifactKind::Image => "file",
        ArtifactKind::Diff => "diff",
        ArtifactKind::Dir => "dir",
        ArtifactKind::Junit => "junit",
        ArtifactKind::Json | ArtifactKind::Fitting(_) | ArtifactKind::Unread(_) | ArtifactKind::Sbom => "json",
    }
}

/// A predicate with everything evaluated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PredicateIr {
    /// What stands at a path compares so with a value.
    Test(String, crate::lang::ast::Op, ValueIr),
    /// All hold.
    All(Vec<PredicateIr>),
    /// One holds.
    Any(Vec<PredicateIr>),
    /// None holds.
    Not(Vec<PredicateIr>),
}

/// A value of a predicate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueIr {
    /// A decimal number.
    Number(String),
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
}

/// A subject of a gate.
#[derive(Clone, Debug)]
pub struct SubjectIr {
    /// The parameter.
    pub name: String,
    /// How it is read.
    pub reads: &'static str,
    /// Where it is staged.
    pub at: Vec<crate::base::RelPath>,
}

/// What an action that decides is known by.
#[derive(Clone, Debug)]
pub struct GateNoteIr {
    /// The gate as it is declared, by which alias it may be known.
    pub name: String,
    /// The kind.
    pub kind: String,
    /// What its failure is about, as a word of the plan.
    pub concern: &'static str,
    /// What is said of each requirement that does not hold.
    pub messages: Vec<Option<String>>,
    /// The places of the requirements.
    pub places: Vec<Span>,
}

/// Somebody who may approve.
#[derive(Clone, Debug)]
pub struct MemberIr {
    /// Who.
    pub name: String,
    /// The id of their key.
    pub key: Option<String>,
    /// What they sign commits with.
    pub email: Option<String>,
}

/// An approval that is asked for.
#[derive(Clone, Debug)]
pub struct ApprovalIr {
    /// The group.
    pub group: String,
    /// Its members; `None`: it is declared nowhere.
    pub members: Option<Vec<MemberIr>>,
    /// How many.
    pub min: u64,
    /// Whether the author does not count.
    pub distinct: bool,
    /// For how many milliseconds.
    pub expires_ms: Option<u64>,
    /// Whether it must be named.
    pub by_name: bool,
}

/// What a verdict is called, and the file it is left in.
pub(crate) const VERDICT: (&str, &str) = ("verdict", "verdict.json");

/// A text that stands for itself where a value is due.
pub(crate) fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Text(text) => text.as_literal(),
        _ => None,
    }
}

/// A text without holes as an expression, for what is lowered to a predicate.
pub(crate) fn text_of(name: &Name) -> Expr {
    Expr::Text(Text::literal(name.value.clone(), name.span))
}
