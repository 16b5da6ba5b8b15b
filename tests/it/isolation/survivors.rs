//! Nothing outlives its action: processes that hide, that will not die; and output in
//! floods, of any bytes, from processes that hold the pipe. Leaves out level `none`, which the executor's
//! own tests see to.

use std::fs;
use std::time::Duration;

use partita::base::{Clock as _, SystemClock};
use walkdir::WalkDir;

use crate::isolation::{Who, failed_closed};
use crate::support::{Outcome, Workspace};

/// Processes of this machine that have a mark in their command line.
fn marked(mark: &str) -> Vec<String> {
    let walk = WalkDir::new("/proc").min_depth(1).max_depth(1).into_iter().filter_map(Result::ok);
    let pids = walk.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    let command = |entry: walkdir::DirEntry| {
        let bytes = fs::read(entry.path().join("cmdline")).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        text.contains(mark).then_some(text)
    };
    pids.filter_map(command).collect()
}

/// A mark that no other test uses.
fn mark(test: &str) -> String {
    format!("partita-mark-{test}-{}", std::process::id())
}

/// Runs a Python program as an action at a level.
fn act(level: &str, mark: &str, properties: &str, program: &str) -> (Workspace, Outcome) {
    let spec = format!(
        "partita edition=1\ntool python3 {{ exec python3; }}\ngraph g {{\n  node act {{\n    input act.py\n    \
         run python3 act.py \"{mark}\"\n    output done\n    {properties}\n  }}\n}}\n"
    );
    let workspace = Workspace::new().file("partita.kdl", &spec).file("act.py", program);
    let outcome = Who::Self_.run(&workspace, &["run", "g", "--isolation", level]);
    (workspace, outcome)
}

/// Leaves processes behind in every way known: a background one, one in a session of its own, one
/// twice removed, one that ignores signals, one that is stopped; all of them hold standard output.
const HIDERS: &str = r#"
import os, signal, sys, time
MARK = "%MARK%"
def sleeper():
    os.execv(sys.executable, ["sleeper", "-c", "import time,signal\nfor s in (1,2,3,15): signal.signal(s, signal.SIG_IGN)\nopen('ready-%d' % __import__('os').getpid(), 'w').close()\nwhile True: time.sleep(1)", MARK])
def background():
    if os.fork() == 0: sleeper()
def session():
    if os.fork() == 0:
        os.setsid(); sleeper()
def twice():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: sleeper()
        os._exit(0)
def bare():
    if os.fork() == 0:
        os.setsid(); os.chdir("/"); os.environ.clear()
        if os.fork() == 0:
            os.execve(sys.executable, ["sleeper", "-c", "import time\nwhile True: time.sleep(1)", MARK], {})
        os._exit(0)
def stopped():
    if os.fork() == 0:
        os.kill(os.getpid(), signal.SIGSTOP); sleeper()
for way in (background, session, twice, bare, stopped): way()
while len([n for n in os.listdir(".") if n.startswith("ready-")]) < 3: time.sleep(0.01)
open("done", "w").close()
"#;

#[expect(clippy::print_stderr, reason = "the figure is what the test is for")]
fn nothing_survives(level: &str) {
    let mark = mark(&format!("hiders-{level}"));
    let (_workspace, outcome) = act(level, &mark, "", &HIDERS.replace("%MARK%", &mark));
    if failed_closed(&outcome, level) {
        return;
    }
    outcome.ok();
    let left = marked(&mark);
    eprintln!("isolation {level}: 5 ways to hide, {} survivors", left.len());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn no_process_survives_its_action_at_full() {
    nothing_survives("full");
}

#[test]
fn no_process_survives_its_action_at_landlock() {
    nothing_survives("landlock");
}

#[test]
fn who_ignores_the_end_of_its_time_is_killed() {
    for level in ["full", "landlock"] {
        let mark = mark(&format!("deaf-{level}"));
        let program = format!(
            "import os,signal,sys,time\nfor s in (1,2,15): signal.signal(s, signal.SIG_IGN)\n\
             if os.fork() == 0:\n  os.setsid()\n  os.execv(sys.executable, ['sleeper', '-c', \
             'import time\\nwhile True: time.sleep(1)', '{mark}'])\nwhile True: time.sleep(1)\n"
        );
        let clock = SystemClock::new();
        let begun = clock.elapsed();
        let (_workspace, outcome) = act(level, &mark, "timeout \"1s\"", &program);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.expect(1).says("took longer than its timeout of 1.0 s");
        assert!(clock.elapsed() < begun + Duration::from_secs(30));
        assert_eq!(marked(&mark), Vec::<String>::new());
    }
}

/// Each process makes two more, six times over: 63 at the most, all in sessions of their own, deaf to what can be ignored.
const BOMB: &str = "\
import os, signal, time
for s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)
open('done', 'w').close()
def burst(left):
    try: os.setsid()
    except PermissionError: pass
    for _ in range(2 if left else 0):
        if os.fork() == 0:
            burst(left - 1)
            time.sleep(600)
            os._exit(0)
burst(5)
time.sleep(600)
";

#[test]
fn what_multiplies_is_ended_and_leaves_nothing() {
    for level in ["full", "landlock"] {
        for (limits, says) in [("limits processes=20\n    timeout \"5s\"", "E0218"), ("timeout \"1s\"", "E0207")] {
            let mark = mark(&format!("bomb-{level}-{says}"));
            let (_workspace, outcome) = act(level, &mark, limits, BOMB);
            if failed_closed(&outcome, level) {
                continue;
            }
            if level == "landlock" && says == "E0218" {
                // Only those in its process group count there, where no control group does.
                assert_ne!(outcome.status, 0, "{}", outcome.describe());
            } else {
                outcome.expect(1).says(says);
            }
            assert_eq!(marked(&mark), Vec::<String>::new(), "{level} {says}");
        }
    }
}

#[test]
fn floods_and_odd_bytes_are_bounded_and_kept() {
    for level in ["full", "landlock"] {
        let program = "import os\nchunk = b'\\xff\\xfe flood \\x00\\n' * 8192\nfor _ in range(600): os.write(1, chunk)\n\
                       os.write(2, b'\\xff\\x00 end')\nopen('done','w').close()\n";
        let (workspace, outcome) = act(level, "unmarked", "", program);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.ok();
        let kept: u64 = WalkDir::new(workspace.store())
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .filter_map(|entry| Some(entry.metadata().ok()?.len()))
            .sum();
        assert!(kept < 40 << 20, "{level}: {kept} bytes of 60 MB were kept");
    }
}

#[test]
fn closed_streams_do_no_harm() {
    for level in ["full", "landlock"] {
        let program = "import os\nos.close(0); os.close(1); os.close(2)\nopen('done','w').close()\n";
        let (_workspace, outcome) = act(level, "unmarked", "", program);
        if !failed_closed(&outcome, level) {
            outcome.ok();
        }
    }
}

#[test]
fn the_runner_killed_takes_its_sandboxes_along() {
    let mark = mark("orphaned");
    let program = format!(
        "import os,sys\nopen('done','w').close()\nos.execv(sys.executable, ['sleeper', '-c', 'import time\\nwhile True: \
         time.sleep(1)', '{mark}'])\n"
    );
    let spec = "partita edition=1\ntool python3 { exec python3; }\ngraph g {\n  node act {\n    input act.py\n    \
                run python3 act.py\n    output done\n  }\n}\n";
    let workspace = Workspace::new().file("partita.kdl", spec).file("act.py", &program);
    let outcome = workspace.run(&["run", "g", "--isolation", "full", "--require-cached"]);
    if failed_closed(&outcome, "full") {
        return;
    }
    let mut running = workspace
        .partita(&["run", "g", "--isolation", "full"])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .command()
        .spawn()
        .expect("it can be started");
    until(|| !marked(&mark).is_empty());
    running.kill().expect("it can be killed");
    running.wait().expect("it can be waited for");
    until(|| marked(&mark).is_empty());
}

/// Waits for something to become true.
fn until(mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let begun = clock.elapsed();
    while !is_so() {
        assert!(clock.elapsed() < begun + Duration::from_mins(1), "it did not come to be");
        std::thread::yield_now();
    }
}
