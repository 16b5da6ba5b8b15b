//! The workspace: where it is, what its root file says about store, state and outputs, and its files
//! as the compiler's world. Leaves out the meaning of specs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Environment, Limits, RelPath};
use crate::diag::{Diagnostics, Levels};
use crate::lang::{
    Compiled, Folder, Locked, ParsedSlices, VENDOR, WorkspaceDecl, World, WorldError, compile_loaded, load,
};
use crate::ops::Error;
use crate::ops::package_store::{PackageStore, read_folder};
use crate::ops::slices::SliceFile;

/// The root file of a workspace.
pub const ROOT_FILE: &str = "partita.kdl";

/// What a front knows of where things are, before the workspace has been read.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    /// `-C`.
    pub workspace: Option<PathBuf>,
    /// `--store`.
    pub store: Option<PathBuf>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--out`.
    pub out: Option<PathBuf>,
    /// `--tenant`.
    pub tenant: Option<String>,
    /// The directory the process was started in.
    pub current: PathBuf,
    /// The environment.
    pub environment: Environment,
    /// Whether packages must be as the lock file has them, those in the workspace as well.
    pub locked: bool,
    /// Whether nothing may be fetched.
    pub offline: bool,
    /// What becomes of warnings in the specs found there.
    pub levels: Levels,
}

/// A workspace whose root file has been found.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The folder of the root file: imports are relative to it.
    pub dir: PathBuf,
    /// The folder inputs are relative to.
    pub root: PathBuf,
    /// The store directory.
    pub store: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Where outputs appear.
    pub out: PathBuf,
    /// Folders that are no input, besides store, state and outputs.
    pub excluded: Vec<PathBuf>,
    /// The specs, compiled.
    pub compiled: Compiled,
    /// What becomes of warnings.
    pub levels: Levels,
}

/// Finds the root file: in the folder given, or in the nearest parent of the current one.
pub fn find(locations: &Locations) -> Result<PathBuf, Error> {
    if let Some(given) = &locations.workspace {
        let dir = locations.current.join(given);
        if dir.join(ROOT_FILE).is_file() {
            return Ok(dir);
        }
        return Err(Error::usage_help(
            format!("`{}` is not a workspace: it has no `{ROOT_FILE}`", given.display()),
            format!("make one: `partita init {}`", given.display()),
        ));
    }
    let mut dir = locations.current.as_path();
    loop {
        if dir.join(ROOT_FILE).is_file() {
            return Ok(dir.to_path_buf());
        }
        dir = dir.parent().ok_or_else(|| {
            Error::usage_help(
                format!("neither `{}` nor a folder above it has a `{ROOT_FILE}`", locations.current.display()),
                "make a workspace here: `partita init`",
            )
        })?;
    }
}

/// Opens the workspace and compiles its specs. That they have errors is not an error here.
pub fn open(locations: &Locations) -> Result<Workspace, Error> {
    let dir = find(locations)?;
    let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
    let world = DiskWorld::new(&dir, locations)?;
    let root_file = RelPath::new(ROOT_FILE).map_err(|error| Error::usage(error.to_string()))?;
    let mut compiled = world.compile(&[root_file]);
    locations.levels.apply(&mut compiled.diagnostics);
    settle(locations, dir, compiled)
}

/// A workspace of compiled specs: where things are, by what the specs, the environment and the request say.
pub(super) fn settle(locations: &Locations, dir: PathBuf, compiled: Compiled) -> Result<Workspace, Error> {
    let settings = settings(&compiled).cloned().unwrap_or_default();
    let root = settings.root.as_ref().map_or_else(|| dir.clone(), |name| dir.join(&name.value));
    let root = root.canonicalize().map_err(Error::io("find", &root))?;
    let setting = |name: &Option<crate::lang::Spanned<String>>| name.as_ref().map(|name| root.join(&name.value));
    let given = |option: &Option<PathBuf>, variable| {
        let from_env = || locations.environment.get(variable).map(PathBuf::from);
        option.clone().or_else(from_env).map(|path| locations.current.join(path))
    };
    let store = given(&locations.store, Environment::STORE)
        .or_else(|| setting(&settings.store))
        .map_or_else(|| default_store(&locations.environment), Ok)?;
    let state = given(&locations.state, Environment::STATE)
        .or_else(|| setting(&settings.state))
        .unwrap_or_else(|| root.join(STATE_DIR));
    let out = locations
        .out
        .as_ref()
        .map(|path| locations.current.join(path))
        .or_else(|| setting(&settings.out))
        .unwrap_or_else(|| root.join("out"));
    Ok(Workspace {
        dir,
        root,
        store: tidy(&store),
        state: tidy(&state),
        out: tidy(&out),
        excluded: Vec::new(),
        compiled,
        levels: locations.levels.clone(),
    })
}

/// What the root file says of the workspace.
pub(super) fn settings(compiled: &Compiled) -> Option<&WorkspaceDecl> {
    let root = compiled.program.roots.first()?;
    compiled.program.file(*root).decls.workspace.as_ref()
}

/// The store directory without a workspace: as given, or the user's cache directory.
pub fn store_dir(locations: &Locations) -> Result<PathBuf, Error> {
    let given = locations.store.clone().or_else(|| locations.environment.get(Environment::STORE).map(PathBuf::from));
    if let Some(given) = given {
        return Ok(tidy(&locations.current.join(given)));
    }
    match open(locations) {
        Ok(workspace) => Ok(workspace.store),
        Err(_) => default_store(&locations.environment),
    }
}

fn default_store(environment: &Environment) -> Result<PathBuf, Error> {
    environment.user_cache().map(|cache| cache.join("partita")).ok_or_else(|| {
        Error::usage_help(
            "there is no place for the store: `HOME` is not set",
            "name one: `--store DIR` or `PARTITA_STORE`",
        )
    })
}

/// The name of a state directory that nobody named otherwise.
const STATE_DIR: &str = ".partita";

/// Makes the state directory if it is missing. It holds private keys, so that version control is told to
/// leave all of it alone; a folder of another name that was there before may be more than ours.
pub(super) fn make_state(state: &Path) -> Result<(), Error> {
    let failed = |error| Error::Io { what: "make the state directory", path: state.to_owned(), source: error };
    let is_new = !state.is_dir();
    std::fs::create_dir_all(state).map_err(failed)?;
    let ignore = state.join(".gitignore");
    if (is_new || state.ends_with(STATE_DIR)) && !ignore.exists() {
        std::fs::write(&ignore, "# Private keys and history: never committed.\n*\n").map_err(failed)?;
    }
    Ok(())
}

/// Drops `.` and resolves `..` by name, so that messages and comparisons see one form of a path.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    out
}

/// What leads from one folder to another, as a beginning of paths: empty, or with a `/` at the end. Both are
/// absolute and without links.
pub(super) fn base_of(dir: &Path, current: &Path) -> String {
    if let Ok(below) = dir.strip_prefix(current) {
        let below = below.to_string_lossy();
        return if below.is_empty() { String::new() } else { format!("{below}/") };
    }
    match current.strip_prefix(dir) {
        Ok(above) => "../".repeat(above.components().count()),
        Err(_) => format!("{}/", dir.to_string_lossy().trim_end_matches('/')),
    }
}

/// The files of a folder as the compiler's world. A file behind a symlink that leaves it is outside.
pub struct DiskWorld {
    dir: PathBuf,
    /// The way there from the current directory.
    base: String,
    packages: PackageStore,
    locked: bool,
    parsed: Option<SliceFile>,
    tenant: Option<String>,
}

impl DiskWorld {
    /// The world of a folder.
    pub fn new(dir: &Path, locations: &Locations) -> Result<Self, Error> {
        let dir = dir.canonicalize().map_err(Error::io("find", dir))?;
        let parsed = SliceFile::of(&dir, &locations.environment);
        let packages = PackageStore::new(locations, &dir);
        let tenant = locations.tenant.clone();
        let base = base_of(&dir, &locations.current);
        Ok(Self { dir, base, packages, locked: locations.locked, parsed, tenant })
    }

    /// Compiles root files, and keeps what was parsed for the next time.
    pub fn compile(&self, roots: &[RelPath]) -> Compiled {
        let mut diagnostics = Diagnostics::default();
        let mut program = load(self, roots, &mut diagnostics);
        program.tenant.clone_from(&self.tenant);
        let mut compiled = std::thread::scope(|scope| {
            // Everything is parsed by now: what is kept is written beside the rest of the work.
            let news = self.parsed.as_ref().filter(|parsed| parsed.has_news());
            let writer = std::thread::Builder::new().name("partita-keep".to_owned());
            if let Some(parsed) = news
                && writer.spawn_scoped(scope, || parsed.keep()).is_err()
            {
                parsed.keep();
            }
            compile_loaded(program, diagnostics)
        });
        compiled.program.sources.set_base(&self.base);
        compiled
    }

    /// A fetched package: the one in the workspace, if it is there and is what the lock promises.
    pub(super) fn locked_folder(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        let vendored = RelPath::new(&format!("{VENDOR}/{}", locked.name)).ok();
        let vendored = vendored.and_then(|dir| self.folder(&dir).ok());
        match vendored.filter(|folder| folder.digest() == Some(locked.tree)) {
            Some(folder) => Ok(Arc::new(folder)),
            None => self.packages.package(locked),
        }
    }
}

impl DiskWorld {
    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What leads from the current directory to the folder: empty, or with a `/` at the end.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl World for DiskWorld {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        let full = path.under(&self.dir);
        let real = full.canonicalize().map_err(world_error)?;
        if !real.starts_with(&self.dir) {
            return Err(WorldError::Outside);
        }
        let metadata = real.metadata().map_err(world_error)?;
        if !metadata.is_file() {
            return Err(WorldError::Io("it is not a regular file".to_owned()));
        }
        let mut bytes = Vec::new();
        let limit = Limits::SPEC_BYTES as u64 + 1;
        std::fs::File::open(&real).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(world_error)?;
        if bytes.len() > Limits::SPEC_BYTES {
            return Err(WorldError::TooLarge);
        }
        Ok(bytes)
    }

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        let real = path.under(&self.dir).canonicalize().map_err(world_error)?;
        if !real.starts_with(&self.dir) {
            return Err(WorldError::Outside);
        }
        read_folder(&real)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        self.packages.package(locked)
    }

    fn locked(&self) -> bool {
        self.locked
    }

    fn parsed(&self) -> Option<&dyn ParsedSlices> {
        self.parsed.as_ref().map(|parsed| parsed as &dyn ParsedSlices)
    }
}

fn world_error(error: std::io::Error) -> WorldError {
    match error.kind() {
        std::io::ErrorKind::NotFound => WorldError::NotFound,
        _ => WorldError::Io(error.to_string()),
    }
}
