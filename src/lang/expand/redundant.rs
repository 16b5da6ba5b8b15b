//! The lint for an `after` that says what follows already from what a node takes or comes after. Leaves
//! out cycles, of which there are none by then.

use std::collections::BTreeMap;

use crate::diag::{Applicability, Code, Diagnostic, Edit, Fix, Span};
use crate::lang::expand::Expander;
use crate::lang::ir::InputIr;

/// Edges looked at in all; a graph that needs more is not looked at further.
const STEPS: usize = 4_000_000;

/// One order that an `after` stands for.
struct Order {
    from: usize,
    to: usize,
    /// Whether no earlier `after` says the same.
    first: bool,
}

struct Edges {
    /// For each action those it comes after, each with the `after` that alone says so.
    of: Vec<Vec<(usize, Option<Span>)>>,
    /// The longest way down from each action.
    depth: Vec<u32>,
    /// In which search each action was last seen.
    seen: Vec<usize>,
    searches: usize,
    steps: usize,
}

impl Expander<'_, '_> {
    /// Reports each `after` all of whose orders hold without it. The reduction of a graph without
    /// cycles is unique, so that all of them may be removed at once.
    pub(super) fn check_redundant(&mut self) {
        let mut groups: BTreeMap<Span, Vec<Order>> = BTreeMap::new();
        let mut of: Vec<Vec<(usize, Option<Span>)>> = Vec::with_capacity(self.actions.len());
        for (from, pending) in self.actions.iter().enumerate() {
            let inputs = pending.ir.inputs.iter().filter_map(|input| match input {
                InputIr::Output { action, .. } => Some((*action, None)),
                InputIr::Workspace { .. } => None,
            });
            of.push(inputs.chain(pending.after.iter().map(|(to, span)| (*to, Some(*span)))).collect());
            // What follows from inputs, guards and services is nobody's `after`.
            for (to, span) in pending.after.iter().filter(|(_, span)| self.wholes.contains_key(span)) {
                groups.entry(*span).or_default().push(Order { from, to: *to, first: true });
            }
        }
        for (from, to, span) in &self.again {
            groups.entry(*span).or_default().push(Order { from: *from, to: *to, first: false });
        }
        if groups.is_empty() {
            return;
        }
        let count = of.len();
        let mut edges = Edges { depth: depths(&of), of, seen: vec![0; count], searches: 0, steps: 0 };
        for (span, orders) in groups {
            let mut by = None;
            let holds = orders.iter().all(|order| {
                let way = if order.first { edges.way(order, span) } else { Some(order.to) };
                by = by.or(way.map(|way| (way, order.to, order.first)));
                way.is_some()
            });
            if edges.steps > STEPS {
                return;
            }
            let (true, Some((way, to, first))) = (holds, by) else { continue };
            let addr = |action: usize| self.instances[self.actions[action].instance].ir.addr.as_str();
            let label = if !first {
                "said before".to_owned()
            } else if way == to {
                format!("it takes an output of `{}`", addr(to))
            } else {
                format!("`{}` comes between already", addr(way))
            };
            let mut item = Diagnostic::new(Code::P0506, span, format!("it comes after `{}` without this", addr(to)))
                .with_label(label)
                .with_help("remove it: order follows from what a node takes and comes after");
            let range = self.wholes.get(&span).copied().flatten().unwrap_or(span);
            let edits = vec![Edit { span: range, text: String::new() }];
            item.fixes.push(Fix { applicability: Applicability::MachineApplicable, edits });
            self.diagnostics.push(item);
        }
    }
}

/// The length of the longest way from each action to one that comes after none.
fn depths(of: &[Vec<(usize, Option<Span>)>]) -> Vec<u32> {
    let mut after = vec![Vec::new(); of.len()];
    let mut open: Vec<usize> = of.iter().map(Vec::len).collect();
    for (from, edges) in of.iter().enumerate() {
        for (to, _) in edges {
            after[*to].push(from);
        }
    }
    let mut depth = vec![0; of.len()];
    let mut ready: Vec<usize> = (0..of.len()).filter(|action| open[*action] == 0).collect();
    while let Some(to) = ready.pop() {
        for from in &after[to] {
            depth[*from] = depth[*from].max(depth[to] + 1);
            open[*from] -= 1;
            if open[*from] == 0 {
                ready.push(*from);
            }
        }
    }
    depth
}

impl Edges {
    /// The first action on a way that does without an `after`, if there is one.
    fn way(&mut self, order: &Order, without: Span) -> Option<usize> {
        self.searches += 1;
        let mut stack: Vec<(usize, Option<usize>)> = vec![(order.from, None)];
        while let Some((at, first)) = stack.pop() {
            for (to, span) in &self.of[at] {
                self.steps += 1;
                let first = first.or(Some(*to));
                if *span == Some(without) || self.steps > STEPS {
                    continue;
                }
                if *to == order.to {
                    return first;
                }
                if self.depth[*to] > self.depth[order.to] && self.seen[*to] != self.searches {
                    self.seen[*to] = self.searches;
                    stack.push((*to, first));
                }
            }
        }
        None
    }
}
