//! Looking for known vulnerabilities in a bundle: the scan is kept by the digests of the SBOM and of the
//! database, and what VEX documents say and the gate come after. Leaves out matching.

use std::path::{Path, PathBuf};

use crate::bundle::{
    self, Audit, AuditFinding, Compared, Inspected, Severity, Vex, hash_database, inspect, load_database, purl,
    sha256_hex, vex_document, vulns_statement,
};
use crate::ops::Error;
use crate::ops::attest::{Attest, write_signed};
use crate::ops::run::write_atomically;

/// The version of what is kept; a change of the matching is a new one.
const KEPT: &str = "audit/1";

/// What to look for, and what to do with it.
pub struct AuditRequest<'a> {
    /// The folder of OSV data.
    pub database: &'a Path,
    /// VEX documents.
    pub vex: &'a [PathBuf],
    /// From which severity on an open finding is a no. `None`: never.
    pub gate: Option<Severity>,
    /// Where scans are kept.
    pub keep: Option<&'a Path>,
}

/// What was found.
pub struct AuditReply {
    /// The scan.
    pub audit: Audit,
    /// What the bundle says.
    pub inspected: Inspected,
    /// Whether the scan was on record.
    pub cached: bool,
    gate: Option<Severity>,
}

impl AuditReply {
    /// Findings that stand.
    pub fn open(&self) -> impl Iterator<Item = &AuditFinding> {
        self.audit.findings.iter().filter(|finding| finding.is_open())
    }

    /// Findings that the gate does not let through.
    pub fn refused(&self) -> impl Iterator<Item = &AuditFinding> {
        self.open().filter(|finding| self.gate.is_some_and(|gate| finding.severity >= gate))
    }

    /// Whether the gate lets the bundle through.
    pub fn accepted(&self) -> bool {
        self.refused().next().is_none()
    }

    /// Whether there were packages, and all of them were looked at by the order of their versions.
    pub fn is_covered(&self) -> bool {
        let coverage = &self.audit.coverage;
        !coverage.is_empty()
            && coverage.iter().all(|one| one.how == Compared::Ordered)
            && self.audit.undetermined.is_empty()
    }

    /// How much was looked at, in short.
    pub fn coverage_line(&self) -> String {
        let packages = |how: &[Compared]| -> u64 {
            self.audit.coverage.iter().filter(|one| how.contains(&one.how)).map(|one| one.packages).sum()
        };
        let all = packages(&[Compared::Ordered, Compared::Enumerated, Compared::NoData]);
        let seen = all - packages(&[Compared::NoData]);
        match all {
            0 => "no packages to look for".to_owned(),
            _ => format!("{seen} of {all} packages looked at"),
        }
    }

    /// What was done and how far it goes, for people.
    pub fn sentence(&self) -> String {
        let mut text = format!("{}, in OSV data as of {}.", capital(&self.coverage_line()), self.audit.last_update);
        for one in self.audit.coverage.iter().filter(|one| one.how != Compared::Ordered) {
            text.push_str(&format!(" {}: {}.", one.ecosystem, one.how.words()));
        }
        if !self.audit.undetermined.is_empty() {
            text.push_str(&format!(" {} could not be compared.", self.audit.undetermined.len()));
        }
        text
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Looks for known vulnerabilities of the packages in a bundle.
pub fn audit(zip: &Path, request: &AuditRequest<'_>) -> Result<AuditReply, Error> {
    let inspected = inspect(zip)?;
    let documents = request.vex.iter().map(|path| read_vex(path)).collect::<Result<Vec<Vex>, Error>>()?;
    let digest = hash_database(request.database)?;
    let kept = request.keep.map(|dir| {
        let key = sha256_hex(format!("{KEPT}\n{}\n{digest}\n", inspected.sbom_sha256).as_bytes());
        dir.join(format!("{key}.json"))
    });
    // What is kept can be made anew, so what cannot be read of it is as good as not there.
    let found = kept.as_ref().and_then(|path| std::fs::read(path).ok());
    let found: Option<Audit> = found.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let cached = found.is_some();
    let mut audit = match found {
        Some(audit) => audit,
        None => {
            let database = load_database(request.database, digest, &inspected.components)?;
            let audit = bundle::audit(&inspected.components, &database);
            if let Some(path) = &kept {
                let text = serde_json::to_vec(&audit).map_err(|error| Error::Internal(error.to_string()))?;
                write_atomically(path, &text)?;
            }
            audit
        }
    };
    audit.apply(&documents, &bundle_purl(&inspected));
    Ok(AuditReply { audit, inspected, cached, gate: request.gate })
}

fn bundle_purl(inspected: &Inspected) -> String {
    purl("generic", &inspected.manifest.name, &inspected.manifest.version)
}

fn read_vex(path: &Path) -> Result<Vex, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Vex::parse(&bytes).map_err(|why| Error::usage(format!("`{}` is no VEX document: {why}", path.display())))
}

/// Writes an OpenVEX document about what was found, to be filled in by who knows.
pub fn write_vex(reply: &AuditReply, path: &Path) -> Result<(), Error> {
    let purl = bundle_purl(&reply.inspected);
    write_atomically(path, &vex_document(&reply.audit, &reply.inspected.manifest.tenant, &purl))
}

/// Writes a signed statement of what was found.
pub fn attest_audit(reply: &AuditReply, attest: &Attest<'_>) -> Result<(), Error> {
    write_signed(attest, &vulns_statement(&reply.inspected, &reply.audit.predicate()))
}
