//! Which changes widen what a plan may do: network, promised contents, effects, isolation, programs,
//! the caller's environment, order that decides. Reductions are changes, but not privileged ones.
//! Leaves out everything else about a change.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::parse_micro_usd;
use crate::lang::{PackageTerms, Terms};
use crate::plan::diff::Change;
use crate::plan::diff_fields::program;
use crate::plan::diff_gates::of_decision;
use crate::plan::{Action, ActionKind, Class, Plan, Privilege, Service, Tool};

/// An action on both sides, with what its privileges depend on.
pub(super) struct Entry<'a> {
    pub(super) old: &'a Action,
    pub(super) new: &'a Action,
    pub(super) old_plan: &'a Plan,
    pub(super) new_plan: &'a Plan,
    pub(super) old_tools: &'a BTreeMap<&'a str, &'a Tool>,
    pub(super) new_tools: &'a BTreeMap<&'a str, &'a Tool>,
}

type Ways = Vec<(Privilege, String)>;

/// What a class that uses the network does not promise.
fn unpinned(class: Class) -> &'static str {
    if class.network() && class != Class::Fixed { ", without a promised digest" } else { "" }
}

/// The ways in which a change of an action widens what it may do.
pub(super) fn of_change(entry: &Entry<'_>, changes: &[Change]) -> Ways {
    let mut ways = Ways::new();
    let (old, new) = (&entry.old.spec, &entry.new.spec);
    // The order of classes is that of what they may do.
    if new.class > old.class {
        let way = if new.class == Class::Effect { Privilege::Effect } else { Privilege::Network };
        let unpinned = unpinned(new.class);
        ways.push((way, format!("class {} -> {}{unpinned}", old.class.word(), new.class.word())));
    }
    if old.class == Class::Fixed && new.class == Class::Fixed {
        for output in &new.outputs {
            let before = old.outputs.iter().find(|known| known.name == output.name).and_then(|known| known.digest);
            if before != output.digest {
                let short = |digest: Option<crate::base::Digest>| digest.map_or("none".to_owned(), |d| d.short());
                let text = format!("digest of `{}` {} -> {}", output.name, short(before), short(output.digest));
                ways.push((Privilege::Pin, text));
            }
        }
    }
    if old.class == new.class
        && matches!(new.class, Class::Volatile | Class::Effect)
        && let Some(change) = changes.iter().find(|change| change.keyed)
    {
        let article = if new.class == Class::Effect { "an" } else { "a" };
        let text = format!("`{}` of {article} {} action changed", change.field, new.class.word());
        ways.push((Privilege::Effect, text));
    }
    if new.isolation < old.isolation {
        let text = format!("isolation {} -> {}", old.isolation.word(), new.isolation.word());
        ways.push((Privilege::Isolation, text));
    }
    let passed = |action: &Action, tools: &BTreeMap<&str, &Tool>| -> Vec<String> {
        passed_by(action, tools).into_iter().map(|(_, variable)| variable).collect()
    };
    let before = passed(entry.old, entry.old_tools);
    for (tool, variable) in passed_by(entry.new, entry.new_tools) {
        // Where the tool itself was changed, the tool is the cause.
        let by_tool = entry.old.spec.tools.contains(&tool) && entry.old_tools.contains_key(tool.as_str());
        if !before.contains(&variable) && !by_tool {
            ways.push((Privilege::PassEnv, format!("`{variable}` reaches it by tool `{tool}`")));
        }
    }
    if changes.iter().any(|change| change.field == "idempotent" && change.after.is_some()) {
        ways.push((Privilege::Effect, "may be done twice".to_owned()));
    }
    if let Some(change) = changes.iter().find(|change| change.field == "rollback")
        && let Some(before) = &change.before
    {
        let text = match &change.after {
            Some(after) => format!("taken back by `{after}`, no longer by `{before}`"),
            None => format!("no longer taken back by `{before}`"),
        };
        ways.push((Privilege::Effect, text));
    }
    ways.extend(of_decision(entry.old, entry.new, changes));
    for change in changes {
        let field = change.field.as_str();
        let none = || "none".to_owned();
        if field == "url" {
            let (before, after) =
                (change.before.clone().unwrap_or_else(none), change.after.clone().unwrap_or_else(none));
            ways.push((Privilege::Network, format!("asks {before} -> {after}")));
        }
        if field == "route" {
            let (before, after) =
                (change.before.clone().unwrap_or_else(none), change.after.clone().unwrap_or_else(none));
            ways.push((Privilege::Route, format!("{before} -> {after}")));
        }
        if let (Some(variable), Some(secret)) = (field.strip_prefix("secrets."), &change.after) {
            ways.push((Privilege::Secret, format!("`{variable}` holds secret `{secret}`")));
        }
        if let Some(service) = change.field.strip_prefix("services.")
            && change.after.is_some()
        {
            ways.push((Privilege::Network, format!("reaches service `{service}`")));
        }
        if let Some(addr) = change.field.strip_prefix("after.")
            && change.after.is_none()
        {
            let decides = |plan: &Plan| plan.find(addr).is_some_and(|id| plan.action(id).spec.outputs.is_empty());
            // A level that is lowered waits for more, by another name.
            let lowered = addr.strip_suffix("/guard/assist").is_some_and(|node| {
                let field = format!("after.{node}/guard/manual");
                changes.iter().any(|change| change.field == field && change.after.is_some())
            });
            if lowered {
                continue;
            }
            if !new.class.is_cached() || decides(entry.old_plan) || decides(entry.new_plan) {
                ways.push((Privilege::Gate, format!("no longer waits for `{addr}`")));
            }
        }
    }
    ways
}

/// The ways in which an action that is new widens what the plan may do.
pub(super) fn of_added(action: &Action, tools: &BTreeMap<&str, &Tool>) -> Ways {
    let mut ways = Ways::new();
    if action.spec.class.network() {
        let class = action.spec.class;
        let way = if class == Class::Effect { Privilege::Effect } else { Privilege::Network };
        ways.push((way, format!("new, class {}{}", class.word(), unpinned(class))));
    }
    if let (false, Some(service)) = (action.spec.class.network(), action.spec.services.first()) {
        ways.push((Privilege::Network, format!("new, reaches service `{service}`")));
    }
    for (tool, variable) in passed_by(action, tools) {
        ways.push((Privilege::PassEnv, format!("new, `{variable}` reaches it by tool `{tool}`")));
    }
    if let Some(route) = &action.route {
        ways.push((Privilege::Route, format!("new, {}", route.describe())));
    }
    for (variable, secret) in &action.spec.secrets {
        ways.push((Privilege::Secret, format!("new, `{variable}` holds secret `{secret}`")));
    }
    ways
}

/// The ways in which changed terms widen the plan: more money, another owner, other sources.
pub(super) fn of_graph(old: &Terms, new: &Terms, changes: &[Change]) -> Ways {
    let mut ways = Ways::new();
    for change in changes {
        let none = || "none".to_owned();
        let (before, after) = (change.before.clone().unwrap_or_else(none), change.after.clone().unwrap_or_else(none));
        let field = change.field.as_str();
        let raised = match field {
            "budget" => old.budget.is_some() && new.budget.is_none_or(|new| old.budget.is_some_and(|old| new > old)),
            "cost" => new.at_most > old.at_most,
            _ => false,
        };
        if raised {
            ways.push((Privilege::Budget, format!("{field} {before} -> {after}")));
        } else if let Some(way) = field.strip_prefix("tenant.").and_then(|term| of_tenant(term, change)) {
            ways.push((way, format!("{field} {before} -> {after}")));
        } else if let Some(name) = field.strip_prefix("package.") {
            ways.extend(of_package(name, old.packages.get(name), new.packages.get(name)));
        } else if let (Some(name), true) = (field.strip_prefix("secret."), change.after.is_some()) {
            ways.push((Privilege::Secret, format!("`{name}` from {before} -> {after}")));
        }
    }
    ways
}

/// Whether a term of the tenant widens what its runs may do, and in which way.
fn of_tenant(term: &str, change: &Change) -> Option<Privilege> {
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    let words = |text: Option<&str>| -> BTreeSet<String> {
        text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    match term {
        // Those of another are other terms altogether.
        "name" => Some(Privilege::Budget),
        // What is not said is not bounded.
        "trust" | "capabilities" => {
            let is_more = before.is_some() && (after.is_none() || !words(after).is_subset(&words(before)));
            is_more.then_some(Privilege::Trust)
        }
        "tiers" => (!words(after).is_subset(&words(before))).then_some(Privilege::Trust),
        "budget" => {
            let amount = |text: &str| -> Option<(u64, String)> {
                let (amount, rest) = text.strip_prefix('$')?.split_once(' ')?;
                Some((parse_micro_usd(amount)?, rest.to_owned()))
            };
            let lowered = match (before.map(amount), after.map(amount)) {
                (None, Some(_)) => true,
                (Some(Some((old, a))), Some(Some((new, b)))) => a == b && new < old,
                _ => false,
            };
            (!lowered).then_some(Privilege::Budget)
        }
        // A limit, or a share: what is not said is no limit.
        _ => {
            let number = |text: Option<&str>| text.map_or(Some(u64::MAX), |text| text.parse().ok());
            let lowered = number(before).zip(number(after)).is_some_and(|(before, after)| after < before);
            (!lowered).then_some(Privilege::Budget)
        }
    }
}

/// The ways in which a package of others is more than it was.
fn of_package(name: &str, old: Option<&PackageTerms>, new: Option<&PackageTerms>) -> Ways {
    let Some(new) = new else { return Ways::new() };
    let Some(old) = old else {
        let grants = if new.grants.is_empty() { "nothing".to_owned() } else { new.grants.join(", ") };
        let text = format!("`{name}` {} from {}, new, granted {grants}", new.version, new.source);
        return vec![(Privilege::Package, text)];
    };
    let mut ways = Ways::new();
    if old.source != new.source {
        ways.push((Privilege::Package, format!("`{name}` from {} -> {}", old.source, new.source)));
    }
    if old.tree != new.tree {
        let short = |tree: &str| tree.chars().take(10).collect::<String>();
        let (before, after) = (short(&old.tree), short(&new.tree));
        let text = format!("`{name}` {} -> {}, content b3:{before} -> b3:{after}", old.version, new.version);
        ways.push((Privilege::Package, text));
    }
    let more: Vec<&str> = new.grants.iter().filter(|grant| !old.grants.contains(grant)).map(String::as_str).collect();
    if !more.is_empty() {
        ways.push((Privilege::Package, format!("`{name}` is granted {}", more.join(", "))));
    }
    ways
}

/// The ways in which tools that the plan did not have widen it.
pub(super) fn of_new_tools(tools: &[&Tool]) -> Ways {
    const SHOWN: usize = 6;
    let mut programs: Vec<String> = tools.iter().take(SHOWN).map(|tool| format!("`{}`", program(tool))).collect();
    if tools.len() > SHOWN {
        programs.push(format!("{} more", tools.len() - SHOWN));
    }
    let mut ways = vec![(Privilege::Tool, format!("new, starts {}", programs.join(", ")))];
    let mut variables: Vec<String> =
        tools.iter().flat_map(|tool| &tool.pass_env).map(|name| format!("`{name}`")).collect();
    variables.sort_unstable();
    variables.dedup();
    if !variables.is_empty() {
        ways.push((Privilege::PassEnv, format!("new, hands {} through", variables.join(", "))));
    }
    ways
}

/// The ways in which a service that the plan did not have widens it: it is a process with the network.
pub(super) fn of_new_service(service: &Service) -> Ways {
    let program = if let ActionKind::Exec { tool, .. } = &service.spec.kind { tool } else { &service.name };
    vec![(Privilege::Network, format!("new, serves by `{program}`"))]
}

/// The ways in which a changed declaration of a service widens the plan.
pub(super) fn of_service(changes: &[Change]) -> Ways {
    let change = changes.iter().find(|change| change.keyed);
    change.map(|change| (Privilege::Effect, format!("`{}` of a service changed", change.field))).into_iter().collect()
}

/// The ways in which a changed declaration of a tool widens the plan.
pub(super) fn of_tool(changes: &[Change]) -> Ways {
    let mut ways = Ways::new();
    for change in changes {
        let none = || "none".to_owned();
        let (before, after) = (change.before.clone().unwrap_or_else(none), change.after.clone().unwrap_or_else(none));
        if let Some(variable) = change.field.strip_prefix("pass-env.") {
            if change.after.is_some() {
                ways.push((Privilege::PassEnv, format!("hands `{variable}` through")));
            }
        } else if let Some(tool) = change.field.strip_prefix("uses.") {
            if change.after.is_some() {
                ways.push((Privilege::Tool, format!("may start `{tool}`")));
            }
        } else if matches!(change.field.as_str(), "exec" | "fingerprint" | "version") {
            ways.push((Privilege::Tool, format!("{} {before} -> {after}", change.field)));
        }
    }
    ways
}

/// Variables that reach an action, with the tool of its own that lets them.
fn passed_by(action: &Action, tools: &BTreeMap<&str, &Tool>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut open: Vec<(&str, &str)> = action.spec.tools.iter().map(|name| (name.as_str(), name.as_str())).collect();
    while let Some((own, name)) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let Some(tool) = tools.get(name) else { continue };
        found.extend(tool.pass_env.iter().map(|variable| (own.to_owned(), variable.clone())));
        open.extend(tool.uses.iter().map(|used| (own, used.as_str())));
    }
    found.sort_unstable();
    found.dedup();
    found
}
