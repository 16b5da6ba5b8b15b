//! Tests of the renderings on one small set of diagnostics.

use serde_json::{Value, json};

use crate::diag::{
    Applicability, Code, Diagnostic, Diagnostics, MessageFormat, RenderOptions, Severity, SourceMap, Span, render_all,
};

/// A file with an error, with a word on another file, and a warning.
fn sample() -> (SourceMap, Diagnostics) {
    let mut sources = SourceMap::default();
    let main = sources.add("a, b.kdl", "graph é {\n    nod x\n}\n");
    let other = sources.add("<std>/posix.kdl", "tool sh\n");
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(
        Diagnostic::new(Code::P0101, Span::new(main, 15, 18), "unknown node `nod` in `graph`")
            .with_label("not known here")
            .with_secondary(Span::new(main, 0, 5), "in this graph")
            .with_secondary(Span::new(other, 5, 7), "100% defined here")
            .with_help("`graph` accepts: …")
            .with_suggestion(Some("node")),
    );
    diagnostics.push(Diagnostic::new(Code::P1001, Span::new(main, 19, 20), "unused `x`"));
    (sources, diagnostics)
}

fn rendered(format: MessageFormat) -> String {
    let (sources, diagnostics) = sample();
    render(&diagnostics, &sources, format)
}

fn render(diagnostics: &Diagnostics, sources: &SourceMap, format: MessageFormat) -> String {
    render_all(diagnostics, sources, RenderOptions { format, color: false, width: 80 })
}

fn many(count: usize) -> (SourceMap, Diagnostics) {
    let mut sources = SourceMap::default();
    let main = sources.add("a.kdl", "x\n".repeat(count));
    let mut diagnostics = Diagnostics::default();
    for i in 0..count {
        diagnostics.push(Diagnostic::new(Code::P0101, Span::new(main, 2 * i, 2 * i + 1), "m"));
    }
    (sources, diagnostics)
}

#[test]
fn human_shows_the_source() {
    let expected = "\
error[P0101]

  × unknown node `nod` in `graph`
   ╭─[a, b.kdl:2:5]
 1 │ graph é {
   · ──┬──
   ·   ╰── in this graph
 2 │     nod x
   ·     ─┬─
   ·      ╰── not known here
 3 │ }
   ╰────
  help: `graph` accepts: …
        did you mean `node`?

Advice:
  ☞ see <std>/posix.kdl:1
   ╭─[<std>/posix.kdl:1:6]
 1 │ tool sh
   ·      ─┬
   ·       ╰── 100% defined here
   ╰────

  for more: partita explain P0101

warning[P1001]

  ⚠ unused `x`
   ╭─[a, b.kdl:2:9]
 1 │ graph é {
 2 │     nod x
   ·         ─
 3 │ }
   ╰────

  for more: partita explain P1001

1 error, 1 warning
";
    assert_eq!(rendered(MessageFormat::Human), expected);
}

#[test]
fn human_colours_only_when_asked() {
    let (sources, diagnostics) = sample();
    let options = RenderOptions { format: MessageFormat::Human, color: true, width: 80 };
    assert!(render_all(&diagnostics, &sources, options).contains("\u{1b}["));
    assert!(!rendered(MessageFormat::Human).contains('\u{1b}'));
}

#[test]
fn short_is_one_line_each() {
    assert_eq!(
        rendered(MessageFormat::Short),
        "a, b.kdl:2:5: error[P0101]: unknown node `nod` in `graph`\na, b.kdl:2:9: warning[P1001]: unused `x`\n"
    );
}

#[test]
fn json_has_exactly_the_fields() {
    let lines: Vec<Value> =
        rendered(MessageFormat::Json).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines[0],
        json!({
            "code": "P0101",
            "severity": "error",
            "message": "unknown node `nod` in `graph`",
            "file": "a, b.kdl",
            "line": 2, "column": 5, "end_line": 2, "end_column": 8,
            "help": "`graph` accepts: …\ndid you mean `node`?",
            "related": [
                { "message": "in this graph", "file": "a, b.kdl", "line": 1, "column": 1 },
                { "message": "100% defined here", "file": "<std>/posix.kdl", "line": 1, "column": 6 },
            ],
            "fixes": [{
                "applicability": "maybe-incorrect",
                "edits": [{ "line": 2, "column": 5, "end_line": 2, "end_column": 8, "text": "node" }],
            }],
        })
    );
    assert_eq!((&lines[1]["help"], &lines[1]["severity"]), (&Value::Null, &json!("warning")));
}

#[test]
fn sarif_names_rules_places_and_fixes() {
    let log: Value = serde_json::from_str(&rendered(MessageFormat::Sarif)).expect("JSON");
    let run = &log["runs"][0];
    assert_eq!((&log["version"], &run["columnKind"]), (&json!("2.1.0"), &json!("unicodeCodePoints")));
    assert_eq!(run["tool"]["driver"]["rules"][1]["id"], "P1001");
    assert_eq!(run["tool"]["driver"]["rules"][1]["defaultConfiguration"]["level"], "warning");
    let result = &run["results"][0];
    assert_eq!(
        (&result["ruleId"], &result["ruleIndex"], &result["level"]),
        (&json!("P0101"), &json!(0), &json!("error"))
    );
    let region = json!({ "startLine": 2, "startColumn": 5, "endLine": 2, "endColumn": 8 });
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &place["region"]), (&json!("a%2C%20b.kdl"), &region));
    let related = &result["relatedLocations"][1]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(related, "%3Cstd%3E/posix.kdl");
    let change = &result["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!((&change["deletedRegion"], &change["insertedContent"]["text"]), (&region, &json!("node")));
}

#[test]
fn github_escapes_what_its_commands_read() {
    let (mut sources, mut diagnostics) = sample();
    let file = sources.add("c:d.kdl", "x\ny\n");
    diagnostics.push(Diagnostic::new(Code::P0003, Span::new(file, 0, 3), "50%\ndone").with_help("a:b,c"));
    assert_eq!(
        render(&diagnostics, &sources, MessageFormat::Github),
        "::error file=a%2C b.kdl,line=2,endLine=2,col=5,endColumn=7,title=P0101 unknown node\
         ::unknown node `nod` in `graph`%0Ahelp: `graph` accepts: …%0Ahelp: did you mean `node`?\n\
         ::warning file=a%2C b.kdl,line=2,endLine=2,col=9,endColumn=9,title=P1001 something is declared and never used\
         ::unused `x`\n\
         ::error file=c%3Ad.kdl,line=1,endLine=2,title=P0003 a block is never closed::50%25%0Adone%0Ahelp: a:b,c\n"
    );
}

#[test]
fn at_most_fifty_are_shown_and_the_rest_counted() {
    let (sources, diagnostics) = many(53);
    let lines = |format| render(&diagnostics, &sources, format).lines().count();
    assert_eq!((lines(MessageFormat::Short), lines(MessageFormat::Json), lines(MessageFormat::Github)), (51, 51, 51));
    let last = render(&diagnostics, &sources, MessageFormat::Json);
    let last: Value = serde_json::from_str(last.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["severity"], &last["line"]), (&json!("note"), &json!(51)));
    assert_eq!(last["message"], "3 more diagnostics are not shown");
    let human = render(&diagnostics, &sources, MessageFormat::Human);
    assert!(human.ends_with("3 more diagnostics are not shown\n53 errors\n"), "{human}");
    let sarif: Value = serde_json::from_str(&render(&diagnostics, &sources, MessageFormat::Sarif)).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(50));
    let note = &sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
    assert_eq!(note, "3 more diagnostics are not shown");
}

#[test]
fn nothing_is_written_of_nothing() {
    let (sources, none) = (SourceMap::default(), Diagnostics::default());
    for format in [MessageFormat::Human, MessageFormat::Short, MessageFormat::Json, MessageFormat::Github] {
        assert_eq!(render(&none, &sources, format), "");
    }
    assert!(render(&none, &sources, MessageFormat::Sarif).contains("\"results\": []"));
}

#[test]
fn a_stranger_cannot_command_the_terminal() {
    let mut sources = SourceMap::default();
    let file = sources.add("a\u{1b}.kdl", "node \u{1b}[2J\u{9b}\u{202e}\r x\r\n");
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(
        Diagnostic::new(Code::P0010, Span::new(file, 5, 6), "bad `\u{1b}[2J`")
            .with_label("\u{7}")
            .with_help("\u{202e}"),
    );
    for format in [MessageFormat::Human, MessageFormat::Short, MessageFormat::Github] {
        let text = render(&diagnostics, &sources, format);
        assert!(!text.contains(|c: char| c != '\n' && super::is_unsafe(c)), "{text:?}");
    }
}

#[test]
fn pictures_stay_small() {
    let mut sources = SourceMap::default();
    let long = format!("// one\nnode {} é x {}\n", "a ".repeat(10_000), "b ".repeat(10_000));
    let tall = "x {\n".to_owned() + &"    y\n".repeat(10_000) + "}\n";
    let at = long.find("é x").expect("there");
    let (wide, high) = (sources.add("wide.kdl", long.as_str()), sources.add("high.kdl", tall.as_str()));
    let empty = sources.add("empty.kdl", "");
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::new(Code::P0101, Span::new(wide, at, at + 2), "m").with_label("here"));
    diagnostics.push(Diagnostic::new(Code::P0101, Span::new(wide, 0, long.len()), "m").with_label("all"));
    diagnostics.push(
        Diagnostic::new(Code::P0102, Span::new(high, 0, tall.len()), "m")
            .with_secondary(Span::new(wide, at, long.len()), "other")
            .with_secondary(Span::new(high, tall.len(), tall.len()), "end"),
    );
    diagnostics.push(Diagnostic::new(Code::P0001, Span::new(empty, 0, 0), "m").with_label("empty"));
    let text = render(&diagnostics, &sources, MessageFormat::Human);
    assert!(text.len() < 4_000, "{}", text.len());
    assert!(text.contains("[wide.kdl:2:20007]") && text.contains("high.kdl:1:1"), "{text}");
    assert_eq!(diagnostics.count(Severity::Error), 4);
}

#[test]
fn sure_fixes_say_so() {
    let (sources, mut diagnostics) = sample();
    let span = Span::new(crate::diag::SourceId(0), 6, 8);
    diagnostics.push(Diagnostic::new(Code::P0005, span, "m").with_fix(Applicability::MachineApplicable, span, "#true"));
    let text = render(&diagnostics, &sources, MessageFormat::Json);
    assert!(text.lines().next().is_some_and(|line| line.contains("\"machine-applicable\"")), "{text}");
}
