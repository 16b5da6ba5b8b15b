//! Judging what was signed by a trust policy: who signed, for which tenant, by which builder, from
//! which source, in which version. Leaves out reading files and the archive's contents.

use std::collections::BTreeSet;

use crate::bundle::code::Code;
use crate::bundle::dsse::{Envelope, pae_head};
use crate::bundle::key::SignatureCheck;
use crate::bundle::policy::{Policy, Requirement, TenantPolicy, TrustedKey};
use crate::bundle::provenance::Provenance;
use crate::bundle::spec::archive_name;
use crate::bundle::tlog::{LogKey, TlogProof};
use crate::bundle::uri;
use crate::bundle::verdict::Refusal;
use crate::bundle::version::Version;

/// A statement whose signatures have been checked.
pub(crate) struct Opened {
    /// Names in the policy of the keys that signed it.
    pub(crate) signers: Vec<String>,
    pub(crate) predicate_type: String,
    /// The SHA-256 of its predicate.
    pub(crate) predicate_sha256: [u8; 32],
    /// What its predicate says, if it is provenance.
    pub(crate) provenance: Option<Provenance>,
}

impl Opened {
    fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    fn builder(&self) -> Option<&str> {
        self.provenance.as_ref().map(|provenance| provenance.run.builder.id.as_str())
    }
}

/// Bytes that signatures by strangers may make us hash in all, some half a minute.
const STRANGE_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// The checks of all signatures of an envelope, while its payload streams by. A signature that claims a key of the
/// policy must be right, and one that is right must claim its key; signatures of strangers are passed over.
pub(crate) struct SignatureChecks<'a> {
    at: usize,
    /// What is claimed: the name of the key, its place, and the check if there can be one.
    claimed: Vec<(&'a str, &'a TrustedKey, Option<SignatureCheck>)>,
    /// Signatures that claim no key of the policy, by each of its keys.
    strange: Vec<(&'a str, &'a TrustedKey, SignatureCheck)>,
}

impl<'a> SignatureChecks<'a> {
    /// Begins them for a payload of a size. `spent` counts what strangers have cost so far.
    pub(crate) fn new(
        at: usize,
        envelope: &Envelope,
        size: u64,
        policy: &'a Policy,
        spent: &mut u64,
    ) -> Result<Self, Refusal> {
        if envelope.payload_type != uri::PAYLOAD_TYPE {
            let why = format!("envelope {at} holds `{}`, not `{}`", envelope.payload_type, uri::PAYLOAD_TYPE);
            return Err(Refusal::new(Code::B0403, why));
        }
        let mut checks = Self { at, claimed: Vec::new(), strange: Vec::new() };
        for signature in &envelope.signatures {
            let bytes = signature
                .bytes()
                .map_err(|why| Refusal::new(Code::B0401, format!("a signature of envelope {at} is {why}")))?;
            if let Some((name, key)) = policy.keys.iter().find(|(_, key)| key.key.keyid() == signature.keyid) {
                checks.claimed.push((name, key, key.key.check(&bytes)));
                continue;
            }
            for (name, key) in &policy.keys {
                if let Some(check) = key.key.check(&bytes) {
                    *spent = spent.saturating_add(size);
                    checks.strange.push((name, key, check));
                }
            }
            if *spent > STRANGE_BYTES {
                let why = format!("envelope {at} has too many signatures by keys that the policy does not know");
                return Err(Refusal::new(Code::B0401, why));
            }
        }
        checks.update(&pae_head(&envelope.payload_type, size));
        Ok(checks)
    }

    /// More of what was signed.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for check in self.claimed.iter_mut().filter_map(|(_, _, check)| check.as_mut()) {
            check.update(bytes);
        }
        for (_, _, check) in &mut self.strange {
            check.update(bytes);
        }
    }

    /// Who signed, by the names of the policy.
    pub(crate) fn finish(self) -> Result<Vec<String>, Refusal> {
        let mut names = Vec::new();
        for (name, key, check) in self.claimed {
            if !check.is_some_and(SignatureCheck::finish) {
                let why = format!("the signature of `{name}` under envelope {} is wrong", self.at);
                return Err(Refusal::new(Code::B0406, why).at(key.place.as_ref()));
            }
            names.push(name.to_owned());
        }
        for (name, key, check) in self.strange {
            if check.finish() {
                let why = format!("a signature under envelope {} is by `{name}` and names another key", self.at);
                return Err(Refusal::new(Code::B0406, why).at(key.place.as_ref()));
            }
        }
        if names.is_empty() {
            let why = format!("no key that the policy knows signed envelope {}", self.at);
            return Err(Refusal::new(Code::B0407, why));
        }
        Ok(names)
    }
}

/// Checks that all provenance is of this tenant's bundle and that the file is named after it. Returns
/// the first.
pub(crate) fn provenance<'a>(
    opened: &'a [Opened],
    tenant: Option<&str>,
    file_name: &str,
) -> Result<&'a Provenance, Refusal> {
    let mut first: Option<&Provenance> = None;
    for provenance in opened.iter().filter_map(|one| one.provenance.as_ref()) {
        let external = &provenance.build.external;
        if let Some(tenant) = tenant.filter(|tenant| external.tenant != **tenant) {
            let why = format!("it is a bundle of the tenant `{}`, not of `{tenant}`", external.tenant);
            return Err(Refusal::new(Code::B0502, why));
        }
        let named = archive_name(&external.bundle.name, &external.bundle.version);
        if named != file_name {
            return Err(Refusal::new(Code::B0409, format!("the file is `{file_name}`, what was signed is `{named}`")));
        }
        let known = *first.get_or_insert(provenance);
        if known.build.external != *external || known.build.internal != provenance.build.internal {
            return Err(Refusal::new(Code::B0408, "two statements of provenance contradict each other"));
        }
    }
    first.ok_or_else(|| Refusal::new(Code::B0503, "there is no provenance"))
}

/// The policy's demands on a tenant.
pub(crate) fn tenant<'a>(policy: &'a Policy, name: &str) -> Result<&'a TenantPolicy, Refusal> {
    policy
        .tenants
        .get(name)
        .or(policy.others.as_ref())
        .ok_or_else(|| Refusal::new(Code::B0501, format!("the policy does not know the tenant `{name}`")))
}

/// Checks that every required attestation is there with enough signatures, and that every envelope
/// is signed by a key that this tenant trusts for it.
pub(crate) fn trust(policy: &Policy, tenant: &TenantPolicy, opened: &[Opened]) -> Result<String, Refusal> {
    if !tenant.requires.iter().any(|requirement| requirement.predicate == uri::PROVENANCE_TYPE) {
        let why = "the policy does not require provenance of the tenant, so it trusts nothing of it";
        return Err(Refusal::new(Code::B0509, why).at(tenant.place.as_ref()));
    }
    for requirement in &tenant.requires {
        meets(policy, requirement, opened)?;
    }
    for (at, one) in opened.iter().enumerate() {
        accepted(policy, tenant, at + 1, one)?;
    }
    let keys: BTreeSet<&str> = opened.iter().flat_map(|one| one.signers.iter().map(String::as_str)).collect();
    Ok(format!("signed by {}", keys.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))
}

fn meets(policy: &Policy, requirement: &Requirement, opened: &[Opened]) -> Result<(), Refusal> {
    let mut keys: BTreeSet<&[u8]> = BTreeSet::new();
    let mut refusal = None;
    for one in opened.iter().filter(|one| one.predicate_type() == requirement.predicate) {
        for signer in &one.signers {
            match counts(policy, requirement, signer, one.builder()) {
                Ok(()) => {
                    keys.extend(policy.keys.get(signer).map(|key| key.key.spki_der()));
                }
                Err(why) => refusal = Some(why),
            }
        }
    }
    if keys.len() >= requirement.threshold {
        return Ok(());
    }
    match refusal {
        Some(refusal) if keys.is_empty() => Err(refusal),
        _ => {
            let why = format!(
                "`{}` is required of {} key(s), and {} signed it",
                requirement.predicate,
                requirement.threshold,
                keys.len()
            );
            Err(Refusal::new(Code::B0503, why).at(requirement.place.as_ref()))
        }
    }
}

/// Whether a signature counts for a requirement.
fn counts(policy: &Policy, requirement: &Requirement, signer: &str, builder: Option<&str>) -> Result<(), Refusal> {
    if !requirement.signers.iter().any(|name| name == signer) {
        let why = format!("the key `{signer}` may not sign `{}` of this tenant", requirement.predicate);
        return Err(Refusal::new(Code::B0407, why).at(requirement.place.as_ref()));
    }
    valid(policy, signer)?;
    if requirement.predicate == uri::PROVENANCE_TYPE {
        let builder = builder.unwrap_or_default();
        if !requirement.builders.iter().any(|uri| uri == builder) {
            let why = format!("the builder `{builder}` is not accepted");
            return Err(Refusal::new(Code::B0505, why).at(requirement.place.as_ref()));
        }
        if !policy.pair(signer, builder) {
            let place =
                policy.builders.iter().find(|known| known.uri == builder).and_then(|known| known.place.as_ref());
            let why = format!("the key `{signer}` may not sign for the builder `{builder}`");
            return Err(Refusal::new(Code::B0505, why).at(place));
        }
    }
    Ok(())
}

/// Whether a key is valid in the policy's epoch.
fn valid(policy: &Policy, signer: &str) -> Result<(), Refusal> {
    let Some(key) = policy.keys.get(signer) else {
        return Err(Refusal::new(Code::B0407, format!("the key `{signer}` is unknown")));
    };
    if let Some(revoked) = key.revoked.as_ref().filter(|revoked| policy.epoch >= revoked.at_epoch) {
        let why = format!("the key `{signer}` is revoked: {}", revoked.reason);
        return Err(Refusal::new(Code::B0504, why).at(revoked.place.as_ref().or(key.place.as_ref())));
    }
    let early = key.from_epoch.is_some_and(|from| policy.epoch < from);
    let late = key.until_epoch.is_some_and(|until| policy.epoch > until);
    if early || late {
        let why = format!("the key `{signer}` is not valid in epoch {} of the policy", policy.epoch);
        return Err(Refusal::new(Code::B0504, why).at(key.valid_place.as_ref().or(key.place.as_ref())));
    }
    Ok(())
}

/// Default deny for envelopes: what nobody asked for must still come from someone who is trusted.
fn accepted(policy: &Policy, tenant: &TenantPolicy, at: usize, one: &Opened) -> Result<(), Refusal> {
    let mut refusal = None;
    let mut asked = false;
    for requirement in tenant.requires.iter().filter(|requirement| requirement.predicate == one.predicate_type()) {
        asked = true;
        for signer in &one.signers {
            match counts(policy, requirement, signer, one.builder()) {
                Ok(()) => return Ok(()),
                Err(why) => refusal = Some(why),
            }
        }
    }
    if !asked {
        for signer in &one.signers {
            let listed = tenant.requires.iter().any(|requirement| requirement.signers.contains(signer));
            match valid(policy, signer) {
                Ok(()) if listed => return Ok(()),
                Ok(()) => {}
                Err(why) => refusal = Some(why),
            }
        }
    }
    Err(refusal.unwrap_or_else(|| {
        let why = format!("envelope {at} (`{}`) is signed by no key of this tenant", one.predicate_type());
        Refusal::new(Code::B0407, why).at(tenant.place.as_ref())
    }))
}

/// Checks where the specs came from.
pub(crate) fn source(tenant: &TenantPolicy, provenance: &Provenance) -> Result<String, Refusal> {
    let Some(first) = tenant.sources.first() else { return Ok("the policy accepts any".to_owned()) };
    let refused = |why: String| Err(Refusal::new(Code::B0506, why).at(first.place.as_ref()));
    let Some(spec) = &provenance.build.external.spec else {
        return refused("the provenance names no source of its specs".to_owned());
    };
    let reference = spec.reference.as_deref();
    let allowed = tenant.sources.iter().any(|source| {
        let fits = |wanted: &String| Some(wanted.as_str()) == reference;
        source.repository == spec.repository && (source.refs.is_empty() || source.refs.iter().any(fits))
    });
    let text = format!("`{}` at `{}`", spec.repository, reference.unwrap_or("no ref"));
    if allowed { Ok(text) } else { refused(format!("the source {text} is not accepted")) }
}

/// Checks the version against the minimum of its bundle.
pub(crate) fn version(tenant: &TenantPolicy, provenance: &Provenance) -> Result<String, Refusal> {
    let bundle = &provenance.build.external.bundle;
    let Some(minimum) = tenant.minimums.get(&bundle.name) else {
        return Ok(format!("`{}`; the policy accepts any", bundle.version));
    };
    let refused = |why: String| Err(Refusal::new(Code::B0507, why).at(minimum.place.as_ref()));
    match (Version::parse(&bundle.version), Version::parse(&minimum.version)) {
        (Some(found), Some(least)) if found >= least => {
            Ok(format!("`{}`, at least `{}`", bundle.version, minimum.version))
        }
        (Some(_), Some(_)) => {
            refused(format!("version `{}` of `{}` is below `{}`", bundle.version, bundle.name, minimum.version))
        }
        _ => refused(format!("`{}` cannot be compared with the minimum `{}`", bundle.version, minimum.version)),
    }
}

/// Checks the proofs of the logs that are required. `entry` is what a log holds of the bundle, `proof` the
/// text beside it.
pub(crate) fn log(tenant: &TenantPolicy, entry: &[u8], proof: Option<&str>) -> Result<String, Refusal> {
    let mut notes = Vec::new();
    for log in tenant.logs.iter().filter(|log| log.required || proof.is_some() && log.key.is_some()) {
        let refused = |why: String| {
            let why = format!("the log `{}`: {why}", log.name);
            Err(Refusal::new(Code::B0508, why).at(log.place.as_ref()))
        };
        let Some(key) = &log.key else {
            return refused("the policy names no key of it, so no proof can be checked".to_owned());
        };
        let Some(text) = proof else {
            return refused("a proof of it is required, and there is none".to_owned());
        };
        let checked = LogKey::new(&log.name, key.clone())
            .map_err(|error| error.to_string())
            .and_then(|key| TlogProof::parse(text).and_then(|proof| Ok((proof.index, proof.check(entry, &key)?))));
        match checked {
            Ok((index, checkpoint)) => notes.push(format!("entry {index} of {} in `{}`", checkpoint.size, log.name)),
            // A proof of another log is no fault of one that need not be there.
            Err(_) if !log.required => {}
            Err(why) => return refused(why),
        }
    }
    Ok(if notes.is_empty() { "none is required".to_owned() } else { notes.join(", ") })
}
