//! Digests of files by path and stat, so that an untouched workspace is not read again. A hint
//! alone: leaves out what the digests are used for, and is trusted only where a later change of the
//! file must show in its stat.
//!
//! The written form is one flat file, read with one call and searched where it lies: 32 bytes of
//! magic and count, the BLAKE3 of these and of all that follows (32 bytes), the records sorted by
//! path, the paths. A record is 96 bytes, numbers little-endian: offset (u64) and length (u32) of
//! its path, mode (u32), device, inode, size, mtime and ctime in nanoseconds (8 bytes each), the
//! digest (32), saves since its last use (u8), zeros (7). Bytes that do not fit are an empty cache.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher, Timestamp};
use crate::store::Error;
use crate::store::layout::io_error;

const MAGIC: [u8; 16] = *b"partita stat 1\n\0";
const HEAD: usize = 64;
const RECORD: usize = 96;

/// How coarse the clock of a file system may be: two changes closer than this may share a time.
const GRANULARITY_NS: i64 = 20_000_000;

/// The same for file systems whose times have no part below the second.
const COARSE_NS: i64 = 2_000_000_000;

/// Saves after which a record that was not used is dropped.
const SAVES_UNUSED: u8 = 16;

/// What of a stat tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Time of the last change of the inode, in nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Type and permission bits.
    pub mode: u32,
}

impl FileStat {
    /// Of a file. Times beyond the year 2262 are cut to it.
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
            mode: meta.mode(),
        }
    }

    /// Whether a change after `hashed_at` must show in the times.
    pub fn is_settled(&self, hashed_at: Timestamp) -> bool {
        let step = if self.mtime_ns % 1_000_000_000 == 0 { COARSE_NS } else { GRANULARITY_NS };
        self.mtime_ns.max(self.ctime_ns).saturating_add(step) <= hashed_at.0
    }
}

#[derive(Clone, Debug)]
struct Record {
    stat: FileStat,
    digest: Digest,
    unused: u8,
}

/// The cache. Methods may be called from any thread.
pub struct StatCache {
    path: PathBuf,
    base: Base,
    /// Which records of the base were used since it was loaded.
    used: Vec<AtomicBool>,
    /// What is not in the base; `None` where the base's record no longer holds.
    changes: Mutex<BTreeMap<Vec<u8>, Option<Record>>>,
}

impl StatCache {
    /// Reads the cache at `path`. A file that is missing or damaged is an empty cache.
    pub fn load(path: &Path) -> Self {
        let base = std::fs::read(path).ok().and_then(Base::parse).unwrap_or_default();
        let used = std::iter::repeat_with(AtomicBool::default).take(base.count).collect();
        Self { path: path.to_owned(), base, used, changes: Mutex::default() }
    }

    /// Digest and size of a file that had this stat when it was hashed. Paths are compared as they
    /// are written: relative to the workspace, or absolute outside of it.
    pub fn lookup(&self, path: impl AsRef<Path>, stat: &FileStat) -> Option<(Digest, u64)> {
        let name = path.as_ref().as_os_str().as_bytes();
        let changes = self.changes.lock().expect("no holder of the lock panics");
        if !changes.is_empty()
            && let Some(change) = changes.get(name)
        {
            return change
                .as_ref()
                .filter(|record| record.stat == *stat)
                .map(|record| (record.digest, record.stat.size));
        }
        drop(changes);
        let at = self.base.find(name)?;
        self.used[at].store(true, Ordering::Relaxed);
        let record = self.base.record(at)?;
        (record.stat == *stat).then_some((record.digest, record.stat.size))
    }

    /// Keeps what hashing a file gave. `stat` was taken before the file was read; `hashed_at` is the
    /// wall clock before that. What could have changed since without a trace is not kept.
    pub fn insert(&self, path: impl AsRef<Path>, stat: &FileStat, hashed_at: Timestamp, digest: Digest) {
        let stat = *stat;
        let name = path.as_ref().as_os_str().as_bytes();
        let sound = stat.is_settled(hashed_at);
        let mut changes = self.changes.lock().expect("no holder of the lock panics");
        if sound {
            changes.insert(name.to_owned(), Some(Record { stat, digest, unused: 0 }));
        } else if self.base.find(name).is_some() {
            changes.insert(name.to_owned(), None);
        } else {
            changes.remove(name);
        }
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        let changes = self.changes.lock().expect("no holder of the lock panics");
        let mut count = self.base.count;
        for (name, change) in changes.iter() {
            match (self.base.find(name), change) {
                (Some(_), None) => count -= 1,
                (None, Some(_)) => count += 1,
                _ => {}
            }
        }
        count
    }

    /// Whether no file is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the cache if anything changed since it was loaded, by replacing the file. Records
    /// that many saves did not need are dropped.
    pub fn save(&self) -> Result<(), Error> {
        let changes = self.changes.lock().expect("no holder of the lock panics");
        if changes.is_empty() {
            return Ok(());
        }
        let mut all: BTreeMap<&[u8], Record> = BTreeMap::new();
        for at in 0..self.base.count {
            let (Some(name), Some(mut record)) = (self.base.name(at), self.base.record(at)) else { continue };
            record.unused = if self.used[at].load(Ordering::Relaxed) { 0 } else { record.unused.saturating_add(1) };
            if record.unused < SAVES_UNUSED {
                all.insert(name, record);
            }
        }
        for (name, change) in changes.iter() {
            match change {
                Some(record) => all.insert(name, record.clone()),
                None => all.remove(name.as_slice()),
            };
        }
        let bytes = encode(&all);
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".stat-")
            .tempfile_in(folder)
            .map_err(|error| io_error("create a file in", folder, error))?;
        file.write_all(&bytes).map_err(|error| io_error("write", file.path(), error))?;
        file.persist(&self.path).map_err(|error| io_error("replace", &self.path, error.error))?;
        Ok(())
    }
}

/// The cache as loaded, searched where it lies.
#[derive(Default)]
struct Base {
    bytes: Vec<u8>,
    count: usize,
}

impl Base {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD>()?;
        let count = usize::try_from(u64::from_le_bytes(*head[16..].first_chunk()?)).ok()?;
        let sound = head[..16] == MAGIC
            && head[24..32] == [0; 8]
            && count <= (bytes.len() - HEAD) / RECORD
            && head[32..] == *checksum(&head[..32], &bytes[HEAD..]).as_bytes();
        sound.then_some(Self { bytes, count })
    }

    fn raw(&self, at: usize) -> Option<&[u8; RECORD]> {
        self.bytes.get(HEAD + at * RECORD..)?.first_chunk()
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        let raw = self.raw(at)?;
        let offset = usize::try_from(number(raw, 0)).ok()?;
        let length = usize::try_from(short(raw, 8)).ok()?;
        self.bytes.get(HEAD + self.count * RECORD..)?.get(offset..)?.get(..length)
    }

    fn record(&self, at: usize) -> Option<Record> {
        let raw = self.raw(at)?;
        let stat = FileStat {
            mode: short(raw, 12),
            dev: number(raw, 16),
            ino: number(raw, 24),
            size: number(raw, 32),
            mtime_ns: number(raw, 40).cast_signed(),
            ctime_ns: number(raw, 48).cast_signed(),
        };
        let digest = Digest::from_bytes(*raw[56..].first_chunk()?);
        Some(Record { stat, digest, unused: raw[88] })
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.name(middle)?.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

fn number(raw: &[u8; RECORD], at: usize) -> u64 {
    raw[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn short(raw: &[u8; RECORD], at: usize) -> u32 {
    raw[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn checksum(head: &[u8], body: &[u8]) -> Digest {
    Hasher::of_blob().update(head).update(body).finish()
}

fn encode(all: &BTreeMap<&[u8], Record>) -> Vec<u8> {
    let mut body = Vec::with_capacity(all.len() * (RECORD + 40));
    let mut offset: u64 = 0;
    for (name, record) in all {
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&offset.to_le_bytes());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&record.stat.mode.to_le_bytes());
        for number in [
            record.stat.dev,
            record.stat.ino,
            record.stat.size,
            record.stat.mtime_ns.cast_unsigned(),
            record.stat.ctime_ns.cast_unsigned(),
        ] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(record.digest.as_bytes());
        body.extend_from_slice(&[record.unused, 0, 0, 0, 0, 0, 0, 0]);
        offset += name.len() as u64;
    }
    for name in all.keys() {
        body.extend_from_slice(name);
    }
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(all.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let checksum = checksum(&bytes, &body);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

impl std::fmt::Debug for StatCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatCache").field("path", &self.path).field("loaded", &self.base.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
