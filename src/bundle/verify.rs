//! Verifying a bundle, in a strict order: envelopes, signatures and policy first, and only then one
//! pass over the archive, whose every byte must be canonical. Also a bundle that has been extracted.
//! No network, no clock. Leaves out reading the policy's text.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::bundle::build::{proof_file, side_files};
use crate::bundle::code::Code;
use crate::bundle::content::sha256_hex;
use crate::bundle::cyclonedx::check_cyclonedx;
use crate::bundle::dsse::{Envelope, check_sigstore};
use crate::bundle::error::Error;
use crate::bundle::folder::read_folder;
use crate::bundle::json::{canonical, first_difference, read_bounded};
use crate::bundle::judge::{self, Opened};
use crate::bundle::manifest::{self, BundleManifest, content_root, sums};
use crate::bundle::policy::Policy;
use crate::bundle::provenance::{ExternalParameters, Provenance, Subject, parse_statement};
use crate::bundle::scan::{Contents, scan};
use crate::bundle::spdx::check_spdx;
use crate::bundle::tlog;
use crate::bundle::transport::{Unpacked, plain_path};
use crate::bundle::uri;
use crate::bundle::verdict::{CheckName, Checks, Facts, Refusal, Verdict, VerifyLimits};

/// How to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// The tenant whose bundle it must be.
    pub tenant: String,
    /// The name the archive must have been signed under; `None`: that of the file.
    pub file_name: Option<String>,
    /// Bounds on memory.
    pub limits: VerifyLimits,
}

impl VerifyOptions {
    /// For a tenant, with the usual bounds.
    pub fn new(tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), file_name: None, limits: VerifyLimits::default() }
    }
}

/// More than any proof of a log, in bytes.
const PROOF_BYTES: u64 = 64 * 1024;

/// What the signed part says, once it has passed.
struct Signed {
    opened: Vec<Opened>,
    subject: Vec<Subject>,
    external: ExternalParameters,
    plan_hash: String,
    /// The size of the archive in bytes.
    size: u64,
}

/// Verifies an archive with the two files beside it. One that is compressed (`.zip.zst`) is unpacked as it is
/// read, once its signatures have passed, and no further than the size that was signed. An error means that it could not be checked;
/// a refusal is in the verdict.
pub fn verify(zip: &Path, policy: &Policy, options: &VerifyOptions) -> Result<Verdict, Error> {
    policy.check()?;
    // Opened before anything is judged, and read through this handle alone.
    let file = File::open(zip).map_err(Error::read("open", zip))?;
    let mut checks = Checks::default();
    let (plain, compressed) = plain_path(zip);
    let Some(signed) = verify_signed(&mut checks, &plain, policy, options)? else { return Ok(checks.verdict(None)) };
    let facts = signed.facts();
    let found = if compressed {
        match Unpacked::new(file, signed.size).and_then(|unpacked| scan(unpacked, &options.limits)) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                checks.record::<()>(CheckName::Archive, Err(Refusal::new(Code::B0605, error.to_string())));
                return Ok(checks.verdict(Some(facts)));
            }
            found => found,
        }
    } else {
        scan(file, &options.limits)
    };
    let found = found.map_err(Error::read("read", zip))?;
    let sha256 = HEXLOWER.encode(&found.sha256);
    let archive = if sha256 == signed.subject[0].digest.sha256 {
        Ok(((), format!("sha256:{sha256}")))
    } else {
        let why = format!("its SHA-256 is {sha256}, signed was {}", signed.subject[0].digest.sha256);
        Err(Refusal::new(Code::B0601, why))
    };
    checks.record(CheckName::Archive, archive);
    let layout = found.contents.map(|contents| {
        let note = format!("{} entries, {} bytes", contents.entries.len(), found.size);
        (contents, note)
    });
    if let Some(contents) = checks.record(CheckName::Layout, layout) {
        verify_contents(&mut checks, &contents, &signed);
    }
    Ok(checks.verdict(Some(facts)))
}

/// Verifies a folder into which an archive was extracted, by the two files beside where the archive
/// was: `zip` gives their names and need not exist. The folder must hold exactly what the archive did.
pub fn verify_extracted(folder: &Path, zip: &Path, policy: &Policy, options: &VerifyOptions) -> Result<Verdict, Error> {
    policy.check()?;
    let mut checks = Checks::default();
    let Some(signed) = verify_signed(&mut checks, zip, policy, options)? else { return Ok(checks.verdict(None)) };
    let facts = signed.facts();
    checks.record(CheckName::Archive, Ok(((), "not read: it has been extracted".to_owned())));
    let contents = read_folder(folder, &options.limits)?.map(|contents| {
        let note = format!("{} files", contents.entries.len());
        (contents, note)
    });
    if let Some(contents) = checks.record(CheckName::Layout, contents) {
        verify_contents(&mut checks, &contents, &signed);
    }
    Ok(checks.verdict(Some(facts)))
}

/// All that can be judged without the archive. `None` if something was refused.
fn verify_signed(
    checks: &mut Checks,
    zip: &Path,
    policy: &Policy,
    options: &VerifyOptions,
) -> Result<Option<Signed>, Error> {
    let (intoto, sigstore) = side_files(zip);
    let limit = options.limits.envelope_bytes;
    let read = |path: &Path| -> Result<Option<Vec<u8>>, Error> {
        let file = File::open(path).map_err(Error::read("open", path))?;
        read_bounded(file, limit).map_err(Error::read("read", path))
    };
    let too_large = |code| Refusal::new(code, format!("it is larger than {limit} bytes"));
    let lines = read(&intoto)?.ok_or_else(|| too_large(Code::B0401));
    let sigstore = read(&sigstore)?.ok_or_else(|| too_large(Code::B0402));

    let envelopes = lines.and_then(|bytes| read_envelopes(&bytes, options.limits.envelopes));
    let envelopes = envelopes.map(|envelopes| {
        let note = format!("{} envelopes", envelopes.len());
        (envelopes, note)
    });
    let Some(envelopes) = checks.record(CheckName::Envelopes, envelopes) else { return Ok(None) };
    let same = sigstore
        .and_then(|bytes| check_sigstore(&bytes, &envelopes[0].0).map_err(|why| Refusal::new(Code::B0402, why)));
    checks.record(CheckName::Sigstore, same.map(|()| ((), "the provenance".to_owned())));

    // No payload is looked into before its signatures have been checked.
    let mut signers = Vec::new();
    let mut refused = None;
    for (at, (envelope, payload)) in envelopes.iter().enumerate() {
        match judge::signers(at + 1, envelope, payload, policy) {
            Ok(names) => signers.push(names),
            Err(refusal) => {
                refused = Some(refusal);
                break;
            }
        }
    }
    let signatures = match refused {
        Some(refusal) => Err(refusal),
        None => Ok((signers, format!("{} are right", envelopes.iter().map(|e| e.0.signatures.len()).sum::<usize>()))),
    };
    let Some(signers) = checks.record(CheckName::Signatures, signatures) else { return Ok(None) };

    let keyids: Vec<String> = envelopes[0].0.signatures.iter().map(|signature| signature.keyid.clone()).collect();
    let payload_sha256 = sha256_hex(&envelopes[0].1);
    let payloads = envelopes.into_iter().map(|(_, payload)| payload).zip(signers).collect();
    let name = match (&options.file_name, zip.file_name().and_then(|name| name.to_str())) {
        (Some(name), _) => name.clone(),
        (None, name) => name.unwrap_or_default().to_owned(),
    };
    let statements = open_statements(payloads, &name).map(|opened| {
        let note = opened.iter().map(|one| one.statement.predicate_type.as_str()).collect::<Vec<_>>().join(", ");
        (opened, note)
    });
    let Some(opened) = checks.record(CheckName::Statements, statements) else { return Ok(None) };

    let provenance = judge::provenance(&opened, &options.tenant, &name).map(|provenance| {
        let external = &provenance.build.external;
        (provenance, format!("`{}` {} of `{}`", external.bundle.name, external.bundle.version, external.tenant))
    });
    let Some(provenance) = checks.record(CheckName::Provenance, provenance) else { return Ok(None) };
    let tlog_entry = tlog::entry(&opened[0].statement.subject[0].digest.sha256, &payload_sha256, &keyids);
    let proof = File::open(proof_file(zip)).ok().and_then(|file| read_bounded(file, PROOF_BYTES).ok().flatten());
    let proof = proof.and_then(|bytes| String::from_utf8(bytes).ok());
    let published = (tlog_entry, proof);
    judge_by_policy(checks, policy, options, &opened, provenance, &published);
    if !checks.clean() {
        return Ok(None);
    }
    let (external, plan_hash) = (provenance.build.external.clone(), provenance.build.internal.plan_hash.clone());
    let size = provenance.build.internal.archive_size;
    let subject = opened[0].statement.subject.clone();
    Ok(Some(Signed { opened, subject, external, plan_hash, size }))
}

fn judge_by_policy(
    checks: &mut Checks,
    policy: &Policy,
    options: &VerifyOptions,
    opened: &[Opened],
    provenance: &Provenance,
    (entry, proof): &(Vec<u8>, Option<String>),
) {
    let tenant = match judge::tenant(policy, &options.tenant) {
        Ok(tenant) => tenant,
        Err(refusal) => {
            checks.record::<()>(CheckName::Trust, Err(refusal));
            return;
        }
    };
    let note = |result: Result<String, Refusal>| result.map(|note| ((), note));
    checks.record(CheckName::Trust, note(judge::trust(policy, tenant, opened)));
    checks.record(CheckName::Source, note(judge::source(tenant, provenance)));
    checks.record(CheckName::Version, note(judge::version(tenant, provenance)));
    checks.record(CheckName::Log, note(judge::log(tenant, entry, proof.as_deref())));
}

/// Reads the lines of the file of envelopes, each with its payload's bytes.
fn read_envelopes(bytes: &[u8], limit: usize) -> Result<Vec<(Envelope, Vec<u8>)>, Refusal> {
    let refuse = |why: String| Refusal::new(Code::B0401, why);
    let body = bytes.strip_suffix(b"\n").ok_or_else(|| refuse("its last line does not end".to_owned()))?;
    let mut envelopes = Vec::new();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if at >= limit {
            return Err(refuse(format!("there are more than {limit} envelopes")));
        }
        let wrong = |why: String| refuse(format!("envelope {}: {why}", at + 1));
        let envelope = Envelope::from_line(line).map_err(wrong)?;
        let payload = envelope.payload_bytes().map_err(wrong)?;
        envelopes.push((envelope, payload));
    }
    Ok(envelopes)
}

/// Parses statements whose signatures have been checked. They must be about one archive of this name
/// and in canonical order: provenance, SPDX, CycloneDX, others; within a type by their bytes.
fn open_statements(payloads: Vec<(Vec<u8>, Vec<String>)>, file_name: &str) -> Result<Vec<Opened>, Refusal> {
    let mut opened: Vec<Opened> = Vec::new();
    let mut last: Option<(usize, String, Vec<u8>)> = None;
    for (at, (payload, signers)) in payloads.into_iter().enumerate() {
        let at = at + 1;
        let statement = parse_statement(&payload)
            .map_err(|why| Refusal::new(Code::B0404, format!("the statement of envelope {at}: {why}")))?;
        let wanted = opened.first().map_or(&statement.subject, |first| &first.statement.subject);
        if statement.subject != *wanted {
            return Err(Refusal::new(Code::B0405, format!("envelope {at} is about another archive than the first")));
        }
        if statement.subject[0].name != file_name {
            let why = format!("the file is `{file_name}`, what was signed is `{}`", statement.subject[0].name);
            return Err(Refusal::new(Code::B0409, why));
        }
        let provenance = if statement.predicate_type == uri::PROVENANCE_TYPE {
            let parsed = Provenance::parse(&statement.predicate);
            Some(parsed.map_err(|why| Refusal::new(Code::B0408, format!("envelope {at}: {why}")))?)
        } else {
            None
        };
        let order = (rank(&statement.predicate_type), statement.predicate_type.clone(), payload);
        if last.as_ref().is_some_and(|last| *last >= order) {
            return Err(Refusal::new(Code::B0401, format!("envelope {at} is not in order, or is there twice")));
        }
        last = Some(order);
        opened.push(Opened { signers, statement, provenance });
    }
    Ok(opened)
}

fn rank(predicate_type: &str) -> usize {
    let known = [uri::PROVENANCE_TYPE, uri::SPDX_TYPE, uri::CYCLONEDX_TYPE];
    known.iter().position(|uri| *uri == predicate_type).unwrap_or(known.len())
}

impl Signed {
    fn facts(&self) -> Facts {
        let mut builders: Vec<String> =
            self.opened.iter().filter_map(|one| Some(one.provenance.as_ref()?.run.builder.id.clone())).collect();
        builders.sort_unstable();
        builders.dedup();
        let mut signers: Vec<String> = self.opened.iter().flat_map(|one| one.signers.clone()).collect();
        signers.sort_unstable();
        signers.dedup();
        Facts {
            name: self.external.bundle.name.clone(),
            version: self.external.bundle.version.clone(),
            tenant: self.external.tenant.clone(),
            graph: self.external.graph.clone(),
            plan: self.plan_hash.clone(),
            builders,
            signers,
            predicates: self.opened.iter().map(|one| one.statement.predicate_type.clone()).collect(),
            sha256: self.subject[0].digest.sha256.clone(),
        }
    }

    /// The predicates of a type, which must all be this document.
    fn check_predicates(&self, predicate_type: &str, document: &[u8]) -> Result<(), String> {
        let all = self.opened.iter().filter(|one| one.statement.predicate_type == predicate_type);
        for one in all {
            let predicate: &Value = &one.statement.predicate;
            if let Some(at) = first_difference(&canonical(predicate), document) {
                return Err(format!("byte {at} is not that of the signed attestation"));
            }
        }
        Ok(())
    }
}

/// Checks what the archive holds against what was signed.
fn verify_contents(checks: &mut Checks, contents: &Contents, signed: &Signed) {
    let meta = |name: &str| contents.meta.get(name).map_or(&[][..], Vec::as_slice);
    let bundle = &signed.external.bundle;
    let files = contents.payload();

    let listed = meta(manifest::SUMS);
    let found = sha256_hex(listed);
    let others = contents.entries.iter().filter(|entry| entry.path != manifest::SUMS);
    let expected = sums(others.map(|entry| (entry.path.as_str(), entry.sha256_hex())));
    let result = if found != signed.subject[1].digest.sha256 {
        Err(format!("its SHA-256 is {found}, signed was {}", signed.subject[1].digest.sha256))
    } else if let Some(at) = first_difference(listed, expected.as_bytes()) {
        Err(format!("byte {at} does not fit the contents"))
    } else {
        Ok(format!("{} files", contents.entries.len() - 1))
    };
    note(checks, CheckName::Sums, Code::B0701, result);

    let result = check_manifest(meta(manifest::MANIFEST), contents, signed);
    note(checks, CheckName::Manifest, Code::B0702, result);

    let document = meta(manifest::SPDX);
    let result = signed
        .check_predicates(uri::SPDX_TYPE, document)
        .and_then(|()| check_spdx(document, &bundle.name, &bundle.version, files));
    note(checks, CheckName::Spdx, Code::B0703, result.map(|()| "SPDX 2.3".to_owned()));

    let document = meta(manifest::CYCLONEDX);
    let result = signed
        .check_predicates(uri::CYCLONEDX_TYPE, document)
        .and_then(|()| check_cyclonedx(document, &bundle.name, &bundle.version, files));
    note(checks, CheckName::Cyclonedx, Code::B0704, result.map(|found| format!("CycloneDX {}", found.word())));
}

fn note(checks: &mut Checks, name: CheckName, code: Code, result: Result<String, String>) {
    checks.record(name, result.map(|note| ((), note)).map_err(|why| Refusal::new(code, why)));
}

/// The manifest must be exactly what follows from the contents and the provenance.
fn check_manifest(bytes: &[u8], contents: &Contents, signed: &Signed) -> Result<String, String> {
    let found = BundleManifest::from_json(bytes)?;
    let root = content_root(contents.payload());
    let expected = BundleManifest::of_parts(&signed.external, &signed.plan_hash, contents.payload(), &root);
    if found.files != expected.files {
        return Err("its files are not those of the archive".to_owned());
    }
    if found.root != expected.root {
        return Err(format!("its content root is not {root}"));
    }
    if found != expected {
        return Err("it contradicts the provenance".to_owned());
    }
    Ok(format!("content root {root}"))
}
