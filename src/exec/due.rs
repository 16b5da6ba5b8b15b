//! How long an attempt may take, and whose limit that is: of bounds of the action, of its node and of the run the
//! smallest wins. Leaves out ending it.

use std::sync::PoisonError;
use std::time::Duration;

use crate::base::format_duration;
use crate::exec::engine::Engine;
use crate::exec::error::{Failure, FailureClass};
use crate::plan::Action;

/// The time that an attempt has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// How long from now on.
    pub(super) left: Duration,
    /// How long it is as its author wrote it.
    limit: Duration,
    whose: Whose,
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Action,
    /// That of the node at this address, for all its steps.
    Node(String),
    Run,
}

impl Bound {
    /// What is said of someone at an address who was asked and does not answer within it.
    pub(super) fn unanswered(&self, url: &str) -> String {
        let limit = format_duration(self.limit);
        match &self.whose {
            Whose::Action => format!("{url} did not answer within the timeout of {limit}"),
            Whose::Node(node) => {
                format!("{url} had not answered when the steps of `{node}` had taken their timeout of {limit} together")
            }
            Whose::Run => format!("{url} had not answered at the timeout of the run, {limit}"),
        }
    }

    /// What is said of a program that is ended by it.
    pub(super) fn struck(&self, argv0: &str) -> String {
        let limit = format_duration(self.limit);
        match &self.whose {
            Whose::Action => format!("`{argv0}` took longer than its timeout of {limit} and was killed"),
            Whose::Node(node) => format!(
                "`{argv0}` was still running when the steps of `{node}` had taken their timeout of {limit} together, \
                 and was killed"
            ),
            Whose::Run => {
                format!("`{argv0}` was still running at the timeout of the run, {limit}, and was killed")
            }
        }
    }
}

impl Engine<'_> {
    /// The time for an attempt that starts now. `counts`: whether the time of its node runs from now on, if it does
    /// not yet, and binds it.
    pub(super) fn time_for(&self, action: &Action, counts: bool) -> Option<Bound> {
        let now = self.ports.clock.elapsed();
        let own = action.policy.timeout_ms.map(Duration::from_millis);
        let own = own.map(|own| Bound { left: own, limit: own, whose: Whose::Action });
        let node = action.policy.node_timeout.as_ref().filter(|_| counts).map(|whole| {
            let limit = Duration::from_millis(whole.ms);
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            let begun = *begun.entry(whole.node.clone()).or_insert(now);
            Bound { left: (begun + limit).saturating_sub(now), limit, whose: Whose::Node(whole.node.clone()) }
        });
        let run = self.deadline.map(|deadline| {
            let left = deadline.saturating_sub(now);
            Bound { left, limit: self.request.bound().unwrap_or(left), whose: Whose::Run }
        });
        // Of two that are equal the nearer one is told.
        own.into_iter().chain(node).chain(run).min_by_key(|bound| bound.left)
    }

    /// Whose time will be up when a step may start that waits so long before, and what that time is.
    pub(super) fn time_up_after<'p>(&self, action: &'p Action, wait: Duration) -> Option<(&'p str, Duration)> {
        let whole = action.policy.node_timeout.as_ref()?;
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner).get(&whole.node)?;
        let limit = Duration::from_millis(whole.ms);
        (self.ports.clock.elapsed() + wait >= begun + limit).then_some((whole.node.as_str(), limit))
    }

    /// What is said of a step that is not started, as the steps of its node have taken their time.
    pub(super) fn overdue(&self, action: &Action) -> Option<Failure> {
        let (node, limit) = self.time_up_after(action, Duration::ZERO)?;
        let limit = format_duration(limit);
        let text = format!("it was not started, as the steps of `{node}` have taken their timeout of {limit}");
        Some(Failure::new(FailureClass::Timeout, text))
    }
}
