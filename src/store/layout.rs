//! The directory of a local store: its parts, its format number, its lock, and the names of objects.
//! Leaves out what is written into it and when.
//!
//! ```text
//! CACHEDIR.TAG            so that backups leave the store out (bford.info/cachedir)
//! format                  the number of this layout
//! lock                    held shared by every open store
//! cas/ab/<64 digits>      objects; a final name implies complete bytes
//! tmp/s-<random>/         one folder per open store, locked while it lives; in it `lease`, what it relies on
//! trash/                  what a collection is about to delete; only while one is under way
//! quarantine/             what turned out not to hold the bytes its name says, and which results were dropped for it
//! ballast                 room that is given up when the disk is full, so that a collection can start
//! index.sqlite            claims
//! ```

use std::ffi::CStr;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use walkdir::WalkDir;

use crate::base::Digest;
use crate::store::Error;
use crate::store::damage::Damage;
use crate::store::lease::Leases;

/// The number of the layout that this version reads and writes.
pub(super) const FORMAT: u32 = 1;

const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory is a Partita store: a cache that may be deleted at any moment.\n\
    # For information about cache directory tags see https://bford.info/cachedir/\n";

/// Bytes of the ballast: the index needs 32 KiB to be opened at all, and some pages to be changed.
const BALLAST: u64 = 256 * 1024;

/// What may stand in a directory that is to become a store: our own parts, left by a start that was
/// cut short, and the two files a repository may keep in an otherwise empty folder.
const KNOWN: &[&str] = &[
    ".gitignore",
    "CACHEDIR.TAG",
    "ballast",
    "README.md",
    "cas",
    "format",
    "format.new",
    "index.sqlite",
    "index.sqlite-shm",
    "index.sqlite-wal",
    "index.suspect",
    "lock",
    "quarantine",
    "tmp",
    "trash",
];

/// Makes an error of the store from one of the system.
pub(super) fn io_error(what: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
    Error::Io { what, path: path.to_owned(), source: source.into() }
}

/// The name of an object below `cas/`, made without an allocation.
pub(super) struct ObjectName([u8; 68]);

impl ObjectName {
    /// `ab/<64 digits>`.
    pub(super) fn of(digest: Digest) -> Self {
        let mut text = [0; 68];
        text[3..67].copy_from_slice(&digest.hex_digits());
        text[0] = text[3];
        text[1] = text[4];
        text[2] = b'/';
        Self(text)
    }

    /// For system calls.
    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.0).expect("invariant: hexadecimal digits hold no NUL")
    }

    /// For people and for path-based calls.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..67]).expect("invariant: hexadecimal digits are ASCII")
    }

    /// The folder: the first two digits.
    pub(super) fn folder(&self) -> &str {
        &self.as_str()[..2]
    }
}

/// An open store directory.
pub(super) struct Layout {
    root: PathBuf,
    root_fd: OwnedFd,
    cas: OwnedFd,
    /// `None` where only is read and there is none.
    lock: Option<File>,
    leases: Leases,
    /// `None` until it is asked for.
    damage: Mutex<Option<Damage>>,
    /// `None` where only is read.
    session: Option<Session>,
}

impl Layout {
    /// Opens the directory, making it a store if it is missing or empty. Waits while another
    /// process collects garbage in it.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| io_error("create the store directory", dir, error))?;
        // Relative paths would change their meaning with the working directory.
        let root = std::path::absolute(dir).map_err(|error| io_error("find the store directory", dir, error))?;
        let root_fd = open_dir(&root)?;
        refuse_network(&root, &root_fd)?;
        match read_format(&root)? {
            Some(found) => check_format(&root, &found)?,
            None => initialise(&root, &root_fd)?,
        }
        for part in ["cas", "tmp", "quarantine"] {
            make_dir(&root.join(part))?;
        }
        let lock_path = root.join("lock");
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|error| io_error("open the store's lock", &lock_path, error))?;
        flock(&lock, FlockOperation::LockShared).map_err(|error| io_error("lock the store", &lock_path, error))?;
        let cas = open_dir(&root.join("cas"))?;
        let session = Session::create(&root.join("tmp"))?;
        let (lock, session) = (Some(lock), Some(session));
        let (leases, damage) = (Leases::default(), Mutex::default());
        let layout = Self { root, root_fd, cas, lock, leases, damage, session };
        layout.sweep_sessions()?;
        Ok(layout)
    }

    /// Opens the directory to read what is there, without making or changing anything. One that is missing or empty is
    /// an empty store.
    pub(super) fn open_to_read(dir: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(dir).map_err(|error| io_error("find the store directory", dir, error))?;
        let (leases, damage, session) = (Leases::default(), Mutex::default(), None);
        let is_there = root.try_exists().map_err(|error| io_error("read the store directory", &root, error))?;
        let format = if is_there { read_format(&root)? } else { None };
        let Some(found) = format else {
            if is_there && list(&root)?.iter().any(is_foreign) {
                return Err(Error::NotAStore { path: root });
            }
            // Nothing lies below what is no folder.
            let nothing = || rustix::fs::memfd_create("no store", rustix::fs::MemfdFlags::CLOEXEC);
            let made = nothing().and_then(|cas| Ok((nothing()?, cas)));
            let (root_fd, cas) = made.map_err(|error| io_error("read", &root, error))?;
            return Ok(Self { root, root_fd, cas, lock: None, leases, damage, session });
        };
        check_format(&root, &found)?;
        let root_fd = open_dir(&root)?;
        let cas = open_dir(&root.join("cas"))?;
        // While it is held nobody sets the index aside. A medium that cannot be locked cannot be written either.
        let lock = File::open(root.join("lock")).ok();
        let lock = lock.filter(|lock| flock(lock, FlockOperation::LockShared).is_ok());
        Ok(Self { root, root_fd, cas, lock, leases, damage, session })
    }

    /// Whether it was opened to be read only.
    pub(super) fn only_read(&self) -> bool {
        self.session.is_none()
    }

    /// The error of who wants to write where only is read.
    pub(super) fn not_to_write(&self) -> Error {
        io_error(
            "write",
            &self.root,
            io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it was opened to be read only"),
        )
    }

    /// The store directory, absolute.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The store directory, for syncing its file system.
    pub(super) fn root_fd(&self) -> &OwnedFd {
        &self.root_fd
    }

    /// The folder of objects.
    pub(super) fn cas(&self) -> &OwnedFd {
        &self.cas
    }

    /// What this store relies on.
    pub(super) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What is known of its damage.
    pub(super) fn known_damage(&self) -> &Mutex<Option<Damage>> {
        &self.damage
    }

    /// This store's own folder for what is unfinished; there is one where something may be written.
    pub(super) fn session(&self) -> Result<&Session, Error> {
        self.session.as_ref().ok_or_else(|| self.not_to_write())
    }

    /// The path of an object, for messages and path-based calls.
    pub(super) fn object_path(&self, digest: Digest) -> PathBuf {
        self.root.join("cas").join(ObjectName::of(digest).as_str())
    }

    /// The size of an object with a final name; `None` if there is none. An empty file under the
    /// name of something that is not empty is what a power cut leaves, and counts as absent.
    pub(super) fn object_size(&self, digest: Digest) -> Option<u64> {
        let stat = || rustix::fs::statat(&self.cas, ObjectName::of(digest).as_c_str(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = match stat() {
            Err(Errno::NOENT) if self.only_read() => {
                let fd = self.open_aside(digest, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC).ok()?;
                rustix::fs::fstat(fd).ok()?
            }
            Err(Errno::NOENT) if self.take_back(digest) => stat().ok()?,
            other => other.ok()?,
        };
        let size = u64::try_from(stat.st_size).ok()?;
        (size > 0 || is_digest_of_nothing(digest)).then_some(size)
    }

    /// Gives an unfinished file its final name. `size` is what it holds.
    pub(super) fn publish(&self, name: &str, digest: Digest, size: u64) -> Result<(), Error> {
        let object = ObjectName::of(digest);
        let from = &self.session()?.fd;
        let to = object.as_c_str();
        let no_replace = rustix::fs::RenameFlags::NOREPLACE;
        let mut done = rustix::fs::renameat_with(from, name, &self.cas, to, no_replace);
        if done == Err(Errno::NOENT) {
            match rustix::fs::mkdirat(&self.cas, object.folder(), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(io_error("create the folder of", &self.object_path(digest), error)),
            }
            done = rustix::fs::renameat_with(from, name, &self.cas, to, no_replace);
        }
        let done = match done {
            // Another process was first: replacing an existing file is the dearest thing there is.
            Err(Errno::EXIST) if self.object_size(digest) == Some(size) => {
                rustix::fs::unlinkat(from, name, AtFlags::empty())
            }
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(from, name, &self.cas, to),
            other => other,
        };
        done.map_err(|error| io_error("give its final name to", &self.object_path(digest), error))
    }

    /// Moves what lies under an object's name out of the way. `false` if nothing lay there, or if
    /// it is no longer the file with this device and inode.
    pub(super) fn quarantine(&self, digest: Digest, seen: Option<(u64, u64)>, millis: i64) -> Result<bool, Error> {
        let object = ObjectName::of(digest);
        if let (Some(seen), Ok(stat)) =
            (seen, rustix::fs::statat(&self.cas, object.as_c_str(), AtFlags::SYMLINK_NOFOLLOW))
            && seen != (stat.st_dev, stat.st_ino)
        {
            return Ok(false);
        }
        let folder = self.root.join("quarantine");
        let session = self.session()?;
        let number = session.number();
        let to = folder.join(format!("{digest}-{millis}-{number}-{}", session.name()));
        let path = self.object_path(digest);
        make_dir(&folder)?;
        match rustix::fs::renameat(&self.cas, object.as_c_str(), rustix::fs::CWD, &to) {
            Ok(()) => {
                self.damaged(digest, millis);
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(io_error("move to quarantine", &path, error)),
        }
    }

    /// Runs `work` while no other process creates or sets aside the index.
    pub(super) fn while_initialising<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        // A new open file description: locks of one description do not exclude each other.
        let guard = open_dir(&self.root)?;
        flock(&guard, FlockOperation::LockExclusive)
            .map_err(|error| io_error("lock the store directory", &self.root, error))?;
        work()
    }

    /// Runs `work` while no other store is open on this directory; `None` if one is.
    pub(super) fn while_alone<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        let path = self.root.join("lock");
        let lock = self.lock.as_ref().ok_or_else(|| self.not_to_write())?;
        let result = match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => work().map(Some),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => return Err(io_error("lock the store", &path, error)),
        };
        // A conversion that fails may have dropped the shared lock (flock(2)).
        flock(lock, FlockOperation::LockShared).map_err(|error| io_error("lock the store", &path, error))?;
        result
    }

    /// Removes the folders of stores whose process is gone. Returns how many.
    pub(super) fn sweep_sessions(&self) -> Result<u64, Error> {
        if self.only_read() {
            return Ok(0);
        }
        let tmp = self.root.join("tmp");
        let mut removed = 0;
        for entry in list(&tmp)? {
            let own = self.session.as_ref().is_some_and(|session| entry.path() == session.path);
            if !entry.file_name().to_string_lossy().starts_with("s-") || own {
                continue;
            }
            // Gone meanwhile, or alive: not ours to judge.
            let Ok(fd) = open_dir(entry.path()) else { continue };
            if flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() && remove_tree(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes whatever in `tmp/` belongs to no living store.
    pub(super) fn clear_tmp(&self) -> Result<u64, Error> {
        let mut removed = self.sweep_sessions()?;
        for entry in list(&self.root.join("tmp"))? {
            if !entry.file_name().to_string_lossy().starts_with("s-") {
                remove_tree(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Sets room aside if that is not done yet. A disk without it is no reason to fail.
pub(super) fn keep_ballast(root: &Path) {
    let path = root.join("ballast");
    let Ok(file) = File::options().write(true).create_new(true).open(&path) else { return };
    let made = match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => (&file).write_all(&vec![0x5a; BALLAST as usize]),
        other => other.map_err(io::Error::from),
    };
    if made.is_err() {
        let _ = std::fs::remove_file(&path);
    }
}

/// Gives the room up. `false` if there is none to give.
pub(super) fn release_ballast(root: &Path) -> bool {
    std::fs::remove_file(root.join("ballast")).is_ok()
}

/// The folder in `tmp/` that belongs to one open store. It is locked as long as the store is open,
/// so that the next process knows a dead one's from a living one's without process numbers.
pub(super) struct Session {
    path: PathBuf,
    fd: OwnedFd,
    next: AtomicU64,
}

impl Session {
    fn create(tmp: &Path) -> Result<Self, Error> {
        for _ in 0..64 {
            let path = tempfile::Builder::new()
                .prefix("s-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(tmp)
                .map_err(|error| io_error("create a folder in", tmp, error))?
                .keep();
            let Ok(fd) = open_dir(&path) else { continue };
            // A sweep may take the folder for a dead one between its making and its locking.
            if flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok()
                && rustix::fs::fstat(&fd).is_ok_and(|stat| stat.st_nlink > 0)
            {
                return Ok(Self { path, fd, next: AtomicU64::new(0) });
            }
        }
        Err(io_error("create a folder in", tmp, io::ErrorKind::AlreadyExists))
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The random name of the folder.
    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or("s")
    }

    /// A new empty file, open for reading and writing, read-only to everyone who opens it later.
    pub(super) fn new_file(&self) -> Result<(File, String), Error> {
        let name = format!("b{}", self.number());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name.as_str(), flags, Mode::from_raw_mode(0o444)) {
            Ok(fd) => Ok((File::from(fd), name)),
            Err(error) => Err(io_error("create", &self.path.join(name), error)),
        }
    }

    /// Drops an unfinished file. That it cannot be removed is no reason to fail: the next process
    /// sweeps the folder.
    pub(super) fn discard(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// A new empty folder.
    pub(super) fn new_dir(&self) -> Result<PathBuf, Error> {
        let path = self.path.join(format!("x{}", self.number()));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| io_error("create", &path, error))?;
        Ok(path)
    }

    /// The path of an unfinished file, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The next process sweeps what cannot be removed now.
        let _ = remove_tree(&self.path);
    }
}

/// The entries of a folder, sorted by name. A missing folder has none.
pub(super) fn list(dir: &Path) -> Result<Vec<walkdir::DirEntry>, Error> {
    let mut entries = Vec::new();
    for entry in WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name() {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(error) => match error.into_io_error() {
                Some(error) if error.kind() == io::ErrorKind::NotFound => {}
                Some(error) => return Err(io_error("list", dir, error)),
                None => return Err(io_error("list", dir, io::ErrorKind::InvalidInput)),
            },
        }
    }
    Ok(entries)
}

/// Removes a file, a symlink or a whole folder, also one whose folders were made read-only.
pub(super) fn remove_tree(path: &Path) -> Result<(), Error> {
    let is_dir = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("remove", path, error)),
    };
    let remove = || if is_dir { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    let result = match remove() {
        Err(error) if is_dir && error.kind() == io::ErrorKind::PermissionDenied => {
            let mut folders = vec![path.to_owned()];
            while let Some(folder) = folders.pop() {
                let _ = std::fs::set_permissions(&folder, Permissions::from_mode(0o700));
                let below = list(&folder).unwrap_or_default().into_iter();
                folders.extend(below.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path));
            }
            remove()
        }
        other => other,
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, error)),
        _ => Ok(()),
    }
}

/// Opens a folder.
pub(super) fn open_dir(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| io_error("open the folder", path, error))
}

/// `flock`, tried again when a signal interrupts it.
pub(super) fn flock(fd: impl AsFd, operation: FlockOperation) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, operation))
}

fn make_dir(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error("create", path, error)),
        _ => Ok(()),
    }
}

fn is_digest_of_nothing(digest: Digest) -> bool {
    digest == Digest::of_blob(b"") || digest == Digest::derive(crate::base::Domain::Tree, b"")
}

/// SQLite's write-ahead log needs memory shared by all processes, which these do not give.
fn refuse_network(root: &Path, fd: &OwnedFd) -> Result<(), Error> {
    let Ok(stat) = rustix::fs::fstatfs(fd) else { return Ok(()) };
    network_kind(stat.f_type as u32).map_or(Ok(()), |kind| Err(Error::Network { path: root.to_owned(), kind }))
}

/// Which network file system a number of `statfs` stands for (linux/magic.h).
fn network_kind(number: u32) -> Option<&'static str> {
    match number {
        0x6969 => Some("NFS"),
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => Some("SMB"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        _ => None,
    }
}

/// Which network file system a path is on, or its folder if there is nothing.
pub fn network_of(path: &Path) -> Option<&'static str> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statfs(path).or_else(|_| rustix::fs::statfs(folder)).ok()?;
    network_kind(stat.f_type as u32)
}

fn read_format(root: &Path) -> Result<Option<String>, Error> {
    let path = root.join("format");
    match std::fs::read(&path) {
        // An empty file is what a power cut during the first start may leave.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", &path, error)),
    }
}

fn check_format(root: &Path, found: &str) -> Result<(), Error> {
    if found == FORMAT.to_string() {
        return Ok(());
    }
    let shown: String = found.chars().take(40).collect();
    Err(Error::Newer { path: root.to_owned(), found: shown, known: FORMAT })
}

/// Whether an entry is one of no store.
fn is_foreign(entry: &walkdir::DirEntry) -> bool {
    !KNOWN.iter().any(|known| entry.file_name() == *known)
}

fn initialise(root: &Path, root_fd: &OwnedFd) -> Result<(), Error> {
    let guard = open_dir(root)?;
    flock(&guard, FlockOperation::LockExclusive).map_err(|error| io_error("lock the store directory", root, error))?;
    if let Some(found) = read_format(root)? {
        return check_format(root, &found);
    }
    if list(root)?.iter().any(is_foreign) {
        return Err(Error::NotAStore { path: root.to_owned() });
    }
    let tag = root.join("CACHEDIR.TAG");
    std::fs::write(&tag, CACHEDIR_TAG).map_err(|error| io_error("write", &tag, error))?;
    let new = root.join("format.new");
    let written =
        File::create(&new).and_then(|mut file| file.write_all(format!("{FORMAT}\n").as_bytes()).and(file.sync_all()));
    written.map_err(|error| io_error("write", &new, error))?;
    let path = root.join("format");
    std::fs::rename(&new, &path).map_err(|error| io_error("write", &path, error))?;
    // Not fatal: without it the next start makes the store again.
    let _ = rustix::fs::fsync(root_fd);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_told_apart() {
        assert_eq!([0x6969, 0x517B, 0xFF53_4D42].map(network_kind), [Some("NFS"), Some("SMB"), Some("SMB")]);
        // ext4, xfs, btrfs, tmpfs, overlayfs.
        assert_eq!([0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630].map(network_kind), [None; 5]);
        assert_eq!(network_of(Path::new("/proc/none/such")), None);
    }

    #[test]
    fn names_of_objects() {
        let digest = Digest::of_blob(b"abc");
        let name = ObjectName::of(digest);
        assert_eq!(name.as_str(), format!("64/{digest}"));
        assert_eq!(name.folder(), "64");
        assert_eq!(name.as_c_str().to_bytes(), name.as_str().as_bytes());
    }

    #[test]
    fn sessions_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = Layout::open(dir.path()).unwrap();
        let second = Layout::open(dir.path()).unwrap();
        assert!(first.session().unwrap().path.exists(), "opening a second store leaves the first alone");
        let (_, name) = first.session().unwrap().new_file().unwrap();
        let left = first.session().unwrap().path.clone();
        // A killed process drops its locks, but removes nothing.
        let Layout { session: Some(session), .. } = first else { panic!("it is written") };
        let copy = session.path.with_file_name("s-dead");
        std::fs::rename(&left, &copy).unwrap();
        drop(session);
        assert!(copy.join(name).exists());
        assert_eq!(second.sweep_sessions().unwrap(), 1);
        assert!(!copy.exists());
    }

    #[test]
    fn read_only_folders_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("f"), "x").unwrap();
        std::fs::set_permissions(&inner, Permissions::from_mode(0o500)).unwrap();
        remove_tree(&dir.path().join("a")).unwrap();
        assert!(!dir.path().join("a").exists());
    }
}
