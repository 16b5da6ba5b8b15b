//! Variables in scope with their types, and the check of expressions against types. Leaves out
//! values: see `expand`.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, Edit, Fix, Span, did_you_mean};
use crate::lang::ast::{Expr, Name, Param};
use crate::lang::check::service::misplaced_address;
use crate::lang::check::unique;
use crate::lang::eval::{heads, no_entry};
use crate::lang::expand::leak;
use crate::lang::order::one_form;
use crate::lang::print::quote;
use crate::lang::program::{COMPARED, DeclKind, FileId, Lost, Program};
use crate::lang::text::{BRACES, Filter, Text};
use crate::lang::ty::{Breach, Constraints, Ty, check_int, check_items, check_text};

/// Variables in scope: its own, those of the scope around it, and the constants of a file.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    outer: Option<&'a Scope<'a>>,
    constants: Option<(&'a Program, FileId)>,
    /// The file that names are looked up in, where its constants are not in scope.
    names: Option<(&'a Program, FileId)>,
    vars: BTreeMap<&'a str, (Ty, Span)>,
    /// Which of its variables are addresses of services.
    addresses: BTreeSet<&'a str>,
    /// Whether `node.VARIABLE` may be used: in places evaluated for each instance taken.
    instance: bool,
    /// Whether a parameter of it was not understood, so that its name may be missing.
    incomplete: bool,
    /// Names that what was not understood may have declared.
    lost: BTreeSet<&'a str>,
    /// The names of the nodes of a group.
    nodes: Option<BTreeSet<&'a str>>,
}

impl<'a> Scope<'a> {
    /// The constants of a file, also those behind aliases.
    pub(crate) fn of_file(program: &'a Program, file: FileId) -> Self {
        Self { constants: Some((program, file)), ..Self::default() }
    }

    /// Nothing in scope, in a file whose declarations may be named.
    pub(crate) fn names_of(program: &'a Program, file: FileId) -> Self {
        Self { names: Some((program, file)), ..Self::default() }
    }

    /// The file that names are looked up in.
    fn home(&self) -> Option<(&'a Program, FileId)> {
        self.constants.or(self.names).or_else(|| self.outer?.home())
    }

    /// A scope inside this one, with nothing of its own yet.
    pub(crate) fn inner(&'a self) -> Self {
        Self { outer: Some(self), ..Self::default() }
    }

    /// A scope inside this one in which `node.VARIABLE` may be used.
    pub(crate) fn of_instances(&'a self) -> Self {
        Self { instance: true, ..self.inner() }
    }

    /// A scope inside this one, with parameters. `known`: whether they are all that were written.
    pub(crate) fn with_params(&'a self, params: &'a [Param], known: bool) -> Self {
        // Of two of one name the first counts; the second has been reported.
        let vars =
            params.iter().rev().map(|param| (param.name.value.as_str(), (param.ty.clone(), param.name.span))).collect();
        Self { vars, incomplete: !known, ..self.inner() }
    }

    /// Adds a variable.
    pub(crate) fn insert(&mut self, name: &'a Name, ty: Ty) {
        self.vars.insert(&name.value, (ty, name.span));
    }

    /// Adds names that what was not understood may have declared.
    pub(crate) fn lose(&mut self, names: &'a [Name]) {
        self.lost.extend(names.iter().map(|name| name.value.as_str()));
    }

    /// Adds the nodes that references may name.
    pub(super) fn set_nodes(&mut self, nodes: BTreeSet<&'a str>) {
        self.nodes = Some(nodes);
    }

    /// The diagnostic for a reference that is to no node and no service; `None`: it is to one, or may be to
    /// one that was not understood.
    pub(super) fn no_such(&self, text: &Text) -> Option<Diagnostic> {
        let literal = text.as_literal()?;
        let (path, output) = literal.split_once('.')?;
        if self.is_of_service(literal) {
            let known = self.ports_of(path);
            let missing = (!self.is_lost(path)).then(|| no_port(text, path, output, &known));
            return missing.filter(|_| !self.is_address(literal));
        }
        let nodes = self.nodes_here()?;
        let head = path.split('/').next().unwrap_or(path);
        let below = format!("{head}/");
        let above = nodes.range(below.as_str()..).next().is_some_and(|name| name.starts_with(&below));
        if head.contains('*') || nodes.contains(path) || nodes.contains(head) || above || self.is_lost(head) {
            return None;
        }
        let services = self.services_here();
        let known: Vec<&str> = nodes.iter().copied().chain(services.iter().copied()).collect();
        let near = did_you_mean(head, known.iter().take(COMPARED).copied());
        Some(
            Diagnostic::new(Code::P0201, text.span, format!("cannot find node or service `{head}`"))
                .with_suggestion_in(literal, 0..head.len(), near)
                .with_help(format!("here are: {}", some(&known))),
        )
    }

    fn nodes_here(&self) -> Option<&BTreeSet<&'a str>> {
        self.nodes.as_ref().or_else(|| self.outer?.nodes_here())
    }

    fn services_here(&self) -> BTreeSet<&str> {
        let mut all = self.outer.map_or_else(BTreeSet::new, Scope::services_here);
        all.extend(self.addresses.iter().filter_map(|name| name.split('.').next()));
        all
    }

    fn ports_of(&self, service: &str) -> Vec<&str> {
        let of = |name: &&'a str| {
            let (head, port) = name.split_once('.')?;
            (head == service && !port.contains('.')).then_some(port)
        };
        let mut ports = self.outer.map_or_else(Vec::new, |outer| outer.ports_of(service));
        ports.extend(self.addresses.iter().filter_map(of));
        ports
    }

    /// Whether a name may be declared by what was not understood.
    pub(super) fn is_lost(&self, name: &str) -> bool {
        let head = name.split(['.', '/']).next().unwrap_or(name);
        self.lost.contains(head) || self.outer.is_some_and(|outer| outer.is_lost(name))
    }

    /// Adds the address of a service, or the number of a port of it.
    pub(crate) fn insert_address(&mut self, name: &'a Name) {
        self.insert(name, Ty::String);
        self.addresses.insert(&name.value);
    }

    /// Whether a variable is the address of a service.
    pub(crate) fn is_address(&self, name: &str) -> bool {
        if self.vars.contains_key(name) {
            return self.addresses.contains(name);
        }
        let constant = |(program, file): (&Program, FileId)| program.lookup(file, DeclKind::Let, name).is_some();
        !self.constants.is_some_and(constant) && self.outer.is_some_and(|outer| outer.is_address(name))
    }

    /// Whether a reference is to a service: to one of its ports, or to one that it does not have.
    pub(crate) fn is_of_service(&self, reference: &str) -> bool {
        let head = reference.split('.').next().unwrap_or(reference);
        let own = |name: &&str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
        self.lost.contains(head)
            || self.addresses.iter().any(own)
            || self.outer.is_some_and(|outer| outer.is_of_service(reference))
    }

    /// The type of a variable, or of what it holds under a name: `x.field`.
    pub(super) fn get(&self, name: &str) -> Option<(&Ty, Span)> {
        let whole = self.whole(name)?;
        let mut ty = whole.ty;
        for part in whole.rest.split('.').filter(|part| !part.is_empty()) {
            if *ty == Ty::Poison {
                break;
            }
            ty = ty.entry(part)?;
        }
        Some((ty, whole.span))
    }

    /// The variable that a dotted name begins with: see `heads`.
    fn whole<'n>(&self, name: &'n str) -> Option<Whole<'_, 'n>> {
        for (head, rest) in heads(name) {
            let found = match (self.vars.get(head), self.constants) {
                (Some((ty, span)), _) => Whole { ty, span: *span, rest, values: &[] },
                (None, Some((program, file))) => {
                    let Some(id) = program.lookup(file, DeclKind::Let, head) else { continue };
                    let decl = program.constant(id);
                    Whole { ty: &decl.ty, span: decl.name.span, rest, values: &decl.values }
                }
                (None, None) => continue,
            };
            if rest.is_empty() || matches!(found.ty, Ty::Map(_) | Ty::Record(_) | Ty::Poison) {
                return Some(found);
            }
        }
        self.outer?.whole(name)
    }

    /// Reports what a map or a record does not hold. `false` if that is not what is wrong.
    fn no_field(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> bool {
        let Some(Whole { ty, span: declared, rest, values }) = self.whole(name) else { return false };
        let (mut ty, mut values) = (ty, Some(values).filter(|values| !values.is_empty()));
        let mut at = name.len() - rest.len();
        for part in rest.split('.').filter(|part| !part.is_empty()) {
            let entries = match values {
                Some([Expr::Fields(entries, _)]) => Some(entries),
                _ => None,
            };
            let found = match (ty, entries) {
                (Ty::Map(inner), Some(entries)) => {
                    entries.iter().any(|(entry, _)| entry.value == part).then_some(&**inner)
                }
                (ty, _) => ty.entry(part),
            };
            let Some(found) = found else {
                let diagnostic = match (ty, entries) {
                    (Ty::Record(record), _) => {
                        let known: Vec<&str> = record.fields.iter().map(|field| field.name.value.as_str()).collect();
                        Diagnostic::new(
                            Code::P0308,
                            span,
                            format!("`{}` has no field `{part}`", name[..at].trim_end_matches('.')),
                        )
                        .with_suggestion_in(name, at..at + part.len(), did_you_mean(part, known.iter().copied()))
                        .with_help(format!("record `{}` has: {}", record.name, some(&known)))
                    }
                    (Ty::Map(_), Some(entries)) => {
                        let known: Vec<&str> = entries.iter().map(|(entry, _)| entry.value.as_str()).collect();
                        no_entry(name, part, &known, span)
                    }
                    (ty, _) => Diagnostic::new(
                        Code::P0308,
                        span,
                        format!("`{}` is of type `{ty}`, which holds no `{part}`", name[..at].trim_end_matches('.')),
                    )
                    .with_help("only maps and records hold named values"),
                };
                diagnostics.push(diagnostic.with_secondary(declared, "declared here"));
                return true;
            };
            let entry = |(entry, _): &&(Name, Vec<Expr>)| entry.value == part;
            values = entries.and_then(|entries| entries.iter().find(entry)).map(|(_, values)| values.as_slice());
            ty = found;
            at += part.len() + 1;
        }
        false
    }

    fn private(&self, name: &str, span: Span) -> Option<Diagnostic> {
        match self.constants {
            Some((program, file)) => program.private(file, DeclKind::Let, name, span),
            None => self.outer?.private(name, span),
        }
    }

    /// Names in scope, nearest first.
    fn names(&self, out: &mut Vec<String>) {
        out.extend(self.vars.keys().map(|name| (*name).to_owned()));
        if let Some((program, file)) = self.constants {
            out.extend(program.visible(file, DeclKind::Let).take(COMPARED));
        }
        if let Some(outer) = self.outer {
            outer.names(out);
        }
    }

    /// Whether a name that is not found may be one that could not be read.
    fn lost(&self, name: &str) -> Lost {
        match (self.constants, self.outer) {
            _ if self.is_lost(name) => Lost::Yes,
            _ if self.incomplete => Lost::Perhaps,
            (Some((program, file)), _) => program.lost(file, name),
            (None, Some(outer)) => outer.lost(name),
            (None, None) => Lost::No,
        }
    }

    /// The type of a variable; one that is not in scope is reported.
    pub(crate) fn resolve(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<(&Ty, Span)> {
        self.find(name, span, None, diagnostics)
    }

    /// `more`: further help for a name that is like none.
    fn find(&self, name: &str, span: Span, more: Option<&str>, diagnostics: &mut Diagnostics) -> Option<(&Ty, Span)> {
        if self.no_field(name, span, diagnostics) {
            return None;
        }
        if let Some(found) = self.get(name) {
            return Some(found);
        }
        if let Some(diagnostic) = self.private(name, span) {
            diagnostics.push(diagnostic);
            return None;
        }
        let mut known = Vec::new();
        self.names(&mut known);
        let suggestion = did_you_mean(name, known.iter().map(String::as_str));
        match self.lost(name) {
            Lost::No => {}
            Lost::Perhaps if suggestion.is_some() => {}
            Lost::Perhaps | Lost::Yes => return None,
        }
        let diagnostic = Diagnostic::new(Code::P0308, span, format!("variable `{name}` is not in scope"))
            .with_suggestion_in(name, 0..name.len(), suggestion);
        let diagnostic = diagnostic.with_help(if self.has_secret(name) {
            format!("`{name}` is a secret, which may only be given in a variable: `env NAME=(secret){name}`")
        } else if name.starts_with("node.") {
            "`node.…` stands for the keys of the node taken, in the place of an `input … from=` and in `to=`".to_owned()
        } else if known.is_empty() {
            "nothing is in scope here: declare a `param`, a `let` or a `for-each`".to_owned()
        } else {
            format!("in scope here: {}", some(&known))
        });
        // A name with points is likelier of another language than a misspelling.
        let foreign = suggestion.is_none() && name.contains('.');
        diagnostics.push(more.filter(|_| foreign).into_iter().fold(diagnostic, Diagnostic::with_help));
        None
    }

    /// Whether a tenant that is visible here has a secret of a name.
    fn has_secret(&self, name: &str) -> bool {
        let Some((program, file)) = self.home() else { return false };
        let of_tenant = |tenant: String| program.lookup(file, DeclKind::Tenant, &tenant);
        let tenants = program.visible(file, DeclKind::Tenant).take(COMPARED).filter_map(of_tenant);
        tenants.map(|id| program.tenant(id)).any(|tenant| tenant.secrets.iter().any(|secret| secret.name.value == name))
    }

    /// Checks the holes of a text: names in scope, nothing that cannot be text, no address.
    pub(crate) fn check_text(&self, text: &Text, diagnostics: &mut Diagnostics) {
        self.check_holes(text, false, diagnostics);
    }

    /// The same for a text that a process is given, which may hold addresses of services.
    pub(crate) fn check_given_text(&self, text: &Text, diagnostics: &mut Diagnostics) {
        self.check_holes(text, true, diagnostics);
    }

    fn check_holes(&self, text: &Text, addresses: bool, diagnostics: &mut Diagnostics) {
        for (path, filters, span) in text.holes() {
            let name = path.join(".");
            if path[0] == "node" && path.len() == 2 && self.instance {
                continue;
            }
            // An entry that is not there is as good as empty to `default`.
            let known = matches!(filters.first(), Some(Filter::Default(_))).then(|| self.get(&name)).flatten();
            let Some((ty, declared)) = known.or_else(|| self.find(&name, span, Some(BRACES), diagnostics)) else {
                continue;
            };
            if self.is_address(&name) && !(addresses && filters.is_empty()) {
                diagnostics.push(misplaced_address(span, &name));
                continue;
            }
            // Only `join` makes a list a text, and every other filter wants a text.
            let joined = matches!(filters.first(), Some(Filter::Join(_)));
            let bad = match ty {
                Ty::List(inner) => !joined || inner.is_compound(),
                Ty::Artifact(_) | Ty::Map(_) | Ty::Record(_) => true,
                _ => false,
            };
            if bad {
                let help = match ty {
                    Ty::Map(_) | Ty::Record(_) => by_field(&name, ty),
                    Ty::List(inner) if inner.is_compound() => {
                        "loop over it by `for-each`, and name the fields of each".to_owned()
                    }
                    Ty::List(_) => format!(
                        "only arguments take a list, as `(var){name}`; a string takes `{{{{ {name} | join ' ' }}}}`"
                    ),
                    _ => "an artifact is a file: take it by `input PLACE from=…` and name that place".to_owned(),
                };
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0309,
                        span,
                        format!("`{name}` is of type `{ty}` and cannot be put inside a string"),
                    )
                    .with_secondary(declared, "declared here")
                    .with_help(help),
                );
            } else if let Some(found) = misfit(&name, ty, filters, span) {
                diagnostics.push(found.with_secondary(declared, "declared here"));
            }
        }
    }
}

/// The diagnostic for a filter that what it is given does not need.
fn misfit(name: &str, ty: &Ty, filters: &[Filter], span: Span) -> Option<Diagnostic> {
    let mut ty = ty.clone();
    for filter in filters {
        let (word, takes, fits) = match filter {
            Filter::Join(_) => ("join", "joins the elements of a list", matches!(ty, Ty::List(_))),
            Filter::Lower => ("lower", "changes the letters of a text", ty.textual()),
            Filter::Upper => ("upper", "changes the letters of a text", ty.textual()),
            Filter::Slug | Filter::Default(_) => continue,
        };
        if !fits && !matches!(ty, Ty::Poison | Ty::Named(_)) {
            return Some(
                Diagnostic::new(Code::P0301, span, format!("`{word}` {takes}, and `{name}` is of type `{ty}`"))
                    .with_help(match ty {
                        Ty::List(_) => format!("join it first: `{{{{ {name} | join ',' | {word} }}}}`"),
                        _ => format!("remove `| {word}`: it would change nothing"),
                    }),
            );
        }
        ty = Ty::String;
    }
    None
}

/// A variable that a dotted name begins with.
struct Whole<'s, 'n> {
    ty: &'s Ty,
    span: Span,
    /// What follows in the name.
    rest: &'n str,
    /// Of a constant: its value as written.
    values: &'s [Expr],
}

/// How to use what holds named values.
fn by_field(name: &str, ty: &Ty) -> String {
    let first = match ty {
        Ty::Record(record) => record.fields.first().map(|field| field.name.value.as_str()),
        _ => None,
    };
    format!("use what it holds, as `{name}.{}`", first.unwrap_or("NAME"))
}

/// The diagnostic for a map, a record or a list of such where a text or texts are needed.
pub(super) fn not_texts(name: &str, ty: &Ty, span: Span, declared: Span) -> Option<Diagnostic> {
    let help = match ty {
        Ty::Map(_) | Ty::Record(_) => by_field(name, ty),
        Ty::List(inner) if inner.is_compound() => "loop over it by `for-each`, and name the fields of each".to_owned(),
        _ => return None,
    };
    Some(
        Diagnostic::new(Code::P0309, span, format!("`{name}` is of type `{ty}`, which is not text"))
            .with_secondary(declared, "declared here")
            .with_help(help),
    )
}

/// How to give what holds others.
pub(super) fn name_one(ty: &Ty) -> String {
    match ty {
        Ty::Map(inner) => {
            format!("name a map, as `(var)ports`, declared by `let ports type=map<{inner}> {{ a …; b … }}`")
        }
        Ty::Record(record) => {
            let fields: Vec<String> =
                record.fields.iter().take(3).map(|field| format!("{} …", field.name.value)).collect();
            format!("name a record, as `(var)x`, declared by `let x type={} {{ {} }}`", record.name, fields.join("; "))
        }
        Ty::List(inner) if inner.is_compound() => {
            format!("name a list, as `(var)all`, declared by `let all type=list<{inner}> {{ - {{ … }} }}`")
        }
        _ => "name a list, as `(var)files`, declared by `let files type=list<string> { - a; - b }`".to_owned(),
    }
}

/// The diagnostic for a port that a service does not have.
pub(super) fn no_port(text: &Text, service: &str, port: &str, known: &[&str]) -> Diagnostic {
    let near = did_you_mean(port, known.iter().copied());
    let literal = text.as_literal().unwrap_or_default();
    Diagnostic::new(Code::P0401, text.span, format!("service `{service}` has no port `{port}`"))
        .with_suggestion_in(literal, literal.len().saturating_sub(port.len())..literal.len(), near)
        .with_help(if known.is_empty() { "it has none".to_owned() } else { format!("it has: {}", some(known)) })
}

/// Names for a message: the first few.
pub(crate) fn some<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    if names.len() > SHOWN {
        shown.push("…");
    }
    shown.join(", ")
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
            let (values, at) = match values {
                [Expr::List(items, span)] => (items.as_slice(), Some(*span)),
                values => (values, None),
            };
            let mut seen: BTreeMap<String, Span> = BTreeMap::new();
            for value in values {
                check.one(value, inner, diagnostics);
                let Some(literal) = literal(value).filter(|_| constraints.distinct) else { continue };
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
                check.items(values.len(), values, at, ty, diagnostics);
            }
        }
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
        _ => None,
    }
}

struct Check<'a> {
    scope: &'a Scope<'a>,
    param: Option<&'a Param>,
    constraints: &'a Constraints,
}

impl Check<'_> {
    fn one(&self, value: &Expr, ty: &Ty, diagnostics: &mut Diagnostics) {
        match value {
            Expr::Int(..) | Expr::Bool(..) if *ty == Ty::Poison => {}
            Expr::Fields(fields, span) => self.fields(fields, *span, ty, diagnostics),
            // Where one is wanted, it has been taken apart.
            Expr::List(items, _) if *ty == Ty::Poison => {
                for item in items {
                    self.one(item, ty, diagnostics);
                }
            }
            Expr::List(_, span) => diagnostics.push(self.mismatch(*span, ty, "a list", None)),
            Expr::Text(text) if text.is_broken() => self.scope.check_given_text(text, diagnostics),
            Expr::Text(text) => {
                self.scope.check_given_text(text, diagnostics);
                if let Some(literal) = text.as_literal() {
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
        // Whether a number means dollars or cents is not to be guessed.
        let code = if *ty == Ty::Money && found == "int" { Code::P0307 } else { Code::P0301 };
        let found = if matches!(found, "named values" | "a list") { found.to_owned() } else { format!("`{found}`") };
        let diagnostic =
            Diagnostic::new(code, span, format!("expected `{ty}`, found {found}")).with_label("given here");
        let number = literal.is_some_and(|text| text.parse::<i128>().is_ok());
        let help = match (ty, literal) {
            (Ty::Int, Some(text)) if number => format!("write it without quotes: `{text}`"),
            (Ty::Bool, Some(_)) => "write `#true` or `#false`".to_owned(),
            (Ty::Artifact(_), _) => "an artifact is what a node leaves: `(ref)node.output`".to_owned(),
            (Ty::Record(_) | Ty::Map(_), _) if self.param.is_none() => {
                "write what it holds in the block, each after its name".to_owned()
            }
            (Ty::List(_) | Ty::Map(_) | Ty::Record(_), _) => name_one(ty),
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

    fn declared(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.param {
            Some(param) if param.name.span != diagnostic.primary.span => {
                diagnostic.with_secondary(param.name.span, format!("the {} is declared here", param.word))
            }
            _ => diagnostic,
        }
    }
}
