//! Control groups where a folder of them is given to the program: `doctor` says so, an attempt gets a group of its own
//! that ends all of it, and none is left. Leaves out machines without them, where other tests see to limits.

use std::path::{Path, PathBuf};

use crate::isolation::{failed_closed, program};
use crate::support::{Outcome, Workspace};

/// A group that is given to whoever is in it. Removed with all below it.
struct Given(PathBuf);

impl Given {
    /// `None` where groups may not be made.
    #[expect(clippy::print_stderr, reason = "a skip must be seen")]
    fn make() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let at = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (at, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(at))
        });
        let made = at.map(|at| at.join(format!("partita-it-{}", std::process::id())));
        let made = made.filter(|made| std::fs::create_dir(made).is_ok());
        if made.is_none() {
            eprintln!("skipped: no control group of version 2 can be made here");
        }
        made.map(Self)
    }

    fn below(&self) -> Vec<PathBuf> {
        let walk = walkdir::WalkDir::new(&self.0).min_depth(1).contents_first(true).into_iter().filter_map(Result::ok);
        walk.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect()
    }

    fn has(&self, file: &str) -> bool {
        self.0.join(file).exists()
    }

    /// Runs the program in it.
    fn run(&self, workspace: &Workspace, args: &[&str]) -> Outcome {
        let procs = self.0.join("cgroup.procs");
        let script = format!("echo $$ > {} && exec \"$0\" \"$@\"", procs.display());
        let all = [&["-c", &script, env!("CARGO_BIN_EXE_partita")], args].concat();
        let invocation = workspace.command(&program("sh"), &all).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        let (store, state) = (workspace.store(), workspace.state());
        invocation.env("PARTITA_STORE", store).env("PARTITA_STATE", state).env("PARTITA_MEMO", "off").run()
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for path in self.below().iter().map(PathBuf::as_path).chain([self.0.as_path() as &Path]) {
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Leaves a process behind that is in a session of its own.
const SPEC: &str = "\
tool python3 { exec python3 }
graph g {
    node act {
        input \"act.py\"
        run python3 \"act.py\"
        output done
        LIMITS
    }
}
";

fn workspace(limits: &str, act: &str) -> Workspace {
    Workspace::with_spec(&SPEC.replace("LIMITS", limits)).file("act.py", act)
}

#[test]
fn a_group_of_its_own_ends_an_attempt_and_is_removed() {
    let Some(given) = Given::make() else { return };
    let act = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    time.sleep(600)\n  os._exit(0)\n\
               open('done', 'w').write(open('/proc/self/cgroup').read())\n";
    let workspace = workspace("", act);
    let kills = given.has("cgroup.kill");
    let report = given.run(&workspace, &["doctor"]).ok();
    assert_eq!(report.stdout.contains("ends all of an attempt at once"), kills, "{}", report.describe());
    let outcome = given.run(&workspace, &["run", "g", "--isolation", "landlock"]);
    if failed_closed(&outcome, "landlock") {
        return;
    }
    outcome.ok();
    let own = workspace.read("out/g/act/done");
    let own = own.lines().find(|line| line.starts_with("0::")).expect("it is in one").to_owned();
    assert_eq!(own.rsplit('/').next().expect("a name").starts_with("partita-"), kills, "{own}");
    let inside = std::fs::read_to_string(given.0.join("cgroup.procs")).expect("it can be read");
    assert_eq!(inside.trim(), "", "nothing is left in it");
    let left = given.below();
    // The program may have moved into one itself; what is left of that is empty.
    assert!(left.len() <= 2, "{left:?}");
    for group in left {
        assert_eq!(std::fs::read_to_string(group.join("cgroup.procs")).expect("it can be read").trim(), "");
    }
}

#[test]
fn limits_are_those_of_the_group_where_it_has_them() {
    let Some(given) = Given::make() else { return };
    let act = "import os, time\nfor _ in range(40):\n  if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\ntime.sleep(60)\n";
    for level in ["full", "landlock"] {
        // By the group or by looking: it ends in the same way.
        let workspace = workspace("limits processes=20\n        timeout \"60s\"", act);
        let outcome = given.run(&workspace, &["run", "g", "--isolation", level]);
        if !failed_closed(&outcome, level) {
            outcome.expect(1).says("error[E0218]").says("more processes and threads than its limit of 20");
        }
    }
}
