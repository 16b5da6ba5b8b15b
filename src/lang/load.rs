//! From root files to the set of all files: reading through the `World`, the guard and the parser,
//! shapes, decoding, imports and their cycles. Leaves out the meaning of declarations.

mod ahead;
mod decoded;
mod front;
mod packages;
mod prompts;
mod records;
mod schemas;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Digest, Limits, RelPath};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::ImportDecl;
use crate::lang::check::unique;
use crate::lang::load::ahead::Ahead;
use crate::lang::load::front::Front;
use crate::lang::load::packages::Packages;
use crate::lang::package::{file_path, is_package};
use crate::lang::parse::Stack;
use crate::lang::program::{FileId, PackageId, Program};
use crate::lang::stdlib::{self, PRELUDE};
use crate::lang::{World, WorldError};

/// Namespaces that an alias may not shadow.
const BUILTIN: &[&str] = &["std", "node"];

/// Reads root files and everything they import.
pub fn load(world: &dyn World, roots: &[RelPath], diagnostics: &mut Diagnostics) -> Program {
    load_with(world, roots, Ahead::read(world, roots), diagnostics)
}

/// As [`load`]; what was not read ahead is read when its turn comes.
fn load_with(world: &dyn World, roots: &[RelPath], ahead: Ahead, diagnostics: &mut Diagnostics) -> Program {
    let mut loader = Loader {
        world,
        program: Program::default(),
        known: BTreeMap::new(),
        open: Vec::new(),
        packages: Packages::default(),
        ahead,
        roots,
        diagnostics,
    };
    for root in roots {
        if let Some(file) = loader.root(root.as_str())
            && !loader.program.roots.contains(&file)
        {
            loader.program.roots.push(file);
        }
    }
    let prelude = loader.root(PRELUDE);
    loader.program.prelude = prelude;
    loader.finish_packages();
    records::find_records(&mut loader.program, loader.diagnostics);
    loader.read_prompts();
    loader.read_schemas();
    loader.program
}

/// Where a file is: its package, and its path as shown.
type At = (Option<PackageId>, String);

struct Loader<'a> {
    world: &'a dyn World,
    program: Program,
    known: BTreeMap<At, Option<FileId>>,
    /// The files whose imports are being followed, each imported by the one before. Not the call
    /// stack: a chain of imports may be as long as there may be files.
    open: Vec<Open>,
    packages: Packages,
    ahead: Ahead,
    roots: &'a [RelPath],
    diagnostics: &'a mut Diagnostics,
}

/// A file whose imports are being followed.
struct Open {
    id: FileId,
    at: At,
    /// Imports to follow, the next one last.
    imports: Vec<ImportDecl>,
}

impl Loader<'_> {
    /// Reads a file and all that it imports.
    fn root(&mut self, path: &str) -> Option<FileId> {
        let id = self.file(None, path, None);
        while let Some(open) = self.open.last_mut() {
            match open.imports.pop() {
                Some(import) => {
                    let id = open.id;
                    self.import(id, &import);
                }
                None => drop(self.open.pop()),
            }
        }
        id
    }

    /// Reads one file; its imports are followed next.
    fn file(&mut self, package: Option<PackageId>, path: &str, wanted: Option<Span>) -> Option<FileId> {
        let at = (package, path.to_owned());
        if let Some(known) = self.known.get(&at) {
            return *known;
        }
        self.known.insert(at.clone(), None);
        // What was read ahead is of the workspace and of the standard library.
        let ahead = package.is_none().then(|| self.ahead.take(path)).flatten();
        let (text, front) = match ahead {
            Some(read) => read,
            None => (self.read(package, path, wanted)?.into(), None),
        };
        let source = self.program.sources.add(self.shown(package, path), Arc::clone(&text));
        let front = front
            .filter(|front| front.source == source)
            .unwrap_or_else(|| Front::read(Stack::Any, source, path, &text, package.is_some(), self.world.parsed()));
        let Front { mut file, asks, diagnostics, .. } = front;
        self.diagnostics.extend(diagnostics);
        let mut imports = file.decls.imports.clone();
        if let Some(package) = package.map(|id| &mut self.packages.asks[id.0]) {
            package.extend(asks);
        }
        file.package = package;
        self.program.files.push(file);
        let id = FileId(self.program.files.len() - 1);
        self.known.insert(at.clone(), Some(id));
        unique(imports.iter().map(|import| &import.alias), "alias", self.diagnostics);
        imports.reverse();
        self.open.push(Open { id, at, imports });
        Some(id)
    }

    fn read(&mut self, package: Option<PackageId>, path: &str, wanted: Option<Span>) -> Option<String> {
        if let Some(text) = stdlib::find(path) {
            return Some(text.to_owned());
        }
        let result = if path.starts_with("<std>/") {
            let known: Vec<&str> = stdlib::FILES.iter().map(|(name, _)| *name).collect();
            Err((Code::P0205, format!("the standard library has no `{path}`"), format!("it has: {}", known.join(", "))))
        } else if self.program.files.len() >= Limits::SPEC_FILES {
            Err((
                Code::P0205,
                format!("more than {} files are imported", Limits::SPEC_FILES),
                "split the workspace".to_owned(),
            ))
        } else {
            match RelPath::new(self.inside(package, path))
                .map_err(|error| WorldError::Io(error.to_string()))
                .and_then(|path| self.bytes(package, &path))
            {
                Ok(bytes) => match String::from_utf8(bytes) {
                    Ok(text) => Ok(text),
                    Err(error) => {
                        let at = error.utf8_error().valid_up_to();
                        Err((
                            Code::P0013,
                            format!("`{path}` is not UTF-8 text"),
                            format!("the first bad byte is at offset {at}"),
                        ))
                    }
                },
                Err(WorldError::TooLarge) => Err((
                    Code::P0001,
                    format!("`{path}` is larger than 4 MiB"),
                    "split it, or move data to a file input".to_owned(),
                )),
                Err(error) => Err((
                    Code::P0205,
                    format!("cannot read {} `{path}`: {error}", if wanted.is_some() { "import" } else { "spec" }),
                    "paths of imports are relative to the importing file".to_owned(),
                )),
            }
        };
        match result {
            Ok(text) => Some(text),
            Err((code, message, help)) => {
                let span = wanted.unwrap_or_else(|| {
                    let source = self.program.sources.add(path, "");
                    Span::new(source, 0, 0)
                });
                self.diagnostics.push(Diagnostic::new(code, span, message).with_help(help));
                None
            }
        }
    }

    fn import(&mut self, file: FileId, import: &ImportDecl) {
        let alias = &import.alias;
        // Of the library's own file nothing is named in holes, where `node.…` is a key of the node taken.
        let is_library = import.path.value == format!("<std>/{}", alias.value);
        if BUILTIN.contains(&alias.value.as_str()) && !is_library {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0212,
                    alias.span,
                    format!("alias `{}` shadows a name that is built in", alias.value),
                )
                .with_help("choose another `as=`"),
            );
            self.program.files[file.0].failed_aliases.insert(alias.value.clone());
            return;
        }
        if alias.value.is_empty() || alias.value.contains(['.', '/']) {
            self.diagnostics.push(
                Diagnostic::new(Code::P0301, alias.span, format!("`{}` cannot be an alias", alias.value))
                    .with_help("an alias is a name without `.` and `/`"),
            );
            self.program.files[file.0].decls.imports_incomplete = true;
            return;
        }
        match self.target(file, import) {
            Some(target) => drop(self.program.files[file.0].aliases.entry(alias.value.clone()).or_insert(target)),
            None => drop(self.program.files[file.0].failed_aliases.insert(alias.value.clone())),
        }
    }

    /// The file that an import makes visible.
    fn target(&mut self, file: FileId, import: &ImportDecl) -> Option<FileId> {
        let target = self.place(file, import)?;
        if let Some(from) = self.open.iter().position(|open| open.at == target) {
            let mut chain: Vec<&str> = self.open[from..].iter().take(6).map(|open| open.at.1.as_str()).collect();
            if self.open.len() - from > 6 {
                chain.push("…");
            }
            chain.push(&target.1);
            self.diagnostics.push(
                Diagnostic::new(Code::P0206, import.path.span, format!("imports form a cycle: {}", chain.join(" → ")))
                    .with_help("move what both need to a third file"),
            );
            return None;
        }
        let id = self.file(target.0, &target.1, Some(import.path.span))?;
        if let (Some(integrity), None) = (&import.integrity, self.package_root(id)) {
            let source = self.program.files[id.0].source;
            let found = Digest::of_blob(self.program.sources.file(source).text.as_bytes());
            if found != integrity.value {
                self.diagnostics.push(mismatch(integrity.span, &import.path.value, integrity.value, found));
                return None;
            }
        }
        Some(id)
    }

    /// Where the file is that an import means: its package, and its path.
    fn place(&mut self, file: FileId, import: &ImportDecl) -> Option<At> {
        let this = &self.program.files[file.0];
        let (package, path) = (this.package, this.path.clone());
        let written = import.path.value.as_str();
        if written.starts_with("<std>/") {
            return Some((None, written.to_owned()));
        }
        if is_package(written) {
            return self.package(file, import);
        }
        if let Some(property) = import.version.as_ref().or(import.rev.as_ref()) {
            self.diagnostics.push(
                Diagnostic::new(Code::P0102, property.span, format!("`{written}` is a file, which has no versions"))
                    .with_help("packages have: `import \"NAME\" version=…`; a file can be pinned by `integrity`"),
            );
        }
        // What stands before the path of a file of a package is no part of it.
        let prefix = package.map_or(String::new(), |id| self.program.packages[id.0].prefix.clone());
        let inside = path.strip_prefix(&prefix).unwrap_or(&path);
        match file_path(inside, written) {
            Some(target) if !path.starts_with("<std>/") => Some((package, format!("{prefix}{target}"))),
            _ => {
                let (what, help) = match package {
                    Some(id) => (
                        format!("import `{written}` leaves package `{}`", self.program.packages[id.0].name),
                        "a package imports its own files, `<std>/…`, and other packages by name or `git+URL`",
                    ),
                    None => (
                        format!("import `{written}` leaves the workspace"),
                        "specs may import files of their own workspace, packages and `<std>/…`",
                    ),
                };
                self.diagnostics.push(Diagnostic::new(Code::P0210, import.path.span, what).with_help(help));
                None
            }
        }
    }
}

/// The diagnostic for content that is not what was promised.
fn mismatch(span: Span, what: &str, promised: Digest, found: Digest) -> Diagnostic {
    Diagnostic::new(Code::P0207, span, format!("`{what}` is not what was promised"))
        .with_label(format!("b3:{promised}"))
        .with_help(format!("it is b3:{found}"))
        .with_help("look at what changed before you write the new digest here")
}
