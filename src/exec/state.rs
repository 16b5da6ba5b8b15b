//! The states of an action in a run, and the only ways from one to another. Leaves out the queues.

use crate::event::Outcome;

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// This many actions must succeed before its key can be computed.
    Waiting {
        /// How many.
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
    /// Whether an action may go from this state to that one.
    #[expect(clippy::unnested_or_patterns, reason = "one way, or a group of ways with one cause, a line")]
    pub(super) fn may_become(self, next: Self) -> bool {
        use Outcome::{Cached, CutOff, Failed, Ran, Skipped};
        match (self, next) {
            // A producer is done; or it turned out that it will not be.
            (Self::Waiting { missing: from }, Self::Waiting { missing: to }) => to + 1 == from,
            (Self::Waiting { missing }, Self::Ready) => missing <= 1,
            (Self::Ready, Self::Resolving)
            | (Self::Queued, Self::Running)
            | (Self::Delayed, Self::Queued)
            | (Self::Running, Self::Delayed)
            // A hit; a built-in action, done at once; inputs that cannot be had; not to be run.
            | (Self::Resolving, Self::Queued | Self::Done(_))
            // A blob it needs is lost: its producer runs again first; or a file was read again.
            | (Self::Resolving | Self::Running, Self::Waiting { .. } | Self::Ready)
            | (Self::Running, Self::Done(Ran | Failed | Skipped))
            // The run stops, or a producer failed.
            | (Self::Waiting { .. } | Self::Ready | Self::Queued | Self::Delayed, Self::Done(Skipped))
            // Its result was lost from the store while others need it.
            | (Self::Done(Ran | Cached | CutOff), Self::Ready) => true,
            _ => false,
        }
    }

    /// Whether a worker has it.
    pub(super) fn is_active(self) -> bool {
        matches!(self, Self::Resolving | Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{drawn, permitted};

    #[test]
    fn the_picture_in_the_book_is_the_table() {
        let states = [
            ("Waiting", State::Waiting { missing: 1 }),
            // It counts down: one way of the same state.
            ("Waiting", State::Waiting { missing: 2 }),
            ("Ready", State::Ready),
            ("Resolving", State::Resolving),
            ("Queued", State::Queued),
            ("Running", State::Running),
            ("Delayed", State::Delayed),
            ("Ran", State::Done(Outcome::Ran)),
            ("Cached", State::Done(Outcome::Cached)),
            ("CutOff", State::Done(Outcome::CutOff)),
            ("Failed", State::Done(Outcome::Failed)),
            ("Skipped", State::Done(Outcome::Skipped)),
        ];
        assert_eq!(drawn("An action in a run"), permitted(&states, State::may_become));
    }

    #[test]
    fn what_ended_badly_stays_so_and_nothing_runs_twice_at_once() {
        for outcome in [Outcome::Failed, Outcome::Skipped] {
            for next in [State::Ready, State::Queued, State::Running, State::Done(Outcome::Ran)] {
                assert!(!State::Done(outcome).may_become(next));
            }
        }
        assert!(!State::Running.may_become(State::Running));
        assert!(!State::Ready.may_become(State::Running), "the key comes first");
        assert!(!State::Waiting { missing: 2 }.may_become(State::Ready));
        assert!(State::Waiting { missing: 2 }.may_become(State::Waiting { missing: 1 }));
    }
}
