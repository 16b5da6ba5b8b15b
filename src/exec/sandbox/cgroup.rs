//! Control groups (version 2), where a folder of them has been given to us: a group for an attempt bounds the memory and
//! the processes of all of it together, and ends all of it at once. Where there is none, resource limits and looking do
//! (`bounds`), and namespaces and process groups end. Leaves out other controllers.
//!
//! Ours is the group that this process is in, if it is not the root of the machine and we may make groups in it. Its
//! controllers can be handed on only while no process is in it itself, so if this one is alone there it moves into a
//! group below.

use std::io::{ErrorKind, Result};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{Timespec, poll};

use crate::exec::bounds::{Bounds, Breach};

/// What memory and processes are bounded by.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// How often is looked whether a group is empty, which takes as long as its processes take to die.
const LOOKS: u32 = 500;
/// How long is waited between two looks, in nanoseconds.
const PAUSE: i64 = 10_000_000;

/// The folder in which groups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    folder: PathBuf,
    /// Whether memory and processes can be bounded.
    pub limits: bool,
    /// Whether all of a group can be ended at once (Linux 5.14).
    pub kills: bool,
}

impl Cgroups {
    /// What this process was given; else why not. Looked for once.
    pub fn of_this_process() -> std::result::Result<&'static Self, &'static str> {
        static FOUND: OnceLock<std::result::Result<Cgroups, String>> = OnceLock::new();
        FOUND.get_or_init(Self::look).as_ref().map_err(String::as_str)
    }

    /// Where groups are made.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn look() -> std::result::Result<Self, String> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let folder = own_folder(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
            .ok_or("no control groups of version 2 are mounted")?;
        if !folder.join("cgroup.type").exists() {
            return Err(format!("`{}` is the root of the machine, which is for its service manager", folder.display()));
        }
        let mut found = Self { folder, limits: false, kills: false };
        found.sweep();
        let tried = Group::make(&found).map_err(|error| format!("`{}`: {error}", found.folder.display()))?;
        found.kills = tried.path.join("cgroup.kill").exists();
        drop(tried);
        found.limits = found.hands_on() || found.make_way() && found.hands_on();
        if found.limits || found.kills {
            return Ok(found);
        }
        Err(format!("`{}` has neither `memory` and `pids` nor `cgroup.kill`", found.folder.display()))
    }

    /// Removes empty groups of processes that are gone.
    fn sweep(&self) {
        let walk = walkdir::WalkDir::new(&self.folder).min_depth(1).max_depth(1).into_iter();
        for entry in walk.filter_map(std::result::Result::ok).filter(|entry| entry.file_type().is_dir()) {
            let name = entry.file_name().to_string_lossy();
            let number = name.strip_prefix("partita-").and_then(|rest| rest.split('-').next());
            let is_pid = |pid: &&str| pid.bytes().all(|byte| byte.is_ascii_digit());
            if number.filter(is_pid).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }

    /// Whether groups in here are bounded, or can be from now on.
    fn hands_on(&self) -> bool {
        let words = |file: &str| std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let has = |text: &str| CONTROLLERS.iter().all(|one| text.split_whitespace().any(|word| word == *one));
        if has(&words("cgroup.subtree_control")) {
            return true;
        }
        has(&words("cgroup.controllers"))
            && std::fs::write(self.folder.join("cgroup.subtree_control"), "+memory +pids").is_ok()
    }

    /// Moves this process into a group below, if no other is here.
    fn make_way(&self) -> bool {
        let here = std::fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        let own = std::process::id().to_string();
        here.lines().map(str::trim).eq([own.as_str()]) && self.go_below().is_ok()
    }

    /// Moves this process into a group of its own, if it is not there.
    fn go_below(&self) -> Result<PathBuf> {
        let own = std::process::id();
        let below = self.folder.join(name_of(own));
        match std::fs::create_dir(&below) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        std::fs::write(below.join("cgroup.procs"), own.to_string())?;
        Ok(below)
    }

    /// Has a group of its own for this process and all that it starts from now on, so that all of it can be ended when
    /// it is gone itself. `None` where that cannot be.
    pub(super) fn enclose(&self) -> Option<Enclosure> {
        self.go_below().ok().filter(|_| self.kills)?;
        Some(Enclosure { without: self.folder.join(format!("{}-warden", name_of(std::process::id()))) })
    }
}

/// The name of the group of a process; those of its attempts begin with it.
fn name_of(pid: u32) -> String {
    format!("partita-{pid}")
}

/// A group that this process is in.
pub(super) struct Enclosure {
    /// A group beside it.
    without: PathBuf,
}

impl Enclosure {
    /// Takes a process out of it.
    pub(super) fn let_out(&self, pid: u32) {
        // If it stays in there, it ends with the others, and last.
        let _ = std::fs::create_dir(&self.without);
        let _ = std::fs::write(self.without.join("cgroup.procs"), pid.to_string());
    }
}

/// The groups that a process made beside that of this one.
fn groups_of(pid: i32) -> Vec<PathBuf> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let own = own_folder(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    let Some(folder) = own.as_deref().and_then(Path::parent) else { return Vec::new() };
    let name = name_of(pid.unsigned_abs());
    let is_of = |found: &str| found.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let walk = walkdir::WalkDir::new(folder).min_depth(1).max_depth(1).into_iter().filter_map(std::result::Result::ok);
    let found = walk.filter(|entry| entry.file_type().is_dir() && entry.file_name().to_str().is_some_and(is_of));
    found.map(walkdir::DirEntry::into_path).collect()
}

/// Ends what is in groups that a process left, but for that which this one is in.
pub(super) fn end_all_of(pid: i32) {
    for path in groups_of(pid) {
        let is_own = std::fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|list| {
            let own = std::process::id().to_string();
            list.lines().any(|line| line == own)
        });
        if !is_own {
            Group { path: path.clone(), kills: true }.end();
        }
    }
}

/// Removes the groups that a process left, which is on its way out.
pub(super) fn clear_away(pid: i32) {
    let groups = groups_of(pid);
    for _ in 0..LOOKS {
        let is_left = |path: &&PathBuf| std::fs::remove_dir(path).is_err() && path.exists();
        let left: Vec<&PathBuf> = groups.iter().filter(is_left).collect();
        let Some(last) = left.first().filter(|_| left.len() <= 1) else {
            if left.is_empty() {
                return;
            }
            pause();
            continue;
        };
        // The one that this process is in. Where it cannot go up, as others are bounded there, an empty group stays.
        let up = last.parent().map(|up| std::fs::write(up.join("cgroup.procs"), std::process::id().to_string()));
        if up.is_some_and(|up| up.is_ok()) {
            let _ = std::fs::remove_dir(last);
        }
        return;
    }
}

/// The folder of the group that a process is in, by what `/proc` says of mounts and of it.
fn own_folder(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?.trim_end();
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let below = if root == "/" { own } else { own.strip_prefix(root)? };
        Some(Path::new(at).join(below.trim_start_matches('/')))
    })
}

/// The group of an attempt. Removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    kills: bool,
}

impl Group {
    fn make(all: &Cgroups) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = all.folder.join(format!("{}-{number}", name_of(std::process::id())));
        std::fs::create_dir(&path)?;
        Ok(Self { path, kills: all.kills })
    }

    /// A group for an attempt that is bounded so, whose first process is one of ours; `None` where it would not help.
    pub(super) fn of(bounds: &Bounds, always: bool) -> Option<Self> {
        let all = Cgroups::of_this_process().ok()?;
        let is_bounded = all.limits && (bounds.memory.is_some() || bounds.processes.is_some());
        let helps = is_bounded || always && all.kills;
        let group = helps.then(|| Self::make(all).ok()).flatten()?;
        if is_bounded {
            // What is refused here is bounded in the other way, which is always there.
            let _ = group.bound(bounds);
        }
        Some(group)
    }

    fn bound(&self, bounds: &Bounds) -> Result<()> {
        let write = |file: &str, text: &str| std::fs::write(self.path.join(file), text);
        if let Some(most) = bounds.memory {
            write("memory.max", &most.to_string())?;
            // Swap is memory too; a kernel may have been made without it.
            let _ = write("memory.swap.max", "0");
            let _ = write("memory.oom.group", "1");
        }
        if let Some(most) = bounds.processes {
            // The first process is ours, not the action's.
            write("pids.max", &most.saturating_add(1).to_string())?;
        }
        Ok(())
    }

    /// Takes a process in, with what it starts from now on.
    pub(super) fn take_in(&self, pid: u32) -> Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// Takes the process of a descriptor in.
    pub(super) fn take_in_by(&self, process: impl AsFd) -> Result<()> {
        use std::os::fd::AsRawFd;
        let number = process.as_fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<u32>().ok());
        self.take_in(pid.filter(|pid| *pid > 0).ok_or(ErrorKind::NotFound)?)
    }

    /// Ends all of it. `false` where that cannot be done here.
    pub(super) fn kill(&self) -> bool {
        self.kills && std::fs::write(self.path.join("cgroup.kill"), "1").is_ok()
    }

    /// Ends all of it and waits for that. Gives what was used too much of, if anything was.
    pub(super) fn end(&self) -> Option<Breach> {
        if self.kill() {
            for _ in 0..LOOKS {
                if self.count("cgroup.events", "populated") == 0 {
                    break;
                }
                pause();
            }
        }
        self.breach()
    }

    fn breach(&self) -> Option<Breach> {
        if self.count("memory.events", "oom_kill") > 0 {
            return Some(Breach::Memory);
        }
        (self.count("pids.events", "max") > 0).then_some(Breach::Processes)
    }

    fn count(&self, file: &str, word: &str) -> u64 {
        let text = std::fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        found.unwrap_or(0)
    }
}

/// Waits a moment for what the kernel does by itself.
fn pause() {
    let moment = Timespec { tv_sec: 0, tv_nsec: PAUSE };
    let _ = poll(&mut [], Some(&moment));
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..LOOKS {
            match std::fs::remove_dir(&self.path) {
                // Dead processes are in it until they are taken.
                Err(error) if error.kind() == ErrorKind::ResourceBusy && self.kill() => {
                    pause();
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_process_is_found() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      31 23 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        let find = |mounts: &str, groups: &str| own_folder(mounts, groups);
        let groups = "4:memory:/elsewhere\n0::/user.slice/a.scope\n";
        assert_eq!(find(mounts, groups), Some("/sys/fs/cgroup/unified/user.slice/a.scope".into()));
        assert_eq!(find(mounts, "0::/\n"), Some("/sys/fs/cgroup/unified".into()));
        // A container that sees only what is below its own.
        let bound = "31 23 0:27 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(find(bound, groups), Some("/sys/fs/cgroup/a.scope".into()));
        assert_eq!(find(bound, "0::/system.slice\n"), None);
        assert_eq!(find("", groups), None);
        assert_eq!(find(mounts, "4:memory:/x\n"), None);
    }

    #[test]
    fn what_is_written_and_read_is_as_the_kernel_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let group = Group { path: dir.path().join("g"), kills: false };
        std::fs::create_dir(&group.path).unwrap();
        let bounds = Bounds { processes: Some(4), memory: Some(1 << 20), ..Bounds::default() };
        group.bound(&bounds).unwrap();
        let read = |file: &str| std::fs::read_to_string(group.path.join(file)).unwrap();
        assert_eq!((read("memory.max").as_str(), read("memory.swap.max").as_str()), ("1048576", "0"));
        assert_eq!(read("pids.max"), "5");
        assert_eq!(group.end(), None, "nothing was counted");
        let write = |file: &str, text: &str| std::fs::write(group.path.join(file), text).unwrap();
        write("pids.events", "max 0\n");
        write("memory.events", "low 0\nmax 7\noom 1\noom_kill 0\n");
        assert_eq!(group.end(), None, "near it is not over it");
        write("pids.events", "max 3\n");
        assert_eq!(group.end(), Some(Breach::Processes));
        write("memory.events", "low 0\nmax 7\noom 1\noom_kill 2\n");
        assert_eq!(group.end(), Some(Breach::Memory));
        std::fs::remove_dir_all(&group.path).unwrap();
    }

    #[test]
    fn controllers_are_handed_on_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let all = Cgroups { folder: dir.path().to_owned(), limits: false, kills: false };
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        write("cgroup.controllers", "cpu hugetlb\n");
        assert!(!all.hands_on());
        write("cgroup.controllers", "cpu memory pids\n");
        assert!(all.hands_on());
        assert_eq!(std::fs::read_to_string(dir.path().join("cgroup.subtree_control")).unwrap(), "+memory +pids");
        // Others live here: they are left alone.
        write("cgroup.procs", &format!("1\n{}\n", std::process::id()));
        assert!(!all.make_way());
        write("cgroup.procs", &format!("{}\n", std::process::id()));
        assert!(all.make_way());
        let moved = dir.path().join(format!("partita-{}/cgroup.procs", std::process::id()));
        assert_eq!(std::fs::read_to_string(moved).unwrap(), std::process::id().to_string());
    }
}
