//! Forms of output: data as JSON for every command, diagnostics in every form on the right stream.
//! Leaves out what the data mean.

use serde_json::Value;

use crate::cli::sample;
use crate::support::Workspace;

#[test]
fn every_command_speaks_json() {
    let workspace = sample();
    let json = |args: &[&str], status: i32| -> Vec<Value> {
        let outcome = workspace.run(&[args, &["--format", "json"]].concat()).expect(status);
        let lines = outcome.json_lines();
        assert!(!lines.is_empty(), "no data\n{}", outcome.describe());
        lines
    };
    assert_eq!(json(&["check"], 0)[0]["errors"], 0);
    assert_eq!(json(&["fmt", "--check"], 0)[0]["changed"], Value::Array(Vec::new()));
    assert!(json(&["expand", "report"], 0)[0]["kdl"].as_str().is_some_and(|kdl| kdl.contains("\ngraph report {")));
    assert_eq!(json(&["explain", "P0101"], 0)[0]["code"], "P0101");
    assert_eq!(json(&["plan", "report"], 0).len(), 4);
    let run = json(&["run", "report"], 0).remove(0);
    assert_eq!(run["ran"], 3);
    assert_eq!(run["actions"][0]["outputs"][0]["path"], "words.txt");
    let known = json(&["run", "report", "--require-cached"], 0).remove(0);
    assert_eq!((&known["ran"], &known["cached"]), (&0.into(), &3.into()));
    assert_eq!(json(&["why", "report/count"], 0)[0]["outcome"], "cached");
    let runs = json(&["runs"], 0);
    assert_eq!((&runs[0]["status"], &runs[0]["cached"]), (&"succeeded".into(), &3.into()));
    let log = json(&["log", "--addr", "report/count"], 0);
    assert_eq!((&log[0]["stdout"], &log[0]["stderr"]), (&"counted\n".into(), &"carefully\n".into()));
    let delivered = json(&["deliver", "report"], 0).remove(0);
    assert_eq!(delivered["files"], 2);
    assert_eq!(delivered["run"]["cached"], 3);
    assert_eq!(json(&["bundle", "report"], 0)[0]["sha256"], delivered["sha256"]);
    let verdict = json(&["verify", "out/bundles/report-1.2.0.zip"], 0).remove(0);
    assert_eq!(verdict["accepted"], true);
    assert_eq!(verdict["facts"]["name"], "report");
    assert_eq!(json(&["verify", "out/bundles/report-1.2.0.zip", "--tenant", "acme"], 7)[0]["accepted"], false);
    let made = json(&["key", "generate", "release"], 0).remove(0);
    let shown = json(&["key", "show", "release"], 0).remove(0);
    assert_eq!(made["keyid"], shown["keyid"]);
    assert_eq!(json(&["key", "show"], 0).len(), 2);
    assert!(json(&["store", "stat"], 0)[0]["claims"].as_u64().is_some_and(|claims| claims >= 3));
    assert_eq!(json(&["store", "verify"], 0)[0]["sound"], true);
    assert_eq!(json(&["store", "gc", "--dry-run"], 0)[0]["dry_run"], true);
    assert!(json(&["doctor"], 0).iter().any(|finding| finding["what"] == "store"));
    assert_eq!(json(&["init", "new"], 0).len(), 1);
}

#[test]
fn a_failed_run_speaks_json_too() {
    let workspace = Workspace::with_spec(
        "graph g { node a { run sh -c \"exit 1\"; output o } }\nbundle g from=g version=\"1.0.0\" { include a output=o to=o }\n",
    );
    let run = workspace.run(&["run", "g", "--format", "json"]).expect(1).json();
    assert_eq!((&run["failed"], &run["failures"][0]["code"]), (&1.into(), &"E0205".into()));
    let delivered = workspace.run(&["deliver", "g", "--format", "json"]).expect(1).json();
    assert_eq!(delivered["run"]["failures"][0]["addr"], "g/a");
}

const WRONG: &str = "graph g {\n    node a { wirte x; output o }\n    node a { write y; output o }\n}\n";

#[test]
fn diagnostics_come_in_every_form() {
    let workspace = Workspace::with_spec(WRONG);
    let check = |form: &str| workspace.run(&["check", "--message-format", form]).expect(3);

    for form in ["human", "short"] {
        let outcome = check(form).says("error[P0101]").says("error[P0202]").says("partita.kdl:3:");
        assert_eq!(outcome.stdout, "", "forms for people go to standard error");
    }
    let short = check("short");
    let starts = short.stderr.lines().filter(|line| line.starts_with("partita.kdl:")).count();
    assert!(starts >= 2, "a line for each, which editors can follow\n{}", short.describe());

    let json = check("json");
    assert_eq!(json.stderr, "", "forms for programs go to standard output");
    let found = json.json_lines();
    let codes: Vec<&str> = found.iter().filter_map(|item| item["code"].as_str()).collect();
    assert!(codes.contains(&"P0101") && codes.contains(&"P0202"), "{codes:?}");

    let sarif = check("sarif");
    assert_eq!(sarif.stderr, "");
    let log = sarif.json();
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().expect("results are a list");
    assert!(results.iter().any(|result| result["ruleId"] == "P0202"), "{log}");
    let region = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(region["artifactLocation"]["uri"], "partita.kdl");

    let github = check("github");
    assert_eq!(github.stderr, "");
    assert!(github.stdout.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")));
    github.prints("file=partita.kdl,line=3");
}

#[test]
fn diagnostics_in_every_form_for_commands_that_run() {
    let workspace = Workspace::with_spec(WRONG);
    for args in [&["run", "g"] as &[&str], &["plan", "g"], &["deliver", "b"], &["expand", "g"]] {
        let outcome = workspace.run(&[args, &["--message-format", "json"]].concat()).expect(3);
        assert!(!outcome.json_lines().is_empty(), "{}", outcome.describe());
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_spec_without_faults_is_an_empty_log() {
    let workspace = sample();
    let sarif = workspace.run(&["check", "--message-format", "sarif"]).ok().json();
    assert_eq!(sarif["runs"][0]["results"], Value::Array(Vec::new()));
    for form in ["json", "github", "human", "short"] {
        let outcome = workspace.run(&["check", "--message-format", form]).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{form}");
    }
}

#[test]
fn data_and_everything_else_keep_to_their_streams() {
    let workspace = sample();
    let run = workspace.run(&["run", "report"]).ok();
    assert_eq!(run.stdout, "", "a run has no data unless asked");
    let json = workspace.run(&["run", "report", "--format", "json"]).ok();
    assert_eq!(json.stdout.lines().count(), 1);
    assert!(json.stderr.contains(" ran, "), "the summary is there all the same");
    let plan = workspace.run(&["plan", "report"]).ok();
    assert_eq!(plan.stderr, "");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let workspace = sample();
    let program = env!("CARGO_BIN_EXE_partita");
    let shell = |script: &str| workspace.command(std::path::Path::new("/bin/sh"), &["-c", script]).run();
    let outcome = shell(&format!("{{ '{program}' plan report --format json; echo $? >&2; }} | head -c 10")).ok();
    assert_eq!((outcome.stdout.len(), outcome.stderr.as_str()), (10, "0\n"), "{}", outcome.describe());
    // Data that is cut short by a full disk must not pass for whole.
    let outcome = shell(&format!("'{program}' plan report --format json > /dev/full")).expect(30);
    outcome.says("error[io]: cannot write to `standard output`: No space left on device");
}
