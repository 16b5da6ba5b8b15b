//! Beginnings and ends of the server, bursts of edits, files with and without a workspace, and what
//! no good editor sends. Leaves out the features.

use serde_json::{Value, json};

use super::client::{Client, position};
use crate::support::Workspace;

const SPEC: &str =
    "partita edition=1\n\ngraph g {\n    node a {\n        write hello\n        output a.txt\n    }\n}\n";

fn hello() -> Workspace {
    Workspace::new().file("partita.kdl", SPEC)
}

#[test]
fn shutdown_and_exit_are_exact() {
    let client = Client::new(&hello(), json!({}));
    assert_eq!(client.shut_down(), 0);

    // `exit` without `shutdown` is no good end.
    let mut client = Client::new(&hello(), json!({}));
    client.notify("exit", Value::Null);
    assert_eq!(client.status(), 1);

    // After `shutdown` nothing is answered any more.
    let mut client = Client::new(&hello(), json!({}));
    client.ask("shutdown", Value::Null).expect("it may be shut down");
    let error = client.ask("workspace/symbol", json!({"query": ""})).expect_err("it is refused");
    assert_eq!(error.code, -32600);
    client.notify("exit", Value::Null);
    assert_eq!(client.status(), 0);
}

#[test]
fn the_server_ends_with_its_editor() {
    let mut client = Client::new(&hello(), json!({}));
    client.hang_up();
    assert_eq!(client.status(), 1);

    // An editor that is gone, and whose end of the pipe someone else holds open.
    let workspace = hello();
    let mut gone = workspace.command(std::path::Path::new("/bin/sh"), &["-c", "exit 0"]).command();
    let mut child = gone.spawn().expect("a shell starts");
    let id = child.id();
    child.wait().expect("it ends");
    let mut client = Client::started(&workspace);
    client.ask("initialize", json!({"processId": id, "capabilities": {}})).expect("it answers");
    assert_eq!(client.status(), 1);
}

#[test]
fn nothing_is_answered_before_the_introduction() {
    let workspace = hello();
    let mut client = Client::started(&workspace);
    let error = client.ask("workspace/symbol", json!({"query": ""})).expect_err("it is refused");
    assert_eq!(error.code, -32002);
    client.ask("initialize", json!({"capabilities": {}})).expect("it answers");
    let error = client.ask("initialize", json!({"capabilities": {}})).expect_err("only once");
    assert_eq!(error.code, -32600);
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn questions_that_are_none_are_refused() {
    let mut client = Client::new(&hello(), json!({}));
    let error = client.ask("textDocument/unheardOf", json!({})).expect_err("it is refused");
    assert_eq!(error.code, -32601);
    let error = client.ask("textDocument/hover", json!({"position": "here"})).expect_err("it is refused");
    assert_eq!(error.code, -32602);
    client.notify("textDocument/unheardOf", json!({"x": 1}));
    client.notify("textDocument/didOpen", json!({"x": 1}));
    // What is not open, not a file or not there has no answers, which is no error.
    for uri in ["untitled:Untitled-1", "file:///nowhere/at/all.kdl", "http://host/x.kdl"] {
        let place = json!({"line": 7, "character": 7});
        let answer = client.ask("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": place}));
        assert_eq!(answer.expect("it answers"), Value::Null, "{uri}");
    }
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn places_outside_the_text_are_harmless() {
    let mut client = Client::new(&hello(), json!({}));
    client.open("partita.kdl", SPEC);
    for place in
        [json!({"line": 0, "character": 4_000_000_000_u32}), json!({"line": 4_000_000_000_u32, "character": 0})]
    {
        for question in ["hover", "definition", "documentHighlight", "completion"] {
            client.at("partita.kdl", question, place.clone());
        }
    }
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn a_burst_of_edits_is_compiled_once() {
    let mut client = Client::new(&hello(), json!({}));
    client.open("partita.kdl", SPEC);
    client.diagnostics("partita.kdl");
    for edit in 0..200 {
        client.change("partita.kdl", &format!("{SPEC}// {edit}\ntool t{edit} {{\n"));
    }
    client.change("partita.kdl", &format!("{SPEC}graph h {{\n    node b recipe=missing\n}}\n"));
    let found = client.diagnostics("partita.kdl");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["code"], "P0201");
    assert!(client.published("partita.kdl") <= 4, "stale results are dropped");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn questions_are_answered_from_the_newest_text() {
    let mut client = Client::new(&hello(), json!({}));
    client.open("partita.kdl", SPEC);
    for round in 0..20 {
        let name = format!("n{round}");
        let text = format!("partita edition=1\nrecipe {name} {{\n}}\ngraph g {{\n    node a recipe={name}\n}}\n");
        client.change("partita.kdl", &text);
        let found = client.at("partita.kdl", "definition", position(&text, &name, 1));
        assert_eq!(found["range"]["start"], position(&text, &name, 0), "round {round}");
    }
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn a_question_can_be_taken_back() {
    let mut client = Client::new(&hello(), json!({}));
    client.open("partita.kdl", SPEC);
    let id = client.post("workspace/symbol", json!({"query": ""}));
    client.notify("$/cancelRequest", json!({"id": id}));
    // It may have been answered before.
    if let Err(error) = client.answer(id) {
        assert_eq!(error.code, -32800);
    }
    client.notify("$/cancelRequest", json!({"id": 9999}));
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn hostile_documents_neither_hang_nor_end_it() {
    let mut client = Client::new(&hello(), json!({}));
    client.open("partita.kdl", SPEC);
    let bombs = [
        "graph g { ".repeat(50_000),
        "a /-{".repeat(5_000),
        "}".repeat(100_000),
        format!("/* {} */", "*".repeat(100_000)),
        "##\"\"\"\n".repeat(5_000),
        "\"".repeat(100_001),
        format!("partita edition=1\n{}", "graph g {\n    node a recipe=b\n}\n".repeat(5_000)),
        "\u{feff}\u{202e}\u{0}\r\r\n".to_owned(),
        "x".repeat(5 * 1024 * 1024),
    ];
    for bomb in &bombs {
        client.change("partita.kdl", bomb);
        client.diagnostics("partita.kdl");
        let place = json!({"line": 0, "character": 9});
        for question in ["hover", "completion", "documentHighlight"] {
            client.at("partita.kdl", question, place.clone());
        }
        client.of("partita.kdl", "documentSymbol", json!({}));
        client.of("partita.kdl", "semanticTokens/full", json!({}));
        client.of("partita.kdl", "foldingRange", json!({}));
    }
    client.change("partita.kdl", SPEC);
    assert_eq!(client.diagnostics("partita.kdl"), Vec::<Value>::new());
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn a_file_without_a_workspace_is_read_by_itself() {
    let workspace = Workspace::new();
    let mut client = Client::new(&workspace, json!({}));
    client.open("alone.kdl", &SPEC.replace("write hello", "run missing"));
    let found = client.diagnostics("alone.kdl");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["code"], "P0201");
    // Closing it takes what was said of it back.
    client.close("alone.kdl");
    client.open("other.kdl", SPEC);
    assert_eq!(client.diagnostics("other.kdl"), Vec::<Value>::new());
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn other_kdl_is_left_alone() {
    let workspace = hello().file("part.kdl", "partita edition=1\nlet unused type=string x\n");
    let mut client = Client::new(&workspace, json!({}));
    client.open("settings.kdl", "theme dark\nkeybinds {\n    bind x\n}\n");
    client.open("part.kdl", "partita edition=1\nlet broken type=nothing x\n");
    // A spec that nobody imports is told apart from other KDL by its first node.
    assert_eq!(client.diagnostics("part.kdl").len(), 1);
    assert_eq!(client.of("settings.kdl", "documentSymbol", json!({})), Value::Null);
    assert_eq!(client.published("part.kdl"), 0);
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn unsaved_texts_count_in_the_whole_workspace() {
    let spec = "partita edition=1\nimport \"lib.kdl\" as=lib\ngraph g {\n    node a recipe=lib.one\n}\n";
    let recipe = "partita edition=1\nrecipe one {\n    returns x type=artifact.file\n    step s {\n        write x\n        output x\n    }\n}\n";
    let workspace = Workspace::new().file("partita.kdl", spec).file("lib.kdl", recipe);
    let mut client = Client::new(&workspace, json!({}));
    client.open("partita.kdl", spec);
    assert_eq!(client.diagnostics("partita.kdl"), Vec::<Value>::new());
    client.open("lib.kdl", &recipe.replace("one", "two"));
    let found = client.diagnostics("partita.kdl");
    assert_eq!(found[0]["code"], "P0201", "{found:?}");
    // Closed without saving, the file on disk counts again.
    client.close("lib.kdl");
    assert_eq!(client.diagnostics("partita.kdl"), Vec::<Value>::new());
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn positions_are_of_the_encoding_that_was_agreed_on() {
    let text = "partita edition=1\ngraph g {\n    node a {\n        write /* 😀 */ hello\n        run /* 😀é */ missing\n        output a\n    }\n}\n";
    for (encodings, wanted) in
        [(json!(["utf-8"]), 25), (json!(["utf-16"]), 22), (json!(["utf-32"]), 21), (Value::Null, 22)]
    {
        let workspace = Workspace::new().file("partita.kdl", text);
        let mut client = Client::new(&workspace, json!({"general": {"positionEncodings": encodings}}));
        client.open("partita.kdl", text);
        let found = client.diagnostics("partita.kdl");
        let missing = found.iter().find(|item| item["code"] == "P0201").expect("the tool is missing");
        assert_eq!(missing["range"]["start"], json!({"line": 4, "character": wanted}), "{encodings}");
        assert_eq!(client.shut_down(), 0);
    }
}
