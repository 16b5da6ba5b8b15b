//! How an action ends: well, badly, not at all, or once more. Leaves out what led there (`work`).

use crate::base::Digest;
use crate::event::{Event, Outcome, Reason};
use crate::exec::engine::Prepared;
use crate::exec::error::{Failure, Lost, Trouble};
use crate::exec::lookup::lost_reason;
use crate::exec::ports::HistoryRow;
use crate::exec::report::{ActionReport, OutputReport};
use crate::exec::run::Run;
use crate::exec::sched::{Lost as LostForGood, Skips};
use crate::plan::{Action, ActionId, Automation};
use crate::store::ClaimOutput;

impl Run<'_> {
    pub(super) fn trouble(&self, id: ActionId, prepared: Option<&Prepared>, trouble: Trouble, made: Option<Tried>) {
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

    pub(super) fn succeed(&self, id: ActionId, report: ActionReport) {
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

    pub(super) fn end_badly(
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
        if outcome == Outcome::Failed {
            // Before anybody hears of it: nobody shall see something start after that.
            self.lock().stop_for_failure();
        }
        self.emit(finished(&report, self.usual_ms(id)));
        self.release(id);
        let mut shared = self.lock();
        shared.reports.insert(id.0, report);
        shared.prepared.remove(&id.0);
        let skips = shared.scheduler.fail(self.engine.plan, id, outcome, &reason);
        drop(shared);
        self.skip(skips);
    }

    /// What failed in a part before this one counts as it did then.
    pub(super) fn begin_with_failures(&self) {
        let request = self.engine.request;
        for (id, (outcome, reason)) in &request.before.failed {
            let mut shared = self.lock();
            if *outcome == Outcome::Failed {
                shared.stop_for_failure();
            }
            let skips = shared.scheduler.fail(self.engine.plan, *id, Outcome::Skipped, reason);
            drop(shared);
            self.skip(skips);
        }
    }

    /// Tells of actions that are not tried.
    pub(super) fn skip(&self, skips: Skips) {
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
    pub(super) fn remember(&self, action: &Action, prepared: &Prepared, outcome: Outcome, ok: bool, duration_ms: u64) {
        let ports = self.engine.ports;
        ports.history.record(HistoryRow {
            addr: action.addr.clone(),
            def: action.def,
            key: prepared.key,
            manifest: prepared.manifest().to_owned(),
            levels: self.engine.few_levels(prepared).to_vec(),
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
pub(super) type Tried = (u32, u64, Option<[Digest; 2]>);

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

pub(super) fn outputs_of(action: &Action, outputs: Vec<ClaimOutput>, sizes: Vec<u64>) -> Vec<OutputReport> {
    let with_sizes = outputs.into_iter().zip(sizes);
    let reports = with_sizes.filter_map(|(output, size)| {
        let declared = action.spec.outputs.iter().find(|declared| declared.name == output.name)?;
        let (path, kind) = (declared.path.clone(), declared.kind);
        Some(OutputReport { name: output.name, path, kind, entry: output.entry, size })
    });
    reports.collect()
}
