//! Runs that are stopped, killed, or doubled: what is left is whole, no process survives, and the next
//! run goes on. Leaves out timeouts.

use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, test_kill_process};

use crate::support::{Gate, Outcome, Workspace, tool};

/// A workspace whose second action tells that it has started, and waits to be let on.
struct Held {
    workspace: Workspace,
    started: Gate,
    release: Gate,
}

impl Held {
    /// `before` is what the waiting action does first, in the shell.
    fn new(before: &str) -> Self {
        let workspace = Workspace::new();
        let started = Gate::new(&workspace.around().join("started"));
        let release = Gate::new(&workspace.around().join("release"));
        let spec = format!(
            "partita edition=1\ngraph g {{\n    node first {{ run sh -c \"echo 1 > first.txt\"; output first.txt }}\n    \
             node held {{\n        input first.txt from=(ref)first.first.txt\n        \
             run sh -c \"{before} echo $$ > \\\"$STARTED\\\"; read go < \\\"$RELEASE\\\"; cat first.txt > held.txt\"\n        \
             env STARTED=\"{}\" RELEASE=\"{}\"\n        output held.txt\n    }}\n    \
             node last {{ input held.txt from=(ref)held.held.txt; copy held.txt; output last.txt }}\n}}\n",
            started.path().display(),
            release.path().display()
        );
        workspace.write("partita.kdl", spec);
        Self { workspace, started, release }
    }

    fn start(&self) -> Child {
        let mut command = self.workspace.partita(&["run", "g"]).command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// Lets the action on, runs to the end, and looks at everything.
    #[track_caller]
    fn goes_on(mut self, outcome: &Outcome) {
        assert!(!self.workspace.has("out/g/last"), "half of a result is none");
        assert!(!self.workspace.has("out/g/held"));
        self.release.open(1);
        let again = self.workspace.run(&["run", "g"]).ok();
        let [ran, cached, cut_off, failed, skipped] = again.counts();
        assert_eq!(
            [ran + cached + cut_off, failed, skipped],
            [3, 0, 0],
            "{}\n{}",
            outcome.describe(),
            again.describe()
        );
        assert_eq!(self.workspace.read("out/g/last/last.txt"), "1\n");
        assert_eq!(self.workspace.unfinished(), [""; 0]);
        self.workspace.run(&["store", "verify"]).ok();
        assert_eq!(self.workspace.run(&["run", "g"]).ok().counts(), [0, 3, 0, 0, 0]);
    }
}

fn pid_of(line: &str) -> Pid {
    line.parse().ok().and_then(Pid::from_raw).expect("a process says its number")
}

fn finish(child: Child) -> Outcome {
    Outcome::new("partita run g".to_owned(), child.wait_with_output().expect("it can be waited for"))
}

/// Waits until a process that is not ours to wait for has ended.
fn wait_for_the_end_of(pid: Pid) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)).expect("a process can be polled");
    assert!(ready > 0, "process {pid:?} does not end");
}

#[test]
fn an_interrupt_ends_the_run_in_good_order() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        // A process of its own session is part of the action as well.
        let mut held = Held::new("sleep 1000 & echo $! > \\\"$STARTED\\\";");
        let child = held.start();
        let pids = [pid_of(&held.started.wait()), pid_of(&held.started.wait())];
        held.workspace.run(&["runs"]).ok().prints("started");
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let outcome = finish(child).expect(status);
        for pid in pids {
            assert!(test_kill_process(pid).is_err(), "process {pid:?} survived\n{}", outcome.describe());
        }
        assert_eq!(outcome.counts(), [1, 0, 0, 0, 2], "{}", outcome.describe());
        assert_eq!(held.workspace.unfinished(), [""; 0]);
        held.workspace.run(&["runs"]).ok().prints("cancelled");
        held.workspace.run(&["why", "g/held"]).ok().prints("g/held: skipped").prints("the run was stopped");
        held.goes_on(&outcome);
    }
}

#[test]
fn a_terminal_that_goes_away_is_no_matter_for_who_ignores_it() {
    let mut held = Held::new("");
    // As `nohup` starts it.
    let mut command = held.workspace.partita(&["run", "g"]).after("trap '' HUP").command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    held.started.wait();
    kill_process(Pid::from_child(&child), Signal::HUP).expect("it runs");
    held.release.open(1);
    assert_eq!(finish(child).ok().counts(), [3, 0, 0, 0, 0]);
}

#[test]
fn an_action_that_ignores_the_request_is_killed() {
    let mut held = Held::new("trap '' TERM INT;");
    let child = held.start();
    let pid = pid_of(&held.started.wait());
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let outcome = finish(child).expect(130);
    assert!(test_kill_process(pid).is_err(), "it survived\n{}", outcome.describe());
    held.goes_on(&outcome);
}

#[test]
fn an_interrupt_of_a_delivery_makes_no_bundle() {
    let mut held = Held::new("");
    held.workspace
        .append("partita.kdl", "bundle b from=g version=\"1.0.0\" { include last output=last.txt to=\"last.txt\" }\n");
    let mut command = held.workspace.partita(&["deliver", "b"]).command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    held.started.wait();
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let outcome = finish(child).expect(130);
    assert!(!held.workspace.has("out/bundles"), "{}", outcome.describe());
    held.goes_on(&outcome);
}

#[test]
fn a_killed_run_loses_nothing_but_time() {
    let mut held = Held::new("");
    let mut child = held.start();
    let action = pid_of(&held.started.wait());
    child.kill().expect("it runs");
    let outcome = finish(child).expect(137);
    // It waits for ever, but for the warden.
    wait_for_the_end_of(action);
    let runs = held.workspace.run(&["runs"]).ok();
    assert!(runs.stdout.contains("interrupted"), "{}", runs.describe());
    held.goes_on(&outcome);
}

/// In a container of its own the program is process 1, and so is the next: a number says nothing of who is alive.
#[test]
fn a_container_that_is_killed_is_taken_up_by_the_next() {
    let Some(unshare) = tool("unshare") else { return };
    let kinds = ["--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child"];
    let mut held = Held::new("echo $PPID > \\\"$STARTED\\\";");
    if held.workspace.command(&unshare, &[&kinds[..], &["true"]].concat()).run().status != 0 {
        eprintln!("skipped: there are no containers here");
        return;
    }
    let (store, state) = (held.workspace.store(), held.workspace.state());
    let places = ["--store", store.to_str().expect("UTF-8"), "--state", state.to_str().expect("UTF-8")];
    let run = [&kinds[..], &[env!("CARGO_BIN_EXE_partita")], &places, &["run", "g", "--isolation", "none"]].concat();
    let inside = |workspace: &Workspace| workspace.command(&unshare, &run).env("PARTITA_MEMO", "off");
    for _ in 0..2 {
        let mut child = inside(&held.workspace).command().spawn().expect("it starts");
        assert_eq!(held.started.wait(), "1", "the first process of its container");
        held.started.wait();
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }
    // Those that were killed may still be on their way out, and take theirs.
    held.release.open(3);
    let outcome = inside(&held.workspace).run().ok();
    assert_eq!(outcome.counts()[3..], [0, 0], "{}", outcome.describe());
    assert_eq!(held.workspace.read("out/g/last/last.txt"), "1\n");
    assert_eq!(held.workspace.unfinished(), [""; 0]);
    held.workspace.run(&["store", "verify"]).ok().prints("all sound");
    let runs = held.workspace.run(&["runs"]).ok();
    assert_eq!(runs.stdout.matches("interrupted").count(), 2, "{}", runs.describe());
}

#[test]
fn who_does_not_listen_is_no_reason_to_fail() {
    let workspace = Workspace::with_spec("graph g {\n    node a { run sh -c \"echo a > o\"; output o }\n}\n");
    let program = env!("CARGO_BIN_EXE_partita");
    // Closed from the start, or by a reader who goes at once.
    for how in [">&-", "2>&-", ">&- 2>&- <&-", "| :", "2>&1 >&- | :", "--progress plain 2>&1 | :"] {
        let _ = std::fs::remove_dir_all(workspace.path("out"));
        let (more, redirection) = if how.starts_with("--") { how.split_at(17) } else { ("", how) };
        let line = format!("set -o pipefail 2> /dev/null; '{program}' run g --refresh g {more} {redirection}");
        let store = workspace.store();
        let run = workspace.command(&tool("bash").expect("there is a shell"), &["-c", &line]);
        let outcome = run.env("PARTITA_STORE", store).env("PARTITA_STATE", workspace.state()).run();
        assert_eq!(outcome.status, 0, "{how}: {}", outcome.describe());
        assert_eq!(workspace.read("out/g/a/o"), "a\n", "{how}");
    }
}

#[test]
fn a_run_killed_at_any_moment_is_followed_by_a_good_one() {
    // The moments are those at which something was told: after each line of progress.
    let spec: String = (0..12)
        .map(|n| {
            let input = if n == 0 { String::new() } else { format!("input p from=(ref)n{}.o; ", n - 1) };
            format!("    node n{n} {{ {input}run sh -c \"echo {n} > o\"; output o }}\n")
        })
        .collect();
    let workspace = Workspace::with_spec(&format!("graph g {{\n{spec}}}\n"));
    for lines in [1, 2, 5, 9] {
        workspace.drop_store();
        let mut command = workspace.partita(&["run", "g", "--progress", "plain"]).command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut told = std::io::BufReader::new(child.stderr.take().expect("it is piped"));
        for _ in 0..lines {
            std::io::BufRead::read_line(&mut told, &mut String::new()).expect("progress is told");
        }
        // It may have ended already, which is as good a moment as any.
        let _ = child.kill();
        child.wait().expect("it can be waited for");
        let again = workspace.run(&["run", "g"]).ok();
        let [ran, cached, cut_off, ..] = again.counts();
        assert_eq!(ran + cached + cut_off, 12, "{}", again.describe());
        assert_eq!(workspace.read("out/g/n11/o"), "11\n");
        assert_eq!(workspace.unfinished(), [""; 0]);
        workspace.run(&["store", "verify"]).ok();
    }
}

#[test]
fn two_processes_run_the_same_graph_on_one_store() {
    let mut held = Held::new("");
    let first = held.start();
    held.started.wait();
    // The second finds the first action's result only if it is durable already; either way both are right.
    let second = held.start();
    held.started.wait();
    held.release.open(2);
    for child in [first, second] {
        let outcome = finish(child).ok();
        let [ran, cached, cut_off, failed, skipped] = outcome.counts();
        assert_eq!([ran + cached + cut_off, failed, skipped], [3, 0, 0], "{}", outcome.describe());
    }
    assert_eq!(held.workspace.read("out/g/last/last.txt"), "1\n");
    assert_eq!(held.workspace.unfinished(), [""; 0]);
    held.workspace.run(&["store", "verify"]).ok().prints("all sound");
    assert_eq!(held.workspace.run(&["run", "g"]).ok().counts(), [0, 3, 0, 0, 0]);
    let runs = held.workspace.run(&["runs", "--format", "json"]).ok().json_lines();
    assert!(runs.iter().all(|run| run["status"] == "succeeded"), "{runs:?}");
}

#[test]
fn many_processes_at_once_agree() {
    let nodes: String =
        (0..20).map(|n| format!("    node n{n} {{ run sh -c \"echo {n} > o\"; output o }}\n")).collect();
    let workspace = Workspace::with_spec(&format!("graph g {{\n{nodes}}}\n"));
    let start = || {
        let mut command = workspace.partita(&["run", "g", "-j", "2"]).command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let children: Vec<Child> = (0..4).map(|_| start()).collect();
    for child in children {
        let outcome = finish(child).ok();
        assert_eq!(outcome.counts()[3..], [0, 0], "{}", outcome.describe());
    }
    for n in 0..20 {
        assert_eq!(workspace.read(&format!("out/g/n{n}/o")), format!("{n}\n"));
    }
    workspace.run(&["store", "verify"]).ok().prints("all sound");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [0, 20, 0, 0, 0]);
}
