//! A failure that says nothing of why: the action is run once more and watched, and what it looked for and was not given
//! is told. It runs under the isolation and within the bounds of the first attempt. Only what is quick and harmless to repeat:
//! a pure action without services, secrets and costs. Nothing of that attempt is kept. Leaves out watching, which is the runner's, and judging what was seen (`undeclared`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::exec::attempts::Attempts;
use crate::exec::engine::{Engine, Prepared};
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::judge::add_help;
use crate::exec::ports::Job;
use crate::exec::stage::Order;
use crate::exec::tools::{Toolset, environment, search_path};
use crate::exec::undeclared::{Seen, help_by};
use crate::plan::{Action, Class, Isolation};

/// The longest that an attempt took which is worth another one to explain it.
const QUICK: Duration = Duration::from_secs(2);
/// The longest that one takes which is watched, several times slower than by itself.
const WATCHED: Duration = Duration::from_secs(10);

/// An attempt that failed.
pub(super) struct Failed<'a> {
    pub(super) action: &'a Action,
    pub(super) prepared: &'a Prepared,
    pub(super) job: &'a Job<'a>,
    /// The variables that were declared for it.
    pub(super) declared: &'a BTreeMap<String, String>,
    pub(super) tools: &'a Toolset,
    pub(super) attempts: &'a Attempts,
    pub(super) duration: Duration,
    pub(super) isolation: Isolation,
}

impl Engine<'_> {
    /// The trouble, with what the process missed, if it did not say so itself and that can be found out.
    pub(super) fn explained(&self, trouble: Trouble, failed: &Failed<'_>) -> Trouble {
        let Trouble::Fail(mut failure) = trouble else { return trouble };
        if is_puzzling(&failure, failed) && !self.ports.cancel.is_cancelled() {
            let lines = self.watched(failed).unwrap_or_default();
            add_help(&mut failure, lines);
        }
        Trouble::Fail(failure)
    }

    fn watched(&self, failed: &Failed<'_>) -> Option<Vec<String>> {
        let Failed { action, prepared, job, tools, .. } = failed;
        let mut attempt = failed.attempts.take_as_left().ok()?;
        self.stage(action, prepared, &mut attempt, Order::Sorted).ok()?;
        let view = self.ports.runner.view(&attempt.root, &tools.bin, job.isolation);
        let env = environment(failed.declared, &view, tools, false, &self.ports.environment);
        let inside = job.cwd.strip_prefix(job.root).ok()?;
        let cwd = attempt.root.join(inside);
        let again = Job { env: &env, root: &attempt.root, cwd: &cwd, timeout: Some(WATCHED), ..(*job).clone() };
        let missed = self.ports.runner.watch(&again, &*self.ports.clock, &self.ports.cancel)?;
        let seen = Seen {
            workspace: &self.request.workspace,
            work: &attempt.work,
            shown_work: &view.home.with_file_name("work"),
            cwd: cwd.strip_prefix(&attempt.work).unwrap_or(Path::new("")),
            isolation: failed.isolation,
            path: &search_path(&self.ports.environment),
            tools: &tools.paths,
        };
        Some(help_by(&action.addr, &missed, &seen, &view.path))
    }
}

fn is_puzzling(failure: &Failure, failed: &Failed<'_>) -> bool {
    let spec = &failed.action.spec;
    let by_itself = matches!(failure.class, FailureClass::Exit(_) | FailureClass::Signal(_) | FailureClass::Output);
    by_itself
        && !failure.text.contains("\nhelp: ")
        && spec.class == Class::Pure
        && spec.services.is_empty()
        && spec.secrets.is_empty()
        && failed.duration <= QUICK
        // What is paid for is paid for as often as it is started.
        && failed.action.route.as_ref().is_none_or(|route| route.at_most == 0 && route.once == 0)
}
