//! The verbs about bundles: make, deliver, verify, report. Leaves out the operations.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::base::{ErrorKind, format_bytes, format_duration};
use crate::cli::args::{Cli, RunOptions as RunArgs};
use crate::cli::audit::{audit_json, audit_text, scan};
use crate::cli::bundle_args::{BundleArgs, DeliverArgs, PolicyArgs, ReportArgs, SourceArgs, VerifyArgs};
use crate::cli::commands::{Status8, clock, finish_run, relative, status_of, with_workspace};
use crate::cli::output::Output;
use crate::cli::running::{context, options, params, report_json, summary};
use crate::cli::transport::{attest, other_forms};
use crate::ops::{
    self, BundleReply, BundleRequest, CheckStatus, Error, Locations, PolicyChoice, Verdict, VerifyProblem,
    VerifyRequest, Workspace,
};

/// Makes a bundle of what is known.
pub(super) fn bundle(cli: &Cli, mut locations: Locations, args: &BundleArgs, output: &Output) -> Status8 {
    let run = RunArgs { require_cached: true, ..RunArgs::default() };
    locations.out.clone_from(&run.out);
    with_workspace(&locations, output, |workspace| {
        let asked = Asked {
            name: ops::bundle_name(workspace, args.name.as_deref(), "bundle")?,
            dir: args.output.as_deref(),
            run: &run,
            source: &args.source,
            materialize: false,
        };
        match make(cli, workspace, &locations, &asked, output)? {
            Ok(reply) => {
                let transport = other_forms(&reply, args.transport, &locations, output)?;
                if output.json {
                    let mut object = bundle_json(&reply);
                    object["transport"] = transport;
                    output.data(&format!("{object}\n"));
                }
                output.note(&summary(&reply.run));
                Ok(0)
            }
            Err(status) => Ok(status),
        }
    })
}

/// Runs, bundles, verifies and reports.
pub(super) fn deliver(cli: &Cli, mut locations: Locations, args: &DeliverArgs, output: &Output) -> Status8 {
    locations.out.clone_from(&args.options.out);
    with_workspace(&locations, output, |workspace| {
        let clock = clock();
        let mut steps = Steps { last: clock.elapsed(), clock: clock.as_ref(), total: Vec::new() };
        let asked = Asked {
            name: ops::bundle_name(workspace, args.name.as_deref(), "deliver")?,
            dir: args.output.as_deref(),
            run: &args.options,
            source: &args.source,
            materialize: true,
        };
        let reply = match make(cli, workspace, &locations, &asked, output)? {
            Ok(reply) => reply,
            Err(status) => return Ok(status),
        };
        let run = Duration::from_millis(reply.run.duration_ms);
        steps.done_of("run", run);
        steps.done("bundle", Some(run));
        let transport = other_forms(&reply, args.transport, &locations, output)?;
        let verdict = ops::verify_made(&reply)?;
        let names = reply.keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(" and ");
        let judged_by = format!("the key {names}").replace('`', "");
        let word = if verdict.accepted() { "verified" } else { "REFUSED" };
        output.note(&format!("{word}: {} checks by the key {names}", verdict.checks.len()));
        steps.done("verify", None);
        if !verdict.accepted() {
            output.note(&verdict_text(&verdict, None));
            return Ok(ErrorKind::Signature.exit_status());
        }
        let scanned = match &args.osv_db {
            Some(database) => {
                let state = workspace.state.clone();
                let scanned = scan(&reply.built.zip.path, &args.scan, database, Some(&state), &locations)?;
                output.note(audit_text(&scanned).trim_end());
                steps.done("audit", None);
                Some(scanned)
            }
            None => None,
        };
        let run = reply.run.reports.first().map(|report| report.run.clone());
        let report = ops::report(
            workspace,
            &reply.built.zip.path,
            &verdict,
            &judged_by,
            run.as_deref(),
            scanned.as_ref(),
            &clock,
        )?;
        output.note(&format!("report {}", relative(&report, &locations.current)));
        steps.done("report", None);
        if output.json {
            let mut object = bundle_json(&reply);
            object["report"] = json!(report);
            object["verified"] = json!(verdict.accepted());
            object["transport"] = transport;
            object["steps"] = steps.json();
            object["audit"] = scanned.as_ref().map_or(serde_json::Value::Null, audit_json);
            output.data(&format!("{object}\n"));
        }
        output.note(&format!("delivered in {}", steps.text()));
        output.note(&summary(&reply.run));
        let refused = scanned.is_some_and(|scanned| !scanned.accepted());
        Ok(if refused { ErrorKind::Security.exit_status() } else { 0 })
    })
}

/// The steps of a delivery and how long each took.
struct Steps<'a> {
    clock: &'a dyn crate::base::Clock,
    last: Duration,
    total: Vec<(&'static str, Duration)>,
}

impl Steps<'_> {
    fn done_of(&mut self, name: &'static str, duration: Duration) {
        self.total.push((name, duration));
    }

    /// Ends a step that began where the last one ended, less a part that was counted by itself.
    fn done(&mut self, name: &'static str, less: Option<Duration>) {
        let now = self.clock.elapsed();
        self.done_of(name, now.saturating_sub(self.last).saturating_sub(less.unwrap_or_default()));
        self.last = now;
    }

    fn text(&self) -> String {
        let total: Duration = self.total.iter().map(|(_, duration)| *duration).sum();
        let parts: Vec<String> =
            self.total.iter().map(|(name, duration)| format!("{name} {}", format_duration(*duration))).collect();
        format!("{}: {}", format_duration(total), parts.join(", "))
    }

    fn json(&self) -> serde_json::Value {
        let step = |(name, duration): &(&str, Duration)| json!({"step": name, "ms": duration.as_millis() as u64});
        self.total.iter().map(step).collect()
    }
}

/// What bundle is asked for, and how.
struct Asked<'a> {
    name: &'a str,
    dir: Option<&'a Path>,
    run: &'a RunArgs,
    source: &'a SourceArgs,
    materialize: bool,
}

/// Makes a bundle and says so, or says why not and with which status that ends.
fn make(
    cli: &Cli,
    workspace: &mut Workspace,
    locations: &Locations,
    asked: &Asked<'_>,
    output: &Output,
) -> Result<Result<BundleReply, u8>, Error> {
    let context = context(cli, locations, output)?;
    let dir = asked.dir.map_or_else(|| ops::default_dir(workspace), |dir| locations.current.join(dir));
    let run = options(cli, locations, asked.run, asked.materialize)?;
    let params = params(cli)?;
    let request = BundleRequest { name: asked.name, params: &params, dir: &dir, source: asked.source.given() };
    let reply = match ops::make(workspace, &request, &run, &context)? {
        Ok(reply) => reply,
        Err(run) => {
            finish_run(cli, locations, asked.run, &run, output)?;
            output.text_or("", || json!({"run": report_json(&run)}));
            output.note(&summary(&run));
            return Ok(Err(status_of(&run)));
        }
    };
    finish_run(cli, locations, asked.run, &reply.run, output)?;
    let here = |path: &Path| relative(path, &locations.current);
    for key in reply.keys.iter().filter(|key| key.is_new) {
        output.note(&format!("note: made the key `{}`, whose public half is {}", key.name, here(&key.public)));
    }
    for path in &reply.run.outputs {
        output.note(&format!("  -> {}", here(path)));
    }
    let built = &reply.built;
    let files = if built.files == 1 { "1 file".to_owned() } else { format!("{} files", built.files) };
    output.note(&format!("bundle {} ({files}, {})", here(&built.zip.path), format_bytes(built.zip.size)));
    output.note(&format!("  sha256 {}", built.zip.sha256));
    output.note(&format!("  signed {}", here(&built.intoto.path)));
    for note in &reply.notes {
        output.note(&format!("note: {note}"));
    }
    Ok(Ok(reply))
}

fn bundle_json(reply: &BundleReply) -> serde_json::Value {
    let built = &reply.built;
    json!({
        "bundle": built.zip.path, "size": built.zip.size, "sha256": built.zip.sha256,
        "attestations": built.intoto.path, "sigstore": built.sigstore.path, "files": built.files,
        "keyids": built.keyids, "notes": reply.notes, "run": report_json(&reply.run),
    })
}

/// Writes the report of a bundle that was made.
pub(super) fn report(cli: &Cli, locations: &Locations, args: &ReportArgs, output: &Output) -> Status8 {
    with_workspace(locations, output, |workspace| {
        let dir = args.output.as_ref().map_or_else(|| ops::default_dir(workspace), |dir| locations.current.join(dir));
        let name = ops::bundle_name(workspace, args.name.as_deref(), "report")?;
        let zip = ops::find_archive(workspace, name, &params(cli)?, &dir)?;
        let keys = ops::key_dir(workspace);
        let request = VerifyRequest {
            file: &zip,
            extracted: None,
            policy: None,
            tenant: None,
            own_keys: Some(&keys),
            environment: &locations.environment,
        };
        let verdict = match ops::verify(&request)? {
            Ok(judged) => judged.verdict,
            Err(VerifyProblem::Policy(_)) => return Err(Error::Internal("a policy without a text".to_owned())),
        };
        let by = verdict.facts.as_ref().map_or_else(Vec::new, |facts| facts.signers.clone());
        let judged_by =
            if by.is_empty() { "no key of this workspace".to_owned() } else { format!("the key {}", by.join(" and ")) };
        let path = ops::report(workspace, &zip, &verdict, &judged_by, args.run.as_deref(), None, &clock())?;
        if output.json {
            output.data(&format!("{}\n", json!({"report": path, "verified": verdict.accepted()})));
        } else {
            output.note(&format!("report {}", relative(&path, &locations.current)));
        }
        Ok(if verdict.accepted() { 0 } else { ErrorKind::Report.exit_status() })
    })
}

/// The policy and its keys as paths.
pub(super) struct Chosen {
    policy: Option<PathBuf>,
    keys: Vec<PathBuf>,
    threshold: Option<usize>,
}

impl Chosen {
    pub(super) fn of(args: &PolicyArgs, locations: &Locations) -> Self {
        Self {
            policy: args.policy.as_ref().map(|path| locations.current.join(path)),
            keys: args.policy_key.iter().map(|path| locations.current.join(path)).collect(),
            threshold: args.policy_threshold.map(usize::from),
        }
    }

    pub(super) fn choice(&self) -> Option<PolicyChoice<'_>> {
        let path = self.policy.as_deref()?;
        Some(PolicyChoice { path, keys: &self.keys, threshold: self.threshold })
    }
}

/// Verifies a bundle.
pub(super) fn verify(locations: &Locations, args: &VerifyArgs, output: &Output) -> Status8 {
    let file = locations.current.join(&args.file);
    let extracted = args.extracted.as_ref().map(|folder| locations.current.join(folder));
    let chosen = Chosen::of(&args.policy, locations);
    let own = if chosen.policy.is_none() {
        ops::open(locations).ok().map(|workspace| ops::key_dir(&workspace))
    } else {
        None
    };
    let request = VerifyRequest {
        file: &file,
        extracted: extracted.as_deref(),
        policy: chosen.choice(),
        tenant: locations.tenant.as_deref(),
        own_keys: own.as_deref(),
        environment: &locations.environment,
    };
    match ops::verify(&request)? {
        Ok(judged) => {
            let verdict = &judged.verdict;
            if let Some(note) = &judged.note {
                output.note(&format!("note: {note}"));
            }
            if let Some(vsa) = &args.vsa {
                let workspace = ops::open(locations)?;
                let path = locations.current.join(vsa);
                let keys = ops::key_dir(&workspace);
                let levels = [ops::BUILD_LEVEL_1];
                ops::attest_verified(&judged, &levels, &attest(&path, &keys, &args.key, locations))?;
                output.note(&format!("summary {}", relative(&path, &locations.current)));
            }
            if output.json {
                output.data(&format!("{}\n", verdict_json(verdict)));
            } else {
                let shown = chosen.policy.as_deref().map(|policy| relative(policy, &locations.current));
                output.data(&format!("{}\n", verdict_text(verdict, shown.as_deref())));
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
pub(super) fn verdict_text(verdict: &Verdict, policy: Option<&str>) -> String {
    let mut lines = Vec::new();
    for check in &verdict.checks {
        lines.push(match &check.status {
            CheckStatus::Passed(note) if note.is_empty() => format!("ok       {}", check.name.title()),
            CheckStatus::Passed(note) => format!("ok       {}: {note}", check.name.title()),
            CheckStatus::Refused(refusal) => {
                let policy = policy.unwrap_or("the policy");
                let place = refusal.place.as_ref().map_or(String::new(), |place| {
                    format!("\n         --> {policy}:{}: {}", place.line, place.text.trim())
                });
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
