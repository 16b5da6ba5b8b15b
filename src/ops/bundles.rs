//! Bundles: from results to a signed archive, and its verification. Leaves out formats, which are the
//! bundle module's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Environment;
use crate::bundle::{self, Built, Policy, PublicKey, Signer, Verdict, VerifyOptions};
use crate::diag::{Diagnostics, did_you_mean};
use crate::lang::{BundleIr, DeclId, DeclKind, expand_bundle};
use crate::ops::Error;
use crate::ops::check::{Planned, plan, which};
use crate::ops::contents::{Origin, date_of, source_of, spec};
use crate::ops::keys::{DEFAULT_KEY, OpenKey, key_dir, open_signer, public_keys};
use crate::ops::places::SpecPlace;
use crate::ops::ports::notices;
use crate::ops::recheck::refuse_held;
use crate::ops::run::{AGAIN, RunContext, RunOptions, RunReply, Wanted, chosen_outputs, run_all};
use crate::ops::trust::{PolicyChoice, PolicyErrors, ReadPolicy, choose_policy};
use crate::ops::workspace::Workspace;
use crate::store::{LocalStore, StoreOptions};

/// The tenant of workspaces that declare none.
pub const DEFAULT_TENANT: &str = "default";

/// A bundle that was made.
pub struct BundleReply {
    /// Its files.
    pub built: Built,
    /// The run its contents come from.
    pub run: RunReply,
    /// The keys that signed.
    pub keys: Vec<OpenKey>,
    /// Whose it is.
    pub tenant: String,
    /// What its maker should know, as sentences: what is missing in the SBOMs, and patterns without an effect.
    pub notes: Vec<String>,
}

/// Which bundle to make.
pub struct BundleRequest<'a> {
    /// Its name in the specs.
    pub name: &'a str,
    /// Parameters of its graph.
    pub params: &'a BTreeMap<String, String>,
    /// Where it goes.
    pub dir: &'a Path,
    /// The repository the specs are checked out from, and a ref.
    pub source: Option<(&'a str, Option<&'a str>)>,
}

/// Where bundles appear unless asked otherwise.
pub fn default_dir(workspace: &Workspace) -> PathBuf {
    workspace.out.join("bundles")
}

fn find_bundle(workspace: &Workspace, name: &str) -> Result<DeclId, Error> {
    let program = &workspace.compiled.program;
    let bundles = program.root_bundles();
    let names: Vec<&str> = bundles.iter().map(|id| program.bundle(*id).name.value.as_str()).collect();
    bundles.iter().copied().zip(&names).find(|(_, known)| **known == name).map(|(id, _)| id).ok_or_else(|| {
        let help = match did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "the workspace declares no bundle".to_owned(),
            None => format!("bundles: {}", names.join(", ")),
        };
        Error::usage_help(format!("there is no bundle `{name}`"), help)
    })
}

/// The name of the bundle that a request is about; an error that tells which there are if it names none.
pub fn bundle_name<'a>(workspace: &Workspace, name: Option<&'a str>, verb: &str) -> Result<&'a str, Error> {
    if let Some(name) = name {
        return Ok(name);
    }
    let program = &workspace.compiled.program;
    let bundles = program.root_bundles();
    let names: Vec<&str> = bundles.iter().map(|id| program.bundle(*id).name.value.as_str()).collect();
    let done = if verb == "report" { "reported on" } else { "made" };
    Err(Error::usage_help(format!("which bundle is to be {done}?"), which("bundle", verb, &names)))
}

pub(super) fn compile_bundle(
    workspace: &mut Workspace,
    name: &str,
    params: &BTreeMap<String, String>,
) -> Result<(Planned, BundleIr), Error> {
    if workspace.compiled.diagnostics.has_errors() {
        return Err(Error::Spec);
    }
    let id = find_bundle(workspace, name)?;
    let from = workspace.compiled.program.bundle(id).from.value.clone();
    let graph = workspace.compiled.program.lookup(id.file, DeclKind::Graph, &from).ok_or(Error::Spec)?;
    let graph = workspace.compiled.program.graph(graph).group.name.value.clone();
    let planned = plan(workspace, &graph, params)?;
    let mut found = Diagnostics::default();
    let ir = expand_bundle(&workspace.compiled.program, id, &planned.expansion, &mut found);
    workspace.compiled.diagnostics.extend(found);
    Ok((planned, ir.ok_or(Error::Spec)?))
}

/// Runs what a bundle needs (or, with `require_cached`, only looks it up) and makes it. The inner error
/// is a run that did not succeed, which says why.
///
/// Content that turns out lost or damaged when it is read for the archive is made anew: reading it has
/// set it aside, so that the next run misses it.
pub fn make(
    workspace: &mut Workspace,
    request: &BundleRequest<'_>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Result<BundleReply, RunReply>, Error> {
    use bundle::Error::{Content, Missing};
    for _ in 1..AGAIN {
        match make_once(workspace, request, options, context) {
            Err(Error::Lost { .. } | Error::Bundle(Missing { .. } | Content { .. })) => {}
            other => return other,
        }
    }
    make_once(workspace, request, options, context)
}

fn make_once(
    workspace: &mut Workspace,
    request: &BundleRequest<'_>,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Result<BundleReply, RunReply>, Error> {
    let (planned, ir) = compile_bundle(workspace, request.name, request.params)?;
    let wanted = ir.includes.iter().map(|include| (include.action, include.output.clone()));
    let chosen = chosen_outputs(&planned, wanted);
    let date = date_of(&context.environment)?;
    // The key is looked for before anything runs: a missing one should not cost a build.
    let keys = signers(workspace, &ir.keys, &context.environment)?;
    let mut run = RunReply::default();
    let targets = [planned.plan.graph.clone()];
    let wanted = Wanted { planned: &planned, targets: &targets, chosen: &chosen };
    run_all(workspace, &[wanted], options, context, &mut run)?;
    if run.error().is_some() {
        return Ok(Err(run));
    }
    let Some(report) = run.reports.first() else { return Ok(Err(run)) };
    let notify = notices(&context.sink, &context.clock, &report.run);
    let store =
        LocalStore::open(&workspace.store, StoreOptions { notify, ..StoreOptions::new(Arc::clone(&context.clock)) })?;
    refuse_held(&planned.plan, &chosen.outputs, report, &store)?;
    let source = request.source.map(|given| source_of(workspace, given, report, &context.environment)).transpose()?;
    let tenant = tenant_of(&planned);
    let origin = Origin { tenant: tenant.clone(), source, date };
    let (spec, notes) = spec(&ir, &planned.plan, request.params, report, &store, origin)?;
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key.signer.as_ref()).collect();
    let built = bundle::build(&spec, &store, &signers, request.dir)?;
    Ok(Ok(BundleReply { built, run, keys, tenant, notes }))
}

/// The tenant that a plan is bound to.
fn tenant_of(planned: &Planned) -> String {
    planned.plan.terms.tenant.as_ref().map_or_else(|| DEFAULT_TENANT.to_owned(), |tenant| tenant.name.clone())
}

/// The keys that sign: those of the bundle, or `default`, which is made on first use.
fn signers(workspace: &Workspace, names: &[String], environment: &Environment) -> Result<Vec<OpenKey>, Error> {
    let dir = key_dir(workspace);
    if names.is_empty() {
        return Ok(vec![open_signer(&dir, DEFAULT_KEY, environment)?]);
    }
    names.iter().map(|name| open_signer(&dir, name, environment)).collect()
}

/// Why a bundle could not be verified before anything of it was looked at.
pub enum VerifyProblem {
    /// The text of the policy is wrong.
    Policy(PolicyErrors),
}

/// A verdict, and by what it was reached.
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The policy, for people: the name of its file, or that it is the workspace's own keys.
    pub policy: String,
    /// The SHA-256 of the policy's text, or of the key ids where there is none.
    pub policy_sha256: String,
    /// The archive that was judged: the file itself, or what was in it.
    pub archive: PathBuf,
    /// What its reader should know.
    pub note: Option<String>,
    /// Holds the files of a bundle in one for as long as they are needed.
    _unpacked: Option<tempfile::TempDir>,
}

/// What to verify, and by what.
#[derive(Clone, Copy, Debug)]
pub struct VerifyRequest<'a> {
    /// An archive, one compressed, or a bundle in one file.
    pub file: &'a Path,
    /// The folder into which the archive was extracted, to be judged in its place: the file need not exist then.
    pub extracted: Option<&'a Path>,
    /// The policy; without one the bundle must be this workspace's own.
    pub policy: Option<PolicyChoice<'a>>,
    /// Whose it must be; `None`: whoever it says, by what the policy demands of them.
    pub tenant: Option<&'a str>,
    /// The keys of this workspace.
    pub own_keys: Option<&'a Path>,
    /// For where epochs of policies are remembered.
    pub environment: &'a Environment,
}

/// Verifies a bundle by a policy, or as this workspace's own.
pub fn verify(request: &VerifyRequest<'_>) -> Result<Result<Judged, VerifyProblem>, Error> {
    let file = request.file;
    if request.extracted.is_none() {
        // Looked at and not opened: who opens a pipe waits for its writer.
        std::fs::metadata(file).map_err(|error| {
            Error::usage(format!("there is nothing to verify: cannot open `{}`: {error}", file.display()))
        })?;
    }
    let options = VerifyOptions { tenant: request.tenant.map(str::to_owned), ..VerifyOptions::any_tenant() };
    let mut note = None;
    let (judge, name, sha256) = match &request.policy {
        Some(choice) => match choose_policy(choice, request.environment)? {
            Ok((ReadPolicy { policy, files }, forgotten)) => {
                note = forgotten.map(|why| format!("the epoch of the policy cannot be remembered: {why}"));
                let name = choice.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (policy, name, files.get("").cloned().unwrap_or_default())
            }
            Err(errors) => return Ok(Err(VerifyProblem::Policy(errors))),
        },
        None => {
            let keys = request.own_keys.map(public_keys).transpose()?.unwrap_or_default();
            if keys.is_empty() {
                return Err(Error::usage_help(
                    "there is no policy to judge by, and this workspace has no key of its own",
                    "name a policy: `--policy FILE`",
                ));
            }
            let ids: Vec<&str> = keys.values().map(PublicKey::keyid).collect();
            let sha256 = bundle::sha256_hex(ids.join("\n").as_bytes());
            (own_policy(keys, 1), "the keys of the workspace".to_owned(), sha256)
        }
    };
    let (archive, unpacked) = if bundle::is_single(file) {
        let folder = tempfile::tempdir().map_err(Error::io("make a folder for", file))?;
        (bundle::unpack_single(file, folder.path())?, Some(folder))
    } else {
        (file.to_owned(), None)
    };
    let verdict = match request.extracted {
        Some(folder) => bundle::verify_extracted(folder, &archive, &judge, &options),
        None => bundle::verify(&archive, &judge, &options),
    };
    let verdict = verdict.map_err(|error| match &request.policy {
        Some(choice) => Error::Policy { place: place_in(choice.path, &error), error },
        None => error.into(),
    })?;
    Ok(Ok(Judged { verdict, policy: name, policy_sha256: sha256, archive, note, _unpacked: unpacked }))
}

/// The policy of a workspace about its own bundles. A key that is there under two names counts once.
pub(super) fn own_policy(keys: BTreeMap<String, PublicKey>, threshold: usize) -> Policy {
    let mut seen = BTreeSet::new();
    let keys = keys.into_iter().filter(|(_, key)| seen.insert(key.keyid().to_owned())).collect();
    Policy::trusting_any(keys, threshold)
}

/// Verifies a bundle that was just made: all its keys must have signed.
pub fn verify_made(reply: &BundleReply) -> Result<Verdict, Error> {
    let mut keys = BTreeMap::new();
    for key in &reply.keys {
        keys.insert(key.name.clone(), PublicKey::of_signer(key.signer.as_ref())?);
    }
    let threshold = keys.len();
    let policy = own_policy(keys, threshold);
    Ok(bundle::verify(&reply.built.zip.path, &policy, &VerifyOptions::new(&reply.tenant))?)
}

/// Where the archive of a bundle lies once it has been made: its version is the spec's.
pub fn find_archive(
    workspace: &mut Workspace,
    name: &str,
    params: &BTreeMap<String, String>,
    dir: &Path,
) -> Result<PathBuf, Error> {
    let (_, ir) = compile_bundle(workspace, name, params)?;
    let path = dir.join(format!("{}-{}.zip", ir.name, ir.version));
    if path.exists() {
        return Ok(path);
    }
    let help = format!("make it first: `partita deliver {name}`");
    Err(Error::usage_help(format!("there is no bundle at `{}`", path.display()), help))
}

/// The line of a policy that an error is about.
fn place_in(policy: &Path, error: &bundle::Error) -> Option<SpecPlace> {
    let place = error.place()?;
    let column = place.text.chars().take_while(|c| c.is_whitespace()).count() + 1;
    Some(SpecPlace { file: policy.display().to_string(), line: place.line as usize, column })
}
