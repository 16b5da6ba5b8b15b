//! What the tests share: a workspace in a temporary folder, the built program run in a known
//! environment, scrubbing of what differs from run to run, golden files, and tools of the machine.

mod golden;
mod outcome;
mod scrub;
mod tools;
mod workspace;

mod tests;

pub(crate) use golden::{golden, repository};
pub(crate) use outcome::Outcome;
pub(crate) use scrub::Scrub;
pub(crate) use tools::{tool, tools_are_required};
pub(crate) use workspace::{Invocation, Workspace};
