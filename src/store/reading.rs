//! How a database is read by who only reads: where nothing may be written as well, on a medium that cannot be or among
//! files of another user. Leaves out tables, and what makes or mends them.
//!
//! What is decided here, for SQLite with a write-ahead log:
//!
//! * Where file and folder may be written, they are opened as a writer opens them, but for queries alone: SQLite makes the
//!   index of its log beside the file if it is not there, and takes it away again.
//! * Where they may not, and log and index are there or need not be, they are opened for reading: SQLite follows the locks
//!   of a writer that lives elsewhere.
//! * Where that does not do, as log or index would have to be made, or the schema is an older one, or the disk is full, a
//!   private copy of file and log is opened, which is not tied to any name by the time it is read. It is taken twice and
//!   must be the same, so that it is what the disk held at the moment between: a state that a writer could have left by
//!   being killed then, from which SQLite recovers.
//!
//! `immutable=1` is never said: it skips the log, and promises what nobody can promise.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use tempfile::TempDir;

use crate::base::{Digest, Hasher};
use crate::store::Error;
use crate::store::database::{self, Schema, Trouble, index_error, is_broken, user_version, with_suffix};
use crate::store::layout::io_error;

/// How often a copy is tried while a writer is at work.
const TRIES: u32 = 16;

/// What belongs to a database: the log is read after the file, as what leaves it goes there.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

/// Where a copy may lie if the usual place for what is temporary cannot be written: memory.
const MEMORY: &str = "/dev/shm";

/// How the names of such folders begin.
const PREFIX: &str = "partita-read-";

/// Opens a database for queries. One that is missing or that nobody has filled yet is empty.
pub(super) fn open_to_read(path: &Path, schema: &Schema) -> Result<Connection, Trouble> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return empty(path, schema),
        Err(error) => return Err(Trouble::Refused(io_error("read", path, error))),
    }
    match in_place(path) {
        Ok(Some((_, version))) if version > schema.version => Err(Trouble::Newer(version)),
        Ok(Some((_, 0))) => empty(path, schema),
        Ok(Some((connection, version))) if version == schema.version => Ok(connection),
        Err(error) if is_broken(&error) => Err(Trouble::Broken),
        Ok(_) => copied(path, schema),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            Err(Trouble::Refused(index_error(path)(error)))
        }
        Err(_) => copied(path, schema),
    }
}

/// Copies a database whole into a new file, while others read and write it.
pub fn copy_database(from: &Path, to: &Path) -> Result<(), Error> {
    let copy = || {
        let connection = database::connect(from, OpenFlags::empty())?;
        connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])
    };
    match copy() {
        Ok(_) => Ok(()),
        Err(error) if is_broken(&error) => Err(index_error(from)(error)),
        Err(_) => {
            let _ = std::fs::remove_file(to);
            take(from, to).map_err(Error::io("write", to))??;
            // What is in the log goes into the file.
            let merge = || database::connect(to, OpenFlags::empty())?.pragma_update(None, "journal_mode", "DELETE");
            merge().map_err(index_error(from))
        }
    }
}

/// An empty database with its tables.
fn empty(path: &Path, schema: &Schema) -> Result<Connection, Trouble> {
    let made = Connection::open_in_memory().and_then(|connection| {
        connection.execute_batch(schema.create)?;
        only_queries(&connection)?;
        Ok(connection)
    });
    made.map_err(|error| Trouble::Refused(index_error(path)(error)))
}

/// The database where it lies, and the number of its schema; `None` if files would have to be made beside those of
/// another user.
fn in_place(path: &Path) -> rusqlite::Result<Option<(Connection, i64)>> {
    let folder = database::folder_of(path);
    let (file_may, folder_may) = (may_write(path), may_write(folder));
    let connection = if file_may && folder_may {
        database::connect(path, OpenFlags::empty())?
    } else if !folder_may || ["-wal", "-shm"].iter().all(|part| with_suffix(path, part).exists()) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(database::BUSY)?;
        connection
    } else {
        return Ok(None);
    };
    only_queries(&connection)?;
    let version = user_version(&connection)?;
    Ok(Some((connection, version)))
}

fn only_queries(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "query_only", true)?;
    // What is sorted has no place on a disk that is full or not ours.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Whether this process may write there; the kernel knows of media that nobody may write, too.
pub(super) fn may_write(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// A private copy, brought to the present schema.
fn copied(path: &Path, schema: &Schema) -> Result<Connection, Trouble> {
    let mut why = None;
    for place in places() {
        match copied_to(&place, path, schema) {
            Ok(opened) => return opened,
            // Of the usual place is told, as that is where room is made.
            Err(error) => _ = why.get_or_insert(io_error("make a private copy of a database in", &place, error)),
        }
    }
    Err(why.map_or(Trouble::Broken, Trouble::Refused))
}

/// Where what is private may lie: the usual place for what is temporary, then memory.
fn places() -> [PathBuf; 2] {
    [std::env::temp_dir(), PathBuf::from(MEMORY)]
}

/// A folder for this process alone, which is removed with the value.
pub(super) fn private_folder() -> Result<TempDir, Error> {
    let made = |place: &PathBuf| tempfile::Builder::new().prefix(PREFIX).tempdir_in(place);
    let [usual, memory] = places();
    let failed = |error| io_error("make a folder for what is looked at in", &usual, error);
    made(&usual).or_else(|error| made(&memory).map_err(|_| failed(error)))
}

/// The same in a place; an error is one of the place.
fn copied_to(place: &Path, path: &Path, schema: &Schema) -> io::Result<Result<Connection, Trouble>> {
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
    let copy = folder.path().join("copy.sqlite");
    if let Err(error) = take(path, &copy)? {
        return Ok(Err(Trouble::Refused(error)));
    }
    // With a journal that is rolled back there is one file, and it has no name any more when it is read.
    Ok(database::open_as(&copy, schema, true).and_then(|connection| {
        only_queries(&connection).map_err(|error| Trouble::Refused(index_error(path)(error)))?;
        Ok(connection)
    }))
}

/// Copies file and log as they are at one moment. The outer error is one of the place of the copy.
fn take(path: &Path, copy: &Path) -> io::Result<Result<(), Error>> {
    let mut before = None;
    for _ in 0..TRIES {
        let now = match each(path, Some(copy))? {
            Ok(now) => now,
            Err(error) => return Ok(Err(error)),
        };
        if before.as_ref() != Some(&now) {
            match each(path, None)? {
                Ok(again) => before = Some(again),
                Err(error) => return Ok(Err(error)),
            }
        }
        if before.as_ref() == Some(&now) {
            return Ok(Ok(()));
        }
        std::thread::yield_now();
    }
    Ok(Err(Error::Busy { path: path.to_owned() }))
}

/// The digests of all parts, which are copied if there is a place to; `None` for what is not there.
fn each(path: &Path, copy: Option<&Path>) -> io::Result<Result<Vec<Option<Digest>>, Error>> {
    let mut found = Vec::new();
    for part in PARTS {
        let from = with_suffix(path, part);
        let to = copy.map(|copy| with_suffix(copy, part));
        let mut source = match File::open(&from) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !part.is_empty() => {
                // An earlier try may have found one.
                let _ = to.map(std::fs::remove_file);
                found.push(None);
                continue;
            }
            Err(error) => return Ok(Err(io_error("read", &from, error))),
        };
        let mut target = to.map(File::create).transpose()?;
        let mut hasher = Hasher::of_blob();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(io_error("read", &from, error))),
            };
            hasher.update(&buffer[..count]);
            if let Some(file) = &mut target {
                file.write_all(&buffer[..count])?;
            }
        }
        found.push(Some(hasher.finish()));
    }
    Ok(Ok(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        version: 2,
        create: "CREATE TABLE a (x INTEGER, y INTEGER, z TEXT) STRICT;",
        steps: &["ALTER TABLE a ADD COLUMN z TEXT"],
    };

    #[test]
    fn a_copy_beside_a_writer_is_of_one_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sqlite");
        let mut writer = database::open(&path, &SCHEMA).ok().unwrap();
        // Goes from the log to the file all the time.
        writer.pragma_update(None, "wal_autocheckpoint", 2).unwrap();
        for x in 0..200 {
            writer.execute("INSERT INTO a VALUES (?1, 0, ?2)", (x, "z".repeat(200))).unwrap();
        }
        let done = std::sync::atomic::AtomicBool::new(false);
        let (mut last, mut read) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1_i64.. {
                    if done.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let transaction = writer.transaction().unwrap();
                    transaction.execute("UPDATE a SET y = ?1", [round]).unwrap();
                    transaction.commit().unwrap();
                    // Room for a reader to find two looks alike, as real writers leave.
                    std::thread::park_timeout(std::time::Duration::from_millis(5));
                }
            });
            for _ in 0..40 {
                match copied(&path, &SCHEMA) {
                    Ok(connection) => {
                        let sql = "SELECT min(y), max(y), count(*) FROM a";
                        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                        let (least, most, count): (i64, i64, i64) = connection.query_row(sql, [], row).unwrap();
                        assert_eq!((least, count), (most, 200), "half of a change");
                        assert!(least >= last, "what was there before");
                        (last, read) = (least, read + 1);
                    }
                    Err(Trouble::Refused(Error::Busy { .. })) => {}
                    Err(Trouble::Refused(error)) => panic!("{error}"),
                    Err(Trouble::Broken | Trouble::Newer(_)) => panic!("not what was written"),
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(read > 0 && last > 0, "{read} {last}");
    }

    #[test]
    fn an_older_schema_is_read_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sqlite");
        let first = Schema { version: 1, create: "CREATE TABLE a (x INTEGER, y INTEGER) STRICT;", steps: &[] };
        let old = database::open(&path, &first).ok().unwrap();
        old.execute("INSERT INTO a VALUES (7, 8)", []).unwrap();
        let read = open_to_read(&path, &SCHEMA).ok().unwrap();
        let row = read.query_row("SELECT x, z FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(row.unwrap(), (7, None::<String>));
        assert_eq!(user_version(&old).unwrap(), 1);
        assert!(read.execute("INSERT INTO a VALUES (1, 2, '')", []).is_err(), "for queries alone");
        let newer = Schema { version: 9, ..SCHEMA };
        drop((old, read));
        let _ = database::open(&dir.path().join("e.sqlite"), &newer).ok().unwrap();
        assert!(matches!(open_to_read(&dir.path().join("e.sqlite"), &SCHEMA), Err(Trouble::Newer(9))));
    }

    #[test]
    fn a_log_whose_writer_was_killed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (path, left) = (dir.path().join("d.sqlite"), dir.path().join("left.sqlite"));
        let writer = database::open(&path, &SCHEMA).ok().unwrap();
        writer.execute("INSERT INTO a VALUES (1, 2, 'z')", []).unwrap();
        for part in ["", "-wal"] {
            std::fs::copy(with_suffix(&path, part), with_suffix(&left, part)).unwrap();
        }
        drop(writer);
        let read = copied(&left, &SCHEMA).ok().unwrap();
        let x: i64 = read.query_row("SELECT x FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(x, 1, "it is in the log alone");
    }

    #[test]
    fn what_is_missing_or_was_never_filled_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sqlite");
        for _ in 0..2 {
            let read = open_to_read(&path, &SCHEMA).ok().unwrap();
            let count: i64 = read.query_row("SELECT count(*) FROM a", [], |row| row.get(0)).unwrap();
            assert_eq!(count, 0);
            File::create(&path).unwrap();
        }
        std::fs::write(&path, "no database, but as long as the beginning of one must be".repeat(50)).unwrap();
        assert!(matches!(open_to_read(&path, &SCHEMA), Err(Trouble::Broken)));
    }
}
