//! Checks of what takes deploys back: what asks for a capability `deploy` names it, only what changes something
//! outside does, and it is another node that does so too. Leaves out what depends on values, and what waits for
//! what: see `expand`.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Group, Name, NodeDecl, Work};
use crate::lang::check::scope::some;
use crate::lang::program::{COMPARED, DeclKind, FileId, Program};
use crate::lang::shape::enough;
use crate::lang::text::{Part, Text};

/// Whether a capability is one that puts something where others use it.
pub(crate) fn deploys(capability: &str) -> bool {
    capability == "deploy" || capability.starts_with("deploy.")
}

/// Where a node asks for a deploy, itself or by a step of its recipe.
fn asks_for_deploy<'a>(program: &'a Program, file: FileId, node: &'a NodeDecl) -> Option<&'a Name> {
    let asks = |file: FileId, work: &'a Work| {
        let name = work.ask.as_ref()?.capability.as_ref()?;
        let id = program.lookup(file, DeclKind::Capability, &name.value)?;
        deploys(&program.capability(id).name.value).then_some(name)
    };
    match &node.recipe {
        Some(recipe) => {
            let id = program.lookup(file, DeclKind::Recipe, &recipe.value)?;
            program.recipe(id).steps.iter().find_map(|step| asks(id.file, &step.work))
        }
        None => asks(file, &node.work),
    }
}

/// Whether a node changes something outside. `None` where its recipe is not known.
fn is_effect(program: &Program, file: FileId, node: &NodeDecl) -> Option<bool> {
    let is = |work: &Work| work.class.as_ref().is_some_and(|class| class.value == "effect");
    match &node.recipe {
        Some(recipe) => {
            let id = program.lookup(file, DeclKind::Recipe, &recipe.value)?;
            Some(program.recipe(id).steps.iter().any(|step| is(&step.work)))
        }
        None => Some(is(&node.work)),
    }
}

pub(super) fn check_rollbacks(program: &Program, file: FileId, group: &Group, diagnostics: &mut Diagnostics) {
    // What takes back, by whichever of its names is written, with what it takes back.
    let mut taking: BTreeMap<&str, &NodeDecl> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, &NodeDecl> = BTreeMap::new();
    for node in &group.nodes {
        let Some(target) = &node.rollback else { continue };
        for name in [target.as_literal(), head(target)].into_iter().flatten() {
            taking.entry(name).or_insert(node);
        }
    }
    if !taking.is_empty() {
        by_name = group.nodes.iter().map(|node| (node.name.value.as_str(), node)).collect();
    }
    for (index, node) in group.nodes.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        let name = &node.name;
        let asked = asks_for_deploy(program, file, node);
        let taken = taking.get(name.value.as_str()).filter(|taken| taken.name.value != name.value);
        match (&node.rollback, taken) {
            // To take back may be to deploy what was there before.
            (None, Some(_)) => {}
            (None, None) => {
                let Some(asked) = asked.filter(|_| !diagnostics.has_error_within(node.span)) else { continue };
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0709,
                        name.span,
                        format!("deploy `{}` does not name what takes it back", name.value),
                    )
                    .with_secondary(asked.span, "asks for a deploy")
                    .with_help("add `rollback NODE` to its block: another node, of `class=effect`, that takes it back")
                    .with_help("that node is no part of a run of the graph: `partita run GRAPH/NODE` does it"),
                );
            }
            (Some(target), Some(taken)) => diagnostics.push(
                Diagnostic::new(
                    Code::P0203,
                    target.span,
                    format!("`{}` takes `{}` back, and is not taken back itself", name.value, taken.name.value),
                )
                .with_secondary(taken.name.span, "this is taken back by it")
                .with_help("remove one of the two `rollback`s"),
            ),
            (Some(target), None) if asked.is_none() && is_effect(program, file, node) == Some(false) => {
                diagnostics.push(nothing_to_take_back(target.span, node));
            }
            (Some(target), None) => {
                let named = Named { program, file, group, by_name: &by_name, node };
                named.check(target, diagnostics);
            }
        }
    }
}

/// The first segment of what is named, as far as it is known.
fn head(target: &Text) -> Option<&str> {
    match target.parts.first()? {
        Part::Literal(text) => text.split('/').next().filter(|head| !head.is_empty()),
        Part::Hole { .. } | Part::Broken => None,
    }
}

fn nothing_to_take_back(span: Span, node: &NodeDecl) -> Diagnostic {
    let of = match (&node.recipe, &node.work.class) {
        (Some(recipe), _) => format!("a node whose recipe `{}` has no `effect`", recipe.value),
        (None, Some(class)) => format!("a `{}` action", class.value),
        (None, None) if node.work.body.is_none() && node.work.ask.is_none() => "a node that only waits".to_owned(),
        (None, None) => "an action that is no `effect`".to_owned(),
    };
    Diagnostic::new(Code::P0508, span, format!("`rollback` is said of {of}"))
        .with_secondary(node.name.span, "does nothing outside")
        .with_help("only what changes something outside is taken back: remove it, or write `class=effect`")
}

/// What a node names as that which takes it back.
struct Named<'a> {
    program: &'a Program,
    file: FileId,
    group: &'a Group,
    by_name: &'a BTreeMap<&'a str, &'a NodeDecl>,
    node: &'a NodeDecl,
}

impl Named<'_> {
    fn check(&self, target: &Text, diagnostics: &mut Diagnostics) {
        let Some(literal) = target.as_literal() else { return };
        if literal.contains('*') {
            diagnostics.push(one_node(target.span, format!("`{literal}` is a pattern"), self.node));
            return;
        }
        let head = literal.split('/').next().unwrap_or(literal);
        let Some(found) = self.by_name.get(literal).or_else(|| self.by_name.get(head)) else {
            self.check_elsewhere(target.span, literal, head, diagnostics);
            return;
        };
        if found.name.span == self.node.name.span {
            diagnostics.push(itself(target.span, &self.node.name.value));
        } else if is_effect(self.program, self.file, found) == Some(false) {
            diagnostics.push(no_effect(target.span, literal, found.name.span));
        }
    }

    /// Checks a name that no node has: it may be one of a template, or above others.
    fn check_elsewhere(&self, span: Span, literal: &str, head: &str, diagnostics: &mut Diagnostics) {
        let below = format!("{head}/");
        let is_above = self.by_name.range(below.as_str()..).next().is_some_and(|(name, _)| name.starts_with(&below));
        let is_alias = self.group.uses.iter().any(|decl| decl.alias.value == head);
        if is_above || is_alias || self.group.lost.iter().any(|name| name.value == head) {
            return;
        }
        let names: Vec<&str> = self.by_name.keys().copied().filter(|name| *name != self.node.name.value).collect();
        let suggestion = did_you_mean(head, names.iter().take(COMPARED).copied());
        if self.group.nodes_known || suggestion.is_some() {
            diagnostics.push(
                Diagnostic::new(Code::P0201, span, format!("cannot find node `{head}`"))
                    .with_suggestion_in(literal, 0..head.len(), suggestion)
                    .with_help(format!("nodes here: {}", some(&names))),
            );
        }
    }
}

/// The diagnostic for what names itself as that which takes it back.
pub(crate) fn itself(span: Span, name: &str) -> Diagnostic {
    Diagnostic::new(Code::P0203, span, format!("`{name}` cannot take itself back"))
        .with_help("name another node, of `class=effect`, that undoes what this one does")
}

/// The diagnostic for what changes nothing outside, and is to take something back.
pub(crate) fn no_effect(span: Span, name: &str, declared: Span) -> Diagnostic {
    Diagnostic::new(Code::P0203, span, format!("`{name}` changes nothing outside, so it takes nothing back"))
        .with_secondary(declared, "declared here")
        .with_help("name a node of `class=effect`, or make this one such")
}

/// The diagnostic for what stands for several nodes, where one is needed.
pub(crate) fn one_node(span: Span, what: String, node: &NodeDecl) -> Diagnostic {
    let name = &node.name.value;
    let found = Diagnostic::new(Code::P0301, span, format!("{what}, and `{name}` is taken back by one node"));
    match node.for_each.first() {
        Some(each) => {
            found.with_help(format!("name the one of each: `rollback \"NODE/{{{{ {} }}}}\"`", each.var.value))
        }
        None => found.with_help("name one: `rollback NODE`, or `rollback \"NODE/KEY\"` of a loop"),
    }
}
