//! The ledger of effects, in the state directory: what was begun outside of the machine, and how that
//! ended. A row is durable before the effect begins, so that a run which was killed leaves word of it.
//! Leaves out who begins effects, and what they are.
//!
//! Unlike the history, it decides something: one that cannot be read stops an effect. Losing the file
//! is to forget what was done, so it is never set aside by itself.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use crate::base::{ActionKey, Digest};
use crate::store::Error;
use crate::store::database::{self, Schema, Trouble, index_error};
use crate::store::reading;

const SCHEMA: Schema = Schema {
    version: 1,
    steps: &[],
    create: "
        CREATE TABLE effects (
            key      BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            addr     TEXT NOT NULL,
            run      TEXT NOT NULL,
            state    TEXT NOT NULL,
            at       INTEGER NOT NULL,
            receipt  TEXT,
            PRIMARY KEY (key, sequence)
        ) STRICT;",
};

/// How an effect stands.
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

    /// Whether an effect may go from this state to that one.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Intended, Self::Done | Self::Failed | Self::Intended)
                | (Self::Failed, Self::Intended)
                | (Self::Done, Self::Settled)
        )
    }
}

/// A row of the ledger: one doing of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRow {
    /// The action key.
    pub key: ActionKey,
    /// Which doing of it, from 1.
    pub sequence: u64,
    /// The address.
    pub addr: String,
    /// The run that began it last.
    pub run: String,
    /// How it stands.
    pub state: EffectState,
    /// When it came to stand so, in nanoseconds since the epoch.
    pub at: i64,
    /// What it left, in the words of the executor.
    pub receipt: Option<String>,
}

/// One doing of an effect that is under way. How it ended is said by what takes this, and so only once; if nobody says
/// it, nobody knows.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "nobody else can say how it ended"]
pub struct Begun {
    key: ActionKey,
    sequence: u64,
}

impl Begun {
    /// Which doing of the effect it is, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// It happened, and left this.
    pub fn done(self, ledger: &Ledger, receipt: &str, at: i64) -> Result<(), Error> {
        ledger.set(self.key, self.sequence, EffectState::Done, Some(receipt), at)
    }

    /// It says itself that it did not happen.
    pub fn failed(self, ledger: &Ledger, at: i64) -> Result<(), Error> {
        ledger.set(self.key, self.sequence, EffectState::Failed, None, at)
    }
}

/// The ledger of a workspace. Methods may be called from any thread.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Mutex<Connection>,
}

const COLUMNS: &str = "key, sequence, addr, run, state, at, receipt";

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
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Opens the ledger at `path` to read it, without making or changing anything. A missing one is empty.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        match reading::open_to_read(path, &SCHEMA) {
            Ok(connection) => Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) }),
            Err(Trouble::Refused(error)) => Err(error),
            Err(Trouble::Newer(_) | Trouble::Broken) => Err(Error::Ledger { path: path.to_owned() }),
        }
    }

    /// The last doing of an effect.
    pub fn last(&self, key: ActionKey) -> Result<Option<EffectRow>, Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        last(&connection, key).map_err(index_error(&self.path))
    }

    /// Writes that an effect begins. The doing is the same as the last where that did not happen, or may not have; else
    /// the next.
    pub fn intend(&self, key: ActionKey, addr: &str, run: &str, at: i64) -> Result<Begun, Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sequence = match last(&transaction, key)? {
                Some(row) if row.state.may_become(EffectState::Intended) => row.sequence,
                Some(row) => row.sequence + 1,
                None => 1,
            };
            transaction.execute(
                "INSERT OR REPLACE INTO effects (key, sequence, addr, run, state, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    key.0.as_bytes().as_slice(),
                    i64::try_from(sequence).unwrap_or(i64::MAX),
                    addr,
                    run,
                    EffectState::Intended.word(),
                    at
                ],
            )?;
            transaction.commit()?;
            Ok(Begun { key, sequence })
        };
        write().map_err(index_error(&self.path))
    }

    /// Puts what was done under new keys, unless something is there.
    pub fn rekey(&self, keys: &[(ActionKey, ActionKey)]) -> Result<(), Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (old, new) in keys {
                transaction
                    .prepare_cached("UPDATE OR IGNORE effects SET key = ?2 WHERE key = ?1")?
                    .execute([old.0.as_bytes().as_slice(), new.0.as_bytes().as_slice()])?;
            }
            transaction.commit()
        };
        write().map_err(index_error(&self.path))
    }

    /// Writes that the run of which what happened was a part ended well.
    pub fn settle(&self, row: &EffectRow, at: i64) -> Result<(), Error> {
        self.set(row.key, row.sequence, EffectState::Settled, None, at)
    }

    /// Writes of all that happened at an address that it is no part of a run which could be taken up: it was taken back.
    pub fn settle_at(&self, addr: &str, at: i64) -> Result<(), Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = (EffectState::Done, EffectState::Settled);
        let written = connection.execute(
            "UPDATE effects SET state = ?3, at = ?4 WHERE addr = ?1 AND state = ?2",
            params![addr, from.word(), to.word(), at],
        );
        written.map(|_| ()).map_err(index_error(&self.path))
    }

    /// Writes how a doing stands now. One that may not go there stays as it is.
    fn set(
        &self,
        key: ActionKey,
        sequence: u64,
        state: EffectState,
        receipt: Option<&str>,
        at: i64,
    ) -> Result<(), Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let from: Vec<&str> =
            EffectState::ALL.iter().filter(|from| from.may_become(state)).map(|from| from.word()).collect();
        let from = serde_json::to_string(&from).unwrap_or_default();
        let written = connection.execute(
            "UPDATE effects SET state = ?3, at = ?4, receipt = coalesce(?5, receipt)
             WHERE key = ?1 AND sequence = ?2 AND state IN (SELECT value FROM json_each(?6))",
            params![
                key.0.as_bytes().as_slice(),
                i64::try_from(sequence).unwrap_or(i64::MAX),
                state.word(),
                at,
                receipt,
                from
            ],
        );
        written.map(|_| ()).map_err(index_error(&self.path))
    }
}

fn last(connection: &Connection, key: ActionKey) -> rusqlite::Result<Option<EffectRow>> {
    let sql = format!("SELECT {COLUMNS} FROM effects WHERE key = ?1 ORDER BY sequence DESC LIMIT 1");
    connection.prepare_cached(&sql)?.query_row([key.0.as_bytes().as_slice()], effect_row).optional()
}

fn effect_row(row: &Row<'_>) -> rusqlite::Result<EffectRow> {
    let word: String = row.get(4)?;
    let state = EffectState::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            4,
            rusqlite::types::Type::Text,
            format!("`{word}` is no state").into(),
        )
    })?;
    Ok(EffectRow {
        key: ActionKey(Digest::from_bytes(row.get(0)?)),
        sequence: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        addr: row.get(2)?,
        run: row.get(3)?,
        state,
        at: row.get(5)?,
        receipt: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{drawn, permitted};

    #[test]
    fn the_picture_in_the_book_is_the_table() {
        let states = [
            ("Intended", EffectState::Intended),
            ("Failed", EffectState::Failed),
            ("Done", EffectState::Done),
            ("Settled", EffectState::Settled),
        ];
        assert_eq!(drawn("One doing of an effect"), permitted(&states, EffectState::may_become));
    }

    fn key() -> ActionKey {
        ActionKey(Digest::of_blob(b"effect"))
    }

    #[test]
    fn a_doing_keeps_its_number_until_it_has_happened() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ledger.sqlite");
        let ledger = Ledger::open(&path).expect("it opens");
        assert_eq!(ledger.last(key()).expect("it reads"), None);
        let begun = ledger.intend(key(), "g/push", "r1", 1).expect("it writes");
        assert_eq!(begun.sequence(), 1);
        begun.failed(&ledger, 2).expect("it writes");
        let begun = ledger.intend(key(), "g/push", "r1", 3).expect("it writes");
        assert_eq!(begun.sequence(), 1);
        // A second handle, as of another process after a crash.
        let ledger = Ledger::open(&path).expect("it opens again");
        let row = ledger.last(key()).expect("it reads").expect("a row");
        assert_eq!((row.sequence, row.state, row.run.as_str()), (1, EffectState::Intended, "r1"));
        begun.done(&ledger, "[]", 4).expect("it writes");
        ledger.set(key(), 1, EffectState::Failed, None, 5).expect("it writes");
        let row = ledger.last(key()).expect("it reads").expect("a row");
        assert_eq!((row.state, row.receipt.as_deref()), (EffectState::Done, Some("[]")), "what happened stays so");
        ledger.settle(&row, 6).expect("it writes");
        let begun = ledger.intend(key(), "g/push", "r2", 7).expect("it writes");
        assert_eq!(begun.sequence(), 2);
        ledger.settle_at("g/push", 8).expect("it writes");
        let state = || ledger.last(key()).expect("it reads").expect("a row").state;
        assert_eq!(state(), EffectState::Intended, "what may have happened is not known to be taken back");
        begun.done(&ledger, "[]", 9).expect("it writes");
        ledger.settle_at("g/other", 10).expect("it writes");
        assert_eq!(state(), EffectState::Done);
        ledger.settle_at("g/push", 11).expect("it writes");
        assert_eq!(state(), EffectState::Settled);
    }
}
