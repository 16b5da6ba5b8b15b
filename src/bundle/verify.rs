//! Verifying a bundle, in a strict order: envelopes, signatures and policy first, and only then one
//! pass over the archive, whose every byte must be canonical. Also a bundle that has been extracted.
//! No network, no clock. Leaves out reading the policy's text.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use data_encoding::HEXLOWER;

use crate::bundle::bits::Bits;
use crate::bundle::build::{proof_file, side_files};
use crate::bundle::code::Code;
use crate::bundle::content::open_regular;
use crate::bundle::described::{Described, ManifestFound, Reading};
use crate::bundle::error::Error;
use crate::bundle::folder::read_folder;
use crate::bundle::json::read_bounded;
use crate::bundle::judge::{self, Opened, SignatureChecks};
use crate::bundle::lines::{Line, Stop, check_bundle, compare, decode, read_lines, read_statement};
use crate::bundle::manifest::BundleManifest;
use crate::bundle::policy::Policy;
use crate::bundle::provenance::{ExternalParameters, Provenance};
use crate::bundle::scan::scan_rest;
use crate::bundle::statement::Subject;
use crate::bundle::tlog;
use crate::bundle::transport::{Unpacked, plain_path};
use crate::bundle::uri;
use crate::bundle::verdict::{CheckName, Checks, Facts, Refusal, Verdict, VerifyLimits};

/// How to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// The tenant whose bundle it must be; `None`: whichever signed provenance names, by the policy's demands on that.
    pub tenant: Option<String>,
    /// The name the archive must have been signed under; `None`: that of the file.
    pub file_name: Option<String>,
    /// Bounds on memory.
    pub limits: VerifyLimits,
}

impl VerifyOptions {
    /// For a tenant, with the usual bounds.
    pub fn new(tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..Self::any_tenant() }
    }

    /// For whichever tenant the bundle is of, with the usual bounds.
    pub fn any_tenant() -> Self {
        Self { tenant: None, file_name: None, limits: VerifyLimits::default() }
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
    let file = open_regular(zip)?;
    let mut checks = Checks::default();
    let (plain, compressed) = plain_path(zip);
    let Some(signed) = verify_signed(&mut checks, &plain, policy, options)? else { return Ok(checks.verdict(None)) };
    let facts = signed.facts();
    let mut reading = Reading::new(false, &options.limits);
    let found = if compressed {
        let unpacked = Unpacked::new(file, signed.size);
        match unpacked.and_then(|unpacked| scan_rest(unpacked, &options.limits, &mut reading, true)) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                checks.record::<()>(CheckName::Archive, Err(Refusal::new(Code::B0605, error.to_string())));
                return Ok(checks.verdict(Some(facts)));
            }
            found => found,
        }
    } else {
        let size = file.metadata().map_err(Error::read("look at", zip))?.len();
        if size > signed.most() {
            let why = format!("it has {size} bytes, signed were {}", signed.size);
            checks.record::<()>(CheckName::Archive, Err(Refusal::new(Code::B0601, why)));
            return Ok(checks.verdict(Some(facts)));
        }
        scan_rest(file.take(size), &options.limits, &mut reading, true)
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
    let layout = found.layout.map(|layout| {
        let note = format!("{} entries, {} bytes", layout.entries, found.size);
        (layout, note)
    });
    if let Some(layout) = checks.record(CheckName::Layout, layout) {
        verify_contents(&mut checks, reading.describing.finish(), &layout.exec, &signed);
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
    let contents = read_folder(folder, &options.limits, signed.most())?.map(|contents| {
        let note = format!("{} files", contents.0.entries);
        (contents, note)
    });
    if let Some((described, exec)) = checks.record(CheckName::Layout, contents) {
        verify_contents(&mut checks, described, &exec, &signed);
    }
    Ok(checks.verdict(Some(facts)))
}

/// What was wrong with a file, or that it could not be read.
fn judged<T>(result: Result<T, Stop>, code: Code, path: &Path) -> Result<Result<T, Refusal>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Wrong(why)) => Ok(Err(Refusal::new(code, why))),
        Err(Stop::Io(error)) => Err(Error::read("read", path)(error)),
    }
}

/// All that can be judged without the archive. `None` if something was refused.
fn verify_signed(
    checks: &mut Checks,
    zip: &Path,
    policy: &Policy,
    options: &VerifyOptions,
) -> Result<Option<Signed>, Error> {
    let (intoto, sigstore) = side_files(zip);
    let (file, bundle) = (open_regular(&intoto)?, open_regular(&sigstore)?);

    let lines = judged(read_lines(&file, &options.limits), Code::B0401, &intoto)?;
    let lines = lines.map(|lines| {
        let note = format!("{} envelopes", lines.len());
        (lines, note)
    });
    let Some(lines) = checks.record(CheckName::Envelopes, lines) else { return Ok(None) };
    let same = judged(check_bundle(&bundle, &lines[0], options.limits.envelope_bytes), Code::B0402, &sigstore)?;
    checks.record(CheckName::Sigstore, same.map(|()| ((), "the provenance".to_owned())));

    // No payload is looked into before all signatures have been checked.
    let signers = check_signatures(&file, &lines, policy, &intoto)?.map(|signers| {
        let count: usize = lines.iter().map(|line| line.envelope.signatures.len()).sum();
        (signers, format!("{count} are right"))
    });
    let Some(signers) = checks.record(CheckName::Signatures, signers) else { return Ok(None) };

    let name = match (&options.file_name, zip.file_name().and_then(|name| name.to_str())) {
        (Some(name), _) => name.clone(),
        (None, name) => name.unwrap_or_default().to_owned(),
    };
    let statements = open_statements(&file, &lines, signers, &name, &intoto)?.map(|statements| {
        let types = statements.opened.iter().map(|one| one.predicate_type.as_str());
        let note = types.collect::<Vec<_>>().join(", ");
        (statements, note)
    });
    let Some(Statements { opened, subject, payload_sha256 }) = checks.record(CheckName::Statements, statements) else {
        return Ok(None);
    };

    let provenance = judge::provenance(&opened, options.tenant.as_deref(), &name).map(|provenance| {
        let external = &provenance.build.external;
        (provenance, format!("`{}` {} of `{}`", external.bundle.name, external.bundle.version, external.tenant))
    });
    let Some(provenance) = checks.record(CheckName::Provenance, provenance) else { return Ok(None) };
    let keyids: Vec<String> = lines[0].envelope.signatures.iter().map(|signature| signature.keyid.clone()).collect();
    let tlog_entry = tlog::entry(&subject[0].digest.sha256, &payload_sha256, &keyids);
    let proof = open_regular(&proof_file(zip)).ok().and_then(|file| read_bounded(file, PROOF_BYTES).ok().flatten());
    let proof = proof.and_then(|bytes| String::from_utf8(bytes).ok());
    let published = (tlog_entry, proof);
    judge_by_policy(checks, policy, &opened, provenance, &published);
    if !checks.clean() {
        return Ok(None);
    }
    let (external, plan_hash) = (provenance.build.external.clone(), provenance.build.internal.plan_hash.clone());
    let size = provenance.build.internal.archive_size;
    Ok(Some(Signed { opened, subject, external, plan_hash, size }))
}

/// Checks every signature of every envelope. Returns who signed each.
fn check_signatures(
    file: &File,
    lines: &[Line],
    policy: &Policy,
    path: &Path,
) -> Result<Result<Vec<Vec<String>>, Refusal>, Error> {
    let mut spent = 0;
    let mut signers = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let size = line.payload.size;
        let mut checks = match SignatureChecks::new(at + 1, &line.envelope, size, policy, &mut spent) {
            Ok(checks) => checks,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let read = decode(file, &line.payload, |bytes| {
            checks.update(bytes);
            Ok(())
        });
        if let Err(refusal) = judged(read, Code::B0401, path)? {
            return Ok(Err(refusal));
        }
        match checks.finish() {
            Ok(names) => signers.push(names),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(signers))
}

fn judge_by_policy(
    checks: &mut Checks,
    policy: &Policy,
    opened: &[Opened],
    provenance: &Provenance,
    (entry, proof): &(Vec<u8>, Option<String>),
) {
    let tenant = match judge::tenant(policy, &provenance.build.external.tenant) {
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

/// Statements that were opened, and what all of them are about.
struct Statements {
    opened: Vec<Opened>,
    subject: Vec<Subject>,
    /// The SHA-256 of the first payload, in hexadecimal.
    payload_sha256: String,
}

/// Reads statements whose signatures have been checked. They must be about one archive of this name
/// and in canonical order: provenance, SPDX, CycloneDX, others; within a type by their bytes.
fn open_statements(
    file: &File,
    lines: &[Line],
    signers: Vec<Vec<String>>,
    file_name: &str,
    path: &Path,
) -> Result<Result<Statements, Refusal>, Error> {
    let mut all: Option<Statements> = None;
    for (at, (line, signers)) in lines.iter().zip(signers).enumerate() {
        let read = match judged(read_statement(file, &line.payload, false), Code::B0404, path)? {
            Ok(read) => read,
            Err(refusal) => {
                let why = format!("the statement of envelope {}: {}", at + 1, refusal.reason);
                return Ok(Err(Refusal::new(Code::B0404, why)));
            }
        };
        let at = at + 1;
        let wanted = all.as_ref().map_or(&read.subject, |all| &all.subject);
        if read.subject != *wanted {
            let why = format!("envelope {at} is about another archive than the first");
            return Ok(Err(Refusal::new(Code::B0405, why)));
        }
        if read.subject[0].name != file_name {
            let why = format!("the file is `{file_name}`, what was signed is `{}`", read.subject[0].name);
            return Ok(Err(Refusal::new(Code::B0409, why)));
        }
        let provenance = match read.provenance.transpose() {
            Ok(provenance) => provenance,
            Err(why) => return Ok(Err(Refusal::new(Code::B0408, format!("envelope {at}: {why}")))),
        };
        if let Some(last) = all.as_ref().and_then(|all| all.opened.last()) {
            let by_type = |predicate_type: &str| (rank(predicate_type), predicate_type.to_owned());
            let mut order = by_type(&last.predicate_type).cmp(&by_type(&read.predicate_type));
            if order.is_eq() {
                order = match judged(compare(file, &lines[at - 2].payload, &line.payload), Code::B0401, path)? {
                    Ok(order) => order,
                    Err(refusal) => return Ok(Err(refusal)),
                };
            }
            if order.is_ge() {
                let why = format!("envelope {at} is not in order, or is there twice");
                return Ok(Err(Refusal::new(Code::B0401, why)));
            }
        }
        let one = Opened {
            signers,
            predicate_type: read.predicate_type,
            predicate_sha256: read.predicate_sha256,
            provenance,
        };
        match &mut all {
            Some(all) => all.opened.push(one),
            None => {
                let (subject, payload_sha256) = (read.subject, read.payload_sha256);
                all = Some(Statements { opened: vec![one], subject, payload_sha256 });
            }
        }
    }
    Ok(all.ok_or_else(|| Refusal::new(Code::B0401, "there is no envelope")))
}

fn rank(predicate_type: &str) -> usize {
    let known = [uri::PROVENANCE_TYPE, uri::SPDX_TYPE, uri::CYCLONEDX_TYPE];
    known.iter().position(|uri| *uri == predicate_type).unwrap_or(known.len())
}

impl Signed {
    /// Bytes beyond which nothing is read in the place of the archive, as it cannot be that: a file may claim any size.
    fn most(&self) -> u64 {
        self.size.saturating_mul(2).saturating_add(1024 * 1024)
    }

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
            predicates: self.opened.iter().map(|one| one.predicate_type.clone()).collect(),
            sha256: self.subject[0].digest.sha256.clone(),
        }
    }

    /// The predicates of a type, which must all be the document of this digest.
    fn check_predicates(&self, predicate_type: &str, sha256: &[u8; 32]) -> Result<(), String> {
        let mut all = self.opened.iter().filter(|one| one.predicate_type == predicate_type);
        match all.find(|one| one.predicate_sha256 != *sha256) {
            None => Ok(()),
            Some(_) => Err("it is not the document of the signed attestation".to_owned()),
        }
    }
}

/// Checks what the archive holds against what was signed.
fn verify_contents(checks: &mut Checks, found: Described, exec: &Bits, signed: &Signed) {
    let bundle = &signed.external.bundle;

    let result = if found.sums != signed.subject[1].digest.sha256 {
        Err(format!("its SHA-256 is {}, signed was {}", found.sums, signed.subject[1].digest.sha256))
    } else if found.sums_fit {
        Ok(format!("{} files", found.entries - 1))
    } else {
        Err("it is not the list of what is there".to_owned())
    };
    note(checks, CheckName::Sums, Code::B0701, result);

    let result = found.manifest.and_then(|manifest| check_manifest(&manifest, &found.root, exec, signed));
    note(checks, CheckName::Manifest, Code::B0702, result);

    let result = signed
        .check_predicates(uri::SPDX_TYPE, &found.spdx_sha256)
        .and(found.spdx)
        .and_then(|spdx| spdx.check(&bundle.name, &bundle.version));
    note(checks, CheckName::Spdx, Code::B0703, result.map(|()| "SPDX 2.3".to_owned()));

    let result = signed.check_predicates(uri::CYCLONEDX_TYPE, &found.cyclonedx_sha256).and(found.cyclonedx);
    let result = result.and_then(|document| document.check(&bundle.name, &bundle.version).map(|()| document.format));
    note(checks, CheckName::Cyclonedx, Code::B0704, result.map(|format| format!("CycloneDX {}", format.word())));
}

fn note(checks: &mut Checks, name: CheckName, code: Code, result: Result<String, String>) {
    checks.record(name, result.map(|note| ((), note)).map_err(|why| Refusal::new(code, why)));
}

/// The manifest must be exactly what follows from the contents and the provenance.
fn check_manifest(found: &ManifestFound, root: &str, exec: &Bits, signed: &Signed) -> Result<String, String> {
    let expected = BundleManifest::of_parts(&signed.external, &signed.plan_hash, root);
    if found.manifest.root != expected.root {
        return Err(format!("its content root is not {root}"));
    }
    if found.exec != *exec {
        return Err("other files may be executed than it says".to_owned());
    }
    if found.manifest != expected {
        return Err("it contradicts the provenance".to_owned());
    }
    Ok(format!("content root {root}"))
}
