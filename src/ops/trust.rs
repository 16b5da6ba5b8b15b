//! Trust policies from files: the KDL text read by the compiler's reader, the keys it names loaded, and
//! every part given its line so that a refusal can point at it. Leaves out judgement.

use std::path::Path;

use crate::bundle::{
    Algorithm, AllowedSource, LogRule, MinimumVersion, Place, Policy, PublicKey, Requirement, Revocation, TenantPolicy,
    TrustedBuilder, TrustedKey,
};
use crate::diag::{Diagnostics, SourceMap, Span};
use crate::lang::{TrustDecl, TrustTenant, parse_trust};
use crate::ops::Error;

/// A policy that could not be read: what is wrong with its text, and the text.
pub struct PolicyErrors {
    /// What is wrong.
    pub diagnostics: Diagnostics,
    /// The text.
    pub sources: SourceMap,
}

/// Reads a policy. The outer error is of the machine, the inner one of the text.
pub fn read_policy(path: &Path) -> Result<Result<Policy, PolicyErrors>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut sources = SourceMap::default();
    let source = sources.add(path.display().to_string(), text);
    let text = sources.file(source).text.clone();
    let mut diagnostics = Diagnostics::default();
    let Some(decl) = parse_trust(source, &text, &mut diagnostics) else {
        return Ok(Err(PolicyErrors { diagnostics, sources }));
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    convert(&decl, dir, &sources).map(Ok)
}

fn convert(decl: &TrustDecl, dir: &Path, sources: &SourceMap) -> Result<Policy, Error> {
    let place = |span: Span| {
        let file = sources.file(span.source);
        let line = file.line_column(span.start as usize).0;
        Some(Place { line: line as u32, text: file.line(line).to_owned() })
    };
    let mut policy = Policy::new(decl.epoch);
    for key in &decl.keys {
        let mut trusted = TrustedKey::new(PublicKey::from_pem_file(&dir.join(&key.file.value))?);
        if let Some(alg) = &key.alg {
            let found = trusted.key.algorithm();
            match Algorithm::of_word(&alg.value) {
                Some(said) if said == found => {}
                Some(_) => {
                    return Err(Error::usage(format!(
                        "the policy says that the key `{}` is `{}`, and its file holds one of `{}`",
                        key.name.value,
                        alg.value,
                        found.word()
                    )));
                }
                None => {
                    let known = Algorithm::ALL.map(|algorithm| format!("`{}`", algorithm.word())).join(" and ");
                    return Err(Error::usage_help(
                        format!("the policy's key `{}` is of the unknown algorithm `{}`", key.name.value, alg.value),
                        format!("known: {known}"),
                    ));
                }
            }
        }
        trusted.place = place(key.name.span);
        if let Some((from, until, span)) = key.valid {
            (trusted.from_epoch, trusted.until_epoch, trusted.valid_place) = (from, until, place(span));
        }
        if let Some((at_epoch, reason, span)) = &key.revoked {
            trusted.revoked = Some(Revocation { at_epoch: *at_epoch, reason: reason.clone(), place: place(*span) });
        }
        policy = policy.key(&key.name.value, trusted);
    }
    for (uri, signers) in &decl.builders {
        let signers = signers.iter().map(|name| name.value.clone()).collect();
        policy.builders.push(TrustedBuilder { uri: uri.value.clone(), signers, place: place(uri.span) });
    }
    for tenant in &decl.tenants {
        policy = policy.tenant(&tenant.name.value, convert_tenant(tenant, dir, &place)?);
    }
    Ok(policy)
}

fn convert_tenant(
    decl: &TrustTenant,
    dir: &Path,
    place: &dyn Fn(Span) -> Option<Place>,
) -> Result<TenantPolicy, Error> {
    let requires = decl
        .requires
        .iter()
        .map(|require| Requirement {
            predicate: require.predicate.value.clone(),
            threshold: usize::try_from(require.threshold).unwrap_or(usize::MAX),
            signers: require.signers.iter().map(|name| name.value.clone()).collect(),
            builders: require.builders.iter().map(|name| name.value.clone()).collect(),
            place: place(require.predicate.span),
        })
        .collect();
    let sources = decl
        .sources
        .iter()
        .map(|(repository, refs)| AllowedSource {
            repository: repository.value.clone(),
            refs: refs.iter().cloned().collect(),
            place: place(repository.span),
        })
        .collect();
    let minimums = decl
        .minimums
        .iter()
        .map(|(bundle, version)| {
            (bundle.value.clone(), MinimumVersion { version: version.clone(), place: place(bundle.span) })
        })
        .collect();
    let logs = decl
        .logs
        .iter()
        .map(|(name, required, file)| {
            let key = file.as_ref().map(|file| PublicKey::from_pem_file(&dir.join(&file.value))).transpose()?;
            Ok(LogRule { name: name.value.clone(), required: *required, key, place: place(name.span) })
        })
        .collect::<Result<Vec<LogRule>, Error>>()?;
    Ok(TenantPolicy { requires, sources, minimums, logs, place: place(decl.name.span) })
}
