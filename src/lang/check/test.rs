//! Checks of `test` blocks: the graph is there, and the values fit its parameters. Leaves out whether
//! what they expect holds: see `lang::testing`.

use std::collections::BTreeMap;

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::lang::ast::{Expected, MockContent, Param, TestDecl};
use crate::lang::check::scope::some;
use crate::lang::check::{Scope, check_values, unique};
use crate::lang::program::{COMPARED, DeclKind, FileId, Program};

pub(super) fn check_tests(program: &Program, file: FileId, constants: &Scope, diagnostics: &mut Diagnostics) {
    let tests = &program.file(file).decls.tests;
    unique(tests.iter().map(|test| &test.name), "test", diagnostics);
    for test in tests {
        check_test(program, file, test, constants, diagnostics);
    }
}

fn check_test(program: &Program, file: FileId, test: &TestDecl, constants: &Scope, diagnostics: &mut Diagnostics) {
    let Some(id) = program.resolve(file, DeclKind::Graph, &test.graph, diagnostics) else { return };
    let group = &program.graph(id).group;
    let params: BTreeMap<&str, &Param> = group.params.iter().map(|param| (param.name.value.as_str(), param)).collect();
    unique(test.values.iter().map(|(name, _)| name), "argument", diagnostics);
    let beside = test.expects.iter().filter_map(|expect| match &expect.what {
        Expected::Diagnostic { values, .. } => Some(values),
        _ => None,
    });
    // Those of an expected diagnostic may be wrong, but not misnamed.
    let all = std::iter::once(&test.values).chain(beside).flatten();
    for (name, _) in all.filter(|(name, _)| !params.contains_key(name.value.as_str()) && group.params_known) {
        let known: Vec<&str> = params.keys().copied().take(COMPARED).collect();
        diagnostics.push(
            Diagnostic::new(
                Code::P0303,
                name.span,
                format!("graph `{}` has no parameter `{}`", group.name.value, name.value),
            )
            .with_secondary(group.name.span, "declared here")
            .with_suggestion(did_you_mean(&name.value, known.iter().copied()))
            .with_help(if known.is_empty() {
                "it takes none".to_owned()
            } else {
                format!("it takes: {}", some(&known))
            }),
        );
    }
    for (name, values) in &test.values {
        if let Some(param) = params.get(name.value.as_str()) {
            check_values(values, &param.ty, &param.constraints, constants, Some(param), diagnostics);
        }
    }
    for mock in &test.mocks {
        let kind = if mock.agent { DeclKind::Agent } else { DeclKind::Tool };
        program.resolve(file, kind, &mock.name, diagnostics);
        unique(mock.outputs.iter().map(|(name, _)| name), "output", diagnostics);
        for (_, content) in &mock.outputs {
            if let MockContent::File(name) = content
                && let Err(error) = RelPath::new(&name.value)
            {
                diagnostics.push(
                    Diagnostic::new(Code::P0507, name.span, error.to_string())
                        .with_help("recorded outputs lie in the workspace, relative to the spec"),
                );
            }
        }
    }
    let held = test.expects.iter().any(|expect| !matches!(expect.what, Expected::Diagnostic { .. }));
    for param in group.params.iter().filter(|param| param.default.is_none() && held) {
        if !test.values.iter().any(|(name, _)| name.value == param.name.value) {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0302,
                    test.graph.span,
                    format!("missing argument `{}` of graph `{}`", param.name.value, group.name.value),
                )
                .with_secondary(param.name.span, "declared here, without a default")
                .with_help(format!("add `{} …` to the block", param.name.value)),
            );
        }
    }
}
