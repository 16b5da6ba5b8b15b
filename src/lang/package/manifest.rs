//! What a package says of itself and which packages it needs, read from its specs before anything is
//! compiled. Leaves out everything else in them.

use std::collections::BTreeSet;

use crate::base::RelPath;
use crate::diag::{Diagnostics, SourceMap};
use crate::lang::ast::{ImportDecl, PackageDecl, WorkspaceDecl};
use crate::lang::decode::decode;
use crate::lang::parse;

/// What is needed of a set of specs to choose versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    /// Its own declaration.
    pub(crate) package: Option<PackageDecl>,
    /// The packages it imports, from whichever of its files.
    pub(crate) imports: Vec<ImportDecl>,
    /// The settings of its root file.
    pub(crate) workspace: Option<WorkspaceDecl>,
}

/// Whether an import is of a package, and not of a file or the standard library.
pub(crate) fn is_package(path: &str) -> bool {
    !path.starts_with("<std>/") && (path.starts_with("git+") || !is_file(path))
}

fn is_file(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(stem, extension)| extension == "kdl" && !stem.is_empty())
}

/// The path of an import of a file, relative to the root of the importing file's set. `None` if it
/// leaves that.
pub(crate) fn file_path(from: &str, written: &str) -> Option<String> {
    let mut segments: Vec<&str> = from.split('/').collect();
    segments.pop();
    if written.starts_with('/') {
        return None;
    }
    for segment in written.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            other => segments.push(other),
        }
    }
    Some(segments.join("/"))
}

/// Reads the root file and all files it imports. `read` gives the text of a file; one that is not
/// there, or is no spec, is an error of compiling and imports nothing here.
pub(crate) fn read(
    root: &str,
    shown: &str,
    read: &mut dyn FnMut(&RelPath) -> Option<String>,
    sources: &mut SourceMap,
) -> Manifest {
    let mut manifest = Manifest::default();
    let mut seen = BTreeSet::from([root.to_owned()]);
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let Some(text) = RelPath::new(&path).ok().and_then(|path| read(&path)) else { continue };
        let source = sources.add(format!("{shown}{path}"), text);
        let text = sources.file(source).text.clone();
        // Mistakes are the compiler's to report.
        let mut ignored = Diagnostics::default();
        let nodes = parse(source, &text, &mut ignored);
        let decls = decode(&nodes, &mut ignored);
        if path == root {
            manifest.package = decls.package;
            manifest.workspace = decls.workspace;
        }
        for import in decls.imports {
            let written = import.path.value.as_str();
            if is_package(written) {
                manifest.imports.push(import);
            } else if !written.starts_with("<std>/")
                && let Some(target) = file_path(&path, written)
                && seen.insert(target.clone())
            {
                open.push(target);
            }
        }
    }
    manifest
}
