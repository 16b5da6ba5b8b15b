//! The command line: arguments to operations, replies to text and an exit status. Leaves out
//! everything an operation does.

mod args;
mod audit;
mod bundle_args;
mod bundles;
mod commands;
mod entry;
mod escapes;
mod keys;
mod output;
mod packages;
mod progress;
mod review;
mod running;
mod shell;
mod specs;
mod transport;
mod upkeep;
mod view;

pub use entry::main;
