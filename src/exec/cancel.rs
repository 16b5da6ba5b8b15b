//! The token by which a front stops a run. Leaves out signals, which are the front's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Stops a run when asked. Clones are the same token. Safe to use from any thread.
#[derive(Clone, Debug)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    /// Readable once cancelled and for ever after, so that a thread that waits for a process by
    /// `poll` wakes at once.
    event: OwnedFd,
}

impl CancelToken {
    /// A token that is not cancelled. Fails if the process may open no more files.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { cancelled: AtomicBool::new(false), event }) })
    }

    /// Stops the run: nothing new starts, running process trees are asked to end and then killed.
    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::SeqCst);
        // The counter cannot overflow in any life of a process, so a refusal is of no consequence.
        let _ = rustix::io::write(&self.inner.event, &1u64.to_ne_bytes());
    }

    /// Whether the run is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::SeqCst)
    }

    /// Becomes readable when the token is cancelled.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::CancelToken;

    fn readable(token: &CancelToken) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(token.fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn wakes_pollers_for_good() {
        let token = CancelToken::new().unwrap();
        assert!(!token.is_cancelled() && !readable(&token));
        token.clone().cancel();
        assert!(token.is_cancelled() && readable(&token) && readable(&token));
    }
}
