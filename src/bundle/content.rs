//! The facts of a file that documents and checks speak of, and streaming its bytes out of the store
//! with bounded memory. Leaves out the archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::bundle::error::Error;
use crate::bundle::spec::BundleFile;
use crate::store::{Cas, Found};

/// Blobs up to this size are read in one piece; larger ones are staged as files.
const WHOLE_BYTES: u64 = 1024 * 1024;
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

/// Reads blobs out of a store, large ones by way of a scratch directory that goes when this goes.
pub(crate) struct Blobs<'a> {
    cas: &'a dyn Cas,
    scratch: Option<PathBuf>,
    /// Large ones that are staged: each is read more than once.
    staged: BTreeMap<Digest, PathBuf>,
}

impl<'a> Blobs<'a> {
    pub(crate) fn new(cas: &'a dyn Cas) -> Self {
        Self { cas, scratch: None, staged: BTreeMap::new() }
    }

    /// Streams the bytes of a file into the sink, and checks their count and digest.
    pub(crate) fn stream(
        &mut self,
        path: &str,
        file: BundleFile,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let missing = || Error::Missing { path: path.to_owned(), digest: file.digest };
        let size = self.cas.size(file.digest).ok_or_else(missing)?;
        if size != file.size {
            let why = format!("{size} bytes where {} were promised", file.size);
            return Err(Error::Content { path: path.to_owned(), why });
        }
        let mut hasher = blake3::Hasher::new();
        let mut count = 0;
        let mut take = |bytes: &[u8]| {
            hasher.update(bytes);
            count += bytes.len() as u64;
            sink(bytes)
        };
        let corrupt = || Error::Content { path: path.to_owned(), why: "it is damaged in the store".to_owned() };
        if size <= WHOLE_BYTES {
            match self.cas.get(file.digest)? {
                Found::Whole(bytes) => take(&bytes)?,
                Found::Missing => return Err(missing()),
                Found::Corrupt => return Err(corrupt()),
            }
        } else {
            let staged = match self.staged.get(&file.digest) {
                Some(path) => path.clone(),
                None => {
                    let path = self.scratch()?.join(file.digest.hex());
                    match self.cas.copy_to(file.digest, &path, false)? {
                        Found::Whole(()) => {}
                        Found::Missing => return Err(missing()),
                        Found::Corrupt => return Err(corrupt()),
                    }
                    self.staged.insert(file.digest, path.clone());
                    path
                }
            };
            let opened = File::open(&staged).map_err(Error::write("open the staged", &staged))?;
            for_each_chunk(opened, |chunk| match chunk {
                Ok(bytes) => take(bytes),
                Err(error) => Err(Error::write("read the staged", &staged)(error)),
            })?;
        }
        if count != size || Digest::from(hasher.finalize()) != file.digest {
            return Err(corrupt());
        }
        Ok(())
    }

    fn scratch(&mut self) -> Result<PathBuf, Error> {
        match &self.scratch {
            Some(path) => Ok(path.clone()),
            None => Ok(self.scratch.insert(self.cas.scratch()?).clone()),
        }
    }
}

impl Drop for Blobs<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.scratch {
            // What cannot be removed here is removed by the store's next process.
            let _ = std::fs::remove_dir_all(path);
        }
    }
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
