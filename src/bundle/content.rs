//! The facts of a file that documents and checks speak of, and streaming its bytes out of the store
//! with bounded memory. Leaves out the archive.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::bundle::error::Error;
use crate::bundle::spec::BundleFile;
use crate::store::{Cas, Found};

/// Bytes moved at a time.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// All that is said about a file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// Its name in the archive.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) exec: bool,
    pub(crate) sha1: [u8; 20],
    pub(crate) sha256: [u8; 32],
    pub(crate) blake3: Digest,
}

impl FileFacts {
    pub(crate) fn sha1_hex(&self) -> String {
        HEXLOWER.encode(&self.sha1)
    }

    pub(crate) fn sha256_hex(&self) -> String {
        HEXLOWER.encode(&self.sha256)
    }
}

/// The lower-case hexadecimal SHA-256 of bytes.
pub fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Hands the bytes of a file on as they are read from a store. Only if this is no error were they the right ones.
pub(crate) fn stream(cas: &dyn Cas, path: &str, file: BundleFile, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
    let missing = || Error::Missing { path: path.to_owned(), digest: file.digest };
    let wrong = |why: String| Error::Content { path: path.to_owned(), why };
    let size = cas.size(file.digest).ok_or_else(missing)?;
    if size != file.size {
        return Err(wrong(format!("{size} bytes where {} were promised", file.size)));
    }
    let mut count = 0;
    let found = cas.read(file.digest, &mut |bytes| {
        count += bytes.len() as u64;
        sink(bytes);
    })?;
    match found {
        Found::Whole(read) if read == size && count == size => Ok(()),
        Found::Missing => Err(missing()),
        Found::Whole(_) | Found::Corrupt => Err(wrong("it is damaged in the store".to_owned())),
    }
}

/// Opens a file for reading that is a regular one: of a pipe or a device nobody knows when it ends.
pub(crate) fn open_regular(path: &Path) -> Result<File, Error> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(Error::read("open", path))?;
    if !file.metadata().map_err(Error::read("look at", path))?.is_file() {
        let why = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(Error::read("read", path)(why));
    }
    Ok(file)
}

/// Hands the bytes of a reader on in chunks, and its error if it has one.
pub(crate) fn for_each_chunk<E>(
    mut reader: impl Read,
    mut each: impl FnMut(Result<&[u8], io::Error>) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(Ok(&buffer[..count]))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return each(Err(error)),
        }
    }
}
