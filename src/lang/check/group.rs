//! Checks of graphs and templates: nodes, loops, arguments, references between nodes, and templates
//! that use each other. Leaves out what depends on values: see `expand`.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::lang::ast::{Cond, Expr, Group, NodeDecl};
use crate::lang::check::work::{check_segment, check_work, no_output, not_a_reference};
use crate::lang::check::{Scope, check_arguments, check_params, unique};
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::text::Text;
use crate::lang::ty::{Constraints, Ty};

pub(super) fn check_group(
    program: &Program,
    file: FileId,
    group: &Group,
    pools: &[&str],
    what: &str,
    diagnostics: &mut Diagnostics,
) {
    check_segment(&group.name, what, diagnostics);
    let constants = Scope::of_file(program, file);
    check_params(&group.params, &constants, diagnostics);
    let scope = constants.with_params(&group.params);
    for (index, node) in group.nodes.iter().enumerate() {
        unique(
            &group.nodes[..index].iter().map(|other| &other.name).collect::<Vec<_>>(),
            &node.name,
            "node",
            diagnostics,
        );
        check_segment(&node.name, "node", diagnostics);
        check_node(program, file, group, node, &scope, pools, diagnostics);
    }
    for (index, decl) in group.uses.iter().enumerate() {
        let earlier: Vec<_> =
            group.nodes.iter().map(|n| &n.name).chain(group.uses[..index].iter().map(|u| &u.alias)).collect();
        unique(&earlier, &decl.alias, "node", diagnostics);
        check_segment(&decl.alias, "node", diagnostics);
        if let Some(id) = program.resolve(file, DeclKind::Template, &decl.template, diagnostics) {
            let template = program.template(id);
            let callee = ("template", &template.name, template.params.as_slice());
            check_arguments(callee, &decl.with, &decl.template, &scope, diagnostics);
        }
    }
}

fn check_node(
    program: &Program,
    file: FileId,
    group: &Group,
    node: &NodeDecl,
    outer: &Scope,
    pools: &[&str],
    diagnostics: &mut Diagnostics,
) {
    let mut scope = outer.clone();
    for each in &node.for_each {
        let Expr::Var(list) = &each.list else { continue };
        match outer.resolve(&list.value, list.span, diagnostics) {
            Some((Ty::List(inner), _)) => scope.insert(&each.var, (**inner).clone()),
            Some((Ty::Artifact(_), declared)) => diagnostics.push(
                Diagnostic::new(
                    Code::P0406,
                    list.span,
                    format!("`{}` is an artifact, whose content is known only at run time", list.value),
                )
                .with_secondary(*declared, "declared here")
                .with_help("lists are literals, `let` or parameters"),
            ),
            Some((ty, declared)) => diagnostics.push(
                Diagnostic::new(Code::P0301, list.span, format!("expected a list, found `{ty}`"))
                    .with_secondary(*declared, "declared here"),
            ),
            // Poison: the loop's variable would be reported again at every use.
            None => scope.insert(&each.var, Ty::String),
        }
    }
    for condition in &node.when {
        check_condition(condition, &scope, diagnostics);
    }
    check_work(program, file, &node.work, &scope, pools, diagnostics);
    if let Some(recipe) = &node.recipe
        && let Some(id) = program.resolve(file, DeclKind::Recipe, recipe, diagnostics)
    {
        let decl = program.recipe(id);
        let callee = ("recipe", &decl.name, decl.params.as_slice());
        check_arguments(callee, &node.with, recipe, &scope, diagnostics);
        for (name, value) in &node.with {
            if let Expr::Ref(text) = value {
                let wanted = decl.params.iter().find(|param| param.name.value == name.value).map(|param| &param.ty);
                check_ref(program, file, group, text, wanted, diagnostics);
            }
        }
    }
    for input in &node.work.inputs {
        if let Some(Expr::Ref(text)) = &input.from {
            check_ref(program, file, group, text, None, diagnostics);
        }
    }
    for after in &node.after {
        scope.check_text(&after.target, diagnostics);
    }
}

fn check_condition(condition: &Cond, scope: &Scope, diagnostics: &mut Diagnostics) {
    match condition {
        Cond::All(all) | Cond::Any(all) | Cond::Not(all) => {
            all.iter().for_each(|inner| check_condition(inner, scope, diagnostics));
        }
        Cond::Triple(path, _, value) => {
            let Some((ty, declared)) = scope.resolve(&path.value, path.span, diagnostics) else { return };
            if let Ty::List(_) | Ty::Artifact(_) = ty {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        path.span,
                        format!("`{}` is a `{ty}` and cannot be compared", path.value),
                    )
                    .with_secondary(*declared, "declared here"),
                );
                return;
            }
            // An enum's values are not known here; any text may be compared with it.
            let ty = if *ty == Ty::Enum { &Ty::String } else { ty };
            super::check_values(std::slice::from_ref(value), ty, &Constraints::default(), scope, None, diagnostics);
        }
    }
}

/// Checks a reference whose text is known: the node and its output exist. `wanted` is the type it is
/// given to.
fn check_ref(
    program: &Program,
    file: FileId,
    group: &Group,
    text: &Text,
    wanted: Option<&Ty>,
    diagnostics: &mut Diagnostics,
) {
    let Some(literal) = text.as_literal() else { return };
    let Some((path, output)) = literal.split_once('.') else {
        diagnostics.push(not_a_reference(text.span, literal));
        return;
    };
    let head = path.split('/').next().unwrap_or(path);
    if head.contains('*') || group.uses.iter().any(|decl| decl.alias.value == head) {
        return;
    }
    let Some(node) = group.nodes.iter().find(|node| node.name.value == head) else {
        let names: Vec<&str> = group.nodes.iter().map(|node| node.name.value.as_str()).collect();
        diagnostics.push(
            Diagnostic::new(Code::P0201, text.span, format!("cannot find node `{head}`"))
                .with_suggestion_text(did_you_mean(head, names.iter().copied()))
                .with_help(format!("nodes here: {}", names.join(", "))),
        );
        return;
    };
    let outputs = node_outputs(program, file, node);
    match outputs.get(output) {
        Some(ty) => {
            if let Some(wanted) = wanted
                && !ty.fits(wanted)
                && matches!(wanted, Ty::Artifact(_))
            {
                diagnostics.push(
                    Diagnostic::new(Code::P0301, text.span, format!("expected `{wanted}`, found `{ty}`"))
                        .with_secondary(node.name.span, "the node that makes it"),
                );
            }
        }
        // Names with holes, and recipes that could not be resolved, are not known here.
        None if outputs.contains_key("") => {}
        None => {
            let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
            diagnostics
                .push(no_output(text.span, output, head, &names).with_secondary(node.name.span, "declared here"));
        }
    }
}

/// The outputs of a node by name, with their types. The empty name stands for what is not known.
fn node_outputs(program: &Program, file: FileId, node: &NodeDecl) -> BTreeMap<String, Ty> {
    let unknown = || BTreeMap::from([(String::new(), Ty::String)]);
    if let Some(recipe) = &node.recipe {
        return program.lookup(file, DeclKind::Recipe, &recipe.value).map_or_else(unknown, |id| {
            program.recipe(id).returns.iter().map(|returns| (returns.name.value.clone(), returns.ty.clone())).collect()
        });
    }
    let name = |text: &Text| text.as_literal().unwrap_or_default().to_owned();
    node.work.outputs.iter().map(|output| (name(&output.name), output.ty.clone())).collect()
}

/// Reports templates that use each other in a cycle.
pub(super) fn check_template_cycles(program: &Program, diagnostics: &mut Diagnostics) {
    fn visit(
        program: &Program,
        id: DeclId,
        stack: &mut Vec<DeclId>,
        done: &mut Vec<DeclId>,
        diagnostics: &mut Diagnostics,
    ) {
        if done.contains(&id) {
            return;
        }
        stack.push(id);
        for decl in &program.template(id).uses {
            let Some(next) = program.lookup(id.file, DeclKind::Template, &decl.template.value) else { continue };
            if let Some(from) = stack.iter().position(|other| *other == next) {
                let mut chain: Vec<&str> =
                    stack[from..].iter().map(|id| program.template(*id).name.value.as_str()).collect();
                chain.push(&program.template(next).name.value);
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0403,
                        decl.template.span,
                        format!("templates use each other in a cycle: {}", chain.join(" → ")),
                    )
                    .with_help("a template may use others, never itself: its expansion would not end"),
                );
            } else {
                visit(program, next, stack, done, diagnostics);
            }
        }
        stack.pop();
        done.push(id);
    }
    let mut done = Vec::new();
    for (index, file) in program.files.iter().enumerate() {
        for template in 0..file.decls.templates.len() {
            visit(program, DeclId { file: FileId(index), index: template }, &mut Vec::new(), &mut done, diagnostics);
        }
    }
}
