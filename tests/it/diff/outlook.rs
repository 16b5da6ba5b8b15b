//! What a difference foretells: how much runs because of it, for how long, for how much. Leaves out
//! whether a forecast comes true, which is asked of forecasts as such.

use super::cases::schema_accepts;
use crate::support::{Workspace, tool};

const SPEC: &str = "\
tool shout { exec \"tools/shout.sh\"; uses tr; provides noise { output o path=\"out/o\" }; cost usd=\"0.25\" per=call }
tool plain { exec \"tools/plain.sh\" fingerprint=\"--version\"; uses cp; }
capability noise { accepts text type=artifact.text; returns o type=artifact.text; candidate shout }
graph g {
    budget usd=\"2.00\"
    node a {
        input \"src/a\"
        run sh -c \"cat src/a > o\"
        output o type=artifact.text
    }
    node loud capability=noise {
        with text=(ref)a.o
    }
    node b {
        input i from=(ref)a.o
        run plain i p
        output p
    }
    node c {
        input \"src/c\"
        run sh -c \"cat src/c > q\"
        output q
    }
}
";
const SHOUT: &str = "#!/bin/sh\nmkdir -p out\nprintf loud > out/o\n";
const PLAIN: &str = "#!/bin/sh\ncase $1 in --version) echo plain 1; exit;; esac\nexec cp \"$1\" \"$2\"\n";

fn git(workspace: &Workspace, args: &[&str]) {
    let program = tool("git").expect("it was looked for");
    let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    workspace.command(&program, &[&own, args].concat()).run().ok();
}

/// A workspace in a repository with one commit, of which everything was run.
fn committed() -> Option<Workspace> {
    tool("git")?;
    let workspace = Workspace::with_spec(SPEC).script("tools/shout.sh", SHOUT).script("tools/plain.sh", PLAIN);
    let workspace = workspace.file("src/a", "1\n").file("src/c", "1\n").file(".gitignore", "/out/\n");
    git(&workspace, &["init", "-q", "."]);
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "one"]);
    workspace.run(&["run", "g"]).ok();
    Some(workspace)
}

fn edit(workspace: &Workspace, from: &str, to: &str) {
    let spec = workspace.read("partita.kdl");
    assert!(spec.contains(from), "{from}");
    workspace.write("partita.kdl", spec.replace(from, to));
}

fn foretold(workspace: &Workspace, args: &[&str]) -> serde_json::Value {
    let all = [&["diff"], args, &["--format", "json"]].concat();
    workspace.run(&all).ok().json()["graphs"][0]["forecast"].clone()
}

fn counts(found: &serde_json::Value) -> [u64; 4] {
    ["total", "run", "may_run", "anyway"].map(|name| found[name].as_u64().unwrap_or(99))
}

#[test]
fn it_tells_how_much_runs_for_how_long_for_how_much() {
    let Some(workspace) = committed() else { return };
    assert_eq!(foretold(&workspace, &["HEAD"]), serde_json::Value::Null, "nothing changed");
    edit(&workspace, "cat src/a > o", "cat src/a src/a > o");
    let found = foretold(&workspace, &["HEAD"]);
    assert_eq!(counts(&found), [4, 1, 2, 0], "{found:#}");
    assert_eq!(found["cost"]["least_micro_usd"], 0);
    assert_eq!(found["cost"]["most_micro_usd"], 250_000);
    assert_eq!(found["work"]["actions_without_history"], 0);
    assert!(found["work"]["least_ms"].as_u64() <= found["work"]["most_ms"].as_u64());
    let sentence = found["text"].as_str().expect("a text").to_owned();
    assert!(sentence.starts_with("this change re-runs 1 of 4 actions, and 2 more unless"), "{sentence}");
    assert!(sentence.ends_with(" of work, at most $0.25"), "{sentence}");
    let json = workspace.run(&["diff", "HEAD", "--format", "json"]).ok().stdout;
    schema_accepts(&workspace, "diff.schema.json", &json);
    workspace.run(&["diff", "HEAD"]).ok().prints(&format!("\n  forecast: {sentence}\n"));
    workspace.run(&["diff", "HEAD", "--format", "markdown"]).ok().prints(&format!("\n**Forecast**: {sentence}.\n"));
    workspace.run(&["diff", "HEAD", "--forecast=false"]).ok();
    assert_eq!(foretold(&workspace, &["HEAD", "--forecast=false"]), serde_json::Value::Null);
    // The run does what was foretold; after it nothing is left to do.
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [3, 1, 0, 0, 0]);
    assert_eq!(counts(&foretold(&workspace, &["HEAD"])), [4, 0, 0, 0]);
    workspace.run(&["diff", "HEAD"]).ok().prints("forecast: this change re-runs none of 4 actions");
}

#[test]
fn what_would_run_anyway_is_told_apart() {
    let Some(workspace) = committed() else { return };
    edit(&workspace, "cat src/a > o", "cat src/a src/a > o");
    workspace.drop_store();
    let found = foretold(&workspace, &["HEAD"]);
    assert_eq!(counts(&found), [4, 1, 2, 1], "{found:#}");
    workspace.run(&["diff", "HEAD"]).ok().prints("; 1 other runs anyway");
    // A file that is taken in is a change too, though no plan differs.
    git(&workspace, &["checkout", "-q", "partita.kdl"]);
    workspace.write("src/c", "2\n");
    workspace.run(&["diff", "HEAD"]).ok().prints("\nforecast of g: this change re-runs 1 of 4 actions");
}

#[test]
fn a_revision_is_foretold_where_its_inputs_are_at_hand() {
    let Some(workspace) = committed() else { return };
    edit(&workspace, "cat src/c > q", "sort src/c > q");
    git(&workspace, &["commit", "-q", "-a", "-m", "two"]);
    assert_eq!(counts(&foretold(&workspace, &["HEAD~1", "HEAD"])), [4, 1, 0, 0]);
    workspace.write("src/a", "2\n");
    assert_eq!(foretold(&workspace, &["HEAD~1", "HEAD"]), serde_json::Value::Null);
    let refused = workspace.run(&["diff", "HEAD~1", "HEAD", "--forecast"]).expect(2);
    refused.says("`src/a`, which it takes in, is another file here");
    workspace.write("src/a", "1\n");
    // Of a plan file nobody knows which files it is of, so it has to be asked for.
    workspace.run(&["plan", "g", "-o", "../now"]).ok();
    assert_eq!(foretold(&workspace, &["HEAD~1", "../now"]), serde_json::Value::Null);
    assert_eq!(counts(&foretold(&workspace, &["HEAD~1", "../now", "--forecast"]))[..2], [4, 1]);
    // Where nothing was ever run there is nothing to tell.
    workspace.drop_store();
    workspace.drop_state();
    assert_eq!(foretold(&workspace, &["HEAD~1", "HEAD"]), serde_json::Value::Null);
    assert!(!workspace.store().exists() && !workspace.state().exists(), "nothing is made by comparing");
}

#[test]
fn a_tool_that_the_change_alters_is_not_started() {
    let Some(workspace) = committed() else { return };
    let trap = workspace.path("../trap");
    let script = format!("#!/bin/sh\ntouch {}\necho plain 2\n", trap.display());
    workspace.write("tools/plain.sh", &script);
    let found = foretold(&workspace, &["HEAD"]);
    assert_eq!(found["unasked"], serde_json::json!(["plain"]), "{found:#}");
    assert_eq!(counts(&found), [4, 0, 1, 0], "what needs it may run");
    git(&workspace, &["checkout", "-q", "tools/plain.sh"]);
    // Neither is one of another name, nor by other words.
    let workspace = workspace.script("tools/new.sh", &script);
    edit(&workspace, "exec \"tools/plain.sh\"", "exec \"tools/new.sh\"");
    let found = foretold(&workspace, &["HEAD"]);
    assert_eq!(found["unasked"], serde_json::json!(["plain"]), "{found:#}");
    edit(
        &workspace,
        "exec \"tools/new.sh\" fingerprint=\"--version\"",
        "exec \"tools/plain.sh\" fingerprint=\"--help\"",
    );
    let found = foretold(&workspace, &["HEAD"]);
    assert_eq!(found["unasked"], serde_json::json!(["plain"]), "{found:#}");
    assert!(!trap.exists(), "a tool that is not known from before was started");
}

#[test]
fn what_waits_for_people_is_told() {
    let Some(_) = tool("git") else { return };
    let spec = "gate ok kind=approval { approvers team }\ngraph g {\n node a { write x; output o; }\n node b {\n  guard ok\n  write y\n  output p\n }\n}\n";
    let workspace = Workspace::with_spec(spec).file(".gitignore", "/out/\n");
    git(&workspace, &["init", "-q", "."]);
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "one"]);
    workspace.run(&["run", "g"]).expect(4);
    edit(&workspace, "write y", "write z");
    workspace.run(&["diff", "HEAD"]).ok().prints("this change re-runs none of 3 actions; 2 wait for approval");
}
