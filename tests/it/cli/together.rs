//! Targets of several graphs in one `run`: at once, with workers, pools, an exit status and a summary together, and each with
//! a run and policies of its own. Leaves out what one graph does.

use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Gate, Outcome, Workspace};

/// A workspace in whose spec `AROUND` stands for a folder outside of it, where processes leave what tests look at.
fn workspace(spec: &str) -> Workspace {
    let workspace = Workspace::new();
    let spec = format!("partita edition=1\n{spec}");
    workspace.write("partita.kdl", spec.replace("AROUND", &workspace.around().display().to_string()));
    workspace
}

/// Lines that processes left outside of the workspace.
fn lines(workspace: &Workspace, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace.around().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn pipe(workspace: &Workspace, name: &str) -> Gate {
    Gate::new(&workspace.around().join(name))
}

fn start(workspace: &Workspace, args: &[&str]) -> Child {
    let mut command = workspace.partita(args).command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn finish(child: Child) -> Outcome {
    Outcome::new("partita run".to_owned(), child.wait_with_output().expect("it can be waited for"))
}

fn action<'a>(report: &'a serde_json::Value, addr: &str) -> &'a serde_json::Value {
    let runs = report["runs"].as_array().expect("several runs");
    let actions = runs.iter().flat_map(|run| run["actions"].as_array().expect("a list"));
    actions.into_iter().find(|action| action["addr"] == addr).expect("the action is there")
}

/// Two actions that wait for each other's sign.
const MEET: &str = r#"
graph a { node x { run sh -c "echo 1 > AROUND/from-a; read sign < AROUND/from-b; echo x > o"; output o } }
graph b { node y { run sh -c "echo 1 > AROUND/from-b; read sign < AROUND/from-a; echo y > o"; output o } }
"#;

#[test]
fn graphs_are_run_at_once() {
    let workspace = workspace(MEET);
    let _signs = [pipe(&workspace, "from-a"), pipe(&workspace, "from-b")];
    let args = ["run", "a", "b/y", "-j", "2", "--timeout", "50s", "--format", "json"];
    let report = workspace.run(&args).ok().json();
    assert_eq!((&report["ran"], &report["failed"]), (&2.into(), &0.into()));
    assert_eq!(workspace.list("out"), ["a/x/o", "b/y/o"]);
    let of_runs: Vec<_> = report["runs"].as_array().expect("runs").iter().map(|run| &run["target"]).collect();
    assert_eq!(of_runs, ["a", "b/y"], "reports are in the order of the targets");
    // As long as the longest, and not as both together.
    let took = |value: &serde_json::Value| value["duration_ms"].as_u64().expect("milliseconds");
    let longest = report["runs"].as_array().expect("runs").iter().map(took).max();
    assert_eq!(Some(took(&report)), longest);
}

#[test]
fn workers_are_shared() {
    let nodes = |graph: &str| {
        let node = |n: u32| {
            format!(
                "    node x{n} {{ run sh -c \"mkdir AROUND/lock && echo {graph} >> AROUND/order && echo {graph}{n} > o && rmdir AROUND/lock\"; output o }}\n"
            )
        };
        format!("graph {graph} {{\n{}}}\n", (0..6).map(node).collect::<String>())
    };
    let one = workspace(&(nodes("a") + &nodes("b")));
    assert_eq!(one.run(&["run", "a", "b", "-j", "1"]).ok().counts(), [12, 0, 0, 0, 0]);
    // And they take turns: neither waits for the end of the other.
    let report =
        one.run(&["run", "a", "b", "-j", "1", "--refresh", "a", "--refresh", "b", "--format", "json"]).ok().json();
    assert_eq!(report["ran"], 12);
    let at = |graph: &str| lines(&one, "order").iter().position(|line| line == graph).expect("it ran");
    assert!(at("a").abs_diff(at("b")) < 3, "{:?}", lines(&one, "order"));
}

#[test]
fn a_pool_of_one_name_is_one() {
    let graph = |name: &str| {
        let node = |n: u32| {
            format!(
                "    node x{n} {{ run sh -c \"mkdir AROUND/lock && echo {name}{n} > o && rmdir AROUND/lock\"; output o; \
                 holds gpu amount=1 }}\n"
            )
        };
        format!("graph {name} {{\n    resource gpu capacity=1\n{}}}\n", (0..6).map(node).collect::<String>())
    };
    let workspace = workspace(&(graph("a") + &graph("b")));
    assert_eq!(workspace.run(&["run", "a", "b", "-j", "4"]).ok().counts(), [12, 0, 0, 0, 0]);
}

const SAME: &str = r#"
graph a { node x { run sh -c "echo did >> AROUND/log; echo same > o"; output o }; node y { input o from=(ref)x.o; run sh -c "cat o > p"; output p } }
graph b { node z { run sh -c "echo did >> AROUND/log; echo same > o"; output o }; node v { input o from=(ref)z.o; run sh -c "cat o o > p"; output p } }
"#;

#[test]
fn an_action_of_both_is_executed_once() {
    for jobs in ["1", "4"] {
        let workspace = workspace(SAME);
        let report = workspace.run(&["run", "a", "b", "-j", jobs, "--format", "json"]).ok().json();
        assert_eq!(lines(&workspace, "log"), ["did"], "{report}");
        assert_eq!((&report["ran"], &report["cached"]), (&3.into(), &1.into()));
        let outcomes = ["a/x", "b/z"].map(|addr| action(&report, addr)["outcome"].as_str().expect("a word").to_owned());
        assert!(outcomes.contains(&"ran".to_owned()) && outcomes.contains(&"cached".to_owned()), "{outcomes:?}");
        assert_eq!(action(&report, "a/x")["key"], action(&report, "b/z")["key"]);
        assert_eq!(workspace.read("out/b/v/p"), "same\nsame\n");
        workspace.run(&["why", "b/z"]).ok();
    }
}

#[test]
fn an_effect_is_one_for_each_address() {
    let effect = "run sh -c \"echo $PARTITA_IDEMPOTENCY_KEY >> AROUND/log; echo id > receipt\"; output receipt";
    let spec = format!(
        "graph a {{ node push class=effect {{ {effect} }} }}\ngraph b {{ node push class=effect {{ {effect} }} }}\n"
    );
    let workspace = workspace(&spec);
    assert_eq!(workspace.run(&["run", "a", "b", "-j", "4"]).ok().counts(), [2, 0, 0, 0, 0]);
    let log = lines(&workspace, "log");
    assert!(log.len() == 2 && log[0] != log[1], "{log:?}");
}

#[test]
fn one_that_fails_is_tried_by_the_other_for_itself() {
    let failing = "run sh -c \"echo did >> AROUND/log; echo no >&2; exit 3\"; output o";
    let workspace = workspace(&format!("graph a {{ node x {{ {failing} }} }}\ngraph b {{ node x {{ {failing} }} }}\n"));
    let outcome = workspace.run(&["run", "a", "b", "--keep-going", "-j", "4"]).expect(1);
    assert_eq!(outcome.counts(), [0, 0, 0, 2, 0]);
    assert!(lines(&workspace, "log").len() >= 2);
}

/// `b` goes on for as long as it is let.
const FAILS: &str = r#"
graph a { node x { run sh -c "read sign < AROUND/started; echo no >&2; exit 1"; output o } }
graph b {
    node y { run sh -c "echo 1 > AROUND/started; read go < AROUND/release; echo y > o"; output o }
    node z { input o from=(ref)y.o; run sh -c "cat o > p"; output p }
}
"#;

/// Runs it, and lets `b` on once `a` has failed.
fn run_failing(workspace: &Workspace, args: &[&str]) -> [u64; 5] {
    let _started = pipe(workspace, "started");
    let mut release = pipe(workspace, "release");
    let mut run = Watched::new(workspace, &[&["run", "a", "b", "-j", "2"], args].concat());
    run.until("action-finished", "a/x");
    release.open(1);
    let (status, counts) = run.end();
    assert_eq!(status, Some(1));
    counts
}

fn statuses(workspace: &Workspace) -> Vec<String> {
    let mut all: Vec<String> = workspace
        .run(&["runs", "--format", "json"])
        .ok()
        .json_lines()
        .iter()
        .flat_map(|line| line.as_array().cloned().unwrap_or_else(|| vec![line.clone()]))
        .map(|run| format!("{} {}", run["target"].as_str().expect("a text"), run["status"].as_str().expect("a text")))
        .collect();
    all.sort();
    all
}

#[test]
fn a_failure_in_one_stops_the_other_unless_either_says_otherwise() {
    let stopped = workspace(FAILS);
    assert_eq!(run_failing(&stopped, &[]), [1, 0, 0, 1, 1], "what runs is not interrupted");
    assert_eq!(stopped.list("out"), [""; 0] as [&str; 0]);
    assert_eq!(statuses(&stopped), ["a failed", "b cancelled"]);
    let going = workspace(FAILS);
    assert_eq!(run_failing(&going, &["--keep-going"]), [2, 0, 0, 1, 0]);
    assert_eq!(statuses(&going), ["a failed", "b succeeded"]);
    for graph in ["graph a {", "graph b {"] {
        let isolated = workspace(&FAILS.replace(graph, &format!("{graph} cancel isolated; ")));
        assert_eq!(run_failing(&isolated, &[]), [2, 0, 0, 1, 0], "{graph}");
    }
}

#[test]
fn a_signal_stops_all_of_them() {
    let spec = r#"
graph a { node x { run sh -c "echo 1 > AROUND/started; read go < AROUND/never; echo x > o"; output o }; node w { input o from=(ref)x.o; copy o; output p } }
graph b { node y { run sh -c "echo 2 > AROUND/started; read go < AROUND/never; echo y > o"; output o } }
"#;
    let workspace = workspace(spec);
    let (mut started, _never) = (pipe(&workspace, "started"), pipe(&workspace, "never"));
    let child = start(&workspace, &["run", "a", "b", "-j", "2"]);
    let mut signs = [started.wait(), started.wait()];
    signs.sort();
    assert_eq!(signs, ["1", "2"]);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(finish(child).expect(130).counts(), [0, 0, 0, 0, 3]);
    assert_eq!(statuses(&workspace), ["a cancelled", "b cancelled"]);
    assert_eq!(workspace.unfinished(), [""; 0]);
}

/// Runs with the memory on, as a person does.
fn remembering(workspace: &Workspace, args: &[&str]) -> Outcome {
    workspace.partita(args).without("PARTITA_MEMO").run()
}

#[test]
fn what_changes_nothing_is_answered_from_memory_for_each_graph() {
    let workspace = workspace(
        "graph a { node x { input in.txt; copy in.txt; output o } }\ngraph b { node y { input other.txt; copy other.txt; output o } }\n",
    );
    workspace.write("in.txt", "1\n");
    workspace.write("other.txt", "1\n");
    let journals = || statuses(&workspace).len();
    assert_eq!(remembering(&workspace, &["run", "a", "b"]).ok().counts(), [2, 0, 0, 0, 0]);
    let before = journals();
    let again = remembering(&workspace, &["run", "a", "b"]).ok();
    assert_eq!((again.counts(), journals()), ([0, 2, 0, 0, 0], before), "no run was made");
    again.says("  -> out/a/x/o\n  -> out/b/y/o\n");
    // What is known of a graph is known however it is asked for.
    assert_eq!(remembering(&workspace, &["run", "b"]).ok().counts(), [0, 1, 0, 0, 0]);
    assert_eq!(remembering(&workspace, &["run", "b", "a"]).ok().counts(), [0, 2, 0, 0, 0]);
    assert_eq!(journals(), before);
    // What is behind a change of one of them is run alone.
    workspace.write("other.txt", "changed\n");
    assert_eq!(remembering(&workspace, &["run", "a", "b"]).ok().counts(), [1, 1, 0, 0, 0]);
    assert_eq!(workspace.read("out/b/y/o"), "changed\n");
    assert!(statuses(&workspace).iter().filter(|run| run.starts_with("a ")).count() == 1, "`a` was run once");
    workspace.write("in.txt", "changed\n");
    workspace.write("other.txt", "again\n");
    assert_eq!(remembering(&workspace, &["run", "a", "b"]).ok().counts(), [2, 0, 0, 0, 0]);
    let before = journals();
    assert_eq!(remembering(&workspace, &["run", "a", "b"]).ok().counts(), [0, 2, 0, 0, 0]);
    assert_eq!(journals(), before);
    // Outputs that are gone are put back, whatever else there is to do.
    workspace.remove("out/a");
    workspace.write("other.txt", "once more\n");
    assert_eq!(remembering(&workspace, &["run", "a", "b"]).ok().counts(), [1, 1, 0, 0, 0]);
    assert_eq!(workspace.read("out/a/x/o") + &workspace.read("out/b/y/o"), "changed\nonce more\n");
}

#[test]
fn events_tell_all_of_them_as_one_stream() {
    let workspace = workspace(SAME);
    let outcome = workspace.run(&["run", "a", "b", "--progress", "json"]).ok();
    let events: Vec<serde_json::Value> =
        outcome.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let begun: Vec<_> = named("run-started").iter().map(|event| event["target"].clone()).collect();
    assert_eq!(begun, ["a", "b"]);
    assert_eq!((named("action-finished").len(), named("run-finished").len()), (4, 2));
    for run in named("run-started").iter().map(|event| &event["run"]) {
        let seqs: Vec<u64> =
            events.iter().filter(|event| event["run"] == *run).filter_map(|event| event["seq"].as_u64()).collect();
        let seqs: Vec<u64> = seqs.into_iter().filter(|seq| *seq > 0).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    }
    // All that is to be done counts as one.
    let plain = Workspace::with_spec(&SAME.replace(">> AROUND/log", "> log")).run(&["run", "a", "b"]).ok();
    plain.says("/4] ran ");
}

/// Starts a run and reads its events until one is of a name and an address.
struct Watched {
    child: Child,
    lines: std::io::BufReader<std::process::ChildStderr>,
    told: String,
}

impl Watched {
    fn new(workspace: &Workspace, args: &[&str]) -> Self {
        let mut child = start(workspace, &[args, &["--progress", "json"]].concat());
        let lines = std::io::BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, lines, told: String::new() }
    }

    #[track_caller]
    fn until(&mut self, event: &str, addr: &str) {
        loop {
            let mut line = String::new();
            let count = std::io::BufRead::read_line(&mut self.lines, &mut line).expect("it can be read");
            assert!(count > 0, "there was no `{event}` of `{addr}`:\n{}", self.told);
            self.told.push_str(&line);
            if line.contains(&format!("\"{event}\"")) && line.contains(&format!("\"{addr}\"")) {
                return;
            }
        }
    }

    /// The exit status, and the counts of all graphs.
    fn end(mut self) -> (Option<i32>, [u64; 5]) {
        std::io::Read::read_to_string(&mut self.lines, &mut self.told).expect("it can be read");
        let status = self.child.wait().expect("it can be waited for").code();
        let events: Vec<serde_json::Value> =
            self.told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ends = || events.iter().filter(|event| event["event"] == "run-finished");
        let counts = ["ran", "cached", "cut_off", "failed", "skipped"];
        (status, counts.map(|name| ends().map(|end| end["counts"][name].as_u64().expect("a number")).sum()))
    }
}

#[test]
fn what_follows_an_action_of_a_graph_that_stops_goes_ahead_by_itself() {
    // Nothing is left to who is the first to be at the resource.
    let same = "run sh -c \"echo same > o\"; output o; holds one amount=1";
    let spec = format!(
        "graph a {{\n    resource one capacity=1\n    \
         node fails {{ run sh -c \"read go < AROUND/fail; echo no >&2; exit 1\"; output o; holds one amount=1 }}\n    \
         node sign {{ run sh -c \"read go < AROUND/sign; echo 1 > o\"; output o }}\n    \
         node same {{ {same}; after sign }}\n}}\n\
         graph b {{\n    cancel isolated\n    resource one capacity=1\n    \
         node first {{ run sh -c \"read go < AROUND/first; echo 1 > o\"; output o }}\n    \
         node same {{ {same}; after first }}\n}}\n"
    );
    let workspace = workspace(&spec);
    let [mut fail, mut sign, mut first] = ["fail", "sign", "first"].map(|name| pipe(&workspace, name));
    let mut run = Watched::new(&workspace, &["run", "a", "b", "-j", "4"]);
    run.until("action-started", "a/fails");
    sign.open(1);
    // It is known that it has to run, and cannot yet.
    run.until("action-waits", "a/same");
    first.open(1);
    run.until("action-finished", "b/first");
    fail.open(1);
    assert_eq!(run.end(), (Some(1), [3, 0, 0, 1, 1]));
}

#[test]
fn the_time_of_one_graph_is_not_that_of_another() {
    let workspace = workspace(
        r#"
graph a {
    deadline "500ms"
    node x { run sh -c "read go < AROUND/never; echo x > o"; output o }
}
graph b {
    node y { run sh -c "read go < AROUND/release; echo y > o"; output o }
    node z { input o from=(ref)y.o; run sh -c "cat o > p"; output p }
}
"#,
    );
    let (_never, mut release) = (pipe(&workspace, "never"), pipe(&workspace, "release"));
    let mut run = Watched::new(&workspace, &["run", "a", "b", "-j", "2", "--keep-going"]);
    run.until("action-finished", "a/x");
    release.open(1);
    assert_eq!(run.end(), (Some(1), [2, 0, 0, 1, 0]));
}

#[test]
fn what_is_wrong_before_anything_is_begun_begins_nothing() {
    let workspace = workspace(
        "tool none { exec no-such-tool-anywhere }\ngraph a { node x { write x; output o } }\ngraph b { node y { run none; output o } }\n",
    );
    workspace.run(&["run", "a", "no-such-graph"]).expect(2);
    workspace.run(&["run", "a", "b/no-such-node"]).expect(2);
    assert_eq!(statuses(&workspace), [""; 0]);
    // A lane of its own is none of that.
    let missing = workspace.run(&["run", "a", "b", "--keep-going"]);
    assert_eq!((missing.status != 0, workspace.has("out/a/x/o")), (true, true), "{}", missing.describe());
}
