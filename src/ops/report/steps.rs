//! What became of the steps of a run, read back from its report and its journal, with the times at
//! which they ran. Leaves out how they are shown.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::base::ActionKey;
use crate::event::{Event, journal_path, read_journal};
use crate::ops::Error;
use crate::ops::run::run_dir;
use crate::store::Claims;

/// The steps of a run.
#[derive(Clone, Debug)]
pub struct Steps {
    /// The run.
    pub run: String,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The steps, by address.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The address.
    pub addr: String,
    /// `ran`, `cached`, `cut-off`, `failed` or `skipped`.
    pub outcome: String,
    /// Milliseconds from the start of the run to the start of the last attempt; `None` if it did not run.
    pub start_ms: Option<u64>,
    /// How long it took, in milliseconds: now, or for a known result when it was made. `None`: that is
    /// not on record.
    pub duration_ms: Option<u64>,
    /// How many attempts were made.
    pub attempts: u64,
    /// What went wrong.
    pub failure: Option<String>,
}

fn report(state: &Path, run: &str) -> Result<Value, Error> {
    let path = run_dir(state, run).join("report.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::usage(format!("the report `{}` of the run is damaged: {error}", path.display())))
}

/// The digest of the plan of a run, if its report is there.
pub(super) fn plan_of(state: &Path, run: &str) -> Option<String> {
    report(state, run).ok()?["plan"].as_str().map(str::to_owned)
}

/// Reads the steps of a run. The store is asked how long known results took when they were made.
pub fn read_steps(state: &Path, run: &str, claims: Option<&dyn Claims>) -> Result<Steps, Error> {
    let report = report(state, run)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut begun: BTreeMap<String, i64> = BTreeMap::new();
    let mut start = None;
    let journal = journal_path(state, run);
    if journal.exists() {
        for envelope in read_journal(&journal)? {
            match envelope.event {
                Event::RunStarted { .. } => start = Some(envelope.at),
                Event::ActionStarted { addr, .. } => drop(begun.insert(addr, envelope.at)),
                _ => {}
            }
        }
    }
    let none = Vec::new();
    let mut steps = Vec::new();
    for action in report["actions"].as_array().unwrap_or(&none) {
        let addr = text(&action["addr"]);
        let outcome = text(&action["outcome"]);
        let known = matches!(outcome.as_str(), "cached" | "cut-off");
        let start_ms = begun.get(&addr).zip(start).map(|(at, start)| (at - start).max(0) as u64 / 1_000_000);
        let duration_ms = if known {
            let key: Option<ActionKey> = action["key"].as_str().and_then(|key| key.parse().ok());
            let found = key.zip(claims).map(|(key, claims)| claims.lookup(key)).transpose()?.unwrap_or_default();
            // Only what was on record when the run began, so that later runs do not change the report.
            found
                .iter()
                .filter(|claim| start.is_none_or(|start| claim.created <= start))
                .max_by_key(|claim| claim.created)
                .map(|claim| claim.duration_ms)
        } else {
            action["duration_ms"].as_u64()
        };
        steps.push(Step {
            addr,
            start_ms: start_ms.filter(|_| !known),
            duration_ms: duration_ms.filter(|_| outcome != "skipped"),
            attempts: action["attempts"].as_u64().unwrap_or(0),
            failure: action["failure"].as_str().map(str::to_owned),
            outcome,
        });
    }
    Ok(Steps {
        run: text(&report["run"]),
        started: text(&report["started"]),
        duration_ms: report["duration_ms"].as_u64().unwrap_or(0),
        steps,
    })
}
