//! Constraints of parameters and fields to their declaration: of a kind that says something of the type, and such
//! that some value can meet them. Leaves out values: see `check`.

use crate::diag::{Applicability, Code, Diagnostic, Span};
use crate::lang::ast::Name;
use crate::lang::decode::{Decoder, children, prop};
use crate::lang::ty::{Breach, Constraints, Ty, check_int, check_text, measure, measured};
use crate::lang::{Kind, Node};

/// The words that constrain, what they are said of, and whether a type is that.
type Rule = (&'static [&'static str], &'static str, fn(&Ty, &Ty) -> bool);

const RULES: &[Rule] = &[
    (&["min", "max"], "an integer, a duration, a size or money", |_, scalar| *scalar == Ty::Int || has_unit(scalar)),
    (&["min-length", "max-length", "matches"], "a text", |_, scalar| scalar.textual()),
    (&["min-items", "max-items"], "a list or a map", |ty, _| matches!(ty, Ty::List(_) | Ty::Map(_))),
    (&["distinct"], "a list", |ty, _| matches!(ty, Ty::List(_))),
];

/// Pairs of which the first may not be more than the second.
const PAIRS: &[(&str, &str)] = &[("min", "max"), ("min-length", "max-length"), ("min-items", "max-items")];

fn has_unit(ty: &Ty) -> bool {
    matches!(ty, Ty::Dur | Ty::Size | Ty::Money)
}

/// What the elements or entries are, or the value itself.
pub(super) fn scalar(ty: &Ty) -> &Ty {
    if let Ty::List(inner) | Ty::Map(inner) = ty { scalar(inner) } else { ty }
}

impl Decoder<'_> {
    /// Reports a constraint that says nothing about values of the parameter's type.
    pub(super) fn constraints_fit(&mut self, node: &Node, name: &Name, ty: &Ty) -> bool {
        let inner = scalar(ty);
        // What a record's name means is known later: see `load::records`.
        if matches!(inner, Ty::Poison | Ty::Named(_)) {
            return true;
        }
        let mut all = true;
        for (words, what, fits) in RULES {
            let given = words.iter().find_map(|word| node.props.iter().find(|property| property.name.value == **word));
            let Some(given) = given.filter(|_| !fits(ty, inner)) else { continue };
            all = false;
            let word = &given.name.value;
            let found = Diagnostic::new(
                Code::P0301,
                given.name.span,
                format!("`{word}` constrains {what}, and `{}` is of type `{ty}`", name.value),
            );
            let length = word.strip_suffix("-length").filter(|_| matches!(ty, Ty::List(_) | Ty::Map(_)));
            self.push(found.with_help(match length {
                Some(which) => format!("for the number of values write `{which}-items`"),
                None => format!("remove `{word}`, or change the type"),
            }));
        }
        all
    }

    /// The number that a constraint says. Reports what is none for a type.
    pub(super) fn bound(&mut self, node: &Node, word: &str, ty: &Ty) -> Option<i128> {
        let value = prop(node, word)?;
        let inner = scalar(ty);
        let of_value = matches!(word, "min" | "max");
        match &value.kind {
            Kind::Int(int) if !of_value && *int < 0 => {
                self.push(
                    Diagnostic::new(Code::P0304, value.span, format!("{int} is out of bounds"))
                        .with_help("write a whole number from 0"),
                );
                None
            }
            Kind::Int(int) if !of_value || matches!(inner, Ty::Int | Ty::Poison | Ty::Named(_)) => Some(*int),
            Kind::Int(int) if *inner == Ty::Money => {
                self.push(
                    Diagnostic::new(Code::P0307, value.span, format!("`{int}` is no amount of money"))
                        .with_help(format!("money is written as text: `\"{int}.00\"`"))
                        .with_fix(Applicability::MaybeIncorrect, value.span, format!("\"{int}.00\"")),
                );
                None
            }
            Kind::Int(int) if has_unit(inner) => {
                let (what, unit) = if *inner == Ty::Dur { ("duration", "s") } else { ("size", "MiB") };
                self.push(
                    Diagnostic::new(Code::P0306, value.span, format!("`{int}` is no {what}: its unit is missing"))
                        .with_help(format!("write it with its unit: `\"{int}{unit}\"`"))
                        .with_fix(Applicability::MaybeIncorrect, value.span, format!("\"{int}{unit}\"")),
                );
                None
            }
            Kind::Text(text) if of_value && has_unit(inner) => {
                let found = measure(inner, text);
                if found.is_none() {
                    let (what, example) = match inner {
                        Ty::Dur => ("duration", "`\"90s\"` or `\"20m\"`"),
                        Ty::Size => ("size", "`\"512KiB\"` or `\"4GiB\"`"),
                        _ => ("amount of money", "`\"1.50\"`"),
                    };
                    self.bad_unit(value.span, text, what, example);
                }
                found
            }
            Kind::Text(text) if of_value && *inner == Ty::Int => {
                let found = Diagnostic::new(Code::P0108, value.span, "expected an integer, found a string");
                self.push(if text.parse::<i128>().is_ok() {
                    found.with_help("write the number without quotes").with_fix(
                        Applicability::MachineApplicable,
                        value.span,
                        text.trim_start_matches('+'),
                    )
                } else {
                    found.with_help("write a number, without quotes")
                });
                None
            }
            _ => None,
        }
    }

    /// The values of `one-of` with their places: numbers of an integer, texts of whatever is written as text.
    pub(super) fn choices(&mut self, node: &Node, ty: &Ty) -> Vec<(String, Span)> {
        let inner = scalar(ty);
        let mut all: Vec<(String, Span)> = Vec::new();
        for list in children(node, "one-of") {
            let fits = inner.textual() || matches!(inner, Ty::Int | Ty::Poison | Ty::Named(_));
            if !fits && self.sound(list) {
                self.push(
                    Diagnostic::new(
                        Code::P0301,
                        list.name.span,
                        format!("`one-of` constrains a text or an integer, and this is of type `{ty}`"),
                    )
                    .with_help("remove `one-of`, or change the type"),
                );
                continue;
            }
            for value in &list.args {
                let (text, span) = match (&value.kind, inner) {
                    (Kind::Int(int), Ty::Int | Ty::Poison | Ty::Named(_)) => (int.to_string(), value.span),
                    (Kind::Text(text), inner) if *inner != Ty::Int => (text.clone(), value.span),
                    (Kind::Int(int), _) => {
                        self.push(
                            Diagnostic::new(Code::P0108, value.span, "expected a text, found an integer")
                                .with_help(format!("quote it: `\"{int}\"`"))
                                .with_quotes(Applicability::MachineApplicable, value.span),
                        );
                        continue;
                    }
                    (Kind::Text(text), _) => {
                        let found = Diagnostic::new(Code::P0108, value.span, "expected an integer, found a text");
                        self.push(if text.parse::<i128>().is_ok() {
                            found.with_help("write the number without quotes").with_fix(
                                Applicability::MachineApplicable,
                                value.span,
                                text.trim_start_matches('+'),
                            )
                        } else {
                            found.with_help("write numbers, or `type=string`")
                        });
                        continue;
                    }
                    _ => continue,
                };
                if let Some((_, first)) = all.iter().find(|(known, _)| *known == text) {
                    self.push(
                        Diagnostic::new(Code::P0202, span, format!("`{text}` is listed twice"))
                            .with_secondary(*first, "first listed here")
                            .with_help("keep one"),
                    );
                    continue;
                }
                all.push((text, span));
            }
        }
        all
    }

    /// Reports constraints that no value meets, and values that may not be chosen for all that they are listed.
    pub(super) fn can_be_met(
        &mut self,
        node: &Node,
        name: &Name,
        ty: &Ty,
        constraints: &mut Constraints,
        one_of: &[(String, Span)],
    ) {
        let inner = scalar(ty);
        let Constraints { min, max, min_length, max_length, min_items, max_items, .. } = constraints;
        let bounds = [(min, max), (min_length, max_length), (min_items, max_items)];
        for ((least, most), (lowest, highest)) in PAIRS.iter().zip(bounds) {
            let (Some(min), Some(max)) = (&*lowest, &*highest) else { continue };
            let (Some(low), Some(high)) = (prop(node, least), prop(node, most)) else { continue };
            if min <= max {
                continue;
            }
            let (min, max) = (*min, *max);
            // What breaks one of them is no second mistake.
            (*lowest, *highest) = (None, None);
            let shown = |bound: i128| if *least == "min" { measured(inner, bound) } else { bound.to_string() };
            self.push(
                Diagnostic::new(
                    Code::P0317,
                    high.span,
                    format!(
                        "nothing can be given for `{}`: no value is at least {} and at most {}",
                        name.value,
                        shown(min),
                        shown(max)
                    ),
                )
                .with_label(format!("`{most}`"))
                .with_secondary(low.span, format!("`{least}`"))
                .with_help("swap the two, or remove one"),
            );
        }
        let others = Constraints { one_of: Vec::new(), ..constraints.of_values() };
        for (value, span) in one_of {
            let checked = match value.parse() {
                Ok(int) if *inner == Ty::Int => check_int(&others, int),
                _ if *inner == Ty::Enum => check_text(&Ty::String, &others, value),
                _ if matches!(inner, Ty::Poison | Ty::Named(_)) => Ok(()),
                _ => check_text(inner, &others, value),
            };
            let why = match checked {
                Ok(()) => continue,
                Err(Breach::Bounds(words, "matches")) => words,
                Err(Breach::Bounds(words, by)) => format!("{words}, its `{by}`"),
                Err(_) => format!("`{value}` is not {}", inner.noun()),
            };
            self.push(
                Diagnostic::new(
                    Code::P0317,
                    *span,
                    format!("`{value}` can never be chosen for `{}`: {why}", name.value),
                )
                .with_help("remove it, or change the other constraint"),
            );
        }
    }
}
