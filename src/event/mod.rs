//! What happened, as data: one closed enum, an envelope and sinks. Leaves out who listens.

mod check;
mod journal;
mod kind;
mod sink;

pub use check::{Cause, Check, Difference, Place, Verdict};
pub use journal::{JournalError, JournalSink, journal_path, read_journal};
pub use kind::{Counts, Event, InputChange, Outcome, Reason, Severity, Spent};
pub use sink::{Envelope, MemorySink, NullSink, Sink, Tee};
