//! The tree of a text with mistakes in it: nodes read from tokens, so that editing helps while a line
//! is half typed. For a text without mistakes it is the tree of `parse`. Leaves out reporting: what is
//! wrong says `parse`.

use crate::base::Limits;
use crate::diag::{SourceId, Span};
use crate::lang::lex::{Lexer, Token, TokenKind, is_newline, is_space, newline_len};
use crate::lang::parse_lower::{places, verbatim};
use crate::lang::slice::Slices;
use crate::lang::{Kind, Node, Property, Spanned, TypeNote, Value};

/// Blocks inside each other that are kept apart; what is deeper is read as if it stood here.
const DEPTH: usize = 2 * Limits::BLOCK_DEPTH;

/// Reads a text from anyone, in one pass and without recursion. Nothing for one that is too large.
pub(in crate::lang) fn read_tree(source: SourceId, text: &str) -> Vec<Node> {
    if text.len() > Limits::SPEC_BYTES {
        return Vec::new();
    }
    let tokens: Vec<Token> = Lexer::new(text).collect();
    let count = |kind| tokens.iter().filter(|token| token.kind == kind).count();
    let mut reader = Reader {
        source,
        text,
        comments: Slices { ranges: Vec::new(), comment_lines: comment_lines(text, &tokens) },
        // Indentation is asked only where the braces do not add up.
        indented: count(TokenKind::Open) > count(TokenKind::Close),
        frames: vec![Frame::default()],
        deeper: 0,
    };
    reader.run(&tokens);
    reader.finish(text.len())
}

/// The `//` comments that stand alone on their lines.
fn comment_lines(text: &str, tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    let alone = |at: usize| {
        let before = text[..at].trim_end_matches(is_space);
        before.is_empty() || before == "\u{FEFF}" || before.ends_with(is_newline)
    };
    let comments = tokens.iter().filter(|token| token.kind == TokenKind::LineComment && alone(token.start));
    comments.map(|token| token.start..token.end).collect()
}

/// A block that is open.
#[derive(Default)]
struct Frame {
    /// Its finished nodes.
    nodes: Vec<Node>,
    /// The node being read.
    node: Option<Node>,
    /// Whether a `/-` hides the node being read.
    hidden_node: bool,
    /// Whether a `/-` hides this block.
    hidden: bool,
    /// A `/-` that waits for what it hides.
    slash: bool,
    /// An annotation that waits for what it annotates.
    note: Option<TypeNote>,
    /// The name of a property that waits for its value.
    key: Option<Spanned<String>>,
    /// Indentation of the line that opened it.
    indent: usize,
}

struct Reader<'a> {
    source: SourceId,
    text: &'a str,
    comments: Slices,
    indented: bool,
    frames: Vec<Frame>,
    /// Blocks below the deepest one that is kept.
    deeper: usize,
}

impl Reader<'_> {
    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the outermost frame is never taken")
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    /// Columns of white space before a place, if nothing else stands before it on its line.
    fn margin(&self, at: usize) -> Option<usize> {
        let before = &self.text[..at];
        let line = before.rfind(is_newline).map_or(0, |i| i + newline_len(before, i).max(1));
        let lead = &self.text[line..at];
        lead.chars().all(is_space).then(|| lead.chars().count())
    }

    fn line_indent(&self, at: usize) -> usize {
        let before = &self.text[..at];
        let line = before.rfind(is_newline).map_or(0, |i| i + newline_len(before, i).max(1));
        self.text[line..].chars().take_while(|c| is_space(*c)).count()
    }

    fn run(&mut self, tokens: &[Token]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at).copied() {
            at += 1;
            match token.kind {
                TokenKind::Newline => self.end_node(token.start, true),
                TokenKind::Semicolon => self.end_node(token.start, false),
                TokenKind::SlashDash => self.frame().slash = true,
                TokenKind::Open => self.open(token),
                TokenKind::Close => self.close(token),
                TokenKind::NoteOpen => {
                    let mut next = tokens[at..].iter().filter(|token| token.kind != TokenKind::Space);
                    if let Some(word) = next.next().filter(|word| is_value(word.kind)) {
                        let note = Spanned {
                            value: string(word.text(self.text), word.kind),
                            span: self.span(word.start, word.end),
                        };
                        self.frame().note = Some(note);
                        at = tokens.partition_point(|token| token.start <= word.start);
                    }
                }
                kind if is_value(kind) => {
                    let equals = tokens[at..].iter().find(|token| token.is_significant() || is_end(token.kind));
                    self.word(token, equals.is_some_and(|next| next.kind == TokenKind::Equals));
                }
                _ => {}
            }
        }
    }

    fn word(&mut self, token: Token, before_equals: bool) {
        let span = self.span(token.start, token.end);
        let written = token.text(self.text);
        if self.frame().node.as_ref().is_some_and(|node| node.children.is_some()) {
            self.end_node(token.start, false);
        }
        if self.indented
            && self.frame().node.is_none()
            && let Some(margin) = self.margin(token.start)
        {
            while self.frames.len() > 1 && margin <= self.frame().indent {
                self.pop(token.start);
                self.end_node(token.start, false);
            }
        }
        let note = self.frame().note.take();
        let doc = if self.frame().node.is_none() {
            let start = note.as_ref().map_or(span.start, |note| note.span.start.saturating_sub(1));
            self.comments.doc(self.text, start as usize)
        } else {
            None
        };
        let value = |note| {
            let kind = kind_of(written, token.kind);
            let (verbatim, skipped) = match &kind {
                Kind::Text(text) => verbatim(written, text),
                _ => (true, 0),
            };
            let places = match &kind {
                Kind::Text(text) if !verbatim => places(written, text),
                _ => Vec::new(),
            };
            Value { note, kind, span, verbatim, text_start: span.start + skipped as u32, places }
        };
        let frame = self.frame();
        let Some(node) = &mut frame.node else {
            let start = note.as_ref().map_or(span.start, |note| note.span.start.saturating_sub(1));
            frame.hidden_node = std::mem::take(&mut frame.slash);
            frame.node = Some(Node {
                name: Spanned { value: string(written, token.kind), span },
                note,
                args: Vec::new(),
                props: Vec::new(),
                children: None,
                span: Span { start, ..span },
                doc,
            });
            return;
        };
        if before_equals && frame.key.is_none() {
            frame.key = Some(Spanned { value: string(written, token.kind), span });
            return;
        }
        // What a `/-` hides is no entry, but still belongs to the node's place.
        let hidden = std::mem::take(&mut frame.slash);
        node.span.end = span.end;
        match frame.key.take() {
            _ if hidden => {}
            Some(name) => node.props.push(Property { name, value: value(note) }),
            None => node.args.push(value(note)),
        }
    }

    /// Ends the node being read. A `/-` before a line end still waits for what it hides.
    fn end_node(&mut self, at: usize, line: bool) {
        let empty = self.span(at, at);
        let frame = self.frame();
        frame.note = None;
        if let (Some(name), Some(node)) = (frame.key.take(), &mut frame.node) {
            // `name=` with nothing behind it yet.
            let (kind, text_start) = (Kind::Null, empty.start);
            let value = Value { note: None, kind, span: empty, verbatim: true, text_start, places: Vec::new() };
            node.span.end = node.span.end.max(name.span.end);
            node.props.push(Property { name, value });
        }
        if let Some(node) = frame.node.take()
            && !std::mem::take(&mut frame.hidden_node)
        {
            frame.nodes.push(node);
        }
        if !line {
            frame.slash = false;
        }
    }

    fn open(&mut self, token: Token) {
        if self.frames.len() > DEPTH {
            self.deeper += 1;
            return;
        }
        let indent = self.line_indent(token.start);
        let frame = self.frame();
        let hidden = std::mem::take(&mut frame.slash) || frame.node.is_none();
        self.frames.push(Frame { hidden, indent, ..Frame::default() });
    }

    fn close(&mut self, token: Token) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        self.end_node(token.start, false);
        if self.frames.len() > 1 {
            self.pop(token.end);
        }
    }

    /// Ends a block and gives its nodes to the node before it.
    fn pop(&mut self, end: usize) {
        let Some(block) = self.frames.pop() else { return };
        if let Some(node) = &mut self.frame().node {
            node.span.end = node.span.end.max(end as u32);
            if !block.hidden {
                node.children.get_or_insert_default().extend(block.nodes);
            }
        }
    }

    fn finish(mut self, end: usize) -> Vec<Node> {
        self.end_node(end, false);
        while self.frames.len() > 1 {
            self.pop(end);
            self.end_node(end, false);
        }
        self.frames.pop().map(|frame| frame.nodes).unwrap_or_default()
    }
}

fn is_value(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Word | TokenKind::Keyword | TokenKind::Quoted | TokenKind::Raw)
}

fn is_end(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Newline)
}

/// What a token is as a value.
fn kind_of(written: &str, kind: TokenKind) -> Kind {
    match kind {
        TokenKind::Keyword => match written {
            "#true" => Kind::Bool(true),
            "#false" => Kind::Bool(false),
            "#inf" | "#-inf" | "#nan" => Kind::Decimal(written.to_owned()),
            _ => Kind::Null,
        },
        TokenKind::Word => number(written).unwrap_or_else(|| Kind::Text(written.to_owned())),
        _ => Kind::Text(string(written, kind)),
    }
}

fn number(written: &str) -> Option<Kind> {
    let (negative, digits) = match written.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let plain: String = String::from_utf8_lossy(digits).replace('_', "");
    let radix = match plain.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let digits = if radix == 10 { plain.as_str() } else { &plain[2..] };
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    Some(i128::from_str_radix(&signed, radix).map_or_else(|_| Kind::Decimal(written.to_owned()), Kind::Int))
}

/// The text of a string as written, or of a bare word.
fn string(written: &str, kind: TokenKind) -> String {
    if !matches!(kind, TokenKind::Quoted | TokenKind::Raw) {
        return written.to_owned();
    }
    let raw = kind == TokenKind::Raw;
    let inner = written.trim_matches('#');
    let hashes = written.bytes().take_while(|byte| *byte == b'#').count();
    let inner = if raw { &written[hashes.min(written.len())..] } else { inner };
    let inner = if raw { inner.strip_suffix(&"#".repeat(hashes)).unwrap_or(inner) } else { written };
    if inner.starts_with("\"\"\"") && newline_len(inner, 3) > 0 {
        let body = &inner[3 + newline_len(inner, 3)..];
        let body = body.strip_suffix("\"\"\"").unwrap_or(body);
        return lines(body, raw);
    }
    let body = inner.strip_prefix('"').unwrap_or(inner);
    let body = body.strip_suffix('"').unwrap_or(body);
    if raw { body.to_owned() } else { unescape(body) }
}

/// The text of a string of several lines: without the white space of its last line, which is not
/// part of it.
fn lines(body: &str, raw: bool) -> String {
    let all: Vec<&str> = split_lines(body);
    let (last, all) = all.split_last().unwrap_or((&"", &[]));
    let margin = if last.chars().all(is_space) { *last } else { "" };
    let dedented: Vec<&str> = all
        .iter()
        .map(|line| if line.chars().all(is_space) { "" } else { line.strip_prefix(margin).unwrap_or(line) })
        .collect();
    let text = dedented.join("\n");
    if raw { text } else { unescape(&text) }
}

fn split_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        let newline = newline_len(text, at);
        if newline > 0 {
            lines.push(&text[start..at]);
            at += newline;
            start = at;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    lines.push(&text[start..]);
    lines
}

fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => out.push('\n'),
            Some((_, 't')) => out.push('\t'),
            Some((_, 'r')) => out.push('\r'),
            Some((_, 'b')) => out.push('\u{8}'),
            Some((_, 'f')) => out.push('\u{C}'),
            Some((_, 's')) => out.push(' '),
            Some((at, 'u')) => {
                let digits = text[at + 1..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(hex, _)| hex);
                let Some(digits) = digits else { continue };
                out.extend(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32));
                while chars.next_if(|(next, _)| *next <= at + 2 + digits.len()).is_some() {}
            }
            Some((_, c)) if is_space(c) || is_newline(c) => {
                while chars.next_if(|(_, c)| is_space(*c) || is_newline(*c)).is_some() {}
            }
            Some((_, c)) => out.push(c),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::read_tree;
    use crate::diag::{Diagnostics, SourceId};
    use crate::lang::{Node, parse};

    fn names(nodes: &[Node]) -> Vec<&str> {
        nodes.iter().map(|node| node.name.value.as_str()).collect()
    }

    #[test]
    fn reads_what_the_parser_reads() {
        let text = "// doc\n// of it\na (var)x k=1 \"l m\"=#true /-hidden /- h=2 { b; c 0x1F -3 1.5 1_000 } // end\n\
            /- gone { x }\n(note)d \"\\n\\u{e9}\\s\" #\"r\\\"# \\\n    \"next\" { e \"\"\"\n        one\n          two\n\n        \"\"\" }\n\
            f /-{ x } { y }\n";
        let mut diagnostics = Diagnostics::default();
        let strict = parse(SourceId(0), text, &mut diagnostics);
        assert!(diagnostics.is_empty(), "{:?}", diagnostics.sorted());
        assert_eq!(read_tree(SourceId(0), text), strict);
    }

    #[test]
    fn half_typed_lines_hide_nothing() {
        let nodes = read_tree(SourceId(0), "graph g {\n    node a {\n    node b recipe=\n    node \"c\n}\nlet x\n");
        assert_eq!(names(&nodes), ["graph", "let"]);
        let inside = nodes[0].children.as_deref().unwrap();
        assert_eq!(names(inside), ["node", "node", "node"]);
        assert_eq!(inside[1].props[0].name.value, "recipe");
    }

    #[test]
    fn depth_is_bounded() {
        let text = "a { ".repeat(100_000);
        let mut nodes = read_tree(SourceId(0), &text);
        let mut depth = 0;
        while let Some(node) = nodes.pop() {
            depth += 1;
            nodes = node.children.unwrap_or_default();
        }
        assert!(depth <= super::DEPTH + 2);
    }
}
