//! What a bundle is made from: plain data that the caller fills from a plan and its run. Leaves out
//! how results came to be and where their bytes lie.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, RelPath};
use crate::bundle::error::Error;
use crate::bundle::names::Names;
use crate::bundle::uri;
use crate::plan::Isolation;

/// 1980-01-01 00:00:00 UTC: the date of a bundle unless its caller knows better.
pub const DEFAULT_EPOCH: u64 = 315_532_800;
/// 9999-12-30 22:00:00 UTC, the last moment the calendar can show in every time zone.
const LAST_EPOCH: u64 = 253_402_207_200;

/// Everything a bundle depends on. The bytes of the archive are a function of this, and so are the
/// statements about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleSpec {
    /// The bundle's name: letters, digits, `-`, `_`, `.` and `+`.
    pub name: String,
    /// Its version, of the same characters.
    pub version: String,
    /// Whose it is.
    pub tenant: String,
    /// The graph that made it.
    pub graph: String,
    /// The parameters of the graph that were given, by name.
    pub parameters: BTreeMap<String, String>,
    /// Where the specs lie, where that is known.
    pub source: Option<Source>,
    /// The digest of the plan.
    pub plan: Digest,
    /// The files, by their paths below `out/`.
    pub files: BTreeMap<RelPath, BundleFile>,
    /// The tools that were used.
    pub tools: Vec<ToolUse>,
    /// What else went in: inputs of the workspace, things fetched by digest.
    pub inputs: Vec<Dependency>,
    /// Packages of others that the specs rest on.
    pub packages: Vec<SpecPackage>,
    /// The root digest of the lock file over these, in hexadecimal.
    pub lock: Option<String>,
    /// The weakest isolation under which any of it was made.
    pub isolation: Isolation,
    /// The date in the documents, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub source_date_epoch: u64,
    /// Packages that went in, as lock files name them.
    pub components: Vec<Component>,
    /// What it is for its reader.
    pub profile: Profile,
    /// What was judged and who served while it was made.
    pub work: Work,
}

/// What was judged and who served while a bundle was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The gates that were passed, by address.
    pub gates: Vec<GateUse>,
    /// Who was chosen for what, by the plan.
    pub served: Vec<Served>,
}

/// A gate that was passed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateUse {
    /// Its address: `NODE/guard/NAME`.
    pub address: String,
    /// Its kind, as specs have it.
    pub kind: String,
    /// The gate's name, as specs have it.
    pub name: String,
}

/// A tool or an agent that was chosen to do work, and what it costs at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// The agent that asks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// How many actions it serves.
    pub actions: u64,
    /// The most that all of them cost together, in micro-dollars.
    #[serde(rename = "atMostMicroUsd")]
    pub at_most: u64,
    /// The capability that was asked for; none for an agent's own work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capability: Option<String>,
    /// Who serves.
    pub chosen: String,
    /// `tool` or `agent`.
    pub kind: String,
    /// The model, of an agent whose provider has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// How the price comes about.
    pub price: String,
    /// `primary` or `secondary`.
    pub tier: String,
}

/// What a bundle is for its reader, besides its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// How far what is delivered has come, by the reckoning of its tenant.
    pub level: Option<u64>,
    /// What files are for, by their paths below `out/`; a folder ends in `/`.
    pub roles: BTreeMap<String, Role>,
    /// The version of its CycloneDX document.
    pub cyclonedx: CycloneDx,
}

/// What files of a bundle are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// How to operate what is delivered.
    Guide,
    /// A result card: what was done, in short, and what comes next.
    Card,
    /// Results of tests.
    Tests,
    /// Results of measurements.
    Performance,
    /// Results of scans.
    Security,
    /// Pictures.
    Screenshots,
    /// Another report.
    Report,
}

impl Role {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Guide, Self::Card, Self::Tests, Self::Performance, Self::Security, Self::Screenshots, Self::Report];

    /// The word in specs and documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Guide => "guide",
            Self::Card => "card",
            Self::Tests => "tests",
            Self::Performance => "performance",
            Self::Security => "security",
            Self::Screenshots => "screenshots",
            Self::Report => "report",
        }
    }

    /// The role of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// A version of CycloneDX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CycloneDx {
    /// 1.6 (ECMA-424, first edition).
    #[default]
    V1_6,
    /// 1.7 (ECMA-424, second edition).
    V1_7,
}

impl CycloneDx {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V1_6, Self::V1_7];

    /// Its `specVersion`.
    pub fn word(self) -> &'static str {
        match self {
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
        }
    }

    /// The version of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.word() == word)
    }
}

/// A file of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be executed.
    pub exec: bool,
}

/// Where specs lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The repository: `git+https://…`.
    pub repository: String,
    /// The branch or tag that was asked for: `refs/heads/main`.
    pub reference: Option<String>,
    /// The commit it led to, in hexadecimal.
    pub commit: Option<String>,
}

/// A tool that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// The name in specs.
    pub name: String,
    /// What the tool says of its version. Only the first line is used in SBOMs.
    pub version: String,
    /// Who supplies it.
    pub supplier: Option<String>,
    /// The program as declared: a name looked up or a path of the workspace; never a path of the host.
    pub executable: String,
    /// What it was keyed by.
    pub identity: ToolIdentity,
}

/// What a tool was keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolIdentity {
    /// The digest of the executable's bytes.
    Executable(Digest),
    /// The digest of what the tool printed when asked who it is.
    Fingerprint(Digest),
}

/// Something that went in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Its name: a path of the workspace, or an address.
    pub name: String,
    /// Where it can be had.
    pub uri: Option<String>,
    /// Its digests by the names of the in-toto digest set, in hexadecimal; `blake3` for ours.
    pub digests: BTreeMap<String, String>,
}

impl Dependency {
    /// An input of the workspace, known by its digest.
    pub fn blob(name: impl Into<String>, digest: Digest) -> Self {
        Self { name: name.into(), uri: None, digests: [("blake3".to_owned(), digest.hex())].into() }
    }
}

/// A package of others that specs rest on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpecPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from.
    pub source: String,
    /// The digest of its files, in hexadecimal.
    pub tree: String,
    /// What it was granted, as words.
    pub grants: Vec<String>,
}

/// A package found in a lock file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// The type of its package URL: `cargo`, `npm`.
    pub kind: String,
    /// Its name, with its scope where it has one.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest as the lock file has it: the algorithm as SPDX writes it (`SHA256`), hexadecimal.
    pub checksum: Option<(String, String)>,
    /// Who supplies it, where known.
    pub supplier: Option<String>,
}

impl Component {
    /// The package URL.
    pub fn purl(&self) -> String {
        uri::purl(&self.kind, &self.name, &self.version)
    }
}

impl ToolUse {
    /// The first line of the version that says something.
    pub(crate) fn version_line(&self) -> &str {
        self.version.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// The package URL.
    pub(crate) fn purl(&self) -> String {
        uri::purl("generic", &self.name.replace('/', "-"), self.version_line())
    }
}

impl BundleSpec {
    /// The name of the archive.
    pub fn file_name(&self) -> String {
        archive_name(&self.name, &self.version)
    }

    /// Checks everything that can be checked without reading content.
    pub fn check(&self) -> Result<(), Error> {
        check_word("name", &self.name)?;
        check_word("version", &self.version)?;
        check_text("tenant", &self.tenant)?;
        check_text("graph", &self.graph)?;
        for name in self.parameters.keys() {
            check_text("parameter", name)?;
        }
        if self.source_date_epoch > LAST_EPOCH {
            return Err(Error::Date(self.source_date_epoch));
        }
        if self.files.is_empty() {
            return Err(Error::Empty(self.name.clone()));
        }
        let mut names = Names::default();
        names.add(&self.file_name())?;
        let mut names = Names::default();
        for path in self.files.keys() {
            names.add(&payload_path(path))?;
        }
        for path in self.profile.roles.keys() {
            check_text("role's path", path)?;
        }
        for tool in &self.tools {
            check_text("tool", &tool.name)?;
        }
        for component in &self.components {
            check_text("component", &component.name)?;
            check_text("component version", &component.version)?;
        }
        Ok(())
    }
}

/// The name of an archive.
pub(crate) fn archive_name(name: &str, version: &str) -> String {
    format!("{name}-{version}.zip")
}

/// Where a file lies in the archive.
pub(crate) fn payload_path(path: &RelPath) -> String {
    format!("out/{path}")
}

fn check_word(what: &'static str, text: &str) -> Result<(), Error> {
    let why = if text.is_empty() || text.len() > 100 {
        "1 to 100 characters are needed"
    } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c)) {
        "only letters, digits, `-`, `_`, `.` and `+` are allowed"
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it must start with a letter or a digit"
    } else {
        return Ok(());
    };
    Err(Error::Field { what, text: text.to_owned(), why })
}

fn check_text(what: &'static str, text: &str) -> Result<(), Error> {
    let why = if text.trim().is_empty() || text.len() > 1000 {
        "1 to 1000 bytes are needed"
    } else if text.chars().any(char::is_control) {
        "control characters are not allowed"
    } else {
        return Ok(());
    };
    Err(Error::Field { what, text: text.to_owned(), why })
}
