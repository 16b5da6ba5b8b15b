//! Running: targets to actions, execution, and outputs for people. Leaves out how progress is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Entry, Environment};
use crate::diag::did_you_mean;
use crate::event::{Counts, JournalSink, Outcome, Sink, Tee, Verdict};
use crate::exec::{
    Approver, CancelToken, Leavings, Part, Ports, Purse, Request, RunReport, SandboxRunner, Secrets, execute_in_parts,
    is_there,
};
use crate::ops::Error;
use crate::ops::approve::OnRecord;
use crate::ops::check::{Planned, find_graph, no_target, plan};
use crate::ops::history::{is_alive, show_alive};
use crate::ops::inventory::Inventories;
use crate::ops::memo::{Behind, MemoKey, PlacedOutput, Recalled, recall, remember};
use crate::ops::places::{FailedAction, failed_actions, places_of};
use crate::ops::ports::{Keep, notices};
use crate::ops::recheck::{Recheck, rechecked};
use crate::ops::secrets::MachineSecrets;
use crate::ops::workspace::{Locations, Workspace, find, make_state};
use crate::ops::writers::writers;
use crate::plan::{Action, ActionId, Class, InputSource, Isolation, Plan};
use crate::store::{self, Cas, Found, Ledger, RunEnd, Spending, look_through, materialize};

/// How to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How many actions at once.
    pub jobs: usize,
    /// Whether to go on with what does not depend on a failure.
    pub keep_going: bool,
    /// The least isolation that results must have been made under.
    pub isolation: Isolation,
    /// What is run is run under; with none, the strongest that this machine offers. What is demanded,
    /// if that is more, in any case.
    pub level: Option<Isolation>,
    /// Whether to run nothing.
    pub require_cached: bool,
    /// Addresses to run even if known.
    pub refresh: Vec<String>,
    /// What to make again, to see whether it comes out the same.
    pub check: Vec<Recheck>,
    /// Addresses of effects that happened, though the ledger does not know.
    pub done: Vec<String>,
    /// Whether nothing is recorded anew.
    pub replay_only: bool,
    /// The longest a run may take.
    pub timeout: Option<Duration>,
    /// Whether outputs are put where people find them.
    pub materialize: bool,
    /// What to remember the run under, if it may be answered from memory the next time.
    pub memo: Option<MemoKey>,
}

/// What a run needs of the process around it.
pub struct RunContext {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who listens.
    pub sink: Arc<dyn Sink>,
    /// Stops the run.
    pub cancel: CancelToken,
    /// The caller's environment.
    pub environment: Environment,
}

/// What became of the runs, one for each graph that was asked for.
#[derive(Debug, Default)]
pub struct RunReply {
    /// Reports, in the order of the graphs.
    pub reports: Vec<RunReport>,
    /// Where outputs of the targets appeared.
    pub outputs: Vec<PathBuf>,
    /// The actions that failed, in the order of the graphs and of addresses.
    pub failures: Vec<FailedAction>,
    /// What happened outside in runs that failed, and can be taken back.
    pub to_take_back: Vec<TakeBack>,
    /// The counts of all.
    pub counts: Counts,
    /// Milliseconds of all.
    pub duration_ms: u64,
}

/// Something that happened in a run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeBack {
    /// The address of what happened.
    pub addr: String,
    /// The address of the node that takes it back.
    pub by: String,
}

impl RunReply {
    /// How many actions were made again and came out otherwise.
    pub fn differing(&self) -> u64 {
        self.checks(Verdict::Different)
    }

    /// How many actions came to a verdict when they were made again.
    pub fn checks(&self, verdict: Verdict) -> u64 {
        self.reports.iter().map(|report| report.checks(verdict)).sum()
    }

    /// What decides the exit status.
    pub fn error(&self) -> Option<Error> {
        if self.reports.iter().any(|report| report.cancelled) {
            return Some(Error::Signal(2));
        }
        let kind = self.reports.iter().find_map(RunReport::error_kind)?;
        Some(match kind {
            crate::base::ErrorKind::CheckFailed if self.differing() > 0 => Error::Differs { count: self.differing() },
            crate::base::ErrorKind::CheckFailed => {
                let missing = self.failures.iter().filter(|failed| failed.code == NOT_RECORDED).count() as u64;
                match missing {
                    0 => Error::NotCached { missing: self.counts.skipped },
                    missing => Error::NotRecorded { missing },
                }
            }
            crate::base::ErrorKind::Approval => Error::Approval {
                missing: self.failures.iter().filter(|failed| failed.code == "E0217").map(|f| f.addr.clone()).collect(),
            },
            kind => Error::Failed { failed: self.counts.failed, kind },
        })
    }
}

/// What memory has for a request, before anything is compiled.
pub enum Answer {
    /// All of it.
    Known(RunReply),
    /// All but what is behind some sources and outputs.
    Behind(Box<Behind>),
    /// Nothing: it has to be run.
    Nothing,
}

/// Answers a request from memory, before anything is compiled. Only plain requests are answered: nothing forced,
/// one graph, the state directory known without the specs.
pub fn answer(
    locations: &Locations,
    targets: &[String],
    params: &BTreeMap<String, String>,
    options: &mut RunOptions,
    clock: &dyn Clock,
) -> Answer {
    answer_now(locations, targets, params, options, clock).unwrap_or(Answer::Nothing)
}

fn answer_now(
    locations: &Locations,
    targets: &[String],
    params: &BTreeMap<String, String>,
    options: &mut RunOptions,
    clock: &dyn Clock,
) -> Option<Answer> {
    let begun = clock.elapsed();
    if locations.environment.get(Environment::MEMO).is_some_and(|value| value == "off") {
        return None;
    }
    let first = targets.first()?.split('/').next()?;
    // What was remembered was compiled with the levels that specs have of themselves.
    if !locations.levels.is_empty()
        || !options.refresh.is_empty()
        || !options.check.is_empty()
        || !options.done.is_empty()
        || targets.iter().any(|target| target.split('/').next() != Some(first))
    {
        return None;
    }
    let dir = find(locations).ok()?.canonicalize().ok()?;
    let given = locations.state.clone().or_else(|| locations.environment.get(Environment::STATE).map(PathBuf::from));
    let state = given.map_or_else(|| dir.join(".partita"), |state| locations.current.join(state));
    let place = |path: Option<&PathBuf>| {
        path.map_or_else(String::new, |path| locations.current.join(path).display().to_string())
    };
    let store = locations.store.clone().or_else(|| locations.environment.get(Environment::STORE).map(PathBuf::from));
    let home = [Environment::HOME, Environment::XDG_CACHE_HOME]
        .map(|var| place(locations.environment.get(var).map(PathBuf::from).as_ref()));
    let asked = serde_json::to_string(&(targets, params)).ok()?;
    let of_writers = [Environment::WRITER, Environment::WRITERS, Environment::WRITERS_AGREE, Environment::OVERLAY];
    let writers = format!("{:?}", of_writers.map(|var| locations.environment.get(var)));
    let parts = [
        dir.to_str()?,
        &place(store.as_ref()),
        &place(locations.out.as_ref()),
        &home[0],
        &home[1],
        &asked,
        options.isolation.word(),
        // A name holds no NUL, so that none reads as another.
        locations.tenant.as_deref().unwrap_or("\0"),
        // What may be taken as it is, and what may be fetched, decide whether the specs compile at all.
        if locations.locked { "locked" } else { "" },
        if locations.offline { "offline" } else { "" },
        // Whose results count decides whether the one before does.
        &writers,
    ];
    let key = MemoKey::new(&parts, &locations.environment);
    let found = recall(&state, &dir, &key, clock);
    options.memo = Some(key);
    let found = match found {
        Recalled::Answer(found) => found,
        Recalled::Behind(behind) => return Some(Answer::Behind(behind)),
        Recalled::Nothing => return None,
    };
    let duration_ms = clock.elapsed().saturating_sub(begun).as_millis() as u64;
    let counts = Counts { cached: found.actions, ..Counts::default() };
    Some(Answer::Known(RunReply { outputs: found.outputs, counts, duration_ms, ..RunReply::default() }))
}

/// Runs targets: graphs, or addresses in them.
pub fn run(
    workspace: &mut Workspace,
    targets: &[String],
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<RunReply, Error> {
    if workspace.compiled.diagnostics.has_errors() {
        return Err(Error::Spec);
    }
    if options.replay_only && !options.refresh.is_empty() {
        return Err(Error::usage_help(
            "`--replay-only` gives only what is recorded, and `--refresh` asks anew",
            "leave one of them out",
        ));
    }
    no_target(&workspace.compiled, "run", targets)?;
    let mut by_graph: Vec<(String, Vec<String>)> = Vec::new();
    for target in targets {
        let graph = target.split('/').next().unwrap_or(target).to_owned();
        find_graph(&workspace.compiled, &graph)?;
        match by_graph.iter_mut().find(|(name, _)| *name == graph) {
            Some((_, all)) => all.push(target.clone()),
            None => by_graph.push((graph, vec![target.clone()])),
        }
    }
    let mut planned = Vec::new();
    for (graph, targets) in &by_graph {
        let compiled = plan(workspace, graph, params)?;
        let chosen = resolve_targets(&compiled.plan, targets)?;
        rechecked(&compiled.plan, &chosen, &options.check, "")?;
        planned.push((compiled, chosen));
    }
    // Each is asked for in one of the graphs, not in all.
    for addr in options.refresh.iter().chain(&options.done) {
        let of_it = planned.iter().find(|(compiled, _)| is_of(&compiled.plan, addr)).or(planned.first());
        if let Some((compiled, _)) = of_it {
            find_actions(&compiled.plan, addr)?;
        }
    }
    let mut reply = RunReply::default();
    for ((_, targets), (compiled, chosen)) in by_graph.iter().zip(&planned) {
        run_one(workspace, compiled, targets, chosen, options, context, &mut reply)?;
        if reply.error().is_some() && !options.keep_going {
            break;
        }
    }
    Ok(reply)
}

/// The code of an action whose record is not in the cassette.
const NOT_RECORDED: &str = "E0215";

/// How often a run is begun again because content was lost after it was found whole.
pub(super) const AGAIN: u32 = 3;

/// Runs one plan whose targets are known. An output that no action reads is read when it is put in its
/// place: if the store has lost it by then, which quarantine sees to for a corrupt one, the plan is run
/// again and makes it anew.
pub(super) fn run_one(
    workspace: &Workspace,
    planned: &Planned,
    targets: &[String],
    chosen: &Chosen,
    options: &RunOptions,
    context: &RunContext,
    reply: &mut RunReply,
) -> Result<(), Error> {
    for _ in 1..AGAIN {
        let placed = reply.outputs.len();
        match run_once(workspace, planned, targets, chosen, options, context, reply) {
            Err(Error::Lost { .. }) => reply.outputs.truncate(placed),
            other => return other,
        }
    }
    run_once(workspace, planned, targets, chosen, options, context, reply)
}

fn run_once(
    workspace: &Workspace,
    planned: &Planned,
    targets: &[String],
    chosen: &Chosen,
    options: &RunOptions,
    context: &RunContext,
    reply: &mut RunReply,
) -> Result<(), Error> {
    let plan = &planned.plan;
    let sources = &workspace.compiled.program.sources;
    let target = targets.join(" ");
    let request = |id: &str| {
        Ok(Request {
            target: target.clone(),
            targets: chosen.actions.clone(),
            excluded: [&workspace.store, &workspace.state, &workspace.out]
                .into_iter()
                .chain(&workspace.excluded)
                .cloned()
                .collect(),
            checked: rechecked(plan, chosen, &options.check, id)?,
            ledger: ledger(workspace, plan)?,
            purse: purse(&workspace.state, plan, false)?,
            done: forced(plan, &options.done)?,
            cassette: Some(workspace.state.join("cassette")),
            forced: forced(plan, &options.refresh)?,
            ..requested(Arc::clone(plan), &workspace.root, &workspace.state, id, options)
        })
    };
    let asked = Asked {
        target: &target,
        store: &workspace.store,
        state: &workspace.state,
        secrets: Arc::new(MachineSecrets::new(&workspace.root, &context.environment)),
        approver: Arc::new(OnRecord::open(workspace, plan, &context.environment, &context.clock)),
        given: &[],
    };
    let Carried { report, keep, leavings } =
        carry_out(asked, request, |_| None, options, context).map_err(|error| match error {
            Error::Exec { error, .. } => {
                let place = error.addr().and_then(|addr| places_of(addr, &planned.expansion, sources).0);
                Error::Exec { error, place }
            }
            other => other,
        })?;
    let cas: Arc<dyn Cas> = keep.store.clone();
    let mut outputs = Vec::new();
    if options.materialize {
        let from = (cas.as_ref(), &leavings);
        outputs = put_outputs(plan, chosen, &report, from, &workspace.out, options.jobs, &mut reply.outputs)?;
    }
    drop(leavings);
    keep.snapshots.inner.save()?;
    keep.store.flush()?;
    if let Some(key) = &options.memo {
        remember(workspace, plan, &report, &outputs, key, &context.environment, context.clock.as_ref())?;
    }
    reply.failures.extend(failed_actions(&report, &planned.expansion, sources));
    reply.to_take_back.extend(to_take_back(plan, &report));
    add(&mut reply.counts, report.counts);
    reply.duration_ms += report.duration_ms;
    reply.reports.push(report);
    Ok(())
}

/// What happened outside in a run that failed, or was cut short, and can be taken back: by the run itself, or by the one
/// that it took up.
fn to_take_back(plan: &Plan, report: &RunReport) -> Vec<TakeBack> {
    // One that waits for people goes on.
    let is_waiting = report.error_kind() == Some(crate::base::ErrorKind::Approval);
    if is_waiting || report.error_kind().is_none() && !report.cancelled {
        return Vec::new();
    }
    let mut said = BTreeSet::new();
    let happened = report.actions.iter().filter_map(|done| {
        let action = plan.action(plan.find(&done.addr)?);
        let by = action.policy.rollback.clone()?;
        let is_taken_up = done.outcome == Outcome::Cached && action.spec.class == Class::Effect;
        let has_happened = done.outcome == Outcome::Ran || is_taken_up;
        (has_happened && said.insert(by.clone())).then(|| TakeBack { addr: done.addr.clone(), by })
    });
    happened.collect()
}

/// What every request of a plan has in common.
pub(super) fn requested(plan: Arc<Plan>, root: &Path, state: &Path, id: &str, options: &RunOptions) -> Request {
    Request {
        jobs: NonZeroUsize::new(options.jobs),
        keep_going: options.keep_going,
        isolation: options.isolation,
        require_cached: options.require_cached,
        replay_only: options.replay_only,
        timeout: options.timeout,
        service_logs: Some(run_dir(state, id).join("services")),
        ..Request::new(plan, root, id)
    }
}

/// What is run, for whom and where.
pub(super) struct Asked<'a> {
    pub(super) target: &'a str,
    pub(super) store: &'a Path,
    pub(super) state: &'a Path,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) approver: Arc<dyn Approver>,
    /// What the store must have beforehand.
    pub(super) given: &'a [Entry],
}

/// What came of it.
pub(super) struct Carried {
    pub(super) report: RunReport,
    pub(super) keep: Keep,
    /// Dropped when outputs are in their places.
    pub(super) leavings: Leavings,
}

/// Carries a request out, and the parts that come next, with a journal, a report and a place in the history.
pub(super) fn carry_out(
    asked: Asked<'_>,
    request: impl FnOnce(&str) -> Result<Request, Error>,
    next: impl FnMut(&RunReport) -> Option<Part>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Carried, Error> {
    let Asked { target, store, state, secrets, approver, given } = asked;
    let id = uuid::Uuid::now_v7().simple().to_string();
    // Before anything is begun: it may be that nobody can be believed.
    let writers = writers(state, &context.environment)?;
    let notify = notices(&context.sink, &context.clock, &id);
    let keep = Keep::open(store, state, &context.clock, &notify)?;
    let cas: Arc<dyn Cas> = keep.store.clone();
    // First noted, then looked at: so it stays.
    rely_on(&*cas, given);
    if !is_there(&cas, given) {
        return Err(Error::Lost { path: store.to_owned() });
    }
    let history = &keep.history.inner;
    let _alive = show_alive(state, &id)?;
    let open = history.start_run(&id, target)?;
    let journal = Arc::new(JournalSink::create(state, &id, Arc::clone(&context.clock))?);
    let ports = Ports {
        cas: keep.store.clone(),
        claims: keep.store.clone(),
        history: keep.history.clone(),
        snapshots: keep.snapshots.clone(),
        clock: Arc::clone(&context.clock),
        sink: Arc::new(Tee::new(vec![Arc::clone(&context.sink), journal.clone()])),
        environment: context.environment.clone(),
        cancel: context.cancel.clone(),
        runner: Arc::new(runner(options.level, &context.environment)),
        secrets,
        approver,
        inventory: Arc::new(Inventories),
        writers,
    };
    let leavings = Leavings::default();
    let report = request(&id)
        .map(|request| Request { leavings: Some(leavings.clone()), ..request })
        .and_then(|request| execute_in_parts(request, ports, next).map_err(|error| Error::Exec { error, place: None }));
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            // It did not get far enough to be counted. That it ended is on record all the same; where
            // even that cannot be written, the error that comes first is the one to tell.
            let _ = history.finish_run(open, RunEnd::Failed, Counts::default(), 0);
            return Err(error);
        }
    };
    journal.finish()?;
    let report_file = run_dir(state, &id).join("report.json");
    write_atomically(&report_file, format!("{}\n", report.to_json()).as_bytes())?;
    let end = if report.cancelled {
        RunEnd::Cancelled
    } else if report.error_kind() == Some(crate::base::ErrorKind::Approval) {
        RunEnd::Waiting
    } else if report.error_kind().is_some() {
        RunEnd::Failed
    } else {
        RunEnd::Succeeded
    };
    history.finish_run(open, end, report.counts, report.duration_ms)?;
    Ok(Carried { report, keep, leavings })
}

/// What the tenant of a plan has for longer than a run, where something in it costs, or may in a part that comes later.
pub(super) fn purse(state: &Path, plan: &Plan, has_more: bool) -> Result<Option<Purse>, Error> {
    let costs = |action: &Action| action.route.as_ref().is_some_and(|route| route.at_most > 0 || route.once > 0);
    let is_for_longer = plan.terms.tenant.as_ref().is_some_and(|tenant| tenant.period().is_some());
    if !is_for_longer || !has_more && !plan.actions.iter().any(costs) {
        return Ok(None);
    }
    make_state(state)?;
    let state = state.to_path_buf();
    let spending = Arc::new(Spending::open(&state.join("spending.sqlite"))?);
    Ok(Some(Purse { spending, is_alive: Arc::new(move |run| is_alive(&state, run)) }))
}

/// Notes that outputs are relied on which no run asks the store for. Where that cannot be noted, as on a full disk, what a
/// collection takes is made anew.
pub(super) fn rely_on<'a>(cas: &dyn Cas, entries: impl IntoIterator<Item = &'a Entry>) {
    if let Err(error) = cas.rely_on(&[], &entries.into_iter().collect::<Vec<_>>()) {
        tracing::warn!(%error, "what is in use was not noted");
    }
}

/// The ledger of effects, where a plan has any.
pub(super) fn ledger(workspace: &Workspace, plan: &Plan) -> Result<Option<Arc<Ledger>>, Error> {
    let has_effects = plan.actions.iter().any(|action| action.spec.class == Class::Effect);
    if !has_effects {
        return Ok(None);
    }
    make_state(&workspace.state)?;
    Ok(Some(Arc::new(Ledger::open(&workspace.state.join("ledger.sqlite"))?)))
}

/// Who runs the processes of actions.
pub(super) fn runner(level: Option<Isolation>, environment: &Environment) -> SandboxRunner {
    SandboxRunner::new(level, environment.get(Environment::HOME).map(PathBuf::from))
}

/// Where the journal and the report of a run lie.
pub fn run_dir(state: &Path, run: &str) -> PathBuf {
    state.join("runs").join(run)
}

fn add(total: &mut Counts, more: Counts) {
    total.ran += more.ran;
    total.cached += more.cached;
    total.cut_off += more.cut_off;
    total.failed += more.failed;
    total.skipped += more.skipped;
}

/// What targets stand for.
pub struct Chosen {
    /// Actions to have results of.
    pub actions: Vec<ActionId>,
    /// Outputs that people get.
    pub outputs: BTreeSet<(ActionId, String)>,
}

/// Resolves targets in a plan: the graph stands for its final outputs, an address for its own.
pub(super) fn resolve_targets(plan: &Plan, targets: &[String]) -> Result<Chosen, Error> {
    let mut actions = BTreeSet::new();
    let mut outputs = BTreeSet::new();
    for target in targets {
        if *target == plan.graph {
            let mut consumed: BTreeSet<(ActionId, &str)> = BTreeSet::new();
            for action in &plan.actions {
                for input in &action.spec.inputs {
                    if let InputSource::Output { action, output, .. } = &input.source {
                        consumed.insert((*action, output));
                    }
                }
            }
            for (id, action) in plan.ordinary() {
                actions.insert(id);
                let free = action.spec.outputs.iter().filter(|output| !consumed.contains(&(id, output.name.as_str())));
                outputs.extend(free.map(|output| (id, output.name.clone())));
            }
        } else {
            for id in find_actions(plan, target)? {
                actions.insert(id);
                outputs.extend(plan.action(id).spec.outputs.iter().map(|output| (id, output.name.clone())));
            }
        }
    }
    Ok(Chosen { actions: actions.into_iter().collect(), outputs })
}

/// The actions at or below an address.
pub(super) fn find_actions(plan: &Plan, addr: &str) -> Result<Vec<ActionId>, Error> {
    let addr = addr.trim_end_matches('/');
    let below = format!("{addr}/");
    let found: Vec<ActionId> = plan
        .iter()
        .filter(|(_, action)| action.addr == addr || action.addr.starts_with(&below))
        .map(|(id, _)| id)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known = plan.actions.iter().map(|action| action.addr.as_str());
    let help = match did_you_mean(addr, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("`partita plan {}` lists the addresses", plan.graph),
    };
    Err(Error::usage_help(format!("there is no action at `{addr}`"), help))
}

/// Whether an address is one of the graph of a plan.
fn is_of(plan: &Plan, addr: &str) -> bool {
    addr.split('/').next() == Some(&*plan.graph)
}

/// The addresses of a plan at or below those that are named; what is of another graph is left out.
pub(super) fn forced(plan: &Plan, refresh: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut all = BTreeSet::new();
    for addr in refresh.iter().filter(|addr| is_of(plan, addr)) {
        all.extend(find_actions(plan, addr)?.into_iter().map(|id| plan.action(id).addr.clone()));
    }
    Ok(all)
}

fn put_outputs(
    plan: &Plan,
    chosen: &Chosen,
    report: &RunReport,
    from: (&dyn Cas, &Leavings),
    out: &Path,
    jobs: usize,
    placed: &mut Vec<PathBuf>,
) -> Result<Vec<PlacedOutput>, Error> {
    let mut all = Vec::new();
    let mut entries = Vec::new();
    for (id, name) in &chosen.outputs {
        let action = plan.action(*id);
        let Some(done) = report.action(&action.addr) else { continue };
        if !matches!(done.outcome, Outcome::Ran | Outcome::Cached | Outcome::CutOff) {
            continue;
        }
        let Some(at) = done.outputs.iter().position(|output| output.name == *name) else { continue };
        let output = &done.outputs[at];
        let dest = output.path.under(&out.join(&action.addr));
        let digest = match &output.entry {
            Entry::File { digest, .. } => Some(*digest),
            Entry::Dir { .. } | Entry::Symlink { .. } => None,
        };
        entries.push(&output.entry);
        placed.push(dest.clone());
        all.push(PlacedOutput { path: dest, digest, action: *id, output: at });
    }
    let items: Vec<(&Entry, &Path)> = entries.into_iter().zip(all.iter().map(|placed| placed.path.as_path())).collect();
    place_all(from, &items, jobs)?;
    Ok(all)
}

/// Puts outputs in their places, several at once where there are many.
pub(super) fn place_all(
    (cas, leavings): (&dyn Cas, &Leavings),
    items: &[(&Entry, &Path)],
    jobs: usize,
) -> Result<(), Error> {
    /// Outputs that are worth another thread.
    const MANY: usize = 64;
    /// Threads that a disk has any use for.
    const THREADS: usize = 8;
    let all = |items: &[(&Entry, &Path)]| {
        let one = |(entry, dest): &(&Entry, &Path)| {
            if leavings.give(entry, dest) { Ok(()) } else { place(cas, entry, dest) }
        };
        // All are looked at before it is said that one is lost, so that all that are lost are made anew at once.
        let mut lost = Ok(());
        for item in items {
            match one(item) {
                Err(error @ Error::Lost { .. }) => lost = lost.and(Err(error)),
                other => other?,
            }
        }
        lost
    };
    let mut share = items.len().div_ceil(jobs.clamp(1, THREADS)).max(MANY);
    if items.len() > share {
        let mut dests: Vec<&Path> = items.iter().map(|(_, dest)| *dest).collect();
        dests.sort_unstable();
        if dests.windows(2).any(|pair| pair[1].starts_with(pair[0])) {
            // One lies in the place of another: the last of them stays, as it does with one thread.
            share = items.len();
        }
    }
    let mut shares = items.chunks(share);
    let mine = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares.map(|items| scope.spawn(move || all(items))).collect();
        let mut result = all(mine);
        for thread in threads {
            let other = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })
}

fn place(cas: &dyn Cas, entry: &Entry, dest: &Path) -> Result<(), Error> {
    let found = materialize(cas, entry, dest).map_err(|error| match error {
        // It is the place of the output that refuses, not the store.
        store::Error::Io { what, path, source } if dest.parent().is_some_and(|dir| path.starts_with(dir)) => {
            Error::Io { what, path, source }
        }
        other => other.into(),
    })?;
    match found {
        Found::Whole(()) => Ok(()),
        Found::Missing | Found::Corrupt => {
            look_through(cas, entry)?;
            Err(Error::Lost { path: dest.to_owned() })
        }
    }
}

/// Writes a file by a temporary name beside it.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
    // Readable as any other file that the user makes: less what the umask takes away.
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(Error::io("write", path))?;
    std::io::Write::write_all(&mut file, bytes).map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::Io { what: "write", path: path.to_owned(), source: error.error })?;
    Ok(())
}

/// Compiles the graph of a bundle and chooses what goes in.
pub(super) fn chosen_outputs(planned: &Planned, wanted: impl IntoIterator<Item = (usize, String)>) -> Chosen {
    let outputs: BTreeSet<(ActionId, String)> =
        wanted.into_iter().map(|(index, output)| (ActionId(index as u32), output)).collect();
    // A checkpoint that fails must keep the bundle from being made, so the whole graph is run.
    let actions = planned.plan.ordinary().map(|(id, _)| id).collect();
    Chosen { actions, outputs }
}
