//! The repository's own specs, written down otherwise: in another format, with other comments, their declarations
//! and nodes in another order, and split into files. None of it may change a plan. Leaves out one
//! spec looked at closely: see `stable`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use partita::base::RelPath;
use partita::diag::{Diagnostics, SourceId};
use partita::lang::{self, Compiled, Index, MemoryWorld, Node, compile};
use partita::plan::{lower, to_json_lines};
use walkdir::WalkDir;

use super::rendered;
use crate::support::repository;

pub(super) const ROOT: &str = "partita.kdl";

/// Files by path; the root is `partita.kdl`.
pub(super) type Files = BTreeMap<String, String>;

/// The workspaces that the repository ships, by name.
pub(super) fn workspaces() -> Vec<(String, Files)> {
    let mut found = Vec::new();
    for folder in ["examples", "specs", "tests/golden/specs", "tests/golden/written"] {
        let at = repository(folder);
        for entry in WalkDir::new(&at).max_depth(2).sort_by_file_name() {
            let entry = entry.expect("the folder can be listed");
            let golden = folder == "tests/golden/specs";
            let is_kdl = entry.path().extension().is_some_and(|extension| extension == "kdl");
            if !(is_kdl && (golden || entry.file_name() == ROOT)) {
                continue;
            }
            let home = entry.path().parent().expect("a file lies in a folder");
            let mut files = if golden { Files::new() } else { texts(home) };
            files.insert(ROOT.to_owned(), fs::read_to_string(entry.path()).expect("the spec can be read"));
            if golden {
                files.extend(beside_golden(home));
            }
            found.push((entry.path().display().to_string(), files));
        }
    }
    assert!(found.len() >= 20, "only {} workspaces were found", found.len());
    found
}

/// The texts of a workspace: specs, and the templates that skills name.
fn texts(home: &Path) -> Files {
    let mut files = Files::new();
    let skipped = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() > 0 && (name.starts_with('.') || name == "out" || name == "target")
    };
    for entry in WalkDir::new(home).sort_by_file_name().into_iter().filter_entry(|entry| !skipped(entry)) {
        let Ok(entry) = entry else { continue };
        let wanted = entry
            .path()
            .extension()
            .is_some_and(|end| ["kdl", "md", "j2", "lock", "json"].iter().any(|known| end == *known));
        if entry.file_type().is_file() && wanted {
            let path = entry.path().strip_prefix(home).expect("it lies in it").to_string_lossy().into_owned();
            files.insert(path, fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    files
}

/// What stands beside the golden specs, but the other specs.
fn beside_golden(home: &Path) -> Files {
    let mut files = texts(home);
    files.retain(|path, _| path.contains('/'));
    files
}

pub(super) fn compiled(files: &Files) -> Compiled {
    let mut world = MemoryWorld::default();
    for (path, text) in files {
        world.insert(RelPath::new(path).expect("a relative path"), text);
    }
    compile(&world, &[RelPath::new(ROOT).expect("a relative path")])
}

/// The plan of each graph that needs no values, by name.
pub(super) fn plans(compiled: &Compiled) -> BTreeMap<String, String> {
    let mut plans = BTreeMap::new();
    for graph in compiled.program.root_graphs() {
        let mut diagnostics = Diagnostics::default();
        if let Some(expansion) = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut diagnostics) {
            plans.insert(expansion.graph.clone(), to_json_lines(&lower(&compiled.program, &expansion)));
        }
    }
    plans
}

/// Changes the root file of every workspace, and compares the plans.
#[track_caller]
fn same(what: &str, change: impl Fn(&Files) -> Option<Files>) {
    let mut compared = 0;
    for (name, files) in workspaces() {
        let before = compiled(&files);
        if before.diagnostics.has_errors() {
            // Packages and files of other places are not in memory.
            continue;
        }
        let Some(changed) = change(&files) else { continue };
        assert_ne!(changed, files, "{name}: {what} changed nothing");
        let after = compiled(&changed);
        assert!(
            !after.diagnostics.has_errors(),
            "{name}, after {what}:\n{}\n{}",
            rendered(&after, &after.diagnostics),
            changed[ROOT]
        );
        let (before, after) = (plans(&before), plans(&after));
        assert!(before == after, "{name}: {what} changed a plan:\n{}", difference(&before, &after));
        compared += usize::from(!before.is_empty());
    }
    assert!(compared >= 15, "after {what} only {compared} workspaces have plans to compare");
}

/// The first lines of two plans that differ.
pub(super) fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let lines = |plans: &BTreeMap<String, String>| -> Vec<String> {
        plans.values().flat_map(|plan| plan.lines().map(str::to_owned)).collect()
    };
    let (before, after) = (lines(before), lines(after));
    let pair = before.iter().zip(&after).find(|(before, after)| before != after);
    pair.map_or_else(String::new, |(before, after)| format!("{before}\n{after}"))
}

pub(super) fn with_root(files: &Files, text: String) -> Files {
    let mut files = files.clone();
    files.insert(ROOT.to_owned(), text);
    files
}

fn nodes(text: &str) -> Vec<Node> {
    lang::parse(SourceId(0), text, &mut Diagnostics::default())
}

/// Where a text is cut so that each piece holds one node, with what stands before it.
fn cuts(nodes: &[Node]) -> Vec<usize> {
    nodes.iter().map(|node| node.span.end as usize).collect()
}

/// The text with the nodes that lie in a range in the opposite order, the first `kept` as they are.
fn reversed(text: &str, from: usize, nodes: &[Node], kept: usize) -> String {
    let mut pieces = Vec::new();
    let mut at = from;
    for cut in cuts(nodes) {
        pieces.push(text[at..cut].trim_end_matches(['\n', ';', ' ']).to_owned());
        at = cut;
    }
    let tail = pieces.split_off(kept.min(pieces.len()));
    pieces.extend(tail.into_iter().rev());
    pieces.join("\n")
}

#[test]
fn formatting_changes_no_plan() {
    same("spaces", |files| {
        let text = &files[ROOT];
        // Between nodes only: the inside of a text of several lines is its content.
        let mut out = String::new();
        let mut at = 0;
        for node in nodes(text) {
            out.push_str(&text[at..node.span.start as usize]);
            out.push_str("  ");
            out.push_str(&text[node.span.start as usize..node.span.end as usize]);
            out.push_str("\n\n");
            at = node.span.end as usize;
        }
        out.push_str(&text[at..]);
        let again = lang::format(SourceId(0), &out).ok()?;
        assert_eq!(lang::format(SourceId(0), &again).ok().as_ref(), Some(&again), "formatting is not a fixed point");
        Some(with_root(files, out))
    });
}

#[test]
fn comments_change_no_plan() {
    same("comments", |files| {
        let text = &files[ROOT];
        let mut out = String::new();
        let mut at = 0;
        let mut stops: Vec<usize> = Vec::new();
        for node in nodes(text) {
            stops.push(node.span.start as usize);
            stops.extend(node.children.iter().flatten().map(|child| child.span.start as usize));
        }
        for stop in stops {
            out.push_str(&text[at..stop]);
            out.push_str("/* said by the way */ ");
            at = stop;
        }
        out.push_str(&text[at..]);
        out.push_str("\n// the end\n/-tool unused {\n    exec nothing\n}\n");
        Some(with_root(files, out))
    });
}

#[test]
fn the_order_of_declarations_changes_no_plan() {
    same("the order of declarations", |files| {
        let text = &files[ROOT];
        let nodes = nodes(text);
        let end = cuts(&nodes).last().copied()?;
        Some(with_root(files, format!("{}{}", reversed(text, 0, &nodes, 1), &text[end..])))
    });
}

#[test]
fn the_order_of_nodes_changes_no_plan() {
    same("the order of nodes", |files| {
        let text = &files[ROOT];
        let mut out = String::new();
        let mut at = 0;
        for node in nodes(text) {
            let Some(children) = node.children.as_deref().filter(|children| children.len() > 1) else { continue };
            if !matches!(node.name.value.as_str(), "graph" | "template" | "tenant" | "bundle") {
                continue;
            }
            let open = text[..children[0].span.start as usize].rfind('{')? + 1;
            let close = cuts(children).last().copied()?;
            out.push_str(&text[at..open]);
            out.push('\n');
            out.push_str(&reversed(text, open, children, 0));
            out.push('\n');
            at = close;
        }
        out.push_str(&text[at..]);
        (at > 0).then(|| with_root(files, out))
    });
}

/// What stays in the root file: what is asked for by name there, and what is said once.
const STAYS: &[&str] =
    &["partita", "workspace", "package", "grant", "import", "graph", "bundle", "test", "allow", "tenant"];

#[test]
fn splitting_into_files_changes_no_plan() {
    same("splitting", |files| {
        let text = &files[ROOT];
        let before = compiled(files);
        let index = Index::of(&before.program);
        let file = index.file(ROOT)?;
        let nodes = nodes(text);
        let moved: Vec<&Node> = nodes.iter().filter(|node| !STAYS.contains(&node.name.value.as_str())).collect();
        let inside = |at: u32| moved.iter().any(|node| node.span.start <= at && at < node.span.end);
        // In the root every use of what moves is one of another file.
        let mut places: BTreeSet<u32> = BTreeSet::new();
        for (id, symbol) in index.symbols().iter().enumerate() {
            if symbol.file() != file || symbol.container.is_some() || !inside(symbol.span.start) {
                continue;
            }
            let uses = index.occurrences_of(id).into_iter().filter(|found| !found.definition);
            places.extend(uses.map(|found| found.span.start).filter(|at| !inside(*at)));
        }
        let (mut root, mut parts) = (String::new(), String::from("partita edition=1\n"));
        let mut at = 0;
        for node in &nodes {
            let (start, end) = (node.span.start as usize, node.span.end as usize);
            let piece = &text[at..end];
            if moved.iter().any(|moved| std::ptr::eq(*moved, node)) {
                parts.push_str(piece);
                parts.push('\n');
            } else {
                let mut from = at;
                for place in places.iter().map(|place| *place as usize).filter(|place| (start..end).contains(place)) {
                    root.push_str(&text[from..place]);
                    root.push_str("parts.");
                    from = place;
                }
                root.push_str(&text[from..end]);
                root.push('\n');
                match node.name.value.as_str() {
                    "partita" => root.push_str("import \"./parts.kdl\" as=parts\n"),
                    "import" => parts.push_str(&format!("{piece}\n")),
                    _ => {}
                }
            }
            at = end;
        }
        root.push_str(&text[at..]);
        let mut files = with_root(files, root);
        files.insert("parts.kdl".to_owned(), parts);
        (!moved.is_empty()).then_some(files)
    });
}
