//! What goes into a bundle, gathered from a plan and its run: files, tools with who supplies them, packages of lock
//! files, inputs, and where the specs come from. Leaves out formats, which are the bundle module's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::base::{Entry, Environment, RelPath};
use crate::bundle::{
    self, BundleFile, BundleSpec, Component, CycloneDx, DEFAULT_EPOCH, Dependency, GateUse, Profile, Role, Served,
    Source, SpecPackage, ToolIdentity, ToolUse, Work, read_lock,
};
use crate::event::Outcome;
use crate::exec::RunReport;
use crate::lang::BundleIr;
use crate::ops::Error;
use crate::ops::machine::packages_of;
use crate::ops::revision::Repository;
use crate::ops::workspace::Workspace;
use crate::plan::{Isolation, Plan, ToolExec};
use crate::store::{Cas, Claims, Found, LocalStore};

/// What a bundle says of where it comes from that is neither in the specs nor in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Whose it is.
    pub(super) tenant: String,
    /// Where the specs lie.
    pub(super) source: Option<Source>,
    /// The date in its documents, in seconds since 1970.
    pub(super) date: u64,
}

/// The date of documents: that of `SOURCE_DATE_EPOCH`, or the one that stands for none.
pub(super) fn date_of(environment: &Environment) -> Result<u64, Error> {
    let Some(value) = environment.get(Environment::SOURCE_DATE_EPOCH) else { return Ok(DEFAULT_EPOCH) };
    value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::usage_help(
            format!("`SOURCE_DATE_EPOCH` is `{}`, which is no date", value.to_string_lossy()),
            "it is a whole number of seconds since 1970: `git log -1 --format=%ct`",
        )
    })
}

/// Where the specs of a run come from: a repository and a ref as they were given, and the commit the workspace is at.
/// Everything that went in must be as it is in that commit.
pub(super) fn source_of(
    workspace: &Workspace,
    given: (&str, Option<&str>),
    report: &RunReport,
    environment: &Environment,
) -> Result<Source, Error> {
    let (repository, reference) = given;
    let around = Repository::around(&workspace.root, environment).map_err(|error| {
        Error::usage_help(error.to_string(), "`--source` names the repository that the workspace is checked out from")
    })?;
    let commit = around.commit("HEAD")?;
    let went_in: BTreeSet<&str> = report.seen.files.keys().map(RelPath::as_str).collect();
    let is_spec = |path: &str| Path::new(path).extension().is_some_and(|end| end == "kdl");
    let changed = around.changed(&commit, None, &|path| went_in.contains(path) || is_spec(path))?;
    if let Some(first) = changed.first() {
        return Err(Error::usage_help(
            format!("`{first}` is not as it is in the commit {commit}, so the bundle does not come from there"),
            "commit first, or leave out `--source`",
        ));
    }
    Ok(Source { repository: repository.to_owned(), reference: reference.map(str::to_owned), commit: Some(commit) })
}

/// Everything a bundle depends on, and what its maker should know of it.
pub(super) fn spec(
    ir: &BundleIr,
    plan: &Plan,
    params: &BTreeMap<String, String>,
    report: &RunReport,
    store: &LocalStore,
    origin: Origin,
) -> Result<(BundleSpec, Vec<String>), Error> {
    let mut notes = Vec::new();
    let mut files = BTreeMap::new();
    let mut roles = BTreeMap::new();
    for include in &ir.includes {
        let addr = &plan.actions[include.action].addr;
        let output = report
            .action(addr)
            .and_then(|action| action.outputs.iter().find(|output| output.name == include.output))
            .ok_or_else(|| Error::Internal(format!("`{addr}` succeeded without its output `{}`", include.output)))?;
        collect(store, &include.to, &output.entry, &mut files)?;
        if let Some(word) = &include.role {
            let role = Role::of_word(word).ok_or_else(|| Error::Internal(format!("there is no role `{word}`")))?;
            let end = if include.dir { "/" } else { "" };
            roles.insert(format!("{}{end}", include.to), role);
        }
    }
    for pattern in &ir.excludes {
        let matcher = matcher(pattern)?;
        let before = files.len();
        files.retain(|path: &RelPath, _| !matcher.is_match(path.as_str()));
        if files.len() == before {
            notes.push(format!("`exclude \"{pattern}\"` leaves out nothing"));
        }
    }
    let (components, open) = components(report, store)?;
    notes.extend(open);
    let tools = tools(plan, report, &origin.tenant);
    let spec = BundleSpec {
        name: ir.name.clone(),
        version: ir.version.clone(),
        tools,
        work: Work { gates: gates(plan, report), served: served(plan) },
        tenant: origin.tenant,
        graph: ir.graph.clone(),
        parameters: params.clone(),
        source: origin.source,
        plan: plan.digest,
        files,
        inputs: report.seen.files.iter().map(|(path, (digest, _))| Dependency::blob(path.as_str(), *digest)).collect(),
        packages: plan
            .terms
            .packages
            .iter()
            .map(|(name, package)| SpecPackage {
                name: name.clone(),
                version: package.version.clone(),
                source: package.source.clone(),
                tree: package.tree.clone(),
                grants: package.grants.clone(),
            })
            .collect(),
        lock: plan.terms.lock.clone(),
        isolation: weakest(report, store)?,
        source_date_epoch: origin.date,
        components,
        profile: Profile {
            level: ir.level,
            roles,
            cyclonedx: ir.cyclonedx.as_deref().and_then(CycloneDx::of_word).unwrap_or_default(),
        },
    };
    for tool in spec.tools.iter().filter(|tool| tool.supplier.is_none()) {
        notes.push(format!("no supplier is known of the tool `{}`: say it, as `tool {0} supplier=\"…\"`", tool.name));
    }
    let without = spec.components.iter().filter(|one| one.supplier.is_none()).count();
    if without > 0 {
        notes.push(format!("no supplier is known of {without} packages that lock files name"));
    }
    Ok((spec, notes))
}

fn matcher(pattern: &str) -> Result<GlobMatcher, Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    // Patterns were checked with the spec.
    Ok(glob.map_err(|error| Error::Internal(error.to_string()))?.compile_matcher())
}

/// The gates of a plan whose actions ended well, by address.
fn gates(plan: &Plan, report: &RunReport) -> Vec<GateUse> {
    let passed = plan.actions.iter().filter_map(|action| {
        let note = action.policy.gate.as_ref()?;
        let ended = report.action(&action.addr)?;
        matches!(ended.outcome, Outcome::Ran | Outcome::Cached | Outcome::CutOff).then(|| GateUse {
            address: action.addr.clone(),
            kind: note.kind.clone(),
            name: note.name.clone(),
        })
    });
    let mut gates: Vec<GateUse> = passed.collect();
    gates.sort();
    gates
}

/// Who was chosen for what, each once with all it serves.
fn served(plan: &Plan) -> Vec<Served> {
    let mut all: Vec<Served> = Vec::new();
    for route in plan.actions.iter().filter_map(|action| action.route.as_ref()) {
        let known = all.iter_mut().find(|one| {
            (&one.agent, &one.capability, &one.chosen, &one.kind, &one.model)
                == (&route.agent, &route.capability, &route.chosen, &route.kind, &route.model)
                && (&one.price, &one.tier) == (&route.price, &route.tier)
        });
        match known {
            Some(known) => {
                known.actions += 1;
                known.at_most = known.at_most.saturating_add(route.at_most);
            }
            None => all.push(Served {
                agent: route.agent.clone(),
                actions: 1,
                // What is paid once in a run is paid with the first.
                at_most: route.at_most.saturating_add(route.once),
                capability: route.capability.clone(),
                chosen: route.chosen.clone(),
                kind: route.kind.clone(),
                model: route.model.clone(),
                price: route.price.clone(),
                tier: route.tier.clone(),
            }),
        }
    }
    all.sort();
    all
}

fn tools(plan: &Plan, report: &RunReport, tenant: &str) -> Vec<ToolUse> {
    let unnamed = plan.tools.iter().filter(|tool| tool.supplier.is_none() && report.tools.contains_key(&tool.name));
    let programs = unnamed.filter_map(|tool| report.seen.programs.get(&tool.name).cloned());
    let packaged = packages_of(Path::new("/"), &programs.collect());
    let used = plan.tools.iter().filter_map(|tool| {
        let identity = report.tools.get(&tool.name)?;
        let package = report.seen.programs.get(&tool.name).and_then(|path| packaged.get(path));
        let (executable, own) = match &tool.exec {
            ToolExec::Lookup(name) => (name.clone(), None),
            // A program of the workspace is its owner's.
            ToolExec::Workspace(path) => (path.as_str().to_owned(), Some(tenant.to_owned())),
        };
        let supplier = tool.supplier.clone().or(own).or_else(|| package.map(|package| package.supplier.clone()));
        let version = identity.fingerprint.clone().or_else(|| package.map(|package| package.version.clone()));
        Some(ToolUse {
            name: tool.name.clone(),
            version: version.unwrap_or_default(),
            supplier,
            executable,
            identity: match identity.fingerprint {
                Some(_) => ToolIdentity::Fingerprint(identity.digest),
                None => ToolIdentity::Executable(identity.digest),
            },
        })
    });
    used.collect()
}

/// The packages of all lock files among the inputs, and what in them names no version.
fn components(report: &RunReport, store: &LocalStore) -> Result<(Vec<Component>, Vec<String>), Error> {
    let mut components: Vec<Component> = Vec::new();
    let mut notes = Vec::new();
    for (path, (digest, _)) in &report.seen.files {
        if read_lock(path.name(), "").is_none() {
            continue;
        }
        let Found::Whole(bytes) = store.get(*digest)? else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let Some(locked) = read_lock(path.name(), &text) else { continue };
        let locked = locked.map_err(|error| match error {
            bundle::Error::Lock { kind, at, why } => bundle::Error::Lock { kind, at: format!("{at} of `{path}`"), why },
            other => other,
        })?;
        if let Some(first) = locked.open.first() {
            let count = locked.open.len();
            notes.push(format!(
                "`{path}` names {count} things without a version, such as `{first}`: no SBOM lists them"
            ));
        }
        components.extend(locked.components);
    }
    components.sort();
    components.dedup();
    Ok((components, notes))
}

/// The weakest isolation that any result of the run was made under. Of several claims that say the same it is
/// not known which was taken, so the weakest counts; what is in overlays counts where there is nothing else.
fn weakest(report: &RunReport, store: &LocalStore) -> Result<Isolation, Error> {
    let mut least: Option<u8> = None;
    for key in report.actions.iter().filter_map(|action| action.key) {
        let mut claims = store.lookup(key)?;
        if claims.iter().any(|claim| claim.overlay.is_empty()) {
            claims.retain(|claim| claim.overlay.is_empty());
        }
        for claim in claims {
            least = Some(least.map_or(claim.isolation, |least| least.min(claim.isolation)));
        }
    }
    Ok(match least {
        Some(2) => Isolation::Full,
        Some(1) => Isolation::Landlock,
        _ => Isolation::None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::ROLES;

    #[test]
    fn the_roles_of_the_language_are_those_of_bundles() {
        assert_eq!(ROLES, Role::ALL.map(Role::word));
    }
}
