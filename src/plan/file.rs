//! The written form of a plan: JSON Lines, a header and then one line for each action, sorted by
//! address. Byte-stable: no clock, host, path of the machine, or place in a spec is in it. Leaves out
//! reading it back.

use serde_json::{Value as Json, json};

use crate::base::{ActionKey, Digest, RelPath};
use crate::plan::{
    Action, ActionKind, Approval, GateNote, GateSubject, GateValue, Input, InputSource, Plan, Policies, Predicate,
    Ready, RenderValue, Schema, Service, Tool, ToolExec,
};

/// The version of the written form.
pub const PLAN_FORMAT: u32 = 2;

/// Writes a plan.
pub fn to_json_lines(plan: &Plan) -> String {
    let mut header = json!({
        "plan": PLAN_FORMAT,
        "key_schema": ActionKey::SCHEMA,
        "graph": plan.graph,
        "digest": plan.digest.hex(),
        "actions": plan.actions.len(),
        "concurrency": plan.concurrency,
        "pools": plan.pools,
        "tools": plan.tools.iter().map(tool).collect::<Vec<_>>(),
    });
    if !plan.terms.is_empty() {
        put(&mut header, "terms", json!(plan.terms));
    }
    if !plan.services.is_empty() {
        header["services"] = plan.services.iter().map(|item| service(plan, item)).collect();
    }
    if !plan.schemas.is_empty() {
        let schema =
            |(digest, schema): (&Digest, &Schema)| (digest.hex(), json!({"path": schema.path, "text": &*schema.text}));
        put(&mut header, "schemas", Json::Object(plan.schemas.iter().map(schema).collect()));
    }
    let policies = &plan.policies;
    if *policies != Policies::default() {
        header["policies"] = json!({
            "schedule": policies.schedule.word(),
            "cancel": policies.cancel.map(crate::plan::Cancel::word),
            "breaker": policies.breaker,
            "deadline_ms": policies.deadline_ms,
        });
    }
    let mut out = header.to_string();
    out.push('\n');
    for item in &plan.actions {
        out.push_str(&action(plan, item).to_string());
        out.push('\n');
    }
    out
}

fn tool(tool: &Tool) -> Json {
    let exec = match &tool.exec {
        ToolExec::Lookup(name) => json!({"lookup": name}),
        ToolExec::Workspace(path) => json!({"workspace": path.as_str()}),
    };
    json!({
        "name": tool.name,
        "exec": exec,
        "fingerprint": tool.fingerprint,
        "uses": tool.uses,
        "pass_env": tool.pass_env,
        "supplier": tool.supplier,
        "version": tool.version,
    })
}

fn service(plan: &Plan, service: &Service) -> Json {
    let spec = &service.spec;
    let ready = match &service.ready {
        Ready::Http { port, path } => json!({"http": {"port": port, "path": path}}),
        Ready::Tcp { port } => json!({"tcp": port}),
        Ready::Log { pattern } => json!({"log": pattern}),
        Ready::Command { tool, args } => json!({"command": {"tool": tool, "args": args}}),
    };
    json!({
        "name": service.name,
        "def": service.def.hex(),
        "body": body(&spec.kind),
        "cwd": spec.cwd.as_ref().map(RelPath::as_str),
        "env": spec.env,
        "tools": spec.tools,
        "inputs": inputs(plan, &spec.inputs),
        "ports": service.ports.iter().map(|port| json!({"name": port.name, "scheme": port.scheme})).collect::<Vec<_>>(),
        "ready": ready,
        "within_ms": service.within_ms,
    })
}

fn body(kind: &ActionKind) -> Json {
    match kind {
        ActionKind::Exec { tool, args } => json!({"tool": tool, "args": args}),
        ActionKind::Copy { from } => json!({"from": from.as_str()}),
        ActionKind::Write { text } => json!({"text": text}),
        ActionKind::Render { template, vars } => json!({
            "template": template.as_str(),
            "vars": vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect::<serde_json::Map<_, _>>(),
        }),
        ActionKind::MergeJson { from } => json!({"from": from.iter().map(RelPath::as_str).collect::<Vec<_>>()}),
        ActionKind::Request { prompt, vars, facts } => json!({
            "prompt": prompt,
            "vars": vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect::<serde_json::Map<_, _>>(),
            "facts": facts,
        }),
        ActionKind::Gate { subjects, require } => json!({
            "subjects": subjects.iter().map(subject).collect::<Vec<_>>(),
            "require": require.iter().map(predicate).collect::<Vec<_>>(),
        }),
        ActionKind::Http(ask) => json!({"http": {
            "url": ask.url,
            "vendor": ask.vendor.word(),
            "model": ask.model,
            "headers": ask.headers,
            "schemes": ask.schemes,
            "body": ask.body,
            "answer": ask.answer,
            "usage": ask.usage,
            "tokens": ask.tokens,
            "turns": ask.turns,
            "request": ask.request.as_str(),
        }}),
        ActionKind::Sbom(sbom) => json!({"sbom": {
            "bundle": sbom.bundle,
            "version": sbom.version,
            "tenant": sbom.tenant,
            "format": sbom.format,
            "files": sbom.files.iter().map(|file| json!({"to": file.to.as_str(), "at": file.at.as_str()})).collect::<Vec<_>>(),
            "excludes": sbom.excludes,
        }}),
        ActionKind::Approval(asked) => json!({"approval": approval(asked)}),
    }
}

fn inputs(plan: &Plan, inputs: &[Input]) -> Vec<Json> {
    let one = |input: &Input| match &input.source {
        InputSource::Workspace { pattern, optional } => json!({"workspace": pattern, "optional": optional}),
        InputSource::Output { action, output, select } => json!({
            "at": input.dest.as_ref().map_or(".", RelPath::as_str),
            "from": plan.action(*action).addr,
            "output": output,
            "select": select,
        }),
    };
    inputs.iter().map(one).collect()
}

fn action(plan: &Plan, action: &Action) -> Json {
    let spec = &action.spec;
    let outputs: Vec<Json> = spec
        .outputs
        .iter()
        .map(|output| {
            let mut line = json!({
                "name": output.name,
                "path": output.path.as_str(),
                "kind": output.kind.word(),
                "digest": output.digest.map(|digest| digest.hex()),
            });
            if let Some(schema) = output.schema {
                put(&mut line, "schema", json!(schema.hex()));
            }
            line
        })
        .collect();
    let mut line = json!({
        "addr": action.addr,
        "kind": spec.kind.versioned(),
        "class": spec.class.word(),
        "isolation": spec.isolation.word(),
        "def": action.def.hex(),
        "skey": action.skey.hex(),
        "body": body(&spec.kind),
        "cwd": spec.cwd.as_ref().map(RelPath::as_str),
        "env": spec.env,
        "tools": spec.tools,
        "inputs": inputs(plan, &spec.inputs),
        "outputs": outputs,
        "after": action.after.iter().map(|id| plan.action(*id).addr.as_str()).collect::<Vec<_>>(),
        "timeout_ms": action.policy.timeout_ms,
        "retry": action.policy.retry.as_ref().map(crate::plan::Retry::describe),
        "holds": action.policy.holds.iter().map(|need| (need.pool.clone(), json!(need.amount))).collect::<serde_json::Map<_, _>>(),
        "gate": action.policy.gate.as_ref().map(gate),
        "automation": action.policy.automation.map(crate::plan::Automation::word),
    });
    if let Some(whole) = &action.policy.node_timeout {
        put(&mut line, "node_timeout", json!(whole));
    }
    if !spec.secrets.is_empty() {
        put(&mut line, "secrets", json!(spec.secrets));
    }
    if let Some(route) = &action.route {
        put(&mut line, "route", json!(route));
    }
    if !spec.services.is_empty() {
        line["services"] = json!(spec.services);
    }
    if let Some(take) = spec.take {
        line["take"] = json!(take);
    }
    if !action.spec.limits.is_empty() {
        line["limits"] = json!(action.spec.limits);
    }
    if action.policy.idempotent {
        line["idempotent"] = json!(true);
    }
    if let Some(rollback) = &action.policy.rollback {
        line["rollback"] = json!(rollback);
    }
    if let Some(price) = action.policy.price {
        line["price"] = json!({"input": price.input, "output": price.output, "tokens": price.tokens});
    }
    line
}

/// A member that is there only where there is something to say.
fn put(object: &mut Json, name: &str, value: Json) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn subject(subject: &GateSubject) -> Json {
    let at: Vec<&str> = subject.at.iter().map(RelPath::as_str).collect();
    json!({"name": subject.name, "reads": subject.reads.word(), "at": at})
}

fn predicate(item: &Predicate) -> Json {
    let many = |all: &[Predicate]| all.iter().map(predicate).collect::<Vec<_>>();
    match item {
        Predicate::Test { path, op, value } => {
            let value = match value {
                GateValue::Number(text) => json!({"number": text}),
                GateValue::Text(text) => json!({"text": text}),
                GateValue::Flag(flag) => json!({"flag": flag}),
            };
            json!({"path": path, "op": op.word(), "value": value})
        }
        Predicate::All(all) => json!({"all": many(all)}),
        Predicate::Any(all) => json!({"any": many(all)}),
        Predicate::Not(all) => json!({"not": many(all)}),
    }
}

fn approval(asked: &Approval) -> Json {
    let members = asked.members.as_ref().map(|members| {
        let member =
            |member: &crate::plan::Approver| json!({"name": member.name, "key": member.key, "email": member.email});
        members.iter().map(member).collect::<Vec<_>>()
    });
    json!({
        "group": asked.group,
        "members": members,
        "min": asked.min,
        "distinct": asked.distinct,
        "expires_ms": asked.expires_ms,
        "by_name": asked.by_name,
    })
}

fn gate(note: &GateNote) -> Json {
    json!({"name": note.name, "kind": note.kind, "concern": note.concern.word(), "messages": note.messages})
}

fn render_value(value: &RenderValue) -> Json {
    match value {
        RenderValue::Text(text) => json!({"text": text}),
        RenderValue::List(items) => json!({"list": items}),
        RenderValue::File(path) => json!({"file": path.as_str()}),
        RenderValue::Json(path) => json!({"json": path.as_str()}),
    }
}
