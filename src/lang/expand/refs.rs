//! References and patterns of addresses, once all instances are known. Leaves out what is done with
//! what they name.

use crate::diag::{Code, Diagnostic, Span, did_you_mean};
use crate::lang::check::{no_output, not_a_reference};
use crate::lang::eval::address_matches;
use crate::lang::expand::Expander;

/// An output that a reference names: the instance, and the action and output behind it.
pub(super) struct Target {
    pub(super) instance: usize,
    pub(super) action: usize,
    pub(super) output: String,
}

impl Expander<'_, '_> {
    /// Instances at an address or pattern relative to a group: one instance, all of a node, or all
    /// that match. Empty if there is none.
    pub(super) fn instances_at(&self, placed: usize, path: &str) -> Vec<usize> {
        let full = format!("{}/{path}", self.placed[placed].prefix);
        if !path.contains('*') {
            if let Some(index) = self.by_addr.get(&full) {
                return vec![*index];
            }
            return self.by_node.get(&full).cloned().unwrap_or_default();
        }
        let literal = full.split('*').next().unwrap_or_default();
        // `a/**` also matches `a` itself, which sorts before `a/`.
        let from = literal.trim_end_matches('/').to_owned();
        self.by_addr
            .range(from.clone()..)
            .take_while(|(addr, _)| addr.starts_with(&from))
            .filter(|(addr, _)| address_matches(&full, addr))
            .map(|(_, index)| *index)
            .collect()
    }

    /// What a reference names. Reports one that names nothing.
    pub(super) fn targets(&mut self, text: &str, placed: usize, span: Span) -> Vec<Target> {
        let Some((path, output)) = text.split_once('.') else {
            self.diagnostics.push(not_a_reference(span, text));
            return Vec::new();
        };
        let found = self.instances_at(placed, path);
        if found.is_empty() {
            self.no_node(path, placed, span, Code::P0201);
            return Vec::new();
        }
        let mut targets = Vec::with_capacity(found.len());
        for instance in found {
            match self.instances[instance].ir.outputs.get(output) {
                Some((action, output)) => targets.push(Target { instance, action: *action, output: output.clone() }),
                None => {
                    let ir = &self.instances[instance].ir;
                    let names: Vec<&str> = ir.outputs.keys().map(String::as_str).collect();
                    let diagnostic = no_output(span, output, path, &names).with_secondary(ir.span, "declared here");
                    self.diagnostics.push(diagnostic);
                    return Vec::new();
                }
            }
        }
        targets
    }

    /// Reports an address that names no node.
    pub(super) fn no_node(&mut self, path: &str, placed: usize, span: Span, code: Code) {
        let prefix = format!("{}/", self.placed[placed].prefix);
        let known: Vec<&str> =
            self.by_node.keys().chain(self.by_addr.keys()).filter_map(|addr| addr.strip_prefix(&prefix)).collect();
        // A node that was declared but has no instance is another mistake than a wrong name.
        let declared = self.placed[placed].group.nodes.iter().find(|node| node.name.value == path);
        let diagnostic = match (code, declared) {
            (_, Some(node)) => Diagnostic::new(code, span, format!("node `{path}` has no instances here"))
                .with_secondary(node.name.span, "its `for-each` is empty, or its condition never holds"),
            (Code::P0502, None) => Diagnostic::new(code, span, format!("`{path}` matches no node")),
            (_, None) => Diagnostic::new(code, span, format!("cannot find node `{path}`")),
        };
        let mut shown: Vec<&str> = known.clone();
        shown.dedup();
        shown.truncate(8);
        let diagnostic = diagnostic.with_suggestion_text(did_you_mean(path, known.iter().copied()));
        self.diagnostics.push(if shown.is_empty() {
            diagnostic
        } else {
            diagnostic.with_help(format!("nodes here: {}", shown.join(", ")))
        });
    }
}
