//! A person who types anything anywhere, and asks everything: the server answers each question, keeps
//! its positions inside the text, and ends in order. Bounded, and the same at each run. Leaves out
//! whether the answers are right.

use serde_json::{Value, json};

use super::client::Client;
use crate::support::{Workspace, repository};

/// Edits of one run.
const EDITS: usize = 250;

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn boundary(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "\"",
    "(var)",
    "(ref)",
    "=",
    "\n",
    " ",
    "node x ",
    "recipe=",
    "😀",
    "é",
    "\"\"\"",
    "/*",
    "*/",
    "/-",
    "//",
    "{{ ",
    " }}",
    "with a=1",
    "\\",
    ";",
    "graph q {\n",
    "import \"x.kdl\" as=y\n",
    "for-each i in=(var)",
    "#true",
    "#",
    "\r",
    "\t",
    "after \"*\"",
];

#[test]
fn random_edits_get_answers() {
    let start = std::fs::read_to_string(repository("examples/lua/partita.kdl")).expect("the example can be read");
    let workspace = Workspace::copy_of("examples/lua");
    let mut client = Client::new(&workspace, json!({}));
    client.open("partita.kdl", &start);
    let mut dice = Dice(7);
    let mut text = start.clone();
    for edit in 0..EDITS {
        if edit % 50 == 49 {
            text.clone_from(&start);
        }
        let at = dice.boundary(&text);
        if dice.below(3) == 0 {
            let end = at + dice.boundary(&text[at..]).min(40);
            let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
            text.replace_range(at..end, "");
        } else {
            text.insert_str(at, dice.pick(PIECES));
        }
        client.change("partita.kdl", &text);
        let line = text[..at.min(text.len())].matches('\n').count();
        let place = json!({"line": line, "character": dice.below(60)});
        let question = dice.pick(&["hover", "definition", "documentHighlight", "completion"]);
        client.at("partita.kdl", question, place.clone());
        let view = dice.pick(&["documentSymbol", "foldingRange", "semanticTokens/full", "codeLens", "documentLink"]);
        client.of("partita.kdl", view, json!({}));
        if dice.below(4) == 0 {
            let range = json!({"start": place, "end": place});
            client.of("partita.kdl", "codeAction", json!({"range": range, "context": {"diagnostics": []}}));
            client.of(
                "partita.kdl",
                "inlayHint",
                json!({"range": {"start": {"line": 0, "character": 0}, "end": place}}),
            );
        }
        if dice.below(4) == 0 {
            let params =
                json!({"textDocument": {"uri": client.uri("partita.kdl")}, "position": place, "newName": "fresh"});
            // It may be refused; it must be answered.
            let _ = client.ask("textDocument/rename", params);
        }
        if dice.below(10) == 0 {
            let lines = text.split('\n').count() as u64;
            for found in client.diagnostics("partita.kdl") {
                assert!(found["range"]["end"]["line"].as_u64().expect("a number") <= lines + 1, "{found}");
            }
        }
    }
    client.change("partita.kdl", &start);
    assert_eq!(client.diagnostics("partita.kdl"), Vec::<Value>::new());
    assert_eq!(client.shut_down(), 0);
}
