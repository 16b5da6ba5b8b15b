//! The helper: this program, started again, with one thread. For isolation `full` it makes a root once
//! and then a sandbox for each action; for `landlock` it confines itself and becomes the action's
//! program. Leaves out what asks it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, Resource, WaitOptions, pidfd_open, waitpid};

use crate::exec::sandbox::clone::{self, Stack};
use crate::exec::sandbox::fence::Fence;
use crate::exec::sandbox::inner::{self, CLEAN, Given, Input, Task, give_up, is_open, limit, open_null};
use crate::exec::sandbox::root::{Root, path_of};
use crate::exec::sandbox::seccomp::{Filter, Sockets};
use crate::exec::sandbox::template::{Broken, SCRATCH, build, leave, step};
use crate::exec::sandbox::warden;
use crate::exec::sandbox::wire::{Frame, Reader, pair, receive};
use crate::exec::signals::{heed_all, stop_ignoring};

/// What the helper sees as its own name, so that nobody starts it by accident.
pub(super) const NAME: &str = "partita:sandbox";
/// To make sandboxes.
pub(super) const MAKE: &str = "make";
/// To confine itself and become a program.
pub(super) const CONFINE: &str = "confine";
/// Bytes that one file of an action may have.
const FILE_BYTES: u64 = 64 << 30;
/// How much sooner than others the processes of actions are ended when memory runs out.
const MEMORY_SCORE: &str = "500";
/// Network namespaces that are kept for the next action.
const SPARE: usize = 64;
/// Bytes of what is asked for a sandbox: a letter, and the folder of the attempt if it fits.
pub(super) const ASKED: usize = 256;
/// Attempts whose rules are kept.
const FENCES: usize = 256;

/// Whether this program has asked, at its start, whether it is the helper.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Whether the program can be started again as the helper.
pub(super) fn is_at_hand() -> bool {
    STARTED.load(Ordering::Relaxed)
}

/// Whoever started this program may have it ignore that children end: then the kernel keeps no word of how, and to wait
/// for one is an error.
fn hear_of_ends() {
    // SAFETY: no handler is installed but the default, and there are no other threads yet.
    #[expect(
        unsafe_code,
        reason = "what becomes of a signal has no safe call, as handlers run in the midst of anything"
    )]
    let set = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    // It can only fail for a number that is no signal.
    let _ = set;
}

/// To be called first of all by a program that runs actions in a sandbox, with its arguments: if it was
/// started as the helper, it does the helper's work and returns the status to end with.
pub fn enter(args: impl IntoIterator<Item = OsString>) -> Option<u8> {
    hear_of_ends();
    let mut args = args.into_iter();
    if args.next().is_none_or(|name| name != NAME) {
        STARTED.store(true, Ordering::Relaxed);
        return None;
    }
    let work = args.next().unwrap_or_default();
    // What whoever called ignored is neither to reach actions nor to keep their ends from being heard of.
    stop_ignoring();
    let Ok(control) = take_stdin() else { return Some(70) };
    let done = if work == MAKE {
        make(&control)
    } else if work == CONFINE {
        confine(&control)
    } else if work == warden::WARD {
        warden::watch(&control)
    } else {
        Ok(())
    };
    Some(match done {
        Ok(()) => 0,
        Err(broken) => {
            // Who asked may be gone.
            let _ = Frame::Broken(broken.what, broken.error).send(&control, &[]);
            127
        }
    })
}

/// The socket that standard input is, in whose place nothing is left to read.
fn take_stdin() -> std::io::Result<OwnedFd> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(open_null()?)?;
    Ok(control)
}

/// A sandbox that was made, and the network namespace that it is in, if others can use it after.
struct Running {
    pid: Pid,
    number: u64,
    net: Option<OwnedFd>,
}

/// Makes sandboxes until whoever asks is gone; they end with it.
fn make(control: &OwnedFd) -> Result<(), Broken> {
    // Signals of the terminal are for the runner, which ends its actions in good order.
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP] {
        blocked.add(signal);
    }
    step("keep signals away", blocked.thread_block().map_err(|error| Error::from_raw_os_error(error as i32)))?;
    let mut reader = step("hear what to make", Reader::receive(control))?;
    let scratch = path_of(step("hear what to make", reader.bytes())?);
    let network = step("hear what to make", reader.number())? == 1;
    let root = step("hear what to make", Root::read(&mut reader))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    limit(Resource::Core, 0);
    limit(Resource::Fsize, FILE_BYTES);
    // The runner matters more; where this is refused, it is as good as others.
    let _ = std::fs::write("/proc/self/oom_score_adj", MEMORY_SCORE);
    leave()?;
    build(&root, &scratch)?;
    give_up_for_good()?;
    step("refuse system calls", Filter::lasting().apply())?;
    let filter = Filter::rest(Sockets::Any);
    let streams = Filter::rest(Sockets::Streams);
    step("be ready", Frame::Ready.send(control, &[]))?;

    let mut stack = Stack::new();
    let mut running: Vec<Running> = Vec::new();
    let mut spare: Vec<OwnedFd> = Vec::new();
    // New network namespaces come from those who are in them: there is no `/proc` here to find them by.
    let (nets, their_nets) = step("make a socket", pair())?;
    let mut number = 0;
    let mut fences = BTreeMap::new();
    loop {
        let mut asked = [0; ASKED];
        let Ok((count, fds)) = receive(control, &mut asked) else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        adopt(&nets, &mut running);
        collect(&mut running, &mut spare);
        number += 1;
        let mut fds = fds.into_iter();
        let Some(job) = fds.next() else { continue };
        let (stdout, stderr, stdin) = (fds.next(), fds.next(), fds.next());
        if !is_open(&job) {
            continue;
        }
        let mut flags = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP;
        let net = if network { None } else { spare.pop() };
        let fresh_net = !network && net.is_none();
        if fresh_net {
            flags |= CloneFlags::CLONE_NEWNET;
        }
        let fence = fence_of(&mut fences, &asked[1..count]);
        let mut given = Some(Given {
            job: job.as_fd(),
            stdin,
            stdout,
            stderr,
            net: net.as_ref().map(|net| net.as_fd()),
            fresh_net: fresh_net.then(|| (their_nets.as_fd(), number)),
            fence,
            filter: &filter,
            streams: &streams,
        });
        let inside = Box::new(|| given.take().map_or(70, inner::run));
        match clone::start(&mut stack, flags, inside) {
            Ok(pid) => {
                drop(given);
                match pidfd_open(pid, PidfdFlags::empty()) {
                    Ok(fd) => {
                        let _ = Frame::Made.send(&job, &[fd.as_fd()]);
                    }
                    Err(error) => {
                        let _ = Frame::Broken("watch the sandbox".to_owned(), error.raw_os_error()).send(&job, &[]);
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                }
                running.push(Running { pid, number, net });
            }
            Err(error) => {
                drop(given);
                let _ = Frame::Broken("make namespaces".to_owned(), error.raw_os_error()).send(&job, &[]);
                spare.extend(net);
            }
        }
    }
}

/// The rules about files for an attempt in a folder of the run. They name folders, not paths to them, and so hold
/// wherever the folder is mounted; as attempts use the folders of others, they are made for few.
fn fence_of<'a>(fences: &'a mut BTreeMap<Vec<u8>, Fence>, attempt: &[u8]) -> Option<&'a Fence> {
    if attempt.is_empty() {
        return None;
    }
    if !fences.contains_key(attempt) {
        if fences.len() >= FENCES {
            fences.clear();
        }
        let folder = Path::new(SCRATCH).join(std::ffi::OsStr::from_bytes(attempt));
        // Where it cannot be made here, the sandbox makes it, and says why it cannot.
        fences.insert(attempt.to_vec(), inner::fence(None, &folder).ok()?);
    }
    fences.get(attempt)
}

/// Takes over the network namespaces that sandboxes have made.
fn adopt(nets: &OwnedFd, running: &mut [Running]) {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut number = [0; 8];
    while poll(&mut [PollFd::new(nets, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0) {
        let Ok((8, fds)) = receive(nets, &mut number) else { return };
        let number = u64::from_le_bytes(number);
        if let (Some(one), Some(net)) = (running.iter_mut().find(|one| one.number == number), fds.into_iter().next()) {
            one.net = Some(net);
        }
    }
}

/// Takes those that have ended, and keeps the network namespaces that nothing was done in.
fn collect(running: &mut Vec<Running>, spare: &mut Vec<OwnedFd>) {
    running.retain_mut(|one| match waitpid(Some(one.pid), WaitOptions::NOHANG) {
        Ok(None) => true,
        Ok(Some((_, status))) => {
            let clean = status.exit_status().is_some_and(|status| status as isize == CLEAN);
            if clean && spare.len() < SPARE {
                spare.extend(one.net.take());
            }
            false
        }
        Err(_) => false,
    });
}

/// What neither this process nor any that it starts can get back. Without the right to give up, there is
/// nothing to be given up.
fn give_up_for_good() -> Result<(), Broken> {
    use rustix::thread::{
        CapabilitiesSecureBits, CapabilitySet, remove_capability_from_bounding_set, set_capabilities_secure_bits,
        set_no_new_privs,
    };
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    let _ = set_capabilities_secure_bits(bits);
    for capability in CapabilitySet::all().iter() {
        // One that this kernel does not know cannot be had.
        let _ = remove_capability_from_bounding_set(capability);
    }
    step("refuse new privileges", set_no_new_privs(true))
}

/// Confines this process, if it is to, and becomes the program.
fn confine(control: &OwnedFd) -> Result<(), Broken> {
    let mut reader = step("hear what to do", Reader::receive(control))?;
    let task = step("hear what to do", Task::read(&mut reader))?;
    let sockets = match step("hear what to do", reader.number())? {
        0 => Sockets::Pairs,
        1 => Sockets::Streams,
        _ => Sockets::Any,
    };
    let is_confined = step("hear what to do", reader.number())? == 1;
    let read = step("hear what to do", reader.list())?;
    if task.input != Input::Nothing {
        let (_, fds) = step("take the input", receive(control, &mut [0; 8]))?;
        for stream in fds.into_iter().take(1) {
            step("take the input", rustix::stdio::dup2_stdin(stream))?;
        }
    }
    if task.input == Input::Terminal {
        step("make a session", rustix::process::setsid())?;
        step("take the terminal", rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()))?;
    }
    if is_confined {
        confine_self(&task, sockets, read)?;
    }
    if task.program.is_none() {
        return step("answer", Frame::Ready.send(control, &[]));
    }
    heed_all();
    let error = task.command().exec();
    let _ = Frame::NotStarted(error.raw_os_error().unwrap_or(0)).send(control, &[]);
    Ok(())
}

/// What this process and all that it starts may do, for good.
fn confine_self(task: &Task, sockets: Sockets, read: Vec<Vec<u8>>) -> Result<(), Broken> {
    limit(Resource::Core, 0);
    limit(Resource::Fsize, FILE_BYTES);
    inner::bound_each(&task.bounds);
    let what = "confine files by Landlock";
    let mut fence = step(what, Fence::new(task.ports.as_deref()))?;
    for path in read.into_iter().map(path_of) {
        if path.exists() {
            fence = step(what, fence.read(&path))?;
        }
    }
    for device in Root::devices() {
        fence = step(what, fence.device(device))?;
    }
    fence = step(what, fence.write(&task.attempt))?;
    step(what, fence.apply())?;
    give_up_for_good()?;
    give_up()?;
    step("refuse system calls", Filter::new(sockets).apply())
}
