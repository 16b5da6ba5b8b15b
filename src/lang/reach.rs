//! The lint for what a delivered graph makes for nobody. Leaves out graphs that no bundle is made of: what
//! nobody takes there is what a run leaves in its folder of outputs.
//!
//! What counts: an output in a bundle; a gate; an effect and what is volatile, which are done for what they do
//! outside; and an action without outputs, which is run to see whether it succeeds. And whatever
//! these take or come after.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ir::{BundleIr, Expansion, InputIr};

/// Reports nodes of a graph that reach nothing that counts.
pub(crate) fn check_reach(expansion: &Expansion, bundles: &[(BundleIr, Span)], diagnostics: &mut Diagnostics) {
    let Some((_, at)) = bundles.first() else { return };
    let mut useful = vec![false; expansion.actions.len()];
    let mut open: Vec<usize> = bundles.iter().flat_map(|(bundle, _)| &bundle.includes).map(|i| i.action).collect();
    for (index, action) in expansion.actions.iter().enumerate() {
        let done_for_itself = matches!(action.class.as_str(), "effect" | "volatile");
        if done_for_itself || action.outputs.is_empty() || action.gate.is_some() {
            open.push(index);
        }
    }
    let made = |input: &InputIr| match input {
        InputIr::Output { action, .. } => Some(*action),
        InputIr::Workspace { .. } => None,
    };
    open.extend(expansion.services.iter().flat_map(|service| &service.inputs).filter_map(made));
    while let Some(index) = open.pop() {
        if std::mem::replace(&mut useful[index], true) {
            continue;
        }
        let action = &expansion.actions[index];
        open.extend(action.inputs.iter().filter_map(made));
        open.extend(&action.after);
    }
    let mut said: BTreeSet<Span> = BTreeSet::new();
    for instance in &expansion.instances {
        let idle = !instance.actions.is_empty() && !instance.actions.iter().any(|action| useful[*action]);
        if idle && said.insert(instance.span) {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0503,
                    instance.span,
                    format!("nobody takes what `{}` makes: it reaches no bundle, gate or effect", instance.addr),
                )
                .with_secondary(*at, "what the graph delivers")
                .with_help("include it in the bundle, take it in another node, or remove the node"),
            );
        }
    }
}
