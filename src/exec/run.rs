//! Runs a plan: workers take tasks from the scheduler until nothing is left, and tell what happened.
//! Leaves out what workers do (`work`), how actions end (`ends`), what a task is (`engine`) and which comes next (`sched`).
//!
//! Workers are plain threads, as many as jobs. Each takes an action all the way (key, lookup,
//! process, outputs) and blocks where that blocks, so a run in which everything is known never
//! changes threads, and a process costs no more than its own start.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::base::{Digest, Entry, Timestamp};
use crate::event::{Envelope, Event, Spent};
use crate::exec::attempts::{Attempts, give};
use crate::exec::budget::{Allowance, Budget};
use crate::exec::effects;
use crate::exec::engine::{Engine, Prepared};
use crate::exec::error::Error;
use crate::exec::hygiene::Hygiene;
use crate::exec::known::{Before, Part};
use crate::exec::levels::Levels;
use crate::exec::pools::Pools;
use crate::exec::ports::Ports;
use crate::exec::purse::{Account, Purse};
use crate::exec::report::{ActionReport, RunReport, Seen, count};
use crate::exec::sched::Scheduler;
use crate::exec::services::Services;
use crate::exec::stage::remove;
use crate::exec::workspace::Workspace;
use crate::plan::{ActionId, ActionKind, Cancel, Isolation, Plan};
use crate::store::Ledger;

mod ends;
mod work;

/// Jobs that a run may have.
const JOBS: usize = 512;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What was asked for, in the words of the user.
    pub target: String,
    /// The actions that are wanted; what they need is added. Empty: all of the plan.
    pub targets: Vec<ActionId>,
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// Folders that are never looked into for inputs: state, store, outputs.
    pub excluded: Vec<PathBuf>,
    /// How many actions may run at once; `None`: one for each processor.
    pub jobs: Option<NonZeroUsize>,
    /// Whether to go on with what does not depend on a failure.
    pub keep_going: bool,
    /// The least isolation that results must have been made under.
    pub isolation: Isolation,
    /// Whether only results already known are allowed.
    pub require_cached: bool,
    /// Addresses to run whatever is known; each stands for itself and all below it.
    pub forced: BTreeSet<String>,
    /// Actions that are made again, to see whether they come out the same.
    pub checked: BTreeSet<ActionId>,
    /// The ledger of effects; `None`: every effect is done as often as it is asked for.
    pub ledger: Option<Arc<Ledger>>,
    /// Addresses of effects that happened, though the ledger does not know.
    pub done: BTreeSet<String>,
    /// Where what `record` actions gave is kept besides the store.
    pub cassette: Option<PathBuf>,
    /// Whether nothing is recorded anew.
    pub replay_only: bool,
    /// The longest the run may take.
    pub timeout: Option<Duration>,
    /// The most the run may cost, in micro-dollars. What the plan says holds as well.
    pub budget: Option<u64>,
    /// What tenants have for longer than a run; `None`: every run may spend it all.
    pub purse: Option<Purse>,
    /// Where what services print is written, one file each; `None`: nowhere.
    pub service_logs: Option<PathBuf>,
    /// What is known beforehand, where the plan is a part of one that was run.
    pub before: Before,
    /// Who keeps what attempts have left until it may be cleared away; `None`: it is cleared away at once.
    pub leavings: Option<Leavings>,
    /// The id of the run.
    pub run: String,
}

/// Folders that a run used up. They are cleared away when the last clone of this is dropped: who makes many files
/// after a run keeps one for so long, as a file system that just freed very many inodes takes long to find one that
/// it may give out. (Measured on ext4: 2,000 folders made after the leavings of 2,000 actions were deleted took four times
/// as long as before.)
#[derive(Clone, Debug, Default)]
pub struct Leavings(Arc<Mutex<Vec<Left>>>);

/// What one part of a run left.
#[derive(Debug)]
struct Left {
    _scratch: Scratch,
    /// Files that attempts made, by what is in them and whether they are executable.
    kept: BTreeMap<(Digest, bool), Vec<PathBuf>>,
}

impl Leavings {
    /// Puts an output in a place where there is nothing, if an attempt left it: the file itself, which nobody else has
    /// a name of. `false` if there is none, or it is not as it was: then a copy has to do.
    pub fn give(&self, entry: &Entry, dest: &Path) -> bool {
        let Entry::File { digest, exec, .. } = entry else { return false };
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = left.iter_mut().find_map(|left| left.kept.get_mut(&(*digest, *exec))?.pop());
        drop(left);
        file.is_some_and(|file| give(&file, entry, dest))
    }
}

impl Request {
    /// A request for all of a plan, with nothing out of the ordinary.
    pub fn new(plan: Arc<Plan>, workspace: impl Into<PathBuf>, run: impl Into<String>) -> Self {
        Self {
            target: plan.graph.clone(),
            plan,
            targets: Vec::new(),
            workspace: workspace.into(),
            excluded: Vec::new(),
            jobs: None,
            keep_going: false,
            isolation: Isolation::None,
            require_cached: false,
            forced: BTreeSet::new(),
            checked: BTreeSet::new(),
            ledger: None,
            done: BTreeSet::new(),
            cassette: None,
            replay_only: false,
            timeout: None,
            budget: None,
            purse: None,
            service_logs: None,
            before: Before::default(),
            leavings: None,
            run: run.into(),
        }
    }

    /// The longest the run may take: the smaller of what was asked for and what the plan says.
    pub(super) fn bound(&self) -> Option<Duration> {
        let own = self.plan.policies.deadline_ms.map(Duration::from_millis);
        own.into_iter().chain(self.timeout).min()
    }

    /// Whether an address is to be run whatever is known.
    pub(super) fn is_forced(&self, addr: &str) -> bool {
        let covers = |forced: &String| {
            addr.strip_prefix(forced.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.forced.iter().any(covers)
    }
}

/// Runs what is not known yet, and reports. Blocks until all is done and durable, and no process of
/// any action is left.
///
/// Failures of actions are in the report. An error means that the run could not be carried through;
/// what was finished before is kept all the same. While it runs, the umask of this process is 022
/// and orphaned processes become its children.
pub fn execute(request: Request, ports: Ports) -> Result<RunReport, Error> {
    execute_in_parts(request, ports, |_| None)
}

/// The same for a plan of which a part is run first. `next` is given what came of all parts so far, and gives the
/// next one, if there is any. To everybody who listens they are one run.
pub fn execute_in_parts(
    mut request: Request,
    ports: Ports,
    mut next: impl FnMut(&RunReport) -> Option<Part>,
) -> Result<RunReport, Error> {
    let begun = *request.before.begun.get_or_insert_with(|| ports.clock.elapsed());
    let mut seq = 0;
    // One budget for all parts.
    let allowance = Allowance::of(&request.plan.terms, request.budget);
    let account = Account::of(request.plan.terms.tenant.as_ref(), request.purse.as_ref(), &request.run, &ports.clock);
    let mut budget = Budget::of(allowance.micro_usd).shared(account);
    // What a later part takes as given is known when it is.
    let has_more = request.before.later > 0;
    let rely_on_everything = |all| {
        if let Err(error) = ports.cas.rely_on_everything(all) {
            tracing::warn!(%error, "what is in use was not noted");
        }
    };
    if has_more {
        rely_on_everything(true);
    }
    request.before.lease(&*ports.cas);
    let (mut report, mut error) = execute_part(&request, &ports, begun, &mut seq, (&mut budget, allowance.pauses))?;
    while error.is_none()
        && let Some(part) = next(&report)
    {
        let before = Before { begun: Some(begun), ..part.before };
        request = Request { plan: part.plan, targets: part.targets, before, ..request };
        request.before.lease(&*ports.cas);
        if has_more {
            rely_on_everything(false);
        }
        let (more, failed) = execute_part(&request, &ports, begun, &mut seq, (&mut budget, allowance.pauses))?;
        report = report.and(more);
        error = failed;
    }
    report.unchanged = request.before.unchanged;
    report.counts.cached += report.unchanged;
    report.duration_ms = ports.clock.elapsed().saturating_sub(begun).as_millis() as u64;
    let finished = Event::RunFinished { counts: report.counts, duration_ms: report.duration_ms };
    ports.sink.event(&envelope(&request, seq + 1, ports.clock.now(), finished));
    let flushed = ports.cas.flush();
    if let Some(error) = error {
        return Err(error);
    }
    flushed?;
    Ok(report)
}

/// Runs one part. The error is one that ends the run when what was finished has been kept.
fn execute_part(
    request: &Request,
    ports: &Ports,
    begun: Duration,
    seq: &mut u64,
    (budget, pauses): (&mut Budget, bool),
) -> Result<(RunReport, Option<Error>), Error> {
    let plan = Arc::clone(&request.plan);
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = request.jobs.map_or(cpus, NonZeroUsize::get).min(JOBS);
    let machine = rustix::system::sysinfo();
    let memory = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit.max(1)));
    let targets =
        if request.targets.is_empty() { plan.ordinary().map(|(id, _)| id).collect() } else { request.targets.clone() };
    let mut scheduler =
        Scheduler::new(&plan, &targets, &request.before.given, Pools::new(&plan, cpus.max(jobs) as u64, memory))?;
    scheduler.spend_from(std::mem::take(budget));
    let ids = scheduler.ids();
    check_isolation(request, ports, &plan, &ids)?;

    let hygiene = Hygiene::enter()?;
    let levels = Arc::new(Levels::new(Arc::clone(&ports.cas)));
    let workspace = Workspace::open(
        &request.workspace,
        &request.excluded,
        Arc::clone(&ports.cas),
        Arc::clone(&ports.snapshots),
        Arc::clone(&ports.clock),
    )?;
    let scratch = Scratch(ports.cas.scratch()?);
    let attempts = Attempts::new(&scratch.0)?;
    let started = ports.clock.now();
    let services = Services::new(&plan, &ids, &scratch.0, request.service_logs.as_deref());
    let run = Run {
        engine: Engine::new(request, ports, &workspace, &scratch.0, &attempts, levels, services),
        jobs: jobs.min(ids.len()),
        expected: OnceLock::new(),
        failures: Mutex::default(),
        deadline: request.bound().map(|bound| begun + bound),
        pauses,
        shared: Mutex::new(Shared {
            scheduler,
            prepared: BTreeMap::new(),
            reports: BTreeMap::new(),
            spent: BTreeMap::new(),
            error: None,
            panic: None,
            idle: 0,
        }),
        wake: Condvar::new(),
        seq: Mutex::new(*seq),
    };
    if *seq == 0 {
        let actions = ids.len() as u64 + request.before.later;
        run.emit(Event::RunStarted { target: request.target.clone(), plan: plan.digest.hex(), actions });
    }
    run.begin_with_failures();
    let worked = run.work(run.jobs);
    run.engine.services().stop();
    worked?;
    let services = run.engine.services().reports();

    let tools = run.engine.identities();
    let seen = Seen { programs: run.engine.programs(), ..workspace.seen() };
    let mut shared = run.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    *budget = shared.scheduler.budget_left();
    if let Some(panic) = shared.panic.take() {
        drop(scratch);
        drop(hygiene);
        resume_unwind(panic);
    }
    let counts = count(&shared.reports);
    if counts.failed == 0 && counts.skipped == 0 && shared.error.is_none() {
        effects::settle(request, &plan, &shared.reports, ports.clock.now())?;
    }
    *seq = run.seq.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(leavings) = &request.leavings {
        let left = Left { _scratch: scratch, kept: attempts.take_kept() };
        leavings.0.lock().unwrap_or_else(PoisonError::into_inner).push(left);
    }
    drop(hygiene);
    let report = RunReport {
        run: request.run.clone(),
        target: request.target.clone(),
        plan: plan.digest,
        started,
        duration_ms: 0,
        counts,
        cancelled: ports.cancel.is_cancelled(),
        actions: shared.reports.into_values().collect(),
        unchanged: 0,
        services,
        tools,
        seen,
    };
    Ok((report, shared.error))
}

/// Fails closed, before anything runs, if an action needs more isolation than there is.
fn check_isolation(request: &Request, ports: &Ports, plan: &Plan, ids: &[ActionId]) -> Result<(), Error> {
    let demands = |id: &ActionId| plan.action(*id).spec.isolation.max(request.isolation) > Isolation::None;
    if !ids.iter().any(demands) {
        // To find out what there is takes time.
        return Ok(());
    }
    let offered = ports.runner.isolation();
    for id in ids {
        let action = plan.action(*id);
        let wanted = action.spec.isolation.max(request.isolation);
        if wanted > offered && matches!(action.spec.kind, ActionKind::Exec { .. }) {
            let lack = ports.runner.lack(wanted).unwrap_or_default();
            return Err(Error::Isolation { addr: action.addr.clone(), wanted, offered, lack });
        }
    }
    Ok(())
}

/// A directory that goes when the run does.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let dir: &Path = &self.0;
        remove(dir);
    }
}

/// What workers share under one lock.
struct Shared {
    scheduler: Scheduler,
    /// Resolved actions that wait for their turn or for another attempt.
    prepared: BTreeMap<u32, Arc<Prepared>>,
    reports: BTreeMap<u32, ActionReport>,
    /// What attempts spent on models, by action.
    spent: BTreeMap<u32, Spent>,
    error: Option<Error>,
    panic: Option<Box<dyn std::any::Any + Send>>,
    idle: usize,
}

impl Shared {
    /// Nothing new starts, and the run ends with the first of such errors.
    fn end_with(&mut self, error: Error) {
        self.scheduler.stop();
        self.error.get_or_insert(error);
    }
}

struct Run<'a> {
    engine: Engine<'a>,
    /// How many workers there are.
    jobs: usize,
    /// How long actions took in earlier runs, in milliseconds, once something must run.
    expected: OnceLock<BTreeMap<u32, u64>>,
    /// Failures in a row, by tool.
    failures: Mutex<BTreeMap<String, u32>>,
    /// When the time of the run is up.
    deadline: Option<Duration>,
    /// Whether what costs nothing goes on when the budget is spent.
    pauses: bool,
    shared: Mutex<Shared>,
    wake: Condvar,
    seq: Mutex<u64>,
}

fn envelope(request: &Request, seq: u64, at: Timestamp, event: Event) -> Envelope {
    Envelope { v: Envelope::VERSION, seq, at: at.0, run: request.run.clone(), event }
}

impl Run<'_> {
    /// Tells an event. Order of numbers and order of telling are one, so the lock is held.
    fn emit(&self, event: Event) {
        let mut seq = self.seq.lock().unwrap_or_else(PoisonError::into_inner);
        *seq += 1;
        let ports = self.engine.ports;
        ports.sink.event(&envelope(self.engine.request, *seq, ports.clock.now(), event));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a failure leaves alone what does not depend on it.
    fn goes_on(&self) -> bool {
        let request = self.engine.request;
        request.plan.policies.cancel.map_or(request.keep_going, |cancel| cancel == Cancel::Isolated)
    }

    /// Whether the time of the run is up.
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.engine.ports.clock.elapsed() >= deadline)
    }
}
