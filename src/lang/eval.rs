//! Values of variables and the evaluation of expressions and strings with holes. Total: every
//! function here ends and no value grows without bound. Leaves out where variables come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Limits, RelPath, addresses, slug};
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Cond, Expr, Op};
use crate::lang::check::{misplaced_address, some};
use crate::lang::expand::leak;
use crate::lang::order::{is_measured, order};
use crate::lang::program::{DeclId, FileId};
use crate::lang::text::{Filter, Part, Text};
use crate::lang::ty::Ty;

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
    /// A secret by name, with the place where it was given. Its value is not known here.
    Secret(String, Span),
    /// The named values of a map or a record, shared.
    Fields(Arc<BTreeMap<String, Val>>),
    /// A declaration, with its name as written where it was given.
    Decl(String, DeclId),
    /// A node or pattern of nodes, as written, and the group it was written in.
    Node(String, usize),
}

impl Val {
    /// The value as text, where it has one.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Decl(text, _) | Self::Node(text, _) => Some(text.clone()),
            Self::Int(int) => Some(int.to_string()),
            Self::Bool(flag) => Some(flag.to_string()),
            Self::List(_) | Self::Ref(..) | Self::Secret(..) | Self::Fields(_) => None,
        }
    }
}

/// Variables with values, on top of those of an outer scope.
#[derive(Debug, Default)]
pub(crate) struct Env {
    vars: BTreeMap<String, Val>,
    outer: Option<Arc<Env>>,
    /// Of an outermost scope: the file whose constants these are.
    file: Option<FileId>,
}

impl Env {
    /// A scope inside another.
    pub(crate) fn inside(outer: &Arc<Env>, vars: BTreeMap<String, Val>) -> Arc<Self> {
        Arc::new(Self { vars, outer: Some(Arc::clone(outer)), file: None })
    }

    /// An outermost scope: the constants of a file.
    pub(crate) fn outermost(file: FileId, vars: BTreeMap<String, Val>) -> Arc<Self> {
        Arc::new(Self { vars, outer: None, file: Some(file) })
    }

    /// The file that names are looked up in.
    pub(crate) fn file(&self) -> Option<FileId> {
        self.file.or_else(|| self.outer.as_ref()?.file())
    }

    /// Whether a variable is a constant of the file, and no parameter or loop variable stands before it.
    pub(crate) fn is_constant(&self, name: &str) -> bool {
        match &self.outer {
            Some(outer) => !self.vars.contains_key(name) && outer.is_constant(name),
            None => self.file.is_some() && self.vars.contains_key(name),
        }
    }

    /// The value of a variable, or of what it holds under a name: `x.field`.
    pub(crate) fn get(&self, name: &str) -> Option<&Val> {
        let (whole, rest) = self.whole(name)?;
        inside(whole, rest).ok()
    }

    /// The variable that a dotted name begins with, and what follows: see `heads`.
    fn whole<'n>(&self, name: &'n str) -> Option<(&Val, &'n str)> {
        let own = heads(name).find_map(|(head, rest)| {
            let found = self.vars.get(head)?;
            (rest.is_empty() || matches!(found, Val::Fields(_))).then_some((found, rest))
        });
        own.or_else(|| self.outer.as_ref()?.whole(name))
    }
}

/// Dots of a name that are looked at: an alias, and records as deep as they may be.
const DOTS: usize = 20;

/// The names that a dotted name may begin with, each with what follows: the whole, then ever shorter
/// ones. Within a scope the longest that is known counts, and an inner scope before an outer one.
pub(crate) fn heads(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let dots = name.rmatch_indices('.').take(DOTS);
    std::iter::once((name, "")).chain(dots.map(|(at, _)| (&name[..at], &name[at + 1..])))
}

/// What a value holds under a dotted name. The error is what it does not hold, and what it does.
fn inside<'v, 'n>(whole: &'v Val, path: &'n str) -> Result<&'v Val, (&'n str, Vec<&'v str>)> {
    let mut value = whole;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        value = match value {
            Val::Fields(fields) => {
                fields.get(part).ok_or_else(|| (part, fields.keys().map(String::as_str).collect()))?
            }
            _ => return Err((part, Vec::new())),
        };
    }
    Ok(value)
}

/// Evaluates texts and expressions in a scope.
pub(crate) struct Evaluator<'a> {
    /// Variables.
    pub(crate) env: &'a Env,
    /// The loop variables of an instance that `node.X` stands for.
    pub(crate) instance: Option<&'a [(String, String)]>,
    /// Whether holes become address segments.
    pub(crate) slugged: bool,
    /// Whether what is made is given to a process, and so may hold addresses of services.
    pub(crate) addresses: bool,
    /// The group that references are relative to.
    pub(crate) group: usize,
}

impl<'a> Evaluator<'a> {
    /// An evaluator in a scope.
    pub(crate) fn new(env: &'a Env, group: usize) -> Self {
        Self { env, instance: None, slugged: false, addresses: false, group }
    }

    /// The text with its holes filled. Reports a `node.X` that does not exist and a text that grew
    /// too long; other mistakes have been reported by the checks.
    pub(crate) fn text(&self, text: &Text, diagnostics: &mut Diagnostics) -> Option<String> {
        if let [Part::Literal(literal)] = text.parts.as_slice() {
            return Some(literal.clone());
        }
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
            _ => match (self.env.get(&name), filters.first()) {
                (Some(value), _) => value.clone(),
                (None, Some(Filter::Default(_))) => Val::Text(String::new()),
                (None, _) => self.var(&name, span, diagnostics)?.clone(),
            },
        };
        if let Val::Secret(secret, given) = &value {
            diagnostics.push(leak(secret, span, "a text").with_secondary(*given, "given here"));
            return None;
        }
        check_address(&value, self.addresses && filters.is_empty(), &name, span, diagnostics)?;
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

    /// The value of a variable. Reports an entry that a map does not have, which is known only now;
    /// what else may be missing has been reported.
    pub(crate) fn var(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<&'a Val> {
        let env: &'a Env = self.env;
        let (whole, rest) = env.whole(name)?;
        match inside(whole, rest) {
            Ok(value) => Some(value),
            Err((missing, known)) => {
                // Every instance of a node makes the same mistake.
                if !diagnostics.has_error_within(span) {
                    diagnostics.push(no_entry(name, missing, &known, span));
                }
                None
            }
        }
    }

    /// The value of an expression.
    pub(crate) fn expr(&self, expr: &Expr, diagnostics: &mut Diagnostics) -> Option<Val> {
        match expr {
            Expr::Text(text) => self.text(text, diagnostics).map(Val::Text),
            Expr::Int(int, _) => Some(Val::Int(*int)),
            Expr::Bool(flag, _) => Some(Val::Bool(*flag)),
            Expr::Var(name) => {
                let value = self.var(&name.value, name.span, diagnostics)?;
                check_address(value, self.addresses, &name.value, name.span, diagnostics)?;
                Some(value.clone())
            }
            Expr::Ref(text) => {
                // The address of a service is a variable; whatever else is referred to is an output.
                if let Some(name) = text.as_literal()
                    && let Some(value @ Val::Text(address)) = self.env.get(name)
                    && addresses(address).first().is_some_and(|found| found.placeholder() == *address)
                {
                    check_address(value, self.addresses, name, text.span, diagnostics)?;
                    return Some(value.clone());
                }
                let slugged = Self { slugged: true, ..*self };
                Some(Val::Ref(slugged.text(text, diagnostics)?, self.group, text.span))
            }
            Expr::Secret(name) => Some(Val::Secret(name.value.clone(), name.span)),
            Expr::List(items, _) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    let value = self.expr(item, diagnostics)?;
                    no_secret(&value, item.span(), diagnostics)?;
                    values.push(value);
                }
                Some(Val::List(values.into()))
            }
            // By its type alone is it known what is in it: see `expand::values`.
            Expr::Fields(..) => None,
        }
    }

    /// The texts an argument position stands for: a list is spliced.
    pub(crate) fn splice(&self, expr: &Expr, out: &mut Vec<String>, diagnostics: &mut Diagnostics) -> Option<()> {
        match self.expr(expr, diagnostics)? {
            Val::List(items) => out.extend(items.iter().filter_map(Val::text)),
            Val::Secret(secret, given) => {
                let at = expr.span();
                let found = leak(&secret, at, "an argument of a process");
                diagnostics.push(if at == given { found } else { found.with_secondary(given, "given here") });
                return None;
            }
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

    /// Whether a condition holds. `kinds`: the types of what it names, by which values are compared.
    pub(crate) fn condition(
        &self,
        condition: &Cond,
        kinds: &BTreeMap<&str, Ty>,
        diagnostics: &mut Diagnostics,
    ) -> Option<bool> {
        match condition {
            Cond::All(all) => {
                all.iter().try_fold(true, |sofar, inner| Some(self.condition(inner, kinds, diagnostics)? && sofar))
            }
            Cond::Any(any) => {
                any.iter().try_fold(false, |sofar, inner| Some(self.condition(inner, kinds, diagnostics)? || sofar))
            }
            Cond::Not(none) => {
                none.iter().try_fold(true, |sofar, inner| Some(!self.condition(inner, kinds, diagnostics)? && sofar))
            }
            Cond::Triple(path, op, value) => {
                let left = self.var(&path.value, path.span, diagnostics)?;
                if let Val::Secret(secret, given) = left {
                    diagnostics.push(
                        leak(secret, path.span, "a condition, which the plan shows")
                            .with_secondary(*given, "given here"),
                    );
                    return None;
                }
                let right = self.expr(value, diagnostics)?;
                match op {
                    Op::Contains => return Some(left.text()?.contains(&right.text()?)),
                    // One that cannot be compiled has been reported.
                    Op::Matches => {
                        return regex::Regex::new(&right.text()?)
                            .ok()
                            .map(|regex| regex.is_match(&left.text().unwrap_or_default()));
                    }
                    _ => {}
                }
                let order = match (left, &right) {
                    (Val::Int(left), Val::Int(right)) => left.cmp(right),
                    (left, right) => {
                        let given = match value {
                            Expr::Var(name) => kinds.get(name.value.as_str()),
                            _ => None,
                        };
                        let own = kinds.get(path.value.as_str()).filter(|ty| is_measured(ty));
                        let ty = own.or(given.filter(|ty| is_measured(ty))).unwrap_or(&Ty::String);
                        let (left, right) = (left.text()?, right.text()?);
                        match order(ty, &left, &right) {
                            Ok(order) => order,
                            Err(wrong) => {
                                let at = if wrong == left { path.span } else { value.span() };
                                // Every instance of a node makes the same mistake.
                                if !diagnostics.has_error_within(at) {
                                    diagnostics.push(no_measure(wrong, ty, at));
                                }
                                return None;
                            }
                        }
                    }
                };
                Some(match op {
                    Op::Eq => order.is_eq(),
                    Op::Ne => order.is_ne(),
                    Op::Lt => order.is_lt(),
                    Op::Le => order.is_le(),
                    Op::Gt => order.is_gt(),
                    Op::Ge | Op::Contains | Op::Matches => order.is_ge(),
                })
            }
        }
    }
}

/// The diagnostic for a text that is compared with values of a type and is none.
fn no_measure(text: &str, ty: &Ty, at: Span) -> Diagnostic {
    let code = if *ty == Ty::Semver { Code::P0301 } else { Code::P0306 };
    Diagnostic::new(code, at, format!("`{text}` is not {}, and is compared with one", ty.noun()))
        .with_help(format!("give {}, or compare with a text", ty.noun()))
}

/// Reports a value that holds the address of a service where none may be.
fn check_address(value: &Val, may: bool, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<()> {
    match value {
        Val::Text(text) if !may && !addresses(text).is_empty() => {
            // Every instance of a node makes the same mistake.
            if !diagnostics.has_error_within(span) {
                diagnostics.push(misplaced_address(span, name));
            }
            None
        }
        _ => Some(()),
    }
}

/// Reports a secret in what holds several values: a variable may be given one.
pub(crate) fn no_secret(value: &Val, span: Span, diagnostics: &mut Diagnostics) -> Option<()> {
    match value {
        Val::Secret(name, given) => {
            // Every instance of a node makes the same mistake.
            if !diagnostics.has_error_within(span) {
                diagnostics.push(
                    leak(name, span, "a list, a map or a record").with_secondary(*given, "the secret is given here"),
                );
            }
            None
        }
        Val::List(items) => items.iter().try_for_each(|item| no_secret(item, span, diagnostics)),
        Val::Fields(fields) => fields.values().try_for_each(|value| no_secret(value, span, diagnostics)),
        _ => Some(()),
    }
}

/// The diagnostic for a map that has no entry of a name.
pub(crate) fn no_entry(name: &str, missing: &str, known: &[&str], span: Span) -> Diagnostic {
    let end = name.rfind(missing).unwrap_or(0);
    let map = name[..end].trim_end_matches('.');
    Diagnostic::new(Code::P0308, span, format!("`{map}` has no entry `{missing}`"))
        .with_suggestion_in(name, end..end + missing.len(), did_you_mean(missing, known.iter().copied()))
        .with_help(if known.is_empty() { "it is empty".to_owned() } else { format!("it has: {}", some(known)) })
}

fn too_long(span: Span) -> Diagnostic {
    Diagnostic::new(Code::P0405, span, format!("the string grows beyond {} bytes", Limits::STRING_BYTES))
        .with_help("long texts belong in files: use `input` or `render`")
}

/// Checks a path or pattern of the workspace: relative, no `..`, no empty segments. `*`, `?`, `[…]`
/// and `{…}` are pattern characters. The error is a message.
pub(crate) fn pattern(text: &str) -> Result<(), String> {
    const SPECIAL: [char; 8] = ['*', '?', '[', ']', '{', '}', '!', ','];
    if !text.contains(SPECIAL) {
        return RelPath::check(text).map_err(|error| error.to_string());
    }
    let plain = text.replace(SPECIAL, "x");
    RelPath::check(&plain).map_err(|error| error.to_string().replace(&plain, text))
}

/// Checks the wildcards of a pattern as it will be read when files are looked for. The error is a message.
pub(crate) fn wildcards(text: &str) -> Result<(), String> {
    let mut open = 0usize;
    for part in text.split('/') {
        open = (open + part.matches('{').count()).saturating_sub(part.matches('}').count());
        if open > 0 {
            return Err(if text.matches('{').count() > text.matches('}').count() {
                format!("`{text}` is no pattern: a `{{` is never closed")
            } else {
                format!("`{text}` has a `/` inside braces: write one pattern for each")
            });
        }
        if part != "**" && part.contains("**") {
            return Err(format!("`{text}` has `**` beside other characters: it must be a segment of its own"));
        }
        if part.contains(['*', '?', '[', '{']) {
            let glob = globset::GlobBuilder::new(part).literal_separator(true).backslash_escape(false).build();
            glob.map_err(|error| format!("`{text}` is no pattern: {}", error.kind()))?;
        }
    }
    Ok(())
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
    if !pattern.contains('*') {
        return pattern == addr;
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
        assert!(wildcards("src/**/*.{c,h}").is_ok() && wildcards("a[b-d]/?").is_ok());
        for text in ["a[b", "{x", "a{b/c}", "a**", "x/[z-a]"] {
            assert!(wildcards(text).is_err(), "{text}");
        }
    }
}
