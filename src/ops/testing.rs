//! Tests of specs: runs `test` blocks, with mocks where they ask for a run, keeps plans anew when asked, and writes a JUnit report. Leaves out
//! how an expectation is judged.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::base::Limits;
use crate::diag::{Diagnostics, Severity, SourceMap};
use crate::lang::{Compiled, TestOutcome, run_tests};
use crate::ops::Error;
use crate::ops::check::chosen;
use crate::ops::run::{RunContext, write_atomically};
use crate::ops::trial::run_trial;
use crate::ops::workspace::{Locations, open};

/// Which tests, and how.
#[derive(Clone, Debug, Default)]
pub struct TestRequest {
    /// Only tests whose names hold this.
    pub filter: String,
    /// Whether kept plans that differ are written anew.
    pub update: bool,
}

/// What became of the tests.
pub struct TestReply {
    /// The tests.
    pub tests: Vec<TestOutcome>,
    /// How long each took that was run, by its place among the tests; what is only compiled has no time of its own.
    pub took: BTreeMap<usize, Duration>,
    /// Kept plans that were written.
    pub written: Vec<String>,
    /// What does not hold; or, if the specs have errors, those.
    pub diagnostics: Diagnostics,
    /// The specs.
    pub compiled: Compiled,
}

impl TestReply {
    /// How many failed.
    pub fn failed(&self) -> usize {
        self.tests.iter().filter(|test| !test.failures.is_empty()).count()
    }
}

/// Runs the tests of the workspace. That the specs have errors is no error here: nothing is run then.
pub fn test(locations: &Locations, request: &TestRequest, context: &RunContext) -> Result<TestReply, Error> {
    let (world, roots) = chosen(locations, &[])?;
    let mut compiled = world.compile(&roots);
    locations.levels.apply(&mut compiled.diagnostics);
    if compiled.diagnostics.has_errors() {
        let diagnostics = compiled.diagnostics.clone();
        return Ok(TestReply { tests: Vec::new(), took: BTreeMap::new(), written: Vec::new(), diagnostics, compiled });
    }
    let mut run = run_tests(&world, &compiled.program, &request.filter, request.update);
    let mut took = BTreeMap::new();
    if run.tests.iter().any(|test| test.trial.is_some()) {
        let workspace = open(locations)?;
        for (at, test) in run.tests.iter_mut().enumerate() {
            let Some(trial) = test.trial.take() else { continue };
            let begun = context.clock.elapsed();
            let failures = run_trial(&workspace, &compiled.program, &trial, context)?;
            took.insert(at, context.clock.elapsed().saturating_sub(begun));
            for failure in failures {
                run.diagnostics.push(failure.clone());
                test.failures.push(failure);
            }
        }
    }
    if run.tests.is_empty() && !request.filter.is_empty() {
        return Err(Error::usage_help(
            format!("no test has `{}` in its name", request.filter),
            "`partita test` without a name runs all",
        ));
    }
    let mut written = Vec::new();
    for (path, text) in &run.plans {
        write_atomically(&path.under(world.dir()), text.as_bytes())?;
        written.push(path.as_str().to_owned());
    }
    Ok(TestReply { tests: run.tests, took, written, diagnostics: run.diagnostics, compiled })
}

/// Text as XML holds it. Characters that XML forbids become the sign of replacement.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// What came of tests as a JUnit report: one suite for each file, one case for each test. Of specs with errors, by
/// which nothing was run, one case with these.
pub fn junit(reply: &TestReply) -> String {
    let sources = &reply.compiled.program.sources;
    if reply.compiled.diagnostics.has_errors() {
        return broken(&reply.compiled.diagnostics, sources);
    }
    cases(&reply.tests, &reply.took, sources)
}

fn broken(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    let all = diagnostics.sorted();
    let errors: Vec<_> = all.iter().filter(|item| item.severity == Severity::Error).collect();
    let mut text = String::new();
    for error in errors.iter().take(Limits::DIAGNOSTICS) {
        let _ = writeln!(text, "{}: {}: {}", sources.place(error.primary.span), error.code, error.message);
    }
    let first = errors.first().map_or(("", ""), |error| (error.code.as_str(), error.message.as_str()));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"partita\" tests=\"1\" failures=\"0\" errors=\"1\">\n  \
         <testsuite name=\"specs\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n    \
         <testcase name=\"the specs compile\" classname=\"specs\">\n      \
         <error type=\"{}\" message=\"{}\">{}</error>\n    </testcase>\n  </testsuite>\n</testsuites>\n",
        first.0,
        xml(first.1),
        xml(&text)
    )
}

/// How long something took, as JUnit writes it; nothing if nothing was run.
fn time(took: impl Iterator<Item = Duration>) -> String {
    let all = took.reduce(Duration::saturating_add);
    all.map_or(String::new(), |took| format!(" time=\"{}.{:03}\"", took.as_secs(), took.subsec_millis()))
}

fn cases(tests: &[TestOutcome], took: &BTreeMap<usize, Duration>, sources: &SourceMap) -> String {
    let failed = |tests: &[&TestOutcome]| tests.iter().filter(|test| !test.failures.is_empty()).count();
    let all: Vec<&TestOutcome> = tests.iter().collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"partita\" tests=\"{}\" failures=\"{}\" errors=\"0\"{}>",
        all.len(),
        failed(&all),
        time(took.values().copied())
    );
    let mut files: Vec<&str> = tests.iter().map(|test| test.file.as_str()).collect();
    files.dedup();
    for file in files {
        let placed = || tests.iter().enumerate().filter(|(_, test)| test.file == file);
        let of_file: Vec<&TestOutcome> = placed().map(|(_, test)| test).collect();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\"{}>",
            xml(file),
            of_file.len(),
            failed(&of_file),
            time(placed().filter_map(|(at, _)| took.get(&at).copied()))
        );
        for (at, test) in placed() {
            let time = time(took.get(&at).copied().into_iter());
            let open = format!("    <testcase name=\"{}\" classname=\"{}\"{time}", xml(&test.name), xml(file));
            if test.failures.is_empty() {
                let _ = writeln!(out, "{open}/>");
                continue;
            }
            let _ = writeln!(out, "{open}>");
            let first = &test.failures[0];
            let mut text = String::new();
            for failure in &test.failures {
                let _ = writeln!(text, "{}: {}", sources.place(failure.primary.span), failure.message);
                let label = Some(&failure.primary.text).filter(|label| !label.is_empty());
                for line in label.into_iter().chain(&failure.help) {
                    let _ = writeln!(text, "  {}", line.replace('\n', "\n  "));
                }
            }
            let _ = writeln!(
                out,
                "      <failure type=\"{}\" message=\"{}\">{}</failure>",
                first.code,
                xml(&first.message),
                xml(&text)
            );
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}
