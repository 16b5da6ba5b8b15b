//! What ran in a workspace, in the state directory: the latest result of each address, for reasons
//! and expected durations, and the list of runs. Leaves out results themselves, which are claims,
//! and what happened within a run, which is its journal.
//!
//! Losing this file costs explanations, never results; so a damaged one, or one of a newer version,
//! is set aside with a notice, and nothing here is ever worth failing a run for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use rustix::fs::FlockOperation;
use serde::Serialize;

use crate::base::{ActionKey, Clock, Digest, Timestamp};
use crate::event::{Counts, Event, Outcome, Reason};
use crate::store::database::{self, Schema, Trouble, index_error, is_broken, with_suffix};
use crate::store::layout::{flock, io_error};
use crate::store::reading;
use crate::store::shared::{join, keep, prune};
use crate::store::{Error, Notify};

const SCHEMA: Schema = Schema {
    version: 3,
    steps: &[
        "
        ALTER TABLE latest ADD COLUMN tools BLOB;
        CREATE TABLE parts (digest BLOB PRIMARY KEY, text TEXT NOT NULL) STRICT;",
        "ALTER TABLE latest ADD COLUMN levels BLOB",
    ],
    create: "
        CREATE TABLE latest (
            addr        TEXT PRIMARY KEY,
            def         BLOB NOT NULL,
            key         BLOB NOT NULL,
            outcome_ok  INTEGER NOT NULL,
            run         TEXT NOT NULL,
            duration_ms INTEGER NOT NULL,
            at          INTEGER NOT NULL,
            outcome     TEXT NOT NULL,
            reason      TEXT NOT NULL,
            seq         INTEGER NOT NULL,
            manifest    TEXT NOT NULL,
            tools       BLOB,
            levels      BLOB
        ) STRICT;
        CREATE TABLE parts (digest BLOB PRIMARY KEY, text TEXT NOT NULL) STRICT;
        CREATE INDEX latest_def ON latest (def, seq);
        CREATE INDEX latest_brief ON latest (addr, key, outcome_ok, duration_ms);
        CREATE TABLE runs (
            id          TEXT PRIMARY KEY,
            started     INTEGER NOT NULL,
            target      TEXT NOT NULL,
            status      TEXT NOT NULL,
            counts      TEXT NOT NULL,
            duration_ms INTEGER
        ) STRICT;
        CREATE INDEX runs_started ON runs (started);",
};

/// Rows that wait before they are written.
const BATCH: usize = 256;

/// How long a row may wait before the next one causes a write: what a kill may lose.
const STEP: Duration = Duration::from_secs(1);

/// Bytes of the log from which on it is brought into the file at the end of a run.
const LONG_LOG: u64 = 1024 * 1024;

/// Runs that are remembered.
const RUNS: i64 = 1_000;

/// The latest thing known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestRow {
    /// The address.
    pub addr: String,
    /// The digest of the definition it had.
    pub def: Digest,
    /// The action key it had.
    pub key: ActionKey,
    /// The manifest of the key, as written.
    pub manifest: String,
    /// Levels of its inputs below the topmost, where they are few and small; as who gave them wrote them.
    pub levels: Vec<u8>,
    /// Whether it succeeded.
    pub outcome_ok: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ran, was a hit, or was not tried.
    pub reason: Reason,
    /// When it ended.
    pub at: Timestamp,
    /// The run.
    pub run: String,
    /// How long it took when it was executed, in milliseconds.
    pub duration_ms: u64,
}

/// The little of a [`LatestRow`] that every action of a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The action key it had.
    pub key: ActionKey,
    /// Whether it succeeded.
    pub outcome_ok: bool,
    /// How long it took when it was executed, in milliseconds.
    pub duration_ms: u64,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Begun, and not ended on record.
    Started,
    /// Begun by a process that is gone: it was killed. Never on record, as nobody is left to write it.
    Interrupted,
    /// All it was asked for succeeded.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was stopped.
    Cancelled,
    /// All that it could do succeeded; the rest waits for people.
    Waiting,
}

impl RunStatus {
    const ALL: [Self; 5] = [Self::Started, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Waiting];

    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Interrupted => "interrupted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Waiting => "waiting",
        }
    }
}

/// How a run can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All it was asked for succeeded.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was stopped.
    Cancelled,
    /// All that it could do succeeded; the rest waits for people.
    Waiting,
}

impl From<RunEnd> for RunStatus {
    fn from(end: RunEnd) -> Self {
        match end {
            RunEnd::Succeeded => Self::Succeeded,
            RunEnd::Failed => Self::Failed,
            RunEnd::Cancelled => Self::Cancelled,
            RunEnd::Waiting => Self::Waiting,
        }
    }
}

/// A run that is on record as begun. It cannot be copied, and to say how the run ended takes it: so that is said once, and only
/// of a run that began.
#[derive(Debug)]
#[must_use = "a run that is never said to have ended counts as interrupted"]
pub struct OpenRun {
    id: String,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// What was asked for.
    pub target: String,
    /// How it stands.
    pub status: RunStatus,
    /// Its counts; zero until it is finished.
    pub counts: Counts,
    /// How long it took, in milliseconds; `None` until it is finished.
    pub duration_ms: Option<u64>,
}

/// The history of a workspace. Methods may be called from any thread.
pub struct History {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    notify: Notify,
    inner: Mutex<Inner>,
}

struct Inner {
    connection: Connection,
    /// Held shared while the file is open, exclusively to set it aside. `None` where only is read and there is none.
    lock: Option<File>,
    /// Whether nothing is to be written.
    only_read: bool,
    waiting: Vec<LatestRow>,
    written_at: Duration,
}

impl History {
    /// Opens the history at `path`, making it if it is missing. The folder must exist.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, notify: Notify) -> Result<Self, Error> {
        let lock_path = with_suffix(path, ".lock");
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|error| io_error("open", &lock_path, error))?;
        let connection = open_sound(path, &lock, &clock, &notify)?;
        let written_at = clock.elapsed();
        let inner = Inner { connection, lock: Some(lock), only_read: false, waiting: Vec::new(), written_at };
        Ok(Self { path: path.to_owned(), clock, notify, inner: Mutex::new(inner) })
    }

    /// Opens the history at `path` to read it, without making or changing anything. A missing one is empty.
    pub fn open_to_read(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let lock = File::open(with_suffix(path, ".lock")).ok();
        let lock = lock.filter(|lock| flock(lock, FlockOperation::LockShared).is_ok());
        let connection = reading::open_to_read(path, &SCHEMA).map_err(|trouble| match trouble {
            Trouble::Broken => Error::Damaged { path: path.to_owned() },
            Trouble::Newer(_) => Error::NewerHistory { path: path.to_owned() },
            Trouble::Refused(error) => error,
        })?;
        let inner = Inner { connection, lock, only_read: true, waiting: Vec::new(), written_at: clock.elapsed() };
        Ok(Self { path: path.to_owned(), clock, notify: Arc::new(|_| {}), inner: Mutex::new(inner) })
    }

    /// The latest row of an address.
    pub fn latest(&self, addr: &str) -> Result<Option<LatestRow>, Error> {
        let mut inner = self.lock();
        if let Some(row) = inner.waiting.iter().rev().find(|row| row.addr == addr) {
            return Ok(Some(row.clone()));
        }
        self.run(&mut inner, |connection| {
            let sql = format!("SELECT {COLUMNS}, {TOOLS} FROM latest WHERE addr = ?1");
            connection.prepare_cached(&sql)?.query_row([addr], latest_row).optional()
        })
    }

    /// The most recent row of any address that had this definition.
    pub fn by_def(&self, def: Digest) -> Result<Option<LatestRow>, Error> {
        let mut inner = self.lock();
        if let Some(row) = inner.waiting.iter().rev().find(|row| row.def == def) {
            return Ok(Some(row.clone()));
        }
        self.run(&mut inner, |connection| {
            let sql = format!("SELECT {COLUMNS}, {TOOLS} FROM latest WHERE def = ?1 ORDER BY seq DESC LIMIT 1");
            connection.prepare_cached(&sql)?.query_row([def.as_bytes().as_slice()], latest_row).optional()
        })
    }

    /// Key, success and duration of every address: one scan of an index, for callers that ask for
    /// most of them.
    pub fn brief(&self) -> Result<BTreeMap<String, Brief>, Error> {
        let mut inner = self.lock();
        let mut all: BTreeMap<String, Brief> = self.run(&mut inner, |connection| {
            let sql = "SELECT addr, key, outcome_ok, duration_ms FROM latest INDEXED BY latest_brief ORDER BY addr";
            let row = |row: &Row<'_>| {
                let key = ActionKey(Digest::from_bytes(row.get(1)?));
                let brief = Brief { key, outcome_ok: row.get(2)?, duration_ms: natural(row, 3)? };
                Ok((row.get::<_, String>(0)?, brief))
            };
            connection.prepare_cached(sql)?.query_map([], row)?.collect()
        })?;
        for row in &inner.waiting {
            let brief = Brief { key: row.key, outcome_ok: row.outcome_ok, duration_ms: row.duration_ms };
            all.insert(row.addr.clone(), brief);
        }
        Ok(all)
    }

    /// How long the address took when it was last executed, in milliseconds.
    pub fn duration_ms(&self, addr: &str) -> Result<Option<u64>, Error> {
        let mut inner = self.lock();
        if let Some(row) = inner.waiting.iter().rev().find(|row| row.addr == addr) {
            return Ok(Some(row.duration_ms));
        }
        self.run(&mut inner, |connection| {
            let sql = "SELECT duration_ms FROM latest WHERE addr = ?1";
            connection.prepare_cached(sql)?.query_row([addr], |row| natural(row, 0)).optional()
        })
    }

    /// Keeps rows: soon on disk, at once for readers of this object.
    pub fn record(&self, rows: Vec<LatestRow>) -> Result<(), Error> {
        let mut inner = self.lock();
        inner.waiting.extend(rows);
        if inner.waiting.len() >= BATCH || self.clock.elapsed().saturating_sub(inner.written_at) >= STEP {
            self.write(&mut inner)?;
        }
        Ok(())
    }

    /// The keys and manifests on record.
    pub fn keys(&self) -> Result<Vec<(ActionKey, String)>, Error> {
        let mut inner = self.lock();
        self.write(&mut inner)?;
        self.run(&mut inner, |connection| {
            let sql = format!("SELECT key, manifest, {TOOLS} FROM latest ORDER BY addr");
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([], |row| {
                Ok((ActionKey(Digest::from_bytes(row.get(0)?)), join(row.get(1)?, row.get_ref(2)?.as_str_or_null()?)))
            })?;
            rows.collect()
        })
    }

    /// Replaces keys and manifests: the key before, the key now, its manifest.
    pub fn rekey(&self, keys: &[(ActionKey, ActionKey, String)]) -> Result<(), Error> {
        self.run(&mut self.lock(), |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (old, new, manifest) in keys {
                let (manifest, tools) = keep(&transaction, manifest)?;
                transaction
                    .prepare_cached("UPDATE latest SET key = ?2, manifest = ?3, tools = ?4 WHERE key = ?1")?
                    .execute(params![old.0.as_bytes().as_slice(), new.0.as_bytes().as_slice(), manifest, tools])?;
            }
            transaction.commit()
        })
    }

    /// Writes what waits.
    pub fn flush(&self) -> Result<(), Error> {
        self.write(&mut self.lock())
    }

    /// Notes that a run began.
    pub fn start_run(&self, id: &str, target: &str) -> Result<OpenRun, Error> {
        let now = self.clock.now().0;
        self.run(&mut self.lock(), |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO runs (id, started, target, status, counts) VALUES (?1, ?2, ?3, ?4, '{}')",
                params![id, now, target, RunStatus::Started.word()],
            )
        })
        .map(|_| OpenRun { id: id.to_owned() })
    }

    /// Notes that a run ended, and writes what waits.
    pub fn finish_run(&self, run: OpenRun, end: RunEnd, counts: Counts, duration_ms: u64) -> Result<(), Error> {
        let OpenRun { id } = run;
        let (from, to) = (RunStatus::Started.word(), RunStatus::from(end).word());
        let mut inner = self.lock();
        self.write(&mut inner)?;
        let counts = json(&counts);
        self.run(&mut inner, |connection| {
            connection.execute(
                "UPDATE runs SET status = ?2, counts = ?3, duration_ms = ?4
                 WHERE id = ?1 AND status = ?5",
                params![id, to, counts, i64::try_from(duration_ms).unwrap_or(i64::MAX), from],
            )?;
            connection.execute(
                "DELETE FROM runs WHERE id NOT IN (SELECT id FROM runs ORDER BY started DESC, id DESC LIMIT ?1)",
                [RUNS],
            )?;
            prune(connection)
        })?;
        self.cut_log(&inner.connection);
        Ok(())
    }

    /// Brings what the log holds into the file, if it has become long: whoever opens the history next reads all of the log.
    /// While another process reads it, that is left for another time.
    fn cut_log(&self, connection: &Connection) {
        let log = with_suffix(&self.path, "-wal");
        if !std::fs::metadata(log).is_ok_and(|found| found.len() > LONG_LOG) {
            return;
        }
        let cut = || {
            connection.busy_timeout(Duration::ZERO)?;
            let cut = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            connection.busy_timeout(database::BUSY)?;
            cut
        };
        if let Err(error) = cut() {
            tracing::debug!(%error, "the history's log stays as long as it is");
        }
    }

    /// The runs, newest first.
    pub fn runs(&self) -> Result<Vec<RunRow>, Error> {
        self.run(&mut self.lock(), |connection| {
            let sql = "SELECT id, started, target, status, counts, duration_ms FROM runs
                       ORDER BY started DESC, id DESC";
            connection.prepare_cached(sql)?.query_map([], run_row)?.collect()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the history's lock panics")
    }

    fn write(&self, inner: &mut Inner) -> Result<(), Error> {
        inner.written_at = self.clock.elapsed();
        if inner.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut inner.waiting);
        self.run(inner, |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                // Rows are only ever put in behind all others: the last one has the largest number.
                let sql = "SELECT seq FROM latest ORDER BY rowid DESC LIMIT 1";
                let last = transaction.query_row(sql, [], |row| row.get::<_, i64>(0)).optional()?;
                let mut seq = last.unwrap_or(0);
                let mut insert = transaction.prepare_cached(
                    "INSERT OR REPLACE INTO latest
                     (addr, def, key, manifest, outcome_ok, run, duration_ms, at, outcome, reason, seq, tools,
                      levels)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                )?;
                for row in &rows {
                    seq += 1;
                    let (manifest, tools) = keep(&transaction, &row.manifest)?;
                    insert.execute(params![
                        row.addr,
                        row.def.as_bytes().as_slice(),
                        row.key.0.as_bytes().as_slice(),
                        manifest,
                        row.outcome_ok,
                        row.run,
                        i64::try_from(row.duration_ms).unwrap_or(i64::MAX),
                        row.at.0,
                        json(&row.outcome),
                        json(&row.reason),
                        seq,
                        tools,
                        Some(row.levels.as_slice()).filter(|levels| !levels.is_empty())
                    ])?;
                }
            }
            transaction.commit()
        })
    }

    /// Runs a statement. On a damaged file the result is that of an empty history, which takes its place.
    fn run<T: Default>(
        &self,
        inner: &mut Inner,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        match work(&mut inner.connection) {
            Ok(value) => Ok(value),
            Err(error) if is_broken(&error) => {
                let Some(lock) = inner.lock.as_ref().filter(|_| !inner.only_read) else {
                    return Err(Error::Damaged { path: self.path.clone() });
                };
                inner.connection = in_memory(&self.path)?;
                inner.connection = replace(&self.path, lock, "damaged", &self.clock, &self.notify)?;
                Ok(T::default())
            }
            Err(error) => Err(index_error(&self.path)(error)),
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        // Explanations of this run are all that can be lost here.
        let _ = self.flush();
    }
}

fn open_sound(path: &Path, lock: &File, clock: &Arc<dyn Clock>, notify: &Notify) -> Result<Connection, Error> {
    let locked = |operation| flock(lock, operation).map_err(|error| io_error("lock", path, error));
    // Who comes first makes the tables while the others wait for the shared lock.
    if flock(lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        locked(FlockOperation::LockShared)?;
    }
    let opened = database::open(path, &SCHEMA);
    locked(FlockOperation::LockShared)?;
    match opened {
        Ok(connection) => {
            // The last to close would otherwise wait for the disk at the end of every run.
            let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            connection.set_db_config(keep_log, true).map_err(index_error(path))?;
            Ok(connection)
        }
        Err(Trouble::Broken) => replace(path, lock, "damaged", clock, notify),
        Err(Trouble::Newer(_)) => replace(path, lock, "made by a newer version", clock, notify),
        Err(Trouble::Refused(error)) => Err(error),
    }
}

/// Sets the file aside and opens a new one; while another process uses it, does without.
fn replace(path: &Path, lock: &File, why: &str, clock: &Arc<dyn Clock>, notify: &Notify) -> Result<Connection, Error> {
    if flock(lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let text = format!("the history `{}` is {why} and in use; this run does without it", path.display());
        notify(Event::Notice { text });
        flock(lock, FlockOperation::LockShared).map_err(|error| io_error("lock", path, error))?;
        return in_memory(path);
    }
    let aside = with_suffix(path, &format!(".aside-{}", clock.now().millis()));
    database::set_aside(path, &aside)?;
    let opened = database::open(path, &SCHEMA);
    flock(lock, FlockOperation::LockShared).map_err(|error| io_error("lock", path, error))?;
    let text = format!("the history was {why}; it is now `{}`, and a new one was begun", aside.display());
    notify(Event::Notice { text });
    match opened {
        Ok(connection) => Ok(connection),
        Err(Trouble::Refused(error)) => Err(error),
        Err(Trouble::Broken | Trouble::Newer(_)) => in_memory(path),
    }
}

fn in_memory(path: &Path) -> Result<Connection, Error> {
    Connection::open_in_memory()
        .and_then(|connection| connection.execute_batch(SCHEMA.create).map(|()| connection))
        .map_err(index_error(path))
}

/// SQLite has no unsigned numbers; ours were written from such.
fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

/// In the order that [`latest_row`] reads.
const COLUMNS: &str = "addr, def, key, manifest, outcome_ok, run, duration_ms, at, outcome, reason, levels";

/// What a manifest's tools are, where they are kept apart.
const TOOLS: &str = "(SELECT text FROM parts WHERE parts.digest = latest.tools)";

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("invariant: these enums hold nothing that JSON cannot")
}

fn latest_row(row: &Row<'_>) -> rusqlite::Result<LatestRow> {
    let outcome_ok = row.get(4)?;
    let otherwise = if outcome_ok { Outcome::Ran } else { Outcome::Failed };
    Ok(LatestRow {
        addr: row.get(0)?,
        def: Digest::from_bytes(row.get(1)?),
        key: ActionKey(Digest::from_bytes(row.get(2)?)),
        manifest: join(row.get(3)?, row.get_ref(11)?.as_str_or_null()?),
        levels: row.get::<_, Option<Vec<u8>>>(10)?.unwrap_or_default(),
        outcome_ok,
        run: row.get(5)?,
        duration_ms: natural(row, 6)?,
        at: Timestamp(row.get(7)?),
        // A later version may know words that this one does not; that is no damage.
        outcome: serde_json::from_str(row.get_ref(8)?.as_str()?).unwrap_or(otherwise),
        reason: serde_json::from_str(row.get_ref(9)?.as_str()?).unwrap_or(Reason::NeverSeen),
    })
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let status: String = row.get(3)?;
    let counts: String = row.get(4)?;
    Ok(RunRow {
        id: row.get(0)?,
        started: Timestamp(row.get(1)?),
        target: row.get(2)?,
        status: RunStatus::ALL.into_iter().find(|known| known.word() == status).unwrap_or(RunStatus::Started),
        counts: serde_json::from_str(&counts).unwrap_or_default(),
        duration_ms: row.get::<_, Option<i64>>(5)?.map(i64::unsigned_abs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::drawn;

    #[test]
    fn the_picture_in_the_book_is_what_compiles() {
        // What `finish_run` takes and leaves; and what `runs` finds where no process is left to call it.
        let ends = [RunEnd::Succeeded, RunEnd::Failed, RunEnd::Cancelled, RunEnd::Waiting].map(RunStatus::from);
        let to = ends.iter().chain([&RunStatus::Interrupted]);
        let ways = to.map(|status| ("Started".to_owned(), format!("{status:?}"))).collect();
        assert_eq!(drawn("A run"), ways);
    }
}
