//! What an attempt uses at the moment: how many processes it has, how much memory they use (`memory`), and what its
//! folders hold (`held`). Looked up in `/proc` and in the folders, so that it needs neither rights nor control groups.
//! Leaves out what is done about one that uses too much.
//!
//! To look into folders takes longer the more is in them. So that it costs no more than a small share of a processor, who
//! looked rests for many times as long as that took.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{Timespec, poll};
use rustix::fs::{AtFlags, CWD, FsWord, statat};
use walkdir::WalkDir;

use crate::base::{Clock, Limits};
use crate::exec::held::{Held, Id, bytes_of, held, id_of};
use crate::exec::memory;

/// How often is looked.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How many times as long as a look took the next one has to wait.
const REST: u32 = 19;
/// How often memory must be found to be too much, one look after the other. A process that is about to become another
/// program shares all of its parent's for a moment, and both seem to have it.
const SURE: usize = 3;
/// How long lies between these looks.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// The file system whose files are memory (`TMPFS_MAGIC`).
const TMPFS: FsWord = 0x0102_1994;
/// What the kernel writes after the name of a file that has none any more.
const DELETED: &[u8] = b" (deleted)";

/// What an attempt may use at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Processes and threads at once.
    pub processes: Option<u64>,
    /// Bytes of memory that its processes use.
    pub memory: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_bytes: Option<u64>,
    /// What its folders may hold.
    pub folders: Option<Folders>,
}

/// What the folders of an attempt may hold beyond what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// Bytes.
    pub bytes: Option<u64>,
    /// Files.
    pub files: Option<u64>,
    /// Bytes of what it was given.
    pub given_bytes: u64,
    /// Files of what it was given.
    pub given_files: u64,
    /// Whether what they hold is memory.
    pub are_memory: bool,
}

/// What was used too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Processes and threads.
    Processes,
    /// Memory.
    Memory,
    /// Bytes in its folders: so many.
    Bytes(u64),
    /// Files in its folders: so many.
    Files(u64),
}

impl Bounds {
    /// Whether somebody has to look.
    pub(super) fn are_watched(&self) -> bool {
        self.processes.is_some() || self.memory.is_some() || self.folders.is_some()
    }
}

impl Folders {
    /// Bounds for the folders of an attempt below `root`, which has been given all it is given. `None` if nothing bounds
    /// them: then nobody looks.
    pub(super) fn of(root: &Path, bytes: Option<u64>, files: Option<u64>, memory: Option<u64>) -> Option<Self> {
        if bytes.is_none() && files.is_none() && memory.is_none() {
            return None;
        }
        let are_memory = rustix::fs::statfs(root).is_ok_and(|system| system.f_type == TMPFS);
        if bytes.is_none() && files.is_none() && !are_memory {
            return None;
        }
        let given = held(root, u64::MAX);
        // Small files would fill a disk as well.
        let files = files.or(bytes.map(|_| Limits::OUTPUT_FILES as u64));
        Some(Self { bytes, files, given_bytes: given.bytes, given_files: given.files, are_memory })
    }

    /// What they hold beyond what was given.
    fn look(&self, root: &Path) -> Held {
        let most = self.files.map_or(u64::MAX, |files| self.given_files.saturating_add(files));
        let now = held(root, most);
        Held { bytes: now.bytes.saturating_sub(self.given_bytes), files: now.files.saturating_sub(self.given_files) }
    }

    fn breach(&self, held: Held) -> Option<Breach> {
        if self.bytes.is_some_and(|most| held.bytes > most) {
            return Some(Breach::Bytes(held.bytes));
        }
        self.files.is_some_and(|most| held.files > most).then_some(Breach::Files(held.files))
    }

    /// What an attempt whose processes are all dead has left too much of.
    pub(super) fn left(&self, root: &Path) -> Option<Breach> {
        self.breach(self.look(root))
    }
}

/// Looks after what an attempt uses.
pub(super) struct Watch<'a> {
    bounds: Bounds,
    root: PathBuf,
    /// Whether all processes and shared memory that can be seen are the attempt's.
    alone: bool,
    clock: &'a dyn Clock,
    /// When to look again at what takes longer.
    next: Duration,
}

impl<'a> Watch<'a> {
    /// `root`: the folders of the attempt.
    pub(super) fn new(bounds: Bounds, root: &Path, alone: bool, clock: &'a dyn Clock) -> Self {
        let real = bounds.are_watched().then(|| std::fs::canonicalize(root).ok()).flatten();
        let root = real.unwrap_or_else(|| root.to_path_buf());
        Self { bounds, root, alone, clock, next: Duration::ZERO }
    }

    /// What is used too much of by the processes that `are_of` the attempt, given their numbers and groups.
    pub(super) fn breach(&mut self, are_of: impl Fn(i32, i32) -> bool) -> Option<Breach> {
        if !self.bounds.are_watched() {
            return None;
        }
        let (mut processes, mut own) = (0_u64, Vec::new());
        for pid in pids() {
            // One that has ended meanwhile uses nothing.
            let Some(used) = Used::by(pid).filter(|used| are_of(pid, used.group)) else { continue };
            processes += used.threads;
            own.push(pid);
        }
        if self.bounds.processes.is_some_and(|most| processes > most) {
            return Some(Breach::Processes);
        }
        let now = self.clock.elapsed();
        if now < self.next || self.bounds.memory.is_none() && self.bounds.folders.is_none() {
            return None;
        }
        let breach = self.look(&own);
        self.next = now + self.clock.elapsed().saturating_sub(now) * REST;
        breach
    }

    fn look(&self, own: &[i32]) -> Option<Breach> {
        let open = Open::of(own, &self.root);
        let mut in_folders = 0;
        if let Some(folders) = &self.bounds.folders {
            let mut held = folders.look(&self.root);
            held.bytes = held.bytes.saturating_add(open.nameless());
            if let Some(breach) = folders.breach(held) {
                return Some(breach);
            }
            in_folders = if folders.are_memory { held.bytes } else { 0 };
        }
        let most = self.bounds.memory?;
        let shared = memory::segments(|creator| self.alone || own.contains(&creator));
        let apart = open.memory.iter().chain(&shared).map(|(_, bytes)| *bytes).fold(in_folders, u64::saturating_add);
        let at_most = own.iter().map(|pid| memory::at_most(*pid)).fold(apart, u64::saturating_add);
        if at_most <= most {
            return None;
        }
        // Now it is worth the time to find out what is shared.
        for look in 0..SURE {
            if look > 0 {
                let _ = poll(&mut [], Some(&MOMENT));
            }
            let mut used = memory::Used::default();
            for pid in own {
                used.add(*pid);
            }
            // What has pages in a process and is counted as a whole is not to be counted again.
            let counted = open.memory.iter().chain(&shared).map(|(id, bytes)| {
                let mapped = open.mapped.get(id).map_or(0, |mapped| mapped.length);
                mapped.min(*bytes)
            });
            let again = counted.fold(open.in_folders.min(in_folders), u64::saturating_add);
            let all = used.own.saturating_add(used.shared.saturating_sub(again)).saturating_add(apart);
            if all <= most {
                return None;
            }
        }
        Some(Breach::Memory)
    }
}

/// What processes hold open or mapped that no folder shows.
#[derive(Default)]
struct Open {
    /// Bytes of files in the folders that were deleted.
    deleted: BTreeMap<Id, u64>,
    /// Bytes of files that are memory and never had a name in a folder.
    memory: BTreeMap<Id, u64>,
    /// What is mapped.
    mapped: BTreeMap<Id, Mapped>,
    /// Bytes of files in the folders that are mapped.
    in_folders: u64,
}

/// A file that is mapped.
#[derive(Default)]
struct Mapped {
    /// All its mappings together.
    length: u64,
    /// Where the last one ends in the file.
    end: u64,
    /// Whether it lay in the folders and was deleted.
    is_deleted: bool,
}

impl Open {
    fn of(pids: &[i32], root: &Path) -> Self {
        let mut open = Self::default();
        for pid in pids {
            open.files(*pid, root);
            open.mappings(*pid, root);
        }
        open
    }

    fn files(&mut self, pid: i32, root: &Path) {
        for entry in
            WalkDir::new(format!("/proc/{pid}/fd")).min_depth(1).max_depth(1).into_iter().filter_map(Result::ok)
        {
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let is_memory = target.as_os_str().as_bytes().starts_with(b"/memfd:");
            if !is_memory && undeleted(&target).is_none_or(|name| !name.starts_with(root)) {
                continue;
            }
            if let Ok(stat) = statat(CWD, entry.path(), AtFlags::empty())
                && stat.st_nlink == 0
            {
                let files = if is_memory { &mut self.memory } else { &mut self.deleted };
                files.insert(id_of(&stat), bytes_of(&stat));
            }
        }
    }

    fn mappings(&mut self, pid: i32, root: &Path) {
        let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        for line in maps.split(|byte| *byte == b'\n') {
            let Some(Mapping { id, length, end, path }) = Mapping::read(line) else { continue };
            let is_deleted = undeleted(&path).is_some_and(|name| name.starts_with(root));
            if is_deleted || path.starts_with(root) {
                self.in_folders = self.in_folders.saturating_add(length);
            }
            let mapped = self.mapped.entry(id).or_default();
            mapped.length = mapped.length.saturating_add(length);
            mapped.end = mapped.end.max(end);
            mapped.is_deleted |= is_deleted;
        }
    }

    /// Bytes of files that were deleted. One that is only mapped is taken to be as long as that.
    fn nameless(&self) -> u64 {
        let mapped = self.mapped.iter().filter(|(id, mapped)| mapped.is_deleted && !self.deleted.contains_key(id));
        self.deleted.values().copied().chain(mapped.map(|(_, mapped)| mapped.end)).fold(0, u64::saturating_add)
    }
}

/// The path that a file had, of one that was deleted.
fn undeleted(path: &Path) -> Option<PathBuf> {
    let name = path.as_os_str().as_bytes().strip_suffix(DELETED)?;
    Some(OsString::from_vec(name.to_vec()).into())
}

/// A line of `/proc/PID/maps` that is about a file: `start-end rights offset device inode path`.
struct Mapping {
    id: Id,
    length: u64,
    end: u64,
    path: PathBuf,
}

impl Mapping {
    fn read(line: &[u8]) -> Option<Self> {
        let path = line.iter().position(|byte| *byte == b'/')?;
        let fields = std::str::from_utf8(&line[..path]).ok()?;
        let path = &line[path..];
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut fields = fields.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let length = hex(end)?.checked_sub(hex(start)?)?;
        let offset = hex(fields.nth(1)?)?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let device = rustix::fs::makedev(hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?);
        let inode = fields.next()?.parse().ok()?;
        // Shared memory of System V has its number there, and a device that nothing else tells.
        let id = if path.starts_with(b"/SYSV") { (memory::SEGMENT, inode) } else { (device, inode) };
        let path = OsString::from_vec(path.to_vec()).into();
        Some(Self { id, length, end: offset.saturating_add(length), path })
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let walk = WalkDir::new("/proc").min_depth(1).max_depth(1).sort_by_file_name().into_iter();
    walk.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

struct Used {
    group: i32,
    threads: u64,
}

impl Used {
    fn by(pid: i32) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::read(&String::from_utf8_lossy(&stat))
    }

    /// `proc_pid_stat(5)`: the name is in brackets and may hold anything, so fields count from the last.
    fn read(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Self { group: fields.get(2)?.parse().ok()?, threads: fields.get(17)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;

    fn own() -> i32 {
        std::process::id().cast_signed()
    }

    fn breach(bounds: Bounds, root: &Path, are_of: impl Fn(i32) -> bool) -> Option<Breach> {
        Watch::new(bounds, root, false, &SystemClock::new()).breach(|pid, _| are_of(pid))
    }

    #[test]
    fn finds_itself() {
        let nowhere = Path::new("/no/such/folder");
        let none = Bounds::default();
        assert_eq!(breach(none, nowhere, |_| true), None);
        let one = Bounds { processes: Some(1), ..none };
        // The test runner has threads.
        assert!(Used::by(own()).unwrap().threads >= 1);
        assert_eq!(breach(one, nowhere, |pid| pid == -1), None);
        let tight = Bounds { memory: Some(1), ..none };
        assert_eq!(breach(tight, nowhere, |pid| pid == own()), Some(Breach::Memory));
        assert_eq!(breach(Bounds { memory: Some(1 << 60), ..none }, nowhere, |pid| pid == own()), None);
    }

    #[test]
    fn reads_names_of_any_kind() {
        let stat = "12 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100";
        let used = Used::read(stat).unwrap();
        assert_eq!((used.group, used.threads), (7, 9));
    }

    #[test]
    fn reads_what_is_mapped() {
        let line = b"7f0000000000-7f0000003000 rw-s 00001000 00:1f 42                 /tmp/a b (deleted)";
        let mapping = Mapping::read(line).unwrap();
        assert_eq!((mapping.length, mapping.end, mapping.id.1), (0x3000, 0x4000, 42));
        assert_eq!(undeleted(&mapping.path).unwrap(), Path::new("/tmp/a b"));
        assert!(Mapping::read(b"7ffc-7ffd rw-p 00000000 00:00 0 [stack]").is_none());
        assert!(Mapping::read(b"").is_none());
        let segment = Mapping::read(b"7f00-7f10 rw-s 00000000 00:01 5 /SYSV00000000 (deleted)").unwrap();
        assert_eq!(segment.id, (memory::SEGMENT, 5));
    }

    #[test]
    fn files_without_a_name_are_held_and_what_was_given_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("given"), vec![1; 100_000]).unwrap();
        let folders = |bytes| Folders::of(&root, Some(bytes), None, None);
        let limits = folders(50_000);
        let look = |folders| breach(Bounds { folders, ..Bounds::default() }, &root, |pid| pid == own());
        assert_eq!(look(limits), None);
        std::fs::write(root.join("gone"), vec![1; 60_000]).unwrap();
        assert_eq!(look(limits), Some(Breach::Bytes(60_000)));
        let open = std::fs::File::open(root.join("gone")).unwrap();
        std::fs::remove_file(root.join("gone")).unwrap();
        assert_eq!(look(limits), Some(Breach::Bytes(60_000)));
        drop(open);
        assert_eq!(look(limits), None);
        for name in ["a", "b", "c"] {
            std::fs::write(root.join(name), b"").unwrap();
        }
        let few = Folders { files: Some(2), ..limits.unwrap() };
        assert_eq!(look(Some(few)), Some(Breach::Files(3)));
        assert_eq!(Folders::of(&root, None, None, None), None);
    }

    #[test]
    fn memory_without_a_mapping_is_memory() {
        let nowhere = Path::new("/no/such/folder");
        let used = |most| breach(Bounds { memory: Some(most), ..Bounds::default() }, nowhere, |pid| pid == own());
        let file = rustix::fs::memfd_create("held", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let chunk = vec![1; 1 << 20];
        for _ in 0..96 {
            rustix::io::write(&file, &chunk).unwrap();
        }
        assert_eq!(used(80 << 20), Some(Breach::Memory));
        drop(file);
        // The process of a test has little itself.
        assert_eq!(used(80 << 20), None);
    }
}
