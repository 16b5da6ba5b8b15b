//! Renaming: whether what stands at a place may be renamed, and all places that must change with it.
//! Leaves out writing files.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::base::slug;
use crate::diag::{Edit, Span};
use crate::lang::index::places::Pattern;
use crate::lang::index::roles::namespace;
use crate::lang::index::{Index, Occurrence, Symbol, SymbolId};
use crate::lang::{FileId, Kind, Node, Value};

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
    /// It is meant where it is not written as it is: by a pattern, by a value, in a file that is no spec.
    #[error("what stands at {1} would no longer mean `{0}`, or mean more: change it there first")]
    Unfollowed(String, String),
    /// One of the places stands for something else besides.
    #[error("at {1} `{0}` stands for the {2} declared at {3} as well: change it there first")]
    Shared(String, String, &'static str, String),
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
        if !is_name(name) {
            return Err(RenameError::NoName(name.to_owned()));
        }
        let symbol = &self.symbols[at.symbol];
        self.movable(symbol)?;
        let all = self.occurrences_of(at.symbol);
        let old = &symbol.name;
        if name != old {
            self.free(at.symbol, &all, name)?;
        }
        let place = |span: Span| self.sources.place(span);
        if let Some(escaped) = all.iter().find(|occurrence| !occurrence.exact) {
            return Err(RenameError::Escaped(old.clone(), place(escaped.span)));
        }
        for occurrence in &all {
            self.alone(*occurrence)?;
        }
        self.followed(at.symbol, name)?;
        let mut edits: Vec<Edit> =
            all.into_iter().map(|occurrence| Edit { span: occurrence.span, text: name.to_owned() }).collect();
        edits.sort_by_key(|edit| edit.span);
        edits.dedup_by_key(|edit| edit.span);
        Ok(edits)
    }

    /// Whether a place names nothing but what is renamed.
    fn alone(&self, occurrence: Occurrence) -> Result<(), RenameError> {
        let Some(file) = self.files.iter().position(|file| file.source == occurrence.span.source) else {
            return Ok(());
        };
        let here = self.occurrences_within(FileId(file), occurrence.span);
        let same = here.iter().filter(|other| other.span == occurrence.span);
        match same.into_iter().find(|other| other.symbol != occurrence.symbol) {
            Some(other) => {
                let other = &self.symbols[other.symbol];
                Err(RenameError::Shared(
                    self.symbols[occurrence.symbol].name.clone(),
                    self.sources.place(occurrence.span),
                    other.kind,
                    self.sources.place(other.span),
                ))
            }
            None => Ok(()),
        }
    }

    /// Whether everything that means a symbol is found by its name: patterns of addresses still stand for the same
    /// nodes, and no file outside the specs knows it.
    fn followed(&self, id: SymbolId, name: &str) -> Result<(), RenameError> {
        let symbol = &self.symbols[id];
        let unfollowed = |span: Span| Err(RenameError::Unfollowed(symbol.name.clone(), self.sources.place(span)));
        if let ("var", Some(skill)) = (symbol.kind, symbol.container)
            && let Some(file) = self.prompt_file(&self.symbols[skill])
        {
            return unfollowed(file);
        }
        if namespace(symbol.kind) != "node" || symbol.name == name {
            return Ok(());
        }
        for site in &self.addresses {
            let mut pattern = Pattern::new(&site.text);
            let special = (0..pattern.segments.len()).any(|segment| !pattern.is_plain(segment));
            if !special && !site.text.contains(&symbol.name) {
                continue;
            }
            let before = self.matched(&site.starts, site.outwards, &pattern, None);
            let own: Vec<usize> =
                before.names.iter().filter(|(_, named)| *named == id).map(|(segment, _)| *segment).collect();
            // Made of values, of which one may be the name.
            if own.iter().any(|segment| pattern.made.contains(segment)) {
                return unfollowed(site.span);
            }
            for segment in own.into_iter().filter(|segment| pattern.is_plain(*segment)).collect::<Vec<_>>() {
                let key = before.keys.iter().filter(|(key, _)| *key == segment);
                if key.into_iter().any(|(_, node)| self.may_be_key(*node, &symbol.name)) {
                    return unfollowed(site.span);
                }
                name.clone_into(&mut pattern.segments[segment]);
            }
            if self.matched(&site.starts, site.outwards, &pattern, Some((id, name))) != before {
                return unfollowed(site.span);
            }
        }
        Ok(())
    }

    /// Whether a key of a node's instances may be a word: where its lists are known, if it stands in one.
    fn may_be_key(&self, node: SymbolId, word: &str) -> bool {
        let members = self.symbols[node].members.iter().map(|id| &self.symbols[*id]);
        let mut loops = members.filter(|member| member.kind == "for-each");
        loops.any(|each| {
            let (file, whole) = match &each.over {
                None => (each.file, each.whole),
                Some((list, _)) => match self.whole(each.scope, list) {
                    Some((id, _)) if self.symbols[id].kind == "let" => (self.symbols[id].file, self.symbols[id].whole),
                    _ => return true,
                },
            };
            let path = self.path_to(file, whole.start as usize + 1);
            path.into_iter().find(|node| node.span == whole).is_none_or(|list| holds(list, word))
        })
    }

    /// Where the file is named that holds the prompt of a skill.
    fn prompt_file(&self, skill: &Symbol) -> Option<Span> {
        let node = self.files[skill.file.0].tree.iter().find(|node| node.span == skill.whole)?;
        let prompt = node.children.iter().flatten().find(|child| child.name.value == "prompt")?;
        prompt.args.first().map(|file| file.span)
    }

    /// Whether a name stands for nothing else wherever it would come to stand, and nothing that bears
    /// it would come to stand for this.
    fn free(&self, id: SymbolId, all: &[Occurrence], name: &str) -> Result<(), RenameError> {
        let symbol = &self.symbols[id];
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
                && other != id
            {
                return taken(other);
            }
        }
        if symbol.container.is_none() {
            return Ok(());
        }
        // Uses of an outer thing of that name, from inside the scope of this one.
        let others = self.symbols.iter().enumerate();
        for (other, _) in others.filter(|(_, other)| other.name == name && namespace(other.kind) == space) {
            for used in self.occurrences_of(other).iter().filter(|used| !used.definition) {
                let mut scope = used.scope;
                while let Some(inner) = scope {
                    if inner == symbol.scope {
                        return taken(other);
                    }
                    scope = self.scopes[inner].parent;
                }
            }
        }
        Ok(())
    }
}

/// Whether a word stands in a node as a value or as a name of one, also as an address would have it.
fn holds(node: &Node, word: &str) -> bool {
    let is_it = |text: &str| text == word || slug(text) == word;
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        let mut values = node.args.iter().chain(node.props.iter().map(|prop| &prop.value));
        let text = |value: &Value| match &value.kind {
            Kind::Text(text) => is_it(text) || value.note.is_some() || text.contains("{{"),
            Kind::Int(int) => is_it(&int.to_string()),
            _ => false,
        };
        if is_it(&node.name.value) || values.any(text) {
            return true;
        }
        open.extend(node.children.iter().flatten());
    }
    false
}

/// Whether a text can stand bare as a name, also as a segment of an address.
fn is_name(name: &str) -> bool {
    let head = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let keyword = matches!(name, "true" | "false" | "null" | "inf" | "nan");
    head && !keyword && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}
