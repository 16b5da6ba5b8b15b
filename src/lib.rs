//! Partita compiles KDL specs of orchestration into a content-addressed plan and runs only the
//! actions whose results are not already known.
//!
//! ```text
//! spec --lang--> program --plan--> plan --exec--> run --> outputs --bundle--> bundle
//! ```
//!
//! Modules are listed in reading order; each uses only those above it and in its row of the import
//! table that `tests/it/tidy.rs` enforces. `lang` and `plan` are pure. ARCHITECTURE.md is the map.

pub mod base;
pub mod bundle;
pub mod cli;
pub mod diag;
pub mod event;
pub mod exec;
pub mod lang;
pub mod lsp;
pub mod ops;
pub mod plan;
pub mod store;
