//! JSON Schemas: reading one, and checking documents against it, without network or files and within
//! bounds. Leaves out where schemas and documents come from.
//!
//! A checker follows a schema wherever it leads, so a few bytes of one can ask for work without end: by
//! references that lead back to themselves, or that double at each step. A schema here refers to its own
//! parts only, and the steps that a document would take are counted before they are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value as Json;

use crate::base::Limits;

/// Parts of a schema that speak of one value, inside each other.
const CHAIN: usize = 64;
/// Levels of a document.
const DEPTH: usize = 96;
/// Regular expressions of a schema, and bytes of each when it is compiled.
const PATTERNS: usize = 256;
const PATTERN_BYTES: usize = 256 * 1024;
/// Steps of checking one document.
const STEPS: u64 = 4_000_000;
/// Steps up to which all violations are gathered; beyond, the first is.
const STEPS_OF_ALL: u64 = 200_000;
/// Pairs of a part of a schema and a part of a document that are looked at to count steps.
const PAIRS: usize = 1_000_000;
/// Characters of a text that a regular expression gets through in one step.
const STEP_CHARS: u64 = 64;
/// Violations that are told.
const TOLD: usize = 8;
/// Characters of a violation that are told.
const SHOWN: usize = 200;

/// A schema that is one.
pub struct JsonSchema {
    schema: Json,
    validator: Validator,
}

/// How a document breaks a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// Where in the document, as a JSON pointer; empty for the whole.
    pub at: String,
    /// By which part of the schema, as a JSON pointer.
    pub by: String,
    /// What is wrong.
    pub message: String,
}

/// How a document breaks a schema, the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaFaults {
    /// Those that are told.
    pub told: Vec<SchemaFault>,
    /// Whether there may be more.
    pub more: bool,
}

impl JsonSchema {
    /// Reads a schema. The error says why it is none.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > Limits::SCHEMA_BYTES {
            return Err(format!("it is larger than {} KiB", Limits::SCHEMA_BYTES >> 10));
        }
        let schema: Json = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
        if !schema.is_object() {
            return Err("it is JSON, but not an object".to_owned());
        }
        own_parts(&schema)?;
        let validator = roomy(|| {
            let mut steps = Steps::new(&schema);
            for part in parts(&schema) {
                steps.count(part, &Json::Null, 0)?;
            }
            jsonschema::meta::validate(&schema)
                .map_err(|error| placed(&error.instance_path().to_string(), &error.to_string()))?;
            let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
            let built = jsonschema::options().with_pattern_options(patterns).build(&schema);
            built.map_err(|error| placed(&error.instance_path().to_string(), &error.to_string()))
        })?;
        Ok(Self { schema, validator })
    }

    /// The schema itself, as a document.
    pub fn into_document(self) -> Json {
        self.schema
    }

    /// How a document breaks it. The error says why it cannot be checked at all.
    pub fn check(&self, document: &[u8]) -> Result<SchemaFaults, String> {
        if document.len() > Limits::DOCUMENT_BYTES {
            return Err(format!("it is larger than {} MiB", Limits::DOCUMENT_BYTES >> 20));
        }
        let document: Json = serde_json::from_slice(document).map_err(|error| format!("it is not JSON: {error}"))?;
        if depth(&document) > DEPTH {
            return Err(format!("it is nested more than {DEPTH} deep"));
        }
        roomy(|| {
            let count = Steps::new(&self.schema).count(&self.schema, &document, 0)?;
            if count > STEPS {
                return Err(format!("checking it would take more than {STEPS} steps"));
            }
            if self.validator.is_valid(&document) {
                return Ok(SchemaFaults::default());
            }
            let fault = |error: jsonschema::ValidationError<'_>| SchemaFault {
                at: error.instance_path().to_string(),
                by: error.schema_path().to_string(),
                message: shortened(&error.to_string()),
            };
            if count > STEPS_OF_ALL {
                let first = self.validator.validate(&document).err().map(fault);
                return Ok(SchemaFaults { told: first.into_iter().collect(), more: true });
            }
            let mut told: Vec<SchemaFault> = self.validator.iter_errors(&document).take(TOLD + 1).map(fault).collect();
            let more = told.len() > TOLD;
            told.truncate(TOLD);
            Ok(SchemaFaults { told, more })
        })
    }
}

fn placed(at: &str, message: &str) -> String {
    let message = shortened(message);
    if at.is_empty() { message } else { format!("at `{}`: {message}", shortened(at)) }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Runs where there is room on the stack: checking recurses on a document and on a schema at once.
fn roomy<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("partita-schema".to_owned()).stack_size(Limits::PARSER_STACK_BYTES);
        let started =
            builder.spawn_scoped(scope, work).map_err(|error| format!("it cannot be checked now: {error}"))?;
        started.join().unwrap_or_else(|_| Err("its checker gave up".to_owned()))
    })
}

/// The levels of a document, without recursion: what a reader of JSON lets through is deeper than most stacks.
fn depth(document: &Json) -> usize {
    let mut deepest = 0;
    let mut open = vec![(document, 1)];
    while let Some((value, level)) = open.pop() {
        deepest = deepest.max(level);
        match value {
            Json::Array(items) => open.extend(items.iter().map(|item| (item, level + 1))),
            Json::Object(fields) => open.extend(fields.values().map(|value| (value, level + 1))),
            _ => {}
        }
    }
    deepest
}

/// All objects of a schema: each may be a part that is referred to.
fn parts(schema: &Json) -> Vec<&Json> {
    let mut found = Vec::new();
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Json::Array(items) => open.extend(items),
            Json::Object(fields) => {
                found.push(value);
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    found
}

/// Reports a schema that leads elsewhere, or by names, or that has too many regular expressions.
fn own_parts(schema: &Json) -> Result<(), String> {
    let mut patterns = 0;
    for part in parts(schema) {
        let Json::Object(fields) = part else { continue };
        for word in ["$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$recursiveAnchor"] {
            if fields.get(word).is_some_and(|value| !value.is_object()) {
                return Err(format!("it uses `{word}`: refer to parts as `#/$defs/NAME`"));
            }
        }
        for word in ["$id", "id"] {
            if matches!(fields.get(word), Some(Json::String(_))) && !std::ptr::eq(part, schema) {
                return Err(format!("a part of it has an `{word}`: refer to parts as `#/$defs/NAME`"));
            }
        }
        if let Some(Json::String(target)) = fields.get("$ref") {
            if target != "#" && !target.starts_with("#/") {
                return Err(format!("it refers to `{}`, which is not a part of it", shortened(target)));
            }
            if resolve(schema, target).is_none() {
                return Err(format!("it refers to `{}`, and there is no such part", shortened(target)));
            }
        }
        patterns += usize::from(matches!(fields.get("pattern"), Some(Json::String(_))));
        patterns += fields.get("patternProperties").and_then(Json::as_object).map_or(0, serde_json::Map::len);
    }
    if patterns > PATTERNS { Err(format!("it has more than {PATTERNS} regular expressions")) } else { Ok(()) }
}

fn resolve<'s>(root: &'s Json, reference: &str) -> Option<&'s Json> {
    root.pointer(reference.strip_prefix('#')?)
}

/// Counts the steps of a check, each pair of parts once.
struct Steps<'s> {
    root: &'s Json,
    known: BTreeMap<(usize, usize), u64>,
    open: BTreeSet<(usize, usize)>,
}

impl<'s> Steps<'s> {
    fn new(root: &'s Json) -> Self {
        Self { root, known: BTreeMap::new(), open: BTreeSet::new() }
    }

    fn count(&mut self, schema: &'s Json, document: &Json, chain: usize) -> Result<u64, String> {
        let Json::Object(fields) = schema else { return Ok(1) };
        let pair = (std::ptr::from_ref(schema).addr(), std::ptr::from_ref(document).addr());
        if let Some(known) = self.known.get(&pair) {
            return Ok(*known);
        }
        if !self.open.insert(pair) {
            return Err("a part of the schema refers to itself without end".to_owned());
        }
        if chain > CHAIN {
            return Err(format!("more than {CHAIN} parts of the schema speak of one value, inside each other"));
        }
        if self.known.len() > PAIRS {
            return Err(format!("checking it would take more than {PAIRS} comparisons"));
        }
        // What other parts say of the same value.
        let mut here = 1_u64;
        if let Some(target) = fields.get("$ref").and_then(Json::as_str).and_then(|text| resolve(self.root, text)) {
            here = here.saturating_add(self.count(target, document, chain + 1)?);
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for part in fields.get(word).and_then(Json::as_array).into_iter().flatten() {
                here = here.saturating_add(self.count(part, document, chain + 1)?);
            }
        }
        for word in ["not", "if", "then", "else"] {
            if let Some(part) = fields.get(word) {
                here = here.saturating_add(self.count(part, document, chain + 1)?);
            }
        }
        for word in ["dependentSchemas", "dependencies"] {
            for part in fields.get(word).and_then(Json::as_object).into_iter().flat_map(|parts| parts.values()) {
                here = here.saturating_add(self.count(part, document, chain + 1)?);
            }
        }
        let size = match document {
            Json::Array(items) => items.len() as u64,
            Json::Object(members) => members.len() as u64,
            Json::String(text) => text.len() as u64 / STEP_CHARS,
            _ => 0,
        };
        // What was not looked at is found by asking all of them once more for each member.
        if fields.contains_key("unevaluatedProperties") || fields.contains_key("unevaluatedItems") {
            here = here.saturating_mul(size.saturating_add(2));
        }
        let listed = fields.get("enum").and_then(Json::as_array).map_or(0, |values| values.len() as u64);
        let mut total = here.saturating_add(size).saturating_add(listed);
        total = total.saturating_add(self.inside(fields, document)?);
        self.open.remove(&pair);
        self.known.insert(pair, total);
        Ok(total)
    }

    /// What a part says of the values inside a value.
    fn inside(&mut self, fields: &'s serde_json::Map<String, Json>, document: &Json) -> Result<u64, String> {
        let mut total = 0_u64;
        match document {
            Json::Array(items) => {
                for word in ["items", "prefixItems", "additionalItems", "contains", "unevaluatedItems"] {
                    let parts: Vec<&'s Json> = match fields.get(word) {
                        Some(Json::Array(parts)) => parts.iter().collect(),
                        Some(part) => vec![part],
                        None => Vec::new(),
                    };
                    // Which item a part of a list of parts is for is a question of place: all are counted.
                    for part in parts {
                        for item in items {
                            total = total.saturating_add(self.count(part, item, 0)?);
                        }
                    }
                }
            }
            Json::Object(members) => {
                let named = fields.get("properties").and_then(Json::as_object);
                for (name, part) in named.into_iter().flatten() {
                    if let Some(value) = members.get(name) {
                        total = total.saturating_add(self.count(part, value, 0)?);
                    }
                }
                let patterns = fields.get("patternProperties").and_then(Json::as_object);
                let others =
                    ["additionalProperties", "unevaluatedProperties"].into_iter().filter_map(|word| fields.get(word));
                let parts: Vec<&'s Json> =
                    patterns.into_iter().flat_map(|parts| parts.values()).chain(others).collect();
                for part in parts {
                    for value in members.values() {
                        total = total.saturating_add(self.count(part, value, 0)?);
                    }
                }
                if let Some(part) = fields.get("propertyNames") {
                    let one = self.count(part, &Json::Null, 0)?;
                    total = total.saturating_add(one.saturating_mul(members.len() as u64));
                }
            }
            _ => {}
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Result<JsonSchema, String> {
        JsonSchema::parse(text.as_bytes())
    }

    #[test]
    fn a_fault_names_both_places() {
        let text = r#"{"type":"object","required":["score"],"properties":{"score":{"type":"integer","maximum":10}}}"#;
        let schema = schema(text).unwrap();
        assert_eq!(schema.check(br#"{"score": 3}"#).unwrap(), SchemaFaults::default());
        let faults = schema.check(br#"{"score": 11}"#).unwrap();
        let first = &faults.told[0];
        assert_eq!((first.at.as_str(), first.by.as_str()), ("/score", "/properties/score/maximum"));
        assert_eq!(schema.check(b"{}").unwrap().told.len(), 1);
        assert!(schema.check(b"{").is_err());
    }

    #[test]
    fn many_faults_are_bounded() {
        let schema = schema(r#"{"items":{"type":"string"}}"#).unwrap();
        let few = schema.check(format!("[{}]", vec!["1"; 100].join(",")).as_bytes()).unwrap();
        assert_eq!((few.told.len(), few.more), (TOLD, true));
        let many = schema.check(format!("[{}]", vec!["1"; 100_000].join(",")).as_bytes()).unwrap();
        assert_eq!((many.told.len(), many.more), (1, true));
        assert!(schema.check(&vec![b' '; Limits::DOCUMENT_BYTES + 1]).is_err());
    }

    #[test]
    fn what_leads_elsewhere_or_nowhere_is_refused() {
        for text in [
            "[]",
            "{",
            r#"{"type":"strin"}"#,
            r#"{"$ref":"https://example.org/x"}"#,
            r#"{"$ref":"other.json"}"#,
            r#"{"$schema":"https://example.org/dialect"}"#,
            r##"{"$ref":"#/$defs/none"}"##,
            r##"{"$dynamicRef":"#x"}"##,
            r#"{"properties":{"a":{"$id":"https://example.org/x"}}}"#,
            r#"{"pattern":"(?=a)b"}"#,
            r#"{"pattern":"((a{100}){100}){100}"}"#,
        ] {
            assert!(schema(text).is_err(), "{text}");
        }
        assert!(schema(r##"{"$defs":{"a":{"type":"integer"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##).is_ok());
        assert!(
            schema(r#"{"$schema":"http://json-schema.org/draft-07/schema#","$id":"https://example.org/x"}"#).is_ok()
        );
        let patterns: Vec<String> = (0..300).map(|n| format!(r#""p{n}":{{"pattern":"a{n}"}}"#)).collect();
        assert!(schema(&format!(r#"{{"properties":{{{}}}}}"#, patterns.join(","))).is_err());
    }

    #[test]
    fn work_without_end_is_refused_before_it_begins() {
        assert!(schema(r##"{"$ref":"#"}"##).is_err());
        assert!(schema(r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}}"##).is_err());
        let chain: Vec<String> = (0..200).map(|n| format!(r##""a{n}":{{"$ref":"#/$defs/a{}"}}"##, n + 1)).collect();
        assert!(schema(&format!(r#"{{"$defs":{{{},"a200":{{}}}}}}"#, chain.join(","))).is_err());
        // Doubles at each step of one value, at each level of a document, and where what is left is asked for.
        let twice =
            |n: usize| format!(r##""a{n}":{{"allOf":[{{"$ref":"#/$defs/a{0}"}},{{"$ref":"#/$defs/a{0}"}}]}}"##, n + 1);
        let doubling: Vec<String> = (0..28).map(twice).collect();
        let text = format!(r##"{{"$ref":"#/$defs/a0","$defs":{{{},"a28":{{}}}}}}"##, doubling.join(","));
        assert!(schema(&text).unwrap().check(b"1").is_err());
        let deep = schema(r##"{"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}"##).unwrap();
        let nested = format!("{}{}", "[".repeat(60), "]".repeat(60));
        assert!(deep.check(nested.as_bytes()).is_err());
        let nested = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(deep.check(nested.as_bytes()).is_err());
        let rest = |n: usize| format!(r##""a{n}":{{"$ref":"#/$defs/a{}","unevaluatedProperties":false}}"##, n + 1);
        let rest: Vec<String> = (0..30).map(rest).collect();
        let text = format!(r##"{{"$ref":"#/$defs/a0","$defs":{{{},"a30":{{}}}}}}"##, rest.join(","));
        assert!(schema(&text).unwrap().check(br#"{"a":1}"#).is_err());
    }
}
