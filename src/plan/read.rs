//! Reads the written form of a plan back. A plan file may come from a stranger: its size and depth
//! are bounded before it is parsed, every digest in it is computed again, and what this version does
//! not know is refused, because what cannot be seen cannot be compared. Leaves out the writing: see
//! `file`.

mod http;
mod rollback;
mod sbom;
mod schemas;
mod services;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::base::{ActionKey, Digest, ErrorKind, RelPath};
use crate::lang::{Route, Terms};
use crate::plan::read::http::{HttpBody, PriceLine};
use crate::plan::read::rollback::check_rollbacks;
use crate::plan::read::sbom::SbomBody;
use crate::plan::read::schemas::{SchemaLine, check_schemas, read_schemas};
use crate::plan::read::services::{ServiceLine, check_services, read_service};
use crate::plan::{
    Action, ActionId, ActionKind, ActionSpec, Approval, Approver, Automation, Backoff, Cancel, Class, Concern,
    GateNote, GateOp, GateSubject, GateValue, Input, InputSource, Isolation, NodeTimeout, Output, OutputKind,
    PLAN_FORMAT, Plan, Policies, Policy, Predicate, Reads, RenderValue, ResourceNeed, Retry, RetryOn, Schedule,
    Service, Tool, ToolExec, seal, topological,
};

/// Bytes of a plan file.
pub const PLAN_BYTES: usize = 1 << 30;
/// Bytes of one line of it: an action can hold a written text of 4 MiB, escaped.
const LINE_BYTES: usize = 64 << 20;
/// Actions of a plan.
const ACTIONS: usize = 1_000_000;
/// Levels of nesting of a line. A predicate is the deepest there is: line, body, list, then an object and
/// a list for each of its own levels.
const DEPTH: usize = 16;

/// Why a file is not a plan that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is larger than a plan may be.
    #[error("it is larger than a plan file may be: {0}")]
    TooLarge(&'static str),
    /// The first line is not the header of a plan.
    #[error("it is not a plan file: {0}")]
    NotAPlan(String),
    /// Written by a version that writes another form.
    #[error("its format is {found}, but this version reads format {PLAN_FORMAT}")]
    Format {
        /// The number in the file.
        found: u32,
    },
    /// A line does not say what a line of a plan must say.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// What it says of itself is not so.
    #[error("{0}")]
    Untrue(String),
}

impl ReadError {
    /// The kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

/// What may be limited.
const LIMITS: [&str; 4] = ["files", "memory", "output", "processes"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    plan: u32,
    key_schema: u64,
    graph: String,
    digest: String,
    actions: usize,
    concurrency: Option<u64>,
    #[serde(deserialize_with = "unique")]
    pools: BTreeMap<String, u64>,
    tools: Vec<ToolLine>,
    #[serde(default)]
    services: Vec<ServiceLine>,
    #[serde(default)]
    terms: Terms,
    #[serde(default)]
    policies: Option<PoliciesLine>,
    #[serde(default, deserialize_with = "unique")]
    schemas: BTreeMap<String, SchemaLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoliciesLine {
    schedule: String,
    cancel: Option<String>,
    breaker: Option<u32>,
    deadline_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolLine {
    name: String,
    exec: ExecLine,
    fingerprint: Option<Vec<String>>,
    uses: Vec<String>,
    pass_env: Vec<String>,
    supplier: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum ExecLine {
    Lookup(String),
    Workspace(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionLine {
    addr: String,
    kind: String,
    class: String,
    isolation: String,
    def: String,
    skey: String,
    body: Box<RawValue>,
    cwd: Option<String>,
    #[serde(deserialize_with = "unique")]
    env: BTreeMap<String, String>,
    tools: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    take: Option<u64>,
    #[serde(default)]
    idempotent: bool,
    inputs: Vec<InputLine>,
    outputs: Vec<OutputLine>,
    after: Vec<String>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    node_timeout: Option<NodeTimeout>,
    #[serde(default, deserialize_with = "unique")]
    limits: BTreeMap<String, u64>,
    retry: Option<String>,
    #[serde(deserialize_with = "unique")]
    holds: BTreeMap<String, u64>,
    gate: Option<GateLine>,
    automation: Option<String>,
    #[serde(default, deserialize_with = "unique")]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    route: Option<Route>,
    #[serde(default)]
    price: Option<PriceLine>,
    #[serde(default)]
    rollback: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateLine {
    name: String,
    kind: String,
    concern: String,
    messages: Vec<Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecBody {
    tool: String,
    args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyBody {
    from: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteBody {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenderBody {
    template: String,
    vars: Vars,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBody {
    prompt: Option<String>,
    vars: Vars,
    facts: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeBody {
    from: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateBody {
    subjects: Vec<SubjectLine>,
    require: Vec<PredicateLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectLine {
    name: String,
    reads: String,
    at: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PredicateLine {
    path: Option<String>,
    op: Option<String>,
    value: Option<ValueLine>,
    all: Option<Vec<PredicateLine>>,
    any: Option<Vec<PredicateLine>>,
    not: Option<Vec<PredicateLine>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum ValueLine {
    Number(String),
    Text(String),
    Flag(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalBody {
    approval: ApprovalLine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalLine {
    group: String,
    members: Option<Vec<MemberLine>>,
    min: u64,
    distinct: bool,
    expires_ms: Option<u64>,
    by_name: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberLine {
    name: String,
    key: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Vars(#[serde(deserialize_with = "unique")] BTreeMap<String, VarLine>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum VarLine {
    Text(String),
    List(Vec<String>),
    File(String),
    Json(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputLine {
    workspace: Option<String>,
    optional: Option<bool>,
    at: Option<String>,
    from: Option<String>,
    output: Option<String>,
    select: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputLine {
    name: String,
    path: String,
    kind: String,
    digest: Option<String>,
    #[serde(default)]
    schema: Option<String>,
}

/// A map no name of which comes twice: readers differ in which of two they believe.
fn unique<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<BTreeMap<String, T>, D::Error> {
    struct Names<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = access.next_entry::<String, T>()? {
                if map.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                }
                map.insert(name, value);
            }
            Ok(map)
        }
    }
    from.deserialize_map(Names(PhantomData))
}

/// Reads a plan file. A plan of another key schema is given the digests of ours, so that it can be
/// compared by its fields; of the same schema, every digest in it must be right.
pub fn from_json_lines(text: &str) -> Result<Plan, ReadError> {
    if text.len() > PLAN_BYTES {
        return Err(ReadError::TooLarge("more than 1 GiB"));
    }
    let mut lines = text.split_terminator('\n').enumerate().map(|(index, line)| (index + 1, line));
    let (_, first) = lines.next().ok_or_else(|| ReadError::NotAPlan("it is empty".to_owned()))?;
    bounded(first).map_err(|why| ReadError::NotAPlan(why.to_owned()))?;
    let header: Header = parse_header(first)?;
    if header.key_schema == 0 {
        return Err(at(1, "schemas of keys count from 1"));
    }
    if header.actions > ACTIONS {
        return Err(ReadError::TooLarge("more than 1,000,000 actions"));
    }
    // What the header promises is not reserved before it is seen.
    let mut parsed: Vec<(usize, ActionLine)> = Vec::new();
    for (line, text) in lines {
        if parsed.len() == header.actions {
            return Err(at(line, format!("the header promises {} actions, and this is one more", header.actions)));
        }
        bounded(text).map_err(|why| at(line, why))?;
        let item: ActionLine = serde_json::from_str(text).map_err(|error| at(line, plain(&error)))?;
        if let Some((_, last)) = parsed.last()
            && last.addr >= item.addr
        {
            return Err(at(line, format!("`{}` comes after `{}`: addresses must rise", item.addr, last.addr)));
        }
        parsed.push((line, item));
    }
    if parsed.len() < header.actions {
        return Err(ReadError::Untrue(format!(
            "the header promises {} actions, but there are {}: the file was cut off",
            header.actions,
            parsed.len()
        )));
    }
    build(header, parsed)
}

fn parse_header(first: &str) -> Result<Header, ReadError> {
    #[derive(Deserialize)]
    struct Version {
        plan: u32,
    }
    // The version first: another format may have other fields.
    let version: Version = serde_json::from_str(first).map_err(|error| ReadError::NotAPlan(plain(&error)))?;
    if version.plan != PLAN_FORMAT {
        return Err(ReadError::Format { found: version.plan });
    }
    let header: Header = serde_json::from_str(first).map_err(|error| at(1, plain(&error)))?;
    debug_assert_eq!(header.plan, version.plan);
    Ok(header)
}

fn build(header: Header, parsed: Vec<(usize, ActionLine)>) -> Result<Plan, ReadError> {
    let mut tools = Vec::with_capacity(header.tools.len());
    for tool in header.tools {
        let tool = read_tool(tool).map_err(|why| at(1, why))?;
        if tools.last().is_some_and(|last: &Tool| last.name >= tool.name) {
            return Err(at(1, format!("tool `{}`: names of tools must rise", tool.name)));
        }
        tools.push(tool);
    }
    let ids: BTreeMap<String, ActionId> =
        parsed.iter().enumerate().map(|(index, (_, item))| (item.addr.clone(), ActionId(index as u32))).collect();
    let mut actions = Vec::with_capacity(parsed.len());
    let mut claimed = Vec::with_capacity(parsed.len());
    for (line, item) in parsed {
        let digests = (digest(&item.def), digest(&item.skey));
        let (Ok(def), Ok(skey)) = digests else { return Err(at(line, "`def` or `skey` is not a digest")) };
        claimed.push((line, def, skey));
        actions.push(read_action(item, &ids).map_err(|why| at(line, why))?);
    }
    let promised = digest(&header.digest).map_err(|why| at(1, why))?;
    let mut services = Vec::with_capacity(header.services.len());
    for line in header.services {
        let service = read_service(line, &ids).map_err(|why| at(1, why))?;
        if services.last().is_some_and(|last: &Service| last.name >= service.name) {
            return Err(at(1, format!("service `{}`: names of services must rise", service.name)));
        }
        services.push(service);
    }
    let policies = match header.policies {
        Some(line) => read_policies(line).map_err(|why| at(1, why))?,
        None => Policies::default(),
    };
    let schemas = read_schemas(header.schemas).map_err(|why| at(1, why))?;
    check_schemas(&schemas, &actions).map_err(|why| at(1, why))?;
    let said: Vec<Digest> = services.iter().map(|service| service.def).collect();
    let mut plan = Plan {
        graph: header.graph,
        actions,
        tools,
        pools: header.pools,
        concurrency: header.concurrency,
        services,
        terms: header.terms,
        policies,
        schemas,
        digest: promised,
    };
    for ((line, ..), action) in claimed.iter().zip(&plan.actions) {
        check_services(&plan, action).map_err(|why| at(*line, why))?;
    }
    for ((line, ..), action) in claimed.iter().zip(&plan.actions) {
        let ends = |output: &str, id: ActionId| plan.action(id).spec.outputs.iter().any(|known| known.name == output);
        for input in &action.spec.inputs {
            if let InputSource::Output { action: id, output, .. } = &input.source
                && !ends(output, *id)
            {
                return Err(at(*line, format!("`{}` has no output `{output}`", plan.action(*id).addr)));
            }
        }
    }
    check_rollbacks(&plan).map_err(|(index, why)| at(claimed[index].0, why))?;
    if topological(&plan).len() < plan.actions.len() {
        return Err(ReadError::Untrue("its actions wait for each other in a circle".to_owned()));
    }
    seal(&mut plan);
    if header.key_schema == ActionKey::SCHEMA {
        for ((line, def, skey), action) in claimed.iter().zip(&plan.actions) {
            if (*def, *skey) != (action.def, action.skey) {
                let which = if *def == action.def { "skey" } else { "def" };
                return Err(at(*line, format!("`{which}` of `{}` is not that of its fields", action.addr)));
            }
        }
        if let Some((service, _)) = plan.services.iter().zip(&said).find(|(service, said)| service.def != **said) {
            return Err(at(1, format!("`def` of service `{}` is not that of its fields", service.name)));
        }
        if plan.digest != promised {
            return Err(ReadError::Untrue(format!(
                "the digest in its header is b3:{promised}, but that of its actions is b3:{}",
                plan.digest
            )));
        }
    }
    Ok(plan)
}

fn at(line: usize, why: impl Into<String>) -> ReadError {
    ReadError::Line { line, why: why.into() }
}

/// The words of the parser without its own place, which is within the line.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(cut) => format!("{}, column {}", &text[..cut], error.column()),
        None => text,
    }
}

/// Looks at the nesting before the parser does.
fn bounded(line: &str) -> Result<(), &'static str> {
    if line.len() > LINE_BYTES {
        return Err("the line is longer than 64 MiB");
    }
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_text => drop(bytes.next()),
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEPTH {
                    return Err("it is nested deeper than a plan is");
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn digest(text: &str) -> Result<Digest, String> {
    // The written form has no `b3:`.
    if text.len() == 64 { text.parse().map_err(|_| not_a_digest(text)) } else { Err(not_a_digest(text)) }
}

fn not_a_digest(text: &str) -> String {
    format!("`{}` is not a digest", text.chars().take(80).collect::<String>())
}

fn path(text: &str) -> Result<RelPath, String> {
    let path = RelPath::new(text).map_err(|error| error.to_string())?;
    if path.as_str() == text { Ok(path) } else { Err(format!("`{text}` is not in its written form `{path}`")) }
}

fn read_tool(line: ToolLine) -> Result<Tool, String> {
    let exec = match line.exec {
        ExecLine::Lookup(name) => ToolExec::Lookup(name),
        ExecLine::Workspace(file) => ToolExec::Workspace(path(&file)?),
    };
    Ok(Tool {
        name: line.name,
        exec,
        fingerprint: line.fingerprint,
        uses: line.uses,
        pass_env: line.pass_env,
        supplier: line.supplier,
        version: line.version,
    })
}

fn read_action(line: ActionLine, ids: &BTreeMap<String, ActionId>) -> Result<Action, String> {
    let id = |addr: &str| ids.get(addr).copied().ok_or_else(|| format!("there is no action `{addr}` in the plan"));
    let kind = read_body(&line.kind, line.body.get())?;
    let class = Class::parse(&line.class).ok_or_else(|| format!("`{}` is no class", line.class))?;
    let level = [Isolation::None, Isolation::Landlock, Isolation::Full];
    let isolation = level.into_iter().find(|level| level.word() == line.isolation);
    let isolation = isolation.ok_or_else(|| format!("`{}` is no isolation", line.isolation))?;
    let inputs = line.inputs.into_iter().map(|input| read_input(input, &id)).collect::<Result<Vec<_>, _>>()?;
    if !inputs.is_sorted() {
        return Err("its inputs are not in order".to_owned());
    }
    let outputs = line.outputs.into_iter().map(read_output).collect::<Result<Vec<_>, _>>()?;
    if outputs.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err("two of its outputs have one name".to_owned());
    }
    let holds = line.holds.into_iter().map(|(pool, amount)| ResourceNeed { pool, amount }).collect();
    let retry = line.retry.as_deref().map(read_retry).transpose()?;
    let after = line.after.iter().map(|addr| id(addr)).collect::<Result<Vec<_>, _>>()?;
    let spec = ActionSpec {
        kind,
        class,
        env: line.env,
        inputs,
        outputs,
        tools: line.tools,
        services: line.services,
        secrets: line.secrets,
        take: line.take,
        cwd: line.cwd.as_deref().map(path).transpose()?,
        isolation,
        limits: read_limits(line.limits)?,
    };
    let unknown = Digest::from_bytes([0; 32]);
    let gate = line.gate.map(read_gate).transpose()?;
    let automation = line.automation.as_deref().map(|word| {
        let found = Automation::ALL.into_iter().find(|level| level.word() == word);
        found.ok_or_else(|| format!("`{word}` is no level of automation"))
    });
    let policy = Policy {
        timeout_ms: line.timeout_ms,
        node_timeout: line.node_timeout,
        retry,
        holds,
        gate,
        automation: automation.transpose()?,
        idempotent: line.idempotent,
        price: line.price.map(PriceLine::read).transpose()?,
        rollback: line.rollback,
    };
    Ok(Action { addr: line.addr, spec, policy, def: unknown, skey: unknown, after, route: line.route })
}

fn read_limits(limits: BTreeMap<String, u64>) -> Result<BTreeMap<String, u64>, String> {
    match limits.iter().find(|(name, most)| !LIMITS.contains(&name.as_str()) || **most == 0) {
        Some((name, most)) => Err(format!("`{name}` of {most} is no limit")),
        None => Ok(limits),
    }
}

fn read_policies(line: PoliciesLine) -> Result<Policies, String> {
    let schedule = Schedule::ALL.into_iter().find(|schedule| schedule.word() == line.schedule);
    let cancel = match line.cancel {
        Some(word) => Some(
            Cancel::ALL
                .into_iter()
                .find(|cancel| cancel.word() == word)
                .ok_or_else(|| format!("`{word}` is no way to cancel"))?,
        ),
        None => None,
    };
    if line.breaker == Some(0) {
        return Err("a breaker counts at least one failure".to_owned());
    }
    let policies = Policies {
        schedule: schedule.ok_or_else(|| format!("`{}` is no schedule", line.schedule))?,
        cancel,
        breaker: line.breaker,
        deadline_ms: line.deadline_ms,
    };
    if policies == Policies::default() { Err("its policies say nothing".to_owned()) } else { Ok(policies) }
}

fn read_vars(vars: Vars) -> Result<BTreeMap<String, RenderValue>, String> {
    let value = |value| {
        Ok::<_, String>(match value {
            VarLine::Text(text) => RenderValue::Text(text),
            VarLine::List(items) => RenderValue::List(items),
            VarLine::File(file) => RenderValue::File(path(&file)?),
            VarLine::Json(file) => RenderValue::Json(path(&file)?),
        })
    };
    vars.0.into_iter().map(|(name, known)| Ok((name, value(known)?))).collect()
}

fn read_body(kind: &str, body: &str) -> Result<ActionKind, String> {
    fn parsed<'de, T: Deserialize<'de>>(kind: &str, body: &'de str) -> Result<T, String> {
        serde_json::from_str(body).map_err(|error| format!("its body is not that of `{kind}`: {}", plain(&error)))
    }
    Ok(match kind {
        "exec/1" => {
            let ExecBody { tool, args } = parsed(kind, body)?;
            ActionKind::Exec { tool, args }
        }
        "copy/1" => ActionKind::Copy { from: path(&parsed::<CopyBody>(kind, body)?.from)? },
        "write/1" => ActionKind::Write { text: parsed::<WriteBody>(kind, body)?.text },
        "render/1" => {
            let RenderBody { template, vars } = parsed(kind, body)?;
            ActionKind::Render { template: path(&template)?, vars: read_vars(vars)? }
        }
        "request/1" => {
            let RequestBody { prompt, vars, facts } = parsed(kind, body)?;
            ActionKind::Request { prompt, vars: read_vars(vars)?, facts }
        }
        "merge-json/1" => {
            let from = parsed::<MergeBody>(kind, body)?.from;
            ActionKind::MergeJson { from: from.iter().map(|from| path(from)).collect::<Result<_, _>>()? }
        }
        "gate/1" => {
            let GateBody { subjects, require } = parsed(kind, body)?;
            let subjects: Vec<GateSubject> = subjects.into_iter().map(read_subject).collect::<Result<_, _>>()?;
            if subjects.windows(2).any(|pair| pair[0].name >= pair[1].name) {
                return Err("names of subjects must rise".to_owned());
            }
            ActionKind::Gate { subjects, require: require.into_iter().map(read_predicate).collect::<Result<_, _>>()? }
        }
        "http/1" => ActionKind::Http(parsed::<HttpBody>(kind, body)?.read()?),
        "sbom/1" => ActionKind::Sbom(parsed::<SbomBody>(kind, body)?.read()?),
        "approval/1" => {
            let line = parsed::<ApprovalBody>(kind, body)?.approval;
            let member = |line: MemberLine| Approver { name: line.name, key: line.key, email: line.email };
            ActionKind::Approval(Approval {
                group: line.group,
                members: line.members.map(|members| members.into_iter().map(member).collect()),
                min: line.min,
                distinct: line.distinct,
                expires_ms: line.expires_ms,
                by_name: line.by_name,
            })
        }
        other => return Err(format!("this version does not know the kind `{other}`")),
    })
}

fn read_subject(line: SubjectLine) -> Result<GateSubject, String> {
    let reads = Reads::ALL.into_iter().find(|reads| reads.word() == line.reads);
    let reads = reads.ok_or_else(|| format!("a gate cannot read `{}`", line.reads))?;
    let at = line.at.iter().map(|at| path(at)).collect::<Result<_, _>>()?;
    Ok(GateSubject { name: line.name, reads, at })
}

fn read_predicate(line: PredicateLine) -> Result<Predicate, String> {
    let many = |all: Vec<PredicateLine>| all.into_iter().map(read_predicate).collect::<Result<Vec<_>, _>>();
    Ok(match line {
        PredicateLine { path: Some(path), op: Some(op), value: Some(value), all: None, any: None, not: None } => {
            let known = GateOp::ALL.into_iter().find(|known| known.word() == op);
            let op = known.ok_or_else(|| format!("`{op}` is no comparison"))?;
            let value = match value {
                ValueLine::Number(text) => GateValue::Number(text),
                ValueLine::Text(text) => GateValue::Text(text),
                ValueLine::Flag(flag) => GateValue::Flag(flag),
            };
            Predicate::Test { path, op, value }
        }
        PredicateLine { path: None, op: None, value: None, all: Some(all), any: None, not: None } => {
            Predicate::All(many(all)?)
        }
        PredicateLine { path: None, op: None, value: None, all: None, any: Some(any), not: None } => {
            Predicate::Any(many(any)?)
        }
        PredicateLine { path: None, op: None, value: None, all: None, any: None, not: Some(not) } => {
            Predicate::Not(many(not)?)
        }
        _ => return Err("a predicate is a test, or one of `all`, `any` and `not`".to_owned()),
    })
}

fn read_gate(line: GateLine) -> Result<GateNote, String> {
    let concern = Concern::ALL.into_iter().find(|concern| concern.word() == line.concern);
    let concern = concern.ok_or_else(|| format!("`{}` is no concern of a gate", line.concern))?;
    Ok(GateNote { name: line.name, kind: line.kind, concern, messages: line.messages })
}

fn read_input(line: InputLine, id: &dyn Fn(&str) -> Result<ActionId, String>) -> Result<Input, String> {
    match line {
        InputLine {
            workspace: Some(pattern),
            optional: Some(optional),
            at: None,
            from: None,
            output: None,
            select: None,
        } => Ok(Input { dest: None, source: InputSource::Workspace { pattern, optional } }),
        InputLine { workspace: None, optional: None, at: Some(at), from: Some(from), output: Some(output), select } => {
            let dest = if at == "." { None } else { Some(path(&at)?) };
            Ok(Input { dest, source: InputSource::Output { action: id(&from)?, output, select } })
        }
        _ => Err("an input is neither of the workspace nor an output".to_owned()),
    }
}

fn read_output(line: OutputLine) -> Result<Output, String> {
    let kind = [OutputKind::File, OutputKind::Dir].into_iter().find(|kind| kind.word() == line.kind);
    let kind = kind.ok_or_else(|| format!("`{}` is no kind of output", line.kind))?;
    let promised = line.digest.as_deref().map(digest).transpose()?;
    let schema = line.schema.as_deref().map(digest).transpose()?;
    if schema.is_some() && kind == OutputKind::Dir {
        return Err(format!("`{}` is a folder, which fits no schema", line.name));
    }
    Ok(Output { name: line.name, path: path(&line.path)?, kind, digest: promised, schema })
}

/// The inverse of [`Retry::describe`].
fn read_retry(text: &str) -> Result<Retry, String> {
    let parse = || {
        let (max, rest) = text.split_once(" on ")?;
        let (on, backoff) = rest.split_once(", ")?;
        let on = match on {
            "transient" => RetryOn::Transient,
            "timeout" => RetryOn::Timeout,
            "any" => RetryOn::Any,
            _ => return None,
        };
        let (ms, how) = backoff.split_once("ms ")?;
        let ms = ms.parse().ok()?;
        let backoff = match how {
            "fixed" => Backoff::Fixed(ms),
            "exponential" => Backoff::Exponential(ms),
            _ => return None,
        };
        Some(Retry { max: max.parse().ok()?, on, backoff })
    };
    let retry = parse().filter(|retry| retry.describe() == text);
    retry.ok_or_else(|| format!("`{}` is no retry policy", text.chars().take(80).collect::<String>()))
}
