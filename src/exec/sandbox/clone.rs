//! Starts a process in new namespaces as a copy of this one. The only unsafe code of the sandbox: no
//! crate offers this safely, as it is only sound where there is one thread (D0020).

use nix::sched::{CloneCb, CloneFlags, clone};
use rustix::process::Pid;

/// Bytes of stack of the copy: it renders errors and starts one process.
const STACK_BYTES: usize = 512 * 1024;

/// Room for the stack of copies; each has its own view of it.
pub(super) struct Stack(Vec<u8>);

impl Stack {
    pub(super) fn new() -> Self {
        Self(vec![0; STACK_BYTES])
    }
}

/// Runs `inside` in a copy of this process that has the namespaces of `flags` for its own. Only to be
/// called by the helper, which has one thread. The copy ends with what `inside` returns.
pub(super) fn start(stack: &mut Stack, flags: CloneFlags, inside: CloneCb<'_>) -> rustix::io::Result<Pid> {
    // SAFETY: memory is copied, not shared (`CLONE_VM` is not among the flags), so the copy's stack is
    // its own; and with a single thread no lock can be held by a thread that the copy lacks.
    #[expect(unsafe_code, reason = "a copy of a process with one thread")]
    let pid = unsafe { clone(inside, &mut stack.0, flags, Some(libc::SIGCHLD)) };
    let pid = pid.map_err(|error| rustix::io::Errno::from_raw_os_error(error as i32))?;
    Pid::from_raw(pid.as_raw()).ok_or(rustix::io::Errno::SRCH)
}
