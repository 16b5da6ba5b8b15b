//! The command line: arguments to operations, replies to text and an exit status. Leaves out
//! everything an operation does.

mod args;
mod commands;
mod entry;
mod output;
mod progress;
mod review;
mod running;

pub use entry::main;
