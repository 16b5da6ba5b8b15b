//! The grammar of one slice, checked over its tokens without recursion: the first mistake is told in
//! our words, and a slice without one is handed on *plain*, that is with every comment, `/-`, line
//! continuation and what they hide replaced by spaces. The `kdl` crate then sees only what is valid
//! and what it is fast at: its work on hidden blocks doubles with each level, and after a mistake it
//! takes the inside of strings for blocks. Leaves out values, which are the `kdl` crate's.

use std::ops::Range;

use crate::diag::{Applicability, Code, Diagnostic, SourceId, Span, did_you_mean};
use crate::lang::guard::{glob, path_with_comment};
use crate::lang::lex::{Fault, Lexer, Token, TokenKind, char_at, is_newline, is_space};
use crate::lang::lex_string::{StringFault, fault_within};
use crate::lang::parse_word::{self, WordKind};

/// The keywords of KDL 2.
const KEYWORDS: &[&str] = &["#true", "#false", "#null", "#inf", "#-inf", "#nan"];

/// Checks a slice and gives its plain text, which is as long as the slice, so that offsets hold.
pub(super) fn plain(source: SourceId, text: &str, slice: Range<usize>) -> Result<String, Box<Diagnostic>> {
    let mut check = Check {
        source,
        text,
        base: slice.start,
        plain: text.as_bytes()[slice.clone()].to_vec(),
        levels: vec![Level::default()],
        slash: None,
        note: Note::None,
        last: Last::Other,
        glued: None,
        escaping: None,
    };
    for token in Lexer::within(text, slice.start, slice.end) {
        check.token(token)?;
    }
    check.finish(slice.end)?;
    // Whole tokens were replaced by ASCII, so what is left is UTF-8.
    Ok(String::from_utf8(check.plain).expect("invariant: only whole characters were replaced"))
}

type Checked = Result<(), Box<Diagnostic>>;

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before its name.
    #[default]
    Name,
    /// Arguments, properties or the block may follow.
    Entries,
    /// After a hidden block: only blocks may follow.
    Blocks,
    /// After its block: only hidden blocks may follow.
    Done,
}

/// The top level or an open block.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    phase: Phase,
    /// Where the `/-` stands that hides the current node.
    hidden: Option<usize>,
    /// Where the `/-` stands that hides this block.
    block_hidden: Option<usize>,
}

/// How far a type annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    None,
    Open(usize),
    Named(usize),
    Closed(usize),
}

/// The last token that matters, as far as `=` is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Other,
    /// The name of a node, ending here.
    Name(usize),
    /// A string argument that `=` would make a property name; with the `/-` that hides it.
    Argument {
        start: usize,
        slash: Option<usize>,
    },
    /// `=` after a property name.
    Equals {
        at: usize,
        slash: Option<usize>,
    },
}

struct Check<'a> {
    source: SourceId,
    text: &'a str,
    /// Offset of the slice.
    base: usize,
    plain: Vec<u8>,
    levels: Vec<Level>,
    /// Where a `/-` stands that waits for what it hides.
    slash: Option<usize>,
    note: Note,
    last: Last,
    /// The datum that ends where this token begins.
    glued: Option<Token>,
    /// A `\` whose line end has not come.
    escaping: Option<usize>,
}

impl Check<'_> {
    fn fail(&self, code: Code, at: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, self.span(at), message)
    }

    fn span(&self, at: Range<usize>) -> Span {
        Span::new(self.source, at.start, at.end)
    }

    fn blank(&mut self, at: Range<usize>) {
        self.plain[at.start - self.base..at.end - self.base].fill(b' ');
    }

    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("invariant: the guard passed balanced braces only")
    }

    fn token(&mut self, token: Token) -> Checked {
        if token.is_significant()
            && token.kind != TokenKind::Backslash
            && let Some(at) = self.escaping.take()
        {
            return Err(self.after_backslash(at));
        }
        let glued = self.glued.take();
        match token.kind {
            TokenKind::Space => {}
            // A pattern such as `src/**/*.c` without quotes is no comment between two words.
            TokenKind::BlockComment
                if glued.is_some() && token.text(self.text) == "/**/" && self.goes_on(token.end) =>
            {
                let word = path_with_comment(self.text, token.start).unwrap_or(token.start..token.end);
                return Err(glob(self.source, self.text, word).into());
            }
            TokenKind::Bom | TokenKind::BlockComment | TokenKind::LineComment => self.blank(token.start..token.end),
            TokenKind::EscapedNewline => {
                self.blank(token.start..token.end);
                self.escaping = None;
            }
            TokenKind::Backslash => {
                if let Some(at) = self.escaping.replace(token.start) {
                    return Err(self.after_backslash(at));
                }
                self.blank(token.start..token.end);
            }
            // Between `/-` and what it hides, lines may end.
            TokenKind::Newline if self.slash.is_some() && self.is_idle() => {}
            TokenKind::Newline => self.end_node(token, token.start)?,
            TokenKind::Semicolon => self.end_node(token, token.end)?,
            TokenKind::SlashDash => self.slash_dash(token, glued)?,
            TokenKind::Open => self.open(token)?,
            TokenKind::Close => self.close(token)?,
            TokenKind::NoteOpen => self.note_open(token, glued)?,
            TokenKind::NoteClose => match self.note {
                Note::Named(at) => self.note = Note::Closed(at),
                _ => {
                    let found = self.fail(Code::P0013, token.start..token.end, "`)` closes nothing");
                    return Err(found.with_label("not expected here").with_help(QUOTE_HELP).into());
                }
            },
            TokenKind::Equals => self.equals(token)?,
            TokenKind::Stray => return Err(self.stray(token)),
            TokenKind::Word | TokenKind::Keyword | TokenKind::Quoted | TokenKind::Raw => {
                self.datum(token, glued)?;
                self.glued = Some(token);
            }
        }
        Ok(())
    }

    /// Whether a word goes on at an offset.
    fn goes_on(&self, at: usize) -> bool {
        self.text[at..].starts_with(|c: char| c == '*' || c == '/' || c == '.' || c.is_alphanumeric())
    }

    /// Whether neither an annotation nor a property is half written.
    fn is_idle(&self) -> bool {
        self.note == Note::None && !matches!(self.last, Last::Equals { .. })
    }

    fn after_backslash(&self, at: usize) -> Box<Diagnostic> {
        self.fail(Code::P0013, at..at + 1, "`\\` must be the last on its line")
            .with_label("continues the node in the next line, but more follows it here")
            .with_help("write `\\` at the end of a line, or quote the text it belongs to")
            .into()
    }

    /// What is half written when something else comes.
    fn half_written(&self, at: usize, before: &str) -> Checked {
        match (self.note, self.last, self.slash) {
            (Note::Open(start), ..) => Err(self
                .fail(Code::P0013, start..start + 1, "this type annotation has no name")
                .with_label("opened here")
                .with_help("write `(name)value`")
                .into()),
            (Note::Named(start), ..) => Err(self
                .fail(Code::P0013, start..start + 1, "this type annotation is never closed")
                .with_label("opened here")
                .with_help("add `)` after its name")
                .into()),
            (Note::Closed(start), ..) => Err(self
                .fail(Code::P0013, start..at, format!("no value stands between this type annotation and {before}"))
                .with_label("belongs to nothing")
                .with_help("write the value directly after it: `(name)value`")
                .into()),
            (_, Last::Equals { at: equals, .. }, _) => Err(self
                .fail(Code::P0013, equals..equals + 1, format!("no value stands between this `=` and {before}"))
                .with_label("a value must follow")
                .with_help("write the value directly after `=`")
                .into()),
            (_, _, Some(slash)) => Err(self
                .fail(Code::P0013, slash..slash + 2, format!("nothing stands between this `/-` and {before}"))
                .with_label("hides the next node, argument, property or block")
                .with_help("remove it, or put it before what it is to hide")
                .into()),
            _ => Ok(()),
        }
    }

    /// Ends a node at a token; what hides it reaches to `end`.
    fn end_node(&mut self, token: Token, end: usize) -> Checked {
        let what = if token.kind == TokenKind::Newline { "the end of the line" } else { "this `;`" };
        let what = if token.kind == TokenKind::Close { "this `}`" } else { what };
        self.half_written(token.start, what)?;
        if token.kind == TokenKind::Semicolon && self.level().phase == Phase::Name {
            return Err(self
                .fail(Code::P0013, token.start..token.end, "`;` ends nothing")
                .with_label("no node before it")
                .with_help("remove it")
                .with_fix(Applicability::MaybeIncorrect, self.span(token.start..token.end), "")
                .into());
        }
        if let Some(from) = self.level().hidden.take() {
            self.blank(from..end);
        }
        self.level().phase = Phase::Name;
        self.last = Last::Other;
        Ok(())
    }

    fn finish(&mut self, end: usize) -> Checked {
        let last = Token { kind: TokenKind::Newline, start: end, end, fault: None };
        if self.slash.is_some() {
            self.half_written(end, "the end of the text")?;
        }
        self.end_node(last, end)
    }

    fn slash_dash(&mut self, token: Token, glued: Option<Token>) -> Checked {
        if self.slash.is_some() || !self.is_idle() {
            self.half_written(token.start, "this `/-`")?;
        }
        if glued.is_some() {
            return Err(self.missing_space(token.start..token.end, "`/-`"));
        }
        self.slash = Some(token.start);
        self.last = Last::Other;
        Ok(())
    }

    fn open(&mut self, token: Token) -> Checked {
        let slash = self.slash.take();
        self.half_written(token.start, "this `{`")?;
        let phase = self.level().phase;
        if phase == Phase::Name {
            return Err(self
                .fail(Code::P0009, token.start..token.end, "block without a node name")
                .with_label("no name before this `{`")
                .with_help("put the name before `{` on the same line")
                .into());
        }
        if phase == Phase::Done && slash.is_none() {
            return Err(self
                .fail(Code::P0013, token.start..token.end, "a node has only one block")
                .with_label("a second block")
                .with_help("join the two, or put a node name before this one")
                .into());
        }
        self.level().phase = match (slash, phase) {
            (Some(_), Phase::Done) | (None, _) => Phase::Done,
            (Some(_), _) => Phase::Blocks,
        };
        self.last = Last::Other;
        self.levels.push(Level { block_hidden: slash, ..Level::default() });
        Ok(())
    }

    fn close(&mut self, token: Token) -> Checked {
        self.end_node(token, token.start)?;
        let level = self.levels.pop().expect("invariant: the guard passed balanced braces only");
        if let Some(from) = level.block_hidden {
            self.blank(from..token.end);
        }
        Ok(())
    }

    fn note_open(&mut self, token: Token, glued: Option<Token>) -> Checked {
        if self.note != Note::None {
            self.half_written(token.start, "this `(`")?;
        }
        if glued.is_some() {
            return Err(self.missing_space(token.start..token.end, "`(`"));
        }
        self.no_entry_after_block(token.start..token.end)?;
        self.note = Note::Open(token.start);
        Ok(())
    }

    fn no_entry_after_block(&mut self, at: Range<usize>) -> Checked {
        if matches!(self.level().phase, Phase::Blocks | Phase::Done) {
            return Err(self
                .fail(Code::P0013, at, "nothing can follow a node's block")
                .with_label("after the block")
                .with_help("put a new node on its own line, or after `;`; arguments stand before the block")
                .into());
        }
        Ok(())
    }

    fn equals(&mut self, token: Token) -> Checked {
        let at = token.start..token.end;
        let found = self.fail(Code::P0008, at.clone(), "`=` cannot stand here");
        let help = "a property belongs to a node: `set x=1`; a child node takes a space: `x 1`";
        match self.last {
            Last::Argument { slash, .. } if self.note == Note::None => {
                if let Some(from) = slash {
                    self.blank(from..token.end);
                }
                self.last = Last::Equals { at: token.start, slash };
                Ok(())
            }
            Last::Name(end) => {
                let after = token.end + self.text[token.end..].len()
                    - self.text[token.end..].trim_start_matches(is_space).len();
                let gap = self.span(end..after);
                Err(found
                    .with_label("after the name of a node")
                    .with_help(help)
                    .with_fix(Applicability::MaybeIncorrect, gap, " ")
                    .into())
            }
            _ => Err(found.with_label("not after the name of a property").with_help(help).into()),
        }
    }

    fn datum(&mut self, token: Token, glued: Option<Token>) -> Checked {
        let at = token.start..token.end;
        if let Some(before) = glued {
            return Err(self.glued(before, token));
        }
        self.no_entry_after_block(at.clone())?;
        let is_text = self.valid(token)?;
        match self.note {
            Note::Open(start) if is_text => {
                self.note = Note::Named(start);
                return Ok(());
            }
            Note::Open(_) => return Err(self.not_a_name(at, "a type annotation")),
            Note::Named(_) => self.half_written(token.start, "this value")?,
            Note::None | Note::Closed(_) => {}
        }
        let noted = self.note != Note::None;
        self.note = Note::None;
        if self.level().phase == Phase::Name {
            if !is_text {
                return Err(self.not_a_name(at, "a node"));
            }
            let hidden = self.slash.take();
            *self.level() = Level { phase: Phase::Entries, hidden, ..*self.level() };
            self.last = Last::Name(token.end);
            return Ok(());
        }
        let slash = match self.last {
            Last::Equals { slash, .. } => slash,
            _ => self.slash.take(),
        };
        if let Some(from) = slash {
            self.blank(from..token.end);
        }
        self.last = match self.last {
            Last::Equals { .. } => Last::Other,
            _ if is_text && !noted => Last::Argument { start: token.start, slash },
            _ => Last::Other,
        };
        Ok(())
    }

    fn not_a_name(&self, at: Range<usize>, of: &str) -> Box<Diagnostic> {
        let quoted = format!("\"{}\"", &self.text[at.clone()]);
        self.fail(Code::P0013, at.clone(), format!("the name of {of} cannot be a number or a keyword"))
            .with_label("a name is expected here")
            .with_help("begin with a letter, or quote it")
            .with_fix(Applicability::MaybeIncorrect, self.span(at), quoted)
            .into()
    }

    fn missing_space(&self, at: Range<usize>, what: &str) -> Box<Diagnostic> {
        let before = self.span(at.start..at.start);
        self.fail(Code::P0013, at, format!("a space is missing before {what}"))
            .with_label("touches what stands before it")
            .with_help("put a space between the two")
            .with_fix(Applicability::MaybeIncorrect, before, " ")
            .into()
    }

    /// Two data without a space.
    fn glued(&self, before: Token, token: Token) -> Box<Diagnostic> {
        let is_string = matches!(token.kind, TokenKind::Quoted | TokenKind::Raw);
        if is_string && before.text(self.text) == "r" {
            return self
                .fail(Code::P0011, before.start..token.end, "this file is KDL 1")
                .with_label("a raw string of KDL 1")
                .with_help("make it KDL 2, where a raw string is `#\"…\"#` and `true` is `#true`: `partita fix --kdl1`")
                .into();
        }
        let first = before.text(self.text);
        if before.kind == TokenKind::Quoted && token.kind == TokenKind::Word {
            return self.ended_early(before, token, first.rfind("{{") > first.rfind("}}"));
        }
        let what = if is_string { "this string" } else { "this value" };
        self.missing_space(token.start..token.end, what)
    }

    /// A quote within a string, which ends it.
    fn ended_early(&self, before: Token, token: Token, in_hole: bool) -> Box<Diagnostic> {
        let found = self
            .fail(Code::P0013, before.end - 1..before.end, "this `\"` ends the string")
            .with_label("the string ends here")
            .with_secondary(self.span(token.start..token.end), "and this goes on without a space");
        if in_hole {
            found.with_help("within `{{ … }}` use single quotes: `{{ names | join ',' }}`").into()
        } else {
            found.with_help("a quote within a string is `\\\"`; or begin it by `#\"` and end it by `\"#`").into()
        }
    }

    /// Whether a datum is text; an error if it is none.
    fn valid(&self, token: Token) -> Result<bool, Box<Diagnostic>> {
        match token.kind {
            TokenKind::Word => self.valid_word(token),
            TokenKind::Keyword => self.valid_keyword(token).map(|()| false),
            _ => self.valid_string(token).map(|()| true),
        }
    }

    fn valid_word(&self, token: Token) -> Result<bool, Box<Diagnostic>> {
        let at = token.start..token.end;
        let word = token.text(self.text);
        let quoted = format!("\"{word}\"");
        match parse_word::classify(word) {
            WordKind::Text => Ok(true),
            WordKind::Number => Ok(false),
            WordKind::OutOfRange => Err(self
                .fail(Code::P0012, at.clone(), "number is out of range")
                .with_label("does not fit in 128 bits")
                .with_help("integers are 128-bit; quote it if it is text")
                .with_fix(Applicability::MaybeIncorrect, self.span(at), quoted)
                .into()),
            WordKind::OldKeyword => Err(self.old_keyword(at, word, quoted)),
            WordKind::BadNumber if self.text[token.end..].starts_with('/') => Err(self.unquoted(token.start)),
            WordKind::BadNumber => Err(self
                .fail(Code::P0013, at.clone(), format!("`{word}` is neither a number nor a name"))
                .with_label("begins like a number")
                .with_help("quote it if it is text")
                .with_fix(Applicability::MaybeIncorrect, self.span(at), quoted)
                .into()),
        }
    }

    fn old_keyword(&self, at: Range<usize>, word: &str, quoted: String) -> Box<Diagnostic> {
        let found = self.fail(Code::P0005, at.clone(), format!("`{word}` is not a KDL 2 value"));
        let phase = self.levels.last().map(|level| level.phase);
        let is_name = phase == Some(Phase::Name)
            || matches!(self.note, Note::Open(_))
            || self.text[at.end..].trim_start_matches(is_space).starts_with('=');
        if is_name {
            return found
                .with_label("nor a name as it stands")
                .with_help(format!("write `{quoted}` if this is a name"))
                .with_fix(Applicability::MaybeIncorrect, self.span(at), quoted)
                .into();
        }
        found
            .with_label(format!("write `#{word}`"))
            .with_help(format!("write `#{word}`, or `{quoted}` if text is meant"))
            .with_fix(Applicability::MachineApplicable, self.span(at), format!("#{word}"))
            .into()
    }

    fn valid_keyword(&self, token: Token) -> Checked {
        let word = token.text(self.text);
        if KEYWORDS.contains(&word) {
            return Ok(());
        }
        let at = token.start..token.end;
        if word == "#" {
            return Err(self
                .fail(Code::P0013, at.clone(), "`#` does not begin a comment")
                .with_label("not expected here")
                .with_help("comments begin with `//`")
                .with_fix(Applicability::MachineApplicable, self.span(at), "//")
                .into());
        }
        let mut found = self
            .fail(Code::P0013, at.clone(), format!("`{word}` is not a keyword"))
            .with_label("unknown keyword")
            .with_suggestion(did_you_mean(word, KEYWORDS.iter().copied()));
        if found.fixes.is_empty() {
            found = found.with_help("the keywords are `#true`, `#false` and `#null`; quote it if it is text").with_fix(
                Applicability::MaybeIncorrect,
                self.span(at),
                format!("\"{word}\""),
            );
        }
        Err(found.into())
    }

    fn valid_string(&self, token: Token) -> Checked {
        let found = match token.fault {
            Some(Fault::OpenerInLine) => self
                .fail(Code::P0013, token.start..token.start + 3, "text follows `\"\"\"` on its line")
                .with_label("nothing may follow on this line")
                .with_help("begin the text on the next line; write `\"…\"` for a string of one line"),
            Some(Fault::CloserInLine(at)) => self
                .fail(Code::P0013, at..at + 3, "text stands before the closing `\"\"\"`")
                .with_label("must be the first on its line")
                .with_help("put the closing `\"\"\"` on its own line"),
            // The guard reports these.
            Some(_) => self.fail(Code::P0006, token.start..token.end, "this string is never closed"),
            None => match fault_within(self.text, token) {
                None => return Ok(()),
                Some((at, fault)) => self.string_fault(at, fault),
            },
        };
        Err(found.into())
    }

    fn string_fault(&self, at: Range<usize>, fault: StringFault) -> Diagnostic {
        match fault {
            StringFault::Escape => self
                .fail(Code::P0013, at.clone(), format!("`{}` is not an escape", &self.text[at.clone()]))
                .with_label("unknown escape")
                .with_help("escapes are `\\\\ \\\" \\b \\f \\n \\r \\t \\s \\u{…}`; in `#\"…\"#` a `\\` is just itself")
                .with_fix(Applicability::MaybeIncorrect, self.span(at.start..at.start), "\\"),
            StringFault::Dedent => self
                .fail(Code::P0013, at, "this line begins with other white space than the closing `\"\"\"`")
                .with_label("less or other indentation")
                .with_help(
                    "indent every line of the string at least as its closing `\"\"\"`, with the same characters",
                ),
            StringFault::LooksLong => self
                .fail(Code::P0013, at, "text follows `\"\"\"` on its line")
                .with_label("begins a string of several lines")
                .with_help("begin the text on the next line; write `\"\\\"…\"` for a string that begins with a quote"),
            StringFault::OnlyQuote => self
                .fail(Code::P0013, at, "a raw string cannot be a single quote")
                .with_label("nothing but `\"`")
                .with_help("write it as `\"\\\"\"`"),
            StringFault::Forbidden => self
                .fail(Code::P0010, at, "invisible control character")
                .with_help("write it as an escape in a quoted string"),
        }
    }

    fn stray(&self, token: Token) -> Box<Diagnostic> {
        match self.text.as_bytes()[token.start] {
            b'/' => self.unquoted(token.start),
            c @ (b'[' | b']') => self
                .fail(Code::P0013, token.start..token.end, format!("`{}` cannot stand outside a string", char::from(c)))
                .with_label("KDL has no brackets")
                .with_help("list values with spaces between, or quote the text")
                .into(),
            _ => self
                .fail(Code::P0013, token.start..token.end, "these characters cannot stand outside a string")
                .with_label("not expected here")
                .with_help(QUOTE_HELP)
                .into(),
        }
    }

    /// A text with a `/` in it, such as a path, without quotes.
    fn unquoted(&self, at: usize) -> Box<Diagnostic> {
        let ends =
            |c: char| is_space(c) || is_newline(c) || matches!(c, '"' | '(' | ')' | '{' | '}' | '=' | ';' | '\\');
        let start = self.text[..at].rfind(ends).map_or(0, |i| i + char_at(self.text, i).map_or(1, char::len_utf8));
        let start = start.max(self.base);
        let end = self.text[at..].find(ends).map_or(self.text.len(), |i| at + i);
        let quoted = format!("\"{}\"", &self.text[start..end]);
        let slash = at + self.text[at..end].find('/').unwrap_or(0);
        self.fail(Code::P0013, slash..slash + 1, "`/` cannot stand outside a string")
            .with_label("in text without quotes")
            .with_help(format!("quote it: `{quoted}`"))
            .with_fix(Applicability::MaybeIncorrect, self.span(start..end), quoted)
            .into()
    }
}

const QUOTE_HELP: &str = "quote it if it is text";
