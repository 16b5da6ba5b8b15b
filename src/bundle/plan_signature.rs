//! Signatures of plan files, detached: an in-toto statement about the bytes of the file and the digest of the
//! plan in it, in a DSSE envelope beside it. Leaves out whose signature counts, and consent, which is
//! another statement.

use serde::{Deserialize, Serialize};

use crate::bundle::dsse::{Envelope, pae};
use crate::bundle::error::Error;
use crate::bundle::json::{canonical, parse_canonical};
use crate::bundle::key::{PublicKey, Signer};
use crate::bundle::{sha256_hex, uri};

/// Bytes of a file that holds the signature of a plan.
pub const PLAN_SIGNATURE_BYTES: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Digests,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digests {
    sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    plan: String,
}

/// Signs a plan file: one line of JSON with a line feed. `plan` is the plan's digest in hexadecimal.
pub fn sign_plan(graph: &str, plan: &str, file: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let statement = Statement {
        kind: uri::STATEMENT_TYPE.to_owned(),
        subject: [Subject { name: graph.to_owned(), digest: Digests { sha256: sha256_hex(file) } }],
        predicate_type: uri::PLAN_TYPE.to_owned(),
        predicate: Predicate { plan: plan.to_owned() },
    };
    let envelope = Envelope::sign(uri::PAYLOAD_TYPE, &canonical(&statement), &[signer])?;
    let mut line = envelope.to_line();
    line.push(b'\n');
    Ok(line)
}

/// Whether a signature is one by a key about exactly these bytes; an error says why it is not.
pub fn check_plan(line: &[u8], graph: &str, plan: &str, file: &[u8], key: &PublicKey) -> Result<(), String> {
    let line = line.strip_suffix(b"\n").ok_or("it does not end with a line feed")?;
    let envelope = Envelope::from_line(line)?;
    if envelope.payload_type != uri::PAYLOAD_TYPE {
        return Err(format!("its payload is `{}`", envelope.payload_type));
    }
    let payload = envelope.payload_bytes()?;
    let [signature] = envelope.signatures.as_slice() else {
        return Err("it has not one signature".to_owned());
    };
    if signature.keyid != key.keyid() {
        return Err(format!("it was signed by another key, {}", signature.keyid));
    }
    if !key.verifies(&pae(uri::PAYLOAD_TYPE, &payload), &signature.bytes()?) {
        return Err("the signature is not that of the key".to_owned());
    }
    let statement: Statement = serde_json::from_value(parse_canonical(&payload)?).map_err(|error| error.to_string())?;
    if statement.kind != uri::STATEMENT_TYPE || statement.predicate_type != uri::PLAN_TYPE {
        return Err(format!("it is a `{}`", statement.predicate_type));
    }
    let [subject] = statement.subject;
    if subject.digest.sha256 != sha256_hex(file) || subject.name != graph || statement.predicate.plan != plan {
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
