//! The one integration test binary: every area of the product is a module here. Leaves out the
//! tests themselves; `tidy` checks that no file of this folder is missing from the list.
//! The integration tests, in one binary: one module per part of the house.
//! The integration tests, one binary. Leaves out what can be tested beside the code.

mod bundle;
mod diff;
mod exec;
mod forecast;
mod guard;
mod keys;
mod language;
mod store;
#[allow(dead_code, unused_imports, reason = "a shared kit: no one test module uses all of it")]
mod support;
mod tidy;
mod ui;
