//! What each word of a file is, for colouring: its tokens, finer where names stand in them. Leaves
//! out colours.

use std::collections::BTreeMap;

use crate::diag::Span;
use crate::lang::index::Index;
use crate::lang::index::roles::namespace;
use crate::lang::lex::{Lexer, TokenKind};
use crate::lang::{FileId, Node};

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenClass {
    /// The name of a node.
    Keyword,
    /// The name of a property.
    Property,
    /// Text.
    Text,
    /// A number.
    Number,
    /// `#true` and its like.
    Constant,
    /// A comment.
    Comment,
    /// An annotation.
    Note,
    /// A parameter, a constant or a loop variable.
    Variable,
    /// Something that is applied: a recipe, a template.
    Function,
    /// The alias of an import.
    Namespace,
    /// A node or a step.
    Node,
    /// Any other declaration.
    Declaration,
}

impl TokenClass {
    /// All of them, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Keyword,
        Self::Property,
        Self::Text,
        Self::Number,
        Self::Constant,
        Self::Comment,
        Self::Note,
        Self::Variable,
        Self::Function,
        Self::Namespace,
        Self::Node,
        Self::Declaration,
    ];

    fn of(kind: &'static str) -> Self {
        match kind {
            "recipe" | "template" | "capability" | "gate" | "skill" => Self::Function,
            "import" => Self::Namespace,
            kind => match namespace(kind) {
                "variable" => Self::Variable,
                "node" => Self::Node,
                _ => Self::Declaration,
            },
        }
    }
}

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSpan {
    /// Where.
    pub span: Span,
    /// What.
    pub class: TokenClass,
    /// Whether it declares what it names.
    pub definition: bool,
}

impl Index {
    /// The words of a file, in order, none over another.
    pub fn tokens(&self, file: FileId) -> Vec<TokenSpan> {
        let this = &self.files[file.0];
        let text = self.text(file);
        let mut names = BTreeMap::new();
        name_places(&this.tree, &mut names);
        let mut found = Vec::new();
        let mut inside = this.occurrences.iter().peekable();
        for token in Lexer::new(text) {
            let class = match token.kind {
                TokenKind::LineComment | TokenKind::BlockComment => TokenClass::Comment,
                TokenKind::Keyword => TokenClass::Constant,
                TokenKind::Word | TokenKind::Quoted | TokenKind::Raw => match names.get(&(token.start as u32)) {
                    Some(class) => *class,
                    None if token.kind == TokenKind::Word && is_number(token.text(text)) => TokenClass::Number,
                    None => TokenClass::Text,
                },
                _ => continue,
            };
            let mut at = token.start as u32;
            let end = token.end as u32;
            let mut push = |start: u32, end: u32, class, definition| {
                if start < end {
                    let span = Span { source: this.source, start, end };
                    found.push(TokenSpan { span, class, definition });
                }
            };
            while let Some(name) = inside.next_if(|name| name.span.start < end) {
                if name.span.start < at || name.span.end > end {
                    continue;
                }
                push(at, name.span.start, class, false);
                let kind = self.symbols[name.symbol].kind;
                // The name of an argument stays the name of a property.
                let own = if class == TokenClass::Property { class } else { TokenClass::of(kind) };
                push(name.span.start, name.span.end, own, name.definition);
                at = name.span.end;
            }
            push(at, end, class, false);
        }
        found
    }
}

fn is_number(word: &str) -> bool {
    word.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit())
}

fn name_places(nodes: &[Node], names: &mut BTreeMap<u32, TokenClass>) {
    for node in nodes {
        names.insert(node.name.span.start, TokenClass::Keyword);
        let notes = node.args.iter().chain(node.props.iter().map(|prop| &prop.value));
        names.extend(notes.filter_map(|value| Some((value.note.as_ref()?.span.start, TokenClass::Note))));
        names.extend(node.props.iter().map(|prop| (prop.name.span.start, TokenClass::Property)));
        name_places(node.children.as_deref().unwrap_or_default(), names);
    }
}
