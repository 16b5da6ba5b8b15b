//! JSON Schemas of artifacts: documents that fit and that do not, what is in keys, plans and requests of them, and schemas
//! that would take work without end. Leaves out what is said of schemas that are none: see `ui`.

use serde_json::{Value as Json, json};

use crate::support::{Outcome, Workspace};

const SCHEMA: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["pass", "reasons"],
    "properties": {
        "pass": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"$ref": "#/$defs/reason"}}
    },
    "$defs": {"reason": {"type": "string", "pattern": "^[A-Z]"}}
}
"##;

const FITS: &str = r#"{"pass": true, "reasons": ["Small", "Tested"]}"#;

const SPEC: &str = r#"
recipe judge {
    returns verdict @type
    step read tool=sh {
        input document.json
        arg -c "cat document.json > verdict.json"
        tools cat
        output verdict path="verdict.json"
    }
}
graph g {
    node audit recipe=judge
}
"#;

const BY_PROPERTY: &str = r#"type=artifact.json schema="schemas/verdict.json""#;
const BY_TYPE: &str = r#"type="artifact.json<schemas/verdict.json>""#;

fn workspace(spelling: &str, document: &str) -> Workspace {
    Workspace::with_spec(&SPEC.replace("@type", spelling))
        .file("schemas/verdict.json", SCHEMA)
        .file("document.json", document)
}

fn plan(workspace: &Workspace) -> Outcome {
    workspace.run(&["plan", "g", "--format", "json"]).ok()
}

#[test]
fn a_document_that_fits_is_published_and_one_that_does_not_is_not() {
    let workspace = workspace(BY_PROPERTY, FITS);
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.read("out/g/audit/read/verdict.json"), FITS);
    workspace.remove("out/g/audit/read/verdict.json");

    workspace.write("document.json", r#"{"pass": "yes", "reasons": ["Small", "wrong", 3]}"#);
    let failed = workspace.run(&["run", "g"]).expect(1);
    failed
        .says("error[E0221]: `g/audit/read` failed")
        .says("output `verdict` does not fit its schema at `/pass`: \"yes\" is not of type \"boolean\"")
        .says("(`schemas/verdict.json#/properties/pass/type`)")
        .says("at `/reasons/1`: ")
        .says("at `/reasons/2`: ")
        .says("--> partita.kdl:5:");
    assert!(!workspace.has("out/g/audit/read/verdict.json"), "what does not fit is not published");
    // It is no result: the next run makes it again, and what fits is known.
    workspace.run(&["run", "g"]).expect(1).says("E0221");
    workspace.write("document.json", FITS);
    let known = workspace.run(&["run", "g"]).ok();
    assert_eq!(known.counts()[0], 0, "{}", known.describe());

    for (document, says) in
        [("", "it is not JSON"), ("{", "it is not JSON"), ("[]", "does not fit its schema: [] is not of type")]
    {
        workspace.write("document.json", document);
        workspace.run(&["run", "g"]).expect(1).says("E0221").says(says);
    }
    let many: Vec<String> = (0..50).map(|n| format!("\"wrong{n}\"")).collect();
    workspace.write("document.json", format!(r#"{{"pass": true, "reasons": [{}]}}"#, many.join(",")));
    let failed = workspace.run(&["run", "g"]).expect(1).says("in more ways");
    assert!(failed.stderr.matches("does not match").count() <= 9, "{}", failed.describe());
}

#[test]
fn both_spellings_are_one_and_the_text_is_keyed() {
    let (one, other) = (workspace(BY_PROPERTY, FITS), workspace(BY_TYPE, FITS));
    let planned = plan(&one);
    assert_eq!(planned.stdout, plan(&other).stdout);
    let lines = planned.json_lines();
    let schemas = lines[0]["schemas"].as_object().expect("the plan has its schemas");
    let (digest, schema) = schemas.iter().next().expect("there is one");
    assert_eq!(schema, &json!({"path": "schemas/verdict.json", "text": SCHEMA}));
    assert_eq!(lines[1]["outputs"][0]["schema"], json!(digest));
    let skey = |lines: &[Json]| lines[1]["skey"].clone();

    one.run(&["run", "g"]).ok();
    // Where it lies is in no key; what it says is.
    one.write("other/place.json", SCHEMA);
    one.write("partita.kdl", one.read("partita.kdl").replace("schemas/verdict.json", "other/place.json"));
    let moved = plan(&one).json_lines();
    assert_eq!(skey(&moved), skey(&lines));
    assert_ne!(moved[0]["digest"], lines[0]["digest"], "who approves a plan sees where it lies");
    let known = one.run(&["run", "g"]).ok();
    assert_eq!(known.counts()[0], 0, "{}", known.describe());
    one.write("other/place.json", SCHEMA.replace("boolean", "string"));
    assert_ne!(skey(&plan(&one).json_lines()), skey(&lines));
    one.run(&["run", "g"]).expect(1).says("true is not of type \"string\"");
}

#[test]
fn a_change_of_a_schema_is_shown() {
    let workspace = workspace(BY_PROPERTY, FITS);
    plan(&workspace);
    workspace.write("before.jsonl", plan(&workspace).stdout);
    workspace.write("schemas/verdict.json", SCHEMA.replace("\"required\": [\"pass\", \"reasons\"],", ""));
    workspace.write("after.jsonl", plan(&workspace).stdout);
    workspace.run(&["diff", "before.jsonl", "after.jsonl"]).prints("schemas.verdict").prints("schemas/verdict.json");
    workspace.run(&["plan", "g"]).ok().prints("fits schemas/verdict.json");
}

#[test]
fn a_plan_file_whose_schema_was_changed_is_refused() {
    let workspace = workspace(BY_PROPERTY, FITS);
    let text = plan(&workspace).stdout;
    workspace.write("good.jsonl", &text);
    workspace.run(&["diff", "good.jsonl", "good.jsonl"]).ok();
    let other_text = text.replacen("\\\"pass\\\", ", "", 1);
    let (header, rest) = text.split_once('\n').expect("a plan has lines");
    let mut without: Json = serde_json::from_str(header).expect("the header is JSON");
    let schemas = without["schemas"].take();
    without.as_object_mut().expect("the header is an object").remove("schemas");
    let without = format!("{without}\n{rest}");
    let digest = schemas.as_object().and_then(|all| all.keys().next()).expect("there is a schema").clone();
    let idle = text.replacen(&format!(",\"schema\":\"{digest}\""), "", 1);
    for (changed, why) in [
        (other_text, "is not the one that its digest names"),
        (without, "which is not there"),
        (idle, "nothing must fit the schema"),
    ] {
        assert_ne!(changed, text);
        workspace.write("bad.jsonl", changed);
        workspace.run(&["diff", "good.jsonl", "bad.jsonl"]).expect(2).says(why);
    }
}

#[test]
fn types_with_schemas_are_narrower() {
    let spec = |wanted: &str| {
        format!(
            "recipe use {{\n    param document {wanted}\n    returns copy type=artifact.file\n    step copy {{\n        \
             input in.json from=(var)document\n        copy in.json\n        output copy\n    }}\n}}\ngraph g {{\n    node made {{\n        \
             write \"{{}}\"\n        output document path=\"o.json\" type=artifact.json schema=\"one.json\"\n    }}\n    \
             node use recipe=use {{ with document=(ref)made.document }}\n}}\n"
        )
    };
    let of = |wanted: &str| {
        Workspace::with_spec(&spec(wanted))
            .file("one.json", "{}")
            .file("same.json", "{}")
            .file("two.json", "{\"type\": \"object\"}")
    };
    for wanted in ["type=artifact.file", "type=artifact.json", "type=artifact.json schema=\"same.json\""] {
        of(wanted).run(&["check"]).ok();
        of(wanted).run(&["run", "g"]).ok();
    }
    let refused = of("type=\"artifact.json<two.json>\"").run(&["check"]).expect(3);
    refused.says("error[P0301]").says("artifact.json<two.json>").says("artifact.json<one.json>");
}

#[test]
fn an_agent_is_told_the_schema_and_held_to_it() {
    let spec = r#"
tenant acme { allow-tier primary secondary }
provider local kind=command { exec "tools/agent.sh"; uses grep }
agent reviewer provider=local { limits tokens=1000 }
recipe review {
    returns verdict type=artifact.json schema="schemas/verdict.json"
    step read agent=reviewer
}
graph g tenant=acme { node audit recipe=review }
"#;
    // It answers only if it was given the schema.
    let agent =
        "#!/bin/sh\ngrep -q '\"[$]defs\"' \"$1\" && echo '{\"pass\": true, \"reasons\": [\"@\"]}' > verdict.json\n";
    let workspace = Workspace::with_spec(spec).file("schemas/verdict.json", SCHEMA);
    let workspace = workspace.script("tools/agent.sh", &agent.replace('@', "Told"));
    workspace.run(&["run", "g"]).ok();
    assert!(workspace.read("out/g/audit/read/verdict.json").contains("Told"), "it was given the schema");
    workspace.write("tools/agent.sh", agent.replace('@', "told"));
    let refused = workspace.run(&["run", "g"]).expect(1);
    refused.says("E0221").says("at `/reasons/0`: \"told\" does not match");
}

#[test]
fn no_schema_and_no_document_keeps_a_run_busy() {
    let twice =
        |n: usize| format!(r##""a{n}": {{"allOf": [{{"$ref": "#/$defs/a{0}"}}, {{"$ref": "#/$defs/a{0}"}}]}}"##, n + 1);
    let doubling: Vec<String> = (0..30).map(twice).collect();
    let doubling = format!(r##"{{"$ref": "#/$defs/a0", "$defs": {{{}, "a30": {{}}}}}}"##, doubling.join(", "));
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let large = format!("[{}]", vec!["{}"; 2_000_000].join(","));
    let anything = "{}".to_owned();
    let deep = r##"{"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}"##.to_owned();
    let sixty = format!("{}{}", "[".repeat(60), "]".repeat(60));
    for (schema, document, why) in [
        (&doubling, &anything, "would take more than"),
        (&anything, &nested, "it is not JSON"),
        (&anything, &large, "larger than 4 MiB"),
        (&deep, &sixty, "would take more than"),
    ] {
        let workspace = workspace(BY_PROPERTY, document);
        workspace.write("schemas/verdict.json", schema);
        workspace.run(&["run", "g"]).expect(1).says("E0221").says("cannot be checked").says(why);
    }
}
