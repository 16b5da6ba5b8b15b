//! `allow CODE reason="…"` in specs: which warnings are not said in which part of a file, and the lint
//! for one that keeps nothing unsaid. Leaves out levels asked for at the command line, which come
//! after.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::diag::{
    Applicability, Code, Diagnostic, Diagnostics, Edit, Fix, LevelError, Severity, SourceId, Span, warning_named,
};
use crate::lang::program::Program;
use crate::lang::{Kind, Node};

/// The name of the node.
pub(crate) const ALLOW: &str = "allow";

/// Warnings that need an expansion.
const EXPANDED: &[Code] = &[Code::P0503, Code::P0506, Code::P0707, Code::P0708];

/// One code of an `allow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowDecl {
    /// The code.
    pub code: Code,
    /// Where it is named.
    pub span: Span,
    /// The whole node, if this is its only code.
    pub node: Option<Span>,
    /// What it is said of: the node around it, or the file.
    pub scope: Span,
}

/// Finds every `allow` of a file, at any depth. Codes that are none are reported.
pub(crate) fn collect(nodes: &[Node], file: Span, diagnostics: &mut Diagnostics) -> Vec<AllowDecl> {
    let mut found = Vec::new();
    let mut open: Vec<(&[Node], Span)> = vec![(nodes, file)];
    while let Some((nodes, scope)) = open.pop() {
        for node in nodes {
            if node.name.value == ALLOW {
                one(node, scope, &mut found, diagnostics);
            } else if let Some(children) = &node.children {
                open.push((children, node.span));
            }
        }
    }
    found
}

fn one(node: &Node, scope: Span, found: &mut Vec<AllowDecl>, diagnostics: &mut Diagnostics) {
    for value in &node.args {
        // Anything but a text has been reported.
        let Kind::Text(name) = &value.kind else { continue };
        match warning_named(name) {
            Ok(code) => {
                let whole = (node.args.len() == 1).then_some(node.span);
                found.push(AllowDecl { code, span: value.span, node: whole, scope });
            }
            Err(error) => {
                let code = if matches!(error, LevelError::IsError(_)) { Code::P0203 } else { Code::P0201 };
                let mut item = Diagnostic::new(code, value.span, error.to_string());
                if let LevelError::Unknown(_, Some(near)) = error {
                    item = item.with_suggestion(Some(near));
                } else {
                    item = item.with_help(error.help());
                }
                diagnostics.push(item);
            }
        }
    }
}

impl Program {
    /// Drops the warnings that the specs themselves allow.
    pub fn allow(&self, diagnostics: &mut Diagnostics) {
        self.allow_and_tell(diagnostics);
    }

    /// As `allow`; returns each `allow` that kept something unsaid, by file and place.
    fn allow_and_tell(&self, diagnostics: &mut Diagnostics) -> BTreeSet<Span> {
        let mut used = BTreeSet::new();
        let mut by_code: BTreeMap<(SourceId, Code), Vec<&AllowDecl>> = BTreeMap::new();
        for allow in self.files.iter().flat_map(|file| &file.decls.allows) {
            by_code.entry((allow.scope.source, allow.code)).or_default().push(allow);
        }
        if by_code.is_empty() {
            return used;
        }
        // The outer one of two that begin together comes first.
        for allows in by_code.values_mut() {
            allows.sort_by_key(|allow| (allow.scope.start, std::cmp::Reverse(allow.scope.end)));
        }
        // Scopes are nested or apart, and diagnostics come in the order of their places, so that each
        // scope is opened and closed once.
        let mut open: BTreeMap<(SourceId, Code), (usize, Vec<&AllowDecl>)> = BTreeMap::new();
        diagnostics.retain(|item| {
            let at = item.primary.span;
            let key = (at.source, item.code);
            let (Severity::Warning, Some(allows)) = (item.severity, by_code.get(&key)) else { return true };
            let (next, stack) = open.entry(key).or_default();
            loop {
                while stack.last().is_some_and(|allow| allow.scope.end < at.start) {
                    stack.pop();
                }
                match allows.get(*next) {
                    Some(allow) if allow.scope.start <= at.start => {
                        *next += 1;
                        while stack.last().is_some_and(|outer| outer.scope.end < allow.scope.start) {
                            stack.pop();
                        }
                        stack.push(allow);
                    }
                    _ => break,
                }
            }
            match stack.iter().rev().find(|allow| at.end <= allow.scope.end) {
                Some(allow) => {
                    used.insert(allow.span);
                    false
                }
                None => true,
            }
        });
        used
    }

    /// Drops what the specs allow, and reports each `allow` that kept nothing unsaid. For a program
    /// without errors, whose warnings are complete. `complete`: whether those that need an expansion are.
    pub(crate) fn allow_and_report(&self, complete: bool, diagnostics: &mut Diagnostics) {
        let used = self.allow_and_tell(diagnostics);
        for file in &self.files {
            for allow in &file.decls.allows {
                let moot = allow.code == Code::P1005 || EXPANDED.contains(&allow.code) && !complete;
                if used.contains(&allow.span) || moot {
                    continue;
                }
                let mut item =
                    Diagnostic::new(Code::P1005, allow.span, format!("there is no {} here to allow", allow.code))
                        .with_help("remove it: it would hide the next one that comes");
                let edits = vec![Edit { span: allow.node.unwrap_or(allow.span), text: String::new() }];
                item.fixes.push(Fix { applicability: Applicability::MachineApplicable, edits });
                diagnostics.push(item);
            }
        }
        self.allow_and_tell(diagnostics);
    }
}
