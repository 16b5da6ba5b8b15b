//! A store over one that is only read: what is put stays with the process, as in a look ahead that must know keys and trees
//! but leaves nothing behind. Bytes of files stay where they are. Leaves out results, which nobody records there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::base::{Digest, Domain, Hasher, Tree};
use crate::store::layout::io_error;
use crate::store::local::open_regular;
use crate::store::read::{each_chunk, write_new};
use crate::store::{Cas, Error, Found, LocalStore, reading};

/// What was put.
enum Put {
    Bytes(Vec<u8>),
    File(PathBuf, u64),
}

/// The content of a store, and what this process put besides.
pub struct Looking {
    below: Arc<LocalStore>,
    put: Mutex<BTreeMap<Digest, Put>>,
    folder: TempDir,
    next: AtomicU64,
}

impl Looking {
    /// Nothing besides what a store has.
    pub fn over(below: Arc<LocalStore>) -> Result<Self, Error> {
        let folder = reading::private_folder()?;
        Ok(Self { below, put: Mutex::default(), folder, next: AtomicU64::new(0) })
    }

    fn keep(&self, digest: Digest, put: Put) -> Digest {
        if !self.below.contains(digest) {
            self.put.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, put);
        }
        digest
    }

    /// `None` if it was not put.
    fn of_put(&self, digest: Digest) -> Result<Option<Found<Vec<u8>>>, Error> {
        let path = match self.put.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            None => return Ok(None),
            Some(Put::Bytes(bytes)) => return Ok(Some(Found::Whole(bytes.clone()))),
            Some(Put::File(path, _)) => path.clone(),
        };
        let bytes = std::fs::read(&path).map_err(|error| io_error("read", &path, error))?;
        // Somebody may have changed the file meanwhile.
        Ok(Some(if Digest::of_blob(&bytes) == digest { Found::Whole(bytes) } else { Found::Missing }))
    }
}

impl Cas for Looking {
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, Error> {
        Ok(self.keep(Digest::of_blob(bytes), Put::Bytes(bytes.to_vec())))
    }

    fn put_file(&self, path: &Path) -> Result<(Digest, u64), Error> {
        let (file, _) = open_regular(path)?;
        let (digest, size) = hash(&file).map_err(|error| io_error("read", path, error))?;
        Ok((self.keep(digest, Put::File(path.to_owned(), size)), size))
    }

    fn put_tree(&self, tree: &Tree) -> Result<Digest, Error> {
        let bytes = tree.encode();
        Ok(self.keep(Digest::derive(Domain::Tree, &bytes), Put::Bytes(bytes)))
    }

    fn get(&self, digest: Digest) -> Result<Found<Vec<u8>>, Error> {
        self.of_put(digest)?.map_or_else(|| self.below.get(digest), Ok)
    }

    fn get_tree(&self, digest: Digest) -> Result<Found<Tree>, Error> {
        Ok(match self.of_put(digest)? {
            None => return self.below.get_tree(digest),
            Some(Found::Whole(bytes)) if Digest::derive(Domain::Tree, &bytes) == digest => {
                Tree::decode(&bytes).map_or(Found::Missing, Found::Whole)
            }
            Some(_) => Found::Missing,
        })
    }

    fn copy_to(&self, digest: Digest, path: &Path, exec: bool) -> Result<Found<()>, Error> {
        match self.of_put(digest)? {
            None => self.below.copy_to(digest, path, exec),
            Some(Found::Whole(bytes)) => write_new(path, exec, &bytes).map(Found::Whole),
            Some(_) => Ok(Found::Missing),
        }
    }

    fn contains(&self, digest: Digest) -> bool {
        self.size(digest).is_some()
    }

    fn size(&self, digest: Digest) -> Option<u64> {
        match self.put.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            Some(Put::Bytes(bytes)) => Some(bytes.len() as u64),
            Some(Put::File(_, size)) => Some(*size),
            None => self.below.size(digest),
        }
    }

    fn was_damaged_since(&self, digest: Digest, since: i64) -> bool {
        self.below.was_damaged_since(digest, since)
    }

    fn scratch(&self) -> Result<PathBuf, Error> {
        let path = self.folder.path().join(format!("x{}", self.next.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&path).map_err(|error| io_error("create", &path, error))?;
        Ok(path)
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn hash(file: &File) -> std::io::Result<(Digest, u64)> {
    let mut hasher = Hasher::of_blob();
    let size = each_chunk(file, &mut |bytes| _ = hasher.update(bytes))?;
    Ok((hasher.finish(), size))
}
