//! The generated pages of the book: as the table of shapes and the standard library say now, and listed
//! in the summary. Leaves out pages that people write.

use std::fs;

use partita::lang::{reference_names, reference_node, reference_nodes, reference_stdlib};

use walkdir::WalkDir;

use crate::support::{golden, repository};

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
    assert_eq!(reference_node("bundle.include"), reference_node("include"));
    assert!(reference_node("node.uses").is_some_and(|text| !text.contains("tool")));
    assert!(reference_node("nothing").is_none());
}
