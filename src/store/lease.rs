//! What open stores rely on, so that garbage is collected beside them: each notes in its own folder of `tmp/` the
//! digests it has put or was given, before it looks whether they are there; and what is collected goes through
//! `trash/`, from where whoever needs it takes it back. Leaves out what garbage is.
//!
//! A collection notes what it finds unneeded, moves it aside, and looks at the notes again. A store notes first and
//! looks for the object then. So either the collection sees the note and puts the object back, or the store sees that
//! it is gone from its place and takes it back itself, or finds it gone for good and makes it anew: it never goes on
//! with an object that is deleted afterwards. Folders of dead stores are told by their lock, which died with them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FlockOperation, RenameFlags};
use rustix::io::Errno;

use crate::base::Digest;
use crate::store::Error;
use crate::store::layout::{Layout, ObjectName, flock, io_error, list, open_dir, release_ballast, remove_tree};

/// The name of the note in a store's folder.
const NOTE: &str = "lease";

/// Bytes of a record in it: whether it is a tree, and the digest.
const RECORD: usize = 33;

/// An object that is relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Relied {
    /// The object.
    pub(super) digest: Digest,
    /// Whether it is a tree, and all below it is relied on as well.
    pub(super) tree: bool,
}

/// What one open store relies on.
#[derive(Default)]
pub(super) struct Leases(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// Made with the first digest.
    file: Option<File>,
    all: BTreeSet<Digest>,
}

impl Layout {
    /// Notes that this store relies on objects. What can be written only later is relied on only then.
    pub(super) fn lease(&self, relied: &[Relied]) -> Result<(), Error> {
        let mut noted = self.leases().0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: Vec<Relied> = relied.iter().filter(|one| !noted.all.contains(&one.digest)).copied().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(fresh.len() * RECORD);
        for one in &fresh {
            bytes.push(u8::from(one.tree));
            bytes.extend_from_slice(one.digest.as_bytes());
        }
        let path = self.session().path_of(NOTE);
        let failed = |error| io_error("note what is in use in", &path, error);
        if noted.file.is_none() {
            noted.file = Some(File::options().create(true).append(true).open(&path).map_err(failed)?);
        }
        if let Some(file) = &mut noted.file {
            // In one call, so that notes of several threads do not mix.
            file.write_all(&bytes).map_err(failed)?;
        }
        noted.all.extend(fresh.iter().map(|one| one.digest));
        Ok(())
    }

    /// What other living stores rely on. What dead ones left is removed.
    pub(super) fn leased(&self) -> Result<BTreeSet<Relied>, Error> {
        self.sweep_sessions()?;
        let mut all = BTreeSet::new();
        for entry in list(&self.root().join("tmp"))? {
            let own = entry.file_name().to_string_lossy() == self.session().name();
            if own || !entry.file_type().is_dir() {
                continue;
            }
            let path = entry.path().join(NOTE);
            match std::fs::read(&path) {
                // A record that is not whole is being written, and not relied on yet.
                Ok(bytes) => all.extend(bytes.chunks_exact(RECORD).filter_map(|record| {
                    let digest: [u8; 32] = record[1..].try_into().ok()?;
                    Some(Relied { digest: Digest::from_bytes(digest), tree: record[0] == 1 })
                })),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(io_error("read", &path, error)),
            }
        }
        Ok(all)
    }

    /// Runs `work` while no other process collects garbage; `None` if one does.
    pub(super) fn while_collecting<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        // The folder of objects is locked by no one else.
        let guard = open_dir(&self.root().join("cas"))?;
        match flock(&guard, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => work().map(Some),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io_error("lock", &self.root().join("cas"), error)),
        }
    }

    fn trash(&self) -> PathBuf {
        self.root().join("trash")
    }

    fn trashed(digest: Digest) -> String {
        format!("trash/{digest}")
    }

    /// Moves an object out of its place. `false` if it was not there.
    pub(super) fn discard(&self, digest: Digest) -> Result<bool, Error> {
        let name = Self::trashed(digest);
        let discard = || rustix::fs::renameat(self.cas(), ObjectName::of(digest).as_c_str(), self.root_fd(), &name);
        let made = |error: Errno| {
            // The folder goes with every collection, and so is mostly not there.
            if error == Errno::NOENT && !self.trash().exists() {
                return rustix::fs::mkdirat(self.root_fd(), "trash", rustix::fs::Mode::RWXU).or_else(|error| {
                    if error == Errno::NOSPC && release_ballast(self.root()) {
                        rustix::fs::mkdirat(self.root_fd(), "trash", rustix::fs::Mode::RWXU)
                    } else {
                        Err(error)
                    }
                });
            }
            if error == Errno::NOSPC && release_ballast(self.root()) { Ok(()) } else { Err(error) }
        };
        match discard().or_else(|error| made(error).and_then(|()| discard())) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(io_error("set aside", &self.object_path(digest), error)),
        }
    }

    /// Puts an object back that a collection has moved aside, if it has and it is not deleted yet.
    pub(super) fn take_back(&self, digest: Digest) -> bool {
        let (object, name) = (ObjectName::of(digest), Self::trashed(digest));
        match rustix::fs::renameat_with(self.root_fd(), &name, self.cas(), object.as_c_str(), RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::EXIST) => true,
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::renameat(self.root_fd(), &name, self.cas(), object.as_c_str()).is_ok()
            }
            Err(_) => false,
        }
    }

    /// Puts everything back: a collection did not live to its end.
    pub(super) fn take_all_back(&self) -> Result<(), Error> {
        for entry in list(&self.trash())? {
            match entry.file_name().to_string_lossy().parse::<Digest>() {
                Ok(digest) if self.take_back(digest) => {}
                _ => remove_tree(entry.path())?,
            }
        }
        Ok(())
    }

    /// Deletes what is aside. Gives how many objects and bytes that were.
    pub(super) fn empty_trash(&self) -> Result<(u64, u64), Error> {
        let (mut objects, mut bytes) = (0, 0);
        for entry in list(&self.trash())? {
            let size = entry.metadata().map_or(0, |meta| meta.len());
            let name = entry.file_name().to_string_lossy().into_owned();
            match rustix::fs::unlinkat(self.root_fd(), format!("trash/{name}"), AtFlags::empty()) {
                Ok(()) => {
                    objects += 1;
                    bytes += size;
                }
                // Taken back at the last moment.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(io_error("remove", entry.path(), error)),
            }
        }
        match std::fs::remove_dir(self.trash()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &self.trash(), error)),
            _ => Ok((objects, bytes)),
        }
    }
}
