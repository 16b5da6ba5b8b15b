//! The names that the top-level nodes of a text declare, told from its tokens alone: for texts that cannot
//! be parsed, so that what refers to these is no second mistake. Leaves out what they mean.

use crate::lang::lex::{Lexer, TokenKind};

/// What stands second on every line that begins at its very start. Where braces are out of balance, this is
/// the best sign of the top level.
pub(super) fn names_declared(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Words since the start of the line; `None`: it does not begin a node.
    let mut words: Option<usize> = Some(0);
    let mut begin = true;
    for token in Lexer::within(text, 0, text.len()) {
        match token.kind {
            TokenKind::Newline => words = Some(0),
            TokenKind::Space if begin => words = None,
            TokenKind::Space => {}
            TokenKind::Word | TokenKind::Quoted | TokenKind::Raw => {
                if words == Some(1) {
                    names.push(token.text(text).trim_matches(['#', '"']).to_owned());
                }
                words = words.map(|count| count + 1);
            }
            _ => words = None,
        }
        begin = token.kind == TokenKind::Newline;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::names_declared;

    #[test]
    fn names_are_found_though_braces_are_missing() {
        let text = "tool cc {\n  exec cc\ngraph \"g\" {\n  node n { run true }\n// graph h\nlet x type=int 1\n";
        assert_eq!(names_declared(text), ["cc", "g", "x"]);
    }
}
