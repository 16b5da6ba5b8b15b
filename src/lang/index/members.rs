//! What could stand behind a dot and in tests: fields of records, keys of what is taken, ports, what a gate may ask of
//! its artifacts, nodes and outputs of the graph that a test is about. Leaves out names without a dot: see `complete`.

use crate::lang::Value;
use crate::lang::ast::Op;
use crate::lang::check::names_in;
use crate::lang::gate::{Fact, facts};
use crate::lang::index::collect::{taken, text_of};
use crate::lang::index::complete::{Completion, CompletionKind, Place, plain};
use crate::lang::index::model::{ScopeId, Taken};
use crate::lang::index::roles::Role;
use crate::lang::index::{Symbol, SymbolId};
use crate::lang::shape::{Shape, Takes};
use crate::lang::ty::Ty;

/// The words after `expect`, each with what it asks.
const EXPECTED: &[(&str, &str)] = &[
    ("nodes", "how many nodes there are at a pattern"),
    ("path", "that a node depends on another"),
    ("no-path", "that a node does not depend on another"),
    ("type", "the type of an output"),
    ("diagnostic", "that something is wrong with these values"),
    ("cost", "what a run costs at most"),
    ("status", "how a run with mocks ends"),
    ("output", "what a run with mocks leaves"),
];

impl Place<'_> {
    /// What is typed up to its last dot.
    fn before_dot(&self) -> Option<&str> {
        let typed = self.index.text(self.file).get(self.context.replace.start..self.offset)?;
        typed.rfind('.').map(|dot| &typed[..dot])
    }

    /// Variables, and what they hold: by their names, or behind a dot.
    pub(super) fn paths(&self) -> Vec<Completion> {
        let index = self.index;
        let Some(before) = self.before_dot() else {
            let mut found = self.variables("");
            found.extend(self.keys());
            return found;
        };
        if before == "node" {
            let keys = self.keys();
            if !keys.is_empty() {
                return keys;
            }
        }
        let member = |id: SymbolId| self.symbol(format!("{before}.{}", index.symbols[id].name), id);
        if let Some((variable, length)) = index.whole(self.scope, before) {
            let rest = before.get(length + 1..).unwrap_or_default();
            let mut parts = rest.split('.').filter(|part| !part.is_empty());
            let held = parts.try_fold(index.held_by(variable), |held, part| index.step(&held, part));
            let fields = held.map(|held| index.fields_of(&held)).unwrap_or_default();
            return fields.into_iter().map(member).collect();
        }
        let services = index.nodes_at(self.scope, self.owner, before);
        let services = services.iter().filter(|id| index.symbols[**id].kind == "service");
        let mut found: Vec<Completion> = services.flat_map(|id| index.results(*id)).map(member).collect();
        // Names behind an alias.
        let below = format!("{before}.");
        found.extend(self.variables("").into_iter().filter(|item| item.label.starts_with(&below)));
        found
    }

    /// Loop variables of what is taken here, written `node.NAME`.
    fn keys(&self) -> Vec<Completion> {
        let index = self.index;
        let Some(node) = self.path.last() else { return Vec::new() };
        let prop = |name: &str| node.props.iter().find(|prop| prop.name.value == name).map(|prop| &prop.value);
        let within = |value: &Value| value.span.range().contains(&self.offset);
        let taken = match node.name.value.as_str() {
            "input" if node.args.first().is_some_and(within) => prop("from").and_then(taken),
            "include" if prop("to").is_some_and(within) => {
                node.args.first().and_then(text_of).map(|nodes| Taken::Nodes(nodes.to_owned()))
            }
            _ => None,
        };
        let Some(taken) = taken else { return Vec::new() };
        let gifts = index.by_parameter(&index.gifts);
        let nodes = index.taken(self.scope, self.owner, &taken, &gifts);
        let keys = index.keys_of(&nodes, None).into_iter();
        keys.map(|id| self.symbol(format!("node.{}", index.symbols[id].name), id)).collect()
    }

    /// What a gate may ask of what it is given.
    pub(super) fn metrics(&self) -> Vec<Completion> {
        let index = self.index;
        let before = self.before_dot();
        let head = before.map(|before| before.split('.').next().unwrap_or_default());
        let mut found = Vec::new();
        for id in index.judged(self.owner) {
            let symbol = &index.symbols[id];
            let name = &symbol.name;
            match head {
                None => found.push(self.symbol(name.clone(), id)),
                Some(head) if head == name => {}
                Some(_) => continue,
            }
            let ty = symbol.ty.as_deref().unwrap_or_default();
            let at = before.unwrap_or(name);
            let detail = |what: &str| format!("{what} of `{name}`");
            if let Some(Ty::Artifact(kind)) = Ty::parse(ty)
                && let Some(facts) = facts(&kind).filter(|_| at == name)
            {
                let one = |(fact, of): &(&str, Fact)| {
                    plain(format!("{name}.{fact}"), CompletionKind::Property, detail(&format!("{of:?}").to_lowercase()))
                };
                found.extend(facts.iter().map(one));
            }
            if let Some(schema) = index.schemas.get(&symbol.quoted) {
                let rest = at.get(name.len() + 1..).unwrap_or_default();
                let names = names_in(schema, rest);
                found.extend(
                    names
                        .into_iter()
                        .map(|part| plain(format!("{at}.{part}"), CompletionKind::Property, detail("by the schema"))),
                );
            }
            let record = index.fields_of(&index.held_by(id)).into_iter();
            found.extend(record.map(|field| self.symbol(format!("{name}.{}", index.symbols[field].name), field)));
        }
        found
    }

    /// The scopes of the nodes of the graph that the test around is about.
    pub(super) fn graph(&self) -> Vec<ScopeId> {
        let test = self.path.first().filter(|node| node.name.value == "test");
        let given = test.and_then(|test| test.children.iter().flatten().find(|child| child.name.value == "given"));
        let name = given.and_then(|given| given.args.first()).and_then(text_of);
        let graph = name.and_then(|name| self.index.named(self.scope, &["graph"], name));
        graph.and_then(|graph| self.index.symbols[graph].inner).into_iter().collect()
    }

    /// The parameters of the graph that the test around is about.
    pub(super) fn graph_parameters(&self) -> Vec<SymbolId> {
        let graphs = self.graph();
        let is_it = |symbol: &Symbol| symbol.inner.is_some_and(|inner| graphs.contains(&inner));
        let graph = self.index.symbols.iter().position(is_it);
        graph.map(|graph| self.index.parameters(graph)).unwrap_or_default()
    }

    /// Arguments of what stands in a test, by what stands before them.
    pub(super) fn tested(&self, shape: &'static Shape) -> Option<Vec<Completion>> {
        let head = self.context.head.as_ref()?;
        let words = |all: &[(&str, &str)]| {
            all.iter().map(|(word, about)| plain(*word, CompletionKind::Word, *about)).collect::<Vec<_>>()
        };
        let ops = || Op::ALL.iter().map(|(op, _)| plain(*op, CompletionKind::Word, "comparison")).collect();
        let first = head.args.first().map(String::as_str);
        Some(match (shape.name, head.args.len(), first) {
            ("expect", 0, _) => words(EXPECTED),
            ("expect", 1, Some("nodes")) => self.addresses_in(&self.graph(), false),
            ("expect", 1, Some("type" | "output")) => self.references_in(&self.graph(), false, ""),
            ("expect", 1, Some("cost")) | ("expect", 2, Some("output")) => ops(),
            ("expect", 2, Some("type")) => self.values(&Role::Type, Takes::Name, None),
            ("expect", ..) => return None,
            ("mock", 0, _) => words(&[("tool", "a tool is not started"), ("agent", "an agent is not asked")]),
            ("mock", 1, Some("tool")) => self.named(&["tool"]),
            ("mock", 1, Some("agent")) => self.named(&["agent"]),
            _ => return None,
        })
    }
}
