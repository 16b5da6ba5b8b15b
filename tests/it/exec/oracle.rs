//! Random graphs through random sequences of edits, losses and runs, beside an oracle that knows no keys and
//! no store: it computes every content anew and remembers what was made of what. What runs is exactly what
//! the oracle has not seen, and what is foretold comes true. Leaves out processes, which cost time and
//! decide nothing here.
//!
//! `PARTITA_ORACLE_GRAPHS` is the number of graphs: a few in every run of the tests, 5,000 for the figure.

use std::collections::{BTreeMap, BTreeSet};

use partita::base::{ActionKey, Environment};
use partita::event::Outcome;
use partita::exec::{Prospect, forecast};
use partita::plan::ActionKind;
use partita::store::Claims as _;

use super::support::{Draft, World, path, plan};

/// The same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// An action that merges JSON objects: a file of the workspace, and what others left. Few names and few
/// values, so that equal outputs come about often.
struct Node {
    addr: String,
    file: usize,
    above: Vec<usize>,
    /// In which order its inputs are merged.
    order: Vec<usize>,
}

type Object = BTreeMap<&'static str, usize>;

const FILES: usize = 4;
const NAMES: [&str; 3] = ["a", "b", "c"];

struct Case {
    nodes: Vec<Node>,
    files: Vec<Object>,
    /// What the oracle has seen made: of which inputs in which order, as which output.
    seen: BTreeSet<String>,
    /// Under which keys each was made.
    keys: BTreeMap<String, ActionKey>,
}

fn object(random: &mut Random) -> Object {
    (0..=random.below(2)).map(|_| (NAMES[random.below(NAMES.len())], random.below(3))).collect()
}

fn shuffled(random: &mut Random, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        order.swap(at, random.below(at + 1));
    }
    order
}

impl Case {
    fn new(random: &mut Random) -> Self {
        let count = 2 + random.below(9);
        let mut nodes = Vec::new();
        for number in 0..count {
            let above: BTreeSet<usize> = (0..random.below(4).min(number)).map(|_| random.below(number)).collect();
            let above: Vec<usize> = above.into_iter().collect();
            let order = shuffled(random, above.len() + 1);
            nodes.push(Node { addr: format!("g/n{number:02}"), file: random.below(FILES), above, order });
        }
        let files = (0..FILES).map(|_| object(random)).collect();
        Self { nodes, files, seen: BTreeSet::new(), keys: BTreeMap::new() }
    }

    /// Where the inputs of a node are staged, in the order of `above`, with the file last.
    fn places(node: &Node) -> Vec<String> {
        let mut places: Vec<String> = node.above.iter().map(|above| format!("i{above}")).collect();
        places.push(format!("src/{}.json", node.file));
        places
    }

    fn write(&self, world: &World, file: usize) {
        let text = serde_json::to_string(&self.files[file]).unwrap();
        world.write(&format!("src/{file}.json"), text);
    }

    fn drafts(&self) -> Vec<Draft> {
        let draft = |(number, node): (usize, &Node)| {
            let places = Self::places(node);
            let from = node.order.iter().map(|at| path(&places[*at])).collect();
            let mut draft = Draft::new(&node.addr, ActionKind::MergeJson { from });
            draft = draft.input(&places[places.len() - 1]);
            for (above, place) in node.above.iter().zip(&places) {
                draft = draft.from(place, &self.nodes[*above].addr, &format!("o{above}"));
            }
            // The name of the output keeps actions apart that do the same.
            draft.output(&format!("o{number}"))
        };
        self.nodes.iter().enumerate().map(draft).collect()
    }

    /// What each node is made of and what comes of it, by plain recursion over objects.
    fn made(&self) -> Vec<(String, Object)> {
        let mut made: Vec<(String, Object)> = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut inputs: Vec<&Object> = node.above.iter().map(|above| &made[*above].1).collect();
            inputs.push(&self.files[node.file]);
            let places = Self::places(node);
            let mut of = format!("o{number}");
            let mut result = Object::new();
            for at in &node.order {
                of.push_str(&format!("; {} {:?}", places[*at], inputs[*at]));
                result.extend(inputs[*at].iter().map(|(name, value)| (*name, *value)));
            }
            made.push((of, result));
        }
        made
    }

    /// Changes something; what changes nothing of any content is among it.
    fn change(&mut self, random: &mut Random, world: &World) -> String {
        let at = random.below(self.nodes.len());
        match random.below(7) {
            0 | 1 => {
                let file = random.below(FILES);
                self.files[file] = object(random);
                self.write(world, file);
                format!("file {file} is {:?}", self.files[file])
            }
            2 => {
                self.nodes[at].order = shuffled(random, self.nodes[at].above.len() + 1);
                format!("{at} merges in the order {:?}", self.nodes[at].order)
            }
            3 => {
                self.nodes[at].addr = format!("g/r{:02}{at:02}", random.below(90));
                format!("{at} is {}", self.nodes[at].addr)
            }
            4 | 5 => {
                let known: Vec<String> = self.seen.iter().cloned().collect();
                let lost = known[random.below(known.len())].clone();
                self.seen.remove(&lost);
                world.memory.forget(self.keys[&lost]).unwrap();
                format!("lost: {lost}")
            }
            _ => "nothing".to_owned(),
        }
    }

    /// Foretells, runs, and compares both with the oracle. Returns how many ran.
    fn run(&mut self, world: &World, story: &[String]) -> usize {
        let plan = plan(self.drafts());
        let foretold = forecast(&world.request(plan.build()), &world.ports(), &BTreeSet::new()).unwrap();
        let report = world.execute(world.request(plan.build())).unwrap();
        let mut ran = 0;
        for (node, (of, _)) in self.nodes.iter().zip(self.made()) {
            let action = report.action(&node.addr).unwrap();
            let has_run = action.outcome == Outcome::Ran;
            let prospect = foretold.actions.iter().find(|action| action.addr == node.addr).unwrap().prospect;
            let place = || format!("{}: {of}: {:?}, foretold {prospect:?}\n{story:#?}", node.addr, action.outcome);
            assert_eq!(has_run, self.seen.insert(of.clone()), "{}", place());
            match prospect {
                Prospect::Hit => assert_eq!(action.outcome, Outcome::Cached, "{}", place()),
                Prospect::Run => assert!(has_run, "{}", place()),
                Prospect::MaybeCutOff => assert!(has_run || action.outcome == Outcome::CutOff, "{}", place()),
                other => panic!("{other:?}: {}", place()),
            }
            self.keys.insert(of, action.key.expect("it ended well"));
            ran += usize::from(has_run);
        }
        ran
    }
}

#[test]
fn what_runs_is_what_an_oracle_has_not_seen_and_what_was_foretold() {
    let given = Environment::of_process().raw("PARTITA_ORACLE_GRAPHS").cloned();
    let graphs: u64 = given.and_then(|value| value.to_str()?.parse().ok()).unwrap_or(40);
    let (mut runs, mut ran, mut known) = (0, 0, 0);
    for number in 0..graphs {
        let mut random = Random((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut case = Case::new(&mut random);
        let world = World::new();
        for file in 0..FILES {
            case.write(&world, file);
        }
        let mut story = vec![format!("graph {number}")];
        for _ in 0..4 {
            let now = case.run(&world, &story);
            runs += 1;
            ran += now;
            known += case.nodes.len() - now;
            for _ in 0..=random.below(2) {
                story.push(case.change(&mut random, &world));
            }
        }
    }
    assert!(ran > 0 && known > ran / 2, "{ran} ran, {known} known");
    println!("{graphs} graphs, {runs} runs foretold: {ran} actions ran, {known} did not, each as the oracle says");
}
