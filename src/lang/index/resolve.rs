//! From sites to symbols: the scopes outwards, then an alias, then what is visible everywhere, as the
//! compiler does it. Leaves out reporting names that stand for nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::diag::Span;
use crate::lang::index::Index;
use crate::lang::index::follow::Gifts;
use crate::lang::index::model::{AddressSite, Callee, Gift, IndexedFile, Occurrence, ScopeId, Site, SymbolId, Want};
use crate::lang::index::places::split_reference;
use crate::lang::index::roles::{RESULTS, is_parameter, is_result, namespace};

/// How far templates are followed in an address.
const DEPTH: usize = 32;

impl Index {
    pub(super) fn file_of(&self, scope: ScopeId) -> &IndexedFile {
        &self.files[self.scopes[scope].file]
    }

    /// The symbol of a name in a scope, also behind an alias.
    pub(super) fn lookup(&self, scope: ScopeId, space: &'static str, name: &str) -> Option<SymbolId> {
        let mut at = Some(scope);
        while let Some(scope) = at {
            if let Some(found) = self.own(scope, space, name) {
                return Some(found);
            }
            at = self.scopes[scope].parent;
        }
        let file = self.file_of(scope);
        let behind = || {
            let (alias, rest) = name.split_once('.')?;
            let target = file.aliases.get(alias)?;
            let target = self.files.get(target.0)?;
            // Of another package only what it exports can be seen.
            match target.package.filter(|package| file.package != Some(*package)) {
                Some(package) => {
                    let (file, name) = self.exports.get(package)?.get(rest)?;
                    self.own(self.files.get(*file)?.root, space, name)
                }
                None => self.own(target.root, space, rest),
            }
        };
        behind().or_else(|| self.own(self.files.get(self.prelude?)?.root, space, name))
    }

    pub(super) fn own(&self, scope: ScopeId, space: &'static str, name: &str) -> Option<SymbolId> {
        self.scopes[scope].names.get(&(space, name.to_owned())).copied()
    }

    /// As `lookup` for several kinds; what is only ever declared inside something is found wherever
    /// it is, if there is only one.
    pub(super) fn named(&self, scope: ScopeId, kinds: &[&'static str], name: &str) -> Option<SymbolId> {
        let mut found = kinds.iter().filter_map(|kind| {
            self.lookup(scope, namespace(kind), name)
                .filter(|id| self.symbols[*id].kind == *kind || namespace(kind) != "variable")
        });
        found.next().or_else(|| {
            let mut all = kinds.iter().filter_map(|kind| self.inner_names.get(&(*kind, name.to_owned()))).flatten();
            let in_file = |id: &&SymbolId| self.symbols[**id].file.0 == self.scopes[scope].file;
            all.clone().find(in_file).or_else(|| all.next()).copied()
        })
    }

    /// What a callee is.
    pub(super) fn callee(&self, scope: ScopeId, callee: &Callee) -> Option<SymbolId> {
        self.named(scope, &callee.kinds, &callee.name)
    }

    /// The symbols that what a symbol names are: recipe, template, graph.
    pub(super) fn applied(&self, symbol: SymbolId) -> Vec<SymbolId> {
        let symbol = &self.symbols[symbol];
        symbol.callees.iter().filter_map(|callee| self.callee(symbol.scope, callee)).collect()
    }

    /// The results of a node or declaration: its own, and those of what it applies.
    pub(super) fn results(&self, symbol: SymbolId) -> Vec<SymbolId> {
        let of = |id: SymbolId| {
            let members = self.symbols[id].members.iter().copied();
            members.filter(|member| is_result(self.symbols[*member].kind))
        };
        let mut found: Vec<SymbolId> = of(symbol).collect();
        found.extend(self.applied(symbol).into_iter().flat_map(of));
        if self.symbols[symbol].kind == "step" {
            found.extend(self.symbols[symbol].container.into_iter().flat_map(of));
        }
        found
    }

    /// The result of a name.
    pub(super) fn result(&self, symbol: SymbolId, name: &str) -> Option<SymbolId> {
        let around = self.symbols[symbol].container.filter(|_| self.symbols[symbol].kind == "step");
        let all = [symbol].into_iter().chain(self.applied(symbol)).chain(around);
        let mut inner = all.filter_map(|id| self.symbols[id].inner);
        inner.find_map(|scope| RESULTS.iter().find_map(|kind| self.own(scope, kind, name)))
    }

    /// The parameters of a declaration.
    pub(super) fn parameters(&self, symbol: SymbolId) -> Vec<SymbolId> {
        let members = self.symbols[symbol].members.iter().copied();
        members.filter(|member| is_parameter(self.symbols[*member].kind)).collect()
    }

    /// The scopes in which an address that is written somewhere begins: the one around it, and that
    /// of the graph that a bundle names.
    pub(super) fn address_scopes(&self, scope: ScopeId, owner: Option<SymbolId>) -> Vec<ScopeId> {
        let mut found = vec![scope];
        let mut at = owner;
        while let Some(symbol) = at {
            for applied in self.applied(symbol) {
                if matches!(self.symbols[applied].kind, "graph" | "template") && self.symbols[symbol].kind != "use" {
                    found.extend(self.symbols[applied].inner);
                }
            }
            at = self.symbols[symbol].container;
        }
        found
    }

    /// The names along an address, each with the range of the text.
    pub(super) fn address(&self, scope: ScopeId, owner: Option<SymbolId>, text: &str) -> Vec<(Range<usize>, SymbolId)> {
        let scopes = self.address_scopes(scope, owner);
        let (found, ends) = self.names_along(&scopes, true, text);
        if found.is_empty() && ends.is_empty() { self.begun(scopes, text) } else { found }
    }

    /// The nodes that an address leads to.
    pub(super) fn nodes_at(&self, scope: ScopeId, owner: Option<SymbolId>, text: &str) -> BTreeSet<SymbolId> {
        self.names_along(&self.address_scopes(scope, owner), true, text).1
    }

    /// As far as an address leads that leads to nothing.
    fn begun(&self, mut scopes: Vec<ScopeId>, text: &str) -> Vec<(Range<usize>, SymbolId)> {
        let mut found: Vec<(Range<usize>, SymbolId)> = Vec::new();
        let mut start = 0;
        for (index, segment) in text.split('/').enumerate().take(DEPTH) {
            let range = start..start + segment.len();
            start = range.end + 1;
            let head = index == 0;
            let hit = scopes.iter().find_map(|scope| {
                if head { self.lookup(*scope, "node", segment) } else { self.own(*scope, "node", segment) }
            });
            let Some(symbol) = hit else { return found };
            found.push((range, symbol));
            if self.symbols[symbol].kind != "use" {
                return found;
            }
            scopes = self.applied(symbol).into_iter().filter_map(|id| self.symbols[id].inner).collect();
        }
        found
    }

    /// Resolves all sites.
    pub(super) fn resolve(&mut self, sites: &[Site], gifts: &[Gift]) {
        for (id, symbol) in self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.container.is_some()) {
            self.inner_names.entry((symbol.kind, symbol.name.clone())).or_default().push(id);
        }
        let given = self.by_parameter(gifts);
        let mut found: Vec<(usize, Occurrence)> = Vec::new();
        let mut addresses = Vec::new();
        for (id, symbol) in self.symbols.iter().enumerate() {
            let scope = Some(symbol.scope);
            let occurrence = Occurrence { span: symbol.span, symbol: id, definition: true, exact: symbol.exact, scope };
            found.push((symbol.file.0, occurrence));
        }
        for site in sites {
            addresses.extend(self.address_of(site));
            for (span, symbol) in self.site(site, &given) {
                // Members are looked up in what they are members of.
                let member = !matches!(
                    site.want,
                    Want::Named(_) | Want::Variable | Want::Address | Want::Reference | Want::Type | Want::Offered(_)
                ) || is_result(self.symbols[symbol].kind)
                    || self.symbols[symbol].kind == "field";
                let scope = Some(site.scope).filter(|_| !member);
                // A package may export a thing under another name.
                let exact = site.exact && self.written(span) == self.symbols[symbol].name;
                found.push((site.file, Occurrence { span, symbol, definition: false, exact, scope }));
            }
        }
        self.addresses = addresses;
        for (file, occurrence) in found {
            self.files[file].occurrences.push(occurrence);
        }
        for file in &mut self.files {
            file.occurrences.sort_by_key(|occurrence| (occurrence.span, occurrence.symbol));
            file.occurrences.dedup_by_key(|occurrence| (occurrence.span, occurrence.symbol));
        }
        self.by_symbol = vec![Vec::new(); self.symbols.len()];
        for (file, indexed) in self.files.iter().enumerate() {
            for (at, occurrence) in indexed.occurrences.iter().enumerate() {
                self.by_symbol[occurrence.symbol].push((file, at));
            }
        }
    }

    /// The address that a site is, or begins with.
    fn address_of(&self, site: &Site) -> Option<AddressSite> {
        let (text, graph) = match &site.want {
            Want::Address => (site.text.as_str(), None),
            Want::Reference => (split_reference(&site.text).0, None),
            Want::Tested(graph, output) => {
                (if *output { split_reference(&site.text).0 } else { &site.text }, Some(graph))
            }
            Want::Value(given) => {
                let held = self.held_at(site.scope, given).filter(|held| held.ty == "node");
                (held.map(|_| site.text.as_str())?, None)
            }
            _ => return None,
        };
        let starts = match graph {
            Some(graph) => self.inside(site.scope, graph),
            None => self.address_scopes(site.scope, site.owner),
        };
        Some(AddressSite { starts, outwards: graph.is_none(), text: text.to_owned(), span: site.span })
    }

    /// The scopes inside what is named.
    pub(super) fn inside(&self, scope: ScopeId, callees: &[Callee]) -> Vec<ScopeId> {
        let named = callees.iter().filter_map(|callee| self.callee(scope, callee));
        named.filter_map(|id| self.symbols[id].inner).collect()
    }

    /// What a site names, with the part of it that does.
    fn site(&self, site: &Site, gifts: &Gifts<'_>) -> Vec<(Span, SymbolId)> {
        let part = |range: Range<usize>| {
            if site.exact {
                let start = site.span.start as usize;
                Span::new(site.span.source, start + range.start, start + range.end)
            } else {
                site.span
            }
        };
        match &site.want {
            Want::Named(kinds) => {
                self.with_alias(site.scope, &site.text, self.named(site.scope, kinds, &site.text), &part)
            }
            Want::Variable => self.variable(site, &part),
            Want::Address => {
                let along = self.address(site.scope, site.owner, &site.text);
                along.into_iter().map(|(range, symbol)| (part(range), symbol)).collect()
            }
            Want::Reference => self.reference(site, &part),
            Want::Output(address) => {
                let nodes = self.nodes_at(site.scope, site.owner, address);
                let found: BTreeSet<SymbolId> =
                    nodes.into_iter().filter_map(|node| self.result(node, &site.text)).collect();
                found.into_iter().map(|symbol| (site.span, symbol)).collect()
            }
            Want::Key(taken) => {
                let Some((_, name)) = site.text.split_once('.') else { return Vec::new() };
                let nodes = self.taken(site.scope, site.owner, taken, gifts);
                let found = self.keys_of(&nodes, Some(name)).into_iter();
                let range = site.text.len() - name.len()..site.text.len();
                found.map(|symbol| (part(range.clone()), symbol)).collect()
            }
            Want::Member(given) => {
                let symbol = self.held_at(site.scope, given).and_then(|held| held.symbol);
                symbol.map(|symbol| (site.span, symbol)).into_iter().collect()
            }
            Want::Value(given) => {
                const NAMES: &[&str] = &["tool", "agent", "capability", "gate", "skill", "recipe"];
                let Some(held) = self.held_at(site.scope, given) else { return Vec::new() };
                match NAMES.iter().find(|kind| **kind == held.ty) {
                    Some(kind) => {
                        let found = self.named(site.scope, &[*kind], &site.text);
                        self.with_alias(site.scope, &site.text, found, &part)
                    }
                    None if held.ty == "node" => {
                        let along = self.address(site.scope, site.owner, &site.text);
                        along.into_iter().map(|(range, symbol)| (part(range), symbol)).collect()
                    }
                    None => Vec::new(),
                }
            }
            Want::Metric => {
                let head = site.text.split('.').next().unwrap_or_default();
                let judged = self.judged(site.owner).into_iter().find(|id| self.symbols[*id].name == head);
                let Some((found, length)) = judged.map(|id| (id, head.len())) else { return Vec::new() };
                let mut all = vec![(part(0..length), found)];
                let fields = self.fields(found, &site.text, length).into_iter();
                all.extend(fields.map(|(range, symbol)| (part(range), symbol)));
                all
            }
            Want::Tested(graph, output) => {
                let starts = self.inside(site.scope, graph);
                let (path, output) = match (output, split_reference(&site.text)) {
                    (true, found) => found,
                    (false, _) => (site.text.as_str(), None),
                };
                self.leads(&starts, false, path, output, &part)
            }
            Want::Mocked(graph, mocked, at) => {
                let starts = self.inside(site.scope, graph);
                let nodes = self.names_along(&starts, false, at.as_deref().unwrap_or("**")).1;
                self.left_by(&nodes, mocked, &site.text).into_iter().map(|symbol| (site.span, symbol)).collect()
            }
            Want::Served(callees) => {
                let mut served = callees.iter().filter_map(|callee| self.callee(site.scope, callee));
                let found = served.find_map(|id| self.result(id, &site.text));
                found.map(|symbol| (site.span, symbol)).into_iter().collect()
            }
            Want::Offered(callees) => {
                let mut served = callees.iter().filter_map(|callee| self.callee(site.scope, callee));
                let head = site.text.split('.').next().unwrap_or_default();
                match served.find_map(|id| self.parameter(id, head)) {
                    Some(found) => {
                        let mut all = vec![(part(0..head.len()), found)];
                        let fields = self.fields(found, &site.text, head.len()).into_iter();
                        all.extend(fields.map(|(range, symbol)| (part(range), symbol)));
                        all
                    }
                    None => self.variable(site, &part),
                }
            }
            Want::Element(list) => {
                let element = self.whole(site.scope, list).and_then(|(found, length)| {
                    let rest = list.get(length + 1..).unwrap_or_default();
                    let mut parts = rest.split('.').filter(|part| !part.is_empty()).chain(["-", site.text.as_str()]);
                    parts.try_fold(self.held_by(found), |held, part| self.step(&held, part))
                });
                element.and_then(|held| held.symbol).map(|symbol| (site.span, symbol)).into_iter().collect()
            }
            Want::Parameter(callees) => {
                let mut parameters = callees
                    .iter()
                    .filter_map(|callee| self.callee(site.scope, callee))
                    .filter_map(|id| self.parameter(id, &site.text));
                parameters.next().map(|symbol| (site.span, symbol)).into_iter().collect()
            }
            Want::Result(owner) => {
                let found = self.result(*owner, &site.text);
                found.map(|symbol| (site.span, symbol)).into_iter().collect()
            }
            Want::Type => {
                let mut found = Vec::new();
                let name = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.');
                let mut start = 0;
                for piece in site.text.split(name) {
                    if let Some(symbol) = self.lookup(site.scope, "record", piece) {
                        found.push((part(start..start + piece.len()), symbol));
                    }
                    start += piece.len() + site.text[start + piece.len()..].chars().next().map_or(0, char::len_utf8);
                }
                found
            }
        }
    }

    /// A name, or an alias and a name behind it.
    fn with_alias(
        &self,
        scope: ScopeId,
        text: &str,
        found: Option<SymbolId>,
        part: &dyn Fn(Range<usize>) -> Span,
    ) -> Vec<(Span, SymbolId)> {
        let whole = 0..text.len();
        let names_whole = found.is_some_and(|id| self.symbols[id].name == text);
        let alias = text.split_once('.').filter(|_| !names_whole).and_then(|(alias, _)| {
            let root = self.file_of(scope).root;
            Some((alias.len(), self.own(root, "import", alias)?))
        });
        match (alias, found) {
            (Some((length, import)), Some(found)) => {
                vec![(part(0..length), import), (part(length + 1..whole.end), found)]
            }
            (Some((length, import)), None) => vec![(part(0..length), import)],
            (None, Some(found)) => vec![(part(whole), found)],
            (None, None) => Vec::new(),
        }
    }

    /// A variable, and the fields of what it holds; or else an address of a service.
    fn variable(&self, site: &Site, part: &dyn Fn(Range<usize>) -> Span) -> Vec<(Span, SymbolId)> {
        if let Some((found, length)) = self.whole(site.scope, &site.text) {
            let mut all = self.with_alias(site.scope, &site.text[..length], Some(found), part);
            let fields = self.fields(found, &site.text, length).into_iter();
            all.extend(fields.map(|(range, symbol)| (part(range), symbol)));
            return all;
        }
        if !site.text.contains('.') {
            return Vec::new();
        }
        match self.reference(site, part) {
            found if found.is_empty() => self.with_alias(site.scope, &site.text, None, part),
            found => found,
        }
    }

    fn reference(&self, site: &Site, part: &dyn Fn(Range<usize>) -> Span) -> Vec<(Span, SymbolId)> {
        let (path, output) = split_reference(&site.text);
        let found = self.leads(&self.address_scopes(site.scope, site.owner), true, path, output, part);
        if !found.is_empty() {
            return found;
        }
        let Some(bundle) = self.lookup(site.scope, "bundle", path) else {
            let along = self.address(site.scope, site.owner, path);
            return along.into_iter().map(|(range, symbol)| (part(range), symbol)).collect();
        };
        let mut found = vec![(part(0..path.len()), bundle)];
        if let Some(symbol) = output.and_then(|output| self.result(bundle, output)) {
            found.push((part(path.len() + 1..site.text.len()), symbol));
        }
        found
    }

    /// The names of an address and of the output behind it.
    fn leads(
        &self,
        starts: &[ScopeId],
        outwards: bool,
        path: &str,
        output: Option<&str>,
        part: &dyn Fn(Range<usize>) -> Span,
    ) -> Vec<(Span, SymbolId)> {
        let (names, ends) = self.names_along(starts, outwards, path);
        let mut found: Vec<(Span, SymbolId)> = names.into_iter().map(|(range, symbol)| (part(range), symbol)).collect();
        if let Some(output) = output {
            let results: BTreeSet<SymbolId> = ends.into_iter().filter_map(|node| self.result(node, output)).collect();
            let range = path.len() + 1..path.len() + 1 + output.len();
            found.extend(results.into_iter().map(|symbol| (part(range.clone()), symbol)));
        }
        found
    }

    /// What a gate around something judges: its parameters, or what the recipe that it is of returns.
    pub(super) fn judged(&self, mut at: Option<SymbolId>) -> Vec<SymbolId> {
        while let Some(gate) = at.filter(|id| self.symbols[*id].kind != "gate") {
            at = self.symbols[gate].container;
        }
        let Some(gate) = at else { return Vec::new() };
        let recipe = self.symbols[gate].container.map(|recipe| self.symbols[recipe].members.as_slice());
        let returns = recipe.unwrap_or_default().iter().filter(|id| self.symbols[**id].kind == "returns");
        self.parameters(gate).into_iter().chain(returns.copied()).collect()
    }

    /// The outputs of a name that nodes have, or steps of what they apply, and a tool or an agent leaves.
    fn left_by(&self, nodes: &BTreeSet<SymbolId>, by: &str, name: &str) -> BTreeSet<SymbolId> {
        let mut found = BTreeSet::new();
        for node in nodes {
            let applied = self.applied(*node);
            let steps = applied.iter().flat_map(|id| &self.symbols[*id].members).copied();
            let steps = steps.filter(|id| self.symbols[*id].kind == "step");
            for id in steps.chain([*node]) {
                let symbol = &self.symbols[id];
                let named = symbol.callees.iter().map(|callee| &callee.name).chain(&symbol.starts);
                if named.into_iter().any(|named| named == by) {
                    found.extend(self.result(id, name));
                }
            }
        }
        found
    }
}
