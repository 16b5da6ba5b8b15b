//! One OSV record (schema 1.7) and whether it affects a version. Leaves out where records come from.

use serde::Deserialize;
use serde_json::Value;

use crate::bundle::audit::{AuditFinding, Severity, canonical_name};
use crate::bundle::spec::Component;
use crate::bundle::version::Version;

/// A record, as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    #[serde(default)]
    pub(super) modified: String,
    #[serde(default)]
    pub(super) withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    pub(super) affected: Vec<Affected>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Clone, Debug, Deserialize)]
struct Score {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Affected {
    #[serde(default)]
    pub(super) package: Option<Package>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Package {
    pub(super) ecosystem: String,
    pub(super) name: String,
}

impl Package {
    /// The ecosystem without a release after `:`.
    pub(super) fn ecosystem(&self) -> &str {
        self.ecosystem.split(':').next().unwrap_or_default()
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Moment>,
}

/// One of its fields is there.
#[derive(Clone, Debug, Default, Deserialize)]
struct Moment {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

impl Record {
    fn of<'a>(&'a self, ecosystem: &'a str, name: &'a str) -> impl Iterator<Item = &'a Affected> {
        self.affected.iter().filter(move |affected| {
            affected.package.as_ref().is_some_and(|package| {
                package.ecosystem() == ecosystem && canonical_name(ecosystem, &package.name) == name
            })
        })
    }

    /// Whether a version of a package is affected. `None`: the versions cannot be compared.
    pub(super) fn affects(&self, ecosystem: &str, name: &str, version: &str, ordered: bool) -> Option<bool> {
        let mut sure = true;
        for affected in self.of(ecosystem, name) {
            if affected.versions.iter().any(|listed| listed == version) {
                return Some(true);
            }
            if !ordered {
                continue;
            }
            for range in affected.ranges.iter().filter(|range| range.kind != "GIT") {
                match range.holds(version) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => sure = false,
                }
            }
        }
        sure.then_some(false)
    }

    /// The finding for a package that it affects.
    pub(super) fn finding(&self, ecosystem: &str, name: &str, component: &Component) -> AuditFinding {
        let affected: Vec<&Affected> = self.of(ecosystem, name).collect();
        let scores = affected.iter().flat_map(|affected| &affected.severity).chain(&self.severity);
        let vector = scores
            .filter(|score| score.kind == "CVSS_V3")
            .filter_map(|score| Some((Severity::of_vector(&score.score)?, &score.score)))
            .max_by_key(|(severity, _)| *severity);
        let words = affected.iter().map(|affected| &affected.database_specific).chain([&self.database_specific]);
        let word = words.filter_map(|value| Severity::of_word(value["severity"].as_str()?)).max();
        let moments = affected.iter().flat_map(|affected| &affected.ranges).flat_map(|range| &range.events);
        let mut fixed: Vec<String> = moments.filter_map(|moment| moment.fixed.clone()).collect();
        fixed.sort();
        fixed.dedup();
        let mut aliases = self.aliases.clone();
        aliases.sort();
        AuditFinding {
            id: self.id.clone(),
            aliases,
            package: component.name.clone(),
            version: component.version.clone(),
            purl: component.purl(),
            severity: vector.map(|(severity, _)| severity).or(word).unwrap_or(Severity::Unknown),
            vector: vector.map(|(_, vector)| vector.clone()),
            summary: self.summary.clone().unwrap_or_default(),
            fixed,
            vex: None,
        }
    }
}

impl Range {
    /// The algorithm of the schema's section "Evaluation".
    fn holds(&self, version: &str) -> Option<bool> {
        let version = Version::parse(version)?;
        let mut within = true;
        let mut limited = false;
        let mut moments: Vec<(Version, u8, bool)> = Vec::new();
        for moment in &self.events {
            if let Some(text) = &moment.introduced {
                moments.push((Version::parse(text)?, 1, true));
            }
            if let Some(text) = &moment.fixed {
                moments.push((Version::parse(text)?, 0, false));
            }
            if let Some(text) = &moment.last_affected {
                moments.push((Version::parse(text)?, 2, false));
            }
            if let Some(text) = &moment.limit {
                let before = text == "*" || version < Version::parse(text)?;
                within = if limited { within || before } else { before };
                limited = true;
            }
        }
        // At one version: what is fixed ends, then what is introduced begins, then what is affected last ends.
        moments.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut affected = false;
        for (at, kind, begins) in moments {
            let passed = if kind == 2 { version > at } else { version >= at };
            if passed {
                affected = begins;
            }
        }
        Some(affected && within)
    }
}
