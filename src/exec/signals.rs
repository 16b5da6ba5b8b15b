//! What a program that is started finds of signals: none blocked, and none ignored, whoever called. Both are handed on by
//! `fork` and by `exec`, so a caller (`nohup`, a shell's `&`, a supervisor) and the helper, which keeps signals of the
//! terminal away, would reach every action. The two that the
//! C library has for its threads (32 and 33) are its own affair: it ignores them in whoever it starts. Leaves out how actions
//! are ended.

use nix::sys::signal::{SigSet, SigmaskHow};

/// The highest number of a signal.
const LAST: libc::c_int = 64;

/// Does something with no signal blocked in this thread: who is started meanwhile has none blocked.
pub(super) fn unblocked<T>(start: impl FnOnce() -> T) -> T {
    let before = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let started = start();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    started
}

/// Blocks nothing any more in this thread, and ignores nothing in this process: for one that becomes another program.
pub(super) fn heed_all() {
    let _ = SigSet::empty().thread_set_mask();
    stop_ignoring();
}

/// Ignores nothing any more in this process, but writing to nobody, which this program's runtime ignores, and the standard
/// library gives back to whoever is started.
pub(super) fn stop_ignoring() {
    for signal in ignored() {
        let _ = set(signal, libc::SIG_DFL);
    }
}

/// Signals that this process ignores, and whoever it starts does not: they do nothing here, by a handler, and no handler
/// outlives `exec`. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Unheard(Vec<libc::c_int>);

impl Unheard {
    pub(super) fn new() -> Self {
        let handler: extern "C" fn(libc::c_int) = nothing;
        Self(ignored().filter(|signal| set(*signal, handler as *const () as libc::sighandler_t)).collect())
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let handler: extern "C" fn(libc::c_int) = nothing;
        for signal in &self.0 {
            // Somebody may have taken it over since.
            if disposition(*signal) == Some(handler as *const () as libc::sighandler_t) {
                let _ = set(*signal, libc::SIG_IGN);
            }
        }
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

fn ignored() -> impl Iterator<Item = libc::c_int> {
    (1..=LAST).filter(|signal| *signal != libc::SIGPIPE && disposition(*signal) == Some(libc::SIG_IGN))
}

#[expect(unsafe_code, reason = "the standard library and the crates at hand do not tell what becomes of a signal")]
fn disposition(signal: libc::c_int) -> Option<libc::sighandler_t> {
    // SAFETY: the struct is plain numbers, for which zero is a value; the call writes to it, and reads nothing of ours.
    unsafe {
        let mut now = std::mem::zeroed::<libc::sigaction>();
        (libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0).then_some(now.sa_sigaction)
    }
}

#[expect(unsafe_code, reason = "a handler is a function that is called in the midst of anything")]
fn set(signal: libc::c_int, handler: libc::sighandler_t) -> bool {
    // SAFETY: the handler is the default, to ignore, or a function that does nothing.
    unsafe {
        let mut new = std::mem::zeroed::<libc::sigaction>();
        new.sa_sigaction = handler;
        new.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const new, std::ptr::null_mut()) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_so_again_afterwards() {
        // One that nothing in a test uses.
        let signal = libc::SIGURG;
        assert!(set(signal, libc::SIG_IGN));
        let unheard = Unheard::new();
        assert!(unheard.0.contains(&signal) && !ignored().any(|one| one == signal), "{unheard:?}");
        drop(unheard);
        assert!(ignored().any(|one| one == signal));
        stop_ignoring();
        assert_eq!(disposition(signal), Some(libc::SIG_DFL));
    }

    #[test]
    fn what_is_blocked_is_so_again_afterwards() {
        let of_this_thread = || SigSet::thread_get_mask().unwrap();
        let mut some = SigSet::empty();
        some.add(nix::sys::signal::Signal::SIGUSR2);
        some.thread_block().unwrap();
        let before = of_this_thread();
        assert_eq!(unblocked(of_this_thread), SigSet::empty());
        assert_eq!(of_this_thread(), before);
    }
}
