//! Plans as text for people, as DOT and as Mermaid. Leaves out the exchange form: see `file`.

use std::fmt::Write;

use crate::base::{RelPath, format_duration, format_micro_usd};
use crate::plan::{Action, ActionKind, Input, InputSource, Plan, Predicate};

/// A plan for people: a line for each action, then what it takes and leaves.
pub fn to_text(plan: &Plan) -> String {
    let mut out = format!("plan of graph `{}`: {} actions, b3:{}\n", plan.graph, plan.actions.len(), plan.digest);
    terms(&mut out, plan);
    for (pool, capacity) in &plan.pools {
        let _ = writeln!(out, "resource {pool}: {capacity}");
    }
    let policies = &plan.policies;
    if policies.schedule != crate::plan::Schedule::default() {
        let _ = writeln!(out, "schedule {}", policies.schedule.word());
    }
    if let Some(cancel) = policies.cancel {
        let _ = writeln!(out, "cancel {}", cancel.word());
    }
    if let Some(failures) = policies.breaker {
        let _ = writeln!(out, "breaker after {failures} failures in a row");
    }
    if let Some(ms) = policies.deadline_ms {
        let _ = writeln!(out, "deadline {}", format_duration(std::time::Duration::from_millis(ms)));
    }
    for service in &plan.services {
        let _ = writeln!(out, "\nservice {}  {}", service.name, service.def.short());
        let _ = writeln!(out, "    {}", body(&service.spec.kind));
        for (name, value) in &service.spec.env {
            let _ = writeln!(out, "    env {name}={value:?}");
        }
        inputs(&mut out, plan, &service.spec.inputs);
        for port in &service.ports {
            let _ = writeln!(out, "    port {} ({})", port.name, port.scheme);
        }
        let within = format_duration(std::time::Duration::from_millis(service.within_ms));
        let _ = writeln!(out, "    ready: {}, within {within}", service.ready.describe());
    }
    for action in &plan.actions {
        let _ = writeln!(out, "\n{}  {}  {}", action.addr, action.spec.kind.versioned(), action.def.short());
        let _ = writeln!(out, "    {}", body(&action.spec.kind));
        for (name, value) in &action.spec.env {
            let _ = writeln!(out, "    env {name}={value:?}");
        }
        for (name, secret) in &action.spec.secrets {
            let _ = writeln!(out, "    env {name}=secret {secret}");
        }
        inputs(&mut out, plan, &action.spec.inputs);
        for output in &action.spec.outputs {
            let name = if output.name == output.path.as_str() { String::new() } else { format!("{} = ", output.name) };
            let schema = output.schema.and_then(|digest| plan.schemas.get(&digest));
            let fits = schema.map_or(String::new(), |schema| format!(", fits {}", schema.path));
            let _ = writeln!(out, "    -> {name}{} ({}{fits})", output.path, output.kind.word());
        }
        if !action.spec.services.is_empty() {
            let _ = writeln!(out, "    uses {}", action.spec.services.join(", "));
        }
        for id in &action.after {
            let _ = writeln!(out, "    after {}", plan.action(*id).addr);
        }
        if let Some(rollback) = &action.policy.rollback {
            let _ = writeln!(out, "    rollback {rollback}");
        }
        if let Some(route) = &action.route {
            let what = route.capability.as_ref().map_or(String::new(), |capability| format!(" {capability}"));
            let by = route.agent.as_ref().map_or(String::new(), |agent| format!(" for {agent}"));
            let _ = writeln!(out, "    route{what}{by}: {}; {}", route.describe(), route.price);
            if let Some(first) = &route.coalesced {
                let _ = writeln!(out, "        together with {first}");
            }
            if let Some(estimate) = &route.estimate {
                let _ = writeln!(
                    out,
                    "        complexity {}: about {} tokens, ${}, {} h",
                    estimate.complexity,
                    estimate.tokens,
                    format_micro_usd(estimate.micro_usd),
                    estimate.hours
                );
            }
            for rejected in &route.rejected {
                let _ = writeln!(out, "        not {}: {} ({})", rejected.candidate, rejected.why, rejected.code);
            }
        }
        let mut policy = Vec::new();
        if action.spec.class.word() != "pure" {
            policy.push(format!("class {}", action.spec.class.word()));
        }
        policy.extend(action.spec.take.map(|take| format!("take {take}")));
        policy.extend(action.policy.idempotent.then(|| "idempotent".to_owned()));
        if let Some(ms) = action.policy.timeout_ms {
            policy.push(format!("timeout {}", format_duration(std::time::Duration::from_millis(ms))));
        }
        if let Some(whole) = &action.policy.node_timeout {
            let most = format_duration(std::time::Duration::from_millis(whole.ms));
            policy.push(format!("timeout of {} {most}", whole.node));
        }
        policy.extend(action.spec.limits.iter().map(|(name, most)| format!("at most {most} {name}")));
        policy.extend(action.policy.retry.as_ref().map(|retry| format!("retry {}", retry.describe())));
        policy.extend(action.policy.holds.iter().map(|need| format!("holds {} of {}", need.amount, need.pool)));
        policy.extend(action.policy.automation.map(|level| format!("automation {}", level.word())));
        policy.extend(action.policy.gate.as_ref().map(|gate| format!("gate {} kind={}", gate.name, gate.kind)));
        if !policy.is_empty() {
            let _ = writeln!(out, "    {}", policy.join("; "));
        }
    }
    out
}

/// Who owns the plan, what it may cost, and where secrets are.
fn terms(out: &mut String, plan: &Plan) {
    let terms = &plan.terms;
    for (name, package) in &terms.packages {
        let grants =
            if package.grants.is_empty() { String::new() } else { format!(", may {}", package.grants.join(" ")) };
        let _ =
            writeln!(out, "package {name} {} from {}, b3:{}{grants}", package.version, package.source, package.tree);
    }
    if let Some(tenant) = &terms.tenant {
        let budget = tenant.budget.as_ref().map_or(String::new(), |budget| format!(", budget {budget}"));
        let _ = writeln!(out, "tenant {}{budget}, tiers {}", tenant.name, tenant.tiers.join(" "));
        for (name, limit) in &tenant.quota {
            let _ = writeln!(out, "quota {name}: {limit}");
        }
    }
    if let Some(budget) = terms.budget {
        let _ = writeln!(out, "budget: ${}", format_micro_usd(budget));
    }
    if plan.actions.iter().any(|action| action.route.is_some()) {
        let _ = writeln!(out, "cost: at most ${}", format_micro_usd(terms.at_most));
    }
    for (name, secret) in &terms.secrets {
        let _ = writeln!(out, "secret {name}: {} {}", secret.from, secret.key);
    }
}

fn inputs(out: &mut String, plan: &Plan, inputs: &[Input]) {
    for input in inputs {
        let _ = match &input.source {
            InputSource::Workspace { pattern, .. } => writeln!(out, "    <- {pattern}"),
            InputSource::Output { action, output, select } => {
                let place = input.dest.as_ref().map_or(".", |dest| dest.as_str());
                let select = select.as_ref().map_or(String::new(), |select| format!(" [{select}]"));
                writeln!(out, "    <- {place} = {}.{output}{select}", plan.action(*action).addr)
            }
        };
    }
}

fn body(kind: &ActionKind) -> String {
    match kind {
        ActionKind::Exec { tool, args } => {
            let args: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
            format!("$ {tool} {}", args.join(" ")).trim_end().to_owned()
        }
        ActionKind::Copy { from } => format!("copy {from}"),
        ActionKind::Write { text } => format!("write {text:?}"),
        ActionKind::Render { template, vars } => {
            format!("render {template} with {}", vars.keys().cloned().collect::<Vec<_>>().join(", "))
        }
        ActionKind::Request { prompt, vars, .. } => {
            let prompt = prompt.as_ref().map_or(0, String::len);
            format!(
                "request with a prompt of {prompt} bytes and {}",
                vars.keys().cloned().collect::<Vec<_>>().join(", ")
            )
        }
        ActionKind::MergeJson { from } => {
            format!("merge-json {}", from.iter().map(RelPath::as_str).collect::<Vec<_>>().join(" "))
        }
        ActionKind::Gate { require, .. } => {
            format!("requires {}", require.iter().map(Predicate::shown).collect::<Vec<_>>().join("; "))
        }
        ActionKind::Http(ask) => ask.shown(),
        ActionKind::Sbom(sbom) => format!("inventory of {}", sbom.shown()),
        ActionKind::Approval(approval) => format!("waits for {}", approval.shown()),
    }
}

/// An argument as one would type it.
fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) { arg.to_owned() } else { format!("'{}'", arg.replace('\'', "'\\''")) }
}

/// A plan as a DOT graph.
pub fn to_dot(plan: &Plan) -> String {
    let mut out =
        format!("digraph {} {{\n    rankdir=LR;\n    node [shape=box, fontname=\"sans-serif\"];\n", json(&plan.graph));
    for action in &plan.actions {
        let short = action.addr.strip_prefix(&format!("{}/", plan.graph)).unwrap_or(&action.addr);
        let _ = writeln!(out, "    {} [label={}];", json(&action.addr), json(short));
    }
    for action in &plan.actions {
        for (from, label) in edges(plan, action) {
            let style = if label.is_none() { " [style=dashed]".to_owned() } else { String::new() };
            let _ = writeln!(out, "    {} -> {}{style};", json(from), json(&action.addr));
        }
    }
    for (number, service) in plan.services.iter().enumerate() {
        let _ = writeln!(out, "    \"service {number}\" [label={}, shape=ellipse];", json(&service.name));
        for action in plan.actions.iter().filter(|action| action.spec.services.contains(&service.name)) {
            let _ = writeln!(out, "    \"service {number}\" -> {} [style=dotted];", json(&action.addr));
        }
    }
    out.push_str("}\n");
    out
}

/// A plan as a Mermaid flowchart.
pub fn to_mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart LR\n");
    for (id, action) in plan.iter() {
        let short = action.addr.strip_prefix(&format!("{}/", plan.graph)).unwrap_or(&action.addr);
        let _ = writeln!(out, "    a{}[\"{}\"]", id.0, short.replace('"', "#quot;"));
    }
    for (id, action) in plan.iter() {
        for (from, label) in edges(plan, action) {
            let from = plan.find(from).map_or(0, |id| id.0);
            let _ = writeln!(out, "    a{from} {} a{}", if label.is_some() { "-->" } else { "-.->" }, id.0);
        }
    }
    for (number, service) in plan.services.iter().enumerate() {
        let _ = writeln!(out, "    s{number}([\"{}\"])", service.name.replace('"', "#quot;"));
        for (id, _) in plan.iter().filter(|(_, action)| action.spec.services.contains(&service.name)) {
            let _ = writeln!(out, "    s{number} -.- a{}", id.0);
        }
    }
    out
}

/// Producers of an action without duplicates; order-only ones have no label.
fn edges<'a>(plan: &'a Plan, action: &'a Action) -> Vec<(&'a str, Option<&'a str>)> {
    let mut edges: Vec<(&str, Option<&str>)> = Vec::new();
    for input in &action.spec.inputs {
        if let InputSource::Output { action, output, .. } = &input.source {
            edges.push((plan.action(*action).addr.as_str(), Some(output)));
        }
    }
    let producers: Vec<&str> = edges.iter().map(|(from, _)| *from).collect();
    for id in &action.after {
        let from = plan.action(*id).addr.as_str();
        if !producers.contains(&from) {
            edges.push((from, None));
        }
    }
    edges.sort_unstable();
    edges.dedup_by_key(|(from, _)| *from);
    edges
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
