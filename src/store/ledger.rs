//! The ledger of effects, in the state directory: what was begun outside of the machine, and how that
//! ended. A row is durable before the effect begins, so that a run which was killed leaves word of it.
//! Leaves out who begins effects, and what they are.
//!
//! An effect is one action at one address: equal ones at two addresses are two, each with rows of its own. Who begins one
//! looks at its last row and writes the next in the same transaction, so that of two runs at once one sees the other.
//!
//! Unlike the history, it decides something: one that cannot be read stops an effect. Losing the file
//! is to forget what was done, so it is never set aside by itself.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use crate::base::{ActionKey, Becomes, Digest, ways};
use crate::store::Error;
use crate::store::database::{self, Schema, Trouble, index_error};
use crate::store::reading;

const SCHEMA: Schema = Schema {
    version: 2,
    steps: &[
        // Equal effects shared their rows once. Each row stays with the address that wrote it last, and keeps what its
        // idempotency key is made of.
        "CREATE TABLE effects_by_address (
            key      BLOB NOT NULL,
            addr     TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            run      TEXT NOT NULL,
            held_by  TEXT NOT NULL,
            state    TEXT NOT NULL,
            at       INTEGER NOT NULL,
            receipt  TEXT,
            seed     BLOB NOT NULL,
            PRIMARY KEY (key, addr, sequence)
        ) STRICT;
        INSERT INTO effects_by_address (key, addr, sequence, run, held_by, state, at, receipt, seed)
            SELECT key, addr, sequence, run, run, state, at, receipt, key FROM effects;
        DROP TABLE effects;
        ALTER TABLE effects_by_address RENAME TO effects;",
    ],
    create: "
        CREATE TABLE effects (
            key      BLOB NOT NULL,
            addr     TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            run      TEXT NOT NULL,
            held_by  TEXT NOT NULL,
            state    TEXT NOT NULL,
            at       INTEGER NOT NULL,
            receipt  TEXT,
            seed     BLOB NOT NULL,
            PRIMARY KEY (key, addr, sequence)
        ) STRICT;",
};

/// How an effect stands. Which state may follow which is told by types of the same names, below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectState {
    /// It was begun, and nobody knows how it ended.
    Intended,
    /// It failed, and so did not happen.
    Failed,
    /// It happened, in a run that has not ended well so far.
    Done,
    /// It happened, and the run that it was a part of ended well.
    Settled,
}

impl EffectState {
    const ALL: [Self; 4] = [Self::Intended, Self::Failed, Self::Done, Self::Settled];

    /// The word in the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Settled => "settled",
        }
    }
}

ways! {
    EffectState {
        Intended = EffectState::Intended;
        Failed = EffectState::Failed;
        Done = EffectState::Done;
        Settled = EffectState::Settled;
    }
    // Begun anew, after somebody looked; it says itself that it did not happen; it happened, or somebody says so.
    Intended => Intended, Failed, Done;
    Failed => Intended;
    // Another run takes it up; the run that it is a part of ended well, or it was taken back.
    Done => Done, Settled;
}

/// A row of the ledger: one doing of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRow {
    /// The action key.
    pub key: ActionKey,
    /// The address.
    pub addr: String,
    /// Which doing of it, from 1.
    pub sequence: u64,
    /// The run that began it last.
    pub run: String,
    /// The run that it is a part of: the one that began it, or the last one that took it up.
    pub held_by: String,
    /// How it stands.
    pub state: EffectState,
    /// When it came to stand so, in nanoseconds since the epoch.
    pub at: i64,
    /// What it left, in the words of the executor.
    pub receipt: Option<String>,
    /// What, with the number of the doing, tells it from all others: the same however often it is begun, and whatever
    /// becomes of the key.
    seed: Vec<u8>,
}

/// One doing of an effect that is under way. How it ended is said by what takes this, and so only once; if nobody says
/// it, nobody knows.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "nobody else can say how it ended"]
pub struct Begun {
    place: Place,
    run: String,
    seed: Vec<u8>,
}

impl Begun {
    /// Which doing of the effect it is, from 1.
    pub fn sequence(&self) -> u64 {
        self.place.sequence
    }

    /// What, with the number, tells this doing from all others.
    pub fn seed(&self) -> &[u8] {
        &self.seed
    }

    /// It happened, and left this.
    pub fn done(self, ledger: &Ledger, receipt: &str, at: i64) -> Result<(), Error> {
        let change = Change { receipt: Some(receipt), ..Change::at(at) };
        ledger.write(|connection| self.place.go(connection, Intended, Done, Some(&self.run), &change))
    }

    /// It says itself that it did not happen.
    pub fn failed(self, ledger: &Ledger, at: i64) -> Result<(), Error> {
        ledger.write(|connection| self.place.go(connection, Intended, Failed, Some(&self.run), &Change::at(at)))
    }
}

/// Where a row is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    key: ActionKey,
    addr: String,
    sequence: u64,
}

/// What else changes in a row with its state.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    at: i64,
    run: Option<&'a str>,
    held_by: Option<&'a str>,
    receipt: Option<&'a str>,
}

impl Change<'_> {
    fn at(at: i64) -> Self {
        Self { at, run: None, held_by: None, receipt: None }
    }
}

impl Place {
    /// Writes that a doing goes from one state to another. It stays as it is if it is not there, or is a part of another
    /// run than the one that is said.
    fn go<From, To>(
        &self,
        connection: &Connection,
        from: From,
        to: To,
        of: Option<&str>,
        change: &Change<'_>,
    ) -> rusqlite::Result<()>
    where
        From: Becomes<To> + Into<EffectState>,
        To: Into<EffectState>,
    {
        let (from, to): (EffectState, EffectState) = (from.into(), to.into());
        let mut statement = connection.prepare_cached(
            "UPDATE effects SET state = ?5, at = ?6, run = coalesce(?7, run), held_by = coalesce(?8, held_by),
                 receipt = coalesce(?9, receipt)
             WHERE key = ?1 AND addr = ?2 AND sequence = ?3 AND state = ?4 AND (?10 IS NULL OR held_by = ?10)",
        )?;
        statement.execute(params![
            self.key.0.as_bytes().as_slice(),
            self.addr,
            i64::try_from(self.sequence).unwrap_or(i64::MAX),
            from.word(),
            to.word(),
            change.at,
            change.run,
            change.held_by,
            change.receipt,
            of
        ])?;
        Ok(())
    }
}

/// The ledger of a workspace. Methods may be called from any thread.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Whether it was opened to be looked at alone.
    is_read: bool,
}

/// The last doing of an effect, which nobody changes while it is looked at.
#[derive(Debug)]
pub struct Page<'a> {
    connection: &'a Connection,
    path: &'a Path,
    is_read: bool,
    key: ActionKey,
    addr: &'a str,
    row: Option<EffectRow>,
}

impl Page<'_> {
    /// The last doing, if there is one.
    pub fn row(&self) -> Option<&EffectRow> {
        self.row.as_ref()
    }

    /// Writes that the effect begins. The doing is the same as the last where that did not happen, or may not have; else
    /// the next.
    pub fn begin(self, run: &str, at: i64) -> Result<Begun, Error> {
        let change = Change { run: Some(run), held_by: Some(run), ..Change::at(at) };
        let written = match self.row.as_ref().map(|row| (row, row.state)) {
            Some((row, EffectState::Intended)) => {
                row.place().go(self.connection, Intended, Intended, None, &change).map(|()| row.begun(run))
            }
            Some((row, EffectState::Failed)) => {
                row.place().go(self.connection, Failed, Intended, None, &change).map(|()| row.begun(run))
            }
            Some((row, EffectState::Done | EffectState::Settled)) => self.insert(row.sequence + 1, run, at),
            None => self.insert(1, run, at),
        };
        written.map_err(index_error(self.path))
    }

    /// Writes that what happened is from now on a part of another run. A look leaves it as it is.
    pub fn take_up(self, run: &str, at: i64) -> Result<(), Error> {
        let Some(row) = self.row.as_ref().filter(|_| !self.is_read) else { return Ok(()) };
        let change = Change { held_by: Some(run), ..Change::at(at) };
        row.place().go(self.connection, Done, Done, None, &change).map_err(index_error(self.path))
    }

    /// Writes that what was begun happened, as somebody says who looked, and is a part of this run. A look leaves it
    /// as it is.
    pub fn happened(self, run: &str, receipt: &str, at: i64) -> Result<(), Error> {
        let Some(row) = self.row.as_ref().filter(|_| !self.is_read) else { return Ok(()) };
        let change = Change { held_by: Some(run), receipt: Some(receipt), ..Change::at(at) };
        row.place().go(self.connection, Intended, Done, None, &change).map_err(index_error(self.path))
    }

    fn insert(&self, sequence: u64, run: &str, at: i64) -> rusqlite::Result<Begun> {
        let mut seed = self.key.0.as_bytes().to_vec();
        seed.extend_from_slice(self.addr.as_bytes());
        self.connection.execute(
            "INSERT INTO effects (key, addr, sequence, run, held_by, state, at, seed)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7)",
            params![
                self.key.0.as_bytes().as_slice(),
                self.addr,
                i64::try_from(sequence).unwrap_or(i64::MAX),
                run,
                EffectState::from(Intended).word(),
                at,
                seed
            ],
        )?;
        let place = Place { key: self.key, addr: self.addr.to_owned(), sequence };
        Ok(Begun { place, run: run.to_owned(), seed })
    }
}

impl EffectRow {
    fn place(&self) -> Place {
        Place { key: self.key, addr: self.addr.clone(), sequence: self.sequence }
    }

    fn begun(&self, run: &str) -> Begun {
        Begun { place: self.place(), run: run.to_owned(), seed: self.seed.clone() }
    }
}

const COLUMNS: &str = "key, addr, sequence, run, held_by, state, at, receipt, seed";

impl Ledger {
    /// Opens the ledger at `path`, making it if it is missing. The folder must exist.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = match database::open_alone(path, &SCHEMA) {
            Ok(connection) => connection,
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Newer(_) | Trouble::Broken) => return Err(Error::Ledger { path: path.to_owned() }),
        };
        // What is begun outside cannot be taken back, so the row of it must not be lost.
        connection.pragma_update(None, "synchronous", "FULL").map_err(index_error(path))?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), is_read: false })
    }

    /// Opens the ledger at `path` to read it, without making or changing anything. A missing one is empty.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        match reading::open_to_read(path, &SCHEMA) {
            Ok(connection) => Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), is_read: true }),
            Err(Trouble::Refused(error)) => Err(error),
            Err(Trouble::Newer(_) | Trouble::Broken) => Err(Error::Ledger { path: path.to_owned() }),
        }
    }

    /// Looks at the last doing of an effect, and writes what follows from it: nobody else comes between. Nothing is
    /// written if `act` fails.
    pub fn look<T, E: From<Error>>(
        &self,
        key: ActionKey,
        addr: &str,
        act: impl FnOnce(Page<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        // Who only looks writes nothing, and keeps nobody from writing.
        let behavior = if self.is_read { TransactionBehavior::Deferred } else { TransactionBehavior::Immediate };
        let transaction = connection.transaction_with_behavior(behavior).map_err(index_error(&self.path))?;
        let row = last(&transaction, key, addr).map_err(index_error(&self.path))?;
        let page = Page { connection: &transaction, path: &self.path, is_read: self.is_read, key, addr, row };
        let acted = act(page)?;
        transaction.commit().map_err(index_error(&self.path))?;
        Ok(acted)
    }

    /// Puts what was done under new keys, unless something is there at its address.
    pub fn rekey(&self, keys: &[(ActionKey, ActionKey)]) -> Result<(), Error> {
        let mut connection = self.lock();
        let mut write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (old, new) in keys {
                transaction
                    .prepare_cached(
                        "UPDATE effects SET key = ?2 WHERE key = ?1
                         AND addr NOT IN (SELECT addr FROM effects WHERE key = ?2)",
                    )?
                    .execute([old.0.as_bytes().as_slice(), new.0.as_bytes().as_slice()])?;
            }
            transaction.commit()
        };
        write().map_err(index_error(&self.path))
    }

    /// Writes of what happened of an effect that the run which it is a part of ended well.
    pub fn settle(&self, key: ActionKey, addr: &str, run: &str, at: i64) -> Result<(), Error> {
        self.look(key, addr, |page| {
            let Some(row) = page.row() else { return Ok(()) };
            row.place().go(page.connection, Done, Settled, Some(run), &Change::at(at)).map_err(index_error(page.path))
        })
    }

    /// Writes of all that happened at an address that it is no part of a run which could be taken up: it was taken back.
    pub fn settle_at(&self, addr: &str, at: i64) -> Result<(), Error> {
        self.write(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM effects WHERE addr = ?1");
            let rows: Vec<EffectRow> =
                connection.prepare_cached(&sql)?.query_map([addr], effect_row)?.collect::<rusqlite::Result<_>>()?;
            rows.iter().try_for_each(|row| row.place().go(connection, Done, Settled, None, &Change::at(at)))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, write: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), Error> {
        let mut connection = self.lock();
        let written = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
            write(&transaction)?;
            transaction.commit()
        });
        written.map_err(index_error(&self.path))
    }
}

fn last(connection: &Connection, key: ActionKey, addr: &str) -> rusqlite::Result<Option<EffectRow>> {
    let sql = format!("SELECT {COLUMNS} FROM effects WHERE key = ?1 AND addr = ?2 ORDER BY sequence DESC LIMIT 1");
    connection.prepare_cached(&sql)?.query_row(params![key.0.as_bytes().as_slice(), addr], effect_row).optional()
}

fn effect_row(row: &Row<'_>) -> rusqlite::Result<EffectRow> {
    let word: String = row.get(5)?;
    let state = EffectState::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            5,
            rusqlite::types::Type::Text,
            format!("`{word}` is no state").into(),
        )
    })?;
    Ok(EffectRow {
        key: ActionKey(Digest::from_bytes(row.get(0)?)),
        addr: row.get(1)?,
        sequence: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
        run: row.get(3)?,
        held_by: row.get(4)?,
        state,
        at: row.get(6)?,
        receipt: row.get(7)?,
        seed: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{drawn, listed};

    #[test]
    fn the_picture_in_the_book_is_what_compiles() {
        assert_eq!(drawn("One doing of an effect"), listed(WAYS));
    }

    fn key() -> ActionKey {
        ActionKey(Digest::of_blob(b"effect"))
    }

    fn begin(ledger: &Ledger, addr: &str, run: &str, at: i64) -> Begun {
        ledger.look(key(), addr, |page| page.begin(run, at)).expect("it writes")
    }

    fn row(ledger: &Ledger, addr: &str) -> Option<EffectRow> {
        ledger.look(key(), addr, |page| Ok::<_, Error>(page.row().cloned())).expect("it reads")
    }

    fn state(ledger: &Ledger, addr: &str) -> EffectState {
        row(ledger, addr).expect("a row").state
    }

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("it opens");
        (dir, ledger)
    }

    #[test]
    fn a_doing_keeps_its_number_until_it_has_happened() {
        let (dir, ledger) = ledger();
        assert_eq!(row(&ledger, "g/push"), None);
        let begun = begin(&ledger, "g/push", "r1", 1);
        assert_eq!(begun.sequence(), 1);
        let seed = begun.seed().to_vec();
        begun.failed(&ledger, 2).expect("it writes");
        let begun = begin(&ledger, "g/push", "r1", 3);
        assert_eq!((begun.sequence(), begun.seed()), (1, &seed[..]));
        // A second handle, as of another process after a crash.
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("it opens again");
        let begun_of = |row: &EffectRow| (row.sequence, row.state, row.run.clone());
        assert_eq!(row(&ledger, "g/push").as_ref().map(begun_of), Some((1, EffectState::Intended, "r1".to_owned())));
        begun.done(&ledger, "[]", 4).expect("it writes");
        let left = row(&ledger, "g/push").expect("a row");
        assert_eq!((left.state, left.receipt.as_deref()), (EffectState::Done, Some("[]")));
        ledger.settle(key(), "g/push", "r2", 5).expect("it writes");
        assert_eq!(state(&ledger, "g/push"), EffectState::Done, "it is no part of that run");
        ledger.settle(key(), "g/push", "r1", 6).expect("it writes");
        let begun = begin(&ledger, "g/push", "r2", 7);
        assert_eq!(begun.sequence(), 2);
        ledger.settle_at("g/push", 8).expect("it writes");
        assert_eq!(state(&ledger, "g/push"), EffectState::Intended, "what may have happened is not taken back");
        begun.done(&ledger, "[]", 9).expect("it writes");
        ledger.settle_at("g/other", 10).expect("it writes");
        assert_eq!(state(&ledger, "g/push"), EffectState::Done);
        ledger.settle_at("g/push", 11).expect("it writes");
        assert_eq!(state(&ledger, "g/push"), EffectState::Settled);
    }

    #[test]
    fn equal_effects_at_two_addresses_are_two() {
        let (_dir, ledger) = ledger();
        let here = begin(&ledger, "g/here", "r1", 1);
        assert_eq!(row(&ledger, "g/there"), None);
        let there = begin(&ledger, "g/there", "r1", 2);
        assert_eq!((here.sequence(), there.sequence()), (1, 1));
        assert_ne!(here.seed(), there.seed());
        here.done(&ledger, "[]", 3).expect("it writes");
        assert_eq!(state(&ledger, "g/there"), EffectState::Intended);
        there.failed(&ledger, 4).expect("it writes");
        let new = ActionKey(Digest::of_blob(b"another"));
        ledger
            .look(new, "g/there", |page| page.begin("r1", 5))
            .expect("it writes")
            .failed(&ledger, 6)
            .expect("it writes");
        ledger.rekey(&[(key(), new)]).expect("it writes");
        assert_eq!(row(&ledger, "g/here"), None, "it has the new key");
        assert_eq!(state(&ledger, "g/there"), EffectState::Failed, "there was something");
    }

    #[test]
    fn what_happened_belongs_to_the_run_that_took_it_up_last() {
        let (dir, ledger) = ledger();
        begin(&ledger, "g/push", "r1", 1).done(&ledger, "[]", 2).expect("it writes");
        let look = Ledger::open_to_read(&dir.path().join("ledger.sqlite")).expect("it opens");
        look.look(key(), "g/push", |page| page.take_up("look", 3)).expect("it reads");
        assert_eq!(row(&ledger, "g/push").expect("a row").held_by, "r1");
        ledger.look(key(), "g/push", |page| page.take_up("r2", 4)).expect("it writes");
        let taken = row(&ledger, "g/push").expect("a row");
        assert_eq!((taken.run.as_str(), taken.held_by.as_str(), taken.state), ("r1", "r2", EffectState::Done));
        ledger.settle(key(), "g/push", "r1", 5).expect("it writes");
        assert_eq!(state(&ledger, "g/push"), EffectState::Done);
        ledger.settle(key(), "g/push", "r2", 6).expect("it writes");
        assert_eq!(state(&ledger, "g/push"), EffectState::Settled);
    }

    #[test]
    fn who_looks_and_refuses_writes_nothing() {
        let (_dir, ledger) = ledger();
        let refused = ledger.look(key(), "g/push", |page| {
            let _begun = page.begin("r1", 1)?;
            Err::<(), _>(Error::Poisoned("no".to_owned()))
        });
        assert!(refused.is_err());
        assert_eq!(row(&ledger, "g/push"), None);
    }

    #[test]
    fn rows_of_the_first_schema_stay_with_their_addresses() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ledger.sqlite");
        let old = Connection::open(&path).expect("it opens");
        old.execute_batch(
            "CREATE TABLE effects (key BLOB NOT NULL, sequence INTEGER NOT NULL, addr TEXT NOT NULL, run TEXT NOT NULL,
                 state TEXT NOT NULL, at INTEGER NOT NULL, receipt TEXT, PRIMARY KEY (key, sequence)) STRICT;
             PRAGMA user_version = 1;",
        )
        .expect("it is made");
        for (sequence, addr, state) in [(1, "g/here", "settled"), (2, "g/there", "intended"), (3, "g/here", "done")] {
            let sql = "INSERT INTO effects VALUES (?1, ?2, ?3, 'r1', ?4, ?5, '[]')";
            old.execute(sql, params![key().0.as_bytes().as_slice(), sequence, addr, state, sequence * 10])
                .expect("it is written");
        }
        drop(old);
        let look = Ledger::open_to_read(&path).expect("it opens to be looked at");
        assert_eq!(state(&look, "g/there"), EffectState::Intended);
        drop(look);
        let ledger = Ledger::open(&path).expect("it opens");
        let here = row(&ledger, "g/here").expect("a row");
        assert_eq!(
            (here.sequence, here.state, here.at, here.receipt.as_deref()),
            (3, EffectState::Done, 30, Some("[]"))
        );
        assert_eq!((here.run.as_str(), here.held_by.as_str()), ("r1", "r1"));
        let count: i64 =
            ledger.lock().query_row("SELECT count(*) FROM effects", [], |row| row.get(0)).expect("a number");
        assert_eq!(count, 3);
        // Begun again it is the same doing, which the other side knows by what it was told then.
        let begun = begin(&ledger, "g/there", "r2", 100);
        assert_eq!((begun.sequence(), begun.seed()), (2, key().0.as_bytes().as_slice()));
        let next = begin(&ledger, "g/here", "r2", 101);
        assert_eq!(next.sequence(), 4);
        assert_ne!(next.seed(), key().0.as_bytes().as_slice());
    }
}
