//! In-toto statements (Attestation Framework v1): those about an archive, and those that go alone, signed, as one line:
//! approvals, signatures of plans and of policies. Read strictly: a field that is not known is refused. Leaves out what
//! they say, and whose signature counts.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::bundle::dsse::{Envelope, EnvelopeSignature, pae};
use crate::bundle::error::Error;
use crate::bundle::json::{canonical, parse_canonical};
use crate::bundle::key::{PublicKey, Signer};
use crate::bundle::manifest::SUMS;
use crate::bundle::uri;

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement<P, D = Sha256Digest> {
    #[serde(rename = "_type")]
    kind: String,
    pub(crate) subject: Vec<Subject<D>>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(crate) predicate: P,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject<D = Sha256Digest> {
    pub(crate) name: String,
    pub(crate) digest: D,
}

/// The digest of a subject that is a file. SHA-256 alone: verifiers refuse a statement for any other but SHA-384 and
/// SHA-512.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sha256Digest {
    pub(crate) sha256: String,
}

/// The digest of a subject that is a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanDigest {
    pub(crate) blake3: String,
}

impl Subject {
    /// A file by its name and its SHA-256 in hexadecimal.
    pub(crate) fn file(name: &str, sha256: &str) -> Self {
        Self { name: name.to_owned(), digest: Sha256Digest { sha256: sha256.to_owned() } }
    }
}

/// The two subjects of every statement about an archive: the archive, and the list of checksums in it, by which it
/// can still be checked after extraction.
pub(crate) fn subjects(file_name: &str, zip_sha256: &str, sums_sha256: &str) -> Vec<Subject> {
    vec![Subject::file(file_name, zip_sha256), Subject::file(SUMS, sums_sha256)]
}

/// The canonical bytes of a statement.
pub(crate) fn statement<P: Serialize, D: Serialize + Clone>(
    subject: &[Subject<D>],
    predicate_type: &str,
    predicate: P,
) -> Vec<u8> {
    canonical(&Statement {
        kind: uri::STATEMENT_TYPE.to_owned(),
        subject: subject.to_vec(),
        predicate_type: predicate_type.to_owned(),
        predicate,
    })
}

/// The canonical bytes of a statement whose predicate is a document in canonical bytes.
pub(crate) fn statement_around(subject: &[Subject], predicate_type: &str, predicate: &[u8]) -> Vec<u8> {
    let around = statement(subject, predicate_type, ());
    let mark: &[u8] = b"\"predicate\":null";
    let at = around.windows(mark.len()).position(|window| window == mark).expect("it was written just now");
    let value = at + mark.len() - b"null".len();
    [&around[..value], predicate, &around[at + mark.len()..]].concat()
}

/// What a statement is, but for what it says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatementHead {
    #[serde(rename = "_type")]
    kind: String,
    pub(crate) subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub(crate) predicate_type: String,
    #[serde(rename = "predicate")]
    _predicate: IgnoredAny,
}

impl StatementHead {
    /// Reads one that must be of version 1 and about exactly two subjects.
    pub(crate) fn parse(statement: &[u8]) -> Result<Self, String> {
        let statement: Self = serde_json::from_slice(statement).map_err(|error| error.to_string())?;
        if statement.kind != uri::STATEMENT_TYPE {
            return Err(format!("its type is `{}`, not `{}`", statement.kind, uri::STATEMENT_TYPE));
        }
        match statement.subject.as_slice() {
            [_, sums] if sums.name == SUMS => Ok(statement),
            _ => Err(format!("its subjects are not an archive and `{SUMS}`")),
        }
    }
}

/// Signs a statement that goes alone: its envelope as one line of JSON with a line feed.
pub(crate) fn sign_line(statement: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, Error> {
    let mut line = Envelope::sign(uri::PAYLOAD_TYPE, statement, signers)?.to_line();
    line.push(b'\n');
    Ok(line)
}

/// A statement that goes alone, as it was read: nothing of it is verified yet.
pub(crate) struct SignedLine {
    signatures: Vec<EnvelopeSignature>,
    payload: Vec<u8>,
    message: Vec<u8>,
}

impl SignedLine {
    /// Reads a line with its line feed. An error says why it is none.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let line = line.strip_suffix(b"\n").ok_or("it does not end with a line feed")?;
        let envelope = Envelope::from_line(line)?;
        if envelope.payload_type != uri::PAYLOAD_TYPE {
            return Err(format!("its payload is `{}`", envelope.payload_type));
        }
        let payload = envelope.payload_bytes()?;
        let message = pae(uri::PAYLOAD_TYPE, &payload);
        Ok(Self { signatures: envelope.signatures, payload, message })
    }

    /// The one signature there is; more or fewer are an error.
    pub(crate) fn only_signature(&self) -> Result<&EnvelopeSignature, String> {
        match self.signatures.as_slice() {
            [signature] => Ok(signature),
            _ => Err("it has not one signature".to_owned()),
        }
    }

    /// All signatures, sorted by the key that they claim.
    pub(crate) fn signatures(&self) -> &[EnvelopeSignature] {
        &self.signatures
    }

    /// Whether a signature claims a key and is that key's.
    pub(crate) fn is_by(&self, signature: &EnvelopeSignature, key: &PublicKey) -> Result<bool, String> {
        Ok(signature.keyid == key.keyid() && key.verifies(&self.message, &signature.bytes()?))
    }

    /// What it says, if it is a statement of a type in canonical bytes.
    pub(crate) fn statement<P, D>(&self, predicate_type: &str) -> Result<Statement<P, D>, String>
    where
        P: DeserializeOwned,
        D: DeserializeOwned,
    {
        let statement: Statement<P, D> =
            serde_json::from_value(parse_canonical(&self.payload)?).map_err(|error| error.to_string())?;
        if statement.kind != uri::STATEMENT_TYPE || statement.predicate_type != predicate_type {
            return Err(format!("it is a `{}`", statement.predicate_type));
        }
        Ok(statement)
    }
}
