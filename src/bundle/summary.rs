//! Statements about a bundle that others make than its builder: a verification summary (SLSA v1, VSA) and a
//! list of known vulnerabilities (in-toto vulns v0.2). Without the time, so equal judgements are equal bytes.
//! Leaves out judging.

use serde_json::{Value, json};

use crate::bundle::inspect::Inspected;
use crate::bundle::statement::statement;
use crate::bundle::uri;

/// A verification summary.
pub const SUMMARY_TYPE: &str = "https://slsa.dev/verification_summary/v1";
/// Known vulnerabilities.
pub const VULNS_TYPE: &str = "https://in-toto.io/attestation/vulns/v0.2";
/// The level of a bundle that was made again, byte for byte. SLSA leaves names that do not begin with
/// `SLSA_` to its users.
pub const REPRODUCED: &str = "PARTITA_REPRODUCED";
/// The level of a bundle that has signed provenance.
pub const BUILD_LEVEL_1: &str = "SLSA_BUILD_LEVEL_1";
/// Who verifies: this program.
const VERIFIER: &str = "https://partita.example/verifiers/v1";

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary<'a> {
    /// The policy: a name for people, and its SHA-256 in hexadecimal.
    pub policy: (&'a str, &'a str),
    /// Whether it passed.
    pub passed: bool,
    /// What it reached, if it passed.
    pub levels: &'a [&'a str],
}

/// The statement that a bundle was verified, in canonical bytes, ready to be signed.
pub fn verification_summary(inspected: &Inspected, summary: &Summary<'_>) -> Vec<u8> {
    let levels: Vec<&str> = if summary.passed { summary.levels.to_vec() } else { vec!["FAILED"] };
    let (policy, sha256) = summary.policy;
    statement(
        &inspected.subjects,
        SUMMARY_TYPE,
        json!({
            "verifier": {"id": VERIFIER},
            "resourceUri": uri::purl("generic", &inspected.manifest.name, &inspected.manifest.version),
            "policy": {"uri": policy, "digest": {"sha256": sha256}},
            "inputAttestations": [{
                "uri": format!("{}.intoto.jsonl", inspected.file_name),
                "digest": {"sha256": inspected.envelopes_sha256},
            }],
            "verificationResult": if summary.passed { "PASSED" } else { "FAILED" },
            "verifiedLevels": levels,
            "slsaVersion": "1.0",
        }),
    )
}

/// The statement that a bundle was scanned, in canonical bytes, ready to be signed.
pub fn vulns_statement(inspected: &Inspected, predicate: &Value) -> Vec<u8> {
    statement(&inspected.subjects, VULNS_TYPE, predicate)
}
