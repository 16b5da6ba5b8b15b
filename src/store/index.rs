//! The claims of a local store in SQLite. Readers have a connection of their own; the committer has
//! the one writer of this process. Leaves out claims that are not committed yet: see `commit`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::base::{ActionKey, Digest};
use crate::store::codec::{self, SealedClaim};
use crate::store::database::{self, Schema, Trouble, index_error, is_broken};
use crate::store::layout::{Layout, io_error};
use crate::store::reading;
use crate::store::rekey::Moved;
use crate::store::{Claim, Error};

const SCHEMA: Schema = Schema {
    version: 2,
    steps: &["
        CREATE TABLE held (key BLOB PRIMARY KEY, why TEXT NOT NULL) STRICT;
        CREATE TABLE rekeyed (old BLOB PRIMARY KEY, new BLOB NOT NULL) STRICT;"],
    create: "
        CREATE TABLE claims (
            id        INTEGER PRIMARY KEY AUTOINCREMENT,
            key       BLOB NOT NULL,
            same      BLOB NOT NULL,
            created   INTEGER NOT NULL,
            last_used INTEGER NOT NULL,
            seal      BLOB NOT NULL,
            body      BLOB NOT NULL,
            UNIQUE (key, same)
        ) STRICT;
        CREATE TABLE held (key BLOB PRIMARY KEY, why TEXT NOT NULL) STRICT;
        CREATE TABLE rekeyed (old BLOB PRIMARY KEY, new BLOB NOT NULL) STRICT;
        CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;",
};

/// One change of the rows.
pub(super) enum RowOp {
    /// Adds a claim, in the place of an equal one.
    Record(Box<SealedClaim>),
    /// Drops all claims of a key.
    Forget(ActionKey),
}

impl RowOp {
    /// The key whose rows change.
    pub(super) fn key(&self) -> ActionKey {
        match self {
            Self::Record(claim) => claim.key,
            Self::Forget(key) => *key,
        }
    }
}

/// A claim as a row holds it.
pub(super) struct Row {
    /// The row.
    pub(super) id: i64,
    /// Nanoseconds since the epoch.
    pub(super) last_used: i64,
    /// `None` if the row is damaged.
    pub(super) claim: Option<Claim>,
}

/// The claims of a store.
pub(super) struct Index {
    path: PathBuf,
    /// `None` once the file was found damaged: then nothing is known and nothing is written.
    reader: Mutex<Option<Connection>>,
    broken: AtomicBool,
    /// Whether nothing is to be written: then who asks a damaged file is told so, as it is not set aside.
    only_read: bool,
}

impl Index {
    /// Opens the index, making it if it is missing. A damaged one is set aside if no other process
    /// uses it; else this process goes without.
    pub(super) fn open(layout: &Layout, stamp: &str, notice: &dyn Fn(String)) -> Result<Self, Error> {
        let path = layout.root().join("index.sqlite");
        let suspect = layout.root().join("index.suspect");
        let open = || layout.while_initialising(|| Ok(database::open(&path, &SCHEMA)));
        let mut opened = if suspect.exists() { Err(Trouble::Broken) } else { open()? };
        if matches!(opened, Err(Trouble::Broken)) {
            let aside = layout.root().join("quarantine").join(format!("index.sqlite-{stamp}"));
            let moved = layout.while_alone(|| {
                database::set_aside(&path, &aside)?;
                match std::fs::remove_file(&suspect) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        Err(Error::io("remove", &suspect)(error))
                    }
                    _ => Ok(()),
                }
            })?;
            if moved.is_some() {
                notice(format!(
                    "the store's index was damaged and is now in `{}`; results are made again as needed",
                    aside.display()
                ));
                opened = open()?;
            }
        }
        let reader = match opened {
            Ok(connection) => Some(connection),
            Err(Trouble::Newer(found)) => return Err(newer(layout, found)),
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Broken) => {
                notice(format!(
                    "the store's index `{}` is damaged and in use by another process; this run does without it",
                    path.display()
                ));
                None
            }
        };
        let broken = AtomicBool::new(reader.is_none());
        Ok(Self { path, reader: Mutex::new(reader), broken, only_read: false })
    }

    /// Opens the index for reading, and changes nothing about it.
    pub(super) fn open_to_read(layout: &Layout) -> Result<Self, Error> {
        let path = layout.root().join("index.sqlite");
        let suspect = layout.root().join("index.suspect").exists();
        let reader = match if suspect { Err(Trouble::Broken) } else { reading::open_to_read(&path, &SCHEMA) } {
            Ok(connection) => Some(connection),
            Err(Trouble::Broken) => None,
            Err(Trouble::Newer(found)) => return Err(newer(layout, found)),
            Err(Trouble::Refused(error)) => return Err(error),
        };
        let broken = AtomicBool::new(reader.is_none());
        Ok(Self { path, reader: Mutex::new(reader), broken, only_read: true })
    }

    /// The rows of a key, newest first.
    pub(super) fn lookup(&self, key: ActionKey) -> Result<Vec<Row>, Error> {
        const SQL: &str = "SELECT id, created, last_used, seal, body FROM claims WHERE key = ?1
             ORDER BY created DESC, id DESC";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let mut rows = statement.query([key.0.as_bytes().as_slice()])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let seal = row.get_ref(3)?.as_blob().unwrap_or_default();
                let body = row.get_ref(4)?.as_blob().unwrap_or_default();
                let claim = codec::open(key, row.get(1)?, body, seal);
                found.push(Row { id: row.get(0)?, last_used: row.get(2)?, claim });
            }
            Ok(found)
        })
    }

    /// All rows, the most recently used first.
    pub(super) fn all(&self) -> Result<Vec<Row>, Error> {
        const SQL: &str = "SELECT id, key, created, last_used, seal, body FROM claims
             ORDER BY last_used DESC, id DESC";
        self.read(|connection| {
            let mut statement = connection.prepare(SQL)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(whole_row(row)?);
            }
            Ok(found)
        })
    }

    /// Rows younger than one, the oldest first; no more than this many.
    pub(super) fn rows_after(&self, id: i64, count: usize) -> Result<Vec<Row>, Error> {
        const SQL: &str = "SELECT id, key, created, last_used, seal, body FROM claims WHERE id > ?1
             ORDER BY id LIMIT ?2";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let mut rows = statement.query(params![id, i64::try_from(count).unwrap_or(i64::MAX)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(whole_row(row)?);
            }
            Ok(found)
        })
    }

    /// Adds results under other keys, unless they are there; what is held stays held. Gives how many were added.
    pub(super) fn add_moved(&self, moved: &[Moved]) -> Result<u64, Error> {
        if moved.is_empty() {
            return Ok(0);
        }
        let Some(mut writer) = Writer::open(self)? else { return Ok(0) };
        let result = (|| {
            let mut added = 0;
            let transaction = writer.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for Moved { old, claim, last_used } in moved {
                let (old, new) = (old.0.as_bytes().as_slice(), claim.key.0.as_bytes().as_slice());
                added += transaction
                    .prepare_cached(
                        "INSERT OR IGNORE INTO claims (key, same, created, last_used, seal, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        new,
                        claim.same.as_slice(),
                        claim.created,
                        last_used,
                        claim.seal.as_slice(),
                        claim.body
                    ])?;
                transaction.prepare_cached("INSERT OR REPLACE INTO rekeyed VALUES (?1, ?2)")?.execute([old, new])?;
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO held SELECT ?2, why FROM held WHERE key = ?1")?
                    .execute([old, new])?;
            }
            transaction.commit()?;
            Ok(added as u64)
        })();
        Ok(self.judge(result)?.unwrap_or_default())
    }

    /// What a key became.
    pub(super) fn rekeyed(&self, key: ActionKey) -> Result<Option<ActionKey>, Error> {
        let found = self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT new FROM rekeyed WHERE old = ?1")?;
            let rows = statement.query_map([key.0.as_bytes().as_slice()], |row| row.get::<_, [u8; 32]>(0))?;
            rows.collect()
        })?;
        Ok(found.into_iter().next().map(|key| ActionKey(Digest::from_bytes(key))))
    }

    /// The schema that all keys are known to be of.
    pub(super) fn key_schema(&self) -> Result<Option<u64>, Error> {
        let found: Vec<i64> = self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = 'key-schema'")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        })?;
        Ok(found.first().map(|schema| schema.unsigned_abs()))
    }

    /// Notes it.
    pub(super) fn set_key_schema(&self, schema: u64) -> Result<(), Error> {
        let Some(writer) = Writer::open(self)? else { return Ok(()) };
        let schema = i64::try_from(schema).unwrap_or(i64::MAX);
        let noted = writer.0.execute("INSERT OR REPLACE INTO meta VALUES ('key-schema', ?1)", [schema]);
        self.judge(noted).map(|_| ())
    }

    /// How many claims there are.
    pub(super) fn count(&self) -> Result<u64, Error> {
        let counts: Vec<i64> = self.read(|connection| {
            connection.query_row("SELECT count(*) FROM claims", [], |row| row.get(0)).map(|count| vec![count])
        })?;
        Ok(counts.first().map_or(0, |count| count.unsigned_abs()))
    }

    /// Notes that what a key has is held back, and why; or that it is not any more.
    pub(super) fn hold(&self, key: ActionKey, why: Option<&str>) -> Result<(), Error> {
        let Some(mut writer) = Writer::open(self)? else { return Ok(()) };
        let key = key.0.as_bytes().as_slice();
        let result = (|| {
            writer.0.pragma_update(None, "synchronous", "FULL")?;
            let transaction = writer.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
            match why {
                Some(why) => transaction.execute("INSERT OR REPLACE INTO held VALUES (?1, ?2)", params![key, why])?,
                None => transaction.execute("DELETE FROM held WHERE key = ?1", [key])?,
            };
            transaction.commit()
        })();
        self.judge(result).map(|_| ())
    }

    /// Why what a key has is held back, if it is.
    pub(super) fn held(&self, key: ActionKey) -> Result<Option<String>, Error> {
        let found = self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT why FROM held WHERE key = ?1")?;
            let rows = statement.query_map([key.0.as_bytes().as_slice()], |row| row.get(0))?;
            rows.collect()
        })?;
        Ok(found.into_iter().next())
    }

    /// Deletes rows and gives the pages back to the file system.
    pub(super) fn delete(&self, ids: &[i64]) -> Result<(), Error> {
        let Some(mut writer) = Writer::open(self)? else { return Ok(()) };
        let result = (|| {
            let transaction = writer.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut statement = transaction.prepare("DELETE FROM claims WHERE id = ?1")?;
                for id in ids {
                    statement.execute([id])?;
                }
            }
            transaction.commit()?;
            // Each row that this statement yields is a page that was given back.
            let mut vacuum = writer.0.prepare("PRAGMA incremental_vacuum")?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
            Ok(())
        })();
        self.judge(result).map(|_| ())
    }

    /// Notes that the file is damaged, for this process and for the next one to open the store.
    fn set_broken(&self) {
        if !self.broken.swap(true, Ordering::Relaxed) && !self.only_read {
            // Without the mark the next process finds out by itself.
            let _ = std::fs::write(self.path.with_file_name("index.suspect"), "");
        }
    }

    fn judge<T>(&self, result: rusqlite::Result<T>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_broken(&error) => {
                self.set_broken();
                Ok(None)
            }
            Err(error) => Err(index_error(&self.path)(error)),
        }
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<Vec<T>>) -> Result<Vec<T>, Error> {
        let guard = self.reader.lock().expect("no holder of the reader's lock panics");
        let found = match guard.as_ref() {
            Some(connection) if !self.broken.load(Ordering::Relaxed) => self.judge(work(connection))?,
            _ => None,
        };
        if found.is_none() && self.only_read {
            return Err(Error::Damaged { path: self.path.clone() });
        }
        Ok(found.unwrap_or_default())
    }
}

/// The error of an index that a newer version made.
fn newer(layout: &Layout, found: i64) -> Error {
    let known = crate::store::layout::FORMAT;
    let found = format!("{known} with an index of schema {found}");
    Error::Newer { path: layout.root().to_owned(), found, known }
}

/// Of the columns id, key, created, last_used, seal and body.
fn whole_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let key: Option<[u8; 32]> = row.get_ref(1)?.as_blob().ok().and_then(|key| key.try_into().ok());
    let seal = row.get_ref(4)?.as_blob().unwrap_or_default();
    let body = row.get_ref(5)?.as_blob().unwrap_or_default();
    let created = row.get(2)?;
    let claim = key.and_then(|key| codec::open(ActionKey(Digest::from_bytes(key)), created, body, seal));
    Ok(Row { id: row.get(0)?, last_used: row.get(3)?, claim })
}

/// The one connection of a process that writes.
pub(super) struct Writer(Connection);

impl Writer {
    /// `None` if the index is damaged.
    pub(super) fn open(index: &Index) -> Result<Option<Self>, Error> {
        if index.only_read {
            let why = std::io::ErrorKind::ReadOnlyFilesystem;
            return Err(io_error("write", &index.path, why));
        }
        if index.broken.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(index.judge(database::connect(&index.path, OpenFlags::empty()))?.map(Self))
    }

    /// Applies changes in one transaction. `synchronous` is SQLite's word: `OFF`, `NORMAL`, `FULL`;
    /// the last makes earlier transactions durable too, for which there must be something to write.
    pub(super) fn apply(
        &mut self,
        index: &Index,
        ops: &[RowOp],
        used: &[ActionKey],
        now: i64,
        synchronous: &str,
    ) -> Result<(), Error> {
        let result = (|| {
            self.0.pragma_update(None, "synchronous", synchronous)?;
            let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut record = transaction.prepare_cached(
                    "INSERT OR REPLACE INTO claims (key, same, created, last_used, seal, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?;
                let mut forget = transaction.prepare_cached("DELETE FROM claims WHERE key = ?1")?;
                let mut touch = transaction.prepare_cached("UPDATE claims SET last_used = ?2 WHERE key = ?1")?;
                for op in ops {
                    match op {
                        RowOp::Record(c) => record.execute(params![
                            c.key.0.as_bytes().as_slice(),
                            c.same.as_slice(),
                            c.created,
                            now,
                            c.seal.as_slice(),
                            c.body
                        ])?,
                        RowOp::Forget(key) => forget.execute([key.0.as_bytes().as_slice()])?,
                    };
                }
                if ops.is_empty() && used.is_empty() {
                    transaction.execute("INSERT OR REPLACE INTO meta VALUES ('flushed', ?1)", [now])?;
                }
                for key in used {
                    touch.execute(params![key.0.as_bytes().as_slice(), now])?;
                }
            }
            transaction.commit()
        })();
        index.judge(result).map(|_| ())
    }
}
