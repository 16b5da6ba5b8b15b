//! The library that comes with the program: every file compiles, and every declaration is documented.
//! Leaves out what its tools do.

use std::fs;

use partita::base::RelPath;
use partita::diag::{MessageFormat, RenderOptions, render_all};
use partita::lang::{MemoryWorld, compile};
use walkdir::WalkDir;

use crate::support::{Workspace, repository};

/// The files: name and text.
fn files() -> Vec<(String, String)> {
    let entries = WalkDir::new(repository("stdlib")).sort_by_file_name().into_iter().filter_map(Result::ok);
    let specs = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "kdl"));
    let read = |entry: walkdir::DirEntry| {
        let name = entry.path().file_stem().expect("a file has a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(entry.path()).expect("the file can be read"))
    };
    specs.map(read).collect()
}

#[test]
fn every_file_compiles() {
    let files = files();
    assert!(files.len() >= 2, "there is a library");
    for (name, _) in files {
        let spec = format!("partita edition=1\nimport \"<std>/{name}\" as=it\n");
        let compiled = compile(&MemoryWorld::single(&spec), &[RelPath::new("partita.kdl").expect("a relative path")]);
        let options = RenderOptions { format: MessageFormat::Short, color: false, width: 100 };
        let said = render_all(&compiled.diagnostics, &compiled.program.sources, options);
        let about_it: Vec<&str> = said.lines().filter(|line| line.contains("<std>")).collect();
        assert!(about_it.is_empty() && !compiled.diagnostics.has_errors(), "{said}");
    }
}

#[test]
fn what_every_file_says_of_its_use_compiles() {
    for (name, text) in files() {
        let Some((_, rest)) = text.split_once("Use: `") else {
            assert_eq!(name, "posix", "{name}.kdl: the first lines say how it is imported");
            continue;
        };
        let line = rest.split('`').next().unwrap_or_default();
        let spec = format!("partita edition=1\n{line}\n");
        let compiled = compile(&MemoryWorld::single(&spec), &[RelPath::new("partita.kdl").expect("a relative path")]);
        let options = RenderOptions { format: MessageFormat::Short, color: false, width: 100 };
        let said = render_all(&compiled.diagnostics, &compiled.program.sources, options);
        assert!(!compiled.diagnostics.has_errors(), "{line}\n{said}");
    }
    let spec = "partita edition=1\nimport \"<std>/node\" as=node\n\
                graph g { node version { run node.npm --version; output o } }\n";
    let compiled = compile(&MemoryWorld::single(spec), &[RelPath::new("partita.kdl").expect("a relative path")]);
    assert!(!compiled.diagnostics.has_errors());
}

#[test]
fn every_file_and_declaration_is_documented() {
    for (name, text) in files() {
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("// "), "{name}.kdl: the first line says what it is for");
        for (index, line) in lines.iter().enumerate() {
            let word = line.split_whitespace().next().unwrap_or_default();
            if !["tool", "recipe", "template", "let", "graph", "bundle", "gate"].contains(&word)
                || line.starts_with(' ')
            {
                continue;
            }
            let above = index.checked_sub(1).map_or("", |above| lines[above]);
            assert!(
                above.starts_with("// ") && above.trim_end().ends_with('.'),
                "{name}.kdl:{}: `{line}` needs a comment of whole sentences above it",
                index + 1
            );
        }
    }
}

#[test]
fn every_tool_can_be_named_and_its_uses_exist() {
    for (name, text) in files() {
        let tools = text.lines().filter_map(|line| line.strip_prefix("tool ")?.split([' ', '{']).next());
        let prefix = if name == "posix" { "" } else { "it." };
        let quoted = |tool: &str| tool.trim_matches('"').to_owned();
        let nodes: String = tools
            .map(quoted)
            .enumerate()
            .map(|(index, tool)| format!("    node n{index} {{ run \"{prefix}{tool}\"; output o }}\n"))
            .collect();
        let import = if prefix.is_empty() { String::new() } else { format!("import \"<std>/{name}\" as=it\n") };
        let workspace = Workspace::with_spec(&format!("{import}graph g {{\n{nodes}}}\n"));
        workspace.run(&["plan", "g"]).ok();
    }
}
