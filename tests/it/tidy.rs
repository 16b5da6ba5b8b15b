//! Checks the tree of files itself: which module may use which, where third-party crates live, sizes,
//! heads, facades, unlisted files, root entries and forbidden text. Leaves out behaviour.
//!
//! Each check is a function from a [`Snapshot`] to a list of faults, so that `tests` can show on
//! small invented trees that it catches what it is for. The tables below are the rules; changing one
//! is a decision about the architecture and is described in ARCHITECTURE.md.

mod code;
mod rules;
mod snapshot;

use code::Code;
use snapshot::Snapshot;

/// Which module of `src/` may name which, lowest first. A module may list only modules above it, so
/// the table is acyclic by construction; a permission that is not used fails, so it stays exact.
const LAYERS: &[(&str, &[&str])] = &[
    // Band 0: facts, what we say about specs, what happened.
    ("base", &[]),
    ("diag", &["base"]),
    ("event", &["base"]),
    // Band 1: the core. Knows nothing of agents, queues or HTTP.
    ("lang", &["base", "diag"]),
    ("plan", &["base", "lang"]),
    ("store", &["base", "event"]),
    ("exec", &["base", "event", "plan", "store"]),
    ("bundle", &["base", "plan", "store"]),
    // Band 3: one function per thing a user can ask for.
    ("ops", &["base", "diag", "event", "lang", "plan", "store", "exec", "bundle"]),
    // Band 4: fronts translate, and do nothing else.
    ("lsp", &["base", "diag", "ops"]),
    ("cli", &["base", "diag", "event", "ops", "lsp"]),
];

/// Permissions of [`LAYERS`] that the design gives and no code uses yet. An entry that has come
/// into use fails here until it is removed; the list is meant to become empty.
const AWAITED: &[(&str, &str)] = &[];

/// Where each third-party crate may be named. Every dependency of Cargo.toml has a row, and every
/// row is a dependency. `*` stands for every module.
const HOMES: &[(&str, &[&str])] = &[
    ("aho_corasick", &["exec"]),
    ("blake3", &["base", "bundle", "exec"]),
    ("clap", &["cli"]),
    ("crc32fast", &["bundle"]),
    ("crossbeam_channel", &["lsp"]),
    ("data_encoding", &["base", "bundle", "exec", "ops"]),
    ("ed25519_dalek", &["bundle"]),
    ("flate2", &["exec"]),
    ("gen_lsp_types", &["lsp"]),
    ("getrandom", &["base", "bundle", "exec"]),
    ("globset", &["lang", "plan", "store", "exec", "ops"]),
    ("indicatif", &["cli"]),
    ("jiff", &["base", "bundle", "cli"]),
    ("jsonschema", &["base"]),
    ("kdl", &["lang"]),
    ("landlock", &["exec"]),
    ("libc", &["exec"]),
    ("lsp_server", &["lsp"]),
    ("miette", &["diag", "cli"]),
    ("mimalloc", &["main"]),
    ("minijinja", &["lang", "exec", "ops"]),
    ("nix", &["exec"]),
    ("object", &["exec"]),
    ("p256", &["bundle"]),
    ("petgraph", &["plan", "lang"]),
    ("pkcs8", &["bundle"]),
    ("postcard", &["lang", "plan", "ops"]),
    ("quick_xml", &["exec", "ops"]),
    ("regex", &["lang", "exec"]),
    ("rusqlite", &["store"]),
    ("rustix", &["store", "exec", "bundle", "ops", "lsp", "cli"]),
    ("schemars", &["event"]),
    ("seccompiler", &["exec"]),
    ("semver", &["lang"]),
    ("serde", &["*"]),
    ("serde_json", &["*"]),
    ("serde_json_canonicalizer", &["bundle"]),
    ("sha1", &["bundle"]),
    ("sha2", &["bundle"]),
    ("similar", &["ops"]),
    ("strsim", &["diag"]),
    ("tempfile", &["event", "store", "exec", "bundle", "ops"]),
    ("thiserror", &["*"]),
    ("tokio", &["exec", "cli"]),
    ("tokio_util", &["exec", "cli"]),
    ("toml", &["bundle"]),
    ("tracing", &["*"]),
    ("tracing_subscriber", &["cli"]),
    ("unicode_normalization", &["base", "lang", "bundle"]),
    ("ureq", &["exec"]),
    ("uuid", &["bundle", "ops"]),
    ("walkdir", &["store", "exec", "bundle", "ops"]),
    ("tar", &["exec", "ops"]),
    ("zip", &["bundle", "exec"]),
    ("zstd", &["bundle"]),
];

/// What may stand at the root, besides what `.gitignore` names.
const ROOT: &[&str] = &[
    // The package.
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "specs",
    "stdlib",
    "examples",
    "cache",
    "tests",
    "book",
    // Documents.
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    // Settings of tools.
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
    ".cargo",
    ".ci",
    ".config",
    ".git",
    ".gitattributes",
    ".gitignore",
];

/// The most lines a Rust file may have.
const LINES_MAX: usize = 800;

/// The most lines ARCHITECTURE.md may have: a map that needs more is no map.
const ARCHITECTURE_LINES_MAX: usize = 250;

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn layers_are_acyclic_and_exact() {
    report(&rules::layers(&Snapshot::of_repository(), LAYERS, AWAITED));
}

#[test]
fn third_party_crates_stay_at_home() {
    report(&rules::homes(&Snapshot::of_repository(), HOMES));
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    let tree = Snapshot::of_repository();
    report(&rules::sizes(&tree, LINES_MAX, ARCHITECTURE_LINES_MAX));
    report(&rules::heads(&tree));
}

#[test]
fn nothing_is_imported_by_glob() {
    report(&rules::globs(&Snapshot::of_repository()));
}

#[test]
fn every_mod_rs_is_a_facade() {
    report(&rules::facades(&Snapshot::of_repository()));
}

#[test]
fn every_rust_file_is_part_of_the_crate() {
    report(&rules::unlisted(&Snapshot::of_repository()));
}

#[test]
fn the_root_holds_only_what_it_should() {
    report(&rules::root(&Snapshot::of_repository(), ROOT));
}

#[test]
fn no_marks_of_unfinished_work() {
    report(&rules::marks(&Snapshot::of_repository()));
}

#[test]
fn no_trace_of_one_machine() {
    report(&rules::traces(&Snapshot::of_repository()));
}

mod tests;
