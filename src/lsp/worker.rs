//! The one thread that compiles: waits until a burst of edits is over, reads the newest state, says
//! what names stand for, then what is wrong; leaves off when something newer is there. Leaves out the
//! protocol.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::ops::{Findings, Index, Session};

/// How long nothing must have come before a burst counts as over.
const QUIET: Duration = Duration::from_millis(25);

/// Messages of a burst after which it is not waited for any longer.
const BURST: usize = 12;

/// How often in a row a check is left off for something newer.
const LEFT_OFF: usize = 8;

/// What the thread is asked.
pub(super) enum Ask {
    /// The documents changed. The number says how often they have.
    Changed(u64, Box<Session>),
    /// Somebody waits: do not wait for the burst to be over.
    Hurry,
}

/// What it says.
pub(super) enum Said {
    /// What names stand for, in all folders, at that number.
    Names(u64, Vec<(PathBuf, Arc<Index>)>),
    /// What one folder comes to, at that number.
    Found(u64, Box<Findings>),
    /// Folders in which nothing is open any more.
    Closed(Vec<PathBuf>),
    /// It could not: a defect of ours.
    Failed(u64),
}

/// The thread's two ends.
pub(super) struct Worker {
    pub(super) ask: Sender<Ask>,
    pub(super) said: Receiver<Said>,
}

/// Starts the thread.
pub(super) fn start() -> std::io::Result<Worker> {
    let (ask, asked) = unbounded();
    let (say, said) = unbounded();
    thread::Builder::new().name("partita-lsp-compile".to_owned()).spawn(move || {
        let mut state = State { asked, say, folders: BTreeSet::new(), left_off: 0 };
        while let Some((number, session)) = state.next() {
            if state.compile(number, &session).is_none() {
                return;
            }
        }
    })?;
    Ok(Worker { ask, said })
}

struct State {
    asked: Receiver<Ask>,
    say: Sender<Said>,
    /// The folders of the last compilation.
    folders: BTreeSet<PathBuf>,
    left_off: usize,
}

impl State {
    /// The newest state of the documents, once a burst is over.
    fn next(&mut self) -> Option<(u64, Box<Session>)> {
        let mut newest = None;
        while newest.is_none() {
            if let Ask::Changed(number, session) = self.asked.recv().ok()? {
                newest = Some((number, session));
            }
        }
        for _ in 0..BURST {
            match self.asked.recv_timeout(QUIET) {
                Ok(Ask::Changed(number, session)) => newest = Some((number, session)),
                Ok(Ask::Hurry) | Err(_) => break,
            }
        }
        // Whatever came meanwhile is newer.
        while let Ok(ask) = self.asked.try_recv() {
            if let Ask::Changed(number, session) = ask {
                newest = Some((number, session));
            }
        }
        newest
    }

    /// Compiles all folders. `None` when nobody listens any more.
    fn compile(&mut self, number: u64, session: &Session) -> Option<()> {
        let homes = session.homes();
        let gone: Vec<PathBuf> = self.folders.difference(&homes).cloned().collect();
        if !gone.is_empty() {
            self.say.send(Said::Closed(gone)).ok()?;
        }
        self.folders.clone_from(&homes);
        let read = || homes.iter().map(|dir| session.draft(dir)).collect::<Vec<_>>();
        let Ok(drafts) = catch_unwind(AssertUnwindSafe(read)) else {
            return self.say.send(Said::Failed(number)).ok();
        };
        let names = drafts.iter().map(|draft| (draft.dir.clone(), Arc::clone(&draft.index))).collect();
        self.say.send(Said::Names(number, names)).ok()?;
        for draft in drafts {
            if !self.asked.is_empty() && self.left_off < LEFT_OFF {
                self.left_off += 1;
                return Some(());
            }
            let said = match catch_unwind(AssertUnwindSafe(|| draft.finish())) {
                Ok(findings) => Said::Found(number, Box::new(findings)),
                Err(_) => Said::Failed(number),
            };
            self.say.send(said).ok()?;
        }
        self.left_off = 0;
        Some(())
    }
}
