//! What can go wrong in an operation, with the kind that decides the exit status, a string code, and
//! what to do. Leaves out rendering.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::ErrorKind;
use crate::ops::places::SpecPlace;
use crate::{bundle, exec, store};

/// Why an operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// The specs have errors, which are reported as diagnostics.
    #[error("the specs have errors")]
    Spec,
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
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The executor could not run the plan.
    #[error("{error}")]
    Exec {
        /// Why.
        #[source]
        error: exec::Error,
        /// The node that it is about, if it is about one.
        place: Option<SpecPlace>,
    },
    /// The journal of a run could not be written or read.
    #[error(transparent)]
    Journal(#[from] crate::event::JournalError),
    /// The bundle could not be made or judged.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// Content that a run had just found whole is not in the store any more, or not whole.
    #[error("the content of `{}` was lost from the store", path.display())]
    Lost {
        /// What it was for.
        path: PathBuf,
    },
    /// The bundle could not be judged because of what the policy says.
    #[error("{error}")]
    Policy {
        /// Why.
        #[source]
        error: bundle::Error,
        /// The line of the policy.
        place: Option<SpecPlace>,
    },
    /// A later epoch of the policy was seen.
    #[error("the policy `{}` is of epoch {epoch}, and epoch {last} of it was seen: it may be an old one put back", policy.display())]
    PolicyOld {
        /// The policy.
        policy: PathBuf,
        /// Its epoch.
        epoch: u64,
        /// The last that was seen.
        last: u64,
        /// Where that is remembered.
        folder: PathBuf,
    },
    /// The policy is not signed as it must be.
    #[error("the policy `{}` is not signed as it must be: {why}", policy.display())]
    PolicyUnsigned {
        /// The policy.
        policy: PathBuf,
        /// Why not.
        why: String,
    },
    /// An action failed; the run's report says which.
    #[error("{failed} of the actions failed")]
    Failed {
        /// How many.
        failed: u64,
        /// The gravest kind among them.
        kind: ErrorKind,
    },
    /// The key that a bundle names is not there.
    #[error("there is no key `{name}`: `{}` is missing", path.display())]
    KeyMissing {
        /// The key.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A plan file is not signed by whom it must be.
    #[error("`{}` is not signed as asked for: {why}", path.display())]
    PlanSignature {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The report could not be made.
    #[error("the report could not be made: {0}")]
    Report(String),
    /// An audit said no.
    #[error("{0}")]
    Audit(String),
    /// A defect of ours.
    #[error("internal error: {0}")]
    Internal(String),
    /// Results were asked for that are not known.
    #[error("{} not known", counted(*missing, "result"))]
    NotCached {
        /// How many.
        missing: u64,
    },
    /// Records were asked for that are not in the cassette.
    #[error("{} not in the cassette", counted(*missing, "record"))]
    NotRecorded {
        /// How many.
        missing: u64,
    },
    /// People have not consented to what they are asked for.
    #[error("an approval is needed: {}", missing.join(", "))]
    Approval {
        /// The addresses of the approvals that are missing.
        missing: Vec<String>,
    },
    /// A check said no.
    #[error("{0}")]
    CheckFailed(String),
    /// Actions that were made again came out otherwise.
    #[error("{count} of the actions came out otherwise when they were made again")]
    Differs {
        /// How many.
        count: u64,
    },
    /// What goes into a bundle is held back.
    #[error("held back, as a check found that it does not come out the same each time:{}", shown(held))]
    Held {
        /// What was found, by address.
        held: BTreeMap<String, String>,
    },
    /// The run was stopped by a signal.
    #[error("stopped by signal {0}")]
    Signal(u8),
}

impl Error {
    /// A wrong request.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: None }
    }

    /// A wrong request, with what to do.
    pub fn usage_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()) }
    }

    /// Wraps an IO error with what was tried.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage { .. } => ErrorKind::Usage,
            Self::Spec => ErrorKind::Spec,
            Self::Io { .. } | Self::Lost { .. } => ErrorKind::Engine,
            Self::Store(error) => error.kind(),
            Self::Exec { error, .. } => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Bundle(error) | Self::Policy { error, .. } => error.kind(),
            Self::Failed { kind, .. } => *kind,
            Self::KeyMissing { .. } | Self::PolicyUnsigned { .. } | Self::PlanSignature { .. } => ErrorKind::Signature,
            Self::Approval { .. } => ErrorKind::Approval,
            Self::Report(_) => ErrorKind::Report,
            Self::Audit(_) => ErrorKind::Audit,
            Self::Internal(_) => ErrorKind::Internal,
            Self::NotCached { .. }
            | Self::NotRecorded { .. }
            | Self::CheckFailed(_)
            | Self::PolicyOld { .. }
            | Self::Differs { .. } => ErrorKind::CheckFailed,
            Self::Held { .. } => ErrorKind::Bundle,
            Self::Signal(number) => ErrorKind::Signal(*number),
        }
    }

    /// A stable code for programs.
    pub fn code(&self) -> String {
        match self {
            Self::Usage { .. } => "usage".to_owned(),
            Self::Spec => "spec".to_owned(),
            Self::Io { .. } => "io".to_owned(),
            Self::Lost { .. } => "lost".to_owned(),
            Self::Store(error) => error.code().to_owned(),
            Self::Exec { error, .. } => error.code().to_owned(),
            Self::Journal(_) => "journal".to_owned(),
            Self::Bundle(error) | Self::Policy { error, .. } => error.code().to_string(),
            Self::PolicyOld { .. } => "policy-old".to_owned(),
            Self::PolicyUnsigned { .. } => "policy-unsigned".to_owned(),
            Self::Failed { .. } => "action-failed".to_owned(),
            Self::KeyMissing { .. } => "key-missing".to_owned(),
            Self::PlanSignature { .. } => "plan-signature".to_owned(),
            Self::Approval { .. } => "approval".to_owned(),
            Self::Report(_) => "report".to_owned(),
            Self::Audit(_) => "audit".to_owned(),
            Self::Internal(_) => "internal".to_owned(),
            Self::NotCached { .. } => "not-cached".to_owned(),
            Self::NotRecorded { .. } => "not-recorded".to_owned(),
            Self::CheckFailed(_) => "check-failed".to_owned(),
            Self::Differs { .. } => "differs".to_owned(),
            Self::Held { .. } => "held".to_owned(),
            Self::Signal(_) => "signal".to_owned(),
        }
    }

    /// The place in the specs where its author can mend it.
    pub fn place(&self) -> Option<&SpecPlace> {
        match self {
            Self::Exec { place, .. } | Self::Policy { place, .. } => place.as_ref(),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Usage { help, .. } => help.clone(),
            // Outputs, journals and what else is written by name.
            Self::Io { source, path, .. } if is_full(source) => {
                Some(format!("make room where `{}` is", path.parent().unwrap_or(path).display()))
            }
            Self::Lost { .. } => Some("run again: what was lost is made anew".to_owned()),
            Self::KeyMissing { name, .. } => Some(format!("make it: `partita key generate {name}`")),
            Self::PlanSignature { .. } => Some("sign it: `partita plan GRAPH -o FILE --sign KEY`".to_owned()),
            Self::PolicyOld { folder, .. } => {
                Some(format!("get the newest; if it is this one, remove `{}`", folder.display()))
            }
            Self::PolicyUnsigned { policy, .. } => {
                Some(format!("sign it: `partita key sign-policy {} --key NAME`", policy.display()))
            }
            Self::NotCached { .. } => Some("leave out `--require-cached` to run them".to_owned()),
            Self::Differs { .. } => {
                Some("it is held back from bundles until `--check` finds it the same each time".to_owned())
            }
            Self::Held { held } => {
                let addr = held.keys().next().map_or("ADDR", String::as_str);
                let graph = addr.split('/').next().unwrap_or(addr);
                Some(format!("mend it, then let it be made again: `partita run {graph} --check={addr}`"))
            }
            Self::NotRecorded { .. } => Some("leave out `--replay-only` to ask them anew".to_owned()),
            Self::Store(error) | Self::Exec { error: exec::Error::Store(error), .. } => store_help(error),
            _ => None,
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// What is held back, a line each.
fn shown(held: &BTreeMap<String, String>) -> String {
    held.values().map(|why| format!("\n  {why}")).collect::<Vec<_>>().concat()
}

/// `1 result is`, `2 results are`.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what} is") } else { format!("{count} {what}s are") }
}

/// What to do about a store that refuses, as far as it can be told from how it does.
fn store_help(error: &store::Error) -> Option<String> {
    // History and ledger lie in the state directory.
    let of_state = matches!(error, store::Error::Io { path, .. } | store::Error::Index { path, .. }
    if path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with("history.sqlite") || name.starts_with("ledger.sqlite")
    }));
    let reads = matches!(error, store::Error::Io { what, .. }
        if ["read", "list", "open the folder"].iter().any(|verb| what.starts_with(verb)));
    let text = if reads && error.is_for_want_of_permission() {
        if of_state {
            "let this user read it, or name another state directory: `--state DIR`"
        } else {
            "let this user read the store, or name another: `--store DIR`"
        }
    } else if of_state && error.is_for_want_of_permission() {
        "let this user write there, or name another state directory: `--state DIR`"
    } else if of_state && error.is_for_want_of_room() {
        "make room where the state directory is, or name another one: `--state DIR`"
    } else if error.is_for_want_of_room() {
        "make room, by `partita store gc --max-age 30d` for instance, or name another store: `--store DIR`"
    } else if error.is_for_want_of_permission() {
        "let this user write there, or name another store: `--store DIR`"
    } else {
        return None;
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_which_place_is_full() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let of_store = |path: &str| store::Error::Io { what: "write", path: path.into(), source: full() };
        let help = |error: Error| error.help().expect("there is something to do");
        assert!(help(of_store("s/blobs/x").into()).contains("store gc"));
        let of_state = help(of_store("state/history.sqlite").into());
        assert!(of_state.contains("--state DIR") && !of_state.contains("store gc"), "{of_state}");
        let of_output = help(Error::Io { what: "write", path: "out/g/a/o".into(), source: full() });
        assert_eq!(of_output, "make room where `out/g/a` is");
    }
}
