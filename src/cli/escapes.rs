//! What actions printed, made harmless for a terminal: colours stay, everything else that would command it is shown
//! as a picture. Whoever is no terminal gets the bytes as they are. Leaves out where they are kept.

use std::borrow::Cow;
use std::io::IsTerminal;

/// A text with what actions printed, for standard error.
pub(crate) fn for_stderr(text: &str) -> Cow<'_, str> {
    if std::io::stderr().is_terminal() { tame(text) } else { Cow::Borrowed(text) }
}

/// What actions printed, for standard output.
pub(crate) fn for_stdout(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !std::io::stdout().is_terminal() {
        return Cow::Borrowed(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    Cow::Owned(tame(&text).into_owned().into_bytes())
}

/// Whether a character commands a terminal, besides those that end a line or move to the next column.
fn commands(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// The text in which only colours command a terminal. They end with it.
fn tame(text: &str) -> Cow<'_, str> {
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut coloured = false;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            coloured = true;
            continue;
        }
        match c {
            // The end of a line as others write it.
            '\r' if rest[1..].starts_with('\n') => {}
            '\x7f' => out.push('\u{2421}'),
            // Unicode has a picture for each of these.
            '\0'..='\x1f' if commands(c) => out.extend(char::from_u32(0x2400 + u32::from(c))),
            c if commands(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    if coloured {
        out.push_str("\x1b[0m");
    }
    Cow::Owned(out)
}

/// The length of a colour (SGR) at the start of a text, if there is one.
fn colour(text: &str) -> Option<usize> {
    let given = text.strip_prefix("\x1b[")?;
    let end = given.find(|c: char| !c.is_ascii_digit() && !matches!(c, ';' | ':'))?;
    given[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_commands_are_shown() {
        let told = |text: &str| tame(text).into_owned();
        assert_eq!(told("plain\ttext\nnext ü"), "plain\ttext\nnext ü");
        assert_eq!(told("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m\x1b[0m");
        assert_eq!(told("\x1b]0;title\x07"), "␛]0;title␇");
        assert_eq!(told("\x1b[2J\x1b[Hgone"), "␛[2J␛[Hgone");
        assert_eq!(told("\x1b[?25m \x1b[3"), "␛[?25m ␛[3", "what is no colour, and what is cut off");
        assert_eq!(told("one\r\ntwo\rover\x08\x7f\0"), "one\ntwo␍over␈␡␀");
        assert_eq!(told("\u{9b}2J"), "\u{fffd}2J", "the same commands in one character");
    }
}
