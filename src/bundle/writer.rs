//! Writing a canonical archive: entries in order, straight to a file, through the `zip` crate. Leaves
//! out what the entries are. The settings are what makes its bytes canonical; see `layout`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use crate::bundle::error::Error;
use crate::bundle::layout::Shape;

/// An archive being written.
pub(crate) struct Archive<'a> {
    zip: ZipWriter<BufWriter<File>>,
    path: &'a Path,
}

impl<'a> Archive<'a> {
    /// Writes into an empty file; `path` is named in errors.
    pub(crate) fn new(file: File, path: &'a Path) -> Self {
        Self { zip: ZipWriter::new(BufWriter::with_capacity(256 * 1024, file)), path }
    }

    /// Starts an entry. Names must come in byte order; the size decides on ZIP64.
    pub(crate) fn start(&mut self, name: &str, size: u64, exec: bool) -> Result<(), Error> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::DEFAULT)
            .system(System::Unix)
            .unix_permissions(if exec { 0o755 } else { 0o644 })
            .large_file(Shape { name, size, crc32: 0 }.is_large());
        self.zip.start_file(name, options).map_err(|error| self.failed(error))
    }

    /// More bytes of the entry started last.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.zip.write_all(bytes).map_err(Error::write("write", self.path))
    }

    /// Ends the archive. The bytes are with the operating system, not yet durable.
    pub(crate) fn finish(self) -> Result<File, Error> {
        let Self { zip, path } = self;
        let buffer = zip.finish().map_err(|error| Error::write("finish", path)(error.into()))?;
        buffer.into_inner().map_err(|error| Error::write("write", path)(error.into_error()))
    }

    fn failed(&self, error: zip::result::ZipError) -> Error {
        Error::write("write", self.path)(error.into())
    }
}
