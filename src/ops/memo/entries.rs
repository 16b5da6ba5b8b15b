//! The paths that a memo looks at, each with what it was. There may be hundreds of thousands: they lie one after
//! the other in two pieces of memory, as they do in the file. Leaves out looking, and the file.

use crate::base::Digest;
use crate::store::FileStat;

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

/// One path with what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) kind: Kind,
    pub(super) part: Part,
    pub(super) path: &'a str,
    pub(super) stat: FileStat,
    pub(super) digest: Digest,
}

pub(super) const NOTHING: FileStat = FileStat { dev: 0, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0, mode: 0 };
pub(super) const NO_DIGEST: Digest = Digest::from_bytes([0; 32]);

/// Entries by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    paths: String,
    records: Vec<u8>,
}

/// Bytes of one record: what it is, where its path ends, metadata, digest.
const RECORD: usize = 1 + 4 + STAT + 32;
const STAT: usize = 5 * 8 + 4;

impl Entries {
    /// Of the two sections of a file; `None` if they do not fit each other.
    pub(super) fn of(paths: String, records: Vec<u8>) -> Option<Self> {
        let entries = Self { paths, records };
        let is_whole = entries.records.len().is_multiple_of(RECORD);
        let fits = is_whole && (0..entries.len()).all(|at| entries.get(at).is_some());
        let end = entries.len().checked_sub(1).map_or(0, |last| entries.end(last));
        (fits && end == entries.paths.len()).then_some(entries)
    }

    /// The sections of a file.
    pub(super) fn sections(&self) -> (&str, &[u8]) {
        (&self.paths, &self.records)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() / RECORD
    }

    fn record(&self, at: usize) -> Option<&[u8; RECORD]> {
        self.records.get(at * RECORD..)?.first_chunk()
    }

    /// Where the path of an entry ends.
    fn end(&self, at: usize) -> usize {
        let end = self.record(at).and_then(|record| record[1..].first_chunk().copied());
        end.map_or(0, |end| u32::from_le_bytes(end) as usize)
    }

    pub(super) fn get(&self, at: usize) -> Option<Entry<'_>> {
        let record = self.record(at)?;
        let what = usize::from(record[0]);
        let (kind, part) = (KINDS[what % KINDS.len()], *PARTS.get(what / KINDS.len())?);
        let path = self.paths.get(at.checked_sub(1).map_or(0, |before| self.end(before))..self.end(at))?;
        let (stat, digest) = record[5..].split_first_chunk::<STAT>()?;
        let number = |at: usize| stat[at * 8..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        let stat = FileStat {
            dev: number(0),
            ino: number(1),
            size: number(2),
            mtime_ns: number(3) as i64,
            ctime_ns: number(4) as i64,
            mode: u32::from_le_bytes(*stat.last_chunk()?),
        };
        Some(Entry { kind, part, path, stat, digest: Digest::from_bytes(*digest.first_chunk()?) })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Adds one; `None` if there is no room for its path.
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Option<()> {
        let end = u32::try_from(self.paths.len() + entry.path.len()).ok()?;
        self.paths.push_str(entry.path);
        self.records.push(entry.part as u8 * KINDS.len() as u8 + entry.kind as u8);
        self.records.extend_from_slice(&end.to_le_bytes());
        self.records.extend_from_slice(&packed(&entry.stat));
        self.records.extend_from_slice(entry.digest.as_bytes());
        Some(())
    }

    /// Sets what an entry is now; `false` if there is none.
    pub(super) fn set(&mut self, at: usize, stat: &FileStat, digest: Digest) -> bool {
        let Some(record) = self.records.get_mut(at * RECORD..(at + 1) * RECORD) else { return false };
        record[5..5 + STAT].copy_from_slice(&packed(stat));
        record[5 + STAT..].copy_from_slice(digest.as_bytes());
        true
    }
}

fn packed(stat: &FileStat) -> [u8; STAT] {
    let mut out = [0; STAT];
    let numbers = [stat.dev, stat.ino, stat.size, stat.mtime_ns as u64, stat.ctime_ns as u64];
    for (place, number) in out.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    out[40..].copy_from_slice(&stat.mode.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_was_put() {
        let stat = FileStat { dev: 1, ino: u64::MAX, size: 3, mtime_ns: -4, ctime_ns: i64::MIN, mode: 0o100_644 };
        let entry = |kind, part, path| Entry { kind, part, path, stat, digest: Digest::of_blob(b"x") };
        let mut entries = Entries::default();
        let mut all = Vec::new();
        for (at, kind) in KINDS.into_iter().enumerate() {
            for part in PARTS {
                all.push(entry(kind, part, ["a", "", "über/c", "d"][at]));
            }
        }
        for entry in &all {
            entries.push(entry).unwrap();
        }
        assert_eq!(entries.iter().collect::<Vec<_>>(), all);
        assert_eq!((entries.len(), entries.get(12)), (12, None));
        assert!(entries.set(4, &NOTHING, NO_DIGEST) && !entries.set(12, &NOTHING, NO_DIGEST));
        assert_eq!(entries.get(4), Some(Entry { stat: NOTHING, digest: NO_DIGEST, ..all[4] }));
        assert_eq!(entries.get(5), Some(all[5]));
        let (paths, records) = entries.sections();
        assert_eq!(Entries::of(paths.to_owned(), records.to_vec()).as_ref(), Some(&entries));
        assert_eq!(Entries::of(format!("{paths}x"), records.to_vec()), None);
        assert_eq!(Entries::of(paths.to_owned(), records[1..].to_vec()), None);
        assert_eq!(Entries::of(String::new(), records.to_vec()), None);
    }
}
