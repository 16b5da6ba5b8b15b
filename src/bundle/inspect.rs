//! What a bundle says of itself, read strictly and trusted not at all: for reports, comparisons and
//! scans. Who must rely on it verifies first. Leaves out trust.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::bundle::build::side_files;
use crate::bundle::code::Code;
use crate::bundle::dsse::Envelope;
use crate::bundle::error::Error;
use crate::bundle::json::{parse_canonical, read_bounded};
use crate::bundle::manifest::{self, BundleManifest, ManifestFile};
use crate::bundle::provenance::{Provenance, Resource, Subject, parse_statement};
use crate::bundle::sbom::seconds;
use crate::bundle::scan::scan;
use crate::bundle::spec::Component;
use crate::bundle::uri;
use crate::bundle::verdict::{Refusal, VerifyLimits};

/// What a bundle says of itself.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The name of the archive.
    pub file_name: String,
    /// The SHA-256 of the archive.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its manifest.
    pub manifest: BundleManifest,
    /// The parameters of the graph.
    pub parameters: BTreeMap<String, String>,
    /// The builder's URI.
    pub builder: String,
    /// Where the specs lie: repository, and ref.
    pub source: Option<(String, Option<String>)>,
    /// The tools that were used.
    pub tools: Vec<InspectedTool>,
    /// The inputs of the workspace, by path: their digests, in hexadecimal.
    pub inputs: BTreeMap<String, String>,
    /// Packages that went in, as lock files name them.
    pub components: Vec<Component>,
    /// The types of the attestations, in order.
    pub predicates: Vec<String>,
    /// The key ids that the first envelope names.
    pub keyids: Vec<String>,
    /// The version of its CycloneDX document.
    pub cyclonedx: String,
    /// The date in its documents, in seconds since 1970.
    pub date: u64,
    /// The SHA-256 of the CycloneDX document.
    pub sbom_sha256: String,
    /// The two subjects of the statements.
    pub(crate) subjects: Vec<Subject>,
    /// The SHA-256 of the payload of the provenance, and of the file of envelopes.
    pub(crate) payload_sha256: String,
    pub(crate) envelopes_sha256: String,
}

/// A tool as the provenance names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedTool {
    /// The name in specs.
    pub name: String,
    /// The version, from its package URL as the SBOM has it.
    pub version: String,
    /// The program as declared.
    pub executable: String,
    /// What it was keyed by: the digest of the executable, or of what it printed of itself.
    pub identity: String,
    /// Who supplies it.
    pub supplier: Option<String>,
}

/// Reads a bundle: the archive and the file of envelopes beside it. What is malformed is an error.
pub fn inspect(zip: &Path) -> Result<Inspected, Error> {
    let wrong = |why: String| Error::Malformed { path: zip.to_owned(), why };
    let refused = |refusal: Refusal| wrong(refusal.reason);
    let limits = VerifyLimits::default();
    let file = File::open(zip).map_err(Error::read("open", zip))?;
    let found = scan(file, &limits).map_err(Error::read("read", zip))?;
    let contents = found.contents.map_err(refused)?;
    let meta = |name: &str| contents.meta.get(name).map_or(&[][..], Vec::as_slice);
    let manifest = BundleManifest::from_json(meta(manifest::MANIFEST)).map_err(wrong)?;
    let cyclonedx = meta(manifest::CYCLONEDX);
    let sbom = parse_canonical(cyclonedx).map_err(wrong)?;
    let spdx = parse_canonical(meta(manifest::SPDX)).map_err(wrong)?;
    let date = spdx["creationInfo"]["created"].as_str().and_then(seconds);
    let date = date.ok_or_else(|| wrong("its SPDX document has no date".to_owned()))?;

    let (intoto, _) = side_files(zip);
    let lines = File::open(&intoto)
        .and_then(|file| read_bounded(file, limits.envelope_bytes))
        .map_err(Error::read("read", &intoto))?
        .ok_or_else(|| wrong(format!("its envelopes are larger than {} bytes", limits.envelope_bytes)))?;
    let mut predicates = Vec::new();
    let mut first = None;
    for line in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|byte| *byte == b'\n') {
        let envelope = Envelope::from_line(line).map_err(wrong)?;
        let payload = envelope.payload_bytes().map_err(wrong)?;
        let statement = parse_statement(&payload).map_err(wrong)?;
        predicates.push(statement.predicate_type.clone());
        if first.is_none() && statement.predicate_type == uri::PROVENANCE_TYPE {
            first =
                Some((Provenance::parse(&statement.predicate).map_err(wrong)?, envelope, statement.subject, payload));
        }
    }
    let (provenance, envelope, subjects, payload) = first.ok_or_else(|| wrong("it has no provenance".to_owned()))?;
    let sha256 = HEXLOWER.encode(&found.sha256);
    if subjects[0].digest.sha256 != sha256 {
        return Err(refused(Refusal::new(Code::B0405, "its provenance is about another archive")));
    }
    let role =
        |resource: &&Resource, role: &str| resource.annotations.get("partita_role").is_some_and(|found| found == role);
    let dependencies = &provenance.build.dependencies;
    Ok(Inspected {
        file_name: subjects[0].name.clone(),
        sha256,
        size: found.size,
        manifest,
        parameters: provenance.build.external.parameters.clone(),
        builder: provenance.run.builder.id.clone(),
        source: provenance.build.external.spec.as_ref().map(|spec| (spec.repository.clone(), spec.reference.clone())),
        tools: dependencies.iter().filter(|it| role(it, "tool")).map(|it| tool(it, &sbom)).collect(),
        inputs: dependencies.iter().filter(|it| role(it, "input")).map(input).collect(),
        components: components(&sbom),
        predicates,
        keyids: envelope.signatures.iter().map(|signature| signature.keyid.clone()).collect(),
        cyclonedx: sbom["specVersion"].as_str().unwrap_or_default().to_owned(),
        date,
        sbom_sha256: crate::bundle::content::sha256_hex(cyclonedx),
        subjects,
        payload_sha256: crate::bundle::content::sha256_hex(&payload),
        envelopes_sha256: crate::bundle::content::sha256_hex(&lines),
    })
}

/// The manifest in an archive that need not be signed.
pub fn read_manifest(zip: &Path) -> Result<BundleManifest, Error> {
    let wrong = |why: String| Error::Malformed { path: zip.to_owned(), why };
    let file = File::open(zip).map_err(Error::read("open", zip))?;
    let found = scan(file, &VerifyLimits::default()).map_err(Error::read("read", zip))?;
    let contents = found.contents.map_err(|refusal| wrong(refusal.reason))?;
    BundleManifest::from_json(contents.meta.get(manifest::MANIFEST).map_or(&[][..], Vec::as_slice)).map_err(wrong)
}

fn tool(resource: &Resource, sbom: &Value) -> InspectedTool {
    let name = resource.name.clone().unwrap_or_default();
    let none = Vec::new();
    let listed = sbom["components"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .find(|component| component["scope"] == "excluded" && component["name"] == name.as_str());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let fingerprint = resource.annotations.get("partita_fingerprint");
    InspectedTool {
        version: listed.and_then(|component| text(&component["version"])).unwrap_or_default(),
        supplier: listed.and_then(|component| text(&component["supplier"]["name"])),
        executable: resource.annotations.get("partita_executable").cloned().unwrap_or_default(),
        identity: fingerprint.or_else(|| resource.digest.get("blake3")).cloned().unwrap_or_default(),
        name,
    }
}

fn input(resource: &Resource) -> (String, String) {
    let digest = resource.digest.get("blake3").or_else(|| resource.digest.values().next());
    (resource.name.clone().unwrap_or_default(), digest.cloned().unwrap_or_default())
}

/// The packages that a CycloneDX document of ours lists.
fn components(sbom: &Value) -> Vec<Component> {
    let none = Vec::new();
    let listed = sbom["components"].as_array().unwrap_or(&none).iter();
    listed
        .filter(|component| component["type"] == "library")
        .filter_map(|component| {
            let purl = component["purl"].as_str()?;
            let kind = purl.strip_prefix("pkg:")?.split('/').next()?.to_owned();
            let hash = &component["hashes"][0];
            Some(Component {
                kind,
                name: component["name"].as_str()?.to_owned(),
                version: component["version"].as_str()?.to_owned(),
                checksum: hash["alg"]
                    .as_str()
                    .zip(hash["content"].as_str())
                    .map(|(alg, hex)| (alg.replace('-', ""), hex.to_owned())),
                supplier: component["supplier"]["name"].as_str().map(str::to_owned),
            })
        })
        .collect()
}

/// Reads files out of an archive that [`inspect`] has read, as long as all of them together are not
/// larger than `budget` bytes; those that would be are left out.
pub fn read_files(
    zip: &Path,
    wanted: impl Fn(&ManifestFile) -> bool,
    files: &[ManifestFile],
    budget: u64,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let file = File::open(zip).map_err(Error::read("open", zip))?;
    let failed = |error: zip::result::ZipError| Error::read("read", zip)(error.into());
    let mut archive = zip::ZipArchive::new(file).map_err(failed)?;
    let mut left = budget;
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|file| wanted(file)) {
        if file.size > left {
            continue;
        }
        left -= file.size;
        let mut bytes = Vec::new();
        let entry = archive.by_name(&file.path).map_err(failed)?;
        entry.take(file.size).read_to_end(&mut bytes).map_err(Error::read("read", zip))?;
        found.insert(file.path.clone(), bytes);
    }
    Ok(found)
}
