//! Writing a canonical archive straight to a file, front to back but for what is known late: the checksum in the header
//! of a large file, and documents that tell of the files after them. Leaves out what the entries are.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::bundle::error::Error;
use crate::bundle::layout::{Shape, end};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1024 * 1024;

/// An entry that has been begun.
struct Entry {
    name: String,
    size: u64,
    exec: bool,
    /// Where its header is.
    offset: u64,
    /// Of its bytes, so many are missing.
    left: u64,
}

/// An archive being written.
pub(crate) struct Archive<'a> {
    file: &'a File,
    path: &'a Path,
    /// Bytes before those in the buffer.
    at: u64,
    buffer: Vec<u8>,
    /// Entries whose place was left free, until they are filled.
    free: Vec<Entry>,
    open: Option<Entry>,
    /// The directory of entries that are done, in which those that are free come first.
    first: Vec<u8>,
    directory: Vec<u8>,
    count: u64,
    any_large: bool,
}

impl<'a> Archive<'a> {
    /// Writes into an empty file; `path` is named in errors.
    pub(crate) fn new(file: &'a File, path: &'a Path) -> Self {
        Self {
            file,
            path,
            at: 0,
            buffer: Vec::with_capacity(BUFFER),
            free: Vec::new(),
            open: None,
            first: Vec::new(),
            directory: Vec::new(),
            count: 0,
            any_large: false,
        }
    }

    fn position(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.write_all_at(&self.buffer, self.at).map_err(Error::write("write", self.path))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER / 4 && self.buffer.is_empty() {
            self.file.write_all_at(bytes, self.at).map_err(Error::write("write", self.path))?;
            self.at += bytes.len() as u64;
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Bytes at a place that has been passed.
    fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        // What is in the buffer is changed there; a header is never half in it.
        match offset.checked_sub(self.at).and_then(|at| usize::try_from(at).ok()) {
            Some(at) => {
                self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            None => self.file.write_all_at(bytes, offset).map_err(Error::write("write", self.path)),
        }
    }

    /// Leaves room for an entry that comes before all that are started. Names must come in byte order.
    pub(crate) fn leave(&mut self, name: &str, size: u64) -> Result<(), Error> {
        self.flush()?;
        let offset = self.at;
        self.at += Shape { name, size, crc32: 0 }.local().len() as u64 + size;
        self.free.push(Entry { name: name.to_owned(), size, exec: false, offset, left: size });
        Ok(())
    }

    /// Fills the room that was left first, second, and so on: in this order.
    pub(crate) fn fill(&mut self, at: usize, bytes: &[u8]) -> Result<(), Error> {
        let Some(entry) = self.free.get(at).filter(|entry| entry.size == bytes.len() as u64) else {
            return Err(self.wrong("a document is not as long as the room that was left for it"));
        };
        let shape = Shape { name: &entry.name, size: entry.size, crc32: crc32fast::hash(bytes) };
        let local = shape.local();
        let failed = || Error::write("write", self.path);
        self.file.write_all_at(&local, entry.offset).map_err(failed())?;
        self.file.write_all_at(bytes, entry.offset + local.len() as u64).map_err(failed())?;
        self.first.extend(shape.central(entry.offset, entry.exec));
        self.any_large |= shape.is_large();
        self.count += 1;
        Ok(())
    }

    /// Starts an entry. Names must come in byte order.
    pub(crate) fn start(&mut self, name: &str, size: u64, exec: bool) -> Result<(), Error> {
        let offset = self.position();
        self.append(&Shape { name, size, crc32: 0 }.local())?;
        self.open = Some(Entry { name: name.to_owned(), size, exec, offset, left: size });
        Ok(())
    }

    /// More bytes of the entry started last.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let left = self.open.as_mut().and_then(|entry| {
            entry.left = entry.left.checked_sub(bytes.len() as u64)?;
            Some(entry.left)
        });
        if left.is_none() {
            return Err(self.wrong("an entry has more bytes than were promised"));
        }
        self.append(bytes)
    }

    /// Ends the entry started last.
    pub(crate) fn end(&mut self, crc32: u32) -> Result<(), Error> {
        let Some(entry) = self.open.take().filter(|entry| entry.left == 0) else {
            return Err(self.wrong("an entry has fewer bytes than were promised"));
        };
        let shape = Shape { name: &entry.name, size: entry.size, crc32 };
        self.patch(entry.offset, &shape.local())?;
        self.directory.extend(shape.central(entry.offset, entry.exec));
        self.any_large |= shape.is_large();
        self.count += 1;
        Ok(())
    }

    /// Ends the archive. The bytes are with the operating system, not yet durable.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let offset = self.position();
        let directory = [std::mem::take(&mut self.first), std::mem::take(&mut self.directory)].concat();
        self.append(&directory)?;
        let end = end(self.count, directory.len() as u64, offset, self.any_large);
        self.append(&end)?;
        self.flush()
    }

    fn wrong(&self, why: &str) -> Error {
        Error::NotCanonical { path: self.path.to_owned(), why: why.to_owned() }
    }
}
