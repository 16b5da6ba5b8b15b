//! What became of a run: its report, in memory and as JSON. Leaves out how it is shown to people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::base::{ActionKey, Digest, Entry, ErrorKind, RelPath, Timestamp};
use crate::event::{Check, Counts, Outcome, Reason, Spent, Verdict};
use crate::exec::{Failure, FileMeta};
use crate::plan::{OutputKind, ToolIdentity};

/// An output that an action has, made or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputReport {
    /// The name.
    pub name: String,
    /// Where it lies below the action's directory.
    pub path: RelPath,
    /// File or folder.
    pub kind: OutputKind,
    /// What it is, in the store.
    pub entry: Entry,
    /// Bytes; of a folder, those of all files in it.
    pub size: u64,
}

impl OutputReport {
    /// The digest of the blob or of the tree.
    pub fn digest(&self) -> Option<Digest> {
        match &self.entry {
            Entry::File { digest, .. } | Entry::Dir { digest } => Some(*digest),
            Entry::Symlink { .. } => None,
        }
    }
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionReport {
    /// The address.
    pub addr: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ran, was a hit, or was not tried.
    pub reason: Reason,
    /// The key, if it came to be known.
    pub key: Option<ActionKey>,
    /// Milliseconds of the last attempt; 0 for hits.
    pub duration_ms: u64,
    /// How many attempts were made.
    pub attempts: u32,
    /// The outputs, sorted by name; none if it failed or was not tried.
    pub outputs: Vec<OutputReport>,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// Digests of what the process printed on standard output and standard error.
    pub logs: Option<[Digest; 2]>,
    /// What its attempts spent on models in this run.
    pub spent: Option<Spent>,
    /// What came of making it again, if that was asked for.
    pub check: Option<Check>,
}

/// Everything of the machine that a run's outcome rests on, besides the plan: as long as all of it
/// is as it was, the same plan would come out the same. Metadata was taken before what it describes
/// was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Files of the workspace that were taken.
    pub files: BTreeMap<RelPath, (Digest, FileMeta)>,
    /// Folders of the workspace that patterns listed, relative to its root; the empty text is the root.
    pub folders: BTreeMap<String, FileMeta>,
    /// Paths of the workspace that were looked for and not there.
    pub absent: BTreeSet<String>,
    /// Links to folders that wildcards met and that were not followed, with what each and its end were.
    pub links: BTreeMap<String, (FileMeta, FileMeta)>,
    /// The files that patterns match, where that is not one file of the pattern's own name.
    pub patterns: BTreeMap<String, Vec<RelPath>>,
    /// Executables by the names of their tools in the plan.
    pub programs: BTreeMap<String, PathBuf>,
}

/// What became of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReport {
    /// The name.
    pub name: String,
    /// Whether it was started: it is not where nothing that uses it had to run.
    pub started: bool,
    /// Milliseconds from its start until it was ready.
    pub ready_ms: Option<u64>,
    /// What went wrong.
    pub failure: Option<String>,
    /// The file that holds what it printed.
    pub log: Option<PathBuf>,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// The run.
    pub run: String,
    /// What was asked for.
    pub target: String,
    /// The plan.
    pub plan: Digest,
    /// When it began.
    pub started: Timestamp,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// The counts.
    pub counts: Counts,
    /// Whether it was stopped by the cancel token.
    pub cancelled: bool,
    /// The actions that the targets need, in address order.
    pub actions: Vec<ActionReport>,
    /// How many more the targets need, that were not looked at as nothing they depend on changed since the run
    /// before. They count as cached.
    pub unchanged: u64,
    /// The services that these actions use, by name.
    pub services: Vec<ServiceReport>,
    /// The tools that were looked at, by their names in the plan.
    pub tools: BTreeMap<String, ToolIdentity>,
    /// What was looked at.
    pub seen: Seen,
}

impl RunReport {
    /// The version of the written form.
    pub const VERSION: u32 = 1;

    /// What came of two parts of one run, the second after the first.
    pub(super) fn and(mut self, later: Self) -> Self {
        self.actions.extend(later.actions);
        self.actions.sort_by(|a, b| a.addr.cmp(&b.addr));
        self.services.extend(later.services);
        self.tools.extend(later.tools);
        self.seen.files.extend(later.seen.files);
        self.seen.folders.extend(later.seen.folders);
        self.seen.absent.extend(later.seen.absent);
        self.seen.patterns.extend(later.seen.patterns);
        self.seen.programs.extend(later.seen.programs);
        self.counts = self.counts.plus(later.counts);
        self.cancelled |= later.cancelled;
        self
    }

    /// What decides the exit status; `None` if all went well. A cancelled run is not judged here:
    /// only the front knows by which signal it was stopped.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        let failures = self.actions.iter().filter_map(|action| action.failure.as_ref());
        if let Some(kind) = gravest(failures.map(Failure::kind)) {
            return Some(kind);
        }
        if self.actions.iter().any(|action| action.reason == Reason::RunTimeout) {
            return Some(ErrorKind::ActionFailed);
        }
        let not_cached = |action: &ActionReport| action.reason == Reason::RequireCached;
        (self.actions.iter().any(not_cached) || self.differing() > 0).then_some(ErrorKind::CheckFailed)
    }

    /// Whether it was stopped before its end, by the cancel token or by a failure in a run beside it.
    pub fn is_cut_short(&self) -> bool {
        self.cancelled || self.actions.iter().any(|action| action.reason == Reason::Cancelled)
    }

    /// How many actions were made again and came out otherwise.
    pub fn differing(&self) -> u64 {
        self.checks(Verdict::Different)
    }

    /// How many actions came to a verdict when they were made again.
    pub fn checks(&self, verdict: Verdict) -> u64 {
        let checks = self.actions.iter().filter_map(|action| action.check.as_ref());
        checks.filter(|check| check.verdict == verdict).count() as u64
    }

    /// What the run spent on models, if it asked any.
    pub fn spent(&self) -> Option<Spent> {
        self.actions.iter().filter_map(|action| action.spent).reduce(Spent::plus)
    }

    /// The action at an address.
    pub fn action(&self, addr: &str) -> Option<&ActionReport> {
        let found = self.actions.binary_search_by(|action| action.addr.as_str().cmp(addr));
        found.ok().map(|index| &self.actions[index])
    }

    /// The written form.
    pub fn to_json(&self) -> Json {
        let mut report = json!({
            "v": Self::VERSION,
            "run": self.run,
            "target": self.target,
            "plan": self.plan.hex(),
            "started": self.started.to_string(),
            "duration_ms": self.duration_ms,
            "ran": self.counts.ran,
            "cached": self.counts.cached,
            "cut_off": self.counts.cut_off,
            "failed": self.counts.failed,
            "skipped": self.counts.skipped,
            "cancelled": self.cancelled,
            "actions": self.actions.iter().map(action_json).collect::<Vec<_>>(),
        });
        if self.unchanged > 0 {
            report["unchanged"] = json!(self.unchanged);
        }
        if let Some(spent) = self.spent() {
            report["spent"] = json!(spent);
        }
        if !self.services.is_empty() {
            report["services"] = self.services.iter().map(service_json).collect();
        }
        report
    }
}

/// The first of the gravest of what went wrong.
pub fn gravest(kinds: impl Iterator<Item = ErrorKind>) -> Option<ErrorKind> {
    // What only waits for people is the least of what can be wrong.
    let weight = |kind: &ErrorKind| match kind {
        ErrorKind::Approval => 0,
        ErrorKind::ActionFailed => 1,
        _ => 2,
    };
    let kinds: Vec<ErrorKind> = kinds.collect();
    kinds.into_iter().rev().max_by_key(weight)
}

fn service_json(service: &ServiceReport) -> Json {
    json!({
        "name": service.name,
        "started": service.started,
        "ready_ms": service.ready_ms,
        "failure": service.failure,
        "log": service.log.as_ref().map(|path| path.display().to_string()),
    })
}

fn action_json(action: &ActionReport) -> Json {
    let mut line = without_spending(action);
    if let Some(spent) = action.spent {
        line["spent"] = json!(spent);
    }
    line
}

fn without_spending(action: &ActionReport) -> Json {
    let outputs = action.outputs.iter().map(|output| {
        json!({
            "name": output.name,
            "path": output.path.as_str(),
            "kind": output.kind.word(),
            "digest": output.digest().map(|digest| digest.hex()),
            "size": output.size,
        })
    });
    let mut object = json!({
        "addr": action.addr,
        "outcome": action.outcome,
        "reason": action.reason,
        "key": action.key.map(|key| key.to_string()),
        "duration_ms": action.duration_ms,
        "attempts": action.attempts,
        "outputs": outputs.collect::<Vec<_>>(),
        "failure": action.failure.as_ref().map(|failure| failure.text.clone()),
        "failure_code": action.failure.as_ref().map(|failure| failure.class.code()),
        "failure_class": action.failure.as_ref().map(|failure| failure.class.word()),
        "logs": action.logs.map(|logs| logs.map(|digest| digest.hex())),
    });
    if let Some(check) = &action.check {
        object["check"] = json!(check);
    }
    object
}

/// Counts outcomes.
pub(super) fn count(actions: &BTreeMap<u32, ActionReport>) -> Counts {
    let mut counts = Counts::default();
    for action in actions.values() {
        let count = match action.outcome {
            Outcome::Ran => &mut counts.ran,
            Outcome::Cached => &mut counts.cached,
            Outcome::CutOff => &mut counts.cut_off,
            Outcome::Failed => &mut counts.failed,
            Outcome::Skipped => &mut counts.skipped,
        };
        *count += 1;
    }
    counts
}
