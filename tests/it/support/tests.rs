//! The support does what the tests rely on. Leaves out the program.

use std::fs;
use std::path::Path;

use crate::support::golden::compare;
use crate::support::{Outcome, Scrub, Workspace, repository, tool};

fn outcome(stdout: &str, stderr: &str) -> Outcome {
    Outcome {
        command: "x".to_owned(),
        status: 0,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        stdout_bytes: stdout.into(),
    }
}

#[test]
fn a_workspace_is_written_read_and_listed() {
    let workspace = Workspace::new().file("a/b.txt", "one\n").script("c.sh", "#!/bin/sh\n");
    workspace.append("a/b.txt", "two\n");
    assert_eq!(workspace.read("a/b.txt"), "one\ntwo\n");
    assert_eq!(workspace.list("."), ["a/b.txt", "c.sh"]);
    workspace.remove("a");
    assert!(!workspace.has("a") && workspace.has("c.sh"));
    let with_spec = Workspace::with_spec("graph g {}\n");
    assert_eq!(with_spec.read("partita.kdl"), "partita edition=1\ngraph g {}\n");
}

#[test]
fn a_copy_holds_the_files_of_the_folder() {
    let copy = Workspace::copy_of("examples/hello");
    let original = fs::read_to_string(repository("examples/hello/partita.kdl")).expect("the example exists");
    assert_eq!(copy.read("partita.kdl"), original);
}

#[test]
fn programs_see_an_environment_of_their_own() {
    let workspace = Workspace::new();
    let env = workspace.command(Path::new("/usr/bin/env"), &[]).env("A", "1").env("B", "2").without("B").run().ok();
    let mut names: Vec<&str> = env.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "HOME", "PATH"]);
    let read = workspace.command(Path::new("/bin/cat"), &[]).stdin(b"in").run().ok();
    assert_eq!(read.stdout, "in");
    assert_eq!(workspace.command(Path::new("/bin/sh"), &["-c", "exit 7"]).run().expect(7).stdout, "");
    assert_eq!(workspace.command(Path::new("/bin/sh"), &["-c", "kill -9 $$"]).run().status, 137);
}

#[test]
fn the_built_program_starts_in_the_workspace() {
    let workspace = Workspace::new();
    let outcome = workspace.partita(&["--version"]).run().ok();
    assert!(outcome.command.ends_with("partita --version"), "{}", outcome.command);
    assert!(workspace.list(".").is_empty(), "asking for the version writes nothing");
}

#[test]
fn counts_come_from_the_last_summary() {
    let text = "a\n9 ran, 0 cached, 0 cut off, 0 failed, 0 skipped in 1 s\n1 ran, 2 cached, 3 cut off, 4 failed, 5 skipped in 0 ms\n";
    assert_eq!(outcome(text, "").counts(), [1, 2, 3, 4, 5]);
    assert_eq!(outcome("", text).counts(), [1, 2, 3, 4, 5]);
    assert_eq!(outcome("{\"a\":1}\n", "").json()["a"], 1);
    assert_eq!(outcome("1\n2\n", "").json_lines().len(), 2);
}

#[test]
fn scrubbing_replaces_what_differs_and_nothing_else() {
    let scrub = Scrub::new().path(Path::new("/t/x"), "[TEMP]").path(Path::new("/t/x/ws"), "[ROOT]");
    let digest = "64".repeat(32);
    let key = format!("pk1-{}", "a2".repeat(26));
    let text = format!(
        "/t/x/ws/a /t/x/b {key} {digest} 0190a1b2-0000-7000-8000-0123456789ab in 1.2 s, 340 ms, 3 m 05 s; \
         2026-01-02T03:04:05.678Z; 3 ran, lua 5.4.7, \"duration_ms\":12"
    );
    assert_eq!(
        scrub.apply(&text),
        "[ROOT]/a [TEMP]/b [KEY] [DIGEST] [ID] in [TIME], [TIME], [TIME]; [TIME]; 3 ran, lua 5.4.7, \"duration_ms\": 0"
    );
}

#[test]
fn golden_files_are_compared_and_blessed() {
    let workspace = Workspace::new();
    let file = workspace.path("golden/a.txt");
    let missing = compare(&file, "a\nb\n", false).expect_err("there is no file yet");
    assert_eq!(missing, "+ a\n+ b\n");
    compare(&file, "a\nb\n", true).expect("blessing writes it");
    compare(&file, "a\nb\n", false).expect("it is the same now");
    let changed = compare(&file, "a\nc\n", false).expect_err("a line differs");
    assert_eq!(changed, "  a\n- b\n+ c\n");
    let cut = compare(&file, "a\nb", false).expect_err("the last newline counts");
    assert!(cut.contains("last newline"), "{cut}");
}

#[test]
fn tools_are_found_on_the_path() {
    assert!(tool("sh").is_some_and(|path| path.ends_with("sh")));
}
