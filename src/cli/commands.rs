//! One function for each command: call the operation, print the reply. Leaves out the operations.

use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::base::{Clock, ErrorKind, SystemClock};
use crate::cli::args::{Cli, Command, Format, Progress, RunOptions as RunArgs};
use crate::cli::escapes::for_stdout;
use crate::cli::output::Output;
use crate::cli::review;
use crate::cli::running::{checked, context, options, params, report_json, stopped_by, summary};
use crate::cli::specs::counted;
use crate::cli::upkeep::{doctor, state, store};
use crate::cli::{audit, bundles, keys, packages, shell, specs, transport};
use crate::ops::{self, Error, Locations, Places, PlanFormat, RunReply, Stream, Workspace};

/// An exit status, or the error that decides it.
pub(super) type Status8 = Result<u8, Error>;

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Runs a command to its exit status.
pub(super) fn run(cli: &Cli, locations: Locations, output: &Output) -> Status8 {
    match &cli.command {
        Command::Init { dir } => specs::init(&locations, dir, output),
        Command::Check { files } => specs::check(&locations, files, output),
        Command::Fmt { files, check, diff } => specs::fmt(&locations, files, *check, *diff, output),
        Command::Fix(args) => specs::fix(&locations, args, output),
        Command::Test { filter, update, junit } => {
            let context = context(cli, &locations, output)?;
            specs::test(&locations, filter, *update, junit.as_deref(), &context, output)
        }
        Command::Lock { check, update } => packages::lock(&locations, *check, update.as_deref(), output),
        Command::Vendor => packages::vendor(&locations, output),
        Command::Expand { graph } => with_workspace(&locations, output, |workspace| {
            let text = ops::expand_graph(workspace, graph, &params(cli)?)?;
            output.text_or(&text, || json!({"graph": graph, "kdl": text}));
            Ok(0)
        }),
        Command::Explain { code } => {
            let page = ops::explain(code)?;
            output.text_or(&page, || json!({"code": code, "page": page}));
            Ok(0)
        }
        Command::Plan { graph, output: file, sign, signed_by } => {
            let (output_file, sign) = (file.as_deref(), sign.as_deref());
            let request = PlanRequest { graph, output: output_file, sign, signed_by: signed_by.as_deref() };
            plan(cli, &locations, &request, output)
        }
        Command::Diff { before, after, graph, exit_code, forecast, full } => {
            let request = ops::DiffRequest {
                before: before.clone(),
                after: after.clone(),
                graph: graph.clone(),
                params: params(cli)?,
                forecast: *forecast,
            };
            review::diff(&locations, &request, cli.global.format, *exit_code, *full, output)
        }
        Command::Forecast { targets, refresh } => with_workspace(&locations, output, |workspace| {
            review::forecast(cli, &locations, workspace, targets, refresh, output)
        }),
        Command::Run { targets, options: args } => run_targets(cli, locations, targets, args, output),
        Command::Approve { plan, key, gate, person } => {
            let request = ops::ApproveRequest {
                target: plan.clone(),
                params: params(cli)?,
                key: key.clone(),
                gates: gate.clone(),
                person: person.clone(),
            };
            with_workspace(&locations, output, |workspace| review::approve(&locations, workspace, &request, output))
        }
        Command::Shell { addr, command, isolation } => shell::shell(cli, &locations, addr, command, *isolation, output),
        Command::Why { addr, run } => {
            with_workspace(&locations, output, |workspace| why(workspace, addr, run.as_deref(), output))
        }
        Command::WhyDepends { addr, on } => {
            with_workspace(&locations, output, |workspace| review::why_depends(cli, workspace, addr, on, output))
        }
        Command::DiffRuns { before, after } => {
            with_workspace(&locations, output, |workspace| review::diff_runs(workspace, before, after, output))
        }
        Command::Runs => with_workspace(&locations, output, |workspace| runs(workspace, output)),
        Command::Log { run, addr, raw: true } => {
            with_workspace(&locations, output, |workspace| raw_log(workspace, run.as_deref(), addr.as_deref(), output))
        }
        Command::Log { run, addr: None, .. } if cli.global.format == Some(Format::Html) => {
            with_workspace(&locations, output, |workspace| {
                output.data(&ops::timeline(workspace, run.as_deref(), &params(cli)?, &clock())?);
                Ok(0)
            })
        }
        Command::Log { run, addr, .. } => {
            with_workspace(&locations, output, |workspace| log(workspace, run.as_deref(), addr.as_deref(), output))
        }
        Command::Bundle(args) => bundles::bundle(cli, locations, args, output),
        Command::Deliver(args) => bundles::deliver(cli, locations, args, output),
        Command::Verify(args) => bundles::verify(&locations, args, output),
        Command::Audit(args) => audit::audit(&locations, args, output),
        Command::Tlog(command) => audit::tlog(&locations, command, output),
        Command::Rebuild(args) => transport::rebuild(cli, &locations, args, output),
        Command::DiffBundles { before, after, exit_code } => {
            transport::diff(&locations, before, after, *exit_code, output)
        }
        Command::Report(args) => bundles::report(cli, &locations, args, output),
        Command::Key(command) => keys::key(&locations, command, output),
        Command::Store(command) => store(&locations, command, output),
        Command::State(command) => {
            with_workspace(&locations, output, |workspace| state(&locations, workspace, command, output))
        }
        Command::Lsp => Ok(crate::lsp::serve(locations)),
        Command::Doctor => Ok(doctor(&locations, output)),
    }
}

/// Opens the workspace, and writes what was found in its specs whatever becomes of the command.
pub(super) fn with_workspace(
    locations: &Locations,
    output: &Output,
    act: impl FnOnce(&mut Workspace) -> Status8,
) -> Status8 {
    // The process ends after this: to let go of everything piece by piece would take a tenth of its time.
    let mut workspace = ManuallyDrop::new(ops::open(locations)?);
    let result = act(&mut workspace);
    let compiled = &workspace.compiled;
    // A warning is repeated at every command only where the specs are the subject, or who asks for it.
    if compiled.diagnostics.has_errors() || !workspace.levels.is_empty() && !compiled.diagnostics.is_empty() {
        output.diagnostics(&compiled.diagnostics, &compiled.program.sources);
    }
    result
}

/// How a plan is written: as asked for, else to a file as JSON and to a terminal for people.
fn plan_format(format: Option<Format>, to_file: bool) -> Result<PlanFormat, Error> {
    Ok(match (format, to_file) {
        (Some(Format::Human), _) | (None, false) => PlanFormat::Human,
        (Some(Format::Json), _) | (None, true) => PlanFormat::Json,
        (Some(Format::Dot), _) => PlanFormat::Dot,
        (Some(Format::Mermaid), _) => PlanFormat::Mermaid,
        (Some(Format::Svg), _) => PlanFormat::Svg,
        (Some(Format::Html), _) => PlanFormat::Html,
        (Some(Format::Markdown | Format::Sarif), _) => {
            return Err(Error::usage("a plan is written as human, json, dot, mermaid, svg or html"));
        }
    })
}

/// What is done with a plan besides writing it.
struct PlanRequest<'a> {
    graph: &'a str,
    output: Option<&'a Path>,
    sign: Option<&'a str>,
    signed_by: Option<&'a str>,
}

fn plan(cli: &Cli, locations: &Locations, request: &PlanRequest<'_>, output: &Output) -> Status8 {
    let format = plan_format(cli.global.format, request.output.is_some())?;
    let put = |text: &str, count: usize| -> Result<(), Error> {
        let Some(file) = request.output else {
            output.data(text);
            return Ok(());
        };
        let path = locations.current.join(file);
        std::fs::write(&path, text).map_err(Error::io("write", &path))?;
        output.note(&format!("plan of {} written to {}", counted(count, "action"), file.display()));
        Ok(())
    };
    let file = locations.current.join(request.graph);
    if file.is_file() {
        if request.sign.is_some() {
            return Err(Error::usage_help("a plan is signed when it is made", "name its graph instead of its file"));
        }
        let plan = ops::read_plan_file(locations, &file, request.signed_by)?;
        put(&ops::write_plan(&plan, &Places::default(), format), plan.actions.len())?;
        return Ok(0);
    }
    if request.signed_by.is_some() {
        return Err(Error::usage(format!("`{}` is not a plan file, which alone can be signed", request.graph)));
    }
    if request.sign.is_some() && format != PlanFormat::Json {
        return Err(Error::usage("only a plan written as json is signed: a picture cannot be read back"));
    }
    with_workspace(locations, output, |workspace| {
        let planned = ops::plan(workspace, request.graph, &params(cli)?)?;
        let places = planned.places(&workspace.compiled.program);
        let text = ops::write_plan(&planned.plan, &places, format);
        put(&text, planned.plan.actions.len())?;
        if let (Some(key), Some(file)) = (request.sign, request.output) {
            let path = locations.current.join(file);
            let environment = &locations.environment;
            let signed = ops::sign_plan_file(workspace, &planned.plan, &text, &path, key, environment)?;
            if signed.key_is_new {
                output.note(&format!("made the key `{key}`"));
            }
            output.note(&format!(
                "signed by `{key}` ({}): {}",
                signed.keyid,
                relative(&signed.file, &locations.current)
            ));
        }
        Ok(0)
    })
}

fn run_targets(cli: &Cli, mut locations: Locations, targets: &[String], args: &RunArgs, output: &Output) -> Status8 {
    locations.out.clone_from(&args.out);
    let params = params(cli)?;
    let mut options = options(cli, &locations, args, true)?;
    // A report describes a run, so asking for one makes one.
    let is_plain =
        !output.json && args.report.is_none() && args.trace.is_none() && cli.global.progress != Progress::Json;
    let known = if is_plain {
        ops::answer(&locations, targets, &params, &mut options, clock().as_ref())
    } else {
        ops::Answer::Nothing
    };
    if let ops::Answer::Known(reply) = known {
        print_outputs(&reply, &locations, output);
        output.note(&summary(&reply));
        return Ok(0);
    }
    let context = context(cli, &locations, output)?;
    if let ops::Answer::Behind(behind, others) = known
        && let Some(reply) = ops::run_behind(behind, others, &locations, &params, &options, &context)?
    {
        finish_run(cli, &locations, args, &reply, output)?;
        print_outputs(&reply, &locations, output);
        output.note(&summary(&reply));
        return Ok(status_of(&reply));
    }
    with_workspace(&locations, output, |workspace| {
        let reply = ops::run(workspace, targets, &params, &options, &context)?;
        finish_run(cli, &locations, args, &reply, output)?;
        review::write_trace(&locations, workspace, args, &reply)?;
        if output.json {
            output.data(&format!("{}\n", report_json(&reply)));
        }
        print_outputs(&reply, &locations, output);
        if let Some(line) = checked(&reply) {
            output.note(&line);
        }
        output.note(&summary(&reply));
        Ok(status_of(&reply))
    })
}

/// Where outputs are: each while they are few, else the first and how many more.
fn print_outputs(reply: &RunReply, locations: &Locations, output: &Output) {
    let shown = reply.outputs.len().min(10);
    for path in &reply.outputs[..shown] {
        output.note(&format!("  -> {}", relative(path, &locations.current)));
    }
    if reply.outputs.len() > shown {
        output.note(&format!("  -> and {} more", reply.outputs.len() - shown));
    }
}

/// The exit status of a run.
pub(super) fn status_of(reply: &RunReply) -> u8 {
    match (stopped_by(), reply.error()) {
        (Some(signal), Some(Error::Signal(_))) => ErrorKind::Signal(signal).exit_status(),
        (_, Some(error)) => error.kind().exit_status(),
        (_, None) => 0,
    }
}

/// Writes the report if it was asked for, and what failed with the places where it can be mended.
pub(super) fn finish_run(
    cli: &Cli,
    locations: &Locations,
    args: &RunArgs,
    reply: &RunReply,
    output: &Output,
) -> Result<(), Error> {
    // Lines of progress have shown all that a failure has to say.
    let is_new = matches!(cli.global.progress, Progress::Json | Progress::None);
    for failed in &reply.failures {
        output.failure(failed, is_new);
    }
    let given: Vec<String> = cli.global.params.iter().map(|param| format!(" -p {}", shell::shown(param))).collect();
    let given = given.concat();
    for happened in &reply.to_take_back {
        output.note(&format!("to take `{}` back: partita run {}{given}", happened.addr, shell::shown(&happened.by)));
    }
    if let Some(file) = &args.report {
        let path = locations.current.join(file);
        std::fs::write(&path, format!("{}\n", report_json(reply))).map_err(Error::io("write the report", &path))?;
    }
    if let Some(error @ Error::Differs { .. }) = reply.error() {
        output.complaint(&error.code(), &error.to_string(), None, error.help().as_deref());
    }
    if let Some(error @ (Error::NotCached { .. } | Error::NotRecorded { .. })) = reply.error() {
        let help = match &cli.command {
            Command::Bundle(asked) => {
                format!("run it first, or all in one go: `partita deliver {}`", asked.name.as_deref().unwrap_or("NAME"))
            }
            _ => error.help().unwrap_or_default(),
        };
        output.complaint(&error.code(), &error.to_string(), None, Some(&help));
    }
    Ok(())
}

/// A path as a person in the current directory would write it.
pub(super) fn relative(path: &Path, current: &Path) -> String {
    path.strip_prefix(current).unwrap_or(path).display().to_string()
}

/// Tools of the standard library that `why` shows one by one.
const FEW_TOOLS: usize = 12;

fn why(workspace: &Workspace, addr: &str, run: Option<&str>, output: &Output) -> Status8 {
    let clock = clock();
    let why = ops::why(workspace, addr, run, &clock)?;
    if output.json {
        let object = json!({
            "addr": why.addr, "run": why.run, "outcome": why.outcome, "reason": why.reason, "key": why.key,
            "fields": why.fields, "failure": why.failure,
        });
        output.data(&format!("{object}\n"));
        return Ok(0);
    }
    let mut text = format!("{}: {} in run {}\n  {}\n", why.addr, why.outcome, why.run, ops::describe(&why.reason));
    if let Some(failure) = &why.failure {
        text.push_str(&format!("  {}\n", failure.replace('\n', "\n  ")));
    }
    if let Some(key) = &why.key {
        text.push_str(&format!("key {key}\n"));
    }
    // The shell alone brings fifty tools, of which who asks why wants to hear only that they are there.
    let usual = ops::usual_tools();
    let is_usual = |field: &str| {
        let name = field.strip_prefix("tools.").and_then(|rest| rest.split(':').next());
        name.is_some_and(|name| usual.contains(name))
    };
    let folded = why.fields.iter().filter(|field| is_usual(field)).count();
    let fold = folded > FEW_TOOLS;
    for field in why.fields.iter().filter(|field| !fold || !is_usual(field)) {
        text.push_str(&format!("  {field}\n"));
    }
    if fold {
        text.push_str(&format!("  tools of <std>/posix: {folded}, each with its digest by `--format json`\n"));
    }
    output.bytes(&for_stdout(text.as_bytes()));
    Ok(0)
}

fn runs(workspace: &Workspace, output: &Output) -> Status8 {
    let clock = clock();
    let rows = ops::runs(workspace, &clock)?;
    if rows.is_empty() {
        output.note("nothing has been run in this workspace yet: `partita run GRAPH`");
    }
    for row in rows {
        let counts = row.counts;
        if output.json {
            let object = json!({
                "run": row.id, "started": row.started.to_string(), "target": row.target, "status": row.status.word(),
                "ran": counts.ran, "cached": counts.cached, "cut_off": counts.cut_off, "failed": counts.failed,
                "skipped": counts.skipped, "duration_ms": row.duration_ms,
            });
            output.data(&format!("{object}\n"));
        } else {
            output.data(&format!(
                "{}  {}  {:11}  {}  {} ran, {} cached, {} cut off, {} failed, {} skipped\n",
                row.id,
                row.started,
                row.status.word(),
                row.target,
                counts.ran,
                counts.cached,
                counts.cut_off,
                counts.failed,
                counts.skipped
            ));
        }
    }
    Ok(0)
}

/// What actions printed, each stream to its own, as it was.
fn raw_log(workspace: &Workspace, run: Option<&str>, addr: Option<&str>, output: &Output) -> Status8 {
    if output.json || output.events {
        let other = if output.json { "--format json" } else { "--progress json" };
        return Err(Error::usage_help(
            format!("`--raw` gives bytes as they are, `{other}` a form"),
            "ask for one of them",
        ));
    }
    ops::raw_log(workspace, run, addr, &clock(), &mut |stream, bytes| match stream {
        Stream::Stdout => output.bytes(bytes),
        Stream::Stderr => output.error_bytes(bytes),
    })?;
    Ok(0)
}

fn log(workspace: &Workspace, run: Option<&str>, addr: Option<&str>, output: &Output) -> Status8 {
    let clock = clock();
    let entries = ops::log(workspace, run, addr, &clock)?;
    if entries.is_empty() {
        output.note("no action of this run printed anything");
    }
    for entry in entries {
        if output.json {
            let object = json!({
                "addr": entry.addr, "stdout": String::from_utf8_lossy(&entry.stdout),
                "stderr": String::from_utf8_lossy(&entry.stderr), "failure": entry.failure,
            });
            output.data(&format!("{object}\n"));
            continue;
        }
        output.data(&format!("== {}\n", entry.addr));
        output.bytes(&for_stdout(&entry.stdout));
        output.bytes(&for_stdout(&entry.stderr));
        if let Some(failure) = entry.failure {
            output.bytes(&for_stdout(format!("-- failed: {failure}\n").as_bytes()));
        }
    }
    Ok(0)
}
