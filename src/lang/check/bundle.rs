//! Checks of bundles that need no values. Leaves out paths with holes and patterns: see `expand`.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::BundleDecl;
use crate::lang::check::Scope;
use crate::lang::check::scope::some;
use crate::lang::check::work::{check_dotted, check_path};
use crate::lang::program::{COMPARED, DeclId, DeclKind, FileId, Program};
use crate::lang::shape::enough;

/// The SLSA build level from which builds must be isolated from each other.
const ISOLATED_LEVEL: u64 = 3;

pub(super) fn check_bundle(
    program: &Program,
    file: FileId,
    bundle: &BundleDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    check_dotted(&bundle.name, "bundle", diagnostics);
    if let Some(version) = &bundle.version {
        constants.check_text(version, diagnostics);
        if let Some(literal) = version.as_literal() {
            check_version(literal, version.span, diagnostics);
        }
    }
    let graph = program.resolve(file, DeclKind::Graph, &bundle.from, diagnostics);
    if let Some(graph) = graph {
        check_keys(program, graph, bundle, diagnostics);
    }
    check_level(program, bundle, diagnostics);
    let group = graph.map(|id| &program.graph(id).group);
    let known: Vec<&str> = group
        .iter()
        .flat_map(|group| group.nodes.iter().map(|n| &n.name).chain(group.uses.iter().map(|u| &u.alias)))
        .map(|name| name.value.as_str())
        .collect();
    let names: BTreeSet<&str> = known.iter().copied().collect();
    let scope = constants.of_instances();
    for (index, include) in bundle.includes.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        if let Some(to) = &include.to {
            scope.check_text(to, diagnostics);
            if let Some(literal) = to.as_literal()
                && !literal.ends_with('/')
            {
                check_archive_path(to, diagnostics);
            }
        }
        let Some(group) = group else { continue };
        let head = include.node.value.split('/').next().unwrap_or_default();
        let suggestion = || did_you_mean(head, known.iter().take(COMPARED).copied());
        let below = format!("{head}/");
        let above = names.range(below.as_str()..).next().is_some_and(|name| name.starts_with(&below));
        if !head.contains('*') && !names.contains(head) && !above && (group.nodes_known || suggestion().is_some()) {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0201,
                    include.node.span,
                    format!("cannot find node `{head}` in graph `{}`", group.name.value),
                )
                .with_suggestion_in(&include.node.value, 0..head.len(), suggestion())
                .with_secondary(group.name.span, "the graph")
                .with_help(if known.is_empty() {
                    "it has no nodes".to_owned()
                } else {
                    format!("its nodes: {}", some(&known))
                }),
            );
        }
    }
}

/// Reports keys that the tenant of the graph does not sign with.
fn check_keys(program: &Program, graph: DeclId, bundle: &BundleDecl, diagnostics: &mut Diagnostics) {
    let named = program.graph(graph).tenant.as_ref().map_or("default", |tenant| tenant.value.as_str());
    let Some(id) = program.lookup(graph.file, DeclKind::Tenant, named) else { return };
    let tenant = program.tenant(id);
    let Some(known) = &tenant.sign_keys else { return };
    for key in bundle.keys.iter().filter(|key| !known.iter().any(|known| known.value == key.value)) {
        let names: Vec<&str> = known.iter().map(|key| key.value.as_str()).collect();
        diagnostics.push(
            Diagnostic::new(
                Code::P0803,
                key.span,
                format!("key `{}` is none that tenant `{}` signs with", key.value, tenant.name.value),
            )
            .with_secondary(known.first().map_or(tenant.name.span, |key| key.span), "its keys are named here")
            .with_suggestion(did_you_mean(&key.value, names.iter().copied()))
            .with_help(format!(
                "its keys: {}; another is added there by `sign-key {}`",
                some(&names),
                key.value
            )),
        );
    }
}

/// Reports provenance that claims more isolation than the workspace requires.
fn check_level(program: &Program, bundle: &BundleDecl, diagnostics: &mut Diagnostics) {
    let Some(level) = bundle.provenance_level.as_ref().filter(|level| level.value >= ISOLATED_LEVEL) else { return };
    let mut workspaces = program.roots.iter().filter_map(|file| program.file(*file).decls.workspace.as_ref());
    let required = workspaces.find_map(|workspace| workspace.require_isolation.as_ref());
    if required.is_some_and(|required| required.value != "none") {
        return;
    }
    let diagnostic = Diagnostic::new(
        Code::P0804,
        level.span,
        format!("provenance of level {} is asked for, and nodes may run unsandboxed", level.value),
    )
    .with_help("write `require-isolation full` in the root file's `workspace`, or drop the level");
    diagnostics.push(match (required, bundle.includes.first()) {
        (Some(required), _) => diagnostic.with_secondary(required.span, "no isolation is required here"),
        (None, Some(include)) => diagnostic.with_secondary(include.node.span, "as may this one"),
        (None, None) => diagnostic,
    });
}

fn check_archive_path(to: &crate::lang::text::Text, diagnostics: &mut Diagnostics) {
    let mut found = Diagnostics::default();
    check_path(to, "a relative path such as `bin/tool`", &mut found);
    for item in found.sorted() {
        let mut item = item.clone();
        item.code = Code::P0802;
        diagnostics.push(item);
    }
}

/// Whether a text can be the version of a bundle. Reports one that cannot.
pub(crate) fn check_version(version: &str, span: Span, diagnostics: &mut Diagnostics) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    let fine = !version.is_empty() && version.chars().all(plain);
    if !fine {
        diagnostics.push(
            Diagnostic::new(
                Code::P0301,
                span,
                format!("`{version}` is not a version: letters, digits, `.`, `-`, `+` and `_` make one"),
            )
            .with_help("it becomes part of a file name: `version=\"1.2.3\"`"),
        );
    }
    fine
}
