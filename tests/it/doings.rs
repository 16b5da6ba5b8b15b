//! Which doings of effects there are, and whose they are, through the command line: equal effects at several addresses, runs
//! at the same time, runs that are taken up. Leaves out what one effect does from run to run: see `effects`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Gate, Workspace};

/// A workspace in whose spec `AROUND` stands for a folder outside of it.
fn workspace(graphs: &str) -> Workspace {
    let workspace = Workspace::new();
    let spec = format!("partita edition=1\n{graphs}");
    workspace.write("partita.kdl", spec.replace("AROUND", &workspace.around().display().to_string()));
    workspace
}

/// Lines that processes left outside of the workspace.
fn lines(workspace: &Workspace, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace.around().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn start(workspace: &Workspace, args: &[&str]) -> Child {
    let mut command = workspace.partita(args).command();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    child.expect("the program starts")
}

const EQUAL: &str = r#"
graph g {
    node a class=effect { run sh -c "echo $PARTITA_IDEMPOTENCY_KEY >> AROUND/log"; }
    node b class=effect { after a; run sh -c "echo $PARTITA_IDEMPOTENCY_KEY >> AROUND/log"; }
    node each class=effect {
        for-each k {
            - "1"
            - "2"
            - "3"
            - "4"
        }
        run sh -c "echo $PARTITA_IDEMPOTENCY_KEY >> AROUND/log"
    }
}
graph staging {
    node notify class=effect { run sh -c "echo sent >> AROUND/sent"; }
    node smoke { after notify; run sh -c "exit 1"; output x; }
}
graph production {
    node notify class=effect { run sh -c "echo sent >> AROUND/sent"; }
}
graph unknown {
    node notify class=effect { run sh -c "echo sent >> AROUND/sent; test -e AROUND/mark || kill -9 $$"; }
}
graph known {
    node notify class=effect { run sh -c "echo sent >> AROUND/sent; test -e AROUND/mark || kill -9 $$"; }
}
"#;

#[test]
fn equal_effects_at_several_addresses_are_each_done_under_a_key_of_their_own() {
    let workspace = workspace(EQUAL);
    workspace.run(&["forecast", "g"]).ok().prints("6 effect");
    workspace.run(&["run", "g"]).ok().says("6 ran");
    let log = lines(&workspace, "log");
    assert_eq!((log.len(), log.iter().collect::<BTreeSet<_>>().len()), (6, 6), "{log:?}");
    workspace.run(&["run", "g"]).ok().says("6 ran");
    assert_eq!(lines(&workspace, "log").iter().collect::<BTreeSet<_>>().len(), 12);
}

#[test]
fn what_a_graph_did_or_began_says_nothing_of_an_equal_effect_of_another() {
    let workspace = workspace(EQUAL);
    workspace.run(&["run", "staging"]).expect(1);
    workspace.run(&["run", "production"]).ok().says("1 ran");
    assert_eq!(lines(&workspace, "sent").len(), 2);
    workspace.run(&["run", "unknown"]).expect(1);
    std::fs::write(workspace.around().join("mark"), "").expect("it is written");
    workspace.run(&["run", "known"]).ok().says("1 ran");
    workspace
        .run(&["run", "unknown"])
        .expect(4)
        .says("effect `unknown/notify` was begun")
        .says("--done unknown/notify");
    // Said to have happened, it has: the next run does it anew, as after any other that ended well.
    workspace.run(&["run", "unknown", "--done", "unknown/notify"]).ok().says("0 ran");
    assert_eq!(lines(&workspace, "sent").len(), 4);
    workspace.run(&["run", "unknown"]).ok().says("1 ran");
}

#[test]
fn of_runs_at_the_same_time_one_does_an_effect_and_the_others_are_told() {
    const RUNS: usize = 3;
    let workspace = workspace(
        "graph g {\n node pay class=effect {\n  run sh -c \"echo x >> AROUND/log; echo up > AROUND/gate; exec sleep 1000\"\n }\n}\n",
    );
    let mut gate = Gate::new(&workspace.around().join("gate"));
    let (told, ended) = mpsc::channel();
    let mut pids = Vec::new();
    for number in 0..RUNS {
        let child = start(&workspace, &["run", "g"]);
        pids.push(Pid::from_child(&child));
        let told = told.clone();
        std::thread::spawn(move || told.send((number, child.wait_with_output().expect("it ends"))));
    }
    gate.wait();
    let mut left: BTreeSet<usize> = (0..RUNS).collect();
    for (number, output) in ended.iter().take(RUNS - 1) {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains("error[E0214]") && text.contains("which is under way"), "{text}");
        left.remove(&number);
    }
    assert_eq!(lines(&workspace, "log").len(), 1);
    let last = left.into_iter().next().expect("one of them does it");
    kill_process(pids[last], Signal::INT).expect("it runs");
    ended.recv().expect("it ends");
}

#[test]
fn what_a_run_has_done_is_taken_up_when_it_is_over_and_by_one_run_at_a_time() {
    let workspace = workspace(
        "graph g {\n node pay class=effect {\n  run sh -c \"echo paid >> AROUND/log\"\n }\n \
         node rest class=volatile {\n  after pay\n  \
         run sh -c \"test -e AROUND/mark || { echo up > AROUND/gate; exec sleep 1000; }; echo > x\"\n  output x\n }\n}\n",
    );
    let mut gate = Gate::new(&workspace.around().join("gate"));
    for _ in 0..2 {
        // The second of them takes up what the first did, and nobody else does as long as it is under way.
        let child = start(&workspace, &["run", "g"]);
        gate.wait();
        for args in [&["run", "g"][..], &["run", "g", "--refresh", "g/pay"], &["forecast", "g"]] {
            let outcome = workspace.run(args);
            if args[0] == "run" {
                outcome.expect(4).says("error[E0214]").says("is a part of run").says("which is under way");
            } else {
                outcome.prints("is a part of run");
            }
        }
        assert_eq!(lines(&workspace, "log").len(), 1);
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        child.wait_with_output().expect("it ends");
    }
    // A look takes nothing up.
    workspace.run(&["forecast", "g"]).ok().prints("1 hit");
    std::fs::write(workspace.around().join("mark"), "").expect("it is written");
    workspace.run(&["run", "g"]).ok().says("1 ran, 1 cached");
    assert_eq!(lines(&workspace, "log").len(), 1);
    workspace.run(&["run", "g"]).ok().says("2 ran");
}

#[test]
fn who_is_started_with_ends_of_children_ignored_hears_of_them_all_the_same() {
    let workspace = workspace(
        "graph g {\n node pay class=effect { run sh -c \"echo paid >> AROUND/log\"; }\n \
         node fails { run sh -c \"exit 7\"; output x; }\n}\ngraph h { node a { run sh -c \"echo a > x\"; output x; }; }\n",
    );
    let program = env!("CARGO_BIN_EXE_partita");
    let run = |args: &[&str]| {
        let args = [&["--ignore-signal=CHLD", program][..], args].concat();
        workspace.command(Path::new("/usr/bin/env"), &args).run()
    };
    // Each kind of start: of processes alone, and with the helper, as far as this machine has it.
    run(&["run", "h"]).ok().says("1 ran");
    run(&["run", "h", "--refresh", "h/a", "--isolation", "none"]).ok().says("1 ran");
    run(&["run", "g", "--keep-going", "--isolation", "none"]).expect(1).says("exited with status 7").says("1 ran");
    // It was seen to happen, and so is not done again by the run that takes it up.
    run(&["run", "g/pay", "--isolation", "none"]).ok().says("1 cached");
    assert_eq!(lines(&workspace, "log").len(), 1);
}

#[test]
fn of_two_answers_to_one_question_the_first_that_is_kept_stands() {
    let workspace = workspace(
        "tool cat { exec cat; }\ngraph g {\n node ask class=record {\n  run sh -c \"cat AROUND/answer > o; test -e AROUND/mark || \
         { : > AROUND/mark; echo up > AROUND/gate; read x < AROUND/back; }\"\n  tools cat\n  output o\n }\n}\n",
    );
    let answer = |text: &str| std::fs::write(workspace.around().join("answer"), text).expect("it is written");
    let mut gate = Gate::new(&workspace.around().join("gate"));
    let back = Gate::new(&workspace.around().join("back"));
    answer("slow\n");
    let slow = start(&workspace, &["run", "g", "--out", "slow"]);
    gate.wait();
    answer("quick\n");
    workspace.run(&["run", "g", "--out", "quick"]).ok();
    std::fs::write(back.path(), "go\n").expect("somebody reads it");
    let told = slow.wait_with_output().expect("it ends");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(workspace.read("slow/g/ask/o"), "quick\n");
    workspace.run(&["run", "g"]).ok().says("1 cached");
    assert_eq!(workspace.read("out/g/ask/o"), "quick\n");
    workspace.drop_store();
    workspace.run(&["run", "g", "--replay-only"]).ok();
    assert_eq!(workspace.read("out/g/ask/o"), "quick\n");
}
