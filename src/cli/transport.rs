//! The verbs about bundles that exist: other forms of them, making them again, comparing them. Leaves out
//! the operations.

use std::path::Path;

use serde_json::json;

use crate::base::{ErrorKind, format_bytes};
use crate::cli::args::{Cli, RunOptions as RunArgs};
use crate::cli::bundle_args::{RebuildArgs, TransportArgs};
use crate::cli::bundles::{Chosen, verdict_text};
use crate::cli::commands::{Status8, relative, status_of, with_workspace};
use crate::cli::output::Output;
use crate::cli::running::{context, options, report_json, summary};
use crate::ops::{self, Attest, BuiltFile, BundleReply, Change, Error, Locations, VerifyProblem, VerifyRequest};

/// `diff --exit-code` found changes.
const CHANGED: u8 = 5;

/// Writes the other forms of a bundle.
pub(super) fn other_forms(
    reply: &BundleReply,
    args: TransportArgs,
    locations: &Locations,
    output: &Output,
) -> Result<serde_json::Value, Error> {
    let zip = &reply.built.zip.path;
    let mut written: Vec<BuiltFile> = Vec::new();
    if args.single {
        written.push(ops::pack_single(zip)?);
    }
    if args.zst {
        written.push(ops::compress(zip)?);
    }
    for file in &written {
        output.note(&format!("  as     {} ({})", relative(&file.path, &locations.current), format_bytes(file.size)));
    }
    Ok(written.iter().map(|file| json!({"path": file.path, "size": file.size, "sha256": file.sha256})).collect())
}

/// Where a statement goes and who signs it.
pub(super) fn attest<'a>(file: &'a Path, keys: &'a Path, key: &'a str, locations: &'a Locations) -> Attest<'a> {
    Attest { file, keys, key, environment: &locations.environment }
}

/// Makes a bundle again and compares.
pub(super) fn rebuild(cli: &Cli, locations: &Locations, args: &RebuildArgs, output: &Output) -> Status8 {
    with_workspace(locations, output, |workspace| {
        let file = locations.current.join(&args.file);
        let chosen = Chosen::of(&args.policy, locations);
        let keys = ops::key_dir(workspace);
        let request = VerifyRequest {
            file: &file,
            extracted: None,
            policy: chosen.choice(),
            tenant: locations.tenant.as_deref(),
            own_keys: Some(&keys),
            environment: &locations.environment,
        };
        let judged = match ops::verify(&request)? {
            Ok(judged) => judged,
            Err(VerifyProblem::Policy(errors)) => {
                output.diagnostics(&errors.diagnostics, &errors.sources);
                return Err(Error::Spec);
            }
        };
        if !judged.verdict.accepted() {
            output.note(&verdict_text(&judged.verdict, None));
            return Ok(ErrorKind::CheckFailed.exit_status());
        }
        let context = context(cli, locations, output)?;
        let run = options(cli, locations, &RunArgs { isolation: args.isolation, ..RunArgs::default() }, false)?;
        let reply = ops::rebuild(workspace, &judged.archive, &run, &context)?;
        output.note(&summary(&reply.run));
        if reply.run.error().is_some() {
            return Ok(status_of(&reply.run));
        }
        let reproduced = reply.reproduced();
        if let (Some(vsa), true) = (&args.vsa, reproduced) {
            let path = locations.current.join(vsa);
            let by = (judged.policy.as_str(), judged.policy_sha256.as_str());
            let levels = [ops::BUILD_LEVEL_1, ops::REPRODUCED];
            ops::attest_summary(&reply.inspected, by, true, &levels, &attest(&path, &keys, &args.key, locations))?;
            output.note(&format!("statement {}", relative(&path, &locations.current)));
        }
        if output.json {
            let object = json!({
                "reproduced": reproduced, "sha256": reply.inspected.sha256, "made": reply.sha256,
                "changes": changes_json(&reply.changes), "run": report_json(&reply.run),
            });
            output.data(&format!("{object}\n"));
        } else if reproduced {
            output.data(&format!("reproduced: sha256 {}\n", reply.inspected.sha256));
        } else {
            let made = reply.sha256.as_deref().unwrap_or_default();
            output.data(&format!("NOT reproduced: sha256 {} became {made}\n", reply.inspected.sha256));
            output.data(&changes_text(&reply.changes));
        }
        Ok(if reproduced { 0 } else { ErrorKind::CheckFailed.exit_status() })
    })
}

/// Tells what differs between two bundles.
pub(super) fn diff(locations: &Locations, before: &Path, after: &Path, exit_code: bool, output: &Output) -> Status8 {
    let changes = ops::diff_bundles(&locations.current.join(before), &locations.current.join(after))?;
    if output.json {
        output.data(&format!("{}\n", changes_json(&changes)));
    } else if changes.is_empty() {
        output.data("nothing differs\n");
    } else {
        output.data(&changes_text(&changes));
    }
    Ok(if exit_code && !changes.is_empty() { CHANGED } else { 0 })
}

fn changes_json(changes: &[Change]) -> serde_json::Value {
    changes
        .iter()
        .map(|change| json!({"kind": change.kind, "name": change.name, "before": change.before, "after": change.after}))
        .collect()
}

fn changes_text(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let (kind, name) = (change.kind, &change.name);
        text.push_str(&match (&change.before, &change.after) {
            (None, Some(after)) => format!("+ {kind} {name}: {after}\n"),
            (Some(before), None) => format!("- {kind} {name}: {before}\n"),
            (Some(before), Some(after)) => format!("~ {kind} {name}\n    {before}\n    {after}\n"),
            (None, None) => String::new(),
        });
    }
    text
}
