//! Values by their types: records with the defaults of their fields, maps, names of things, and what is
//! given as text from outside. Leaves out whether a value satisfies its constraints: see `check`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::ast::{Expr, Name, NameRef, Param};
use crate::lang::eval::{Evaluator, Val};
use crate::lang::expand::Expander;
use crate::lang::expand::actions::Site;
use crate::lang::ir::ArgIr;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::ty::Ty;
use crate::lang::{Kind, parse};

/// The value that expressions have as one of a type: a list of several, or the one there is. Its depth is
/// that of records and of blocks, which are bounded.
pub(super) fn typed(evaluator: &Evaluator<'_>, values: &[Expr], ty: &Ty, diagnostics: &mut Diagnostics) -> Option<Val> {
    match (ty, values) {
        (Ty::List(_), [Expr::Var(_)]) => evaluator.expr(&values[0], diagnostics),
        (Ty::List(inner), [Expr::List(items, _)]) => list(evaluator, items, inner, diagnostics),
        // A list in the line needs no `-`.
        (Ty::List(inner), values) => list(evaluator, values, inner, diagnostics),
        (_, values) => typed_one(evaluator, values.first()?, ty, diagnostics),
    }
}

fn list(evaluator: &Evaluator<'_>, items: &[Expr], inner: &Ty, diagnostics: &mut Diagnostics) -> Option<Val> {
    let items: Option<Vec<Val>> = items.iter().map(|item| typed_one(evaluator, item, inner, diagnostics)).collect();
    Some(Val::List(items?.into()))
}

fn typed_one(evaluator: &Evaluator<'_>, value: &Expr, ty: &Ty, diagnostics: &mut Diagnostics) -> Option<Val> {
    let none = Vec::new();
    let fields = match value {
        Expr::List(items, _) => match ty {
            Ty::List(inner) => return list(evaluator, items, inner, diagnostics),
            // A block without anything holds no named values either.
            _ if items.is_empty() => &none,
            _ => return None,
        },
        Expr::Fields(fields, _) => fields,
        value => return evaluator.expr(value, diagnostics),
    };
    let mut held = BTreeMap::new();
    match ty {
        Ty::Map(inner) => {
            for (name, values) in fields {
                held.insert(name.value.clone(), typed(evaluator, values, inner, diagnostics)?);
            }
        }
        Ty::Record(record) => {
            for field in &record.fields {
                let given = fields.iter().find(|(name, _)| name.value == field.name.value).map(|(_, values)| values);
                let values = given.or(field.default.as_ref())?;
                held.insert(field.name.value.clone(), typed(evaluator, values, &field.ty, diagnostics)?);
            }
        }
        _ => return None,
    }
    Some(Val::Fields(Arc::new(held)))
}

/// Replaces texts that are names, as their types say, by what they name. `None` if one names nothing,
/// which is then reported.
pub(super) fn name_things(
    program: &Program,
    (file, group): (FileId, usize),
    value: Val,
    ty: &Ty,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Val> {
    if !ty.names_things() {
        return Some(value);
    }
    let mut inner = |value: &Val, ty: &Ty| name_things(program, (file, group), value.clone(), ty, span, diagnostics);
    Some(match (ty, value) {
        (Ty::Name(kind), Val::Text(text)) => match kind.decl() {
            None => Val::Node(text, group),
            Some(kind) => {
                let name = Name { value: text, span };
                let id = match program.lookup(file, kind, &name.value) {
                    Some(id) => id,
                    // Every use of a constant makes the same mistake.
                    None if diagnostics.has_error_within(span) => return None,
                    None => program.resolve(file, kind, &name, diagnostics)?,
                };
                Val::Decl(name.value, id)
            }
        },
        (Ty::List(ty), Val::List(items)) => {
            Val::List(items.iter().map(|item| inner(item, ty)).collect::<Option<Vec<_>>>()?.into())
        }
        (ty, Val::Fields(fields)) => {
            let mut held = BTreeMap::new();
            for (name, value) in fields.iter() {
                let value = match ty.entry(name) {
                    Some(ty) => inner(value, ty)?,
                    None => value.clone(),
                };
                held.insert(name.clone(), value);
            }
            Val::Fields(Arc::new(held))
        }
        (_, value) => value,
    })
}

impl Expander<'_, '_> {
    /// Values of parameters as they would be written.
    pub(super) fn handed_over(&self, params: &[Param], vars: &BTreeMap<String, Val>) -> Vec<(String, ArgIr)> {
        let written = params.iter().filter_map(|param| {
            let name = &param.name.value;
            Some((name.clone(), self.as_written(vars.get(name)?, &param.ty)?))
        });
        written.collect()
    }

    /// A value of a type as it would be written, with addresses from the graph on.
    pub(super) fn as_written(&self, value: &Val, ty: &Ty) -> Option<ArgIr> {
        let from_graph = |text: &str, group: usize| {
            let prefix = self.placed.get(group).map_or("", |placed| placed.prefix.as_str());
            format!("{prefix}/{text}")
        };
        Some(match value {
            Val::Text(text) => ArgIr::Text(text.clone()),
            Val::Int(int) => ArgIr::Int(*int),
            Val::Bool(flag) => ArgIr::Bool(*flag),
            Val::List(items) => {
                let inner = match ty {
                    Ty::List(inner) => inner,
                    other => other,
                };
                ArgIr::List(items.iter().filter_map(|item| self.as_written(item, inner)).collect())
            }
            Val::Fields(fields) => {
                let of = |(name, value): (&String, &Val)| {
                    Some((name.clone(), self.as_written(value, ty.entry(name).unwrap_or(ty))?))
                };
                ArgIr::Fields(fields.iter().filter_map(of).collect())
            }
            Val::Secret(name, _) => ArgIr::Secret(name.clone()),
            Val::Decl(_, id) => match ty {
                Ty::Name(kind) => ArgIr::Decl(kind.decl()?, *id),
                _ => return None,
            },
            Val::Node(text, group) => ArgIr::Node(from_graph(text, *group)),
            Val::Ref(text, group, _) => ArgIr::Ref(from_graph(text, *group)),
        })
    }

    /// A tool by its name in a file, or by the variable that holds one.
    pub(super) fn tool_of(&self, site: &Site<'_>, tool: &NameRef) -> Option<DeclId> {
        match tool {
            NameRef::Bare(name) => self.program.lookup(site.file, DeclKind::Tool, &name.value),
            NameRef::Var(name) => match site.env.get(&name.value)? {
                Val::Decl(_, id) => Some(*id),
                _ => None,
            },
        }
    }
}

/// A value as the expression that would make it.
pub(super) fn written(value: &Val, span: Span) -> Option<Expr> {
    Some(match value {
        Val::Text(text) | Val::Decl(text, _) | Val::Node(text, _) => {
            Expr::Text(crate::lang::text::Text::literal(text.clone(), span))
        }
        Val::Int(int) => Expr::Int(*int, span),
        Val::Bool(flag) => Expr::Bool(*flag, span),
        Val::List(items) => Expr::List(items.iter().filter_map(|item| written(item, span)).collect(), span),
        Val::Fields(fields) => {
            let entry = |(name, value): (&String, &Val)| {
                let name = Name { value: name.clone(), span };
                Some((name, vec![written(value, span)?]))
            };
            Expr::Fields(fields.iter().filter_map(entry).collect(), span)
        }
        Val::Ref(..) | Val::Secret(..) => return None,
    })
}

/// The same, each element and each entry with the place of the expression that gave it.
pub(super) fn written_by(value: &Val, exprs: &[Expr]) -> Option<Expr> {
    match (value, exprs) {
        (Val::List(values), [Expr::List(items, span)]) if values.len() == items.len() => {
            let each = values.iter().zip(items).map(|(value, item)| written_by(value, std::slice::from_ref(item)));
            Some(Expr::List(each.collect::<Option<Vec<_>>>()?, *span))
        }
        (Val::List(values), [first, .., last]) if values.len() == exprs.len() => {
            let each = values.iter().zip(exprs).map(|(value, item)| written_by(value, std::slice::from_ref(item)));
            Some(Expr::List(each.collect::<Option<Vec<_>>>()?, first.span().to(last.span())))
        }
        (Val::Fields(held), [Expr::Fields(fields, span)]) => {
            let entry = |(name, value): (&String, &Val)| {
                Some(match fields.iter().find(|(given, _)| given.value == *name) {
                    Some((given, exprs)) => (given.clone(), vec![written_by(value, exprs)?]),
                    // A field that was left to its default.
                    None => {
                        let name = Name { value: name.clone(), span: Span::new(span.source, 0, 0) };
                        (name, vec![written(value, *span)?])
                    }
                })
            };
            Some(Expr::Fields(held.iter().map(entry).collect::<Option<Vec<_>>>()?, *span))
        }
        (value, [first, ..]) => written(value, first.span()),
        (_, []) => None,
    }
}

/// The most levels of lists and objects in a value that is given as JSON.
const JSON_DEPTH: usize = 32;

/// A value given as text from outside: elements of a list with commas between them, what holds named values as
/// JSON. What is not of the type stays text, which the check then reports.
pub(super) fn from_text(ty: &Ty, text: &str, at: Span) -> Result<Val, Diagnostic> {
    let is_json = match ty {
        Ty::Map(_) | Ty::Record(_) => true,
        Ty::List(inner) => inner.is_compound(),
        _ => false,
    };
    if is_json {
        let wrong = |why: String| {
            Diagnostic::new(Code::P0301, at, format!("`{text}` is not a value of type `{ty}`: {why}"))
                .with_help("give it as JSON, as `-p ports='{\"http\": 80}'`")
        };
        let parsed: serde_json::Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        return from_json(&parsed, 0).map_err(|why| wrong(why.to_owned()));
    }
    Ok(match ty {
        Ty::List(inner) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Val::List(items.map(|item| from_text(inner, item, at)).collect::<Result<Vec<_>, _>>()?.into())
        }
        // What no spec needs to be told apart from text, people write as they are used to.
        Ty::Bool if text == "true" || text == "false" => Val::Bool(text == "true"),
        Ty::Int | Ty::Bool => match value_of(text) {
            Some(Kind::Int(int)) => Val::Int(int),
            Some(Kind::Bool(flag)) => Val::Bool(flag),
            _ => Val::Text(text.to_owned()),
        },
        _ => Val::Text(text.to_owned()),
    })
}

/// The value that a text is where it stands in a spec.
fn value_of(text: &str) -> Option<Kind> {
    let mut found = Diagnostics::default();
    let line = format!("value {text}");
    let nodes = parse(SourceId(0), &line, &mut found);
    let [node] = nodes.as_slice() else { return None };
    let [value] = node.args.as_slice() else { return None };
    // Nothing but the value: no annotation before it, and nothing after it.
    let whole = Span::new(SourceId(0), "value ".len(), line.len());
    (found.is_empty() && value.span == whole).then(|| value.kind.clone())
}

fn from_json(value: &serde_json::Value, depth: usize) -> Result<Val, &'static str> {
    use serde_json::Value;
    if depth > JSON_DEPTH {
        return Err("it is nested too deep");
    }
    Ok(match value {
        Value::Null => return Err("`null` is no value"),
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Val::Int(int.into()),
            (None, Some(int)) => Val::Int(int.into()),
            (None, None) => return Err("a number with a point is no integer; write it as text"),
        },
        Value::String(text) => Val::Text(text.clone()),
        Value::Array(items) => {
            let items: Result<Vec<Val>, _> = items.iter().map(|item| from_json(item, depth + 1)).collect();
            Val::List(items?.into())
        }
        Value::Object(fields) => {
            let mut held = BTreeMap::new();
            for (name, value) in fields {
                held.insert(name.clone(), from_json(value, depth + 1)?);
            }
            Val::Fields(Arc::new(held))
        }
    })
}

/// A value for people: a list with commas, what holds named values as JSON, which can be given again.
pub(super) fn show(value: &Val) -> String {
    match value {
        Val::List(items) if !items.iter().any(|item| matches!(item, Val::Fields(_) | Val::List(_))) => {
            items.iter().filter_map(Val::text).collect::<Vec<_>>().join(",")
        }
        Val::List(_) | Val::Fields(_) => to_json(value).to_string(),
        Val::Ref(text, ..) => text.clone(),
        Val::Secret(name, _) => format!("(secret){name}"),
        scalar => scalar.text().unwrap_or_default(),
    }
}

/// A value as JSON.
pub(super) fn to_json(value: &Val) -> serde_json::Value {
    use serde_json::Value;
    match value {
        // Integers of the language are wider than those of JSON's readers.
        Val::Int(int) => i64::try_from(*int).map_or_else(|_| Value::String(int.to_string()), Value::from),
        Val::Bool(flag) => Value::Bool(*flag),
        Val::List(items) => Value::Array(items.iter().map(to_json).collect()),
        Val::Fields(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        other => Value::String(show(other)),
    }
}
