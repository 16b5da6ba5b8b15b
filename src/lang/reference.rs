//! Reference pages in Markdown, made from the table of shapes and from the standard library itself, so
//! that no page can say what the compiler does not. Leaves out prose: guides and concepts are written by
//! people.

use std::fmt::Write;

use crate::diag::{Diagnostics, SourceId};
use crate::lang::shape::{Child, Shape, Takes};
use crate::lang::shapes::TOP;
use crate::lang::{Kind, Node, Value, parse, stdlib};

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

/// The names of all nodes, for suggestions.
pub fn reference_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = entries().iter().map(|entry| entry.shape.name).collect();
    names.sort_unstable();
    names.dedup();
    names
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
