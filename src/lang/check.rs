//! The static checks, in order: constants, tools, who serves what, recipes, templates, graphs, bundles. Everything is
//! checked without parameter values, so that a mistake is found even in what is never run. Leaves out
//! what depends on values: see `expand`.

mod bundle;
mod contradict;
mod domain;
mod gate;
mod group;
mod promise;
mod rollback;
mod scope;
mod service;
mod supplier;
mod test;
mod unused;
mod value;
mod work;

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::lang::ast::{Expr, Name, Param, UNNAMED};
use crate::lang::parallel::in_turn;
use crate::lang::program::{COMPARED, DeclId, DeclKind, FileId, Program, ProgramFile};
use crate::lang::shape::enough;
use crate::lang::ty::{Constraints, Ty};

pub(crate) use bundle::check_version;
pub(crate) use domain::{Asked, asked, holds, leaves, lookup_candidate, skill_of};
pub(crate) use promise::names_in;
pub(crate) use rollback::{deploys, itself, no_effect, one_node};
pub(crate) use scope::{Scope, some};
pub(crate) use service::misplaced_address;
pub(crate) use supplier::check_suppliers;
pub(crate) use unused::check_unused;
pub(crate) use value::check_values;
pub(crate) use work::{check_overlap, no_output, not_a_reference};

/// Checks every declaration of every file.
pub(crate) fn check(program: &Program, diagnostics: &mut Diagnostics) {
    if diagnostics.is_empty() {
        // Nothing that was found before tells a file what to leave alone: each is checked for itself.
        for found in check_files(program) {
            if enough(diagnostics) {
                return;
            }
            diagnostics.extend(found);
        }
    } else {
        for index in 0..program.files.len() {
            if enough(diagnostics) {
                return;
            }
            check_file(program, FileId(index), diagnostics);
        }
    }
    group::check_template_cycles(program, diagnostics);
}

/// Declarations of a program from which on several threads are faster than one.
const PARALLEL: usize = 500;

/// What is found in each file alone, in order.
fn check_files(program: &Program) -> Vec<Diagnostics> {
    let size = |file: &ProgramFile| {
        let groups = file.decls.templates.iter().chain(file.decls.graphs.iter().map(|graph| &graph.group));
        file.decls.recipes.len() + groups.map(|group| group.nodes.len()).sum::<usize>()
    };
    let is_large = program.files.iter().map(size).sum::<usize>() >= PARALLEL;
    in_turn(program.files.len(), is_large, &|index| {
        let mut found = Diagnostics::default();
        check_file(program, FileId(index), &mut found);
        found
    })
}

/// Levels of isolation, strongest first.
const ISOLATIONS: &[&str] = &["full", "landlock", "none"];

fn check_file(program: &Program, file: FileId, diagnostics: &mut Diagnostics) {
    let decls = &program.file(file).decls;
    // A package is a workspace of its own; as a package it has no say in these.
    let is_root = program.roots.contains(&file) || program.file(file).package.is_some();
    for grant in decls.grants.iter().filter(|_| !is_root) {
        diagnostics.push(
            Diagnostic::new(
                Code::P0107,
                grant.package.span,
                "`grant` belongs in the root file, not in an imported one",
            )
            .with_help("only the owner of a workspace says what packages may do in it"),
        );
    }
    if let (Some(span), false) = (decls.workspace.as_ref().and_then(|workspace| workspace.span), is_root) {
        diagnostics.push(
            Diagnostic::new(Code::P0107, span, "`workspace` belongs in the root file, not in an imported one")
                .with_help("move it to the root file, or remove it"),
        );
    }
    let names = Scope::names_of(program, file);
    for record in &decls.records {
        unique(record.fields.iter().map(|field| &field.name), "field", diagnostics);
        check_defaults(&record.fields, &names, diagnostics);
    }
    if let Some(level) = decls.workspace.as_ref().and_then(|workspace| workspace.require_isolation.as_ref())
        && !ISOLATIONS.contains(&level.value.as_str())
    {
        diagnostics.push(
            Diagnostic::new(Code::P0305, level.span, format!("`{}` is not a level of isolation", level.value))
                .with_suggestion(did_you_mean(&level.value, ISOLATIONS.iter().copied()))
                .with_help(format!("levels: {}", ISOLATIONS.join(", "))),
        );
    }
    for decl in &decls.lets {
        check_values(&decl.values, &decl.ty, &Constraints::default(), &names, None, diagnostics);
    }
    for decl in &decls.tools {
        if decl.exec.value.contains('/') && !decl.exec.value.starts_with('/') && program.is_outside(file) {
            diagnostics.push(
                Diagnostic::new(Code::P0205, decl.exec.span, format!("`{}` is not in the workspace", decl.exec.value))
                    .with_label("a file of a package that is not part of the workspace")
                    .with_help("make it part of the workspace: `partita vendor`"),
            );
        }
        for name in &decl.uses {
            program.resolve(file, DeclKind::Tool, name, diagnostics);
        }
    }
    let constants = Scope::of_file(program, file);
    domain::check_domain(program, file, &constants, diagnostics);
    for recipe in &decls.recipes {
        work::check_recipe(program, file, recipe, &constants, diagnostics);
    }
    for people in &decls.people {
        gate::check_people(people, diagnostics);
    }
    for decl in &decls.gates {
        gate::check_gate(program, file, decl, &constants, diagnostics);
    }
    for template in &decls.templates {
        group::check_group(program, file, template, &constants, None, diagnostics);
    }
    for graph in &decls.graphs {
        group::check_graph(program, file, graph, &constants, diagnostics);
    }
    for bundle in &decls.bundles {
        bundle::check_bundle(program, file, bundle, &constants, diagnostics);
    }
    test::check_tests(program, file, &constants, diagnostics);
}

/// Checks parameters: distinct names and defaults that satisfy their own types.
pub(crate) fn check_params(params: &[Param], scope: &Scope, diagnostics: &mut Diagnostics) {
    unique(params.iter().map(|param| &param.name), "parameter", diagnostics);
    check_defaults(params, scope, diagnostics);
}

fn check_defaults(params: &[Param], scope: &Scope, diagnostics: &mut Diagnostics) {
    for param in params {
        let Some(default) = &param.default else { continue };
        let mut found = Diagnostics::default();
        check_values(default, &param.ty, &param.constraints, scope, Some(param), &mut found);
        // The same breach, but the author of the declaration is to blame, not a caller.
        for item in found.sorted() {
            let mut item = item.clone();
            if matches!(item.code, Code::P0301 | Code::P0304 | Code::P0305 | Code::P0306 | Code::P0307) {
                item.message = format!(
                    "the default of `{}` does not satisfy its own declaration: {}",
                    param.name.value, item.message
                );
                item.code = Code::P0314;
                if param.ty.is_compound() && item.help.iter().any(|help| help.contains("`with {")) {
                    item.help = vec![format!("write it in a block: `default {}`", value::block(&param.ty))];
                }
                item.secondary.retain(|label| label.span != param.name.span);
            }
            diagnostics.push(item);
        }
    }
}

/// Reports names that an earlier one of the same kind has.
pub(crate) fn unique<'a>(names: impl IntoIterator<Item = &'a Name>, what: &str, diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, &Name> = BTreeMap::new();
    for name in names {
        let first = *seen.entry(&name.value).or_insert(name);
        if first.span != name.span {
            diagnostics.push(
                Diagnostic::new(Code::P0202, name.span, format!("{what} `{}` is defined twice", name.value))
                    .with_label("defined again here")
                    .with_secondary(first.span, "first defined here")
                    .with_help(if matches!(what, "argument" | "variable") { "keep one" } else { "rename one" }),
            );
        }
    }
}

/// What arguments are given to.
pub(crate) struct Callee<'a> {
    /// `recipe`, `template` or `gate`.
    pub(crate) what: &'static str,
    pub(crate) name: &'a Name,
    pub(crate) params: &'a [Param],
    /// Whether these are all its parameters.
    pub(crate) known: bool,
}

/// Missing arguments that are named in a message.
const NAMED: usize = 8;

/// Unknown arguments that are compared with missing ones.
const MISSPELT: usize = 16;

/// Checks the arguments given to parameters: unknown, missing, of the wrong type.
pub(crate) fn check_arguments(
    callee: &Callee<'_>,
    with: &[(Name, Expr)],
    at: &Name,
    scope: &Scope,
    diagnostics: &mut Diagnostics,
) {
    let Callee { what, name: callee_name, params, known: all_known } = callee;
    unique(with.iter().map(|(name, _)| name), "argument", diagnostics);
    let by_name: BTreeMap<&str, &Param> = params.iter().rev().map(|param| (param.name.value.as_str(), param)).collect();
    let mut given: BTreeMap<&str, Option<&Param>> = BTreeMap::new();
    let mut unnamed = false;
    for (index, (name, value)) in with.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        if name.value == UNNAMED {
            unnamed = true;
            continue;
        }
        let param = by_name.get(name.value.as_str()).copied();
        given.insert(&name.value, param);
        match param {
            Some(param) => {
                let broken = matches!(value, Expr::Text(text) if text.is_broken());
                if let (true, Expr::Text(_) | Expr::Int(..) | Expr::Bool(..)) =
                    (param.ty.is_compound() && !broken, value)
                {
                    diagnostics.push(
                        Diagnostic::new(Code::P0301, value.span(), format!("expected `{}`, found one value", param.ty))
                            .with_label("given here")
                            .with_secondary(param.name.span, "the parameter is declared here")
                            .with_help(match *what {
                                // A guard has no block.
                                "gate" => format!("name one, as `{}=(var)NAME`", param.name.value),
                                _ => value::given_in_block(param),
                            }),
                    );
                    continue;
                }
                check_values(
                    std::slice::from_ref(value),
                    &param.ty,
                    &param.constraints,
                    scope,
                    Some(param),
                    diagnostics,
                );
            }
            None => {
                let known: Vec<&str> = params.iter().take(COMPARED).map(|param| param.name.value.as_str()).collect();
                let suggestion = did_you_mean(&name.value, known.iter().copied());
                if *all_known || suggestion.is_some() {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::P0303,
                            name.span,
                            format!("{what} `{}` has no parameter `{}`", callee_name.value, name.value),
                        )
                        .with_secondary(callee_name.span, "declared here")
                        .with_suggestion(suggestion)
                        .with_help(if known.is_empty() {
                            "it takes none".to_owned()
                        } else {
                            format!("it takes: {}", some(&known))
                        }),
                    );
                }
                // What is given must still make sense.
                check_values(
                    std::slice::from_ref(value),
                    &Ty::Poison,
                    &Constraints::default(),
                    scope,
                    None,
                    diagnostics,
                );
            }
        }
    }
    if unnamed {
        // Which parameter it is for is not known, and has been asked.
        return;
    }
    // A misspelt name is one mistake: the parameter it was meant for is not missing as well.
    let mut missing: Vec<&Param> = Vec::new();
    let misspelt: Vec<&str> = given.iter().filter(|(_, param)| param.is_none()).map(|(name, _)| *name).collect();
    for param in params.iter().filter(|param| param.default.is_none()) {
        let meant =
            misspelt.iter().take(MISSPELT).any(|name| did_you_mean(name, [param.name.value.as_str()]).is_some());
        let lost = scope.is_lost(&param.name.value);
        if !given.contains_key(param.name.value.as_str()) && *all_known && !meant && !lost {
            missing.push(param);
        }
    }
    if missing.is_empty() {
        return;
    }
    let names: Vec<String> = missing.iter().take(NAMED).map(|param| format!("`{}`", param.name.value)).collect();
    let more = if missing.len() > NAMED { ", …" } else { "" };
    let list = names.join(", ") + more;
    let message = format!(
        "missing argument{} {list} of {what} `{}`",
        if missing.len() == 1 { "" } else { "s" },
        callee_name.value
    );
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let mut diagnostic = Diagnostic::new(Code::P0302, at.span, message).with_label(format!("{list} {verb} not given"));
    let (mut given, mut blocks) = (Vec::new(), Vec::new());
    for param in missing.iter().take(NAMED) {
        diagnostic = diagnostic.with_secondary(param.name.span, "declared here, without a default");
        let value = match &param.ty {
            Ty::Artifact(_) => "(ref)node.output",
            ty if ty.is_compound() && *what != "gate" => {
                blocks.push(format!("{} {}", param.name.value, value::block(ty)));
                continue;
            }
            ty if ty.is_compound() => "(var)NAME",
            _ => "…",
        };
        given.push(format!("{}={value}", param.name.value));
    }
    if !blocks.is_empty() {
        given.push(format!("{{ {} }}", blocks.join("; ")));
    }
    let given = given.join(" ");
    diagnostics.push(diagnostic.with_help(match *what {
        "gate" => format!("add `{given}` to the guard"),
        _ => format!("add `with {given}`"),
    }));
}

/// The declaration of a tool, reported when missing.
pub(crate) fn tool(program: &Program, file: FileId, name: &Name, diagnostics: &mut Diagnostics) -> Option<DeclId> {
    program.resolve(file, DeclKind::Tool, name, diagnostics)
}
