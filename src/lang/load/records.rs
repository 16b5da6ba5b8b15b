//! Records: which one each type means. Runs when all files are known, because a record may be of another
//! file; afterwards no type of the program is only a name. Leaves out values: see `check`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::lang::ast::{FileDecls, Name, Param};
use crate::lang::foreign;
use crate::lang::program::{COMPARED, DeclId, DeclKind, FileId, Lost, Program};
use crate::lang::ty::{Constraints, RecordTy, Ty};

/// Records inside each other: more than anyone reads, and little enough for the stack.
const DEPTH: usize = 16;

/// Replaces every type that is only a name by the record it means.
pub(super) fn find_records(program: &mut Program, diagnostics: &mut Diagnostics) {
    let mut finder = Finder { program, done: BTreeMap::new(), open: Vec::new(), diagnostics };
    for index in 0..finder.program.files.len() {
        let file = FileId(index);
        for index in 0..finder.program.file(file).decls.records.len() {
            finder.record(DeclId { file, index });
        }
    }
    let mut done = finder.done;
    for (id, record) in &done {
        if let Some(record) = record {
            program.files[id.file.0].decls.records[id.index].fields.clone_from(&record.fields);
        }
    }
    for index in 0..program.files.len() {
        // Taken out for the while: finding needs names only.
        let mut decls = std::mem::take(&mut program.files[index].decls);
        let mut finder = Finder { program, done, open: Vec::new(), diagnostics };
        finder.file(FileId(index), &mut decls);
        done = finder.done;
        program.files[index].decls = decls;
    }
}

struct Finder<'a> {
    program: &'a Program,
    /// Records whose fields are known; `None` for those with a mistake, which has been reported.
    done: BTreeMap<DeclId, Option<Arc<RecordTy>>>,
    /// Records whose fields are being looked up, each in a field of the one before.
    open: Vec<DeclId>,
    diagnostics: &'a mut Diagnostics,
}

impl Finder<'_> {
    fn file(&mut self, file: FileId, decls: &mut FileDecls) {
        for decl in &mut decls.lets {
            self.replace(file, &mut decl.ty);
        }
        let groups = decls.templates.iter_mut().chain(decls.graphs.iter_mut().map(|graph| &mut graph.group));
        let params = groups.map(|group| &mut group.params).chain(decls.recipes.iter_mut().map(|decl| &mut decl.params));
        for param in params.flatten() {
            self.param(file, param);
        }
        // What crosses to a gate, an agent or a tool that serves is text or a file.
        let gates = decls.gates.iter_mut().map(|gate| ("a gate", &mut gate.params));
        let skills = decls.skills.iter_mut().map(|skill| ("a skill", &mut skill.vars));
        let capabilities = decls.capabilities.iter_mut().map(|decl| ("a capability", &mut decl.accepts));
        for (what, params) in gates.chain(skills).chain(capabilities) {
            for param in params {
                self.replace(file, &mut param.ty);
                if matches!(&param.ty, Ty::Map(_) | Ty::Record(_))
                    || matches!(&param.ty, Ty::List(inner) if inner.is_compound())
                {
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code::P0301,
                            param.name.span,
                            format!(
                                "{what} is given texts, numbers, lists of them and artifacts, and `{}` is of type `{}`",
                                param.name.value, param.ty
                            ),
                        )
                        .with_help("take its fields one by one, or as an artifact of type `artifact.json`"),
                    );
                    param.ty = Ty::Poison;
                }
            }
        }
    }

    fn param(&mut self, file: FileId, param: &mut Param) {
        self.replace(file, &mut param.ty);
        let Constraints { min, max, min_length, max_length, matches, one_of, .. } = &param.constraints;
        let mut inner = &param.ty;
        while let Ty::List(held) | Ty::Map(held) = inner {
            inner = held;
        }
        let any = [min, max, min_length, max_length].into_iter().any(Option::is_some);
        if let (Ty::Record(record), true) = (inner, any || matches.is_some() || !one_of.is_empty()) {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    param.name.span,
                    format!("`{}` is of type `{}`, which has constraints of its own only", param.name.value, param.ty),
                )
                .with_help(format!("constrain the fields of record `{}`, where it is declared", record.name)),
            );
        }
    }

    fn replace(&mut self, file: FileId, ty: &mut Ty) {
        match ty {
            Ty::List(inner) | Ty::Map(inner) => self.replace(file, inner),
            Ty::Named(written) => {
                let found = self.named(file, written);
                *ty = found.map_or(Ty::Poison, Ty::Record);
            }
            _ => {}
        }
    }

    /// The record of a name. `None` if there is none, which is then reported.
    fn named(&mut self, file: FileId, written: &Name) -> Option<Arc<RecordTy>> {
        if let Some(id) = self.program.lookup(file, DeclKind::Record, &written.value) {
            if let Some(from) = self.open.iter().position(|open| *open == id) {
                let mut chain: Vec<&str> = self.open[from..].iter().map(|id| self.name(*id)).collect();
                chain.push(self.name(id));
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0403,
                        written.span,
                        format!("records hold each other in a cycle: {}", chain.join(" → ")),
                    )
                    .with_help("a record may hold others, never itself: no value of it would end"),
                );
                return None;
            }
            return self.record(id);
        }
        if let Some(diagnostic) = self.program.private(file, DeclKind::Record, &written.value, written.span) {
            self.diagnostics.push(diagnostic);
            return None;
        }
        let own: Vec<String> = self.program.visible(file, DeclKind::Record).take(COMPARED).collect();
        let names: Vec<String> = Ty::names().into_iter().chain(own.iter().cloned()).collect();
        if foreign::is_float(&written.value) {
            self.diagnostics.push(
                Diagnostic::new(Code::P0201, written.span, format!("cannot find type `{}`", written.value))
                    .with_help("there are no numbers with a point: use `int`, `money`, or `string`"),
            );
            return None;
        }
        let near = did_you_mean(&written.value, names.iter().map(String::as_str));
        let near = near.or_else(|| foreign::ty(&written.value));
        if near.is_some() || self.program.lost(file, &written.value) == Lost::No {
            self.diagnostics.push(
                Diagnostic::new(Code::P0201, written.span, format!("cannot find type `{}`", written.value))
                    .with_suggestion_in(&written.value, 0..written.value.len(), near)
                    .with_help(format!("types: {}", names.join(", "))),
            );
        }
        None
    }

    fn name(&self, id: DeclId) -> &str {
        &self.program.record(id).name.value
    }

    fn record(&mut self, id: DeclId) -> Option<Arc<RecordTy>> {
        if let Some(known) = self.done.get(&id) {
            return known.clone();
        }
        let decl = self.program.record(id);
        if self.open.len() == DEPTH {
            self.diagnostics.push(
                Diagnostic::new(Code::P0301, decl.name.span, format!("records are nested more than {DEPTH} deep"))
                    .with_help("put what belongs together into one record"),
            );
            return None;
        }
        self.open.push(id);
        let mut fields = decl.fields.clone();
        for field in &mut fields {
            self.param(id.file, field);
        }
        self.open.pop();
        let found = decl.fields_known.then(|| Arc::new(RecordTy { name: decl.name.value.clone(), id, fields }));
        self.done.insert(id, found.clone());
        found
    }
}
