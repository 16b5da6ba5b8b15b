//! What the tests share: a workspace in a temporary folder, the built program run in a known
//! environment, scrubbing of what differs from run to run, golden files, and tools of the machine.

mod effort;
mod gate;
mod golden;
mod outcome;
mod scrub;
mod tools;
mod transcript;
mod user;
mod workspace;

mod tests;

pub(crate) use effort::processor_time;
pub(crate) use gate::Gate;
pub(crate) use golden::{golden, repository};
pub(crate) use outcome::Outcome;
pub(crate) use scrub::Scrub;
pub(crate) use tools::{node_modules, tool, tools_are_required};
pub(crate) use transcript::{Block, Step, blocks_of, matches, steps_of};
pub(crate) use user::{NOBODY, give_to_nobody, may_change_user, program_for_everyone};
pub(crate) use workspace::{Invocation, Workspace};
