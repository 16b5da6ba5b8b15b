//! The lint for graphs that publish or deliver, and have nothing judge what they do. Leaves out automatic work, which
//! must have a gate: see `expand::policy`; and bundles that do not say how far they have come, as the first ones do.

use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ir::{BundleIr, Expansion};
use crate::lang::program::Program;

/// Reports a graph without a gate that changes something outside, or of which a bundle with a level is made.
pub(crate) fn check_judged(
    program: &Program,
    expansion: &Expansion,
    bundles: &[(BundleIr, Span)],
    diagnostics: &mut Diagnostics,
) {
    if expansion.actions.iter().any(|action| action.gate.is_some()) {
        return;
    }
    let group = &program.graph(expansion.decl).group;
    let publishes = |instance: &&crate::lang::ir::InstanceIr| {
        instance.actions.iter().any(|at| expansion.actions[*at].class == "effect")
    };
    let effect = expansion.instances.iter().find(publishes);
    let leveled = bundles.iter().find(|(bundle, _)| bundle.level.is_some_and(|level| level > 0));
    let graph = &group.name.value;
    let found = match (effect, leveled) {
        (Some(instance), leveled) => {
            // What a template of another file does is the graph's to judge.
            let at = if group.span.covers(instance.span) { instance.span } else { group.name.span };
            let found = Diagnostic::new(
                Code::P0707,
                at,
                format!(
                    "`{}` changes something outside, and no gate of graph `{graph}` has a say in it",
                    instance.addr
                ),
            );
            let found = if at == instance.span { found } else { found.with_secondary(instance.span, "the effect") };
            match leveled {
                Some((_, span)) => found.with_secondary(*span, "nor in what is delivered"),
                None => found,
            }
            .with_help("declare what must hold, `gate NAME kind=…`, and add `guard NAME` to the node")
            .with_help("or let a person start it: `automation=assist`")
        }
        (None, Some((bundle, span))) => Diagnostic::new(
            Code::P0707,
            *span,
            format!(
                "bundle `{}` says that it has come to level {}, and graph `{graph}` has no gate that would say so",
                bundle.name,
                bundle.level.unwrap_or_default()
            ),
        )
        .with_secondary(group.name.span, "the graph")
        .with_help("declare what must hold, `gate NAME kind=…`, and add `guard NAME` to a node of the graph"),
        (None, None) => return,
    };
    diagnostics.push(found.with_help("if there is nothing to judge say so: `allow P0707 reason=\"…\"`"));
}
