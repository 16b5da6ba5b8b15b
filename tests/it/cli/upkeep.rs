//! Looking after the store and the machine. Leaves out how the store does it.

use crate::cli::sample;
use crate::support::{Workspace, tool};

fn stat(workspace: &Workspace) -> (u64, u64) {
    let stat = workspace.run(&["store", "stat", "--format", "json"]).ok().json();
    let number = |name: &str| stat[name].as_u64().expect("a count is a number");
    (number("objects"), number("claims"))
}

#[test]
fn the_store_is_counted_checked_and_collected() {
    let workspace = sample();
    workspace.run(&["run", "report"]).ok();
    let (objects, claims) = stat(&workspace);
    assert_eq!(claims, 3);
    assert!(objects >= 5, "{objects}");
    workspace.run(&["store", "stat"]).ok().prints("objects ").prints("results      3").prints("quarantined  0 (0 B)");
    workspace.run(&["store", "verify"]).ok().prints("and 3 results: all sound");

    // Nothing is older than a day; with no age at all, everything is.
    workspace.run(&["store", "gc", "--max-age", "1d"]).ok().prints("removed 0 results, ").prints("kept 3 results");
    workspace.run(&["store", "gc", "--max-age", "0s", "--dry-run"]).ok().prints("would remove 3 results");
    assert_eq!(stat(&workspace).1, 3, "a dry run removes nothing");
    workspace
        .run(&["store", "gc", "--max-age", "0s"])
        .ok()
        .prints("removed 3 results")
        .prints("kept 0 results and 0 objects");
    assert_eq!(stat(&workspace), (0, 0));
    workspace.run(&["store", "verify"]).ok().prints("all sound");
    assert_eq!(workspace.run(&["run", "report"]).ok().counts(), [3, 0, 0, 0, 0]);
    workspace.run(&["store", "gc", "--max-size", "1GiB"]).ok().prints("kept 3 results");
    workspace.run(&["store", "gc", "--max-size", "0B"]).ok().prints("kept 0 results");
}

#[test]
fn a_check_finds_damage_and_says_so_by_its_status() {
    let workspace = sample();
    workspace.run(&["run", "report"]).ok();
    let cas = workspace.store().join("cas");
    let files = walkdir::WalkDir::new(&cas).sort_by_file_name().into_iter().filter_map(Result::ok);
    let victim =
        files.filter(|entry| entry.file_type().is_file()).find(|entry| entry.metadata().is_ok_and(|m| m.len() > 1));
    let victim = victim.expect("there are objects").into_path();
    let mut bytes = std::fs::read(&victim).expect("an object can be read");
    bytes[0] ^= 1;
    std::fs::remove_file(&victim).expect("an object can be removed");
    std::fs::write(&victim, bytes).expect("a file can be written");
    workspace.run(&["store", "verify"]).expect(7).prints("NOT sound").prints("corrupt, now in quarantine: b3:");
    workspace.run(&["store", "verify"]).ok().prints("all sound");
    workspace.run(&["run", "report"]).ok();
}

#[test]
fn the_store_can_be_looked_after_from_anywhere() {
    let nowhere = Workspace::new();
    nowhere.run(&["store", "stat"]).ok().prints("results      0");
    let there = nowhere.around().join("other");
    let path = there.to_str().expect("UTF-8");
    nowhere.run(&["store", "stat", "--store", path]).ok().prints(path);
}

#[test]
fn doctor_looks_at_what_runs_need() {
    let workspace = sample();
    let healthy = workspace.run(&["doctor"]).ok();
    for what in ["platform", "processors", "isolation", "store", "state", "sh"] {
        assert!(healthy.stdout.lines().any(|line| line.split_whitespace().nth(1) == Some(what)), "{what}");
    }
    assert!(!workspace.store().exists(), "looking makes nothing");
    let sick = workspace.partita(&["doctor"]).env("PATH", "/nowhere").run().expect(7);
    sick.prints("BAD   sh").prints("not found on PATH");
    // What scripts of `sh` may start is all part of its identity: without one of them none starts.
    let few = workspace.around().join("few");
    std::fs::create_dir(&few).expect("a folder can be made");
    for name in ["sh", "cat"] {
        std::os::unix::fs::symlink(tool(name).expect("every machine has it"), few.join(name))
            .expect("a link can be made");
    }
    let few = workspace.partita(&["doctor"]).env("PATH", few.to_str().expect("UTF-8")).run().expect(7);
    few.prints("BAD   utilities").prints("awk").prints("less  git");
    // Without a workspace it looks at the rest.
    Workspace::new().run(&["doctor"]).ok().prints("store");
}

#[test]
fn what_keeps_an_object_is_told() {
    let workspace = sample();
    let report = workspace.run(&["run", "report", "--format", "json"]).ok().json();
    let action = &report["actions"][0];
    let digest = action["outputs"][0]["digest"].as_str().expect("a digest is text");
    let addr = action["addr"].as_str().expect("an address is text");
    let kept = workspace.run(&["store", "why", &digest[..10]]).ok();
    kept.prints(&format!("b3:{digest}")).prints(&format!("of {addr}, made by run "));
    let kept = workspace.run(&["store", "why", digest, "--format", "json"]).ok().json();
    assert_eq!(kept["kept_by"][0]["key"], action["key"]);
    workspace.run(&["store", "why", "0000"]).expect(2).says("there is no object `0000` in the store");
}

#[test]
fn state_is_saved_and_brought_back() {
    let workspace = sample();
    workspace.run(&["deliver", "report"]).ok();
    let runs = workspace.run(&["runs"]).ok().stdout;
    let keys = workspace.run(&["key", "show"]).ok().stdout;
    let file = workspace.around().join("state.tar");
    let file = file.to_str().expect("it is UTF-8");
    workspace.run(&["state", "backup", file]).ok().prints("saved ");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600, "keys are in it");
    workspace.run(&["state", "restore", file]).expect(2).says("is not empty");
    workspace.drop_state();
    workspace.run(&["state", "restore", file]).ok().prints("brought back ");
    assert_eq!(workspace.run(&["runs"]).ok().stdout, runs);
    assert_eq!(workspace.run(&["key", "show"]).ok().stdout, keys);
    let why = workspace.run(&["run", "report", "--format", "json"]).ok().json();
    assert!(why["actions"].as_array().expect("a list").iter().all(|action| action["reason"]["code"] == "same-key"));
    // Foreign, cut short and hostile files change nothing, nor does one of which a single bit is otherwise.
    workspace.drop_state();
    let bytes = std::fs::read(file).expect("it is there");
    let held = (0..bytes.len()).rev().filter(|at| bytes[*at] != 0 && !bytes[*at].is_ascii_digit());
    for at in held.step_by(bytes.len() / 40) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let bad = workspace.around().join("flipped");
        std::fs::write(&bad, bytes).expect("a file can be written");
        let outcome = workspace.run(&["state", "restore", bad.to_str().expect("it is UTF-8")]);
        assert_eq!(outcome.status, 2, "byte {at}: {}", outcome.describe());
    }
    for (name, bytes) in [("cut", &bytes[..bytes.len() / 2]), ("foreign", b"no archive".as_slice()), ("empty", b"")] {
        let bad = workspace.around().join(name);
        std::fs::write(&bad, bytes).expect("a file can be written");
        let bad = bad.to_str().expect("it is UTF-8");
        workspace.run(&["state", "restore", bad]).expect(2).says("is no backup of a state directory");
        assert!(!workspace.state().join("history.sqlite").exists());
    }
}
