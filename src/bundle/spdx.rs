//! The SPDX 2.3 document of a bundle, and its check against an archive. Describes the payload, the
//! tools and the packages that went in; never the archive itself. Without BLAKE3: validators refuse a
//! right one. Format: SPDX Specification 2.3, JSON serialisation. Leaves out licences.

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::bundle::content::FileFacts;
use crate::bundle::json::{canonical, element, parse_small, with_first, with_last, with_member};
use crate::bundle::sbom::{List, content_uuid, date, seconds};
use crate::bundle::spec::{BundleSpec, Component, ToolUse};
use crate::bundle::stream::{Plan, Splitter};
use crate::bundle::uri;

const NONE: &str = "NOASSERTION";

/// The canonical bytes of the document.
pub(crate) fn spdx_document(spec: &BundleSpec, files: &[FileFacts]) -> Vec<u8> {
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-Bundle",
        "name": spec.name,
        "versionInfo": spec.version,
        "supplier": format!("Organization: {}", spec.tenant),
        "downloadLocation": NONE,
        "filesAnalyzed": true,
        "packageVerificationCode": {"packageVerificationCodeValue": verification_code(files)},
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "ARCHIVE",
        "externalRefs": [purl_ref(&uri::purl("generic", &spec.name, &spec.version))],
    })];
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Bundle")];
    for (at, tool) in spec.tools.iter().enumerate() {
        packages.push(tool_package(at, tool));
        relationships.push(relationship(&format!("SPDXRef-Tool-{at}"), "BUILD_TOOL_OF", "SPDXRef-Bundle"));
    }
    for (at, component) in spec.components.iter().enumerate() {
        packages.push(component_package(at, component));
        relationships.push(relationship("SPDXRef-Bundle", "DEPENDS_ON", &format!("SPDXRef-Component-{at}")));
    }
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", spec.name, spec.version),
        "creationInfo": {
            "created": date(spec.source_date_epoch),
            "creators": ["Tool: partita", format!("Organization: {}", spec.tenant)],
        },
        "packages": packages,
        "files": [],
        "relationships": relationships,
    });
    let listed = files.iter().enumerate().map(|(at, file)| file_element(at as u64, file));
    let document = with_first(&canonical(&document), "files", listed);
    let document = with_last(&document, "spdxVersion", (0..files.len()).map(|at| contains_element(at as u64)));
    let namespace = namespace(blake3::hash(&document), &spec.name, &spec.version);
    with_member(&document, "files", &format!("\"documentNamespace\":\"{namespace}\""))
}

fn namespace(identity: blake3::Hash, name: &str, version: &str) -> String {
    format!("{}{}-{}-{}", uri::SPDX_NAMESPACE, uri::percent(name), uri::percent(version), content_uuid(identity))
}

/// A file as it stands in the document, by its number.
pub(crate) fn file_element(at: u64, file: &FileFacts) -> Vec<u8> {
    // The members are declared in canonical order.
    #[derive(Serialize)]
    struct Element {
        #[serde(rename = "SPDXID")]
        id: String,
        checksums: [Checksum; 2],
        #[serde(rename = "fileName")]
        file_name: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Checksum {
        algorithm: &'static str,
        checksum_value: String,
    }
    element(&Element {
        id: format!("SPDXRef-File-{at}"),
        checksums: [
            Checksum { algorithm: "SHA1", checksum_value: file.sha1_hex() },
            Checksum { algorithm: "SHA256", checksum_value: file.sha256_hex() },
        ],
        file_name: format!("./{}", file.path),
    })
}

/// How all relationships to files begin, and no others.
const TO_FILE: &[u8] = b"{\"relatedSpdxElement\":\"SPDXRef-File-";

/// The relationship of the bundle to a file, by its number.
pub(crate) fn contains_element(at: u64) -> Vec<u8> {
    let mut out = TO_FILE.to_vec();
    out.extend(format!("{at}\",\"relationshipType\":\"CONTAINS\",\"spdxElementId\":\"SPDXRef-Bundle\"}}").bytes());
    out
}

fn tool_package(at: usize, tool: &ToolUse) -> Value {
    json!({
        "SPDXID": format!("SPDXRef-Tool-{at}"),
        "name": tool.name,
        "versionInfo": non_empty(tool.version_line()),
        "supplier": supplier(tool.supplier.as_deref()),
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "APPLICATION",
        "externalRefs": [purl_ref(&tool.purl())],
    })
}

fn component_package(at: usize, component: &Component) -> Value {
    let mut package = json!({
        "SPDXID": format!("SPDXRef-Component-{at}"),
        "name": component.name,
        "versionInfo": component.version,
        "supplier": supplier(component.supplier.as_deref()),
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [purl_ref(&component.purl())],
    });
    if let Some((algorithm, value)) = &component.checksum {
        package["checksums"] = json!([{"algorithm": algorithm, "checksumValue": value}]);
    }
    package
}

fn supplier(name: Option<&str>) -> String {
    name.map_or_else(|| NONE.to_owned(), |name| format!("Organization: {name}"))
}

fn non_empty(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

fn purl_ref(purl: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl})
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Section 7.9 of SPDX 2.3: the SHA-1 of the sorted SHA-1s of the files.
fn verification_code(files: &[FileFacts]) -> String {
    code_of(files.iter().map(|file| file.sha1).collect())
}

fn code_of(mut hashes: Vec<[u8; 20]>) -> String {
    hashes.sort_unstable();
    let mut all = Sha1::new();
    for hash in hashes {
        all.update(HEXLOWER.encode(&hash));
    }
    HEXLOWER.encode(&all.finalize())
}

/// How a document is read: files, relationships and packages one by one.
static PLAN: Plan =
    Plan { arrays: &[&["files"], &["packages"], &["relationships"]], without: Some("documentNamespace"), apart: None };

/// Reads a document as it streams, and compares it with the files that come after it.
pub(crate) struct SpdxReader {
    splitter: Splitter,
    lists: SpdxLists,
    hashes: Vec<[u8; 20]>,
}

#[derive(Default)]
struct SpdxLists {
    files: List,
    contains: List,
    /// The first package, which is the bundle.
    package: Option<Value>,
}

impl SpdxLists {
    fn take(&mut self, which: usize, element: &[u8]) -> Result<(), String> {
        match which {
            0 => self.files.found(element)?,
            1 if self.package.is_none() => {
                self.package = Some(parse_small(element)?);
            }
            2 if element.starts_with(TO_FILE) => self.contains.found(element)?,
            2 if !self.contains.is_empty() => {
                return Err("a relationship to no file is behind those to files".to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

impl SpdxReader {
    pub(crate) fn new() -> Self {
        Self { splitter: Splitter::new(&PLAN), lists: SpdxLists::default(), hashes: Vec::new() }
    }

    /// More of the document.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        let lists = &mut self.lists;
        self.splitter.feed(bytes, &mut |which, element| lists.take(which, element))
    }

    /// The next file of the bundle.
    pub(crate) fn due(&mut self, at: u64, file: &FileFacts) {
        self.lists.files.due(&file_element(at, file), &file.path);
        self.lists.contains.due(&contains_element(at), &file.path);
        self.hashes.push(file.sha1);
    }

    /// Checks that the document is about exactly these files, and that its identity derives from its content.
    pub(crate) fn finish(self) -> Result<SpdxFound, String> {
        let Self { splitter, mut lists, hashes } = self;
        let parts = splitter.finish(&mut |which, element| lists.take(which, element))?;
        let rest: Value = serde_json::from_slice(&parts.rest).map_err(|error| error.to_string())?;
        if rest["spdxVersion"] != "SPDX-2.3" {
            return Err("it is not SPDX 2.3".to_owned());
        }
        let package = lists.package.unwrap_or_default();
        if package["packageVerificationCode"]["packageVerificationCodeValue"] != code_of(hashes) {
            return Err("its package verification code is not that of the files".to_owned());
        }
        lists.files.check()?;
        lists.contains.check()?;
        Ok(SpdxFound { rest, package, identity: parts.identity })
    }
}

/// A document whose lists are right.
pub(crate) struct SpdxFound {
    rest: Value,
    package: Value,
    identity: blake3::Hash,
}

impl SpdxFound {
    /// Checks that it is of this bundle.
    pub(crate) fn check(&self, name: &str, version: &str) -> Result<(), String> {
        if self.rest["documentNamespace"] != namespace(self.identity, name, version) {
            return Err("its namespace does not derive from its content".to_owned());
        }
        if self.package["name"] != name || self.package["versionInfo"] != version {
            return Err(format!("it does not describe `{name}` {version}"));
        }
        Ok(())
    }

    /// The date in it, in seconds since 1970.
    pub(crate) fn date(&self) -> Option<u64> {
        self.rest["creationInfo"]["created"].as_str().and_then(seconds)
    }
}
