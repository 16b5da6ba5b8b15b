//! Command lines that ask for what there is not. Leaves out `--help`.

use crate::badinput::{ENGINE, SPEC, STORE_FORMAT, USAGE};
use crate::support::Workspace;

const SPECS: &str = "\
graph report {
    param lang type=string default=en
    node count { write \"1\\n\"; output words.txt }
    node summary { input words.txt from=(ref)count.words.txt; copy words.txt; output summary.txt }
}
bundle report from=report version=\"1.0.0\" { include summary output=summary.txt to=\"s.txt\" }
";

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let workspace = Workspace::with_spec(SPECS);
    workspace.run(&["run", "report"]).ok();
    for (args, message, help) in [
        (&["run", "reprot"] as &[&str], "there is no graph `reprot`", "did you mean `report`?"),
        (&["run", "x/count"], "there is no graph `x`", "graphs: report"),
        (&["plan", "reports"], "there is no graph `reports`", "did you mean `report`?"),
        (&["expand", "repor"], "there is no graph `repor`", "did you mean `report`?"),
        (&["run", "report/cuont"], "there is no action at `report/cuont`", "did you mean `report/count`?"),
        (&["run", "report", "--refresh", "report/sumary"], "no action at `report/sumary`", "mean `report/summary`?"),
        (&["bundle", "reprt"], "there is no bundle `reprt`", "did you mean `report`?"),
        (&["deliver", "zzz"], "there is no bundle `zzz`", "bundles: report"),
        (&["why", "report/nothing"], "`report/nothing` took part in no run on record", "`partita runs`"),
        (&["why", "report/count", "--run", "zz"], "there is no run `zz`", "`partita runs` lists them"),
        (&["log", "zz"], "there is no run `zz`", "`partita runs` lists them"),
        (&["explain", "P0102x"], "there is no code `P0102x`", "did you mean `P0102`?"),
        (&["explain", "hello"], "there is no code, node, property or topic `hello`", "codes begin with P, E, S or B"),
        (&["run", "report", "-p", "lang"], "`-p lang` has no `=`", "write `-p lang=VALUE`"),
        (&["store", "gc", "--max-age", "soon"], "`soon` is not a duration", "`30d` or `12h`"),
        (&["store", "gc", "--max-size", "much"], "`much` is not a size", "`10GiB`"),
        (&["-C", "nowhere", "check"], "`nowhere` is not a workspace", "partita init nowhere"),
        (&["verify", "report-1.0.0.zip"], "there is nothing to verify", "No such file"),
        (&["verify", "partita.kdl"], "there is no policy to judge by", "`--policy FILE`"),
    ] {
        let outcome = workspace.run(args).expect(USAGE).says(&format!("error[usage]: {}", "")).says(message).says(help);
        assert_eq!(outcome.stdout, "", "{}", outcome.describe());
    }
}

#[test]
fn unknown_and_wrong_parameters_point_into_the_spec() {
    let workspace = Workspace::with_spec(SPECS);
    workspace
        .run(&["run", "report", "-p", "lnag=de"])
        .expect(SPEC)
        .says("error[P0303]")
        .says("graph `report` has no parameter `lnag`")
        .says("`lang`")
        .says("partita.kdl:2:");
    workspace.run(&["run", "report", "-p", "lang=a", "-p", "lang=b"]).expect(USAGE).says("given twice");
    let typed = Workspace::with_spec("graph g { param n type=int; node a { write \"{{ n }}\"; output o } }\n");
    typed.run(&["run", "g", "-p", "n=many"]).expect(SPEC).says("error[P0301]").says("partita.kdl:2:");
    typed.run(&["run", "g"]).expect(SPEC).says("error[P0302]").says("partita.kdl:2:");
    typed.run(&["run", "g", "-p", "n=3"]).ok();
}

#[test]
fn wrong_command_lines_are_usage_errors() {
    let workspace = Workspace::with_spec(SPECS);
    for args in [
        &[] as &[&str],
        &["frobnicate"],
        &["run"],
        &["run", "report", "--nope"],
        &["run", "report", "-j", "many"],
        &["run", "report", "-j", "0"],
        &["run", "report", "--format", "xml"],
        &["run", "report", "--progress", "loud"],
        &["check", "--message-format", "morse"],
        &["key"],
        &["store", "burn"],
    ] {
        let outcome = workspace.run(args).expect(USAGE);
        assert!(outcome.stderr.contains("error") || args.is_empty(), "{}", outcome.describe());
        assert_eq!(outcome.stdout, "", "{}", outcome.describe());
    }
    assert!(!workspace.store().exists() && !workspace.state().exists(), "nothing was touched");
}

#[test]
fn errors_as_json_carry_code_message_and_help() {
    let workspace = Workspace::with_spec(SPECS);
    let error = |args: &[&str], status: i32| {
        let outcome = workspace.run(&[args, &["--format", "json"]].concat()).expect(status);
        outcome.json()["error"].clone()
    };
    let unknown = error(&["run", "reprot"], USAGE);
    assert_eq!(unknown["code"], "usage");
    assert_eq!(unknown["message"], "there is no graph `reprot`");
    assert_eq!(unknown["help"], "did you mean `report`?");
    assert_eq!(error(&["key", "show", "nope"], 22)["code"], "key-missing");
    std::fs::create_dir_all(workspace.store()).expect("a folder can be made");
    std::fs::write(workspace.store().join("format"), "99\n").expect("a file can be written");
    assert_eq!(error(&["run", "report"], STORE_FORMAT)["code"], "S0104");
    workspace.drop_store();
    std::fs::write(workspace.store(), "").expect("a file can be written");
    assert_eq!(error(&["run", "report"], ENGINE)["code"], "S0101");
    std::fs::remove_file(workspace.store()).expect("a file can be removed");
    workspace.write("partita.kdl", "partita edition=1\nnonsense\n");
    let outcome = workspace.run(&["run", "report", "--format", "json"]).expect(SPEC).says("error[P0101]");
    assert_eq!(outcome.json()["error"]["code"], "spec");
}

#[test]
fn outside_of_a_workspace_it_is_said_how_to_make_one() {
    let empty = Workspace::new();
    for args in [&["check"] as &[&str], &["run", "g"], &["plan", "g"], &["runs"], &["key", "show"]] {
        empty.run(args).expect(USAGE).says("has a `partita.kdl`").says("make a workspace here: `partita init`");
    }
    assert_eq!(empty.list("."), [""; 0]);
}

#[test]
fn where_outputs_cannot_be_written_the_error_names_the_path() {
    let workspace = Workspace::with_spec(SPECS).file("out", "a file in the way\n");
    workspace.run(&["run", "report"]).expect(ENGINE).says("out").says("error[");
    assert_eq!(workspace.read("out"), "a file in the way\n");
    workspace.remove("out");
    let outcome = workspace.run(&["run", "report"]).ok();
    assert_eq!(outcome.counts(), [0, 2, 0, 0, 0], "what was executed before is known");
    assert_eq!(workspace.read("out/report/summary/summary.txt"), "1\n");
}

#[test]
fn a_report_that_cannot_be_written_fails_after_the_run() {
    let workspace = Workspace::with_spec(SPECS);
    workspace.run(&["run", "report", "--report", "no/such/folder.json"]).expect(ENGINE).says("no/such/folder.json");
    assert_eq!(workspace.run(&["run", "report"]).ok().counts(), [0, 2, 0, 0, 0]);
}

#[test]
fn what_an_option_gives_is_told_of_the_option() {
    let spec = "record place { field town type=string }\n\
                graph g { param x type=int default=1; param at type=list<place> { default { - { town a } } }\n\
                node n { write \"{{ x }}\"; output o } }\nbundle \"../x\" from=g version=\"1\" { include n output=o to=o }\n";
    let workspace = Workspace::with_spec(spec);
    workspace.run(&["check"]).expect(SPEC).says("`../x` cannot name a bundle");
    workspace.write("partita.kdl", format!("partita edition=1\n{}", spec.split("bundle").next().unwrap_or_default()));
    workspace.run(&["run", "g", "-p", "x=abc"]).expect(SPEC).says("given by `-p x`");
    let outcome = workspace.run(&["run", "g", "-p", "at=[{\"town\":\"x\",\"q\":1}]"]).expect(SPEC).says("no field `q`");
    assert!(!outcome.stderr.contains("kdl:1:1"), "{}", outcome.describe());
}
