//! The store as its users see it: many processes, damage, full disks, upkeep, history. Leaves out
//! what every implementation must do, which is the conformance suite beside the code.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod faults;
mod history;
mod model;
mod sharing;
mod together;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partita::base::{ActionKey, Digest, Entry, ManualClock, Tree};
use partita::event::Event;
use partita::store::{Cas, Claim, ClaimOutput, Durability, Error, Found, LocalStore, StoreOptions};

/// A directory for a store, a clock, and what the store told.
struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        clock.advance(Duration::from_hours(24 * 365));
        Self { dir: tempfile::tempdir().unwrap(), clock, events: Arc::default() }
    }

    fn at(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn options(&self, durability: Durability) -> StoreOptions {
        let events = Arc::clone(&self.events);
        let clock = Arc::clone(&self.clock);
        StoreOptions { clock, durability, notify: Arc::new(move |event| events.lock().unwrap().push(event)) }
    }

    fn try_open(&self) -> Result<LocalStore, Error> {
        LocalStore::open(&self.at(), self.options(Durability::Batch))
    }

    fn open(&self) -> LocalStore {
        self.try_open().unwrap()
    }

    fn object(&self, digest: Digest) -> PathBuf {
        object(&self.at(), digest)
    }

    /// What was told since the last call.
    fn told(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

fn object(store: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex();
    store.join("cas").join(&hex[..2]).join(&hex)
}

fn key(number: u8) -> ActionKey {
    ActionKey(Digest::of_blob(&[b'k', number]))
}

fn file(store: &dyn Cas, bytes: &[u8]) -> Entry {
    Entry::File { digest: store.put_bytes(bytes).unwrap(), size: bytes.len() as u64, exec: false }
}

fn folder(store: &dyn Cas, entries: &[(&str, Entry)]) -> Entry {
    let entries = entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
    Entry::Dir { digest: store.put_tree(&Tree { entries }).unwrap() }
}

/// A claim of one output, whose logs are kept.
fn claim(store: &dyn Cas, number: u8, output: Entry) -> Claim {
    let log = store.put_bytes(b"").unwrap();
    Claim {
        key: key(number),
        outputs: vec![ClaimOutput { name: "out".into(), entry: output }],
        logs: [log, log],
        manifest: "[]".into(),
        isolation: 2,
        duration_ms: 1,
        created: i64::from(number),
        run: "run".into(),
        addr: format!("g/n{number}/s"),
        overlay: String::new(),
        signed: None,
    }
}

/// Changes one bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(path, &bytes);
}

/// Objects are read-only, so a new file takes their place.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn whole<T: std::fmt::Debug>(found: Found<T>) -> T {
    match found {
        Found::Whole(value) => value,
        other => panic!("{other:?}"),
    }
}

/// The names in a folder, sorted.
fn names(at: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(at).min_depth(1).max_depth(1).sort_by_file_name();
    entries.into_iter().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
