//! A transparency log as static files: C2SP's signed note, tlog-checkpoint, tlog-tiles and tlog-proof, over
//! RFC 6962 trees. It tells that a bundle was published, and in which order. Leaves out whose log is trusted.

mod files;
mod note;
mod proof;
mod tree;

pub use files::{Log, LogState};
pub use note::{Checkpoint, LogKey, key_id};
pub use proof::TlogProof;
pub use tree::{Hash, consistent, leaf_hash};

use serde_json::json;

use crate::bundle::error::Error;
use crate::bundle::inspect::Inspected;
use crate::bundle::json::canonical;

/// The schema of an entry.
const ENTRY_SCHEMA: &str = "https://partita.example/schemas/log-entry/v1";

/// The entry of a bundle: its archive, the payload of its provenance, and who signed that.
pub(crate) fn entry(archive_sha256: &str, payload_sha256: &str, keyids: &[String]) -> Vec<u8> {
    canonical(&json!({
        "archive": archive_sha256,
        "keyids": keyids,
        "provenance": payload_sha256,
        "schema": ENTRY_SCHEMA,
    }))
}

/// The entry of a bundle that was read.
pub fn entry_of(inspected: &Inspected) -> Vec<u8> {
    entry(&inspected.sha256, &inspected.payload_sha256, &inspected.keyids)
}

pub(crate) fn fail(path: &std::path::Path, why: impl Into<String>) -> Error {
    Error::Log { path: path.to_owned(), why: why.into() }
}
