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
fn what_stays_within_its_limits_is_left_alone_and_limits_are_in_no_key() {
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
        Who::Self_.run(&workspace, &["run", "g", "--isolation", level]).ok().says("0 ran, 1 cached");
        workspace.run(&["plan", "g", "--format", "json"]).ok().prints("\"limits\":{\"files\":5,\"memory\":536870912,");
        workspace.run(&["plan", "g"]).ok().prints("at most 9 processes");
    }
}
