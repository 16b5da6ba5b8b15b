//! The two lists inside an archive: `META/SHA256SUMS` in the format of coreutils, and
//! `META/manifest.json`; and the content root (in-toto's `dirHash1`). Leaves out SBOMs.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::bundle::content::FileFacts;
use crate::bundle::json::{canonical, element, with_first};
use crate::bundle::provenance::ExternalParameters;
use crate::bundle::spec::Role;
use crate::bundle::stream::Plan;
use crate::bundle::uri;

/// The list of checksums: every other entry of the archive.
pub(crate) const SUMS: &str = "META/SHA256SUMS";
/// The CycloneDX document.
pub(crate) const CYCLONEDX: &str = "META/cyclonedx.json";
/// The manifest.
pub(crate) const MANIFEST: &str = "META/manifest.json";
/// The SPDX document.
pub(crate) const SPDX: &str = "META/spdx.json";
/// All that may stand in `META/`, in the order of the archive.
pub(crate) const META: [&str; 4] = [SUMS, CYCLONEDX, MANIFEST, SPDX];

/// `META/manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleManifest {
    /// [`crate::bundle::MANIFEST_SCHEMA`].
    pub schema: String,
    /// The bundle's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whose it is.
    pub tenant: String,
    /// The graph that made it.
    pub graph: String,
    /// The BLAKE3 digest of the plan.
    #[serde(rename = "planHash")]
    pub plan_hash: String,
    /// How far what is delivered has come.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub level: Option<u64>,
    /// What files are for, by their paths below `out/`; a folder ends in `/`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub roles: BTreeMap<String, Role>,
    /// The digest of all content.
    pub root: ContentRoot,
    /// The files below `out/`, sorted by path.
    pub files: Vec<ManifestFile>,
}

/// The digest of all content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentRoot {
    /// The SHA-256 of the lines `sha256  path` of all files, sorted by path (in-toto `dirHash1`).
    #[serde(rename = "dirHash1")]
    pub dir_hash1: String,
}

/// A file in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its name in the archive.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// `0644` or `0755`.
    pub mode: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its BLAKE3 in hexadecimal.
    pub blake3: String,
}

/// A line of `sha256sum`. Names hold no line feed and no backslash, so none is escaped.
pub(crate) fn sums_line(path: &str, sha256: &[u8; 32]) -> String {
    format!("{}  {path}\n", HEXLOWER.encode(sha256))
}

/// How a manifest is read: its files one by one.
pub(crate) static PLAN: Plan = Plan { arrays: &[&["files"]], without: None, apart: None };

/// A file as it stands in the manifest.
pub(crate) fn file_element(file: &FileFacts, exec: bool) -> Vec<u8> {
    // The members are declared in canonical order, and their texts need no escapes but those that are canonical.
    #[derive(Serialize)]
    struct Element<'a> {
        blake3: String,
        mode: &'a str,
        path: &'a str,
        sha256: String,
        size: u64,
    }
    let mode = if exec { "0755" } else { "0644" };
    let (blake3, sha256) = (file.blake3.hex(), file.sha256_hex());
    element(&Element { blake3, mode, path: &file.path, sha256, size: file.size })
}

/// Whether an element of the manifest says that its file may be executed.
pub(crate) fn says_exec(element: &[u8]) -> bool {
    // `{"blake3":"` and 64 digits come before.
    element.get(76..).is_some_and(|rest| rest.starts_with(b",\"mode\":\"0755\""))
}

impl BundleManifest {
    /// What a file is for, by its name in the archive: what is said of it, or of the nearest folder around it.
    pub fn role(&self, path: &str) -> Option<Role> {
        let path = path.strip_prefix("out/").unwrap_or(path);
        let around = |said: &&String| *said == path || said.ends_with('/') && path.starts_with(said.as_str());
        self.roles.keys().filter(around).max_by_key(|said| said.len()).and_then(|said| self.roles.get(said)).copied()
    }

    /// The manifest that follows from what was asked for and the files, but for the list of these.
    pub(crate) fn of_parts(external: &ExternalParameters, plan_hash: &str, root: &str) -> Self {
        Self {
            schema: uri::MANIFEST_SCHEMA.to_owned(),
            name: external.bundle.name.clone(),
            version: external.bundle.version.clone(),
            tenant: external.tenant.clone(),
            graph: external.graph.clone(),
            plan_hash: plan_hash.to_owned(),
            level: external.bundle.level,
            roles: external.bundle.roles.clone(),
            root: ContentRoot { dir_hash1: root.to_owned() },
            files: Vec::new(),
        }
    }

    /// The bytes of the manifest with these files.
    pub(crate) fn to_json<'a>(&self, files: impl Iterator<Item = (&'a FileFacts, bool)>) -> Vec<u8> {
        let elements = files.map(|(file, exec)| file_element(file, exec));
        with_first(&canonical(self), "files", elements)
    }
}
