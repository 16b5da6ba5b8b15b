//! Watches what a program looks for and is not given, though it says nothing of it: by `ptrace`, call for call. That makes
//! a program several times slower, so it is only done once it has failed, to a second attempt of which nothing is kept.
//! Leaves out what is made of the paths (`undeclared`), and machines other than x86-64, where nothing is watched.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Error, Result};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::exec::CancelToken;
use crate::exec::ports::Missed;

/// Paths that are kept.
const MOST: usize = 4_096;
/// Bytes of a path.
const PATH_BYTES: usize = 4_096;
/// How soon it is noticed that nobody wants to know any more.
const TICK: Duration = Duration::from_millis(50);
/// `AT_FDCWD`.
const HERE: i32 = -100;

/// Starts a program by `start`, which hands over its number before it does anything, and watches it with all it starts
/// to its end, or for so long. All of it is dead afterwards.
pub(super) fn watch(
    start: impl FnOnce(&dyn Fn(u32) -> Result<()>) -> Result<Child> + Send,
    within: Duration,
    cancel: &CancelToken,
) -> Result<Vec<Missed>> {
    std::thread::scope(|scope| {
        let (started, first) = mpsc::channel::<Pid>();
        let (ended, end) = mpsc::channel::<()>();
        // A thread of its own, as it waits for every process that is its child.
        let watcher = std::thread::Builder::new().name("watch".to_owned()).spawn_scoped(scope, move || {
            let found = follow(start, &started);
            let _ = ended.send(());
            found
        })?;
        if let Ok(first) = first.recv() {
            let mut left = within;
            while end.recv_timeout(TICK.min(left)) == Err(mpsc::RecvTimeoutError::Timeout) {
                left = left.saturating_sub(TICK);
                if left.is_zero() || cancel.is_cancelled() {
                    // What is in another group ends when this one has.
                    let _ = killpg(first, Signal::SIGKILL);
                    let _ = end.recv();
                    break;
                }
            }
        }
        watcher.join().unwrap_or_else(|_| Err(Error::other("the thread that watches panicked")))
    })
}

fn follow(
    start: impl FnOnce(&dyn Fn(u32) -> Result<()>) -> Result<Child>,
    started: &mpsc::Sender<Pid>,
) -> Result<Vec<Missed>> {
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    let hold = |pid: u32| {
        let pid = Pid::from_raw(pid.cast_signed());
        ptrace::seize(pid, Options::PTRACE_O_EXITKILL)?;
        // It may not have become the helper altogether yet. What is waited for below is that the helper becomes the
        // program, so that is asked for once it stands still.
        ptrace::interrupt(pid)?;
        match waitpid(pid, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD))? {
            WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => {}
            other => return Err(Error::other(format!("the helper did not stand still: {other:?}"))),
        }
        ptrace::setoptions(pid, options)?;
        Ok(ptrace::cont(pid, None)?)
    };
    let child = start(&hold)?;
    let first = Pid::from_raw(child.id().cast_signed());
    let _ = started.send(first);
    let mut alive = BTreeSet::from([first]);
    let mut missed = Vec::new();
    let mut is_over = false;
    loop {
        let go_on = |pid: Pid, signal: Option<Signal>| {
            // One that was killed meanwhile tells that by itself.
            let _ = ptrace::syscall(pid, signal);
        };
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                if missed.len() < MOST {
                    missed.extend(miss(pid));
                }
                go_on(pid, None);
            }
            Ok(WaitStatus::PtraceEvent(pid, ..)) => {
                alive.insert(pid);
                go_on(pid, None);
            }
            Ok(WaitStatus::Stopped(pid, signal)) => {
                alive.insert(pid);
                go_on(pid, Some(signal));
            }
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                alive.remove(&pid);
                is_over |= pid == first;
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            // Nothing is left.
            Err(_) => return Ok(missed),
        }
        if is_over {
            for pid in &alive {
                let _ = kill(*pid, Signal::SIGKILL);
            }
        }
    }
}

/// What a process that is stopped at the end of a call was looking for, if it did not get it.
#[cfg(target_arch = "x86_64")]
fn miss(pid: Pid) -> Option<Missed> {
    use rustix::io::Errno;
    let call = ptrace::getregs(pid).ok()?;
    let error = i32::try_from((call.rax.cast_signed()).checked_neg()?).ok()?;
    let errors = [Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::ROFS];
    if !errors.iter().any(|known| known.raw_os_error() == error) {
        // It is at the beginning of a call, or all is well.
        return None;
    }
    let number = call.orig_rax.cast_signed();
    let (at, path, flags) = match number {
        libc::SYS_open | libc::SYS_creat => (HERE, call.rdi, if number == libc::SYS_creat { 1 } else { call.rsi }),
        libc::SYS_openat => (call.rdi as i32, call.rsi, call.rdx),
        libc::SYS_stat
        | libc::SYS_lstat
        | libc::SYS_access
        | libc::SYS_readlink
        | libc::SYS_execve
        | libc::SYS_chdir => (HERE, call.rdi, 0),
        libc::SYS_newfstatat
        | libc::SYS_statx
        | libc::SYS_faccessat
        | libc::SYS_faccessat2
        | libc::SYS_readlinkat
        | libc::SYS_execveat => (call.rdi as i32, call.rsi, 0),
        libc::SYS_mkdir => (HERE, call.rdi, 1),
        libc::SYS_mkdirat => (call.rdi as i32, call.rsi, 1),
        _ => return None,
    };
    let path = text(pid, path)?;
    if path.as_os_str().is_empty() {
        return None;
    }
    let path = if path.is_absolute() {
        path
    } else {
        let link = if at == HERE { format!("/proc/{pid}/cwd") } else { format!("/proc/{pid}/fd/{at}") };
        std::fs::read_link(link).ok()?.join(path)
    };
    let to_write = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) as u64;
    Some(Missed { path, writes: flags & to_write != 0 })
}

#[cfg(not(target_arch = "x86_64"))]
fn miss(_pid: Pid) -> Option<Missed> {
    None
}

/// A text in the memory of a process that is stopped.
fn text(pid: Pid, at: u64) -> Option<PathBuf> {
    let memory = std::fs::File::open(Path::new("/proc").join(pid.to_string()).join("mem")).ok()?;
    let mut text = Vec::new();
    let mut buffer = [0; 256];
    while text.len() < PATH_BYTES {
        // Up to the next boundary of as many bytes, since the next page may not be there.
        let from = at.checked_add(text.len() as u64)?;
        let wanted = buffer.len() - (from as usize % buffer.len());
        let count = memory.read_at(&mut buffer[..wanted], from).ok().filter(|count| *count > 0)?;
        if let Some(end) = buffer[..count].iter().position(|byte| *byte == 0) {
            text.extend_from_slice(&buffer[..end]);
            return Some(OsString::from_vec(text).into());
        }
        text.extend_from_slice(&buffer[..count]);
    }
    None
}
