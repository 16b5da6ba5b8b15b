//! Lays an input tree out in an attempt's own folder, as copies. Leaves out what the tree is made of, and the folders
//! (`attempts`).

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use walkdir::WalkDir;

use crate::base::{Digest, Entry, Tree};
use crate::exec::attempts::Attempt;
use crate::exec::engine::{Engine, Prepared};
use crate::exec::error::{Error, Lost, Trouble};
use crate::exec::inputs;
use crate::exec::levels::Levels;
use crate::exec::process::STARTING;
use crate::plan::{Action, ActionId, InputSource, Output};
use crate::store::{Cas, Found};

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

/// Lays a tree out below `to`, which exists.
pub(super) fn stage(cas: &dyn Cas, levels: &Levels, tree: &Tree, to: &Path) -> Result<(), StageTrouble> {
    stage_level((cas, levels), tree, to, "", Order::Sorted, None)
}

/// Lays a tree out where an attempt works, and uses what is left there.
pub(super) fn stage_attempt(
    cas: &dyn Cas,
    levels: &Levels,
    tree: &Tree,
    attempt: &mut Attempt<'_>,
    order: Order,
) -> Result<(), StageTrouble> {
    let to = attempt.work.clone();
    if order != Order::Sorted {
        // What is made in which order is then to be seen.
        attempt
            .tidy(std::iter::empty())
            .map_err(|error| StageTrouble { trouble: error.into(), path: String::new() })?;
    }
    stage_level((cas, levels), tree, &to, "", order, Some(attempt))
}

fn stage_level(
    (cas, levels): (&dyn Cas, &Levels),
    tree: &Tree,
    to: &Path,
    at: &str,
    order: Order,
    mut attempt: Option<&mut Attempt<'_>>,
) -> Result<(), StageTrouble> {
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
        let here = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        let fail = |trouble: Trouble| StageTrouble { trouble, path: here.clone() };
        let room = |attempt: &mut Option<&mut Attempt<'_>>| {
            let made = attempt.as_deref_mut().map_or(Ok(()), |attempt| attempt.clear(&here));
            made.map_err(|error| fail(error.into()))
        };
        match entry {
            Entry::File { digest, exec, size } => {
                let lost = |corrupt| Err(fail(Trouble::Lost(Lost { digest: *digest, corrupt, producer: None })));
                // What the store has lost is to be noticed, and healed.
                if attempt.as_deref_mut().is_some_and(|attempt| cas.contains(*digest) && attempt.has_file(&here, entry))
                {
                    continue;
                }
                if let Some(attempt) = attempt.as_deref_mut()
                    && !exec
                    && attempt.may_reuse(*size)
                {
                    match cas.get(*digest).map_err(|error| fail(error.into()))? {
                        Found::Whole(content) if attempt.reuse(&here, &content) => continue,
                        Found::Whole(_) => {}
                        Found::Missing => return lost(false),
                        Found::Corrupt => return lost(true),
                    }
                }
                room(&mut attempt)?;
                let copied = if *exec {
                    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
                    cas.copy_to(*digest, &path, true)
                } else {
                    cas.copy_to(*digest, &path, false)
                };
                match copied.map_err(|error| fail(error.into()))? {
                    Found::Whole(()) => {}
                    Found::Missing => return lost(false),
                    Found::Corrupt => return lost(true),
                }
            }
            Entry::Dir { digest } => {
                if !attempt.as_deref_mut().is_some_and(|attempt| attempt.has_folder(&here)) {
                    room(&mut attempt)?;
                    let made = std::fs::create_dir(&path).map_err(Error::io("make directory", &path));
                    made.map_err(|error| fail(error.into()))?;
                }
                let below = levels.get(*digest).map_err(&fail)?;
                stage_level((cas, levels), &below, &path, &here, order, attempt.as_deref_mut())?;
            }
            Entry::Symlink { target } => {
                room(&mut attempt)?;
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

/// The outputs that an action takes in.
pub(super) fn consumed(action: &Action) -> impl Iterator<Item = (ActionId, &str)> {
    action.spec.inputs.iter().filter_map(|input| match &input.source {
        InputSource::Output { action, output, .. } => Some((*action, output.as_str())),
        InputSource::Workspace { .. } => None,
    })
}

impl Engine<'_> {
    /// Lays out what an attempt takes in, in the order asked for.
    pub(super) fn stage(
        &self,
        action: &Action,
        prepared: &Prepared,
        attempt: &mut Attempt<'_>,
        order: Order,
    ) -> Result<(), Trouble> {
        stage_attempt(&*self.ports.cas, &self.levels, &prepared.inputs, attempt, order).map_err(
            |failed| match failed.trouble {
                Trouble::Lost(lost) => {
                    let producer = inputs::producer_of(action, self.plan, &failed.path, self.workspace, &self.levels);
                    Trouble::Lost(Lost { producer: lost.producer.or(producer), ..lost })
                }
                other => other,
            },
        )?;
        let folders = action.spec.outputs.iter().filter_map(|output| output.path.parent());
        attempt.tidy(folders.chain(action.spec.cwd.clone()))?;
        make_parents(&action.spec.outputs, &attempt.work)?;
        if let Some(cwd) = &action.spec.cwd {
            let dir: PathBuf = cwd.under(&attempt.work);
            std::fs::create_dir_all(&dir)
                .map_err(|error| Trouble::input(format!("the action cannot start in `{cwd}`: {error}")))?;
        }
        Ok(())
    }
}
