//! Reading an archive strictly: once, from front to back, with bounded memory, comparing every byte
//! of the layout with the one canonical form. No central directory is searched for and no offset is
//! followed, so there is nothing to confuse. Leaves out whether the contents are the right ones.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::bundle::bits::Bits;
use crate::bundle::code::Code;
use crate::bundle::content::{CHUNK_BYTES, FileFacts, for_each_chunk};
use crate::bundle::hashes::Hashes;
use crate::bundle::json::first_difference;
use crate::bundle::layout::{CENTRAL, EXEC, LOCAL, LOCAL_FIXED, PLAIN, Shape, end};
use crate::bundle::verdict::{Refusal, VerifyLimits};

/// Bytes of a ZIP64 field of two sizes.
const EXTRA64: usize = 20;

/// What reading an archive found.
pub(crate) struct Scan {
    /// The SHA-256 of all its bytes, or of those up to a refusal.
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u64,
    pub(crate) layout: Result<Layout, Refusal>,
}

/// What is known of a canonical archive besides what its entries hold.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How many entries it has.
    pub(crate) entries: u64,
    /// Which of those outside `META/` may be executed.
    pub(crate) exec: Bits,
}

/// Takes the entries of an archive as they are read.
pub(crate) trait Sink {
    /// Whether entries are to be hashed; their CRC-32 is always compared.
    fn hashes(&self) -> bool;

    /// An entry begins. An error refuses the archive.
    fn begin(&mut self, name: &str, size: u64) -> Result<(), Refusal>;

    /// More bytes of it.
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// It has ended; its hashes if they were wanted.
    fn end(&mut self, facts: Option<FileFacts>);

    /// There are no more. An error refuses the archive.
    fn done(&mut self) -> Result<(), Refusal>;
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

/// Reads a whole archive.
pub(crate) fn scan(file: impl Read, limits: &VerifyLimits, sink: &mut dyn Sink) -> io::Result<Scan> {
    scan_rest(file, limits, sink, false)
}

/// Reads a whole archive. With `rest`, what comes after a refusal is still hashed, so that the digest is known.
pub(crate) fn scan_rest(file: impl Read, limits: &VerifyLimits, sink: &mut dyn Sink, rest: bool) -> io::Result<Scan> {
    let mut tape = Tape { inner: io::BufReader::with_capacity(CHUNK_BYTES, file), hasher: Sha256::new(), count: 0 };
    let layout = match read_layout(&mut tape, limits, sink) {
        Ok(layout) => Ok(layout),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::Io(error)) => return Err(error),
    };
    if rest {
        tape.drain()?;
    }
    Ok(Scan { sha256: tape.hasher.finalize().into(), size: tape.count, layout })
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

/// What the central directory must be, by the entries read: a hash of its bytes with no entry executable.
#[derive(Default)]
struct Directory {
    hasher: blake3::Hasher,
    entries: u64,
    any_large: bool,
}

impl Directory {
    fn add(&mut self, shape: &Shape<'_>, offset: u64) {
        self.hasher.update(&shape.central(offset, false));
        self.entries += 1;
        self.any_large |= shape.is_large();
    }
}

fn read_layout<R: Read>(tape: &mut Tape<R>, limits: &VerifyLimits, sink: &mut dyn Sink) -> Result<Layout, Stop> {
    let mut directory = Directory::default();
    let mut last = String::new();
    let mut name_bytes = 0_u64;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut head = [0; 4];
    loop {
        let offset = tape.count;
        tape.exact(&mut head)?;
        if head != LOCAL {
            break;
        }
        if directory.entries >= limits.entries {
            return Err(beyond(format!("it holds more than {} entries", limits.entries)));
        }
        let (name, size, crc32) = read_local(tape, head)?;
        name_bytes += name.len() as u64;
        if name_bytes > limits.name_bytes {
            return Err(beyond(format!("its names take more than {} bytes", limits.name_bytes)));
        }
        if directory.entries > 0 && last == name {
            return Err(Refusal::new(Code::B0603, format!("`{}` is there twice", name.escape_debug())).into());
        }
        if last.as_bytes() > name.as_bytes() {
            return Err(not_canonical(format!("`{}` is not in order", name.escape_debug())));
        }
        sink.begin(&name, size)?;
        let mut hashes = sink.hashes().then(|| Hashes::new(size));
        let mut crc = crc32fast::Hasher::new();
        let mut left = size;
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let bytes = &mut buffer[..part];
            tape.exact(bytes)?;
            match &mut hashes {
                Some(hashes) => hashes.update(bytes),
                None => crc.update(bytes),
            }
            sink.bytes(&name, bytes).map_err(Stop::Io)?;
            left -= part as u64;
        }
        let (facts, found) = match hashes {
            Some(hashes) => {
                let (facts, found) = hashes.finish(name.clone(), false);
                (Some(facts), found)
            }
            None => (None, crc.finalize()),
        };
        if found != crc32 {
            return Err(not_canonical(format!("the CRC-32 of `{name}` is {found:08x}, not {crc32:08x}")));
        }
        sink.end(facts);
        directory.add(&Shape { name: &name, size, crc32 }, offset);
        last = name;
    }
    sink.done()?;
    let exec = read_directory(tape, head, &directory)?;
    Ok(Layout { entries: directory.entries, exec })
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

/// Bytes of an entry of the directory before its name, and where in them things stand.
const CENTRAL_FIXED: usize = 46;
const CENTRAL_LENGTHS: usize = 28;
const CENTRAL_MODE: usize = 38;
/// The largest extra field of an entry of the directory: three numbers of ZIP64.
const CENTRAL_EXTRA: usize = 28;

/// Reads the central directory and the end, and compares them with what they must be. Returns which entries outside
/// `META/` may be executed.
fn read_directory<R: Read>(tape: &mut Tape<R>, head: [u8; 4], due: &Directory) -> Result<Bits, Stop> {
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
    let mut exec = Bits::default();
    let mut hasher = blake3::Hasher::new();
    for at in 0..due.entries {
        let mut fixed = next(tape, CENTRAL_FIXED)?;
        let length = |at: usize| usize::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
        let [name, extra, comment] = [0, 2, 4].map(|more| length(CENTRAL_LENGTHS + more));
        if !fixed.starts_with(&CENTRAL) || extra > CENTRAL_EXTRA || comment > 0 {
            return Err(not_canonical(format!("entry {at} of its directory is not canonical")));
        }
        let rest = tape.vec(name + extra)?;
        let name = String::from_utf8_lossy(&rest[..name]);
        let mode = &mut fixed[CENTRAL_MODE..CENTRAL_MODE + 4];
        let found = u32::from_le_bytes([mode[0], mode[1], mode[2], mode[3]]) >> 16;
        let is_exec = found == EXEC;
        if is_exec {
            // The hash is of the bytes as they are without that.
            mode[2..].copy_from_slice(&(PLAIN as u16).to_le_bytes());
        } else if found != PLAIN {
            let why = "is not allowed: 100644 or 100755 only";
            return Err(not_canonical(format!("the mode {found:o} of `{}` {why}", name.escape_debug())));
        }
        if !name.starts_with("META/") {
            exec.push(is_exec);
        } else if is_exec {
            return Err(not_canonical(format!("`{}` is executable", name.escape_debug())));
        }
        hasher.update(&fixed);
        hasher.update(&rest);
    }
    if hasher.finalize() != due.hasher.finalize() {
        return Err(not_canonical("its directory is not that of its entries"));
    }
    let size = if due.entries == 0 { 0 } else { tape.count - start };
    let expected = end(due.entries, size, start, due.any_large);
    let found = next(tape, expected.len())?;
    if let Some(at) = first_difference(&found, &expected) {
        return Err(not_canonical(format!("byte {at} of the end of the archive is not canonical")));
    }
    if tape.fill(&mut [0])? > 0 {
        return Err(not_canonical("there are bytes after the end of the archive"));
    }
    Ok(exec)
}

#[cfg(test)]
mod tests;
