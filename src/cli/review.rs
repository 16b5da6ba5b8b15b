//! The reviewer's commands: differences, forecasts, ways through plans, comparison of runs, traces.
//! Leaves out comparing and looking ahead.

use std::io::IsTerminal;
use std::sync::Arc;

use serde_json::json;

use crate::base::{Clock, ErrorKind, SystemClock};
use crate::cli::args::{Cli, Format, RunOptions as RunArgs};
use crate::cli::commands::{Status8, clock};
use crate::cli::output::Output;
use crate::cli::running::{context, options, params};
use crate::ops::{self, DiffFormat, DiffRequest, Divergence, Error, Locations, RunReply, Workspace};

/// The exit status of `diff --exit-code` where something changed.
const CHANGED: u8 = 5;
/// The same where something privileged did.
const PRIVILEGED: u8 = 6;

/// Compares two states and prints the difference.
pub(super) fn diff(
    locations: &Locations,
    request: &DiffRequest,
    format: Option<Format>,
    exit_code: bool,
    full: bool,
    output: &Output,
) -> Result<u8, Error> {
    let format = match format {
        None | Some(Format::Human) => DiffFormat::Human,
        Some(Format::Json) => DiffFormat::Json,
        Some(Format::Markdown) => DiffFormat::Markdown,
        Some(Format::Sarif) => DiffFormat::Sarif,
        Some(Format::Html) => DiffFormat::Html,
        Some(Format::Dot | Format::Mermaid | Format::Svg) => {
            return Err(Error::usage("a difference is written as human, json, markdown, sarif or html"));
        }
    };
    let review = match ops::compare(locations, request, &clock())? {
        Ok(review) => review,
        Err(errors) => {
            output.note(&format!("the specs of {} do not compile:", errors.side));
            output.diagnostics(&errors.diagnostics, &errors.sources);
            return Ok(ErrorKind::Spec.exit_status());
        }
    };
    // Colour is asked for on standard error; data goes to standard output.
    let color = output.color && std::io::stdout().is_terminal();
    output.data(&ops::write_diff(&review, format, full, color));
    Ok(match (exit_code, review.is_empty(), review.privileged()) {
        (true, false, 0) => CHANGED,
        (true, false, _) => PRIVILEGED,
        _ => 0,
    })
}

/// Tells what a run would do.
pub(super) fn forecast(
    cli: &Cli,
    locations: &Locations,
    workspace: &mut Workspace,
    targets: &[String],
    refresh: &[String],
    output: &Output,
) -> Result<u8, Error> {
    let args = RunArgs { refresh: refresh.to_vec(), ..RunArgs::default() };
    let context = context(cli, locations, output)?;
    let forecast = ops::forecast(workspace, targets, &params(cli)?, &options(cli, locations, &args, false)?, &context)?;
    if output.json {
        output.data(&format!("{}\n", ops::forecast_json(&forecast)));
    } else {
        output.data(&ops::forecast_text(&forecast));
    }
    Ok(0)
}

/// Tells the way by which an action depends on another.
pub(super) fn why_depends(
    cli: &Cli,
    workspace: &mut Workspace,
    addr: &str,
    on: &str,
    output: &Output,
) -> Result<u8, Error> {
    let graph = addr.split('/').next().unwrap_or(addr);
    let planned = ops::plan(workspace, graph, &params(cli)?)?;
    let way = ops::why_depends(&planned.plan, addr, on)?;
    if output.json {
        let steps =
            way.map(|way| way.iter().map(|step| json!({"addr": step.addr, "takes": step.takes})).collect::<Vec<_>>());
        output.data(&format!("{}\n", json!({"from": addr, "on": on, "way": steps})));
        return Ok(0);
    }
    match way {
        None => output.data(&format!("{addr} does not depend on {on}\n")),
        Some(way) => {
            for (depth, step) in way.iter().enumerate() {
                let takes = step.takes.as_ref().map_or(String::new(), |takes| format!("  takes {takes} of"));
                output.data(&format!("{}{}{takes}\n", "  ".repeat(depth), step.addr));
            }
        }
    }
    Ok(0)
}

/// Compares two runs.
pub(super) fn diff_runs(workspace: &Workspace, before: &str, after: &str, output: &Output) -> Result<u8, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let found = ops::diff_runs(workspace, before, after, &clock)?;
    if output.json {
        let ending =
            |ending: &ops::Ending| json!({"outcome": ending.outcome, "reason": ending.reason, "key": ending.key});
        let one = |item: &Divergence| json!({"addr": item.addr, "before": item.before.as_ref().map(ending), "after": item.after.as_ref().map(ending)});
        let all: Vec<_> = found.diverging.iter().map(one).collect();
        output.data(&format!("{}\n", json!({"runs": found.runs, "same": found.same, "diverging": all})));
        return Ok(0);
    }
    let Some(first) = found.diverging.first() else {
        output.data(&format!("the same: {} actions with the same keys\n", found.same));
        return Ok(0);
    };
    output.data(&format!("first to differ: {}\n", divergence(first)));
    const SHOWN: usize = 20;
    for item in found.diverging.iter().skip(1).take(SHOWN) {
        output.data(&format!("  then: {}\n", divergence(item)));
    }
    let more = found.diverging.len().saturating_sub(SHOWN + 1);
    if more > 0 {
        output.data(&format!("  and {more} more (--format json)\n"));
    }
    output.data(&format!("{} differ, {} have the same keys\n", found.diverging.len(), found.same));
    Ok(0)
}

fn divergence(item: &Divergence) -> String {
    match (&item.before, &item.after) {
        (Some(_), Some(after)) => format!("{}: {}", item.addr, ops::describe(&after.reason)),
        (None, Some(_)) => format!("{}: only in the second", item.addr),
        (_, None) => format!("{}: only in the first", item.addr),
    }
}

/// Writes the trace of a run where it was asked for.
pub(super) fn write_trace(
    locations: &Locations,
    workspace: &Workspace,
    args: &RunArgs,
    reply: &RunReply,
) -> Result<(), Error> {
    let Some(file) = &args.trace else { return Ok(()) };
    let path = locations.current.join(file);
    let runs: Vec<String> = reply.reports.iter().map(|report| report.run.clone()).collect();
    let text = ops::trace(workspace, &runs)?;
    std::fs::write(&path, text).map_err(Error::io("write the trace", &path))
}

/// Consents to a plan.
pub(super) fn approve(
    locations: &Locations,
    workspace: &mut Workspace,
    request: &ops::ApproveRequest,
    output: &Output,
) -> Status8 {
    let reply = ops::approve(workspace, request, &locations.environment, &clock(), &locations.current)?;
    if reply.key_is_new {
        output.note(&format!("made the key `{}`", reply.key));
    }
    output.note(&format!("plan of `{}` b3:{}", reply.graph, reply.plan));
    for approved in &reply.approvals {
        let text = match (approved.counts, &approved.open) {
            (true, None) => "approved".to_owned(),
            (true, Some(open)) => format!("approved, and needs {open}"),
            (false, open) => format!("not approved: {}", open.as_deref().unwrap_or("it does not count")),
        };
        output.note(&format!("  {}  {text}", approved.addr));
    }
    output.note(&format!("signed by {} with key `{}` ({})", reply.person, reply.key, reply.keyid));
    output.text_or("", || {
        json!({
            "plan": reply.plan.hex(), "graph": reply.graph, "person": reply.person, "key": reply.key,
            "keyid": reply.keyid, "file": reply.file,
            "approvals": reply.approvals.iter().map(|approved| json!({
                "addr": approved.addr, "asked": approved.asked, "counts": approved.counts, "open": approved.open,
            })).collect::<Vec<_>>(),
        })
    });
    Ok(0)
}
