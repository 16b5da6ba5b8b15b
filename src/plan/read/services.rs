//! Services of a plan file: their lines, read strictly. Leaves out actions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{InputLine, digest, path, read_body, read_input, unique};
use crate::plan::{Action, ActionId, ActionSpec, Class, Isolation, Plan, Port, Ready, Service};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceLine {
    name: String,
    def: String,
    body: Box<RawValue>,
    cwd: Option<String>,
    #[serde(deserialize_with = "unique")]
    env: BTreeMap<String, String>,
    tools: Vec<String>,
    inputs: Vec<InputLine>,
    ports: Vec<PortLine>,
    ready: ReadyLine,
    within_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortLine {
    name: String,
    scheme: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum ReadyLine {
    Http { port: String, path: String },
    Tcp(String),
    Log(String),
    Command { tool: String, args: Vec<String> },
}

/// Checks that an action uses services of the plan, and comes after what these take in.
pub(super) fn check_services(plan: &Plan, action: &Action) -> Result<(), String> {
    if !action.spec.services.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err("the names of its services must rise".to_owned());
    }
    let before = if action.spec.services.is_empty() { Vec::new() } else { action.dependencies() };
    for name in &action.spec.services {
        let service = plan.service(name).ok_or_else(|| format!("there is no service `{name}` in the plan"))?;
        if let Some(id) = service.producers().find(|id| !before.contains(id)) {
            return Err(format!("it does not come after `{}`, which its service takes in", plan.action(id).addr));
        }
    }
    Ok(())
}

pub(super) fn read_service(line: ServiceLine, ids: &BTreeMap<String, ActionId>) -> Result<Service, String> {
    let name = line.name;
    let wrong = |why: String| format!("service `{name}`: {why}");
    let id = |addr: &str| ids.get(addr).copied().ok_or_else(|| format!("there is no action `{addr}` in the plan"));
    let kind = read_body("exec/1", line.body.get()).map_err(wrong)?;
    let inputs = line.inputs.into_iter().map(|input| read_input(input, &id)).collect::<Result<Vec<_>, _>>();
    let inputs = inputs.map_err(wrong)?;
    if !inputs.is_sorted() {
        return Err(wrong("its inputs are not in order".to_owned()));
    }
    let ready = match line.ready {
        ReadyLine::Http { port, path } => Ready::Http { port, path },
        ReadyLine::Tcp(port) => Ready::Tcp { port },
        ReadyLine::Log(pattern) => Ready::Log { pattern },
        ReadyLine::Command { tool, args } => Ready::Command { tool, args },
    };
    let ports: Vec<Port> = line.ports.into_iter().map(|port| Port { name: port.name, scheme: port.scheme }).collect();
    if let Ready::Http { port, .. } | Ready::Tcp { port } = &ready
        && !ports.iter().any(|known| known.name == *port)
    {
        return Err(wrong(format!("it has no port `{port}`")));
    }
    let def = digest(&line.def).map_err(wrong)?;
    let spec = ActionSpec {
        kind,
        class: Class::Volatile,
        env: line.env,
        inputs,
        outputs: Vec::new(),
        tools: line.tools,
        services: Vec::new(),
        secrets: BTreeMap::new(),
        take: None,
        cwd: line.cwd.as_deref().map(path).transpose().map_err(wrong)?,
        isolation: Isolation::None,
        limits: BTreeMap::new(),
    };
    Ok(Service { name, spec, ports, ready, within_ms: line.within_ms, def })
}
