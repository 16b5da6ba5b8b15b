//! Random plans and random changes of them, with what a perfect difference would say. Leaves out the
//! difference.

use std::collections::{BTreeMap, BTreeSet};

use partita::base::{Digest, RelPath};
use partita::plan::{
    Action, ActionId, ActionKind, ActionSpec, Class, Input, InputSource, Isolation, Output, OutputKind, Plan, Policies,
    Policy, Terms, Tool, ToolExec, seal,
};

/// A small generator: the same numbers on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// An action before it is one.
#[derive(Clone, Debug)]
pub(super) struct Node {
    tool: &'static str,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Where producers' outputs are staged, with their addresses.
    inputs: BTreeMap<String, String>,
    timeout_ms: Option<u64>,
    class: Class,
}

/// A graph by address, with versions of its tools.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) nodes: BTreeMap<String, Node>,
    tools: BTreeMap<&'static str, String>,
}

/// What a perfect difference says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Truth {
    pub(super) roots: BTreeSet<String>,
    pub(super) tools: BTreeSet<String>,
    pub(super) moved: BTreeSet<(String, String)>,
    pub(super) added: BTreeSet<String>,
    pub(super) removed: BTreeSet<String>,
    pub(super) privileged: BTreeSet<String>,
}

impl Truth {
    pub(super) fn causes(&self) -> usize {
        self.roots.len() + self.tools.len() + self.moved.len() + self.added.len() + self.removed.len()
    }
}

const TOOLS: &[&str] = &["cc", "ld", "sh", "gen"];

impl Graph {
    pub(super) fn random(random: &mut Random, count: usize) -> Self {
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for number in 0..count {
            let mut node = Node {
                tool: TOOLS[random.below(TOOLS.len())],
                args: vec!["-O2".to_owned(), format!("unit-{number}"), "-o".to_owned(), "o".to_owned()],
                env: BTreeMap::from([("MODE".to_owned(), "plain".to_owned())]),
                inputs: BTreeMap::new(),
                timeout_ms: None,
                class: Class::Pure,
            };
            for place in 0..random.below(4).min(number) {
                // Near ones, so that the graph is deep; sometimes a far one.
                let back = if random.below(5) == 0 { number } else { number.min(40) };
                let producer = order[number - 1 - random.below(back)].clone();
                node.inputs.insert(format!("in{place}"), producer);
            }
            let addr = format!("g/group{}/node{number:05}", random.below(9));
            order.push(addr.clone());
            nodes.insert(addr, node);
        }
        let tools = TOOLS.iter().map(|name| (*name, ">=1".to_owned())).collect();
        Self { nodes, tools }
    }

    pub(super) fn plan(&self) -> Plan {
        let ids: BTreeMap<&str, u32> = self.nodes.keys().zip(0..).map(|(addr, id)| (addr.as_str(), id)).collect();
        let unknown = Digest::from_bytes([0; 32]);
        let path = |text: &str| RelPath::new(text).expect("it is relative");
        let actions = self.nodes.iter().map(|(addr, node)| {
            let mut inputs: Vec<Input> = node
                .inputs
                .iter()
                .map(|(place, producer)| Input {
                    dest: Some(path(place)),
                    source: InputSource::Output {
                        action: ActionId(ids[producer.as_str()]),
                        output: "o".to_owned(),
                        select: None,
                    },
                })
                .collect();
            inputs.sort();
            Action {
                addr: addr.clone(),
                spec: ActionSpec {
                    kind: ActionKind::Exec { tool: node.tool.to_owned(), args: node.args.clone() },
                    class: node.class,
                    env: node.env.clone(),
                    secrets: BTreeMap::new(),
                    inputs,
                    outputs: vec![Output {
                        name: "o".to_owned(),
                        path: path("o"),
                        kind: OutputKind::File,
                        digest: None,
                        schema: None,
                    }],
                    tools: vec![node.tool.to_owned()],
                    services: Vec::new(),
                    take: None,
                    cwd: None,
                    isolation: Isolation::None,
                    limits: BTreeMap::new(),
                },
                policy: Policy { timeout_ms: node.timeout_ms, ..Policy::default() },
                def: unknown,
                skey: unknown,
                after: Vec::new(),
                route: None,
            }
        });
        let mut plan = Plan {
            terms: Terms::default(),
            graph: "g".to_owned(),
            actions: actions.collect(),
            tools: self
                .tools
                .iter()
                .map(|(name, version)| Tool {
                    name: (*name).to_owned(),
                    exec: ToolExec::Lookup((*name).to_owned()),
                    fingerprint: Some(vec!["--version".to_owned()]),
                    uses: Vec::new(),
                    pass_env: Vec::new(),
                    supplier: None,
                    version: Some(version.clone()),
                })
                .collect(),
            pools: BTreeMap::new(),
            concurrency: None,
            services: Vec::new(),
            policies: Policies::default(),
            schemas: BTreeMap::new(),
            digest: unknown,
        };
        plan.tools.sort_by(|a, b| a.name.cmp(&b.name));
        seal(&mut plan);
        plan
    }

    /// Makes up to `count` changes, no two of one action, and tells what they are.
    pub(super) fn change(&self, random: &mut Random, count: usize) -> (Self, Truth) {
        let mut new = self.clone();
        let mut truth = Truth::default();
        let mut touched: BTreeSet<String> = BTreeSet::new();
        let addrs: Vec<String> = self.nodes.keys().cloned().collect();
        for number in 0..count {
            let addr = addrs[random.below(addrs.len())].clone();
            if !touched.insert(addr.clone()) {
                continue;
            }
            match random.below(9) {
                0 => {
                    let node = new.nodes.get_mut(&addr).expect("it was not touched");
                    node.args[0] = format!("-O{number}-changed");
                    truth.roots.insert(addr);
                }
                1 => {
                    let node = new.nodes.get_mut(&addr).expect("it was not touched");
                    node.env.insert(format!("VAR{number}"), "set".to_owned());
                    truth.roots.insert(addr);
                }
                2 => {
                    let node = new.nodes.get_mut(&addr).expect("it was not touched");
                    node.timeout_ms = Some(1_000 + number as u64);
                    truth.roots.insert(addr);
                }
                3 => {
                    let node = new.nodes.get_mut(&addr).expect("it was not touched");
                    node.class = Class::Volatile;
                    truth.roots.insert(addr.clone());
                    truth.privileged.insert(addr);
                }
                4 => {
                    let to = format!("g/renamed/{number}");
                    let node = new.nodes.remove(&addr).expect("it was not touched");
                    new.nodes.insert(to.clone(), node);
                    for other in new.nodes.values_mut() {
                        for producer in other.inputs.values_mut().filter(|producer| **producer == addr) {
                            producer.clone_from(&to);
                        }
                    }
                    truth.moved.insert((addr, to));
                }
                5 => {
                    // An input of its own is dropped: what it took in is one less.
                    let node = new.nodes.get_mut(&addr).expect("it was not touched");
                    if node.inputs.pop_first().is_some() {
                        truth.roots.insert(addr);
                    }
                }
                6 => {
                    let mut node = self.nodes[&addr].clone();
                    node.args[1] = format!("new-{number}");
                    // What it takes in may have been renamed by now.
                    node.inputs.clear();
                    let to = format!("g/new{number}/node");
                    new.nodes.insert(to.clone(), node);
                    truth.added.insert(to);
                }
                7 => {
                    let used = new.nodes.values().any(|node| node.inputs.values().any(|producer| *producer == addr));
                    if !used {
                        new.nodes.remove(&addr);
                        truth.removed.insert(addr);
                    }
                }
                _ => {
                    // It takes one of its inputs from another; a cause of its own, as no field differs.
                    let first = self.nodes.keys().find(|other| {
                        self.nodes[*other].inputs.is_empty() && **other != addr && new.nodes.contains_key(*other)
                    });
                    let (Some(first), Some(node)) = (first.cloned(), new.nodes.get_mut(&addr)) else { continue };
                    if let Some(mut entry) = node.inputs.first_entry()
                        && *entry.get() != first
                    {
                        touched.insert(first.clone());
                        entry.insert(first);
                        truth.roots.insert(addr);
                    }
                }
            }
        }
        if random.below(4) == 0 {
            let name = TOOLS[random.below(TOOLS.len())];
            new.tools.insert(name, ">=2".to_owned());
            truth.tools.insert(name.to_owned());
            truth.privileged.insert(name.to_owned());
        }
        (new, truth)
    }
}
