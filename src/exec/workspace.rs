//! Files of the workspace as inputs: found by pattern, read at most once a run, kept in the store.
//! What is staged is that snapshot, never the live file. Leaves out staging.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use walkdir::WalkDir;

use crate::base::{Clock, Digest, Entry, RelPath};
use crate::exec::error::{Error, Trouble};
use crate::exec::glob::{Kind, Listing, Names, Pattern};
use crate::exec::levels::Levels;
use crate::exec::ports::{FileMeta, Ports, Snapshots};
use crate::exec::{Request, Seen};
use crate::store::{Cas, Error as StoreError, Found};

/// How often to read a file again that changes while it is read.
const READS: u32 = 5;

/// A failure that several actions may share: the text for people, or the store's refusal.
#[derive(Clone, Debug)]
pub(super) enum Shared {
    /// The action fails.
    Input(String),
    /// The run ends.
    Fatal(Arc<Error>),
}

impl From<Shared> for Trouble {
    fn from(shared: Shared) -> Self {
        match shared {
            Shared::Input(text) => Self::input(text),
            // The first to hear of it gets the error itself; others its text.
            Shared::Fatal(error) => match Arc::try_unwrap(error) {
                Ok(error) => Self::Fatal(error),
                Err(error) => Self::Fatal(Error::Store(StoreError::Poisoned(error.to_string()))),
            },
        }
    }
}

type Cell<T> = Arc<OnceLock<Result<T, Shared>>>;
type Cells<T> = Mutex<BTreeMap<String, Cell<T>>>;

/// The workspace as a run sees it: listings, files and patterns are looked at once and remembered.
pub(super) struct Workspace {
    root: PathBuf,
    /// Folders that Partita writes itself, relative to the root; never descended into.
    excluded: Vec<RelPath>,
    cas: Arc<dyn Cas>,
    snapshots: Arc<dyn Snapshots>,
    clock: Arc<dyn Clock>,
    listings: Cells<Names>,
    folders: Cells<PathBuf>,
    files: Cells<Entry>,
    patterns: Cells<Option<Digest>>,
    metas: Mutex<Metas>,
    doubt: Mutex<Doubts>,
}

/// What is doubted of snapshots that earlier runs took. Nothing at first, as to look costs as much as to look at the
/// files; once one is lost all are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    #[default]
    Nothing,
    /// That the store has them.
    Missing,
    /// That they are whole.
    Damaged,
}

#[derive(Default)]
struct Doubts {
    of: Doubt,
    /// Those that were read in this run, and are whole.
    whole: BTreeSet<Digest>,
}

/// Metadata of what was looked at, as it was before it was read.
#[derive(Default)]
struct Metas {
    files: BTreeMap<String, FileMeta>,
    folders: BTreeMap<String, FileMeta>,
    absent: BTreeSet<String>,
    links: BTreeMap<String, (FileMeta, FileMeta)>,
    patterns: BTreeMap<String, Vec<RelPath>>,
}

fn cell<T>(cells: &Cells<T>, key: &str) -> Cell<T> {
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cell) = cells.get(key) {
        return Arc::clone(cell);
    }
    let cell = Cell::default();
    cells.insert(key.to_owned(), Arc::clone(&cell));
    cell
}

impl Workspace {
    /// Whether there is a file of this name at the root.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.root.join(name).is_file()
    }

    /// The workspace of a request. Folders that it excludes and that lie below it are never looked into.
    pub(super) fn of(request: &Request, ports: &Ports) -> Result<Self, Error> {
        let (given, excluded) = (request.workspace.as_path(), &request.excluded);
        let root = std::fs::canonicalize(given).map_err(Error::io("find the workspace", given))?;
        let relative = |path: &PathBuf| {
            // One that does not exist yet is taken as written.
            let path = given.join(path);
            let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            let below = real.strip_prefix(&root).or_else(|_| path.strip_prefix(given)).ok()?;
            RelPath::new(below.to_str()?).ok()
        };
        let excluded = excluded.iter().filter_map(relative).collect();
        Ok(Self {
            root,
            excluded,
            cas: Arc::clone(&ports.cas),
            snapshots: Arc::clone(&ports.snapshots),
            clock: Arc::clone(&ports.clock),
            listings: Cells::default(),
            folders: Cells::default(),
            files: Cells::default(),
            patterns: Cells::default(),
            metas: Mutex::default(),
            doubt: Mutex::default(),
        })
    }

    /// The tree of all files that a pattern matches, each at its own path; `None` if there are none.
    pub(super) fn matching(&self, pattern: &str, levels: &Levels) -> Result<Option<Digest>, Trouble> {
        let cell = cell(&self.patterns, pattern);
        cell.get_or_init(|| self.match_now(pattern, levels)).clone().map_err(Trouble::from)
    }

    fn match_now(&self, pattern: &str, levels: &Levels) -> Result<Option<Digest>, Shared> {
        let compiled = Pattern::new(pattern).map_err(Shared::Input)?;
        let mut paths = BTreeMap::new();
        for (path, kind) in compiled.expand(self)? {
            if kind == Kind::Link && self.is_link_to_folder(&path) {
                // A wildcard met it; only a literal segment follows one.
                continue;
            }
            let rel = RelPath::new(&path).map_err(|error| Shared::Input(format!("workspace file: {error}")))?;
            paths.insert(rel, self.file(&path)?);
        }
        if paths.is_empty() {
            return Ok(None);
        }
        let is_itself = paths.len() == 1 && paths.keys().all(|path| path.as_str() == pattern);
        if !is_itself {
            self.note(|metas| {
                metas.patterns.insert(pattern.to_owned(), paths.keys().cloned().collect());
            });
        }
        levels.add_paths(&paths).map(Some).map_err(Shared::Input)
    }

    /// Whether a link leads to a folder. What was concluded from that is noted.
    fn is_link_to_folder(&self, path: &str) -> bool {
        let full = self.root.join(path);
        let (Ok(link), Ok(end)) = (std::fs::symlink_metadata(&full), std::fs::metadata(&full)) else { return false };
        if end.is_dir() {
            self.note(|metas| {
                metas.links.insert(path.to_owned(), (file_meta(&link), file_meta(&end)));
            });
        }
        end.is_dir()
    }

    /// What was looked at so far.
    pub(super) fn seen(&self) -> Seen {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let metas = self.metas.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.iter().filter_map(|(path, cell)| match cell.get()? {
            Ok(Entry::File { digest, .. }) => Some((RelPath::new(path).ok()?, (*digest, *metas.files.get(path)?))),
            _ => None,
        });
        Seen {
            files: files.collect(),
            folders: metas.folders.clone(),
            absent: metas.absent.clone(),
            links: metas.links.clone(),
            patterns: metas.patterns.clone(),
            programs: BTreeMap::new(),
        }
    }

    fn note(&self, note: impl FnOnce(&mut Metas)) {
        note(&mut self.metas.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A file of the workspace as a tree entry; its bytes are in the store.
    pub(super) fn snapshot(&self, path: &RelPath) -> Result<Entry, Trouble> {
        self.file(path.as_str()).map_err(Trouble::from)
    }

    /// Reads the files again whose snapshots are a blob that the store has lost, and with them all others whose snapshots
    /// it has not: where one is lost many are. Everything concluded from them is forgotten, so that whoever asks next
    /// sees them as they are now.
    pub(super) fn reread_blob(&self, blob: Digest, corrupt: bool) -> Result<(), Trouble> {
        let least = if corrupt { Doubt::Damaged } else { Doubt::Missing };
        let doubt = {
            let mut doubt = self.doubts();
            doubt.whole.remove(&blob);
            doubt.of = doubt.of.max(least);
            doubt.of
        };
        let known = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (path, cell_of) in known {
            let Some(Ok(Entry::File { digest, .. })) = cell_of.get() else { continue };
            if *digest != blob && self.has(*digest, doubt).map_err(Trouble::from)? {
                continue;
            }
            self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
            let cell = cell(&self.files, &path);
            cell.get_or_init(|| self.read(&path, *digest != blob)).clone().map_err(Trouble::from)?;
        }
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    fn doubts(&self) -> MutexGuard<'_, Doubts> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt(&self) -> Doubt {
        self.doubts().of
    }

    /// Whether the store has a snapshot: by a look, or where others were damaged by reading it, once.
    fn has(&self, digest: Digest, doubt: Doubt) -> Result<bool, Shared> {
        if doubt == Doubt::Nothing {
            return Ok(true);
        }
        if doubt == Doubt::Missing || self.doubts().whole.contains(&digest) {
            return Ok(self.cas.contains(digest));
        }
        let found = self.cas.read(digest, &mut |_| ()).map_err(|error| Shared::Fatal(Arc::new(Error::Store(error))))?;
        let whole = matches!(found, Found::Whole(_));
        if whole {
            self.doubts().whole.insert(digest);
        }
        Ok(whole)
    }

    fn file(&self, path: &str) -> Result<Entry, Shared> {
        cell(&self.files, path).get_or_init(|| self.read(path, true)).clone()
    }

    fn read(&self, path: &str, trust_stat: bool) -> Result<Entry, Shared> {
        if let Some(own) = self.excluded.iter().find(|own| is_within(path, own)) {
            return Err(Shared::Input(format!(
                "`{path}` lies in `{}`, which Partita writes itself: an input must not",
                own.as_str()
            )));
        }
        let (full, mut meta) = self.real_path(path)?;
        let unreadable = |what: &str, error: &std::io::Error| Shared::Input(format!("cannot {what} `{path}`: {error}"));
        for _ in 0..READS {
            if !meta.is_file() {
                return Err(Shared::Input(format!("`{path}` is {}, not a regular file", word_of(&meta))));
            }
            let stat = file_meta(&meta);
            let exec = stat.mode & 0o100 != 0;
            self.note(|metas| {
                metas.files.insert(path.to_owned(), stat);
            });
            if trust_stat
                && let Some(digest) = self.snapshots.lookup(path, &stat)
                && self.has(digest, self.doubt())?
            {
                return Ok(Entry::File { digest, size: stat.size, exec });
            }
            let read_at = self.clock.now();
            // The one error that is the file's and not the store's is tried first, so that it does
            // not end the run.
            std::fs::File::open(&full).map_err(|error| unreadable("read", &error))?;
            let (digest, size) =
                self.cas.put_file(&full).map_err(|error| Shared::Fatal(Arc::new(Error::Store(error))))?;
            meta = std::fs::metadata(&full).map_err(|error| unreadable("look at", &error))?;
            if file_meta(&meta) == stat && size == stat.size {
                self.snapshots.insert(path, stat, digest, read_at);
                return Ok(Entry::File { digest, size, exec });
            }
        }
        Err(Shared::Input(format!("`{path}` changes while it is read")))
    }

    /// Where a path really lies, which must be inside, and what is there. The file itself may be a
    /// link; so may folders.
    fn real_path(&self, path: &str) -> Result<(PathBuf, Metadata), Shared> {
        let full = self.root.join(path);
        let looked = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Shared::Input(format!("`{path}` is not in the workspace")),
            _ => Shared::Input(format!("cannot look at `{path}`: {error}")),
        };
        let mut meta = std::fs::symlink_metadata(&full).map_err(looked)?;
        let resolved = if meta.is_symlink() {
            let nowhere = |error| Shared::Input(format!("`{path}` is a symbolic link that leads nowhere: {error}"));
            let resolved = std::fs::canonicalize(&full).map_err(nowhere)?;
            meta = std::fs::metadata(&resolved).map_err(looked)?;
            resolved
        } else {
            let folder = self.real_folder(path.rsplit_once('/').map_or("", |(dir, _)| dir))?;
            folder.join(full.file_name().unwrap_or_default())
        };
        if !resolved.starts_with(&self.root) {
            return Err(Shared::Input(format!(
                "`{path}` leads outside the workspace, to `{}`: an input must lie inside",
                resolved.display()
            )));
        }
        Ok((resolved, meta))
    }

    /// Where a folder really lies: links above it are followed.
    fn real_folder(&self, dir: &str) -> Result<PathBuf, Shared> {
        if dir.is_empty() {
            return Ok(self.root.clone());
        }
        let resolve = || {
            std::fs::canonicalize(self.root.join(dir))
                .map_err(|error| Shared::Input(format!("cannot look at `{dir}`: {error}")))
        };
        cell(&self.folders, dir).get_or_init(resolve).clone()
    }

    fn list(&self, dir: &str) -> Result<Names, Shared> {
        let full = self.real_folder(dir)?;
        // The folder that is listed, whatever links lead to it.
        if let Ok(meta) = std::fs::symlink_metadata(&full) {
            self.note(|metas| {
                metas.folders.insert(dir.to_owned(), file_meta(&meta));
            });
        }
        if !full.starts_with(&self.root) {
            return Err(Shared::Input(format!("`{dir}` leads outside the workspace, to `{}`", full.display())));
        }
        let mut names = Vec::new();
        for entry in WalkDir::new(&full).min_depth(1).max_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| Shared::Input(format!("cannot list `{dir}`: {error}")))?;
            let Some(name) = entry.file_name().to_str() else {
                let shown = entry.path().display();
                return Err(Shared::Input(format!("the name of `{shown}` is not UTF-8: rename it")));
            };
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            if self.excluded.iter().any(|own| own.as_str() == path) {
                continue;
            }
            let kind = entry.file_type();
            let kind = if kind.is_file() {
                Kind::File
            } else if kind.is_dir() {
                Kind::Dir
            } else if kind.is_symlink() {
                Kind::Link
            } else {
                Kind::Special
            };
            names.push((name.to_owned(), kind));
        }
        Ok(Arc::new(names))
    }
}

impl Listing for Workspace {
    type Error = Shared;

    fn names(&self, dir: &str) -> Result<Names, Shared> {
        if self.excluded.iter().any(|own| is_within(dir, own)) {
            return Ok(Names::default());
        }
        if !self.root.join(dir).is_dir() {
            self.note(|metas| {
                metas.absent.insert(dir.to_owned());
            });
            return Ok(Names::default());
        }
        cell(&self.listings, dir).get_or_init(|| self.list(dir)).clone()
    }

    fn kind(&self, path: &str) -> Result<Option<Kind>, Shared> {
        match std::fs::metadata(self.root.join(path)) {
            Ok(meta) if meta.is_dir() => Ok(Some(Kind::Dir)),
            Ok(_) => Ok(Some(Kind::File)),
            // A link that leads nowhere is something, and reported as such when it is read.
            Err(_) if self.root.join(path).is_symlink() => Ok(Some(Kind::Link)),
            Err(_) => {
                self.note(|metas| {
                    metas.absent.insert(path.to_owned());
                });
                Ok(None)
            }
        }
    }
}

fn is_within(path: &str, folder: &RelPath) -> bool {
    path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a thing that is no regular file is, for people.
pub(super) fn word_of(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "a file"
    }
}

/// The metadata that the stat cache goes by.
pub(super) fn file_meta(meta: &Metadata) -> FileMeta {
    let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
    FileMeta {
        dev: meta.dev(),
        ino: meta.ino(),
        size: meta.size(),
        mode: meta.mode(),
        mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_within_itself_and_not_within_its_namesake() {
        let out = RelPath::new("out").unwrap();
        assert!(is_within("out", &out) && is_within("out/a", &out));
        assert!(!is_within("outer/a", &out));
    }
}
