//! A run of what is behind changed sources and missing outputs alone, where memory vouches for the rest:
//! nothing is compiled, and no other action is looked at. Leaves out what memory holds (`memo`).
//!
//! Where anything does not fit, the request is run as a whole, which is always right.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::Outcome;
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

/// Runs what is behind what changed, of several graphs side by side, and adds what is known of others. `None`: the request
/// must be run as a whole.
pub fn run_behind(
    behind: Vec<Behind>,
    others: RunReply,
    locations: &Locations,
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Option<RunReply>, Error> {
    let begun = context.clock.elapsed();
    let mut reply = RunReply::default();
    let (misplaced, changed): (Vec<Behind>, Vec<Behind>) =
        behind.into_iter().partition(|behind| behind.readers.is_empty());
    for behind in misplaced {
        if !put_back(behind, options, context, &mut reply)? {
            return Ok(None);
        }
    }
    if !changed.is_empty() && !run_changed(changed, locations, params, options, context, &mut reply)? {
        return Ok(None);
    }
    reply.counts.cached += others.counts.cached;
    reply.outputs.extend(others.outputs);
    reply.duration_ms = context.clock.elapsed().saturating_sub(begun).as_millis() as u64 + others.duration_ms;
    Ok(Some(reply))
}

/// Puts outputs back that are not in their places. `false`: that is not all there is to do.
fn put_back(behind: Behind, options: &RunOptions, context: &RunContext, reply: &mut RunReply) -> Result<bool, Error> {
    let site = behind.graph.site();
    let (root, store, state) = (PathBuf::from(&site.root), PathBuf::from(&site.store), PathBuf::from(&site.state));
    let keep = Keep::open(&store, &state, &context.clock, &notices(&context.sink, &context.clock, ""))?;
    let Some(misplaced) = behind.misplaced(&root, &BTreeMap::new()) else { return Ok(false) };
    if !put(&misplaced, &keep, &Leavings::default(), options.jobs)? {
        return Ok(false);
    }
    reply.counts.cached += behind.actions();
    reply.outputs.extend(behind.outputs());
    behind.keep(&root, BTreeMap::new(), &misplaced, None);
    Ok(true)
}

/// How far a graph has been run.
struct Progress {
    numbered: Numbered,
    /// Whether there may be a second part.
    is_first: bool,
    /// Whether all of it has to be run.
    is_stuck: bool,
}

impl Progress {
    fn next(&mut self, behind: &Behind, report: &RunReport) -> Option<Part> {
        if !std::mem::take(&mut self.is_first) {
            return None;
        }
        let Section { plan, before, targets, numbers } = match behind.second(&self.numbered.ended(report)) {
            Second::Nothing => return None,
            Second::Part(section) => *section,
            Second::Everything => {
                self.is_stuck = true;
                return None;
            }
        };
        self.numbered.add(&plan, &numbers);
        Some(Part { plan: Arc::new(plan), targets, before })
    }
}

/// Runs what is behind changed sources. `false`: it must be run as a whole.
fn run_changed(
    all: Vec<Behind>,
    locations: &Locations,
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
    reply: &mut RunReply,
) -> Result<bool, Error> {
    let Some(site) = all.first().map(|behind| behind.graph.site().clone()) else { return Ok(true) };
    let (root, store, state) = (PathBuf::from(&site.root), PathBuf::from(&site.store), PathBuf::from(&site.state));
    let mut progress = Vec::with_capacity(all.len());
    let mut sections = Vec::with_capacity(all.len());
    let mut given = Vec::new();
    for behind in &all {
        let Some((section, in_parts)) = behind.first() else { return Ok(false) };
        let known = section.before.given.iter().filter_map(|id| section.before.known.get(id));
        given.extend(known.flat_map(|known| &known.outputs).map(|output| output.entry.clone()));
        let mut numbered = Numbered::default();
        numbered.add(&section.plan, &section.numbers);
        progress.push(Progress { numbered, is_first: in_parts, is_stuck: false });
        sections.push(section);
    }
    let asked = all.iter().zip(sections).map(|(behind, section)| {
        let Section { plan, before, targets, .. } = section;
        let (root, state, site) = (&root, &state, &site);
        let request = move |id: &str| {
            let places = [&site.store, &site.state, &site.out].into_iter().chain(&site.excluded);
            Ok(Request {
                purse: purse(state, &plan, true)?,
                target: behind.graph.target().to_owned(),
                targets,
                excluded: places.map(PathBuf::from).collect(),
                before,
                ..requested(Arc::new(plan), root, state, id, options)
            })
        };
        Asked {
            target: behind.graph.target(),
            secrets: Arc::new(NoSecrets),
            approver: Arc::new(Nobody),
            request: Box::new(request),
        }
    });
    let next = |number: usize, report: &RunReport| progress[number].next(&all[number], report);
    let at = Whereabouts { store: &store, state: &state, given: &given };
    // What attempts left goes at the end.
    let Carried { reports, keep, leavings } = match carry_out(at, asked.collect(), next, options, context) {
        Ok(carried) => carried,
        // What was given is lost: it can be made again only with what it depends on itself.
        Err(Error::Exec { error: ExecError::StoreLoses { .. }, .. } | Error::Lost { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    if progress.iter().any(|progress| progress.is_stuck) {
        return Ok(false);
    }
    let mut failed = Vec::new();
    for ((behind, progress), report) in all.into_iter().zip(progress).zip(reports) {
        let ended = progress.numbered.ended(&report);
        let done: BTreeMap<u32, Known> =
            ended.into_iter().filter_map(|(number, ended)| Some((number, ended.result?))).collect();
        let has_failed = report.error_kind().is_some() || report.cancelled || done.len() < report.actions.len();
        let graph = behind.graph.name().to_owned();
        let mut outputs = behind.outputs();
        if options.materialize {
            let made = done.iter().map(|(number, known)| (*number, known.outputs.clone())).collect();
            let Some(misplaced) = behind.misplaced(&root, &made) else { return Ok(false) };
            if !put(&misplaced, &keep, &leavings, options.jobs)? {
                return Ok(false);
            }
            keep.store.flush()?;
            if has_failed {
                outputs = misplaced.into_iter().map(|item| item.path).collect();
            } else {
                behind.keep(&root, done, &misplaced, Some(&report));
            }
        }
        reply.outputs.extend(outputs);
        reply.counts = reply.counts.plus(report.counts);
        if has_failed {
            failed.push((graph, reply.reports.len()));
        }
        reply.reports.push(report);
    }
    if !failed.is_empty() {
        // Where a failed action is declared, only the specs know. They are as they were.
        let mut workspace = open(locations)?;
        for (graph, number) in failed {
            let planned = plan(&mut workspace, &graph, params)?;
            let sources = &workspace.compiled.program.sources;
            reply.failures.extend(failed_actions(&reply.reports[number], &planned.expansion, sources));
        }
    }
    Ok(true)
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
