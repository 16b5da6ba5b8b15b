//! Expansion: a graph with values for its parameters becomes instances and actions. Terminates by
//! construction and is bounded by a budget besides. Leaves out digests.

mod actions;
mod asks;
mod bundle;
mod gates;
mod kinds;
mod params;
mod policy;
mod redundant;
mod refs;
mod rollback;
mod sbom;
mod scopes;
mod services;
mod terms;
mod tools;
mod values;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Limits, parse_duration_ms, slug};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{Cond, Expr, ForEach, GraphDecl, Group, NodeDecl, Values, Work};
use crate::lang::eval::{Env, Evaluator, Val, no_entry};
use crate::lang::expand::kinds::Declared;
use crate::lang::expand::services::{address_variables, with_outer};
use crate::lang::expand::values::{name_things, show, typed};
use crate::lang::ir::{ActionIr, Expansion, InstanceIr, Outputs, ServiceIr, ToolIr};
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::route::owner;

pub(crate) use asks::leak;
pub use bundle::expand_bundle;
pub(crate) use sbom::{OUTPUT as INVENTORY, no_inventory};

/// Templates that may stand inside each other: far more than anyone can follow, and little enough
/// for the stack.
const TEMPLATE_DEPTH: usize = 100;

/// Combinations of loops looked at for each node that may exist: conditions can refuse most.
const TRIED_PER_NODE: usize = 10;

/// Addresses compared with patterns.
const COMPARISONS: usize = 5_000_000;

/// Expands a graph. `given` are parameters as text; those not given take their defaults. `None` if
/// something is wrong, which has then been reported.
pub fn expand(
    program: &Program,
    graph: DeclId,
    given: &BTreeMap<String, String>,
    diagnostics: &mut Diagnostics,
) -> Option<Expansion> {
    expand_given(program, graph, &Given::Texts(given), diagnostics)
}

/// As `expand`, with values as a spec writes them, in a file whose constants they may name.
pub(crate) fn expand_values(
    program: &Program,
    graph: DeclId,
    file: FileId,
    values: &Values,
    diagnostics: &mut Diagnostics,
) -> Option<Expansion> {
    expand_given(program, graph, &Given::Values(file, values), diagnostics)
}

/// Values for the parameters of a graph.
enum Given<'a> {
    /// As text.
    Texts(&'a BTreeMap<String, String>),
    /// As a spec writes them.
    Values(FileId, &'a Values),
}

fn expand_given(
    program: &Program,
    graph: DeclId,
    given: &Given<'_>,
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
    /// The services that all its nodes use.
    services: Arc<[String]>,
}

/// Where a group of nodes is declared, and what holds for all of them.
struct Home<'e> {
    file: FileId,
    env: &'e Arc<Env>,
    services: Arc<[String]>,
}

/// An instance with what is needed to wire its actions.
struct Pending<'a> {
    ir: InstanceIr,
    placed: usize,
    file: FileId,
    node: &'a NodeDecl,
    env: Arc<Env>,
    /// The actions that decide whether its own start, with the places of their guards.
    gates: Vec<(usize, Span)>,
    /// The actions that decide whether what it leaves may be used, with the places of their declarations.
    closing: Vec<(usize, Span)>,
    services: Arc<[String]>,
}

/// An action whose inputs are not wired yet.
struct PendingAction<'a> {
    /// Boxed, as it is large and moved about.
    ir: Box<ActionIr>,
    work: &'a Work,
    env: Arc<Env>,
    placed: usize,
    instance: usize,
    /// For a step: the actions of the steps of its recipe, by name.
    steps: Option<Arc<BTreeMap<String, usize>>>,
    /// The places of `after` by the action that comes before.
    after: BTreeMap<usize, Span>,
    /// Artifacts that an ask hands on.
    handed: Vec<asks::Handed>,
    /// The action that makes what an agent is told.
    request: Option<usize>,
    /// Whether it was made for another action of its instance: the node's inputs are not its own.
    derived: bool,
    /// Whether it decides, or helps to, whether the actions of its instance start: it does not wait for that.
    decides: bool,
    /// For one that decides: what it reads, until that is wired.
    subjects: Option<Vec<gates::PendingSubject>>,
}

impl<'a> PendingAction<'a> {
    /// An action that stands for itself: no step, made for no other, and deciding nothing.
    fn new(ir: Box<ActionIr>, work: &'a Work, env: Arc<Env>, placed: usize, instance: usize) -> Self {
        Self {
            ir,
            work,
            env,
            placed,
            instance,
            steps: None,
            after: BTreeMap::new(),
            handed: Vec::new(),
            request: None,
            derived: false,
            decides: false,
            subjects: None,
        }
    }
}

/// One turn of a loop.
struct Turn {
    /// What names the instance.
    key: String,
    /// The element, or the key of an entry.
    item: Val,
    /// The value of an entry.
    value: Option<Val>,
}

/// A list that was checked: kept, so that its address stays its own.
struct Checked {
    list: Arc<[Val]>,
    fits: bool,
}

struct Expander<'a, 'd> {
    program: &'a Program,
    diagnostics: &'d mut Diagnostics,
    placed: Vec<Placed<'a>>,
    instances: Vec<Pending<'a>>,
    actions: Vec<PendingAction<'a>>,
    by_addr: BTreeMap<String, usize>,
    /// The instances of nodes with loops: without one, the address is the node's.
    by_node: BTreeMap<String, Vec<usize>>,
    /// The graph.
    graph: DeclId,
    /// The file of the graph.
    home: FileId,
    /// The instances that are inventories of bundles, by the bundle's name.
    inventories: BTreeMap<String, Option<usize>>,
    /// Constants by file.
    constants: BTreeMap<FileId, Arc<Env>>,
    /// Defaults of parameters, evaluated, by the place of the parameter.
    defaults: BTreeMap<Span, Option<Val>>,
    /// Lists checked against a parameter, with the answer.
    checked: BTreeMap<(Span, usize), Checked>,
    /// Asks whose actions wait for the choice of who serves.
    asks: Vec<asks::PendingAsk<'a>>,
    /// Actions by which agents may leave changes.
    workers: Vec<(usize, DeclId)>,
    /// Who owns the graph.
    tenant: Option<DeclId>,
    tools: BTreeMap<String, ToolIr>,
    services: Vec<ServiceIr>,
    tool_names: BTreeMap<DeclId, String>,
    /// The timeout of nodes that set none.
    timeout_ms: Option<u64>,
    /// The nodes that `after` targets stand in, where they stand alone, by the place of the target.
    wholes: BTreeMap<Span, Option<Span>>,
    /// Orders said again by a further `after`: the action, the one before it, and the place.
    again: Vec<(usize, usize, Span)>,
    /// What patterns matched, while they are asked for again and again.
    matched: BTreeMap<String, Arc<[usize]>>,
    /// Combinations of loops looked at.
    tried: usize,
    /// Addresses compared with patterns.
    compared: usize,
    /// Bytes of text made.
    bytes: usize,
    exhausted: bool,
    /// The templates that the group being placed stands in, from the outside, each with how many there
    /// are in the group around it.
    chain: Vec<(&'a str, usize)>,
}

impl<'a, 'd> Expander<'a, 'd> {
    fn run(program: &'a Program, id: DeclId, given: &Given<'_>, diagnostics: &'d mut Diagnostics) -> Option<Expansion> {
        let graph = program.graph(id);
        let mut expander = Self {
            program,
            diagnostics,
            placed: Vec::new(),
            instances: Vec::new(),
            actions: Vec::new(),
            by_addr: BTreeMap::new(),
            by_node: BTreeMap::new(),
            graph: id,
            home: id.file,
            inventories: BTreeMap::new(),
            constants: BTreeMap::new(),
            defaults: BTreeMap::new(),
            checked: BTreeMap::new(),
            asks: Vec::new(),
            workers: Vec::new(),
            tenant: None,
            tools: BTreeMap::new(),
            services: Vec::new(),
            tool_names: BTreeMap::new(),
            timeout_ms: None,
            wholes: BTreeMap::new(),
            again: Vec::new(),
            matched: BTreeMap::new(),
            tried: 0,
            compared: 0,
            bytes: 0,
            exhausted: false,
            chain: Vec::new(),
        };
        expander.tenant = owner(program, id, expander.diagnostics);
        let vars = expander.graph_params(id.file, &graph.group, given)?;
        let params = vars.iter().map(|(name, value)| (name.clone(), show(value))).collect();
        let mut vars = vars;
        address_variables(graph, &mut vars);
        let env = Env::inside(&expander.constants(id.file), vars);
        expander.timeout_ms = expander.default_timeout(graph, &env);
        let home = Home { file: id.file, env: &env, services: Arc::new([]) };
        expander.place(&graph.group, &home, graph.group.name.value.clone(), 0, graph.group.name.span);
        if expander.exhausted {
            return None;
        }
        expander.find_rollbacks();
        if expander.exhausted {
            return None;
        }
        expander.make_actions(graph);
        expander.serve_asks(id);
        if expander.exhausted {
            return None;
        }
        expander.wire();
        if expander.exhausted {
            return None;
        }
        expander.check_automation();
        expander.make_services(graph, &env);
        expander.finish_inventories();
        if expander.exhausted {
            return None;
        }
        expander.check_rollbacks();
        expander.finish(graph, params)
    }

    fn default_timeout(&mut self, graph: &GraphDecl, env: &Env) -> Option<u64> {
        let text = graph.timeout.as_ref()?;
        let value = Evaluator::new(env, 0).text(text, self.diagnostics)?;
        self.duration(&value, text.span)
    }

    fn duration(&mut self, value: &str, span: Span) -> Option<u64> {
        let found = parse_duration_ms(value);
        let wrong = match found {
            None => Diagnostic::new(Code::P0306, span, format!("`{value}` is not a duration"))
                .with_help("write it with its unit, as `90s` or `20m`"),
            Some(0) => {
                Diagnostic::new(Code::P0306, span, format!("`{value}` is no time in which anything can be done"))
                    .with_help("leave it out where nothing bounds it")
            }
            Some(_) => return found,
        };
        self.diagnostics.push(wrong);
        None
    }

    /// The constants of a file, evaluated.
    fn constants(&mut self, file: FileId) -> Arc<Env> {
        if let Some(known) = self.constants.get(&file) {
            return Arc::clone(known);
        }
        let env = constants(self.program, file, self.diagnostics);
        self.constants.insert(file, Arc::clone(&env));
        env
    }

    /// Puts a group of nodes at a prefix: enumerates its instances and those of templates it uses.
    fn place(&mut self, group: &'a Group, home: &Home<'_>, prefix: String, depth: usize, at: Span) {
        let (file, env) = (home.file, home.env);
        let placed = self.placed.len();
        if placed > Limits::EXPANDED_NODES || depth > TEMPLATE_DEPTH {
            let what = if depth > TEMPLATE_DEPTH {
                format!("templates are nested more than {TEMPLATE_DEPTH} deep")
            } else {
                format!("templates are used more than {} times", Limits::EXPANDED_NODES)
            };
            let label = format!("this is one more, at `{}`{}", short(&prefix), self.factors(&[]));
            self.too_large(at, what, &label);
            return;
        }
        self.placed.push(Placed { prefix: prefix.clone(), group, services: Arc::clone(&home.services) });
        for node in &group.nodes {
            self.enumerate(node, file, env, placed, &prefix);
            if self.exhausted {
                return;
            }
        }
        for decl in &group.uses {
            let Some(id) = self.program.lookup(file, DeclKind::Template, &decl.template.value) else { continue };
            let template = self.program.template(id);
            let constants = self.constants(id.file);
            let vars = self.bind_all(&template.params, &decl.with, env, &constants, placed);
            let inner = Env::inside(&constants, vars);
            let services = with_outer(&home.services, &decl.services);
            let home = Home { file: id.file, env: &inner, services };
            self.chain.push((&template.name.value, group.uses.len()));
            self.place(template, &home, format!("{prefix}/{}", decl.alias.value), depth + 1, decl.template.span);
            self.chain.pop();
            if self.exhausted {
                return;
            }
        }
    }

    fn enumerate(&mut self, node: &'a NodeDecl, file: FileId, env: &Arc<Env>, placed: usize, prefix: &str) {
        let base = format!("{prefix}/{}", node.name.value);
        let mut lists: Vec<Arc<[Turn]>> = Vec::new();
        for each in &node.for_each {
            let Some(items) = self.turns(each, env, placed) else { return };
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
            lists.push(items);
        }
        let total = lists.iter().try_fold(1usize, |product, list| product.checked_mul(list.len()));
        let lengths: Vec<(&str, usize)> =
            node.for_each.iter().zip(&lists).map(|(each, list)| (each.var.value.as_str(), list.len())).collect();
        let factors = |this: &Self| format!("node `{}`{}", short(&base), this.factors(&lengths));
        if total.is_none_or(|total| total.saturating_add(self.instances.len()) > Limits::EXPANDED_NODES) {
            let what = format!("the expansion exceeds {} nodes", Limits::EXPANDED_NODES);
            let factors = factors(self);
            self.too_large(node.name.span, what, &factors);
            return;
        }
        self.tried += total.unwrap_or(0) + lists.iter().map(|list| list.len()).sum::<usize>();
        if self.tried > Limits::EXPANDED_NODES * TRIED_PER_NODE {
            let what = format!("the loops have more than {} combinations", Limits::EXPANDED_NODES * TRIED_PER_NODE);
            let factors = factors(self);
            self.too_large(node.name.span, what, &factors);
            return;
        }
        let services = with_outer(&self.placed[placed].services, &node.services);
        let (instances, mut unknown) = (self.instances.len(), false);
        let declared = Declared { program: self.program, file, group: self.placed[placed].group, node };
        let kinds = declared.of_conditions();
        for (each, items) in node.for_each.iter().zip(&lists) {
            self.check_keys(items, &each.list);
        }
        for mut number in 0..total.unwrap_or(0) {
            // The last loop turns fastest.
            let mut picked: Vec<&Turn> = Vec::with_capacity(lists.len());
            for list in lists.iter().rev() {
                picked.push(&list[number % list.len()]);
                number /= list.len();
            }
            picked.reverse();
            let mut vars: BTreeMap<String, Val> = BTreeMap::new();
            let mut keys: Vec<(String, String)> = Vec::with_capacity(picked.len());
            for (each, turn) in node.for_each.iter().zip(&picked) {
                vars.insert(each.var.value.clone(), turn.item.clone());
                if let (Some(name), Some(value)) = (&each.value, &turn.value) {
                    vars.insert(name.value.clone(), value.clone());
                }
                keys.push((each.var.value.clone(), turn.key.clone()));
            }
            let own = if vars.is_empty() { Arc::clone(env) } else { Env::inside(env, vars) };
            let evaluator = Evaluator::new(&own, placed);
            let exists = node.when.iter().all(|condition| {
                let holds = evaluator.condition(condition, &kinds, self.diagnostics);
                unknown |= holds.is_none();
                holds == Some(true)
            });
            if !exists {
                continue;
            }
            let addr = keys.iter().fold(base.clone(), |addr, (_, value)| format!("{addr}/{}", slug(value)));
            let bytes = keys.iter().map(|(name, value)| name.len() + 2 * value.len()).sum::<usize>() + 3 * addr.len();
            if self.spend(bytes, node.name.span, &base).is_none() {
                return;
            }
            // Most nodes have one instance.
            if self.instances.len() == self.instances.capacity() {
                self.instances.reserve(total.unwrap_or(0).max(self.instances.len()));
            }
            let index = self.instances.len();
            let before = self.by_addr.insert(addr.clone(), index);
            // Two instances of one node have been reported with their keys.
            if let Some(before) = before.filter(|before| self.instances[*before].ir.span != node.name.span) {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0407, node.name.span, format!("two nodes have the address `{addr}`"))
                        .with_label("this one takes it again")
                        .with_secondary(self.instances[before].ir.span, "this one has it")
                        .with_help(
                            "rename one of them: a `/` in a name, a loop and a template all make longer addresses",
                        ),
                );
                return;
            }
            let recipe = node.recipe.as_ref().map(|name| name.value.clone());
            let ir = InstanceIr {
                addr,
                keys,
                actions: Vec::new(),
                outputs: Outputs::default(),
                bundle: None,
                recipe,
                after: Vec::new(),
                rollback: None,
                takes_back: false,
                guards: Vec::new(),
                closing: None,
                automation: None,
                span: node.name.span,
            };
            let services = Arc::clone(&services);
            self.instances.push(Pending {
                ir,
                placed,
                file,
                node,
                env: own,
                gates: Vec::new(),
                closing: Vec::new(),
                services,
            });
        }
        if !node.for_each.is_empty() && self.instances.len() > instances {
            self.by_node.entry(base).or_default().extend(instances..self.instances.len());
        }
        let tried = total.is_some_and(|total| total > 0) && !node.for_each.is_empty() && !unknown;
        if tried && self.instances.len() == instances && never(node) {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0408,
                    node.name.span,
                    format!("the condition holds for no element of the loop, so `{}` never exists", node.name.value),
                )
                .with_help(
                    "change the condition or the list; add `optional=#true` to the `for-each` if that is intended",
                ),
            );
        }
    }

    /// What a loop turns over: the elements of a list, or the entries of a map by their keys.
    fn turns(&mut self, each: &ForEach, env: &Arc<Env>, placed: usize) -> Option<Arc<[Turn]>> {
        let list = Evaluator::new(env, placed).expr(&each.list, self.diagnostics)?;
        match list {
            Val::List(items) => items
                .iter()
                .map(|item| {
                    let key = match (item, &each.key) {
                        (Val::Fields(fields), Some(key)) => match fields.get(&key.value) {
                            Some(value) => value.text()?,
                            // A record has all its fields.
                            None => {
                                let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                                let whole = format!("{}.{}", each.var.value, key.value);
                                self.diagnostics.push(no_entry(&whole, &key.value, &known, key.span));
                                return None;
                            }
                        },
                        // A list in a list is named by its elements.
                        (Val::List(items), _) => {
                            items.iter().map(Val::text).collect::<Option<Vec<String>>>()?.join("-")
                        }
                        (item, _) => item.text()?,
                    };
                    Some(Turn { key, item: item.clone(), value: None })
                })
                .collect(),
            Val::Fields(fields) => {
                let turn = |(key, value): (&String, &Val)| Turn {
                    key: key.clone(),
                    item: Val::Text(key.clone()),
                    value: Some(value.clone()),
                };
                Some(fields.iter().map(turn).collect())
            }
            _ => None,
        }
    }

    fn check_keys(&mut self, items: &[Turn], list: &Expr) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let span = match list {
                Expr::List(elements, _) => elements.get(index).map_or(list.span(), Expr::span),
                list => list.span(),
            };
            let key = slug(&item.key);
            if key.is_empty() {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        span,
                        format!("element {} of the list is empty and cannot name an instance", index + 1),
                    )
                    .with_help("an element becomes a segment of the address"),
                );
            }
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

    /// Counts text made for an address. `None` once it is too much, which is then reported.
    fn spend(&mut self, bytes: usize, span: Span, addr: &str) -> Option<()> {
        self.bytes += bytes;
        if self.bytes > Limits::EXPANDED_BYTES {
            let what = format!("the expansion exceeds {} MiB of text", Limits::EXPANDED_BYTES >> 20);
            self.too_large(span, what, &format!("reached at `{addr}`"));
            return None;
        }
        Some(())
    }

    /// What the templates around a node and its own loops multiply to, by their names.
    fn factors(&self, loops: &[(&str, usize)]) -> String {
        const SHOWN: usize = 8;
        let used = self.chain.iter().filter(|(_, count)| *count > 1).map(|(name, count)| (*name, *count));
        let mut all: Vec<(&str, usize)> = used.chain(loops.iter().copied()).collect();
        let template = self.chain.last().map_or(String::new(), |(name, _)| format!(" of template `{name}`"));
        if all.is_empty() {
            return format!("{template} is one more");
        }
        let more = if all.len() > SHOWN { " × …" } else { "" };
        all.truncate(SHOWN);
        let numbers: Vec<String> = all.iter().map(|(_, count)| count.to_string()).collect();
        let names: Vec<String> = all.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!(
            "{template}: {}{more} ({}{})",
            numbers.join(" × "),
            names.join(", "),
            if more.is_empty() { "" } else { ", …" }
        )
    }

    fn too_large(&mut self, span: Span, what: String, label: &str) {
        // The first limit that is passed is the one to tell of.
        if !self.exhausted {
            self.exhausted = true;
            self.diagnostics.push(
                Diagnostic::new(Code::P0405, span, what)
                    .with_label(label)
                    .with_help("shorten the lists, use templates fewer times, or split the graph in two"),
            );
        }
    }
}

/// The constants of a file, evaluated.
fn constants(program: &Program, file: FileId, diagnostics: &mut Diagnostics) -> Arc<Env> {
    let mut vars = BTreeMap::new();
    let empty = Env::default();
    for name in program.visible(file, DeclKind::Let) {
        let Some(id) = program.lookup(file, DeclKind::Let, &name) else { continue };
        let decl = program.constant(id);
        let value = typed(&Evaluator::new(&empty, 0), &decl.values, &decl.ty, diagnostics);
        let value =
            value.and_then(|value| name_things(program, (id.file, 0), value, &decl.ty, decl.name.span, diagnostics));
        if let Some(value) = value {
            vars.insert(name, value);
        }
    }
    Env::outermost(file, vars)
}

/// An address for a message: one of a hundred templates is longer than anyone reads.
fn short(addr: &str) -> String {
    const SHOWN: usize = 80;
    match addr.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &addr[..at]),
        None => addr.to_owned(),
    }
}

/// Whether the conditions of a node read its loops alone, so that no parameter could make them hold.
fn never(node: &NodeDecl) -> bool {
    fn of_loops(condition: &Cond, node: &NodeDecl) -> bool {
        match condition {
            Cond::All(all) | Cond::Any(all) | Cond::Not(all) => all.iter().all(|inner| of_loops(inner, node)),
            Cond::Triple(path, _, value) => {
                let head = path.value.split('.').next().unwrap_or_default();
                let mut variables = node.for_each.iter().flat_map(|each| std::iter::once(&each.var).chain(&each.value));
                let literal = matches!(value, Expr::Int(..) | Expr::Bool(..))
                    || matches!(value, Expr::Text(text) if text.as_literal().is_some());
                literal && variables.any(|variable| variable.value == head)
            }
        }
    }
    !node.when.is_empty()
        && !node.for_each.iter().any(|each| each.optional)
        && node.when.iter().all(|condition| of_loops(condition, node))
}
