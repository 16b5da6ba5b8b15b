//! `why` through the program: every reason that a user can bring about, with the thing behind it.
//! Leaves out reasons that need another version or a stronger isolation, which the executor's tests have.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Gate, Workspace};

const SPEC: &str = "\
tool mine { exec \"tools/mine.sh\"; uses sh }
graph g {
    node first {
        input \"in/a.txt\"
        run mine \"in/a.txt\" first.txt
        env COLOUR=red
        output first.txt
        timeout \"1m\"
    }
    node second {
        input first.txt from=(ref)first.first.txt
        run sh -c \"cat first.txt first.txt > second.txt\"
        output second.txt
    }
}
";

fn workspace() -> Workspace {
    Workspace::with_spec(SPEC)
        .file("in/a.txt", "one\n")
        .script("tools/mine.sh", "#!/bin/sh\ntr a-z A-Z < \"$1\" > \"$2\"\n")
}

/// Runs everything, recorded as a run whatever is known, and asks about an address.
#[track_caller]
fn run_and_ask(workspace: &Workspace, addr: &str) -> Value {
    workspace.run(&["run", "g", "--format", "json"]);
    ask(workspace, addr)
}

#[track_caller]
fn ask(workspace: &Workspace, addr: &str) -> Value {
    let answer = workspace.run(&["why", addr, "--format", "json"]).ok().json();
    assert_eq!(answer["addr"], addr);
    json!([answer["outcome"], answer["reason"]])
}

/// Runs once, changes something, runs again, and asks about both actions.
#[track_caller]
fn after(change: impl FnOnce(&Workspace)) -> [Value; 2] {
    let workspace = workspace();
    workspace.run(&["run", "g"]).ok();
    change(&workspace);
    [run_and_ask(&workspace, "g/first"), ask(&workspace, "g/second")]
}

fn edit(workspace: &Workspace, from: &str, to: &str) {
    let spec = workspace.read("partita.kdl");
    assert!(spec.contains(from), "{from}");
    workspace.write("partita.kdl", spec.replacen(from, to, 1));
}

const ONLY_FIRST: &str = "the first ran, and left the same as before";

#[test]
fn what_was_never_run_and_what_is_the_same() {
    let workspace = workspace();
    assert_eq!(run_and_ask(&workspace, "g/first"), json!(["ran", {"code": "never-seen"}]));
    assert_eq!(run_and_ask(&workspace, "g/first"), json!(["cached", {"code": "same-key"}]));
    let first = workspace.run(&["runs", "--format", "json"]).ok().json_lines().pop().expect("two runs");
    let run = first["run"].as_str().expect("an id is text");
    workspace.run(&["why", "g/first", "--run", run]).ok().prints(&format!("g/first: ran in run {run}"));
    let text = workspace.run(&["why", "g/first"]).ok().prints("nothing it depends on has changed");
    // What is hashed is shown: the key's fields, without an exception.
    for field in ["key pk1-", "kind: ", "args: ", "env", "COLOUR", "inputs/in", "tools.mine", "outputs: "] {
        assert!(text.stdout.contains(field), "`{field}` is not in\n{}", text.stdout);
    }
    // Those that every shell brings are counted for people, and there for programs.
    assert!(text.stdout.contains("tools of <std>/posix: "), "{}", text.stdout);
    let fields = workspace.run(&["why", "g/first", "--format", "json"]).ok().json()["fields"].to_string();
    assert!(fields.contains("tools.sh: ") && fields.contains("tools.awk: "), "{fields}");
}

#[test]
fn changes_of_the_definition() {
    let [first, second] = after(|workspace| edit(workspace, "\"in/a.txt\" first.txt", "\"in/a.txt\" first.txt again"));
    let reason = json!({"code": "def-changed", "field": "args", "before": "… ", "after": "… again"});
    assert_eq!(first, json!(["ran", reason]));
    assert_eq!(second, json!(["cut-off", {"code": "same-key"}]), "{ONLY_FIRST}");
    let [first, second] = after(|workspace| edit(workspace, "COLOUR=red", "COLOUR=blue"));
    assert_eq!(first, json!(["ran", {"code": "env-changed", "var": "COLOUR"}]));
    assert_eq!(second, json!(["cut-off", {"code": "same-key"}]), "{ONLY_FIRST}");
    let [first, _] = after(|workspace| {
        workspace.write("tools/mine.sh", "#!/bin/sh\n# a comment\ntr a-z A-Z < \"$1\" > \"$2\"\n");
    });
    assert_eq!(first, json!(["ran", {"code": "tool-changed", "name": "mine"}]));
    let [first, _] = after(|workspace| edit(workspace, "node first {", "node first class=volatile {"));
    assert_eq!(first, json!(["ran", {"code": "volatile"}]));
    let [first, second] = after(|workspace| edit(workspace, "timeout \"1m\"", "timeout \"2m\""));
    assert_eq!((first, second), (json!(["cached", {"code": "same-key"}]), json!(["cached", {"code": "same-key"}])));
}

#[test]
fn a_change_of_class() {
    let workspace = Workspace::with_spec("graph g { node a { run sh -c \"echo x > o\"; output o } }\n");
    workspace.run(&["run", "g"]).ok();
    let digest =
        workspace.run(&["run", "g", "--format", "json"]).ok().json()["actions"][0]["outputs"][0]["digest"].clone();
    edit(&workspace, "node a {", "node a class=fixed {");
    edit(&workspace, "output o", &format!("output o digest=\"b3:{}\"", digest.as_str().expect("a digest is text")));
    assert_eq!(run_and_ask(&workspace, "g/a"), json!(["ran", {"code": "class-changed"}]));
}

#[test]
fn changes_of_inputs() {
    let [first, second] = after(|workspace| workspace.write("in/a.txt", "two\n"));
    assert_eq!(first, json!(["ran", {"code": "input-changed", "path": "in/a.txt"}]));
    assert_eq!(second, json!(["ran", {"code": "dep-output-changed", "addr": "g/first", "path": "first.txt"}]));
    let [first, second] = after(|workspace| workspace.write("in/a.txt", "ONE\n"));
    assert_eq!(first, json!(["ran", {"code": "input-changed", "path": "in/a.txt"}]));
    assert_eq!(second, json!(["cut-off", {"code": "same-key"}]), "{ONLY_FIRST}");
    let [first, _] = after(|workspace| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(workspace.path("in/a.txt"), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    });
    assert_eq!(first, json!(["ran", {"code": "input-changed", "path": "in/a.txt"}]), "the executable bit counts");
    let [first, second] = after(|workspace| {
        let text = workspace.bytes("in/a.txt");
        workspace.remove("in/a.txt");
        workspace.write("in/a.txt", text);
    });
    assert_eq!((first, second), (json!(["cached", {"code": "same-key"}]), json!(["cached", {"code": "same-key"}])));
}

#[test]
fn results_that_the_store_no_longer_has() {
    let [first, second] = after(Workspace::drop_store);
    assert_eq!(first, json!(["ran", {"code": "evicted"}]));
    assert_eq!(second, json!(["ran", {"code": "evicted"}]));

    let object = |workspace: &Workspace, addr: &str| {
        let report = workspace.run(&["run", addr, "--format", "json"]).ok().json();
        let actions = report["actions"].as_array().expect("a report lists actions");
        let action = actions.iter().find(|action| action["addr"] == addr).expect("it took part");
        let digest = action["outputs"][0]["digest"].as_str().expect("a digest is text").to_owned();
        (workspace.store().join("cas").join(&digest[..2]).join(&digest), digest)
    };
    let mut gone = String::new();
    let [_, second] = after(|workspace| {
        let (path, digest) = object(workspace, "g/second");
        fs::remove_file(path).expect("an object can be removed");
        gone = digest;
    });
    assert_eq!(second, json!(["ran", {"code": "blob-missing", "digest": gone}]));
    // What is damaged is found out when it is read: here, for an action that must run again.
    let [first, _] = after(|workspace| {
        let (path, digest) = object(workspace, "g/first");
        fs::remove_file(&path).expect("an object can be removed");
        fs::write(&path, "TWO\n").expect("a file can be written");
        edit(workspace, "cat first.txt first.txt", "cat first.txt");
        gone = digest;
    });
    assert_eq!(first, json!(["ran", {"code": "blob-corrupt", "digest": gone}]));
}

#[test]
fn results_of_others() {
    let ours = workspace();
    ours.run(&["run", "g"]).ok();
    let run = ours.run(&["runs", "--format", "json"]).ok().json_lines()[0]["run"].clone();
    // Another workspace with the same store; another address in this one.
    let theirs = workspace();
    fs::rename(ours.store(), theirs.store()).expect("a folder can be moved");
    assert_eq!(run_and_ask(&theirs, "g/first"), json!(["cached", {"code": "known-key", "run": run}]));
    edit(&theirs, "node second", "node renamed");
    assert_eq!(run_and_ask(&theirs, "g/renamed"), json!(["cached", {"code": "known-key", "run": run}]));
}

#[test]
fn what_was_asked_for() {
    let workspace = workspace();
    workspace.run(&["run", "g"]).ok();
    workspace.run(&["run", "g", "--refresh", "g/first"]).ok();
    assert_eq!(ask(&workspace, "g/first"), json!(["ran", {"code": "forced"}]));
    assert_eq!(ask(&workspace, "g/second"), json!(["cut-off", {"code": "same-key"}]), "{ONLY_FIRST}");
    workspace.write("in/a.txt", "two\n");
    workspace.run(&["run", "g", "--require-cached"]).expect(7);
    assert_eq!(ask(&workspace, "g/first"), json!(["skipped", {"code": "require-cached"}]));
    let second = ask(&workspace, "g/second");
    assert_eq!(second[0], "skipped", "{second}");
}

#[test]
fn failures_and_what_follows_from_them() {
    let workspace = workspace().script("tools/mine.sh", "#!/bin/sh\necho broken >&2\nexit 1\n");
    workspace.run(&["run", "g"]).expect(1);
    assert_eq!(ask(&workspace, "g/first"), json!(["failed", {"code": "never-seen"}]));
    assert_eq!(ask(&workspace, "g/second"), json!(["skipped", {"code": "producer-failed", "addr": "g/first"}]));
    workspace.run(&["why", "g/first"]).ok().prints("`mine.sh` exited with status 1").prints("broken");
    workspace.run(&["run", "g"]).expect(1);
    assert_eq!(ask(&workspace, "g/first"), json!(["failed", {"code": "prior-failure"}]));
}

#[test]
fn a_timeout_that_a_known_result_would_not_have_met() {
    let workspace = Workspace::new();
    let mut release = Gate::new(&workspace.around().join("release"));
    let mut started = Gate::new(&workspace.around().join("started"));
    let spec = |timeout: &str| {
        format!(
            "partita edition=1\ngraph g {{ node a {{ run sh -c \"echo s > {}; read line < {}; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo x > o\"; output o; \
             timeout \"{timeout}\" }} }}\n",
            started.path().display(),
            release.path().display()
        )
    };
    workspace.write("partita.kdl", spec("1m"));
    let tight = spec("1ms");
    let mut run = workspace.partita(&["run", "g"]).command().spawn().expect("the program starts");
    started.wait();
    // Counting that far takes longer than the millisecond that will be allowed.
    release.open(1);
    assert!(run.wait().expect("it ends").success());
    workspace.write("partita.kdl", tight);
    workspace.run(&["run", "g"]).expect(1).says("error[E0207]");
    assert_eq!(ask(&workspace, "g/a"), json!(["failed", {"code": "timeout-tightened"}]));
}

#[test]
fn an_address_that_took_part_in_an_earlier_run_is_found() {
    let workspace = workspace();
    workspace.run(&["run", "g"]).ok();
    workspace.run(&["run", "g/first", "--format", "json"]).ok();
    assert_eq!(ask(&workspace, "g/second"), json!(["ran", {"code": "never-seen"}]));
    assert_eq!(ask(&workspace, "g/first"), json!(["cached", {"code": "same-key"}]));
}
