//! The SPDX 2.3 document of a bundle, and its check against an archive. Describes the payload, the
//! tools and the packages that went in; never the archive itself. Without BLAKE3: validators refuse a
//! right one. Format: SPDX Specification 2.3, JSON serialisation. Leaves out licences.

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::bundle::content::FileFacts;
use crate::bundle::json::{canonical, parse_canonical};
use crate::bundle::sbom::{compare_files, content_uuid, date};
use crate::bundle::spec::{BundleSpec, Component, ToolUse};
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
    let mut listed = Vec::new();
    for (at, file) in files.iter().enumerate() {
        listed.push(json!({
            "SPDXID": format!("SPDXRef-File-{at}"),
            "fileName": format!("./{}", file.path),
            "checksums": [
                {"algorithm": "SHA1", "checksumValue": file.sha1_hex()},
                {"algorithm": "SHA256", "checksumValue": file.sha256_hex()},
            ],
        }));
        relationships.push(relationship("SPDXRef-Bundle", "CONTAINS", &format!("SPDXRef-File-{at}")));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", spec.name, spec.version),
        "creationInfo": {
            "created": date(spec.source_date_epoch),
            "creators": ["Tool: partita", format!("Organization: {}", spec.tenant)],
        },
        "packages": packages,
        "files": listed,
        "relationships": relationships,
    });
    let namespace = namespace(&document, &spec.name, &spec.version);
    document["documentNamespace"] = Value::String(namespace);
    canonical(&document)
}

fn namespace(document: &Value, name: &str, version: &str) -> String {
    format!("{}{}-{}-{}", uri::SPDX_NAMESPACE, uri::percent(name), uri::percent(version), content_uuid(document))
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
    let mut hashes: Vec<String> = files.iter().map(FileFacts::sha1_hex).collect();
    hashes.sort_unstable();
    data_encoding::HEXLOWER.encode(&Sha1::digest(hashes.concat()))
}

/// Checks that a document is about exactly these files of this bundle.
pub(crate) fn check_spdx(bytes: &[u8], name: &str, version: &str, files: &[FileFacts]) -> Result<(), String> {
    let mut document = parse_canonical(bytes)?;
    if document["spdxVersion"] != "SPDX-2.3" {
        return Err("it is not SPDX 2.3".to_owned());
    }
    let claimed = document.as_object_mut().and_then(|object| object.remove("documentNamespace"));
    if claimed != Some(Value::String(namespace(&document, name, version))) {
        return Err("its namespace does not derive from its content".to_owned());
    }
    let package = &document["packages"][0];
    if package["name"] != name || package["versionInfo"] != version {
        return Err(format!("it does not describe `{name}` {version}"));
    }
    if package["packageVerificationCode"]["packageVerificationCodeValue"] != verification_code(files) {
        return Err("its package verification code is not that of the files".to_owned());
    }
    let none = Vec::new();
    let listed = document["files"].as_array().unwrap_or(&none).iter().map(|file| {
        let checksums = file["checksums"].as_array()?.iter();
        let texts = checksums
            .map(|sum| Some(format!("{}:{}", sum["algorithm"].as_str()?, sum["checksumValue"].as_str()?)))
            .collect::<Option<_>>()?;
        Some((file["fileName"].as_str()?.to_owned(), texts))
    });
    compare_files(listed, files, |file| {
        let hashes = vec![format!("SHA1:{}", file.sha1_hex()), format!("SHA256:{}", file.sha256_hex())];
        (format!("./{}", file.path), hashes)
    })
}
