//! Runs a plan: workers take tasks from the scheduler until nothing is left, and tell what happened.
//! Leaves out what a task is (`engine`) and which comes next (`sched`).
//!
//! Workers are plain threads, as many as jobs. Each takes an action all the way (key, lookup,
//! process, outputs) and blocks where that blocks, so a run in which everything is known never
//! changes threads, and a process costs no more than its own start.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::base::{Digest, Timestamp};
use crate::event::{Check, Envelope, Event, Outcome, Reason, Spent, Verdict};
use crate::exec::effects;
use crate::exec::engine::{Attempted, Engine, Hit, Prepared, Resolution};
use crate::exec::error::{Error, Failure, FailureClass, Lost, Trouble};
use crate::exec::hygiene::Hygiene;
use crate::exec::levels::Levels;
use crate::exec::lookup::lost_reason;
use crate::exec::pools::Pools;
use crate::exec::ports::{HistoryRow, Ports, Standing};
use crate::exec::report::{ActionReport, OutputReport, RunReport, Seen, count};
use crate::exec::retry::delay;
use crate::exec::sched::{Left, Lost as LostForGood, Next, Scheduler, Skips, Task};
use crate::exec::services::Services;
use crate::exec::stage::{Attempts, remove};
use crate::exec::workspace::Workspace;
use crate::plan::{Action, ActionId, ActionKind, Automation, Cancel, Consent, Isolation, Plan};
use crate::store::{ClaimOutput, Ledger};

/// Bytes of stack of a worker: rendering a template recurses.
const STACK_BYTES: usize = 8 << 20;
/// Jobs that a run may have.
const JOBS: usize = 512;
/// How soon an idle worker notices that the run was cancelled. Busy ones notice at once.
const TICK: Duration = Duration::from_millis(50);

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
    /// Where what services print is written, one file each; `None`: nowhere.
    pub service_logs: Option<PathBuf>,
    /// The id of the run.
    pub run: String,
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
            service_logs: None,
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
    let plan = Arc::clone(&request.plan);
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = request.jobs.map_or(cpus, NonZeroUsize::get).min(JOBS);
    let machine = rustix::system::sysinfo();
    let memory = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit.max(1)));
    let targets =
        if request.targets.is_empty() { plan.iter().map(|(id, _)| id).collect() } else { request.targets.clone() };
    let scheduler = Scheduler::new(&plan, &targets, Pools::new(&plan, cpus.max(jobs) as u64, memory))?;
    let ids = scheduler.ids();
    check_isolation(&request, &ports, &plan, &ids)?;

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
    let begun = ports.clock.elapsed();
    let services = Services::new(&plan, &ids, &scratch.0, request.service_logs.as_deref());
    let run = Run {
        engine: Engine::new(&request, &ports, &workspace, &scratch.0, &attempts, levels, services),
        jobs: jobs.min(ids.len()),
        expected: OnceLock::new(),
        failures: Mutex::default(),
        deadline: request.bound().map(|bound| begun + bound),
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
        seq: Mutex::new(0),
    };
    run.emit(Event::RunStarted { target: request.target.clone(), plan: plan.digest.hex(), actions: ids.len() as u64 });
    let worked = run.work(run.jobs);
    run.engine.services().stop();
    worked?;
    let services = run.engine.services().reports();

    let tools = run.engine.identities();
    let seen = Seen { programs: run.engine.programs(), ..workspace.seen() };
    let mut shared = run.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(panic) = shared.panic.take() {
        drop(scratch);
        drop(hygiene);
        resume_unwind(panic);
    }
    let duration_ms = ports.clock.elapsed().saturating_sub(begun).as_millis() as u64;
    let counts = count(&shared.reports);
    if counts.failed == 0 && counts.skipped == 0 && shared.error.is_none() {
        effects::settle(&request, &plan, &shared.reports, ports.clock.now())?;
    }
    let finished = Event::RunFinished { counts, duration_ms };
    let seq = run.seq.into_inner().unwrap_or_else(PoisonError::into_inner);
    ports.sink.event(&envelope(&request, seq + 1, ports.clock.now(), finished));
    let flushed = ports.cas.flush();
    drop(scratch);
    drop(hygiene);
    if let Some(error) = shared.error {
        return Err(error);
    }
    flushed?;
    Ok(RunReport {
        run: request.run.clone(),
        target: request.target.clone(),
        plan: plan.digest,
        started,
        duration_ms,
        counts,
        cancelled: ports.cancel.is_cancelled(),
        actions: shared.reports.into_values().collect(),
        services,
        tools,
        seen,
    })
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

    /// The tool of an action, if it failed so often that it is not started again.
    fn broken(&self, action: &Action) -> Option<String> {
        let limit = self.engine.plan.policies.breaker?;
        let ActionKind::Exec { tool, .. } = &action.spec.kind else { return None };
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        (failures.get(tool).copied().unwrap_or(0) >= limit).then(|| tool.clone())
    }

    /// Counts how an attempt ended for the breaker of its tool.
    fn count(&self, action: &Action, failure: Option<&Failure>) {
        let ActionKind::Exec { tool, .. } = &action.spec.kind else { return };
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let of_process = |failure: &Failure| {
            use crate::exec::FailureClass::{Exit, Signal, Start, Timeout};
            matches!(failure.class, Exit(_) | Signal(_) | Start { .. } | Timeout)
        };
        match failure {
            None => drop(failures.remove(tool)),
            Some(failure) if of_process(failure) => *failures.entry(tool.clone()).or_default() += 1,
            Some(_) => {}
        }
    }

    /// Whether the time of the run is up.
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.engine.ports.clock.elapsed() >= deadline)
    }

    /// Runs the workers to the end, then ends what was not tried.
    fn work(&self, workers: usize) -> Result<(), Error> {
        let spawned = std::thread::scope(|scope| {
            for number in 0..workers {
                let builder = std::thread::Builder::new().name(format!("worker-{number}")).stack_size(STACK_BYTES);
                if let Err(source) = builder.spawn_scoped(scope, || self.worker())
                    && number == 0
                {
                    return Err(Error::System { what: "start a worker thread", source });
                }
            }
            Ok(())
        });
        spawned?;
        let mut swept = self.lock().scheduler.sweep();
        if self.is_late() && !self.engine.ports.cancel.is_cancelled() {
            for (_, reason) in &mut swept {
                *reason = Reason::RunTimeout;
            }
        }
        self.skip(swept);
        Ok(())
    }

    fn worker(&self) {
        let ports = self.engine.ports;
        let mut shared = self.lock();
        loop {
            if ports.cancel.is_cancelled() || self.is_late() {
                shared.scheduler.stop();
            }
            match shared.scheduler.next(ports.clock.elapsed()) {
                Next::End => break,
                Next::Wait(left) => {
                    shared.idle += 1;
                    let wait = left.map_or(TICK, |left| left.clamp(Duration::from_millis(1), TICK));
                    shared = self.wake.wait_timeout(shared, wait).unwrap_or_else(PoisonError::into_inner).0;
                    shared.idle -= 1;
                }
                Next::Task(task) => {
                    if shared.idle > 0 {
                        // There may be more where this came from.
                        self.wake.notify_one();
                    }
                    let id = match &task {
                        Task::Resolve { id, .. } | Task::Run { id, .. } => *id,
                    };
                    let prepared = match &task {
                        Task::Run { .. } => shared.prepared.get(&id.0).cloned(),
                        Task::Resolve { .. } => None,
                    };
                    drop(shared);
                    // A defect of ours must not leave the other workers waiting for ever.
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.perform(task, prepared))) {
                        let mut shared = self.lock();
                        shared.scheduler.stop();
                        shared.panic.get_or_insert(panic);
                        self.abandon(shared, id);
                    }
                    shared = self.lock();
                }
            }
        }
        drop(shared);
        self.wake.notify_all();
    }

    /// Takes an action that a panic interrupted out of the count of those being worked on.
    fn abandon(&self, mut shared: MutexGuard<'_, Shared>, id: ActionId) {
        if shared.scheduler.is_active(id) {
            shared.scheduler.fail(self.engine.plan, id, Outcome::Skipped, &Reason::Cancelled);
        }
    }

    fn perform(&self, task: Task, prepared: Option<Arc<Prepared>>) {
        match task {
            Task::Resolve { id, .. } if matches!(self.engine.plan.action(id).spec.kind, ActionKind::Approval(_)) => {
                self.ask(id);
            }
            Task::Resolve { id, again } => match self.engine.resolve(id, again) {
                Ok(Resolution::Hit(hit)) => self.hit(id, *hit),
                Ok(Resolution::Miss(prepared)) => self.miss(id, prepared),
                Err(trouble) => self.trouble(id, None, trouble, None),
            },
            Task::Run { id, attempt } => {
                let prepared = prepared.expect("an action is prepared before it is queued");
                self.attempt(id, prepared, attempt);
            }
        }
    }

    /// Looks whether people have consented. Nothing is executed and nothing kept: it is asked again in
    /// every run.
    fn ask(&self, id: ActionId) {
        let plan = self.engine.plan;
        let action = plan.action(id);
        let ActionKind::Approval(approval) = &action.spec.kind else { return };
        let asked = Consent { plan: plan.digest, addr: &action.addr, approval };
        match self.engine.ports.approver.standing(&asked) {
            Standing::Given { by } => {
                let report = ActionReport {
                    addr: action.addr.clone(),
                    outcome: Outcome::Cached,
                    reason: Reason::Approved { by },
                    key: None,
                    duration_ms: 0,
                    attempts: 0,
                    outputs: Vec::new(),
                    failure: None,
                    logs: None,
                    spent: None,
                    check: None,
                };
                self.succeed(id, report);
            }
            Standing::Missing { text } => {
                let failure = Failure::new(FailureClass::Approval, text);
                self.end_badly(id, None, Outcome::Skipped, Reason::ApprovalMissing, Some(failure), None);
            }
        }
    }

    fn hit(&self, id: ActionId, hit: Hit) {
        let action = self.engine.plan.action(id);
        let checked = self.check(id, &hit.prepared, &hit.claim.outputs, Timestamp(hit.claim.created));
        let check = match checked {
            Ok(check) => check,
            Err(trouble) => return self.trouble(id, Some(&hit.prepared), trouble, None),
        };
        let outcome = if hit.cut_off { Outcome::CutOff } else { Outcome::Cached };
        if !hit.same_key {
            self.remember(action, &hit.prepared, outcome, true, hit.claim.duration_ms);
        }
        let report = ActionReport {
            addr: action.addr.clone(),
            outcome,
            reason: hit.prepared.reason,
            key: Some(hit.prepared.key),
            duration_ms: 0,
            attempts: 0,
            outputs: outputs_of(action, hit.claim.outputs, hit.sizes),
            failure: None,
            logs: Some(hit.claim.logs),
            spent: None,
            check,
        };
        self.succeed(id, report);
    }

    /// Makes an action again, if that is asked for. What does not come out the same is held back from being
    /// published until it does.
    fn check(
        &self,
        id: ActionId,
        prepared: &Prepared,
        outputs: &[ClaimOutput],
        made: Timestamp,
    ) -> Result<Option<Check>, Trouble> {
        let engine = &self.engine;
        if !engine.request.checked.contains(&id) {
            return Ok(None);
        }
        let check = engine.check(id, prepared, outputs, made, &|event| self.emit(event))?;
        let addr = &engine.plan.action(id).addr;
        match check.verdict {
            Verdict::Equal => engine.ports.claims.release(prepared.key)?,
            Verdict::Different => {
                let shown = check.differences.first().map(|first| (first.located(), first.cause.words()));
                let (place, cause) = shown.unwrap_or_default();
                engine.ports.claims.hold(prepared.key, &format!("{addr}: {place}: {cause}"))?;
            }
            Verdict::Unchecked => {}
        }
        self.emit(Event::ActionChecked { addr: addr.clone(), check: check.clone() });
        Ok(Some(check))
    }

    fn miss(&self, id: ActionId, prepared: Arc<Prepared>) {
        let engine = &self.engine;
        if engine.request.require_cached {
            self.end_badly(id, Some(&prepared), Outcome::Skipped, Reason::RequireCached, None, None);
            return;
        }
        let action = engine.plan.action(id);
        let is_free = action.policy.holds.is_empty() && engine.plan.concurrency.is_none();
        if is_free && !matches!(action.spec.kind, ActionKind::Exec { .. } | ActionKind::Http(_)) {
            // Nothing to wait for, and done sooner than queued.
            self.attempt(id, prepared, 1);
            return;
        }
        let mut shared = self.lock();
        let estimated = if shared.scheduler.is_weighed() { None } else { self.estimate(&mut shared) };
        shared.prepared.insert(id.0, prepared);
        let short = shared.scheduler.queue(id);
        drop(shared);
        if let Some(left) = estimated {
            self.emit(Event::RunEstimated {
                open: left.open,
                known: left.known,
                work_ms: left.work_ms,
                least_ms: left.least_ms,
                jobs: self.jobs.min(left.concurrency) as u64,
            });
        }
        if !short.is_empty() {
            self.emit(Event::ActionWaits { addr: action.addr.clone(), resources: short });
        }
    }

    /// Orders what is left by how long it took in earlier runs, and tells how much that is.
    fn estimate(&self, shared: &mut Shared) -> Option<Left> {
        let engine = &self.engine;
        let took = |id: &ActionId| {
            let ms = engine.ports.history.expected_ms(&engine.plan.action(*id).addr)?;
            Some((id.0, ms))
        };
        let expected = self.expected.get_or_init(|| shared.scheduler.ids().iter().filter_map(took).collect());
        let left = shared.scheduler.weigh_by(expected);
        left.map_err(|error| shared.end_with(error)).ok().flatten()
    }

    /// How long an action took before, once that was asked for, if it is on record.
    fn usual_ms(&self, id: ActionId) -> Option<u64> {
        self.expected.get()?.get(&id.0).copied()
    }

    fn attempt(&self, id: ActionId, prepared: Arc<Prepared>, attempt: u32) {
        let action = self.engine.plan.action(id);
        if let Some(tool) = self.broken(action) {
            self.end_badly(id, Some(&prepared), Outcome::Skipped, Reason::BreakerOpen { tool }, None, None);
            return;
        }
        let reason = prepared.reason.clone();
        let usual_ms = self.usual_ms(id);
        self.emit(Event::ActionStarted { addr: action.addr.clone(), attempt, reason, usual_ms });
        let tell = |event| self.emit(event);
        let Attempted { result, logs, duration, spent, .. } = self.engine.attempt(id, &prepared, &tell);
        if let Some(spent) = spent {
            self.lock().spent.entry(id.0).and_modify(|all| *all = all.plus(spent)).or_insert(spent);
        }
        let duration_ms = duration.as_millis() as u64;
        match &result {
            Ok(_) => self.count(action, None),
            Err(Trouble::Fail(failure)) => self.count(action, Some(failure)),
            Err(_) => {}
        }
        match result {
            Ok((outputs, sizes)) => {
                self.remember(action, &prepared, Outcome::Ran, true, duration_ms);
                let now = self.engine.ports.clock.now();
                let check = match self.check(id, &prepared, &outputs, now) {
                    Ok(check) => check,
                    Err(trouble) => {
                        return self.trouble(id, Some(&prepared), trouble, Some((attempt, duration_ms, logs)));
                    }
                };
                let report = ActionReport {
                    addr: action.addr.clone(),
                    outcome: Outcome::Ran,
                    reason: prepared.reason.clone(),
                    key: Some(prepared.key),
                    duration_ms,
                    attempts: attempt,
                    outputs: outputs_of(action, outputs, sizes),
                    failure: None,
                    logs,
                    spent: self.lock().spent.get(&id.0).copied(),
                    check,
                };
                self.succeed(id, report);
            }
            Err(Trouble::Fail(failure)) if self.is_retried(action, &failure, attempt) => {
                let Some(retry) = &action.policy.retry else { return };
                let wait = delay(retry, prepared.key, attempt);
                self.emit(Event::ActionRetried {
                    addr: action.addr.clone(),
                    attempt,
                    failure: failure.text,
                    delay_ms: wait.as_millis() as u64,
                });
                let mut shared = self.lock();
                let until = self.engine.ports.clock.elapsed() + wait;
                shared.scheduler.delay(id, until);
            }
            Err(trouble) => self.trouble(id, Some(&prepared), trouble, Some((attempt, duration_ms, logs))),
        }
    }

    fn is_retried(&self, action: &Action, failure: &Failure, attempt: u32) -> bool {
        let policy = action.policy.retry.as_ref();
        !self.engine.ports.cancel.is_cancelled()
            && !self.is_late()
            && self.broken(action).is_none()
            && policy.is_some_and(|retry| attempt <= retry.max && failure.class.is_retried(retry.on))
    }

    fn trouble(&self, id: ActionId, prepared: Option<&Prepared>, trouble: Trouble, made: Option<Tried>) {
        let plan = self.engine.plan;
        match trouble {
            // Whatever goes wrong once the run is cancelled is most likely a consequence.
            Trouble::Fail(_) | Trouble::Cancelled if self.engine.ports.cancel.is_cancelled() => {
                self.end_badly(id, prepared, Outcome::Skipped, Reason::Cancelled, None, made);
            }
            Trouble::Cancelled => self.end_badly(id, prepared, Outcome::Skipped, Reason::Cancelled, None, made),
            Trouble::Fail(failure) => {
                let reason = prepared.map_or(Reason::NeverSeen, |prepared| prepared.reason.clone());
                self.end_badly(id, prepared, Outcome::Failed, reason, Some(failure), made);
            }
            Trouble::Lost(lost) => {
                self.tell_lost(&lost);
                let mut shared = self.lock();
                let lost_for_good = LostForGood { digest: lost.digest, reason: lost_reason(&lost) };
                let rewound = match lost.producer {
                    Some(producer) => shared.scheduler.rewind(plan, id, producer, lost_for_good),
                    None => shared.scheduler.again(plan, id, lost_for_good).map(|()| Skips::new()),
                };
                match rewound {
                    Ok(skips) => {
                        drop(shared);
                        self.skip(skips);
                    }
                    Err(error) => {
                        shared.end_with(error);
                        self.abandon(shared, id);
                    }
                }
            }
            Trouble::Fatal(error) => {
                let mut shared = self.lock();
                shared.end_with(error);
                self.abandon(shared, id);
            }
        }
    }

    fn tell_lost(&self, lost: &Lost) {
        let digest: Digest = lost.digest;
        if lost.corrupt {
            self.emit(Event::BlobQuarantined { digest: digest.hex() });
        }
    }

    fn succeed(&self, id: ActionId, report: ActionReport) {
        self.emit(finished(&report, self.usual_ms(id)));
        let notify = self.engine.plan.action(id).policy.automation == Some(Automation::Notify);
        if notify && report.outcome == Outcome::Ran {
            self.emit(Event::Notice { text: format!("`{}` is done (automation=notify)", report.addr) });
        }
        self.release(id);
        let mut shared = self.lock();
        let outcome = report.outcome;
        shared.reports.insert(id.0, report);
        shared.prepared.remove(&id.0);
        shared.scheduler.succeed(id, outcome);
    }

    fn end_badly(
        &self,
        id: ActionId,
        prepared: Option<&Prepared>,
        outcome: Outcome,
        reason: Reason,
        failure: Option<Failure>,
        made: Option<Tried>,
    ) {
        let action = self.engine.plan.action(id);
        let (attempts, duration_ms, logs) = made.unwrap_or_default();
        if let (Some(prepared), Outcome::Failed) = (prepared, outcome) {
            self.remember(action, prepared, outcome, false, duration_ms);
        }
        let report = ActionReport {
            addr: action.addr.clone(),
            outcome,
            reason: reason.clone(),
            key: prepared.map(|prepared| prepared.key),
            duration_ms,
            attempts,
            outputs: Vec::new(),
            failure,
            logs,
            spent: self.lock().spent.get(&id.0).copied(),
            check: None,
        };
        self.emit(finished(&report, self.usual_ms(id)));
        self.release(id);
        let mut shared = self.lock();
        shared.reports.insert(id.0, report);
        shared.prepared.remove(&id.0);
        if outcome == Outcome::Failed && !self.goes_on() {
            shared.scheduler.stop();
        }
        let skips = shared.scheduler.fail(self.engine.plan, id, outcome, &reason);
        drop(shared);
        self.skip(skips);
    }

    /// Tells of actions that are not tried.
    fn skip(&self, skips: Skips) {
        for (id, reason) in skips {
            let report = ActionReport {
                addr: self.engine.plan.action(id).addr.clone(),
                outcome: Outcome::Skipped,
                reason,
                key: None,
                duration_ms: 0,
                attempts: 0,
                outputs: Vec::new(),
                failure: None,
                logs: None,
                spent: None,
                check: None,
            };
            self.emit(finished(&report, self.usual_ms(id)));
            self.release(id);
            self.lock().reports.insert(id.0, report);
        }
    }

    /// Lets go of the services that an action used.
    fn release(&self, id: ActionId) {
        self.engine.services().done(id, self.engine.plan.action(id), &|event| self.emit(event));
    }

    /// Keeps what became of an action for later runs.
    fn remember(&self, action: &Action, prepared: &Prepared, outcome: Outcome, ok: bool, duration_ms: u64) {
        let ports = self.engine.ports;
        ports.history.record(HistoryRow {
            addr: action.addr.clone(),
            def: action.def,
            key: prepared.key,
            manifest: prepared.manifest().to_owned(),
            ok,
            outcome,
            reason: prepared.reason.clone(),
            run: self.engine.request.run.clone(),
            at: ports.clock.now(),
            duration_ms,
        });
    }
}

/// Attempts made, milliseconds of the last, and its logs.
type Tried = (u32, u64, Option<[Digest; 2]>);

fn finished(report: &ActionReport, usual_ms: Option<u64>) -> Event {
    Event::ActionFinished {
        addr: report.addr.clone(),
        outcome: report.outcome,
        reason: report.reason.clone(),
        key: report.key.map(|key| key.to_string()),
        duration_ms: report.duration_ms,
        usual_ms,
        failure: report.failure.as_ref().map(|failure| failure.text.clone()),
        logs: report.logs.map(|logs| logs.map(|digest| digest.hex())),
        spent: report.spent,
    }
}

fn outputs_of(action: &Action, outputs: Vec<ClaimOutput>, sizes: Vec<u64>) -> Vec<OutputReport> {
    let with_sizes = outputs.into_iter().zip(sizes);
    let reports = with_sizes.filter_map(|(output, size)| {
        let declared = action.spec.outputs.iter().find(|declared| declared.name == output.name)?;
        let (path, kind) = (declared.path.clone(), declared.kind);
        Some(OutputReport { name: output.name, path, kind, entry: output.entry, size })
    });
    reports.collect()
}
