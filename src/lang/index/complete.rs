//! What could stand at a place: nodes and properties of the table of shapes, words of closed sets,
//! and names of the kind that the place is for, as far as they can be seen there. Leaves out how far
//! what is typed already fits: editors filter.

use crate::diag::Span;
use crate::lang::ast::Op;
use crate::lang::index::collect::callees;
use crate::lang::index::context::{At, Context, context};
use crate::lang::index::model::{Callee, ScopeId};
use crate::lang::index::roles::{Role, arg_choices, arg_role, choices, namespace, prop_role, shape_in};
use crate::lang::index::{Index, Symbol, SymbolId};
use crate::lang::shape::{Child, Prop, Shape, Takes};
use crate::lang::shapes::TOP;
use crate::lang::stdlib;
use crate::lang::text::FILTERS;
use crate::lang::ty::Ty;
use crate::lang::{FileId, Node};

/// Completions offered at one place; more would help nobody.
const OFFERED: usize = 2_000;

/// What a completion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionKind {
    /// A node of the language.
    Node,
    /// A property.
    Property,
    /// A word of a closed set.
    Word,
    /// A type.
    Type,
    /// A file.
    File,
    /// A name that is declared, by the kind of its declaration.
    Symbol(&'static str),
}

/// One thing that could stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What is shown, and compared with what is typed.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// One line about it.
    pub detail: String,
    /// More about it, in Markdown.
    pub doc: Option<String>,
    /// The text that is written.
    pub insert: String,
    /// The same with places to fill in, if there are any: `${1:NAME}`.
    pub snippet: Option<String>,
}

/// What could stand at a place, the likeliest first.
#[derive(Clone, Debug)]
pub struct Completions {
    /// What is replaced.
    pub replace: Span,
    /// The candidates.
    pub items: Vec<Completion>,
}

pub(super) fn plain(label: impl Into<String>, kind: CompletionKind, detail: impl Into<String>) -> Completion {
    let label = label.into();
    Completion { insert: label.clone(), label, kind, detail: detail.into(), doc: None, snippet: None }
}

/// What may be done with a value in a hole.
pub(super) fn filters() -> Vec<Completion> {
    FILTERS.iter().map(|filter| plain(*filter, CompletionKind::Word, "filter")).collect()
}

impl Index {
    /// What could stand at a place. `specs` lists the spec files of the workspace by their
    /// paths, if it is asked to.
    pub fn completions_at(&self, file: FileId, offset: usize, specs: &dyn Fn() -> Vec<String>) -> Completions {
        let text = self.text(file);
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let context = context(text, offset);
        let replace = Span::new(self.source(file), context.replace.start, context.replace.end);
        let (scope, owner) = self.scope_at(file, offset);
        let path = self.path_to(file, offset);
        let place = Place { index: self, file, offset, scope, owner, context: &context, path, specs };
        let mut items = place.items();
        items.truncate(OFFERED);
        Completions { replace, items }
    }

    /// Names that can be seen in a scope, nearest first, each with the prefix it is written with.
    fn visible(&self, scope: ScopeId, fits: &dyn Fn(&Symbol) -> bool) -> Vec<(String, SymbolId)> {
        let mut found: Vec<(String, SymbolId)> = Vec::new();
        let mut add = |scope: ScopeId, alias: Option<&str>| {
            for ((_, name), id) in &self.scopes[scope].names {
                let written = alias.map_or_else(|| name.clone(), |alias| format!("{alias}.{name}"));
                if fits(&self.symbols[*id])
                    && found.len() < OFFERED
                    && !found.iter().take(64).any(|(known, _)| *known == written)
                {
                    found.push((written, *id));
                }
            }
        };
        let mut at = Some(scope);
        while let Some(scope) = at {
            add(scope, None);
            at = self.scopes[scope].parent;
        }
        let file = self.file_of(scope);
        let mut exported: Vec<(String, SymbolId)> = Vec::new();
        for (alias, target) in &file.aliases {
            let Some(target) = self.files.get(target.0) else { continue };
            match target.package.filter(|package| file.package != Some(*package)) {
                Some(package) => {
                    for (name, (at, own)) in self.exports.get(package).into_iter().flatten() {
                        let Some(root) = self.files.get(*at).map(|file| file.root) else { continue };
                        let names = &self.scopes[root].names;
                        let ids = names.iter().filter(|((_, known), id)| known == own && fits(&self.symbols[**id]));
                        let ids: Vec<SymbolId> = ids.map(|(_, id)| *id).collect();
                        exported.extend(ids.into_iter().map(|id| (format!("{alias}.{name}"), id)));
                    }
                }
                None => add(target.root, Some(alias)),
            }
        }
        if let Some(prelude) = self.prelude.and_then(|prelude| self.files.get(prelude)) {
            add(prelude.root, None);
        }
        found.extend(exported);
        found
    }
}

/// A place with all that is known of it.
pub(super) struct Place<'a> {
    pub(super) index: &'a Index,
    pub(super) file: FileId,
    pub(super) offset: usize,
    pub(super) scope: ScopeId,
    pub(super) owner: Option<SymbolId>,
    pub(super) context: &'a Context,
    pub(super) path: Vec<&'a Node>,
    specs: &'a dyn Fn() -> Vec<String>,
}

impl Place<'_> {
    fn items(&self) -> Vec<Completion> {
        if let Some(found) = self.given() {
            return found;
        }
        let mut accepts = TOP;
        let mut around: Option<&'static Shape> = None;
        for parent in &self.context.parents {
            let Some(shape) = shape_in(accepts, parent) else { return Vec::new() };
            around = Some(shape);
            accepts = shape.children;
        }
        match &self.context.at {
            At::Nothing => Vec::new(),
            At::Name => self.nodes(accepts),
            At::Note => ["var", "ref", "secret"].map(|note| plain(note, CompletionKind::Word, "annotation")).into(),
            At::Hole => self.paths(),
            At::Filter => filters(),
            At::Entry | At::Value(_) => {
                let Some(head) = &self.context.head else { return Vec::new() };
                let Some(shape) = shape_in(accepts, &head.name) else { return Vec::new() };
                let applied = self.applied(around, shape);
                match &self.context.at {
                    At::Value(prop) => self.prop_value(shape, prop, &applied),
                    _ => self.entry(shape, &applied),
                }
            }
        }
    }

    /// Nodes that may stand here.
    fn nodes(&self, accepts: &'static [Child]) -> Vec<Completion> {
        if self.context.quoted {
            return Vec::new();
        }
        let written = &self.index.text(self.file)[self.context.replace.clone()];
        let depth = self.context.parents.len();
        let siblings: &[Node] = match depth.checked_sub(1) {
            Some(depth) => self.path.get(depth).and_then(|node| node.children.as_deref()).unwrap_or_default(),
            None => &self.index.files[self.file.0].tree,
        };
        let there = |name: &str| name != written && siblings.iter().any(|node| node.name.value == name);
        let children = accepts.iter().filter(|child| child.many || !there(child.shape.name));
        let mut found: Vec<Completion> = Vec::new();
        for Child { shape, .. } in children {
            if found.iter().any(|known| known.label == shape.name) {
                continue;
            }
            found.push(Completion {
                snippet: Some(snippet(shape, depth == 0)),
                doc: Some(shape.doc.to_owned()),
                ..plain(shape.name, CompletionKind::Node, shape.args.usage)
            });
        }
        found
    }

    /// What is given the properties of the node being written.
    fn applied(&self, around: Option<&'static Shape>, shape: &'static Shape) -> Vec<SymbolId> {
        let head = self.context.head.as_ref();
        let mut found = Vec::new();
        if shape.name == "with" {
            let parent = self.context.parents.len().checked_sub(1).and_then(|depth| self.path.get(depth));
            if let (Some(parent), Some(around)) = (parent, around) {
                found = callees(parent, around);
            }
        } else if let (Some(head), true) = (head, shape.open_props.is_some()) {
            let mut add = |role: Role, name: &String| {
                if let Role::Refer(kinds) = role {
                    let span = Span::new(self.index.source(self.file), 0, 0);
                    found.push(Callee { kinds, name: name.clone(), span });
                }
            };
            head.args.first().into_iter().for_each(|name| add(arg_role(shape, 0), name));
            head.props.iter().for_each(|(prop, name)| add(prop_role(shape, prop), name));
        }
        let found = found.iter().filter_map(|callee| self.index.callee(self.scope, callee));
        found.flat_map(|symbol| self.index.parameters(symbol)).collect()
    }

    /// An argument or the name of a property.
    fn entry(&self, shape: &'static Shape, parameters: &[SymbolId]) -> Vec<Completion> {
        let head = self.context.head.as_ref();
        let count = head.map_or(0, |head| head.args.len());
        let given = |name: &str| head.is_some_and(|head| head.props.iter().any(|(prop, _)| prop == name));
        let mut found = Vec::new();
        if count < shape.args.max {
            let takes = if count == 0 { shape.args.first } else { shape.args.rest };
            let role = arg_role(shape, count);
            // In a gate, a path stands where a variable does in a condition.
            let in_gate = self.context.parents.iter().any(|parent| parent == "require");
            let role = if in_gate && role == Role::Variable { Role::Metric } else { role };
            if let Some(found) = self.tested(shape).filter(|_| self.context.note.is_none()) {
                return found;
            }
            let words = if matches!(role, Role::Plain) { arg_choices(shape) } else { Vec::new() };
            found.extend(words.into_iter().map(|word| plain(word, CompletionKind::Word, shape.name)));
            found.extend(self.values(&role, takes, None));
        }
        if self.context.note.is_some() || self.context.quoted {
            return found;
        }
        for parameter in parameters {
            let symbol = &self.index.symbols[*parameter];
            if !given(&symbol.name) {
                let ty = symbol.ty.clone().unwrap_or_default();
                let detail = match &symbol.value {
                    Some(value) => format!("{ty} = {value}"),
                    None => format!("{ty}, required"),
                };
                found.push(property(&symbol.name, detail, symbol.doc.clone()));
            }
        }
        let open = |prop: &&Prop| !given(prop.name);
        let (needed, others): (Vec<&Prop>, Vec<&Prop>) =
            shape.props.iter().filter(open).partition(|prop| prop.required);
        found.extend(needed.into_iter().chain(others).map(|prop| property(prop.name, prop.doc.to_owned(), None)));
        found
    }

    fn prop_value(&self, shape: &'static Shape, name: &str, parameters: &[SymbolId]) -> Vec<Completion> {
        if let Some(prop) = shape.props.iter().find(|prop| prop.name == name) {
            let mut found: Vec<Completion> = Vec::new();
            if self.context.note.is_none() {
                let words = choices(prop);
                found.extend(words.into_iter().map(|word| plain(word, CompletionKind::Word, prop.name)));
            }
            let role = match (shape.name, name) {
                ("expect", "from" | "to") | ("mock", "at") => Role::Tested(false),
                _ => prop_role(shape, name),
            };
            found.extend(self.values(&role, prop.takes, None));
            return found;
        }
        let Some(takes) = shape.open_props else { return Vec::new() };
        let parameter = parameters.iter().map(|id| &self.index.symbols[*id]).find(|symbol| symbol.name == name);
        self.values(&Role::Plain, takes, parameter)
    }

    /// Values of a place. `parameter` is what they are given to.
    pub(super) fn values(&self, role: &Role, takes: Takes, parameter: Option<&Symbol>) -> Vec<Completion> {
        match self.context.note.as_deref() {
            Some("var") => return self.paths(),
            Some("ref") => return self.references(""),
            Some("secret") => return self.named(&["secret"]),
            Some(_) => return Vec::new(),
            None => {}
        }
        match role {
            Role::Refer(kinds) => self.named(kinds),
            Role::Address => self.addresses(),
            Role::Variable => self.paths(),
            Role::Metric => self.metrics(),
            Role::Tested(false) => self.addresses_in(&self.graph(), false),
            Role::Tested(true) => self.references_in(&self.graph(), false, ""),
            Role::Output => self.outputs(),
            Role::Op => Op::ALL.iter().map(|(op, _)| plain(*op, CompletionKind::Word, "comparison")).collect(),
            Role::Type => self.types(),
            Role::Import => self.imports(),
            Role::Define(_) => Vec::new(),
            Role::File | Role::Plain => {
                let ty = parameter.and_then(|symbol| symbol.ty.as_deref()).unwrap_or_default();
                let mut found: Vec<Completion> = Vec::new();
                if let Some(symbol) = parameter {
                    found.extend(self.words_of(ty, &symbol.name, &symbol.words));
                }
                if takes == Takes::Bool {
                    found.extend(["#true", "#false"].map(|word| plain(word, CompletionKind::Word, "bool")));
                }
                if self.context.quoted {
                    return found;
                }
                let artifact = ty.starts_with("artifact");
                if takes == Takes::Any && (artifact || parameter.is_none()) {
                    found.extend(self.references("(ref)"));
                }
                if matches!(takes, Takes::Any | Takes::Int | Takes::Text) {
                    found.extend(self.variables("(var)"));
                }
                found
            }
        }
    }

    /// Values of a type: its words, and variables.
    pub(super) fn of_type(&self, ty: &str, name: &str, words: &[String]) -> Vec<Completion> {
        match self.context.note.as_deref() {
            Some("var") => return self.paths(),
            Some(_) => return Vec::new(),
            None => {}
        }
        let mut found = self.words_of(ty, name, words);
        if !self.context.quoted {
            found.extend(self.variables("(var)"));
        }
        found
    }

    /// What may be written out where a value of a type is due: words of a closed set, truth values, names.
    fn words_of(&self, ty: &str, name: &str, words: &[String]) -> Vec<Completion> {
        const NAMES: &[&str] = &["tool", "agent", "capability", "gate", "skill", "recipe"];
        let mut found: Vec<Completion> =
            words.iter().map(|word| plain(word.as_str(), CompletionKind::Word, name)).collect();
        match NAMES.iter().find(|kind| **kind == ty) {
            Some(kind) => found.extend(self.named(&[*kind])),
            None if ty == "node" => found.extend(self.addresses()),
            None if ty == "bool" => {
                found.extend(["#true", "#false"].map(|word| plain(word, CompletionKind::Word, "bool")));
            }
            None => {}
        }
        found
    }

    pub(super) fn symbol(&self, label: String, id: SymbolId) -> Completion {
        let symbol = &self.index.symbols[id];
        let detail = match (&symbol.ty, &symbol.value) {
            (Some(ty), Some(value)) => format!("{} {ty} = {value}", symbol.kind),
            (Some(ty), None) => format!("{} {ty}", symbol.kind),
            _ => symbol.kind.to_owned(),
        };
        let bare = label.trim_start_matches("(var)").trim_start_matches("(ref)");
        let quote = !self.context.quoted && bare.contains(['/', '*']);
        let insert = if quote { format!("{}\"{bare}\"", &label[..label.len() - bare.len()]) } else { label.clone() };
        Completion { doc: symbol.doc.clone(), insert, ..plain(label, CompletionKind::Symbol(symbol.kind), detail) }
    }

    pub(super) fn variables(&self, prefix: &str) -> Vec<Completion> {
        let found = self.index.visible(self.scope, &|symbol| namespace(symbol.kind) == "variable");
        found.into_iter().map(|(name, id)| self.symbol(format!("{prefix}{name}"), id)).collect()
    }

    pub(super) fn named(&self, kinds: &[&'static str]) -> Vec<Completion> {
        let mut found = self.index.visible(self.scope, &|symbol| kinds.contains(&symbol.kind));
        for ((_, name), ids) in
            self.index.inner_names.iter().filter(|((kind, _), _)| kinds.contains(kind)).take(OFFERED)
        {
            if !found.iter().any(|(known, _)| known == name) {
                found.extend(ids.first().map(|id| (name.clone(), *id)));
            }
        }
        found.into_iter().map(|(name, id)| self.symbol(name, id)).collect()
    }

    /// Nodes that can be named here, those of templates by the aliases they are used under.
    fn node_names(&self, scopes: &[ScopeId], outwards: bool) -> Vec<(String, SymbolId)> {
        let mut found = Vec::new();
        let is_node = |symbol: &Symbol| namespace(symbol.kind) == "node";
        for scope in scopes {
            let mut at = Some(*scope);
            while let Some(scope) = at {
                let names = self.index.scopes[scope].names.iter();
                for ((_, name), id) in names.filter(|(_, id)| is_node(&self.index.symbols[**id])) {
                    found.push((name.clone(), *id));
                    for inner in self.index.applied(*id).iter().filter(|_| self.index.symbols[*id].kind == "use") {
                        let Some(inner) = self.index.symbols[*inner].inner else { continue };
                        let names = self.index.scopes[inner].names.iter();
                        let nodes = names.filter(|(_, id)| is_node(&self.index.symbols[**id]));
                        found.extend(nodes.map(|((_, node), id)| (format!("{name}/{node}"), *id)));
                    }
                }
                at = self.index.scopes[scope].parent.filter(|_| outwards);
            }
        }
        found.truncate(OFFERED);
        found
    }

    fn addresses(&self) -> Vec<Completion> {
        self.addresses_in(&self.index.address_scopes(self.scope, self.owner), true)
    }

    /// Nodes that begin in some scopes, or also in what is around them.
    pub(super) fn addresses_in(&self, scopes: &[ScopeId], outwards: bool) -> Vec<Completion> {
        self.node_names(scopes, outwards).into_iter().map(|(name, id)| self.symbol(name, id)).collect()
    }

    fn references(&self, prefix: &str) -> Vec<Completion> {
        self.references_in(&self.index.address_scopes(self.scope, self.owner), true, prefix)
    }

    /// The same with their outputs.
    pub(super) fn references_in(&self, scopes: &[ScopeId], outwards: bool, prefix: &str) -> Vec<Completion> {
        let mut found: Vec<Completion> = Vec::new();
        for (node, id) in self.node_names(scopes, outwards) {
            for result in self.index.results(id) {
                let label = format!("{prefix}{node}.{}", self.index.symbols[result].name);
                if found.len() < OFFERED && !found.iter().rev().take(64).any(|known| known.label == label) {
                    found.push(self.symbol(label, result));
                }
            }
        }
        found
    }

    fn outputs(&self) -> Vec<Completion> {
        let address = self.context.head.as_ref().and_then(|head| head.args.first());
        let nodes = address.map(|address| self.index.nodes_at(self.scope, self.owner, address)).unwrap_or_default();
        let mut results: Vec<SymbolId> = nodes.into_iter().flat_map(|node| self.index.results(node)).collect();
        results.dedup();
        results.into_iter().map(|id| self.symbol(self.index.symbols[id].name.clone(), id)).collect()
    }

    fn types(&self) -> Vec<Completion> {
        let mut found: Vec<Completion> =
            Ty::names().into_iter().map(|name| plain(name, CompletionKind::Type, "type")).collect();
        found.extend(self.named(&["record"]));
        found
    }

    fn imports(&self) -> Vec<Completion> {
        let quote = |path: &str| if self.context.quoted { path.to_owned() } else { format!("\"{path}\"") };
        let item = |path: String, detail: &str| {
            let insert = quote(&path);
            Completion { insert, ..plain(path, CompletionKind::File, detail) }
        };
        let std = stdlib::FILES.iter().map(|(path, text)| {
            let about = text.lines().next().unwrap_or_default().trim_start_matches(['/', ' ']);
            item((*path).to_owned(), about)
        });
        let here = self.index.path(self.file);
        let others = (self.specs)().into_iter().filter(|spec| spec != here).take(OFFERED);
        std.chain(others.map(|spec| item(relative(here, &spec), "spec of this workspace"))).collect()
    }
}

/// A path as a file that lies elsewhere would write it.
fn relative(from: &str, to: &str) -> String {
    let folders =
        |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.split('/').map(str::to_owned).collect::<Vec<_>>());
    let (from, here) = (folders(from).unwrap_or_default(), folders(to).unwrap_or_default());
    let common = from.iter().zip(&here).take_while(|(one, other)| one == other).count();
    let up = "../".repeat(from.len() - common);
    let down: Vec<&str> = to.split('/').skip(common).collect();
    format!("{}{}", if up.is_empty() { "./" } else { &up }, down.join("/"))
}

fn property(name: &str, detail: String, doc: Option<String>) -> Completion {
    let insert = format!("{name}=");
    Completion { doc, insert, ..plain(name, CompletionKind::Property, detail) }
}

/// How a node is written, with places to fill in.
fn snippet(shape: &Shape, top: bool) -> String {
    let mut text = shape.name.to_owned();
    let mut places = 0;
    let mut place = |word: &str| {
        places += 1;
        let bare = word.trim_end_matches('…');
        match bare.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
            Some(inner) => format!("\"${{{places}:{inner}}}\""),
            None => format!("${{{places}:{bare}}}"),
        }
    };
    for word in shape.args.usage.split_whitespace().skip(1) {
        text.push(' ');
        match word.split_once('=') {
            Some((prop, value)) => text.push_str(&format!("{prop}={}", place(value))),
            None => text.push_str(&place(word)),
        }
    }
    let written = |prop: &Prop| shape.args.usage.contains(&format!("{}=", prop.name));
    for prop in shape.props.iter().filter(|prop| prop.required && !written(prop)) {
        text.push_str(&format!(" {}={}", prop.name, place(&prop.name.to_uppercase())));
    }
    if top && !shape.children.is_empty() && shape.name != "let" {
        text.push_str(" {\n    $0\n}");
    }
    text
}
