//! The lint for agents that may change the same files at once: each leaves a change, their scopes meet, and neither
//! order nor a resource keeps them apart. Leaves out agents without a scope, of which nobody said what they may change.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Code, Diagnostic, Span};
use crate::lang::ast::{GraphDecl, Name};
use crate::lang::expand::Expander;
use crate::lang::expand::wire::one_at_a_time;
use crate::lang::ir::InputIr;
use crate::lang::overlap::overlap;
use crate::lang::program::DeclId;
use crate::lang::ty::{ArtifactKind, Ty};

/// Actions of agents that are compared; those of further ones are not.
const COMPARED: usize = 1_024;

/// Pairs of nodes that are told.
const TOLD: usize = 16;

/// Patterns of an agent that are compared.
const PATTERNS: usize = 64;

/// An action by which an agent leaves a change.
#[derive(Clone, Copy)]
struct Worker {
    action: usize,
    agent: DeclId,
}

impl Expander<'_, '_> {
    /// Keeps in mind that an agent does an action, if it may leave a change by it. What is said to be a text, a report,
    /// a picture or a document is none.
    pub(super) fn works(&mut self, action: usize, agent: DeclId) {
        let may_change =
            |ty: &Ty| matches!(ty, Ty::Artifact(ArtifactKind::File | ArtifactKind::Dir | ArtifactKind::Diff));
        let changes = self.actions[action].ir.outputs.iter().any(|output| may_change(&output.ty));
        if changes && !self.program.agent(agent).scope.is_empty() {
            self.workers.push((action, agent));
        }
    }

    /// Reports each pair of nodes by which agents may change the same files at once.
    pub(super) fn check_scopes(&mut self, graph: &GraphDecl) {
        let workers: Vec<Worker> = self
            .workers
            .iter()
            .take(COMPARED)
            .map(|(action, agent)| Worker { action: *action, agent: *agent })
            .collect();
        if workers.len() < 2 || graph.concurrency == Some(1) {
            return;
        }
        let mut scopes: BTreeMap<(DeclId, DeclId), Option<(&Name, &Name)>> = BTreeMap::new();
        let mut before: Option<Vec<Vec<u64>>> = None;
        let mut said: BTreeSet<(Span, Span)> = BTreeSet::new();
        let mut found = Vec::new();
        for (at, one) in workers.iter().enumerate() {
            for (number, other) in workers[..at].iter().enumerate() {
                let program = self.program;
                let shared = *scopes.entry((other.agent, one.agent)).or_insert_with(|| {
                    let [left, right] =
                        [other, one].map(|worker| program.agent(worker.agent).scope.iter().take(PATTERNS));
                    let mut pairs = left.flat_map(|left| right.clone().map(move |right| (left, right)));
                    pairs.find(|(left, right)| overlap(&left.value, &right.value))
                });
                let Some(shared) = shared else { continue };
                let before = before.get_or_insert_with(|| self.before(&workers));
                let is_before = |number: usize, action: usize| before[action][number / 64] >> (number % 64) & 1 == 1;
                if is_before(number, one.action) || is_before(at, other.action) || self.apart(*one, *other, graph) {
                    continue;
                }
                let span = |worker: &Worker| self.instances[self.actions[worker.action].instance].ir.span;
                let (first, second) = (span(other).min(span(one)), span(other).max(span(one)));
                if !said.insert((first, second)) {
                    continue;
                }
                found.push(self.at_once(*other, *one, shared));
                if found.len() >= TOLD {
                    break;
                }
            }
            if found.len() >= TOLD {
                break;
            }
        }
        for diagnostic in found {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Of each action the workers that come before it, as bits.
    fn before(&self, workers: &[Worker]) -> Vec<Vec<u64>> {
        let edges: Vec<Vec<usize>> = self
            .actions
            .iter()
            .map(|action| {
                let inputs = action.ir.inputs.iter().filter_map(|input| match input {
                    InputIr::Output { action, .. } => Some(*action),
                    InputIr::Workspace { .. } => None,
                });
                inputs.chain(action.after.keys().copied()).collect()
            })
            .collect();
        let words = workers.len().div_ceil(64);
        let mut own: BTreeMap<usize, usize> = BTreeMap::new();
        own.extend(workers.iter().enumerate().map(|(number, worker)| (worker.action, number)));
        let mut all: Vec<Vec<u64>> = vec![Vec::new(); edges.len()];
        // A stack of its own: chains may be as long as there may be actions. There are no cycles by now.
        for start in 0..edges.len() {
            let mut stack = vec![start];
            while let Some(index) = stack.last().copied() {
                let open = edges[index].iter().copied().filter(|other| all[*other].is_empty());
                let open: Vec<usize> = if all[index].is_empty() { open.collect() } else { Vec::new() };
                if !open.is_empty() {
                    stack.extend(open);
                    continue;
                }
                stack.pop();
                if !all[index].is_empty() {
                    continue;
                }
                let mut bits = vec![0_u64; words];
                for other in &edges[index] {
                    for (word, more) in bits.iter_mut().zip(&all[*other]) {
                        *word |= more;
                    }
                    if let Some(number) = own.get(other) {
                        bits[number / 64] |= 1 << (number % 64);
                    }
                }
                all[index] = bits;
            }
        }
        all
    }

    /// Whether two actions hold so much of a resource that they cannot run at once.
    fn apart(&self, one: Worker, other: Worker, graph: &GraphDecl) -> bool {
        let capacity = |pool: &str| {
            let declared = graph.resources.iter().find(|(name, _)| name.value == pool).map(|(_, capacity)| *capacity);
            let serial = || graph.policies.serialize.iter().any(|pattern| one_at_a_time(&pattern.value) == pool);
            declared.or_else(|| serial().then_some(1))
        };
        let holds = |worker: Worker| &self.actions[worker.action].ir.holds;
        holds(one).iter().any(|(pool, amount)| {
            let of_other = holds(other).iter().find(|(name, _)| name == pool).map(|(_, amount)| *amount);
            of_other.is_some_and(|more| capacity(pool).is_some_and(|capacity| amount.saturating_add(more) > capacity))
        })
    }

    fn at_once(&self, first: Worker, second: Worker, (left, right): (&Name, &Name)) -> Diagnostic {
        let instance = |worker: Worker| &self.instances[self.actions[worker.action].instance].ir;
        let agent = |worker: Worker| self.program.agent(worker.agent).name.value.as_str();
        let (one, other) = (instance(first), instance(second));
        let files = if left.value == right.value {
            format!("`{}`", left.value)
        } else {
            format!("`{}`, which meets `{}`", right.value, left.value)
        };
        let mut found = Diagnostic::new(
            Code::P0708,
            other.span,
            format!("`{}` may run at the same time as `{}`, and both may change {files}", other.addr, one.addr),
        );
        if one.span == other.span {
            found = found.with_label("its instances are not in order");
        } else {
            found = found.with_label("nothing says which of the two is first").with_secondary(one.span, "the other");
        }
        found = found.with_secondary(right.span, format!("what `{}` may change", agent(second)));
        if left.span != right.span {
            found = found.with_secondary(left.span, format!("what `{}` may change", agent(first)));
        }
        found
            .with_help(
                "put one after the other by `after`, let both `holds` a `resource` of capacity 1, or give agents scopes that do not meet",
            )
            .with_help("if what they leave is no change, say what it is: `output NAME type=artifact.text`")
    }
}
