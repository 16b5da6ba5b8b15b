//! What is shipped for editors: its files are well formed and fit together, and the patterns of the
//! grammar compile where there is a program that knows their kind. Leaves out running an editor.

use std::path::Path;

use partita::lang::reference_names;
use serde_json::Value;

use crate::support::{Workspace, repository, tool};

const FOLDER: &str = "book/editors/vscode";

fn json(file: &str) -> Value {
    let text = std::fs::read_to_string(repository(FOLDER).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every pattern of a grammar, without what names a group of another pattern.
fn patterns(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(pattern) if matches!(name.as_str(), "match" | "begin" | "end") => {
                        found.push(pattern.replace("\\1", ""));
                    }
                    _ => patterns(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
        _ => {}
    }
}

#[test]
fn the_extension_names_files_that_are_there() {
    let package = json("package.json");
    let there = |path: &Value| {
        let path = path.as_str().expect("a path is text");
        assert!(repository(FOLDER).join(path).is_file(), "`{path}` is not there");
    };
    there(&package["main"]);
    for language in package["contributes"]["languages"].as_array().expect("a list") {
        there(&language["configuration"]);
    }
    for grammar in package["contributes"]["grammars"].as_array().expect("a list") {
        there(&grammar["path"]);
        let file = grammar["path"].as_str().expect("a path is text").trim_start_matches("./");
        assert_eq!(json(file)["scopeName"], grammar["scopeName"]);
    }
    assert!(json("language-configuration.json")["comments"]["lineComment"] == "//");
}

#[test]
fn the_grammar_fits_together_and_knows_the_language() {
    let grammar = json("syntaxes/partita.tmLanguage.json");
    let repository = grammar["repository"].as_object().expect("an object");
    let text = grammar.to_string();
    let include = regex::Regex::new(r##""include":"#([a-z-]+)""##).expect("the pattern is well formed");
    for found in include.captures_iter(&text) {
        assert!(repository.contains_key(&found[1]), "`{}` is not in the repository", &found[1]);
    }
    let mut all = Vec::new();
    patterns(&grammar, &mut all);
    assert!(all.len() > 15);
    let declarations = all.iter().find(|pattern| pattern.contains("recipe|")).expect("declarations are told apart");
    let words = declarations.split_once("*(").and_then(|(_, rest)| rest.split_once(')')).expect("they are a group").0;
    let known = reference_names();
    for word in words.split('|').filter(|word| *word != "record") {
        assert!(known.contains(&word), "`{word}` is no node of the language");
    }
}

#[test]
fn the_patterns_and_the_client_are_read_by_node() {
    let Some(node) = tool("node") else { return };
    let mut all = Vec::new();
    patterns(&json("syntaxes/partita.tmLanguage.json"), &mut all);
    let workspace = Workspace::new().file("patterns.json", &serde_json::to_string(&all).expect("it can be written"));
    let script = "for (const p of JSON.parse(require('fs').readFileSync('patterns.json', 'utf8'))) new RegExp(p, 'u')";
    workspace.command(Path::new(&node), &["-e", script]).run().ok();
    let client = repository(FOLDER).join("client.js");
    workspace.command(Path::new(&node), &["--check", &client.display().to_string()]).run().ok();
}
