//! Making a bundle again from what its provenance says, and comparing: nothing of the store is believed,
//! every step is run. Also what differs between two bundles. Leaves out who trusts the answer.

use std::path::Path;
use std::sync::Arc;

use crate::bundle::{Change, Inspected, Parts, build_archive, inspect, read_manifest};
use crate::ops::Error;
use crate::ops::bundles::compile_bundle;
use crate::ops::contents::{Origin, spec};
use crate::ops::run::{RunContext, RunOptions, RunReply, Wanted, chosen_outputs, run_all};
use crate::ops::workspace::Workspace;
use crate::store::{LocalStore, StoreOptions};

/// What came of making a bundle again.
pub struct RebuildReply {
    /// What the bundle says.
    pub inspected: Inspected,
    /// The SHA-256 of what was made; `None` if the run did not succeed.
    pub sha256: Option<String>,
    /// What differs: from the bundle to what was made. May be empty although the archives differ.
    pub changes: Vec<Change>,
    /// The run.
    pub run: RunReply,
}

impl RebuildReply {
    /// Whether the archive came out the same, byte for byte.
    pub fn reproduced(&self) -> bool {
        self.sha256.as_deref() == Some(&self.inspected.sha256)
    }
}

/// Makes the bundle of an archive again, in an empty store. The specs of the workspace must be those it was
/// made from: their plan, with the parameters of the provenance, must have the same digest.
pub fn rebuild(
    workspace: &mut Workspace,
    zip: &Path,
    options: &RunOptions,
    context: &RunContext,
) -> Result<RebuildReply, Error> {
    let inspected = inspect(zip)?;
    let manifest = &inspected.manifest;
    let (planned, ir) = compile_bundle(workspace, &manifest.name, &inspected.parameters)?;
    let plan = planned.plan.digest.hex();
    if plan != manifest.plan_hash || ir.version != manifest.version {
        let help = match &inspected.source {
            Some((repository, Some(reference))) => format!("its specs are those of {repository} at {reference}"),
            _ => "take the specs it was made from, at the same commit".to_owned(),
        };
        let message = format!(
            "the specs here are not those of `{}` {}: their plan is {plan}, the bundle's was {}",
            manifest.name, manifest.version, manifest.plan_hash
        );
        return Err(Error::usage_help(message, help));
    }
    let scratch = tempfile::tempdir().map_err(Error::io("make a temporary folder for", zip))?;
    let mut apart = workspace.clone();
    apart.excluded.extend([workspace.store.clone(), workspace.state.clone(), workspace.out.clone()]);
    apart.store = scratch.path().join("store");
    apart.state = scratch.path().join("state");
    apart.out = scratch.path().join("out");
    let wanted = ir.includes.iter().map(|include| (include.action, include.output.clone()));
    let chosen = chosen_outputs(&planned, wanted);
    let mut run = RunReply::default();
    let options = RunOptions { require_cached: false, materialize: false, ..options.clone() };
    let targets = std::slice::from_ref(&planned.plan.graph);
    let wanted = Wanted { planned: &planned, targets, chosen: &chosen };
    run_all(&apart, &[wanted], &options, context, &mut run)?;
    let mut reply = RebuildReply { inspected, sha256: None, changes: Vec::new(), run };
    if reply.run.error().is_some() {
        return Ok(reply);
    }
    let Some(report) = reply.run.reports.first() else { return Ok(reply) };
    let store = LocalStore::open(&apart.store, StoreOptions::new(Arc::clone(&context.clock)))?;
    // The date is whatever it was; the source is in no archive.
    let origin = Origin { tenant: reply.inspected.manifest.tenant.clone(), source: None, date: reply.inspected.date };
    let (spec, _) = spec(&ir, &planned.plan, &reply.inspected.parameters, report, &store, origin)?;
    let built = build_archive(&spec, &store, &scratch.path().join("bundle"))?;
    if built.sha256 != reply.inspected.sha256 {
        let made = Parts::of_spec(&spec, &read_manifest(&built.path)?, &reply.inspected.builder);
        reply.changes = Parts::of(&reply.inspected).changes(&made);
    }
    reply.sha256 = Some(built.sha256);
    Ok(reply)
}

/// What differs between two bundles. Neither is verified.
pub fn diff_bundles(before: &Path, after: &Path) -> Result<Vec<Change>, Error> {
    Ok(Parts::of(&inspect(before)?).changes(&Parts::of(&inspect(after)?)))
}
