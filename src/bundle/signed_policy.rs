//! A trust policy that is signed itself, offline and by others than sign bundles: an in-toto statement about its text
//! and the key files it names, in one DSSE envelope on a line. Leaves out reading policies and remembering epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bundle::error::Error;
use crate::bundle::key::{PublicKey, Signer};
use crate::bundle::statement::{SignedLine, Statement, Subject, sign_line, statement};
use crate::bundle::uri;

/// More than any signed policy, in bytes.
pub const SIGNED_POLICY_BYTES: u64 = 4 * 1024 * 1024;

/// What a policy is made of: the SHA-256 in hexadecimal of its text, under the empty name, and of each key file, under
/// the name by which the text calls it.
pub type PolicyFiles = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    epoch: u64,
}

/// Where the signatures of a policy lie: beside it.
pub fn policy_signatures(policy: &Path) -> PathBuf {
    let mut name = policy.as_os_str().to_owned();
    name.push(".intoto.jsonl");
    PathBuf::from(name)
}

/// The subjects of the statement, in the order of their names.
fn subjects(files: &PolicyFiles) -> Vec<Subject> {
    let name = |file: &str| if file.is_empty() { "policy".to_owned() } else { format!("key-file:{file}") };
    files.iter().map(|(file, sha256)| Subject::file(&name(file), sha256)).collect()
}

/// Signs a policy: one line of JSON with a line feed.
pub fn sign_policy(files: &PolicyFiles, epoch: u64, signers: &[&dyn Signer]) -> Result<Vec<u8>, Error> {
    let ids: BTreeSet<String> = signers.iter().map(|signer| signer.keyid()).collect();
    if ids.is_empty() || ids.len() < signers.len() {
        return Err(Error::Signers("a policy needs different keys, at least one".to_owned()));
    }
    sign_line(&statement(&subjects(files), uri::POLICY_TYPE, Predicate { epoch }), signers)
}

/// Checks that so many of these keys signed exactly this policy. An error says why it counts for nothing.
pub fn check_policy(
    line: &[u8],
    files: &PolicyFiles,
    epoch: u64,
    keys: &[PublicKey],
    threshold: usize,
) -> Result<(), String> {
    let signed = SignedLine::parse(line)?;
    let mut counted: BTreeSet<&[u8]> = BTreeSet::new();
    for signature in signed.signatures() {
        // Signatures of strangers are passed over; one that claims a key must be right.
        let Some(key) = keys.iter().find(|key| key.keyid() == signature.keyid) else { continue };
        if !signed.is_by(signature, key)? {
            return Err(format!("the signature of the key {} is wrong", key.keyid()));
        }
        counted.insert(key.spki_der());
    }
    if counted.len() < threshold.max(1) {
        return Err(format!("{} of the keys given signed it, {} must have", counted.len(), threshold.max(1)));
    }
    let statement: Statement<Predicate> = signed.statement(uri::POLICY_TYPE)?;
    let found = subjects(files);
    if let Some(changed) = found.iter().find(|one| !statement.subject.contains(one)) {
        return Err(format!("`{}` is not as it was signed", changed.name));
    }
    if statement.subject != found || statement.predicate.epoch != epoch {
        return Err("what was signed is another policy".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::PrivateKey;

    fn files() -> PolicyFiles {
        [("", "aa"), ("keys/a.pub.pem", "bb")].map(|(name, sha256)| (name.to_owned(), sha256.to_owned())).into()
    }

    #[test]
    fn only_what_was_signed_by_enough_keys_counts() {
        let [a, b, c] = [1, 2, 3].map(|seed| PrivateKey::from_seed([seed; 32]));
        let line = sign_policy(&files(), 7, &[&a, &b]).unwrap();
        let keys = [a.public(), b.public()];
        check_policy(&line, &files(), 7, &keys, 2).unwrap();
        check_policy(&line, &files(), 7, &[b.public(), c.public()], 1).unwrap();
        assert!(check_policy(&line, &files(), 7, &[b.public(), c.public()], 2).is_err());
        assert!(check_policy(&line, &files(), 7, &[c.public()], 0).is_err(), "nobody is never enough");
        assert!(check_policy(&line, &files(), 8, &keys, 2).is_err());
        for change in [("", "ab"), ("keys/a.pub.pem", "cc"), ("keys/b.pub.pem", "bb")] {
            let mut other = files();
            other.insert(change.0.to_owned(), change.1.to_owned());
            assert!(check_policy(&line, &other, 7, &keys, 2).is_err(), "{change:?}");
        }
        let mut fewer = files();
        fewer.remove("keys/a.pub.pem");
        assert!(check_policy(&line, &fewer, 7, &keys, 2).is_err());
        assert!(sign_policy(&files(), 7, &[]).is_err() && sign_policy(&files(), 7, &[&a, &a]).is_err());
    }

    #[test]
    fn no_byte_of_the_signatures_is_free() {
        let key = PrivateKey::from_seed([7; 32]);
        let line = sign_policy(&files(), 7, &[&key]).unwrap();
        for at in 0..line.len() {
            let mut damaged = line.clone();
            damaged[at] ^= 1;
            assert!(check_policy(&damaged, &files(), 7, &[key.public()], 1).is_err(), "byte {at}");
        }
    }
}
