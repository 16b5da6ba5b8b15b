//! Values of parameters: given as text, given by expressions, or the default; each checked against
//! the type and the constraints it was declared with. Leaves out types of expressions: see `check`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Expr, Group, Name, Param};
use crate::lang::check::{Scope, check_values};
use crate::lang::eval::{Env, Evaluator, Val, no_secret};
use crate::lang::expand::values::{from_text, name_things, typed, written, written_by};
use crate::lang::expand::{Checked, Expander, Given};
use crate::lang::program::{DeclKind, FileId};
use crate::lang::ty::Ty;

impl Val {
    /// Bytes it takes that it does not share.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text)
            | Self::Ref(text, ..)
            | Self::Secret(text, _)
            | Self::Decl(text, _)
            | Self::Node(text, _) => text.len() + 64,
            Self::Int(_) | Self::Bool(_) | Self::List(_) | Self::Fields(_) => 64,
        }
    }

    /// Bytes it takes where nothing else has it.
    fn whole_bytes(&self) -> usize {
        self.bytes()
            + match self {
                Self::List(items) => items.iter().map(Self::whole_bytes).sum(),
                Self::Fields(fields) => fields.iter().map(|(name, value)| name.len() + value.whole_bytes()).sum(),
                _ => 0,
            }
    }
}

impl<'a> Given<'a> {
    /// What is given for a parameter.
    fn of(&self, name: &str) -> Option<Result<&'a str, (FileId, &'a [Expr])>> {
        match self {
            Self::Texts(texts) => texts.get(name).map(|text| Ok(text.as_str())),
            Self::Values(file, values) => {
                let found = values.iter().find(|(other, _)| other.value == name);
                found.map(|(_, exprs)| Err((*file, exprs.as_slice())))
            }
        }
    }
}

impl Expander<'_, '_> {
    /// Values of a graph's parameters: given as text, or the default.
    pub(super) fn graph_params(
        &mut self,
        file: FileId,
        group: &Group,
        given: &Given<'_>,
    ) -> Option<BTreeMap<String, Val>> {
        let mut fine = true;
        let names: Vec<&String> = match given {
            Given::Texts(texts) => texts.keys().collect(),
            Given::Values(_, values) => values.iter().map(|(name, _)| &name.value).collect(),
        };
        for name in names.iter().copied() {
            if !group.params.iter().any(|param| param.name.value == *name) {
                let known: Vec<&str> = group.params.iter().map(|param| param.name.value.as_str()).collect();
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0303,
                        group.name.span,
                        format!("graph `{}` has no parameter `{name}`", group.name.value),
                    )
                    .with_suggestion_text(did_you_mean(name, known.iter().copied()))
                    .with_help(if known.is_empty() {
                        "it takes none".to_owned()
                    } else {
                        format!("it takes: {}", known.join(", "))
                    }),
                );
                fine = false;
            }
        }
        let constants = self.constants(file);
        let mut vars = BTreeMap::new();
        for param in &group.params {
            let value = match given.of(&param.name.value) {
                Some(Ok(text)) => match from_text(&param.ty, text, param.name.span) {
                    Ok(value) => self.given(param, value, file),
                    Err(wrong) => {
                        self.diagnostics.push(wrong);
                        None
                    }
                },
                Some(Err((file, exprs))) => {
                    let home = self.constants(file);
                    self.written(param, exprs, &home)
                }
                None => self.bind(param, None, &constants, &constants, 0),
            };
            match value {
                Some(value) => drop(vars.insert(param.name.value.clone(), value)),
                None => {
                    if !names.contains(&&param.name.value) && param.default.is_none() {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::P0302,
                                param.name.span,
                                format!("graph `{}` needs a value for `{}`", group.name.value, param.name.value),
                            )
                            .with_help(format!("give one: `-p {}=…`", param.name.value)),
                        );
                    }
                    fine = false;
                }
            }
        }
        fine.then_some(vars)
    }

    /// Values of all parameters of a recipe or template, for a use of it at a node or group.
    pub(super) fn bind_all(
        &mut self,
        params: &[Param],
        with: &[(Name, Expr)],
        at: &Arc<Env>,
        home: &Arc<Env>,
        placed: usize,
    ) -> BTreeMap<String, Val> {
        let given: BTreeMap<&str, &Expr> = with.iter().map(|(name, value)| (name.value.as_str(), value)).collect();
        let mut vars = BTreeMap::new();
        for param in params {
            let value = given.get(param.name.value.as_str()).copied();
            // What stands in a block is made anew for each use.
            let own = matches!(value, Some(Expr::List(..) | Expr::Fields(..)));
            let Some(value) = self.bind(param, value, at, home, placed) else { continue };
            let bytes = if own { value.whole_bytes() } else { value.bytes() };
            if self.spend(bytes, param.name.span, &param.name.value).is_some() {
                vars.insert(param.name.value.clone(), value);
            }
        }
        vars
    }

    /// The value of one parameter: what is given, evaluated where it is given, or the default.
    fn bind(
        &mut self,
        param: &Param,
        value: Option<&Expr>,
        at: &Arc<Env>,
        home: &Arc<Env>,
        placed: usize,
    ) -> Option<Val> {
        let Some(value) = value else {
            if let Some(known) = self.defaults.get(&param.name.span) {
                return known.clone();
            }
            let bound = self.default(param, home, placed);
            self.defaults.insert(param.name.span, bound.clone());
            return bound;
        };
        if let Expr::List(..) | Expr::Fields(..) = value {
            return self.in_block(param, value, at, placed);
        }
        let bound = Evaluator { addresses: true, ..Evaluator::new(at, placed) }.expr(value, self.diagnostics)?;
        let bound = match at.file() {
            Some(file) => name_things(self.program, (file, placed), bound, &param.ty, value.span(), self.diagnostics)?,
            None => bound,
        };
        // What a variable or a text with holes holds is known only now. A list is shared by all that
        // take it, so that one look at it is enough.
        let fits = match &bound {
            Val::List(items) => {
                let key = (param.name.span, items.as_ptr().addr());
                match self.checked.get(&key) {
                    Some(known) => known.fits && Arc::ptr_eq(&known.list, items),
                    None => {
                        let fits = self.fits_held(param, &bound, value, at);
                        self.checked.insert(key, Checked { list: Arc::clone(items), fits });
                        fits
                    }
                }
            }
            held @ Val::Fields(_) => self.fits_held(param, held, value, at),
            scalar => self.fits(param, scalar, value.span()),
        };
        fits.then_some(bound)
    }

    /// Whether a list, a map or a record satisfies a parameter. What does not is reported where it is given, with the
    /// place of the element or entry in the constant that holds it.
    fn fits_held(&mut self, param: &Param, value: &Val, given: &Expr, at: &Arc<Env>) -> bool {
        let constant = match given {
            Expr::Var(name) if at.is_constant(&name.value) => at.file().and_then(|file| {
                let id = self.program.lookup(file, DeclKind::Let, &name.value)?;
                written_by(value, &self.program.constant(id).values)
            }),
            _ => None,
        };
        let Some(expr) = constant else { return self.fits(param, value, given.span()) };
        let mut found = Diagnostics::default();
        check_values(
            std::slice::from_ref(&expr),
            &param.ty,
            &param.constraints,
            &Scope::default(),
            Some(param),
            &mut found,
        );
        let fits = !found.has_errors();
        for item in found.sorted() {
            let mut item = item.clone();
            item.fixes.clear();
            "given here".clone_into(&mut item.primary.text);
            let held = std::mem::replace(&mut item.primary.span, given.span());
            self.diagnostics.push(item.with_secondary(held, "this is the one"));
        }
        fits
    }

    /// What stands in the block of `with`: it holds no addresses, which nobody would look for in there.
    fn in_block(&mut self, param: &Param, value: &Expr, at: &Arc<Env>, placed: usize) -> Option<Val> {
        let evaluator = Evaluator::new(at, placed);
        let bound = typed(&evaluator, std::slice::from_ref(value), &param.ty, self.diagnostics)?;
        let bound = match at.file() {
            Some(file) => name_things(self.program, (file, placed), bound, &param.ty, value.span(), self.diagnostics)?,
            None => bound,
        };
        match (&bound, value) {
            (Val::List(items), Expr::List(exprs, _)) => {
                let mut each = items.iter().zip(exprs);
                each.try_for_each(|(item, expr)| no_secret(item, expr.span(), self.diagnostics))?;
            }
            (bound, value) => no_secret(bound, value.span(), self.diagnostics)?,
        }
        let expr = written_by(&bound, std::slice::from_ref(value))?;
        self.fit(param, &expr).then_some(bound)
    }

    /// Values as a spec writes them, in a scope.
    fn written(&mut self, param: &Param, values: &[Expr], home: &Arc<Env>) -> Option<Val> {
        let mut found = Diagnostics::default();
        if !matches!(param.ty, Ty::List(_)) && values.len() != 1 {
            check_values(values, &param.ty, &param.constraints, &Scope::default(), Some(param), &mut found);
            self.diagnostics.extend(found);
            return None;
        }
        self.bound(param, values, home, 0)
    }

    fn default(&mut self, param: &Param, home: &Arc<Env>, placed: usize) -> Option<Val> {
        self.bound(param, param.default.as_ref()?, home, placed)
    }

    fn bound(&mut self, param: &Param, default: &[Expr], home: &Arc<Env>, placed: usize) -> Option<Val> {
        // Named values are checked as they are written: what a record lacks would not be evaluated.
        if default.iter().any(|value| matches!(value, Expr::Fields(..))) {
            let mut found = Diagnostics::default();
            check_values(default, &param.ty, &param.constraints, &Scope::default(), Some(param), &mut found);
            if found.has_errors() {
                self.diagnostics.extend(found);
                return None;
            }
        }
        let bound = typed(&Evaluator::new(home, placed), default, &param.ty, self.diagnostics)?;
        let span = default.first().map_or(param.name.span, Expr::span);
        let bound = match home.file() {
            Some(file) => name_things(self.program, (file, placed), bound, &param.ty, span, self.diagnostics)?,
            None => bound,
        };
        self.fits(param, &bound, span).then_some(bound)
    }

    /// A value from outside, with what a record leaves to its defaults.
    fn given(&mut self, param: &Param, value: Val, file: FileId) -> Option<Val> {
        let span = param.name.span;
        if !self.fits(param, &value, span) {
            return None;
        }
        let home = self.constants(file);
        let value = match &value {
            Val::Fields(_) | Val::List(_) => {
                let expr = written(&value, span)?;
                typed(&Evaluator::new(&home, 0), std::slice::from_ref(&expr), &param.ty, self.diagnostics)?
            }
            _ => value,
        };
        name_things(self.program, (file, 0), value, &param.ty, span, self.diagnostics)
    }

    /// Whether a value satisfies a parameter. Reports one that does not.
    fn fits(&mut self, param: &Param, value: &Val, span: Span) -> bool {
        written(value, span).is_none_or(|expr| self.fit(param, &expr))
    }

    fn fit(&mut self, param: &Param, expr: &Expr) -> bool {
        let mut found = Diagnostics::default();
        check_values(
            std::slice::from_ref(expr),
            &param.ty,
            &param.constraints,
            &Scope::default(),
            Some(param),
            &mut found,
        );
        let fits = !found.has_errors();
        // The place is where the value comes from, not where it is written.
        found.change(|item| item.fixes.clear());
        self.diagnostics.extend(found);
        fits
    }
}

impl From<Vec<Val>> for Val {
    fn from(items: Vec<Val>) -> Self {
        Self::List(items.into())
    }
}
