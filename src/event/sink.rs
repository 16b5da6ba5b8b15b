//! The envelope of events and the sinks that are of use everywhere. Leaves out journals and
//! terminals, which are sinks too.

use std::sync::{Arc, Mutex};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
use crate::event::Event;

/// An event with its place in its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// The version of the written form.
    pub v: u32,
    /// From 1, per run; 0 for what is told meanwhile and stands in no journal: what the store found, the developer's log.
    pub seq: u64,
    /// When, in nanoseconds since the epoch.
    pub at: i64,
    /// The run.
    pub run: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Envelope {
    /// The version of the written form.
    pub const VERSION: u32 = 1;

    /// The JSON Schema (2020-12) of one event as written: of a line of a journal and of `--progress json`.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).into()
    }

    /// When.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp(self.at)
    }
}

/// Receives events, in order. May drop frames only if it draws for people.
pub trait Sink: Send + Sync {
    /// One event.
    fn event(&self, envelope: &Envelope);
}

/// Drops everything.
#[derive(Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn event(&self, _envelope: &Envelope) {}
}

/// Keeps everything, for tests.
#[derive(Debug, Default)]
pub struct MemorySink {
    events: Mutex<Vec<Envelope>>,
}

impl MemorySink {
    /// What was received so far.
    pub fn events(&self) -> Vec<Envelope> {
        self.events.lock().expect("no holder of the sink's lock panics").clone()
    }
}

impl Sink for MemorySink {
    fn event(&self, envelope: &Envelope) {
        self.events.lock().expect("no holder of the sink's lock panics").push(envelope.clone());
    }
}

/// Hands every event to several sinks.
#[derive(Clone, Default)]
pub struct Tee {
    sinks: Vec<Arc<dyn Sink>>,
}

impl Tee {
    /// A tee of these sinks.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self { sinks }
    }
}

impl Sink for Tee {
    fn event(&self, envelope: &Envelope) {
        self.sinks.iter().for_each(|sink| sink.event(envelope));
    }
}
