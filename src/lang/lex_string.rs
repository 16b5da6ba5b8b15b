//! Where KDL strings end and what is wrong inside them: quoted, multi-line, raw and multi-line raw.
//! Leaves out their values, which the `kdl` crate computes.

use std::ops::Range;

use crate::lang::lex::{Fault, Token, TokenKind, char_at, is_forbidden, newline_len, space_len};

/// What is wrong inside a string that ends where it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StringFault {
    /// A `\` with something after it that KDL does not know.
    Escape,
    /// A line that does not begin with the white space of the closing line.
    Dedent,
    /// A raw string of one line that begins like one of several.
    LooksLong,
    /// A raw string of several lines that is nothing but a quote.
    OnlyQuote,
    /// A character that may only stand in a string as an escape.
    Forbidden,
}

/// Past the white space and line ends at an offset: what a `\` before them takes away.
fn skip_blank(text: &str, mut at: usize) -> usize {
    loop {
        match newline_len(text, at).max(space_len(text, at)) {
            0 => return at,
            length => at += length,
        }
    }
}

/// Past the `\` at an offset and what it escapes.
fn skip_escape(text: &str, at: usize) -> usize {
    let after = skip_blank(text, at + 1);
    if after > at + 1 { after } else { at + 1 + char_at(text, at + 1).map_or(0, char::len_utf8) }
}

/// Where the string that opens with a quote at `start` ends.
pub(super) fn quoted_end(text: &str, start: usize) -> (usize, Option<Fault>) {
    if text.as_bytes()[start..].starts_with(b"\"\"\"") {
        return lines_end(text, start, 0);
    }
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return (at + 1, None),
            b'\\' => at = skip_escape(text, at),
            0x0A..=0x0D | 0xC2 | 0xE2 if newline_len(text, at) > 0 => break,
            _ => at += 1,
        }
    }
    (at.min(bytes.len()), Some(Fault::Unclosed))
}

/// Where the raw string that opens with `hashes` times `#` at `start` ends.
pub(super) fn raw_end(text: &str, start: usize, hashes: usize) -> (usize, Option<Fault>) {
    let bytes = text.as_bytes();
    let open = start + hashes;
    if bytes[open..].starts_with(b"\"\"\"") && newline_len(text, open + 3) > 0 {
        return lines_end(text, start, hashes);
    }
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let found = count_hashes(bytes, at + 1, hashes);
                at += 1 + found;
                if found == hashes {
                    return (at, None);
                }
            }
            0x0A..=0x0D | 0xC2 | 0xE2 if newline_len(text, at) > 0 => break,
            _ => at += 1,
        }
    }
    (at.min(bytes.len()), Some(Fault::Unclosed))
}

fn count_hashes(bytes: &[u8], at: usize, most: usize) -> usize {
    bytes[at..].iter().take(most).take_while(|b| **b == b'#').count()
}

/// Where a string that opens with `"""` ends; with `hashes` it is raw. The end is the first closing
/// mark, wherever it stands: one inside a line is a fault, but surely meant as the end.
fn lines_end(text: &str, start: usize, hashes: usize) -> (usize, Option<Fault>) {
    let bytes = text.as_bytes();
    let mut at = start + hashes + 3;
    let opener_in_line = newline_len(text, at) == 0;
    // Whether only white space stands between the start of the line and here.
    let mut blank = false;
    while at < bytes.len() {
        match bytes[at] {
            b'"' if bytes[at..].starts_with(b"\"\"\"") => {
                let found = count_hashes(bytes, at + 3, hashes);
                if found == hashes {
                    let fault = if opener_in_line {
                        Some(Fault::OpenerInLine)
                    } else if blank {
                        None
                    } else {
                        Some(Fault::CloserInLine(at))
                    };
                    return (at + 3 + hashes, fault);
                }
                blank = false;
                // Fewer hashes than asked: the closing mark may still begin at the next quote.
                at += 1;
            }
            b'\\' if hashes == 0 => {
                let after = skip_escape(text, at);
                blank &= skip_blank(text, at + 1) == after;
                at = after;
            }
            b' ' | b'\t' => at += 1,
            0x0A..=0x0D | 0x80.. => {
                let newline = newline_len(text, at);
                if newline > 0 {
                    blank = true;
                    at += newline;
                } else {
                    let space = space_len(text, at);
                    blank &= space > 0;
                    at += space.max(1);
                }
            }
            _ => {
                blank = false;
                at += 1;
            }
        }
    }
    (bytes.len(), Some(Fault::UnclosedToEnd))
}

/// The first thing wrong inside a closed string.
pub(super) fn fault_within(text: &str, token: Token) -> Option<(Range<usize>, StringFault)> {
    let hashes = if token.kind == TokenKind::Raw { count_hashes(text.as_bytes(), token.start, usize::MAX) } else { 0 };
    let open = token.start + hashes;
    let lines = token.text(text)[hashes..].starts_with("\"\"\"") && newline_len(text, open + 3) > 0;
    let quotes = if lines { 3 } else { 1 };
    let body = open + quotes..token.end.saturating_sub(quotes + hashes);
    if token.kind == TokenKind::Raw {
        // The crate lets the second of these pass, the specification does not.
        if !lines && (&text[body.clone()] == "\"" || text[body.clone()].starts_with("\"\"")) {
            return Some((open..open + 3, StringFault::LooksLong));
        }
        let forbidden = text[body.clone()].char_indices().find(|(_, c)| is_forbidden(*c));
        if let Some((at, c)) = forbidden {
            return Some((body.start + at..body.start + at + c.len_utf8(), StringFault::Forbidden));
        }
    } else if let Some(found) = escape_fault(text, body.clone()) {
        return Some(found);
    }
    if !lines {
        return None;
    }
    let all = logical_lines(text, body, hashes > 0);
    let (last, inner) = all.split_last()?;
    let prefix = &text[last.start..spaces_end(text, last.start, last.end)];
    if let [only] = inner
        && hashes > 0
        && text[only.clone()].strip_prefix(prefix) == Some("\"")
    {
        // The crate takes it for a raw string of one line that begins like one of several.
        return Some((only.clone(), StringFault::OnlyQuote));
    }
    dedent_fault(text, inner, prefix)
}

fn escape_fault(text: &str, body: Range<usize>) -> Option<(Range<usize>, StringFault)> {
    let bytes = text.as_bytes();
    let mut at = body.start;
    while at < body.end {
        if bytes[at] == b'\\' {
            let length = escape_len(text, at, body.end);
            if length == 0 {
                let end = (at + 1 + char_at(text, at + 1).map_or(0, char::len_utf8)).min(body.end);
                return Some((at..end, StringFault::Escape));
            }
            at += length;
        } else if bytes[at] < 0x20 || bytes[at] == 0x7F || bytes[at] >= 0xE2 {
            let c = char_at(text, at)?;
            if is_forbidden(c) {
                return Some((at..at + c.len_utf8(), StringFault::Forbidden));
            }
            at += c.len_utf8();
        } else {
            at += 1;
        }
    }
    None
}

/// Length of the escape whose `\` stands at an offset; 0 if KDL knows none such.
fn escape_len(text: &str, at: usize, end: usize) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(at + 1) {
        Some(b'\\' | b'"' | b'b' | b'f' | b'n' | b'r' | b't' | b's') => 2,
        Some(b'u') if bytes.get(at + 2) == Some(&b'{') => {
            let digits = bytes[at + 3..end].iter().take(7).take_while(|b| b.is_ascii_hexdigit()).count();
            let known = (1..=6).contains(&digits)
                && bytes.get(at + 3 + digits) == Some(&b'}')
                && u32::from_str_radix(&text[at + 3..at + 3 + digits], 16).is_ok_and(|n| char::from_u32(n).is_some());
            if known { digits + 4 } else { 0 }
        }
        _ => match skip_blank(text, at + 1).min(end) {
            after if after > at + 1 => after - at,
            _ => 0,
        },
    }
}

/// The first line that neither begins as the closing line does nor is blank.
fn dedent_fault(text: &str, lines: &[Range<usize>], prefix: &str) -> Option<(Range<usize>, StringFault)> {
    let space = |line: &Range<usize>| spaces_end(text, line.start, line.end);
    let wrong = lines.iter().find(|line| !text[(*line).clone()].starts_with(prefix) && space(line) < line.end)?;
    let first = char_at(text, wrong.start).map_or(1, char::len_utf8);
    Some((wrong.start..space(wrong).max(wrong.start + first), StringFault::Dedent))
}

fn spaces_end(text: &str, mut at: usize, end: usize) -> usize {
    while at < end {
        match space_len(text, at) {
            0 => break,
            length => at += length,
        }
    }
    at.min(end)
}

/// The lines of a body after its first line end, without their ends; line ends that a `\` takes away
/// do not divide lines.
fn logical_lines(text: &str, body: Range<usize>, raw: bool) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut lines = Vec::new();
    let mut at = body.start + newline_len(text, body.start);
    let mut start = at;
    while at < body.end {
        match bytes[at] {
            b'\\' if !raw => at = skip_escape(text, at).min(body.end),
            0x0A..=0x0D | 0xC2 | 0xE2 if newline_len(text, at) > 0 => {
                lines.push(start..at);
                at += newline_len(text, at);
                start = at;
            }
            _ => at += 1,
        }
    }
    lines.push(start..body.end);
    lines
}

#[cfg(test)]
mod tests {
    use super::{StringFault, fault_within};
    use crate::lang::lex::{Fault, Lexer};

    fn end(text: &str) -> (usize, Option<Fault>) {
        Lexer::new(text).next().map(|token| (token.end, token.fault)).expect("a token")
    }

    fn inner(text: &str) -> Option<StringFault> {
        let token = Lexer::new(text).next().expect("a token");
        assert_eq!((token.end, token.fault), (text.len(), None), "{text}");
        fault_within(text, token).map(|(_, fault)| fault)
    }

    #[test]
    fn strings_end_where_kdl_ends_them() {
        assert_eq!(end(r#""a\"b" c"#), (6, None));
        assert_eq!(end("\"a\\\n  b\" c"), (8, None));
        assert_eq!(end("\"a\nb\""), (2, Some(Fault::Unclosed)));
        assert_eq!(end(r##"#"a"b"# c"##), (7, None));
        assert_eq!(end(r###"##"a"# b"## c"###), (11, None));
        assert_eq!(end("\"\"\"\na\n\"\"\" c"), (9, None));
        assert_eq!(end("\"\"\"\na\"\"\" c"), (8, Some(Fault::CloserInLine(5))));
        assert_eq!(end("\"\"\"\n\\\"\"\"\n \\\n \"\"\" c"), (16, None));
        assert_eq!(end("\"\"\"a\"\"\" c"), (7, Some(Fault::OpenerInLine)));
        assert_eq!(end("#\"\"\"\n\"\"\"\n  \"\"\"# c"), (15, None));
        assert_eq!(end("##\"\"\"\n"), (6, Some(Fault::UnclosedToEnd)));
        assert_eq!(end("#\"\"\"#"), (5, None));
    }

    #[test]
    fn what_is_inside_is_checked() {
        assert_eq!(inner(r#""\\ \" \b \f \n \r \t \s \u{10FFFF}""#), None);
        assert_eq!(inner(r#""\d""#), Some(StringFault::Escape));
        assert_eq!(inner(r#""\u{D800}""#), Some(StringFault::Escape));
        assert_eq!(inner(r#""\u{1234567}""#), Some(StringFault::Escape));
        assert_eq!(inner("#\"\"\"#"), Some(StringFault::LooksLong));
        assert_eq!(inner("#\"\"\"a\"\"\"#"), Some(StringFault::LooksLong));
        assert_eq!(inner("#\"\"#"), None);
        assert_eq!(inner("#\"\"a\"#"), None);
        assert_eq!(inner("\"\"\"\n  a\n\n b\n  \"\"\""), Some(StringFault::Dedent));
        assert_eq!(inner("\"\"\"\n  a\n\n  b \\\nc\n  \"\"\""), None);
        assert_eq!(inner("#\"\"\"\n  a \\\n b\n  \"\"\"#"), Some(StringFault::Dedent));
        assert_eq!(inner("\"\"\"\na\n   \\\n\"\"\""), Some(StringFault::Dedent));
        assert_eq!(inner("\"\"\"\n\"\"\""), None);
        assert_eq!(inner("#\"\"\"\n \"\n \"\"\"#"), Some(StringFault::OnlyQuote));
        assert_eq!(inner("#\"\"\"\n \"\n\n \"\"\"#"), None);
        assert_eq!(inner("\"\"\"\né\n \"\"\""), Some(StringFault::Dedent));
    }
}
