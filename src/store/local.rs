//! The store in a directory: what the ports ask, put together from the layout, the committer, the
//! index and the reader. Leaves out upkeep: see `upkeep`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::base::{ActionKey, Clock, Digest, Domain, Entry, Hasher, Tree};
use crate::event::Event;
use crate::store::codec::sameness;
use crate::store::commit::{Committer, Content, Unnamed};
use crate::store::index::Index;
use crate::store::layout::{Layout, io_error, keep_ballast, release_ballast};
use crate::store::lease::Relied;
use crate::store::read::{BIG, Reader, read_up_to};
use crate::store::{Cas, Claim, Claims, Error, Found};

/// A claim's time of last use is written again when it is older than this many nanoseconds, so that
/// a run of hits alone writes nothing.
const USED_STEP: i64 = 3_600_000_000_000;

/// Bytes up to which a blob waits in memory for its batch.
const HELD: usize = 64 << 10;

/// How hard the store tries to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Batches are synced before what names them: a power cut loses at most the youngest.
    Batch,
    /// Nothing is synced. A kill loses no more than otherwise; a power cut may leave objects that
    /// are found wrong, and made again, when they are read.
    None,
}

/// Receives what the store finds out besides: [`Event::BlobQuarantined`] and [`Event::Notice`].
pub type Notify = Arc<dyn Fn(Event) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// For the times of claims and of what is quarantined.
    pub clock: Arc<dyn Clock>,
    /// Whether to sync.
    pub durability: Durability,
    /// Told of quarantined blobs.
    pub notify: Notify,
}

impl StoreOptions {
    /// Batch durability, and no one told.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, durability: Durability::Batch, notify: Arc::new(|_| {}) }
    }
}

/// A store in a directory that any number of processes may share.
pub struct LocalStore {
    // First, so that it commits the rest while all else is still there.
    pub(super) committer: Committer,
    pub(super) index: Arc<Index>,
    pub(super) reader: Reader,
    pub(super) layout: Arc<Layout>,
    pub(super) options: StoreOptions,
}

impl LocalStore {
    /// Opens the store in `dir`; makes one if the directory is missing or empty. Removes what dead
    /// processes left unfinished.
    ///
    /// # Errors
    /// [`Error::NotAStore`], [`Error::Newer`], [`Error::Network`], and what the system says.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, Error> {
        match Self::open_once(dir, options.clone()) {
            Ok(store) => {
                keep_ballast(store.dir());
                Ok(store)
            }
            Err(error) if is_for_want_of_room(&error) && release_ballast(dir) => Self::open_once(dir, options),
            Err(error) => Err(error),
        }
    }

    fn open_once(dir: &Path, options: StoreOptions) -> Result<Self, Error> {
        let layout = Arc::new(Layout::open(dir)?);
        let stamp = options.clock.now().millis().to_string();
        let notice = |text: String| (options.notify)(Event::Notice { text });
        let index = Arc::new(Index::open(&layout, &stamp, &notice)?);
        let committer =
            Committer::start(Arc::clone(&layout), Arc::clone(&index), Arc::clone(&options.clock), options.durability)?;
        let reader = Reader::new(Arc::clone(&layout), options.clone());
        Ok(Self { committer, index, reader, layout, options })
    }

    /// Opens the store in `dir` to read it: nothing is made, changed or removed, so that it may lie where nothing can be
    /// written. A missing one is empty; what is wrong stays where it is; what would write is refused.
    ///
    /// # Errors
    /// As of [`LocalStore::open`].
    pub fn open_to_read(dir: &Path, options: StoreOptions) -> Result<Self, Error> {
        let layout = Arc::new(Layout::open_to_read(dir)?);
        let index = Arc::new(Index::open_to_read(&layout)?);
        let committer = Committer::idle(Arc::clone(&layout), Arc::clone(&index), Arc::clone(&options.clock));
        let reader = Reader::new(Arc::clone(&layout), options.clone());
        Ok(Self { committer, index, reader, layout, options })
    }

    /// Whether it was opened to be read only.
    pub fn only_reads(&self) -> bool {
        self.layout.only_read()
    }

    /// The store directory, absolute.
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    /// Makes everything durable and closes the store. Dropping it commits too, but tells no one of
    /// a failure.
    pub fn close(self) -> Result<(), Error> {
        self.flush()
    }

    /// Whether the object needs no writing: it is there and whole, or waits to be. What is damaged is set aside: the
    /// bytes that would mend it are at hand, and its producer need not run for them again.
    fn is_kept(&self, digest: Digest, size: u64) -> Result<bool, Error> {
        if self.committer.blob_size(digest).is_some() {
            return Ok(true);
        }
        let is_there = self.layout.object_size(digest) == Some(size);
        Ok(is_there && matches!(self.reader.check(&self.committer, digest)?, Found::Whole(_)))
    }

    fn lookup_now(&self, key: ActionKey) -> Result<Vec<Claim>, Error> {
        // In this order: what waits is committed before it stops waiting.
        let (forgotten, mut claims) = self.committer.claims(key);
        if forgotten {
            return Ok(claims);
        }
        let rows = self.index.lookup(key)?;
        let now = self.options.clock.now().0;
        if rows.iter().any(|row| now.saturating_sub(row.last_used) > USED_STEP) {
            self.committer.used(key);
        }
        if claims.is_empty() {
            claims.extend(rows.into_iter().filter_map(|row| row.claim));
            return Ok(claims);
        }
        let waiting: Vec<_> = claims.iter().map(sameness).collect();
        let older = rows.into_iter().filter_map(|row| row.claim);
        claims.extend(older.filter(|claim| !waiting.contains(&sameness(claim))));
        // Stable: of claims made at one moment, the one recorded later stays first.
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.created));
        Ok(claims)
    }

    fn put(&self, digest: Digest, bytes: &[u8], tree: bool) -> Result<(), Error> {
        self.committer.sound()?;
        self.layout.lease(&[if tree { Relied::Tree(digest) } else { Relied::Blob(digest) }])?;
        let size = bytes.len() as u64;
        if self.is_kept(digest, size)? {
            return Ok(());
        }
        if bytes.len() <= HELD {
            return self.committer.add_blob(Unnamed { digest, size, content: Content::Held(bytes.into()) });
        }
        let (mut file, name) = self.new_file()?;
        if let Err(error) = file.write_all(bytes) {
            return Err(self.write_failed(&name, error));
        }
        self.committer.add_blob(Unnamed { digest, size, content: Content::File(Arc::new(file), name) })
    }

    /// A file of more than a read's worth: cloned if the file system can, else hashed while copied.
    fn put_big(&self, source: &File, path: &Path) -> Result<(Digest, u64), Error> {
        let (mut file, name) = self.new_file()?;
        let cloned = self.reader.clones.try_clone(&file, source);
        let mut hasher = Hasher::of_blob();
        let mut size = 0;
        let mut buffer = vec![0; 1 << 18];
        loop {
            // What is hashed is what is kept: of a clone, the clone's own bytes.
            let from = if cloned { &file } else { source };
            let count = match read_some(from, &mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    self.discard(&name);
                    return Err(io_error("read", path, error));
                }
            };
            hasher.update(&buffer[..count]);
            size += count as u64;
            if !cloned && let Err(error) = file.write_all(&buffer[..count]) {
                return Err(self.write_failed(&name, error));
            }
        }
        let digest = hasher.finish();
        self.layout.lease(&[Relied::Blob(digest)])?;
        if self.is_kept(digest, size)? {
            self.discard(&name);
        } else {
            self.committer.add_blob(Unnamed { digest, size, content: Content::File(Arc::new(file), name) })?;
        }
        Ok((digest, size))
    }

    fn new_file(&self) -> Result<(File, String), Error> {
        self.layout.session()?.new_file().inspect_err(|error| {
            // Too many open files is a passing state; a disk that is full or failing is not.
            if let Error::Io { source, .. } = error
                && is_of_the_disk(source)
            {
                self.committer.poison(error);
            }
        })
    }

    fn write_failed(&self, name: &str, error: io::Error) -> Error {
        let path = self.layout.session().map_or_else(|_| PathBuf::from(name), |session| session.path_of(name));
        let error = io_error("write", &path, error);
        self.committer.poison(&error);
        self.discard(name);
        error
    }

    fn discard(&self, name: &str) {
        if let Ok(session) = self.layout.session() {
            session.discard(name);
        }
    }
}

impl Cas for LocalStore {
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of_blob(bytes);
        self.put(digest, bytes, false)?;
        Ok(digest)
    }

    fn put_file(&self, path: &Path) -> Result<(Digest, u64), Error> {
        self.committer.sound()?;
        let (file, size) = open_regular(path)?;
        if size > BIG {
            return self.put_big(&file, path);
        }
        // One more than the size, so that a file that grows meanwhile is noticed.
        let bytes = read_up_to(&file, size + 1).map_err(|error| io_error("read", path, error))?;
        if bytes.len() as u64 > size {
            return self.put_big(&open_regular(path)?.0, path);
        }
        let digest = Digest::of_blob(&bytes);
        self.put(digest, &bytes, false)?;
        Ok((digest, bytes.len() as u64))
    }

    fn put_tree(&self, tree: &Tree) -> Result<Digest, Error> {
        let bytes = tree.encode();
        let digest = Digest::derive(Domain::Tree, &bytes);
        self.put(digest, &bytes, true)?;
        Ok(digest)
    }

    fn get(&self, digest: Digest) -> Result<Found<Vec<u8>>, Error> {
        self.reader.get(&self.committer, digest)
    }

    fn get_tree(&self, digest: Digest) -> Result<Found<Tree>, Error> {
        let bytes = match self.reader.get(&self.committer, digest)? {
            Found::Whole(bytes) => bytes,
            Found::Missing => return Ok(Found::Missing),
            Found::Corrupt => return Ok(Found::Corrupt),
        };
        if Digest::derive(Domain::Tree, &bytes) != digest {
            // A sound blob of this name, but not a tree.
            return Ok(Found::Missing);
        }
        match Tree::decode(&bytes) {
            Ok(tree) => Ok(Found::Whole(tree)),
            // Right by its digest, yet not canonical: nothing of ours wrote it.
            Err(_) => Ok(Found::Missing),
        }
    }

    fn read(&self, digest: Digest, sink: &mut dyn FnMut(&[u8])) -> Result<Found<u64>, Error> {
        self.reader.read(&self.committer, digest, sink)
    }

    fn copy_to(&self, digest: Digest, path: &Path, exec: bool) -> Result<Found<()>, Error> {
        self.reader.copy_to(&self.committer, digest, path, exec)
    }

    fn contains(&self, digest: Digest) -> bool {
        self.size(digest).is_some()
    }

    fn size(&self, digest: Digest) -> Option<u64> {
        // In this order: what waits gets its final name before it stops waiting.
        self.committer.blob_size(digest).or_else(|| self.layout.object_size(digest))
    }

    fn scratch(&self) -> Result<PathBuf, Error> {
        self.layout.session()?.new_dir()
    }

    fn rely_on(&self, keys: &[ActionKey], entries: &[&Entry]) -> Result<(), Error> {
        let named = entries.iter().filter_map(|entry| match entry {
            Entry::File { digest, .. } => Some(Relied::Blob(*digest)),
            Entry::Dir { digest } => Some(Relied::Tree(*digest)),
            Entry::Symlink { .. } => None,
        });
        let all: Vec<Relied> = keys.iter().map(|key| Relied::Key(*key)).chain(named).collect();
        self.layout.lease(&all)
    }

    fn was_damaged_since(&self, digest: Digest, since: i64) -> bool {
        self.layout.was_damaged_since(digest, since)
    }

    fn rely_on_everything(&self, all: bool) -> Result<(), Error> {
        self.layout.lease_everything(all)
    }

    fn flush(&self) -> Result<(), Error> {
        self.committer.flush(true)
    }
}

impl Claims for LocalStore {
    fn lookup(&self, key: ActionKey) -> Result<Vec<Claim>, Error> {
        // Before the rows are read: a collection that does not see this note yet has taken them away by then, and
        // one that sees it leaves them alone. Where it cannot be noted, as on a full disk, what is taken is made anew.
        if let Err(error) = self.layout.lease(&[Relied::Key(key)]) {
            tracing::warn!(%error, "what is in use was not noted");
        }
        self.lookup_now(key)
    }

    fn record(&self, claim: Claim) -> Result<(), Error> {
        self.layout.healed(claim.key);
        self.committer.record(claim)
    }

    fn dropped_for(&self, key: ActionKey) -> Option<Digest> {
        self.layout.dropped_for(key)
    }

    fn forget(&self, key: ActionKey) -> Result<(), Error> {
        self.committer.forget(key)
    }

    fn hold(&self, key: ActionKey, why: &str) -> Result<(), Error> {
        self.index.hold(key, Some(why))
    }

    fn release(&self, key: ActionKey) -> Result<(), Error> {
        // Nothing is written for what was never held.
        if self.index.held(key)?.is_some() { self.index.hold(key, None) } else { Ok(()) }
    }

    fn held(&self, key: ActionKey) -> Result<Option<String>, Error> {
        self.index.held(key)
    }
}

/// Opens a regular file and says how long it is. Never follows a symlink and never waits for the
/// other end of a pipe.
pub(super) fn open_regular(path: &Path) -> Result<(File, u64), Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| io_error("open", path, error))?;
    let file = File::from(fd);
    let meta = file.metadata().map_err(|error| io_error("look at", path, error))?;
    if !meta.is_file() {
        return Err(io_error("keep", path, io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    Ok((file, meta.len()))
}

fn read_some(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Whether an error may be gone when there is room on the disk. SQLite gives more than one.
pub(super) fn is_for_want_of_room(error: &Error) -> bool {
    use rusqlite::ErrorCode;
    match error {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
        Error::Index { source, .. } => matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)
        ),
        _ => false,
    }
}

fn is_of_the_disk(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::NOSPC, Errno::IO, Errno::DQUOT, Errno::ROFS].iter().any(|bad| errno == Some(bad.raw_os_error()))
}
