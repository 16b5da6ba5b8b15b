//! Checks of bundles that need no values. Leaves out paths with holes and patterns: see `expand`.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::BundleDecl;
use crate::lang::check::Scope;
use crate::lang::check::scope::some;
use crate::lang::check::work::{check_path, check_segment};
use crate::lang::program::{COMPARED, DeclKind, FileId, Program};
use crate::lang::shape::enough;

pub(super) fn check_bundle(
    program: &Program,
    file: FileId,
    bundle: &BundleDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    let mut name = bundle.name.clone();
    name.value = name.value.replace('.', "-");
    check_segment(&name, "bundle", diagnostics);
    if let Some(version) = &bundle.version {
        constants.check_text(version, diagnostics);
        if let Some(literal) = version.as_literal() {
            check_version(literal, version.span, diagnostics);
        }
    }
    let graph = program.resolve(file, DeclKind::Graph, &bundle.from, diagnostics);
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
        if !head.contains('*') && !names.contains(head) && (group.nodes_known || suggestion().is_some()) {
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
