//! The keys of actions: one walk over the fields, for the definition and for the action key alike.
//!
//! | tag | field | in `def` | in the action key |
//! | --: | --- | --- | --- |
//! | 1 | schema | the schema number | the same |
//! | 2 | kind | kind and its semantic version | the same |
//! | 3 | class | the word | the same |
//! | 4 | isolation | the least isolation | the same |
//! | 5 | platform | absent | operating system and architecture |
//! | 10 | program | name of the executable | the same |
//! | 11 | args | arguments | the same |
//! | 12 | cwd | folder below its own | the same |
//! | 13 | env | declared variables | the same |
//! | 14 | inputs | ports: (place, output name) or pattern | the merged input tree |
//! | 15 | tools | declared identity of each tool | resolved identity of each tool |
//! | 16 | outputs | name, path, kind, declared digest | the same |
//! | 17 | services | definition of each service used | the same with its resolved inputs and tools |
//! | 18 | take | of `record`: which sample | the same |
//! | 19 | secrets | variable and name of the secret, never a value | the same |
//! | 20 | from | of `copy` | the same |
//! | 21 | text | of `write` | the same |
//! | 22 | template | of `render` | the same |
//! | 23 | vars | of `render` | the same |
//! | 24 | merge | of `merge-json` | the same |
//! | 25 | prompt | of `request`: the template, and what else is told | the same |
//! | 30 | subjects | of `gate`: name, how it is read, where it lies | the same |
//! | 31 | require | of `gate` | the same |
//! | 32 | approval | of `approval` | has none: it is never looked up by a key |
//! | 33 | sbom | of `sbom`: bundle, version, owner, format, what goes in | the same |
//! | 34 | http | of `http`: where, as whom, in which form, within which limits | the same |
//! | 36 | limits | what it may use at most | the same |
//! | 40 | ports | of a service: names and schemes | the same |
//! | 41 | ready | of a service: how to tell that it is | the same |
//!
//! Out, on purpose: addresses, documentation, formatting, paths of the machine, user, host, clock,
//! retries, timeouts, resources, git revision, the program's own version. The fixed variables of the
//! environment (`LANG`, `LC_ALL`, `TZ`, `SOURCE_DATE_EPOCH`) belong to the kind's version. Leaves out
//! how inputs and tools are resolved.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{
    ActionKey, Digest, DigestSink, Domain, FieldSink, Fields, Manifest, RelPath, Tree, Value, digest_fields,
    manifest_of,
};
use crate::lang::{Route, Terms};
use crate::plan::{
    Action, ActionKind, ActionSpec, Class, GateSubject, Input, InputSource, NodeTimeout, Output, Plan, Policy,
    Predicate, Ready, RenderValue, Schedule, Service, Tool, ToolExec,
};

/// What an action's inputs and tools turned out to be, just before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The root level of the merged input tree.
    pub inputs: Tree,
    /// The tools by their name in the plan, with those they use.
    pub tools: BTreeMap<String, ToolIdentity>,
    /// The services it uses, each by [`service_digest`].
    pub services: BTreeMap<String, Digest>,
}

/// What a tool turned out to be on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolIdentity {
    /// The name of the executable, as it appears on `PATH`.
    pub name: String,
    /// The digest of the executable, or of what its fingerprint printed.
    pub digest: Digest,
    /// What the fingerprint printed.
    pub fingerprint: Option<String>,
}

/// The platform that results are good for.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The fields of the key of an action whose inputs and tools are known.
pub fn action_manifest(spec: &ActionSpec, resolved: &Resolved) -> Manifest {
    struct Keyed<'a>(&'a ActionSpec, &'a Resolved);
    impl Fields for Keyed<'_> {
        fn walk(&self, sink: &mut dyn FieldSink) {
            resolved_walk(self.0, self.1, sink);
        }
    }
    manifest_of(&Keyed(spec, resolved))
}

/// The digest of a service whose inputs and tools are known, as it enters the keys of actions.
pub fn service_digest(service: &Service, resolved: &Resolved) -> Digest {
    struct Keyed<'a>(&'a Service, &'a Resolved);
    impl Fields for Keyed<'_> {
        fn walk(&self, sink: &mut dyn FieldSink) {
            resolved_walk(&self.0.spec, self.1, sink);
            serving_walk(self.0, sink);
        }
    }
    digest_fields(&Keyed(service, resolved), Domain::Service)
}

fn resolved_walk(spec: &ActionSpec, resolved: &Resolved, sink: &mut dyn FieldSink) {
    let known = |plan_name: &String, tool: &ToolIdentity| tool_key(spec, plan_name, &tool.name);
    let tools = resolved.tools.iter().map(|(name, tool)| (known(name, tool), Value::Digest(tool.digest))).collect();
    let program = |tool: &str| resolved.tools.get(tool).map_or_else(|| tool.to_owned(), |found| found.name.clone());
    let varying = Varying {
        platform: Some(platform()),
        inputs: Value::tree(resolved.inputs.clone()),
        tools: Value::Map(tools),
        services: &resolved.services,
    };
    walk(spec, &program, varying, sink);
}

/// What a tool is known by in a key: its name on `PATH`, of which an action that starts tools has one of each. An
/// inventory starts none, and may list two of one name.
fn tool_key(spec: &ActionSpec, plan_name: &str, program: &str) -> String {
    if matches!(spec.kind, ActionKind::Sbom(_)) { plan_name.to_owned() } else { program.to_owned() }
}

/// What a service has besides a process.
fn serving_walk(service: &Service, sink: &mut dyn FieldSink) {
    let ports = service.ports.iter().map(|port| Value::texts([&port.name, &port.scheme])).collect();
    sink.field(40, "ports", &Value::List(ports));
    let text = |text: &str| Value::text(text);
    let ready = match &service.ready {
        Ready::Http { port, path } => vec![text("http"), text(port), text(path)],
        Ready::Tcp { port } => vec![text("tcp"), text(port)],
        Ready::Log { pattern } => vec![text("log"), text(pattern)],
        Ready::Command { tool, args } => vec![text("command"), text(tool), Value::texts(args)],
    };
    sink.field(41, "ready", &Value::List(ready));
}

/// The action key of a manifest.
pub fn action_key(manifest: &Manifest) -> ActionKey {
    ActionKey(digest_fields(manifest, Domain::ActionKey))
}

/// The digest of an action's definition.
pub(crate) fn def_digest(
    spec: &ActionSpec,
    tools: &BTreeMap<&str, &Tool>,
    services: &BTreeMap<String, Digest>,
) -> Digest {
    struct Keyed<'a>(&'a ActionSpec, &'a BTreeMap<&'a str, &'a Tool>, &'a BTreeMap<String, Digest>);
    impl Fields for Keyed<'_> {
        fn walk(&self, sink: &mut dyn FieldSink) {
            def_walk(self.0, self.1, self.2, sink);
        }
    }
    digest_fields(&Keyed(spec, tools, services), Domain::Def)
}

/// The digest of a service's definition.
pub(crate) fn service_def(service: &Service, tools: &BTreeMap<&str, &Tool>) -> Digest {
    struct Keyed<'a>(&'a Service, &'a BTreeMap<&'a str, &'a Tool>);
    impl Fields for Keyed<'_> {
        fn walk(&self, sink: &mut dyn FieldSink) {
            def_walk(&self.0.spec, self.1, &BTreeMap::new(), sink);
            serving_walk(self.0, sink);
        }
    }
    digest_fields(&Keyed(service, tools), Domain::Service)
}

/// The definitions of the services of a plan.
pub(crate) fn service_defs(services: &[Service]) -> BTreeMap<String, Digest> {
    services.iter().map(|service| (service.name.clone(), service.def)).collect()
}

/// The definition of an action as a manifest, for diffs of plans.
pub fn def_manifest(plan: &Plan, action: &Action) -> Manifest {
    let tools: BTreeMap<&str, &Tool> = plan.tools.iter().map(|tool| (tool.name.as_str(), tool)).collect();
    let mut manifest = Manifest::default();
    def_walk(&action.spec, &tools, &service_defs(&plan.services), &mut manifest);
    manifest
}

fn def_walk(
    spec: &ActionSpec,
    tools: &BTreeMap<&str, &Tool>,
    services: &BTreeMap<String, Digest>,
    sink: &mut dyn FieldSink,
) {
    let program = |tool: &str| tools.get(tool).map_or_else(|| tool.to_owned(), |tool| tool.program().to_owned());
    let inputs = spec
        .inputs
        .iter()
        .map(|input| {
            let text = |text: &str| Value::text(text);
            Value::List(match &input.source {
                InputSource::Workspace { pattern, optional } => {
                    vec![text("workspace"), text(pattern), Value::Flag(*optional)]
                }
                InputSource::Output { output, select, .. } => vec![
                    text("output"),
                    text(input.dest.as_ref().map_or(".", |dest| dest.as_str())),
                    text(output),
                    text(select.as_deref().unwrap_or("")),
                ],
            })
        })
        .collect();
    let mut all: BTreeSet<&str> = BTreeSet::new();
    let mut todo: Vec<&str> = spec.tools.iter().map(String::as_str).collect();
    while let Some(name) = todo.pop() {
        if all.insert(name)
            && let Some(tool) = tools.get(name)
        {
            todo.extend(tool.uses.iter().map(String::as_str));
        }
    }
    let declared = all
        .iter()
        .filter_map(|name| tools.get(name))
        .map(|tool| (tool_key(spec, &tool.name, tool.program()), declared_identity(tool)))
        .collect();
    let (inputs, tools) = (Value::Set(inputs), Value::Map(declared));
    walk(spec, &program, Varying { platform: None, inputs, tools, services }, sink);
}

fn declared_identity(tool: &Tool) -> Value {
    let exec = match &tool.exec {
        ToolExec::Lookup(name) => name.clone(),
        ToolExec::Workspace(path) => format!("./{path}"),
    };
    let mut parts = vec![Value::text(exec), Value::text(tool.version.as_deref().unwrap_or(""))];
    parts.extend(tool.fingerprint.iter().map(Value::texts));
    Value::List(parts)
}

/// The fields in which the definition and the action key differ.
struct Varying<'a> {
    platform: Option<String>,
    inputs: Value,
    tools: Value,
    services: &'a BTreeMap<String, Digest>,
}

fn walk(spec: &ActionSpec, program: &dyn Fn(&str) -> String, varying: Varying<'_>, sink: &mut dyn FieldSink) {
    sink.field(1, "schema", &Value::Int(ActionKey::SCHEMA));
    sink.field(2, "kind", &Value::text(spec.kind.versioned()));
    sink.field(3, "class", &Value::text(spec.class.word()));
    sink.field(4, "isolation", &Value::text(spec.isolation.word()));
    if let Some(platform) = varying.platform {
        sink.field(5, "platform", &Value::Text(platform));
    }
    if let ActionKind::Exec { tool, args } = &spec.kind {
        sink.field(10, "program", &Value::Text(program(tool)));
        sink.field(11, "args", &Value::texts(args));
    }
    if let Some(cwd) = &spec.cwd {
        sink.field(12, "cwd", &Value::text(cwd.as_str()));
    }
    if !spec.env.is_empty() {
        let env = spec.env.iter().map(|(name, value)| (name.clone(), Value::text(value))).collect();
        sink.field(13, "env", &Value::Map(env));
    }
    sink.field(14, "inputs", &varying.inputs);
    sink.field(15, "tools", &varying.tools);
    let outputs = spec
        .outputs
        .iter()
        .map(|output| {
            let mut parts =
                vec![Value::text(&output.name), Value::text(output.path.as_str()), Value::text(output.kind.word())];
            parts.extend(output.digest.map(Value::Digest));
            Value::List(parts)
        })
        .collect();
    sink.field(16, "outputs", &Value::Set(outputs));
    if !spec.services.is_empty() {
        let unknown = Digest::from_bytes([0; 32]);
        let digest = |name: &String| varying.services.get(name).copied().unwrap_or(unknown);
        let services = spec.services.iter().map(|name| (name.clone(), Value::Digest(digest(name)))).collect();
        sink.field(17, "services", &Value::Map(services));
    }
    if let Some(take) = spec.take {
        sink.field(18, "take", &Value::Int(take));
    }
    if !spec.secrets.is_empty() {
        let secrets = spec.secrets.iter().map(|(name, secret)| (name.clone(), Value::text(secret))).collect();
        sink.field(19, "secrets", &Value::Map(secrets));
    }
    match &spec.kind {
        ActionKind::Exec { .. } => {}
        ActionKind::Copy { from } => sink.field(20, "from", &Value::text(from.as_str())),
        ActionKind::Write { text } => sink.field(21, "text", &Value::text(text)),
        ActionKind::Render { template, vars } => {
            sink.field(22, "template", &Value::text(template.as_str()));
            let vars = vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect();
            sink.field(23, "vars", &Value::Map(vars));
        }
        ActionKind::MergeJson { from } => sink.field(24, "merge", &Value::texts(from.iter().map(RelPath::as_str))),
        ActionKind::Request { prompt, vars, facts } => {
            let vars = vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect();
            sink.field(23, "vars", &Value::Map(vars));
            let mut told = vec![Value::text(facts)];
            told.extend(prompt.as_ref().map(Value::text));
            sink.field(25, "prompt", &Value::List(told));
        }
        ActionKind::Gate { subjects, require } => {
            let subject = |subject: &GateSubject| {
                let mut parts = vec![Value::text(&subject.name), Value::text(subject.reads.word())];
                parts.extend(subject.at.iter().map(|at| Value::text(at.as_str())));
                Value::List(parts)
            };
            sink.field(30, "subjects", &Value::Set(subjects.iter().map(subject).collect()));
            sink.field(31, "require", &Value::List(require.iter().map(Predicate::keyed).collect()));
        }
        ActionKind::Approval(approval) => sink.field(32, "approval", &approval.keyed()),
        ActionKind::Sbom(sbom) => sink.field(33, "sbom", &sbom.keyed()),
        ActionKind::Http(ask) => sink.field(34, "http", &ask.keyed()),
    }
    let fits = |output: &Output| Some((output.name.clone(), Value::Digest(output.schema?)));
    let schemas: BTreeMap<String, Value> = spec.outputs.iter().filter_map(fits).collect();
    if !schemas.is_empty() {
        sink.field(35, "schemas", &Value::Map(schemas));
    }
    if !spec.limits.is_empty() {
        let limits = spec.limits.iter().map(|(name, most)| (name.clone(), Value::Int(*most))).collect();
        sink.field(36, "limits", &Value::Map(limits));
    }
}

fn render_value(value: &RenderValue) -> Value {
    let tagged = |tag: &str, value: Value| Value::List(vec![Value::text(tag), value]);
    match value {
        RenderValue::Text(text) => tagged("text", Value::text(text)),
        RenderValue::List(items) => tagged("list", Value::texts(items)),
        RenderValue::File(path) => tagged("file", Value::text(path.as_str())),
        RenderValue::Json(path) => tagged("json", Value::text(path.as_str())),
    }
}

/// The static key of an action: its definition, and for each port the static key of its producer.
/// A `fixed` producer counts only by the digest it promises, so that a changed mirror changes
/// nothing below it.
pub(crate) fn static_key(
    action: &Action,
    def: Digest,
    services: &[Service],
    producer: &dyn Fn(usize, &str) -> Digest,
) -> Digest {
    let mut ports: BTreeSet<Value> = BTreeSet::new();
    let port = |input: &Input| {
        let InputSource::Output { action, output, select } = &input.source else { return None };
        Some(vec![
            Value::text(input.dest.as_ref().map_or(".", |dest| dest.as_str())),
            Value::text(select.as_deref().unwrap_or("")),
            Value::text(output),
            Value::Digest(producer(action.index(), output)),
        ])
    };
    ports.extend(action.spec.inputs.iter().filter_map(port).map(Value::List));
    for service in services.iter().filter(|service| action.spec.services.contains(&service.name)) {
        for mut parts in service.spec.inputs.iter().filter_map(port) {
            parts.insert(0, Value::text(&service.name));
            ports.insert(Value::List(parts));
        }
    }
    let mut sink = DigestSink::default();
    sink.field(1, "def", &Value::Digest(def));
    sink.field(2, "ports", &Value::Set(ports));
    sink.finish(Domain::StaticKey)
}

/// What a producer counts as in the static keys of those below it.
pub(crate) fn producer_identity(producer: &Action, output: &str) -> Digest {
    let promised =
        producer.spec.outputs.iter().find(|candidate| candidate.name == output).and_then(|found| found.digest);
    match (producer.spec.class, promised) {
        (Class::Fixed, Some(digest)) => digest,
        _ => producer.skey,
    }
}

/// The digest of a plan: over everything a reviewer approves, in address order.
pub(crate) fn plan_digest(plan: &Plan) -> Digest {
    let actions = plan.actions.iter().map(|action| {
        let after = action.after.iter().map(|id| Value::text(&plan.action(*id).addr)).collect();
        let parts =
            [("addr", Value::text(&action.addr)), ("skey", Value::Digest(action.skey)), ("after", Value::List(after))];
        let mut fields: BTreeMap<String, Value> = parts.map(|(name, value)| (name.to_owned(), value)).into();
        policy(&action.policy, &action.spec.limits, &mut fields);
        if let Some(found) = &action.route {
            fields.insert("route".to_owned(), route(found));
        }
        Value::Map(fields)
    });
    let mut sink = DigestSink::default();
    sink.field(1, "graph", &Value::text(&plan.graph));
    sink.field(2, "actions", &Value::List(actions.collect()));
    sink.field(
        3,
        "pools",
        &Value::Map(plan.pools.iter().map(|(name, capacity)| (name.clone(), Value::Int(*capacity))).collect()),
    );
    if let Some(concurrency) = plan.concurrency {
        sink.field(4, "concurrency", &Value::Int(concurrency));
    }
    // What static keys say of tools is their identity; what else they bring along is approved as well.
    let tools = plan.tools.iter().map(|tool| {
        let mut fields = BTreeMap::from([("identity".to_owned(), declared_identity(tool))]);
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        put("uses", Value::texts(&tool.uses));
        put("pass_env", Value::texts(&tool.pass_env));
        put("supplier", Value::text(tool.supplier.as_deref().unwrap_or("")));
        (tool.name.clone(), Value::Map(fields))
    });
    sink.field(5, "tools", &Value::Map(tools.collect()));
    if !plan.services.is_empty() {
        let service = |service: &Service| {
            Value::List(vec![Value::text(&service.name), Value::Digest(service.def), Value::Int(service.within_ms)])
        };
        sink.field(6, "services", &Value::List(plan.services.iter().map(service).collect()));
    }
    if !plan.terms.is_empty() {
        sink.field(7, "terms", &terms(&plan.terms));
    }
    let policies = &plan.policies;
    let mut parts = BTreeMap::new();
    if policies.schedule != Schedule::default() {
        parts.insert("schedule".to_owned(), Value::text(policies.schedule.word()));
    }
    parts.extend(policies.cancel.map(|cancel| ("cancel".to_owned(), Value::text(cancel.word()))));
    parts.extend(policies.breaker.map(|count| ("breaker".to_owned(), Value::Int(count.into()))));
    parts.extend(policies.deadline_ms.map(|ms| ("deadline".to_owned(), Value::Int(ms))));
    if !parts.is_empty() {
        sink.field(9, "policies", &Value::Map(parts));
    }
    if !plan.schemas.is_empty() {
        // Their texts are in the keys of what must fit them.
        let paths = plan.schemas.iter().map(|(digest, schema)| (digest.hex(), Value::text(&schema.path)));
        sink.field(10, "schemas", &Value::Map(paths.collect()));
    }
    sink.finish(Domain::Plan)
}

/// A route in the digest of the plan: a reviewer approves the choice and why it was made.
fn route(route: &Route) -> Value {
    let option = |text: &Option<String>| Value::List(text.iter().map(Value::text).collect());
    let rejected = route
        .rejected
        .iter()
        .map(|item| Value::texts([item.candidate.as_str(), item.code.as_str(), item.why.as_str()]))
        .collect();
    Value::List(vec![
        Value::text("route"),
        option(&route.capability),
        option(&route.agent),
        Value::texts([&route.kind, &route.chosen, &route.tier, &route.price]),
        option(&route.model),
        option(&route.coalesced),
        Value::Int(route.at_most),
        Value::Int(route.once),
        Value::List(route.estimate.iter().map(|estimate| Value::Int(u64::from(estimate.complexity))).collect()),
        Value::List(rejected),
    ])
}

/// The terms of a plan in its digest.
fn terms(terms: &Terms) -> Value {
    let tenant = terms.tenant.iter().map(|tenant| {
        let mut parts = vec![
            Value::text(&tenant.name),
            Value::List(tenant.budget.iter().map(Value::text).collect()),
            Value::texts(&tenant.tiers),
            Value::Map(tenant.quota.iter().map(|(name, limit)| (name.clone(), Value::Int(*limit))).collect()),
            Value::Int(tenant.weight),
        ];
        let named = |name: &str, all: &Vec<String>| Value::List(vec![Value::text(name), Value::texts(all)]);
        parts.extend(tenant.trust.iter().map(|all| named("trust", all)));
        parts.extend(tenant.capabilities.iter().map(|all| named("capabilities", all)));
        Value::List(parts)
    });
    let secrets = terms.secrets.iter().map(|(name, secret)| (name.clone(), Value::texts([&secret.from, &secret.key])));
    let mut parts = vec![
        Value::List(tenant.collect()),
        Value::List(terms.budget.iter().map(|budget| Value::Int(*budget)).collect()),
        Value::Int(terms.at_most),
        Value::Map(secrets.collect()),
    ];
    if !terms.packages.is_empty() || terms.lock.is_some() {
        let packages = terms.packages.iter().map(|(name, package)| {
            let facts = Value::texts([&package.version, &package.source, &package.tree]);
            (name.clone(), Value::List(vec![facts, Value::texts(&package.grants)]))
        });
        parts.push(Value::Map(packages.collect()));
        parts.push(Value::text(terms.lock.as_deref().unwrap_or("")));
    }
    Value::List(parts)
}

/// What of a policy is approved: fields by name, none for what is not said.
fn policy(policy: &Policy, limits: &BTreeMap<String, u64>, fields: &mut BTreeMap<String, Value>) {
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if !policy.holds.is_empty() {
        let holds = policy.holds.iter().map(|need| (need.pool.clone(), Value::Int(need.amount)));
        put("holds", Value::Map(holds.collect()));
    }
    if !limits.is_empty() {
        let limits = limits.iter().map(|(name, most)| (name.clone(), Value::Int(*most)));
        put("limits", Value::Map(limits.collect()));
    }
    if let Some(ms) = policy.timeout_ms {
        put("timeout_ms", Value::Int(ms));
    }
    if let Some(NodeTimeout { node, ms }) = &policy.node_timeout {
        put("node_timeout", Value::List(vec![Value::text(node), Value::Int(*ms)]));
    }
    if let Some(retry) = &policy.retry {
        put("retry", Value::text(retry.describe()));
    }
    if let Some(gate) = &policy.gate {
        let message = |message: &Option<String>| Value::text(message.as_deref().unwrap_or(""));
        let parts = vec![
            Value::text(&gate.name),
            Value::text(&gate.kind),
            Value::text(gate.concern.word()),
            Value::List(gate.messages.iter().map(message).collect()),
        ];
        put("gate", Value::List(parts));
    }
    if policy.idempotent {
        put("idempotent", Value::Flag(true));
    }
    if let Some(price) = policy.price {
        put("price", Value::List(vec![Value::Int(price.input), Value::Int(price.output), Value::Int(price.tokens)]));
    }
    if let Some(rollback) = &policy.rollback {
        put("rollback", Value::text(rollback));
    }
    if let Some(automation) = policy.automation {
        put("automation", Value::text(automation.word()));
    }
}
