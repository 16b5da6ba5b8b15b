//! What is known of a place, as Markdown: of a name its declaration, type and value, of a word of the
//! language its line in the table of shapes. Leaves out how it is shown.

use std::fmt::Write as _;

use crate::base::format_micro_usd;
use crate::diag::Span;
use crate::lang::ast::Op;
use crate::lang::index::roles::{Role, arg_role, is_parameter, shape_in};
use crate::lang::index::{Index, Symbol, SymbolId};
use crate::lang::shape::{Shape, Takes};
use crate::lang::shapes::TOP;
use crate::lang::{FileId, Instances, Node};

/// Addresses shown of a node with many instances.
const SHOWN: usize = 8;

/// What is known of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// The place it is about.
    pub span: Span,
    /// The text, in Markdown.
    pub text: String,
}

impl Index {
    /// What is known of a place. `instances` is what the last expansion came to.
    pub fn hover_at(&self, file: FileId, offset: usize, instances: &Instances) -> Option<Hover> {
        if let Some(found) = self.occurrence_at(file, offset) {
            return Some(Hover { span: found.span, text: self.about(found.symbol, instances) });
        }
        self.word_at(file, offset)
    }

    /// A symbol as it is declared: its head, in one line or as written.
    pub(super) fn head(&self, symbol: &Symbol) -> String {
        let head = Span { end: symbol.head_end.max(symbol.span.end), ..symbol.whole };
        self.written(head).trim().to_owned()
    }

    fn about(&self, id: SymbolId, instances: &Instances) -> String {
        let symbol = &self.symbols[id];
        let mut text = format!("```kdl\n{}\n```\n", self.head(symbol));
        if let Some(doc) = &symbol.doc {
            let _ = write!(text, "\n{doc}\n");
        }
        if let Some(ty) = &symbol.ty {
            let _ = write!(text, "\nType: `{ty}`\n");
        } else if let (Some(_), held) = (&symbol.over, self.held_by(id))
            && !held.ty.is_empty()
        {
            let _ = write!(text, "\nType: `{}`\n", held.ty);
        }
        if symbol.kind == "for-each" {
            let list = self.list_behind(symbol);
            if let Some(value) = list {
                let _ = write!(text, "\nEach of: `{value}`\n");
            }
        }
        match (&symbol.value, symbol.kind) {
            (Some(value), "let") => _ = write!(text, "\nValue: `{value}`\n"),
            (Some(value), "for-each") => _ = write!(text, "\nEach of: `{value}`\n"),
            (Some(value), _) => _ = write!(text, "\nDefault: `{value}`\n"),
            (None, _) => {}
        }
        if symbol.value.is_none() && (is_parameter(symbol.kind) || symbol.kind == "field") {
            text.push_str("\nMust be given\n");
        }
        if !symbol.words.is_empty() {
            let _ = write!(text, "\nOne of: `{}`\n", symbol.words.join("`, `"));
        }
        for (word, said) in &symbol.constraints {
            let _ = match (*word, said.as_str()) {
                ("min", _) => write!(text, "\nAt least: `{said}`\n"),
                ("max", _) => write!(text, "\nAt most: `{said}`\n"),
                ("min-length", _) => write!(text, "\nCharacters: at least {said}\n"),
                ("max-length", _) => write!(text, "\nCharacters: at most {said}\n"),
                ("min-items", _) => write!(text, "\nElements: at least {said}\n"),
                ("max-items", _) => write!(text, "\nElements: at most {said}\n"),
                ("matches", _) => write!(text, "\nMatches as a whole: `{said}`\n"),
                ("distinct", "#true") => write!(text, "\nNo two elements are the same\n"),
                ("schema", _) => write!(text, "\nFits the schema: `{said}`\n"),
                _ => Ok(()),
            };
        }
        if symbol.kind == "import" {
            let target = self.files[symbol.file.0].aliases.get(&symbol.name);
            if let Some(target) = target {
                let _ = write!(text, "\nFile: `{}`\n", self.path(*target));
            }
        }
        self.list(&mut text, "Takes", &self.parameters(id));
        if symbol.kind == "record" {
            self.list(&mut text, "Fields", &symbol.members);
        }
        let mut results = self.results(id);
        results.dedup();
        self.list(&mut text, "Leaves", &results);
        if let Some(of) = instances.of(symbol.quoted) {
            let more = if of.count > SHOWN { ", …" } else { "" };
            let shown: Vec<&str> = of.first.iter().take(SHOWN).map(String::as_str).collect();
            let _ = write!(text, "\nInstances: {}: `{}`{more}\n", of.count, shown.join("`, `"));
            for route in &of.routes {
                let _ = write!(text, "\nServed by: {route}\n");
            }
        }
        if instances.cost_of(symbol.quoted) > 0 {
            let _ = write!(text, "\nCosts at most ${} in a run\n", format_micro_usd(instances.cost_of(symbol.quoted)));
        }
        if let (Some(place), true) = (self.place(symbol), symbol.container.is_none()) {
            let _ = write!(text, "\nDeclared in `{place}`\n");
        }
        text
    }

    fn place(&self, symbol: &Symbol) -> Option<String> {
        self.files.get(symbol.file.0).map(|_| self.sources.place(symbol.span))
    }

    fn list(&self, text: &mut String, what: &str, members: &[SymbolId]) {
        if members.is_empty() {
            return;
        }
        let _ = write!(text, "\n{what}:\n");
        for member in members {
            let member = &self.symbols[*member];
            let ty = member.ty.as_ref().map(|ty| format!(": `{ty}`")).unwrap_or_default();
            let value = member.value.as_ref().map(|value| format!(" = `{value}`")).unwrap_or_default();
            let doc = member.doc.as_ref().map(|doc| format!(" — {}", doc.replace('\n', " "))).unwrap_or_default();
            let _ = writeln!(text, "- `{}`{ty}{value}{doc}", member.name);
        }
    }

    /// The value of the list that a loop goes over.
    fn list_behind(&self, symbol: &Symbol) -> Option<String> {
        let within = |span: Span| span.start >= symbol.whole.start && span.end <= symbol.whole.end;
        let occurrences = &self.files[symbol.file.0].occurrences;
        let mut uses = occurrences.iter().filter(|item| !item.definition && within(item.span));
        uses.find_map(|item| self.symbols[item.symbol].value.clone())
    }

    /// What the table says of a word of the language.
    fn word_at(&self, file: FileId, offset: usize) -> Option<Hover> {
        let path = self.path_to(file, offset);
        let on = |span: Span| span.start as usize <= offset && offset <= span.end as usize;
        let mut accepts = TOP;
        let mut shape: Option<&'static Shape> = None;
        for node in &path {
            shape = Some(shape_in(accepts, &node.name.value)?);
            accepts = shape?.children;
        }
        let (node, shape): (&Node, &'static Shape) = (path.last()?, shape?);
        if on(node.name.span) {
            return Some(Hover { span: node.name.span, text: describe(shape) });
        }
        for prop in &node.props {
            if let Some(known) = shape.props.iter().find(|known| known.name == prop.name.value)
                && (on(prop.name.span) || on(prop.value.span))
            {
                let needed = if known.required { ", required" } else { "" };
                let text = format!("`{}` of `{}`{needed}: {}\n", known.name, shape.name, known.doc);
                return Some(Hover { span: prop.name.span.to(prop.value.span), text });
            }
        }
        for (index, value) in node.args.iter().enumerate().filter(|(_, value)| on(value.span)) {
            if arg_role(shape, index) == Role::Op {
                return Some(Hover {
                    span: value.span,
                    text: format!(
                        "A comparison: one of `{}`\n",
                        Op::ALL.iter().map(|(word, _)| *word).collect::<Vec<_>>().join("`, `")
                    ),
                });
            }
        }
        None
    }
}

/// A node of the language.
fn describe(shape: &Shape) -> String {
    let mut text = format!("```kdl\n{}\n```\n\n{}\n", shape.args.usage, shape.doc);
    if !shape.props.is_empty() {
        text.push_str("\nProperties:\n");
        for prop in shape.props {
            let needed = if prop.required { " (required)" } else { "" };
            let _ = writeln!(text, "- `{}`{needed}: {}", prop.name, prop.doc);
        }
    }
    if let Some(takes) = shape.open_props {
        let what = if takes == Takes::Any { "values, `(var)` and `(ref)`" } else { "values" };
        let _ = write!(text, "\nProperties of any name, with {what}.\n");
    }
    if !shape.children.is_empty() {
        let names: Vec<&str> = shape.children.iter().map(|child| child.shape.name).collect();
        let _ = write!(text, "\nMay hold: `{}`\n", names.join("`, `"));
    }
    text
}
