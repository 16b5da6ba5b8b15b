//! The closed set of events, in the past tense, and the reason codes. Leaves out wording for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Check;

/// How an action ended in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was executed and succeeded.
    Ran,
    /// Its result was known, and nothing above it ran.
    Cached,
    /// Something above it ran, yet its inputs came out equal: its result was known.
    CutOff,
    /// It was executed and failed.
    Failed,
    /// It was not tried because something above it failed, or the run was stopped.
    Skipped,
}

/// In which way a file that an action takes in is otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InputChange {
    /// It has other content, or another mode.
    #[default]
    Edited,
    /// It was not there.
    Added,
    /// It is there no longer.
    Removed,
}

impl InputChange {
    /// What is found of it before and now.
    pub fn of(before: bool, now: bool) -> Self {
        match (before, now) {
            (false, true) => Self::Added,
            (true, false) => Self::Removed,
            _ => Self::Edited,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    fn is_edit(&self) -> bool {
        *self == Self::Edited
    }
}

/// Why an action ran, or why it was a hit: closed, with the field, path or variable behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum Reason {
    /// No result of this address or definition is on record.
    NeverSeen,
    /// A field of the definition changed.
    DefChanged {
        /// The field.
        field: String,
        /// Its value before, for people.
        before: String,
        /// Its value now, for people.
        after: String,
    },
    /// A file of the workspace changed.
    InputChanged {
        /// Its path.
        path: String,
        /// In which way; not written of one that is there as before, with other content.
        #[serde(default, skip_serializing_if = "InputChange::is_edit")]
        how: InputChange,
    },
    /// An output of another action changed.
    DepOutputChanged {
        /// The address of the producer.
        addr: String,
        /// The path as the action sees it.
        path: String,
    },
    /// A variable of the environment changed.
    EnvChanged {
        /// The variable.
        var: String,
    },
    /// A tool changed.
    ToolChanged {
        /// The tool.
        name: String,
    },
    /// The class or the isolation asked for changed.
    ClassChanged,
    /// A service it uses changed.
    ServiceChanged {
        /// The service.
        name: String,
    },
    /// The schema of the key changed.
    SchemaChanged,
    /// It was known, and the store no longer has it.
    Evicted,
    /// The result is known, but a blob of it is missing.
    BlobMissing {
        /// The digest.
        digest: String,
    },
    /// The result is known, but a blob of it is corrupt and was quarantined.
    BlobCorrupt {
        /// The digest.
        digest: String,
    },
    /// The result was made under a weaker isolation.
    WeakerSandbox,
    /// The result is on record, but not by a writer that counts here.
    UntrustedWriter {
        /// The writer, or where it was recorded.
        writer: String,
    },
    /// The result is on record with a signature that is not of its writer.
    BadSignature {
        /// Who it says it is by.
        writer: String,
    },
    /// The result took longer than the timeout allows now.
    TimeoutTightened,
    /// The last try failed.
    PriorFailure,
    /// The user asked for it.
    Forced,
    /// The class is never cached.
    Volatile,
    /// The class changes something outside, and is never served from another run.
    Effect,
    /// A hit: an effect was done by a run that did not end well, which this one takes up.
    EffectDone {
        /// That run.
        run: String,
    },
    /// A hit: what was recorded is given again from the cassette.
    Replayed {
        /// The run that recorded it.
        run: String,
    },
    /// A hit: the key is the same as in the last run of this address.
    SameKey,
    /// A hit: the key is on record from another run, address or workspace.
    KnownKey {
        /// The run that made it.
        run: String,
    },
    /// Not executed: a producer failed.
    ProducerFailed {
        /// The address of the producer.
        addr: String,
    },
    /// Not executed: the run was stopped before it could start.
    Cancelled,
    /// Not executed: a tool of it failed so often in a row that it is not started again.
    BreakerOpen {
        /// The tool.
        tool: String,
    },
    /// Not executed: it may cost more than is left of the budget.
    BudgetSpent {
        /// What it costs at most, in micro-dollars.
        needed: u64,
        /// What is left, in micro-dollars.
        left: u64,
    },
    /// Not executed: the time of the run was up before it could start.
    RunTimeout,
    /// Not executed: only results already known were allowed.
    RequireCached,
    /// An approval: people have given it.
    Approved {
        /// Who, sorted.
        by: Vec<String>,
    },
    /// An approval: it is not on record, or counts no more.
    ApprovalMissing,
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Executed and succeeded.
    pub ran: u64,
    /// Known.
    pub cached: u64,
    /// Known, though something above ran.
    pub cut_off: u64,
    /// Executed and failed.
    pub failed: u64,
    /// Not tried.
    pub skipped: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            ran: self.ran + other.ran,
            cached: self.cached + other.cached,
            cut_off: self.cut_off + other.cut_off,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// How grave it is that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing comes of what was asked for, or of the action.
    Error,
    /// Look here.
    Warning,
    /// Information.
    Note,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A run began.
    RunStarted {
        /// What was asked for.
        target: String,
        /// The plan's digest in hexadecimal.
        plan: String,
        /// How many actions the targets need.
        actions: u64,
    },
    /// An attempt of an action began.
    ActionStarted {
        /// The address.
        addr: String,
        /// From 1.
        attempt: u32,
        /// Why it runs.
        reason: Reason,
        /// How long it took before, in milliseconds, if that is on record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usual_ms: Option<u64>,
    },
    /// What is still to be done was estimated from earlier runs, once, when something had to run.
    RunEstimated {
        /// Actions that are not done.
        open: u64,
        /// Those of them of which it is on record how long they took.
        known: u64,
        /// How long these took together, in milliseconds.
        work_ms: u64,
        /// What they take however many run at once, in milliseconds: by their order and by resources.
        least_ms: u64,
        /// How many actions run at once at the most.
        jobs: u64,
    },
    /// An action that must run waits as others hold what it needs.
    ActionWaits {
        /// The address.
        addr: String,
        /// The resources of which too little is free, sorted.
        resources: Vec<String>,
    },
    /// An attempt failed and will be made again.
    ActionRetried {
        /// The address.
        addr: String,
        /// The attempt that failed.
        attempt: u32,
        /// How.
        failure: String,
        /// How long until the next, in milliseconds.
        delay_ms: u64,
    },
    /// An action ended.
    ActionFinished {
        /// The address.
        addr: String,
        /// How.
        outcome: Outcome,
        /// Why it ran, was a hit, or was not tried.
        reason: Reason,
        /// The action key, if it came to be known.
        key: Option<String>,
        /// Milliseconds of the last attempt; 0 for hits.
        duration_ms: u64,
        /// What it counted for in the estimate of the run, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usual_ms: Option<u64>,
        /// For a failure: what went wrong, for people.
        failure: Option<String>,
        /// Where the output of the process is kept: digests of stdout and stderr.
        logs: Option<[String; 2]>,
        /// What its attempts spent on models, where it asked any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Spent>,
    },
    /// An action was made again, to see whether it comes out the same.
    ActionChecked {
        /// The address.
        addr: String,
        /// What came of it.
        check: Check,
    },
    /// A service was started.
    ServiceStarted {
        /// The service.
        service: String,
    },
    /// A service became ready.
    ServiceReady {
        /// The service.
        service: String,
        /// Milliseconds from its start.
        duration_ms: u64,
    },
    /// A service ended: it was stopped, or it failed.
    ServiceStopped {
        /// The service.
        service: String,
        /// For a failure: what went wrong, for people.
        failure: Option<String>,
    },
    /// A blob of the store did not hold the bytes its name says.
    BlobQuarantined {
        /// The digest.
        digest: String,
    },
    /// Something the user should know.
    Notice {
        /// One line.
        text: String,
    },
    /// Something was found wrong: in a spec, with an action, with the command. Only in the stream of `--progress json`,
    /// in place of what people are told; in no journal.
    Reported {
        /// How grave it is.
        severity: Severity,
        /// The code of a diagnostic or of an error.
        code: String,
        /// What is wrong, for people.
        text: String,
        /// The address of the action, where it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        addr: Option<String>,
        /// The place in a spec, as `file:line:column`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// What to do, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// A run ended.
    RunFinished {
        /// The counts.
        counts: Counts,
        /// Milliseconds.
        duration_ms: u64,
    },
}

/// What was spent on models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Tokens that were given.
    pub input_tokens: u64,
    /// Tokens that were made.
    pub output_tokens: u64,
    /// What they cost, in micro-dollars.
    pub micro_usd: u64,
}

impl Spent {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
        }
    }
}
