//! Types and constraints of parameters, and the check of a value against them: one code path for
//! literals at compile time and for values that arrive later. Leaves out where values come from.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use serde::{Deserialize, Serialize};

use crate::base::{
    Digest, RelPath, format_bytes, format_micro_usd, parse_duration_ms, parse_micro_usd, parse_size_bytes,
};
use crate::lang::Spanned;
use crate::lang::ast::Param;
use crate::lang::order::same;
use crate::lang::program::{DeclId, DeclKind};

/// A type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ty {
    /// `#true` or `#false`.
    Bool,
    /// An integer.
    Int,
    /// Any text.
    String,
    /// A name: a letter or `_`, then letters, digits, `_`, `-`, `.`.
    Ident,
    /// A relative path.
    Path,
    /// A pattern of paths.
    Glob,
    /// A duration, `90s`.
    Dur,
    /// A size, `4GiB`.
    Size,
    /// An amount of dollars as text, `1.50`.
    Money,
    /// A version, `1.2.3`.
    Semver,
    /// A digest, `b3:…`.
    Hash,
    /// A regular expression.
    Regex,
    /// One of a closed set, listed by the parameter's `one-of`.
    Enum,
    /// A list.
    List(Box<Ty>),
    /// Named values of one type.
    Map(Box<Ty>),
    /// The name of a declaration or of a node.
    Name(NameKind),
    /// A type by a name that has not been looked up. Fits everywhere until then.
    Named(Spanned<String>),
    /// Something an action leaves.
    Artifact(ArtifactKind),
    /// Of a declaration whose type was reported as wrong or missing: fits everywhere, so that one
    /// mistake is not reported again at every use.
    Poison,
    /// Named values, each of its own type. Known only when all files are: never written, and last, as those
    /// that are written are numbered.
    #[serde(skip)]
    Record(Arc<RecordTy>),
}

/// A record, with all types of its fields known.
#[derive(Clone, Debug)]
pub struct RecordTy {
    /// Its name.
    pub name: String,
    /// Its declaration, which decides whether two are the same.
    pub id: DeclId,
    /// Its fields.
    pub fields: Vec<Param>,
}

impl PartialEq for RecordTy {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for RecordTy {}

/// What a value of a name type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameKind {
    /// `tool`.
    Tool,
    /// `agent`.
    Agent,
    /// `capability`.
    Capability,
    /// `gate`.
    Gate,
    /// `skill`.
    Skill,
    /// `recipe`.
    Recipe,
    /// `node`, where the value is given.
    Node,
}

impl NameKind {
    /// The kind of declaration; `None` of a node.
    pub fn decl(self) -> Option<DeclKind> {
        Some(match self {
            Self::Tool => DeclKind::Tool,
            Self::Agent => DeclKind::Agent,
            Self::Capability => DeclKind::Capability,
            Self::Gate => DeclKind::Gate,
            Self::Skill => DeclKind::Skill,
            Self::Recipe => DeclKind::Recipe,
            Self::Node => return None,
        })
    }
}

/// A JSON Schema that documents fit, read and found to be one.
#[derive(Clone, Debug)]
pub struct SchemaTy {
    /// Its path as people find it.
    pub path: String,
    /// Its text.
    pub text: Arc<str>,
    /// The same, read.
    pub document: Arc<serde_json::Value>,
    /// The digest of the text, which decides whether two are the same.
    pub digest: Digest,
}

impl PartialEq for SchemaTy {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for SchemaTy {}

/// What kind of artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArtifactKind {
    /// Any file.
    File,
    /// A folder.
    Dir,
    /// A unified diff.
    Diff,
    /// A JSON document.
    Json,
    /// A JSON document that fits a schema which has not been read: its path as written. Fits like any
    /// document until then, and for ever where it cannot be read, which has been reported.
    Unread(Spanned<String>),
    /// A JUnit report.
    Junit,
    /// A text file.
    Text,
    /// An SBOM.
    Sbom,
    /// A picture.
    Image,
    /// A JSON document that fits a schema. As a record, never written, and last.
    #[serde(skip)]
    Fitting(Arc<SchemaTy>),
}

const ARTIFACTS: &[(&str, ArtifactKind)] = &[
    ("file", ArtifactKind::File),
    ("dir", ArtifactKind::Dir),
    ("diff", ArtifactKind::Diff),
    ("json", ArtifactKind::Json),
    ("junit", ArtifactKind::Junit),
    ("text", ArtifactKind::Text),
    ("sbom", ArtifactKind::Sbom),
    ("image", ArtifactKind::Image),
];

const SCALARS: &[(&str, Ty)] = &[
    ("bool", Ty::Bool),
    ("int", Ty::Int),
    ("string", Ty::String),
    ("ident", Ty::Ident),
    ("path", Ty::Path),
    ("glob", Ty::Glob),
    ("dur", Ty::Dur),
    ("size", Ty::Size),
    ("money", Ty::Money),
    ("semver", Ty::Semver),
    ("hash", Ty::Hash),
    ("regex", Ty::Regex),
    ("enum", Ty::Enum),
    ("tool", Ty::Name(NameKind::Tool)),
    ("agent", Ty::Name(NameKind::Agent)),
    ("capability", Ty::Name(NameKind::Capability)),
    ("gate", Ty::Name(NameKind::Gate)),
    ("skill", Ty::Name(NameKind::Skill)),
    ("recipe", Ty::Name(NameKind::Recipe)),
    ("node", Ty::Name(NameKind::Node)),
];

/// The schema that a type names, as in `artifact.json<PATH>`.
pub(crate) fn schema_of(text: &str) -> Option<&str> {
    text.strip_prefix("artifact.json<")?.strip_suffix('>').filter(|path| !path.is_empty())
}

/// Levels of lists and maps in each other.
const NESTED: usize = 4;

impl ArtifactKind {
    /// Whether an artifact of kind `self` may stand where `wanted` is needed: every kind but a
    /// folder is a file.
    pub fn fits(&self, wanted: &ArtifactKind) -> bool {
        match (self, wanted) {
            (Self::Dir, _) => *wanted == Self::Dir,
            (_, Self::File) => true,
            (Self::Fitting(_) | Self::Unread(_), Self::Json)
            | (Self::Unread(_), Self::Fitting(_))
            | (Self::Json | Self::Fitting(_), Self::Unread(_)) => true,
            (have, want) => have == want,
        }
    }

    /// Whether it is a JSON document, of any schema.
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json | Self::Fitting(_) | Self::Unread(_))
    }
}

impl Ty {
    /// Reads a type as written: `string`, `list<ident>`, `artifact.file`. Records are not known here.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, &|_| None)
    }

    /// As `parse`, where a name that is no type of the language may be a record's.
    pub(crate) fn parse_open(written: &Spanned<String>) -> Option<Self> {
        let is_name = |text: &str| {
            text.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
                && !text.starts_with("artifact.")
        };
        let named = |text: &str| Self::Named(Spanned { value: text.to_owned(), span: written.span });
        Self::read(&written.value, &|text| is_name(text).then(|| named(text)))
    }

    fn read(text: &str, other: &dyn Fn(&str) -> Option<Self>) -> Option<Self> {
        // No type is nested deeper, and the text may be a stranger's.
        if text.bytes().filter(|byte| *byte == b'<').take(NESTED + 1).count() > NESTED {
            return None;
        }
        if let Some(inner) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
            // A reference to a node with `for-each` is already several artifacts.
            return match Self::read(inner, other)? {
                Self::Artifact(_) => None,
                inner => Some(Self::List(Box::new(inner))),
            };
        }
        if let Some(inner) = text.strip_prefix("map<").and_then(|rest| rest.strip_suffix('>')) {
            return match Self::read(inner, other)? {
                Self::Artifact(_) => None,
                inner => Some(Self::Map(Box::new(inner))),
            };
        }
        if let Some(kind) = text.strip_prefix("artifact.") {
            // Which schema it names is read by `decode`, which knows where it stands.
            let kind = if schema_of(text).is_some() { "json" } else { kind };
            return ARTIFACTS.iter().find(|(name, _)| *name == kind).map(|(_, kind)| Self::Artifact(kind.clone()));
        }
        SCALARS.iter().find(|(name, _)| *name == text).map(|(_, ty)| ty.clone()).or_else(|| other(text))
    }

    /// Every type name, for suggestions.
    pub fn names() -> Vec<String> {
        let scalars = SCALARS.iter().map(|(name, _)| (*name).to_owned());
        let artifacts = ARTIFACTS.iter().map(|(name, _)| format!("artifact.{name}"));
        scalars.chain(artifacts).chain(["list<string>", "map<string>"].map(str::to_owned)).collect()
    }

    /// Whether a value of type `self` may stand where `wanted` is needed.
    pub fn fits(&self, wanted: &Ty) -> bool {
        match (self, wanted) {
            (Self::Artifact(have), Self::Artifact(want)) => have.fits(want),
            (Self::List(have), Self::List(want)) | (Self::Map(have), Self::Map(want)) => have.fits(want),
            (Self::Poison | Self::Named(_), _) | (_, Self::Poison | Self::Named(_)) => true,
            // Texts are checked by value: every textual type is a set of texts.
            (have, want) if have.textual() && want.textual() => true,
            (have, want) => have == want,
        }
    }

    /// What a value of it is called.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Bool => "a truth value",
            Self::Int => "an integer",
            Self::String | Self::Poison | Self::Named(_) => "a text",
            Self::Ident => "a name",
            Self::Path => "a relative path",
            Self::Glob => "a pattern of paths",
            Self::Dur => "a duration",
            Self::Size => "a size",
            Self::Money => "an amount of money",
            Self::Semver => "a version",
            Self::Hash => "a digest",
            Self::Regex => "a regular expression",
            Self::Enum => "one of a closed set",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Record(_) => "a record",
            Self::Name(NameKind::Tool) => "the name of a tool",
            Self::Name(NameKind::Agent) => "the name of an agent",
            Self::Name(NameKind::Capability) => "the name of a capability",
            Self::Name(NameKind::Gate) => "the name of a gate",
            Self::Name(NameKind::Skill) => "the name of a skill",
            Self::Name(NameKind::Recipe) => "the name of a recipe",
            Self::Name(NameKind::Node) => "the name of a node",
            Self::Artifact(_) => "an artifact",
        }
    }

    /// The schema that documents of it fit.
    pub fn schema(&self) -> Option<&Arc<SchemaTy>> {
        match self {
            Self::Artifact(ArtifactKind::Fitting(schema)) => Some(schema),
            _ => None,
        }
    }

    /// Whether values of this type are written as text.
    pub fn textual(&self) -> bool {
        !matches!(self, Self::Bool | Self::Int | Self::Artifact(_)) && !self.is_compound()
    }

    /// Whether values of this type hold others, so that they are no text themselves.
    pub fn is_compound(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_) | Self::Record(_))
    }

    /// The type of what a map or a record holds under a name.
    pub fn entry(&self, name: &str) -> Option<&Ty> {
        match self {
            Self::Map(inner) => Some(inner),
            Self::Record(record) => record.fields.iter().find(|field| field.name.value == name).map(|field| &field.ty),
            _ => None,
        }
    }

    /// Whether values of this type are names of a kind, or hold such.
    pub(crate) fn names_things(&self) -> bool {
        match self {
            Self::Name(_) => true,
            Self::List(inner) | Self::Map(inner) => inner.names_things(),
            Self::Record(record) => record.fields.iter().any(|field| field.ty.names_things()),
            _ => false,
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Map(inner) => write!(f, "map<{inner}>"),
            Self::Record(record) => f.write_str(&record.name),
            Self::Named(name) => f.write_str(&name.value),
            Self::Artifact(ArtifactKind::Fitting(schema)) => write!(f, "artifact.json<{}>", schema.path),
            Self::Artifact(ArtifactKind::Unread(path)) => write!(f, "artifact.json<{}>", path.value),
            Self::Artifact(kind) => {
                let name = ARTIFACTS.iter().find(|(_, k)| k == kind).map_or("file", |(name, _)| name);
                write!(f, "artifact.{name}")
            }
            Self::Poison => f.write_str("unknown"),
            scalar => f.write_str(SCALARS.iter().find(|(_, ty)| ty == scalar).map_or("string", |(name, _)| name)),
        }
    }
}

/// Constraints of a parameter besides its type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Constraints {
    /// The least: of a duration in milliseconds, of a size in bytes, of money in micro-dollars.
    pub min: Option<i128>,
    /// The most.
    pub max: Option<i128>,
    /// Fewest characters.
    pub min_length: Option<i128>,
    /// Most characters.
    pub max_length: Option<i128>,
    /// A pattern the whole text must match.
    #[serde(with = "pattern")]
    pub matches: Option<Regex>,
    /// Fewest elements of a list, or entries of a map.
    pub min_items: Option<i128>,
    /// Most of them.
    pub max_items: Option<i128>,
    /// The values of an `enum`, and all that a text or a number may be.
    pub one_of: Vec<String>,
    /// Whether the elements of a list must differ.
    pub distinct: bool,
}

impl Constraints {
    /// Those of each value of a list or a map, whatever else they are.
    pub(crate) fn of_values(&self) -> Self {
        Self { min_items: None, max_items: None, distinct: false, ..self.clone() }
    }
}

/// Patterns by their text.
mod pattern {
    use regex::Regex;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(pattern: &Option<Regex>, to: S) -> Result<S::Ok, S::Error> {
        pattern.as_ref().map(Regex::as_str).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Regex>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Regex::new(&text)).transpose().map_err(D::Error::custom)
    }
}

/// How a value breaks a type or a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Of another type: what was found.
    Type(&'static str),
    /// Not a text of this type, with an example of one.
    Form(&'static str),
    /// Outside bounds: how, and by which constraint.
    Bounds(String, &'static str),
    /// Not among these.
    NotOneOf,
}

/// Checks a text against a scalar type and constraints.
pub(crate) fn check_text(ty: &Ty, constraints: &Constraints, text: &str) -> Result<(), Breach> {
    match ty {
        Ty::Bool | Ty::Int | Ty::List(_) | Ty::Map(_) | Ty::Record(_) | Ty::Artifact(_) => {
            return Err(Breach::Type("string"));
        }
        // What a name stands for is looked up where it is given.
        Ty::String | Ty::Name(_) => {}
        Ty::Poison | Ty::Named(_) => return Ok(()),
        Ty::Ident => {
            let mut chars = text.chars();
            let head = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
            if !head || !chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
                return Err(Breach::Form("a name such as `core` or `my-crate`"));
            }
        }
        Ty::Path => {
            if RelPath::new(text).is_err() && text != "." {
                return Err(Breach::Form("a relative path such as `src/main.c`"));
            }
        }
        Ty::Glob => {
            if globset_like(text).is_none() || crate::lang::eval::wildcards(text).is_err() {
                return Err(Breach::Form("a relative pattern such as `src/**/*.c`"));
            }
        }
        Ty::Dur | Ty::Size | Ty::Money => {
            let value = measure(ty, text).ok_or(Breach::Form(match ty {
                Ty::Dur => "a duration such as `90s`, `20m` or `1h30m`",
                Ty::Size => "a size such as `512KiB` or `4GiB`",
                _ => "an amount such as `1.50`",
            }))?;
            let Constraints { min, max, .. } = constraints;
            let beyond = |what: &str, bound: i128, by| {
                Err(Breach::Bounds(format!("`{text}` is {what} than {}", measured(ty, bound)), by))
            };
            match (min, max) {
                (Some(min), _) if value < *min => return beyond("less", *min, "min"),
                (_, Some(max)) if value > *max => return beyond("more", *max, "max"),
                _ => {}
            }
        }
        Ty::Semver => {
            if semver::Version::parse(text).is_err() {
                return Err(Breach::Form("a version such as `1.2.3`"));
            }
        }
        Ty::Hash => {
            text.parse::<Digest>().map_err(|_| Breach::Form("a digest such as `b3:` and 64 hexadecimal digits"))?;
        }
        Ty::Regex => {
            Regex::new(text).map_err(|_| Breach::Form("a regular expression"))?;
        }
        Ty::Enum => {
            if !constraints.one_of.iter().any(|allowed| allowed == text) {
                return Err(Breach::NotOneOf);
            }
        }
    }
    if *ty != Ty::Enum
        && !constraints.one_of.is_empty()
        && !constraints.one_of.iter().any(|allowed| same(ty, allowed, text))
    {
        return Err(Breach::NotOneOf);
    }
    let length = text.chars().count() as i128;
    bounds(length, "its length ", (constraints.min_length, "min-length"), (constraints.max_length, "max-length"))?;
    if let Some(pattern) = &constraints.matches
        && pattern.find(text).is_none_or(|found| found.range() != (0..text.len()))
    {
        return Err(Breach::Bounds(format!("`{text}` does not match `{pattern}`"), "matches"));
    }
    Ok(())
}

/// What a text of a type with units measures, in the least of them.
pub(crate) fn measure(ty: &Ty, text: &str) -> Option<i128> {
    let found = match ty {
        Ty::Dur => parse_duration_ms(text)?,
        Ty::Size => parse_size_bytes(text)?,
        Ty::Money => parse_micro_usd(text)?,
        _ => return None,
    };
    Some(found.into())
}

/// A bound of values of a type, for people.
pub(crate) fn measured(ty: &Ty, bound: i128) -> String {
    let number = u64::try_from(bound).unwrap_or(u64::MAX);
    match ty {
        Ty::Dur => {
            let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
            let whole = units.into_iter().find(|(unit, _)| number > 0 && number.is_multiple_of(*unit));
            whole.map_or_else(|| format!("{number}ms"), |(unit, name)| format!("{}{name}", number / unit))
        }
        Ty::Size => format_bytes(number),
        Ty::Money => format!("${}", format_micro_usd(number)),
        _ => bound.to_string(),
    }
}

/// Checks how many elements or entries there are.
pub(crate) fn check_items(constraints: &Constraints, count: usize) -> Result<(), Breach> {
    let Constraints { min_items, max_items, .. } = constraints;
    bounds(count as i128, "the number of values ", (*min_items, "min-items"), (*max_items, "max-items"))
}

/// Checks an integer against constraints.
pub(crate) fn check_int(constraints: &Constraints, int: i128) -> Result<(), Breach> {
    if !constraints.one_of.is_empty() && !constraints.one_of.iter().any(|allowed| *allowed == int.to_string()) {
        return Err(Breach::NotOneOf);
    }
    bounds(int, "", (constraints.min, "min"), (constraints.max, "max"))
}

type Bound = (Option<i128>, &'static str);

fn bounds(value: i128, what: &str, (min, by_min): Bound, (max, by_max): Bound) -> Result<(), Breach> {
    match (min, max) {
        (Some(min), _) if value < min => Err(Breach::Bounds(format!("{what}{value} is less than {min}"), by_min)),
        (_, Some(max)) if value > max => Err(Breach::Bounds(format!("{what}{value} is more than {max}"), by_max)),
        _ => Ok(()),
    }
}

/// A pattern of paths without its meaning: relative, no `..`, no empty segments.
fn globset_like(text: &str) -> Option<()> {
    let plain = text.replace(['*', '?', '[', ']', '{', '}', '!', ','], "x");
    RelPath::new(&plain).ok().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_and_print_back() {
        for name in Ty::names() {
            assert_eq!(Ty::parse(&name).unwrap().to_string(), name);
        }
        for name in
            ["list<list<int>>", "map<map<int>>", "map<list<int>>", "list<map<enum>>", "list<list<list<list<int>>>>"]
        {
            assert_eq!(Ty::parse(name).unwrap().to_string(), name);
        }
        for name in ["list<artifact.file>", "map<list<artifact.file>>", "list<list<list<list<list<int>>>>>", "list<>"] {
            assert_eq!(Ty::parse(name), None, "{name}");
        }
        assert_eq!(Ty::parse("strin"), None);
    }

    #[test]
    fn texts_are_checked_by_type() {
        let free = Constraints::default();
        assert_eq!(check_text(&Ty::Ident, &free, "core"), Ok(()));
        assert!(check_text(&Ty::Ident, &free, "1core").is_err());
        assert!(check_text(&Ty::Path, &free, "../x").is_err());
        assert_eq!(check_text(&Ty::Glob, &free, "src/**/*.c"), Ok(()));
        assert!(check_text(&Ty::Semver, &free, "1.2").is_err());
        let bounded = Constraints { min: Some(1), max: Some(4), ..Constraints::default() };
        assert!(check_int(&bounded, 5).is_err());
        assert_eq!(check_int(&bounded, 4), Ok(()));
    }

    #[test]
    fn a_folder_is_not_a_file() {
        let file = Ty::Artifact(ArtifactKind::File);
        assert!(Ty::Artifact(ArtifactKind::Junit).fits(&file));
        assert!(!Ty::Artifact(ArtifactKind::Dir).fits(&file));
        assert!(!file.fits(&Ty::Artifact(ArtifactKind::Junit)));
    }
}
