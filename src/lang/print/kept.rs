//! Declarations that an expansion still needs, as their authors wrote them but for comments, and for the
//! names that have to be others once everything stands in one file. Leaves out the graph itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::RelPath;
use crate::diag::{Diagnostics, SourceId, Span};
use crate::lang::ast::{Param, ReturnsDecl};
use crate::lang::index::{Index, SymbolId};
use crate::lang::print::out::quote;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::{Kind, Node, Property, Spanned, Value, parse};

/// In this order they are printed: what a reader of the graph asks first stands first.
const ORDER: &[DeclKind] = &[
    DeclKind::Gate,
    DeclKind::People,
    DeclKind::Tenant,
    DeclKind::Capability,
    DeclKind::Agent,
    DeclKind::Provider,
    DeclKind::Skill,
    DeclKind::Let,
    DeclKind::Record,
    DeclKind::Tool,
];

/// What is kept, and under which names.
pub(super) struct Kept<'p> {
    program: &'p Program,
    /// The file of the graph.
    home: FileId,
    /// What is named so far.
    wanted: BTreeSet<(DeclKind, DeclId)>,
    /// The names of constants and records: no plan has them, so that any will do.
    local: BTreeMap<(DeclKind, DeclId), String>,
    taken: BTreeSet<String>,
    known: Option<Known>,
}

/// What every name of the program stands for.
struct Known {
    index: Index,
    symbols: BTreeMap<(DeclKind, DeclId), SymbolId>,
    decls: BTreeMap<SymbolId, (DeclKind, DeclId)>,
}

/// Gives typed names other types.
fn retype(nodes: &mut [Node], types: &BTreeMap<&str, String>) {
    if types.is_empty() {
        return;
    }
    for node in nodes {
        let name = match node.args.first().map(|value| &value.kind) {
            Some(Kind::Text(name)) => name.as_str(),
            _ => "",
        };
        let typed = matches!(node.name.value.as_str(), "accepts" | "returns" | "param" | "var");
        if let Some(ty) = types.get(name).filter(|_| typed) {
            node.props.retain(|property| property.name.value != "schema");
            for property in node.props.iter_mut().filter(|property| property.name.value == "type") {
                property.value.kind = Kind::Text(ty.clone());
            }
        }
        retype(node.children.as_deref_mut().unwrap_or_default(), types);
    }
}

impl<'p> Kept<'p> {
    pub(super) fn new(program: &'p Program, home: FileId) -> Self {
        Self { program, home, wanted: BTreeSet::new(), local: BTreeMap::new(), taken: BTreeSet::new(), known: None }
    }

    /// The name of a declaration, which is kept from now on.
    pub(super) fn name(&mut self, kind: DeclKind, id: DeclId) -> String {
        if let DeclKind::Let | DeclKind::Record = kind {
            return self.local_name(kind, id);
        }
        let name = self.program.plan_name(self.home, kind, id);
        let bare = self.bare(kind, id).to_owned();
        // What is visible everywhere needs no saying, as long as nothing else bears its name.
        let everywhere = Some(id.file) == self.program.prelude && name == bare;
        if !everywhere {
            self.wanted.insert((kind, id));
        }
        name
    }

    /// Has the declaration that takes the name of one of the prelude's kept: without it that name would be
    /// the prelude's again.
    pub(super) fn shadowed(&mut self, kind: DeclKind, id: DeclId) {
        let bare = self.bare(kind, id).to_owned();
        if let Some(file) = self.program.bearer(self.home, kind, &bare)
            && file != id.file
            && let Some(other) = self.program.lookup(file, kind, &bare)
        {
            self.name(kind, other);
        }
    }

    fn bare(&self, kind: DeclKind, id: DeclId) -> &'p str {
        self.program.own_name(kind, id)
    }

    fn local_name(&mut self, kind: DeclKind, id: DeclId) -> String {
        if let Some(known) = self.local.get(&(kind, id)) {
            return known.clone();
        }
        self.wanted.insert((kind, id));
        let name = self.free(&self.bare(kind, id).replace('.', "-"));
        self.local.insert((kind, id), name.clone());
        name
    }

    /// The program.
    pub(super) fn program(&self) -> &'p Program {
        self.program
    }

    /// A name that no constant has yet.
    pub(super) fn free(&mut self, wish: &str) -> String {
        let mut name = wish.to_owned();
        let mut number = 1;
        while !self.taken.insert(name.clone()) {
            number += 1;
            name = format!("{wish}-{number}");
        }
        name
    }

    /// A declaration with the names it has here.
    pub(super) fn written(&mut self, kind: DeclKind, id: DeclId) -> Option<Node> {
        self.edited(kind, id, None)
    }

    /// Those children of a declaration that bear one of these names: what others name is not kept for them.
    pub(super) fn parts(&mut self, kind: DeclKind, id: DeclId, names: &[&str]) -> Option<Node> {
        self.edited(kind, id, Some(names))
    }

    fn edited(&mut self, kind: DeclKind, id: DeclId, parts: Option<&[&str]>) -> Option<Node> {
        let Known { index, symbols, decls } = self.known();
        let whole = index.symbol(*symbols.get(&(kind, id))?).whole;
        let text = index.sources().text(whole);
        let is_part = |node: &Node| parts.is_none_or(|names| names.contains(&node.name.value.as_str()));
        let tree = parse(SourceId(0), text, &mut Diagnostics::default());
        let children = || tree.iter().flat_map(|node| node.children.iter().flatten()).filter(|node| is_part(node));
        let wanted =
            |start: u32| parts.is_none() || children().any(|child| child.span.start <= start && start < child.span.end);
        let mut edits: Vec<(usize, usize, DeclKind, DeclId)> = Vec::new();
        let mut alias: Option<Span> = None;
        for occurrence in index.occurrences_within(id.file, whole) {
            if !wanted(occurrence.span.start - whole.start) {
                continue;
            }
            if index.symbol(occurrence.symbol).kind == "import" {
                alias = Some(occurrence.span);
                continue;
            }
            let known = decls.get(&occurrence.symbol).filter(|(kind, _)| ORDER.contains(kind));
            let Some((kind, other)) = known else { continue };
            let start = match alias.take() {
                Some(alias) if alias.end + 1 == occurrence.span.start || alias == occurrence.span => alias.start,
                _ => occurrence.span.start,
            };
            edits.push(((start - whole.start) as usize, (occurrence.span.end - whole.start) as usize, *kind, *other));
        }
        let text = text.to_owned();
        let mut out = String::new();
        let mut at = 0;
        for (start, end, kind, other) in edits {
            if start < at {
                continue;
            }
            let name = self.name(kind, other);
            out.push_str(&text[at..start]);
            let (before, inner) = (&text[..start], &text[start..end]);
            let in_quotes = before.ends_with('"') || matches!(kind, DeclKind::Let | DeclKind::Record);
            out.push_str(&match (inner == name, in_quotes && !inner.starts_with('"')) {
                (true, _) => name,
                (false, true) => name.replace('\\', "\\\\").replace('"', "\\\""),
                (false, false) => quote(&name),
            });
            at = end;
        }
        out.push_str(&text[at..]);
        let mut node = parse(SourceId(0), &out, &mut Diagnostics::default()).into_iter().next()?;
        if parts.is_some() {
            let children = node.children.take().unwrap_or_default();
            node.children = Some(children.into_iter().filter(|node| is_part(node)).collect());
        }
        self.settle(kind, id, &mut node);
        Some(node)
    }

    /// Says what else is relative to the place a declaration stood in: paths of a package, prompts.
    fn settle(&self, kind: DeclKind, id: DeclId, node: &mut Node) {
        let span = node.name.span;
        let children = node.children.get_or_insert_default();
        for child in children.iter_mut() {
            match (kind, child.name.value.as_str()) {
                (DeclKind::Tool | DeclKind::Provider, "exec") => {
                    let Some(Value { kind: Kind::Text(exec), .. }) = child.args.first_mut() else { continue };
                    if let (true, Some(place)) = (exec.contains('/'), self.program.place(id.file))
                        && let Ok(path) = RelPath::new(exec.trim_start_matches("./"))
                    {
                        *exec = format!("./{}", place.join(&path));
                    }
                }
                (DeclKind::Skill, "prompt") => {
                    if let (Some((_, text)), true) = (self.program.prompts.get(&id), !child.args.is_empty()) {
                        child.args.clear();
                        let value = Value {
                            note: None,
                            kind: Kind::Text(text.clone()),
                            span,
                            verbatim: false,
                            text_start: 0,
                            places: Vec::new(),
                        };
                        let name = Spanned { value: "text".to_owned(), span };
                        child.props.push(Property { name, value });
                    }
                }
                _ => {}
            }
        }
        retype(children, &self.schemas(kind, id));
        if children.is_empty() {
            node.children = None;
        }
    }

    /// The types that name a schema, of what a declaration is given and leaves: the file of a schema is told
    /// from the root, wherever the declaration stood.
    fn schemas(&self, kind: DeclKind, id: DeclId) -> BTreeMap<&'p str, String> {
        let params: &[Param] = match kind {
            DeclKind::Capability => &self.program.capability(id).accepts,
            DeclKind::Gate => &self.program.gate(id).params,
            DeclKind::Skill => &self.program.skill(id).vars,
            DeclKind::Recipe => &self.program.recipe(id).params,
            _ => &[],
        };
        let returns: &[ReturnsDecl] = match kind {
            DeclKind::Capability => &self.program.capability(id).returns,
            _ => &[],
        };
        let all = params.iter().map(|param| (&param.name.value, &param.ty));
        let all = all.chain(returns.iter().map(|returns| (&returns.name.value, &returns.ty)));
        let all = all.map(|(name, ty)| (name.as_str(), ty.to_string()));
        all.filter(|(_, ty)| ty.starts_with("artifact.json<")).collect()
    }

    fn known(&mut self) -> &Known {
        let program = self.program;
        self.known.get_or_insert_with(|| {
            let index = Index::of(program);
            let (mut symbols, mut decls) = (BTreeMap::new(), BTreeMap::new());
            for (symbol, known) in index.symbols().iter().enumerate() {
                let kind = DeclKind::ALL.iter().find(|kind| kind.word() == known.kind);
                let (Some(kind), None) = (kind, known.container) else { continue };
                if let Some(id) = program.declared(known.file(), *kind, &known.name) {
                    symbols.entry((*kind, id)).or_insert(symbol);
                    decls.insert(symbol, (*kind, id));
                }
            }
            Known { index, symbols, decls }
        })
    }

    /// The declarations that are kept, with all that they name in turn.
    pub(super) fn declarations(&mut self) -> Vec<Node> {
        let mut done: BTreeMap<(DeclKind, DeclId), Node> = BTreeMap::new();
        while let Some((kind, id)) = self.wanted.iter().find(|key| !done.contains_key(key)).copied() {
            let node = self.written(kind, id);
            self.wanted.remove(&(kind, id));
            if let Some(node) = node {
                self.wanted.insert((kind, id));
                done.insert((kind, id), node);
            }
        }
        let place = |kind: DeclKind| ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
        let mut all: Vec<((DeclKind, DeclId), Node)> = done.into_iter().collect();
        let name = |node: &Node| match node.args.first() {
            Some(Value { kind: Kind::Text(name), .. }) => name.clone(),
            _ => String::new(),
        };
        all.sort_by_cached_key(|((kind, _), node)| (place(*kind), name(node)));
        all.into_iter().map(|(_, node)| node).collect()
    }
}
