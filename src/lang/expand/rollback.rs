//! What takes deploys and other effects back: which instance it is, that it does something outside, that nothing
//! waits for it, and that it does not wait for what it takes back. Leaves out what is known without values: see
//! `check::rollback`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Span};
use crate::lang::check::{deploys, itself, no_effect, one_node};
use crate::lang::eval::{Evaluator, Val};
use crate::lang::expand::Expander;
use crate::lang::ir::InputIr;

/// Edges looked at in all; a graph that needs more is not looked at further.
const STEPS: usize = 4_000_000;

impl Expander<'_, '_> {
    /// Finds what takes each instance back, before patterns are matched: none matches those.
    pub(super) fn find_rollbacks(&mut self) {
        for index in 0..self.instances.len() {
            let pending = &self.instances[index];
            let (node, placed, env) = (pending.node, pending.placed, Arc::clone(&pending.env));
            let Some(target) = &node.rollback else { continue };
            let span = target.span;
            // A node that was given is one where it was given.
            let given = target.as_variable().and_then(|name| match env.get(&name.value) {
                Some(Val::Node(text, group)) => Some((text.clone(), *group)),
                _ => None,
            });
            let evaluator = Evaluator { slugged: true, ..Evaluator::new(&env, placed) };
            let text = given.or_else(|| Some((evaluator.text(target, self.diagnostics)?, placed)));
            let Some((path, placed)) = text else { continue };
            let found = self.instances_at(placed, &path, span);
            if self.exhausted {
                return;
            }
            match *found {
                [] if self.is_lost(&path, placed) => {}
                [] => self.no_rollback(&path, placed, span),
                _ if self.diagnostics.has_error_within(span) => {}
                [only] if only == index => self.diagnostics.push(itself(span, &self.instances[index].ir.addr)),
                [only] => {
                    self.instances[index].ir.rollback = Some(only);
                    self.instances[only].ir.takes_back = true;
                }
                ref many => {
                    let what = format!("`{path}` stands for {} nodes", many.len());
                    self.diagnostics.push(one_node(span, what, node));
                }
            }
        }
    }

    /// Reports that nothing takes an instance back where it says what does.
    fn no_rollback(&mut self, path: &str, placed: usize, span: Span) {
        match self.declared(path, placed) {
            Some(declared) if !self.diagnostics.has_error_within(span) => self.diagnostics.push(
                Diagnostic::new(Code::P0201, span, format!("there is no `{path}` here, which would take it back"))
                    .with_secondary(declared, "its `for-each` does not name it, or its condition does not hold")
                    .with_help("give both nodes the same loops and the same conditions"),
            ),
            Some(_) => {}
            None => self.no_node(path, placed, span, Code::P0201),
        }
    }

    /// Checks what takes others back, once everything is wired, and tells their actions.
    pub(super) fn check_rollbacks(&mut self) {
        let mut taken: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, pending) in self.instances.iter().enumerate() {
            if let Some(rollback) = pending.ir.rollback {
                taken.entry(rollback).or_default().push(index);
            }
        }
        if taken.is_empty() || self.diagnostics.has_errors() {
            return;
        }
        let mut found = Vec::new();
        self.check_kinds(&taken, &mut found);
        self.check_nothing_waits(&taken, &mut found);
        self.check_not_done_again(&taken, &mut found);
        for diagnostic in found {
            if !self.diagnostics.has_error_within(diagnostic.primary.span) {
                self.diagnostics.push(diagnostic);
            }
        }
        for (rollback, deploys_of) in taken {
            let addr: Box<str> = self.instances[rollback].ir.addr.as_str().into();
            for action in deploys_of.into_iter().flat_map(|index| self.instances[index].ir.actions.clone()) {
                let ir = &mut self.actions[action].ir;
                let capability = ir.ask.as_ref().and_then(|ask| ask.capability);
                let is_deploy = capability.is_some_and(|id| deploys(&self.program.capability(id).name.value));
                if ir.own && (is_deploy || ir.class == "effect") {
                    ir.rollback = Some(addr.clone());
                }
            }
        }
    }

    /// The place where an instance says what takes it back.
    fn said_at(&self, index: usize) -> Span {
        let pending = &self.instances[index];
        pending.node.rollback.as_ref().map_or(pending.ir.span, |target| target.span)
    }

    /// Reports what takes back and changes nothing outside, is taken back itself, or is more than one node.
    fn check_kinds(&self, taken: &BTreeMap<usize, Vec<usize>>, found: &mut Vec<Diagnostic>) {
        for (rollback, of) in taken {
            let (pending, span) = (&self.instances[*rollback], self.said_at(of[0]));
            let addr = &pending.ir.addr;
            if !pending.ir.actions.iter().any(|action| self.actions[*action].ir.class == "effect") {
                found.push(no_effect(span, addr, pending.ir.span));
            } else if let Some(other) = pending.ir.rollback {
                let (taken, other) = (&self.instances[of[0]].ir, &self.instances[other].ir);
                found.push(
                    Diagnostic::new(
                        Code::P0203,
                        span,
                        format!("`{addr}` takes `{}` back, and is not taken back itself", taken.addr),
                    )
                    .with_secondary(self.said_at(*rollback), format!("it would be by `{}`", other.addr))
                    .with_help("remove one of the two `rollback`s"),
                );
            }
            let below = format!("{addr}/");
            let inside = self.by_addr.range(below.clone()..).next().filter(|(other, _)| other.starts_with(&below));
            if let Some((other, index)) = inside {
                found.push(
                    Diagnostic::new(Code::P0203, span, format!("`{addr}` is no single node: `{other}` lies below it"))
                        .with_secondary(self.instances[*index].ir.span, "this would be run with it")
                        .with_help("rename one of them"),
                );
            }
        }
    }

    /// What an action takes in and comes after, with the places that say so.
    fn waits_for(&self, action: usize) -> impl Iterator<Item = (usize, Span)> {
        let action = &self.actions[action];
        let inputs = action.ir.inputs.iter().filter_map(|input| match input {
            InputIr::Output { action, span, .. } => Some((*action, *span)),
            InputIr::Workspace { .. } => None,
        });
        inputs.chain(action.after.iter().map(|(before, span)| (*before, *span)))
    }

    /// Reports what waits for something that is no part of a run.
    fn check_nothing_waits(&self, taken: &BTreeMap<usize, Vec<usize>>, found: &mut Vec<Diagnostic>) {
        let mut said: BTreeSet<Span> = BTreeSet::new();
        for index in 0..self.actions.len() {
            let own = self.actions[index].instance;
            for (before, span) in self.waits_for(index) {
                let of = self.actions[before].instance;
                let Some(deploy) = taken.get(&of).filter(|_| of != own).and_then(|all| all.first()) else { continue };
                if !said.insert(span) {
                    continue;
                }
                let (waiting, rollback) = (&self.instances[own].ir, &self.instances[of].ir);
                let diagnostic = if waiting.rollback == Some(of) {
                    Diagnostic::new(
                        Code::P0501,
                        span,
                        format!("`{}` waits for `{}`, which takes it back", waiting.addr, rollback.addr),
                    )
                } else {
                    Diagnostic::new(
                        Code::P0203,
                        span,
                        format!(
                            "`{}` takes `{}` back and is no part of a run, so that nothing can wait for it",
                            rollback.addr, self.instances[*deploy].ir.addr
                        ),
                    )
                };
                found.push(
                    diagnostic
                        .with_secondary(self.said_at(*deploy), "takes it back")
                        .with_help("it is run by its address alone, when there is something to take back: remove this"),
                );
            }
        }
    }

    /// Reports what takes something back and waits for the same, so that to take it back would be to do it again.
    fn check_not_done_again(&self, taken: &BTreeMap<usize, Vec<usize>>, found: &mut Vec<Diagnostic>) {
        // In which search each action was last seen.
        let mut seen = vec![usize::MAX; self.actions.len()];
        let mut steps = 0;
        for (rollback, of) in taken {
            let mut open = self.instances[*rollback].ir.actions.clone();
            let mut needed: BTreeSet<usize> = BTreeSet::new();
            while let Some(action) = open.pop() {
                for (before, _) in self.waits_for(action) {
                    steps += 1;
                    if std::mem::replace(&mut seen[before], *rollback) != *rollback {
                        needed.insert(self.actions[before].instance);
                        open.push(before);
                    }
                }
                if steps > STEPS {
                    return;
                }
            }
            for index in of.iter().filter(|index| needed.contains(index)) {
                let (deploy, rollback) = (&self.instances[*index].ir, &self.instances[*rollback].ir);
                found.push(
                    Diagnostic::new(
                        Code::P0501,
                        self.said_at(*index),
                        format!("`{}` takes `{}` back, and waits for it", rollback.addr, deploy.addr),
                    )
                    .with_label("to take it back would be to do it again")
                    .with_secondary(rollback.span, "it takes something of it, or comes after it")
                    .with_help("let it find what is there by itself, or by what both of them take"),
                );
            }
        }
    }
}

/// The diagnostic for what is to be delivered of something that is no part of a run.
pub(super) fn no_part(span: Span, addr: &str, declared: Span) -> Diagnostic {
    Diagnostic::new(
        Code::P0203,
        span,
        format!("`{addr}` takes another node back and is no part of a run, so that nothing of it can be delivered"),
    )
    .with_secondary(declared, "declared here")
    .with_help("remove this `include`")
}
