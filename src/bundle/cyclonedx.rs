//! The CycloneDX document of a bundle, and its check against an archive. Describes the payload,
//! the tools (excluded from the delivery) and the packages that went in. Versions 1.6 and 1.7 (ECMA-424), alike in all that is used here. Leaves out
//! licences, vulnerabilities and the time.

use serde::Serialize;
use serde_json::{Value, json};

use crate::bundle::content::FileFacts;
use crate::bundle::json::{canonical, element, parse_small, with_first, with_member};
use crate::bundle::sbom::{List, content_uuid};
use crate::bundle::spec::{BundleSpec, Component, CycloneDx, ToolIdentity, ToolUse};
use crate::bundle::stream::{Plan, Splitter};
use crate::bundle::uri;

/// The canonical bytes of the document.
pub(crate) fn cyclonedx_document(spec: &BundleSpec, files: &[FileFacts]) -> Vec<u8> {
    let mut components: Vec<Value> = spec.tools.iter().enumerate().map(|(at, tool)| tool_component(at, tool)).collect();
    components.extend(spec.components.iter().enumerate().map(|(at, component)| library(at, component)));
    let needed: Vec<String> = (0..spec.components.len()).map(library_ref).collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": spec.profile.cyclonedx.word(),
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "bundle",
                "name": spec.name,
                "version": spec.version,
                "purl": uri::purl("generic", &spec.name, &spec.version),
                "supplier": {"name": spec.tenant},
            },
            "supplier": {"name": spec.tenant},
        },
        "components": components,
        "dependencies": [{"ref": "bundle", "dependsOn": needed}],
    });
    let document = with_first(&canonical(&document), "components", files.iter().map(file_element));
    let serial = serial(blake3::hash(&document));
    with_member(&document, "specVersion", &format!("\"serialNumber\":\"{serial}\""))
}

fn serial(identity: blake3::Hash) -> String {
    format!("urn:uuid:{}", content_uuid(identity))
}

/// How all components that are files begin, and no others.
const FILE: &[u8] = b"{\"bom-ref\":\"file:";

/// A file as it stands in the document.
fn file_element(file: &FileFacts) -> Vec<u8> {
    // The members are declared in canonical order.
    #[derive(Serialize)]
    struct Element<'a> {
        #[serde(rename = "bom-ref")]
        reference: String,
        hashes: [Hash; 2],
        name: &'a str,
        r#type: &'static str,
    }
    #[derive(Serialize)]
    struct Hash {
        alg: &'static str,
        content: String,
    }
    element(&Element {
        reference: format!("file:{}", file.path),
        hashes: [
            Hash { alg: "SHA-256", content: file.sha256_hex() },
            Hash { alg: "BLAKE3", content: file.blake3.hex() },
        ],
        name: &file.path,
        r#type: "file",
    })
}

fn tool_component(at: usize, tool: &ToolUse) -> Value {
    let mut component = json!({
        "type": "application",
        "bom-ref": format!("tool:{at}"),
        "name": tool.name,
        "version": tool.version_line(),
        "purl": tool.purl(),
        "scope": "excluded",
        "properties": [{"name": "partita:executable", "value": tool.executable}],
    });
    match tool.identity {
        ToolIdentity::Executable(digest) => {
            component["hashes"] = json!([{"alg": "BLAKE3", "content": digest.hex()}]);
        }
        ToolIdentity::Fingerprint(digest) => {
            let property = json!({"name": "partita:fingerprint", "value": digest.hex()});
            component["properties"].as_array_mut().expect("made as a list above").push(property);
        }
    }
    if let Some(supplier) = &tool.supplier {
        component["supplier"] = json!({"name": supplier});
    }
    component
}

fn library_ref(at: usize) -> String {
    format!("component:{at}")
}

fn library(at: usize, component: &Component) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": library_ref(at),
        "name": component.name,
        "version": component.version,
        "purl": component.purl(),
    });
    if let Some((algorithm, hex)) = &component.checksum {
        // CycloneDX writes `SHA-256` where SPDX writes `SHA256`.
        let algorithm = algorithm.replace("SHA", "SHA-");
        value["hashes"] = json!([{"alg": algorithm, "content": hex}]);
    }
    if let Some(supplier) = &component.supplier {
        value["supplier"] = json!({"name": supplier});
    }
    value
}

/// How a document is read: components one by one, and what needs what.
static PLAN: Plan = Plan { arrays: &[&["components"], &["dependencies"]], without: Some("serialNumber"), apart: None };

/// Reads a document as it streams, and compares it with the files that come after it.
pub(crate) struct CycloneDxReader {
    splitter: Splitter,
    lists: CycloneDxLists,
}

struct CycloneDxLists {
    files: List,
    /// Components that are no files: whether there were any, and if they are wanted, all.
    any_other: bool,
    others: Option<Vec<Value>>,
    other_bytes: usize,
}

/// Bytes of components that are kept: those of some 100,000 packages.
const OTHERS: usize = 64 * 1024 * 1024;

impl CycloneDxLists {
    fn take(&mut self, which: usize, element: &[u8]) -> Result<(), String> {
        if which > 0 {
            return Ok(());
        }
        if element.starts_with(FILE) {
            if self.any_other {
                return Err("a file is behind components that are none".to_owned());
            }
            return self.files.found(element);
        }
        let other = parse_small(element)?;
        if other["type"] == "file" {
            return Err("it lists a file that is not there".to_owned());
        }
        self.any_other = true;
        if let Some(others) = &mut self.others {
            self.other_bytes += element.len();
            if self.other_bytes > OTHERS {
                return Err(format!("its tools and packages take more than {OTHERS} bytes"));
            }
            others.push(other);
        }
        Ok(())
    }
}

impl CycloneDxReader {
    /// With `keep`, components that are no files are kept.
    pub(crate) fn new(keep: bool) -> Self {
        let lists =
            CycloneDxLists { files: List::default(), any_other: false, others: keep.then(Vec::new), other_bytes: 0 };
        Self { splitter: Splitter::new(&PLAN), lists }
    }

    /// More of the document.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        let lists = &mut self.lists;
        self.splitter.feed(bytes, &mut |which, element| lists.take(which, element))
    }

    /// The next file of the bundle.
    pub(crate) fn due(&mut self, file: &FileFacts) {
        self.lists.files.due(&file_element(file), &file.path);
    }

    /// Checks that the document is about exactly these files, and that its identity derives from its content.
    pub(crate) fn finish(self) -> Result<CycloneDxFound, String> {
        let Self { splitter, mut lists } = self;
        let parts = splitter.finish(&mut |which, element| lists.take(which, element))?;
        let rest: Value = serde_json::from_slice(&parts.rest).map_err(|error| error.to_string())?;
        let format = rest["specVersion"].as_str().and_then(CycloneDx::of_word);
        let Some(format) = format.filter(|_| rest["bomFormat"] == "CycloneDX") else {
            return Err("it is neither CycloneDX 1.6 nor 1.7".to_owned());
        };
        if rest["serialNumber"] != serial(parts.identity) {
            return Err("its serial number does not derive from its content".to_owned());
        }
        lists.files.check()?;
        Ok(CycloneDxFound { rest, format, others: lists.others.unwrap_or_default() })
    }
}

/// A document whose list of files is right.
pub(crate) struct CycloneDxFound {
    rest: Value,
    /// Its version.
    pub(crate) format: CycloneDx,
    /// Components that are no files, if they were wanted.
    pub(crate) others: Vec<Value>,
}

impl CycloneDxFound {
    /// Checks that it is of this bundle.
    pub(crate) fn check(&self, name: &str, version: &str) -> Result<(), String> {
        let component = &self.rest["metadata"]["component"];
        if component["name"] != name || component["version"] != version {
            return Err(format!("it does not describe `{name}` {version}"));
        }
        Ok(())
    }
}
