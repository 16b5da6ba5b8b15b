//! One session with every feature in it; the answers are golden. Leaves out bad input.

use serde_json::{Value, json};

use super::client::{Client, position};
use crate::support::{Scrub, Workspace, golden};

/// Texts of the session. There are characters of more than one unit before most names.
const ROOT: &str = r#"partita edition=1
import "lib/tools.kdl" as=lib
import "<std>/cc" as=_cc

// Größen 😀 in one place.
let names type=list<string> {
    - a
    - b
}

recipe make {
    param who type=string doc="wer 😀"
    param mode type=enum default=fast {
        one-of fast slow
    }
    returns made type=artifact.file
    step first tool=lib.mill {
        arg "😀 {{ who }}" (var)mode
        output made path="{{ who }}.o"
    }
}

graph g {
    node all recipe=make {
        for-each name in=(var)names
        with who=(var)name
    }
    node page {
        render "page.tmpl" {
            set title="😀"
        }
        input "page.tmpl"
        input "all/{{ node.name }}" from=(ref)all.made
        output page.html
    }
}

bundle done from=g {
    include page
}
"#;

const TOOLS: &str = "partita edition=1\n\n// Grinds.\ntool mill {\n    exec mill\n}\n";

fn workspace() -> Workspace {
    Workspace::new().file("partita.kdl", ROOT).file("lib/tools.kdl", TOOLS).file("page.tmpl", "{{ title }}\n")
}

/// What a modern editor says of itself.
fn capabilities() -> Value {
    json!({
        "textDocument": {
            "completion": {"completionItem": {"snippetSupport": true}},
            "documentSymbol": {"hierarchicalDocumentSymbolSupport": true},
        },
        "workspace": {"workspaceEdit": {"documentChanges": true}},
    })
}

/// The session's answers, to be compared.
struct Record {
    workspace: Workspace,
    text: String,
}

impl Record {
    fn add(&mut self, what: &str, answer: &Value) {
        let answer = serde_json::to_string_pretty(answer).expect("it can be written");
        self.text.push_str(&format!("// {what}\n{answer}\n\n"));
    }

    fn compare(self, name: &str) {
        // The home has pages of codes in it.
        let home = Scrub::new().path(&self.workspace.around().join("home"), "[HOME]");
        golden(&format!("golden/lsp/{name}.txt"), &self.workspace.scrub().apply(&home.apply(&self.text)));
    }
}

fn session() -> (Client, Record) {
    let workspace = workspace();
    let mut client = Client::new(&workspace, capabilities());
    client.open("partita.kdl", ROOT);
    assert_eq!(client.diagnostics("partita.kdl"), Vec::<Value>::new(), "the example is right");
    (client, Record { workspace, text: String::new() })
}

fn labels(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("completions are a list");
    items.iter().map(|item| item["label"].as_str().expect("they have labels").to_owned()).collect()
}

#[test]
fn the_server_introduces_itself() {
    let workspace = workspace();
    let mut client = Client::started(&workspace);
    let params = json!({"processId": null, "rootUri": null, "capabilities": capabilities()});
    let offered = client.ask("initialize", params).expect("it answers");
    let mut record = Record { workspace, text: String::new() };
    record.add("initialize", &offered);
    record.text = record.text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
    record.compare("initialize");
    client.notify("initialized", json!({}));
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn hover_definition_references_and_highlights() {
    let (mut client, mut record) = session();
    for (what, piece, nth) in [
        ("a constant", "names\n", 0),
        ("a recipe", "make {\n        for-each", 0),
        ("a node with instances", "all recipe", 0),
        ("a tool of another file", "mill", 0),
        ("a variable in a string", "who }}\"", 0),
        ("a node of the language", "for-each", 0),
        ("a property", "default=", 0),
    ] {
        let answer = client.at("partita.kdl", "hover", position(ROOT, piece, nth));
        record.add(&format!("hover over {what}"), &answer);
    }
    for (what, piece, nth) in [
        ("an alias", "lib.mill", 0),
        ("a tool of another file", "mill", 0),
        ("a parameter by an argument", "who=(var)name", 0),
        ("a node by a reference", "all.made", 0),
        ("an output by a reference", "made\n        output", 0),
        ("an import", "lib/tools.kdl", 0),
        ("a template file", "page.tmpl", 0),
    ] {
        let answer = client.at("partita.kdl", "definition", position(ROOT, piece, nth));
        record.add(&format!("definition of {what}"), &answer);
    }
    let built_in = client.at("partita.kdl", "definition", position(ROOT, "<std>/cc", 0));
    let file = built_in["uri"].as_str().and_then(|uri| uri.strip_prefix("file://")).expect("it is a file");
    assert!(std::fs::read_to_string(file).expect("it is there").contains("tool gcc"), "{file}");
    let place = position(ROOT, "who type", 0);
    let params = json!({"position": place, "context": {"includeDeclaration": true}});
    record.add("references of a parameter", &client.of("partita.kdl", "references", params));
    let params = json!({"position": position(ROOT, "mill", 0), "context": {"includeDeclaration": false}});
    record.add("references without the declaration", &client.of("partita.kdl", "references", params));
    record.add("highlights", &client.at("partita.kdl", "documentHighlight", place));
    record.compare("names");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn renaming_goes_through_all_files() {
    let (mut client, mut record) = session();
    client.open("lib/tools.kdl", TOOLS);
    client.diagnostics("lib/tools.kdl");
    record.add("prepare", &client.at("partita.kdl", "prepareRename", position(ROOT, "mill", 0)));
    let params = json!({"position": position(ROOT, "mill", 0), "newName": "grinder"});
    record.add("rename", &client.of("partita.kdl", "rename", params));
    for (what, piece, name) in [
        ("no name", "all recipe", "two words"),
        ("a name that is taken", "all recipe", "page"),
        ("a name that would be confused", "name in=", "names"),
    ] {
        let params = json!({
            "textDocument": {"uri": client.uri("partita.kdl")}, "position": position(ROOT, piece, 0), "newName": name,
        });
        let error = client.ask("textDocument/rename", params).expect_err("it is refused");
        record.add(&format!("rename to {what}"), &json!({"code": error.code, "message": error.message}));
    }
    let params = json!({
        "textDocument": {"uri": client.uri("partita.kdl")}, "position": position(ROOT, "graph", 0),
    });
    let error = client.ask("textDocument/prepareRename", params).expect_err("it is no name");
    record.add("prepare at a word of the language", &json!({"code": error.code, "message": error.message}));
    record.compare("rename");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn completions_fit_the_place() {
    let (mut client, mut record) = session();
    let mut complete = |what: &str, before: &str, typed: &str| {
        // What is typed stands at the end of a line that is not finished.
        let text = ROOT.replacen(before, &format!("{before}{typed}"), 1);
        client.change("partita.kdl", &text);
        let after = before.len() + typed.len();
        let at = text.find(before).expect("it is there") + after;
        let line = text[..at].matches('\n').count();
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let place = json!({"line": line, "character": text[start..at].encode_utf16().count()});
        let answer = client.at("partita.kdl", "completion", place);
        record.add(&format!("completions of {what}"), &json!(labels(&answer)));
        answer
    };
    let nodes = complete("the nodes of a graph", "graph g {\n", "    no");
    let node = nodes["items"].as_array().expect("a list").iter().find(|item| item["label"] == "node").cloned();
    complete("recipes", "graph g {\n", "    node x recipe=");
    complete("properties of a node", "graph g {\n", "    node x ");
    complete("arguments of a recipe", "graph g {\n", "    node x recipe=make {\n        with ");
    complete("values of an enum", "graph g {\n", "    node x recipe=make {\n        with mode=");
    complete("variables", "        with who=(var)name\n", "        with mode=(var)");
    complete("references", "    node page {\n", "        input x from=(ref)");
    complete("addresses", "    node page {\n", "        after ");
    complete("tools", "    node page {\n", "        run ");
    complete("words of a closed set", "    node page {\n", "        retry max=1 on=");
    complete("types", "recipe make {\n", "    param x type=");
    complete("variables in a string", "recipe make {\n", "    step s {\n        write \"{{ ");
    complete("imports", "partita edition=1\n", "import \"");
    record.add("a completion with places to fill in", &node.expect("`node` is offered"));
    record.compare("completion");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn mistakes_are_told_with_their_mends() {
    let (mut client, mut record) = session();
    // `text` for `string` and an unknown recipe, behind characters of two units.
    let wrong = ROOT
        .replace("node all recipe=make", "node all /* 😀 */ recipe=mak")
        .replace("tool=lib.mill", "tool=lib.mil")
        .replace("let names type=list<string>", "let names type=(size)list<string>");
    client.change("partita.kdl", &wrong);
    let found = client.diagnostics("partita.kdl");
    record.add("diagnostics", &json!(found));
    for (what, piece) in [("quick fixes of a name", "mak {"), ("quick fixes of an annotation", "size")] {
        let place = position(&wrong, piece, 0);
        let params = json!({"range": {"start": place, "end": place}, "context": {"diagnostics": []}});
        record.add(what, &client.of("partita.kdl", "codeAction", params));
    }
    let params = json!({
        "range": {"start": position(&wrong, "graph", 0), "end": position(&wrong, "graph", 0)},
        "context": {"diagnostics": [], "only": ["source.fixAll"]},
    });
    record.add("all fixes that are certain", &client.of("partita.kdl", "codeAction", params));

    // A mistake in a file that is not open is told as well, and is gone when it is mended on disk.
    client.change("partita.kdl", ROOT);
    client.diagnostics("partita.kdl");
    record.workspace.write("lib/tools.kdl", "partita edition=1\ntool mill {\n    exec mill\n    exex x\n}\n");
    client.notify("workspace/didChangeWatchedFiles", json!({"changes": []}));
    record.add("diagnostics of a file that is not open", &json!(client.diagnostics("lib/tools.kdl")));
    record.workspace.write("lib/tools.kdl", TOOLS);
    client.notify("workspace/didChangeWatchedFiles", json!({"changes": []}));
    assert_eq!(client.diagnostics("lib/tools.kdl"), Vec::<Value>::new());

    // What is not used is only a warning, and shown as such.
    client.change("partita.kdl", &ROOT.replace("recipe make", "tool spare {\n    exec spare\n}\n\nrecipe make"));
    record.add("something that is not used", &json!(client.diagnostics("partita.kdl")));
    record.compare("diagnostics");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn views_of_a_document() {
    let (mut client, mut record) = session();
    record.add("outline", &client.of("partita.kdl", "documentSymbol", json!({})));
    let found = client.ask("workspace/symbol", json!({"query": "M"})).expect("it answers");
    record.add("workspace symbols", &found);
    record.add("folds", &client.of("partita.kdl", "foldingRange", json!({})));
    let links = client.of("partita.kdl", "documentLink", json!({}));
    record.add("links", &links);
    let whole = json!({"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}});
    record.add("hints", &client.of("partita.kdl", "inlayHint", json!({"range": whole})));
    record.add("lenses", &client.of("partita.kdl", "codeLens", json!({})));
    record.compare("views");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn words_have_classes() {
    let (mut client, mut record) = session();
    let answer = client.of("partita.kdl", "semanticTokens/full", json!({}));
    let legend: Vec<&str> = "keyword property string number enumMember comment decorator variable function namespace \
                             event class"
        .split_whitespace()
        .collect();
    let data: Vec<usize> =
        answer["data"].as_array().expect("numbers").iter().map(|n| n.as_u64().expect("one") as usize).collect();
    let (mut line, mut column) = (0, 0);
    let lines: Vec<Vec<u16>> = ROOT.lines().map(|line| line.encode_utf16().collect()).collect();
    for token in data.chunks(5) {
        column = if token[0] == 0 { column + token[1] } else { token[1] };
        line += token[0];
        let text =
            String::from_utf16(&lines[line][column..column + token[2]]).expect("words begin and end with characters");
        let mark = if token[4] == 1 { " (declared)" } else { "" };
        record.text.push_str(&format!("{:>3} {}{mark}: {text}\n", line + 1, legend[token[3]]));
    }
    record.compare("tokens");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn formatting_changes_white_space_alone() {
    let (mut client, _record) = session();
    let ragged = ROOT.replace("    node all", "  node   all").replace("graph g", "graph   g");
    client.change("partita.kdl", &ragged);
    let options = json!({"options": {"tabSize": 4, "insertSpaces": true}});
    let edits = client.of("partita.kdl", "formatting", options.clone());
    let edit = &edits[0];
    let at = |place: &Value| {
        let line = place["line"].as_u64().expect("a number") as usize;
        let start: usize = ragged.split_inclusive('\n').take(line).map(str::len).sum();
        start + place["character"].as_u64().expect("a number") as usize
    };
    let (start, end) = (at(&edit["range"]["start"]), at(&edit["range"]["end"]));
    let formatted = format!("{}{}{}", &ragged[..start], edit["newText"].as_str().expect("a text"), &ragged[end..]);
    assert_eq!(formatted, ROOT);
    assert!(end - start < 200, "only what changes is changed");
    client.change("partita.kdl", ROOT);
    assert_eq!(client.of("partita.kdl", "formatting", options.clone()), json!([]));
    client.change("partita.kdl", "graph g {\n");
    let params = json!({"textDocument": {"uri": client.uri("partita.kdl")}, "options": options["options"]});
    assert!(client.ask("textDocument/formatting", params).is_err(), "what is not KDL is left as it is");
    assert_eq!(client.shut_down(), 0);
}
