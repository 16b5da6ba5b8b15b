//! What a graph is bound to besides its actions: its tenant, budgets, the bound of its cost, and where
//! its secrets are. Leaves out whether the bound is kept: see `route`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::format_micro_usd;
use crate::lang::Lock;
use crate::lang::ast::{GraphDecl, Name};
use crate::lang::ir::ActionIr;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::route::{PackageTerms, SecretTerms, TenantTerms, Terms};

pub(super) fn terms(
    program: &Program,
    home: FileId,
    tenant: Option<DeclId>,
    graph: &GraphDecl,
    actions: &[ActionIr],
) -> Terms {
    let mut at_most = 0_u64;
    let mut once: BTreeSet<(&str, u64)> = BTreeSet::new();
    for route in actions.iter().filter_map(|action| action.route.as_ref()) {
        at_most = at_most.saturating_add(route.at_most);
        if route.once > 0 {
            once.insert((&route.chosen, route.once));
        }
    }
    at_most = once.into_iter().fold(at_most, |sum, (_, usd)| sum.saturating_add(usd));
    // Capabilities by the names they were declared with: those of imports depend on aliases.
    let declared = |name: &Name| {
        let found = tenant.and_then(|id| program.lookup(id.file, DeclKind::Capability, &name.value));
        found.map_or_else(|| name.value.clone(), |id| program.plan_name(home, DeclKind::Capability, id))
    };
    let written = |name: &Name| name.value.clone();
    let name = tenant.map_or_else(String::new, |id| program.plan_name(home, DeclKind::Tenant, id));
    let tenant = tenant.map(|id| program.tenant(id));
    let used: BTreeSet<&String> = actions.iter().flat_map(|action| action.secrets.values()).collect();
    let secrets = tenant
        .iter()
        .flat_map(|tenant| &tenant.secrets)
        .filter(|secret| used.contains(&secret.name.value))
        .map(|secret| {
            let terms = SecretTerms { from: secret.from.clone(), key: secret.key.value.clone() };
            (secret.name.value.clone(), terms)
        })
        .collect();
    let tenant = tenant.map(|decl| {
        let quota = &decl.quota;
        let limits = [
            ("jobs", quota.jobs),
            ("runtime_ms", quota.runtime_ms),
            ("artifacts", quota.artifacts),
            ("work_items", quota.work_items),
            ("cpu", quota.cpu),
            ("memory", quota.memory),
        ];
        let quota: BTreeMap<String, u64> =
            limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?))).collect();
        let budget = decl.budget.as_ref().map(|budget| {
            format!("${} per {}, then {}", format_micro_usd(budget.usd.value), budget.per, budget.on_exceed)
        });
        let tiers = decl
            .allow_tier
            .as_ref()
            .map_or_else(|| vec!["primary".to_owned()], |tiers| tiers.iter().map(|tier| tier.value.clone()).collect());
        let names = |all: &Option<Vec<Name>>, told: &dyn Fn(&Name) -> String| {
            let mut names: Vec<String> = all.as_ref()?.iter().map(told).collect();
            names.sort_unstable();
            names.dedup();
            Some(names)
        };
        let trust = names(&decl.trust, &written);
        let capabilities = names(&decl.allow_capability, &declared);
        TenantTerms { name, budget, tiers, trust, capabilities, quota, weight: decl.weight }
    });
    let (packages, lock) = packages(program);
    let budget = graph.budget.as_ref().map(|money| money.value);
    Terms { tenant, budget, at_most, secrets, packages, lock }
}

/// Packages of others that the program rests on, and the digest that stands for all of them.
fn packages(program: &Program) -> (BTreeMap<String, PackageTerms>, Option<String>) {
    let locked = program.packages.iter().filter_map(|package| Some((package, package.locked.as_ref()?)));
    let mut lock = Lock::default();
    let mut packages = BTreeMap::new();
    for (package, locked) in locked {
        lock.packages.push(locked.clone());
        let terms = PackageTerms {
            version: locked.version.to_string(),
            source: locked.source.to_string(),
            tree: locked.tree.hex(),
            grants: package.granted.iter().map(|power| power.word().to_owned()).collect(),
        };
        packages.insert(locked.name.clone(), terms);
    }
    lock.packages.sort();
    let root = (!lock.packages.is_empty()).then(|| lock.root().hex());
    (packages, root)
}
