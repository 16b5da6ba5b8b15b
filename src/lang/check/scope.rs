//! Variables in scope with their types, and the check of expressions against types. Leaves out
//! values: see `expand`.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Expr, Name, Param};
use crate::lang::program::{DeclKind, FileId, Program};
use crate::lang::text::{Filter, Text};
use crate::lang::ty::{Breach, Constraints, Ty, check_int, check_text};

/// Variables in scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    vars: BTreeMap<String, (Ty, Span)>,
    /// Whether `node.VARIABLE` may be used: in places evaluated for each instance taken.
    pub(crate) instance: bool,
}

impl Scope {
    /// The constants of a file, also those behind aliases.
    pub(crate) fn of_file(program: &Program, file: FileId) -> Self {
        let mut scope = Self::default();
        for name in program.visible(file, DeclKind::Let) {
            if let Some(id) = program.lookup(file, DeclKind::Let, &name) {
                let decl = program.constant(id);
                scope.vars.insert(name, (decl.ty.clone(), decl.name.span));
            }
        }
        scope
    }

    /// This scope with parameters.
    pub(crate) fn with_params(mut self, params: &[Param]) -> Self {
        for param in params {
            self.vars.insert(param.name.value.clone(), (param.ty.clone(), param.name.span));
        }
        self
    }

    /// Adds a variable.
    pub(crate) fn insert(&mut self, name: &Name, ty: Ty) {
        self.vars.insert(name.value.clone(), (ty, name.span));
    }

    /// The type of a variable; one that is not in scope is reported.
    pub(crate) fn resolve(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<&(Ty, Span)> {
        let found = self.vars.get(name);
        if found.is_none() {
            let known: Vec<&str> = self.vars.keys().map(String::as_str).collect();
            let mut diagnostic = Diagnostic::new(Code::P0308, span, format!("variable `{name}` is not in scope"))
                .with_suggestion_text(did_you_mean(name, known.iter().copied()));
            diagnostic = diagnostic.with_help(if known.is_empty() {
                "nothing is in scope here: declare a `param`, a `let` or a `for-each`".to_owned()
            } else {
                format!("in scope here: {}", known.join(", "))
            });
            diagnostics.push(diagnostic);
        }
        found
    }

    /// Checks the holes of a text: names in scope, nothing that cannot be text.
    pub(crate) fn check_text(&self, text: &Text, diagnostics: &mut Diagnostics) {
        for (path, filters, span) in text.holes() {
            let name = path.join(".");
            if path[0] == "node" && path.len() == 2 && self.instance {
                continue;
            }
            let Some((ty, declared)) = self.resolve(&name, span, diagnostics) else { continue };
            let joined = filters.iter().any(|filter| matches!(filter, Filter::Join(_)));
            let bad = match ty {
                Ty::List(_) => !joined,
                Ty::Artifact(_) => true,
                _ => false,
            };
            if bad {
                let help = match ty {
                    Ty::List(_) => format!("use `(var){name}` as its own argument, or `{{{{ {name} | join \" \" }}}}`"),
                    _ => "an artifact is a file: take it by `input PLACE from=…` and name that place".to_owned(),
                };
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0309,
                        span,
                        format!("`{name}` is a `{ty}` and cannot be put inside a string"),
                    )
                    .with_secondary(*declared, "declared here")
                    .with_help(help),
                );
            }
        }
    }
}

/// Checks values against a type and constraints. One value stands for a scalar or names a list;
/// several are the elements of a list. `param` is what they are given to, for the message.
pub(crate) fn check_values(
    values: &[Expr],
    ty: &Ty,
    constraints: &Constraints,
    scope: &Scope,
    param: Option<&Param>,
    diagnostics: &mut Diagnostics,
) {
    let check = Check { scope, param, constraints };
    match (ty, values) {
        (Ty::List(_), [Expr::Var(_)]) => check.one(&values[0], ty, diagnostics),
        (Ty::List(inner), values) => {
            for (index, value) in values.iter().enumerate() {
                check.one(value, inner, diagnostics);
                let same = |other: &&Expr| literal(other).is_some() && literal(other) == literal(value);
                if constraints.distinct && values[..index].iter().any(|other| same(&other)) {
                    diagnostics.push(Diagnostic::new(
                        Code::P0304,
                        value.span(),
                        "the elements must differ, and this one is there already",
                    ));
                }
            }
        }
        (ty, [value]) => check.one(value, ty, diagnostics),
        (ty, values) => {
            if let (Some(first), Some(last)) = (values.first(), values.last()) {
                let span = first.span().to(last.span());
                diagnostics.push(Diagnostic::new(
                    Code::P0301,
                    span,
                    format!("expected one `{ty}`, found {} values", values.len()),
                ));
            }
        }
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Text(text) => text.as_literal().map(str::to_owned),
        Expr::Int(int, _) => Some(int.to_string()),
        _ => None,
    }
}

struct Check<'a> {
    scope: &'a Scope,
    param: Option<&'a Param>,
    constraints: &'a Constraints,
}

impl Check<'_> {
    fn one(&self, value: &Expr, ty: &Ty, diagnostics: &mut Diagnostics) {
        match value {
            Expr::Text(text) => {
                self.scope.check_text(text, diagnostics);
                if let Some(literal) = text.as_literal() {
                    if let Err(breach) = check_text(ty, self.constraints, literal) {
                        diagnostics.push(self.breach(breach, value.span(), literal, ty));
                    }
                } else if !ty.textual() {
                    diagnostics.push(self.mismatch(value.span(), ty, "string"));
                }
            }
            Expr::Int(int, span) => {
                if *ty == Ty::Int {
                    if let Err(breach) = check_int(self.constraints, *int) {
                        diagnostics.push(self.breach(breach, *span, &int.to_string(), ty));
                    }
                } else {
                    let found = self.mismatch(*span, ty, "int");
                    diagnostics.push(if ty.textual() {
                        found.with_help(format!("quote it: `\"{int}\"`"))
                    } else {
                        found
                    });
                }
            }
            Expr::Bool(_, span) => {
                if *ty != Ty::Bool {
                    diagnostics.push(self.mismatch(*span, ty, "bool"));
                }
            }
            Expr::Var(name) => {
                if let Some((found, declared)) = self.scope.resolve(&name.value, name.span, diagnostics)
                    && !found.fits(ty)
                {
                    let found = self.mismatch(name.span, ty, &found.to_string());
                    diagnostics.push(found.with_secondary(*declared, "the variable is declared here"));
                }
            }
            Expr::Ref(text) => {
                self.scope.check_text(text, diagnostics);
                if !matches!(ty, Ty::Artifact(_)) {
                    diagnostics.push(self.mismatch(text.span, ty, "artifact"));
                }
            }
            Expr::Secret(name) => {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0111,
                        name.span,
                        "secrets belong to the language, but this version does not run them yet",
                    )
                    .with_help("remove it, or wait for the version that does"),
                );
            }
        }
    }

    fn mismatch(&self, span: Span, ty: &Ty, found: &str) -> Diagnostic {
        let diagnostic =
            Diagnostic::new(Code::P0301, span, format!("expected `{ty}`, found `{found}`")).with_label("given here");
        self.declared(diagnostic)
    }

    fn breach(&self, breach: Breach, span: Span, value: &str, ty: &Ty) -> Diagnostic {
        let what = self.param.map_or_else(String::new, |param| format!(" of `{}`", param.name.value));
        let diagnostic = match breach {
            Breach::Type(found) => return self.mismatch(span, ty, found),
            Breach::Form(example) => {
                let code = match ty {
                    Ty::Dur | Ty::Size | Ty::Money => Code::P0306,
                    _ => Code::P0301,
                };
                Diagnostic::new(code, span, format!("`{value}` is not a `{ty}`")).with_help(format!("write {example}"))
            }
            Breach::Bounds(words) => {
                Diagnostic::new(Code::P0304, span, format!("the value{what} is out of bounds: {words}"))
            }
            Breach::NotOneOf => {
                let allowed = &self.constraints.one_of;
                Diagnostic::new(Code::P0305, span, format!("`{value}` is not one of {}", allowed.join(", ")))
                    .with_suggestion(did_you_mean(value, allowed.iter().map(String::as_str)))
            }
        };
        self.declared(diagnostic)
    }

    fn declared(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.param {
            Some(param) if param.name.span != diagnostic.primary.span => {
                diagnostic.with_secondary(param.name.span, "the parameter is declared here")
            }
            _ => diagnostic,
        }
    }
}
