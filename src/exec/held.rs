//! What the folders of an attempt hold: bytes, and files. By descriptors and names, never by paths, so that neither a
//! link nor a nest of folders leads the count astray. Leaves out what processes hold that has no name any more
//! (`bounds`).
//!
//! | counts | as |
//! | --- | --- |
//! | a file | its bytes, or what it takes up if that is less (holes) or much more (room that was reserved) |
//! | a file of several names | once |
//! | a folder | nothing; a file each once there are more than `Limits::OUTPUT_FILES` of them |
//! | anything else | a file |

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use crate::base::Limits;

/// Folders that are kept open on the way down; those above are found again by `..`.
const OPEN: usize = 64;
/// Bytes of a unit of `st_blocks`.
const BLOCK: u64 = 512;
/// A file that has no more bytes takes up a block, whatever its bytes are.
const SMALL: u64 = 4096;
/// Room that a file system may give a file ahead, beside as much as it has (XFS does).
const AHEAD: u64 = 64 << 10;

/// What is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Bytes.
    pub(super) bytes: u64,
    /// Files and whatever else is no folder, and folders beyond very many.
    pub(super) files: u64,
}

/// Which file one is.
pub(super) type Id = (u64, u64);

/// Counts what is below a folder, which itself does not count. Ends early when there are more than so many files. What
/// cannot be looked into, or goes away meanwhile, counts as far as it was seen.
pub(super) fn held(root: &Path, most_files: u64) -> Held {
    let mut walk = Walk { held: Held::default(), folders: 0, several: BTreeSet::new(), most_files };
    if let Ok(folder) = rustix::fs::openat(CWD, root, FOLDER, Mode::empty()) {
        walk.down(folder);
    }
    walk.held
}

/// Bytes that a file holds.
pub(super) fn bytes_of(stat: &Stat) -> u64 {
    let (bytes, taken) = (stat.st_size.cast_unsigned(), stat.st_blocks.cast_unsigned().saturating_mul(BLOCK));
    if taken > bytes.saturating_mul(2).saturating_add(AHEAD) {
        taken
    } else if bytes <= SMALL {
        bytes
    } else {
        bytes.min(taken)
    }
}

/// Which file it is.
pub(super) fn id_of(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

struct Walk {
    held: Held,
    folders: u64,
    /// Files that were seen and have another name.
    several: BTreeSet<Id>,
    most_files: u64,
}

/// A folder that the walk is in or below.
struct Level {
    /// `None`: it was closed, as too many are open.
    folder: Option<OwnedFd>,
    id: Id,
    /// Folders in it that are still to be looked into.
    left: Vec<CString>,
}

impl Walk {
    fn down(&mut self, root: OwnedFd) {
        let mut levels: Vec<Level> = self.level(root).into_iter().collect();
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.left.pop() else {
                let below = levels.pop().and_then(|done| done.folder);
                if let Some(above) = levels.last_mut().filter(|above| above.folder.is_none()) {
                    above.folder = below.and_then(|below| up(&below, above.id));
                    if above.folder.is_none() {
                        // Moved while it was looked into: the next look starts anew.
                        return;
                    }
                }
                continue;
            };
            let below =
                level.folder.as_ref().and_then(|folder| rustix::fs::openat(folder, &name, FOLDER, Mode::empty()).ok());
            if let Some(below) = below.and_then(|below| self.level(below)) {
                levels.push(below);
                if let Some(far) = levels.len().checked_sub(OPEN + 1).filter(|far| *far > 0) {
                    levels[far].folder = None;
                }
            }
            if self.held.files > self.most_files {
                return;
            }
        }
    }

    /// Counts what is in a folder.
    fn level(&mut self, folder: OwnedFd) -> Option<Level> {
        let id = id_of(&rustix::fs::fstat(&folder).ok()?);
        let mut level = Level { folder: None, id, left: Vec::new() };
        for entry in Dir::read_from(&folder).ok()? {
            let Ok(entry) = entry else { break };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if let Some(name) = self.entry(&folder, name, entry.file_type()) {
                level.left.push(name);
            }
            if self.held.files > self.most_files {
                break;
            }
        }
        level.folder = Some(folder);
        Some(level)
    }

    /// Counts what a name stands for; gives the name back if that is a folder.
    fn entry(&mut self, folder: &OwnedFd, name: &CStr, kind: FileType) -> Option<CString> {
        let stat = (kind != FileType::Directory)
            .then(|| rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))
            .transpose()
            .ok()?;
        let is_folder = stat.as_ref().is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let Some(stat) = stat.filter(|_| !is_folder) else {
            self.folders += 1;
            self.held.files += u64::from(self.folders > Limits::OUTPUT_FILES as u64);
            return Some(name.to_owned());
        };
        if stat.st_nlink < 2 || self.several.insert(id_of(&stat)) {
            self.held.files += 1;
            self.held.bytes = self.held.bytes.saturating_add(bytes_of(&stat));
        }
        None
    }
}

/// The folder above one, if it is still the one it was.
fn up(below: &OwnedFd, id: Id) -> Option<OwnedFd> {
    let above = rustix::fs::openat(below, c"..", FOLDER, Mode::empty()).ok()?;
    (id_of(&rustix::fs::fstat(&above).ok()?) == id).then_some(above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, symlink};

    const ALL: u64 = u64::MAX;

    #[test]
    fn counts_what_is_there_once_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(held(dir.path(), ALL), Held::default());
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/one"), vec![1; 10_000]).unwrap();
        rustix::fs::link(at("a/b/one"), at("again")).unwrap();
        std::fs::write(at("two"), b"abc").unwrap();
        symlink("/usr", at("link")).unwrap();
        let link = 4;
        assert_eq!(held(dir.path(), ALL), Held { bytes: 10_003 + link, files: 3 });
        // What has holes holds what is between them.
        let file = std::fs::File::create(at("holes")).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_at(&[1; 8192], 0).unwrap();
        let with = held(dir.path(), ALL);
        assert!((8192..1 << 20).contains(&(with.bytes - 10_003 - link)), "{with:?}");
        assert!(held(dir.path(), 1).files <= 3, "it stops");
        assert_eq!(held(&at("nothing"), ALL), Held::default());
    }

    #[test]
    fn room_that_was_reserved_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("reserved")).unwrap();
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 8 << 20).is_ok() {
            assert_eq!(file.metadata().unwrap().len(), 0);
            assert!(held(dir.path(), ALL).bytes >= 8 << 20);
        }
    }

    #[test]
    fn no_nest_is_too_deep() {
        let dir = tempfile::tempdir().unwrap();
        let name = "n".repeat(200);
        let mut folder = rustix::fs::openat(CWD, dir.path(), FOLDER, Mode::empty()).unwrap();
        // Deeper than a path can tell, and than files can be open where few may.
        for level in 0..300 {
            rustix::fs::mkdirat(&folder, &name, Mode::RWXU).unwrap();
            if level % 100 == 0 {
                let beside =
                    rustix::fs::openat(&folder, "beside", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
                rustix::io::write(&beside, b"12345").unwrap();
                rustix::fs::mkdirat(&folder, "zz", Mode::RWXU).unwrap();
                let zz = rustix::fs::openat(&folder, "zz", FOLDER, Mode::empty()).unwrap();
                let inside = rustix::fs::openat(&zz, "inside", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
                rustix::io::write(&inside, b"1234567").unwrap();
            }
            folder = rustix::fs::openat(&folder, &name, FOLDER, Mode::empty()).unwrap();
        }
        assert_eq!(held(dir.path(), ALL), Held { bytes: 3 * 12, files: 6 });
    }
}
