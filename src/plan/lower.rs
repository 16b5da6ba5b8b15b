//! An expansion to a plan: actions with ids, definitions and static keys. Leaves out everything that
//! needs a machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Digest, RelPath};
use crate::lang::{
    ActionIr, ApprovalIr, BodyIr, Expansion, GateNoteIr, HttpIr, InputIr, MemberIr, PoliciesDecl, PredicateIr, ProbeIr,
    Program, RenderIr, RetryDecl, SbomIr, ServiceIr, SubjectIr, ValueIr,
};
use crate::plan::key::{def_digest, plan_digest, producer_identity, service_def, service_defs, static_key};
use crate::plan::{
    Action, ActionId, ActionKind, ActionSpec, Approval, Approver, Automation, Backoff, Cancel, Class, Concern,
    GateNote, GateOp, GateSubject, GateValue, HttpAsk, Input, InputSource, Isolation, NodeTimeout, Output, OutputKind,
    Plan, Policies, Policy, Port, Predicate, Price, Reads, Ready, RenderValue, ResourceNeed, Retry, RetryOn, Sbom,
    SbomFile, Schedule, Schema, Service, Tool, ToolExec, Vendor,
};

/// Lowers an expansion. It has been checked, so this cannot fail.
pub fn lower(program: &Program, expansion: &Expansion) -> Plan {
    let mut tools: Vec<Tool> = expansion
        .tools
        .iter()
        .filter_map(|(name, ir)| {
            let decl = program.tool_of(ir.of)?;
            let exec = match RelPath::new(decl.exec.value.trim_start_matches("./")) {
                Ok(path) if decl.exec.value.contains('/') => match program.place(ir.of.file()) {
                    Some(place) => ToolExec::Workspace(place.join(&path)),
                    None => ToolExec::Workspace(path),
                },
                _ => ToolExec::Lookup(decl.exec.value.clone()),
            };
            Some(Tool {
                name: name.clone(),
                exec,
                fingerprint: decl.fingerprint.clone(),
                uses: ir.uses.clone(),
                pass_env: decl.pass_env.clone(),
                supplier: decl.supplier.clone(),
                version: decl.version.clone(),
            })
        })
        .collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let required = required_isolation(program);
    let actions = expansion.actions.iter().map(|ir| action(ir, required)).collect();
    let mut plan = Plan {
        graph: expansion.graph.clone(),
        actions,
        tools,
        pools: expansion.pools.clone(),
        concurrency: expansion.concurrency,
        terms: expansion.terms.clone(),
        services: expansion.services.iter().map(|ir| service(ir, required)).collect(),
        policies: policies(&expansion.policies),
        schemas: schemas(expansion),
        digest: Digest::from_bytes([0; 32]),
    };
    seal(&mut plan);
    plan
}

/// The schemas that outputs must fit. Of several files with one text, the first path tells where it lies.
fn schemas(expansion: &Expansion) -> BTreeMap<Digest, Schema> {
    let mut found: BTreeMap<Digest, Schema> = BTreeMap::new();
    for schema in expansion.actions.iter().flat_map(|ir| &ir.outputs).filter_map(|output| output.ty.schema()) {
        let known = found
            .entry(schema.digest)
            .or_insert_with(|| Schema { path: schema.path.clone(), text: Arc::clone(&schema.text) });
        if schema.path < known.path {
            known.path.clone_from(&schema.path);
        }
    }
    found
}

/// The least isolation that the workspace requires.
fn required_isolation(program: &Program) -> Isolation {
    let root = program.roots.first().map(|file| &program.file(*file).decls);
    let word = root.and_then(|decls| decls.workspace.as_ref()?.require_isolation.as_ref());
    let level = word.and_then(|word| Isolation::ALL.into_iter().find(|level| level.word() == word.value));
    level.unwrap_or(Isolation::None)
}

/// Computes the digests of a plan whose actions are complete but for them.
pub fn seal(plan: &mut Plan) {
    let tools: BTreeMap<&str, &Tool> = plan.tools.iter().map(|tool| (tool.name.as_str(), tool)).collect();
    for service in &mut plan.services {
        service.def = service_def(service, &tools);
    }
    let services = service_defs(&plan.services);
    let defs: Vec<Digest> = plan.actions.iter().map(|action| def_digest(&action.spec, &tools, &services)).collect();
    for (action, def) in plan.actions.iter_mut().zip(&defs) {
        action.def = *def;
    }
    for id in topological(plan) {
        let action = plan.action(id);
        let producer = |index: usize, output: &str| producer_identity(&plan.actions[index], output);
        let skey = static_key(action, action.def, &plan.services, &producer);
        plan.actions[id.index()].skey = skey;
    }
    plan.digest = plan_digest(plan);
}

/// Ids with every producer before what uses it; ties in address order.
pub fn topological(plan: &Plan) -> Vec<ActionId> {
    let mut users: Vec<Vec<ActionId>> = vec![Vec::new(); plan.actions.len()];
    let mut missing: Vec<usize> = vec![0; plan.actions.len()];
    for (id, action) in plan.iter() {
        let dependencies = action.dependencies();
        missing[id.index()] = dependencies.len();
        for dependency in dependencies {
            users[dependency.index()].push(id);
        }
    }
    let mut ready: std::collections::VecDeque<ActionId> =
        plan.iter().map(|(id, _)| id).filter(|id| missing[id.index()] == 0).collect();
    let mut order = Vec::with_capacity(plan.actions.len());
    while let Some(id) = ready.pop_front() {
        order.push(id);
        for user in &users[id.index()] {
            missing[user.index()] -= 1;
            if missing[user.index()] == 0 {
                ready.push_back(*user);
            }
        }
    }
    order
}

fn action(ir: &ActionIr, isolation: Isolation) -> Action {
    let kind = match &ir.body {
        BodyIr::Exec { tool, args } => ActionKind::Exec { tool: tool.clone(), args: args.clone() },
        BodyIr::Copy(from) => ActionKind::Copy { from: from.clone() },
        BodyIr::Write(text) => ActionKind::Write { text: text.clone() },
        BodyIr::Render(template, vars) => ActionKind::Render {
            template: template.clone(),
            vars: vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect(),
        },
        BodyIr::MergeJson(from) => ActionKind::MergeJson { from: from.clone() },
        BodyIr::Request { prompt, vars, facts } => ActionKind::Request {
            prompt: prompt.clone(),
            vars: vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect(),
            facts: facts.clone(),
        },
        BodyIr::Gate(subjects, require) => {
            let mut subjects: Vec<GateSubject> = subjects.iter().map(subject).collect();
            subjects.sort();
            ActionKind::Gate { subjects, require: require.iter().map(predicate).collect() }
        }
        BodyIr::Approval(ir) => ActionKind::Approval(approval(ir)),
        BodyIr::Sbom(ir) => ActionKind::Sbom(sbom(ir)),
        BodyIr::Http(ir) => ActionKind::Http(http(ir)),
    };
    let mut inputs: Vec<Input> = ir.inputs.iter().map(input).collect();
    inputs.sort();
    inputs.dedup();
    let outputs = ir
        .outputs
        .iter()
        .map(|output| Output {
            name: output.name.clone(),
            path: output.path.clone(),
            kind: if output.dir { OutputKind::Dir } else { OutputKind::File },
            digest: output.digest,
            schema: output.ty.schema().map(|schema| schema.digest),
        })
        .collect();
    let class = Class::parse(&ir.class).unwrap_or(Class::Pure);
    let holds = ir.holds.iter().map(|(pool, amount)| ResourceNeed { pool: pool.clone(), amount: *amount }).collect();
    Action {
        addr: ir.addr.clone(),
        spec: ActionSpec {
            kind,
            class,
            env: ir.env.clone(),
            secrets: ir.secrets.clone(),
            inputs,
            outputs,
            tools: ir.tools.clone(),
            services: ir.services.clone(),
            take: ir.take,
            cwd: ir.cwd.clone(),
            isolation,
            limits: ir.limits.clone(),
        },
        policy: Policy {
            timeout_ms: ir.timeout_ms,
            node_timeout: ir.whole_ms.and_then(|ms| {
                let (node, _) = ir.addr.rsplit_once('/')?;
                Some(NodeTimeout { node: node.to_owned(), ms })
            }),
            retry: ir.retry.as_ref().map(retry),
            holds,
            gate: ir.gate.as_deref().map(note),
            automation: ir
                .automation
                .as_deref()
                .and_then(|word| Automation::ALL.into_iter().find(|level| level.word() == word)),
            idempotent: ir.idempotent,
            price: match &ir.body {
                BodyIr::Http(ir) => {
                    ir.price.map(|price| Price { input: price.input, output: price.output, tokens: price.tokens })
                }
                _ => None,
            },
            rollback: ir.rollback.as_deref().map(str::to_owned),
        },
        def: Digest::from_bytes([0; 32]),
        skey: Digest::from_bytes([0; 32]),
        after: ir.after.iter().map(|index| ActionId(*index as u32)).collect(),
        route: ir.route.as_deref().cloned(),
    }
}

fn subject(ir: &SubjectIr) -> GateSubject {
    let reads = Reads::ALL.into_iter().find(|reads| reads.word() == ir.reads).unwrap_or(Reads::File);
    GateSubject { name: ir.name.clone(), reads, at: ir.at.clone() }
}

fn predicate(ir: &PredicateIr) -> Predicate {
    let many = |all: &[PredicateIr]| all.iter().map(predicate).collect();
    match ir {
        PredicateIr::Test(path, op, value) => {
            let op = GateOp::ALL.into_iter().find(|known| known.word() == op.word()).unwrap_or(GateOp::Eq);
            let value = match value {
                ValueIr::Number(text) => GateValue::Number(text.clone()),
                ValueIr::Text(text) => GateValue::Text(text.clone()),
                ValueIr::Flag(flag) => GateValue::Flag(*flag),
            };
            Predicate::Test { path: path.clone(), op, value }
        }
        // One of one is itself.
        PredicateIr::All(all) if all.len() == 1 => predicate(&all[0]),
        PredicateIr::All(all) => Predicate::All(many(all)),
        PredicateIr::Any(all) => Predicate::Any(many(all)),
        PredicateIr::Not(all) => Predicate::Not(many(all)),
    }
}

fn approval(ir: &ApprovalIr) -> Approval {
    let member = |member: &MemberIr| Approver {
        name: member.name.clone(),
        key: member.key.clone(),
        email: member.email.clone(),
    };
    let members = ir.members.as_ref().map(|members| {
        let mut members: Vec<Approver> = members.iter().map(member).collect();
        members.sort();
        members
    });
    Approval {
        group: ir.group.clone(),
        members,
        min: ir.min,
        distinct: ir.distinct,
        expires_ms: ir.expires_ms,
        by_name: ir.by_name,
    }
}

fn http(ir: &HttpIr) -> HttpAsk {
    HttpAsk {
        url: ir.url.clone(),
        vendor: Vendor::ALL.into_iter().find(|known| known.word() == ir.vendor).unwrap_or(Vendor::Custom),
        model: ir.model.clone(),
        headers: ir.headers.clone(),
        schemes: ir.schemes.clone(),
        body: ir.body.clone(),
        answer: ir.answer.clone(),
        usage: ir.usage.clone(),
        tokens: ir.tokens,
        turns: ir.turns,
        request: ir.request.clone(),
    }
}

fn sbom(ir: &SbomIr) -> Sbom {
    let mut files: Vec<SbomFile> =
        ir.files.iter().map(|(to, at)| SbomFile { to: to.clone(), at: at.clone() }).collect();
    files.sort();
    Sbom {
        bundle: ir.bundle.clone(),
        version: ir.version.clone(),
        tenant: ir.tenant.clone(),
        format: ir.format.clone(),
        files,
        excludes: ir.excludes.clone(),
    }
}

fn note(ir: &GateNoteIr) -> GateNote {
    let concern = Concern::ALL.into_iter().find(|concern| concern.word() == ir.concern).unwrap_or(Concern::Artifact);
    GateNote { name: ir.name.clone(), kind: ir.kind.clone(), concern, messages: ir.messages.clone() }
}

fn policies(decl: &PoliciesDecl) -> Policies {
    let word = |given: &Option<String>| given.clone().unwrap_or_default();
    Policies {
        schedule: Schedule::ALL.into_iter().find(|known| known.word() == word(&decl.schedule)).unwrap_or_default(),
        cancel: Cancel::ALL.into_iter().find(|known| known.word() == word(&decl.cancel)),
        breaker: decl.breaker.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        deadline_ms: decl.deadline_ms,
    }
}

fn service(ir: &ServiceIr, isolation: Isolation) -> Service {
    let kind = match &ir.body {
        BodyIr::Exec { tool, args } => ActionKind::Exec { tool: tool.clone(), args: args.clone() },
        // The checks let nothing else pass.
        _ => ActionKind::Write { text: String::new() },
    };
    let mut inputs: Vec<Input> = ir.inputs.iter().map(input).collect();
    inputs.sort();
    inputs.dedup();
    let ready = match &ir.probe {
        ProbeIr::Http { port, path } => Ready::Http { port: port.clone(), path: path.clone() },
        ProbeIr::Tcp { port } => Ready::Tcp { port: port.clone() },
        ProbeIr::Log { pattern } => Ready::Log { pattern: pattern.clone() },
        ProbeIr::Command { tool, args } => Ready::Command { tool: tool.clone(), args: args.clone() },
    };
    Service {
        name: ir.name.clone(),
        spec: ActionSpec {
            kind,
            class: Class::Volatile,
            env: ir.env.clone(),
            secrets: BTreeMap::new(),
            inputs,
            outputs: Vec::new(),
            tools: ir.tools.clone(),
            services: Vec::new(),
            take: None,
            cwd: ir.cwd.clone(),
            isolation,
            limits: BTreeMap::new(),
        },
        ports: ir.ports.iter().map(|(name, scheme)| Port { name: name.clone(), scheme: scheme.clone() }).collect(),
        ready,
        within_ms: ir.within_ms,
        def: Digest::from_bytes([0; 32]),
    }
}

fn input(ir: &InputIr) -> Input {
    match ir {
        InputIr::Workspace { pattern, optional, .. } => {
            Input { dest: None, source: InputSource::Workspace { pattern: pattern.clone(), optional: *optional } }
        }
        InputIr::Output { dest, action, output, select, .. } => Input {
            dest: dest.clone(),
            source: InputSource::Output {
                action: ActionId(*action as u32),
                output: output.clone(),
                select: select.clone(),
            },
        },
    }
}

fn render_value(value: &RenderIr) -> RenderValue {
    match value {
        RenderIr::Text(text) => RenderValue::Text(text.clone()),
        RenderIr::List(items) => RenderValue::List(items.clone()),
        RenderIr::File(path) => RenderValue::File(path.clone()),
        RenderIr::Json(path) => RenderValue::Json(path.clone()),
    }
}

fn retry(decl: &RetryDecl) -> Retry {
    let on = match decl.on.as_str() {
        "any" => RetryOn::Any,
        "timeout" => RetryOn::Timeout,
        _ => RetryOn::Transient,
    };
    let backoff =
        if decl.exponential { Backoff::Exponential(decl.backoff_ms) } else { Backoff::Fixed(decl.backoff_ms) };
    Retry { max: decl.max, on, backoff }
}
