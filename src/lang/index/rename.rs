//! Renaming: whether what stands at a place may be renamed, and all places that must change with it.
//! Leaves out writing files.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::diag::{Edit, Span};
use crate::lang::index::collect::text_of;
use crate::lang::index::roles::{is_parameter, namespace};
use crate::lang::index::{Index, Occurrence, Symbol};
use crate::lang::{FileId, Node, Value};

/// Why something was not renamed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RenameError {
    /// Nothing with a name stands there.
    #[error("there is no name here that can be changed")]
    Nothing,
    /// It belongs to others.
    #[error("`{0}` is declared outside the workspace, in `{1}`")]
    Foreign(String, String),
    /// The new name is no name.
    #[error("`{0}` is not a name: write letters, digits, `_` and `-`, and begin with a letter or `_`")]
    NoName(String),
    /// The new name is taken where one of the places is.
    #[error("`{0}` would be confused with the {1} of that name at {2}")]
    Taken(String, &'static str, String),
    /// One of the places is not written plainly.
    #[error("`{0}` is written with escapes at {1}: change it there by hand")]
    Escaped(String, String),
    /// It is also written where names are not followed.
    #[error("`{0}` is also written at {1}, where renaming does not follow it: change it there first")]
    Unfollowed(String, String),
}

impl Index {
    /// What may be renamed at a place: the name's place and the name.
    pub fn renameable_at(&self, file: FileId, offset: usize) -> Result<(Span, &str), RenameError> {
        let occurrence = self.occurrence_at(file, offset).ok_or(RenameError::Nothing)?;
        let symbol = &self.symbols[occurrence.symbol];
        self.movable(symbol)?;
        Ok((occurrence.span, &symbol.name))
    }

    fn movable(&self, symbol: &Symbol) -> Result<(), RenameError> {
        let path = self.path(symbol.file);
        if path.starts_with('<') {
            return Err(RenameError::Foreign(symbol.name.clone(), path.to_owned()));
        }
        Ok(())
    }

    /// The edits that give what stands at a place another name, everywhere, sorted.
    pub fn rename(&self, file: FileId, offset: usize, name: &str) -> Result<Vec<Edit>, RenameError> {
        let at = self.occurrence_at(file, offset).ok_or(RenameError::Nothing)?;
        let symbol = &self.symbols[at.symbol];
        self.movable(symbol)?;
        if !is_name(name) {
            return Err(RenameError::NoName(name.to_owned()));
        }
        let all = self.occurrences_of(at.symbol);
        if name != symbol.name {
            self.free(at, &all, name)?;
        }
        if let Some(escaped) = all.iter().find(|occurrence| !occurrence.exact) {
            return Err(RenameError::Escaped(symbol.name.clone(), self.sources.place(escaped.span)));
        }
        if let Some(span) = self.unfollowed(symbol, &all) {
            return Err(RenameError::Unfollowed(symbol.name.clone(), self.sources.place(span)));
        }
        Ok(all.into_iter().map(|occurrence| Edit { span: occurrence.span, text: name.to_owned() }).collect())
    }

    /// A place that means a symbol and is none of its occurrences: metrics of gates, what a loop gives its node,
    /// what tests give and expect. A rename that leaves one would break the program.
    fn unfollowed(&self, symbol: &Symbol, all: &[Occurrence]) -> Option<Span> {
        let container = symbol.container.map(|id| &self.symbols[id]);
        let name = symbol.name.as_str();
        let space = namespace(symbol.kind);
        let known = |span: Span| {
            let mut spans = all.iter().map(|occurrence| occurrence.span);
            spans.any(|known| known.source == span.source && span.start <= known.start && known.end <= span.end)
        };
        let path = |text: &str| text == name || text.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let segment = |text: &str| text.split(['/', '.']).any(|part| part == name);
        // Each with whether it stands in a test.
        let mut open: Vec<(&Node, bool)> =
            self.files.iter().flat_map(|file| file.tree.iter().map(|node| (node, node.name.value == "test"))).collect();
        while let Some((node, test)) = open.pop() {
            open.extend(node.children.iter().flatten().map(|child| (child, test)));
            let values = || node.args.iter().chain(node.props.iter().map(|prop| &prop.value));
            let meant = |value: &&Value| {
                let Some(text) = text_of(value) else { return false };
                let of_gate = || container.is_some_and(|gate| gate.kind == "gate" && within(node.span, gate.whole));
                match (node.name.value.as_str(), symbol.kind) {
                    (_, "for-each") if text.contains("{{") => text.split("{{").skip(1).any(|hole| {
                        let hole = hole.split(['}', '|']).next().unwrap_or_default().trim();
                        hole.strip_prefix("node.").is_some_and(path)
                    }),
                    ("require", "param") if of_gate() => path(text),
                    _ => test && space == "node" && segment(text),
                }
            };
            if let Some(value) = values().find(|value| meant(value) && !known(value.span)) {
                return Some(value.span);
            }
            let given = test && node.name.value == "given" && is_parameter(symbol.kind);
            let to = container.filter(|_| given).zip(node.args.first().and_then(text_of));
            if to.is_some_and(|(container, to)| to.rsplit('.').next() == Some(container.name.as_str())) {
                let named = node.children.iter().flatten().map(|child| &child.name);
                let named = named.chain(node.props.iter().map(|prop| &prop.name));
                if let Some(found) = named.filter(|found| found.value == name).find(|found| !known(found.span)) {
                    return Some(found.span);
                }
            }
        }
        None
    }

    /// Whether a name stands for nothing else wherever it would come to stand, and nothing that bears
    /// it would come to stand for this.
    fn free(&self, at: Occurrence, all: &[Occurrence], name: &str) -> Result<(), RenameError> {
        let symbol = &self.symbols[at.symbol];
        let space = namespace(symbol.kind);
        let taken = |other: usize| {
            let other = &self.symbols[other];
            Err(RenameError::Taken(name.to_owned(), other.kind, self.sources.place(other.span)))
        };
        if let Some(other) = self.own(symbol.scope, space, name) {
            return taken(other);
        }
        let scopes: BTreeSet<_> = all.iter().filter_map(|occurrence| occurrence.scope).collect();
        for scope in scopes {
            if let Some(other) = self.lookup(scope, space, name)
                && other != at.symbol
            {
                return taken(other);
            }
        }
        if symbol.container.is_none() {
            return Ok(());
        }
        // Uses of an outer thing of that name, from inside the scope of this one.
        let others = self.symbols.iter().enumerate();
        for (id, _) in others.filter(|(_, other)| other.name == name && namespace(other.kind) == space) {
            for used in self.occurrences_of(id).iter().filter(|used| !used.definition) {
                let mut scope = used.scope;
                while let Some(inner) = scope {
                    if inner == symbol.scope {
                        return taken(id);
                    }
                    scope = self.scopes[inner].parent;
                }
            }
        }
        Ok(())
    }
}

fn within(inner: Span, outer: Span) -> bool {
    inner.source == outer.source && outer.start <= inner.start && inner.end <= outer.end
}

/// Whether a text can stand bare as a name, also as a segment of an address.
fn is_name(name: &str) -> bool {
    let head = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let keyword = matches!(name, "true" | "false" | "null" | "inf" | "nan");
    head && !keyword && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}
