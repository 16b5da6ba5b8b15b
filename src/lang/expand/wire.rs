//! Inputs and order of actions, once all instances are known, and the checks of the whole graph:
//! places, cycles. Gives the finished expansion. Leaves out keys.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Body, Expr, GraphDecl, InputDecl, RenderVar, Work};
use crate::lang::check::no_output;
use crate::lang::eval::{self, Env, Evaluator, Val, address_matches};
use crate::lang::expand::actions::path;
use crate::lang::expand::asks::Handed;
use crate::lang::expand::terms::terms;
use crate::lang::expand::{Expander, Pending};
use crate::lang::ir::{ActionIr, BodyIr, Expansion, InputIr, InstanceIr, RenderIr};
use crate::lang::text::Text;

/// Members of a cycle that are named in its message.
const SHOWN: usize = 6;

impl Expander<'_, '_> {
    /// Wires inputs and order.
    pub(super) fn wire(&mut self) {
        // Inventories of bundles are added while it goes on, and are wired as they are made.
        for index in 0..self.actions.len() {
            let work = self.actions[index].work;
            if matches!(self.actions[index].ir.body, BodyIr::Gate(..) | BodyIr::Approval(_)) {
                self.wire_subjects(index);
                self.wire_order(index);
                continue;
            }
            let mut inputs = Vec::with_capacity(work.inputs.len());
            let mut complete = true;
            for handed in std::mem::take(&mut self.actions[index].handed) {
                if self.exhausted {
                    return;
                }
                complete &= self.hand(index, &handed, &mut inputs).is_some();
            }
            if let Some(request) = self.actions[index].request {
                let (output, span) = ("request".to_owned(), work.span);
                let dest = Some(self.actions[request].ir.outputs[0].path.clone());
                inputs.push(InputIr::Output { dest, action: request, output, select: None, span });
            }
            let own = if self.actions[index].derived { &[][..] } else { work.inputs.as_slice() };
            for input in own {
                if self.exhausted {
                    return;
                }
                let pending = &self.actions[index];
                let (env, placed, steps) = (Arc::clone(&pending.env), pending.placed, pending.steps.clone());
                complete &= self.input(&env, placed, steps.as_deref(), input, &mut inputs).is_some();
            }
            self.check_places(&inputs);
            self.check_nested(&inputs);
            if complete {
                self.check_operands(operands(work, &self.actions[index].ir.body), &inputs);
            }
            self.actions[index].ir.inputs = inputs;
            self.wire_order(index);
        }
    }

    /// Stages an artifact that an ask hands on.
    fn hand(&mut self, index: usize, handed: &Handed, inputs: &mut Vec<InputIr>) -> Option<()> {
        let (dest, span) = (Some(handed.dest.clone()), handed.span);
        if let (true, Some(steps)) = (handed.step, self.actions[index].steps.clone()) {
            let (action, output) = self.step_output(&steps, &handed.text, span)?;
            inputs.push(InputIr::Output { dest, action, output, select: None, span });
            return Some(());
        }
        for target in self.targets(&handed.text, handed.group, span, false)? {
            self.spend(handed.dest.as_str().len() + target.output.len() + 96, span, &handed.text)?;
            let (action, output) = (target.action, target.output);
            inputs.push(InputIr::Output { dest: dest.clone(), action, output, select: None, span });
        }
        Some(())
    }

    /// Reports two inputs at one place.
    fn check_places(&mut self, inputs: &[InputIr]) {
        let mut dests: BTreeMap<&RelPath, Span> = BTreeMap::new();
        for input in inputs {
            let InputIr::Output { dest: Some(dest), span, select: None, .. } = input else { continue };
            let Some(first) = dests.insert(dest, *span) else { continue };
            let diagnostic = Diagnostic::new(Code::P0504, *span, format!("two inputs claim `{dest}`"));
            self.diagnostics.push(if first == *span {
                diagnostic.with_help(self.own_places(inputs, dest))
            } else {
                diagnostic
                    .with_label("and again here")
                    .with_secondary(first, "one is put here")
                    .with_help(format!("give one of them another place, as `input \"other/{dest}\" from=…`"))
            });
            return;
        }
    }

    /// Reports an input that is put inside another, which is a file.
    fn check_nested(&mut self, inputs: &[InputIr]) {
        let mut files: BTreeMap<&RelPath, Span> = BTreeMap::new();
        for input in inputs {
            let InputIr::Output { dest: Some(dest), span, select: None, action, output, .. } = input else { continue };
            let made = self.actions[*action].ir.outputs.iter().find(|made| made.name == *output);
            if made.is_some_and(|made| !made.dir) {
                files.insert(dest, *span);
            }
        }
        for input in inputs {
            let InputIr::Output { dest: Some(dest), span, .. } = input else { continue };
            let mut around = std::iter::successors(dest.parent(), RelPath::parent);
            let Some((file, first)) = around.find_map(|above| files.get_key_value(&above)) else { continue };
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0504,
                    *span,
                    format!("input `{dest}` lies inside input `{file}`, which is a file"),
                )
                .with_secondary(*first, "the file is put here")
                .with_help("give one of them another place"),
            );
            return;
        }
    }

    /// How to tell several instances at one place apart.
    fn own_places(&self, inputs: &[InputIr], dest: &RelPath) -> String {
        let taken = inputs.iter().find_map(|input| match input {
            InputIr::Output { dest: Some(at), action, .. } if at == dest => Some(*action),
            _ => None,
        });
        let instance = taken.map(|action| &self.instances[self.actions[action].instance].ir);
        let keys: Vec<String> = instance
            .map(|ir| ir.keys.iter().map(|(name, _)| format!("{{{{ node.{name} }}}}")).collect())
            .unwrap_or_default();
        if keys.is_empty() {
            return "it takes several nodes: take each by an `input` of its own".to_owned();
        }
        let (folder, name) =
            dest.as_str().rsplit_once('/').map_or(("", dest.as_str()), |(folder, name)| (folder, name));
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let place = format!("{folder}{}-{name}", keys.join("-"));
        format!("it takes several instances: give each its own place, as `\"{place}\"`, or take one by its key")
    }

    /// Reports a file that a built-in action reads and no input stages.
    fn check_operands(&mut self, operands: Vec<(RelPath, Span)>, inputs: &[InputIr]) {
        for (place, span) in operands {
            let staged = inputs.iter().any(|input| match input {
                InputIr::Output { dest: None, .. } => true,
                InputIr::Output { dest: Some(dest), .. } => place.starts_with(dest),
                InputIr::Workspace { pattern, .. } => {
                    // Only `*` is told apart here; other patterns are given the benefit of the doubt.
                    let below = place.as_str().strip_prefix(pattern.trim_end_matches('/'));
                    pattern.contains(['?', '[', '{'])
                        || address_matches(pattern, place.as_str())
                        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }
            });
            if !staged {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0201, span, format!("no input puts a file at `{place}`"))
                        .with_label("read here")
                        .with_help(format!("add `input \"{place}\"` for a file of the workspace"))
                        .with_help(format!(
                            "for the output of another node add `input \"{place}\" from=(ref)node.output`"
                        )),
                );
            }
        }
    }

    fn wire_order(&mut self, index: usize) {
        let instance = self.actions[index].instance;
        let node = self.instances[instance].node;
        let placed = self.instances[instance].placed;
        let env = Arc::clone(&self.instances[instance].env);
        let mut after: BTreeMap<usize, Span> = BTreeMap::new();
        for decl in &node.after {
            let evaluator = Evaluator { slugged: true, ..Evaluator::new(&env, placed) };
            // A node that was given is one where it was given.
            let given = decl.target.as_variable().and_then(|name| match env.get(&name.value) {
                Some(Val::Node(text, group)) => Some((text.clone(), *group)),
                _ => None,
            });
            let (target, placed) = match given {
                Some(given) => given,
                None => match evaluator.text(&decl.target, self.diagnostics) {
                    Some(target) => (target, placed),
                    None => continue,
                },
            };
            let found = self.instances_at(placed, &target, decl.target.span);
            if found.is_empty() && !decl.optional && !self.is_lost(&target, placed) {
                self.no_node(&target, placed, decl.target.span, Code::P0502);
            }
            for other in found.iter().copied() {
                if other == instance {
                    let addr = &self.instances[instance].ir.addr;
                    self.diagnostics.push(
                        Diagnostic::new(Code::P0501, decl.target.span, format!("`{addr}` comes after itself"))
                            .with_help(if target.contains('*') { "narrow the pattern" } else { "remove it" }),
                    );
                    continue;
                }
                // Once for all actions of an instance.
                if self.instances[instance].ir.actions.first() == Some(&index) {
                    self.instances[instance].ir.after.push(other);
                }
                let before = self.instances[other].ir.actions.clone();
                if self.spend(16 * before.len(), decl.target.span, &target).is_none() {
                    return;
                }
                for before in before {
                    let span = decl.target.span;
                    self.wholes.entry(span).or_insert(decl.whole);
                    if *after.entry(before).or_insert(span) != span {
                        self.again.push((index, before, span));
                    }
                }
            }
        }
        // Gates wait for what the node waits for, and the node's own work for its gates.
        if !self.actions[index].decides {
            for (gate, span) in &self.instances[instance].gates {
                after.entry(*gate).or_insert(*span);
            }
        }
        self.wait_for_closing(index, &mut after);
        self.actions[index].ir.after = after.keys().copied().collect();
        self.actions[index].after = after;
    }

    /// Has an action wait for the gates of those whose outputs it takes in.
    pub(super) fn wait_for_closing(&self, index: usize, after: &mut BTreeMap<usize, Span>) {
        let own = self.actions[index].instance;
        for input in &self.actions[index].ir.inputs {
            let InputIr::Output { action, span, .. } = input else { continue };
            let of = self.actions[*action].instance;
            if of != own {
                for (gate, _) in &self.instances[of].closing {
                    after.entry(*gate).or_insert(*span);
                }
            }
        }
    }

    /// Adds what one declaration of an input stands for. `None` if something is wrong with it, which
    /// has then been reported.
    pub(super) fn input(
        &mut self,
        env: &Arc<Env>,
        placed: usize,
        steps: Option<&BTreeMap<String, usize>>,
        input: &InputDecl,
        inputs: &mut Vec<InputIr>,
    ) -> Option<()> {
        let evaluator = Evaluator::new(env, placed);
        let Some(from) = &input.from else {
            let mut fine = Some(());
            for text in &input.paths {
                for pattern in evaluator.texts(text, self.diagnostics)? {
                    self.spend(pattern.len() + 96, text.span, &pattern)?;
                    match eval::pattern(&pattern) {
                        Ok(()) => {
                            inputs.push(InputIr::Workspace { pattern, optional: input.optional, span: text.span });
                        }
                        Err(error) => {
                            self.diagnostics.push(Diagnostic::new(Code::P0507, text.span, error).with_help(
                                "inputs are files of the workspace: write a path or pattern relative to its root",
                            ));
                            fine = None;
                        }
                    }
                }
            }
            return fine;
        };
        let select = match &input.select {
            Some(text) => {
                let select = evaluator.text(text, self.diagnostics)?;
                if let Err(error) = eval::pattern(&select) {
                    self.diagnostics.push(
                        Diagnostic::new(Code::P0507, text.span, error)
                            .with_help("write a pattern relative to the folder that is taken"),
                    );
                    return None;
                }
                Some(select)
            }
            None => None,
        };
        let Val::Ref(text, group, span) = evaluator.expr(from, self.diagnostics)? else { return None };
        let place = input.paths.first()?;
        // Inside a recipe, a reference written there names a step; one bound to a parameter was
        // written at the node, and is relative to its group.
        if let (Some(steps), Expr::Ref(_)) = (steps, from) {
            let (action, output) = self.step_output(steps, &text, span)?;
            let dest = dest(&evaluator.text(place, self.diagnostics)?, place, self.diagnostics).ok()?;
            inputs.push(InputIr::Output { dest, action, output, select, span: input.span });
            return Some(());
        }
        for target in self.targets(&text, group, span, input.optional)? {
            let keys = self.instances[target.instance].ir.keys.clone();
            let evaluator = Evaluator { instance: Some(&keys), ..Evaluator::new(env, placed) };
            let value = evaluator.text(place, self.diagnostics)?;
            self.spend(value.len() + target.output.len() + 96, input.span, &text)?;
            let dest = dest(&value, place, self.diagnostics).ok()?;
            inputs.push(InputIr::Output {
                dest,
                action: target.action,
                output: target.output,
                select: select.clone(),
                span: input.span,
            });
        }
        Some(())
    }

    /// The action and output that a reference inside a recipe names. Reports one that names none,
    /// which only a reference with holes still can.
    fn step_output(&mut self, steps: &BTreeMap<String, usize>, text: &str, span: Span) -> Option<(usize, String)> {
        let (name, output) = text.split_once('.')?;
        let Some(action) = steps.get(name) else {
            let known: Vec<&str> = steps.keys().map(String::as_str).collect();
            self.diagnostics.push(
                Diagnostic::new(Code::P0201, span, format!("cannot find step `{name}`"))
                    .with_suggestion_in(text, 0..name.len(), did_you_mean(name, known.iter().copied()))
                    .with_help(format!("steps here: {}", known.join(", "))),
            );
            return None;
        };
        let ir = &self.actions[*action].ir;
        if !ir.outputs.iter().any(|other| other.name == output) {
            let known: Vec<&str> = ir.outputs.iter().map(|output| output.name.as_str()).collect();
            self.diagnostics.push(no_output(span, text, output, name, &known).with_secondary(ir.span, "declared here"));
            return None;
        }
        Some((*action, output.to_owned()))
    }

    /// Checks the whole graph and gives the expansion, sorted by address.
    pub(super) fn finish(mut self, graph: &GraphDecl, params: BTreeMap<String, String>) -> Option<Expansion> {
        self.check_cycles();
        if self.diagnostics.has_errors() {
            return None;
        }
        self.check_redundant();
        self.check_scopes(graph);
        let (by_addr, instances) = (std::mem::take(&mut self.by_addr), &self.instances);
        let mut places = in_full(by_addr.into_values(), instances.len());
        places.sort_by(|a, b| instances[*a].ir.addr.cmp(&instances[*b].ir.addr));
        // Very nearly sorted already, which the sort is fast at.
        let of_instances = places.iter().flat_map(|at| instances[*at].ir.actions.iter().copied());
        let mut order = in_full(of_instances, self.actions.len());
        order.sort_by(|a, b| self.actions[*a].ir.addr.cmp(&self.actions[*b].ir.addr));
        let mut rank = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            rank[*old] = new;
        }
        let mut made: Vec<Option<Box<ActionIr>>> = self.actions.into_iter().map(|pending| Some(pending.ir)).collect();
        let mut actions: Vec<ActionIr> = Vec::with_capacity(made.len());
        for mut ir in order.iter().filter_map(|old| made[*old].take()) {
            for input in &mut ir.inputs {
                if let InputIr::Output { action, .. } = input {
                    *action = rank[*action];
                }
            }
            ir.after.iter_mut().for_each(|index| *index = rank[*index]);
            ir.after.sort_unstable();
            actions.push(*ir);
        }
        let mut services = self.services;
        for input in services.iter_mut().flat_map(|service| &mut service.inputs) {
            if let InputIr::Output { action, .. } = input {
                *action = rank[*action];
            }
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        let mut place = vec![0; places.len()];
        for (new, old) in places.iter().enumerate() {
            place[*old] = new;
        }
        let mut found: Vec<Option<Pending<'_>>> = self.instances.into_iter().map(Some).collect();
        let mut instances: Vec<InstanceIr> = Vec::with_capacity(found.len());
        for pending in places.iter().filter_map(|old| found[*old].take()) {
            let mut ir = pending.ir;
            ir.actions.iter_mut().for_each(|index| *index = rank[*index]);
            ir.outputs.actions_mut().for_each(|index| *index = rank[*index]);
            ir.after.iter_mut().for_each(|index| *index = place[*index]);
            ir.after.sort_unstable();
            ir.after.dedup();
            ir.rollback = ir.rollback.map(|index| place[index]);
            instances.push(ir);
        }
        let terms = terms(self.program, self.home, self.tenant, graph, &actions);
        Some(Expansion {
            graph: graph.group.name.value.clone(),
            params,
            instances,
            actions,
            tools: self.tools,
            pools: graph
                .resources
                .iter()
                .map(|(name, capacity)| (name.value.clone(), *capacity))
                .chain(graph.policies.serialize.iter().map(|pattern| (one_at_a_time(&pattern.value), 1)))
                .collect(),
            policies: graph.policies.clone(),
            concurrency: graph.concurrency,
            terms,
            services,
            timeout_ms: self.timeout_ms,
            decl: self.graph,
            owner: self.tenant,
        })
    }

    /// Whether some action waits for itself.
    fn has_cycle(&self) -> bool {
        let mut waits = vec![0_usize; self.actions.len()];
        let mut behind: Vec<Vec<usize>> = vec![Vec::new(); self.actions.len()];
        for (index, pending) in self.actions.iter().enumerate() {
            let taken = pending.ir.inputs.iter().filter_map(|input| match input {
                InputIr::Output { action, .. } => Some(*action),
                InputIr::Workspace { .. } => None,
            });
            for before in taken.chain(pending.after.keys().copied()) {
                waits[index] += 1;
                behind[before].push(index);
            }
        }
        let mut ready: Vec<usize> = (0..waits.len()).filter(|index| waits[*index] == 0).collect();
        let mut done = 0;
        while let Some(index) = ready.pop() {
            done += 1;
            for next in &behind[index] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    ready.push(*next);
                }
            }
        }
        done < waits.len()
    }

    /// Reports each knot of dependencies by one shortest cycle in it.
    fn check_cycles(&mut self) {
        if !self.has_cycle() {
            return;
        }
        let mut edges: DiGraph<usize, Span> = DiGraph::with_capacity(self.actions.len(), self.actions.len());
        let nodes: Vec<_> = (0..self.actions.len()).map(|index| edges.add_node(index)).collect();
        for (index, pending) in self.actions.iter().enumerate() {
            for input in &pending.ir.inputs {
                if let InputIr::Output { action, span, .. } = input {
                    edges.add_edge(nodes[index], nodes[*action], *span);
                }
            }
            for (before, span) in &pending.after {
                edges.add_edge(nodes[index], nodes[*before], *span);
            }
        }
        for component in tarjan_scc(&edges) {
            let alone = component.len() < 2 && component.iter().all(|node| edges.find_edge(*node, *node).is_none());
            // A cycle through the first address, so that the same one is told of every time.
            let addr = |node: NodeIndex| self.actions[edges[node]].ir.addr.as_str();
            let Some(first) = component.iter().copied().min_by_key(|node| addr(*node)).filter(|_| !alone) else {
                continue;
            };
            let members: BTreeSet<NodeIndex> = component.iter().copied().collect();
            let cycle = shortest_cycle(&edges, first, &members);
            let mut chain: Vec<&str> = cycle.iter().take(SHOWN).map(|(node, _)| addr(*node)).collect();
            if cycle.len() > SHOWN {
                chain.push("…");
            }
            chain.push(addr(first));
            let label = |at: usize| {
                let next = cycle.get(at + 1).map_or(first, |(node, _)| *node);
                format!("`{}` needs `{}`", addr(cycle[at].0), addr(next))
            };
            let Some((_, span)) = cycle.first() else { continue };
            let mut diagnostic =
                Diagnostic::new(Code::P0501, *span, format!("dependencies form a cycle: {}", chain.join(" → ")))
                    .with_label(label(0));
            for (at, (_, span)) in cycle.iter().enumerate().take(SHOWN).skip(1) {
                diagnostic = diagnostic.with_secondary(*span, label(at));
            }
            let diagnostic = diagnostic.with_help(if cycle.len() == 1 { "remove it" } else { "remove one of these" });
            self.diagnostics.push(diagnostic);
        }
    }
}

/// Some of the numbers below a count in their order, each once, and then the others.
fn in_full(some: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut seen = vec![false; count];
    let mut all = Vec::with_capacity(count);
    all.extend(some.filter(|number| !std::mem::replace(&mut seen[*number], true)));
    all.extend((0..count).filter(|number| !seen[*number]));
    all
}

/// The pool that makes of outputs at a pattern one at a time.
pub(super) fn one_at_a_time(pattern: &str) -> String {
    format!("serialize {pattern}")
}

/// The nodes of a shortest cycle from a node within its component, each with the place of the edge
/// that leads on.
fn shortest_cycle(
    edges: &DiGraph<usize, Span>,
    first: NodeIndex,
    members: &BTreeSet<NodeIndex>,
) -> Vec<(NodeIndex, Span)> {
    // By whom each node was reached, and over which edge.
    let mut reached: BTreeMap<NodeIndex, (NodeIndex, Span)> = BTreeMap::new();
    let mut todo = VecDeque::from([first]);
    while let Some(node) = todo.pop_front() {
        if reached.contains_key(&first) {
            break;
        }
        // The edges of a node are given newest first.
        let mut leading: Vec<_> = edges.edges(node).filter(|edge| members.contains(&edge.target())).collect();
        leading.reverse();
        for edge in leading {
            if let Entry::Vacant(entry) = reached.entry(edge.target()) {
                entry.insert((node, *edge.weight()));
                todo.push_back(edge.target());
            }
        }
    }
    let mut cycle = Vec::new();
    let mut at = first;
    while let Some((from, span)) = reached.get(&at) {
        cycle.push((*from, *span));
        at = *from;
        if at == first {
            break;
        }
    }
    cycle.reverse();
    cycle
}

/// The staged files that a built-in action reads, with the places they are named at.
fn operands(work: &Work, body: &BodyIr) -> Vec<(RelPath, Span)> {
    match (&work.body, body) {
        (Some(Body::Copy(text)), BodyIr::Copy(from)) => vec![(from.clone(), text.span)],
        (Some(Body::MergeJson(texts)), BodyIr::MergeJson(from)) => {
            from.iter().zip(texts).map(|(from, text)| (from.clone(), text.span)).collect()
        }
        (Some(Body::Render { template, vars }), BodyIr::Render(from, values)) => {
            let mut all = vec![(from.clone(), template.span)];
            for (name, var) in vars {
                if let (
                    RenderVar::File(text) | RenderVar::Json(text),
                    Some(RenderIr::File(from) | RenderIr::Json(from)),
                ) = (var, values.get(&name.value))
                {
                    all.push((from.clone(), text.span));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}

/// A destination: a path, or nothing for `.`, the action's folder itself.
fn dest(value: &str, place: &Text, diagnostics: &mut Diagnostics) -> Result<Option<RelPath>, Reported> {
    if value == "." {
        return Ok(None);
    }
    path(value, place.span, diagnostics).map(Some).ok_or(Reported)
}

/// Something is wrong and has been reported.
struct Reported;
