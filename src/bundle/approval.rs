//! Approvals as signed statements: a person's consent to a plan, an in-toto statement about the plan's
//! digest in a DSSE envelope. The key that signed is in the statement and named by its id, so that a
//! reader needs the id alone. Leaves out whose consent counts.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::bundle::error::Error;
use crate::bundle::key::{PublicKey, Signer};
use crate::bundle::statement::{PlanDigest, SignedLine, Statement, Subject, sign_line, statement};
use crate::bundle::uri;

/// Bytes of a file that holds an approval.
pub const APPROVAL_BYTES: u64 = 1 << 20;

/// A person's consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consented {
    /// The graph of the plan.
    pub graph: String,
    /// The plan's digest in hexadecimal.
    pub plan: String,
    /// The addresses that it names; none: it is to all of the plan that need not be named.
    pub gates: Vec<String>,
    /// Who, in their own words: only the key proves it.
    pub person: String,
    /// When, in milliseconds since the epoch.
    pub given_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    gates: Vec<String>,
    given: u64,
    key: String,
    person: String,
}

/// Signs a consent: one line of JSON with a line feed.
pub fn sign_approval(consented: &Consented, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let subject = Subject { name: consented.graph.clone(), digest: PlanDigest { blake3: consented.plan.clone() } };
    let predicate = Predicate {
        gates: consented.gates.clone(),
        given: consented.given_ms,
        key: BASE64.encode(&signer.public_spki_der()),
        person: consented.person.clone(),
    };
    sign_line(&statement(&[subject], uri::APPROVAL_TYPE, predicate), &[signer])
}

/// Reads a consent and verifies its signature: what it says, and the key that signed it. An error says
/// why it counts for nothing.
pub fn read_approval(line: &[u8]) -> Result<(Consented, PublicKey), String> {
    let signed = SignedLine::parse(line)?;
    let statement: Statement<Predicate, PlanDigest> = signed.statement(uri::APPROVAL_TYPE)?;
    let der = BASE64.decode(statement.predicate.key.as_bytes()).map_err(|error| error.to_string())?;
    let key = PublicKey::from_spki_der(&der, "the key of the approval").map_err(|error| error.to_string())?;
    if !signed.is_by(signed.only_signature()?, &key)? {
        return Err("its signature is not that of its key".to_owned());
    }
    let [subject] = <[Subject<PlanDigest>; 1]>::try_from(statement.subject).map_err(|_| "it is not about one plan")?;
    let consented = Consented {
        graph: subject.name,
        plan: subject.digest.blake3,
        gates: statement.predicate.gates,
        person: statement.predicate.person,
        given_ms: statement.predicate.given,
    };
    Ok((consented, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::PrivateKey;

    fn consented() -> Consented {
        Consented {
            graph: "release".to_owned(),
            plan: "a".repeat(64),
            gates: vec!["release/publish/guard/signoff".to_owned()],
            person: "Ana \"A\" Ünal".to_owned(),
            given_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn what_is_signed_is_read_back() {
        let key = PrivateKey::from_seed([7; 32]);
        let line = sign_approval(&consented(), &key).unwrap();
        let (found, by) = read_approval(&line).unwrap();
        assert_eq!(found, consented());
        assert_eq!(by, key.public());
    }

    #[test]
    fn no_byte_of_it_is_free() {
        let line = sign_approval(&consented(), &PrivateKey::from_seed([7; 32])).unwrap();
        for at in 0..line.len() {
            let mut damaged = line.clone();
            damaged[at] ^= 1;
            assert!(read_approval(&damaged).is_err(), "byte {at}");
        }
        assert!(read_approval(b"").is_err() && read_approval(&line[..line.len() - 1]).is_err());
    }
}
