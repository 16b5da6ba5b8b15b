//! Nodes to declarations. Shapes have been checked before, so a value that is missing or of the wrong
//! kind here has been reported already and its declaration is left out in silence; what only decoding
//! can see (types, units, digests, words of a closed set) is reported here. Leaves out names.

mod bundle;
mod constraints;
mod domain;
mod gate;
mod service;
mod test;
mod value;
mod work;

pub(crate) use work::parse_digest;

use crate::base::Digest;
use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{
    AfterDecl, Body, Cond, Expr, FileDecls, ForEach, GrantDecl, GraphDecl, Group, ImportDecl, Name, NameRef, NodeDecl,
    Op, PackageDecl, RecipeDecl, ReturnsDecl, SourceDecl, StepDecl, ToolDecl, UNNAMED, UseDecl, WorkspaceDecl,
};
use crate::lang::package::Version;
use crate::lang::print::quote;
use crate::lang::shape::may_stand;
use crate::lang::shapes::TOP;
use crate::lang::text::Text;
use crate::lang::{Kind, Node, Spanned, Value};

/// Decodes the nodes of a file.
pub(crate) fn decode(nodes: &[Node], diagnostics: &mut Diagnostics) -> FileDecls {
    let mut file = FileDecls::default();
    let mut decoder = Decoder { diagnostics };
    for node in nodes {
        let name = node.name.value.as_str();
        match name {
            "workspace" => file.workspace = Some(workspace(node)),
            "import" => match decoder.import(node) {
                Some(import) => file.imports.push(import),
                None => file.imports_incomplete = true,
            },
            "package" => file.package = decoder.package(node),
            "grant" => file.grants.extend(grant(node)),
            "partita" => {}
            _ => file.incomplete |= first_name(node).is_none() || !TOP.iter().any(|child| child.shape.name == name),
        }
        match name {
            "let" => file.lets.extend(decoder.constant(node)),
            "record" => file.records.extend(decoder.record(node)),
            "tool" => file.tools.extend(decoder.tool(node)),
            "recipe" => file.recipes.extend(decoder.recipe(node)),
            "template" => file.templates.extend(decoder.group(node)),
            "graph" => file.graphs.extend(decoder.graph(node)),
            "bundle" => file.bundles.extend(decoder.bundle(node)),
            "tenant" => file.tenants.extend(decoder.tenant(node)),
            "capability" => file.capabilities.extend(decoder.capability(node)),
            "provider" => file.providers.extend(decoder.provider(node)),
            "agent" => file.agents.extend(decoder.agent(node)),
            "skill" => file.skills.extend(decoder.skill(node)),
            "gate" => file.gates.extend(decoder.gate(node)),
            "group" => file.people.extend(decoder.people(node)),
            "test" => file.tests.extend(decoder.test(node)),
            _ => {}
        }
    }
    file
}

fn workspace(node: &Node) -> WorkspaceDecl {
    let get = |name| child(node, name).and_then(|node| name_of(node.args.first()?));
    WorkspaceDecl {
        store: get("store"),
        state: get("state"),
        out: get("out"),
        root: get("root"),
        require_isolation: get("require-isolation"),
        sources: children(node, "source")
            .filter_map(|node| {
                Some(SourceDecl { name: first_name(node)?, path: prop_name(node, "path"), git: prop_name(node, "git") })
            })
            .collect(),
        span: Some(node.name.span),
    }
}

fn grant(node: &Node) -> Option<GrantDecl> {
    Some(GrantDecl { package: first_name(node)?, powers: node.args.iter().skip(1).filter_map(name_of).collect() })
}

struct Decoder<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl Decoder<'_> {
    fn import(&mut self, node: &Node) -> Option<ImportDecl> {
        let integrity = child(node, "integrity").and_then(|node| name_of(node.args.first()?));
        let integrity = match integrity.map(|name| (name.value.parse::<Digest>(), name.span)) {
            Some((Err(error), span)) => {
                self.push(
                    Diagnostic::new(Code::P0301, span, error.to_string())
                        .with_help("not known yet? write 64 zeros: the report shows the right one"),
                );
                None
            }
            found => found.and_then(|(digest, span)| Some(Spanned { value: digest.ok()?, span })),
        };
        let (version, rev) = (prop_name(node, "version"), prop_name(node, "rev"));
        Some(ImportDecl { path: first_name(node)?, alias: prop_name(node, "as")?, version, rev, integrity })
    }

    fn package(&mut self, node: &Node) -> Option<PackageDecl> {
        let (name, version) = (first_name(node)?, prop_name(node, "version")?);
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !name.value.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.value.chars().all(fine) {
            self.push(
                Diagnostic::new(Code::P0301, name.span, format!("`{}` cannot name a package", name.value))
                    .with_help("a letter, then letters, digits, `-`, `_` and `.`"),
            );
        }
        if Version::parse(&version.value).is_none() {
            self.push(
                Diagnostic::new(Code::P0301, version.span, format!("`{}` is not an exact version", version.value))
                    .with_help("write three numbers, as `1.3.0`"),
            );
        }
        let exports = names_of_children(node, "export");
        Some(PackageDecl { name, version, exports, span: node.name.span })
    }

    fn tool(&mut self, node: &Node) -> Option<ToolDecl> {
        let name = first_name(node)?;
        let exec = child(node, "exec");
        if exec.is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("tool `{}` needs `exec`", name.value))
                    .with_help(format!("add `exec {}` to its block", name.value)),
            );
        }
        let fingerprint = exec.and_then(|exec| prop_name(exec, "fingerprint"));
        self.check_tool_version(node, exec, fingerprint.is_some());
        Some(ToolDecl {
            // Without a name of its own the tool stays known, and is never run.
            exec: exec.and_then(first_name).unwrap_or_else(|| name.clone()),
            fingerprint: fingerprint.map(|text| text.value.split_whitespace().map(str::to_owned).collect()),
            uses: names_of_children(node, "uses"),
            pass_env: names_of_children(node, "pass-env").into_iter().map(|name| name.value).collect(),
            supplier: prop_name(node, "supplier").map(|name| name.value),
            version: prop_name(node, "version").map(|name| name.value),
            offer: self.offer(node),
            name,
        })
    }

    /// Reports versions that no tool could be found to have.
    fn check_tool_version(&mut self, node: &Node, exec: Option<&Node>, told: bool) {
        let Some(version) = prop_name(node, "version") else { return };
        if let Some(why) = crate::base::no_requirement(&version.value) {
            let (said, help) = why.split_once(": ").unwrap_or((&why, "write as in `>=1.90, <2`"));
            self.push(Diagnostic::new(Code::P0301, version.span, said).with_help(help));
        } else if let (Some(exec), false) = (exec.and_then(first_name), told) {
            let (name, asked) = (&exec.value, &version.value);
            self.push(
                Diagnostic::new(
                    Code::P0104,
                    version.span,
                    format!("version `{asked}` is asked for, and nothing tells which one `{name}` is"),
                )
                .with_secondary(exec.span, "started here")
                .with_help(format!("say how it is told: `exec {} fingerprint=\"--version\"`", quote(name))),
            );
        }
    }

    fn recipe(&mut self, node: &Node) -> Option<RecipeDecl> {
        let name = first_name(node)?;
        let (params_known, returns_known) = (self.intact(node, "param"), self.intact(node, "returns"));
        let params = self.params(node);
        let returns = children(node, "returns")
            .filter_map(|node| Some(ReturnsDecl { name: first_name(node)?, ty: self.ty(node) }))
            .collect();
        let steps: Vec<StepDecl> = children(node, "step").filter_map(|node| self.step(node)).collect();
        if child(node, "step").is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("recipe `{}` needs a `step`", name.value))
                    .with_help("a recipe is made of steps: `step compile tool=cc { … }`"),
            );
        }
        let automation = self.automation(node);
        let mut recipe = RecipeDecl {
            name,
            params,
            returns,
            steps,
            gates: Vec::new(),
            automation,
            params_known,
            returns_known,
            span: node.span,
        };
        recipe.gates = children(node, "gate").filter_map(|node| self.recipe_gate(node, &recipe)).collect();
        Some(recipe)
    }

    fn step(&mut self, node: &Node) -> Option<StepDecl> {
        let name = first_name(node)?;
        let mut work = self.work(node);
        if let (Some(ask), Some(tool)) = (&work.ask, prop(node, "tool")) {
            self.push(
                Diagnostic::new(
                    Code::P0106,
                    tool.span,
                    "a step starts a tool or asks somebody else, and this says both",
                )
                .with_secondary(ask.at, "asked here")
                .with_help("keep one of the two"),
            );
            work.ask = None;
        }
        if let (None, Some(with)) = (&work.ask, child(node, "with").filter(|_| prop(node, "capability").is_none())) {
            self.push(
                Diagnostic::new(Code::P0107, with.name.span, "`with` gives arguments, and this step asks for nothing")
                    .with_help("a step that starts a tool gives it arguments by `arg …`"),
            );
        }
        if let Some(ask) = &work.ask {
            let at = ask.at;
            self.of_the_ask(node, at);
            work.body = None;
        } else if let Some(tool) = prop(node, "tool").and_then(ref_of) {
            let args =
                children(node, "arg").flat_map(|arg| arg.args.iter()).filter_map(|value| self.expr(value)).collect();
            self.one_body(&mut work, tool.name().span, Body::Exec { tool, args });
        } else if let (Some(arg), None) = (child(node, "arg"), prop(node, "tool")) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("step `{}` has arguments but no tool", name.value))
                    .with_secondary(arg.name.span, "arguments here")
                    .with_help("add `tool=NAME`"),
            );
        }
        if work.body.is_none()
            && work.ask.is_none()
            && child(node, "arg").is_none()
            && !has_body(node)
            && self.sound(node)
        {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("step `{}` does nothing", name.value))
                    .with_help("add `tool=NAME`, `capability=NAME`, or one of `copy`, `write`, `render`, `merge-json`"),
            );
        }
        Some(StepDecl { name, work })
    }

    fn group(&mut self, node: &Node) -> Option<Group> {
        let (params_known, nodes_known) = (self.intact(node, "param"), self.named(node));
        let (name, params) = (first_name(node)?, self.params(node));
        let mut nodes = Vec::with_capacity(children(node, "node").count());
        nodes.extend(children(node, "node").filter_map(|node| self.node(node)));
        Some(Group {
            name,
            params,
            nodes,
            uses: children(node, "use").filter_map(|node| self.use_(node)).collect(),
            params_known,
            nodes_known,
            lost: self.lost(node),
            span: node.span,
        })
    }

    fn use_(&mut self, node: &Node) -> Option<UseDecl> {
        let with = self.with(node);
        let services = names_of_children(node, "uses");
        let (lost, span) = (self.lost(node), node.span);
        Some(UseDecl { template: first_name(node)?, alias: prop_name(node, "as")?, with, services, lost, span })
    }

    fn with(&mut self, node: &Node) -> Vec<(Name, Expr)> {
        let mut with = Vec::new();
        for child in children(node, "with") {
            for property in &child.props {
                // What cannot be read has been reported, and is given all the same.
                let value = self.expr(&property.value);
                let value = value.unwrap_or_else(|| Expr::Text(Text::broken(property.value.span)));
                with.push((property.name.clone(), value));
            }
            // Elements without a name have been reported: what they are for is not known to be missing.
            if let Some(dash) = child.children.iter().flatten().find(|entry| entry.name.value == UNNAMED) {
                with.push((dash.name.clone(), Expr::Text(Text::broken(dash.name.span))));
            }
            let named = |entry: &&Node| !matches!(entry.name.value.as_str(), "allow" | "-");
            for entry in child.children.iter().flatten().filter(named) {
                with.push((entry.name.clone(), self.in_block(entry)));
            }
        }
        with
    }

    fn graph(&mut self, node: &Node) -> Option<GraphDecl> {
        let group = self.group(node)?;
        let defaults = child(node, "defaults");
        let resources = children(node, "resource")
            .filter_map(|node| Some((first_name(node)?, self.natural(prop(node, "capacity")?, 0).unwrap_or(u64::MAX))))
            .collect();
        let concurrency = child(node, "concurrency").and_then(|node| self.natural(node.args.first()?, 1));
        Some(GraphDecl {
            group,
            concurrency,
            timeout: defaults.and_then(|node| self.timeout(node)),
            retry: defaults.and_then(|node| self.retry(node)),
            resources,
            policies: self.policies(node),
            services_known: self.intact(node, "service"),
            services: children(node, "service").filter_map(|node| self.service(node)).collect(),
            tenant: prop_name(node, "tenant"),
            budget: child(node, "budget").and_then(|budget| self.money(budget, "usd")),
        })
    }

    fn node(&mut self, node: &Node) -> Option<NodeDecl> {
        let name = first_name(node)?;
        let recipe = prop_name(node, "recipe");
        let mut work = self.work(node);
        // What an ask is given has been read with it.
        let with = work.ask.as_ref().map(|ask| ask.with.clone());
        let with = with.unwrap_or_else(|| self.with(node));
        if let Some(ask) = &work.ask {
            let at = ask.at;
            match &recipe {
                Some(recipe) => {
                    self.push(
                        Diagnostic::new(
                            Code::P0106,
                            name.span,
                            format!("node `{}` names a recipe and also asks somebody else", name.value),
                        )
                        .with_secondary(recipe.span, "the recipe")
                        .with_secondary(at, "asked here")
                        .with_help("keep one of the two"),
                    );
                    work.ask = None;
                }
                None => self.of_the_ask(node, at),
            }
            work.body = None;
        }
        match (&recipe, &work.body) {
            (Some(recipe), Some(_)) => {
                self.push(
                    Diagnostic::new(
                        Code::P0106,
                        name.span,
                        format!("node `{}` names a recipe and also says what to do", name.value),
                    )
                    .with_secondary(recipe.span, "the recipe")
                    .with_help("keep one of the two"),
                );
                work.body = None;
            }
            // A node with nothing but guards is a checkpoint.
            (None, None) if work.ask.is_none() && child(node, "guard").is_some() => {}
            (None, None) if work.ask.is_none() && !has_body(node) && self.sound(node) => self.push(
                Diagnostic::new(Code::P0104, name.span, format!("node `{}` does nothing", name.value)).with_help(
                    "add `recipe=NAME`, `capability=NAME`, `run TOOL ARG…`, one of `copy`, `write`, `render`, `merge-json`, or a `guard`",
                ),
            ),
            _ => {}
        }
        if let (None, None, Some(with), true) =
            (&recipe, &work.ask, child(node, "with"), work.body.is_some() || self.sound(node))
        {
            self.push(
                Diagnostic::new(
                    Code::P0107,
                    with.name.span,
                    "`with` gives arguments to a recipe or a capability, and this node names none",
                )
                .with_help("name one by `recipe=` or `capability=`; for variables of the environment use `env`"),
            );
        }
        if let Some(recipe) = &recipe {
            self.of_the_recipe(node, recipe);
        }
        let mut when = Vec::new();
        if let Some(child) = child(node, "when") {
            when.extend(self.condition(child));
        }
        if let Some(child) = child(node, "unless")
            && let Some(condition) = self.condition(child)
        {
            when.push(Cond::Not(vec![condition]));
        }
        let for_each = children(node, "for-each").filter_map(|node| self.for_each(node)).collect();
        let after = children(node, "after")
            .flat_map(|node| {
                let optional = is_true(node, "optional");
                let whole = (node.args.len() == 1).then_some(node.span);
                self.texts(node).into_iter().map(move |target| AfterDecl { target, whole, optional })
            })
            .collect();
        let rollback = child(node, "rollback").and_then(|node| self.texts(node).into_iter().next());
        let guards = self.guards(node);
        let automation = self.automation(node);
        let services = names_of_children(node, "uses");
        Some(NodeDecl {
            name,
            recipe,
            with,
            for_each,
            when,
            after,
            rollback,
            guards,
            automation,
            services,
            work,
            span: node.span,
        })
    }

    /// Reports what a node cannot say because the steps of its recipe say it.
    fn of_the_recipe(&mut self, node: &Node, recipe: &Name) {
        if let Some(output) = child(node, "output") {
            self.push(
                Diagnostic::new(Code::P0107, output.name.span, "a node that applies a recipe has the recipe's outputs")
                    .with_secondary(recipe.span, "the recipe")
                    .with_help("declare it in the recipe, by `returns` and by a step's `output`"),
            );
        }
        for word in ["input", "env", "tools", "cwd"] {
            if let Some(child) = child(node, word) {
                self.push(
                    Diagnostic::new(
                        Code::P0107,
                        child.name.span,
                        format!("`{word}` belongs in the steps of the recipe that this node applies"),
                    )
                    .with_secondary(recipe.span, "the recipe")
                    .with_help(
                        "move it there; what differs from node to node is a `param` of the recipe, given by `with`",
                    ),
                );
            }
        }
        if let Some(class) = prop(node, "class") {
            self.push(
                Diagnostic::new(
                    Code::P0107,
                    class.span,
                    "the class belongs to the steps of the recipe that this node applies",
                )
                .with_secondary(recipe.span, "the recipe")
                .with_help("write `class=` there"),
            );
        }
    }

    fn for_each(&mut self, node: &Node) -> Option<ForEach> {
        let list = self.looped_over(node)?;
        match &list {
            Expr::Var(_) | Expr::List(..) => {}
            Expr::Ref(text) => {
                self.push(
                    Diagnostic::new(
                        Code::P0406,
                        text.span,
                        "`for-each` over an output, whose content is known only at run time",
                    )
                    .with_help("lists are literals, `let` or parameters"),
                );
            }
            Expr::Text(text) if text.as_literal().is_some_and(|name| !name.contains(char::is_whitespace)) => {
                let (name, start) = (text.as_literal().unwrap_or_default(), text.span.start as usize);
                let before = Span::new(text.span.source, start, start);
                self.push(
                    Diagnostic::new(Code::P0301, text.span, "`for-each` needs a list, and this is a text")
                        .with_help(format!("write `in=(var){name}`"))
                        .with_fix(Applicability::MachineApplicable, before, "(var)"),
                );
            }
            other => {
                self.push(
                    Diagnostic::new(Code::P0301, other.span(), "`for-each` needs a list")
                        .with_help("name one: `in=(var)files`, declared by `let files type=list<string> { - a; - b }`"),
                );
            }
        }
        // Of more than two it has been said that they are too many.
        let value = node.args.get(1).filter(|_| node.args.len() == 2).and_then(name_of);
        let key = prop_name(node, "key");
        Some(ForEach { var: first_name(node)?, value, key, list, optional: is_true(node, "optional") })
    }

    /// What a loop goes over: what `in` names, or the elements in its block.
    fn looped_over(&mut self, node: &Node) -> Option<Expr> {
        let given = prop(node, "in");
        let inside = node.children.iter().flatten().find(|child| child.name.value != "allow");
        match (given, inside) {
            (Some(given), Some(inside)) => {
                self.push(
                    Diagnostic::new(
                        Code::P0106,
                        inside.name.span,
                        "`for-each` goes over one list, and this is a second",
                    )
                    .with_secondary(given.span, "the first")
                    .with_help("keep one of the two: `in=…`, or the elements in the block"),
                );
                self.expr(given)
            }
            (Some(given), None) => self.expr(given),
            (None, _) if node.children.is_some() && self.sound(node) => {
                Some(self.elements(node, node.args.len(), node.name.span))
            }
            (None, _) => {
                if self.sound(node) {
                    self.push(
                        Diagnostic::new(Code::P0104, node.name.span, "`for-each` needs `in`")
                            .with_help("add `in=…`: the list or map, as `(var)files`")
                            .with_help("or write the elements in its block: `for-each NAME { - VALUE; - VALUE }`"),
                    );
                }
                // Its variable is known all the same.
                Some(Expr::List(Vec::new(), node.name.span))
            }
        }
    }

    fn condition(&mut self, node: &Node) -> Option<Cond> {
        let mut all = self.triples(node)?;
        for child in node.children.iter().flatten() {
            let inner: Vec<Cond> = children(child, "-").filter_map(|node| self.triples(node).map(Cond::All)).collect();
            if child.name.value == "any" && children(child, "-").next().is_none() && self.sound(child) {
                self.push(
                    Diagnostic::new(
                        Code::P0704,
                        child.name.span,
                        "this can never be true: `any` has no alternative",
                    )
                    .with_label("one of none never holds")
                    .with_help("write alternatives in its block, as `any { - mode eq fast; - mode eq small }`, or remove it"),
                );
            }
            all.push(match child.name.value.as_str() {
                "any" => Cond::Any(inner),
                "not" => Cond::Not(inner),
                _ => Cond::All(inner),
            });
        }
        Some(Cond::All(all))
    }

    fn triples(&mut self, node: &Node) -> Option<Vec<Cond>> {
        let args = &node.args;
        let word = args.get(1).and_then(name_of).filter(|word| !Op::ALL.iter().any(|(op, _)| *op == word.value));
        let shown = |at: usize| match args.get(at).map(|value| &value.kind) {
            Some(Kind::Text(text)) => Some(quote(text)),
            Some(Kind::Int(int)) => Some(int.to_string()),
            _ => None,
        };
        if let (Some(word), Some(path)) = (&word, shown(0))
            && word.value == "in"
        {
            let node = if node.name.value == "-" { "when" } else { &node.name.value };
            let each: Vec<String> =
                (2..args.len()).filter_map(shown).map(|value| format!("- {path} eq {value}")).collect();
            self.push(
                Diagnostic::new(Code::P0305, word.span, "`in` is not a comparison")
                    .with_help(format!("one of several: `{node} {{ any {{ {} }} }}`", each.join("; "))),
            );
            return None;
        }
        if !args.len().is_multiple_of(3) && word.is_none() {
            let last = args.last()?;
            self.push(Diagnostic::new(Code::P0105, last.span, "a condition is made of triples").with_help(
                match node.name.value.as_str() {
                    "require" => "write `PATH OP VALUE`, as in `require report.failed eq 0`",
                    _ => "write `VARIABLE OP VALUE`, as in `when target eq linux`",
                },
            ));
            return None;
        }
        let mut all = Vec::new();
        for triple in args.chunks(3) {
            let path = name_of(triple.first()?)?;
            let word = name_of(triple.get(1)?)?;
            let Some((_, op)) = Op::ALL.iter().find(|(known, _)| *known == word.value) else {
                let known = Op::ALL.iter().map(|(known, _)| *known);
                self.push(
                    Diagnostic::new(Code::P0305, word.span, format!("`{}` is not a comparison", word.value))
                        .with_suggestion(did_you_mean(&word.value, known.clone()))
                        .with_help(format!("known: {}", known.collect::<Vec<_>>().join(", "))),
                );
                return None;
            };
            all.push(Cond::Triple(path, *op, self.expr(triple.get(2)?)?));
        }
        Some(all)
    }

    fn natural(&mut self, value: &Value, least: u64) -> Option<u64> {
        match &value.kind {
            Kind::Int(int) => match u64::try_from(*int) {
                Ok(number) if number >= least => Some(number),
                _ => {
                    self.push(
                        Diagnostic::new(Code::P0304, value.span, format!("{int} is out of bounds"))
                            .with_help(format!("write a whole number from {least}")),
                    );
                    None
                }
            },
            _ => None,
        }
    }

    fn bad_unit(&mut self, span: Span, text: &str, what: &str, example: &str) {
        // What cannot stand there at all has been reported.
        if self.diagnostics.has_error_within(span) {
            return;
        }
        self.push(
            Diagnostic::new(Code::P0306, span, format!("`{text}` is not a {what}"))
                .with_help(format!("write it with its unit, as {example}")),
        );
    }

    /// Whether nothing is wrong with a node so far. Where something is, what seems to be missing may
    /// only be misspelt.
    fn sound(&self, node: &Node) -> bool {
        !self.diagnostics.has_error_within(node.span)
    }

    /// Whether all children of a kind were understood: none has a mistake, and none is misspelt.
    fn intact(&self, node: &Node, kind: &str) -> bool {
        self.sound(node)
            || node.children.iter().flatten().all(|child| {
                let name = child.name.value.as_str();
                if name == kind { self.sound(child) } else { may_stand(&node.name.value, name, TOP) }
            })
    }

    /// Whether all nodes of a group have names.
    fn named(&self, node: &Node) -> bool {
        self.sound(node)
            || node.children.iter().flatten().all(|child| match child.name.value.as_str() {
                "node" => first_name(child).is_some(),
                "use" => prop_name(child, "as").is_some(),
                other => may_stand(&node.name.value, other, TOP),
            })
    }

    fn first_text(&mut self, node: &Node) -> Option<Text> {
        node.args
            .first()
            .filter(|value| matches!(value.kind, Kind::Text(_)))
            .map(|value| Text::parse(value, self.diagnostics))
    }

    fn texts(&mut self, node: &Node) -> Vec<Text> {
        let texts = node.args.iter().filter(|value| matches!(value.kind, Kind::Text(_)));
        let mut all = Vec::with_capacity(node.args.len());
        all.extend(texts.map(|value| Text::parse(value, self.diagnostics)));
        all
    }

    fn prop_text(&mut self, node: &Node, name: &str) -> Option<Text> {
        prop(node, name)
            .filter(|value| matches!(value.kind, Kind::Text(_)))
            .map(|value| Text::parse(value, self.diagnostics))
    }

    fn child_text(&mut self, node: &Node, name: &str) -> Option<Text> {
        child(node, name).and_then(|node| self.first_text(node))
    }

    fn expr(&mut self, value: &Value) -> Option<Expr> {
        match (&value.kind, value.note.as_ref().map(|note| note.value.as_str())) {
            (Kind::Text(text), Some("var")) => Some(Expr::Var(Spanned { value: text.clone(), span: value.span })),
            (Kind::Text(_), Some("ref")) => Some(Expr::Ref(Text::parse(value, self.diagnostics))),
            (Kind::Text(text), Some("secret")) => Some(Expr::Secret(Spanned { value: text.clone(), span: value.span })),
            (Kind::Text(_), None | Some("dur" | "size")) => Some(Expr::Text(Text::parse(value, self.diagnostics))),
            (Kind::Int(int), _) => Some(Expr::Int(*int, value.span)),
            (Kind::Bool(flag), _) => Some(Expr::Bool(*flag, value.span)),
            (Kind::Decimal(_) | Kind::Null, _) | (Kind::Text(_), Some(_)) => None,
        }
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}

/// The nodes that say what an action does.
const BODIES: &[&str] = &["run", "copy", "write", "render", "merge-json"];

fn has_body(node: &Node) -> bool {
    BODIES.iter().any(|word| child(node, word).is_some())
}

fn children<'a>(node: &'a Node, name: &'a str) -> impl Iterator<Item = &'a Node> {
    node.children.iter().flatten().filter(move |child| child.name.value == name)
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.children.iter().flatten().find(|child| child.name.value == name)
}

fn prop<'a>(node: &'a Node, name: &str) -> Option<&'a Value> {
    node.props.iter().find(|property| property.name.value == name).map(|property| &property.value)
}

fn is_true(node: &Node, name: &str) -> bool {
    prop(node, name).is_some_and(|value| value.kind == Kind::Bool(true))
}

fn name_of(value: &Value) -> Option<Name> {
    // A reference in the place of a name has been reported.
    let plain = value.note.as_ref().is_none_or(|note| matches!(note.value.as_str(), "dur" | "size"));
    match &value.kind {
        Kind::Text(text) if plain => Some(Spanned { value: text.clone(), span: value.span }),
        _ => None,
    }
}

/// A name, or the variable that holds one.
fn ref_of(value: &Value) -> Option<NameRef> {
    match (&value.kind, value.note.as_ref().map(|note| note.value.as_str())) {
        (Kind::Text(text), Some("var")) => Some(NameRef::Var(Spanned { value: text.clone(), span: value.span })),
        _ => name_of(value).map(NameRef::Bare),
    }
}

fn first_name(node: &Node) -> Option<Name> {
    node.args.first().and_then(name_of)
}

fn prop_name(node: &Node, name: &str) -> Option<Name> {
    prop(node, name).and_then(name_of)
}

fn names_of_children(node: &Node, name: &str) -> Vec<Name> {
    children(node, name).flat_map(|child| child.args.iter()).filter_map(name_of).collect()
}
