//! The first walk over a file: symbols and scopes, and the sites that name something. Everything is
//! read off the table of shapes. Leaves out what the sites name: see `resolve`.

use std::collections::BTreeSet;

use crate::diag::{Diagnostics, Span};
use crate::lang::index::model::{Callee, Scope, ScopeId, Site, Symbol, SymbolId, Want};
use crate::lang::index::roles::{Role, arg_role, is_result, namespace, prop_role, shape_in};
use crate::lang::shape::{Child, Shape};
use crate::lang::shapes::TOP;
use crate::lang::text::Text;
use crate::lang::{FileId, Kind, Node, Value};

/// What is found in all files.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) symbols: Vec<Symbol>,
    pub(super) scopes: Vec<Scope>,
    pub(super) sites: Vec<Site>,
}

/// What is found in one file besides.
#[derive(Default)]
pub(super) struct OfFile {
    pub(super) root: ScopeId,
    pub(super) scopes: Vec<(Span, ScopeId, Option<SymbolId>)>,
    pub(super) paths: Vec<(Span, String, bool)>,
}

/// Collects a file.
pub(super) fn collect(file: usize, tree: &[Node], into: &mut Collected) -> OfFile {
    let root = into.scopes.len();
    into.scopes.push(Scope { file, ..Scope::default() });
    let mut collector =
        Collector { file, into, out: OfFile { root, ..OfFile::default() }, results: BTreeSet::new(), top: None };
    for node in tree {
        collector.top = None;
        collector.results = node
            .children
            .iter()
            .flatten()
            .filter(|child| child.name.value == "returns")
            .filter_map(|child| text_of(child.args.first()?).map(str::to_owned))
            .collect();
        collector.node(node, TOP, root, None, &[]);
    }
    collector.out
}

struct Collector<'a> {
    file: usize,
    into: &'a mut Collected,
    out: OfFile,
    /// What the declaration being read returns: an output of that name is the same thing.
    results: BTreeSet<String>,
    /// The declaration being read.
    top: Option<SymbolId>,
}

impl Collector<'_> {
    fn node(
        &mut self,
        node: &Node,
        accepts: &'static [Child],
        scope: ScopeId,
        owner: Option<SymbolId>,
        around: &[Callee],
    ) {
        let Some(shape) = shape_in(accepts, &node.name.value) else { return };
        let symbol = self.define(node, shape, scope, owner);
        if let ("for-each", Some(value)) = (shape.name, node.args.get(1)) {
            self.symbol(node, shape.name, value, scope, owner);
        }
        let callees = callees(node, shape);
        if let Some(symbol) = symbol {
            self.into.symbols[symbol].callees.clone_from(&callees);
        }
        let applied = if shape.name == "with" { around } else { &callees };
        self.uses(node, shape, scope, symbol.or(owner), applied);
        if let Some(children) = &node.children {
            let inner = self.into.scopes.len();
            self.into.scopes.push(Scope { parent: Some(scope), file: self.file, ..Scope::default() });
            self.out.scopes.push((node.span, inner, symbol.or(owner)));
            if let Some(symbol) = symbol {
                self.into.symbols[symbol].inner = Some(inner);
            }
            let given = if shape.name == "with" { applied } else { &[] };
            let own = |child: &Node| shape_in(shape.children, &child.name.value).is_some();
            for child in children {
                if shape.open_children && !own(child) {
                    self.entry(child, inner, symbol.or(owner), given);
                } else {
                    self.node(child, shape.children, inner, symbol.or(owner), &callees);
                }
            }
        }
    }

    /// The sites of values in a block: what they name, and of an argument its parameter. Their depth is that of
    /// blocks, which the guard bounds.
    fn entry(&mut self, node: &Node, scope: ScopeId, owner: Option<SymbolId>, applied: &[Callee]) {
        if !applied.is_empty() {
            let (span, text) = (node.name.span, node.name.value.clone());
            let exact = span.end - span.start == text.len() as u32;
            let want = Want::Parameter(applied.to_vec());
            self.into.sites.push(Site { file: self.file, scope, owner, want, text, span, exact });
        }
        for value in &node.args {
            self.value(value, Role::Plain, scope, owner, node);
        }
        for child in node.children.iter().flatten() {
            self.entry(child, scope, owner, &[]);
        }
    }

    /// The symbol that a node declares.
    fn define(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        scope: ScopeId,
        owner: Option<SymbolId>,
    ) -> Option<SymbolId> {
        let (kind, value) = match arg_role(shape, 0) {
            Role::Define(kind) => (kind, node.args.first()?),
            _ => {
                let alias = node.props.iter().find(|prop| prop.name.value == "as")?;
                let Role::Define(kind) = prop_role(shape, "as") else { return None };
                (kind, &alias.value)
            }
        };
        self.symbol(node, kind, value, scope, owner)
    }

    fn symbol(
        &mut self,
        node: &Node,
        kind: &'static str,
        value: &Value,
        scope: ScopeId,
        owner: Option<SymbolId>,
    ) -> Option<SymbolId> {
        let name = text_of(value).filter(|name| !name.is_empty() && !name.contains("{{"))?.to_owned();
        let (span, exact) = inside(value, &name);
        if is_result(kind) && kind != "returns" && self.results.contains(&name) {
            let want = Want::Result(self.top?);
            self.into.sites.push(Site { file: self.file, scope, owner, want, text: name, span, exact });
            return None;
        }
        let entries = node.args.iter().map(|value| value.span).chain(node.props.iter().map(|prop| prop.value.span));
        let head_end = entries.map(|span| span.end).max().unwrap_or(node.name.span.end);
        let symbol = Symbol {
            kind,
            span,
            quoted: value.span,
            whole: node.span,
            head_end,
            container: owner,
            ty: node.props.iter().find(|prop| prop.name.value == "type").and_then(|prop| shown(&prop.value)),
            value: value_of(node),
            words: child_words(node, "one-of"),
            doc: node.doc.clone().or_else(|| {
                let doc = node.props.iter().find(|prop| prop.name.value == "doc")?;
                text_of(&doc.value).map(str::to_owned)
            }),
            exact,
            file: FileId(self.file),
            scope,
            inner: None,
            callees: Vec::new(),
            members: Vec::new(),
            name,
        };
        let id = self.into.symbols.len();
        self.into.scopes[scope].names.entry((namespace(kind), symbol.name.clone())).or_insert(id);
        self.into.symbols.push(symbol);
        match owner {
            Some(owner) => self.into.symbols[owner].members.push(id),
            None => self.top = Some(id),
        }
        Some(id)
    }

    /// The sites of a node's entries.
    fn uses(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        scope: ScopeId,
        owner: Option<SymbolId>,
        applied: &[Callee],
    ) {
        for (index, value) in node.args.iter().enumerate() {
            self.value(value, arg_role(shape, index), scope, owner, node);
        }
        for prop in &node.props {
            let name = prop.name.value.as_str();
            let known = shape.props.iter().any(|known| known.name == name);
            if !known && shape.open_props.is_some() && !applied.is_empty() {
                let want = Want::Parameter(applied.to_vec());
                let span = prop.name.span;
                let exact = span.end - span.start == name.len() as u32;
                self.into.sites.push(Site { file: self.file, scope, owner, want, text: name.to_owned(), span, exact });
            }
            self.value(&prop.value, prop_role(shape, name), scope, owner, node);
        }
    }

    fn value(&mut self, value: &Value, role: Role, scope: ScopeId, owner: Option<SymbolId>, node: &Node) {
        let Some(text) = text_of(value) else { return };
        let (span, exact) = inside(value, text);
        let file = self.file;
        let site = |want| Site { file, scope, owner, want, text: text.to_owned(), span, exact };
        let note = value.note.as_ref().map(|note| note.value.as_str());
        if note != Some("var") && text.contains("{{") {
            let mut ignored = Diagnostics::default();
            for (path, _, span) in Text::parse(value, &mut ignored).holes() {
                let text = path.join(".");
                let exact = value.verbatim && (span.end - span.start) as usize == text.len();
                self.into.sites.push(Site { file, scope, owner, want: Want::Variable, text, span, exact });
            }
        }
        match (note, role) {
            (Some("var"), _) => self.into.sites.push(site(Want::Variable)),
            (Some("ref"), _) => self.into.sites.push(site(Want::Reference)),
            (Some("secret"), _) => self.into.sites.push(site(Want::Named(vec!["secret"]))),
            (Some(_), _) => {}
            (None, Role::Refer(kinds)) => self.into.sites.push(site(Want::Named(kinds))),
            (None, Role::Variable) => self.into.sites.push(site(Want::Variable)),
            (None, Role::Address) => self.into.sites.push(site(Want::Address)),
            (None, Role::Type) => self.into.sites.push(site(Want::Type)),
            (None, Role::Output) => {
                if let Some(address) = node.args.first().and_then(text_of) {
                    self.into.sites.push(site(Want::Output(address.to_owned())));
                }
            }
            (None, role @ (Role::Import | Role::File)) => {
                if !text.contains("{{") {
                    self.out.paths.push((span, text.to_owned(), role == Role::Import));
                }
            }
            (None, Role::Define(_) | Role::Op | Role::Plain) => {}
        }
    }
}

/// What a node names that may be given arguments or may hold nodes.
pub(super) fn callees(node: &Node, shape: &'static Shape) -> Vec<Callee> {
    let mut found = Vec::new();
    let mut add = |value: &Value, role: Role| {
        if let (Role::Refer(kinds), Some(name), None) = (role, text_of(value), &value.note) {
            found.push(Callee { kinds, name: name.to_owned(), span: value.span });
        }
    };
    if let Some(first) = node.args.first() {
        add(first, arg_role(shape, 0));
    }
    for prop in &node.props {
        add(&prop.value, prop_role(shape, &prop.name.value));
    }
    found
}

/// The text of a value.
pub(super) fn text_of(value: &Value) -> Option<&str> {
    match &value.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

/// The place of a value's text, without its quotes, and whether the text stands there as it is.
pub(super) fn inside(value: &Value, text: &str) -> (Span, bool) {
    if value.verbatim {
        let start = value.text_start as usize;
        (Span::new(value.span.source, start, start + text.len()), true)
    } else {
        (value.span, false)
    }
}

/// A value as it would be written.
fn shown(value: &Value) -> Option<String> {
    let text = match &value.kind {
        Kind::Text(text) => text.clone(),
        Kind::Int(int) => int.to_string(),
        Kind::Decimal(text) => text.clone(),
        Kind::Bool(truth) => format!("#{truth}"),
        Kind::Null => return None,
    };
    Some(match &value.note {
        Some(note) => format!("({}){text}", note.value),
        None => text,
    })
}

/// The value of a constant or the default of a parameter: in the line or in the block.
fn value_of(node: &Node) -> Option<String> {
    let all = |values: &[Value]| values.iter().filter_map(shown).collect::<Vec<_>>();
    let mut values = match node.name.value.as_str() {
        "let" => all(node.args.get(1..).unwrap_or_default()),
        _ => node
            .props
            .iter()
            .find(|prop| prop.name.value == "default")
            .and_then(|p| shown(&p.value))
            .into_iter()
            .collect(),
    };
    let inner = if matches!(node.name.value.as_str(), "let" | "for-each") { "-" } else { "default" };
    for child in node.children.iter().flatten().filter(|child| child.name.value == inner) {
        values.extend(all(&child.args));
        // A list in a list, by its elements.
        let elements = child.children.iter().flatten().filter(|child| child.name.value == "-");
        let held: Vec<String> = elements.flat_map(|element| all(&element.args)).collect();
        match (inner, held.is_empty()) {
            (_, true) => {}
            ("-", false) => values.push(format!("{{ {} }}", held.join(" "))),
            (_, false) => values.extend(held),
        }
    }
    (!values.is_empty()).then(|| values.join(" "))
}

fn child_words(node: &Node, name: &str) -> Vec<String> {
    let children = node.children.iter().flatten().filter(|child| child.name.value == name);
    children.flat_map(|child| &child.args).filter_map(text_of).map(str::to_owned).collect()
}
