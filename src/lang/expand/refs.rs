//! References and patterns of addresses, once all instances are known. Leaves out what is done with
//! what they name.

use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Span, did_you_mean};
use crate::lang::check::{no_output, not_a_reference};
use crate::lang::eval::address_matches;
use crate::lang::expand::sbom::Inventory;
use crate::lang::expand::{COMPARISONS, Expander};
use crate::lang::program::COMPARED;
use crate::lang::shape::may_be_shown;

/// Answers to patterns that are remembered at a time.
const REMEMBERED: usize = 1_000;

/// An output that a reference names: the instance, and the action and output behind it.
pub(super) struct Target {
    pub(super) instance: usize,
    pub(super) action: usize,
    pub(super) output: String,
}

impl Expander<'_, '_> {
    /// Instances at an address or pattern relative to a group: one instance, all of a node, or all
    /// that match. Empty if there is none.
    pub(super) fn instances_at(&mut self, placed: usize, path: &str, span: Span) -> Arc<[usize]> {
        let full = format!("{}/{path}", self.placed[placed].prefix);
        if let (Some(index), false) = (self.by_addr.get(&full), path.contains('*')) {
            return Arc::new([*index]);
        }
        // Instances of one node mostly ask for the same.
        if let Some(known) = self.matched.get(&full) {
            return Arc::clone(known);
        }
        let found: Arc<[usize]> = if path.contains('*') {
            let literal = full.split('*').next().unwrap_or_default();
            // `a/**` also matches `a` itself, which sorts before `a/`.
            let from = literal.trim_end_matches('/').to_owned();
            let candidates = self.by_addr.range(from.clone()..).take_while(|(addr, _)| addr.starts_with(&from));
            let candidates = candidates.take(COMPARISONS.saturating_sub(self.compared));
            candidates
                .inspect(|_| self.compared += 1)
                .filter(|(addr, index)| address_matches(&full, addr) && !self.instances[**index].ir.takes_back)
                .map(|(_, index)| *index)
                .collect()
        } else {
            self.by_node.get(&full).map_or(&[][..], Vec::as_slice).into()
        };
        if self.compared >= COMPARISONS {
            self.too_large(
                span,
                format!("patterns are compared with more than {COMPARISONS} addresses"),
                "reached here",
            );
        }
        if self.matched.len() >= REMEMBERED {
            self.matched.clear();
        }
        self.matched.insert(full, Arc::clone(&found));
        found
    }

    /// What a reference names. Reports one that names nothing, unless that is fine for a node that
    /// is declared.
    pub(super) fn targets(&mut self, text: &str, placed: usize, span: Span, optional: bool) -> Option<Vec<Target>> {
        let Some((path, output)) = text.split_once('.') else {
            self.diagnostics.push(not_a_reference(span, text));
            return None;
        };
        let mut found = self.instances_at(placed, path, span);
        if found.is_empty() && placed == 0 {
            match self.inventory(path, span) {
                Inventory::None => {}
                Inventory::Broken => return None,
                Inventory::Made(instance) => found = Arc::new([instance]),
            }
        }
        if found.is_empty() {
            if optional && (path.contains('*') || self.declared(path, placed).is_some()) {
                return Some(Vec::new());
            }
            if !self.is_lost(path, placed) {
                self.no_node(path, placed, span, Code::P0201);
            }
            return None;
        }
        let mut targets = Vec::with_capacity(found.len());
        for instance in found.iter().copied() {
            match self.instances[instance].ir.outputs.get(output) {
                Some(action) => targets.push(Target { instance, action, output: output.to_owned() }),
                None => {
                    let ir = &self.instances[instance].ir;
                    let names: Vec<&str> = ir.outputs.names().collect();
                    let diagnostic =
                        no_output(span, output, output, path, &names).with_secondary(ir.span, "declared here");
                    self.diagnostics.push(diagnostic);
                    return None;
                }
            }
        }
        Some(targets)
    }

    /// Whether a path may name a node that was not understood.
    pub(super) fn is_lost(&self, path: &str, placed: usize) -> bool {
        let lost = &self.placed[placed].group.lost;
        let head = path.split('/').next().unwrap_or(path);
        !lost.is_empty() && (head.contains('*') || lost.iter().any(|name| name.value == head))
    }

    /// The node of a group that a path names, whether or not it has instances.
    pub(super) fn declared(&self, path: &str, placed: usize) -> Option<Span> {
        let name = path.split('/').next().unwrap_or(path);
        self.placed[placed].group.nodes.iter().find(|node| node.name.value == name).map(|node| node.name.span)
    }

    /// Reports an address that names no node.
    pub(super) fn no_node(&mut self, path: &str, placed: usize, span: Span, code: Code) {
        if self.diagnostics.has_error_within(span) {
            // Every instance of a node makes the same mistake.
            return;
        }
        let prefix = format!("{}/", self.placed[placed].prefix);
        let below = |addr: &String| addr.strip_prefix(&prefix).map(str::to_owned);
        let nodes = self.by_node.range(prefix.clone()..).map(|(addr, _)| addr).map_while(below);
        let addrs = self.by_addr.range(prefix.clone()..).map(|(addr, _)| addr).map_while(below);
        let compared = if may_be_shown(self.diagnostics) { COMPARED } else { 0 };
        let known: Vec<String> = nodes.take(compared).chain(addrs.take(compared)).collect();
        // A node that was declared but has no instance is another mistake than a wrong name.
        let declared = if path.contains('/') { None } else { self.declared(path, placed) };
        let diagnostic = match (code, declared) {
            (_, Some(name)) => Diagnostic::new(code, span, format!("node `{path}` has no instances here"))
                .with_secondary(name, "its `for-each` is empty, or its condition never holds")
                .with_help("add `optional=#true` if that is intended"),
            (Code::P0502, None) => Diagnostic::new(code, span, format!("`{path}` matches no node")),
            (_, None) => Diagnostic::new(code, span, format!("cannot find node `{path}`")),
        };
        let mut shown: Vec<&str> = known.iter().map(String::as_str).collect();
        shown.sort_unstable();
        shown.dedup();
        shown.truncate(8);
        // A pattern is not the misspelling of one name, nor is a name that is declared.
        let suggestion =
            did_you_mean(path, known.iter().map(String::as_str)).filter(|_| !path.contains('*') && declared.is_none());
        let diagnostic = diagnostic.with_suggestion_in(path, 0..path.len(), suggestion);
        self.diagnostics.push(if shown.is_empty() {
            diagnostic
        } else {
            diagnostic.with_help(format!("nodes here: {}", shown.join(", ")))
        });
    }
}
