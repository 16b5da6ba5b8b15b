//! Watches what a program looks for and is not given, though it says nothing of it: by `ptrace`, call for call. That makes
//! a program several times slower, so it is only done once it has failed, to a second attempt of which nothing is kept. It
//! is watched under the isolation of the first: at `full` by the first process of its sandbox, with which all of it ends,
//! elsewhere by a thread of the runner. Leaves out what is made of the paths (`undeclared`), and machines other than
//! x86-64, where nothing is watched.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Error, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait, waitpid};

use crate::base::Clock;
use crate::exec::CancelToken;
use crate::exec::bounds::{self, Bounds, Watch};
use crate::exec::ports::Missed;
use crate::exec::reaper::Tree;
use crate::exec::sandbox::seccomp::Filter;

/// Paths that are kept.
pub(super) const MOST: usize = 4_096;
/// Bytes of a path.
const PATH_BYTES: usize = 4_096;
/// How soon it is noticed that nobody wants to know any more.
const TICK: Duration = Duration::from_millis(50);
/// `AT_FDCWD`.
const HERE: i32 = -100;
/// What is taken in one go, before something else is looked after.
const BATCH: usize = 2_000;
/// The signal that stands for a call, and that for what `ptrace` has to tell.
const CALL: i32 = libc::SIGTRAP | 0x80;

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL
}

/// Waits for whatever was started, threads too.
pub(super) fn all(options: WaitOptions) -> WaitOptions {
    options | WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned())
}

/// Has a program that is watched go on to its next call, with a signal or 0.
#[expect(unsafe_code, reason = "the safe call knows no real-time signals, and who waits for one would wait for ever")]
fn go_on(pid: Pid, signal: i32) {
    // SAFETY: numbers are handed over, and nothing of ours is read or written. One that was killed meanwhile tells that by
    // itself.
    unsafe {
        libc::ptrace(libc::PTRACE_SYSCALL, pid.as_raw(), 0_usize, signal as usize);
    }
}

/// The programs that are watched.
#[derive(Debug)]
struct Tracer {
    alive: BTreeSet<Pid>,
    missed: usize,
}

impl Tracer {
    fn new(first: Pid) -> Self {
        Self { alive: BTreeSet::from([first]), missed: 0 }
    }

    /// Takes what one of them has to tell and has it go on. Gives what it missed, if that is it.
    fn take(&mut self, pid: Pid, status: WaitStatus) -> Option<Missed> {
        let Some(signal) = status.stopping_signal() else {
            self.alive.remove(&pid);
            return None;
        };
        let event = status.as_raw() >> 16;
        let is_new = self.alive.insert(pid);
        if signal == CALL {
            let missed = if self.missed < MOST { miss(pid) } else { None };
            self.missed += usize::from(missed.is_some());
            go_on(pid, 0);
            return missed;
        }
        // One that was just made stands still for us alone.
        let is_ours = event != 0 || is_new && signal == libc::SIGSTOP;
        go_on(pid, if is_ours { 0 } else { signal });
        None
    }
}

/// Watches what the first process of a sandbox starts.
pub(super) struct Watcher {
    tracer: Tracer,
    /// Becomes readable when there is something to take.
    children: SignalFd,
    has_begun: bool,
}

impl Watcher {
    /// Starts a program that is watched, and held back by the filter, from its first instruction on: so the filter, which
    /// refuses to watch, is not yet that of this process.
    #[expect(unsafe_code, reason = "only the program itself can ask to be watched before it begins")]
    pub(super) fn start(
        command: &mut Command,
        filter: Filter,
        spawn: impl FnOnce(&mut Command) -> Result<Child>,
    ) -> Result<(Child, Self)> {
        let mut child_ends = SigSet::empty();
        child_ends.add(Signal::SIGCHLD);
        child_ends.thread_block()?;
        let children = SignalFd::with_flags(&child_ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // SAFETY: the closure runs in a forked child of a process with one thread, so it may do whatever that may.
        unsafe {
            command.pre_exec(move || {
                ptrace::traceme()?;
                filter.apply()
            });
        }
        let child = spawn(command)?;
        let tracer = Tracer::new(Pid::from_raw(child.id().cast_signed()));
        Ok((child, Self { tracer, children, has_begun: false }))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.children.as_fd()
    }

    /// Takes what there is to be taken. Returns the status of the program if it has ended, and whether there may be more.
    pub(super) fn take(
        &mut self,
        program: rustix::process::Pid,
        mut tell: impl FnMut(Missed),
    ) -> (Option<ExitStatus>, bool) {
        // Before what it stands for is taken, so that what comes later is not lost.
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
        let mut ended = None;
        for _ in 0..BATCH {
            let Ok(Some((pid, status))) = wait(all(WaitOptions::NOHANG)) else { return (ended, false) };
            let is_first = pid == program;
            let pid = Pid::from_raw(pid.as_raw_nonzero().get());
            if !self.has_begun && is_first && status.stopped() {
                // It has become the program.
                self.has_begun = true;
                let _ = ptrace::setoptions(pid, options());
                go_on(pid, 0);
                continue;
            }
            if let Some(missed) = self.tracer.take(pid, status) {
                tell(missed);
            }
            if is_first && !status.stopped() {
                ended = Some(ExitStatus::from_raw(status.as_raw()));
            }
        }
        (ended, true)
    }
}

/// How a second attempt outside of a sandbox is bounded.
pub(super) struct Terms<'a> {
    pub(super) root: &'a Path,
    pub(super) bounds: Bounds,
    pub(super) within: Duration,
    pub(super) clock: &'a dyn Clock,
    pub(super) cancel: &'a CancelToken,
}

/// Starts a program by `start`, which hands over its number before it does anything, and watches it with all it starts
/// to its end, or for as long as the terms allow. All of it is dead afterwards.
pub(super) fn watch(
    start: impl FnOnce(&dyn Fn(u32) -> Result<()>) -> Result<Child> + Send,
    terms: &Terms<'_>,
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
        let first = first.recv().ok().and_then(|first| rustix::process::Pid::from_raw(first.as_raw()));
        let tree = first.map(|first| Tree::new(terms.root, first));
        if let Some(tree) = &tree {
            let begun = terms.clock.elapsed();
            let mut next = begun;
            let mut watch = Watch::new(terms.bounds, terms.root, false, terms.clock);
            while end.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = terms.clock.elapsed();
                let mut is_over = terms.cancel.is_cancelled() || now.saturating_sub(begun) >= terms.within;
                if now >= next {
                    next = now + bounds::LOOK;
                    is_over |= watch.breach(|_, of| of == tree.group()).is_some();
                }
                if is_over {
                    // What is in another group ends when this one has.
                    tree.signal(rustix::process::Signal::KILL);
                    let _ = end.recv();
                    break;
                }
            }
        }
        let found = watcher.join().unwrap_or_else(|_| Err(Error::other("the thread that watches panicked")));
        // Whoever was not watched, as it was made so that it is not, or not to this end.
        if let Some(tree) = tree
            && tree.reap(terms.clock) > 0
        {
            return Err(Error::other("something of what was watched cannot be killed"));
        }
        found
    })
}

fn follow(
    start: impl FnOnce(&dyn Fn(u32) -> Result<()>) -> Result<Child>,
    started: &mpsc::Sender<Pid>,
) -> Result<Vec<Missed>> {
    let of_this_thread = all(WaitOptions::from_bits_retain(libc::__WNOTHREAD.cast_unsigned()));
    let hold = |number: u32| {
        let pid = Pid::from_raw(number.cast_signed());
        ptrace::seize(pid, Options::PTRACE_O_EXITKILL)?;
        // It may not have become the helper altogether yet. What is waited for below is that the helper becomes the
        // program, so that is asked for once it stands still.
        ptrace::interrupt(pid)?;
        match waitpid(rustix::process::Pid::from_raw(pid.as_raw()), of_this_thread)? {
            Some((_, status)) if status.stopped() => {}
            other => return Err(Error::other(format!("the helper did not stand still: {other:?}"))),
        }
        ptrace::setoptions(pid, options())?;
        Ok(ptrace::cont(pid, None)?)
    };
    let child = start(&hold)?;
    let first = Pid::from_raw(child.id().cast_signed());
    let _ = started.send(first);
    let mut tracer = Tracer::new(first);
    let mut missed = Vec::new();
    let mut is_over = false;
    loop {
        match wait(of_this_thread) {
            Ok(Some((pid, status))) => {
                let pid = Pid::from_raw(pid.as_raw_nonzero().get());
                missed.extend(tracer.take(pid, status));
                is_over |= pid == first && !status.stopped();
            }
            Ok(None) | Err(Errno::INTR) => {}
            // Nothing is left.
            Err(_) => return Ok(missed),
        }
        if is_over {
            for pid in &tracer.alive {
                let _ = kill(*pid, Signal::SIGKILL);
            }
        }
    }
}

/// What a process that is stopped at the end of a call was looking for, if it did not get it.
#[cfg(target_arch = "x86_64")]
fn miss(pid: Pid) -> Option<Missed> {
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
