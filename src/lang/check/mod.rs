//! The static checks, in order: constants, tools, recipes, templates, graphs, bundles. Everything is
//! checked without parameter values, so that a mistake is found even in what is never run. Leaves out
//! what depends on values: see `expand`.

mod bundle;
mod group;
mod scope;
mod work;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::lang::ast::{Name, Param};
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::ty::Ty;

pub(crate) use scope::{Scope, check_values};
pub(crate) use work::{no_output, not_a_reference};

/// Checks every declaration of every file.
pub fn check(program: &Program, diagnostics: &mut Diagnostics) {
    for index in 0..program.files.len() {
        check_file(program, FileId(index), diagnostics);
    }
    group::check_template_cycles(program, diagnostics);
}

fn check_file(program: &Program, file: FileId, diagnostics: &mut Diagnostics) {
    let decls = &program.file(file).decls;
    if let (Some(_), false) = (&decls.workspace, program.roots.contains(&file)) {
        let span = crate::diag::Span::new(program.file(file).source, 0, 0);
        diagnostics.push(
            Diagnostic::new(Code::P0107, span, "`workspace` belongs in the root file, not in an imported one")
                .with_help("move it"),
        );
    }
    for decl in &decls.lets {
        let empty = Scope::default();
        check_values(&decl.values, &decl.ty, &crate::lang::ty::Constraints::default(), &empty, None, diagnostics);
    }
    for decl in &decls.tools {
        for name in &decl.uses {
            program.resolve(file, DeclKind::Tool, name, diagnostics);
        }
    }
    for recipe in &decls.recipes {
        work::check_recipe(program, file, recipe, diagnostics);
    }
    for template in &decls.templates {
        group::check_group(program, file, template, &[], "template", diagnostics);
    }
    for graph in &decls.graphs {
        let pools: Vec<&str> = graph.resources.iter().map(|(name, _)| name.value.as_str()).collect();
        group::check_group(program, file, &graph.group, &pools, "graph", diagnostics);
    }
    for bundle in &decls.bundles {
        bundle::check_bundle(program, file, bundle, diagnostics);
    }
}

/// Checks parameters: distinct names and defaults that satisfy their own types.
pub(crate) fn check_params(params: &[Param], scope: &Scope, diagnostics: &mut Diagnostics) {
    for (index, param) in params.iter().enumerate() {
        unique(
            &params[..index].iter().map(|other| &other.name).collect::<Vec<_>>(),
            &param.name,
            "parameter",
            diagnostics,
        );
        let Some(default) = &param.default else { continue };
        let mut found = Diagnostics::default();
        check_values(default, &param.ty, &param.constraints, scope, Some(param), &mut found);
        // The same breach, but the author of the declaration is to blame, not a caller.
        for item in found.sorted() {
            let mut item = item.clone();
            if matches!(item.code, Code::P0301 | Code::P0304 | Code::P0305 | Code::P0306) {
                item.message = format!(
                    "the default of `{}` does not satisfy its own declaration: {}",
                    param.name.value, item.message
                );
                item.code = Code::P0314;
                item.secondary.clear();
            }
            diagnostics.push(item);
        }
    }
}

/// Reports a name that an earlier one of the same kind has.
pub(crate) fn unique(earlier: &[&Name], name: &Name, what: &str, diagnostics: &mut Diagnostics) {
    if let Some(first) = earlier.iter().find(|other| other.value == name.value) {
        diagnostics.push(
            Diagnostic::new(Code::P0202, name.span, format!("{what} `{}` is defined twice", name.value))
                .with_label("defined again here")
                .with_secondary(first.span, "first defined here")
                .with_help("rename one"),
        );
    }
}

/// Checks the arguments given to parameters: unknown, missing, of the wrong type.
pub(crate) fn check_arguments(
    callee: (&str, &Name, &[Param]),
    with: &[(Name, crate::lang::ast::Expr)],
    at: &Name,
    scope: &Scope,
    diagnostics: &mut Diagnostics,
) {
    let (what, callee_name, params) = callee;
    for (index, (name, value)) in with.iter().enumerate() {
        unique(&with[..index].iter().map(|(name, _)| name).collect::<Vec<_>>(), name, "argument", diagnostics);
        let Some(param) = params.iter().find(|param| param.name.value == name.value) else {
            let known: Vec<&str> = params.iter().map(|param| param.name.value.as_str()).collect();
            diagnostics.push(
                Diagnostic::new(
                    Code::P0303,
                    name.span,
                    format!("{what} `{}` has no parameter `{}`", callee_name.value, name.value),
                )
                .with_secondary(callee_name.span, "declared here")
                .with_suggestion(crate::diag::did_you_mean(&name.value, known.iter().copied()))
                .with_help(if known.is_empty() {
                    "it takes none".to_owned()
                } else {
                    format!("it takes: {}", known.join(", "))
                }),
            );
            continue;
        };
        check_values(std::slice::from_ref(value), &param.ty, &param.constraints, scope, Some(param), diagnostics);
    }
    for param in params.iter().filter(|param| param.default.is_none()) {
        if !with.iter().any(|(name, _)| name.value == param.name.value) {
            let value = match &param.ty {
                Ty::Artifact(_) => "(ref)node.output",
                Ty::List(_) => "(var)list",
                _ => "…",
            };
            diagnostics.push(
                Diagnostic::new(
                    Code::P0302,
                    at.span,
                    format!("missing argument `{}` of {what} `{}`", param.name.value, callee_name.value),
                )
                .with_secondary(param.name.span, "declared here, without a default")
                .with_help(format!("add `with {}={value}`", param.name.value)),
            );
        }
    }
}

/// The declaration of a tool, reported when missing.
pub(crate) fn tool(program: &Program, file: FileId, name: &Name, diagnostics: &mut Diagnostics) -> Option<DeclId> {
    program.resolve(file, DeclKind::Tool, name, diagnostics)
}
