//! The states of an action in a run, and the only ways from one to another. Leaves out the queues.

use crate::base::ways;
use crate::event::Outcome;

/// Where an action stands. Which state may follow which is told by types of the same names, below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// This many actions must succeed before its key can be computed.
    Waiting {
        /// How many; at least one.
        missing: u32,
    },
    /// All it needs is there. It waits for a worker.
    Ready,
    /// A worker computes its key and looks for a result.
    Resolving,
    /// It has no result and must run. It waits for a worker and for its resources.
    Queued,
    /// A worker makes an attempt. It holds its resources.
    Running,
    /// An attempt failed; another is made when the time has come.
    Delayed,
    /// It ended.
    Done(Outcome),
}

impl State {
    /// Whether a worker has it.
    pub(super) fn is_active(self) -> bool {
        matches!(self, Self::Resolving | Self::Running)
    }
}

/// So many others must succeed first: the one state that is a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting(pub(super) u32);

impl From<Waiting> for State {
    fn from(waiting: Waiting) -> Self {
        Self::Waiting { missing: waiting.0 }
    }
}

ways! {
    State {
        Ready = State::Ready;
        Resolving = State::Resolving;
        Queued = State::Queued;
        Running = State::Running;
        Delayed = State::Delayed;
        Ran = State::Done(Outcome::Ran);
        Cached = State::Done(Outcome::Cached);
        CutOff = State::Done(Outcome::CutOff);
        Failed = State::Done(Outcome::Failed);
        Skipped = State::Done(Outcome::Skipped);
    }
    // A producer is done; or it will not be, or the run stops.
    Waiting => Waiting, Ready, Skipped;
    Ready => Resolving, Skipped;
    // To be run; or its producer is made again first; or a file is read again; or a hit, a built-in action done at once, inputs
    // that cannot be had, and what is not to be run.
    Resolving => Queued, Waiting, Ready, Ran, Cached, CutOff, Failed, Skipped;
    Queued => Running, Skipped;
    Running => Delayed, Waiting, Ready, Ran, Failed, Skipped;
    Delayed => Queued, Skipped;
    // Its result was lost from the store while others need it.
    Ran => Ready;
    Cached => Ready;
    CutOff => Ready;
}

#[cfg(test)]
mod tests {
    use super::WAYS;
    use crate::base::{drawn, listed};

    #[test]
    fn the_picture_in_the_book_is_what_compiles() {
        assert_eq!(drawn("An action in a run"), listed(WAYS));
    }

    #[test]
    fn what_ended_badly_stays_so_and_nothing_runs_twice_at_once() {
        let to = |state: &str| WAYS.iter().filter(|(_, to)| *to == state).map(|(from, _)| *from).collect::<Vec<_>>();
        assert!(!WAYS.iter().any(|(from, _)| ["Failed", "Skipped"].contains(from)));
        assert_eq!(to("Running"), ["Queued"]);
        assert_eq!(to("Queued"), ["Resolving", "Delayed"], "the key comes first");
    }
}
