//! Approvals through the program: who may give them, when they lapse, and what is said while they are
//! missing. Leaves out gates that no person decides.

use std::collections::BTreeMap;

use crate::support::{Outcome, Workspace, tool};

/// A workspace with keys of ana, ben, cem and eve, and a spec made with the ids of them.
fn workspace(spec: &dyn Fn(&BTreeMap<&'static str, String>) -> String) -> Workspace {
    let workspace = Workspace::with_spec("graph g { node a { write x; output o; } }\n");
    let mut keys = BTreeMap::new();
    for name in ["ana", "ben", "cem", "eve"] {
        let made = workspace.run(&["key", "generate", name, "--format", "json"]).ok().json();
        keys.insert(name, made["keyid"].as_str().expect("an id is text").to_owned());
    }
    workspace.write("partita.kdl", spec(&keys));
    workspace
}

/// A graph whose node `ship` waits for people; `how` is what the gate says.
fn guarded(how: &str) -> impl Fn(&BTreeMap<&'static str, String>) -> String {
    let how = how.to_owned();
    move |keys| {
        let member = |name: &str| format!("    member {name} key=\"{}\" email=\"{name}@example.com\"\n", keys[name]);
        let team: String = ["ana", "ben", "cem"].map(member).concat();
        format!(
            "partita edition=1\ngroup team {{\n{team}}}\ngate signoff kind=approval {{\n    {how}\n}}\ngraph g {{\n    node a {{\n        \
             write x\n        output o\n    }}\n    node ship {{\n        guard signoff\n        input o from=(ref)a.o\n        \
             run sh -c \"cat o > p\"\n        output p\n    }}\n}}\n"
        )
    }
}

#[track_caller]
fn refused(workspace: &Workspace) -> Outcome {
    let outcome = workspace.run(&["run", "g"]).expect(4);
    assert!(!workspace.has("out/g/ship/p"), "what waits did not run\n{}", outcome.describe());
    outcome
}

#[test]
fn a_run_says_what_is_missing_and_which_command_gives_it() {
    let workspace = workspace(&guarded("approvers team"));
    let refused = refused(&workspace).says("error[E0217]: `g/ship/guard/signoff` is not approved");
    let refused = refused.says("it waits for 1 of team (ana, ben, cem)");
    let refused = refused.says("approve it: partita approve g --key NAME");
    // What does not wait has run, and the counts say what did not.
    assert!(workspace.has("out/g/a/o") || refused.counts()[0] == 1, "{}", refused.describe());
    // JSON tells the same, and the status is the same.
    let json = workspace.run(&["run", "g", "--format", "json"]).expect(4).json();
    assert_eq!(json["failures"][0]["code"], "E0217", "{json:#}");
    assert_eq!(json["failures"][0]["addr"], "g/ship/guard/signoff");
    assert_eq!(json["failures"][0]["place"]["line"], 16, "where it is asked for: {json:#}");
    // The forecast waits for the same.
    workspace.run(&["forecast", "g"]).ok().prints("gated         g/ship/guard/signoff").prints("partita approve g");
    // The command that was named mends it, with a name in place of NAME.
    workspace.run(&["approve", "g", "--key", "ana"]).ok().says("g/ship/guard/signoff  approved").says("signed by ana");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts()[3..], [0, 0]);
    assert_eq!(workspace.read("out/g/ship/p"), "x");
    workspace.run(&["why", "g/ship/guard/signoff"]).ok().prints("it was approved by ana");
}

#[test]
fn consent_lapses_when_the_plan_changes() {
    let workspace = workspace(&guarded("approvers team"));
    workspace.run(&["approve", "g", "--key", "ana"]).ok();
    let spec = workspace.read("partita.kdl");
    // What is in no plan changes none, so consent stands.
    workspace.write("partita.kdl", format!("{spec}// a comment\n"));
    workspace.run(&["run", "g"]).ok();
    for (from, to) in
        [("cat o > p", "cat o o > p"), ("run sh", "timeout \"1m\"\n        run sh"), ("write x", "write y")]
    {
        workspace.write("partita.kdl", spec.replace(from, to));
        workspace.run(&["run", "g"]).expect(4).says("it lapsed as the plan changed");
    }
    workspace.write("partita.kdl", &spec);
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn as_many_people_as_asked_for_and_each_counts_once() {
    let workspace = workspace(&guarded("approvers team min=2"));
    workspace.run(&["approve", "g", "--key", "ana"]).ok().says("approved, and needs 1 more of team");
    workspace.run(&["approve", "g", "--key", "ana"]).ok().says("approved, and needs 1 more of team");
    refused(&workspace).says("it waits for 2 of team (ana, ben, cem)").says("approved so far by ana");
    workspace.run(&["approve", "g", "--key", "cem"]).ok();
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn a_key_that_the_group_does_not_list_counts_for_nothing() {
    let workspace = workspace(&guarded("approvers team"));
    let eve = workspace.run(&["approve", "g", "--key", "eve"]).expect(2);
    eve.says("an approval by key `eve` would count for nothing").says("its key is of no member of `team`");
    refused(&workspace);
    // Nor does a statement that was made elsewhere, altered, or put under another plan.
    workspace.run(&["approve", "g", "--key", "ana"]).ok();
    let folder = workspace.state().join("approvals");
    let files = walkdir::WalkDir::new(&folder).sort_by_file_name().into_iter().map(|entry| entry.expect("an entry"));
    let file = files.into_iter().find(|entry| entry.file_type().is_file()).expect("one file").into_path();
    let plan = file.parent().expect("a plan's folder").to_path_buf();
    let line = std::fs::read_to_string(&file).expect("a text");
    let json: serde_json::Value = serde_json::from_str(&line).expect("an envelope is JSON");
    assert_eq!(json["payloadType"], "application/vnd.in-toto+json");
    let signature = json["signatures"][0]["sig"].as_str().expect("a signature");
    let other: String = signature.chars().rev().collect();
    std::fs::write(&file, line.replace(signature, &other)).expect("it can be written");
    refused(&workspace);
    std::fs::write(&file, &line).expect("it can be written");
    workspace.run(&["run", "g"]).ok();
    let spec = workspace.read("partita.kdl").replace("cat o > p", "cat o o > p");
    workspace.write("partita.kdl", spec);
    let now = workspace.run(&["plan", "g", "--format", "json"]).ok().json_lines()[0]["digest"].clone();
    let moved = folder.join(now.as_str().expect("a digest is text"));
    std::fs::rename(&plan, &moved).expect("a folder can be renamed");
    workspace.run(&["run", "g"]).expect(4);
}

#[test]
fn the_author_of_the_change_does_not_count_where_that_is_said() {
    let Some(git) = tool("git") else { return };
    let workspace = workspace(&guarded("approvers team distinct=#true"));
    let commit = |name: &str| {
        let (user, email) = (format!("user.name={name}"), format!("user.email={name}@example.com"));
        let own = ["-c", user.as_str(), "-c", email.as_str(), "-c", "init.defaultBranch=main"];
        for args in [&["init", "-q", "."][..], &["add", "partita.kdl"], &["commit", "-q", "--allow-empty", "-m", "x"]] {
            workspace.command(&git, &[&own, args].concat()).run().ok();
        }
    };
    commit("ana");
    let ana = workspace.run(&["approve", "g", "--key", "ana"]).expect(2);
    ana.says("would count for nothing").says("`ana` is the author of the change");
    workspace.run(&["approve", "g", "--key", "ben"]).ok();
    workspace.run(&["run", "g"]).ok();
    // What ben consented to is the same plan, but now it is ben who wrote it last.
    commit("ben");
    workspace.run(&["run", "g"]).expect(4).says("that of `ben` does not count: `ben` is the author of the change");
    workspace.run(&["approve", "g", "--key", "ana"]).ok();
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn consent_expires_by_the_clock() {
    let workspace = workspace(&guarded("approvers team\n    expires \"2h\" then=reject"));
    let Some(faketime) = tool("faketime") else { return };
    let at = |when: &str, args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_partita");
        let (store, state) = (workspace.store(), workspace.state());
        let all = [&["-f", when, program][..], args].concat();
        workspace
            .command(&faketime, &all)
            .env("PARTITA_MEMO", "off")
            .env("PARTITA_STORE", store.as_os_str())
            .env("PARTITA_STATE", state.as_os_str())
            .run()
    };
    at("-3h", &["approve", "g", "--key", "ana"]).ok();
    workspace.run(&["run", "g"]).expect(4).says("that of `ana` does not count: it is too old");
    at("-1h", &["approve", "g", "--key", "ana"]).ok();
    workspace.run(&["run", "g"]).ok();
    at("+3h", &["approve", "g", "--key", "ben"]).ok();
    workspace.remove("out");
    at("-90m", &["run", "g"]).expect(4).says("it was given in the future");
}

#[test]
fn a_plan_file_is_approved_where_there_is_no_checkout() {
    let workspace = workspace(&guarded("approvers team"));
    workspace.run(&["plan", "g", "-o", "../g.plan"]).ok();
    let spec = workspace.read("partita.kdl");
    // The specs here are others by now; the file says what is consented to.
    workspace.write("partita.kdl", spec.replace("write x", "write z"));
    let reply = workspace.run(&["approve", "../g.plan", "--key", "ben", "--format", "json"]).ok().json();
    assert_eq!(reply["person"], "ben");
    assert_eq!(reply["approvals"][0]["counts"], true, "{reply:#}");
    workspace.run(&["run", "g"]).expect(4).says("it lapsed as the plan changed");
    workspace.write("partita.kdl", spec);
    workspace.run(&["run", "g"]).ok();
}

fn automated(level: &str) -> impl Fn(&BTreeMap<&'static str, String>) -> String {
    let level = level.to_owned();
    move |_| {
        format!(
            "partita edition=1\ngraph g {{\n    node ship automation={level} {{\n        write x\n        output p\n    }}\n}}\n"
        )
    }
}

#[test]
fn what_a_person_assists_starts_after_consent_to_the_plan() {
    let workspace = workspace(&automated("assist"));
    let said = refused(&workspace).says("`g/ship/guard/assist` is not approved");
    said.says("approve it: partita approve g --key NAME");
    workspace.run(&["approve", "g", "--key", "eve"]).ok().says("g/ship/guard/assist  approved");
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn what_is_manual_starts_after_it_was_named() {
    let workspace = workspace(&automated("manual"));
    let said = refused(&workspace).says("`g/ship/guard/manual` is not approved");
    said.says("approve it: partita approve g --gate g/ship/guard/manual --key NAME");
    let whole = workspace.run(&["approve", "g", "--key", "ana"]).expect(2);
    whole.says("it must be named: `--gate g/ship/guard/manual`");
    workspace
        .run(&["approve", "g", "--gate", "g/ship/guard/nothing", "--key", "ana"])
        .expect(2)
        .says("there is no approval at");
    workspace.run(&["approve", "g", "--gate", "g/ship/guard/manual", "--key", "ana"]).ok();
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn other_levels_wait_for_nobody_and_one_of_them_tells() {
    for (level, tells) in [("notify", true), ("auto", false)] {
        let workspace = workspace(&automated(level));
        let ran = workspace.run(&["run", "g"]).ok();
        assert_eq!(ran.stderr.contains("`g/ship` is done (automation=notify)"), tells, "{}", ran.describe());
        workspace.run(&["approve", "g", "--key", "ana"]).expect(2).says("asks for no approval");
    }
}
