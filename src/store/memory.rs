//! The store in memory: the reference that says what the ports mean, for tests of whatever uses
//! them. Leaves out durability.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::base::{ActionKey, Digest, Domain, Tree};
use crate::store::codec::sameness;
use crate::store::layout::io_error;
use crate::store::{Cas, Claim, Claims, Error, Found};

/// A store that is gone with its process.
pub struct MemoryStore {
    scratch: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Digest, Vec<u8>>,
    claims: BTreeMap<ActionKey, Vec<Claim>>,
    held: BTreeMap<ActionKey, String>,
    next: u64,
}

impl MemoryStore {
    /// An empty store whose scratch folders are made below `scratch`, which must exist.
    pub fn new(scratch: &Path) -> Self {
        Self { scratch: scratch.to_owned(), state: Mutex::default() }
    }

    /// Puts other bytes in the place of an object's, as a failing disk would; without any, the
    /// object is lost.
    pub fn damage(&self, digest: Digest, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        match bytes {
            Some(bytes) => state.objects.insert(digest, bytes),
            None => state.objects.remove(&digest),
        };
    }

    /// The digests of all objects.
    pub fn objects(&self) -> Vec<Digest> {
        self.lock().objects.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the store's lock panics")
    }
}

impl Cas for MemoryStore {
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of_blob(bytes);
        self.lock().objects.entry(digest).or_insert_with(|| bytes.to_owned());
        Ok(digest)
    }

    fn put_file(&self, path: &Path) -> Result<(Digest, u64), Error> {
        let meta = std::fs::symlink_metadata(path).map_err(|error| io_error("look at", path, error))?;
        if !meta.is_file() {
            let wrong = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(io_error("keep", path, wrong));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| io_error("read", path, error))?;
        Ok((self.put_bytes(&bytes)?, bytes.len() as u64))
    }

    fn put_tree(&self, tree: &Tree) -> Result<Digest, Error> {
        let bytes = tree.encode();
        let digest = Digest::derive(Domain::Tree, &bytes);
        self.lock().objects.entry(digest).or_insert(bytes);
        Ok(digest)
    }

    fn get(&self, digest: Digest) -> Result<Found<Vec<u8>>, Error> {
        let mut state = self.lock();
        let Some(bytes) = state.objects.get(&digest) else { return Ok(Found::Missing) };
        if Digest::of_blob(bytes) == digest || Digest::derive(Domain::Tree, bytes) == digest {
            return Ok(Found::Whole(bytes.clone()));
        }
        state.objects.remove(&digest);
        Ok(Found::Corrupt)
    }

    fn get_tree(&self, digest: Digest) -> Result<Found<Tree>, Error> {
        Ok(match self.get(digest)? {
            Found::Whole(bytes) if Digest::derive(Domain::Tree, &bytes) == digest => {
                Tree::decode(&bytes).map_or(Found::Missing, Found::Whole)
            }
            Found::Whole(_) | Found::Missing => Found::Missing,
            Found::Corrupt => Found::Corrupt,
        })
    }

    fn copy_to(&self, digest: Digest, path: &Path, exec: bool) -> Result<Found<()>, Error> {
        let bytes = match self.get(digest)? {
            Found::Whole(bytes) => bytes,
            Found::Missing => return Ok(Found::Missing),
            Found::Corrupt => return Ok(Found::Corrupt),
        };
        let mode = if exec { 0o755 } else { 0o644 };
        let written = File::options().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(&bytes)
        });
        written.map_err(|error| io_error("create", path, error))?;
        Ok(Found::Whole(()))
    }

    fn contains(&self, digest: Digest) -> bool {
        self.lock().objects.contains_key(&digest)
    }

    fn size(&self, digest: Digest) -> Option<u64> {
        self.lock().objects.get(&digest).map(|bytes| bytes.len() as u64)
    }

    fn scratch(&self) -> Result<PathBuf, Error> {
        let mut state = self.lock();
        loop {
            let path = self.scratch.join(format!("x{}", state.next));
            state.next += 1;
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create", &path, error)),
            }
        }
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Claims for MemoryStore {
    fn lookup(&self, key: ActionKey) -> Result<Vec<Claim>, Error> {
        let mut claims = self.lock().claims.get(&key).cloned().unwrap_or_default();
        claims.reverse();
        // Stable: of claims made at one moment, the one recorded later stays first.
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.created));
        Ok(claims)
    }

    fn record(&self, claim: Claim) -> Result<(), Error> {
        let mut state = self.lock();
        let claims = state.claims.entry(claim.key).or_default();
        claims.retain(|old| sameness(old) != sameness(&claim));
        claims.push(claim);
        Ok(())
    }

    fn forget(&self, key: ActionKey) -> Result<(), Error> {
        self.lock().claims.remove(&key);
        Ok(())
    }

    fn hold(&self, key: ActionKey, why: &str) -> Result<(), Error> {
        self.lock().held.insert(key, why.to_owned());
        Ok(())
    }

    fn release(&self, key: ActionKey) -> Result<(), Error> {
        self.lock().held.remove(&key);
        Ok(())
    }

    fn held(&self, key: ActionKey) -> Result<Option<String>, Error> {
        Ok(self.lock().held.get(&key).cloned())
    }
}
