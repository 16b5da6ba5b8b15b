//! What journals of runs are good for: a trace that opens in Perfetto, and the comparison of two
//! runs. Leaves out writing journals.

use std::collections::BTreeMap;
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
    let mut events = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let journal = journal(&workspace.state, run)?;
        trace_run(&journal, number + 1, &mut events);
    }
    Ok(format!("{}\n", json!({"traceEvents": events, "displayTimeUnit": "ms"})))
}

fn trace_run(journal: &[Envelope], process: usize, out: &mut Vec<Json>) {
    let Some(begun) = journal.first().map(|first| first.at) else { return };
    let micros = |at: i64| at.saturating_sub(begun) as f64 / 1_000.0;
    let mut started: BTreeMap<&str, (i64, u32, usize)> = BTreeMap::new();
    // Which lines are taken; a free one of the lowest number is used next.
    let mut lines: Vec<bool> = Vec::new();
    for envelope in journal {
        let at = envelope.at;
        match &envelope.event {
            Event::RunStarted { target, .. } => out.push(json!({
                "ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": format!("run of {target}")},
            })),
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
                    let args = json!({"attempt": attempt, "failure": failure});
                    out.push(slice(addr, micros(from), micros(at), process, line, &args));
                }
            }
            Event::ActionFinished { addr, outcome, reason, key, .. } => {
                let args = json!({"outcome": outcome, "reason": reason, "key": key});
                if let Some((from, _, line)) = started.remove(addr.as_str()) {
                    lines[line] = false;
                    out.push(slice(addr, micros(from), micros(at), process, line, &args));
                } else {
                    out.push(json!({
                        "ph": "i", "s": "p", "name": addr, "cat": "known", "ts": micros(at), "pid": process, "tid": 0, "args": args,
                    }));
                }
            }
            Event::ActionChecked { .. }
            | Event::ServiceStarted { .. }
            | Event::ServiceReady { .. }
            | Event::ServiceStopped { .. }
            | Event::RunEstimated { .. }
            | Event::ActionWaits { .. }
            | Event::BlobQuarantined { .. }
            | Event::Notice { .. }
            | Event::RunFinished { .. } => {}
        }
    }
}

fn slice(addr: &str, from: f64, to: f64, process: usize, line: usize, args: &Json) -> Json {
    json!({
        "ph": "X", "name": addr, "cat": "action", "ts": from, "dur": (to - from).max(0.0), "pid": process,
        "tid": line + 1, "args": args,
    })
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
