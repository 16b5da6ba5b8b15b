//! Checks of graphs and templates: nodes, loops, arguments, references between nodes, and templates
//! that use each other. Leaves out what depends on values: see `expand`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Digest;
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Cond, Expr, ForEach, GraphDecl, Group, Name, NodeDecl, Op, Param, ServiceDecl};
use crate::lang::check::contradict::{Known, Test, contradictions, first_path};
use crate::lang::check::gate::asked_of;
use crate::lang::check::rollback::check_rollbacks;
use crate::lang::check::scope::{no_port, some};
use crate::lang::check::service::{check_services, check_uses, misplaced_address};
use crate::lang::check::work::{Place, check_segment, check_work, no_output, not_a_reference};
use crate::lang::check::{Asked, Callee, Scope, asked, check_arguments, check_params, leaves, unique};
use crate::lang::expand::{INVENTORY, leak, no_inventory};
use crate::lang::program::{COMPARED, DeclId, DeclKind, FileId, Program};
use crate::lang::shape::enough;
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, Constraints, NameKind, Ty};

/// Checks a graph: its own settings, then the group of its nodes.
pub(super) fn check_graph(
    program: &Program,
    file: FileId,
    graph: &GraphDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    unique(graph.resources.iter().map(|(name, _)| name), "resource", diagnostics);
    for param in &graph.group.params {
        if let Ty::Artifact(_) = param.ty {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    param.name.span,
                    format!("a graph is given values, and `{}` is of type `{}`", param.name.value, param.ty),
                )
                .with_help("nothing outside a graph makes artifacts: take files by `input`"),
            );
        }
    }
    if let Some(timeout) = &graph.timeout {
        constants.with_params(&graph.group.params, graph.group.params_known).check_text(timeout, diagnostics);
    }
    if let Some(tenant) = &graph.tenant {
        program.resolve(file, DeclKind::Tenant, tenant, diagnostics);
    }
    check_group(program, file, &graph.group, constants, Some(graph), diagnostics);
}

/// The nodes of a group, as its references need them.
struct Nodes<'a> {
    program: &'a Program,
    file: FileId,
    group: &'a Group,
    services: &'a [ServiceDecl],
    /// The graph, where they are its own and not a template's.
    graph: Option<&'a GraphDecl>,
    by_name: BTreeMap<&'a str, &'a NodeDecl>,
    aliases: BTreeSet<&'a str>,
    /// The outputs of recipes and nodes asked for so far, with their types.
    outputs: BTreeMap<(Option<DeclId>, &'a str), BTreeMap<&'a str, &'a Ty>>,
    /// What is wrong with what gates ask of documents of a schema, by gate, parameter and schema.
    promises: BTreeMap<(DeclId, Span, Digest), Vec<Diagnostic>>,
}

/// Pairs of a gate and a schema that are looked at in a group.
const PROMISES: usize = 1_000;

pub(super) fn check_group(
    program: &Program,
    file: FileId,
    group: &Group,
    constants: &Scope,
    graph: Option<&GraphDecl>,
    diagnostics: &mut Diagnostics,
) {
    check_segment(&group.name, if graph.is_some() { "graph" } else { "template" }, diagnostics);
    check_params(&group.params, constants, diagnostics);
    let pools: Vec<&str> =
        graph.iter().flat_map(|graph| &graph.resources).map(|(name, _)| name.value.as_str()).collect();
    // What holds a share of a resource that was not understood makes no mistake of its own.
    let lost = group.lost.iter().map(|name| name.value.as_str());
    let pools: Vec<&str> = pools.into_iter().chain(lost).collect();
    let pools = pools.as_slice();
    let services: &[ServiceDecl] = graph.map_or(&[], |graph| &graph.services);
    let mut scope = constants.with_params(&group.params, group.params_known);
    scope.lose(&group.lost);
    let names = group.nodes.iter().map(|node| &node.name).chain(group.uses.iter().map(|decl| &decl.alias));
    scope.set_nodes(names.map(|name| name.value.as_str()).collect());
    for port in services.iter().flat_map(|service| &service.ports) {
        scope.insert_address(&port.address);
        scope.insert_address(&port.number);
    }
    if let Some(graph) = graph {
        check_services(&Place { program, file, pools }, graph, &scope, diagnostics);
    }
    check_uses(graph, group, diagnostics);
    let mut nodes = Nodes {
        program,
        file,
        group,
        services,
        graph,
        by_name: group.nodes.iter().map(|node| (node.name.value.as_str(), node)).collect(),
        aliases: group.uses.iter().map(|decl| decl.alias.value.as_str()).collect(),
        outputs: BTreeMap::new(),
        promises: BTreeMap::new(),
    };
    let names = group.nodes.iter().map(|n| &n.name).chain(group.uses.iter().map(|u| &u.alias));
    unique(names.chain(services.iter().map(|service| &service.name)), "node", diagnostics);
    for (index, node) in group.nodes.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        check_segment(&node.name, "node", diagnostics);
        check_node(&mut nodes, node, &scope, pools, diagnostics);
    }
    check_rollbacks(program, file, group, diagnostics);
    for (index, decl) in group.uses.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        check_segment(&decl.alias, "group", diagnostics);
        if let Some(id) = program.resolve(file, DeclKind::Template, &decl.template, diagnostics) {
            let Group { name, params, params_known, .. } = program.template(id);
            let callee = Callee { what: "template", name, params, known: *params_known };
            let mut scope = scope.inner();
            scope.lose(&decl.lost);
            check_arguments(&callee, &decl.with, &decl.template, &scope, diagnostics);
            nodes.check_refs(&decl.with, params, diagnostics);
        }
    }
}

fn check_node(nodes: &mut Nodes<'_>, node: &NodeDecl, outer: &Scope, pools: &[&str], diagnostics: &mut Diagnostics) {
    let (program, file) = (nodes.program, nodes.file);
    let mut scope = outer.inner();
    scope.lose(&node.work.lost);
    let variables = node.for_each.iter().flat_map(|each| std::iter::once(&each.var).chain(&each.value));
    unique(variables, "loop variable", diagnostics);
    for each in &node.for_each {
        let Expr::Var(list) = &each.list else {
            let ty = match &each.list {
                Expr::List(items, _) => check_elements(each, items, outer, diagnostics),
                _ => Ty::Poison,
            };
            scope.insert(&each.var, ty);
            each.value.iter().for_each(|value| scope.insert(value, Ty::Poison));
            continue;
        };
        let found = outer.resolve(&list.value, list.span, diagnostics);
        if let Some((ty, declared)) = found {
            check_loop(each, list, ty, declared, diagnostics);
        }
        if let (Some(value), Some((Ty::Map(inner), _))) = (&each.value, found) {
            scope.insert(value, (**inner).clone());
        } else if let Some(value) = &each.value {
            scope.insert(value, Ty::Poison);
        }
        let ty = match found {
            Some((Ty::List(inner), _)) => (**inner).clone(),
            Some((Ty::Map(_), _)) => Ty::String,
            Some((Ty::Artifact(_), declared)) => {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0406,
                        list.span,
                        format!("`{}` is an artifact, whose content is known only at run time", list.value),
                    )
                    .with_secondary(declared, "declared here")
                    .with_help("lists are literals, `let` or parameters"),
                );
                Ty::Poison
            }
            // Reported already, as poison or as not in scope.
            Some((Ty::Poison, _)) | None => Ty::Poison,
            Some((ty, declared)) => {
                diagnostics.push(
                    Diagnostic::new(Code::P0301, list.span, format!("expected a list, found `{ty}`"))
                        .with_secondary(declared, "declared here")
                        .with_help("declare it as `type=list<string>`, its elements as `-` children"),
                );
                Ty::Poison
            }
        };
        scope.insert(&each.var, ty);
    }
    let mut known = Known::new();
    for condition in &node.when {
        check_condition(condition, &nodes.group.nodes, &scope, &mut known, diagnostics);
    }
    if !node.when.is_empty() {
        let conditions = node.when.iter().map(|condition| (condition, first_path(condition).unwrap_or(node.name.span)));
        contradictions(conditions, &known, false, diagnostics);
    }
    check_work(&Place { program, file, pools }, &node.work, &scope, diagnostics);
    if let Some(recipe) = &node.recipe
        && let Some(id) = program.resolve(file, DeclKind::Recipe, recipe, diagnostics)
    {
        let decl = program.recipe(id);
        let callee = Callee { what: "recipe", name: &decl.name, params: &decl.params, known: decl.params_known };
        check_arguments(&callee, &node.with, recipe, &scope, diagnostics);
        nodes.check_refs(&node.with, &decl.params, diagnostics);
    }
    for guard in &node.guards {
        if let Some(id) = program.resolve(file, DeclKind::Gate, &guard.gate, diagnostics) {
            let decl = program.gate(id);
            let callee = Callee { what: "gate", name: &decl.name, params: &decl.params, known: decl.params_known };
            check_arguments(&callee, &guard.with, &guard.gate, &scope, diagnostics);
            nodes.check_refs(&guard.with, &decl.params, diagnostics);
            nodes.check_promises(&guard.with, id, diagnostics);
        }
    }
    if let Some(ask) = &node.work.ask {
        let params = match asked(program, file, ask) {
            Some(Asked::Capability(id)) => program.capability(id).accepts.as_slice(),
            Some(Asked::Agent(_, Some(skill))) => program.skill(skill).vars.as_slice(),
            Some(Asked::Agent(_, None)) | None => &[],
        };
        nodes.check_refs(&ask.with, params, diagnostics);
    }
    for input in &node.work.inputs {
        if let Some(Expr::Ref(text)) = &input.from {
            nodes.check_ref(text, None, diagnostics);
        }
    }
    for target in node.after.iter().map(|after| &after.target).chain(&node.rollback) {
        scope.check_text(target, diagnostics);
    }
}

/// Checks the elements that stand in the block of a loop: single values, all of one type, which is given.
fn check_elements(each: &ForEach, items: &[Expr], scope: &Scope, diagnostics: &mut Diagnostics) -> Ty {
    let name = &each.var.value;
    if let Some(value) = &each.value {
        diagnostics.push(
            Diagnostic::new(Code::P0105, value.span, "the elements of a list have no keys")
                .with_help(format!("name them only: `for-each {name} {{ - VALUE }}`")),
        );
    }
    if let Some(key) = &each.key {
        diagnostics.push(
            Diagnostic::new(Code::P0102, key.span, "`key` is said of records, and these are single values")
                .with_help("remove it: a value is its own key"),
        );
    }
    let mut all: Option<(Ty, Span)> = None;
    for (index, item) in items.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return Ty::Poison;
        }
        let Some(ty) = element_type(item, scope, diagnostics) else { return Ty::Poison };
        match &all {
            None => all = Some((ty, item.span())),
            Some((first, _)) if *first == ty || ty == Ty::Poison => {}
            Some((first, at)) if first.textual() && ty.textual() => all = Some((Ty::String, *at)),
            Some((first, at)) => {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        item.span(),
                        format!("the elements of a list are of one type: expected `{first}`, found `{ty}`"),
                    )
                    .with_secondary(*at, format!("the first is of type `{first}`"))
                    .with_help("quote what is text, or write a loop for each"),
                );
                return Ty::Poison;
            }
        }
    }
    all.map_or(Ty::Poison, |(ty, _)| ty)
}

/// The type of an element in the block of a loop. `None` if it cannot stand there, which is then reported.
fn element_type(item: &Expr, scope: &Scope, diagnostics: &mut Diagnostics) -> Option<Ty> {
    const AT_RUN_TIME: &str = "lists are literals, `let` or parameters";
    match item {
        Expr::Text(text) => {
            scope.check_text(text, diagnostics);
            Some(Ty::String)
        }
        Expr::Int(..) => Some(Ty::Int),
        Expr::Bool(..) => Some(Ty::Bool),
        Expr::Var(name) => {
            let (ty, declared) = scope.resolve(&name.value, name.span, diagnostics)?;
            let found = match ty {
                Ty::Artifact(_) => Diagnostic::new(
                    Code::P0406,
                    name.span,
                    format!("`{}` is an artifact, whose content is known only at run time", name.value),
                )
                .with_help(AT_RUN_TIME),
                ty if ty.is_compound() => Diagnostic::new(
                    Code::P0301,
                    name.span,
                    format!("an element is a single value here, and `{}` is of type `{ty}`", name.value),
                )
                .with_help(format!("to go over what it holds write `in=(var){}`", name.value)),
                ty => return Some(ty.clone()),
            };
            diagnostics.push(found.with_secondary(declared, "declared here"));
            None
        }
        Expr::Ref(text) => {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0406,
                    text.span,
                    "an output is no element: its content is known only at run time",
                )
                .with_help(AT_RUN_TIME),
            );
            None
        }
        Expr::Secret(name) => {
            diagnostics.push(leak(&name.value, name.span, "a list"));
            None
        }
        Expr::Fields(_, span) | Expr::List(_, span) => {
            diagnostics.push(
                Diagnostic::new(Code::P0301, *span, "an element is a single value here, found named values")
                    .with_help("records are of a type, which a `let` says: `for-each NAME in=(var)LIST key=FIELD`"),
            );
            None
        }
    }
}

/// Checks what a loop says of its elements: the names of keys and values of a map, and which field of a
/// record names an instance.
fn check_loop(each: &ForEach, list: &Name, ty: &Ty, declared: Span, diagnostics: &mut Diagnostics) {
    let name = &each.var.value;
    match (ty, &each.value) {
        (Ty::Map(_), None) => diagnostics.push(
            Diagnostic::new(
                Code::P0105,
                each.var.span,
                format!("`{}` is of type `{ty}`, which is looped over by keys and values", list.value),
            )
            .with_secondary(declared, "declared here")
            .with_help(format!("name both: `for-each key {name} in=(var){}`", list.value)),
        ),
        (Ty::List(_), Some(value)) => diagnostics.push(
            Diagnostic::new(Code::P0105, value.span, format!("`{}` is of type `{ty}`, which has no keys", list.value))
                .with_secondary(declared, "declared here")
                .with_help(format!("name its elements only: `for-each {name} in=(var){}`", list.value)),
        ),
        _ => {}
    }
    let record = match ty {
        Ty::List(inner) => match &**inner {
            Ty::Record(record) => Some(record),
            _ => None,
        },
        _ => None,
    };
    let scalar = |ty: &Ty| ty.textual() || matches!(ty, Ty::Int | Ty::Bool);
    let held = if let Ty::List(inner) = ty { Some(&**inner) } else { None };
    match (held, &each.key) {
        // Of maps it is known only with their values whether they have the entry.
        (Some(Ty::Map(inner)), Some(key)) => {
            if !scalar(inner) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        key.span,
                        format!("`{}` is of type `{inner}` and cannot name an instance", key.value),
                    )
                    .with_secondary(declared, "declared here")
                    .with_help("a key is a text, a number or a truth value"),
                );
            }
            return;
        }
        (Some(Ty::Map(_)), None) => {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0104,
                    list.span,
                    format!("`{}` holds maps, and an instance is named by one value", list.value),
                )
                .with_secondary(declared, "declared here")
                .with_help(format!("say which entry names it: `for-each {name} in=(var){} key=NAME`", list.value)),
            );
            return;
        }
        (Some(Ty::List(inner)), _) if !scalar(inner) && **inner != Ty::Poison => {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    list.span,
                    format!("`{}` is of type `{ty}`, and an instance is named by single values", list.value),
                )
                .with_secondary(declared, "declared here")
                .with_help("go over lists of single values, or over records with `key=FIELD`"),
            );
            return;
        }
        _ => {}
    }
    match (record, &each.key) {
        (Some(record), None) => {
            let fit = record.fields.iter().find(|field| scalar(&field.ty)).map_or("FIELD", |field| &field.name.value);
            diagnostics.push(
                Diagnostic::new(
                    Code::P0104,
                    list.span,
                    format!("`{}` holds records, and an instance is named by one value", list.value),
                )
                .with_secondary(declared, "declared here")
                .with_help(format!("say which field names it: `for-each {name} in=(var){} key={fit}`", list.value)),
            );
        }
        (Some(record), Some(key)) => match record.fields.iter().find(|field| field.name.value == key.value) {
            None => {
                let known: Vec<&str> = record.fields.iter().map(|field| field.name.value.as_str()).collect();
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0303,
                        key.span,
                        format!("record `{}` has no field `{}`", record.name, key.value),
                    )
                    .with_suggestion(did_you_mean(&key.value, known.iter().copied()))
                    .with_help(format!("it has: {}", some(&known))),
                );
            }
            Some(field) if !scalar(&field.ty) && field.ty != Ty::Poison => diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    key.span,
                    format!("`{}` is of type `{}` and cannot name an instance", key.value, field.ty),
                )
                .with_secondary(field.name.span, "declared here")
                .with_help("a key is a text, a number or a truth value"),
            ),
            Some(_) => {}
        },
        (None, Some(key)) if !matches!(ty, Ty::Poison) => diagnostics.push(
            Diagnostic::new(
                Code::P0102,
                key.span,
                format!("`key` is said of records, and `{}` is of type `{ty}`", list.value),
            )
            .with_secondary(declared, "declared here")
            .with_help("remove it: a value is its own key"),
        ),
        (None, _) => {}
    }
}

/// The diagnostic for a condition on what only a run can tell.
fn at_run_time(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code::P0404, span, format!("the condition reads {what}, which is known only at run time"))
        .with_help(
            "conditions read parameters, constants and loop variables; for what is made use a `gate` and `guard`",
        )
}

fn check_condition<'c>(
    condition: &'c Cond,
    nodes: &[NodeDecl],
    scope: &Scope,
    known: &mut Known<'c>,
    diagnostics: &mut Diagnostics,
) {
    match condition {
        Cond::All(all) | Cond::Any(all) | Cond::Not(all) => {
            for inner in all {
                check_condition(inner, nodes, scope, known, diagnostics);
            }
        }
        Cond::Triple(path, op, value) => {
            if let (Op::Matches, Some(text)) = (op, crate::lang::gate::literal(value))
                && let Err(error) = regex::Regex::new(text)
            {
                let reason =
                    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                diagnostics.push(
                    Diagnostic::new(Code::P0301, value.span(), format!("`{text}` is not a regular expression"))
                        .with_help(reason),
                );
                return;
            }
            let head = path.value.split(['.', '/']).next().unwrap_or_default();
            if path.value.contains('.') && nodes.iter().any(|node| node.name.value == head) {
                diagnostics.push(at_run_time(path.span, &format!("`{}`, an output of `{head}`", path.value)));
                return;
            }
            if let Expr::Ref(text) = value {
                diagnostics.push(at_run_time(text.span, "an output"));
                return;
            }
            let Some((ty, declared)) = scope.resolve(&path.value, path.span, diagnostics) else { return };
            if scope.is_address(&path.value) {
                diagnostics.push(misplaced_address(path.span, &path.value));
                return;
            }
            if let Ty::Artifact(_) = ty {
                diagnostics.push(
                    at_run_time(path.span, &format!("`{}`, an artifact", path.value))
                        .with_secondary(declared, "declared here"),
                );
                return;
            }
            if ty.is_compound() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        path.span,
                        format!("`{}` is of type `{ty}` and cannot be compared", path.value),
                    )
                    .with_secondary(declared, "declared here")
                    .with_help("conditions compare texts, integers and truth values"),
                );
                return;
            }
            // An enum's values are not known here; any text may be compared with it.
            let ty = if *ty == Ty::Enum { &Ty::String } else { ty };
            super::check_values(std::slice::from_ref(value), ty, &Constraints::default(), scope, None, diagnostics);
            let literal = match value {
                Expr::Int(int, _) => Some(int.to_string()),
                Expr::Bool(flag, _) => Some(flag.to_string()),
                value => crate::lang::gate::literal(value).map(str::to_owned),
            };
            if let (Some(literal), false) = (literal, *ty == Ty::Poison) {
                known.insert(path.span, vec![Test::new(path, *op, &literal, Some(ty.clone()), false)]);
            }
        }
    }
}

impl<'a> Nodes<'a> {
    /// Checks the references among arguments.
    fn check_refs(&mut self, with: &[(Name, Expr)], params: &[Param], diagnostics: &mut Diagnostics) {
        let wanted: BTreeMap<&str, &Ty> = params.iter().map(|param| (param.name.value.as_str(), &param.ty)).collect();
        for (name, value) in with {
            match (value, wanted.get(name.value.as_str()).copied()) {
                (Expr::Ref(text), wanted) => self.check_ref(text, wanted, diagnostics),
                (Expr::Text(text), Some(Ty::Name(NameKind::Node))) => self.check_node_name(text, diagnostics),
                (Expr::List(items, _), Some(Ty::List(inner))) if **inner == Ty::Name(NameKind::Node) => {
                    for item in items {
                        if let Expr::Text(text) = item {
                            self.check_node_name(text, diagnostics);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Checks what a gate asks of any JSON document against the schema of the one that it is given.
    fn check_promises(&mut self, with: &[(Name, Expr)], gate: DeclId, diagnostics: &mut Diagnostics) {
        let any = Ty::Artifact(ArtifactKind::Json);
        for param in self.program.gate(gate).params.iter().filter(|param| param.ty == any) {
            let given = with.iter().find(|(name, _)| name.value == param.name.value);
            let Some((_, Expr::Ref(text))) = given else { continue };
            let Some((node, output)) = text.as_literal().and_then(|literal| literal.split_once('.')) else { continue };
            let head = if self.by_name.contains_key(node) { node } else { node.split('/').next().unwrap_or(node) };
            let Some(node) = self.by_name.get(head).copied() else { continue };
            let Some(ty) = self.outputs_of(node).and_then(|outputs| outputs.get(output)).copied() else { continue };
            let Some(schema) = ty.schema() else { continue };
            let key = (gate, param.name.span, schema.digest);
            if !self.promises.contains_key(&key) {
                // A gate may be long, and be applied to many documents of many schemas.
                if self.promises.len() >= PROMISES {
                    return;
                }
                self.promises.insert(key, asked_of(self.program, gate, param, ty));
            }
            for found in self.promises.get(&key).into_iter().flatten() {
                let mut found = found.clone();
                found.fixes.clear();
                let asked = std::mem::replace(&mut found.primary.span, text.span);
                found.primary.text = format!("this is of type `{ty}`");
                found.secondary.retain(|label| label.span != param.name.span);
                diagnostics.push(found.with_secondary(asked, "asked for here"));
            }
        }
    }

    /// Checks the name of a node that is given as a value.
    fn check_node_name(&mut self, text: &Text, diagnostics: &mut Diagnostics) {
        let Some(literal) = text.as_literal() else { return };
        let head =
            if self.by_name.contains_key(literal) { literal } else { literal.split('/').next().unwrap_or(literal) };
        if head.contains('*') || self.aliases.contains(head) || self.by_name.contains_key(head) || self.is_above(head) {
            return;
        }
        let names: Vec<&str> = self.by_name.keys().copied().chain(self.aliases.iter().copied()).collect();
        let suggestion = did_you_mean(head, names.iter().take(COMPARED).copied());
        if self.group.nodes_known || suggestion.is_some() {
            diagnostics.push(
                Diagnostic::new(Code::P0201, text.span, format!("cannot find node `{head}`"))
                    .with_suggestion_in(literal, 0..head.len(), suggestion)
                    .with_help(format!("nodes here: {}", some(&names))),
            );
        }
    }

    /// Whether nodes have names that begin with a segment, as those of expansions do.
    fn is_above(&self, head: &str) -> bool {
        let below = format!("{head}/");
        self.by_name.range(below.as_str()..).next().is_some_and(|(name, _)| name.starts_with(&below))
    }

    /// Checks a reference whose text is known: the node and its output exist. `wanted` is the type it
    /// is given to.
    fn check_ref(&mut self, text: &Text, wanted: Option<&Ty>, diagnostics: &mut Diagnostics) {
        let Some(literal) = text.as_literal() else { return };
        let Some((path, output)) = literal.split_once('.') else {
            diagnostics.push(not_a_reference(text.span, literal));
            return;
        };
        let whole = self.by_name.contains_key(path);
        let head = if whole { path } else { path.split('/').next().unwrap_or(path) };
        let lost = self.group.lost.iter().any(|name| name.value == head);
        if head.contains('*') || self.aliases.contains(head) || (lost && !whole) {
            return;
        }
        if !self.by_name.contains_key(head) && self.is_above(head) {
            return;
        }
        if let Some(service) = self.services.iter().find(|service| service.name.value == head) {
            check_address(text, output, service, wanted, diagnostics);
            return;
        }
        let Some(node) = self.by_name.get(head).copied() else {
            if self.check_inventory(text, head, output, wanted, diagnostics) {
                return;
            }
            let names: Vec<&str> = self.group.nodes.iter().map(|node| node.name.value.as_str()).collect();
            let suggestion = did_you_mean(head, names.iter().take(COMPARED).copied());
            if self.group.nodes_known || suggestion.is_some() {
                diagnostics.push(
                    Diagnostic::new(Code::P0201, text.span, format!("cannot find node `{head}`"))
                        .with_suggestion_in(literal, 0..head.len(), suggestion)
                        .with_help(format!("nodes here: {}", some(&names))),
                );
            }
            return;
        };
        let Some(outputs) = self.outputs_of(node) else { return };
        match outputs.get(output) {
            Some(ty) => {
                if let Some(wanted) = wanted
                    && !ty.fits(wanted)
                    && matches!(wanted, Ty::Artifact(_))
                {
                    diagnostics.push(
                        Diagnostic::new(Code::P0301, text.span, format!("expected `{wanted}`, found `{ty}`"))
                            .with_secondary(node.name.span, "the node that makes it")
                            .with_help("take another output, or change the type where one of the two is declared"),
                    );
                }
            }
            None => {
                let names: Vec<&str> = outputs.keys().copied().collect();
                diagnostics.push(
                    no_output(text.span, literal, output, head, &names).with_secondary(node.name.span, "declared here"),
                );
            }
        }
    }

    /// Checks a reference to the inventory of a bundle; whether it is one.
    fn check_inventory(
        &self,
        text: &Text,
        name: &str,
        output: &str,
        wanted: Option<&Ty>,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let Some(graph) = self.graph else { return false };
        let program = self.program;
        let Some(id) = program.lookup(self.file, DeclKind::Bundle, name) else { return false };
        let bundle = program.bundle(id);
        let made = Ty::Artifact(ArtifactKind::Sbom);
        let from = program.lookup(id.file, DeclKind::Graph, &bundle.from.value).map(|id| program.graph(id));
        let foreign = from.filter(|from| !std::ptr::eq(*from, graph)).map(|from| from.group.name.value.as_str());
        if foreign.is_some() || output != INVENTORY {
            diagnostics.push(no_inventory(text.span, name, output, bundle.name.span, foreign));
        } else if let Some(wanted) = wanted
            && matches!(wanted, Ty::Artifact(_))
            && !made.fits(wanted)
        {
            diagnostics.push(
                Diagnostic::new(Code::P0301, text.span, format!("expected `{wanted}`, found `{made}`"))
                    .with_secondary(bundle.name.span, "the bundle whose inventory it is")
                    .with_help("declare the parameter as `type=artifact.sbom`"),
            );
        }
        true
    }

    /// The outputs of a node by name, with their types. `None` where some are not known before values
    /// are, or were not understood.
    fn outputs_of(&mut self, node: &'a NodeDecl) -> Option<&BTreeMap<&'a str, &'a Ty>> {
        let recipe = match &node.recipe {
            Some(recipe) => Some(self.program.lookup(self.file, DeclKind::Recipe, &recipe.value)?),
            None => None,
        };
        let complete = match recipe {
            Some(id) => self.program.recipe(id).returns_known,
            None => {
                node.work.outputs_known && node.work.outputs.iter().all(|output| output.name.as_literal().is_some())
            }
        };
        if !complete {
            return None;
        }
        let served = leaves(self.program, self.file, &node.work, None)?;
        // Nodes that apply one recipe share its outputs.
        let key = (recipe, if recipe.is_some() { "" } else { node.name.value.as_str() });
        let program = self.program;
        Some(self.outputs.entry(key).or_insert_with(|| match recipe {
            Some(id) => {
                program.recipe(id).returns.iter().map(|returns| (returns.name.value.as_str(), &returns.ty)).collect()
            }
            None => {
                let own = node.work.outputs.iter().filter_map(|output| Some((output.name.as_literal()?, &output.ty)));
                own.chain(served.iter().map(|left| (left.name.value.as_str(), left.ty))).collect()
            }
        }))
    }
}

/// Checks a reference to a service: where an artifact is wanted it cannot be, and elsewhere it
/// must name a port. What is right has been checked with the types.
fn check_address(text: &Text, port: &str, service: &ServiceDecl, wanted: Option<&Ty>, diagnostics: &mut Diagnostics) {
    let known: Vec<&str> = service.ports.iter().map(|port| port.name.value.as_str()).collect();
    let diagnostic = if wanted.is_none() {
        Diagnostic::new(
            Code::P0203,
            text.span,
            format!("`{}` is a service, but a node is needed here", service.name.value),
        )
        .with_help("a service leaves no artifacts; its address is an argument: `with url=(ref)service.port`")
    } else if known.contains(&port.trim_end_matches(".port")) || diagnostics.has_error_within(text.span) {
        return;
    } else {
        no_port(text, &service.name.value, port, &known)
    };
    diagnostics.push(diagnostic.with_secondary(service.name.span, "declared here"));
}

/// Reports templates that use each other in a cycle. Keeps its own stack: a chain of templates may be
/// as long as a file allows.
pub(super) fn check_template_cycles(program: &Program, diagnostics: &mut Diagnostics) {
    let mut done: BTreeSet<DeclId> = BTreeSet::new();
    for (index, file) in program.files.iter().enumerate() {
        for template in 0..file.decls.templates.len() {
            // Each level: a template, and which of its uses comes next.
            let mut stack = vec![(DeclId { file: FileId(index), index: template }, 0)];
            let mut open: BTreeMap<DeclId, usize> = BTreeMap::from([(stack[0].0, 0)]);
            while let Some((id, at)) = stack.last_mut() {
                let id = *id;
                let uses = &program.template(id).uses;
                if done.contains(&id) || *at >= uses.len() {
                    done.insert(id);
                    open.remove(&id);
                    stack.pop();
                    continue;
                }
                let decl = &uses[*at];
                *at += 1;
                let Some(next) = program.lookup(id.file, DeclKind::Template, &decl.template.value) else { continue };
                if let Some(from) = open.get(&next) {
                    let mut chain: Vec<&str> = stack[*from..]
                        .iter()
                        .take(6)
                        .map(|(id, _)| program.template(*id).name.value.as_str())
                        .collect();
                    if stack.len() - from > 6 {
                        chain.push("…");
                    }
                    chain.push(&program.template(next).name.value);
                    diagnostics.push(
                        Diagnostic::new(
                            Code::P0403,
                            decl.template.span,
                            format!("templates use each other in a cycle: {}", chain.join(" → ")),
                        )
                        .with_help("a template may use others, never itself: its expansion would not end"),
                    );
                } else if !done.contains(&next) {
                    open.insert(next, stack.len());
                    stack.push((next, 0));
                }
            }
        }
    }
}
