//! Brings the inputs of an action together to one tree. Folders that only one input gives are
//! never looked into, so that merging costs what overlaps. Leaves out staging.

use std::collections::BTreeMap;

use crate::base::{Entry, RelPath, Tree};
use crate::exec::error::Trouble;
use crate::exec::levels::Levels;
use crate::exec::workspace::Workspace;
use crate::plan::{Action, ActionId, ActionSpec, Input, InputSource, Plan};
use crate::store::ClaimOutput;

/// The outputs of the actions that an action takes inputs from.
pub(super) type Produced = BTreeMap<ActionId, std::sync::Arc<Vec<ClaimOutput>>>;

/// A tree while inputs are put into it.
enum Node {
    /// An entry as one input gave it, by the index of that input. A folder here is not looked into
    /// unless another input reaches below it.
    Whole(Entry, usize),
    /// A folder that several inputs share.
    Shared(BTreeMap<String, Node>),
}

/// What an input is, for messages.
pub(super) fn describe(plan: &Plan, input: &Input) -> String {
    match &input.source {
        InputSource::Workspace { pattern, .. } => format!("input `{pattern}`"),
        InputSource::Output { action, output, .. } => {
            format!("output `{output}` of `{}`", plan.action(*action).addr)
        }
    }
}

/// The merged input tree of an action; every level is in `levels`.
pub(super) fn merge(
    plan: &Plan,
    spec: &ActionSpec,
    produced: &Produced,
    workspace: &Workspace,
    levels: &Levels,
) -> Result<Tree, Trouble> {
    let mut merger = Merger { plan, spec, levels, root: BTreeMap::new() };
    for (index, input) in spec.inputs.iter().enumerate() {
        match &input.source {
            InputSource::Workspace { pattern, optional } => match workspace.matching(pattern, levels)? {
                Some(tree) => merger.put_all(&*levels.get(tree)?, index)?,
                None if *optional => {}
                None => return Err(Trouble::input(format!("input `{pattern}` matches no file of the workspace"))),
            },
            InputSource::Output { action: producer, output, select } => {
                let put = merger.put_output(input, *producer, output, select.as_deref(), produced, index);
                put.map_err(|trouble| trouble.made_by(*producer))?;
            }
        }
    }
    finish(merger.root, levels)
}

/// The entry of a producer's output.
pub(super) fn output_entry<'a>(
    plan: &Plan,
    producer: ActionId,
    output: &str,
    produced: &'a Produced,
) -> Result<&'a Entry, Trouble> {
    let outputs = produced.get(&producer).map(|outputs| outputs.as_slice()).unwrap_or_default();
    let found = outputs.iter().find(|known| known.name == output);
    found
        .map(|known| &known.entry)
        .ok_or_else(|| Trouble::input(format!("`{}` has no output `{output}`", plan.action(producer).addr)))
}

struct Merger<'a> {
    plan: &'a Plan,
    spec: &'a ActionSpec,
    levels: &'a Levels,
    root: BTreeMap<String, Node>,
}

impl Merger<'_> {
    fn put_output(
        &mut self,
        input: &Input,
        producer: ActionId,
        output: &str,
        select: Option<&str>,
        produced: &Produced,
        index: usize,
    ) -> Result<(), Trouble> {
        let entry = output_entry(self.plan, producer, output, produced)?;
        let entry = match (entry, select) {
            (Entry::Dir { digest }, Some(pattern)) => {
                let Some(tree) = self.levels.select(*digest, pattern)? else {
                    let addr = &self.plan.action(producer).addr;
                    return Err(Trouble::input(format!(
                        "`{pattern}` selects nothing of output `{output}` of `{addr}`"
                    )));
                };
                Entry::Dir { digest: tree.digest() }
            }
            (entry, _) => entry.clone(),
        };
        let declared = || self.plan.action(producer).spec.outputs.iter().find(|known| known.name == output);
        let dest = input.dest.clone().or_else(|| declared().map(|known| known.path.clone()));
        match dest {
            Some(dest) => self.put(&dest, entry, index),
            None => Err(Trouble::input(format!("output `{output}` has no place to be staged at"))),
        }
    }

    /// Puts every entry of a level at the top.
    fn put_all(&mut self, tree: &Tree, index: usize) -> Result<(), Trouble> {
        for (name, entry) in &tree.entries {
            insert(self.levels, &mut self.root, name, entry.clone(), index)
                .map_err(|clash| self.explain(clash, index, name))?;
        }
        Ok(())
    }

    fn put(&mut self, dest: &RelPath, entry: Entry, index: usize) -> Result<(), Trouble> {
        let mut level = &mut self.root;
        let mut segments = dest.segments().peekable();
        while let Some(segment) = segments.next() {
            if segments.peek().is_none() {
                return insert(self.levels, level, segment, entry, index)
                    .map_err(|clash| self.explain(clash, index, dest.as_str()));
            }
            let node = level.entry(segment.to_owned()).or_insert_with(|| Node::Shared(BTreeMap::new()));
            open(self.levels, node).map_err(|clash| explain(self.plan, self.spec, clash, index, dest.as_str()))?;
            level = match node {
                Node::Shared(below) => below,
                Node::Whole(..) => return Err(Trouble::input(format!("`{dest}` lies below a file"))),
            };
        }
        Ok(())
    }

    fn explain(&self, clash: Clash, index: usize, at: &str) -> Trouble {
        explain(self.plan, self.spec, clash, index, at)
    }
}

/// Why an entry cannot be put where it should.
enum Clash {
    /// Another input gives something else there.
    With(usize),
    /// A level could not be read.
    Trouble(Trouble),
}

fn explain(plan: &Plan, spec: &ActionSpec, clash: Clash, index: usize, at: &str) -> Trouble {
    match clash {
        Clash::Trouble(trouble) => trouble,
        Clash::With(other) => Trouble::input(format!(
            "{} and {} both give `{at}`, with different contents: stage one of them elsewhere",
            describe(plan, &spec.inputs[other]),
            describe(plan, &spec.inputs[index]),
        )),
    }
}

/// Looks into a folder that was whole so far.
fn open(levels: &Levels, node: &mut Node) -> Result<(), Clash> {
    match node {
        Node::Shared(_) => Ok(()),
        Node::Whole(Entry::Dir { digest }, index) => {
            let tree = levels.get(*digest).map_err(Clash::Trouble)?;
            let index = *index;
            let below = tree.entries.iter().map(|(name, entry)| (name.clone(), Node::Whole(entry.clone(), index)));
            *node = Node::Shared(below.collect());
            Ok(())
        }
        Node::Whole(_, index) => Err(Clash::With(*index)),
    }
}

fn insert(
    levels: &Levels,
    level: &mut BTreeMap<String, Node>,
    name: &str,
    entry: Entry,
    index: usize,
) -> Result<(), Clash> {
    let Some(node) = level.get_mut(name) else {
        level.insert(name.to_owned(), Node::Whole(entry, index));
        return Ok(());
    };
    match (&*node, entry) {
        (Node::Whole(known, _), entry) if *known == entry => Ok(()),
        (_, Entry::Dir { digest }) => {
            open(levels, node)?;
            let Node::Shared(below) = node else { return Ok(()) };
            let tree = levels.get(digest).map_err(Clash::Trouble)?;
            for (name, entry) in &tree.entries {
                insert(levels, below, name, entry.clone(), index)?;
            }
            Ok(())
        }
        (node, _) => Err(Clash::With(first_index(node).unwrap_or(index))),
    }
}

fn first_index(node: &Node) -> Option<usize> {
    match node {
        Node::Whole(_, index) => Some(*index),
        Node::Shared(below) => below.values().find_map(first_index),
    }
}

fn finish(nodes: BTreeMap<String, Node>, levels: &Levels) -> Result<Tree, Trouble> {
    let mut tree = Tree::default();
    for (name, node) in nodes {
        let entry = match node {
            Node::Whole(entry, _) => entry,
            Node::Shared(below) => {
                let below = finish(below, levels)?;
                Entry::Dir { digest: levels.add(below) }
            }
        };
        tree.entries.insert(name, entry);
    }
    Ok(tree)
}

/// Which input gives a path of the merged tree, now or at an earlier run. A file of the workspace
/// is told by its being matched; for what is gone, the place of an output decides.
pub(super) fn producer_of(
    action: &Action,
    plan: &Plan,
    path: &str,
    workspace: &Workspace,
    levels: &Levels,
) -> Option<ActionId> {
    let mut producer = None;
    for input in &action.spec.inputs {
        match &input.source {
            InputSource::Workspace { pattern, .. } => {
                let tree = workspace.matching(pattern, levels).ok().flatten();
                let given = tree.and_then(|tree| levels.entry_at(&*levels.get(tree).ok()?, path).ok().flatten());
                if given.is_some() {
                    return None;
                }
            }
            InputSource::Output { action: id, output, .. } => {
                let declared = || plan.action(*id).spec.outputs.iter().find(|known| known.name == *output);
                let dest = input.dest.as_ref().or_else(|| declared().map(|known| &known.path));
                let touches = |dest: &str| {
                    let below =
                        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|r| r.is_empty() || r.starts_with('/'));
                    below(path, dest) || below(dest, path)
                };
                if dest.is_some_and(|dest| touches(dest.as_str())) {
                    producer = producer.or(Some(*id));
                }
            }
        }
    }
    producer
}
