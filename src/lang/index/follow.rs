//! Into what names hold: the type of a variable, the fields of records along a dotted path, what is given where, and
//! what stands behind `node.` where instances are taken. Leaves out addresses: see `places`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::lang::eval::heads;
use crate::lang::index::Index;
use crate::lang::index::model::{Base, Gift, Given, ScopeId, SymbolId, Taken};
use crate::lang::index::places::split_reference;
use crate::lang::index::roles::is_parameter;

/// How far variables are followed to what they were made of.
const DEPTH: usize = 16;

/// Something with a type.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The type as written.
    pub(super) ty: String,
    /// Where names in the type are looked up.
    pub(super) scope: ScopeId,
    /// What declares it, if it has a name.
    pub(super) symbol: Option<SymbolId>,
}

impl Held {
    pub(super) fn list(&self) -> Option<&str> {
        self.ty.strip_prefix("list<")?.strip_suffix('>')
    }

    pub(super) fn map(&self) -> Option<&str> {
        self.ty.strip_prefix("map<")?.strip_suffix('>')
    }

    fn inner(&self, ty: &str) -> Self {
        Self { ty: ty.to_owned(), scope: self.scope, symbol: None }
    }
}

/// What parameters are given, by parameter.
pub(super) type Gifts<'a> = BTreeMap<SymbolId, Vec<&'a Gift>>;

impl Index {
    /// The variable that a dotted name begins with, and how long that beginning is.
    pub(super) fn whole(&self, scope: ScopeId, name: &str) -> Option<(SymbolId, usize)> {
        let mut at = Some(scope);
        let mut root = scope;
        while let Some(scope) = at {
            for (head, _) in heads(name) {
                if let Some(found) = self.own(scope, "variable", head) {
                    return Some((found, head.len()));
                }
            }
            root = scope;
            at = self.scopes[scope].parent;
        }
        heads(name).find_map(|(head, _)| Some((self.lookup(root, "variable", head)?, head.len())))
    }

    /// What a variable, a parameter or a field holds.
    pub(super) fn held_by(&self, symbol: SymbolId) -> Held {
        self.held_to(symbol, 0)
    }

    fn held_to(&self, id: SymbolId, depth: usize) -> Held {
        let symbol = &self.symbols[id];
        let plain = Held { ty: symbol.ty.clone().unwrap_or_default(), scope: symbol.scope, symbol: Some(id) };
        let Some((list, value)) = symbol.over.as_ref().filter(|_| depth < DEPTH) else { return plain };
        let around = [Some(symbol.scope), self.scopes[symbol.scope].parent];
        let found = around.into_iter().flatten().find_map(|scope| {
            let (found, length) = self.whole(scope, list).filter(|(found, _)| *found != id)?;
            let rest = list.get(length + 1..).unwrap_or_default();
            let mut parts = rest.split('.').filter(|part| !part.is_empty());
            parts.try_fold(self.held_to(found, depth + 1), |held, part| self.step(&held, part))
        });
        let Some(found) = found else { return plain };
        let ((Some(inner), _, false) | (None, Some(inner), true)) = (found.list(), found.map(), *value) else {
            return plain;
        };
        Held { symbol: Some(id), ..found.inner(inner) }
    }

    /// What a value holds under a name, or as an element.
    pub(super) fn step(&self, held: &Held, part: &str) -> Option<Held> {
        match (held.list(), held.map()) {
            (Some(inner), _) => (part == "-").then(|| held.inner(inner)),
            (None, Some(inner)) => Some(held.inner(inner)),
            (None, None) => {
                let record = self.lookup(held.scope, "record", &held.ty)?;
                let field = self.own(self.symbols[record].inner?, "field", part)?;
                Some(self.held_by(field))
            }
        }
    }

    /// The fields of the record that something is.
    pub(super) fn fields_of(&self, held: &Held) -> Vec<SymbolId> {
        let record = self.lookup(held.scope, "record", &held.ty);
        let members = record.map(|record| self.symbols[record].members.as_slice()).unwrap_or_default();
        members.iter().copied().filter(|member| self.symbols[*member].kind == "field").collect()
    }

    /// The fields along the rest of a dotted name whose beginning is a variable.
    pub(super) fn fields(&self, variable: SymbolId, name: &str, length: usize) -> Vec<(Range<usize>, SymbolId)> {
        let mut found = Vec::new();
        let mut held = self.held_by(variable);
        let mut start = length + 1;
        for part in name.get(start..).unwrap_or_default().split('.') {
            let Some(next) = self.step(&held, part) else { break };
            found.extend(next.symbol.map(|symbol| (start..start + part.len(), symbol)));
            start += part.len() + 1;
            held = next;
        }
        found
    }

    /// What a path of a value leads to.
    pub(super) fn held_at(&self, scope: ScopeId, given: &Given) -> Option<Held> {
        let mut path = given.path.iter();
        let mut held = match &given.base {
            Base::Type(ty) => Held { ty: ty.clone(), scope, symbol: None },
            Base::Parameters(callees) => {
                let name = path.next()?;
                let mut called = callees.iter().filter_map(|callee| self.callee(scope, callee));
                self.held_by(called.find_map(|id| self.parameter(id, name))?)
            }
        };
        for part in path {
            // A single value stands for a list or a record of it alone.
            held = match self.step(&held, part) {
                Some(next) => next,
                None if part == "-" => held,
                None => return None,
            };
        }
        Some(held)
    }

    /// The parameter of a name.
    pub(super) fn parameter(&self, symbol: SymbolId, name: &str) -> Option<SymbolId> {
        let own = self.symbols[symbol].inner.and_then(|inner| self.own(inner, "variable", name));
        let inner = || self.parameters(symbol).into_iter().find(|id| self.symbols[*id].name == name);
        own.filter(|found| is_parameter(self.symbols[*found].kind)).or_else(inner)
    }

    /// What each parameter is given.
    pub(super) fn by_parameter<'a>(&self, gifts: &'a [Gift]) -> Gifts<'a> {
        let mut given = Gifts::new();
        for gift in gifts {
            let called = gift.callees.iter().filter_map(|callee| self.callee(gift.scope, callee));
            for parameter in called.filter_map(|id| self.parameter(id, &gift.name)) {
                given.entry(parameter).or_default().push(gift);
            }
        }
        given
    }

    /// The nodes that are taken: of a parameter, those that it is given anywhere.
    pub(super) fn taken(
        &self,
        scope: ScopeId,
        owner: Option<SymbolId>,
        taken: &Taken,
        gifts: &Gifts<'_>,
    ) -> BTreeSet<SymbolId> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![(scope, owner, taken)];
        while let Some((scope, owner, taken)) = open.pop() {
            let address = match taken {
                Taken::Reference(text) => split_reference(text).0,
                Taken::Nodes(text) => text,
                Taken::Variable(name) => {
                    if let Some((parameter, _)) = self.whole(scope, name)
                        && seen.insert(parameter)
                    {
                        let given = gifts.get(&parameter).into_iter().flatten();
                        open.extend(given.map(|gift| (gift.scope, gift.owner, &gift.taken)));
                    }
                    continue;
                }
            };
            found.extend(self.names_along(&self.address_scopes(scope, owner), true, address).1);
        }
        found
    }

    /// The loop variables of nodes that have a name, or all.
    pub(super) fn keys_of(&self, nodes: &BTreeSet<SymbolId>, name: Option<&str>) -> BTreeSet<SymbolId> {
        let members = nodes.iter().flat_map(|node| &self.symbols[*node].members).copied();
        let is_key = |id: &SymbolId| {
            let symbol = &self.symbols[*id];
            symbol.kind == "for-each"
                && !symbol.over.as_ref().is_some_and(|(_, value)| *value)
                && name.is_none_or(|name| symbol.name == name)
        };
        members.filter(is_key).collect()
    }
}
