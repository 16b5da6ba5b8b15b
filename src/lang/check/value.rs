//! The check of values against types and constraints: as specs write them, and as they turn out when they are known.
//! Leaves out what is in scope: see `scope`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::addresses;
use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, Edit, Fix, Span, did_you_mean};
use crate::lang::ast::{Expr, Name, Param};
use crate::lang::check::{Scope, some, unique};
use crate::lang::expand::leak;
use crate::lang::order::one_form;
use crate::lang::print::quote;
use crate::lang::ty::{Breach, Constraints, Ty, check_int, check_items, check_text};

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
        (Ty::List(inner), [Expr::List(items, span)]) => check.list(items, Some(*span), ty, inner, diagnostics),
        (Ty::List(inner), values) => check.list(values, None, ty, inner, diagnostics),
        (Ty::Poison, values) => values.iter().for_each(|value| check.one(value, ty, diagnostics)),
        (ty, [value]) => check.one(value, ty, diagnostics),
        (ty, values) => {
            if let (Some(first), Some(last)) = (values.first(), values.last()) {
                let span = first.span().to(last.span());
                diagnostics.push(
                    Diagnostic::new(Code::P0301, span, format!("expected one `{ty}`, found {} values", values.len()))
                        .with_help(format!("keep one, or write `type=list<{ty}>`")),
                );
            }
        }
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Text(text) => text.as_literal().map(str::to_owned),
        Expr::Int(int, _) => Some(int.to_string()),
        Expr::List(items, _) => {
            let all: Option<Vec<String>> = items.iter().map(literal).collect();
            Some(format!("[{}]", all?.join(", ")))
        }
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Check<'a> {
    scope: &'a Scope<'a>,
    param: Option<&'a Param>,
    constraints: &'a Constraints,
}

impl Check<'_> {
    fn one(&self, value: &Expr, ty: &Ty, diagnostics: &mut Diagnostics) {
        if let (Expr::List(items, span), Ty::List(inner)) = (value, ty) {
            self.list(items, Some(*span), ty, inner, diagnostics);
            return;
        }
        match value {
            Expr::Int(..) | Expr::Bool(..) if *ty == Ty::Poison => {}
            Expr::Fields(fields, span) => self.fields(fields, *span, ty, diagnostics),
            Expr::List(items, _) if *ty == Ty::Poison => {
                for item in items {
                    self.one(item, ty, diagnostics);
                }
            }
            // A block without anything holds no named values either.
            Expr::List(items, span) if items.is_empty() && matches!(ty, Ty::Map(_) | Ty::Record(_)) => {
                self.fields(&[], *span, ty, diagnostics);
            }
            Expr::List(_, span) => diagnostics.push(self.mismatch(*span, ty, "a list", None)),
            Expr::Text(text) if text.is_broken() => self.scope.check_given_text(text, diagnostics),
            Expr::Text(text) => {
                self.scope.check_given_text(text, diagnostics);
                if let Some(literal) = text.as_literal() {
                    // What the address of a service will be is not known: nothing is asked of it but to be text.
                    if *ty == Ty::String && !addresses(literal).is_empty() {
                        return;
                    }
                    if let Err(breach) = check_text(ty, self.constraints, literal) {
                        diagnostics.push(self.breach(breach, value.span(), literal, ty));
                    } else if let (Ty::Name(kind), Some((program, file))) = (ty, self.scope.home())
                        && let Some(kind) = kind.decl()
                    {
                        let name = Name { value: literal.to_owned(), span: value.span() };
                        program.resolve(file, kind, &name, diagnostics);
                    }
                } else if !ty.textual() {
                    diagnostics.push(self.mismatch(value.span(), ty, "string", None));
                }
            }
            Expr::Int(int, span) => {
                if *ty == Ty::Int {
                    if let Err(breach) = check_int(self.constraints, *int) {
                        diagnostics.push(self.breach(breach, *span, &int.to_string(), ty));
                    }
                } else {
                    diagnostics.push(self.mismatch(*span, ty, "int", Some(&int.to_string())));
                }
            }
            Expr::Bool(flag, span) => {
                if *ty != Ty::Bool {
                    diagnostics.push(self.mismatch(*span, ty, "bool", Some(&flag.to_string())));
                }
            }
            Expr::Var(name) => {
                if let Some((found, declared)) = self.scope.resolve(&name.value, name.span, diagnostics)
                    && !found.fits(ty)
                {
                    let found = self.mismatch(name.span, ty, &found.to_string(), None);
                    diagnostics.push(found.with_secondary(declared, "the variable is declared here"));
                }
            }
            Expr::Ref(text) => {
                self.scope.check_text(text, diagnostics);
                if text.as_literal().is_some_and(|name| self.scope.is_address(name)) {
                    if !ty.textual() {
                        diagnostics.push(self.mismatch(text.span, ty, "address", None));
                    }
                } else if !matches!(ty, Ty::Artifact(_) | Ty::Poison)
                    && !text.as_literal().is_some_and(|name| self.scope.is_of_service(name))
                {
                    diagnostics.push(self.mismatch(text.span, ty, "artifact", None));
                }
            }
            Expr::Secret(name) => {
                if self.param.is_none() {
                    diagnostics.push(leak(&name.value, name.span, "a constant or a condition"));
                } else if !ty.textual() {
                    diagnostics.push(self.mismatch(name.span, ty, "secret", None));
                }
            }
        }
    }

    /// The elements of a list. `at`: the place of one without elements.
    fn list(&self, values: &[Expr], at: Option<Span>, ty: &Ty, inner: &Ty, diagnostics: &mut Diagnostics) {
        // What is said of the list itself is not said of those in it.
        let of_values = inner.is_compound().then(|| self.constraints.of_values());
        let check = Check { constraints: of_values.as_ref().unwrap_or(self.constraints), ..*self };
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for value in values {
            check.one(value, inner, diagnostics);
            let Some(literal) = literal(value).filter(|_| self.constraints.distinct) else { continue };
            let form = one_form(inner, &literal);
            if let Some(first) = seen.get(&form) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0304,
                        value.span(),
                        format!("the elements must differ, and `{literal}` is there already"),
                    )
                    .with_secondary(*first, "first here")
                    .with_help("remove one"),
                );
            } else {
                seen.insert(form, value.span());
            }
        }
        // How many there are is not known of what cannot be read.
        if !values.iter().any(|value| matches!(value, Expr::Text(text) if text.is_broken())) {
            self.items(values.len(), values, at, ty, diagnostics);
        }
    }

    /// How many values there are, against what may be. `at`: the place of a list without elements.
    fn items(&self, count: usize, values: &[Expr], at: Option<Span>, ty: &Ty, diagnostics: &mut Diagnostics) {
        let Err(breach) = check_items(self.constraints, count) else { return };
        let given = values.first().zip(values.last()).map(|(first, last)| first.span().to(last.span()));
        if let Some(span) = given.or(at).or(self.param.map(|param| param.name.span)) {
            diagnostics.push(self.breach(breach, span, "", ty));
        }
    }

    /// Named values, against the type of what they are to be.
    fn fields(&self, fields: &[(Name, Vec<Expr>)], span: Span, ty: &Ty, diagnostics: &mut Diagnostics) {
        match ty {
            Ty::Record(record) => {
                unique(fields.iter().map(|(name, _)| name), "field", diagnostics);
                let mut misspelt = Vec::new();
                for (name, values) in fields {
                    let Some(field) = record.fields.iter().find(|field| field.name.value == name.value) else {
                        misspelt.push(name.value.as_str());
                        let known: Vec<&str> = record.fields.iter().map(|field| field.name.value.as_str()).collect();
                        diagnostics.push(
                            Diagnostic::new(
                                Code::P0303,
                                name.span,
                                format!("record `{}` has no field `{}`", record.name, name.value),
                            )
                            .with_suggestion(did_you_mean(&name.value, known.iter().copied()))
                            .with_help(format!("it has: {}", some(&known))),
                        );
                        continue;
                    };
                    // One without a value has been reported.
                    if !values.is_empty() || matches!(field.ty, Ty::List(_)) {
                        check_values(values, &field.ty, &field.constraints, self.scope, Some(field), diagnostics);
                    }
                }
                let given: BTreeSet<&str> = fields.iter().map(|(name, _)| name.value.as_str()).collect();
                for field in record.fields.iter().filter(|field| field.default.is_none()) {
                    let name = field.name.value.as_str();
                    let meant = misspelt.iter().take(16).any(|written| did_you_mean(written, [name]).is_some());
                    if !given.contains(name) && !meant {
                        diagnostics.push(
                            Diagnostic::new(
                                Code::P0302,
                                span,
                                format!("missing field `{name}` of record `{}`", record.name),
                            )
                            .with_secondary(field.name.span, "declared here, without a default")
                            .with_help(format!("add `{name} …`, {}", field.ty.noun())),
                        );
                    }
                }
            }
            Ty::Map(inner) => {
                unique(fields.iter().map(|(name, _)| name), "entry", diagnostics);
                for (_, values) in fields.iter().filter(|(_, values)| !values.is_empty()) {
                    check_values(values, inner, &self.constraints.of_values(), self.scope, self.param, diagnostics);
                }
                self.items(fields.len(), &[], None, ty, diagnostics);
            }
            Ty::Poison | Ty::Named(_) => {
                for (_, values) in fields {
                    check_values(values, &Ty::Poison, self.constraints, self.scope, self.param, diagnostics);
                }
            }
            ty => diagnostics.push(self.mismatch(span, ty, "named values", None)),
        }
    }

    /// `literal`: what was written, if it is known.
    fn mismatch(&self, span: Span, ty: &Ty, found: &str, literal: Option<&str>) -> Diagnostic {
        let number = literal.is_some_and(|text| text.parse::<i128>().is_ok());
        // Which unit a number is of is not to be guessed, though seconds and mebibytes are the likeliest.
        if let (Ty::Dur | Ty::Size, "int", Some(text)) = (ty, found, literal) {
            let (what, unit) = if *ty == Ty::Dur { ("duration", "s") } else { ("size", "MiB") };
            let missing = Diagnostic::new(Code::P0306, span, format!("`{text}` is no {what}: its unit is missing"))
                .with_label("given here")
                .with_help(format!("write it with its unit: `\"{text}{unit}\"`"))
                .with_fix(Applicability::MaybeIncorrect, span, format!("\"{text}{unit}\""));
            return self.declared(missing);
        }
        // Whether a number means dollars or cents is not to be guessed.
        let code = if *ty == Ty::Money && found == "int" { Code::P0307 } else { Code::P0301 };
        let found = if matches!(found, "named values" | "a list") { found.to_owned() } else { format!("`{found}`") };
        let diagnostic =
            Diagnostic::new(code, span, format!("expected `{ty}`, found {found}")).with_label("given here");
        let help = match (ty, literal) {
            (Ty::Int, Some(text)) if number => format!("write it without quotes: `{text}`"),
            (Ty::Bool, Some(_)) => "write `#true` or `#false`".to_owned(),
            (Ty::Artifact(_), _) => "an artifact is what a node leaves: `(ref)node.output`".to_owned(),
            (Ty::List(_) | Ty::Map(_) | Ty::Record(_), _) => self.how_to_hold(ty),
            (Ty::Money, Some(text)) if number => format!("write dollars as text: `\"{text}.00\"`"),
            (ty, Some(text)) if ty.textual() => format!("quote it: `\"{text}\"`"),
            (ty, _) => format!("give {}, or change the type where it is declared", ty.noun()),
        };
        let diagnostic = self.declared(diagnostic).with_help(help);
        match (ty, found.trim_matches('`'), literal) {
            (Ty::Int, "string", Some(text)) if number => {
                diagnostic.with_fix(Applicability::MachineApplicable, span, text.trim_start_matches('+'))
            }
            (Ty::Bool, "string", Some(text @ ("true" | "false"))) => {
                diagnostic.with_fix(Applicability::MachineApplicable, span, format!("#{text}"))
            }
            (ty, "int", Some(_)) if ty.textual() && !matches!(ty, Ty::Enum | Ty::Money | Ty::Name(_)) => {
                diagnostic.with_quotes(Applicability::MachineApplicable, span)
            }
            (ty, "bool", Some(text)) if ty.textual() => {
                diagnostic.with_fix(Applicability::MaybeIncorrect, span, format!("\"{text}\""))
            }
            _ => diagnostic,
        }
    }

    fn breach(&self, breach: Breach, span: Span, value: &str, ty: &Ty) -> Diagnostic {
        let diagnostic = match breach {
            Breach::Type(found) => return self.mismatch(span, ty, found, Some(value)),
            Breach::Form(example) => {
                let code = match ty {
                    Ty::Dur | Ty::Size | Ty::Money => Code::P0306,
                    _ => Code::P0301,
                };
                Diagnostic::new(code, span, format!("`{value}` is not {}", ty.noun()))
                    .with_help(format!("write {example}"))
            }
            Breach::Bounds(words, constraint) => {
                let what = self
                    .param
                    .map_or_else(String::new, |param| format!(", the `{constraint}` of `{}`", param.name.value));
                let words = if constraint == "matches" { words } else { words + &what };
                Diagnostic::new(Code::P0304, span, words)
                    .with_help(format!("give another value, or change `{constraint}` where it is declared"))
            }
            Breach::NotOneOf => {
                let allowed = &self.constraints.one_of;
                let near = did_you_mean(value, allowed.iter().map(String::as_str));
                let replacement = |near: &str| Fix {
                    applicability: Applicability::MaybeIncorrect,
                    edits: vec![Edit { span, text: if *ty == Ty::Int { near.to_owned() } else { quote(near) } }],
                };
                Diagnostic::new(Code::P0305, span, format!("`{value}` is not one of {}", some(allowed)))
                    .with_suggestion_text(near)
                    .with_fixes(near.map(replacement).into_iter().collect())
                    .with_help("choose one of those, or add it to `one-of`")
            }
        };
        self.declared(diagnostic)
    }

    /// How to write what holds others, where it is to stand.
    fn how_to_hold(&self, ty: &Ty) -> String {
        match self.param {
            Some(param) if param.ty == *ty && param.word == "parameter" => given_in_block(param),
            Some(param) if param.ty == *ty => format!("write it as `{} {}`", param.name.value, block(ty)),
            // An element of a list, or the value of a constant.
            Some(_) => format!("write it in a block of its own: `- {}`", block(ty)),
            None => format!("write it in a block: `{}`", block(ty)),
        }
    }

    fn declared(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.param {
            Some(param) if param.name.span != diagnostic.primary.span => {
                diagnostic.with_secondary(param.name.span, format!("the {} is declared here", param.word))
            }
            _ => diagnostic,
        }
    }
}

/// How an argument is given that holds others.
pub(super) fn given_in_block(param: &Param) -> String {
    let name = &param.name.value;
    format!("write it in the block: `with {{ {name} {} }}`, or name one: `{name}=(var)NAME`", block(&param.ty))
}

/// The block of a value that holds others.
pub(super) fn block(ty: &Ty) -> String {
    match ty {
        Ty::List(inner) if inner.is_compound() => format!("{{ - {} }}", block(inner)),
        Ty::List(_) => "{ - VALUE; - VALUE }".to_owned(),
        Ty::Map(inner) if inner.is_compound() => format!("{{ NAME {} }}", block(inner)),
        Ty::Record(record) => {
            let one = |field: &Param| match &field.ty {
                ty if ty.is_compound() => format!("{} {{ … }}", field.name.value),
                _ => format!("{} VALUE", field.name.value),
            };
            let needed = record.fields.iter().filter(|field| field.default.is_none());
            let all: Vec<String> =
                needed.chain(record.fields.iter().filter(|field| field.default.is_some())).take(3).map(one).collect();
            format!("{{ {} }}", all.join("; "))
        }
        _ => "{ NAME VALUE; NAME VALUE }".to_owned(),
    }
}
