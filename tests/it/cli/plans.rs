//! The commands that only read: init, check, plan, expand, explain, fmt. Leaves out execution.

use std::fs;

use partita::diag::Code;
use serde_json::Value;

use crate::cli::sample;
use crate::support::Workspace;

#[test]
fn init_makes_a_workspace_that_checks_runs_and_delivers() {
    let workspace = Workspace::new();
    workspace.run(&["init", "my project"]).ok().says("made ").says("partita.kdl");
    let folder = workspace.path("my project");
    let run = |args: &[&str]| workspace.partita(args).folder(&folder).run();
    let checked = run(&["check"]).ok();
    assert_eq!((checked.stdout.as_str(), checked.stderr.as_str()), ("", ""));
    run(&["fmt", "--check"]).ok();
    assert_eq!(run(&["run", "my-project"]).ok().counts(), [2, 0, 0, 0, 0]);
    assert_eq!(workspace.read("my project/out/my-project/shout/shout.txt"), "HELLO, WORLD\n");
    run(&["run", "my-project", "-p", "who=you"]).ok();
    assert_eq!(workspace.read("my project/out/my-project/shout/shout.txt"), "HELLO, YOU\n");
    assert_eq!(run(&["deliver", "my-project"]).ok().counts(), [0, 2, 0, 0, 0]);
    assert!(workspace.has("my project/out/bundles/my-project-0.1.0.zip"));
    assert!(workspace.read("my project/.gitignore").contains("/out/"));

    let spec = workspace.read("my project/partita.kdl");
    run(&["init"]).expect(2).says("exists already").says("partita check");
    assert_eq!(workspace.read("my project/partita.kdl"), spec, "what is there is not touched");
}

#[test]
fn init_finds_a_name_for_any_folder() {
    for folder in ["ÄÖÜ", "...", "2024", "graph", "a b/c", "-x-", "true", "nan", "٣x"] {
        let workspace = Workspace::new();
        let path = workspace.path(folder);
        fs::create_dir_all(&path).expect("a folder can be made");
        workspace.partita(&["init"]).folder(&path).run().ok();
        let outcome = workspace.partita(&["check"]).folder(&path).run().ok();
        assert_eq!(outcome.stderr, "", "{folder}");
    }
}

#[test]
fn init_tells_what_to_try_in_one_column() {
    for folder in ["a", "a-name-that-is-rather-long"] {
        let workspace = Workspace::new();
        workspace.run(&["init", folder]).ok();
        let spec = workspace.read(&format!("{folder}/partita.kdl"));
        let lines: Vec<&str> = spec.lines().filter(|line| line.starts_with("//     partita ")).collect();
        let told = ["is everything", "what would", "do what", "run, bundle"];
        let columns: Vec<_> = lines.iter().zip(told).map(|(line, told)| line.find(told)).collect();
        assert_eq!(columns.len(), 4, "{spec}");
        assert!(columns.iter().all(|column| column.is_some() && *column == columns[0]), "{spec}");
    }
}

#[test]
fn check_takes_files_and_reads_imports() {
    let workspace = Workspace::with_spec("import \"./parts.kdl\" as=parts\ngraph g { node a recipe=parts.make { } }\n")
        .file(
            "parts.kdl",
            "partita edition=1\nrecipe make { returns o type=artifact.file; step s tool=sh { arg -c \"echo > o\"; output o } }\n",
        )
        .file("sub/other.kdl", "partita edition=1\ngraph h { node a { wirte x; output o } }\n");
    workspace.run(&["check"]).ok();
    workspace.run(&["check", "parts.kdl"]).ok();
    let outcome = workspace.run(&["check", "parts.kdl", "sub/other.kdl"]).expect(3);
    outcome.says("error[P0101]").says("sub/other.kdl:2:").says("did you mean `write`?");
    // From below, the workspace is found; a file elsewhere is one of its own.
    workspace.partita(&["check"]).folder(&workspace.path("sub")).run().ok();
    let alone = workspace.around().join("alone.kdl");
    fs::write(&alone, "partita edition=1\ngraph g { node a { write x; output o } }\n").expect("a file can be written");
    workspace.run(&["check", alone.to_str().expect("UTF-8")]).ok();
    assert!(!workspace.store().exists() && !workspace.state().exists(), "check needs neither");
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of a plan is JSON")).collect()
}

#[test]
fn a_plan_is_json_lines_sorted_and_stable() {
    let workspace = sample();
    let plan = workspace.run(&["plan", "report", "--format", "json"]).ok().stdout;
    let parsed = lines(&plan);
    assert_eq!(parsed[0]["graph"], "report");
    assert_eq!(parsed[0]["actions"], 3);
    let addresses: Vec<&str> = parsed[1..].iter().filter_map(|line| line["addr"].as_str()).collect();
    assert_eq!(addresses, ["report/count", "report/note", "report/summary"]);
    let mut sorted = addresses.clone();
    sorted.sort_unstable();
    assert_eq!(addresses, sorted);

    // To a file the same; JSON is the default there.
    workspace.run(&["plan", "report", "-o", "plan.jsonl"]).ok().says("plan of 3 actions written to plan.jsonl");
    assert_eq!(workspace.read("plan.jsonl"), plan);

    // Comments, order and layout are no part of it, nor is where it is made, nor what is known.
    let spec = workspace.read("partita.kdl");
    let note = spec.lines().find(|line| line.contains("node note")).expect("the node is there").to_owned();
    let moved = spec.replace(&format!("{note}\n"), "").replacen(
        "    node count",
        &format!("// first\n{note}\n\n    node count"),
        1,
    );
    assert_ne!(spec, moved);
    workspace.write("partita.kdl", moved);
    workspace.run(&["run", "report"]).ok();
    let again = workspace.partita(&["-C", "ws", "plan", "report", "--format", "json"]).folder(workspace.around());
    assert_eq!(again.env("TZ", "Asia/Kathmandu").run().ok().stdout, plan);

    // A parameter is.
    let other = workspace.run(&["plan", "report", "--format", "json", "-p", "lang=de"]).ok().stdout;
    let (before, after) = (lines(&plan), lines(&other));
    assert_ne!(before[0]["digest"], after[0]["digest"]);
    assert_eq!(before[1], after[1], "what does not depend on it is as before");
}

#[test]
fn a_plan_is_text_dot_and_mermaid_too() {
    let workspace = sample();
    let human = workspace.run(&["plan", "report"]).ok();
    let human = human.prints("plan of graph `report`: 3 actions").prints("report/summary  exec/1");
    let human = human.prints("<- words.txt = report/count.words.txt").prints("-> summary.txt (file)");
    assert_eq!(workspace.run(&["plan", "report", "--format", "human"]).ok().stdout, human.stdout);
    let dot = workspace.run(&["plan", "report", "--format", "dot"]).ok();
    assert!(dot.stdout.starts_with("digraph \"report\" {") && dot.stdout.ends_with("}\n"));
    dot.prints("\"report/count\" -> \"report/summary\"");
    let mermaid = workspace.run(&["plan", "report", "--format", "mermaid"]).ok();
    assert!(mermaid.stdout.starts_with("flowchart "));
    mermaid.prints("[\"summary\"]").prints(" --> ");
}

#[test]
fn an_expansion_is_kdl_with_everything_written_out() {
    for (workspace, graph) in [
        (sample(), "report"),
        (Workspace::copy_of("examples/hello"), "hello"),
        (Workspace::copy_of("examples/site"), "site"),
        (Workspace::copy_of("examples/lua"), "lua"),
    ] {
        let expanded = workspace.run(&["expand", graph]).ok().stdout;
        // The formatter reads KDL, and nothing but KDL.
        workspace.partita(&["fmt", "-"]).stdin(expanded.as_bytes()).run().ok().prints(&format!("graph {graph} {{"));
        assert!(!expanded.contains("{{ "), "{graph}: nothing is left to insert\n{expanded}");
        let file = workspace.file("expanded.kdl", &expanded);
        let checked = file.run(&["check", "expanded.kdl", "--message-format", "short"]);
        let syntax = checked.stderr.lines().find(|line| line.contains("error[P00"));
        assert_eq!(syntax, None, "{graph}");
    }
    let lua = Workspace::copy_of("examples/lua");
    lua.run(&["expand", "lua", "-p", "opt=O0"]).ok().prints("run gcc -O0").prints("node \"obj/lapi/cc\"");
}

#[test]
fn every_code_is_explained() {
    let workspace = Workspace::new();
    for code in Code::ALL {
        let page = workspace.run(&["explain", code.as_str()]).ok().stdout;
        assert!(page.starts_with(&format!("# {code}: ")), "{page}");
        assert!(page.trim_end().lines().next().is_some_and(|line| line.ends_with(code.info().title)), "{page}");
    }
    let lower = workspace.run(&["explain", "p0101"]).ok().stdout;
    assert_eq!(lower, workspace.run(&["explain", "P0101"]).ok().stdout);
}

#[test]
fn fmt_writes_the_canonical_form_and_only_that() {
    let messy = "partita   edition=1\n\n\n\ngraph   g {\n  node a {  write \"x\"  ; output o }\n}\n";
    let workspace = Workspace::new().file("partita.kdl", messy).file("notes.txt", messy);
    workspace.run(&["fmt", "--check"]).expect(7).says("not formatted: ");
    assert_eq!(workspace.read("partita.kdl"), messy, "a check changes nothing");
    workspace.run(&["fmt"]).ok().says("formatted ");
    let formatted = workspace.read("partita.kdl");
    assert_ne!(formatted, messy);
    assert_eq!(workspace.read("notes.txt"), messy, "only specs are formatted");
    let again = workspace.run(&["fmt"]).ok();
    assert_eq!(again.stderr, "", "it is a fixed point");
    workspace.run(&["fmt", "--check"]).ok();
    let piped = workspace.partita(&["fmt", "-"]).stdin(messy.as_bytes()).run().ok();
    assert_eq!(piped.stdout, formatted);
    workspace.partita(&["fmt", "-", "--check"]).stdin(messy.as_bytes()).run().expect(7);
    workspace.partita(&["fmt", "-"]).stdin(b"graph g {\n").run().expect(3).says("error[P0003]").says("<stdin>:1:");

    // A file that is no KDL is left as it is; others are formatted all the same.
    let workspace = workspace.file("a.kdl", messy).file("broken.kdl", "graph g {\n");
    workspace.run(&["fmt"]).expect(3).says("error[P0003]").says("broken.kdl:1:");
    assert_eq!(workspace.read("broken.kdl"), "graph g {\n");
    assert_eq!(workspace.read("a.kdl"), formatted);
}

#[test]
fn a_plan_file_is_signed_on_request_and_checked_byte_by_byte() {
    let workspace = sample();
    for name in ["ana", "eve"] {
        workspace.run(&["key", "generate", name]).ok();
    }
    workspace
        .run(&["plan", "report", "-o", "r.plan", "--sign", "ana"])
        .ok()
        .says("signed by `ana`")
        .says("r.plan.sig.json");
    let envelope: Value = serde_json::from_str(&workspace.read("r.plan.sig.json")).expect("an envelope is JSON");
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let pem = workspace.state().join("keys/ana.pub.pem");
    let pem = pem.to_str().expect("it is UTF-8");
    // The plan is shown as from its graph, but for places.
    let shown = workspace.run(&["plan", "report"]).ok().stdout;
    for key in ["ana", pem] {
        assert_eq!(workspace.run(&["plan", "r.plan", "--signed-by", key]).ok().stdout, shown);
    }
    assert_eq!(workspace.run(&["plan", "r.plan", "--format", "json"]).ok().stdout, workspace.read("r.plan"));
    workspace.run(&["plan", "r.plan", "--signed-by", "eve"]).expect(22).says("it was signed by another key");
    // The same plan written in other bytes is another file, and so is another plan.
    let text = workspace.read("r.plan");
    workspace.write("r.plan", text.replacen("{\"actions\":3", "{ \"actions\":3", 1));
    assert_ne!(workspace.read("r.plan"), text);
    workspace.run(&["plan", "r.plan", "--signed-by", "ana"]).expect(22).says("it is about another file");
    workspace.run(&["plan", "report", "-o", "r.plan", "-p", "lang=de"]).ok();
    workspace.run(&["plan", "r.plan", "--signed-by", "ana"]).expect(22).says("it is about another file");
    workspace.write("r.plan", &text);
    workspace.run(&["plan", "r.plan", "--signed-by", "ana"]).ok();
    workspace.remove("r.plan.sig.json");
    workspace.run(&["plan", "r.plan", "--signed-by", "ana"]).expect(22).says("there is no `");
    workspace.run(&["plan", "report", "--sign", "ana"]).expect(2);
    workspace.run(&["plan", "report", "--signed-by", "ana"]).expect(2).says("is not a plan file");
    workspace.run(&["plan", "report", "-o", "x.svg", "--format", "svg", "--sign", "ana"]).expect(2).says("as json");
}
