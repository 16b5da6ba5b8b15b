//! Reading objects: every byte that leaves the store was compared with its digest, and what does
//! not fit is moved to quarantine. Leaves out writing.
//!
//! Objects up to [`BIG`] are read into memory and hashed each time, which costs less than the copy
//! itself. Bigger ones are hashed on their first use in this process; later uses clone or copy them
//! within the kernel, as long as no one wrote into them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::base::{Digest, Domain, Hasher};
use crate::event::Event;
use crate::store::commit::{Committer, Content};
use crate::store::layout::{Layout, ObjectName, io_error};
use crate::store::{Error, Found, StoreOptions};

/// Bytes up to which an object is handled in memory.
pub(super) const BIG: u64 = 1 << 20;

/// Bytes moved at once of bigger ones.
const CHUNK: usize = 1 << 18;

/// Whether the store's file system clones files, as far as is known.
#[derive(Default)]
pub(super) struct Clones {
    refused: AtomicBool,
}

impl Clones {
    /// Makes `to` share the bytes of `from`. `false` if that is not possible; then `to` is as it was.
    pub(super) fn try_clone(&self, to: &File, from: &File) -> bool {
        if self.refused.load(Ordering::Relaxed) {
            return false;
        }
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => true,
            Err(error) => {
                // Two file systems, or a quirk of one file, say nothing about the next pair.
                if matches!(error, Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) {
                    self.refused.store(true, Ordering::Relaxed);
                }
                false
            }
        }
    }
}

/// An object open for reading.
struct Source {
    file: Arc<File>,
    size: u64,
    /// Device and inode; `None` while it has no final name.
    named: Option<(u64, u64)>,
}

/// Which file an object was, and when it last changed: whoever writes into it leaves a trace here.
/// What rots on the disk does not, and is noticed by the next process.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    file: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            file: (meta.dev(), meta.ino()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// What opening an object came to.
enum Opened {
    Source(Source),
    Missing,
    /// Something lies under its name that cannot be opened as a file.
    Unreadable,
}

/// What looking at the bytes of an object came to.
enum Judged<T> {
    Right(T),
    Wrong,
}

/// Reads objects.
pub(super) struct Reader {
    layout: Arc<Layout>,
    options: StoreOptions,
    pub(super) clones: Clones,
    /// Big objects that were hashed in this process, as they were then.
    trusted: Mutex<BTreeMap<Digest, State>>,
}

impl Reader {
    pub(super) fn new(layout: Arc<Layout>, options: StoreOptions) -> Self {
        Self { layout, options, clones: Clones::default(), trusted: Mutex::default() }
    }

    fn trust(&self, digest: Digest, state: State) {
        self.trusted.lock().expect("no holder of the lock panics").insert(digest, state);
    }

    fn is_trusted(&self, digest: Digest, state: State) -> bool {
        self.trusted.lock().expect("no holder of the lock panics").get(&digest) == Some(&state)
    }

    /// The bytes of a blob or of an encoded tree, verified.
    pub(super) fn get(&self, committer: &Committer, digest: Digest) -> Result<Found<Vec<u8>>, Error> {
        if let Some(bytes) = held(committer, digest) {
            return Ok(Found::Whole(bytes.to_vec()));
        }
        self.with(committer, digest, |source| {
            let bytes = read_up_to(&source.file, source.size)?;
            Ok(if is_right(digest, &bytes) { Judged::Right(bytes) } else { Judged::Wrong })
        })
    }

    /// Hashes an object without keeping its bytes. Returns its size.
    pub(super) fn check(&self, committer: &Committer, digest: Digest) -> Result<Found<u64>, Error> {
        if let Some(bytes) = held(committer, digest) {
            return Ok(Found::Whole(bytes.len() as u64));
        }
        self.with(committer, digest, |source| {
            Ok(if hash_right(digest, &source.file)? { Judged::Right(source.size) } else { Judged::Wrong })
        })
    }

    /// See [`crate::store::Cas::read`].
    pub(super) fn read(
        &self,
        committer: &Committer,
        digest: Digest,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Found<u64>, Error> {
        if let Some(bytes) = held(committer, digest) {
            sink(&bytes);
            return Ok(Found::Whole(bytes.len() as u64));
        }
        if let Opened::Source(Source { named: None, .. }) = self.open(committer, digest)? {
            // What turns out wrong without a final name would be read, and handed on, twice.
            committer.flush(false)?;
        }
        self.with(committer, digest, |source| {
            let mut buffer = vec![0; CHUNK.min(usize::try_from(source.size).unwrap_or(CHUNK)).max(1)];
            let mut hasher = Hasher::of_blob();
            let mut at = 0;
            loop {
                match source.file.read_at(&mut buffer, at) {
                    Ok(0) => break,
                    Ok(count) => {
                        hasher.update(&buffer[..count]);
                        sink(&buffer[..count]);
                        at += count as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(if hasher.finish() == digest { Judged::Right(at) } else { Judged::Wrong })
        })
    }

    /// See [`crate::store::Cas::copy_to`].
    pub(super) fn copy_to(
        &self,
        committer: &Committer,
        digest: Digest,
        path: &Path,
        exec: bool,
    ) -> Result<Found<()>, Error> {
        if let Some(bytes) = held(committer, digest) {
            return write_new(path, exec, &bytes).map(Found::Whole);
        }
        let mut target = None;
        let found = self.with(committer, digest, |source| {
            if source.size <= BIG {
                let bytes = read_up_to(&source.file, source.size)?;
                if !is_right(digest, &bytes) {
                    return Ok(Judged::Wrong);
                }
                target = Some(create(path, exec).and_then(|mut file| match file.write_all(&bytes) {
                    Ok(()) => Ok(()),
                    Err(error) => Err(abandon(path, error)),
                }));
                return Ok(Judged::Right(()));
            }
            let state = State::of(&source.file)?;
            if !self.is_trusted(digest, state) {
                if !hash_right(digest, &source.file)? {
                    return Ok(Judged::Wrong);
                }
                self.trust(digest, state);
            }
            target = Some(create(path, exec).and_then(|file| {
                if self.clones.try_clone(&file, &source.file) {
                    return Ok(());
                }
                copy(&source.file, &file).map_err(|error| abandon(path, error))
            }));
            Ok(Judged::Right(()))
        })?;
        // Failing to write the copy is no fault of the object.
        target.unwrap_or(Ok(()))?;
        Ok(found)
    }

    /// Opens an object and has its bytes judged; what is wrong goes to quarantine.
    fn with<T>(
        &self,
        committer: &Committer,
        digest: Digest,
        mut judge: impl FnMut(&Source) -> io::Result<Judged<T>>,
    ) -> Result<Found<T>, Error> {
        let mut source = match self.open(committer, digest)? {
            Opened::Source(source) => source,
            Opened::Missing => return Ok(Found::Missing),
            Opened::Unreadable => return self.quarantine(digest, None),
        };
        let mut judged = self.judge(digest, &source, &mut judge)?;
        if matches!(judged, Judged::Wrong) && source.named.is_none() {
            // Only what has a final name can be moved to quarantine.
            committer.flush(false)?;
            let Opened::Source(named) = self.open(committer, digest)? else { return Ok(Found::Missing) };
            source = named;
            judged = self.judge(digest, &source, &mut judge)?;
        }
        match judged {
            Judged::Right(value) => Ok(Found::Whole(value)),
            Judged::Wrong => self.quarantine(digest, source.named),
        }
    }

    fn judge<T>(
        &self,
        digest: Digest,
        source: &Source,
        judge: &mut impl FnMut(&Source) -> io::Result<Judged<T>>,
    ) -> Result<Judged<T>, Error> {
        match judge(source) {
            Ok(judged) => Ok(judged),
            // A sector that cannot be read: the bytes are lost, which is for the caller to heal.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(Judged::Wrong),
            Err(error) => Err(io_error("read", &self.layout.object_path(digest), error)),
        }
    }

    fn quarantine<T>(&self, digest: Digest, named: Option<(u64, u64)>) -> Result<Found<T>, Error> {
        self.trusted.lock().expect("no holder of the lock panics").remove(&digest);
        if self.layout.only_read() {
            return Ok(Found::Corrupt);
        }
        let millis = self.options.clock.now().millis();
        if self.layout.quarantine(digest, named, millis)? {
            (self.options.notify)(Event::BlobQuarantined { digest: digest.hex() });
        }
        Ok(Found::Corrupt)
    }

    fn open(&self, committer: &Committer, digest: Digest) -> Result<Opened, Error> {
        // What is in memory was looked for before: it came at this moment, or has its final name by now.
        if let Some((Content::File(file, _), size)) = committer.blob(digest) {
            return Ok(Opened::Source(Source { file, size, named: None }));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let failed = |error: io::Error| io_error("open", &self.layout.object_path(digest), error);
        let name = ObjectName::of(digest);
        let open = || rustix::fs::openat(self.layout.cas(), name.as_c_str(), flags, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) if self.layout.only_read() => self.layout.open_aside(digest, flags).or_else(|_| open()),
            Err(Errno::NOENT) if self.layout.take_back(digest) => open(),
            other => other,
        };
        match opened {
            Ok(fd) => {
                let file = File::from(fd);
                let meta = file.metadata().map_err(failed)?;
                if !meta.is_file() {
                    return Ok(Opened::Unreadable);
                }
                let named = Some((meta.dev(), meta.ino()));
                Ok(Opened::Source(Source { file: Arc::new(file), size: meta.len(), named }))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Opened::Missing),
            Err(Errno::LOOP | Errno::NXIO | Errno::IO) => Ok(Opened::Unreadable),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// The bytes of a blob that waits in memory. They were hashed when they came.
fn held(committer: &Committer, digest: Digest) -> Option<Arc<[u8]>> {
    match committer.blob(digest)? {
        (Content::Held(bytes), _) => Some(bytes),
        (Content::File(..), _) => None,
    }
}

/// Reads from the start up to `limit` bytes, without moving the file's position.
pub(super) fn read_up_to(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let limit = usize::try_from(limit).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(limit).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.resize(limit, 0);
    let mut at = 0;
    while at < limit {
        match file.read_at(&mut bytes[at..], at as u64) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// Whether bytes are what a digest names: as a blob, or as an encoded tree. The two cannot be
/// confused, as trees are hashed under a context of their own.
fn is_right(digest: Digest, bytes: &[u8]) -> bool {
    Digest::of_blob(bytes) == digest || Digest::derive(Domain::Tree, bytes) == digest
}

fn hash_right(digest: Digest, file: &File) -> io::Result<bool> {
    for mut hasher in [Hasher::of_blob(), Hasher::derive(Domain::Tree)] {
        each_chunk(file, &mut |bytes| _ = hasher.update(bytes))?;
        if hasher.finish() == digest {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a file from its start, without moving its position. Returns how long it is.
pub(super) fn each_chunk(file: &File, sink: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(at),
            Ok(count) => {
                sink(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a file that must not be there.
pub(super) fn write_new(path: &Path, exec: bool, bytes: &[u8]) -> Result<(), Error> {
    create(path, exec)?.write_all(bytes).map_err(|error| abandon(path, error))
}

fn create(path: &Path, exec: bool) -> Result<File, Error> {
    let mode = if exec { 0o755 } else { 0o644 };
    let made = File::options().write(true).create_new(true).mode(mode).open(path).and_then(|file| {
        // The process's mask may have taken bits away.
        if file.metadata()?.permissions().mode() & 0o777 != mode {
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        Ok(file)
    });
    made.map_err(|error| io_error("create", path, error))
}

fn abandon(path: &Path, error: io::Error) -> Error {
    // What was begun is no use to anyone; the error that matters is the one above.
    let _ = std::fs::remove_file(path);
    io_error("write", path, error)
}

fn copy(from: &File, to: &File) -> io::Result<()> {
    let mut at = 0;
    loop {
        match rustix::fs::copy_file_range(from, Some(&mut at), to, None, 1 << 30) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return copy_by_hand(from, to, at);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, mut to: &File, mut at: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read_at(&mut buffer, at) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
