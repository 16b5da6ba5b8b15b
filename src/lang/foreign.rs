//! Words of other languages and tools, and what is written for them here. Leaves out words that are merely misspelt: see
//! `diag::did_you_mean`.

use crate::diag::{Applicability, Code, Diagnostic, Span};
use crate::lang::shape::Prop;

/// What a word of other languages, or one that is a property, is here.
pub(super) fn node(name: &str, parent: &str) -> Option<String> {
    let work = matches!(parent, "`node`" | "`step`");
    Some(match name {
        "needs" | "requires" | "depends-on" | "depends_on" | "dependencies" | "deps" | "edge" => {
            "order comes from what is taken: `input PLACE from=(ref)node.output`; `after NODE` is for order alone"
                .to_owned()
        }
        "cmd" | "command" | "commands" | "script" | "shell" | "bash" if work => {
            "a node says `run TOOL ARG…`; for a shell `run sh -c \"…\"`".to_owned()
        }
        "env-file" | "environment" | "envs" if work => "variables are given one by one: `env NAME=VALUE`".to_owned(),
        "for" | "foreach" | "matrix" | "loop" if work => {
            "one instance for each element of a list: `for-each NAME in=(var)LIST`".to_owned()
        }
        "if" if work => "instances exist only where a condition holds: `when VARIABLE eq VALUE`".to_owned(),
        "class" | "automation" | "recipe" | "capability" | "agent" | "skill" | "take" | "idempotent" | "complexity"
            if work =>
        {
            format!("it is a property: `{} NAME {name}=…`", parent.trim_matches('`'))
        }
        _ => return None,
    })
}

/// What a property of other languages is here, on a node.
pub(super) fn property(name: &str, node: &str) -> Option<&'static str> {
    if !matches!(node, "node" | "step") {
        return None;
    }
    match name {
        "needs" | "requires" | "depends-on" | "depends_on" | "dependencies" | "deps" => Some(
            "order comes from what is taken: `input PLACE from=(ref)node.output`; `after NODE` in the block is for order alone",
        ),
        "cache" => Some("what is kept of it says `class=`: `pure`, `fixed`, `record`, `volatile` or `effect`"),
        "if" => Some("instances exist only where a condition holds: `when VARIABLE eq VALUE` in the block"),
        "cmd" | "command" | "script" => Some("it says in its block what it starts: `run TOOL ARG…`"),
        _ => None,
    }
}

/// The types of other languages, with what is nearest to them here.
const TYPES: &[(&str, &str)] = &[
    ("array", "list<string>"),
    ("boolean", "bool"),
    ("bytes", "size"),
    ("dict", "map<string>"),
    ("directory", "artifact.dir"),
    ("duration", "dur"),
    ("file", "artifact.file"),
    ("folder", "artifact.dir"),
    ("i64", "int"),
    ("integer", "int"),
    ("json", "artifact.json"),
    ("list", "list<string>"),
    ("long", "int"),
    ("map", "map<string>"),
    ("object", "map<string>"),
    ("secret", "string"),
    ("str", "string"),
    ("text", "string"),
    ("time", "dur"),
    ("timespan", "dur"),
    ("u64", "int"),
    ("uint", "int"),
    ("uri", "string"),
    ("url", "string"),
    ("usd", "money"),
    ("version", "semver"),
];

/// What a type of other languages is called here.
pub(super) fn ty(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    TYPES.iter().find(|(other, _)| *other == lower).map(|(_, here)| *here)
}

/// Types that are for numbers with a point.
pub(super) fn is_float(name: &str) -> bool {
    matches!(name, "float" | "double" | "number" | "decimal" | "f32" | "f64")
}

/// Whether a property that is written as text is a duration or a size.
pub(super) fn unit(prop: &Prop) -> Option<&'static str> {
    match prop.name {
        "runtime" | "wall" | "within" | "backoff" => Some("duration"),
        "artifacts" | "memory" => Some("size"),
        _ => None,
    }
}

/// The diagnostic for a number where a duration or a size is due.
pub(super) fn without_unit(span: Span, number: i128, what: &str) -> Diagnostic {
    let units = if what == "duration" { ["s", "m"] } else { ["MiB", "GiB"] };
    Diagnostic::new(Code::P0306, span, format!("`{number}` is no {what}: its unit is missing"))
        .with_help(format!("write it with its unit: `\"{number}{}\"`, `\"{number}{}\"`", units[0], units[1]))
        .with_fix(Applicability::MaybeIncorrect, span, format!("\"{number}{}\"", units[0]))
}

/// A value as an example, from the line about a property.
pub(super) fn example(doc: &str) -> String {
    let shown = doc.split('`').nth(1).unwrap_or("…");
    shown.to_owned()
}
