//! Statements that the reader of a bundle signs: that it was verified, or made again. Leaves out judging.

use std::path::Path;

use crate::base::Environment;
use crate::bundle::{Inspected, Summary, inspect, verification_summary};
use crate::ops::Error;
use crate::ops::bundles::Judged;
use crate::ops::keys::{open_signer, sign_statement};
use crate::ops::run::write_atomically;

/// Where a statement goes, and who signs it.
pub struct Attest<'a> {
    /// The file to write: one DSSE envelope.
    pub file: &'a Path,
    /// The folder of the keys.
    pub keys: &'a Path,
    /// The key.
    pub key: &'a str,
    /// For its passphrase.
    pub environment: &'a Environment,
}

/// Signs a statement and writes it.
pub(super) fn write_signed(attest: &Attest<'_>, statement: &[u8]) -> Result<(), Error> {
    let key = open_signer(attest.keys, attest.key, attest.environment)?;
    write_atomically(attest.file, &sign_statement(&key, statement)?)
}

/// Writes a verification summary of a bundle that was judged.
pub fn attest_verified(judged: &Judged, levels: &[&str], attest: &Attest<'_>) -> Result<(), Error> {
    let inspected = inspect(&judged.archive)?;
    attest_summary(&inspected, (&judged.policy, &judged.policy_sha256), judged.verdict.accepted(), levels, attest)
}

/// Writes a verification summary.
pub fn attest_summary(
    inspected: &Inspected,
    policy: (&str, &str),
    passed: bool,
    levels: &[&str],
    attest: &Attest<'_>,
) -> Result<(), Error> {
    write_signed(attest, &verification_summary(inspected, &Summary { policy, passed, levels }))
}
