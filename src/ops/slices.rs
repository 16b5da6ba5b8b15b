//! Parsed slices of a workspace's specs, and files as they were decoded, in one file of the user's cache directory, so that a
//! second compilation reads only what changed. The file may be deleted at any moment. What is damaged, or of
//! another version, counts as not there; what cannot be written is written another time. Leaves out the
//! encoding of a slice: see `lang`.
//!
//! Layout, little-endian: magic; count (u32); for each slice, sorted by digest: digest (32 bytes), length
//! (u32); the encoded slices in the same order; the BLAKE3 of all before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::base::{Digest, Environment};
use crate::lang::ParsedSlices;
use crate::ops::memo::program;

const MAGIC: &[u8] = b"partita parsed slices 1\n";

/// Bytes of the largest file that is read or written: some thirty times the largest spec.
const LARGEST: u64 = 128 * 1024 * 1024;

/// Slices by their digest. The file is read when the first is asked for.
pub(super) struct SliceFile {
    path: PathBuf,
    kept: OnceLock<Kept>,
    seen: Mutex<Seen>,
    decoder: OnceLock<Digest>,
}

/// What was in the file.
struct Kept {
    bytes: Vec<u8>,
    /// Where each slice is in `bytes`, sorted by digest.
    known: Vec<(Digest, Range<usize>)>,
}

impl Kept {
    fn read(path: &Path) -> Self {
        let small = std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST);
        let bytes = if small { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        let known = index(&bytes).unwrap_or_default();
        Self { bytes, known }
    }
}

/// What was come by.
#[derive(Default)]
struct Seen {
    used: BTreeSet<Digest>,
    new: BTreeMap<Digest, Vec<u8>>,
}

impl SliceFile {
    /// The slices of the specs below a folder; `None` if the user has no cache directory.
    pub(super) fn of(dir: &Path, environment: &Environment) -> Option<Self> {
        let name = Digest::of_blob(dir.as_os_str().as_encoded_bytes()).hex();
        Some(Self::at(environment.user_cache()?.join("partita-parsed").join(name)))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, kept: OnceLock::new(), seen: Mutex::default(), decoder: OnceLock::new() }
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(|| Kept::read(&self.path))
    }

    /// Whether what was compiled parsed something, or used less than half of what is kept.
    pub(super) fn has_news(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        !seen.new.is_empty() || seen.used.len() * 2 < self.kept().known.len()
    }

    /// Writes the file anew if there is news.
    pub(super) fn keep(&self) {
        if !self.has_news() {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { used, new } = std::mem::take(&mut *seen);
        let mut slices: BTreeMap<Digest, &[u8]> = new.iter().map(|(digest, bytes)| (*digest, &bytes[..])).collect();
        for digest in &used {
            if let Some(bytes) = self.find(*digest) {
                slices.insert(*digest, bytes);
            }
        }
        if let Err(error) = write(&self.path, &slices) {
            tracing::debug!(%error, path = %self.path.display(), "parsed slices are not kept");
        }
    }

    fn find(&self, slice: Digest) -> Option<&[u8]> {
        let kept = self.kept();
        let at = kept.known.binary_search_by_key(&slice, |(digest, _)| *digest).ok()?;
        kept.bytes.get(kept.known[at].1.clone())
    }
}

impl ParsedSlices for SliceFile {
    fn get(&self, slice: Digest) -> Option<&[u8]> {
        let found = self.find(slice)?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).used.insert(slice);
        Some(found)
    }

    fn put(&self, slice: Digest, encoded: Vec<u8>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).new.insert(slice, encoded);
    }

    fn decoder(&self) -> Option<Digest> {
        Some(*self.decoder.get_or_init(program))
    }
}

/// Where each slice is; `None` if the file is not whole.
fn index(bytes: &[u8]) -> Option<Vec<(Digest, Range<usize>)>> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of_blob(body).as_bytes() != checksum {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let mut at = MAGIC.len() + 4 + count.checked_mul(36)?;
    let mut known = Vec::with_capacity(count.min(rest.len() / 36));
    let mut table = rest;
    for _ in 0..count {
        let (digest, after) = table.split_first_chunk::<32>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        table = after;
        let end = at + u32::from_le_bytes(*length) as usize;
        known.push((Digest::from_bytes(*digest), at..end));
        at = end;
    }
    (at == body.len() && known.is_sorted_by(|a, b| a.0 < b.0)).then_some(known)
}

fn write(path: &Path, slices: &BTreeMap<Digest, &[u8]>) -> std::io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(slices.len() as u32).to_le_bytes());
    for (digest, encoded) in slices {
        bytes.extend_from_slice(digest.as_bytes());
        bytes.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
    }
    for encoded in slices.values() {
        bytes.extend_from_slice(encoded);
    }
    let checksum = Digest::of_blob(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    if bytes.len() as u64 > LARGEST {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    temporary.write_all(&bytes)?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SliceFile, index};
    use crate::base::Digest;
    use crate::lang::ParsedSlices;

    #[test]
    fn keeps_what_is_used_and_drops_what_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kept");
        let digest = |number: u8| Digest::of_blob(&[number]);
        let first = SliceFile::at(path.clone());
        for number in 0..5 {
            first.put(digest(number), vec![number; usize::from(number)]);
        }
        first.keep();
        let bytes = std::fs::read(&path).expect("it was written");
        // Nothing new and most of it used: the file stays.
        let second = SliceFile::at(path.clone());
        for number in 0..4 {
            assert_eq!(second.get(digest(number)), Some(&vec![number; usize::from(number)][..]));
        }
        assert_eq!(second.get(digest(9)), None);
        second.keep();
        assert_eq!(std::fs::read(&path).expect("it is there"), bytes);
        // Little used: the rest goes.
        let third = SliceFile::at(path.clone());
        third.get(digest(1));
        third.keep();
        let fourth = SliceFile::at(path);
        assert_eq!((fourth.get(digest(1)), fourth.get(digest(2))), (Some(&[1][..]), None));
        // Any damage voids the file.
        assert_eq!(index(&bytes).map(|known| known.len()), Some(5));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(index(&damaged), None, "byte {at}");
            assert_eq!(index(&bytes[..at]), None, "cut at {at}");
        }
    }
}
