//! Actions of instances: bodies, environments, outputs and policies, evaluated. Leaves out inputs and
//! order, which need every instance to be known: see `wire`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{RelPath, format_bytes, parse_size_bytes};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{Body, GraphDecl, RecipeDecl, RenderVar, RetryDecl, Work};
use crate::lang::check::check_overlap;
use crate::lang::decode::parse_digest;
use crate::lang::eval::{Env, Evaluator, Val, address_matches};
use crate::lang::expand::asks::{PendingAsk, impure};
use crate::lang::expand::wire::one_at_a_time;
use crate::lang::expand::{Expander, PendingAction};
use crate::lang::ir::{ActionIr, BodyIr, ClosingIr, OutputIr, Outputs, RenderIr};
use crate::lang::program::{DeclKind, FileId};
use crate::lang::route::net;
use crate::lang::ty::{ArtifactKind, Ty};

/// Where an action comes from, while it is made.
pub(super) struct Site<'e> {
    pub(super) addr: String,
    pub(super) file: FileId,
    pub(super) env: &'e Arc<Env>,
    pub(super) placed: usize,
    /// `None` for a service.
    pub(super) instance: Option<usize>,
    /// The recipe of a step.
    pub(super) recipe: Option<&'e RecipeDecl>,
}

impl<'a> Expander<'a, '_> {
    /// Makes the actions of all instances, without inputs.
    pub(super) fn make_actions(&mut self, graph: &'a GraphDecl) {
        self.actions.reserve(self.instances.len());
        for instance in 0..self.instances.len() {
            if self.exhausted {
                return;
            }
            let pending = &self.instances[instance];
            let (node, file, env, placed) = (pending.node, pending.file, Arc::clone(&pending.env), pending.placed);
            let addr = pending.ir.addr.clone();
            let first = self.actions.len();
            match &node.recipe {
                // A checkpoint: only its gates.
                None if node.work.body.is_none() && node.work.ask.is_none() => {}
                None => {
                    let site = Site { addr, file, env: &env, placed, instance: Some(instance), recipe: None };
                    if let Some(mut ir) = self.action(site, &node.work, None, graph) {
                        ir.own = true;
                        let outputs = ir.outputs.iter().map(|output| (output.name.clone(), first));
                        self.instances[instance].ir.outputs = Outputs::of(outputs);
                        self.actions.push(PendingAction::new(ir, &node.work, env, placed, instance));
                        if let Some(ask) = &node.work.ask {
                            self.asks.push(PendingAsk { action: first, file, work: &node.work, ask, verdict: false });
                        }
                    }
                }
                Some(recipe) => {
                    let Some(id) = self.program.lookup(file, DeclKind::Recipe, &recipe.value) else { continue };
                    let decl = self.program.recipe(id);
                    let home = self.constants(id.file);
                    let vars = self.bind_all(&decl.params, &node.with, &env, &home, placed);
                    if !decl.gates.is_empty() {
                        let with = self.handed_over(&decl.params, &vars);
                        self.instances[instance].ir.closing = Some(Box::new(ClosingIr { recipe: id, with }));
                    }
                    let inner = Env::inside(&home, vars);
                    self.recipe_actions(decl, &node.work, id.file, &inner, placed, instance, &addr, graph);
                }
            }
            self.instances[instance].ir.actions = (first..self.actions.len()).collect();
            let made = self.actions.len();
            self.guard_actions(instance, graph);
            if self.actions.len() > made {
                self.instances[instance].ir.actions = (first..self.actions.len()).collect();
            }
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
        let mut made: Vec<(&'a Work, Box<ActionIr>)> = Vec::new();
        let mut steps = BTreeMap::new();
        let mut outputs = Vec::with_capacity(recipe.returns.len());
        for step in &recipe.steps {
            if self.exhausted {
                return;
            }
            let site = Site {
                addr: format!("{addr}/{}", step.name.value),
                file,
                env,
                placed,
                instance: Some(instance),
                recipe: Some(recipe),
            };
            let Some(mut ir) = self.action(site, &step.work, Some(outer), graph) else { continue };
            ir.own = true;
            let index = first + made.len();
            steps.insert(step.name.value.clone(), index);
            for output in &mut ir.outputs {
                if let Some(returns) = recipe.returns.iter().find(|returns| returns.name.value == output.name) {
                    // What the recipe promises is what others take it as.
                    output.ty = returns.ty.clone();
                    outputs.push((output.name.clone(), index));
                }
            }
            made.push((&step.work, ir));
        }
        let steps = Arc::new(steps);
        for (work, ir) in made {
            let steps = Some(Arc::clone(&steps));
            if let Some(ask) = &work.ask {
                self.asks.push(PendingAsk { action: self.actions.len(), file, work, ask, verdict: false });
            }
            let pending = PendingAction::new(ir, work, Arc::clone(env), placed, instance);
            self.actions.push(PendingAction { steps, ..pending });
        }
        self.instances[instance].ir.outputs = Outputs::of(outputs);
        self.closing_gates(recipe, file, env, placed, instance, graph);
    }

    /// One action without inputs. `outer` is the node around a recipe, whose policies apply.
    pub(super) fn action(
        &mut self,
        site: Site<'_>,
        work: &'a Work,
        outer: Option<&'a Work>,
        graph: &GraphDecl,
    ) -> Option<Box<ActionIr>> {
        let mut tools = BTreeSet::new();
        for name in &work.tools {
            let id = self.tool_of(&site, name)?;
            tools.insert(self.plan_tool(id));
        }
        // Whoever serves an ask is known later.
        let body = if work.ask.is_some() { BodyIr::Write(String::new()) } else { self.body(&site, work, &mut tools)? };
        let evaluator = Evaluator::new(site.env, site.placed);
        let given = Evaluator { addresses: true, ..Evaluator::new(site.env, site.placed) };
        let mut env = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        if let Some(Body::Exec { tool, .. }) = &work.body {
            let id = self.tool_of(&site, tool)?;
            let tool = tool.name();
            let decl = self.program.tool(id);
            self.needed(&decl.offer.secrets, &mut secrets)?;
            // A service has no result that could be taken for one of another day.
            if site.instance.is_some() && net(decl) && work.class.as_ref().is_none_or(|class| class.value == "pure") {
                let span = work.class.as_ref().map_or(tool.span, |class| class.span);
                self.diagnostics.push(impure(&tool.value, span, decl.name.span));
            }
        }
        for (name, value) in &work.env {
            let value = match given.expr(value, self.diagnostics)? {
                Val::Secret(secret, span) => {
                    secrets.insert(name.value.clone(), self.secret(&secret, span)?);
                    continue;
                }
                value => value.text()?,
            };
            if value.contains('\0') {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0301, name.span, "a variable of the environment cannot hold a NUL")
                        .with_help("bytes that are not text go through files"),
                );
                return None;
            }
            self.spend(name.value.len() + value.len() + 64, name.span, &site.addr)?;
            env.insert(name.value.clone(), value);
        }
        let mut outputs = Vec::with_capacity(work.outputs.len());
        let mut paths: BTreeMap<RelPath, Span> = BTreeMap::new();
        let mut names: BTreeMap<String, Span> = BTreeMap::new();
        let served = self.asked_outputs(site.file, work, site.recipe);
        let several = work.outputs.len() + served.len() > 1;
        for output in work.outputs.iter().chain(&served) {
            let name = evaluator.text(&output.name, self.diagnostics)?;
            let text = output.path.as_ref().unwrap_or(&output.name);
            let path = path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?;
            if several {
                check_overlap(&paths, &path, output.span, self.diagnostics);
                paths.insert(path.clone(), output.span);
            }
            if several && let Some(first) = names.insert(name.clone(), output.name.span) {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0402, output.name.span, format!("output `{name}` is declared twice"))
                        .with_secondary(first, "first declared here")
                        .with_help("rename one: others take it by this name"),
                );
            }
            let dir = output.ty == Ty::Artifact(ArtifactKind::Dir);
            let digest = match &output.digest {
                Some(text) => {
                    let value = evaluator.text(text, self.diagnostics)?;
                    Some(parse_digest(&value, text.span).map_err(|found| self.diagnostics.push(*found)).ok()?)
                }
                None => None,
            };
            self.spend(name.len() + path.as_str().len() + 128, output.span, &site.addr)?;
            // A step's output must fit what its recipe says it returns.
            let returned = site.recipe.and_then(|recipe| recipe.returns.iter().find(|found| found.name.value == name));
            let returned = returned.map(|returns| &returns.ty).filter(|ty| ty.schema().is_some());
            let ty = returned.filter(|_| output.ty.schema().is_none()).unwrap_or(&output.ty).clone();
            outputs.push(OutputIr { name, path, dir, ty, digest, span: output.span });
        }
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        let cwd = match &work.cwd {
            Some(text) => Some(path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?),
            None => None,
        };
        // A step's own timeout is nearer than that of the node around its recipe, which is evaluated
        // where it stands.
        let around = site.instance.map_or(site.env, |instance| &self.instances[instance].env);
        let around = Arc::clone(around);
        let of_node = match outer.and_then(|outer| outer.timeout.as_ref()) {
            Some(text) => {
                let value = Evaluator::new(&around, site.placed).text(text, self.diagnostics)?;
                Some(self.duration(&value, text.span)?)
            }
            None => None,
        };
        let timeout_ms = match &work.timeout {
            Some(text) => {
                let value = evaluator.text(text, self.diagnostics)?;
                Some(self.duration(&value, text.span)?)
            }
            None => of_node.or(self.timeout_ms),
        };
        // That of a node bounds all of its steps together. With one step that says nothing else it is the step's.
        let is_one = work.timeout.is_none() && site.recipe.is_none_or(|recipe| recipe.steps.len() == 1);
        let whole_ms = of_node.filter(|_| !is_one);
        let quota = self.tenant.and_then(|id| self.program.tenant(id).quota.runtime_ms);
        let timeout_ms = match (timeout_ms, quota) {
            (Some(own), Some(quota)) => Some(own.min(quota)),
            (own, quota) => own.or(quota),
        };
        let class = work.class.as_ref().map_or("pure", |class| class.value.as_str()).to_owned();
        // What may happen once only is not tried again because others are.
        let outer_retry = outer.and_then(|outer| outer.retry.clone()).or_else(|| graph.retry.clone());
        let once = class == "effect" && work.idempotent.is_none();
        let retry: Option<RetryDecl> = work.retry.clone().or(outer_retry.filter(|_| !once));
        let take = match &work.take {
            Some(take) => match evaluator.expr(take, self.diagnostics)? {
                Val::Int(number) => Some(self.natural_number(number, take.span())?),
                Val::Text(text) => Some(self.natural_number(text.parse().unwrap_or(-1), take.span())?),
                _ => Some(self.natural_number(-1, take.span())?),
            },
            None => None,
        };
        let mut holds = BTreeMap::new();
        self.holds(work, &evaluator, graph, &mut holds)?;
        if let Some(outer) = outer {
            self.holds(outer, &Evaluator::new(&around, site.placed), graph, &mut holds)?;
        }
        for pattern in &graph.policies.serialize {
            if outputs.iter().any(|output| address_matches(&pattern.value, output.path.as_str())) {
                holds.insert(one_at_a_time(&pattern.value), 1);
            }
        }
        let mut limits = BTreeMap::new();
        for work in outer.into_iter().chain([work]) {
            limits.extend(work.limits.iter().map(|(name, most)| (name.clone().into_owned(), *most)));
        }
        let ir = Box::new(ActionIr {
            addr: site.addr,
            body,
            class,
            env,
            secrets,
            inputs: Vec::new(),
            outputs,
            tools: tools.into_iter().collect(),
            cwd,
            timeout_ms,
            whole_ms,
            retry,
            holds: holds.into_iter().collect(),
            limits,
            take,
            idempotent: work.idempotent.is_some(),
            services: Vec::new(),
            after: Vec::new(),
            route: None,
            ask: None,
            own: false,
            gate: None,
            rollback: None,
            automation: None,
            span: work.span,
        });
        self.spend(ir.addr.len() + 256, work.span, &ir.addr)?;
        Some(ir)
    }

    /// A whole number from 0. Reports one that is none.
    fn natural_number(&mut self, number: i128, span: Span) -> Option<u64> {
        let natural = u64::try_from(number).ok();
        if natural.is_none() {
            self.diagnostics.push(
                Diagnostic::new(Code::P0304, span, "this is not a whole number from 0")
                    .with_help("samples are counted: `take=0`, `take=1`, or `take=(var)n` of a loop"),
            );
        }
        natural
    }

    /// Adds what one piece of work holds.
    fn holds(
        &mut self,
        work: &Work,
        evaluator: &Evaluator<'_>,
        graph: &GraphDecl,
        holds: &mut BTreeMap<String, u64>,
    ) -> Option<()> {
        for hold in &work.holds {
            let amount = match evaluator.expr(&hold.amount, self.diagnostics)? {
                Val::Int(int) => u64::try_from(int).ok().filter(|amount| *amount > 0),
                // Memory is counted in bytes.
                Val::Text(text) if hold.machine => match parse_size_bytes(&text) {
                    Some(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
                    None => {
                        self.diagnostics.push(
                            Diagnostic::new(Code::P0306, hold.amount.span(), format!("`{text}` is not a size"))
                                .with_help("write it with its unit, as `512MiB` or `4GiB`"),
                        );
                        return None;
                    }
                },
                _ => None,
            };
            let Some(amount) = amount else {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0304, hold.amount.span(), "the amount is not a whole number from 1")
                        .with_help("to hold nothing, leave it out"),
                );
                return None;
            };
            let total = holds.entry(hold.pool.value.clone()).or_default();
            *total = total.saturating_add(amount);
            let quota = self.tenant.map(|id| self.program.tenant(id));
            let most = quota.and_then(|tenant| match hold.pool.value.as_str() {
                "cpu" => tenant.quota.cpu,
                "memory" => tenant.quota.memory,
                _ => None,
            });
            if let (true, Some(tenant), Some(most)) = (hold.machine, quota, most)
                && *total > most
            {
                let name = &hold.pool.value;
                let shown = |amount: u64| if name == "memory" { format_bytes(amount) } else { amount.to_string() };
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0505,
                        hold.amount.span(),
                        format!(
                            "this needs {} of `{name}`, and the quota of tenant `{}` is {}",
                            shown(*total),
                            tenant.name.value,
                            shown(most)
                        ),
                    )
                    .with_secondary(tenant.name.span, "the tenant that owns the graph")
                    .with_help("ask for less, or raise the tenant's `quota`"),
                );
            }
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
        Some(())
    }

    fn body(&mut self, site: &Site<'_>, work: &Work, tools: &mut BTreeSet<String>) -> Option<BodyIr> {
        let evaluator = Evaluator::new(site.env, site.placed);
        Some(match work.body.as_ref()? {
            Body::Exec { tool, args } => {
                let mut texts = Vec::new();
                let given = Evaluator { addresses: true, ..Evaluator::new(site.env, site.placed) };
                for arg in args {
                    let before = texts.len();
                    given.splice(arg, &mut texts, self.diagnostics)?;
                    let bytes = texts[before..].iter().map(|text| text.len() + 32).sum();
                    self.spend(bytes, work.span, &site.addr)?;
                    if texts[before..].iter().any(|text| text.contains('\0')) {
                        self.diagnostics.push(
                            Diagnostic::new(Code::P0301, arg.span(), "an argument cannot hold a NUL")
                                .with_help("bytes that are not text go through files"),
                        );
                        return None;
                    }
                }
                let id = self.tool_of(site, tool)?;
                let name = self.plan_tool(id);
                tools.insert(name.clone());
                BodyIr::Exec { tool: name, args: texts }
            }
            Body::Copy(text) => {
                BodyIr::Copy(path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?)
            }
            Body::Write(text) => {
                let written = evaluator.text(text, self.diagnostics)?;
                self.spend(written.len(), text.span, &site.addr)?;
                BodyIr::Write(written)
            }
            Body::Render { template, vars } => {
                let mut values = BTreeMap::new();
                for (name, var) in vars {
                    let value = match var {
                        RenderVar::Value(expr) => match evaluator.expr(expr, self.diagnostics)? {
                            Val::List(items) => RenderIr::List(items.iter().filter_map(Val::text).collect()),
                            scalar => RenderIr::Text(scalar.text()?),
                        },
                        RenderVar::File(text) => {
                            RenderIr::File(path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?)
                        }
                        RenderVar::Json(text) => {
                            RenderIr::Json(path(&evaluator.text(text, self.diagnostics)?, text.span, self.diagnostics)?)
                        }
                    };
                    let bytes = match &value {
                        RenderIr::Text(text) => text.len(),
                        RenderIr::List(items) => items.iter().map(|item| item.len() + 32).sum(),
                        RenderIr::File(path) | RenderIr::Json(path) => path.as_str().len(),
                    };
                    self.spend(bytes + name.value.len() + 64, name.span, &site.addr)?;
                    values.insert(name.value.clone(), value);
                }
                let text = evaluator.text(template, self.diagnostics)?;
                BodyIr::Render(path(&text, template.span, self.diagnostics)?, values)
            }
            Body::MergeJson(texts) => {
                let mut files = Vec::new();
                for text in texts {
                    let value = evaluator.text(text, self.diagnostics)?;
                    self.spend(value.len() + 32, text.span, &site.addr)?;
                    files.push(path(&value, text.span, self.diagnostics)?);
                }
                BodyIr::MergeJson(files)
            }
        })
    }
}

pub(super) fn path(text: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<RelPath> {
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
