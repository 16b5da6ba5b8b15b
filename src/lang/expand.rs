//! Expansion: a graph with values for its parameters becomes instances and actions. Terminates by
//! construction and is bounded by a budget besides. Leaves out digests.

mod actions;
mod bundle;
mod refs;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Limits, slug};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{Expr, Group, Name, NodeDecl, Param, Work};
use crate::lang::check::{Scope, check_values};
use crate::lang::eval::{Env, Evaluator, Val};
use crate::lang::ir::{ActionIr, Expansion, InstanceIr, ToolIr};
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::text::Text;
use crate::lang::ty::Ty;

pub use bundle::expand_bundle;

/// Expands a graph. `given` are parameters as text; those not given take their defaults. `None` if
/// something is wrong, which has then been reported.
pub fn expand(
    program: &Program,
    graph: DeclId,
    given: &BTreeMap<String, String>,
    diagnostics: &mut Diagnostics,
) -> Option<Expansion> {
    let mut own = Diagnostics::default();
    let expansion = Expander::run(program, graph, given, &mut own);
    let failed = own.has_errors();
    diagnostics.extend(own);
    expansion.filter(|_| !failed)
}

/// A group of nodes put somewhere: the graph itself, or a template under an alias.
struct Placed<'a> {
    prefix: String,
    group: &'a Group,
}

/// An instance with what is needed to wire its actions.
struct Pending<'a> {
    ir: InstanceIr,
    placed: usize,
    file: FileId,
    node: &'a NodeDecl,
    env: Arc<Env>,
}

/// An action whose inputs are not wired yet.
struct PendingAction<'a> {
    ir: ActionIr,
    work: &'a Work,
    env: Arc<Env>,
    placed: usize,
    instance: usize,
    /// For a step: the actions of the steps of its recipe, by name.
    steps: Option<Arc<BTreeMap<String, usize>>>,
}

struct Expander<'a, 'd> {
    program: &'a Program,
    diagnostics: &'d mut Diagnostics,
    placed: Vec<Placed<'a>>,
    instances: Vec<Pending<'a>>,
    actions: Vec<PendingAction<'a>>,
    by_addr: BTreeMap<String, usize>,
    by_node: BTreeMap<String, Vec<usize>>,
    tools: BTreeMap<String, ToolIr>,
    tool_names: BTreeMap<DeclId, String>,
    bytes: usize,
    exhausted: bool,
}

impl<'a, 'd> Expander<'a, 'd> {
    fn run(
        program: &'a Program,
        id: DeclId,
        given: &BTreeMap<String, String>,
        diagnostics: &'d mut Diagnostics,
    ) -> Option<Expansion> {
        let graph = program.graph(id);
        let mut expander = Self {
            program,
            diagnostics,
            placed: Vec::new(),
            instances: Vec::new(),
            actions: Vec::new(),
            by_addr: BTreeMap::new(),
            by_node: BTreeMap::new(),
            tools: BTreeMap::new(),
            tool_names: BTreeMap::new(),
            bytes: 0,
            exhausted: false,
        };
        let vars = expander.graph_params(id.file, &graph.group, given)?;
        let params = vars.iter().map(|(name, value)| (name.clone(), show(value))).collect();
        let env = Env::inside(&expander.constants(id.file), vars);
        expander.place(&graph.group, id.file, &env, graph.group.name.value.clone());
        if expander.exhausted {
            return None;
        }
        expander.make_actions(graph);
        expander.wire();
        expander.finish(graph, params)
    }

    /// The constants of a file, evaluated.
    fn constants(&mut self, file: FileId) -> Arc<Env> {
        let mut vars = BTreeMap::new();
        let empty = Env::default();
        for name in self.program.visible(file, DeclKind::Let) {
            let Some(id) = self.program.lookup(file, DeclKind::Let, &name) else { continue };
            let decl = self.program.constant(id);
            let evaluator = Evaluator::new(&empty, 0);
            let values: Vec<Val> =
                decl.values.iter().filter_map(|value| evaluator.expr(value, self.diagnostics)).collect();
            let value =
                if matches!(decl.ty, Ty::List(_)) { Some(Val::List(values)) } else { values.into_iter().next() };
            if let Some(value) = value {
                vars.insert(name, value);
            }
        }
        Env::outermost(vars)
    }

    /// Values of a graph's parameters: given as text, or the default.
    fn graph_params(
        &mut self,
        file: FileId,
        group: &Group,
        given: &BTreeMap<String, String>,
    ) -> Option<BTreeMap<String, Val>> {
        let mut fine = true;
        for name in given.keys() {
            if !group.params.iter().any(|param| param.name.value == *name) {
                let known: Vec<&str> = group.params.iter().map(|param| param.name.value.as_str()).collect();
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0303,
                        group.name.span,
                        format!("graph `{}` has no parameter `{name}`", group.name.value),
                    )
                    .with_suggestion_text(crate::diag::did_you_mean(name, known.iter().copied()))
                    .with_help(if known.is_empty() {
                        "it takes none".to_owned()
                    } else {
                        format!("it takes: {}", known.join(", "))
                    }),
                );
                fine = false;
            }
        }
        let with: Vec<(Name, Expr)> = group
            .params
            .iter()
            .filter_map(|param| Some((param.name.clone(), from_text(param, given.get(&param.name.value)?))))
            .collect();
        let lists: BTreeMap<String, Val> = group
            .params
            .iter()
            .filter(|param| matches!(param.ty, Ty::List(_)))
            .filter_map(|param| {
                let text = given.get(&param.name.value)?;
                let items =
                    text.split(',').filter(|item| !item.is_empty()).map(|item| Val::Text(item.to_owned())).collect();
                Some((param.name.value.clone(), Val::List(items)))
            })
            .collect();
        let constants = self.constants(file);
        let mut vars = BTreeMap::new();
        for param in &group.params {
            if let Some(list) = lists.get(&param.name.value) {
                vars.insert(param.name.value.clone(), list.clone());
                continue;
            }
            let value = with.iter().find(|(name, _)| name.value == param.name.value).map(|(_, value)| value);
            match self.bind(param, value, &constants, &constants, 0) {
                Some(value) => drop(vars.insert(param.name.value.clone(), value)),
                None => {
                    if value.is_none() && param.default.is_none() {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::P0302,
                                param.name.span,
                                format!("graph `{}` needs a value for `{}`", group.name.value, param.name.value),
                            )
                            .with_help(format!("give one: `-p {}=…`", param.name.value)),
                        );
                    }
                    fine = false;
                }
            }
        }
        fine.then_some(vars)
    }

    /// The value of one parameter: what is given, evaluated where it is given, or the default.
    fn bind(
        &mut self,
        param: &Param,
        value: Option<&Expr>,
        at: &Arc<Env>,
        home: &Arc<Env>,
        placed: usize,
    ) -> Option<Val> {
        let list = matches!(param.ty, Ty::List(_));
        let bound = match value {
            Some(value) => Evaluator::new(at, placed).expr(value, self.diagnostics)?,
            None => {
                let evaluator = Evaluator::new(home, placed);
                let default = param.default.as_ref()?;
                if let (true, [Expr::Var(_)]) | (false, [_]) = (list, default.as_slice()) {
                    evaluator.expr(&default[0], self.diagnostics)?
                } else {
                    Val::List(default.iter().filter_map(|value| evaluator.expr(value, self.diagnostics)).collect())
                }
            }
        };
        // A single scalar where a list is wanted: only by a literal default of one element.
        let bound = match bound {
            Val::List(items) => Val::List(items),
            scalar if list && !matches!(scalar, Val::Ref(..)) => Val::List(vec![scalar]),
            scalar => scalar,
        };
        // A text with holes could not be checked before its value was known.
        if let (Some(Expr::Text(text)), Val::Text(known)) = (value, &bound) {
            let mut found = Diagnostics::default();
            let expr = Expr::Text(Text::literal(known.clone(), text.span));
            check_values(&[expr], &param.ty, &param.constraints, &Scope::default(), Some(param), &mut found);
            if found.has_errors() {
                self.diagnostics.extend(found);
                return None;
            }
        }
        Some(bound)
    }

    /// Puts a group of nodes at a prefix: enumerates its instances and those of templates it uses.
    fn place(&mut self, group: &'a Group, file: FileId, env: &Arc<Env>, prefix: String) {
        let placed = self.placed.len();
        self.placed.push(Placed { prefix: prefix.clone(), group });
        for node in &group.nodes {
            self.enumerate(node, file, env, placed, &prefix);
            if self.exhausted {
                return;
            }
        }
        for decl in &group.uses {
            let Some(id) = self.program.lookup(file, DeclKind::Template, &decl.template.value) else { continue };
            let template = self.program.template(id);
            let home = self.constants(id.file);
            let mut vars = BTreeMap::new();
            for param in &template.params {
                let value = decl.with.iter().find(|(name, _)| name.value == param.name.value).map(|(_, value)| value);
                if let Some(value) = self.bind(param, value, env, &home, placed) {
                    vars.insert(param.name.value.clone(), value);
                }
            }
            self.place(template, id.file, &Env::inside(&home, vars), format!("{prefix}/{}", decl.alias.value));
            if self.exhausted {
                return;
            }
        }
    }

    fn enumerate(&mut self, node: &'a NodeDecl, file: FileId, env: &Arc<Env>, placed: usize, prefix: &str) {
        let base = format!("{prefix}/{}", node.name.value);
        let mut lists: Vec<Vec<Val>> = Vec::new();
        for each in &node.for_each {
            let Some(Val::List(items)) = Evaluator::new(env, placed).expr(&each.list, self.diagnostics) else { return };
            if items.is_empty() && !each.optional {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0408,
                        each.list.span(),
                        format!(
                            "the list of `for-each {}` is empty, so `{}` never exists",
                            each.var.value, node.name.value
                        ),
                    )
                    .with_help("add `optional=#true` if that is intended"),
                );
            }
            self.check_keys(&items, each.list.span());
            lists.push(items);
        }
        let total = lists.iter().try_fold(1usize, |product, list| product.checked_mul(list.len()));
        if total.is_none_or(|total| total.saturating_add(self.instances.len()) > Limits::EXPANDED_NODES) {
            let factors: Vec<String> = lists.iter().map(|list| list.len().to_string()).collect();
            self.too_large(
                node.name.span,
                &format!("`{base}`: {}", if factors.is_empty() { "1".to_owned() } else { factors.join(" × ") }),
            );
            return;
        }
        for mut number in 0..total.unwrap_or(0) {
            // The last loop turns fastest.
            let mut picked: Vec<&Val> = Vec::with_capacity(lists.len());
            for list in lists.iter().rev() {
                picked.push(&list[number % list.len()]);
                number /= list.len();
            }
            picked.reverse();
            let vars: BTreeMap<String, Val> = node
                .for_each
                .iter()
                .zip(&picked)
                .map(|(each, value)| (each.var.value.clone(), (*value).clone()))
                .collect();
            let keys: Vec<(String, String)> = node
                .for_each
                .iter()
                .zip(&picked)
                .filter_map(|(each, value)| Some((each.var.value.clone(), value.text()?)))
                .collect();
            let own = if vars.is_empty() { Arc::clone(env) } else { Env::inside(env, vars) };
            let evaluator = Evaluator::new(&own, placed);
            let exists =
                node.when.iter().all(|condition| evaluator.condition(condition, self.diagnostics) == Some(true));
            if !exists {
                continue;
            }
            let addr = keys.iter().fold(base.clone(), |addr, (_, value)| format!("{addr}/{}", slug(value)));
            self.bytes += addr.len() * 2;
            if self.bytes > Limits::EXPANDED_BYTES {
                self.too_large(node.name.span, &format!("`{base}`: its addresses alone pass 64 MiB"));
                return;
            }
            let index = self.instances.len();
            self.by_addr.insert(addr.clone(), index);
            self.by_node.entry(base.clone()).or_default().push(index);
            let recipe = node.recipe.as_ref().map(|name| name.value.clone());
            let ir =
                InstanceIr { addr, keys, actions: Vec::new(), outputs: BTreeMap::new(), recipe, span: node.name.span };
            self.instances.push(Pending { ir, placed, file, node, env: own });
        }
    }

    fn check_keys(&mut self, items: &[Val], span: Span) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let Some(text) = item.text() else { continue };
            let key = slug(&text);
            if let Some(first) = seen.insert(key.clone(), index) {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0407, span, format!("two instances share the key `{key}`")).with_help(
                        format!(
                            "elements {} and {} of the list; remove one, or tell them apart by another `for-each`",
                            first + 1,
                            index + 1
                        ),
                    ),
                );
            }
        }
    }

    fn too_large(&mut self, span: Span, what: &str) {
        self.exhausted = true;
        self.diagnostics.push(
            Diagnostic::new(Code::P0405, span, format!("the expansion exceeds {} nodes", Limits::EXPANDED_NODES))
                .with_label(what)
                .with_help("split the graph, or shorten the lists"),
        );
    }

    /// The name a tool is known under in the plan: its own, or with the file where that is taken.
    fn plan_tool(&mut self, id: DeclId) -> String {
        if let Some(name) = self.tool_names.get(&id) {
            return name.clone();
        }
        let decl = self.program.tool(id);
        let bare = decl.name.value.clone();
        let name =
            if self.tools.contains_key(&bare) { format!("{}#{bare}", self.program.file(id.file).path) } else { bare };
        self.tool_names.insert(id, name.clone());
        self.tools.insert(name.clone(), ToolIr { decl: id, uses: Vec::new() });
        let mut uses: Vec<String> = decl
            .uses
            .iter()
            .filter_map(|used| self.program.lookup(id.file, DeclKind::Tool, &used.value))
            .filter(|used| *used != id)
            .map(|used| self.plan_tool(used))
            .collect();
        uses.sort();
        uses.dedup();
        if let Some(tool) = self.tools.get_mut(&name) {
            tool.uses = uses;
        }
        name
    }
}

/// A parameter given as text on the command line, as an expression of its type.
fn from_text(param: &Param, text: &str) -> Expr {
    let span = param.name.span;
    match param.ty {
        Ty::Int => text.parse().map_or_else(|_| Expr::Text(Text::literal(text, span)), |int| Expr::Int(int, span)),
        Ty::Bool if text == "true" || text == "false" => Expr::Bool(text == "true", span),
        _ => Expr::Text(Text::literal(text, span)),
    }
}

fn show(value: &Val) -> String {
    match value {
        Val::List(items) => items.iter().filter_map(Val::text).collect::<Vec<_>>().join(","),
        Val::Ref(text, ..) => text.clone(),
        scalar => scalar.text().unwrap_or_default(),
    }
}
