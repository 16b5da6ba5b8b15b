//! Lays an input tree out in an attempt's own directory, as copies; and clears the directory away.
//! Leaves out what the tree is made of.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use walkdir::WalkDir;

use crate::base::{Digest, Entry, Tree};
use crate::exec::error::{Error, Lost, Trouble};
use crate::exec::levels::Levels;
use crate::exec::process::STARTING;
use crate::plan::Output;
use crate::store::{Cas, Found};

/// Attempts that may lie about used up before they are cleared away.
const USED: u64 = 20_000;
/// An attempt that took longer than this is cleared away at once.
const QUICK: Duration = Duration::from_millis(50);
/// An attempt that staged or made more bytes than this is cleared away at once.
const SMALL: u64 = 64 << 10;

/// Hands out directories for attempts.
///
/// What a short attempt leaves is moved aside and deleted when the run ends, and its directories
/// are used again where they are still empty. Deleting files while creating others is what costs:
/// ext4 looks through all inodes that were freed in the last seconds to allocate one. (With 300
/// actions of one input and one output, making and deleting four directories each took 4.3 ms of
/// system time an action, ten times the start of the process.)
#[derive(Debug)]
pub(super) struct Attempts {
    scratch: PathBuf,
    idle: Mutex<Vec<PathBuf>>,
    count: AtomicU64,
    used: AtomicU64,
}

/// The directories of one attempt. Cleared away when dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    attempts: &'a Attempts,
    /// The directory that holds `work`, `home` and `tmp`.
    pub(super) root: PathBuf,
    /// Where inputs are staged and outputs are expected.
    pub(super) work: PathBuf,
    /// Whether it is known to have left little.
    light: bool,
}

impl Attempts {
    /// Directories below `scratch`, which is removed by the caller in the end.
    pub(super) fn new(scratch: &Path) -> Result<Self, Error> {
        let used = scratch.join("used");
        std::fs::create_dir(&used).map_err(Error::io("make directory", &used))?;
        Ok(Self {
            scratch: scratch.to_path_buf(),
            idle: Mutex::default(),
            count: AtomicU64::new(0),
            used: AtomicU64::new(0),
        })
    }

    /// Directories for an attempt, all of them empty.
    pub(super) fn take(&self) -> Result<Attempt<'_>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let root = match idle {
            Some(root) => root,
            None => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                let root = self.scratch.join(number.to_string());
                for dir in [&root, &root.join("work"), &root.join("home"), &root.join("tmp")] {
                    std::fs::create_dir(dir).map_err(Error::io("make directory", dir))?;
                }
                root
            }
        };
        Ok(Attempt { attempts: self, work: root.join("work"), root, light: false })
    }

    /// Moves what a light attempt left aside. Returns whether its directories can be used again.
    fn retire(&self, root: &Path) -> bool {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let aside = self.scratch.join("used").join(number.to_string());
        if !is_pristine(root) {
            if std::fs::rename(root, &aside).is_err() {
                remove(root);
            }
            return false;
        }
        let work = root.join("work");
        if std::fs::rename(&work, &aside).is_err() || std::fs::create_dir(&work).is_err() {
            remove(root);
            return false;
        }
        true
    }
}

/// Whether nothing but `work` was touched.
fn is_pristine(root: &Path) -> bool {
    let names = |dir: &Path| {
        let listing = WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name();
        listing.into_iter().map(|entry| entry.ok().map(|entry| entry.file_name().to_owned())).collect::<Vec<_>>()
    };
    let is_empty = |dir: &Path| {
        let plain = std::fs::symlink_metadata(dir);
        plain.is_ok_and(|meta| meta.is_dir() && meta.permissions().mode() & 0o7777 == 0o755) && names(dir).is_empty()
    };
    names(root).into_iter().eq(["home", "tmp", "work"].map(|name| Some(name.into())))
        && is_empty(&root.join("home"))
        && is_empty(&root.join("tmp"))
}

impl Attempt<'_> {
    /// Says how long the attempt took and how many bytes it staged and made, so that it can be
    /// cleared away later if that was little.
    pub(super) fn weigh(&mut self, duration: Duration, bytes: u64) {
        self.light = duration <= QUICK && bytes <= SMALL;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.light || self.attempts.used.load(Ordering::Relaxed) >= USED {
            remove(&self.root);
        } else if self.attempts.retire(&self.root) {
            self.attempts.idle.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.root));
        }
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

/// In which order the entries of a folder are made. Some file systems list them in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By name.
    Sorted,
    /// By name, the last first.
    Reversed,
    /// By the digest of the name.
    Mixed,
}

/// Lays a tree out below `to`, which exists. Returns how many bytes that took.
pub(super) fn stage(cas: &dyn Cas, levels: &Levels, tree: &Tree, to: &Path, order: Order) -> Result<u64, StageTrouble> {
    stage_level(cas, levels, tree, to, "", order)
}

fn stage_level(
    cas: &dyn Cas,
    levels: &Levels,
    tree: &Tree,
    to: &Path,
    at: &str,
    order: Order,
) -> Result<u64, StageTrouble> {
    let mut bytes = 0_u64;
    let mut entries: Vec<_> = Vec::new();
    if order != Order::Sorted {
        entries.extend(&tree.entries);
        match order {
            Order::Mixed => entries.sort_by_key(|(name, _)| Digest::of_blob(name.as_bytes())),
            Order::Reversed | Order::Sorted => entries.reverse(),
        }
    }
    let sorted = tree.entries.iter().filter(|_| order == Order::Sorted);
    for (name, entry) in sorted.chain(entries) {
        let path = to.join(name);
        let here = || if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        let fail = |trouble: Trouble| StageTrouble { trouble, path: here() };
        match entry {
            Entry::File { digest, exec, size } => {
                bytes = bytes.saturating_add(*size);
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
                bytes = bytes.saturating_add(stage_level(cas, levels, &below, &path, &here(), order)?);
            }
            Entry::Symlink { target } => {
                let made = symlink(target, &path).map_err(Error::io("make symbolic link", &path));
                made.map_err(|error| fail(error.into()))?;
            }
        }
    }
    Ok(bytes)
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
