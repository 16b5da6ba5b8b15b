//! From sites to symbols: the scopes outwards, then an alias, then what is visible everywhere, as the
//! compiler does it. Leaves out reporting names that stand for nothing.

use crate::diag::Span;
use crate::lang::index::Index;
use crate::lang::index::model::{Callee, IndexedFile, Occurrence, ScopeId, Site, SymbolId, Want};
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
    fn result(&self, symbol: SymbolId, name: &str) -> Option<SymbolId> {
        let around = self.symbols[symbol].container.filter(|_| self.symbols[symbol].kind == "step");
        let all = [symbol].into_iter().chain(self.applied(symbol)).chain(around);
        let mut inner = all.filter_map(|id| self.symbols[id].inner);
        inner.find_map(|scope| RESULTS.iter().find_map(|kind| self.own(scope, kind, name)))
    }

    /// The parameter of a name.
    fn parameter(&self, symbol: SymbolId, name: &str) -> Option<SymbolId> {
        let found = self.own(self.symbols[symbol].inner?, "variable", name)?;
        is_parameter(self.symbols[found].kind).then_some(found)
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

    /// The nodes along an address: each with the range of the text that names it.
    pub(super) fn address(
        &self,
        scope: ScopeId,
        owner: Option<SymbolId>,
        text: &str,
    ) -> Vec<(std::ops::Range<usize>, SymbolId)> {
        let mut found: Vec<(std::ops::Range<usize>, SymbolId)> = Vec::new();
        let mut scopes = self.address_scopes(scope, owner);
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
    pub(super) fn resolve(&mut self, sites: &[Site]) {
        for (id, symbol) in self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.container.is_some()) {
            self.inner_names.entry((symbol.kind, symbol.name.clone())).or_default().push(id);
        }
        let mut found: Vec<(usize, Occurrence)> = Vec::new();
        for (id, symbol) in self.symbols.iter().enumerate() {
            let scope = Some(symbol.scope);
            let occurrence = Occurrence { span: symbol.span, symbol: id, definition: true, exact: symbol.exact, scope };
            found.push((symbol.file.0, occurrence));
        }
        for site in sites {
            for (span, symbol) in self.site(site) {
                // Members are looked up in what they are members of.
                let member = matches!(site.want, Want::Parameter(_) | Want::Output(_) | Want::Result(_))
                    || is_result(self.symbols[symbol].kind);
                let scope = Some(site.scope).filter(|_| !member);
                // A package may export a thing under another name.
                let exact = site.exact && self.written(span) == self.symbols[symbol].name;
                found.push((site.file, Occurrence { span, symbol, definition: false, exact, scope }));
            }
        }
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

    /// What a site names, with the part of it that does.
    fn site(&self, site: &Site) -> Vec<(Span, SymbolId)> {
        let part = |range: std::ops::Range<usize>| {
            if site.exact {
                let start = site.span.start as usize;
                Span::new(site.span.source, start + range.start, start + range.end)
            } else {
                site.span
            }
        };
        match &site.want {
            Want::Named(kinds) => self.with_alias(site, self.named(site.scope, kinds, &site.text), &part),
            Want::Variable => self.variable(site, &part),
            Want::Address => {
                let along = self.address(site.scope, site.owner, &site.text);
                along.into_iter().map(|(range, symbol)| (part(range), symbol)).collect()
            }
            Want::Reference => self.reference(site, &part),
            Want::Output(address) => {
                let last = self.address(site.scope, site.owner, address).pop();
                let found = last.and_then(|(_, node)| self.result(node, &site.text));
                found.map(|symbol| (site.span, symbol)).into_iter().collect()
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
        site: &Site,
        found: Option<SymbolId>,
        part: &dyn Fn(std::ops::Range<usize>) -> Span,
    ) -> Vec<(Span, SymbolId)> {
        let whole = 0..site.text.len();
        let names_whole = found.is_some_and(|id| self.symbols[id].name == site.text);
        let alias = site.text.split_once('.').filter(|_| !names_whole).and_then(|(alias, _)| {
            let root = self.file_of(site.scope).root;
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

    fn variable(&self, site: &Site, part: &dyn Fn(std::ops::Range<usize>) -> Span) -> Vec<(Span, SymbolId)> {
        if let Some(found) = self.lookup(site.scope, "variable", &site.text) {
            return self.with_alias(site, Some(found), part);
        }
        let Some((head, _)) = site.text.split_once('.') else { return Vec::new() };
        // A path into what a parameter holds, or an address of a service.
        match self.lookup(site.scope, "variable", head) {
            Some(found) => vec![(part(0..head.len()), found)],
            None => match self.reference(site, part) {
                found if found.is_empty() => self.with_alias(site, None, part),
                found => found,
            },
        }
    }

    fn reference(&self, site: &Site, part: &dyn Fn(std::ops::Range<usize>) -> Span) -> Vec<(Span, SymbolId)> {
        let (path, output) = match site.text.split_once('.') {
            Some((path, output)) => (path, Some(output)),
            None => (site.text.as_str(), None),
        };
        let along = self.address(site.scope, site.owner, path);
        let last = along.last().map(|(_, symbol)| *symbol);
        let mut found: Vec<(Span, SymbolId)> = along.into_iter().map(|(range, symbol)| (part(range), symbol)).collect();
        let target = last.or_else(|| {
            let bundle = self.lookup(site.scope, "bundle", path)?;
            found.push((part(0..path.len()), bundle));
            Some(bundle)
        });
        if let (Some(node), Some(output)) = (target, output)
            && let Some(symbol) = self.result(node, output)
        {
            found.push((part(path.len() + 1..site.text.len()), symbol));
        }
        found
    }
}
