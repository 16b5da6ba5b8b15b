//! Declarations as written, decoded from nodes: names unresolved, expressions unevaluated. Leaves
//! out whether any of it makes sense: see `check`.

mod domain;
mod test;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::diag::Span;
use crate::lang::Spanned;
use crate::lang::allow::AllowDecl;
use crate::lang::gate::{GateDecl, GuardDecl, PeopleDecl};
use crate::lang::text::Text;
use crate::lang::ty::{Constraints, Ty};

pub use domain::{
    AgentDecl, AskDecl, BudgetDecl, CandidateDecl, CapabilityDecl, CostDecl, CostPer, HowDecl, LimitsDecl, Money,
    NeedDecl, OfferDecl, PriceDecl, ProviderDecl, ProviderKind, ProvidesDecl, QuotaDecl, SecretDecl, SkillDecl,
    SkillTrustDecl, TenantDecl,
};
pub(crate) use domain::{HeaderDecl, HttpDecl, ModelPriceDecl};

pub(crate) use test::TestDecl;
pub(crate) use test::{ExpectDecl, Expected, MockContent, MockDecl, Values};

/// A name with its place.
pub(crate) type Name = Spanned<String>;

/// A value position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Expr {
    /// A text, perhaps with holes.
    Text(Text),
    /// An integer.
    Int(i128, Span),
    /// A truth value.
    Bool(bool, Span),
    /// `(var)x`.
    Var(Name),
    /// `(ref)node.output`, perhaps with holes.
    Ref(Text),
    /// `(secret)x`.
    Secret(Name),
    /// The named values of a map or a record, with the place of the names.
    Fields(Vec<(Name, Vec<Expr>)>, Span),
    /// The elements of a list that stands where it is given, with their place.
    List(Vec<Expr>, Span),
}

impl Expr {
    /// The place.
    pub fn span(&self) -> Span {
        match self {
            Self::Text(text) | Self::Ref(text) => text.span,
            Self::Int(_, span) | Self::Bool(_, span) | Self::Fields(_, span) | Self::List(_, span) => *span,
            Self::Var(name) | Self::Secret(name) => name.span,
        }
    }
}

/// A name in a name position, or the variable that holds one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NameRef {
    /// The name.
    Bare(Name),
    /// `(var)x`.
    Var(Name),
}

impl NameRef {
    /// What is written, whichever it is.
    pub fn name(&self) -> &Name {
        match self {
            Self::Bare(name) | Self::Var(name) => name,
        }
    }
}

/// `import "PATH" as=NAME`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportDecl {
    /// The path as written.
    pub path: Name,
    /// The alias.
    pub alias: Name,
    /// Of a package: the least version that will do.
    pub version: Option<Name>,
    /// Of a package: the revision of its repository, instead of a version.
    pub rev: Option<Name>,
    /// The digest its content must have.
    pub integrity: Option<Spanned<Digest>>,
}

/// `package NAME version=…`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackageDecl {
    /// The name.
    pub name: Name,
    /// The version.
    pub version: Name,
    /// The names that others may use.
    pub exports: Vec<Name>,
    /// The node's name.
    pub span: Span,
}

/// `grant PACKAGE POWER…`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantDecl {
    /// The package.
    pub package: Name,
    /// What it may do.
    pub powers: Vec<Name>,
}

/// `source NAME path=…`, or `git=…`, of a workspace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceDecl {
    /// The name in imports.
    pub name: Name,
    /// A folder of the workspace.
    pub path: Option<Name>,
    /// A repository.
    pub git: Option<Name>,
}

/// `workspace { … }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkspaceDecl {
    /// The store directory.
    pub store: Option<Name>,
    /// The state directory.
    pub state: Option<Name>,
    /// The outputs' directory.
    pub out: Option<Name>,
    /// The folder inputs are relative to.
    pub root: Option<Name>,
    /// The least isolation, as a word.
    pub require_isolation: Option<Name>,
    /// Where packages of a name are found.
    pub sources: Vec<SourceDecl>,
    /// The node's name; `None` without the node.
    pub span: Option<Span>,
}

/// `let`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LetDecl {
    /// The name.
    pub name: Name,
    /// The type.
    pub ty: Ty,
    /// The value: one for a scalar, a map or a record.
    pub values: Vec<Expr>,
}

/// `record`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordDecl {
    /// The name.
    pub name: Name,
    /// Its fields.
    pub fields: Vec<Param>,
    /// Whether all its fields were understood.
    pub fields_known: bool,
}

/// `tool`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolDecl {
    /// The name.
    pub name: Name,
    /// The executable.
    pub exec: Name,
    /// Arguments whose output is the identity.
    pub fingerprint: Option<Vec<String>>,
    /// Tools it starts.
    pub uses: Vec<Name>,
    /// Variables handed through.
    pub pass_env: Vec<String>,
    /// The supplier.
    pub supplier: Option<String>,
    /// The versions that will do.
    pub version: Option<String>,
    /// What it serves, at what price, and with which effects.
    pub offer: OfferDecl,
}

/// The name of an argument whose name was left out, which has been reported.
pub(crate) const UNNAMED: &str = "-";

/// `param`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Param {
    /// The name.
    pub name: Name,
    /// The type.
    pub ty: Ty,
    /// The value when none is given.
    pub default: Option<Vec<Expr>>,
    /// Constraints.
    pub constraints: Constraints,
    /// What it is to people: a parameter or a field.
    pub word: Cow<'static, str>,
}

/// `returns`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReturnsDecl {
    /// The name.
    pub name: Name,
    /// The type.
    pub ty: Ty,
}

/// What an action does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// Starts a tool.
    Exec {
        /// The tool.
        tool: NameRef,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// Gives a staged file on.
    Copy(Text),
    /// Writes a text.
    Write(Text),
    /// Renders a staged template.
    Render {
        /// The template.
        template: Text,
        /// Variables.
        vars: Vec<(Name, RenderVar)>,
    },
    /// Merges staged JSON files.
    MergeJson(Vec<Text>),
}

/// A variable of a rendered template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RenderVar {
    /// A value known at compile time.
    Value(Expr),
    /// The text of a staged file.
    File(Text),
    /// The JSON of a staged file.
    Json(Text),
}

/// `input`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputDecl {
    /// Patterns of the workspace, or the one destination.
    pub paths: Vec<Text>,
    /// The output taken.
    pub from: Option<Expr>,
    /// Of a folder, what.
    pub select: Option<Text>,
    /// Whether matching nothing is fine.
    pub optional: bool,
    /// The whole node.
    pub span: Span,
}

/// `output`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutputDecl {
    /// The name.
    pub name: Text,
    /// The path.
    pub path: Option<Text>,
    /// The type.
    pub ty: Ty,
    /// The digest it must have.
    pub digest: Option<Text>,
    /// The whole node.
    pub span: Span,
}

/// `retry`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetryDecl {
    /// How many times after the first.
    pub max: u32,
    /// The word for which failures.
    pub on: String,
    /// Milliseconds to wait.
    pub backoff_ms: u64,
    /// Whether the wait doubles.
    pub exponential: bool,
}

/// `holds`, and `resources` as holds of the pools `cpu` and `memory`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldsDecl {
    /// The pool.
    pub pool: Name,
    /// How much.
    pub amount: Expr,
    /// Whether the pool is the machine's (`cpu`, `memory`) and always there.
    pub machine: bool,
}

/// What nodes and steps have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// What it does; `None` for a node that applies a recipe.
    pub body: Option<Body>,
    /// Where it says so.
    pub body_at: Option<Span>,
    /// What it asks of somebody else, instead of a body.
    pub ask: Option<Box<AskDecl>>,
    /// The class as written.
    pub class: Option<Name>,
    /// Inputs.
    pub inputs: Vec<InputDecl>,
    /// Outputs.
    pub outputs: Vec<OutputDecl>,
    /// Environment.
    pub env: Vec<(Name, Expr)>,
    /// Further tools.
    pub tools: Vec<NameRef>,
    /// Where it starts.
    pub cwd: Option<Text>,
    /// Longest attempt.
    pub timeout: Option<Text>,
    /// When to try again.
    pub retry: Option<RetryDecl>,
    /// What it holds.
    pub holds: Vec<HoldsDecl>,
    /// What it may use at most, by name.
    pub limits: Vec<(Cow<'static, str>, u64)>,
    /// Whether an effect may be done twice, and where it says so.
    pub idempotent: Option<Span>,
    /// Which sample of a record.
    pub take: Option<Expr>,
    /// Whether all its outputs were understood; if not, one that is missing is no second mistake.
    pub outputs_known: bool,
    /// Names that children which were not understood may have declared.
    pub lost: Vec<Name>,
    /// The name of the node or step.
    pub span: Span,
}

/// `port` of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortDecl {
    /// The name.
    pub name: Name,
    /// The scheme of its address; `http` if not given, `none` for host and port alone.
    pub scheme: Option<Name>,
    /// The variable that holds its address: `service.port`.
    pub address: Name,
    /// The variable that holds its number: `service.port.port`.
    pub number: Name,
}

/// How to tell that a service is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// It answers a request with a good status.
    Http {
        /// The path asked for.
        path: Text,
        /// The port, where it has several.
        port: Option<Name>,
    },
    /// It takes a connection at this port.
    Tcp(Name),
    /// It prints a line that this matches.
    Log(Name),
    /// This command succeeds.
    Command {
        /// The tool.
        tool: Name,
        /// Its arguments.
        args: Vec<Expr>,
    },
}

/// `ready`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyDecl {
    /// The sign.
    pub probe: Probe,
    /// The longest to wait for it.
    pub within: Option<Text>,
}

/// `service`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceDecl {
    /// The name.
    pub name: Name,
    /// The process: body, environment, inputs, tools.
    pub work: Work,
    /// Its ports.
    pub ports: Vec<PortDecl>,
    /// Its readiness; `None` only if that has been reported.
    pub ready: Option<ReadyDecl>,
    /// The whole node.
    pub span: Span,
}

/// `step`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepDecl {
    /// The name.
    pub name: Name,
    /// The work.
    pub work: Work,
}

/// `recipe`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecipeDecl {
    /// The name.
    pub name: Name,
    /// Parameters.
    pub params: Vec<Param>,
    /// What it leaves.
    pub returns: Vec<ReturnsDecl>,
    /// Its steps.
    pub steps: Vec<StepDecl>,
    /// Gates that judge what it returns.
    pub gates: Vec<GateDecl>,
    /// How much of it starts by itself, where the node says nothing.
    pub automation: Option<Name>,
    /// Whether all its parameters were understood.
    pub params_known: bool,
    /// Whether all that it returns was understood.
    pub returns_known: bool,
    /// The whole declaration.
    pub span: Span,
}

/// `for-each`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForEach {
    /// The variable; of a map, that of the key.
    pub var: Name,
    /// Of a map, the variable of the value.
    pub value: Option<Name>,
    /// Of a list of records, the field that names the instance.
    pub key: Option<Name>,
    /// The list or map: a variable, or the elements themselves.
    pub list: Expr,
    /// Whether an empty list is fine.
    pub optional: bool,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// A text holds a text, or a list an element.
    Contains,
    /// A text matches a regular expression somewhere.
    Matches,
}

impl Op {
    /// Every comparison with its word.
    pub(crate) const ALL: &[(&str, Self)] = &[
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("lt", Self::Lt),
        ("le", Self::Le),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("contains", Self::Contains),
        ("matches", Self::Matches),
    ];

    /// The word in specs.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("eq", |(word, _)| word)
    }
}

/// A condition known at compile time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Cond {
    /// A triple.
    Triple(Name, Op, Expr),
    /// All hold.
    All(Vec<Cond>),
    /// One holds.
    Any(Vec<Cond>),
    /// None holds.
    Not(Vec<Cond>),
}

/// `node`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeDecl {
    /// The name.
    pub name: Name,
    /// The recipe it applies.
    pub recipe: Option<Name>,
    /// Arguments of the recipe.
    pub with: Vec<(Name, Expr)>,
    /// Loops.
    pub for_each: Vec<ForEach>,
    /// Instances exist only where these hold.
    pub when: Vec<Cond>,
    /// Order.
    pub after: Vec<AfterDecl>,
    /// The node that takes it back.
    pub rollback: Option<Text>,
    /// Gates that must say yes before it starts.
    pub guards: Vec<GuardDecl>,
    /// How much of it starts by itself.
    pub automation: Option<Name>,
    /// The services it uses.
    pub services: Vec<Name>,
    /// The work.
    pub work: Work,
    /// The whole node.
    pub span: Span,
}

/// `after`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AfterDecl {
    /// The address or pattern.
    pub target: Text,
    /// The whole node, if this is its only target.
    pub whole: Option<Span>,
    /// Whether matching nothing is fine.
    pub optional: bool,
}

/// `use`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UseDecl {
    /// The template.
    pub template: Name,
    /// The alias.
    pub alias: Name,
    /// Arguments.
    pub with: Vec<(Name, Expr)>,
    /// The services its nodes use.
    pub services: Vec<Name>,
    /// Names that children which were not understood may have declared.
    pub lost: Vec<Name>,
    /// The whole node.
    pub span: Span,
}

/// What graphs and templates have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The name.
    pub name: Name,
    /// Parameters.
    pub params: Vec<Param>,
    /// Nodes.
    pub nodes: Vec<NodeDecl>,
    /// Templates used.
    pub uses: Vec<UseDecl>,
    /// Whether all its parameters were understood.
    pub params_known: bool,
    /// Whether the names of all its nodes were understood.
    pub nodes_known: bool,
    /// Names that children which were not understood may have declared.
    pub lost: Vec<Name>,
    /// The whole declaration.
    pub span: Span,
}

/// How a graph is run as a whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PoliciesDecl {
    /// The word of `schedule`.
    pub schedule: Option<String>,
    /// The word of `cancel`.
    pub cancel: Option<String>,
    /// Failures in a row after which a tool is not started again.
    pub breaker: Option<u64>,
    /// The longest a run may take, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Patterns of outputs that are made one after the other.
    pub serialize: Vec<Name>,
}

/// `graph`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GraphDecl {
    /// Name, parameters, nodes.
    pub group: Group,
    /// How many at once.
    pub concurrency: Option<u64>,
    /// Timeout of nodes without one.
    pub timeout: Option<Text>,
    /// Retry of nodes without one.
    pub retry: Option<RetryDecl>,
    /// Pools.
    pub resources: Vec<(Name, u64)>,
    /// How it is run as a whole.
    pub policies: PoliciesDecl,
    /// Services.
    pub services: Vec<ServiceDecl>,
    /// Whether all its services were understood.
    pub services_known: bool,
    /// Who owns its runs.
    pub tenant: Option<Name>,
    /// What a run may cost.
    pub budget: Option<Money>,
}

/// `include`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncludeDecl {
    /// The node or pattern.
    pub node: Name,
    /// The output.
    pub output: Option<Name>,
    /// The path in the bundle.
    pub to: Option<Text>,
    /// What it is for: one of [`crate::lang::ROLES`].
    pub role: Option<Name>,
    /// The whole node.
    pub span: Span,
}

/// `bundle`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleDecl {
    /// The name.
    pub name: Name,
    /// The graph.
    pub from: Name,
    /// The version.
    pub version: Option<Text>,
    /// What goes in.
    pub includes: Vec<IncludeDecl>,
    /// Patterns of paths in the bundle that are left out.
    pub excludes: Vec<Name>,
    /// How far it has come.
    pub level: Option<u64>,
    /// The version of CycloneDX, if one was asked for.
    pub cyclonedx: Option<String>,
    /// The keys that sign.
    pub keys: Vec<Name>,
    /// The SLSA build level that its provenance must be good for.
    pub provenance_level: Option<Spanned<u64>>,
    /// What its inventory is in a graph: a node that says nothing.
    pub inventory: Box<NodeDecl>,
    /// The whole declaration.
    pub span: Span,
}

/// All declarations of one file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FileDecls {
    /// The workspace settings.
    pub workspace: Option<WorkspaceDecl>,
    /// What it is published as.
    pub package: Option<PackageDecl>,
    /// What packages may do.
    pub grants: Vec<GrantDecl>,
    /// Imports.
    pub imports: Vec<ImportDecl>,
    /// Constants.
    pub lets: Vec<LetDecl>,
    /// Records.
    pub records: Vec<RecordDecl>,
    /// Tools.
    pub tools: Vec<ToolDecl>,
    /// Recipes.
    pub recipes: Vec<RecipeDecl>,
    /// Templates.
    pub templates: Vec<Group>,
    /// Graphs.
    pub graphs: Vec<GraphDecl>,
    /// Bundles.
    pub bundles: Vec<BundleDecl>,
    /// Tests.
    pub(crate) tests: Vec<TestDecl>,
    /// Warnings that are not said.
    pub allows: Vec<AllowDecl>,
    /// Gates.
    pub gates: Vec<GateDecl>,
    /// Groups of people.
    pub people: Vec<PeopleDecl>,
    /// Tenants.
    pub tenants: Vec<TenantDecl>,
    /// Capabilities.
    pub capabilities: Vec<CapabilityDecl>,
    /// Providers.
    pub providers: Vec<ProviderDecl>,
    /// Agents.
    pub agents: Vec<AgentDecl>,
    /// Skills.
    pub skills: Vec<SkillDecl>,
    /// Whether a declaration was not understood, so that a name may be missing for that reason.
    pub incomplete: bool,
    /// Whether an import was not understood.
    pub imports_incomplete: bool,
}
