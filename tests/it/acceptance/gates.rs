//! Gates that ask agents, gates of recipes, and the inventory of a bundle as something that gates look at. Leaves out what is
//! said about mistakes: see `ui`.

use crate::support::Workspace;

/// An agent whose verdict is what the change says of itself.
const REVIEW: &str = r#"
provider local kind=command { exec "tools/agent.sh"; uses grep }
agent reviewer provider=local { uses review; limits tokens=1000 }
skill review {
    prompt text="Judge this change:\n{{ change }}" {
        var change type=artifact.diff
    }
}
gate reviewed kind=agent agent=reviewer {
    param patch type=artifact.diff
    with change=(var)patch
    require verdict.score ge 5 else="the score is too low"
}
graph g {
    node change {
        copy "a.diff"
        input "a.diff"
        output patch path="a.diff" type=artifact.diff
    }
    node publish {
        guard reviewed patch=(ref)change.patch
        run sh -c "echo done > log"
        output log
    }
}
"#;

const AGENT: &str = r#"#!/bin/sh
set -eu
grep -q '"schema"' "$1"
echo asked >&2
if grep -q BROKEN "$1"; then echo 'looks fine' > verdict.json
elif grep -q BAD "$1"; then echo '{"pass": false, "reasons": ["it says BAD"], "score": 9}' > verdict.json
elif grep -q POOR "$1"; then echo '{"pass": true, "reasons": ["it will do"], "score": 2}' > verdict.json
else echo '{"pass": true, "reasons": [], "score": 7}' > verdict.json; fi
"#;

#[test]
fn an_agent_gives_a_verdict_once() {
    let workspace = Workspace::with_spec(REVIEW).script("tools/agent.sh", AGENT).file("a.diff", "+good\n");
    let plan = workspace.run(&["plan", "g"]).ok();
    plan.prints("requires verdict.pass eq true; verdict.score ge 5").prints("gate reviewed kind=agent");
    // The change, what the agent is told, its verdict, the gate, and what it guards.
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [5, 0, 0, 0, 0]);
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [0, 5, 0, 0, 0]);
    // A verdict is a record: without the store it is given again, and nobody is asked.
    workspace.drop_store();
    let again = workspace.run(&["run", "g", "--replay-only"]).ok();
    assert!(again.stderr.contains("g/publish/guard/reviewed/verdict"), "{}", again.stderr);
}

#[test]
fn a_verdict_against_it_stops_the_node_and_says_why() {
    let workspace = Workspace::with_spec(REVIEW).script("tools/agent.sh", AGENT).file("a.diff", "+BAD\n");
    let refused = workspace.run(&["run", "g"]).expect(12);
    refused.says("gate `reviewed` says no").says("found:    verdict.pass is false").says("reason:   it says BAD");
    assert!(!workspace.has("out/g/publish"), "what it guards does not start");
    workspace.write("a.diff", "+POOR\n");
    workspace.run(&["run", "g"]).expect(12).says("the score is too low").says("reason:   it will do");
    workspace.write("a.diff", "+BROKEN\n");
    workspace.run(&["run", "g"]).expect(1).says("the verdict that gate `reviewed` was given is none: it is not JSON");
    workspace.write("a.diff", "+fine\n");
    workspace.run(&["run", "g"]).ok();
}

const RECIPE: &str = r#"
recipe notes {
    param words type=string
    returns notes type=artifact.text
    step write tool=sh {
        arg -c "printf '# Goals\n%s\n' \"$1\" > notes.md" write (var)words
        output notes path="notes.md" type=artifact.text
    }
    gate sections kind=content {
        section Goals
        require notes.size le "40B" else="the notes are too long"
    }
    gate spelling kind=command {
        input "notes.md" from=(var)notes
        run sh -c "! grep -q teh notes.md"
        tools grep
    }
}
graph g {
    param words type=string default=short
    node notes recipe=notes {
        with words=(var)words
    }
    node use {
        copy "in.md"
        input "in.md" from=(ref)notes.notes
        output out.md
    }
}
bundle g from=g {
    include notes output=notes
}
"#;

#[test]
fn gates_of_a_recipe_judge_what_it_returns() {
    let workspace = Workspace::with_spec(RECIPE);
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [4, 0, 0, 0, 0]);
    workspace.run(&["plan", "g"]).ok().prints("after g/notes/gate/sections").prints("after g/notes/gate/spelling");
    let long = "words=much too long for anybody to read it";
    let refused = workspace.run(&["run", "g", "-p", long]).expect(12);
    refused.says("the notes are too long").says("skipped g/use");
    workspace.run(&["deliver", "g", "-p", long]).expect(12);
    assert!(!workspace.has("out/bundles"), "what no gate let pass is not bundled");
    let refused = workspace.run(&["run", "g", "-p", "words=teh end"]).expect(12);
    refused.says("g/notes/gate/spelling");
}

const INVENTORY: &str = r#"
gate nothing-bad kind=check {
    param sbom type=artifact.sbom
    require sbom.components.*.name ne left-pad else="left-pad is in it"
    require sbom.specVersion eq "1.6"
}
graph g {
    node build {
        input "Cargo.lock" "src/**"
        run sh -c "cat src/main > app"
        output app
    }
    node elsewhere {
        input "other/**"
        run sh -c "echo x > x"
        output x
    }
    node publish {
        guard nothing-bad sbom=(ref)app.sbom
        input "bom.json" from=(ref)app.sbom
        run sh -c "cp bom.json log"
        tools cp
        output log
    }
}
bundle app from=g version="1.0.0" {
    include build output=app to="bin/app"
}
"#;

fn lock(name: &str) -> String {
    let source = "registry+https://github.com/rust-lang/crates.io-index";
    format!("version = 4\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n")
}

#[test]
fn the_inventory_of_a_bundle_is_known_to_its_graph() {
    let workspace = Workspace::with_spec(INVENTORY)
        .file("Cargo.lock", &lock("serde"))
        .file("src/main", "one\n")
        .file("other/Cargo.lock", &lock("left-pad"));
    let plan = workspace.run(&["plan", "g"]).ok();
    plan.prints("g/app  sbom/1").prints("inventory of app 1.0.0 of default: CycloneDX 1.6 of bin/app");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [5, 0, 0, 0, 0]);
    assert_eq!(workspace.run(&["deliver", "app"]).ok().counts(), [0, 5, 0, 0, 0]);
    let bom: serde_json::Value = serde_json::from_str(&workspace.read("out/g/publish/log")).expect("it is JSON");
    let names = |bom: &serde_json::Value| -> Vec<String> {
        let all = bom["components"].as_array().expect("it lists components").iter();
        all.map(|one| one["name"].as_str().expect("each has a name").to_owned()).collect()
    };
    // What went into what the bundle holds, and nothing of what goes elsewhere.
    let names = names(&bom);
    for known in ["out/bin/app", "sh", "cat", "serde"] {
        assert!(names.iter().any(|name| name == known), "{known}: {names:?}");
    }
    assert!(!names.iter().any(|name| name == "left-pad"), "{names:?}");
    // A source changes what is in the bundle, so its inventory is made anew; the gate says yes again.
    workspace.write("src/main", "two\n");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [4, 1, 0, 0, 0]);
    // A file that is not in it changes nothing.
    workspace.write("other/file", "new\n");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [1, 4, 0, 0, 0]);
    workspace.write("Cargo.lock", lock("left-pad"));
    let refused = workspace.run(&["run", "g"]).expect(15);
    refused.says("left-pad is in it").says("skipped g/publish");
}
