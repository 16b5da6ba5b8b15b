//! Nodes to declarations. Shapes have been checked before, so a value that is missing or of the wrong
//! kind here has been reported already and its declaration is left out in silence; what only decoding
//! can see (types, units, digests, words of a closed set) is reported here. Leaves out names.

use crate::base::{Digest, parse_duration_ms, parse_size_bytes};
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{
    AfterDecl, Body, BundleDecl, Cond, Expr, FileDecls, ForEach, GraphDecl, Group, HoldsDecl, ImportDecl, IncludeDecl,
    InputDecl, LetDecl, Name, NodeDecl, Op, OutputDecl, Param, RecipeDecl, RenderVar, RetryDecl, ReturnsDecl, StepDecl,
    ToolDecl, UseDecl, Work, WorkspaceDecl,
};
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, Constraints, Ty};
use crate::lang::{Kind, Node, Spanned, Value};

/// Decodes the nodes of a file.
pub fn decode(nodes: &[Node], diagnostics: &mut Diagnostics) -> FileDecls {
    let mut file = FileDecls::default();
    let mut decoder = Decoder { diagnostics };
    for node in nodes {
        match node.name.value.as_str() {
            "workspace" => file.workspace = Some(workspace(node)),
            "import" => file.imports.extend(import(node)),
            "let" => file.lets.extend(decoder.constant(node)),
            "tool" => file.tools.extend(decoder.tool(node)),
            "recipe" => file.recipes.extend(decoder.recipe(node)),
            "template" => file.templates.extend(decoder.group(node)),
            "graph" => file.graphs.extend(decoder.graph(node)),
            "bundle" => file.bundles.extend(decoder.bundle(node)),
            _ => {}
        }
    }
    file
}

fn workspace(node: &Node) -> WorkspaceDecl {
    let get = |name| child(node, name).and_then(|node| name_of(node.args.first()?));
    WorkspaceDecl { store: get("store"), state: get("state"), out: get("out"), root: get("root") }
}

fn import(node: &Node) -> Option<ImportDecl> {
    Some(ImportDecl { path: first_name(node)?, alias: prop_name(node, "as")? })
}

struct Decoder<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl Decoder<'_> {
    fn constant(&mut self, node: &Node) -> Option<LetDecl> {
        let ty = self.ty(node)?;
        let mut values: Vec<Expr> = node.args.iter().skip(1).filter_map(|value| self.expr(value)).collect();
        let given = values.len();
        values.extend(self.dashes(node));
        let list = matches!(ty, Ty::List(_));
        if !list && values.len() != 1 || list && given > 0 {
            let help = if list {
                "write its elements as `-` children: `{ - a; - b }`"
            } else {
                "write its value after the name"
            };
            let found = if list { "a value in the same line".to_owned() } else { format!("{} values", values.len()) };
            self.push(
                Diagnostic::new(
                    Code::P0301,
                    node.name.span.to(first_name(node)?.span),
                    format!("a constant of type `{ty}` with {found}"),
                )
                .with_help(help),
            );
            return None;
        }
        Some(LetDecl { name: first_name(node)?, ty, values })
    }

    fn tool(&mut self, node: &Node) -> Option<ToolDecl> {
        let name = first_name(node)?;
        let Some(exec_node) = child(node, "exec") else {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("tool `{}` needs `exec`", name.value))
                    .with_help(format!("add `exec {}` to its block", name.value)),
            );
            return None;
        };
        let fingerprint = prop_name(exec_node, "fingerprint");
        Some(ToolDecl {
            exec: first_name(exec_node)?,
            fingerprint: fingerprint.map(|text| text.value.split_whitespace().map(str::to_owned).collect()),
            uses: names_of_children(node, "uses"),
            pass_env: names_of_children(node, "pass-env").into_iter().map(|name| name.value).collect(),
            supplier: prop_name(node, "supplier").map(|name| name.value),
            version: prop_name(node, "version").map(|name| name.value),
            name,
        })
    }

    fn params(&mut self, node: &Node) -> Vec<Param> {
        children(node, "param").filter_map(|node| self.param(node)).collect()
    }

    fn param(&mut self, node: &Node) -> Option<Param> {
        let name = first_name(node)?;
        let ty = self.ty(node)?;
        let int = |prop_name| match prop(node, prop_name).map(|value| &value.kind) {
            Some(Kind::Int(int)) => Some(*int),
            _ => None,
        };
        let one_of: Vec<String> = names_of_children(node, "one-of").into_iter().map(|name| name.value).collect();
        if ty == Ty::Enum && one_of.is_empty() {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("`{}` of type `enum` needs `one-of`", name.value))
                    .with_help("list its values in the block: `one-of debug release`"),
            );
        }
        let matches = prop_name(node, "matches").and_then(|pattern| match regex::Regex::new(&pattern.value) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let reason = error.to_string().lines().last().unwrap_or_default().to_owned();
                self.push(
                    Diagnostic::new(
                        Code::P0301,
                        pattern.span,
                        format!("`{}` is not a regular expression", pattern.value),
                    )
                    .with_help(reason),
                );
                None
            }
        });
        let default = match (prop(node, "default"), child(node, "default")) {
            (Some(value), _) => self.expr(value).map(|value| vec![value]),
            (None, Some(node)) => Some(node.args.iter().filter_map(|value| self.expr(value)).collect()),
            (None, None) => None,
        };
        let constraints = Constraints {
            min: int("min"),
            max: int("max"),
            min_length: int("min-length"),
            max_length: int("max-length"),
            matches,
            one_of,
            distinct: is_true(node, "distinct"),
        };
        Some(Param { name, ty, default, constraints })
    }

    fn recipe(&mut self, node: &Node) -> Option<RecipeDecl> {
        let name = first_name(node)?;
        let params = self.params(node);
        let returns = children(node, "returns")
            .filter_map(|node| Some(ReturnsDecl { name: first_name(node)?, ty: self.ty(node)? }))
            .collect();
        let steps: Vec<StepDecl> = children(node, "step").filter_map(|node| self.step(node)).collect();
        if steps.is_empty() && child(node, "step").is_none() {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("recipe `{}` needs a `step`", name.value))
                    .with_help("a recipe is made of steps: `step compile tool=cc { … }`"),
            );
        }
        Some(RecipeDecl { name, params, returns, steps, span: node.span })
    }

    fn step(&mut self, node: &Node) -> Option<StepDecl> {
        let name = first_name(node)?;
        let mut work = self.work(node);
        if let Some(tool) = prop_name(node, "tool") {
            let args =
                children(node, "arg").flat_map(|arg| arg.args.iter()).filter_map(|value| self.expr(value)).collect();
            self.one_body(&mut work, Body::Exec { tool, args });
        } else if let Some(arg) = child(node, "arg") {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("step `{}` has arguments but no tool", name.value))
                    .with_secondary(arg.name.span, "arguments here")
                    .with_help("add `tool=NAME`"),
            );
        }
        if work.body.is_none() && child(node, "arg").is_none() {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("step `{}` does nothing", name.value))
                    .with_help("add `tool=NAME`, or one of `copy`, `write`, `render`, `merge-json`"),
            );
        }
        Some(StepDecl { name, work })
    }

    fn one_body(&mut self, work: &mut Work, body: Body) {
        if work.body.is_some() {
            self.push(
                Diagnostic::new(Code::P0106, work.span, "this does two things")
                    .with_help("an action runs a tool, or is one of `copy`, `write`, `render`, `merge-json`"),
            );
        }
        work.body = Some(body);
    }

    fn work(&mut self, node: &Node) -> Work {
        let mut work = Work {
            body: None,
            class: prop_name(node, "class"),
            inputs: Vec::new(),
            outputs: Vec::new(),
            env: Vec::new(),
            tools: names_of_children(node, "tools"),
            cwd: self.child_text(node, "cwd"),
            timeout: self.timeout(node),
            retry: self.retry(node),
            holds: Vec::new(),
            span: node.args.first().map_or(node.name.span, |name| name.span),
        };
        for child in node.children.iter().flatten() {
            match child.name.value.as_str() {
                "run" => {
                    if let Some(tool) = first_name(child) {
                        let args = child.args.iter().skip(1).filter_map(|value| self.expr(value)).collect();
                        self.one_body(&mut work, Body::Exec { tool, args });
                    }
                }
                "copy" => {
                    if let Some(from) = self.first_text(child) {
                        self.one_body(&mut work, Body::Copy(from));
                    }
                }
                "write" => {
                    if let Some(text) = self.first_text(child) {
                        self.one_body(&mut work, Body::Write(text));
                    }
                }
                "render" => {
                    if let Some(template) = self.first_text(child) {
                        let vars = self.render_vars(child);
                        self.one_body(&mut work, Body::Render { template, vars });
                    }
                }
                "merge-json" => {
                    let from = child.args.iter().map(|value| Text::parse(value, self.diagnostics)).collect();
                    self.one_body(&mut work, Body::MergeJson(from));
                }
                "input" => work.inputs.extend(self.input(child)),
                "output" => work.outputs.extend(self.output(child)),
                "env" => {
                    for property in &child.props {
                        if let Some(value) = self.expr(&property.value) {
                            work.env.push((property.name.clone(), value));
                        }
                    }
                }
                "holds" => {
                    if let Some(pool) = first_name(child) {
                        let amount = prop(child, "amount").and_then(|value| self.expr(value));
                        let amount = amount.unwrap_or(Expr::Int(1, pool.span));
                        work.holds.push(HoldsDecl { pool, amount, machine: false });
                    }
                }
                "resources" => self.machine_holds(child, &mut work),
                _ => {}
            }
        }
        work
    }

    fn machine_holds(&mut self, node: &Node, work: &mut Work) {
        if let Some(amount) = prop(node, "cpu").and_then(|value| self.expr(value)) {
            let pool = Spanned { value: "cpu".to_owned(), span: amount.span() };
            work.holds.push(HoldsDecl { pool, amount, machine: true });
        }
        if let Some(value) = prop(node, "memory") {
            let pool = Spanned { value: "memory".to_owned(), span: value.span };
            match &value.kind {
                Kind::Text(text) if value.note.is_none() => match parse_size_bytes(text) {
                    Some(bytes) => {
                        let amount = Expr::Int(i128::from(bytes), value.span);
                        work.holds.push(HoldsDecl { pool, amount, machine: true });
                    }
                    None => self.bad_unit(value.span, text, "size", "`512MiB` or `4GiB`"),
                },
                _ => {}
            }
        }
    }

    fn render_vars(&mut self, node: &Node) -> Vec<(Name, RenderVar)> {
        let mut vars = Vec::new();
        for child in node.children.iter().flatten() {
            match child.name.value.as_str() {
                "set" => {
                    for property in &child.props {
                        if let Some(value) = self.expr(&property.value) {
                            vars.push((property.name.clone(), RenderVar::Value(value)));
                        }
                    }
                }
                word @ ("file" | "json") => {
                    if let (Some(name), Some(path)) = (first_name(child), child.args.get(1)) {
                        let path = Text::parse(path, self.diagnostics);
                        let var = if word == "file" { RenderVar::File(path) } else { RenderVar::Json(path) };
                        vars.push((name, var));
                    }
                }
                _ => {}
            }
        }
        vars
    }

    fn input(&mut self, node: &Node) -> Option<InputDecl> {
        let paths: Vec<Text> = node.args.iter().map(|value| Text::parse(value, self.diagnostics)).collect();
        let from = prop(node, "from").and_then(|value| self.expr(value));
        if from.is_some() && paths.len() > 1 {
            self.push(
                Diagnostic::new(
                    Code::P0105,
                    paths[1].span,
                    "an input taken from an output has one place, several given",
                )
                .with_help("write one `input PLACE from=…` for each"),
            );
            return None;
        }
        if let (None, Some(select)) = (&from, prop(node, "select")) {
            self.push(
                Diagnostic::new(
                    Code::P0102,
                    select.span,
                    "`select` narrows an output that is a folder, and there is no `from`",
                )
                .with_help("for files of the workspace write the pattern itself: `input \"src/*.h\"`"),
            );
        }
        let select = prop(node, "select").map(|value| Text::parse(value, self.diagnostics));
        Some(InputDecl { paths, from, select, optional: is_true(node, "optional"), span: node.span })
    }

    fn output(&mut self, node: &Node) -> Option<OutputDecl> {
        let name = self.first_text(node)?;
        let ty = if prop(node, "type").is_some() { self.ty(node)? } else { Ty::Artifact(ArtifactKind::File) };
        if !matches!(ty, Ty::Artifact(_)) {
            let span = prop(node, "type").map_or(node.name.span, |value| value.span);
            self.push(
                Diagnostic::new(Code::P0301, span, format!("an output is an artifact, not a `{ty}`"))
                    .with_help("write `type=artifact.file` or `type=artifact.dir`"),
            );
            return None;
        }
        let digest = match prop(node, "digest").map(|value| (&value.kind, value.span)) {
            Some((Kind::Text(text), span)) => match text.parse::<Digest>() {
                Ok(value) => Some(Spanned { value, span }),
                Err(error) => {
                    self.push(Diagnostic::new(Code::P0301, span, error.to_string()));
                    None
                }
            },
            _ => None,
        };
        let path = prop(node, "path").map(|value| Text::parse(value, self.diagnostics));
        Some(OutputDecl { name, path, ty, digest, span: node.span })
    }

    fn group(&mut self, node: &Node) -> Option<Group> {
        Some(Group {
            name: first_name(node)?,
            params: self.params(node),
            nodes: children(node, "node").filter_map(|node| self.node(node)).collect(),
            uses: children(node, "use").filter_map(|node| self.use_(node)).collect(),
            span: node.span,
        })
    }

    fn use_(&mut self, node: &Node) -> Option<UseDecl> {
        let with = self.with(node);
        Some(UseDecl { template: first_name(node)?, alias: prop_name(node, "as")?, with, span: node.span })
    }

    fn with(&mut self, node: &Node) -> Vec<(Name, Expr)> {
        let mut with = Vec::new();
        for child in children(node, "with") {
            for property in &child.props {
                if let Some(value) = self.expr(&property.value) {
                    with.push((property.name.clone(), value));
                }
            }
        }
        with
    }

    fn graph(&mut self, node: &Node) -> Option<GraphDecl> {
        let group = self.group(node)?;
        let defaults = child(node, "defaults");
        let resources = children(node, "resource")
            .filter_map(|node| Some((first_name(node)?, self.natural(prop(node, "capacity")?)?)))
            .collect();
        let concurrency = child(node, "concurrency").and_then(|node| self.natural(node.args.first()?));
        Some(GraphDecl {
            group,
            concurrency,
            timeout: defaults.and_then(|node| self.timeout(node)),
            retry: defaults.and_then(|node| self.retry(node)),
            resources,
        })
    }

    fn node(&mut self, node: &Node) -> Option<NodeDecl> {
        let name = first_name(node)?;
        let recipe = prop_name(node, "recipe");
        let work = self.work(node);
        let with = self.with(node);
        match (&recipe, &work.body) {
            (Some(recipe), Some(_)) => self.push(
                Diagnostic::new(
                    Code::P0106,
                    name.span,
                    format!("node `{}` names a recipe and also says what to do", name.value),
                )
                .with_secondary(recipe.span, "the recipe")
                .with_help("keep one of the two"),
            ),
            (None, None) => self.push(
                Diagnostic::new(Code::P0104, name.span, format!("node `{}` does nothing", name.value))
                    .with_help("add `recipe=NAME`, `run TOOL ARG…`, or one of `copy`, `write`, `render`, `merge-json`"),
            ),
            _ => {}
        }
        if let (None, Some(with)) = (&recipe, child(node, "with")) {
            self.push(
                Diagnostic::new(
                    Code::P0107,
                    with.name.span,
                    "`with` gives arguments to a recipe, and this node names none",
                )
                .with_help("for variables of the environment use `env`"),
            );
        }
        if let (Some(recipe), Some(output)) = (&recipe, work.outputs.first()) {
            self.push(
                Diagnostic::new(Code::P0107, output.span, "a node that applies a recipe has the recipe's outputs")
                    .with_secondary(recipe.span, "the recipe")
                    .with_help("declare it in the recipe, by `returns` and by a step's `output`"),
            );
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
            .flat_map(|node| node.args.iter().map(|value| (value, is_true(node, "optional"))).collect::<Vec<_>>())
            .map(|(value, optional)| AfterDecl { target: Text::parse(value, self.diagnostics), optional })
            .collect();
        Some(NodeDecl { name, recipe, with, for_each, when, after, work, span: node.span })
    }

    fn for_each(&mut self, node: &Node) -> Option<ForEach> {
        let list = self.expr(prop(node, "in")?)?;
        match &list {
            Expr::Var(_) => {}
            Expr::Ref(text) => {
                self.push(
                    Diagnostic::new(
                        Code::P0406,
                        text.span,
                        "`for-each` over an output, whose content is known only at run time",
                    )
                    .with_help("lists are literals, `let` or parameters"),
                );
                return None;
            }
            other => {
                self.push(
                    Diagnostic::new(Code::P0301, other.span(), "`for-each` needs a list")
                        .with_help("name one: `in=(var)files`, declared by `let files type=list<string> { - a; - b }`"),
                );
                return None;
            }
        }
        Some(ForEach { var: first_name(node)?, list, optional: is_true(node, "optional") })
    }

    fn condition(&mut self, node: &Node) -> Option<Cond> {
        let mut all = self.triples(&node.args)?;
        for child in node.children.iter().flatten() {
            let inner: Vec<Cond> =
                children(child, "-").filter_map(|node| self.triples(&node.args).map(Cond::All)).collect();
            all.push(match child.name.value.as_str() {
                "any" => Cond::Any(inner),
                "not" => Cond::Not(inner),
                _ => Cond::All(inner),
            });
        }
        Some(Cond::All(all))
    }

    fn triples(&mut self, args: &[Value]) -> Option<Vec<Cond>> {
        if !args.len().is_multiple_of(3) {
            let last = args.last()?;
            self.push(
                Diagnostic::new(Code::P0105, last.span, "a condition is made of triples")
                    .with_help("write `VARIABLE OP VALUE`, as in `when target eq linux`"),
            );
            return None;
        }
        let mut all = Vec::new();
        for triple in args.chunks(3) {
            let path = name_of(&triple[0])?;
            let word = name_of(&triple[1])?;
            let op = match word.value.as_str() {
                "eq" => Op::Eq,
                "ne" => Op::Ne,
                "lt" => Op::Lt,
                "le" => Op::Le,
                "gt" => Op::Gt,
                "ge" => Op::Ge,
                other => {
                    let known = ["eq", "ne", "lt", "le", "gt", "ge"];
                    self.push(
                        Diagnostic::new(Code::P0305, word.span, format!("`{other}` is not a comparison"))
                            .with_suggestion(did_you_mean(other, known))
                            .with_help(format!("known: {}", known.join(", "))),
                    );
                    return None;
                }
            };
            all.push(Cond::Triple(path, op, self.expr(&triple[2])?));
        }
        Some(all)
    }

    fn bundle(&mut self, node: &Node) -> Option<BundleDecl> {
        let includes: Vec<IncludeDecl> = children(node, "include")
            .filter_map(|node| {
                let to = prop(node, "to").map(|value| Text::parse(value, self.diagnostics));
                Some(IncludeDecl { node: first_name(node)?, output: prop_name(node, "output"), to, span: node.span })
            })
            .collect();
        let name = first_name(node)?;
        if child(node, "include").is_none() {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("bundle `{}` needs an `include`", name.value))
                    .with_help("say what goes in: `include NODE output=NAME to=\"PATH\"`"),
            );
        }
        let version = prop(node, "version").map(|value| Text::parse(value, self.diagnostics));
        let keys = children(node, "sign").filter_map(|node| prop_name(node, "key")).collect();
        Some(BundleDecl { name, from: prop_name(node, "from")?, version, includes, keys, span: node.span })
    }

    fn timeout(&mut self, node: &Node) -> Option<Text> {
        let text = self.child_text(node, "timeout")?;
        if let Some(literal) = text.as_literal()
            && parse_duration_ms(literal).is_none()
        {
            self.bad_unit(text.span, literal, "duration", "`90s`, `20m` or `1h30m`");
            return None;
        }
        Some(text)
    }

    fn retry(&mut self, node: &Node) -> Option<RetryDecl> {
        let node = child(node, "retry")?;
        let max = self.natural(prop(node, "max")?)?;
        let backoff_ms = match prop(node, "backoff").map(|value| (&value.kind, value.span)) {
            Some((Kind::Text(text), span)) => match parse_duration_ms(text) {
                Some(ms) => ms,
                None => {
                    self.bad_unit(span, text, "duration", "`500ms` or `5s`");
                    return None;
                }
            },
            _ => 1_000,
        };
        let on = self.word(node, "on", &["transient", "timeout", "any"])?;
        let exponential = self.word(node, "strategy", &["exponential", "fixed"])? == "exponential";
        Some(RetryDecl { max: u32::try_from(max).unwrap_or(u32::MAX), on, backoff_ms, exponential })
    }

    /// A property that is one of a closed set of words; the first is the default.
    fn word(&mut self, node: &Node, name: &str, words: &[&str]) -> Option<String> {
        let Some(given) = prop_name(node, name) else { return words.first().map(|word| (*word).to_owned()) };
        if words.contains(&given.value.as_str()) {
            return Some(given.value);
        }
        self.push(
            Diagnostic::new(Code::P0305, given.span, format!("`{}` is not one of {}", given.value, words.join(", ")))
                .with_suggestion(did_you_mean(&given.value, words.iter().copied())),
        );
        None
    }

    fn natural(&mut self, value: &Value) -> Option<u64> {
        match &value.kind {
            Kind::Int(int) if *int >= 0 => u64::try_from(*int).ok(),
            Kind::Int(int) => {
                self.push(Diagnostic::new(Code::P0304, value.span, format!("{int} is outside 0..")));
                None
            }
            _ => None,
        }
    }

    fn bad_unit(&mut self, span: Span, text: &str, what: &str, example: &str) {
        self.push(
            Diagnostic::new(Code::P0306, span, format!("`{text}` is not a {what}"))
                .with_help(format!("write it with its unit, as {example}")),
        );
    }

    fn ty(&mut self, node: &Node) -> Option<Ty> {
        let written = prop_name(node, "type")?;
        let ty = Ty::parse(&written.value);
        if ty.is_none() {
            let names = Ty::names();
            self.push(
                Diagnostic::new(Code::P0201, written.span, format!("cannot find type `{}`", written.value))
                    .with_suggestion(did_you_mean(&written.value, names.iter().map(String::as_str)))
                    .with_help(format!("types: {}", names.join(", "))),
            );
        }
        ty
    }

    fn dashes(&mut self, node: &Node) -> Vec<Expr> {
        children(node, "-").flat_map(|dash| dash.args.iter()).filter_map(|value| self.expr(value)).collect()
    }

    fn first_text(&mut self, node: &Node) -> Option<Text> {
        node.args
            .first()
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
            (Kind::Text(_), _) => Some(Expr::Text(Text::parse(value, self.diagnostics))),
            (Kind::Int(int), _) => Some(Expr::Int(*int, value.span)),
            (Kind::Bool(flag), _) => Some(Expr::Bool(*flag, value.span)),
            (Kind::Decimal(_) | Kind::Null, _) => None,
        }
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
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
    match &value.kind {
        Kind::Text(text) => Some(Spanned { value: text.clone(), span: value.span }),
        _ => None,
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
