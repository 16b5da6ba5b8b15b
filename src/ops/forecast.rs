//! What a run would do, for people and programs. Leaves out how it is found out, which is the
//! executor's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::base::format_duration;
use crate::event::NullSink;
use crate::exec::{ActionForecast, Forecast, Ports, Prospect, Request, forecast as look_ahead};
use crate::ops::Error;
use crate::ops::approve::OnRecord;
use crate::ops::check::plan;
use crate::ops::history::describe;
use crate::ops::ports::{Keep, notices};
use crate::ops::run::{RunContext, RunOptions, forced, ledger, resolve_targets, runner};
use crate::ops::secrets::MachineSecrets;
use crate::ops::workspace::Workspace;
use crate::store::Cas;

/// The version of the JSON form of a forecast.
pub const FORECAST_FORMAT: u32 = 1;

/// Tells what running targets of one graph would do. Nothing is run but what tools say of themselves.
pub fn forecast(
    workspace: &mut Workspace,
    targets: &[String],
    params: &BTreeMap<String, String>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Forecast, Error> {
    let graph = targets.first().and_then(|target| target.split('/').next()).unwrap_or_default().to_owned();
    if let Some(other) = targets.iter().find(|target| target.split('/').next() != Some(graph.as_str())) {
        return Err(Error::usage_help(
            format!("`{other}` is of another graph than `{graph}`"),
            "a forecast is of one graph: ask for each",
        ));
    }
    let planned = plan(workspace, &graph, params)?;
    let chosen = resolve_targets(&planned.plan, targets)?;
    let sink: Arc<dyn crate::event::Sink> = Arc::new(NullSink);
    let keep = Keep::open(&workspace.store, &workspace.state, &context.clock, &notices(&sink, &context.clock, ""))?;
    let request = Request {
        target: targets.join(" "),
        targets: chosen.actions,
        excluded: vec![workspace.store.clone(), workspace.state.clone(), workspace.out.clone()],
        jobs: NonZeroUsize::new(options.jobs),
        isolation: options.isolation,
        forced: forced(&planned.plan, &options.refresh)?,
        ledger: ledger(workspace, &planned.plan)?,
        cassette: Some(workspace.state.join("cassette")),
        ..Request::new(Arc::clone(&planned.plan), &workspace.root, "forecast")
    };
    let ports = Ports {
        cas: keep.store.clone(),
        claims: keep.store.clone(),
        history: keep.history.clone(),
        snapshots: keep.snapshots.clone(),
        clock: Arc::clone(&context.clock),
        sink,
        environment: context.environment.clone(),
        cancel: context.cancel.clone(),
        runner: Arc::new(runner(options.level, &context.environment)),
        secrets: Arc::new(MachineSecrets::new(&workspace.root, &context.environment)),
        approver: Arc::new(OnRecord::open(workspace, &planned.plan, &context.environment, &context.clock)),
    };
    let found = look_ahead(&request, &ports).map_err(|error| Error::Exec { error, place: None })?;
    keep.snapshots.inner.save()?;
    keep.store.flush()?;
    Ok(found)
}

/// A forecast as one JSON document.
pub fn forecast_json(forecast: &Forecast) -> Json {
    let (least, most, unknown) = forecast.work_ms();
    let one = |action: &ActionForecast| {
        json!({
            "addr": action.addr,
            "forecast": action.prospect.word(),
            "reason": action.reason,
            "key": action.key.map(|key| key.to_string()),
            "expected_ms": action.expected_ms,
            "failure": action.failure,
        })
    };
    json!({
        "forecast": FORECAST_FORMAT,
        "plan": forecast.plan.hex(),
        "counts": counts(forecast).into_iter().map(|(word, n)| (word.to_owned(), json!(n))).collect::<serde_json::Map<_, _>>(),
        "work": { "least_ms": least, "most_ms": most, "actions_without_history": unknown },
        "actions": forecast.actions.iter().map(one).collect::<Vec<_>>(),
    })
}

const ALL: [Prospect; 7] = [
    Prospect::Run,
    Prospect::Volatile,
    Prospect::Effect,
    Prospect::MaybeCutOff,
    Prospect::Hit,
    Prospect::Gated,
    Prospect::Fail,
];

fn counts(forecast: &Forecast) -> Vec<(&'static str, usize)> {
    ALL.iter().map(|prospect| (prospect.word(), forecast.count(*prospect))).collect()
}

/// A forecast for people: a line for each action that is no hit, and the sum.
pub fn forecast_text(forecast: &Forecast) -> String {
    let ms = |ms: u64| format_duration(Duration::from_millis(ms));
    let mut out = String::new();
    for action in forecast.actions.iter().filter(|action| action.prospect != Prospect::Hit) {
        let expected = action.expected_ms.map_or(String::new(), |known| format!(" (about {})", ms(known)));
        let _ = write!(out, "{:13} {}{expected}", action.prospect.word(), action.addr);
        match (&action.failure, &action.reason) {
            (Some(failure), _) => {
                let _ = writeln!(out, ": {}", failure.replace('\n', "\n    "));
            }
            (None, Some(reason)) => {
                let _ = writeln!(out, ": {}", describe(reason));
            }
            (None, None) => out.push('\n'),
        }
    }
    let (least, most, unknown) = forecast.work_ms();
    let counted: Vec<String> = counts(forecast).into_iter().map(|(word, n)| format!("{n} {word}")).collect();
    let range = if least == most { ms(least) } else { format!("{} to {}", ms(least), ms(most)) };
    let unknown = if unknown == 0 { String::new() } else { format!(", and {unknown} never timed") };
    let _ = writeln!(out, "{} of {}; {range} of work{unknown}", counted.join(", "), forecast.actions.len());
    out
}
