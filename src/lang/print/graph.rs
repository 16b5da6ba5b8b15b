//! The graph of an expansion: services, and a node for each instance. A node that applies a recipe becomes one
//! for each of its steps, unless something holds for all of them together: gates, consent, a timeout, or a pattern that
//! must not meet the steps. Then it keeps a recipe of its own. Leaves out what else the graph needs.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::base::{RelPath, format_micro_usd};
use crate::diag::Span;
use crate::lang::ast::RetryDecl;
use crate::lang::eval::address_matches;
use crate::lang::ir::{ActionIr, ArgIr, AskIr, BodyIr, Expansion, InputIr, InstanceIr, ProbeIr, RenderIr, ServiceIr};
use crate::lang::print::constants::Constants;
use crate::lang::print::kept::Kept;
use crate::lang::print::out::{Out, duration, quote, quoted, size};
use crate::lang::program::{DeclKind, Program};
use crate::lang::ty::Ty;

/// How an instance is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As a node that says itself what it does, or has only guards.
    Node,
    /// As a node for each step.
    Steps,
    /// As a node that applies a recipe of its own.
    Recipe,
    /// As the inventory of a bundle, which is no node.
    Inventory,
}

/// What an action stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Node,
    Step,
}

pub(super) struct GraphPrinter<'a, 'p> {
    expansion: &'a Expansion,
    program: &'p Program,
    origins: bool,
    forms: Vec<Form>,
    /// The instance of each action.
    instance_of: Vec<usize>,
    pub(super) constants: Constants,
    pub(super) kept: Kept<'p>,
    /// Recipes of nodes that keep one.
    pub(super) recipes: Out,
}

/// Artifacts that the steps of a kept recipe take from elsewhere: parameters by what they are given.
#[derive(Default)]
struct Taken {
    /// Name, reference, and the type of each that is no parameter of the recipe anyway.
    params: Vec<(String, String, Option<String>)>,
}

impl Taken {
    fn name(&mut self, ty: &str, reference: String) -> String {
        let known = self.params.iter().find(|(_, other, _)| *other == reference);
        if let Some((name, ..)) = known {
            return name.clone();
        }
        let name = format!("taken-{}", self.params.len());
        self.params.push((name.clone(), reference, Some(ty.to_owned())));
        name
    }
}

impl<'a, 'p> GraphPrinter<'a, 'p> {
    pub(super) fn new(expansion: &'a Expansion, program: &'p Program, origins: bool) -> Self {
        let mut instance_of = vec![0; expansion.actions.len()];
        for (at, instance) in expansion.instances.iter().enumerate() {
            instance.actions.iter().for_each(|action| instance_of[*action] = at);
        }
        let mut printer = Self {
            expansion,
            program,
            origins,
            forms: Vec::new(),
            instance_of,
            constants: Constants::of(expansion),
            kept: Kept::new(program, expansion.decl.file),
            recipes: Out::at(0),
        };
        let patterns = expansion.instances.iter().any(|instance| printer.asks_by_pattern(instance));
        let form = |instance| form(instance, patterns || whole_ms(expansion, instance).is_some());
        printer.forms = expansion.instances.iter().map(form).collect();
        printer
    }

    /// Whether a guard of an instance is given several artifacts: that is said by a pattern or a node with loops.
    fn asks_by_pattern(&self, instance: &InstanceIr) -> bool {
        let given = instance.guards.iter().flat_map(|guard| &guard.with);
        let given = given.chain(instance.closing.iter().flat_map(|closing| &closing.with));
        given.clone().any(|(_, value)| matches!(value, ArgIr::Ref(text) if self.named(text).len() != 1))
    }

    /// An address without the graph's name.
    fn within<'t>(&self, addr: &'t str) -> &'t str {
        addr.strip_prefix(&self.expansion.graph).and_then(|rest| rest.strip_prefix('/')).unwrap_or(addr)
    }

    /// The instances that the path of a reference names, from the graph on.
    fn named(&self, reference: &str) -> Vec<usize> {
        let path = reference.split_once('.').map_or(reference, |(path, _)| path);
        let all = &self.expansion.instances;
        if let Ok(at) = all.binary_search_by(|instance| instance.addr.as_str().cmp(path)) {
            return vec![at];
        }
        if let Some(name) = path.strip_prefix(&self.expansion.graph).and_then(|rest| rest.strip_prefix('/'))
            && let Some(at) = all.iter().position(|instance| instance.bundle.as_deref() == Some(name))
        {
            return vec![at];
        }
        let literal = path.split('*').next().unwrap_or_default().trim_end_matches('/');
        let from = all.partition_point(|instance| instance.addr.as_str() < literal);
        let near = all.iter().enumerate().skip(from).take_while(|(_, instance)| instance.addr.starts_with(literal));
        let near =
            near.filter(|(_, instance)| instance.bundle.is_none() && !(instance.takes_back && path.contains('*')));
        let matched = near.filter(|(_, instance)| {
            if path.contains('*') {
                address_matches(path, &instance.addr)
            } else {
                !instance.keys.is_empty() && node_of(instance) == path
            }
        });
        matched.map(|(at, _)| at).collect()
    }

    /// How an output of an action is named elsewhere: its node, and its name.
    pub(super) fn reference(&self, action: usize, output: &str) -> String {
        let at = self.instance_of[action];
        let instance = &self.expansion.instances[at];
        match self.forms[at] {
            Form::Inventory => format!("{}.{output}", instance.bundle.as_deref().unwrap_or_default()),
            Form::Recipe | Form::Node => format!("{}.{output}", self.within(&instance.addr)),
            Form::Steps => format!("{}.{output}", self.within(&self.expansion.actions[action].addr)),
        }
    }

    /// A reference that was written, as it is written here.
    fn rewritten(&self, text: &str) -> String {
        let (path, output) = text.split_once('.').unwrap_or((text, ""));
        let named = self.named(text);
        if let [only] = named.as_slice()
            && let Some(action) = self.expansion.instances[*only].outputs.get(output)
        {
            return self.reference(action, output);
        }
        // All instances of a node are a pattern here, where each is a node of its own.
        let keys =
            named.first().filter(|_| !path.contains('*')).map_or(0, |at| self.expansion.instances[*at].keys.len());
        format!("{}{}.{output}", self.within(path), "/*".repeat(keys))
    }

    /// Prints the graph.
    pub(super) fn print(&mut self, out: &mut Out) {
        let expansion = self.expansion;
        let owner = expansion.owner.map(|id| self.kept.name(DeclKind::Tenant, id));
        let owner = owner.map_or(String::new(), |name| format!(" tenant={}", quote(&name)));
        if self.origins {
            for (name, value) in &expansion.params {
                out.line(&format!("// param {}={}", quote(name), quote(value)));
            }
        }
        out.open(&format!("graph {}{owner}", quote(&expansion.graph)));
        if let Some(concurrency) = expansion.concurrency {
            out.line(&format!("concurrency {concurrency}"));
        }
        if let Some(budget) = expansion.terms.budget {
            out.line(&format!("budget usd=\"{}\"", format_micro_usd(budget)));
        }
        let policies = &expansion.policies;
        for (word, given) in [("schedule", &policies.schedule), ("cancel", &policies.cancel)] {
            if let Some(given) = given {
                out.line(&format!("{word} {given}"));
            }
        }
        if let Some(failures) = policies.breaker {
            out.line(&format!("breaker failures={failures}"));
        }
        if let Some(ms) = policies.deadline_ms {
            out.line(&format!("deadline {}", duration(ms)));
        }
        let patterns: BTreeSet<&str> = policies.serialize.iter().map(|pattern| pattern.value.as_str()).collect();
        for pattern in &patterns {
            out.line(&format!("serialize {}", quote(pattern)));
        }
        for (name, capacity) in &expansion.pools {
            if !self.is_serial(name) {
                out.line(&format!("resource {} capacity={capacity}", quote(name)));
            }
        }
        let retry = &self.program.graph(expansion.decl).retry;
        if expansion.timeout_ms.is_some() || retry.is_some() {
            // Nodes say it themselves; what gates start is bound by it too.
            out.open("defaults");
            Self::bounds(out, expansion.timeout_ms, retry.as_ref());
            out.close();
        }
        for service in &expansion.services {
            out.gap();
            if self.origins {
                out.line(&format!("// from {}", self.program.sources.fixed_place(service.span)));
            }
            self.service(out, service);
        }
        // By the names they have here: those of steps come to stand where they belong.
        let mut nodes: Vec<(&str, usize, Option<usize>)> = Vec::with_capacity(expansion.actions.len());
        for (at, instance) in expansion.instances.iter().enumerate() {
            let own = instance.actions.iter().copied().filter(|action| expansion.actions[*action].own);
            match self.forms[at] {
                Form::Inventory => {}
                Form::Steps => {
                    nodes.extend(own.map(|action| (expansion.actions[action].addr.as_str(), at, Some(action))));
                }
                Form::Node | Form::Recipe => nodes.push((&instance.addr, at, None)),
            }
        }
        nodes.sort_unstable();
        for (_, at, step) in nodes {
            self.instance(out, at, step);
        }
        out.close();
    }

    /// Whether a pool is that of outputs which are made one after the other.
    fn is_serial(&self, pool: &str) -> bool {
        let pattern = pool.strip_prefix("serialize ");
        pattern.is_some_and(|name| self.expansion.policies.serialize.iter().any(|pattern| pattern.value == name))
    }

    fn origin(&self, out: &mut Out, instance: &InstanceIr) {
        out.gap();
        if !self.origins {
            return;
        }
        let mut keys = String::new();
        for (name, value) in &instance.keys {
            // A comment ends with its line, so that the value must not hold one.
            let _ = write!(keys, " {name}={}", quote(value));
        }
        let recipe = instance.recipe.as_ref().map_or(String::new(), |recipe| format!(" by recipe {recipe}"));
        let template =
            template_at(self.program, instance.span).map_or(String::new(), |name| format!("template {name} at "));
        let place = self.program.sources.fixed_place(instance.span);
        out.line(&format!("// from {template}{place}{recipe}{keys}"));
    }

    /// A node of an instance: the whole, or one of its steps.
    fn instance(&mut self, out: &mut Out, at: usize, step: Option<usize>) {
        let expansion = self.expansion;
        let instance = &expansion.instances[at];
        if let Some(step) = step {
            let action = &expansion.actions[step];
            self.origin(out, instance);
            Self::route(out, action);
            let automation = word("automation", instance.automation.as_deref());
            let head = self.head(action, Place::Node, &automation);
            let head = format!("node {}{head}", quote(self.within(&action.addr)));
            out.open(&head);
            self.work(out, action, Place::Node, None);
            self.surroundings_of_node(out, instance, &action.services);
            out.close();
            return;
        }
        let own: Vec<usize> =
            instance.actions.iter().copied().filter(|action| expansion.actions[*action].own).collect();
        match self.forms[at] {
            Form::Inventory | Form::Steps => {}
            Form::Node => {
                self.origin(out, instance);
                let automation = word("automation", instance.automation.as_deref());
                let action = own.first().map(|index| &self.expansion.actions[*index]);
                let head = action.map(|action| {
                    Self::route(out, action);
                    self.head(action, Place::Node, &automation)
                });
                out.open(&format!("node {}{}", quote(self.within(&instance.addr)), head.unwrap_or(automation)));
                if let Some(action) = action {
                    self.work(out, action, Place::Node, None);
                }
                self.surroundings_of_node(out, instance, &self.services_of(instance));
                out.close();
            }
            Form::Recipe => {
                self.origin(out, instance);
                for index in &own {
                    Self::route(out, &self.expansion.actions[*index]);
                }
                let name = self.within(&instance.addr).to_owned();
                let automation = word("automation", instance.automation.as_deref());
                let mut taken = Taken::default();
                for (name, value) in instance.closing.iter().flat_map(|closing| &closing.with) {
                    if let ArgIr::Ref(text) = value
                        && self.named(text).len() == 1
                    {
                        taken.params.push((name.clone(), self.rewritten(text), None));
                    }
                }
                self.recipe(&name, instance, &own, &mut taken);
                out.open(&format!("node {} recipe={}{automation}", quote(&name), quote(&name)));
                Self::bounds(out, whole_ms(self.expansion, instance), None);
                for (name, reference, _) in taken.params.iter().filter(|(.., ty)| ty.is_some()) {
                    out.line(&format!("with {}=(ref){}", quote(name), quote(reference)));
                }
                if let Some(closing) = &instance.closing {
                    let params = &self.program.recipe(closing.recipe).params;
                    for (name, value) in &closing.with {
                        let ty = params.iter().find(|param| param.name.value == *name).map(|param| param.ty.clone());
                        let value = self.argument(out, value, &ty.unwrap_or(Ty::String), None);
                        out.line(&format!("with {}={value}", quote(name)));
                    }
                }
                self.surroundings_of_node(out, instance, &self.services_of(instance));
                out.close();
            }
        }
    }

    fn services_of(&self, instance: &InstanceIr) -> Vec<String> {
        let all = instance.actions.iter().flat_map(|action| &self.expansion.actions[*action].services);
        let all: BTreeSet<&String> = all.collect();
        all.into_iter().cloned().collect()
    }

    /// The recipe of a node that keeps one: its steps with everything written out, and its gates.
    fn recipe(&mut self, name: &str, instance: &InstanceIr, own: &[usize], taken: &mut Taken) {
        let mut steps = Out::at(1);
        for index in own {
            let action = &self.expansion.actions[*index];
            let step = action.addr.strip_prefix(&instance.addr).map_or("", |rest| rest.trim_start_matches('/'));
            let head = self.head(action, Place::Step, "");
            steps.gap();
            steps.open(&format!("step {}{head}", quote(step)));
            self.work(&mut steps, action, Place::Step, Some((instance, taken)));
            steps.close();
        }
        let written = instance
            .closing
            .as_ref()
            .and_then(|closing| self.kept.parts(DeclKind::Recipe, closing.recipe, &["param", "gate"]));
        let parts = written.and_then(|node| node.children).unwrap_or_default();
        let part = |word: &'static str| parts.iter().filter(move |node| node.name.value == word);
        let mut out = std::mem::take(&mut self.recipes);
        out.gap();
        out.open(&format!("recipe {}", quote(name)));
        for (name, _, ty) in &taken.params {
            if let Some(ty) = ty {
                out.line(&format!("param {} type={}", quote(name), quote(ty)));
            }
        }
        for node in part("param") {
            // Every value is given.
            let mut node = node.clone();
            node.props.retain(|property| property.name.value != "default");
            let children = node.children.take().unwrap_or_default();
            let others: Vec<_> = children.into_iter().filter(|child| child.name.value != "default").collect();
            node.children = Some(others).filter(|others| !others.is_empty());
            out.node(&node);
        }
        for (name, action) in instance.outputs.iter() {
            let outputs = &self.expansion.actions[action].outputs;
            let ty = outputs.iter().find(|known| known.name == name).map(|known| known.ty.clone());
            out.line(&format!(
                "returns {} type={}",
                quote(name),
                quote(&ty.map_or_else(|| "artifact.file".to_owned(), |ty| ty.to_string()))
            ));
        }
        out.gap();
        out.text.push_str(&steps.text);
        for gate in part("gate") {
            out.gap();
            out.node(gate);
        }
        out.close();
        self.recipes = out;
    }

    /// How what is asked is served, for the reader: it follows from the declarations.
    fn route(out: &mut Out, action: &ActionIr) {
        let Some(route) = &action.route else { return };
        let what = route.capability.as_ref().map_or(String::new(), |capability| format!(" {}", quote(capability)));
        // A comment ends with its line, so that no name may hold one.
        out.line(&format!("// route{what}: {}", quote(&route.describe())));
        for rejected in &route.rejected {
            out.line(&format!("// not {}: {}", quote(&rejected.candidate), quote(&rejected.why)));
        }
    }

    /// The properties of a node or step.
    fn head(&mut self, action: &ActionIr, place: Place, automation: &str) -> String {
        let mut head = String::new();
        let class = match &action.ask {
            Some(ask) => ask.class.as_deref(),
            None => Some(action.class.as_str()).filter(|class| *class != "pure"),
        };
        if let Some(ask) = &action.ask {
            let names = [
                ("capability", ask.capability.map(|id| (DeclKind::Capability, id))),
                ("agent", ask.agent.map(|id| (DeclKind::Agent, id))),
                ("skill", ask.skill.map(|id| (DeclKind::Skill, id))),
            ];
            for (word, known) in names {
                if let Some((kind, id)) = known {
                    let _ = write!(head, " {word}={}", quote(&self.kept.name(kind, id)));
                }
            }
            if let Some(complexity) = ask.complexity {
                let _ = write!(head, " complexity={complexity}");
            }
        } else if let (Place::Step, BodyIr::Exec { tool, .. }) = (place, &action.body) {
            let _ = write!(head, " tool={}", quote(&self.tool(tool)));
        }
        head += &word("class", class);
        if let Some(take) = action.take {
            let _ = write!(head, " take={take}");
        }
        if action.idempotent {
            head += " idempotent=#true";
        }
        head + automation
    }

    /// The name of a tool of the plan, which is kept.
    pub(super) fn tool(&mut self, name: &str) -> String {
        if let Some(ir) = self.expansion.tools.get(name)
            && let crate::lang::ir::ToolOf::Tool(id) = ir.of
        {
            return self.kept.name(DeclKind::Tool, id);
        }
        name.to_owned()
    }

    /// What a node or step does, with what it needs and leaves. `taken`: of a step, what its recipe takes.
    fn work(&mut self, out: &mut Out, action: &ActionIr, place: Place, mut taken: Option<(&InstanceIr, &mut Taken)>) {
        match &action.ask {
            Some(ask) => self.asked(out, action, ask, &mut taken),
            None => self.body(out, action, place),
        }
        let ask = action.ask.as_deref();
        let (env, secrets) = ask.map_or((&action.env, &action.secrets), |ask| (&ask.env, &ask.secrets));
        for (name, secret) in secrets {
            if ask.is_some() || !self.needs(action, name) {
                out.line(&format!("env {}=(secret){}", quote(name), quote(secret)));
            }
        }
        let tools = ask.map_or(action.tools.as_slice(), |ask| ask.tools.as_slice());
        let run = match &action.body {
            BodyIr::Exec { tool, .. } if ask.is_none() => Some(tool),
            _ => None,
        };
        let tools: Vec<String> = tools.iter().filter(|tool| Some(*tool) != run).cloned().collect();
        self.surroundings(out, env, &tools, action.cwd.as_ref());
        for input in &action.inputs {
            if let (InputIr::Output { dest: Some(dest), action: from, .. }, Some(ask)) = (input, ask) {
                // What whoever serves is handed besides is not said here.
                let handed = |(name, _, value): &(String, Ty, ArgIr)| {
                    matches!(value, ArgIr::Ref(_) | ArgIr::Step(_)) && dest.as_str() == format!("in/{name}")
                };
                let request = matches!(self.expansion.actions[*from].body, BodyIr::Request { .. });
                if request || ask.with.iter().any(handed) {
                    continue;
                }
            }
            self.input(out, input, &mut taken);
        }
        let returns = ask.and_then(|ask| ask.capability).map(|id| &self.program.capability(id).returns);
        for output in &action.outputs {
            if returns.is_some_and(|all| all.iter().any(|known| known.name.value == output.name)) {
                continue;
            }
            let digest = output.digest.map_or(String::new(), |digest| format!(" digest=\"b3:{digest}\""));
            let (name, path) = (out.holed(&output.name), out.holed(output.path.as_str()));
            out.line(&format!("output {name} path={path} type={}{digest}", quote(&output.ty.to_string())));
        }
        let mut machine = String::new();
        for (pool, amount) in action.holds.iter().filter(|(pool, _)| !self.is_serial(pool)) {
            // Shares of the machine are said in one node of their own.
            if !self.expansion.pools.contains_key(pool) && matches!(pool.as_str(), "cpu" | "memory") {
                let amount = if pool == "memory" { size(*amount) } else { amount.to_string() };
                let _ = write!(machine, " {pool}={amount}");
                continue;
            }
            out.line(&format!("holds {} amount={amount}", quote(pool)));
        }
        if !machine.is_empty() {
            out.line(&format!("resources{machine}"));
        }
        if !action.limits.is_empty() {
            let limit = |(name, most): (&String, &u64)| match name.as_str() {
                "memory" | "output" => format!(" {name}={}", size(*most)),
                _ => format!(" {name}={most}"),
            };
            out.line(&format!("limits{}", action.limits.iter().map(limit).collect::<String>()));
        }
        Self::bounds(out, ask.map_or(action.timeout_ms, |ask| ask.timeout_ms), action.retry.as_ref());
    }

    fn bounds(out: &mut Out, timeout_ms: Option<u64>, retry: Option<&RetryDecl>) {
        if let Some(ms) = timeout_ms {
            out.line(&format!("timeout {}", duration(ms)));
        }
        if let Some(retry) = retry {
            let strategy = if retry.exponential { "exponential" } else { "fixed" };
            let (max, on, backoff) = (retry.max, &retry.on, duration(retry.backoff_ms));
            out.line(&format!("retry max={max} on={on} backoff={backoff} strategy={strategy}"));
        }
    }

    /// Whether the tool that an action starts is given a secret in a variable by its own declaration.
    fn needs(&self, action: &ActionIr, variable: &str) -> bool {
        let BodyIr::Exec { tool, .. } = &action.body else { return false };
        let decl = self.expansion.tools.get(tool).and_then(|ir| self.program.tool_of(ir.of));
        decl.is_some_and(|decl| decl.offer.secrets.iter().any(|need| need.env == variable))
    }

    fn asked(&mut self, out: &mut Out, action: &ActionIr, ask: &AskIr, taken: &mut Option<(&InstanceIr, &mut Taken)>) {
        for (name, ty, value) in &ask.with {
            let value = match (value, taken.as_mut()) {
                // Steps that are nodes of their own stand beside each other.
                (ArgIr::Step(text), None) => {
                    let node = action.addr.rsplit_once('/').map_or("", |(node, _)| node);
                    format!("(ref){}", quote(&format!("{}/{text}", self.within(node))))
                }
                (ArgIr::Step(text), Some(_)) => format!("(ref){}", quote(text)),
                (value, taken) => self.argument(out, value, ty, taken.map(|(_, taken)| &mut **taken)),
            };
            out.line(&format!("with {}={value}", quote(name)));
        }
    }

    /// An argument; within a recipe that is kept, an output from elsewhere is a parameter.
    fn argument(&mut self, out: &Out, value: &ArgIr, ty: &Ty, taken: Option<&mut Taken>) -> String {
        let reference = match (value, taken) {
            (ArgIr::Ref(text), Some(taken)) => {
                let reference = self.rewritten(text);
                format!("(var){}", taken.name(&ty.to_string(), reference))
            }
            (ArgIr::Ref(text), None) => format!("(ref){}", quote(&self.rewritten(text))),
            _ => String::new(),
        };
        let Self { constants, kept, .. } = self;
        constants.argument(value, ty, out, kept, &mut |_| reference.clone())
    }

    fn body(&mut self, out: &mut Out, action: &ActionIr, place: Place) {
        match &action.body {
            BodyIr::Exec { tool, args } => {
                let args = self.constants.all_given(args, out);
                match place {
                    Place::Node => {
                        let tool = self.tool(tool);
                        out.line(&format!("run {}{args}", quote(&tool)));
                    }
                    Place::Step if args.is_empty() => {}
                    Place::Step => out.line(&format!("arg{args}")),
                }
            }
            BodyIr::Copy(from) => out.line(&format!("copy {}", out.holed(from.as_str()))),
            BodyIr::Write(text) => out.line(&format!("write {}", out.holed(text))),
            BodyIr::Render(template, vars) => {
                out.open(&format!("render {}", out.holed(template.as_str())));
                for (name, value) in vars {
                    let name = quote(name);
                    let line = match value {
                        RenderIr::Text(text) => format!("set {name}={}", out.holed(text)),
                        RenderIr::List(items) => format!("set {name}={}", self.constants.list(items, &mut self.kept)),
                        RenderIr::File(path) => format!("file {name} {}", out.holed(path.as_str())),
                        RenderIr::Json(path) => format!("json {name} {}", out.holed(path.as_str())),
                    };
                    out.line(&line);
                }
                out.close();
            }
            BodyIr::MergeJson(files) => {
                out.line(&format!("merge-json{}", out.all_holed(files.iter().map(RelPath::as_str))));
            }
            // They are of those that ask, guard or deliver, and are said there.
            BodyIr::Request { .. } | BodyIr::Gate(..) | BodyIr::Sbom(_) | BodyIr::Http(_) | BodyIr::Approval(_) => {}
        }
    }

    /// What nodes have that steps do not: order, guards, services.
    fn surroundings_of_node(&mut self, out: &mut Out, instance: &InstanceIr, services: &[String]) {
        if !services.is_empty() {
            out.line(&format!("uses{}", quoted(services)));
        }
        let mut after: Vec<&str> = Vec::new();
        for other in &instance.after {
            let before = &self.expansion.instances[*other];
            if self.forms[*other] == Form::Steps {
                let own = before.actions.iter().map(|action| &self.expansion.actions[*action]);
                after.extend(own.filter(|action| action.own).map(|action| action.addr.as_str()));
            } else {
                after.push(&before.addr);
            }
        }
        after.sort_unstable();
        for addr in after {
            out.line(&format!("after {}", quote(self.within(addr))));
        }
        if let Some(rollback) = instance.rollback {
            let addr = &self.expansion.instances[rollback].addr;
            out.line(&format!("rollback {}", quote(self.within(addr))));
        }
        for guard in &instance.guards {
            let params = &self.program.gate(guard.gate).params;
            let mut line = format!("guard {}", quote(&self.kept.name(DeclKind::Gate, guard.gate)));
            for (name, value) in &guard.with {
                let ty = params.iter().find(|param| param.name.value == *name).map(|param| param.ty.clone());
                let value = self.argument(out, value, &ty.unwrap_or(Ty::String), None);
                let _ = write!(line, " {}={value}", quote(name));
            }
            out.line(&line);
        }
    }

    fn surroundings(
        &mut self,
        out: &mut Out,
        env: &std::collections::BTreeMap<String, String>,
        tools: &[String],
        cwd: Option<&RelPath>,
    ) {
        for (name, value) in env {
            out.line(&format!("env {}={}", quote(name), self.constants.given(value, out)));
        }
        if !tools.is_empty() {
            let tools: Vec<String> = tools.iter().map(|tool| self.tool(tool)).collect();
            out.line(&format!("tools{}", quoted(tools)));
        }
        if let Some(cwd) = cwd {
            out.line(&format!("cwd {}", out.holed(cwd.as_str())));
        }
    }

    fn input(&mut self, out: &mut Out, input: &InputIr, taken: &mut Option<(&InstanceIr, &mut Taken)>) {
        match input {
            InputIr::Workspace { pattern, optional, .. } => {
                let optional = if *optional { " optional=#true" } else { "" };
                out.line(&format!("input {}{optional}", out.holed(pattern)));
            }
            InputIr::Output { dest, action, output, select, .. } => {
                let dest = out.holed(dest.as_ref().map_or(".", |dest| dest.as_str()));
                let select = select.as_ref().map_or(String::new(), |select| format!(" select={}", out.holed(select)));
                let producer = &self.expansion.actions[*action];
                let from = match taken {
                    Some((instance, _)) if instance.actions.contains(action) => {
                        let step = producer.addr.strip_prefix(&instance.addr).unwrap_or_default();
                        format!("(ref){}", quote(&format!("{}.{output}", step.trim_start_matches('/'))))
                    }
                    Some((_, taken)) => {
                        let known = producer.outputs.iter().find(|known| known.name == *output);
                        let ty = known.map_or_else(|| "artifact.file".to_owned(), |known| known.ty.to_string());
                        format!("(var){}", taken.name(&ty, self.reference(*action, output)))
                    }
                    None => format!("(ref){}", quote(&self.reference(*action, output))),
                };
                out.line(&format!("input {dest} from={from}{select}"));
            }
        }
    }

    fn service(&mut self, out: &mut Out, service: &ServiceIr) {
        out.open(&format!("service {}", quote(&service.name)));
        if let BodyIr::Exec { tool, args } = &service.body {
            let args = self.constants.all_given(args, out);
            let tool = self.tool(tool);
            out.line(&format!("run {}{args}", quote(&tool)));
        }
        for (port, scheme) in &service.ports {
            out.line(&format!("port {} scheme={}", quote(port), quote(scheme)));
        }
        let sign = match &service.probe {
            ProbeIr::Http { port, path } => format!(" http={} port={}", out.holed(path), quote(port)),
            ProbeIr::Tcp { port } => format!(" tcp={}", quote(port)),
            ProbeIr::Log { pattern } => format!(" log={}", quote(pattern)),
            ProbeIr::Command { tool, args } => {
                let args = self.constants.all_given(args, out);
                format!(" {}{args}", quote(&self.tool(tool)))
            }
        };
        out.line(&format!("ready{sign} within={}", duration(service.within_ms)));
        let run = match &service.body {
            BodyIr::Exec { tool, .. } => Some(tool),
            _ => None,
        };
        let probe = match &service.probe {
            ProbeIr::Command { tool, .. } => Some(tool),
            _ => None,
        };
        let others = service.tools.iter().filter(|tool| Some(*tool) != run && Some(*tool) != probe);
        let others: Vec<String> = others.cloned().collect();
        self.surroundings(out, &service.env, &others, service.cwd.as_ref());
        for input in &service.inputs {
            self.input(out, input, &mut None);
        }
        out.close();
    }
}

fn form(instance: &InstanceIr, whole: bool) -> Form {
    let consent = matches!(instance.automation.as_deref(), Some("assist" | "manual"));
    // What is taken back, and what takes it back, is one node each.
    let taken_back = instance.rollback.is_some() || instance.takes_back;
    let whole = whole || consent || taken_back || instance.closing.is_some() || !instance.guards.is_empty();
    match (&instance.bundle, &instance.recipe) {
        (Some(_), _) => Form::Inventory,
        (None, None) => Form::Node,
        (None, Some(_)) if whole => Form::Recipe,
        (None, Some(_)) => Form::Steps,
    }
}

/// The longest that all steps of an instance may take together.
fn whole_ms(expansion: &Expansion, instance: &InstanceIr) -> Option<u64> {
    instance.actions.iter().find_map(|action| expansion.actions[*action].whole_ms)
}

/// A property that is given.
fn word(name: &str, value: Option<&str>) -> String {
    value.map_or(String::new(), |value| format!(" {name}={value}"))
}

/// The address of the node an instance is of: without its keys.
fn node_of(instance: &InstanceIr) -> &str {
    let mut addr = instance.addr.as_str();
    for _ in &instance.keys {
        addr = addr.rsplit_once('/').map_or(addr, |(head, _)| head);
    }
    addr
}

/// The template that a node stands in.
fn template_at(program: &Program, at: Span) -> Option<&str> {
    let file = program.files.iter().find(|file| file.source == at.source)?;
    let inside = |span: Span| span.start <= at.start && at.end <= span.end;
    let template = file.decls.templates.iter().find(|template| inside(template.span))?;
    Some(&template.name.value)
}
