//! An editing session: the documents an editor has open lie over the files of the disk, and what was
//! parsed once is kept in memory. Answers what the specs around a document come to: names first, then
//! everything that is wrong. Leaves out the editor's protocol, and when to look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Digest, RelPath};
use crate::diag::{Code, Diagnostics};
use crate::lang::{
    Folder, Index, Instances, Locked, ParsedSlices, Program, World, WorldError, compile_loaded, load, stdlib_text,
};
use crate::ops::workspace::{DiskWorld, Locations, ROOT_FILE};

/// Specs of a workspace that are offered for imports.
const SPECS: usize = 2_000;

/// Slices kept in memory; when there are more, those that the last compilation used are.
const SLICES: usize = 50_000;

/// A document that is open.
#[derive(Clone, Debug)]
struct Document {
    text: Arc<str>,
    /// Whether its editor says that it is a spec, whatever is in it.
    spec: bool,
}

/// The state of a session at a moment; cheap to copy.
#[derive(Clone, Default)]
pub struct Session {
    locations: Locations,
    open: BTreeMap<PathBuf, Document>,
    slices: Arc<Mutex<Arc<Slices>>>,
    worlds: Arc<Mutex<BTreeMap<PathBuf, Arc<DiskWorld>>>>,
}

type Slices = BTreeMap<Digest, Arc<[u8]>>;

/// What is known of a folder of specs before it is checked: names, and mistakes of writing.
pub struct Draft {
    /// The folder that paths are relative to.
    pub dir: PathBuf,
    /// What names stand for.
    pub index: Arc<Index>,
    program: Program,
    found: Diagnostics,
}

/// What a folder of specs comes to.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The folder that paths are relative to.
    pub dir: PathBuf,
    /// What names stand for.
    pub index: Arc<Index>,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// What nodes came to.
    pub instances: Instances,
}

impl Session {
    /// A session in which nothing is open. It fetches nothing, whatever the locations say.
    pub fn new(locations: Locations) -> Self {
        Self { locations: Locations { offline: true, ..locations }, ..Self::default() }
    }

    /// Opens a document, or gives it another text. `spec`: whether its editor says that it is one.
    pub fn set(&mut self, path: PathBuf, text: Arc<str>, spec: bool) {
        self.open.insert(path, Document { text, spec });
    }

    /// Closes a document: the file counts again.
    pub fn close(&mut self, path: &Path) {
        self.open.remove(path);
    }

    /// The text of an open document.
    pub fn text(&self, path: &Path) -> Option<&Arc<str>> {
        self.open.get(path).map(|document| &document.text)
    }

    /// Whether the editor of an open document says that it is a spec.
    pub fn is_spec(&self, path: &Path) -> bool {
        self.open.get(path).is_some_and(|document| document.spec)
    }

    /// Where a file really lies, so that one file has one name.
    pub fn real(path: &Path) -> PathBuf {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        match (folder, path.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => path.to_path_buf(),
        }
    }

    /// The folder that the specs around a file are compiled in: that of the nearest root file at or
    /// above it, else its own.
    pub fn home(&self, path: &Path) -> PathBuf {
        let own = path.parent().unwrap_or(path);
        let root = own.ancestors().find(|dir| {
            let root = dir.join(ROOT_FILE);
            self.open.contains_key(&root) || root.is_file()
        });
        root.unwrap_or(own).to_path_buf()
    }

    /// The folders around all open documents.
    pub fn homes(&self) -> BTreeSet<PathBuf> {
        self.open.keys().map(|path| self.home(path)).collect()
    }

    /// Reads the specs of a folder and of the open documents in it. A document that no other imports
    /// counts if it says itself that it is a spec, so that other KDL is left alone.
    pub fn draft(&self, dir: &Path) -> Draft {
        let known = Arc::clone(&self.slices.lock().unwrap_or_else(PoisonError::into_inner));
        let disk = self.disk(dir);
        let kept = Kept { known, disk: disk.clone(), used: Mutex::default(), new: Mutex::default() };
        let world = Overlay { session: self, dir, disk, kept };
        let root = RelPath::new(ROOT_FILE).ok().filter(|_| {
            let path = dir.join(ROOT_FILE);
            self.open.contains_key(&path) || path.is_file()
        });
        let mut roots: Vec<RelPath> = root.into_iter().collect();
        let mut found = Diagnostics::default();
        let mut program = load(&world, &roots, &mut found);
        let reached: BTreeSet<String> = program.files.iter().map(|file| file.path.clone()).collect();
        let others = self
            .open
            .iter()
            .filter(|(path, document)| self.home(path) == dir && (document.spec || begins_as_spec(&document.text)));
        let others: Vec<RelPath> = others
            .filter_map(|(path, _)| RelPath::new(path.strip_prefix(dir).ok()?.to_str()?).ok())
            .filter(|path| !reached.contains(path.as_str()))
            .collect();
        if !others.is_empty() {
            roots.extend(others);
            found = Diagnostics::default();
            program = load(&world, &roots, &mut found);
        }
        world.kept.into_session(&self.slices);
        let index = Arc::new(Index::of(&program));
        Draft { dir: dir.to_path_buf(), index, program, found }
    }

    /// The files of a folder. What earlier commands parsed is read once.
    fn disk(&self, dir: &Path) -> Option<Arc<DiskWorld>> {
        let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = worlds.get(dir) {
            return Some(Arc::clone(known));
        }
        let disk = Arc::new(DiskWorld::new(dir, &self.locations).ok()?);
        worlds.insert(dir.to_path_buf(), Arc::clone(&disk));
        Some(disk)
    }

    /// The spec files of a folder by their paths in it, for those who look for one to import.
    pub fn specs(dir: &Path) -> Vec<String> {
        let hidden = |name: &str| name.starts_with('.') && name.len() > 1 || matches!(name, "target" | "node_modules");
        let walk = walkdir::WalkDir::new(dir).max_depth(8).sort_by_file_name().into_iter();
        let walk = walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_name().to_str().is_some_and(hidden));
        let files = walk.filter_map(Result::ok).take(20 * SPECS).filter(|entry| {
            entry.file_type().is_file() && entry.path().extension().is_some_and(|extension| extension == "kdl")
        });
        let paths = files.filter_map(|entry| Some(entry.path().strip_prefix(dir).ok()?.to_str()?.to_owned()));
        paths.take(SPECS).collect()
    }

    /// A file in which a text that is part of the binary can be looked at: a file of the standard
    /// library. `None` if the user has no cache directory.
    pub fn std_file(&self, path: &str) -> Option<PathBuf> {
        let name = path.strip_prefix("<std>/")?;
        self.page(&format!("std/{name}.kdl"), stdlib_text(path)?)
    }

    /// A file with the page of a code.
    pub fn code_file(&self, code: Code) -> Option<PathBuf> {
        self.page(&format!("codes/{code}.md"), code.info().page)
    }

    fn page(&self, name: &str, text: &str) -> Option<PathBuf> {
        let folder = self.locations.environment.user_cache()?.join("partita-pages").join(env!("CARGO_PKG_VERSION"));
        let path = folder.join(name);
        if std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Some(path);
        }
        std::fs::create_dir_all(path.parent()?).ok()?;
        std::fs::write(&path, text).ok()?;
        Some(path)
    }
}

impl Draft {
    /// Checks and expands.
    pub fn finish(self) -> Findings {
        let compiled = compile_loaded(self.program, self.found);
        Findings { dir: self.dir, index: self.index, diagnostics: compiled.diagnostics, instances: compiled.instances }
    }
}

/// Whether a text says of itself that it is a spec.
fn begins_as_spec(text: &str) -> bool {
    let first = text.trim_start_matches('\u{FEFF}').lines().map(str::trim);
    let mut first = first.filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("/-"));
    first.next().is_some_and(|line| line.split_whitespace().next() == Some("partita"))
}

/// Open documents over files.
struct Overlay<'a> {
    session: &'a Session,
    dir: &'a Path,
    disk: Option<Arc<DiskWorld>>,
    kept: Kept,
}

impl World for Overlay<'_> {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        let full = path.under(self.dir);
        let open = &self.session.open;
        let document = open.get(&full).or_else(|| open.get(&full.canonicalize().ok()?));
        match (document, &self.disk) {
            (Some(document), _) if document.text.len() > crate::base::Limits::SPEC_BYTES => Err(WorldError::TooLarge),
            (Some(document), _) => Ok(document.text.as_bytes().to_vec()),
            (None, Some(disk)) => disk.read(path),
            (None, None) => Err(WorldError::NotFound),
        }
    }

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        let Some(disk) = &self.disk else { return Err(WorldError::NotFound) };
        let on_disk = disk.folder(path)?;
        let full = path.under(self.dir);
        let full = full.canonicalize().unwrap_or(full);
        let open: BTreeMap<&Path, &Document> = self
            .session
            .open
            .iter()
            .filter_map(|(path, document)| Some((path.strip_prefix(&full).ok()?, document)))
            .collect();
        if open.is_empty() {
            return Ok(on_disk);
        }
        let mut folder = Folder::default();
        for (path, file) in on_disk.files() {
            let document = open.get(Path::new(path.as_str()));
            let bytes = document.map_or_else(|| file.bytes.clone(), |document| document.text.as_bytes().to_vec());
            folder.insert(path.as_str(), bytes, file.exec).map_err(|error| WorldError::Io(error.to_string()))?;
        }
        Ok(folder)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        self.disk.as_ref().map_or(Err(WorldError::NotFound), |disk| disk.package(locked))
    }

    fn parsed(&self) -> Option<&dyn ParsedSlices> {
        Some(&self.kept)
    }
}

/// Slices of earlier compilations, and what this one came by.
struct Kept {
    known: Arc<Slices>,
    /// Where earlier commands keep theirs.
    disk: Option<Arc<DiskWorld>>,
    used: Mutex<BTreeSet<Digest>>,
    new: Mutex<Slices>,
}

impl Kept {
    fn into_session(self, slices: &Mutex<Arc<Slices>>) {
        let new = self.new.into_inner().unwrap_or_else(PoisonError::into_inner);
        if new.is_empty() {
            return;
        }
        let mut all = slices.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.used.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(self.known);
        let kept = Arc::make_mut(&mut all);
        if kept.len() + new.len() > SLICES {
            kept.retain(|digest, _| used.contains(digest));
        }
        kept.extend(new);
    }
}

impl ParsedSlices for Kept {
    fn get(&self, slice: Digest) -> Option<&[u8]> {
        let Some(found) = self.known.get(&slice) else { return self.disk.as_ref()?.parsed()?.get(slice) };
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(slice);
        Some(found)
    }

    fn put(&self, slice: Digest, encoded: Vec<u8>) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).insert(slice, encoded.into());
    }
}

#[cfg(test)]
mod tests {
    use super::begins_as_spec;

    #[test]
    fn specs_say_what_they_are() {
        assert!(begins_as_spec("// a\n\n/- kdl-version 2\npartita edition=1\n"));
        assert!(!begins_as_spec("trust version=1\n") && !begins_as_spec("") && !begins_as_spec("partitas\n"));
    }
}
