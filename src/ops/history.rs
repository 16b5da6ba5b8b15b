//! What happened: why an action ran, the list of runs, and what actions printed. Leaves out running.

use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{ActionKey, Clock, Digest, Manifest, TextSink, format_micro_usd};
use crate::event::{Envelope, Event, InputChange, Reason, journal_path, read_journal};
use crate::ops::Error;
use crate::ops::run::run_dir;
use crate::ops::workspace::Workspace;
use crate::store::{Cas, Claims, Found, History, LocalStore, RunRow, RunStatus, StoreOptions};

/// Why an action ended as it did in a run.
#[derive(Clone, Debug)]
pub struct Why {
    /// The address.
    pub addr: String,
    /// The run.
    pub run: String,
    /// How it ended, as a word.
    pub outcome: String,
    /// Why.
    pub reason: Reason,
    /// The key, if it came to be known.
    pub key: Option<String>,
    /// The keyed fields as text, where the manifest is on record.
    pub fields: Vec<String>,
    /// What went wrong.
    pub failure: Option<String>,
}

/// The file of it in the state directory.
const HISTORY: &str = "history.sqlite";

/// Whether something was run. A state directory that cannot be looked into is not an empty one.
fn has_history(workspace: &Workspace) -> Result<bool, Error> {
    let path = workspace.state.join(HISTORY);
    path.try_exists().map_err(Error::io("read", &path))
}

pub(super) fn history(workspace: &Workspace, clock: &Arc<dyn Clock>) -> Result<History, Error> {
    let path = workspace.state.join(HISTORY);
    if !has_history(workspace)? {
        return Err(Error::usage_help(
            "nothing has been run in this workspace yet",
            "run something: `partita run GRAPH`",
        ));
    }
    Ok(History::open_to_read(&path, Arc::clone(clock))?)
}

/// Why an address ended as it did, in a run or in the last one it took part in.
pub fn why(workspace: &Workspace, addr: &str, run: Option<&str>, clock: &Arc<dyn Clock>) -> Result<Why, Error> {
    let history = history(workspace, clock)?;
    let runs = match run {
        Some(run) => vec![find_run(&history, run)?],
        None => history.runs()?,
    };
    for row in runs {
        let events = journal(&workspace.state, &row.id)?;
        let found = events.into_iter().rev().find_map(|envelope| match envelope.event {
            Event::ActionFinished { addr: at, outcome, reason, key, failure, .. } if at == addr => {
                Some((outcome, reason, key, failure))
            }
            _ => None,
        });
        let Some((outcome, reason, key, failure)) = found else { continue };
        let outcome =
            serde_json::to_value(outcome).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let fields =
            key.as_ref().and_then(|key| key.parse().ok()).map(|key| fields(workspace, &history, addr, key, clock));
        return Ok(Why {
            addr: addr.to_owned(),
            run: row.id,
            outcome,
            reason,
            key,
            fields: fields.unwrap_or_default(),
            failure,
        });
    }
    Err(Error::usage_help(
        format!("`{addr}` took part in no run on record"),
        "addresses are as in `partita plan GRAPH`; `partita runs` lists the runs",
    ))
}

fn fields(workspace: &Workspace, history: &History, addr: &str, key: ActionKey, clock: &Arc<dyn Clock>) -> Vec<String> {
    let latest = history.latest(addr).ok().flatten().filter(|row| row.key == key).map(|row| row.manifest);
    let manifest = latest.or_else(|| {
        let store = LocalStore::open_to_read(&workspace.store, StoreOptions::new(Arc::clone(clock))).ok()?;
        store.lookup(key).ok()?.into_iter().next().map(|claim| claim.manifest)
    });
    let Some(manifest) = manifest.and_then(|text| Manifest::from_json(&text).ok()) else { return Vec::new() };
    let mut sink = TextSink::default();
    crate::base::Fields::walk(&manifest, &mut sink);
    sink.lines
}

pub(super) fn journal(state: &Path, run: &str) -> Result<Vec<Envelope>, Error> {
    let path = journal_path(state, run);
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(read_journal(&path)?)
}

pub(super) fn find_run(history: &History, id: &str) -> Result<RunRow, Error> {
    let runs = history.runs()?;
    let mut matching = runs.iter().filter(|row| row.id.starts_with(id));
    match (matching.next(), matching.next()) {
        (Some(row), None) => Ok(row.clone()),
        (Some(_), Some(_)) => Err(Error::usage(format!("`{id}` is the start of several runs' ids"))),
        (None, _) => Err(Error::usage_help(format!("there is no run `{id}`"), "`partita runs` lists them")),
    }
}

/// The runs of a workspace, newest first. One that has no end on record and no process any more was interrupted.
pub fn runs(workspace: &Workspace, clock: &Arc<dyn Clock>) -> Result<Vec<RunRow>, Error> {
    if !has_history(workspace)? {
        return Ok(Vec::new());
    }
    let history = history(workspace, clock)?;
    let is_alone = |row: &RunRow| row.status == RunStatus::Started && !is_alive(&workspace.state, &row.id);
    // What was looked at before may have ended while it was looked at: it is read again.
    let gone: Vec<String> = history.runs()?.into_iter().filter(is_alone).map(|row| row.id).collect();
    let mut rows = history.runs()?;
    for row in rows.iter_mut().filter(|row| row.status == RunStatus::Started && gone.contains(&row.id)) {
        row.status = RunStatus::Interrupted;
    }
    Ok(rows)
}

/// The file by which a run shows that its process lives: the process holds a lock on it.
fn alive_path(state: &Path, run: &str) -> PathBuf {
    run_dir(state, run).join("alive")
}

/// Shows that the process of a run lives, for as long as the file is open.
pub(super) fn show_alive(state: &Path, run: &str) -> Result<File, Error> {
    let path = alive_path(state, run);
    let failed = |error| Error::Io { what: "make", path: path.clone(), source: error };
    std::fs::create_dir_all(run_dir(state, run)).map_err(failed)?;
    let file = File::create(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Whether the process of a run lives. One that cannot be asked about is taken to.
pub(super) fn is_alive(state: &Path, run: &str) -> bool {
    match File::open(alive_path(state, run)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// What one action printed.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// The address.
    pub addr: String,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// What went wrong, for a failure.
    pub failure: Option<String>,
}

/// What the actions of a run printed, in the order they ended.
pub fn log(
    workspace: &Workspace,
    run: Option<&str>,
    addr: Option<&str>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<LogEntry>, Error> {
    let row = one_run(workspace, run, clock)?;
    let store = LocalStore::open_to_read(&workspace.store, StoreOptions::new(Arc::clone(clock)))?;
    let read = |hex: &str| -> Result<Vec<u8>, Error> {
        let Ok(digest) = hex.parse::<Digest>() else { return Ok(Vec::new()) };
        match store.get(digest)? {
            Found::Whole(bytes) => Ok(bytes),
            Found::Missing | Found::Corrupt => Ok(b"(no longer in the store)\n".to_vec()),
        }
    };
    let mut entries = Vec::new();
    let mut took_part = false;
    for envelope in journal(&workspace.state, &row.id)? {
        let Event::ActionFinished { addr: at, logs, failure, .. } = envelope.event else { continue };
        if !is_of(&at, addr) {
            continue;
        }
        took_part = true;
        let (stdout, stderr) = match &logs {
            Some([stdout, stderr]) => (read(stdout)?, read(stderr)?),
            None => (Vec::new(), Vec::new()),
        };
        if !stdout.is_empty() || !stderr.is_empty() || failure.is_some() {
            entries.push(LogEntry { addr: at, stdout, stderr, failure });
        }
    }
    if let (Some(addr), true) = (addr, entries.is_empty()) {
        return Err(if took_part {
            Error::usage(format!("`{addr}` printed nothing in run {}", row.id))
        } else {
            took_no_part(addr, &row.id)
        });
    }
    Ok(entries)
}

/// Where an action printed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The bytes that the actions of a run printed, in the order they ended, and nothing else; in pieces, so that there may be
/// any number.
pub fn raw_log(
    workspace: &Workspace,
    run: Option<&str>,
    addr: Option<&str>,
    clock: &Arc<dyn Clock>,
    sink: &mut dyn FnMut(Stream, &[u8]),
) -> Result<(), Error> {
    let row = one_run(workspace, run, clock)?;
    let store = LocalStore::open_to_read(&workspace.store, StoreOptions::new(Arc::clone(clock)))?;
    let mut took_part = false;
    for envelope in journal(&workspace.state, &row.id)? {
        let Event::ActionFinished { addr: at, logs, .. } = envelope.event else { continue };
        if !is_of(&at, addr) {
            continue;
        }
        took_part = true;
        for (hex, stream) in logs.iter().flatten().zip([Stream::Stdout, Stream::Stderr]) {
            let Ok(digest) = hex.parse::<Digest>() else { continue };
            let Found::Whole(_) = store.read(digest, &mut |bytes| sink(stream, bytes))? else {
                let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
                return Err(Error::Lost { path: Path::new(&at).join(name) });
            };
        }
    }
    match addr {
        Some(addr) if !took_part => Err(took_no_part(addr, &row.id)),
        _ => Ok(()),
    }
}

/// The run that was asked for, or the last one.
fn one_run(workspace: &Workspace, run: Option<&str>, clock: &Arc<dyn Clock>) -> Result<RunRow, Error> {
    let history = history(workspace, clock)?;
    match run {
        Some(run) => find_run(&history, run),
        None => {
            history.runs()?.into_iter().next().ok_or_else(|| Error::usage("nothing has been run in this workspace yet"))
        }
    }
}

/// Whether an address is the one that was asked for, or lies below it.
fn is_of(at: &str, addr: Option<&str>) -> bool {
    addr.is_none_or(|addr| at.strip_prefix(addr).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn took_no_part(addr: &str, run: &str) -> Error {
    Error::usage_help(
        format!("`{addr}` took no part in run {run}"),
        "addresses are as in `partita plan GRAPH`; `partita runs` lists the runs",
    )
}

/// A reason as a sentence.
pub fn describe(reason: &Reason) -> String {
    let mut text = String::new();
    let _ = match reason {
        Reason::NeverSeen => write!(text, "it was never run before"),
        Reason::DefChanged { field, before, after } => {
            let line = |value: &str| value.replace('\n', "\\n");
            write!(text, "`{field}` changed from {} to {}", line(before), line(after))
        }
        Reason::InputChanged { path, how } => match how {
            InputChange::Edited => write!(text, "the input `{path}` changed"),
            InputChange::Added => write!(text, "the input `{path}` was not there before"),
            InputChange::Removed => write!(text, "the input `{path}` is there no longer"),
        },
        Reason::DepOutputChanged { addr, path } => write!(text, "`{path}`, made by `{addr}`, changed"),
        Reason::EnvChanged { var } => write!(text, "the variable `{var}` changed"),
        Reason::ToolChanged { name } => write!(text, "the tool `{name}` changed"),
        Reason::ServiceChanged { name } => write!(text, "the service `{name}`, or what it takes in, changed"),
        Reason::ClassChanged => write!(text, "its class or the isolation asked for changed"),
        Reason::SchemaChanged => write!(text, "the schema of keys changed"),
        Reason::Evicted => write!(text, "its result was known, but is no longer in the store"),
        Reason::BlobMissing { digest } => write!(text, "a part of its result is missing from the store: b3:{digest}"),
        Reason::BlobCorrupt { digest } => write!(text, "a part of its result was corrupt in the store: b3:{digest}"),
        Reason::WeakerSandbox => write!(text, "its result was made under a weaker isolation"),
        Reason::UntrustedWriter { writer } => {
            write!(text, "its result was written by {writer}, which does not count here")
        }
        Reason::BadSignature { writer } => write!(text, "its result has a signature that is not of {writer}"),
        Reason::TimeoutTightened => write!(text, "its result took longer than the timeout allows now"),
        Reason::PriorFailure => write!(text, "it failed the last time"),
        Reason::Forced => write!(text, "it was asked for by `--refresh`"),
        Reason::Volatile => write!(text, "its class is never cached"),
        Reason::Effect => write!(text, "it changes something outside, which no other run can do for it"),
        Reason::EffectDone { run } => write!(text, "it was done in run {run}, which this run takes up"),
        Reason::Replayed { run } => write!(text, "what was recorded in run {run} is given again"),
        Reason::BreakerOpen { tool } => {
            write!(text, "the tool `{tool}` failed so often in a row that it is not started again")
        }
        Reason::BudgetSpent { needed, left } => {
            let (needed, left) = (format_micro_usd(*needed), format_micro_usd(*left));
            write!(text, "it may cost ${needed}, and ${left} is left of the budget")
        }
        Reason::RunTimeout => write!(text, "the time of the run was up before it could start"),
        Reason::SameKey => write!(text, "nothing it depends on has changed since its last run"),
        Reason::KnownKey { run } => write!(text, "the same action was done before, in run {run}"),
        Reason::ProducerFailed { addr } => write!(text, "`{addr}`, which it needs, did not succeed"),
        Reason::Cancelled => write!(text, "the run was stopped before it was done"),
        Reason::RequireCached => write!(text, "its result is not known, and running was not allowed"),
        Reason::Approved { by } => write!(text, "it was approved by {}", by.join(", ")),
        Reason::ApprovalMissing => write!(text, "people have not approved it"),
    };
    text
}
