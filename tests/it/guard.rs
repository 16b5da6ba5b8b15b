//! The guard against text from strangers, from the outside: bombs are answered with their code, and
//! random texts are read as the `kdl` crate reads them, or refused. A bounded number in every run;
//! `PARTITA_FUZZ_SECONDS=900` goes on for so long, and prints how many there were.

use std::thread;
use std::time::{Duration, Instant};

use partita::base::Environment;
use partita::diag::{Code, Diagnostics, SourceId};
use partita::lang::{self, Kind, Node, Value};
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, ProptestConfig, Strategy, proptest};
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::support::processor_time;

const SOURCE: SourceId = SourceId(0);

fn parse(text: &str) -> (Vec<Node>, Vec<Code>) {
    let mut diagnostics = Diagnostics::default();
    let nodes = lang::parse(SOURCE, text, &mut diagnostics);
    let found = diagnostics.sorted();
    // What our grammar passes, the crate must accept: after a mistake it may recurse without bound.
    let by_crate = |found: &&&partita::diag::Diagnostic| found.message.starts_with("this is not KDL");
    assert!(found.iter().find(by_crate).is_none(), "left to the crate: {text:?}");
    (nodes, found.iter().map(|found| found.code).collect())
}

/// The `kdl` crate's own answer, on a stack on which no short text can overflow it.
fn direct(text: &str) -> Option<kdl::KdlDocument> {
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(256 << 20)
            .spawn_scoped(scope, || kdl::KdlDocument::parse_v2(text).ok())
            .expect("a thread")
            .join()
            .expect("the parser does not panic")
    })
}

/// Trees without places, so that the two can be compared.
type Plain = Vec<String>;

fn ours(nodes: &[Node], depth: usize, into: &mut Plain) {
    let value = |value: &Value| {
        let note = value.note.as_ref().map(|note| note.value.as_str());
        match &value.kind {
            Kind::Text(text) => format!("{note:?} {text:?}"),
            Kind::Int(number) => format!("{note:?} {number}"),
            Kind::Decimal(_) => format!("{note:?} float"),
            Kind::Bool(truth) => format!("{note:?} {truth}"),
            Kind::Null => format!("{note:?} null"),
        }
    };
    for node in nodes {
        let args: Vec<_> = node.args.iter().map(value).collect();
        let props: Vec<_> = node.props.iter().map(|p| format!("{:?}={}", p.name.value, value(&p.value))).collect();
        let note = node.note.as_ref().map(|note| note.value.as_str());
        let block = node.children.is_some();
        into.push(format!("{depth} {note:?} {:?} {args:?} {props:?} {block}", node.name.value));
        ours(node.children.as_deref().unwrap_or_default(), depth + 1, into);
    }
}

fn theirs(document: &kdl::KdlDocument, depth: usize, into: &mut Plain) {
    let value = |entry: &kdl::KdlEntry| {
        let note = entry.ty().map(kdl::KdlIdentifier::value);
        match entry.value() {
            kdl::KdlValue::String(text) => format!("{note:?} {text:?}"),
            kdl::KdlValue::Integer(number) => format!("{note:?} {number}"),
            kdl::KdlValue::Float(_) => format!("{note:?} float"),
            kdl::KdlValue::Bool(truth) => format!("{note:?} {truth}"),
            kdl::KdlValue::Null => format!("{note:?} null"),
        }
    };
    for node in document.nodes() {
        let (mut args, mut props) = (Vec::new(), Vec::new());
        for entry in node.entries() {
            match entry.name() {
                Some(name) => props.push(format!("{:?}={}", name.value(), value(entry))),
                None => args.push(value(entry)),
            }
        }
        let note = node.ty().map(kdl::KdlIdentifier::value);
        let block = node.children().is_some();
        into.push(format!("{depth} {note:?} {:?} {args:?} {props:?} {block}", node.name().value()));
        if let Some(children) = node.children() {
            theirs(children, depth + 1, into);
        }
    }
}

/// What the `kdl` crate accepts though KDL 2 forbids it.
fn is_refused_on_purpose(text: &str) -> bool {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let forbidden = text.char_indices().any(|(at, c)| c == '\u{7F}' || c == '\u{FEFF}' && at > 0);
    // It takes a hidden node as ended, and another as begun, where neither may be: `/-a {} b`.
    let lax_about_hidden = text.contains("/-") && direct(&unhidden(text)).is_none();
    // A pattern without quotes, `src/**/*.c`, is no comment between two words.
    let is_glued = |at: usize| {
        let close = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
        close(text[..at].chars().next_back()) && close(text[at + 4..].chars().next())
    };
    let pattern = text.match_indices("/**/").any(|(at, _)| is_glued(at));
    forbidden
        || pattern
        || lax_about_hidden
        || squeezed.contains("/-/-")
        || text.contains("-inf")
        || text.contains("#\"\"\"")
}

/// The text with all that is hidden in sight.
fn unhidden(text: &str) -> String {
    let mut parts = text.split("/-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut all, mut part| {
        loop {
            let before = part;
            for skipped in ["/*c*/", "// c\n", "\\\n", "\\ // c\n"] {
                part = part.trim_start().trim_start_matches(skipped);
            }
            if part == before {
                break;
            }
        }
        all.push_str(part);
        all
    })
}

fn agrees(text: &str) -> Result<(), TestCaseError> {
    let (nodes, codes) = parse(text);
    let Some(document) = direct(text) else {
        // `/-a;` is KDL 2, though the crate refuses it.
        proptest::prop_assert!(!codes.is_empty() || text.contains("/-"), "kdl refuses {:?}", text);
        return Ok(());
    };
    if !codes.is_empty() && is_refused_on_purpose(text) {
        return Ok(());
    }
    proptest::prop_assert_eq!(&codes, &Vec::<Code>::new(), "kdl accepts {:?}", text);
    let (mut left, mut right) = (Plain::new(), Plain::new());
    ours(&nodes, 0, &mut left);
    theirs(&document, 0, &mut right);
    proptest::prop_assert_eq!(left, right, "{:?}", text);
    Ok(())
}

/// Formats a text, if it is valid, twice. That tokens and meaning are the same, the formatter checks.
fn formats(text: &str) -> Result<(), TestCaseError> {
    let once = match lang::format(SOURCE, text) {
        Ok(once) => once,
        Err(lang::FormatError::Syntax(_)) => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(format!("{error}: {text:?}"))),
    };
    let twice = lang::format(SOURCE, &once).map_err(|error| TestCaseError::fail(format!("{error}: {once:?}")))?;
    proptest::prop_assert_eq!(&twice, &once, "{:?}", text);
    proptest::prop_assert!(once.is_empty() || once.ends_with('\n'));
    Ok(())
}

const TOKENS: &[&str] = &[
    "a",
    "b",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    "{",
    "}",
    "{",
    "}",
    ";",
    "\"x\"",
    "\"",
    "\"\"\"",
    "\"\"\"\n",
    "\n\"\"\"",
    "#",
    "#\"",
    "\"#",
    "#\"y\"#",
    "#\"\"\"\n",
    "\n\"\"\"#",
    "/-",
    "/- ",
    "/*",
    "*/",
    "/*c*/",
    "//",
    "// c\n",
    "\\",
    "\\\n",
    "\\n",
    "=",
    "k=1",
    "(",
    ")",
    "(t)",
    "1",
    "-1",
    "0x1F",
    "1.5e3",
    "#true",
    "true",
    "-",
    "+",
    ".",
    ",",
    "\r",
    "\r\n",
    "\t",
    "\u{A0}",
    "\u{2028}",
    "\u{85}",
    "\u{B}",
    "é",
    "\u{FEFF}",
    "\u{7F}",
    "/",
    "[",
    "'",
    "  ",
    "##",
    "*",
];

fn soup(length: usize) -> impl Strategy<Value = String> {
    vec(select(TOKENS), 0..length).prop_map(|tokens| tokens.concat())
}

/// Texts that are nearly always valid, with white space and comments in all places.
fn valid() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        " b",
        " \"c d\"",
        " #\"e\"#",
        " k=1",
        " \"k\" = (t)2.5",
        " ( t ) #true",
        " /*c*/ ",
        " /-x",
        " /- k=1",
        " /-\n y",
        " \\\n z",
        " \\ // c\n w",
        " \"\"\"\n  m\n  \"\"\"",
        " #\"\"\"\n n\n \"\"\"#",
        " \"q\\\n  r\"",
        "\n",
        "\nn",
        ";n",
        "; ",
        " // c\n",
        "\n// d\n",
        " {\n",
        " { ",
        "\n}",
        " }\n",
        "}\nn",
        " /-{ }",
        " /-{ x; }",
        "\n/-n",
        "\n/- n 1 { x }\n",
        "\u{85}n",
        "\r\nn",
        "(t)n",
        "\n(t)n",
        "\\\n",
        "\u{3000}",
    ];
    vec(select(pieces.to_vec()), 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_soups_are_read_as_kdl_reads_them(text in soup(9)) {
        agrees(&text)?;
    }

    #[test]
    fn nearly_valid_texts_are_read_as_kdl_reads_them(text in valid()) {
        agrees(&text)?;
    }

    #[test]
    fn formatting_keeps_the_meaning_and_settles(text in valid()) {
        formats(&text)?;
    }

    #[test]
    fn formatting_soups_keeps_their_meaning(text in soup(12)) {
        formats(&text)?;
    }

    #[test]
    fn long_soups_never_abort(text in soup(60)) {
        parse(&text);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it goes on for as long as asked")]
fn texts_are_read_as_kdl_reads_them_for_as_long_as_asked() {
    let asked = Environment::of_process();
    let seconds: Option<u64> = asked.raw("PARTITA_FUZZ_SECONDS").and_then(|value| value.to_str()?.parse().ok());
    let Some(seconds) = seconds else { return };
    let begun = Instant::now();
    let cases = 2_000;
    let texts = std::cell::Cell::new(0_u64);
    // A runner that has seen its cases sees no more: each round has its own, with a seed of its own.
    let round = |strategy: BoxedStrategy<String>, judge: &dyn Fn(&str) -> Result<(), TestCaseError>| {
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let done = TestRunner::new(config).run(&strategy, |text: String| {
            texts.set(texts.get() + 1);
            judge(&text)
        });
        done.unwrap_or_else(|failure| panic!("{failure}"));
    };
    let both = |text: &str| agrees(text).and_then(|()| formats(text));
    let answered = |text: &str| {
        parse(text);
        Ok(())
    };
    let mut rounds = 0_u64;
    while begun.elapsed() < Duration::from_secs(seconds) {
        round(soup(9).boxed(), &both);
        round(valid().boxed(), &both);
        // The crate alone may take minutes for these: they are answered, and that is all.
        round(soup(60).boxed(), &answered);
        rounds += 1;
    }
    assert!(texts.get() >= rounds * 3 * u64::from(cases), "{} texts in {rounds} rounds", texts.get());
    eprintln!("{} texts in {:?}", texts.get(), begun.elapsed());
}

/// Far more of the processor than any of these takes, far less than what the parser alone would.
const PROMPT: Duration = Duration::from_secs(2);

fn is_answered(name: &str, text: &str, code: Code) {
    let before = processor_time();
    let (_, codes) = parse(text);
    let taken = processor_time().saturating_sub(before);
    assert!(codes.contains(&code), "{name}: {codes:?}");
    assert!(codes.len() <= 2, "{name}: {} diagnostics", codes.len());
    assert!(taken < PROMPT, "{name}: {taken:?}");
}

#[test]
fn bombs_are_answered_with_their_code() {
    let repeat = |text: &str, count: usize| text.repeat(count);
    let closed = |open: &str, close: &str, count: usize| open.repeat(count) + &close.repeat(count);
    let mebi = 1 << 20;
    // Each aborts the `kdl` crate, or keeps it busy for minutes; some also at the size of the limit.
    let bombs: &[(&str, String, Code)] = &[
        ("one byte too many", repeat("a", 4 * mebi + 1), Code::P0001),
        ("nested blocks", repeat("a {", 20_000), Code::P0002),
        ("nested blocks, closed", closed("a {", "}", 10_000), Code::P0002),
        ("nested blocks to the limit", repeat("a{", 2 * mebi), Code::P0002),
        ("stray openers", repeat("{", 10_000), Code::P0002),
        ("stray openers to the limit", repeat("{", 4 * mebi), Code::P0009),
        ("hidden children", repeat("a /-{", 32), Code::P0002),
        ("hidden children, closed", closed("a /-{", "}", 18), Code::P0002),
        ("hidden children beside shown ones", closed("a /-{", "} {}", 18), Code::P0002),
        ("hidden nodes", closed("/-a {", "}", 400), Code::P0002),
        ("hidden nodes after others", closed("x; /-a {", "}", 32), Code::P0002),
        ("hidden upon hidden", format!("a {} b", repeat("/-", 2 * mebi - 4)), Code::P0013),
        ("stars", format!("/*{}*/ a", repeat(" *", 5_000)), Code::P0007),
        ("slashes", format!("/*{}*/ a", repeat(" /", 5_000)), Code::P0007),
        ("nested comments", repeat("/*", 2 * mebi), Code::P0007),
        ("nested comments, closed", closed("/*", "*/", 1_000), Code::P0007),
        ("stray closers", repeat("}", 4_000), Code::P0004),
        ("stray closers to the limit", repeat("}", 4 * mebi), Code::P0004),
        ("raw strings without end", repeat("##\"\"\"\n", 2_000), Code::P0006),
        ("raw strings without end to the limit", repeat("##\"\"\"\n", mebi / 2), Code::P0006),
        (
            "raw strings with fewer and fewer hashes",
            (1..1_500).rev().map(|n| repeat("#", n) + "\"").collect(),
            Code::P0006,
        ),
        ("a quote without end", format!("a \"{}", repeat("x{", mebi)), Code::P0006),
        ("braces that broken text sets free", format!("a x\"{}\"", repeat("{", 2 * mebi)), Code::P0013),
        ("braces in a string with a wrong line", format!("a \"\"\"\n{}\n  \"\"\"", repeat("{", mebi)), Code::P0013),
        (
            "braces after a string that the parser refuses",
            format!("a #\"\"\"\n\"\n\"\"\"# \"{}\"", repeat("{", mebi)),
            Code::P0013,
        ),
        ("hashes", format!("a {}", repeat("#", 2 * mebi)), Code::P0013),
        ("digits", format!("a {}", repeat("9", 2 * mebi)), Code::P0012),
        ("unclosed at the end", format!("a {{\n{}", repeat("    b\n", 1_000)), Code::P0003),
    ];
    for (name, text, code) in bombs {
        is_answered(name, text, *code);
    }
}

#[test]
fn many_mistakes_are_answered_and_bounded() {
    let lines = 100_000;
    let texts = [
        "a=1\n".repeat(lines),
        "\u{7F}\n".repeat(lines),
        "a }\n".repeat(lines),
        "a {\nb\n".repeat(lines),
        "a {\n  }\n  }\n".repeat(lines),
        "\"\n".repeat(lines),
    ];
    for text in texts {
        let (_, codes) = parse(&text);
        assert!((1..=1_200).contains(&codes.len()), "{:?}: {}", &text[..6], codes.len());
    }
}

#[test]
fn what_is_within_the_limits_passes() {
    let depth = |count: usize| "a {\n".repeat(count) + &"}\n".repeat(count);
    let texts = [
        depth(32),
        format!("/*{}*/ a", " *".repeat(128)),
        "/*".repeat(8) + &"*/".repeat(8) + " a",
        "a /-{".repeat(4) + &"}".repeat(4),
        "x; /-a {".repeat(4) + &"}".repeat(4) + "; y",
        format!("a {}", "\"{ /* \\\" } //\" ".repeat(2_000)),
        format!("a {}\"{}\"{}", "#".repeat(500), "{\"#".repeat(2_000), "#".repeat(500)),
        "// c\n".repeat(20_000),
        "a\n".repeat(50_000),
    ];
    for text in texts {
        assert_eq!(parse(&text).1, [], "{}", &text[..text.len().min(60)]);
    }
}

#[test]
fn slices_keep_their_order_on_several_threads() {
    let lines: Vec<String> = (0..20_000).map(|i| format!("n{i} k={i}\n")).collect();
    let text = lines.concat();
    let (nodes, codes) = parse(&text);
    assert_eq!(codes, []);
    assert!(nodes.iter().enumerate().all(|(i, node)| node.name.value == format!("n{i}")));
    assert_eq!(nodes.len(), 20_000);
}

/// The specs of the project, as test data: they are formatted already.
const SPECS: &[(&str, &str)] = &[
    ("hello", include_str!("../golden/specs/hello.kdl")),
    ("release", include_str!("../golden/specs/release.kdl")),
    ("delivery", include_str!("../golden/specs/delivery.kdl")),
];

#[test]
fn the_specs_are_read_as_kdl_reads_them() {
    for (name, text) in SPECS {
        assert_eq!(parse(text).1, [], "{name}");
        agrees(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_specs_are_formatted() {
    for (name, text) in SPECS {
        let once = lang::format(SOURCE, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&once, text, "{name}");
        let squeezed: Vec<String> = text.lines().map(|line| format!("\t{}   \r\n", line.trim())).collect();
        let again = lang::format(SOURCE, &squeezed.concat()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&again, text, "{name} without its indentation");
    }
}
