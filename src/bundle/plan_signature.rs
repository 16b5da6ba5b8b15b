//! Signatures of plan files, detached: an in-toto statement about the bytes of the file and the digest of the
//! plan in it, in a DSSE envelope beside it. Leaves out whose signature counts, and consent, which is
//! another statement.

use serde::{Deserialize, Serialize};

use crate::bundle::error::Error;
use crate::bundle::key::{PublicKey, Signer};
use crate::bundle::statement::{SignedLine, Statement, Subject, sign_line, statement};
use crate::bundle::{sha256_hex, uri};

/// Bytes of a file that holds the signature of a plan.
pub const PLAN_SIGNATURE_BYTES: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    plan: String,
}

/// Signs a plan file: one line of JSON with a line feed. `plan` is the plan's digest in hexadecimal.
pub fn sign_plan(graph: &str, plan: &str, file: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let subject = Subject::file(graph, &sha256_hex(file));
    sign_line(&statement(&[subject], uri::PLAN_TYPE, Predicate { plan: plan.to_owned() }), &[signer])
}

/// Whether a signature is one by a key about exactly these bytes; an error says why it is not.
pub fn check_plan(line: &[u8], graph: &str, plan: &str, file: &[u8], key: &PublicKey) -> Result<(), String> {
    let signed = SignedLine::parse(line)?;
    let signature = signed.only_signature()?;
    if signature.keyid != key.keyid() {
        return Err(format!("it was signed by another key, {}", signature.keyid));
    }
    if !signed.is_by(signature, key)? {
        return Err("the signature is not that of the key".to_owned());
    }
    let statement: Statement<Predicate> = signed.statement(uri::PLAN_TYPE)?;
    if statement.subject != [Subject::file(graph, &sha256_hex(file))] || statement.predicate.plan != plan {
        return Err("it is about another file".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::PrivateKey;

    #[test]
    fn a_signature_is_of_these_bytes_by_this_key_and_no_byte_of_it_is_free() {
        let (key, other) = (PrivateKey::from_seed([7; 32]), PrivateKey::from_seed([8; 32]));
        let plan = "a".repeat(64);
        let line = sign_plan("g", &plan, b"file", &key).unwrap();
        assert_eq!(check_plan(&line, "g", &plan, b"file", &key.public()), Ok(()));
        assert!(check_plan(&line, "g", &plan, b"files", &key.public()).is_err());
        assert!(check_plan(&line, "h", &plan, b"file", &key.public()).is_err());
        assert!(check_plan(&line, "g", &"b".repeat(64), b"file", &key.public()).is_err());
        assert!(check_plan(&line, "g", &plan, b"file", &other.public()).is_err());
        for at in 0..line.len() {
            let mut damaged = line.clone();
            damaged[at] ^= 1;
            assert!(check_plan(&damaged, "g", &plan, b"file", &key.public()).is_err(), "byte {at}");
        }
    }
}
