//! Lossless tokens of KDL 2 text, found in one forward scan without recursion. The guard, the
//! grammar check and the formatter all read the same tokens, so they cannot disagree on where a
//! string or a comment ends. Leaves out what tokens may follow each other.
//!
//! Source of the rules: the KDL 2.0.0 specification, as `kdl` 6.7 reads it.

use crate::lang::lex_string;

/// What a token is. `Space`, `Newline` and `EscapedNewline` are white space; all else carries meaning
/// or is a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// The byte order mark at the start of the text.
    Bom,
    /// A run of spaces and tabs.
    Space,
    /// One line end.
    Newline,
    /// One line end that a `Backslash` before it takes the meaning from.
    EscapedNewline,
    /// `\`: the node goes on in the next line.
    Backslash,
    /// `//` up to the line end, which is not part of it.
    LineComment,
    /// `/*` to its `*/`, with all that is nested.
    BlockComment,
    /// `/-`.
    SlashDash,
    /// `;`.
    Semicolon,
    /// `{`.
    Open,
    /// `}`.
    Close,
    /// `(`.
    NoteOpen,
    /// `)`.
    NoteClose,
    /// `=`.
    Equals,
    /// A run of identifier characters: a bare string or a number.
    Word,
    /// `#` and a run of identifier characters.
    Keyword,
    /// A string in quotes, of one line or several.
    Quoted,
    /// A string in quotes with `#` around it.
    Raw,
    /// A character that can stand nowhere outside strings and comments.
    Stray,
}

/// Why a token is not what it began as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A string of one line without its closing quote; the token ends at the line end.
    Unclosed,
    /// A string of several lines, or a comment, without its end; the token ends with the text.
    UnclosedToEnd,
    /// The closing `"""` at this offset has text before it on its line.
    CloserInLine(usize),
    /// Text follows the opening `"""` on its line.
    OpenerInLine,
    /// A block comment with nested ones, this deep.
    CommentDepth(usize),
    /// A block comment holding this many `*` and `/`.
    CommentStars(usize),
}

/// One token: bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) fault: Option<Fault>,
}

impl Token {
    /// Whether it is neither white space nor a comment.
    pub(super) fn is_significant(self) -> bool {
        use TokenKind::{BlockComment, Bom, EscapedNewline, LineComment, Newline, Space};
        !matches!(self.kind, Bom | Space | Newline | EscapedNewline | LineComment | BlockComment)
    }

    pub(super) fn text(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// What a byte begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Space,
    Newline,
    Wide,
    Control,
    Quote,
    Hash,
    Slash,
    Backslash,
    Single(TokenKind),
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Word; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'\t' | b' ' => Class::Space,
            b'\n' | b'\r' | 0x0B | 0x0C => Class::Newline,
            0..=0x1F | 0x7F => Class::Control,
            0x80..=0xFF => Class::Wide,
            b'"' => Class::Quote,
            b'#' => Class::Hash,
            b'/' => Class::Slash,
            b'\\' => Class::Backslash,
            b';' => Class::Single(TokenKind::Semicolon),
            b'{' => Class::Single(TokenKind::Open),
            b'}' => Class::Single(TokenKind::Close),
            b'(' => Class::Single(TokenKind::NoteOpen),
            b')' => Class::Single(TokenKind::NoteClose),
            b'=' => Class::Single(TokenKind::Equals),
            b'[' | b']' => Class::Control,
            _ => Class::Word,
        };
        byte += 1;
    }
    table
};

/// Whether KDL counts a character as white space within a line.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, '\t' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

/// Whether KDL counts a character as a line end.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{B}' | '\u{C}' | '\u{2028}' | '\u{2029}')
}

/// Whether KDL forbids a character as itself anywhere in a text (the byte order mark is allowed as
/// the first).
pub(super) fn is_forbidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{E}'..='\u{1F}'
            | '\u{7F}'
            | '\u{200E}' | '\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
            | '\u{FEFF}'
    )
}

/// Length in bytes of the line end at an offset; 0 if there is none.
pub(super) fn newline_len(text: &str, at: usize) -> usize {
    match text.as_bytes().get(at) {
        Some(b'\r') if text.as_bytes().get(at + 1) == Some(&b'\n') => 2,
        Some(b'\n' | b'\r' | 0x0B | 0x0C) => 1,
        Some(0xC2 | 0xE2) => char_at(text, at).filter(|c| is_newline(*c)).map_or(0, char::len_utf8),
        _ => 0,
    }
}

/// Length in bytes of the white space character at an offset; 0 if there is none.
pub(super) fn space_len(text: &str, at: usize) -> usize {
    match text.as_bytes().get(at) {
        Some(b' ' | b'\t') => 1,
        Some(0x80..) => char_at(text, at).filter(|c| is_space(*c)).map_or(0, char::len_utf8),
        _ => 0,
    }
}

/// The character at an offset, if it is a character boundary before the end.
pub(super) fn char_at(text: &str, at: usize) -> Option<char> {
    text.get(at..).and_then(|rest| rest.chars().next())
}

/// A cursor over the tokens of a text.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    escaping: bool,
}

impl<'a> Lexer<'a> {
    /// All tokens of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, end: text.len(), escaping: false }
    }

    /// The tokens of `start..end`, both of which must lie between tokens.
    pub(super) fn within(text: &'a str, start: usize, end: usize) -> Self {
        Self { text: &text[..end], at: start, end, escaping: false }
    }

    /// Goes on at another offset, which must lie between tokens or inside a faulty one.
    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
        self.escaping = false;
    }

    /// Where the next token begins.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn class(&self, at: usize) -> Class {
        CLASSES[usize::from(self.text.as_bytes()[at])]
    }

    /// The first offset from `at` on that is no identifier character.
    fn word_end(&self, mut at: usize) -> usize {
        while at < self.end {
            match self.class(at) {
                Class::Word => at += 1,
                Class::Wide => match char_at(self.text, at) {
                    Some(c) if !is_space(c) && !is_newline(c) && !is_forbidden(c) => at += c.len_utf8(),
                    _ => break,
                },
                _ => break,
            }
        }
        at
    }

    fn spaces_end(&self, mut at: usize) -> usize {
        loop {
            match space_len(self.text, at) {
                0 => return at,
                length => at += length,
            }
        }
    }

    fn line_end(&self, mut at: usize) -> usize {
        while at < self.end {
            match self.class(at) {
                Class::Newline => break,
                Class::Wide if newline_len(self.text, at) > 0 => break,
                _ => at += 1,
            }
        }
        at
    }

    fn slash(&self, start: usize) -> (TokenKind, usize, Option<Fault>) {
        match self.text.as_bytes().get(start + 1) {
            Some(b'/') => (TokenKind::LineComment, self.line_end(start + 2), None),
            Some(b'*') => {
                let (end, fault) = block_comment(self.text, start);
                (TokenKind::BlockComment, end, fault)
            }
            Some(b'-') => (TokenKind::SlashDash, start + 2, None),
            _ => (TokenKind::Stray, start + 1, None),
        }
    }

    fn hash(&self, start: usize) -> (TokenKind, usize, Option<Fault>) {
        let bytes = self.text.as_bytes();
        let hashes = bytes[start..].iter().take_while(|b| **b == b'#').count();
        if bytes.get(start + hashes) == Some(&b'"') {
            let (end, fault) = lex_string::raw_end(self.text, start, hashes);
            return (TokenKind::Raw, end, fault);
        }
        let kind = if hashes == 1 { TokenKind::Keyword } else { TokenKind::Stray };
        (kind, self.word_end(start + hashes), None)
    }

    fn wide(&self, start: usize) -> (TokenKind, usize) {
        let Some(c) = char_at(self.text, start) else { return (TokenKind::Stray, self.end) };
        if c == '\u{FEFF}' && start == 0 {
            (TokenKind::Bom, c.len_utf8())
        } else if is_space(c) {
            (TokenKind::Space, self.spaces_end(start))
        } else if is_newline(c) {
            (TokenKind::Newline, start + c.len_utf8())
        } else if is_forbidden(c) {
            (TokenKind::Stray, start + c.len_utf8())
        } else {
            (TokenKind::Word, self.word_end(start))
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    #[inline]
    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        if start >= self.end {
            return None;
        }
        let mut fault = None;
        let (mut kind, end) = match self.class(start) {
            Class::Word => (TokenKind::Word, self.word_end(start)),
            Class::Space => (TokenKind::Space, self.spaces_end(start)),
            Class::Newline => (TokenKind::Newline, start + newline_len(self.text, start)),
            Class::Single(kind) => (kind, start + 1),
            Class::Backslash => (TokenKind::Backslash, start + 1),
            Class::Control => (TokenKind::Stray, start + 1),
            Class::Wide => self.wide(start),
            Class::Quote => {
                let (end, found) = lex_string::quoted_end(self.text, start);
                fault = found;
                (TokenKind::Quoted, end)
            }
            Class::Hash => {
                let (kind, end, found) = self.hash(start);
                fault = found;
                (kind, end)
            }
            Class::Slash => {
                let (kind, end, found) = self.slash(start);
                fault = found;
                (kind, end)
            }
        };
        match kind {
            TokenKind::Backslash => self.escaping = true,
            TokenKind::Newline if self.escaping => {
                kind = TokenKind::EscapedNewline;
                self.escaping = false;
            }
            TokenKind::Space | TokenKind::LineComment | TokenKind::BlockComment => {}
            _ => self.escaping = false,
        }
        self.at = end;
        Some(Token { kind, start, end, fault })
    }
}

/// The end of the block comment that opens at an offset. The count of `*` and `/` leaves out the
/// outermost delimiters.
fn block_comment(text: &str, start: usize) -> (usize, Option<Fault>) {
    use crate::base::Limits;
    let bytes = text.as_bytes();
    let (mut depth, mut deepest, mut stars) = (1usize, 1usize, 0usize);
    let mut at = start + 2;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'*', Some(b'/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    let fault = if deepest > Limits::COMMENT_DEPTH {
                        Some(Fault::CommentDepth(deepest))
                    } else if stars > Limits::COMMENT_STARS {
                        Some(Fault::CommentStars(stars))
                    } else {
                        None
                    };
                    return (at, fault);
                }
                stars += 2;
            }
            (b'/', Some(b'*')) => {
                depth += 1;
                deepest = deepest.max(depth);
                stars += 2;
                at += 2;
            }
            (b'*' | b'/', _) => {
                stars += 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    (bytes.len(), Some(Fault::UnclosedToEnd))
}

#[cfg(test)]
mod tests {
    use super::{Fault, Lexer, TokenKind};

    fn kinds(text: &str) -> Vec<TokenKind> {
        Lexer::new(text).map(|token| token.kind).collect()
    }

    #[test]
    fn tokens_cover_the_text_without_gaps() {
        let text =
            "\u{FEFF}a (u8)1 k=\"v\" /-x { /* /* */ */ b; } \\ // c\r\n #true ##\"\"\"\n x\n \"\"\"## [é\u{A0}\u{85}";
        let mut at = 0;
        for token in Lexer::new(text) {
            assert_eq!(token.start, at);
            assert!(token.end > token.start);
            at = token.end;
        }
        assert_eq!(at, text.len());
    }

    #[test]
    fn a_backslash_takes_the_meaning_of_the_next_line_end() {
        use TokenKind::{Backslash, EscapedNewline, LineComment, Newline, Space, Word};
        assert_eq!(
            kinds("a \\ // c\nb\n"),
            [Word, Space, Backslash, Space, LineComment, EscapedNewline, Word, Newline]
        );
        assert_eq!(kinds("\\x\n"), [Backslash, Word, Newline]);
    }

    #[test]
    fn comments_are_measured() {
        let fault = |text: &str| Lexer::new(text).next().and_then(|token| token.fault);
        assert_eq!(fault("/* * / */"), None);
        assert_eq!(fault("/* x"), Some(Fault::UnclosedToEnd));
        assert_eq!(fault(&format!("/*{}*/", "/ ".repeat(129))), Some(Fault::CommentStars(129)));
        assert_eq!(fault(&format!("/*{}*/", "/ ".repeat(128))), None);
        assert_eq!(fault(&format!("{}{}", "/*".repeat(9), "*/".repeat(9))), Some(Fault::CommentDepth(9)));
        assert_eq!(fault(&format!("{}{}", "/*".repeat(8), "*/".repeat(8))), None);
    }
}
