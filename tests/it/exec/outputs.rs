//! What is collected, what is dropped, and what is refused.

use partita::base::{Entry, Tree};
use partita::event::Outcome;

use super::support::{Draft, World, counts, failure, is_dir, outcome, plan, tool};

#[test]
fn what_is_declared_is_taken_and_the_rest_dropped() {
    let world = World::new();
    let script = "echo x > o; echo y > undeclared; mkdir -p d/e/empty; echo 1 > d/e/f; ln -s e/f d/link; \
                  echo '#!/bin/sh' > d/run; chmod 6755 d/run; chmod 000 d/e/f; cp d/run top";
    let plan = plan([
        Draft::sh("g/a", script).output("o").output("top").dir("d"),
        Draft::sh("g/b", "[ -x d/run ] && [ -L d/link ] && [ -d d/e/empty ] && cat d/link > o && d/run")
            .from("d", "g/a", "d")
            .output("o"),
    ]);
    let report = world.run(&plan);
    assert_eq!(outcome(&report, "g/b"), Outcome::Ran, "{report:?}");
    assert_eq!(world.text(&report, "g/b", "o"), "1\n");
    let outputs = &report.action("g/a").unwrap().outputs;
    assert_eq!(outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["d", "o", "top"]);
    assert!(is_dir(&outputs[0].entry));
    assert!(matches!(outputs[2].entry, Entry::File { exec: true, .. }));
    let tree = Tree::decode(&world.memory.blob(outputs[0].digest().unwrap())).unwrap();
    assert_eq!(tree.entries.keys().collect::<Vec<_>>(), ["e", "link", "run"]);
}

#[test]
fn what_is_missing_or_of_the_wrong_kind_is_refused() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/dir-for-file", "mkdir o").output("o"),
        Draft::sh("g/fifo", "mkfifo o").output("o"),
        Draft::sh("g/file-for-dir", ": > o").dir("o"),
        Draft::sh("g/leaving", "mkdir d; ln -s ../../x d/l").dir("d"),
        Draft::sh("g/absolute", "mkdir d; ln -s /etc/passwd d/l").dir("d"),
        Draft::sh("g/link", "ln -s /etc/passwd o").output("o"),
        Draft::sh("g/missing", "echo typo > p; echo hint >&2").output("o"),
        Draft::sh("g/pipe-in-dir", "mkdir d; mkfifo d/p").dir("d"),
    ]);
    let report = world.run(&plan);
    let expected = [
        ("g/absolute", "`d/l` -> `/etc/passwd` is absolute"),
        ("g/dir-for-file", "output `o` at `o` is a folder; a file is declared"),
        ("g/fifo", "output `o` at `o` is a named pipe; a file is declared"),
        ("g/file-for-dir", "output `o` at `o` is a file; a folder is declared"),
        ("g/leaving", "`d/l` -> `../../x` leaves the output folder"),
        ("g/link", "output `o` at `o` is a symbolic link; a file is declared"),
        (
            "g/missing",
            "output `o` is missing: the action ended well, but there is no `o`; beside it there are `p`\nhint",
        ),
        ("g/pipe-in-dir", "`d/p` is a named pipe"),
    ];
    for (addr, text) in expected {
        let failure = failure(&report, addr);
        assert!(failure.contains(text), "{addr}: {failure}");
    }
    assert!(world.memory.claims().is_empty());
}

#[test]
fn a_link_in_place_of_the_folder_of_an_output_is_refused() {
    let world = World::new();
    let mut plan = plan([Draft::sh("g/a", "rmdir d; ln -s /etc d").output("d/passwd")]);
    plan.tools.push(tool("rmdir", &[]));
    let sh = plan.tools.iter_mut().find(|tool| tool.name == "sh").unwrap();
    sh.uses.push("rmdir".into());
    let text = failure(&world.run(&plan), "g/a");
    assert_eq!(text, "output `d/passwd` lies below `d`, which is a symbolic link");
}

#[test]
fn odd_names_in_folders_are_refused() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", "mkdir d; : > \"d/$(printf 'x\\377')\"").dir("d"),
        Draft::sh("g/b", "mkdir d; : > 'd/a\\b'").dir("d"),
    ]);
    let report = world.run(&plan);
    assert!(failure(&report, "g/a").contains("is not UTF-8"));
    assert!(failure(&report, "g/b").contains("backslash"));
}

#[test]
fn the_folders_of_outputs_are_there_and_unwritable_leftovers_are_cleared() {
    let world = World::new();
    let script = "echo x > a/b/o; mkdir -p locked/in; : > locked/in/f; chmod 555 locked/in locked";
    let plan = plan([Draft::sh("g/a", script).output("a/b/o")]);
    // That nothing is left in the scratch space is checked by every run.
    assert_eq!(world.run(&plan).counts, counts(1, 0, 0, 0, 0));
}
