//! The kinds of action that are done in-process: copying, writing, rendering, merging JSON, gates, what an agent is told. They
//! read staged inputs straight from the store and need no directory. Leaves out processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::base::{Entry, RelPath, Tree};
use crate::exec::error::{Failure, FailureClass, Lost, Trouble};
use crate::exec::gate::judge;
use crate::exec::levels::Levels;
use crate::exec::render::{render, render_text};
use crate::plan::{ActionKind, ActionSpec, GateNote, Output, OutputKind, RenderValue};
use crate::store::{Cas, ClaimOutput, Found};

/// How deep JSON may nest.
const JSON_DEPTH: usize = 128;

/// The staged inputs of a built-in action.
#[derive(Clone)]
pub(super) struct Staged {
    pub(super) cas: Arc<dyn Cas>,
    pub(super) levels: Arc<Levels>,
    pub(super) root: Arc<Tree>,
}

pub(super) fn content(text: impl Into<String>) -> Trouble {
    Trouble::Fail(Failure::new(FailureClass::Content, text))
}

impl Staged {
    /// What is staged at a path.
    pub(super) fn entry(&self, path: &RelPath) -> Result<Entry, Trouble> {
        let entry = self.levels.entry_at(&self.root, path.as_str())?;
        entry.ok_or_else(|| Trouble::input(format!("`{path}` is not among the inputs")))
    }

    /// The bytes of a staged file.
    pub(super) fn bytes(&self, path: &RelPath) -> Result<Vec<u8>, Trouble> {
        let Entry::File { digest, .. } = self.entry(path)? else {
            return Err(Trouble::input(format!("input `{path}` is not a file")));
        };
        let lost = |corrupt| Err(Trouble::Lost(Lost { digest, corrupt, producer: None }));
        match self.cas.get(digest)? {
            Found::Whole(bytes) => Ok(bytes),
            Found::Missing => lost(false),
            Found::Corrupt => lost(true),
        }
    }

    /// The text of a staged file.
    pub(super) fn text(&self, path: &RelPath) -> Result<String, Trouble> {
        String::from_utf8(self.bytes(path)?).map_err(|_| content(format!("`{path}` is not UTF-8 text")))
    }
}

/// The document of an inventory as the action's only output.
pub(super) fn keep_document(
    spec: &ActionSpec,
    document: Result<Vec<u8>, Trouble>,
    staged: &Staged,
) -> Result<Vec<ClaimOutput>, Trouble> {
    keep(spec, &document?, staged)
}

/// Does a built-in action that needs nothing but what is staged. `None`: the kind is none of them.
pub(super) fn run(
    spec: &ActionSpec,
    note: Option<&GateNote>,
    staged: &Staged,
) -> Option<Result<Vec<ClaimOutput>, Trouble>> {
    let done = match &spec.kind {
        ActionKind::Exec { .. } | ActionKind::Approval(_) | ActionKind::Sbom(_) | ActionKind::Http(_) => return None,
        ActionKind::Gate { subjects, require } => judge(subjects, require, note, staged).map(|()| Vec::new()),
        ActionKind::Copy { from } => copy(spec, from, staged),
        ActionKind::Write { text } => keep(spec, text.as_bytes(), staged),
        ActionKind::Render { template, vars } => {
            render(template, vars, staged).and_then(|text| keep(spec, text.as_bytes(), staged))
        }
        ActionKind::Request { prompt, vars, facts } => {
            request(prompt.as_deref(), vars, facts, staged).and_then(|text| keep(spec, text.as_bytes(), staged))
        }
        ActionKind::MergeJson { from } => merge_json(from, staged).and_then(|text| keep(spec, text.as_bytes(), staged)),
    };
    Some(done)
}

/// What an agent is told: the facts with the rendered prompt among them. Sorted members, two spaces a
/// level, one newline at the end.
fn request(
    prompt: Option<&str>,
    vars: &BTreeMap<String, RenderValue>,
    facts: &str,
    staged: &Staged,
) -> Result<String, Trouble> {
    let mut told = Json::parse(facts, 0).map_err(|error| content(format!("the facts are not JSON: {error}")))?;
    if let Json::Object(members) = &mut told {
        let prompt = match prompt {
            Some(prompt) => serde_json::Value::String(render_text(prompt, vars, staged)?).to_string(),
            None => "null".to_owned(),
        };
        members.insert("prompt".to_owned(), Json::Leaf(prompt));
    }
    let mut out = String::new();
    told.write(&mut out, 0);
    out.push('\n');
    Ok(out)
}

/// The one output of a built-in action.
fn only(spec: &ActionSpec) -> Result<&Output, Trouble> {
    match spec.outputs.as_slice() {
        [output] => Ok(output),
        outputs => Err(Trouble::output(format!("a built-in action has one output, not {}", outputs.len()))),
    }
}

fn keep(spec: &ActionSpec, bytes: &[u8], staged: &Staged) -> Result<Vec<ClaimOutput>, Trouble> {
    let output = only(spec)?;
    if output.kind != OutputKind::File {
        return Err(Trouble::output(format!("output `{}` is a folder, but the action makes a file", output.name)));
    }
    let digest = staged.cas.put_bytes(bytes)?;
    let entry = Entry::File { digest, size: bytes.len() as u64, exec: false };
    Ok(vec![ClaimOutput { name: output.name.clone(), entry }])
}

/// Gives a staged file or folder on, executable bit and all. No byte is read.
fn copy(spec: &ActionSpec, from: &RelPath, staged: &Staged) -> Result<Vec<ClaimOutput>, Trouble> {
    let output = only(spec)?;
    let entry = staged.entry(from)?;
    // The output is only as good as the blobs it names; a lost one is made again by its producer.
    staged.levels.check(&entry)?;
    let fits = match (&entry, output.kind) {
        (Entry::File { .. }, OutputKind::File) => true,
        (Entry::Dir { digest }, OutputKind::Dir) => {
            // A folder put together from several inputs may not be in the store yet.
            staged.levels.keep(&*staged.levels.get(*digest)?)?;
            true
        }
        _ => false,
    };
    if !fits {
        return Err(Trouble::output(format!(
            "`{from}` is not a {}, which output `{}` is declared as",
            if output.kind == OutputKind::File { "file" } else { "folder" },
            output.name
        )));
    }
    Ok(vec![ClaimOutput { name: output.name.clone(), entry }])
}

/// JSON whose leaves are kept as written, so that no number loses a digit.
pub(super) enum Json {
    Object(BTreeMap<String, Json>),
    Array(Vec<Json>),
    Leaf(String),
}

impl Json {
    pub(super) fn parse(raw: &str, depth: usize) -> Result<Self, String> {
        let raw = raw.trim_start();
        if depth > JSON_DEPTH {
            return Err(format!("it nests deeper than {JSON_DEPTH}"));
        }
        let told = |error: serde_json::Error| error.to_string();
        match raw.as_bytes().first() {
            Some(b'{') => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw).map_err(told)?;
                let parse = |(name, value): (String, &RawValue)| Ok((name, Self::parse(value.get(), depth + 1)?));
                members.into_iter().map(parse).collect::<Result<_, String>>().map(Self::Object)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(told)?;
                let parse = |value: &RawValue| Self::parse(value.get(), depth + 1);
                items.into_iter().map(parse).collect::<Result<_, String>>().map(Self::Array)
            }
            _ => {
                let leaf: &RawValue = serde_json::from_str(raw).map_err(told)?;
                Ok(Self::Leaf(leaf.get().to_owned()))
            }
        }
    }

    /// Puts `other` over `self`: objects member by member, anything else as a whole.
    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Object(ours), Self::Object(theirs)) => {
                for (name, value) in theirs {
                    match ours.get_mut(&name) {
                        Some(known) => known.merge(value),
                        None => {
                            ours.insert(name, value);
                        }
                    }
                }
            }
            (ours, theirs) => *ours = theirs,
        }
    }

    /// Two spaces a level, members sorted by name.
    fn write(&self, out: &mut String, indent: usize) {
        let line = |out: &mut String, indent: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", indent));
        };
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::Object(members) if members.is_empty() => out.push_str("{}"),
            Self::Array(items) if items.is_empty() => out.push_str("[]"),
            Self::Object(members) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push(if index == 0 { '{' } else { ',' });
                    line(out, indent + 1);
                    out.push_str(&serde_json::Value::String(name.clone()).to_string());
                    out.push_str(": ");
                    value.write(out, indent + 1);
                }
                line(out, indent);
                out.push('}');
            }
            Self::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    out.push(if index == 0 { '[' } else { ',' });
                    line(out, indent + 1);
                    value.write(out, indent + 1);
                }
                line(out, indent);
                out.push(']');
            }
        }
    }
}

/// Merges JSON files, later over earlier: objects member by member, everything else (lists and
/// `null` too) replaced as a whole. Sorted members, two spaces a level, one newline at the end.
fn merge_json(from: &[RelPath], staged: &Staged) -> Result<String, Trouble> {
    let mut merged: Option<Json> = None;
    for path in from {
        let text = staged.text(path)?;
        let json = Json::parse(&text, 0).map_err(|error| content(format!("`{path}` is not JSON: {error}")))?;
        match &mut merged {
            Some(merged) => merged.merge(json),
            None => merged = Some(json),
        }
    }
    let mut out = String::new();
    merged.unwrap_or(Json::Object(BTreeMap::new())).write(&mut out, 0);
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> String {
        let mut parsed = texts.iter().map(|text| Json::parse(text, 0).unwrap());
        let mut first = parsed.next().unwrap();
        parsed.for_each(|next| first.merge(next));
        let mut out = String::new();
        first.write(&mut out, 0);
        out
    }

    #[test]
    fn merges_objects_deeply_and_replaces_the_rest() {
        let got = merged(&[r#"{"a":{"x":1,"y":[1,2]},"b":1}"#, r#" {"a":{"y":[3],"z":null},"c":"\u00e9"}"#]);
        let want = serde_json::json!({"a": {"x": 1, "y": [3], "z": null}, "b": 1, "c": "é"});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&got).unwrap(), want);
        assert_eq!(got, serde_json::to_string_pretty(&want).unwrap().replace('é', "\\u00e9"));
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(
            merged(&["[123456789012345678901234567890, 1.10]"]),
            "[\n  123456789012345678901234567890,\n  1.10\n]"
        );
    }

    #[test]
    fn bad_json_is_refused() {
        assert!(Json::parse("{\"a\":}", 0).is_err());
        assert!(Json::parse("", 0).is_err());
        assert!(Json::parse(&"[".repeat(100_000), 0).is_err());
        assert!(Json::parse(&format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)), 0).is_err());
    }
}
