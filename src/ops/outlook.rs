//! What a difference will cost when it is run: a forecast of each graph as it is now, split into what the
//! change brings about and what would run anyway. Leaves out the forecast itself, and its wording.
//!
//! Comparing starts nothing of what is compared, and this keeps to it: a tool that the change adds or alters
//! is not asked who it is. The others are, as in a run: both sides declare them the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::base::{Clock, Environment};
use crate::event::NullSink;
use crate::exec::{ActionForecast, CancelToken, Forecast, Prospect};
use crate::ops::Error;
use crate::ops::forecast::look;
use crate::ops::run::{RunContext, RunOptions};
use crate::ops::workspace::{Locations, Workspace};
use crate::plan::{
    Action, ActionId, Input, InputSource, Isolation, Outlook, Plan, PlanDiff, Tool, ToolExec, topological,
};

/// What is looked at.
pub(super) struct Question<'a> {
    pub(super) locations: &'a Locations,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// Tools as the side before declares them.
    pub(super) known: Vec<&'a Tool>,
    /// Files that differ, of those that actions take in and tools are; `None`: that is not known.
    pub(super) changed: Option<&'a [String]>,
    /// Whether every tool is asked who it is.
    pub(super) ask_all: bool,
}

impl Question<'_> {
    /// Looks ahead at one graph; `None`: nothing of it changed.
    pub(super) fn answer(
        &self,
        workspace: &Workspace,
        plan: &Arc<Plan>,
        found: &PlanDiff,
    ) -> Result<Option<Outlook>, Error> {
        let affected = self.affected(plan, found);
        if affected.is_empty() {
            return Ok(None);
        }
        let unasked = self.unasked(plan);
        let context = RunContext {
            clock: Arc::clone(self.clock),
            sink: Arc::new(NullSink),
            cancel: CancelToken::new().map_err(Error::io("make an event", "eventfd"))?,
            environment: self.locations.environment.clone(),
        };
        // As a run would that is told nothing else.
        let word = self.locations.environment.get(Environment::ISOLATION).and_then(|word| word.to_str());
        let level = [Isolation::Full, Isolation::Landlock, Isolation::None]
            .into_iter()
            .find(|level| Some(level.word()) == word);
        let options = RunOptions {
            jobs: 1,
            keep_going: false,
            isolation: level.unwrap_or(Isolation::None),
            level,
            require_cached: false,
            refresh: Vec::new(),
            done: Vec::new(),
            replay_only: false,
            timeout: None,
            materialize: false,
            memos: BTreeMap::new(),
            check: Vec::new(),
        };
        let forecast = look(workspace, plan, &[], std::slice::from_ref(&plan.graph), &options, &context, &unasked)?;
        Ok(Some(outlook(&forecast, plan, &affected, unasked)))
    }

    /// Actions that the change reaches: by their definitions, by files, and by what they take in.
    fn affected(&self, plan: &Plan, found: &PlanDiff) -> BTreeSet<ActionId> {
        let Some(changed) = self.changed else { return plan.iter().map(|(id, _)| id).collect() };
        let mut affected: BTreeSet<ActionId> =
            found.redefined.iter().chain(&found.rekeyed).filter_map(|addr| plan.find(addr)).collect();
        let mut taken: BTreeMap<&str, bool> = BTreeMap::new();
        let touched: BTreeSet<&str> = plan
            .tools
            .iter()
            .filter(|tool| matches!(&tool.exec, ToolExec::Workspace(path) if changed.iter().any(|file| file == path.as_str())))
            .map(|tool| tool.name.as_str())
            .collect();
        for id in topological(plan) {
            let action = plan.action(id);
            let reached = action.spec.tools.iter().any(|tool| touched.contains(tool.as_str()))
                || takes(plan, action).any(|input| match &input.source {
                    InputSource::Output { action, .. } => affected.contains(action),
                    InputSource::Workspace { pattern, .. } => *taken.entry(pattern).or_insert_with(|| {
                        matcher(pattern).is_some_and(|glob| changed.iter().any(|file| glob.is_match(file)))
                    }),
                });
            if reached {
                affected.insert(id);
            }
        }
        affected
    }

    /// Tools that would be started to say who they are, and that the change adds or alters.
    fn unasked(&self, plan: &Plan) -> BTreeSet<String> {
        if self.ask_all {
            return BTreeSet::new();
        }
        let altered = |tool: &&Tool| {
            let moved = match &tool.exec {
                ToolExec::Lookup(_) => false,
                ToolExec::Workspace(path) => {
                    self.changed.is_none_or(|changed| changed.iter().any(|file| file == path.as_str()))
                }
            };
            tool.fingerprint.is_some() && (moved || !self.known.contains(tool))
        };
        plan.tools.iter().filter(altered).map(|tool| tool.name.clone()).collect()
    }
}

fn takes<'a>(plan: &'a Plan, action: &'a Action) -> impl Iterator<Item = &'a Input> {
    let services = action.spec.services.iter().filter_map(|name| plan.service(name));
    action.spec.inputs.iter().chain(services.flat_map(|service| &service.spec.inputs))
}

fn outlook(forecast: &Forecast, plan: &Plan, affected: &BTreeSet<ActionId>, unasked: BTreeSet<String>) -> Outlook {
    let mine = |action: &ActionForecast| plan.find(&action.addr).is_some_and(|id| affected.contains(&id));
    let count =
        |wanted: &dyn Fn(&ActionForecast) -> bool| forecast.actions.iter().filter(|action| wanted(action)).count();
    let expense = forecast.expense_of(mine);
    Outlook {
        total: forecast.actions.len(),
        run: count(&|action| mine(action) && action.prospect.executes() && action.prospect != Prospect::MaybeCutOff),
        may_run: count(&|action| mine(action) && action.prospect == Prospect::MaybeCutOff),
        anyway: count(&|action| !mine(action) && action.prospect.executes()),
        gated: count(&|action| action.prospect == Prospect::Gated),
        fail: count(&|action| action.prospect == Prospect::Fail),
        least_ms: expense.least_ms,
        most_ms: expense.most_ms,
        untimed: expense.untimed,
        least_usd: expense.least_usd,
        most_usd: expense.most_usd,
        unasked: unasked.into_iter().collect(),
    }
}

/// Whether anything was ever run with this store or in this workspace. Without, nothing can be foretold but
/// that all of it runs.
pub(super) fn is_used(workspace: &Workspace) -> bool {
    let marks: [PathBuf; 2] = [workspace.store.join("format"), workspace.state.join("history.sqlite")];
    marks.iter().any(|mark| mark.exists())
}

/// What a pattern of the workspace matches.
pub(super) fn matcher(pattern: &str) -> Option<GlobMatcher> {
    Some(GlobBuilder::new(pattern).literal_separator(true).build().ok()?.compile_matcher())
}
