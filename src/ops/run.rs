//! Running: targets to actions, execution, and outputs for people. Leaves out how progress is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Entry, Environment, ErrorKind};
use crate::diag::did_you_mean;
use crate::event::{Counts, Outcome, Sink, Verdict};
use crate::exec::{CancelToken, Leavings, Purse, Request, RunReport, SandboxRunner, gravest};
use crate::ops::Error;
use crate::ops::approve::OnRecord;
use crate::ops::carry::{Asked, Carried, Whereabouts, carry_out};
use crate::ops::check::{Planned, find_graph, no_target, plan};
use crate::ops::history::is_alive;
use crate::ops::memo::{Behind, MemoKey, PlacedOutput, Recalled, recall, remember};
use crate::ops::places::{FailedAction, failed_actions, places_of};
use crate::ops::recheck::{Recheck, rechecked};
use crate::ops::secrets::MachineSecrets;
use crate::ops::workspace::{Locations, Workspace, find, make_state};
use crate::plan::{Action, ActionId, Class, InputSource, Isolation, Plan};
use crate::store::{self, Cas, Found, Ledger, Spending, look_through, materialize};

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
    /// What to remember the runs of graphs under, where they may be answered from memory the next time.
    pub memos: BTreeMap<String, MemoKey>,
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
        let kind = gravest(self.reports.iter().filter_map(RunReport::error_kind))?;
        Some(match kind {
            ErrorKind::CheckFailed if self.differing() > 0 => Error::Differs { count: self.differing() },
            ErrorKind::CheckFailed => {
                let missing = self.failures.iter().filter(|failed| failed.code == NOT_RECORDED).count() as u64;
                match missing {
                    0 => Error::NotCached { missing: self.counts.skipped },
                    missing => Error::NotRecorded { missing },
                }
            }
            ErrorKind::Approval => Error::Approval {
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
    /// All but what is behind some sources and outputs of these graphs; and what it has for the others.
    Behind(Vec<Behind>, RunReply),
    /// Nothing: it has to be run.
    Nothing,
}

/// Answers a request from memory, before anything is compiled: each graph by itself, as if it alone were asked for. Only
/// plain requests are answered: nothing forced, the state directory known without the specs.
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
    // What was remembered was compiled with the levels that specs have of themselves.
    if !locations.levels.is_empty()
        || !options.refresh.is_empty()
        || !options.check.is_empty()
        || !options.done.is_empty()
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
    let of_writers = [Environment::WRITER, Environment::WRITERS, Environment::WRITERS_AGREE, Environment::OVERLAY];
    let writers = format!("{:?}", of_writers.map(|var| locations.environment.get(var)));
    let (store, out) = (place(store.as_ref()), place(locations.out.as_ref()));
    let mut known = RunReply::default();
    let mut behind = Vec::new();
    let mut is_missing = targets.is_empty();
    for (graph, targets) in by_graph(targets) {
        let asked = serde_json::to_string(&(targets, params)).ok()?;
        let parts = [
            dir.to_str()?,
            &store,
            &out,
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
        // Where one has to be run, the others are not looked at: they are looked up with it.
        let found = if is_missing { Recalled::Nothing } else { recall(&state, &dir, &key, clock) };
        options.memos.insert(graph, key);
        match found {
            Recalled::Answer(found) => {
                known.counts.cached += found.actions;
                known.outputs.extend(found.outputs);
            }
            Recalled::Behind(found) => behind.push(*found),
            Recalled::Nothing => is_missing = true,
        }
    }
    known.duration_ms = clock.elapsed().saturating_sub(begun).as_millis() as u64;
    match (is_missing, behind.is_empty()) {
        (true, _) => None,
        (false, true) => Some(Answer::Known(known)),
        (false, false) => Some(Answer::Behind(behind, known)),
    }
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
    let by_graph = by_graph(targets);
    for (graph, _) in &by_graph {
        find_graph(&workspace.compiled, graph)?;
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
    let all = by_graph.iter().zip(&planned);
    let all: Vec<Wanted<'_>> =
        all.map(|((_, targets), (planned, chosen))| Wanted { planned, targets, chosen }).collect();
    let mut reply = RunReply::default();
    run_all(workspace, &all, options, context, &mut reply)?;
    Ok(reply)
}

/// The targets of each graph, in the order in which the graphs come first.
fn by_graph(targets: &[String]) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for target in targets {
        let graph = target.split('/').next().unwrap_or(target);
        match all.iter_mut().find(|(name, _)| name == graph) {
            Some((_, of_it)) => of_it.push(target.clone()),
            None => all.push((graph.to_owned(), vec![target.clone()])),
        }
    }
    all
}

/// The code of an action whose record is not in the cassette.
const NOT_RECORDED: &str = "E0215";

/// How often a run is begun again because content was lost after it was found whole.
pub(super) const AGAIN: u32 = 3;

/// A plan whose targets are known.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) planned: &'a Planned,
    pub(super) targets: &'a [String],
    pub(super) chosen: &'a Chosen,
}

/// What came of one.
struct Had {
    report: RunReport,
    outputs: Vec<PathBuf>,
    failures: Vec<FailedAction>,
    to_take_back: Vec<TakeBack>,
}

/// A run, and what came of it.
type Ran = (String, Result<Had, Error>);

/// Runs plans side by side. An output that no action reads is read when it is put in its place: if the store has lost it
/// by then, which quarantine sees to for a corrupt one, its plan is run again and makes it anew.
pub(super) fn run_all(
    workspace: &Workspace,
    wanted: &[Wanted<'_>],
    options: &RunOptions,
    context: &RunContext,
    reply: &mut RunReply,
) -> Result<(), Error> {
    let mut all: Vec<Option<Had>> = wanted.iter().map(|_| None).collect();
    // The runs of each that were not the last.
    let mut follows: Vec<BTreeSet<String>> = wanted.iter().map(|_| BTreeSet::new()).collect();
    for time in 1..=AGAIN {
        let open: Vec<usize> = (0..wanted.len()).filter(|number| all[*number].is_none()).collect();
        let these: Vec<(Wanted<'_>, &BTreeSet<String>)> =
            open.iter().map(|number| (wanted[*number], &follows[*number])).collect();
        let had = run_once(workspace, &these, options, context)?;
        let took = had.iter().filter_map(|(_, had)| Some(had.as_ref().ok()?.report.duration_ms));
        reply.duration_ms += took.max().unwrap_or(0);
        for (number, (run, had)) in open.into_iter().zip(had) {
            follows[number].insert(run);
            match had {
                Err(Error::Lost { .. }) if time < AGAIN => {}
                had => all[number] = Some(had?),
            }
        }
        if all.iter().all(Option::is_some) {
            break;
        }
    }
    for had in all.into_iter().flatten() {
        reply.outputs.extend(had.outputs);
        reply.failures.extend(had.failures);
        reply.to_take_back.extend(had.to_take_back);
        reply.counts = reply.counts.plus(had.report.counts);
        reply.reports.push(had.report);
    }
    Ok(())
}

/// Runs plans side by side once, each with the runs of it that were before in this command: what these were told to do
/// again is not done a third time. Gives each run with what came of it.
fn run_once(
    workspace: &Workspace,
    wanted: &[(Wanted<'_>, &BTreeSet<String>)],
    options: &RunOptions,
    context: &RunContext,
) -> Result<Vec<Ran>, Error> {
    let sources = &workspace.compiled.program.sources;
    let words: Vec<String> = wanted.iter().map(|(one, _)| one.targets.join(" ")).collect();
    let asked = wanted.iter().zip(&words).map(|((Wanted { planned, chosen, .. }, follows), target)| {
        let plan = &planned.plan;
        let is_first = follows.is_empty();
        let request = move |id: &str| {
            Ok(Request {
                target: target.clone(),
                targets: chosen.actions.clone(),
                excluded: [&workspace.store, &workspace.state, &workspace.out]
                    .into_iter()
                    .chain(&workspace.excluded)
                    .cloned()
                    .collect(),
                checked: if is_first { rechecked(plan, chosen, &options.check, id)? } else { BTreeSet::new() },
                ledger: ledger(workspace, plan)?,
                purse: purse(&workspace.state, plan, false)?,
                done: forced(plan, &options.done)?,
                cassette: Some(workspace.state.join("cassette")),
                forced: if is_first { forced(plan, &options.refresh)? } else { BTreeSet::new() },
                follows: (*follows).clone(),
                ..requested(Arc::clone(plan), &workspace.root, &workspace.state, id, options)
            })
        };
        Asked {
            target,
            secrets: Arc::new(MachineSecrets::new(&workspace.root, &context.environment)),
            approver: Arc::new(OnRecord::open(workspace, plan, &context.environment, &context.clock)),
            request: Box::new(request),
        }
    });
    let at = Whereabouts { store: &workspace.store, state: &workspace.state, given: &[] };
    let carried = carry_out(at, asked.collect(), |_, _| None, options, context).map_err(|error| match error {
        Error::Exec { error, .. } => {
            let addr = error.addr().unwrap_or_default();
            let of_it = wanted.iter().find(|(one, _)| is_of(&one.planned.plan, addr));
            let place = of_it.and_then(|(one, _)| places_of(addr, &one.planned.expansion, sources).0);
            Error::Exec { error, place }
        }
        other => other,
    })?;
    let Carried { reports, keep, leavings } = carried;
    let cas: Arc<dyn Cas> = keep.store.clone();
    let mut all = Vec::with_capacity(wanted.len());
    for ((one, _), report) in wanted.iter().zip(reports) {
        let mut paths = Vec::new();
        let placed = if options.materialize {
            let from = (cas.as_ref(), &leavings);
            put_outputs(&one.planned.plan, one.chosen, &report, from, &workspace.out, options.jobs, &mut paths)
        } else {
            Ok(Vec::new())
        };
        all.push((report.run.clone(), placed.map(|placed| (report, placed, paths))));
    }
    drop(leavings);
    keep.snapshots.inner.save()?;
    keep.store.flush()?;
    let had = |one: &Wanted<'_>, had: Result<(RunReport, Vec<PlacedOutput>, Vec<PathBuf>), Error>| {
        let (report, placed, outputs) = had?;
        let (plan, expansion) = (&one.planned.plan, &one.planned.expansion);
        if let Some(key) = options.memos.get(&plan.graph) {
            remember(workspace, plan, &report, &placed, key, &context.environment, context.clock.as_ref())?;
        }
        let (failures, to_take_back) = (failed_actions(&report, expansion, sources), to_take_back(plan, &report));
        Ok(Had { report, outputs, failures, to_take_back })
    };
    Ok(wanted.iter().zip(all).map(|((one, _), (run, all))| (run, had(one, all))).collect())
}

/// What happened outside in a run that failed, or was cut short, and can be taken back: by the run itself, or by the one
/// that it took up.
fn to_take_back(plan: &Plan, report: &RunReport) -> Vec<TakeBack> {
    // One that waits for people goes on.
    let is_waiting = report.error_kind() == Some(ErrorKind::Approval);
    if is_waiting || report.error_kind().is_none() && !report.is_cut_short() {
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
