//! The plan of a run as a file that need not be read whole: what takes from what, who reads which file,
//! and each action with the result it had, packed by itself. Leaves out what is done with it.
//!
//! `<key>.graph`: magic; length of the index (u32, little-endian); the index, packed; the actions and
//! results, one after the other, at the places that the index tells; the BLAKE3 of all before, by which
//! the memo knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::event::{Outcome, Reason};
use crate::exec::{Before, Known, RunReport};
use crate::ops::memo::file::{read, seal, sealed, write};
use crate::plan::{ActionId, Packed, Piece, Plan, pack, unpack};

const MAGIC: &[u8] = b"partita graph 1\n";

/// Numbers that the index may hold of what patterns match.
const MATCHES: usize = 16 << 20;

/// Where things are in a workspace: what specs say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ops) struct Site {
    pub(in crate::ops) root: String,
    pub(in crate::ops) store: String,
    pub(in crate::ops) state: String,
    pub(in crate::ops) out: String,
    pub(in crate::ops) excluded: Vec<String>,
}

/// An output in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    /// The number of its action.
    pub(super) action: u32,
    /// Which of the outputs that the action has.
    pub(super) output: u32,
    /// The first of the entries that it is looked at by.
    pub(super) first: u32,
    /// How many there are.
    pub(super) count: u32,
}

/// Lists of numbers one after the other: where each begins, and the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lists {
    begins: Vec<u32>,
    all: Vec<u32>,
}

impl Lists {
    fn push(&mut self, list: impl IntoIterator<Item = u32>) {
        self.begins.push(self.all.len() as u32);
        self.all.extend(list);
    }

    fn get(&self, at: usize) -> &[u32] {
        let Some(begin) = self.begins.get(at).map(|begin| *begin as usize) else { return &[] };
        let end = self.begins.get(at + 1).map_or(self.all.len(), |end| *end as usize);
        self.all.get(begin..end).unwrap_or(&[])
    }
}

#[derive(Serialize, Deserialize)]
struct Index {
    plan: Packed,
    target: String,
    site: Site,
    placed: Vec<Placed>,
    /// By pattern: the entries of the files that it matches, and the actions that read these.
    matched: Lists,
    readers: Lists,
    /// By action: those it takes inputs from, and those that wait for it.
    producers: Lists,
    behind: Lists,
    /// Where each action begins, and where its result does; at the end the end.
    begins: Vec<u32>,
}

/// A graph that was read.
pub(in crate::ops) struct Graph {
    index: Index,
    bytes: Vec<u8>,
    /// Where actions begin in `bytes`.
    start: usize,
}

/// Writes the graph of a run that succeeded; gives what it ends with. `None` if it is not kept.
pub(super) fn write_graph(
    file: &Path,
    plan: &Plan,
    report: &RunReport,
    site: Site,
    placed: Vec<Placed>,
    entry_of: &BTreeMap<&str, u32>,
) -> Option<Digest> {
    let (packed, mut actions) = pack(plan)?;
    let mut results = Vec::with_capacity(actions.len());
    for (action, bytes) in plan.actions.iter().zip(&mut actions) {
        let Some(done) = report.action(&action.addr) else {
            // Not asked for, so that nothing asked for needs it.
            bytes.clear();
            results.push(Vec::new());
            continue;
        };
        let outputs = done
            .outputs
            .iter()
            .map(|output| crate::store::ClaimOutput { name: output.name.clone(), entry: output.entry.clone() });
        let known = Known { key: done.key?, outputs: outputs.collect(), logs: done.logs };
        results.push(postcard::to_allocvec(&known).ok()?);
    }
    let mut patterns: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut behind: Vec<Vec<u32>> = vec![Vec::new(); plan.actions.len()];
    let mut producers = Lists::default();
    for (id, action) in plan.iter() {
        let mut from = BTreeSet::new();
        for input in &action.spec.inputs {
            match &input.source {
                crate::plan::InputSource::Workspace { pattern, .. } => patterns.entry(pattern).or_default().push(id.0),
                crate::plan::InputSource::Output { action, .. } => drop(from.insert(action.0)),
            }
        }
        producers.push(from);
        for dependency in action.dependencies() {
            behind[dependency.index()].push(id.0);
        }
    }
    let (mut matched, mut readers) = (Lists::default(), Lists::default());
    for (pattern, actions) in patterns {
        let files = match report.seen.patterns.get(pattern) {
            Some(files) => files.iter().map(|file| entry_of.get(file.as_str()).copied()).collect::<Option<Vec<_>>>()?,
            None => entry_of.get(pattern).copied().into_iter().collect(),
        };
        matched.push(files);
        readers.push(actions);
        if matched.all.len() > MATCHES {
            return None;
        }
    }
    let mut lists = Lists::default();
    for list in behind {
        lists.push(list);
    }
    let index = Index {
        plan: packed,
        target: report.target.clone(),
        site,
        placed,
        matched,
        readers,
        producers,
        behind: lists,
        begins: Vec::new(),
    };
    let pieces = actions.iter().zip(&results).flat_map(|(action, result)| [action.as_slice(), result.as_slice()]);
    store(file, index, pieces)
}

fn store<'a>(file: &Path, mut index: Index, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Digest> {
    let mut body = Vec::new();
    index.begins.clear();
    for piece in pieces {
        index.begins.push(u32::try_from(body.len()).ok()?);
        body.extend_from_slice(piece);
    }
    index.begins.push(u32::try_from(body.len()).ok()?);
    let head = postcard::to_allocvec(&index).ok()?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&body);
    let sum = seal(&mut bytes);
    match write(file, &[&bytes]) {
        Ok(()) => Some(sum),
        Err(error) => {
            tracing::debug!(%error, path = %file.display(), "the graph is not kept");
            None
        }
    }
}

/// Which part of the plan is to be looked at, by numbers in the whole plan.
#[derive(Default)]
pub(super) struct Asked {
    /// The actions.
    pub(super) actions: BTreeSet<u32>,
    /// Those of them that take in something that changed.
    pub(super) changed: BTreeSet<u32>,
    /// Those that were executed before, in this run.
    pub(super) fresh: BTreeSet<u32>,
    /// Those of `actions` that did not end well before, in this run.
    pub(super) failed: BTreeMap<u32, (Outcome, Reason)>,
}

/// A part of the plan that has to be looked at, and what is known of it.
#[derive(Debug)]
pub(in crate::ops) struct Section {
    pub(in crate::ops) plan: Plan,
    pub(in crate::ops) before: Before,
    /// The actions that have to be looked at, by their numbers in this plan.
    pub(in crate::ops) targets: Vec<ActionId>,
    /// The numbers of its actions in the whole plan.
    pub(in crate::ops) numbers: Vec<u32>,
}

impl Graph {
    /// The graph that ends with a digest.
    pub(super) fn read(file: &Path, sum: Digest) -> Option<Self> {
        let (bytes, found) = sealed(read(file)?)?;
        if found != sum {
            return None;
        }
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let index: Index = postcard::from_bytes(rest.get(..length)?).ok()?;
        let start = MAGIC.len() + 4 + length;
        Some(Self { index, bytes, start })
    }

    pub(in crate::ops) fn site(&self) -> &Site {
        &self.index.site
    }

    /// The name of the graph.
    pub(in crate::ops) fn name(&self) -> &str {
        self.index.plan.graph()
    }

    pub(in crate::ops) fn target(&self) -> &str {
        &self.index.target
    }

    pub(super) fn placed(&self) -> &[Placed] {
        &self.index.placed
    }

    fn count(&self) -> usize {
        self.index.begins.len() / 2
    }

    fn piece(&self, at: usize) -> Option<&[u8]> {
        let from = self.start + *self.index.begins.get(at)? as usize;
        let to = self.start + *self.index.begins.get(at + 1)? as usize;
        self.bytes.get(from..to)
    }

    /// The result that an action had; those of later runs come first.
    pub(super) fn known(&self, action: u32, later: &BTreeMap<u32, Known>) -> Option<Known> {
        match later.get(&action) {
            Some(known) => Some(known.clone()),
            None => postcard::from_bytes(self.piece(action as usize * 2 + 1)?).ok(),
        }
    }

    /// The actions that read files, given by their entries; `None` if one of the files is read by something else.
    pub(super) fn readers(&self, entries: &BTreeSet<u32>) -> Option<BTreeSet<u32>> {
        let mut readers = BTreeSet::new();
        let mut found: BTreeSet<u32> = BTreeSet::new();
        for pattern in 0..self.index.matched.begins.len() {
            let changed = self.index.matched.get(pattern).iter().copied().filter(|entry| entries.contains(entry));
            let count = changed.map(|entry| found.insert(entry)).count();
            if count > 0 {
                readers.extend(self.index.readers.get(pattern).iter().filter(|action| self.is_wanted(**action)));
            }
        }
        (found.len() == entries.len()).then_some(readers)
    }

    fn is_wanted(&self, action: u32) -> bool {
        self.piece(action as usize * 2).is_some_and(|piece| !piece.is_empty())
    }

    /// Those that wait for one of these, of those that were asked for.
    pub(super) fn behind(&self, actions: &BTreeSet<u32>) -> BTreeSet<u32> {
        let next = actions.iter().flat_map(|action| self.index.behind.get(*action as usize)).copied();
        next.filter(|action| self.is_wanted(*action)).collect()
    }

    /// These, and all that wait for them.
    pub(super) fn closure(&self, actions: BTreeSet<u32>) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        let mut open: Vec<u32> = actions.into_iter().collect();
        while let Some(action) = open.pop() {
            if all.insert(action) {
                let next = self.index.behind.get(action as usize).iter().copied();
                open.extend(next.filter(|action| self.is_wanted(*action)));
            }
        }
        all
    }

    /// The part of the plan that consists of some actions, with what is known of it.
    pub(super) fn section(&self, asked: &Asked, later: &BTreeMap<u32, Known>) -> Option<Section> {
        let producers = |action: &u32| self.index.producers.get(*action as usize).iter().copied();
        let looked = asked.actions.iter().filter(|action| !asked.failed.contains_key(action));
        let given: BTreeSet<u32> =
            looked.clone().flat_map(producers).filter(|action| !asked.actions.contains(action)).collect();
        let numbers: Vec<u32> = asked.actions.union(&given).copied().collect();
        let mut pieces = Vec::with_capacity(numbers.len());
        for number in &numbers {
            let bytes = self.piece(*number as usize * 2).filter(|bytes| !bytes.is_empty())?;
            let gives = given.contains(number) || asked.failed.contains_key(number);
            pieces.push(Piece { id: ActionId(*number), bytes, gives });
        }
        let plan = unpack(&self.index.plan, &pieces)?;
        let mut before = Before::default();
        let mut targets = Vec::with_capacity(asked.actions.len());
        for (at, number) in numbers.iter().enumerate() {
            let id = ActionId(at as u32);
            before.known.insert(id, self.known(*number, later)?);
            if given.contains(number) {
                before.given.insert(id);
            } else {
                targets.push(id);
            }
            if asked.changed.contains(number) {
                before.changed.insert(id);
            }
            if asked.fresh.contains(number) {
                before.fresh.insert(id);
            }
            if let Some(ended) = asked.failed.get(number) {
                before.failed.insert(id, ended.clone());
            }
        }
        Some(Section { plan, before, targets, numbers })
    }

    /// How many actions were asked for.
    pub(super) fn wanted(&self) -> usize {
        (0..self.count() as u32).filter(|action| self.is_wanted(*action)).count()
    }

    /// Writes it anew, with results that came later. Gives what it ends with.
    pub(super) fn renew(self, file: &Path, later: &BTreeMap<u32, Known>) -> Option<Digest> {
        let Self { index, bytes, start } = self;
        let begins = index.begins.clone();
        let results: BTreeMap<u32, Vec<u8>> =
            later.iter().map(|(at, known)| Some((*at, postcard::to_allocvec(known).ok()?))).collect::<Option<_>>()?;
        let pieces = (0..begins.len().saturating_sub(1)).map(|at| match results.get(&(at as u32 / 2)) {
            Some(result) if at % 2 == 1 => result.as_slice(),
            _ => bytes.get(start + begins[at] as usize..start + begins[at + 1] as usize).unwrap_or_default(),
        });
        store(file, index, pieces)
    }
}
