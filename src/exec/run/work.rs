//! What workers do: take a task, take it all the way, and hand what came of it on. Leaves out how an
//! action ends (`ends`).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::base::{Timestamp, format_duration, format_micro_usd};
use crate::event::{Check, Event, Outcome, Reason, Spent, Verdict};
use crate::exec::budget::Lack;
use crate::exec::engine::{Attempted, Hit, Prepared, Resolution};
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::ports::Standing;
use crate::exec::report::ActionReport;
use crate::exec::retry::delay;
use crate::exec::run::Run;
use crate::exec::run::crew::Mine;
use crate::exec::run::ends::outputs_of;
use crate::exec::sched::{Left, Task};
use crate::plan::{Action, ActionId, ActionKind, Consent};
use crate::store::ClaimOutput;

impl Run<'_> {
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

    /// Ends what was not tried, and the services, when there is nothing more to do.
    pub(super) fn close(&self) {
        let mut swept = self.lock().scheduler.sweep();
        if self.is_late() && !self.engine.ports.cancel.is_cancelled() {
            for (_, reason) in &mut swept {
                *reason = Reason::RunTimeout;
            }
        }
        self.skip(swept);
        self.engine.services().stop();
    }

    /// Takes an action that a panic interrupted out of the count of those being worked on.
    pub(super) fn abandon(&self, mut shared: Mine<'_>, id: ActionId) {
        if shared.scheduler.is_active(id) {
            shared.scheduler.fail(self.engine.plan, id, Outcome::Skipped, &Reason::Cancelled);
        }
    }

    pub(super) fn perform(&self, task: Task, prepared: Option<Arc<Prepared>>) {
        match task {
            Task::Resolve { id, .. } if matches!(self.engine.plan.action(id).spec.kind, ActionKind::Approval(_)) => {
                self.ask(id);
            }
            Task::Resolve { id, again: None } if self.is_unchanged(id) => {}
            Task::Resolve { id, again } => match self.engine.resolve(id, again) {
                Ok(Resolution::Hit(hit)) => self.hit(id, *hit),
                Ok(Resolution::Miss(prepared)) => self.miss(id, prepared),
                Ok(Resolution::Follows) => self.follow(id),
                Err(trouble) => self.trouble(id, None, trouble, None),
            },
            Task::Run { id, attempt } => {
                let prepared = prepared.expect("an action is prepared before it is queued");
                self.attempt(id, prepared, attempt);
            }
            Task::Refuse { id, lack } => self.refuse(id, prepared.as_deref(), lack),
        }
    }

    /// There is not enough left of the budget. Then nothing more starts, unless what costs nothing is to go on.
    fn refuse(&self, id: ActionId, prepared: Option<&Prepared>, lack: Lack) {
        let Lack { needed, left, whose } = lack;
        let addr = &self.engine.plan.action(id).addr;
        let pauses = whose.as_ref().map_or(self.pauses, |whose| whose.pauses);
        let whose = whose.map(|whose| whose.words).unwrap_or_default();
        let then = if pauses { "what costs nothing goes on" } else { "nothing more is started" };
        let text = format!(
            "`{addr}` may cost ${}, and ${} is left of the budget{whose}: {then}",
            format_micro_usd(needed),
            format_micro_usd(left)
        );
        if !pauses {
            self.lock().scheduler.stop();
        }
        let failure = Failure::new(FailureClass::Budget, text);
        self.end_badly(id, prepared, Outcome::Skipped, Reason::BudgetSpent { needed, left }, Some(failure), None);
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

    /// Ends an action with the result that it had, if nothing it takes in changed.
    fn is_unchanged(&self, id: ActionId) -> bool {
        let Some((known, sizes, fresh)) = self.engine.unchanged(id) else { return false };
        let action = self.engine.plan.action(id);
        let report = ActionReport {
            addr: action.addr.clone(),
            outcome: if fresh { Outcome::CutOff } else { Outcome::Cached },
            reason: Reason::SameKey,
            key: Some(known.key),
            duration_ms: 0,
            attempts: 0,
            outputs: outputs_of(action, known.outputs.clone(), sizes),
            failure: None,
            logs: known.logs,
            spent: None,
            check: None,
        };
        self.succeed(id, report);
        true
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

    /// Another action goes ahead with its key: when that has ended, its result is looked for.
    fn follow(&self, id: ActionId) {
        let mut shared = self.lock();
        let waits = self.crew.flights.is_following((self.number, id.0));
        shared.scheduler.follow(id, waits);
    }

    /// Orders what is left by how long it took in earlier runs, and tells how much that is.
    fn estimate(&self, shared: &mut Mine<'_>) -> Option<Left> {
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
    pub(super) fn usual_ms(&self, id: ActionId) -> Option<u64> {
        self.expected.get()?.get(&id.0).copied()
    }

    fn attempt(&self, id: ActionId, prepared: Arc<Prepared>, attempt: u32) {
        let action = self.engine.plan.action(id);
        if let Some(tool) = self.broken(action) {
            self.lock().scheduler.settle(id, Some(0));
            self.end_badly(id, Some(&prepared), Outcome::Skipped, Reason::BreakerOpen { tool }, None, None);
            return;
        }
        let reason = prepared.reason.clone();
        let usual_ms = self.usual_ms(id);
        self.emit(Event::ActionStarted { addr: action.addr.clone(), attempt, reason, usual_ms });
        let tell = |event| self.emit(event);
        let Attempted { result, logs, duration, spent, unsettled, .. } = self.engine.attempt(id, &prepared, &tell);
        if let Some(spent) = spent {
            self.lock().spent.entry(id.0).and_modify(|all| *all = all.plus(spent)).or_insert(spent);
        }
        self.lock().scheduler.settle(id, actual(action, &result, spent).filter(|_| !unsettled));
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
            Err(Trouble::Fail(failure)) if self.is_retried(action, &prepared, &failure, attempt) => {
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
            Err(mut trouble) => {
                if let Trouble::Fail(failure) = &mut trouble
                    && let Some(note) = self.too_late(action, &prepared, failure, attempt)
                {
                    failure.text.push_str(&note);
                }
                self.trouble(id, Some(&prepared), trouble, Some((attempt, duration_ms, logs)));
            }
        }
    }

    /// Why another attempt, which there would be, is not waited for.
    fn too_late(&self, action: &Action, prepared: &Prepared, failure: &Failure, attempt: u32) -> Option<String> {
        let retry = action.policy.retry.as_ref()?;
        let is_due = attempt <= retry.max && failure.class.is_retried(retry.on);
        if !is_due || self.engine.overdue(action).is_some() {
            return None;
        }
        let (node, limit) = self.engine.time_up_after(action, delay(retry, prepared.key, attempt))?;
        let limit = format_duration(limit);
        Some(format!(
            "\nit is not tried again, as the steps of `{node}` would have taken their timeout of {limit} by then"
        ))
    }

    fn is_retried(&self, action: &Action, prepared: &Prepared, failure: &Failure, attempt: u32) -> bool {
        let policy = action.policy.retry.as_ref();
        let wait = policy.map_or(Duration::ZERO, |retry| delay(retry, prepared.key, attempt));
        !self.engine.ports.cancel.is_cancelled()
            && !self.is_late()
            && self.broken(action).is_none()
            // Whoever would find the time of its node used up does not wait for that.
            && self.engine.time_up_after(action, wait).is_none()
            && policy.is_some_and(|retry| attempt <= retry.max && failure.class.is_retried(retry.on))
    }
}

/// What an attempt did cost, in micro-dollars; `None`: all that it might, as nobody says.
fn actual<T>(action: &Action, result: &Result<T, Trouble>, spent: Option<Spent>) -> Option<u64> {
    match (&action.spec.kind, result) {
        (ActionKind::Http(_), _) => Some(spent.map_or(0, |spent| spent.micro_usd)),
        // It came to nothing before it was started.
        (_, Err(Trouble::Lost(_) | Trouble::Fatal(_))) => Some(0),
        (_, Err(Trouble::Fail(failure)))
            if matches!(failure.class, FailureClass::Start { .. } | FailureClass::Input) =>
        {
            Some(0)
        }
        _ => None,
    }
}
