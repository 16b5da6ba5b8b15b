//! The inventory of a bundle, made of what is staged: every file that goes in, and the lock files beside them.
//! Leaves out the document, which a port makes.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};

use crate::base::{Entry, RelPath};
use crate::exec::builtin::{Staged, content};
use crate::exec::error::Trouble;
use crate::exec::ports::{Contents, Inventory, Packed};
use crate::plan::{Plan, Sbom, ToolIdentity};

/// The first segment of the places where what goes in is staged.
const STAGED: &str = ".bundle";
/// Files that an inventory may list.
const FILES: usize = 1_000_000;

/// Makes the document of an inventory.
pub(super) fn document(
    sbom: &Sbom,
    plan: &Plan,
    tools: &BTreeMap<String, ToolIdentity>,
    staged: &Staged,
    inventory: &dyn Inventory,
) -> Result<Vec<u8>, Trouble> {
    let mut files = BTreeMap::new();
    for file in &sbom.files {
        flatten(&file.to, &staged.entry(&file.at)?, staged, &mut files)?;
    }
    let excluded: Vec<GlobMatcher> = sbom.excludes.iter().filter_map(|pattern| matcher(pattern)).collect();
    files.retain(|path, _| !excluded.iter().any(|pattern| pattern.is_match(path.as_str())));
    let mut around = BTreeMap::new();
    for (name, entry) in &staged.root.entries {
        if name != STAGED
            && let Ok(path) = RelPath::new(name)
        {
            flatten(&path, entry, staged, &mut around)?;
        }
    }
    let mut locks = BTreeMap::new();
    for path in around.into_keys().filter(|path| inventory.is_lock(path.name())) {
        let text = staged.text(&path)?;
        locks.insert(path, text);
    }
    let known = plan.tools.iter().filter_map(|tool| Some((tool, tools.get(&tool.name)?)));
    let contents = Contents { sbom, files, locks, tools: known.collect() };
    inventory.document(&contents, staged.cas.as_ref()).map_err(content)
}

fn matcher(pattern: &str) -> Option<GlobMatcher> {
    // Patterns were checked with the spec.
    Some(GlobBuilder::new(pattern).literal_separator(true).build().ok()?.compile_matcher())
}

/// All files at or below an entry.
fn flatten(at: &RelPath, entry: &Entry, staged: &Staged, files: &mut BTreeMap<RelPath, Packed>) -> Result<(), Trouble> {
    match entry {
        Entry::File { digest, size, exec } => {
            if files.len() >= FILES {
                return Err(content(format!("an inventory lists at most {FILES} files")));
            }
            let packed = Packed { digest: *digest, size: *size, exec: *exec };
            if files.insert(at.clone(), packed).is_some() {
                return Err(content(format!("two outputs put a file at `{at}` of the bundle")));
            }
        }
        Entry::Symlink { .. } => {
            return Err(content(format!(
                "`{at}` is a symbolic link, which a bundle cannot hold: let the action leave a copy, `cp -L`"
            )));
        }
        Entry::Dir { digest } => {
            for (name, entry) in &staged.levels.get(*digest)?.entries {
                let name = RelPath::new(name).map_err(|error| content(error.to_string()))?;
                flatten(&at.join(&name), entry, staged, files)?;
            }
        }
    }
    Ok(())
}
