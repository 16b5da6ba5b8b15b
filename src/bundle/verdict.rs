//! What a verification answers: each check by name, with why it refused and which line of the trust
//! policy said so. Leaves out how the checks are made.

use std::fmt;

use crate::bundle::code::Code;
use crate::bundle::policy::Place;

macro_rules! checks {
    ($($check:ident $word:literal $title:literal;)*) => {
        /// A check, in the order they are made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the title in the table is the documentation")]
        pub enum CheckName { $($check),* }

        impl CheckName {
            /// Every check, in order.
            pub const ALL: &[CheckName] = &[$(CheckName::$check),*];

            /// The word in reports.
            pub fn word(self) -> &'static str {
                match self { $(CheckName::$check => $word),* }
            }

            /// What holds when it passes.
            pub fn title(self) -> &'static str {
                match self { $(CheckName::$check => $title),* }
            }
        }
    };
}

checks! {
    Envelopes "envelopes" "the envelopes are in canonical form";
    Sigstore "sigstore" "the Sigstore bundle is that of the first envelope";
    Signatures "signatures" "no signature is wrong";
    Statements "statements" "every statement is about this archive";
    Provenance "provenance" "the provenance is complete and about this bundle";
    Trust "trust" "the policy accepts signers and builders";
    Source "source" "the policy accepts the source of the specs";
    Version "version" "the version is not below the minimum";
    Log "log" "no proof of a transparency log is wanting";
    Archive "archive" "the archive is the one that was signed";
    Layout "layout" "every byte of the archive is canonical";
    Sums "sums" "the list of checksums is complete and right";
    Manifest "manifest" "the manifest describes the contents and the provenance";
    Spdx "spdx" "the SPDX document describes the contents";
    Cyclonedx "cyclonedx" "the CycloneDX document describes the contents";
}

/// Why a check said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The reason, for people.
    pub reason: String,
    /// The place of the trust policy that decided it, where one did.
    pub place: Option<Place>,
}

impl Refusal {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), place: None }
    }

    pub(crate) fn at(mut self, place: Option<&Place>) -> Self {
        self.place = place.cloned();
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It passed; what it found, in short.
    Passed(String),
    /// It said no.
    Refused(Refusal),
    /// It was not reached, as one before it said no.
    Skipped,
}

/// One check and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub name: CheckName,
    /// How.
    pub status: Status,
}

/// What is known of a bundle once its signatures and the policy have passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The bundle's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whose it is.
    pub tenant: String,
    /// The graph that made it.
    pub graph: String,
    /// The BLAKE3 digest of the plan, in hexadecimal.
    pub plan: String,
    /// Who built it.
    pub builders: Vec<String>,
    /// The names in the policy of the keys that signed.
    pub signers: Vec<String>,
    /// The types of the attestations, in order.
    pub predicates: Vec<String>,
    /// The SHA-256 of the archive.
    pub sha256: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// What was signed; `None` unless signatures and policy passed.
    pub facts: Option<Facts>,
}

impl Verdict {
    /// Whether every check passed.
    pub fn accepted(&self) -> bool {
        self.checks.iter().all(|check| matches!(check.status, Status::Passed(_)))
    }

    /// What was refused, in order.
    pub fn refusals(&self) -> impl Iterator<Item = (CheckName, &Refusal)> {
        self.checks.iter().filter_map(|check| match &check.status {
            Status::Refused(refusal) => Some((check.name, refusal)),
            _ => None,
        })
    }

    /// How a check ended.
    pub fn status(&self, name: CheckName) -> &Status {
        self.checks.iter().find(|check| check.name == name).map_or(&Status::Skipped, |check| &check.status)
    }
}

/// Collects checks as they end.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    done: Vec<Check>,
}

impl Checks {
    /// Records how a check ended, and hands on what it found.
    pub(crate) fn record<T>(&mut self, name: CheckName, result: Result<(T, String), Refusal>) -> Option<T> {
        let (status, value) = match result {
            Ok((value, note)) => (Status::Passed(note), Some(value)),
            Err(refusal) => (Status::Refused(refusal), None),
        };
        self.done.push(Check { name, status });
        value
    }

    /// Whether none has refused.
    pub(crate) fn clean(&self) -> bool {
        self.done.iter().all(|check| matches!(check.status, Status::Passed(_)))
    }

    /// The verdict, with what was not reached as skipped.
    pub(crate) fn verdict(mut self, facts: Option<Facts>) -> Verdict {
        for name in CheckName::ALL {
            if !self.done.iter().any(|check| check.name == *name) {
                self.done.push(Check { name: *name, status: Status::Skipped });
            }
        }
        self.done.sort_by_key(|check| check.name);
        Verdict { checks: self.done, facts }
    }
}

/// Bounds on what a stranger's bundle may make us hold in memory. All are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyLimits {
    /// Bytes of the file of envelopes, and of the Sigstore bundle.
    pub envelope_bytes: u64,
    /// Envelopes.
    pub envelopes: usize,
    /// Entries of an archive.
    pub entries: u64,
    /// Bytes of all their names.
    pub name_bytes: u64,
    /// Bytes of one document in `META/`.
    pub document_bytes: u64,
}

impl Default for VerifyLimits {
    /// Enough for a bundle of a million files. None of this is held in memory, but for some 50 bytes of each entry.
    fn default() -> Self {
        Self {
            envelope_bytes: 4 * 1024 * 1024 * 1024,
            envelopes: 256,
            entries: 1_000_000,
            name_bytes: 128 * 1024 * 1024,
            document_bytes: 1024 * 1024 * 1024,
        }
    }
}
