//! Transparency logs in folders: appending bundles, checking a log, proofs beside bundles. Leaves out formats.

use std::path::{Path, PathBuf};

use crate::base::Environment;
use crate::bundle::{Checkpoint, Log, LogKey, LogState, PublicKey, consistent, entry_of, inspect, proof_file};
use crate::ops::Error;
use crate::ops::keys::open_signer;
use crate::ops::run::write_atomically;

/// A bundle that a log holds.
pub struct Logged {
    /// Where its proof was written.
    pub proof: PathBuf,
    /// Its index in the log.
    pub index: u64,
    /// How many entries the log has.
    pub size: u64,
    /// The log's key as others take it.
    pub vkey: String,
}

/// Appends a bundle to a log, which is made if it is missing, and writes the proof beside the archive.
pub fn tlog_append(
    dir: &Path,
    origin: Option<&str>,
    zip: &Path,
    keys: &Path,
    key: &str,
    environment: &Environment,
) -> Result<Logged, Error> {
    let entry = entry_of(&inspect(zip)?);
    let signer = open_signer(keys, key, environment)?;
    let origin = match (origin, stated_origin(dir)?) {
        (Some(given), Some(stated)) if given != stated => {
            return Err(Error::usage(format!("the log is named `{stated}`, not `{given}`")));
        }
        (_, Some(stated)) => stated,
        (Some(given), None) => given.to_owned(),
        (None, None) => {
            return Err(Error::usage_help(
                format!("there is no log in `{}` yet, and it has no name", dir.display()),
                "give it one: `--origin log.example/name`",
            ));
        }
    };
    let log = Log::new(dir);
    log.append(&origin, std::slice::from_ref(&entry), signer.signer.as_ref())?;
    let key = LogKey::new(&origin, PublicKey::of_signer(signer.signer.as_ref())?)?;
    prove(&log, &key, &entry, zip)
}

/// The name that a log gives itself, unchecked: to be checked with the key.
fn stated_origin(dir: &Path) -> Result<Option<String>, Error> {
    let path = dir.join("checkpoint");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    Ok(text.lines().next().map(str::to_owned))
}

fn log_key(dir: &Path, key: &Path) -> Result<LogKey, Error> {
    let origin = stated_origin(dir)?.ok_or_else(|| Error::usage(format!("there is no log in `{}`", dir.display())))?;
    Ok(LogKey::new(&origin, PublicKey::from_pem_file(key)?)?)
}

/// Checks a log: its signature, every entry, every tile, and that it still begins with what an earlier
/// checkpoint of it said, which may be that of a proof.
pub fn tlog_check(dir: &Path, key: &Path, since: Option<&Path>) -> Result<LogState, Error> {
    let key = log_key(dir, key)?;
    let state = Log::new(dir).read(&key)?;
    if let Some(path) = since {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let note = if text.starts_with("c2sp.org/tlog-proof@v1\n") {
            text.split_once("\n\n").map_or("", |(_, note)| note)
        } else {
            &text
        };
        let earlier =
            Checkpoint::open(note, &key).map_err(|why| Error::CheckFailed(format!("`{}`: {why}", path.display())))?;
        if !consistent(&state.leaves(), earlier.size, &earlier.root) {
            return Err(Error::CheckFailed(format!(
                "the log does not begin with the {} entries it had: it was rewritten",
                earlier.size
            )));
        }
    }
    Ok(state)
}

/// Writes the proof that a log holds a bundle, beside the archive.
pub fn tlog_prove(dir: &Path, key: &Path, zip: &Path) -> Result<Logged, Error> {
    let key = log_key(dir, key)?;
    prove(&Log::new(dir), &key, &entry_of(&inspect(zip)?), zip)
}

fn prove(log: &Log, key: &LogKey, entry: &[u8], zip: &Path) -> Result<Logged, Error> {
    let proof = log
        .prove(key, entry)?
        .ok_or_else(|| Error::CheckFailed(format!("the log `{}` does not hold this bundle", key.origin())))?;
    let size = proof.check(entry, key).map_err(Error::Internal)?.size;
    let path = proof_file(zip);
    write_atomically(&path, proof.to_text().as_bytes())?;
    Ok(Logged { proof: path, index: proof.index, size, vkey: key.vkey() })
}
