//! What a report tells of files by what the spec says they are for: results of tests, measurements and scans, result
//! cards, guides. Files that are not of a form known here are shown as text. Leaves out judging: that was the gates'.

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value, json};

use crate::bundle::{BundleManifest, Role, read_files};
use crate::ops::Error;

/// Bytes of files that are read in all.
const BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of one text that is shown.
const TEXT: usize = 24 * 1024;
/// Rows of one table.
const ROWS: usize = 24;

/// The parts, by role; of a role without files there are none.
pub(super) fn parts(zip: &Path, manifest: &BundleManifest) -> Result<Value, Error> {
    let is_told = |role| !matches!(role, Role::Screenshots);
    let files = read_files(zip, |file| manifest.role(&file.path).is_some_and(is_told), &manifest.files, BYTES)?;
    let mut parts: BTreeMap<&str, Vec<Value>> = Role::ALL.iter().map(|role| (role.word(), Vec::new())).collect();
    for (path, bytes) in &files {
        let Some(role) = manifest.role(path) else { continue };
        let path = path.strip_prefix("out/").unwrap_or(path);
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        parts.entry(role.word()).or_default().push(part(role, path, text));
    }
    Ok(json!(parts))
}

fn part(role: Role, path: &str, text: &str) -> Value {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let (title, rows) = match role {
        Role::Tests => junit(text).or_else(|| value.as_ref().map(|value| ("Results".to_owned(), numbers(value)))),
        Role::Performance => value.as_ref().map(|value| {
            let scores = lighthouse(value);
            ("Measured".to_owned(), if scores.is_empty() { numbers(value) } else { scores })
        }),
        Role::Security => value.as_ref().map(|value| match sarif(value) {
            Some(found) => found,
            None => ("Found".to_owned(), numbers(value)),
        }),
        Role::Card => value.as_ref().and_then(Value::as_object).map(card),
        Role::Guide | Role::Report | Role::Screenshots => None,
    }
    .unwrap_or_default();
    let rows: Vec<Value> = rows
        .into_iter()
        .take(ROWS)
        .map(|(name, value, class)| json!({"name": name, "value": value, "class": class}))
        .collect();
    // Markup of a page is for browsers; its file is among the files.
    let is_page = text.trim_start().starts_with('<');
    let shown = if rows.is_empty() && !is_page { cut(text) } else { String::new() };
    let is_markdown = Path::new(path).extension().is_some_and(|end| end == "md");
    let (shown, blocks) = if is_markdown { (String::new(), blocks(&shown)) } else { (shown, Vec::new()) };
    json!({"path": path, "title": title, "rows": rows, "text": shown, "blocks": blocks})
}

/// Markdown as far as a guide needs it: headings, lists, code blocks and paragraphs, each with its kind. What is between
/// back quotes is code.
fn blocks(text: &str) -> Vec<Value> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut is_code = false;
    let mut is_open = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let item = ["* ", "- ", "+ "].iter().find_map(|mark| trimmed.strip_prefix(mark));
        if trimmed.starts_with("```") {
            is_code = !is_code;
            if is_code {
                found.push(("code", String::new()));
            }
            is_open = false;
        } else if is_code {
            if let Some((_, code)) = found.last_mut() {
                code.push_str(line);
                code.push('\n');
            }
        } else if trimmed.is_empty() {
            is_open = false;
        } else if trimmed.starts_with('#') {
            found.push(("heading", trimmed.trim_start_matches('#').trim().to_owned()));
            is_open = false;
        } else if let Some(item) = item {
            found.push(("item", item.to_owned()));
            is_open = true;
        } else if let Some((_, last)) = found.last_mut().filter(|_| is_open) {
            last.push(' ');
            last.push_str(trimmed);
        } else {
            found.push(("text", trimmed.to_owned()));
            is_open = true;
        }
    }
    // Odd pieces are what stood between back quotes.
    let spans = |kind: &str, text: &str| match kind {
        "code" => vec![text.to_owned()],
        _ => text.split('`').map(str::to_owned).collect(),
    };
    found.iter().map(|(kind, text)| json!({"kind": kind, "spans": spans(kind, text)})).collect()
}

/// Name, value, and a class: `good`, `bad` or none.
type Row = (String, String, &'static str);

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut shown = text[..end].trim_end().to_owned();
    if end < text.len() {
        shown.push_str("\n\u{2026}");
    }
    shown
}

/// Counts of a JUnit report; `None` if it is none.
fn junit(text: &str) -> Option<(String, Vec<Row>)> {
    let mut reader = Reader::from_str(text);
    let (mut tests, mut failed, mut skipped, mut suites) = (0_u64, 0_u64, 0_u64, 0_u64);
    loop {
        match reader.read_event().ok()? {
            Event::Eof => break,
            Event::Start(start) | Event::Empty(start) => match start.name().as_ref() {
                "testsuite" => suites += 1,
                "testcase" => tests += 1,
                "failure" | "error" => failed += 1,
                "skipped" => skipped += 1,
                _ => {}
            },
            _ => {}
        }
    }
    if suites == 0 {
        return None;
    }
    let passed = tests.saturating_sub(failed).saturating_sub(skipped);
    let class = if failed > 0 { "bad" } else { "good" };
    let mut rows = vec![
        ("Passed".to_owned(), format!("{passed} of {tests}"), class),
        ("Failed".to_owned(), failed.to_string(), if failed > 0 { "bad" } else { "" }),
    ];
    if skipped > 0 {
        rows.push(("Skipped".to_owned(), skipped.to_string(), ""));
    }
    let title = match (failed, skipped) {
        (0, 0) => format!("{tests} tests passed"),
        (0, _) => format!("{passed} of {tests} tests passed"),
        _ => format!("{failed} of {tests} tests failed"),
    };
    Some((title, rows))
}

/// The scores of a Lighthouse report, and the times that people know.
fn lighthouse(value: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    // What the report is named after comes first, whatever its letter.
    let mut categories: Vec<_> = value["categories"].as_object().into_iter().flatten().collect();
    categories.sort_by_key(|(name, _)| *name != "performance");
    for (_, category) in categories {
        if let (Some(title), Some(score)) = (category["title"].as_str(), category["score"].as_f64()) {
            let percent = (score * 100.0).round() as i64;
            let class = if percent >= 90 { "good" } else { "" };
            rows.push((title.to_owned(), format!("{percent} of 100"), class));
        }
    }
    if !rows.is_empty() {
        for audit in value["audits"].as_object().into_iter().flat_map(Map::values) {
            if let (Some(title), Some(shown), Some(_)) =
                (audit["title"].as_str(), audit["displayValue"].as_str(), audit["numericValue"].as_f64())
            {
                rows.push((title.to_owned(), shown.to_owned(), ""));
            }
        }
    }
    rows
}

/// Every number of a document, by its way through it.
fn numbers(value: &Value) -> Vec<Row> {
    fn walk(value: &Value, name: &str, depth: usize, rows: &mut Vec<Row>) {
        match value {
            Value::Number(number) => rows.push((name.to_owned(), number.to_string(), "")),
            Value::Object(members) if depth < 4 && rows.len() < ROWS => {
                for (key, member) in members {
                    let name = if name.is_empty() { key.clone() } else { format!("{name} / {key}") };
                    walk(member, &name, depth + 1, rows);
                }
            }
            _ => {}
        }
    }
    let mut rows = Vec::new();
    walk(value, "", 0, &mut rows);
    rows
}

/// The results of a SARIF log; `None` if it is none.
fn sarif(value: &Value) -> Option<(String, Vec<Row>)> {
    let runs = value["runs"].as_array().filter(|_| value["version"] == "2.1.0")?;
    let results: Vec<&Value> = runs.iter().filter_map(|run| run["results"].as_array()).flatten().collect();
    let rows: Vec<Row> = results
        .iter()
        .map(|result| {
            let level = result["level"].as_str().unwrap_or("warning");
            let text = result["message"]["text"].as_str().unwrap_or_default();
            let rule = result["ruleId"].as_str().unwrap_or("?");
            (rule.to_owned(), format!("{level}: {text}"), if level == "error" { "bad" } else { "" })
        })
        .collect();
    let title = match rows.len() {
        0 => "nothing found".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    if rows.is_empty() {
        return Some((title, vec![("Findings".to_owned(), "none".to_owned(), "good")]));
    }
    Some((title, rows))
}

/// A result card: its members as they stand, lists in a line each.
fn card(members: &Map<String, Value>) -> (String, Vec<Row>) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let title = members.get("title").or_else(|| members.get("summary")).map(text).unwrap_or_default();
    let rows = members
        .iter()
        .filter(|(name, _)| *name != "title")
        .map(|(name, value)| {
            let shown = match value {
                Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("\n"),
                other => text(other),
            };
            let mut name = name.replace(['_', '-'], " ");
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            (name, shown, "")
        })
        .collect();
    (title, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(part: &Value) -> Vec<(&str, &str)> {
        let rows = part["rows"].as_array().unwrap();
        rows.iter().map(|row| (row["name"].as_str().unwrap(), row["value"].as_str().unwrap())).collect()
    }

    #[test]
    fn known_forms_become_rows() {
        let junit =
            "<testsuites><testsuite><testcase/><testcase><failure>x</failure></testcase></testsuite></testsuites>";
        let part_of = |role, text: &str| part(role, "a", text);
        assert_eq!(rows(&part_of(Role::Tests, junit)), [("Passed", "1 of 2"), ("Failed", "1")]);
        let scores = r#"{"categories":{"p":{"title":"Performance","score":0.976}},"audits":{"s":{"title":"Speed","displayValue":"1.2 s","numericValue":1200.5},"t":{"title":"none"}}}"#;
        assert_eq!(rows(&part_of(Role::Performance, scores)), [("Performance", "98 of 100"), ("Speed", "1.2 s")]);
        assert_eq!(rows(&part_of(Role::Performance, r#"{"a":{"b":1.5},"c":"x"}"#)), [("a / b", "1.5")]);
        let found =
            r#"{"version":"2.1.0","runs":[{"results":[{"ruleId":"R1","level":"error","message":{"text":"bad"}}]}]}"#;
        assert_eq!(rows(&part_of(Role::Security, found)), [("R1", "error: bad")]);
        let card = part_of(Role::Card, r#"{"title":"Done","next_steps":["a","b"],"summary":"s"}"#);
        assert_eq!(card["title"], "Done");
        assert_eq!(rows(&card), [("Next steps", "a\nb"), ("Summary", "s")]);
    }

    #[test]
    fn guides_are_shown_as_they_are_meant() {
        let text = "# Start\n\nRun `serve` and\nwait.\n\n* one\n  more\n- two\n```sh\na  b\n```\n";
        let found = blocks(text);
        let kinds: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|block| {
                let spans = block["spans"].as_array().unwrap().iter().map(|span| span.as_str().unwrap());
                (block["kind"].as_str().unwrap(), spans.collect())
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ("heading", vec!["Start"]),
                ("text", vec!["Run ", "serve", " and wait."]),
                ("item", vec!["one more"]),
                ("item", vec!["two"]),
                ("code", vec!["a  b\n"]),
            ]
        );
    }

    #[test]
    fn other_forms_are_text() {
        assert_eq!(part(Role::Guide, "a", "# How\n")["text"], "# How");
        assert_eq!(part(Role::Tests, "a", "ok 1\n")["text"], "ok 1");
        assert_eq!(part(Role::Report, "a", "<html></html>")["text"], "");
        let long = "\u{e9}".repeat(TEXT);
        assert!(part(Role::Card, "a", &long)["text"].as_str().unwrap().len() < TEXT + 10);
    }
}
