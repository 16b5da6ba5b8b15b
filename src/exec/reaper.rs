//! Finds and kills what an attempt leaves behind. Leaves out its first process, which the runner
//! waits for.
//!
//! As this process adopts orphans (`hygiene`), every descendant of a dead attempt becomes its child
//! sooner or later, on the list that the kernel keeps for the main thread. Which attempt an orphan
//! belongs to is told by the attempt's directory in its environment (`HOME`, `TMPDIR`) or as its
//! working directory. One that shows no attempt at all has scrubbed itself; it is killed with the
//! first attempt that ends, as a process must never outlive its action. Helpers of this process are
//! known by their numbers; of others in its own process group, which an action may join, those are
//! left alone that show no attempt and were there before it. A process namespace, where the
//! runner has one, makes all of this exact.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, kill_process_group, pidfd_open, waitpid,
};
use walkdir::WalkDir;

use crate::base::Clock;
use crate::exec::sandbox::{Noted, is_own, is_warden, note};

/// Attempts of this process that are under way: the directory of each, with a trailing `/`, and
/// its first process.
static ATTEMPTS: Mutex<BTreeMap<PathBuf, i32>> = Mutex::new(BTreeMap::new());

/// How long to go on killing before giving up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a process's environment that are looked at.
pub(super) const ENVIRON_BYTES: u64 = 4 << 20;

/// The processes of one attempt.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    group: Pid,
    /// When its first process began, in ticks since the machine was started.
    start: u64,
    /// So that it ends with this process, however that ends.
    _noted: Option<Noted>,
}

impl Tree {
    /// The processes that descend from `first`, the leader of its own group, of the attempt at `root`.
    pub(super) fn new(root: &Path, first: Pid) -> Self {
        // With the slash, the directory of attempt 1 is not found in that of attempt 12.
        let root = PathBuf::from(format!("{}/", root.display()));
        ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner).insert(root.clone(), first.as_raw_nonzero().get());
        let start = Stat::of(first).map_or(0, |stat| stat.start);
        Self { root, group: first, start, _noted: note(first) }
    }

    /// The number of the process group.
    pub(super) fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Sends a signal to the process group, as long as its leader has not been waited for.
    pub(super) fn signal(&self, signal: Signal) {
        // No such group: they are all dead, which is what was wanted.
        let _ = kill_process_group(self.group, signal);
    }

    /// Kills and waits for every orphan of the attempt until none is left. Call when the first
    /// process has been waited for. Returns how many would not die.
    pub(super) fn reap(self, clock: &dyn Clock) -> u32 {
        let start = clock.elapsed();
        loop {
            let children = orphans();
            // What is left of the attempt descends from one that is a child of ours by now.
            if children.is_empty() {
                return 0;
            }
            let mut alive = 0;
            for pid in children {
                if !self.owns(pid) {
                    continue;
                }
                // Fails for what is dead already, or for what changed its user: the latter counts.
                let _ = kill_process(pid, Signal::KILL);
                if !wait_a_little(pid) {
                    alive += 1;
                }
            }
            if alive == 0 && !orphans().iter().any(|pid| self.owns(*pid)) {
                return 0;
            }
            if clock.elapsed().saturating_sub(start) > PATIENCE {
                return alive.max(1);
            }
        }
    }

    fn owns(&self, pid: Pid) -> bool {
        let Some(stat) = Stat::of(pid) else { return false };
        if is_warden(pid) || is_own(pid) {
            return false;
        }
        let is_beside = stat.group == own_group();
        if is_beside && stat.zombie {
            // Whoever started it waits for it.
            return false;
        }
        if stat.group == self.group.as_raw_nonzero().get() || stat.zombie {
            return true;
        }
        let attempts: BTreeSet<PathBuf> =
            ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let shown = shown_attempts(pid, &attempts);
        shown.contains(&self.root) || shown.is_empty() && (!is_beside || stat.start >= self.start)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.root);
    }
}

/// The process group of this process; 0 if its leader is outside of the container that this one is in.
pub(super) fn own_group() -> i32 {
    nix::unistd::getpgrp().as_raw()
}

/// Which of these directories show in the environment of a process or hold its working directory.
fn shown_attempts(pid: Pid, attempts: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let mut environ = Vec::new();
    if let Ok(file) = std::fs::File::open(proc.join("environ")) {
        // What cannot be read shows nothing.
        let _ = file.take(ENVIRON_BYTES).read_to_end(&mut environ);
    }
    let cwd = std::fs::read_link(proc.join("cwd")).unwrap_or_default();
    let shows = |root: &PathBuf| {
        let needle = root.as_os_str().as_bytes();
        cwd.starts_with(root) || environ.windows(needle.len()).any(|window| window == needle)
    };
    attempts.iter().filter(|root| shows(root)).cloned().collect()
}

/// Waits for a killed child. Returns whether it is gone.
fn wait_a_little(pid: Pid) -> bool {
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let limit = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    // An interrupted wait is made again by the caller's loop.
    let _ = poll(&mut fds, Some(&limit));
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(None) => false,
        // Another thread was quicker, or it was never ours.
        Ok(Some(_)) | Err(_) => true,
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug)]
pub(super) struct Stat {
    pub(super) zombie: bool,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// The device of its terminal; 0: none.
    pub(super) terminal: i32,
    /// When it began, in ticks since the machine was started.
    pub(super) start: u64,
}

impl Stat {
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The name, in parentheses, may hold anything, a parenthesis too.
        let after = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&text[after + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let zombie = fields.next()? == "Z";
        let mut number = || fields.next()?.parse::<i32>().ok();
        let (parent, group, session, terminal) = (number()?, number()?, number()?, number()?);
        // The 22nd of all fields.
        let start = fields.nth(14)?.parse().ok()?;
        Some(Self { zombie, parent, group, session, terminal, start })
    }
}

/// Children of this process that were handed to it as orphans, with those its main thread started.
fn orphans() -> Vec<Pid> {
    let main = getpid().as_raw_nonzero();
    match std::fs::read_to_string(format!("/proc/self/task/{main}/children")) {
        Ok(list) => list.split_ascii_whitespace().filter_map(|text| Pid::from_raw(text.parse().ok()?)).collect(),
        // A kernel built without that list.
        Err(_) => children_by_scan(),
    }
}

fn children_by_scan() -> Vec<Pid> {
    let me = getpid().as_raw_nonzero().get();
    let firsts: BTreeSet<i32> = ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect();
    let listing = WalkDir::new("/proc").min_depth(1).max_depth(1);
    let pids = listing.into_iter().filter_map(Result::ok);
    let pids = pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| {
        Stat::of(*pid).is_some_and(|stat| stat.parent == me) && !firsts.contains(&pid.as_raw_nonzero().get())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_stat() {
        let stat = Stat::of(getpid()).unwrap();
        assert!(!stat.zombie);
        assert_eq!(stat.group, own_group());
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let age = now - stat.start as f64 / rustix::param::clock_ticks_per_second() as f64;
        assert!((0.0..3600.0).contains(&age), "{stat:?}");
    }

    #[test]
    fn an_attempt_shows_by_its_working_directory() {
        let here = std::fs::read_link("/proc/self/cwd").unwrap();
        let roots = BTreeSet::from([here.clone(), PathBuf::from("/no/such/attempt/of/this/test/")]);
        // The second shows too if the environment of the test names it, which it does not.
        assert_eq!(shown_attempts(getpid(), &roots), BTreeSet::from([here]));
    }
}
