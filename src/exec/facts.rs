//! What can be asked of an artifact, read from it: numbers, texts and lists by dotted path. What
//! cannot be read or is not there is no answer, never an empty one. Leaves out comparing.

use std::collections::BTreeMap;

use crate::base::{Entry, RelPath};
use crate::exec::builtin::{Json, Staged};
use crate::exec::error::Trouble;
use crate::exec::junit::{self, Junit};
use crate::plan::Reads;

/// Bytes of an artifact that is read for a gate.
const BYTES: u64 = 64 << 20;
/// Values that one path may lead to.
const VALUES: usize = 1_000_000;

/// A value that stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A decimal number as written.
    Number(String),
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// `null`.
    Nothing,
    /// A list of scalars.
    List(Vec<Found>),
    /// An object, or a list of such.
    Whole(&'static str),
}

impl Found {
    /// For people, shortened.
    pub(super) fn shown(&self) -> String {
        const LENGTH: usize = 80;
        let text = match self {
            Self::Number(text) => text.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Nothing => "null".to_owned(),
            Self::List(items) => {
                let mut shown: Vec<String> = items.iter().take(8).map(Self::shown).collect();
                if items.len() > shown.len() {
                    shown.push(format!("{} more", items.len() - shown.len()));
                }
                format!("[{}]", shown.join(", "))
            }
            Self::Whole(what) => (*what).to_owned(),
        };
        match text.char_indices().nth(LENGTH) {
            Some((cut, _)) => format!("{}…", &text[..cut]),
            None => text,
        }
    }
}

/// An artifact that was read.
pub(super) enum Document {
    File { size: u64, text: Result<String, String> },
    Diff { size: u64, text: String, files: Vec<String>, added: u64, removed: u64 },
    Dir { size: u64, paths: Vec<String> },
    Junit(Junit),
    Json(Json),
}

impl Document {
    /// Reads what is staged at a place. The inner error says why it cannot be judged.
    pub(super) fn read(reads: Reads, at: &RelPath, staged: &Staged) -> Result<Result<Self, String>, Trouble> {
        let entry = staged.entry(at)?;
        let size = match (&entry, reads) {
            (Entry::File { size, .. }, reads) if reads != Reads::Dir => *size,
            (Entry::Dir { .. }, Reads::Dir) => {
                let mut paths = Vec::new();
                walk(staged, &entry, "", &mut paths)?;
                return Ok(Ok(Self::Dir { size: staged.levels.measure(&entry)?, paths }));
            }
            (Entry::Dir { .. }, _) => return Ok(Err("it is a folder, not a file".to_owned())),
            _ => return Ok(Err("it is a file, not a folder".to_owned())),
        };
        if size > BYTES {
            return Ok(Err(format!("it is larger than {} MiB", BYTES >> 20)));
        }
        let text = String::from_utf8(staged.bytes(at)?).map_err(|_| "it is not UTF-8 text".to_owned());
        Ok(match (reads, text) {
            (Reads::File, text) => Ok(Self::File { size, text }),
            (_, Err(error)) => Err(error),
            (Reads::Diff, Ok(text)) => Ok(diff(size, text)),
            (Reads::Junit, Ok(text)) => {
                junit::parse(&text).map(Self::Junit).map_err(|why| format!("it is no JUnit report: {why}"))
            }
            (_, Ok(text)) => Json::parse(&text, 0).map(Self::Json).map_err(|why| format!("it is not JSON: {why}")),
        })
    }

    /// What stands at a path: each value with where it stands, more than one only where the path has a
    /// `*`. An error says why there is no answer.
    pub(super) fn at(&self, path: &str) -> Result<Vec<(String, Found)>, String> {
        let number = |number: u64| Found::Number(number.to_string());
        let list = |texts: &[String]| Found::List(texts.iter().cloned().map(Found::Text).collect());
        let of_text = |text: &str, size: u64| {
            Some(match path {
                "size" => number(size),
                "empty" => Found::Flag(size == 0),
                "text" => Found::Text(text.to_owned()),
                "lines" => number(text.lines().count() as u64),
                _ => return None,
            })
        };
        let found = match self {
            Self::Json(json) => return at_json(json, path),
            Self::File { size, text: Ok(text) } if path == "sections" => {
                let _ = size;
                Some(list(&headings(text)))
            }
            Self::File { size, text: Ok(text) } => of_text(text, *size),
            Self::File { size, text: Err(why) } => match path {
                "size" | "empty" => of_text("", *size),
                _ => return Err(why.clone()),
            },
            Self::Diff { size, text, files, added, removed } => match path {
                "files" => Some(list(files)),
                "added" => Some(number(*added)),
                "removed" => Some(number(*removed)),
                _ => of_text(text, *size),
            },
            Self::Dir { size, paths } => match path {
                "count" => Some(number(paths.len() as u64)),
                "size" => Some(number(*size)),
                "empty" => Some(Found::Flag(paths.is_empty())),
                "paths" => Some(list(paths)),
                _ => None,
            },
            Self::Junit(junit) => match path {
                "tests" => Some(number(junit.tests)),
                "passed" => Some(number(junit.passed())),
                "failed" => Some(number(junit.failed)),
                "failures" => Some(number(junit.failures)),
                "errors" => Some(number(junit.errors)),
                "skipped" => Some(number(junit.skipped)),
                "suites" => Some(number(junit.suites)),
                "duration" => Some(number(junit.duration_ms)),
                _ => None,
            },
        };
        found.map(|found| vec![(String::new(), found)]).ok_or_else(|| format!("nothing is known by the name `{path}`"))
    }
}

fn walk(staged: &Staged, entry: &Entry, at: &str, paths: &mut Vec<String>) -> Result<(), Trouble> {
    match entry {
        Entry::Dir { digest } => {
            let tree = staged.levels.get(*digest)?;
            for (name, below) in &tree.entries {
                let path = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
                walk(staged, below, &path, paths)?;
            }
        }
        Entry::File { .. } | Entry::Symlink { .. } => paths.push(at.to_owned()),
    }
    Ok(())
}

/// The headings of a Markdown text: lines that begin with `#`, and lines underlined by `=` or `-`.
/// Fenced blocks are not looked into.
fn headings(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut fence: Option<&str> = None;
    let mut before = "";
    for line in text.lines() {
        let trimmed = line.trim();
        let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
        match (fence, marker) {
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, Some(marker)) => fence = Some(marker),
            (Some(_), _) => {}
            (None, None) => {
                let level = trimmed.len() - trimmed.trim_start_matches('#').len();
                let rest = &trimmed[level..];
                if (1..=6).contains(&level) && rest.starts_with([' ', '\t']) {
                    all.push(rest.trim().trim_end_matches('#').trim().to_owned());
                } else if !before.is_empty()
                    && !trimmed.is_empty()
                    && (trimmed.bytes().all(|b| b == b'=') || trimmed.bytes().all(|b| b == b'-'))
                {
                    all.push(before.to_owned());
                }
            }
        }
        before = if fence.is_some() || marker.is_some() { "" } else { trimmed };
    }
    all
}

/// A unified diff in numbers: files by their new names (those deleted by their old), lines by the
/// lengths that hunks announce, so that a line that begins with `+++` inside of one is a line.
fn diff(size: u64, text: String) -> Document {
    let (mut files, mut added, mut removed) = (Vec::new(), 0, 0);
    let (mut old, mut new) = (0_u64, 0_u64);
    let mut before = "";
    for line in text.lines() {
        if old > 0 || new > 0 {
            match line.as_bytes().first() {
                Some(b'+') => {
                    added += 1;
                    new = new.saturating_sub(1);
                }
                Some(b'-') => {
                    removed += 1;
                    old = old.saturating_sub(1);
                }
                Some(b'\\') => {}
                _ => {
                    old = old.saturating_sub(1);
                    new = new.saturating_sub(1);
                }
            }
        } else if let Some(rest) = line.strip_prefix("@@ -") {
            let length = |range: &str| range.split_once(',').map_or(Some(1), |(_, count)| count.parse::<u64>().ok());
            let mut parts = rest.split(' ');
            old = parts.next().and_then(length).unwrap_or(0);
            new = parts.next().and_then(|range| length(range.trim_start_matches('+'))).unwrap_or(0);
        } else if let (Some(name), Some(was)) = (line.strip_prefix("+++ "), before.strip_prefix("--- ")) {
            let plain = |name: &str| name.split('\t').next().unwrap_or(name).trim().to_owned();
            let name = plain(name);
            let name = if name == "/dev/null" { plain(was) } else { name };
            let bare = name.strip_prefix("b/").or_else(|| name.strip_prefix("a/")).map(str::to_owned);
            files.push(bare.unwrap_or(name));
        }
        before = line;
    }
    Document::Diff { size, text, files, added, removed }
}

/// What stands at a path of a JSON document. `*` stands for every element or member; `@count` counts
/// elements or members, and `@exists` tells whether there is anything.
fn at_json(json: &Json, path: &str) -> Result<Vec<(String, Found)>, String> {
    let mut all: Vec<(String, Option<&Json>)> = vec![(String::new(), Some(json))];
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        if last && part == "@exists" {
            return Ok(all.into_iter().map(|(at, json)| (at, Found::Flag(json.is_some()))).collect());
        }
        if last && part == "@count" {
            // Of several lists there is no one count.
            if path.split('.').any(|part| part == "*") {
                return Err("`@count` does not follow `*`".to_owned());
            }
            let (at, json) = all.swap_remove(0);
            let count = match json {
                Some(Json::Array(items)) => items.len(),
                Some(Json::Object(members)) => members.len(),
                Some(Json::Leaf(_)) => return Err(format!("`{at}` is neither a list nor an object")),
                None => return Err(format!("there is no `{at}`")),
            };
            return Ok(vec![(
                format!("{at}.@count").trim_start_matches('.').to_owned(),
                Found::Number(count.to_string()),
            )]);
        }
        let mut next = Vec::new();
        for (at, json) in all {
            let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            let Some(json) = json else {
                next.push((at.clone(), None));
                continue;
            };
            match (part, json) {
                ("*", Json::Array(items)) => {
                    next.extend(
                        items.iter().enumerate().map(|(number, item)| (below(&number.to_string()), Some(item))),
                    );
                }
                ("*", Json::Object(members)) => {
                    next.extend(members.iter().map(|(name, item)| (below(name), Some(item))));
                }
                ("*", Json::Leaf(_)) => return Err(format!("`{at}` is neither a list nor an object")),
                (name, Json::Object(members)) => next.push((below(name), members.get(name))),
                (name, Json::Array(items)) => {
                    next.push((below(name), name.parse::<usize>().ok().and_then(|number| items.get(number))));
                }
                (name, Json::Leaf(_)) => next.push((below(name), None)),
            }
        }
        if next.len() > VALUES {
            return Err(format!("it leads to more than {VALUES} values"));
        }
        all = next;
    }
    all.into_iter()
        .map(|(at, json)| match json {
            Some(json) => Ok((at, scalar(json))),
            None => Err(format!("there is no `{at}`")),
        })
        .collect()
}

fn scalar(json: &Json) -> Found {
    match json {
        Json::Object(_) => Found::Whole("an object"),
        Json::Array(items) => {
            let scalars: Vec<Found> = items.iter().map(scalar).collect();
            let whole = scalars.iter().any(|item| matches!(item, Found::Whole(_) | Found::List(_)));
            if whole { Found::Whole("a list of objects") } else { Found::List(scalars) }
        }
        Json::Leaf(text) => match text.as_str() {
            "true" => Found::Flag(true),
            "false" => Found::Flag(false),
            "null" => Found::Nothing,
            text if text.starts_with('"') => {
                Found::Text(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()))
            }
            number => Found::Number(number.to_owned()),
        },
    }
}

/// Documents by subject and place, read once.
pub(super) type Documents = BTreeMap<(String, RelPath), Result<Document, String>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(json: &str, path: &str) -> Result<Vec<Found>, String> {
        let json = Json::parse(json, 0).unwrap();
        at_json(&json, path).map(|all| all.into_iter().map(|(_, found)| found).collect())
    }

    fn number(text: &str) -> Found {
        Found::Number(text.to_owned())
    }

    #[test]
    fn paths_lead_through_documents() {
        let json = r#"{"a":{"b":[1,2.50,{"c":"x"}]},"n":null,"t":true,"s":[{"v":"low"},{"v":"high"}],"e":[]}"#;
        assert_eq!(at(json, "a.b.1"), Ok(vec![number("2.50")]));
        assert_eq!(at(json, "a.b.2.c"), Ok(vec![Found::Text("x".to_owned())]));
        assert_eq!(at(json, "a.b.@count"), Ok(vec![number("3")]));
        assert_eq!(at(json, "s.*.v").unwrap().len(), 2);
        assert_eq!(at(json, "e.*.v"), Ok(Vec::new()));
        assert_eq!(at(json, "n"), Ok(vec![Found::Nothing]));
        assert_eq!(at(json, "a.x.@exists"), Ok(vec![Found::Flag(false)]));
        assert_eq!(at(json, "t.@exists"), Ok(vec![Found::Flag(true)]));
        for path in ["x", "a.b.9", "a.b.1.c", "n.x", "s.*.w", "t.@count", "s.*.@count", "t.*"] {
            assert!(at(json, path).is_err(), "{path}");
        }
    }

    #[test]
    fn headings_are_found_outside_of_fences() {
        let text = "Title\n=====\n\n# One #\n```\n# no\n```\ntext\n##two\n###  Three\nFour\n---\n\n---\n";
        assert_eq!(headings(text), ["Title", "One", "Three", "Four"]);
    }

    #[test]
    fn diffs_are_counted_by_their_hunks() {
        let text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n-b\n+++ c\n+d\n--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-z\n";
        let Document::Diff { files, added, removed, .. } = diff(0, text.to_owned()) else { panic!("a diff") };
        assert_eq!((files, added, removed), (vec!["x".to_owned(), "y".to_owned()], 2, 2));
    }
}
