//! A run of what is behind changed sources and missing outputs alone, where memory vouches for the rest:
//! nothing is compiled, and no other action is looked at. Leaves out what memory holds (`memo`).
//!
//! Where anything does not fit, the request is run as a whole, which is always right.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{Counts, Outcome};
use crate::exec::{
    ActionReport, Error as ExecError, Known, Leavings, NoSecrets, Nobody, OutputReport, Part, Request, RunReport,
};
use crate::ops::Error;
use crate::ops::carry::{Asked, Carried, Whereabouts, carry_out};
use crate::ops::check::plan;
use crate::ops::memo::{Behind, Ended, Misplaced, Second, Section};
use crate::ops::places::failed_actions;
use crate::ops::ports::{Keep, notices};
use crate::ops::run::{RunContext, RunOptions, RunReply, place_all, purse, rely_on, requested};
use crate::ops::workspace::{Locations, open};
use crate::plan::Plan;
use crate::store::{Cas, ClaimOutput};

/// Runs what is behind what changed, and adds what is known of other graphs. `None`: the request must be run as a whole.
pub fn run_behind(
    behind: Behind,
    others: RunReply,
    locations: &Locations,
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Option<RunReply>, Error> {
    let reply = run_behind_alone(behind, locations, params, options, context)?;
    Ok(reply.map(|mut reply| {
        reply.counts.cached += others.counts.cached;
        reply.outputs.extend(others.outputs);
        reply.duration_ms += others.duration_ms;
        reply
    }))
}

fn run_behind_alone(
    behind: Behind,
    locations: &Locations,
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Option<RunReply>, Error> {
    let begun = context.clock.elapsed();
    let site = behind.graph.site().clone();
    let (root, store, state) = (PathBuf::from(&site.root), PathBuf::from(&site.store), PathBuf::from(&site.state));
    if behind.readers.is_empty() {
        let keep = Keep::open(&store, &state, &context.clock, &notices(&context.sink, &context.clock, ""))?;
        let Some(misplaced) = behind.misplaced(&root, &BTreeMap::new()) else { return Ok(None) };
        if !put(&misplaced, &keep, &Leavings::default(), options.jobs)? {
            return Ok(None);
        }
        let counts = Counts { cached: behind.actions(), ..Counts::default() };
        let outputs = behind.outputs();
        behind.keep(&root, BTreeMap::new(), &misplaced, None);
        let duration_ms = context.clock.elapsed().saturating_sub(begun).as_millis() as u64;
        return Ok(Some(RunReply { outputs, counts, duration_ms, ..RunReply::default() }));
    }
    let Some((section, in_parts)) = behind.first() else { return Ok(None) };
    let Section { plan: part, before, targets, numbers } = section;
    let given = before.given.iter().filter_map(|id| before.known.get(id)).flat_map(|known| &known.outputs);
    let given: Vec<_> = given.map(|output| output.entry.clone()).collect();
    let mut numbered = Numbered::default();
    numbered.add(&part, &numbers);
    let places = [&site.store, &site.state, &site.out].into_iter().chain(&site.excluded);
    let request = |id: &str| {
        Ok(Request {
            purse: purse(&state, &part, true)?,
            target: behind.graph.target().to_owned(),
            targets,
            excluded: places.map(PathBuf::from).collect(),
            before,
            ..requested(Arc::new(part), &root, &state, id, options)
        })
    };
    let site = Whereabouts { store: &store, state: &state, given: &given };
    let asked = Asked {
        target: behind.graph.target(),
        secrets: Arc::new(NoSecrets),
        approver: Arc::new(Nobody),
        request: Box::new(request),
    };
    let (mut is_first, mut is_stuck) = (in_parts, false);
    let next = |_: usize, report: &RunReport| {
        if !std::mem::take(&mut is_first) {
            return None;
        }
        let Section { plan, before, targets, numbers } = match behind.second(&numbered.ended(report)) {
            Second::Nothing => return None,
            Second::Part(section) => *section,
            Second::Everything => {
                is_stuck = true;
                return None;
            }
        };
        numbered.add(&plan, &numbers);
        Some(Part { plan: Arc::new(plan), targets, before })
    };
    // What attempts left goes at the end.
    let Carried { mut reports, keep, leavings } = match carry_out(site, vec![asked], next, options, context) {
        Ok(carried) => carried,
        // What was given is lost: it can be made again only with what it depends on itself.
        Err(Error::Exec { error: ExecError::StoreLoses { .. }, .. } | Error::Lost { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if is_stuck {
        return Ok(None);
    }
    let report = reports.swap_remove(0);
    let ended = numbered.ended(&report);
    let done: BTreeMap<u32, Known> =
        ended.into_iter().filter_map(|(number, ended)| Some((number, ended.result?))).collect();
    let has_failed = report.error_kind().is_some() || report.cancelled || done.len() < report.actions.len();
    let graph = behind.graph.name().to_owned();
    let mut outputs = behind.outputs();
    if options.materialize {
        let made = done.iter().map(|(number, known)| (*number, known.outputs.clone())).collect();
        let Some(misplaced) = behind.misplaced(&root, &made) else { return Ok(None) };
        if !put(&misplaced, &keep, &leavings, options.jobs)? {
            return Ok(None);
        }
        keep.store.flush()?;
        if has_failed {
            outputs = misplaced.into_iter().map(|item| item.path).collect();
        } else {
            behind.keep(&root, done, &misplaced, Some(&report));
        }
    }
    let mut reply = RunReply { outputs, counts: report.counts, ..RunReply::default() };
    if has_failed {
        // Where a failed action is declared, only the specs know. They are as they were.
        let mut workspace = open(locations)?;
        let planned = plan(&mut workspace, &graph, params)?;
        let sources = &workspace.compiled.program.sources;
        reply.failures = failed_actions(&report, &planned.expansion, sources);
    }
    reply.duration_ms = context.clock.elapsed().saturating_sub(begun).as_millis() as u64;
    reply.reports.push(report);
    Ok(Some(reply))
}

/// Which actions of the whole plan addresses are.
#[derive(Default)]
struct Numbered(BTreeMap<String, u32>);

impl Numbered {
    fn add(&mut self, plan: &Plan, numbers: &[u32]) {
        let actions = plan.actions.iter().zip(numbers);
        self.0.extend(actions.map(|(action, number)| (action.addr.clone(), *number)));
    }

    /// How the actions of a report ended.
    fn ended(&self, report: &RunReport) -> BTreeMap<u32, Ended> {
        let one = |action: &ActionReport| {
            let is_done = matches!(action.outcome, Outcome::Ran | Outcome::Cached | Outcome::CutOff);
            let output = |output: &OutputReport| ClaimOutput { name: output.name.clone(), entry: output.entry.clone() };
            let outputs = action.outputs.iter().map(output).collect();
            let result = action.key.filter(|_| is_done).map(|key| Known { key, outputs, logs: action.logs });
            let ended = Ended { outcome: action.outcome, reason: action.reason.clone(), result };
            Some((*self.0.get(&action.addr)?, ended))
        };
        report.actions.iter().filter_map(one).collect()
    }
}

/// Puts outputs in their places. `false` if the store lacks something.
fn put(misplaced: &[Misplaced], keep: &Keep, leavings: &Leavings, jobs: usize) -> Result<bool, Error> {
    rely_on(keep.store.as_ref(), misplaced.iter().map(|item| &item.output.entry));
    let items: Vec<_> = misplaced.iter().map(|item| (&item.output.entry, item.path.as_path())).collect();
    match place_all((keep.store.as_ref(), leavings), &items, jobs) {
        Ok(()) => Ok(true),
        Err(Error::Lost { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
