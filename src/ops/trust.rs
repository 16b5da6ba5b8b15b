//! Trust policies from files: the KDL text read by the compiler's reader, the keys it names loaded, and
//! every part given its line so that a refusal can point at it. Also whether a policy is signed, and not an old one.
//! Leaves out judgement.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::Environment;
use crate::bundle::{
    self, Algorithm, AllowedSource, LogRule, MinimumVersion, Place, Policy, PolicyFiles, PublicKey, Requirement,
    Revocation, SIGNED_POLICY_BYTES, Signer, TenantPolicy, TrustedBuilder, TrustedKey, check_policy, policy_signatures,
    sha256_hex, sign_policy,
};
use crate::diag::{Diagnostics, SourceMap, Span};
use crate::lang::{TrustDecl, TrustTenant, parse_trust};
use crate::ops::Error;
use crate::ops::epochs::see_epoch;
use crate::ops::keys::open_signer;
use crate::ops::run::write_atomically;

/// A policy that could not be read: what is wrong with its text, and the text.
pub struct PolicyErrors {
    /// What is wrong.
    pub diagnostics: Diagnostics,
    /// The text.
    pub sources: SourceMap,
}

/// Which policy to judge by.
#[derive(Clone, Copy, Debug)]
pub struct PolicyChoice<'a> {
    /// Its file.
    pub path: &'a Path,
    /// The keys that must have signed it; none: it is believed as it lies there.
    pub keys: &'a [PathBuf],
    /// How many of them must have; `None`: all.
    pub threshold: Option<usize>,
}

/// A policy that was read.
pub(super) struct ReadPolicy {
    pub(super) policy: Policy,
    /// What it is made of.
    pub(super) files: PolicyFiles,
}

/// Reads a policy. The outer error is of the machine, the inner one of the text.
pub(super) fn load_policy(path: &Path) -> Result<Result<ReadPolicy, PolicyErrors>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut files = PolicyFiles::new();
    files.insert(String::new(), sha256_hex(text.as_bytes()));
    let mut sources = SourceMap::default();
    let source = sources.add(path.display().to_string(), text);
    let text = sources.file(source).text.clone();
    let mut diagnostics = Diagnostics::default();
    let Some(decl) = parse_trust(source, &text, &mut diagnostics) else {
        return Ok(Err(PolicyErrors { diagnostics, sources }));
    };
    let mut keys = KeyFiles { dir: path.parent().unwrap_or(Path::new(".")), files };
    let policy = convert(&decl, &mut keys, &sources)?;
    Ok(Ok(ReadPolicy { policy, files: keys.files }))
}

/// Reads a policy. The outer error is of the machine, the inner one of the text.
pub fn read_policy(path: &Path) -> Result<Result<Policy, PolicyErrors>, Error> {
    Ok(load_policy(path)?.map(|read| read.policy))
}

/// Reads a policy that must be signed as chosen, and not be older than one that was seen. The last is why its epoch
/// cannot be remembered, if so.
pub(super) fn choose_policy(
    choice: &PolicyChoice<'_>,
    environment: &Environment,
) -> Result<Result<(ReadPolicy, Option<String>), PolicyErrors>, Error> {
    let read = match load_policy(choice.path)? {
        Ok(read) => read,
        Err(errors) => return Ok(Err(errors)),
    };
    let epoch = read.policy.epoch;
    // What is signed is known by who signs it, wherever it lies; another by where it lies.
    let name = choice.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut known_by = vec!["file".to_owned()];
    if choice.keys.is_empty() {
        let whole = choice.path.canonicalize().map_err(Error::io("find", choice.path))?;
        known_by.push(whole.display().to_string());
    } else {
        let keys = choice.keys.iter().map(|path| PublicKey::from_pem_file(path));
        let keys = keys.collect::<Result<Vec<PublicKey>, bundle::Error>>()?;
        let threshold = choice.threshold.unwrap_or(keys.len());
        let unsigned = |why: String| Error::PolicyUnsigned { policy: choice.path.to_owned(), why };
        let beside = policy_signatures(choice.path);
        let line = std::fs::File::open(&beside).and_then(|file| {
            let mut line = Vec::new();
            file.take(SIGNED_POLICY_BYTES).read_to_end(&mut line)?;
            Ok(line)
        });
        let line = line.map_err(|error| unsigned(format!("`{}`: {error}", beside.display())))?;
        check_policy(&line, &read.files, epoch, &keys, threshold).map_err(unsigned)?;
        let mut ids: Vec<String> = keys.iter().map(|key| key.keyid().to_owned()).collect();
        ids.sort_unstable();
        known_by = ["signed".to_owned(), name].into_iter().chain(ids).collect();
    }
    let forgotten = see_epoch(environment, &known_by.join("\n"), epoch, choice.path)?;
    Ok(Ok((read, forgotten)))
}

/// Signs a policy with keys of a folder, and writes the signatures beside it. Returns where.
pub fn sign_policy_file(
    path: &Path,
    keys: &Path,
    names: &[String],
    environment: &Environment,
) -> Result<Result<PathBuf, PolicyErrors>, Error> {
    let read = match load_policy(path)? {
        Ok(read) => read,
        Err(errors) => return Ok(Err(errors)),
    };
    read.policy.check()?;
    let keys = names.iter().map(|name| open_signer(keys, name, environment)).collect::<Result<Vec<_>, Error>>()?;
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key.signer.as_ref()).collect();
    // Who signs a policy is not whom it trusts with bundles: a key has one purpose.
    for signer in &signers {
        let id = signer.keyid();
        if let Some((name, _)) = read.policy.keys.iter().find(|(_, key)| key.key.keyid() == id) {
            return Err(Error::usage_help(
                format!("the policy trusts the key `{name}` with bundles, so it cannot sign the policy"),
                "sign it with a key that is kept apart: `partita key generate root`",
            ));
        }
    }
    let line = sign_policy(&read.files, read.policy.epoch, &signers)?;
    let beside = policy_signatures(path);
    write_atomically(&beside, &line)?;
    Ok(Ok(beside))
}

/// Reads the key files of a policy, and notes what was read.
struct KeyFiles<'a> {
    dir: &'a Path,
    files: PolicyFiles,
}

impl KeyFiles<'_> {
    fn key(&mut self, name: &str) -> Result<PublicKey, Error> {
        let path = self.dir.join(name);
        let (key, text) = PublicKey::read_pem_file(&path)?;
        self.files.insert(name.to_owned(), sha256_hex(text.as_bytes()));
        Ok(key)
    }
}

fn convert(decl: &TrustDecl, files: &mut KeyFiles<'_>, sources: &SourceMap) -> Result<Policy, Error> {
    let place = |span: Span| {
        let file = sources.file(span.source);
        let line = file.line_column(span.start as usize).0;
        Some(Place { line: line as u32, text: file.line(line).to_owned() })
    };
    let mut policy = Policy::new(decl.epoch);
    for key in &decl.keys {
        let mut trusted = TrustedKey::new(files.key(&key.file.value)?);
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
        policy = policy.tenant(&tenant.name.value, convert_tenant(tenant, files, &place)?);
    }
    Ok(policy)
}

fn convert_tenant(
    decl: &TrustTenant,
    files: &mut KeyFiles<'_>,
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
            let key = file.as_ref().map(|file| files.key(&file.value)).transpose()?;
            Ok(LogRule { name: name.value.clone(), required: *required, key, place: place(name.span) })
        })
        .collect::<Result<Vec<LogRule>, Error>>()?;
    Ok(TenantPolicy { requires, sources, minimums, logs, place: place(decl.name.span) })
}
