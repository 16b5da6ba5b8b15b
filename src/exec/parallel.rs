//! For those who embed Partita: a list of tasks, or a plan, run in parallel under a policy, with a
//! result that says what became of each and what it was worth. A task becomes an action, so the
//! scheduler, the processes and the store are those of every run. Leaves out specs.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::{Digest, RelPath, Timestamp};
use crate::event::{Envelope, Event, Outcome, Sink, Tee};
use crate::exec::error::Error;
use crate::exec::ports::Ports;
use crate::exec::report::RunReport;
use crate::exec::run::{Request, execute};
use crate::plan::{
    Action, ActionId, ActionKind, ActionSpec, Cancel, Class, Input, InputSource, Isolation, Output, OutputKind, Plan,
    Policies, Policy as ActionPolicy, Retry, Route, Schedule, Tool, ToolExec, seal,
};

/// Where a task finds its prompt, below the folder it starts in.
pub const PROMPT: &str = "prompt.txt";
/// The graph that tasks are put into.
const GRAPH: &str = "tasks";

/// Who does a task: a program that is started for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agent {
    /// The name in results.
    pub name: String,
    /// The program: a name that is looked up on the `PATH` of [`Ports::environment`].
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Further programs it starts.
    pub tools: Vec<String>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// Who does it.
    pub agent: Agent,
    /// What is asked of it: the content of [`PROMPT`].
    pub prompt: String,
    /// Variables of its environment.
    pub params: BTreeMap<String, String>,
    /// Its name, unique; without one, its place in the list: `task-1`.
    pub id: Option<String>,
    /// Ids of tasks that must have succeeded before.
    pub after: Vec<String>,
    /// Files it must leave, relative to the folder it starts in.
    pub artifacts: Vec<String>,
    /// What an attempt costs at most, in micro-dollars.
    pub cost: u64,
}

impl TaskSpec {
    /// A task without more than an agent and a prompt.
    pub fn new(agent: Agent, prompt: impl Into<String>) -> Self {
        Self {
            agent,
            prompt: prompt.into(),
            params: BTreeMap::new(),
            id: None,
            after: Vec::new(),
            artifacts: Vec::new(),
            cost: 0,
        }
    }
}

/// How tasks are run.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RunPolicy {
    /// How many at once; `None`: one for each processor.
    pub max_concurrency: Option<NonZeroUsize>,
    /// When a task is tried again.
    pub retry: Option<Retry>,
    /// The longest an attempt of a task may take.
    pub timeout: Option<Duration>,
    /// The longest all may take together. The smallest bound wins.
    pub timeout_all: Option<Duration>,
    /// What all may cost together, in micro-dollars. What a task costs at most is set aside before it starts; one for
    /// which there is not enough left does not start, nor does anything after it.
    pub cost_budget: Option<u64>,
    /// Which of those that could start does.
    pub fairness: Schedule,
    /// What a failure means for what does not depend on it.
    pub cancellation: Cancel,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// It was done, or its result was known.
    Succeeded,
    /// It was tried and failed.
    Failed,
    /// It was not tried.
    Cancelled,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// Its id.
    pub id: String,
    /// Who did it.
    pub agent: String,
    /// How it ended.
    pub status: TaskStatus,
    /// When its first attempt began; `None` if none was made.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many attempts were made.
    pub attempts: u32,
    /// What it left: paths and digests of blobs, which are in the store.
    pub artifacts: BTreeMap<String, Digest>,
    /// What went wrong.
    pub errors: Vec<String>,
}

/// What a run was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Metrics {
    /// From start to end.
    pub wall_time: Duration,
    /// What all tasks took, one after the other.
    pub serial_time: Duration,
    /// What was spent at most on what was tried, in micro-dollars.
    pub cost_estimate: u64,
}

impl Metrics {
    /// How many times faster it was than doing one after the other.
    pub fn speedup_vs_serial(&self) -> f64 {
        let wall = self.wall_time.as_secs_f64();
        if wall > 0.0 { self.serial_time.as_secs_f64() / wall } else { 1.0 }
    }
}

/// What all tasks left, seen together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Merged {
    /// One line.
    pub summary: String,
    /// Paths that several tasks left with different contents, with the ids of these.
    pub conflicts: BTreeMap<String, Vec<String>>,
}

/// What became of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParallelResult {
    /// The tasks, in the order they were given in; of a graph, its actions by address.
    pub tasks: Vec<TaskResult>,
    /// What it was worth.
    pub metrics: Metrics,
    /// All together.
    pub merged: Merged,
}

/// When something began and ended.
type Span = (Option<Timestamp>, Option<Timestamp>);

/// When attempts began and ended, by address.
#[derive(Default)]
struct Times(Mutex<BTreeMap<String, Span>>);

impl Sink for Times {
    fn event(&self, envelope: &Envelope) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &envelope.event {
            Event::ActionStarted { addr, .. } => {
                times.entry(addr.clone()).or_default().0.get_or_insert(envelope.timestamp());
            }
            Event::ActionFinished { addr, .. } => times.entry(addr.clone()).or_default().1 = Some(envelope.timestamp()),
            _ => {}
        }
    }
}

/// Runs tasks in parallel, those that come after others when these have succeeded. Failures of tasks are
/// in the result; an error means that the run could not be carried through.
pub fn run_parallel(tasks: &[TaskSpec], policy: &RunPolicy, ports: Ports) -> Result<ParallelResult, Error> {
    let ids: Vec<String> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| task.id.clone().unwrap_or_else(|| format!("task-{}", index + 1)))
        .collect();
    let wrong = |why: String| Error::Plan(why);
    let mut seen = BTreeSet::new();
    for id in &ids {
        if !seen.insert(id) || id.is_empty() || id.contains('/') {
            return Err(wrong(format!("`{id}` does not name one task")));
        }
    }
    // One that could never be paid is a mistake of whoever asks.
    let dearest = tasks.iter().map(|task| task.cost).max().unwrap_or(0);
    if let Some(budget) = policy.cost_budget.filter(|budget| *budget < dearest) {
        return Err(Error::Budget { wanted: dearest, budget });
    }
    let plan = plan_of(tasks, &ids, policy)?;
    let found = run(plan, None, policy, ports)?;
    let by_addr: BTreeMap<&str, &TaskResult> = found.tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    let mut results = Vec::with_capacity(tasks.len());
    let mut cost = 0_u64;
    for (task, id) in tasks.iter().zip(&ids) {
        let Some(found) = by_addr.get(format!("{GRAPH}/{id}").as_str()) else { continue };
        cost = cost.saturating_add(task.cost.saturating_mul(u64::from(found.attempts)));
        results.push(TaskResult { id: id.clone(), agent: task.agent.name.clone(), ..(*found).clone() });
    }
    let merged = merge(&results);
    Ok(ParallelResult { tasks: results, metrics: Metrics { cost_estimate: cost, ..found.metrics }, merged })
}

/// Runs a plan under a policy. Bounds of the plan hold as well: the smallest wins.
pub fn run_graph(plan: &Plan, workspace: &Path, policy: &RunPolicy, ports: Ports) -> Result<ParallelResult, Error> {
    let mut plan = plan.clone();
    for action in &mut plan.actions {
        let own = action.policy.timeout_ms;
        let given = policy.timeout.map(|timeout| timeout.as_millis() as u64);
        action.policy.timeout_ms = own.into_iter().chain(given).min();
        action.policy.retry = action.policy.retry.take().or_else(|| policy.retry.clone());
    }
    run(plan, Some(workspace), policy, ports)
}

fn run(plan: Plan, workspace: Option<&Path>, policy: &RunPolicy, ports: Ports) -> Result<ParallelResult, Error> {
    let times = Arc::new(Times::default());
    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::clone(&ports.sink), times.clone()];
    let ports = Ports { sink: Arc::new(Tee::new(sinks)), ..ports };
    // A run of tasks alone takes nothing from a workspace.
    let nowhere = ports.cas.scratch()?;
    let workspace = workspace.map_or_else(|| nowhere.clone(), PathBuf::from);
    let run = format!("{:x}", ports.clock.now().0);
    let policies = Policies { schedule: policy.fairness, cancel: Some(policy.cancellation), ..plan.policies.clone() };
    let plan = Plan { policies, ..plan };
    let request = Request {
        jobs: policy.max_concurrency,
        timeout: policy.timeout_all,
        budget: policy.cost_budget,
        ..Request::new(Arc::new(plan), workspace, run)
    };
    let report = execute(request, ports);
    // Empty, and of no use to anyone.
    let _ = std::fs::remove_dir_all(&nowhere);
    let times = times.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(result(&report?, &times))
}

fn result(report: &RunReport, times: &BTreeMap<String, Span>) -> ParallelResult {
    let mut serial = Duration::ZERO;
    let mut tasks = Vec::with_capacity(report.actions.len());
    for action in &report.actions {
        serial += Duration::from_millis(action.duration_ms);
        let (started_at, finished_at) = times.get(&action.addr).copied().unwrap_or_default();
        let artifacts = action.outputs.iter().filter_map(|output| Some((output.path.to_string(), output.digest()?)));
        tasks.push(TaskResult {
            id: action.addr.clone(),
            agent: String::new(),
            status: match action.outcome {
                Outcome::Ran | Outcome::Cached | Outcome::CutOff => TaskStatus::Succeeded,
                Outcome::Failed => TaskStatus::Failed,
                Outcome::Skipped => TaskStatus::Cancelled,
            },
            started_at,
            finished_at,
            attempts: action.attempts,
            artifacts: artifacts.collect(),
            errors: action.failure.iter().map(|failure| failure.text.clone()).collect(),
        });
    }
    let metrics =
        Metrics { wall_time: Duration::from_millis(report.duration_ms), serial_time: serial, cost_estimate: 0 };
    let merged = merge(&tasks);
    ParallelResult { tasks, metrics, merged }
}

fn merge(tasks: &[TaskResult]) -> Merged {
    let mut by_path: BTreeMap<&str, BTreeMap<Digest, Vec<&str>>> = BTreeMap::new();
    for task in tasks {
        for (path, digest) in &task.artifacts {
            by_path.entry(path).or_default().entry(*digest).or_default().push(&task.id);
        }
    }
    let several = by_path.into_iter().filter(|(_, contents)| contents.len() > 1);
    let conflicts = several
        .map(|(path, contents)| (path.to_owned(), contents.into_values().flatten().map(str::to_owned).collect()))
        .collect();
    let count = |status: TaskStatus| tasks.iter().filter(|task| task.status == status).count();
    let summary = format!(
        "{} succeeded, {} failed, {} cancelled",
        count(TaskStatus::Succeeded),
        count(TaskStatus::Failed),
        count(TaskStatus::Cancelled)
    );
    Merged { summary, conflicts }
}

/// Tasks as a plan: for each the writing of its prompt, and the work.
fn plan_of(tasks: &[TaskSpec], ids: &[String], policy: &RunPolicy) -> Result<Plan, Error> {
    let path = |text: &str| RelPath::new(text).map_err(|error| Error::Plan(error.to_string()));
    let unknown = Digest::from_bytes([0; 32]);
    let mut actions = Vec::with_capacity(2 * tasks.len());
    let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
    let empty = |kind: ActionKind, class: Class| ActionSpec {
        kind,
        class,
        secrets: BTreeMap::new(),
        env: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        tools: Vec::new(),
        take: None,
        services: Vec::new(),
        cwd: None,
        isolation: Isolation::None,
        limits: BTreeMap::new(),
    };
    for (task, id) in tasks.iter().zip(ids) {
        let addr = format!("{GRAPH}/{id}");
        let output = |name: &str| {
            Ok::<_, Error>(Output {
                name: name.to_owned(),
                path: path(name)?,
                kind: OutputKind::File,
                digest: None,
                schema: None,
            })
        };
        let mut prompt = empty(ActionKind::Write { text: task.prompt.clone() }, Class::Pure);
        prompt.outputs.push(output(PROMPT)?);
        actions.push((addr.clone() + "/prompt", prompt, Vec::new(), None));
        let kind = ActionKind::Exec { tool: task.agent.program.clone(), args: task.agent.args.clone() };
        let mut work = empty(kind, Class::Volatile);
        work.env.clone_from(&task.params);
        work.outputs = task.artifacts.iter().map(|name| output(name)).collect::<Result<_, _>>()?;
        work.outputs.sort();
        let names: BTreeSet<&String> = task.agent.tools.iter().chain([&task.agent.program]).collect();
        work.tools = names.iter().map(|name| (*name).clone()).collect();
        for name in names {
            tools.entry(name.clone()).or_insert_with(|| Tool {
                name: name.clone(),
                exec: ToolExec::Lookup(name.clone()),
                fingerprint: None,
                uses: Vec::new(),
                pass_env: Vec::new(),
                supplier: None,
                version: None,
            });
        }
        let attempts = policy.retry.as_ref().map_or(1, |retry| u64::from(retry.max) + 1);
        let route = (task.cost > 0).then(|| Route {
            capability: None,
            agent: None,
            kind: "agent".to_owned(),
            chosen: task.agent.name.clone(),
            tier: "primary".to_owned(),
            model: None,
            at_most: task.cost.saturating_mul(attempts),
            once: 0,
            price: "as the task says".to_owned(),
            coalesced: None,
            estimate: None,
            rejected: Vec::new(),
        });
        actions.push((addr, work, task.after.clone(), route));
    }
    actions.sort_by(|a, b| a.0.cmp(&b.0));
    let places: BTreeMap<String, ActionId> =
        actions.iter().enumerate().map(|(index, (addr, ..))| (addr.clone(), ActionId(index as u32))).collect();
    let find = |addr: &str| places.get(addr).copied().ok_or_else(|| Error::Plan(format!("there is no task `{addr}`")));
    let mut built = Vec::with_capacity(actions.len());
    for (addr, mut spec, after, route) in actions {
        let is_work = matches!(spec.kind, ActionKind::Exec { .. });
        if is_work {
            let source = InputSource::Output {
                action: find(&format!("{addr}/prompt"))?,
                output: PROMPT.to_owned(),
                select: None,
            };
            spec.inputs.push(Input { dest: Some(path(PROMPT)?), source });
        }
        let after = after.iter().map(|id| find(&format!("{GRAPH}/{id}"))).collect::<Result<_, _>>()?;
        let bounded = ActionPolicy {
            timeout_ms: policy.timeout.map(|timeout| timeout.as_millis() as u64),
            retry: policy.retry.clone(),
            ..ActionPolicy::default()
        };
        let policy = if is_work { bounded } else { ActionPolicy::default() };
        built.push(Action { addr, spec, policy, def: unknown, skey: unknown, after, route });
    }
    let mut plan = Plan {
        terms: crate::plan::Terms::default(),
        graph: GRAPH.to_owned(),
        actions: built,
        tools: tools.into_values().collect(),
        pools: BTreeMap::new(),
        concurrency: None,
        services: Vec::new(),
        policies: Policies::default(),
        schemas: BTreeMap::new(),
        digest: unknown,
    };
    seal(&mut plan);
    Ok(plan)
}
