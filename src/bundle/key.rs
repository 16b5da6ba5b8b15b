//! Keys: Ed25519 (RFC 8032) and ECDSA over P-256 with SHA-256 (FIPS 186-5), signing and verifying. The
//! algorithm always comes from the key. Leaves out files, which are `files`', and who is trusted.

mod files;

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use pkcs8::LineEnding;
use sha2::{Digest as _, Sha256};

use crate::bundle::error::Error;

pub use files::{KeyFiles, check_key_name, generate_key, key_paths, write_public_key};

/// A signature algorithm. It always comes from the key, never from what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Pure Ed25519 (RFC 8032), verified strictly.
    Ed25519,
    /// ECDSA over P-256 with SHA-256. Signatures are DER, deterministic (RFC 6979), and of the two that
    /// every message has only the one with the lower half of `s` counts.
    P256,
}

impl Algorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::P256];

    /// The word in trust policies.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "ECDSA over P-256 with SHA-256",
        }
    }

    /// The algorithm of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }
}

/// Something that can sign. The process that signs is never the one that runs recipes.
pub trait Signer: Send + Sync {
    /// The algorithm.
    fn algorithm(&self) -> Algorithm;

    /// The public key as SPKI, DER.
    fn public_spki_der(&self) -> Vec<u8>;

    /// The signature over the pre-authentication encoding of an envelope, in the form that
    /// [`PublicKey::verifies`] takes.
    fn sign(&self, pae: &[u8]) -> Result<Vec<u8>, Error>;

    /// The name of the key in envelopes: the SHA-256 of the SPKI DER in hexadecimal. Only a hint.
    fn keyid(&self) -> String {
        keyid_of(&self.public_spki_der())
    }
}

fn keyid_of(spki_der: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(spki_der))
}

#[derive(Clone, PartialEq, Eq)]
enum Verifying {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Verifying,
    spki_der: Vec<u8>,
    keyid: String,
}

impl PublicKey {
    /// Reads an SPKI in PEM. `origin` names the file in errors.
    pub fn from_pem(text: &str, origin: &str) -> Result<Self, Error> {
        let (label, document) =
            pkcs8::Document::from_pem(text).map_err(|error| format(origin, "public key", &error))?;
        if label != "PUBLIC KEY" {
            return Err(format(origin, "public key", &format!("it is a `{label}`")));
        }
        Self::from_spki_der(document.as_bytes(), origin)
    }

    /// Reads an SPKI in DER.
    pub fn from_spki_der(der: &[u8], origin: &str) -> Result<Self, Error> {
        let ed25519 = ed25519_dalek::VerifyingKey::from_public_key_der(der).map(Verifying::Ed25519);
        let key = ed25519
            .or_else(|first| {
                let p256 = p256::ecdsa::VerifyingKey::from_public_key_der(der).map(Verifying::P256);
                // The first error says most of a key that is of neither algorithm.
                p256.map_err(|_| first)
            })
            .map_err(|error| format(origin, "public key", &error))?;
        Self::of(key, origin)
    }

    /// The public half of a signer.
    pub fn of_signer(signer: &dyn Signer) -> Result<Self, Error> {
        Self::from_spki_der(&signer.public_spki_der(), &signer.keyid())
    }

    fn of(key: Verifying, origin: &str) -> Result<Self, Error> {
        let spki = match &key {
            Verifying::Ed25519(key) if key.is_weak() => {
                return Err(format(origin, "public key", &"it is a point of small order"));
            }
            Verifying::Ed25519(key) => key.to_public_key_der(),
            Verifying::P256(key) => key.to_public_key_der(),
        };
        let spki_der = spki.map_err(|error| format(origin, "public key", &error))?.into_vec();
        let keyid = keyid_of(&spki_der);
        Ok(Self { key, spki_der, keyid })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            Verifying::Ed25519(_) => Algorithm::Ed25519,
            Verifying::P256(_) => Algorithm::P256,
        }
    }

    /// The SPKI, DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The SPKI in PEM.
    pub fn to_pem(&self) -> String {
        let pem = match &self.key {
            Verifying::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
            Verifying::P256(key) => key.to_public_key_pem(LineEnding::LF),
        };
        pem.expect("an SPKI has a PEM form")
    }

    /// The 32 bytes of an Ed25519 key; `None` for another.
    pub(crate) fn ed25519_bytes(&self) -> Option<[u8; 32]> {
        match &self.key {
            Verifying::Ed25519(key) => Some(key.to_bytes()),
            Verifying::P256(_) => None,
        }
    }

    /// The SHA-256 of the SPKI DER in hexadecimal.
    pub fn keyid(&self) -> &str {
        &self.keyid
    }

    /// Whether the signature is right: strictly, so no second signature of a message can be made from
    /// a first one.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.check(signature).is_some_and(|mut check| {
            check.update(message);
            check.finish()
        })
    }

    /// The same for a message in pieces. `None`: no message has this signature.
    pub(crate) fn check(&self, signature: &[u8]) -> Option<SignatureCheck> {
        match &self.key {
            Verifying::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                // Strictly: its point, too, must not be of small order. That of the key was looked at when it was read.
                let point = ed25519_dalek::VerifyingKey::from_bytes(signature.r_bytes()).ok()?;
                if point.is_weak() || key.is_weak() {
                    return None;
                }
                Some(SignatureCheck::Ed25519(Box::new(key.verify_stream(&signature).ok()?)))
            }
            Verifying::P256(key) => {
                let found = p256::ecdsa::Signature::from_der(signature).ok()?;
                let is_normal = found.to_der().as_ref() == signature && found.normalize_s() == found;
                is_normal.then(|| SignatureCheck::P256(Box::new((*key, found, Sha256::new()))))
            }
        }
    }

    /// A signature that another program made, in the one form that [`Self::verifies`] takes: Ed25519's 64
    /// bytes as they are; of P-256, DER or the two numbers side by side, whichever of the two right
    /// ones it is. `None`: it is not a signature of this message by this key.
    pub fn normalize(&self, message: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
        let normal = match &self.key {
            Verifying::Ed25519(_) => signature.to_vec(),
            Verifying::P256(_) => {
                let found = p256::ecdsa::Signature::from_der(signature)
                    .or_else(|_| p256::ecdsa::Signature::from_slice(signature));
                found.ok()?.normalize_s().to_der().as_ref().to_vec()
            }
        };
        self.verifies(message, &normal).then_some(normal)
    }
}

/// A signature being checked against a message that comes in pieces.
pub(crate) enum SignatureCheck {
    Ed25519(Box<ed25519_dalek::StreamVerifier>),
    P256(Box<(p256::ecdsa::VerifyingKey, p256::ecdsa::Signature, Sha256)>),
}

impl SignatureCheck {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Ed25519(check) => check.update(bytes),
            Self::P256(check) => check.2.update(bytes),
        }
    }

    /// Whether it is right.
    pub(crate) fn finish(self) -> bool {
        match self {
            Self::Ed25519(check) => check.finalize_and_verify().is_ok(),
            Self::P256(check) => {
                use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
                let (key, signature, hasher) = *check;
                key.verify_prehash(&hasher.finalize(), &signature).is_ok()
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm().word(), self.keyid)
    }
}

enum Signing {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

/// A private key in memory. It is wiped when dropped and never shown.
pub struct PrivateKey {
    key: Signing,
}

impl PrivateKey {
    /// A new key from the system's random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        let failed = |why: String| Error::Signing { keyid: "to be made".to_owned(), why };
        loop {
            let mut seed = pkcs8::der::zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut()).map_err(|error| failed(error.to_string()))?;
            match algorithm {
                Algorithm::Ed25519 => return Ok(Self::from_seed(*seed)),
                // Of 2^32 numbers one is beyond the order of the group: another is drawn.
                Algorithm::P256 => {
                    if let Some(key) = Self::p256_from_scalar(*seed) {
                        return Ok(key);
                    }
                }
            }
        }
    }

    /// The Ed25519 key of a seed. For tests and for reproducing a key that is known elsewhere.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { key: Signing::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed)) }
    }

    /// The P-256 key of a number, big end first; `None` if the group has no such.
    pub fn p256_from_scalar(scalar: [u8; 32]) -> Option<Self> {
        p256::ecdsa::SigningKey::from_slice(&scalar).ok().map(|key| Self { key: Signing::P256(key) })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let key = match &self.key {
            Signing::Ed25519(key) => Verifying::Ed25519(key.verifying_key()),
            Signing::P256(key) => Verifying::P256(*key.verifying_key()),
        };
        PublicKey::of(key, "a private key").expect("the public half of a private key is of full order")
    }
}

impl Signer for PrivateKey {
    fn algorithm(&self) -> Algorithm {
        self.public().algorithm()
    }

    fn public_spki_der(&self) -> Vec<u8> {
        self.public().spki_der
    }

    fn sign(&self, pae: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(match &self.key {
            Signing::Ed25519(key) => key.sign(pae).to_bytes().to_vec(),
            Signing::P256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(key, pae);
                signature.normalize_s().to_der().as_ref().to_vec()
            }
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", keyid_of(&self.public_spki_der()))
    }
}

fn format(origin: &str, wanted: &'static str, why: &dyn fmt::Display) -> Error {
    Error::KeyFormat { origin: origin.to_owned(), wanted, why: why.to_string() }
}

#[cfg(test)]
mod tests;
