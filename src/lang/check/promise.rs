//! What a JSON Schema promises of the documents that fit it: what stands at a path of a gate, and of which type. Leaves
//! out whether a document fits, which the executor sees to.
//!
//! A schema says what documents have, and rarely that they have nothing else. What it does not say may be there
//! nevertheless; but nobody promised it, and a gate that asks for it says no for as long as it is not. So a name
//! counts as promised where some part of the schema describes it, and where the schema says nothing of names at all.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value as Json};

use crate::diag::{Code, Diagnostic, did_you_mean};
use crate::lang::ast::Name;
use crate::lang::check::scope::some;
use crate::lang::gate::Fact;
use crate::lang::ty::SchemaTy;

/// Parts of a schema that speak of one value, beyond which nothing is said.
const PARTS: usize = 1_000;

/// Names of a message.
const KNOWN: usize = 200;

/// What stands at a path.
pub(super) struct Promised<'s> {
    pub(super) fact: Fact,
    /// The texts that it may be, where these are listed.
    pub(super) one_of: Vec<&'s str>,
}

/// Where a path leads to nothing that is promised.
pub(super) struct Gap<'s> {
    /// Where in the path, in bytes: the part that is not promised.
    at: usize,
    /// What stands before it, where nothing stands in that: as words.
    what: Option<&'static str>,
    /// What is promised there instead.
    known: Vec<&'s str>,
}

/// What stands at a path of documents that fit a schema. `None`: nothing is said of it.
pub(super) fn promised<'s>(schema: &'s SchemaTy, path: &str) -> Result<Option<Promised<'s>>, Gap<'s>> {
    let root = &*schema.document;
    let mut here = vec![root];
    let mut at = 0;
    // Whether there is something may be asked of what nobody promised; what is misspelt is never there.
    let asks = path.ends_with(".@exists");
    for part in path.split('.') {
        let last = at + part.len() == path.len();
        if last && part == "@exists" {
            return Ok(None);
        }
        let Some(speaking) = speaking(root, &here) else { return Ok(None) };
        let types = here.iter().fold(0, |all, part| all | types(root, part, &mut BTreeMap::new()));
        if last && part == "@count" {
            return match types & (LIST | OBJECT) {
                0 => Err(Gap { at, what: Some(word(types)), known: Vec::new() }),
                _ => Ok(Some(Promised { fact: Fact::Count, one_of: Vec::new() })),
            };
        }
        match step(&speaking, types, part) {
            Step::To(next) => here = next,
            Step::Anywhere => return Ok(None),
            Step::Nowhere(None, known) if asks && did_you_mean(part, known.iter().copied()).is_none() => {
                return Ok(None);
            }
            Step::Nowhere(what, known) => return Err(Gap { at, what, known }),
        }
        at += part.len() + 1;
    }
    let types = here.iter().fold(0, |all, part| all | types(root, part, &mut BTreeMap::new()));
    Ok(match types & !NULL {
        FLAG => Some(Promised { fact: Fact::Flag, one_of: Vec::new() }),
        NUMBER => Some(Promised { fact: Fact::Number, one_of: Vec::new() }),
        TEXT => Some(Promised { fact: Fact::Text, one_of: listed(root, &here).unwrap_or_default() }),
        LIST => Some(Promised { fact: Fact::List, one_of: Vec::new() }),
        OBJECT => Some(Promised { fact: Fact::Whole, one_of: Vec::new() }),
        _ => None,
    })
}

/// The names that a schema describes at a path of its documents.
pub(crate) fn names_in<'s>(schema: &'s SchemaTy, path: &str) -> Vec<&'s str> {
    let root = &*schema.document;
    let mut here = vec![root];
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let Some(speaking) = speaking(root, &here) else { return Vec::new() };
        let types = here.iter().fold(0, |all, part| all | types(root, part, &mut BTreeMap::new()));
        match step(&speaking, types, part) {
            Step::To(next) => here = next,
            Step::Anywhere | Step::Nowhere(..) => return Vec::new(),
        }
    }
    let speaking = speaking(root, &here).unwrap_or_default();
    let names = speaking.iter().filter_map(|part| part.get("properties")?.as_object()).flat_map(Map::keys);
    let known: BTreeSet<&str> = names.map(String::as_str).take(KNOWN).collect();
    known.into_iter().collect()
}

/// The diagnostic for a path that leads to nothing promised. `rest`: the path behind the parameter.
pub(super) fn unpromised(gap: &Gap<'_>, path: &Name, rest: &str, schema: &SchemaTy) -> Diagnostic {
    let from = path.value.len() - rest.len() + gap.at;
    let part = rest[gap.at..].split('.').next().unwrap_or_default();
    let before = path.value[..from].trim_end_matches('.');
    let file = &schema.path;
    if let Some(what) = gap.what {
        let help = match what {
            "a list" => format!("say which of its elements: `{before}.*` for every one, `{before}.0` for the first"),
            _ => format!("compare `{before}` itself, or change the schema"),
        };
        let message = format!("by `{file}`, `{before}` is {what}, which has no `{part}`");
        return Diagnostic::new(Code::P0318, path.span, message).with_help(help);
    }
    let near = did_you_mean(part, gap.known.iter().copied());
    let found = Diagnostic::new(
        Code::P0318,
        path.span,
        format!("`{file}` promises no `{part}`{}", if gap.at == 0 { String::new() } else { format!(" in `{before}`") }),
    )
    .with_suggestion_in(&path.value, from..from + part.len(), near);
    let found = if gap.known.is_empty() {
        found
    } else {
        let which = if gap.at == 0 { "it promises" } else { "promised there" };
        found.with_help(format!("{which}: {}", some(&gap.known)))
    };
    found.with_help("to ask for more, say in the schema what it is: `\"properties\": {…}`")
}

/// Types of values, as a set.
type Types = u8;

const NULL: Types = 1;
const FLAG: Types = 2;
const NUMBER: Types = 4;
const TEXT: Types = 8;
const LIST: Types = 16;
const OBJECT: Types = 32;
const ANY: Types = 63;

fn word(types: Types) -> &'static str {
    match types & !NULL {
        FLAG => "a truth value",
        NUMBER => "a number",
        TEXT => "a text",
        LIST => "a list",
        OBJECT => "an object",
        _ => "a single value",
    }
}

fn type_of(value: &Json) -> Types {
    match value {
        Json::Null => NULL,
        Json::Bool(_) => FLAG,
        Json::Number(_) => NUMBER,
        Json::String(_) => TEXT,
        Json::Array(_) => LIST,
        Json::Object(_) => OBJECT,
    }
}

fn named(name: &Json) -> Types {
    match name.as_str() {
        Some("null") => NULL,
        Some("boolean") => FLAG,
        Some("integer" | "number") => NUMBER,
        Some("string") => TEXT,
        Some("array") => LIST,
        Some("object") => OBJECT,
        _ => ANY,
    }
}

/// The types that a value may have by a part of a schema. What contradicts itself may be anything: that is no
/// question of paths.
fn types(root: &Json, part: &Json, known: &mut BTreeMap<usize, Types>) -> Types {
    let Json::Object(part) = part else { return ANY };
    let place = std::ptr::from_ref(part).addr();
    if let Some(known) = known.get(&place) {
        return *known;
    }
    if known.len() > PARTS {
        return ANY;
    }
    known.insert(place, ANY);
    let mut all = match part.get("type") {
        Some(Json::Array(names)) => names.iter().fold(0, |all, name| all | named(name)),
        Some(name) => named(name),
        None => ANY,
    };
    if let Some(values) = part.get("enum").and_then(Json::as_array) {
        all &= values.iter().fold(0, |all, value| all | type_of(value));
    }
    all &= part.get("const").map_or(ANY, type_of);
    if let Some(target) = target(root, part) {
        all &= types(root, target, known);
    }
    for inner in part.get("allOf").and_then(Json::as_array).into_iter().flatten() {
        all &= types(root, inner, known);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(several) = part.get(word).and_then(Json::as_array) {
            all &= several.iter().fold(0, |all, inner| all | types(root, inner, known));
        }
    }
    let all = if all == 0 { ANY } else { all };
    known.insert(place, all);
    all
}

fn target<'s>(root: &'s Json, part: &Map<String, Json>) -> Option<&'s Json> {
    root.pointer(part.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// All parts that speak of the values that some parts speak of. `None`: too many, or one that allows anything.
fn speaking<'s>(root: &'s Json, parts: &[&'s Json]) -> Option<Vec<&'s Map<String, Json>>> {
    let mut open: Vec<&'s Json> = parts.iter().rev().copied().collect();
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    while let Some(part) = open.pop() {
        let Json::Object(part) = part else {
            if *part == Json::Bool(true) && parts.iter().any(|first| std::ptr::eq(*first, part)) {
                return None;
            }
            continue;
        };
        if !seen.insert(std::ptr::from_ref(part).addr()) {
            continue;
        }
        if all.len() >= PARTS {
            return None;
        }
        all.push(part);
        open.extend(target(root, part));
        for word in ["allOf", "anyOf", "oneOf"] {
            open.extend(part.get(word).and_then(Json::as_array).into_iter().flatten());
        }
        open.extend(["if", "then", "else"].into_iter().filter_map(|word| part.get(word)));
        for word in ["dependentSchemas", "dependencies"] {
            open.extend(part.get(word).and_then(Json::as_object).into_iter().flat_map(Map::values));
        }
    }
    Some(all)
}

/// Where a name leads.
enum Step<'s> {
    To(Vec<&'s Json>),
    /// To something of which nothing is said.
    Anywhere,
    /// What stands before it where nothing stands in that, and what is promised instead.
    Nowhere(Option<&'static str>, Vec<&'s str>),
}

/// Words by which a schema speaks of the members of an object.
const OF_MEMBERS: &[&str] = &["properties", "patternProperties", "additionalProperties", "unevaluatedProperties"];

/// Words by which one speaks of the elements of a list.
const OF_ELEMENTS: &[&str] = &["items", "prefixItems", "additionalItems", "unevaluatedItems"];

fn step<'s>(speaking: &[&'s Map<String, Json>], types: Types, name: &str) -> Step<'s> {
    let mut next: Vec<&'s Json> = Vec::new();
    let mut anywhere = false;
    let speaks = |words: &[&str]| speaking.iter().any(|part| words.iter().any(|word| part.contains_key(*word)));
    let (of_members, of_elements) = (speaks(OF_MEMBERS), speaks(OF_ELEMENTS));
    // What says only what elements are, and not that it is a list, means lists; and so with objects.
    let types = match (types & (LIST | OBJECT) == LIST | OBJECT, of_members, of_elements) {
        (true, false, true) => types & !OBJECT,
        (true, true, false) => types & !LIST,
        _ => types,
    };
    if types & OBJECT != 0 {
        for part in speaking {
            anywhere |= members(part, name, &mut next);
        }
        anywhere |= !of_members;
    }
    if types & LIST != 0 && (name == "*" || name.parse::<usize>().is_ok()) {
        for part in speaking {
            anywhere |= elements(part, name, &mut next);
        }
        anywhere |= !of_elements;
    }
    // A part that refuses everything promises nothing.
    next.retain(|part| **part != Json::Bool(false));
    if anywhere {
        return Step::Anywhere;
    }
    if !next.is_empty() {
        return Step::To(next);
    }
    if types & OBJECT == 0 {
        return Step::Nowhere(Some(word(if types & LIST != 0 { LIST } else { types })), Vec::new());
    }
    let names = speaking.iter().filter_map(|part| part.get("properties")?.as_object()).flat_map(Map::keys);
    let known: BTreeSet<&str> = names.map(String::as_str).take(KNOWN).collect();
    Step::Nowhere(None, known.into_iter().collect())
}

/// What a part says of a member. Whether it allows one of which it says nothing.
fn members<'s>(part: &'s Map<String, Json>, name: &str, next: &mut Vec<&'s Json>) -> bool {
    let object = |word: &str| part.get(word).and_then(Json::as_object);
    let before = next.len();
    if name == "*" {
        for word in ["properties", "patternProperties"] {
            next.extend(object(word).into_iter().flat_map(Map::values));
        }
    } else {
        next.extend(object("properties").and_then(|all| all.get(name)));
        for (pattern, part) in object("patternProperties").into_iter().flatten() {
            // One that only readers of JSON Schema understand is given the benefit of the doubt.
            if Regex::new(pattern).is_ok_and(|regex| !regex.is_match(name)) {
                continue;
            }
            next.push(part);
        }
    }
    if name != "*" && next.len() > before {
        return false;
    }
    let required = part.get("required").and_then(Json::as_array).into_iter().flatten();
    let mut anywhere = name != "*" && required.into_iter().any(|required| required.as_str() == Some(name));
    for word in ["additionalProperties", "unevaluatedProperties"] {
        match part.get(word) {
            Some(Json::Bool(true)) => anywhere = true,
            Some(other @ Json::Object(_)) => next.push(other),
            _ => {}
        }
    }
    anywhere
}

/// What a part says of an element. Whether it allows one of which it says nothing.
fn elements<'s>(part: &'s Map<String, Json>, name: &str, next: &mut Vec<&'s Json>) -> bool {
    let before = next.len();
    // Those of each place: `prefixItems`, in older drafts `items`.
    for word in ["prefixItems", "items"] {
        let Some(places) = part.get(word).and_then(Json::as_array) else { continue };
        match name.parse::<usize>() {
            Ok(number) => next.extend(places.get(number)),
            Err(_) => next.extend(places),
        }
    }
    if name != "*" && next.len() > before {
        return false;
    }
    let mut anywhere = false;
    for word in ["items", "additionalItems", "unevaluatedItems"] {
        match part.get(word) {
            Some(Json::Bool(true)) => anywhere = true,
            Some(other @ Json::Object(_)) => next.push(other),
            _ => {}
        }
    }
    anywhere
}

/// The texts that a value may be. `None` where some part of what speaks of it lists none.
fn listed<'s>(root: &'s Json, parts: &[&'s Json]) -> Option<Vec<&'s str>> {
    let mut all = Vec::new();
    for part in parts {
        let speaking = speaking(root, &[part])?;
        // One of several may be another.
        if speaking.iter().any(|part| part.contains_key("anyOf") || part.contains_key("oneOf")) {
            return None;
        }
        let listed = speaking.iter().find_map(|part| part.get("enum")?.as_array())?;
        all.extend(listed.iter().filter_map(Json::as_str));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Digest;

    fn of(schema: &str, path: &str) -> String {
        let document = Arc::new(serde_json::from_str(schema).unwrap());
        let digest = Digest::of_blob(schema.as_bytes());
        let schema = SchemaTy { path: "s.json".to_owned(), text: Arc::from(schema), document, digest };
        match promised(&schema, path) {
            Ok(Some(Promised { fact, one_of })) => format!("{fact:?} {}", one_of.join("|")).trim().to_owned(),
            Ok(None) => "open".to_owned(),
            Err(Gap { at, what, known }) => format!("no {} {}", &path[at..], what.unwrap_or(&known.join("|"))),
        }
    }

    const REPORT: &str = r##"{
        "type": "object",
        "properties": {
            "score": {"type": ["number", "null"]},
            "level": {"enum": ["low", "high"]},
            "runs": {"type": "array", "items": {"$ref": "#/$defs/run"}},
            "free": true,
            "by": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}
        },
        "$defs": {"run": {"allOf": [{"properties": {"ms": {"type": "integer"}}}, {"properties": {"ok": {"type": "boolean"}}}]}}
    }"##;

    #[test]
    fn paths_lead_through_a_schema() {
        for (path, found) in [
            ("score", "Number"),
            ("level", "Text low|high"),
            ("runs", "List"),
            ("runs.@count", "Count"),
            ("runs.0.ms", "Number"),
            ("runs.*.ok", "Flag"),
            ("runs.*.no", "no no ms|ok"),
            ("runs.ms", "no ms a list"),
            ("free.x.y", "open"),
            ("by", "Whole"),
            ("by.ana", "Flag"),
            ("by.*", "Flag"),
            ("pair.0", "Text"),
            ("pair.1", "Number"),
            ("scor", "no scor by|free|level|pair|runs|score"),
            ("scor.@exists", "no scor.@exists by|free|level|pair|runs|score"),
            ("score.@exists", "open"),
            ("error.@exists", "open"),
            ("score.x", "no x a number"),
            ("score.@count", "no @count a number"),
        ] {
            assert_eq!(of(REPORT, path), found, "{path}");
        }
    }

    #[test]
    fn what_says_nothing_promises_anything() {
        for schema in ["{}", r#"{"type":"object"}"#, r#"{"additionalProperties":true,"properties":{"b":{}}}"#] {
            assert_eq!(of(schema, "a.b"), "open", "{schema}");
        }
        assert_eq!(of(r#"{"properties":{"b":{}}}"#, "a"), "no a b");
        assert_eq!(of(r#"{"properties":{"b":{}},"required":["a"]}"#, "a"), "open");
        assert_eq!(of(r#"{"patternProperties":{"^x":{"type":"string"}}}"#, "xa"), "Text");
        assert_eq!(of(r#"{"patternProperties":{"^x":{"type":"string"}}}"#, "a"), "no a ");
        assert_eq!(of(r#"{"oneOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"b":{}}}]}"#, "a"), "Text");
        assert_eq!(of(r#"{"type":"array"}"#, "*.a"), "open");
    }

    #[test]
    fn schemas_that_lead_in_circles_end() {
        let tree = r##"{"properties":{"next":{"$ref":"#"},"name":{"type":"string"}}}"##;
        assert_eq!(of(tree, "next.next.next.name"), "Text");
        assert_eq!(of(tree, "next.next.nam"), "no nam name|next");
    }
}
