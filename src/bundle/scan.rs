//! Reading an archive strictly: once, from front to back, with bounded memory, comparing every byte
//! of the layout with the one canonical form. No central directory is searched for and no offset is
//! followed, so there is nothing to confuse. Leaves out whether the contents are the right ones.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::bundle::code::Code;
use crate::bundle::content::{CHUNK_BYTES, FileFacts, for_each_chunk};
use crate::bundle::hashes::Hashes;
use crate::bundle::json::first_difference;
use crate::bundle::layout::{LOCAL, LOCAL_FIXED, Shape, end};
use crate::bundle::manifest::META;
use crate::bundle::names::Names;
use crate::bundle::verdict::{Refusal, VerifyLimits};

/// Bytes of a ZIP64 field of two sizes.
const EXTRA64: usize = 20;

/// What reading an archive found.
pub(crate) struct Scan {
    /// The SHA-256 of all its bytes, canonical or not.
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u64,
    pub(crate) contents: Result<Contents, Refusal>,
}

/// What is in a canonical archive.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Every entry, in order.
    pub(crate) entries: Vec<FileFacts>,
    /// The bytes of the documents in `META/`.
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    /// The files below `out/`.
    pub(crate) fn payload(&self) -> &[FileFacts] {
        // `META/` sorts before `out/`.
        &self.entries[self.entries.partition_point(|entry| !entry.path.starts_with("out/"))..]
    }
}

/// Why reading stopped.
enum Stop {
    Io(io::Error),
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn not_canonical(why: impl Into<String>) -> Stop {
    Stop::Refused(Refusal::new(Code::B0602, why))
}

fn beyond(why: impl Into<String>) -> Stop {
    Stop::Refused(Refusal::new(Code::B0604, why))
}

/// Reads a whole archive. After a refusal the rest is still hashed, so that the digest is known.
pub(crate) fn scan(file: impl Read, limits: &VerifyLimits) -> io::Result<Scan> {
    let mut tape = Tape { inner: io::BufReader::with_capacity(CHUNK_BYTES, file), hasher: Sha256::new(), count: 0 };
    let contents = match read_contents(&mut tape, limits) {
        Ok(contents) => Ok(contents),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::Io(error)) => return Err(error),
    };
    tape.drain()?;
    Ok(Scan { sha256: tape.hasher.finalize().into(), size: tape.count, contents })
}

/// A stream that hashes what passes.
struct Tape<R> {
    inner: R,
    hasher: Sha256,
    count: u64,
}

impl<R: Read> Tape<R> {
    /// Fills the buffer as far as there are bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Io(error)),
            }
        }
        self.hasher.update(&buffer[..filled]);
        self.count += filled as u64;
        Ok(filled)
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        if self.fill(buffer)? < buffer.len() {
            return Err(not_canonical(format!("it ends at byte {}, in the middle of something", self.count)));
        }
        Ok(())
    }

    fn vec(&mut self, length: usize) -> Result<Vec<u8>, Stop> {
        let mut bytes = vec![0; length];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    fn drain(&mut self) -> io::Result<()> {
        let (hasher, count) = (&mut self.hasher, &mut self.count);
        for_each_chunk(&mut self.inner, |chunk| {
            let bytes = chunk?;
            hasher.update(bytes);
            *count += bytes.len() as u64;
            Ok(())
        })
    }
}

/// Where an entry began, and its checksum: what the central directory repeats.
struct Mark {
    offset: u64,
    crc32: u32,
}

fn read_contents<R: Read>(tape: &mut Tape<R>, limits: &VerifyLimits) -> Result<Contents, Stop> {
    let mut contents = Contents { entries: Vec::new(), meta: BTreeMap::new() };
    let mut marks: Vec<Mark> = Vec::new();
    let mut names = Names::default();
    let mut name_bytes = 0_u64;
    let mut head = [0; 4];
    loop {
        let offset = tape.count;
        tape.exact(&mut head)?;
        if head != LOCAL {
            break;
        }
        if contents.entries.len() as u64 >= limits.entries {
            return Err(beyond(format!("it holds more than {} entries", limits.entries)));
        }
        let (name, size, crc32) = read_local(tape, head)?;
        name_bytes += name.len() as u64;
        if name_bytes > limits.name_bytes {
            return Err(beyond(format!("its names take more than {} bytes", limits.name_bytes)));
        }
        names.add(&name).map_err(|error| Refusal::new(Code::B0603, error.to_string()))?;
        let is_meta = META.contains(&name.as_str());
        if !is_meta && !name.starts_with("out/") {
            return Err(Refusal::new(
                Code::B0603,
                format!("`{name}` is neither a known file of `META/` nor below `out/`"),
            )
            .into());
        }
        if contents.entries.last().is_some_and(|last| last.path.as_bytes() >= name.as_bytes()) {
            return Err(not_canonical(format!("`{name}` is not in order")));
        }
        if is_meta && size > limits.document_bytes {
            return Err(beyond(format!("`{name}` is larger than {} bytes", limits.document_bytes)));
        }
        let mut kept = is_meta.then(Vec::new);
        let mut hashes = Hashes::new(size);
        let mut left = size;
        let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(size).unwrap_or(CHUNK_BYTES))];
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            tape.exact(&mut buffer[..part])?;
            hashes.update(&buffer[..part]);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(&buffer[..part]);
            }
            left -= part as u64;
        }
        let (facts, found) = hashes.finish(name.clone(), false);
        if found != crc32 {
            return Err(not_canonical(format!("the CRC-32 of `{name}` is {found:08x}, not {crc32:08x}")));
        }
        if let Some(kept) = kept {
            contents.meta.insert(name, kept);
        }
        contents.entries.push(facts);
        marks.push(Mark { offset, crc32 });
    }
    read_directory(tape, head, &mut contents.entries, &marks)?;
    if let Some(missing) = META.iter().find(|name| !contents.meta.contains_key(**name)) {
        return Err(not_canonical(format!("`{missing}` is missing")));
    }
    Ok(contents)
}

/// Reads a local header whose signature has been read, and compares it with what it must be.
fn read_local<R: Read>(tape: &mut Tape<R>, head: [u8; 4]) -> Result<(String, u64, u32), Stop> {
    let mut raw = [0; LOCAL_FIXED];
    raw[..4].copy_from_slice(&head);
    tape.exact(&mut raw[4..])?;
    let u16_at = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let method = u16_at(8);
    let name = tape.vec(usize::from(u16_at(26)))?;
    let name = String::from_utf8(name).map_err(|error| {
        Refusal::new(
            Code::B0603,
            format!("the name `{}` is not UTF-8", String::from_utf8_lossy(error.as_bytes()).escape_debug()),
        )
    })?;
    if method != 0 {
        return Err(not_canonical(format!("`{}` is compressed by method {method}, not stored", name.escape_debug())));
    }
    let extra = match usize::from(u16_at(28)) {
        0 => Vec::new(),
        EXTRA64 => tape.vec(EXTRA64)?,
        other => return Err(not_canonical(format!("`{}` has an extra field of {other} bytes", name.escape_debug()))),
    };
    let size = match extra.get(4..12).map(<[u8; 8]>::try_from) {
        Some(Ok(size)) => u64::from_le_bytes(size),
        _ => u64::from(u32_at(18)),
    };
    let crc32 = u32_at(14);
    let mut found = raw.to_vec();
    found.extend(name.as_bytes());
    found.extend(extra);
    match first_difference(&found, &Shape { name: &name, size, crc32 }.local()) {
        None => Ok((name, size, crc32)),
        Some(at) => {
            Err(not_canonical(format!("byte {at} of the header of `{}` is not canonical", name.escape_debug())))
        }
    }
}

/// Reads the central directory and the end, and compares them with what they must be.
fn read_directory<R: Read>(
    tape: &mut Tape<R>,
    head: [u8; 4],
    entries: &mut [FileFacts],
    marks: &[Mark],
) -> Result<(), Stop> {
    // The first four bytes have been read as the signature of a next local header.
    let start = tape.count - 4;
    let mut ahead = head.to_vec();
    let mut next = |tape: &mut Tape<R>, length: usize| -> Result<Vec<u8>, Stop> {
        let mut bytes = std::mem::take(&mut ahead);
        let got = bytes.len();
        bytes.resize(length, 0);
        tape.exact(&mut bytes[got..])?;
        Ok(bytes)
    };
    let mut any_large = false;
    for (entry, mark) in entries.iter_mut().zip(marks) {
        let shape = Shape { name: &entry.path, size: entry.size, crc32: mark.crc32 };
        any_large |= shape.is_large();
        let [plain, exec] = [shape.central(mark.offset, false), shape.central(mark.offset, true)];
        let found = next(tape, plain.len())?;
        if found == exec {
            entry.exec = true;
        } else if let Some(at) = first_difference(&found, &plain) {
            let mode = u32::from_le_bytes([found[38], found[39], found[40], found[41]]) >> 16;
            let why = if (38..42).contains(&at) {
                format!("the mode {mode:o} of `{}` is not allowed: 100644 or 100755 only", entry.path)
            } else {
                format!("byte {at} of the directory entry of `{}` is not canonical", entry.path)
            };
            return Err(not_canonical(why));
        }
        if entry.exec && entry.path.starts_with("META/") {
            return Err(not_canonical(format!("`{}` is executable", entry.path)));
        }
    }
    let size = if entries.is_empty() { 0 } else { tape.count - start };
    let expected = end(entries.len() as u64, size, start, any_large);
    let found = next(tape, expected.len())?;
    if let Some(at) = first_difference(&found, &expected) {
        return Err(not_canonical(format!("byte {at} of the end of the archive is not canonical")));
    }
    if tape.fill(&mut [0])? > 0 {
        return Err(not_canonical("there are bytes after the end of the archive"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
