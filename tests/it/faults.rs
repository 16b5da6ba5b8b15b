//! Faults from outside, one at each position there is: killed at a system call, a call that fails, power that is cut,
//! a clock that jumps. Each test says how many positions were tried. Short by default; `PARTITA_FAULTS=all` tries all
//! positions, and `PARTITA_CUTS=NUMBER` so many cuts. Leaves out damage to what lies in the store, and full disks,
//! which are in `store`.

mod clock;
mod power;

use std::collections::BTreeMap;
use std::path::Path;

use partita::base::Environment;

use crate::support::{Outcome, Workspace, tool};

/// A chain of built-in actions and processes, with a file, a folder and a link in it.
const SPEC: &str = "\
graph g {
    node own { copy \"own.txt\"; input \"own.txt\"; output o }
    node twice { input t from=(ref)own.o; run sh -c \"cat t t > o\"; output o }
    node folder { input t from=(ref)twice.o; run sh -c \"mkdir d; cp t d/a; echo x > d/b\"; output d type=artifact.dir }
    node last { input d from=(ref)folder.d; run sh -c \"cat d/a d/b > o\"; output o }
}
";

/// Calls by which something comes to be on a disk, or comes to be known.
const CALLS: &[&str] = &[
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "ftruncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "copy_file_range",
    "sendmsg",
];

fn workspace() -> Workspace {
    let workspace = Workspace::with_spec(SPEC);
    workspace.write("own.txt", "own\n");
    workspace
}

const RIGHT: &str = "own\nown\nx\n";

/// Runs the graph under strace with these arguments.
fn traced(workspace: &Workspace, strace: &Path, args: &[&str]) -> Outcome {
    let program = env!("CARGO_BIN_EXE_partita");
    let (store, state) = (workspace.store(), workspace.state());
    let run = [program, "--store", store.to_str().expect("UTF-8"), "--state", state.to_str().expect("UTF-8")];
    let run = [&run[..], &["run", "g", "-j", "1", "--isolation", "none"]].concat();
    workspace.command(strace, &[&["-f", "-qq"], args, &run].concat()).env("PARTITA_MEMO", "off").run()
}

/// How often a thread of the program makes each call at most: counters are of a thread and of a call.
fn positions(workspace: &Workspace, strace: &Path) -> BTreeMap<&'static str, u64> {
    let trace = workspace.around().join("trace");
    let known: Vec<String> = CALLS.iter().map(|call| format!("?{call}")).collect();
    let calls = format!("trace={}", known.join(","));
    traced(workspace, strace, &["-o", trace.to_str().expect("UTF-8"), "-e", &calls]).ok();
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let text = std::fs::read_to_string(&trace).expect("strace wrote it");
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        *counts.entry((pid, name)).or_default() += 1;
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counts {
        if let Some(call) = CALLS.iter().find(|call| **call == name) {
            let known: &mut u64 = most.entry(*call).or_default();
            *known = (*known).max(count);
        }
    }
    most
}

/// The positions to try of so many: all, or the first, the last and one between.
fn chosen(count: u64) -> Vec<u64> {
    if Environment::of_process().raw("PARTITA_FAULTS").is_some_and(|value| value == "all") {
        return (1..=count).collect();
    }
    let mut some = vec![1, count.div_ceil(2), count];
    some.dedup();
    some
}

/// As if the program had never been run here.
fn start_over(workspace: &Workspace) {
    workspace.drop_store();
    workspace.drop_state();
    let _ = std::fs::remove_dir_all(workspace.path("out"));
}

/// Whether the run that comes next has the right result, and what is left is sound.
fn heals(workspace: &Workspace) -> bool {
    let again = workspace.run(&["run", "g"]);
    again.status == 0
        && workspace.read("out/g/last/o") == RIGHT
        && workspace.run(&["store", "verify"]).stdout.contains("all sound")
}

#[test]
fn killed_at_a_call_it_leaves_nothing_wrong_and_the_next_run_heals() {
    let Some(strace) = tool("strace") else { return };
    let workspace = workspace();
    let positions = positions(&workspace, &strace);
    let (mut tried, mut bad) = (0, Vec::new());
    for (call, count) in &positions {
        for when in chosen(*count) {
            start_over(&workspace);
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let killed = traced(&workspace, &strace, &["-o", "/dev/null", "-e", &inject]);
            tried += 1;
            if killed.status == 0 && workspace.read("out/g/last/o") != RIGHT || !heals(&workspace) {
                bad.push(inject);
            }
        }
    }
    println!("killed at {tried} positions of {} calls: {} bad or not healed", positions.len(), bad.len());
    assert!(bad.is_empty(), "{bad:?}");
    assert!(positions.len() >= 8, "{positions:?}");
}

#[test]
fn a_call_that_fails_is_said_or_harmless() {
    let Some(strace) = tool("strace") else { return };
    let workspace = workspace();
    let positions = positions(&workspace, &strace);
    let (mut tried, mut told, mut silent, mut sick) = (0, 0, Vec::new(), Vec::new());
    for (call, count) in positions.iter().filter(|(call, _)| **call != "openat") {
        for error in ["EIO", "ENOSPC"] {
            for when in chosen(*count) {
                start_over(&workspace);
                let inject = format!("inject={call}:error={error}:when={when}");
                let outcome = traced(&workspace, &strace, &["-o", "/dev/null", "-e", &inject]);
                tried += 1;
                if outcome.status == 0 {
                    // What was refused was not needed, or was done in another way.
                    if !workspace.has("out/g/last/o") || workspace.read("out/g/last/o") != RIGHT {
                        silent.push(inject.clone());
                    }
                } else {
                    told += 1;
                    // Where the program may not even write to its standard error, nothing can be said.
                    let is_mute = *call == "write" && outcome.stderr.is_empty();
                    if !is_mute && !outcome.stderr.contains("error") {
                        silent.push(format!("{inject}: status {} without a word", outcome.status));
                    }
                }
                if !heals(&workspace) {
                    sick.push(inject);
                }
            }
        }
    }
    println!(
        "{tried} calls refused: {told} ended the run with an error, {} silent, {} not healed",
        silent.len(),
        sick.len()
    );
    assert!(silent.is_empty() && sick.is_empty(), "silent {silent:?}, not healed {sick:?}");
    assert!(told > 0, "nothing was refused");
}
