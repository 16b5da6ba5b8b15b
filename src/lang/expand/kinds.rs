//! The types of what the conditions of a node compare, by which they compare it. Leaves out comparing: see
//! `eval`.

use std::collections::BTreeMap;

use crate::lang::ast::{Cond, Expr, ForEach, Group, NodeDecl};
use crate::lang::eval::heads;
use crate::lang::program::{DeclKind, FileId, Program};
use crate::lang::ty::Ty;

/// Where the variables of a node are declared.
pub(super) struct Declared<'a> {
    pub(super) program: &'a Program,
    pub(super) file: FileId,
    pub(super) group: &'a Group,
    pub(super) node: &'a NodeDecl,
}

impl<'a> Declared<'a> {
    /// The types of the variables that the node's conditions name, as far as they are known.
    pub(super) fn of_conditions(&self) -> BTreeMap<&'a str, Ty> {
        let mut found = BTreeMap::new();
        self.node.when.iter().for_each(|condition| self.collect(condition, &mut found));
        found
    }

    fn collect(&self, condition: &'a Cond, found: &mut BTreeMap<&'a str, Ty>) {
        match condition {
            Cond::All(all) | Cond::Any(all) | Cond::Not(all) => {
                for inner in all {
                    self.collect(inner, found);
                }
            }
            Cond::Triple(path, _, value) => {
                let other = match value {
                    Expr::Var(name) => Some(name.value.as_str()),
                    _ => None,
                };
                for name in std::iter::once(path.value.as_str()).chain(other) {
                    if !found.contains_key(name)
                        && let Some(ty) = self.of(name)
                    {
                        found.insert(name, ty);
                    }
                }
            }
        }
    }

    fn of(&self, name: &str) -> Option<Ty> {
        let own = heads(name).find_map(|(head, rest)| Some((self.of_loop(head)?, rest)));
        match own {
            Some((ty, rest)) => inside(&ty, rest),
            None => self.outer(name),
        }
    }

    /// The type of a variable of a loop.
    fn of_loop(&self, name: &str) -> Option<Ty> {
        let is_of =
            |each: &&ForEach| each.var.value == name || each.value.as_ref().is_some_and(|value| value.value == name);
        let each = self.node.for_each.iter().find(is_of)?;
        match &each.list {
            Expr::Var(list) => match self.outer(&list.value)? {
                Ty::List(inner) => Some(*inner),
                Ty::Map(inner) if each.var.value != name => Some(*inner),
                Ty::Map(_) => Some(Ty::String),
                _ => None,
            },
            Expr::List(items, _) => {
                let mut types = items.iter().map(|item| match item {
                    Expr::Var(name) => self.outer(&name.value),
                    Expr::Int(..) => Some(Ty::Int),
                    Expr::Bool(..) => Some(Ty::Bool),
                    _ => Some(Ty::String),
                });
                let first = types.next()??;
                types.all(|ty| ty.as_ref() == Some(&first)).then_some(first)
            }
            _ => None,
        }
    }

    /// The type of a parameter or a constant.
    fn outer(&self, name: &str) -> Option<Ty> {
        let param = |head: &str| self.group.params.iter().find(|param| param.name.value == head);
        if let Some((param, rest)) = heads(name).find_map(|(head, rest)| Some((param(head)?, rest))) {
            return inside(&param.ty, rest);
        }
        let constant = |head: &str| self.program.lookup(self.file, DeclKind::Let, head);
        let (id, rest) = heads(name).find_map(|(head, rest)| Some((constant(head)?, rest)))?;
        inside(&self.program.constant(id).ty, rest)
    }
}

/// The type of what a value of a type holds under a dotted name.
fn inside(ty: &Ty, path: &str) -> Option<Ty> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(ty, |ty, part| ty.entry(part)).cloned()
}
