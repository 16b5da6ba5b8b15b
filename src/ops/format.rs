//! Formatting of spec files: which files, and writing back only what changed. Leaves out how text is
//! formatted.

use std::path::{Path, PathBuf};

use crate::diag::{Diagnostics, SourceMap};
use crate::lang::{FormatError, format};
use crate::ops::Error;
use crate::ops::fix::unified;
use crate::ops::in_place::{read_text, write_back};
use crate::ops::workspace::{Locations, find};

/// What formatting found and did.
#[derive(Default)]
pub struct Formatted {
    /// Files that were not in canonical form.
    pub changed: Vec<PathBuf>,
    /// What changes in them, as unified diffs.
    pub diff: String,
    /// What is wrong in files that could not be read as KDL; they are left as they are.
    pub diagnostics: Diagnostics,
    /// Their texts.
    pub sources: SourceMap,
}

/// Formats one text.
pub fn format_text(name: &str, text: &str) -> Result<String, (Diagnostics, SourceMap)> {
    let mut sources = SourceMap::default();
    let source = sources.add(name, text);
    match format(source, text) {
        Ok(formatted) => Ok(formatted),
        Err(FormatError::Syntax(diagnostics)) => Err((diagnostics, sources)),
        // Rather the text as it is than one that means something else.
        Err(FormatError::Unfaithful) => Ok(text.to_owned()),
    }
}

/// Formats files, folders (all `.kdl` below them), or with neither the workspace. `write` says whether
/// they are changed or only looked at.
pub fn format_files(locations: &Locations, files: &[PathBuf], write: bool) -> Result<Formatted, Error> {
    let mut all = Vec::new();
    if files.is_empty() {
        collect(&find(locations)?, &mut all);
    }
    for file in files {
        let path = locations.current.join(file);
        if path.is_dir() {
            collect(&path, &mut all);
        } else {
            all.push(path);
        }
    }
    let mut formatted = Formatted::default();
    for path in all {
        let text = read_text(&path)?;
        let source = formatted.sources.add(path.display().to_string(), text.as_str());
        match format(source, &text) {
            Ok(canonical) if canonical == text => {}
            Ok(canonical) => {
                let base = path.strip_prefix(&locations.current).unwrap_or(&path);
                formatted.diff.push_str(&unified(&base.display().to_string(), &text, &canonical));
                if write {
                    write_back(&path, &canonical)?;
                }
                formatted.changed.push(path);
            }
            Err(FormatError::Syntax(diagnostics)) => formatted.diagnostics.extend(diagnostics),
            Err(error @ FormatError::Unfaithful) => return Err(Error::Internal(error.to_string())),
        }
    }
    Ok(formatted)
}

/// Every `.kdl` file below a folder, leaving out hidden folders, `target` and `node_modules`.
fn collect(dir: &Path, all: &mut Vec<PathBuf>) {
    let hidden = |name: &str| name.starts_with('.') && name.len() > 1 || matches!(name, "target" | "node_modules");
    let walk = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_name().to_str().is_some_and(hidden));
    for entry in walk.filter_map(Result::ok) {
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|extension| extension == "kdl") {
            all.push(entry.into_path());
        }
    }
}
