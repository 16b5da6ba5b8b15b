//! Tests of the formatter on single rules. Fuzzing and whole specs are in `tests/it`.

use crate::base::ErrorKind;
use crate::diag::SourceId;
use crate::lang::fmt::{Error, format};

#[track_caller]
fn formats(text: &str, expected: &str) {
    let once = format(SourceId(0), text).expect("a valid text");
    assert_eq!(once, expected);
    assert_eq!(format(SourceId(0), &once).expect("still valid"), once, "not idempotent");
}

#[test]
fn white_space_is_made_even() {
    formats("a   b\tc=1  \"x  y\"", "a b c=1 \"x  y\"\n");
    formats("a k = ( u8 ) 1 ( t )  x", "a k=(u8)1 (t)x\n");
    formats("( t )a{}", "(t)a {}\n");
    formats("\u{FEFF}a\u{A0}b  \r\n\tb", "a b\nb\n");
    formats("", "");
    formats("\n\n", "");
    formats("\n\n// c\n\n\n\na\n\n\n", "// c\n\na\n");
}

#[test]
fn blocks_are_indented() {
    formats("a {\nb {\n  c\n}\n    }", "a {\n    b {\n        c\n    }\n}\n");
    formats("a {\n\n\n  b\n\n\n\n  c\n\n}", "a {\n    b\n\n    c\n}\n");
    formats("a { b; c }", "a { b; c }\n");
    formats("a {b;c;}", "a { b; c; }\n");
    formats("a {  \n\n }", "a {}\n");
    formats("a { b\n c }", "a {\n    b\n    c\n}\n");
    formats("a { b { c\n } }", "a {\n    b {\n        c\n    }\n}\n");
    formats("a { b {} /-{ x } }", "a { b {} /-{ x } }\n");
}

#[test]
fn nodes_after_semicolons_stay() {
    formats("a;b ; c\nd;\ne", "a; b; c\nd;\ne\n");
    formats("defaults { timeout \"5m\";retry max=1 }", "defaults { timeout \"5m\"; retry max=1 }\n");
}

#[test]
fn comments_stay_where_they_are() {
    formats("a   // c  \nb", "a // c\nb\n");
    formats("a { // c\nb\n//d\n}", "a { // c\n    b\n    //d\n}\n");
    formats("a/*c*/b {/* d */}", "a /*c*/ b { /* d */ }\n");
    formats("a {\n/* x\n     y */ b\n}", "a {\n    /* x\n     y */ b\n}\n");
    formats("a { b } // x\nc", "a { b } // x\nc\n");
    formats("(w)/*why*/c k/*e*/=/*f*/1", "(w)/*why*/ c k /*e*/=/*f*/ 1\n");
}

#[test]
fn hidden_parts_stay_hidden() {
    formats("/-  a  1\n/-b\na /-  x /-k = 1 /-{ y }", "/- a 1\n/-b\na /- x /-k=1 /-{ y }\n");
    formats("/-\n\n\na\nb /-\nc", "/-\n\na\nb /-\n    c\n");
    formats("/- kdl-version 2\npartita edition=1", "/- kdl-version 2\npartita edition=1\n");
}

#[test]
fn continued_lines_are_indented_once_more() {
    formats("a {\nb 1 \\\n2\\ // c\n3\n}", "a {\n    b 1 \\\n        2 \\ // c\n        3\n}\n");
    formats("a \\\n\nb", "a \\\n\nb\n");
    formats("a \\", "a \\\n");
    formats("a { \\\n b }", "a { \\\n    b }\n");
}

#[test]
fn strings_are_not_touched() {
    formats("a \"\"\"\n   x  \n  y\n  \"\"\"   b", "a \"\"\"\n   x  \n  y\n  \"\"\" b\n");
    formats("a {\n#\"\"\"\nx\r\n\"\"\"#\n}", "a {\n    #\"\"\"\nx\r\n\"\"\"#\n}\n");
}

#[test]
fn a_wrong_text_is_refused() {
    let error = format(SourceId(0), "a {\n  b = 1\n}").expect_err("wrong");
    assert_eq!(error.kind(), ErrorKind::Spec);
    assert!(matches!(error, Error::Syntax(found) if found.has_errors()));
}
