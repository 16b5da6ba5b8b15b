//! Collects what an attempt has left, after all of its processes are dead. Leaves out what was not
//! declared: it is dropped with the attempt's directory.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::base::{Entry, Limits, RelPath, Tree, format_bytes};
use crate::exec::error::{Error, Failure, FailureClass, Trouble};
use crate::exec::levels::Levels;
use crate::exec::workspace::word_of;
use crate::plan::{Class, Output, OutputKind};
use crate::store::{Cas, ClaimOutput};

/// Bytes of a path that the kernel takes, with the NUL at its end (`PATH_MAX`).
const PATH_BYTES: usize = 4096;
/// Bytes that the outputs of one action may have, all together.
const OUTPUT_BYTES: u64 = 64 << 30;

/// What the outputs of one action may have, where that is said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    /// Bytes, all together.
    pub(super) bytes: Option<u64>,
    /// Files.
    pub(super) files: Option<u64>,
}

/// Takes the declared outputs into the store, sorted by name.
pub(super) fn collect(
    cas: &dyn Cas,
    levels: &Levels,
    outputs: &[Output],
    work: &Path,
    most: Most,
) -> Result<Vec<ClaimOutput>, Trouble> {
    let mut collector = Collector { cas, levels, most, files: 0, bytes: 0 };
    let mut collected = Vec::with_capacity(outputs.len());
    for output in outputs {
        let entry = collector.output(output, work)?;
        collected.push(ClaimOutput { name: output.name.clone(), entry });
    }
    collected.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(collected)
}

struct Collector<'a> {
    cas: &'a dyn Cas,
    levels: &'a Levels,
    most: Most,
    files: usize,
    bytes: u64,
}

impl Collector<'_> {
    fn output(&mut self, output: &Output, work: &Path) -> Result<Entry, Trouble> {
        let name = &output.name;
        let shown = output.path.as_str();
        check_parents(output, work)?;
        let full = output.path.under(work);
        let meta = match std::fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Trouble::output(format!(
                    "output `{name}` is missing: the action ended well, but there is no `{shown}`{}",
                    nearby(&full)
                )));
            }
            Err(error) => return Err(Trouble::output(format!("cannot look at output `{name}` at `{shown}`: {error}"))),
        };
        match output.kind {
            OutputKind::File if meta.is_file() => self.file(&full, shown, &meta),
            OutputKind::File if meta.is_symlink() => Err(Trouble::output(format!(
                "output `{name}` at `{shown}` is a symbolic link; a file is declared: let the action copy what it \
                 points to"
            ))),
            OutputKind::File => {
                Err(Trouble::output(format!("output `{name}` at `{shown}` is {}; a file is declared", word_of(&meta))))
            }
            OutputKind::Dir if meta.is_dir() => self.dir(&full, shown, 0),
            OutputKind::Dir => Err(Trouble::output(format!(
                "output `{name}` at `{shown}` is {}; a folder is declared",
                word_of(&meta)
            ))),
        }
    }

    fn file(&mut self, full: &Path, shown: &str, meta: &Metadata) -> Result<Entry, Trouble> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(meta.len());
        if self.files > Limits::OUTPUT_FILES {
            return Err(Trouble::output(format!("the outputs hold more than {} files", Limits::OUTPUT_FILES)));
        }
        let exceeded = |what: String| {
            Trouble::from(Failure::new(FailureClass::Limit, format!("the outputs hold more than its limit of {what}")))
        };
        if let Some(most) = self.most.files.filter(|most| self.files as u64 > *most) {
            return Err(exceeded(format!("{most} files")));
        }
        if let Some(most) = self.most.bytes.filter(|most| self.bytes > *most) {
            return Err(exceeded(format_bytes(most)));
        }
        if self.bytes > OUTPUT_BYTES {
            return Err(Trouble::output(format!("the outputs hold more than {}", format_bytes(OUTPUT_BYTES))));
        }
        let mode = meta.mode();
        if mode & 0o400 == 0 {
            make_readable(full, mode, 0o400)?;
        }
        let (digest, size) = self.cas.put_file(full)?;
        if size != meta.len() {
            return Err(Trouble::output(format!("`{shown}` changed while it was taken over")));
        }
        Ok(Entry::File { digest, size, exec: mode & 0o100 != 0 })
    }

    fn dir(&mut self, full: &Path, shown: &str, depth: usize) -> Result<Entry, Trouble> {
        let meta = std::fs::symlink_metadata(full).map_err(Error::io("look at", full))?;
        if meta.mode() & 0o500 != 0o500 {
            make_readable(full, meta.mode(), 0o700)?;
        }
        let mut tree = Tree::default();
        for entry in WalkDir::new(full).min_depth(1).max_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| Trouble::output(format!("cannot list `{shown}`: {error}")))?;
            let path = entry.path();
            let Some(name) = entry.file_name().to_str() else {
                return Err(Trouble::output(format!(
                    "a name in `{shown}` is not UTF-8: `{}`",
                    entry.file_name().to_string_lossy()
                )));
            };
            let below = format!("{shown}/{name}");
            if path.as_os_str().len() >= PATH_BYTES {
                let start: String = below.chars().take(80).collect();
                return Err(Trouble::output(format!(
                    "a path of the outputs is too long for this machine: `{start}…` has {} bytes",
                    below.len()
                )));
            }
            if let Err(error) = RelPath::new(&below) {
                return Err(Trouble::output(format!("a name in `{shown}` cannot be kept: {error}")));
            }
            let meta = std::fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
            let entry = if meta.is_file() {
                self.file(path, &below, &meta)?
            } else if meta.is_dir() {
                self.files += 1;
                self.dir(path, &below, depth + 1)?
            } else if meta.is_symlink() {
                self.files += 1;
                let target = std::fs::read_link(path).map_err(Error::io("read symbolic link", path))?;
                Entry::Symlink { target: checked_target(target, &below, depth)? }
            } else {
                return Err(Trouble::output(format!(
                    "`{below}` is {}: a folder may hold files, folders and symbolic links",
                    word_of(&meta)
                )));
            };
            tree.entries.insert(name.to_owned(), entry);
        }
        let digest = self.cas.put_tree(&tree)?;
        self.levels.add_kept(digest, tree);
        Ok(Entry::Dir { digest })
    }
}

/// A link in place of a folder on the way could lead out of the attempt's directory.
fn check_parents(output: &Output, work: &Path) -> Result<(), Trouble> {
    let mut at = output.path.parent();
    while let Some(parent) = at {
        if parent.under(work).is_symlink() {
            let name = &output.name;
            return Err(Trouble::output(format!("output `{name}` lies below `{parent}`, which is a symbolic link")));
        }
        at = parent.parent();
    }
    Ok(())
}

/// The target of a link in an output folder, which must stay inside. `..` is allowed only at the
/// front: after a name, which may be a link itself, nobody could tell where it leads.
fn checked_target(target: PathBuf, shown: &str, depth: usize) -> Result<String, Trouble> {
    let Ok(target) = target.into_os_string().into_string() else {
        return Err(Trouble::output(format!("the target of symbolic link `{shown}` is not UTF-8")));
    };
    let refuse =
        |why: &str| Err(Trouble::output(format!("symbolic link `{shown}` -> `{target}` {why}: it must stay inside")));
    if target.starts_with('/') {
        return refuse("is absolute");
    }
    if target.chars().any(char::is_control) {
        return refuse("holds a control character");
    }
    let mut ups = 0;
    let mut named = false;
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." if named => return refuse("goes up after a name"),
            ".." => ups += 1,
            _ => named = true,
        }
    }
    if ups > depth { refuse("leaves the output folder") } else { Ok(target) }
}

fn make_readable(path: &Path, mode: u32, add: u32) -> Result<(), Trouble> {
    let permissions = std::fs::Permissions::from_mode(mode & 0o777 | add);
    std::fs::set_permissions(path, permissions).map_err(Error::io("make readable", path))?;
    Ok(())
}

/// Names beside a missing output, as a hint at a typing error.
fn nearby(full: &Path) -> String {
    const SHOWN: usize = 5;
    let Some(parent) = full.parent() else { return String::new() };
    let listing = WalkDir::new(parent).min_depth(1).max_depth(1).sort_by_file_name();
    let names = listing.into_iter().filter_map(Result::ok).take(SHOWN + 1);
    let names: Vec<String> = names.map(|entry| format!("`{}`", entry.file_name().to_string_lossy())).collect();
    match names.len() {
        0 => "; its folder is empty".to_owned(),
        count if count > SHOWN => format!("; beside it there are {} and more", names[..SHOWN].join(", ")),
        _ => format!("; beside it there are {}", names.join(", ")),
    }
}

/// Checks the outputs of a `fixed` action against the digests it declares.
pub(super) fn check_declared(class: Class, declared: &[Output], outputs: &[ClaimOutput]) -> Result<(), Trouble> {
    if class != Class::Fixed {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for output in declared {
        let Some(made) = outputs.iter().find(|made| made.name == output.name) else { continue };
        let got = match &made.entry {
            Entry::File { digest, .. } | Entry::Dir { digest } => *digest,
            Entry::Symlink { .. } => continue,
        };
        match output.digest {
            Some(digest) if digest == got => {}
            Some(digest) => {
                wrong.push(format!("output `{}`: declared b3:{digest}, got b3:{got}", output.name));
            }
            None => wrong.push(format!(
                "output `{0}`: declared nothing, got b3:{got}; if that is right, write `digest=\"b3:{got}\"` at it",
                output.name
            )),
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let text = format!("the action is `fixed`, and its outputs are not as declared\n{}", wrong.join("\n"));
    Err(Failure::new(FailureClass::Digest, text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str, depth: usize) -> bool {
        checked_target(PathBuf::from(text), "link", depth).is_ok()
    }

    #[test]
    fn links_stay_inside() {
        assert!(target("a", 0) && target("a/b", 0) && target("./a", 0) && target("../a", 1) && target("../../a", 2));
        assert!(!target("/a", 3) && !target("../a", 0) && !target("../../a", 1));
        assert!(!target("a/../b", 3), "`a` may be a link");
    }
}
