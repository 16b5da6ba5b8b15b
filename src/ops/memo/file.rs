//! The memo as a file: what stood when it was written, and what of that changed since, beside it. Leaves
//! out what the entries mean.
//!
//! `<key>`, little-endian: magic; `written` (i64 nanoseconds); count of actions (u64); the digest that the
//! graph beside it ends with (32 bytes, zeros for none); outputs shown (u32 count, then texts); results
//! that are not those of the graph (u32 length, then these packed); entries (u32 count, then each: what it
//! is u8, path text, and for what exists dev u64, ino u64, size u64, mtime i64, ctime i64, mode u32, digest
//! 32 bytes); the BLAKE3 of all before. A text is its length (u32) and bytes.
//!
//! `<key>.since`: magic, then packed: the digest that the memo ends with, `written`, the entries that are
//! otherwise, all results that are not those of the graph; the BLAKE3 of all before. One that belongs to
//! another memo counts as not there, which loses time alone: each file is a whole statement by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::exec::Known;
use crate::store::FileStat;

const MAGIC: &[u8] = b"partita memo 2\n";
const SINCE: &[u8] = b"partita memo since 1\n";

/// Bytes of the largest file that is read.
const LARGEST: u64 = 1 << 30;

/// How an entry is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file whose content has a digest.
    Content,
    /// A folder, or a file that is known by its metadata alone.
    Meta,
    /// A folder whose names have a digest.
    List,
    /// Nothing.
    Absent,
}

/// What it means that an entry is not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Anything may be otherwise.
    Ground,
    /// What reads this file may come out otherwise.
    Source,
    /// This output has to be put in its place again.
    Output,
}

const KINDS: [Kind; 4] = [Kind::Content, Kind::Meta, Kind::List, Kind::Absent];
const PARTS: [Part; 3] = [Part::Ground, Part::Source, Part::Output];

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) part: Part,
    pub(super) path: String,
    pub(super) stat: FileStat,
    pub(super) digest: Digest,
}

pub(super) const NOTHING: FileStat = FileStat { dev: 0, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0, mode: 0 };
pub(super) const NO_DIGEST: Digest = Digest::from_bytes([0; 32]);

/// A memo with what is otherwise since it was written.
#[derive(Clone, Debug)]
pub(super) struct Memo {
    pub(super) written: i64,
    pub(super) actions: u64,
    /// What the graph beside it ends with.
    pub(super) graph: Option<Digest>,
    /// Where outputs are, for people.
    pub(super) outputs: Vec<String>,
    /// Results that are not those of the graph, by the number of the action.
    pub(super) known: BTreeMap<u32, Known>,
    pub(super) entries: Vec<Entry>,
    /// Which entries are otherwise since the file was written.
    pub(super) otherwise: BTreeSet<u32>,
    /// What the file ends with; `None` if it is not written yet, or must be written as a whole.
    pub(super) sum: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Since {
    memo: Digest,
    written: i64,
    entries: Vec<(u32, FileStat, Digest)>,
    known: Vec<(u32, Known)>,
}

fn beside(file: &Path, what: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(what);
    file.with_file_name(name)
}

/// Where the graph of a memo lies.
pub(super) fn graph_file(file: &Path) -> PathBuf {
    beside(file, ".graph")
}

/// The bytes of a file before the BLAKE3 that it ends with, if that is theirs; with it.
pub(super) fn sealed(mut bytes: Vec<u8>) -> Option<(Vec<u8>, Digest)> {
    let cut = bytes.len().checked_sub(32)?;
    let sum = Digest::from_bytes(bytes[cut..].try_into().ok()?);
    bytes.truncate(cut);
    (Digest::of_blob(&bytes) == sum).then_some((bytes, sum))
}

/// Ends a file with the BLAKE3 of what is in it.
pub(super) fn seal(bytes: &mut Vec<u8>) -> Digest {
    let sum = Digest::of_blob(bytes);
    bytes.extend_from_slice(sum.as_bytes());
    sum
}

/// A file that is no larger than may be.
pub(super) fn read(file: &Path) -> Option<Vec<u8>> {
    let found = std::fs::metadata(file).ok()?;
    if !found.is_file() || found.len() > LARGEST {
        return None;
    }
    std::fs::read(file).ok()
}

/// Replaces a file.
pub(super) fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut temporary, bytes)?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

impl Memo {
    /// The memo at a place, if there is a whole one.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let mut memo = Self::decode(read(file)?)?;
        if let Some(since) = read(&beside(file, ".since")).and_then(|bytes| memo.since(bytes)) {
            memo.written = since.written;
            for (at, stat, digest) in since.entries {
                let entry = memo.entries.get_mut(at as usize)?;
                (entry.stat, entry.digest) = (stat, digest);
                memo.otherwise.insert(at);
            }
            memo.known = since.known.into_iter().collect();
        }
        Some(memo)
    }

    fn since(&self, bytes: Vec<u8>) -> Option<Since> {
        let (body, _) = sealed(bytes)?;
        let since: Since = postcard::from_bytes(body.strip_prefix(SINCE)?).ok()?;
        (Some(since.memo) == self.sum).then_some(since)
    }

    /// Sets what an entry is now.
    pub(super) fn set(&mut self, at: u32, stat: FileStat, digest: Digest) {
        if let Some(entry) = self.entries.get_mut(at as usize) {
            (entry.stat, entry.digest) = (stat, digest);
            self.otherwise.insert(at);
        }
    }

    /// Keeps it: what is otherwise alone while that is little, else all of it.
    pub(super) fn keep(&mut self, file: &Path) -> std::io::Result<()> {
        if let Some(memo) = self.sum.filter(|_| self.otherwise.len() * 8 <= self.entries.len().max(512)) {
            let entry = |at: &u32| {
                let entry = &self.entries[*at as usize];
                (*at, entry.stat, entry.digest)
            };
            let since = Since {
                memo,
                written: self.written,
                entries: self.otherwise.iter().map(entry).collect(),
                known: self.known.iter().map(|(at, known)| (*at, known.clone())).collect(),
            };
            let mut bytes = SINCE.to_vec();
            bytes.extend(postcard::to_allocvec(&since).map_err(std::io::Error::other)?);
            seal(&mut bytes);
            return write(&beside(file, ".since"), &bytes);
        }
        let (bytes, sum) = self.encode().map_err(std::io::Error::other)?;
        write(file, &bytes)?;
        self.sum = Some(sum);
        self.otherwise.clear();
        // It belongs to the memo before, and would only be read in vain.
        let _ = std::fs::remove_file(beside(file, ".since"));
        Ok(())
    }

    pub(super) fn encode(&self) -> postcard::Result<(Vec<u8>, Digest)> {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(self.entries.len() * 160 + 64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.written.to_le_bytes());
        out.extend_from_slice(&self.actions.to_le_bytes());
        out.extend_from_slice(self.graph.unwrap_or(NO_DIGEST).as_bytes());
        out.extend_from_slice(&(self.outputs.len() as u32).to_le_bytes());
        self.outputs.iter().for_each(|output| text(&mut out, output));
        let known = postcard::to_allocvec(&self.known.iter().collect::<Vec<_>>())?;
        out.extend_from_slice(&(known.len() as u32).to_le_bytes());
        out.extend_from_slice(&known);
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for entry in &self.entries {
            out.push(entry.part as u8 * KINDS.len() as u8 + entry.kind as u8);
            text(&mut out, &entry.path);
            if entry.kind != Kind::Absent {
                let stat = &entry.stat;
                for number in [stat.dev, stat.ino, stat.size, stat.mtime_ns as u64, stat.ctime_ns as u64] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&stat.mode.to_le_bytes());
                out.extend_from_slice(entry.digest.as_bytes());
            }
        }
        let sum = seal(&mut out);
        Ok((out, sum))
    }

    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let (body, sum) = sealed(bytes)?;
        let mut reader = Reader { rest: body.strip_prefix(MAGIC)? };
        let written = reader.u64()? as i64;
        let actions = reader.u64()?;
        let graph = Some(reader.digest()?).filter(|graph| *graph != NO_DIGEST);
        let count = reader.u32()?;
        let outputs = (0..count).map(|_| reader.text()).collect::<Option<_>>()?;
        let length = reader.u32()? as usize;
        let known: Vec<(u32, Known)> = postcard::from_bytes(reader.take(length)?).ok()?;
        let count = reader.u32()?;
        let mut entries = Vec::with_capacity((count as usize).min(reader.rest.len() / 5));
        for _ in 0..count {
            let what = usize::from(reader.take(1)?[0]);
            let (kind, part) = (KINDS[what % KINDS.len()], *PARTS.get(what / KINDS.len())?);
            let path = reader.text()?;
            let mut entry = Entry { kind, part, path, stat: NOTHING, digest: NO_DIGEST };
            if kind != Kind::Absent {
                entry.stat = FileStat {
                    dev: reader.u64()?,
                    ino: reader.u64()?,
                    size: reader.u64()?,
                    mtime_ns: reader.u64()? as i64,
                    ctime_ns: reader.u64()? as i64,
                    mode: reader.u32()?,
                };
                entry.digest = reader.digest()?;
            }
            entries.push(entry);
        }
        reader.rest.is_empty().then(|| Self {
            written,
            actions,
            graph,
            outputs,
            known: known.into_iter().collect(),
            entries,
            otherwise: BTreeSet::new(),
            sum: Some(sum),
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn digest(&mut self) -> Option<Digest> {
        Some(Digest::from_bytes(self.take(32)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).ok().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo() -> Memo {
        let entry = |part, path: &str| Entry {
            kind: Kind::Content,
            part,
            path: path.to_owned(),
            stat: FileStat { ino: 7, mtime_ns: -1, ..NOTHING },
            digest: Digest::of_blob(path.as_bytes()),
        };
        let absent =
            Entry { kind: Kind::Absent, part: Part::Ground, path: "no".into(), stat: NOTHING, digest: NO_DIGEST };
        Memo {
            written: 5,
            actions: 3,
            graph: Some(Digest::of_blob(b"graph")),
            outputs: vec!["o".into()],
            known: BTreeMap::new(),
            entries: vec![entry(Part::Source, "in/a"), absent, entry(Part::Output, "out/a")],
            otherwise: BTreeSet::new(),
            sum: None,
        }
    }

    #[test]
    fn round_trips_and_refuses_damage() {
        let (bytes, sum) = memo().encode().unwrap();
        let again = Memo::decode(bytes.clone()).unwrap();
        assert_eq!((again.sum, again.encode().unwrap()), (Some(sum), (bytes.clone(), sum)));
        assert_eq!(again.entries[2].part, Part::Output);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Memo::decode(damaged).is_none(), "byte {at}");
            assert!(Memo::decode(bytes[..at].to_vec()).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_otherwise_counts_for_its_own_memo_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memo");
        let mut first = memo();
        first.keep(&file).unwrap();
        let whole = std::fs::read(&file).unwrap();
        let now = FileStat { ino: 8, ..NOTHING };
        first.written = 6;
        first.set(2, now, Digest::of_blob(b"new"));
        first.keep(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), whole, "only what is otherwise was written");
        let found = Memo::read(&file).unwrap();
        assert_eq!((found.written, found.entries[2].stat, found.entries[0].stat.ino), (6, now, 7));
        // A memo that took its place knows nothing of it; neither does one that is damaged.
        let mut other = memo();
        other.actions = 4;
        std::fs::write(&file, other.encode().unwrap().0).unwrap();
        assert_eq!(Memo::read(&file).unwrap().written, 5);
        std::fs::write(&file, &whole).unwrap();
        let since = dir.path().join("memo.since");
        let mut bytes = std::fs::read(&since).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&since, bytes).unwrap();
        assert_eq!(Memo::read(&file).unwrap().written, 5);
    }
}
