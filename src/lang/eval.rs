//! Values of variables and the evaluation of expressions and strings with holes. Total: every
//! function here ends and no value grows without bound. Leaves out where variables come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Limits, RelPath, slug};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{Cond, Expr, Op};
use crate::lang::text::{Filter, Part, Text};

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Val {
    /// A text.
    Text(String),
    /// An integer.
    Int(i128),
    /// A truth value.
    Bool(bool),
    /// A list of scalars, shared: every instance of a loop may hold it.
    List(Arc<[Val]>),
    /// A reference, resolved when all instances are known: its text, the group of nodes it is
    /// relative to, and its place.
    Ref(String, usize, Span),
}

impl Val {
    /// The value as text, where it has one.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(int) => Some(int.to_string()),
            Self::Bool(flag) => Some(flag.to_string()),
            Self::List(_) | Self::Ref(..) => None,
        }
    }
}

/// Variables with values, on top of those of an outer scope.
#[derive(Debug, Default)]
pub(crate) struct Env {
    vars: BTreeMap<String, Val>,
    outer: Option<Arc<Env>>,
}

impl Env {
    /// A scope inside another.
    pub(crate) fn inside(outer: &Arc<Env>, vars: BTreeMap<String, Val>) -> Arc<Self> {
        Arc::new(Self { vars, outer: Some(Arc::clone(outer)) })
    }

    /// An outermost scope.
    pub(crate) fn outermost(vars: BTreeMap<String, Val>) -> Arc<Self> {
        Arc::new(Self { vars, outer: None })
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&Val> {
        self.vars.get(name).or_else(|| self.outer.as_ref()?.get(name))
    }
}

/// Evaluates texts and expressions in a scope.
pub(crate) struct Evaluator<'a> {
    /// Variables.
    pub(crate) env: &'a Env,
    /// The loop variables of an instance that `node.X` stands for.
    pub(crate) instance: Option<&'a [(String, String)]>,
    /// Whether holes become address segments.
    pub(crate) slugged: bool,
    /// The group that references are relative to.
    pub(crate) group: usize,
}

impl<'a> Evaluator<'a> {
    /// An evaluator in a scope.
    pub(crate) fn new(env: &'a Env, group: usize) -> Self {
        Self { env, instance: None, slugged: false, group }
    }

    /// The text with its holes filled. Reports a `node.X` that does not exist and a text that grew
    /// too long; other mistakes have been reported by the checks.
    pub(crate) fn text(&self, text: &Text, diagnostics: &mut Diagnostics) -> Option<String> {
        let mut out = String::new();
        for part in &text.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Broken => return None,
                Part::Hole { path, filters, span } => {
                    let value = self.hole(path, filters, *span, diagnostics)?;
                    out.push_str(&if self.slugged { slug(&value) } else { value });
                }
            }
            if out.len() > Limits::STRING_BYTES && text.as_literal().is_none() {
                diagnostics.push(too_long(text.span));
                return None;
            }
        }
        Some(out)
    }

    fn hole(&self, path: &[String], filters: &[Filter], span: Span, diagnostics: &mut Diagnostics) -> Option<String> {
        let name = path.join(".");
        let mut value = match (path, self.instance) {
            ([head, key], Some(keys)) if head == "node" => match keys.iter().find(|(name, _)| name == key) {
                Some((_, value)) => Val::Text(value.clone()),
                None => {
                    let known: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
                    let help = if known.is_empty() {
                        "the node taken has no `for-each`".to_owned()
                    } else {
                        format!("the node taken has: {}", known.join(", "))
                    };
                    diagnostics.push(
                        Diagnostic::new(Code::P0308, span, format!("the node taken has no loop variable `{key}`"))
                            .with_help(help),
                    );
                    return None;
                }
            },
            _ => self.env.get(&name)?.clone(),
        };
        for filter in filters {
            value = match (filter, value) {
                (Filter::Join(separator), Val::List(items)) => {
                    let mut joined = String::new();
                    for (index, item) in items.iter().enumerate() {
                        if index > 0 {
                            joined.push_str(separator);
                        }
                        joined.push_str(&item.text()?);
                        if joined.len() > Limits::STRING_BYTES {
                            diagnostics.push(too_long(span));
                            return None;
                        }
                    }
                    Val::Text(joined)
                }
                (Filter::Lower, value) => Val::Text(value.text()?.to_lowercase()),
                (Filter::Upper, value) => Val::Text(value.text()?.to_uppercase()),
                (Filter::Slug, value) => Val::Text(slug(&value.text()?)),
                (Filter::Default(default), value) => {
                    let text = value.text()?;
                    Val::Text(if text.is_empty() { default.clone() } else { text })
                }
                (Filter::Join(_), value) => value,
            };
        }
        value.text()
    }

    /// The value of an expression.
    pub(crate) fn expr(&self, expr: &Expr, diagnostics: &mut Diagnostics) -> Option<Val> {
        match expr {
            Expr::Text(text) => self.text(text, diagnostics).map(Val::Text),
            Expr::Int(int, _) => Some(Val::Int(*int)),
            Expr::Bool(flag, _) => Some(Val::Bool(*flag)),
            Expr::Var(name) => self.env.get(&name.value).cloned(),
            Expr::Ref(text) => {
                let slugged = Self { slugged: true, env: self.env, instance: self.instance, group: self.group };
                Some(Val::Ref(slugged.text(text, diagnostics)?, self.group, text.span))
            }
            Expr::Secret(_) => None,
        }
    }

    /// The texts an argument position stands for: a list is spliced.
    pub(crate) fn splice(&self, expr: &Expr, out: &mut Vec<String>, diagnostics: &mut Diagnostics) -> Option<()> {
        match self.expr(expr, diagnostics)? {
            Val::List(items) => out.extend(items.iter().filter_map(Val::text)),
            scalar => out.push(scalar.text()?),
        }
        Some(())
    }

    /// The texts a pattern's position stands for: `(var)list` is spliced.
    pub(crate) fn texts(&self, text: &Text, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
        let mut out = Vec::new();
        match text.as_variable() {
            Some(name) => self.splice(&Expr::Var(name), &mut out, diagnostics)?,
            None => out.push(self.text(text, diagnostics)?),
        }
        Some(out)
    }

    /// Whether a condition holds.
    pub(crate) fn condition(&self, condition: &Cond, diagnostics: &mut Diagnostics) -> Option<bool> {
        match condition {
            Cond::All(all) => {
                all.iter().try_fold(true, |sofar, inner| Some(self.condition(inner, diagnostics)? && sofar))
            }
            Cond::Any(any) => {
                any.iter().try_fold(false, |sofar, inner| Some(self.condition(inner, diagnostics)? || sofar))
            }
            Cond::Not(none) => {
                none.iter().try_fold(true, |sofar, inner| Some(!self.condition(inner, diagnostics)? && sofar))
            }
            Cond::Triple(path, op, value) => {
                let left = self.env.get(&path.value)?;
                let right = self.expr(value, diagnostics)?;
                let order = match (left, &right) {
                    (Val::Int(left), Val::Int(right)) => left.cmp(right),
                    (left, right) => left.text()?.cmp(&right.text()?),
                };
                Some(match op {
                    Op::Eq => order.is_eq(),
                    Op::Ne => order.is_ne(),
                    Op::Lt => order.is_lt(),
                    Op::Le => order.is_le(),
                    Op::Gt => order.is_gt(),
                    Op::Ge => order.is_ge(),
                })
            }
        }
    }
}

fn too_long(span: Span) -> Diagnostic {
    Diagnostic::new(Code::P0405, span, format!("the string grows beyond {} bytes", Limits::STRING_BYTES))
        .with_help("long texts belong in files: use `input` or `render`")
}

/// Checks a path or pattern of the workspace: relative, no `..`, no empty segments. `*`, `?`, `[…]`
/// and `{…}` are pattern characters. The error is a message.
pub(crate) fn pattern(text: &str) -> Result<(), String> {
    let plain = text.replace(['*', '?', '[', ']', '{', '}', '!', ','], "x");
    RelPath::new(&plain).map(|_| ()).map_err(|error| error.to_string().replace(&plain, text))
}

/// Whether an address matches a pattern: `*` stands for one segment or a part of it, `**` for any
/// number of segments.
pub(crate) fn address_matches(pattern: &str, addr: &str) -> bool {
    fn segment(pattern: &[u8], text: &[u8]) -> bool {
        // The classic two-pointer match: linear but for one remembered `*`.
        let (mut p, mut t, mut star) = (0, 0, None);
        while t < text.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                star = Some((p, t));
                p += 1;
            } else if p < pattern.len() && pattern[p] == text[t] {
                p += 1;
                t += 1;
            } else if let Some((at, from)) = star {
                p = at + 1;
                t = from + 1;
                star = Some((at, from + 1));
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
    let patterns: Vec<&str> = pattern.split('/').collect();
    let texts: Vec<&str> = addr.split('/').collect();
    // reachable[i]: the patterns so far match the first i segments.
    let mut reachable = vec![false; texts.len() + 1];
    reachable[0] = true;
    for pattern in patterns {
        let mut next = vec![false; texts.len() + 1];
        if pattern == "**" {
            let mut open = false;
            for (i, cell) in next.iter_mut().enumerate() {
                open |= reachable[i];
                *cell = open;
            }
        } else {
            for i in 0..texts.len() {
                next[i + 1] = reachable[i] && segment(pattern.as_bytes(), texts[i].as_bytes());
            }
        }
        reachable = next;
    }
    reachable[texts.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_match_by_segment() {
        assert!(address_matches("g/build/*", "g/build/core"));
        assert!(!address_matches("g/build/*", "g/build/core/x86"));
        assert!(address_matches("g/build/**", "g/build/core/x86"));
        assert!(address_matches("g/build/**", "g/build"));
        assert!(address_matches("g/*-c/x", "g/lapi-c/x"));
        assert!(!address_matches("g/*-c/x", "g/lapi-d/x"));
        assert!(address_matches("**", "g/x"));
    }

    #[test]
    fn patterns_stay_inside() {
        assert!(pattern("src/**/*.{c,h}").is_ok());
        assert!(pattern("../x").is_err());
        assert!(pattern("/etc/passwd").is_err());
    }
}
