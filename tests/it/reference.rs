//! The generated pages of the book: as the table of shapes and the standard library say now, and listed
//! in the summary. Leaves out pages that people write.

use std::collections::BTreeSet;
use std::fs;

use partita::diag::Code;
use partita::lang::{TOPICS, reference_names, reference_node, reference_nodes, reference_stdlib};
use partita::ops::{error_codes, error_page, explain};

use walkdir::WalkDir;

use crate::support::{Workspace, golden, repository};

#[test]
fn the_page_of_nodes_is_what_the_table_says() {
    golden("../book/src/reference/nodes.md", &reference_nodes());
}

#[test]
fn the_schema_of_events_is_what_the_types_say() {
    let schema = serde_json::to_string_pretty(&partita::event::Envelope::schema()).expect("it is JSON");
    golden("../book/src/reference/events.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_pages_of_the_library_are_what_it_says() {
    let summary = fs::read_to_string(repository("book/src/SUMMARY.md")).expect("the summary can be read");
    let mut listed = Vec::new();
    for (name, page) in reference_stdlib() {
        golden(&format!("../book/src/reference/std/{name}.md"), &page);
        assert!(summary.contains(&format!("(reference/std/{name}.md)")), "SUMMARY.md does not list std/{name}.md");
        listed.push(format!("{name}.md"));
    }
    let pages = WalkDir::new(repository("book/src/reference/std")).min_depth(1).sort_by_file_name();
    for entry in pages {
        let name = entry.expect("it can be listed").file_name().to_string_lossy().into_owned();
        assert!(listed.contains(&name), "std/{name} is of no file of the library");
    }
}

#[test]
fn the_page_of_errors_is_what_the_registries_say() {
    golden("../book/src/reference/errors.md", &error_page());
}

#[test]
fn every_code_of_an_error_is_explained() {
    let known: BTreeSet<&str> = error_codes().iter().map(|(code, ..)| *code).collect();
    let literal = regex::Regex::new("\"([ESB]0[0-9]{3})\"").expect("the pattern is well formed");
    let mut found = 0;
    for entry in WalkDir::new(repository("src")).sort_by_file_name() {
        let entry = entry.expect("it can be listed");
        if entry.path().extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(entry.path()).expect("it can be read");
            for code in literal.captures_iter(&text) {
                assert!(known.contains(&code[1]), "{} is not explained", &code[1]);
                found += 1;
            }
        }
    }
    assert!(found > 60, "only {found} codes were found");
    for (code, meaning, help) in error_codes() {
        assert!(!meaning.ends_with('.') && meaning.len() > 8, "{code}: `{meaning}`");
        assert!(code.starts_with('B') || help.ends_with('.'), "{code}: `{help}` is no sentence");
        assert!(explain(code).is_ok_and(|page| page.starts_with(&format!("# {code}: "))), "{code}");
    }
}

/// The verbs that a help lists.
fn verbs_of(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The help of a verb, and of those below it, without what is the same for all.
fn help_of(workspace: &Workspace, path: &[String], page: &mut String) {
    let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
    args.push("--help");
    let help = workspace.run(&args).ok().stdout;
    let below = verbs_of(&help);
    if below.is_empty() {
        let own = help.split("Options of every command:").next().unwrap_or_default();
        let lines: Vec<&str> = own.trim_end().lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", path.join(" "), lines.join("\n")));
    }
    for verb in below {
        help_of(workspace, &[path, &[verb]].concat(), page);
    }
}

#[test]
fn the_page_of_verbs_is_what_the_program_says() {
    let mut page =
        "# Verbs and their options\n\n<!-- Made from the program's help by the tests: PARTITA_BLESS=1 writes it. \
        -->\n\nEvery verb with every option of its own, as `partita VERB --help` prints it. The options that all verbs \
        have, the\nenvironment and the exit statuses are on the page of the [command line](cli.md).\n"
            .to_owned();
    help_of(&Workspace::new(), &[], &mut page);
    golden("../book/src/reference/verbs.md", &page);
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let book = repository("book/src");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).expect("the summary can be read");
    // The pages of codes are a list that nobody need keep by hand.
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.sort_unstable();
    let codes = codes.into_iter().map(|code| format!("  - [{code}](reference/codes/{code}.md)"));
    let is_code = |line: &&str| line.contains("](reference/codes/");
    let before = summary.lines().take_while(|line| !is_code(line)).map(str::to_owned);
    let after = summary.lines().skip_while(|line| !is_code(line)).skip_while(is_code).map(str::to_owned);
    let wanted: Vec<String> = before.chain(codes).chain(after).collect();
    let wanted = wanted.join("\n") + "\n";
    golden("../book/src/SUMMARY.md", &wanted);
    for entry in WalkDir::new(&book).sort_by_file_name() {
        let entry = entry.expect("it can be listed");
        let path = entry.path().strip_prefix(&book).expect("it lies below").display().to_string();
        if path.ends_with(".md") && path != "SUMMARY.md" {
            assert!(wanted.contains(&format!("({path})")), "SUMMARY.md does not list {path}");
        }
    }
}

#[test]
fn every_node_is_documented() {
    for name in reference_names() {
        let section = reference_node(name).expect("a known name has a section");
        let doc = section.lines().nth(2).unwrap_or_default();
        assert!(doc.len() > 10 && doc.ends_with('.'), "{name}: `{doc}` is no sentence");
        for line in section.lines().filter(|line| line.starts_with('|')) {
            let last = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            assert!(last.trim() != "|", "{name}: a row says nothing: {line}");
        }
    }
    for topic in TOPICS {
        assert!(explain(topic).is_ok_and(|text| text.starts_with("##") && text.len() > 200), "{topic}");
    }
    let explained = explain("param.min-length").expect("a property is explained");
    assert!(explained.contains("`min-length=…` of `param`") && !explained.contains("`accepts`"), "{explained}");
    assert!(explain("min-length").is_ok_and(|text| text.contains("of accepts") && text.contains("of field")));
    assert!(explain("filter").is_err_and(|error| format!("{error:?}").contains("filters")));
    assert!(explain("param.nothing").is_err());
    assert_eq!(reference_node("bundle.include"), reference_node("include"));
    assert!(reference_node("node.uses").is_some_and(|text| !text.contains("tool")));
    assert!(reference_node("nothing").is_none());
}
