//! The walker over the table of node shapes: finds every unknown or misplaced node, unknown, missing
//! or repeated property, and wrong number or kind of arguments, in one pass. The same table serves
//! the reference pages and completion. Leaves out names and types: see `check`.

use std::collections::BTreeMap;

use crate::base::Limits;
use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, Edit, Fix, Span, did_you_mean};
use crate::lang::expand::leak;
use crate::lang::print::quote;
use crate::lang::shapes::ALLOW;
use crate::lang::{Kind, Node, Property, Value, foreign};

/// Mistakes after which a pass stops looking for more: fifty are shown.
const ENOUGH: usize = 1_000;

/// Whether so much is wrong that looking further would only cost time.
pub(crate) fn enough(diagnostics: &Diagnostics) -> bool {
    diagnostics.len() > ENOUGH
}

/// Mistakes for which names that are near are looked for: more than are shown, as they are not found in the order in
/// which they are shown.
const NEAR: usize = 4 * Limits::DIAGNOSTICS;

/// Whether one more mistake may be shown, so that it is worth the time to look for a name that was meant.
pub(crate) fn may_be_shown(diagnostics: &Diagnostics) -> bool {
    diagnostics.len() < NEAR
}

/// What kind of value may stand somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A name or literal text: no annotation, no holes.
    Name,
    /// Text, with holes where the surroundings have variables.
    Text,
    /// A text that is a reference or variable, `(ref)` or `(var)`, or text.
    Any,
    /// A name, or `(var)` of one.
    Named,
    /// An integer, or `(var)`.
    Int,
    /// An integer that is read before there are values: no `(var)`.
    Number,
    /// An integer or a text that is read before there are values.
    Bound,
    /// `#true` or `#false`.
    Bool,
}

impl Takes {
    fn words(self) -> &'static str {
        match self {
            Self::Name | Self::Named => "a name",
            Self::Text => "a string",
            Self::Any => "a value",
            Self::Int | Self::Number => "an integer",
            Self::Bound => "a number or a text",
            Self::Bool => "`#true` or `#false`",
        }
    }

    /// Whether what stands there is evaluated, so that a variable may stand there.
    fn varies(self) -> bool {
        matches!(self, Self::Text | Self::Any | Self::Int | Self::Named)
    }
}

/// A property of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prop {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub takes: Takes,
    /// Whether it must be given.
    pub required: bool,
    /// One line for people.
    pub doc: &'static str,
}

/// The arguments of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args {
    /// The fewest.
    pub min: usize,
    /// The most; `usize::MAX` for any number.
    pub max: usize,
    /// The first argument.
    pub first: Takes,
    /// The others.
    pub rest: Takes,
    /// How the node is written, for messages: `input PATH…`.
    pub usage: &'static str,
}

/// A child with whether it may be repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    /// Its shape.
    pub shape: &'static Shape,
    /// Whether it may appear more than once.
    pub many: bool,
}

/// The shape of a node.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The node's name.
    pub name: &'static str,
    /// One paragraph for people.
    pub doc: &'static str,
    /// Arguments.
    pub args: Args,
    /// Properties.
    pub props: &'static [Prop],
    /// Whether any other property may be given, and what it takes: `with x=1`.
    pub open_props: Option<Takes>,
    /// Children.
    pub children: &'static [Child],
    /// Whether any other child may stand in its block: the name of a parameter, a field or an entry, with
    /// values; or `-`, an element without a name.
    pub open_children: bool,
}

impl Shape {
    /// A shape without arguments, properties and children.
    pub(crate) const fn new(name: &'static str, doc: &'static str) -> Self {
        let args = Args { min: 0, max: 0, first: Takes::Any, rest: Takes::Any, usage: name };
        Self { name, doc, args, props: &[], open_props: None, children: &[], open_children: false }
    }

    /// With arguments.
    pub(crate) const fn args(mut self, min: usize, max: usize, first: Takes, rest: Takes, usage: &'static str) -> Self {
        self.args = Args { min, max, first, rest, usage };
        self
    }

    /// With properties.
    /// How it is written, with the properties it needs.
    fn usage(&self) -> String {
        let written = |prop: &&Prop| self.args.usage.contains(&format!("{}=", prop.name));
        let missing = self.props.iter().filter(|prop| prop.required && !written(prop));
        missing.fold(self.args.usage.to_owned(), |usage, prop| {
            format!("{usage} {}={}", prop.name, foreign::example(prop.doc))
        })
    }

    pub(crate) const fn props(mut self, props: &'static [Prop]) -> Self {
        self.props = props;
        self
    }

    /// With any further properties.
    pub(crate) const fn open(mut self, takes: Takes) -> Self {
        self.open_props = Some(takes);
        self
    }

    /// With values in its block, one child each.
    pub(crate) const fn values(mut self) -> Self {
        self.open_children = true;
        self
    }

    /// With children.
    pub(crate) const fn children(mut self, children: &'static [Child]) -> Self {
        self.children = children;
        self
    }
}

/// A property that may be left out.
pub(crate) const fn prop(name: &'static str, takes: Takes, doc: &'static str) -> Prop {
    Prop { name, takes, required: false, doc }
}

/// A property that must be given.
pub(crate) const fn needed(name: &'static str, takes: Takes, doc: &'static str) -> Prop {
    Prop { name, takes, required: true, doc }
}

/// A child that may be repeated.
pub(crate) const fn many(shape: &'static Shape) -> Child {
    Child { shape, many: true }
}

/// A child that may appear once.
pub(crate) const fn once(shape: &'static Shape) -> Child {
    Child { shape, many: false }
}

/// Checks nodes against the children a parent accepts. `parent` is its name for messages, `all` the
/// top of the table, by which a node that belongs elsewhere is recognised.
pub(crate) fn check_children(
    nodes: &[Node],
    accepts: &[Child],
    parent: &str,
    all: &'static [Child],
    diagnostics: &mut Diagnostics,
) {
    for (index, node) in nodes.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        let name = node.name.value.as_str();
        if name == ALLOW.name {
            check_node(node, &ALLOW, accepts, all, diagnostics);
            continue;
        }
        let Some(child) = accepts.iter().find(|child| child.shape.name == name) else {
            diagnostics.push(unknown_node(node, accepts, parent, all));
            continue;
        };
        if !child.many
            && let Some(first) = nodes[..index].iter().find(|other| other.name.value == name)
        {
            diagnostics.push(
                Diagnostic::new(Code::P0106, node.name.span, format!("`{name}` may appear only once in {parent}"))
                    .with_label("given again here")
                    .with_secondary(first.name.span, "first given here")
                    .with_help("keep one"),
            );
            continue;
        }
        check_node(node, child.shape, accepts, all, diagnostics);
    }
}

fn check_node(
    node: &Node,
    shape: &'static Shape,
    beside: &[Child],
    all: &'static [Child],
    diagnostics: &mut Diagnostics,
) {
    if let Some(note) = &node.note {
        diagnostics.push(
            Diagnostic::new(Code::P0109, note.span, format!("unknown type annotation `({})`", note.value))
                .with_help("nodes take no annotation; values may: `(var)`, `(ref)`, `(secret)`"),
        );
    }
    match unnamed(node, shape) {
        // One cause, one report.
        Some(diagnostic) => diagnostics.push(diagnostic),
        None => {
            check_args(node, shape, diagnostics);
            check_props(node, shape, beside, diagnostics);
        }
    }
    if let (Some(children), true) = (&node.children, shape.open_children) {
        if shape.name == "with" {
            check_given(children, diagnostics);
            // A block without elements is a list of none.
            let some = |child: &Node| child.children.as_ref().is_none_or(|inner| !inner.is_empty());
            children.iter().filter(|child| some(child)).for_each(|child| {
                check_entries(std::slice::from_ref(child), diagnostics);
            });
        } else {
            check_entries(children, diagnostics);
        }
    } else if let Some(children) = &node.children {
        let other = children.iter().find(|child| child.name.value != ALLOW.name || shape.name == ALLOW.name);
        if let (true, Some(other)) = (shape.children.is_empty(), other) {
            diagnostics.push(
                Diagnostic::new(Code::P0101, other.name.span, format!("`{}` takes no block", shape.name))
                    .with_label("nothing may stand here")
                    .with_help(format!("it is written `{}`", shape.args.usage)),
            );
        } else {
            check_children(children, shape.children, &format!("`{}`", shape.name), all, diagnostics);
        }
    }
}

/// The one property that is needed and not there, if one argument too many is given: its name was left out.
fn unnamed(node: &Node, shape: &Shape) -> Option<Diagnostic> {
    let [extra] = node.args.get(shape.args.max..)? else { return None };
    let mut missing = shape.props.iter().filter(|prop| prop.required);
    let (Some(missing), None) = (missing.next(), missing.next()) else { return None };
    if !node.props.is_empty() {
        return None;
    }
    let mut at = extra.span;
    at.end = at.start;
    Some(
        Diagnostic::new(Code::P0104, node.name.span, format!("`{}` needs `{}`", shape.name, missing.name))
            .with_secondary(extra.span, format!("one argument too many: is it the `{}`?", missing.name))
            .with_help(format!("name it: it is written `{}`", shape.usage()))
            .with_fix(Applicability::MaybeIncorrect, at, format!("{}=", missing.name)),
    )
}

/// Checks arguments in a block: what is a list, a map or a record. A single value has a spelling already.
fn check_given(nodes: &[Node], diagnostics: &mut Diagnostics) {
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.name.value != ALLOW.name) {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        let name = &node.name.value;
        if name == "-" {
            diagnostics.push(
                Diagnostic::new(Code::P0301, node.name.span, "elements of a list without the name of a parameter")
                    .with_help("write it around them: `with { NAME { - VALUE; - VALUE } }`"),
            );
        } else if let [value] = node.args.as_slice() {
            let shown = written_value(value).unwrap_or_else(|| "VALUE".to_owned());
            diagnostics.push(
                Diagnostic::new(Code::P0105, value.span, format!("`{name}` has one value, and no block"))
                    .with_help(format!("one value stands in the line: `with {name}={shown}`"))
                    .with_help(format!("a list of one is written `{name} {{ - {shown} }}`")),
            );
        } else if let [first, ..] = node.args.as_slice() {
            let shown = |value| format!("- {}", written_value(value).unwrap_or_else(|| "VALUE".to_owned()));
            let all: Vec<String> = node.args.iter().take(3).map(shown).collect();
            let more = if node.args.len() > 3 { "; …" } else { "" };
            diagnostics.push(
                Diagnostic::new(Code::P0105, first.span, format!("the elements of `{name}` stand in no block"))
                    .with_help(format!("write them as `{name} {{ {}{more} }}`", all.join("; "))),
            );
        }
    }
}

/// Checks values in a block: one node each, named after a parameter, a field or an entry, or `-`. Their
/// depth is that of blocks, which the guard bounds.
fn check_entries(nodes: &[Node], diagnostics: &mut Diagnostics) {
    static VALUE: Shape =
        Shape::new("a value", "The values of a name.").args(0, usize::MAX, Takes::Any, Takes::Any, "NAME VALUE…");
    for (index, node) in nodes.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        let name = &node.name.value;
        let inner = node.children.as_deref().filter(|inner| !inner.is_empty() && *name != ALLOW.name);
        check_args(node, if *name == ALLOW.name { &ALLOW } else { &VALUE }, diagnostics);
        // A block of none is a list of none.
        if node.args.is_empty() && node.children.is_none() && *name != ALLOW.name {
            diagnostics.push(
                Diagnostic::new(Code::P0105, node.name.span, format!("`{name}` has no value"))
                    .with_label("more is needed here")
                    .with_help(format!("write its value after the name, as `{name} VALUE`, or in its block"))
                    .with_help(format!("an element of a list is written `- {name}`")),
            );
        }
        if let Some(property) = node.props.first().filter(|_| *name != ALLOW.name) {
            let key = &property.name.value;
            diagnostics.push(
                Diagnostic::new(Code::P0102, property.name.span, format!("unknown property `{key}` on a value"))
                    .with_help(format!("named values stand in a block, each on its own: `{name} {{ {key} VALUE }}`")),
            );
        }
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(fine) {
            diagnostics.push(
                Diagnostic::new(Code::P0301, node.name.span, format!("`{name}` cannot name a value"))
                    .with_help("names are made of letters, digits, `-` and `_`, so that `{{ map.name }}` can be said"),
            );
        }
        if let Some(inner) = inner {
            if let Some(value) = node.args.first() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0105,
                        value.span,
                        format!("`{name}` has values in its line and in its block"),
                    )
                    .with_secondary(inner[0].name.span, "the block begins here")
                    .with_help("keep one of the two"),
                );
            }
            check_entries(inner, diagnostics);
        }
    }
}

fn check_args(node: &Node, shape: &Shape, diagnostics: &mut Diagnostics) {
    let given = node.args.len();
    let args = shape.args;
    // What stands in the place of an argument is the one mistake there is.
    let instead = given < args.min
        && shape.open_props.is_none()
        && node.props.iter().any(|property| !shape.props.iter().any(|known| known.name == property.name.value));
    if (given < args.min || given > args.max) && !instead {
        let takes = match (args.min, args.max) {
            (min, usize::MAX) => format!("at least {min} argument{}", plural(min)),
            (min, max) if min == max => format!("{min} argument{}", plural(min)),
            (min, max) => format!("{min} to {max} arguments"),
        };
        let span = node.args.get(args.max).map_or(node.name.span, |extra| extra.span);
        let diagnostic = Diagnostic::new(Code::P0105, span, format!("`{}` takes {takes}, {given} given", shape.name))
            .with_label(if given > args.max { "one too many" } else { "more is needed here" });
        diagnostics.push(if shape.name == "let" && given > args.max {
            diagnostic
                .with_help("the values of a list stand in a block: `let NAME type=list<TYPE> { - VALUE; - VALUE }`")
        } else {
            diagnostic.with_help(format!("it is written `{}`", args.usage)).with_help(shape.doc.trim_end_matches('.'))
        });
    }
    check_bare(node, shape, diagnostics);
    if let ("timeout" | "deadline" | "expires", Some(Value { kind: Kind::Int(number), note: None, span, .. })) =
        (shape.name, node.args.first())
    {
        diagnostics.push(foreign::without_unit(*span, *number, "duration"));
        return;
    }
    for (index, value) in node.args.iter().enumerate().take(args.max) {
        if let Some(found) = of_money(value, false, node).filter(|_| index > 0) {
            diagnostics.push(found);
            continue;
        }
        if index > 0 && is_float(node) {
            continue;
        }
        check_value(value, if index == 0 { args.first } else { args.rest }, diagnostics);
    }
}

/// Words that mean something to a shell.
const SHELL: &[&str] = &[">", ">>", "<", "|", "||", "&", "&&", "2>", "2>&1"];

/// Reports bare words that only other languages would read as they are meant: `'…'`, `>`, `a, b`.
fn check_bare(node: &Node, shape: &Shape, diagnostics: &mut Diagnostics) {
    let bare = |value: &Value| match &value.kind {
        Kind::Text(text) if value.text_start == value.span.start && value.note.is_none() => Some(text.clone()),
        _ => None,
    };
    let words: Vec<Option<String>> = node.args.iter().map(bare).collect();
    for (index, word) in words.iter().enumerate() {
        let (Some(word), span) = (word, node.args[index].span) else { continue };
        if word.starts_with('\'') {
            let last = (index..words.len()).find(|at| {
                words[*at].as_ref().is_some_and(|word| word.ends_with('\'') && (*at > index || word.len() > 1))
            });
            let whole = last.map_or(span, |last| span.to(node.args[last].span));
            let (from, to) = (whole.start as usize, whole.end as usize);
            let quote = |at: usize| Edit { span: Span::new(span.source, at, at + 1), text: "\"".to_owned() };
            // Between them there may be no quotes.
            let safe = last.is_some_and(|last| words[index..=last].iter().all(Option::is_some));
            let fix = Fix { applicability: Applicability::MachineApplicable, edits: vec![quote(from), quote(to - 1)] };
            diagnostics.push(
                Diagnostic::new(Code::P0108, whole, "`'` is no quotation mark here")
                    .with_label("read as bare words")
                    .with_help("strings stand in double quotes: `\"…\"`")
                    .with_fixes(if safe { vec![fix] } else { Vec::new() }),
            );
            return;
        }
        if matches!(shape.name, "run" | "arg") && SHELL.contains(&word.as_str()) {
            diagnostics.push(
                Diagnostic::new(Code::P0108, span, format!("`{word}` is for a shell, and no shell reads these words"))
                    .with_help("give a shell one text: `run sh -c \"… > file\"`")
                    .with_help(format!("if the tool is to be given it, quote it: `\"{word}\"`")),
            );
            return;
        }
        if word.len() > 1 && word.ends_with(',') && index + 1 < words.len() {
            let comma = Span::new(span.source, span.end as usize - 1, span.end as usize);
            diagnostics.push(
                Diagnostic::new(Code::P0108, comma, "values are separated by spaces alone")
                    .with_label("belongs to the value before it")
                    .with_help(format!("remove it, or quote the value: `\"{word}\"`"))
                    .with_fix(Applicability::MachineApplicable, comma, ""),
            );
        }
    }
}

fn check_props(node: &Node, shape: &Shape, beside: &[Child], diagnostics: &mut Diagnostics) {
    let mut misspelt: Vec<&str> = Vec::new();
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for (index, property) in node.props.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        let name = property.name.value.as_str();
        if let Some(first) = seen.get(name) {
            diagnostics.push(
                Diagnostic::new(Code::P0103, property.name.span, format!("property `{name}` is given twice"))
                    .with_label("given again here")
                    .with_secondary(*first, "first given here")
                    .with_help("keep one")
                    .with_fixes(said_twice(&node.props, property)),
            );
            continue;
        }
        seen.insert(name, property.name.span);
        let known = shape.props.iter().find(|prop| prop.name == name);
        if let Some(found) = known.and_then(|prop| of_money(&property.value, prop.doc.starts_with("dollars"), node)) {
            diagnostics.push(found);
            continue;
        }
        if let (Some(what), Kind::Int(number), None) =
            (known.and_then(foreign::unit), &property.value.kind, &property.value.note)
        {
            diagnostics.push(foreign::without_unit(property.value.span, *number, what));
            continue;
        }
        if name == "default" && is_float(node) {
            continue;
        }
        match (known, shape.open_props) {
            (Some(prop), _) => check_value(&property.value, prop.takes, diagnostics),
            (None, Some(takes)) => check_value(&property.value, takes, diagnostics),
            (None, None) => {
                let known: Vec<&str> = shape.props.iter().map(|prop| prop.name).collect();
                let find = |children: &[Child]| children.iter().find(|child| child.shape.name == name).map(|c| c.shape);
                let suggestion = did_you_mean(name, known.iter().copied());
                misspelt.extend(suggestion);
                let diagnostic = Diagnostic::new(
                    Code::P0102,
                    property.name.span,
                    format!("unknown property `{name}` on `{}`", shape.name),
                )
                .with_label(format!("`{}` has no such property", shape.name))
                .with_suggestion(suggestion);
                if let ("when" | "unless" | "require" | "-", Some(value)) = (shape.name, written_value(&property.value))
                {
                    let whole = property.name.span.to(property.value.span);
                    diagnostics.push(
                        Diagnostic::new(Code::P0102, property.name.span, "`=` does not compare")
                            .with_help(format!("write `{name} eq {value}`"))
                            .with_fix(Applicability::MaybeIncorrect, whole, format!("{} eq {value}", quote(name))),
                    );
                    continue;
                }
                let help = if let Some(help) = foreign::property(name, shape.name).filter(|_| suggestion.is_none()) {
                    help.to_owned()
                } else if shape.args.max == usize::MAX && name.starts_with('-') {
                    format!("quote the whole argument: `\"{name}=…\"`")
                } else if let Some(child) = find(shape.children) {
                    format!("`{name}` is a node of its own inside the block: `{}`", child.args.usage)
                } else if let Some(other) = find(beside).filter(|_| suggestion.is_none()) {
                    format!("`{name}` is a node of its own, beside `{}`: `{}`", shape.name, other.args.usage)
                } else if known.is_empty() || node.args.len() < shape.args.min {
                    format!("it is written `{}`", shape.args.usage)
                } else {
                    format!("it takes: {}", known.join(", "))
                };
                diagnostics.push(diagnostic.with_help(help));
            }
        }
    }
    for prop in shape.props.iter().filter(|prop| prop.required) {
        // One that is misspelt is not missing as well.
        if !seen.contains_key(prop.name) && !misspelt.contains(&prop.name) {
            diagnostics.push(
                Diagnostic::new(Code::P0104, node.name.span, format!("`{}` needs `{}`", shape.name, prop.name))
                    .with_help(format!("add `{}=…`: {}", prop.name, prop.doc)),
            );
        }
    }
}

/// The type that a node says its values are of.
fn type_of(node: &Node) -> Option<&str> {
    let ty = node.props.iter().find(|property| property.name.value == "type")?;
    match &ty.value.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether a node asks for numbers with a point, which is reported at its type.
fn is_float(node: &Node) -> bool {
    type_of(node).is_some_and(foreign::is_float)
}

/// The diagnostic for an amount of money that is a number. `dollars`: whether the place says so itself.
fn of_money(value: &Value, dollars: bool, node: &Node) -> Option<Diagnostic> {
    if !dollars && type_of(node) != Some("money") {
        return None;
    }
    let (said, text) = match &value.kind {
        Kind::Decimal(text) => ("a floating-point number is no amount of money", text.clone()),
        Kind::Int(number) => ("a number is no amount of money", format!("{number}.00")),
        _ => return None,
    };
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let diagnostic = Diagnostic::new(Code::P0307, value.span, said).with_help(if plain {
        format!("write it as text: `\"{text}\"`")
    } else {
        "write it as text: `\"1.50\"`".to_owned()
    });
    Some(if plain {
        diagnostic.with_fix(Applicability::MaybeIncorrect, value.span, format!("\"{text}\""))
    } else {
        diagnostic
    })
}

/// A value as it is written, if it stands for itself.
fn written_value(value: &Value) -> Option<String> {
    match (&value.kind, &value.note) {
        (Kind::Text(text), None) => Some(quote(text)),
        (Kind::Text(text), Some(note)) => Some(format!("({}){}", note.value, quote(text))),
        (Kind::Int(int), _) => Some(int.to_string()),
        (Kind::Bool(flag), _) => Some(format!("#{flag}")),
        _ => None,
    }
}

const NOTES: &[&str] = &["var", "ref", "secret", "dur", "size"];

fn check_value(value: &Value, takes: Takes, diagnostics: &mut Diagnostics) {
    if let Some(note) = &value.note {
        let name = note.value.as_str();
        if !NOTES.contains(&name) {
            diagnostics.push(
                Diagnostic::new(Code::P0109, note.span, format!("unknown type annotation `({name})`"))
                    .with_suggestion(did_you_mean(name, NOTES.iter().copied()))
                    .with_help("known: `(var)`, `(ref)`, `(secret)`; units need none"),
            );
            return;
        }
        if matches!(name, "dur" | "size") {
            let whole = Span::new(note.span.source, note.span.start as usize - 1, note.span.end as usize + 1);
            diagnostics.push(
                Diagnostic::new(Code::P1002, note.span, format!("`({name})` says what the place says already"))
                    .with_help(format!("remove `({name})`"))
                    .with_fix(Applicability::MachineApplicable, whole, ""),
            );
        } else if let ("secret", Kind::Text(secret)) = (name, &value.kind)
            && takes != Takes::Any
        {
            diagnostics.push(leak(secret, value.span, "what is written, planned and kept"));
            return;
        } else if !takes.varies() {
            diagnostics.push(
                Diagnostic::new(Code::P0108, note.span, format!("expected {}, found `({name})`", takes.words()))
                    .with_help("write it literally: this place is read before there are values"),
            );
            return;
        } else if name != "var" && takes != Takes::Any {
            diagnostics.push(
                Diagnostic::new(Code::P0108, note.span, format!("expected {}, found `({name})`", takes.words()))
                    .with_help("write it literally, or as `(var)NAME`"),
            );
            return;
        }
    }
    let referenced = value.note.as_ref().is_some_and(|note| matches!(note.value.as_str(), "var" | "ref" | "secret"));
    let fits = match (&value.kind, takes) {
        (Kind::Text(_), Takes::Int | Takes::Number | Takes::Bool) => referenced,
        (Kind::Text(_), _) => true,
        (Kind::Int(_), Takes::Int | Takes::Number | Takes::Any | Takes::Bound) => !referenced,
        (Kind::Bool(_), Takes::Bool | Takes::Any) => !referenced,
        _ => false,
    };
    if !fits {
        let found = match &value.kind {
            Kind::Text(_) => "a string",
            Kind::Int(_) => "an integer",
            Kind::Decimal(_) => "a number with a point",
            Kind::Bool(_) => "a truth value",
            Kind::Null => "`#null`",
        };
        let mut diagnostic =
            Diagnostic::new(Code::P0108, value.span, format!("expected {}, found {found}", takes.words()));
        diagnostic = match (&value.kind, takes) {
            (Kind::Text(text), Takes::Int | Takes::Number) if text.parse::<i128>().is_ok() => diagnostic
                .with_help("write the number without quotes")
                .with_fix(Applicability::MachineApplicable, value.span, text.trim_start_matches('+')),
            (Kind::Text(text), Takes::Int) if !text.is_empty() => {
                diagnostic.with_help(format!("write a number, or `(var){text}` if that is a variable"))
            }
            (Kind::Text(_), Takes::Int | Takes::Number) => diagnostic.with_help("write a number, without quotes"),
            (Kind::Text(text), Takes::Bool) if matches!(text.as_str(), "true" | "false") => diagnostic
                .with_help(format!("write `#{text}`"))
                .with_fix(Applicability::MachineApplicable, value.span, format!("#{text}")),
            (Kind::Text(_), Takes::Bool) => diagnostic.with_help("write `#true` or `#false`"),
            (Kind::Int(_) | Kind::Decimal(_), Takes::Text | Takes::Name | Takes::Named | Takes::Any | Takes::Bound)
                if value.note.is_none() =>
            {
                diagnostic
                    .with_help("put it in quotes: numbers are not turned into text by themselves")
                    .with_quotes(Applicability::MachineApplicable, value.span)
            }
            (Kind::Bool(_), Takes::Text | Takes::Name | Takes::Named) => {
                diagnostic.with_help("put it in quotes if it is text")
            }
            (Kind::Null, _) => diagnostic.with_help("there is no value that stands for none: leave it out"),
            _ => diagnostic,
        };
        diagnostics.push(diagnostic);
    }
}

/// The removal of a property that says what an earlier one said.
fn said_twice(props: &[Property], again: &Property) -> Vec<Fix> {
    let note = |property: &Property| property.value.note.as_ref().map(|note| note.value.clone());
    let first = props.iter().find(|other| other.name.value == again.name.value);
    let same = first.is_some_and(|first| first.value.kind == again.value.kind && note(first) == note(again));
    let edits = vec![Edit { span: again.name.span.to(again.value.span), text: String::new() }];
    if same { vec![Fix { applicability: Applicability::MachineApplicable, edits }] } else { Vec::new() }
}

fn unknown_node(node: &Node, accepts: &[Child], parent: &str, all: &'static [Child]) -> Diagnostic {
    let name = node.name.value.as_str();
    let known: Vec<&str> = accepts.iter().map(|child| child.shape.name).collect();
    let mut homes = Vec::new();
    homes_of(name, all, "a file", &mut homes);
    if !homes.is_empty() {
        // The two ways to start a tool are the likeliest to be confused.
        let help = match name {
            "run" if known.contains(&"arg") => "a step says `tool=NAME` beside its own name, and `arg …` in its block",
            "arg" if known.contains(&"run") => "a node says `run TOOL ARG…`",
            "group" if parent == "`tenant`" => {
                "move it to the top of the file, where its people have keys: `group NAME { member PERSON key=\"…\" }`"
            }
            "tool" => {
                "a node says `run TOOL ARG…`, and `tools TOOL` for what that starts; a tool is declared at the top of a file"
            }
            "timeout" | "retry" if parent == "`graph`" => "for all its nodes it stands in `defaults { … }`",
            "export" => "a package says what it exports: `package NAME version=… { export … }`",
            "for-each" | "when" | "unless" | "after" | "guard" | "holds" if parent == "`use`" => {
                "say it in the nodes of the template, which may be given a list: `with NAME=(var)LIST`"
            }
            _ if parent == "a file" => "write it in the block of one",
            _ if homes == ["a file"] => "move it to the top of the file, out of every block",
            _ => "move it",
        };
        return Diagnostic::new(
            Code::P0107,
            node.name.span,
            format!("`{name}` belongs in {}, not in {parent}", homes.join(" or ")),
        )
        .with_help(help);
    }
    let unknown = Diagnostic::new(Code::P0101, node.name.span, format!("unknown node `{name}` in {parent}"));
    if let Some(help) = foreign::node(name, parent) {
        return unknown.with_help(help);
    }
    unknown
        .with_suggestion(did_you_mean(name, accepts.iter().map(|child| child.shape.name)))
        .with_help(format!("{parent} accepts: {}", known.join(", ")))
}

/// Where a node of this name may stand.
fn homes_of(name: &str, accepts: &'static [Child], parent: &str, homes: &mut Vec<String>) {
    if accepts.iter().any(|child| child.shape.name == name) && !homes.iter().any(|home| home == parent) {
        homes.push(parent.to_owned());
    }
    for child in accepts {
        homes_of(name, child.shape.children, &format!("`{}`", child.shape.name), homes);
    }
}

/// Whether a child of this name may stand in a node of that name, anywhere in the table.
pub(crate) fn may_stand(parent: &str, child: &str, all: &'static [Child]) -> bool {
    all.iter().any(|entry| {
        let children = entry.shape.children;
        let here = entry.shape.name == parent && children.iter().any(|other| other.shape.name == child);
        here || may_stand(parent, child, children)
    })
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
