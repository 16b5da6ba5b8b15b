//! The router: which candidate serves what is asked, at what most it costs, and why the others do
//! not. A pure function of the specs, done at compile time, so that a reviewer sees its answer in the
//! plan. Leaves out how the one chosen is started: see `expand`.

mod choose;
mod estimate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Period, format_micro_usd, parse_micro_usd};

pub(crate) use choose::{Asking, Server, Sought, choose, net, owner};
pub use estimate::Estimate;

/// How what an action asks for is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The capability; `None` for an agent's own work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// The agent that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// `tool` or `agent`.
    pub kind: String,
    /// Who serves.
    pub chosen: String,
    /// `primary` or `secondary`.
    pub tier: String,
    /// The model, of an agent whose provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The most it costs, in micro-dollars, all attempts together.
    pub at_most: u64,
    /// The most it costs once in a run, however many actions it serves, in micro-dollars.
    pub once: u64,
    /// How that comes about.
    pub price: String,
    /// The first action that the same tool serves in this plan, where this is not it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesced: Option<String>,
    /// How much work it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Who does not serve, in the order of the map.
    pub rejected: Vec<Rejected>,
}

/// A candidate that does not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// The candidate.
    pub candidate: String,
    /// Why, as a word.
    pub code: String,
    /// Why, for people.
    pub why: String,
}

impl Route {
    /// One line: who serves, of which tier, at what most it costs.
    pub fn describe(&self) -> String {
        let Self { kind, chosen, tier, .. } = self;
        let model = self.model.as_ref().map_or(String::new(), |model| format!(", model {model}"));
        let once =
            if self.once > 0 { format!(" and ${} once in a run", format_micro_usd(self.once)) } else { String::new() };
        format!("{kind} {chosen} ({tier}{model}), at most ${}{once}", format_micro_usd(self.at_most))
    }
}

/// What a plan is bound to besides its actions: who owns it, what it may cost, where secrets are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantTerms>,
    /// The budget of the graph, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// The most a run costs, in micro-dollars.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_most: u64,
    /// Secrets that actions are given, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretTerms>,
    /// Packages of others that the specs rest on, by name, with all that they rest on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, PackageTerms>,
    /// The root digest of the lock file over these, in hexadecimal; `None`: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
}

/// A package of others, as locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageTerms {
    /// The version.
    pub version: String,
    /// Where it comes from.
    pub source: String,
    /// The digest of its files, in hexadecimal.
    pub tree: String,
    /// What it may do, as words of `grant`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
}

/// What a tenant grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantTerms {
    /// The name.
    pub name: String,
    /// Its budget, as words: `$500.00 per month, then pause`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// Tiers that may be used.
    pub tiers: Vec<String>,
    /// Levels of trust that a skill may have; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Vec<String>>,
    /// Capabilities that may be used; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Limits, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quota: BTreeMap<String, u64>,
    /// Its share when tenants compete.
    pub weight: u64,
}

impl TenantTerms {
    /// What its budget comes to: micro-dollars, and whether it pauses then.
    pub fn allowance(&self) -> Option<(u64, bool)> {
        let (usd, rest) = self.budget.as_ref()?.strip_prefix('$')?.split_once(' ')?;
        Some((parse_micro_usd(usd)?, rest.ends_with("then pause")))
    }

    /// The time that its budget is for; `None`: a run.
    pub fn period(&self) -> Option<Period> {
        let (_, rest) = self.budget.as_ref()?.split_once(" per ")?;
        Period::of_word(rest.split_once(',')?.0)
    }
}

/// Where a secret is read when an action runs. The value is nowhere in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretTerms {
    /// `env`, `file` or `command`.
    pub from: String,
    /// The variable, the file, or the command with its arguments.
    pub key: String,
}

impl Terms {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
