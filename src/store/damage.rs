//! What is remembered of damage until it is healed: which blobs were set aside, and which results were dropped for want of
//! one, so that who makes them again can say why. Read from the names in `quarantine/`: the blob, the time in
//! milliseconds; of a result its key, the time, the word and the blob. Leaves out finding and setting aside.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use crate::base::{ActionKey, Digest};
use crate::store::Error;
use crate::store::layout::{Layout, io_error, list};

/// The word by which the note of a result is told from a blob.
const NOTE: &str = "result";

/// What is known of a store's damage.
#[derive(Default)]
pub(super) struct Damage {
    /// When blobs were set aside last, in milliseconds since the epoch.
    blobs: BTreeMap<Digest, i64>,
    /// Results that were dropped: which blob of theirs was damaged, and the note of it.
    results: BTreeMap<ActionKey, (Digest, PathBuf)>,
}

/// Whether something in quarantine is a note of a result, and no file that was set aside.
pub(super) fn is_note(name: &str) -> bool {
    name.split('-').nth(2) == Some(NOTE)
}

impl Layout {
    /// Looks at what is known, which is read when it is first asked for. What other processes find later is not.
    fn damage<T>(&self, look: impl FnOnce(&mut Damage) -> T) -> T {
        let mut known = self.known_damage().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(known.get_or_insert_with(|| self.read_damage()))
    }

    /// What cannot be read is not known: it explains, and decides nothing.
    fn read_damage(&self) -> Damage {
        let mut damage = Damage::default();
        for entry in list(&self.root().join("quarantine")).unwrap_or_default() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut parts = name.split('-');
            let digest = |text: Option<&str>| text.and_then(|text| text.parse::<Digest>().ok());
            let (Some(first), Some(at)) = (digest(parts.next()), parts.next().and_then(|at| at.parse().ok())) else {
                continue;
            };
            if parts.next() == Some(NOTE) {
                if let Some(blob) = digest(parts.next()) {
                    damage.results.insert(ActionKey(first), (blob, entry.into_path()));
                }
            } else {
                let last = damage.blobs.entry(first).or_insert(at);
                *last = (*last).max(at);
            }
        }
        damage
    }

    /// Takes note that a blob was set aside.
    pub(super) fn damaged(&self, blob: Digest, millis: i64) {
        self.damage(|damage| damage.blobs.insert(blob, millis));
    }

    /// Whether a blob was set aside at a moment in nanoseconds since the epoch, or after it.
    pub(super) fn was_damaged_since(&self, blob: Digest, since: i64) -> bool {
        self.damage(|damage| damage.blobs.get(&blob).is_some_and(|at| *at >= since.div_euclid(1_000_000)))
    }

    /// Takes note that a result was dropped as a blob of it was damaged.
    pub(super) fn drop_for_damage(&self, key: ActionKey, blob: Digest, millis: i64) -> Result<(), Error> {
        let note = self.root().join("quarantine").join(format!("{}-{millis}-{NOTE}-{blob}", key.0));
        File::create(&note).map_err(|error| io_error("write", &note, error))?;
        self.damage(|damage| damage.results.insert(key, (blob, note)));
        Ok(())
    }

    /// The blob for want of which the results under a key were dropped.
    pub(super) fn dropped_for(&self, key: ActionKey) -> Option<Digest> {
        self.damage(|damage| damage.results.get(&key).map(|(blob, _)| *blob))
    }

    /// There is a result under a key again.
    pub(super) fn healed(&self, key: ActionKey) {
        self.damage(|damage| {
            if let Some((_, note)) = damage.results.remove(&key) {
                // What stays is dropped with what is old in quarantine.
                let _ = std::fs::remove_file(note);
            }
        });
    }
}
