//! OpenVEX 0.2 documents, read and written: who knows a product says whether a vulnerability concerns it.
//! Leaves out whether to believe it: the caller names the documents.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bundle::audit::{Audit, AuditFinding};
use crate::bundle::json::canonical;
use crate::bundle::sbom::content_uuid;

const CONTEXT: &str = "https://openvex.dev/ns/v0.2.0";

/// What is said of a vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum VexStatus {
    /// It does not concern the product.
    NotAffected {
        /// Why not.
        why: String,
    },
    /// The product is affected.
    Affected,
    /// The product no longer has it.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

impl VexStatus {
    /// For people.
    pub fn words(&self) -> String {
        match self {
            Self::NotAffected { why } if why.is_empty() => "does not concern it".to_owned(),
            Self::NotAffected { why } => format!("does not concern it: {}", why.replace('_', " ")),
            Self::Affected => "open: affected".to_owned(),
            Self::Fixed => "fixed".to_owned(),
            Self::UnderInvestigation => "open: under investigation".to_owned(),
        }
    }
}

/// A document.
#[derive(Clone, Debug, Deserialize)]
pub struct Vex {
    #[serde(rename = "@context")]
    context: String,
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
struct Statement {
    vulnerability: Vulnerability,
    #[serde(default)]
    products: Vec<Product>,
    status: String,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default, rename = "impact_statement")]
    impact: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Full {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

#[derive(Clone, Debug, Deserialize)]
struct Product {
    #[serde(rename = "@id", default)]
    id: String,
    #[serde(default)]
    identifiers: Identifiers,
    #[serde(default)]
    subcomponents: Vec<Product>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Identifiers {
    #[serde(default)]
    purl: String,
}

impl Product {
    /// Whether it is the product of a package URL: of any version if it names none.
    fn is(&self, purl: &str) -> bool {
        let bare = purl.rsplit_once('@').map_or(purl, |(bare, _)| bare);
        [&self.id, &self.identifiers.purl].into_iter().any(|id| id == purl || id == bare)
    }
}

impl Vex {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !document.context.starts_with("https://openvex.dev/ns") {
            return Err(format!("its context is `{}`, not that of OpenVEX", document.context));
        }
        for statement in &document.statements {
            statement.status()?;
        }
        Ok(document)
    }

    /// What it says of a finding in a bundle: the last statement about it.
    pub(super) fn status(&self, finding: &AuditFinding, bundle_purl: &str) -> Option<VexStatus> {
        let fits = |statement: &&Statement| {
            let (name, aliases) = match &statement.vulnerability {
                Vulnerability::Name(name) => (name, &[][..]),
                Vulnerability::Full { name, aliases } => (name, &aliases[..]),
            };
            let mut names = aliases.iter().chain([name]);
            let named = names.any(|name| *name == finding.id || finding.aliases.contains(name));
            let about = statement.products.iter().any(|product| {
                let part = |part: &Product| part.is(&finding.purl);
                product.is(&finding.purl)
                    || product.is(bundle_purl)
                        && (product.subcomponents.is_empty() || product.subcomponents.iter().any(part))
            });
            named && about
        };
        self.statements.iter().rev().find(fits).and_then(|statement| statement.status().ok())
    }
}

impl Statement {
    fn status(&self) -> Result<VexStatus, String> {
        Ok(match self.status.as_str() {
            "not_affected" => {
                let why = self.justification.clone().or_else(|| self.impact.clone());
                // The specification asks for one of the two: without a reason it is only a wish.
                VexStatus::NotAffected { why: why.ok_or("a statement `not_affected` gives no reason")? }
            }
            "affected" => VexStatus::Affected,
            "fixed" => VexStatus::Fixed,
            "under_investigation" => VexStatus::UnderInvestigation,
            other => return Err(format!("the status `{other}` is not known")),
        })
    }
}

/// A document about all findings of an audit, in canonical bytes: what stands is under investigation, what was
/// said before is said again. Its time is that of the database.
pub fn vex_document(audit: &Audit, author: &str, bundle_purl: &str) -> Vec<u8> {
    let statements: Vec<Value> = audit
        .findings
        .iter()
        .map(|finding| {
            let mut statement = json!({
                "vulnerability": {"name": finding.id, "aliases": finding.aliases},
                "products": [{"@id": bundle_purl, "subcomponents": [{"@id": finding.purl}]}],
            });
            let status = match &finding.vex {
                Some(VexStatus::NotAffected { why }) => {
                    let known = JUSTIFICATIONS.contains(&why.as_str());
                    statement[if known { "justification" } else { "impact_statement" }] = json!(why);
                    "not_affected"
                }
                Some(VexStatus::Fixed) => "fixed",
                Some(VexStatus::Affected) => {
                    statement["action_statement"] = json!("see the versions in which it is fixed");
                    "affected"
                }
                Some(VexStatus::UnderInvestigation) | None => "under_investigation",
            };
            statement["status"] = json!(status);
            statement
        })
        .collect();
    let mut document = json!({
        "@context": CONTEXT, "author": author, "timestamp": audit.last_update, "version": 1, "statements": statements,
    });
    let id = format!("https://partita.example/vex/{}", content_uuid(blake3::hash(&canonical(&document))));
    document["@id"] = Value::String(id);
    canonical(&document)
}

/// The reasons that OpenVEX knows.
const JUSTIFICATIONS: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];
