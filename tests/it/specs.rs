//! The workspace of this repository: its specs check, and their plan is a golden file. Leaves out
//! running them, which takes the whole toolchain.

use crate::support::{Workspace, golden, repository};

/// Runs the program on the specs of the repository, with store and state elsewhere.
fn on_the_repository(workspace: &Workspace, args: &[&str]) -> crate::support::Outcome {
    workspace.partita(args).folder(&repository("")).run()
}

#[test]
fn the_repositorys_own_specs_check_without_a_word() {
    let outcome = on_the_repository(&Workspace::new(), &["-C", "specs", "check"]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
}

#[test]
fn the_plan_of_the_repositorys_own_specs_is_golden() {
    let workspace = Workspace::new();
    let plan = on_the_repository(&workspace, &["-C", "specs", "plan", "self", "--format", "json"]).ok();
    golden("golden/plan/self.jsonl", &plan.stdout);
    let elsewhere = Workspace::copy_of("specs");
    let same = elsewhere.partita(&["-C", "specs", "plan", "self", "--format", "json"]);
    let above = elsewhere.around().join("specs");
    std::os::unix::fs::symlink(elsewhere.root(), above).expect("a link can be made");
    assert_eq!(same.folder(elsewhere.around()).run().ok().stdout, plan.stdout, "no path is in it");
}

#[test]
fn every_bundle_of_the_specs_resolves() {
    // Making it would take hours; what is asked for here is everything that comes before running.
    let outcome = on_the_repository(&Workspace::new(), &["-C", "specs", "bundle", "partita", "-o", "nowhere"]);
    outcome.expect(7).says("error[not-cached]");
    assert!(!repository("nowhere").exists(), "nothing was written");
}

#[test]
fn formatting_finds_nothing_to_change_in_specs_and_examples() {
    for folder in ["specs", "examples", "stdlib"] {
        on_the_repository(&Workspace::new(), &["fmt", "--check", folder]).ok();
    }
}
