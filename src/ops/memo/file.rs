//! The memo as a file: what stood when it was written, and what of that changed since, beside it. Leaves
//! out what the entries mean.
//!
//! `<key>`, little-endian: magic; the lengths (u32 each) of four sections; the sections; the BLAKE3 of all before.
//!
//! | section | holds |
//! | --- | --- |
//! | head | packed: `written`, how many actions, the digest that the graph beside it ends with, results that are not those of the graph |
//! | outputs | where outputs are shown, each with a NUL at its end |
//! | paths | the paths of entries, one after the other |
//! | entries | for each: what it is u8, where its path ends u32, dev u64, ino u64, size u64, mtime i64, ctime i64, mode u32, digest 32 bytes |
//!
//! There may be very many entries: they are looked at where they lie, and take no more memory than the file.
//!
//! `<key>.since`: magic, then packed: the digest that the memo ends with, `written`, the entries that are
//! otherwise, all results that are not those of the graph; the BLAKE3 of all before. One that belongs to
//! another memo counts as not there, which loses time alone: each file is a whole statement by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};
use crate::exec::Known;
use crate::ops::memo::entries::Entries;
use crate::store::FileStat;

const MAGIC: &[u8] = b"partita memo 4\n";
const SINCE: &[u8] = b"partita memo since 1\n";

/// Bytes of the largest file that is read.
const LARGEST: u64 = 1 << 30;

/// A memo with what is otherwise since it was written.
#[derive(Clone, Debug)]
pub(super) struct Memo {
    pub(super) written: i64,
    pub(super) actions: u64,
    /// What the graph beside it ends with.
    pub(super) graph: Option<Digest>,
    /// Where outputs are, for people: each with a NUL at its end.
    pub(super) outputs: String,
    /// Results that are not those of the graph, by the number of the action.
    pub(super) known: BTreeMap<u32, Known>,
    pub(super) entries: Entries,
    /// Which entries are otherwise since the file was written.
    pub(super) otherwise: BTreeSet<u32>,
    /// What the file ends with; `None` if it is not written yet, or must be written as a whole.
    pub(super) sum: Option<Digest>,
}

/// What is little of a memo.
#[derive(Serialize, Deserialize)]
struct Head {
    written: i64,
    actions: u64,
    graph: Option<Digest>,
    known: Vec<(u32, Known)>,
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

/// Replaces a file by pieces, one after the other.
pub(super) fn write(file: &Path, pieces: &[&[u8]]) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    for piece in pieces {
        temporary.write_all(piece)?;
    }
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// Sections of a memo.
const SECTIONS: usize = 4;

impl Memo {
    /// The memo at a place, if there is a whole one.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let length = std::fs::metadata(file).ok().filter(|found| found.is_file() && found.len() <= LARGEST)?.len();
        let mut memo = Self::decode(&mut File::open(file).ok()?, length)?;
        if let Some(since) = read(&beside(file, ".since")).and_then(|bytes| memo.since(bytes)) {
            memo.written = since.written;
            for (at, stat, digest) in since.entries {
                memo.set(at, stat, digest);
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
        if self.entries.set(at as usize, &stat, digest) {
            self.otherwise.insert(at);
        }
    }

    /// Keeps it: what is otherwise alone while that is little, else all of it.
    pub(super) fn keep(&mut self, file: &Path) -> std::io::Result<()> {
        if let Some(memo) = self.sum.filter(|_| self.otherwise.len() * 8 <= self.entries.len().max(512)) {
            let entry = |at: &u32| {
                let entry = self.entries.get(*at as usize)?;
                Some((*at, entry.stat, entry.digest))
            };
            let since = Since {
                memo,
                written: self.written,
                entries: self.otherwise.iter().filter_map(entry).collect(),
                known: self.known.iter().map(|(at, known)| (*at, known.clone())).collect(),
            };
            let mut bytes = SINCE.to_vec();
            bytes.extend(postcard::to_allocvec(&since).map_err(std::io::Error::other)?);
            seal(&mut bytes);
            return write(&beside(file, ".since"), &[&bytes]);
        }
        let (start, sum) = self.start().map_err(std::io::Error::other)?;
        let (paths, records) = self.entries.sections();
        write(file, &[&start, self.outputs.as_bytes(), paths.as_bytes(), records, sum.as_bytes()])?;
        self.sum = Some(sum);
        self.otherwise.clear();
        // It belongs to the memo before, and would only be read in vain.
        let _ = std::fs::remove_file(beside(file, ".since"));
        Ok(())
    }

    /// What the file begins with, up to the second section, and what it ends with.
    fn start(&self) -> postcard::Result<(Vec<u8>, Digest)> {
        let known = self.known.iter().map(|(at, known)| (*at, known.clone())).collect();
        let head = Head { written: self.written, actions: self.actions, graph: self.graph, known };
        let head = postcard::to_allocvec(&head)?;
        let (paths, records) = self.entries.sections();
        let mut start = MAGIC.to_vec();
        for length in [head.len(), self.outputs.len(), paths.len(), records.len()] {
            // What does not fit is longer than any file that is read.
            start.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        start.extend_from_slice(&head);
        let mut hasher = Hasher::of_blob();
        for piece in [&start, self.outputs.as_bytes(), paths.as_bytes(), records] {
            hasher.update(piece);
        }
        Ok((start, hasher.finish()))
    }

    /// Reads a memo of as many bytes.
    fn decode(file: &mut dyn Read, length: u64) -> Option<Self> {
        let mut hasher = Hasher::of_blob();
        let mut take = |length: usize| {
            let mut piece = vec![0; length];
            file.read_exact(&mut piece).ok()?;
            hasher.update(&piece);
            Some(piece)
        };
        if take(MAGIC.len())? != MAGIC {
            return None;
        }
        let mut lengths = [0_usize; SECTIONS];
        for section in &mut lengths {
            *section = u32::from_le_bytes(*take(4)?.first_chunk()?) as usize;
        }
        let whole =
            MAGIC.len() as u64 + 4 * SECTIONS as u64 + lengths.iter().map(|section| *section as u64).sum::<u64>() + 32;
        if whole != length {
            return None;
        }
        let [head, outputs, paths, records] = lengths;
        let (head, outputs, paths, records) = (take(head)?, take(outputs)?, take(paths)?, take(records)?);
        let mut end = [0; 32];
        file.read_exact(&mut end).ok()?;
        let sum = Digest::from_bytes(end);
        if hasher.finish() != sum {
            return None;
        }
        let head: Head = postcard::from_bytes(&head).ok()?;
        Some(Self {
            written: head.written,
            actions: head.actions,
            graph: head.graph,
            outputs: String::from_utf8(outputs).ok()?,
            known: head.known.into_iter().collect(),
            entries: Entries::of(String::from_utf8(paths).ok()?, records)?,
            otherwise: BTreeSet::new(),
            sum: Some(sum),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::memo::entries::{Entry, Kind, NO_DIGEST, NOTHING, Part};

    fn memo() -> Memo {
        let entry = |part, path| Entry {
            kind: Kind::Content,
            part,
            path,
            stat: FileStat { ino: 7, mtime_ns: -1, ..NOTHING },
            digest: Digest::of_blob(b"x"),
        };
        let absent = Entry { kind: Kind::Absent, part: Part::Ground, path: "no", stat: NOTHING, digest: NO_DIGEST };
        let mut entries = Entries::default();
        for entry in [entry(Part::Source, "in/a"), absent, entry(Part::Output, "out/a")] {
            entries.push(&entry).unwrap();
        }
        Memo {
            written: 5,
            actions: 3,
            graph: Some(Digest::of_blob(b"graph")),
            outputs: "o\0".into(),
            known: BTreeMap::new(),
            entries,
            otherwise: BTreeSet::new(),
            sum: None,
        }
    }

    fn bytes(mut memo: Memo) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memo");
        memo.keep(&file).unwrap();
        std::fs::read(&file).unwrap()
    }

    fn decode(bytes: &[u8]) -> Option<Memo> {
        Memo::decode(&mut &bytes[..], bytes.len() as u64)
    }

    #[test]
    fn round_trips_and_refuses_damage() {
        let whole = bytes(memo());
        let again = decode(&whole).unwrap();
        assert_eq!((&again.entries, again.outputs.as_str()), (&memo().entries, "o\0"));
        assert_eq!((again.written, again.actions, again.graph), (5, 3, memo().graph));
        assert_eq!(again.sum.map(|sum| sum.as_bytes().to_vec()), Some(whole[whole.len() - 32..].to_vec()));
        assert_eq!(bytes(Memo { sum: None, ..again }), whole);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {at}");
            assert!(decode(&whole[..at]).is_none(), "cut at {at}");
        }
        assert!(decode(&[&whole[..], &[0]].concat()).is_none());
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
        let stat = |at: usize| found.entries.get(at).unwrap().stat;
        assert_eq!((found.written, stat(2), stat(0).ino), (6, now, 7));
        // A memo that took its place knows nothing of it; neither does one that is damaged.
        let mut other = memo();
        other.actions = 4;
        std::fs::write(&file, bytes(other)).unwrap();
        assert_eq!(Memo::read(&file).unwrap().written, 5);
        std::fs::write(&file, &whole).unwrap();
        let since = dir.path().join("memo.since");
        let mut damaged = std::fs::read(&since).unwrap();
        damaged[30] ^= 1;
        std::fs::write(&since, damaged).unwrap();
        assert_eq!(Memo::read(&file).unwrap().written, 5);
    }
}
