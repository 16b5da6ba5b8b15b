//! What a place of the table of shapes stands for: a name that is defined there, a name of some kind
//! that is used there, a type, a path, a word of a closed set. Read off the table itself: off how a
//! node is written (`use TEMPLATE as=NAME`) and off the words a property's line begins with. Leaves
//! out scopes.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::lang::shape::{Child, Prop, Shape, Takes};
use crate::lang::shapes::TOP;

/// What a value of a place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The name of something that is declared here, of this kind.
    Define(&'static str),
    /// The name of something of one of these kinds.
    Refer(Vec<&'static str>),
    /// An address or pattern of nodes.
    Address,
    /// A variable by its path.
    Variable,
    /// The name of an output of the node that the first argument names.
    Output,
    /// A comparison.
    Op,
    /// A path of a gate.
    Metric,
    /// Nodes of the graph that a test is about; `true`: with an output behind them.
    Tested(bool),
    /// A type.
    Type,
    /// The path of an import.
    Import,
    /// The path of a file.
    File,
    /// Nothing that has a name elsewhere.
    Plain,
}

/// Nodes whose first word is called a name and defines nothing.
const NO_DEFINITION: &[&str] = &["exec", "file", "json"];

/// Nodes whose first word is called a name and is one that is declared elsewhere, as one of these.
const REFER: &[(&str, &[&str])] = &[("candidate", &["tool", "agent", "capability"]), ("needs-secret", &["secret"])];

/// What may be said of the values of something, besides its type and default.
pub(super) const CONSTRAINTS: &[&str] =
    &["min", "max", "min-length", "max-length", "min-items", "max-items", "matches", "distinct", "schema"];

/// Kinds whose names are variables inside what declares them.
const VARIABLES: &[&str] = &["param", "let", "for-each", "var", "accepts"];

/// Kinds that an address begins with.
const NODES: &[&str] = &["node", "use", "step", "service"];

/// The namespace of a kind: kinds in one namespace hide each other.
pub(super) fn namespace(kind: &'static str) -> &'static str {
    if VARIABLES.contains(&kind) {
        "variable"
    } else if NODES.contains(&kind) {
        "node"
    } else {
        kind
    }
}

/// Whether a kind is of what a declaration is given.
pub(super) fn is_parameter(kind: &str) -> bool {
    VARIABLES.contains(&kind) && !matches!(kind, "let" | "for-each")
}

/// Kinds of what a declaration leaves.
pub(super) const RESULTS: &[&str] = &["output", "returns", "port"];

/// See [`RESULTS`].
pub(super) fn is_result(kind: &str) -> bool {
    RESULTS.contains(&kind)
}

/// The names of all shapes that declare something.
fn defining() -> &'static BTreeSet<&'static str> {
    static NAMES: OnceLock<BTreeSet<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = BTreeSet::from(["node"]);
        // Shapes may stand inside themselves.
        let mut seen: BTreeSet<*const Shape> = BTreeSet::new();
        let mut open: Vec<&'static [Child]> = vec![TOP];
        while let Some(children) = open.pop() {
            for child in children.iter().filter(|child| seen.insert(std::ptr::from_ref(child.shape))) {
                if first_word(child.shape).is_some_and(|(word, many)| word == "NAME" && !many)
                    && !NO_DEFINITION.contains(&child.shape.name)
                    && !REFER.iter().any(|(name, _)| *name == child.shape.name)
                {
                    names.insert(child.shape.name);
                }
                open.push(child.shape.children);
            }
        }
        names
    })
}

/// The word for the first argument in how a shape is written, and whether it may be repeated.
fn first_word(shape: &Shape) -> Option<(&'static str, bool)> {
    words(shape).next().map(|word| (word.trim_end_matches('…'), word.ends_with('…')))
}

/// The words for the arguments.
fn words(shape: &Shape) -> impl Iterator<Item = &'static str> {
    shape.args.usage.split_whitespace().skip(1).filter(|word| !word.contains('='))
}

/// The kinds that a word such as `TOOL` or `TOOL|AGENT` names.
fn kinds(word: &str) -> Vec<&'static str> {
    let of = |word: &str| {
        let lower = word.to_ascii_lowercase();
        let upper = word.chars().any(char::is_uppercase) && !word.chars().any(char::is_lowercase);
        defining().iter().copied().find(|name| upper && *name == lower)
    };
    word.split('|').filter_map(of).collect()
}

fn role_of(word: &str, shape: &Shape, first: bool) -> Role {
    let many = word.ends_with('…');
    let bare = word.trim_end_matches('…').trim_matches('"');
    if first && let Some((_, kinds)) = REFER.iter().find(|(name, _)| *name == shape.name) {
        return Role::Refer(kinds.to_vec());
    }
    match bare {
        "PATH" if shape.name == "require" => Role::Metric,
        "NAME" if first && !many && defining().contains(shape.name) => Role::Define(shape.name),
        "NODE" => Role::Address,
        "VARIABLE" => Role::Variable,
        "OP" => Role::Op,
        "TYPE" => Role::Type,
        "PATH" if shape.name == "import" => Role::Import,
        "PATH" | "FILE" | "TEMPLATE" if kinds(bare).is_empty() || matches!(shape.name, "render" | "copy") => Role::File,
        bare => match kinds(bare) {
            kinds if kinds.is_empty() => Role::Plain,
            kinds => Role::Refer(kinds),
        },
    }
}

/// What the argument of a shape at an index is.
pub(super) fn arg_role(shape: &Shape, index: usize) -> Role {
    let mut all = words(shape);
    let Some(first) = all.next() else { return Role::Plain };
    // Triples, of which there may be several.
    let index = if shape.args.usage.contains(" OP VALUE…") { index % 3 } else { index };
    if index == 0 {
        return role_of(first, shape, true);
    }
    match all.nth(index - 1).or_else(|| words(shape).last().filter(|word| word.ends_with('…'))) {
        Some(word) => role_of(word, shape, false),
        None => Role::Plain,
    }
}

/// What the value of a property is.
pub(super) fn prop_role(shape: &Shape, prop: &str) -> Role {
    let written = shape.args.usage.split_whitespace().find_map(|word| {
        let (name, value) = word.split_once('=')?;
        (name == prop).then_some(value)
    });
    let takes_name = shape.props.iter().any(|known| known.name == prop && known.takes == Takes::Name);
    match (prop, written) {
        ("as", _) => Role::Define(shape.name),
        ("type", _) => Role::Type,
        ("output", _) if takes_name => Role::Output,
        (_, Some(value)) => match role_of(value, shape, false) {
            Role::Plain if takes_name => by_name(prop),
            role => role,
        },
        (_, None) if takes_name => by_name(prop),
        _ => Role::Plain,
    }
}

/// A property that bears the name of a kind names one: `recipe=`.
fn by_name(prop: &str) -> Role {
    const PLAIN: &[&str] = &["version", "key", "file", "path", "output", "from", "param"];
    match defining().get(prop) {
        Some(kind) if !PLAIN.contains(&prop) => Role::Refer(vec![kind]),
        _ => Role::Plain,
    }
}

/// The words of a closed set, where the line about a property begins with them.
pub(super) fn choices(prop: &Prop) -> Vec<&'static str> {
    if prop.takes == Takes::Bool {
        return vec!["#true", "#false"];
    }
    quoted(prop.doc)
}

/// As [`choices`], for arguments, where the text about a node says ``: `net`, `exec` ``.
pub(super) fn arg_choices(shape: &Shape) -> Vec<&'static str> {
    shape.doc.rfind(": `").map(|at| quoted(&shape.doc[at + 2..])).unwrap_or_default()
}

/// The words in backticks at the start of a line, up to where something else is said.
fn quoted(doc: &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut rest = doc;
    loop {
        let Some(inner) = rest.strip_prefix('`') else { return found };
        let Some((word, after)) = inner.split_once('`') else { return found };
        if word.contains(char::is_whitespace) {
            return found;
        }
        found.push(word);
        let after = after.strip_prefix(" (default)").unwrap_or(after);
        // Words that are told what they mean: `word`: meaning; `word`: meaning.
        let told = after.strip_prefix(": ").and_then(|told| told.split_once("; ")).map(|(_, rest)| rest);
        let next = [", or ", " or ", " and ", ", ", " "].iter().filter_map(|between| after.strip_prefix(between));
        rest = next.chain(told).find(|rest| rest.starts_with('`')).unwrap_or("");
    }
}

/// The shape of a node among those that may stand somewhere.
pub(super) fn shape_in(accepts: &'static [Child], name: &str) -> Option<&'static Shape> {
    accepts.iter().find(|child| child.shape.name == name).map(|child| child.shape)
}

#[cfg(test)]
mod tests {
    use super::{Role, arg_role, choices, prop_role, shape_in};
    use crate::lang::shape::Shape;
    use crate::lang::shapes::TOP;

    fn shape(path: &[&str]) -> &'static Shape {
        let mut accepts = TOP;
        let mut found = None;
        for name in path {
            let shape = shape_in(accepts, name).unwrap_or_else(|| panic!("there is no `{name}`"));
            accepts = shape.children;
            found = Some(shape);
        }
        found.expect("the path is not empty")
    }

    #[test]
    fn the_table_says_what_is_a_name_of_what() {
        assert_eq!(arg_role(shape(&["recipe"]), 0), Role::Define("recipe"));
        assert_eq!(arg_role(shape(&["recipe", "param"]), 0), Role::Define("param"));
        assert_eq!(arg_role(shape(&["graph", "node", "run"]), 0), Role::Refer(vec!["tool"]));
        assert_eq!(arg_role(shape(&["graph", "node", "run"]), 1), Role::Plain);
        assert_eq!(arg_role(shape(&["graph", "node", "tools"]), 3), Role::Refer(vec!["tool"]));
        assert_eq!(arg_role(shape(&["graph", "node", "after"]), 1), Role::Address);
        assert_eq!(arg_role(shape(&["graph", "node", "holds"]), 0), Role::Refer(vec!["resource"]));
        assert_eq!(arg_role(shape(&["graph", "node", "when"]), 1), Role::Op);
        assert_eq!(arg_role(shape(&["graph", "use"]), 0), Role::Refer(vec!["template"]));
        assert_eq!(prop_role(shape(&["graph", "use"]), "as"), Role::Define("use"));
        assert_eq!(prop_role(shape(&["graph", "node"]), "recipe"), Role::Refer(vec!["recipe"]));
        assert_eq!(prop_role(shape(&["recipe", "step"]), "tool"), Role::Refer(vec!["tool"]));
        assert_eq!(prop_role(shape(&["bundle"]), "from"), Role::Refer(vec!["graph"]));
        assert_eq!(prop_role(shape(&["bundle", "include"]), "output"), Role::Output);
        assert_eq!(arg_role(shape(&["import"]), 0), Role::Import);
        assert_eq!(arg_role(shape(&["tool", "exec"]), 0), Role::Plain);
        assert_eq!(arg_role(shape(&["graph", "node", "render"]), 0), Role::File);
    }

    #[test]
    fn the_table_says_which_words_there_are() {
        let class = shape(&["graph", "node"]).props.iter().find(|prop| prop.name == "class").unwrap();
        assert_eq!(choices(class)[..2], ["pure", "fixed"]);
        let on = shape(&["graph", "node", "retry"]).props.iter().find(|prop| prop.name == "on").unwrap();
        assert_eq!(choices(on), ["transient", "timeout", "any"]);
        let kind = shape(&["recipe", "param"]).props.iter().find(|prop| prop.name == "type").unwrap();
        assert!(choices(kind).is_empty());
    }
}
