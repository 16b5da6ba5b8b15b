//! The support does what the tests rely on. Leaves out the program.

use std::fs;
use std::path::Path;

use crate::support::golden::compare;
use crate::support::{Gate, Outcome, Scrub, Step, Workspace, blocks_of, matches, repository, steps_of, tool};

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

#[test]
fn blocks_of_a_document_are_found_with_their_marks_and_comments() {
    let document = "a\n```kdl,file=x.kdl\nn 1\n```\n<!-- test: true -->\n<!-- why\nnot -->\n\n```console,ignore\n$ a\n```\n\
                    <!-- far -->\ntext\n````text\n```\n````\n";
    let blocks = blocks_of(document);
    let found: Vec<_> = blocks.iter().map(|block| (block.line, block.language.as_str(), block.text.as_str())).collect();
    assert_eq!(found, [(2, "kdl", "n 1\n"), (9, "console", "$ a\n"), (14, "text", "```\n")]);
    assert_eq!(blocks[0].value("file"), Some("x.kdl"));
    assert!(blocks[1].is("ignore") && !blocks[0].is("ignore"));
    assert_eq!(blocks[1].before, ["true"]);
    assert_eq!(blocks[1].comment.as_deref(), Some("why\nnot"));
    assert_eq!(blocks[2].comment, None, "text stands between");
}

#[test]
fn a_console_block_is_commands_with_outputs_and_statuses() {
    let steps = steps_of("$ one\n$ two \\\n> more\nout\n> not more\n(exit status 7)\n\n$ three\n");
    let step = |command: &str, output: &[&str], status| Step {
        command: command.to_owned(),
        output: output.iter().map(|line| (*line).to_owned()).collect(),
        status,
    };
    assert_eq!(steps, [step("one", &[], 0), step("two \\\nmore", &["out", "> not more"], 7), step("three", &[], 0)]);
}

#[test]
fn shown_output_matches_with_holes() {
    let is = |shown: &str, real: &str| {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        matches(&shown, &real.lines().collect::<Vec<_>>())
    };
    assert!(is("a\nb", "a\nb\n") && !is("a", "a\nb") && !is("a\nb", "a"));
    assert!(is("a ... c", "a b c") && is("...c", "abc") && is("a...", "abc") && !is("a...d", "abc"));
    assert!(is("in ... s, ... more", "in 3 s, 2 more") && !is("ab...b", "ab"));
    assert!(is("a\n...\nd", "a\nb\nc\nd") && is("a\n...\nd", "a\nd") && !is("a\n...\nd", "a\nb"));
    assert!(is("...", "") && is("a\n", "a\n\n"), "empty lines at the end do not count");
}

#[test]
fn a_gate_holds_nobody_up_who_opens_it() {
    let workspace = Workspace::new();
    let mut gate = Gate::new(&workspace.around().join("gate"));
    let line = format!("echo started > {0}; read line < {0}; echo \"$line\"", gate.path().display());
    gate.open(1);
    assert_eq!(gate.wait(), "go");
    gate.open(1);
    let outcome = workspace.command(Path::new("/bin/sh"), &["-c", &line.replacen("started", "mine", 1)]).run().ok();
    assert_eq!(outcome.stdout, "go\n");
    assert_eq!(gate.wait(), "mine");
}
