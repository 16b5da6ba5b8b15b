//! Bundles from outside: their bytes, their verification, and other people's tools on both. Leaves out
//! how results come to be.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests; clippy only knows functions marked so")]

mod agree;
mod archives;
mod bytes;
mod chain;
mod memory;
mod policies;
mod profile;
mod support;
mod tools;
mod trust;
