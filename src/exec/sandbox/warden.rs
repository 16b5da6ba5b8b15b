//! The warden of a process that runs actions in no namespace: this program, started again, which does nothing until
//! that process is gone, and then ends what is left of its actions. So nothing outlives even a runner that is killed.
//! Leaves out isolation `full`, where the kernel sees to that, and what ends in good order.
//!
//! It is told the folders of runs. The first processes of attempts it reads, when it needs them, from a file in memory in
//! which the runner keeps them without waking anybody. Of an attempt is
//!
//! | who | by |
//! | --- | --- |
//! | is a first process, or is in its group | the file |
//! | has a folder of a run in a variable | `/proc/PID/environ` |
//! | works in one, and has no terminal as a person's shell has | `/proc/PID/cwd` |
//! | descends from one of these, or is in a group or session that one of these began | `/proc/PID/stat` |
//! | descended from the runner when it was last looked at | `/proc/PID/task/*/children` |
//! | is in the control group of the runner, where it could make one | `cgroup.kill` |
//!
//! While a run is under way it looks once a second, as who leaves the rest of it behind (two forks, a session and a folder
//! of its own, no variables) is a child of the runner's until that is killed. Without a control group, who did so within
//! the last second is not found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use walkdir::WalkDir;

use crate::base::{Clock, SystemClock};
use crate::exec::reaper::{ENVIRON_BYTES, Stat, own_group};
use crate::exec::sandbox::cgroup::{Cgroups, clear_away, end_all_of};
use crate::exec::sandbox::helper::is_at_hand;
use crate::exec::sandbox::launch::{Helper, spawn};
use crate::exec::sandbox::template::{Broken, step};
use crate::exec::sandbox::wire::{Parcel, Reader, pair, receive, send};

/// Bytes of a place in the file: a process id, 0 for none. The first says whether a run is under way.
const PLACE: usize = 4;
/// Places that there are: more than attempts can be at once.
const PLACES: usize = 1 << 16;
/// Between two looks at the runner while it lives.
const ROUND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// Between two looks when it is gone.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Looks that must find nothing one after the other: who was just being started shows himself a moment later.
const QUIET: u32 = 5;
/// How long what will not die is tried.
const PATIENCE: Duration = Duration::from_mins(1);

/// The warden of this process, once it has been asked for; `None` if there can be none.
static WARDEN: OnceLock<Option<Warden>> = OnceLock::new();

struct Warden {
    pid: i32,
    /// When the last of it is closed, this process is gone.
    control: OwnedFd,
    file: File,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Places of the file that are in use.
    taken: BTreeSet<usize>,
    /// Folders it has been told of.
    folders: BTreeSet<PathBuf>,
}

/// Has a warden see to the attempts in a folder of a run.
pub(super) fn see_to(helper: &Helper, scratch: &Path) {
    if *helper == Helper::ThisProgram && !is_at_hand() {
        return;
    }
    let start = || Warden::start(helper).inspect_err(|error| tracing::debug!(%error, "there is no warden")).ok();
    let Some(warden) = WARDEN.get_or_init(start) else { return };
    let mut state = warden.state.lock().unwrap_or_else(PoisonError::into_inner);
    if state.folders.contains(scratch) {
        return;
    }
    // If it is gone, there is nobody to be told.
    let _ = Parcel::default().bytes(scratch.as_os_str().as_bytes()).send(&warden.control);
    state.folders.insert(scratch.to_path_buf());
}

/// Whether a process is the warden, which is no orphan of an attempt.
pub(in crate::exec) fn is_warden(pid: Pid) -> bool {
    matches!(WARDEN.get(), Some(Some(warden)) if warden.pid == pid.as_raw_nonzero().get())
}

/// Tells the warden whether a run is under way. If none is, it has nothing to look for.
pub(in crate::exec) fn set_busy(busy: bool) {
    if let Some(Some(warden)) = WARDEN.get() {
        warden.write(0, i32::from(busy));
    }
}

/// The first process of an attempt, as long as it is noted.
#[derive(Debug)]
pub(in crate::exec) struct Noted(usize);

/// Notes the first process of an attempt, if there is a warden.
pub(in crate::exec) fn note(pid: Pid) -> Option<Noted> {
    let Some(Some(warden)) = WARDEN.get() else { return None };
    let place = {
        let mut state = warden.state.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (1..PLACES).find(|place| !state.taken.contains(place))?;
        state.taken.insert(free);
        free
    };
    warden.write(place, pid.as_raw_nonzero().get());
    Some(Noted(place))
}

impl Drop for Noted {
    fn drop(&mut self) {
        let Some(Some(warden)) = WARDEN.get() else { return };
        warden.write(self.0, 0);
        warden.state.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.0);
    }
}

impl Warden {
    fn start(helper: &Helper) -> Result<Self> {
        let file = File::from(rustix::fs::memfd_create("attempts", MemfdFlags::CLOEXEC)?);
        // Whatever is started from now on is in there, the warden too.
        let enclosure = Cgroups::of_this_process().ok().and_then(Cgroups::enclose);
        let (control, theirs) = pair()?;
        let mut command = helper.command(WARD, theirs);
        // What is meant for the group of the runner, and be it SIGKILL, is not meant for the warden.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = spawn(&mut command)?;
        drop(command);
        if let Some(enclosure) = &enclosure {
            enclosure.let_out(child.id());
        }
        let warden =
            Self { pid: Pid::from_child(&child).as_raw_nonzero().get(), control, file, state: Mutex::default() };
        warden.write(0, 1);
        send(&warden.control, b"file", &[warden.file.as_fd()])?;
        let mut parcel = Parcel::default();
        parcel.number(u64::from(std::process::id()));
        parcel.number(u64::from(own_group().unsigned_abs()));
        parcel.send(&warden.control)?;
        Ok(warden)
    }

    fn write(&self, place: usize, pid: i32) {
        // A file in memory of a few bytes: if that is refused, so is everything else.
        let _ = self.file.write_all_at(&pid.to_le_bytes(), (place * PLACE) as u64);
    }
}

/// To be the warden.
pub(super) const WARD: &str = "ward";

/// The whole life of the warden.
pub(super) fn watch(control: &OwnedFd) -> std::result::Result<(), Broken> {
    let blocked = SigSet::all().thread_block().map_err(|error| std::io::Error::from_raw_os_error(error as i32));
    step("keep signals away", blocked)?;
    // Nothing is kept from being unmounted.
    step("leave the folder", rustix::process::chdir("/"))?;
    let (_, fds) = step("hear of attempts", receive(control, &mut [0; 8]))?;
    let Some(file) = fds.into_iter().next().map(File::from) else { return Ok(()) };
    let mut about = step("hear of the runner", Reader::receive(control))?;
    let runner = step("hear of the runner", about.number())?;
    let group = step("hear of the runner", about.number())?;
    let runner = i32::try_from(runner).unwrap_or(0);
    let mut hunt = Hunt {
        runner_group: i32::try_from(group).unwrap_or(0),
        first: BTreeSet::new(),
        folders: BTreeSet::new(),
        groups: BTreeSet::new(),
        sessions: BTreeSet::new(),
        seen: BTreeMap::new(),
        own: Stat::of(getpid()),
    };
    loop {
        if matches!(poll(&mut [PollFd::new(control, PollFlags::IN)], Some(&ROUND)), Ok(0)) {
            if is_busy(&places_of(&file)) {
                hunt.remember(runner);
            }
            continue;
        }
        let Ok(folder) = Reader::receive(control).and_then(|mut reader| reader.bytes()) else { break };
        hunt.folders.insert(PathBuf::from(std::ffi::OsString::from_vec(folder)));
    }
    let places = places_of(&file);
    if is_busy(&places) {
        hunt.first = places.into_iter().skip(1).filter(|pid| *pid > 0).collect();
        hunt.groups.clone_from(&hunt.first);
        hunt.end_all();
        end_all_of(runner);
    }
    clear_away(runner);
    Ok(())
}

/// Whether a run is under way.
fn is_busy(places: &[i32]) -> bool {
    places.first().is_none_or(|busy| *busy != 0)
}

/// The file, place by place.
fn places_of(file: &File) -> Vec<i32> {
    let length = file.metadata().map_or(0, |metadata| metadata.len().min((PLACES * PLACE) as u64));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        return Vec::new();
    }
    bytes.chunks_exact(PLACE).filter_map(|place| Some(i32::from_le_bytes(*place.first_chunk()?))).collect()
}

/// Looks for what is left, and ends it.
struct Hunt {
    first: BTreeSet<i32>,
    /// Each after the `=` of a variable, with the slash that keeps one from being found in another.
    folders: BTreeSet<PathBuf>,
    /// Groups and sessions in which somebody was found, so that all in them are.
    groups: BTreeSet<i32>,
    sessions: BTreeSet<i32>,
    /// Who descended from the runner when that was last looked at, and when each began.
    seen: BTreeMap<i32, u64>,
    runner_group: i32,
    own: Option<Stat>,
}

impl Hunt {
    /// Remembers who descends from the runner now, of those that are alive.
    fn remember(&mut self, runner: i32) {
        let me = getpid().as_raw_nonzero().get();
        let stat = |pid: i32| Stat::of(Pid::from_raw(pid)?);
        self.seen.retain(|pid, start| stat(*pid).is_some_and(|stat| stat.start == *start));
        let mut open = children_of(runner);
        // Helpers of the runner are among them, which end with it anyway; but so are those of an action that joined its group.
        open.retain(|pid| *pid != me);
        open.extend(self.seen.keys());
        let mut looked = BTreeSet::new();
        while let Some(pid) = open.pop() {
            if looked.insert(pid)
                && let Some(stat) = stat(pid).filter(|stat| !stat.zombie)
            {
                self.seen.insert(pid, stat.start);
                open.extend(children_of(pid));
            }
        }
    }

    fn end_all(mut self) {
        let clock = SystemClock::new();
        let mut quiet = 0;
        while quiet < QUIET && clock.elapsed() < PATIENCE {
            let found = self.look();
            quiet = if found.is_empty() { quiet + 1 } else { 0 };
            for (pid, start) in found {
                kill(pid, start);
            }
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }

    /// Processes of attempts that are alive, with when they began.
    fn look(&mut self) -> BTreeMap<i32, u64> {
        let Some(own) = &self.own else { return BTreeMap::new() };
        let (own_start, own_session) = (own.start, own.session);
        let me = getpid().as_raw_nonzero().get();
        let listing = WalkDir::new("/proc").min_depth(1).max_depth(1).into_iter().filter_map(std::result::Result::ok);
        let pids = listing.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let stat = |pid: i32| Some((pid, Stat::of(Pid::from_raw(pid)?)?));
        // What was there before the warden is of no attempt; a number that is used again is not what it was.
        let mut others: BTreeMap<i32, Stat> = pids.filter_map(stat).collect();
        others.retain(|pid, stat| *pid != me && !stat.zombie && stat.start >= own_start);
        let mut found: BTreeSet<i32> =
            others.iter().filter(|(pid, stat)| self.knows(**pid, stat)).map(|(pid, _)| *pid).collect();
        loop {
            let below: Vec<i32> = others
                .iter()
                .filter(|(pid, stat)| !found.contains(pid) && found.contains(&stat.parent))
                .map(|(pid, _)| *pid)
                .collect();
            if below.is_empty() {
                break;
            }
            found.extend(below);
        }
        others.retain(|pid, _| found.contains(pid));
        // A group or session is an attempt's if whoever began it is: it may join one of others.
        for stat in others.values() {
            let is_ours = |leader: i32| found.contains(&leader) || self.first.contains(&leader);
            if stat.group != self.runner_group && is_ours(stat.group) {
                self.groups.insert(stat.group);
            }
            if stat.session != own_session && is_ours(stat.session) {
                self.sessions.insert(stat.session);
            }
        }
        others.into_iter().map(|(pid, stat)| (pid, stat.start)).collect()
    }

    fn knows(&self, pid: i32, stat: &Stat) -> bool {
        self.first.contains(&pid)
            || self.seen.get(&pid) == Some(&stat.start)
            || self.groups.contains(&stat.group)
            || self.sessions.contains(&stat.session)
            || self.shows(pid, stat)
    }

    /// Whether a process shows a folder of a run.
    fn shows(&self, pid: i32, stat: &Stat) -> bool {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        if stat.terminal == 0
            && let Ok(cwd) = std::fs::read_link(proc.join("cwd"))
            && self.folders.iter().any(|folder| cwd.starts_with(folder))
        {
            return true;
        }
        let mut environ = Vec::new();
        if let Ok(file) = File::open(proc.join("environ")) {
            // What cannot be read shows nothing.
            let _ = file.take(ENVIRON_BYTES).read_to_end(&mut environ);
        }
        environ.split(|byte| *byte == 0).any(|variable| {
            let value = variable.iter().position(|byte| *byte == b'=').map(|at| &variable[at + 1..]);
            value.is_some_and(|value| {
                let path = Path::new(std::ffi::OsStr::from_bytes(value));
                self.folders.iter().any(|folder| path.starts_with(folder))
            })
        })
    }
}

/// The children of all threads of a process; none where the kernel was built without these lists.
pub(super) fn children_of(pid: i32) -> Vec<i32> {
    let tasks = WalkDir::new(format!("/proc/{pid}/task")).min_depth(1).max_depth(1).into_iter();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Kills a process, if it is still the one that began then.
fn kill(pid: i32, start: u64) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if Stat::of(pid).is_some_and(|stat| stat.start == start) {
        // It has ended, or is not ours to end.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}
