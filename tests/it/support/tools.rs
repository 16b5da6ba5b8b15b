//! Tools of the machine that some tests judge the results with. Leaves out installing them, which is
//! `tests/run`'s.

use std::path::PathBuf;

use partita::base::Environment;

/// Whether a missing tool fails a test instead of skipping it: `tests/run` has installed them all.
pub(crate) fn tools_are_required() -> bool {
    Environment::of_process().raw("PARTITA_TEST_TOOLS").is_some_and(|value| value == "1")
}

/// The path of a tool. `None`, with a line that says so, if it is missing where it may be.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let environment = Environment::of_process();
    let path = environment.get(Environment::PATH).cloned().unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(!tools_are_required(), "`{name}` is not on PATH; tests/run installs it");
        eprintln!("skipped: `{name}` is not on PATH");
    }
    found
}

/// The folder of the packages that tests/it/bundle_tools/package.json names. `None`, with a line that says so, if they
/// are missing where they may be.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn node_modules() -> Option<PathBuf> {
    let folder = Environment::of_process().raw("PARTITA_NODE_MODULES").map(PathBuf::from).unwrap_or_default();
    if folder.join("@sigstore/verify").is_dir() && tool("node").is_some() {
        return Some(folder);
    }
    assert!(!tools_are_required(), "`PARTITA_NODE_MODULES` has no packages; tests/run installs them");
    eprintln!("skipped: the packages of package.json are not there");
    None
}
