//! Puts content of a store where people look for it, replacing exactly what is there. Leaves out
//! where that is.
//!
//! What is right already is left alone, since replacing an existing file is the dearest thing a
//! file system does. Everything else is built beside its place and swapped in by one rename, so
//! that whoever looks sees the old or the new, whole.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::base::{Digest, Entry, Hasher, Limits, RelPath};
use crate::store::layout::{io_error, list, open_dir, remove_tree};
use crate::store::{Cas, Error, Found};

/// Puts a file, a symlink or a whole folder at `dest`, in the place of whatever is there. The
/// folders above are made if they are missing, and taken as they are otherwise. If a blob turns out
/// missing or corrupt, `dest` stays as it was.
pub fn materialize(cas: &dyn Cas, entry: &Entry, dest: &Path) -> Result<Found<()>, Error> {
    let parent = match dest.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io_error("replace", dest, io::ErrorKind::InvalidInput)),
    };
    if !parent.is_dir() {
        std::fs::create_dir_all(parent).map_err(|error| io_error("create the folder", parent, error))?;
    }
    place(cas, entry, parent, dest)
}

/// The same at a path below `root`, without following a symlink on the way from there, so that
/// nothing outside is written. A file or a symlink where a folder is needed is an error.
pub fn materialize_below(cas: &dyn Cas, entry: &Entry, root: &Path, dest: &RelPath) -> Result<Found<()>, Error> {
    std::fs::create_dir_all(root).map_err(|error| io_error("create the folder", root, error))?;
    let mut at = open_dir(root)?;
    let mut path = root.to_owned();
    if let Some(parent) = dest.parent() {
        for segment in parent.segments() {
            path.push(segment);
            at = enter(&at, segment).map_err(|error| io_error("enter the folder", &path, error))?;
        }
    }
    place(cas, entry, &path, &dest.under(root))
}

/// Reads all that an entry is made of, so that everything damaged is set aside, and not only what is met first: who
/// makes it anew then makes all of it anew. What is missing is passed over.
pub fn look_through(cas: &dyn Cas, entry: &Entry) -> Result<(), Error> {
    match entry {
        Entry::File { digest, .. } => cas.read(*digest, &mut |_| ()).map(|_| ()),
        Entry::Symlink { .. } => Ok(()),
        Entry::Dir { digest } => match cas.get_tree(*digest)? {
            Found::Whole(tree) => tree.entries.values().try_for_each(|below| look_through(cas, below)),
            Found::Missing | Found::Corrupt => Ok(()),
        },
    }
}

fn enter(at: &OwnedFd, segment: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, segment, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(at, segment, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            rustix::fs::openat(at, segment, flags, Mode::empty())
        }
        other => other,
    }
}

fn place(cas: &dyn Cas, entry: &Entry, parent: &Path, dest: &Path) -> Result<Found<()>, Error> {
    match is_right(cas, entry, dest)? {
        Found::Whole(true) => return Ok(Found::Whole(())),
        Found::Whole(false) => {}
        Found::Missing => return Ok(Found::Missing),
        Found::Corrupt => return Ok(Found::Corrupt),
    }
    let new = beside(parent);
    let built = build(cas, entry, &new);
    if !matches!(built, Ok(Found::Whole(()))) {
        remove_tree(&new)?;
        return built;
    }
    if let Err(error) = swap(&new, parent, dest) {
        // The error that matters is the first.
        let _ = remove_tree(&new);
        return Err(error);
    }
    Ok(Found::Whole(()))
}

/// A name in `parent` that nothing else uses: processes differ in their number, calls in theirs.
fn beside(parent: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!(".partita-{}-{number}", std::process::id()));
        if std::fs::symlink_metadata(&path).is_err() {
            return path;
        }
    }
}

/// Gives `new` the place of `dest` and removes what was there.
fn swap(new: &Path, parent: &Path, dest: &Path) -> Result<(), Error> {
    let failed = |error: Errno| io_error("replace", dest, error);
    match rustix::fs::renameat_with(CWD, new, CWD, dest, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {}
        Err(error) => return Err(failed(error)),
    }
    let is_dir = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if !is_dir(new) && !is_dir(dest) {
        return rustix::fs::rename(new, dest).map_err(failed);
    }
    match rustix::fs::renameat_with(CWD, new, CWD, dest, RenameFlags::EXCHANGE) {
        Ok(()) => remove_tree(new),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOENT) => {
            let old = beside(parent);
            match rustix::fs::rename(dest, &old) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
            rustix::fs::rename(new, dest).map_err(failed)?;
            remove_tree(&old)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Makes an entry anew at a path that does not exist.
fn build(cas: &dyn Cas, entry: &Entry, at: &Path) -> Result<Found<()>, Error> {
    let mut folders: Vec<(PathBuf, Digest)> = Vec::new();
    let mut left = Limits::OUTPUT_FILES;
    match one(cas, entry, at.to_owned(), &mut folders)? {
        Found::Whole(()) => {}
        other => return Ok(other),
    }
    // A list and not a recursion: how deep a tree goes is not ours to say.
    while let Some((path, digest)) = folders.pop() {
        let tree = match cas.get_tree(digest)? {
            Found::Whole(tree) => tree,
            Found::Missing => return Ok(Found::Missing),
            Found::Corrupt => return Ok(Found::Corrupt),
        };
        DirBuilder::new().mode(0o755).create(&path).map_err(|error| io_error("create the folder", &path, error))?;
        for (name, entry) in &tree.entries {
            // One folder may be named many times, so that a small store holds endless trees.
            left = left.checked_sub(1).ok_or_else(|| {
                let many = format!("the folder holds more than {} files", Limits::OUTPUT_FILES);
                io_error("write", &path, io::Error::new(io::ErrorKind::InvalidData, many))
            })?;
            if name == "." || name == ".." || name.contains(['/', '\0']) {
                let wrong = format!("`{}` is no name of a file", name.escape_debug());
                return Err(io_error("write into", &path, io::Error::new(io::ErrorKind::InvalidData, wrong)));
            }
            match one(cas, entry, path.join(name), &mut folders)? {
                Found::Whole(()) => {}
                other => return Ok(other),
            }
        }
    }
    Ok(Found::Whole(()))
}

fn one(cas: &dyn Cas, entry: &Entry, at: PathBuf, folders: &mut Vec<(PathBuf, Digest)>) -> Result<Found<()>, Error> {
    match entry {
        Entry::File { digest, exec, .. } => return cas.copy_to(*digest, &at, *exec),
        Entry::Dir { digest } => folders.push((at, *digest)),
        Entry::Symlink { target } => {
            std::os::unix::fs::symlink(target, &at).map_err(|error| io_error("create the symlink", &at, error))?;
        }
    }
    Ok(Found::Whole(()))
}

/// Whether exactly this is there already. Stops at the first difference.
fn is_right(cas: &dyn Cas, entry: &Entry, at: &Path) -> Result<Found<bool>, Error> {
    let mut todo = vec![(at.to_owned(), entry.clone())];
    while let Some((path, entry)) = todo.pop() {
        let meta = match std::fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Found::Whole(false));
            }
            Err(error) => return Err(io_error("look at", &path, error)),
        };
        let same = match &entry {
            Entry::File { digest, size, exec } => {
                meta.is_file()
                    && meta.len() == *size
                    && meta.mode() & 0o7000 == 0
                    && (meta.mode() & 0o111 != 0) == *exec
                    && hashes_to(&path, *digest)
            }
            Entry::Symlink { target } => {
                meta.is_symlink() && std::fs::read_link(&path).is_ok_and(|to| to == Path::new(target))
            }
            Entry::Dir { digest } if meta.is_dir() => {
                let tree = match cas.get_tree(*digest)? {
                    Found::Whole(tree) => tree,
                    Found::Missing => return Ok(Found::Missing),
                    Found::Corrupt => return Ok(Found::Corrupt),
                };
                let names = list(&path)?;
                let equal = names.len() == tree.entries.len()
                    && names.iter().zip(tree.entries.keys()).all(|(there, name)| there.file_name() == name.as_str());
                todo.extend(tree.entries.into_iter().filter(|_| equal).map(|(name, entry)| (path.join(name), entry)));
                equal
            }
            Entry::Dir { .. } => false,
        };
        if !same {
            return Ok(Found::Whole(false));
        }
    }
    Ok(Found::Whole(true))
}

/// A file that cannot be read is not right; then replacing it says why, or heals it.
fn hashes_to(path: &Path, digest: Digest) -> bool {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let hash = |mut file: File| -> io::Result<Digest> {
        let mut hasher = Hasher::of_blob();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => drop(hasher.update(&buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    File::options().read(true).custom_flags(flags).open(path).and_then(hash).is_ok_and(|found| found == digest)
}
