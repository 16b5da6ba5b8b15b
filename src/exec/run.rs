//! Runs a plan: workers take tasks from the scheduler until nothing is left, and tell what happened.
//! Leaves out who the workers are (`crew`), what they do (`work`), how actions end (`ends`), what a task is (`engine`) and which comes next (`sched`).
//!
//! Workers are plain threads, as many as jobs. Each takes an action all the way (key, lookup,
//! process, outputs) and blocks where that blocks, so a run in which everything is known never
//! changes threads, and a process costs no more than its own start.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::base::{Digest, Entry, Timestamp};
use crate::event::{Envelope, Event};
use crate::exec::attempts::{Attempts, give};
use crate::exec::budget::{Allowance, Budget};
use crate::exec::effects;
use crate::exec::engine::Engine;
use crate::exec::error::Error;
use crate::exec::hygiene::Hygiene;
use crate::exec::known::{Before, Part};
use crate::exec::pools::Pools;
use crate::exec::ports::Ports;
use crate::exec::purse::{Account, Purse};
use crate::exec::report::{RunReport, Seen, ServiceReport, count};
use crate::exec::run::crew::{Crew, Mine, Shared};
use crate::exec::sched::Scheduler;
use crate::exec::services::Services;
use crate::exec::stage::remove;
use crate::exec::workspace::Workspace;
use crate::plan::{ActionId, ActionKind, Cancel, Isolation, Plan, ToolIdentity};
use crate::store::Ledger;

mod crew;
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
    /// Runs of the same command that this one goes on with: what they did outside is not done again.
    pub follows: BTreeSet<String>,
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
            follows: BTreeSet::new(),
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
    request: Request,
    ports: Ports,
    mut next: impl FnMut(&RunReport) -> Option<Part>,
) -> Result<RunReport, Error> {
    let mut only = execute_together(vec![(request, ports)], |_, report| next(report))?;
    only.swap_remove(0)
}

/// The same for several plans side by side, each a run with its own policies, budget and time. They have their workers
/// together, as many as the greatest of their requests says, and the pools of one name; where keys are the same, one
/// is executed. `next` is told which of them it is about.
///
/// An error instead of reports means that nothing was begun.
pub fn execute_together(
    requests: Vec<(Request, Ports)>,
    mut next: impl FnMut(usize, &RunReport) -> Option<Part>,
) -> Result<Vec<Result<RunReport, Error>>, Error> {
    let mut all: Vec<Going> = requests.into_iter().map(|(request, ports)| Going::begin(request, ports)).collect();
    while all.iter().any(|going| going.is_open) {
        let budgets =
            all.iter_mut().filter(|going| going.is_open).map(|going| std::mem::take(&mut going.budget)).collect();
        let open: Vec<&Going> = all.iter().filter(|going| going.is_open).collect();
        let rounds = execute_round(&open, budgets)?;
        let open = all.iter_mut().enumerate().filter(|(_, going)| going.is_open);
        for ((number, going), round) in open.zip(rounds) {
            going.take_in(round, |report| next(number, report));
        }
    }
    let last = all.iter().map(|going| going.ended).max().flatten();
    Ok(all.into_iter().map(|going| going.finish(last)).collect())
}

/// A run that goes on.
struct Going {
    request: Request,
    ports: Ports,
    begun: Duration,
    /// The number of its last event.
    seq: u64,
    /// One for all parts.
    budget: Budget,
    /// Whether what costs nothing goes on when the budget is spent.
    pauses: bool,
    /// Whether there may be parts after the first.
    has_more: bool,
    is_open: bool,
    /// Of all parts so far.
    report: Option<RunReport>,
    error: Option<Error>,
    /// When there was nothing more to do.
    ended: Option<Duration>,
}

/// What came of a part of a run. The error is one that ends the run when what was finished has been kept.
struct Round {
    report: RunReport,
    error: Option<Error>,
    budget: Budget,
    seq: u64,
    ended: Option<Duration>,
}

impl Going {
    fn begin(mut request: Request, ports: Ports) -> Self {
        let begun = *request.before.begun.get_or_insert_with(|| ports.clock.elapsed());
        let allowance = Allowance::of(&request.plan.terms, request.budget);
        let account =
            Account::of(request.plan.terms.tenant.as_ref(), request.purse.as_ref(), &request.run, &ports.clock);
        let budget = Budget::of(allowance.micro_usd).shared(account);
        let going = Self {
            begun,
            seq: 0,
            budget,
            pauses: allowance.pauses,
            has_more: request.before.later > 0,
            is_open: true,
            report: None,
            error: None,
            ended: None,
            request,
            ports,
        };
        // What a later part takes as given is known when it is.
        if going.has_more {
            going.rely_on_everything(true);
        }
        going.request.before.lease(&*going.ports.cas);
        going
    }

    fn rely_on_everything(&self, all: bool) {
        if let Err(error) = self.ports.cas.rely_on_everything(all) {
            tracing::warn!(%error, "what is in use was not noted");
        }
    }

    /// Takes in what came of a part, and goes on with the next, if there is any.
    fn take_in(&mut self, round: Round, next: impl FnOnce(&RunReport) -> Option<Part>) {
        let Round { report, error, budget, seq, ended } = round;
        let report = match self.report.take() {
            Some(before) => before.and(report),
            None => report,
        };
        (self.error, self.budget, self.seq, self.ended) = (error, budget, seq, ended);
        let part = if self.error.is_none() { next(&report) } else { None };
        self.report = Some(report);
        self.is_open = part.is_some();
        if let Some(part) = part {
            self.request.plan = part.plan;
            self.request.targets = part.targets;
            self.request.before = Before { begun: Some(self.begun), ..part.before };
            self.request.before.lease(&*self.ports.cas);
            if self.has_more {
                self.rely_on_everything(false);
            }
        }
    }

    /// Tells that the run is over, and sees to it that what it made stays. `last`: when the last of those side by side
    /// had nothing more to do.
    fn finish(mut self, last: Option<Duration>) -> Result<RunReport, Error> {
        let mut report = self.report.take().ok_or_else(|| Error::Plan("it was not run".to_owned()))?;
        report.unchanged = self.request.before.unchanged;
        report.counts.cached += report.unchanged;
        // One that was done before others waited for nothing but them.
        let now = self.ports.clock.elapsed();
        let ended = self.ended.filter(|ended| Some(*ended) < last).unwrap_or(now);
        report.duration_ms = ended.saturating_sub(self.begun).as_millis() as u64;
        let finished = Event::RunFinished { counts: report.counts, duration_ms: report.duration_ms };
        let waited = now.saturating_sub(ended).as_nanos() as i64;
        let at = Timestamp(self.ports.clock.now().0.saturating_sub(waited));
        self.ports.sink.event(&envelope(&self.request, self.seq + 1, at, finished));
        let flushed = self.ports.cas.flush();
        if let Some(error) = self.error {
            return Err(error);
        }
        flushed?;
        Ok(report)
    }
}

/// What a run stands on.
struct Ground {
    workspace: Workspace,
    scratch: Scratch,
    attempts: Attempts,
    started: Timestamp,
    ids: Vec<ActionId>,
}

/// Runs one part of each.
fn execute_round(goings: &[&Going], budgets: Vec<Budget>) -> Result<Vec<Round>, Error> {
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = goings.iter().map(|going| going.request.jobs.map_or(cpus, NonZeroUsize::get)).max().unwrap_or(cpus);
    let jobs = jobs.min(JOBS);
    let machine = rustix::system::sysinfo();
    let memory = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit.max(1)));
    let plans: Vec<&Plan> = goings.iter().map(|going| &*going.request.plan).collect();
    let pools = Pools::of(&plans, cpus.max(jobs) as u64, memory);
    let mut all = Vec::with_capacity(goings.len());
    let mut looked_at = Vec::with_capacity(goings.len());
    for ((going, pools), budget) in goings.iter().zip(pools).zip(budgets) {
        let (request, plan) = (&going.request, &*going.request.plan);
        let targets = if request.targets.is_empty() {
            plan.ordinary().map(|(id, _)| id).collect()
        } else {
            request.targets.clone()
        };
        let mut scheduler = Scheduler::new(plan, &targets, &request.before.given, pools)?;
        scheduler.spend_from(budget);
        let ids = scheduler.ids();
        check_isolation(request, &going.ports, plan, &ids)?;
        all.push(Shared::new(scheduler, goes_on(request)));
        looked_at.push(ids);
    }

    let hygiene = Hygiene::enter()?;
    let mut grounds = Vec::with_capacity(goings.len());
    for (going, ids) in goings.iter().zip(looked_at) {
        grounds.push(Ground::new(going, ids)?);
    }
    let crew = Crew::new(all);
    let actions = grounds.iter().map(|ground| ground.ids.len()).sum();
    let runs = goings.iter().zip(&grounds).enumerate();
    let runs: Vec<Run<'_>> =
        runs.map(|(number, (going, ground))| Run::new(going, ground, (&crew, number), jobs)).collect();
    for (run, (going, ground)) in runs.iter().zip(goings.iter().zip(&grounds)) {
        if going.seq == 0 {
            let actions = ground.ids.len() as u64 + going.request.before.later;
            let (target, plan) = (going.request.target.clone(), going.request.plan.digest.hex());
            run.emit(Event::RunStarted { target, plan, actions });
        }
    }
    runs.iter().for_each(Run::begin_with_failures);
    let worked = crew.work(&runs, jobs.min(actions));
    for run in &runs {
        run.engine.services().stop();
    }
    worked?;
    let ends: Vec<Ends> = runs.into_iter().zip(&grounds).map(|(run, ground)| run.ends(ground)).collect();

    let (mut all, panic) = crew.into_inner();
    if let Some(panic) = panic {
        drop(grounds);
        drop(hygiene);
        resume_unwind(panic);
    }
    for (going, shared) in goings.iter().zip(&mut all) {
        let counts = count(&shared.reports);
        if counts.failed == 0 && counts.skipped == 0 && shared.error.is_none() {
            let (request, now) = (&going.request, going.ports.clock.now());
            shared.error = effects::settle(request, &request.plan, &shared.reports, now).err();
        }
    }
    let parts = goings.iter().zip(grounds).zip(all.into_iter().zip(ends));
    let rounds = parts.map(|((going, ground), (shared, ends))| Round::of(going, ground, shared, ends)).collect();
    drop(hygiene);
    Ok(rounds)
}

impl Ground {
    fn new(going: &Going, ids: Vec<ActionId>) -> Result<Self, Error> {
        let (request, ports) = (&going.request, &going.ports);
        let workspace = Workspace::of(request, ports)?;
        let scratch = Scratch(ports.cas.scratch()?);
        let attempts = Attempts::new(&scratch.0)?;
        Ok(Self { workspace, scratch, attempts, started: ports.clock.now(), ids })
    }
}

/// What a run knows when its workers are done.
struct Ends {
    services: Vec<ServiceReport>,
    tools: BTreeMap<String, ToolIdentity>,
    seen: Seen,
    seq: u64,
}

impl Round {
    fn of(going: &Going, ground: Ground, mut shared: Shared, ends: Ends) -> Self {
        let request = &going.request;
        if let Some(leavings) = &request.leavings {
            let left = Left { kept: ground.attempts.take_kept(), _scratch: ground.scratch };
            leavings.0.lock().unwrap_or_else(PoisonError::into_inner).push(left);
        }
        let report = RunReport {
            run: request.run.clone(),
            target: request.target.clone(),
            plan: request.plan.digest,
            started: ground.started,
            duration_ms: 0,
            counts: count(&shared.reports),
            cancelled: going.ports.cancel.is_cancelled(),
            actions: shared.reports.into_values().collect(),
            unchanged: 0,
            services: ends.services,
            tools: ends.tools,
            seen: ends.seen,
        };
        let budget = shared.scheduler.budget_left();
        Self { report, error: shared.error, budget, seq: ends.seq, ended: shared.ended }
    }
}

/// Whether a failure leaves alone what does not depend on it.
fn goes_on(request: &Request) -> bool {
    request.plan.policies.cancel.map_or(request.keep_going, |cancel| cancel == Cancel::Isolated)
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

struct Run<'a> {
    engine: Engine<'a>,
    crew: &'a Crew,
    /// Which of the runs side by side.
    number: usize,
    /// How many workers there are, and no more than actions.
    jobs: usize,
    /// How long actions took in earlier runs, in milliseconds, once something must run.
    expected: OnceLock<BTreeMap<u32, u64>>,
    /// Failures in a row, by tool.
    failures: Mutex<BTreeMap<String, u32>>,
    /// When the time of the run is up.
    deadline: Option<Duration>,
    /// Whether what costs nothing goes on when the budget is spent.
    pauses: bool,
    seq: Mutex<u64>,
}

fn envelope(request: &Request, seq: u64, at: Timestamp, event: Event) -> Envelope {
    Envelope { v: Envelope::VERSION, seq, at: at.0, run: request.run.clone(), event }
}

impl<'a> Run<'a> {
    fn new(going: &'a Going, ground: &'a Ground, (crew, number): (&'a Crew, usize), jobs: usize) -> Self {
        let (request, ports) = (&going.request, &going.ports);
        let Ground { workspace, scratch, attempts, ids, .. } = ground;
        let services = Services::new(&request.plan, ids, &scratch.0, request.service_logs.as_deref());
        let beside = (&crew.flights, number);
        Self {
            engine: Engine::new(request, ports, workspace, &scratch.0, attempts, services, beside),
            crew,
            number,
            jobs: jobs.min(ids.len()),
            expected: OnceLock::new(),
            failures: Mutex::default(),
            deadline: request.bound().map(|bound| going.begun + bound),
            pauses: going.pauses,
            seq: Mutex::new(going.seq),
        }
    }

    /// What it knows when its workers are done.
    fn ends(self, ground: &Ground) -> Ends {
        let seen = Seen { programs: self.engine.programs(), ..ground.workspace.seen() };
        Ends {
            services: self.engine.services().reports(),
            tools: self.engine.identities(),
            seen,
            seq: self.seq.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Tells an event. Order of numbers and order of telling are one, so the lock is held.
    fn emit(&self, event: Event) {
        let mut seq = self.seq.lock().unwrap_or_else(PoisonError::into_inner);
        *seq += 1;
        let ports = self.engine.ports;
        ports.sink.event(&envelope(self.engine.request, *seq, ports.clock.now(), event));
    }

    fn lock(&self) -> Mine<'a> {
        self.crew.lock(self.number)
    }

    /// Whether the time of the run is up.
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.engine.ports.clock.elapsed() >= deadline)
    }
}
