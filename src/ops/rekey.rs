//! Bringing all that is keyed by an older schema to the present one: results in the store, and in the state
//! directory the history, the ledger of effects and the cassette. Done by itself when a workspace is opened whose
//! keys are older. Leaves out what a manifest becomes.

use std::path::Path;

use serde_json::Value as Json;

use crate::base::ActionKey;
use crate::ops::Error;
use crate::ops::run::write_atomically;
use crate::plan::{Rekeyed, Rekeying};
use crate::store::{History, Ledger, LocalStore, NewKey, RekeyReport};

/// Where the state directory notes the schema of its keys.
const NOTE: &str = "key-schema";

/// Brings the results of a store to the present schema.
pub fn rekey_store(store: &LocalStore, way: &Rekeying) -> Result<RekeyReport, Error> {
    let rekey = |key, manifest: &str| match way.rekey(key, manifest) {
        Rekeyed::Present => NewKey::Present,
        Rekeyed::Moved { key, manifest } => NewKey::Moved(key, manifest),
        Rekeyed::Left => NewKey::Left,
    };
    Ok(store.rekey(ActionKey::SCHEMA, &rekey)?)
}

/// The same if the store says that its keys are older, which those do that say nothing: they have the first schema.
pub fn rekey_older_store(store: &LocalStore, way: &Rekeying) -> Result<Option<RekeyReport>, Error> {
    // Where there is only one schema, nothing need be asked.
    if way.first == ActionKey::SCHEMA || store.key_schema()?.unwrap_or(way.first) >= ActionKey::SCHEMA {
        return Ok(None);
    }
    rekey_store(store, way).map(Some)
}

/// Brings what a state directory holds to the present schema, if it is older. Gives how many keys changed.
pub fn rekey_older_state(state: &Path, history: &History, way: &Rekeying) -> Result<u64, Error> {
    if way.first == ActionKey::SCHEMA {
        return Ok(0);
    }
    let note = state.join(NOTE);
    let noted = std::fs::read_to_string(&note).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if noted.unwrap_or(way.first) >= ActionKey::SCHEMA {
        return Ok(0);
    }
    let mut moved = Vec::new();
    for (old, manifest) in history.keys()? {
        if let Rekeyed::Moved { key, manifest } = way.rekey(old, &manifest) {
            moved.push((old, key, manifest));
        }
    }
    let mut count = moved.len() as u64;
    // What each old key is called now stands in the history, so that comes last.
    let ledger = state.join("ledger.sqlite");
    if ledger.exists() {
        let keys: Vec<_> = moved.iter().map(|(old, new, _)| (*old, *new)).collect();
        Ledger::open(&ledger)?.rekey(&keys)?;
    }
    count += rekey_cassette(&state.join("cassette"), way)?;
    history.rekey(&moved)?;
    write_atomically(&note, format!("{}\n", ActionKey::SCHEMA).as_bytes())?;
    Ok(count)
}

/// Renames the records of a cassette. One that says nothing of its key stays.
fn rekey_cassette(cassette: &Path, way: &Rekeying) -> Result<u64, Error> {
    let mut count = 0;
    let listing = walkdir::WalkDir::new(cassette).min_depth(1).max_depth(1).sort_by_file_name();
    for entry in listing.into_iter().filter_map(Result::ok) {
        let file = entry.path().join("record.json");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let Ok(mut record) = serde_json::from_str::<Json>(&text) else { continue };
        let key = record["key"].as_str().and_then(|key| key.parse::<ActionKey>().ok());
        let (Some(key), Some(manifest)) = (key, record["manifest"].as_str()) else { continue };
        let Rekeyed::Moved { key, manifest } = way.rekey(key, manifest) else { continue };
        record["key"] = key.to_string().into();
        record["manifest"] = manifest.into();
        let to = cassette.join(key.to_string());
        if to.exists() {
            continue;
        }
        let fresh = cassette.join(format!(".{key}.new"));
        let _ = std::fs::remove_dir_all(&fresh);
        copy_folder(entry.path(), &fresh)?;
        let text = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
        write_atomically(&fresh.join("record.json"), text.as_bytes())?;
        std::fs::rename(&fresh, &to).map_err(Error::io("put in place", &to))?;
        count += 1;
    }
    Ok(count)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::Internal(format!("cannot list a cassette: {error}")))?;
        let dest = to.join(entry.path().strip_prefix(from).unwrap_or(Path::new("")));
        let copied = if entry.file_type().is_dir() {
            std::fs::create_dir_all(&dest)
        } else if entry.file_type().is_symlink() {
            std::fs::read_link(entry.path()).and_then(|target| std::os::unix::fs::symlink(target, &dest))
        } else {
            std::fs::copy(entry.path(), &dest).map(|_| ())
        };
        copied.map_err(Error::io("copy to", &dest))?;
    }
    Ok(())
}
