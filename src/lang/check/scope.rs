//! Variables in scope with their types. Leaves out the check of values against types: see `value`.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Expr, Name, Param};
use crate::lang::check::service::misplaced_address;
use crate::lang::eval::{heads, no_entry};
use crate::lang::program::{COMPARED, DeclKind, FileId, Lost, Program};
use crate::lang::text::{BRACES, Filter, Text};
use crate::lang::ty::Ty;

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
    pub(super) fn home(&self) -> Option<(&'a Program, FileId)> {
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
        } else if self.names.is_some_and(|(program, file)| program.lookup(file, DeclKind::Let, name).is_some()) {
            "constants and defaults of fields do not refer to constants: write the value, or put both together where they are used"
                .to_owned()
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
