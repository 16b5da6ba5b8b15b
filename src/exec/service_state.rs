//! The states of a service in a run, and the only ways from one to another. Leaves out its processes.

use crate::base::ways;

/// Where a service stands. Which state may follow which is told by types of the same names, below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not started: nothing that uses it had to run so far.
    Idle,
    /// Started, not ready.
    Starting,
    /// It serves.
    Ready,
    /// It was told to end.
    Stopping,
    /// It ended as it was told to.
    Stopped,
    /// It did not become ready, or ended by itself.
    Failed,
}

ways! {
    State {
        Idle = State::Idle;
        Starting = State::Starting;
        Ready = State::Ready;
        Stopping = State::Stopping;
        Stopped = State::Stopped;
        Failed = State::Failed;
    }
    // The first that uses it is to run; or another, after it was stopped.
    Idle => Starting;
    Stopped => Starting;
    // It answers; it does not; the run is over, or what it is made of is to be made again.
    Starting => Ready, Failed, Stopping;
    // The last that uses it is done; it ended by itself.
    Ready => Stopping, Failed;
    Stopping => Stopped;
}

#[cfg(test)]
mod tests {
    use super::WAYS;
    use crate::base::{drawn, listed};

    #[test]
    fn the_picture_in_the_book_is_what_compiles() {
        assert_eq!(drawn("A service in a run"), listed(WAYS));
    }

    #[test]
    fn a_service_that_failed_is_not_started_again_and_none_skips_a_state() {
        let to = |state: &str| WAYS.iter().filter(|(_, to)| *to == state).map(|(from, _)| *from).collect::<Vec<_>>();
        assert!(!WAYS.iter().any(|(from, _)| *from == "Failed"));
        assert_eq!((to("Ready"), to("Stopped")), (vec!["Starting"], vec!["Stopping"]));
    }
}
