//! Names where they stand inside other words: `{{ node.key }}`, paths of gates, what tests give and expect, patterns,
//! fields of records. Each rename is applied, and the workspace must come to the same but for names. Leaves out names
//! that stand alone: see `session` and `blocks`.

use serde_json::{Value, json};

use super::client::{Client, position};
use crate::support::Workspace;

/// Characters of two units and escapes stand before many names.
const ROOT: &str = r#"partita edition=1
import "lib/shapes.kdl" as=lib

record target {
    field triple type=ident
    field level type=int default=2 min=1 max=3
}
let targets type=list<target> {
    - {
        triple x86
        level 1
    }
    - {
        triple arm
    }
}
let first type=target {
    triple riscv
}
let langs type=list<string> {
    - en
    - fr
}

gate small kind=file {
    param f type=artifact.file
    param lang type=string default=none
    require f.size le 100 f.empty eq #false
    require {
        any {
            - f.lines ge 1
            - f.size ge 1
        }
    }
}
gate scored kind=metric {
    param report type=artifact.json schema="score.json"
    require report.summary.score ge 1
}

recipe compile {
    param t type=target
    param with-tool type=tool default=cp
    returns obj type=artifact.file
    gate small-enough kind=file {
        require obj.size le 1000
    }
    step run {
        write "😀 \u{1F600}\t{{ t.triple }} {{ t.level }} {{ with-tool }}"
        output obj
    }
}
recipe join {
    param parts type=artifact.file
    returns all type=artifact.file
    step join tool=sh {
        input "parts/\u{65}-{{ node.t }}" from=(var)parts
        arg -c "cat parts/* > all"
        output all
    }
}
template pair {
    param t type=target
    node one recipe=compile {
        with t=(var)t
    }
    node two {
        input obj from=(ref)one.obj
        copy obj
        output copied
    }
}

graph g {
    param mode type=enum default=full {
        one-of full part
    }
    node build recipe=compile {
        for-each t in=(var)targets key=triple
        with t=(var)t
    }
    node page {
        for-each lang in=(var)langs
        for-each n {
            - one
        }
        when mode eq full lang ne de
        write """
            lang {{ lang }}
              {{ lang }} 😀 {{ lang }}
            """
        output page
        guard small f=(ref)"build/x86.obj" lang=(var)lang
    }
    use pair as=p {
        with t=(var)first
    }
    node all recipe=join {
        with parts=(ref)build.obj
    }
    node last {
        input "😀/{{ node.lang }}/{{ node.n }}" from=(ref)page.page
        input objs from=(ref)all.all
        input "copied" from=(ref)"p/two.copied"
        run sh -c "cat objs copied > out && echo '{\"summary\": {\"score\": 1}}' > r.json"
        output out
        output r path="r.json" type=artifact.json schema="score.json"
        after "page/**"
    }
    node done {
        guard scored report=(ref)last.r
        input out from=(ref)last.out
        copy out
        output done
    }
}
bundle b from=g {
    include "page/*/*" output=page to="\u{70}ages/{{ node.lang }}-{{ node.n }}"
    include last output=out
}

test shape {
    given g {
        mode full
    }
    expect nodes "page/**" count=2
    expect nodes "build/x86" count=1
    expect nodes "*/two" count=1
    expect path from="p/one" to=last
    expect path from="build/*" to=all
    expect no-path from=last to=all
    expect type build.obj artifact.file
    expect type last.out artifact.file
}
test kinds {
    given g {}
    expect nodes "p/*" count=2
    expect diagnostic P0305 {
        mode none
    }
}
"#;

const SHAPES: &str = "partita edition=1\n\nrecord box {\n    field lang type=string\n}\n";

const SCORE: &str = r#"{"type": "object", "properties": {"summary": {"type": "object", "properties": {
    "score": {"type": "number"}, "speed": {"type": "number"}}}}}"#;

fn session() -> (Workspace, Client) {
    let root = ROOT.replace("\nimport \"lib/shapes.kdl\" as=lib\n", "\nimport \"lib/shapes.kdl\" as=_lib\n");
    let workspace =
        Workspace::new().file("partita.kdl", &root).file("lib/shapes.kdl", SHAPES).file("score.json", SCORE);
    let capabilities = json!({"textDocument": {"completion": {"completionItem": {"snippetSupport": true}}}});
    let mut client = Client::new(&workspace, capabilities);
    client.open("partita.kdl", &root);
    let said = client.diagnostics("partita.kdl");
    assert!(said.iter().all(|item| item["severity"] != 1), "the example is right: {said:#?}");
    (workspace, client)
}

/// The byte of a place, which the protocol counts in units of UTF-16.
fn byte(text: &str, place: &Value) -> usize {
    let number = |key: &str| place[key].as_u64().expect("a number") as usize;
    let start: usize = text.split_inclusive('\n').take(number("line")).map(str::len).sum();
    let mut units = 0;
    for (at, c) in text[start..].char_indices() {
        if units >= number("character") {
            return start + at;
        }
        units += c.len_utf16();
    }
    text.len()
}

/// A text with the edits that an answer has for a file.
fn edited(text: &str, answer: &Value, path: &str) -> (String, usize) {
    let changes = answer["changes"].as_object().unwrap_or_else(|| panic!("there are changes: {answer}"));
    let of_file = changes.iter().find(|(uri, _)| uri.ends_with(path)).map(|(_, edits)| edits);
    let mut edits: Vec<(usize, usize, &str)> = of_file
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|edit| {
            let range = &edit["range"];
            let new = edit["newText"].as_str().expect("a text");
            (byte(text, &range["start"]), byte(text, &range["end"]), new)
        })
        .collect();
    edits.sort_unstable();
    let mut out = text.to_owned();
    for (start, end, new) in edits.iter().rev() {
        out.replace_range(*start..*end, new);
    }
    (out, edits.len())
}

/// What a workspace comes to, line by line in one order: its graph as `expand` prints it, and its tests.
fn meaning(workspace: &Workspace, renamed: &str, old: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for args in [&["expand", "g"][..], &["test"]] {
        let outcome = workspace.run(args);
        assert_eq!(outcome.status, 0, "{args:?}: {}", outcome.stderr);
        lines.extend(outcome.stdout.lines().map(|line| line.replace(renamed, old).trim().to_owned()));
    }
    lines.retain(|line| !line.contains("passed in"));
    lines.sort_unstable();
    lines
}

#[test]
fn a_rename_reaches_what_is_inside_other_words() {
    let (workspace, mut client) = session();
    let root = workspace.read("partita.kdl");
    // A loop variable, a gate's parameter, a node and an alias in patterns, a graph's parameter, a field, a recipe's
    // result with the gate that judges it, a loop variable that is taken by way of a parameter, a node of a template.
    for (piece, old, count) in [
        ("lang in=(var)langs", "lang", 8),
        ("f type=artifact.file\n    param lang", "f", 6),
        ("page {\n        for-each", "page", 5),
        ("build recipe", "build", 6),
        ("p {\n        with t=(var)first", "p", 4),
        ("mode type=enum", "mode", 4),
        ("triple type=ident", "triple", 6),
        ("level type=int", "level", 3),
        ("obj type=artifact.file\n    gate", "obj", 7),
        ("t in=(var)targets", "t", 3),
        ("two {", "two", 3),
        ("report type", "report", 3),
        ("small kind", "small", 2),
        ("last {\n        input", "last", 7),
    ] {
        let params = json!({"position": position(&root, piece, 0), "newName": "zzz"});
        let answer = client.of("partita.kdl", "rename", params);
        let (text, edits) = edited(&root, &answer, "partita.kdl");
        let before = meaning(&workspace, "zzz", old);
        workspace.write("partita.kdl", &text);
        let outcome = workspace.run(&["check"]);
        assert_eq!(outcome.status, 0, "{piece}: {text}\n{}", outcome.stderr);
        let after = meaning(&workspace, "zzz", old);
        workspace.write("partita.kdl", &root);
        let differ: Vec<_> = before.iter().zip(&after).filter(|(one, other)| one != other).collect();
        assert!(before.len() == after.len() && differ.is_empty(), "{piece}: {differ:#?}");
        assert_eq!(edits, count, "{piece}");
    }
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn only_what_cannot_be_followed_is_refused() {
    let (workspace, mut client) = session();
    let root = workspace.read("partita.kdl");
    let mut rename = |text: &str, piece: &str, name: &str| {
        client.change("partita.kdl", text);
        let params = json!({
            "textDocument": {"uri": client.uri("partita.kdl")}, "position": position(text, piece, 0), "newName": name,
        });
        client.ask("textDocument/rename", params).map_err(|error| error.message)
    };
    // A pattern by a part of the name: it must match the same afterwards.
    let part = root.replace("expect nodes \"page/**\"", "expect nodes \"pa*/**\"");
    let refused = rename(&part, "page {\n        for-each", "leaf").expect_err("it would match nothing");
    assert!(refused.contains("would no longer mean `page`"), "{refused}");
    rename(&part, "page {\n        for-each", "pane").expect("it still matches");
    let refused = rename(&part, "done {\n        guard", "past").expect_err("it would match more");
    assert!(refused.contains("would no longer mean `done`"), "{refused}");
    rename(&part, "done {\n        guard", "end").expect("it is another node");
    // A word that stands for two things.
    let both = root.replace("    node done {", "    use other as=q {}\n    node done {").replace(
        "graph g {",
        "template other {\n    node two {\n        write x\n        output x\n    }\n}\ngraph g {",
    );
    let refused = rename(&both, "two {\n        input obj", "three").expect_err("it stands for another as well");
    assert!(refused.contains("would no longer mean") || refused.contains("stands for the node"), "{refused}");
    // An address that is made of values.
    let made = root.replace("from=(ref)last.out", "from=(ref)\"{{ mode }}.out\"");
    let refused = rename(&made, "last {\n        input", "end").expect_err("a value may name it");
    assert!(refused.contains("would no longer mean `last`"), "{refused}");
    // The same word elsewhere is no reason: a field of another record, another gate's parameter, a word of an enum.
    let answer = rename(&root, "lang type=string default=none", "other").expect("it is a parameter of its own");
    let (text, edits) = edited(&root, &answer, "partita.kdl");
    assert_eq!(edits, 2, "{text}");
    assert!(text.contains("{{ node.lang }}") && text.contains("other=(var)lang"), "{text}");
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn names_are_found_from_inside_other_words() {
    let (workspace, mut client) = session();
    let root = workspace.read("partita.kdl");
    for (piece, skip, wanted) in [
        ("{{ node.lang }}/{{", 8, "lang in=(var)langs"),
        ("{{ node.n }}", 8, "n {\n            - one"),
        ("node.t }}", 5, "t in=(var)targets"),
        ("f.size le", 0, "f type=artifact.file\n    param lang"),
        ("f.lines", 0, "f type=artifact.file\n    param lang"),
        ("t.triple }}", 2, "triple type=ident"),
        ("t.level }}", 2, "level type=int"),
        ("key=triple", 4, "triple type=ident"),
        ("triple riscv", 0, "triple type=ident"),
        ("triple arm", 0, "triple type=ident"),
        ("mode full", 0, "mode type=enum"),
        ("mode none", 0, "mode type=enum"),
        ("page/**\" count", 0, "page {\n        for-each"),
        ("two\" count", 0, "two {"),
        ("p/one\" to=last", 2, "one recipe=compile"),
        ("build.obj artifact", 6, "obj type=artifact.file\n    gate"),
        ("last.out artifact", 5, "out\n        output r"),
        ("lang ne de", 0, "lang in=(var)langs"),
        ("default=cp", 8, ""),
    ] {
        let at = root.find(piece).expect("it is there") + skip;
        let line = root[..at].matches('\n').count();
        let start = root[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let place = json!({"line": line, "character": root[start..at].encode_utf16().count()});
        let found = client.at("partita.kdl", "definition", place.clone());
        if wanted.is_empty() {
            assert!(found["uri"].as_str().is_some_and(|uri| uri.contains("posix")), "{piece}: {found}");
            continue;
        }
        assert_eq!(found["range"]["start"], position(&root, wanted, 0), "{piece}: {found}");
        // And back: the place is among the references of what it names.
        let params = json!({"position": found["range"]["start"], "context": {"includeDeclaration": false}});
        let all = client.of("partita.kdl", "references", params);
        let all = all.as_array().expect("references are a list");
        assert!(all.iter().any(|one| one["range"]["start"] == place), "{piece}: {all:#?}");
    }
    assert_eq!(client.shut_down(), 0);
}

/// The labels offered where `typed` stands in place of a piece.
fn offered(client: &mut Client, root: &str, piece: &str, typed: &str) -> Vec<String> {
    let text = root.replacen(piece, typed, 1).replace('|', "");
    client.change("partita.kdl", &text);
    let at = root.find(piece).expect("it is there") + typed.find('|').expect("a place is marked");
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let place = json!({"line": line, "character": text[start..at].encode_utf16().count()});
    let answer = client.at("partita.kdl", "completion", place);
    let items = answer["items"].as_array().expect("completions are a list");
    items.iter().map(|item| item["label"].as_str().expect("a label").to_owned()).collect()
}

#[test]
fn what_may_stand_behind_a_dot_is_offered() {
    let (workspace, mut client) = session();
    let root = workspace.read("partita.kdl");
    // What else may stand there, as `else=`, is no matter.
    let mut offered = |piece: &str, typed: &str| {
        let mut found = offered(&mut client, &root, piece, typed);
        found.retain(|label| label != "else");
        found
    };
    assert_eq!(offered("{{ t.triple }}", "{{ t.| }}"), ["t.triple", "t.level"]);
    assert_eq!(offered("with t=(var)first", "with t=(var)first.|"), ["first.triple", "first.level"]);
    assert_eq!(offered("{{ node.lang }}/{{", "{{ node.| }}/{{"), ["node.lang", "node.n"]);
    assert!(offered("{{ node.lang }}/{{", "{{ | }}/{{").contains(&"node.lang".to_owned()));
    assert_eq!(offered("\\u{65}-{{ node.t }}", "\\u{65}-{{ node.| }}"), ["node.t"]);
    assert_eq!(offered("ages/{{ node.lang }}", "ages/{{ node.l| }}"), ["node.lang", "node.n"]);
    let facts = offered("require f.size le 100 f.empty eq #false", "require f.|");
    assert_eq!(facts, ["f.size", "f.empty", "f.text", "f.lines", "f.sections"]);
    assert_eq!(offered("f.lines ge 1", "f.si| ge 1").first().map(String::as_str), Some("f.size"));
    assert_eq!(offered("require report.summary.score ge 1", "require report.|"), ["report.summary"]);
    let found = offered("require report.summary.score ge 1", "require report.summary.|");
    assert_eq!(found, ["report.summary.score", "report.summary.speed"]);
    let found = offered("require report.summary.score ge 1", "require |");
    assert_eq!(found, ["report", "report.summary"]);
    // Tests: the graph's parameters and their values, the forms of `expect`, the graph's nodes and outputs.
    assert_eq!(offered("given g {\n        mode full", "given g {\n        |"), ["mode"]);
    let found = offered("        mode full", "        mode |");
    assert_eq!(found[..2], ["full", "part"]);
    assert_eq!(offered("        mode none", "        |"), ["mode"]);
    assert!(offered("given g {}", "given |").contains(&"g".to_owned()));
    let found = offered("expect nodes \"p/*\" count=2", "expect |");
    assert!(found.contains(&"no-path".to_owned()) && found.contains(&"nodes".to_owned()), "{found:?}");
    let found = offered("expect nodes \"p/*\" count=2", "expect nodes |");
    assert!(found.contains(&"p/two".to_owned()) && found.contains(&"build".to_owned()), "{found:?}");
    let found = offered("expect nodes \"p/*\" count=2", "expect path from=|");
    assert!(found.contains(&"last".to_owned()), "{found:?}");
    let found = offered("expect nodes \"p/*\" count=2", "expect type |");
    assert!(found.contains(&"last.out".to_owned()) && found.contains(&"build.obj".to_owned()), "{found:?}");
    let found = offered("    triple riscv", "    |");
    assert_eq!(found, ["triple", "level"]);
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn hover_tells_all_that_is_said_of_values() {
    let text = r#"partita edition=1

recipe r {
    // How many.
    param count type=int default=3 min=1 max=9
    param name type=string matches="[a-z]+" min-length=2 max-length=8
    param words type=list<string> min-items=1 max-items=4 distinct=#true
    param level type=int {
        one-of 1 2 3
        default 2
    }
    param rest type=list<string> {
        default {}
    }
    returns out type=artifact.file
    step s {
        write "{{ count }}{{ name }}{{ words | join ' ' }}{{ level }}{{ rest | join '' }}"
        output out
    }
}
graph g {
    node a recipe=r {
        with count=2 name=ab level=1 {
            words {
                - x
            }
        }
    }
}
"#;
    let workspace = Workspace::new().file("partita.kdl", text);
    let mut client = Client::new(&workspace, json!({}));
    client.open("partita.kdl", text);
    let said = client.diagnostics("partita.kdl");
    assert!(said.iter().all(|item| item["severity"] != 1), "the example is right: {said:#?}");
    for (piece, wanted) in [
        ("count=2", &["How many.", "Type: `int`", "Default: `3`", "At least: `1`", "At most: `9`"][..]),
        ("name=ab", &["Must be given", "Matches as a whole: `[a-z]+`", "at least 2", "at most 8"]),
        ("words {", &["Type: `list<string>`", "Elements: at least 1", "No two elements are the same"]),
        ("level=1", &["One of: `1`, `2`, `3`", "Default: `2`"]),
        ("rest |", &["Default: `{}`"]),
    ] {
        let hover = client.at("partita.kdl", "hover", position(text, piece, 0));
        let found = hover["contents"]["value"].as_str().unwrap_or_default();
        for line in wanted {
            assert!(found.contains(line), "{piece}: {found}");
        }
    }
    assert_eq!(client.shut_down(), 0);
}

#[test]
fn files_with_mistakes_are_followed_all_the_same() {
    let (workspace, mut client) = session();
    let root = workspace.read("partita.kdl");
    // A line that is half typed, and a block that is not closed.
    let broken =
        format!("{root}\ngraph h {{\n    node x {{\n        for-each \n        input \"{{{{ node.lang\" from=(ref)");
    client.change("partita.kdl", &broken);
    let params = json!({"position": position(&broken, "lang in=(var)langs", 0), "newName": "zzz"});
    let answer = client.of("partita.kdl", "rename", params);
    assert_eq!(edited(&broken, &answer, "partita.kdl").1, 8);
    for piece in ["graph h", "for-each \n", "from=(ref)\u{0}"] {
        let at = broken.find(piece.trim_end_matches('\u{0}')).expect("it is there");
        for offset in at..(at + 12).min(broken.len()) {
            let line = broken[..offset].matches('\n').count();
            let start = broken[..offset].rfind('\n').map_or(0, |newline| newline + 1);
            let place = json!({"line": line, "character": offset - start});
            client.at("partita.kdl", "completion", place.clone());
            client.at("partita.kdl", "hover", place);
        }
    }
    assert_eq!(client.shut_down(), 0);
}
