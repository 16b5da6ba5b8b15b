//! What is asked of tools and agents by capability: once every ask of a graph is known they are
//! routed together, and each becomes the actions of whoever serves. Leaves out the choice: see `route`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Span};
use crate::lang::ast::{
    AskDecl, Expr, HeaderDecl, HowDecl, LimitsDecl, Name, NeedDecl, OutputDecl, Param, ProviderDecl, ProviderKind,
    RecipeDecl, Work,
};
use crate::lang::check::{Asked, asked, leaves};
use crate::lang::eval::{Env, Evaluator, Val};
use crate::lang::expand::actions::path;
use crate::lang::expand::{Expander, PendingAction};
use crate::lang::gate::VERDICT;
use crate::lang::ir::{ArgIr, AskIr, BodyIr, HttpIr, OutputIr, RenderIr, ToolOf};
use crate::lang::program::{DeclId, DeclKind, FileId};
use crate::lang::route::{self, Asking, Route, Server, Sought};
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, Ty};

/// An ask whose action has its place, and waits for the choice.
pub(super) struct PendingAsk<'a> {
    /// The action it becomes.
    pub(super) action: usize,
    pub(super) file: FileId,
    pub(super) work: &'a Work,
    pub(super) ask: &'a AskDecl,
    /// Whether it is for the verdict of a gate.
    pub(super) verdict: bool,
}

/// An artifact that an ask hands on.
#[derive(Clone)]
pub(super) struct Handed {
    /// Where it is staged.
    pub(super) dest: RelPath,
    /// The reference, the group it is relative to, and its place.
    pub(super) text: String,
    pub(super) group: usize,
    pub(super) span: Span,
    /// Whether it names a step of the recipe.
    pub(super) step: bool,
}

/// The file that an artifact of a kind is left in by the default protocol.
fn default_path(name: &str, ty: &Ty) -> String {
    let extension = match ty {
        Ty::Artifact(kind) if kind.is_json() || *kind == ArtifactKind::Sbom => ".json",
        Ty::Artifact(ArtifactKind::Text) => ".txt",
        Ty::Artifact(ArtifactKind::Junit) => ".xml",
        Ty::Artifact(ArtifactKind::Diff) => ".diff",
        Ty::Artifact(ArtifactKind::Image) => ".png",
        _ => "",
    };
    format!("{name}{extension}")
}

/// Where an artifact is staged for whoever serves.
fn staged_at(name: &str) -> String {
    format!("in/{name}")
}

impl<'a> Expander<'a, '_> {
    /// What an ask leaves besides its own outputs, by the default protocol.
    pub(super) fn asked_outputs(
        &self,
        file: FileId,
        work: &'a Work,
        recipe: Option<&'a RecipeDecl>,
    ) -> Vec<OutputDecl> {
        let left = leaves(self.program, file, work, recipe).unwrap_or_default();
        left.into_iter()
            .map(|left| OutputDecl {
                name: Text::literal(left.name.value.clone(), left.name.span),
                path: Some(Text::literal(default_path(&left.name.value, left.ty), left.name.span)),
                ty: left.ty.clone(),
                digest: None,
                span: left.name.span,
            })
            .collect()
    }

    /// Routes all asks, and makes the actions of those who serve.
    pub(super) fn serve_asks(&mut self, graph: DeclId) {
        let asks = std::mem::take(&mut self.asks);
        let named = self.named_tools(&asks);
        if asks.is_empty() && named.is_empty() || self.diagnostics.has_errors() {
            return;
        }
        let mut askings = Vec::with_capacity(asks.len() + named.len());
        for pending in &asks {
            let Some(asked) = asked(self.program, pending.file, pending.ask) else { return };
            let agent = pending.ask.agent.as_ref();
            let agent = agent.and_then(|name| self.program.lookup(pending.file, DeclKind::Agent, &name.value));
            let complexity = pending.ask.complexity;
            askings.push(self.asking(pending.action, Sought::Asked(asked), agent, complexity, pending.ask.at));
        }
        askings.extend(named.iter().map(|(action, tool)| {
            let at = self.actions[*action].ir.span;
            self.asking(*action, Sought::Tool(*tool), None, None, at)
        }));
        let Some(served) = route::choose(self.program, graph, self.tenant, &askings, self.diagnostics) else { return };
        let mut served = askings.into_iter().zip(served);
        for (pending, (asking, (server, route))) in asks.into_iter().zip(served.by_ref()) {
            if self.exhausted || self.serve(&pending, &asking, server, route).is_none() {
                return;
            }
        }
        for ((action, _), (_, (_, route))) in named.into_iter().zip(served) {
            self.actions[action].ir.route = Some(Box::new(route));
        }
    }

    /// The actions that name a tool which costs, besides those that ask.
    fn named_tools(&self, asks: &[PendingAsk<'a>]) -> Vec<(usize, DeclId)> {
        let asking: BTreeSet<usize> = asks.iter().map(|pending| pending.action).collect();
        let tool_of = |(at, action): (usize, &PendingAction<'a>)| {
            let BodyIr::Exec { tool, .. } = &action.ir.body else { return None };
            let ToolOf::Tool(id) = &self.tools.get(tool)?.of else { return None };
            let costs = self.program.tool(*id).offer.costs.iter().any(|cost| cost.usd.value > 0);
            (costs && !asking.contains(&at)).then_some((at, *id))
        };
        self.actions.iter().enumerate().filter_map(tool_of).collect()
    }

    fn asking(&self, action: usize, sought: Sought, agent: Option<DeclId>, complexity: Option<u8>, at: Span) -> Asking {
        let ir = &self.actions[action].ir;
        let attempts = u64::from(ir.retry.as_ref().map_or(0, |retry| retry.max)) + 1;
        Asking { addr: ir.addr.clone(), sought, agent, complexity, timeout_ms: ir.timeout_ms, attempts, at }
    }

    fn serve(&mut self, pending: &PendingAsk<'a>, asking: &Asking, server: Server, route: Route) -> Option<()> {
        let program = self.program;
        let (params, home): (&'a [Param], FileId) = match asking.sought {
            Sought::Asked(Asked::Capability(id)) => (&program.capability(id).accepts, id.file),
            Sought::Asked(Asked::Agent(_, Some(skill))) => (&program.skill(skill).vars, skill.file),
            Sought::Asked(Asked::Agent(_, None)) | Sought::Tool(_) => (&[], pending.file),
        };
        let (env, placed) = {
            let action = &self.actions[pending.action];
            (Arc::clone(&action.env), action.placed)
        };
        let home = self.constants(home);
        let vars = self.bind_all(params, &pending.ask.with, &env, &home, placed);
        if vars.len() < params.len() {
            // What is missing has been reported.
            return None;
        }
        self.actions[pending.action].ir.route = Some(Box::new(route));
        if !pending.verdict {
            let ask = self.ask_as_said(pending, asking, params, &vars);
            self.actions[pending.action].ir.ask = Some(Box::new(ask));
        }
        if let Server::Agent(_, Some(skill)) = &server {
            self.check_vetted(pending.action, pending.ask.at, *skill);
        }
        match server {
            Server::Tool(tool) => self.serve_by_tool(pending, asking, tool, params, &vars),
            Server::Agent(agent, skill) => self.serve_by_agent(pending, asking, agent, skill, params, &vars),
        }
    }

    /// What is asked, before anybody serves it.
    fn ask_as_said(
        &self,
        pending: &PendingAsk<'a>,
        asking: &Asking,
        params: &[Param],
        vars: &BTreeMap<String, Val>,
    ) -> AskIr {
        let action = &self.actions[pending.action];
        let of_step = |name: &str| {
            let given = pending.ask.with.iter().find(|(given, _)| given.value == *name);
            action.steps.is_some() && matches!(given, Some((_, Expr::Ref(_))))
        };
        let with = params.iter().filter_map(|param| {
            let name = &param.name.value;
            let value = match vars.get(name)? {
                Val::Ref(text, ..) if of_step(name) => ArgIr::Step(text.clone()),
                value => self.as_written(value, &param.ty)?,
            };
            Some((name.clone(), param.ty.clone(), value))
        });
        let skill = pending.ask.skill.as_ref();
        AskIr {
            capability: asking.sought.capability(),
            agent: asking.agent,
            skill: skill.and_then(|name| self.program.lookup(pending.file, DeclKind::Skill, &name.value)),
            complexity: asking.complexity,
            with: with.collect(),
            class: pending.work.class.as_ref().map(|class| class.value.clone()),
            timeout_ms: action.ir.timeout_ms,
            env: action.ir.env.clone(),
            secrets: action.ir.secrets.clone(),
            tools: action.ir.tools.clone(),
        }
    }

    /// The artifacts among values, each staged under its name.
    fn handed(&mut self, pending: &PendingAsk<'a>, vars: &BTreeMap<String, Val>) -> Option<Vec<Handed>> {
        let is_step = self.actions[pending.action].steps.is_some();
        let mut handed = Vec::new();
        for (name, value) in vars {
            let Val::Ref(text, group, span) = value else { continue };
            let given = pending.ask.with.iter().find(|(given, _)| given.value == *name);
            let step = is_step && matches!(given, Some((_, Expr::Ref(_))));
            let dest = path(&staged_at(name), *span, self.diagnostics)?;
            handed.push(Handed { dest, text: text.clone(), group: *group, span: *span, step });
        }
        Some(handed)
    }

    fn serve_by_tool(
        &mut self,
        pending: &PendingAsk<'a>,
        asking: &Asking,
        tool: DeclId,
        params: &'a [Param],
        vars: &BTreeMap<String, Val>,
    ) -> Option<()> {
        let program = self.program;
        let decl = program.tool(tool);
        let capability = asking.sought.capability();
        let of = |id: Option<DeclId>| {
            let mut provides = decl.offer.provides.iter();
            provides.find(|p| program.lookup(tool.file, DeclKind::Capability, &p.capability.value) == id)
        };
        // Through a capability that stands for another, the tool may provide only that one.
        let provides = of(capability).or_else(|| decl.offer.provides.first());
        let how: Option<&'a HowDecl> = provides.and_then(|provides| provides.how.as_ref());
        let at = pending.ask.at;
        let mut args = Vec::new();
        let mut env = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        if let Some(how) = how {
            let shown: BTreeMap<String, Val> = vars
                .iter()
                .map(|(name, value)| match value {
                    Val::Ref(..) => (name.clone(), Val::Text(staged_at(name))),
                    other => (name.clone(), other.clone()),
                })
                .collect();
            let inner = Env::inside(&self.constants(tool.file), shown);
            let evaluator = Evaluator::new(&inner, 0);
            for arg in &how.args {
                evaluator.splice(arg, &mut args, self.diagnostics)?;
            }
            for (name, value) in &how.env {
                match evaluator.expr(value, self.diagnostics)? {
                    Val::Secret(secret, span) => drop(secrets.insert(name.value.clone(), self.secret(&secret, span)?)),
                    value => drop(env.insert(name.value.clone(), value.text()?)),
                }
            }
            for (name, text) in &how.outputs {
                let written = evaluator.text(text, self.diagnostics)?;
                let place = path(&written, text.span, self.diagnostics)?;
                let outputs = &mut self.actions[pending.action].ir.outputs;
                if let Some(output) = outputs.iter_mut().find(|output| output.name == name.value) {
                    output.path = place;
                }
            }
        } else {
            for param in params {
                let name = &param.name.value;
                let flag = format!("--{name}");
                match vars.get(name)? {
                    Val::Ref(..) => args.extend([flag, staged_at(name)]),
                    Val::List(items) => {
                        for item in items.iter().filter_map(Val::text) {
                            args.extend([flag.clone(), item]);
                        }
                    }
                    Val::Secret(secret, span) => {
                        self.diagnostics.push(leak(secret, *span, "an argument of a process"));
                        return None;
                    }
                    scalar => args.extend([flag, scalar.text()?]),
                }
            }
        }
        if args.iter().chain(env.values()).any(|text| text.contains('\0')) {
            self.diagnostics.push(
                Diagnostic::new(Code::P0301, at, "an argument cannot hold a NUL")
                    .with_help("bytes that are not text go through files"),
            );
            return None;
        }
        let bytes = args.iter().map(|text| text.len() + 32).sum::<usize>();
        let addr = asking.addr.clone();
        self.spend(bytes + 512, at, &addr)?;
        self.needed(&decl.offer.secrets, &mut secrets)?;
        let name = self.plan_tool(tool);
        let handed = self.handed(pending, vars)?;
        let class = pending.work.class.as_ref().map(|class| class.value.clone());
        if route::net(decl) && class.as_deref() == Some("pure") {
            let span = pending.work.class.as_ref().map_or(at, |class| class.span);
            self.diagnostics.push(impure(&decl.name.value, span, decl.name.span));
            return None;
        }
        let default = if route::net(decl) { "record" } else { "pure" };
        let action = &mut self.actions[pending.action];
        action.handed = handed;
        let ir = &mut action.ir;
        ir.body = BodyIr::Exec { tool: name.clone(), args };
        ir.tools.push(name);
        ir.tools.sort();
        ir.tools.dedup();
        ir.env.extend(env);
        ir.secrets.extend(secrets);
        ir.class = class.unwrap_or_else(|| default.to_owned());
        Some(())
    }

    fn serve_by_agent(
        &mut self,
        pending: &PendingAsk<'a>,
        asking: &Asking,
        agent: DeclId,
        skill: Option<DeclId>,
        params: &'a [Param],
        vars: &BTreeMap<String, Val>,
    ) -> Option<()> {
        let program = self.program;
        let decl = program.agent(agent);
        let provider = program.lookup(agent.file, DeclKind::Provider, &decl.provider.value)?;
        let placed = self.actions[pending.action].placed;
        // The skill's own variables; those that the capability does not give take their defaults.
        let (params, vars): (&'a [Param], BTreeMap<String, Val>) = match skill {
            Some(skill) => {
                let home = self.constants(skill.file);
                let own = &program.skill(skill).vars;
                let mut bound = self.bind_all(own, &[], &home, &home, placed);
                let given =
                    own.iter().filter_map(|var| Some((var.name.value.clone(), vars.get(&var.name.value)?.clone())));
                bound.extend(given);
                (own, bound)
            }
            None => (params, vars.clone()),
        };
        let handed = self.handed(pending, &vars)?;
        let mut told = BTreeMap::new();
        let mut plain = BTreeMap::new();
        let mut artifacts = BTreeMap::new();
        for param in params {
            let name = &param.name.value;
            let value = match vars.get(name)? {
                Val::Ref(_, _, span) => {
                    let at = staged_at(name);
                    artifacts.insert(name.clone(), at.clone());
                    let place = path(&at, *span, self.diagnostics)?;
                    match &param.ty {
                        Ty::Artifact(kind) if kind.is_json() || *kind == ArtifactKind::Sbom => RenderIr::Json(place),
                        Ty::Artifact(ArtifactKind::Dir | ArtifactKind::Image) => RenderIr::Text(at),
                        _ => RenderIr::File(place),
                    }
                }
                Val::List(items) => {
                    let items: Vec<String> = items.iter().filter_map(Val::text).collect();
                    plain.insert(name.clone(), json!(items));
                    RenderIr::List(items)
                }
                Val::Secret(secret, span) => {
                    self.diagnostics.push(leak(secret, *span, "a prompt"));
                    return None;
                }
                scalar => {
                    let text = scalar.text()?;
                    plain.insert(name.clone(), json!(text));
                    RenderIr::Text(text)
                }
            };
            told.insert(name.clone(), value);
        }
        let mut secrets = BTreeMap::new();
        self.needed(&program.provider(provider).secrets, &mut secrets)?;
        let outputs: BTreeMap<&str, &str> = self.actions[pending.action]
            .ir
            .outputs
            .iter()
            .map(|output| (output.name.as_str(), output.path.as_str()))
            .collect();
        let mut facts = json!({
            "request": 1,
            "agent": program.plan_name(self.home, DeclKind::Agent, agent),
            "artifacts": artifacts,
            "limits": {
                "turns": decl.limits.turns,
                "wall_ms": decl.limits.wall_ms,
                "tokens": decl.limits.tokens,
            },
            "outputs": outputs,
            "variables": plain,
        });
        let home = self.home;
        let mut put = |name: &str, value: Json| {
            if let Some(facts) = facts.as_object_mut() {
                facts.insert(name.to_owned(), value);
            }
        };
        if let Some(id) = asking.sought.capability() {
            put("capability", json!(program.plan_name(home, DeclKind::Capability, id)));
        }
        if let Some(skill) = skill {
            put("skill", json!(program.plan_name(home, DeclKind::Skill, skill)));
        }
        let route = self.actions[pending.action].ir.route.as_ref();
        if let Some(model) = route.and_then(|route| route.model.as_ref()) {
            put("model", json!(model));
        }
        if let Some(budget) = &decl.budget {
            put("budget_micro_usd", json!(budget.value));
        }
        if let Some(complexity) = asking.complexity {
            put("complexity", json!(complexity));
        }
        let fits =
            |output: &OutputIr| Some((output.name.clone(), serde_json::from_str(&output.ty.schema()?.text).ok()?));
        let mut schemas: BTreeMap<String, Json> =
            self.actions[pending.action].ir.outputs.iter().filter_map(fits).collect();
        if pending.verdict {
            schemas.insert(VERDICT.0.to_owned(), verdict_schema());
        }
        if !schemas.is_empty() {
            put("schema", json!(schemas));
        }
        if let Some(tools) = &decl.allow_tool {
            let named = |name: &Name| match program.lookup(agent.file, DeclKind::Tool, &name.value) {
                Some(id) => program.plan_name(home, DeclKind::Tool, id),
                None => name.value.clone(),
            };
            put("tools", json!(tools.iter().map(named).collect::<Vec<_>>()));
        }
        if !decl.scope.is_empty() {
            put("scope", json!(decl.scope.iter().map(|name| &name.value).collect::<Vec<_>>()));
        }
        let prompt = skill.and_then(|skill| program.prompts.get(&skill)).map(|(_, text)| text.clone());
        let facts = facts.to_string();
        let bytes = prompt.as_ref().map_or(0, String::len) + 2 * facts.len() + 1024;
        self.spend(bytes, pending.ask.at, &asking.addr)?;
        let request = RelPath::new("request.json").ok()?;
        let body = match program.provider(provider).kind {
            ProviderKind::Http => self.http(pending, program.provider(provider), &decl.limits, &request)?,
            ProviderKind::Command => {
                BodyIr::Exec { tool: self.plan_provider(provider)?, args: vec![request.to_string()] }
            }
        };
        let index = self.actions.len();
        let (instance, steps, env, decides) = {
            let action = &mut self.actions[pending.action];
            action.handed.clone_from(&handed);
            action.request = Some(index);
            let ir = &mut action.ir;
            if let BodyIr::Exec { tool, .. } = &body {
                ir.tools.push(tool.clone());
                ir.tools.sort();
                ir.tools.dedup();
            }
            ir.body = body;
            ir.secrets.extend(secrets);
            pending.work.class.as_ref().map_or("record", |class| class.value.as_str()).clone_into(&mut ir.class);
            ir.timeout_ms = match (ir.timeout_ms, decl.limits.wall_ms) {
                (Some(own), Some(wall)) => Some(own.min(wall)),
                (own, wall) => own.or(wall),
            };
            (action.instance, action.steps.clone(), Arc::clone(&action.env), action.decides)
        };
        let reads = |handed: &Handed| {
            let used =
                |value: &RenderIr| matches!(value, RenderIr::File(at) | RenderIr::Json(at) if *at == handed.dest);
            told.values().any(used)
        };
        let handed = handed.into_iter().filter(reads).collect();
        let body = BodyIr::Request { prompt, vars: told, facts };
        let mut ir = super::gates::bare(format!("{}/request", asking.addr), body, pending.work.span);
        ir.outputs.push(OutputIr {
            name: "request".to_owned(),
            path: request,
            dir: false,
            ty: Ty::Artifact(ArtifactKind::Json),
            digest: None,
            span: pending.ask.at,
        });
        let request = PendingAction::new(ir, pending.work, env, placed, instance);
        self.actions.push(PendingAction { steps, handed, derived: true, decides, ..request });
        self.instances[instance].ir.actions.push(index);
        self.works(pending.action, agent);
        Some(())
    }

    /// What an API is asked.
    fn http(
        &mut self,
        pending: &PendingAsk<'a>,
        provider: &ProviderDecl,
        limits: &LimitsDecl,
        request: &RelPath,
    ) -> Option<BodyIr> {
        let ir = &self.actions[pending.action].ir;
        if let Some(output) = ir.outputs.iter().find(|output| output.dir) {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    pending.ask.at,
                    format!("an API answers with texts, and `{}` is a folder", output.name),
                )
                .with_secondary(output.span, "declared here")
                .with_help("ask for files, or name an agent behind a program"),
            );
            return None;
        }
        if let Some(output) = ir
            .outputs
            .iter()
            .find(|output| std::path::Path::new(output.path.as_str()).extension().is_some_and(|ending| ending == "png"))
        {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    pending.ask.at,
                    format!("an API answers with texts, and `{}` is a picture", output.name),
                )
                .with_secondary(output.span, "declared here")
                .with_help("name an agent behind a program"),
            );
            return None;
        }
        let route = ir.route.as_ref();
        let model = route.and_then(|route| route.model.clone()).or_else(|| provider.model.clone())?;
        let vendor = provider.http.vendor.as_ref().map_or("custom", |name| name.value.as_str());
        let base = provider.url.as_ref()?.value.trim_end_matches('/');
        let url = match vendor {
            "anthropic" => format!("{base}/messages"),
            "openai" => format!("{base}/chat/completions"),
            _ => provider.url.as_ref()?.value.clone(),
        };
        let text = |name: &Option<Name>| name.as_ref().map(|name| name.value.clone());
        let headers = &provider.http.headers;
        let pairs = |of: &dyn Fn(&HeaderDecl) -> Option<String>| -> BTreeMap<String, String> {
            headers.iter().filter_map(|header| Some((header.name.value.clone(), of(header)?))).collect()
        };
        Some(BodyIr::Http(Box::new(HttpIr {
            url,
            vendor: vendor.to_owned(),
            price: provider.price_of(Some(&model)),
            model,
            headers: pairs(&|header| header.text.clone()),
            schemes: pairs(&|header| header.scheme.clone()),
            body: text(&provider.http.body),
            answer: text(&provider.http.answer),
            usage: provider.http.usage.as_ref().map(|pair| [pair[0].value.clone(), pair[1].value.clone()]),
            tokens: limits.tokens,
            turns: limits.turns.unwrap_or(1).max(1),
            request: request.clone(),
        })))
    }

    /// The name of a provider's program in the plan.
    fn plan_provider(&mut self, id: DeclId) -> Option<String> {
        let decl = self.program.provider(id);
        let command = decl.command.as_ref()?;
        let name = format!("provider:{}", self.program.plan_name(self.home, DeclKind::Provider, id));
        if !self.tools.contains_key(&name) {
            let mut uses = Vec::new();
            for used in &command.uses {
                let used = self.program.lookup(id.file, DeclKind::Tool, &used.value)?;
                uses.push(self.plan_tool(used));
            }
            uses.sort();
            uses.dedup();
            self.tools.insert(name.clone(), crate::lang::ir::ToolIr { of: ToolOf::Provider(id), uses });
        }
        Some(name)
    }

    /// Secrets that whoever serves needs, by the variable they are given in.
    pub(super) fn needed(&mut self, needs: &[NeedDecl], secrets: &mut BTreeMap<String, String>) -> Option<()> {
        for need in needs {
            let name = self.secret(&need.secret.value, need.secret.span)?;
            secrets.insert(need.env.clone(), name);
        }
        Some(())
    }

    /// A secret of the tenant; one that it does not declare is reported.
    pub(super) fn secret(&mut self, name: &str, span: Span) -> Option<String> {
        let tenant = self.tenant.map(|id| self.program.tenant(id));
        let known: Vec<&str> =
            tenant.iter().flat_map(|tenant| &tenant.secrets).map(|secret| secret.name.value.as_str()).collect();
        if known.contains(&name) {
            return Some(name.to_owned());
        }
        let diagnostic = Diagnostic::new(Code::P0201, span, format!("cannot find secret `{name}`"))
            .with_suggestion_text(crate::diag::did_you_mean(name, known.iter().copied()));
        let diagnostic = match tenant {
            None => diagnostic.with_help("secrets are a tenant's, and none owns this graph: add `tenant=NAME` to it"),
            Some(tenant) => diagnostic
                .with_secondary(tenant.name.span, "the tenant that owns the graph")
                .with_help(format!("declare it there: `secret {name} from=env key=VARIABLE`")),
        };
        self.diagnostics.push(diagnostic);
        None
    }
}

/// What the verdict of a gate must be, as a JSON Schema.
fn verdict_schema() -> Json {
    json!({
        "type": "object",
        "properties": {
            "pass": { "type": "boolean", "description": "whether what the gate stands for holds" },
            "reasons": { "type": "array", "items": { "type": "string" }, "description": "why, one sentence each" },
        },
        "required": ["pass", "reasons"],
    })
}

/// The diagnostic for a secret that would come to stand in a place.
pub(crate) fn leak(name: &str, span: Span, place: &str) -> Diagnostic {
    Diagnostic::new(Code::P0313, span, format!("secret `{name}` may not flow into {place}"))
        .with_label("its value would be seen here")
        .with_help(
            "a secret reaches a process by its environment alone, where nothing records it: `env NAME=(secret)…`",
        )
        .with_help("a parameter that is given one may only be the value of an `env`")
}

/// The diagnostic for a tool of the network in an action that is `pure`.
pub(super) fn impure(tool: &str, span: Span, declared: Span) -> Diagnostic {
    Diagnostic::new(
        Code::P0604,
        span,
        format!("`{tool}` uses the network, so that a `pure` action cannot be made of it"),
    )
    .with_secondary(declared, "its `effects` name `net`")
    .with_help("what the world answers differs from day to day: `class=record` keeps one answer, `class=volatile` asks each time")
    .with_help("where the digest of what it fetches is known, `class=fixed` promises it")
}
