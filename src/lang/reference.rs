//! Reference pages in Markdown, made from the table of shapes and from the standard library itself, so
//! that no page can say what the compiler does not. Leaves out prose: guides and concepts are written by
//! people.

use std::fmt::Write;

use crate::diag::{Diagnostics, SourceId};
use crate::lang::shape::{Child, Shape, Takes};
use crate::lang::shapes::TOP;
use crate::lang::{Kind, Node, Value, parse, stdlib};

/// Sections of the page about the language that are no node.
pub const TOPICS: &[&str] = &[
    "addresses",
    "asking",
    "conditions",
    "exports",
    "filters",
    "interpolation",
    "references",
    "serving",
    "types",
    "words",
];

/// A node of the language with the nodes it may stand in.
struct Entry {
    shape: &'static Shape,
    /// Names of its parents, in order of the table.
    parents: Vec<&'static str>,
}

/// Every shape of the table once, those of a file first, then in order of appearance.
fn entries() -> Vec<Entry> {
    fn walk(children: &'static [Child], parent: Option<&'static str>, found: &mut Vec<Entry>) {
        for child in children {
            let known = found.iter_mut().find(|entry| std::ptr::eq(entry.shape, child.shape));
            let is_new = known.is_none();
            match (known, parent) {
                (Some(entry), Some(parent)) if !entry.parents.contains(&parent) => entry.parents.push(parent),
                (Some(_), _) => {}
                (None, parent) => {
                    found.push(Entry { shape: child.shape, parents: parent.into_iter().collect() });
                }
            }
            if is_new {
                walk(child.shape.children, Some(child.shape.name), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(TOP, None, &mut found);
    found
}

/// The page of all nodes: `reference/nodes.md`.
pub fn reference_nodes() -> String {
    let mut page = "# Nodes\n\n\
        <!-- Made from the table of shapes. `PARTITA_BLESS=1 cargo t reference` writes it anew. -->\n\
        Every node of the language: how it is written, its properties, and what may stand in its block. `…` after an \
        argument means that there may be more of them. The [language](language.md) page says how they work together; \
        `partita explain NODE` prints a section of this page.\n\n\
        ## Declarations\n\n\
        What may stand at the top of a file.\n"
        .to_owned();
    let entries = entries();
    let (top, inside): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| TOP.iter().any(|child| std::ptr::eq(child.shape, entry.shape)));
    for entry in top {
        section(&mut page, entry, TOP);
    }
    page.push_str("\n## Nodes in blocks\n");
    let mut inside = inside;
    inside.sort_by_key(|entry| (entry.shape.name, entry.parents.first().copied()));
    for entry in inside {
        section(&mut page, entry, TOP);
    }
    page
}

/// The sections of all nodes of a name; with `PARENT.NODE`, of those in that parent.
pub fn reference_node(name: &str) -> Option<String> {
    let (parent, name) = name.rsplit_once('.').map_or((None, name), |(parent, name)| (Some(parent), name));
    let mut text = String::new();
    for entry in entries() {
        let fits = parent.is_none_or(|parent| entry.parents.contains(&parent));
        if entry.shape.name == name && fits {
            section(&mut text, &entry, TOP);
        }
    }
    let text = text.trim_start();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What a property means, in each node that has it; with `NODE.PROPERTY`, in that node.
pub fn reference_property(name: &str) -> Option<String> {
    let (node, name) = name.rsplit_once('.').map_or((None, name), |(node, name)| (Some(node), name));
    let mut text = String::new();
    for entry in entries() {
        let shape = entry.shape;
        if node.is_some_and(|node| node.rsplit('.').next() != Some(shape.name)) {
            continue;
        }
        for prop in shape.props.iter().filter(|prop| prop.name == name) {
            let needed = if prop.required { "; must be given" } else { "" };
            let parents: Vec<String> = entry.parents.iter().map(|parent| format!("`{parent}`")).collect();
            let of = if parents.is_empty() { String::new() } else { format!(" in {}", parents.join(", ")) };
            let _ = write!(
                text,
                "\n### {name} of {}\n\n`{name}=…` of `{}`{of}: {}{needed}. It is {}.\n",
                shape.name,
                shape.name,
                prop.doc,
                kind(prop.takes)
            );
        }
    }
    let text = text.trim_start();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The page of the book about the language, whose sections are topics.
const LANGUAGE: &str = include_str!("../../book/src/reference/language.md");

/// A section of the page about the language, by its title in lower case.
pub fn reference_topic(name: &str) -> Option<String> {
    let (from, level) = topics().find(|(_, _, title)| title == name).map(|(from, level, _)| (from, level))?;
    let upto = topics().find(|(at, other, _)| *at > from && *other <= level).map_or(LANGUAGE.len(), |(at, ..)| at);
    Some(format!("{}\n", LANGUAGE[from..upto].trim_end()))
}

/// The titles of the page about the language: where each begins, its level, and it in lower case.
fn topics() -> impl Iterator<Item = (usize, usize, String)> {
    let mut at = 0;
    let mut in_block = false;
    LANGUAGE.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        in_block ^= line.starts_with("```");
        let level = line.bytes().take_while(|b| *b == b'#').count();
        let title = line.trim_start_matches('#').trim().to_lowercase();
        (level > 1 && !in_block).then_some((start, level, title))
    })
}

/// The names of all nodes, for suggestions.
pub fn reference_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = entries().iter().map(|entry| entry.shape.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// All that has a section or a row: nodes, properties and topics.
pub fn reference_words() -> Vec<&'static str> {
    let mut words = reference_names();
    words.extend(entries().iter().flat_map(|entry| entry.shape.props).map(|prop| prop.name));
    words.extend(TOPICS);
    words.sort_unstable();
    words.dedup();
    words
}

fn section(page: &mut String, entry: &Entry, top: &'static [Child]) {
    let shape = entry.shape;
    let title = match (&entry.parents[..], same_name(shape, top)) {
        ([parent, ..], true) => format!("{} in {parent}", shape.name),
        _ => shape.name.to_owned(),
    };
    let _ = write!(page, "\n### {}\n\n{}\n\n", title.replace('-', "\\-"), shape.doc);
    let block = if shape.children.is_empty() { "" } else { " { … }" };
    let _ = writeln!(page, "    {}{block}", shape.args.usage);
    if !entry.parents.is_empty() {
        let parents: Vec<String> = entry.parents.iter().map(|parent| format!("`{parent}`")).collect();
        let _ = write!(page, "\nStands in {}.\n", parents.join(", "));
    }
    if !shape.props.is_empty() {
        page.push_str("\n| property | value | |\n| --- | --- | --- |\n");
        for prop in shape.props {
            let needed = if prop.required { "; must be given" } else { "" };
            let doc = prop.doc.replace('|', "\\|");
            let _ = writeln!(page, "| `{}` | {}{needed} | {doc} |", prop.name, kind(prop.takes));
        }
    }
    if let Some(takes) = shape.open_props {
        let _ = write!(page, "\nAny property may be given; its value is {}.\n", kind(takes));
    }
    if !shape.children.is_empty() {
        page.push_str("\n| in its block | | |\n| --- | --- | --- |\n");
        for child in shape.children {
            let often = if child.many { "any number" } else { "at most one" };
            let usage = child.shape.args.usage.replace('|', "\\|");
            let _ = writeln!(page, "| `{usage}` | {often} | {} |", child.shape.doc.replace('|', "\\|"));
        }
    }
}

/// Whether several shapes have this one's name.
fn same_name(shape: &Shape, top: &'static [Child]) -> bool {
    fn all(children: &'static [Child], seen: &mut Vec<&'static Shape>) {
        for child in children {
            if !seen.iter().any(|other| std::ptr::eq(*other, child.shape)) {
                seen.push(child.shape);
                all(child.shape.children, seen);
            }
        }
    }
    let mut seen = Vec::new();
    all(top, &mut seen);
    seen.iter().filter(|other| other.name == shape.name).count() > 1
}

fn kind(takes: Takes) -> &'static str {
    match takes {
        Takes::Name => "literal text",
        Takes::Named => "literal text or `(var)`",
        Takes::Text => "text; `{{ … }}` is filled in",
        Takes::Any => "any value",
        Takes::Int => "an integer or `(var)`",
        Takes::Number => "an integer",
        Takes::Bound => "a number or a text",
        Takes::Bool => "`#true` or `#false`",
    }
}

/// The pages of the standard library: the name of each file and its page.
pub fn reference_stdlib() -> Vec<(&'static str, String)> {
    stdlib::FILES.iter().map(|(path, text)| (path.trim_start_matches("<std>/"), stdlib_page(path, text))).collect()
}

fn stdlib_page(path: &str, text: &str) -> String {
    let mut page = format!("# {}\n\n", path.replace('<', "\\<"));
    page.push_str("<!-- Made from the file itself. `PARTITA_BLESS=1 cargo t reference` writes it anew. -->\n");
    let mut diagnostics = Diagnostics::default();
    let nodes = parse(SourceId(0), text, &mut diagnostics);
    for node in &nodes {
        match node.name.value.as_str() {
            "partita" => {
                let _ = writeln!(page, "{}", node.doc.as_deref().unwrap_or_default());
            }
            "import" | "allow" | "package" => {}
            _ => declaration(&mut page, node),
        }
    }
    page
}

fn declaration(page: &mut String, node: &Node) {
    let name = node.args.first().map(shown).unwrap_or_default();
    let _ = write!(page, "\n## {} {name}\n\n{}\n", node.name.value, node.doc.as_deref().unwrap_or_default());
    let children = node.children.as_deref().unwrap_or_default();
    let named = |name: &str| children.iter().filter(|child| child.name.value == name).collect::<Vec<_>>();
    let params = named("param");
    if !params.is_empty() {
        page.push_str("\n| parameter | type | when not given | |\n| --- | --- | --- | --- |\n");
        for param in params {
            let list = param.children.iter().flatten().find(|child| child.name.value == "default");
            let default = property(param, "default")
                .or_else(|| list.map(|node| node.args.iter().map(shown).collect::<Vec<_>>().join(" ")));
            let choices = param.children.iter().flatten().find(|child| child.name.value == "one-of");
            let ty = match choices {
                Some(choices) => choices.args.iter().map(shown).collect::<Vec<_>>().join(" \\| "),
                None => property(param, "type").unwrap_or_default(),
            };
            let _ = writeln!(
                page,
                "| `{}` | `{ty}` | {} | {} |",
                param.args.first().map(shown).unwrap_or_default(),
                default.map_or_else(|| "must be given".to_owned(), |default| format!("`{default}`")),
                property(param, "doc").unwrap_or_default(),
            );
        }
    }
    let returns = named("returns");
    if !returns.is_empty() {
        page.push_str("\n| leaves | type | |\n| --- | --- | --- |\n");
        for returned in returns {
            let _ = writeln!(
                page,
                "| `{}` | `{}` | {} |",
                returned.args.first().map(shown).unwrap_or_default(),
                property(returned, "type").unwrap_or_default(),
                property(returned, "doc").unwrap_or_default(),
            );
        }
    }
    for exec in named("exec") {
        let fingerprint = property(exec, "fingerprint");
        let identity = match &fingerprint {
            Some(args) => format!("its identity is what `{args}` prints"),
            None => "its identity is the digest of the file".to_owned(),
        };
        let _ = write!(page, "\nStarts `{}`; {identity}.\n", exec.args.first().map(shown).unwrap_or_default());
    }
}

fn property(node: &Node, name: &str) -> Option<String> {
    node.props.iter().find(|property| property.name.value == name).map(|property| shown(&property.value))
}

/// A value as a person would say it.
fn shown(value: &Value) -> String {
    match &value.kind {
        Kind::Text(text) | Kind::Decimal(text) => text.clone(),
        Kind::Int(number) => number.to_string(),
        Kind::Bool(truth) => format!("#{truth}"),
        Kind::Null => "#null".to_owned(),
    }
}
