//! `partita shell`: makes all that an action takes in, and opens its sandbox to a person or a command.
//! Leaves out terminals and processes, which are the executor's.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::{ActionKey, Digest};
use crate::event::{Envelope, NullSink, Sink};
use crate::exec::{
    Baseline, Error as ExecError, History as HistoryPort, HistoryRow, Ports, Request, Visit, VisitRunner, execute,
};
use crate::ops::Error;
use crate::ops::approve::OnRecord;
use crate::ops::check::{find_graph, plan};
use crate::ops::places::{failed_actions, places_of};
use crate::ops::ports::{Keep, WorkspaceHistory, notices};
use crate::ops::run::{RunContext, RunOptions, RunReply, find_actions, runner};
use crate::ops::secrets::MachineSecrets;
use crate::ops::workspace::Workspace;
use crate::ops::writers::writers;
use crate::plan::{ActionId, ActionKind, Class, Plan, Service};
use crate::store::Cas as _;

/// How a visit ended, or why it did not begin.
#[derive(Debug)]
pub enum ShellReply {
    /// The status of what was started.
    Ended(i32),
    /// Something that the action takes in could not be made.
    Failed(Box<RunReply>),
}

/// Says nothing more once somebody is inside, whose terminal it is then.
struct Hushed {
    inner: Arc<dyn Sink>,
    is_quiet: Arc<AtomicBool>,
}

impl Sink for Hushed {
    fn event(&self, envelope: &Envelope) {
        if !self.is_quiet.load(Ordering::SeqCst) {
            self.inner.event(envelope);
        }
    }
}

/// The history, in which a visit leaves nothing.
struct Unrecorded(Arc<WorkspaceHistory>);

impl HistoryPort for Unrecorded {
    fn latest(&self, addr: &str) -> Option<Baseline> {
        self.0.latest(addr)
    }

    fn latest_key(&self, addr: &str) -> Option<ActionKey> {
        self.0.latest_key(addr)
    }

    fn by_def(&self, def: Digest) -> Option<Baseline> {
        self.0.by_def(def)
    }

    fn record(&self, _row: HistoryRow) {}

    fn expected_ms(&self, addr: &str) -> Option<u64> {
        self.0.expected_ms(addr)
    }
}

/// Opens the sandbox of the action at an address. `words`: what is started in it; a shell if empty.
/// `announce` is told before it begins.
pub fn shell(
    workspace: &mut Workspace,
    addr: &str,
    words: &[String],
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
    announce: Arc<dyn Fn(&Visit) + Send + Sync>,
) -> Result<ShellReply, Error> {
    if workspace.compiled.diagnostics.has_errors() {
        return Err(Error::Spec);
    }
    let graph = addr.split('/').next().unwrap_or(addr);
    find_graph(&workspace.compiled, graph)?;
    let planned = plan(workspace, graph, params)?;
    let id = the_one(&planned.plan, addr)?;
    let action = planned.plan.action(id);
    if let Some(effect) = effect_above(&planned.plan, id) {
        let text = format!("`{addr}` comes after effect `{effect}`, and a visit would do that");
        return Err(Error::usage_help(text, "look into the actions before it"));
    }
    let is_quiet = Arc::new(AtomicBool::new(false));
    let hush = Arc::clone(&is_quiet);
    let announce = Arc::new(move |visit: &Visit| {
        announce(visit);
        hush.store(true, Ordering::SeqCst);
    });
    let run = uuid::Uuid::now_v7().simple().to_string();
    let sink: Arc<dyn Sink> = Arc::new(Hushed { inner: Arc::clone(&context.sink), is_quiet });
    let quiet: Arc<dyn Sink> = Arc::new(NullSink);
    let keep = Keep::open(&workspace.store, &workspace.state, &context.clock, &notices(&quiet, &context.clock, &run))?;
    let request = Request {
        target: addr.to_owned(),
        targets: vec![id],
        excluded: [&workspace.store, &workspace.state, &workspace.out]
            .into_iter()
            .chain(&workspace.excluded)
            .cloned()
            .collect(),
        jobs: NonZeroUsize::new(options.jobs),
        isolation: options.isolation,
        cassette: Some(workspace.state.join("cassette")),
        forced: BTreeSet::from([action.addr.clone()]),
        ..Request::new(Arc::clone(&planned.plan), &workspace.root, run)
    };
    let terminal = context.environment.raw("TERM").cloned();
    let runner = runner(options.level, &context.environment);
    let visitors = Arc::new(VisitRunner::new(runner, &action.addr, words, announce).with_terminal(terminal));
    let ports = Ports {
        cas: keep.store.clone(),
        claims: keep.store.clone(),
        history: Arc::new(Unrecorded(keep.history.clone())),
        snapshots: keep.snapshots.clone(),
        clock: Arc::clone(&context.clock),
        sink,
        environment: context.environment.clone(),
        cancel: context.cancel.clone(),
        runner: visitors.clone(),
        secrets: Arc::new(MachineSecrets::new(&workspace.root, &context.environment)),
        approver: Arc::new(OnRecord::open(workspace, &planned.plan, &context.environment, &context.clock)),
        inventory: Arc::new(crate::ops::inventory::Inventories),
        writers: writers(&workspace.state, &context.environment)?,
    };
    let sources = &workspace.compiled.program.sources;
    let report = execute(request, ports).map_err(|error| {
        let place = error.addr().and_then(|addr| places_of(addr, &planned.expansion, sources).0);
        Error::Exec { error, place }
    })?;
    keep.snapshots.inner.save()?;
    keep.store.flush()?;
    match visitors.take_end() {
        Some(Ok(status)) => Ok(ShellReply::Ended(status)),
        Some(Err(source)) if source.kind() == std::io::ErrorKind::NotFound => Err(Error::usage(source.to_string())),
        Some(Err(source)) => {
            let error = ExecError::System { what: "open the sandbox", source };
            Err(Error::Exec { error, place: places_of(&action.addr, &planned.expansion, sources).0 })
        }
        None => {
            let failures = failed_actions(&report, &planned.expansion, sources);
            let counts = report.counts;
            Ok(ShellReply::Failed(Box::new(RunReply {
                failures,
                counts,
                reports: vec![report],
                ..RunReply::default()
            })))
        }
    }
}

/// The action that starts a process at or below an address, if it is one.
fn the_one(plan: &Plan, addr: &str) -> Result<ActionId, Error> {
    let found = find_actions(plan, addr)?;
    let starts = |id: &ActionId| matches!(plan.action(*id).spec.kind, ActionKind::Exec { .. });
    let starting: Vec<ActionId> = found.iter().copied().filter(starts).collect();
    let exact = starting.iter().find(|id| plan.action(**id).addr == addr);
    match (exact, starting.as_slice()) {
        (Some(id), _) | (None, [id]) => Ok(*id),
        (None, []) => Err(Error::usage(format!("`{addr}` starts no process, so there is no sandbox to look into"))),
        (None, several) => {
            let names: Vec<String> = several.iter().map(|id| format!("`{}`", plan.action(*id).addr)).collect();
            Err(Error::usage_help(format!("`{addr}` is several actions"), format!("name one: {}", names.join(", "))))
        }
    }
}

/// An effect that would be done before the action: one that it takes something in from, or comes after, directly or
/// through others.
fn effect_above(plan: &Plan, id: ActionId) -> Option<&str> {
    let above = |id: ActionId| -> Vec<ActionId> {
        let action = plan.action(id);
        let services = action.spec.services.iter().filter_map(|name| plan.service(name));
        action.dependencies().into_iter().chain(services.flat_map(Service::producers)).collect()
    };
    let mut open = above(id);
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let action = plan.action(id);
        if action.spec.class == Class::Effect {
            return Some(&action.addr);
        }
        if seen.insert(id.0) {
            open.extend(above(id));
        }
    }
    None
}
