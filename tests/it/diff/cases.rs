//! Single changes of specs, each with what the difference says. Leaves out git.

use partita::plan::from_json_lines;

use crate::support::{Workspace, repository, tool, tools_are_required};

const SPEC: &str = r#"
tool cc { exec gcc fingerprint="--version" }
graph g {
    node a {
        run cc -c "a.c" -o a.o
        input "a.c"
        env MODE=plain
        output a.o
    }
    node b {
        input a.o from=(ref)a.a.o
        run cc -o b a.o
        output b
        timeout "1m"
    }
}
"#;

/// The difference that replacing a part of the spec makes, as JSON.
fn change(from: &str, to: &str) -> serde_json::Value {
    change_of(SPEC, from, to)
}

fn change_of(spec: &str, from: &str, to: &str) -> serde_json::Value {
    let workspace = Workspace::with_spec(spec);
    workspace.run(&["plan", "g", "-o", "../before"]).ok();
    let text = workspace.read("partita.kdl");
    assert!(text.contains(from), "the spec holds `{from}`");
    workspace.write("partita.kdl", text.replace(from, to));
    workspace.run(&["diff", "../before", ".", "--format", "json"]).ok().json()["graphs"][0].clone()
}

fn only_change(graph: &serde_json::Value) -> (String, String) {
    let roots = graph["roots"].as_array().expect("a list");
    assert_eq!(roots.len(), 1, "{graph:#}");
    let changes = roots[0]["changes"].as_array().expect("a list");
    assert_eq!(changes.len(), 1, "{graph:#}");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&roots[0]["members"][0]), text(&changes[0]["field"]))
}

#[test]
fn single_changes_are_named_with_their_field() {
    for (from, to, addr, field) in [
        ("-c \"a.c\"", "-O2 -c \"a.c\"", "g/a", "args[1]"),
        ("env MODE=plain", "env MODE=other", "g/a", "env.MODE"),
        ("env MODE=plain", "env MODE=plain X=1", "g/a", "env.X"),
        ("input \"a.c\"", "input \"a.c\"\n input \"*.h\"", "g/a", "inputs.*.h"),
        ("timeout \"1m\"", "timeout \"2m\"", "g/b", "timeout"),
        ("timeout \"1m\"", "retry max=2", "g/b", "retry"),
        ("exec gcc", "exec clang", "cc", "exec"),
        ("tool cc {", "tool cc version=\">=9\" {", "cc", "version"),
    ] {
        let graph = change(from, to);
        let roots = graph["roots"].as_array().expect("a list");
        let fields: Vec<&str> = roots
            .iter()
            .flat_map(|root| root["changes"].as_array().expect("a list"))
            .filter_map(|change| change["field"].as_str())
            .collect();
        assert!(fields.contains(&field), "{from} -> {to}: {fields:?}");
        assert_eq!(roots.len(), 1, "{from} -> {to}: {graph:#}");
        assert_eq!(roots[0]["members"][0], addr, "{from} -> {to}");
    }
}

#[test]
fn what_only_looks_different_is_none() {
    for (from, to) in [
        ("\n    node a {", "\n\n    // A comment.\n    node a {"),
        ("env MODE=plain", "env \"MODE\"=\"plain\""),
        ("input \"a.c\"\n        env MODE=plain", "env MODE=plain\n        input \"a.c\""),
    ] {
        let graph = change(from, to);
        assert_eq!(graph["changed"], false, "{from} -> {to}: {graph:#}");
    }
}

#[test]
fn a_change_of_many_instances_is_one_cause() {
    let spec = "graph g {\n node n {\n  for-each x in=(var)xs\n  write \"one {{ x }}\"\n  output o\n }\n}\nlet xs type=list<string> {\n - a\n - b\n - c\n - d\n}\n";
    let graph = change_of(spec, "one ", "two ");
    // A plan file knows no places, so that only equal changes are one; texts of instances differ.
    assert_eq!(graph["roots"].as_array().expect("a list").len(), 4, "{graph:#}");
    let spec = spec.replace("one {{ x }}", "{{ x }}\\n-O2");
    let graph = change_of(&spec, "-O2", "-O3");
    assert_eq!(graph["roots"][0]["count"], 4, "{graph:#}");
    assert_eq!(only_change(&graph).1, "text[2]");
}

#[test]
fn what_widens_a_plan_is_privileged_and_what_narrows_it_is_not() {
    let wider = change("node b {", "node b class=volatile {");
    assert_eq!(wider["privileged"][0]["ways"][0]["kind"], "network", "{wider:#}");
    let narrower =
        change_of(&SPEC.replace("node b {", "node b class=volatile {"), "node b class=volatile {", "node b {");
    assert_eq!(narrower["privileged"].as_array().map(Vec::len), Some(0), "{narrower:#}");
    assert_eq!(narrower["changed"], true);
    let passes = change("tool cc {", "tool cc {\n pass-env TOKEN\n");
    assert_eq!(passes["privileged"][0]["ways"][0]["kind"], "pass-env", "{passes:#}");
    let other = change("exec gcc", "exec clang");
    assert_eq!(other["privileged"][0]["ways"][0]["kind"], "tool", "{other:#}");
    let timeout = change("timeout \"1m\"", "timeout \"2m\"");
    assert_eq!(timeout["privileged"].as_array().map(Vec::len), Some(0), "{timeout:#}");
}

#[test]
fn exit_statuses_tell_changes_and_privileged_ones() {
    let workspace = Workspace::with_spec(SPEC);
    workspace.run(&["plan", "g", "-o", "../before"]).ok();
    workspace.run(&["diff", "../before", ".", "--exit-code"]).ok().prints("no change of any plan");
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("MODE=plain", "MODE=other"));
    workspace.run(&["diff", "../before", "."]).ok();
    workspace.run(&["diff", "../before", ".", "--exit-code"]).expect(5).prints("env.MODE: plain -> other");
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("node b {", "node b class=volatile {"));
    workspace.run(&["diff", "../before", ".", "--exit-code"]).expect(6).prints("! g/b");
    workspace.run(&["diff", "../before", ".", "--graph", "h"]).expect(2).says("neither side has a graph `h`");
}

#[test]
fn forms_are_well_formed() {
    let workspace = Workspace::with_spec(SPEC);
    workspace.run(&["plan", "g", "-o", "../before"]).ok();
    let hostile = "MODE=\"</details> @team `x` ``` | \\u{1b}[31m\"";
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("MODE=plain", hostile));
    let sarif = workspace.run(&["diff", "../before", ".", "--format", "sarif"]).ok().json();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().expect("a list");
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "partita.kdl", "{sarif:#}");
    let known: Vec<_> = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().expect("a list").iter().collect();
    for result in results {
        assert!(known.iter().any(|rule| rule["id"] == result["ruleId"]), "{result:#}");
    }
    let markdown = workspace.run(&["diff", "../before", ".", "--format", "markdown"]).ok().stdout;
    assert!(!markdown.contains('\u{1b}'), "{markdown}");
    assert!(markdown.contains("````diff"), "the fence is longer than what is in it: {markdown}");
    assert_eq!(markdown.matches("<details>").count(), 1, "{markdown}");
    let text = workspace.run(&["diff", "../before", "."]).ok().stdout;
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn real_plans_are_read_back_and_fit_their_schema() {
    for (folder, graph) in [
        ("examples/hello", "hello"),
        ("examples/lua", "lua"),
        ("examples/site", "site"),
        ("examples/routing", "routing"),
        ("examples/services", "services"),
    ] {
        let workspace = Workspace::copy_of(folder);
        let text = workspace.run(&["plan", graph, "--format", "json"]).ok().stdout;
        let plan = from_json_lines(&text).unwrap_or_else(|error| panic!("{folder}: {error}"));
        assert_eq!(partita::plan::to_json_lines(&plan), text, "{folder}");
        schema_accepts(&workspace, "plan.schema.json", &text);
        workspace.write("../before", &text);
        let spec = workspace.read("partita.kdl").replacen("timeout \"2m\"", "timeout \"3m\"", 1);
        workspace.write("partita.kdl", spec);
        let diff = workspace.run(&["diff", "../before", ".", "--format", "json"]).ok().stdout;
        schema_accepts(&workspace, "diff.schema.json", &diff);
    }
}

#[test]
fn a_plan_that_says_what_takes_its_effects_back_is_read_back_and_fits_its_schema() {
    let spec = "graph g {\n    node push class=effect {\n        run sh -c \":\"\n        rollback undo\n    }\n    node undo class=effect {\n        run sh -c \":\"\n    }\n}\n";
    let workspace = Workspace::with_spec(spec);
    let text = workspace.run(&["plan", "g", "--format", "json"]).ok().stdout;
    assert!(text.contains(r#""rollback":"g/undo""#), "{text}");
    let plan = from_json_lines(&text).expect("it is read");
    assert_eq!(partita::plan::to_json_lines(&plan), text);
    schema_accepts(&workspace, "plan.schema.json", &text);
    workspace.write("../before", &text);
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("        rollback undo\n", ""));
    let diff = workspace.run(&["diff", "../before", ".", "--format", "json"]).ok().stdout;
    assert!(diff.contains("no longer taken back by `g/undo`"), "{diff}");
    schema_accepts(&workspace, "diff.schema.json", &diff);
}

/// Judges each line by a published schema with another maker's validator.
pub(super) fn schema_accepts(workspace: &Workspace, schema: &str, lines: &str) {
    const PROGRAM: &str = r"
import json, sys
try:
    import jsonschema
except ImportError:
    sys.exit(9)
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for number, line in enumerate(sys.stdin, 1):
    for error in validator.iter_errors(json.loads(line)):
        sys.exit(f'line {number}: {error.json_path}: {error.message}')
";
    let Some(python) = tool("python3") else { return };
    let path = repository("book/src/reference").join(schema);
    let said =
        workspace.command(&python, &["-c", PROGRAM, path.to_str().expect("it is UTF-8")]).stdin(lines.as_bytes()).run();
    if said.status == 9 {
        assert!(!tools_are_required(), "jsonschema is not installed: tests/run installs it");
        return;
    }
    assert!(said.status == 0, "{schema}\n{}", said.describe());
}
