//! Plans executed with real processes over a store in memory. Leaves out the store on disk, and specs.
#![allow(clippy::unwrap_used, reason = "these are tests, their helpers too")]

mod builtins;
mod caching;
mod healing;
mod inputs;
mod journal;
mod oracle;
mod outputs;
mod parallel;
mod processes;
mod reasons;
mod scheduling;
mod secrets;
mod spending;
mod support;
mod tools;
