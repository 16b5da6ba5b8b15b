//! What a bundle says of itself, read strictly and trusted not at all: for reports, comparisons and
//! scans. Who must rely on it verifies first. Leaves out trust.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::bundle::build::side_files;
use crate::bundle::content::{for_each_chunk, open_regular};
use crate::bundle::described::{ManifestFound, Reading};
use crate::bundle::error::Error;
use crate::bundle::lines::{Stop, read_lines, read_statement};
use crate::bundle::manifest::{BundleManifest, ManifestFile};
use crate::bundle::provenance::Resource;
use crate::bundle::scan::scan;
use crate::bundle::spec::{Component, Work};
use crate::bundle::statement::Subject;
use crate::bundle::verdict::VerifyLimits;

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
    /// The gates that were passed, and who served.
    pub work: Work,
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
    /// Whether it was keyed by what it printed of itself, not by its bytes.
    pub says_itself: bool,
    /// Who supplies it.
    pub supplier: Option<String>,
}

/// Reads a bundle: the archive and the file of envelopes beside it. What is malformed is an error.
pub fn inspect(zip: &Path) -> Result<Inspected, Error> {
    let wrong = |why: String| Error::Malformed { path: zip.to_owned(), why };
    let limits = VerifyLimits::default();
    let mut reading = Reading::new(true, &limits);
    let found = scan(open_regular(zip)?, &limits, &mut reading).map_err(Error::read("read", zip))?;
    let layout = found.layout.map_err(|refusal| wrong(refusal.reason))?;
    let described = reading.describing.finish();
    let ManifestFound { manifest, exec } = described.manifest.map_err(wrong)?;
    if exec != layout.exec {
        return Err(wrong("other files may be executed than its manifest says".to_owned()));
    }
    let cyclonedx = described.cyclonedx.map_err(wrong)?;
    let date = described.spdx.map_err(wrong)?.date();
    let date = date.ok_or_else(|| wrong("its SPDX document has no date".to_owned()))?;

    let (intoto, _) = side_files(zip);
    let lines = open_regular(&intoto)?;
    let stopped = |stop: Stop| match stop {
        Stop::Io(error) => Error::read("read", &intoto)(error),
        Stop::Wrong(why) => wrong(why),
    };
    let envelopes = read_lines(&lines, &limits).map_err(stopped)?;
    let mut predicates = Vec::new();
    let mut first = None;
    for line in &envelopes {
        let read = read_statement(&lines, &line.payload, true).map_err(stopped)?;
        predicates.push(read.predicate_type);
        if let Some(provenance) = read.provenance.filter(|_| first.is_none()) {
            first = Some((provenance.map_err(wrong)?, &line.envelope, read.subject, read.payload_sha256));
        }
    }
    let (provenance, envelope, subjects, payload_sha256) =
        first.ok_or_else(|| wrong("it has no provenance".to_owned()))?;
    let sha256 = HEXLOWER.encode(&found.sha256);
    if subjects[0].digest.sha256 != sha256 {
        return Err(wrong("its provenance is about another archive".to_owned()));
    }
    let mut envelopes_sha256 = Sha256::new();
    for_each_chunk(&lines, |chunk| {
        envelopes_sha256.update(chunk.map_err(Error::read("read", &intoto))?);
        Ok::<(), Error>(())
    })?;
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
        tools: dependencies.iter().filter(|it| role(it, "tool")).map(|it| tool(it, &cyclonedx.others)).collect(),
        inputs: dependencies.iter().filter(|it| role(it, "input")).map(input).collect(),
        components: components(&cyclonedx.others),
        work: Work { gates: provenance.build.internal.gates.clone(), served: provenance.build.internal.served.clone() },
        predicates,
        keyids: envelope.signatures.iter().map(|signature| signature.keyid.clone()).collect(),
        cyclonedx: cyclonedx.format.word().to_owned(),
        date,
        sbom_sha256: HEXLOWER.encode(&described.cyclonedx_sha256),
        subjects,
        payload_sha256,
        envelopes_sha256: HEXLOWER.encode(&envelopes_sha256.finalize()),
    })
}

/// The manifest in an archive that need not be signed.
pub fn read_manifest(zip: &Path) -> Result<BundleManifest, Error> {
    let wrong = |why: String| Error::Malformed { path: zip.to_owned(), why };
    let limits = VerifyLimits::default();
    let mut reading = Reading::new(true, &limits);
    let found = scan(open_regular(zip)?, &limits, &mut reading).map_err(Error::read("read", zip))?;
    found.layout.map_err(|refusal| wrong(refusal.reason))?;
    Ok(reading.describing.finish().manifest.map_err(wrong)?.manifest)
}

fn tool(resource: &Resource, listed: &[Value]) -> InspectedTool {
    let name = resource.name.clone().unwrap_or_default();
    let listed = listed.iter().find(|component| component["scope"] == "excluded" && component["name"] == name.as_str());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let fingerprint = resource.annotations.get("partita_fingerprint");
    InspectedTool {
        version: listed.and_then(|component| text(&component["version"])).unwrap_or_default(),
        supplier: listed.and_then(|component| text(&component["supplier"]["name"])),
        executable: resource.annotations.get("partita_executable").cloned().unwrap_or_default(),
        says_itself: fingerprint.is_some(),
        identity: fingerprint.or_else(|| resource.digest.get("blake3")).cloned().unwrap_or_default(),
        name,
    }
}

fn input(resource: &Resource) -> (String, String) {
    let digest = resource.digest.get("blake3").or_else(|| resource.digest.values().next());
    (resource.name.clone().unwrap_or_default(), digest.cloned().unwrap_or_default())
}

/// The packages that a CycloneDX document of ours lists.
fn components(listed: &[Value]) -> Vec<Component> {
    listed
        .iter()
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
