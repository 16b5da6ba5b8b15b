//! Tests of parsing: places, values, wording. The fuzzing against the `kdl` crate is in `tests/it`.

use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, SourceId};
use crate::lang::{Kind, Node, parse};

const SOURCE: SourceId = SourceId(7);

fn read(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut diagnostics = Diagnostics::default();
    let nodes = parse(SOURCE, text, &mut diagnostics);
    let found = diagnostics.sorted().into_iter().cloned().collect();
    (nodes, found)
}

fn nodes(text: &str) -> Vec<Node> {
    let (nodes, found) = read(text);
    assert_eq!(found, [], "{text}");
    nodes
}

/// The codes found and the text each points at.
fn codes(text: &str) -> Vec<(Code, &str)> {
    read(text).1.iter().map(|found| (found.code, &text[found.primary.span.range()])).collect()
}

fn names(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.name.value.as_str()).collect()
}

#[test]
fn a_node_is_lowered_with_its_places() {
    let text = "\u{FEFF}// é\n\n// one\n//two  \n(é)\"n\" é /-no (var) x k = (t)\"v\" /* c */ { c 1 } // end\n";
    let all = nodes(text);
    let [node] = all.as_slice() else { panic!("one node") };
    let at = |span: crate::diag::Span| &text[span.range()];
    assert_eq!(node.doc.as_deref(), Some("one\ntwo"));
    assert_eq!(at(node.span), "(é)\"n\" é /-no (var) x k = (t)\"v\" /* c */ { c 1 }");
    assert_eq!((node.name.value.as_str(), at(node.name.span)), ("n", "\"n\""));
    assert_eq!(node.note.as_ref().map(|note| (note.value.as_str(), at(note.span))), Some(("é", "é")));
    assert_eq!(node.args.iter().map(|arg| at(arg.span)).collect::<Vec<_>>(), ["é", "x"]);
    assert_eq!(node.args[1].note.as_ref().map(|note| at(note.span)), Some("var"));
    let property = &node.props[0];
    assert_eq!((at(property.name.span), at(property.value.span)), ("k", "\"v\""));
    assert_eq!(property.value.note.as_ref().map(|note| at(note.span)), Some("t"));
    assert_eq!(property.value.span.source, SOURCE);
    let children = node.children.as_deref().expect("a block");
    assert_eq!((names(children), at(children[0].span)), (vec!["c"], "c 1"));
}

#[test]
fn values_are_kept_as_written_where_it_matters() {
    let all = nodes("a 1 -0x1F 1_000 1.50 1e999 #inf #true #null text \"true\"");
    let kinds: Vec<_> = all[0].args.iter().map(|arg| arg.kind.clone()).collect();
    let text = |text: &str| Kind::Text(text.to_owned());
    let decimal = |text: &str| Kind::Decimal(text.to_owned());
    assert_eq!(
        kinds,
        [
            Kind::Int(1),
            Kind::Int(-31),
            Kind::Int(1000),
            decimal("1.50"),
            decimal("1e999"),
            decimal("#inf"),
            Kind::Bool(true),
            Kind::Null,
            text("text"),
            text("true"),
        ]
    );
    assert_eq!(nodes("a")[0].children, None);
    assert_eq!(nodes("a {}")[0].children.as_deref(), Some(&[][..]));
    assert_eq!(nodes("a /-{ b }")[0].children, None);
}

#[test]
fn offsets_inside_strings_are_known() {
    let text = "a bare \"q\" \"\\t\" #\"r\"# \"\"\"\n  m\n  \"\"\" #\"\"\"\nn\n\"\"\"#";
    let all = nodes(text);
    let found: Vec<_> = all[0].args.iter().map(|arg| (arg.verbatim, &text[arg.text_start as usize..][..1])).collect();
    assert_eq!(found, [(true, "b"), (true, "q"), (false, "\\"), (true, "r"), (false, " "), (true, "n")]);
}

#[test]
fn documentation_is_only_what_stands_directly_above() {
    let docs = |text: &str| nodes(text).into_iter().map(|node| node.doc).collect::<Vec<_>>();
    assert_eq!(docs("// a\n\nx"), [None]);
    assert_eq!(docs("x // a\ny"), [None, None]);
    assert_eq!(docs("// a\n/- x\ny"), [None]);
    assert_eq!(docs("/*\n// a\n*/\ny\n"), [None]);
    assert_eq!(docs("// a\nx; y"), [Some("a".to_owned()), None]);
    let inner = nodes("x {\n    /// a\n    //\n    //  b\n    y\n}");
    assert_eq!(inner[0].children.as_ref().and_then(|all| all[0].doc.clone()), Some("a\n\n b".to_owned()));
}

#[test]
fn hidden_parts_are_gone() {
    let all = nodes("/- a { b }; c\n/-\n\nd 1\ne /-1 2 /-k=3 /-{ f } { g; /- h { i } } /-{ j }\n/- kdl-version 2\n");
    assert_eq!(names(&all), ["c", "e"]);
    assert_eq!((all[1].args.len(), all[1].props.len()), (1, 0));
    assert_eq!(names(all[1].children.as_deref().expect("a block")), ["g"]);
}

#[test]
fn one_mistake_a_slice_and_the_rest_is_read() {
    let (found, errors) = read("a 1\nb x=true y=false\nc {\n    d = 1\n    e = 2\n}\nf 1a\ng\n");
    assert_eq!(names(&found), ["a", "g"]);
    let codes: Vec<_> = errors.iter().map(|error| error.code).collect();
    assert_eq!(codes, [Code::P0005, Code::P0008, Code::P0013]);
}

#[test]
fn each_mistake_has_its_code_and_place() {
    let cases: &[(&str, Code, &str)] = &[
        ("a true", Code::P0005, "true"),
        ("a k=null", Code::P0005, "null"),
        ("a \"x", Code::P0006, "\"x"),
        ("a #\"x\"\nb", Code::P0006, "#\"x\""),
        ("a \"\"\"\nx", Code::P0006, "\"\"\""),
        ("a ##\"\"\"\nx\"\"\"#", Code::P0006, "##\"\"\""),
        ("a /* x", Code::P0007, "/*"),
        ("x = 1", Code::P0008, "="),
        ("a b=1=2", Code::P0008, "="),
        ("a 1=2", Code::P0008, "="),
        ("a\n{\n}\n", Code::P0009, "{"),
        ("a {\n    {\n    }\n}", Code::P0009, "{"),
        ("a \"\u{202E}\"", Code::P0010, "\u{202E}"),
        ("// \u{7F}\na", Code::P0010, "\u{7F}"),
        ("a \u{FEFF}b", Code::P0010, "\u{FEFF}"),
        ("/- kdl-version 1\na true", Code::P0011, "/- kdl-version 1"),
        ("a r\"x\" true\nb true", Code::P0011, "r\"x\""),
        ("a 170141183460469231731687303715884105728", Code::P0012, "170141183460469231731687303715884105728"),
        ("a 20m", Code::P0013, "20m"),
        ("a src/main.rs", Code::P0013, "/"),
        ("a [1]", Code::P0013, "["),
        ("a #True", Code::P0013, "#True"),
        ("a \"\\d\"", Code::P0013, "\\d"),
        ("a \"\"\"x\"\"\"", Code::P0013, "\"\"\""),
        ("a \"\"\"\n  x\n y\n  \"\"\"", Code::P0013, " "),
        ("a (t)", Code::P0013, "(t)"),
        ("a (t", Code::P0013, "("),
        ("a k=", Code::P0013, "="),
        ("a /-", Code::P0013, "/-"),
        ("a {} b", Code::P0013, "b"),
        ("a {} {}", Code::P0013, "{"),
        ("a \\ b", Code::P0013, "\\"),
        ("a;; b", Code::P0013, ";"),
        ("a \"x\"y", Code::P0013, "\""),
        ("1 2", Code::P0013, "1"),
    ];
    for (text, code, place) in cases {
        assert_eq!(codes(text), [(*code, *place)], "{text}");
    }
}

#[test]
fn a_missing_brace_is_blamed_by_indentation() {
    let text = "a {\n    b {\n        c\n    d {\n        e\n    }\n}\nf 1\n";
    let (found, errors) = read(text);
    assert_eq!(names(&found), ["f"]);
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].code, errors[0].primary.span.start), (Code::P0003, 10));
    assert!(errors[0].help[0].ends_with("after line 3"), "{:?}", errors[0].help);
    let edit = &errors[0].fixes[0].edits[0];
    assert_eq!((edit.span.start as usize, edit.text.as_str()), (text.find("\n    d").expect("d"), "\n    }"));

    let (found, errors) = read("a {\n    b {\n        c\n}\nd\ne {\n    f\ng\n");
    assert_eq!(names(&found), ["d", "g"]);
    assert_eq!(
        errors.iter().map(|e| (e.code, e.primary.span.start)).collect::<Vec<_>>(),
        [(Code::P0003, 10), (Code::P0003, 28),]
    );
    assert_eq!(codes("a { b {"), [(Code::P0003, "{")]);
}

#[test]
fn a_stray_brace_is_blamed_by_indentation() {
    let (found, errors) = read("a {\n    b {\n    }\n    }\n    c\n}\nd\n");
    assert_eq!(names(&found), ["d"]);
    assert_eq!(errors.iter().map(|e| (e.code, e.primary.span.start)).collect::<Vec<_>>(), [(Code::P0004, 22)]);
    assert!(errors[0].help[0].contains("line 2"), "{:?}", errors[0].help);
    assert_eq!(codes("/\\\n}"), [(Code::P0004, "}")]);
    let (found, errors) = read("a {\n}\n}\n}\nb\n");
    assert_eq!((names(&found), errors.len()), (vec!["a", "b"], 1));
}

#[test]
fn a_string_that_swallows_a_brace_is_one_mistake() {
    let (found, errors) = read("a {\n    b \"x {\n        c\n    }\n    d \"y\n}\ne\n");
    assert_eq!(names(&found), ["e"]);
    assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), [Code::P0006, Code::P0006]);
}

#[test]
fn a_quoted_string_over_several_lines_is_one_mistake() {
    let (found, errors) = read("a\nb \"one\ntwo three\nfour\" {\n}\nc\n");
    assert_eq!(names(&found), ["a", "c"]);
    assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), [Code::P0006]);
}

#[test]
fn balanced_text_may_be_indented_as_it_likes() {
    assert_eq!(names(&nodes("a {\nb {\nc\n}\n  }\nd { e\n  f }\n")), ["a", "d"]);
}

#[test]
fn sure_fixes_are_marked_so() {
    let (_, errors) = read("a k=true\n");
    assert_eq!(errors[0].fixes[0].applicability, Applicability::MachineApplicable);
    assert_eq!(errors[0].fixes[0].edits[0].text, "#true");
    let (_, errors) = read("a true=1\n");
    assert_eq!(errors[0].fixes[0].applicability, Applicability::MaybeIncorrect);
    let (_, errors) = read("a src/main.rs x\n");
    assert_eq!(errors[0].fixes[0].edits[0].text, "\"src/main.rs\"");
}

#[test]
fn limits_hold_at_their_edge() {
    let nested = |depth: usize| format!("{}{}", "a {".repeat(depth), "}".repeat(depth));
    nodes(&nested(32));
    let (_, errors) = read(&nested(33));
    assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), [Code::P0002]);
    assert_eq!(errors[0].message, "blocks are nested 33 deep; the limit is 32");
    for open in ["a /-{", "/-a {", "x; /-a {"] {
        let nested = |depth: usize| format!("{}{}", open.repeat(depth), "}".repeat(depth));
        nodes(&nested(4));
        assert_eq!(codes(&nested(5)), [(Code::P0002, "{")], "{open}");
    }
}

#[test]
fn the_pages_show_what_they_say() {
    for code in Code::ALL.iter().filter(|code| **code <= Code::P0013) {
        for example in code.info().examples() {
            let codes: Vec<_> = codes(example.text).into_iter().map(|(code, _)| code).collect();
            let expected = if example.fails { vec![*code] } else { Vec::new() };
            assert_eq!(codes, expected, "{code}: {}", example.text);
        }
        let without = matches!(code, Code::P0001 | Code::P0002 | Code::P0010);
        assert_eq!(code.info().examples().len(), if without { 0 } else { 2 }, "{code}");
    }
}
