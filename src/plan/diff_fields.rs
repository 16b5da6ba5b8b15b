//! Which fields of two actions, tools or graphs differ, and how they are written for people. Leaves
//! out which actions are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{format_duration, format_micro_usd};
use crate::lang::Route;
use crate::plan::diff::Change;
use crate::plan::{
    Action, ActionKind, Automation, GateNote, GateSubject, InputSource, Output, Plan, Policy, Predicate, RenderValue,
    Service, Tool, ToolExec,
};

/// What comparing two actions needs of the plans around them.
pub(super) struct Context<'a> {
    pub(super) old: &'a Plan,
    pub(super) new: &'a Plan,
    pub(super) old_tools: &'a BTreeMap<&'a str, &'a Tool>,
    pub(super) new_tools: &'a BTreeMap<&'a str, &'a Tool>,
    /// The address that a moved action has now.
    pub(super) now_at: &'a BTreeMap<&'a str, &'a str>,
}

/// Whether producers have to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// What is taken in is the same, whatever its address is.
    Same,
    /// It may come from others.
    Compare,
}

/// Gathers changes.
#[derive(Default)]
struct Sink(Vec<Change>);

impl Sink {
    fn put(&mut self, field: impl Into<String>, keyed: bool, before: Option<String>, after: Option<String>) {
        if before != after {
            self.0.push(Change { field: field.into(), before, after, keyed });
        }
    }

    /// Members of two maps by name.
    fn maps<V>(
        &mut self,
        field: &str,
        keyed: bool,
        before: &BTreeMap<String, V>,
        after: &BTreeMap<String, V>,
        show: impl Fn(&V) -> String,
    ) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            self.put(format!("{field}.{name}"), keyed, before.get(name).map(&show), after.get(name).map(&show));
        }
    }

    /// Names that are in one of two lists only.
    fn sets(&mut self, field: &str, keyed: bool, before: &[String], after: &[String], word: &str) {
        let names: BTreeSet<&String> = before.iter().chain(after).collect();
        for name in names {
            let shown = |list: &[String]| list.contains(name).then(|| word.to_owned());
            self.put(format!("{field}.{name}"), keyed, shown(before), shown(after));
        }
    }

    /// The part of two lists between what is equal at both ends. Positions count from 1.
    fn lists(&mut self, field: &str, before: &[String], after: &[String], between: &str) {
        if before == after {
            return;
        }
        let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let rest = before.len().min(after.len()) - head;
        let tail = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
        let show = |all: &[String]| {
            let part = &all[head..all.len() - tail];
            (!part.is_empty()).then(|| part.join(between))
        };
        let longest = before.len().max(after.len()) - tail;
        let range = if longest == head + 1 { format!("{longest}") } else { format!("{}..{longest}", head + 1) };
        self.put(format!("{field}[{range}]"), true, show(before), show(after));
    }
}

/// The fields in which an action differs itself. An action that differs only through the tools it
/// names or through what it takes in gives none.
pub(super) fn action_changes(
    context: &Context<'_>,
    old: &Action,
    new: &Action,
    def_differs: bool,
    wire: Wire,
) -> Vec<Change> {
    let mut sink = Sink::default();
    if def_differs {
        definition(context, old, new, &mut sink);
    }
    if def_differs || wire == Wire::Compare {
        inputs(context, old, new, &mut sink);
    }
    policy(context, old, new, &mut sink);
    sink.0
}

fn definition(context: &Context<'_>, old: &Action, new: &Action, sink: &mut Sink) {
    let (a, b) = (&old.spec, &new.spec);
    sink.put("class", true, Some(a.class.word().to_owned()), Some(b.class.word().to_owned()));
    sink.put("isolation", true, Some(a.isolation.word().to_owned()), Some(b.isolation.word().to_owned()));
    body(context, &a.kind, &b.kind, sink);
    sink.put("cwd", true, a.cwd.as_ref().map(ToString::to_string), b.cwd.as_ref().map(ToString::to_string));
    sink.maps("env", true, &a.env, &b.env, |value| quoted(value));
    sink.maps("secrets", true, &a.secrets, &b.secrets, Clone::clone);
    let by_name = |outputs: &[Output]| -> BTreeMap<String, Output> {
        outputs.iter().map(|output| (output.name.clone(), output.clone())).collect()
    };
    sink.maps("outputs", true, &by_name(&a.outputs), &by_name(&b.outputs), |output| {
        let digest = output.digest.map_or(String::new(), |digest| format!(", b3:{digest}"));
        format!("{} {}{digest}", output.kind.word(), output.path)
    });
    let fits = |plan: &Plan, outputs: &[Output]| -> BTreeMap<String, String> {
        let fits = |output: &Output| Some((output.name.clone(), schema_of(plan, output)?));
        outputs.iter().filter_map(fits).collect()
    };
    sink.maps("schemas", true, &fits(context.old, &a.outputs), &fits(context.new, &b.outputs), Clone::clone);
    tools(context, &a.tools, &b.tools, sink);
    sink.put("take", true, a.take.map(|take| take.to_string()), b.take.map(|take| take.to_string()));
    sink.sets("services", true, &a.services, &b.services, "used");
}

/// The schema that an output must fit: where it lies, and which it is.
fn schema_of(plan: &Plan, output: &Output) -> Option<String> {
    let digest = output.schema?;
    let path = plan.schemas.get(&digest).map_or("?", |schema| schema.path.as_str());
    Some(format!("{path} b3:{digest}"))
}

fn body(context: &Context<'_>, old: &ActionKind, new: &ActionKind, sink: &mut Sink) {
    match (old, new) {
        (ActionKind::Exec { tool: old_tool, args: old_args }, ActionKind::Exec { tool, args }) => {
            if !same_tool(context, old_tool, tool) {
                sink.put("tool", true, Some(old_tool.clone()), Some(tool.clone()));
            }
            let shown = |args: &[String]| args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>();
            if old_args != args {
                sink.lists("args", &shown(old_args), &shown(args), " ");
            }
        }
        (ActionKind::Copy { from: old }, ActionKind::Copy { from: new }) => {
            sink.put("from", true, Some(old.to_string()), Some(new.to_string()));
        }
        (ActionKind::Write { text: old }, ActionKind::Write { text: new }) => {
            let lines = |text: &str| text.split('\n').map(str::to_owned).collect::<Vec<_>>();
            sink.lists("text", &lines(old), &lines(new), "\n");
        }
        (
            ActionKind::Render { template: old, vars: old_vars },
            ActionKind::Render { template: new, vars: new_vars },
        ) => {
            sink.put("template", true, Some(old.to_string()), Some(new.to_string()));
            sink.maps("vars", true, old_vars, new_vars, variable);
        }
        (ActionKind::MergeJson { from: old }, ActionKind::MergeJson { from: new }) => {
            let paths = |from: &[crate::base::RelPath]| from.iter().map(ToString::to_string).collect::<Vec<_>>();
            sink.lists("merge", &paths(old), &paths(new), " ");
        }
        (
            ActionKind::Request { prompt: old, vars: old_vars, facts: old_facts },
            ActionKind::Request { prompt: new, vars: new_vars, facts: new_facts },
        ) => {
            let lines = |text: &Option<String>| -> Vec<String> {
                text.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect()
            };
            sink.lists("prompt", &lines(old), &lines(new), "\n");
            sink.maps("vars", true, old_vars, new_vars, variable);
            sink.put("facts", true, Some(old_facts.clone()), Some(new_facts.clone()));
        }
        (ActionKind::Gate { subjects: old_subjects, require: old }, ActionKind::Gate { subjects, require: new }) => {
            let subjects_of = |all: &[GateSubject]| -> BTreeMap<String, String> {
                all.iter().map(|subject| (subject.name.clone(), subject.reads.word().to_owned())).collect()
            };
            sink.maps("subjects", true, &subjects_of(old_subjects), &subjects_of(subjects), Clone::clone);
            let shown = |all: &[Predicate]| all.iter().map(Predicate::shown).collect::<Vec<_>>();
            sink.lists("require", &shown(old), &shown(new), "; ");
        }
        (ActionKind::Http(old), ActionKind::Http(new)) => {
            sink.put("url", true, Some(old.url.clone()), Some(new.url.clone()));
            sink.put("model", true, Some(old.model.clone()), Some(new.model.clone()));
            sink.maps("headers", true, &old.headers, &new.headers, |value| quoted(value));
            sink.put("http", true, Some(old.shown()), Some(new.shown()));
        }
        (ActionKind::Sbom(old), ActionKind::Sbom(new)) => {
            sink.put("sbom", true, Some(old.shown()), Some(new.shown()));
        }
        (ActionKind::Approval(old), ActionKind::Approval(new)) => {
            sink.put("approval", true, Some(old.shown()), Some(new.shown()));
        }
        (old, new) => sink.put("kind", true, Some(brief(old)), Some(brief(new))),
    }
}

/// Whether two names stand for the same declaration: a tool's name is not what it is.
fn same_tool(context: &Context<'_>, old: &str, new: &str) -> bool {
    if old == new {
        return true;
    }
    let pair = context.old_tools.get(old).zip(context.new_tools.get(new));
    pair.is_some_and(|(a, b)| (&a.exec, &a.fingerprint, &a.version) == (&b.exec, &b.fingerprint, &b.version))
}

fn tools(context: &Context<'_>, old: &[String], new: &[String], sink: &mut Sink) {
    let gone: Vec<&String> = old.iter().filter(|name| !new.contains(name)).collect();
    let fresh: Vec<&String> = new.iter().filter(|name| !old.contains(name)).collect();
    for name in &gone {
        if !fresh.iter().any(|other| same_tool(context, name, other)) {
            sink.put(format!("tools.{name}"), true, Some("used".to_owned()), None);
        }
    }
    for name in &fresh {
        if !gone.iter().any(|other| same_tool(context, other, name)) {
            sink.put(format!("tools.{name}"), true, None, Some("used".to_owned()));
        }
    }
}

/// What an action takes in, by where it is staged.
fn taken<'a>(
    plan: &'a Plan,
    action: &'a Action,
    now_at: Option<&BTreeMap<&str, &str>>,
) -> BTreeMap<&'a str, Vec<String>> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for input in &action.spec.inputs {
        match &input.source {
            InputSource::Workspace { pattern, optional } => {
                let text = if *optional { "workspace files, optional" } else { "workspace files" };
                all.entry(pattern).or_default().push(text.to_owned());
            }
            InputSource::Output { action, output, select } => {
                let addr = plan.action(*action).addr.as_str();
                let addr = now_at.and_then(|map| map.get(addr)).copied().unwrap_or(addr);
                let select = select.as_ref().map_or(String::new(), |select| format!(" [{select}]"));
                let at = input.dest.as_ref().map_or(".", |dest| dest.as_str());
                all.entry(at).or_default().push(format!("{addr}.{output}{select}"));
            }
        }
    }
    for values in all.values_mut() {
        values.sort_unstable();
    }
    all
}

fn inputs(context: &Context<'_>, old: &Action, new: &Action, sink: &mut Sink) {
    let mut before = taken(context.old, old, Some(context.now_at));
    let mut after = taken(context.new, new, None);
    let places: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for place in places {
        let mut old = before.remove(place).unwrap_or_default();
        let mut new = after.remove(place).unwrap_or_default();
        if old == new {
            continue;
        }
        let kept = old.clone();
        old.retain(|value| !new.contains(value));
        new.retain(|value| !kept.contains(value));
        let longest = old.len().max(new.len());
        for index in 0..longest {
            sink.put(format!("inputs.{place}"), true, old.get(index).cloned(), new.get(index).cloned());
        }
    }
}

fn policy(context: &Context<'_>, old: &Action, new: &Action, sink: &mut Sink) {
    let duration = |ms: Option<u64>| ms.map(|ms| format_duration(Duration::from_millis(ms)));
    let (a, b) = (&old.policy, &new.policy);
    if a.timeout_ms != b.timeout_ms {
        sink.put("timeout", false, duration(a.timeout_ms), duration(b.timeout_ms));
    }
    let whole = |policy: &Policy| duration(policy.node_timeout.as_ref().map(|whole| whole.ms));
    if whole(a) != whole(b) {
        sink.put("node_timeout", false, whole(a), whole(b));
    }
    if a.retry != b.retry {
        let describe = |retry: &Option<crate::plan::Retry>| retry.as_ref().map(crate::plan::Retry::describe);
        sink.put("retry", false, describe(&a.retry), describe(&b.retry));
    }
    let price = |policy: &Policy| {
        let price = policy.price?;
        let usd = format_micro_usd;
        Some(format!("${} given, ${} made, for {} tokens", usd(price.input), usd(price.output), price.tokens))
    };
    sink.put("price", false, price(a), price(b));
    let flag = |policy: &Policy| policy.idempotent.then(|| "yes".to_owned());
    sink.put("idempotent", false, flag(a), flag(b));
    let now_at =
        |addr: &String| context.now_at.get(addr.as_str()).map_or_else(|| addr.clone(), |addr| (*addr).to_owned());
    sink.put("rollback", false, a.rollback.as_ref().map(now_at), b.rollback.clone());
    sink.maps("limits", true, &old.spec.limits, &new.spec.limits, ToString::to_string);
    if a.holds != b.holds {
        let pools = |needs: &[crate::plan::ResourceNeed]| -> BTreeMap<String, u64> {
            needs.iter().map(|need| (need.pool.clone(), need.amount)).collect()
        };
        sink.maps("holds", false, &pools(&a.holds), &pools(&b.holds), ToString::to_string);
    }
    if old.route != new.route {
        let served = |route: &Option<Route>| route.as_ref().map(Route::describe);
        sink.put("route", false, served(&old.route), served(&new.route));
        let rejected = |route: &Option<Route>| -> BTreeMap<String, String> {
            let all = route.iter().flat_map(|route| &route.rejected);
            all.map(|item| (item.candidate.clone(), format!("not chosen: {}", item.why))).collect()
        };
        sink.maps("route", false, &rejected(&old.route), &rejected(&new.route), Clone::clone);
    }
    let level = |automation: Option<Automation>| automation.map(|level| level.word().to_owned());
    sink.put("automation", false, level(a.automation), level(b.automation));
    let note = |gate: &Option<GateNote>| {
        gate.as_ref().map(|gate| format!("{} kind={} concern={}", gate.name, gate.kind, gate.concern.word()))
    };
    sink.put("gate", false, note(&a.gate), note(&b.gate));
    let messages = |gate: &Option<GateNote>| {
        let all = gate.iter().flat_map(|gate| gate.messages.iter().flatten());
        Some(all.map(String::as_str).collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
    };
    sink.put("gate.messages", false, messages(&a.gate), messages(&b.gate));
    if old.after.is_empty() && new.after.is_empty() {
        return;
    }
    let moved = |addr: &'_ str| context.now_at.get(addr).copied().unwrap_or(addr).to_owned();
    let before: BTreeSet<String> = old.after.iter().map(|id| moved(&context.old.action(*id).addr)).collect();
    let after: BTreeSet<String> = new.after.iter().map(|id| context.new.action(*id).addr.clone()).collect();
    for addr in before.symmetric_difference(&after) {
        let shown = |set: &BTreeSet<String>| set.contains(addr).then(|| "waits".to_owned());
        sink.put(format!("after.{addr}"), false, shown(&before), shown(&after));
    }
}

/// The fields in which the declaration of a tool differs.
pub(super) fn tool_changes(old: &Tool, new: &Tool) -> Vec<Change> {
    let mut sink = Sink::default();
    sink.put("exec", true, Some(program(old)), Some(program(new)));
    let fingerprint = |tool: &Tool| {
        tool.fingerprint.as_ref().map(|args| args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" "))
    };
    sink.put("fingerprint", true, fingerprint(old), fingerprint(new));
    sink.put("version", true, old.version.clone(), new.version.clone());
    sink.sets("uses", true, &old.uses, &new.uses, "used");
    sink.sets("pass-env", false, &old.pass_env, &new.pass_env, "handed through");
    sink.put("supplier", false, old.supplier.clone(), new.supplier.clone());
    sink.0
}

/// The fields in which the declaration of a service differs.
pub(super) fn service_changes(context: &Context<'_>, old: &Service, new: &Service) -> Vec<Change> {
    // A process like that of an action, with more around it.
    let process = |service: &Service| Action {
        addr: service.name.clone(),
        spec: service.spec.clone(),
        policy: Policy::default(),
        def: service.def,
        skey: service.def,
        after: Vec::new(),
        route: None,
    };
    let mut sink = Sink(action_changes(context, &process(old), &process(new), true, Wire::Compare));
    let ports = |service: &Service| -> BTreeMap<String, String> {
        service.ports.iter().map(|port| (port.name.clone(), port.scheme.clone())).collect()
    };
    sink.maps("ports", true, &ports(old), &ports(new), Clone::clone);
    sink.put("ready", true, Some(old.ready.describe()), Some(new.ready.describe()));
    let within = |service: &Service| Some(format_duration(Duration::from_millis(service.within_ms)));
    sink.put("within", false, within(old), within(new));
    sink.0
}

/// Where the executable of a tool comes from.
pub(super) fn program(tool: &Tool) -> String {
    match &tool.exec {
        ToolExec::Lookup(name) => name.clone(),
        ToolExec::Workspace(path) => format!("./{path}"),
    }
}

/// The fields in which graphs differ besides their actions.
pub(super) fn graph_changes(old: &Plan, new: &Plan) -> Vec<Change> {
    let mut sink = Sink::default();
    let limit = |plan: &Plan| plan.concurrency.map(|limit| limit.to_string());
    sink.put("concurrency", false, limit(old), limit(new));
    sink.maps("resource", false, &old.pools, &new.pools, ToString::to_string);
    let facts = |plan: &Plan| -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let terms = &plan.terms;
        if let Some(tenant) = &terms.tenant {
            facts.insert("name".to_owned(), tenant.name.clone());
            facts.insert("tiers".to_owned(), tenant.tiers.join(" "));
            facts.insert("weight".to_owned(), tenant.weight.to_string());
            facts.extend(tenant.trust.iter().map(|all| ("trust".to_owned(), all.join(" "))));
            facts.extend(tenant.capabilities.iter().map(|all| ("capabilities".to_owned(), all.join(" "))));
            facts.extend(tenant.budget.iter().map(|budget| ("budget".to_owned(), budget.clone())));
            facts.extend(tenant.quota.iter().map(|(name, limit)| (name.clone(), limit.to_string())));
        }
        facts
    };
    sink.maps("tenant", false, &facts(old), &facts(new), Clone::clone);
    let usd = |amount: Option<u64>| amount.map(|amount| format!("${}", format_micro_usd(amount)));
    sink.put("budget", false, usd(old.terms.budget), usd(new.terms.budget));
    sink.put("cost", false, usd(Some(old.terms.at_most)), usd(Some(new.terms.at_most)));
    sink.maps("secret", false, &old.terms.secrets, &new.terms.secrets, |secret| {
        format!("{} {}", secret.from, secret.key)
    });
    sink.maps("package", false, &old.terms.packages, &new.terms.packages, |package| {
        let grants =
            if package.grants.is_empty() { String::new() } else { format!(", may {}", package.grants.join(" ")) };
        let tree: String = package.tree.chars().take(10).collect();
        format!("{} {} b3:{tree}{grants}", package.version, package.source)
    });
    sink.put("lock", false, old.terms.lock.clone(), new.terms.lock.clone());
    let (a, b) = (&old.policies, &new.policies);
    sink.put("schedule", false, Some(a.schedule.word().to_owned()), Some(b.schedule.word().to_owned()));
    let cancel = |policies: &crate::plan::Policies| policies.cancel.map(|cancel| cancel.word().to_owned());
    sink.put("cancel", false, cancel(a), cancel(b));
    let number = |count: Option<u32>| count.map(|count| count.to_string());
    sink.put("breaker", false, number(a.breaker), number(b.breaker));
    let duration = |ms: Option<u64>| ms.map(|ms| format_duration(Duration::from_millis(ms)));
    sink.put("deadline", false, duration(a.deadline_ms), duration(b.deadline_ms));
    if old.graph != new.graph {
        sink.put("name", false, Some(old.graph.clone()), Some(new.graph.clone()));
    }
    sink.0
}

fn variable(value: &RenderValue) -> String {
    match value {
        RenderValue::Text(text) => quoted(text),
        RenderValue::List(items) => {
            format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
        }
        RenderValue::File(path) => format!("text of {path}"),
        RenderValue::Json(path) => format!("JSON of {path}"),
    }
}

fn brief(kind: &ActionKind) -> String {
    let what = match kind {
        ActionKind::Exec { tool, args } => {
            format!("{tool} {}", args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" "))
        }
        ActionKind::Copy { from } => from.to_string(),
        ActionKind::Write { text } => format!("{text:?}"),
        ActionKind::Render { template, .. } => template.to_string(),
        ActionKind::Request { prompt, .. } => format!("{} bytes", prompt.as_ref().map_or(0, String::len)),
        ActionKind::MergeJson { from } => from.iter().map(crate::base::RelPath::as_str).collect::<Vec<_>>().join(" "),
        ActionKind::Gate { require, .. } => require.iter().map(Predicate::shown).collect::<Vec<_>>().join("; "),
        ActionKind::Http(ask) => ask.shown(),
        ActionKind::Sbom(sbom) => sbom.shown(),
        ActionKind::Approval(approval) => approval.shown(),
    };
    format!("{} {what}", kind.versioned())
}

/// A text as it is where that cannot be misread, else in quotes.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%*".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}
