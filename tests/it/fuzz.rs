//! Mutations of the specs of this repository through the whole front: nothing may panic, hang or take
//! long, and what is formatted keeps its meaning. A bounded number with a fixed seed in every run;
//! `PARTITA_FUZZ_SECONDS=900` goes on for so long with another seed each time, and prints how many cases
//! a second there were and which was slowest. Leaves out texts made from nothing: see `guard`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use partita::base::{Environment, RelPath};
use partita::diag::{Diagnostics, MessageFormat, RenderOptions, SourceId, SourceMap, render_all};
use partita::lang::{self, FormatError, MemoryWorld, compile, run_tests};
use walkdir::WalkDir;

use crate::support::{processor_time, repository};

/// Cases of an ordinary run.
const CASES: usize = 600;

/// No text grows beyond this.
const BYTES: usize = 64 * 1024;

/// What no case may take of the processor, in a build without optimisation: the time on the clock would be that of
/// whatever else the machine does. What hangs without working is the runner's to end.
const LONGEST: Duration = Duration::from_secs(10);

/// Pieces that mutations put in: what the language is made of, and what it forbids.
const PIECES: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "=",
    ";",
    "\"",
    "\"\"\"",
    "#\"",
    "\"#",
    "\\",
    "/*",
    "*/",
    "//",
    "/-",
    "\n",
    " ",
    "#true",
    "true",
    "#null",
    "-1",
    "0",
    "99999999999999999999999999999999999999999",
    "1e999",
    "0x_",
    "\u{FEFF}",
    "\u{202E}",
    "\u{7F}",
    "\u{85}",
    "é",
    "{{ ",
    " }}",
    "{{ x | join \",\" }}",
    "| slug",
    "(var)",
    "(ref)",
    "(secret)",
    "(dur)",
    "node",
    "graph",
    "recipe",
    "step",
    "template",
    "use",
    "with",
    "for-each x in=(var)y",
    "when",
    "unless",
    "any",
    "input",
    "output",
    "run sh",
    "after \"**\"",
    "after",
    "holds",
    "resource",
    "retry max=1",
    "timeout \"1s\"",
    "param p type=string",
    "default=",
    "type=list<string>",
    "type=artifact.dir",
    "one-of",
    "let",
    "tool",
    "exec",
    "import \"./x.kdl\" as=x",
    "import \"<std>/cc\" as=cc",
    "bundle",
    "include",
    "sign",
    "test",
    "given",
    "expect",
    "allow P1001 reason=x",
    "partita edition=1",
    "optional=#true",
    "class=effect",
    "capability",
    "agent",
    "tenant",
    "**",
    "*/*",
    "../",
    "/",
    ".",
    "a/b",
    "-",
    "- x",
    "eq",
    "gate",
    "guard",
    "service",
    "secret",
];

/// Numbers without a source of chance, so that a run can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        text.floor_char_boundary(self.below(text.len() + 1))
    }

    /// A stretch of a text, mostly short.
    fn stretch(&mut self, text: &str) -> std::ops::Range<usize> {
        let start = self.place(text);
        let most = if self.below(4) == 0 { text.len() } else { 24 };
        start..text.ceil_char_boundary((start + self.below(most + 1)).min(text.len()))
    }
}

/// The specs that are mutated: cases of `ui`, examples, acceptance specs and the library.
fn specs() -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["tests/ui", "tests/golden/specs", "examples", "stdlib", "specs"] {
        for entry in WalkDir::new(repository(folder)).sort_by_file_name().into_iter().filter_map(Result::ok) {
            if entry.path().extension().is_some_and(|extension| extension == "kdl") {
                all.push(std::fs::read_to_string(entry.path()).expect("a spec can be read"));
            }
        }
    }
    assert!(all.len() > 80, "only {} specs were found", all.len());
    all
}

fn mutate(text: &mut String, specs: &[String], numbers: &mut Numbers) {
    match numbers.below(7) {
        0 => {
            let range = numbers.stretch(text);
            text.replace_range(range, "");
        }
        1 => {
            let range = numbers.stretch(text);
            let piece = text[range].to_owned();
            let at = numbers.place(text);
            text.insert_str(at, &piece);
        }
        2 => {
            let other = &specs[numbers.below(specs.len())];
            let range = numbers.stretch(other);
            let at = numbers.place(text);
            text.insert_str(at, &other[range]);
        }
        3 => {
            let mut lines: Vec<&str> = text.lines().collect();
            if lines.len() > 1 {
                let (a, b) = (numbers.below(lines.len()), numbers.below(lines.len()));
                lines.swap(a, b);
                *text = lines.join("\n");
            }
        }
        4 => {
            // One word in the place of another.
            let words: Vec<&str> = text.split_whitespace().collect();
            if !words.is_empty() {
                let (from, to) =
                    (words[numbers.below(words.len())].to_owned(), words[numbers.below(words.len())].to_owned());
                *text = text.replacen(&from, &to, 1 + numbers.below(3));
            }
        }
        _ => {
            let piece = PIECES[numbers.below(PIECES.len())];
            let at = numbers.place(text);
            for _ in 0..=numbers.below(3) {
                text.insert_str(at, piece);
                text.insert_str(at, if numbers.below(2) == 0 { " " } else { "\n" });
            }
        }
    }
    text.truncate(text.floor_char_boundary(BYTES));
}

/// Everything a front does with a text.
fn judge(text: &str) {
    let root = [RelPath::new("partita.kdl").expect("a relative path")];
    let world = MemoryWorld::single(text);
    let compiled = compile(&world, &root);
    let mut diagnostics = compiled.diagnostics.clone();
    if !diagnostics.has_errors() {
        diagnostics.extend(run_tests(&world, &compiled.program, "", false).diagnostics);
        for graph in compiled.program.root_graphs() {
            let mut found = Diagnostics::default();
            if let Some(expansion) = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut found) {
                let _ = lang::print_expansion(&expansion, &compiled.program);
                let _ = partita::plan::lower(&compiled.program, &expansion);
            }
        }
    }
    for format in [MessageFormat::Human, MessageFormat::Narrated, MessageFormat::Json, MessageFormat::Sarif] {
        let _ = render_all(&diagnostics, &compiled.program.sources, RenderOptions { format, color: true, width: 80 });
    }
    match lang::format(SourceId(0), text) {
        Ok(once) => {
            let twice = lang::format(SourceId(0), &once).expect("what was formatted is valid");
            assert_eq!(twice, once, "formatting is not idempotent");
        }
        Err(FormatError::Syntax(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let upgraded = lang::upgrade(text);
    let _ = lang::parse(SourceMap::default().add("", ""), &upgraded, &mut Diagnostics::default());
}

/// As `judge`, with fixes, which compile many times.
fn mend(text: &str) {
    let root = [RelPath::new("partita.kdl").expect("a relative path")];
    let world = MemoryWorld::single(text);
    let before = compile(&world, &root);
    let fixed = lang::fix(&world, &root, &|_| false, BTreeMap::new());
    let errors = |diagnostics: &Diagnostics| diagnostics.has_errors();
    assert!(errors(&before.diagnostics) || !errors(&fixed.compiled.diagnostics), "mending made errors");
}

#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a long run says how it went")]
fn run(seed: u64, enough: impl Fn(usize, Duration) -> bool) {
    let specs = specs();
    let mut numbers = Numbers(seed | 1);
    let (mut cases, mut slowest) = (0, (Duration::ZERO, String::new()));
    let begun = Instant::now();
    while !enough(cases, begun.elapsed()) {
        let mut text = specs[numbers.below(specs.len())].clone();
        for _ in 0..=numbers.below(6) {
            mutate(&mut text, &specs, &mut numbers);
        }
        let started = processor_time();
        let mends = numbers.below(8) == 0;
        let done = catch_unwind(AssertUnwindSafe(|| {
            judge(&text);
            if mends {
                mend(&text);
            }
        }));
        assert!(done.is_ok(), "case {cases} of seed {seed} fails on:\n{text}\n({text:?})");
        let took = processor_time().saturating_sub(started);
        assert!(took < LONGEST, "case {cases} of seed {seed} takes {took:?}:\n{text}");
        if took > slowest.0 {
            slowest = (took, text);
        }
        cases += 1;
    }
    let rate = cases as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{cases} cases of seed {seed}, {rate:.0} a second; the slowest took {:?}:\n{}", slowest.0, slowest.1);
}

#[test]
fn mutated_specs_are_answered() {
    run(20_261_127, |cases, _| cases >= CASES);
}

#[test]
fn mutated_specs_are_answered_for_as_long_as_asked() {
    let asked = Environment::of_process();
    let seconds = asked.raw("PARTITA_FUZZ_SECONDS").and_then(|value| value.to_str()?.parse().ok());
    let Some(seconds) = seconds else { return };
    let seed = asked.raw("PARTITA_FUZZ_SEED").and_then(|value| value.to_str()?.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 0x9E37_79B9);
    run(seed, |_, elapsed| elapsed.as_secs() >= seconds);
}
