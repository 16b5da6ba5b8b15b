//! The commands that make, judge and sign bundles. Leaves out the other commands.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::{ErrorKind, format_bytes};
use crate::cli::args::{Cli, Command, KeyCommand, RunOptions as RunArgs};
use crate::cli::commands::{Status8, finish_run, relative, status_of, with_workspace};
use crate::cli::output::Output;
use crate::cli::running::{context, options, params, report_json, summary};
use crate::ops::{self, CheckStatus, Error, Locations, Verdict, VerifyProblem};

pub(super) fn bundle(
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
                finish_run(cli, &locations, args, &run, output)?;
                output.text_or("", || json!({"run": report_json(&run)}));
                output.note(&summary(&run));
                return Ok(status_of(&run));
            }
        };
        finish_run(cli, &locations, args, &reply.run, output)?;
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
                        output.note(&verdict_text(&verdict, None));
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

pub(super) fn verify(
    locations: &Locations,
    file: &Path,
    policy: Option<&Path>,
    tenant: Option<&str>,
    output: &Output,
) -> Status8 {
    let file = locations.current.join(file);
    let policy = policy.map(|policy| locations.current.join(policy));
    let own = if policy.is_none() { ops::open(locations).ok().map(|workspace| ops::key_dir(&workspace)) } else { None };
    match ops::verify(&file, policy.as_deref(), tenant, own.as_deref())? {
        Ok(verdict) => {
            if output.json {
                output.data(&format!("{}\n", verdict_json(&verdict)));
            } else {
                let shown = policy.as_deref().map(|policy| relative(policy, &locations.current));
                output.data(&format!("{}\n", verdict_text(&verdict, shown.as_deref())));
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
fn verdict_text(verdict: &Verdict, policy: Option<&str>) -> String {
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

pub(super) fn key(locations: &Locations, command: &KeyCommand, output: &Output) -> Status8 {
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
            output.text_or(
                "",
                || json!({"name": name, "private": files.private, "public": files.public, "keyid": files.key.keyid()}),
            );
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
