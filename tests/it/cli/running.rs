//! What the options of a run do: targets, keeping going, refreshing, asking only for what is known,
//! reports, parameters, jobs, places. Leaves out progress and signals.

use std::fs;

use crate::cli::sample;
use crate::support::Workspace;

#[test]
fn a_graph_stands_for_its_final_outputs_and_an_address_for_its_own() {
    let workspace = sample();
    workspace.run(&["run", "report"]).ok().says("  -> out/report/note/note.txt\n  -> out/report/summary/summary.txt\n");
    assert_eq!(workspace.list("out"), ["report/note/note.txt", "report/summary/summary.txt"]);
    assert_eq!(workspace.read("out/report/summary/summary.txt"), "en words: 5\n");
    workspace.run(&["run", "report/count"]).ok();
    assert_eq!(workspace.read("out/report/count/words.txt").trim(), "5");
    workspace.remove("out");
    workspace.run(&["run", "report/note", "report/count", "--out", "else/where"]).ok();
    assert_eq!(workspace.list("else/where"), ["report/count/words.txt", "report/note/note.txt"]);
    assert!(!workspace.has("out"));
    // An address runs what it needs, and no more.
    workspace.drop_store();
    assert_eq!(workspace.run(&["run", "report/summary"]).ok().counts(), [2, 0, 0, 0, 0]);
}

#[test]
fn outputs_are_replaced_exactly() {
    let spec = |script: &str| {
        format!("graph g {{ node a {{ run sh -c \"mkdir d; {script}\"; output d type=artifact.dir }} }}\n")
    };
    let workspace = Workspace::with_spec(&spec("echo 1 > d/one; echo 2 > d/two"));
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.list("out/g/a/d"), ["one", "two"]);
    // Outputs belong to their owner: what he does to them reaches neither the store nor the next run.
    fs::write(workspace.path("out/g/a/d/one"), "mine\n").expect("an output can be written");
    workspace.write("out/g/a/d/extra", "mine\n");
    workspace.remove("out/g/a/d/two");
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.list("out/g/a/d"), ["one", "two"]);
    assert_eq!(workspace.read("out/g/a/d/one"), "1\n");
    workspace.write("partita.kdl", format!("partita edition=1\n{}", spec("echo 3 > d/three")));
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.list("out/g/a/d"), ["three"]);
}

const LANES: &str = "\
graph g {
    concurrency 1
    node a1 { run sh -c \"exit 1\"; output o }
    node a2 { input o from=(ref)a1.o; copy o; output p }
    node b1 { run sh -c \"echo 1 > o\"; output o }
    node b2 { input o from=(ref)b1.o; run sh -c \"cat o > p\"; output p }
}
";

#[test]
fn keep_going_stops_only_what_depends_on_a_failure() {
    let workspace = Workspace::with_spec(LANES);
    let outcome = workspace.run(&["run", "g", "--keep-going"]).expect(1);
    assert_eq!(outcome.counts(), [2, 0, 0, 1, 1]);
    assert_eq!(workspace.list("out"), ["g/b2/p"], "what succeeded is there");
    let stopped = Workspace::with_spec(LANES).run(&["run", "g", "-j", "1"]).expect(1).counts();
    assert_eq!((stopped[3], stopped[0] + stopped[4]), (1, 3), "without it, nothing new is begun");
}

#[test]
fn refresh_runs_what_is_known() {
    let workspace = sample();
    workspace.run(&["run", "report"]).ok();
    let outcome = workspace.run(&["run", "report", "--refresh", "report/count"]).ok();
    assert_eq!(outcome.counts(), [1, 1, 1, 0, 0], "what follows is cut off");
    let all = workspace.run(&["run", "report", "--refresh", "report/count", "--refresh", "report/note"]).ok();
    assert_eq!(all.counts()[0], 2);
    assert_eq!(workspace.run(&["run", "report"]).ok().counts(), [0, 3, 0, 0, 0]);
}

#[test]
fn require_cached_runs_nothing() {
    let workspace = sample();
    let outcome = workspace.run(&["run", "report", "--require-cached"]).expect(7);
    let outcome = outcome.says("error[not-cached]").says("help: leave out `--require-cached`");
    assert_eq!(outcome.counts()[..4], [0; 4]);
    assert!(!workspace.has("out"));
    workspace.run(&["run", "report"]).ok();
    workspace.run(&["run", "report", "--require-cached"]).ok();
    workspace.append("data/a.txt", "six\n");
    workspace.run(&["run", "report", "--require-cached"]).expect(7);
    let bundle = workspace.run(&["bundle", "report"]).expect(7).says("error[not-cached]");
    bundle.says("`partita deliver report`");
    workspace.run(&["deliver", "report", "--require-cached"]).expect(7);
    assert!(!workspace.has("out/bundles"));
    workspace.run(&["deliver", "report"]).ok();
    workspace.run(&["bundle", "report", "-o", "again"]).ok();
    assert_eq!(workspace.bytes("again/report-1.2.0.zip"), workspace.bytes("out/bundles/report-1.2.0.zip"));
}

#[test]
fn a_report_says_what_happened_to_each_action() {
    let workspace = sample();
    workspace.run(&["run", "report", "--report", "report.json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&workspace.read("report.json")).expect("a report is JSON");
    for (name, count) in [("ran", 3), ("cached", 0), ("cut_off", 0), ("failed", 0), ("skipped", 0)] {
        assert_eq!(report[name], count, "{name}");
    }
    assert_eq!(report["failures"], serde_json::json!([]));
    let summary = &report["actions"][2];
    assert_eq!(summary["addr"], "report/summary");
    assert_eq!(summary["reason"]["code"], "never-seen");
    assert!(summary["key"].as_str().is_some_and(|key| key.starts_with("pk1-")));
    assert_eq!(summary["outputs"][0]["name"], "summary.txt");
    assert_eq!(summary["outputs"][0]["size"], 12);
    // The last line of a run for people has the same counts.
    let outcome = workspace.run(&["run", "report"]).ok();
    let last = outcome.stderr.lines().last().expect("a summary");
    assert!(last.starts_with("0 ran, 3 cached, 0 cut off, 0 failed, 0 skipped in "), "{last}");
}

#[test]
fn parameters_reach_what_uses_them() {
    let workspace = sample();
    workspace.run(&["run", "report"]).ok();
    assert_eq!(workspace.run(&["run", "report", "-p", "lang=de"]).ok().counts(), [2, 1, 0, 0, 0]);
    assert_eq!(workspace.read("out/report/summary/summary.txt"), "de words: 5\n");
    assert_eq!(workspace.run(&["run", "report", "-p", "lang=en"]).ok().counts(), [0, 3, 0, 0, 0]);
    let odd = "a=b \"$(false)\"; {{ lang }}";
    workspace.run(&["run", "report", "-p", &format!("lang={odd}")]).ok();
    assert_eq!(workspace.read("out/report/summary/summary.txt"), format!("{odd} words: 5\n"), "it is text, not code");
    let plan = workspace.run(&["plan", "report", "-p", "lang=de"]).ok();
    plan.prints("LANGUAGE=\"de\"");
}

#[test]
fn jobs_bound_how_much_runs_at_once() {
    let node = |name: &str| {
        format!("    node {name} {{ run sh -c \"echo + >> $LOG; echo - >> $LOG; : {name}\"; env LOG=\"LOGFILE\"; output o }}\n")
            .replace("\"; env", "; echo > o\"; env")
    };
    let workspace = Workspace::new();
    let log = workspace.around().join("log");
    let nodes: String = ["a", "b", "c", "d", "e", "f"].iter().map(|name| node(name)).collect();
    let spec = format!("partita edition=1\ngraph g {{\n{nodes}}}\n").replace("LOGFILE", log.to_str().expect("UTF-8"));
    workspace.write("partita.kdl", spec);
    workspace.run(&["run", "g", "-j", "1"]).ok();
    let lines = fs::read_to_string(&log).expect("every action wrote into it");
    assert_eq!(lines, "+\n-\n".repeat(6), "one at a time");
}

#[test]
fn the_workspace_is_found_from_below_and_by_name() {
    let workspace = sample();
    let run = |args: &[&str], folder: &str| workspace.partita(args).folder(&workspace.path(folder)).run().ok();
    run(&["run", "report"], "data").says("  -> ");
    assert!(workspace.has("out/report/summary/summary.txt") && !workspace.has("data/out"));
    workspace.remove("out");
    let outcome = workspace.partita(&["-C", "ws", "run", "report"]).folder(workspace.around()).run().ok();
    let outcome = outcome.says("  -> ws/out/report/summary/summary.txt");
    assert_eq!(outcome.counts(), [0, 3, 0, 0, 0]);
    // Options that name places are relative to where the command was given.
    let args = ["-C", "../ws", "run", "report", "--out", "o", "--report", "r.json", "--store", "s", "--state", "t"];
    fs::create_dir(workspace.around().join("desk")).expect("a folder can be made");
    let outcome = workspace.partita(&args).folder(&workspace.around().join("desk")).run().ok();
    assert_eq!(outcome.counts(), [3, 0, 0, 0, 0], "a store of its own");
    for name in ["o/report/note/note.txt", "r.json", "s/format", "t/history.sqlite"] {
        assert!(workspace.around().join("desk").join(name).exists(), "{name}");
    }
}

#[test]
fn places_come_from_options_then_variables_then_the_spec_then_the_user() {
    let spec = "workspace { store \"cache/store\"; state \"cache/state\"; out \"cache/out\" }\ngraph g { node a { write x; output o } }\n";
    let workspace = Workspace::with_spec(spec);
    workspace.partita(&["run", "g"]).without("PARTITA_STORE").without("PARTITA_STATE").run().ok();
    for name in ["cache/store/format", "cache/state/history.sqlite", "cache/out/g/a/o"] {
        assert!(workspace.has(name), "{name}");
    }
    workspace.run(&["run", "g"]).ok();
    assert!(workspace.store().join("format").exists() && workspace.state().join("history.sqlite").exists());
    let plain = Workspace::with_spec("graph g { node a { write x; output o } }\n");
    plain.partita(&["run", "g"]).without("PARTITA_STORE").without("PARTITA_STATE").run().ok();
    assert!(plain.around().join("home/.cache/partita/format").exists());
    assert!(plain.has(".partita/history.sqlite"));
    let cache = plain.around().join("xdg");
    plain.partita(&["run", "g"]).without("PARTITA_STORE").env("XDG_CACHE_HOME", &cache).run().ok();
    assert!(cache.join("partita/format").exists());
    let homeless = plain.partita(&["run", "g"]).without("PARTITA_STORE").without("HOME").run().expect(2);
    homeless.says("there is no place for the store: `HOME` is not set").says("`--store DIR` or `PARTITA_STORE`");
}

#[test]
fn runs_and_logs_are_kept() {
    let workspace = sample();
    workspace.run(&["runs"]).ok().says("nothing has been run in this workspace yet");
    workspace.run(&["run", "report"]).ok();
    workspace.write("data/b.txt", "");
    workspace.run(&["run", "report/count"]).ok();
    let rows = workspace.run(&["runs"]).ok().stdout;
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains("succeeded") && rows[0].contains("report/count") && rows[0].contains("1 ran, 0 cached"));
    assert!(rows[1].contains("3 ran"), "newest first: {rows:?}");
    let id = rows[1].split_whitespace().next().expect("a row begins with the id");
    let log = workspace.run(&["log", id]).ok();
    assert_eq!(log.stdout, "== report/count\ncounted\ncarefully\n");
    // The start of an id is enough while it is one run's; of the last run none is needed.
    workspace.run(&["log", &id[..id.len() - 1]]).ok();
    workspace.run(&["log", &id[..1]]).expect(2).says("is the start of several runs' ids");
    workspace.run(&["log"]).ok().prints("== report/count\n");
    workspace.run(&["log", "--addr", "report/summary"]).expect(2).says("took no part in run");
    workspace.run(&["log", id, "--addr", "report/summary"]).expect(2).says("printed nothing in run");
    // What a known result printed when it was made is shown as well.
    workspace.run(&["run", "report/count", "--format", "json"]).ok();
    workspace.run(&["log"]).ok().prints("counted\n");
}

#[test]
fn what_a_failing_action_printed_is_shown_from_both_streams() {
    let case = |script: &str| {
        let spec = format!("partita edition=1\ngraph g {{\n    node a {{ run sh -c \"{script}\"; output o }}\n}}\n");
        Workspace::with_spec(&spec).run(&["run", "g"])
    };
    let log = "help: all that it printed: `partita log --addr g/a`";
    case("echo test_x FAILED; exit 1").expect(1).says("    test_x FAILED\n").says(log);
    case("echo why >&2; exit 1").expect(1).says("    why\n").says(log);
    case("echo test_x FAILED; echo a warning >&2; exit 1").expect(1).says("    test_x FAILED\n    a warning\n");
    // Of an output that is missing the reason is most often told too.
    case("echo nothing to do").expect(1).says("    nothing to do\n").says(log);
    let silent = case("exit 1").expect(1);
    assert!(!silent.stderr.contains("partita log"), "{}", silent.describe());
    // Bounded: the end of it.
    let long = case("seq 1 1000; exit 1").expect(1).says("    1000\n");
    assert!(!long.stderr.contains("\n    900\n"), "{}", long.describe());
}

#[test]
fn a_command_that_is_not_found_leads_to_tools() {
    let case = |script: &str| {
        let spec = format!("partita edition=1\ngraph g {{\n    node a {{ run sh -c \"{script}\"; output o }}\n}}\n");
        Workspace::with_spec(&spec).run(&["run", "g"]).expect(1)
    };
    case("no-such-tool . x > o")
        .says("write `tools no-such-tool` in it, and declare `tool no-such-tool { exec no-such-tool }`");
    case("env no-such-tool > o").says("name what is missing by `tools`");
    // Any other status is the command's own.
    let other = case("exit 126");
    assert!(!other.stderr.contains("declare"), "{}", other.describe());
}

#[test]
fn a_script_of_the_workspace_is_named_with_its_path() {
    let spec =
        "partita edition=1\ntool mine { exec mine.sh; uses sh; }\ngraph g {\n    node a { run mine; output o }\n}\n";
    let workspace = Workspace::with_spec(spec).script("mine.sh", "#!/bin/sh\necho x > o\n");
    workspace.run(&["run", "g"]).expect(32).says("which is named with its path: `exec \"./mine.sh\"`");
    workspace.write("partita.kdl", spec.replace("exec mine.sh", "exec \"./mine.sh\""));
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn a_tool_that_is_a_script_of_a_version_manager_is_told_apart() {
    let workspace = Workspace::with_spec(
        "partita edition=1\ntool mine { exec mine fingerprint=\"--version\" }\ngraph g {\n    node a { run mine; output o }\n}\n",
    )
    .script("shims/mine", "#!/usr/bin/env bash\necho 1.0\n");
    let path = format!("{}/shims:/usr/bin:/bin", workspace.root().display());
    let outcome = workspace.partita(&["run", "g"]).env("PATH", &path).run().expect(1);
    outcome.says("shims/mine` is a script for `bash`").says("`uses bash`");
    let python = Workspace::new().script("shims/python3", "#!/usr/bin/env bash\necho 3\n");
    let path = format!("{}/shims:/usr/bin:/bin", python.root().display());
    python.partita(&["doctor"]).env("PATH", &path).run().ok().prints("less  script").prints("shims/python3");
}

#[test]
fn parameters_are_written_as_in_specs_and_as_people_are_used_to() {
    let spec = "partita edition=1\ngraph g {\n    param b type=bool default=#false\n    param n type=int default=1\n    param l type=list<string> default=x\n    node a {\n        run sh -c \"echo $B $N $L > o\"\n        env B=\"{{ b }}\" N=\"{{ n }}\" L=\"{{ l | join \\\"+\\\" }}\"\n        output o\n    }\n}\n";
    let workspace = Workspace::with_spec(spec);
    for (given, made) in [
        ("b=#true", "true 1 x"),
        ("b=true", "true 1 x"),
        ("b=#false", "false 1 x"),
        ("n=7", "false 7 x"),
        ("n=-7", "false -7 x"),
        ("n=0x10", "false 16 x"),
        ("n=1_000", "false 1000 x"),
        ("l=a", "false 1 a"),
        ("l=a,b", "false 1 a+b"),
        ("l=a b", "false 1 a b"),
    ] {
        workspace.run(&["run", "g", "-p", given]).ok();
        assert_eq!(workspace.read("out/g/a/o"), format!("{made}\n"), "{given}");
    }
    for given in ["b=1", "b=yes", "b=", "n=seven", "n=", "n=1 2", "n=1; node x", "n=1 // no", "n=1.5", "n=(u8)1"] {
        workspace.run(&["run", "g", "-p", given]).expect(3).says("P0301");
    }
}

#[test]
fn what_waits_for_people_has_not_failed() {
    let spec = "gate signoff kind=approval {\n    approvers people min=1\n}\ngroup people {\n    member ana key=\"1111111111111111111111111111111111111111111111111111111111111111\" email=\"ana@example.com\"\n}\ngraph g {\n    node publish {\n        guard signoff\n        write x\n        output o\n    }\n}\n";
    let workspace = Workspace::with_spec(spec);
    let outcome = workspace.run(&["run", "g"]).expect(4).says("waits g/publish/guard/signoff");
    let outcome = outcome.says("is not approved").says("this waits for it").says("did not succeed");
    assert!(!outcome.stderr.contains("which it needs, failed"), "{}", outcome.describe());
    workspace.run(&["runs"]).ok().prints("waiting");
}

#[test]
fn keys_that_openssl_made_have_a_public_half() {
    let workspace = Workspace::with_spec("graph g { node a { write x; output o } }\n");
    workspace.run(&["key", "generate", "one"]).ok();
    let public = workspace.run(&["key", "export", "one"]).ok().stdout;
    let keys = workspace.state().join("keys");
    fs::remove_file(keys.join("one.pub.pem")).expect("it is there");
    assert_eq!(workspace.run(&["key", "export", "one"]).ok().stdout, public);
    workspace.run(&["key", "export", "two"]).expect(22).says("partita key generate two");
}

/// A paid tool.
const PAID: &str = r#"
tenant acme { budget usd="0.05" per=PERIOD; allow-tier primary secondary }
tool wire tier=secondary {
    exec "tools/wire.sh"
    provides text.summary {
        arg (var)text
        output summary path="out/summary.txt"
    }
    uses mkdir
    cost usd="0.03" per=call
}
capability text.summary {
    accepts text type=string
    returns summary type=artifact.text
    candidate wire
}
graph g tenant=acme {
    node a capability=text.summary {
        with text=hello
    }
}
"#;

#[test]
fn a_tenant_spends_once_what_it_has_for_a_month() {
    let workspace = |period: &str| {
        let script = "#!/bin/sh\nmkdir -p out\necho done > out/summary.txt\n";
        Workspace::with_spec(&PAID.replace("PERIOD", period)).script("tools/wire.sh", script)
    };
    let month = workspace("month");
    month.run(&["run", "g"]).ok();
    let refused = month.run(&["run", "g", "--refresh", "g"]).expect(50);
    refused
        .says("error[E0220]")
        .says("may cost $0.03, and $0.02 is left of the budget of tenant `acme` for this month (in UTC)");
    // It is no cache.
    month.drop_store();
    month.run(&["run", "g"]).expect(50);
    assert!(month.state().join("spending.sqlite").exists());
    // A copy of the state knows it, and a damaged file stops what costs.
    let (copy, there) = (month.around().join("state.tar"), month.around().join("restored"));
    let (copy, there) = (copy.to_str().expect("UTF-8"), there.to_str().expect("UTF-8"));
    month.run(&["state", "backup", copy]).ok();
    month.run(&["--state", there, "state", "restore", copy]).ok();
    month.run(&["--state", there, "run", "g"]).expect(50).says("E0220");
    month.drop_state();
    fs::create_dir(month.state()).expect("a folder can be made");
    fs::write(month.state().join("spending.sqlite"), "this is no database, nor was it ever")
        .expect("it can be written");
    month.run(&["run", "g"]).expect(31).says("S0109");
    // What is for a run is no matter of others.
    let run = workspace("run");
    for _ in 0..2 {
        run.run(&["run", "g", "--refresh", "g"]).ok();
    }
    assert!(!run.state().join("spending.sqlite").exists());
}

#[test]
fn who_names_no_graph_is_told_which_there_are() {
    let workspace = Workspace::with_spec(
        "graph one { node a { write x; output o } }\ngraph two { node a { write y; output o } }\n",
    );
    for verb in ["run", "forecast"] {
        let outcome = workspace.run(&[verb]).expect(2);
        outcome.says("error[usage]").says("graphs: one, two").says(&format!("partita {verb} one"));
    }
    let workspace = Workspace::with_spec("graph only { node a { write x; output o } }\n");
    workspace.run(&["run"]).expect(2).says("there is one graph: `partita run only`");
    assert!(!workspace.root().join("out").exists());
    // What is wrong with the specs comes first.
    let workspace = Workspace::with_spec("graph only { nod a }\n");
    workspace.run(&["run"]).expect(3).says("P0101");
}
