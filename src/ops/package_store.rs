//! Packages that were fetched, kept for the next time: a folder for each content, named by its digest,
//! below the user's cache directory. Nothing in it is trusted: what is read is hashed, and what is not what
//! its name says is fetched anew. Leaves out which packages are needed.

use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::WalkDir;

use crate::base::{Digest, Environment};
use crate::lang::{Folder, FolderError, Locked, Source, WorldError};
use crate::ops::git::Git;
use crate::ops::workspace::Locations;

/// Fetched packages, and the way to more.
#[derive(Clone, Debug)]
pub struct PackageStore {
    cache: Option<PathBuf>,
    /// What relative addresses of repositories are relative to.
    dir: PathBuf,
    offline: bool,
    git: Git,
}

impl PackageStore {
    /// For a workspace.
    pub fn new(locations: &Locations, dir: &Path) -> Self {
        let environment: &Environment = &locations.environment;
        let cache = environment.user_cache().map(|cache| cache.join("partita-packages"));
        Self { cache, dir: dir.to_path_buf(), offline: locations.offline, git: Git::new(environment) }
    }

    /// Whether nothing may be fetched.
    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    pub(super) fn git(&self) -> &Git {
        &self.git
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A package as the lock has it.
    pub fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        let found = self.read(locked.tree);
        if let Some(folder) = found.as_ref().filter(|folder| folder.digest() == Some(locked.tree)) {
            return Ok(Arc::new(folder.clone()));
        }
        if self.offline {
            // Content that was tampered with is handed on: the lock refuses it.
            return found.map(Arc::new).ok_or_else(|| {
                let name = &locked.name;
                WorldError::Io(format!(
                    "it was not fetched before, and `--offline` forbids to fetch it now\n\
                     fetch it: `partita lock --check --offline=false`; or keep `{name}` in the workspace: `partita vendor`"
                ))
            });
        }
        let Some(commit) = &locked.commit else { return Err(WorldError::NotFound) };
        let tag = locked.rev.is_none().then(|| format!("refs/tags/{}", locked.version.tag()));
        let folder = self.fetch(&locked.source, commit, tag.as_deref()).map_err(WorldError::Io)?;
        Ok(Arc::new(folder))
    }

    /// The content of a commit, kept for the next time.
    pub(super) fn fetch(&self, source: &Source, commit: &str, reference: Option<&str>) -> Result<Folder, String> {
        let index = self.index(source, commit);
        let known = index.as_ref().and_then(|index| std::fs::read_to_string(index).ok());
        if let Some(tree) = known.and_then(|text| text.trim().parse::<Digest>().ok())
            && let Some(folder) = self.read(tree).filter(|folder| folder.digest() == Some(tree))
        {
            return Ok(folder);
        }
        let folder = self.git.fetch(source, &self.dir, commit, reference)?;
        if let (Some(cache), Some(tree)) = (&self.cache, folder.digest()) {
            // A cache that cannot be written is a cache that is not there.
            let kept = make_private(cache).and_then(|()| write_folder(&folder, &cache.join(tree.hex())));
            if let (Ok(()), Some(index)) = (kept, index) {
                let _ = index.parent().map_or(Ok(()), make_private).and_then(|()| std::fs::write(&index, tree.hex()));
            }
        }
        Ok(folder)
    }

    /// The file that says which content a commit has.
    fn index(&self, source: &Source, commit: &str) -> Option<PathBuf> {
        // A path means another repository in another workspace.
        let Source::Git(url) = source else { return None };
        let place = if url.starts_with('.') { self.dir.to_str()? } else { "" };
        let name = Digest::of_blob(format!("{place}\0{url}\0{commit}").as_bytes());
        Some(self.cache.as_ref()?.join("index").join(name.hex()))
    }

    fn read(&self, tree: Digest) -> Option<Folder> {
        let dir = self.cache.as_ref()?.join(tree.hex());
        let is_folder = dir.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        is_folder.then(|| read_folder(&dir).ok()).flatten()
    }
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The files of a folder. Git's folder and the state of a workspace are no part of it.
pub(super) fn read_folder(dir: &Path) -> Result<Folder, WorldError> {
    let refused = |error: FolderError| WorldError::Io(error.to_string());
    let mut folder = Folder::default();
    let walk = WalkDir::new(dir).follow_links(false).sort_by_file_name().min_depth(1).into_iter();
    for entry in walk.filter_entry(is_part_of_package) {
        let entry = entry.map_err(|error| WorldError::Io(error.to_string()))?;
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        let inside = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        let Some(path) = inside.to_str() else {
            return Err(refused(FolderError::Name(inside.to_string_lossy().into_owned())));
        };
        if !kind.is_file() {
            let what = if kind.is_symlink() { "a link" } else { "of an unknown kind" };
            return Err(refused(FolderError::Kind { path: path.to_owned(), what }));
        }
        let failed = |error: std::io::Error| WorldError::Io(format!("`{path}`: {error}"));
        let metadata = entry.metadata().map_err(|error| WorldError::Io(error.to_string()))?;
        folder.admits(path, metadata.len()).map_err(refused)?;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(entry.path()).map_err(failed)?;
        // One more than was said, so that a file that grows is seen.
        file.take(metadata.len() + 1).read_to_end(&mut bytes).map_err(failed)?;
        folder.insert(path, bytes, metadata.permissions().mode() & 0o100 != 0).map_err(refused)?;
    }
    Ok(folder)
}

/// Whether an entry of the folder of a package is part of it, folders above it apart.
pub(super) fn is_part_of_package(entry: &walkdir::DirEntry) -> bool {
    entry.depth() != 1 || ![Some(".git"), Some(".partita")].contains(&entry.file_name().to_str())
}

/// Writes files to a folder, complete or not at all. What is there is replaced.
pub(super) fn write_folder(folder: &Folder, to: &Path) -> std::io::Result<()> {
    let parent = to.parent().ok_or(std::io::ErrorKind::InvalidInput)?;
    let scratch = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let new = scratch.path().join("folder");
    std::fs::create_dir(&new)?;
    for (path, file) in folder.files() {
        let full = path.under(&new);
        if let Some(above) = full.parent() {
            std::fs::create_dir_all(above)?;
        }
        std::fs::write(&full, &file.bytes)?;
        let mode = if file.exec { 0o755 } else { 0o644 };
        std::fs::set_permissions(&full, std::fs::Permissions::from_mode(mode))?;
    }
    if to.symlink_metadata().is_ok() {
        std::fs::rename(to, scratch.path().join("old"))?;
    }
    std::fs::rename(&new, to)
}
