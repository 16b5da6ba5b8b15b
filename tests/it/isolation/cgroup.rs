//! Control groups where a folder of them is given to the program: `doctor` says so, an attempt gets a group of its own
//! that ends all of it, and none is left. Leaves out machines without them, where other tests see to limits.

use std::path::{Path, PathBuf};

use crate::isolation::survivors::{mark, marked, until};
use crate::isolation::{failed_closed, program};
use crate::support::{Invocation, Outcome, Workspace};

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
        self.prepare(workspace, args).run()
    }

    /// Prepares a run of the program in it.
    fn prepare(&self, workspace: &Workspace, args: &[&str]) -> Invocation {
        let procs = self.0.join("cgroup.procs");
        let script = format!("echo $$ > {} && exec \"$0\" \"$@\"", procs.display());
        let all = [&["-c", &script, env!("CARGO_BIN_EXE_partita")], args].concat();
        let invocation = workspace.command(&program("sh"), &all).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        let (store, state) = (workspace.store(), workspace.state());
        invocation.env("PARTITA_STORE", store).env("PARTITA_STATE", state).env("PARTITA_MEMO", "off")
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
    // Who clears it away has to leave it himself.
    until(|| std::fs::read_to_string(given.0.join("cgroup.procs")).is_ok_and(|inside| inside.trim().is_empty()));
    until(|| given.below().is_empty());
}

/// Who left all behind by which it could be found: with a session, a folder and variables of its own, and no parent.
#[test]
fn whoever_hides_is_in_the_group_of_a_runner_that_is_killed() {
    let Some(given) = Given::make() else { return };
    if !given.has("cgroup.kill") {
        return;
    }
    for level in ["landlock", "none"] {
        let mark = mark(&format!("hidden-{level}"));
        let act = format!(
            "import os, sys, time\nif os.fork() == 0:\n  os.setsid()\n  os.chdir('/')\n  if os.fork() == 0:\n    \
             os.execve(sys.executable, ['sleeper', '-c', 'import time\\nwhile True: time.sleep(1)', '{mark}'], {{}})\n  \
             os._exit(0)\nos.wait()\ntime.sleep(600)\n"
        );
        let workspace = workspace("", &act);
        let outcome = given.run(&workspace, &["run", "g", "--isolation", level, "--require-cached"]);
        if failed_closed(&outcome, level) {
            continue;
        }
        let run = given.prepare(&workspace, &["run", "g", "--isolation", level]);
        let mut running = run.command().spawn().expect("it can be started");
        until(|| !marked(&mark).is_empty());
        running.kill().expect("it can be killed");
        running.wait().expect("it can be waited for");
        until(|| marked(&mark).is_empty());
        // And no group is left of it.
        until(|| given.below().is_empty());
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
