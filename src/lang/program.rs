//! The program: all files of a compilation with their declarations, and the resolution of names to
//! declarations. Leaves out types: see `check`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Digest, Domain, FieldSink, Fields, RelPath, Value, digest_fields};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, SourceMap, Span, did_you_mean};
use crate::lang::ast::{
    AgentDecl, BundleDecl, CapabilityDecl, FileDecls, GraphDecl, Group, LetDecl, Name, ProviderDecl, RecipeDecl,
    RecordDecl, SkillDecl, TenantDecl, ToolDecl,
};
use crate::lang::gate::{GateDecl, PeopleDecl};
use crate::lang::package::{Lock, Locked, Power, Source, Version};
use crate::lang::shape::may_be_shown;

use crate::lang::ir::ToolOf;

/// Which file of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub usize);

/// Which package of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub usize);

/// A package that files were loaded from.
#[derive(Clone, Debug)]
pub struct ProgramPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Where it comes from.
    pub source: Source,
    /// What the paths of its files begin with.
    pub prefix: String,
    /// The folder of the workspace it lies in, if it lies there.
    pub place: Option<RelPath>,
    /// What the lock says of it, if it is of a repository.
    pub locked: Option<Locked>,
    /// Its root file.
    pub root: Option<FileId>,
    /// What others may use, with where it is declared.
    pub exports: BTreeMap<String, (FileId, Name)>,
    /// What it may do.
    pub granted: BTreeSet<Power>,
}

/// Which declaration: its file and its index among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeclId {
    /// The file.
    pub file: FileId,
    /// The index among the file's declarations of the kind.
    pub index: usize,
}

/// The kinds of declaration that names refer to. Each kind is a namespace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclKind {
    /// `let`.
    Let,
    /// `record`.
    Record,
    /// `tool`.
    Tool,
    /// `recipe`.
    Recipe,
    /// `template`.
    Template,
    /// `graph`.
    Graph,
    /// `bundle`.
    Bundle,
    /// `tenant`.
    Tenant,
    /// `capability`.
    Capability,
    /// `provider`.
    Provider,
    /// `agent`.
    Agent,
    /// `skill`.
    Skill,
    /// `gate`.
    Gate,
    /// `group`.
    People,
}

impl DeclKind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Let,
        Self::Record,
        Self::Tool,
        Self::Recipe,
        Self::Template,
        Self::Graph,
        Self::Bundle,
        Self::Tenant,
        Self::Capability,
        Self::Provider,
        Self::Agent,
        Self::Skill,
        Self::Gate,
        Self::People,
    ];

    /// The word for people, which is the node's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Let => "let",
            Self::Record => "record",
            Self::Tool => "tool",
            Self::Recipe => "recipe",
            Self::Template => "template",
            Self::Graph => "graph",
            Self::Bundle => "bundle",
            Self::Tenant => "tenant",
            Self::Capability => "capability",
            Self::Provider => "provider",
            Self::Agent => "agent",
            Self::Skill => "skill",
            Self::Gate => "gate",
            Self::People => "group",
        }
    }
}

/// Names a misspelt one is compared with.
pub(crate) const COMPARED: usize = 1_000;

/// Whether a name may be missing because of a mistake that has been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// All declarations are known: the name itself is the mistake.
    No,
    /// Some declarations could not be read; report a name only where it is near to one that is known.
    Perhaps,
    /// Its declaration was not understood, or the import it comes from failed.
    Yes,
}

/// A file with its declarations.
#[derive(Clone, Debug)]
pub struct ProgramFile {
    /// Its source.
    pub source: SourceId,
    /// Its path as shown: relative to the workspace, or `<std>/…`.
    pub path: String,
    /// The package it belongs to; `None` for files of the workspace and the standard library.
    pub package: Option<PackageId>,
    /// Its declarations.
    pub decls: FileDecls,
    /// Which file each alias stands for.
    pub aliases: BTreeMap<String, FileId>,
    /// Aliases whose import failed, which has been reported.
    pub failed_aliases: BTreeSet<String>,
    /// Names whose declarations were not understood, which has been reported.
    pub lost: BTreeSet<String>,
    /// Where each name is among the declarations of its kind.
    names: BTreeMap<DeclKind, BTreeMap<String, usize>>,
}

impl ProgramFile {
    /// A file; its names are indexed, and names defined twice reported.
    pub(crate) fn new(source: SourceId, path: String, decls: FileDecls, diagnostics: &mut Diagnostics) -> Self {
        let mut names: BTreeMap<DeclKind, BTreeMap<String, usize>> = BTreeMap::new();
        for kind in DeclKind::ALL {
            let of_kind = names_of(&decls, *kind);
            let mut known: BTreeMap<String, usize> = BTreeMap::new();
            for (index, name) in of_kind.iter().enumerate() {
                if let Some(first) = known.get(&name.value) {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::P0202,
                            name.span,
                            format!("{} `{}` is defined twice", kind.word(), name.value),
                        )
                        .with_label("defined again here")
                        .with_secondary(of_kind[*first].span, "first defined here")
                        .with_help("rename one"),
                    );
                } else {
                    known.insert(name.value.clone(), index);
                }
            }
            if !known.is_empty() {
                names.insert(*kind, known);
            }
        }
        let (aliases, failed_aliases, lost) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { source, path, package: None, decls, aliases, failed_aliases, lost, names }
    }

    /// Where a name is among the declarations of its kind.
    fn index_of(&self, kind: DeclKind, name: &str) -> Option<usize> {
        self.names.get(&kind)?.get(name).copied()
    }
}

fn names_of(decls: &FileDecls, kind: DeclKind) -> Vec<&Name> {
    match kind {
        DeclKind::Let => decls.lets.iter().map(|decl| &decl.name).collect(),
        DeclKind::Record => decls.records.iter().map(|decl| &decl.name).collect(),
        DeclKind::Tool => decls.tools.iter().map(|decl| &decl.name).collect(),
        DeclKind::Recipe => decls.recipes.iter().map(|decl| &decl.name).collect(),
        DeclKind::Template => decls.templates.iter().map(|decl| &decl.name).collect(),
        DeclKind::Graph => decls.graphs.iter().map(|decl| &decl.group.name).collect(),
        DeclKind::Bundle => decls.bundles.iter().map(|decl| &decl.name).collect(),
        DeclKind::Tenant => decls.tenants.iter().map(|decl| &decl.name).collect(),
        DeclKind::Capability => decls.capabilities.iter().map(|decl| &decl.name).collect(),
        DeclKind::Provider => decls.providers.iter().map(|decl| &decl.name).collect(),
        DeclKind::Agent => decls.agents.iter().map(|decl| &decl.name).collect(),
        DeclKind::Skill => decls.skills.iter().map(|decl| &decl.name).collect(),
        DeclKind::Gate => decls.gates.iter().map(|decl| &decl.name).collect(),
        DeclKind::People => decls.people.iter().map(|decl| &decl.name).collect(),
    }
}

/// All files of a compilation. Files are in the order they were first reached; roots come first.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The source texts.
    pub sources: SourceMap,
    /// The files.
    pub files: Vec<ProgramFile>,
    /// The files that were asked for, as opposed to imported.
    pub roots: Vec<FileId>,
    /// The file whose declarations are visible everywhere.
    pub prelude: Option<FileId>,
    /// The tenant that owns runs, whatever graphs say.
    pub tenant: Option<String>,
    /// The templates of skills: where each is, and its text.
    pub prompts: BTreeMap<DeclId, (SourceId, String)>,
    /// The packages that files were loaded from.
    pub packages: Vec<ProgramPackage>,
    /// The lock file, if packages were looked for and there is one.
    pub lock: Option<Lock>,
}

impl Program {
    /// A file.
    pub fn file(&self, id: FileId) -> &ProgramFile {
        &self.files[id.0]
    }

    /// A tool.
    pub fn tool(&self, id: DeclId) -> &ToolDecl {
        &self.file(id.file).decls.tools[id.index]
    }

    /// A recipe.
    pub fn recipe(&self, id: DeclId) -> &RecipeDecl {
        &self.file(id.file).decls.recipes[id.index]
    }

    /// A template.
    pub fn template(&self, id: DeclId) -> &Group {
        &self.file(id.file).decls.templates[id.index]
    }

    /// A graph.
    pub fn graph(&self, id: DeclId) -> &GraphDecl {
        &self.file(id.file).decls.graphs[id.index]
    }

    /// A bundle.
    pub fn bundle(&self, id: DeclId) -> &BundleDecl {
        &self.file(id.file).decls.bundles[id.index]
    }

    /// A gate.
    pub fn gate(&self, id: DeclId) -> &GateDecl {
        &self.file(id.file).decls.gates[id.index]
    }

    /// A group of people.
    pub fn people(&self, id: DeclId) -> &PeopleDecl {
        &self.file(id.file).decls.people[id.index]
    }

    /// A constant.
    pub fn constant(&self, id: DeclId) -> &LetDecl {
        &self.file(id.file).decls.lets[id.index]
    }

    /// A record.
    pub fn record(&self, id: DeclId) -> &RecordDecl {
        &self.file(id.file).decls.records[id.index]
    }

    /// A tenant.
    pub fn tenant(&self, id: DeclId) -> &TenantDecl {
        &self.file(id.file).decls.tenants[id.index]
    }

    /// A capability.
    pub fn capability(&self, id: DeclId) -> &CapabilityDecl {
        &self.file(id.file).decls.capabilities[id.index]
    }

    /// A provider.
    pub fn provider(&self, id: DeclId) -> &ProviderDecl {
        &self.file(id.file).decls.providers[id.index]
    }

    /// An agent.
    pub fn agent(&self, id: DeclId) -> &AgentDecl {
        &self.file(id.file).decls.agents[id.index]
    }

    /// A skill.
    pub fn skill(&self, id: DeclId) -> &SkillDecl {
        &self.file(id.file).decls.skills[id.index]
    }

    /// The tool that a program of a plan was declared as; a provider's program is one too.
    pub fn tool_of(&self, of: ToolOf) -> Option<&ToolDecl> {
        match of {
            ToolOf::Tool(id) => Some(self.tool(id)),
            ToolOf::Provider(id) => self.provider(id).command.as_ref(),
        }
    }

    /// The digest of what a skill is: its template and its variables with their types.
    pub fn skill_digest(&self, id: DeclId) -> Digest {
        struct Content<'a>(&'a str, Vec<(&'a str, &'a crate::lang::ty::Ty)>);
        impl Fields for Content<'_> {
            fn walk(&self, sink: &mut dyn FieldSink) {
                sink.field(1, "prompt", &Value::text(self.0));
                let vars = self.1.iter().map(|(name, ty)| ((*name).to_owned(), Value::Text(ty.to_string())));
                sink.field(2, "vars", &Value::Map(vars.collect()));
            }
        }
        let text = self.prompts.get(&id).map_or("", |(_, text)| text.as_str());
        digest_fields(&Content(text, self.skill(id).signature()), Domain::Skill)
    }

    /// The trust in a skill: what is declared, if its content is what was vouched for. Without a word
    /// about it, or after a change, it is `experimental`.
    pub fn trust_of(&self, id: DeclId) -> &str {
        let Some(trust) = &self.skill(id).trust else { return "experimental" };
        match &trust.digest {
            Some(digest) if digest.value == self.skill_digest(id) => &trust.level.value,
            None if trust.level.value != "vetted" => &trust.level.value,
            _ => "experimental",
        }
    }

    /// The graphs of the root files, by name.
    pub fn root_graphs(&self) -> Vec<DeclId> {
        self.roots.iter().flat_map(|file| indices(*file, self.file(*file).decls.graphs.len())).collect()
    }

    /// The bundles of the root files, by name.
    pub fn root_bundles(&self) -> Vec<DeclId> {
        self.roots.iter().flat_map(|file| indices(*file, self.file(*file).decls.bundles.len())).collect()
    }

    /// The declaration a name stands for in a file: its own, one behind an alias, or the prelude's.
    pub fn lookup(&self, file: FileId, kind: DeclKind, name: &str) -> Option<DeclId> {
        let own = |file: FileId, name: &str| {
            let index = self.file(file).index_of(kind, name)?;
            Some(DeclId { file, index })
        };
        own(file, name)
            .or_else(|| {
                let (alias, rest) = name.split_once('.')?;
                let target = *self.file(file).aliases.get(alias)?;
                match self.foreign(file, target) {
                    Some(package) => package.exports.get(rest).and_then(|(file, name)| own(*file, &name.value)),
                    None => own(target, rest),
                }
            })
            .or_else(|| own(self.prelude?, name))
    }

    /// The package of a file that another file sees only the exports of.
    fn foreign(&self, from: FileId, target: FileId) -> Option<&ProgramPackage> {
        let package = self.file(target).package.filter(|package| self.file(from).package != Some(*package))?;
        Some(&self.packages[package.0])
    }

    /// Reports a name that a package has and does not export.
    pub(crate) fn private(&self, file: FileId, kind: DeclKind, name: &str, span: Span) -> Option<Diagnostic> {
        let (alias, rest) = name.split_once('.')?;
        let target = *self.file(file).aliases.get(alias)?;
        let package = self.foreign(file, target)?;
        let index = self.file(target).index_of(kind, rest)?;
        let declared = self.name_span(kind, DeclId { file: target, index });
        let (word, owner) = (kind.word(), &package.name);
        Some(
            Diagnostic::new(Code::P0204, span, format!("{word} `{rest}` is private to package `{owner}`"))
                .with_secondary(declared, "declared here, and not exported")
                .with_help(match &package.source {
                    Source::Dir(_) => format!("write `export {rest}` in its `package` node"),
                    Source::Git(_) => format!("its author can `export {rest}`; use what it exports"),
                }),
        )
    }

    /// The folder of the workspace that paths in a file are relative to: its package's, if it is of one
    /// that lies in the workspace.
    pub fn place(&self, file: FileId) -> Option<&RelPath> {
        self.packages[self.file(file).package?.0].place.as_ref()
    }

    /// Whether a file is of a package that lies outside the workspace.
    pub fn is_outside(&self, file: FileId) -> bool {
        self.file(file).package.is_some_and(|package| self.packages[package.0].place.is_none())
    }

    /// The names that a file itself declares.
    pub(crate) fn own_names(&self, file: FileId, kind: DeclKind) -> impl Iterator<Item = String> {
        self.file(file).names.get(&kind).into_iter().flat_map(BTreeMap::keys).cloned()
    }

    /// Whether a file itself declares a name.
    pub(crate) fn declares(&self, file: FileId, kind: DeclKind, name: &str) -> bool {
        self.file(file).index_of(kind, name).is_some()
    }

    /// As `lookup`, and reports a name that stands for nothing of the kind.
    pub fn resolve(&self, file: FileId, kind: DeclKind, name: &Name, diagnostics: &mut Diagnostics) -> Option<DeclId> {
        if let Some(found) = self.lookup(file, kind, &name.value) {
            return Some(found);
        }
        let word = kind.word();
        if let Some(diagnostic) = self.private(file, kind, &name.value, name.span) {
            diagnostics.push(diagnostic);
            return None;
        }
        let lost = self.lost(file, &name.value);
        if lost == Lost::Yes {
            return None;
        }
        for other in DeclKind::ALL {
            if *other != kind
                && let Some(found) = self.lookup(file, *other, &name.value)
            {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0203,
                        name.span,
                        format!("`{}` is a {}, but a {word} is needed here", name.value, other.word()),
                    )
                    .with_secondary(self.name_span(*other, found), "defined here")
                    .with_help(match (kind, other) {
                        (DeclKind::Recipe, DeclKind::Tool) => format!("a node starts a tool by `run {} …`", name.value),
                        (DeclKind::Tool, DeclKind::Recipe) => {
                            format!("a node applies a recipe by `recipe={}`", name.value)
                        }
                        (DeclKind::Recipe, DeclKind::Template) => {
                            format!("a graph uses a template by `use {} as=…`", name.value)
                        }
                        _ => format!("name a {word}"),
                    }),
                );
                return None;
            }
        }
        let mut diagnostic = Diagnostic::new(Code::P0201, name.span, format!("cannot find {word} `{}`", name.value))
            .with_label(format!("no {word} of this name"));
        let known: Vec<String> = self.visible(file, kind).take(COMPARED).collect();
        let is_it = |known: &&String| known.rsplit_once('.').is_some_and(|(_, bare)| bare == name.value);
        let suggestion = match known.iter().find(is_it) {
            Some(imported) => Some(imported.clone()),
            None if !may_be_shown(diagnostics) => None,
            None => did_you_mean(&name.value, known.iter().map(String::as_str)).map(str::to_owned),
        };
        if lost == Lost::Perhaps && suggestion.is_none() {
            return None;
        }
        if let Some(found) = suggestion.as_ref().and_then(|name| self.lookup(file, kind, name)) {
            diagnostic = diagnostic.with_suggestion(suggestion.as_deref());
            diagnostic = diagnostic.with_secondary(self.name_span(kind, found), "defined here");
        } else if let Some(help) = of_a_script(kind, &name.value) {
            diagnostic = diagnostic.with_help(help);
        } else if let Some(import) = behind_some_import(kind, &name.value) {
            diagnostic = diagnostic.with_help(format!("`{import}` has one: add `import \"{import}\" as=…`"));
        } else if kind == DeclKind::Tool {
            diagnostic = diagnostic.with_help(format!("declare it: `tool {} {{ exec {} }}`", name.value, name.value));
        } else if known.is_empty() {
            diagnostic = diagnostic.with_help(format!("no {word} is declared here"));
        } else {
            let mut shown = known;
            shown.truncate(12);
            diagnostic = diagnostic.with_help(format!("declared here: {}", shown.join(", ")));
        }
        diagnostics.push(diagnostic);
        None
    }

    /// Whether a name that is not found may stand in what could not be read.
    pub(crate) fn lost(&self, file: FileId, name: &str) -> Lost {
        let this = self.file(file);
        if this.lost.contains(name) {
            return Lost::Yes;
        }
        let incomplete = match name.split_once('.') {
            Some((alias, rest)) => match this.aliases.get(alias) {
                Some(other) if self.file(*other).lost.contains(rest) => return Lost::Yes,
                Some(other) => self.file(*other).decls.incomplete,
                None if this.failed_aliases.contains(alias) || this.decls.imports_incomplete => return Lost::Yes,
                None => this.decls.incomplete,
            },
            None => this.decls.incomplete,
        };
        if incomplete { Lost::Perhaps } else { Lost::No }
    }

    /// Names of a kind that a file can use, nearest scope first.
    pub fn visible(&self, file: FileId, kind: DeclKind) -> impl Iterator<Item = String> {
        let own = move |file: FileId| self.own_names(file, kind);
        let behind = move |other: FileId| -> Box<dyn Iterator<Item = String>> {
            match self.foreign(file, other) {
                Some(package) => Box::new(
                    package
                        .exports
                        .iter()
                        .filter(move |(_, (file, name))| self.declares(*file, kind, &name.value))
                        .map(|(name, _)| name.clone()),
                ),
                None => Box::new(own(other)),
            }
        };
        let aliases = self.file(file).aliases.iter();
        let imported =
            aliases.flat_map(move |(alias, other)| behind(*other).map(move |name| format!("{alias}.{name}")));
        own(file).chain(imported).chain(self.prelude.filter(|prelude| *prelude != file).into_iter().flat_map(own))
    }

    /// The name a declaration was given.
    pub(crate) fn own_name(&self, kind: DeclKind, id: DeclId) -> &str {
        let (decls, at) = (&self.file(id.file).decls, id.index);
        let name = match kind {
            DeclKind::Let => &decls.lets[at].name,
            DeclKind::Record => &decls.records[at].name,
            DeclKind::Tool => &decls.tools[at].name,
            DeclKind::Recipe => &decls.recipes[at].name,
            DeclKind::Template => &decls.templates[at].name,
            DeclKind::Graph => &decls.graphs[at].group.name,
            DeclKind::Bundle => &decls.bundles[at].name,
            DeclKind::Tenant => &decls.tenants[at].name,
            DeclKind::Capability => &decls.capabilities[at].name,
            DeclKind::Provider => &decls.providers[at].name,
            DeclKind::Agent => &decls.agents[at].name,
            DeclKind::Skill => &decls.skills[at].name,
            DeclKind::Gate => &decls.gates[at].name,
            DeclKind::People => &decls.people[at].name,
        };
        &name.value
    }

    /// A declaration of a file itself.
    pub(crate) fn declared(&self, file: FileId, kind: DeclKind, name: &str) -> Option<DeclId> {
        let index = self.file(file).index_of(kind, name)?;
        Some(DeclId { file, index })
    }

    /// The name of a declaration in plans of the graphs of a file: its own, and with its file where another
    /// file has the better claim to that: the graph's own, then the others of the workspace, then the
    /// prelude, then by path. So a graph says the same whether its workspace is one file or several. Does
    /// not depend on the order in which declarations are met.
    pub(crate) fn plan_name(&self, home: FileId, kind: DeclKind, id: DeclId) -> String {
        let bare = self.own_name(kind, id);
        match self.bearer(home, kind, bare) {
            Some(file) if file != id.file => format!("{}#{bare}", self.file(id.file).path),
            _ => bare.to_owned(),
        }
    }

    /// The file with the best claim to a name in plans of the graphs of a file.
    pub(crate) fn bearer(&self, home: FileId, kind: DeclKind, bare: &str) -> Option<FileId> {
        let rank = |at: &FileId| {
            let file = self.file(*at);
            let foreign = file.package.is_some() || file.path.starts_with("<std>/");
            (*at != home, foreign, Some(*at) != self.prelude, &file.path)
        };
        (0..self.files.len()).map(FileId).filter(|file| self.declares(*file, kind, bare)).min_by_key(rank)
    }

    /// The place of a declaration's name.
    pub fn name_span(&self, kind: DeclKind, id: DeclId) -> Span {
        names_of(&self.file(id.file).decls, kind)[id.index].span
    }
}

/// How to run what looks like a file or a command line rather than the name of a tool.
fn of_a_script(kind: DeclKind, name: &str) -> Option<String> {
    if kind != DeclKind::Tool {
        return None;
    }
    if name.contains(char::is_whitespace) {
        return Some(
            "a tool and its arguments are words of their own: `run TOOL ARG…`; for a shell `run sh -c \"…\"`"
                .to_owned(),
        );
    }
    let file = name.rsplit('/').next().unwrap_or(name);
    let (stem, extension) = file.split_once('.').unwrap_or((file, ""));
    let script = matches!(extension, "sh" | "bash" | "py" | "js" | "rb" | "pl");
    if !script && !name.contains('/') {
        return None;
    }
    let path = if name.contains('/') { name.to_owned() } else { format!("./{name}") };
    let stem = if stem.is_empty() { "NAME" } else { stem };
    Some(format!(
        "a file of the workspace is declared as a tool: `tool {stem} {{ exec \"{path}\" }}`, then `run {stem}`"
    ))
}

/// The file of the standard library that declares a name.
fn behind_some_import(kind: DeclKind, name: &str) -> Option<String> {
    let bare = name.rsplit('.').next().unwrap_or(name);
    let declares = |text: &str| text.contains(&format!("\n{} {bare} ", kind.word()));
    crate::lang::stdlib::FILES.iter().find(|(_, text)| declares(text)).map(|(path, _)| (*path).to_owned())
}

fn indices(file: FileId, count: usize) -> impl Iterator<Item = DeclId> {
    (0..count).map(move |index| DeclId { file, index })
}
