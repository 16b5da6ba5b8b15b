//! The formatter: changes only the white space between tokens. Lines stay where their author broke
//! them, save that a block of several lines has its braces on lines of their own. Leaves out the
//! inside of strings and block comments, and anything that a look at the meaning would need.

use thiserror::Error;

use crate::base::ErrorKind;
use crate::diag::{Diagnostics, SourceId};
use crate::lang::lex::{Lexer, Token, TokenKind};
use crate::lang::{Node, Value, parse};

/// Why a text was not formatted.
#[derive(Debug, Error)]
pub enum Error {
    /// The text has mistakes, so that its tokens cannot be trusted.
    #[error("cannot format a spec that has syntax errors")]
    Syntax(Diagnostics),
    /// The formatted text would not mean the same: a defect of the formatter, which is why it looks.
    #[error("formatting would change the meaning of this spec, so it was left as it is")]
    Unfaithful,
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax(_) => ErrorKind::Spec,
            Self::Unfaithful => ErrorKind::Internal,
        }
    }
}

/// Formats a text: four spaces for each block, one between entries, at most one blank line, none at
/// the edges of a block, no white space at the ends of lines, one line end at the end. Formatting
/// what is formatted changes nothing.
///
/// The source is the one that the places of syntax errors are given in.
pub fn format(source: SourceId, text: &str) -> Result<String, Error> {
    let mut diagnostics = Diagnostics::default();
    let before = parse(source, text, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(Error::Syntax(diagnostics));
    }
    let tokens: Vec<Token> = Lexer::new(text).collect();
    let formatted = Writer::new(text, &tokens).write(&tokens);
    let after = parse(source, &formatted, &mut diagnostics);
    let faithful = !diagnostics.has_errors() && same_tokens(text, &formatted) && same_nodes(&before, &after);
    if faithful { Ok(formatted) } else { Err(Error::Unfaithful) }
}

/// Everything but white space, with the spaces at the ends of line comments cut off.
fn essence(text: &str) -> impl Iterator<Item = (TokenKind, &str)> {
    use TokenKind::{Bom, EscapedNewline, Newline, Space};
    Lexer::new(text)
        .filter(|token| !matches!(token.kind, Bom | Space | Newline | EscapedNewline))
        .map(|token| (token.kind, written(token, text)))
}

fn written(token: Token, text: &str) -> &str {
    let text = token.text(text);
    if token.kind == TokenKind::LineComment { text.trim_end() } else { text }
}

fn same_tokens(one: &str, other: &str) -> bool {
    essence(one).eq(essence(other))
}

/// Whether two trees are equal but for their places.
fn same_nodes(one: &[Node], other: &[Node]) -> bool {
    let note = |value: &Value| value.note.as_ref().map(|note| note.value.clone());
    let values = |one: &Value, other: &Value| one.kind == other.kind && note(one) == note(other);
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| {
            let args = a.args.len() == b.args.len() && a.args.iter().zip(&b.args).all(|(a, b)| values(a, b));
            let props = a.props.len() == b.props.len()
                && a.props
                    .iter()
                    .zip(&b.props)
                    .all(|(a, b)| a.name.value == b.name.value && values(&a.value, &b.value));
            let heads = a.name.value == b.name.value && a.doc == b.doc;
            let notes = a.note.as_ref().map(|note| &note.value) == b.note.as_ref().map(|note| &note.value);
            let blocks = match (&a.children, &b.children) {
                (Some(a), Some(b)) => same_nodes(a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            args && props && heads && notes && blocks
        })
}

/// An open block.
struct Block {
    /// Whether it goes over several lines.
    tall: bool,
}

struct Writer<'a> {
    text: &'a str,
    out: String,
    /// For each `{` in order, whether its block goes over several lines.
    tall: std::vec::IntoIter<bool>,
    blocks: Vec<Block>,
    /// The last token written.
    last: Option<TokenKind>,
    /// Line ends seen since.
    newlines: usize,
    /// Whether there was a space since.
    spaced: bool,
    /// Whether nothing stands on the line yet.
    line_start: bool,
    /// Whether a node is begun and not ended.
    in_node: bool,
    /// Whether a `/-` waits for what it hides, so that line ends do not end the node.
    slash: bool,
}

impl<'a> Writer<'a> {
    fn new(text: &'a str, tokens: &[Token]) -> Self {
        Self {
            text,
            out: String::with_capacity(text.len() + text.len() / 8),
            tall: tall_blocks(tokens).into_iter(),
            blocks: Vec::new(),
            last: None,
            newlines: 0,
            spaced: false,
            line_start: true,
            in_node: false,
            slash: false,
        }
    }

    fn write(mut self, tokens: &[Token]) -> String {
        for token in tokens {
            match token.kind {
                TokenKind::Bom => {}
                TokenKind::Space => self.spaced = true,
                TokenKind::Newline => {
                    self.newlines += 1;
                    self.in_node &= self.slash;
                }
                TokenKind::EscapedNewline => {
                    self.out.push('\n');
                    self.line_start = true;
                    self.newlines = 0;
                }
                _ => self.token(*token),
            }
        }
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out
    }

    fn token(&mut self, token: Token) {
        self.break_lines(token.kind);
        if self.line_start {
            let closes = usize::from(token.kind == TokenKind::Close);
            let continues = usize::from(self.in_node && closes == 0);
            let indent = 4 * (self.blocks.len() + continues - closes);
            self.out.extend(std::iter::repeat_n(' ', indent));
        } else if self.wants_space(token.kind) {
            self.out.push(' ');
        }
        self.out.push_str(written(token, self.text));
        match token.kind {
            TokenKind::Open => {
                self.blocks.push(Block { tall: self.tall.next().unwrap_or(false) });
                self.in_node = false;
                self.slash = false;
            }
            TokenKind::Close => {
                self.blocks.pop();
                self.in_node = true;
            }
            TokenKind::Semicolon => self.in_node = false,
            TokenKind::SlashDash => self.slash = true,
            TokenKind::LineComment | TokenKind::BlockComment | TokenKind::Backslash => {}
            _ => {
                self.in_node = true;
                self.slash = false;
            }
        }
        self.last = Some(token.kind);
        self.newlines = 0;
        self.spaced = false;
        self.line_start = false;
    }

    /// Writes the line ends that stand before a token.
    fn break_lines(&mut self, kind: TokenKind) {
        let opened = self.last == Some(TokenKind::Open);
        let closes = kind == TokenKind::Close;
        let tall = self.blocks.last().is_some_and(|block| block.tall);
        let lines = if self.last.is_none() || opened && closes {
            0
        } else if (opened || closes) && tall && !self.line_start {
            // A comment may stay behind the brace.
            self.newlines.clamp(usize::from(kind != TokenKind::LineComment), 1)
        } else if opened || closes {
            self.newlines.min(1)
        } else {
            self.newlines.min(2)
        };
        if lines > 0 {
            self.out.extend(std::iter::repeat_n('\n', lines));
            self.line_start = true;
        }
    }

    fn wants_space(&self, kind: TokenKind) -> bool {
        use TokenKind::{Close, Equals, NoteClose, NoteOpen, Open, Semicolon, SlashDash};
        match (self.last, kind) {
            (None | Some(NoteOpen | NoteClose | Equals), _) | (_, Semicolon | NoteClose | Equals) => false,
            (Some(Open), Close) => false,
            // Both `/-node` and `/- node` are in use.
            (Some(SlashDash), _) => self.spaced,
            _ => true,
        }
    }
}

/// For each `{` in order, whether line ends stand in its block.
fn tall_blocks(tokens: &[Token]) -> Vec<bool> {
    let mut tall = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for token in tokens {
        match token.kind {
            TokenKind::Open => {
                open.push(tall.len());
                tall.push(false);
            }
            TokenKind::Newline => {
                if let Some(block) = open.last() {
                    tall[*block] = true;
                }
            }
            TokenKind::Close => {
                if let (Some(inner), Some(outer)) = (open.pop(), open.last()) {
                    tall[*outer] |= tall[inner];
                }
            }
            _ => {}
        }
    }
    tall
}

#[cfg(test)]
mod tests;
