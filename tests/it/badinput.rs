//! Input that is wrong in every way that is known, through the program: each is answered with a code,
//! the place where it can be mended and the documented exit status; nothing is left half written, and
//! the next good run works. Leaves out the wording of diagnostics, which the UI tests have.

mod actions;
mod requests;
mod specs;
mod stores;
mod templates;

use crate::support::{Outcome, Workspace};

/// The exit statuses that are checked here.
const ACTION_FAILED: i32 = 1;
const USAGE: i32 = 2;
const SPEC: i32 = 3;
const ENGINE: i32 = 30;
const STORE_FORMAT: i32 = 31;
const TOOL_MISSING: i32 = 32;

/// A spec that is in order, to be run after one that is not.
const GOOD: &str = "graph g { node good { write \"good\\n\"; output good.txt } }\n";

/// Asserts that a run was refused: status, code, place; that neither outputs nor anything unfinished is
/// left; and that a good run works afterwards.
#[track_caller]
fn is_refused(workspace: &Workspace, outcome: Outcome, status: i32, code: &str, place: &str) {
    let outcome = outcome.expect(status).says(&format!("error[{code}]"));
    let outcome = if place.is_empty() { outcome } else { outcome.says(place) };
    assert!(!workspace.has("out"), "outputs appeared\n{}", outcome.describe());
    assert_eq!(workspace.unfinished(), [""; 0], "the store holds what is not finished");
    works_again(workspace);
}

/// Asserts that the next good run works.
#[track_caller]
fn works_again(workspace: &Workspace) {
    workspace.write("partita.kdl", format!("partita edition=1\n{GOOD}"));
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.read("out/g/good/good.txt"), "good\n");
    assert_eq!(workspace.unfinished(), [""; 0]);
    workspace.run(&["store", "verify"]).ok();
}
