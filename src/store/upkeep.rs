//! Upkeep of a local store: counting, checking everything, and collecting garbage. Leaves out the
//! daily reads and writes. Which blobs must stay is decided here alone: those that a claim, a root
//! or a tree of theirs names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::base::{ActionKey, Digest, Entry, Tree};
use crate::event::Event;
use crate::store::damage::is_note;
use crate::store::layout::{io_error, keep_ballast, list, remove_tree};
use crate::store::lease::Relied;
use crate::store::local::is_for_want_of_room;
use crate::store::{Cas, Claim, Error, Found, LocalStore};

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStat {
    /// Blobs and trees.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Results.
    pub claims: u64,
    /// Files in quarantine.
    pub quarantined: u64,
    /// Their bytes.
    pub quarantined_bytes: u64,
}

/// What a check of everything found, and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Objects that were hashed.
    pub objects: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Objects that did not hold the bytes their names say; now in quarantine.
    pub corrupt: Vec<Digest>,
    /// Things among the objects whose names are none of ours, relative to the store; now in quarantine.
    pub strays: Vec<String>,
    /// Claims that were looked at.
    pub claims: u64,
    /// Claims that were dropped because they were damaged, or named what is missing.
    pub claims_dropped: u64,
    /// What claims named and the store does not have.
    pub missing: Vec<Digest>,
    /// Folders of dead processes that were removed.
    pub orphans_removed: u64,
}

impl VerifyReport {
    /// Whether nothing was wrong.
    pub fn is_sound(&self) -> bool {
        self.corrupt.is_empty() && self.strays.is_empty() && self.claims_dropped == 0 && self.missing.is_empty()
    }
}

/// What a collection may remove.
#[derive(Clone, Debug, Default)]
pub struct GcOptions {
    /// Claims that were not used for longer are dropped; so are older files in quarantine.
    pub max_age: Option<Duration>,
    /// Claims are dropped, the least recently used first, until what is left is no bigger than this
    /// many bytes, roots included.
    pub max_bytes: Option<u64>,
    /// Blobs and trees that stay whatever names them.
    pub roots: Vec<Digest>,
    /// Remove nothing; only say what would be.
    pub dry_run: bool,
}

/// What a collection removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Claims removed.
    pub claims: u64,
    /// Blobs and trees removed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Unfinished files, folders of dead processes and old files in quarantine removed.
    pub leftovers: u64,
    /// Blobs and trees that stay.
    pub kept_objects: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Claims that stay.
    pub kept_claims: u64,
}

/// Everything that lies among the objects.
#[derive(Default)]
struct Inventory {
    /// Sizes by digest.
    objects: BTreeMap<Digest, u64>,
    /// Paths relative to the store.
    strays: Vec<String>,
}

/// What some digests reach.
#[derive(Default)]
struct Closure {
    reached: BTreeSet<Digest>,
    missing: Vec<Digest>,
}

impl LocalStore {
    /// Counts what the store holds.
    pub fn stat(&self) -> Result<StoreStat, Error> {
        self.committer.flush(false)?;
        let inventory = self.inventory()?;
        let mut stat = StoreStat {
            objects: inventory.objects.len() as u64,
            bytes: inventory.objects.values().sum(),
            claims: self.index.count()?,
            ..StoreStat::default()
        };
        let is_note = |entry: &walkdir::DirEntry| is_note(&entry.file_name().to_string_lossy());
        for entry in list(&self.layout.root().join("quarantine"))?.into_iter().filter(|entry| !is_note(entry)) {
            stat.quarantined += 1;
            stat.quarantined_bytes += entry.metadata().map_or(0, |meta| meta.len());
        }
        Ok(stat)
    }

    /// Hashes every object and follows every claim. What is wrong is moved to quarantine or
    /// dropped, so that a second check finds nothing; unless the store was opened to be read only. Other processes may
    /// go on meanwhile.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        self.committer.flush(false)?;
        let mut report = VerifyReport { orphans_removed: self.layout.sweep_sessions()?, ..VerifyReport::default() };
        let inventory = self.inventory()?;
        for digest in inventory.objects.keys() {
            match self.reader.check(&self.committer, *digest)? {
                Found::Whole(size) => {
                    report.objects += 1;
                    report.bytes += size;
                }
                Found::Corrupt => report.corrupt.push(*digest),
                // Another process moved it meanwhile.
                Found::Missing => {}
            }
        }
        for stray in inventory.strays {
            if !self.only_reads() {
                self.set_stray_aside(&stray)?;
            }
            report.strays.push(stray);
        }

        let mut whole = BTreeSet::new();
        let mut missing = BTreeSet::new();
        let mut dropped = Vec::new();
        for row in self.index.all()? {
            report.claims += 1;
            let Some(claim) = row.claim else {
                dropped.push(row.id);
                continue;
            };
            let closure = self.closure(&named_by(&claim), &whole)?;
            if closure.missing.is_empty() {
                whole.extend(closure.reached);
            } else {
                self.note_damage(&claim, &closure.missing);
                missing.extend(closure.missing);
                dropped.push(row.id);
            }
        }
        if !dropped.is_empty() && !self.only_reads() {
            self.index.delete(&dropped)?;
        }
        report.claims_dropped = dropped.len() as u64;
        report.missing = missing.into_iter().collect();
        Ok(report)
    }

    /// Collects garbage: drops claims by age and size, then every object that no claim and no root
    /// reaches any more, then what dead processes left. Other stores may be open on the directory and in use: what
    /// they rely on stays. What this one put and nothing names does not.
    ///
    /// # Errors
    /// [`Error::Busy`] when another collection is under way.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport, Error> {
        self.committer.flush(true)?;
        let collected = self.layout.while_collecting(|| self.collect(options))?;
        collected.ok_or_else(|| Error::Busy { path: self.layout.root().to_owned() })
    }

    fn collect(&self, options: &GcOptions) -> Result<GcReport, Error> {
        let now = self.options.clock.now();
        if !options.dry_run {
            self.layout.take_all_back()?;
        }
        // In this order: an object that comes later is not looked at; a store that ends after its note was read is
        // heeded; one that ended before has left its rows.
        let inventory = self.inventory()?;
        let leased = self.layout.leased()?;
        let size_of = |digest: &Digest| inventory.objects.get(digest).copied().unwrap_or_default();

        let mut roots: Vec<_> = options.roots.iter().map(|root| (*root, Kind::Unknown)).collect();
        roots.extend(leased.iter().filter_map(named_by_lease));
        let all_in_use = leased.contains(&Relied::Everything);
        let asked: BTreeSet<ActionKey> = leased.iter().filter_map(key_of_lease).collect();
        let rooted = self.closure(&roots, &BTreeSet::new())?;
        // What stays, and of it what is known to lack nothing below.
        let mut kept = rooted.reached;
        let mut whole = if rooted.missing.is_empty() { kept.clone() } else { BTreeSet::new() };
        let mut kept_bytes: u64 = kept.iter().map(size_of).sum();
        let mut report = GcReport::default();
        let mut doomed = Vec::new();
        // Those of them that somebody may ask for at this moment.
        let mut readable: Vec<(i64, Claim)> = Vec::new();
        let oldest = options.max_age.map(|age| now.0.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
        let mut full = false;
        let mut youngest = 0;
        for row in self.index.all()? {
            youngest = youngest.max(row.id);
            let fresh = oldest.is_none_or(|oldest| row.last_used >= oldest);
            let Some(claim) = &row.claim else {
                doomed.push(row.id);
                continue;
            };
            // What a running process was given is in use, however old or big.
            let in_use = asked.contains(&claim.key) || all_in_use;
            let mut doom = |claim: &Claim| {
                doomed.push(row.id);
                readable.push((row.id, claim.clone()));
            };
            if !in_use && (!fresh || full) {
                doom(claim);
                continue;
            }
            let closure = self.closure(&named_by(claim), &whole)?;
            let more: u64 = closure.reached.difference(&kept).map(size_of).sum();
            if !closure.missing.is_empty() {
                doom(claim);
                if !options.dry_run {
                    self.note_damage(claim, &closure.missing);
                }
            } else if !in_use && options.max_bytes.is_some_and(|most| kept_bytes + more > most) {
                // Strictly by last use: a smaller one that was used less recently does not stay.
                full = true;
                doom(claim);
            } else {
                kept_bytes += more;
                kept.extend(&closure.reached);
                whole.extend(closure.reached);
                report.kept_claims += 1;
            }
        }

        let is_garbage = |digest: &Digest| !all_in_use && !kept.contains(digest);
        let garbage: Vec<(Digest, u64)> =
            inventory.objects.iter().filter(|(digest, _)| is_garbage(digest)).map(|(d, s)| (*d, *s)).collect();
        report.claims = doomed.len() as u64;
        report.objects = garbage.len() as u64;
        report.bytes = garbage.iter().map(|(_, size)| size).sum();
        report.kept_objects = inventory.objects.len() as u64 - report.objects;
        report.kept_bytes = inventory.objects.values().sum::<u64>() - report.bytes;
        let old = self.old_quarantine(oldest)?;
        report.leftovers = old.len() as u64;
        if options.dry_run {
            return Ok(report);
        }

        // Rows first: a row whose blobs are gone is a miss, but a needless one.
        let deleted = if doomed.is_empty() { Ok(()) } else { self.index.delete(&doomed) };
        let full_disk = deleted.as_ref().err().is_some_and(is_for_want_of_room);
        if !full_disk {
            deleted?;
        }
        for (digest, _) in &garbage {
            self.layout.discard(*digest)?;
        }
        let asked = self.look_again(&readable, youngest)?;
        if !full_disk {
            self.keep_rows(readable.iter().filter(|(id, _)| asked.contains(id)).map(|(_, claim)| claim))?;
        }
        report.claims -= asked.len() as u64;
        report.kept_claims += asked.len() as u64;
        let (objects, bytes) = self.layout.empty_trash()?;
        report.kept_objects += report.objects.saturating_sub(objects);
        report.kept_bytes += report.bytes.saturating_sub(bytes);
        (report.objects, report.bytes) = (objects, bytes);
        for path in &old {
            remove_tree(path)?;
        }
        report.leftovers += self.layout.clear_tmp()?;
        if full_disk {
            // Deleting a row needs room for the log, which there is now.
            doomed.retain(|id| !asked.contains(id));
            self.index.delete(&doomed)?;
        }
        keep_ballast(self.layout.root());
        Ok(report)
    }

    /// Takes back what was needed since the first look; again notes first, then rows younger than that one. Of the doomed
    /// rows gives those that somebody asks for, who may have read them before they were deleted.
    fn look_again(&self, doomed: &[(i64, Claim)], mut youngest: i64) -> Result<BTreeSet<i64>, Error> {
        let leased = self.layout.leased()?;
        let everything = leased.contains(&Relied::Everything);
        if everything {
            self.layout.take_all_back()?;
        }
        let mut needed: Vec<_> = leased.iter().filter_map(named_by_lease).collect();
        loop {
            let rows = self.index.rows_after(youngest, 256)?;
            let Some(last) = rows.last() else { break };
            youngest = last.id;
            needed.extend(rows.iter().filter_map(|row| row.claim.as_ref()).flat_map(named_by));
        }
        // To be looked at is to be taken back.
        self.closure(&needed, &BTreeSet::new())?;
        let keys: BTreeSet<ActionKey> = leased.iter().filter_map(key_of_lease).collect();
        let mut asked = BTreeSet::new();
        for (id, claim) in doomed.iter().filter(|(_, claim)| everything || keys.contains(&claim.key)) {
            if self.closure(&named_by(claim), &BTreeSet::new())?.missing.is_empty() {
                asked.insert(*id);
            }
        }
        Ok(asked)
    }

    /// Puts rows back that somebody asked for: without them the next collection would not know what that key stands for.
    fn keep_rows<'a>(&self, claims: impl Iterator<Item = &'a Claim>) -> Result<(), Error> {
        for claim in claims {
            self.committer.record(claim.clone())?;
        }
        self.committer.flush(false)
    }

    /// Takes note of a result that is dropped for want of something that was damaged. Where that cannot be noted, only
    /// the explanation is lost.
    fn note_damage(&self, claim: &Claim, missing: &[Digest]) {
        let damaged = missing.iter().find(|blob| self.layout.was_damaged_since(**blob, claim.created));
        if let Some(blob) = damaged.filter(|_| !self.only_reads()) {
            let now = self.options.clock.now().millis();
            if let Err(error) = self.layout.drop_for_damage(claim.key, *blob, now) {
                tracing::warn!(%error, "why a result was dropped was not noted");
            }
        }
    }

    fn old_quarantine(&self, oldest: Option<i64>) -> Result<Vec<std::path::PathBuf>, Error> {
        let Some(oldest) = oldest else { return Ok(Vec::new()) };
        let folder = self.layout.root().join("quarantine");
        // The time is in the name: a rename leaves the file's own times as they were.
        let stamp = |name: &str| name.split('-').nth(1).and_then(|millis| millis.parse::<i64>().ok());
        let is_old = |entry: &walkdir::DirEntry| {
            stamp(&entry.file_name().to_string_lossy()).is_some_and(|millis| millis < oldest.div_euclid(1_000_000))
        };
        Ok(list(&folder)?.into_iter().filter(is_old).map(walkdir::DirEntry::into_path).collect())
    }

    fn inventory(&self) -> Result<Inventory, Error> {
        let mut found = Inventory::default();
        for folder in list(&self.layout.root().join("cas"))? {
            let name = folder.file_name().to_string_lossy().into_owned();
            let ours = name.len() == 2 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !ours || !folder.file_type().is_dir() {
                found.strays.push(format!("cas/{name}"));
                continue;
            }
            for object in list(folder.path())? {
                let text = object.file_name().to_string_lossy().into_owned();
                match text.parse::<Digest>() {
                    Ok(digest) if text.len() == 64 && text.starts_with(&name) => {
                        let size = object.metadata().map_or(0, |meta| meta.len());
                        found.objects.insert(digest, size);
                    }
                    _ => found.strays.push(format!("cas/{name}/{text}")),
                }
            }
        }
        Ok(found)
    }

    fn set_stray_aside(&self, stray: &str) -> Result<(), Error> {
        let from = self.layout.root().join(stray);
        let stamp = self.options.clock.now().millis();
        let name = Path::new(stray).file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
        let shown: String = name.chars().take(64).collect();
        let mut number = 0;
        let to = loop {
            let to = self.layout.root().join("quarantine").join(format!("{shown}-{stamp}-stray{number}"));
            if !to.exists() {
                break to;
            }
            number += 1;
        };
        std::fs::rename(&from, &to).map_err(|error| io_error("move to quarantine", &from, error))?;
        let text = format!("`{stray}` is no object of the store; it is now `{}`", to.display());
        (self.options.notify)(Event::Notice { text });
        Ok(())
    }

    /// All that some digests reach, less what is known to be whole already.
    fn closure(&self, from: &[(Digest, Kind)], known: &BTreeSet<Digest>) -> Result<Closure, Error> {
        let mut closure = Closure::default();
        let mut todo: Vec<(Digest, Kind)> = from.to_vec();
        while let Some((digest, kind)) = todo.pop() {
            if known.contains(&digest) || closure.reached.contains(&digest) {
                continue;
            }
            if kind == Kind::Blob {
                if !self.contains(digest) {
                    closure.missing.push(digest);
                    continue;
                }
                closure.reached.insert(digest);
                continue;
            }
            match self.get_tree(digest)? {
                Found::Whole(tree) => {
                    closure.reached.insert(digest);
                    todo.extend(named_by_tree(&tree));
                }
                Found::Missing if kind == Kind::Unknown && self.contains(digest) => {
                    closure.reached.insert(digest);
                }
                Found::Missing | Found::Corrupt => closure.missing.push(digest),
            }
        }
        Ok(closure)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blob,
    Tree,
    Unknown,
}

fn named_by_entry(entry: &Entry) -> Option<(Digest, Kind)> {
    match entry {
        Entry::File { digest, .. } => Some((*digest, Kind::Blob)),
        Entry::Dir { digest } => Some((*digest, Kind::Tree)),
        Entry::Symlink { .. } => None,
    }
}

fn named_by_lease(relied: &Relied) -> Option<(Digest, Kind)> {
    match relied {
        Relied::Blob(digest) => Some((*digest, Kind::Blob)),
        Relied::Tree(digest) => Some((*digest, Kind::Tree)),
        Relied::Key(_) | Relied::Everything => None,
    }
}

fn key_of_lease(relied: &Relied) -> Option<ActionKey> {
    match relied {
        Relied::Key(key) => Some(*key),
        Relied::Blob(_) | Relied::Tree(_) | Relied::Everything => None,
    }
}

fn named_by_tree(tree: &Tree) -> impl Iterator<Item = (Digest, Kind)> + '_ {
    tree.entries.values().filter_map(named_by_entry)
}

fn named_by(claim: &Claim) -> Vec<(Digest, Kind)> {
    let outputs = claim.outputs.iter().filter_map(|output| named_by_entry(&output.entry));
    outputs.chain(claim.logs.iter().map(|log| (*log, Kind::Blob))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::SystemClock;
    use crate::store::{ClaimOutput, Claims, StoreOptions};

    fn open(dir: &Path) -> LocalStore {
        LocalStore::open(dir, StoreOptions::new(Arc::new(SystemClock::new()))).unwrap()
    }

    /// A store that holds one result, whose bytes and log are these.
    fn with_result(dir: &Path) -> (LocalStore, Claim) {
        let store = open(dir);
        let (output, log) = (store.put_bytes(b"output").unwrap(), store.put_bytes(b"log").unwrap());
        let claim = Claim {
            key: ActionKey(Digest::of_blob(b"key")),
            outputs: vec![ClaimOutput {
                name: "o".into(),
                entry: Entry::File { digest: output, size: 6, exec: false },
            }],
            logs: [log, log],
            manifest: "[]".into(),
            isolation: 0,
            duration_ms: 1,
            created: 1,
            run: "r".into(),
            addr: "g/n".into(),
            overlay: String::new(),
            signed: None,
        };
        store.record(claim.clone()).unwrap();
        store.flush().unwrap();
        (store, claim)
    }

    #[test]
    fn what_was_asked_for_during_a_collection_outlives_the_next_one_too() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, claim) = with_result(dir.path());
        drop(writer);
        let collector = open(dir.path());
        let reader = open(dir.path());
        // A collection that has looked at the notes; then somebody asks; then it goes on.
        let id = collector.index.all().unwrap()[0].id;
        assert_eq!(reader.lookup(claim.key).unwrap(), std::slice::from_ref(&claim));
        collector.index.delete(&[id]).unwrap();
        let named: Vec<Digest> = named_by(&claim).into_iter().map(|(digest, _)| digest).collect();
        for digest in &named {
            collector.layout.discard(*digest).unwrap();
        }
        let doomed = [(id, claim.clone())];
        assert_eq!(collector.look_again(&doomed, id).unwrap(), BTreeSet::from([id]));
        collector.keep_rows([&claim].into_iter()).unwrap();
        assert_eq!(collector.layout.empty_trash().unwrap(), (0, 0));
        // The next one knows of the key alone; the reader has not looked at what it stands for yet.
        let all = GcOptions { max_bytes: Some(0), ..GcOptions::default() };
        assert_eq!(collector.gc(&all).unwrap().kept_claims, 1);
        assert!(named.iter().all(|digest| reader.contains(*digest)));
        // And when nobody asks any more it goes.
        drop(reader);
        assert_eq!(collector.gc(&all).unwrap().claims, 1);
        assert_eq!(collector.stat().unwrap().objects, 0);
    }
}
