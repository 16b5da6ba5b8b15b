//! What an action may use at most: each limit broken, at each level, and told apart. Leaves out time, which
//! the executor's own tests see to, and limits that nobody declared.

use crate::isolation::{Who, failed_closed};
use crate::support::{Outcome, Workspace};

const LEVELS: [&str; 3] = ["full", "landlock", "none"];

fn act(level: &str, limits: &str, program: &str) -> (Workspace, Outcome) {
    let spec = format!(
        "partita edition=1\ntool python3 {{ exec python3 }}\ngraph g {{\n  node act {{\n    input act.py\n    \
         run python3 act.py\n    output out type=artifact.dir\n    limits {limits}\n    timeout \"60s\"\n  }}\n}}\n"
    );
    let workspace = Workspace::new().file("partita.kdl", &spec).file("act.py", program);
    let outcome = Who::Self_.run(&workspace, &["run", "g", "--isolation", level]);
    (workspace, outcome)
}

fn breaks(limits: &str, program: &str, says: &str) {
    for level in LEVELS {
        let (_workspace, outcome) = act(level, limits, program);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.expect(1).says("error[E0218]: `g/act` failed").says(says).says("--> partita.kdl:4:8");
    }
}

#[test]
fn too_many_processes_end_the_action() {
    // A few dozen, which wait: no machine is stalled by this test.
    let program = "import os, time\nfor _ in range(40):\n  if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\ntime.sleep(60)\n";
    breaks("processes=20", program, "more processes and threads than its limit of 20");
}

#[test]
fn too_much_memory_ends_the_action() {
    let program =
        "import time\nheld = []\nwhile len(held) < 30:\n  held.append(bytearray(b'x') * (8 << 20))\ntime.sleep(60)\n";
    breaks("memory=\"100MiB\"", program, "more memory than its limit of 100.0 MiB");
}

#[test]
fn memory_of_all_processes_counts() {
    let program = "import os, time\nfor _ in range(4):\n  if os.fork() == 0:\n    held = bytearray(b'x') * (40 << 20)\n    \
                   time.sleep(60)\ntime.sleep(60)\n";
    breaks("memory=\"100MiB\"", program, "more memory than its limit of 100.0 MiB");
}

#[test]
fn too_many_bytes_of_outputs_are_not_kept() {
    let program = "import os\nos.mkdir('out')\nfor n in range(3): open('out/%d' % n, 'wb').write(b'x' * 500000)\n";
    breaks("output=\"1MB\"", program, "the outputs hold more than its limit of");
}

#[test]
fn too_many_files_are_not_kept() {
    let program = "import os\nos.mkdir('out')\nfor n in range(11): open('out/%d' % n, 'w').close()\n";
    breaks("files=10", program, "the outputs hold more than its limit of 10 files");
}

#[test]
fn a_file_that_grows_too_large_ends_the_action() {
    let program = "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nos.mkdir('out')\n\
                   open('out/large', 'wb').write(b'x' * 5000000)\n";
    for level in ["full", "landlock"] {
        let (_workspace, outcome) = act(level, "output=\"1MB\"", program);
        if !failed_closed(&outcome, level) {
            outcome.expect(1).says("error[E0218]").says("wrote a file of more than");
        }
    }
}

#[test]
fn what_stays_within_its_limits_is_left_alone_and_limits_are_in_the_key() {
    let program = "import os\nos.mkdir('out')\nopen('out/one', 'w').write('x')\n";
    for level in LEVELS {
        let limits = "processes=10 memory=\"512MiB\" output=\"1MiB\" files=5";
        let (workspace, outcome) = act(level, limits, program);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.ok();
        let spec = workspace.read("partita.kdl");
        workspace.write("partita.kdl", spec.replace("processes=10", "processes=9"));
        Who::Self_.run(&workspace, &["run", "g", "--isolation", level]).ok().says("1 ran, 0 cached");
        Who::Self_.run(&workspace, &["run", "g", "--isolation", level]).ok().says("0 ran, 1 cached");
        workspace.run(&["plan", "g", "--format", "json"]).ok().prints("\"limits\":{\"files\":5,\"memory\":536870912,");
        workspace.run(&["plan", "g"]).ok().prints("at most 9 processes");
    }
}

/// Writes what it may, and keeps quiet about what it was refused.
const QUIET: &str = "import os\nos.mkdir('out')\nf = open('out/o', 'wb', buffering=0)\ntry:\n  for _ in range(48):\n    \
                     f.write(b'x' * 65536)\nexcept OSError:\n  pass\n";

#[test]
fn who_keeps_quiet_about_what_it_was_refused_leaves_no_result() {
    for level in LEVELS {
        let (workspace, outcome) = act(level, "output=\"1MiB\"", QUIET);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.expect(1).says("error[E0218]");
        let spec = workspace.read("partita.kdl").replace("limits output=\"1MiB\"", "");
        workspace.write("partita.kdl", spec);
        Who::Self_.run(&workspace, &["run", "g", "--isolation", level]).ok().says("1 ran");
        let made = std::fs::metadata(workspace.path("out/g/act/out/o")).expect("it is there");
        assert_eq!(made.len(), 48 * 65536);
    }
}

#[test]
fn what_was_made_within_a_limit_is_not_what_is_made_without() {
    let program = "import os\nos.mkdir('out')\nf = open('out/o', 'w')\ntry:\n  held = bytearray(900 << 20)\n  f.write('all')\n\
                   except MemoryError:\n  f.write('little')\n";
    for level in ["full", "landlock"] {
        let (workspace, outcome) = act(level, "memory=\"64MiB\"", program);
        if failed_closed(&outcome, level) {
            continue;
        }
        // Where a control group counts, it is ended; else it goes on with little.
        let was_ended = outcome.stderr.contains("E0218");
        assert!(was_ended || workspace.read("out/g/act/out/o") == "little", "{}", outcome.describe());
        let spec = workspace.read("partita.kdl").replace("limits memory=\"64MiB\"", "");
        workspace.write("partita.kdl", spec);
        Who::Self_.run(&workspace, &["run", "g", "--isolation", level]).ok().says("1 ran");
        assert_eq!(workspace.read("out/g/act/out/o"), "all");
    }
}

#[test]
fn who_fails_of_being_refused_more_bytes_is_told_of_the_limit() {
    let program = "import os\nos.mkdir('out')\nopen('out/o', 'wb', buffering=0).write(b'x' * 5000000)\n\
                   open('out/p', 'wb', buffering=0).write(b'x' * 5000000)\nraise SystemExit(3)\n";
    for level in ["full", "landlock"] {
        let (_workspace, outcome) = act(level, "output=\"1MB\"", program);
        if !failed_closed(&outcome, level) {
            outcome.expect(1).says("error[E0218]").says("was refused, and exited with 3");
        }
    }
}
