//! What an action may use at most: each limit broken, at each level, and told apart. Leaves out time, which
//! the executor's own tests see to, and limits that nobody declared.

use crate::isolation::{Who, failed_closed};
use crate::support::{Outcome, Workspace};

const LEVELS: [&str; 3] = ["full", "landlock", "none"];

fn workspace(limits: &str, program: &str) -> Workspace {
    let spec = format!(
        "partita edition=1\ntool python3 {{ exec python3 }}\ngraph g {{\n  node act {{\n    input act.py\n    \
         run python3 act.py\n    output out type=artifact.dir\n    limits {limits}\n    timeout \"60s\"\n  }}\n}}\n"
    );
    Workspace::new().file("partita.kdl", &spec).file("act.py", program)
}

fn act(level: &str, limits: &str, program: &str) -> (Workspace, Outcome) {
    let workspace = workspace(limits, program);
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

/// What is said of a file that grew too large, or what the watch says if it was there before.
fn says_either(outcome: &Outcome, says: &str) {
    let watched = "in its folders, more than its limit of";
    assert!([says, watched].iter().any(|says| outcome.stderr.contains(says)), "{}", outcome.describe());
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
    // Whoever looks first: the watch, or who collects.
    breaks("output=\"1MB\"", program, "more than its limit of 976.5 KiB");
}

#[test]
fn too_many_files_are_not_kept() {
    let program = "import os\nos.mkdir('out')\nfor n in range(11): open('out/%d' % n, 'w').close()\n";
    breaks("files=10", program, "more than its limit of 10");
}

#[test]
fn a_file_that_grows_too_large_ends_the_action() {
    let program = "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nos.mkdir('out')\n\
                   open('out/large', 'wb').write(b'x' * 5000000)\n";
    for level in ["full", "landlock"] {
        let (_workspace, outcome) = act(level, "output=\"1MB\"", program);
        if !failed_closed(&outcome, level) {
            says_either(&outcome.expect(1).says("error[E0218]"), "wrote a file of more than");
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
            says_either(&outcome.expect(1).says("error[E0218]"), "was refused, and exited with 3");
        }
    }
}

/// Files of half a megabyte, one after the other.
const FILL: &str = "import os, time\ndef fill(folder, count, done=lambda f, path: f.close()):\n  for n in range(count):\n    \
                    path = '%s/%d' % (folder, n)\n    f = open(path, 'w+b')\n    f.write(b'x' * 500000)\n    f.flush()\n    \
                    done(f, path)\n";

#[test]
fn what_is_no_output_counts_as_well() {
    let program = format!("{FILL}fill(os.environ['TMPDIR'], 20)\ntime.sleep(60)\n");
    breaks("output=\"1MB\"", &program, "in its folders, more than its limit of 976.5 KiB, and was killed");
    let program = format!("{FILL}fill(os.environ['HOME'], 20)\ntime.sleep(60)\n");
    breaks("output=\"1MB\"", &program, "help: `limits output=` bounds all that it holds beyond its inputs");
}

#[test]
fn what_is_deleted_and_open_counts_as_well() {
    let program = format!(
        "{FILL}held = []\ndef done(f, path):\n  held.append(f)\n  os.remove(path)\nfill(os.environ['TMPDIR'], 20, done)\n\
         time.sleep(60)\n"
    );
    breaks("output=\"1MB\"", &program, "in its folders, more than its limit of 976.5 KiB, and was killed");
    // Python keeps the file of a mapping open, unlike C.
    let mapped = format!(
        "{FILL}import ctypes\nlibc = ctypes.CDLL(None)\nlibc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 \
         + [ctypes.c_long]\ndef done(f, path):\n  libc.mmap(None, 500000, 1, 1, f.fileno(), 0)\n  f.close()\n  os.remove(path)\n\
         fill('.', 20, done)\ntime.sleep(60)\n"
    );
    breaks("output=\"1MB\"", &mapped, "in its folders, more than its limit of 976.5 KiB, and was killed");
}

#[test]
fn what_is_left_behind_in_no_time_counts_as_well() {
    let program = format!("{FILL}os.mkdir('out')\nfill(os.environ['TMPDIR'], 5)\n");
    for level in LEVELS {
        let (workspace, outcome) = act(level, "output=\"1MB\"", &program);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.expect(1).says("error[E0218]").says("2.3 MiB in its folders, more than its limit of 976.5 KiB");
        workspace.write("partita.kdl", workspace.read("partita.kdl").replace("output=\"1MB\"", "output=\"3MB\""));
        Who::Self_.run(&workspace, &["run", "g", "--isolation", level]).ok().says("1 ran");
    }
}

#[test]
fn what_is_gone_again_does_not_count() {
    let program = format!(
        "{FILL}os.mkdir('out')\nfill(os.environ['TMPDIR'], 20, lambda f, path: (f.close(), os.remove(path)))\n"
    );
    for level in LEVELS {
        let (_workspace, outcome) = act(level, "output=\"1MB\"", &program);
        if !failed_closed(&outcome, level) {
            outcome.ok();
        }
    }
}

#[test]
fn too_many_files_that_are_no_outputs_end_the_action() {
    let program =
        "import os, time\nfor n in range(30): open(os.environ['TMPDIR'] + '/%d' % n, 'w').close()\ntime.sleep(60)\n";
    breaks("files=10", program, "files in its folders, more than its limit of 10, and was killed");
}

#[test]
fn a_folder_that_the_action_closed_to_its_user_is_looked_into() {
    let program = format!(
        "{FILL}folder = os.environ['TMPDIR'] + '/closed'\nos.mkdir(folder)\nos.chmod(folder, 0o300)\nfill(folder, 20)\n\
         time.sleep(60)\n"
    );
    let (_workspace, outcome) = act("full", "output=\"1MB\"", &program);
    if !failed_closed(&outcome, "full") {
        outcome.expect(1).says("error[E0218]").says("in its folders, more than its limit of 976.5 KiB");
    }
}

#[test]
fn memory_that_is_shared_counts() {
    let anonymous = "import mmap, time\nheld = mmap.mmap(-1, 160 << 20)\nfor at in range(0, len(held), 4096): held[at] = 1\n\
                     time.sleep(60)\n";
    breaks("memory=\"100MiB\"", anonymous, "more memory than its limit of 100.0 MiB");
    let file = "import os, time\nheld = os.memfd_create('held')\nfor _ in range(40): os.write(held, b'x' * (4 << 20))\n\
                time.sleep(60)\n";
    breaks("memory=\"100MiB\"", file, "more memory than its limit of 100.0 MiB");
}

#[test]
fn memory_that_nobody_has_mapped_counts() {
    // A segment goes with the namespace; where there is none, it would stay.
    let program = "import ctypes, time\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n\
                   number = libc.shmget(0, 160 << 20, 0o1600)\nat = ctypes.c_void_p(libc.shmat(number, None, 0))\n\
                   assert number >= 0 and at.value != 2 ** 64 - 1\nctypes.memset(at, 1, 160 << 20)\nlibc.shmdt(at)\n\
                   time.sleep(60)\n";
    let (_workspace, outcome) = act("full", "memory=\"100MiB\"", program);
    if !failed_closed(&outcome, "full") {
        outcome.expect(1).says("error[E0218]").says("more memory than its limit of 100.0 MiB");
    }
}

#[test]
fn memory_that_several_processes_share_counts_once() {
    // Each of four has 40 MiB of its parent's, and all have 40 MiB that are everybody's.
    let program = "import mmap, os, time\nown = bytearray(b'x') * (40 << 20)\nall = mmap.mmap(-1, 40 << 20)\n\
                   def touch():\n  for at in range(0, len(all), 4096): all[at] = 1\ntouch()\n\
                   for _ in range(4):\n  if os.fork() == 0:\n    touch()\n    time.sleep(1)\n    os._exit(0)\n\
                   for _ in range(4): os.wait()\nos.mkdir('out')\n";
    for level in LEVELS {
        let (_workspace, outcome) = act(level, "memory=\"160MiB\"", program);
        if !failed_closed(&outcome, level) {
            outcome.ok();
        }
    }
}

#[test]
fn who_is_watched_gets_no_right_of_who_watches() {
    // It looks into folders that their owner may not look into; the action does not.
    let program = "import os\nos.mkdir('out')\nstatus = open('/proc/self/status').read().split('\\n')\n\
                   rights = [line for line in status if line.startswith('Cap')]\n\
                   assert len(rights) == 5 and all(int(line.split()[1], 16) == 0 for line in rights), rights\n\
                   os.mkdir('closed')\nos.chmod('closed', 0o300)\n\
                   try:\n  os.listdir('closed')\n  raise SystemExit('it could look into it')\nexcept PermissionError:\n  pass\n\
                   try:\n  os.readlink('/proc/1/exe')\n  raise SystemExit('it could look at its watch')\n\
                   except PermissionError:\n  os.chmod('closed', 0o700)\n";
    let (_workspace, outcome) = act("full", "output=\"1MB\"", program);
    if !failed_closed(&outcome, "full") {
        outcome.ok();
    }
}

#[test]
fn ordinary_users_are_bounded_as_well() {
    let folders = format!("{FILL}fill(os.environ['TMPDIR'], 20)\ntime.sleep(60)\n");
    let closed = format!(
        "{FILL}folder = os.environ['TMPDIR'] + '/closed'\nos.mkdir(folder)\nos.chmod(folder, 0o300)\nfill(folder, 20)\n\
         time.sleep(60)\n"
    );
    let shared = "import mmap, time\nheld = mmap.mmap(-1, 160 << 20)\nfor at in range(0, len(held), 4096): held[at] = 1\n\
                  time.sleep(60)\n";
    if !Who::Nobody.is_possible() {
        return;
    }
    for level in LEVELS {
        for (program, limits, says) in [
            (folders.as_str(), "output=\"1MB\"", "in its folders, more than its limit of 976.5 KiB"),
            (shared, "memory=\"100MiB\"", "more memory than its limit of 100.0 MiB"),
            (closed.as_str(), "output=\"1MB\"", "in its folders, more than its limit of 976.5 KiB"),
        ] {
            if level != "full" && program == closed {
                continue;
            }
            let workspace = workspace(limits, program);
            Who::Nobody.own(&workspace);
            let outcome = Who::Nobody.run(&workspace, &["run", "g", "--isolation", level]);
            if !failed_closed(&outcome, level) {
                outcome.expect(1).says("error[E0218]").says(says);
            }
        }
    }
}
