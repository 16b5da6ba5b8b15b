//! The command line: arguments to operations, replies to text and an exit status. Leaves out
//! everything an operation does.

mod args;
mod commands;
mod delivery;
mod entry;
mod output;
mod progress;
mod review;
mod running;
mod upkeep;

pub use entry::main;
