//! Bundles: from results to a signed archive, and its verification. Leaves out formats, which are the
//! bundle module's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Entry, RelPath};
use crate::bundle::{
    self, Built, BundleFile, BundleSpec, Component, DEFAULT_EPOCH, Dependency, Policy, PrivateKey, PublicKey, Signer,
    ToolIdentity, ToolUse, Verdict, VerifyOptions, parse_cargo_lock, parse_package_lock,
};
use crate::diag::{Diagnostics, did_you_mean};
use crate::exec::RunReport;
use crate::lang::{BundleIr, DeclId, DeclKind, expand_bundle};
use crate::ops::Error;
use crate::ops::check::{Planned, plan};
use crate::ops::places::SpecPlace;
use crate::ops::ports::notices;
use crate::ops::run::{AGAIN, RunContext, RunOptions, RunReply, chosen_outputs, run_one};
use crate::ops::trust::{PolicyErrors, read_policy};
use crate::ops::workspace::Workspace;
use crate::plan::{Isolation, Plan, ToolExec};
use crate::store::{Cas, Found, LocalStore, StoreOptions};

/// The tenant of workspaces that declare none.
pub const DEFAULT_TENANT: &str = "default";
/// The key of bundles that name none.
pub const DEFAULT_KEY: &str = "default";

/// A bundle that was made.
pub struct BundleReply {
    /// Its files.
    pub built: Built,
    /// The run its contents come from.
    pub run: RunReply,
    /// The public key that signed.
    pub key: PathBuf,
    /// Whether that key was made now.
    pub key_is_new: bool,
}

/// Where bundles appear unless asked otherwise.
pub fn default_dir(workspace: &Workspace) -> PathBuf {
    workspace.out.join("bundles")
}

/// The keys of a workspace.
pub fn key_dir(workspace: &Workspace) -> PathBuf {
    workspace.state.join("keys")
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

fn compile_bundle(
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
    name: &str,
    params: &BTreeMap<String, String>,
    dir: &Path,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Result<BundleReply, RunReply>, Error> {
    use bundle::Error::{Content, Missing};
    for _ in 1..AGAIN {
        match make_once(workspace, name, params, dir, options, context) {
            Err(Error::Lost { .. } | Error::Bundle(Missing { .. } | Content { .. })) => {}
            other => return other,
        }
    }
    make_once(workspace, name, params, dir, options, context)
}

fn make_once(
    workspace: &mut Workspace,
    name: &str,
    params: &BTreeMap<String, String>,
    dir: &Path,
    options: &RunOptions,
    context: &RunContext,
) -> Result<Result<BundleReply, RunReply>, Error> {
    let (planned, ir) = compile_bundle(workspace, name, params)?;
    let wanted = ir.includes.iter().map(|include| (include.action, include.output.clone()));
    let chosen = chosen_outputs(&planned, wanted);
    // The key is looked for before anything runs: a missing one should not cost a build.
    let (signer, key, key_is_new) = signer(workspace, ir.key.as_deref())?;
    let mut run = RunReply::default();
    let targets = [planned.plan.graph.clone()];
    run_one(workspace, &planned, &targets, &chosen, options, context, &mut run)?;
    if run.error().is_some() {
        return Ok(Err(run));
    }
    let Some(report) = run.reports.first() else { return Ok(Err(run)) };
    let notify = notices(&context.sink, &context.clock, &report.run);
    let store =
        LocalStore::open(&workspace.store, StoreOptions { notify, ..StoreOptions::new(Arc::clone(&context.clock)) })?;
    let spec = spec(&ir, &planned.plan, report, &store)?;
    let signers: [&dyn Signer; 1] = [&signer];
    let built = bundle::build(&spec, &store, &signers, dir)?;
    Ok(Ok(BundleReply { built, run, key, key_is_new }))
}

/// The private key that signs: the bundle's, or `default`, which is made on first use.
fn signer(workspace: &Workspace, name: Option<&str>) -> Result<(PrivateKey, PathBuf, bool), Error> {
    let dir = key_dir(workspace);
    let name = name.unwrap_or(DEFAULT_KEY);
    let (private, public) = bundle::key_paths(&dir, name);
    let mut made = false;
    if !private.exists() {
        if name != DEFAULT_KEY {
            return Err(Error::KeyMissing { name: name.to_owned(), path: private });
        }
        bundle::generate_key(&dir, name)?;
        made = true;
    }
    Ok((PrivateKey::from_pem_file(&private, None)?, public, made))
}

fn spec(ir: &BundleIr, plan: &Plan, report: &RunReport, store: &LocalStore) -> Result<BundleSpec, Error> {
    let mut files = BTreeMap::new();
    for include in &ir.includes {
        let addr = &plan.actions[include.action].addr;
        let output = report
            .action(addr)
            .and_then(|action| action.outputs.iter().find(|output| output.name == include.output))
            .ok_or_else(|| Error::Internal(format!("`{addr}` succeeded without its output `{}`", include.output)))?;
        collect(store, &include.to, &output.entry, &mut files)?;
    }
    let tools = plan
        .tools
        .iter()
        .filter_map(|tool| {
            let identity = report.tools.get(&tool.name)?;
            let executable = match &tool.exec {
                ToolExec::Lookup(name) => name.clone(),
                ToolExec::Workspace(path) => path.as_str().to_owned(),
            };
            Some(ToolUse {
                name: tool.name.clone(),
                version: identity.fingerprint.clone().unwrap_or_default(),
                supplier: tool.supplier.clone(),
                executable,
                identity: match identity.fingerprint {
                    Some(_) => ToolIdentity::Fingerprint(identity.digest),
                    None => ToolIdentity::Executable(identity.digest),
                },
            })
        })
        .collect();
    let mut components: Vec<Component> = Vec::new();
    for (path, digest) in &report.inputs {
        let parse: fn(&str) -> Result<Vec<Component>, bundle::Error> = match path.name() {
            "Cargo.lock" => parse_cargo_lock,
            "package-lock.json" => parse_package_lock,
            _ => continue,
        };
        if let Found::Whole(bytes) = store.get(*digest)?
            && let Ok(text) = String::from_utf8(bytes)
        {
            components.extend(parse(&text)?);
        }
    }
    components.sort();
    components.dedup();
    Ok(BundleSpec {
        name: ir.name.clone(),
        version: ir.version.clone(),
        tenant: DEFAULT_TENANT.to_owned(),
        graph: ir.graph.clone(),
        source: None,
        plan: plan.digest,
        files,
        tools,
        inputs: report.inputs.iter().map(|(path, digest)| Dependency::blob(path.as_str(), *digest)).collect(),
        isolation: Isolation::None,
        source_date_epoch: DEFAULT_EPOCH,
        components,
    })
}

/// Adds a file, or all files of a folder, to the contents of a bundle.
fn collect(
    store: &LocalStore,
    to: &RelPath,
    entry: &Entry,
    files: &mut BTreeMap<RelPath, BundleFile>,
) -> Result<(), Error> {
    match entry {
        Entry::File { digest, size, exec } => {
            if files.insert(to.clone(), BundleFile { digest: *digest, size: *size, exec: *exec }).is_some() {
                return Err(Error::usage(format!("two outputs put a file at `{to}` of the bundle")));
            }
        }
        Entry::Symlink { .. } => {
            return Err(Error::usage_help(
                format!("`{to}` is a symbolic link, which a bundle cannot hold"),
                "let the action leave a copy instead: `cp -L`",
            ));
        }
        Entry::Dir { digest } => {
            let Found::Whole(tree) = store.get_tree(*digest)? else {
                return Err(Error::Lost { path: to.as_str().into() });
            };
            for (name, entry) in &tree.entries {
                let name = RelPath::new(name).map_err(|error| Error::usage(error.to_string()))?;
                collect(store, &to.join(&name), entry, files)?;
            }
        }
    }
    Ok(())
}

/// Why a bundle could not be verified before anything of it was looked at.
pub enum VerifyProblem {
    /// The text of the policy is wrong.
    Policy(PolicyErrors),
}

/// Verifies a bundle by a policy, or as this workspace's own.
pub fn verify(
    file: &Path,
    policy: Option<&Path>,
    tenant: Option<&str>,
    own_keys: Option<&Path>,
) -> Result<Result<Verdict, VerifyProblem>, Error> {
    let tenant = tenant.unwrap_or(DEFAULT_TENANT);
    let options = VerifyOptions::new(tenant);
    if let Some(path) = policy {
        return Ok(match read_policy(path)? {
            Ok(policy) => {
                let verdict = bundle::verify(file, &policy, &options);
                Ok(verdict.map_err(|error| Error::Policy { place: place_in(path, &error), error })?)
            }
            Err(errors) => Err(VerifyProblem::Policy(errors)),
        });
    }
    let keys = own_keys.map(public_keys).transpose()?.unwrap_or_default();
    if keys.is_empty() {
        return Err(Error::usage_help(
            "there is no policy to judge by, and this workspace has no key of its own",
            "name a policy: `--policy FILE`",
        ));
    }
    let mut last = None;
    for (_, key) in keys {
        let verdict = bundle::verify(file, &Policy::trusting(key, tenant), &options)?;
        if verdict.accepted() {
            return Ok(Ok(verdict));
        }
        last.get_or_insert(verdict);
    }
    last.map(Ok).ok_or_else(|| Error::Internal("no key was tried".to_owned()))
}

/// The line of a policy that an error is about.
fn place_in(policy: &Path, error: &bundle::Error) -> Option<SpecPlace> {
    let place = error.place()?;
    let column = place.text.chars().take_while(|c| c.is_whitespace()).count() + 1;
    Some(SpecPlace { file: policy.display().to_string(), line: place.line as usize, column })
}

/// The public keys in a folder, by name.
pub fn public_keys(dir: &Path) -> Result<BTreeMap<String, PublicKey>, Error> {
    let mut keys = BTreeMap::new();
    for entry in
        walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".pub.pem") {
            keys.insert(name.to_owned(), PublicKey::from_pem_file(entry.path())?);
        }
    }
    Ok(keys)
}
