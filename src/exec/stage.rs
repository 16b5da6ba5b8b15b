//! Lays an input tree out in an attempt's own directory, as copies; and clears the directory away.
//! Leaves out what the tree is made of.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use walkdir::WalkDir;

use crate::base::{Entry, Tree};
use crate::exec::error::{Error, Lost, Trouble};
use crate::exec::levels::Levels;
use crate::exec::process::STARTING;
use crate::plan::Output;
use crate::store::{Cas, Found};

/// The directories of one attempt. Removed when dropped.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The directory that holds the others.
    pub(super) root: PathBuf,
    /// Where inputs are staged and outputs are expected.
    pub(super) work: PathBuf,
}

impl Attempt {
    /// Makes the directories: `work`, `home` and `tmp`.
    pub(super) fn new(root: PathBuf) -> Result<Self, Error> {
        let work = root.join("work");
        let attempt = Self { root, work };
        for dir in [&attempt.root, &attempt.work, &attempt.root.join("home"), &attempt.root.join("tmp")] {
            std::fs::create_dir(dir).map_err(Error::io("make directory", dir))?;
        }
        Ok(attempt)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

/// Removes a directory of ours with all that processes left in it. What cannot be removed stays in
/// the store's scratch space, which the next process clears.
pub(super) fn remove(dir: &Path) {
    if std::fs::remove_dir_all(dir).is_ok() {
        return;
    }
    // Folders may have been made unwritable, as module caches do.
    for entry in WalkDir::new(dir).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            let _ = std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o700));
        }
    }
    let _ = std::fs::remove_dir_all(dir);
}

/// Which path of the tree a lost blob was for, beside the loss itself.
#[derive(Debug)]
pub(super) struct StageTrouble {
    /// What happened.
    pub(super) trouble: Trouble,
    /// The path, relative to the tree.
    pub(super) path: String,
}

/// Lays a tree out below `to`, which exists.
pub(super) fn stage(cas: &dyn Cas, levels: &Levels, tree: &Tree, to: &Path) -> Result<(), StageTrouble> {
    stage_level(cas, levels, tree, to, "")
}

fn stage_level(cas: &dyn Cas, levels: &Levels, tree: &Tree, to: &Path, at: &str) -> Result<(), StageTrouble> {
    for (name, entry) in &tree.entries {
        let path = to.join(name);
        let here = || if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        let fail = |trouble: Trouble| StageTrouble { trouble, path: here() };
        match entry {
            Entry::File { digest, exec, .. } => {
                let copied = if *exec {
                    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
                    cas.copy_to(*digest, &path, true)
                } else {
                    cas.copy_to(*digest, &path, false)
                };
                let lost = |corrupt| Err(fail(Trouble::Lost(Lost { digest: *digest, corrupt, producer: None })));
                match copied.map_err(|error| fail(error.into()))? {
                    Found::Whole(()) => {}
                    Found::Missing => return lost(false),
                    Found::Corrupt => return lost(true),
                }
            }
            Entry::Dir { digest } => {
                let made = std::fs::create_dir(&path).map_err(Error::io("make directory", &path));
                made.map_err(|error| fail(error.into()))?;
                let below = levels.get(*digest).map_err(&fail)?;
                stage_level(cas, levels, &below, &path, &here())?;
            }
            Entry::Symlink { target } => {
                let made = symlink(target, &path).map_err(Error::io("make symbolic link", &path));
                made.map_err(|error| fail(error.into()))?;
            }
        }
    }
    Ok(())
}

/// Makes the folders that declared outputs lie in, as tools expect them to be there.
pub(super) fn make_parents(outputs: &[Output], work: &Path) -> Result<(), Trouble> {
    for output in outputs {
        if let Some(parent) = output.path.parent() {
            let dir = parent.under(work);
            // An input may be a file there; then the output cannot come to be, and its absence says so.
            if let Err(error) = std::fs::create_dir_all(&dir)
                && !matches!(error.kind(), std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists)
            {
                return Err(Error::io("make directory", dir)(error).into());
            }
        }
    }
    Ok(())
}
