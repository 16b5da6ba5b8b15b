//! What journals of runs are good for: a trace that opens in Perfetto, and the comparison of two
//! runs. Leaves out writing journals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::base::Clock;
use crate::event::{Envelope, Event, Outcome, Reason};
use crate::ops::Error;
use crate::ops::history::{find_run, history, journal};
use crate::ops::workspace::Workspace;

/// Events of one run as a trace in the JSON form of Chrome, which Perfetto opens: a slice for each
/// attempt, on as few lines as there were at once, and a mark for each result that was known.
///
/// Source: Trace Event Format, Google.
pub fn trace(workspace: &Workspace, runs: &[String]) -> Result<String, Error> {
    let mut courses = Vec::new();
    for run in runs {
        let journal = journal(&workspace.state, run)?;
        courses.push((!journal.is_empty()).then(|| course(&journal)));
    }
    // One may have begun after another.
    let first = courses.iter().flatten().map(|course| course.begun).min().unwrap_or(0);
    let mut events = Vec::new();
    for (course, process) in courses.iter().zip(1..) {
        if let Some(course) = course {
            trace_run(course, process, course.begun.saturating_sub(first), &mut events);
        }
    }
    Ok(format!("{}\n", json!({"traceEvents": events, "displayTimeUnit": "ms"})))
}

/// One attempt of an action, as it lay in time.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) addr: String,
    /// Nanoseconds from the start of the run.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) attempt: u32,
    /// On which line it lies: as few as there were at once.
    pub(super) line: usize,
    /// How it ended; a failure for an attempt that was made again.
    pub(super) end: Result<Ending, String>,
    pub(super) failure: Option<String>,
}

/// One instance of a service, as it lay in time.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) service: String,
    /// Nanoseconds from the start of the run.
    pub(super) from: i64,
    /// When it was ready, if it came to that.
    pub(super) ready: Option<i64>,
    pub(super) to: i64,
    pub(super) failure: Option<String>,
}

/// A journal as it lay in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    pub(super) target: String,
    /// The plan's digest in hexadecimal.
    pub(super) plan: String,
    /// When it began, in nanoseconds since the epoch.
    pub(super) begun: i64,
    /// Nanoseconds from the start to the last event.
    pub(super) length: i64,
    /// Attempts in the order in which they ended.
    pub(super) slices: Vec<Slice>,
    /// What ended without an attempt, with when.
    pub(super) known: Vec<(String, i64, Ending)>,
    /// Services in the order in which they ended; what did not end lasted to the end of the run.
    pub(super) served: Vec<Serving>,
}

pub(super) fn course(journal: &[Envelope]) -> Course {
    let Some(begun) = journal.first().map(|first| first.at) else { return Course::default() };
    let mut course = Course { begun, ..Course::default() };
    let mut started: BTreeMap<&str, (i64, u32, usize)> = BTreeMap::new();
    // Which lines are taken; a free one of the lowest number is used next.
    let mut lines: Vec<bool> = Vec::new();
    let mut serving: BTreeMap<&str, Serving> = BTreeMap::new();
    for envelope in journal {
        let at = envelope.at.saturating_sub(begun);
        course.length = course.length.max(at);
        match &envelope.event {
            Event::RunStarted { target, plan, .. } => {
                course.target.clone_from(target);
                course.plan.clone_from(plan);
            }
            Event::ActionStarted { addr, attempt, .. } => {
                let line = lines.iter().position(|taken| !taken).unwrap_or(lines.len());
                if line == lines.len() {
                    lines.push(false);
                }
                lines[line] = true;
                started.insert(addr, (at, *attempt, line));
            }
            Event::ActionRetried { addr, failure, .. } => {
                if let Some((from, attempt, line)) = started.remove(addr.as_str()) {
                    lines[line] = false;
                    let (addr, end) = (addr.clone(), Err(failure.clone()));
                    course.slices.push(Slice {
                        addr,
                        from,
                        to: at,
                        attempt,
                        line,
                        end,
                        failure: Some(failure.clone()),
                    });
                }
            }
            Event::ActionFinished { addr, outcome, reason, key, failure, .. } => {
                let ending = Ending { outcome: *outcome, reason: reason.clone(), key: key.clone() };
                let Some((from, attempt, line)) = started.remove(addr.as_str()) else {
                    course.known.push((addr.clone(), at, ending));
                    continue;
                };
                lines[line] = false;
                let (addr, end, failure) = (addr.clone(), Ok(ending), failure.clone());
                course.slices.push(Slice { addr, from, to: at, attempt, line, end, failure });
            }
            Event::ServiceStarted { service } => {
                let started = Serving { service: service.clone(), from: at, ready: None, to: at, failure: None };
                serving.insert(service, started);
            }
            Event::ServiceReady { service, .. } => {
                if let Some(one) = serving.get_mut(service.as_str()) {
                    one.ready = Some(at);
                }
            }
            Event::ServiceStopped { service, failure } => {
                if let Some(one) = serving.remove(service.as_str()) {
                    course.served.push(Serving { to: at, failure: failure.clone(), ..one });
                }
            }
            Event::ActionChecked { .. }
            | Event::RunEstimated { .. }
            | Event::ActionWaits { .. }
            | Event::BlobQuarantined { .. }
            | Event::Notice { .. }
            | Event::Reported { .. }
            | Event::RunFinished { .. } => {}
        }
    }
    let length = course.length;
    course.served.extend(serving.into_values().map(|one| Serving { to: length, ..one }));
    course
}

/// `begun`: nanoseconds from the start of the first run to that of this one.
fn trace_run(course: &Course, process: usize, begun: i64, out: &mut Vec<Json>) {
    let micros = |at: i64| at as f64 / 1_000.0;
    let moment = |at: i64| micros(begun.saturating_add(at));
    let args = |end: &Ending| json!({"outcome": end.outcome, "reason": end.reason, "key": end.key});
    out.push(json!({
        "ph": "M", "name": "process_name", "pid": process, "tid": 0,
        "args": {"name": format!("run of {}", course.target)},
    }));
    for slice in &course.slices {
        let args = match &slice.end {
            Ok(end) => args(end),
            Err(failure) => json!({"attempt": slice.attempt, "failure": failure}),
        };
        out.push(json!({
            "ph": "X", "name": slice.addr, "cat": "action", "ts": moment(slice.from),
            "dur": micros(slice.to.saturating_sub(slice.from).max(0)), "pid": process, "tid": slice.line + 1, "args": args,
        }));
    }
    trace_services(course, process, begun, out);
    for (addr, at, end) in &course.known {
        out.push(json!({
            "ph": "i", "s": "p", "name": addr, "cat": "known", "ts": moment(*at), "pid": process, "tid": 0,
            "args": args(end),
        }));
    }
}

/// A line for each service below those of actions: how long it started, and how long it served.
fn trace_services(course: &Course, process: usize, begun: i64, out: &mut Vec<Json>) {
    let micros = |at: i64| at as f64 / 1_000.0;
    let moment = |at: i64| micros(begun.saturating_add(at));
    let below = course.slices.iter().map(|slice| slice.line + 2).max().unwrap_or(1);
    let names: BTreeSet<&str> = course.served.iter().map(|one| one.service.as_str()).collect();
    let lines: BTreeMap<&str, usize> = names.into_iter().zip(below..).collect();
    for (service, line) in &lines {
        out.push(json!({
            "ph": "M", "name": "thread_name", "pid": process, "tid": line, "args": {"name": format!("service {service}")},
        }));
    }
    for one in &course.served {
        let line = lines[one.service.as_str()];
        let mut slice = |what: &str, from: i64, to: i64, failure: Option<&str>| {
            out.push(json!({
                "ph": "X", "name": format!("{} {what}", one.service), "cat": "service", "ts": moment(from),
                "dur": micros(to.saturating_sub(from).max(0)), "pid": process, "tid": line, "args": {"failure": failure},
            }));
        };
        let failure = one.failure.as_deref();
        let until = one.ready.unwrap_or(one.to);
        slice("starts", one.from, until, failure.filter(|_| one.ready.is_none()));
        if let Some(ready) = one.ready {
            slice("serves", ready, one.to, failure);
        }
    }
}

/// How an action ended in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The key, if it came to be known.
    pub key: Option<String>,
}

/// An action whose key or end differs between two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The address.
    pub addr: String,
    /// In the first run; `None` if it took no part.
    pub before: Option<Ending>,
    /// In the second.
    pub after: Option<Ending>,
}

/// Two runs compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsDiff {
    /// The ids.
    pub runs: [String; 2],
    /// How many actions had the same key in both.
    pub same: usize,
    /// Actions whose keys differ or that took part in one only, in the order in which the second run
    /// ended them: what comes first depends on nothing that comes later.
    pub diverging: Vec<Divergence>,
}

/// Compares two runs by the keys of their actions.
pub fn diff_runs(workspace: &Workspace, before: &str, after: &str, clock: &Arc<dyn Clock>) -> Result<RunsDiff, Error> {
    let history = history(workspace, clock)?;
    let ids = [find_run(&history, before)?.id, find_run(&history, after)?.id];
    let [old, new] = [endings(&journal(&workspace.state, &ids[0])?), endings(&journal(&workspace.state, &ids[1])?)];
    let by_addr: BTreeMap<&str, &Ending> = old.iter().map(|(addr, ending)| (addr.as_str(), ending)).collect();
    let present: BTreeMap<&str, &Ending> = new.iter().map(|(addr, ending)| (addr.as_str(), ending)).collect();
    let mut diverging = Vec::new();
    let mut same = 0;
    for (addr, ending) in &new {
        let known = by_addr.get(addr.as_str()).copied();
        if known.is_some_and(|known| known.key == ending.key && known.key.is_some()) {
            same += 1;
        } else {
            diverging.push(Divergence { addr: addr.clone(), before: known.cloned(), after: Some(ending.clone()) });
        }
    }
    let gone = old.iter().filter(|(addr, _)| !present.contains_key(addr.as_str()));
    diverging.extend(gone.map(|(addr, ending)| Divergence {
        addr: addr.clone(),
        before: Some(ending.clone()),
        after: None,
    }));
    Ok(RunsDiff { runs: ids, same, diverging })
}

fn endings(journal: &[Envelope]) -> Vec<(String, Ending)> {
    let ended = journal.iter().filter_map(|envelope| match &envelope.event {
        Event::ActionFinished { addr, outcome, reason, key, .. } => {
            Some((addr.clone(), Ending { outcome: *outcome, reason: reason.clone(), key: key.clone() }))
        }
        _ => None,
    });
    ended.collect()
}
