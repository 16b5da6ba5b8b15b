//! Documents as tests: every block of KDL compiles, every console block is run and prints what is
//! shown, every reference in the text leads somewhere. Leaves out the pages of codes, whose examples the
//! UI tests compile. The rules for authors are in `support::transcript`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use partita::base::RelPath;
use partita::diag::{Diagnostics, MessageFormat, RenderOptions, SourceMap, render_all};
use partita::lang::{MemoryWorld, compile, parse_trust};
use walkdir::WalkDir;

use crate::support::{Block, Outcome, Workspace, blocks_of, matches, repository, steps_of, tool};

/// Pages of diagnostic codes.
const CODES: &str = "book/src/reference/codes/";

/// Every Markdown document of the repository but the pages of codes: path and text.
fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let root = repository("");
    for folder in ["", "book", "examples", "specs", "cache", "tests"] {
        let depth = if folder.is_empty() { 1 } else { usize::MAX };
        for entry in WalkDir::new(root.join(folder)).max_depth(depth).sort_by_file_name() {
            let entry = entry.expect("the repository can be listed");
            let path = entry.path().strip_prefix(&root).expect("it lies in it").display().to_string();
            let is_input = ["/out/", "/.partita/", "/content/"].iter().any(|folder| path.contains(folder));
            let is_ours = path.ends_with(".md") && !is_input;
            if is_ours && entry.file_type().is_file() && !path.starts_with(CODES) {
                found.push((path, fs::read_to_string(entry.path()).expect("a document can be read")));
            }
        }
    }
    found
}

/// What is wrong with a spec among files that a document wrote before, as lines; nothing if it compiles.
fn faults(text: &str, written: &[(String, String)]) -> String {
    let mut world = MemoryWorld::listing(text);
    for (name, text) in written.iter().filter(|(name, _)| name != "partita.kdl") {
        world.insert(RelPath::new(name).expect("a relative path"), text);
    }
    let compiled = compile(&world, &[RelPath::new("partita.kdl").expect("a relative path")]);
    let has_errors = compiled.diagnostics.has_errors();
    if has_errors { lines(&compiled.diagnostics, &compiled.program.sources) } else { String::new() }
}

fn lines(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    render_all(diagnostics, sources, RenderOptions { format: MessageFormat::Short, color: false, width: 100 })
}

fn faults_of_policy(text: &str) -> String {
    let mut sources = SourceMap::default();
    let source = sources.add("trust.kdl", text);
    let mut diagnostics = Diagnostics::default();
    let _ = parse_trust(source, text, &mut diagnostics);
    lines(&diagnostics, &sources)
}

#[test]
fn every_block_of_kdl_compiles() {
    let mut compiled = 0;
    for (path, text) in documents() {
        let mut written = Vec::new();
        for block in blocks_of(&text).into_iter().filter(|block| block.language == "kdl" && !block.is("ignore")) {
            let place = format!("{path}:{}", block.line);
            let faults = if block.is("trust") { faults_of_policy(&block.text) } else { faults(&block.text, &written) };
            assert_eq!(!faults.is_empty(), block.is("fails"), "{place}\n{faults}");
            compiled += 1;
            written.extend(block.value("file").map(|name| (name.to_owned(), block.text.clone())));
        }
    }
    assert!(compiled >= 15, "only {compiled} blocks were found");
}

#[test]
fn blocks_are_of_known_languages_and_marked_by_known_words() {
    for (path, text) in documents() {
        for block in blocks_of(&text) {
            let place = format!("{path}:{}", block.line);
            let known: &[&str] = match block.language.as_str() {
                "kdl" => &["fails", "ignore", "trust", "file"],
                "console" => &["ignore"],
                "sh" => &["run"],
                "text" | "lua" | "yaml" | "toml" | "json" | "rust" | "c" | "mermaid" => &[],
                other => panic!("{place}: a block needs a language, and `{other}` is none that is known"),
            };
            for mark in &block.marks {
                let word = mark.split('=').next().unwrap_or_default();
                assert!(known.contains(&word), "{place}: `{mark}` is no mark of `{}`", block.language);
            }
            if block.language == "console" && block.is("ignore") {
                let reason = block.comment.as_deref().unwrap_or_default();
                assert!(reason.len() > 10, "{place}: a comment before it must say why it is not run");
            }
            if block.language == "console" {
                assert!(block.text.starts_with("$ "), "{place}: a console block begins with a command");
            }
        }
    }
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)#: ]+)(#[^)]*)?\)").expect("the pattern is well formed");
    for (path, text) in documents() {
        let folder = Path::new(&path).parent().expect("a document lies in a folder");
        for (index, line) in text.lines().enumerate() {
            for found in link.captures_iter(line) {
                let target = repository("").join(folder).join(&found[1]);
                assert!(target.exists(), "{path}:{}: `{}` leads nowhere", index + 1, &found[1]);
            }
        }
    }
}

/// A workspace for the console blocks of a document: the program is on the path, and everything it
/// keeps by default stays in the workspace and a home of its own.
struct Console {
    workspace: Workspace,
}

impl Console {
    fn new() -> Self {
        let workspace = Workspace::new();
        let bin = workspace.around().join("bin");
        fs::create_dir(&bin).expect("a folder can be made");
        symlink(env!("CARGO_BIN_EXE_partita"), bin.join("partita")).expect("a link can be made");
        Self { workspace }
    }

    /// With a copy of a folder of the repository at the same place in the workspace.
    fn with(self, folder: &str) -> Self {
        let copy = Workspace::copy_of(folder);
        let to = self.workspace.path(folder);
        fs::create_dir_all(to.parent().expect("it lies in the workspace")).expect("folders can be made");
        fs::rename(copy.root(), to).expect("a folder can be moved");
        self
    }

    /// Runs a line as a person would type it, at the workspace's root.
    fn run(&self, command: &str) -> Outcome {
        let path = partita::base::Environment::of_process();
        let path = path.get(partita::base::Environment::PATH).and_then(|path| path.to_str()).unwrap_or_default();
        let path = format!("{}:{path}", self.workspace.around().join("bin").display());
        let script = format!("exec 2>&1\n{command}");
        self.workspace.command(Path::new("/bin/sh"), &["-c", &script]).cargo().env("PATH", path).run()
    }

    /// Runs the console blocks of a document and compares.
    fn follows(&self, path: &str) -> usize {
        let text = fs::read_to_string(repository(path)).expect("the document can be read");
        let mut commands = 0;
        for block in blocks_of(&text) {
            for command in &block.before {
                self.run(command).ok();
            }
            if let Some(file) = block.value("file") {
                self.workspace.write(file, &block.text);
            }
            if block.language == "console" && !block.is("ignore") {
                commands += self.block(path, &block);
            }
            if block.language == "sh" && block.is("run") {
                let outcome = self.run(&format!("set -eu\n{}", block.text));
                assert_eq!(outcome.status, 0, "{path}:{}\n{}", block.line, outcome.describe());
                commands += 1;
            }
        }
        commands
    }

    fn block(&self, path: &str, block: &Block) -> usize {
        let scrub = self.workspace.scrub().pattern(r"\b[0-9]+(?:\.[0-9]+)? (?:[KMG]iB|B)\b", "[SIZE]");
        let steps = steps_of(&block.text);
        for step in &steps {
            // A reader of the README has no program yet and lets cargo make it.
            let command = step.command.replace("cargo run --release -- ", "partita ");
            let outcome = self.run(&command);
            let place = format!("{path}:{}: `{}`", block.line, step.command);
            assert_eq!(outcome.status, step.status, "{place}\n{}", outcome.stdout);
            if step.output.is_empty() {
                continue;
            }
            let shown: Vec<String> = step.output.iter().map(|line| scrub.apply(line)).collect();
            let real = scrub.apply(&outcome.stdout);
            let real: Vec<&str> = real.lines().collect();
            assert!(
                matches(&shown, &real),
                "{place} prints\n{}\nbut the document shows\n{}",
                real.join("\n"),
                shown.join("\n")
            );
        }
        steps.len()
    }
}

#[test]
fn the_readme_does_what_it_says() {
    if ["gcc", "ar", "cargo"].iter().all(|name| tool(name).is_some()) {
        let console = Console::new().with("examples/hello").with("examples/lua");
        assert!(console.follows("README.md") >= 2);
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    assert!(Console::new().follows("book/src/start/tutorial.md") >= 12);
}

/// Follows the documents of a folder whose tools are there; returns how many commands they have.
fn follows_all_in(folder: &str) -> usize {
    let mut commands = 0;
    for (path, text) in documents().into_iter().filter(|(path, _)| path.starts_with(folder)) {
        let needed = text.lines().find_map(|line| line.trim().strip_prefix("<!-- needs: ")?.strip_suffix(" -->"));
        if needed.unwrap_or_default().split_whitespace().all(|name| tool(name).is_some()) {
            commands += Console::new().with("examples/hello").with("examples/lua").follows(&path);
        }
    }
    commands
}

#[test]
fn the_guides_do_what_they_say() {
    assert!(follows_all_in("book/src/guides/") >= 1);
}

#[test]
fn concepts_reference_and_decisions_do_what_they_say() {
    for folder in ["concepts", "reference", "design"] {
        follows_all_in(&format!("book/src/{folder}/"));
    }
}

#[test]
fn the_document_of_hello_does_what_it_says() {
    assert!(Console::new().with("examples/hello").follows("examples/hello/README.md") >= 1);
}

#[test]
fn the_document_of_lua_does_what_it_says() {
    if ["gcc", "ar", "cargo"].iter().all(|name| tool(name).is_some()) {
        assert!(Console::new().with("examples/lua").follows("examples/lua/README.md") >= 6);
    }
}

#[test]
fn the_document_of_routing_does_what_it_says() {
    assert!(Console::new().with("examples/routing").follows("examples/routing/README.md") >= 5);
}

#[test]
fn the_document_of_gates_does_what_it_says() {
    assert!(Console::new().with("examples/gates").follows("examples/gates/README.md") >= 5);
}

#[test]
fn the_document_of_packages_does_what_it_says() {
    assert!(Console::new().with("examples/packages").follows("examples/packages/README.md") >= 3);
}

#[test]
fn the_document_of_services_does_what_it_says() {
    if tool("node").is_some() {
        assert!(Console::new().with("examples/services").follows("examples/services/README.md") >= 3);
    }
}

#[test]
fn the_document_of_site_does_what_it_says() {
    if tool("cmark").is_some() {
        assert!(Console::new().with("examples/site").follows("examples/site/README.md") >= 1);
    }
}

#[test]
fn transcripts_of_the_command_line_are_as_kept() {
    let commands = follows_all_in("tests/cli/");
    assert!(commands >= 10, "only {commands} commands were found");
}

#[test]
fn every_document_with_commands_is_run_by_a_test() {
    // Those that the tests above follow, by the beginning of their path.
    let followed = [
        "README.md",
        "book/src/",
        "examples/gates/",
        "examples/hello/",
        "examples/lua/",
        "examples/packages/",
        "examples/routing/",
        "examples/services/",
        "examples/site/",
        "tests/cli/",
        "tests/bench/",
    ];
    for (path, text) in documents() {
        let runs = |block: &Block| block.language == "console" && !block.is("ignore");
        let is_followed = followed.iter().any(|start| path.starts_with(start));
        assert!(is_followed || !blocks_of(&text).iter().any(runs), "{path} has commands that no test runs");
    }
}
