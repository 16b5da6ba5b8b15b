//! What tenants have spent, over all runs of a workspace, in the state directory: so that a budget for a day, a week or
//! a month is one budget, however many runs there are in it, one after the other or side by side. Leaves out what
//! anything costs.
//!
//! What an attempt may cost at most is a row before it starts, and what it did cost when it has ended. A run that was
//! killed leaves rows open; nobody can say what they came to, so that they count as what they might have.
//!
//! Losing the file is to forget what was spent, so it is never set aside by itself.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::base::Timestamp;
use crate::store::Error;
use crate::store::database::{self, Schema, Trouble, index_error};

const SCHEMA: Schema = Schema {
    version: 1,
    steps: &[],
    create: "
        CREATE TABLE spent (
            id        INTEGER PRIMARY KEY,
            tenant    TEXT NOT NULL,
            run       TEXT NOT NULL,
            at        INTEGER NOT NULL,
            micro_usd INTEGER NOT NULL,
            open      INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX spent_by_time ON spent (tenant, at);",
};

/// What came of an attempt to set something aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetAside {
    /// It is set aside, in this row.
    Done(i64),
    /// There is not enough.
    Lack {
        /// What is left, in micro-dollars.
        left: u64,
        /// What is set aside by runs that have not said yet what it came to: by run, in micro-dollars.
        open: Vec<(String, u64)>,
    },
}

/// What was spent in a workspace. Methods may be called from any thread, and by any number of processes.
#[derive(Debug)]
pub struct Spending {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Spending {
    /// Opens the file at `path`, making it if it is missing. The folder must exist.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = match database::open_alone(path, &SCHEMA) {
            Ok(connection) => connection,
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Newer(_) | Trouble::Broken) => return Err(Error::Spending { path: path.to_owned() }),
        };
        // What is paid cannot be had back, so the row of it must not be lost.
        connection.pragma_update(None, "synchronous", "FULL").map_err(index_error(path))?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Sets an amount aside for a run, if it and all that a tenant has spent or set aside since a moment are not more
    /// than a limit. Durable when it returns. What is dated later than now counts, too: a clock that was set back must
    /// not make a new budget.
    pub fn set_aside(
        &self,
        (tenant, run): (&str, &str),
        since: Timestamp,
        (amount, limit): (u64, u64),
        at: Timestamp,
    ) -> Result<SetAside, Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (mut sum, mut open) = (0_u64, Vec::new());
            {
                let sql = "SELECT run, open, micro_usd FROM spent WHERE tenant = ?1 AND at >= ?2 ORDER BY run";
                let mut statement = transaction.prepare_cached(sql)?;
                let mut rows = statement.query(params![tenant, since.0])?;
                while let Some(row) = rows.next()? {
                    let (of, is_open): (String, bool) = (row.get(0)?, row.get(1)?);
                    let micro_usd = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
                    sum = sum.saturating_add(micro_usd);
                    if is_open {
                        match open.last_mut() {
                            Some((last, all)) if *last == of => *all = u64::saturating_add(*all, micro_usd),
                            _ => open.push((of, micro_usd)),
                        }
                    }
                }
            }
            let left = limit.saturating_sub(sum);
            if amount > left {
                return Ok(SetAside::Lack { left, open });
            }
            transaction.execute(
                "INSERT INTO spent (tenant, run, at, micro_usd, open) VALUES (?1, ?2, ?3, ?4, 1)",
                params![tenant, run, at.0, i64::try_from(amount).unwrap_or(i64::MAX)],
            )?;
            let id = transaction.last_insert_rowid();
            transaction.commit()?;
            Ok(SetAside::Done(id))
        };
        write().map_err(index_error(&self.path))
    }

    /// Writes what something that was set aside came to.
    pub fn settle(&self, row: i64, micro_usd: u64) -> Result<(), Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let written = connection.execute(
            "UPDATE spent SET micro_usd = ?2, open = 0 WHERE id = ?1",
            params![row, i64::try_from(micro_usd).unwrap_or(i64::MAX)],
        );
        written.map(|_| ()).map_err(index_error(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Spending) {
        let dir = tempfile::tempdir().unwrap();
        let spending = Spending::open(&dir.path().join("spending.sqlite")).unwrap();
        (dir, spending)
    }

    #[test]
    fn what_is_set_aside_is_taken_off_until_it_is_known_what_it_came_to() {
        let (_dir, spending) = open();
        let ask = |tenant: &str, run: &str, since: i64, amount: u64, at: i64| {
            spending.set_aside((tenant, run), Timestamp(since), (amount, 100), Timestamp(at)).unwrap()
        };
        let SetAside::Done(first) = ask("t", "r1", 0, 60, 10) else { panic!("there is enough") };
        let open = vec![("r1".to_owned(), 60)];
        assert_eq!(ask("t", "r2", 0, 60, 11), SetAside::Lack { left: 40, open: open.clone() });
        assert!(matches!(ask("other", "r2", 0, 100, 11), SetAside::Done(_)), "everybody has his own");
        spending.settle(first, 5).unwrap();
        assert!(matches!(ask("t", "r2", 0, 95, 11), SetAside::Done(_)), "to the last");
        assert_eq!(ask("t", "r3", 0, 1, 12), SetAside::Lack { left: 0, open: vec![("r2".to_owned(), 95)] });
        // Another time begins after what was spent first, and then after all of it.
        assert_eq!(ask("t", "r3", 11, 6, 12), SetAside::Lack { left: 5, open: vec![("r2".to_owned(), 95)] });
        assert!(matches!(ask("t", "r3", 12, 100, 13), SetAside::Done(_)));
        // A clock that goes back finds what was spent later.
        assert!(matches!(ask("t", "r4", 0, 1, 1), SetAside::Lack { left: 0, .. }));
    }

    #[test]
    fn any_number_of_processes_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spending.sqlite");
        Spending::open(&path).unwrap();
        let granted: usize = std::thread::scope(|scope| {
            let path = &path;
            let spend = move |run: usize| {
                // As another process does: by a file of its own.
                let spending = Spending::open(path).unwrap();
                let ask = || spending.set_aside(("t", &run.to_string()), Timestamp(0), (7, 100), Timestamp(1));
                (0..10).filter(|_| matches!(ask().unwrap(), SetAside::Done(_))).count()
            };
            let spenders: Vec<_> = (0..4).map(|run| scope.spawn(move || spend(run))).collect();
            spenders.into_iter().map(|spender| spender.join().unwrap()).sum()
        });
        assert_eq!(granted, 14, "98 of 100");
    }

    #[test]
    fn any_number_of_processes_may_be_the_first() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..16 {
            let path = dir.path().join(format!("{round}.sqlite"));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| Spending::open(&path).unwrap());
                }
            });
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spending.sqlite");
        std::fs::write(&path, "no database at all, whatever its name says").unwrap();
        assert!(matches!(Spending::open(&path), Err(Error::Spending { .. })));
    }
}
