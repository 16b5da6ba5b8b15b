//! The choice of versions: of each package the lowest that all who need it are content with (minimum
//! version selection). What is chosen depends on the specs and on which versions exist, not on the
//! order in which anything is met. Leaves out how repositories are reached: see [`Catalog`].
//!
//! From the workspace on, each requirement reaches the lowest version it admits, whose own requirements
//! are reached in turn. Of all versions of a package that are reached the highest is chosen. A version
//! that was wanted by `lock --update` is the least for all who can live with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Digest, Limits, RelPath};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceMap, Span};
use crate::lang::World;
use crate::lang::ast::{ImportDecl, WorkspaceDecl};
use crate::lang::package::lock::{LOCK_FILE, Lock, Locked};
use crate::lang::package::manifest::{self, Manifest};
use crate::lang::package::{Folder, Minimum, Source, Version};

/// Which state of a package is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pick {
    /// A published version.
    Version(Version),
    /// A branch, a tag or a commit.
    Rev(String),
    /// The one there is, of a folder of the workspace.
    Only,
}

/// A state of a package, found.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its content.
    pub folder: Arc<Folder>,
    /// Its commit, if it is of a repository.
    pub commit: Option<String>,
}

/// Why a catalog has no answer, in the words of whoever was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CatalogError(pub String);

/// Where versions and their contents are found.
pub trait Catalog {
    /// The published versions of a repository, in any order.
    fn versions(&self, source: &Source) -> Result<Vec<Version>, CatalogError>;
    /// A state of a package.
    fn candidate(&self, source: &Source, pick: &Pick) -> Result<Candidate, CatalogError>;
}

/// A lock that answers the requirements of a workspace, or why there is none.
#[derive(Debug)]
pub struct Resolution {
    /// The lock; meaningless if there are errors.
    pub lock: Lock,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// The texts it points into.
    pub sources: SourceMap,
    /// The content of each package of the lock.
    pub folders: BTreeMap<String, Arc<Folder>>,
}

/// What a resolution starts from.
pub struct Resolver<'a> {
    /// The specs of the workspace.
    pub world: &'a dyn World,
    /// The root file.
    pub root: &'a RelPath,
    /// Versions and contents.
    pub catalog: &'a dyn Catalog,
    /// The lock there is.
    pub previous: Option<&'a Lock>,
    /// The package that is to be as new as its requirements allow.
    pub update: Option<&'a str>,
}

/// Somebody needs a package.
#[derive(Clone, Debug)]
struct Need {
    source: Source,
    minimum: Option<Minimum>,
    rev: Option<String>,
    at: Span,
}

/// A state of a package that was reached.
struct Reached {
    candidate: Candidate,
    manifest: Manifest,
    version: Version,
    name: String,
    tree: Digest,
    own_lock: Option<Digest>,
}

/// Chooses versions.
pub fn resolve(resolver: &Resolver<'_>) -> Resolution {
    let mut work = Work {
        resolver,
        sources: SourceMap::default(),
        diagnostics: Diagnostics::default(),
        settings: WorkspaceDecl::default(),
        needs: Vec::new(),
        reached: BTreeMap::new(),
        versions: BTreeMap::new(),
        unmet: Vec::new(),
    };
    let lock = work.run();
    let mut folders = BTreeMap::new();
    for package in &lock.packages {
        let found = work.reached.iter().find(|((source, _), reached)| {
            *source == package.source && reached.as_ref().is_some_and(|reached| reached.tree == package.tree)
        });
        if let Some((_, Some(reached))) = found {
            folders.insert(package.name.clone(), Arc::clone(&reached.candidate.folder));
        }
    }
    Resolution { lock, diagnostics: work.diagnostics, sources: work.sources, folders }
}

struct Work<'a> {
    resolver: &'a Resolver<'a>,
    sources: SourceMap,
    diagnostics: Diagnostics,
    /// The settings of the workspace: it alone says where names are found.
    settings: WorkspaceDecl,
    /// All that is needed, by whomever.
    needs: Vec<Need>,
    reached: BTreeMap<(Source, Pick), Option<Reached>>,
    versions: BTreeMap<Source, Option<Vec<Version>>>,
    /// Requirements that no version satisfies: mistakes unless somebody asks for a revision.
    unmet: Vec<(Source, Diagnostic)>,
}

impl Work<'_> {
    fn run(&mut self) -> Lock {
        let world = self.resolver.world;
        let mut read = |path: &RelPath| String::from_utf8(world.read(path).ok()?).ok();
        let root = manifest::read(self.resolver.root.as_str(), "", &mut read, &mut self.sources);
        self.settings = root.workspace.unwrap_or_default();
        let first: Vec<Need> = root.imports.iter().filter_map(|import| self.need(import, None)).collect();
        let mut open = first.clone();
        while let Some(need) = open.pop() {
            self.needs.push(need.clone());
            let Some(pick) = self.pick(&need) else { continue };
            let key = (need.source.clone(), pick);
            if self.reached.contains_key(&key) {
                continue;
            }
            if self.reached.len() >= Limits::PACKAGES {
                let message = format!("more than {} versions of packages are needed", Limits::PACKAGES);
                self.diagnostics.push(Diagnostic::new(Code::P0205, need.at, message).with_help("need fewer packages"));
                break;
            }
            let reached = self.reach(&key.0, &key.1, need.at);
            if let Some(reached) = &reached {
                let imports = reached.manifest.imports.clone();
                open.extend(imports.iter().filter_map(|import| self.need(import, Some(&need.source))));
            }
            self.reached.insert(key, reached);
        }
        self.choose(&first)
    }

    /// What an import needs. `from`: the package it stands in.
    fn need(&mut self, import: &ImportDecl, from: Option<&Source>) -> Option<Need> {
        let has = |path: &RelPath| self.resolver.world.read(path).is_ok();
        let (source, minimum) = match need_of(import, &self.settings, from, &has) {
            Ok(need) => need,
            Err(diagnostic) => {
                self.diagnostics.push(*diagnostic);
                return None;
            }
        };
        let rev = import.rev.as_ref().map(|rev| rev.value.clone());
        Some(Need { source, minimum, rev, at: import.path.span })
    }

    /// The state that a requirement reaches: the lowest version it admits.
    fn pick(&mut self, need: &Need) -> Option<Pick> {
        if !need.source.is_remote() {
            return Some(Pick::Only);
        }
        if let Some(rev) = &need.rev {
            return Some(Pick::Rev(rev.clone()));
        }
        let minimum = need.minimum.as_ref()?;
        // What an update asked for stays, as far as it goes with what the specs ask for.
        let kept = self.resolver.previous.and_then(|lock| lock.of(&need.source)?.at_least.clone());
        let kept = kept.filter(|kept| minimum.admits(kept)).map(Minimum::of);
        let minimum = kept.as_ref().unwrap_or(minimum);
        let wanted = self.updated(&need.source);
        let versions = self.versions(&need.source, need.at)?;
        let fitting = versions.iter().filter(|version| minimum.admits(version));
        let found = if wanted { fitting.max() } else { fitting.min() };
        if let Some(found) = found {
            return Some(Pick::Version(found.clone()));
        }
        let mut known: Vec<String> = versions.iter().rev().take(8).map(ToString::to_string).collect();
        if versions.len() > known.len() {
            known.push("…".to_owned());
        }
        let help = if known.is_empty() {
            "it has no tag of the form `v1.2.3`; name a commit by `rev=`".to_owned()
        } else {
            format!("it has: {}", known.join(", "))
        };
        let message = format!("no version of `{}` is at least {minimum} and compatible with it", need.source);
        let diagnostic = Diagnostic::new(Code::P0209, need.at, message).with_help(help);
        self.unmet.push((need.source.clone(), diagnostic));
        None
    }

    /// Whether a package is to be as new as can be.
    fn updated(&self, source: &Source) -> bool {
        let named = |name| self.resolver.previous.and_then(|lock| lock.named(name));
        self.resolver.update.and_then(named).is_some_and(|package| package.source == *source)
    }

    fn versions(&mut self, source: &Source, at: Span) -> Option<Vec<Version>> {
        if let Some(known) = self.versions.get(source) {
            return known.clone();
        }
        let found = match self.resolver.catalog.versions(source) {
            Ok(mut versions) => {
                versions.sort();
                versions.dedup();
                Some(versions)
            }
            Err(error) => {
                self.diagnostics.push(cannot_read(at, source, &error.0));
                None
            }
        };
        self.versions.insert(source.clone(), found.clone());
        found
    }

    fn reach(&mut self, source: &Source, pick: &Pick, at: Span) -> Option<Reached> {
        let candidate = match self.resolver.catalog.candidate(source, pick) {
            Ok(candidate) => candidate,
            Err(error) => {
                self.diagnostics.push(cannot_read(at, source, &error.0));
                return None;
            }
        };
        let folder = &candidate.folder;
        let mut read = |path: &RelPath| String::from_utf8(folder.get(path)?.bytes.clone()).ok();
        let shown = match pick {
            Pick::Version(version) => format!("<{source} {version}>/"),
            Pick::Rev(rev) => format!("<{source} {rev}>/"),
            Pick::Only => format!("{}/", source.to_string().trim_start_matches("./")),
        };
        let manifest = manifest::read("partita.kdl", &shown, &mut read, &mut self.sources);
        let Some(package) = &manifest.package else {
            self.diagnostics.push(no_package(at, source));
            return None;
        };
        let Some(version) = Version::parse(&package.version.value) else {
            self.diagnostics.push(cannot_read(at, source, "its `package` node does not say an exact version"));
            return None;
        };
        if let Pick::Version(tag) = pick
            && *tag != version
        {
            let why = format!("its tag `{}` holds version {version}", tag.tag());
            self.diagnostics.push(cannot_read(at, source, &why));
            return None;
        }
        let name = package.name.value.clone();
        let Some(tree) = folder.digest() else {
            self.diagnostics.push(cannot_read(at, source, "one path in it is both a file and a folder"));
            return None;
        };
        let lock_file = RelPath::new(LOCK_FILE).ok().and_then(|path| folder.get(&path));
        let own_lock = lock_file.map(|file| Digest::of_blob(&file.bytes));
        Some(Reached { candidate, manifest, version, name, tree, own_lock })
    }

    /// Of each package the highest version that was reached; then only what is still needed.
    fn choose(&mut self, first: &[Need]) -> Lock {
        let mut chosen: BTreeMap<Source, Pick> = BTreeMap::new();
        for (source, diagnostic) in std::mem::take(&mut self.unmet) {
            if !self.needs.iter().any(|need| need.source == source && need.rev.is_some()) {
                self.diagnostics.push(diagnostic);
            }
        }
        let needed: BTreeSet<Source> = self.needs.iter().map(|need| need.source.clone()).collect();
        for source in needed {
            if let Some(pick) = self.choose_one(&source) {
                chosen.insert(source, pick);
            }
        }
        let mut kept: BTreeSet<Source> = BTreeSet::new();
        let mut open: Vec<Source> = first.iter().map(|need| need.source.clone()).collect();
        let mut scratch = Diagnostics::default();
        std::mem::swap(&mut scratch, &mut self.diagnostics);
        while let Some(source) = open.pop() {
            let Some(pick) = chosen.get(&source) else { continue };
            if !kept.insert(source.clone()) {
                continue;
            }
            if let Some(Some(reached)) = self.reached.get(&(source.clone(), pick.clone())) {
                let imports = reached.manifest.imports.clone();
                open.extend(imports.iter().filter_map(|import| self.need(import, Some(&source))).map(|n| n.source));
            }
        }
        // What the second look found, the first had.
        self.diagnostics = scratch;
        self.write(&chosen, &kept)
    }

    fn choose_one(&mut self, source: &Source) -> Option<Pick> {
        let needs: Vec<Need> = self.needs.iter().filter(|need| need.source == *source).cloned().collect();
        let picks: Vec<Pick> =
            self.reached.keys().filter(|(other, _)| other == source).map(|(_, p)| p.clone()).collect();
        let content = |pick: &Pick| match pick {
            Pick::Version(version) => {
                needs.iter().all(|need| need.minimum.as_ref().is_none_or(|least| least.admits(version)))
            }
            Pick::Rev(_) | Pick::Only => true,
        };
        let revs: Vec<&Need> = needs.iter().filter(|need| need.rev.is_some()).collect();
        if let (Some(one), Some(other)) = (revs.first(), revs.iter().find(|need| need.rev != revs[0].rev)) {
            let what = |need: &Need| format!("revision `{}`", need.rev.clone().unwrap_or_default());
            self.diagnostics.push(conflict(source, (one.at, &what(one)), (other.at, &what(other))));
            return None;
        }
        // A revision, where one is asked for, and a folder are the only state there is.
        let only = picks.iter().find(|pick| matches!(pick, Pick::Rev(_) | Pick::Only)).cloned();
        let best = || picks.iter().filter(|pick| content(pick)).max().or_else(|| picks.iter().max()).cloned();
        let pick = only.or_else(best)?;
        let version = self.reached.get(&(source.clone(), pick.clone()))?.as_ref()?.version.clone();
        let refusing = needs.iter().find(|need| need.minimum.as_ref().is_some_and(|least| !least.admits(&version)));
        let Some(refusing) = refusing else { return Some(pick) };
        let least = |need: &Need| need.minimum.as_ref().map_or_else(|| "any version".to_owned(), ToString::to_string);
        // Who made it that version: another requirement that this one does not go with.
        let other = needs.iter().find(|need| {
            need.rev.is_some()
                || need.minimum.as_ref().is_some_and(|other| other.admits(&version)) && need.at != refusing.at
        });
        match (other, &pick) {
            (Some(other), Pick::Version(_)) => {
                let (mut one, mut two) = (refusing, other);
                // The same two, whoever was met first.
                if two.at < one.at {
                    std::mem::swap(&mut one, &mut two);
                }
                self.diagnostics.push(conflict(source, (one.at, &least(one)), (two.at, &least(two))));
            }
            _ => {
                let what = if pick == Pick::Only { "the folder" } else { "the revision" };
                let message = format!("`{source}` is needed at least as {}, and {what} is {version}", least(refusing));
                self.diagnostics.push(
                    Diagnostic::new(Code::P0209, refusing.at, message)
                        .with_help("ask for a version it has, or change the `version` of its `package`"),
                );
            }
        }
        None
    }

    fn write(&mut self, chosen: &BTreeMap<Source, Pick>, kept: &BTreeSet<Source>) -> Lock {
        let mut lock = Lock::default();
        for (source, pick) in chosen.iter().filter(|(source, _)| kept.contains(*source)) {
            let Some(Some(reached)) = self.reached.get(&(source.clone(), pick.clone())) else { continue };
            let previous = self.resolver.previous.and_then(|lock| lock.of(source));
            let updated = self.updated(source);
            let at = self.needs.iter().find(|need| need.source == *source).map(|need| need.at);
            if let Some(at) = at
                && let Some(previous) = previous
                && !updated
                && source.is_remote()
                && (&previous.version, &previous.rev, pick)
                    == (&reached.version, &None, &Pick::Version(reached.version.clone()))
                && previous.tree != reached.tree
            {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0207,
                        at,
                        format!("version {} of `{}` is not what it was", previous.version, previous.name),
                    )
                    .with_help(format!("locked {}, now {}: its tag was moved", previous.tree, reached.tree))
                    .with_help(format!("if that is intended, run `partita lock --update {}`", previous.name)),
                );
            }
            let kept = previous.and_then(|previous| previous.at_least.clone()).filter(|_| !updated);
            let at_least = if updated { Some(reached.version.clone()) } else { kept }
                .filter(|least| Minimum::of(least.clone()).admits(&reached.version) && !matches!(pick, Pick::Rev(_)));
            lock.packages.push(Locked {
                name: reached.name.clone(),
                version: reached.version.clone(),
                source: source.clone(),
                rev: if let Pick::Rev(rev) = pick { Some(rev.clone()) } else { None },
                commit: reached.candidate.commit.clone(),
                tree: reached.tree,
                own_lock: reached.own_lock,
                at_least,
                span: None,
            });
        }
        lock.packages.sort();
        for pair in lock.packages.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            let at =
                |package: &Locked| self.needs.iter().find(|need| need.source == package.source).map(|need| need.at);
            if let (Some(one), Some(two)) = (at(&pair[0]), at(&pair[1])) {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0202, two, format!("two packages are called `{}`", pair[0].name))
                        .with_secondary(one, format!("`{}` is one", pair[0].source))
                        .with_label(format!("`{}` is another", pair[1].source))
                        .with_help("a workspace knows packages by name: import only one of them"),
                );
            }
        }
        lock
    }
}

/// The package an import means, and the least version it asks for; one from elsewhere says a version or a revision.
pub(crate) fn need_of(
    import: &ImportDecl,
    settings: &WorkspaceDecl,
    from: Option<&Source>,
    has: &dyn Fn(&RelPath) -> bool,
) -> Result<(Source, Option<Minimum>), Box<Diagnostic>> {
    let source = source_of(import, settings, from, has)?;
    let minimum = match import.version.as_ref().map(|version| (Minimum::parse(&version.value), version)) {
        Some((None, version)) => return Err(Box::new(not_a_version(version.span, &version.value))),
        found => found.and_then(|(minimum, _)| minimum),
    };
    if source.is_remote() && minimum.is_none() && import.rev.is_none() {
        return Err(Box::new(no_version(import)));
    }
    Ok((source, minimum))
}

/// The package an import means. `from`: the package it stands in. `has`: whether the workspace has a file.
fn source_of(
    import: &ImportDecl,
    settings: &WorkspaceDecl,
    from: Option<&Source>,
    has: &dyn Fn(&RelPath) -> bool,
) -> Result<Source, Box<Diagnostic>> {
    let (written, span) = (import.path.value.as_str(), import.path.span);
    let refuse =
        |code, message: String, help: &str| Err(Box::new(Diagnostic::new(code, span, message).with_help(help)));
    let not_fetched = |why: String| {
        refuse(
            Code::P0205,
            format!("`{written}` is not a repository that can be fetched: {why}"),
            "write `git+https://…`",
        )
    };
    if let Some(url) = written.strip_prefix("git+") {
        let source = match Source::git(url) {
            Ok(source) => source,
            Err(why) => return not_fetched(why),
        };
        // A stranger's package must not find out what lies on this machine.
        if source.is_local() && from.is_some_and(|from| !from.is_local()) {
            let help = "its author can name a repository that everybody reaches";
            return refuse(Code::P0210, format!("import `{written}` of a fetched package is of this machine"), help);
        }
        return Ok(source);
    }
    let declared = settings.sources.iter().find(|source| source.name.value == written);
    if let Some(declared) = declared {
        return match (&declared.git, &declared.path) {
            (Some(git), _) => Source::git(git.value.strip_prefix("git+").unwrap_or(&git.value)).or_else(not_fetched),
            (None, Some(path)) => match RelPath::new(path.value.strip_prefix("./").unwrap_or(&path.value)) {
                Ok(path) => Ok(Source::Dir(path)),
                Err(error) => {
                    refuse(Code::P0210, format!("the source of `{written}`: {error}"), "name a folder below it")
                }
            },
            (None, None) => refuse(Code::P0104, format!("`source {written}` needs `git` or `path`"), "add one of them"),
        };
    }
    let folder = RelPath::new(written).ok();
    let is_there =
        folder.as_ref().is_some_and(|folder| RelPath::new("partita.kdl").is_ok_and(|file| has(&folder.join(&file))));
    if from.is_some_and(Source::is_remote) {
        let help = format!("say where it is: `workspace {{ source {written} git=\"https://…\" }}` in the root file");
        let message = format!("a fetched package needs `{written}`, and the workspace does not say where that is");
        return Err(Box::new(Diagnostic::new(Code::P0210, span, message).with_help(help)));
    }
    match folder.filter(|_| is_there) {
        Some(folder) => Ok(Source::Dir(folder)),
        None => {
            let known: Vec<&str> = settings.sources.iter().map(|source| source.name.value.as_str()).collect();
            if let Some(name) = written.strip_prefix("./").map(|name| name.trim_end_matches('/'))
                && RelPath::new(&format!("{name}/partita.kdl")).is_ok_and(|file| has(&file))
            {
                return Err(Box::new(
                    Diagnostic::new(Code::P0205, span, format!("cannot find package `{written}`"))
                        .with_help(format!("packages are named without `./`: `import {name} …`"))
                        .with_fix(crate::diag::Applicability::MachineApplicable, span, crate::lang::print::quote(name)),
                ));
            }
            Err(Box::new(
                Diagnostic::new(Code::P0205, span, format!("cannot find package `{written}`"))
                    .with_suggestion_text(crate::diag::did_you_mean(written, known.iter().copied()))
                    .with_help(format!(
                        "searched: `source` nodes of the root file; `{written}/partita.kdl` in the workspace"
                    ))
                    .with_help("for a file write its path with `.kdl`, for the standard library `<std>/NAME`"),
            ))
        }
    }
}

/// The diagnostic for what is no version.
fn not_a_version(span: Span, text: &str) -> Diagnostic {
    Diagnostic::new(Code::P0301, span, format!("`{text}` is not a version"))
        .with_help("write the least that will do, as `1.3`: at least that, and of the same major version")
}

/// The diagnostic for a package of a repository that is imported at no version.
fn no_version(import: &ImportDecl) -> Diagnostic {
    let written = &import.path.value;
    Diagnostic::new(Code::P0104, import.path.span, format!("the import of `{written}` needs `version`"))
        .with_help("write the least version that will do, as `version=\"1.3\"`; or `rev=` with a commit")
}

/// The diagnostic for a folder or repository without a `package` node.
pub(crate) fn no_package(at: Span, source: &Source) -> Diagnostic {
    Diagnostic::new(Code::P0205, at, format!("`{source}` is not a package"))
        .with_help("a package is a folder with a `partita.kdl` that says `package NAME version=\"1.0.0\"`")
}

fn cannot_read(at: Span, source: &Source, why: &str) -> Diagnostic {
    let mut lines = why.lines();
    let first = lines.next().unwrap_or_default();
    let diagnostic = Diagnostic::new(Code::P0205, at, format!("cannot read package `{source}`: {first}"));
    lines.fold(diagnostic, Diagnostic::with_help)
}

fn conflict(source: &Source, one: (Span, &str), two: (Span, &str)) -> Diagnostic {
    let message = format!("no version of `{source}` satisfies {} and {}", one.1, two.1);
    Diagnostic::new(Code::P0209, one.0, message)
        .with_label(format!("{} is needed here", one.1))
        .with_secondary(two.0, format!("{} is needed here", two.1))
        .with_help("let one of the two need a version that the other can live with")
}
