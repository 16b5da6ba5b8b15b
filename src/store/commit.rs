//! Group commit: what was kept or recorded waits here, readable by this process, until a thread
//! makes a batch of it durable: bytes first, then final names, then rows. Leaves out reading.
//!
//! The order is the promise. A row never becomes durable before the bytes it names, and a final
//! name implies complete bytes. What is lost by a kill or a power cut is the youngest batch, whole.
//!
//! Small blobs wait in memory and become files only here, many at a time: what a wait for the disk costs
//! hardly depends on how much there is to write, and files that nobody waits for need never reach it.
//!
//! How bytes become durable: git's batch mode needs `sync_file_range`, which has no safe binding, so
//! a batch is synced by one `syncfs` while little else is dirty on the machine (it waits for that
//! too), and otherwise by starting the writes of all files and then waiting for each with
//! `fdatasync`, which makes the disk flush its cache once for each. Measured on ext4, 64 files of
//! 200 bytes, on a quiet disk: `syncfs` 1.0 ms, started writes and `fdatasync` 3.8 ms, plain
//! `fdatasync` 8.6 ms, git's order 3.4 ms; on a busy one a `fdatasync` takes up to 1.1 ms. So the
//! more files have paid for others' writes, the more of these are worth one wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::Advice;

use crate::base::{ActionKey, Clock, Digest};
use crate::store::codec::{self, sameness};
use crate::store::index::{Index, RowOp, Writer};
use crate::store::layout::{Layout, ObjectName, io_error, open_dir};
use crate::store::{Claim, Durability, Error};

/// How long the first of a batch waits for others: what a kill may lose. (Measured with 400 short processes, each of
/// which leaves three changes: with 20 ms and 64 changes the disk was waited for three times as long as they took.)
const GATHER: Duration = Duration::from_millis(250);

/// How many changes are committed without waiting for more.
const BATCH: usize = 4096;

/// Blobs in files that may wait at once; each holds a file descriptor. Who brings more waits.
const FILES: usize = 256;

/// Bytes of blobs that may wait in memory.
const HELD_BYTES: usize = 32 << 20;

/// Blobs that are synced one by one have their files open together, this many at a time.
const OPEN: usize = 64;

/// Bytes waiting to be written on the whole machine up to which `syncfs` is taken at once.
const QUIET: u64 = 16 * 1024 * 1024;

/// Bytes that a disk writes in about the time that one `fdatasync` takes.
const PER_SYNC: u64 = 128 * 1024;

/// A blob whose bytes are complete, and which has no final name.
pub(super) struct Unnamed {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) content: Content,
}

/// Where the bytes of a blob are that has no final name.
#[derive(Clone)]
pub(super) enum Content {
    /// In a file with a name in the session's folder.
    File(Arc<File>, String),
    /// In memory.
    Held(Arc<[u8]>),
}

impl Content {
    fn held_bytes(&self) -> usize {
        match self {
            Self::File(..) => 0,
            Self::Held(bytes) => bytes.len(),
        }
    }
}

enum Op {
    Blob(Unnamed),
    Row(RowOp),
}

/// What is known of a key beyond the rows on disk.
#[derive(Default)]
struct Overlay {
    /// Rows on disk no longer count.
    forgotten: bool,
    /// Newest last.
    claims: Vec<Claim>,
    /// Changes of this key that are not committed.
    waiting: usize,
}

#[derive(Default)]
struct State {
    queue: Vec<Op>,
    /// Blobs that have no final name yet.
    blobs: BTreeMap<Digest, (Content, u64)>,
    /// How many of them are in files, and the bytes of the others.
    waiting: (usize, usize),
    claims: BTreeMap<ActionKey, Overlay>,
    /// Keys whose claims were served and whose time of last use is due.
    used: BTreeSet<ActionKey>,
    /// Changes since the last full sync.
    unsynced: bool,
    /// Tickets of those who wait for all to be durable, and for all to be named.
    asked: u64,
    answered: u64,
    /// Whether the latest ticket asks for full durability.
    full: bool,
    poisoned: Option<String>,
    closing: bool,
}

impl State {
    fn urgent(&self) -> bool {
        self.queue.len() >= BATCH || self.is_crowded() || self.asked > self.answered || self.closing
    }

    fn is_crowded(&self) -> bool {
        self.waiting.0 >= FILES || self.waiting.1 >= HELD_BYTES
    }

    fn wait_for(&mut self, blob: &Unnamed) {
        self.blobs.insert(blob.digest, (blob.content.clone(), blob.size));
        self.waiting.0 += usize::from(matches!(blob.content, Content::File(..)));
        self.waiting.1 += blob.content.held_bytes();
    }

    fn wait_no_more_for(&mut self, blob: &Unnamed) {
        if self.blobs.remove(&blob.digest).is_some() {
            self.waiting.0 -= usize::from(matches!(blob.content, Content::File(..)));
            self.waiting.1 -= blob.content.held_bytes();
        }
    }

    fn sound(&self) -> Result<(), Error> {
        self.poisoned.as_ref().map_or(Ok(()), |why| Err(Error::Poisoned(why.clone())))
    }

    fn poison(&mut self, why: String) {
        self.poisoned.get_or_insert(why);
        self.queue.clear();
        self.blobs.clear();
        self.waiting = (0, 0);
        self.claims.clear();
        self.used.clear();
    }
}

/// What waits to be committed, and who waits for it.
pub(super) struct Shared {
    layout: Arc<Layout>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    durability: Durability,
    state: Mutex<State>,
    /// Wakes the committer.
    work: Condvar,
    /// Wakes those who wait for it.
    done: Condvar,
}

/// The committer's thread and the queue before it.
pub(super) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(
        layout: Arc<Layout>,
        index: Arc<Index>,
        clock: Arc<dyn Clock>,
        durability: Durability,
    ) -> Result<Self, Error> {
        let root = layout.root().to_owned();
        let shared = Self::shared(layout, index, clock, durability);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-commit".into())
            .spawn(move || theirs.run())
            .map_err(|error| io_error("start the thread that commits to", &root, error))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// One that commits nothing, for who only reads.
    pub(super) fn idle(layout: Arc<Layout>, index: Arc<Index>, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Self::shared(layout, index, clock, Durability::None), thread: None }
    }

    fn shared(layout: Arc<Layout>, index: Arc<Index>, clock: Arc<dyn Clock>, durability: Durability) -> Arc<Shared> {
        let (work, done) = (Condvar::new(), Condvar::new());
        Arc::new(Shared { layout, index, clock, durability, state: Mutex::default(), work, done })
    }

    /// A blob that has no final name yet.
    pub(super) fn blob(&self, digest: Digest) -> Option<(Content, u64)> {
        self.shared.lock().blobs.get(&digest).cloned()
    }

    /// The size of a blob that has no final name yet.
    pub(super) fn blob_size(&self, digest: Digest) -> Option<u64> {
        self.shared.lock().blobs.get(&digest).map(|(_, size)| *size)
    }

    /// Hands over a blob. If the same one is waiting already, this one is dropped.
    pub(super) fn add_blob(&self, blob: Unnamed) -> Result<(), Error> {
        self.sound()?;
        let mut state = self.shared.lock();
        while state.is_crowded() && state.poisoned.is_none() {
            self.shared.work.notify_one();
            state = self.shared.done.wait(state).expect("no holder of the committer's lock panics");
        }
        let sound = state.sound();
        if sound.is_err() || state.blobs.contains_key(&blob.digest) {
            if let Content::File(_, name) = &blob.content {
                let _ = self.shared.layout.session().map(|session| session.discard(name));
            }
            return sound;
        }
        state.wait_for(&blob);
        self.push(state, Op::Blob(blob));
        Ok(())
    }

    /// Hands over a claim.
    pub(super) fn record(&self, claim: Claim) -> Result<(), Error> {
        let sealed = Box::new(codec::seal(&claim));
        self.sound()?;
        let mut state = self.shared.lock();
        state.sound()?;
        let overlay = state.claims.entry(claim.key).or_default();
        overlay.claims.retain(|old| sameness(old) != sealed.same);
        overlay.claims.push(claim);
        overlay.waiting += 1;
        self.push(state, Op::Row(RowOp::Record(sealed)));
        Ok(())
    }

    /// Drops the claims of a key.
    pub(super) fn forget(&self, key: ActionKey) -> Result<(), Error> {
        self.sound()?;
        let mut state = self.shared.lock();
        state.sound()?;
        let overlay = state.claims.entry(key).or_default();
        *overlay = Overlay { forgotten: true, claims: Vec::new(), waiting: overlay.waiting + 1 };
        state.used.remove(&key);
        self.push(state, Op::Row(RowOp::Forget(key)));
        Ok(())
    }

    /// Whether rows on disk no longer count, and the claims that are not committed, newest first.
    pub(super) fn claims(&self, key: ActionKey) -> (bool, Vec<Claim>) {
        let state = self.shared.lock();
        match state.claims.get(&key) {
            None => (false, Vec::new()),
            Some(overlay) => (overlay.forgotten, overlay.claims.iter().rev().cloned().collect()),
        }
    }

    /// Notes that a claim of this key was served. Written with the next rows, or when flushed.
    pub(super) fn used(&self, key: ActionKey) {
        let mut state = self.shared.lock();
        if state.poisoned.is_none() && !self.shared.layout.only_read() {
            state.used.insert(key);
        }
    }

    /// An error if an earlier write failed, or nothing is to be written.
    pub(super) fn sound(&self) -> Result<(), Error> {
        if self.shared.layout.only_read() {
            return Err(self.shared.layout.not_to_write());
        }
        self.shared.lock().sound()
    }

    /// Takes note that a write failed: from here on nothing is written.
    pub(super) fn poison(&self, error: &Error) {
        self.shared.lock().poison(error.to_string());
        self.shared.done.notify_all();
        self.shared.work.notify_one();
    }

    /// Waits until everything handed over has its final name and its row; and, if `full`, until
    /// both would survive a power cut.
    pub(super) fn flush(&self, full: bool) -> Result<(), Error> {
        let mut state = self.shared.lock();
        state.sound()?;
        let settled = state.blobs.is_empty() && state.claims.is_empty() && state.queue.is_empty();
        if settled && (!full || (!state.unsynced && state.used.is_empty())) {
            return Ok(());
        }
        state.asked += 1;
        state.full |= full;
        let ticket = state.asked;
        self.shared.work.notify_one();
        while state.answered < ticket && state.poisoned.is_none() {
            state = self.shared.done.wait(state).expect("no holder of the committer's lock panics");
        }
        state.sound()
    }

    /// Commits the rest and ends the thread.
    pub(super) fn close(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread poisoned the store, which those who wait have seen.
            let _ = thread.join();
        }
    }

    fn push(&self, mut state: MutexGuard<'_, State>, op: Op) {
        state.queue.push(op);
        // The committer gathers on a timer, so waking it for each change would only cost.
        if state.queue.len() == 1 || state.urgent() {
            self.shared.work.notify_one();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Poisons the store if the committer's thread ends by a panic, so that no one waits for ever.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().poison("the committing thread panicked".into());
            self.0.done.notify_all();
        }
    }
}

/// What the committer keeps from batch to batch.
#[derive(Default)]
struct Progress {
    writer: Option<Writer>,
    /// Folders of objects with names younger than the last full sync.
    folders: BTreeSet<u8>,
    /// Whether rows are younger than that too.
    rows: bool,
    /// Bytes that could have been written in the time that single syncs have taken.
    spent: u64,
}

impl Progress {
    /// Whether to sync the whole file system costs no more than `count` single syncs and those before.
    fn is_all_worth(&mut self, count: usize) -> bool {
        self.spent += count as u64 * PER_SYNC;
        dirty_bytes().is_some_and(|bytes| bytes <= QUIET + self.spent)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the committer's lock panics")
    }

    fn run(&self) {
        let _alarm = Alarm(self);
        let mut progress = Progress::default();
        loop {
            let mut state = self
                .work
                .wait_while(self.lock(), |state| state.queue.is_empty() && !state.urgent())
                .expect("no holder of the committer's lock panics");
            if !state.urgent() {
                let waited = self.work.wait_timeout_while(state, GATHER, |state| !state.urgent());
                state = waited.expect("no holder of the committer's lock panics").0;
            }
            if state.poisoned.is_some() {
                state.answered = state.asked;
                self.done.notify_all();
                if state.closing {
                    return;
                }
                continue;
            }
            let queue = std::mem::take(&mut state.queue);
            let ticket = state.asked;
            let full = std::mem::take(&mut state.full) || state.closing;
            let closing = state.closing;
            let used = if full || !queue.is_empty() { std::mem::take(&mut state.used) } else { BTreeSet::new() };
            let unsynced = state.unsynced;
            drop(state);

            let (mut blobs, mut rows) = (Vec::new(), Vec::new());
            for op in queue {
                match op {
                    Op::Blob(blob) => blobs.push(blob),
                    Op::Row(row) => rows.push(row),
                }
            }
            let idle = blobs.is_empty() && rows.is_empty() && used.is_empty() && !(full && unsynced);
            let result = if idle { Ok(()) } else { self.commit(&mut progress, &blobs, &rows, &used, full) };

            let mut state = self.lock();
            match result {
                Ok(()) => {
                    for blob in &blobs {
                        state.wait_no_more_for(blob);
                    }
                    for row in &rows {
                        let over = state.claims.get_mut(&row.key()).is_some_and(|overlay| {
                            overlay.waiting -= 1;
                            overlay.waiting == 0
                        });
                        if over {
                            state.claims.remove(&row.key());
                        }
                    }
                    state.unsynced = !full && (unsynced || !idle);
                }
                Err(error) => state.poison(error.to_string()),
            }
            state.answered = ticket;
            let ended = closing && state.queue.is_empty();
            drop(state);
            self.done.notify_all();
            if ended {
                return;
            }
        }
    }

    fn commit(
        &self,
        progress: &mut Progress,
        blobs: &[Unnamed],
        rows: &[RowOp],
        used: &BTreeSet<ActionKey>,
        full: bool,
    ) -> Result<(), Error> {
        let sync = self.durability == Durability::Batch;
        // Who has many to wait for waits for everything, if that is not much.
        let whole = !sync || blobs.is_empty() || progress.is_all_worth(blobs.len());
        for some in blobs.chunks(if whole { blobs.len().max(1) } else { OPEN }) {
            let mut names = Vec::with_capacity(some.len());
            let mut files = Vec::new();
            for blob in some {
                let (file, name) = self.as_file(blob)?;
                names.push(name);
                if !whole {
                    files.push(file);
                }
            }
            if sync && whole && !some.is_empty() {
                self.sync_all(progress)?;
            }
            self.sync_each(&files, &names)?;
            for (blob, name) in some.iter().zip(names) {
                self.layout.publish(&name, blob.digest, blob.size)?;
                progress.folders.insert(blob.digest.as_bytes()[0]);
            }
        }
        if sync && full && !progress.folders.is_empty() {
            self.sync_folders(progress)?;
            progress.folders.clear();
        }
        let changes = !rows.is_empty() || !used.is_empty();
        if changes || (full && progress.rows) {
            if progress.writer.is_none() {
                progress.writer = Writer::open(&self.index)?;
            }
            if let Some(writer) = &mut progress.writer {
                let synchronous = match (sync, full) {
                    (true, true) => "FULL",
                    (true, false) => "NORMAL",
                    (false, _) => "OFF",
                };
                let used: Vec<_> = used.iter().copied().collect();
                writer.apply(&self.index, rows, &used, self.clock.now().0, synchronous)?;
            }
            progress.rows = !full;
        }
        Ok(())
    }

    /// The file of a blob, and its name in the session's folder; made now if the blob is in memory.
    fn as_file(&self, blob: &Unnamed) -> Result<(Arc<File>, String), Error> {
        let bytes = match &blob.content {
            Content::File(file, name) => return Ok((Arc::clone(file), name.clone())),
            Content::Held(bytes) => bytes,
        };
        let session = self.layout.session()?;
        let (mut file, name) = session.new_file()?;
        if let Err(error) = file.write_all(bytes) {
            session.discard(&name);
            return Err(io_error("write", &session.path_of(&name), error));
        }
        Ok((Arc::new(file), name))
    }

    fn sync_all(&self, progress: &mut Progress) -> Result<(), Error> {
        progress.spent = 0;
        let root = self.layout.root();
        rustix::fs::syncfs(self.layout.root_fd()).map_err(|error| io_error("sync", root, error))
    }

    fn sync_each(&self, files: &[Arc<File>], names: &[String]) -> Result<(), Error> {
        let root = &self.layout.session()?.path_of("");
        for file in files {
            // Starts the writes without waiting for them. Advice may be refused; the wait below is not.
            let _ = rustix::fs::fadvise(&**file, 0, None, Advice::DontNeed);
        }
        for (file, name) in files.iter().zip(names) {
            rustix::fs::fdatasync(&**file).map_err(|error| io_error("sync", &root.join(name), error))?;
        }
        Ok(())
    }

    fn sync_folders(&self, progress: &mut Progress) -> Result<(), Error> {
        if progress.is_all_worth(progress.folders.len()) {
            return self.sync_all(progress);
        }
        for first in &progress.folders {
            let mut bytes = [0; 32];
            bytes[0] = *first;
            let path = self.layout.root().join("cas").join(ObjectName::of(Digest::from_bytes(bytes)).folder());
            rustix::fs::fsync(open_dir(&path)?).map_err(|error| io_error("sync", &path, error))?;
        }
        Ok(())
    }
}

/// Bytes that wait to be written to disks on the whole machine, as the kernel counts them.
fn dirty_bytes() -> Option<u64> {
    let mut buffer = [0; 4096];
    let length = File::open("/proc/meminfo").ok()?.read(&mut buffer).ok()?;
    dirty_in(std::str::from_utf8(&buffer[..length]).ok()?)
}

fn dirty_in(meminfo: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some((kib("Dirty:")? + kib("Writeback:")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_dirty() {
        let text = "MemFree:  1 kB\nDirty:               120 kB\nWriteback:             8 kB\nAnonPages: 3 kB\n";
        assert_eq!(dirty_in(text), Some(128 * 1024));
        assert_eq!(dirty_in("Dirty: 1 kB\n"), None);
        assert!(dirty_bytes().is_some());
    }
}
