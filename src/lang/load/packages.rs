//! Packages while files are loaded: which one an import means, that it is what the lock promises, what it
//! exports, and what it may do. Leaves out the choice of versions: see `package::resolve`.
//!
//! A package of a repository comes from the lock alone: from the folder `vendor` if it is there, else
//! as the `World` has it. A package that is a folder of the workspace is read as it is, unless the lock is
//! to be kept to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Digest, RelPath};
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{GrantDecl, ImportDecl, Name, WorkspaceDecl};
use crate::lang::decode::decode;
use crate::lang::load::{At, Loader, mismatch};
use crate::lang::package::{
    Ask, Folder, LOCK_FILE, Lock, Locked, Minimum, Power, Source, VENDOR, Version, need_of, no_package,
};
use crate::lang::program::{DeclKind, FileId, PackageId, ProgramPackage};
use crate::lang::{WorldError, parse};

/// What is known of packages so far.
#[derive(Default)]
pub(super) struct Packages {
    /// By source; `None` for one that cannot be used, which has been reported.
    known: BTreeMap<Source, Option<PackageId>>,
    /// Their contents, where they are not read from the workspace.
    folders: Vec<Option<Arc<Folder>>>,
    /// What they ask for.
    pub(super) asks: Vec<Vec<Ask>>,
    /// The lock file, once it was looked for: what it says, or that it cannot be read.
    lock: Option<Result<Lock, ()>>,
    /// The settings of the workspace.
    settings: Option<WorkspaceDecl>,
    /// Grants of a root file that is not itself compiled.
    grants: Vec<GrantDecl>,
}

const ROOT_FILE: &str = "partita.kdl";

impl Loader<'_> {
    /// The root file of the package that an import means.
    pub(super) fn package(&mut self, file: FileId, import: &ImportDecl) -> Option<At> {
        let settings = self.settings();
        let from = self.program.files[file.0].package.map(|id| self.program.packages[id.0].source.clone());
        let has = |path: &RelPath| self.world.read(path).is_ok();
        let (source, minimum) = match need_of(import, &settings, from.as_ref(), &has) {
            Ok(need) => need,
            Err(diagnostic) => {
                self.diagnostics.push(*diagnostic);
                return None;
            }
        };
        let id = match self.packages.known.get(&source) {
            Some(known) => *known,
            None => {
                let found = self.find(&source, import);
                self.packages.known.insert(source.clone(), found);
                found
            }
        }?;
        self.satisfies(id, import, minimum.as_ref())?;
        Some((Some(id), format!("{}{ROOT_FILE}", self.program.packages[id.0].prefix)))
    }

    /// Finds a package that is imported for the first time.
    fn find(&mut self, source: &Source, import: &ImportDecl) -> Option<PackageId> {
        let span = import.path.span;
        let locked = self.lock().and_then(|lock| lock.of(source).cloned());
        let (folder, package) = match source {
            Source::Dir(dir) => {
                let (name, version) = self.declared(dir, source, span)?;
                let folder = if self.world.locked() {
                    let locked = self.locked(locked, source, span)?;
                    let folder = Arc::new(self.folder(dir, &locked.name, span)?);
                    self.verify(&folder, &locked, span)?;
                    Some(folder)
                } else {
                    None
                };
                let (prefix, place) = (format!("{dir}/"), Some(dir.clone()));
                (folder, (name, version, prefix, place, None))
            }
            Source::Git(_) => {
                let locked = self.locked(locked, source, span)?;
                let vendored = RelPath::new(&format!("{VENDOR}/{}", locked.name)).ok();
                let root = RelPath::new(ROOT_FILE).ok()?;
                let vendored = vendored.filter(|dir| self.world.read(&dir.join(&root)).is_ok());
                let folder = match &vendored {
                    Some(dir) => Arc::new(self.folder(dir, &locked.name, span)?),
                    None => match self.world.package(&locked) {
                        Ok(folder) => folder,
                        Err(error) => {
                            self.unreadable(&locked.name, &error, span);
                            return None;
                        }
                    },
                };
                self.verify(&folder, &locked, span)?;
                let prefix = format!("<{}>/", locked.name);
                (Some(folder), (locked.name.clone(), locked.version.clone(), prefix, vendored, Some(locked)))
            }
        };
        let (name, version, prefix, place, locked) = package;
        self.program.packages.push(ProgramPackage {
            name,
            version,
            source: source.clone(),
            prefix,
            place,
            locked,
            root: None,
            exports: BTreeMap::new(),
            granted: BTreeSet::new(),
        });
        self.packages.folders.push(folder);
        self.packages.asks.push(Vec::new());
        Some(PackageId(self.program.packages.len() - 1))
    }

    /// What a folder of the workspace says it is.
    fn declared(&mut self, dir: &RelPath, source: &Source, span: Span) -> Option<(String, Version)> {
        let file = dir.join(&RelPath::new(ROOT_FILE).ok()?);
        let text = match self.world.read(&file).map(String::from_utf8) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                self.unreadable(&source.to_string(), &error, span);
                return None;
            }
        };
        // Mistakes in it are reported when it is loaded.
        let mut ignored = Diagnostics::default();
        let scratch = self.program.sources.add(file.as_str(), text.as_str());
        let decls = decode(&parse(scratch, &text, &mut ignored), &mut ignored);
        let found = decls.package.and_then(|decl| Some((decl.name.value, Version::parse(&decl.version.value)?)));
        if found.is_none() {
            self.diagnostics.push(no_package(span, source));
        }
        found
    }

    /// What the lock says, reported where it says nothing.
    fn locked(&mut self, locked: Option<Locked>, source: &Source, span: Span) -> Option<Locked> {
        if locked.is_none() && self.lock().is_some() {
            self.diagnostics.push(
                Diagnostic::new(Code::P0208, span, format!("`{source}` is not in `{LOCK_FILE}`"))
                    .with_help("run `partita lock`, and commit the file"),
            );
        }
        locked
    }

    fn folder(&mut self, dir: &RelPath, name: &str, span: Span) -> Option<Folder> {
        match self.world.folder(dir) {
            Ok(folder) => Some(folder),
            Err(error) => {
                self.unreadable(name, &error, span);
                None
            }
        }
    }

    /// Whether the content is what the lock promises.
    fn verify(&mut self, folder: &Folder, locked: &Locked, span: Span) -> Option<()> {
        let found = folder.digest();
        if found == Some(locked.tree) {
            return Some(());
        }
        let found = found.map_or_else(|| "nothing that can be a tree".to_owned(), |digest| format!("b3:{digest}"));
        let mut diagnostic = Diagnostic::new(
            Code::P0207,
            span,
            format!("package `{}` is not what `{LOCK_FILE}` promises", locked.name),
        )
        .with_help(format!("locked b3:{}, found {found}", locked.tree))
        .with_help(if locked.source.is_remote() {
            format!("what is in `{VENDOR}` comes back by `partita vendor`; a cache that was damaged, with the network")
        } else {
            "if that is intended, run `partita lock`".to_owned()
        });
        if let Some(span) = locked.span {
            diagnostic = diagnostic.with_secondary(span, "the lock says so here");
        }
        self.diagnostics.push(diagnostic);
        None
    }

    fn unreadable(&mut self, name: &str, error: &WorldError, span: Span) {
        let text = error.to_string();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let diagnostic = Diagnostic::new(Code::P0205, span, format!("cannot read package `{name}`: {first}"));
        self.diagnostics.push(lines.fold(diagnostic, Diagnostic::with_help));
    }

    /// Whether a package that is known is what this import asks for.
    fn satisfies(&mut self, id: PackageId, import: &ImportDecl, minimum: Option<&Minimum>) -> Option<()> {
        let package = &self.program.packages[id.0];
        let (name, version) = (package.name.clone(), package.version.clone());
        let span = import.version.as_ref().or(import.rev.as_ref()).map_or(import.path.span, |name| name.span);
        let rev = import.rev.as_ref().map(|rev| &rev.value);
        let locked_rev = package.locked.as_ref().and_then(|locked| locked.rev.as_ref());
        let wanted = minimum.is_none_or(|minimum| minimum.admits(&version));
        if !wanted || rev.is_some_and(|rev| Some(rev) != locked_rev) {
            let needed = rev.map_or_else(
                || format!("version {}", minimum.map(ToString::to_string).unwrap_or_default()),
                |rev| format!("revision `{rev}`"),
            );
            self.diagnostics.push(match &package.locked {
                Some(locked) => {
                    let diagnostic = Diagnostic::new(
                        Code::P0208,
                        span,
                        format!("`{LOCK_FILE}` has `{name}` at {version}, and {needed} is needed here"),
                    )
                    .with_help("run `partita lock`, and commit the file");
                    match locked.span {
                        Some(span) => diagnostic.with_secondary(span, "locked here"),
                        None => diagnostic,
                    }
                }
                None => Diagnostic::new(
                    Code::P0209,
                    span,
                    format!("no version of `{name}` satisfies this: {needed} is needed, and the folder is {version}"),
                )
                .with_help("ask for a version it has, or change the `version` of its `package`"),
            });
            return None;
        }
        if let Some(integrity) = &import.integrity {
            let found = match (&self.packages.folders[id.0], &package.source) {
                (Some(folder), _) => folder.digest(),
                (None, Source::Dir(dir)) => {
                    let dir = dir.clone();
                    self.folder(&dir, &name, integrity.span)?.digest()
                }
                (None, Source::Git(_)) => None,
            };
            let found = found.unwrap_or(Digest::from_bytes([0; 32]));
            if found != integrity.value {
                self.diagnostics.push(mismatch(integrity.span, &import.path.value, integrity.value, found));
                return None;
            }
        }
        Some(())
    }

    /// The lock file, empty where there is none; `None` if it cannot be read, which has been reported.
    fn lock(&mut self) -> Option<&Lock> {
        if self.packages.lock.is_none() {
            let read = RelPath::new(LOCK_FILE).ok().map(|path| self.world.read(&path));
            let lock = match read {
                Some(Ok(bytes)) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let source = self.program.sources.add(LOCK_FILE, text.as_str());
                    Lock::read(source, &text, self.diagnostics).ok_or(())
                }
                Some(Err(WorldError::NotFound)) | None => Ok(Lock::default()),
                Some(Err(error)) => {
                    let source = self.program.sources.add(LOCK_FILE, "");
                    let message = format!("cannot read `{LOCK_FILE}`: {error}");
                    self.diagnostics.push(Diagnostic::new(Code::P0205, Span::new(source, 0, 0), message));
                    Err(())
                }
            };
            self.program.lock = lock.as_ref().ok().cloned();
            self.packages.lock = Some(lock);
        }
        self.packages.lock.as_ref().and_then(|lock| lock.as_ref().ok())
    }

    /// The settings of the workspace: those of its root file, also where other files are compiled.
    fn settings(&mut self) -> WorkspaceDecl {
        if let Some(known) = &self.packages.settings {
            return known.clone();
        }
        let is_root = self.roots.iter().any(|root| root.as_str() == ROOT_FILE);
        let own = self.program.files.iter().filter(|file| file.package.is_none());
        let mut found = own
            .filter(|file| self.roots.iter().any(|root| root.as_str() == file.path))
            .find_map(|file| file.decls.workspace.clone());
        if let (None, false, Ok(path)) = (&found, is_root, RelPath::new(ROOT_FILE))
            && let Ok(bytes) = self.world.read(&path)
        {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let source = self.program.sources.add(ROOT_FILE, text.as_str());
            let mut ignored = Diagnostics::default();
            let decls = decode(&parse(source, &text, &mut ignored), &mut ignored);
            self.packages.grants = decls.grants;
            found = decls.workspace;
        }
        let found = found.unwrap_or_default();
        self.packages.settings = Some(found.clone());
        found
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, package: Option<PackageId>, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        match package.map(|id| (id, &self.packages.folders[id.0])) {
            Some((_, Some(folder))) => {
                let file = folder.get(path).ok_or(WorldError::NotFound)?;
                let too_large = file.bytes.len() > crate::base::Limits::SPEC_BYTES;
                if too_large { Err(WorldError::TooLarge) } else { Ok(file.bytes.clone()) }
            }
            Some((id, None)) => match &self.program.packages[id.0].place {
                Some(dir) => self.world.read(&dir.join(path)),
                None => Err(WorldError::NotFound),
            },
            None => self.world.read(path),
        }
    }

    /// The path of a file inside its package, or of the workspace.
    pub(super) fn inside<'p>(&self, package: Option<PackageId>, path: &'p str) -> &'p str {
        let prefix = package.map_or("", |id| self.program.packages[id.0].prefix.as_str());
        path.strip_prefix(prefix).unwrap_or(path)
    }

    /// The path of a file as people find it.
    pub(super) fn shown(&self, package: Option<PackageId>, path: &str) -> String {
        match package.and_then(|id| self.program.packages[id.0].place.as_ref()) {
            Some(place) => format!("{place}/{}", self.inside(package, path)),
            None => path.to_owned(),
        }
    }

    /// The package whose root file this is.
    pub(super) fn package_root(&self, file: FileId) -> Option<PackageId> {
        let this = &self.program.files[file.0];
        let id = this.package?;
        (self.inside(Some(id), &this.path) == ROOT_FILE).then_some(id)
    }

    /// When all files are there: what packages export, and whether they were granted what they ask for.
    pub(super) fn finish_packages(&mut self) {
        for index in 0..self.program.files.len() {
            if let Some(id) = self.package_root(FileId(index)) {
                self.program.packages[id.0].root = Some(FileId(index));
            }
        }
        for index in 0..self.program.packages.len() {
            let exports = self.exports(index);
            self.program.packages[index].exports = exports;
        }
        self.grants();
    }

    /// The names a package exports, each with where it is declared.
    fn exports(&mut self, index: usize) -> BTreeMap<String, (FileId, Name)> {
        let mut exports: BTreeMap<String, (FileId, Name)> = BTreeMap::new();
        let Some(root) = self.program.packages[index].root else { return exports };
        let Some(decl) = self.program.files[root.0].decls.package.clone() else { return exports };
        for name in &decl.exports {
            let (file, bare) = match name.value.split_once('.') {
                Some((alias, rest)) => (self.program.files[root.0].aliases.get(alias).copied(), rest),
                None => (Some(root), name.value.as_str()),
            };
            let is_declared = file.is_some_and(|file| {
                let of_this = self.program.files[file.0].package == Some(PackageId(index));
                of_this && DeclKind::ALL.iter().any(|kind| self.program.declares(file, *kind, bare))
            });
            let Some(file) = file.filter(|_| is_declared) else {
                // What could not be read may have declared it.
                if self.program.lost(root, &name.value) == crate::lang::program::Lost::No {
                    let known = DeclKind::ALL.iter().flat_map(|kind| self.program.own_names(root, *kind));
                    let known: Vec<String> = known.collect();
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code::P0201,
                            name.span,
                            format!("package `{}` declares nothing called `{}`", decl.name.value, name.value),
                        )
                        .with_suggestion(did_you_mean(&name.value, known.iter().map(String::as_str)))
                        .with_help("export what its root file declares, or `ALIAS.NAME` of a file that it imports"),
                    );
                }
                continue;
            };
            let target = Name { value: bare.to_owned(), span: name.span };
            if let Some((_, first)) = exports.insert(bare.to_owned(), (file, target)) {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0202, name.span, format!("`{bare}` is exported twice"))
                        .with_secondary(first.span, "first exported here")
                        .with_help("importers know it by one name: keep one"),
                );
            }
        }
        exports
    }

    /// Reports powers that a fetched package asks for and was not granted, and grants of nothing.
    fn grants(&mut self) {
        let mut granted: BTreeMap<String, BTreeSet<Power>> = BTreeMap::new();
        let mut grants: Vec<GrantDecl> = std::mem::take(&mut self.packages.grants);
        for root in self.program.roots.clone() {
            for grant in self.program.files[root.0].decls.grants.clone() {
                self.check_grant(&grant);
                grants.push(grant);
            }
        }
        for grant in &grants {
            let powers = grant.powers.iter().filter_map(|power| Power::parse(&power.value));
            granted.entry(grant.package.value.clone()).or_default().extend(powers);
        }
        for (index, asks) in self.packages.asks.iter().enumerate() {
            let package = &mut self.program.packages[index];
            if !package.source.is_remote() {
                continue;
            }
            package.granted = granted.get(&package.name).cloned().unwrap_or_default();
            for ask in asks.iter().filter(|ask| !package.granted.contains(&ask.power)) {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0211,
                        ask.span,
                        format!("package `{}` may not have {} without a grant", package.name, ask.what),
                    )
                    .with_label(format!("this asks for the power {}", ask.power.meaning()))
                    .with_help(format!(
                        "look at what it does; then write `grant {} {}` in the root file",
                        package.name,
                        ask.power.word()
                    )),
                );
            }
        }
    }

    fn check_grant(&mut self, grant: &GrantDecl) {
        let words = Power::ALL.iter().map(|power| power.word());
        for power in grant.powers.iter().filter(|power| Power::parse(&power.value).is_none()) {
            self.diagnostics.push(
                Diagnostic::new(Code::P0305, power.span, format!("`{}` is not a power", power.value))
                    .with_suggestion(did_you_mean(&power.value, words.clone()))
                    .with_help(format!("powers: {}", words.clone().collect::<Vec<_>>().join(", "))),
            );
        }
        let name = &grant.package;
        let known: Vec<String> = self.program.packages.iter().map(|package| package.name.clone()).collect();
        let is_lost = self.packages.known.values().any(Option::is_none)
            || self.program.files.iter().any(|file| file.decls.imports_incomplete);
        if !known.contains(&name.value) && !is_lost {
            self.diagnostics.push(
                Diagnostic::new(Code::P0201, name.span, format!("no package `{}` is imported", name.value))
                    .with_suggestion(did_you_mean(&name.value, known.iter().map(String::as_str)))
                    .with_help("a grant names a package as its own `package` node does"),
            );
        }
    }
}
