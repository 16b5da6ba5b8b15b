//! Carries requests out side by side: each with an id, a journal, a report and a place in the history. Leaves out what is
//! asked for (`run`, `behind`), and how it is executed.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Entry, ErrorKind};
use crate::event::{Counts, JournalSink, Tee};
use crate::exec::{Approver, Leavings, Part, Ports, Request, RunReport, Secrets, execute_together, is_there};
use crate::ops::Error;
use crate::ops::history::show_alive;
use crate::ops::inventory::Inventories;
use crate::ops::ports::{Keep, notices};
use crate::ops::run::{RunContext, RunOptions, rely_on, run_dir, runner, write_atomically};
use crate::ops::writers::writers;
use crate::store::{Cas, OpenRun, RunEnd};

/// Where something is run.
pub(super) struct Whereabouts<'a> {
    pub(super) store: &'a Path,
    pub(super) state: &'a Path,
    /// What the store must have beforehand.
    pub(super) given: &'a [Entry],
}

/// Makes a request, given the id of its run.
pub(super) type Requested<'a> = Box<dyn FnOnce(&str) -> Result<Request, Error> + 'a>;

/// What is run, and for whom.
pub(super) struct Asked<'a> {
    pub(super) target: &'a str,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) approver: Arc<dyn Approver>,
    /// The request, given the id of the run.
    pub(super) request: Requested<'a>,
}

/// What came of it.
pub(super) struct Carried {
    /// In the order in which it was asked.
    pub(super) reports: Vec<RunReport>,
    pub(super) keep: Keep,
    /// Dropped when outputs are in their places.
    pub(super) leavings: Leavings,
}

/// A run that is on record as begun.
struct Begun {
    id: String,
    open: OpenRun,
    journal: Arc<JournalSink>,
    _alive: File,
}

/// Carries requests out side by side, and the parts that come next, each with a journal, a report and a place in the
/// history.
pub(super) fn carry_out(
    at: Whereabouts<'_>,
    asked: Vec<Asked<'_>>,
    next: impl FnMut(usize, &RunReport) -> Option<Part>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Carried, Error> {
    let Whereabouts { store, state, given } = at;
    let ids: Vec<String> = asked.iter().map(|_| uuid::Uuid::now_v7().simple().to_string()).collect();
    // Before anything is begun: it may be that nobody can be believed.
    let writers = writers(state, &context.environment)?;
    let notify = notices(&context.sink, &context.clock, ids.first().map_or("", String::as_str));
    let keep = Keep::open(store, state, &context.clock, &notify)?;
    let cas: Arc<dyn Cas> = keep.store.clone();
    // First noted, then looked at: so it stays.
    rely_on(&*cas, given);
    if !is_there(&cas, given) {
        return Err(Error::Lost { path: store.to_owned() });
    }
    let history = &keep.history.inner;
    let mut begun = Vec::with_capacity(ids.len());
    for (id, asked) in ids.into_iter().zip(&asked) {
        let alive = show_alive(state, &id)?;
        let open = history.start_run(&id, asked.target)?;
        let journal = Arc::new(JournalSink::create(state, &id, Arc::clone(&context.clock))?);
        begun.push(Begun { id, open, journal, _alive: alive });
    }
    let runner = Arc::new(runner(options.level, &context.environment));
    let leavings = Leavings::default();
    let requests = asked.into_iter().zip(&begun).map(|(asked, begun)| {
        let ports = Ports {
            cas: keep.store.clone(),
            claims: keep.store.clone(),
            history: keep.history.clone(),
            snapshots: keep.snapshots.clone(),
            clock: Arc::clone(&context.clock),
            sink: Arc::new(Tee::new(vec![Arc::clone(&context.sink), begun.journal.clone()])),
            environment: context.environment.clone(),
            cancel: context.cancel.clone(),
            runner: runner.clone(),
            secrets: asked.secrets,
            approver: asked.approver,
            inventory: Arc::new(Inventories),
            writers: Arc::clone(&writers),
        };
        let request = (asked.request)(&begun.id)?;
        Ok((Request { leavings: Some(leavings.clone()), ..request }, ports))
    });
    let exec = |error| Error::Exec { error, place: None };
    let results =
        requests.collect::<Result<Vec<_>, Error>>().and_then(|requests| execute_together(requests, next).map_err(exec));
    // One that did not get far enough to be counted. That it ended is on record all the same; where even that cannot be
    // written, the error that comes first is the one to tell.
    let give_up = |open| {
        let _ = history.finish_run(open, RunEnd::Failed, Counts::default(), 0);
    };
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            for begun in begun {
                give_up(begun.open);
            }
            return Err(error);
        }
    };
    let mut reports = Vec::with_capacity(begun.len());
    let mut failed = None;
    for (result, Begun { id, open, journal, _alive }) in results.into_iter().zip(begun) {
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                give_up(open);
                failed.get_or_insert(exec(error));
                continue;
            }
        };
        journal.finish()?;
        let report_file = run_dir(state, &id).join("report.json");
        write_atomically(&report_file, format!("{}\n", report.to_json()).as_bytes())?;
        history.finish_run(open, end_of(&report), report.counts, report.duration_ms)?;
        reports.push(report);
    }
    failed.map_or(Ok(Carried { reports, keep, leavings }), Err)
}

fn end_of(report: &RunReport) -> RunEnd {
    match report.error_kind() {
        _ if report.cancelled => RunEnd::Cancelled,
        Some(ErrorKind::Approval) => RunEnd::Waiting,
        Some(_) => RunEnd::Failed,
        // By a failure in a run beside it.
        None if report.is_cut_short() => RunEnd::Cancelled,
        None => RunEnd::Succeeded,
    }
}
