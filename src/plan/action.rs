//! The plan: actions, what each is keyed by and what it is not. Leaves out how keys are computed
//! (`key`) and how a program becomes a plan (`lower`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, RelPath};
pub use crate::lang::{PackageTerms, Rejected, Route, SecretTerms, TenantTerms, Terms};
use crate::plan::{Approval, Automation, GateNote, GateSubject, HttpAsk, Predicate, Price, Sbom};

/// Which action of a plan: its index in [`Plan::actions`], which is sorted by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId(pub u32);

impl ActionId {
    /// The index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A graph compiled to actions. A pure function of specs, stdlib, lock and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The name of the graph.
    pub graph: String,
    /// The actions, sorted by address.
    pub actions: Vec<Action>,
    /// The tools that actions name, sorted by name.
    pub tools: Vec<Tool>,
    /// Resource pools and their capacities.
    pub pools: BTreeMap<String, u64>,
    /// How many actions of this graph may run at once; `None`: as many as the machine allows.
    pub concurrency: Option<u64>,
    /// Who owns it, what it may cost, and where secrets are.
    pub terms: Terms,
    /// The services that actions use, sorted by name.
    pub services: Vec<Service>,
    /// How it is run as a whole.
    pub policies: Policies,
    /// The JSON Schemas that outputs must fit, by the digests of their texts.
    pub schemas: BTreeMap<Digest, Schema>,
    /// The plan's digest: over addresses and static keys.
    pub digest: Digest,
}

/// A JSON Schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Where it lies, for people.
    pub path: String,
    /// Its text.
    pub text: Arc<str>,
}

/// How a graph is run as a whole. Nothing of it is keyed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policies {
    /// Which of the actions that could start does.
    pub schedule: Schedule,
    /// What a failure means for what does not depend on it; `None`: the request says.
    pub cancel: Option<Cancel>,
    /// After how many failures in a row a tool is not started again in the run.
    pub breaker: Option<u32>,
    /// The longest a run may take, in milliseconds.
    pub deadline_ms: Option<u64>,
}

/// Which of the actions that could start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Schedule {
    /// The one with the longest way behind it.
    #[default]
    Critical,
    /// One of each node in turn.
    Fair,
    /// The one that took least the last time.
    Shortest,
}

impl Schedule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Fair, Self::Shortest];

    /// The word in specs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Fair => "fair",
            Self::Shortest => "shortest",
        }
    }
}

/// What a failure means for what does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Cancel {
    /// Nothing else starts.
    Cascading,
    /// It goes on.
    #[default]
    Isolated,
}

impl Cancel {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cascading, Self::Isolated];

    /// The word in specs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cascading => "cascading",
            Self::Isolated => "isolated",
        }
    }
}

/// A process that lives while the actions that use it run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name.
    pub name: String,
    /// What is started: always a process, without outputs.
    pub spec: ActionSpec,
    /// Its ports, as declared; free numbers are found when it starts.
    pub ports: Vec<Port>,
    /// How to tell that it is ready.
    pub ready: Ready,
    /// The longest to wait for that, in milliseconds. Not keyed.
    pub within_ms: u64,
    /// Digest of the definition. It enters the keys of the actions that use it.
    pub def: Digest,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The name.
    pub name: String,
    /// The scheme of its address; `none` for host and port alone.
    pub scheme: String,
}

/// How to tell that a service is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A request for the path is answered with a good status.
    Http {
        /// The port that is asked.
        port: String,
        /// The path.
        path: String,
    },
    /// A connection is taken.
    Tcp {
        /// The port that is tried.
        port: String,
    },
    /// A line is printed that this matches.
    Log {
        /// The regular expression.
        pattern: String,
    },
    /// A command succeeds.
    Command {
        /// The tool by name.
        tool: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

impl Ready {
    /// One line, as in plans.
    pub fn describe(&self) -> String {
        match self {
            Self::Http { port, path } => format!("http {path} at port {port}"),
            Self::Tcp { port } => format!("a connection at port {port}"),
            Self::Log { pattern } => format!("a line that matches {pattern:?}"),
            Self::Command { tool, args } => format!("$ {tool} {}", args.join(" ")).trim_end().to_owned(),
        }
    }
}

/// One action: what it is keyed by, and what it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `graph/node/key…/step`. For people and alignment; never hashed into a key.
    pub addr: String,
    /// The keyed part.
    pub spec: ActionSpec,
    /// The part that is not keyed.
    pub policy: Policy,
    /// Digest of the definition, dependencies only as (port, output name).
    pub def: Digest,
    /// Digest of the definition and the producers' static keys. Never a cache key.
    pub skey: Digest,
    /// Actions that must have succeeded before, besides the producers of inputs. Order alone.
    pub after: Vec<ActionId>,
    /// How what it asks for is served: why it is this tool or agent. Not keyed.
    #[serde(skip)]
    pub route: Option<Route>,
}

/// What an action is: everything that may change its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// What is done.
    pub kind: ActionKind,
    /// What the rules of caching and network are.
    pub class: Class,
    /// Variables of the environment, exact, besides the fixed ones.
    pub env: BTreeMap<String, String>,
    /// Variables that hold secrets, by name of the secret: by reference, never by value.
    pub secrets: BTreeMap<String, String>,
    /// What is staged before it runs, sorted by destination.
    pub inputs: Vec<Input>,
    /// What it must leave, sorted by name.
    pub outputs: Vec<Output>,
    /// Names of the tools it may start, sorted; those that tools use are added when resolved.
    pub tools: Vec<String>,
    /// Of a `record` action: which of several samples it is.
    pub take: Option<u64>,
    /// Names of the services that run while it does, sorted.
    pub services: Vec<String>,
    /// Folder below the action's own in which it starts.
    pub cwd: Option<RelPath>,
    /// The least isolation its result must have been made under.
    pub isolation: Isolation,
    /// What it may use at most, by name: `processes` and `files` in numbers, `memory` and `output` in bytes. A program can
    /// notice that it is refused more, and leave something else.
    pub limits: BTreeMap<String, u64>,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionKind {
    /// Starts a process.
    Exec {
        /// The tool by name.
        tool: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Gives a staged file on as the output; done in-process.
    Copy {
        /// The staged file.
        from: RelPath,
    },
    /// Writes a text to the output; done in-process.
    Write {
        /// The text.
        text: String,
    },
    /// Renders a template file to the output; done in-process.
    Render {
        /// The staged template.
        template: RelPath,
        /// Variables by name.
        vars: BTreeMap<String, RenderValue>,
    },
    /// Merges JSON files, later over earlier, objects deeply; done in-process.
    MergeJson {
        /// The staged files in order.
        from: Vec<RelPath>,
    },
    /// Makes what an agent is told: a JSON document with the rendered prompt; done in-process.
    Request {
        /// The template; `None` for an agent without a skill.
        prompt: Option<String>,
        /// Variables by name.
        vars: BTreeMap<String, RenderValue>,
        /// What else it is told: a JSON object as text.
        facts: String,
    },
    /// Asks an API that serves an agent; done in-process.
    Http(HttpAsk),
    /// Looks whether something holds of what other actions left; done in-process.
    Gate {
        /// What is looked at, sorted by name.
        subjects: Vec<GateSubject>,
        /// What must hold, all of it.
        require: Vec<Predicate>,
    },
    /// Makes the inventory of a bundle from what will go into it; done in-process. Its tools are not started:
    /// they are those that made what goes in.
    Sbom(Sbom),
    /// Waits for people. It has no key of its own: what they said is looked up in every run.
    Approval(Approval),
}

impl ActionKind {
    /// The kind and its semantic version, as it enters the key.
    pub fn versioned(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec/1",
            Self::Copy { .. } => "copy/1",
            Self::Write { .. } => "write/1",
            Self::Render { .. } => "render/1",
            Self::MergeJson { .. } => "merge-json/1",
            Self::Request { .. } => "request/1",
            Self::Http(_) => "http/1",
            Self::Gate { .. } => "gate/1",
            Self::Sbom(_) => "sbom/1",
            Self::Approval(_) => "approval/1",
        }
    }
}

/// The value of a template variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenderValue {
    /// A text known at compile time.
    Text(String),
    /// A list of texts known at compile time.
    List(Vec<String>),
    /// The text of a staged file.
    File(RelPath),
    /// The parsed JSON of a staged file.
    Json(RelPath),
}

/// The class of an action (DESIGN section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// No network; cached.
    Pure,
    /// Network; the digest of the outputs is declared; cached.
    Fixed,
    /// Network; what it gave is recorded once and replayed (a call of a model, a search, a read of an API).
    Record,
    /// Any network; never cached.
    Volatile,
    /// It changes something outside (a push, a deployment): never served from another run, and not
    /// made twice by a run that is taken up again.
    Effect,
}

impl Class {
    /// All of them, from the least to the most that they may do.
    pub const ALL: [Self; 5] = [Self::Pure, Self::Fixed, Self::Record, Self::Volatile, Self::Effect];

    /// The word in specs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Fixed => "fixed",
            Self::Record => "record",
            Self::Volatile => "volatile",
            Self::Effect => "effect",
        }
    }

    /// The class of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }

    /// Whether a result on record may stand for the action.
    pub fn is_cached(self) -> bool {
        matches!(self, Self::Pure | Self::Fixed | Self::Record)
    }

    /// Whether the action may use the network.
    pub fn network(self) -> bool {
        self != Self::Pure
    }
}

/// How far an action is kept from the rest of the machine. Ordered: more is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Isolation {
    /// Its own directory, exact environment and declared tools on `PATH`; nothing enforced.
    None,
    /// Landlock: the file system is confined.
    Landlock,
    /// Namespaces, Landlock and seccomp.
    Full,
}

impl Isolation {
    /// All levels, weakest first.
    pub const ALL: [Self; 3] = [Self::None, Self::Landlock, Self::Full];

    /// The word in specs and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Landlock => "landlock",
            Self::Full => "full",
        }
    }
}

/// Something staged before the action runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// Where it is staged, below the action's directory. For a pattern of the workspace: unused,
    /// every matching file is staged at its own path.
    pub dest: Option<RelPath>,
    /// Where it comes from.
    pub source: InputSource,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InputSource {
    /// Files of the workspace.
    Workspace {
        /// A path, or a glob: `*` within a segment, `**` across segments.
        pattern: String,
        /// Whether matching nothing is fine.
        optional: bool,
    },
    /// An output of another action.
    Output {
        /// The producer.
        action: ActionId,
        /// The output's name.
        output: String,
        /// For a folder: only what matches this glob, relative to the folder.
        select: Option<String>,
    },
}

/// What kind of thing an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OutputKind {
    /// A regular file.
    File,
    /// A folder with all that is in it.
    Dir,
}

impl OutputKind {
    /// The word in plans.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
        }
    }
}

/// Something an action must leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Output {
    /// The name others refer to it by.
    pub name: String,
    /// Where it lies below the action's directory when the action is done.
    pub path: RelPath,
    /// File or folder.
    pub kind: OutputKind,
    /// For a `fixed` action: the digest it must have. For a file the blob's, for a folder the tree's.
    pub digest: Option<Digest>,
    /// The schema that it must fit, one of [`Plan::schemas`]: the digest of its text.
    pub schema: Option<Digest>,
}

/// A tool as declared: what its identity is and what it brings along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The name in specs, with its namespace where it has one.
    pub name: String,
    /// The executable.
    pub exec: ToolExec,
    /// Arguments whose standard output is the tool's identity; `None`: the digest of the executable.
    pub fingerprint: Option<Vec<String>>,
    /// Names of tools it starts itself; they come along on `PATH` and enter the identity.
    pub uses: Vec<String>,
    /// Variables of the caller's environment handed through, unkeyed.
    pub pass_env: Vec<String>,
    /// Who supplies it, for the SBOM.
    pub supplier: Option<String>,
    /// The version asked for, as declared; checked against what the fingerprint prints.
    pub version: Option<String>,
}

/// Where the executable of a tool is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolExec {
    /// A program looked up on the caller's `PATH`; an absolute path is that file.
    Lookup(String),
    /// A file of the workspace.
    Workspace(RelPath),
}

/// What is not keyed: how to run it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// The longest an attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The longest all steps of its node may take together.
    pub node_timeout: Option<NodeTimeout>,
    /// When to try again.
    pub retry: Option<Retry>,
    /// What it holds while it runs.
    pub holds: Vec<ResourceNeed>,
    /// For an action that decides whether others run: which gate it is of.
    pub gate: Option<GateNote>,
    /// How much of it starts by itself, where that is said.
    pub automation: Option<Automation>,
    /// Of an effect: whether doing it twice does no harm.
    pub idempotent: bool,
    /// What tokens cost, of one that asks an API.
    pub price: Option<Price>,
    /// The address of the node that takes it back. Only effects are, so that it is in no plan that is packed.
    #[serde(skip)]
    pub rollback: Option<String>,
}

/// The longest that the steps of a node may take together, from when the first of them starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTimeout {
    /// The address of the node.
    pub node: String,
    /// Milliseconds.
    pub ms: u64,
}

/// When and how often to try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many times after the first.
    pub max: u32,
    /// On which failures.
    pub on: RetryOn,
    /// How long to wait.
    pub backoff: Backoff,
}

/// Which failures are worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryOn {
    /// Exit status 75 (`EX_TEMPFAIL`), death by a signal that was not ours, a process that could
    /// not be started for want of resources.
    Transient,
    /// Those and timeouts.
    Timeout,
    /// Any failure of the process.
    Any,
}

/// How long to wait before another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Always this many milliseconds.
    Fixed(u64),
    /// This many milliseconds, doubled each time.
    Exponential(u64),
}

/// A share of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceNeed {
    /// The pool.
    pub pool: String,
    /// How much of it.
    pub amount: u64,
}

impl Plan {
    /// The action of an id.
    pub fn action(&self, id: ActionId) -> &Action {
        &self.actions[id.index()]
    }

    /// Ids with their actions, in address order.
    pub fn iter(&self) -> impl Iterator<Item = (ActionId, &Action)> {
        self.actions.iter().enumerate().map(|(index, action)| (ActionId(index as u32), action))
    }

    /// The action at an address.
    pub fn find(&self, addr: &str) -> Option<ActionId> {
        self.actions.binary_search_by(|action| action.addr.as_str().cmp(addr)).ok().map(|index| ActionId(index as u32))
    }

    /// The actions of a run of the whole graph: all but those that take others back, which are asked for by their
    /// addresses.
    pub fn ordinary(&self) -> impl Iterator<Item = (ActionId, &Action)> {
        let aside: BTreeSet<&str> =
            self.actions.iter().filter_map(|action| action.policy.rollback.as_deref()).collect();
        self.iter().filter(move |(_, action)| aside.is_empty() || !above(&action.addr).any(|addr| aside.contains(addr)))
    }

    /// The actions that an address stands for: at it, or below it.
    pub fn below(&self, addr: &str) -> Vec<ActionId> {
        let below = format!("{addr}/");
        let from = self.actions.partition_point(|action| action.addr < below);
        let inside = self.actions[from..].iter().take_while(|action| action.addr.starts_with(&below));
        let inside = (from..).zip(inside).map(|(index, _)| ActionId(index as u32));
        self.find(addr).into_iter().chain(inside).collect()
    }

    /// The service of a name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The tool of a name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// An address, and those it lies below.
fn above(addr: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(addr), |addr| Some(addr.rsplit_once('/')?.0))
}

impl Action {
    /// The producers of its inputs and the actions it comes after, without duplicates, in order.
    pub fn dependencies(&self) -> Vec<ActionId> {
        let producers = self.spec.inputs.iter().filter_map(|input| match &input.source {
            InputSource::Output { action, .. } => Some(*action),
            InputSource::Workspace { .. } => None,
        });
        let mut all: Vec<ActionId> = producers.chain(self.after.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Service {
    /// The producers of its inputs. The actions that use it come after these.
    pub fn producers(&self) -> impl Iterator<Item = ActionId> {
        self.spec.inputs.iter().filter_map(|input| match &input.source {
            InputSource::Output { action, .. } => Some(*action),
            InputSource::Workspace { .. } => None,
        })
    }
}

impl Tool {
    /// The name of the executable: what it is started as, and its name on `PATH`.
    pub fn program(&self) -> &str {
        match &self.exec {
            // A path of the machine is known by its last part.
            ToolExec::Lookup(name) => name.rsplit('/').next().unwrap_or(name),
            ToolExec::Workspace(path) => path.name(),
        }
    }
}

impl Retry {
    /// One line, as in plans: `2 on transient, 1s exponential`.
    pub fn describe(&self) -> String {
        let on = match self.on {
            RetryOn::Transient => "transient",
            RetryOn::Timeout => "timeout",
            RetryOn::Any => "any",
        };
        let backoff = match self.backoff {
            Backoff::Fixed(ms) => format!("{ms}ms fixed"),
            Backoff::Exponential(ms) => format!("{ms}ms exponential"),
        };
        format!("{} on {on}, {backoff}", self.max)
    }
}
