//! DSSE envelopes (secure-systems-lab/dsse v1.0) and the two files they are written in: one envelope
//! per line, and a Sigstore bundle v0.3 around the first. Both have one canonical form only, so that
//! no byte of them is free. Leaves out what statements say and whom to trust.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::bundle::error::Error;
use crate::bundle::json::{canonical, first_difference};
use crate::bundle::key::Signer;
use crate::bundle::uri;

/// Signatures one envelope may hold.
const SIGNATURES: usize = 64;

/// An envelope as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The payload, in standard base64.
    pub payload: String,
    /// What the payload is.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The signatures, sorted by key id.
    pub signatures: Vec<EnvelopeSignature>,
}

/// A signature as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// Which key made it: a hint, but a wrong one is refused.
    pub keyid: String,
    /// The signature, in standard base64.
    pub sig: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SigstoreBundle {
    #[serde(rename = "mediaType")]
    media_type: String,
    #[serde(rename = "verificationMaterial")]
    verification_material: VerificationMaterial,
    #[serde(rename = "dsseEnvelope")]
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerificationMaterial {
    #[serde(rename = "publicKey")]
    public_key: PublicKeyHint,
    #[serde(rename = "tlogEntries")]
    tlog_entries: [(); 0],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeyHint {
    hint: String,
}

/// The bytes that are signed: the type and the payload with their lengths.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = pae_head(payload_type, payload.len() as u64);
    out.extend(payload);
    out
}

/// What stands before a payload of a size.
pub(crate) fn pae_head(payload_type: &str, size: u64) -> Vec<u8> {
    format!("DSSEv1 {} {payload_type} {size} ", payload_type.len()).into_bytes()
}

impl Envelope {
    /// Signs a payload with every signer.
    pub fn sign(payload_type: &str, payload: &[u8], signers: &[&dyn Signer]) -> Result<Self, Error> {
        let pae = pae(payload_type, payload);
        let mut signatures = Vec::new();
        for signer in signers {
            signatures.push(EnvelopeSignature { keyid: signer.keyid(), sig: BASE64.encode(&signer.sign(&pae)?) });
        }
        signatures.sort();
        Ok(Self { payload: BASE64.encode(payload), payload_type: payload_type.to_owned(), signatures })
    }

    /// The one line it is written as, without the line feed.
    pub fn to_line(&self) -> Vec<u8> {
        canonical(self)
    }

    /// Reads a line that must be in canonical form.
    pub(crate) fn from_line(line: &[u8]) -> Result<Self, String> {
        let envelope: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if let Some(at) = first_difference(line, &envelope.to_line()) {
            return Err(format!("byte {at} is not that of the canonical form (RFC 8785)"));
        }
        if envelope.signatures.is_empty() || envelope.signatures.len() > SIGNATURES {
            return Err(format!("{} signatures: 1 to {SIGNATURES} are allowed", envelope.signatures.len()));
        }
        if envelope.signatures.windows(2).any(|pair| pair[0].keyid >= pair[1].keyid) {
            return Err("its signatures are not sorted by key id, or one key signed twice".to_owned());
        }
        Ok(envelope)
    }

    /// The payload's bytes. The decoder takes standard base64 with padding and zero spare bits only,
    /// so the text has one form.
    pub(crate) fn payload_bytes(&self) -> Result<Vec<u8>, String> {
        decode(&self.payload)
    }
}

impl EnvelopeSignature {
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        decode(&self.sig)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let bytes = BASE64.decode(text.as_bytes()).map_err(|error| format!("not standard base64: {error}"))?;
    // The decoder takes texts put together, each with its padding.
    if BASE64.encode(&bytes) == text { Ok(bytes) } else { Err("not standard base64: it has another form".to_owned()) }
}

/// The Sigstore bundle around an envelope with the one signature of `keyid`: the format holds
/// exactly one.
pub(crate) fn sigstore_bundle(envelope: &Envelope, keyid: &str) -> Vec<u8> {
    let mut one = envelope.clone();
    one.signatures.retain(|signature| signature.keyid == keyid);
    canonical(&SigstoreBundle {
        media_type: uri::SIGSTORE_MEDIA_TYPE.to_owned(),
        verification_material: VerificationMaterial {
            public_key: PublicKeyHint { hint: keyid.to_owned() },
            tlog_entries: [],
        },
        dsse_envelope: one,
    })
}

/// Checks that a Sigstore bundle is exactly the one of an envelope.
pub(crate) fn check_sigstore(bytes: &[u8], envelope: &Envelope) -> Result<(), String> {
    let bundle: SigstoreBundle = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let hint = &bundle.verification_material.public_key.hint;
    if !envelope.signatures.iter().any(|signature| signature.keyid == *hint) {
        return Err(format!("the key `{hint}` did not sign the first envelope"));
    }
    match first_difference(bytes, &sigstore_bundle(envelope, hint)) {
        None => Ok(()),
        Some(at) => Err(format!("byte {at} is not that of the bundle of the first envelope")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::PrivateKey;

    #[test]
    fn pae_is_that_of_the_specification() {
        // The example of the DSSE protocol, section "Test Vectors".
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn lines_have_one_form() {
        let key = PrivateKey::from_seed([3; 32]);
        let envelope = Envelope::sign("t", b"p", &[&key]).unwrap();
        let line = envelope.to_line();
        assert_eq!(Envelope::from_line(&line).unwrap(), envelope);
        let text = String::from_utf8(line).unwrap();
        assert!(Envelope::from_line(text.replace(':', ": ").as_bytes()).is_err());
        assert!(
            Envelope::from_line(text.replace("\"payloadType\":\"t\"", "\"payloadType\":\"\\u0074\"").as_bytes())
                .is_err()
        );
        let twice =
            Envelope { signatures: [envelope.signatures.clone(), envelope.signatures.clone()].concat(), ..envelope };
        assert!(Envelope::from_line(&twice.to_line()).is_err());
        assert!(decode("cA==").is_ok() && decode("cB==").is_err() && decode("cA").is_err() && decode("c-==").is_err());
        assert!(decode("YQ==Yg==").is_err(), "two texts put together are not one");
    }

    #[test]
    fn the_sigstore_bundle_is_that_of_the_envelope() {
        let (a, b) = (PrivateKey::from_seed([3; 32]), PrivateKey::from_seed([4; 32]));
        let envelope = Envelope::sign("t", b"p", &[&a, &b]).unwrap();
        let bundle = sigstore_bundle(&envelope, &b.keyid());
        check_sigstore(&bundle, &envelope).unwrap();
        assert!(check_sigstore(&bundle, &Envelope::sign("t", b"p", &[&a]).unwrap()).is_err());
        assert!(check_sigstore(&bundle, &Envelope::sign("t", b"q", &[&a, &b]).unwrap()).is_err());
        let text = String::from_utf8(bundle).unwrap();
        assert!(check_sigstore(text.replacen('{', "{ ", 1).as_bytes(), &envelope).is_err());
        assert!(check_sigstore(text.replace("[]", "[1]").as_bytes(), &envelope).is_err());
    }
}
