//! The formatter and the guard on the grammar of KDL 2: every valid document passes, keeps what it says,
//! and comes to rest. A corpus of our own covers the grammar rule by rule; the suite that the `kdl` crate
//! ships is read besides where its sources are on the machine. Leaves out single rules of layout: see
//! `lang/fmt`.

use std::path::PathBuf;

use partita::base::Environment;
use partita::diag::{Diagnostics, SourceId};
use partita::lang::{self, Kind, Node};

/// Parts that stand for themselves in documents made of them.
const VALUES: &[&str] = &[
    "a",
    "a-b",
    "-",
    "--flag",
    "+x",
    "-.x",
    "..",
    ".a",
    "a.b",
    "a,b",
    "<x>",
    "é",
    "日本語",
    "🙂",
    "_",
    "'q'",
    "`t`",
    "$v",
    "@x",
    "%",
    "&",
    "*",
    "^",
    "~",
    "!",
    "?",
    ":",
    "|",
    "1",
    "-1",
    "+1",
    "0",
    "00",
    "1_000",
    "0x1F",
    "-0xff_ff",
    "0o17",
    "0b101",
    "1.5",
    "-1.5",
    "1e3",
    "1E-3",
    "1.5e+3",
    "1_0.0_1",
    "#true",
    "#false",
    "#null",
    "#inf",
    "#-inf",
    "#nan",
    "\"\"",
    "\"a b\"",
    "\"\\n\\t\\\\ \\\"q\\\" \\u{1F642} \\s \\b \\f \\r\"",
    "\"// no comment\"",
    "\"{ } ; =\"",
    "\"true\"",
    "\"\\   \n   joined\"",
    "#\"raw \\n\"#",
    "##\"a \"# b\"##",
    "#\"\"#",
    "\"\"\"\n\"\"\"",
    "\"\"\"\n    two\n      lines\n    \"\"\"",
    "\"\"\"\n\n    empty first\n\n    \"\"\"",
    "#\"\"\"\n  raw \"\" \\n\n  \"\"\"#",
    "(t)a",
    "(t)1",
    "(t)\"x\"",
    "(\"t u\")#true",
    "( t )a",
    "(t) a",
];

/// How nodes, blocks, comments and line ends go together; `@` is a value.
const FRAMES: &[&str] = &[
    "n @",
    "n @\n",
    "n @;",
    "n @; m",
    "n k=@",
    "n k=@ k=@",
    "n \"k l\"=@ @",
    "n @ { m @ }",
    "n @ {\n  m @\n\n\n  o\n}\n",
    "n { m { o @ } }",
    "n {}",
    "n { }\nm",
    "(t)n @",
    "n /-@ @",
    "n /-k=@ @",
    "n @ /-{ hidden @ }",
    "n @ /-{ a } { b }",
    "/-n @ { m }\no",
    "/- n @",
    "n /* c */ @ /* d */ k /* e */=/* f */ @",
    "// c\nn @ // d\n// e",
    "n \\\n  @ \\ // c\n  @",
    "\u{FEFF}n @",
    "n\t@\t@",
    "n\u{A0}@\u{3000}@",
    "n @\r\nm\r\n",
    "n @\u{85}m\u{2028}o\u{2029}p\u{C}q",
    "\n\n\n",
    "/* only */",
    "// only",
    "/* a /* b */ c */ n @",
    "n { /* c */ }",
    "n {\n// c\n}",
    "n { m; o @; }",
    "n @;;m",
];

/// Documents that stand alone.
const WHOLE: &[&str] = &[
    "",
    " ",
    "\n",
    "\t\n",
    "a",
    "a\n",
    "a;b;c",
    "a b c=d { e f }",
    "\"quoted name\" x",
    "#\"raw name\"# x",
    "/-a\n/-b\nc",
    "a /-\n b\nc",
    "/-\na\nb",
    "a { /- b { c } }",
    "a { /- b\n c }",
    "a 1 /- 2 3 /- x=4 y=5 /-{ z } { w }",
    "a {\n} // c\nb",
    "a { b } ; c",
    "a { b } /* c */\nd",
    "( u ) b",
    "(w)/*why*/c",
    "/- kdl-version 2\na",
    "a \\\n\\\n b",
    "a \\ /* c */ // d\n b",
    "a \"\\\n   \"",
    "- 1\n- 2",
    "a {b}",
    "a{b}",
    "a \"x\"{ b }",
    "a k=\"v\"{ b }",
    "a #true{ b }",
    "r 1",
    "r r#x",
    "a r=\"x\"",
    "inf-x nan-x true-x",
    "a (b)c=d",
    "a \"b\"=c",
    "a\n\n\n\nb",
    "a { b\n\n\n\nc }",
    "a   // x   \n   b",
    "node /-a b",
];

fn parsed(text: &str) -> Option<Vec<Node>> {
    let mut diagnostics = Diagnostics::default();
    let nodes = lang::parse(SourceId(0), text, &mut diagnostics);
    (!diagnostics.has_errors()).then_some(nodes)
}

/// What a document says, without places and layout.
fn meaning(nodes: &[Node]) -> String {
    let value = |value: &lang::Value| {
        let note = value.note.as_ref().map(|note| &note.value);
        match &value.kind {
            Kind::Text(text) => format!("{note:?}{text:?}"),
            other => format!("{note:?}{other:?}"),
        }
    };
    nodes.iter().fold(String::new(), |mut out, node| {
        let args: Vec<String> = node.args.iter().map(value).collect();
        let props: Vec<String> = node.props.iter().map(|p| format!("{:?}={}", p.name.value, value(&p.value))).collect();
        let note = node.note.as_ref().map(|note| &note.value);
        out.push_str(&format!("{note:?}{:?}{args:?}{props:?}", node.name.value));
        if let Some(children) = &node.children {
            out.push_str(&format!("{{{}}}", meaning(children)));
        }
        out + ";"
    })
}

/// The comments of a text, in order.
fn comments(text: &str) -> usize {
    text.matches("//").count() + text.matches("/*").count() + text.matches("/-").count()
}

/// Whether a document keeps what it says through the formatter. `None` if it is not valid.
fn keeps(text: &str) -> Option<Result<(), String>> {
    let before = parsed(text)?;
    let once = match lang::format(SourceId(0), text) {
        Ok(once) => once,
        Err(error) => return Some(Err(format!("{error}: {text:?}"))),
    };
    let Some(after) = parsed(&once) else { return Some(Err(format!("no longer valid: {text:?} became {once:?}"))) };
    if meaning(&before) != meaning(&after) || comments(text) != comments(&once) {
        return Some(Err(format!("says something else: {text:?} became {once:?}")));
    }
    match lang::format(SourceId(0), &once) {
        Ok(twice) if twice == once => Some(Ok(())),
        _ => Some(Err(format!("does not come to rest: {text:?} became {once:?}"))),
    }
}

#[test]
fn documents_of_the_whole_grammar_keep_what_they_say() {
    let mut faults = Vec::new();
    let mut judged = 0;
    let framed = FRAMES.iter().flat_map(|frame| VALUES.iter().map(move |value| frame.replace('@', value)));
    let mut invalid = Vec::new();
    for text in framed.chain(WHOLE.iter().map(|text| (*text).to_owned())) {
        match keeps(&text) {
            Some(Ok(())) => judged += 1,
            Some(Err(fault)) => faults.push(fault),
            None => invalid.push(text),
        }
    }
    assert!(faults.is_empty(), "{} of them:\n{}", faults.len(), faults.join("\n"));
    // What is refused must be refused by the grammar: see the differential tests in `guard`.
    let lone = invalid.iter().filter(|text| kdl::KdlDocument::parse_v2(text).is_ok()).collect::<Vec<_>>();
    assert!(lone.len() <= invalid.len() / 2, "refused though valid: {lone:#?}");
    assert!(judged >= 1_500, "only {judged} documents were judged, {} are not valid: {invalid:#?}", invalid.len());
}

/// The folder of valid documents that the `kdl` crate ships, if its sources are on this machine.
fn shipped() -> Option<PathBuf> {
    let environment = Environment::of_process();
    let home = environment.raw("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| environment.raw("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    let sources = walkdir::WalkDir::new(home.join("registry/src")).min_depth(2).max_depth(2).sort_by_file_name();
    let mut found: Vec<PathBuf> = sources
        .into_iter()
        .filter_map(Result::ok)
        .filter(|package| package.file_name().to_string_lossy().starts_with("kdl-6."))
        .map(|package| package.path().join("tests/test_cases"))
        .filter(|folder| folder.is_dir())
        .collect();
    found.sort();
    found.pop()
}

#[test]
fn the_suite_of_the_kdl_crate_keeps_what_it_says() {
    let Some(folder) = shipped() else {
        eprintln!("skipped: the sources of the kdl crate are not on this machine");
        return;
    };
    let mut faults = Vec::new();
    let mut judged = 0;
    for entry in walkdir::WalkDir::new(&folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
        let path = entry.path();
        let valid = path.extension().is_some_and(|extension| extension == "kdl")
            && path.parent().is_some_and(|folder| folder.ends_with("input"))
            && !path.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("_fail"));
        let Some(text) = std::fs::read_to_string(path).ok().filter(|_| valid) else { continue };
        match keeps(&text) {
            Some(Ok(())) => judged += 1,
            Some(Err(fault)) => faults.push(format!("{}: {fault}", path.display())),
            // The crate's own tests expect it to read it.
            None if kdl::KdlDocument::parse_v2(&text).is_ok() => faults.push(format!("{}: refused", path.display())),
            None => {}
        }
    }
    assert!(faults.is_empty(), "{} of them:\n{}", faults.len(), faults.join("\n"));
    assert!(judged >= 150, "only {judged} documents were judged");
}
