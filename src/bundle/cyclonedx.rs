//! The CycloneDX document of a bundle, and its check against an archive. Describes the payload,
//! the tools (excluded from the delivery) and the packages that went in. Versions 1.6 and 1.7 (ECMA-424), alike in all that is used here. Leaves out
//! licences, vulnerabilities and the time.

use serde_json::{Value, json};

use crate::bundle::content::FileFacts;
use crate::bundle::json::{canonical, parse_canonical};
use crate::bundle::sbom::{compare_files, content_uuid};
use crate::bundle::spec::{BundleSpec, Component, CycloneDx, ToolIdentity, ToolUse};
use crate::bundle::uri;

/// The canonical bytes of the document.
pub(crate) fn cyclonedx_document(spec: &BundleSpec, files: &[FileFacts]) -> Vec<u8> {
    let mut components: Vec<Value> = files.iter().map(file_component).collect();
    components.extend(spec.tools.iter().enumerate().map(|(at, tool)| tool_component(at, tool)));
    components.extend(spec.components.iter().enumerate().map(|(at, component)| library(at, component)));
    let needed: Vec<String> = (0..spec.components.len()).map(library_ref).collect();
    let mut document = json!({
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
    let serial = serial(&document);
    document["serialNumber"] = Value::String(serial);
    canonical(&document)
}

fn serial(document: &Value) -> String {
    format!("urn:uuid:{}", content_uuid(document))
}

fn file_component(file: &FileFacts) -> Value {
    json!({
        "type": "file",
        "bom-ref": format!("file:{}", file.path),
        "name": file.path,
        "hashes": [
            {"alg": "SHA-256", "content": file.sha256_hex()},
            {"alg": "BLAKE3", "content": file.blake3.hex()},
        ],
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

/// Checks that a document is about exactly these files of this bundle.
pub(crate) fn check_cyclonedx(
    bytes: &[u8],
    name: &str,
    version: &str,
    files: &[FileFacts],
) -> Result<CycloneDx, String> {
    let mut document = parse_canonical(bytes)?;
    let format = document["specVersion"].as_str().and_then(CycloneDx::of_word);
    let Some(format) = format.filter(|_| document["bomFormat"] == "CycloneDX") else {
        return Err("it is neither CycloneDX 1.6 nor 1.7".to_owned());
    };
    let claimed = document.as_object_mut().and_then(|object| object.remove("serialNumber"));
    if claimed != Some(Value::String(serial(&document))) {
        return Err("its serial number does not derive from its content".to_owned());
    }
    let component = &document["metadata"]["component"];
    if component["name"] != name || component["version"] != version {
        return Err(format!("it does not describe `{name}` {version}"));
    }
    let none = Vec::new();
    let all = document["components"].as_array().unwrap_or(&none).iter();
    let listed = all.filter(|component| component["type"] == "file").map(|file| {
        let hashes = file["hashes"].as_array()?.iter();
        let texts = hashes
            .map(|hash| Some(format!("{}:{}", hash["alg"].as_str()?, hash["content"].as_str()?)))
            .collect::<Option<_>>()?;
        Some((file["name"].as_str()?.to_owned(), texts))
    });
    compare_files(listed, files, |file| {
        let hashes = vec![format!("SHA-256:{}", file.sha256_hex()), format!("BLAKE3:{}", file.blake3.hex())];
        (file.path.clone(), hashes)
    })?;
    Ok(format)
}
