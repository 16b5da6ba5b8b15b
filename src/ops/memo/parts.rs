//! What is behind what changed, in two parts where that is worth it, and what is kept when it has run.
//! Leaves out running it (`ops::behind`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::{Digest, Entry as Output, RelPath};
use crate::event::{Outcome, Reason};
use crate::exec::{Known, RunReport};
use crate::ops::memo::entries::Part;
use crate::ops::memo::file::{Memo, graph_file};
use crate::ops::memo::graph::{Asked, Graph, Placed, Section};
use crate::ops::memo::{List, same};
use crate::store::ClaimOutput;

/// A memo some of which does not stand: what that is, and what is known of the rest.
pub struct Behind {
    pub(super) file: PathBuf,
    pub(super) memo: Memo,
    pub(in crate::ops) graph: Graph,
    /// The entries that are not as they were.
    pub(super) changed: BTreeSet<u32>,
    /// The actions that read some of them.
    pub(in crate::ops) readers: BTreeSet<u32>,
    /// When the others were looked at.
    pub(super) looked: i64,
}

impl Behind {
    /// The part of the plan to look at first, and how many actions may have to be looked at after it: where very
    /// much is behind a few actions, these are run first, as all the rest may be as it was.
    pub(in crate::ops) fn first(&self) -> Option<(Section, bool)> {
        let behind = self.graph.closure(self.graph.behind(&self.readers));
        let first: BTreeSet<u32> = self.readers.difference(&behind).copied().collect();
        let all: BTreeSet<u32> = self.readers.union(&behind).copied().collect();
        let in_parts = all.len() >= first.len() * MUCH + MUCH * MUCH;
        let actions = if in_parts { first } else { all.clone() };
        let later = (all.len() - actions.len()) as u64;
        let unchanged = (self.graph.wanted() - actions.len()) as u64;
        let changed = self.readers.intersection(&actions).copied().collect();
        let asked = Asked { actions, changed, ..Asked::default() };
        let mut section = self.graph.section(&asked, &self.memo.known)?;
        section.before.later = later;
        section.before.unchanged = unchanged;
        Some((section, in_parts))
    }

    /// What to look at after the first part, given what came of that.
    pub(in crate::ops) fn second(&self, first: &BTreeMap<u32, Ended>) -> Second {
        let came_out = |(number, ended): (&u32, &Ended)| {
            let known = self.graph.known(*number, &self.memo.known);
            let same = ended.result.is_some() && known.map(|known| known.outputs) == ended.outputs().cloned();
            (!same).then_some(*number)
        };
        let otherwise: BTreeSet<u32> = first.iter().filter_map(came_out).collect();
        let failed: BTreeMap<_, _> = first
            .iter()
            .filter(|(_, ended)| ended.result.is_none())
            .map(|(number, ended)| (*number, (ended.outcome, ended.reason.clone())))
            .collect();
        let mut changed: BTreeSet<u32> =
            self.readers.iter().copied().filter(|number| !first.contains_key(number)).collect();
        changed.extend(self.graph.behind(&otherwise));
        if changed.is_empty() {
            return Second::Nothing;
        }
        let mut actions = self.graph.closure(changed.clone());
        let unchanged = (self.graph.wanted() - first.len() - actions.len()) as u64;
        actions.extend(failed.keys());
        let fresh =
            first.iter().filter(|(_, ended)| ended.outcome == Outcome::Ran).map(|(number, _)| *number).collect();
        let mut known = self.memo.known.clone();
        known.extend(first.iter().filter_map(|(number, ended)| Some((*number, ended.result.clone()?))));
        let Some(mut section) = self.graph.section(&Asked { actions, changed, fresh, failed }, &known) else {
            return Second::Everything;
        };
        section.before.unchanged = unchanged;
        Second::Part(Box::new(section))
    }

    /// How many actions were asked for.
    pub(in crate::ops) fn actions(&self) -> u64 {
        self.memo.actions
    }

    /// Where outputs are, for people.
    pub(in crate::ops) fn outputs(&self) -> Vec<PathBuf> {
        self.memo.answer().outputs
    }

    /// The outputs that have to be put in their places, given the actions that were done and what they have
    /// now: those of these actions, and those that are not as they were.
    pub(in crate::ops) fn misplaced(
        &self,
        root: &Path,
        done: &BTreeMap<u32, Vec<ClaimOutput>>,
    ) -> Option<Vec<Misplaced>> {
        let mut all = Vec::new();
        for placed in self.graph.placed() {
            let is_done = done.contains_key(&placed.action);
            let entries = placed.first..placed.first + placed.count;
            if !is_done && self.changed.range(entries).next().is_none() {
                continue;
            }
            let outputs = match done.get(&placed.action) {
                Some(outputs) => outputs.clone(),
                None => self.graph.known(placed.action, &self.memo.known)?.outputs,
            };
            let path = root.join(self.memo.entries.get(placed.first as usize)?.path);
            let output = outputs.into_iter().nth(placed.output as usize)?;
            all.push(Misplaced { path, output, placed: *placed });
        }
        Some(all)
    }

    /// Keeps what is otherwise now. `done` are the results of actions by their numbers, `placed` the outputs
    /// that were put in their places, `report` what was looked at. What cannot be told by metadata leaves the
    /// memo as it is: it is then looked at again.
    pub(in crate::ops) fn keep(
        mut self,
        root: &Path,
        done: BTreeMap<u32, Known>,
        placed: &[Misplaced],
        report: Option<&RunReport>,
    ) -> Option<()> {
        let list = List::new(root, Part::Ground)?;
        for at in self.changed.clone() {
            let entry = self.memo.entries.get(at as usize)?;
            if entry.part != Part::Source {
                continue;
            }
            let path = RelPath::new(entry.path).ok()?;
            let (digest, meta) = report?.seen.files.get(&path)?;
            let stat = list.stat(path.as_str())?;
            if !same(&stat, meta) {
                return None;
            }
            self.memo.set(at, stat, *digest);
        }
        for item in placed {
            let mut list = List::new(root, Part::Output)?;
            list.output(&item.path, digest_of(&item.output))?;
            if list.entries.len() != item.placed.count as usize {
                // A folder that holds more or less than it did moves all that comes after it.
                return None;
            }
            for (at, entry) in (item.placed.first..).zip(list.entries.iter()) {
                let known = self.memo.entries.get(at as usize)?;
                if (known.path, known.kind) != (entry.path, entry.kind) {
                    return None;
                }
                self.memo.set(at, entry.stat, entry.digest);
            }
        }
        self.memo.known.extend(done);
        if self.memo.known.len() > FOLDED.max(self.graph.wanted() / 4) {
            let known = std::mem::take(&mut self.memo.known);
            self.memo.graph = Some(self.graph.renew(&graph_file(&self.file), &known)?);
            self.memo.sum = None;
        }
        // What stood was looked at then, and what did not is settled by its own times.
        self.memo.written = self.looked;
        self.memo.keep(&self.file).ok()
    }
}

/// So many times more actions behind some than there are of these are worth a part of their own; and its square
/// at least.
const MUCH: usize = 16;

/// What has to be looked at after a first part.
#[derive(Debug)]
pub(in crate::ops) enum Second {
    /// Nothing: all came out as it was.
    Nothing,
    /// This.
    Part(Box<Section>),
    /// The part cannot be made: the request must be run as a whole.
    Everything,
}

/// How an action ended.
pub(in crate::ops) struct Ended {
    pub(in crate::ops) outcome: Outcome,
    pub(in crate::ops) reason: Reason,
    /// What it has, if it ended well.
    pub(in crate::ops) result: Option<Known>,
}

impl Ended {
    fn outputs(&self) -> Option<&Vec<ClaimOutput>> {
        self.result.as_ref().map(|known| &known.outputs)
    }
}

/// Results beside a graph that are not yet worth writing it anew.
const FOLDED: usize = 256;

/// An output that has to be put in its place.
pub(in crate::ops) struct Misplaced {
    pub(in crate::ops) path: PathBuf,
    pub(in crate::ops) output: ClaimOutput,
    placed: Placed,
}

fn digest_of(output: &ClaimOutput) -> Option<Digest> {
    match &output.entry {
        Output::File { digest, .. } => Some(*digest),
        Output::Dir { .. } | Output::Symlink { .. } => None,
    }
}
