//! What can go wrong: failures of one action, which the run survives, and errors that end the run.
//! Leaves out what a process printed, which is kept as logs.

use std::path::PathBuf;

use crate::base::{Digest, ErrorKind, format_micro_usd};
use crate::plan::{ActionId, Concern, Isolation, RetryOn};
use crate::store::Error as StoreError;

/// In which way an action failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// A tool of it is not on this machine.
    ToolMissing,
    /// A tool is there, but would not tell its identity or has the wrong version.
    ToolUnfit,
    /// Its inputs cannot be brought together.
    Input,
    /// Its process could not be started.
    Start {
        /// For want of processes, memory or open files, which may be there the next time.
        resources: bool,
    },
    /// Its process ended with this status, which is not 0.
    Exit(i32),
    /// Its process was ended by this signal, which was not ours.
    Signal(i32),
    /// It took longer than its timeout.
    Timeout,
    /// Its process asked the terminal for input, which actions do not have.
    Terminal,
    /// It used more than it may.
    Limit,
    /// Processes of it could not be killed.
    Unkillable,
    /// Its outputs are not as declared.
    Output,
    /// Its outputs do not have the declared digests.
    Digest,
    /// An output does not fit the schema it is declared with.
    Schema,
    /// A template or JSON file is wrong.
    Content,
    /// It may have happened, and nobody knows.
    Unknown,
    /// An API did not answer as it should.
    Http {
        /// For a cause that may be gone the next time: it is too busy, or was not reached.
        transient: bool,
    },
    /// Its record is not in the cassette, and only what is may be given.
    NotRecorded,
    /// Its record in the cassette is not as it was recorded.
    Damaged,
    /// A service it uses did not become ready, or did not live.
    Service,
    /// A gate says no.
    Gate(Concern),
    /// People have not consented.
    Approval,
    /// It may cost more than is left.
    Budget,
}

impl FailureClass {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::ToolMissing => "tool-missing",
            Self::ToolUnfit => "tool-unfit",
            Self::Input => "input",
            Self::Start { .. } => "start",
            Self::Exit(_) => "exit",
            Self::Signal(_) => "signal",
            Self::Timeout => "timeout",
            Self::Terminal => "terminal",
            Self::Limit => "limit",
            Self::Unkillable => "unkillable",
            Self::Output => "output",
            Self::Digest => "digest",
            Self::Schema => "schema",
            Self::Content => "content",
            Self::Service => "service",
            Self::Gate(_) => "gate",
            Self::Approval => "approval",
            Self::Unknown => "unknown",
            Self::NotRecorded => "not-recorded",
            Self::Damaged => "damaged",
            Self::Http { .. } => "http",
            Self::Budget => "budget",
        }
    }

    /// A stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::ToolMissing => "E0201",
            Self::ToolUnfit => "E0202",
            Self::Input => "E0203",
            Self::Start { .. } => "E0204",
            Self::Exit(_) => "E0205",
            Self::Signal(_) => "E0206",
            Self::Timeout => "E0207",
            Self::Limit => "E0218",
            Self::Unkillable => "E0208",
            Self::Output => "E0209",
            Self::Digest => "E0210",
            Self::Schema => "E0221",
            Self::Content => "E0211",
            Self::Terminal => "E0212",
            Self::Service => "E0213",
            Self::Gate(_) => "E0216",
            Self::Approval => "E0217",
            Self::Unknown => "E0214",
            Self::NotRecorded => "E0215",
            Self::Damaged => "E0222",
            Self::Http { .. } => "E0219",
            Self::Budget => "E0220",
        }
    }

    /// Whether a policy that retries on `on` retries this.
    pub fn is_retried(self, on: RetryOn) -> bool {
        /// `EX_TEMPFAIL` of `sysexits.h`: the command asks to be tried again.
        const EX_TEMPFAIL: i32 = 75;
        let transient = matches!(
            self,
            Self::Exit(EX_TEMPFAIL)
                | Self::Signal(_)
                | Self::Start { resources: true }
                | Self::Http { transient: true }
        );
        match on {
            RetryOn::Transient => transient,
            RetryOn::Timeout => transient || self == Self::Timeout,
            RetryOn::Any => {
                matches!(self, Self::Exit(_) | Self::Signal(_) | Self::Timeout | Self::Start { .. } | Self::Http { .. })
            }
        }
    }
}

/// A failure of one action, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// In which way.
    pub class: FailureClass,
    /// What went wrong, what was tried, and how to help it; may have several lines.
    pub text: String,
    /// Which requirement of a gate it is about, from 0.
    pub clause: Option<u32>,
}

impl Failure {
    /// A failure of a class with its text.
    pub fn new(class: FailureClass, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), clause: None }
    }

    /// The kind, which decides the exit status of a run that had no worse.
    pub fn kind(&self) -> ErrorKind {
        match self.class {
            FailureClass::ToolMissing => ErrorKind::ToolMissing,
            FailureClass::Service => ErrorKind::Service,
            FailureClass::Gate(Concern::Tests) => ErrorKind::Tests,
            FailureClass::Gate(Concern::Performance) => ErrorKind::Performance,
            FailureClass::Gate(Concern::Artifact) => ErrorKind::Artifact,
            FailureClass::Gate(Concern::Security) => ErrorKind::Security,
            FailureClass::Approval => ErrorKind::Approval,
            FailureClass::Budget => ErrorKind::Budget,
            FailureClass::Unknown | FailureClass::Damaged => ErrorKind::Approval,
            FailureClass::NotRecorded => ErrorKind::CheckFailed,
            _ => ErrorKind::ActionFailed,
        }
    }
}

/// Why a run could not be carried through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refused.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The machine refused something that has no path.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An action needs more of a pool than there is.
    #[error(
        "`{addr}` needs {amount} of `{pool}`, but there are {capacity}: ask for less, or give the pool more \
         (`cpu` grows with `-j`)"
    )]
    PoolTooSmall {
        /// The action.
        addr: String,
        /// The pool.
        pool: String,
        /// What it asks for.
        amount: u64,
        /// What there is.
        capacity: u64,
    },
    /// An action holds a pool that nobody declared.
    #[error("`{addr}` holds `{pool}`, which is no pool of the plan")]
    PoolUnknown {
        /// The action.
        addr: String,
        /// The pool.
        pool: String,
    },
    /// The isolation asked for is not to be had, so nothing was run.
    #[error(
        "`{addr}` must run under isolation `{}`, but this machine offers `{}`: ask for less, or run where it is \
         available{}{lack}",
        wanted.word(),
        offered.word(),
        if lack.is_empty() { "" } else { "\n" }
    )]
    Isolation {
        /// The first action that needs it.
        addr: String,
        /// What is asked for.
        wanted: Isolation,
        /// What there is.
        offered: Isolation,
        /// Why there is no more, and what to do about it.
        lack: String,
    },
    /// It would cost more than it may.
    #[error(
        "it is expected to cost {}, and may cost {}: nothing was run",
        format_micro_usd(*wanted),
        format_micro_usd(*budget)
    )]
    Budget {
        /// What it is expected to cost, in micro-dollars.
        wanted: u64,
        /// What it may.
        budget: u64,
    },
    /// The plan is not a graph without cycles, or names an action it does not have.
    #[error("the plan is malformed: {0}")]
    Plan(String),
    /// A blob was lost again and again, each time after it had been made anew.
    #[error("the store loses blob `{digest}` of `{addr}` as often as it is made: is another process deleting it?")]
    StoreLoses {
        /// The producer.
        addr: String,
        /// The blob.
        digest: Digest,
    },
}

impl Error {
    /// Wraps an IO error with what was tried.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Io { .. } => "E0101",
            Self::System { .. } => "E0102",
            Self::PoolTooSmall { .. } => "E0103",
            Self::PoolUnknown { .. } => "E0104",
            Self::Isolation { .. } => "E0105",
            Self::Plan(_) => "E0106",
            Self::StoreLoses { .. } => "E0107",
            Self::Budget { .. } => "E0108",
        }
    }

    /// The action that it is about, if it is about one.
    pub fn addr(&self) -> Option<&str> {
        match self {
            Self::PoolTooSmall { addr, .. }
            | Self::PoolUnknown { addr, .. }
            | Self::Isolation { addr, .. }
            | Self::StoreLoses { addr, .. } => Some(addr),
            Self::Store(_) | Self::Io { .. } | Self::System { .. } | Self::Plan(_) | Self::Budget { .. } => None,
        }
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Io { .. } | Self::System { .. } | Self::StoreLoses { .. } => ErrorKind::Engine,
            Self::PoolTooSmall { .. } => ErrorKind::Usage,
            Self::Budget { .. } => ErrorKind::Budget,
            Self::Isolation { .. } => ErrorKind::Isolation,
            Self::PoolUnknown { .. } | Self::Plan(_) => ErrorKind::Internal,
        }
    }
}

/// What stops the work on one action.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The action failed.
    Fail(Failure),
    /// A blob it needs is gone from the store; its producer can make it again.
    Lost(Lost),
    /// The run was cancelled.
    Cancelled,
    /// The run cannot go on.
    Fatal(Error),
}

/// A blob that should be in the store and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The blob.
    pub digest: Digest,
    /// Whether it was there with the wrong bytes.
    pub corrupt: bool,
    /// Who can make it again; `None`: it is a snapshot of the workspace.
    pub producer: Option<ActionId>,
}

impl Trouble {
    pub(super) fn input(text: impl Into<String>) -> Self {
        Self::Fail(Failure::new(FailureClass::Input, text))
    }

    pub(super) fn output(text: impl Into<String>) -> Self {
        Self::Fail(Failure::new(FailureClass::Output, text))
    }

    /// Names who can make a lost blob again, if that is not known yet.
    pub(super) fn made_by(self, action: ActionId) -> Self {
        match self {
            Self::Lost(lost) => Self::Lost(Lost { producer: lost.producer.or(Some(action)), ..lost }),
            other => other,
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Fatal(Error::Store(error))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}
