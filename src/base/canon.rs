//! The canonical encoding: the only way structured facts reach a digest.
//!
//! A keyed object walks its fields once, in rising order of their tags, into a [`FieldSink`]. There
//! are three: [`DigestSink`] (canonical bytes, hashed), [`Manifest`] (lossless, stored) and
//! [`TextSink`] (for people). All see the same calls, so an explanation cannot omit a hashed field.
//! Leaves out which fields an object has.
//!
//! Canonical bytes of a field: tag (u16 little-endian), then its value; of a value: a type byte, the
//! payload's length (u64 little-endian), the payload.
//!
//! | type | value | payload |
//! | --- | --- | --- |
//! | 1 | text | UTF-8 bytes |
//! | 2 | integer | u64 little-endian |
//! | 3 | flag | one byte, 0 or 1 |
//! | 4 | digest | 32 bytes |
//! | 5 | bytes | as they are |
//! | 6 | list | its values, encoded, in order |
//! | 7 | set | its values, encoded, sorted by those bytes, without duplicates |
//! | 8 | map | for each key in byte order: the key as a text value, then its value |
//! | 9 | tree | 32 bytes: the digest of the tree |
//!
//! Names are for people and are not hashed; tags are. An absent field is not walked. The vectors in
//! `tests/golden/keys.txt` are frozen, and a second encoder in the tests must agree.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use serde_json::{Value as Json, json};

use crate::base::{Digest, Domain, Entry, Tree};

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A text.
    Text(String),
    /// A natural number.
    Int(u64),
    /// Yes or no.
    Flag(bool),
    /// A digest of something else.
    Digest(Digest),
    /// Bytes that need not be text.
    Bytes(Vec<u8>),
    /// Values whose order matters.
    List(Vec<Value>),
    /// Values whose order does not matter.
    Set(BTreeSet<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
    /// A directory tree: hashed by its digest, shown with its top level where that is known.
    Tree {
        /// The digest of the tree.
        digest: Digest,
        /// The top level, kept in a manifest while it is small.
        top: Option<Tree>,
    },
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts.
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::text(text.as_ref())).collect())
    }

    /// A tree value that knows its top level.
    pub fn tree(tree: Tree) -> Self {
        Self::Tree { digest: tree.digest(), top: Some(tree) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, payload): (u8, Vec<u8>) = match self {
            Self::Text(text) => (1, text.as_bytes().to_vec()),
            Self::Int(int) => (2, int.to_le_bytes().to_vec()),
            Self::Flag(flag) => (3, vec![u8::from(*flag)]),
            Self::Digest(digest) => (4, digest.as_bytes().to_vec()),
            Self::Bytes(bytes) => (5, bytes.clone()),
            Self::List(values) => {
                let mut payload = Vec::new();
                for value in values {
                    value.encode(&mut payload);
                }
                (6, payload)
            }
            Self::Set(values) => {
                let encoded: BTreeSet<Vec<u8>> = values
                    .iter()
                    .map(|value| {
                        let mut bytes = Vec::new();
                        value.encode(&mut bytes);
                        bytes
                    })
                    .collect();
                (7, encoded.into_iter().flatten().collect())
            }
            Self::Map(map) => {
                let mut payload = Vec::new();
                for (key, value) in map {
                    Self::Text(key.clone()).encode(&mut payload);
                    value.encode(&mut payload);
                }
                (8, payload)
            }
            Self::Tree { digest, .. } => (9, digest.as_bytes().to_vec()),
        };
        out.push(kind);
        out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        out.extend_from_slice(&payload);
    }
}

/// One field as walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The number that is hashed. Rises within an object.
    pub tag: u16,
    /// The name for people. Not hashed.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// Receives the fields of a keyed object, in order.
pub trait FieldSink {
    /// One field. Tags rise from call to call.
    fn field(&mut self, tag: u16, name: &str, value: &Value);
}

/// An object with keyed fields.
pub trait Fields {
    /// Walks every keyed field into the sink, in rising order of tags.
    fn walk(&self, sink: &mut dyn FieldSink);
}

/// Builds the canonical bytes and hashes them.
#[derive(Default)]
pub struct DigestSink {
    bytes: Vec<u8>,
    last: Option<u16>,
}

impl DigestSink {
    /// The digest of what was walked, under the context of a kind of object.
    pub fn finish(self, domain: Domain) -> Digest {
        Digest::derive(domain, &self.bytes)
    }

    /// The canonical bytes themselves.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl FieldSink for DigestSink {
    fn field(&mut self, tag: u16, _name: &str, value: &Value) {
        assert!(self.last.is_none_or(|last| last < tag), "fields are walked in rising order of tags");
        self.last = Some(tag);
        self.bytes.extend_from_slice(&tag.to_le_bytes());
        value.encode(&mut self.bytes);
    }
}

/// The digest of an object's fields.
pub fn digest_fields(fields: &dyn Fields, domain: Domain) -> Digest {
    let mut sink = DigestSink::default();
    fields.walk(&mut sink);
    sink.finish(domain)
}

/// The manifest of an object's fields.
pub fn manifest_of(fields: &dyn Fields) -> Manifest {
    let mut manifest = Manifest::default();
    fields.walk(&mut manifest);
    manifest
}

/// All fields of an object, without loss: parsing the written form and walking it again gives the
/// same digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The fields in order.
    pub fields: Vec<Field>,
}

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is malformed: {0}")]
pub struct ManifestError(pub String);

/// Levels of a tree with more entries than this are kept by digest alone in a manifest.
const TREE_ENTRIES_SHOWN: usize = 64;

impl FieldSink for Manifest {
    fn field(&mut self, tag: u16, name: &str, value: &Value) {
        let value = match value {
            Value::Tree { digest, top: Some(top) } if top.entries.len() > TREE_ENTRIES_SHOWN => {
                Value::Tree { digest: *digest, top: None }
            }
            other => other.clone(),
        };
        self.fields.push(Field { tag, name: name.to_owned(), value });
    }
}

impl Fields for Manifest {
    fn walk(&self, sink: &mut dyn FieldSink) {
        for field in &self.fields {
            sink.field(field.tag, &field.name, &field.value);
        }
    }
}

impl Manifest {
    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|field| field.name == name).map(|field| &field.value)
    }

    /// The written form: one line of JSON.
    pub fn to_json(&self) -> String {
        let fields: Vec<Json> =
            self.fields.iter().map(|f| json!({"t": f.tag, "n": f.name, "v": value_to_json(&f.value)})).collect();
        Json::Array(fields).to_string()
    }

    /// Reads the written form.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let bad = |what: &str| ManifestError(what.to_owned());
        let json: Json = serde_json::from_str(text).map_err(|error| ManifestError(error.to_string()))?;
        let mut fields = Vec::new();
        let mut last = None;
        for item in json.as_array().ok_or_else(|| bad("not a list"))? {
            let tag = item["t"].as_u64().and_then(|t| u16::try_from(t).ok()).ok_or_else(|| bad("tag"))?;
            if last.is_some_and(|last| last >= tag) {
                return Err(bad("tags do not rise"));
            }
            last = Some(tag);
            let name = item["n"].as_str().ok_or_else(|| bad("name"))?.to_owned();
            let value = value_from_json(&item["v"]).ok_or_else(|| bad(&format!("value of `{name}`")))?;
            fields.push(Field { tag, name, value });
        }
        Ok(Self { fields })
    }
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({"s": text}),
        Value::Int(int) => json!({"i": int}),
        Value::Flag(flag) => json!({"f": flag}),
        Value::Digest(digest) => json!({"d": digest.hex()}),
        Value::Bytes(bytes) => json!({"b": BASE64.encode(bytes)}),
        Value::List(values) => json!({"l": values.iter().map(value_to_json).collect::<Vec<_>>()}),
        Value::Set(values) => json!({"u": values.iter().map(value_to_json).collect::<Vec<_>>()}),
        Value::Map(map) => json!({"m": map.iter().map(|(k, v)| json!([k, value_to_json(v)])).collect::<Vec<_>>()}),
        Value::Tree { top: Some(top), .. } => json!({"t": top.entries.iter().map(entry_to_json).collect::<Vec<_>>()}),
        Value::Tree { digest, top: None } => json!({"r": digest.hex()}),
    }
}

fn entry_to_json((name, entry): (&String, &Entry)) -> Json {
    match entry {
        Entry::File { digest, size, exec } => json!([name, if *exec { "x" } else { "f" }, digest.hex(), size]),
        Entry::Dir { digest } => json!([name, "d", digest.hex()]),
        Entry::Symlink { target } => json!([name, "l", target]),
    }
}

fn value_from_json(json: &Json) -> Option<Value> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    let (kind, payload) = object.iter().next()?;
    let many = || payload.as_array()?.iter().map(value_from_json).collect::<Option<Vec<_>>>();
    let digest = || payload.as_str()?.parse::<Digest>().ok();
    Some(match kind.as_str() {
        "s" => Value::Text(payload.as_str()?.to_owned()),
        "i" => Value::Int(payload.as_u64()?),
        "f" => Value::Flag(payload.as_bool()?),
        "d" => Value::Digest(digest()?),
        "b" => Value::Bytes(BASE64.decode(payload.as_str()?.as_bytes()).ok()?),
        "l" => Value::List(many()?),
        "u" => Value::Set(many()?.into_iter().collect()),
        "m" => {
            let pairs = payload.as_array()?.iter();
            Value::Map(
                pairs.map(|p| Some((p[0].as_str()?.to_owned(), value_from_json(&p[1])?))).collect::<Option<_>>()?,
            )
        }
        "t" => {
            let entries = payload.as_array()?.iter().map(entry_from_json).collect::<Option<_>>()?;
            Value::tree(Tree { entries })
        }
        "r" => Value::Tree { digest: digest()?, top: None },
        _ => return None,
    })
}

fn entry_from_json(json: &Json) -> Option<(String, Entry)> {
    let name = json[0].as_str()?.to_owned();
    let entry = match json[1].as_str()? {
        kind @ ("x" | "f") => {
            Entry::File { digest: json[2].as_str()?.parse().ok()?, size: json[3].as_u64()?, exec: kind == "x" }
        }
        "d" => Entry::Dir { digest: json[2].as_str()?.parse().ok()? },
        "l" => Entry::Symlink { target: json[2].as_str()?.to_owned() },
        _ => return None,
    };
    Some((name, entry))
}

/// Builds lines of `name: value` for people. Lossless in what it names: no value is shortened.
#[derive(Default)]
pub struct TextSink {
    /// The lines so far.
    pub lines: Vec<String>,
}

impl FieldSink for TextSink {
    fn field(&mut self, _tag: u16, name: &str, value: &Value) {
        match value {
            Value::Map(map) => {
                self.lines.extend(map.iter().map(|(key, value)| format!("{name}.{key}: {}", text_of(value))));
            }
            Value::Tree { top: Some(top), .. } => {
                self.lines.extend(top.entries.iter().map(|(at, entry)| format!("{name}/{at}: {}", entry_text(entry))));
            }
            other => self.lines.push(format!("{name}: {}", text_of(other))),
        }
    }
}

fn entry_text(entry: &Entry) -> String {
    match entry {
        Entry::File { digest, size, exec } => {
            format!("{}{digest} ({size} bytes)", if *exec { "executable " } else { "" })
        }
        Entry::Dir { digest } => format!("folder {digest}"),
        Entry::Symlink { target } => format!("-> {target}"),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Int(int) => int.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Digest(digest) => format!("b3:{digest}"),
        Value::Bytes(bytes) => BASE64.encode(bytes),
        Value::List(values) => format!("[{}]", values.iter().map(text_of).collect::<Vec<_>>().join(", ")),
        Value::Set(values) => format!("{{{}}}", values.iter().map(text_of).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            format!("{{{}}}", map.iter().map(|(k, v)| format!("{k}: {}", text_of(v))).collect::<Vec<_>>().join(", "))
        }
        Value::Tree { digest, top: None } => format!("tree b3:{digest}"),
        Value::Tree { top: Some(top), .. } => {
            let entries: Vec<_> =
                top.entries.iter().map(|(name, entry)| format!("{name}: {}", entry_text(entry))).collect();
            format!("tree {{{}}}", entries.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;

    impl Fields for Sample {
        fn walk(&self, sink: &mut dyn FieldSink) {
            sink.field(1, "kind", &Value::text("exec/1"));
            sink.field(2, "argv", &Value::texts(["cp", "a", "b"]));
            sink.field(4, "env", &Value::Map([("A".to_owned(), Value::text("1"))].into()));
            let mut tree = Tree::default();
            tree.entries.insert("a".into(), Entry::File { digest: Digest::of_blob(b"a"), size: 1, exec: true });
            sink.field(5, "inputs", &Value::tree(tree));
            sink.field(6, "raw", &Value::Bytes(vec![0, 255]));
            sink.field(7, "set", &Value::Set([Value::Int(2), Value::Int(1)].into()));
            sink.field(8, "flag", &Value::Flag(true));
        }
    }

    #[test]
    fn digest_of_parsed_manifest_is_the_digest() {
        let manifest = manifest_of(&Sample);
        let parsed = Manifest::from_json(&manifest.to_json()).unwrap();
        assert_eq!(parsed, manifest);
        assert_eq!(digest_fields(&parsed, Domain::Def), digest_fields(&Sample, Domain::Def));
    }

    #[test]
    fn every_field_reaches_the_text() {
        let mut text = TextSink::default();
        Sample.walk(&mut text);
        assert_eq!(text.lines.len(), 7);
        assert!(text.lines.iter().any(|line| line == "env.A: \"1\""));
    }

    #[test]
    fn lists_and_texts_do_not_run_together() {
        let digest = |values: &[&str]| {
            let mut sink = DigestSink::default();
            sink.field(1, "x", &Value::texts(values));
            sink.finish(Domain::Def)
        };
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&[]), digest(&[""]));
    }
}
