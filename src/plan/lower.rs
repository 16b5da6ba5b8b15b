//! An expansion to a plan: actions with ids, definitions and static keys. Leaves out everything that
//! needs a machine.

use std::collections::BTreeMap;

use crate::base::{Digest, RelPath};
use crate::lang::{ActionIr, BodyIr, Expansion, InputIr, Program, RenderIr, RetryDecl};
use crate::plan::key::{def_digest, plan_digest, producer_identity, static_key};
use crate::plan::{
    Action, ActionId, ActionKind, ActionSpec, Backoff, Class, Input, InputSource, Isolation, Output, OutputKind, Plan,
    Policy, RenderValue, ResourceNeed, Retry, RetryOn, Tool, ToolExec,
};

/// Lowers an expansion. It has been checked, so this cannot fail.
pub fn lower(program: &Program, expansion: &Expansion) -> Plan {
    let mut tools: Vec<Tool> = expansion
        .tools
        .iter()
        .map(|(name, ir)| {
            let decl = program.tool(ir.decl);
            let exec = match RelPath::new(decl.exec.value.trim_start_matches("./")) {
                Ok(path) if decl.exec.value.contains('/') => match program.place(ir.decl.file) {
                    Some(place) => ToolExec::Workspace(place.join(&path)),
                    None => ToolExec::Workspace(path),
                },
                _ => ToolExec::Lookup(decl.exec.value.clone()),
            };
            Tool {
                name: name.clone(),
                exec,
                fingerprint: decl.fingerprint.clone(),
                uses: ir.uses.clone(),
                pass_env: decl.pass_env.clone(),
                supplier: decl.supplier.clone(),
                version: decl.version.clone(),
            }
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
        digest: Digest::from_bytes([0; 32]),
    };
    seal(&mut plan);
    plan
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
    let defs: Vec<Digest> = plan.actions.iter().map(|action| def_digest(&action.spec, &tools)).collect();
    for (action, def) in plan.actions.iter_mut().zip(&defs) {
        action.def = *def;
    }
    for id in topological(plan) {
        let action = plan.action(id);
        let skey = static_key(action, action.def, &|index, output| producer_identity(&plan.actions[index], output));
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
            inputs,
            outputs,
            tools: ir.tools.clone(),
            cwd: ir.cwd.clone(),
            isolation,
        },
        policy: Policy { timeout_ms: ir.timeout_ms, retry: ir.retry.as_ref().map(retry), holds },
        def: Digest::from_bytes([0; 32]),
        skey: Digest::from_bytes([0; 32]),
        after: ir.after.iter().map(|index| ActionId(*index as u32)).collect(),
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
