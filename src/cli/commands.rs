//! One function for each command: call the operation, print the reply. Leaves out the operations.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::base::{Clock, ErrorKind, SystemClock, format_bytes, parse_duration_ms, parse_size_bytes};
use crate::cli::args::{Cli, Command, Format, KeyCommand, RunOptions as RunArgs, StoreCommand};
use crate::cli::output::Output;
use crate::cli::review;
use crate::cli::running::{context, options, params, report_json, stopped_by, summary};
use crate::ops::{
    self, CheckStatus, Error, GcOptions, Locations, PlanFormat, RunReply, Verdict, VerifyProblem, Workspace,
};

type Status8 = Result<u8, Error>;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Runs a command to its exit status.
pub(super) fn run(cli: &Cli, locations: Locations, output: &Output) -> Status8 {
    match &cli.command {
        Command::Init { dir } => init(&locations, dir, output),
        Command::Check { files } => check(&locations, files, output),
        Command::Fmt { files, check } => fmt(&locations, files, *check, output),
        Command::Expand { graph } => with_workspace(&locations, output, |workspace| {
            let text = ops::expand_graph(workspace, graph, &params(cli)?)?;
            output.data(&text);
            Ok(0)
        }),
        Command::Explain { code } => {
            output.data(ops::explain(code)?);
            Ok(0)
        }
        Command::Plan { graph, output: file } => plan(cli, &locations, graph, file.as_deref(), output),
        Command::Diff { before, after, graph, exit_code, full } => {
            let request = ops::DiffRequest {
                before: before.clone(),
                after: after.clone(),
                graph: graph.clone(),
                params: params(cli)?,
            };
            review::diff(&locations, &request, cli.global.format, *exit_code, *full, output)
        }
        Command::Forecast { targets, refresh } => with_workspace(&locations, output, |workspace| {
            review::forecast(cli, &locations, workspace, targets, refresh, output)
        }),
        Command::Run { targets, options: args } => run_targets(cli, locations, targets, args, output),
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
        Command::Log { run, addr } => {
            with_workspace(&locations, output, |workspace| log(workspace, run.as_deref(), addr.as_deref(), output))
        }
        Command::Bundle { name, output: dir } => {
            let args = RunArgs { require_cached: true, ..RunArgs::default() };
            bundle(cli, locations, name, dir.as_deref(), &args, output)
        }
        Command::Deliver { name, output: dir, options: args } => {
            bundle(cli, locations, name, dir.as_deref(), args, output)
        }
        Command::Verify { file, policy, tenant } => {
            verify(&locations, file, policy.as_deref(), tenant.as_deref(), output)
        }
        Command::Key(command) => key(&locations, command, output),
        Command::Store(command) => store(&locations, command, output),
        Command::Doctor => doctor(&locations, output),
    }
}

/// Opens the workspace, and writes what was found in its specs whatever becomes of the command.
fn with_workspace(locations: &Locations, output: &Output, act: impl FnOnce(&mut Workspace) -> Status8) -> Status8 {
    let mut workspace = ops::open(locations)?;
    let result = act(&mut workspace);
    let compiled = &workspace.compiled;
    // A warning is repeated at every command only where the specs are the subject.
    if compiled.diagnostics.has_errors() {
        output.diagnostics(&compiled.diagnostics, &compiled.program.sources);
    }
    result
}

fn init(locations: &Locations, dir: &Path, output: &Output) -> Status8 {
    let file = ops::init(locations, dir)?;
    output.note(&format!("made {}", file.display()));
    output.note("it says at its top what to try next");
    Ok(0)
}

fn check(locations: &Locations, files: &[PathBuf], output: &Output) -> Status8 {
    let compiled = ops::check(locations, files)?;
    output.diagnostics(&compiled.diagnostics, &compiled.program.sources);
    Ok(if compiled.diagnostics.has_errors() { ErrorKind::Spec.exit_status() } else { 0 })
}

fn fmt(locations: &Locations, files: &[PathBuf], check: bool, output: &Output) -> Status8 {
    if let [only] = files
        && only == Path::new("-")
    {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Error::io("read", "standard input"))?;
        return match ops::format_text("<stdin>", &text) {
            Ok(formatted) if check => Ok(if formatted == text { 0 } else { ErrorKind::CheckFailed.exit_status() }),
            Ok(formatted) => {
                output.data(&formatted);
                Ok(0)
            }
            Err((diagnostics, sources)) => {
                output.diagnostics(&diagnostics, &sources);
                Err(Error::Spec)
            }
        };
    }
    let formatted = ops::format_files(locations, files, !check)?;
    for file in &formatted.changed {
        output.note(&format!("{} {}", if check { "not formatted:" } else { "formatted" }, file.display()));
    }
    if formatted.diagnostics.has_errors() {
        output.diagnostics(&formatted.diagnostics, &formatted.sources);
        return Err(Error::Spec);
    }
    Ok(if check && !formatted.changed.is_empty() { ErrorKind::CheckFailed.exit_status() } else { 0 })
}

fn plan(cli: &Cli, locations: &Locations, graph: &str, file: Option<&Path>, output: &Output) -> Status8 {
    with_workspace(locations, output, |workspace| {
        let planned = ops::plan(workspace, graph, &params(cli)?)?;
        let format = match (cli.global.format, file) {
            (Some(Format::Human), _) | (None, None) => PlanFormat::Human,
            (Some(Format::Json), _) | (None, Some(_)) => PlanFormat::Json,
            (Some(Format::Dot), _) => PlanFormat::Dot,
            (Some(Format::Mermaid), _) => PlanFormat::Mermaid,
            (Some(Format::Svg), _) => PlanFormat::Svg,
            (Some(Format::Html), _) => PlanFormat::Html,
            (Some(Format::Markdown | Format::Sarif), _) => {
                return Err(Error::usage("a plan is written as human, json, dot, mermaid, svg or html"));
            }
        };
        let text = ops::write_plan(&planned.plan, format);
        match file {
            Some(file) => {
                let path = locations.current.join(file);
                std::fs::write(&path, text).map_err(Error::io("write", &path))?;
                output.note(&format!("plan of {} actions written to {}", planned.plan.actions.len(), file.display()));
            }
            None => output.data(&text),
        }
        Ok(0)
    })
}

fn run_targets(cli: &Cli, mut locations: Locations, targets: &[String], args: &RunArgs, output: &Output) -> Status8 {
    locations.out.clone_from(&args.out);
    with_workspace(&locations, output, |workspace| {
        let context = context(cli, &locations, output)?;
        let reply = ops::run(workspace, targets, &params(cli)?, &options(cli, args, true)?, &context)?;
        finish_run(&locations, args, &reply, output)?;
        review::write_trace(&locations, workspace, args, &reply)?;
        if output.json {
            output.data(&format!("{}\n", report_json(&reply)));
        }
        let shown = reply.outputs.len().min(10);
        for path in &reply.outputs[..shown] {
            output.note(&format!("  -> {}", relative(path, &locations.current)));
        }
        if reply.outputs.len() > shown {
            output.note(&format!(
                "  -> and {} more under {}",
                reply.outputs.len() - shown,
                relative(&workspace.out, &locations.current)
            ));
        }
        output.note(&summary(&reply));
        Ok(status_of(&reply))
    })
}

fn status_of(reply: &RunReply) -> u8 {
    match (stopped_by(), reply.error()) {
        (Some(signal), Some(Error::Signal(_))) => ErrorKind::Signal(signal).exit_status(),
        (_, Some(error)) => error.kind().exit_status(),
        (_, None) => 0,
    }
}

fn finish_run(locations: &Locations, args: &RunArgs, reply: &RunReply, output: &Output) -> Result<(), Error> {
    if let Some(file) = &args.report {
        let path = locations.current.join(file);
        std::fs::write(&path, format!("{}\n", report_json(reply))).map_err(Error::io("write the report", &path))?;
    }
    if let Some(Error::NotCached { .. }) = reply.error() {
        output.note("some results are not known, and `--require-cached` allows no run");
    }
    Ok(())
}

/// A path as a person in the current directory would write it.
fn relative(path: &Path, current: &Path) -> String {
    path.strip_prefix(current).unwrap_or(path).display().to_string()
}

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
    for field in &why.fields {
        text.push_str(&format!("  {field}\n"));
    }
    output.data(&text);
    Ok(0)
}

fn runs(workspace: &Workspace, output: &Output) -> Status8 {
    let clock = clock();
    for row in ops::runs(workspace, &clock)? {
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
                "{}  {}  {:9}  {}  {} ran, {} cached, {} cut off, {} failed, {} skipped\n",
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

fn log(workspace: &Workspace, run: Option<&str>, addr: Option<&str>, output: &Output) -> Status8 {
    let clock = clock();
    for entry in ops::log(workspace, run, addr, &clock)? {
        if output.json {
            let object = json!({
                "addr": entry.addr, "stdout": String::from_utf8_lossy(&entry.stdout),
                "stderr": String::from_utf8_lossy(&entry.stderr), "failure": entry.failure,
            });
            output.data(&format!("{object}\n"));
            continue;
        }
        output.data(&format!("== {}\n", entry.addr));
        output.bytes(&entry.stdout);
        output.bytes(&entry.stderr);
        if let Some(failure) = entry.failure {
            output.data(&format!("-- failed: {failure}\n"));
        }
    }
    Ok(0)
}

fn bundle(
    cli: &Cli,
    mut locations: Locations,
    name: &str,
    dir: Option<&Path>,
    args: &RunArgs,
    output: &Output,
) -> Status8 {
    locations.out.clone_from(&args.out);
    let deliver = matches!(cli.command, Command::Deliver { .. });
    with_workspace(&locations, output, |workspace| {
        let context = context(cli, &locations, output)?;
        let dir = dir.map_or_else(|| ops::default_dir(workspace), |dir| locations.current.join(dir));
        let made = ops::make(workspace, name, &params(cli)?, &dir, &options(cli, args, deliver)?, &context)?;
        let reply = match made {
            Ok(reply) => reply,
            Err(run) => {
                finish_run(&locations, args, &run, output)?;
                output.note(&summary(&run));
                if !deliver && matches!(run.error(), Some(Error::NotCached { .. })) {
                    output.note(&format!("run it first, or in one go: `partita deliver {name}`"));
                }
                return Ok(status_of(&run));
            }
        };
        finish_run(&locations, args, &reply.run, output)?;
        let here = |path: &Path| relative(path, &locations.current);
        if reply.key_is_new {
            output.note(&format!("note: made the key `default`, whose public half is {}", here(&reply.key)));
        }
        for path in &reply.run.outputs {
            output.note(&format!("  -> {}", here(path)));
        }
        let built = &reply.built;
        output.note(&format!(
            "bundle {} ({} files, {})",
            here(&built.zip.path),
            built.files,
            format_bytes(built.zip.size)
        ));
        output.note(&format!("  sha256 {}", built.zip.sha256));
        output.note(&format!("  signed {}", here(&built.intoto.path)));
        let mut status = 0;
        if deliver {
            let keys = ops::key_dir(workspace);
            match ops::verify(&built.zip.path, None, None, Some(&keys))? {
                Ok(verdict) => {
                    status = if verdict.accepted() { 0 } else { ErrorKind::Signature.exit_status() };
                    let word = if verdict.accepted() { "verified" } else { "REFUSED" };
                    output.note(&format!("{word}: {} checks by the key {}", verdict.checks.len(), here(&reply.key)));
                    if !verdict.accepted() {
                        output.note(&verdict_text(&verdict));
                    }
                }
                Err(VerifyProblem::Policy(_)) => return Err(Error::Internal("a policy without a text".to_owned())),
            }
        }
        if output.json {
            let object = json!({
                "bundle": built.zip.path, "size": built.zip.size, "sha256": built.zip.sha256,
                "attestations": built.intoto.path, "sigstore": built.sigstore.path, "files": built.files,
                "keyids": built.keyids, "run": report_json(&reply.run),
            });
            output.data(&format!("{object}\n"));
        }
        output.note(&summary(&reply.run));
        Ok(status)
    })
}

fn verify(locations: &Locations, file: &Path, policy: Option<&Path>, tenant: Option<&str>, output: &Output) -> Status8 {
    let file = locations.current.join(file);
    let policy = policy.map(|policy| locations.current.join(policy));
    let own = if policy.is_none() { ops::open(locations).ok().map(|workspace| ops::key_dir(&workspace)) } else { None };
    match ops::verify(&file, policy.as_deref(), tenant, own.as_deref())? {
        Ok(verdict) => {
            if output.json {
                output.data(&format!("{}\n", verdict_json(&verdict)));
            } else {
                output.data(&format!("{}\n", verdict_text(&verdict)));
            }
            Ok(if verdict.accepted() { 0 } else { ErrorKind::CheckFailed.exit_status() })
        }
        Err(VerifyProblem::Policy(errors)) => {
            output.diagnostics(&errors.diagnostics, &errors.sources);
            Err(Error::Spec)
        }
    }
}

/// A line for each check, and the line of the policy that refused.
fn verdict_text(verdict: &Verdict) -> String {
    let mut lines = Vec::new();
    for check in &verdict.checks {
        lines.push(match &check.status {
            CheckStatus::Passed(note) if note.is_empty() => format!("ok       {}", check.name.title()),
            CheckStatus::Passed(note) => format!("ok       {}: {note}", check.name.title()),
            CheckStatus::Refused(refusal) => {
                let place = refusal.place.as_ref().map_or(String::new(), |place| format!("\n         policy {place}"));
                format!("REFUSED  {}: {refusal}{place}", check.name.word())
            }
            CheckStatus::Skipped => format!("skipped  {}", check.name.title()),
        });
    }
    lines.push(if verdict.accepted() { "accepted".to_owned() } else { "refused".to_owned() });
    lines.join("\n")
}

fn verdict_json(verdict: &Verdict) -> serde_json::Value {
    let checks: Vec<_> = verdict
        .checks
        .iter()
        .map(|check| match &check.status {
            CheckStatus::Passed(note) => json!({"check": check.name.word(), "status": "ok", "note": note}),
            CheckStatus::Refused(refusal) => json!({
                "check": check.name.word(), "status": "refused", "code": refusal.code.to_string(), "reason": refusal.reason,
                "policy_line": refusal.place.as_ref().map(|place| place.line),
            }),
            CheckStatus::Skipped => json!({"check": check.name.word(), "status": "skipped"}),
        })
        .collect();
    let facts = verdict.facts.as_ref().map(|facts| {
        json!({
            "name": facts.name, "version": facts.version, "tenant": facts.tenant, "graph": facts.graph,
            "plan": facts.plan, "builders": facts.builders, "signers": facts.signers,
            "predicates": facts.predicates, "sha256": facts.sha256,
        })
    });
    json!({"accepted": verdict.accepted(), "checks": checks, "facts": facts})
}

fn key(locations: &Locations, command: &KeyCommand, output: &Output) -> Status8 {
    let dir = |out: Option<&PathBuf>| match out {
        Some(out) => Ok(locations.current.join(out)),
        None => ops::open(locations).map(|workspace| ops::key_dir(&workspace)),
    };
    match command {
        KeyCommand::Generate { name, out } => {
            let files = ops::generate_key(&dir(out.as_ref())?, name)?;
            output.note(&format!("private {}", relative(&files.private, &locations.current)));
            output.note(&format!("public  {}", relative(&files.public, &locations.current)));
            output.note(&format!("keyid   {}", files.key.keyid()));
            Ok(0)
        }
        KeyCommand::Show { name } => {
            let dir = dir(None)?;
            let keys = ops::public_keys(&dir)?;
            let shown: Vec<_> =
                keys.iter().filter(|(known, _)| name.as_ref().is_none_or(|name| name == *known)).collect();
            if let (Some(name), true) = (name, shown.is_empty()) {
                return Err(Error::KeyMissing { name: name.clone(), path: dir.join(format!("{name}.pub.pem")) });
            }
            for (name, key) in shown {
                if output.json {
                    let object = json!({"name": name, "keyid": key.keyid(), "algorithm": key.algorithm().word(), "pem": key.to_pem()});
                    output.data(&format!("{object}\n"));
                } else {
                    output.data(&format!("{name}  {}  {}\n{}", key.algorithm().word(), key.keyid(), key.to_pem()));
                }
            }
            Ok(0)
        }
    }
}

fn store(locations: &Locations, command: &StoreCommand, output: &Output) -> Status8 {
    let dir = ops::store_dir(locations)?;
    let store = ops::open_store(&dir, clock())?;
    match command {
        StoreCommand::Stat => {
            let stat = store.stat()?;
            if output.json {
                let object = json!({
                    "dir": dir, "objects": stat.objects, "bytes": stat.bytes, "claims": stat.claims,
                    "quarantined": stat.quarantined, "quarantined_bytes": stat.quarantined_bytes,
                });
                output.data(&format!("{object}\n"));
            } else {
                output.data(&format!("store {}\n", dir.display()));
                output.data(&format!("  objects      {} ({})\n", stat.objects, format_bytes(stat.bytes)));
                output.data(&format!("  results      {}\n", stat.claims));
                output.data(&format!(
                    "  quarantined  {} ({})\n",
                    stat.quarantined,
                    format_bytes(stat.quarantined_bytes)
                ));
            }
            Ok(0)
        }
        StoreCommand::Verify => {
            let report = store.verify()?;
            let sound = report.is_sound();
            if output.json {
                let object = json!({
                    "sound": sound, "objects": report.objects, "bytes": report.bytes, "claims": report.claims,
                    "corrupt": report.corrupt.iter().map(|d| d.hex()).collect::<Vec<_>>(), "strays": report.strays,
                    "claims_dropped": report.claims_dropped,
                    "missing": report.missing.iter().map(|d| d.hex()).collect::<Vec<_>>(),
                    "orphans_removed": report.orphans_removed,
                });
                output.data(&format!("{object}\n"));
            } else {
                output.data(&format!(
                    "read {} objects ({}) and {} results: {}\n",
                    report.objects,
                    format_bytes(report.bytes),
                    report.claims,
                    if sound { "all sound" } else { "NOT sound" }
                ));
                for digest in &report.corrupt {
                    output.data(&format!("  corrupt, now in quarantine: b3:{digest}\n"));
                }
                for name in &report.strays {
                    output.data(&format!("  not ours, now in quarantine: {name}\n"));
                }
                for digest in &report.missing {
                    output.data(&format!("  missing: b3:{digest}\n"));
                }
                if report.claims_dropped > 0 {
                    output.data(&format!(
                        "  {} results dropped; they are made anew when needed\n",
                        report.claims_dropped
                    ));
                }
            }
            Ok(if sound { 0 } else { ErrorKind::CheckFailed.exit_status() })
        }
        StoreCommand::Gc { max_age, max_size, dry_run } => {
            let bad = |what: &str, text: &str, example: &str| {
                Error::usage_help(format!("`{text}` is not a {what}"), format!("write it as {example}"))
            };
            let age = max_age
                .as_ref()
                .map(|text| parse_duration_ms(text).ok_or_else(|| bad("duration", text, "`30d` or `12h`")))
                .transpose()?;
            let size = max_size
                .as_ref()
                .map(|text| parse_size_bytes(text).ok_or_else(|| bad("size", text, "`10GiB`")))
                .transpose()?;
            let options = GcOptions {
                max_age: age.map(Duration::from_millis),
                max_bytes: size,
                roots: Vec::new(),
                dry_run: *dry_run,
            };
            let report = store.gc(&options)?;
            if output.json {
                let object = json!({
                    "dry_run": dry_run, "claims": report.claims, "objects": report.objects, "bytes": report.bytes,
                    "leftovers": report.leftovers, "kept_objects": report.kept_objects,
                    "kept_bytes": report.kept_bytes, "kept_claims": report.kept_claims,
                });
                output.data(&format!("{object}\n"));
            } else {
                let verb = if *dry_run { "would remove" } else { "removed" };
                output.data(&format!(
                    "{verb} {} results, {} objects ({}) and {} leftovers\n",
                    report.claims,
                    report.objects,
                    format_bytes(report.bytes),
                    report.leftovers
                ));
                output.data(&format!(
                    "kept {} results and {} objects ({})\n",
                    report.kept_claims,
                    report.kept_objects,
                    format_bytes(report.kept_bytes)
                ));
            }
            Ok(0)
        }
    }
}

fn doctor(locations: &Locations, output: &Output) -> Status8 {
    let workspace = ops::open(locations).ok();
    let store = workspace.as_ref().map(|w| w.store.clone()).or_else(|| ops::store_dir(locations).ok());
    let state = workspace.as_ref().map(|w| w.state.as_path());
    let findings = ops::doctor(store.as_deref(), state, &locations.environment);
    let bad = findings.iter().any(|finding| finding.health == ops::Health::Bad);
    for finding in &findings {
        let word = match finding.health {
            ops::Health::Good => "ok",
            ops::Health::Less => "less",
            ops::Health::Bad => "BAD",
        };
        if output.json {
            let object = json!({"what": finding.what, "health": word.to_lowercase(), "seen": finding.seen});
            output.data(&format!("{object}\n"));
        } else {
            output.data(&format!("{word:5} {:11} {}\n", finding.what, finding.seen));
        }
    }
    if workspace.is_none() && std::io::stderr().is_terminal() {
        output.note("not in a workspace, so its state directory was not looked at");
    }
    Ok(if bad { ErrorKind::CheckFailed.exit_status() } else { 0 })
}
