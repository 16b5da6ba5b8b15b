//! What a graph expands to: actions with everything evaluated, still by address and with their
//! places in the specs. `plan` turns it into keyed actions. Leaves out digests.

use std::collections::BTreeMap;

use crate::base::{Digest, RelPath};
use crate::diag::Span;
use crate::lang::gate::{ApprovalIr, GateNoteIr, PredicateIr, SubjectIr};
use crate::lang::program::{DeclId, DeclKind, FileId};
use crate::lang::route::{Route, Terms};
use crate::lang::ty::Ty;

/// A graph, expanded.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// The graph's name.
    pub graph: String,
    /// The parameters' values as text, for `expand` and provenance.
    pub params: BTreeMap<String, String>,
    /// Instances of nodes, sorted by address.
    pub instances: Vec<InstanceIr>,
    /// Actions, sorted by address.
    pub actions: Vec<ActionIr>,
    /// Tools that actions name, by the name they are known under in the plan.
    pub tools: BTreeMap<String, ToolIr>,
    /// Pools and their capacities.
    pub pools: BTreeMap<String, u64>,
    /// How many at once.
    pub concurrency: Option<u64>,
    /// Who owns it, what it may cost, and where secrets are.
    pub terms: Terms,
    /// How it is run as a whole.
    pub policies: crate::lang::ast::PoliciesDecl,
    /// Services that actions use, sorted by name.
    pub services: Vec<ServiceIr>,
    /// The timeout of nodes that set none, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The graph's declaration.
    pub decl: DeclId,
    /// The tenant that owns it.
    pub owner: Option<DeclId>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct ServiceIr {
    /// The name.
    pub name: String,
    /// The process.
    pub body: BodyIr,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Inputs.
    pub inputs: Vec<InputIr>,
    /// Tools by plan name, sorted.
    pub tools: Vec<String>,
    /// Where it starts.
    pub cwd: Option<RelPath>,
    /// Ports with the schemes of their addresses, as declared.
    pub ports: Vec<(String, String)>,
    /// How to tell that it is ready.
    pub probe: ProbeIr,
    /// The longest to wait for that, in milliseconds.
    pub within_ms: u64,
    /// The declaration.
    pub span: Span,
}

/// How to tell that a service is ready.
#[derive(Clone, Debug)]
pub enum ProbeIr {
    /// It answers a request for a path at a port.
    Http {
        /// The port.
        port: String,
        /// The path.
        path: String,
    },
    /// It takes connections at a port.
    Tcp {
        /// The port.
        port: String,
    },
    /// It prints a line that this matches.
    Log {
        /// The regular expression.
        pattern: String,
    },
    /// A command succeeds.
    Command {
        /// The tool by plan name.
        tool: String,
        /// Arguments.
        args: Vec<String>,
    },
}

/// An instance of a node.
#[derive(Clone, Debug)]
pub struct InstanceIr {
    /// `graph/use-alias/node/key…`.
    pub addr: String,
    /// Loop variables and their values.
    pub keys: Vec<(String, String)>,
    /// Its actions, by index.
    pub actions: Vec<usize>,
    /// Outputs by name, each with the action that leaves it.
    pub outputs: Outputs,
    /// The bundle it is the inventory of: it is no node then, and no pattern matches it.
    pub bundle: Option<String>,
    /// The recipe it applies, for `expand`.
    pub recipe: Option<String>,
    /// Instances that come before, by index, as its node says; in order.
    pub after: Vec<usize>,
    /// The instance that takes it back, by index.
    pub rollback: Option<usize>,
    /// Whether it takes another back: it is no part of a run of the graph then, and no pattern matches it.
    pub takes_back: bool,
    /// Gates that must say yes before it starts.
    pub guards: Vec<GuardIr>,
    /// The recipe it applies and what that was given, where gates of the recipe judge what it returns.
    pub closing: Option<Box<ClosingIr>>,
    /// How much of it starts by itself, where that is said.
    pub automation: Option<String>,
    /// The node.
    pub span: Span,
}

/// Outputs of an instance by name, each with the index of the action that leaves it. Nearly always there is one, and
/// there may be very many instances: a list takes a tenth of what a map does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs(Vec<(String, usize)>);

impl Outputs {
    /// Those of some names; of two of one name the last counts.
    pub(crate) fn of(all: impl IntoIterator<Item = (String, usize)>) -> Self {
        let mut outputs = Self::default();
        let all = all.into_iter();
        outputs.0.reserve_exact(all.size_hint().0);
        for (name, action) in all {
            match outputs.0.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => outputs.0[at].1 = action,
                Err(at) => outputs.0.insert(at, (name, action)),
            }
        }
        outputs
    }

    /// The action that leaves an output.
    pub fn get(&self, name: &str) -> Option<usize> {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(self.0[at].1)
    }

    /// The names with the actions, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(name, action)| (name.as_str(), *action))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The actions, for new numbers.
    pub(crate) fn actions_mut(&mut self) -> impl Iterator<Item = &mut usize> {
        self.0.iter_mut().map(|(_, action)| action)
    }
}

/// A guard of an instance.
#[derive(Clone, Debug)]
pub struct GuardIr {
    /// The gate.
    pub gate: DeclId,
    /// Its arguments, those by default among them.
    pub with: Vec<(String, ArgIr)>,
}

/// A recipe whose gates judge what an instance returns.
#[derive(Clone, Debug)]
pub struct ClosingIr {
    /// The recipe.
    pub recipe: DeclId,
    /// Its arguments, those by default among them.
    pub with: Vec<(String, ArgIr)>,
}

/// A value that is handed over, as it would be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgIr {
    /// A text.
    Text(String),
    /// An integer.
    Int(i128),
    /// A truth value.
    Bool(bool),
    /// Elements.
    List(Vec<ArgIr>),
    /// Named values.
    Fields(Vec<(String, ArgIr)>),
    /// A secret by name.
    Secret(String),
    /// A declaration.
    Decl(DeclKind, DeclId),
    /// A node or pattern of nodes, from the graph on.
    Node(String),
    /// An output: the node or pattern with the output, from the graph on.
    Ref(String),
    /// An output of a step of the same recipe.
    Step(String),
}

/// What an action asks of somebody, as its node or step says it.
#[derive(Clone, Debug)]
pub struct AskIr {
    /// The capability.
    pub capability: Option<DeclId>,
    /// The agent that asks, or does the work.
    pub agent: Option<DeclId>,
    /// Which of its skills.
    pub skill: Option<DeclId>,
    /// How hard it is.
    pub complexity: Option<u8>,
    /// What is handed over, with the types it is taken as.
    pub with: Vec<(String, Ty, ArgIr)>,
    /// The class, if one is given.
    pub class: Option<String>,
    /// The longest an attempt may take, before whoever serves has a say.
    pub timeout_ms: Option<u64>,
    /// Environment, before that.
    pub env: BTreeMap<String, String>,
    /// Secrets, before that.
    pub secrets: BTreeMap<String, String>,
    /// Tools, before that.
    pub tools: Vec<String>,
}

/// An action.
#[derive(Clone, Debug)]
pub struct ActionIr {
    /// The address.
    pub addr: String,
    /// What it does.
    pub body: BodyIr,
    /// The class as a word.
    pub class: String,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Variables that hold secrets, by name of the secret.
    pub secrets: BTreeMap<String, String>,
    /// Inputs.
    pub inputs: Vec<InputIr>,
    /// Outputs.
    pub outputs: Vec<OutputIr>,
    /// Tools by plan name, sorted.
    pub tools: Vec<String>,
    /// Where it starts.
    pub cwd: Option<RelPath>,
    /// Milliseconds.
    pub timeout_ms: Option<u64>,
    /// Of a step: the longest all steps of its node may take together, in milliseconds.
    pub whole_ms: Option<u64>,
    /// When to try again.
    pub retry: Option<crate::lang::ast::RetryDecl>,
    /// Shares of pools.
    pub holds: Vec<(String, u64)>,
    /// What it may use at most, by name.
    pub limits: BTreeMap<String, u64>,
    /// Which sample of a record.
    pub take: Option<u64>,
    /// Whether an effect may be done twice.
    pub idempotent: bool,
    /// Services that run while it does, sorted.
    pub services: Vec<String>,
    /// Actions that come before, by index, besides producers.
    pub after: Vec<usize>,
    /// How what it asks for is served.
    pub route: Option<Box<Route>>,
    /// What it asks for.
    pub ask: Option<Box<AskIr>>,
    /// Whether it is what the node or step itself says, not a gate or what another action is told.
    pub own: bool,
    /// Which gate it is of, if it decides.
    pub gate: Option<Box<GateNoteIr>>,
    /// The address of what takes it back.
    pub rollback: Option<Box<str>>,
    /// How much of it starts by itself, where that is said.
    pub automation: Option<String>,
    /// The node or step.
    pub span: Span,
}

/// What an action does.
#[derive(Clone, Debug)]
pub enum BodyIr {
    /// Starts a tool.
    Exec {
        /// The tool by plan name.
        tool: String,
        /// Arguments.
        args: Vec<String>,
    },
    /// Gives a staged file on.
    Copy(RelPath),
    /// Writes a text.
    Write(String),
    /// Renders a template.
    Render(RelPath, BTreeMap<String, RenderIr>),
    /// Merges JSON files.
    MergeJson(Vec<RelPath>),
    /// Makes what an agent is told.
    Request {
        /// The template.
        prompt: Option<String>,
        /// Its variables.
        vars: BTreeMap<String, RenderIr>,
        /// What else it is told, a JSON object.
        facts: String,
    },
    /// Looks whether something holds.
    Gate(Vec<SubjectIr>, Vec<PredicateIr>),
    /// Waits for people.
    Approval(ApprovalIr),
    /// Makes the inventory of a bundle.
    Sbom(Box<SbomIr>),
    /// Asks an API.
    Http(Box<HttpIr>),
}

/// What an API is asked.
#[derive(Clone, Debug)]
pub struct HttpIr {
    /// Where.
    pub url: String,
    /// How it is spoken to, as a word of the plan.
    pub vendor: String,
    /// The model.
    pub model: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// What stands before the secret in a header.
    pub schemes: BTreeMap<String, String>,
    /// The template of the body.
    pub body: Option<String>,
    /// Where the answer is.
    pub answer: Option<String>,
    /// Where the numbers of tokens are.
    pub usage: Option<[String; 2]>,
    /// How many tokens.
    pub tokens: Option<u64>,
    /// How many turns.
    pub turns: u64,
    /// What tokens cost.
    pub price: Option<crate::lang::ast::PriceDecl>,
    /// The staged request.
    pub request: RelPath,
}

/// The inventory of a bundle.
#[derive(Clone, Debug)]
pub struct SbomIr {
    /// The bundle.
    pub bundle: String,
    /// Its version.
    pub version: String,
    /// Whose it is.
    pub tenant: String,
    /// The version of CycloneDX.
    pub format: String,
    /// The paths in the bundle, each with where it is staged.
    pub files: Vec<(RelPath, RelPath)>,
    /// Patterns of paths in the bundle that are left out.
    pub excludes: Vec<String>,
}

/// A variable of a rendered template.
#[derive(Clone, Debug)]
pub enum RenderIr {
    /// A text.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// The text of a staged file.
    File(RelPath),
    /// The JSON of a staged file.
    Json(RelPath),
}

/// An input.
#[derive(Clone, Debug)]
pub enum InputIr {
    /// Files of the workspace.
    Workspace {
        /// The path or pattern.
        pattern: String,
        /// Whether matching nothing is fine.
        optional: bool,
        /// The place.
        span: Span,
    },
    /// An output of another action.
    Output {
        /// Where it is staged; `None` for the action's folder itself.
        dest: Option<RelPath>,
        /// The producer, by index.
        action: usize,
        /// The output's name there.
        output: String,
        /// Of a folder, what.
        select: Option<String>,
        /// The place.
        span: Span,
    },
}

/// An output.
#[derive(Clone, Debug)]
pub struct OutputIr {
    /// The name.
    pub name: String,
    /// The path.
    pub path: RelPath,
    /// Whether it is a folder.
    pub dir: bool,
    /// What it is as.
    pub ty: Ty,
    /// The digest it must have.
    pub digest: Option<Digest>,
    /// The place.
    pub span: Span,
}

/// What declares a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolOf {
    /// A tool.
    Tool(DeclId),
    /// The program of a provider.
    Provider(DeclId),
}

impl ToolOf {
    /// The file of the declaration.
    pub fn file(self) -> FileId {
        match self {
            Self::Tool(id) | Self::Provider(id) => id.file,
        }
    }
}

/// A tool.
#[derive(Clone, Debug)]
pub struct ToolIr {
    /// The declaration.
    pub of: ToolOf,
    /// Plan names of the tools it starts.
    pub uses: Vec<String>,
}

/// A bundle with its includes resolved.
#[derive(Clone, Debug)]
pub struct BundleIr {
    /// The name.
    pub name: String,
    /// The graph.
    pub graph: String,
    /// The version.
    pub version: String,
    /// What goes in: the path in the archive (a folder's contents go below it), the action's index
    /// and the output.
    pub includes: Vec<IncludeIr>,
    /// Patterns of paths in the archive that are left out.
    pub excludes: Vec<String>,
    /// How far it has come.
    pub level: Option<u64>,
    /// The version of CycloneDX, if one was asked for.
    pub cyclonedx: Option<String>,
    /// The keys that sign, without repetitions.
    pub keys: Vec<String>,
}

/// One output in a bundle.
#[derive(Clone, Debug)]
pub struct IncludeIr {
    /// The path in the archive.
    pub to: RelPath,
    /// The action, by index.
    pub action: usize,
    /// The output's name.
    pub output: String,
    /// Whether it is a folder.
    pub dir: bool,
    /// What it is for: one of [`crate::lang::ROLES`].
    pub role: Option<String>,
    /// The place.
    pub span: Span,
}

/// What an output of a bundle may be for: an operator's guide, a result card, results of tests, of measurements
/// and of scans, pictures, and other reports.
pub const ROLES: &[&str] = &["guide", "card", "tests", "performance", "security", "screenshots", "report"];
