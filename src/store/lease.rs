//! What open stores rely on, so that garbage is collected beside them: each notes in its own folder of `tmp/` the
//! digests it has put, before it looks whether they are there, and the keys it asks for, before it reads their rows;
//! and what is collected goes through `trash/`, from where whoever needs it takes it back. Leaves out what garbage is.
//!
//! A collection notes what it finds unneeded, moves it aside, and looks at the notes again. A store notes first and
//! looks for the object then. So either the collection sees the note and puts the object back, or the store sees that
//! it is gone from its place and takes it back itself, or finds it gone for good and makes it anew: it never goes on
//! with an object that is deleted afterwards. Folders of dead stores are told by their lock, which died with them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::base::{ActionKey, Digest};
use crate::store::Error;
use crate::store::layout::{Layout, ObjectName, flock, io_error, list, open_dir, release_ballast, remove_tree};

/// The name of the note in a store's folder.
const NOTE: &str = "lease";

/// Bytes of a record in it: what it is (0 a blob, 1 a tree, 2 a key; 3 everything there is, until 4), and the digest.
const RECORD: usize = 33;

/// Something that is relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relied {
    /// A blob.
    Blob(Digest),
    /// A tree, and all below it.
    Tree(Digest),
    /// All results under a key, and all they name.
    Key(ActionKey),
    /// Whatever there is.
    Everything,
}

impl Relied {
    fn digest(&self) -> Digest {
        match self {
            Self::Blob(digest) | Self::Tree(digest) => *digest,
            Self::Key(key) => key.0,
            Self::Everything => Digest::from_bytes([0; 32]),
        }
    }

    fn record(&self) -> [u8; RECORD] {
        let kind = match self {
            Self::Blob(_) => 0,
            Self::Tree(_) => 1,
            Self::Key(_) => 2,
            Self::Everything => ALL,
        };
        let mut record = [kind; RECORD];
        record[1..].copy_from_slice(self.digest().as_bytes());
        record
    }

    /// What a later version notes is unknown to this one.
    fn of_record(record: &[u8]) -> Option<Self> {
        let digest = Digest::from_bytes(record.get(1..)?.try_into().ok()?);
        Some(match record.first()? {
            0 => Self::Blob(digest),
            1 => Self::Tree(digest),
            2 => Self::Key(ActionKey(digest)),
            _ => return None,
        })
    }
}

/// The kind of a record that says that everything is relied on.
const ALL: u8 = 3;
/// The kind of one that takes this back.
const NOT_ALL: u8 = 4;

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
        if self.only_read() {
            return Ok(());
        }
        let mut noted = self.leases().0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: Vec<Relied> = relied.iter().filter(|one| !noted.all.contains(&one.digest())).copied().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = fresh.iter().flat_map(Relied::record).collect();
        self.write_lease(&mut noted, &bytes)?;
        noted.all.extend(fresh.iter().map(Relied::digest));
        Ok(())
    }

    /// Notes that this store relies on everything there is, or does not any more: while it is not known yet of what
    /// it will ask.
    pub(super) fn lease_everything(&self, all: bool) -> Result<(), Error> {
        if self.only_read() {
            return Ok(());
        }
        let mut noted = self.leases().0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = Relied::Everything.record();
        record[0] = if all { ALL } else { NOT_ALL };
        self.write_lease(&mut noted, &record)
    }

    fn write_lease(&self, noted: &mut Noted, bytes: &[u8]) -> Result<(), Error> {
        let path = self.session()?.path_of(NOTE);
        let failed = |error| io_error("note what is in use in", &path, error);
        if noted.file.is_none() {
            noted.file = Some(File::options().create(true).append(true).open(&path).map_err(failed)?);
        }
        if let Some(file) = &mut noted.file {
            // In one call, so that notes of several threads do not mix.
            file.write_all(bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// What other living stores rely on. What dead ones left is removed.
    pub(super) fn leased(&self) -> Result<BTreeSet<Relied>, Error> {
        self.sweep_sessions()?;
        let mut all = BTreeSet::new();
        for entry in list(&self.root().join("tmp"))? {
            let own = self.session().is_ok_and(|session| entry.file_name().to_string_lossy() == session.name());
            if own || !entry.file_type().is_dir() || self.only_read() && is_dead(entry.path()) {
                continue;
            }
            let path = entry.path().join(NOTE);
            match std::fs::read(&path) {
                // A record that is not whole is being written, and not relied on yet.
                Ok(bytes) => {
                    all.extend(bytes.chunks_exact(RECORD).filter_map(Relied::of_record));
                    let last = bytes.chunks_exact(RECORD).rev().find(|record| [ALL, NOT_ALL].contains(&record[0]));
                    if last.is_some_and(|record| record[0] == ALL) {
                        all.insert(Relied::Everything);
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(io_error("read", &path, error)),
            }
        }
        Ok(all)
    }

    /// Runs `work` while no other process collects garbage; `None` if one does.
    pub(super) fn while_collecting<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        if self.only_read() {
            // To look is in nobody's way.
            return work().map(Some);
        }
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
                return rustix::fs::mkdirat(self.root_fd(), "trash", Mode::RWXU).or_else(|error| {
                    if error == Errno::NOSPC && release_ballast(self.root()) {
                        rustix::fs::mkdirat(self.root_fd(), "trash", Mode::RWXU)
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

    /// Opens an object that a collection has moved aside, where it is.
    pub(super) fn open_aside(&self, digest: Digest, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(self.root_fd(), Self::trashed(digest), flags, Mode::empty())
    }

    /// Puts an object back that a collection has moved aside, if it has and it is not deleted yet. Whether it is in its
    /// place now: the collection, or another who needs it, may have been first.
    pub(super) fn take_back(&self, digest: Digest) -> bool {
        let (object, name) = (ObjectName::of(digest), Self::trashed(digest));
        match rustix::fs::renameat_with(self.root_fd(), &name, self.cas(), object.as_c_str(), RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::EXIST) => true,
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::renameat(self.root_fd(), &name, self.cas(), object.as_c_str()).is_ok()
            }
            Err(_) => rustix::fs::statat(self.cas(), object.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok(),
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

/// Whether the folder in `tmp/` is one of a store whose process is gone. One that cannot be asked about lives.
fn is_dead(folder: &Path) -> bool {
    open_dir(folder).is_ok_and(|fd| flock(&fd, FlockOperation::NonBlockingLockShared).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_finds_the_object_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Layout::open(dir.path()).unwrap(), Layout::open(dir.path()).unwrap());
        let digest = Digest::of_blob(b"needed");
        let (mut file, name) = one.session().unwrap().new_file().unwrap();
        file.write_all(b"needed").unwrap();
        one.publish(&name, digest, 6).unwrap();
        assert!(one.discard(digest).unwrap() && !one.discard(digest).unwrap());
        assert!(other.take_back(digest));
        // Between a look that found nothing and this, another has put it back.
        assert!(one.take_back(digest));
        assert!(one.discard(digest).unwrap());
        assert_eq!(one.empty_trash().unwrap(), (1, 6));
        assert!(!other.take_back(digest), "it is gone for good");
    }
}
