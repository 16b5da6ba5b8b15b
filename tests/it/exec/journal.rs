//! The journal of a run: written while it goes, read back whole or torn.

use std::sync::Arc;
use std::time::Duration;

use partita::base::ManualClock;
use partita::event::{
    Counts, Envelope, Event, JournalError, JournalSink, Outcome, Reason, Sink, journal_path, read_journal,
};

use super::support::{Draft, World, plan};

fn envelope(seq: u64, event: Event) -> Envelope {
    Envelope { v: Envelope::VERSION, seq, at: 1, run: "r".into(), event }
}

fn finished(seq: u64) -> Envelope {
    let event = Event::ActionFinished {
        addr: format!("g/{seq}"),
        outcome: Outcome::Ran,
        reason: Reason::DepOutputChanged { addr: "g/a".into(), path: "x".into() },
        key: None,
        duration_ms: 3,
        usual_ms: None,
        failure: None,
        logs: None,
        spent: None,
    };
    envelope(seq, event)
}

#[test]
fn reads_what_was_written_and_tolerates_a_torn_end() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let journal = JournalSink::create(dir.path(), "r", clock.clone()).unwrap();
    let path = journal.path().to_path_buf();
    assert_eq!(path, journal_path(dir.path(), "r"));
    journal.event(&finished(1));
    assert_eq!(read_journal(&path).unwrap(), [], "it is still in memory");
    clock.advance(Duration::from_millis(50));
    journal.event(&finished(2));
    assert_eq!(read_journal(&path).unwrap(), [finished(1), finished(2)]);
    journal.event(&envelope(3, Event::RunFinished { counts: Counts::default(), duration_ms: 1 }));
    journal.finish().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for torn in 1..40 {
        std::fs::write(&path, &whole[..whole.len() - torn]).unwrap();
        assert_eq!(read_journal(&path).unwrap(), [finished(1), finished(2)], "torn by {torn}");
    }
    std::fs::write(&path, b"nonsense\n").unwrap();
    assert!(matches!(read_journal(&path), Err(JournalError::Malformed { line: 1, .. })));
}

#[test]
fn the_journal_of_a_run_holds_what_was_told() {
    let mut world = World::new();
    let clock = Arc::new(ManualClock::default());
    let journal = Arc::new(JournalSink::create(&world.dir.path().join("state"), "run1", clock).unwrap());
    world.extra_sink = Some(journal.clone());
    world.run(&plan([Draft::sh("g/a", "echo x > o").output("o"), Draft::sh("g/b", "printf '\\377' >&2; exit 1")]));
    let read = read_journal(journal.path()).unwrap();
    assert_eq!(read, world.sink.events(), "it is flushed when the run ends");
    assert!(read.len() >= 6);
}
