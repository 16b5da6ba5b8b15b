//! Mending: every fix that is called safe mends what it is offered for and harms nothing, and the verb
//! `fix` writes just that. Leaves out the wording of diagnostics: see `ui`.

use std::collections::BTreeMap;

use partita::base::RelPath;
use partita::diag::{Applicability, Diagnostic, Diagnostics, Severity};
use partita::lang::{Compiled, Fixed, MemoryWorld, compile, fix, upgrade};

use crate::support::Workspace;
use crate::ui::{Case, cases};

const ROOT: &str = "partita.kdl";

fn root() -> RelPath {
    RelPath::new(ROOT).expect("the literal is a relative path")
}

fn mended(text: &str) -> (String, Fixed) {
    let fixed = fix(&MemoryWorld::single(text), &[root()], &|_| false, BTreeMap::new());
    let after = fixed.files.first().map_or_else(|| text.to_owned(), |file| file.after.clone());
    (after, fixed)
}

fn syntax(diagnostics: &Diagnostics) -> usize {
    diagnostics.sorted().iter().filter(|item| item.code.as_str() <= "P0013").count()
}

/// A case with the edits of one fix applied to its files; `None` if one is of no file of the case.
fn applied(case: &Case, compiled: &Compiled, item: &Diagnostic, index: usize) -> Option<Compiled> {
    let mut files = case.files.clone();
    let mut edits = item.fixes[index].edits.clone();
    edits.sort_by_key(|edit| std::cmp::Reverse((edit.span.start, edit.span.end)));
    for edit in edits {
        let name = &compiled.program.sources.file(edit.span.source).name;
        files.get_mut(name)?.replace_range(edit.span.range(), &edit.text);
    }
    Some(Case { name: case.name.clone(), files }.compile())
}

#[test]
fn a_fix_mends_what_it_is_offered_for() {
    let mut faults = Vec::new();
    let mut safe = 0;
    for case in cases() {
        let compiled = case.compile();
        for item in compiled.diagnostics.sorted() {
            for (index, offered) in item.fixes.iter().enumerate() {
                let Some(after) = applied(&case, &compiled, item, index) else {
                    faults.push(format!("{}: {} would mend another file", case.name, item.code));
                    continue;
                };
                let is_safe = offered.applicability == Applicability::MachineApplicable;
                safe += usize::from(is_safe);
                let of = |compiled: &Compiled| {
                    let all = compiled.diagnostics.sorted().into_iter();
                    all.filter(|other| (other.code, &other.message) == (item.code, &item.message)).count()
                };
                if of(&after) >= of(&compiled) {
                    faults.push(format!("{}: after the fix there is still: {} {}", case.name, item.code, item.message));
                }
                if is_safe && syntax(&after.diagnostics) > syntax(&compiled.diagnostics) {
                    faults.push(format!("{}: the fix of {} breaks the file", case.name, item.code));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of them:\n{}", faults.len(), faults.join("\n"));
    assert!(safe >= 12, "only {safe} safe fixes are offered in all cases");
}

#[test]
fn mending_a_case_harms_nothing_and_comes_to_rest() {
    for case in cases() {
        let before = case.compile();
        let world = case.world();
        let fixed = fix(&world, &[root()], &|_| false, BTreeMap::new());
        let after = &fixed.compiled.diagnostics;
        assert!(syntax(after) <= syntax(&before.diagnostics), "{}", case.name);
        assert!(before.diagnostics.has_errors() || !after.has_errors(), "{}: mending made errors", case.name);
        let mut files = case.files.clone();
        for file in &fixed.files {
            files.insert(file.path.as_str().to_owned(), file.after.clone());
        }
        let again = fix(&Case { name: case.name.clone(), files }.world(), &[root()], &|_| false, BTreeMap::new());
        assert!(again.files.is_empty(), "{}: mending again changes it", case.name);
    }
}

#[test]
fn several_rounds_mend_what_the_first_brings_to_light() {
    let text = "graph g {\n    concurrency \"3\"\n    node a {\n        after b\n        timeout (dur)\"5s\"\n        input x from=(ref)b.x optional=true\n        copy x\n        output x\n    }\n    node b {\n        write 3\n        output x\n    }\n}\n";
    let (after, fixed) = mended(text);
    assert!(fixed.compiled.diagnostics.is_empty(), "{after}\n{:?}", fixed.compiled.diagnostics.sorted());
    for part in ["partita edition=1", "concurrency 3\n", "timeout \"5s\"", "optional=#true", "write \"3\""] {
        assert!(after.contains(part), "{part}\n{after}");
    }
    assert!(!after.contains("after b"), "{after}");
}

#[test]
fn what_is_only_probable_is_left_alone() {
    let text = "partita edition=1\ngraph g { node a { writ \"x\"; output x } }\n";
    let (after, fixed) = mended(text);
    assert_eq!(after, text);
    assert!(fixed.compiled.diagnostics.sorted().iter().any(|item| !item.fixes.is_empty()));
}

#[test]
fn codes_can_be_left_alone() {
    let text = "partita edition=1\ngraph g { node a { timeout (dur)\"5s\"; write \"x\"; output x } }\n";
    let fixed = fix(&MemoryWorld::single(text), &[root()], &|code| code.as_str() == "P1002", BTreeMap::new());
    assert!(fixed.files.is_empty());
}

#[test]
fn kdl_1_becomes_kdl_2() {
    let old = "partita edition=1\ngraph g {\n    node a {\n        run \"sh\" \"-c\" r#\"echo \"hi\" > o\"#\n        input \"x\" optional=true\n        output \"o\"\n    }\n}\n";
    let before = compile(&MemoryWorld::single(old), &[root()]);
    assert!(before.diagnostics.has_errors());
    let after = compile(&MemoryWorld::single(&upgrade(old)), &[root()]);
    assert!(!after.diagnostics.has_errors(), "{:?}", after.diagnostics.sorted());
}

#[test]
fn the_verb_tells_shows_and_writes() {
    let text = "partita edition=1\n\ngraph g {\n    node a {\n        write \"x\"\n        output x\n        timeout (dur)\"5s\"\n    }\n}\n";
    let workspace = Workspace::new();
    workspace.write("partita.kdl", text);
    let told = workspace.run(&["fix", "--check"]).expect(7);
    assert!(told.stderr.contains("can be mended: partita.kdl: 1 fix by P1002"), "{}", told.stderr);
    let shown = workspace.run(&["fix", "--diff"]).expect(0);
    assert!(shown.stdout.contains("-        timeout (dur)\"5s\"\n+        timeout \"5s\"\n"), "{}", shown.stdout);
    assert_eq!(workspace.read("partita.kdl"), text, "nothing is written yet");
    let data = workspace.run(&["fix", "--format", "json"]).expect(0).json();
    assert_eq!((&data["fixed"][0]["codes"][0], &data["written"]), (&"P1002".into(), &true.into()));
    assert_eq!(workspace.read("partita.kdl"), text.replace("(dur)", ""));
    let again = workspace.run(&["fix"]).expect(0);
    assert!(again.stderr.contains("nothing can be mended safely"), "{}", again.stderr);
}

#[test]
fn the_verb_upgrades_and_says_what_is_left() {
    let workspace = Workspace::new();
    workspace.write(
        "partita.kdl",
        "/- kdl-version 1\npartita edition=1\ngraph \"g\" {\n    node \"a\" {\n        writ r\"x\"\n        output \"x\"\n    }\n}\n",
    );
    workspace.run(&["fix"]).expect(3);
    let left = workspace.run(&["fix", "--kdl1"]).expect(3);
    assert!(left.stderr.contains("P0101"), "{}", left.stderr);
    assert!(workspace.read("partita.kdl").contains("#\"x\"#"), "{}", workspace.read("partita.kdl"));
}

#[test]
fn levels_decide_what_a_warning_is() {
    let text = "partita edition=1\n\ngraph g {\n    node a {\n        write \"x\"\n        output x\n        timeout (dur)\"5s\"\n    }\n}\n";
    let workspace = Workspace::new();
    workspace.write("partita.kdl", text);
    let severity = |args: &[&str], status: i32| -> Vec<String> {
        let outcome = workspace.run(&[args, &["--message-format", "json"]].concat()).expect(status);
        let lines = outcome.json_lines();
        lines.iter().map(|line| format!("{} {}", line["code"], line["severity"]).replace('"', "")).collect()
    };
    assert_eq!(severity(&["check"], 0), ["P1002 warning"]);
    assert_eq!(severity(&["check", "-D", "warnings"], 3), ["P1002 error"]);
    assert_eq!(severity(&["check", "-D", "warnings", "-W", "P1002"], 0), ["P1002 warning"]);
    assert_eq!(severity(&["check", "-D", "p1002"], 3), ["P1002 error"]);
    assert_eq!(severity(&["check", "--allow", "P1002"], 0), [""; 0]);
    for verb in [["plan", "g"], ["expand", "g"], ["run", "g"], ["forecast", "g"]] {
        let denied = workspace.run(&[&verb[..], &["-D", "warnings"]].concat()).expect(3);
        assert!(denied.stderr.contains("`-D warnings` makes it an error"), "{}", denied.stderr);
    }
    let asked = workspace.run(&["plan", "g", "-W", "P1002"]).expect(0);
    assert!(asked.stderr.contains("P1002"), "who asks for a warning gets it: {}", asked.stderr);
    let sarif = workspace.run(&["check", "-D", "P1002", "--message-format", "sarif"]).expect(3).stdout;
    let log: serde_json::Value = serde_json::from_str(&sarif).expect("SARIF is JSON");
    assert_eq!(log["runs"][0]["results"][0]["level"], "error");
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["defaultConfiguration"]["level"], "warning");
    let wrong = workspace.run(&["check", "-D", "P0301"]).expect(2);
    assert!(wrong.stderr.contains("only warnings have a level"), "{}", wrong.stderr);
}

#[test]
fn words_instead_of_pictures() {
    let workspace = Workspace::new();
    workspace.write("partita.kdl", "partita edition=1\ngraph g { node a { writ \"x\"; output x } }\n");
    let told = workspace.run(&["check", "--message-format", "narrated"]).expect(3).stderr;
    assert!(told.contains("unknown node `writ`") && told.contains("line 2"), "{told}");
    assert!(told.chars().all(|c| !('\u{2500}'..='\u{257F}').contains(&c)), "{told}");
}

#[test]
fn an_allowed_warning_is_not_said() {
    let text = "partita edition=1\ngraph g {\n    allow P1002 reason=\"easier to see\"\n    node a { timeout (dur)\"5s\"; write \"x\"; output x }\n    node b { timeout (dur)\"5s\"; write \"x\"; output x }\n}\nlet unused type=string x\n";
    let compiled = compile(&MemoryWorld::single(text), &[root()]);
    let codes: Vec<&str> = compiled.diagnostics.sorted().iter().map(|item| item.code.as_str()).collect();
    assert_eq!(codes, ["P1001"]);
    assert_eq!(compiled.diagnostics.count(Severity::Warning), 1);
}
