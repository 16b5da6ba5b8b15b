//! The surroundings in which an action is made again: what they vary, and how. Leaves out what is found then.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, StatVfsMountFlags, flock};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use walkdir::WalkDir;

use crate::exec::stage::Order;

/// Bytes that must be free on another file system, besides what is staged.
const FREE: u64 = 256 << 20;
/// How far ahead the false clock is: another year, month, day, hour, minute and second.
pub(super) const AHEAD: Duration = Duration::from_secs(401 * 86_400 + 5 * 3_600 + 17 * 60 + 29);
/// What folders of checks are called where they are not below the store's.
const PREFIX: &str = "partita-check-";
/// The folder that attempts of a check are made in. No other has this name, so that it is recognised.
pub(super) const NAME: &str = "folder-of-another-name-and-length";

/// The surroundings of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::exec) struct Conditions {
    /// Variables, unless the action declares them.
    pub(in crate::exec) env: BTreeMap<&'static str, OsString>,
    /// The order in which inputs are laid out.
    pub(in crate::exec) order: Order,
    /// How many processors.
    pub(super) cpus: Option<usize>,
    /// The umask.
    pub(super) umask: Option<u32>,
    /// The short name of the time zone.
    pub(super) zone: &'static str,
    /// The library by which the clock lies.
    pub(super) false_clock: Option<PathBuf>,
}

impl Conditions {
    /// As at first.
    pub(super) fn plain() -> Self {
        Self { env: BTreeMap::new(), order: Order::Sorted, cpus: None, umask: None, zone: "\0", false_clock: None }
    }

    /// Unlike at first, the first or the second time.
    pub(super) fn varied(second: bool, cpus: usize, false_clock: Option<&Path>) -> Self {
        // Zones and their offsets that nobody has, so that they are recognised.
        let (zone, text) = if second { ("QZB", "QZB+11:15") } else { ("QZA", "QZA-13:45") };
        let locale = if second { "POSIX".to_owned() } else { a_locale() };
        let mut env: BTreeMap<&'static str, OsString> = BTreeMap::new();
        env.insert("TZ", text.into());
        env.insert("LC_ALL", locale.clone().into());
        env.insert("LANG", locale.into());
        if let Some(library) = false_clock {
            env.insert("LD_PRELOAD", library.into());
            env.insert("FAKETIME", format!("+{}", AHEAD.as_secs()).into());
            // Timeouts would come at once.
            env.insert("FAKETIME_DONT_FAKE_MONOTONIC", "1".into());
        }
        Self {
            env,
            order: if second { Order::Mixed } else { Order::Reversed },
            cpus: (cpus > 1).then(|| if second { cpus - 1 } else { 1 }),
            umask: Some(if second { 0o002 } else { 0o027 }),
            zone,
            false_clock: false_clock.map(Path::to_path_buf),
        }
    }

    /// Whether tools are found by another path.
    pub(in crate::exec) fn moves_tools(&self) -> bool {
        self.order != Order::Sorted
    }

    /// The locale.
    pub(super) fn locale(&self) -> String {
        self.env.get("LC_ALL").map(|locale| locale.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Does something in a thread that has these processors and this umask, which the processes it starts
    /// inherit.
    pub(in crate::exec) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = sched_getaffinity(None).ok();
        if let (Some(count), Some(before)) = (self.cpus, &before) {
            let mut fewer = CpuSet::new();
            (0..CpuSet::MAX_CPU).filter(|cpu| before.is_set(*cpu)).take(count).for_each(|cpu| fewer.set(cpu));
            // Refused, it is not varied, and nothing is concluded from that.
            let _ = sched_setaffinity(None, &fewer);
        }
        let umask = self.umask.filter(|_| own_umask()).map(|mask| rustix::process::umask(Mode::from_raw_mode(mask)));
        let result = work();
        if let Some(umask) = umask {
            rustix::process::umask(umask);
        }
        if let (Some(_), Some(before)) = (self.cpus, &before) {
            let _ = sched_setaffinity(None, before);
        }
        result
    }
}

/// How many processors this thread may use.
pub(super) fn processors() -> usize {
    sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}

/// Gives this thread a umask of its own, which is the process's otherwise. Whether that was possible.
#[expect(unsafe_code, reason = "no other way to a umask of one thread")]
fn own_umask() -> bool {
    // SAFETY: of this thread alone, umask, root and working directory are no longer shared with the others. Nobody
    // here relies on a change of theirs reaching it.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }.is_ok()
}

/// A locale of this machine that is not the usual one; `C` if there is none.
fn a_locale() -> String {
    let listing = WalkDir::new("/usr/lib/locale").min_depth(1).max_depth(1).sort_by_file_name();
    let names = listing.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_dir());
    let names = names.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
    names.into_iter().find(|name| !name.starts_with("C.") && name != "C").unwrap_or_else(|| "C".to_owned())
}

/// The library that makes a clock lie, where it is installed.
pub(super) fn false_clock() -> Option<PathBuf> {
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    let mut folders = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64"), PathBuf::from("/usr/local/lib")];
    let listing = WalkDir::new("/usr/lib").min_depth(1).max_depth(1).sort_by_file_name();
    let below = listing.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_dir());
    folders.extend(below.map(walkdir::DirEntry::into_path).filter(|folder| folder.join("libc.so.6").exists()));
    folders.into_iter().map(|folder| folder.join(LIBRARY)).find(|library| library.is_file())
}

/// A folder for the attempts of a check, whose path is unlike that of others, on another file system if there
/// is one: there folders list their files in another order. Removed when dropped.
#[derive(Debug)]
pub(in crate::exec) struct Ground {
    /// The folder.
    pub(super) dir: PathBuf,
    /// Whether it is on another file system than the attempts at first.
    pub(super) apart: bool,
    /// Locked for as long as it is used.
    _lock: Option<rustix::fd::OwnedFd>,
}

impl Ground {
    /// A new one; below `scratch` if it cannot be anywhere else.
    pub(super) fn new(scratch: &Path) -> std::io::Result<Self> {
        let here = rustix::fs::stat(scratch)?.st_dev;
        for place in ["/dev/shm", "/run/shm", "/tmp", "/var/tmp"].map(Path::new) {
            if is_fit(place, here)
                && let Ok(ground) = Self::below(place)
            {
                return Ok(ground);
            }
        }
        let dir = scratch.join(NAME);
        std::fs::create_dir(&dir)?;
        Ok(Self { dir, apart: false, _lock: None })
    }

    fn below(place: &Path) -> std::io::Result<Self> {
        sweep(place);
        for _ in 0..8 {
            let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?.keep();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(lock) = rustix::fs::open(&made, flags, Mode::empty()) else { continue };
            // Another process may sweep it away between its making and its locking.
            if flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok()
                && rustix::fs::fstat(&lock).is_ok_and(|stat| stat.st_nlink > 0)
            {
                let dir = made.join(NAME);
                std::fs::create_dir(&dir)?;
                return Ok(Self { dir, apart: true, _lock: Some(lock) });
            }
        }
        Err(std::io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let whole = if self.apart { self.dir.parent().unwrap_or(&self.dir) } else { &self.dir };
        crate::exec::stage::remove(whole);
    }
}

/// Whether attempts can be made in a folder, and it is on another device.
fn is_fit(place: &Path, here: u64) -> bool {
    let Ok(stat) = rustix::fs::stat(place) else { return false };
    let Ok(system) = rustix::fs::statvfs(place) else { return false };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let flags = StatVfsMountFlags::NOEXEC | StatVfsMountFlags::RDONLY;
    stat.st_dev != here && !system.f_flag.intersects(flags) && free > FREE
}

/// Removes what checks left there that were killed.
fn sweep(place: &Path) {
    for entry in WalkDir::new(place).min_depth(1).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok) {
        if !entry.file_type().is_dir() || !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Of another user, or gone meanwhile.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(lock) = rustix::fs::open(entry.path(), flags, Mode::empty()) else { continue };
        let own = rustix::fs::fstat(&lock).is_ok_and(|stat| stat.st_uid == rustix::process::geteuid().as_raw());
        if own && flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok() {
            crate::exec::stage::remove(entry.path());
        }
    }
}

/// The number that the last process got, on the whole machine.
pub(super) fn last_pid() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(4)?.parse().ok()
}
