//! What is being written at a place, from the tokens before it. Leaves out what could stand there.

use std::ops::Range;

use crate::lang::lex::{Lexer, Token, TokenKind};

/// What a place is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The name of a node.
    Name,
    /// An argument, or the name of a property.
    Entry,
    /// The value of this property.
    Value(String),
    /// An annotation.
    Note,
    /// A hole of a string.
    Hole,
    /// What is done with the value of a hole, behind a `|`.
    Filter,
    /// A comment, or behind a string: nothing.
    Nothing,
}

/// A node as far as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) props: Vec<(String, String)>,
}

/// What is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// The names of the blocks around, outermost first.
    pub(super) parents: Vec<String>,
    /// The node being written; `None` at its name.
    pub(super) head: Option<Head>,
    pub(super) at: At,
    /// The annotation of the value being written.
    pub(super) note: Option<String>,
    /// What is there already of the word being written, and what a completion replaces.
    pub(super) replace: Range<usize>,
    /// Whether it is inside quotes.
    pub(super) quoted: bool,
}

/// The context of a place.
pub(super) fn context(text: &str, offset: usize) -> Context {
    let mut scan = Scan::default();
    for token in Lexer::new(text) {
        if token.start >= offset {
            break;
        }
        let inside = token.end >= offset;
        match token.kind {
            TokenKind::LineComment if inside => return scan.end(At::Nothing, offset..offset, false),
            TokenKind::BlockComment if token.end > offset => return scan.end(At::Nothing, offset..offset, false),
            TokenKind::Word | TokenKind::Keyword if inside => {
                let at = scan.at();
                return scan.end(at, token.start..token.end, false);
            }
            TokenKind::Quoted | TokenKind::Raw if inside => return scan.string(text, token, offset),
            _ => scan.token(text, token),
        }
    }
    let at = scan.at();
    scan.end(at, offset..offset, false)
}

#[derive(Default)]
struct Scan {
    parents: Vec<String>,
    head: Option<Head>,
    key: Option<String>,
    /// The last word, which an `=` would make the name of a property.
    word: Option<String>,
    note: Option<String>,
    noting: bool,
}

impl Scan {
    fn flush(&mut self) {
        if let (Some(word), Some(head)) = (self.word.take(), &mut self.head) {
            head.args.push(word);
        }
    }

    fn token(&mut self, text: &str, token: Token) {
        match token.kind {
            TokenKind::Newline | TokenKind::Semicolon => self.end_node(),
            TokenKind::Open => {
                self.flush();
                self.parents.push(self.head.take().map(|head| head.name).unwrap_or_default());
                self.end_node();
            }
            TokenKind::Close => {
                self.parents.pop();
                self.end_node();
            }
            TokenKind::NoteOpen => {
                self.flush();
                self.noting = true;
            }
            TokenKind::NoteClose => self.noting = false,
            TokenKind::Equals => self.key = self.word.take(),
            TokenKind::Word | TokenKind::Keyword | TokenKind::Quoted | TokenKind::Raw => {
                let word = token.text(text).trim_matches(['#', '"']).to_owned();
                if self.noting {
                    self.note = Some(word);
                    return;
                }
                self.note = None;
                match (&mut self.head, self.key.take()) {
                    (None, _) => self.head = Some(Head { name: word, ..Head::default() }),
                    (Some(head), Some(key)) => head.props.push((key, word)),
                    (Some(_), None) => {
                        self.flush();
                        self.word = Some(word);
                    }
                }
            }
            _ => {}
        }
    }

    fn end_node(&mut self) {
        self.head = None;
        self.key = None;
        self.word = None;
        self.note = None;
        self.noting = false;
    }

    fn at(&self) -> At {
        match (&self.head, &self.key) {
            _ if self.noting => At::Note,
            (None, _) => At::Name,
            (Some(_), Some(key)) => At::Value(key.clone()),
            (Some(_), None) => At::Entry,
        }
    }

    fn end(mut self, at: At, replace: Range<usize>, quoted: bool) -> Context {
        self.flush();
        Context { parents: self.parents, head: self.head, at, note: self.note, replace, quoted }
    }

    fn string(self, text: &str, token: Token, offset: usize) -> Context {
        let closed = token.fault.is_none();
        if closed && token.end == offset {
            return self.end(At::Nothing, offset..offset, false);
        }
        let written = token.text(text);
        let open = written.len() - written.trim_start_matches('#').trim_start_matches('"').len();
        let open = if written.starts_with("\"\"") && !written.starts_with("\"\"\"") { 1 } else { open };
        let close = if closed {
            written.trim_end_matches('#').len() - written.trim_end_matches('#').trim_end_matches('"').len()
        } else {
            0
        };
        let start = (token.start + open).min(offset);
        let end = if closed { (token.end - close.max(1)).max(offset) } else { token.end.max(offset) };
        let before = &text[start..offset];
        if let Some(hole) = before.rfind("{{").filter(|at| !before[*at..].contains("}}")) {
            let (at, begin) = match before[hole..].rfind('|') {
                Some(bar) => (At::Filter, hole + bar + 1),
                None => (At::Hole, hole + 2),
            };
            let lead = before[begin..].len() - before[begin..].trim_start().len();
            let from = start + begin + lead;
            // Up to the end of the name that is there.
            let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            let to = offset + text[offset..end].find(|c| !name(c)).unwrap_or(end - offset);
            return self.end(at, from..to, true);
        }
        let at = self.at();
        self.end(at, start..end, true)
    }
}

#[cfg(test)]
mod tests {
    use super::{At, context};

    /// The context at `|`.
    fn at(text: &str) -> super::Context {
        let offset = text.find('|').expect("a place is marked");
        context(&text.replacen('|', "", 1), offset)
    }

    #[test]
    fn names_properties_and_values_are_told_apart() {
        assert_eq!(at("no|").at, At::Name);
        assert_eq!(at("graph g {\n    no|\n}").parents, ["graph"]);
        assert_eq!(at("node a re|").at, At::Entry);
        assert_eq!(at("node a |").at, At::Entry);
        assert_eq!(at("node a recipe=|").at, At::Value("recipe".to_owned()));
        assert_eq!(at("node a recipe=b|c").at, At::Value("recipe".to_owned()));
        assert_eq!(at("run cp (var)|").note.as_deref(), Some("var"));
        assert_eq!(at("run cp (v|").at, At::Note);
        assert_eq!(at("// no|").at, At::Nothing);
        assert_eq!(at("a \"x\"|").at, At::Nothing);
    }

    #[test]
    fn strings_are_replaced_inside_their_quotes() {
        let inside = at("import \"<std>|/cc\" as=x");
        assert_eq!((inside.replace, inside.quoted), (8..16, true));
        assert_eq!(at("import \"|\"").replace, 8..8);
        let hole = at("write \"a {{ cra|te }}\"");
        assert_eq!((hole.at, hole.replace), (At::Hole, 12..17));
        let filter = context("write \"{{ l | jo }}\"", 15);
        assert_eq!((filter.at, filter.replace), (At::Filter, 14..16));
        assert_eq!(at("write \"a {{ x }} b|\"").at, At::Entry);
        let open = at("write \"{{ |\nnext");
        assert_eq!((open.at, open.replace), (At::Hole, 10..10));
    }

    #[test]
    fn heads_hold_what_is_written() {
        let head = at("guard tests-green report=(ref)a.b |").head.unwrap();
        assert_eq!(head.args, ["tests-green"]);
        assert_eq!(head.props, [("report".to_owned(), "a.b".to_owned())]);
    }
}
