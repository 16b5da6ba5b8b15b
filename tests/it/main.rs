//! The one integration test binary: every area of the product is a module here. Leaves out the
//! tests themselves; `tidy` checks that no file of this folder is missing from the list.

#![allow(
    clippy::format_collect,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::type_complexity,
    reason = "clearer in tests, where speed and odd names do not matter"
)]

mod acceptance;
mod approve;
mod badinput;
mod behind;
mod book;
mod bundle;
mod cli;
mod determinism;
mod diff;
mod doings;
mod effects;
mod examples;
mod exec;
mod faults;
mod fix;
mod fmt;
mod forecast;
mod fuzz;
mod guard;
mod isolation;
mod keys;
mod language;
mod lsp;
mod memo;
mod mistakes;
mod mutations;
mod packages;
mod reading;
mod reference;
mod rekey;
mod repro;
mod schemas;
mod services;
mod specs;
mod stdlib;
mod store;
#[allow(dead_code, unused_imports, reason = "a shared kit: no one test module uses all of it")]
mod support;
mod testing;
mod tidy;
mod ui;
mod why;
mod writers;
