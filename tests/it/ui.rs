//! Diagnostics as their reader gets them: every case of `tests/ui` raises exactly the codes its
//! `//~` markers name, in the renderings of its golden files; every code has a case, a page whose
//! examples do as they say, and a place that raises it. Leaves out what a compilation gives when
//! nothing is wrong: see `language`.
//!
//! A case is a file `tests/ui/**/NAME.kdl`; the files of a folder `NAME.d` beside it are the rest of
//! its workspace. `//~ P0301` names a code on its own line, `//~^ P0301` on the line above, and one
//! more `^` on one line further up. Several codes, and several markers, may stand on a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use partita::base::{Limits, RelPath};
use partita::diag::{Code, Diagnostics, MessageFormat, RenderOptions, Severity, SourceMap, render_all};
use partita::lang::{Compiled, MemoryWorld, compile, run_tests};
use walkdir::WalkDir;

use crate::support::{golden, repository};

/// The file of a case in its world.
const ROOT: &str = "partita.kdl";

/// Codes without a case, and why.
const WITHOUT_CASE: &[(Code, &str)] =
    &[(Code::P0001, "a file of 4 MiB does not belong in the tests: see `a_file_that_is_too_large`")];

/// Codes whose page has no failing or no mended example, and why.
const WITHOUT_EXAMPLE: &[(Code, &str)] = &[
    (Code::P0001, "an example would be 4 MiB long"),
    (Code::P0002, "an example would be 33 blocks deep"),
    (Code::P0010, "an example could not be seen"),
];

/// What was said: file, line and code.
type Said = BTreeSet<(String, usize, String)>;

/// A case: its name below `tests/ui`, without `.kdl`, and the files of its world.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) files: BTreeMap<String, String>,
}

impl Case {
    pub(crate) fn world(&self) -> MemoryWorld {
        let mut world = MemoryWorld::default();
        for (path, text) in &self.files {
            world.insert(RelPath::new(path).expect("a file of a case has a relative path"), text);
        }
        world
    }

    pub(crate) fn compile(&self) -> Compiled {
        tested(&self.world())
    }

    fn markers(&self) -> Said {
        self.files.iter().flat_map(|(path, text)| markers(path, text)).collect()
    }
}

/// Compiles, and runs the tests that the specs hold of themselves.
fn tested(world: &MemoryWorld) -> Compiled {
    let mut compiled = compile(world, &[RelPath::new(ROOT).expect("the literal is a relative path")]);
    if !compiled.diagnostics.has_errors() {
        let run = run_tests(world, &compiled.program, "", false);
        compiled.diagnostics.extend(run.diagnostics);
    }
    compiled
}

/// The cases, by name.
pub(crate) fn cases() -> Vec<Case> {
    let folder = repository("tests/ui");
    let of_a_case = |entry: &walkdir::DirEntry| entry.path().extension().is_none_or(|extension| extension != "d");
    let mut cases = Vec::new();
    for entry in WalkDir::new(&folder).sort_by_file_name().into_iter().filter_entry(of_a_case) {
        let entry = entry.expect("the folder of cases can be listed");
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        let mut files = BTreeMap::from([(ROOT.to_owned(), read(path))]);
        let rest = path.with_extension("d");
        for entry in WalkDir::new(&rest).sort_by_file_name().into_iter().filter_map(Result::ok) {
            if entry.file_type().is_file() {
                files.insert(relative(entry.path(), &rest), read(entry.path()));
            }
        }
        let name = relative(&path.with_extension(""), &folder);
        cases.push(Case { name, files });
    }
    assert!(cases.len() >= 150, "only {} cases were found", cases.len());
    cases
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()))
}

fn relative(path: &Path, folder: &Path) -> String {
    let below = path.strip_prefix(folder).expect("what was found in a folder lies below it");
    below.to_str().expect("the paths of cases are UTF-8").to_owned()
}

fn markers(file: &str, text: &str) -> Said {
    let mut said = Said::new();
    for (index, line) in text.lines().enumerate() {
        for marker in line.split("//~").skip(1) {
            let up = marker.bytes().take_while(|byte| *byte == b'^').count();
            let codes = marker[up..].split("//").next().unwrap_or_default().split_whitespace();
            for code in codes {
                assert!(code.parse::<Code>().is_ok(), "{file}:{}: `{code}` is not a code", index + 1);
                said.insert((file.to_owned(), index + 1 - up, code.to_owned()));
            }
        }
    }
    said
}

fn said(compiled: &Compiled) -> Said {
    let place = |item: &partita::diag::Diagnostic| {
        let file = compiled.program.sources.file(item.primary.span.source);
        let line = file.line_column(item.primary.span.start as usize).0;
        (file.name.clone(), line, item.code.to_string())
    };
    compiled.diagnostics.sorted().into_iter().map(place).collect()
}

fn render(diagnostics: &Diagnostics, sources: &SourceMap, format: MessageFormat) -> String {
    render_all(diagnostics, sources, RenderOptions { format, color: false, width: 100 })
}

/// What went wrong in some of many, with the text of all of it.
#[track_caller]
fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} of them:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_case_says_what_its_markers_name() {
    let mut faults = Vec::new();
    for case in cases() {
        let compiled = case.compile();
        let (wanted, found) = (case.markers(), said(&compiled));
        for (word, list) in [("not said", &wanted - &found), ("not marked", &found - &wanted)] {
            faults.extend(list.iter().map(|(file, line, code)| format!("{}: {word}: {file}:{line} {code}", case.name)));
        }
        if wanted != found {
            faults.push(render(&compiled.diagnostics, &compiled.program.sources, MessageFormat::Human));
        }
    }
    report(&faults);
}

#[test]
fn every_case_is_rendered_as_its_golden_files() {
    for case in cases() {
        let compiled = case.compile();
        let text = |format| render(&compiled.diagnostics, &compiled.program.sources, format);
        golden(&format!("ui/{}.stderr", case.name), &text(MessageFormat::Human));
        golden(&format!("ui/{}.json", case.name), &text(MessageFormat::Json));
    }
}

#[test]
fn every_diagnostic_is_a_fact_a_place_and_a_help() {
    let mut faults = Vec::new();
    for case in cases() {
        let compiled = case.compile();
        for item in compiled.diagnostics.sorted() {
            let lower = item.message.chars().next().is_some_and(|c| !c.is_uppercase());
            if !lower || item.message.ends_with('.') {
                faults.push(format!("{}: {}: {:?} is not a fact in small letters", case.name, item.code, item.message));
            }
            if item.help.is_empty() {
                faults.push(format!("{}: {}: {:?} has no help", case.name, item.code, item.message));
            }
            let same = item.secondary.iter().any(|label| label.span == item.primary.span);
            if same {
                faults.push(format!("{}: {}: {:?} has two labels at one place", case.name, item.code, item.message));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_golden_file_belongs_to_a_case() {
    let names: BTreeSet<String> = cases().into_iter().map(|case| case.name).collect();
    let folder = repository("tests/ui");
    let mut faults = Vec::new();
    for entry in WalkDir::new(&folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
        let path = entry.path();
        let golden = path.extension().is_some_and(|extension| extension == "stderr" || extension == "json");
        let of_a_case = path.ancestors().skip(1).any(|above| above.extension().is_some_and(|found| found == "d"));
        let rest = entry.file_type().is_dir() && path.extension().is_some_and(|extension| extension == "d");
        if (golden || rest) && !of_a_case && !names.contains(&relative(&path.with_extension(""), &folder)) {
            faults.push(format!("{}: there is no such case", path.display()));
        }
    }
    report(&faults);
}

#[test]
fn a_compilation_says_the_same_every_time() {
    for case in cases() {
        let text = || {
            let compiled = case.compile();
            render(&compiled.diagnostics, &compiled.program.sources, MessageFormat::Json)
        };
        assert_eq!(text(), text(), "{}", case.name);
    }
}

#[test]
fn every_code_has_a_case() {
    let marked: BTreeSet<String> = cases().iter().flat_map(Case::markers).map(|(_, _, code)| code).collect();
    let mut faults = Vec::new();
    for code in Code::ALL {
        let excused = WITHOUT_CASE.iter().any(|(other, _)| other == code);
        match (marked.contains(code.as_str()), excused) {
            (false, false) => faults.push(format!("no case of tests/ui is marked with {code}")),
            (true, true) => faults.push(format!("{code} has a case; remove it from the exceptions")),
            _ => {}
        }
    }
    report(&faults);
}

#[test]
fn a_file_that_is_too_large() {
    let text = format!("partita edition=1\n// {}\n", "x".repeat(Limits::SPEC_BYTES));
    let compiled = compile(&MemoryWorld::single(&text), &[RelPath::new(ROOT).unwrap()]);
    assert_eq!(said(&compiled), Said::from([(ROOT.to_owned(), 1, "P0001".to_owned())]));
}

#[test]
fn every_code_has_a_page_with_the_title_of_the_registry() {
    let mut faults = Vec::new();
    for code in Code::ALL {
        let info = code.info();
        let mut lines = info.page.lines();
        if lines.next() != Some(&format!("# {code}: {}", info.title)) {
            faults.push(format!("the page of {code} does not open with `# {code}: {}`", info.title));
        }
        // The rule in words comes before the first example.
        let words: usize =
            lines.take_while(|line| !line.starts_with("```")).map(|line| line.split_whitespace().count()).sum();
        if words < 15 {
            faults.push(format!("the page of {code} says too little: {words} words before the first example"));
        }
    }
    report(&faults);
}

#[test]
fn the_index_of_the_book_lists_every_code() {
    let index = read(&repository("book/src/reference/diagnostics.md"));
    let row = |code: &Code| format!("| [{code}](codes/{code}.md) | {} |", code.info().title);
    report(&Code::ALL.iter().map(row).filter(|row| !index.contains(row.as_str())).collect::<Vec<_>>());
}

#[test]
fn every_page_has_examples_that_do_as_they_say() {
    let mut faults = Vec::new();
    for code in Code::ALL {
        let examples = code.info().examples();
        let excused = WITHOUT_EXAMPLE.iter().any(|(other, _)| other == code);
        for fails in [true, false] {
            let word = if fails { "fails" } else { "works" };
            if !excused && !examples.iter().any(|example| example.fails == fails) {
                faults.push(format!("the page of {code} has no block `kdl,{word}`"));
            }
        }
        for example in examples {
            let compiled = tested(&MemoryWorld::listing(example.text));
            let warning = code.info().severity == Severity::Warning;
            let found: BTreeSet<Code> = compiled
                .diagnostics
                .sorted()
                .into_iter()
                .filter(|item| warning || item.severity == Severity::Error)
                .map(|item| item.code)
                .collect();
            let wanted = if example.fails { BTreeSet::from([*code]) } else { BTreeSet::new() };
            if found != wanted {
                let text = render(&compiled.diagnostics, &compiled.program.sources, MessageFormat::Human);
                faults.push(format!(
                    "the page of {code}: found {found:?}, wanted {wanted:?} in\n{}\n{text}",
                    example.text
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn codes_are_raised_where_they_are_claimed() {
    // Which files make which codes: that another one does is to be seen, and to be meant.
    let mut claims: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for entry in WalkDir::new(repository("src")).sort_by_file_name().into_iter().filter_map(Result::ok) {
        let path = entry.path();
        let name = relative(path, &repository("src"));
        let tests = name.ends_with("tests.rs") || name == "diag/code.rs";
        if path.extension().is_none_or(|extension| extension != "rs") || tests {
            continue;
        }
        let text = read(path);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for code in Code::ALL.iter().filter(|code| text.contains(&format!("Code::{code}"))) {
            claims.entry(code.as_str()).or_default().insert(name.clone());
        }
    }
    let line = |(code, files): (&&str, &BTreeSet<String>)| {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        format!("{code} {}\n", files.join(" "))
    };
    golden("golden/claims.txt", &claims.iter().map(line).collect::<String>());
}

#[test]
fn every_code_is_raised_somewhere() {
    let mut code_of_src = String::new();
    for entry in WalkDir::new(repository("src")).sort_by_file_name().into_iter().filter_map(Result::ok) {
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let tests = name == "tests.rs" || name.ends_with("_tests.rs");
        if path.extension().is_some_and(|extension| extension == "rs") && !tests && !path.ends_with("src/diag/code.rs")
        {
            let text = read(path);
            code_of_src.push_str(text.split("#[cfg(test)]").next().unwrap_or_default());
        }
    }
    let missing: Vec<String> = Code::ALL
        .iter()
        .filter(|code| !code_of_src.contains(&format!("Code::{code}")))
        .map(|code| format!("{code} is constructed nowhere in src"))
        .collect();
    report(&missing);
}

#[test]
fn markers_are_read() {
    let text = "a //~ P0301 P0302\n//~^ P0101 //~^^ P0003\nb\n";
    let wanted = [(1, "P0101"), (1, "P0301"), (1, "P0302")].map(|(line, code)| ("f".to_owned(), line, code.to_owned()));
    let found = markers("f", text);
    assert!(found.is_superset(&BTreeSet::from(wanted)));
    assert!(found.contains(&("f".to_owned(), 0, "P0003".to_owned())));
}
