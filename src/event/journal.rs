//! The journal of a run: its events as lines of JSON in `<state>/runs/<run>/journal.ndjson`. Leaves
//! out what the lines are used for.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::{Clock, ErrorKind};
use crate::event::{Envelope, Event, Sink};

/// How long what was written may stay in memory once an action has finished.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Bytes that one line may have when read.
const LINE_BYTES: usize = 16 << 20;

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A line other than a torn last one is no event.
    #[error("line {line} of journal `{}` is not an event: {why}", path.display())]
    Malformed {
        /// The journal.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

impl JournalError {
    /// The kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Engine
    }
}

/// Where the journal of a run lies below the state directory.
pub fn journal_path(state: &Path, run: &str) -> PathBuf {
    state.join("runs").join(run).join("journal.ndjson")
}

/// Appends events to the journal of a run. It is never synced to disk: what a crash takes is told
/// by its absence, as results are in the store.
pub struct JournalSink {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    out: BufWriter<File>,
    flushed: Duration,
    failed: Option<std::io::Error>,
}

impl JournalSink {
    /// Begins the journal of a run; its directory is made if needed.
    pub fn create(state: &Path, run: &str, clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let path = journal_path(state, run);
        let io = |what| {
            let path = path.clone();
            move |source| JournalError::Io { what, path, source }
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(io("make the directory of"))?;
        }
        let file = File::options().create(true).append(true).open(&path).map_err(io("open"))?;
        let state = State { out: BufWriter::with_capacity(64 * 1024, file), flushed: clock.elapsed(), failed: None };
        Ok(Self { path, clock, state: Mutex::new(state) })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes out what is still in memory. Tells the first failure of any write: sinks cannot.
    pub fn finish(&self) -> Result<(), JournalError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = state.out.flush();
        match state.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(source) => Err(JournalError::Io { what: "write", path: self.path.clone(), source }),
        }
    }
}

impl Sink for JournalSink {
    fn event(&self, envelope: &Envelope) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut state.out, envelope)
            .map_err(std::io::Error::from)
            .and_then(|()| state.out.write_all(b"\n"));
        let now = self.clock.elapsed();
        let due = match envelope.event {
            Event::ActionFinished { .. } => now.saturating_sub(state.flushed) >= FLUSH_EVERY,
            Event::RunStarted { .. } | Event::RunFinished { .. } => true,
            _ => false,
        };
        let written = written.and_then(|()| {
            if due {
                state.flushed = now;
                state.out.flush()?;
            }
            Ok(())
        });
        state.failed = written.err();
    }
}

/// Reads a journal. A last line that is torn, as a crash leaves it, is passed over.
pub fn read_journal(path: &Path) -> Result<Vec<Envelope>, JournalError> {
    let io = |what| move |source| JournalError::Io { what, path: path.to_path_buf(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io("open"))?);
    let mut events = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let count = read_line(&mut reader, &mut line).map_err(io("read"))?;
        if count == 0 || line.last() != Some(&b'\n') {
            break;
        }
        let envelope = serde_json::from_slice(&line).map_err(|error| JournalError::Malformed {
            path: path.to_path_buf(),
            line: number,
            why: error.to_string(),
        })?;
        events.push(envelope);
    }
    Ok(events)
}

fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let limit = LINE_BYTES as u64;
    let count = std::io::Read::take(reader, limit).read_until(b'\n', line)?;
    if count == LINE_BYTES && line.last() != Some(&b'\n') {
        return Err(std::io::Error::new(IoKind::InvalidData, format!("a line is longer than {LINE_BYTES} bytes")));
    }
    Ok(count)
}
