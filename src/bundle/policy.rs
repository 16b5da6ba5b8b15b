//! The trust policy as data: which keys exist, who may build, and what each tenant demands. Default
//! deny: what is not allowed here is refused. Its KDL text is read elsewhere. Leaves out judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::bundle::error::Error;
use crate::bundle::key::PublicKey;
use crate::bundle::uri;
use crate::bundle::version::Version;
use crate::plan::Isolation;

/// A place in the text of a policy, so that a refusal can point at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The text of the line.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text.trim())
    }
}

/// A trust policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Its epoch. It only rises; keys are valid by it, not by the clock.
    pub epoch: u64,
    /// Keys by name.
    pub keys: BTreeMap<String, TrustedKey>,
    /// Builders, each with the keys that may sign for it.
    pub builders: Vec<TrustedBuilder>,
    /// What each tenant demands.
    pub tenants: BTreeMap<String, TenantPolicy>,
    /// What every other tenant demands: only of a workspace about its own bundles. Policies from files have none.
    pub others: Option<TenantPolicy>,
}

/// A key that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// The first epoch in which it is valid.
    pub from_epoch: Option<u64>,
    /// The last epoch in which it is valid.
    pub until_epoch: Option<u64>,
    /// Where that is said.
    pub valid_place: Option<Place>,
    /// Whether it has been revoked.
    pub revoked: Option<Revocation>,
    /// Where the key is declared.
    pub place: Option<Place>,
}

/// That a key must not be trusted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// From which epoch on.
    pub at_epoch: u64,
    /// Why.
    pub reason: String,
    /// Where that is said.
    pub place: Option<Place>,
}

/// A builder and the keys that may sign for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedBuilder {
    /// The builder's URI; see [`crate::bundle::builder_id`].
    pub uri: String,
    /// Names of keys.
    pub signers: Vec<String>,
    /// Where that is said.
    pub place: Option<Place>,
}

/// What a tenant demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantPolicy {
    /// Attestations that must be there.
    pub requires: Vec<Requirement>,
    /// Sources of specs that are accepted; none: any.
    pub sources: Vec<AllowedSource>,
    /// The oldest version accepted, by the bundle's name.
    pub minimums: BTreeMap<String, MinimumVersion>,
    /// Transparency logs.
    pub logs: Vec<LogRule>,
    /// Where the tenant is declared.
    pub place: Option<Place>,
}

/// An attestation that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The type of its predicate, exactly.
    pub predicate: String,
    /// How many different keys must have signed one.
    pub threshold: usize,
    /// Names of the keys that count.
    pub signers: Vec<String>,
    /// For provenance: URIs of the builders that count.
    pub builders: Vec<String>,
    /// Where that is said.
    pub place: Option<Place>,
}

/// A source of specs that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedSource {
    /// The repository, exactly.
    pub repository: String,
    /// Branches and tags, exactly; none: any.
    pub refs: Vec<String>,
    /// Where that is said.
    pub place: Option<Place>,
}

/// The oldest version accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimumVersion {
    /// The version.
    pub version: String,
    /// Where that is said.
    pub place: Option<Place>,
}

/// A transparency log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRule {
    /// The log's name.
    pub name: String,
    /// Whether a bundle needs a proof of it.
    pub required: bool,
    /// Its key. Without one no proof of it can be checked, so if one is required all is refused.
    pub key: Option<PublicKey>,
    /// Where that is said.
    pub place: Option<Place>,
}

impl TrustedKey {
    /// A key that is valid in every epoch.
    pub fn new(key: PublicKey) -> Self {
        Self { key, from_epoch: None, until_epoch: None, valid_place: None, revoked: None, place: None }
    }
}

impl Requirement {
    /// One signature of one of these keys under a predicate.
    pub fn new(predicate: &str, signers: &[&str]) -> Self {
        Self {
            predicate: predicate.to_owned(),
            threshold: 1,
            signers: signers.iter().map(|&name| name.to_owned()).collect(),
            builders: Vec::new(),
            place: None,
        }
    }

    /// Needs this many different keys.
    pub fn threshold(mut self, threshold: usize) -> Self {
        self.threshold = threshold;
        self
    }

    /// Accepts this builder.
    pub fn builder(mut self, uri: &str) -> Self {
        self.builders.push(uri.to_owned());
        self
    }
}

impl TenantPolicy {
    /// Demands an attestation.
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requires.push(requirement);
        self
    }

    /// Demands at least this version of a bundle.
    pub fn minimum(mut self, bundle: &str, version: &str, place: Option<Place>) -> Self {
        self.minimums.insert(bundle.to_owned(), MinimumVersion { version: version.to_owned(), place });
        self
    }

    /// Accepts specs of this repository; without `refs` from anywhere in it.
    pub fn source(mut self, repository: &str, refs: &[&str], place: Option<Place>) -> Self {
        let refs = refs.iter().map(|&name| name.to_owned()).collect();
        self.sources.push(AllowedSource { repository: repository.to_owned(), refs, place });
        self
    }
}

impl Policy {
    /// A policy of an epoch that trusts nobody.
    pub fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Adds a key.
    pub fn key(mut self, name: &str, key: TrustedKey) -> Self {
        self.keys.insert(name.to_owned(), key);
        self
    }

    /// Accepts signatures of these keys for what a builder made.
    pub fn builder(mut self, uri: &str, signers: &[&str]) -> Self {
        let signers = signers.iter().map(|&name| name.to_owned()).collect();
        self.builders.push(TrustedBuilder { uri: uri.to_owned(), signers, place: None });
        self
    }

    /// Adds a tenant.
    pub fn tenant(mut self, name: &str, tenant: TenantPolicy) -> Self {
        self.tenants.insert(name.to_owned(), tenant);
        self
    }

    /// The policy by which a tenant checks its own bundles: its key, any of our builders, and all
    /// three attestations.
    pub fn trusting(key: PublicKey, tenant: &str) -> Self {
        Self::trusting_all([("self".to_owned(), key)].into(), tenant, 1)
    }

    /// The same for several keys by name, so many of which must have signed.
    pub fn trusting_all(keys: BTreeMap<String, PublicKey>, tenant: &str, threshold: usize) -> Self {
        let mut policy = Self::trusting_any(keys, threshold);
        policy.tenants.extend(policy.others.take().map(|demands| (tenant.to_owned(), demands)));
        policy
    }

    /// The same for bundles of whichever tenant.
    pub fn trusting_any(keys: BTreeMap<String, PublicKey>, threshold: usize) -> Self {
        let names: Vec<&str> = keys.keys().map(String::as_str).collect();
        let builders = [Isolation::Full, Isolation::Landlock, Isolation::None].map(uri::builder_id);
        let require = |predicate| Requirement::new(predicate, &names).threshold(threshold);
        let provenance = builders.iter().fold(require(uri::PROVENANCE_TYPE), |r, uri| r.builder(uri));
        let demands = TenantPolicy::default()
            .require(provenance)
            .require(require(uri::SPDX_TYPE))
            .require(require(uri::CYCLONEDX_TYPE));
        let start = Self { others: Some(demands), ..Self::new(0) };
        let policy = builders.iter().fold(start, |policy, uri| policy.builder(uri, &names));
        Self { keys: keys.into_iter().map(|(name, key)| (name, TrustedKey::new(key))).collect(), ..policy }
    }

    /// Checks that the policy does not contradict itself: one name per key, known names, thresholds
    /// that can be met, builders that someone may sign for, minimums that can be compared.
    pub fn check(&self) -> Result<(), Error> {
        let fail = |why: String, place: &Option<Place>| Err(Error::Policy { why, place: place.clone() });
        let mut seen: BTreeMap<&[u8], &str> = BTreeMap::new();
        for (name, key) in &self.keys {
            if let Some(other) = seen.insert(key.key.spki_der(), name) {
                let why = format!("the keys `{other}` and `{name}` are one key: a key has one name and one purpose");
                return fail(why, &key.place);
            }
            if matches!((key.from_epoch, key.until_epoch), (Some(from), Some(until)) if from > until) {
                return fail(format!("the key `{name}` is never valid"), &key.valid_place);
            }
        }
        let known = |names: &[String]| names.iter().find(|name| !self.keys.contains_key(*name)).cloned();
        for builder in &self.builders {
            if let Some(name) = known(&builder.signers) {
                return fail(format!("the builder `{}` names the unknown key `{name}`", builder.uri), &builder.place);
            }
        }
        let others = self.others.iter().map(|policy| ("any other", policy));
        for (tenant, policy) in self.tenants.iter().map(|(name, policy)| (name.as_str(), policy)).chain(others) {
            for requirement in &policy.requires {
                self.check_requirement(tenant, requirement)?;
            }
            for log in &policy.logs {
                // A key has one purpose: who may sign bundles with it could forge a log, and the other way round.
                if let Some(key) = &log.key
                    && let Some(name) = seen.get(key.spki_der())
                {
                    return fail(
                        format!("the log `{}` has the key `{name}`, which signs bundles", log.name),
                        &log.place,
                    );
                }
            }
            for (bundle, minimum) in &policy.minimums {
                if Version::parse(&minimum.version).is_none() {
                    let why = format!("the minimum `{}` of `{bundle}` is not a version", minimum.version);
                    return fail(why, &minimum.place);
                }
            }
        }
        Ok(())
    }

    fn check_requirement(&self, tenant: &str, requirement: &Requirement) -> Result<(), Error> {
        let what = format!("tenant `{tenant}` requires `{}`", requirement.predicate);
        let fail = |why: String| Err(Error::Policy { why, place: requirement.place.clone() });
        if let Some(name) = requirement.signers.iter().find(|name| !self.keys.contains_key(*name)) {
            return fail(format!("{what} of the unknown key `{name}`"));
        }
        let signers: BTreeSet<_> = requirement.signers.iter().collect();
        if requirement.threshold == 0 || requirement.threshold > signers.len() {
            return fail(format!("{what} of {} of {} keys", requirement.threshold, signers.len()));
        }
        if requirement.predicate == uri::PROVENANCE_TYPE {
            if requirement.builders.is_empty() {
                return fail(format!("{what} and names no builder"));
            }
            for uri in &requirement.builders {
                if !signers.iter().any(|name| self.pair(name, uri)) {
                    return fail(format!("{what} of the builder `{uri}`, for which none of its keys may sign"));
                }
            }
        }
        Ok(())
    }

    /// Whether a key may sign for a builder.
    pub(crate) fn pair(&self, signer: &str, builder: &str) -> bool {
        self.builders.iter().any(|known| known.uri == builder && known.signers.iter().any(|name| name == signer))
    }
}
