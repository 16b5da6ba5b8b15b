//! What this process must be like while it starts others: a fixed umask, the foster parent of
//! orphans, and neither files nor ignored signals handed on by accident. Leaves out the processes themselves.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Mode;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use walkdir::WalkDir;

use crate::exec::Error;
use crate::exec::sandbox::set_busy;
use crate::exec::signals::Unheard;

/// How many runs are under way in this process, the umask it had before the first, and the signals it ignored.
static RUNS: Mutex<Runs> = Mutex::new(Runs { count: 0, umask: 0, unheard: None });

struct Runs {
    count: usize,
    umask: u32,
    unheard: Option<Unheard>,
}

/// Holds while a run is under way. The umask is of the whole process, so it is set by the first of
/// several runs and given back by the last; setting it in each child would need `fork` in place of
/// `posix_spawn`, which is nearly twice as slow.
#[derive(Debug)]
pub(super) struct Hygiene(());

impl Hygiene {
    /// Prepares the process.
    pub(super) fn enter() -> Result<Self, Error> {
        let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.count == 0 {
            // Every process that descends from us and loses its parent becomes our child, whatever
            // session it moved to; so none can hide.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                .map_err(|error| Error::System { what: "become the parent of orphans", source: error.into() })?;
            close_on_exec();
            set_busy(true);
            runs.unheard = Some(Unheard::new());
            runs.umask = rustix::process::umask(Mode::from_raw_mode(0o022)).as_raw_mode();
        }
        runs.count += 1;
        Ok(Self(()))
    }
}

impl Drop for Hygiene {
    fn drop(&mut self) {
        let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        runs.count -= 1;
        if runs.count == 0 {
            set_busy(false);
            runs.unheard = None;
            rustix::process::umask(Mode::from_raw_mode(runs.umask));
        }
    }
}

/// Marks every open file but the standard three to be closed in children. Our own are so from the
/// start; this is for those our parent left open to us (locks, sockets, pipes of a job server).
#[expect(unsafe_code, reason = "a descriptor that we did not open can only be named by its number")]
fn close_on_exec() {
    let listing = WalkDir::new("/proc/self/fd").min_depth(1).max_depth(1);
    for entry in listing.into_iter().filter_map(Result::ok) {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        let Some(number) = number.filter(|number| *number > 2) else { continue };
        // SAFETY: the number was open a moment ago. Should another thread have closed it since, the
        // call fails or marks that thread's next file, which is marked already; nothing is read,
        // written or closed through it, and the borrow ends with the statement.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = fcntl_getfd(fd)
            && !flags.contains(FdFlags::CLOEXEC)
        {
            // A refusal means that the file is closed, which is as good.
            let _ = fcntl_setfd(fd, flags | FdFlags::CLOEXEC);
        }
    }
}
