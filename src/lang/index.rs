//! The index of a program: what every name in it stands for, where it is used, what is known of it,
//! and what could stand at a place. Made from the table of shapes and the texts, mistakes and all, so
//! that it serves an editor in the middle of a line. Leaves out what is wrong: see `check`.

mod collect;
mod complete;
mod context;
mod follow;
mod given;
mod hover;
mod members;
mod model;
mod outline;
mod places;
mod rename;
mod resolve;
mod roles;
mod tokens;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{SourceId, SourceMap, Span};
use crate::lang::ty::SchemaTy;
use crate::lang::{FileId, Node, Program, ProgramPackage};

use collect::{Collected, collect};
use model::{AddressSite, Gift, IndexedFile, Scope, ScopeId};
use tree::read_tree;

pub use complete::{Completion, CompletionKind, Completions};
pub use hover::Hover;
pub use model::{Occurrence, Symbol, SymbolId};
pub use outline::{Hint, Item, Lens, Link};
pub use rename::RenameError;
pub use tokens::{TokenClass, TokenSpan};

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Index {
    sources: SourceMap,
    files: Vec<IndexedFile>,
    symbols: Vec<Symbol>,
    scopes: Vec<Scope>,
    /// For each symbol, where it stands: file and place in the file's list.
    by_symbol: Vec<Vec<(usize, usize)>>,
    /// Symbols declared inside something, by kind and name.
    inner_names: BTreeMap<(&'static str, String), Vec<SymbolId>>,
    /// All addresses and patterns of nodes that are written.
    addresses: Vec<AddressSite>,
    /// What parameters are given that are artifacts.
    gifts: Vec<Gift>,
    /// The schemas that parameters and results fit, by the places of their names.
    schemas: BTreeMap<Span, Arc<SchemaTy>>,
    prelude: Option<usize>,
    /// What each package lets others see: names, with their files and their names there.
    exports: Vec<BTreeMap<String, (usize, String)>>,
}

fn exports(package: &ProgramPackage) -> BTreeMap<String, (usize, String)> {
    let all = package.exports.iter();
    all.map(|(name, (file, own))| (name.clone(), (file.0, own.value.clone()))).collect()
}

/// The schemas that what gates are given must fit.
fn schemas(program: &Program) -> BTreeMap<Span, Arc<SchemaTy>> {
    let files = program.files.iter().map(|file| &file.decls);
    let gates = files.flat_map(|decls| decls.gates.iter().chain(decls.recipes.iter().flat_map(|recipe| &recipe.gates)));
    let params = gates.flat_map(|gate| &gate.params);
    params.filter_map(|param| Some((param.name.span, Arc::clone(param.ty.schema()?)))).collect()
}

impl Index {
    /// The index of a program, whatever is wrong with it.
    pub fn of(program: &Program) -> Self {
        let mut collected = Collected::default();
        let mut files = Vec::new();
        for (at, file) in program.files.iter().enumerate() {
            let text = &program.sources.file(file.source).text;
            let tree = read_tree(file.source, text);
            let of_file = collect(at, &tree, &mut collected);
            files.push(IndexedFile {
                source: file.source,
                path: program.sources.file(file.source).name.clone(),
                package: file.package.map(|package| package.0),
                root: of_file.root,
                tree,
                scopes: of_file.scopes,
                occurrences: Vec::new(),
                paths: of_file.paths,
                aliases: file.aliases.clone(),
            });
        }
        let Collected { symbols, scopes, sites, gifts } = collected;
        let mut index = Self {
            sources: program.sources.clone(),
            files,
            symbols,
            scopes,
            by_symbol: Vec::new(),
            inner_names: BTreeMap::new(),
            addresses: Vec::new(),
            gifts: Vec::new(),
            schemas: schemas(program),
            prelude: program.prelude.map(|file| file.0),
            exports: program.packages.iter().map(exports).collect(),
        };
        index.resolve(&sites, &gifts);
        index.gifts = gifts;
        index
    }

    /// The source texts that the index is of.
    pub fn sources(&self) -> &SourceMap {
        &self.sources
    }

    /// The file of a path as the program knows it: relative to the workspace, or `<std>/…`.
    pub fn file(&self, path: &str) -> Option<FileId> {
        self.files.iter().position(|file| file.path == path).map(FileId)
    }

    /// The path of a file.
    pub fn path(&self, file: FileId) -> &str {
        &self.files[file.0].path
    }

    /// The path of the file that a source is the text of.
    pub fn path_of(&self, source: SourceId) -> Option<&str> {
        self.files.iter().find(|file| file.source == source).map(|file| file.path.as_str())
    }

    /// The source of a file.
    pub fn source(&self, file: FileId) -> SourceId {
        self.files[file.0].source
    }

    /// A symbol.
    pub fn symbol(&self, id: SymbolId) -> &Symbol {
        &self.symbols[id]
    }

    /// All symbols.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// What stands at a place; at a place between two names the one that ends there.
    pub fn occurrence_at(&self, file: FileId, offset: usize) -> Option<Occurrence> {
        let all = &self.files[file.0].occurrences;
        let offset = offset as u32;
        let upto = all.partition_point(|occurrence| occurrence.span.start <= offset);
        // The shortest: parts of a name lie within what was not written plainly.
        let around = all[..upto].iter().rev().take(64).filter(|occurrence| offset <= occurrence.span.end);
        around
            .copied()
            .min_by_key(|occurrence| (occurrence.span.end - occurrence.span.start, occurrence.span.end == offset))
    }

    /// Where what stands at a place is declared.
    pub fn definition_at(&self, file: FileId, offset: usize) -> Option<&Symbol> {
        self.occurrence_at(file, offset).map(|occurrence| &self.symbols[occurrence.symbol])
    }

    /// The path of the file that an alias stands for.
    pub fn import_target(&self, symbol: &Symbol) -> Option<&str> {
        let target = self.files[symbol.file.0].aliases.get(&symbol.name).filter(|_| symbol.kind == "import")?;
        Some(self.path(*target))
    }

    /// All places of what stands at a place, the declaration among them, in order.
    pub fn references_of(&self, file: FileId, offset: usize) -> Vec<Occurrence> {
        match self.occurrence_at(file, offset) {
            Some(occurrence) => self.occurrences_of(occurrence.symbol),
            None => Vec::new(),
        }
    }

    /// All places of a symbol.
    pub fn occurrences_of(&self, symbol: SymbolId) -> Vec<Occurrence> {
        self.by_symbol[symbol].iter().map(|(file, at)| self.files[*file].occurrences[*at]).collect()
    }

    /// The folder that paths of inputs are relative to, as the root file has it.
    pub fn input_root(&self) -> Option<&str> {
        let root = self.files.iter().find(|file| file.path == "partita.kdl")?;
        let workspace = root.tree.iter().find(|node| node.name.value == "workspace")?;
        let root = workspace.children.iter().flatten().find(|node| node.name.value == "root")?;
        collect::text_of(root.args.first()?)
    }

    /// The places of a stretch of a file, in order.
    pub(crate) fn occurrences_within(&self, file: FileId, span: Span) -> &[Occurrence] {
        let all = &self.files[file.0].occurrences;
        let from = all.partition_point(|occurrence| occurrence.span.start < span.start);
        let upto = all.partition_point(|occurrence| occurrence.span.start < span.end);
        &all[from..upto]
    }

    /// The text of a file.
    fn text(&self, file: FileId) -> &str {
        &self.sources.file(self.files[file.0].source).text
    }

    /// The scope at a place, and the declaration around it.
    fn scope_at(&self, file: FileId, offset: usize) -> (ScopeId, Option<SymbolId>) {
        let this = &self.files[file.0];
        let offset = offset as u32;
        let mut around = this.scopes.iter().filter(|(span, ..)| span.start <= offset && offset <= span.end);
        // Of two that end and begin here the inner one, which comes later.
        around.next_back().map_or((this.root, None), |(_, scope, owner)| (*scope, *owner))
    }

    /// The nodes around a place, outermost first.
    fn path_to(&self, file: FileId, offset: usize) -> Vec<&Node> {
        let mut path = Vec::new();
        let mut nodes = self.files[file.0].tree.as_slice();
        let offset = offset as u32;
        while let Some(node) = nodes.iter().find(|node| node.span.start <= offset && offset <= node.span.end) {
            path.push(node);
            nodes = node.children.as_deref().unwrap_or_default();
        }
        path
    }

    /// The text of a place.
    fn written(&self, span: Span) -> &str {
        self.sources.text(span)
    }
}

#[cfg(test)]
mod tests;
