//! What a run would do, for people and programs. Leaves out how it is found out, which is the
//! executor's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::base::{format_duration, format_micro_usd};
use crate::event::NullSink;
use crate::exec::{ActionForecast, Forecast, Ports, Prospect, Request, forecast as look_ahead};
use crate::ops::Error;
use crate::ops::approve::OnRecord;
use crate::ops::check::{no_target, plan};
use crate::ops::history::describe;
use crate::ops::inventory::Inventories;
use crate::ops::ports::Keep;
use crate::ops::run::{RunContext, RunOptions, forced, resolve_targets, runner};
use crate::ops::secrets::MachineSecrets;
use crate::ops::workspace::Workspace;
use crate::ops::writers::writers;
use crate::plan::{ActionId, Class, Plan};
use crate::store::{Ledger, Looking};

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
    if workspace.compiled.diagnostics.has_errors() {
        return Err(Error::Spec);
    }
    no_target(&workspace.compiled, "forecast", targets)?;
    let graph = targets.first().and_then(|target| target.split('/').next()).unwrap_or_default().to_owned();
    if let Some(other) = targets.iter().find(|target| target.split('/').next() != Some(graph.as_str())) {
        return Err(Error::usage_help(
            format!("`{other}` is of another graph than `{graph}`"),
            "a forecast is of one graph: ask for each",
        ));
    }
    let planned = plan(workspace, &graph, params)?;
    let chosen = resolve_targets(&planned.plan, targets)?;
    look(workspace, &planned.plan, &chosen.actions, targets, options, context, &BTreeSet::new())
}

/// Looks ahead at some actions of a plan; of none given, at all.
pub(super) fn look(
    workspace: &Workspace,
    plan: &Arc<Plan>,
    actions: &[ActionId],
    targets: &[String],
    options: &RunOptions,
    context: &RunContext,
    unasked: &BTreeSet<String>,
) -> Result<Forecast, Error> {
    let sink: Arc<dyn crate::event::Sink> = Arc::new(NullSink);
    let keep = Keep::open_to_read(&workspace.store, &workspace.state, &context.clock)?;
    let has_effects = plan.actions.iter().any(|action| action.spec.class == Class::Effect);
    let ledger = has_effects.then(|| Ledger::open_to_read(&workspace.state.join("ledger.sqlite"))).transpose()?;
    let request = Request {
        target: targets.join(" "),
        targets: actions.to_vec(),
        excluded: vec![workspace.store.clone(), workspace.state.clone(), workspace.out.clone()],
        jobs: NonZeroUsize::new(options.jobs),
        isolation: options.isolation,
        forced: forced(plan, &options.refresh)?,
        ledger: ledger.map(Arc::new),
        cassette: Some(workspace.state.join("cassette")),
        ..Request::new(Arc::clone(plan), &workspace.root, "forecast")
    };
    let ports = Ports {
        cas: Arc::new(Looking::over(Arc::clone(&keep.store))?),
        claims: keep.store.clone(),
        history: keep.history.clone(),
        snapshots: keep.snapshots.clone(),
        clock: Arc::clone(&context.clock),
        sink,
        environment: context.environment.clone(),
        cancel: context.cancel.clone(),
        runner: Arc::new(runner(options.level, &context.environment)),
        secrets: Arc::new(MachineSecrets::new(&workspace.root, &context.environment)),
        approver: Arc::new(OnRecord::open(workspace, plan, &context.environment, &context.clock)),
        inventory: Arc::new(Inventories),
        writers: writers(&workspace.state, &context.environment)?,
    };
    look_ahead(&request, &ports, unasked).map_err(|error| Error::Exec { error, place: None })
}

/// A forecast as one JSON document.
pub fn forecast_json(forecast: &Forecast) -> Json {
    let sum = forecast.expense();
    let one = |action: &ActionForecast| {
        json!({
            "addr": action.addr,
            "forecast": action.prospect.word(),
            "reason": action.reason,
            "key": action.key.map(|key| key.to_string()),
            "expected_ms": action.expected_ms,
            "at_most_micro_usd": action.cost.each,
            "failure": action.failure,
        })
    };
    json!({
        "forecast": FORECAST_FORMAT,
        "plan": forecast.plan.hex(),
        "counts": counts(forecast).into_iter().map(|(word, n)| (word.to_owned(), json!(n))).collect::<serde_json::Map<_, _>>(),
        "work": { "least_ms": sum.least_ms, "most_ms": sum.most_ms, "actions_without_history": sum.untimed },
        "cost": { "least_micro_usd": sum.least_usd, "most_micro_usd": sum.most_usd },
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
        let mut expected: Vec<String> =
            action.expected_ms.map(|known| format!("about {}", ms(known))).into_iter().collect();
        if action.cost.each > 0 && action.prospect.executes() {
            expected.push(format!("at most ${}", format_micro_usd(action.cost.each)));
        }
        let expected = if expected.is_empty() { String::new() } else { format!(" ({})", expected.join(", ")) };
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
    let sum = forecast.expense();
    let counted: Vec<String> = counts(forecast).into_iter().map(|(word, n)| format!("{n} {word}")).collect();
    let usd = |amount: u64| format!("${}", format_micro_usd(amount));
    let range = |least: String, most: String| if least == most { most } else { format!("{least} to {most}") };
    let work = range(ms(sum.least_ms), ms(sum.most_ms));
    let unknown = if sum.untimed == 0 { String::new() } else { format!(", and {} never timed", sum.untimed) };
    let _ = write!(out, "{} of {}; {work} of work{unknown}", counted.join(", "), forecast.actions.len());
    if sum.most_usd > 0 {
        let _ = write!(out, "; at most {}", range(usd(sum.least_usd), usd(sum.most_usd)));
    }
    out.push('\n');
    out
}
