//! A clock that jumps, forward and back: changes are noticed, what is known is found, and no time is up before it is.
//! Leaves out clocks of other machines.

use std::path::{Path, PathBuf};

use super::{RIGHT, workspace};
use crate::support::{Workspace, tool};

/// The library behind `faketime`.
fn library() -> Option<PathBuf> {
    tool("faketime")?;
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime"];
    folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|file| file.is_file())
}

/// Runs the graph with the wall clock set off by this much.
fn at(workspace: &Workspace, library: &Path, offset: &str, args: &[&str]) -> [u64; 5] {
    let run = [&["run", "g", "--format", "json"], args].concat();
    let invocation = workspace.partita(&run).env("LD_PRELOAD", library).env("FAKETIME", offset);
    invocation.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").run().ok().counts()
}

#[test]
fn a_clock_set_back_or_forward_hides_no_change_and_forgets_nothing() {
    let Some(library) = library() else { return };
    let workspace = workspace();
    assert_eq!(at(&workspace, &library, "+0", &[])[..2], [4, 0], "ran and cached");
    for (round, offset) in ["-400d", "+4000d", "-1d", "+1s", "-3s", "+0"].iter().enumerate() {
        assert_eq!(at(&workspace, &library, offset, &[])[..2], [0, 4], "{offset}: nothing changed");
        // As long as the one before, so that the size says nothing.
        let own = format!("ow{round}\n");
        workspace.write("own.txt", &own);
        assert_eq!(at(&workspace, &library, offset, &[])[0], 4, "{offset}: it changed");
        assert_eq!(workspace.read("out/g/last/o"), format!("{own}{own}x\n"));
        workspace.write("own.txt", "own\n");
        assert_eq!(at(&workspace, &library, offset, &[])[1], 4, "{offset}: what was known is");
        assert_eq!(workspace.read("out/g/last/o"), RIGHT);
    }
    workspace.run(&["store", "verify"]).ok().prints("all sound");
    println!("6 jumps of the clock: 6 changes noticed, nothing done twice");
}

#[test]
fn no_time_is_up_because_the_clock_jumps() {
    let Some(library) = library() else { return };
    let spec = "\
graph g {
    node a { timeout \"5m\"; run sh -c \"echo '+900d' > \\\"$TIME\\\"; echo done > o\"; env TIME=\"CLOCK\"; output o }
}
";
    let workspace = Workspace::new();
    let file = workspace.around().join("time");
    std::fs::write(&file, "+0\n").expect("a file can be written");
    let spec = spec.replace("CLOCK", file.to_str().expect("UTF-8"));
    workspace.write("partita.kdl", format!("partita edition=1\n{spec}"));
    let run = workspace
        .partita(&["run", "g", "--timeout", "10m", "--format", "json"])
        .env("LD_PRELOAD", &library)
        .env("FAKETIME_TIMESTAMP_FILE", &file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .run()
        .ok();
    let report = run.json();
    assert_eq!(workspace.read("out/g/a/o"), "done\n");
    assert!(report["duration_ms"].as_u64().expect("a number") < 300_000, "{report}");
}
