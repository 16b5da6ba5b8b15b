//! Actions that are not simply cached, through the command line: effects and their ledger, records and
//! their cassette; and what a graph says of its runs as a whole. Leaves out mistakes in specs: see `ui`.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Gate, Outcome, Workspace};

/// A workspace in whose spec `AROUND` stands for a folder outside of it.
fn workspace(nodes: &str) -> Workspace {
    let workspace = Workspace::new();
    let spec = format!("partita edition=1\ngraph g {{\n{nodes}}}\n");
    workspace.write("partita.kdl", spec.replace("AROUND", &workspace.around().display().to_string()));
    workspace
}

/// Lines that processes left outside of the workspace.
fn lines(workspace: &Workspace, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace.around().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn mark(workspace: &Workspace, name: &str) {
    std::fs::write(workspace.around().join(name), "").expect("it is written");
}

fn reason<'a>(report: &'a serde_json::Value, addr: &str) -> &'a str {
    let actions = report["actions"].as_array().expect("a list");
    let action = actions.iter().find(|action| action["addr"] == addr).expect("the action is there");
    action["reason"]["code"].as_str().expect("a code")
}

fn run_report(workspace: &Workspace, args: &[&str]) -> (Outcome, serde_json::Value) {
    let file = workspace.around().join("report.json").display().to_string();
    let args: Vec<&str> = ["run", "g", "--report", &file].iter().chain(args).copied().collect();
    let outcome = workspace.run(&args);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("no report\n{}", outcome.describe()));
    (outcome, serde_json::from_str(&text).expect("it is JSON"))
}

const PUSH_AND_LATER: &str = r#"
    node push class=effect {
        run sh -c "echo $PARTITA_IDEMPOTENCY_KEY >> AROUND/log; echo id > receipt"
        output receipt
    }
    node later {
        input receipt from=(ref)push.receipt
        run sh -c "test -e AROUND/mark && cat receipt > done"
        output done
    }
"#;

#[test]
fn a_run_that_is_taken_up_does_no_effect_twice_and_the_next_one_does_it_anew() {
    let workspace = workspace(PUSH_AND_LATER);
    workspace.run(&["run", "g"]).expect(1);
    assert_eq!(lines(&workspace, "log").len(), 1);
    mark(&workspace, "mark");
    let (outcome, report) = run_report(&workspace, &[]);
    outcome.ok();
    assert_eq!(reason(&report, "g/push"), "effect-done");
    assert_eq!(lines(&workspace, "log").len(), 1);
    assert_eq!(workspace.read("out/g/later/done"), "id\n");
    // That run ended well: this one is another doing, and says so.
    workspace.run(&["run", "g"]).ok();
    let log = lines(&workspace, "log");
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].len() >= 32 && log[0] != log[1], "{log:?}");
}

const UNKNOWN: &str = r#"
    node push class=effect {
        run sh -c "echo $PARTITA_IDEMPOTENCY_KEY >> AROUND/log; test -e AROUND/mark || kill -9 $$"
    }
"#;

#[test]
fn an_effect_of_which_nobody_knows_is_not_done_again_unasked() {
    let workspace = workspace(UNKNOWN);
    workspace.run(&["run", "g"]).expect(1);
    mark(&workspace, "mark");
    let asked = workspace.run(&["run", "g"]).expect(4);
    asked.says("it may have happened").says("--done g/push").says("--refresh g/push");
    assert_eq!(lines(&workspace, "log").len(), 1, "it was not started");
    // Asked for, it is the same doing, so that the other side can tell.
    workspace.run(&["run", "g", "--refresh", "g/push"]).ok();
    let log = lines(&workspace, "log");
    assert_eq!((log.len(), &log[0]), (2, &log[1]));
}

#[test]
fn an_effect_that_is_said_to_have_happened_is_not_done() {
    let workspace = workspace(UNKNOWN);
    workspace.run(&["run", "g"]).expect(1);
    let (outcome, report) = run_report(&workspace, &["--done", "g/push"]);
    outcome.ok();
    assert_eq!(reason(&report, "g/push"), "effect-done");
    assert_eq!(lines(&workspace, "log").len(), 1);
    workspace.run(&["run", "g", "--done", "g/psh"]).expect(2);
}

#[test]
fn an_effect_that_failed_by_its_own_word_and_one_that_is_idempotent_are_done_again() {
    let failed = workspace(&UNKNOWN.replace("kill -9 $$", "exit 1"));
    let idempotent = workspace(&UNKNOWN.replace("class=effect", "class=effect idempotent=#true"));
    for workspace in [failed, idempotent] {
        workspace.run(&["run", "g"]).expect(1);
        mark(&workspace, "mark");
        workspace.run(&["run", "g"]).ok();
        let log = lines(&workspace, "log");
        assert_eq!((log.len(), &log[0]), (2, &log[1]));
    }
}

#[test]
fn a_damaged_ledger_stops_effects_and_is_not_set_aside() {
    let workspace = workspace(UNKNOWN);
    mark(&workspace, "mark");
    workspace.run(&["run", "g"]).ok();
    let ledger = workspace.state().join("ledger.sqlite");
    assert!(ledger.is_file());
    std::fs::write(&ledger, "this is no database, however long it is looked at").expect("it is written");
    workspace.run(&["run", "g"]).expect(31).says("ledger of effects");
    assert_eq!(lines(&workspace, "log").len(), 1);
    assert!(ledger.is_file());
}

const ASK: &str = r#"
    node ask class=record {
        run sh -c "echo x >> AROUND/log; cat AROUND/log > answer"
        output answer
    }
"#;

#[test]
fn a_record_outlives_the_store() {
    let workspace = workspace(ASK);
    workspace.run(&["run", "g"]).ok();
    workspace.drop_store();
    let (outcome, report) = run_report(&workspace, &["--replay-only"]);
    outcome.ok();
    assert_eq!(reason(&report, "g/ask"), "replayed");
    assert_eq!(lines(&workspace, "log").len(), 1);
    assert_eq!(workspace.read("out/g/ask/answer"), "x\n");

    // One that is not as it was recorded is not replaced unasked: another answer costs money.
    workspace.drop_store();
    let cassette = workspace.state().join("cassette");
    let mut records = walkdir::WalkDir::new(&cassette).min_depth(1).max_depth(1).sort_by_file_name().into_iter();
    let record = records.next().expect("a record").expect("it is read");
    let answer = record.path().join("outputs/answer");
    std::fs::remove_file(&answer).expect("it was there");
    std::fs::write(&answer, "forged\n").expect("it is written");
    let run = |args: &[&str]| workspace.partita(args).env("PARTITA_MEMO", "off").run();
    for args in [&["run", "g", "--replay-only"][..], &["run", "g"]] {
        run(args).expect(4).says("error[E0222]").says("not as they were recorded").says("--refresh g/ask");
        assert_eq!(std::fs::read_to_string(&answer).expect("it is left as it is"), "forged\n");
    }
    run(&["run", "g", "--replay-only", "--refresh", "g/ask"]).expect(2).says("asks anew");
    assert_eq!(lines(&workspace, "log").len(), 1, "nobody was asked");
    run(&["run", "g", "--refresh", "g/ask"]).ok();
    assert_eq!(workspace.read("out/g/ask/answer"), "x\nx\n");
}

#[test]
fn a_cassette_that_is_gone_is_filled_with_what_the_store_knows() {
    let workspace = workspace(ASK);
    workspace.run(&["run", "g"]).ok();
    workspace.run(&["run", "g"]).ok().says("1 cached");
    std::fs::remove_dir_all(workspace.state().join("cassette")).expect("it is there");
    workspace.run(&["run", "g"]).ok().says("0 ran, 1 cached");
    workspace.drop_store();
    let (outcome, report) = run_report(&workspace, &["--replay-only"]);
    outcome.ok();
    assert_eq!(reason(&report, "g/ask"), "replayed");
    assert_eq!(lines(&workspace, "log").len(), 1);
}

#[test]
fn an_effect_that_was_never_started_has_not_happened() {
    let workspace = Workspace::new();
    workspace.write(
        "partita.kdl",
        "partita edition=1\ntenant t { secret tok from=env key=TOK_OF_TEST; }\ngraph g tenant=t {\n  node push class=effect {\n    \
         run sh -c \"true\"\n    env TOK=(secret)tok\n  }\n}\n",
    );
    workspace.run(&["run", "g"]).expect(1).says("error[E0203]");
    workspace.partita(&["run", "g"]).env("TOK_OF_TEST", "s3cret-value").run().ok().says("1 ran");
}

#[test]
fn a_refresh_is_of_one_of_the_graphs_asked_for() {
    let workspace = Workspace::with_spec(
        "partita edition=1\ngraph g { node a { write a; output a; } }\ngraph h { node b { write b; output b; } }\n",
    );
    workspace.run(&["run", "g", "h", "--refresh", "h/b"]).ok().says("2 ran");
    workspace.run(&["run", "g", "h", "--refresh", "h/b"]).ok().says("1 ran, 1 cached");
    workspace.run(&["run", "g", "h", "--refresh", "k/b"]).expect(2).says("there is no action at `k/b`");
}

#[test]
fn what_has_become_of_the_run_that_began_an_effect_is_told() {
    let workspace = workspace(UNKNOWN);
    workspace.run(&["run", "g"]).expect(1);
    workspace.run(&["run", "g"]).expect(4).says("saw it end in a way that says nothing of it");
}

#[test]
fn a_record_is_made_anew_when_that_is_asked_for_and_the_last_one_is_kept() {
    let workspace = workspace(ASK);
    let cassette = workspace.state().join("cassette");
    for round in 1..=3 {
        workspace.run(&["run", "g", "--refresh", "g/ask"]).ok();
        workspace.drop_store();
        workspace.run(&["run", "g", "--replay-only"]).ok();
        assert_eq!(workspace.read("out/g/ask/answer"), "x\n".repeat(round));
        let all = walkdir::WalkDir::new(&cassette).min_depth(1).max_depth(1).sort_by_file_name();
        assert_eq!(all.into_iter().count(), 1, "what it replaced is gone");
    }
    // What a run that was killed had begun to write is nothing, and in nobody's way.
    let record = walkdir::WalkDir::new(&cassette).min_depth(1).max_depth(1).sort_by_file_name().into_iter().next();
    let record = record.expect("a record").expect("it is read").into_path();
    let name = record.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    let half = cassette.join(format!(".{name}.new"));
    std::fs::create_dir_all(half.join("outputs")).expect("a folder can be made");
    std::fs::write(half.join("outputs/answer"), "half").expect("it can be written");
    workspace.drop_store();
    workspace.run(&["run", "g", "--replay-only"]).ok();
    workspace.run(&["run", "g", "--refresh", "g/ask"]).ok();
    assert!(!half.exists());
    assert_eq!(lines(&workspace, "log").len(), 4);
}

#[test]
fn what_is_not_recorded_is_not_asked_under_replay_only_and_takes_are_apart() {
    let workspace = workspace(&format!("{ASK}{}", ASK.replace("ask class=record", "again class=record take=1")));
    let refused = workspace.run(&["run", "g", "--replay-only"]).expect(7).says("error[not-recorded]");
    refused.says("help: leave out `--replay-only`");
    assert!(lines(&workspace, "log").is_empty());
    workspace.run(&["run", "g"]).ok();
    assert_eq!(lines(&workspace, "log").len(), 2, "the same question, asked twice");
    workspace.run(&["run", "g", "--replay-only"]).ok();
    assert_eq!(lines(&workspace, "log").len(), 2);
}

#[test]
fn a_run_ends_at_its_timeout() {
    let workspace = workspace("node a { run sh -c \"exec sleep 1000\" }\nnode b { run sh -c \"exec sleep 1000\" }\n");
    let (outcome, report) = run_report(&workspace, &["--timeout", "300ms", "--jobs", "1", "--keep-going"]);
    outcome.expect(1);
    assert_eq!(reason(&report, "g/b"), "run-timeout");
    workspace.run(&["run", "g", "--timeout", "soon"]).expect(2).says("`soon` is not a duration");
}

const POLICIES: &str = r#"
    schedule fair
    cancel isolated
    breaker failures=3
    deadline "20m"
    serialize "**/*.lock"
    node a {
        write "a"
        output a.lock
    }
    node b {
        write "b"
        output b.txt
    }
"#;

#[test]
fn a_plan_holds_the_policies_of_its_graph_and_a_difference_shows_them() {
    let workspace = workspace(POLICIES);
    let text = workspace.run(&["plan", "g"]).ok();
    for line in
        ["schedule fair", "cancel isolated", "breaker after 3 failures in a row", "deadline 20 m", "resource serialize"]
    {
        assert!(text.stdout.contains(line), "{line}\n{}", text.stdout);
    }
    workspace.run(&["plan", "g", "-o", "old.plan"]).ok();
    let file = workspace.read("old.plan");
    let holding: Vec<&str> = file.lines().skip(1).filter(|line| line.contains("serialize **/*.lock")).collect();
    assert!(holding.len() == 1 && holding[0].contains("\"g/a\""), "one action leaves a lock file: {file}");
    // A plan file is read strictly, and comes back the same.
    workspace.run(&["diff", "old.plan", ".", "--exit-code"]).ok();
    let spec = workspace.read("partita.kdl");
    workspace.write("partita.kdl", spec.replace("failures=3", "failures=4").replace("schedule fair", ""));
    let difference = workspace.run(&["diff", "old.plan", "."]).ok();
    difference.prints("breaker").prints("schedule");
}

#[test]
fn actions_that_leave_what_is_serialized_run_one_after_the_other() {
    let act = |serialize: &str| {
        let nodes: String = (0..6)
            .map(|n| {
                format!(
                    "node n{n} {{ run sh -c \"( set -C; : > $BUSY ) || exit 9; i=0; while [ $i -lt 4000 ]; do i=$((i+1)); \
                     done; rm $BUSY; echo {n} > deps.lock\"; env BUSY=\"PLACE\"; output deps.lock }}\n"
                )
            })
            .collect();
        let workspace = workspace("node none { write x; output o }\n");
        let place = workspace.around().join("busy");
        let nodes = nodes.replace("PLACE", place.to_str().expect("it is UTF-8"));
        workspace.write("partita.kdl", format!("partita edition=1\ngraph g {{\n{serialize}\n{nodes}}}\n"));
        workspace.run(&["run", "g", "-j", "6", "--keep-going"])
    };
    act("serialize \"**/*.lock\"").ok();
    // Without it they get into each other's way.
    act("").expect(1);
}

#[test]
fn a_tool_that_is_named_costs_as_one_that_is_chosen() {
    let spec = |budget: &str| {
        let nodes: String = (0..5).map(|n| format!("  node n{n} {{ run paid {n}; output o }}\n")).collect();
        format!(
            "partita edition=1\ntool paid {{ exec \"./paid.sh\"; uses sh; cost usd=\"0.40\" per=call; }}\ntool sh {{ exec sh; }}\n\
             graph g {{\n  budget usd=\"{budget}\"\n{nodes}}}\n"
        )
    };
    let workspace = Workspace::with_spec(&spec("1.00")).script("paid.sh", "#!/bin/sh\necho $1 > o\n");
    workspace.run(&["run", "g"]).expect(3).says("error[P0603]").says("$2.00");
    workspace.write("partita.kdl", spec("2.00"));
    workspace.run(&["plan", "g"]).ok().prints("cost: at most $2.00").prints("tool paid (primary), at most $0.40");
    // What is there for this run is less than all of it may cost, so the last of them are not begun.
    let text = workspace.run(&["forecast", "g", "--format", "json"]).ok().stdout;
    assert!(text.contains("\"at_most_micro_usd\":400000"), "{text}");
    workspace.run(&["run", "g"]).ok().says("5 ran");
}

#[test]
fn a_tool_may_be_a_path_of_the_machine() {
    let sh = std::fs::canonicalize("/bin/sh").expect("there is a shell");
    let spec = format!(
        "partita edition=1\ntool shell {{ exec \"{}\"; }}\ngraph g {{ node a {{ run shell -c \"echo x > o\"; output o; }} }}\n",
        sh.display()
    );
    let workspace = Workspace::with_spec(&spec);
    workspace.run(&["run", "g"]).ok().says("1 ran");
    workspace.run(&["run", "g"]).ok().says("1 cached");
}

#[test]
fn a_path_that_is_too_long_is_the_failure_of_its_action() {
    let workspace = Workspace::with_spec(
        "partita edition=1\ntool python3 { exec python3; }\ngraph g {\n  node deep {\n    input deep.py\n    run python3 deep.py\n    \
         output d type=artifact.dir\n  }\n  node other { write x; output o; }\n}\n",
    )
    .file("deep.py", "import os\nfor _ in range(30):\n  name = 'd' if not _ else 'x' * 200\n  os.mkdir(name)\n  os.chdir(name)\n");
    // Not a script of a version manager, which needs more tools.
    let outcome = workspace.partita(&["run", "g", "--keep-going"]).env("PATH", "/usr/bin:/bin").run().expect(1);
    outcome.says("error[E0209]").says("a path of the outputs is too long for this machine").says("1 ran");
}

#[test]
fn an_effect_that_is_being_done_is_not_done_by_another_run_at_the_same_time() {
    let workspace = workspace(
        "node push class=effect {\n run sh -c \"echo x >> AROUND/log; echo up > AROUND/gate; exec sleep 1000\"\n }\n",
    );
    let mut gate = Gate::new(&workspace.around().join("gate"));
    let mut command = workspace.partita(&["run", "g"]).command();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    gate.wait();
    for args in [&["run", "g"][..], &["run", "g", "--refresh", "g/push"]] {
        workspace.run(args).expect(4).says("error[E0214]").says("which is under way");
    }
    assert_eq!(lines(&workspace, "log").len(), 1);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let told = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("effect `g/push` had begun when the run was cancelled"), "{told}");
    workspace.run(&["run", "g"]).expect(4).says("was cancelled before it ended").says("--refresh g/push");
}

/// A deploy to a file outside, what takes it back, and something later that fails until there is a mark.
const DEPLOY: &str = r#"
    param version type=string default=one
    node build {
        write "{{ version }}"
        output page type=artifact.text
    }
    node ship class=effect capability=deploy.preview {
        with page=(ref)build.page
        rollback undo
    }
    node undo class=effect {
        run sh -c "echo undone >> AROUND/log; rm AROUND/live"
    }
    node smoke {
        after ship
        input "now"
        run sh -c "test -e AROUND/mark && echo fine > seen"
        output seen
    }
"#;

fn deployed() -> Workspace {
    let workspace = Workspace::new().script(
        "tools/push.sh",
        "#!/bin/sh\ncat in/page > \"$TARGET/live\"\necho shipped >> \"$TARGET/log\"\necho receipt > log.txt\n",
    );
    workspace.write("now", "1");
    let around = workspace.around().display().to_string();
    let head = r#"partita edition=1
tool pusher {
    exec "tools/push.sh"
    uses cat
    provides deploy.preview {
        env TARGET="AROUND"
        output log path="log.txt"
    }
}
capability deploy.preview {
    accepts page type=artifact.text
    returns log type=artifact.text
    candidate pusher
}
"#;
    let spec = format!("{head}graph g {{\n{DEPLOY}}}\n").replace("AROUND", &around);
    workspace.write("partita.kdl", spec);
    workspace
}

#[test]
fn a_deploy_is_taken_back_by_hand_and_by_nothing_else() {
    let workspace = deployed();
    let is_live = || workspace.around().join("live").exists();
    let failed = workspace.run(&["run", "g", "-p", "version=it's two"]).expect(1);
    // The command is one that a shell takes.
    let failed = failed.says("to take `g/ship` back: partita run g/undo -p 'version=it'\\''s two'\n");
    assert!(!failed.stderr.contains("g/undo:"), "{}", failed.describe());
    assert_eq!((lines(&workspace, "log"), is_live()), (vec!["shipped".to_owned()], true));
    workspace.run(&["run", "g/undo", "-p", "version=it's two"]).ok();
    assert_eq!((lines(&workspace, "log").len(), is_live()), (2, false));
    // What was taken back is not taken for done by the next run.
    mark(&workspace, "mark");
    let (outcome, report) = run_report(&workspace, &["-p", "version=it's two"]);
    outcome.ok();
    assert_eq!(lines(&workspace, "log"), ["shipped", "undone", "shipped"]);
    let addrs: Vec<&str> =
        report["actions"].as_array().expect("a list").iter().filter_map(|action| action["addr"].as_str()).collect();
    assert_eq!(addrs, ["g/build", "g/ship", "g/smoke"]);
    assert!(is_live());
}

#[test]
fn a_run_that_takes_up_a_deploy_and_fails_again_still_says_how_to_take_it_back() {
    let workspace = deployed();
    workspace.run(&["run", "g"]).expect(1).says("to take `g/ship` back: partita run g/undo\n");
    let (outcome, report) = run_report(&workspace, &[]);
    outcome.expect(1).says("to take `g/ship` back: partita run g/undo\n");
    assert_eq!(reason(&report, "g/ship"), "effect-done");
    assert_eq!(report["to_take_back"], serde_json::json!([{"addr": "g/ship", "by": "g/undo"}]));
    assert_eq!(lines(&workspace, "log"), ["shipped"]);
    mark(&workspace, "mark");
    let (outcome, report) = run_report(&workspace, &[]);
    assert!(!outcome.ok().stderr.contains("back:"));
    assert_eq!(report.get("to_take_back"), None);
    // It is told of in the plan, and by `expand`.
    workspace.run(&["plan", "g"]).ok().prints("    rollback g/undo\n");
    workspace.run(&["expand", "g"]).ok().prints("        rollback undo\n");
}

#[test]
fn what_takes_back_is_read_from_a_plan_file_only_where_it_can() {
    let workspace = deployed();
    workspace.run(&["plan", "g", "-o", "../plan"]).ok();
    let file = workspace.around().join("plan");
    let text = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(text.matches(r#""rollback":"g/undo""#).count(), 1);
    for (other, why) in [
        ("g/build", "there is no effect at `g/build`"),
        ("g/nobody", "there is no effect at `g/nobody`"),
        ("g/ship", "it would take itself back"),
        ("g", "it would take itself back"),
        ("", "there is no effect at ``"),
    ] {
        let changed = text.replace(r#""rollback":"g/undo""#, &format!(r#""rollback":"{other}""#));
        std::fs::write(&file, changed).expect("it is written");
        workspace.run(&["plan", "../plan"]).expect(2).says(why);
    }
    // Whoever removes it changes what was consented to.
    std::fs::write(&file, text.replace(r#""rollback":"g/undo","#, "")).expect("it is written");
    workspace.run(&["plan", "../plan"]).expect(2).says("the digest in its header");
}
