//! The includes of a bundle, resolved against an expansion. Leaves out contents.

use std::collections::BTreeMap;

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::BundleDecl;
use crate::lang::check::{check_version, no_output};
use crate::lang::eval::{Env, Evaluator, address_matches};
use crate::lang::expand::rollback::no_part;
use crate::lang::expand::{COMPARISONS, constants};
use crate::lang::ir::{BundleIr, Expansion, IncludeIr, InstanceIr, OutputIr};
use crate::lang::program::{DeclId, Program};

/// Resolves what goes into a bundle. `None` if something is wrong, which has then been reported.
pub fn expand_bundle(
    program: &Program,
    id: DeclId,
    expansion: &Expansion,
    diagnostics: &mut Diagnostics,
) -> Option<BundleIr> {
    let decl = program.bundle(id);
    let env = constants(program, id.file, diagnostics);
    let instances: Vec<&InstanceIr> = expansion.instances.iter().collect();
    let outputs = |action: usize| expansion.actions[action].outputs.as_slice();
    let nodes = Nodes { graph: &expansion.graph, instances: &instances, outputs: &outputs };
    let includes = includes(decl, &env, &nodes, diagnostics);
    let version = version(decl, &env, diagnostics);
    let mut keys: Vec<String> = Vec::new();
    for key in &decl.keys {
        if !keys.contains(&key.value) {
            keys.push(key.value.clone());
        }
    }
    Some(BundleIr {
        name: decl.name.value.clone(),
        graph: expansion.graph.clone(),
        version: version?,
        includes: includes?,
        excludes: decl.excludes.iter().map(|pattern| pattern.value.clone()).collect(),
        level: decl.level,
        cyclonedx: decl.cyclonedx.clone(),
        keys,
    })
}

/// What a bundle may be made from.
pub(super) struct Nodes<'a, 'o> {
    /// The name of the graph.
    pub(super) graph: &'a str,
    /// Its instances, sorted by address.
    pub(super) instances: &'a [&'a InstanceIr],
    /// The outputs of an action.
    pub(super) outputs: &'a dyn Fn(usize) -> &'o [OutputIr],
}

/// The version of a bundle.
pub(super) fn version(decl: &BundleDecl, env: &Env, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(text) = &decl.version else { return Some("0.0.0".to_owned()) };
    let version = Evaluator::new(env, 0).text(text, diagnostics)?;
    check_version(&version, text.span, diagnostics).then_some(version)
}

/// What goes into a bundle, sorted by its paths. `None` if something is wrong, which has been reported.
pub(super) fn includes(
    decl: &BundleDecl,
    env: &Env,
    nodes: &Nodes<'_, '_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<IncludeIr>> {
    let mut compared = 0;
    let mut includes = Vec::new();
    let mut taken: BTreeMap<RelPath, Span> = BTreeMap::new();
    let mut fine = true;
    for include in &decl.includes {
        let pattern = format!("{}/{}", nodes.graph, include.node.value);
        let literal = pattern.split('*').next().unwrap_or_default().trim_end_matches('/');
        let from = nodes.instances.partition_point(|instance| instance.addr.as_str() < literal);
        let near = nodes.instances[from..].iter().copied().take_while(|instance| instance.addr.starts_with(literal));
        // The inventory of a bundle is no node.
        let near: Vec<&InstanceIr> = near.filter(|instance| instance.bundle.is_none()).collect();
        compared += near.len();
        if compared > COMPARISONS {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0405,
                    include.node.span,
                    format!("patterns are compared with more than {COMPARISONS} addresses"),
                )
                .with_help("name fewer nodes in more general patterns"),
            );
            return None;
        }
        let whole = !include.node.value.contains('*');
        let matched = near.into_iter().filter(|instance| {
            address_matches(&pattern, &instance.addr) && (whole || !instance.takes_back)
                || whole && !instance.keys.is_empty() && node_of(instance) == pattern
        });
        let matched: Vec<&InstanceIr> = matched.collect();
        if let Some(rollback) = matched.iter().find(|instance| instance.takes_back) {
            diagnostics.push(no_part(include.node.span, &rollback.addr, rollback.span));
            fine = false;
            continue;
        }
        if matched.is_empty() {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0502,
                    include.node.span,
                    format!("`{}` matches no node of graph `{}`", include.node.value, nodes.graph),
                )
                .with_help("`*` stands for one segment of an address, `**` for any number"),
            );
            fine = false;
        }
        for instance in matched {
            let names: Vec<&str> = instance.outputs.names().collect();
            let span = include.output.as_ref().map_or(include.span, |name| name.span);
            let output = match (&include.output, names.as_slice()) {
                (Some(name), _) => name.value.clone(),
                (None, [only]) => (*only).to_owned(),
                (None, _) => {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::P0104,
                            span,
                            format!("`{}` has {} outputs: say which", instance.addr, names.len()),
                        )
                        .with_help(format!("add `output=NAME`, one of: {}", names.join(", "))),
                    );
                    fine = false;
                    continue;
                }
            };
            let Some(action) = instance.outputs.get(&output) else {
                diagnostics.push(
                    no_output(span, &output, &output, &include.node.value, &names)
                        .with_secondary(instance.span, "declared here"),
                );
                fine = false;
                continue;
            };
            let Some(ir) = (nodes.outputs)(action).iter().find(|ir| ir.name == output) else { continue };
            let text = match &include.to {
                Some(to) => {
                    let evaluator = Evaluator { instance: Some(&instance.keys), ..Evaluator::new(env, 0) };
                    match evaluator.text(to, diagnostics) {
                        // A place that ends in `/` is a folder; the output keeps its name in it.
                        Some(text) if text.ends_with('/') && !ir.dir => format!("{text}{}", ir.path.name()),
                        Some(text) => text,
                        None => {
                            fine = false;
                            continue;
                        }
                    }
                }
                None => ir.path.as_str().to_owned(),
            };
            let to = match RelPath::new(&text) {
                Ok(to) => to,
                Err(error) => {
                    let span = include.to.as_ref().map_or(include.span, |to| to.span);
                    diagnostics.push(
                        Diagnostic::new(Code::P0802, span, error.to_string())
                            .with_help("write a relative path such as `bin/tool`"),
                    );
                    fine = false;
                    continue;
                }
            };
            if let Some(first) = taken.insert(to.clone(), include.span) {
                let diagnostic =
                    Diagnostic::new(Code::P0801, include.span, format!("the bundle holds two files at `{to}`"));
                diagnostics.push(if first == include.span {
                    diagnostic
                        .with_label("several instances are taken here")
                        .with_help("give each its own place, as `to=\"obj/{{ node.file }}.o\"`")
                } else {
                    diagnostic
                        .with_label("this one")
                        .with_secondary(first, "the other")
                        .with_help("give one another place by `to=`")
                });
                fine = false;
            }
            includes.push(IncludeIr {
                to,
                action,
                output: ir.name.clone(),
                dir: ir.dir,
                role: include.role.as_ref().map(|name| name.value.clone()),
                span: include.span,
            });
        }
    }
    includes.sort_by(|a, b| a.to.cmp(&b.to));
    fine.then_some(includes)
}

/// The address of the node an instance is of: without its keys.
fn node_of(instance: &InstanceIr) -> String {
    let mut addr = instance.addr.as_str();
    for _ in &instance.keys {
        addr = addr.rsplit_once('/').map_or(addr, |(head, _)| head);
    }
    addr.to_owned()
}
