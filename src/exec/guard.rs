//! The guardian of a process that must not outlive this one, even if this one is killed: a child of
//! ours that is the parent of the process, waits for the end of either, and ends what is left. It is
//! forked and never executes anything, so it does nothing but call the kernel. Leaves out the ordinary
//! end, which the runner sees to.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::pipe::{PipeFlags, pipe_with};

/// Where the guardian keeps the end of the pipe that tells of our death.
const LIFELINE: RawFd = 3;
/// Milliseconds between looks for what is left once we are dead.
const PAUSE_MS: libc::c_int = 20;
/// Bytes of the list of children that are looked at in one go.
const LIST_BYTES: usize = 16 * 1024;

/// Holds the process: when it is dropped, or this process dies, the guardian ends what it guards.
#[derive(Debug)]
pub(super) struct Lifeline(#[expect(dead_code, reason = "held open, never written to")] OwnedFd);

/// Puts a guardian between this process and the one that `command` starts. Its process id, which is
/// that of the process group too, is the one `spawn` gives; it ends as the process does.
///
/// The other end of the pipe is closed to every other child of ours (`O_CLOEXEC`), so it closes with
/// the last copy of the lifeline: when we drop it, or when we die of whatever cause.
pub(super) fn guard(command: &mut Command) -> std::io::Result<Lifeline> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let number = read.into_raw_fd();
    #[expect(unsafe_code, reason = "the descriptor is owned by this closure alone and closed with it")]
    // SAFETY: the number was just taken out of an `OwnedFd`.
    let held = unsafe { OwnedFd::from_raw_fd(number) };
    #[expect(unsafe_code, reason = "the process has to be forked between `fork` and `exec`")]
    // SAFETY: the closure runs in a forked child of a process with threads. It allocates nothing, takes
    // no lock and calls only functions that are async-signal-safe; the guardian never returns from it.
    unsafe {
        command.pre_exec(move || {
            match libc::fork() {
                -1 => Err(std::io::Error::last_os_error()),
                // The one that goes on to be the process.
                0 => Ok(()),
                ward => watch(held.as_raw_fd(), ward),
            }
        });
    }
    Ok(Lifeline(write))
}

/// The whole life of the guardian.
#[expect(unsafe_code, reason = "calls of the kernel and nothing else: see `guard`")]
fn watch(lifeline: RawFd, ward: libc::pid_t) -> ! {
    // SAFETY: every call takes numbers and pointers to what lives on this stack.
    unsafe {
        // Signals to the group are for the process; only SIGKILL ends the guardian, and then all of
        // the group with it.
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
        // What the process leaves behind becomes ours and not init's.
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        // Pipes that are read to their end must not be held open by us.
        libc::dup2(lifeline, LIFELINE);
        libc::syscall(libc::SYS_close_range, 0, LIFELINE - 1, 0);
        libc::syscall(libc::SYS_close_range, LIFELINE + 1, libc::c_int::MAX, 0);
        let process = libc::syscall(libc::SYS_pidfd_open, ward, 0) as RawFd;
        loop {
            let mut fds = [
                libc::pollfd { fd: LIFELINE, events: libc::POLLIN, revents: 0 },
                libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 },
            ];
            libc::poll(fds.as_mut_ptr(), 2, if process < 0 { PAUSE_MS } else { -1 });
            let mut status = 0;
            if libc::waitpid(ward, &raw mut status, libc::WNOHANG) == ward {
                // Orphans of it are handed to our parent, who looks for them.
                libc::_exit(mirrored(status));
            }
            if fds[0].revents != 0 {
                end_all(ward);
            }
        }
    }
}

/// The exit status of the guardian for that of its ward, as shells tell it.
fn mirrored(status: libc::c_int) -> libc::c_int {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

/// Ends every descendant, whatever session it moved to: each becomes a child of ours when its parent
/// dies.
#[expect(unsafe_code, reason = "calls of the kernel and nothing else: see `guard`")]
fn end_all(ward: libc::pid_t) -> ! {
    let mut list = [0u8; LIST_BYTES];
    // SAFETY: as in `watch`; the list is read into an array on this stack.
    unsafe {
        libc::kill(ward, libc::SIGKILL);
        loop {
            let mut left = false;
            let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if file >= 0 {
                let count = libc::read(file, list.as_mut_ptr().cast(), LIST_BYTES);
                libc::close(file);
                let known = list.get(..usize::try_from(count).unwrap_or(0)).unwrap_or_default();
                for pid in Numbers(known) {
                    libc::kill(pid, libc::SIGKILL);
                    left = true;
                }
            }
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {
                left = true;
            }
            if !left {
                // Without that list there is still the group, of which we are a part.
                libc::kill(0, libc::SIGKILL);
                libc::_exit(128 + libc::SIGKILL);
            }
            libc::poll(std::ptr::null_mut(), 0, PAUSE_MS);
        }
    }
}

/// The numbers in a text, without allocating. One that is cut off at the end is left for the next look.
struct Numbers<'a>(&'a [u8]);

impl Iterator for Numbers<'_> {
    type Item = libc::pid_t;

    fn next(&mut self) -> Option<libc::pid_t> {
        let start = self.0.iter().position(u8::is_ascii_digit)?;
        let digits = self.0[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = self.0[start..start + digits]
            .iter()
            .fold(0, |sum: libc::pid_t, byte| sum.saturating_mul(10).saturating_add(libc::pid_t::from(byte - b'0')));
        let ends = start + digits < self.0.len();
        self.0 = &self.0[start + digits..];
        ends.then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_without_the_one_cut_off() {
        assert_eq!(Numbers(b"12 345 6").collect::<Vec<_>>(), [12, 345]);
        assert_eq!(Numbers(b"12 345 ").collect::<Vec<_>>(), [12, 345]);
        assert_eq!(Numbers(b"").count(), 0);
    }
}
