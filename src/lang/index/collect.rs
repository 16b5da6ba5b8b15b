//! The first walk over a file: symbols and scopes, and the sites that name something. Everything is
//! read off the table of shapes. Leaves out what the sites name: see `resolve`.

use std::collections::BTreeSet;

use crate::diag::{Diagnostics, Span};
use crate::lang::index::model::{Base, Callee, Gift, Given, Scope, ScopeId, Site, Symbol, SymbolId, Taken, Want};
use crate::lang::index::roles::{CONSTRAINTS, Role, arg_role, is_result, namespace, prop_role, shape_in};
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
    pub(super) gifts: Vec<Gift>,
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
    let mut collector = Collector {
        file,
        into,
        out: OfFile { root, ..OfFile::default() },
        results: BTreeSet::new(),
        top: None,
        around: Vec::new(),
        graph: Vec::new(),
        ty: None,
        taken: None,
    };
    for node in tree {
        collector.top = None;
        let given = node.children.iter().flatten().find(|child| child.name.value == "given");
        let graph = given.filter(|_| node.name.value == "test").and_then(|given| given.args.first());
        collector.graph =
            graph.and_then(|graph| Some(callee(vec!["graph"], text_of(graph)?, graph.span))).into_iter().collect();
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
    /// The blocks around, outermost first, each with what it names.
    around: Vec<(&'static str, Vec<Callee>)>,
    /// The graph of the test being read.
    graph: Vec<Callee>,
    /// The type of what the block being read is of.
    ty: Option<String>,
    /// What is taken where the value being read is a place for it.
    taken: Option<Taken>,
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
        if let (Some(owner), "run" | "step", Some(tool)) = (symbol.or(owner), shape.name, starts(node)) {
            self.into.symbols[owner].starts.push(tool.to_owned());
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
            let own = |child: &Node| shape_in(shape.children, &child.name.value).is_some();
            let base = match shape.name {
                "with" | "given" => Some(Base::Parameters(applied.to_vec())),
                "expect" => Some(Base::Parameters(self.graph.clone())),
                "default" => self.ty.clone().map(Base::Type),
                "let" => type_of(node).map(|ty| Base::Type(ty.to_owned())),
                _ => None,
            };
            let given = base.map(|base| Given { base, path: Vec::new() });
            let outer = std::mem::replace(&mut self.ty, type_of(node).map(str::to_owned));
            self.around.push((shape.name, callees.clone()));
            for child in children {
                if shape.open_children && (!own(child) || child.name.value == "-") {
                    self.entry(child, inner, symbol.or(owner), given.as_ref());
                } else {
                    self.node(child, shape.children, inner, symbol.or(owner), &callees);
                }
            }
            self.around.pop();
            self.ty = outer;
        }
    }

    fn push(&mut self, scope: ScopeId, owner: Option<SymbolId>, want: Want, text: &str, (span, exact): (Span, bool)) {
        let file = self.file;
        self.into.sites.push(Site { file, scope, owner, want, text: text.to_owned(), span, exact });
    }

    /// Whether a block of this name is around.
    fn is_in(&self, name: &str) -> bool {
        self.around.iter().any(|(around, _)| *around == name)
    }

    /// The sites of values in a block: the names of what they are, and what they name. Their depth is that of
    /// blocks, which the guard bounds.
    fn entry(&mut self, node: &Node, scope: ScopeId, owner: Option<SymbolId>, given: Option<&Given>) {
        let name = node.name.value.as_str();
        let here = given.map(|given| given.step(name));
        if let Some(here) = here.as_ref().filter(|_| name != "-") {
            let span = node.name.span;
            let exact = (span.end - span.start) as usize == name.len();
            let want = match &here.base {
                Base::Parameters(callees) if here.path.len() == 1 => Want::Parameter(callees.clone()),
                _ => Want::Member(here.clone()),
            };
            self.push(scope, owner, want, name, (span, exact));
        }
        let element = here.as_ref().map(|here| if name == "-" { here.clone() } else { here.step("-") });
        for value in &node.args {
            self.value(value, Role::Plain, scope, owner, node);
            self.given(value, element.as_ref(), scope, owner);
        }
        for child in node.children.iter().flatten() {
            self.entry(child, scope, owner, here.as_ref());
        }
    }

    /// The site of a name that is given to something of a type.
    fn given(&mut self, value: &Value, given: Option<&Given>, scope: ScopeId, owner: Option<SymbolId>) {
        if let (Some(given), Some(text), None) = (given, text_of(value), &value.note) {
            self.push(scope, owner, Want::Value(given.clone()), text, inside(value, text));
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
        if let ("output", Some((around, callees)), Some(name)) = (shape.name, self.around.last(), text_of(value)) {
            let want = match *around {
                "provides" => Want::Served(callees.clone()),
                "mock" => match callees.first() {
                    Some(mocked) => {
                        Want::Mocked(self.graph.clone(), mocked.name.clone(), callees.get(1).map(|at| at.name.clone()))
                    }
                    None => return None,
                },
                _ => return self.symbol(node, kind, value, scope, owner),
            };
            self.push(scope, owner, want, name, inside(value, name));
            return None;
        }
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
            constraints: constraints(node),
            over: over(node, value.span),
            starts: Vec::new(),
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
        let prop = |name: &str| node.props.iter().find(|prop| prop.name.value == name).map(|prop| &prop.value);
        for (index, value) in node.args.iter().enumerate() {
            self.taken = match (shape.name, index) {
                ("input", 0) => prop("from").and_then(taken),
                _ => None,
            };
            let role = match (arg_role(shape, index), node.args.first().and_then(text_of), index) {
                (Role::Variable, ..) if self.is_in("require") => Role::Metric,
                (_, Some("nodes"), 1) if shape.name == "expect" => Role::Tested(false),
                (_, Some("type" | "output"), 1) if shape.name == "expect" => Role::Tested(true),
                (_, Some("tool"), 1) if shape.name == "mock" => Role::Refer(vec!["tool"]),
                (_, Some("agent"), 1) if shape.name == "mock" => Role::Refer(vec!["agent"]),
                (role, ..) => role,
            };
            self.value(value, role, scope, owner, node);
            if shape.name == "default" || shape.name == "let" && index > 0 {
                let ty = if shape.name == "let" { type_of(node) } else { self.ty.as_deref() };
                let given = ty.map(|ty| Given { base: Base::Type(ty.to_owned()), path: Vec::new() });
                let list = ty.is_some_and(|ty| ty.starts_with("list<"));
                let given = given.map(|given| if list { given.step("-") } else { given });
                self.given(value, given.as_ref(), scope, owner);
            }
        }
        self.taken = None;
        for prop in &node.props {
            let name = prop.name.value.as_str();
            let known = shape.props.iter().any(|known| known.name == name);
            let role = match (shape.name, name) {
                ("expect", "from" | "to") | ("mock", "at") => Role::Tested(false),
                _ => prop_role(shape, name),
            };
            if !known && shape.open_props.is_some() && !applied.is_empty() {
                let span = prop.name.span;
                let exact = (span.end - span.start) as usize == name.len();
                self.push(scope, owner, Want::Parameter(applied.to_vec()), name, (span, exact));
                let given = Given { base: Base::Parameters(applied.to_vec()), path: vec![name.to_owned()] };
                self.given(&prop.value, Some(&given), scope, owner);
                if let Some(taken) = taken(&prop.value) {
                    let callees = applied.to_vec();
                    self.into.gifts.push(Gift { scope, owner, callees, name: name.to_owned(), taken });
                }
            }
            if let ("default", Some(ty)) = (name, type_of(node)) {
                let given = Given { base: Base::Type(ty.to_owned()), path: Vec::new() };
                self.given(&prop.value, Some(&given), scope, owner);
            }
            if let ("for-each", "key", Some((list, _)), Some(text)) =
                (shape.name, name, over(node, prop.name.span), text_of(&prop.value))
            {
                self.push(scope, owner, Want::Element(list), text, inside(&prop.value, text));
            }
            self.taken = match (shape.name, name) {
                ("include", "to") => node.args.first().and_then(text_of).map(|nodes| Taken::Nodes(nodes.to_owned())),
                _ => None,
            };
            self.value(&prop.value, role, scope, owner, node);
        }
        self.taken = None;
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
                // Where escapes or indentation stand before it, the place is known all the same.
                let exact = (span.end - span.start) as usize == text.len();
                let offered = self.around.iter().rev().find(|(around, _)| *around == "provides");
                let want = match (&self.taken, path, offered) {
                    (Some(taken), [head, _], _) if head == "node" => Want::Key(taken.clone()),
                    (_, _, Some((_, callees))) => Want::Offered(callees.clone()),
                    _ => Want::Variable,
                };
                self.into.sites.push(Site { file, scope, owner, want, text, span, exact });
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
            (None, Role::Metric) => self.into.sites.push(site(Want::Metric)),
            (None, Role::Tested(output)) => {
                let want = Want::Tested(self.graph.clone(), output);
                self.into.sites.push(site(want));
            }
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
    if shape.name == "mock" {
        // What stands in for what, and where.
        let at = node.props.iter().find(|prop| prop.name.value == "at").map(|prop| &prop.value);
        let named = node.args.get(1).into_iter().chain(at);
        return named.filter_map(|value| Some(callee(Vec::new(), text_of(value)?, value.span))).collect();
    }
    if let Some(first) = node.args.first() {
        add(first, arg_role(shape, 0));
    }
    for prop in &node.props {
        add(&prop.value, prop_role(shape, &prop.name.value));
    }
    found
}

fn callee(kinds: Vec<&'static str>, name: &str, span: Span) -> Callee {
    Callee { kinds, name: name.to_owned(), span }
}

/// The tool that a node of the language starts.
fn starts(node: &Node) -> Option<&str> {
    let tool = node.props.iter().find(|prop| prop.name.value == "tool").map(|prop| &prop.value);
    let first = node.args.first().filter(|_| node.name.value == "run");
    first.or(tool).filter(|value| value.note.is_none()).and_then(text_of)
}

/// The type that a node says something is of.
fn type_of(node: &Node) -> Option<&str> {
    node.props.iter().find(|prop| prop.name.value == "type").and_then(|prop| text_of(&prop.value))
}

/// What a value takes, if it is a reference or a variable.
pub(super) fn taken(value: &Value) -> Option<Taken> {
    let text = text_of(value)?.to_owned();
    match value.note.as_ref()?.value.as_str() {
        "ref" => Some(Taken::Reference(text)),
        "var" => Some(Taken::Variable(text)),
        _ => None,
    }
}

/// What a loop goes over, and whether the name at a place is that of an entry's value.
fn over(node: &Node, at: Span) -> Option<(String, bool)> {
    let list = node.props.iter().find(|prop| node.name.value == "for-each" && prop.name.value == "in")?;
    let value = node.args.get(1).is_some_and(|value| value.span == at);
    text_of(&list.value).map(|list| (list.to_owned(), value))
}

/// What a declaration says of its values.
fn constraints(node: &Node) -> Vec<(&'static str, String)> {
    let said = |word: &&'static str| {
        let prop = node.props.iter().find(|prop| prop.name.value == *word)?;
        Some((*word, shown(&prop.value)?))
    };
    CONSTRAINTS.iter().filter_map(said).collect()
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
    let there = |child: &&Node| inner == "default" && child.name.value == inner;
    match (values.is_empty(), node.children.iter().flatten().find(there)) {
        (false, _) => Some(values.join(" ")),
        (true, Some(block)) if block.children.as_ref().is_none_or(Vec::is_empty) => Some("{}".to_owned()),
        (true, Some(_)) => Some("{ … }".to_owned()),
        (true, None) => None,
    }
}

fn child_words(node: &Node, name: &str) -> Vec<String> {
    let children = node.children.iter().flatten().filter(|child| child.name.value == name);
    children.flat_map(|child| &child.args).filter_map(shown).collect()
}
