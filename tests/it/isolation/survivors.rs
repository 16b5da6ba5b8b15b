//! Nothing outlives its action: processes that hide, that will not die; and output in
//! floods, of any bytes, from processes that hold the pipe; and nothing outlives a runner that is killed. Leaves out what
//! the executor's own tests see to without the program.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use partita::base::{Clock as _, SystemClock};
use walkdir::WalkDir;

use crate::isolation::{Who, failed_closed, program};
use crate::support::{Outcome, Workspace};

/// Processes of this machine that have a mark in their command line: their numbers and that.
pub(super) fn marked(mark: &str) -> Vec<String> {
    let walk = WalkDir::new("/proc").min_depth(1).max_depth(1).into_iter().filter_map(Result::ok);
    let pids = walk.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    let command = |entry: walkdir::DirEntry| {
        let bytes = fs::read(entry.path().join("cmdline")).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        text.contains(mark).then(|| format!("{} {text}", entry.file_name().display()))
    };
    pids.filter_map(command).collect()
}

/// A mark that no other test uses.
pub(super) fn mark(test: &str) -> String {
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
def joining():
    # The group of the runner, of which helpers are.
    group = os.getpgid(os.getppid())
    if os.fork() == 0:
        try: os.setpgid(0, group)
        except OSError: pass
        sleeper()
def joining_bare():
    group = os.getpgid(os.getppid())
    if os.fork() == 0:
        try: os.setpgid(0, group)
        except OSError: pass
        os.chdir("/")
        if os.fork() == 0:
            os.execve(sys.executable, ["sleeper", "-c", "import time\nwhile True: time.sleep(1)", MARK], {})
        os._exit(0)
for way in (background, session, twice, bare, stopped, joining, joining_bare): way()
while len([n for n in os.listdir(".") if n.startswith("ready-")]) < 4: time.sleep(0.01)
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
    eprintln!("isolation {level}: 7 ways to hide, {} survivors", left.len());
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
fn no_process_survives_its_action_at_none() {
    nothing_survives("none");
}

#[test]
fn who_ignores_the_end_of_its_time_is_killed() {
    for level in ["full", "landlock", "none"] {
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
    for level in ["full", "landlock", "none"] {
        for (limits, says) in [("limits processes=20\n    timeout \"5s\"", "E0218"), ("timeout \"1s\"", "E0207")] {
            let mark = mark(&format!("bomb-{level}-{says}"));
            let (_workspace, outcome) = act(level, &mark, limits, BOMB);
            if failed_closed(&outcome, level) {
                continue;
            }
            if level != "full" && says == "E0218" {
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
    for level in ["full", "landlock", "none"] {
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
    for level in ["full", "landlock", "none"] {
        let program = "import os\nos.close(0); os.close(1); os.close(2)\nopen('done','w').close()\n";
        let (_workspace, outcome) = act(level, "unmarked", "", program);
        if !failed_closed(&outcome, level) {
            outcome.ok();
        }
    }
}

/// Stays, with processes that are in its group, in a session of their own, twice removed, stopped, without variables, and
/// children of these.
const STAYERS: &str = r#"
import os, signal, sys, time
MARK = "%MARK%"
SLEEP = "import os,time,signal,sys\nfor s in (1,2,3,15): signal.signal(s, signal.SIG_IGN)\nif 'parent' in sys.argv and os.fork() == 0:\n  os.setsid()\nwhile True: time.sleep(1)"
def sleeper(env, *more):
    os.execve(sys.executable, ["sleeper", "-c", SLEEP, MARK, *more], env)
def child(do):
    if os.fork() == 0: do()
def session(do):
    os.setsid(); do()
def twice(do):
    os.setsid()
    if os.fork() == 0: do()
    os._exit(0)
def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)
    sleeper(os.environ)
def away(do):
    os.setsid(); os.chdir("/"); do()
child(lambda: sleeper(os.environ))
child(lambda: session(lambda: sleeper(os.environ, "parent")))
child(lambda: twice(lambda: sleeper(os.environ)))
child(lambda: twice(lambda: sleeper({})))
child(lambda: away(lambda: sleeper({})))
child(lambda: twice(lambda: away(lambda: sleeper({}))))
child(stopped)
os.execve(sys.executable, ["sleeper", "-c", SLEEP, MARK, "first"], {})
"#;

/// How many of them there are, the first and the children of one included.
const STAYING: usize = 8;

/// Kills the runner, or its group, while all of them are there, and waits until none is.
#[expect(clippy::print_stderr, reason = "the figure is what the test is for")]
fn the_runner_killed_takes_all_along(level: &str, group: bool) {
    let mark = mark(&format!("stayers-{level}-{group}"));
    let spec = "partita edition=1\ntool python3 { exec python3; }\ngraph g {\n  node act {\n    input act.py\n    \
                run python3 act.py\n    output done\n  }\n}\n";
    let workspace = Workspace::new().file("partita.kdl", spec).file("act.py", &STAYERS.replace("%MARK%", &mark));
    let outcome = workspace.run(&["run", "g", "--isolation", level, "--require-cached"]);
    if failed_closed(&outcome, level) {
        return;
    }
    let mut running = workspace
        .partita(&["run", "g", "--isolation", level])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .command()
        .process_group(0)
        .spawn()
        .expect("it can be started");
    until(|| marked(&mark).len() >= STAYING);
    if level != "full" {
        // Who hides is found by whoever looked before: once, and once more as that may have been under way.
        let warden = warden_of(running.id());
        let begun = looks(warden);
        until(|| looks(warden) >= begun + 2);
    }
    let clock = SystemClock::new();
    if group {
        let runner = rustix::process::Pid::from_child(&running);
        rustix::process::kill_process_group(runner, rustix::process::Signal::KILL).expect("it can be killed");
    } else {
        running.kill().expect("it can be killed");
    }
    running.wait().expect("it can be waited for");
    until(|| marked(&mark).is_empty());
    let left = if group { "its group" } else { "the runner" };
    eprintln!("isolation {level}: {STAYING} processes gone {} ms after {left} was killed", clock.elapsed().as_millis());
}

/// The process that ends what a runner leaves.
fn warden_of(runner: u32) -> u32 {
    let mut all = marked("partita:sandbox ward").into_iter().filter_map(|found| found.split(' ').next()?.parse().ok());
    let is_of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&runner.to_string())
    };
    all.find(is_of).expect("the runner has a warden")
}

/// How often a process has waited for something.
fn looks(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn the_runner_killed_takes_its_sandboxes_along() {
    the_runner_killed_takes_all_along("full", false);
    the_runner_killed_takes_all_along("full", true);
}

#[test]
fn the_runner_killed_takes_its_confined_actions_along() {
    the_runner_killed_takes_all_along("landlock", false);
    the_runner_killed_takes_all_along("landlock", true);
}

#[test]
fn the_runner_killed_takes_its_plain_actions_along() {
    the_runner_killed_takes_all_along("none", false);
    the_runner_killed_takes_all_along("none", true);
}

#[test]
fn what_others_do_in_a_folder_of_the_run_is_left_alone() {
    let spec = "partita edition=1\ntool sleep { exec sleep; }\ngraph g {\n  node act {\n    run sleep \"600\"\n    \
                output done\n  }\n}\n";
    let workspace = Workspace::with_spec(spec);
    // One that was there before, and shows the folder as an action does.
    let before = workspace.around().join("store/tmp");
    let visitor = workspace.command(&program("sleep"), &["600"]).env("ELSEWHERE", before).command().spawn();
    let mut visitor = visitor.expect("it can be started");
    let mut running = workspace.partita(&["run", "g", "--progress", "json"]).command();
    let mut running = running.stderr(std::process::Stdio::piped()).spawn().expect("it can be started");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.stderr.take().expect("it is a pipe")));
    let begun = lines.any(|line| line.is_ok_and(|line| line.contains("action-started")));
    assert!(begun, "it began");
    running.kill().expect("it can be killed");
    running.wait().expect("it can be waited for");
    // The warden holds nothing of the runner's, so that nobody waits for it by accident.
    assert_eq!(lines.map_while(Result::ok).filter(|line| line.contains("run-finished")).count(), 0);
    let around = workspace.around().to_str().expect("UTF-8").to_owned();
    until(|| sleeping_in(&around).is_empty());
    assert!(visitor.try_wait().expect("it can be asked").is_none(), "it still runs");
    visitor.kill().expect("it can be killed");
    visitor.wait().expect("it can be waited for");
}

/// Processes that work in a folder or below.
fn sleeping_in(folder: &str) -> Vec<std::path::PathBuf> {
    let walk = WalkDir::new("/proc").min_depth(1).max_depth(1).into_iter().filter_map(Result::ok);
    let cwds = walk.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    cwds.filter(|cwd| cwd.starts_with(std::path::Path::new(folder).join("store"))).collect()
}

/// Waits for something to become true.
pub(super) fn until(mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let begun = clock.elapsed();
    while !is_so() {
        assert!(clock.elapsed() < begun + Duration::from_mins(1), "it did not come to be");
        std::thread::yield_now();
    }
}

#[test]
fn a_shell_that_is_killed_takes_what_it_started_along() {
    for level in ["full", "landlock", "none"] {
        let mark = mark(&format!("visit-{level}"));
        let spec = "tool python3 { exec python3; }\ngraph g {\n  node act {\n    run sh -c \"exit 1\"\n    tools python3\n    \
                    output done\n  }\n}\n";
        let workspace = Workspace::with_spec(spec);
        let act = "import os, time\nos.fork()\nwhile True: time.sleep(1)";
        let args = ["shell", "g/act", "--isolation", level, "--", "python3", "-c", act, &mark];
        let outcome = workspace.run(&["run", "g", "--isolation", level, "--require-cached"]);
        if failed_closed(&outcome, level) {
            continue;
        }
        let mut shell = workspace.partita(&args).env("PATH", "/usr/local/bin:/usr/bin:/bin").command();
        let mut shell = shell.spawn().expect("it can be started");
        // The shell's own command line holds the mark as well.
        until(|| marked(&mark).iter().filter(|found| !found.contains("shell g/act")).count() >= 2);
        shell.kill().expect("it can be killed");
        shell.wait().expect("it can be waited for");
        until(|| marked(&mark).is_empty());
    }
}

#[test]
fn a_group_of_others_that_an_action_joined_is_left_alone() {
    for level in ["landlock", "none"] {
        let spec = "tool python3 { exec python3; }\ngraph g {\n  node act {\n    input act.py\n    run python3 act.py\n    \
                    output done\n  }\n}\n";
        let workspace = Workspace::with_spec(spec);
        let mark = mark(&format!("joins-{level}"));
        workspace.write(
            "act.py",
            format!(
                "import os, sys, time\n\
                 other = None\n\
                 while not other:\n  \
                   for pid in filter(str.isdigit, os.listdir('/proc')):\n    \
                     try: words = open('/proc/%s/cmdline' % pid, 'rb').read()\n    \
                     except OSError: continue\n    \
                     if words == b'other-{mark}\\x00600\\x00': other = int(pid)\n\
                 if os.fork() == 0:\n  os.setpgid(0, other)\n  os.execv(sys.executable, ['joined', '-c', 'import time\\nwhile \
                 True: time.sleep(1)', 'joined-{mark}'])\n\
                 time.sleep(600)\n"
            ),
        );
        let outcome = workspace.run(&["run", "g", "--isolation", level, "--require-cached"]);
        if failed_closed(&outcome, level) {
            continue;
        }
        let mut running = workspace.partita(&["run", "g", "--isolation", level]).env("PATH", "/usr/bin:/bin").command();
        let mut running = running.spawn().expect("it can be started");
        until(|| !marked("partita:sandbox ward").is_empty());
        let mut other = workspace.command(&program("sleep"), &["600"]).command();
        let mut other = other.arg0(format!("other-{mark}")).process_group(0).spawn().expect("it can be started");
        until(|| !marked(&format!("joined-{mark}")).is_empty());
        running.kill().expect("it can be killed");
        running.wait().expect("it can be waited for");
        until(|| {
            marked(&format!("joined-{mark}")).is_empty()
                && sleeping_in(workspace.around().to_str().expect("UTF-8")).is_empty()
        });
        assert!(other.try_wait().expect("it can be asked").is_none(), "{level}: it still runs");
        other.kill().expect("it can be killed");
        other.wait().expect("it can be waited for");
    }
}
