//! The recipes for continuous integration in the book: they are YAML, and every command in them does what it
//! is there for. Leaves out what the services do with the results.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Workspace, blocks_of, repository, tool, tools_are_required};

/// The documents of the YAML blocks of the page, by another maker's parser.
fn recipes() -> Option<Vec<Value>> {
    const PROGRAM: &str = r"
import json, sys
try:
    import yaml
except ImportError:
    sys.exit(9)
print(json.dumps(yaml.load(sys.stdin.read(), Loader=yaml.BaseLoader)))
";
    let python = tool("python3")?;
    let page = std::fs::read_to_string(repository("book/src/guides/review.md")).expect("the page can be read");
    let workspace = Workspace::new();
    let mut found = Vec::new();
    for block in blocks_of(&page).into_iter().filter(|block| block.language == "yaml") {
        let said = workspace.command(&python, &["-c", PROGRAM]).stdin(block.text.as_bytes()).run();
        if said.status == 9 {
            assert!(!tools_are_required(), "PyYAML is not installed: tests/run installs it");
            return None;
        }
        found.push(said.ok().json());
    }
    Some(found)
}

/// A repository with two commits, of which the second is privileged if asked for; the programs the recipes
/// call are in `bin`, where `gh` writes down how it was called.
fn repository_with(change: &str) -> (Workspace, String) {
    let git = tool("git").expect("it was looked for");
    let spec = "graph g {\n node a {\n  run sh -c \"echo x > o\"\n  output o\n }\n}\n";
    let workspace = Workspace::with_spec(spec).file(".gitignore", "/bin/\n/diff.*\n/summary\n");
    let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    let run = |args: &[&str]| workspace.command(&git, &[&own, args].concat()).run().ok().stdout;
    run(&["init", "-q", "."]);
    run(&["add", "-A"]);
    run(&["commit", "-q", "-m", "one"]);
    let base = run(&["rev-parse", "HEAD"]).trim().to_owned();
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("node a {", change));
    run(&["commit", "-q", "-a", "-m", "two"]);
    workspace.write("bin/gh", "#!/bin/sh\necho \"$@\" >> gh.log\ntest -s diff.md\n");
    let file = workspace.path("bin/gh");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_partita"), workspace.path("bin/partita"))
        .expect("a link can be made");
    (workspace, base)
}

/// Runs a script of a recipe as the service does; the status.
fn script(workspace: &Workspace, text: &str, variables: &[(&str, &str)]) -> i32 {
    let bash = tool("bash").expect("services run scripts by it");
    let path = partita::base::Environment::of_process().raw("PATH").cloned().unwrap_or_default();
    let path = format!("{}:{}", workspace.path("bin").display(), path.to_string_lossy());
    let invocation = workspace.command(&bash, &["-eo", "pipefail", "-c", text]).env("PATH", path);
    let invocation = invocation.env("PARTITA_STORE", workspace.store()).env("PARTITA_STATE", workspace.state());
    let invocation = variables.iter().fold(invocation, |all, (name, value)| all.env(name, value));
    let outcome = invocation.run();
    assert!([0, 6].contains(&outcome.status), "{text}\n{}", outcome.describe());
    outcome.status
}

const HARMLESS: &str = "node a {\n  env MODE=x";
const PRIVILEGED: &str = "node a class=volatile {";

#[test]
fn the_recipe_for_github_comments_uploads_and_stops_what_is_privileged() {
    let (Some(_), Some(_), Some(all)) = (tool("git"), tool("bash"), recipes()) else { return };
    let steps = all[0]["jobs"]["plan"]["steps"].as_array().expect("a list of steps").clone();
    for (change, stops) in [(HARMLESS, 0), (PRIVILEGED, 6)] {
        let (workspace, base) = repository_with(change);
        let summary = workspace.path("summary");
        let summary = summary.to_str().expect("it is UTF-8");
        let mut statuses = Vec::new();
        for step in steps.iter().filter_map(|step| step["run"].as_str()) {
            assert!(!step.contains("${{"), "what comes from outside is handed over in variables: {step}");
            let variables = [("BASE", base.as_str()), ("PR", "7"), ("GH_TOKEN", "t"), ("GITHUB_STEP_SUMMARY", summary)];
            statuses.push(script(&workspace, step, &variables));
        }
        assert_eq!(
            statuses.iter().filter(|status| **status != 0).copied().collect::<Vec<_>>(),
            vec![6; usize::from(stops == 6)]
        );
        assert_eq!(statuses.last(), Some(&stops), "the last step stops it");
        assert!(
            workspace.read("gh.log").starts_with("pr comment 7 --body-file diff.md"),
            "{}",
            workspace.read("gh.log")
        );
        assert!(workspace.read("diff.md").starts_with("### Partita: what this change does"));
        assert_eq!(workspace.read("summary"), workspace.read("diff.md"));
        let sarif: Value = serde_json::from_str(&workspace.read("diff.sarif")).expect("it is JSON");
        assert_eq!(sarif["version"], "2.1.0");
        // What is uploaded is what was written.
        let uploads: Vec<&str> = steps.iter().filter_map(|step| step["with"]["sarif_file"].as_str()).collect();
        assert_eq!(uploads, ["diff.sarif"]);
    }
}

#[test]
fn the_recipe_for_gitlab_keeps_the_difference_and_stops_what_is_privileged() {
    let (Some(_), Some(_), Some(all)) = (tool("git"), tool("bash"), recipes()) else { return };
    let job = &all[1]["plan"];
    let lines: Vec<&str> = job["script"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for (change, stops) in [(HARMLESS, 0), (PRIVILEGED, 6)] {
        let (workspace, base) = repository_with(change);
        let statuses: Vec<i32> =
            lines.iter().map(|line| script(&workspace, line, &[("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base)])).collect();
        assert_eq!(statuses.last(), Some(&stops));
        assert!(statuses[..statuses.len() - 1].iter().all(|status| *status == 0), "{statuses:?}");
        for kept in job["artifacts"]["paths"].as_array().expect("a list").iter().filter_map(Value::as_str) {
            assert!(workspace.has(kept), "{kept}");
        }
        assert_eq!(job["allow_failure"]["exit_codes"], "6");
    }
}
