//! Values that are handed over, as they stand in a node: a list or what holds named values is a constant of
//! its own. Leaves out which values there are.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::base::addresses;
use crate::lang::ir::{ArgIr, Expansion};
use crate::lang::print::kept::Kept;
use crate::lang::print::out::{Out, plain, quote, truth};
use crate::lang::program::DeclKind;
use crate::lang::ty::Ty;

/// Constants that the printed graph needs: an argument holds no list.
pub(super) struct Constants {
    /// Names, types and values.
    known: Vec<(String, String, ArgIr)>,
    /// What stands for the addresses of services in texts that processes are given.
    addresses: BTreeSet<String>,
}

impl Constants {
    pub(super) fn of(expansion: &Expansion) -> Self {
        let mut addresses = BTreeSet::new();
        for service in &expansion.services {
            for (port, _) in &service.ports {
                let address = format!("{}.{port}", service.name);
                addresses.extend([format!("{{{{{address}}}}}"), format!("{{{{{address}.port}}}}")]);
            }
        }
        Self { known: Vec::new(), addresses }
    }

    /// A text that a process is given, which may hold addresses of services.
    pub(super) fn given(&self, text: &str, out: &Out) -> String {
        let (mut written, mut rest) = (String::new(), text);
        for placeholder in addresses(text).iter().map(crate::base::Address::placeholder) {
            if self.addresses.contains(&placeholder)
                && let Some((before, after)) = rest.split_once(&placeholder)
            {
                written += &plain(before);
                written += &format!("{{{{ {} }}}}", placeholder.trim_matches(['{', '}']));
                rest = after;
            }
        }
        written += &plain(rest);
        out.string(&written)
    }

    pub(super) fn all_given(&self, texts: &[String], out: &Out) -> String {
        texts.iter().fold(String::new(), |all, text| all + " " + &self.given(text, out))
    }

    /// The constant that holds a list of texts.
    pub(super) fn list(&mut self, items: &[String], kept: &mut Kept<'_>) -> String {
        let items = items.iter().map(|item| ArgIr::Text(item.clone())).collect();
        self.constant("list<string>".to_owned(), ArgIr::List(items), kept)
    }

    fn constant(&mut self, ty: String, value: ArgIr, kept: &mut Kept<'_>) -> String {
        let known = self.known.iter().find(|(_, other, held)| *other == ty && *held == value);
        let name = match known {
            Some((name, ..)) => name.clone(),
            None => {
                let name = kept.free(&format!("value-{}", self.known.len()));
                self.known.push((name.clone(), ty, value));
                name
            }
        };
        format!("(var){name}")
    }

    /// A value as the argument of a parameter of a type. `to_ref` says how an output is named here.
    pub(super) fn argument(
        &mut self,
        value: &ArgIr,
        ty: &Ty,
        out: &Out,
        kept: &mut Kept<'_>,
        to_ref: &mut dyn FnMut(&ArgIr) -> String,
    ) -> String {
        match value {
            ArgIr::List(_) | ArgIr::Fields(_) => {
                let ty = type_text(ty, kept);
                self.constant(ty, value.clone(), kept)
            }
            ArgIr::Ref(_) | ArgIr::Step(_) => to_ref(value),
            ArgIr::Text(text) => self.given(text, out),
            scalar => scalar_text(scalar, kept, &|text| out.holed(text)),
        }
    }

    /// Prints the constants.
    pub(super) fn print(&self, out: &mut Out, kept: &mut Kept<'_>) {
        for (name, ty, value) in &self.known {
            out.gap();
            let head = format!("let {} type={}", quote(name), quote(ty));
            held(out, head, value, kept);
        }
    }
}

/// A node that holds a value: a list in `-` children, named values in children of their names.
fn held(out: &mut Out, head: String, value: &ArgIr, kept: &mut Kept<'_>) {
    match value {
        // A block of none, so that it is an element.
        ArgIr::List(items) if items.is_empty() && head == "-" => out.line("- {}"),
        ArgIr::Fields(fields) if fields.is_empty() => out.line(&format!("{head} {{}}")),
        ArgIr::List(items) => {
            out.open(&head);
            for item in items {
                held(out, "-".to_owned(), item, kept);
            }
            out.close();
        }
        ArgIr::Fields(fields) => {
            out.open(&head);
            for (name, value) in fields {
                held(out, quote(name), value, kept);
            }
            out.close();
        }
        scalar => {
            let text = scalar_text(scalar, kept, &|text| out.holed(text));
            out.line(&format!("{head} {text}"));
        }
    }
}

fn scalar_text(value: &ArgIr, kept: &mut Kept<'_>, text: &dyn Fn(&str) -> String) -> String {
    match value {
        ArgIr::Int(int) => int.to_string(),
        ArgIr::Bool(flag) => truth(*flag).to_owned(),
        ArgIr::Text(written) => text(written),
        ArgIr::Secret(name) => format!("(secret){}", quote(name)),
        // A recipe or another thing that no expansion has is a name and no more.
        ArgIr::Decl(kind, id) => match kind {
            DeclKind::Recipe | DeclKind::Template | DeclKind::Graph | DeclKind::Bundle => {
                quote(kept.program().own_name(*kind, *id))
            }
            kind => quote(&kept.name(*kind, *id)),
        },
        ArgIr::Node(path) => quote(path.split_once('/').map_or(path.as_str(), |(_, rest)| rest)),
        ArgIr::List(_) | ArgIr::Fields(_) | ArgIr::Ref(_) | ArgIr::Step(_) => String::new(),
    }
}

/// A type with the names that records have here.
fn type_text(ty: &Ty, kept: &mut Kept<'_>) -> String {
    let mut text = String::new();
    let _ = match ty {
        Ty::List(inner) => write!(text, "list<{}>", type_text(inner, kept)),
        Ty::Map(inner) => write!(text, "map<{}>", type_text(inner, kept)),
        Ty::Record(record) => write!(text, "{}", kept.name(DeclKind::Record, record.id)),
        Ty::Enum => write!(text, "string"),
        other => write!(text, "{other}"),
    };
    text
}
