//! The folders that attempts are made in, and what becomes of what is left in them. Leaves out what is laid out in
//! them (`stage`).
//!
//! What an attempt leaves that succeeded is used again: its folders are those of the next attempt; the files it was
//! given are as well, where the next is given the same at the same place, or become those of the next by being written
//! anew; and files it made are moved to where people look for them. What is of no use is moved aside and deleted when
//! the run ends. Making and deleting files is what costs: ext4 looks
//! through all inodes that were freed in the last seconds to allocate one. Measured there, in microseconds of wall
//! time, 2,000 of each one after another:
//!
//! | what | µs |
//! | --- | --: |
//! | make a folder; a file of six bytes | 60; 40 |
//! | write a file anew that was not written out yet | 7 |
//! | rename | 27 |
//! | delete a file, a folder | 300 |
//! | make a file when many were deleted just before | 270 |
//!
//! An attempt finds its folders as they would be if they were new: with the same rights, without attributes, and with
//! nothing in them but what it was given. Whatever is not known to be so is not used again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, IFlags, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_NOW,
};
use rustix::io::Errno;

use crate::base::{Digest, Entry, RelPath};
use crate::exec::error::Error;
use crate::exec::stage::remove;
use crate::plan::Output;
use crate::store::ClaimOutput;

/// Things that may lie about used up; more are cleared away at once.
const USED: u64 = 20_000;
/// Bytes that may lie about used up.
const USED_BYTES: u64 = 256 << 20;
/// No bigger file is written anew, or kept for people.
const SMALL: u64 = 64 << 10;
/// No bigger file is compared with what it is to be: to copy it is as good.
const COMPARED: i64 = 1 << 20;
/// Files and folders that an attempt may leave to be used again.
const MANY: usize = 4096;
/// Bytes of a folder that was never full.
const FOLDER_BYTES: i64 = 4096;
/// Bytes of files that are kept for people, each counted as a block at least.
const KEPT_BYTES: u64 = 256 << 20;
/// How coarse the times of a file system may be, in nanoseconds.
const COARSE: i128 = 20_000_000;
/// How long before the end of an attempt a file was written that has not been given another time.
const RECENT: i128 = 2_000_000_000;

/// Hands out folders for attempts.
#[derive(Debug)]
pub(super) struct Attempts {
    scratch: PathBuf,
    idle: Mutex<Vec<Idle>>,
    count: AtomicU64,
    used: AtomicU64,
    used_bytes: AtomicU64,
    kept: Mutex<BTreeMap<(Digest, bool), Vec<PathBuf>>>,
    kept_bytes: AtomicU64,
}

/// Folders that were used, and what is in them.
#[derive(Debug)]
struct Idle {
    root: PathBuf,
    left: Left,
    stamps: Option<[Stamp; 3]>,
}

/// What lies in `work` of the attempt before: paths relative to it.
#[derive(Debug, Default)]
struct Left {
    folders: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Left {
    /// Forgets all that is at a path and below.
    fn forget(&mut self, at: &str) {
        let stays = |path: &String| path.strip_prefix(at).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/'));
        self.folders.retain(stays);
        self.files.retain(stays);
    }
}

/// Which folder one is, and when it last changed in any way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    changed: i128,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self { file: (stat.st_dev, stat.st_ino), changed: nanos(stat.st_ctime, stat.st_ctime_nsec) }
    }
}

fn nanos(seconds: impl Into<i128>, nanos: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + nanos.into()
}

/// The folders of one attempt. Cleared away when dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    attempts: &'a Attempts,
    /// The folder that holds `work`, `home` and `tmp`.
    pub(super) root: PathBuf,
    /// Where inputs are staged and outputs are expected.
    pub(super) work: PathBuf,
    /// Whether it succeeded.
    succeeded: bool,
    left: Left,
    stamps: Option<[Stamp; 3]>,
    /// Files it made that people may be given.
    made: Vec<(String, Digest, bool)>,
}

impl Attempts {
    /// Folders below `scratch`, which is removed by the caller in the end.
    pub(super) fn new(scratch: &Path) -> Result<Self, Error> {
        let used = scratch.join("used");
        std::fs::create_dir(&used).map_err(Error::io("make directory", &used))?;
        Ok(Self {
            scratch: scratch.to_path_buf(),
            idle: Mutex::default(),
            count: AtomicU64::new(0),
            used: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            kept: Mutex::default(),
            kept_bytes: AtomicU64::new(0),
        })
    }

    /// Folders for an attempt, all of them empty.
    pub(super) fn take(&self) -> Result<Attempt<'_>, Error> {
        let mut attempt = self.take_as_left()?;
        attempt.tidy(std::iter::empty())?;
        Ok(attempt)
    }

    /// Folders for an attempt, in which there may be something to be used again. Before it starts, `tidy` must have
    /// seen to the rest.
    pub(super) fn take_as_left(&self) -> Result<Attempt<'_>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Idle { root, left, stamps } = match idle {
            Some(idle) => idle,
            None => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                let root = self.scratch.join(number.to_string());
                for dir in [&root, &root.join("work"), &root.join("home"), &root.join("tmp")] {
                    std::fs::create_dir(dir).map_err(Error::io("make directory", dir))?;
                }
                Idle { root, left: Left::default(), stamps: None }
            }
        };
        Ok(Attempt { attempts: self, work: root.join("work"), root, succeeded: false, left, stamps, made: Vec::new() })
    }

    /// The files that were kept for people, by what is in them and whether they are executable.
    pub(super) fn take_kept(&self) -> BTreeMap<(Digest, bool), Vec<PathBuf>> {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A name among what is used up.
    fn aside(&self) -> PathBuf {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        self.scratch.join("used").join(number.to_string())
    }

    /// Moves what has so many bytes out of the way, or clears it away if there is too much already.
    fn discard(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let is_much = self.used_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > USED_BYTES;
        if !is_much && self.used.load(Ordering::Relaxed) < USED && std::fs::rename(path, self.aside()).is_ok() {
            return Ok(());
        }
        if std::fs::symlink_metadata(path)?.is_dir() {
            remove(path);
            return if path.exists() { Err(io::ErrorKind::DirectoryNotEmpty.into()) } else { Ok(()) };
        }
        std::fs::remove_file(path)
    }
}

impl Attempt<'_> {
    /// Whether a folder is there already, to be taken as it is.
    pub(super) fn has_folder(&mut self, at: &str) -> bool {
        self.left.folders.remove(at)
    }

    /// Whether a file is there already that is to be there. Its times become those of one that was made now.
    pub(super) fn has_file(&mut self, at: &str, entry: &Entry) -> bool {
        if !self.left.files.contains(at) || !matches!(entry, Entry::File { size, .. } if *size <= COMPARED as u64) {
            return false;
        }
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let is_there = open_file(&self.work.join(at))
            .is_some_and(|file| holds(&file, entry) && rustix::fs::futimens(&file, &times).is_ok());
        is_there && self.left.files.remove(at)
    }

    /// Whether there is a file that may become one of so many bytes.
    pub(super) fn may_reuse(&self, size: u64) -> bool {
        // Writing nothing would leave the times as they are.
        (1..=SMALL).contains(&size) && !self.left.files.is_empty()
    }

    /// Puts a file in its place by writing one anew that was left. `false` if there is none to be had.
    pub(super) fn reuse(&mut self, at: &str, bytes: &[u8]) -> bool {
        if !self.may_reuse(bytes.len() as u64) {
            return false;
        }
        let folder = |path: &str| path.rfind('/').unwrap_or(0);
        let beside = |file: &&String| file[..folder(file)] == at[..folder(at)];
        let files = &self.left.files;
        let old = files.get(at).or_else(|| files.iter().rev().find(beside)).or_else(|| files.last());
        let Some(old) = old.cloned() else { return false };
        self.left.files.remove(&old);
        let (from, to) = (self.work.join(&old), self.work.join(at));
        if rewrite(&from, bytes).is_ok_and(|done| done)
            && (old == at || rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE).is_ok())
        {
            return true;
        }
        self.left.files.insert(old);
        false
    }

    /// Makes room at a path, below folders that are wanted.
    pub(super) fn clear(&mut self, at: &str) -> Result<(), Error> {
        if !self.left.folders.contains(at) && !self.left.files.contains(at) {
            return Ok(());
        }
        let path = self.work.join(at);
        let below = |file: &&String| file.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let size = |file: &String| std::fs::symlink_metadata(self.work.join(file)).map_or(0, |meta| meta.len());
        let bytes = self.left.files.iter().filter(below).map(size).sum();
        self.attempts.discard(&path, bytes).map_err(Error::io("move aside", &path))?;
        self.left.forget(at);
        Ok(())
    }

    /// Moves everything aside that is not used again. Folders that are wanted, with those above, stay as they are.
    pub(super) fn tidy(&mut self, wanted: impl Iterator<Item = RelPath>) -> Result<(), Error> {
        for folder in wanted {
            let folder = folder.as_str();
            for (at, _) in folder.match_indices('/') {
                self.left.folders.remove(&folder[..at]);
            }
            self.left.folders.remove(folder);
        }
        while let Some(folder) = self.left.folders.first().cloned() {
            // A folder is before all that is in it.
            self.clear(&folder)?;
        }
        while let Some(file) = self.left.files.first().cloned() {
            self.clear(&file)?;
        }
        Ok(())
    }

    /// Says that the attempt succeeded, so that what is left of it is worth a look.
    pub(super) fn succeed(&mut self) {
        self.succeeded = true;
    }

    /// Says that people may be given the files that it made.
    pub(super) fn keep_outputs(&mut self, declared: &[Output], made: &[ClaimOutput], is_final: &dyn Fn(&str) -> bool) {
        for output in declared.iter().filter(|output| is_final(&output.name)) {
            let entry = made.iter().find(|made| made.name == output.name).map(|made| &made.entry);
            if let Some(Entry::File { digest, size, exec }) = entry
                && *size <= SMALL
            {
                self.made.push((output.path.as_str().to_owned(), *digest, *exec));
            }
        }
    }

    fn keep_made(&mut self) {
        for (at, digest, exec) in std::mem::take(&mut self.made) {
            let path = self.work.join(at);
            let Ok(stat) = rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let (written, changed) =
                (nanos(stat.st_mtime, stat.st_mtime_nsec), nanos(stat.st_ctime, stat.st_ctime_nsec));
            let bytes = u64::try_from(stat.st_size).unwrap_or_default().max(4096);
            let is_recent = (0..RECENT).contains(&(changed - written));
            if !is_recent || self.attempts.kept_bytes.fetch_add(bytes, Ordering::Relaxed) > KEPT_BYTES {
                continue;
            }
            let aside = self.attempts.aside();
            if std::fs::rename(&path, &aside).is_ok() {
                let mut kept = self.attempts.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.entry((digest, exec)).or_default().push(aside);
            }
        }
    }

    /// What is left, to be used again; `None` if that is not worth it or not certain.
    fn retire(&mut self) -> Option<Idle> {
        self.keep_made();
        let mut left = Left::default();
        let now = survey(&self.work, "", &mut left);
        let old = [self.root.clone(), self.root.join("home"), self.root.join("tmp")];
        let stats = old.each_ref().map(|dir| rustix::fs::statat(CWD, dir, AtFlags::SYMLINK_NOFOLLOW).ok());
        let [Some(root), Some(home), Some(tmp)] = &stats else { return None };
        let stamps = [root, home, tmp].map(Stamp::of);
        let is_known = self.stamps == Some(stamps);
        if !is_known && !is_pristine(&old) {
            return None;
        }
        let now = now?;
        // A change within the same tick of the clock would not show.
        let shows = is_known || stamps.iter().all(|stamp| now - stamp.changed > COARSE);
        Some(Idle { root: std::mem::take(&mut self.root), left, stamps: shows.then_some(stamps) })
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        match if self.succeeded { self.retire() } else { None } {
            Some(idle) => self.attempts.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle),
            None => remove(&self.root),
        }
    }
}

/// Whether a folder is as a new one is, apart from what is in it.
fn is_plain(folder: impl AsFd) -> bool {
    let plain = |stat: Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && stat.st_mode & 0o7777 == 0o755
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_size <= FOLDER_BYTES
    };
    rustix::fs::fstat(&folder).is_ok_and(plain) && has_no_attributes(folder)
}

/// Flags (`chattr`) of files and folders that a new one does not have. Not those that all of a tree may have got from the folder
/// above, as compression: in a sandbox none can be changed.
fn has_no_flags(file: impl AsFd) -> bool {
    const SET: IFlags = IFlags::SECURE_REMOVAL
        .union(IFlags::UNRM)
        .union(IFlags::SYNC)
        .union(IFlags::IMMUTABLE)
        .union(IFlags::APPEND)
        .union(IFlags::NODUMP)
        .union(IFlags::NOATIME)
        .union(IFlags::JOURNALING)
        .union(IFlags::NOTAIL)
        .union(IFlags::DIRSYNC)
        .union(IFlags::TOPDIR);
    // A file system that fails has none.
    rustix::fs::ioctl_getflags(file).map_or(true, |flags| !flags.intersects(SET))
}

/// Whether a file has no flags, and no attributes but the label that the system gives to every file.
fn has_no_attributes(file: impl AsFd) -> bool {
    const LABEL: &[u8] = b"security.selinux\0";
    let mut names = [0_u8; 64];
    let has_none = match rustix::fs::flistxattr(&file, &mut names) {
        Ok(count) => names[..count].is_empty() || names[..count] == *LABEL,
        Err(error) => error == Errno::OPNOTSUPP,
    };
    has_none && has_no_flags(file)
}

fn open_folder(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// The names in a folder, sorted, and whether each is a folder; `None` for one that is not UTF-8.
fn listing(folder: OwnedFd) -> Option<BTreeMap<String, bool>> {
    let mut names = BTreeMap::new();
    for entry in Dir::new(folder).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name().to_str().ok()?;
        if name != "." && name != ".." {
            if entry.file_type() == FileType::Unknown || names.len() > MANY {
                return None;
            }
            names.insert(name.to_owned(), entry.file_type() == FileType::Directory);
        }
    }
    Some(names)
}

/// Whether nothing but `work` was touched: the folder of the attempt, `home` and `tmp`.
fn is_pristine([root, home, tmp]: &[PathBuf; 3]) -> bool {
    let names = |dir: &Path| open_folder(dir).filter(|folder| is_plain(folder)).and_then(listing);
    names(root).is_some_and(|names| names.into_keys().eq(["home", "tmp", "work"]))
        && [home, tmp].iter().all(|dir| names(dir).is_some_and(|names| names.is_empty()))
}

/// Notes what is in a folder; the time of its last change, or `None` if not all can be used again.
fn survey(folder: &Path, at: &str, left: &mut Left) -> Option<i128> {
    let opened = open_folder(folder).filter(|folder| is_plain(folder))?;
    let stat = rustix::fs::fstat(&opened).ok()?;
    let mut changed = nanos(stat.st_ctime, stat.st_ctime_nsec);
    for (name, is_folder) in listing(opened)? {
        let path = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        if left.files.len() + left.folders.len() >= MANY {
            return None;
        }
        if is_folder {
            changed = changed.max(survey(&folder.join(&name), &path, left)?);
            left.folders.insert(path);
        } else if rustix::fs::statat(CWD, folder.join(&name), AtFlags::SYMLINK_NOFOLLOW).ok()?.st_size > COMPARED {
            // It is of no use, and may be in the way of others.
            std::fs::remove_file(folder.join(&name)).ok()?;
        } else {
            left.files.insert(path);
        }
    }
    Some(changed)
}

/// Gives a file other bytes, if it is a plain one of which nobody else has a name.
fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let meta = file.metadata()?;
    let is_ours = meta.is_file()
        && meta.nlink() == 1
        && meta.uid() == rustix::process::geteuid().as_raw()
        && meta.len() <= SMALL
        && has_no_attributes(&file);
    if !is_ours {
        return Ok(false);
    }
    if meta.mode() & 0o7777 != 0o644 {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    }
    file.write_all_at(bytes, 0)?;
    if meta.len() > bytes.len() as u64 {
        file.set_len(bytes.len() as u64)?;
    }
    Ok(true)
}

fn open_file(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
}

/// Whether a file is a plain one of which nobody else has a name, and holds what an entry says.
fn holds(file: &File, entry: &Entry) -> bool {
    let Entry::File { digest, size, exec } = entry else { return false };
    let mode = if *exec { 0o755 } else { 0o644 };
    let is_right = |meta: std::fs::Metadata| {
        meta.is_file()
            && meta.nlink() == 1
            && meta.mode() & 0o7777 == mode
            && meta.uid() == rustix::process::geteuid().as_raw()
            && meta.len() == *size
    };
    let mut bytes = vec![0; usize::try_from(*size).unwrap_or_default()];
    file.metadata().is_ok_and(is_right)
        && has_no_attributes(file)
        && file.read_exact_at(&mut bytes, 0).is_ok()
        && Digest::of_blob(&bytes) == *digest
}

/// Puts one of the files that attempts have made in a place where there is nothing, if it still holds what it held.
/// `false` if that is not possible.
pub(super) fn give(file: &Path, entry: &Entry, dest: &Path) -> bool {
    let place = || rustix::fs::renameat_with(CWD, file, CWD, dest, RenameFlags::NOREPLACE);
    let place_in_new =
        || dest.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok()) && place().is_ok();
    open_file(file).is_some_and(|opened| holds(&opened, entry))
        && match place() {
            Ok(()) => true,
            Err(error) => error == Errno::NOENT && place_in_new(),
        }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn light(mut attempt: Attempt<'_>) {
        attempt.succeed();
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn inode(path: &Path) -> u64 {
        std::fs::symlink_metadata(path).unwrap().ino()
    }

    #[test]
    fn files_and_folders_are_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        let first = attempts.take().unwrap();
        std::fs::create_dir(first.work.join("in")).unwrap();
        std::fs::write(first.work.join("in/a"), "a longer text").unwrap();
        let (file, folder) = (inode(&first.work.join("in/a")), inode(&first.work.join("in")));
        light(first);
        let mut second = attempts.take_as_left().unwrap();
        assert!(second.has_folder("in") && !second.has_folder("in") && !second.has_folder("other"));
        assert!(second.reuse("in/b", b"short") && !second.reuse("in/c", b"no other is left"));
        second.tidy(std::iter::empty()).unwrap();
        let b = second.work.join("in/b");
        assert_eq!((read(&b), inode(&b), inode(&second.work.join("in"))), ("short".into(), file, folder));
        assert!(!second.work.join("in/a").exists());
        assert_eq!(std::fs::metadata(&b).unwrap().permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn what_is_the_same_at_the_same_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        let entry = |text: &str, exec| {
            let digest = Digest::of_blob(text.as_bytes());
            Entry::File { digest, size: text.len() as u64, exec }
        };
        let first = attempts.take().unwrap();
        for name in ["a", "b", "c", "d"] {
            std::fs::write(first.work.join(name), "text").unwrap();
        }
        let old = std::fs::metadata(first.work.join("a")).unwrap().modified().unwrap();
        std::fs::write(first.work.join("b"), "tuxt").unwrap();
        std::fs::set_permissions(first.work.join("c"), std::fs::Permissions::from_mode(0o666)).unwrap();
        light(first);
        let mut second = attempts.take_as_left().unwrap();
        let text = entry("text", false);
        assert!(second.has_file("a", &text) && !second.has_file("a", &text), "it is there once");
        assert!(std::fs::metadata(second.work.join("a")).unwrap().modified().unwrap() > old, "as if it were new");
        assert!(!second.has_file("b", &text) && !second.has_file("c", &text) && !second.has_file("e", &text));
        assert!(!second.has_file("d", &entry("text", true)) && second.has_file("d", &text));
        second.tidy(std::iter::empty()).unwrap();
        assert!(second.work.join("a").exists() && second.work.join("d").exists());
        assert!(!second.work.join("b").exists() && !second.work.join("c").exists());
    }

    #[test]
    fn what_is_not_wanted_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        let first = attempts.take().unwrap();
        std::fs::create_dir_all(first.work.join("x/y/z")).unwrap();
        std::fs::write(first.work.join("x/y/f"), "f").unwrap();
        std::fs::create_dir(first.work.join("x-1")).unwrap();
        std::fs::write(first.work.join("loose"), "loose").unwrap();
        symlink("/etc/passwd", first.work.join("link")).unwrap();
        light(first);
        let mut second = attempts.take_as_left().unwrap();
        // A file where a folder was, and a folder where a file was.
        second.clear("x/y/z").unwrap();
        second.clear("loose").unwrap();
        assert!(!second.work.join("x/y/z").exists() && !second.work.join("loose").exists());
        second.tidy(std::iter::once(RelPath::new("x/y").unwrap())).unwrap();
        let mut left: Vec<_> = walkdir::WalkDir::new(&second.work)
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .collect();
        left.sort();
        assert_eq!(left, [second.work.join("x"), second.work.join("x/y")]);
        light(second);
        let third = attempts.take().unwrap();
        assert!(walkdir::WalkDir::new(&third.work).min_depth(1).into_iter().next().is_none(), "all is empty");
    }

    #[test]
    fn what_is_not_plain_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        type Leave = fn(&Path, &Path);
        let leaves: [Leave; 4] = [
            |work, victim| symlink(victim, work.join("f")).unwrap(),
            |work, victim| {
                // Another name of it is elsewhere.
                std::fs::write(work.join("f"), "mine").unwrap();
                std::fs::rename(work.join("f"), victim.with_extension("2")).unwrap();
                rustix::fs::linkat(CWD, victim.with_extension("2"), CWD, work.join("f"), AtFlags::empty()).unwrap();
            },
            |work, _| std::fs::write(work.join("f"), vec![0; 100_000]).unwrap(),
            |work, _| {
                rustix::fs::mknodat(CWD, work.join("f"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
            },
        ];
        for leave in leaves {
            let first = attempts.take().unwrap();
            leave(&first.work, &victim);
            light(first);
            let mut second = attempts.take_as_left().unwrap();
            assert!(!second.reuse("g", b"bytes"));
            second.tidy(std::iter::empty()).unwrap();
            assert!(!second.work.join("f").exists() && !second.work.join("g").exists());
        }
        assert_eq!(read(&victim), "precious");
    }

    #[test]
    fn touched_folders_are_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        type Touch = fn(&Path);
        let touches: [Touch; 4] = [
            |root| std::fs::write(root.join("home/.cache"), "x").unwrap(),
            |root| std::fs::write(root.join("beside"), "x").unwrap(),
            |root| std::fs::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o777)).unwrap(),
            |root| std::fs::set_permissions(root.join("work"), std::fs::Permissions::from_mode(0o777)).unwrap(),
        ];
        for touch in touches {
            // Often enough that what is known of them is believed.
            for _ in 0..3 {
                light(attempts.take().unwrap());
            }
            let first = attempts.take().unwrap();
            touch(&first.root);
            light(first);
            let second = attempts.take().unwrap();
            let names: Vec<_> = listing(open_folder(&second.root).unwrap()).unwrap().into_keys().collect();
            assert_eq!(names, ["home", "tmp", "work"]);
            for part in ["", "home", "tmp", "work"] {
                let mode = std::fs::metadata(second.root.join(part)).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o755, "{part}");
            }
            assert!(is_pristine(&[second.root.clone(), second.root.join("home"), second.root.join("tmp")]));
            light(second);
        }
    }

    #[test]
    fn flagged_folders_and_files_are_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        for part in ["", "home", "tmp", "work", "work/in", "work/in/f"] {
            let first = attempts.take().unwrap();
            std::fs::create_dir(first.work.join("in")).unwrap();
            std::fs::write(first.work.join("in/f"), "text").unwrap();
            let file = File::open(first.root.join(part)).unwrap();
            let Ok(flags) = rustix::fs::ioctl_getflags(&file) else { return };
            // Some file systems have no such flags.
            if rustix::fs::ioctl_setflags(&file, flags | IFlags::NODUMP | IFlags::NOATIME).is_err() {
                return;
            }
            light(first);
            let mut second = attempts.take_as_left().unwrap();
            assert!(!second.reuse("in/f", b"other"), "{part}");
            second.tidy(std::iter::empty()).unwrap();
            for folder in ["", "home", "tmp", "work"] {
                assert!(has_no_flags(File::open(second.root.join(folder)).unwrap()), "{part} as seen in {folder}");
            }
        }
    }

    #[test]
    fn people_are_given_what_was_made_if_it_is_still_so() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path()).unwrap();
        let entry = Entry::File { digest: Digest::of_blob(b"made"), size: 4, exec: false };
        let make = || {
            let mut first = attempts.take().unwrap();
            std::fs::write(first.work.join("o"), "made").unwrap();
            let kind = crate::plan::OutputKind::File;
            let declared =
                Output { name: "n".into(), path: RelPath::new("o").unwrap(), kind, digest: None, schema: None };
            first.keep_outputs(&[declared], &[ClaimOutput { name: "n".into(), entry: entry.clone() }], &|_| true);
            light(first);
            let mut kept: Vec<PathBuf> = attempts.take_kept().into_values().flatten().collect();
            assert_eq!(kept.len(), 1);
            kept.remove(0)
        };
        let dest = dir.path().join("new/folder/dest");
        let file = make();
        assert!(give(&file, &entry, &dest));
        assert_eq!((read(&dest).as_str(), file.exists()), ("made", false));
        assert!(!give(&make(), &entry, &dest), "nothing is replaced");
        let file = make();
        std::fs::write(&file, "fake").unwrap();
        assert!(!give(&file, &entry, &dir.path().join("other")));
        let file = make();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!give(&file, &entry, &dir.path().join("other")));
        assert!(!dir.path().join("other").exists());
    }
}
