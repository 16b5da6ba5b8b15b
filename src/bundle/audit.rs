//! Known vulnerabilities of the packages in a bundle, by OSV records from a folder: never from a network. What
//! was looked at and what was not is said for every ecosystem. Leaves out the decision.

mod cvss;
mod database;
mod osv;
mod vex;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bundle::spec::Component;

pub use cvss::Severity;
pub use database::{Database, hash_database, load_database};
pub use vex::{Vex, VexStatus, vex_document};

/// How far one ecosystem was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The ecosystem as OSV names it, or the type of the package URL where OSV has none.
    pub ecosystem: String,
    /// How many packages of it the bundle has.
    pub packages: u64,
    /// How many records of it the database has.
    pub records: u64,
    /// How versions were compared.
    pub how: Compared,
}

/// How versions were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// By ranges and by lists: the order of versions is known.
    Ordered,
    /// By lists alone: what a record gives only as a range was not seen.
    Enumerated,
    /// Not at all: the database has nothing about this ecosystem.
    NoData,
}

impl Compared {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ordered => "ranges and lists of versions",
            Self::Enumerated => "lists of versions only",
            Self::NoData => "not looked at: the database has no record of it",
        }
    }
}

/// What is known of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuditFinding {
    /// The id of the record.
    pub id: String,
    /// Other names of the same vulnerability.
    pub aliases: Vec<String>,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// How grave it is.
    pub severity: Severity,
    /// The vector that says so, if there is one.
    pub vector: Option<String>,
    /// What it is, in a line.
    pub summary: String,
    /// The first versions without it, as the record has them.
    pub fixed: Vec<String>,
    /// What a VEX document says of it.
    pub vex: Option<VexStatus>,
}

impl AuditFinding {
    /// Whether it stands: nobody has said that it does not concern the bundle.
    pub fn is_open(&self) -> bool {
        !matches!(self.vex, Some(VexStatus::NotAffected { .. } | VexStatus::Fixed))
    }

    /// How it stands, for people.
    pub fn state(&self) -> String {
        match &self.vex {
            None if self.fixed.is_empty() => "open".to_owned(),
            None => format!("open; fixed in {}", self.fixed.join(", ")),
            Some(status) => status.words(),
        }
    }
}

/// The outcome of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The digest of the database.
    pub database: String,
    /// The newest change in it, RFC 3339.
    pub last_update: String,
    /// Ecosystem by ecosystem.
    pub coverage: Vec<Coverage>,
    /// What was found, sorted.
    pub findings: Vec<AuditFinding>,
    /// Packages whose versions could not be compared, by package URL.
    pub undetermined: Vec<String>,
}

/// The ecosystem of OSV for a type of package URL, and whether we know the order of its versions.
fn ecosystem(kind: &str) -> Option<(&'static str, bool)> {
    Some(match kind {
        "cargo" => ("crates.io", true),
        "npm" => ("npm", true),
        "pypi" => ("PyPI", false),
        "golang" => ("Go", false),
        "gem" => ("RubyGems", false),
        "maven" => ("Maven", false),
        "nuget" => ("NuGet", false),
        _ => return None,
    })
}

/// The name under which an ecosystem keeps a package.
fn canonical_name(ecosystem: &str, name: &str) -> String {
    if ecosystem == "PyPI" {
        // PEP 503: runs of `-`, `_` and `.` are one `-`, in lower case.
        let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
        return words.collect::<Vec<_>>().join("-").to_lowercase();
    }
    name.to_owned()
}

/// Looks for the packages in a database.
pub fn audit(components: &[Component], database: &Database) -> Audit {
    let mut coverage: BTreeMap<String, Coverage> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut undetermined = Vec::new();
    for component in components {
        let known = ecosystem(&component.kind);
        let name = known.map_or(component.kind.as_str(), |(name, _)| name);
        let records = database.records_of(name);
        let how = match known {
            Some(_) if records == 0 => Compared::NoData,
            Some((_, true)) => Compared::Ordered,
            Some((_, false)) => Compared::Enumerated,
            None => Compared::NoData,
        };
        coverage
            .entry(name.to_owned())
            .or_insert_with(|| Coverage { ecosystem: name.to_owned(), packages: 0, records, how })
            .packages += 1;
        if how == Compared::NoData {
            continue;
        }
        let package = canonical_name(name, &component.name);
        let mut found: Vec<AuditFinding> = Vec::new();
        for record in database.find(name, &package) {
            match record.affects(name, &package, &component.version, how == Compared::Ordered) {
                Some(true) => merge(&mut found, record.finding(name, &package, component)),
                Some(false) => {}
                None => undetermined.push(component.purl()),
            }
        }
        findings.extend(found);
    }
    findings.sort();
    undetermined.sort();
    undetermined.dedup();
    Audit {
        database: database.digest.clone(),
        last_update: database.last_update.clone(),
        coverage: coverage.into_values().collect(),
        findings,
        undetermined,
    }
}

/// Adds a finding, or joins it to one that is the same under another name.
fn merge(found: &mut Vec<AuditFinding>, new: AuditFinding) {
    fn names(finding: &AuditFinding) -> impl Iterator<Item = &String> {
        finding.aliases.iter().chain([&finding.id])
    }
    let same = |known: &AuditFinding| names(known).any(|name| names(&new).any(|other| name == other));
    let Some(at) = found.iter().position(same) else { return found.push(new) };
    let known = &mut found[at];
    known.severity = known.severity.max(new.severity);
    known.vector = known.vector.take().or(new.vector);
    known.fixed.extend(new.fixed);
    known.fixed.sort();
    known.fixed.dedup();
    known.aliases.extend(new.aliases.into_iter().chain([new.id]));
    let id = known.id.clone();
    known.aliases.retain(|alias| *alias != id);
    known.aliases.sort();
    known.aliases.dedup();
}

impl Audit {
    /// Sets what VEX documents say. Of several statements about one finding the last counts.
    pub fn apply(&mut self, documents: &[Vex], bundle_purl: &str) {
        for finding in &mut self.findings {
            for document in documents {
                if let Some(status) = document.status(finding, bundle_purl) {
                    finding.vex = Some(status);
                }
            }
        }
    }

    /// The predicate of in-toto vulns v0.2. Its times are those of the database, so it is the same again.
    pub fn predicate(&self) -> Value {
        let results: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let severity = match &finding.vector {
                    Some(vector) => json!([{"method": "CVSS_V3", "score": vector}]),
                    None => json!([{"method": "database", "score": finding.severity.word()}]),
                };
                json!({
                    "id": finding.id, "severity": severity,
                    "annotations": [{"package": finding.purl}, {"state": finding.state()}],
                })
            })
            .collect();
        json!({
            "scanner": {
                "uri": "https://partita.example/scanners/osv/v1",
                "db": {"uri": "https://osv.dev", "version": self.database, "lastUpdate": self.last_update},
                "result": results,
            },
            "metadata": {"scanStartedOn": self.last_update, "scanFinishedOn": self.last_update},
        })
    }
}

#[cfg(test)]
mod tests;
