//! A runner that lets somebody visit one action in place of running it, and runs all others. Leaves out
//! what is asked for, and what is shown of it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::Clock;
use crate::exec::CancelToken;
use crate::exec::ports::{End, Ended, Job, Runner, View};
use crate::exec::sandbox::{SandboxRunner, Visit};
use crate::plan::Isolation;

/// Who is told what will be visited, before it is.
pub type Announce = Arc<dyn Fn(&Visit) + Send + Sync>;

/// Runs all actions but one, into whose sandbox it lets somebody.
pub struct VisitRunner {
    inner: SandboxRunner,
    addr: String,
    words: Vec<String>,
    terminal: Option<OsString>,
    announce: Announce,
    /// How the visit ended.
    ended: Mutex<Option<std::io::Result<i32>>>,
}

impl VisitRunner {
    /// A visit to the action at an address, by a program and its arguments; by a shell if there are none.
    pub fn new(inner: SandboxRunner, addr: &str, words: &[String], announce: Announce) -> Self {
        let (addr, words) = (addr.to_owned(), words.to_vec());
        Self { inner, addr, words, terminal: None, announce, ended: Mutex::default() }
    }

    /// The kind of terminal that the visitor is told it has, if it has one.
    #[must_use]
    pub fn with_terminal(mut self, kind: Option<OsString>) -> Self {
        self.terminal = kind;
        self
    }

    /// How the visit ended; `None` if it did not come to that.
    pub fn take_end(&self) -> Option<std::io::Result<i32>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Runner for VisitRunner {
    fn isolation(&self) -> Isolation {
        self.inner.isolation()
    }

    fn lack(&self, level: Isolation) -> Option<String> {
        self.inner.lack(level)
    }

    fn view(&self, root: &Path, bin: &Path, demand: Isolation) -> View {
        self.inner.view(root, bin, demand)
    }

    fn run(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Ended {
        if job.addr != self.addr {
            return self.inner.run(job, clock, cancel);
        }
        let begun = clock.elapsed();
        let visit = self.inner.visit_of(job, &self.words);
        (self.announce)(&visit);
        let ended = self.inner.visit(job, &visit, self.terminal.as_ref(), clock, cancel);
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        // Whatever was done there is no result of the action, and the run is over.
        cancel.cancel();
        Ended {
            end: End::Cancelled,
            stdout: Vec::new(),
            stderr: Vec::new(),
            duration: clock.elapsed().saturating_sub(begun),
            isolation: visit.isolation,
            survivors: 0,
        }
    }
}
