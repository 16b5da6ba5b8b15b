//! How SQLite files are opened, here and in the history: journal mode, waiting, schema number, and
//! what counts as a broken file. Leaves out tables.
//!
//! The write-ahead log needs memory that all processes share, which network file systems do not give: there the journal is
//! one that is rolled back, which is slower and needs locks alone. A store is refused there, a state directory is not, as it
//! lies beside the specs, wherever these are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, accessat};
use rustix::io::Errno;

use crate::store::Error;
use crate::store::layout::{flock, io_error, network_of, open_dir};

/// How long a writer waits for the writer of another process.
pub(super) const BUSY: Duration = Duration::from_secs(30);

/// Bytes beyond which the write-ahead log is cut back after a checkpoint.
const LOG_BYTES: u32 = 16 * 1024 * 1024;

/// Why a database cannot be used as it is.
pub(super) enum Trouble {
    /// The file is damaged, or not a database at all.
    Broken,
    /// Its schema has this number, which is above ours.
    Newer(i64),
    /// Anything else: no permission, no space, locked.
    Refused(Error),
}

/// The tables of a database and their number, kept in `user_version`.
pub(super) struct Schema {
    /// From 1.
    pub(super) version: i64,
    /// Statements that make it in an empty database.
    pub(super) create: &'static str,
    /// Statements that make the next version of one: of the first to the second, and so on.
    pub(super) steps: &'static [&'static str],
}

/// Whether an error says that the file itself is damaged, or does not hold what we wrote.
pub(super) fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
        )
}

/// Wraps an error of SQLite: where the file system is behind it, as one of that, which says more.
pub(super) fn index_error(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    let path = path.to_owned();
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io_error("write", &path, Errno::NOSPC),
        Some(ErrorCode::DatabaseBusy) => Error::Busy { path: path.clone() },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            // The file, or the log beside it, or both of them by way of the folder.
            let log = with_suffix(&path, "-wal");
            let refused = [path.as_path(), log.as_path(), folder_of(&path)].into_iter().find_map(|at| {
                let refused = accessat(CWD, at, Access::WRITE_OK, AtFlags::EACCESS).err()?;
                (refused != Errno::NOENT).then(|| io_error("write", at, refused))
            });
            refused.unwrap_or_else(|| Error::Index { path: path.clone(), source })
        }
        _ => Error::Index { path: path.clone(), source },
    }
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// As [`open`], while nobody else opens one in the same folder: who makes a file anew gives it its journal mode, for
/// which SQLite waits for nobody.
pub(super) fn open_alone(path: &Path, schema: &Schema) -> Result<Connection, Trouble> {
    let guard = open_dir(folder_of(path)).map_err(Trouble::Refused)?;
    // Network file systems may not lock folders. There what can happen is that one of two first runs has to be repeated.
    let _ = flock(&guard, FlockOperation::LockExclusive);
    open(path, schema)
}

/// Opens a database, making its tables if it is new. The caller sees to it that no other process
/// does the same at the same time.
pub(super) fn open(path: &Path, schema: &Schema) -> Result<Connection, Trouble> {
    open_as(path, schema, network_of(path).is_some())
}

pub(super) fn open_as(path: &Path, schema: &Schema, on_network: bool) -> Result<Connection, Trouble> {
    let mode = if on_network { "DELETE" } else { "WAL" };
    let attempt = || -> rusqlite::Result<Result<Connection, i64>> {
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        let version = user_version(&connection)?;
        if version > schema.version {
            return Ok(Err(version));
        }
        if version == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            connection.pragma_update(None, "journal_mode", mode)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if user_version(&transaction)? == 0 {
                transaction.execute_batch(schema.create)?;
                transaction.pragma_update(None, "user_version", schema.version)?;
            }
            transaction.commit()?;
        } else if version < schema.version {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = usize::try_from(user_version(&transaction)? - 1).unwrap_or(usize::MAX);
            for step in schema.steps.iter().skip(done) {
                transaction.execute_batch(step)?;
            }
            transaction.pragma_update(None, "user_version", schema.version)?;
            transaction.commit()?;
        }
        let was: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if !was.eq_ignore_ascii_case(mode) {
            // It was brought from elsewhere, or comes back.
            connection.pragma_update(None, "journal_mode", mode)?;
        }
        Ok(Ok(connection))
    };
    match attempt() {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(found)) => Err(Trouble::Newer(found)),
        Err(error) if is_broken(&error) => Err(Trouble::Broken),
        Err(error) => Err(Trouble::Refused(index_error(path)(error))),
    }
}

/// Opens a further connection to a database whose tables exist.
pub(super) fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Renames a database and its logs to `<to>`, `<to>-wal`, `<to>-shm`. Only while no one has it open.
pub(super) fn set_aside(path: &Path, to: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(to, suffix));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error("set aside", &from, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path with something appended to its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_network_the_journal_needs_no_shared_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sqlite");
        let schema = Schema { version: 1, create: "CREATE TABLE a (x INTEGER) STRICT;", steps: &[] };
        let mode = |connection: &Connection| -> String {
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap()
        };
        for (on_network, name) in [(false, "wal"), (true, "delete"), (false, "wal")] {
            let first = open_as(&path, &schema, on_network).ok().unwrap();
            assert_eq!(mode(&first), name);
            let second = open_as(&path, &schema, on_network).ok().unwrap();
            first.execute("INSERT INTO a VALUES (1)", []).unwrap();
            second.execute("INSERT INTO a VALUES (2)", []).unwrap();
            let log = with_suffix(&path, "-shm");
            assert_eq!(log.exists(), !on_network);
        }
        let connection = open_as(&path, &schema, true).ok().unwrap();
        let sum: i64 = connection.query_row("SELECT sum(x) FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 9, "nothing was lost on the way");
    }

    #[test]
    fn an_older_schema_is_brought_up_to_date_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sqlite");
        let first = Schema { version: 1, create: "CREATE TABLE a (x INTEGER) STRICT;", steps: &[] };
        let third = Schema {
            version: 3,
            create: "CREATE TABLE a (x INTEGER, y TEXT, z TEXT) STRICT;",
            steps: &["ALTER TABLE a ADD COLUMN y TEXT", "ALTER TABLE a ADD COLUMN z TEXT"],
        };
        open(&path, &first).ok().unwrap().execute("INSERT INTO a VALUES (7)", []).unwrap();
        for _ in 0..2 {
            let connection = open(&path, &third).ok().unwrap();
            assert_eq!(user_version(&connection).unwrap(), 3);
            let row = connection.query_row("SELECT x, z FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)));
            assert_eq!(row.unwrap(), (7, None::<String>));
        }
        assert!(matches!(open(&path, &first), Err(Trouble::Newer(3))));
    }
}
