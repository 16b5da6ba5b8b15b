//! Mending of spec files: which files, what would change, and writing it back. Leaves out what a mend is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::base::RelPath;
use crate::diag::{Code, Diagnostics, SourceMap};
use crate::lang::{Compiled, FixedText, World, fix, parse, upgrade};
use crate::ops::Error;
use crate::ops::check::chosen;
use crate::ops::in_place::{read_text, write_back};
use crate::ops::workspace::Locations;

/// What to mend, and how.
#[derive(Clone, Debug, Default)]
pub struct FixRequest {
    /// Files instead of the workspace's root file.
    pub files: Vec<PathBuf>,
    /// Whether KDL 1 is made KDL 2 first.
    pub kdl1: bool,
    /// Whether files are changed or only looked at.
    pub write: bool,
}

/// A file that was mended, or would be.
#[derive(Clone, Debug)]
pub struct FixedFile {
    /// Its path from the current directory.
    pub path: String,
    /// What was mended, one for each fix.
    pub codes: Vec<Code>,
    /// The change as a unified diff.
    pub diff: String,
}

/// What mending found and did.
pub struct FixReply {
    /// The files, by path.
    pub files: Vec<FixedFile>,
    /// The specs as mended, with what is left to say.
    pub compiled: Compiled,
}

/// Applies every fix that is surely what was meant.
pub fn fix_files(locations: &Locations, request: &FixRequest) -> Result<FixReply, Error> {
    let (world, roots) = chosen(locations, &request.files)?;
    let upgraded = if request.kdl1 { upgraded(&world, &roots) } else { BTreeMap::new() };
    let fixed = fix(&world, &roots, &|code| locations.levels.hides(code), upgraded);
    let mut files = Vec::new();
    for FixedText { path, before, after, codes } in fixed.files {
        let file = path.under(world.dir());
        if request.write {
            // Another may have written it meanwhile: rather say so than lose what they wrote.
            let now = read_text(&file)?;
            if now != before {
                return Err(Error::CheckFailed(format!("`{}` changed while it was mended", file.display())));
            }
            write_back(&file, &after)?;
        }
        let shown = format!("{}{path}", world.base());
        files.push(FixedFile { diff: unified(&shown, &before, &after), path: shown, codes });
    }
    let mut compiled = fixed.compiled;
    locations.levels.apply(&mut compiled.diagnostics);
    Ok(FixReply { files, compiled })
}

/// A change as a unified diff, or nothing if there is none.
pub fn unified(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).header(&format!("a/{name}"), &format!("b/{name}")).to_string()
}

/// The files among these, and those they import, that are KDL 1, as KDL 2. A text that would not be
/// better KDL 2 afterwards is left out.
fn upgraded(world: &dyn World, roots: &[RelPath]) -> BTreeMap<RelPath, (String, Code)> {
    let mut texts = BTreeMap::new();
    let mut todo: Vec<RelPath> = roots.to_vec();
    while let Some(path) = todo.pop() {
        if texts.contains_key(&path) {
            continue;
        }
        let Some(text) = world.read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
        let (old, _) = wrong(&text);
        if old == 0 {
            continue;
        }
        let new = upgrade(&text);
        let (left, imports) = wrong(&new);
        if left >= old {
            continue;
        }
        let folder = Path::new(path.as_str()).parent().unwrap_or(Path::new(""));
        todo.extend(imports.iter().filter_map(|import| {
            let below = folder.join(import.strip_prefix("./").unwrap_or(import));
            RelPath::new(below.to_str()?).ok()
        }));
        texts.insert(path, (new, Code::P0011));
    }
    texts
}

/// How many mistakes of KDL 2 a text has, and the paths it imports.
fn wrong(text: &str) -> (usize, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let source = SourceMap::default().add("", text);
    let nodes = parse(source, text, &mut diagnostics);
    let import = |node: &crate::lang::Node| match node.args.first().map(|value| &value.kind) {
        Some(crate::lang::Kind::Text(path)) if node.name.value == "import" => Some(path.clone()),
        _ => None,
    };
    (diagnostics.sorted().len(), nodes.iter().filter_map(import).collect())
}
