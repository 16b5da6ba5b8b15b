//! What an editor is told inside the blocks of `with` and `for-each`: names of parameters, fields and values that could
//! stand there, and what stands there already. Leaves out places in the line: see `session`.

use serde_json::{Value, json};

use super::client::{Client, position};
use crate::support::Workspace;

const ROOT: &str = r#"partita edition=1

record target {
    // Where it runs.
    field triple type=ident
    field mode type=enum default=release {
        one-of debug release
    }
    field jobs type=list<list<int>> {
        default {}
    }
}

let linux type=ident x86-linux
let extra type=string "-O2"

recipe build {
    param files type=list<path>
    param kinds type=list<enum> {
        one-of one two
        default {}
    }
    param ports type=map<bool> {
        default {
            http #true
        }
    }
    param tools type=list<tool> {
        default {}
    }
    param targets type=list<target>
    param label type=string
    returns out type=artifact.file
    step write {
        write "{{ label }} {{ files | join ' ' }} {{ kinds | join ' ' }} {{ ports.http }}"
        output out
    }
}

graph g {
    node all recipe=build {
        with label=x {
            files {
                - "src/{{ linux }}.c"
            }
            targets {
                - {
                    triple (var)linux
                }
            }
        }
    }
    node loop {
        for-each flag {
            - (var)extra
        }
        write "{{ flag }}"
        output out
    }
}
"#;

fn session() -> (Workspace, Client, String) {
    let text = ROOT.to_owned();
    let workspace = Workspace::new().file("partita.kdl", &text);
    let capabilities = json!({"textDocument": {"completion": {"completionItem": {"snippetSupport": true}}}});
    let mut client = Client::new(&workspace, capabilities);
    client.open("partita.kdl", &text);
    (workspace, client, text)
}

/// What is offered where `typed` stands after a piece of the example.
fn offered(client: &mut Client, root: &str, before: &str, typed: &str) -> Vec<(String, String)> {
    let text = root.replacen(before, &format!("{before}{typed}"), 1);
    client.change("partita.kdl", &text);
    let at = text.find(before).expect("it is there") + before.len() + typed.len();
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let answer = client.at("partita.kdl", "completion", json!({"line": line, "character": at - start}));
    let items = answer["items"].as_array().expect("completions are a list").clone();
    let of = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (of(item, "label"), of(item, "detail"))).collect()
}

fn labels(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|(label, _)| label.as_str()).collect()
}

#[test]
fn names_and_values_are_offered_in_blocks() {
    let (_workspace, mut client, root) = session();
    let mut offered = |before: &str, typed: &str| offered(&mut client, &root, before, typed);
    // Lists, maps and records that are not given yet; single values stand in the line.
    let found = offered("        with label=x {\n", "            ");
    assert_eq!(labels(&found), ["kinds", "ports", "tools"]);
    assert_eq!(found[0].1, "list<enum>");
    let found = offered("        with label=x {\n", "            kinds {\n                - ");
    assert_eq!(labels(&found)[..2], ["one", "two"]);
    assert!(labels(&found).contains(&"(var)extra") && !labels(&found).iter().any(|label| label.starts_with("(ref)")));
    let found = offered("        with label=x {\n", "            ports {\n                http ");
    assert_eq!(labels(&found)[..2], ["#true", "#false"]);
    let found = offered("        with label=x {\n", "            tools {\n                - s");
    assert!(labels(&found).contains(&"sh"), "{found:?}");
    let found = offered("        with label=x {\n", "            kinds {\n                ");
    assert_eq!(labels(&found), ["-"]);
    // Fields of a record, and their values.
    let found = offered("                    triple (var)linux\n", "                    ");
    assert_eq!(labels(&found), ["mode", "jobs"]);
    let found = offered("                    triple (var)linux\n", "                    mode ");
    assert_eq!(labels(&found)[..2], ["debug", "release"]);
    let found =
        offered("                    triple (var)linux\n", "                    jobs {\n                        ");
    assert_eq!(labels(&found), ["-"]);
    // Holes and variables.
    let found = offered("            files {\n", "                - \"a/{{ ");
    assert!(labels(&found).contains(&"linux"), "{found:?}");
    let found = offered("            files {\n", "                - (var)");
    assert!(labels(&found).contains(&"extra"), "{found:?}");
    // Nothing is known of a parameter that there is not, and nothing of too deep a block.
    assert_eq!(offered("        with label=x {\n", "            other {\n                "), []);
    assert_eq!(offered("            files {\n", "                - {\n                    "), []);
    assert_eq!(client.shut_down(), 0);
}

/// The lines, from 1, that an answer names in the one file there is.
fn lines(answer: &Value) -> Vec<u64> {
    let mut lines: Vec<u64> = answer
        .as_array()
        .expect("places are a list")
        .iter()
        .map(|place| place["range"]["start"]["line"].as_u64().expect("they have lines") + 1)
        .collect();
    lines.sort_unstable();
    lines
}

fn line_of(text: &str, piece: &str) -> u64 {
    text[..text.find(piece).expect("it is there")].matches('\n').count() as u64 + 1
}

#[test]
fn parameters_and_constants_are_found_and_renamed_in_blocks() {
    let (_workspace, mut client, root) = session();
    let said = client.diagnostics("partita.kdl");
    assert!(said.iter().all(|item| item["severity"] != 1), "the example is right: {said:?}");
    let with = json!({"includeDeclaration": true});
    // A parameter by its name in the block, with its declaration and its use.
    let place = position(&root, "files {", 0);
    let found = client.of("partita.kdl", "references", json!({"position": place, "context": with}));
    let wanted = ["param files", "write \"{{ label", "            files {"].map(|piece| line_of(&root, piece)).to_vec();
    assert_eq!(lines(&found), wanted);
    let hover = client.at("partita.kdl", "hover", place.clone());
    let text = hover["contents"]["value"].as_str().expect("it has a text").to_owned();
    assert!(text.contains("param files type=list<path>"), "{text}");
    let definition = client.at("partita.kdl", "definition", place);
    let definition = if definition.is_array() { definition[0].clone() } else { definition };
    assert_eq!(definition["range"]["start"]["line"].as_u64().map(|line| line + 1), Some(wanted[0]));
    // A constant in a hole, behind `(var)`, and in the block of a loop.
    let place = position(&root, "linux }}.c", 0);
    let found = client.of("partita.kdl", "references", json!({"position": place, "context": with}));
    let wanted = ["let linux", "src/{{ linux", "triple (var)linux"].map(|piece| line_of(&root, piece)).to_vec();
    assert_eq!(lines(&found), wanted);
    let place = position(&root, "extra\n        }", 0);
    let hover = client.at("partita.kdl", "hover", place);
    let text = hover["contents"]["value"].as_str().expect("it has a text").to_owned();
    assert!(text.contains("let extra") && text.contains("-O2"), "{text}");
    // Both are renamed wherever they stand.
    for (piece, name, count) in [("files {", "sources", 3), ("linux }}.c", "here", 3), ("extra\n        }", "more", 2)]
    {
        let params = json!({"position": position(&root, piece, 0), "newName": name});
        let answer = client.of("partita.kdl", "rename", params);
        let edits = answer.to_string().matches(&format!("\"newText\":\"{name}\"")).count();
        assert_eq!(edits, count, "{piece}: {answer}");
    }
    assert_eq!(client.shut_down(), 0);
}
