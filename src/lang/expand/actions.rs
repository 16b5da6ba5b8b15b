//! Actions of instances: evaluated bodies and outputs first, then inputs and order, which need every
//! instance to be known. Leaves out keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use crate::base::{RelPath, parse_duration_ms};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{Body, Expr, GraphDecl, InputDecl, RecipeDecl, RenderVar, RetryDecl, Work};
use crate::lang::eval::{self, Env, Evaluator, Val};
use crate::lang::expand::{Expander, PendingAction};
use crate::lang::ir::{ActionIr, BodyIr, Expansion, InputIr, OutputIr, RenderIr};
use crate::lang::program::{DeclKind, FileId};
use crate::lang::ty::{ArtifactKind, Ty};

/// Where an action comes from, while it is made.
struct Site<'e> {
    addr: String,
    file: FileId,
    env: &'e Arc<Env>,
    placed: usize,
}

impl<'a> Expander<'a, '_> {
    /// Makes the actions of all instances, without inputs.
    pub(super) fn make_actions(&mut self, graph: &'a GraphDecl) {
        for instance in 0..self.instances.len() {
            let pending = &self.instances[instance];
            let (node, file, env, placed) = (pending.node, pending.file, Arc::clone(&pending.env), pending.placed);
            let addr = pending.ir.addr.clone();
            let first = self.actions.len();
            match &node.recipe {
                None => {
                    let site = Site { addr, file, env: &env, placed };
                    if let Some(ir) = self.action(site, &node.work, None, graph) {
                        let outputs =
                            ir.outputs.iter().map(|output| (output.name.clone(), (first, output.name.clone())));
                        self.instances[instance].ir.outputs = outputs.collect();
                        self.actions.push(PendingAction { ir, work: &node.work, env, placed, instance, steps: None });
                    }
                }
                Some(recipe) => {
                    let Some(id) = self.program.lookup(file, DeclKind::Recipe, &recipe.value) else { continue };
                    let decl = self.program.recipe(id);
                    let home = self.constants(id.file);
                    let mut vars = BTreeMap::new();
                    for param in &decl.params {
                        let value =
                            node.with.iter().find(|(name, _)| name.value == param.name.value).map(|(_, value)| value);
                        if let Some(value) = self.bind(param, value, &env, &home, placed) {
                            vars.insert(param.name.value.clone(), value);
                        }
                    }
                    let inner = Env::inside(&home, vars);
                    self.recipe_actions(decl, &node.work, id.file, &inner, placed, instance, &addr, graph);
                }
            }
            self.instances[instance].ir.actions = (first..self.actions.len()).collect();
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the recipe's and the node's sides of one application")]
    fn recipe_actions(
        &mut self,
        recipe: &'a RecipeDecl,
        outer: &'a Work,
        file: FileId,
        env: &Arc<Env>,
        placed: usize,
        instance: usize,
        addr: &str,
        graph: &GraphDecl,
    ) {
        let first = self.actions.len();
        let mut made: Vec<(&'a Work, ActionIr)> = Vec::new();
        let mut steps = BTreeMap::new();
        let mut outputs = BTreeMap::new();
        for step in &recipe.steps {
            let site = Site { addr: format!("{addr}/{}", step.name.value), file, env, placed };
            let Some(ir) = self.action(site, &step.work, Some(outer), graph) else { continue };
            let index = first + made.len();
            steps.insert(step.name.value.clone(), index);
            for output in &ir.outputs {
                if recipe.returns.iter().any(|returns| returns.name.value == output.name) {
                    outputs.insert(output.name.clone(), (index, output.name.clone()));
                }
            }
            made.push((&step.work, ir));
        }
        let steps = Arc::new(steps);
        for (work, ir) in made {
            let steps = Some(Arc::clone(&steps));
            self.actions.push(PendingAction { ir, work, env: Arc::clone(env), placed, instance, steps });
        }
        self.instances[instance].ir.outputs = outputs;
    }

    /// One action without inputs. `outer` is the node around a recipe, whose policies apply.
    fn action(
        &mut self,
        site: Site<'_>,
        work: &'a Work,
        outer: Option<&'a Work>,
        graph: &GraphDecl,
    ) -> Option<ActionIr> {
        let mut tools = BTreeSet::new();
        for name in &work.tools {
            let id = self.program.lookup(site.file, DeclKind::Tool, &name.value)?;
            tools.insert(self.plan_tool(id));
        }
        let body = self.body(&site, work, &mut tools)?;
        let evaluator = Evaluator::new(site.env, site.placed);
        let mut env = BTreeMap::new();
        for (name, value) in &work.env {
            let value = evaluator.expr(value, self.diagnostics)?.text()?;
            if value.contains('\0') {
                self.diagnostics.push(Diagnostic::new(
                    Code::P0301,
                    name.span,
                    "a variable of the environment cannot hold a NUL",
                ));
                return None;
            }
            env.insert(name.value.clone(), value);
        }
        let mut outputs = Vec::new();
        let mut paths: BTreeMap<RelPath, Span> = BTreeMap::new();
        for output in &work.outputs {
            let name = evaluator.text(&output.name, self.diagnostics)?;
            let text = output.path.as_ref().unwrap_or(&output.name);
            let path = path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?;
            if let Some(first) = paths.insert(path.clone(), output.span) {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0504, output.span, format!("two outputs claim `{path}`"))
                        .with_secondary(first, "the other"),
                );
            }
            let dir = output.ty == Ty::Artifact(ArtifactKind::Dir);
            let digest = output.digest.as_ref().map(|digest| digest.value);
            outputs.push(OutputIr { name, path, dir, digest, span: output.span });
        }
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        let cwd = match &work.cwd {
            Some(text) => Some(path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?),
            None => None,
        };
        let timeouts = [work.timeout.as_ref(), outer.and_then(|outer| outer.timeout.as_ref()), graph.timeout.as_ref()];
        let mut timeout_ms = None;
        for text in timeouts.into_iter().flatten().take(1) {
            let value = evaluator.text(text, self.diagnostics)?;
            timeout_ms = parse_duration_ms(&value);
            if timeout_ms.is_none() {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0306, text.span, format!("`{value}` is not a duration"))
                        .with_help("write `90s` or `20m`"),
                );
            }
        }
        let retry: Option<RetryDecl> =
            work.retry.clone().or_else(|| outer.and_then(|outer| outer.retry.clone())).or_else(|| graph.retry.clone());
        let holds = self.holds(work, outer, &evaluator, graph)?;
        let class = work.class.as_ref().map_or("pure", |class| class.value.as_str()).to_owned();
        let ir = ActionIr {
            addr: site.addr,
            body,
            class,
            env,
            inputs: Vec::new(),
            outputs,
            tools: tools.into_iter().collect(),
            cwd,
            timeout_ms,
            retry,
            holds,
            after: Vec::new(),
            span: work.span,
        };
        self.bytes += format!("{:?}", ir.body).len();
        Some(ir)
    }

    fn holds(
        &mut self,
        work: &Work,
        outer: Option<&Work>,
        evaluator: &Evaluator<'_>,
        graph: &GraphDecl,
    ) -> Option<Vec<(String, u64)>> {
        let mut holds: BTreeMap<String, u64> = BTreeMap::new();
        for hold in work.holds.iter().chain(outer.into_iter().flat_map(|outer| outer.holds.iter())) {
            let amount = match evaluator.expr(&hold.amount, self.diagnostics)? {
                Val::Int(int) => u64::try_from(int).ok().filter(|amount| *amount > 0),
                _ => None,
            };
            let Some(amount) = amount else {
                self.diagnostics.push(Diagnostic::new(
                    Code::P0304,
                    hold.amount.span(),
                    "the amount must be a whole number from 1",
                ));
                return None;
            };
            let total = holds.entry(hold.pool.value.clone()).or_default();
            *total = total.saturating_add(amount);
            let capacity = graph.resources.iter().find(|(name, _)| name.value == hold.pool.value);
            if let (false, Some((name, capacity))) = (hold.machine, capacity)
                && *total > *capacity
            {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0505,
                        hold.pool.span,
                        format!("this needs {total} of resource `{}`, whose capacity is {capacity}", name.value),
                    )
                    .with_secondary(name.span, "declared here")
                    .with_help("raise the capacity: as it is, this would wait for ever"),
                );
            }
        }
        Some(holds.into_iter().collect())
    }

    fn body(&mut self, site: &Site<'_>, work: &Work, tools: &mut BTreeSet<String>) -> Option<BodyIr> {
        let evaluator = Evaluator::new(site.env, site.placed);
        let diagnostics = &mut *self.diagnostics;
        Some(match work.body.as_ref()? {
            Body::Exec { tool, args } => {
                let mut texts = Vec::new();
                for arg in args {
                    evaluator.splice(arg, &mut texts, diagnostics)?;
                }
                if texts.iter().any(|text| text.contains('\0')) {
                    diagnostics.push(Diagnostic::new(Code::P0301, work.span, "an argument cannot hold a NUL"));
                    return None;
                }
                let id = self.program.lookup(site.file, DeclKind::Tool, &tool.value)?;
                let name = self.plan_tool(id);
                tools.insert(name.clone());
                BodyIr::Exec { tool: name, args: texts }
            }
            Body::Copy(text) => BodyIr::Copy(path(&evaluator.text(text, diagnostics)?, text.span, diagnostics)?),
            Body::Write(text) => BodyIr::Write(evaluator.text(text, diagnostics)?),
            Body::Render { template, vars } => {
                let mut values = BTreeMap::new();
                for (name, var) in vars {
                    let value = match var {
                        RenderVar::Value(expr) => match evaluator.expr(expr, diagnostics)? {
                            Val::List(items) => RenderIr::List(items.iter().filter_map(Val::text).collect()),
                            scalar => RenderIr::Text(scalar.text()?),
                        },
                        RenderVar::File(text) => {
                            RenderIr::File(path(&evaluator.text(text, diagnostics)?, text.span, diagnostics)?)
                        }
                        RenderVar::Json(text) => {
                            RenderIr::Json(path(&evaluator.text(text, diagnostics)?, text.span, diagnostics)?)
                        }
                    };
                    if values.insert(name.value.clone(), value).is_some() {
                        diagnostics.push(Diagnostic::new(
                            Code::P0202,
                            name.span,
                            format!("variable `{}` is set twice", name.value),
                        ));
                    }
                }
                BodyIr::Render(path(&evaluator.text(template, diagnostics)?, template.span, diagnostics)?, values)
            }
            Body::MergeJson(texts) => {
                let mut files = Vec::new();
                for text in texts {
                    files.push(path(&evaluator.text(text, diagnostics)?, text.span, diagnostics)?);
                }
                BodyIr::MergeJson(files)
            }
        })
    }

    /// Wires inputs and order.
    pub(super) fn wire(&mut self) {
        for index in 0..self.actions.len() {
            let work = self.actions[index].work;
            let mut inputs = Vec::new();
            for input in &work.inputs {
                self.input(index, input, &mut inputs);
            }
            let mut dests: BTreeMap<&RelPath, Span> = BTreeMap::new();
            let mut clash = None;
            for input in &inputs {
                if let InputIr::Output { dest: Some(dest), span, select: None, .. } = input
                    && let Some(first) = dests.insert(dest, *span)
                {
                    clash.get_or_insert((dest.clone(), first, *span));
                }
            }
            if let Some((dest, first, second)) = clash {
                let mut diagnostic = Diagnostic::new(Code::P0504, second, format!("two inputs claim `{dest}`"));
                if first == second {
                    diagnostic = diagnostic.with_help(
                        "it takes several instances: give each its own place, as `\"obj/{{ node.file }}.o\"`",
                    );
                } else {
                    diagnostic = diagnostic.with_secondary(first, "the other").with_help("change one of the places");
                }
                self.diagnostics.push(diagnostic);
            }
            self.actions[index].ir.inputs = inputs;
            self.wire_order(index);
        }
    }

    fn wire_order(&mut self, index: usize) {
        let instance = self.actions[index].instance;
        let node = self.instances[instance].node;
        let placed = self.instances[instance].placed;
        let env = Arc::clone(&self.instances[instance].env);
        let mut after = BTreeSet::new();
        for decl in &node.after {
            let evaluator = Evaluator { slugged: true, ..Evaluator::new(&env, placed) };
            let Some(target) = evaluator.text(&decl.target, self.diagnostics) else { continue };
            let found = self.instances_at(placed, &target);
            if found.is_empty() && !decl.optional {
                self.no_node(&target, placed, decl.target.span, Code::P0502);
            }
            for other in found {
                if other == instance {
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code::P0501,
                            decl.target.span,
                            format!("`{}` comes after itself", self.instances[instance].ir.addr),
                        )
                        .with_help("narrow the pattern"),
                    );
                } else {
                    after.extend(self.instances[other].ir.actions.iter().copied());
                }
            }
        }
        self.actions[index].ir.after = after.into_iter().collect();
    }

    fn input(&mut self, index: usize, input: &InputDecl, inputs: &mut Vec<InputIr>) -> Option<()> {
        let env = Arc::clone(&self.actions[index].env);
        let placed = self.actions[index].placed;
        let evaluator = Evaluator::new(&env, placed);
        let Some(from) = &input.from else {
            for text in &input.paths {
                let pattern = evaluator.text(text, self.diagnostics)?;
                if let Err(error) = eval::pattern(&pattern) {
                    self.diagnostics.push(
                        Diagnostic::new(Code::P0507, text.span, error).with_help(
                            "inputs are files of the workspace: write a path or pattern relative to its root",
                        ),
                    );
                    continue;
                }
                inputs.push(InputIr::Workspace { pattern, optional: input.optional, span: text.span });
            }
            return Some(());
        };
        let select = match &input.select {
            Some(text) => {
                let select = evaluator.text(text, self.diagnostics)?;
                if let Err(error) = eval::pattern(&select) {
                    self.diagnostics.push(Diagnostic::new(Code::P0507, text.span, error));
                    return None;
                }
                Some(select)
            }
            None => None,
        };
        let Val::Ref(text, group, span) = evaluator.expr(from, self.diagnostics)? else { return None };
        // Inside a recipe, a reference written there names a step; one bound to a parameter was
        // written at the node, and is relative to its group.
        let step = match (&self.actions[index].steps, from) {
            (Some(steps), Expr::Ref(_)) => {
                let (name, output) = text.split_once('.')?;
                Some((*steps.get(name)?, output.to_owned()))
            }
            _ => None,
        };
        let place = input.paths.first()?;
        if let Some((action, output)) = step {
            let dest = dest(&evaluator.text(place, self.diagnostics)?, place.span, self.diagnostics)?;
            inputs.push(InputIr::Output { dest, action, output, select, span: input.span });
            return Some(());
        }
        for target in self.targets(&text, group, span) {
            let keys = self.instances[target.instance].ir.keys.clone();
            let evaluator = Evaluator { instance: Some(&keys), ..Evaluator::new(&env, placed) };
            let dest = dest(&evaluator.text(place, self.diagnostics)?, place.span, self.diagnostics)?;
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

    /// Checks the whole graph and gives the expansion, sorted by address.
    pub(super) fn finish(mut self, graph: &GraphDecl, params: BTreeMap<String, String>) -> Option<Expansion> {
        self.check_cycles();
        if self.diagnostics.has_errors() {
            return None;
        }
        let mut order: Vec<usize> = (0..self.actions.len()).collect();
        order.sort_by(|a, b| self.actions[*a].ir.addr.cmp(&self.actions[*b].ir.addr));
        let mut rank = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            rank[*old] = new;
        }
        let mut actions: Vec<Option<ActionIr>> = self.actions.into_iter().map(|pending| Some(pending.ir)).collect();
        let actions = order
            .iter()
            .filter_map(|old| actions[*old].take())
            .map(|mut ir| {
                for input in &mut ir.inputs {
                    if let InputIr::Output { action, .. } = input {
                        *action = rank[*action];
                    }
                }
                ir.after.iter_mut().for_each(|index| *index = rank[*index]);
                ir.after.sort_unstable();
                ir
            })
            .collect();
        let mut instances: Vec<_> = self
            .instances
            .into_iter()
            .map(|pending| {
                let mut ir = pending.ir;
                ir.actions.iter_mut().for_each(|index| *index = rank[*index]);
                ir.outputs.values_mut().for_each(|(index, _)| *index = rank[*index]);
                ir
            })
            .collect();
        instances.sort_by(|a, b| a.addr.cmp(&b.addr));
        Some(Expansion {
            graph: graph.group.name.value.clone(),
            params,
            instances,
            actions,
            tools: self.tools,
            pools: graph.resources.iter().map(|(name, capacity)| (name.value.clone(), *capacity)).collect(),
            concurrency: graph.concurrency,
        })
    }

    fn check_cycles(&mut self) {
        let mut edges: DiGraph<usize, Span> = DiGraph::with_capacity(self.actions.len(), self.actions.len());
        let nodes: Vec<_> = (0..self.actions.len()).map(|index| edges.add_node(index)).collect();
        for (index, pending) in self.actions.iter().enumerate() {
            for input in &pending.ir.inputs {
                if let InputIr::Output { action, span, .. } = input {
                    edges.add_edge(nodes[index], nodes[*action], *span);
                }
            }
            for before in &pending.ir.after {
                edges.add_edge(nodes[index], nodes[*before], pending.ir.span);
            }
        }
        for mut component in tarjan_scc(&edges) {
            let own = component.first().and_then(|node| edges.find_edge(*node, *node));
            if component.len() < 2 && own.is_none() {
                continue;
            }
            component.reverse();
            let addr = |node: &petgraph::graph::NodeIndex| self.actions[edges[*node]].ir.addr.clone();
            let mut chain: Vec<String> = component.iter().take(6).map(addr).collect();
            if component.len() > 6 {
                chain.push("…".to_owned());
            }
            chain.push(addr(&component[0]));
            let mut diagnostic = None;
            for node in component.iter().take(6) {
                for edge in edges.edges(*node) {
                    use petgraph::visit::EdgeRef;
                    if component.contains(&edge.target()) {
                        let label = format!("`{}` needs `{}`", addr(node), addr(&edge.target()));
                        diagnostic = Some(match diagnostic.take() {
                            None => Diagnostic::new(
                                Code::P0501,
                                *edge.weight(),
                                format!("dependencies form a cycle: {}", chain.join(" → ")),
                            )
                            .with_label(label),
                            Some(found) => Diagnostic::with_secondary(found, *edge.weight(), label),
                        });
                        break;
                    }
                }
            }
            if let Some(diagnostic) = diagnostic {
                self.diagnostics.push(diagnostic.with_help("remove one of these"));
            }
        }
    }
}

fn path(text: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<RelPath> {
    match RelPath::new(text) {
        Ok(path) => Some(path),
        Err(error) => {
            diagnostics.push(
                Diagnostic::new(Code::P0507, span, error.to_string())
                    .with_help("write a path below the action's folder"),
            );
            None
        }
    }
}

/// A destination: a path, or `.` for the action's folder itself.
fn dest(text: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Option<RelPath>> {
    if text == "." {
        return Some(None);
    }
    path(text, span, diagnostics).map(Some)
}
