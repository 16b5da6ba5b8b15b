//! Locking and vendoring packages: what versions there are, which are chosen, and the files that say so.
//! Leaves out how versions are chosen, which is the language's, and how they are fetched.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::RelPath;
use crate::diag::{Diagnostics, SourceMap, did_you_mean};
use crate::lang::{
    Candidate, Catalog, CatalogError, LOCK_FILE, Lock, Locked, Pick, Resolver, Source, VENDOR, Version, World,
    WorldError, resolve,
};
use crate::ops::Error;
use crate::ops::git::{Reference, is_hash};
use crate::ops::package_store::{PackageStore, write_folder};
use crate::ops::workspace::{DiskWorld, Locations, ROOT_FILE, find};

/// What to do with the lock file.
#[derive(Clone, Debug, Default)]
pub struct LockRequest {
    /// Write nothing; say whether it would be as it is.
    pub check: bool,
    /// The package to take as new as can be.
    pub update: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct LockReply {
    /// The lock.
    pub lock: Lock,
    /// What differs from the lock there was, a line each.
    pub changes: Vec<String>,
    /// Whether the file was, or would be, written.
    pub written: bool,
}

/// Specs, or a lock file, that are wrong.
#[derive(Debug)]
pub struct SpecErrors {
    /// What is wrong.
    pub diagnostics: Diagnostics,
    /// The texts.
    pub sources: SourceMap,
}

/// Chooses versions and writes the lock file. The inner error tells what is wrong in the specs.
pub fn lock(locations: &Locations, request: &LockRequest) -> Result<Result<LockReply, SpecErrors>, Error> {
    let dir = find(locations)?;
    let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
    let world = DiskWorld::new(&dir, locations)?;
    let store = PackageStore::new(locations, &dir);
    let (previous, text) = match read_lock(&world)? {
        Ok(found) => found,
        Err(errors) => return Ok(Err(errors)),
    };
    if let Some(name) = &request.update
        && previous.named(name).is_none()
    {
        let known: Vec<&str> = previous.packages.iter().map(|package| package.name.as_str()).collect();
        let help = match did_you_mean(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "run `partita lock` first".to_owned(),
            None => format!("it has: {}", known.join(", ")),
        };
        return Err(Error::usage_help(format!("`{LOCK_FILE}` has no package `{name}`"), help));
    }
    let root = RelPath::new(ROOT_FILE).map_err(|error| Error::usage(error.to_string()))?;
    let catalog = Known { store: &store, world: &world, previous: &previous, references: RefCell::default() };
    let resolution = resolve(&Resolver {
        world: &world,
        root: &root,
        catalog: &catalog,
        previous: Some(&previous),
        update: request.update.as_deref(),
    });
    if resolution.diagnostics.has_errors() {
        return Ok(Err(SpecErrors { diagnostics: resolution.diagnostics, sources: resolution.sources }));
    }
    let lock = resolution.lock;
    let new = lock.write();
    // Without packages there is nothing to lock.
    let written = new != text && !(lock.packages.is_empty() && text.is_empty());
    if written && !request.check {
        replace(&dir.join(LOCK_FILE), new.as_bytes())?;
    }
    Ok(Ok(LockReply { changes: changes(&previous, &lock), lock, written }))
}

fn read_lock(world: &DiskWorld) -> Result<Result<(Lock, String), SpecErrors>, Error> {
    let path = RelPath::new(LOCK_FILE).map_err(|error| Error::usage(error.to_string()))?;
    let text = match world.read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(WorldError::NotFound) => return Ok(Ok((Lock::default(), String::new()))),
        Err(error) => return Err(Error::usage(format!("cannot read `{LOCK_FILE}`: {error}"))),
    };
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let source = sources.add(LOCK_FILE, text.as_str());
    Ok(match Lock::read(source, &text, &mut diagnostics) {
        Some(lock) => Ok((lock, text)),
        None => Err(SpecErrors { diagnostics, sources }),
    })
}

fn replace(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = file.parent().unwrap_or(file);
    let failed = || Error::io("write", file);
    let mut new = tempfile::Builder::new().prefix(".partita-lock-").tempfile_in(dir).map_err(failed())?;
    std::io::Write::write_all(&mut new, bytes).map_err(failed())?;
    // As a file that an editor made: others may read it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(mode).map_err(failed())?;
    new.persist(file).map_err(|error| failed()(error.error))?;
    Ok(())
}

/// What differs between two locks, a line each.
pub(super) fn changes(before: &Lock, after: &Lock) -> Vec<String> {
    let at = |package: &Locked| match &package.rev {
        Some(rev) => format!("{} ({rev})", package.version),
        None => package.version.to_string(),
    };
    let mut lines = Vec::new();
    for package in &after.packages {
        let name = &package.name;
        match before.named(name) {
            None => lines.push(format!("added {name} {} from {}", at(package), package.source)),
            Some(old) if old.source != package.source => {
                lines.push(format!("{name} {} from {} instead of {}", at(package), package.source, old.source));
            }
            Some(old) if old.version != package.version || old.rev != package.rev => {
                lines.push(format!("{name} {} -> {}", at(old), at(package)));
            }
            Some(old) if (old.tree, &old.commit) != (package.tree, &package.commit) => {
                lines.push(format!("{name} {} has other content", at(package)));
            }
            Some(old) if (old.own_lock, &old.at_least) != (package.own_lock, &package.at_least) => {
                lines.push(format!("{name} {} is kept for another reason", at(package)));
            }
            Some(_) => {}
        }
    }
    for package in before.packages.iter().filter(|package| after.named(&package.name).is_none()) {
        lines.push(format!("removed {} {}", package.name, at(package)));
    }
    lines
}

/// Versions as the repositories have them; without the network, as the lock has them.
struct Known<'a> {
    store: &'a PackageStore,
    world: &'a DiskWorld,
    previous: &'a Lock,
    references: RefCell<BTreeMap<Source, Vec<Reference>>>,
}

const OFFLINE: &str = "it is not in the lock file as it is needed, and `--offline` forbids to ask its repository\n\
                       allow that by `--offline=false`";

impl Known<'_> {
    fn references(&self, source: &Source) -> Result<Vec<Reference>, CatalogError> {
        if let Some(known) = self.references.borrow().get(source) {
            return Ok(known.clone());
        }
        let found = self.store.git().references(source, self.store.dir()).map_err(CatalogError)?;
        self.references.borrow_mut().insert(source.clone(), found.clone());
        Ok(found)
    }
}

impl Catalog for Known<'_> {
    fn versions(&self, source: &Source) -> Result<Vec<Version>, CatalogError> {
        if self.store.is_offline() {
            let locked = self.previous.of(source).ok_or_else(|| CatalogError(OFFLINE.to_owned()))?;
            return Ok(vec![locked.version.clone()]);
        }
        let references = self.references(source)?;
        let tags = references.iter().filter_map(|reference| reference.name.strip_prefix("refs/tags/"));
        Ok(tags.filter_map(Version::of_tag).collect())
    }

    fn candidate(&self, source: &Source, pick: &Pick) -> Result<Candidate, CatalogError> {
        let refused = |error: WorldError| CatalogError(error.to_string());
        if let Source::Dir(dir) = source {
            let folder = Arc::new(self.world.folder(dir).map_err(refused)?);
            return Ok(Candidate { folder, commit: None });
        }
        if self.store.is_offline() {
            let locked = self.previous.of(source).filter(|locked| match pick {
                Pick::Version(version) => locked.version == *version && locked.rev.is_none(),
                Pick::Rev(rev) => locked.rev.as_ref() == Some(rev),
                Pick::Only => false,
            });
            let locked = locked.ok_or_else(|| CatalogError(OFFLINE.to_owned()))?;
            let folder = self.world.locked_folder(locked).map_err(refused)?;
            return Ok(Candidate { folder, commit: locked.commit.clone() });
        }
        let names = match pick {
            Pick::Version(version) => vec![format!("refs/tags/{}", version.tag())],
            Pick::Rev(rev) => vec![format!("refs/tags/{rev}"), format!("refs/heads/{rev}")],
            Pick::Only => Vec::new(),
        };
        let (commit, reference) = match pick {
            Pick::Rev(rev) if is_hash(rev) => (rev.clone(), None),
            _ => {
                let references = self.references(source)?;
                let found = names.iter().find_map(|name| references.iter().find(|found| found.name == *name));
                let found = found.ok_or_else(|| {
                    let what = names.first().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
                    CatalogError(format!("it has no tag or branch `{what}`\na commit is named by its whole hash"))
                })?;
                (found.commit.clone(), Some(found.name.clone()))
            }
        };
        let folder = self.store.fetch(source, &commit, reference.as_deref()).map_err(CatalogError)?;
        Ok(Candidate { folder: Arc::new(folder), commit: Some(commit) })
    }
}

/// A package that is part of the workspace now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendored {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub path: PathBuf,
}

/// Makes fetched packages part of the workspace, as the lock has them.
pub fn vendor(locations: &Locations) -> Result<Result<Vec<Vendored>, SpecErrors>, Error> {
    let dir = find(locations)?;
    let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
    let world = DiskWorld::new(&dir, locations)?;
    let (lock, text) = match read_lock(&world)? {
        Ok(found) => found,
        Err(errors) => return Ok(Err(errors)),
    };
    if text.is_empty() {
        return Err(Error::usage_help(
            format!("there is no `{LOCK_FILE}`"),
            "`partita lock` writes it where packages are imported; where none are, there is nothing to keep",
        ));
    }
    let to = dir.join(VENDOR);
    let above = to.parent().unwrap_or(&dir).to_path_buf();
    // A link here would let files be written elsewhere.
    for path in [&above, &to] {
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(Error::usage(format!("`{}` is not a folder", path.display())));
        }
    }
    std::fs::create_dir_all(&above).map_err(Error::io("make", &above))?;
    let scratch = tempfile::Builder::new().prefix(".partita-").tempdir_in(&above).map_err(Error::io("make", &above))?;
    let new = scratch.path().join("new");
    std::fs::create_dir(&new).map_err(Error::io("make", &new))?;
    let mut vendored = Vec::new();
    for package in lock.packages.iter().filter(|package| package.source.is_remote()) {
        let refused = |why: String| Error::usage(format!("cannot read package `{}`: {why}", package.name));
        let folder = world.locked_folder(package).map_err(|error| refused(error.to_string()))?;
        if folder.digest() != Some(package.tree) {
            return Err(refused(format!("it is not what `{LOCK_FILE}` promises")));
        }
        write_folder(&folder, &new.join(&package.name)).map_err(Error::io("write", &to))?;
        vendored.push(Vendored {
            name: package.name.clone(),
            version: package.version.to_string(),
            path: to.join(&package.name),
        });
    }
    if to.symlink_metadata().is_ok() {
        std::fs::rename(&to, scratch.path().join("old")).map_err(Error::io("replace", &to))?;
    }
    if !vendored.is_empty() {
        std::fs::rename(&new, &to).map_err(Error::io("write", &to))?;
    }
    Ok(Ok(vendored))
}
