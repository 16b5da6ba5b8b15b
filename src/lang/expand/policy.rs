//! What may start by itself: automatic work that changes something outside needs a gate before it, and
//! skills that somebody vouches for. Leaves out what levels of automation do: see `gates`.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic, Span};
use crate::lang::ast::Name;
use crate::lang::expand::Expander;
use crate::lang::ir::InputIr;
use crate::lang::program::DeclId;

impl Expander<'_, '_> {
    /// Where it is said that an instance starts by itself. What nobody says does so too, but
    /// nobody promised anything for it.
    fn auto(&self, instance: usize) -> Option<&Name> {
        // `notify` starts by itself as well: it tells when it is done, which is too late to say no.
        self.automation_of(instance).filter(|level| matches!(level.value.as_str(), "auto" | "notify"))
    }

    /// Reports automatic work by a skill that is not vetted.
    pub(super) fn check_vetted(&mut self, action: usize, at: Span, skill: DeclId) {
        let Some(level) = self.auto(self.actions[action].instance).map(|level| level.span) else { return };
        let trust = self.program.trust_of(skill);
        if trust == "vetted" || self.diagnostics.has_error_within(at) {
            return;
        }
        let decl = self.program.skill(skill);
        let name = &decl.name.value;
        // A level that is written and does not hold is one whose content has changed since.
        let vouched = decl.trust.as_ref().filter(|trust| trust.level.value == "vetted");
        let (why, help) = match vouched {
            Some(_) => (
                format!("skill `{name}` was changed after it was vetted, so that nobody vouches for it"),
                format!("read it again and write its digest: `digest=\"b3:{}\"`", self.program.skill_digest(skill)),
            ),
            None => (
                format!("skill `{name}` is `{trust}`, and automatic work uses vetted skills only"),
                "have it vetted: `trust vetted by=\"PERSON\" digest=\"b3:…\"`".to_owned(),
            ),
        };
        self.diagnostics.push(
            Diagnostic::new(Code::P0706, at, why)
                .with_secondary(level, "starts by itself")
                .with_secondary(decl.name.span, "the skill")
                .with_help(help)
                .with_help("or let a person start it: `automation=assist`"),
        );
    }

    /// Reports automatic work on a way to an effect that waits for no gate.
    pub(super) fn check_automation(&mut self) {
        if self.diagnostics.has_errors() || !self.actions.iter().any(|action| action.ir.class == "effect") {
            return;
        }
        let before = |index: usize| {
            let action = &self.actions[index];
            let inputs = action.ir.inputs.iter().filter_map(|input| match input {
                InputIr::Output { action, .. } => Some(*action),
                InputIr::Workspace { .. } => None,
            });
            inputs.chain(action.after.keys().copied()).collect::<Vec<usize>>()
        };
        let mut said: BTreeSet<Span> = BTreeSet::new();
        let mut found = Vec::new();
        // Whether a gate comes before, and what starts by itself, of each action that was looked at.
        let mut known: Vec<Option<(bool, Option<&Name>)>> = vec![None; self.actions.len()];
        for effect in (0..self.actions.len()).filter(|index| self.actions[*index].ir.class == "effect") {
            // A stack of its own: chains may be as long as there may be actions. There are no cycles by now.
            let mut stack = vec![effect];
            while let Some(index) = stack.last().copied() {
                let open: Vec<usize> = before(index).into_iter().filter(|other| known[*other].is_none()).collect();
                if known[index].is_none() && open.is_empty() {
                    let own = &self.actions[index];
                    let mut answer = (own.ir.gate.is_some(), self.auto(own.instance));
                    for (gated, auto) in before(index).into_iter().filter_map(|other| known[other]) {
                        answer = (answer.0 || gated, answer.1.or(auto));
                    }
                    known[index] = Some(answer);
                }
                if known[index].is_some() {
                    stack.pop();
                } else {
                    stack.extend(open);
                }
            }
            if let Some((false, Some(level))) = known[effect]
                && said.insert(level.span)
            {
                let node = self.instances[self.actions[effect].instance].node;
                found.push(
                    Diagnostic::new(
                        Code::P0701,
                        level.span,
                        format!(
                            "automation `{}` on the way to effect `{}`, and no gate before it",
                            level.value, node.name.value
                        ),
                    )
                    .with_label("starts by itself")
                    .with_secondary(node.name.span, "changes something outside")
                    .with_help(format!("add `guard GATE` to node `{}`, or write `automation=assist`", node.name.value)),
                );
            }
        }
        for diagnostic in found {
            self.diagnostics.push(diagnostic);
        }
    }
}
