//! Positions of the protocol and byte offsets: lines end at `\n`, `\r\n` or `\r`, columns count what
//! the two sides agreed on. Leaves out which text.

use gen_lsp_types::{Position, Range};

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes.
    Utf8,
    /// Units of UTF-16, as the protocol has it unless agreed otherwise.
    Utf16,
    /// Characters.
    Utf32,
}

impl Encoding {
    /// Its name in the protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Utf32 => "utf-32",
        }
    }

    fn width(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// A text with its lines.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    encoding: Encoding,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
                starts.push(at + 1);
            }
        }
        Self { text, starts, encoding }
    }

    /// The bytes of a line without its end.
    fn line(&self, line: usize) -> std::ops::Range<usize> {
        let start = self.starts[line];
        let end = self.starts.get(line + 1).copied().unwrap_or(self.text.len());
        let ends = &self.text[start..end];
        start..start + ends.trim_end_matches(['\n', '\r']).len()
    }

    /// The position of an offset; one inside a character counts as its start.
    pub(super) fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = &self.text[self.starts[line]..offset];
        let column = match self.encoding {
            Encoding::Utf8 => before.len(),
            encoding if before.is_ascii() => {
                debug_assert_eq!(encoding.width('a'), 1);
                before.len()
            }
            encoding => before.chars().map(|c| encoding.width(c)).sum(),
        };
        Position { line: line as u32, character: column as u32 }
    }

    /// The position of an offset behind one whose position is known: a long line is not counted again for
    /// each of its words.
    pub(super) fn position_behind(&self, (known, position): (usize, Position), offset: usize) -> Position {
        let next_line = self.starts.get(position.line as usize + 1);
        match self.text.get(known..offset) {
            Some(between) if next_line.is_none_or(|start| offset < *start) => {
                Position { line: position.line, character: position.character + self.width(between) }
            }
            _ => self.position(offset),
        }
    }

    /// The offset of a position; past the end of a line it is that end, past the last line the end of
    /// the text, inside a character its start.
    pub(super) fn offset(&self, position: Position) -> usize {
        let line = position.line as usize;
        if line >= self.starts.len() {
            return self.text.len();
        }
        let range = self.line(line);
        let mut left = position.character as usize;
        let mut at = range.start;
        for c in self.text[range.clone()].chars() {
            let width = self.encoding.width(c);
            if left < width {
                break;
            }
            left -= width;
            at += c.len_utf8();
        }
        at
    }

    /// The range of bytes.
    pub(super) fn range(&self, bytes: std::ops::Range<usize>) -> Range {
        Range { start: self.position(bytes.start), end: self.position(bytes.end) }
    }

    /// How many units a piece of text is long.
    pub(super) fn width(&self, text: &str) -> u32 {
        text.chars().map(|c| self.encoding.width(c)).sum::<usize>() as u32
    }

    /// Cuts a range into its parts on each line, without line ends.
    pub(super) fn by_line(&self, bytes: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
        let first = self.starts.partition_point(|start| *start <= bytes.start) - 1;
        let mut parts = Vec::new();
        for line in first..self.starts.len() {
            let range = self.line(line);
            if range.start >= bytes.end {
                break;
            }
            let part = range.start.max(bytes.start)..range.end.min(bytes.end);
            if !part.is_empty() {
                parts.push(part);
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Lines};
    use gen_lsp_types::Position;

    const TEXT: &str = "a\u{e9}\u{1f600}b\r\nx\ry\n";

    #[test]
    fn columns_count_what_was_agreed() {
        let at = |encoding| Lines::new(TEXT, encoding).position(TEXT.find('b').unwrap());
        assert_eq!(at(Encoding::Utf8), Position { line: 0, character: 7 });
        assert_eq!(at(Encoding::Utf16), Position { line: 0, character: 4 });
        assert_eq!(at(Encoding::Utf32), Position { line: 0, character: 3 });
    }

    #[test]
    fn every_boundary_comes_back() {
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let lines = Lines::new(TEXT, encoding);
            for (at, c) in TEXT.char_indices() {
                if c != '\n' || !TEXT[..at].ends_with('\r') {
                    assert_eq!(lines.offset(lines.position(at)), at, "{encoding:?} {at}");
                }
            }
            assert_eq!(lines.offset(lines.position(TEXT.len())), TEXT.len());
        }
    }

    #[test]
    fn counting_on_comes_to_the_same() {
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let lines = Lines::new(TEXT, encoding);
            let all: Vec<usize> = TEXT.char_indices().map(|(at, _)| at).chain([TEXT.len()]).collect();
            for known in &all {
                for at in &all {
                    let found = lines.position_behind((*known, lines.position(*known)), *at);
                    assert_eq!(found, lines.position(*at), "{encoding:?} {known} {at}");
                }
            }
        }
    }

    #[test]
    fn places_that_are_not_there_are_the_nearest() {
        let lines = Lines::new(TEXT, Encoding::Utf16);
        assert_eq!(lines.offset(Position { line: 0, character: 99 }), TEXT.find('\r').unwrap());
        assert_eq!(lines.offset(Position { line: 99, character: 0 }), TEXT.len());
        // Inside the two units of one character.
        assert_eq!(lines.offset(Position { line: 0, character: 3 }), 3);
        assert_eq!(Lines::new("", Encoding::Utf8).position(9), Position { line: 0, character: 0 });
    }

    #[test]
    fn what_goes_over_lines_is_cut() {
        let lines = Lines::new("ab\r\n\ncd", Encoding::Utf8);
        assert_eq!(lines.by_line(1..7), [1..2, 5..7]);
    }
}
