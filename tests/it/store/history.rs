//! The history of a workspace: what it keeps, and that nothing about it is fatal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use partita::base::{Clock, Digest};
use partita::event::{Counts, Event, InputChange, Outcome, Reason};
use partita::store::{Brief, History, LatestRow, RunEnd, RunStatus};

use super::{Bench, key, names};

fn path(bench: &Bench) -> PathBuf {
    bench.dir.path().join("history.sqlite")
}

fn open(bench: &Bench) -> History {
    let options = bench.options(partita::store::Durability::Batch);
    History::open(&path(bench), options.clock, options.notify).unwrap()
}

fn row(addr: &str, number: u8) -> LatestRow {
    LatestRow {
        addr: addr.into(),
        def: Digest::of_blob(&[number]),
        key: key(number),
        manifest: format!("[{number}]"),
        levels: vec![number; usize::from(number % 3)],
        outcome_ok: number.is_multiple_of(2),
        outcome: if number.is_multiple_of(2) { Outcome::Ran } else { Outcome::Failed },
        reason: Reason::InputChanged { path: "a".into(), how: InputChange::Edited },
        at: partita::base::Timestamp(i64::from(number)),
        run: format!("run{number}"),
        duration_ms: u64::from(number) * 10,
    }
}

#[test]
fn tools_that_many_share_are_kept_once() {
    let bench = Bench::new();
    let history = open(&bench);
    let tools = "d".repeat(5_000);
    let rows = || {
        (0..200).map(|number| {
            let manifest =
                format!("[{{\"n\":\"args\",\"t\":11,\"v\":{number}}},{{\"n\":\"tools\",\"t\":15,\"v\":\"{tools}\"}}]");
            LatestRow { manifest, ..row(&format!("a{number}"), number) }
        })
    };
    history.record(rows().collect()).unwrap();
    history.flush().unwrap();
    drop(history);
    let history = open(&bench);
    for row in rows() {
        assert_eq!(history.latest(&row.addr).unwrap(), Some(row));
    }
    let mut manifests: Vec<String> = history.keys().unwrap().into_iter().map(|(_, manifest)| manifest).collect();
    let mut expected: Vec<String> = rows().map(|row| row.manifest).collect();
    manifests.sort();
    expected.sort();
    assert_eq!(manifests, expected);
    let new = rows().next().unwrap().manifest.replace("\"v\":0", "\"v\":1000");
    history.rekey(&[(key(0), key(201), new.clone())]).unwrap();
    assert_eq!(history.latest("a0").unwrap().unwrap().manifest, new);
    drop(history);
    let size = std::fs::metadata(path(&bench)).unwrap().len();
    assert!(size < 200 * 1024, "{size} bytes for 200 rows");
}

#[test]
fn a_history_of_the_first_version_is_taken_over() {
    let bench = Bench::new();
    let old = rusqlite::Connection::open(path(&bench)).unwrap();
    old.execute_batch(
        "CREATE TABLE latest (addr TEXT PRIMARY KEY, def BLOB NOT NULL, key BLOB NOT NULL, outcome_ok INTEGER NOT NULL,
            run TEXT NOT NULL, duration_ms INTEGER NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
            seq INTEGER NOT NULL, manifest TEXT NOT NULL) STRICT;
         CREATE INDEX latest_def ON latest (def, seq);
         CREATE INDEX latest_brief ON latest (addr, key, outcome_ok, duration_ms);
         CREATE TABLE runs (id TEXT PRIMARY KEY, started INTEGER NOT NULL, target TEXT NOT NULL, status TEXT NOT NULL,
            counts TEXT NOT NULL, duration_ms INTEGER) STRICT;
         CREATE INDEX runs_started ON runs (started);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    let one = LatestRow { levels: Vec::new(), ..row("a", 2) };
    old.execute(
        "INSERT INTO latest VALUES (?1, ?2, ?3, 1, 'run2', 20, 2, '\"ran\"', '{\"code\":\"input-changed\",\"path\":\"a\"}', 1, '[2]')",
        rusqlite::params![one.addr, one.def.as_bytes().as_slice(), one.key.0.as_bytes().as_slice()],
    )
    .unwrap();
    drop(old);
    let history = open(&bench);
    assert_eq!(history.latest("a").unwrap(), Some(one));
    history.record(vec![row("b", 4)]).unwrap();
    history.flush().unwrap();
    assert_eq!(history.latest("b").unwrap(), Some(row("b", 4)));
    assert_eq!(bench.told(), [], "nothing was set aside");
}

#[test]
fn the_latest_row_of_an_address_and_of_a_definition() {
    let bench = Bench::new();
    let history = open(&bench);
    assert_eq!(history.latest("a").unwrap(), None);
    history.record(vec![row("a", 1), row("b", 2)]).unwrap();
    for flushed in [false, true] {
        assert_eq!(history.latest("a").unwrap(), Some(row("a", 1)), "{flushed}");
        assert_eq!(history.by_def(row("b", 2).def).unwrap(), Some(row("b", 2)));
        assert_eq!(history.duration_ms("b").unwrap(), Some(20));
        assert_eq!(history.duration_ms("c").unwrap(), None);
        assert_eq!(history.brief().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
        history.flush().unwrap();
    }
    // The same definition elsewhere, later; and the address with another definition.
    history.record(vec![row("c", 2), row("a", 3), row("a", 4)]).unwrap();
    drop(history);
    let history = open(&bench);
    assert_eq!(history.by_def(row("b", 2).def).unwrap(), Some(row("c", 2)));
    assert_eq!(history.latest("a").unwrap(), Some(row("a", 4)));
    assert_eq!(history.by_def(row("a", 1).def).unwrap(), None, "the address moved on");
    let brief = Brief { key: key(4), outcome_ok: true, duration_ms: 40 };
    assert_eq!(history.brief().unwrap()["a"], brief);
    assert_eq!(bench.told(), []);
}

#[test]
fn a_kill_loses_little() {
    let bench = Bench::new();
    let history = open(&bench);
    history.record((0..255).map(|n| row(&format!("a{n}"), n)).collect()).unwrap();
    // As many as a batch holds are written at once.
    history.record(vec![row("last", 255)]).unwrap();
    history.record(vec![row("young", 1)]).unwrap();
    bench.clock.advance(Duration::from_secs(2));
    history.record(vec![row("younger", 2)]).unwrap();
    history.record(vec![row("lost", 3)]).unwrap();
    std::mem::forget(history);
    let history = open(&bench);
    for addr in ["a0", "a254", "last", "young", "younger"] {
        assert!(history.latest(addr).unwrap().is_some(), "{addr}");
    }
    assert_eq!(history.latest("lost").unwrap(), None);
}

#[test]
fn runs_are_listed_newest_first() {
    let bench = Bench::new();
    let history = open(&bench);
    let counts = Counts { ran: 2, failed: 1, ..Counts::default() };
    let first = history.start_run("r1", "app").unwrap();
    history.record(vec![row("a", 1)]).unwrap();
    history.finish_run(first, RunEnd::Failed, counts, 1234).unwrap();
    bench.clock.advance(Duration::from_secs(1));
    let _open = history.start_run("r2", "app/node").unwrap();
    let runs = open(&bench).runs().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!((runs[0].id.as_str(), runs[0].target.as_str()), ("r2", "app/node"));
    assert_eq!((runs[0].status, runs[0].duration_ms, runs[0].counts), (RunStatus::Started, None, Counts::default()));
    assert_eq!((runs[1].status, runs[1].duration_ms, runs[1].counts), (RunStatus::Failed, Some(1234), counts));
    assert_eq!(runs[0].started, bench.clock.now());
    assert!(open(&bench).latest("a").unwrap().is_some(), "the end of a run writes what waits");
}

#[test]
fn what_was_put_in_last_is_the_latest_of_its_definition_whatever_it_replaced() {
    let bench = Bench::new();
    // Each in a batch of its own: the last row, the first and one in the middle are replaced.
    for addr in ["a", "b", "c", "c", "a", "b", "d", "a", "c"] {
        let history = open(&bench);
        history.record(vec![row(addr, 2)]).unwrap();
        history.flush().unwrap();
        assert_eq!(history.by_def(row("", 2).def).unwrap(), Some(row(addr, 2)));
    }
}

#[test]
fn a_long_log_is_cut_at_the_end_of_a_run_and_waits_for_no_reader() {
    let bench = Bench::new();
    let log = || std::fs::metadata(bench.dir.path().join("history.sqlite-wal")).unwrap().len();
    let history = open(&bench);
    let rows = |text: &str| -> Vec<LatestRow> {
        (0..400).map(|n| LatestRow { manifest: text.repeat(4_000), ..row(&format!("a{n}"), 2) }).collect()
    };
    let run = history.start_run("r1", "app").unwrap();
    history.record(rows("1")).unwrap();
    history.flush().unwrap();
    assert!(log() > 1024 * 1024, "{}", log());
    history.finish_run(run, RunEnd::Succeeded, Counts::default(), 1).unwrap();
    assert_eq!(log(), 0);
    // A reader in the middle of its reading keeps it.
    let run = history.start_run("r2", "app").unwrap();
    history.record(rows("2")).unwrap();
    history.flush().unwrap();
    let reader = rusqlite::Connection::open(path(&bench)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM latest").unwrap();
    // It does not wait for the end of the reading: the reader ends after it.
    history.finish_run(run, RunEnd::Succeeded, Counts::default(), 1).unwrap();
    assert!(log() > 1024 * 1024, "{}", log());
    drop((reader, history));
    assert_eq!(open(&bench).latest("a399").unwrap().unwrap().manifest, "2".repeat(4_000));
}

#[test]
fn a_damaged_or_newer_file_is_set_aside() {
    let bench = Bench::new();
    let newer = |bench: &Bench| {
        let connection = rusqlite::Connection::open(path(bench)).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    };
    let garbage = |bench: &Bench| {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(bench.dir.path().join(format!("history.sqlite{suffix}")));
        }
        std::fs::write(path(bench), [0x5a; 5000]).unwrap();
    };
    for (word, harm) in [("newer", &newer as &dyn Fn(&Bench)), ("damaged", &garbage)] {
        let history = open(&bench);
        history.record(vec![row("a", 1)]).unwrap();
        drop(history);
        harm(&bench);
        bench.clock.advance(Duration::from_secs(1));
        let history = open(&bench);
        assert!(matches!(&bench.told()[..], [Event::Notice { text }] if text.contains(word)), "{word}");
        assert_eq!(history.latest("a").unwrap(), None);
        history.record(vec![row("a", 2)]).unwrap();
        drop(history);
        assert_eq!(open(&bench).latest("a").unwrap(), Some(row("a", 2)));
    }
    let aside = names(bench.dir.path()).into_iter().filter(|name| name.contains(".aside-") && !name.ends_with("-wal"));
    assert!(aside.count() >= 2);
}

#[test]
fn damage_found_late_does_not_fail_the_run() {
    let bench = Bench::new();
    let history = open(&bench);
    history.record((0..200).map(|n| row(&format!("addr{n}"), n)).collect()).unwrap();
    history.flush().unwrap();
    drop(history);
    {
        let connection = rusqlite::Connection::open(path(&bench)).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }
    let mut bytes = std::fs::read(path(&bench)).unwrap();
    // All but the first page, which alone is looked at when opening.
    bytes[4096..].fill(0x11);
    std::fs::write(path(&bench), bytes).unwrap();
    let history = open(&bench);
    assert_eq!(history.latest("addr7").unwrap(), None);
    assert!(matches!(&bench.told()[..], [Event::Notice { text }] if text.contains("damaged")));
    history.record(vec![row("addr7", 7)]).unwrap();
    history.flush().unwrap();
    assert_eq!(history.latest("addr7").unwrap(), Some(row("addr7", 7)));
    drop(history);
    assert_eq!(open(&bench).latest("addr7").unwrap(), Some(row("addr7", 7)));
}

#[test]
fn histories_opened_at_once_share_the_file() {
    let bench = Bench::new();
    let bench = Arc::new(bench);
    std::thread::scope(|scope| {
        for worker in 0..4_u8 {
            let bench = Arc::clone(&bench);
            scope.spawn(move || {
                let history = open(&bench);
                let run = history.start_run(&format!("r{worker}"), "t").unwrap();
                history.record((0..100).map(|n| row(&format!("{worker}/{n}"), n)).collect()).unwrap();
                history.finish_run(run, RunEnd::Succeeded, Counts::default(), 1).unwrap();
            });
        }
    });
    let history = open(&bench);
    assert_eq!(history.runs().unwrap().len(), 4);
    assert_eq!(history.brief().unwrap().len(), 400);
    assert_eq!(bench.told(), []);
}
